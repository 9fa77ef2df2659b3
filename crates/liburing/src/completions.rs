//! The completion side: looking at completions and giving their places back. No call waits here.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::Ordering;

use ouzel_uring::abi::{CqRingFlags, Cqe, CqeFlags, Features, SetupFlags};

use crate::handle::Handle;
use crate::kernel::errno;
use crate::layout::{CompletionIterator, IoUring};
use crate::submission::{INTERNAL_TIMEOUT, completions_are_held_back, fetch_completions};
use crate::wait;

/// The first completion, if there is one, and how many places are taken from it on.
///
/// Completions that mean nothing to the program are consumed on the way: those that fill a gap in a queue of mixed
/// sizes, and those of our own timeouts. If such a timeout failed, its errno is the error.
#[inline(always)]
pub(crate) fn first(ring: Handle) -> (*mut Cqe, c_uint, Result<(), c_int>) {
    loop {
        let head = ring.cq_head();
        let available = ring.cq_tail().wrapping_sub(head);
        if available == 0 {
            return (ptr::null_mut(), 0, Ok(()));
        }
        let place = ring.cqe(head);
        // SAFETY: before the tail, so the kernel has written it and leaves it alone until we advance the head.
        let cqe = unsafe { *place };
        let fills_gap = cqe.flags & CqeFlags::SKIP.bits() != 0;
        let own_timeout = cqe.user_data == INTERNAL_TIMEOUT && !ring.can(Features::EXT_ARG);
        if !fills_gap && !own_timeout {
            return (place, available, Ok(()));
        }
        ring.take(places(cqe.flags));
        if !fills_gap && cqe.res < 0 {
            return (ptr::null_mut(), available, Err(errno::negated(cqe.res)));
        }
    }
}

/// How many places a completion takes.
#[inline(always)]
fn places(flags: c_uint) -> c_uint {
    if flags & CqeFlags::CQE_32.bits() != 0 { 2 } else { 1 }
}

/// Writes pointers to up to `count` completions to `cqes`, as far as there are any. Returns how many.
///
/// # Safety
///
/// `cqes` must have room for `count` pointers.
unsafe fn first_many(ring: Handle, cqes: *mut *mut Cqe, count: c_uint) -> c_uint {
    let mut head = ring.cq_head();
    let ready = ring.cq_tail().wrapping_sub(head);
    if !ring.is_set_up(SetupFlags::CQE_MIXED) {
        let count = count.min(ready);
        for index in 0..count {
            // SAFETY: below the count.
            unsafe { cqes.add(index as usize).write(ring.cqe(head.wrapping_add(index))) };
        }
        return count;
    }

    let end = head.wrapping_add(ready);
    let mut found = 0;
    while head != end && found < count {
        let place = ring.cqe(head);
        // SAFETY: before the tail, so the kernel has written it and leaves it alone until we advance the head.
        let flags = unsafe { (*place).flags };
        if flags & CqeFlags::SKIP.bits() != 0 {
            // A filler can only be consumed when nothing before it is still in use; it waits for the next call.
            if found > 0 {
                break;
            }
            ring.take(1);
            head = head.wrapping_add(1);
            continue;
        }
        // SAFETY: below the count.
        unsafe { cqes.add(found as usize).write(place) };
        found += 1;
        head = head.wrapping_add(places(flags));
    }
    found
}

/// Finds up to `count` completions without waiting: `io_uring_peek_batch_cqe(3)`. Returns how many.
///
/// # Safety
///
/// As the [crate] says; `cqes` must have room for `count` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_peek_batch_cqe(
    ring: *mut IoUring,
    cqes: *mut *mut Cqe,
    count: c_uint,
) -> c_uint {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring) };
    // SAFETY: the caller's promise.
    let found = unsafe { first_many(ring, cqes, count) };
    if found != 0 || !completions_are_held_back(ring) {
        return found;
    }
    // If the call fails there are simply none.
    let _ = fetch_completions(ring);
    // SAFETY: the caller's promise.
    unsafe { first_many(ring, cqes, count) }
}

/// The first completion without waiting and without a call; null if there is none. What
/// [`io_uring_peek_cqe`] begins with.
///
/// # Safety
///
/// As the [crate] says; `available` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_peek_cqe(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    available: *mut c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let (place, count, result) = first(unsafe { Handle::new(ring) });
    // SAFETY: the caller's promise.
    unsafe {
        cqe.write(place);
        if !available.is_null() {
            available.write(count);
        }
    }
    wait::status(result)
}

/// The first completion, -EAGAIN if there is none: `io_uring_peek_cqe(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_peek_cqe(ring: *mut IoUring, cqe: *mut *mut Cqe) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    // SAFETY: the caller's promise.
    unsafe {
        if __io_uring_peek_cqe(ring, cqe, ptr::null_mut()) == 0 {
            if !(*cqe).is_null() {
                return 0;
            }
            if !handle.is_set_up(SetupFlags::IOPOLL) && !completions_are_held_back(handle) {
                return errno::negated(errno::EAGAIN);
            }
        }
        wait::io_uring_wait_cqe_nr(ring, cqe, 0)
    }
}

/// How many places of the completion queue are taken: `io_uring_cq_ready(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cq_ready(ring: *const IoUring) -> c_uint {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring.cast_mut()) };
    ring.cq_tail().wrapping_sub(ring.cq_head())
}

/// Whether completions wait in the kernel because the queue was full: `io_uring_cq_has_overflow(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cq_has_overflow(ring: *const IoUring) -> bool {
    use ouzel_uring::abi::SqRingFlags;

    // SAFETY: the caller's promise.
    unsafe { Handle::new(ring.cast_mut()) }.sq_flags().contains(SqRingFlags::CQ_OVERFLOW)
}

/// Gives the places of `count` completions back: `io_uring_cq_advance(3)`.
///
/// # Safety
///
/// As the [crate] says; the program must be done with those completions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cq_advance(ring: *mut IoUring, count: c_uint) {
    // SAFETY: the caller's promise.
    unsafe { Handle::new(ring) }.take(count);
}

/// Gives the place of a completion back: `io_uring_cqe_seen(3)`. Null is none.
///
/// # Safety
///
/// As the [crate] says; it must be the first one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_seen(ring: *mut IoUring, cqe: *mut Cqe) {
    if !cqe.is_null() {
        // SAFETY: the caller's promise.
        unsafe { io_uring_cq_advance(ring, io_uring_cqe_nr(cqe)) };
    }
}

/// How many places a completion takes: `io_uring_cqe_nr(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_nr(cqe: *const Cqe) -> c_uint {
    // SAFETY: the caller's promise.
    places(unsafe { (*cqe).flags })
}

/// The user data as a pointer: `io_uring_cqe_get_data(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_get_data(cqe: *const Cqe) -> *mut c_void {
    // SAFETY: the caller's promise.
    ptr::with_exposed_provenance_mut(unsafe { (*cqe).user_data } as usize)
}

/// The user data as a number: `io_uring_cqe_get_data64(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_get_data64(cqe: *const Cqe) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*cqe).user_data }
}

/// Begins a walk over the completions that are there: what `io_uring_for_each_cqe(3)` begins with.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_iter_init(ring: *const IoUring) -> CompletionIterator {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring.cast_mut()) };
    CompletionIterator {
        cqes: ring.cqes(),
        mask: ring.cq_mask(),
        shift: ring.cqe_shift(),
        head: ring.cq_head(),
        tail: ring.cq_tail(),
    }
}

/// The next completion of a walk, if there is one.
///
/// # Safety
///
/// As the [crate] says; nothing of the walk may have been given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cqe_iter_next(
    iterator: *mut CompletionIterator,
    cqe: *mut *mut Cqe,
) -> bool {
    // SAFETY: the caller's promise.
    let walk = unsafe { &mut *iterator };
    if walk.head == walk.tail {
        return false;
    }
    let place = walk.cqes.wrapping_add(((walk.head & walk.mask) << walk.shift) as usize);
    // SAFETY: before the tail, so the kernel has written it; the place for the answer is the caller's promise.
    let flags = unsafe {
        cqe.write(place);
        (*place).flags
    };
    walk.head = walk.head.wrapping_add(places(flags));
    true
}

/// Whether the registered eventfd is told of completions: `io_uring_cq_eventfd_enabled(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cq_eventfd_enabled(ring: *const IoUring) -> bool {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring.cast_mut()) };
    let disabled = CqRingFlags::EVENTFD_DISABLED.bits();
    ring.cq_flags().is_none_or(|flags| flags.load(Ordering::Relaxed) & disabled == 0)
}

/// Switches that on or off: `io_uring_cq_eventfd_toggle(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_cq_eventfd_toggle(ring: *mut IoUring, enabled: bool) -> c_int {
    // SAFETY: the caller's promise.
    if enabled == unsafe { io_uring_cq_eventfd_enabled(ring) } {
        return 0;
    }
    // SAFETY: the caller's promise.
    let Some(word) = (unsafe { Handle::new(ring) }).cq_flags() else {
        return errno::negated(errno::EOPNOTSUPP);
    };
    let others = word.load(Ordering::Relaxed) & !CqRingFlags::EVENTFD_DISABLED.bits();
    let disabled = if enabled { 0 } else { CqRingFlags::EVENTFD_DISABLED.bits() };
    word.store(others | disabled, Ordering::Relaxed);
    0
}

//! The submission side: handing entries out, and handing them to the kernel.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::{EnterFlags, Features, Opcode, SetupFlags, SqRingFlags, Sqe, SqeFlags};

use crate::handle::Handle;
use crate::kernel::{self, Outcome, SIGNAL_MASK_SIZE, errno, to_c};
use crate::layout::{IoUring, internal};

/// Clears what an entry may still have from its last use, but for the fields that preparing it sets in any case.
#[inline(always)]
fn clear(sqe: &mut Sqe) {
    sqe.flags = 0;
    sqe.ioprio = 0;
    sqe.op_flags = 0;
    sqe.buf_index = 0;
    sqe.personality = 0;
    sqe.file_index = 0;
    sqe.addr3 = 0;
    sqe.reserved = 0;
}

/// Hands the next entry out, or null if none is free.
#[inline(always)]
pub(crate) fn next_entry(ring: Handle) -> *mut Sqe {
    let tail = ring.sqe_tail();
    if tail.wrapping_sub(ring.sq_head()) >= ring.sq_entries() {
        return ptr::null_mut();
    }
    hand_out(ring, tail, 1)
}

/// Hands the entry at `tail` out, which takes `places`.
#[inline(always)]
fn hand_out(ring: Handle, tail: c_uint, places: c_uint) -> *mut Sqe {
    let sqe = ring.sqe(tail);
    ring.set_sqe_tail(tail.wrapping_add(places));
    // SAFETY: the place is inside the queue, and the kernel has taken what was in it, so it is ours.
    clear(unsafe { &mut *sqe });
    sqe
}

/// Hands an entry of 128 bytes out, or null if there is no room.
fn next_big_entry(ring: Handle) -> *mut Sqe {
    if ring.is_set_up(SetupFlags::SQE128) {
        return next_entry(ring);
    }
    if !ring.is_set_up(SetupFlags::SQE_MIXED) {
        return ptr::null_mut();
    }
    // It takes two places that lie side by side. If the first would be the last of the queue, that one is filled
    // with an entry that does nothing and says nothing.
    let mut tail = ring.sqe_tail();
    let at_the_end = tail.wrapping_add(1) & ring.sq_mask() == 0;
    let places = if at_the_end { 3 } else { 2 };
    if tail.wrapping_add(places - 1).wrapping_sub(ring.sq_head()) >= ring.sq_entries() {
        return ptr::null_mut();
    }
    if at_the_end {
        let filler = next_entry(ring);
        // SAFETY: there is room, so it is an entry of ours.
        if let Some(filler) = unsafe { filler.as_mut() } {
            filler.opcode = Opcode::Nop as u8;
            filler.fd = -1;
            filler.off = 0;
            filler.addr = 0;
            filler.len = 0;
            filler.flags = SqeFlags::CQE_SKIP_SUCCESS.bits();
        }
        tail = ring.sqe_tail();
    }
    hand_out(ring, tail, 2)
}

/// Shows the kernel all entries that were handed out. Returns how many it has not taken yet.
#[inline(always)]
pub(crate) fn flush(ring: Handle) -> c_uint {
    let tail = ring.sqe_tail();
    if ring.is_set_up(SetupFlags::SQ_REWIND) {
        // The kernel begins at the first place each time and looks at no index.
        ring.set_sqe_tail(0);
        return tail;
    }
    if ring.sqe_head() != tail {
        ring.set_sqe_head(tail);
        ring.publish(tail);
    }
    tail.wrapping_sub(ring.sq_head_for_counting())
}

/// Which flags it takes to have `count` published entries run, or none if that needs no system call.
#[inline(always)]
pub(crate) fn flags_to_submit(ring: Handle, count: c_uint) -> Option<EnterFlags> {
    if count == 0 {
        return None;
    }
    if !ring.is_set_up(SetupFlags::SQPOLL) {
        return Some(EnterFlags::empty());
    }
    let asleep = ring.sq_flags_after_publish().contains(SqRingFlags::NEED_WAKEUP);
    asleep.then_some(EnterFlags::SQ_WAKEUP)
}

/// Whether completions are waiting in the kernel that only a call would bring.
#[inline(always)]
pub(crate) fn completions_need_call(ring: Handle) -> bool {
    ring.has(internal::MUST_ASK) || completions_are_held_back(ring)
}

/// Whether the kernel says so itself.
#[inline(always)]
pub(crate) fn completions_are_held_back(ring: Handle) -> bool {
    ring.sq_flags().intersects(SqRingFlags::CQ_OVERFLOW.union(SqRingFlags::TASKRUN))
}

/// Enters the ring without an argument.
#[inline(always)]
fn enter(ring: Handle, to_submit: c_uint, min_complete: c_uint, flags: EnterFlags) -> Outcome {
    let flags = flags.bits() | ring.enter_flags();
    // SAFETY: there is no signal mask. The entries are the C program's promise.
    unsafe { kernel::enter(ring.enter_fd(), to_submit, min_complete, flags, ptr::null(), SIGNAL_MASK_SIZE) }
}

/// Submits everything; waits for `wait` completions; looks for completions in any case if `look`.
#[inline(always)]
fn submit(ring: Handle, wait: c_uint, look: bool) -> c_int {
    let count = flush(ring);
    let get = look || wait != 0 || completions_need_call(ring);
    let submit = flags_to_submit(ring, count);
    if submit.is_none() && !get {
        return count as c_int;
    }
    let mut flags = submit.unwrap_or(EnterFlags::empty());
    if get {
        flags |= EnterFlags::GETEVENTS;
    }
    to_c(enter(ring, count, wait, flags))
}

/// Asks for completions that wait in the kernel.
pub(crate) fn fetch_completions(ring: Handle) -> Outcome {
    enter(ring, 0, 0, EnterFlags::GETEVENTS)
}

/// Submits a timeout for `count` completions, for kernels whose waiting takes no time limit. Returns how many
/// entries are to be submitted with it.
pub(crate) fn queue_timeout(ring: Handle, time: *const c_void, count: c_uint) -> Result<c_uint, c_int> {
    let mut sqe = next_entry(ring);
    if sqe.is_null() {
        let outcome = submit(ring, 0, false);
        if outcome < 0 {
            return Err(errno::negated(outcome));
        }
        sqe = next_entry(ring);
    }
    // SAFETY: an entry that was just handed out, or null.
    let Some(sqe) = (unsafe { sqe.as_mut() }) else { return Err(errno::EAGAIN) };
    sqe.opcode = Opcode::Timeout as u8;
    sqe.fd = -1;
    sqe.addr = time.expose_provenance() as u64;
    sqe.len = 1;
    sqe.off = count.into();
    sqe.user_data = INTERNAL_TIMEOUT;
    Ok(flush(ring))
}

/// The user data of such a timeout (`LIBURING_UDATA_TIMEOUT`): its completion is taken by us, not the program.
pub(crate) const INTERNAL_TIMEOUT: u64 = u64::MAX;

/// The next entry to fill in, null if the queue is full: `io_uring_get_sqe(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_get_sqe(ring: *mut IoUring) -> *mut Sqe {
    // SAFETY: the caller's promise.
    next_entry(unsafe { Handle::new(ring) })
}

/// The next entry of 128 bytes to fill in, null if there is no room: `io_uring_get_sqe128(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_get_sqe128(ring: *mut IoUring) -> *mut Sqe {
    // SAFETY: the caller's promise.
    next_big_entry(unsafe { Handle::new(ring) })
}

/// Submits what was prepared: `io_uring_submit(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    submit(unsafe { Handle::new(ring) }, 0, false)
}

/// Submits what was prepared and waits for `wait` completions: `io_uring_submit_and_wait(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit_and_wait(ring: *mut IoUring, wait: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    submit(unsafe { Handle::new(ring) }, wait, false)
}

/// Submits what was prepared and fetches completions without waiting: `io_uring_submit_and_get_events(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit_and_get_events(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    submit(unsafe { Handle::new(ring) }, 0, true)
}

/// Fetches completions that wait in the kernel: `io_uring_get_events(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_get_events(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    to_c(fetch_completions(unsafe { Handle::new(ring) }))
}

/// Waits until the kernel's thread has taken an entry: what `io_uring_sqring_wait(3)` does when the queue is full.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_sqring_wait(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    to_c(enter(unsafe { Handle::new(ring) }, 0, 0, EnterFlags::SQ_WAIT))
}

/// Waits until there is room for an entry, in rings with a thread of the kernel's: `io_uring_sqring_wait(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_sqring_wait(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !handle.is_set_up(SetupFlags::SQPOLL)
        || handle.sqe_tail().wrapping_sub(handle.sq_head()) < handle.sq_entries()
    {
        return 0;
    }
    to_c(enter(handle, 0, 0, EnterFlags::SQ_WAIT))
}

/// How many entries the kernel has not taken: `io_uring_sq_ready(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_sq_ready(ring: *const IoUring) -> c_uint {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring.cast_mut()) };
    ring.sqe_tail().wrapping_sub(ring.sq_head())
}

/// How many entries can be prepared before the queue is full: `io_uring_sq_space_left(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_sq_space_left(ring: *const IoUring) -> c_uint {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring.cast_mut()) };
    // SAFETY: the caller's promise.
    handle.sq_entries().wrapping_sub(unsafe { io_uring_sq_ready(ring) })
}

/// Chooses whether waiting for completions counts as waiting for I/O: `io_uring_set_iowait(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_set_iowait(ring: *mut IoUring, counts: bool) -> c_int {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring) };
    if !ring.can(Features::NO_IOWAIT) {
        return errno::negated(errno::EOPNOTSUPP);
    }
    let others = ring.internal() & !internal::NO_IOWAIT;
    ring.set_internal(if counts { others } else { others | internal::NO_IOWAIT });
    0
}

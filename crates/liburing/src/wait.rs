//! Waiting for completions, with and without a limit of time, and submitting on the way.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::{Cqe, EnterFlags, Features, GetEventsArg, RegWait, Timespec};

use crate::completions::first;
use crate::handle::Handle;
use crate::kernel::{self, SIGNAL_MASK_SIZE, errno};
use crate::layout::IoUring;
use crate::submission::{completions_need_call, flags_to_submit, flush, queue_timeout};

/// What to wait for and how.
struct Wish {
    /// How many entries to submit on the way.
    submit: c_uint,
    /// How many completions to wait for.
    completions: c_uint,
    /// What the argument is.
    flags: EnterFlags,
    /// The argument of the call, and its size.
    argument: *const c_void,
    size: usize,
    /// Whether the argument limits the time.
    limited: bool,
}

/// 0 or a negated errno.
#[inline(always)]
pub(crate) fn status(result: Result<(), c_int>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => errno::negated(errno),
    }
}

/// Submits and waits as wished. Returns the first completion or null, and what C is told: a negated errno, 0, or
/// how many entries the first call submitted.
///
/// What is told first stays: an error after entries were submitted does not hide how many those were.
fn wait(ring: Handle, mut wish: Wish) -> (*mut Cqe, c_int) {
    let mut told = 0;
    let mut called = false;
    loop {
        let (cqe, available, result) = first(ring);
        let tell = |told: c_int, news: c_int| if told == 0 { news } else { told };
        if result.is_err() {
            return (cqe, tell(told, status(result)));
        }

        let mut flags = None;
        if cqe.is_null() && wish.completions == 0 && wish.submit == 0 {
            // Nothing to do and nothing to wait for: look once for what the kernel may be holding back.
            if called || !completions_need_call(ring) {
                return (cqe, tell(told, errno::negated(errno::EAGAIN)));
            }
            flags = Some(EnterFlags::GETEVENTS | wish.flags);
        }
        if wish.completions > available {
            flags = Some(EnterFlags::GETEVENTS | wish.flags);
        }
        if let Some(to_submit) = flags_to_submit(ring, wish.submit) {
            flags = Some(flags.unwrap_or(EnterFlags::empty()) | to_submit);
        }
        let Some(flags) = flags else { return (cqe, told) };

        if called && wish.limited {
            // The limit is for the whole wait, so there is no second one.
            let expired = if cqe.is_null() { errno::negated(errno::ETIME) } else { 0 };
            return (cqe, tell(told, expired));
        }
        let flags = flags.bits() | ring.enter_flags();
        // SAFETY: the argument is what the flags say, by those who make wishes. The entries and what the argument
        // leads to are the C program's promise.
        let outcome = unsafe {
            kernel::enter(ring.enter_fd(), wish.submit, wish.completions, flags, wish.argument, wish.size)
        };
        match outcome {
            Err(errno) => return (cqe, tell(told, errno::negated(errno))),
            Ok(count) => {
                wish.submit = wish.submit.wrapping_sub(count);
                if !cqe.is_null() {
                    return (cqe, told);
                }
                if !called {
                    called = true;
                    told = count as c_int;
                }
            }
        }
    }
}

/// Writes the completion where C wants it and returns what C is told.
///
/// # Safety
///
/// `cqe` must be valid to write to.
unsafe fn answer(cqe: *mut *mut Cqe, (place, told): (*mut Cqe, c_int)) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { cqe.write(place) };
    told
}

/// A wait without a limit of time.
fn unlimited(submit: c_uint, completions: c_uint, signals: *const c_void) -> Wish {
    Wish {
        submit,
        completions,
        flags: EnterFlags::empty(),
        argument: signals,
        size: SIGNAL_MASK_SIZE,
        limited: false,
    }
}

/// The extended argument of a wait.
fn argument(time: *const Timespec, min_wait: c_uint, signals: *const c_void) -> GetEventsArg {
    GetEventsArg {
        sigmask: signals.expose_provenance() as u64,
        sigmask_sz: SIGNAL_MASK_SIZE as u32,
        min_wait_usec: min_wait,
        ts: time.expose_provenance() as u64,
    }
}

/// A wait with the extended argument.
fn extended(ring: Handle, submit: c_uint, completions: c_uint, argument: &GetEventsArg) -> (*mut Cqe, c_int) {
    let wish = Wish {
        submit,
        completions,
        flags: EnterFlags::EXT_ARG,
        argument: ptr::from_ref(argument).cast(),
        size: size_of::<GetEventsArg>(),
        limited: argument.ts != 0,
    };
    wait(ring, wish)
}

/// Waits for `completions`, after submitting `submit` entries: what the simpler functions of the header call.
///
/// # Safety
///
/// As the [crate] says; `signals` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_get_cqe(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    submit: c_uint,
    completions: c_uint,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { answer(cqe, wait(Handle::new(ring), unlimited(submit, completions, signals))) }
}

/// Waits for `completions`, for no longer than `time`: `io_uring_wait_cqes(3)`.
///
/// # Safety
///
/// As the [crate] says; `time` and `signals` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_wait_cqes(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    time: *mut Timespec,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !time.is_null() && handle.can(Features::EXT_ARG) {
        // SAFETY: the caller's promise.
        return unsafe { answer(cqe, extended(handle, 0, completions, &argument(time, 0, signals))) };
    }
    let mut submit = 0;
    if !time.is_null() {
        match queue_timeout(handle, time.cast(), completions) {
            Ok(count) => submit = count,
            Err(errno) => return errno::negated(errno),
        }
    }
    // SAFETY: the caller's promise.
    unsafe { answer(cqe, wait(handle, unlimited(submit, completions, signals))) }
}

/// Waits for `completions` for `min_wait` microseconds, then for one, for no longer than `time`:
/// `io_uring_wait_cqes_min_timeout(3)`.
///
/// # Safety
///
/// As the [crate] says; `time` and `signals` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_wait_cqes_min_timeout(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    time: *mut Timespec,
    min_wait: c_uint,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !handle.can(Features::MIN_TIMEOUT) {
        return errno::negated(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { answer(cqe, extended(handle, 0, completions, &argument(time, min_wait, signals))) }
}

/// Waits for one completion, for no longer than `time`: `io_uring_wait_cqe_timeout(3)`.
///
/// # Safety
///
/// As the [crate] says; `time` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_wait_cqe_timeout(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    time: *mut Timespec,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { io_uring_wait_cqes(ring, cqe, 1, time, ptr::null_mut()) }
}

/// Submits, then waits as both functions that follow do.
///
/// # Safety
///
/// As the [crate] says; `time` and `signals` may be null.
unsafe fn submit_and_wait(
    handle: Handle,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    time: *mut Timespec,
    min_wait: c_uint,
    signals: *mut c_void,
) -> c_int {
    if !time.is_null() && handle.can(Features::EXT_ARG) {
        let argument = argument(time, min_wait, signals);
        // SAFETY: the caller's promise.
        return unsafe { answer(cqe, extended(handle, flush(handle), completions, &argument)) };
    }
    let submit = if time.is_null() {
        flush(handle)
    } else {
        match queue_timeout(handle, time.cast(), completions) {
            Ok(count) => count,
            Err(errno) => return errno::negated(errno),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { answer(cqe, wait(handle, unlimited(submit, completions, signals))) }
}

/// Submits and waits for `completions`, for no longer than `time`: `io_uring_submit_and_wait_timeout(3)`.
///
/// # Safety
///
/// As the [crate] says; `time` and `signals` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit_and_wait_timeout(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    time: *mut Timespec,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { submit_and_wait(Handle::new(ring), cqe, completions, time, 0, signals) }
}

/// Submits and waits for `completions` for `min_wait` microseconds, then for one, for no longer than `time`:
/// `io_uring_submit_and_wait_min_timeout(3)`.
///
/// # Safety
///
/// As the [crate] says; `time` and `signals` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit_and_wait_min_timeout(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    time: *mut Timespec,
    min_wait: c_uint,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !handle.can(Features::MIN_TIMEOUT) {
        return errno::negated(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { submit_and_wait(handle, cqe, completions, time, min_wait, signals) }
}

/// Submits and waits for `completions` as argument `index` of the registered region says:
/// `io_uring_submit_and_wait_reg(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_submit_and_wait_reg(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
    index: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    let submit = flush(handle);
    if !handle.can(Features::EXT_ARG) {
        return errno::negated(errno::EINVAL);
    }
    let offset = (index as usize).wrapping_mul(size_of::<RegWait>());
    let wish = Wish {
        submit,
        completions,
        flags: EnterFlags::EXT_ARG | EnterFlags::EXT_ARG_REG,
        argument: ptr::without_provenance(offset),
        size: size_of::<RegWait>(),
        limited: true,
    };
    // SAFETY: the caller's promise.
    unsafe { answer(cqe, wait(handle, wish)) }
}

/// Waits for `completions`: `io_uring_wait_cqe_nr(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_wait_cqe_nr(
    ring: *mut IoUring,
    cqe: *mut *mut Cqe,
    completions: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { __io_uring_get_cqe(ring, cqe, 0, completions, ptr::null_mut()) }
}

/// Waits for one completion: `io_uring_wait_cqe(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_wait_cqe(ring: *mut IoUring, cqe: *mut *mut Cqe) -> c_int {
    // SAFETY: the caller's promise.
    let (place, _, result) = first(unsafe { Handle::new(ring) });
    if result.is_ok() && !place.is_null() {
        // SAFETY: the caller's promise.
        return unsafe { answer(cqe, (place, 0)) };
    }
    // SAFETY: the caller's promise.
    unsafe { io_uring_wait_cqe_nr(ring, cqe, 1) }
}

//! The three system calls by themselves, for programs that keep their own queues.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::Params;

use crate::kernel::{self, SIGNAL_MASK_SIZE, errno, to_c};

/// Enters the ring `fd` with an optional signal mask: `io_uring_enter(2)`.
///
/// # Safety
///
/// As the [crate] says; the entries that the kernel finds are the caller's responsibility.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_enter(
    fd: c_uint,
    to_submit: c_uint,
    min_complete: c_uint,
    flags: c_uint,
    signals: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::enter(fd as c_int, to_submit, min_complete, flags, signals, SIGNAL_MASK_SIZE) })
}

/// Enters the ring `fd` with an argument of any kind: `io_uring_enter2(2)`.
///
/// # Safety
///
/// As the [crate] says; the entries that the kernel finds are the caller's responsibility.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_enter2(
    fd: c_uint,
    to_submit: c_uint,
    min_complete: c_uint,
    flags: c_uint,
    argument: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::enter(fd as c_int, to_submit, min_complete, flags, argument, size) })
}

/// Makes a ring and maps nothing: `io_uring_setup(2)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_setup(entries: c_uint, params: *mut Params) -> c_int {
    // SAFETY: the caller's promise, but for null, which programs pass to hear EFAULT.
    let Some(params) = (unsafe { params.as_mut() }) else { return errno::negated(errno::EFAULT) };
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::setup(entries, params) }.map(|fd| fd as c_uint))
}

/// Registers something with the ring `fd`: `io_uring_register(2)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register(
    fd: c_uint,
    operation: c_uint,
    argument: *const c_void,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::register(fd as c_int, operation, argument, count) })
}

//! Registering: everything that is set on a ring with `io_uring_register(2)`.
//!
//! One way into the kernel, [`call`], which knows how a ring is named; the functions only put arguments together.

mod buffers;
mod files;
mod rings;
mod settings;

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::{REGISTER_USE_REGISTERED_RING, RegisterOpcode};

use crate::handle::Handle;
use crate::kernel::{self, errno, to_c};
use crate::layout::{IoUring, internal};

pub use buffers::*;
pub use files::*;
pub use rings::*;
pub use settings::*;

/// Registers `argument` with a ring.
///
/// # Safety
///
/// As the [crate] says for the ring; `argument` and `count` must be what `operation` wants.
unsafe fn call(
    ring: *mut IoUring,
    operation: RegisterOpcode,
    argument: *const c_void,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring) };
    let (fd, flag) = if ring.has(internal::REGISTERS_BY_INDEX) {
        (ring.enter_fd(), REGISTER_USE_REGISTERED_RING)
    } else {
        (ring.ring_fd(), 0)
    };
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::register(fd, operation as c_uint | flag, argument, count) })
}

/// Registers `argument`, one of its kind, with a ring.
///
/// # Safety
///
/// As [`call`].
unsafe fn call_with<T>(
    ring: *mut IoUring,
    operation: RegisterOpcode,
    argument: *const T,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call(ring, operation, argument.cast(), count) }
}

/// Registers something that has no argument.
///
/// # Safety
///
/// As the [crate] says for the ring.
unsafe fn call_without(ring: *mut IoUring, operation: RegisterOpcode) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call(ring, operation, ptr::null(), 0) }
}

/// Registers something that needs no ring.
///
/// # Safety
///
/// `argument` and `count` must be what `operation` wants.
unsafe fn call_without_ring<T>(operation: RegisterOpcode, argument: *const T, count: c_uint) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { kernel::register(-1, operation as c_uint, argument.cast(), count) })
}

/// Tries again with a higher limit of open files if that was the reason why it failed.
fn with_file_limit(count: c_uint, mut attempt: impl FnMut() -> c_int) -> c_int {
    let outcome = attempt();
    if outcome != errno::negated(errno::EMFILE) {
        return outcome;
    }
    kernel::raise_file_limit(count);
    attempt()
}

/// The address of a pointer that C gave, as the kernel takes it.
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

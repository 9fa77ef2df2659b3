//! What can be set on a ring, and what can be asked: `io_uring_register(2)`, all of it.
//!
//! Every method is one call unless it says otherwise. Nothing is cached but the registered index, which the ring
//! needs to enter. Here are the call itself and the arguments that several operations share; the operations are in
//! the files below, by what they are about.

mod buffer_rings;
mod buffers;
mod cancel;
mod files;
mod notify;
mod query;
mod regions;
mod resize;
mod restrict;
mod rings;
mod workers;
mod zero_copy;

use core::ffi::c_void;

use rustix::fd::AsRawFd as _;

pub use buffer_rings::BufRing;
pub use buffers::CloneRange;
pub use cancel::CancelKey;
pub use files::SlotUpdate;
pub use query::{Probe, query_kernel, query_queue_head, query_raw, query_zero_copy};
pub use restrict::{Rule, restrict_task};
pub use rings::post_message;
pub use workers::{BusyPoll, Clock};

use crate::abi::{Iovec, REGISTER_USE_REGISTERED_RING, RegisterOpcode};
use crate::error::{RegisterCause, RegisterError, SetupError};
use crate::raw;
use crate::ring::{Ring, RingFd};

/// The descriptor of operations that need no ring.
const NO_RING: i32 = -1;

/// The length of a list as the kernel takes it.
fn count<T>(operation: RegisterOpcode, list: &[T]) -> Result<u32, RegisterError> {
    u32::try_from(list.len()).map_err(|_| RegisterError { operation, cause: RegisterCause::TooLong })
}

/// The address of a list as the kernel takes it inside an argument.
fn list_address<T>(list: &[T]) -> u64 {
    list.as_ptr().expose_provenance() as u64
}

/// The error of a mapping that was to follow an operation.
fn mapping_error(operation: RegisterOpcode, error: SetupError) -> RegisterError {
    RegisterError { operation, cause: RegisterCause::Map { errno: error.errno() } }
}

impl Iovec {
    /// The memory of `length` bytes from `start` on.
    #[inline]
    pub fn new(start: *const u8, length: usize) -> Self {
        Self { base: start.expose_provenance() as u64, length: length as u64 }
    }
}

impl Ring {
    /// Calls `io_uring_register` on this ring.
    ///
    /// # Safety
    ///
    /// `argument` and `count` must be what `operation` wants.
    pub(crate) unsafe fn register(
        &self,
        operation: RegisterOpcode,
        argument: *const c_void,
        count: u32,
    ) -> Result<u32, RegisterError> {
        // SAFETY: the caller's promise.
        unsafe { self.register_raw(operation as u32, argument, count) }
            .map_err(|errno| RegisterError::from_errno(errno, operation))
    }

    /// `io_uring_register(2)` itself, for operations that this crate does not know. Errors are positive errnos.
    ///
    /// # Safety
    ///
    /// `argument` and `count` must be what the operation of this number wants, and what it points to must live as
    /// long as that says. The ring's queues, its registered index and its memory must stay what they are.
    pub unsafe fn register_raw(&self, number: u32, argument: *const c_void, count: u32) -> Result<u32, i32> {
        let (fd, number) = match &self.fd {
            RingFd::Owned(fd) => (fd.as_raw_fd(), number),
            RingFd::Registered(index) => (*index as i32, number | REGISTER_USE_REGISTERED_RING),
        };
        // SAFETY: the caller's promise.
        unsafe { raw::register(fd, number, argument, count) }
    }

    /// An operation that takes one structure.
    ///
    /// # Safety
    ///
    /// `operation` must take a `T` and this count, and read no memory that is not there.
    unsafe fn register_one<T>(
        &self,
        operation: RegisterOpcode,
        argument: &T,
        count: u32,
    ) -> Result<u32, RegisterError> {
        // SAFETY: the caller's promise; the argument lives through the call.
        unsafe { self.register(operation, core::ptr::from_ref(argument).cast(), count) }
    }

    /// An operation that takes one structure and writes its answer there.
    ///
    /// # Safety
    ///
    /// `operation` must take a `T` and this count, and touch no memory that is not there.
    unsafe fn register_answered<T>(
        &self,
        operation: RegisterOpcode,
        argument: &mut T,
        count: u32,
    ) -> Result<u32, RegisterError> {
        // SAFETY: the caller's promise; the argument lives through the call.
        unsafe { self.register(operation, core::ptr::from_mut(argument).cast_const().cast(), count) }
    }

    /// An operation that takes nothing.
    fn register_nothing(&self, operation: RegisterOpcode) -> Result<(), RegisterError> {
        // SAFETY: this is only called for operations without an argument.
        unsafe { self.register(operation, core::ptr::null(), 0) }.map(|_| ())
    }
}

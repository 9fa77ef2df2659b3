//! An eventfd that tells of completions.

use rustix::fd::{AsRawFd as _, BorrowedFd};

use crate::abi::RegisterOpcode;
use crate::error::RegisterError;
use crate::ring::Ring;

impl Ring {
    /// Signals an eventfd for every completion.
    pub fn register_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), RegisterError> {
        let argument = eventfd.as_raw_fd();
        // SAFETY: this operation takes one descriptor.
        unsafe { self.register(RegisterOpcode::Eventfd, core::ptr::from_ref(&argument).cast(), 1) }?;
        Ok(())
    }

    /// Signals an eventfd for completions that did not come at once, within the call that submitted their entry (5.6).
    pub fn register_eventfd_async(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), RegisterError> {
        let argument = eventfd.as_raw_fd();
        // SAFETY: this operation takes one descriptor.
        unsafe { self.register_one(RegisterOpcode::EventfdAsync, &argument, 1) }.map(|_| ())
    }

    /// Signals it no longer.
    pub fn unregister_eventfd(&mut self) -> Result<(), RegisterError> {
        // SAFETY: this operation takes no argument.
        unsafe { self.register(RegisterOpcode::UnregisterEventfd, core::ptr::null(), 0) }?;
        Ok(())
    }
}

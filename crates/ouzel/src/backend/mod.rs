//! The backends that Ouzel brings: what each needs from a host, beyond the engine's trait.

pub mod fault;
mod memory;
mod random;
pub mod sim;
pub mod threads;
pub mod uring;

use std::os::fd::OwnedFd;

use ouzel_engine::Backend;
use ouzel_ring::Errno;

/// A backend whose descriptor table can exchange objects with the rest of the process.
pub trait HostBackend: Backend + Send {
    /// Puts an ordinary file descriptor into the table at `index`, which the engine has reserved.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors.
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno>;

    /// Takes the object at `index` out of the table as an ordinary file descriptor. No operation uses it.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors; those of making one.
    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno>;
}

impl<B: HostBackend + ?Sized> HostBackend for Box<B> {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        (**self).adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        (**self).release(index)
    }
}

//! The backends that Ouzel brings: what each needs from a host, beyond the engine's trait.

pub mod fault;
mod memory;
mod metadata;
mod random;
pub mod sim;
mod sync_range;
pub mod threads;
pub mod uring;

use std::os::fd::OwnedFd;

use ouzel_engine::Backend;
use ouzel_ring::Errno;

/// A backend whose descriptor table can exchange objects with the rest of the process, and whose word is trusted.
///
/// # Safety
///
/// [`Ring`](crate::Ring) hands buffers out as filled to the length that was reported. An implementation reports a
/// result for an operation that fills memory (READ, RECV, READDIR, STAT, READLINK, STATFS, GETXATTR, LISTXATTR) only if
/// it, or the kernel on its behalf, has written that many bytes from the start of the operation's buffer, or for
/// READLINK, GETXATTR and LISTXATTR if that buffer is empty; and it touches an operation's memory only between its start
/// and its last report.
pub unsafe trait HostBackend: Backend + Send {
    /// Puts an ordinary file descriptor into the table at `index`, which the engine has reserved.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors.
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno>;

    /// Takes the object at `index` out of the table as an ordinary file descriptor. No operation uses it.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors; those of making one.
    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno>;
}

// SAFETY: every call is passed on, and what is boxed has promised.
unsafe impl<B: HostBackend + ?Sized> HostBackend for Box<B> {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        (**self).adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        (**self).release(index)
    }
}

//! The backends that Ouzel brings: what each needs from a host, beyond the engine's trait.

mod confine;
pub mod fault;
mod host;
mod memory;
mod metadata;
mod random;
pub mod sim;
mod sync_range;
pub mod threads;
pub mod uring;

use std::os::fd::OwnedFd;

use ouzel_engine::Backend;
use ouzel_pool::Pool;
use ouzel_ring::Errno;

use crate::{Bell, BufferGroup, RegisteredMemory};

/// A backend whose descriptor table can exchange objects with the rest of the process, and whose word is trusted.
///
/// # Safety
///
/// [`Ring`](crate::Ring) hands buffers out as filled to the length that was reported. An implementation reports a
/// result for an operation that fills memory (READ, RECV, READDIR, STAT, READLINK, STATFS, GETXATTR, LISTXATTR, GETSOCKOPT,
/// RECVMSG, and SOCKNAME and PEERNAME as far as the buffer goes) only if it, or the kernel on its behalf, has written that
/// many bytes from the start of the operation's buffer, or for READLINK, GETXATTR and LISTXATTR if that buffer is empty; and
/// it touches an operation's memory only between its start and its last report.
pub unsafe trait HostBackend: Backend + Send {
    /// Puts an ordinary file descriptor into the table at `index`, which the engine has reserved.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors.
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno>;

    /// Takes the object at `index` out of the table as an ordinary file descriptor. No operation uses it.
    ///
    /// Errors: EOPNOTSUPP where the backend has no real descriptors; those of making one.
    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno>;

    /// Makes a bell that rings on backends of this kind can have.
    fn make_bell(&mut self) -> Result<Bell, Errno> {
        Bell::event()
    }

    /// Puts a bell into the table at `index`, which the engine has reserved.
    ///
    /// Errors: EOPNOTSUPP for one of another kind of backend.
    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        self.adopt(index, bell.duplicate()?)
    }

    /// An event counter (`eventfd(2)`) that is added to, from now on, whenever there is something for which
    /// [`wait`](Backend::wait) would return, for those who wait elsewhere. `None` if there is no such thing.
    ///
    /// Errors: EMFILE, ENFILE or ENOMEM of the system.
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        Ok(None)
    }

    /// Takes note of a group of buffers, whose [number](BufferGroup::number) the engine has reserved: a
    /// [`RecvPicked`](ouzel_engine::Operation::RecvPicked) picks from it.
    ///
    /// Errors: EOPNOTSUPP where there are no groups; ENOMEM of the system.
    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        let _ = group;
        Err(Errno::EOPNOTSUPP)
    }

    /// Lets go of a group. Nothing that names it is under way.
    fn remove_group(&mut self, group: u16) {
        let _ = group;
    }

    /// Registers the memory of a pool with the kernel, as far as it takes it, where that is of any use: transfers from and
    /// to it are cheaper then. What the operations mean does not change.
    fn register_pool(&mut self, pool: &Pool) {
        let _ = pool;
    }

    /// Registers what registered pools have grown by, and lets go of what they have given back.
    fn follow_pools(&mut self) {}

    /// What is registered; `None` if nothing ever was, or there is no such thing.
    fn registered_memory(&self) -> Option<RegisteredMemory> {
        None
    }

    /// Puts the process with this number into the table at `index`, which the engine has reserved.
    ///
    /// Errors: ECHILD if there is none.
    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        self.adopt(index, host::open_process(number)?)
    }

    /// Starts a process that only a simulator knows of, and returns its number.
    ///
    /// Errors: EOPNOTSUPP where processes are the system's.
    fn simulate_process(&mut self, process: sim::SimProcess) -> Result<i32, Errno> {
        let _ = process;
        Err(Errno::EOPNOTSUPP)
    }
}

// SAFETY: every call is passed on, and what is boxed has promised.
unsafe impl<B: HostBackend + ?Sized> HostBackend for Box<B> {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        (**self).adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        (**self).release(index)
    }

    fn make_bell(&mut self) -> Result<Bell, Errno> {
        (**self).make_bell()
    }

    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        (**self).adopt_bell(index, bell)
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        (**self).readiness()
    }

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        (**self).add_group(group)
    }

    fn register_pool(&mut self, pool: &Pool) {
        (**self).register_pool(pool);
    }

    fn follow_pools(&mut self) {
        (**self).follow_pools();
    }

    fn registered_memory(&self) -> Option<RegisteredMemory> {
        (**self).registered_memory()
    }

    fn remove_group(&mut self, group: u16) {
        (**self).remove_group(group);
    }

    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        (**self).adopt_process(index, number)
    }

    fn simulate_process(&mut self, process: sim::SimProcess) -> Result<i32, Errno> {
        (**self).simulate_process(process)
    }
}

// A service runs its clients' chains on the same backends.
impl ouzel_scheme::Host for dyn HostBackend {
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        HostBackend::readiness(self)
    }
}

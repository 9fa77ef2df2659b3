//! A confined backend as one of a host's: what a service runs for its clients.
//!
//! [`Confine`] knows only the engine's trait. What a host does with a table and with memory goes past it, to the backend
//! below: it is the service that does that, and not its client.

use std::os::fd::OwnedFd;

use ouzel_pool::Pool;
use ouzel_ring::Errno;
use ouzel_scheme::Confine;

use super::HostBackend;
use super::sim::SimProcess;
use crate::{Bell, BufferGroup, RegisteredMemory};

// SAFETY: outcomes are those of the wrapped backend, which has promised, for the same memory; or they are failures, which
// have no result. What that backend lends and is lent lies no longer with it than it says, since a step is reported
// only when its last operation below is.
unsafe impl<B: HostBackend> HostBackend for Confine<B> {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        self.inner_mut().adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        self.inner_mut().release(index)
    }

    fn make_bell(&mut self) -> Result<Bell, Errno> {
        self.inner_mut().make_bell()
    }

    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        self.inner_mut().adopt_bell(index, bell)
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        self.inner_mut().readiness()
    }

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        self.inner_mut().add_group(group)
    }

    fn remove_group(&mut self, group: u16) {
        self.inner_mut().remove_group(group);
    }

    fn register_pool(&mut self, pool: &Pool) {
        self.inner_mut().register_pool(pool);
    }

    fn follow_pools(&mut self) {
        self.inner_mut().follow_pools();
    }

    fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.inner().registered_memory()
    }

    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        self.inner_mut().adopt_process(index, number)
    }

    fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Errno> {
        self.inner_mut().simulate_process(process)
    }
}

//! The doorbell: an event counter that a client adds to, and a service watches without ever reading it.
//!
//! Each addition is an edge for the service's epoll. Nothing is ever taken from the counter, so nobody can make the
//! service wait by filling it: only the client writes, and at 2^64 - 2 only the client waits.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

/// A new doorbell.
pub(crate) fn new() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Rings it.
pub(crate) fn ring(doorbell: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(doorbell, &1u64.to_ne_bytes())?;
    Ok(())
}

//! The doorbell: an event counter that a client adds to, and a service watches without ever reading it.
//!
//! Each addition is an edge for the service's epoll. Nothing is ever taken from the counter, so nobody can make the
//! service wait by filling it. A client that finds it full has to do with a service that has filled it, since 2^64 - 2 rings are
//! more than there is time for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::ioctl_fionbio;

/// A new doorbell.
pub(crate) fn new() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Whether what a service hands over is one. From then on who rings it does not wait, unless the service takes that back.
///
/// What it is, is asked of the kernel alone: a file of the service's own file system could keep whoever asks it anything.
///
/// Errors: InvalidData if it is something else; those of `/proc`.
pub(crate) fn check(theirs: &OwnedFd) -> io::Result<()> {
    // The paths of files begin with a slash.
    let link = std::fs::read_link(format!("/proc/thread-self/fd/{}", theirs.as_raw_fd()))?;
    if link.as_os_str() != "anon_inode:[eventfd]" {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    Ok(ioctl_fionbio(theirs, true)?)
}

/// Rings it.
pub(crate) fn ring(doorbell: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(doorbell, &1u64.to_ne_bytes())?;
    Ok(())
}

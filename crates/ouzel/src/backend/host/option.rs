//! GETSOCKOPT, SETSOCKOPT, SOCKNAME and PEERNAME: what a socket knows of itself. They never wait.

use std::os::fd::BorrowedFd;

use ouzel_engine::Span;

use super::memory::{self, Whose};
use super::{Done, Turn};

pub(super) fn read(socket: BorrowedFd<'_>, level: i32, name: i32, value: &Span) -> Turn {
    Ok(Done::with(u64::from(memory::read_option(socket, level, name, value)?)))
}

pub(super) fn write(socket: BorrowedFd<'_>, level: i32, name: i32, value: &Span) -> Turn {
    memory::write_option(socket, level, name, value)?;
    Ok(Done::default())
}

pub(super) fn own_name(socket: BorrowedFd<'_>, address: &Span) -> Turn {
    Ok(Done::with(u64::from(memory::address(socket, Whose::Own, address)?)))
}

pub(super) fn peer_name(socket: BorrowedFd<'_>, address: &Span) -> Turn {
    Ok(Done::with(u64::from(memory::address(socket, Whose::Peer, address)?)))
}

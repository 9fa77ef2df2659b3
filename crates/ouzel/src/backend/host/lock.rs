//! LOCK: locks that belong to an open file (`F_OFD_SETLK`), taken or refused at once.
//!
//! The system's call that waits for a lock can only be ended by a signal. A library must not own one, so a lock that
//! somebody else holds is asked for again after a while.

use std::os::fd::BorrowedFd;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::LockMode;

use super::{Done, Need, Stop, Turn, memory};

pub(super) fn attempt(file: BorrowedFd<'_>, offset: u64, length: u64, mode: LockMode) -> Turn {
    // The engine has seen that both fit.
    match memory::set_lock(file, mode as u64 as i16, offset as i64, length as i64) {
        Ok(()) => Ok(Done::default()),
        // POSIX leaves open which of the two says that somebody else has it.
        Err(Errno::EAGAIN | Errno::EACCES) => Err(Stop::Wait(Need::While)),
        Err(error) => Err(Stop::Error(error)),
    }
}

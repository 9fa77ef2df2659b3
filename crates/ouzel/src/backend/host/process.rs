//! WAIT: how a child process ended, asked of its descriptor.
//!
//! The descriptor of a process is readable when it has ended. So a wait is an ordinary wait for readiness, and the child
//! is only taken off the system's list when its status is about to be reported: a cancel never loses one.

use std::os::fd::{BorrowedFd, OwnedFd};

use ouzel_ring::Errno;
use rustix::event::PollFlags;
use rustix::io;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::{Done, Need, Stop, Turn, errno, is_ready};

/// What is added to the signal of a process that left a core.
const CORE: u32 = 0x80;

/// A descriptor of the process with this number.
pub(crate) fn open_process(number: i32) -> Result<OwnedFd, Errno> {
    let process = Pid::from_raw(number).ok_or(Errno::EINVAL)?;
    pidfd_open(process, PidfdFlags::empty()).map_err(|error| match error {
        // A thread that leads no process is nobody's child, and neither is one that is gone.
        io::Errno::SRCH | io::Errno::INVAL | io::Errno::NOENT => Errno::ECHILD,
        other => errno(other),
    })
}

pub(super) fn attempt(process: BorrowedFd<'_>) -> Turn {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    loop {
        return match waitid(WaitId::PidFd(process), options) {
            Err(io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
            Ok(Some(status)) => {
                let signal = status.terminating_signal().unwrap_or(0) as u32;
                let core = if status.dumped() { CORE } else { 0 };
                let result = status.exit_status().unwrap_or(0) as u32;
                Ok(Done { result: u64::from(result), extra: signal | core })
            }
            // One that a debugger holds has ended and is not there yet: nobody tells when it is.
            Ok(None) if is_ready(process, PollFlags::IN) => Err(Stop::Wait(Need::While)),
            Ok(None) => Err(Stop::Wait(Need::Subject(PollFlags::IN))),
        };
    }
}

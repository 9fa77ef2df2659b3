//! Attempts that the two real backends share: operations done by plain calls that never wait for an event.
//!
//! One attempt is made on ordinary descriptors. It ends, or says what it waits for; when to try again is for the backend
//! to know, which has a poller, a ring or a timer for that. Nothing here remembers anything between two attempts, and
//! nothing here blocks on anything but storage.

pub(super) mod futex;
mod lock;
pub(super) mod memory;
pub(super) mod message;
mod option;
mod process;
pub(super) mod spans;
mod splice;
pub(super) mod storage;
mod wake;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use ouzel_engine::Operation;
use ouzel_ring::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io;

pub(super) use process::open_process;

/// The two results of an operation that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) result: u64,
    pub(super) extra: u32,
}

impl Done {
    fn with(result: u64) -> Done {
        Done { result, extra: 0 }
    }
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Events of its first descriptor.
    Subject(PollFlags),
    /// Events of its second descriptor.
    Other(PollFlags),
    /// Something that nobody tells of: it is to be tried again after a while.
    While,
}

/// Why an attempt gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Error(Errno),
    Wait(Need),
}

impl From<io::Errno> for Stop {
    fn from(error: io::Errno) -> Stop {
        Stop::Error(errno(error))
    }
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Stop {
        Stop::Error(error)
    }
}

/// How an attempt ended.
pub(super) type Turn = Result<Done, Stop>;

/// Makes one attempt at an operation that is done here; ENOSYS for others. `other` is its second descriptor.
pub(super) fn attempt(operation: &Operation, subject: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>) -> Turn {
    match *operation {
        Operation::Lock { offset, length, mode, .. } => lock::attempt(subject, offset, length, mode),
        Operation::GetSockopt { level, name, value, .. } => option::read(subject, level, name, &value),
        Operation::SetSockopt { level, name, value, .. } => option::write(subject, level, name, &value),
        Operation::Sockname { address, .. } => option::own_name(subject, &address),
        Operation::Peername { address, .. } => option::peer_name(subject, &address),
        Operation::Splice { from, to, length, .. } => match other {
            Some(target) => splice::attempt(subject, from, target, to, length),
            None => Err(Stop::Error(Errno::EBADF)),
        },
        Operation::Wait { .. } => process::attempt(subject),
        Operation::Wake { amount, .. } => wake::attempt(subject, amount),
        _ => Err(Stop::Error(Errno::ENOSYS)),
    }
}

/// The system's error number as ours.
#[inline]
pub(super) fn errno(error: io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

/// Makes a call again for as long as a signal interrupts it.
#[inline]
pub(super) fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(io::Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Whether one of `events`, an error or a hang-up is there.
fn is_ready(descriptor: BorrowedFd<'_>, events: PollFlags) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(descriptor, events)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry(|| poll(&mut asked, Some(&now))).is_ok() && !asked[0].revents().is_empty()
}

/// Held while a flag of an object that others may share is changed and changed back. One for the process: two
/// descriptors of two rings may share one set of flags.
pub(super) static FLAGS: Mutex<()> = Mutex::new(());

/// Makes a call that has no way of its own to be told not to block, with O_NONBLOCK set on each of `descriptors`.
fn without_blocking<T>(descriptors: &[BorrowedFd<'_>], call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    // With nothing to change, storage may take its time and nobody else has to wait for it.
    let _held = (!descriptors.is_empty()).then(|| FLAGS.lock().unwrap_or_else(PoisonError::into_inner));
    let mut changed = [None; 2];
    for (descriptor, change) in descriptors.iter().zip(&mut changed) {
        let flags = fcntl_getfl(descriptor.as_fd())?;
        if !flags.intersects(OFlags::NONBLOCK | OFlags::PATH) {
            fcntl_setfl(descriptor.as_fd(), flags | OFlags::NONBLOCK)?;
            *change = Some(flags);
        }
    }
    let result = retry(call);
    for (descriptor, change) in descriptors.iter().zip(changed) {
        if let Some(flags) = change {
            // It was possible a moment ago, with another flag.
            let _ = fcntl_setfl(descriptor.as_fd(), flags);
        }
    }
    result
}

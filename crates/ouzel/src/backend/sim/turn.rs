//! How one attempt at an operation ends, and what a waiting one waits for.

use ouzel_ring::Errno;

/// An object whose changes may let a waiting operation go on. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Pipe(u64),
    Socket(u64),
    Lock((u8, u64)),
    Process(i32),
    Bell(u64),
    Futex((usize, bool)),
}

/// Why an attempt gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Error(Errno),
    /// Nothing can be done until one of these changes.
    Wait(Vec<Key>),
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Stop {
        Stop::Error(error)
    }
}

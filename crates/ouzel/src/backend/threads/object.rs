//! Open objects: a real file descriptor, what kind of thing it is, and how to use it without ever blocking.
//!
//! An object is shared by the table and the jobs that use it, so that CLOSE never frees a number under a running
//! call. Objects that this backend made itself (sockets, pipes, FIFOs, devices) are non-blocking inside and are made
//! blocking when they are released. Objects that were adopted keep their flags, since others may share them: calls on
//! them ask the kernel per call not to block. Only where the kernel has no such way (accept, connect, terminals) is
//! O_NONBLOCK set for the length of one call that was seen to be ready.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel_ring::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::io;

use crate::backend::host::FLAGS;
pub(super) use crate::backend::host::{errno, retry};

/// What sort of thing an object is, as far as waiting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file: calls may take their time, but wait for no event.
    Regular,
    /// A directory.
    Directory,
    /// A block device, or a descriptor that only names a file: treated like a file.
    Storage,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// An event counter, timer and the like: no inode type. Waits for events; calls are quick.
    Event,
    /// A character device: may wait for events, and calls may take their time as well.
    Device,
}

impl Kind {
    /// Whether transfers wait for events.
    pub(super) fn waits(self) -> bool {
        matches!(self, Kind::Pipe | Kind::Socket | Kind::Event | Kind::Device)
    }

    /// Whether transfers are so quick, if they do not wait, that any thread may do them.
    pub(super) fn quick(self) -> bool {
        matches!(self, Kind::Pipe | Kind::Socket | Kind::Event)
    }

    /// Whether transfers cannot have an offset.
    pub(super) fn streams(self) -> bool {
        self.quick()
    }
}

/// An open object.
#[derive(Debug)]
pub(super) struct Object {
    /// A number of its own, never used again; never 0.
    pub(super) id: u64,
    pub(super) descriptor: OwnedFd,
    pub(super) kind: Kind,
    /// It is non-blocking, it is nobody else's, and it must be made blocking before it is released.
    pub(super) ours: bool,
}

impl Object {
    /// An object that this backend opened without O_NONBLOCK, or whose flag does not matter.
    pub(super) fn new(descriptor: OwnedFd, kind: Kind, ours: bool) -> Object {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Object { id: NEXT.fetch_add(1, Ordering::Relaxed), descriptor, kind, ours }
    }

    /// An object that came from outside.
    pub(super) fn adopted(descriptor: OwnedFd) -> Result<Object, Errno> {
        let names_only = fcntl_getfl(&descriptor).map_err(errno)?.contains(OFlags::PATH);
        let kind = if names_only { Kind::Storage } else { kind_of(&descriptor).map_err(errno)? };
        Ok(Object::new(descriptor, kind, false))
    }

    /// The descriptor as an ordinary one, blocking unless it came in non-blocking.
    pub(super) fn into_descriptor(self) -> Result<OwnedFd, Errno> {
        if self.ours {
            make_blocking(&self.descriptor)?;
        }
        Ok(self.descriptor)
    }

    /// Which of `events` are ready now, with errors and hang-ups, which always count.
    pub(super) fn ready(&self, events: PollFlags) -> io::Result<PollFlags> {
        let mut asked = [PollFd::from_borrowed_fd(self.descriptor.as_fd(), events)];
        retry(|| poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
        let ready = asked[0].revents();
        if ready.contains(PollFlags::NVAL) { Err(io::Errno::BADF) } else { Ok(ready) }
    }

    /// Makes a call that has no way of its own to be told not to block. With `events`, only once one is ready.
    pub(super) fn without_blocking<T>(
        &self,
        calls: &Calls,
        events: Option<PollFlags>,
        mut call: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        if self.ours {
            calls.count(1);
            return retry(call);
        }
        if let Some(events) = events {
            calls.count(1);
            if self.ready(events)?.is_empty() {
                return Err(io::Errno::AGAIN);
            }
        }
        let _held = FLAGS.lock().unwrap_or_else(PoisonError::into_inner);
        let flags = fcntl_getfl(&self.descriptor)?;
        if flags.contains(OFlags::NONBLOCK) {
            calls.count(2);
            return retry(call);
        }
        calls.count(4);
        fcntl_setfl(&self.descriptor, flags | OFlags::NONBLOCK)?;
        let result = retry(&mut call);
        fcntl_setfl(&self.descriptor, flags)?;
        result
    }
}

impl AsFd for Object {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Takes O_NONBLOCK off.
pub(super) fn make_blocking(descriptor: impl AsFd) -> Result<(), Errno> {
    let flags = fcntl_getfl(&descriptor).map_err(errno)?;
    fcntl_setfl(&descriptor, flags - OFlags::NONBLOCK).map_err(errno)
}

/// What a descriptor stands for.
pub(super) fn kind_of(descriptor: impl AsFd) -> io::Result<Kind> {
    let mode = fstat(descriptor)?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::RegularFile | FileType::Symlink => Kind::Regular,
        FileType::Directory => Kind::Directory,
        FileType::BlockDevice => Kind::Storage,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice => Kind::Device,
        FileType::Unknown => Kind::Event,
    })
}

/// How many system calls have done an operation's work, on any thread.
#[derive(Debug, Default)]
pub(super) struct Calls(AtomicU64);

impl Calls {
    pub(super) fn count(&self, calls: u64) {
        self.0.fetch_add(calls, Ordering::Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

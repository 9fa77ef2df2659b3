//! Readiness: one descriptor for all that a connected ring can be entered for.
//!
//! What the service writes to belongs to the connection; whoever watches the ring keeps a descriptor for longer, is told at first,
//! and may have more to be told of (an executor has a bell). So it is an epoll instance over these: readable as long as one of
//! them is, and quiet when a ring that is entered has emptied them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ouzel_ring::Errno;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::io;

/// See the [module](self).
pub(super) struct Readiness {
    watched: OwnedFd,
    /// A count that is not zero until the ring is entered, if somebody is to be reminded.
    reminder: OwnedFd,
    reminds: bool,
}

impl Readiness {
    /// Of what the service writes to.
    pub(super) fn new(told: BorrowedFd<'_>) -> Result<Readiness, Errno> {
        let made = || {
            let watched = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            let reminder = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            let readiness = Readiness { watched, reminder, reminds: false };
            readiness.add(told)?;
            readiness.add(readiness.reminder.as_fd())?;
            Ok(readiness)
        };
        made().map_err(errno)
    }

    /// Watches what another service writes to, too. What the last one wrote to has gone with it.
    pub(super) fn follow(&mut self, told: BorrowedFd<'_>) -> Result<(), Errno> {
        self.add(told).map_err(errno)?;
        self.remind();
        Ok(())
    }

    fn add(&self, end: BorrowedFd<'_>) -> io::Result<()> {
        epoll::add(&self.watched, end, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
    }

    /// The descriptor, for somebody else to keep.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        io::fcntl_dupfd_cloexec(&self.watched, 0).map_err(errno)
    }

    /// Makes it readable until the ring is entered.
    pub(super) fn remind(&mut self) {
        self.reminds = io::write(&self.reminder, &1u64.to_ne_bytes()).is_ok();
    }

    /// The ring was entered.
    pub(super) fn entered(&mut self) {
        if std::mem::take(&mut self.reminds) {
            let _ = io::read(&self.reminder, &mut [0; 8]);
        }
    }
}

fn errno(error: io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

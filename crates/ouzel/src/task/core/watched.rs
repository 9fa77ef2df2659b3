//! What tells those who wait elsewhere that an executor has something to do.
//!
//! It is one descriptor for two: the one by which the ring tells of completions, and the bell. The ring hears the bell, and would tell of
//! that; but Linux (6.18 at least) may lose what a ring is to tell of while it is told of something else, if what woke the ring was an
//! event counter as the bell is. So the bell speaks for itself.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ouzel_ring::Errno;
use rustix::event::epoll;
use rustix::io;

/// A descriptor that is readable when there is something to do.
pub(super) struct Watched {
    either: OwnedFd,
    told: OwnedFd,
}

impl Watched {
    /// Of a ring that makes `told` readable, and its executor's bell.
    pub(super) fn new(told: OwnedFd, bell: BorrowedFd<'_>) -> Result<Watched, Errno> {
        let errno = |error: io::Errno| Errno::from_raw(error.raw_os_error());
        let either = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(errno)?;
        for one in [told.as_fd(), bell] {
            epoll::add(&either, one, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(errno)?;
        }
        Ok(Watched { either, told })
    }

    /// Another descriptor of the same.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        io::fcntl_dupfd_cloexec(&self.either, 0).map_err(|error| Errno::from_raw(error.raw_os_error()))
    }

    /// Its number.
    #[cfg(feature = "mio")]
    pub(super) fn number(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.either)
    }

    /// Takes note of what the ring has told: what has come until here is seen by who looks after this.
    pub(super) fn empty(&self) {
        empty(self.told.as_fd());
    }
}

/// Makes a counter unreadable. What is none is emptied by entering the ring.
pub(super) fn empty(counter: BorrowedFd<'_>) {
    let _ = io::read(counter, &mut [0; 8]);
}

//! What the server sleeps for: one epoll, and what each of its events is about.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll;
use rustix::time::Timespec;

use crate::Error;

/// Where a guest is, as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) slot: u32,
    /// Of 24 bits: an event that was on its way when its guest went must not be taken for one of the next.
    pub(super) generation: u32,
}

/// Which of a guest's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Control,
    Process,
    Doorbell,
    Backend,
}

/// Something has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Listener,
    Stop,
    Of(Place, What),
}

const LISTENER: u64 = 0;
const STOP: u64 = 1;

impl Event {
    fn to_word(self) -> u64 {
        let of = |place: Place, kind: u64| {
            u64::from(place.generation & 0xff_ffff) << 40 | u64::from(place.slot) << 8 | kind
        };
        match self {
            Event::Listener => LISTENER,
            Event::Stop => STOP,
            Event::Of(place, What::Control) => of(place, 2),
            Event::Of(place, What::Process) => of(place, 3),
            Event::Of(place, What::Doorbell) => of(place, 4),
            Event::Of(place, What::Backend) => of(place, 5),
        }
    }

    fn from_word(word: u64) -> Event {
        let place = Place { slot: (word >> 8) as u32, generation: (word >> 40) as u32 };
        match word & 0xff {
            LISTENER => Event::Listener,
            2 => Event::Of(place, What::Control),
            3 => Event::Of(place, What::Process),
            4 => Event::Of(place, What::Doorbell),
            5 => Event::Of(place, What::Backend),
            _ => Event::Stop,
        }
    }
}

/// The most events that one look takes.
const BATCH: usize = 128;

/// See the [module](self).
pub(super) struct Events {
    epoll: OwnedFd,
    found: Vec<epoll::Event>,
}

impl Events {
    pub(super) fn new() -> Result<Events, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|source| Error::system("epoll_create", source))?;
        Ok(Events { epoll, found: Vec::with_capacity(BATCH) })
    }

    /// Tells as long as there is something to be read.
    pub(super) fn watch(&self, what: BorrowedFd<'_>, event: Event) -> Result<(), Error> {
        self.add(what, event, epoll::EventFlags::IN)
    }

    /// Tells each time something comes to be read, and once at the beginning if something is.
    pub(super) fn watch_edges(&self, what: BorrowedFd<'_>, event: Event) -> Result<(), Error> {
        self.add(what, event, epoll::EventFlags::IN | epoll::EventFlags::ET)
    }

    fn add(&self, what: BorrowedFd<'_>, event: Event, flags: epoll::EventFlags) -> Result<(), Error> {
        epoll::add(&self.epoll, what, epoll::EventData::new_u64(event.to_word()), flags)
            .map_err(|source| Error::system("epoll_ctl", source))
    }

    /// Tells no more. A descriptor that was never watched is no matter.
    pub(super) fn forget(&self, what: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.epoll, what);
    }

    /// Waits for events, for `limit` at most.
    pub(super) fn wait(&mut self, limit: Option<Duration>) -> Result<(), Error> {
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; BATCH];
        self.found.clear();
        match epoll::wait(self.epoll.as_fd(), &mut space, limit.as_ref()) {
            Ok((found, _)) => {
                self.found.extend_from_slice(found);
                // The last is taken first.
                self.found.reverse();
                Ok(())
            }
            Err(rustix::io::Errno::INTR) => Ok(()),
            Err(source) => Err(Error::system("epoll_wait", source)),
        }
    }

    /// The next event of the last wait.
    pub(super) fn next(&mut self) -> Option<Event> {
        self.found.pop().map(|event| Event::from_word(event.data.u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_events() {
        let place = Place { slot: u32::MAX, generation: 0xff_ffff };
        let events = [Event::Listener, Event::Stop].into_iter().chain(
            [What::Control, What::Process, What::Doorbell, What::Backend].map(|what| Event::Of(place, what)),
        );
        for event in events {
            assert_eq!(Event::from_word(event.to_word()), event);
        }
    }
}

//! Guests: the clients that a server has, and how each stands.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::events::{Event, Events, Place, What};
use super::observer::Connection;
use super::served::Served;
use crate::socket::Control;
use crate::{Error, Host, Peer};

/// How a client stands.
pub(super) enum Stage<H> {
    /// It has knocked, and must say what it wants by then.
    Greeting { until: Instant },
    /// It has a ring.
    Served(Box<Served<H>>),
    /// It has gone; what it had in flight may take until then to end.
    Leaving { served: Box<Served<H>>, until: Instant },
    /// Between two of the others.
    Nowhere,
}

/// One client.
pub(super) struct Guest<H> {
    // Closed last: to the client that means that nothing can write to its memory any more.
    pub(super) stage: Stage<H>,
    pub(super) peer: Peer,
    pub(super) control: Control,
}

impl<H: Host> Guest<H> {
    pub(super) fn new(control: Control, peer: Peer, until: Instant) -> Guest<H> {
        Guest { stage: Stage::Greeting { until }, peer, control }
    }

    pub(super) fn served(&mut self) -> Option<&mut Served<H>> {
        match &mut self.stage {
            Stage::Served(served) | Stage::Leaving { served, .. } => Some(served),
            Stage::Greeting { .. } | Stage::Nowhere => None,
        }
    }

    /// What it does, if it has a ring.
    pub(super) fn connection(&mut self) -> Option<Connection> {
        let leaving = matches!(self.stage, Stage::Leaving { .. });
        let (process, user) = (self.peer.process, self.peer.user);
        self.served().map(|served| Connection { process, user, leaving, ..served.connection() })
    }

    /// Watches its control socket, and its process: the socket stays open if a child has inherited it.
    pub(super) fn watch(&self, events: &Events, place: Place) -> Result<(), Error> {
        events.watch(self.control.as_fd(), Event::Of(place, What::Control))?;
        match &self.peer.pidfd {
            Some(process) => events.watch(process.as_fd(), Event::Of(place, What::Process)),
            None => Ok(()),
        }
    }

    /// The opposite of [`watch`](Guest::watch).
    fn forget(&self, events: &Events) {
        events.forget(self.control.as_fd());
        if let Some(process) = &self.peer.pidfd {
            events.forget(process.as_fd());
        }
    }

    /// Takes nothing more from it. False if it has nothing that must end first.
    pub(super) fn begin_to_leave(&mut self, events: &Events, until: Instant) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Nowhere) {
            Stage::Served(mut served) => {
                self.forget(events);
                events.forget(served.doorbell.as_fd());
                served.begin_teardown();
                self.stage = Stage::Leaving { served, until };
                true
            }
            leaving @ Stage::Leaving { .. } => {
                self.stage = leaving;
                true
            }
            Stage::Greeting { .. } | Stage::Nowhere => false,
        }
    }

    /// Lets go of everything. Returns how many operations have not ended; what they may write to is leaked.
    pub(super) fn end(self, events: &Events) -> u32 {
        self.forget(events);
        match self.stage {
            Stage::Served(served) | Stage::Leaving { served, .. } => served.end(events),
            Stage::Greeting { .. } | Stage::Nowhere => 0,
        }
    }
}

/// All of them. See the [module](self).
pub(super) struct Guests<H> {
    slots: Vec<(u32, Option<Guest<H>>)>,
    free: Vec<u32>,
}

impl<H> Default for Guests<H> {
    fn default() -> Guests<H> {
        Guests { slots: Vec::new(), free: Vec::new() }
    }
}

impl<H: Host> Guests<H> {
    pub(super) fn count(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    pub(super) fn add(&mut self, guest: Guest<H>) -> Place {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let (generation, place) = &mut self.slots[slot as usize];
        *place = Some(guest);
        Place { slot, generation: *generation }
    }

    pub(super) fn at(&mut self, place: Place) -> Option<&mut Guest<H>> {
        let (generation, guest) = self.slots.get_mut(place.slot as usize)?;
        guest.as_mut().filter(|_| *generation == place.generation)
    }

    #[inline]
    pub(super) fn served(&mut self, place: Place) -> Option<&mut Served<H>> {
        self.at(place).and_then(Guest::served)
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Guest<H>> {
        let (generation, guest) = self.slots.get_mut(place.slot as usize)?;
        if *generation != place.generation || guest.is_none() {
            return None;
        }
        // Of 24 bits, as in the words of events.
        *generation = (*generation + 1) & 0xff_ffff;
        self.free.push(place.slot);
        guest.take()
    }

    /// Where there is one.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |(slot, (generation, guest)): (usize, &(u32, Option<Guest<H>>))| {
            guest.is_some().then_some(Place { slot: slot as u32, generation: *generation })
        };
        self.slots.iter().enumerate().filter_map(place).collect()
    }

    /// How long the server may sleep: until the first of their timers, greetings and ends; `retry` if a backend has no room.
    pub(super) fn next_time(&self, now: Instant, retry: Duration) -> Option<Duration> {
        let next = |guest: &Guest<H>| match &guest.stage {
            Stage::Greeting { until } => Some(until.saturating_duration_since(now)),
            Stage::Served(served) => served.next_time(retry),
            Stage::Leaving { served, until } => {
                let until = until.saturating_duration_since(now);
                Some(served.next_time(retry).map_or(until, |next| next.min(until)))
            }
            Stage::Nowhere => None,
        };
        self.slots.iter().filter_map(|(_, guest)| guest.as_ref().and_then(next)).min()
    }
}

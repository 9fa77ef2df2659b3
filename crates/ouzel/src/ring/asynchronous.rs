//! What the executor needs of a ring: calls that never wait by themselves.
//!
//! They differ from the public ones in what they do when the ring cannot go on: nothing. A full queue is told, not waited
//! for; a wait has a time, and comes back when nothing can happen. None of them gives memory of a running chain away.

use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use ouzel_chain::ring;
use ouzel_engine::Target;
use ouzel_ring::{Descriptor, Errno};

use super::{NOBODY, Rejected, Ring, Ticket, data};
use crate::chain::Chain;
use crate::chain::Done;
use crate::error::Error;
use crate::task::Metrics;

/// What became of an offer.
pub(crate) enum Offered {
    /// It is queued.
    Taken(Ticket),
    /// There is no room for it now.
    Full(Chain),
    /// It never will be.
    Rejected(Box<Rejected>),
}

impl<M> Ring<M> {
    /// Queues a chain of the owner with this number if there is room.
    #[inline]
    pub(crate) fn offer(&mut self, chain: Chain, owner: u32) -> Offered {
        if let Some(step) = ring::body(&chain).only_step() {
            return match self.try_push_only(ring::body(&chain), step) {
                Ok(Some(slot)) => Offered::Taken(self.keep(slot, chain, owner, 1, None)),
                Ok(None) => Offered::Full(chain),
                Err(error) => Offered::Rejected(Box::new(Rejected { error, chain })),
            };
        }
        self.offer_several(chain, owner)
    }

    #[inline(never)]
    fn offer_several(&mut self, chain: Chain, owner: u32) -> Offered {
        // One that is too long never has room, and is rejected.
        if self.raw.room() as usize >= chain.len() || chain.len() > self.longest {
            return match self.submit_for(chain, owner) {
                Ok(ticket) => Offered::Taken(ticket),
                Err(rejected) => Offered::Rejected(rejected),
            };
        }
        Offered::Full(chain)
    }

    /// Takes the chain that was over first among those that are over already, with the number of its owner; a chain without
    /// one is dropped.
    #[inline]
    pub(crate) fn next_ended_owned(&mut self) -> Option<(u32, Done)> {
        loop {
            let slot = self.ended.pop_front()?;
            let owner = self.slots[slot as usize].owner;
            if let Ok(done) = self.take(slot)
                && owner != NOBODY
            {
                return Some((owner, done));
            }
        }
    }

    /// Starts everything queued, waits until `wait` completions are there or the time is up, and takes what has completed.
    pub(crate) fn turn(&mut self, wait: u32, timeout: Option<Duration>) -> Result<(), Error> {
        if self.returning.is_some() {
            return self.enter_or_return(wait, timeout, None);
        }
        self.raw.enter(u32::MAX, wait, timeout)?;
        if self.tracing {
            self.collect_events();
        }
        self.collect();
        Ok(())
    }

    /// The same on a connected ring until `beside` is readable, too.
    pub(crate) fn turn_beside(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        if self.returning.is_some() {
            return self.enter_or_return(wait, timeout, Some(beside));
        }
        self.raw.enter_beside(wait, timeout, beside)?;
        self.collect();
        Ok(())
    }

    /// Takes note of the results of multishots from now on, and refuses chains for which there is no room beside an entry
    /// that never ends.
    ///
    /// Errors: ENOSPC if there would be no room for any.
    pub(crate) fn prepare_for_executor(&mut self) -> Result<(), Error> {
        let room = self.raw.completions().saturating_sub(2) as usize;
        if room == 0 {
            return Err(Error::Refused { call: "executor", errno: Errno::ENOSPC });
        }
        self.longest = self.longest.min(room);
        self.news.get_or_insert_with(VecDeque::new);
        Ok(())
    }

    /// How many entries can be in flight, roughly.
    pub(crate) fn most_in_flight(&self) -> usize {
        self.raw.completions() as usize
    }

    /// The owner of the next chain of which a multishot step has resulted in something. It may be over.
    pub(crate) fn next_news(&mut self) -> Option<u32> {
        loop {
            let slot = self.news.as_mut()?.pop_front()?;
            let owner = self.slots[slot as usize].owner;
            if owner != NOBODY {
                return Some(owner);
            }
        }
    }

    /// Whether the chain of `ticket` has completions to come.
    pub(crate) fn is_running(&self, ticket: Ticket) -> bool {
        let place = self.slots.get(ticket.slot as usize);
        place.is_some_and(|place| {
            place.generation == ticket.generation && place.chain.is_some() && place.remaining > 0
        })
    }

    /// Gives up all chains whose index is in this range. None of those that have not begun will; no entry is started for
    /// that.
    pub(crate) fn cancel_indices(&mut self, first: u32, last: u32) -> Result<(), Error> {
        self.give_up_return(first, last);
        let steps = Target::DataRange { first: data(first, 0), last: data(last, u16::MAX) };
        // In a service's queue nobody else can reach anything.
        if !self.raw.is_remote() {
            self.raw.cancel_waiting(steps)?;
        }
        self.raw.cancel(steps)?;
        Ok(())
    }

    /// What tells that there is something to enter for, if the backend has such a thing.
    pub(crate) fn readiness(&mut self) -> Result<Option<OwnedFd>, Error> {
        self.raw.readiness()
    }

    /// When the ring has to be entered again at the latest, by its clock.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.raw.next_timer()
    }

    /// Whether chains wait for room in the backend: they have to be tried again, although nothing may tell when.
    pub(crate) fn has_stalled(&self) -> bool {
        self.raw.has_stalled()
    }

    /// Whether `descriptor` is open.
    pub(crate) fn is_open(&self, descriptor: Descriptor) -> bool {
        self.raw.is_open(descriptor)
    }

    /// How long a teardown may take.
    pub(crate) fn bound(&self) -> Duration {
        self.raw.bound()
    }

    /// Notes what the executor counts that drives this ring, if it is observed.
    pub(crate) fn note_executor(&mut self, metrics: impl FnOnce() -> Metrics) {
        if let Some(watch) = self.raw.watch() {
            watch.note_executor(metrics());
        }
    }

    /// Whether this is the process that made the ring.
    pub(crate) fn is_ours(&self) -> bool {
        self.raw.is_ours()
    }
}

//! The turn of the loop: what was asked for is sent, the ring is entered once, and what has completed is handed out.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use super::watched::{self, Watched};
use super::{Core, Hearing};
use crate::Bell;
use crate::chain::Done;
use crate::error::Error;
use crate::ring::{Offered, Rejected};
use crate::task::operations::{Owner, State};
use crate::task::waker::Wakee;

/// How long the executor sleeps at a time while there is no room to listen to its bell, or in the backend.
const PAUSE: Duration = Duration::from_millis(1);

/// The end of an operation for which more is to be done than to make a task runnable.
enum Ended {
    /// Somebody else than a task waits for it.
    Awaited(Wakee),
    /// Another thread has asked for it, by this number.
    Asked(u32, Done),
    /// No future takes its result.
    Unowned(Done),
}

enum Sent {
    /// There is no backlog.
    All,
    /// The first of it is gone, and somebody may be told.
    One(Wakee),
    /// The first of it was refused, and is another thread's.
    Refused(u32, Box<Rejected>),
    /// There is no room for it.
    Full,
}

impl Core {
    /// One turn: starts what was asked for, waits if it may and nothing can run, and wakes whom that concerns. Whether something
    /// has come since the ring was entered: it is only begun with the next turn.
    pub(in crate::task) fn turn(self: &Rc<Core>, may_wait: bool) -> Result<bool, Error> {
        if self.is_quiet() {
            return Ok(false);
        }
        self.receive();
        self.see_to_late();
        self.send_cancels()?;
        self.send_backlog()?;
        self.fire_timers();
        if may_wait && !self.is_runnable() {
            self.look_for_more();
        }
        let wait = may_wait && !self.is_runnable();
        if wait || self.simulated || self.must_enter.get() || self.has_chains() {
            self.enter(wait)?;
        }
        self.fire_timers();
        Ok(self.receive() > 0)
    }

    /// Whether a turn is due although nothing runs: something was dropped.
    pub(in crate::task) fn has_leavings(&self) -> bool {
        !self.operations.borrow().dropped.is_empty() || !self.late.borrow().is_empty()
    }

    /// Whether a turn would do nothing but let the tasks go on that can run: most of those between tasks that only wait for
    /// each other.
    fn is_quiet(&self) -> bool {
        self.is_runnable()
            && !(self.simulated || self.must_enter.get() || self.shared.has_received())
            && self.timers.borrow().is_empty()
            && !self.has_leavings()
            && self.operations.borrow().backlog.is_empty()
            && !self.has_chains()
    }

    /// Whether chains other than the bell's are in the ring.
    fn has_chains(&self) -> bool {
        let bells = u32::from(matches!(self.hearing, Hearing::InRing(_)) && !self.deaf.get());
        self.ring.borrow().as_ref().is_some_and(|ring| ring.in_flight() > bells)
    }

    /// Enters the ring, once, and hands out what has completed.
    fn enter(&self, wait: bool) -> Result<(), Error> {
        self.listen()?;
        let timeout = if wait { self.longest_sleep(self.timers.borrow().next()) } else { None };
        let wait = wait && self.shared.fall_asleep();
        self.meter.turns.add(1);
        let turned = self.with_ring(|ring| {
            ring.note_executor(|| self.metrics());
            match self.bell.borrow().as_ref().and_then(Bell::descriptor) {
                Some(bell) if matches!(self.hearing, Hearing::BesideRing) => {
                    ring.turn_beside(u32::from(wait), timeout, bell)
                }
                _ => ring.turn(u32::from(wait), timeout),
            }
        });
        if wait {
            self.shared.wake_up();
            if matches!(self.hearing, Hearing::BesideRing) {
                self.silence();
            }
        }
        turned?;
        self.must_enter.set(self.deaf.get());
        self.hand_out()
    }

    /// Empties the bell, where others than the ring hear it: what it was rung for is looked at after that.
    fn silence(&self) {
        if let Some(bell) = self.bell.borrow().as_ref().and_then(Bell::descriptor) {
            watched::empty(bell);
        }
    }

    /// How long the executor may sleep if the next timer is this one.
    fn longest_sleep(&self, timer: Option<u64>) -> Option<Duration> {
        let until = timer.map(|at| Duration::from_nanos(at.saturating_sub(self.now().unwrap_or(at))));
        let look = self.with_ring(|ring| Ok(ring.next_look())).unwrap_or(None);
        let until = until.into_iter().chain(look).min();
        let stalled = || self.with_ring(|ring| Ok(ring.has_stalled())).unwrap_or(false);
        if self.deaf.get() || stalled() { Some(until.unwrap_or(PAUSE).min(PAUSE)) } else { until }
    }

    // For those who wait elsewhere.

    /// A descriptor that is readable when there is something to do, if there is such a thing.
    pub(in crate::task) fn readiness(&self) -> Result<Option<OwnedFd>, Error> {
        let refused = |errno| Error::Refused { call: "descriptor", errno };
        let mut watched = self.watched.borrow_mut();
        if let (None, Some(bell)) = (&*watched, self.bell.borrow().as_ref().and_then(Bell::descriptor))
            && let Some(told) = self.with_ring(|ring| ring.readiness())?
        {
            *watched = Some(Watched::new(told, bell).map_err(refused)?);
        }
        watched.as_ref().map(Watched::duplicate).transpose().map_err(refused)
    }

    /// The number of what `readiness` duplicates, once there is such a thing.
    #[cfg(feature = "mio")]
    pub(in crate::task) fn watched_number(&self) -> Option<std::os::fd::RawFd> {
        self.watched.borrow().as_ref().map(Watched::number)
    }

    /// One has waited elsewhere: there may be something in the ring for the bell alone.
    pub(in crate::task) fn look_into_ring(&self) {
        let watched = self.watched.borrow();
        if let Some(watched) = &*watched {
            // What is told until here is seen by the turn that follows.
            watched.empty();
        }
        if watched.is_some() || matches!(self.hearing, Hearing::BesideRing) {
            self.silence();
        }
        self.must_enter.set(true);
    }

    /// How long one may wait elsewhere.
    pub(in crate::task) fn patience(&self) -> Option<Duration> {
        let own = self.timers.borrow().next();
        let ring = self.with_ring(|ring| Ok(ring.next_timer())).unwrap_or(None);
        self.longest_sleep(own.into_iter().chain(ring).min())
    }

    /// Says that one waits elsewhere from now on: whatever is sent rings the bell. False if something has come already.
    pub(in crate::task) fn fall_asleep(&self) -> bool {
        self.shared.fall_asleep()
    }

    /// Says that one does not wait any more.
    pub(in crate::task) fn wake_up(&self) {
        self.shared.wake_up();
    }

    /// Has the ring hear the bell.
    pub(super) fn listen(&self) -> Result<(), Error> {
        let Hearing::InRing(bell) = self.hearing else { return Ok(()) };
        if !self.deaf.replace(false) {
            return Ok(());
        }
        let mut chain = self.chain();
        chain.poll_many(bell, PollEvents::IN);
        let mut operations = self.operations.borrow_mut();
        let number = operations.claim(Owner::Bell);
        let offered = self.with_ring(|ring| Ok(ring.offer(chain, number)));
        if !matches!(offered, Ok(Offered::Taken(_))) {
            operations.release(number);
        }
        match offered? {
            Offered::Taken(ticket) => {
                self.must_enter.set(true);
                operations.runs(number, ticket);
            }
            // There is another try with the next turn.
            Offered::Full(_) => self.deaf.set(true),
            Offered::Rejected(rejected) => return Err(rejected.error),
        }
        Ok(())
    }

    /// Hands out what has completed.
    fn hand_out(&self) -> Result<(), Error> {
        while let Some(wakee) = self.next_news() {
            self.wake(wakee);
        }
        while let Some((owner, ended)) = self.next_odd_end() {
            match ended {
                Ended::Awaited(wakee) => self.wake(wakee),
                Ended::Asked(number, done) => self.end_request(number, Ok(done)),
                Ended::Unowned(done) => {
                    if owner != Owner::Bell {
                        self.unowned.update(|count| count.saturating_sub(1));
                    }
                    match owner {
                        Owner::Dropped => self.keep_late(done),
                        Owner::Bell => self.hear_no_more(done)?,
                        _ => self.recycle(done),
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives what has completed to the futures that are tasks' or that nobody waits for, up to the first end that is more
    /// than that.
    fn next_odd_end(&self) -> Option<(Owner, Ended)> {
        let mut ring = self.ring.borrow_mut();
        let ring = ring.as_mut()?;
        let operations = &mut *self.operations.borrow_mut();
        loop {
            let (number, done) = ring.next_ended_owned()?;
            let slot = operations.slot(number);
            let owner = slot.owner;
            if owner != Owner::Future {
                operations.forget(number);
                let ended =
                    if owner == Owner::Remote { Ended::Asked(number, done) } else { Ended::Unowned(done) };
                return Some((owner, ended));
            }
            slot.state = State::Over(Ok(done));
            match std::mem::take(&mut slot.wakee) {
                Wakee::Nobody => {}
                Wakee::Task(place) => self.tasks.wake_place(place),
                other => return Some((owner, Ended::Awaited(other))),
            }
        }
    }

    /// Who waits for the next multishot that has resulted in something.
    fn next_news(&self) -> Option<Wakee> {
        let mut ring = self.ring.borrow_mut();
        let ring = ring.as_mut()?;
        let operations = &mut *self.operations.borrow_mut();
        loop {
            let slot = operations.slot(ring.next_news()?);
            match (slot.owner, &slot.state) {
                (Owner::Future, _) => return Some(std::mem::take(&mut slot.wakee)),
                (Owner::Bell, State::Running(ticket)) => {
                    let ticket = *ticket;
                    while ring.next_completion(ticket).is_some() {}
                }
                _ => {}
            }
        }
    }

    /// The bell is not listened to any more: it is again with the next enter, if that makes sense.
    fn hear_no_more(&self, done: Done) -> Result<(), Error> {
        self.deaf.set(true);
        let end = done.completion_of(0).map_or(Errno::OK, |completion| completion.errno());
        let error = done.check();
        self.recycle(done);
        match error {
            Err(error) if end != Errno::ENOBUFS && end != Errno::ECANCELED => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Cancels the chains whose futures were dropped, neighbours in one go.
    fn send_cancels(&self) -> Result<(), Error> {
        let mut tickets = self.cancels.take();
        std::mem::swap(&mut tickets, &mut self.operations.borrow_mut().dropped);
        if tickets.is_empty() {
            self.cancels.replace(tickets);
            return Ok(());
        }
        let cancelled = self.with_ring(|ring| {
            tickets.retain(|ticket| ring.is_running(*ticket));
            tickets.sort_unstable_by_key(|ticket| ticket.index());
            tickets.chunk_by(|one, next| one.index() + 1 == next.index()).try_for_each(|run| {
                let (first, last) = (run[0].index() as u32, run[run.len() - 1].index() as u32);
                ring.cancel_indices(first, last)
            })
        });
        tickets.clear();
        self.cancels.replace(tickets);
        cancelled
    }

    /// Puts as much of the backlog into the ring as there is room for.
    fn send_backlog(&self) -> Result<(), Error> {
        let mut entered = false;
        loop {
            match self.send_one_of_backlog()? {
                Sent::All => return Ok(()),
                Sent::One(wakee) => {
                    entered = false;
                    self.wake(wakee);
                }
                Sent::Refused(number, rejected) => {
                    entered = false;
                    self.end_request(number, Err(rejected));
                }
                Sent::Full if entered => return Ok(()),
                Sent::Full => {
                    // What is queued makes room for more by being started.
                    entered = true;
                    self.enter(false)?;
                }
            }
        }
    }

    fn send_one_of_backlog(&self) -> Result<Sent, Error> {
        self.with_ring(|ring| {
            let operations = &mut *self.operations.borrow_mut();
            let Some(number) = operations.backlog.front().copied() else { return Ok(Sent::All) };
            let slot = operations.slot(number);
            match std::mem::replace(&mut slot.state, State::Free) {
                State::Backlogged(chain) => match ring.offer(chain, number) {
                    Offered::Taken(ticket) => operations.runs(number, ticket),
                    Offered::Full(chain) => {
                        slot.state = State::Backlogged(chain);
                        return Ok(Sent::Full);
                    }
                    Offered::Rejected(rejected) if slot.owner == Owner::Future => {
                        slot.state = State::Over(Err(rejected));
                        let wakee = std::mem::take(&mut slot.wakee);
                        operations.backlog.pop_front();
                        return Ok(Sent::One(wakee));
                    }
                    Offered::Rejected(rejected) if slot.owner == Owner::Remote => {
                        operations.backlog.pop_front();
                        drop(operations.release(number));
                        return Ok(Sent::Refused(number, rejected));
                    }
                    // It was to close something: the ring will.
                    Offered::Rejected(_) => {
                        self.unowned.update(|count| count.saturating_sub(1));
                        drop(operations.release(number));
                    }
                },
                _ => drop(operations.release(number)),
            }
            operations.backlog.pop_front();
            Ok(Sent::One(Wakee::Nobody))
        })
    }

    /// Takes what other threads have sent, and returns how much they have asked for.
    pub(super) fn receive(self: &Rc<Core>) -> usize {
        let mut count = 0;
        if !self.shared.has_received() {
            return count;
        }
        let mut received = self.received.take();
        if self.shared.receive(&mut received) {
            received.woken.drain(..).for_each(|place| self.tasks.wake_received(place));
            // There is room again.
            while let Some((_, waker)) = received.line.pop_first() {
                waker.wake();
            }
            count = received.jobs.len();
            for job in received.jobs.drain(..) {
                self.do_job(job);
            }
        }
        self.received.replace(received);
        count
    }
}

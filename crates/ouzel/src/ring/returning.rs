//! The way back: a connected ring whose service has gone, connected to the one that has the name now.
//!
//! Everything of the old connection has ended before there is a new one: chains with ECONNRESET, and those that may run again wait
//! here, as they were before they were issued. No descriptor of an old connection names anything in a new one: the generations of
//! the new one's begin behind all that the ring was ever told of. A ring that is to come back by itself looks for its service when
//! it is entered, and sleeps between two looks.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ouzel_chain::ring::Running;
use ouzel_ring::{Completion, Errno};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Ring, Slot, data, deliver, split_data};
use crate::error::Error;
use crate::remote::{Carrier, Remote};

/// How soon a service that has gone is looked for again at first, and at last.
const SOON: Duration = Duration::from_millis(2);
const LATER: Duration = Duration::from_millis(100);

/// How soon a service that is about to go is looked at again.
const MOMENT: Duration = Duration::from_millis(1);

/// What came of [`Ring::reconnect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnected {
    /// Which life of the service the ring is connected to now: another number each time one is started.
    pub epoch: u64,
}

/// A service that has gone.
struct Away {
    since: Instant,
    /// When it is looked for again.
    look_at: Instant,
    pause: Duration,
}

/// A ring that comes back by itself.
pub(super) struct Returning {
    within: Duration,
    away: Option<Away>,
    /// It was looked for in vain for as long as that, and is no more.
    over: bool,
    /// The slots of the chains that wait to be issued, the first first.
    waiting: Vec<u32>,
}

impl Returning {
    pub(super) fn new(within: Duration) -> Returning {
        Returning { within, away: None, over: false, waiting: Vec::new() }
    }

    /// Whether a completion of `remote` is one of a run that is given up, so that nobody is to see it. The first one of such a
    /// chain, of a service that is leaving, has it wait to run again.
    pub(super) fn keeps(
        &mut self,
        slots: &mut [Slot],
        carrier: &mut Carrier,
        remote: &Remote,
        completion: &Completion,
    ) -> bool {
        let (number, _) = split_data(completion.data);
        if self.waiting.contains(&number) {
            return true;
        }
        // A service that has the time gives up by itself what is in flight, and has said before that it goes.
        let is_given_up = matches!(completion.errno(), Errno::ECONNRESET | Errno::ECANCELED);
        if self.over || !is_given_up || !remote.is_leaving() {
            return false;
        }
        let Some(slot) = slots.get_mut(number as usize).filter(|slot| slot.remaining > 0) else {
            return false;
        };
        let Some(chain) = slot.chain.as_mut().filter(|chain| chain.may_run_again()) else {
            return false;
        };
        // What is behind a step that has failed was not given up: it was not to be done.
        if completion.errno() == Errno::ECANCELED && chain.has_stopped() {
            return false;
        }
        carrier.rewind(number, chain);
        slot.remaining = chain.steps().iter().filter(|step| !step.is_silent()).count() as u32;
        self.waiting.push(number);
        true
    }
}

impl<M> Ring<M> {
    /// Connects a [connected](Ring::connect) ring whose service has gone to the one that has its name now. What was in flight ends
    /// with ECONNRESET, and is there to be taken as always; the ring's sizes stay, its [limits](Ring::limits) are the new
    /// service's.
    ///
    /// Descriptors, groups and stored programs of before name nothing any more: using one is EBADF, or an error of the chain,
    /// and never reaches something else.
    ///
    /// Errors: [`Error::Scheme`] as long as nobody serves the name; [`Error::Refused`] with EISCONN while the service is there,
    /// EOPNOTSUPP on other rings, and EOVERFLOW if there is no generation left for new descriptors: make a new ring.
    pub fn reconnect(&mut self) -> Result<Reconnected, Error> {
        let refused = |errno| Error::Refused { call: "reconnect", errno };
        if !self.raw.is_ours() {
            return Err(Error::ForkedChild);
        }
        let Some(remote) = self.raw.remote() else { return Err(refused(Errno::EOPNOTSUPP)) };
        remote.look();
        if !remote.is_over() {
            return Err(refused(Errno::EISCONN));
        }
        self.collect();
        let generation = self.carrier.as_ref().and_then(|carrier| carrier.next_generation());
        let generation = generation.ok_or(refused(Errno::EOVERFLOW))?;
        let Some(remote) = self.raw.remote() else { return Err(refused(Errno::EOPNOTSUPP)) };
        remote.reconnect(generation)?;
        let epoch = remote.epoch();
        if let Some(carrier) = &mut self.carrier {
            carrier.begin_anew();
        }
        self.number = self.raw.renumber();
        self.programs.clear();
        self.longest = self.raw.limits().chain as usize;
        if self.news.is_some() {
            self.prepare_for_executor()?;
        }
        if let Some(returning) = &mut self.returning {
            (returning.away, returning.over) = (None, false);
        }
        self.issue_those_that_wait();
        Ok(Reconnected { epoch })
    }

    /// Whether the service has gone, and is looked for.
    pub(super) fn is_away(&mut self) -> bool {
        let is_leaving = self.raw.remote().is_some_and(|remote| remote.is_leaving());
        is_leaving && self.returning.as_ref().is_some_and(|returning| !returning.over)
    }

    /// The chain in this slot is issued when the service is back.
    pub(super) fn wait_for_return(&mut self, slot: u32) {
        if let Some(returning) = &mut self.returning {
            returning.waiting.push(slot);
        }
    }

    /// How long it is until the service is looked for again.
    pub(crate) fn next_look(&self) -> Option<Duration> {
        let away = self.returning.as_ref()?.away.as_ref()?;
        Some(away.look_at.saturating_duration_since(Instant::now()))
    }

    /// Chains in these slots are cancelled: they do not run again, and those that only wait for that end at once. Whether there
    /// were some.
    pub(super) fn give_up_return(&mut self, first: u32, last: u32) -> bool {
        let Some(returning) = &mut self.returning else { return false };
        let (given_up, waiting) = std::mem::take(&mut returning.waiting)
            .into_iter()
            .partition(|slot| (first..=last).contains(slot));
        returning.waiting = waiting;
        for slot in self.slots.iter_mut().skip(first as usize).take((last - first) as usize + 1) {
            slot.chain.iter_mut().for_each(Running::run_once);
        }
        let found = !Vec::is_empty(&given_up);
        self.end_each(given_up, Errno::ECANCELED);
        found
    }

    /// Enters the ring, or looks for its service if that has gone, and takes what has completed.
    #[cold]
    pub(super) fn enter_or_return(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: Option<BorrowedFd<'_>>,
    ) -> Result<(), Error> {
        let before = self.ended.len();
        if !self.is_gone() {
            self.issue_those_that_wait();
            let entered = match beside {
                Some(beside) => self.raw.enter_beside(wait, timeout, beside),
                None => self.raw.enter(u32::MAX, wait, timeout),
            };
            self.collect();
            if !self.is_away() {
                return entered.map(|_| ());
            }
        } else {
            self.collect();
        }
        if self.returning.as_ref().is_some_and(|returning| returning.over) {
            // Nobody comes back, which is said when there is nothing else to be said.
            return if self.ended.len() > before {
                Ok(())
            } else {
                self.raw.enter(u32::MAX, 0, None).map(|_| ())
            };
        }
        self.look_for_service();
        if wait > 0 && self.ended.len() == before && self.is_away() {
            let rest = self.next_look().unwrap_or(MOMENT);
            sleep(timeout.map_or(rest, |timeout| rest.min(timeout)), beside);
        }
        Ok(())
    }

    /// Looks whether the service is back, if it is time to, and connects to it.
    fn look_for_service(&mut self) {
        if !self.is_gone() {
            // It has said that it goes, and not yet gone.
            if let Some(remote) = self.raw.remote() {
                remote.look();
            }
            self.collect();
            return;
        }
        let now = Instant::now();
        let Some(returning) = &mut self.returning else { return };
        let within = returning.within;
        let away = returning.away.get_or_insert(Away { since: now, look_at: now, pause: SOON });
        if now < away.look_at {
            return;
        }
        let since = away.since;
        let Err(error) = self.reconnect() else { return };
        let now = Instant::now();
        let Some(returning) = &mut self.returning else { return };
        let left = within.saturating_sub(now.saturating_duration_since(since));
        if left.is_zero() {
            tracing::warn!(%error, "a service is not back in time");
            (returning.away, returning.over) = (None, true);
            let waiting = std::mem::take(&mut returning.waiting);
            self.end_each(waiting, Errno::ECONNRESET);
        } else if let Some(away) = &mut returning.away {
            away.look_at = now + away.pause.min(left);
            away.pause = (away.pause * 2).min(LATER);
        }
    }

    /// Issues chains that have waited for the service, as long as there is room.
    fn issue_those_that_wait(&mut self) {
        let Some(returning) = &mut self.returning else { return };
        if returning.waiting.is_empty() || self.is_away() {
            return;
        }
        let waiting = self.returning.as_mut().map(|returning| std::mem::take(&mut returning.waiting));
        let mut waiting = waiting.unwrap_or_default().into_iter();
        while let Some(slot) = waiting.next() {
            let Some(chain) = self.slots.get_mut(slot as usize).and_then(|slot| slot.chain.take()) else {
                continue;
            };
            let laid_out = if chain.only_step().is_some() {
                Ok(())
            } else if chain.steps().len() > self.longest {
                Err(Errno::E2BIG)
            } else {
                self.layout.lay_out(&chain).map_err(|_| Errno::EINVAL)
            };
            let issued = laid_out
                .and_then(|()| self.issue(slot, &chain).map_err(|error| error.errno().unwrap_or(Errno::EIO)));
            let is_gone = self.is_gone();
            self.slots[slot as usize].chain = Some(chain);
            match issued {
                Ok(true) => {}
                // There will be room, or another service.
                Ok(false) | Err(_) if is_gone || issued.is_ok() => {
                    if let Some(returning) = &mut self.returning {
                        returning.waiting.push(slot);
                        returning.waiting.extend(waiting);
                    }
                    return;
                }
                Ok(false) => {}
                Err(errno) => self.end_each(vec![slot], errno),
            }
        }
    }

    /// Ends chains that have not run.
    fn end_each(&mut self, slots: Vec<u32>, errno: Errno) {
        for slot in slots {
            let steps = self.slots[slot as usize].chain.as_ref().map_or(0, |chain| chain.steps().len());
            for number in 0..steps {
                let Some(chain) = &self.slots[slot as usize].chain else { break };
                let step = &chain.steps()[number];
                if step.is_silent() || self.slots[slot as usize].remaining == 0 {
                    continue;
                }
                let completion = Completion {
                    op: step.op(),
                    error: errno.raw(),
                    data: data(slot, number as u16),
                    result: 0,
                    flags: 0,
                    extra: 0,
                };
                deliver(&mut self.slots, &mut self.ended, &mut self.news, completion);
            }
        }
    }
}

/// Sleeps for so long, or until something is readable.
fn sleep(time: Duration, beside: Option<BorrowedFd<'_>>) {
    let Ok(limit) = Timespec::try_from(time) else { return };
    let mut ends: Vec<_> =
        beside.into_iter().map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN)).collect();
    // Whatever ended it: the caller looks again.
    let _ = poll(&mut ends, Some(&limit));
}

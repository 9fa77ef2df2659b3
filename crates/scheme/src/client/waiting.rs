//! How a client waits: it spins as long as that pays, then sleeps on the word of the service, or on the descriptor of readiness
//! beside something else.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Client;
use crate::patience::{Ask, processor};
use crate::readiness;

/// Who sleeps looks this often whether the service is still there: nothing wakes those whom a dead service has forgotten.
const LOOK: Duration = Duration::from_millis(100);

/// Who cannot be told looks this often, if it waits for something else as well.
const PAUSE: Duration = Duration::from_millis(1);

/// The most pauses between two looks of somebody who waits for many completions.
const RARELY: u32 = 16;

impl Client {
    /// Whether there is no use in waiting for `wait` completions any longer.
    #[inline]
    fn is_enough(&mut self, wait: u32) -> bool {
        let unread = self.unread();
        // Of a chain that is too long some may have ended before its end was pushed.
        let to_come = self.pending.owed().saturating_sub(self.open_owed);
        self.over
            || unread >= wait
            || to_come == 0
            || (self.pending.is_single() && to_come <= unread)
            || (unread > 0 && self.submitter.engine_starved())
    }

    pub(super) fn wait(&mut self, wait: u32, deadline: Option<Instant>) {
        if self.spin(wait, deadline) {
            return;
        }
        let mut slept = None;
        // Whoever had to sleep does not spin between two sleeps.
        loop {
            let enough = self.is_enough(wait);
            let now = Instant::now();
            if enough || deadline.is_some_and(|deadline| now >= deadline) {
                if let Some(since) = slept {
                    self.patience.slept(now.saturating_duration_since(since));
                }
                return;
            }
            slept.get_or_insert(now);
            self.sleep(wait, deadline.map_or(LOOK, |deadline| LOOK.min(deadline - now)));
        }
    }

    /// As [`wait`](Client::wait), until `beside` is readable, too.
    pub(super) fn wait_beside(&mut self, wait: u32, deadline: Option<Instant>, beside: BorrowedFd<'_>) {
        // With nothing to come it sleeps, and that says nothing of the service.
        let has_more_to_come = self.pending.owed() > self.open_owed;
        if has_more_to_come && self.spin(wait, deadline) {
            return;
        }
        let begin = Instant::now();
        let mut now = begin;
        while !self.is_enough_beside(wait) && deadline.is_none_or(|deadline| now < deadline) {
            let rung = self.sleep_beside(wait, deadline.map(|deadline| deadline - now), beside);
            now = Instant::now();
            if rung {
                break;
            }
        }
        if has_more_to_come {
            self.patience.slept(now.saturating_duration_since(begin));
        }
    }

    /// Whether there is no use in waiting any longer for one who waits for something else as well.
    fn is_enough_beside(&mut self, wait: u32) -> bool {
        self.is_enough(wait) && (self.over || self.unread() > 0)
    }

    /// Sleeps until there is something to look at, or `limit` has passed. Whether that is `beside`.
    fn sleep_beside(&mut self, wait: u32, limit: Option<Duration>, beside: BorrowedFd<'_>) -> bool {
        self.submitter.say_processor(processor());
        self.submitter.watch();
        if self.is_enough_beside(wait) {
            self.submitter.wake_up();
            return false;
        }
        let beside = PollFd::from_borrowed_fd(beside, PollFlags::IN);
        let rung = if let Some(readiness) = &self.readiness {
            let mut ends = [beside, PollFd::new(readiness, PollFlags::IN)];
            wait_for(&mut ends, limit);
            !ends[0].revents().is_empty()
        } else {
            wait_for(&mut [beside], Some(limit.map_or(PAUSE, |limit| limit.min(PAUSE)))) > 0
        };
        self.submitter.wake_up();
        if self.readiness.is_some() {
            self.empty_readiness();
        } else if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if self.has_hung_up() {
                self.end();
            }
        }
        rung
    }

    /// Empties the descriptor of readiness.
    pub(super) fn empty_readiness(&mut self) {
        let is_open = self.readiness.as_ref().is_none_or(|readiness| readiness::clear(readiness.as_fd()));
        if !is_open {
            // The service closes it when nothing of it can write to this ring any more.
            self.end();
        }
    }

    /// Looks for as long as it pays. Whether there is enough.
    fn spin(&mut self, wait: u32, deadline: Option<Instant>) -> bool {
        if self.is_enough(wait) {
            return true;
        }
        // What is owed does not change before something is read.
        let to_come = self.pending.owed().saturating_sub(self.open_owed);
        let wanted = if self.pending.is_single() { wait.min(to_come) } else { wait };
        let mut patience = self.patience;
        let is_there = patience.spin(deadline, |ask| match ask {
            Ask::IsThere => {
                let missing = wanted.saturating_sub(self.unread());
                // Each look takes the line away from the service that is writing there: one for each completion is enough.
                for _ in 1..missing.min(RARELY) {
                    std::hint::spin_loop();
                }
                missing == 0 || self.over
            }
            Ask::IsVain => {
                let here = processor();
                self.submitter.say_processor(here);
                (here.is_some() && here == self.submitter.engine_processor()) || self.is_enough(wait)
            }
        });
        self.patience = patience;
        is_there
    }

    fn sleep(&mut self, wait: u32, limit: Duration) {
        self.submitter.say_processor(processor());
        self.submitter.fall_asleep();
        // The engine may have posted, or have said that it is starved, before it could know that somebody sleeps.
        if !self.is_enough(wait) {
            self.completions.wait(self.submitter.tail_seen(), limit);
        }
        self.submitter.wake_up();
        // However short each wait is: a service that has gone wakes nobody.
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            if !self.is_enough(wait) && self.has_hung_up() {
                self.end();
            }
        }
    }
}

/// Waits until one of these is readable. How many are; of a wait that failed, none.
fn wait_for(ends: &mut [PollFd<'_>], limit: Option<Duration>) -> usize {
    // What is longer than the kernel can count is for ever.
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    poll(ends, limit.as_ref()).unwrap_or(0)
}

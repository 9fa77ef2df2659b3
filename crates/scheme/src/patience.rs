//! Patience: how long a side spins before it sleeps.
//!
//! Waking a sleeper costs some microseconds on both sides, so it pays to look again and again for about as long as
//! that, if the other side tends to answer in time, and to sleep at once if it does not. Whoever never spins for longer
//! than a wake costs never loses more than that much again. Two sides on one processor keep each other from running, so
//! there nobody spins. What a wake costs here is measured once in a process; the clock and the processor are asked for only
//! when a number of looks was in vain.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::futex::Word;

/// About what a wake costs, from one sleeping processor to another, where it cannot be measured.
const WAKE: Duration = Duration::from_micros(20);

/// What is measured is believed between these two: a machine that is busy says anything.
const LEAST: Duration = Duration::from_micros(5);
const MOST: Duration = Duration::from_micros(50);

/// How often two threads wake each other to find out.
const ROUNDS: usize = 16;

/// How many looks lie between two looks at the clock.
const LOOKS: u32 = 32;

/// Less than this is no patience.
const NOTHING: Duration = Duration::from_nanos(500);

/// What whoever spins asks the one it spins for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Is it there?
    IsThere,
    /// Many looks were in vain: is there a reason to end it, as that the other side waits for this processor?
    IsVain,
}

/// One side's patience with the other. See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long it spins now.
    limit: Duration,
    most: Duration,
    /// It was in vain the last time, and may be so again.
    was_vain: bool,
}

impl Patience {
    /// A patience that spins for up to `most`; `None` is what suits this machine: none where only one processor may be used, else
    /// as long as a wake takes.
    pub(crate) fn new(most: Option<Duration>) -> Patience {
        let most = most.unwrap_or_else(usual);
        Patience { limit: most, most, was_vain: false }
    }

    /// Looks until what is asked for is there, or in vain, or patience or the time until `until` is over. Whether it is there.
    #[inline]
    pub(crate) fn spin(&mut self, until: Option<Instant>, mut ask: impl FnMut(Ask) -> bool) -> bool {
        if ask(Ask::IsThere) {
            return true;
        }
        if self.limit.is_zero() || (self.was_vain && ask(Ask::IsVain)) {
            return false;
        }
        let mut end = None;
        loop {
            for _ in 0..LOOKS {
                std::hint::spin_loop();
                if ask(Ask::IsThere) {
                    self.was_vain = false;
                    if self.limit < self.most {
                        self.limit = (self.limit * 2).min(self.most);
                    }
                    return true;
                }
            }
            self.was_vain = ask(Ask::IsVain);
            if self.was_vain {
                return false;
            }
            let now = Instant::now();
            let end = *end.get_or_insert_with(|| {
                let end = now + self.limit;
                until.map_or(end, |until| until.min(end))
            });
            if now >= end {
                return false;
            }
        }
    }

    /// Sleeping was all the same necessary, and it lasted this long.
    pub(crate) fn slept(&mut self, time: Duration) {
        // Who was woken soon would have found it with some more patience.
        self.limit = if time < 2 * self.most { self.most } else { self.limit / 2 };
        if self.limit < NOTHING {
            self.limit = Duration::ZERO;
        }
    }
}

/// The processor this thread runs on; it may be on another before this has returned.
pub(crate) fn processor() -> Option<u32> {
    u32::try_from(sched_getcpu()).ok()
}

/// How long it pays to spin on this machine.
fn usual() -> Duration {
    static USUAL: OnceLock<Duration> = OnceLock::new();
    if thread::available_parallelism().map_or(1, |count| count.get()) < 2 {
        // Not kept: the process may be let out again.
        return Duration::ZERO;
    }
    *USUAL.get_or_init(|| measure().unwrap_or(WAKE).clamp(LEAST, MOST))
}

/// What a wake costs: two threads wake each other by turns, on two processors if the kernel lets them.
fn measure() -> Option<Duration> {
    let over = AtomicBool::new(false);
    // Even: it is the other's turn to sleep.
    let turn = AtomicU32::new(0);
    // SAFETY: both threads end before the word does.
    let word = unsafe { Word::new(NonNull::from(&turn).cast()) };
    let pass = || {
        let next = turn.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        word.wake();
        next
    };
    let mut times = [Duration::ZERO; ROUNDS];
    let from = sched_getcpu();
    thread::scope(|scope| {
        let echo = || {
            move_away(from);
            while !over.load(Ordering::Acquire) {
                match turn.load(Ordering::Acquire) {
                    mine if mine % 2 == 1 => {
                        pass();
                    }
                    other => word.wait(other, MOST * 8),
                }
            }
        };
        thread::Builder::new().name("ouzel-wake".to_owned()).spawn_scoped(scope, echo).ok()?;
        for time in &mut times {
            let begin = Instant::now();
            let sent = pass();
            while turn.load(Ordering::Acquire) == sent {
                word.wait(sent, MOST * 8);
            }
            *time = begin.elapsed();
        }
        over.store(true, Ordering::Release);
        Some(())
    })?;
    // There and back. The first ones find the other still starting.
    times.sort_unstable();
    Some(times[ROUNDS / 2] / 2)
}

/// Leaves this processor to others, as far as that is allowed.
fn move_away(from: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let mut others = CpuSet::new();
    for number in (0..CpuSet::MAX_CPU).filter(|number| *number != from && allowed.is_set(*number)) {
        others.set(number);
    }
    if others.count() > 0 {
        // Where it is refused the two may share a processor, and what is measured is too little.
        let _ = sched_setaffinity(None, &others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_answers_in_time_and_shrinks_without() {
        let mut patience = Patience::new(Some(Duration::from_micros(16)));
        for _ in 0..10 {
            patience.slept(Duration::from_secs(1));
        }
        assert_eq!(patience.limit, Duration::ZERO);
        assert!(!patience.spin(None, |_| false));
        patience.slept(Duration::from_micros(5));
        assert_eq!(patience.limit, Duration::from_micros(16));
        patience.slept(Duration::from_secs(1));
        let mut looks = 0;
        let found = patience.spin(None, |_| {
            looks += 1;
            looks == 3
        });
        assert!(found);
        assert_eq!(patience.limit, Duration::from_micros(16));
    }

    #[test]
    fn it_ends_with_the_time_it_is_given() {
        let mut patience = Patience::new(Some(Duration::from_secs(60)));
        let begin = Instant::now();
        assert!(!patience.spin(Some(begin + Duration::from_millis(5)), |_| false));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn it_ends_when_it_is_vain_and_begins_no_more_as_long_as_it_is() {
        let mut patience = Patience::new(Some(Duration::from_secs(60)));
        let count = |patience: &mut Patience, is_vain: bool, comes: u32| {
            let mut looks = 0;
            let found = patience.spin(None, |ask| match ask {
                Ask::IsThere => {
                    looks += 1;
                    looks == comes
                }
                Ask::IsVain => is_vain,
            });
            (found, looks)
        };
        assert_eq!(count(&mut patience, true, u32::MAX), (false, 1 + LOOKS));
        assert_eq!(count(&mut patience, true, u32::MAX), (false, 1), "it knows");
        assert_eq!(count(&mut patience, false, 50), (true, 50));
        assert_eq!(count(&mut patience, true, u32::MAX), (false, 1 + LOOKS), "it has to find out anew");
    }

    #[test]
    fn none_at_all_looks_once() {
        let mut patience = Patience::new(Some(Duration::ZERO));
        patience.slept(Duration::ZERO);
        let mut looks = 0;
        assert!(!patience.spin(None, |_| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
    }

    #[test]
    fn what_suits_the_machine_is_measured_within_bounds() {
        let usual = usual();
        assert!(usual.is_zero() || (LEAST..=MOST).contains(&usual), "{usual:?}");
        assert_eq!(usual, super::usual());
    }
}

//! Timers: a wheel of instants, in which setting, removing and firing one take the same time however many there are.
//!
//! The wheel has levels of 64 slots. A slot of the lowest level is one nanosecond, and one of each other level as long as
//! the whole level below. A timer lies in the level of the highest six bits in which its instant differs from the time that the wheel has
//! come to, so every timer of a level is due before every one of the level above, and slots of a level are due in their order:
//! the first one is found with two looks at bitmaps. When the wheel comes to a slot, its timers move to lower levels.
//!
//! An instant that is far away is rounded up, so that those which are nearly the same share a wake, and a move or two bring a
//! timer down: see [`Timers::add`] for by how much. Nothing fires early. Timers are the executor's, not the ring's, so a sleep costs no
//! entry, and there may be as many as memory holds. The next one bounds how long the executor waits in the ring. Nothing
//! here calls a waker.

use super::waker::Wakee;

/// Bits of an instant that choose a slot.
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// So many levels take every instant.
const LEVELS: usize = 64usize.div_ceil(BITS as usize);
/// An instant is rounded up by less than this part of the time until then, as a power of two …
const SHARE: u32 = 5;
/// … and by less than this many nanoseconds, a little more than a millisecond.
const COARSEST: u32 = 20;

const NOWHERE: u32 = u32::MAX;

struct Timer {
    at: u64,
    /// Its slot in the wheel, or `NOWHERE`.
    slot: u32,
    /// Its neighbours there, in a circle.
    before: u32,
    behind: u32,
    wakee: Wakee,
}

#[derive(Clone, Copy)]
struct Slot {
    /// The first timer of the circle, if the slot's bit is set.
    first: u32,
    /// No timer in it is due before this.
    earliest: u64,
}

/// Timers by number.
pub(super) struct Timers {
    timers: Vec<Timer>,
    free: Vec<u32>,
    slots: Box<[Slot]>,
    /// Slots of each level that are not empty.
    used: [u64; LEVELS],
    /// Levels that are not empty.
    levels: u16,
    /// The time that the wheel has come to. Whatever was due before has fired.
    come_to: u64,
    /// The slot that it has come to: what is due at its very beginning fires, and the rest moves. `NOWHERE` if it is done.
    opened: u32,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            timers: Vec::new(),
            free: Vec::new(),
            slots: vec![Slot { first: NOWHERE, earliest: 0 }; LEVELS * SLOTS].into_boxed_slice(),
            used: [0; LEVELS],
            levels: 0,
            come_to: 0,
            opened: NOWHERE,
        }
    }
}

/// `at`, as seen from `now`, rounded up.
fn rounded(at: u64, now: u64) -> u64 {
    let time = at.saturating_sub(now);
    let bits = (u64::BITS - time.leading_zeros()).saturating_sub(SHARE + 1).min(COARSEST);
    let rest = (1u64 << bits) - 1;
    // At the end of time there is nothing to round up to.
    at.checked_add(rest).map_or(at, |above| above & !rest)
}

impl Timers {
    /// Sets a timer for whoever waits for it, and returns its number. It is `now`.
    ///
    /// It fires at `at` or later, by less than a 32nd of the time from now until then and by less than 2²⁰ ns, 1.05 ms.
    pub(super) fn add(&mut self, at: u64, now: u64, wakee: Wakee) -> u32 {
        let timer = Timer { at: rounded(at, now), slot: NOWHERE, before: NOWHERE, behind: NOWHERE, wakee };
        let number = match self.free.pop() {
            Some(number) => {
                self.timers[number as usize] = timer;
                number
            }
            None => {
                self.timers.push(timer);
                (self.timers.len() - 1) as u32
            }
        };
        self.put(number);
        number
    }

    /// Whether it has fired.
    pub(super) fn has_fired(&self, number: u32) -> bool {
        self.timers.get(number as usize).is_none_or(|timer| timer.slot == NOWHERE)
    }

    /// Who waits for it.
    pub(super) fn wakee(&mut self, number: u32) -> Option<&mut Wakee> {
        self.timers.get_mut(number as usize).map(|timer| &mut timer.wakee)
    }

    /// Removes a timer, fired or not; its number is another's from now on. Returns who waited.
    pub(super) fn remove(&mut self, number: u32) -> Wakee {
        if !self.has_fired(number) {
            self.take_out(number);
        }
        let Some(timer) = self.timers.get_mut(number as usize) else { return Wakee::Nobody };
        self.free.push(number);
        std::mem::take(&mut timer.wakee)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels == 0
    }

    /// A time before which none is due; if none has been removed, it is the next one's.
    pub(super) fn next(&self) -> Option<u64> {
        if self.opened != NOWHERE {
            return Some(self.come_to);
        }
        self.first_slot().map(|slot| self.slots[slot].earliest)
    }

    /// Lets the next timer fire if it is due, and returns who waits for it.
    pub(super) fn fire(&mut self, now: u64) -> Option<Wakee> {
        loop {
            while self.opened != NOWHERE {
                let number = self.slots[self.opened as usize].first;
                self.take_out(number);
                let timer = &mut self.timers[number as usize];
                if timer.at <= self.come_to {
                    return Some(std::mem::take(&mut timer.wakee));
                }
                self.put(number);
            }
            let Some(slot) = self.first_slot() else {
                self.come_to = self.come_to.max(now);
                return None;
            };
            let begins = self.beginning_of(slot);
            if begins > now {
                // It is before the next slot, so all others are where they belong.
                self.come_to = self.come_to.max(now);
                return None;
            }
            self.come_to = begins;
            self.opened = slot as u32;
        }
    }

    /// Lets every timer fire.
    pub(super) fn fire_all(&mut self) -> Vec<Wakee> {
        self.used = [0; LEVELS];
        self.levels = 0;
        self.opened = NOWHERE;
        let waiting = self.timers.iter_mut().filter(|timer| timer.slot != NOWHERE);
        let fired = waiting.map(|timer| {
            timer.slot = NOWHERE;
            std::mem::take(&mut timer.wakee)
        });
        fired.collect()
    }

    /// The slot that is due first.
    fn first_slot(&self) -> Option<usize> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(level * SLOTS + self.used[level].trailing_zeros() as usize)
    }

    /// When a slot begins that is still to come: its instants differ from the time come to in the bits of its level, and lower
    /// ones.
    fn beginning_of(&self, slot: usize) -> u64 {
        let (level, digit) = ((slot / SLOTS) as u32, (slot % SLOTS) as u64);
        let above = u64::MAX.checked_shl(BITS * (level + 1)).unwrap_or(0);
        self.come_to & above | digit << (BITS * level)
    }

    /// Puts a timer where it belongs, behind those that are there.
    fn put(&mut self, number: u32) {
        let timer = &mut self.timers[number as usize];
        let at = timer.at.max(self.come_to);
        // One that is due right now is in the lowest level, too.
        let level = (u64::BITS - 1 - ((at ^ self.come_to) | 1).leading_zeros()) / BITS;
        let digit = (at >> (BITS * level)) as usize % SLOTS;
        let slot = level as usize * SLOTS + digit;
        timer.slot = slot as u32;
        let bit = 1 << digit;
        let used = &mut self.used[level as usize];
        let of = &mut self.slots[slot];
        if *used & bit == 0 {
            *used |= bit;
            self.levels |= 1 << level;
            *of = Slot { first: number, earliest: at };
            (timer.before, timer.behind) = (number, number);
            return;
        }
        of.earliest = of.earliest.min(at);
        let first = of.first;
        let last = std::mem::replace(&mut self.timers[first as usize].before, number);
        self.timers[last as usize].behind = number;
        let timer = &mut self.timers[number as usize];
        (timer.before, timer.behind) = (last, first);
    }

    /// Takes a timer out of its slot.
    fn take_out(&mut self, number: u32) {
        let timer = &mut self.timers[number as usize];
        let slot = std::mem::replace(&mut timer.slot, NOWHERE) as usize;
        let (before, behind) = (timer.before, timer.behind);
        if behind == number {
            self.clear(slot);
            return;
        }
        self.timers[before as usize].behind = behind;
        self.timers[behind as usize].before = before;
        let of = &mut self.slots[slot];
        if of.first == number {
            of.first = behind;
        }
    }

    /// A slot is empty.
    fn clear(&mut self, slot: usize) {
        let level = slot / SLOTS;
        self.used[level] &= !(1 << (slot % SLOTS));
        if self.used[level] == 0 {
            self.levels &= !(1 << level);
        }
        if self.opened == slot as u32 {
            self.opened = NOWHERE;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    /// Numbers that are the same each time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self) -> u64 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 32) ^ self.0 << 32
        }

        /// Any length of time is as likely to have one number of bits as another.
        fn time(&mut self) -> u64 {
            let bits = self.roll() % 64;
            self.roll() >> bits
        }
    }

    /// Timers, and the same in a map by instant and by the order of setting.
    struct Both {
        timers: Timers,
        map: BTreeMap<(u64, u64), u32>,
        keys: Vec<(u64, u64)>,
        set: u64,
        now: u64,
    }

    impl Both {
        fn starting_at(now: u64) -> Both {
            let mut timers = Timers::default();
            assert!(timers.fire(now).is_none());
            Both { timers, map: BTreeMap::new(), keys: Vec::new(), set: 0, now }
        }

        fn set(&mut self, time: u64) {
            let at = self.now.saturating_add(time);
            let due = rounded(at, self.now);
            assert!(
                due >= at && due - at <= time / 32 && due - at < 1 << 20,
                "{time} at {}: {due}",
                self.now
            );
            let number = self.timers.add(at, self.now, Wakee::Task(self.set as u32));
            self.map.insert((due, self.set), number);
            self.keys.push((due, self.set));
            self.set += 1;
        }

        fn remove(&mut self, which: u64) {
            if self.keys.is_empty() {
                return;
            }
            let key = self.keys.swap_remove(which as usize % self.keys.len());
            if let Some(number) = self.map.remove(&key) {
                assert!(!self.timers.has_fired(number));
                assert!(matches!(self.timers.remove(number), Wakee::Task(set) if u64::from(set) == key.1));
                assert!(self.timers.has_fired(number));
            }
        }

        /// Time passes until then: whatever is due by then fires, in order.
        fn advance(&mut self, until: u64) {
            self.now = until;
            loop {
                if let (Some(next), Some(((due, _), _))) = (self.timers.next(), self.map.first_key_value()) {
                    assert!(next <= *due, "{next} {due}");
                }
                let Some(fired) = self.timers.fire(until) else { break };
                let ((due, set), number) = self.map.pop_first().unwrap();
                assert!(due <= until, "early: {due} at {until}");
                assert!(matches!(fired, Wakee::Task(fired) if u64::from(fired) == set), "{due} {set}");
                assert!(self.timers.has_fired(number));
                assert!(matches!(self.timers.remove(number), Wakee::Nobody));
            }
            assert!(self.map.first_key_value().is_none_or(|((due, _), _)| *due > until), "one is late");
            assert_eq!(self.timers.is_empty(), self.map.is_empty());
        }
    }

    #[test]
    fn they_do_what_an_ordered_map_does() {
        for seed in 0..60 {
            let mut dice = Dice(seed);
            let start = dice.time();
            let mut both = Both::starting_at(start);
            for _ in 0..3_000 {
                match dice.roll() % 8 {
                    0..4 => both.set(dice.time()),
                    4..6 => both.remove(dice.roll()),
                    6 => both.advance(both.now.saturating_add(dice.time() >> 20)),
                    // To the time that the next is said to be due at, as the executor does.
                    _ => both.advance(both.timers.next().unwrap_or(both.now).max(both.now)),
                }
            }
            both.advance(u64::MAX);
            assert!(both.map.is_empty() && both.timers.next().is_none());
        }
    }

    #[test]
    fn without_removals_the_next_time_is_exact() {
        let mut dice = Dice(7);
        let mut both = Both::starting_at(12_345_678_901);
        for _ in 0..5_000 {
            both.set(dice.time() >> 24);
        }
        let mut wakes = 0;
        while let Some(next) = both.timers.next() {
            assert_eq!(next, both.map.first_key_value().unwrap().0.0);
            both.advance(next);
            wakes += 1;
        }
        assert!(both.map.is_empty());
        assert!(wakes < 2_000, "neighbours share a wake: {wakes}");
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut timers = Timers::default();
        let never = timers.add(u64::MAX, 0, Wakee::Nobody);
        let now = timers.add(0, 0, Wakee::Task(1));
        assert_eq!(timers.next(), Some(0));
        assert!(matches!(timers.fire(0), Some(Wakee::Task(1))) && timers.has_fired(now));
        assert!(timers.fire(u64::MAX - 1).is_none() && !timers.has_fired(never));
        assert_eq!(timers.next(), Some(u64::MAX));
        // One for a time that is long over.
        timers.add(3, u64::MAX - 1, Wakee::Task(2));
        assert!(matches!(timers.fire(u64::MAX - 1), Some(Wakee::Task(2))));
        assert!(timers.fire(u64::MAX).is_some() && timers.has_fired(never));
        assert!(timers.fire(u64::MAX).is_none() && timers.is_empty());
        timers.add(1, u64::MAX, Wakee::Task(3));
        assert!(matches!(timers.fire(u64::MAX), Some(Wakee::Task(3))));
    }

    #[test]
    fn all_of_them_fire_when_the_executor_goes() {
        let mut timers = Timers::default();
        let numbers = [5, 50, 1 << 30, u64::MAX].map(|at| timers.add(at, 1, Wakee::Task(at as u32)));
        assert!(timers.fire(40).is_some());
        assert_eq!(timers.fire_all().len(), 3);
        assert!(numbers.iter().all(|number| timers.has_fired(*number)) && timers.next().is_none());
        numbers.iter().for_each(|number| drop(timers.remove(*number)));
        timers.add(60, 50, Wakee::Nobody);
        assert_eq!(timers.next(), Some(60));
    }
}

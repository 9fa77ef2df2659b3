//! Timers: a heap of instants, in which any can be found again and removed in O(log n).
//!
//! They are the executor's, not the ring's, so a sleep costs no entry, and there may be as many as memory holds. The next
//! one bounds how long the executor waits in the ring. Nothing here calls a waker.

use super::waker::Wakee;

/// Children of a node: four lie together in a cache line.
const WIDTH: usize = 4;
const NOWHERE: u32 = u32::MAX;

struct Timer {
    /// Where it is in the heap.
    place: u32,
    wakee: Wakee,
}

/// Timers by number.
#[derive(Default)]
pub(super) struct Timers {
    /// (instant, number), the first one smallest.
    heap: Vec<(u64, u32)>,
    timers: Vec<Timer>,
    free: Vec<u32>,
}

impl Timers {
    /// Sets a timer and returns its number.
    pub(super) fn add(&mut self, at: u64) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.timers.push(Timer { place: NOWHERE, wakee: Wakee::Nobody });
            (self.timers.len() - 1) as u32
        });
        self.heap.push((at, number));
        self.rise(self.heap.len() - 1, (at, number));
        number
    }

    /// Whether it has fired.
    pub(super) fn has_fired(&self, number: u32) -> bool {
        self.timers.get(number as usize).is_none_or(|timer| timer.place == NOWHERE)
    }

    /// Who waits for it.
    pub(super) fn wakee(&mut self, number: u32) -> Option<&mut Wakee> {
        self.timers.get_mut(number as usize).map(|timer| &mut timer.wakee)
    }

    /// Removes a timer, fired or not; its number is another's from now on. Returns who waited.
    pub(super) fn remove(&mut self, number: u32) -> Wakee {
        let Some(timer) = self.timers.get_mut(number as usize) else { return Wakee::Nobody };
        let wakee = std::mem::take(&mut timer.wakee);
        let place = std::mem::replace(&mut timer.place, NOWHERE);
        self.free.push(number);
        if place != NOWHERE {
            self.take_out(place as usize);
        }
        wakee
    }

    /// The earliest instant.
    pub(super) fn next(&self) -> Option<u64> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Lets the earliest timer fire if it is due, and returns who waits for it.
    pub(super) fn fire(&mut self, now: u64) -> Option<Wakee> {
        let (_, number) = *self.heap.first().filter(|(at, _)| *at <= now)?;
        self.take_out(0);
        let timer = self.timers.get_mut(number as usize)?;
        timer.place = NOWHERE;
        Some(std::mem::take(&mut timer.wakee))
    }

    /// Lets every timer fire.
    pub(super) fn fire_all(&mut self) -> Vec<Wakee> {
        self.heap.clear();
        let waiting = self.timers.iter_mut().filter(|timer| timer.place != NOWHERE);
        let fired = waiting.map(|timer| {
            timer.place = NOWHERE;
            std::mem::take(&mut timer.wakee)
        });
        fired.collect()
    }

    fn take_out(&mut self, place: usize) {
        let Some(last) = self.heap.pop() else { return };
        if place == self.heap.len() {
            return;
        }
        if place > 0 && last.0 < self.heap[(place - 1) / WIDTH].0 {
            self.rise(place, last);
        } else {
            self.sink(place, last);
        }
    }

    /// Puts `timer` at `place`, which is free, or further up.
    fn rise(&mut self, mut place: usize, timer: (u64, u32)) {
        while place > 0 {
            let parent = (place - 1) / WIDTH;
            if self.heap[parent].0 <= timer.0 {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, timer);
    }

    /// Puts `timer` at `place`, which is free, or further down.
    fn sink(&mut self, mut place: usize, timer: (u64, u32)) {
        loop {
            let first = place * WIDTH + 1;
            let children = first..(first + WIDTH).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child].0) else { break };
            if self.heap[least].0 >= timer.0 {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, timer);
    }

    fn put(&mut self, place: usize, timer: (u64, u32)) {
        self.heap[place] = timer;
        self.timers[timer.1 as usize].place = place as u32;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn they_fire_in_order_and_those_removed_do_not() {
        let mut timers = Timers::default();
        let mut state = 1u64;
        let mut alive = Vec::new();
        for round in 0..2_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = state >> 40;
            alive.push((at, timers.add(at)));
            if round % 3 == 0 {
                let (_, number) = alive.swap_remove((state >> 20) as usize % alive.len());
                timers.remove(number);
                assert!(timers.has_fired(number));
            }
        }
        alive.sort();
        for (at, number) in alive {
            assert!(!timers.has_fired(number));
            assert_eq!(timers.next(), Some(at));
            assert!(timers.fire(at.saturating_sub(1)).is_none() || at == 0);
            assert!(timers.fire(at).is_some());
        }
        assert!(timers.next().is_none() && timers.fire(u64::MAX).is_none());
        assert!(timers.heap.is_empty());
    }
}

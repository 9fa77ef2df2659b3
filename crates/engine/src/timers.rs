//! Timers: an indexed binary heap, so that setting, clearing and firing one cost O(log n).
//!
//! A timer belongs to an owner, a small number; an owner has at most one. No allocation after creation.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::slab::NONE;

/// The timers of owners `0..owners`.
pub(crate) struct Timers {
    /// (instant, owner), smallest first.
    heap: Vec<(u64, u32)>,
    /// Where each owner's timer is in the heap.
    places: Box<[u32]>,
}

impl Timers {
    pub(crate) fn new(owners: u32) -> Timers {
        Timers { heap: Vec::with_capacity(owners as usize), places: (0..owners).map(|_| NONE).collect() }
    }

    /// Sets `owner`'s timer to `at`, replacing an earlier one.
    pub(crate) fn set(&mut self, owner: u32, at: u64) {
        self.clear(owner);
        self.heap.push((at, owner));
        let last = self.heap.len() - 1;
        self.places[owner as usize] = last as u32;
        self.rise(last);
    }

    /// Clears `owner`'s timer, if it has one.
    #[inline]
    pub(crate) fn clear(&mut self, owner: u32) {
        if self.heap.is_empty() {
            return;
        }
        let place = self.places[owner as usize];
        if place != NONE {
            self.remove(place as usize);
        }
    }

    /// The earliest instant.
    #[inline]
    pub(crate) fn next(&self) -> Option<u64> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Removes the earliest timer if its instant is not after `now`, and returns its owner.
    pub(crate) fn fire(&mut self, now: u64) -> Option<u32> {
        let (at, owner) = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.remove(0);
        Some(owner)
    }

    fn remove(&mut self, place: usize) {
        let (_, owner) = self.heap.swap_remove(place);
        self.places[owner as usize] = NONE;
        if place < self.heap.len() {
            self.places[self.heap[place].1 as usize] = place as u32;
            self.sink(place);
            self.rise(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent].0 <= self.heap[place].0 {
                break;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let mut least = place;
            for child in [2 * place + 1, 2 * place + 2] {
                if child < self.heap.len() && self.heap[child].0 < self.heap[least].0 {
                    least = child;
                }
            }
            if least == place {
                break;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[self.heap[a].1 as usize] = a as u32;
        self.places[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_in_order_and_forgets_the_cleared() {
        let mut timers = Timers::new(100);
        let mut state = 1u64;
        let mut expected = Vec::new();
        for owner in 0..100 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            timers.set(owner, state >> 40);
            if owner % 3 == 0 {
                timers.clear(owner);
            } else {
                if owner % 5 == 0 {
                    state += 1 << 50;
                    timers.set(owner, state >> 40);
                }
                expected.push((state >> 40, owner));
            }
        }
        expected.sort();
        let mut fired = Vec::new();
        while let Some(at) = timers.next() {
            assert_eq!(timers.fire(at.wrapping_sub(1).min(at)), (at == 0).then_some(0));
            fired.push((at, timers.fire(at).unwrap()));
        }
        fired.sort();
        assert_eq!(fired, expected);
        assert_eq!(timers.fire(u64::MAX), None);
    }
}

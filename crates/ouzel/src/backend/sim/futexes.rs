//! Simulated FUTEX: who sleeps on which word, in the order in which they came.
//!
//! The words are the submitter's own memory: they are looked at when an operation takes effect, and never written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use ouzel_engine::Span;
use ouzel_ring::Errno;

use super::turn::{Key, Stop};
use super::world::World;
use crate::backend::memory;

/// A word: its address, and whether it is one for other processes too. The two do not know of each other.
pub(super) type Word = (usize, bool);

/// Who sleeps.
#[derive(Debug, Default)]
pub(super) struct Futexes {
    sleepers: VecDeque<(u64, Word)>,
    tickets: u64,
}

fn of(word: Span, shared: bool) -> Word {
    (word.pointer as usize, shared)
}

impl World {
    /// One attempt of a sleeper, which has a ticket once it sleeps.
    pub(super) fn futex_wait(
        &mut self,
        word: Span,
        expected: u32,
        shared: bool,
        ticket: &mut Option<u64>,
    ) -> Result<(), Stop> {
        let at = of(word, shared);
        match *ticket {
            Some(ticket) if self.futexes.sleepers.iter().any(|sleeper| sleeper.0 == ticket) => {}
            // Somebody has woken it.
            Some(_) => return Ok(()),
            None => {
                let held: &AtomicU32 = memory::word(&word);
                if held.load(Ordering::SeqCst) != expected {
                    return Err(Errno::EAGAIN.into());
                }
                self.futexes.tickets += 1;
                *ticket = Some(self.futexes.tickets);
                self.futexes.sleepers.push_back((self.futexes.tickets, at));
            }
        }
        Err(Stop::Wait(vec![Key::Futex(at)]))
    }

    /// A sleeper sleeps no more, for whatever reason.
    pub(super) fn futex_leave(&mut self, ticket: u64) {
        self.futexes.sleepers.retain(|sleeper| sleeper.0 != ticket);
    }

    pub(super) fn futex_wake(&mut self, word: Span, shared: bool, count: u32) -> u64 {
        let at = of(word, shared);
        let mut woken = 0;
        self.futexes.sleepers.retain(|sleeper| {
            let wakes = sleeper.1 == at && woken < u64::from(count);
            woken += u64::from(wakes);
            !wakes
        });
        self.network.touched.push(Key::Futex(at));
        woken
    }
}

//! Simulated bells: event counters that several simulators share. WAKE, and READ, WRITE and POLL of one.
//!
//! A bell is the only thing that reaches into a simulation from outside. A simulator looks whether one of its bells has
//! been rung whenever it is entered; on one thread everything stays as deterministic as it is without them.

use std::sync::{Arc, PoisonError};

use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use super::turn::{Key, Stop};
use super::world::{Object, Subject, World};
#[cfg(shuttle)]
use crate::sync::Condvar;
use crate::sync::{Mutex, MutexGuard};

/// How long the simulator rests, in real time, when nothing but a bell that another thread rings can change anything.
#[cfg(not(shuttle))]
const PAUSE: std::time::Duration = std::time::Duration::from_micros(50);

/// The largest count.
const MOST: u64 = u64::MAX - 1;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    count: u64,
    /// How often it has changed.
    changes: u64,
    /// How often somebody has added to it.
    rung: u64,
}

/// A bell.
#[derive(Debug, Default)]
pub(crate) struct SharedBell {
    state: Mutex<State>,
    /// In a model nobody rests, since there is no time: whoever has nothing to do is asleep until somebody rings.
    #[cfg(shuttle)]
    heard: Condvar,
}

impl SharedBell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the count. False if it has no room for that.
    pub(crate) fn add(&self, amount: u64) -> bool {
        let mut state = self.state();
        let Some(count) = state.count.checked_add(amount).filter(|count| *count <= MOST) else {
            return false;
        };
        state.count = count;
        state.changes += 1;
        state.rung += 1;
        #[cfg(shuttle)]
        self.heard.notify_all();
        true
    }

    /// Takes the whole count, unless it is 0.
    fn take(&self) -> Option<u64> {
        let mut state = self.state();
        if state.count == 0 {
            return None;
        }
        state.changes += 1;
        Some(std::mem::take(&mut state.count))
    }
}

/// A bell that a simulator has.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) bell: Arc<SharedBell>,
    /// Its changes when it was last looked at.
    seen: u64,
}

impl World {
    /// Adds an open description of a bell.
    pub(super) fn add_bell(&mut self, bell: Arc<SharedBell>) -> u64 {
        self.next += 1;
        let id = self.next;
        let seen = bell.state().changes;
        self.bells.insert(id, Heard { bell, seen });
        self.add(Object::Bell(id), super::world::BOTH)
    }

    /// Takes note of the bells that somebody has rung.
    pub(super) fn listen_to_bells(&mut self) {
        for (id, heard) in &mut self.bells {
            let changes = heard.bell.state().changes;
            if std::mem::replace(&mut heard.seen, changes) != changes {
                self.network.touched.push(Key::Bell(*id));
            }
        }
    }

    /// Rests until a bell may have been rung: nothing is gained by asking all the time.
    #[cfg(not(shuttle))]
    pub(super) fn rest(&self) {
        std::thread::sleep(PAUSE);
    }

    /// Sleeps until the bell is rung, if it has not been: in a model there is one.
    #[cfg(shuttle)]
    pub(super) fn rest(&self) {
        for Heard { bell, seen } in self.bells.values() {
            let mut state = bell.state();
            while state.changes == *seen {
                state = bell.heard.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn bell(&self, id: u64) -> Result<Arc<SharedBell>, Errno> {
        self.bells.get(&id).map(|heard| Arc::clone(&heard.bell)).ok_or(Errno::EBADF)
    }

    pub(super) fn wake(&mut self, subject: Subject, amount: u64) -> Result<(), Stop> {
        match self.usable(subject)?.1 {
            Object::Bell(id) => self.ring_bell(id, amount),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    pub(super) fn ring_bell(&mut self, id: u64, amount: u64) -> Result<(), Stop> {
        if amount == u64::MAX {
            return Err(Errno::EINVAL.into());
        }
        if !self.bell(id)?.add(amount) {
            return Err(Stop::Wait(vec![Key::Bell(id)]));
        }
        self.network.touched.push(Key::Bell(id));
        Ok(())
    }

    /// The bytes that a READ of `count` bytes gets.
    pub(super) fn read_bell(&mut self, id: u64, count: u64) -> Result<[u8; 8], Stop> {
        if count < 8 {
            return Err(Errno::EINVAL.into());
        }
        let Some(taken) = self.bell(id)?.take() else { return Err(Stop::Wait(vec![Key::Bell(id)])) };
        self.network.touched.push(Key::Bell(id));
        Ok(taken.to_ne_bytes())
    }

    /// What is ready of a bell, and how often it was rung.
    pub(super) fn bell_readiness(&self, id: u64) -> (PollEvents, u64) {
        let Some(heard) = self.bells.get(&id) else { return (PollEvents::ERROR, 0) };
        let state = heard.bell.state();
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN, state.count > 0);
        events.set(PollEvents::OUT, state.count < MOST);
        (events, state.rung)
    }
}

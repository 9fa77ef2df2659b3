//! Operations: what the executor knows of each chain that some future waits for.
//!
//! A chain is in one of three places: the backlog, while the ring has no room for it; the ring, which alone owns its buffers
//! from then on; or here, over, until its future takes it. A future owns the number of its operation and nothing else, so
//! dropping or forgetting it can free nothing that the kernel may write to. Nothing here calls a waker.

use std::collections::VecDeque;

use super::waker::Wakee;
use crate::chain::Chain;
use crate::done::Done;
use crate::ring::{Rejected, Ticket};

/// What became of a chain.
pub(super) type Ending = Result<Done, Box<Rejected>>;

pub(super) enum State {
    Free,
    /// It waits for room in the ring.
    Backlogged(Chain),
    /// It was given up before there was room; its number is still in the backlog.
    Withdrawn,
    Running(Ticket),
    Over(Ending),
}

/// Who takes the result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A future.
    Future,
    /// A future on another thread.
    Remote,
    /// A future that was dropped.
    Dropped,
    /// Nobody: it was started for its effect.
    Detached,
    /// The executor's bell.
    Bell,
}

pub(super) struct Operation {
    pub(super) state: State,
    pub(super) owner: Owner,
    pub(super) wakee: Wakee,
}

/// The operations of an executor, by number.
#[derive(Default)]
pub(super) struct Operations {
    slots: Vec<Operation>,
    free: Vec<u32>,
    /// Those that wait for room, first come first served.
    pub(super) backlog: VecDeque<u32>,
    /// The operation of each chain in the ring, by its index there.
    running: Vec<u32>,
    /// Chains in the ring that are to be given up.
    pub(super) dropped: Vec<Ticket>,
}

impl Operations {
    /// A number for an operation.
    pub(super) fn claim(&mut self, owner: Owner) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Operation { state: State::Free, owner, wakee: Wakee::Nobody });
            (self.slots.len() - 1) as u32
        });
        self.slots[number as usize].owner = owner;
        number
    }

    pub(super) fn slot(&mut self, number: u32) -> &mut Operation {
        &mut self.slots[number as usize]
    }

    /// Its chain is in the ring now.
    pub(super) fn runs(&mut self, number: u32, ticket: Ticket) {
        let index = ticket.index();
        if self.running.len() <= index {
            self.running.resize(index + 1, u32::MAX);
        }
        self.running[index] = number;
        self.slots[number as usize].state = State::Running(ticket);
    }

    /// The operation whose chain has this index in the ring.
    pub(super) fn at(&mut self, index: usize) -> Option<u32> {
        self.running.get(index).copied().filter(|number| (*number as usize) < self.slots.len())
    }

    /// Makes a number free again, and returns what was left there.
    pub(super) fn release(&mut self, number: u32) -> (State, Wakee) {
        let slot = &mut self.slots[number as usize];
        let left = (std::mem::replace(&mut slot.state, State::Free), std::mem::take(&mut slot.wakee));
        self.free.push(number);
        left
    }

    /// Numbers of all that are not free.
    pub(super) fn numbers(&self) -> Vec<u32> {
        let used = |number: &u32| !matches!(self.slots[*number as usize].state, State::Free);
        (0..self.slots.len() as u32).filter(used).collect()
    }
}

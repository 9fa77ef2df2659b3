//! Operations: what the executor knows of each chain that some future waits for.
//!
//! A chain is in one of three places: the backlog, while the ring has no room for it; the ring, which alone owns its buffers
//! from then on; or here, over, until its future takes it. A future owns the number of its operation and nothing else, so
//! dropping or forgetting it can free nothing that the kernel may write to. Nothing here calls a waker.

use std::collections::VecDeque;

use super::waker::Wakee;
use crate::chain::Chain;
use crate::chain::Done;
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
    /// Chains in the ring that are to be given up.
    pub(super) dropped: Vec<Ticket>,
}

impl Operations {
    /// A number for an operation.
    #[inline]
    pub(super) fn claim(&mut self, owner: Owner) -> u32 {
        let number = match self.free.pop() {
            Some(number) => number,
            None => self.add_slot(),
        };
        self.slots[number as usize].owner = owner;
        number
    }

    #[cold]
    fn add_slot(&mut self) -> u32 {
        self.slots.push(Operation { state: State::Free, owner: Owner::Detached, wakee: Wakee::Nobody });
        (self.slots.len() - 1) as u32
    }

    #[inline]
    pub(super) fn slot(&mut self, number: u32) -> &mut Operation {
        &mut self.slots[number as usize]
    }

    /// Its chain is in the ring now.
    #[inline]
    pub(super) fn runs(&mut self, number: u32, ticket: Ticket) {
        self.slots[number as usize].state = State::Running(ticket);
    }

    /// The result of an operation that is over, whose number is free from then on; and who waits for it.
    #[inline]
    pub(super) fn take_over(&mut self, number: u32) -> Option<(Ending, Wakee)> {
        let slot = &mut self.slots[number as usize];
        if !matches!(slot.state, State::Over(_)) {
            return None;
        }
        let State::Over(ending) = std::mem::replace(&mut slot.state, State::Free) else { return None };
        let wakee = std::mem::take(&mut slot.wakee);
        self.free.push(number);
        Some((ending, wakee))
    }

    /// Makes the number of an operation free again whose chain is over and whose future is gone.
    #[inline]
    pub(super) fn forget(&mut self, number: u32) {
        self.slots[number as usize].state = State::Free;
        self.free.push(number);
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

//! Metrics: what an executor has done so far.

use std::cell::Cell;

/// What an executor has done so far. Numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns of its loop that entered the ring.
    pub turns: u64,
    /// Times that a task was polled.
    pub polls: u64,
    /// Tasks that were spawned.
    pub spawned: u64,
    /// Chains that were handed to it.
    pub submitted: u64,
    /// Those of them that had to wait for room in the ring.
    pub backlogged: u64,
    /// Chains whose future was dropped while they were in the ring, and that were cancelled for that.
    pub cancelled: u64,
    /// Chains that were over after their future was dropped, cancelled or not.
    pub late: u64,
    /// Descriptors closed that such chains had left open.
    pub late_closed: u64,
    /// Bytes dropped that such chains had read or received.
    pub late_bytes: u64,
    /// Times that its bell was rung to wake it from another thread.
    pub rung: u64,
}

/// The same, to be counted.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) turns: Count,
    pub(super) polls: Count,
    pub(super) spawned: Count,
    pub(super) submitted: Count,
    pub(super) backlogged: Count,
    pub(super) cancelled: Count,
    pub(super) late: Count,
    pub(super) late_closed: Count,
    pub(super) late_bytes: Count,
}

#[derive(Default)]
pub(super) struct Count(Cell<u64>);

impl Count {
    pub(super) fn add(&self, amount: u64) {
        self.0.set(self.0.get().wrapping_add(amount));
    }
}

impl Meter {
    pub(super) fn read(&self, rung: u64) -> Metrics {
        Metrics {
            turns: self.turns.0.get(),
            polls: self.polls.0.get(),
            spawned: self.spawned.0.get(),
            submitted: self.submitted.0.get(),
            backlogged: self.backlogged.0.get(),
            cancelled: self.cancelled.0.get(),
            late: self.late.0.get(),
            late_closed: self.late_closed.0.get(),
            late_bytes: self.late_bytes.0.get(),
            rung,
        }
    }
}

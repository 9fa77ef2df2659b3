//! What the fault wrapper can be told: one fault, and how often a seed decides for which.

use ouzel_engine::{Operation, Step};
use ouzel_ring::Errno;

use super::Decide;
use crate::backend::random::{Random, mix};

/// What is done to one operation. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injection {
    /// READ, WRITE, SEND and RECV move at most this many bytes, at least 1. Not with WAIT_ALL. A datagram that is sent so is a shorter datagram.
    pub shorten: Option<u64>,
    /// The operation is not run and ends with this error. A CLOSE is run all the same, as it is on Linux.
    pub error: Option<Errno>,
    /// Its reports are held back for this many calls of `wait`.
    pub hold_waits: u32,
    /// Its reports are held back until this many others have passed; a call of `wait` in which none comes counts as one.
    pub hold_reports: u32,
    /// A cancel for it is held back for this many calls of `wait`.
    pub late_cancel: u32,
    /// Cancels for it are lost. Only for operations that end by themselves: others would never.
    pub lose_cancel: bool,
    /// It is refused once as though there were no room, if anything is under way.
    pub busy: bool,
}

impl Injection {
    /// An error instead of the operation.
    pub fn error(error: Errno) -> Injection {
        Injection { error: Some(error), ..Injection::default() }
    }

    /// A transfer of at most `bytes`.
    pub fn shorten(bytes: u64) -> Injection {
        Injection { shorten: Some(bytes), ..Injection::default() }
    }

    /// Reports held back for `waits` calls of `wait`.
    pub fn hold(waits: u32) -> Injection {
        Injection { hold_waits: waits, ..Injection::default() }
    }
}

/// How often a seed decides for which fault, in 1/1000. The default is none.
///
/// What happens to an operation depends on the seed, on how many were started before it, and on its verb; so over backends
/// that start the same operations in the same order it is the same, if there are no [runs](FaultOptions::runs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultOptions {
    /// Decides everything.
    pub seed: u64,
    /// Transfers that are shortened to 1 to 64 bytes.
    pub short_transfers: u32,
    /// Operations that end with an error instead of running. Never a CLOSE.
    pub errors: u32,
    /// The errors to choose from; EIO, EINTR, ENOMEM and ENOSPC if there are none.
    pub error_numbers: Vec<Errno>,
    /// Operations whose reports let up to four others pass.
    pub reorder: u32,
    /// Operations whose reports are held back for one to eight calls of `wait`.
    pub late: u32,
    /// Operations whose cancels are late by one to four calls of `wait`, so that they may lose.
    pub cancel_races: u32,
    /// Operations that are refused once as though there were no room.
    pub busy: u32,
    /// Whether runs are handed on. With them, faults depend on how the backend below takes runs.
    pub runs: bool,
}

impl FaultOptions {
    /// No faults, with this seed.
    pub fn new(seed: u64) -> FaultOptions {
        FaultOptions { seed, ..FaultOptions::default() }
    }

    /// The decisions these options stand for.
    pub fn into_decide(self) -> Decide {
        const ERRORS: [Errno; 4] = [Errno::EIO, Errno::EINTR, Errno::ENOMEM, Errno::ENOSPC];
        let mut count: u64 = 0;
        Box::new(move |step| {
            count += 1;
            let mut random = Random::new(mix(self.seed ^ mix(count)) ^ kind(step));
            let mut injection = Injection::default();
            // Every number is drawn whatever the others say, so that one probability changes one kind of fault.
            let mut draw = |per_mille: u32, low: u64, high: u64| {
                let hit = random.chance(per_mille);
                let size = random.between(low, high);
                hit.then_some(size)
            };
            injection.shorten = draw(self.short_transfers, 1, 64);
            let errors: &[Errno] = if self.error_numbers.is_empty() { &ERRORS } else { &self.error_numbers };
            let error = draw(self.errors, 0, errors.len() as u64 - 1);
            if !matches!(step.operation, Operation::Close { .. }) {
                injection.error = error.and_then(|at| errors.get(at as usize).copied());
            }
            injection.hold_reports = draw(self.reorder, 1, 4).unwrap_or(0) as u32;
            injection.hold_waits = draw(self.late, 1, 8).unwrap_or(0) as u32;
            injection.late_cancel = draw(self.cancel_races, 1, 4).unwrap_or(0) as u32;
            injection.busy = draw(self.busy, 0, 0).is_some();
            injection
        })
    }
}

/// A number for the kind of operation, the same everywhere.
fn kind(step: &Step) -> u64 {
    match step.operation {
        Operation::Read { .. } => 1,
        Operation::Write { .. } => 2,
        Operation::Send { .. } => 3,
        Operation::Recv { .. } => 4,
        Operation::Open { .. } => 5,
        Operation::Close { .. } => 6,
        Operation::Poll { .. } => 7,
        Operation::Accept { .. } => 8,
        Operation::Connect { .. } => 9,
        _ => 10,
    }
}

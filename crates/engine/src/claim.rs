//! The claim: one word that decides, once, who ends an operation.
//!
//! A backend with threads of its own puts one beside each job. The worker and the canceller each try to claim; the
//! first wins and ends the job, the other learns that it lost and touches nothing. Loom checks it
//! (`tests/loom_claim.rs`).

#[cfg(not(loom))]
use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};

/// Loads and wins pair with the winner's earlier writes: whoever sees a claim decided sees what its winner did
/// before claiming.
const DECIDE: Ordering = if cfg!(weaken = "claim_decide") { Ordering::Relaxed } else { Ordering::AcqRel };
const OBSERVE: Ordering = if cfg!(weaken = "claim_observe") { Ordering::Relaxed } else { Ordering::Acquire };

const OPEN: u32 = 0;

/// Who won a [`Claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Claimant {
    /// The side that does the work.
    Worker = 1,
    /// The side that gives it up: a cancel or a timeout.
    Canceller = 2,
}

/// A claim on one job, open until the first claimant wins it.
#[derive(Debug)]
pub struct Claim(AtomicU32);

impl Claim {
    /// An open claim.
    #[cfg(not(loom))]
    pub const fn new() -> Claim {
        Claim(AtomicU32::new(OPEN))
    }

    /// An open claim.
    #[cfg(loom)]
    pub fn new() -> Claim {
        Claim(AtomicU32::new(OPEN))
    }

    /// Claims the job. True for the first caller and for no other.
    #[inline]
    pub fn win(&self, claimant: Claimant) -> bool {
        self.0.compare_exchange(OPEN, claimant as u32, DECIDE, OBSERVE).is_ok()
    }

    /// Who won, if anybody has.
    #[inline]
    pub fn winner(&self) -> Option<Claimant> {
        match self.0.load(OBSERVE) {
            OPEN => None,
            1 => Some(Claimant::Worker),
            _ => Some(Claimant::Canceller),
        }
    }
}

impl Default for Claim {
    fn default() -> Claim {
        Claim::new()
    }
}

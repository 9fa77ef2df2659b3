//! Loom models of the claim that decides who ends an operation.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release --target-dir target/loom -p ouzel-engine --test loom_claim`;
//! without `--cfg loom` this file is empty. What a winner wrote before it claimed lies in loom cells, so a claim whose
//! order is too weak shows as two unordered accesses. Every model is explored whole.

#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use ouzel_engine::{Claim, Claimant};

/// A claim, and for each claimant a cell it writes before it claims.
struct Job {
    claim: Claim,
    worker: UnsafeCell<u32>,
    canceller: UnsafeCell<u32>,
    wins: AtomicU32,
}

// SAFETY: loom checks every access to the cells and fails the model when two are not ordered.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

impl Job {
    fn new() -> Arc<Job> {
        Arc::new(Job {
            claim: Claim::new(),
            worker: UnsafeCell::new(0),
            canceller: UnsafeCell::new(0),
            wins: AtomicU32::new(0),
        })
    }

    fn cell(&self, claimant: Claimant) -> &UnsafeCell<u32> {
        match claimant {
            Claimant::Worker => &self.worker,
            Claimant::Canceller => &self.canceller,
        }
    }

    /// Writes the claimant's cell, then claims. Returns whether it won.
    fn write_and_claim(&self, claimant: Claimant) -> bool {
        // SAFETY: loom fails the model if the access races.
        self.cell(claimant).with_mut(|cell| unsafe { *cell = claimant as u32 });
        let won = self.claim.win(claimant);
        if won {
            // Relaxed: only the count matters, and it is read after the threads were joined.
            self.wins.fetch_add(1, Ordering::Relaxed);
        }
        won
    }

    /// Reads what `winner` wrote before it claimed.
    fn assert_visible(&self, winner: Claimant) {
        // SAFETY: loom fails the model if the access races.
        let seen = self.cell(winner).with(|cell| unsafe { *cell });
        assert_eq!(seen, winner as u32);
    }
}

#[test]
fn one_of_two_claimants_wins_and_the_loser_sees_what_the_winner_wrote() {
    loom::model(|| {
        let job = Job::new();
        let worker = {
            let job = job.clone();
            thread::spawn(move || {
                if !job.write_and_claim(Claimant::Worker) {
                    job.assert_visible(Claimant::Canceller);
                }
            })
        };
        if !job.write_and_claim(Claimant::Canceller) {
            job.assert_visible(Claimant::Worker);
        }
        worker.join().unwrap();
        assert_eq!(job.wins.load(Ordering::Relaxed), 1);
        assert!(job.claim.winner().is_some());
    });
}

#[test]
fn an_observer_sees_what_the_winner_wrote() {
    loom::model(|| {
        let job = Job::new();
        let worker = {
            let job = job.clone();
            thread::spawn(move || assert!(job.write_and_claim(Claimant::Worker)))
        };
        // One look, not a loop: both answers are explored.
        if let Some(winner) = job.claim.winner() {
            assert_eq!(winner, Claimant::Worker);
            job.assert_visible(winner);
        }
        worker.join().unwrap();
    });
}

#[test]
fn three_claimants_and_an_observer_agree_on_one_winner() {
    loom::model(|| {
        let job = Job::new();
        let worker = {
            let job = job.clone();
            thread::spawn(move || job.write_and_claim(Claimant::Worker))
        };
        let canceller = {
            let job = job.clone();
            thread::spawn(move || job.write_and_claim(Claimant::Canceller))
        };
        // The third claimant, a deadline, looks first and then claims as well; it wrote nothing.
        let seen = job.claim.winner();
        if let Some(winner) = seen {
            job.assert_visible(winner);
        }
        let third = job.claim.win(Claimant::Canceller);
        assert!(seen.is_none() || !third, "a decided claim was won again");
        if !third && let Some(winner) = job.claim.winner() {
            job.assert_visible(winner);
            assert!(seen.is_none() || seen == Some(winner), "a decided claim changed hands");
        }
        let winners = [worker.join().unwrap(), canceller.join().unwrap(), third];
        assert_eq!(winners.iter().filter(|&&won| won).count(), 1);
    });
}

#[test]
fn nobody_wins_twice() {
    loom::model(|| {
        let job = Job::new();
        let again = {
            let job = job.clone();
            thread::spawn(move || {
                let first = job.write_and_claim(Claimant::Worker);
                (first, job.claim.win(Claimant::Worker))
            })
        };
        let other = job.claim.win(Claimant::Canceller);
        let (first, second) = again.join().unwrap();
        assert!(!second);
        assert!(first != other);
        let winner = if first { Claimant::Worker } else { Claimant::Canceller };
        assert_eq!(job.claim.winner(), Some(winner));
    });
}

//! The end of a ring.
//!
//! Cancels what runs and waits for it within a bound; never longer, and never by closing the descriptor, which waits
//! for nothing. Memory that entries name is their pushers' affair; the ring's own memory may be unmapped at any time,
//! because the kernel holds its pages.

use core::mem::ManuallyDrop;
use core::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::abi::SqeFlags;
use crate::enter::Timeout;
use crate::error::EnterError;
use crate::register::CancelKey;
use crate::ring::{Ring, RingFd};

/// What became of the entries that a ring was still working on when it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Completions that nobody had taken, those of cancelled entries included. They are gone.
    pub discarded: u32,
    /// Entries that the kernel had taken and not completed when the time was up, as far as can be told: memory that
    /// they name is not free yet. Entries that ask for no completion and those that post many make it a guess.
    pub unfinished: u32,
}

/// The present, from a fixed point on.
fn now() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

impl Ring {
    /// Cancels everything, waits for the completions of what was under way for at most `bound`, and closes the ring.
    ///
    /// The thread must be one that may submit: on another, a SINGLE_ISSUER ring cancels nothing and is closed as it
    /// is.
    pub fn close(mut self, bound: Duration) -> Closed {
        let closed = self.settle(bound);
        // Dropping would do the same again.
        self.close_bound = Duration::ZERO;
        closed
    }

    /// Lets go of the ring in a forked child: closes the child's descriptor and leaves everything else alone.
    ///
    /// The queues are not mapped there, so dropping the ring could unmap something else of the child's; and
    /// cancelling would hit the parent's entries.
    pub fn abandon(self) {
        let ring = ManuallyDrop::new(self);
        // SAFETY: `ring` is never dropped or used again, so the descriptor has one owner. An index is not the
        // child's, and dropping it does nothing.
        drop(unsafe { core::ptr::read(&ring.fd) });
    }

    /// Cancels and reaps until nothing is left or the time is up.
    fn settle(&mut self, bound: Duration) -> Closed {
        let mut closed = Closed { discarded: 0, unfinished: 0 };
        if self.submission.taken() == 0 {
            return closed;
        }
        let deadline = now().saturating_add(bound);
        // With a bound of nothing, still ask. Errors: an old kernel, or a thread that may not; then closing cancels.
        let cancelled = self.sync_cancel(CancelKey::Any, true, Some(bound));
        // Entries without completions make counting useless; what could be cancelled has been.
        let countable = self.pushed_flags & SqeFlags::CQE_SKIP_SUCCESS.bits() == 0;
        loop {
            let collected = self.collect();
            closed.discarded = closed.discarded.wrapping_add(self.cq_advance(u32::MAX));
            let outstanding = self.outstanding();
            let left = deadline.saturating_sub(now());
            closed.unfinished = if countable { outstanding } else { 0 };
            if cancelled.is_err() || collected.is_err() || closed.unfinished == 0 || left.is_zero() {
                return closed;
            }
            match self.submit_nothing_and_wait(left) {
                Ok(_) | Err(EnterError::TimedOut | EnterError::Interrupted) => {}
                Err(_) => return closed,
            }
        }
    }

    /// Entries taken for which no completion was posted, if each posts one.
    fn outstanding(&self) -> u32 {
        let outstanding = self.submission.taken().wrapping_sub(self.completion.posted());
        // More completions than entries: some entries posted several.
        if outstanding.cast_signed() < 0 { 0 } else { outstanding }
    }

    /// Waits for one completion without submitting what was pushed meanwhile.
    fn submit_nothing_and_wait(&mut self, left: Duration) -> Result<u32, EnterError> {
        self.enter_timed(0, 1, crate::abi::EnterFlags::GETEVENTS, Timeout::After(left))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.close_bound.is_zero() {
            let _ = self.settle(self.close_bound);
        }
        // A registered index would hold the ring open after the descriptor is closed.
        match (&self.fd, self.entered_through()) {
            (RingFd::Owned(_), Some(_)) => drop(self.unregister_ring_fd()),
            (RingFd::Registered(index), _) => RingFd::Registered(*index).give_back(),
            (RingFd::Owned(_), None) => {}
        }
    }
}

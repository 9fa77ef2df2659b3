//! How many hold a task's block: its executor's side, which counts as one, and each waker.
//!
//! Only wakers that are cloned, and those that are dropped again, change the count, on whatever thread they are. The
//! executor's side polls, wakes and ends tasks without. Whoever lets go last has the block to himself. Loom tries every order
//! of this (`models/tests/loom_wakers`), so nothing here knows of tasks.

use crate::sync::{AtomicUsize, Ordering};

/// A waker lets go: pairs with [`SEE`], so that whoever is last comes after all that was done with the block.
const LET_GO: Ordering = if cfg!(weaken = "count_let_go") { Ordering::Relaxed } else { Ordering::AcqRel };
/// The executor's side looks whether it is alone: pairs with [`LET_GO`].
const SEE: Ordering = if cfg!(weaken = "count_see") { Ordering::Relaxed } else { Ordering::Acquire };

/// Beyond this somebody forgets wakers in a loop, and the count would come round.
const MOST: usize = isize::MAX as usize;

/// How many hold something.
pub(super) struct Count(AtomicUsize);

impl Count {
    /// One does: the executor's side.
    pub(super) fn new() -> Count {
        Count(AtomicUsize::new(1))
    }

    /// One more does, as one that does says.
    pub(super) fn hold(&self) {
        // Nothing depends on when this is seen: who lets go last has seen every hold before that one's own.
        if self.0.fetch_add(1, Ordering::Relaxed) > MOST {
            std::process::abort();
        }
    }

    /// One lets go; true if it was the last, which comes after everything that the others have done.
    #[must_use]
    pub(super) fn let_go(&self) -> bool {
        self.0.fetch_sub(1, LET_GO) == 1
    }

    /// Whether the one who asks is the only one, and comes after everything that others have done.
    #[must_use]
    pub(super) fn is_only_one(&self) -> bool {
        self.0.load(SEE) == 1
    }
}

//! The pool's lock: one word, one atomic exchange to take it and one store to let it go.
//!
//! What it protects is held for some dozens of instructions (a few thousand where a list of free blocks is broken up
//! or joined), never over a system call outside debug mode. So it pays to keep the uncontended case cheap: the locks of the system
//! need an exchange to unlock as well, to learn whether somebody sleeps. Here nobody is woken: who waits
//! spins, then yields, then sleeps for 50 µs at a time. Fairness is not promised.

use std::ops::{Deref, DerefMut};

use crate::sync::{AtomicBool, Cell, Ordering, relax};

/// Taking sees what the last holder did. Pairs with `LET_GO`.
const TAKE: Ordering = if cfg!(weaken = "lock_take") { Ordering::Relaxed } else { Ordering::Acquire };
/// What this holder did is seen by the next. Pairs with `TAKE`.
const LET_GO: Ordering = if cfg!(weaken = "lock_let_go") { Ordering::Relaxed } else { Ordering::Release };

pub(crate) struct Lock<T> {
    taken: AtomicBool,
    value: Cell<T>,
}

// SAFETY: one thread at a time reaches the value, and the lock orders them.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: as for the value alone.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Lock<T> {
        Lock { taken: AtomicBool::new(false), value: Cell::new(value) }
    }

    /// Waits for the lock. Not to be called again by a thread that has it.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        if !self.try_take() {
            self.wait();
        }
        Locked { lock: self }
    }

    /// An exchange that fails writes nothing: who waits does not disturb the order of the others' stores.
    #[inline]
    fn try_take(&self) -> bool {
        self.taken.compare_exchange(false, true, TAKE, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        let mut tries = 0;
        loop {
            relax(tries);
            tries = tries.saturating_add(1);
            // Relaxed: only a hint, so that who waits does not take the line from who works; the exchange decides. A
            // model may show the old value for ever, so it goes without.
            let free = cfg!(loom) || !self.taken.load(Ordering::Relaxed);
            if free && self.try_take() {
                return;
            }
        }
    }
}

/// The value, for as long as the lock is held.
pub(crate) struct Locked<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else reaches the value, which lives as long as the lock.
        unsafe { &*self.lock.value.pointer() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and this is the only way to it.
        unsafe { &mut *self.lock.value.pointer() }
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // The lock may be freed by its next holder right after this store, so nothing may follow it.
        self.lock.taken.store(false, LET_GO);
    }
}

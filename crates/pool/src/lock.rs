//! The pool's lock: one word, one atomic exchange to take it and one store to let it go.
//!
//! What it protects is held for some dozens of instructions (a few thousand where a list of free blocks is broken up
//! or joined), never over a system call outside debug mode. So it pays to keep the uncontended case cheap: the locks of the system
//! need an exchange to unlock as well, to learn whether somebody sleeps. Here nobody is woken: who waits
//! spins, then yields, then sleeps for 50 µs at a time. Fairness is not promised.

use std::ops::{Deref, DerefMut};

use crate::sync::{AtomicBool, Cell, Ordering, relax};

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
        // Acquire: pairs with the release in `Locked::drop`; what the last holder did is seen.
        if self.taken.swap(true, Ordering::Acquire) {
            self.wait();
        }
        Locked { lock: self, value: self.value.pointer() }
    }

    #[cold]
    fn wait(&self) {
        let mut tries = 0;
        loop {
            // Relaxed: only a hint; the swap decides.
            if !self.taken.load(Ordering::Relaxed) && !self.taken.swap(true, Ordering::Acquire) {
                return;
            }
            relax(tries);
            tries = tries.saturating_add(1);
        }
    }
}

/// The value, for as long as the lock is held.
pub(crate) struct Locked<'a, T> {
    lock: &'a Lock<T>,
    value: *mut T,
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, so nobody else reaches the value, which lives as long as the lock.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; and this is the only way to it.
        unsafe { &mut *self.value }
    }
}

impl<T> Drop for Locked<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // Release: pairs with the swap in `lock`. The lock may be freed by its next holder right after this store, so
        // nothing may follow it.
        self.lock.taken.store(false, Ordering::Release);
    }
}

//! What the whole kernel shares.
//!
//! There is one processor, and it is in ring 0 with interrupts off, except in two places where nothing is borrowed: where it halts
//! for want of work, and where a long program lets others run. So a [`Global`] needs no lock; a borrow that is still held when
//! another is asked for is a mistake in the kernel, and panics.

use core::cell::{RefCell, RefMut};

/// A value that all of the kernel may borrow, one at a time.
pub struct Global<T>(RefCell<Option<T>>);

// SAFETY: see the module: one processor, no interrupts while anything is borrowed.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// Nothing, until [`set`](Global::set).
    pub const fn new() -> Global<T> {
        Global(RefCell::new(None))
    }

    /// Puts the value in, once, while the kernel starts.
    pub fn set(&self, value: T) {
        *self.0.borrow_mut() = Some(value);
    }

    /// Borrows it. No thread may be switched to while it is held.
    pub fn get(&self) -> RefMut<'_, T> {
        RefMut::map(self.0.borrow_mut(), |value| match value {
            Some(value) => value,
            None => panic!("a part of the kernel is used before it was started"),
        })
    }

    /// Whether there is something in it, and nobody has it.
    pub fn is_free(&self) -> bool {
        self.0.try_borrow().is_ok_and(|value| value.is_some())
    }
}

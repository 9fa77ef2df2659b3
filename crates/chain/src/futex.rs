//! Words that chains wait on and wake.

use core::ops::Deref;
use core::sync::atomic::AtomicU32;

/// A word that operations may wait on: see [`Chain::futex_wait`](crate::Chain::futex_wait).
///
/// It is kept in an `Arc`, of which an operation holds one until it is over, so that the word cannot go while somebody
/// waits on it. It dereferences to the atomic that it is.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct FutexWord(AtomicU32);

impl FutexWord {
    /// A word with this value.
    pub const fn new(value: u32) -> FutexWord {
        FutexWord(AtomicU32::new(value))
    }
}

impl Deref for FutexWord {
    type Target = AtomicU32;

    fn deref(&self) -> &AtomicU32 {
        &self.0
    }
}

//! Sleeping on a word of shared memory, and waking who sleeps on it.
//!
//! The word is one that only the engine's side writes; the submitter's mapping of it may be read-only. Nothing here can
//! wait for the other side: a wake never blocks, and a wait has a limit of time.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::futex;
use rustix::time::Timespec;

/// A word that lies in memory two processes share.
#[derive(Clone, Copy)]
pub(crate) struct Word(NonNull<u32>);

// SAFETY: an address of memory that belongs to the process; it is reached by atomic loads only.
unsafe impl Send for Word {}
// SAFETY: as above.
unsafe impl Sync for Word {}

impl Word {
    /// # Safety
    ///
    /// The word must stay mapped, readable and aligned as long as this or a copy of it is used.
    pub(crate) unsafe fn new(word: NonNull<u32>) -> Word {
        Word(word)
    }

    fn cell(&self) -> &AtomicU32 {
        // SAFETY: mapped and aligned by the contract of `new`. Only loaded from, so a read-only mapping does.
        unsafe { AtomicU32::from_ptr(self.0.as_ptr()) }
    }

    /// What it holds. Says nothing about the order of anything else.
    pub(crate) fn load(&self) -> u32 {
        self.cell().load(Ordering::Relaxed)
    }

    /// Sleeps while the word holds `expected`, no longer than `limit`. It may return for no reason.
    pub(crate) fn wait(&self, expected: u32, limit: Duration) {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
        // Another value, a signal and the end of time are all reasons to look again, which the caller does.
        let _ = futex::wait(self.cell(), futex::Flags::empty(), expected, Some(&limit));
    }

    /// Wakes whoever sleeps on it, in any process.
    pub(crate) fn wake(&self) {
        // It fails for addresses that are not mapped, and this one is.
        let _ = futex::wake(self.cell(), futex::Flags::empty(), i32::MAX as u32);
    }
}

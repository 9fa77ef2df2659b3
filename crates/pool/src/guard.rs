//! Guards: what keeps bytes of a pool from being handed out while someone may still write to them.

use std::fmt;
use std::ptr::NonNull;

use crate::pool::Reference;

/// Keeps the bytes of a slice as long as it lives, also after the slice was dropped.
///
/// Whoever starts an operation takes one and drops it when the operation has completed. One that is forgotten keeps the bytes
/// for ever: that leaks memory, and never hands out any that is in use. A guard gives no access to the bytes.
pub struct Guard {
    pool: Reference,
    start: NonNull<u8>,
    length: u32,
    index: u32,
}

// SAFETY: it only counts, and the pool may be used from any thread.
unsafe impl Send for Guard {}
// SAFETY: as above.
unsafe impl Sync for Guard {}

impl Guard {
    /// # Safety
    ///
    /// The pool counts a guard for this.
    pub(crate) unsafe fn new(pool: Reference, start: NonNull<u8>, length: u32, index: u32) -> Guard {
        Guard { pool, start, length, index }
    }

    /// Where the bytes begin. They stay mapped as long as the guard lives.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// How many bytes it is for.
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether it is for none: the empty part of a split slice.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl Clone for Guard {
    /// Another one for the same bytes.
    fn clone(&self) -> Guard {
        self.pool.lock().guard(self.index, self.start, self.length as usize);
        Guard { ..*self }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let reference = self.pool;
        let mut state = reference.lock();
        let after = state.end_guard(self.index);
        reference.finish(state, after);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Guard({} bytes)", self.length)
    }
}

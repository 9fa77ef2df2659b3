//! Slices: bytes of a pool with one owner.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::guard::Guard;
use crate::id::Id;
use crate::pool::Reference;
use crate::region::Location;
use crate::state::Got;

/// Bytes of a [`Pool`](crate::Pool), owned: they go back to it when this is dropped and no [`Guard`] is left.
///
/// All of them are initialised, always: with zeros by the system, or with what an earlier owner left.
pub struct Slice {
    pool: Reference,
    start: NonNull<u8>,
    length: u32,
    index: u32,
}

// SAFETY: it owns its bytes, as a `Box<[u8]>` does; the pool may be used from any thread.
unsafe impl Send for Slice {}
// SAFETY: as above; through a shared reference bytes are only read.
unsafe impl Sync for Slice {}

impl Slice {
    /// # Safety
    ///
    /// The bytes are the caller's alone, and the pool counts an owner for this.
    #[inline]
    pub(crate) unsafe fn new(pool: Reference, got: Got, length: u32) -> Slice {
        Slice { pool, start: got.start, length, index: got.index }
    }

    /// The name of the slice. Its parts have the same.
    pub fn id(&self) -> Id {
        self.pool.lock().id(self.index)
    }

    /// Keeps these bytes from being handed out again, whatever becomes of the slice, until the guard is dropped.
    pub fn guard(&self) -> Guard {
        self.pool.lock().guard(self.index, self.start, self.length as usize);
        // SAFETY: counted just now.
        unsafe { Guard::new(self.pool, self.start, self.length, self.index) }
    }

    /// Two slices: the bytes before `middle` and those from it on. They go back to the pool together, when both were
    /// dropped.
    ///
    /// # Errors
    ///
    /// The slice itself, if it has fewer than `middle` bytes.
    pub fn split_at(mut self, middle: usize) -> Result<(Slice, Slice), Slice> {
        if middle > self.length as usize {
            return Err(self);
        }
        let mut state = self.pool.lock();
        let record = state.blocks.record(self.index);
        // A part of no bytes is an owner too, and could be split again for ever.
        let Some(owners) = record.owners.checked_add(1) else {
            drop(state);
            return Err(self);
        };
        record.owners = owners;
        record.split = true;
        drop(state);
        // SAFETY: inside the slice, or its end.
        let start = unsafe { self.start.add(middle) };
        let rest = Slice { pool: self.pool, start, length: self.length - middle as u32, index: self.index };
        self.length = middle as u32;
        Ok((self, rest))
    }

    /// Keeps the first `length` bytes and forgets that there are more, if there are. It takes as much of the pool as before.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(u32::try_from(length).unwrap_or(u32::MAX));
    }

    /// Puts the slice into the pool's keeping: [`Pool::take`](crate::Pool::take) gives it out again, once. If no `Pool` is left, it is given
    /// back.
    ///
    /// # Errors
    ///
    /// The slice itself, if it is a part of one that was split.
    pub fn into_id(self) -> Result<Id, Slice> {
        let mut state = self.pool.lock();
        if !state.keep(self.index, self.length) {
            drop(state);
            return Err(self);
        }
        let id = state.id(self.index);
        if state.handles == 0 {
            // Nobody could take it.
            state.unkeep(self.index);
            drop(state);
            return Ok(id);
        }
        drop(state);
        std::mem::forget(self);
        Ok(id)
    }

    /// Where it lies: which region, and how far from its begin.
    pub fn location(&self) -> Location {
        let mut state = self.pool.lock();
        let slot = state.blocks.slot(self.index);
        let offset = self.start.addr().get() - slot.start.0.addr().get();
        Location { region: slot.serial, offset, length: self.length as usize }
    }

    /// Where its bytes begin, for those who hand addresses to the system. What is read or written there is under the rules of
    /// references to the slice; take a [`guard`](Slice::guard) before anybody else may do so.
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl Drop for Slice {
    #[inline]
    fn drop(&mut self) {
        let reference = self.pool;
        let mut state = reference.lock();
        let after = state.give_back(self.index);
        reference.finish(state, after);
    }
}

impl Deref for Slice {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: initialised bytes inside one mapping, which lives as long as this owner; nobody else has them in this
        // program: what the system is told to write goes through unsafe code, or through who owns the slice meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length as usize) }
    }
}

impl DerefMut for Slice {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; and this is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length as usize) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Slice {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Slice({} bytes)", self.length)
    }
}

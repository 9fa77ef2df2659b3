//! The memory of an in-process ring: one zeroed, cache-line-aligned allocation.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use ouzel_ring::{Geometry, GeometryError, Memory};

/// Owns the bytes that a ring's two ends share.
pub(crate) struct RingMemory {
    base: NonNull<u8>,
    layout: Layout,
    geometry: Geometry,
}

// SAFETY: it owns plain bytes that only the ends made from it access, with atomics.
unsafe impl Send for RingMemory {}

impl RingMemory {
    pub(crate) fn new(geometry: Geometry) -> Result<RingMemory, GeometryError> {
        let layout =
            Layout::from_size_align(geometry.contiguous_size(), 64).map_err(|_| GeometryError::TooLarge)?;
        // SAFETY: the layout is never empty: it holds the control block.
        let base = unsafe { alloc_zeroed(layout) };
        let Some(base) = NonNull::new(base) else { handle_alloc_error(layout) };
        Ok(RingMemory { base, layout, geometry })
    }

    /// A handle to the memory.
    ///
    /// # Safety
    ///
    /// It, and whatever is made from it, must be gone before `self` is.
    pub(crate) unsafe fn handle(&self) -> Result<Memory, GeometryError> {
        // SAFETY: zeroed, owned by `self`, shared with nobody else; the lifetime is the caller's promise.
        unsafe { Memory::contiguous(self.base, self.layout.size(), self.geometry) }
    }
}

impl Drop for RingMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and nothing refers to it any more.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

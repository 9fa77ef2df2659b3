//! Regions: the memory behind slices, described to those who must know it.

use std::fmt;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::NonNull;

use crate::blocks::Slot;
use crate::mapping::Pages;
use crate::pool::Reference;

/// One region of a pool, for those who register it with the kernel or map it elsewhere.
///
/// It stays where it is as long as there is a handle on it.
pub struct Region {
    pool: Reference,
    start: NonNull<u8>,
    index: u32,
    number: u64,
    pages: Pages,
    memfd: Option<RawFd>,
}

// SAFETY: it only describes and counts, and the pool may be used from any thread.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// # Safety
    ///
    /// The pool counts a hold on the region for this.
    pub(crate) unsafe fn new(pool: Reference, index: u32, slot: &Slot) -> Region {
        use std::os::fd::AsRawFd;
        let mapping = slot.mapping.as_ref();
        Region {
            pool,
            start: slot.start.0,
            index,
            number: slot.serial,
            pages: mapping.map_or(Pages::Ordinary, |mapping| mapping.pages()),
            memfd: mapping.and_then(|mapping| mapping.memfd()).map(|memfd| memfd.as_raw_fd()),
        }
    }

    /// Which region this is: the number in [`Location::region`]. No other of its pool has it or had it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Where it begins: a multiple of its length.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no region is empty")]
    pub fn len(&self) -> usize {
        self.pool.region_size()
    }

    /// What its pages are.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// The descriptor of its memory, if it is [`Memory::Shared`](crate::Memory::Shared).
    ///
    /// # Safety
    ///
    /// Slices are lent out as ordinary memory. Whoever maps the descriptor may write only to bytes of slices that nobody
    /// here has a reference into: those that are guarded for it, or in the keeping of an operation.
    pub unsafe fn memfd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the mapping owns it, and stays as long as this hold on it.
        self.memfd.map(|memfd| unsafe { BorrowedFd::borrow_raw(memfd) })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let reference = self.pool;
        let mut state = reference.lock();
        let after = state.not_busy(self.index);
        reference.finish(state, after);
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Region({}: {} bytes at {:p})", self.number, self.len(), self.start)
    }
}

/// Where a slice lies, in terms that mean the same to everyone who knows the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// [`Region::number`].
    pub region: u64,
    /// Bytes from the region's begin.
    pub offset: usize,
    /// Bytes of the slice.
    pub length: usize,
}

//! The memory a ring shares with the kernel.
//!
//! The only module that maps, advises and unmaps. A mapping hands out pointers to words after checking that
//! they lie inside and are aligned; it never reads or writes them.

use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;

use rustix::fd::BorrowedFd;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous, munmap};

use crate::error::SetupError;

/// A stretch of shared memory, unmapped when dropped unless it is the caller's.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    ours: bool,
}

impl Mapping {
    /// Maps `length` bytes of the ring `fd` from `offset` on.
    pub(crate) fn new(fd: BorrowedFd<'_>, offset: u64, length: usize) -> Result<Self, SetupError> {
        // SAFETY: the kernel chooses the place, so no memory in use is replaced.
        let start = unsafe {
            mmap(
                core::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
                fd,
                offset,
            )
        };
        Self::mapped(start, length)
    }

    /// Maps `length` bytes of zeroed memory for the kernel to share, whole pages.
    pub(crate) fn anonymous(length: usize) -> Result<Self, SetupError> {
        // SAFETY: the kernel chooses the place, so no memory in use is replaced.
        let start = unsafe {
            mmap_anonymous(
                core::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::POPULATE,
            )
        };
        Self::mapped(start, length)
    }

    /// The caller's memory; it stays mapped.
    ///
    /// # Safety
    ///
    /// It is valid for reads and writes as long as this lives.
    pub(crate) unsafe fn borrowed(start: NonNull<u8>, length: usize) -> Self {
        Self { start, length, ours: false }
    }

    /// Takes over what was mapped. A forked child does not inherit it: it would write to the parent's queues.
    fn mapped(start: rustix::io::Result<*mut c_void>, length: usize) -> Result<Self, SetupError> {
        let start = start.map_err(|error| SetupError::Map { errno: error.raw_os_error() })?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(SetupError::Inconsistent)?;
        let mapping = Self { start, length, ours: true };
        // SAFETY: exactly the memory just mapped; the advice changes nothing in this process.
        unsafe { madvise(mapping.start.as_ptr().cast::<c_void>(), length, Advice::LinuxDontFork) }
            .map_err(|error| SetupError::Map { errno: error.raw_os_error() })?;
        Ok(mapping)
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Its size in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// A pointer to `count` values of `T` at `offset`, if they lie inside and are aligned. It is valid as long
    /// as the mapping.
    pub(crate) fn array<T>(&self, offset: u32, count: u32) -> Result<NonNull<T>, SetupError> {
        let offset = offset as usize;
        let fits = size_of::<T>()
            .checked_mul(count as usize)
            .and_then(|size| size.checked_add(offset))
            .is_some_and(|end| end <= self.length);
        if !fits || !(self.start.addr().get() + offset).is_multiple_of(align_of::<T>()) {
            return Err(SetupError::Inconsistent);
        }
        // SAFETY: offset is at most the length of the mapping, which is one allocation.
        Ok(unsafe { self.start.add(offset) }.cast())
    }

    /// A pointer to the word at `offset`.
    pub(crate) fn word(&self, offset: u32) -> Result<NonNull<AtomicU32>, SetupError> {
        self.array(offset, 1)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.ours {
            // SAFETY: the memory was mapped by `new` or `anonymous` with this length, and the pointers handed out
            // end with the owner of this. The kernel keeps its own hold on the pages it may still write to. An
            // error would leave it mapped, which harms nobody.
            let _ = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.length) };
        }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: it only hands out pointers; what is done with them is their users' business.
unsafe impl Sync for Mapping {}

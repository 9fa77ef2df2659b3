//! The memory of one region: mapped here, aligned to its size, zeroed, unmapped when dropped.
//!
//! The only module that maps and protects. It hands out addresses and never reads or writes what is there.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap,
};

use crate::builder::Memory;
use crate::poison;

/// The size of the huge pages that are asked for.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// What the pages of a region are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pages {
    /// Ordinary pages.
    Ordinary,
    /// Ordinary pages that the kernel was asked to join to huge ones where it can.
    Advised,
    /// Huge pages out of the system's reserve.
    Huge,
}

pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    pages: Pages,
    memfd: Option<OwnedFd>,
}

impl Mapping {
    /// `length` zeroed bytes, a power of two and of whole pages, at a multiple of `length`.
    pub(crate) fn new(memory: Memory, length: usize) -> io::Result<Mapping> {
        match memory {
            Memory::Heap => Self::anonymous(length, MapFlags::empty(), Pages::Ordinary),
            Memory::HugePages => {
                if length >= HUGE_PAGE {
                    let flags = MapFlags::HUGETLB | MapFlags::HUGE_2MB;
                    if let Ok(mapping) = Self::anonymous(length, flags, Pages::Huge) {
                        return Ok(mapping);
                    }
                }
                let mut mapping = Self::anonymous(length, MapFlags::empty(), Pages::Ordinary)?;
                // SAFETY: exactly the memory just mapped; the advice changes no contents.
                if unsafe { madvise(mapping.start.as_ptr().cast(), length, Advice::LinuxHugepage) }.is_ok() {
                    mapping.pages = Pages::Advised;
                }
                Ok(mapping)
            }
            Memory::Shared => {
                let memfd = memfd_create(c"ouzel-pool", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
                ftruncate(&memfd, length as u64)?;
                // Nobody who is given the descriptor can take the memory away under those who use it.
                fcntl_add_seals(&memfd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
                let start = place(length, |wanted| {
                    // SAFETY: what is replaced is a reservation that `place` made for this.
                    unsafe {
                        mmap(
                            wanted,
                            length,
                            ProtFlags::READ | ProtFlags::WRITE,
                            MapFlags::SHARED | MapFlags::FIXED,
                            &memfd,
                            0,
                        )
                    }
                })?;
                Ok(Mapping { start, length, pages: Pages::Ordinary, memfd: Some(memfd) })
            }
        }
    }

    fn anonymous(length: usize, more: MapFlags, pages: Pages) -> io::Result<Mapping> {
        let start = place(length, |wanted| {
            // SAFETY: what is replaced is a reservation that `place` made for this.
            unsafe {
                mmap_anonymous(
                    wanted,
                    length,
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::FIXED | more,
                )
            }
        })?;
        Ok(Mapping { start, length, pages, memfd: None })
    }

    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn pages(&self) -> Pages {
        self.pages
    }

    pub(crate) fn memfd(&self) -> Option<BorrowedFd<'_>> {
        self.memfd.as_ref().map(AsFd::as_fd)
    }

    /// Forbids or allows every access to `length` bytes from `offset` on, the kernel's included. Whole pages inside the
    /// mapping, which no reference points into.
    pub(crate) fn protect(&self, offset: usize, length: usize, allowed: bool) -> io::Result<()> {
        debug_assert!(offset + length <= self.length);
        let flags = if allowed { MprotectFlags::READ | MprotectFlags::WRITE } else { MprotectFlags::empty() };
        // SAFETY: inside the mapping by the contract; whoever has no reference into it sees no difference.
        unsafe { mprotect(self.start.as_ptr().add(offset).cast(), length, flags) }?;
        Ok(())
    }
}

/// Finds a place at a multiple of `length`, and has `map` replace what is there, which is nobody else's.
fn place(
    length: usize,
    map: impl FnOnce(*mut c_void) -> rustix::io::Result<*mut c_void>,
) -> io::Result<NonNull<u8>> {
    // As much again is reserved, so that a multiple lies inside. It stays reserved until the multiple is mapped, so that no
    // other thread can come in between.
    // SAFETY: the kernel chooses the place, so no memory in use is replaced.
    let reserved = unsafe {
        mmap_anonymous(null_mut(), 2 * length, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
    }?;
    let before = reserved.addr().next_multiple_of(length) - reserved.addr();
    let wanted = reserved.wrapping_byte_add(before);
    let mapped = map(wanted);
    let give_back = |start: *mut c_void, length: usize| {
        // SAFETY: a part of the reservation that nobody has been told of. An error would leave it reserved, which harms
        // nobody.
        let _ = (length > 0).then(|| unsafe { munmap(start, length) });
    };
    match mapped {
        Ok(start) => {
            give_back(reserved, before);
            give_back(wanted.wrapping_byte_add(length), length - before);
            NonNull::new(start.cast()).ok_or_else(|| Errno::NOMEM.into())
        }
        Err(error) => {
            give_back(reserved, 2 * length);
            Err(error.into())
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        poison::allow(self.start, self.length);
        // SAFETY: mapped by `new` with this length; nobody has a slice of it any more. An error would leave it mapped,
        // which harms nobody.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}

// SAFETY: the mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: it only hands out addresses; what is done with them is their users' business.
unsafe impl Sync for Mapping {}

/// Tells a forked child from the process that made this: the kernel wipes the page in a child.
pub(crate) struct ForkMark(NonNull<AtomicU8>, usize);

impl ForkMark {
    /// `None` where the kernel cannot wipe (before 4.14).
    pub(crate) fn new() -> Option<ForkMark> {
        let size = rustix::param::page_size();
        // SAFETY: the kernel chooses the place, so no memory in use is replaced.
        let mapped = unsafe {
            mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }
        .ok()?;
        let mark = ForkMark(NonNull::new(mapped.cast())?, size);
        // SAFETY: exactly the page just mapped.
        unsafe { madvise(mapped, size, Advice::LinuxWipeOnFork) }.ok()?;
        mark.word().store(1, Ordering::Relaxed);
        Some(mark)
    }

    fn word(&self) -> &AtomicU8 {
        // SAFETY: the page is mapped, readable and writable, as long as this lives.
        unsafe { self.0.as_ref() }
    }

    /// Whether this is a child of the process that made it.
    pub(crate) fn in_child(&self) -> bool {
        self.word().load(Ordering::Relaxed) == 0
    }
}

impl Drop for ForkMark {
    fn drop(&mut self) {
        // SAFETY: mapped in `new`; `self` is the only way to it.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), self.1) };
    }
}

// SAFETY: one atomic, in memory of the process.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

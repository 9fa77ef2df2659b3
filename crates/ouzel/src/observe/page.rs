//! The page: fixed memory with all the numbers of a ring, or of a service, written by that and read by anybody.
//!
//! It is an array of 64-bit words, each an atomic: one thread writes, and whoever reads meanwhile sees each word whole and
//! the page as a whole nearly consistent. It lies in anonymous memory, or in a file that other processes read
//! (`directory`). Nothing here blocks, and after the page was made nothing allocates.

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::histogram::bucket_of;
use super::layout::{
    FIRST_BUCKET, HISTOGRAMS, LENGTH, MAGIC, VERSION, assignment_of, counter_of, histogram_at, word,
};

/// Memory of so many words: those of a ring, or of a service.
pub(super) struct Page<const WORDS: usize = LENGTH> {
    words: NonNull<AtomicU64>,
}

// SAFETY: the memory is mapped until it is dropped, and only accessed as atomics.
unsafe impl<const WORDS: usize> Send for Page<WORDS> {}
// SAFETY: as above.
unsafe impl<const WORDS: usize> Sync for Page<WORDS> {}

impl<const WORDS: usize> Page<WORDS> {
    /// Bytes of it.
    pub(super) const BYTES: usize = WORDS * size_of::<u64>();

    /// Memory of this process alone, zeroed; what is never touched takes none.
    pub(super) fn anonymous() -> rustix::io::Result<Page<WORDS>> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping; nothing else is touched.
        let mapped = unsafe { mmap_anonymous(null_mut(), Self::BYTES, access, MapFlags::PRIVATE) }?;
        Page::over(mapped)
    }

    /// The memory of a file that has as many bytes, all of them allocated.
    pub(super) fn of_file(file: BorrowedFd<'_>) -> rustix::io::Result<Page<WORDS>> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping; nothing else is touched.
        let mapped = unsafe { mmap(null_mut(), Self::BYTES, access, MapFlags::SHARED, file, 0) }?;
        Page::over(mapped)
    }

    fn over(mapped: *mut core::ffi::c_void) -> rustix::io::Result<Page<WORDS>> {
        NonNull::new(mapped.cast()).map(|words| Page { words }).ok_or(rustix::io::Errno::NOMEM)
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, aligned to a page, zeroed by the kernel, and of this length; only accessed as atomics.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), WORDS) }
    }

    /// Sets a word.
    #[inline]
    pub(super) fn set(&self, word: usize, value: u64) {
        // Words guard nothing, neither memory nor each other.
        self.words()[word].store(value, Ordering::Relaxed);
    }

    /// A word.
    #[inline]
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words()[word].load(Ordering::Relaxed)
    }

    /// Adds to a word. There is one writer, so a load and a store do.
    #[inline]
    pub(super) fn add(&self, word: usize, amount: u64) {
        let cell = &self.words()[word];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// All words, as they are now.
    pub(super) fn copy(&self) -> Vec<u64> {
        self.words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    /// Raises a word to `value`.
    #[inline]
    pub(super) fn raise(&self, word: usize, value: u64) {
        if self.word(word) < value {
            self.set(word, value);
        }
    }
}

impl Page {
    /// Adds to a verb's counter.
    #[inline]
    pub(super) fn count(&self, verb: usize, counter: usize, amount: u64) {
        self.add(counter_of(verb, counter), amount);
    }

    /// Adds a duration to the histogram of this verb and stage.
    #[inline]
    pub(super) fn time(&self, verb: usize, stage: usize, nanoseconds: u64) {
        let assigned = match self.word(assignment_of(verb, stage)) {
            0 => self.assign(verb, stage),
            assigned => assigned,
        };
        let number = (assigned as usize).wrapping_sub(1);
        if number >= HISTOGRAMS {
            return self.add(word::UNTIMED, 1);
        }
        let first = histogram_at(number);
        self.add(first, 1);
        self.add(first + 1, nanoseconds);
        self.raise(first + 2, nanoseconds);
        self.add(first + FIRST_BUCKET + bucket_of(nanoseconds), 1);
    }

    /// Gives this verb and stage a histogram, if there is one left; otherwise 0.
    #[cold]
    fn assign(&self, verb: usize, stage: usize) -> u64 {
        let used = self.word(word::HISTOGRAMS);
        if used >= HISTOGRAMS as u64 {
            return 0;
        }
        self.set(word::HISTOGRAMS, used + 1);
        self.set(assignment_of(verb, stage), used + 1);
        used + 1
    }

    /// Says that it can be read.
    pub(super) fn open(&self) {
        self.set(word::LENGTH, LENGTH as u64);
        self.set(word::VERSION, VERSION);
        self.set(word::MAGIC, MAGIC);
    }
}

impl<const WORDS: usize> Drop for Page<WORDS> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and nothing refers to it any more.
        // Nothing can be done about a failure; what stays mapped is a leak.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), Self::BYTES) };
    }
}

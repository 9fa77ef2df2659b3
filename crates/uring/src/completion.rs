//! Our end of the completion queue.
//!
//! Sizes and our own head are private copies: a word in shared memory is read only where the kernel may have
//! changed it. It copies completions out and publishes the head; it never enters the kernel.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::{Cqe, Params};
use crate::error::SetupError;
use crate::mapping::Mapping;

/// Our end of the completion queue. Its pointers are valid as long as the mapping it was made from.
#[derive(Debug)]
pub(crate) struct CompletionQueue {
    completions: NonNull<Cqe>,
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    overflow: NonNull<AtomicU32>,
    mask: u32,
    capacity: u32,
    /// How far we have read; the shared head follows.
    local_head: u32,
    /// How far the kernel was when we last looked.
    known_tail: u32,
}

impl CompletionQueue {
    /// The end of a queue that nobody has used yet.
    pub(crate) fn new(ring: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.cq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.cq_off;
        Ok(Self {
            completions: ring.array(offsets.cqes, capacity)?,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            overflow: ring.word(offsets.overflow)?,
            mask: capacity - 1,
            capacity,
            local_head: 0,
            known_tail: 0,
        })
    }

    /// The word at `pointer`.
    #[inline(always)]
    fn word(&self, pointer: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the pointer was checked when it was made, and the ring that owns `self` keeps the mapping.
        unsafe { pointer.as_ref() }
    }

    /// Copies the next completion out without telling the kernel, so that its place stays taken.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Cqe> {
        if self.local_head == self.known_tail {
            // Acquire pairs with the kernel's release of the tail: the completions before it are written.
            self.known_tail = self.word(self.tail).load(Ordering::Acquire);
            if self.local_head == self.known_tail {
                return None;
            }
        }
        let index = (self.local_head & self.mask) as usize;
        // SAFETY: the mask keeps the index inside the array, and the kernel wrote this completion before it moved
        // the tail past it and leaves it alone until we move the head.
        let completion = unsafe { self.completions.add(index).read() };
        self.local_head = self.local_head.wrapping_add(1);
        Some(completion)
    }

    /// Tells the kernel what was taken. Release pairs with the kernel's acquire of the head: our reads are done
    /// before it writes there again.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.word(self.head).store(self.local_head, Ordering::Release);
    }

    /// How many completions can be taken now.
    #[inline(always)]
    pub(crate) fn ready(&self) -> u32 {
        self.word(self.tail).load(Ordering::Acquire).wrapping_sub(self.local_head)
    }

    /// The number of completions the queue holds.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Completions that were lost.
    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.word(self.overflow).load(Ordering::Relaxed)
    }
}

/// The completions that are there, taken one by one; see [`Ring::completions`](crate::Ring::completions).
///
/// The kernel learns when this is dropped that their places are free. Forgetting it loses nothing: the next call
/// that takes a completion tells.
#[derive(Debug)]
pub struct Completions<'ring> {
    pub(crate) queue: &'ring mut CompletionQueue,
}

impl Iterator for Completions<'_> {
    type Item = Cqe;

    #[inline(always)]
    fn next(&mut self) -> Option<Cqe> {
        self.queue.take()
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        // The kernel may post more while we read.
        (self.queue.ready() as usize, None)
    }
}

impl Drop for Completions<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.queue.publish();
    }
}

//! Our end of the submission queue.
//!
//! Sizes and our own tail are private copies: a word in shared memory is read only where the kernel may have
//! changed it. It may write entries, publish the tail and read the kernel's words; it never enters the kernel.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::abi::{Params, SetupFlags, SqRingFlags};
use crate::error::{Full, SetupError};
use crate::mapping::Mapping;
use crate::sqe::Sqe;

/// Our end of the submission queue. Its pointers are valid as long as the mappings it was made from.
#[derive(Debug)]
pub(crate) struct SubmissionQueue {
    entries: NonNull<Sqe>,
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    dropped: NonNull<AtomicU32>,
    mask: u32,
    capacity: u32,
    /// How far we have written; the shared tail follows at `publish`.
    local_tail: u32,
    /// How far the kernel was when we last looked.
    known_head: u32,
}

impl SubmissionQueue {
    /// The end of a queue that nobody has used yet.
    pub(crate) fn new(ring: &Mapping, entries: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.sq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.sq_off;
        let queue = Self {
            entries: entries.array(0, capacity)?,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            flags: ring.word(offsets.flags)?,
            dropped: ring.word(offsets.dropped)?,
            mask: capacity - 1,
            capacity,
            local_tail: 0,
            known_head: 0,
        };
        if !SetupFlags::from_bits_retain(params.flags).contains(SetupFlags::NO_SQARRAY) {
            // Entry i is always named by element i, so the array is written once and never again.
            let array = ring.array::<u32>(offsets.array, capacity)?;
            for index in 0..capacity {
                // SAFETY: `array` has `capacity` elements, and the kernel reads none before the tail moves.
                unsafe { array.add(index as usize).write(index) };
            }
        }
        Ok(queue)
    }

    /// The word at `pointer`.
    #[inline(always)]
    fn word(&self, pointer: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the pointer was checked when it was made, and the ring that owns `self` keeps the mapping.
        unsafe { pointer.as_ref() }
    }

    /// Looks how far the kernel is. Acquire pairs with the kernel's release of the head: the entries before it
    /// have been read and may be overwritten.
    #[inline(always)]
    fn head(&self) -> u32 {
        self.word(self.head).load(Ordering::Acquire)
    }

    /// Copies an entry in, unseen by the kernel until `publish`.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: &Sqe) -> Result<(), Full> {
        *self.next_place().ok_or(Full)? = *entry;
        self.push_placed();
        Ok(())
    }

    /// The place of the next entry, if there is room. It holds what an earlier entry left.
    #[inline(always)]
    pub(crate) fn next_place(&mut self) -> Option<&mut Sqe> {
        if self.local_tail.wrapping_sub(self.known_head) >= self.capacity {
            self.known_head = self.head();
            if self.local_tail.wrapping_sub(self.known_head) >= self.capacity {
                return None;
            }
        }
        let index = (self.local_tail & self.mask) as usize;
        // SAFETY: the mask keeps the index inside the array; the kernel has finished with that entry, and does not look
        // at it again before the tail has moved past it, for which `self` must be borrowed anew.
        Some(unsafe { self.entries.add(index).as_mut() })
    }

    /// Takes what is at the next place, which `next_place` must have returned, for pushed.
    #[inline(always)]
    pub(crate) fn push_placed(&mut self) {
        self.local_tail = self.local_tail.wrapping_add(1);
    }

    /// Makes what was pushed visible to the kernel. Release pairs with the kernel's acquire of the tail.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.word(self.tail).store(self.local_tail, Ordering::Release);
    }

    /// Entries pushed that the kernel has not taken.
    #[inline(always)]
    pub(crate) fn pending(&self) -> u32 {
        self.local_tail.wrapping_sub(self.head())
    }

    /// How many entries there is room for.
    #[inline(always)]
    pub(crate) fn room(&self) -> u32 {
        self.capacity.saturating_sub(self.pending())
    }

    /// The number of entries the queue has.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// What the kernel says.
    #[inline(always)]
    pub(crate) fn flags(&self) -> SqRingFlags {
        SqRingFlags::from_bits_retain(self.word(self.flags).load(Ordering::Relaxed))
    }

    /// Whether the kernel's thread sleeps, after `publish`.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        // The thread sets the flag, then looks at the tail; we set the tail, then look at the flag. Without a
        // full fence on both sides each could miss the other.
        fence(Ordering::SeqCst);
        self.flags().contains(SqRingFlags::NEED_WAKEUP)
    }

    /// Entries the kernel dropped.
    #[inline]
    pub(crate) fn dropped(&self) -> u32 {
        self.word(self.dropped).load(Ordering::Relaxed)
    }
}

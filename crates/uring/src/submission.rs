//! Our end of the submission queue.
//!
//! Sizes and our own tail are private copies: a word in shared memory is read only where the kernel may have
//! changed it. It may write entries, publish the tail and read the kernel's words; it never enters the kernel.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, fence};

use crate::abi::{Opcode, Params, SetupFlags, SqRingFlags};
use crate::error::{Full, SetupError, WideError};
use crate::mapping::Mapping;
use crate::sqe::{Sqe, Sqe128};

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
    /// 1 where every entry takes two places of 64 bytes, else 0.
    shift: u32,
    /// Whether an entry may take two places beside others that take one.
    mixed: bool,
    /// How far we have written; the shared tail follows at `publish`.
    local_tail: u32,
    /// How far the kernel was when we last looked.
    known_head: u32,
}

impl SubmissionQueue {
    /// The end of a queue at the point where its words say it is.
    pub(crate) fn new(ring: &Mapping, entries: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.sq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.sq_off;
        let flags = SetupFlags::from_bits_retain(params.flags);
        let shift = u32::from(flags.contains(SetupFlags::SQE128));
        let mut queue = Self {
            entries: entries.array(0, capacity << shift)?,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            flags: ring.word(offsets.flags)?,
            dropped: ring.word(offsets.dropped)?,
            mask: capacity - 1,
            capacity,
            shift,
            mixed: flags.contains(SetupFlags::SQE_MIXED),
            local_tail: 0,
            known_head: 0,
        };
        queue.known_head = queue.head();
        queue.local_tail = queue.word(queue.tail).load(Ordering::Relaxed);
        if !flags.contains(SetupFlags::NO_SQARRAY) {
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

    /// Whether `count` places are free.
    #[inline(always)]
    fn has_room(&mut self, count: u32) -> bool {
        let last = self.capacity.wrapping_sub(count);
        if self.local_tail.wrapping_sub(self.known_head) > last {
            self.known_head = self.head();
            if self.local_tail.wrapping_sub(self.known_head) > last {
                return false;
            }
        }
        true
    }

    /// The next place, which stays the caller's until `publish`.
    #[inline(always)]
    fn place(&mut self) -> NonNull<Sqe> {
        let index = ((self.local_tail & self.mask) << self.shift) as usize;
        self.local_tail = self.local_tail.wrapping_add(1);
        // SAFETY: the mask keeps the index inside the array.
        unsafe { self.entries.add(index) }
    }

    /// Copies an entry in, unseen by the kernel until `publish`.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: &Sqe) -> Result<(), Full> {
        if !self.has_room(1) {
            return Err(Full);
        }
        let place = self.place();
        // SAFETY: the place lies inside the array, and the kernel has finished with it.
        unsafe { place.write(*entry) };
        if self.shift != 0 {
            // SAFETY: with a shift every entry has two places.
            unsafe { place.add(1).write(Sqe::default()) };
        }
        Ok(())
    }

    /// Copies an entry of 128 bytes in, unseen by the kernel until `publish`.
    pub(crate) fn push_wide(&mut self, entry: &Sqe128) -> Result<(), WideError> {
        if self.shift == 0 && !self.mixed {
            return Err(WideError::NarrowRing);
        }
        if self.shift != 0 {
            if !self.has_room(1) {
                return Err(WideError::Full);
            }
            let place = self.place();
            // SAFETY: with a shift every entry has two places, and the kernel has finished with them.
            unsafe { place.cast::<Sqe128>().write(*entry) };
            return Ok(());
        }
        // Both halves must lie side by side: at the end of the array, a no-op fills the last place.
        let at_the_end = self.local_tail & self.mask == self.mask;
        if self.capacity < 2 || !self.has_room(if at_the_end { 3 } else { 2 }) {
            return Err(WideError::Full);
        }
        if at_the_end {
            let mut filler = Sqe::new(Opcode::Nop).skip_success();
            filler.fd = -1;
            self.push(&filler).map_err(|Full| WideError::Full)?;
        }
        let place = self.place();
        self.local_tail = self.local_tail.wrapping_add(1);
        // SAFETY: the place is not the array's last, and the kernel has finished with both.
        unsafe { place.cast::<Sqe128>().write(*entry) };
        Ok(())
    }

    /// The next place, zeroed, unseen by the kernel until `publish`.
    pub(crate) fn zeroed_place(&mut self) -> Result<&mut Sqe, Full> {
        self.push(&Sqe::default())?;
        let index = ((self.local_tail.wrapping_sub(1) & self.mask) << self.shift) as usize;
        // SAFETY: `push` has just written there, and neither the kernel nor anyone else looks before `publish`,
        // which needs `self`.
        Ok(unsafe { self.entries.add(index).as_mut() })
    }

    /// Makes what was pushed visible to the kernel. Release pairs with the kernel's acquire of the tail.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.word(self.tail).store(self.local_tail, Ordering::Release);
    }

    /// Entries the kernel has ever taken, a count that wraps around.
    #[inline]
    pub(crate) fn taken(&self) -> u32 {
        self.head()
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

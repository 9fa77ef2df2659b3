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
    /// Where our tail must look how far the kernel is: the places before it are known to be free, and to be taken as
    /// they are. Where entries take two places that is nowhere, so that the short way needs to know nothing of them.
    limit: u32,
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
            limit: 0,
        };
        queue.local_tail = queue.word(queue.tail).load(Ordering::Relaxed);
        queue.limit = queue.local_tail;
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

    /// Looks how far the kernel is and returns the number of free entries.
    fn look(&mut self) -> u32 {
        let free = self.room();
        // With a shift the limit follows the tail.
        if self.shift == 0 {
            self.limit = self.local_tail.wrapping_add(free);
        }
        free
    }

    /// As `next_place`, after a look at how far the kernel is.
    #[cold]
    fn next_place_after_look(&mut self) -> Option<NonNull<Sqe>> {
        if self.look() == 0 {
            return None;
        }
        let place = self.place();
        self.local_tail = self.local_tail.wrapping_add(1);
        if self.shift != 0 {
            self.limit = self.local_tail;
            // SAFETY: with a shift every entry has two places, and the kernel has finished with them.
            unsafe { place.add(1).write(Sqe::default()) };
        }
        Some(place)
    }

    /// The place at our tail, which must be free.
    #[inline(always)]
    fn place(&self) -> NonNull<Sqe> {
        let index = ((self.local_tail & self.mask) << self.shift) as usize;
        // SAFETY: the mask keeps the index inside the array.
        unsafe { self.entries.add(index) }
    }

    /// Takes the next place, if there is room. It stays the caller's until `publish`.
    #[inline(always)]
    fn next_place(&mut self) -> Option<NonNull<Sqe>> {
        let tail = self.local_tail;
        if tail == self.limit {
            return self.next_place_after_look();
        }
        self.local_tail = tail.wrapping_add(1);
        // SAFETY: the mask keeps the index inside the array. Before the limit there is no shift.
        Some(unsafe { self.entries.add((tail & self.mask) as usize) })
    }

    /// Copies an entry in, unseen by the kernel until `publish`.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: &Sqe) -> Result<(), Full> {
        let place = self.next_place().ok_or(Full)?;
        // SAFETY: the place lies inside the array, and the kernel has finished with it.
        unsafe { place.write(*entry) };
        Ok(())
    }

    /// The place of the next entry, if there is room. It is not taken yet, and holds what an earlier entry left.
    #[inline(always)]
    pub(crate) fn place_ahead(&mut self) -> Option<&mut Sqe> {
        if self.local_tail == self.limit && self.look() == 0 {
            return None;
        }
        // SAFETY: the place lies inside the array; the kernel has finished with that entry, and does not look at it
        // again before the tail has moved past it, for which `self` must be borrowed anew.
        Some(unsafe { self.place().as_mut() })
    }

    /// Takes that place, as it is. Returns the flags of the entry in it.
    #[inline(always)]
    pub(crate) fn take_place(&mut self) -> u8 {
        // SAFETY: as above; whoever was given the place has filled it.
        self.next_place().map_or(0, |place| unsafe { place.as_ref() }.flags)
    }

    /// Copies an entry of 128 bytes in, unseen by the kernel until `publish`.
    pub(crate) fn push_wide(&mut self, entry: &Sqe128) -> Result<(), WideError> {
        if self.shift == 0 && !self.mixed {
            return Err(WideError::NarrowRing);
        }
        if self.shift != 0 {
            let place = self.next_place().ok_or(WideError::Full)?;
            // SAFETY: with a shift every entry has two places, and the kernel has finished with them.
            unsafe { place.cast::<Sqe128>().write(*entry) };
            return Ok(());
        }
        // Both halves must lie side by side: at the end of the array, a no-op fills the last place.
        let at_the_end = self.local_tail & self.mask == self.mask;
        if self.capacity < 2 || self.look() < if at_the_end { 3 } else { 2 } {
            return Err(WideError::Full);
        }
        if at_the_end {
            let mut filler = Sqe::new(Opcode::Nop).skip_success();
            filler.fd = -1;
            self.push(&filler).map_err(|Full| WideError::Full)?;
        }
        // SAFETY: the place is not the array's last, and the kernel has finished with both.
        unsafe { self.place().cast::<Sqe128>().write(*entry) };
        self.local_tail = self.local_tail.wrapping_add(2);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::SqOffsets;

    /// A queue of `entries` in memory of the test's, as a kernel with entries of mixed sizes would describe it.
    fn mixed(entries: u32) -> (SubmissionQueue, [Mapping; 2]) {
        let ring = Mapping::anonymous(4096).expect("memory");
        let array = Mapping::anonymous(4096).expect("memory");
        let sq_off = SqOffsets { head: 0, tail: 4, flags: 8, dropped: 12, ..SqOffsets::default() };
        let flags = (SetupFlags::SQE_MIXED | SetupFlags::NO_SQARRAY).bits();
        let params = Params { sq_entries: entries, flags, sq_off, ..Params::default() };
        let queue = SubmissionQueue::new(&ring, &array, &params).expect("a queue");
        (queue, [ring, array])
    }

    fn wide(user_data: u64) -> Sqe128 {
        let mut entry = Sqe128::nop128();
        entry.sqe.user_data = user_data;
        entry.extra = [user_data as u8; 64];
        entry
    }

    /// Lets a kernel that is quick take everything; what it finds, by place.
    fn take(queue: &mut SubmissionQueue) -> std::vec::Vec<(u8, u64)> {
        queue.publish();
        let mut found = std::vec::Vec::new();
        let mut head = queue.head();
        while head != queue.local_tail {
            let index = head & queue.mask;
            // SAFETY: the index is inside the array, and the place was written before the tail moved past it.
            let entry = unsafe { queue.entries.add(index as usize).read() };
            found.push((entry.opcode, entry.user_data));
            let places = if entry.opcode == Opcode::Nop128 as u8 { 2 } else { 1 };
            assert!(index + places <= queue.capacity, "a long entry wraps around");
            if places == 2 {
                // SAFETY: as above, for its second half.
                let second = unsafe { queue.entries.add(index as usize + 1).cast::<[u8; 64]>().read() };
                assert_eq!(second, [entry.user_data as u8; 64]);
            }
            head = head.wrapping_add(places);
        }
        queue.word(queue.head).store(head, Ordering::Release);
        found
    }

    #[test]
    fn long_entries_do_not_wrap_around() {
        let (mut queue, _memory) = mixed(8);
        for round in 0..100_u64 {
            let mut expected = std::vec::Vec::new();
            for number in 0..round % 3 {
                assert_eq!(queue.push(&Sqe::nop().user_data(number)), Ok(()));
                expected.push((0, number));
            }
            assert_eq!(queue.push_wide(&wide(round)), Ok(()));
            expected.push((Opcode::Nop128 as u8, round));
            let mut found = take(&mut queue);
            // The filler has no user data and no completion.
            if found.len() > expected.len() {
                assert_eq!(found.remove(expected.len() - 1), (0, 0));
            }
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_queue_without_room_for_all_of_it_takes_nothing() {
        let (mut queue, _memory) = mixed(4);
        for _ in 0..3 {
            assert_eq!(queue.push(&Sqe::nop()), Ok(()));
        }
        // One place is left, the last of the array: a filler and two more are needed.
        assert_eq!(queue.push_wide(&wide(1)), Err(WideError::Full));
        assert_eq!(queue.pending(), 3);
        take(&mut queue);
        assert_eq!(queue.push_wide(&wide(1)), Ok(()));
        assert_eq!(queue.pending(), 3);
        assert_eq!(queue.push_wide(&wide(2)), Err(WideError::Full));
        let (mut tiny, _memory) = mixed(1);
        assert_eq!(tiny.push_wide(&wide(1)), Err(WideError::Full));
    }

    #[test]
    fn counts_wrap_around_their_words() {
        let (mut queue, _memory) = mixed(4);
        let near_the_end = u32::MAX - 1;
        queue.word(queue.head).store(near_the_end, Ordering::Release);
        (queue.local_tail, queue.limit) = (near_the_end, near_the_end);
        for number in 0..10 {
            for place in 0..4 {
                assert_eq!(queue.push(&Sqe::nop().user_data(number * 4 + place)), Ok(()));
            }
            assert_eq!(queue.push(&Sqe::nop()), Err(Full));
            assert_eq!((queue.room(), queue.pending()), (0, 4));
            assert_eq!(take(&mut queue).len(), 4);
        }
    }
}

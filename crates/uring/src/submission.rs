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
    capacity: u32,
    /// The size of an entry: 64 bytes, or 128.
    size: usize,
    /// The same as a power of two.
    size_shift: u32,
    /// Whether an entry may take two places beside others that take one.
    mixed: bool,
    /// Where the next entry goes; at most the array's end, from where it goes on at the beginning.
    next: NonNull<Sqe>,
    /// Where `push` must look further before it writes: at the array's end, where the kernel has to make room, or
    /// where there is more to do than writing 64 bytes.
    stop: NonNull<Sqe>,
    /// The tail as it was at the array's beginning in this lap; the shared tail follows at `publish`.
    lap: u32,
}

/// The size of an ordinary entry as a power of two.
const SIZE_SHIFT: u32 = size_of::<Sqe>().trailing_zeros();

impl SubmissionQueue {
    /// The end of a queue at the point where its words say it is.
    pub(crate) fn new(ring: &Mapping, entries: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.sq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.sq_off;
        let flags = SetupFlags::from_bits_retain(params.flags);
        let wide = u32::from(flags.contains(SetupFlags::SQE128));
        let size_shift = SIZE_SHIFT + wide;
        let array = entries.array(0, capacity << wide)?;
        let mut queue = Self {
            entries: array,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            flags: ring.word(offsets.flags)?,
            dropped: ring.word(offsets.dropped)?,
            capacity,
            size: 1 << size_shift,
            size_shift,
            mixed: flags.contains(SetupFlags::SQE_MIXED),
            next: array,
            stop: array,
            lap: 0,
        };
        queue.go_to(queue.word(queue.tail).load(Ordering::Relaxed));
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

    /// Writes from place `tail` on.
    fn go_to(&mut self, tail: u32) {
        let index = tail & (self.capacity - 1);
        self.lap = tail.wrapping_sub(index);
        // SAFETY: the mask keeps the index inside the array.
        self.next = unsafe { self.entries.byte_add((index as usize) << self.size_shift) };
        self.stop = self.next;
    }

    /// Which place is next: at most the number of places.
    #[inline(always)]
    fn index(&self) -> u32 {
        ((self.next.addr().get() - self.entries.addr().get()) >> self.size_shift) as u32
    }

    /// How far we have written, counted as the kernel counts.
    #[inline(always)]
    fn local_tail(&self) -> u32 {
        self.lap.wrapping_add(self.index())
    }

    /// Goes on at the array's beginning if it is at the end.
    fn wrap(&mut self) {
        if self.index() == self.capacity {
            self.next = self.entries;
            self.lap = self.lap.wrapping_add(self.capacity);
        }
    }

    /// Whether `count` places are free.
    fn has_room(&self, count: u32) -> bool {
        self.room() >= count
    }

    /// The next place, which stays the caller's until `publish`. There must be one before the array's end.
    #[inline(always)]
    fn place(&mut self) -> NonNull<Sqe> {
        let place = self.next;
        // SAFETY: the place lies inside the array, so its end is at most the array's.
        self.next = unsafe { place.byte_add(self.size) };
        place
    }

    /// Copies an entry in, unseen by the kernel until `publish`.
    #[inline(always)]
    pub(crate) fn push(&mut self, entry: &Sqe) -> Result<(), Full> {
        if self.next == self.stop {
            self.make_room()?;
        }
        let place = self.place();
        // SAFETY: the place lies inside the array, and the kernel has finished with the entries before the stop.
        unsafe { place.write(*entry) };
        Ok(())
    }

    /// Looks how far the kernel is, and moves the stop on by at least one entry. Knows nothing of the entry, which
    /// would have to be put into memory for it.
    #[inline(never)]
    fn make_room(&mut self) -> Result<(), Full> {
        let mut room = self.room();
        if room == 0 {
            return Err(Full);
        }
        self.wrap();
        if self.size_shift == SIZE_SHIFT {
            room = room.min(self.capacity - self.index());
        } else {
            // `push` writes the first half; the second must not be what was there before.
            // SAFETY: the place lies inside the array, every entry of this queue has two halves, and the kernel has
            // finished with this one.
            unsafe { self.next.add(1).write(Sqe::default()) };
            room = 1;
        }
        // SAFETY: so many places are left before the array's end.
        self.stop = unsafe { self.next.byte_add((room as usize) << self.size_shift) };
        Ok(())
    }

    /// Copies an entry of 128 bytes in, unseen by the kernel until `publish`.
    pub(crate) fn push_wide(&mut self, entry: &Sqe128) -> Result<(), WideError> {
        let wide = self.size_shift != SIZE_SHIFT;
        if !wide && !self.mixed {
            return Err(WideError::NarrowRing);
        }
        if wide {
            if !self.has_room(1) {
                return Err(WideError::Full);
            }
            self.wrap();
            let place = self.place();
            self.stop = self.next;
            // SAFETY: every entry of this queue has 128 bytes, and the kernel has finished with this one.
            unsafe { place.cast::<Sqe128>().write(*entry) };
            return Ok(());
        }
        // Both halves must lie side by side: at the end of the array, a no-op fills the last place.
        self.wrap();
        let at_the_end = self.index() == self.capacity - 1;
        if self.capacity < 2 || !self.has_room(if at_the_end { 3 } else { 2 }) {
            return Err(WideError::Full);
        }
        if at_the_end {
            let mut filler = Sqe::new(Opcode::Nop).skip_success();
            filler.fd = -1;
            self.push(&filler).map_err(|Full| WideError::Full)?;
        }
        self.wrap();
        let place = self.place();
        self.place();
        // The next push looks anew.
        self.stop = self.next;
        // SAFETY: the place is not the array's last, and the kernel has finished with both.
        unsafe { place.cast::<Sqe128>().write(*entry) };
        Ok(())
    }

    /// The next place, zeroed, unseen by the kernel until `publish`.
    pub(crate) fn zeroed_place(&mut self) -> Result<&mut Sqe, Full> {
        self.push(&Sqe::default())?;
        // SAFETY: `push` has just written there, and neither the kernel nor anyone else looks before `publish`,
        // which needs `self`.
        Ok(unsafe { self.next.byte_sub(self.size).as_mut() })
    }

    /// Makes what was pushed visible to the kernel. Release pairs with the kernel's acquire of the tail.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.word(self.tail).store(self.local_tail(), Ordering::Release);
    }

    /// Entries the kernel has ever taken, a count that wraps around.
    #[inline]
    pub(crate) fn taken(&self) -> u32 {
        self.head()
    }

    /// Entries pushed that the kernel has not taken.
    #[inline(always)]
    pub(crate) fn pending(&self) -> u32 {
        self.local_tail().wrapping_sub(self.head())
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
        while head != queue.local_tail() {
            let index = head & (queue.capacity - 1);
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
        queue.go_to(near_the_end);
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

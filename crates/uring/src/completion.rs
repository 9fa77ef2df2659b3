//! Our end of the completion queue.
//!
//! Sizes and our own head are private copies: a word in shared memory is read only where the kernel may have
//! changed it. It copies completions out and publishes the head; it never enters the kernel.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::{CqRingFlags, Cqe, Cqe32, CqeFlags, Params, SetupFlags};
use crate::error::SetupError;
use crate::mapping::Mapping;

/// Our end of the completion queue. Its pointers are valid as long as the mapping it was made from.
#[derive(Debug)]
pub(crate) struct CompletionQueue {
    completions: NonNull<Cqe>,
    head: NonNull<AtomicU32>,
    tail: NonNull<AtomicU32>,
    overflow: NonNull<AtomicU32>,
    flags: Option<NonNull<AtomicU32>>,
    capacity: u32,
    /// The size of a completion: 16 bytes, or 32.
    size: usize,
    /// The same as a power of two.
    size_shift: u32,
    /// Whether some completions take two places.
    mixed: bool,
    /// Where the next completion is; at most the array's end, from where it goes on at the beginning.
    next: NonNull<Cqe>,
    /// Where `take` must look further: at the array's end or where the kernel was when we last looked; where sizes
    /// are mixed, everywhere.
    stop: NonNull<Cqe>,
    /// The head as it was at the array's beginning in this lap; the shared head follows.
    lap: u32,
}

/// The size of an ordinary completion as a power of two.
const SIZE_SHIFT: u32 = size_of::<Cqe>().trailing_zeros();

impl CompletionQueue {
    /// The end of a queue at the point where its words say it is.
    pub(crate) fn new(ring: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.cq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.cq_off;
        let flags = SetupFlags::from_bits_retain(params.flags);
        let wide = u32::from(flags.contains(SetupFlags::CQE32));
        let size_shift = SIZE_SHIFT + wide;
        let array = ring.array(offsets.cqes, capacity << wide)?;
        let mut queue = Self {
            completions: array,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            overflow: ring.word(offsets.overflow)?,
            // Kernels before 5.8 have no such word and say 0, which is the queue's head.
            flags: if offsets.flags == 0 { None } else { Some(ring.word(offsets.flags)?) },
            capacity,
            size: 1 << size_shift,
            size_shift,
            mixed: flags.contains(SetupFlags::CQE_MIXED),
            next: array,
            stop: array,
            lap: 0,
        };
        let head = queue.word(queue.head).load(Ordering::Relaxed);
        let index = head & (capacity - 1);
        queue.lap = head.wrapping_sub(index);
        // SAFETY: the mask keeps the index inside the array.
        queue.next = unsafe { array.byte_add((index as usize) << size_shift) };
        queue.stop = queue.next;
        Ok(queue)
    }

    /// The word at `pointer`.
    #[inline(always)]
    fn word(&self, pointer: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the pointer was checked when it was made, and the ring that owns `self` keeps the mapping.
        unsafe { pointer.as_ref() }
    }

    /// Which place is next: at most the number of places.
    #[inline(always)]
    fn index(&self) -> u32 {
        ((self.next.addr().get() - self.completions.addr().get()) >> self.size_shift) as u32
    }

    /// How far we have read, counted as the kernel counts.
    #[inline(always)]
    fn local_head(&self) -> u32 {
        self.lap.wrapping_add(self.index())
    }

    /// Goes on at the array's beginning if it is at the end.
    fn wrap(&mut self) {
        if self.index() == self.capacity {
            self.next = self.completions;
            self.lap = self.lap.wrapping_add(self.capacity);
        }
    }

    /// Copies the next completion out without telling the kernel, so that its place stays taken.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Cqe> {
        if self.next == self.stop {
            if self.mixed {
                return self.take_wide().map(|wide| wide.cqe);
            }
            let ready = self.ready();
            if ready == 0 {
                return None;
            }
            self.wrap();
            let before_the_end = ready.min(self.capacity - self.index());
            // SAFETY: so many places are left before the array's end.
            self.stop = unsafe { self.next.byte_add((before_the_end as usize) << self.size_shift) };
        }
        // SAFETY: the place lies inside the array, and the kernel wrote this completion before it moved the tail past
        // it and leaves it alone until we move the head. The next one is at most the array's end.
        unsafe {
            let completion = self.next.read();
            self.next = self.next.byte_add(self.size);
            Some(completion)
        }
    }

    /// Copies the next completion out with its second half, which is zero where it has none, without telling the
    /// kernel.
    pub(crate) fn take_wide(&mut self) -> Option<Cqe32> {
        let (completion, places) = self.look()?;
        self.advance(places);
        Some(completion)
    }

    /// Goes past `places` places. The next `take` looks anew how far the kernel is.
    fn advance(&mut self, places: u32) {
        for _ in 0..places {
            self.wrap();
            // SAFETY: `wrap` leaves a place before the array's end.
            self.next = unsafe { self.next.byte_add(self.size) };
        }
        self.stop = self.next;
    }

    /// Copies the next completion out and leaves it there; also says how many places it takes. Places that only
    /// fill a gap are passed over.
    pub(crate) fn look(&mut self) -> Option<(Cqe32, u32)> {
        loop {
            if self.ready() == 0 {
                return None;
            }
            self.wrap();
            // SAFETY: `wrap` leaves a place before the array's end, and the kernel has written it.
            let cqe = unsafe { self.next.read() };
            let narrow = Some((Cqe32 { cqe, extra: [0; 2] }, 1));
            let flags = cqe.cqe_flags();
            if self.size_shift == SIZE_SHIFT && !self.mixed {
                return narrow;
            }
            if self.mixed && flags.contains(CqeFlags::SKIP) {
                self.advance(1);
                continue;
            }
            if self.mixed && !flags.contains(CqeFlags::CQE_32) {
                return narrow;
            }
            // In a queue of mixed sizes the kernel lets none wrap around, and publishes both places at once.
            if self.mixed && self.index() + 1 == self.capacity {
                return narrow;
            }
            // SAFETY: the second place is inside the array, because all completions of this queue have two or this one
            // is not the last, and the kernel has written it.
            let extra = halves(unsafe { self.next.add(1).read() });
            return Some((Cqe32 { cqe, extra }, if self.mixed { 2 } else { 1 }));
        }
    }

    /// Keeps the registered eventfd silent, or lets it speak again. False where the kernel has no such switch.
    pub(crate) fn silence_eventfd(&mut self, silent: bool) -> bool {
        let Some(flags) = self.flags else { return false };
        let bit = CqRingFlags::EVENTFD_DISABLED.bits();
        let word = self.word(flags);
        // The word is ours alone to write.
        let now = word.load(Ordering::Relaxed);
        word.store(if silent { now | bit } else { now & !bit }, Ordering::Relaxed);
        true
    }

    /// Tells the kernel what was taken. Release pairs with the kernel's acquire of the head: our reads are done
    /// before it writes there again.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        self.word(self.head).store(self.local_head(), Ordering::Release);
    }

    /// How many completions can be taken now.
    #[inline(always)]
    pub(crate) fn ready(&self) -> u32 {
        self.word(self.tail).load(Ordering::Acquire).wrapping_sub(self.local_head())
    }

    /// Completions the kernel has ever posted, a count that wraps around.
    #[inline]
    pub(crate) fn posted(&self) -> u32 {
        self.word(self.tail).load(Ordering::Acquire)
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

/// The second half of a completion, of which the first 16 bytes were read as one.
fn halves(second: Cqe) -> [u64; 2] {
    let upper = u64::from(second.flags);
    let lower = u64::from(second.res.cast_unsigned());
    let word = if cfg!(target_endian = "big") { lower << 32 | upper } else { upper << 32 | lower };
    [second.user_data, word]
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

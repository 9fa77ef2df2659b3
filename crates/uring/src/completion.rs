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
    size: u64,
    /// The same as a power of two.
    size_shift: u32,
    /// Whether some completions take two places.
    mixed: bool,
    /// How far we have read, in bytes; the shared head follows. Counting bytes, the hot path needs no index.
    position: u64,
    /// How far the kernel was when we last looked, in bytes; where sizes are mixed, always where we are.
    limit: u64,
    /// The size of the array less one, in bytes.
    byte_mask: u64,
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
        let mut queue = Self {
            completions: ring.array(offsets.cqes, capacity << wide)?,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            overflow: ring.word(offsets.overflow)?,
            // Kernels before 5.8 have no such word and say 0, which is the queue's head.
            flags: if offsets.flags == 0 { None } else { Some(ring.word(offsets.flags)?) },
            capacity,
            size: 1 << size_shift,
            size_shift,
            mixed: flags.contains(SetupFlags::CQE_MIXED),
            position: 0,
            limit: 0,
            byte_mask: (u64::from(capacity) << size_shift) - 1,
        };
        let head = queue.word(queue.head).load(Ordering::Relaxed);
        queue.position = u64::from(head) << size_shift;
        queue.limit = queue.position;
        Ok(queue)
    }

    /// The word at `pointer`.
    #[inline(always)]
    fn word(&self, pointer: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the pointer was checked when it was made, and the ring that owns `self` keeps the mapping.
        unsafe { pointer.as_ref() }
    }

    /// How far we have read, counted as the kernel counts.
    #[inline(always)]
    fn local_head(&self) -> u32 {
        (self.position >> self.size_shift) as u32
    }

    /// Copies what is `ahead` places further out.
    #[inline(always)]
    fn read(&self, ahead: u64) -> Cqe {
        let position = self.position.wrapping_add(ahead * size_of::<Cqe>() as u64);
        let offset = (position & self.byte_mask) as usize;
        // SAFETY: the mask keeps the offset inside the array, and it is a multiple of a completion's size. The kernel
        // wrote this completion before it moved the tail past it and leaves it alone until we move the head; a place
        // that it has not written holds some number or other.
        unsafe { self.completions.byte_add(offset).read() }
    }

    /// Copies the next completion out without telling the kernel, so that its place stays taken.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Cqe> {
        if self.position == self.limit {
            if self.mixed {
                return self.take_wide().map(|wide| wide.cqe);
            }
            let ready = self.ready();
            if ready == 0 {
                return None;
            }
            self.limit = self.position.wrapping_add(u64::from(ready) << self.size_shift);
        }
        let completion = self.read(0);
        self.position = self.position.wrapping_add(self.size);
        Some(completion)
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
        self.position = self.position.wrapping_add(u64::from(places) << self.size_shift);
        self.limit = self.position;
    }

    /// Copies the next completion out and leaves it there; also says how many places it takes. Places that only
    /// fill a gap are passed over.
    pub(crate) fn look(&mut self) -> Option<(Cqe32, u32)> {
        loop {
            if self.ready() == 0 {
                return None;
            }
            let cqe = self.read(0);
            if self.size_shift != SIZE_SHIFT {
                return Some((Cqe32 { cqe, extra: halves(self.read(1)) }, 1));
            }
            let flags = cqe.cqe_flags();
            if self.mixed && flags.contains(CqeFlags::SKIP) {
                self.advance(1);
            } else if self.mixed && flags.contains(CqeFlags::CQE_32) {
                // The kernel lets none wrap around and publishes both places at once.
                return Some((Cqe32 { cqe, extra: halves(self.read(1)) }, 2));
            } else {
                return Some((Cqe32 { cqe, extra: [0; 2] }, 1));
            }
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

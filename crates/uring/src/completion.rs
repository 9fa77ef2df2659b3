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
    mask: u32,
    capacity: u32,
    /// 1 where every completion takes two places of 16 bytes, else 0.
    shift: u32,
    /// The flags that make a completion special: those of a queue of mixed sizes, else none.
    special: u32,
    /// How far we have read; the shared head follows.
    local_head: u32,
    /// How far the kernel was when we last looked, where every completion takes one place. Elsewhere it stays with
    /// our head, so that the short way needs to know nothing of them.
    plain_tail: u32,
    /// Whether completions may take two places.
    uneven: bool,
}

impl CompletionQueue {
    /// The end of a queue at the point where its words say it is.
    pub(crate) fn new(ring: &Mapping, params: &Params) -> Result<Self, SetupError> {
        let capacity = params.cq_entries;
        if !capacity.is_power_of_two() {
            return Err(SetupError::Inconsistent);
        }
        let offsets = &params.cq_off;
        let flags = SetupFlags::from_bits_retain(params.flags);
        let shift = u32::from(flags.contains(SetupFlags::CQE32));
        let mixed = flags.contains(SetupFlags::CQE_MIXED);
        let special = if mixed { CqeFlags::SKIP.union(CqeFlags::CQE_32) } else { CqeFlags::empty() };
        let mut queue = Self {
            completions: ring.array(offsets.cqes, capacity << shift)?,
            head: ring.word(offsets.head)?,
            tail: ring.word(offsets.tail)?,
            overflow: ring.word(offsets.overflow)?,
            // Kernels before 5.8 have no such word and say 0, which is the queue's head.
            flags: if offsets.flags == 0 { None } else { Some(ring.word(offsets.flags)?) },
            mask: capacity - 1,
            capacity,
            shift,
            special: special.bits(),
            local_head: 0,
            plain_tail: 0,
            uneven: shift != 0 || mixed,
        };
        queue.local_head = queue.word(queue.head).load(Ordering::Relaxed);
        queue.plain_tail = queue.local_head;
        Ok(queue)
    }

    /// The word at `pointer`.
    #[inline(always)]
    fn word(&self, pointer: NonNull<AtomicU32>) -> &AtomicU32 {
        // SAFETY: the pointer was checked when it was made, and the ring that owns `self` keeps the mapping.
        unsafe { pointer.as_ref() }
    }

    /// How far the kernel is. Acquire pairs with its release of the tail: the completions before it are written.
    #[inline(always)]
    fn tail(&self) -> u32 {
        self.word(self.tail).load(Ordering::Acquire)
    }

    /// Place `number`, counted as the head counts.
    #[inline]
    fn place(&self, number: u32) -> NonNull<Cqe> {
        let index = ((number & self.mask) << self.shift) as usize;
        // SAFETY: the mask keeps the index inside the array.
        unsafe { self.completions.add(index) }
    }

    /// Copies place `number` out, counted as the head counts.
    #[inline]
    fn read(&self, number: u32) -> Cqe {
        // SAFETY: the place lies inside the array, and the kernel wrote this completion before it moved the tail past
        // it and leaves it alone until we move the head.
        unsafe { self.place(number).read() }
    }

    /// Copies the next completion out without telling the kernel, so that its place stays taken.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Cqe> {
        let place = self.next_place()?;
        // SAFETY: the place lies inside the array, and the kernel wrote this completion before it moved the tail past
        // it and leaves it alone until we publish.
        Some(unsafe { place.read() })
    }

    /// Passes over the next completion and returns its place, which stays as it is until `publish`.
    #[inline(always)]
    fn next_place(&mut self) -> Option<NonNull<Cqe>> {
        let head = self.local_head;
        if head == self.plain_tail {
            // Once per batch: keeps the way around a loop over completions free of jumps.
            core::hint::cold_path();
            if self.uneven {
                return self.next_uneven_place();
            }
            self.plain_tail = self.tail();
            if head == self.plain_tail {
                return None;
            }
        }
        self.local_head = head.wrapping_add(1);
        // SAFETY: the mask keeps the index inside the array. Before the plain tail there is no shift.
        Some(unsafe { self.completions.add((head & self.mask) as usize) })
    }

    /// The same where completions may take two places.
    #[inline(never)]
    fn next_uneven_place(&mut self) -> Option<NonNull<Cqe>> {
        // Passes over gaps.
        let (_, places) = self.look()?;
        let place = self.place(self.local_head);
        self.pass(places);
        Some(place)
    }

    /// Copies the next completion out with its second half, which is zero where it has none, without telling the
    /// kernel.
    pub(crate) fn take_wide(&mut self) -> Option<Cqe32> {
        let (completion, places) = self.look()?;
        self.pass(places);
        Some(completion)
    }

    /// Passes over so many places.
    fn pass(&mut self, places: u32) {
        self.local_head = self.local_head.wrapping_add(places);
        // Where every completion takes one place this only makes `take` look again.
        self.plain_tail = self.local_head;
    }

    /// Copies the next completion out and leaves it there; also says how many places it takes. Places that only
    /// fill a gap are passed over.
    pub(crate) fn look(&mut self) -> Option<(Cqe32, u32)> {
        loop {
            if self.local_head == self.tail() {
                return None;
            }
            let cqe = self.read(self.local_head);
            let special = CqeFlags::from_bits_retain(cqe.flags & self.special);
            if special.contains(CqeFlags::SKIP) {
                self.pass(1);
                continue;
            }
            if self.shift != 0 {
                let index = ((self.local_head & self.mask) << self.shift) as usize;
                // SAFETY: with a shift every completion has two places.
                let second = unsafe { self.completions.add(index + 1).read() };
                return Some((Cqe32 { cqe, extra: halves(second) }, 1));
            }
            if special.contains(CqeFlags::CQE_32) {
                // The kernel lets none wrap around and publishes both places at once; `read` masks regardless.
                let second = self.read(self.local_head.wrapping_add(1));
                return Some((Cqe32 { cqe, extra: halves(second) }, 2));
            }
            return Some((Cqe32 { cqe, extra: [0; 2] }, 1));
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
        self.word(self.head).store(self.local_head, Ordering::Release);
    }

    /// How many completions can be taken now.
    #[inline(always)]
    pub(crate) fn ready(&self) -> u32 {
        self.tail().wrapping_sub(self.local_head)
    }

    /// Completions the kernel has ever posted, a count that wraps around.
    #[inline]
    pub(crate) fn posted(&self) -> u32 {
        self.tail()
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

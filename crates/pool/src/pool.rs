//! The pool itself: what can be asked of it, and how long it lives.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::blocks::Record;
use crate::builder::{Builder, Memory, Plan};
use crate::class::class_of;
use crate::error::Error;
use crate::guard::Guard;
use crate::id::Id;
use crate::lock::{Lock, Locked};
use crate::mapping::{ForkMark, Mapping};
use crate::region::Region;
use crate::slice::Slice;
use crate::state::{After, Miss, State};
use crate::statistics::Statistics;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering};
use crate::watch::Watch;

/// What a pool is behind its handles. It is freed by whoever lets go last.
pub(crate) struct Inner {
    state: Lock<State>,
    /// Held while a region is made, so that two threads do not make two where one would do.
    growing: Mutex<()>,
    plan: Plan,
    /// Only where children of a fork would share the memory.
    fork: Option<ForkMark>,
}

/// Leads to a pool. It counts nothing: whoever has one also has something in the pool that keeps it (a handle, an owner or a
/// guard of a slice, a hold on a region), and gives it back exactly once, by the last use of the reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reference(NonNull<Inner>);

// SAFETY: what it leads to may be shared between threads: the state is behind a lock, the plan does not change.
unsafe impl Send for Reference {}
// SAFETY: as above.
unsafe impl Sync for Reference {}

impl Deref for Reference {
    type Target = Inner;
    #[inline]
    fn deref(&self) -> &Inner {
        // SAFETY: alive, since the holder of this keeps it alive.
        unsafe { self.0.as_ref() }
    }
}

impl Reference {
    /// Does what is left to do after something was given back. The reference is not used afterwards.
    #[inline]
    pub(crate) fn finish(self, state: Locked<'_, State>, after: After) {
        if after != After::Nothing {
            self.finish_slowly(state, after);
        }
    }

    #[cold]
    #[inline(never)]
    fn finish_slowly(self, mut state: Locked<'_, State>, after: After) {
        if after == After::Over {
            drop(state);
            // SAFETY: made by `Box::new` in `Pool::new`. No handle, owner, guard or hold is left, and each had been
            // counted, so nobody has another reference that will be used. Nobody else is in the lock: whoever was let go
            // of what kept it.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        } else {
            let keep = state.spare();
            let idle = state.take_idle(keep);
            // Once the lock is let go the pool may be gone. The region is ours, and unmapped without the lock.
            drop(state);
            drop(idle);
        }
    }
}

impl Inner {
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, State> {
        self.state.lock()
    }

    fn grow_lock(&self) -> MutexGuard<'_, ()> {
        self.growing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Makes another region, unless another thread did so since the newest was `newest`.
    #[cold]
    #[inline(never)]
    fn grow(&self, newest: u64, length: usize) -> Result<(), Error> {
        let _turn = self.grow_lock();
        {
            let mut state = self.lock();
            if state.blocks.serial() != newest {
                return Ok(());
            }
            if state.blocks.regions == self.plan.regions {
                state.refused += 1;
                return Err(Error::Exhausted { length, regions: self.plan.regions });
            }
        }
        let mapping = Mapping::new(self.plan.memory, self.plan.region).map_err(|error| {
            self.lock().refused += 1;
            Error::Map { bytes: self.plan.region, errno: error.raw_os_error().unwrap_or(0) }
        })?;
        let records = vec![Record::default(); 1 << self.plan.order].into_boxed_slice();
        let start = mapping.start();
        let mut state = self.lock();
        state.blocks.add(mapping, records);
        state.note_region(start);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn refuse(&self, error: Error) -> Error {
        self.lock().refused += 1;
        error
    }

    #[cold]
    fn unfit(&self, length: usize) -> Error {
        self.refuse(match self.plan.boundary {
            _ if length == 0 => Error::Empty,
            Some(boundary) if length > boundary && length <= self.plan.region => {
                Error::CrossesBoundary { length, boundary }
            }
            _ => Error::TooLarge { bytes: length, region: self.plan.region },
        })
    }

    pub(crate) fn region_size(&self) -> usize {
        self.plan.region
    }

    #[inline]
    fn in_child(&self) -> bool {
        self.fork.as_ref().is_some_and(ForkMark::in_child)
    }
}

/// Memory for operations, handed out in slices.
///
/// A `Pool` is a handle: clones of it lead to the same pool, from any thread. Slices, guards and [`Region`]s keep the
/// memory they stand for, so handles may go in any order; once the last of all is gone, the memory is given back.
///
/// ```
/// use ouzel_pool::Pool;
///
/// let pool = Pool::builder().regions(4).build()?;
/// let mut slice = pool.get(5000)?;
/// slice[..5].copy_from_slice(b"hello");
/// let guard = slice.guard();               // somebody may still write to it …
/// drop(slice);
/// assert_eq!(pool.statistics().in_use, 1); // … so nobody gets its memory …
/// drop(guard);
/// assert_eq!(pool.statistics().in_use, 0); // … until now
/// # Ok::<(), ouzel_pool::Error>(())
/// ```
pub struct Pool(Reference);

impl Pool {
    /// The settings to make one with.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(plan: Plan) -> Result<Pool, Error> {
        static NUMBERS: AtomicU32 = AtomicU32::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let inner = Box::new(Inner {
            state: Lock::new(State::new(&plan, number)),
            growing: Mutex::new(()),
            fork: if plan.memory == Memory::Shared { ForkMark::new() } else { None },
            plan,
        });
        Ok(Pool(Reference(NonNull::from(Box::leak(inner)))))
    }

    /// A slice of `length` bytes. Its address is a multiple of `length` rounded up to a power of two, or of the
    /// smallest slice's size if that is more.
    ///
    /// The bytes are what somebody left there, or zeros: always something, but see [`get_zeroed`](Pool::get_zeroed).
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::TooLarge`], [`Error::CrossesBoundary`] for a length that can never be served;
    /// [`Error::ClassFull`], [`Error::Exhausted`], [`Error::Map`] for one that cannot be served now.
    #[inline]
    pub fn get(&self, length: usize) -> Result<Slice, Error> {
        self.get_in_order(length, 0)
    }

    /// As [`get`](Pool::get), at an address that is a multiple of `alignment`: any power of two up to the size of a
    /// region.
    pub fn get_aligned(&self, length: usize, alignment: usize) -> Result<Slice, Error> {
        if !alignment.is_power_of_two() {
            return Err(self.0.refuse(Error::Alignment { alignment }));
        }
        let region = self.0.plan.region;
        if alignment > region {
            return Err(self.0.refuse(Error::TooLarge { bytes: alignment, region }));
        }
        let natural = length.checked_next_power_of_two().unwrap_or(usize::MAX);
        let shift = self.0.plan.granule_shift;
        let order = if alignment <= natural { 0 } else { (alignment >> shift).max(1).trailing_zeros() };
        self.get_in_order(length, order)
    }

    /// As [`get`](Pool::get), with every byte 0.
    pub fn get_zeroed(&self, length: usize) -> Result<Slice, Error> {
        let mut slice = self.get(length)?;
        slice.fill(0);
        Ok(slice)
    }

    #[inline]
    fn get_in_order(&self, length: usize, order: u32) -> Result<Slice, Error> {
        let plan = &self.0.plan;
        let last = length.wrapping_sub(1);
        // One comparison for 0, too: less one it is the largest number.
        if last > plan.last {
            return Err(self.0.unfit(length));
        }
        let class = class_of((last >> plan.granule_shift) as u32);
        if order == 0
            && !self.0.in_child()
            && let Some(got) = self.0.lock().get_cached(class, length as u32)
        {
            // SAFETY: handed out just now, to this owner alone.
            return Ok(unsafe { Slice::new(self.0, got, length as u32) });
        }
        self.get_slowly(class, length, order)
    }

    #[cold]
    #[inline(never)]
    fn get_slowly(&self, class: usize, length: usize, order: u32) -> Result<Slice, Error> {
        if self.0.in_child() {
            return Err(self.0.refuse(Error::ForkedChild));
        }
        loop {
            let got = self.0.lock().get_uncached(class, length as u32, order);
            match got {
                Ok(got) => {
                    // SAFETY: handed out just now, to this owner alone.
                    let mut slice = unsafe { Slice::new(self.0, got, length as u32) };
                    if self.0.plan.debug {
                        slice.fill(0xfe);
                    }
                    return Ok(slice);
                }
                Err(Miss::ClassFull) => {
                    let class = self.0.plan.classes[class];
                    return Err(Error::ClassFull { class: class.size, limit: class.limit });
                }
                Err(Miss::NoRoom(newest)) => self.0.grow(newest, length)?,
            }
        }
    }

    /// Takes the slice back that [`Slice::into_id`] put into the pool's keeping.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the id names no slice of this pool, or not any more; [`Error::Held`] if somebody has it.
    pub fn take(&self, id: Id) -> Result<Slice, Error> {
        let (got, length) = self.0.lock().take(id)?;
        // SAFETY: the pool was its owner and is not any more.
        Ok(unsafe { Slice::new(self.0, got, length) })
    }

    /// A guard on the whole of the slice with this id, whoever owns it.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the id names no slice of this pool, or its owner gave it back.
    pub fn guard(&self, id: Id) -> Result<Guard, Error> {
        let mut state = self.0.lock();
        let length = state.look_up(id)?.length;
        let start = state.start_of(id.index);
        state.guard(id.index, start, length as usize);
        drop(state);
        // SAFETY: counted just now.
        Ok(unsafe { Guard::new(self.0, start, length, id.index) })
    }

    /// The regions there are, in no order. Each is kept as long as its handle.
    pub fn regions(&self) -> Vec<Region> {
        let mut state = self.0.lock();
        let order = self.0.plan.order;
        let mut regions = Vec::new();
        for at in 0..state.blocks.slots.len() {
            if state.blocks.slots[at].serial != 0 {
                let index = (at as u32) << order;
                state.busy(index);
                // SAFETY: counted just now.
                regions.push(unsafe { Region::new(self.0, index, &state.blocks.slots[at]) });
            }
        }
        regions
    }

    /// Tells from now on which regions there are, without keeping any.
    ///
    /// ```
    /// let pool = ouzel_pool::Pool::builder().build()?;
    /// let watch = pool.watch();
    /// assert!(watch.regions().is_empty());
    /// let before = watch.changes();
    /// let slice = pool.get(100)?;
    /// assert!(watch.changes() != before);
    /// assert_eq!(watch.regions()[0].number, slice.location().region);
    /// # Ok::<(), ouzel_pool::Error>(())
    /// ```
    pub fn watch(&self) -> Watch {
        Watch(self.0.lock().told())
    }

    /// Makes a region ahead of need.
    pub fn reserve_region(&self) -> Result<(), Error> {
        let newest = self.0.lock().blocks.serial();
        self.0.grow(newest, self.0.plan.region)
    }

    /// Gives regions back to the system of which nothing is in use, but for `keep` of them. Returns how many.
    pub fn shrink(&self, keep: usize) -> usize {
        if self.0.plan.debug {
            self.0.lock().end_all_quarantine();
        }
        let mut count = 0;
        loop {
            let slot = self.0.lock().take_idle(keep);
            if slot.is_none() {
                return count;
            }
            count += 1;
        }
    }

    /// What the pool has and has had.
    pub fn statistics(&self) -> Statistics {
        self.0.lock().statistics(self.0.plan.region)
    }

    /// What its regions are made of.
    pub fn memory(&self) -> Memory {
        self.0.plan.memory
    }

    /// The size of a region in bytes: the longest slice, and the largest alignment, unless a boundary is less.
    pub fn region_size(&self) -> usize {
        self.0.plan.region
    }

    /// The size of the smallest slices in bytes.
    pub fn smallest(&self) -> usize {
        1 << self.0.plan.granule_shift
    }

    /// Whether it looks for who uses memory that was given back.
    pub fn is_debug(&self) -> bool {
        self.0.plan.debug
    }
}

impl Clone for Pool {
    fn clone(&self) -> Pool {
        self.0.lock().handles += 1;
        Pool(self.0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Idle regions go one by one, each without the lock. This handle keeps the pool meanwhile, and nobody can make
        // another from the last one.
        loop {
            let mut state = self.0.lock();
            let idle = if state.handles == 1 { state.take_idle(0) } else { None };
            if idle.is_none() {
                let after = state.end_handle();
                let reference = self.0;
                reference.finish(state, after);
                return;
            }
            drop(state);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statistics = self.statistics();
        write!(
            formatter,
            "Pool({} slices of {} bytes in use, {} regions of {} bytes)",
            statistics.in_use, statistics.in_use_bytes, statistics.regions, self.0.plan.region
        )
    }
}

//! Watches: what regions a pool has, for those who tell somebody else of them, such as the kernel.
//!
//! A watch keeps neither the pool nor a region. It counts changes: a region is in the list, and counted, before a slice of it is
//! handed out, and out of it, and counted, before its memory is unmapped. So who has a slice and sees no change since it last
//! looked at the list knows that what the list says of the slice's memory is so.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blocks::{Slot, Start};

/// A region as a [`Watch`] sees it: there when the list was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchedRegion {
    /// [`Region::number`](crate::Region::number).
    pub number: u64,
    /// Where it begins.
    pub address: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// What the pool tells its watches.
#[derive(Default)]
pub(crate) struct Told {
    changes: AtomicU64,
    regions: Mutex<Vec<WatchedRegion>>,
    over: AtomicBool,
}

impl Told {
    fn regions(&self) -> MutexGuard<'_, Vec<WatchedRegion>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, number: u64, start: Start, length: usize) {
        self.regions().push(WatchedRegion { number, address: start.0.addr().get(), length });
        self.count();
    }

    pub(crate) fn remove(&self, slot: &Slot) {
        self.regions().retain(|region| region.number != slot.serial);
        self.count();
    }

    pub(crate) fn remove_all(&self) {
        self.regions().clear();
        self.over.store(true, Ordering::SeqCst);
        self.count();
    }

    fn count(&self) {
        // Pairs with the load in `Watch::changes`. What follows a removal, the unmapping and whatever takes the place, must
        // not be seen by who does not see this.
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Tells which regions a pool has and when that changes. See [`Pool::watch`](crate::Pool::watch).
#[derive(Clone)]
pub struct Watch(pub(crate) Arc<Told>);

impl Watch {
    /// A number that is another one after each change. What was got from the pool before this is called is in a region that is
    /// counted.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::SeqCst)
    }

    /// Whether the pool is gone, with everything of it: there will be no change.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::SeqCst)
    }

    /// The regions there are. They may go at any time; ask for [`changes`](Watch::changes) first, and again when it matters.
    pub fn regions(&self) -> Vec<WatchedRegion> {
        self.0.regions().clone()
    }
}

impl PartialEq for Watch {
    /// Whether they are of the same pool.
    fn eq(&self, other: &Watch) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Watch {}

impl fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watch").field("changes", &self.changes()).finish_non_exhaustive()
    }
}

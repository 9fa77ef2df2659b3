//! Registered memory: regions of pools that the kernel keeps pinned, so that a transfer need not look their pages up.
//!
//! A table of numbers is reserved with the kernel when the first pool is registered. Regions get a number as they come and
//! lose it when they are gone: a watch tells of both, and is looked at before anything is lowered. So a transfer whose memory
//! lies in a region by this list may name the region's number; the memory is alive, since its operation owns it, and
//! so the region is the one that was registered. What cannot be registered is used as any memory.

use ouzel_engine::{Buffers, Span};
use ouzel_pool::{Pool, Watch, WatchedRegion};
use ouzel_ring::Errno;
use ouzel_uring::Ring;
use ouzel_uring::abi::Iovec;

use crate::RegisteredMemory;
use crate::backend::memory;

/// Numbers that are reserved with the kernel.
const NUMBERS: u16 = 1024;

/// What takes a region's place in the kernel's table when it is gone.
const EMPTY: Iovec = Iovec { base: 0, length: 0 };

#[derive(Debug)]
struct Watched {
    watch: Watch,
    /// Its changes when it was last looked at.
    seen: Option<u64>,
}

/// A region that has a number.
#[derive(Debug)]
struct Registered {
    region: WatchedRegion,
    number: u16,
    /// Whose it is.
    watch: Watch,
}

/// The registered memory of one ring.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    pools: Vec<Watched>,
    /// By address.
    regions: Vec<Registered>,
    /// Numbers that no region has; none before there is a table.
    free: Vec<u16>,
    /// There is a table.
    reserved: bool,
    /// Regions are left out, and trying again makes no sense before one goes.
    full: bool,
    left_out: Option<Errno>,
    transfers: u64,
}

impl Fixed {
    /// Registers a pool's regions, now and as they come.
    pub(super) fn add(&mut self, ring: &mut Ring, pool: &Pool) {
        if pool.is_debug() {
            self.left_out = Some(Errno::EOPNOTSUPP);
            return;
        }
        if !self.reserved {
            match ring.register_buffers_sparse(u32::from(NUMBERS)) {
                Ok(()) => {
                    self.reserved = true;
                    self.free = (0..NUMBERS).rev().collect();
                }
                Err(error) => {
                    let errno = Errno::from_raw(error.errno());
                    self.left_out = Some(if errno == Errno::EINVAL { Errno::EOPNOTSUPP } else { errno });
                    return;
                }
            }
        }
        let watch = pool.watch();
        if self.pools.iter().all(|watched| watched.watch != watch) {
            self.pools.push(Watched { watch, seen: None });
            self.catch_up(ring);
        }
    }

    /// Takes note of regions that have come or gone since. To be called before anything is lowered.
    #[inline]
    pub(super) fn look(&mut self, ring: &mut Ring) {
        if self.pools.iter().any(|watched| watched.seen != Some(watched.watch.changes())) {
            self.catch_up(ring);
        }
    }

    #[cold]
    #[inline(never)]
    fn catch_up(&mut self, ring: &mut Ring) {
        let mut there: Vec<(Watch, WatchedRegion)> = Vec::new();
        for Watched { watch, seen } in &mut self.pools {
            // First the count, then the list: what changes in between is found with the next look.
            *seen = Some(watch.changes());
            there.extend(watch.regions().into_iter().map(|region| (watch.clone(), region)));
        }
        self.pools.retain(|watched| !watched.watch.is_over());
        // All that is gone goes first: something else may be where it was.
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.regions).into_iter().partition(|one| {
            there.iter().any(|(watch, region)| *watch == one.watch && *region == one.region)
        });
        self.regions = kept;
        for one in gone {
            // Transfers under way keep what they have. A number that cannot be emptied is not used again.
            if ring.buffers_update(u32::from(one.number), &[EMPTY], &[0]).is_ok() {
                self.free.push(one.number);
                self.full = false;
            }
        }
        for (watch, region) in there {
            if self.full {
                break;
            }
            if self.regions.iter().all(|one| one.region != region || one.watch != watch) {
                self.register(ring, watch, region);
            }
        }
        self.regions.sort_unstable_by_key(|one| one.region.address);
    }

    fn register(&mut self, ring: &mut Ring, watch: Watch, region: WatchedRegion) {
        let Some(number) = self.free.pop() else {
            (self.full, self.left_out) = (true, Some(Errno::ENOSPC));
            return;
        };
        let buffer = Iovec { base: region.address as u64, length: region.length as u64 };
        match ring.buffers_update(u32::from(number), &[buffer], &[0]) {
            Ok(_) => self.regions.push(Registered { region, number, watch }),
            Err(error) => {
                self.free.push(number);
                let errno = Errno::from_raw(error.errno());
                // One that has gone meanwhile is no reason to leave out others.
                self.full = errno != Errno::EFAULT;
                self.left_out = Some(errno);
            }
        }
    }

    /// Whether nothing is registered.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// The number of the region that these bytes lie in, for the transfer that is about to be pushed.
    pub(super) fn number_of(&mut self, span: &Span) -> Option<u16> {
        let number = self.find(span)?;
        self.transfers += 1;
        Some(number)
    }

    /// The same for pieces that all lie in one region. The kernel takes no empty ones there.
    pub(super) fn number_of_all(&mut self, buffers: &Buffers) -> Option<u16> {
        let pieces = memory::pieces(buffers);
        let mut pieces = pieces.iter();
        let number = self.find(pieces.next()?)?;
        if pieces.any(|piece| self.find(piece) != Some(number)) {
            return None;
        }
        self.transfers += 1;
        Some(number)
    }

    fn find(&self, span: &Span) -> Option<u16> {
        let start = span.pointer.addr();
        let behind = self.regions.partition_point(|one| one.region.address <= start);
        let one = self.regions.get(behind.checked_sub(1)?)?;
        let end = start.checked_add(span.length)?;
        (span.length > 0 && end <= one.region.address + one.region.length).then_some(one.number)
    }

    /// What there is.
    pub(super) fn memory(&self) -> Option<RegisteredMemory> {
        let memory = RegisteredMemory {
            regions: self.regions.len(),
            bytes: self.regions.iter().map(|one| one.region.length).sum(),
            transfers: self.transfers,
            left_out: self.left_out,
        };
        (memory != RegisteredMemory::default() || self.reserved).then_some(memory)
    }
}

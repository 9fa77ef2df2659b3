//! What a pool knows, behind its lock: the life of every slice, from the class it is got from to the class it goes back to.
//!
//! Safe code over [`Blocks`]. It counts owners and guards of each slice, and gives its place to the next one only when
//! there are neither. Memory of slices is touched nowhere; in debug mode it is protected.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::blocks::{Blocks, List, NONE, Place, Record, Slot, Start};
use crate::builder::Plan;
use crate::class::{granules_of, order_of};
use crate::error::Error;
use crate::id::Id;
use crate::poison;
use crate::statistics::{ClassStatistics, Statistics};
use crate::watch::Told;

/// Why there is no slice now.
pub(crate) enum Miss {
    /// The class is at its limit.
    ClassFull,
    /// No region has room. With the number of the newest: if there is a newer one, it may.
    NoRoom(u64),
}

/// What is to be done after something was given back, without the lock.
#[derive(PartialEq, Eq)]
#[must_use]
pub(crate) enum After {
    Nothing,
    /// There are more idle regions than should stay.
    Trim,
    /// Nobody has the pool or anything of it: it is to be freed.
    Over,
}

struct Class {
    /// The first of the slices that are kept as they are.
    cached: u32,
    cached_count: usize,
    cached_most: usize,
    in_use: usize,
    limit: usize,
    size: usize,
    peak: usize,
    refused: u64,
}

pub(crate) struct State {
    pub(crate) blocks: Blocks,
    classes: Box<[Class]>,
    granule_shift: u32,
    debug: bool,
    generation: u64,
    pool: u32,
    /// `Pool`s there are.
    pub(crate) handles: u64,
    spare: usize,
    bytes: usize,
    bytes_peak: usize,
    regions_peak: usize,
    pub(crate) refused: u64,
    deferred: usize,
    lost: usize,
    unprotected: u64,
    kept: List,
    quarantined: List,
    quarantined_bytes: usize,
    quarantine: usize,
    /// Who wants to know of regions.
    told: Option<Arc<Told>>,
    region: usize,
}

/// A slice that was handed out.
pub(crate) struct Got {
    pub(crate) start: NonNull<u8>,
    pub(crate) index: u32,
}

impl State {
    pub(crate) fn new(plan: &Plan, pool: u32) -> State {
        let class = |class: &crate::builder::Class| Class {
            cached: NONE,
            cached_count: 0,
            // In debug mode everything goes through quarantine.
            cached_most: if plan.debug { 0 } else { class.cached },
            in_use: 0,
            limit: class.limit,
            size: class.size,
            peak: 0,
            refused: 0,
        };
        State {
            blocks: Blocks::new(plan.order, plan.regions),
            classes: plan.classes.iter().map(class).collect(),
            granule_shift: plan.granule_shift,
            debug: plan.debug,
            generation: 0,
            pool,
            handles: 1,
            spare: plan.spare,
            bytes: 0,
            bytes_peak: 0,
            regions_peak: 0,
            refused: 0,
            deferred: 0,
            lost: 0,
            unprotected: 0,
            kept: List::new(),
            quarantined: List::new(),
            quarantined_bytes: 0,
            quarantine: plan.quarantine,
            told: None,
            region: plan.region,
        }
    }

    /// A slice for `length` bytes out of those that are kept as they are, if the class has one and is not at its limit.
    #[inline]
    pub(crate) fn get_cached(&mut self, class: usize, length: u32) -> Option<Got> {
        let of = &mut self.classes[class];
        let index = of.cached;
        if index == NONE || of.in_use >= of.limit {
            return None;
        }
        Some(self.hand_out(index, class, length, true))
    }

    /// A slice for `length` bytes at the begin of a block of `order` or more.
    #[cold]
    #[inline(never)]
    pub(crate) fn get_uncached(&mut self, class: usize, length: u32, order: u32) -> Result<Got, Miss> {
        let of = &mut self.classes[class];
        if of.in_use >= of.limit {
            of.refused += 1;
            self.refused += 1;
            return Err(Miss::ClassFull);
        }
        let granules = granules_of(class);
        let order = order.max(order_of(granules));
        if !self.blocks.has(order) {
            self.join_cached(Some(order));
            while !self.blocks.has(order) && self.quarantined.head != NONE {
                self.end_quarantine();
            }
        }
        let index = self.blocks.carve(granules, order).ok_or(Miss::NoRoom(self.blocks.serial()))?;
        Ok(self.hand_out(index, class, length, false))
    }

    // Every slice comes through here and goes back through `give_back`, so their instructions count: each place is looked up
    // once, and nothing is written that is read nowhere.
    #[inline]
    fn hand_out(&mut self, index: u32, class: usize, length: u32, cached: bool) -> Got {
        let of = &mut self.classes[class];
        let granule = self.blocks.granule_of(index);
        let slot = self.blocks.slot(index);
        let record = &mut slot.records[granule as usize];
        if cached {
            of.cached = record.next;
            of.cached_count -= 1;
        }
        of.in_use += 1;
        of.peak = of.peak.max(of.in_use);
        let size = of.size;
        self.generation += 1;
        record.generation = self.generation;
        record.length = length;
        record.owners = 1;
        record.guards = 0;
        record.class = class as u8;
        record.place = Place::Used;
        record.split = false;
        let was_idle = slot.busy == 0;
        slot.busy += 1;
        let start = slot.start.0;
        self.blocks.idle -= usize::from(was_idle);
        self.bytes += size;
        self.bytes_peak = self.bytes_peak.max(self.bytes);
        let offset = (granule as usize) << self.granule_shift;
        // SAFETY: a granule of this region, which is one mapping; the address is formed and not used.
        Got { start: unsafe { start.add(offset) }, index }
    }

    /// An owner lets go.
    #[inline]
    pub(crate) fn give_back(&mut self, index: u32) -> After {
        let record = self.blocks.record(index);
        debug_assert!(matches!(record.place, Place::Used | Place::Kept) && record.owners > 0);
        if record.owners != 1 || record.guards != 0 {
            return self.lose_owner(index);
        }
        self.reclaim(index)
    }

    /// One of several owners lets go, or the last while there are guards.
    #[cold]
    #[inline(never)]
    fn lose_owner(&mut self, index: u32) -> After {
        let record = self.blocks.record(index);
        record.owners -= 1;
        self.deferred += usize::from(record.owners == 0);
        After::Nothing
    }

    /// Someone else may use the memory at `start` from now on.
    pub(crate) fn guard(&mut self, index: u32, start: NonNull<u8>, length: usize) {
        let record = self.blocks.record(index);
        record.guards = record.guards.saturating_add(1);
        if self.debug {
            // The sanitizer knows eight bytes at a time: with what is behind it, a slice's last bytes are poisoned too.
            let whole = self.classes[record.class as usize].size;
            poison::forbid(start, if record.split { length } else { whole });
        }
    }

    /// A guard ends.
    pub(crate) fn end_guard(&mut self, index: u32) -> After {
        let record = self.blocks.record(index);
        // So many that they could not be counted: then their memory is never used again.
        if record.guards == u32::MAX {
            return After::Nothing;
        }
        record.guards -= 1;
        if record.guards > 0 {
            return After::Nothing;
        }
        let Record { class, owners, .. } = *record;
        if self.debug {
            poison::allow(self.start_of(index), self.classes[class as usize].size);
        }
        if owners > 0 {
            return After::Nothing;
        }
        self.deferred -= 1;
        self.reclaim(index)
    }

    /// Neither owners nor guards are left.
    #[inline]
    fn reclaim(&mut self, index: u32) -> After {
        let granule = self.blocks.granule_of(index);
        let slot = self.blocks.slot(index);
        let record = &mut slot.records[granule as usize];
        let of = &mut self.classes[record.class as usize];
        record.owners = 0;
        of.in_use -= 1;
        self.bytes -= of.size;
        if of.cached_count == of.cached_most {
            return self.reclaim_uncached(index);
        }
        record.place = Place::Cached;
        record.next = of.cached;
        of.cached = index;
        of.cached_count += 1;
        slot.busy -= 1;
        if slot.busy == 0 {
            self.blocks.idle += 1;
            return self.after_idle();
        }
        After::Nothing
    }

    #[cold]
    #[inline(never)]
    fn reclaim_uncached(&mut self, index: u32) -> After {
        if !self.debug {
            let class = self.blocks.record(index).class;
            self.blocks.release(index, granules_of(class as usize));
            return self.not_busy(index);
        }
        let size = self.classes[self.blocks.record(index).class as usize].size;
        self.blocks.record(index).place = Place::Quarantined;
        self.protect(index, size, false);
        poison::forbid(self.start_of(index), size);
        if self.handles == 0 {
            // Nobody can ask for a slice any more: it stays as it is until its region goes.
            return self.not_busy(index);
        }
        self.quarantined.push(&mut self.blocks, index);
        self.quarantined_bytes += size;
        // A region is busy as long as a slice of it is in quarantine.
        while self.quarantined_bytes > self.quarantine {
            self.end_quarantine();
        }
        self.after_idle()
    }

    /// Lets the oldest out.
    fn end_quarantine(&mut self) {
        let index = self.quarantined.head;
        if index == NONE {
            return;
        }
        self.quarantined.remove(&mut self.blocks, index);
        let class = usize::from(self.blocks.record(index).class);
        let size = self.classes[class].size;
        self.quarantined_bytes -= size;
        poison::allow(self.start_of(index), size);
        if self.protect(index, size, true) {
            self.blocks.release(index, granules_of(class));
            let slot = self.blocks.slot(index);
            slot.busy -= 1;
            if slot.busy == 0 {
                self.blocks.idle += 1;
            }
        } else {
            self.blocks.record(index).place = Place::Lost;
            self.lost += size;
        }
    }

    /// What cannot be protected for want of kernel memory is quarantined all the same, and counted.
    fn protect(&mut self, index: u32, size: usize, allowed: bool) -> bool {
        let offset = (self.blocks.granule_of(index) as usize) << self.granule_shift;
        let mapping = self.blocks.slot(index).mapping.as_ref();
        let done = mapping.is_some_and(|mapping| mapping.protect(offset, size, allowed).is_ok());
        self.unprotected += u64::from(!done && !allowed);
        done
    }

    /// Where a slice begins.
    pub(crate) fn start_of(&mut self, index: u32) -> NonNull<u8> {
        let offset = (self.blocks.granule_of(index) as usize) << self.granule_shift;
        // SAFETY: a granule of this region, which is one mapping; the address is formed and not used.
        unsafe { self.blocks.slot(index).start.0.add(offset) }
    }

    /// One thing less that keeps a region.
    pub(crate) fn not_busy(&mut self, index: u32) -> After {
        let slot = self.blocks.slot(index);
        slot.busy -= 1;
        if slot.busy > 0 {
            return After::Nothing;
        }
        self.blocks.idle += 1;
        self.after_idle()
    }

    /// One thing more that keeps a region.
    pub(crate) fn busy(&mut self, index: u32) {
        let slot = self.blocks.slot(index);
        slot.busy += 1;
        self.blocks.idle -= usize::from(slot.busy == 1);
    }

    #[inline]
    fn after_idle(&mut self) -> After {
        if self.handles == 0 && self.blocks.idle == self.blocks.regions {
            return After::Over;
        }
        if self.blocks.idle > self.spare { After::Trim } else { After::Nothing }
    }

    /// Joins slices that are kept as they are, all or until there is a free block of an order. They are at most as many as
    /// classes may keep.
    fn join_cached(&mut self, order: Option<u32>) {
        for class in (0..self.classes.len()).rev() {
            while self.classes[class].cached != NONE {
                let index = self.classes[class].cached;
                let next = self.blocks.record(index).next;
                self.classes[class].cached = next;
                self.classes[class].cached_count -= 1;
                self.blocks.release(index, granules_of(class));
                if order.is_some_and(|order| self.blocks.has(order)) {
                    return;
                }
            }
        }
    }

    /// Takes an idle region out if there are more than `keep`.
    pub(crate) fn take_idle(&mut self, keep: usize) -> Option<Slot> {
        if self.blocks.idle <= keep {
            return None;
        }
        let mut slot = self.blocks.remove_free();
        if slot.is_none() {
            // It is in pieces that are kept as they are.
            self.join_cached(None);
            slot = self.blocks.remove_free();
        }
        if let (Some(slot), Some(told)) = (&slot, &self.told) {
            told.remove(slot);
        }
        slot
    }

    /// What watches are told of.
    pub(crate) fn told(&mut self) -> Arc<Told> {
        let (slots, length) = (&self.blocks.slots, self.region);
        let told = self.told.get_or_insert_with(|| {
            let told = Told::default();
            for slot in slots.iter().filter(|slot| slot.serial != 0) {
                told.add(slot.serial, slot.start, length);
            }
            Arc::new(told)
        });
        Arc::clone(told)
    }

    /// How many idle regions stay.
    pub(crate) fn spare(&self) -> usize {
        self.spare
    }

    /// Lets all of the quarantine out.
    pub(crate) fn end_all_quarantine(&mut self) {
        while self.quarantined.head != NONE {
            self.end_quarantine();
        }
    }

    /// A region was added just now.
    pub(crate) fn note_region(&mut self, start: NonNull<u8>) {
        if let Some(told) = &self.told {
            told.add(self.blocks.serial(), Start(start), self.region);
        }
        self.regions_peak = self.regions_peak.max(self.blocks.regions);
    }

    pub(crate) fn id(&self, index: u32) -> Id {
        let generation = self.blocks.find(index).map_or(0, |record| record.generation);
        Id { pool: self.pool, index, generation }
    }

    /// The record of a slice in use.
    pub(crate) fn look_up(&self, id: Id) -> Result<&Record, Error> {
        self.blocks
            .find(id.index)
            .filter(|record| {
                id.pool == self.pool
                    && record.generation == id.generation
                    && matches!(record.place, Place::Used | Place::Kept)
                    && record.owners > 0
            })
            .ok_or(Error::Stale(id))
    }

    /// Becomes the owner of a slice. Not of one of several parts.
    pub(crate) fn keep(&mut self, index: u32, length: u32) -> bool {
        let record = self.blocks.record(index);
        if record.split {
            return false;
        }
        record.length = length;
        record.place = Place::Kept;
        self.kept.push(&mut self.blocks, index);
        true
    }

    /// Takes back `keep`.
    pub(crate) fn unkeep(&mut self, index: u32) {
        self.kept.remove(&mut self.blocks, index);
        self.blocks.record(index).place = Place::Used;
    }

    /// Lets the caller be the owner of a slice that `keep` took.
    pub(crate) fn take(&mut self, id: Id) -> Result<(Got, u32), Error> {
        let record = self.look_up(id)?;
        if record.place != Place::Kept {
            return Err(Error::Held(id));
        }
        let length = record.length;
        self.unkeep(id.index);
        Ok((Got { start: self.start_of(id.index), index: id.index }, length))
    }

    /// A `Pool` less. Without any, nobody can take what is kept, nor ask for more.
    pub(crate) fn end_handle(&mut self) -> After {
        self.handles -= 1;
        if self.handles > 0 {
            return After::Nothing;
        }
        self.spare = 0;
        let mut after = self.after_idle();
        while self.quarantined.head != NONE {
            let index = self.quarantined.head;
            self.quarantined.remove(&mut self.blocks, index);
            after = self.not_busy(index);
        }
        self.quarantined_bytes = 0;
        while self.kept.head != NONE {
            let index = self.kept.head;
            self.unkeep(index);
            after = self.give_back(index);
        }
        after
    }

    pub(crate) fn statistics(&self, region: usize) -> Statistics {
        Statistics {
            regions: self.blocks.regions,
            regions_peak: self.regions_peak,
            regions_idle: self.blocks.idle,
            bytes: self.blocks.regions * region,
            in_use: self.classes.iter().map(|class| class.in_use).sum(),
            in_use_bytes: self.bytes,
            in_use_bytes_peak: self.bytes_peak,
            deferred: self.deferred,
            served: self.generation,
            refused: self.refused,
            quarantined_bytes: self.quarantined_bytes,
            unprotected: self.unprotected,
            lost_bytes: self.lost,
            classes: self
                .classes
                .iter()
                .map(|class| ClassStatistics {
                    size: class.size,
                    in_use: class.in_use,
                    peak: class.peak,
                    limit: class.limit,
                    cached: class.cached_count,
                    refused: class.refused,
                })
                .collect(),
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // The regions that are left are unmapped behind this.
        if let Some(told) = &self.told {
            told.remove_all();
        }
    }
}

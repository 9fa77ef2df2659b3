//! Blocks: which granules of which region are free, in powers of two that join again when both halves are.
//!
//! Plain numbers, no memory of slices is touched here. Every granule has a record. Those at the begin of a block say what
//! the block is; the others say nothing. Lists are threaded through the records, so nothing is allocated but with a new
//! region, and everything takes as many steps as a region has orders, at most.

use std::ptr::NonNull;

use crate::class::{pieces, remainder};
use crate::mapping::Mapping;

/// No block.
pub(crate) const NONE: u32 = u32::MAX;

/// What begins at a granule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing: it is inside a block.
    #[default]
    Inside,
    /// A free block of `order`, in the list of that order.
    Free,
    /// A slice that was given back, kept as it is in the list of its class.
    Cached,
    /// A slice in use: owners, guards or both.
    Used,
    /// A slice in use whose owner is the pool, in the list of those.
    Kept,
    /// A slice that was given back and may not be touched, in the list of those.
    Quarantined,
    /// Memory that could not be made accessible again.
    Lost,
}

/// The record of a granule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    /// Which use this is, while it is in use; else of no meaning.
    pub(crate) generation: u64,
    /// Neighbours in the list it is in.
    pub(crate) next: u32,
    pub(crate) previous: u32,
    /// Bytes asked for.
    pub(crate) length: u32,
    /// Parts of the slice that somebody holds.
    pub(crate) owners: u32,
    /// Guards, of all parts. Stays at the largest number once it is there.
    pub(crate) guards: u32,
    pub(crate) class: u8,
    pub(crate) order: u8,
    pub(crate) place: Place,
    /// The slice was split: its parts have no ids of their own.
    pub(crate) split: bool,
}

const _: () = assert!(size_of::<Record>() == 32);

/// Where a region begins; an address that may go to other threads.
#[derive(Clone, Copy)]
pub(crate) struct Start(pub(crate) NonNull<u8>);

// SAFETY: an address; what is done with it is its users' business.
unsafe impl Send for Start {}

/// A region and the records of its granules.
pub(crate) struct Slot {
    pub(crate) start: Start,
    pub(crate) records: Box<[Record]>,
    /// Slices in use or in quarantine, and handles on the region: it stays while there are any.
    pub(crate) busy: u64,
    /// Which region this is; no two of a pool have the same number. 0 where there is none.
    pub(crate) serial: u64,
    pub(crate) mapping: Option<Mapping>,
}

/// All regions and their free blocks.
pub(crate) struct Blocks {
    pub(crate) slots: Vec<Slot>,
    /// Indices of `slots` without a region.
    vacant: Vec<u32>,
    /// The first free block of each order.
    free: [u32; 32],
    /// The orders that have one, as bits.
    orders: u32,
    shift: u32,
    mask: u32,
    /// Regions there are.
    pub(crate) regions: usize,
    /// Those of them with nothing busy.
    pub(crate) idle: usize,
    serial: u64,
}

impl Blocks {
    /// None yet. A region has `1 << order` granules, and there are at most `regions`.
    pub(crate) fn new(order: u32, regions: usize) -> Blocks {
        Blocks {
            slots: Vec::new(),
            vacant: Vec::with_capacity(regions.min(1024)),
            free: [NONE; 32],
            orders: 0,
            shift: order,
            mask: (1 << order) - 1,
            regions: 0,
            idle: 0,
            serial: 0,
        }
    }

    #[inline]
    pub(crate) fn slot_of(&self, index: u32) -> usize {
        (index >> self.shift) as usize
    }

    #[inline]
    pub(crate) fn granule_of(&self, index: u32) -> u32 {
        index & self.mask
    }

    #[inline]
    pub(crate) fn slot(&mut self, index: u32) -> &mut Slot {
        &mut self.slots[(index >> self.shift) as usize]
    }

    #[inline]
    pub(crate) fn record(&mut self, index: u32) -> &mut Record {
        &mut self.slots[(index >> self.shift) as usize].records[(index & self.mask) as usize]
    }

    /// The record, if there is such a place.
    pub(crate) fn find(&self, index: u32) -> Option<&Record> {
        self.slots.get(self.slot_of(index))?.records.get(self.granule_of(index) as usize)
    }

    /// The number of the newest region.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Takes a region in, all of it free.
    pub(crate) fn add(&mut self, mapping: Mapping, records: Box<[Record]>) {
        self.serial += 1;
        let slot = Slot {
            start: Start(mapping.start()),
            records,
            busy: 0,
            serial: self.serial,
            mapping: Some(mapping),
        };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() as u32 - 1
            }
        };
        self.regions += 1;
        self.idle += 1;
        self.push(at << self.shift, self.shift);
    }

    /// Takes an idle region out that is one free block, if there is one. It may have to go past regions that are free but
    /// that somebody has a handle on.
    pub(crate) fn remove_free(&mut self) -> Option<Slot> {
        let mut index = self.free[self.shift as usize];
        while index != NONE && self.slot(index).busy > 0 {
            index = self.record(index).next;
        }
        if index == NONE {
            return None;
        }
        self.unlink(index);
        self.regions -= 1;
        self.idle -= 1;
        self.vacant.push(index >> self.shift);
        let none = Slot {
            start: Start(NonNull::dangling()),
            records: Box::default(),
            busy: 0,
            serial: 0,
            mapping: None,
        };
        Some(std::mem::replace(self.slot(index), none))
    }

    /// Takes the first `granules` of a free block of `order` or more.
    pub(crate) fn carve(&mut self, granules: u32, order: u32) -> Option<u32> {
        let fitting = self.orders >> order;
        if fitting == 0 {
            return None;
        }
        let order = order + fitting.trailing_zeros();
        let index = self.free[order as usize];
        self.unlink(index);
        for (offset, order) in remainder(granules, order) {
            self.push(index + offset, order);
        }
        Some(index)
    }

    /// Whether there is a free block of `order` or more.
    pub(crate) fn has(&self, order: u32) -> bool {
        self.orders >> order != 0
    }

    /// Gives back what `carve` took.
    pub(crate) fn release(&mut self, index: u32, granules: u32) {
        self.record(index).place = Place::Inside;
        for (offset, order) in pieces(granules) {
            self.join(index + offset, order);
        }
    }

    fn join(&mut self, mut index: u32, mut order: u32) {
        while order < self.shift {
            // Blocks are aligned to their size, so the other half is found by one bit.
            let other = index ^ (1 << order);
            let record = self.record(other);
            if record.place != Place::Free || u32::from(record.order) != order {
                break;
            }
            self.unlink(other);
            index = index.min(other);
            order += 1;
        }
        self.push(index, order);
    }

    fn push(&mut self, index: u32, order: u32) {
        let next = self.free[order as usize];
        let record = self.record(index);
        record.place = Place::Free;
        record.order = order as u8;
        record.next = next;
        record.previous = NONE;
        if next != NONE {
            self.record(next).previous = index;
        }
        self.free[order as usize] = index;
        self.orders |= 1 << order;
    }

    fn unlink(&mut self, index: u32) {
        let Record { next, previous, order, .. } = *self.record(index);
        self.record(index).place = Place::Inside;
        if next != NONE {
            self.record(next).previous = previous;
        }
        if previous != NONE {
            self.record(previous).next = next;
        } else {
            self.free[order as usize] = next;
            if next == NONE {
                self.orders &= !(1 << order);
            }
        }
    }
}

/// A list with two ends, threaded through the records: what is oldest is at its head.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub(crate) head: u32,
    tail: u32,
}

impl List {
    pub(crate) const fn new() -> List {
        List { head: NONE, tail: NONE }
    }

    pub(crate) fn push(&mut self, blocks: &mut Blocks, index: u32) {
        let record = blocks.record(index);
        record.next = NONE;
        record.previous = self.tail;
        match self.tail {
            NONE => self.head = index,
            tail => blocks.record(tail).next = index,
        }
        self.tail = index;
    }

    pub(crate) fn remove(&mut self, blocks: &mut Blocks, index: u32) {
        let Record { next, previous, .. } = *blocks.record(index);
        match next {
            NONE => self.tail = previous,
            next => blocks.record(next).previous = previous,
        }
        match previous {
            NONE => self.head = next,
            previous => blocks.record(previous).next = next,
        }
    }
}

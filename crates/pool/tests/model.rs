//! Random steps on a pool and on a model of it: who owns what, which granules are taken, and so what must succeed.
//!
//! The model has a bit for each granule of each region in use. It knows exactly when a slice must be found (there is an
//! aligned run of free granules), when a region must be made, when one goes, and when a place may be used again.
//! `OUZEL_POOL_STEPS` is the number of steps of each shape (`ci/soak-pool` takes 10^7 in all), `OUZEL_SEED` the first seed.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, VecDeque};
use std::mem::forget;

use common::Numbers;
use ouzel_pool::{Builder, Error, Guard, Id, Location, Pool, Region, Slice};

const STALE_KEPT: usize = 32;

/// What the pool was made with.
#[derive(Clone, Copy, Debug)]
struct Shape {
    region: usize,
    regions: usize,
    spare: usize,
    smallest: usize,
    boundary: Option<usize>,
    /// A length whose class is limited, and to how many.
    limit: Option<(usize, usize)>,
    debug: bool,
    /// The longest slice usually asked for.
    usual: usize,
}

/// A slice in use.
struct Block {
    id: Id,
    region: u64,
    mask: u128,
    size: usize,
    length: usize,
    owners: usize,
    guards: usize,
    split: bool,
    tag: u8,
}

/// A part that somebody holds.
struct Part {
    slice: Slice,
    block: u64,
    tag: u8,
}

struct Model {
    shape: Shape,
    pools: Vec<Pool>,
    sizes: Vec<usize>,
    blocks: HashMap<u64, Block>,
    /// Granules in use of each region that has any, by its number.
    used: HashMap<u64, u128>,
    /// Region handles, which keep idle regions.
    regions: Vec<Region>,
    parts: Vec<Part>,
    guards: Vec<(Guard, u64)>,
    kept: Vec<(Id, u64)>,
    stale: VecDeque<Id>,
    in_use: HashMap<usize, usize>,
    deferred: usize,
    served: u64,
}

fn mask(first: usize, count: usize) -> u128 {
    let ones = if count == 128 { u128::MAX } else { (1 << count) - 1 };
    ones << first
}

impl Model {
    fn new(shape: Shape) -> Model {
        let mut builder = Builder::default()
            .region_size(shape.region)
            .regions(shape.regions)
            .spare_regions(shape.spare)
            .smallest(shape.smallest)
            .debug(shape.debug)
            .quarantine(shape.region);
        if let Some(boundary) = shape.boundary {
            builder = builder.boundary(boundary);
        }
        if let Some((length, most)) = shape.limit {
            builder = builder.class_limit(length, most);
        }
        let pool = builder.build().unwrap();
        let sizes = pool.statistics().classes.iter().map(|class| class.size).collect();
        Model {
            shape,
            pools: vec![pool],
            sizes,
            blocks: HashMap::new(),
            used: HashMap::new(),
            regions: Vec::new(),
            parts: Vec::new(),
            guards: Vec::new(),
            kept: Vec::new(),
            stale: VecDeque::new(),
            in_use: HashMap::new(),
            deferred: 0,
            served: 0,
        }
    }

    fn pool(&self) -> &Pool {
        &self.pools[0]
    }

    fn granules(&self) -> usize {
        self.shape.region / self.pool().smallest()
    }

    /// Whether a region in use has `count` free granules in a row from a multiple of `step` on.
    fn has_run(&self, count: usize, step: usize) -> bool {
        self.used
            .values()
            .any(|used| (0..self.granules()).step_by(step).any(|first| used & mask(first, count) == 0))
    }

    fn get(&mut self, numbers: &mut Numbers) {
        let length = match numbers.below(16) {
            0 => numbers.below(self.shape.region + 2),
            1 => 1 << numbers.below(self.shape.region.trailing_zeros() as usize + 1),
            _ => 1 + numbers.below(self.shape.usual),
        };
        let alignment = if numbers.below(8) == 0 {
            1 << numbers.below(self.shape.region.trailing_zeros() as usize + 1)
        } else {
            1
        };
        let before = self.pool().statistics();
        let got =
            if alignment == 1 { self.pool().get(length) } else { self.pool().get_aligned(length, alignment) };
        let longest = self.shape.boundary.unwrap_or(usize::MAX).min(self.shape.region);
        if length == 0 || length > longest {
            let expected = match self.shape.boundary {
                _ if length == 0 => Error::Empty,
                Some(boundary) if length <= self.shape.region => Error::CrossesBoundary { length, boundary },
                _ => Error::TooLarge { bytes: length, region: self.shape.region },
            };
            assert_eq!(got.unwrap_err(), expected);
            return;
        }
        let size = *self.sizes.iter().find(|size| **size >= length).unwrap();
        let of_class = self.in_use.get(&size).copied().unwrap_or(0);
        if let Some((limited, most)) = self.shape.limit
            && self.sizes.iter().find(|size| **size >= limited) == Some(&size)
            && of_class == most
        {
            assert_eq!(got.unwrap_err(), Error::ClassFull { class: size, limit: most });
            return;
        }
        let smallest = self.pool().smallest();
        let step = (size / smallest).next_power_of_two().max(alignment / smallest);
        let idle = before.regions > self.used.len();
        // A whole block is always found. What is shorter is found only if it was given back as it is needed now.
        let must = idle || self.has_run(step, step);
        let can = idle || self.has_run(size / smallest, step);
        let full = before.regions == self.shape.regions;
        let mut slice = match got {
            Ok(slice) => slice,
            Err(error) => {
                assert!(full && !must, "refused though there was room");
                assert_eq!(error, Error::Exhausted { length, regions: self.shape.regions });
                return;
            }
        };
        let grown = self.pool().statistics().regions > before.regions;
        assert!(!(grown && must), "a region was made though there was room");
        assert!(grown || can, "found where nothing was free");
        let Location { region, offset, length: located } = slice.location();
        assert_eq!((slice.len(), located), (length, length));
        assert_eq!(offset % smallest, 0);
        let address = slice.as_ptr().addr();
        assert_eq!(address % self.shape.region, offset, "the region begins at a multiple of its size");
        assert!(address.is_multiple_of(alignment.max(length.next_power_of_two().min(longest))));
        assert!(offset + size <= self.shape.region, "it spans two regions");
        if let Some(boundary) = self.shape.boundary {
            assert_eq!(address / boundary, (address + length - 1) / boundary, "it crosses the boundary");
        }
        let mask = mask(offset / smallest, size / smallest);
        let used = self.used.entry(region).or_default();
        assert_eq!(*used & mask, 0, "it overlaps another");
        *used |= mask;
        let tag = numbers.next() as u8;
        write(&mut slice, tag);
        let id = slice.id();
        let block = Block { id, region, mask, size, length, owners: 1, guards: 0, split: false, tag };
        assert!(self.blocks.insert(id.generation(), block).is_none(), "an id was used before");
        *self.in_use.entry(size).or_default() += 1;
        self.served += 1;
        self.parts.push(Part { slice, block: id.generation(), tag });
    }

    /// In debug mode the sanitizer reports who touches what is guarded.
    fn may_touch(&self, block: u64) -> bool {
        !self.shape.debug || self.blocks[&block].guards == 0
    }

    fn is_idle(&self, region: &Region) -> bool {
        !self.used.contains_key(&region.number())
    }

    /// Takes account of an owner or a guard that went.
    fn settle(&mut self, number: u64) {
        let block = &self.blocks[&number];
        if block.owners + block.guards > 0 {
            return;
        }
        let block = self.blocks.remove(&number).unwrap();
        let used = self.used.get_mut(&block.region).unwrap();
        *used &= !block.mask;
        if *used == 0 {
            self.used.remove(&block.region);
        }
        *self.in_use.get_mut(&block.size).unwrap() -= 1;
        self.stale.push_back(block.id);
        if self.stale.len() > STALE_KEPT {
            self.stale.pop_front();
        }
        assert_eq!(self.pool().take(block.id).unwrap_err(), Error::Stale(block.id));
    }

    fn lose_owner(&mut self, number: u64) {
        let block = self.blocks.get_mut(&number).unwrap();
        block.owners -= 1;
        if block.owners == 0 && block.guards > 0 {
            self.deferred += 1;
            let id = block.id;
            assert_eq!(self.pool().guard(id).unwrap_err(), Error::Stale(id), "it was given back");
        }
        self.settle(number);
    }

    fn give_back(&mut self, numbers: &mut Numbers) {
        if self.parts.is_empty() {
            return;
        }
        let at = numbers.below(self.parts.len());
        let part = self.parts.swap_remove(at);
        if self.may_touch(part.block) {
            check(&part.slice, part.tag);
        }
        drop(part.slice);
        self.lose_owner(part.block);
    }

    fn guard(&mut self, numbers: &mut Numbers) {
        if self.parts.is_empty() || self.guards.len() > 50 {
            return;
        }
        let part = &self.parts[numbers.below(self.parts.len())];
        let guard = match numbers.below(3) {
            0 => self.pools[0].guard(part.slice.id()).unwrap(),
            _ => part.slice.guard(),
        };
        let block = self.blocks.get_mut(&part.block).unwrap();
        block.guards += 1;
        if numbers.below(4) == 0 {
            block.guards += 1;
            self.guards.push((guard.clone(), part.block));
        }
        self.guards.push((guard, part.block));
    }

    fn end_guard(&mut self, numbers: &mut Numbers) {
        if self.guards.is_empty() {
            return;
        }
        let at = numbers.below(self.guards.len());
        let (guard, number) = self.guards.swap_remove(at);
        drop(guard);
        let block = self.blocks.get_mut(&number).unwrap();
        block.guards -= 1;
        if block.guards == 0 && block.owners == 0 {
            self.deferred -= 1;
        }
        self.settle(number);
    }

    fn split(&mut self, numbers: &mut Numbers) {
        if self.parts.is_empty() {
            return;
        }
        let at = numbers.below(self.parts.len());
        if !self.may_touch(self.parts[at].block) {
            return;
        }
        let Part { slice, block, tag } = self.parts.swap_remove(at);
        let length = slice.len();
        let middle = numbers.below(length + 2);
        match slice.split_at(middle) {
            Ok((mut head, mut tail)) => {
                assert!(middle <= length);
                assert_eq!((head.len(), tail.len()), (middle, length - middle));
                assert_eq!(head.as_ptr().addr() + middle, tail.as_ptr().addr());
                write(&mut head, tag);
                write(&mut tail, tag.wrapping_add(1));
                let of = self.blocks.get_mut(&block).unwrap();
                of.owners += 1;
                of.split = true;
                self.parts.push(Part { slice: head, block, tag });
                self.parts.push(Part { slice: tail, block, tag: tag.wrapping_add(1) });
            }
            Err(slice) => {
                assert_eq!(middle, length + 1);
                self.parts.push(Part { slice, block, tag });
            }
        }
    }

    fn keep(&mut self, numbers: &mut Numbers) {
        if self.parts.is_empty() || self.kept.len() > 20 {
            return;
        }
        let at = numbers.below(self.parts.len());
        if !self.may_touch(self.parts[at].block) {
            return;
        }
        let Part { mut slice, block, tag } = self.parts.swap_remove(at);
        let of = self.blocks.get_mut(&block).unwrap();
        if !of.split && numbers.below(4) == 0 {
            slice.truncate(numbers.below(slice.len() + 1));
            write(&mut slice, tag);
        }
        let length = slice.len();
        match slice.into_id() {
            Ok(id) => {
                assert!(!of.split);
                assert_eq!(id, of.id);
                of.tag = tag;
                of.length = length;
                self.kept.push((id, block));
            }
            Err(slice) => {
                assert!(of.split);
                self.parts.push(Part { slice, block, tag });
            }
        }
    }

    fn take(&mut self, numbers: &mut Numbers) {
        if let Some(part) = self.parts.last() {
            let id = part.slice.id();
            assert_eq!(self.pool().take(id).unwrap_err(), Error::Held(id));
        }
        if self.kept.is_empty() {
            return;
        }
        let at = numbers.below(self.kept.len());
        let (id, number) = self.kept.swap_remove(at);
        let slice = self.pool().take(id).unwrap();
        let block = &self.blocks[&number];
        assert_eq!(slice.len(), block.length);
        if self.may_touch(number) {
            check(&slice, block.tag);
        }
        self.parts.push(Part { slice, block: number, tag: block.tag });
    }

    fn stale(&mut self, numbers: &mut Numbers) {
        if self.stale.is_empty() {
            return;
        }
        let id = self.stale[numbers.below(self.stale.len())];
        assert_eq!(self.pool().take(id).unwrap_err(), Error::Stale(id));
        assert_eq!(self.pool().guard(id).unwrap_err(), Error::Stale(id));
    }

    fn shrink(&mut self, numbers: &mut Numbers) {
        let keep = numbers.below(3);
        let before = self.pool().statistics();
        let count = self.pool().shrink(keep);
        if !self.shape.debug {
            assert_eq!(count, before.regions_idle.saturating_sub(keep));
        }
        let after = self.pool().statistics();
        assert_eq!(after.regions, before.regions - count);
        assert!(after.regions_idle <= keep);
    }

    fn handles(&mut self, numbers: &mut Numbers) {
        match numbers.below(4) {
            0 if self.pools.len() < 4 => self.pools.push(self.pools[0].clone()),
            1 if self.pools.len() > 1 => drop(self.pools.swap_remove(0)),
            2 => {
                self.regions = self.pool().regions();
                assert_eq!(self.regions.len(), self.pool().statistics().regions);
                for part in &self.parts {
                    let at = part.slice.location();
                    let region = self.regions.iter().find(|region| region.number() == at.region).unwrap();
                    assert_eq!(region.start().addr() + at.offset, part.slice.as_ptr().addr());
                }
            }
            _ => self.regions.clear(),
        }
    }

    fn compare(&self) {
        let now = self.pool().statistics();
        assert_eq!(now.in_use, self.blocks.len());
        assert_eq!(now.in_use_bytes, self.blocks.values().map(|block| block.size).sum::<usize>());
        assert_eq!(now.deferred, self.deferred);
        assert_eq!(now.served, self.served);
        for class in &now.classes {
            assert_eq!(class.in_use, self.in_use.get(&class.size).copied().unwrap_or(0));
            assert!(class.in_use <= class.peak && class.peak <= class.limit);
        }
        assert!(now.regions <= self.shape.regions && now.regions_peak <= self.shape.regions);
        assert_eq!(now.bytes, now.regions * self.shape.region);
        if !self.shape.debug {
            let pinned = self.regions.iter().filter(|region| self.is_idle(region)).count();
            assert_eq!(now.regions - now.regions_idle, self.used.len() + pinned);
        }
        assert!(now.quarantined_bytes <= self.shape.region);
        assert_eq!((now.unprotected, now.lost_bytes), (0, 0));
    }

    fn step(&mut self, numbers: &mut Numbers) {
        match numbers.below(100) {
            0..32 => self.get(numbers),
            32..68 => self.give_back(numbers),
            68..77 => self.guard(numbers),
            77..88 => self.end_guard(numbers),
            88..91 => self.split(numbers),
            91..94 => self.keep(numbers),
            94..97 => self.take(numbers),
            97 => self.stale(numbers),
            98 => self.shrink(numbers),
            _ => self.handles(numbers),
        }
    }
}

/// Marks a slice so that a write through another one shows.
fn write(slice: &mut Slice, tag: u8) {
    let end = slice.len().wrapping_sub(1);
    slice.iter_mut().step_by(509).for_each(|byte| *byte = tag);
    if let Some(last) = slice.get_mut(end) {
        *last = tag;
    }
}

fn check(slice: &Slice, tag: u8) {
    assert!(slice.iter().step_by(509).chain(slice.last()).all(|byte| *byte == tag), "somebody wrote to it");
}

fn run(shape: Shape, steps: u64) {
    let first = std::env::var("OUZEL_SEED").map_or(1, |seed| seed.parse().unwrap());
    // Several lives: pools are also made, filled and dropped.
    let lives = 10;
    for seed in first..first + lives {
        println!("seed {seed}, {shape:?}");
        let mut numbers = Numbers::new(seed);
        let mut model = Model::new(shape);
        for step in 0..steps / lives {
            model.step(&mut numbers);
            if step % 64 == 0 {
                model.compare();
            }
        }
        // What is still out goes after the last handle; what is forgotten stays and harms nobody.
        let Model { pools, parts, guards, kept, regions, .. } = model;
        drop(pools);
        drop((regions, kept));
        for (count, part) in parts.into_iter().enumerate() {
            if !shape.debug {
                check(&part.slice, part.tag);
            }
            if count == 0 && seed == first {
                forget(part.slice.guard());
            }
        }
        drop(guards);
    }
}

fn steps() -> u64 {
    std::env::var("OUZEL_POOL_STEPS").map_or(100_000, |steps| steps.parse().unwrap())
}

const PLAIN: Shape = Shape {
    region: 65536,
    regions: 6,
    spare: 1,
    smallest: 512,
    boundary: None,
    limit: None,
    debug: false,
    usual: 9000,
};

#[test]
fn small_slices_of_a_pool_that_is_often_full() {
    run(PLAIN, steps());
}

#[test]
fn slices_within_a_boundary_and_a_limited_class() {
    run(Shape { boundary: Some(16384), limit: Some((4096, 5)), spare: 0, usual: 16384, ..PLAIN }, steps());
}

#[test]
fn the_smallest_granules_and_one_region() {
    run(Shape { region: 8192, smallest: 64, regions: 1, usual: 300, ..PLAIN }, steps());
}

#[test]
fn large_slices_that_must_join() {
    run(Shape { smallest: 4096, region: 1 << 19, regions: 3, spare: 2, usual: 1 << 18, ..PLAIN }, steps());
}

#[test]
fn debug_mode_hands_out_the_same() {
    // Each step costs system calls.
    run(Shape { debug: true, smallest: 4096, region: 1 << 18, usual: 30_000, ..PLAIN }, steps() / 20);
}

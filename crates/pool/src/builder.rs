//! How a pool is made: what memory it takes, in which sizes, and up to which limits.

use crate::class::{class_of, granules_of, order_of};
use crate::error::Error;
use crate::mapping::HUGE_PAGE;
use crate::pool::Pool;

/// What regions are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Memory {
    /// Anonymous memory of this process.
    #[default]
    Heap,
    /// Huge pages of 2 MiB where the system has some in reserve; else ordinary memory that the kernel is asked to join to
    /// huge pages. [`Region::pages`](crate::Region::pages) says which it is.
    HugePages,
    /// Memory behind a descriptor (memfd, sealed against shrinking), so that another process can map it too.
    Shared,
}

/// The smallest region that can be asked for, in bytes.
pub const MIN_REGION: usize = 1 << 12;
/// The largest region that can be asked for, in bytes.
pub const MAX_REGION: usize = 1 << 30;
/// The most regions a pool can have.
pub const MAX_REGIONS: usize = 1 << 16;
/// The smallest slices that can be asked for, in bytes: below, what a pool keeps for each would be larger.
pub const MIN_SMALLEST: usize = 64;

/// How many given-back slices of one class are kept as they are, at most.
const CACHED: usize = 256;

/// The settings of a [`Pool`], with defaults for all of them.
#[derive(Clone, Debug)]
pub struct Builder {
    memory: Memory,
    region: usize,
    regions: usize,
    spare: usize,
    smallest: usize,
    boundary: Option<usize>,
    limits: Vec<(usize, usize)>,
    debug: bool,
    quarantine: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            memory: Memory::Heap,
            region: 2 << 20,
            regions: 512,
            spare: 1,
            smallest: 512,
            boundary: None,
            limits: Vec::new(),
            debug: false,
            quarantine: 16 << 20,
        }
    }
}

impl Builder {
    /// What regions are made of; [`Memory::Heap`] if not said.
    pub fn memory(mut self, memory: Memory) -> Builder {
        self.memory = memory;
        self
    }

    /// The size of each region in bytes: a power of two from [`MIN_REGION`] and one page to [`MAX_REGION`]; 2 MiB if not said. No
    /// slice is larger, and none is aligned to more.
    pub fn region_size(mut self, bytes: usize) -> Builder {
        self.region = bytes;
        self
    }

    /// The most regions there may be at once, from 1 to [`MAX_REGIONS`]; 512 if not said.
    pub fn regions(mut self, most: usize) -> Builder {
        self.regions = most;
        self
    }

    /// How many regions stay although nothing of them is in use; 1 if not said. Any more are given back to the system
    /// as soon as they are free.
    pub fn spare_regions(mut self, count: usize) -> Builder {
        self.spare = count;
        self
    }

    /// The size of the smallest slices in bytes: a power of two from [`MIN_SMALLEST`] to the size of a region; 512 if not said. A pool
    /// keeps 32 bytes for each that could be, so 1/16 of its memory.
    pub fn smallest(mut self, bytes: usize) -> Builder {
        self.smallest = bytes;
        self
    }

    /// Lets no slice cross a multiple of `bytes`, in addresses and in offsets: for devices that cannot do it. A power of two,
    /// not less than the smallest slices. Slices longer than that are refused.
    pub fn boundary(mut self, bytes: usize) -> Builder {
        self.boundary = Some(bytes);
        self
    }

    /// Lets at most `most` slices of the class that serves `length` bytes be in use at once.
    pub fn class_limit(mut self, length: usize, most: usize) -> Builder {
        self.limits.push((length, most));
        self
    }

    /// Finds out who uses memory that was given back, or that is still being written to; costs system calls.
    ///
    /// Every slice takes whole pages. What is given back is made inaccessible, for the kernel too, and comes back late:
    /// once more than [`quarantine`](Builder::quarantine) bytes were given back after it, or when nothing else is left. A late
    /// write by the program is a fault, and one by the kernel a completion with EFAULT. Slices come filled with 0xfe. In a
    /// program built with the address sanitizer, what a guard is for is poisoned as long as there is one.
    pub fn debug(mut self, on: bool) -> Builder {
        self.debug = on;
        self
    }

    /// How many bytes stay inaccessible after they were given back, in debug mode; 16 MiB if not said.
    pub fn quarantine(mut self, bytes: usize) -> Builder {
        self.quarantine = bytes;
        self
    }

    /// Makes the pool. Memory is taken when the first slice is asked for.
    pub fn build(self) -> Result<Pool, Error> {
        let page = rustix::param::page_size();
        let setting = |name, value, rule| Err(Error::Setting { name, value, rule });
        if !self.region.is_power_of_two() || !(MIN_REGION.max(page)..=MAX_REGION).contains(&self.region) {
            return setting(
                "region_size",
                self.region,
                "it must be a power of two, from 4096 and one page to 1 GiB",
            );
        }
        if !(1..=MAX_REGIONS).contains(&self.regions) {
            return setting("regions", self.regions, "it must be from 1 to 65536");
        }
        if !self.smallest.is_power_of_two() || !(MIN_SMALLEST..=self.region).contains(&self.smallest) {
            return setting(
                "smallest",
                self.smallest,
                "it must be a power of two, from 64 to the size of a region",
            );
        }
        let granule = if self.debug { self.smallest.max(page) } else { self.smallest };
        if let Some(boundary) = self.boundary
            && (!boundary.is_power_of_two() || boundary < granule)
        {
            return setting(
                "boundary",
                boundary,
                "it must be a power of two, and not less than the smallest slices (a page, in debug mode)",
            );
        }
        let granules = self.region / granule;
        // Places are numbered with 32 bits, and the last number means none.
        if granules * self.regions >= u32::MAX as usize {
            return setting(
                "regions",
                self.regions,
                "the smallest slices of all regions together must be fewer than 2^32 - 1: make those larger, or have fewer regions",
            );
        }
        let granule_shift = granule.trailing_zeros();
        let count = class_of(granules as u32 - 1) + 1;
        let mut classes: Vec<Class> = (0..count)
            .map(|class| {
                let size = (granules_of(class) as usize) << granule_shift;
                Class { size, limit: usize::MAX, cached: CACHED.min(self.region / size) }
            })
            .collect();
        for (length, most) in self.limits {
            if length == 0 || length > self.region {
                return setting("class_limit", length, "no class serves this length");
            }
            classes[class_of(((length - 1) >> granule_shift) as u32)].limit = most;
        }
        Pool::new(Plan {
            memory: if self.debug && self.memory == Memory::HugePages { Memory::Heap } else { self.memory },
            region: self.region,
            regions: self.regions,
            spare: self.spare,
            boundary: self.boundary,
            granule_shift,
            order: order_of(granules as u32),
            last: self.boundary.unwrap_or(usize::MAX).min(self.region) - 1,
            classes,
            debug: self.debug,
            quarantine: self.quarantine,
        })
    }
}

/// One class, as it was asked for.
#[derive(Clone, Copy)]
pub(crate) struct Class {
    /// Bytes of a slice.
    pub(crate) size: usize,
    /// The most in use.
    pub(crate) limit: usize,
    /// The most kept as they are after they were given back.
    pub(crate) cached: usize,
}

/// Checked settings. They do not change while the pool lives.
pub(crate) struct Plan {
    pub(crate) memory: Memory,
    pub(crate) region: usize,
    pub(crate) regions: usize,
    pub(crate) spare: usize,
    pub(crate) boundary: Option<usize>,
    pub(crate) granule_shift: u32,
    /// A region has `1 << order` granules.
    pub(crate) order: u32,
    /// The longest slice, less one.
    pub(crate) last: usize,
    pub(crate) classes: Vec<Class>,
    pub(crate) debug: bool,
    pub(crate) quarantine: usize,
}

const _: () = assert!(HUGE_PAGE.is_power_of_two());

//! Buffer memory for operations: slices of larger regions, kept by guards until nobody may write to them.
//!
//! A [`Pool`] takes memory from the system in regions (heap, huge pages, or shared memory behind a descriptor) and hands
//! it out as [`Slice`]s of any length and alignment. A slice is owned bytes, always initialised, and goes back when it is dropped.
//! A [`Guard`] keeps its bytes from being handed out again while an operation may still write to them. An [`Id`] names a
//! slice where the slice itself cannot go, and is refused once it is stale.
//!
//! ```
//! let pool = ouzel_pool::Pool::builder().boundary(64 << 10).class_limit(4096, 100).build()?;
//! let mut slice = pool.get_aligned(5000, 4096)?;
//! slice[0] = 1;
//! let (head, tail) = slice.split_at(512).expect("it has so many bytes");
//! assert_eq!((head.len(), tail.len()), (512, 4488));
//! # Ok::<(), ouzel_pool::Error>(())
//! ```
//!
//! # What it costs
//!
//! Getting a slice and giving it back are one atomic exchange and some dozens of instructions each, and never allocate, as
//! long as a slice of the class has been given back before: it is kept as it is, up to 256 of a class. Otherwise a block is
//! split, or joined with its other half, at most once for each doubling between the smallest slice and a region. Only a new
//! region calls the system. Sizes are rounded up by less than a fifth (small ones to the next
//! multiple of the smallest slice), and no slice crosses a multiple of its size rounded up to a power of two.
//!
//! # Threads
//!
//! There is one kind of pool, for one thread and for many: everything is `Send` and `Sync`, and behind one lock. Slices
//! travel (a chain that owns one is sent to the thread of another ring; a helper thread drops what it completed), so
//! free lists for each thread would need a way back for what is dropped elsewhere, and would keep memory where nobody
//! asks for it. The lock is one exchange and one store when nobody else wants it, about as much as such a way back.
//! Threads that do not share slices do best with a pool each.
//!
//! # What it does not do
//!
//! Memory that was given back is not cleared; [`Pool::get_zeroed`] does it when it is handed out. A child made by `fork` has
//! copies of slices, but of [`Memory::Shared`] the very bytes its parent has: such a pool refuses it new ones. Linux only.

#![cfg(target_os = "linux")]

mod blocks;
mod builder;
mod class;
mod error;
mod guard;
mod id;
mod lock;
mod mapping;
mod poison;
mod pool;
mod region;
mod slice;
mod state;
mod statistics;
mod sync;
mod watch;

pub use builder::{Builder, MAX_REGION, MAX_REGIONS, MIN_REGION, MIN_SMALLEST, Memory};
pub use error::Error;
pub use guard::Guard;
pub use id::Id;
pub use mapping::Pages;
pub use pool::Pool;
pub use region::{Location, Region};
pub use slice::Slice;
pub use statistics::{ClassStatistics, Statistics};
pub use watch::{Watch, WatchedRegion};

/// Whether this program was built with the address sanitizer, so that debug mode can poison what is in flight.
pub fn poisons() -> bool {
    poison::is_there()
}

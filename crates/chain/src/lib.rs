//! Chains of operations that pass results to each other: built, laid out and read, without the ring that runs them.
//!
//! A [`Chain`] is built from operations whose results later operations take. Who runs chains lays one out into entries,
//! pushes these, delivers the completions that come, and has a [`Done`]: what for is in [`ring`]. Nothing here talks to a
//! ring, an engine or a system, so that a kernel's programs build the same chains as those of the crate `ouzel`, which runs
//! them on Linux and has all of this under its own name.
//!
//! ```
//! use ouzel_chain::ring::{self, Layout};
//! use ouzel_chain::{Buffer, Chain, Offset, OpenOptions};
//! use ouzel_ring::Verb;
//!
//! let mut chain = Chain::new();
//! let file = chain.open("/etc/hostname", OpenOptions::read());
//! chain.read(file, Buffer::with_capacity(64), Offset::START);
//! chain.finally().close(file);
//!
//! let layout = Layout::new(ring::body(&chain))?;
//! let entries: Vec<_> = layout.entries(ring::body(&chain), |step| u64::from(step)).collect();
//! assert_eq!(entries[1].op, Verb::Read as u32);
//! # Ok::<(), ouzel_chain::BuildError>(())
//! ```
//!
//! # Features
//!
//! - `std` (there by default): paths, names and times are those of the standard library, and timelines are written to its
//!   writers. Without it a path is bytes, which is what a `&str` turns into either way, and the crate needs only `alloc`;
//!   see [`os`].
//! - `pool`: buffers may be of a pool of the crate `ouzel-pool`. It needs `std`.

#![no_std]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod address;
mod buffer;
mod chain;
mod directory;
mod done;
mod error;
mod exit;
mod futex;
mod group;
mod left;
#[cfg(not(feature = "pool"))]
mod no_pool;
pub mod os;
mod program;
pub mod ring;
mod stat;
mod statfs;
pub mod timeline;

pub use address::SocketAddress;
pub use buffer::Buffer;
pub use chain::{
    Address, Bytes, Chain, Compute, Condition, Count, Data, Directory, Distance, Exit, Fd, File, MAX_STEPS,
    Message, Offset, OpenOptions, Part, Planned, Received, ReceivedMessage, Reg, Room, SetTime, Stat, Statfs,
    Target, Times, Unit, Variable, Verification, When, WhenLast, Width,
};
pub use directory::{DirectoryEntry, Entries};
pub use done::{Done, Kind};
pub use error::{BuildError, Error, OperationError};
pub use exit::ExitStatus;
pub use futex::FutexWord;
pub use group::{BufferGroup, Picked};
pub use program::{
    Call, Called, Input, PathInput, Program, ProgramBuilder, ProgramId, ProgramPath, StepDetail, Stored,
};
pub use stat::FileStat;
pub use statfs::FileSystemStat;

//! A programmable I/O ring: chains of operations that pass results to each other.
//!
//! A [`Chain`] is built from operations whose results later operations take: the file that was opened, the number of
//! bytes that were read. A [`Ring`] runs it to completion beside the data: on Linux io_uring in one system call where
//! that is possible, on threads where io_uring is refused, or in a deterministic simulator.
//!
//! ```
//! use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
//!
//! let mut ring = Ring::new()?;                                  // io_uring, or threads where that is refused
//! let mut chain = Chain::new();
//! let file = chain.open("Cargo.toml", OpenOptions::read());     // known to the chain, not yet to us
//! let length = chain.read(file, Buffer::with_capacity(65536), Offset::START);
//! chain.finally().close(file);
//! let mut done = ring.run(chain)?;                              // one crossing
//! println!("{} bytes", done.get(length)?);
//! let text = done.take(length);                                 // and the buffer is ours again
//! # assert!(text.is_some());
//! # Ok::<(), ouzel::Error>(())
//! ```
//!
//! # Programs
//!
//! Chains compute ([`Chain::add`]…), decide ([`Chain::when`]) and loop ([`Chain::repeat`]), beside the data. This one copies
//! a file of any length:
//!
//! ```
//! use ouzel::{Buffer, Chain, Compute, Offset, OpenOptions, Ring};
//!
//! # let folder = std::env::temp_dir().join(format!("ouzel-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let copy = folder.join("copy");
//! let mut chain = Chain::new();
//! let from = chain.open("Cargo.toml", OpenOptions::read());
//! let to = chain.open(&copy, OpenOptions::write().create().truncate());
//! let room = chain.room(Buffer::with_capacity(100));
//! let at = chain.variable(0u64);                                // what one turn hands to the next
//! chain.repeat(1000, |turn| {
//!     let n = turn.read(from, room, Offset::at(at));
//!     turn.when(n).is_zero().break_loop();
//!     let written = turn.write(to, room.first(n), Offset::at(at));
//!     turn.assign(at, Compute::add(at, written));
//! });
//! chain.finally().close(from);
//! chain.finally().close(to);
//! Ring::new()?.run(chain)?.check()?;
//! # assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read("Cargo.toml").unwrap());
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), ouzel::Error>(())
//! ```
//!
//! With parameters in the place of values that is a [`Program`]: verified when it is built, stored once, and then run by one
//! entry for each call.
//!
//! What each operation does, takes and may fail with is in `docs/abi.md`, verb by verb.

pub mod backend;
mod bell;
mod builder;
mod calls;
mod chain;
pub mod compounds;
mod error;
mod explain;
mod fork;
mod group;
mod memory;
mod metadata;
#[cfg(feature = "mio")]
mod mio;
pub mod observe;
mod raw;
mod registered;
mod remote;
mod ring;
mod select;
mod sync;
pub mod task;

pub use backend::uring::{Costs, Policy};
pub use bell::Bell;
pub use builder::RingBuilder;
pub use chain::{
    Address, Bytes, Call, Called, Chain, Compute, Condition, Count, Data, Directory, DirectoryEntry,
    Distance, Done, Entries, Exit, ExitStatus, Fd, File, FileStat, FileSystemStat, FutexWord, Input, Kind,
    MAX_STEPS, Message, Offset, OpenOptions, Part, PathInput, Planned, Program, ProgramBuilder, ProgramId,
    ProgramPath, Received, ReceivedMessage, Reg, Room, SetTime, SocketAddress, Stat, Statfs, StepDetail,
    Stored, Target, Times, Unit, Variable, Verification, When, WhenLast, Width,
};
pub use error::{BuildError, Error, OperationError};
pub use explain::{Explanation, StepExplanation};
pub use group::MAX_GROUP_BUFFERS;
pub use ouzel_chain::timeline::place_name;
pub use ouzel_chain::{Buffer, BufferGroup, Picked};
pub use ouzel_engine as engine;
pub use ouzel_pool as pool;
pub use ouzel_ring as abi;
pub use ouzel_scheme as scheme;
pub use raw::{Movable, Pinned, RawRing, TEARDOWN_BOUND, Teardown, leaked_operations};
pub use registered::RegisteredMemory;
pub use remote::published;
pub use ring::{Reconnected, Rejected, Ring, Ticket};
pub use select::{BackendKind, Choice};

/// What the package's page shows is compiled and run, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

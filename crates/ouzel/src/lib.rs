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
//! What each operation does, takes and may fail with is in `docs/abi.md`, verb by verb.

mod address;
pub mod backend;
mod bell;
mod buffer;
mod builder;
mod calls;
mod chain;
mod directory;
mod done;
mod error;
mod exit;
mod explain;
mod fork;
mod futex;
mod memory;
mod raw;
mod ring;
mod select;
mod stat;

pub use address::SocketAddress;
pub use bell::Bell;
pub use buffer::Buffer;
pub use builder::RingBuilder;
pub use chain::{
    Address, Chain, Count, Data, Directory, Distance, Exit, Fd, File, MAX_STEPS, Message, Offset,
    OpenOptions, Received, ReceivedMessage, Reg, Stat, Target, Unit,
};
pub use directory::{DirectoryEntry, Entries};
pub use done::{Done, Kind};
pub use error::{BuildError, Error, OperationError};
pub use exit::ExitStatus;
pub use explain::{Explanation, StepExplanation, place_name};
pub use futex::FutexWord;
pub use ouzel_engine as engine;
pub use ouzel_ring as abi;
pub use raw::{Movable, Pinned, RawRing, TEARDOWN_BOUND, Teardown, leaked_operations};
pub use ring::{Rejected, Ring, Ticket};
pub use select::{BackendKind, Choice};
pub use stat::FileStat;

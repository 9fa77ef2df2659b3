//! What programs of the demonstration kernel are written with.
//!
//! - [`calls`]: the three system calls, and [`Ring`], a ring over them as it is: entries and completions, and whoever pushes an entry
//!   answers for its addresses.
//! - [`ChainRing`]: a ring that runs chains, built as on Linux by `ouzel-chain`. Safe, for it owns their memory meanwhile. The
//!   synchronous calls (`open`, `read`, …) are its methods, each a chain of one.
//! - [`Scheme`]: what a driver is made of, which serves names to other processes.
//! - a heap, [`print`], [`program!`](crate::program) and [`Arguments`].
#![no_std]

extern crate alloc;

pub mod calls;
mod chains;
mod error;
mod heap;
#[path = "../../kernel/src/memory_functions.rs"]
mod memory_functions;
mod ring;
mod scheme;
mod start;
mod synchronous;
mod trace;

pub use chains::{ChainRing, Done, Ticket};
pub use error::Error;
pub use ring::{Ring, print};
pub use scheme::Scheme;
pub use start::{Arguments, begin};
pub use synchronous::Listed;
pub use trace::Trace;

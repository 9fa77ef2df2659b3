//! The engine of Ouzel: it executes the entries of a ring over any backend.
#![cfg_attr(not(any(test, loom)), no_std)]

extern crate alloc;

mod backend;
mod claim;
mod operation;

pub use backend::{Backend, Counters, Edge, Outcome, Place, Report, Started, Step, Token, Way};
pub use claim::{Claim, Claimant};
pub use operation::{Buffers, Directory, Operation, Path, Position, Span};

//! The engine of Ouzel: it executes the entries of a ring over any backend.
#![cfg_attr(not(any(test, loom)), no_std)]

extern crate alloc;

mod alone;
mod asleep;
mod at_once;
mod awaited;
mod backend;
mod cancel;
mod claim;
mod conclude;
mod control;
mod decode;
mod descriptors;
mod dispatch;
mod engine;
mod groups;
mod in_turn;
mod intake;
mod keep;
mod observe;
mod operation;
mod packet;
mod payloads;
mod program;
mod regions;
mod slab;
mod timers;
mod trace;
mod turns;
mod withdraw;

pub use backend::{Backend, Counters, Edge, Outcome, Place, Report, Started, Step, Token, Way};
pub use cancel::Target;
pub use claim::{Claim, Claimant};
pub use engine::{Engine, EnterError, Entered, Gauges, Limits, MAX_RUN};
pub use observe::{AT_ONCE, End, Observer, Origin};
pub use operation::{
    Attribute, Buffers, Directory, Message, Operation, Path, Position, Process, Span, Times,
};
pub use program::{Interface, Kind, Program, Reason, Rejection, StoreError};
pub use regions::{AddressCheck, MAX_REGIONS};
pub use trace::{Event, EventKind, MAX_EVENTS};

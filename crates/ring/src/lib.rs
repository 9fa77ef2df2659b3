//! The shared half of Ouzel: what a submitter and an engine must agree on.
//!
//! A ring is two queues in shared memory. The *submitter* writes 64-byte [entries](Entry) into one; the *engine*
//! executes them and posts a 32-byte [completion](Completion) for each into the other. This crate holds their
//! layout, the verbs and flags, error numbers, and the two ends of the queues. It has no allocation and no
//! operating system; who owns the memory is its user's business.
//!
//! ```
//! # use core::ptr::NonNull;
//! use ouzel_ring::{Completion, EngineEnd, Entry, Geometry, Memory, SubmitterEnd, Verb};
//!
//! # #[repr(C, align(64))] struct Aligned([u8; 4096]);
//! # let mut bytes = Box::new(Aligned([0; 4096]));
//! let geometry = Geometry::new(4, 8)?;
//! # let base = NonNull::from(&mut bytes.0).cast::<u8>();
//! // SAFETY: `bytes` is zeroed, outlives both ends and is used by nobody else.
//! let memory = unsafe { Memory::contiguous(base, 4096, geometry)? };
//! let mut submitter = SubmitterEnd::new(memory.clone(), 0);
//! let mut engine = EngineEnd::new(memory, 0);
//!
//! submitter.push(&Entry::new(Verb::Nop).data(7))?;
//! submitter.publish();
//!
//! assert_eq!(engine.available()?, 1);
//! let entry = engine.copy_next().expect("one entry is available");
//! engine.release(1);
//! let done = Completion { op: entry.op, error: 0, data: entry.data, result: 0, flags: 0, extra: 0 };
//! engine.post(&done).expect("the queue is empty");
//!
//! assert_eq!(submitter.pop()?, Some(done));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The layout and its meaning are normative in `docs/abi.md`.

#![cfg_attr(not(any(test, loom)), no_std)]

mod asleep;
mod completion;
mod descriptor;
mod engine_end;
mod entry;
mod errno;
mod flags;
mod geometry;
#[cfg(not(loom))]
mod memory;
#[cfg(loom)]
#[path = "memory_loom.rs"]
mod memory;
pub mod modifiers;
mod order;
mod path;
mod processor;
mod state;
mod submitter;
mod sync;
mod verb;

pub use completion::Completion;
pub use descriptor::{Descriptor, Payload, Piece};
pub use engine_end::EngineEnd;
pub use entry::Entry;
pub use errno::Errno;
pub use flags::{CompletionFlags, EntryFlags, REGISTERS};
pub use geometry::{Geometry, GeometryError, MAX_SLOTS};
pub use memory::Memory;
pub use path::has_nul;
pub use state::State;
pub use submitter::{Broken, PushError, SubmitterEnd};
pub use verb::Verb;

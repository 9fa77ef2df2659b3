//! Linux io_uring, raw and in pure Rust.
//!
//! A [`Ring`] is a pair of queues shared with the kernel: entries ([`Sqe`]) go in, completions ([`abi::Cqe`]) come
//! out, and one system call moves any number of both. This crate speaks to the kernel directly, without a C
//! library, and adds nothing of its own: no scheduling, no ownership of buffers, no retries. What belongs to the
//! kernel's interface is typed, every errno of its three calls has a name and a remedy, and the one thing that
//! cannot be checked, how long memory lives, is one `unsafe` function: [`Ring::push`].
//!
//! ```
//! use ouzel_uring::{Builder, Sqe, Step};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let ring = Builder::new(8).first_of(&Step::ONE_THREAD);
//! # let Ok((mut ring, _)) = ring else { return Ok(()) };
//! // SAFETY: a nop names no memory.
//! unsafe { ring.push(&Sqe::nop().user_data(7)) }?;
//! ring.submit_and_wait(1, None)?;
//! assert_eq!(ring.next_completion().map(|completion| completion.user_data), Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! On other systems than Linux the crate is empty.

#![no_std]
#![cfg(target_os = "linux")]

#[cfg(feature = "std")]
extern crate std;

pub mod abi;
mod builder;
mod child;
mod completion;
mod enter;
pub mod error;
mod layout;
mod mapping;
pub mod raw;
mod register;
mod ring;
pub mod sqe;
mod steps;
mod submission;
mod teardown;

pub use builder::{Builder, MemorySize, RingMemory};
pub use child::{Call, ChildReport, probe_in_child};
pub use completion::Completions;
pub use enter::{Timeout, Wait};
pub use error::{EnterError, Full, RegisterCause, RegisterError, SetupError, WideError};
pub use register::{
    BufRing, BusyPoll, CancelKey, Clock, CloneRange, Probe, Rule, SlotUpdate, post_message, query_kernel,
    query_queue_head, query_raw, query_zero_copy, restrict_task,
};
pub use ring::Ring;
pub use sqe::{NewSlot, Slot, Sqe, Sqe128, Target};
pub use steps::{Refusal, Step, StepReport};
pub use teardown::Closed;

//! The kernel's types, bit for bit as in `include/uapi/linux/io_uring.h` (as of liburing 2.15).
//!
//! Plain data: nothing here issues a call or owns anything. Sizes and offsets are asserted at compile time and
//! compared with the kernel's own header in `tests/layout.rs`. Fields that the kernel wants zero are private or
//! named `reserved`; every type has a `Default` of all zeroes.

mod buffer_rings;
mod flags;
mod opcode;
mod operation_flags;
mod questions;
mod queues;
mod resources;
mod zero_copy;

pub use buffer_rings::*;
pub use flags::*;
pub use opcode::{Opcode, RegisterOpcode};
pub use operation_flags::*;
pub use questions::*;
pub use queues::*;
pub use resources::*;
pub use zero_copy::*;

pub use crate::sqe::{Sqe, Sqe128};

/// The file index that asks the kernel to choose a slot (`IORING_FILE_INDEX_ALLOC`).
pub const FILE_INDEX_ALLOC: u32 = u32::MAX;

/// The directory descriptor that stands for the working directory (`AT_FDCWD`).
pub const AT_FDCWD: i32 = -100;

/// The offset that means "the file's own position" to reads, writes and splices.
pub const CURRENT_POSITION: u64 = u64::MAX;

/// Where to map the submission queue (`IORING_OFF_SQ_RING`).
pub const OFFSET_SQ_RING: u64 = 0;
/// Where to map the completion queue on kernels without `Features::SINGLE_MMAP` (`IORING_OFF_CQ_RING`).
pub const OFFSET_CQ_RING: u64 = 0x0800_0000;
/// Where to map the entries (`IORING_OFF_SQES`).
pub const OFFSET_SQES: u64 = 0x1000_0000;

/// The most submission entries the kernel gives a ring (`IORING_MAX_ENTRIES`).
pub const SQ_ENTRIES_MAX: u32 = 32_768;
/// The most completion entries the kernel gives a ring (`IORING_MAX_CQ_ENTRIES`).
pub const CQ_ENTRIES_MAX: u32 = 2 * SQ_ENTRIES_MAX;

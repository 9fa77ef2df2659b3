//! What every contender shares, and nothing that could tilt the race.
//!
//! It reads the list of files of `small-files`, answers the harness over standard input and output, sums what was read
//! and counts allocations. It never reads one of the measured files and depends on no other crate, so that a contender's
//! features are its own.

mod allocator;
mod checksum;
mod serve;

pub use allocator::{CountingAllocator, allocations};
pub use checksum::{Tally, sum};
pub use serve::{Outcome, Task, passes, serve, serve_with};

/// The bytes every contender offers to a read: more than the largest file, so that one read takes the whole of it.
pub const BUFFER_BYTES: usize = 8192;

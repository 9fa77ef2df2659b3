//! What the contenders of the asynchronous benchmarks share: what they are asked to do, the protocol, and what none of them
//! could do differently. It never touches a runtime: how a task is spawned, a timer set or a read awaited is in each
//! contender.

mod cancel;
mod echo;
mod once;
mod task;

use std::error::Error;
use std::time::Duration;

pub use cancel::Pairs;
pub use echo::{listener, listening};
pub use once::{poll_once, yield_now};
pub use task::{Reads, Sleeps, Task, USAGE};

/// A page: what is read, and where it lies in memory that is for O_DIRECT.
pub use raw_ring_task::BLOCK_BYTES;

/// Tasks that give each other turns.
pub const TURNING: u64 = 64;
/// Tasks that are alive at once where many are spawned.
pub const SPAWNED: u64 = 1000;
/// Timers that stand while others are set and cancelled.
pub const STANDING: u64 = 1000;
/// How long a timer is set for that is cancelled.
pub const LONG: Duration = Duration::from_secs(3600);

/// What a contender says about something that its library has not got. The harness shows it in place of a figure.
pub fn has_no(what: &str) -> Result<(), Box<dyn Error>> {
    Err(format!("no {what}").into())
}

/// Memory for a block: a vector, and where in it a page begins.
pub fn page(memory: &mut Vec<u8>) -> usize {
    memory.resize(2 * BLOCK_BYTES, 0);
    memory.as_ptr().align_offset(BLOCK_BYTES)
}

/// The first word of a block that was read.
pub fn word(block: &[u8]) -> u64 {
    block.first_chunk().map_or(u64::MAX, |word| u64::from_le_bytes(*word))
}

/// What this process has used of processors so far.
pub fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

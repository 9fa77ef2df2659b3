//! What the Rust contenders of `raw-nop` and `raw-read` share: the task, the memory that is read into, the protocol.
//!
//! It never touches a ring. What a contender does per operation, from making an entry to looking at its completion, is in
//! the contender; what is called from there (an address, a word that was read) is inlined and the same for all, and the
//! contender in C does the same by hand.

mod buffers;
mod task;

use std::error::Error;

use contender::{Tally, passes};

pub use buffers::{BLOCK_BYTES, Buffers};
pub use task::{Access, Mode, NopTask, ReadTask, Task, USAGE, blocks};

/// Entries of every contender's submission queue: the most that are in work at once.
pub const ENTRIES: u32 = 128;

/// A library that drives a ring.
pub trait Contender: Sized {
    /// What of the library is used, in a few words.
    const SETTING: &str;

    /// Makes a ring of [`ENTRIES`].
    fn open(mode: Mode) -> Result<Self, Box<dyn Error>>;

    /// Registers what `task.access` asks for: the file as slot 0, buffer `n` as number `n`.
    fn register(&mut self, task: &ReadTask) -> Result<(), Box<dyn Error>>;

    /// So many times: `batch` NOPs in with user data 0, 1 and so on, one call that submits and waits for all, `batch`
    /// completions out. Returns the sum of their user data.
    fn nops(&mut self, task: &NopTask) -> Result<u64, Box<dyn Error>>;

    /// Reads all blocks of the task, `depth` at a time: as many reads in, the n-th into buffer n, one call that submits
    /// and waits for all, as many completions out. Returns the sum of the blocks' first words.
    fn reads(&mut self, task: &ReadTask) -> Result<u64, Box<dyn Error>>;
}

/// Runs a contender as the harness asks. To be called by `main`.
///
/// Errors: bad arguments, a ring that is refused, an operation that failed or came to something wrong.
pub fn run<C: Contender>() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Task::parse(&arguments)? {
        Task::Nop(task) => {
            let mut ring = C::open(task.mode)?;
            let items = task.batches * u64::from(task.batch);
            passes(C::SETTING, || Ok(Tally { items, bytes: 0, checksum: ring.nops(&task)? }))
        }
        Task::Read(task) => {
            let mut ring = C::open(Mode::Deferred)?;
            ring.register(&task)?;
            let items = task.offsets.len() as u64;
            let bytes = items * BLOCK_BYTES as u64;
            passes(C::SETTING, || Ok(Tally { items, bytes, checksum: ring.reads(&task)? }))
        }
    }
}

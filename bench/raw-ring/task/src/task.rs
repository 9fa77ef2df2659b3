//! What a contender is asked to do, as its arguments say it.

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::{BLOCK_BYTES, Buffers, ENTRIES};

/// How a contender is called.
pub const USAGE: &str = "usage: contender nop default|deferred BATCH OPERATIONS\n   or: contender read \
                         cached|direct plain|file|buffer DEPTH OPERATIONS FILE";

/// O_DIRECT, which is not the same on all architectures.
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 };

/// How the ring is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without flags.
    Default,
    /// SINGLE_ISSUER and DEFER_TASKRUN.
    Deferred,
}

/// How an entry names file and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// READ, by descriptor and address.
    Plain,
    /// READ, from slot 0.
    File,
    /// READ_FIXED, from slot 0 into a registered buffer.
    Buffer,
}

/// NOPs.
pub struct NopTask {
    /// How the ring is set up.
    pub mode: Mode,
    /// Times a batch is made.
    pub batches: u64,
    /// NOPs per batch.
    pub batch: u32,
}

/// Random reads.
pub struct ReadTask {
    /// How entries name things.
    pub access: Access,
    /// Reads in work at once.
    pub depth: usize,
    /// Where to read, in this order.
    pub offsets: Vec<u64>,
    /// Where to read from.
    pub file: File,
    /// Where to read to, one per read in work.
    pub buffers: Buffers,
}

/// What a contender is asked to do.
pub enum Task {
    /// NOPs.
    Nop(NopTask),
    /// Random reads.
    Read(ReadTask),
}

impl Task {
    /// Out of the arguments that follow the program's name.
    pub fn parse(arguments: &[String]) -> Result<Task, Box<dyn Error>> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match words[..] {
            ["nop", mode, batch, operations] => {
                let mode = match mode {
                    "default" => Mode::Default,
                    "deferred" => Mode::Deferred,
                    _ => return Err(USAGE.into()),
                };
                let (batch, operations) = (in_flight(batch)?, operations.parse::<u64>()?);
                Ok(Task::Nop(NopTask { mode, batches: operations / u64::from(batch), batch }))
            }
            ["read", cache, access, depth, operations, path] => {
                let access = match access {
                    "plain" => Access::Plain,
                    "file" => Access::File,
                    "buffer" => Access::Buffer,
                    _ => return Err(USAGE.into()),
                };
                let flags = match cache {
                    "cached" => 0,
                    "direct" => O_DIRECT,
                    _ => return Err(USAGE.into()),
                };
                let depth = in_flight(depth)?;
                let operations = operations.parse::<u64>()? / u64::from(depth) * u64::from(depth);
                let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
                let length = file.metadata()?.len() / BLOCK_BYTES as u64;
                let offsets = blocks(operations, length).map(|block| block * BLOCK_BYTES as u64).collect();
                let buffers = Buffers::new(depth as usize);
                Ok(Task::Read(ReadTask { access, depth: depth as usize, offsets, file, buffers }))
            }
            _ => Err(USAGE.into()),
        }
    }
}

/// A number of operations in work at once.
fn in_flight(word: &str) -> Result<u32, Box<dyn Error>> {
    match word.parse()? {
        number @ 1..=ENTRIES => Ok(number),
        _ => Err(format!("1 to {ENTRIES} at once, not {word}").into()),
    }
}

/// The blocks to read out of a file of `length` blocks, always the same (SplitMix64).
pub fn blocks(count: u64, length: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x6f75_7a65_6c00_0003_u64;
    (0..count).map(move |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % length.max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused() {
        let parse = |line: &str| Task::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        for wrong in ["nop default 0 100", "nop default 129 100", "nop other 1 100", "nop default 1", "read"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(
            parse("nop deferred 8 100"),
            Ok(Task::Nop(NopTask { batches: 12, batch: 8, mode: Mode::Deferred }))
        ));
    }

    #[test]
    fn blocks_lie_inside_and_are_spread() {
        let all: Vec<u64> = blocks(1000, 64).collect();
        assert!(all.iter().all(|block| *block < 64));
        assert!((0..64).all(|block| all.contains(&block)));
    }
}

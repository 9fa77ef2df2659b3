//! What a contender is asked to do, as its arguments say it.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use contender::{Outcome, Tally};
use raw_ring_task::{BLOCK_BYTES, blocks};

use crate::processor_time;

/// How a contender is called.
pub const USAGE: &str = "usage: contender nop|yield IN_FLIGHT OPERATIONS | read cached|direct DEPTH OPERATIONS FILE | \
                         sleeps|timers|spawn|cancel COUNT | echo BYTES | in-tokio WAY DEPTH OPERATIONS FILE";

/// O_DIRECT, which is not the same on all architectures.
const O_DIRECT: i32 = if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 };

/// Random reads.
#[derive(Clone)]
pub struct Reads {
    /// Reads in work at once.
    pub depth: u64,
    /// Where to read, in this order.
    pub offsets: Vec<u64>,
    /// What to read from.
    pub path: PathBuf,
    /// Past the page cache.
    pub direct: bool,
}

impl Reads {
    /// What `open(2)` is given beside O_RDONLY.
    pub fn flags(&self) -> i32 {
        if self.direct { O_DIRECT } else { 0 }
    }

    /// What a pass comes to whose first words have this sum.
    pub fn tally(&self, sum: u64) -> Tally {
        let items = self.offsets.len() as u64;
        Tally { items, bytes: items * BLOCK_BYTES as u64, checksum: sum }
    }
}

/// Sleeps that begin together.
#[derive(Clone, Copy)]
pub struct Sleeps {
    /// How many.
    pub count: u64,
}

impl Sleeps {
    /// How long each of them takes: 1 to 100 ms.
    pub fn times(self) -> impl Iterator<Item = Duration> {
        blocks(self.count, 99_001).map(|microseconds| Duration::from_micros(1_000 + microseconds))
    }

    /// Makes a pass. It is not the time that passes that is measured, which is mostly the longest sleep, but what the process
    /// uses of its processor meanwhile.
    ///
    /// Errors: those of `pass`, and if it was over before the longest sleep can have been.
    pub fn pass(self, pass: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Outcome, Box<dyn Error>> {
        let longest = self.times().max().unwrap_or_default();
        let (begun, used) = (Instant::now(), processor_time());
        pass()?;
        let nanoseconds = Some((processor_time() - used).as_nanos());
        if begun.elapsed() < longest {
            return Err("sleeps that end early".into());
        }
        let tally = Tally { items: self.count, bytes: 0, checksum: 0 };
        Ok(Outcome { tally, nanoseconds, lost: 0 })
    }
}

/// What a contender is asked to do.
#[derive(Clone)]
pub enum Task {
    /// So many NOPs, by so many tasks.
    Nop(u64, u64),
    /// So many yields, by so many tasks.
    Yield(u64, u64),
    /// Random reads.
    Read(Reads),
    /// Sleeps that begin together.
    Sleeps(Sleeps),
    /// So many timers set and cancelled.
    Timers(u64),
    /// So many tasks spawned and awaited.
    Spawn(u64),
    /// So many reads that wait, dropped at once.
    Cancel(u64),
    /// Random reads in a tokio runtime with several threads, in this way.
    InTokio(String, Reads),
    /// A server that sends back what it receives, with buffers of so many bytes.
    Echo(usize),
}

impl Task {
    /// Out of this process' arguments.
    ///
    /// Errors: other arguments than [`USAGE`] says.
    pub fn from_arguments() -> Result<Task, Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Task::parse(&arguments)
    }

    /// Out of arguments.
    fn parse(arguments: &[String]) -> Result<Task, Box<dyn Error>> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ok(match words[..] {
            ["nop", in_flight, count] => Task::Nop(number(in_flight)?, number(count)?),
            ["yield", in_flight, count] => Task::Yield(number(in_flight)?, number(count)?),
            ["read", cache, depth, operations, path] => {
                let direct = match cache {
                    "cached" => false,
                    "direct" => true,
                    _ => return Err(USAGE.into()),
                };
                Task::Read(reads(direct, depth, operations, path)?)
            }
            ["in-tokio", way, depth, operations, path] => {
                Task::InTokio(way.to_owned(), reads(false, depth, operations, path)?)
            }
            ["sleeps", count] => Task::Sleeps(Sleeps { count: number(count)? }),
            ["timers", count] => Task::Timers(number(count)?),
            ["spawn", count] => Task::Spawn(number(count)?),
            ["cancel", count] => Task::Cancel(number(count)?),
            ["echo", bytes] => Task::Echo(number(bytes)? as usize),
            _ => return Err(USAGE.into()),
        })
    }
}

fn reads(direct: bool, depth: &str, operations: &str, path: &str) -> Result<Reads, Box<dyn Error>> {
    let length = std::fs::metadata(path)?.len() / BLOCK_BYTES as u64;
    let offsets = blocks(number(operations)?, length).map(|block| block * BLOCK_BYTES as u64).collect();
    Ok(Reads { depth: number(depth)?, offsets, path: path.into(), direct })
}

fn number(word: &str) -> Result<u64, Box<dyn Error>> {
    match word.parse()? {
        number @ 1..=10_000_000 => Ok(number),
        _ => Err(format!("1 to 10,000,000, not {word}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused() {
        let parse = |line: &str| Task::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        for wrong in ["nop 0 100", "nop 1", "read other 1 1 /dev/null", "echo", "sleeps 10000001"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(parse("nop 32 100"), Ok(Task::Nop(32, 100))));
    }

    #[test]
    fn sleeps_are_bounded() {
        let times: Vec<Duration> = Sleeps { count: 1000 }.times().collect();
        assert!(times.iter().all(|time| (1..=100).contains(&(time.as_micros() / 1000))));
    }
}

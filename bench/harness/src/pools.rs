//! The race of pools: one program that holds all contenders; here it is only run, counted and read.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Options;
use crate::count::{Counted, callgrind, collected, run as counted};

/// A contender at one size; times in nanoseconds per pair of get and put.
#[derive(Deserialize)]
pub struct Pool {
    /// Bytes of a buffer.
    pub bytes: u64,
    /// Buffers held.
    pub held: u64,
    /// The contender.
    pub name: String,
    /// The median of the rounds.
    pub median: f64,
    /// The fastest round.
    pub min: f64,
    /// The slowest round.
    pub max: f64,
    /// Instructions in user space per pair.
    #[serde(skip, default = "not_counted")]
    pub instructions: Counted,
}

fn not_counted() -> Counted {
    Err("not counted in a quick run".to_owned())
}

/// Runs the race.
pub fn run(program: &Path, options: &Options) -> Result<Vec<Pool>, Box<dyn Error>> {
    let operations = if options.quick { 1 << 12 } else { 1 << 17 };
    let output = Command::new(program)
        .args(["--json", &options.rounds().to_string(), &operations.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    let mut pools = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut pool: Pool = serde_json::from_str(line)?;
        if !options.quick {
            pool.instructions = instructions(program, &pool);
        }
        pools.push(pool);
    }
    Ok(pools)
}

fn instructions(program: &Path, pool: &Pool) -> Counted {
    let count = |operations: u64| {
        let mut command = callgrind(program);
        let words = [pool.bytes.to_string(), pool.held.to_string(), operations.to_string()];
        command.args(["count", &pool.name]).args(words);
        collected(&counted(command, "valgrind", "")?)
    };
    Ok((count(6_000)? - count(2_000)?) / 4_000.0)
}

/// The section of the results.
pub fn section(text: &mut String, pools: &[Pool]) -> std::fmt::Result {
    writeln!(text, "\n## Pool\n")?;
    writeln!(
        text,
        "A buffer is got and the oldest of those held given back: Ouzel's pool; malloc and free; `vec![0; n]` (calloc); boxes of one \
         size in\n`crossbeam`'s ArrayQueue, in a `slab` beside a stack (for one thread), and in `sharded-slab`'s Pool. One process, one processor, in \
         turn.\nNanoseconds and instructions per pair. The last column is Ouzel's time by this one's: above 1, Ouzel is slower. A slice of \
         Ouzel's pool has any\nlength, lies where the kernel may write to it for longer than its owner lives, and is counted; boxes of one size are \
         neither.\n"
    )?;
    writeln!(
        text,
        "| bytes | held | contender | ns/pair | min..max | instructions | Ouzel by this |\n|---:|---:|---|---:|---:|---:|---:|"
    )?;
    for pool in pools {
        let same = |other: &&Pool| other.bytes == pool.bytes && other.held == pool.held;
        let ouzel = pools.iter().filter(same).find(|other| other.name == "ouzel-pool");
        let ratio = ouzel.map_or("n/a".to_owned(), |ouzel| format!("{:.2}", ouzel.median / pool.median));
        let instructions = pool.instructions.as_ref().map_or(String::new(), |count| format!("{count:.0}"));
        let Pool { bytes, held, name, median, min, max, .. } = pool;
        writeln!(
            text,
            "| {bytes} | {held} | {name} | {median:.1} | {min:.1}..{max:.1} | {instructions} | {ratio} |"
        )?;
    }
    Ok(())
}

//! The NOP race: one program that holds all contenders; here it is only run, counted and read.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Options;
use crate::count::{Counted, callgrind, collected, run as counted};

/// A contender at one batch size; times in nanoseconds per operation.
#[derive(Deserialize)]
pub struct Nop {
    /// NOPs per batch.
    pub batch: u64,
    /// The contender.
    pub name: String,
    /// The median of the rounds.
    pub median: f64,
    /// The fastest round.
    pub min: f64,
    /// The slowest round.
    pub max: f64,
    /// Instructions in user space per operation.
    #[serde(skip, default = "not_counted")]
    pub instructions: Counted,
}

fn not_counted() -> Counted {
    Err("counted at batch 32".to_owned())
}

/// Runs the race.
pub fn run(program: &Path, options: &Options) -> Result<Vec<Nop>, Box<dyn Error>> {
    let operations = if options.quick { 1 << 14 } else { 1 << 18 };
    let output = Command::new(program)
        .args(["--json", &options.rounds().to_string(), &operations.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    let mut nops = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let mut nop: Nop = serde_json::from_str(line)?;
        if nop.batch == 32 {
            nop.instructions = instructions(program, &nop.name);
        }
        nops.push(nop);
    }
    Ok(nops)
}

fn instructions(program: &Path, name: &str) -> Counted {
    let count = |operations: u64| {
        let mut command = callgrind(program);
        command.args(["count", name, "32", &operations.to_string()]);
        collected(&counted(command, "valgrind", "")?)
    };
    Ok((count(64_000)? - count(32_000)?) / 32_000.0)
}

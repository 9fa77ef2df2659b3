//! The cost of getting buffer memory and giving it back, side by side in one process: Ouzel's pool, malloc and free, zeroed
//! vectors, and a queue of boxes. So many buffers are held all the time; the oldest is given back and another got.
//!
//! Usage: `pool [--json] [ROUNDS [OPERATIONS]]`, `pool count CONTENDER BYTES HELD OPERATIONS` to run one alone for an
//! instruction counter, or `pool instructions` to count all of them with valgrind. It touches no file.

mod contenders;

use std::error::Error;
use std::process::Command;

use contenders::{Contender, all};

/// Bytes of a buffer, and how many are held.
const CASES: [(usize, usize); 8] =
    [(512, 1), (512, 32), (4096, 1), (4096, 32), (5000, 32), (16384, 32), (65536, 32), (262_144, 8)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("count") => return count(&arguments[1..]),
        Some("instructions") => return instructions(),
        _ => {}
    }
    let json = arguments.first().is_some_and(|word| word == "--json");
    if json {
        arguments.remove(0);
    }
    let rounds: usize = arguments.first().map_or(Ok(9), |word| word.parse())?;
    let operations: u64 = arguments.get(1).map_or(Ok(1 << 17), |word| word.parse())?;
    if rounds == 0 || operations == 0 {
        return Err("at least 1 round and 1 operation".into());
    }
    pin();
    for (length, held) in CASES {
        let medians = race(length, held, rounds, operations)?;
        let ouzel =
            medians.iter().find(|(name, _)| *name == "ouzel-pool").map(|(_, samples)| median(samples));
        for (name, samples) in &medians {
            let (low, middle, high) = (samples[0], median(samples), samples[samples.len() - 1]);
            if json {
                println!(
                    "{{\"bytes\":{length},\"held\":{held},\"name\":\"{name}\",\"median\":{middle:.3},\"min\":{low:.3},\"max\":{high:.3}}}"
                );
            } else {
                let ratio =
                    ouzel.map_or(String::new(), |ouzel| format!("  ouzel-pool/this {:.2}", ouzel / middle));
                println!(
                    "{length:>7} bytes, {held:>2} held  {name:<12} {middle:>8.2} ns/pair  ({low:.2} to {high:.2}){ratio}"
                );
            }
        }
    }
    Ok(())
}

/// A contender's name and its nanoseconds per pair of get and put, round by round.
type Samples = (&'static str, Vec<f64>);

/// Runs the contenders in turn, one warm-up round and `rounds` that count; nanoseconds per pair, sorted.
fn race(length: usize, held: usize, rounds: usize, operations: u64) -> Result<Vec<Samples>, Box<dyn Error>> {
    let mut contenders = Vec::new();
    for (name, open) in all() {
        contenders.push((name, open(length, held)?, Vec::with_capacity(rounds)));
    }
    for round in 0..=rounds {
        for (_, contender, samples) in &mut contenders {
            let start = std::time::Instant::now();
            contender.run(operations)?;
            let nanoseconds = start.elapsed().as_nanos() as f64;
            if round > 0 {
                samples.push(nanoseconds / operations as f64);
            }
        }
    }
    Ok(contenders
        .into_iter()
        .map(|(name, _, mut samples)| {
            samples.sort_by(f64::total_cmp);
            (name, samples)
        })
        .collect())
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// Stays on the processor it is on. Where that is refused, the figures are only noisier.
fn pin() {
    let mut set = rustix::thread::CpuSet::new();
    set.set(rustix::thread::sched_getcpu());
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("not pinned to one processor: {error}");
    }
}

fn count(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [name, length, held, operations] = arguments else {
        return Err("usage: pool count CONTENDER BYTES HELD OPERATIONS".into());
    };
    let (_, open) = all().into_iter().find(|(known, _)| known == name).ok_or_else(|| {
        format!("no contender {name}; there are ouzel-pool, malloc, calloc, array-queue, slab, sharded-slab")
    })?;
    let mut contender: Box<dyn Contender> = open(length.parse()?, held.parse()?)?;
    contender.run(operations.parse()?)
}

/// Counts this program itself, with few operations and with more; the difference leaves start-up out.
fn instructions() -> Result<(), Box<dyn Error>> {
    for (length, held) in CASES {
        for (name, _) in all() {
            let (few, many) = (collect(name, length, held, 2000)?, collect(name, length, held, 6000)?);
            println!(
                "{length:>7} bytes, {held:>2} held  {name:<12} {:>8.1} instructions/pair",
                (many - few) / 4000.0
            );
        }
    }
    Ok(())
}

fn collect(name: &str, length: usize, held: usize, operations: u64) -> Result<f64, Box<dyn Error>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["count", name, &length.to_string(), &held.to_string(), &operations.to_string()])
        .output()
        .map_err(|error| format!("valgrind is missing: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted = text.lines().find_map(|line| line.split_once("Collected :"));
    Ok(counted.ok_or("valgrind printed no count")?.1.trim().parse()?)
}

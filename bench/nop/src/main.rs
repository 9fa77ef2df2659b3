//! The cost of an operation that does nothing, side by side in one process: a NOP through Ouzel's raw ring and engine on
//! the simulator (no kernel), a push and a pop of a plain queue, a NOP through the kernel's ring, and a system call.
//!
//! Usage: `nop [--json] [ROUNDS [OPERATIONS]]`, or `nop count CONTENDER BATCH OPERATIONS` to run one alone, for an
//! instruction counter. It touches no file.

mod contenders;

use std::error::Error;

use contenders::{Contender, all};

/// NOPs per batch.
const BATCHES: [u64; 4] = [1, 8, 32, 128];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "count") {
        return count(&arguments[1..]);
    }
    let json = arguments.first().is_some_and(|word| word == "--json");
    if json {
        arguments.remove(0);
    }
    let rounds: usize = arguments.first().map_or(Ok(9), |word| word.parse())?;
    let operations: u64 = arguments.get(1).map_or(Ok(1 << 17), |word| word.parse())?;
    if rounds == 0 || operations < 128 {
        return Err("at least 1 round and 128 operations".into());
    }
    pin();
    let mut contenders = Vec::new();
    for (name, open) in all() {
        match open() {
            Ok(contender) => contenders.push((name, contender)),
            Err(error) => eprintln!("SKIPPED: {name}: {error}"),
        }
    }
    for batch in BATCHES {
        let medians = race(&mut contenders, batch, rounds, operations)?;
        let ouzel = medians.iter().find(|(name, _)| *name == "ouzel").map(|(_, samples)| median(samples));
        for (name, samples) in &medians {
            let (low, middle, high) = (samples[0], median(samples), samples[samples.len() - 1]);
            if json {
                println!(
                    "{{\"batch\":{batch},\"name\":\"{name}\",\"median\":{middle:.3},\"min\":{low:.3},\"max\":{high:.3}}}"
                );
            } else {
                let ratio =
                    ouzel.map_or(String::new(), |ouzel| format!("  ouzel/this {:.2}", ouzel / middle));
                println!("batch {batch:>3}  {name:<14} {middle:>8.2} ns/op  ({low:.2} to {high:.2}){ratio}");
            }
        }
    }
    Ok(())
}

/// A contender's name and its nanoseconds per operation, round by round.
type Samples<'a> = (&'a str, Vec<f64>);

/// Runs the contenders in turn, one warm-up round and `rounds` that count; nanoseconds per operation, sorted.
fn race<'a>(
    contenders: &mut [(&'a str, Box<dyn Contender>)],
    batch: u64,
    rounds: usize,
    operations: u64,
) -> Result<Vec<Samples<'a>>, Box<dyn Error>> {
    let mut samples: Vec<Vec<f64>> = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..=rounds {
        for ((_, contender), samples) in contenders.iter_mut().zip(&mut samples) {
            let batches = operations / batch;
            let start = std::time::Instant::now();
            contender.run(batches, batch)?;
            let nanoseconds = start.elapsed().as_nanos() as f64;
            if round > 0 {
                samples.push(nanoseconds / (batches * batch) as f64);
            }
        }
    }
    for samples in &mut samples {
        samples.sort_by(f64::total_cmp);
    }
    Ok(contenders.iter().map(|(name, _)| *name).zip(samples).collect())
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
    let [name, batch, operations] = arguments else {
        return Err("usage: nop count CONTENDER BATCH OPERATIONS".into());
    };
    let (batch, operations): (u64, u64) = (batch.parse()?, operations.parse()?);
    if batch == 0 || batch > 128 {
        return Err("a batch is 1 to 128".into());
    }
    let (_, open) = all().into_iter().find(|(known, _)| known == name).ok_or_else(|| {
        format!("no contender {name}; there are ouzel, rtrb-u64, rtrb-64-bytes, io-uring, getppid")
    })?;
    open()?.run(operations / batch, batch)
}

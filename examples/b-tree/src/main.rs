//! A B-tree on disk as a command: `ouzel-btree FILE build` makes one of lines `key value`, durably; `ouzel-btree FILE get KEY…`
//! looks keys up, each by one call of a stored program that follows the tree from its root to a leaf.
//!
//! Exit status: 0, 1 for an error or a key that is not there, 2 for arguments that make no sense.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ouzel::compounds::{Lookup, WriteMode, tree, write_file_durably};
use ouzel::{BackendKind, OpenOptions, Ring};

/// Keys and values, both numbers, in a tree that is never changed.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What the ring runs on; io_uring where it is to be had.
    #[arg(long)]
    backend: Option<Backend>,
    /// Say on standard error what the lookups have cost.
    #[arg(long)]
    costs: bool,
    /// The file with the tree.
    file: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Uring,
    Threads,
}

#[derive(Subcommand)]
enum Action {
    /// Reads lines `key value` in any order and writes the tree. Of lines with the same key the last one holds.
    Build,
    /// Prints `key value` for each key that is there; without keys, for those on standard input.
    Get {
        /// The keys.
        keys: Vec<u64>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ouzel-btree: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<bool, Box<dyn Error>> {
    let mut builder = Ring::builder();
    if let Some(backend) = arguments.backend {
        builder = builder.backend(match backend {
            Backend::Uring => BackendKind::Uring,
            Backend::Threads => BackendKind::Threads,
        });
    }
    let mut ring = builder.build()?;
    match arguments.action {
        Action::Build => build(&mut ring, &arguments.file).map(|()| true),
        Action::Get { keys } => get(&mut ring, &arguments.file, keys, arguments.costs),
    }
}

fn build(ring: &mut Ring, file: &Path) -> Result<(), Box<dyn Error>> {
    let mut pairs = Vec::new();
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(key)), Some(Ok(value)), None) if key != u64::MAX => pairs.push((key, value)),
            _ => {
                return Err(
                    format!("line {}: `{line}` is not a key and a value, two numbers", number + 1).into()
                );
            }
        }
    }
    // Of equal keys the last stays: the sort keeps their order.
    pairs.sort_by_key(|(key, _)| *key);
    pairs.reverse();
    pairs.dedup_by_key(|(key, _)| *key);
    pairs.reverse();
    write_file_durably(ring, file, tree(&pairs)?, WriteMode::Kept)?;
    println!("{} pairs", pairs.len());
    Ok(())
}

fn get(ring: &mut Ring, path: &Path, keys: Vec<u64>, costs: bool) -> Result<bool, Box<dyn Error>> {
    let mut lookup = Lookup::store(ring)?;
    let file = ring.open(path, OpenOptions::read())?;
    let before = ring.counters();
    let mut output = std::io::stdout().lock();
    let (mut asked, mut missing) = (0u64, 0u64);
    let mut one = |key: u64| -> Result<(), Box<dyn Error>> {
        asked += 1;
        match lookup.find(ring, file, key).map_err(|error| format!("{}: {error}", path.display()))? {
            Some(value) => writeln!(output, "{key} {value}")?,
            None => {
                missing += 1;
                eprintln!("{key} is not there");
            }
        }
        Ok(())
    };
    if keys.is_empty() {
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            one(line.trim().parse().map_err(|_| format!("`{line}` is not a key"))?)?;
        }
    } else {
        keys.into_iter().try_for_each(&mut one)?;
    }
    if costs {
        let cost = ring.counters().since(before);
        eprintln!("{asked} calls of a stored program, {} crossings into the kernel", cost.crossings());
    }
    ring.close(file)?;
    lookup.forget(ring)?;
    Ok(missing == 0)
}

//! The store as a command: `ouzel-wal DIRECTORY get|set|delete|list|load|checkpoint`.
//!
//! Exit status: 0, 1 for an error or a key that is not there, 2 for arguments that make no sense.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ouzel::{BackendKind, Ring};
use ouzel_wal::{Change, Store};

/// Keys and values that survive a kill and a loss of power.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What the ring runs on; io_uring where it is to be had.
    #[arg(long)]
    backend: Option<Backend>,
    /// Where the store is; made if it does not exist.
    directory: PathBuf,
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
    /// Prints the value of a key.
    Get {
        /// The key.
        key: String,
    },
    /// Gives a key a value.
    Set {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: String,
    },
    /// Prints all keys and values.
    List,
    /// Reads lines `key=value`, or `-key` to delete, and says when they are durable.
    Load {
        /// Lines that are made durable together.
        #[arg(long, default_value_t = 64)]
        group: usize,
    },
    /// Writes all to the checkpoint and begins the log anew.
    Checkpoint,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ouzel-wal: {error}");
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
    let mut store = Store::open(builder.build()?, &arguments.directory)?;
    if store.torn() > 0 {
        eprintln!("ouzel-wal: {} bytes at the end of the log were never whole and are cut off", store.torn());
    }
    let mut out = std::io::stdout().lock();
    match arguments.action {
        Action::Get { key } => match store.value(key.as_bytes()) {
            Some(value) => {
                out.write_all(value)?;
                out.write_all(b"\n")?;
            }
            None => return Ok(false),
        },
        Action::Set { key, value } => store.commit(vec![Change::Set(key.into(), value.into())])?,
        Action::Delete { key } => {
            let there = store.value(key.as_bytes()).is_some();
            store.commit(vec![Change::Delete(key.into())])?;
            return Ok(there);
        }
        Action::List => {
            for (key, value) in store.all() {
                out.write_all(&[key, &b"="[..], value, &b"\n"[..]].concat())?;
            }
        }
        Action::Load { group } => load(&mut store, group.max(1), &mut out)?,
        Action::Checkpoint => store.checkpoint()?,
    }
    Ok(true)
}

fn load(store: &mut Store, group: usize, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut lines = std::io::stdin().lock().split(b'\n');
    let mut durable = 0;
    loop {
        let mut changes = Vec::new();
        for line in lines.by_ref().take(group) {
            let line = line?;
            changes.push(match line.strip_prefix(b"-") {
                Some(key) => Change::Delete(key.to_vec()),
                None => {
                    let middle = line.iter().position(|byte| *byte == b'=');
                    let middle = middle.ok_or("a line is neither key=value nor -key")?;
                    Change::Set(line[..middle].to_vec(), line[middle + 1..].to_vec())
                }
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        durable += changes.len();
        store.commit(changes)?;
        writeln!(out, "durable {durable}")?;
        out.flush()?;
    }
}

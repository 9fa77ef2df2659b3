//! Copies files and trees: `ouzel-cp [--recursive] SOURCE TARGET`.
//!
//! Arguments, the bar and the exit status are here; what is copied and how is in [`tree`]. Exit status: 0 if all was copied,
//! 1 if something was not, 2 for arguments that make no sense.

#![forbid(unsafe_code)]

mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use ouzel::{BackendKind, Ring};

use tree::{Copied, Plan};

/// Copies a file, or with --recursive a tree, with permissions and symbolic links.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Copy directories with all that is in them.
    #[arg(short, long)]
    recursive: bool,
    /// Say at the end what was copied.
    #[arg(long)]
    summary: bool,
    /// Directories that are listed at a time.
    #[arg(long, default_value_t = 8)]
    at_once: usize,
    /// What the ring runs on; io_uring where it is to be had.
    #[arg(long)]
    backend: Option<Backend>,
    /// The file or directory to copy.
    source: PathBuf,
    /// Its copy, or an existing directory to put that into.
    target: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Uring,
    Threads,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut builder = Ring::builder();
    if let Some(backend) = arguments.backend {
        builder = builder.backend(match backend {
            Backend::Uring => BackendKind::Uring,
            Backend::Threads => BackendKind::Threads,
        });
    }
    let mut ring = match builder.build() {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("ouzel-cp: {error}");
            return ExitCode::FAILURE;
        }
    };
    let bar = ProgressBar::new_spinner();
    let mut failures = 0u64;
    let mut complain = |text: String| {
        failures += 1;
        bar.suspend(|| eprintln!("ouzel-cp: {text}"));
    };
    let source = &arguments.source;
    let plan = Plan::make(&mut ring, source, &arguments.target, arguments.recursive, arguments.at_once);
    let copied = match plan {
        Ok((plan, problems)) => {
            problems.into_iter().for_each(&mut complain);
            bar.set_length(plan.len() as u64);
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
            plan.run(&mut ring, complain, |copied| {
                bar.set_message(format!("{} MiB", copied.bytes >> 20));
                bar.inc(1);
            })
        }
        Err(text) => {
            complain(text);
            Copied::default()
        }
    };
    bar.finish_and_clear();
    if arguments.summary {
        let Copied { files, directories, links, bytes } = copied;
        println!("{files} files, {directories} directories, {links} links, {bytes} bytes");
    }
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

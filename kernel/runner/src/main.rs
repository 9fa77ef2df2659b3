//! `cargo run`: builds, boots, and runs a program, `first` unless another is named (`cargo run -- shell`). The exit status is the
//! program's.

use std::process::ExitCode;
use std::time::Duration;

use ouzel_kernel_runner::{Options, boot, build, missing};

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("ouzel-kernel-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<u8, Box<dyn std::error::Error>> {
    if let Some(reason) = missing() {
        return Err(reason.into());
    }
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words.push("first".into());
    }
    let command = format!("bin/{}", words.join(" "));
    // Whoever types cannot be foreseen, and neither can the time that takes.
    let options =
        Options { command: &command, counted: false, input: None, shown: true, limit: Duration::MAX };
    let run = boot(&build()?, options)?;
    Ok(run.status?.min(255) as u8)
}

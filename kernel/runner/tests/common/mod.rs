//! What the tests of programs have in common.
#![allow(dead_code)]

use std::sync::OnceLock;
use std::time::Duration;

use ouzel_kernel_runner::{Image, Options, Run, boot, build, missing};

/// Runs a program with one instruction to the nanosecond, and types `input`; nothing where there is no QEMU.
pub fn run(command: &str, input: &str) -> Option<Run> {
    run_within(command, input, Options::default().limit)
}

/// The same, for a program that may take so long on a machine that is busy.
pub fn run_within(command: &str, input: &str, limit: Duration) -> Option<Run> {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    if let Some(reason) = missing() {
        println!("SKIPPED: {reason}");
        return None;
    }
    let image = IMAGE.get_or_init(|| build().unwrap());
    Some(boot(image, Options { command, input: Some(input), limit, ..Options::default() }).unwrap())
}

/// The lines of an output, without their ends.
pub fn lines(output: &str) -> Vec<&str> {
    output.lines().map(str::trim_end).collect()
}

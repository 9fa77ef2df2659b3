//! Boots the kernel under QEMU and looks at what its programs print.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use ouzel_kernel_runner::{Image, Options, Run, boot, build, missing};

/// Runs a program with one instruction to the nanosecond; nothing where there is no QEMU.
fn run(command: &str) -> Option<Run> {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    if let Some(reason) = missing() {
        println!("SKIPPED: {reason}");
        return None;
    }
    let image = IMAGE.get_or_init(|| build().unwrap());
    Some(boot(image, Options { command, ..Options::default() }).unwrap())
}

#[test]
fn the_kernel_s_own_tests_pass_and_every_run_is_like_every_other() {
    let Some(first) = run("bin/selftest") else { return };
    println!("{}", first.output);
    assert_eq!(first.status, Ok(0), "{}", first.output);
    assert!(!first.output.contains("FAILED"));
    let Some(second) = run("bin/selftest") else { return };
    assert_eq!(first.output, second.output);
}

#[test]
fn a_program_that_does_not_exist_is_told_by_the_kernel() {
    let Some(run) = run("bin/none") else { return };
    assert!(run.status.is_err());
    assert!(run.output.contains("ENOENT") || run.output.contains("no such file"), "{}", run.output);
}

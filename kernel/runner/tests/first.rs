//! The first program, a chain in one system call, and the library that programs are written with.
#![allow(clippy::unwrap_used)]

mod common;

use common::{lines, run};

#[test]
fn a_chain_is_one_system_call_and_prints_its_trace() {
    let Some(first) = run("bin/first", "") else { return };
    println!("{}", first.output);
    assert_eq!(first.status, Ok(0), "{}", first.output);
    let lines = lines(&first.output);
    assert_eq!(lines[0], "a chain of 3 steps, system calls: 1");
    for (line, step) in lines[1..4].iter().zip(["step 0   OPEN", "step 1   READ", "step 2   CLOSE"]) {
        assert!(line.trim_start().starts_with(step), "{line}");
    }
    assert!(lines[2].ends_with("-> 29") && lines[3].ends_with("-> 0"), "{}", first.output);
    assert_eq!(lines[4..], ["read 29 bytes: The ring is the system call."]);
    let Some(second) = run("bin/first", "") else { return };
    assert_eq!(first.output, second.output, "every run is like every other");
}

#[test]
fn the_library_s_own_tests_pass() {
    let Some(run) = run("bin/usertest", "") else { return };
    println!("{}", run.output);
    assert_eq!(run.status, Ok(0), "{}", run.output);
    assert_eq!(lines(&run.output).iter().filter(|line| line.starts_with("ok ")).count(), 7, "{}", run.output);
}

//! A driver in user mode, and its client.
#![allow(clippy::unwrap_used)]

mod common;

use common::{lines, run};

#[test]
fn a_client_writes_a_block_and_reads_it_back_in_one_chain() {
    let Some(run) = run("bin/client", "") else { return };
    println!("{}", run.output);
    assert_eq!(run.status, Ok(0), "{}", run.output);
    let lines = lines(&run.output);
    assert_eq!(lines[0], "a chain of 6 steps, system calls: 1");
    let results = ["WRITE    -> 512", "SYNC     -> 0", "POLL     -> 1", "READ     -> 512", "CLOSE    -> 0"];
    for (line, result) in lines[2..].iter().zip(results) {
        assert!(line.ends_with(result), "{line}");
    }
    assert_eq!(lines[7], "the block is what was written");
    assert_eq!(lines[8], "step 0 (OPEN \"disk:7\"): no such file or directory (ENOENT 2)");
}

#[test]
fn a_slow_driver_loses_nothing() {
    let Some(run) = run("bin/client slow", "") else { return };
    assert_eq!(run.status, Ok(0), "{}", run.output);
    assert_eq!(lines(&run.output), ["24 of 24 chains have read what they wrote"]);
}

#[test]
fn the_clients_of_a_driver_that_is_killed_are_told_and_go_on() {
    let Some(run) = run("bin/client killed", "") else { return };
    assert_eq!(run.status, Ok(0), "{}", run.output);
    let expected = [
        "the driver was killed: step 1 (WRITE): input/output error (EIO 5)",
        "nobody serves: step 0 (OPEN \"disk:0\"): no such file or directory (ENOENT 2)",
        "another driver serves",
    ];
    assert_eq!(lines(&run.output), expected);
}

//! Hostile programs: the kernel goes on, and nothing of them stays.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{lines, run_within};

/// On a machine that does nothing else it takes half a minute.
const LIMIT: Duration = Duration::from_secs(280);

#[test]
fn hostile_programs_never_stop_the_kernel() {
    let Some(run) = run_within("bin/hostile", "", LIMIT) else { return };
    println!("{}", run.output);
    assert_eq!(run.status, Ok(0), "{}", run.output);
    assert!(!run.output.contains("FAILED"));
    assert_eq!(lines(&run.output).last(), Some(&"11 ok, 0 failed"));
}

//! Evil clients: everything that the other side of a ring between processes can do wrong, done to a service.
//!
//! After each attack the service is up, a good client is served, and nothing has leaked: descriptors, mappings and threads are as
//! many as before. One attack at a time, since these are counted for the whole process.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod attacks;
mod knocking;
mod peer;
mod programs;
mod scene;
mod watching;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(role) = std::env::var_os("OUZEL_EVIL_ROLE") {
        return attacks::play(role.to_str().unwrap());
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = attacks::ATTACKS.iter().map(|(name, attack)| {
        Trial::test(*name, move || {
            scene::counted(*attack);
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

//! The layer that confines clients of a service, over every backend and file system: the suite's own programs, which must
//! not notice that they are confined to all there is; the same verbs side by side with a ring that is not confined; and
//! every way out of the root that there is.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod escapes;
mod limits;
mod race;
mod same;
mod scene;

use std::process::ExitCode;

use ouzel::scheme::Rights;
use ouzel::{BackendKind, Policy};
use ouzel_conformance::{Case, Stage, World, cases, table};

/// Programs of the suite that rely on what confinement takes away, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("open_beneath_stays_below", "it leaves a directory without BENEATH"),
    ("names_of_the_working_directory", "the working directory is not the root"),
];

fn confined_to_all(stage: &Stage) -> World {
    World::over(stage, scene::confined(stage, "/", 4, Rights::all()))
}

fn main() -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // They count the descriptors of the process.
    arguments.test_threads = Some(1);
    // How a ring is waited for, and what its planner does, makes no difference here.
    let stages: Vec<Stage> = Stage::all()
        .into_iter()
        .filter(|stage| stage.policy == Policy::Auto && !stage.awaited && !stage.is_scheme())
        .collect();
    for (name, why) in EXCEPTIONS {
        assert!(cases::all().iter().any(|case| case.name == *name), "{name} is no program of the suite");
        println!("not run: {name}: {why}");
    }
    let excepted = |case: &Case| EXCEPTIONS.iter().any(|(name, _)| *name == case.name);
    let suite: Vec<Case> = cases::all().into_iter().filter(|case| !excepted(case)).collect();
    let mut trials = table::trials_in(&suite, stages, confined_to_all);
    let real: Vec<Stage> = Stage::all()
        .into_iter()
        .filter(|stage| stage.backend != BackendKind::Sim && !stage.is_scheme())
        .collect();
    // Every way of the uring backend in memory, and the one it chooses on a disk, which takes its time over so many files.
    let quick = |stage: &Stage| stage.place == "tmpfs" || (stage.policy == Policy::Auto && !stage.awaited);
    let same = real.iter().filter(|stage| quick(stage)).cloned().collect();
    trials.extend(table::trials_in(same::CASES, same, World::new));
    let own = [escapes::CASES, limits::CASES, race::CASES].concat();
    trials.extend(table::trials_in(&own, real, World::new));
    libtest_mimic::run(&arguments, trials).exit_code()
}

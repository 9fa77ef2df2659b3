//! The table: every program on every stage, as trials of a test harness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};

use crate::{Case, Stage, World};

/// Seeds that a program is run with on the simulator.
const SEEDS: u64 = 4;

/// Why a program was given up as not for this stage; thrown by [`skip`].
struct Skipped(String);

/// Gives the running program up: it cannot be run here, for this reason.
pub fn skip(why: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(Skipped(why.into())))
}

/// Each of `cases` on each stage.
pub fn trials(cases: &[Case]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for stage in Stage::all() {
        let refusal = stage.refusal().map(Arc::new);
        let name = stage.name();
        if let Some(why) = &refusal {
            eprintln!("SKIPPED: {name}: {why}");
        }
        for case in cases {
            let (case, stage, refusal) = (*case, stage.clone(), refusal.clone());
            trials.push(Trial::ignorable_test(format!("{name}/{}", case.name), move || match refusal {
                Some(why) => Ok(Completion::ignored_with(why)),
                None => run(case, &stage),
            }));
        }
    }
    trials
}

fn run(case: Case, stage: &Stage) -> Result<Completion, Failed> {
    let seeds = if stage.is_sim() { SEEDS } else { 1 };
    let first: u64 = std::env::var("OUZEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let stage = Stage { seed, ..stage.clone() };
        let program = AssertUnwindSafe(|| (case.run)(&mut World::new(&stage)));
        if let Err(thrown) = catch_unwind(program) {
            if let Some(Skipped(why)) = thrown.downcast_ref() {
                println!("SKIPPED: {}/{}: {why}", stage.name(), case.name);
                return Ok(Completion::ignored_with(why));
            }
            let text = thrown.downcast_ref::<String>().cloned();
            let text = text.or_else(|| thrown.downcast_ref::<&str>().map(|text| text.to_string()));
            return Err(format!("seed {seed}: {}", text.unwrap_or_default()).into());
        }
    }
    Ok(Completion::Completed)
}

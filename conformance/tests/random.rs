//! Random chains with faults: every backend tells the same of them as the simulator.
//!
//! `OUZEL_RANDOM_CHAINS` says how many, `OUZEL_SEED` which.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use ouzel_conformance::Stage;
use ouzel_conformance::random::{Player, chain, setting, shrink, table};

/// Chains that a pair of worlds is used for.
const BATCH: u64 = 50;

fn compare(stage: &Stage, seed: u64, chains: u64) -> Result<Completion, Failed> {
    println!("{}: {chains} chains, OUZEL_SEED={seed}", stage.name());
    // On the simulator itself another seed means other latencies, other runs and another order.
    let stages = [&Stage::sim(seed), stage];
    let mut number = 0;
    while number < chains {
        let mut players = stages.map(|stage| Player::new(stage, seed));
        for number in number..chains.min(number + BATCH) {
            let members = chain(seed, number);
            let accounts = players.each_mut().map(|player| player.play(&members, number, true));
            if accounts[0] != accounts[1] {
                let small = shrink(stages, seed, number, &members)
                    .unwrap_or_else(|| format!("(not alone)\n{}", table(stages, &members, &accounts)));
                return Err(format!("OUZEL_SEED={seed}, chain {number}:\n{small}").into());
            }
        }
        number += BATCH;
    }
    Ok(Completion::Completed)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (seed, chains) = (setting("OUZEL_SEED", 1), setting("OUZEL_RANDOM_CHAINS", 300));
    let mut trials = Vec::new();
    for stage in Stage::all() {
        let stage = if stage.is_sim() { Stage::sim(seed ^ 0x5eed) } else { stage };
        let refusal = stage.refusal();
        trials.push(Trial::ignorable_test(
            format!("{}/random_chains", stage.name()),
            move || match &refusal {
                Some(why) => {
                    println!("SKIPPED: {}: {why}", stage.name());
                    Ok(Completion::ignored_with(why))
                }
                // Each step of theirs is a crossing.
                None if stage.is_scheme() => compare(&stage, seed, chains.div_ceil(5)),
                None => compare(&stage, seed, chains),
            },
        ));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    ouzel_conformance::service::finish();
    conclusion.exit_code()
}

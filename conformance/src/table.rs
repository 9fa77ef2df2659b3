//! The table: every program on every stage, as trials of a test harness.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libtest_mimic::{Completion, Failed, Trial};

use crate::{Case, Stage, World};

/// Seeds that a program is run with on the simulator.
const SEEDS: u64 = 4;

/// Why a program was given up as not for this stage; thrown by [`skip`].
struct Skipped(String);

/// The programs that are not for a service, and why: what they are about is a call on an engine in the same process.
const NOT_FOR_SERVICES: &[(&[&str], &str)] = &[
    (
        &[
            "adopted_files_are_used_and_released",
            "adopted_pipes_behave_as_blocking_ones",
            "adopted_directories_are_directories",
            "adopting_needs_room_in_the_table",
            "releasing_needs_an_idle_descriptor",
            "released_files_are_ordinary_ones",
            "wait_gives_the_status",
            "wait_waits",
            "wait_once_only",
            "wait_times_out_and_is_cancelled",
            "wait_by_poll",
        ],
        "nothing is taken into a service's table by a plain call",
    ),
    (
        &[
            "wake_is_heard_by_read",
            "wake_is_heard_by_poll",
            "wake_is_heard_in_another_ring",
            "wake_is_heard_again_and_again",
            "wake_adds_up",
            "wake_at_the_end_of_the_count_waits",
            "wake_errors",
            "bell_outlives_the_ring_that_made_it",
            "what_is_tried_again_ends_at_teardown",
        ],
        "a bell is taken in by a plain call",
    ),
    (
        &[
            "picked_once",
            "picked_waits_and_is_given_up",
            "picked_in_a_chain",
            "picked_without_a_buffer",
            "picked_many",
            "picked_many_ends_with_the_stream",
            "picked_many_without_buffers_ends_and_loses_nothing",
            "picked_many_without_credits_loses_nothing",
            "picked_many_timeouts",
            "picked_many_ends_with_an_empty_datagram",
            "picked_many_at_teardown",
            "picked_cuts_a_datagram",
            "picked_errors",
        ],
        "a group is made by a plain call",
    ),
    (&["program_restricts_a_ring"], "only the service restricts its clients"),
    (
        &[
            "pipe_writes_ends_through_to_the_ring",
            "register_snapshot_of_the_rings",
            "register_local_saves_stay_local",
            "register_snapshot_is_taken_at_admission",
            "register_saved_only_on_success",
        ],
        "a service's registers are set by what chains save, not by a plain call",
    ),
    (
        &[
            "attributes_with_the_longest_value",
            "read_huge_length_is_shortened",
            "vectored_huge_counts_and_lengths",
        ],
        "no region is as long as what is asked for",
    ),
    (
        &[
            "attributes_buffers_outside_their_region",
            "futex_errors",
            "stat_errors",
            "readlink_buffers_too_small",
            "utimes_errors",
            "statfs_errors",
            "message_in_another_region",
            "option_errors",
            "names_errors",
            "region_transfers_to_its_very_end",
            "region_one_past_the_end",
            "region_offsets_and_lengths_that_overflow",
            "region_removed_and_given_out_again",
            "region_paths",
            "region_pieces",
            "region_length_is_checked_after_loading",
        ],
        "what is shared is whole pages",
    ),
    (
        &[
            "unread_completions_press_back",
            "credits_wait_for_a_whole_chain",
            "silent_entries_hold_their_credit",
        ],
        "what was published counts as taken",
    ),
    (
        &[
            "incomplete_chain_is_reported_and_stays",
            "submit_is_rounded_down_to_whole_chains",
            "teardown_completes_what_was_not_taken",
            "vectored_array_is_read_at_dispatch",
        ],
        "a service takes what is published when it likes",
    ),
    (&["poll_multishot_without_credits_ends_with_enobufs"], "what is in flight is known by what was read"),
    (
        &["teardown_past_its_bound", "teardown_of_more_than_the_queue_holds"],
        "what has not ended with the connection ends with ECONNRESET",
    ),
    (&["futex_between_rings"], "a region is one connection's alone"),
    (&["rings_move_between_threads"], "a movable ring is one in this process"),
];

/// Gives the running program up: it cannot be run here, for this reason.
pub fn skip(why: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(Skipped(why.into())))
}

/// Each of `cases` on each stage.
pub fn trials(cases: &[Case]) -> Vec<Trial> {
    trials_in(cases, Stage::all(), World::new)
}

/// Each of `cases` on each of `stages`, in the world that `make` makes of it.
pub fn trials_in(cases: &[Case], stages: Vec<Stage>, make: fn(&Stage) -> World) -> Vec<Trial> {
    let mut trials = Vec::new();
    for stage in stages {
        let refusal = stage.refusal().map(Arc::new);
        let name = stage.name();
        if let Some(why) = &refusal {
            eprintln!("SKIPPED: {name}: {why}");
        }
        for case in cases {
            let (case, stage, refusal) = (*case, stage.clone(), refusal.clone());
            trials.push(Trial::ignorable_test(format!("{name}/{}", case.name), move || match refusal {
                Some(why) => Ok(Completion::ignored_with(why)),
                None => match not_for(&stage, case.name) {
                    Some(why) => Ok(Completion::ignored_with(why)),
                    None => run(case, &stage, make),
                },
            }));
        }
    }
    trials
}

fn not_for(stage: &Stage, name: &str) -> Option<&'static str> {
    let of_name = |(names, _): &&(&[&str], &str)| names.contains(&name);
    let found = NOT_FOR_SERVICES.iter().find(of_name).filter(|_| stage.is_scheme());
    found.map(|(_, why)| *why)
}

fn run(case: Case, stage: &Stage, make: fn(&Stage) -> World) -> Result<Completion, Failed> {
    let seeds = if stage.is_sim() { SEEDS } else { 1 };
    let first: u64 = std::env::var("OUZEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    for seed in first..first + seeds {
        let stage = Stage { seed, ..stage.clone() };
        let program = AssertUnwindSafe(|| (case.run)(&mut make(&stage)));
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

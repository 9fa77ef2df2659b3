//! The fault wrapper over the simulator: each fault alone, and all at once without losing a report.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use std::collections::BTreeMap;

use ouzel::backend::fault::{Fault, FaultOptions, Injection};
use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::{Backend, Buffers, Edge, Operation, Outcome, Report, Started, Step, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use sim_support::{Driver, content, path, result, span};

fn sim() -> Sim {
    Sim::new(SimOptions::new(1))
}

fn planned(plan: &[(u64, Injection)]) -> Driver<Fault<Sim>> {
    Driver::new(Fault::planned(sim(), plan.iter().copied()))
}

const CREATE: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE).union(OpenFlags::CREATE);

#[test]
fn transfers_are_shortened_and_others_left_alone() {
    let plan = [
        (0, Injection::shorten(1)),
        (1, Injection::shorten(3)),
        (2, Injection::shorten(0)),
        (3, Injection::shorten(2)),
    ];
    let mut fault = planned(&plan);
    fault.open("f", CREATE, 0).unwrap();
    assert_eq!(fault.write(0, b"abcdef", Some(0)), Ok(3));
    assert_eq!(fault.read(0, 6, Some(0)).unwrap(), b"a");
    let pieces = vec![span(b""), span(b"wxyz")].leak();
    let buffers = Buffers::Many { spans: pieces.as_ptr(), count: 2 };
    assert_eq!(fault.run(Operation::Write { file: 0, buffers, position: Some(0) }), Ok(2));
    assert_eq!(fault.read(0, 9, Some(0)).unwrap(), b"wxc");
    assert_eq!(fault.backend.injected(), 3, "an open cannot be short");
}

#[test]
fn errors_come_instead_of_the_operation() {
    let mkdir = |name| Operation::Mkdir { directory: None, path: path(name), mode: 0o755 };
    let mut fault = planned(&[(0, Injection::error(Errno::EIO)), (2, Injection::error(Errno::EDQUOT))]);
    assert_eq!(fault.run(mkdir("d")), Err(Errno::EIO));
    assert_eq!(fault.run(mkdir("d")), Ok(0), "the first did nothing");
    assert_eq!(fault.run(mkdir("e")), Err(Errno::EDQUOT));
    let mut fault = planned(&[(1, Injection::error(Errno::EIO))]);
    fault.open("f", CREATE, 0).unwrap();
    assert_eq!(fault.close(0), Err(Errno::EIO));
    assert_eq!(fault.close(0), Err(Errno::EBADF), "it was closed all the same");
}

#[test]
fn reports_held_back_come_after_others() {
    let mkdir = |name| Operation::Mkdir { directory: None, path: path(name), mode: 0o755 };
    for held in [Injection::hold(6), Injection { hold_reports: 2, ..Injection::default() }] {
        let mut options = SimOptions::new(1);
        options.latency = 0..=0;
        let mut fault = Driver::new(Fault::planned(Sim::new(options), [(0, held)]));
        let first = fault.begin(mkdir("a"));
        fault.begin(mkdir("b"));
        fault.begin(mkdir("c"));
        assert_eq!(fault.end(first).map(result), Some(Ok(0)));
        let others = fault.reports.len();
        assert_eq!(others, 2, "the others were there before it");
    }
}

#[test]
fn a_held_result_survives_its_cancel() {
    let mut fault = planned(&[(0, Injection::hold(5))]);
    let made = fault.begin(Operation::Mkdir { directory: None, path: path("d"), mode: 0o755 });
    for _ in 0..3 {
        let until = fault.backend.now() + 1_000_000;
        fault.backend.inner_mut().wait(1, Some(until)).unwrap();
    }
    assert!(fault.backend.next().is_none());
    fault.backend.cancel(made);
    assert_eq!(fault.end(made).map(result), Some(Ok(0)));
    assert_eq!(fault.open("d", OpenFlags::READ, 0), Ok(0));
}

#[test]
fn late_cancels_arrive_and_lost_ones_do_not() {
    let late = Injection { late_cancel: 3, ..Injection::default() };
    let lost = Injection { lose_cancel: true, ..Injection::default() };
    let mut fault = planned(&[(1, late), (2, lost)]);
    fault.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let buffer = span(&[0; 4]);
    let read = Operation::Read { file: 0, buffers: Buffers::One(buffer), position: None };
    let token = fault.begin(read);
    assert!(fault.is_waiting(token));
    fault.backend.cancel(token);
    fault.backend.wait(1, Some(0)).unwrap();
    assert!(fault.backend.next().is_none(), "not yet");
    assert_eq!(fault.end(token).map(result), Some(Err(Errno::ECANCELED)));
    let token = fault.begin(read);
    assert!(fault.is_waiting(token));
    fault.backend.cancel(token);
    assert!(fault.is_waiting(token));
    fault.write(1, b"true", None).unwrap();
    assert_eq!(fault.end(token).map(result), Some(Ok(4)));
    assert_eq!(content(buffer, 4), b"true");
}

#[test]
fn busy_is_said_once_and_only_while_something_runs() {
    let busy = Injection { busy: true, ..Injection::default() };
    let mut fault = planned(&[(0, busy), (1, busy)]);
    fault.begin(Operation::Pipe { into: [0, 1] });
    let step = fault.step(Operation::Mkdir { directory: None, path: path("d"), mode: 0o755 });
    assert_eq!(fault.backend.start(&[step]), Started::Busy);
    let token = fault.begin_step(step);
    assert_eq!(fault.end(token).map(result), Some(Ok(0)));
}

#[test]
fn a_run_goes_on_up_to_the_step_with_a_fault() {
    let decide = Box::new(|step: &Step| match step.operation {
        Operation::Read { .. } => Injection::shorten(2),
        _ => Injection::default(),
    });
    let mut fault = Driver::new(Fault::new(sim(), decide));
    fault.open("f", CREATE, 0).unwrap();
    fault.write(0, b"12345", None).unwrap();
    let open = Operation::Open { directory: None, path: path("f"), flags: OpenFlags::READ, mode: 0, into: 1 };
    let read = Operation::Read { file: 1, buffers: Buffers::One(span(&[0; 5])), position: None };
    let steps = [fault.step(open), fault.step(read), fault.step(Operation::Close { file: 1 })];
    match fault.backend.start(&steps) {
        Started::Taken { count, .. } => assert_eq!(count, 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(fault.end(steps[0].token).map(result), Some(Ok(0)));
    let token = fault.begin_step(steps[1]);
    assert_eq!(fault.end(token).map(result), Some(Ok(2)));
}

/// Everything at once: each step is reported once, whatever happens to it.
fn storm(seed: u64, runs: bool) -> Vec<Report> {
    let mut options = FaultOptions::new(seed);
    options.short_transfers = 200;
    options.errors = 200;
    options.reorder = 300;
    options.late = 300;
    options.cancel_races = 300;
    options.busy = 200;
    options.runs = runs;
    let mut fault = Fault::seeded(Sim::new(SimOptions::new(seed)), options);
    let mut open: BTreeMap<u32, u32> = BTreeMap::new();
    let mut told = Vec::new();
    let mut order: Vec<Vec<Token>> = Vec::new();
    for round in 0..200u32 {
        let file = round;
        let create = Operation::Open {
            directory: None,
            path: path(format!("f{round}")),
            flags: CREATE,
            mode: 0o644,
            into: file,
        };
        let write = Operation::Write { file, buffers: Buffers::One(span(&[1; 100])), position: None };
        let operations = [create, write, Operation::Close { file }];
        let steps: Vec<Step> = (0..3)
            .map(|at| Step {
                token: Token { slot: round * 3 + at, generation: 1 },
                operation: operations[at as usize],
                edge: Edge::Success,
                may_wait: true,
            })
            .collect();
        let count = if runs { 3 } else { 1 };
        let taken = loop {
            match fault.start(&steps[..count]) {
                Started::Taken { count, .. } => break count,
                Started::Finished { outcome, .. } => {
                    told.push(Report { token: steps[0].token, outcome, more: false });
                    break 0;
                }
                Started::Busy => {
                    fault.wait(1, None).unwrap();
                    while let Some(report) = fault.next() {
                        *open.get_mut(&report.token.slot).unwrap() -= 1;
                        told.push(report);
                    }
                }
            }
        };
        for step in &steps[..taken] {
            open.insert(step.token.slot, 1);
        }
        order.push(steps[..taken].iter().map(|step| step.token).collect());
        if round % 3 == 0 {
            fault.cancel(steps[0].token);
        }
    }
    for _ in 0..1000 {
        fault.wait(1, None).unwrap();
        while let Some(report) = fault.next() {
            *open.get_mut(&report.token.slot).unwrap() -= 1;
            told.push(report);
        }
    }
    assert!(open.values().all(|left| *left == 0), "each step taken is reported once");
    for run in order {
        let places: Vec<_> =
            run.iter().map(|token| told.iter().position(|report| report.token == *token)).collect();
        assert!(places.is_sorted(), "a run is reported in its order");
    }
    told
}

#[test]
fn nothing_is_lost_in_a_storm_and_a_seed_repeats_it() {
    for seed in 0..30 {
        for runs in [false, true] {
            let told = storm(seed, runs);
            assert_eq!(told, storm(seed, runs));
            assert!(told.len() >= 200);
            let failed = told
                .iter()
                .filter(|report| matches!(report.outcome, Outcome::Done { error, .. } if !error.is_ok()));
            assert!(failed.count() > 10);
        }
    }
}

//! When the simulator does what it is asked to: cancels, runs, determinism and waiting, through the backend trait.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::{Backend, Buffers, Edge, Operation, Outcome, Report, Started, Step, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use sim_support::{Driver, path, read, result, span};

fn driver(seed: u64) -> Driver<Sim> {
    Driver::new(Sim::new(SimOptions::new(seed)))
}

#[test]
fn cancels_end_what_waits_and_nothing_else() {
    let mut sim = driver(7);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let waiting = sim.begin(read(0, 1));
    assert!(sim.is_waiting(waiting));
    sim.backend.cancel(Token { slot: 999, generation: 1 });
    assert!(sim.is_waiting(waiting));
    sim.backend.cancel(waiting);
    assert_eq!(sim.end(waiting).map(result), Some(Err(Errno::ECANCELED)));
    sim.backend.cancel(waiting);
    assert!(sim.backend.next().is_none());
    // During the latency it may win or lose; either way there is one report, and it is true.
    let mut seen = [0, 0];
    for number in 0..100 {
        let name = format!("d{number}");
        let token = sim.begin(Operation::Mkdir { directory: None, path: path(&name), mode: 0o777 });
        sim.backend.cancel(token);
        let outcome = result(sim.end(token).unwrap());
        let made = sim.open(&name, OpenFlags::READ, 5);
        match outcome {
            Ok(_) => {
                assert_eq!(made, Ok(0));
                sim.close(5).unwrap();
                seen[0] += 1;
            }
            Err(error) => {
                assert_eq!((error, made), (Errno::ECANCELED, Err(Errno::ENOENT)));
                seen[1] += 1;
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 10), "{seen:?}");
}

/// Starts a run, in as many pieces as the backend takes, and gives the outcomes in order.
fn run_steps(sim: &mut Driver<Sim>, operations: &[(Operation, Edge)]) -> (Vec<Outcome>, bool) {
    let steps: Vec<Step> =
        operations.iter().map(|(operation, edge)| Step { edge: *edge, ..sim.step(*operation) }).collect();
    let taken = match sim.backend.start(&steps) {
        Started::Taken { count, .. } => count,
        Started::Finished { outcome, .. } => return (vec![outcome], false),
        Started::Busy => panic!("busy"),
    };
    let until = sim.backend.now() + 10_000_000;
    sim.backend.wait(u32::MAX, Some(until)).unwrap();
    let reports: Vec<Report> = core::iter::from_fn(|| sim.backend.next()).collect();
    let order: Vec<Token> = reports.iter().map(|report| report.token).collect();
    assert_eq!(order, steps[..taken].iter().map(|step| step.token).collect::<Vec<_>>());
    (reports.iter().map(|report| report.outcome).collect(), taken == steps.len())
}

#[test]
fn runs_keep_their_order_and_break_on_what_is_short() {
    let mut whole = 0;
    for seed in 0..40 {
        let mut sim = driver(seed);
        sim.open("f", OpenFlags::WRITE | OpenFlags::CREATE, 0).unwrap();
        sim.write(0, b"12345", None).unwrap();
        let open = |name| Operation::Open {
            directory: None,
            path: path(name),
            flags: OpenFlags::READ,
            mode: 0,
            into: 1,
        };
        let close = Operation::Close { file: 1 };
        let done = Outcome::success;
        let exact = [(open("f"), Edge::Success), (read(1, 5), Edge::Success), (close, Edge::Success)];
        let (outcomes, all) = run_steps(&mut sim, &exact);
        if !all {
            continue;
        }
        whole += 1;
        assert_eq!(outcomes, [done(0), done(5), done(0)]);
        let short = [(open("f"), Edge::Success), (read(1, 9), Edge::Success), (close, Edge::Success)];
        let (outcomes, all) = run_steps(&mut sim, &short);
        if all {
            assert_eq!(outcomes, [done(0), done(5), Outcome::NotRun]);
        }
        let _ = sim.close(1);
        let hard = [(open("f"), Edge::Success), (read(1, 9), Edge::Success), (close, Edge::Always)];
        let (outcomes, all) = run_steps(&mut sim, &hard);
        if all {
            assert_eq!(outcomes, [done(0), done(5), done(0)]);
            assert_eq!(sim.close(1), Err(Errno::EBADF));
        }
        let _ = sim.close(1);
        let failed = [(open("none"), Edge::Success), (read(1, 9), Edge::Success), (close, Edge::Always)];
        let (outcomes, all) = run_steps(&mut sim, &failed);
        if all {
            let missing = Outcome::failure(Errno::ENOENT);
            assert_eq!(outcomes, [missing, Outcome::NotRun, Outcome::NotRun]);
        }
    }
    assert!(whole > 20);
}

/// A jumble of independent operations: what is reported, in which order and when.
fn jumble(seed: u64) -> Vec<(Report, u64)> {
    let mut sim = driver(seed);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    for number in 0..40u32 {
        match number % 4 {
            0 => drop(sim.begin(read(0, 3))),
            1 => {
                let buffers = Buffers::One(span(b"abcdef"));
                sim.begin(Operation::Write { file: 1, buffers, position: None });
            }
            2 => {
                let path = path(format!("d{number}"));
                sim.begin(Operation::Mkdir { directory: None, path, mode: 0o755 });
            }
            _ => drop(sim.begin(Operation::Socket { domain: 1, kind: 1, protocol: 0, into: 2 + number })),
        }
    }
    let mut told = Vec::new();
    while sim.backend.wait(1, None).is_ok() {
        let Some(report) = sim.backend.next() else { break };
        told.push((report, sim.backend.now()));
    }
    assert_eq!(told.len(), 40);
    told
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(jumble(11), jumble(11));
    let order = |seed| jumble(seed).into_iter().map(|(report, _)| report.token.slot).collect::<Vec<_>>();
    assert_ne!(order(11), order(12));
    let sim = Sim::new(SimOptions::new(0x2a));
    assert_eq!(sim.seed(), 0x2a);
    assert_eq!(sim.to_string(), "sim (seed 0x2a)");
    assert!(format!("{sim:?}").contains("seed"));
}

#[test]
fn nothing_to_wait_for_is_no_reason_to_wait() {
    let mut sim = Sim::new(SimOptions::new(1));
    let start = sim.now();
    sim.wait(5, None).unwrap();
    assert_eq!(sim.now(), start);
    sim.wait(5, Some(start + 77)).unwrap();
    assert_eq!(sim.now(), start + 77);
    sim.wait(0, None).unwrap();
    assert_eq!(sim.now(), start + 77 + 1000);
}

#[test]
fn more_than_may_be_in_flight_is_busy() {
    let mut options = SimOptions::new(1);
    options.in_flight = 2;
    let mut sim = Driver::new(Sim::new(options));
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let first = sim.begin(read(0, 1));
    sim.begin(read(0, 1));
    let third = sim.step(read(0, 1));
    assert_eq!(sim.backend.start(&[third]), Started::Busy);
    sim.write_busy(first);
}

trait AfterBusy {
    fn write_busy(&mut self, token: Token);
}

impl AfterBusy for Driver<Sim> {
    /// Once one has ended there is room again.
    fn write_busy(&mut self, token: Token) {
        while self.is_waiting(token) {
            self.backend.cancel(token);
        }
        let mkdir = Operation::Mkdir { directory: None, path: path("d"), mode: 0o755 };
        assert_eq!(self.run(mkdir), Ok(0));
    }
}

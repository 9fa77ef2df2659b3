//! Runs of linked members, and what they mean for descriptors: how they begin, break and are resumed.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{Edge, Operation, Outcome};
use ouzel_ring::{EntryFlags, Errno, Verb};

const OK: Errno = Errno::OK;
const EBADF: Errno = Errno::EBADF;
const ECANCELED: Errno = Errno::ECANCELED;

fn run_rig() -> (Rig, u64) {
    let mut rig = Rig::with(Scripted::with_runs(8), 16, 16);
    let file = rig.descriptor();
    (rig, file)
}

#[test]
fn a_run_that_broke_for_a_short_transfer_is_resumed() {
    let (mut rig, file) = run_rig();
    rig.push(&[linked(read(1, file)), linked(read(2, file)), read(3, file)]);
    rig.go();
    assert_eq!(rig.backend().offered, [3]);
    rig.tell(0, ok(1));
    rig.tell(1, Outcome::NotRun);
    rig.tell(2, Outcome::NotRun);
    rig.go();
    assert_eq!(rig.backend().offered, [3, 2]);
    rig.tell(3, ok(2));
    rig.tell(4, ok(3));
    rig.enter(0, 3);
    assert_eq!(rig.seen(), [(1, OK, 1), (2, OK, 2), (3, OK, 3)]);
    rig.assert_empty();
}

#[test]
fn a_run_reports_in_pieces_and_ahead_of_turn() {
    let (mut rig, file) = run_rig();
    rig.push(&[linked(read(1, file)), linked(read(2, file)), read(3, file)]);
    rig.go();
    for number in 0..3 {
        rig.tell(number, ok(number as u64));
        rig.enter(0, 1);
        assert_eq!(rig.seen(), [(number as u64 + 1, OK, number as u64)]);
    }
    rig.assert_empty();
}

#[test]
fn a_run_that_broke_for_a_failure_is_not_resumed() {
    let (mut rig, file) = run_rig();
    rig.push(&[linked(read(1, file)), hard(read(2, file)), finally(close(3, file))]);
    rig.go();
    assert_eq!(
        rig.backend().started.iter().map(|step| step.edge).collect::<Vec<_>>()[1..],
        [Edge::Success, Edge::Always]
    );
    rig.tell(0, failed(Errno::EIO));
    rig.tell(1, Outcome::NotRun);
    rig.tell(2, Outcome::NotRun);
    rig.go();
    // The CLOSE did not run, so the descriptor is open, and now it runs.
    assert_eq!(rig.engine.gauges().descriptors, 1);
    assert_eq!(rig.backend().offered, [3, 1]);
    rig.tell(3, ok(0));
    rig.enter(0, 3);
    assert_eq!(rig.errors(), [(1, Errno::EIO), (2, ECANCELED), (3, OK)]);
    assert_eq!(rig.engine.gauges().descriptors, 0);
    rig.assert_empty();
}

#[test]
fn a_close_that_did_not_run_leaves_the_descriptor_open() {
    let (mut rig, file) = run_rig();
    rig.push(&[linked(read(1, file)), close(2, file)]);
    rig.go();
    rig.tell(0, failed(Errno::EIO));
    rig.tell(1, Outcome::NotRun);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::EIO), (2, ECANCELED)]);
    rig.push(&[linked(read(3, file)), close(4, file)]);
    rig.go();
    rig.tell(2, ok(0));
    rig.tell(3, failed(Errno::EIO));
    rig.go();
    assert_eq!(rig.errors(), [(3, OK), (4, Errno::EIO)]);
    assert_eq!(rig.engine.gauges().descriptors, 0, "a close that fails closes all the same");
    rig.assert_empty();
}

#[test]
fn a_descriptor_is_dead_as_soon_as_its_close_is_dispatched() {
    let (mut rig, file) = run_rig();
    rig.push(&[close(1, file), read(2, file), close(3, file)]);
    rig.go();
    assert_eq!(rig.errors(), [(2, EBADF), (3, EBADF)]);
    // A CLOSE that was given up in time has closed nothing.
    rig.tell(0, failed(ECANCELED));
    rig.go();
    assert_eq!(rig.errors(), [(1, ECANCELED)]);
    // One that hangs on a read is not dispatched before that is over.
    rig.push(&[linked(read(4, file)), close(5, file), read(6, file)]);
    rig.go();
    assert_eq!(rig.backend().started.len(), 4);
    for number in [1, 2, 3] {
        rig.tell(number, ok(0));
    }
    rig.enter(0, 3);
    assert_eq!(rig.errors(), [(4, OK), (5, OK), (6, OK)]);
    assert_eq!(rig.engine.gauges().descriptors, 0);
}

#[test]
fn an_opened_descriptor_travels_in_its_run_and_a_closed_one_does_not() {
    let (mut rig, _) = run_rig();
    rig.push(&[
        local(linked(save(open(1), 0))),
        linked(load(read(2, 0), 0, 0)),
        linked(load(close(3, 0), 0, 0)),
        load(read(4, 0), 0, 0),
    ]);
    rig.go();
    assert_eq!(rig.backend().offered, [3]);
    let index = match rig.backend().started[0].operation {
        Operation::Open { into, .. } => into,
        other => panic!("{other:?}"),
    };
    assert!(matches!(rig.backend().started[1].operation, Operation::Read { file, .. } if file == index));
    for number in 0..3 {
        rig.tell(number, ok(0));
    }
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK), (4, EBADF)]);
    assert_eq!(rig.engine.gauges().descriptors, 1);
}

#[test]
fn an_index_is_not_reused_while_an_operation_names_it() {
    let mut rig = Rig::with(Scripted::new(), 8, 8);
    let file = rig.descriptor();
    rig.push(&[read(1, file), close(2, file)]);
    rig.go();
    rig.tell(1, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(2, OK)]);
    let taken: Vec<u32> = std::iter::from_fn(|| rig.engine.reserve_descriptor().ok()).collect();
    assert_eq!(taken.len(), 15);
    assert!(!taken.contains(&(file as u32)));
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.engine.reserve_descriptor(), Ok(file as u32));
    assert_eq!(rig.engine.reserve_descriptor(), Err(Errno::EMFILE));
    rig.push(&[open(3), save(entry(Verb::Pipe, 4, EntryFlags::empty(), [0; 5]), 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (3, Errno::EMFILE), (4, Errno::EMFILE)]);
    assert_eq!(rig.backend().started.len(), 2, "found before anything is opened");
}

#[test]
fn a_run_cut_short_by_the_backend_reserves_nothing_for_the_rest() {
    let (mut rig, _) = run_rig();
    rig.backend().answers.push_back(Answer::Take(1));
    rig.push(&[linked(save(open(1), 0)), linked(save(open(2), 1)), save(open(3), 2)]);
    rig.go();
    assert_eq!(rig.engine.gauges().descriptors, 2);
    rig.tell(0, failed(Errno::ENOENT));
    rig.go();
    assert_eq!(rig.engine.gauges().descriptors, 1);
    assert_eq!(rig.errors(), [(1, Errno::ENOENT), (2, ECANCELED), (3, ECANCELED)]);
    rig.assert_empty();
}

// The crossing

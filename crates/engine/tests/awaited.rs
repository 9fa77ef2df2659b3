//! A backend may block for an operation only while whoever entered can do nothing but wait for it.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_ring::{Entry, Errno};

/// A ring whose submitter enters it, with an open file; everything is over as it is started.
fn rig() -> (Rig, u64) {
    let mut rig = Rig::with(Scripted::with_runs(4), 16, 16);
    rig.engine.submitter_enters();
    rig.backend().otherwise = Answer::Finish(ok(0));
    let file = rig.descriptor();
    (rig, file)
}

/// Whether the backend was allowed to block for each of the operations that these entries started.
fn allowed(rig: &mut Rig, entries: &[Entry], wait: u32) -> Vec<bool> {
    rig.backend().allowed.clear();
    rig.push(entries);
    rig.enter(u32::MAX, wait);
    rig.seen();
    rig.backend().allowed.clone()
}

#[test]
fn one_chain_that_is_waited_for_may_block() {
    let (mut rig, file) = rig();
    assert_eq!(allowed(&mut rig, &[read(1, file)], 1), [true]);
    assert_eq!(allowed(&mut rig, &[linked(read(1, file)), read(2, file)], 2), [true, true]);
    // At once, too.
    rig.backend().at_once.extend([Some(ok(0)), Some(ok(0))]);
    assert_eq!(allowed(&mut rig, &[linked(read(1, file)), read(2, file)], 2), [true, true]);
    rig.assert_empty();
}

#[test]
fn without_waiting_nothing_may() {
    let (mut rig, file) = rig();
    assert_eq!(allowed(&mut rig, &[read(1, file)], 0), [false]);
    // Nor where somebody else submits, who could cancel it or want something else.
    let mut rig = Rig::with(Scripted::with_runs(4), 16, 16);
    rig.backend().otherwise = Answer::Finish(ok(0));
    let file = rig.descriptor();
    assert_eq!(allowed(&mut rig, &[read(1, file)], 1), [false]);
}

#[test]
fn who_waits_for_a_time_is_not_kept_longer() {
    let (mut rig, file) = rig();
    rig.push(&[read(1, file)]);
    rig.engine.enter(u32::MAX, 1, Some(5)).unwrap();
    assert_eq!(rig.backend().allowed, [false]);
    rig.seen();
    // An operation's own time, and a chain's, are kept as well.
    assert_eq!(allowed(&mut rig, &[Entry { timeout: 5, ..read(1, file) }], 1), [false]);
    assert_eq!(allowed(&mut rig, &[linked(deadline(1, 1_000)), read(2, file)], 2), [false]);
    rig.backend().at_once.push_back(None);
    assert_eq!(allowed(&mut rig, &[Entry { timeout: 5, ..read(1, file) }], 1), [false, false]);
    // They are over with it.
    assert_eq!(allowed(&mut rig, &[read(1, file)], 1), [true]);
}

#[test]
fn who_has_enough_is_not_kept_for_more() {
    let (mut rig, file) = rig();
    assert_eq!(allowed(&mut rig, &[linked(read(1, file)), read(2, file)], 1), [true, false]);
    // What was not read counts.
    rig.push(&[nop(1)]);
    rig.go();
    assert_eq!(allowed(&mut rig, &[read(2, file)], 1), [false]);
}

#[test]
fn with_company_nothing_may() {
    let (mut rig, file) = rig();
    // The first has another behind it in the queue; the second is all that is left.
    assert!(!allowed(&mut rig, &[read(1, file), read(2, file)], 2)[0]);
    let (mut rig, file) = self::rig();
    rig.backend().answers.push_back(Answer::Take(1));
    rig.push(&[read(1, file)]);
    rig.go();
    rig.backend().on_sleep.push_back(vec![(0, ok(0), false)]);
    assert_eq!(allowed(&mut rig, &[read(2, file)], 2), [false]);
    let (mut rig, file) = self::rig();
    rig.push(&[sleep(1, 1_000_000)]);
    rig.go();
    assert_eq!(allowed(&mut rig, &[read(2, file)], 1), [false]);
    rig.enter(0, 1);
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_eq!(allowed(&mut rig, &[read(3, file)], 1), [true]);
    rig.assert_empty();
}

#[test]
fn what_is_started_outside_of_an_enter_may_not() {
    let (mut rig, file) = rig();
    rig.backend().answers.push_back(Answer::Take(1));
    rig.backend().yields = true;
    rig.push(&[linked(read(1, file)), finally(read(2, file))]);
    rig.go();
    rig.backend().allowed.clear();
    assert_eq!(rig.engine.cancel(ouzel_engine::Target::All), 1);
    rig.go();
    assert_eq!(rig.backend().allowed, [false]);
    assert_eq!(rig.errors(), [(1, Errno::ECANCELED), (2, Errno::OK)]);
    rig.assert_empty();
}

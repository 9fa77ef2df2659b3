//! Entries that are alone: started as they are taken in, over as their report is read, and still like any other.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Answer, Rig, entry, failed, nop, ok, read};
use ouzel_engine::{Outcome, Target};
use ouzel_ring::{EntryFlags, Errno, Verb};

#[test]
fn an_enter_that_does_not_wait_takes_all_that_the_backend_finds_bit_by_bit() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[read(1, file), read(2, file), read(3, file)]);
    // The first submits; with each that follows one more is found.
    rig.backend().found =
        [vec![], vec![(0, ok(0), false)], vec![(2, ok(0), false)], vec![(1, ok(0), false)]].into();
    rig.go();
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK), (3, Errno::OK), (2, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn what_waits_for_the_end_of_others_begins_in_the_same_enter() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    let behind = entry(Verb::Read, 2, EntryFlags::DRAIN, [file, 0, 0, 0, 0]);
    rig.push(&[read(1, file), behind]);
    rig.go();
    assert_eq!(rig.backend().started.len(), 1);
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.backend().started.len(), 2);
    rig.tell(1, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK), (2, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn one_that_was_not_run_is_started_again() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[read(1, file)]);
    rig.go();
    rig.tell(0, Outcome::NotRun);
    rig.go();
    assert_eq!(rig.backend().running(), [1]);
    rig.tell(1, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn one_for_which_there_was_no_room_is_tried_again() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().answers = [Answer::Busy].into();
    rig.push(&[read(1, file)]);
    rig.go();
    rig.go();
    assert_eq!(rig.backend().running(), [0]);
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn a_cancel_reaches_what_was_taken_in_with_it_before_it_and_behind() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().yields = true;
    let cancel = entry(Verb::Cancel, 2, EntryFlags::LOCAL, [0, 7, 0, 0, 0]);
    rig.push(&[read(7, file), cancel, read(7, file)]);
    rig.go();
    // The one behind it had not begun.
    assert_eq!(rig.backend().cancelled, [0]);
    assert_eq!(rig.backend().started.len(), 1);
    let mut seen = rig.seen();
    seen.sort_unstable_by_key(|(data, ..)| *data);
    assert_eq!(seen, [(2, Errno::OK, 2), (7, Errno::ECANCELED, 0), (7, Errno::ECANCELED, 0)]);
    rig.assert_empty();
}

#[test]
fn one_that_was_given_up_is_not_reached_again() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[read(7, file)]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::Data(7)), 1);
    assert_eq!(rig.engine.cancel(Target::Data(7)), 0);
    rig.tell(0, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(rig.errors(), [(7, Errno::ECANCELED)]);
    rig.assert_empty();
}

#[test]
fn silence_is_kept_about_a_success_only() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    let silent = |data| entry(Verb::Read, data, EntryFlags::SILENT | EntryFlags::LOCAL, [file, 0, 0, 0, 0]);
    rig.push(&[silent(1), silent(2)]);
    rig.go();
    rig.tell(0, ok(0));
    rig.tell(1, failed(Errno::EIO));
    rig.go();
    assert_eq!(rig.errors(), [(2, Errno::EIO)]);
    rig.assert_empty();
}

#[test]
fn one_that_is_over_when_it_is_started_or_refused_is_complete_at_once() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().answers = [Answer::Finish(ok(0))].into();
    let local = nop(3).flags(EntryFlags::LOCAL);
    rig.push(&[read(1, file), read(2, file + 1), local]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK), (2, Errno::EBADF), (3, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn a_teardown_finds_what_is_under_way() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().yields = true;
    rig.push(&[read(1, file), read(2, file)]);
    rig.go();
    rig.engine.begin_teardown();
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::ECANCELED), (2, Errno::ECANCELED)]);
    assert!(rig.engine.is_idle());
}

//! Defects that a review of the engine found, each as the shortest story that shows it.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{Outcome, Target};
use ouzel_ring::modifiers::TimeBase;
use ouzel_ring::{CompletionFlags, Entry, EntryFlags, Errno, Verb};

const ECANCELED: Errno = Errno::ECANCELED;
const ETIMEDOUT: Errno = Errno::ETIMEDOUT;

/// The ring still works: every slot can be taken and given back again.
fn assert_sound(rig: &mut Rig) {
    rig.assert_empty();
    let most = rig.engine.limits().chain as u64;
    for _ in 0..3 {
        let chain: Vec<Entry> = (0..most).map(|data| with(get(data), EntryFlags::LINK)).collect();
        let mut chain = chain;
        if let Some(last) = chain.last_mut() {
            last.flags = 0;
        }
        rig.push(&chain);
        rig.go();
        assert_eq!(rig.pop_all().len() as u64, most);
    }
    rig.assert_empty();
}

#[test]
fn a_stalled_chain_that_was_cancelled_is_forgotten() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[read(1, file)]);
    rig.go();
    rig.backend().answers.push_back(Answer::Busy);
    rig.backend().answers.push_back(Answer::Busy);
    rig.push(&[read(2, file)]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::Data(2)), 1);
    assert_eq!(rig.errors(), [(2, ECANCELED)]);
    // The report would have restarted the stalled chain, whose slot is free by now.
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_stalled_chain_that_timed_out_is_forgotten() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[read(1, file)]);
    rig.go();
    for _ in 0..4 {
        rig.backend().answers.push_back(Answer::Busy);
    }
    rig.push(&[read(2, file).timeout(50)]);
    assert_eq!(rig.enter(1, 1).readable, 1);
    assert_eq!(rig.errors(), [(2, ETIMEDOUT)]);
    assert_eq!(rig.backend().now, 1_050);
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_stalled_chain_is_tried_again_once_the_backend_has_submitted() {
    // The first read ends only because of the second, for which there was no room before the first was submitted.
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().answers.extend([Answer::Take(1), Answer::Busy]);
    rig.backend().on_sleep.push_back(vec![(1, ok(2), false)]);
    rig.backend().on_sleep.push_back(vec![(0, ok(1), false)]);
    rig.push(&[read(1, file), read(2, file)]);
    rig.enter(2, 2);
    assert_eq!(rig.seen(), [(2, Errno::OK, 2), (1, Errno::OK, 1)]);
    assert_sound(&mut rig);
}

#[test]
fn a_backend_without_room_is_asked_again_at_each_enter() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().answers.extend([Answer::Busy; 4]);
    rig.push(&[read(1, file)]);
    for enters in 1..=4 {
        assert_eq!(rig.go().readable, 0);
        assert_eq!((rig.backend().starts, rig.backend().started.len()), (enters, 0));
    }
    assert!(rig.backend().waits.iter().all(|(want, _)| *want == 0), "nobody asked it to wait");
    rig.go();
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_backend_without_room_is_slept_for_and_not_spun_for() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    // It is busy with what the engine does not know of, for about 100 milliseconds.
    rig.backend().answers.extend([Answer::Busy; 100]);
    rig.push(&[read(1, file)]);
    let before = rig.backend().now;
    assert_eq!(rig.engine.enter(1, 1, Some(20_000_000)).unwrap().readable, 0);
    let slept = rig.backend().now - before;
    assert!((20_000_000..22_000_000).contains(&slept), "{slept} ns of 20 ms");
    assert!(rig.backend().waits.len() < 50, "it was asked {} times", rig.backend().waits.len());
    // With no limit of its own it waits until there is room, and then for the end.
    let (before, busy) = (rig.backend().now, rig.backend().answers.len() as u64);
    rig.backend().otherwise = Answer::Finish(ok(0));
    assert_eq!(rig.enter(0, 1).readable, 1);
    assert!(rig.backend().now - before >= busy * 900_000, "it did not sleep between its questions");
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_deadline_in_the_past_ends_the_chain_once() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[linked(deadline(1, 0)), linked(read(2, file)), hard(read(3, file)), finally(get(4))]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK), (2, ETIMEDOUT), (3, ECANCELED), (4, Errno::OK)]);
    assert_sound(&mut rig);
    // Alone, so that the chain is over before its own deadline has been dealt with.
    rig.push(&[deadline(1, 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_deadline_of_never_replaces_an_earlier_one() {
    for never in
        [[0, 0, u64::MAX, TimeBase::Relative as u64, 0], [0, 0, u64::MAX, TimeBase::Absolute as u64, 0]]
    {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        let forever = entry(Verb::Deadline, 2, EntryFlags::LINK, never);
        rig.push(&[linked(deadline(1, 100)), forever, read(3, file)]);
        rig.go();
        assert_eq!(rig.errors(), [(1, Errno::OK), (2, Errno::OK)]);
        rig.backend().now += 1_000;
        rig.go();
        assert_eq!(rig.backend().cancelled, [] as [usize; 0]);
        rig.tell(0, ok(0));
        rig.go();
        assert_eq!(rig.errors(), [(3, Errno::OK)]);
        assert_sound(&mut rig);
    }
}

#[test]
fn a_report_that_another_chain_depends_on_is_not_waited_past() {
    // Chain 1 reads and then writes what chain 2 waits for: two are started, but only one can report.
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[linked(read(1, file)), read(2, file), read(3, file)]);
    rig.backend().on_sleep.push_back(vec![(0, ok(1), false)]);
    rig.backend().on_sleep.push_back(vec![(2, ok(2), false), (1, ok(3), false)]);
    assert_eq!(rig.enter(3, 3).readable, 3);
    assert_eq!(rig.seen(), [(1, Errno::OK, 1), (2, Errno::OK, 2), (3, Errno::OK, 3)]);
    assert_sound(&mut rig);
}

#[test]
fn what_waits_in_the_queue_for_completions_to_be_read_is_said() {
    // The read ends only because of an entry that is not admitted before the submitter reads completions.
    let mut rig = Rig::new(8, 4);
    let file = rig.descriptor();
    rig.push(&[read(1, file), get(2), get(3), get(4), get(5)]);
    let mut seen = Vec::new();
    let mut enters = 0;
    while seen.len() < 4 {
        rig.enter(u32::MAX, 4 - seen.len() as u32);
        seen.extend(rig.errors());
        enters += 1;
        assert!(enters < 10);
    }
    assert_eq!(seen.iter().map(|(data, _)| *data).collect::<Vec<_>>(), [2, 3, 4, 5]);
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn a_multishot_s_results_reach_a_queue_of_two() {
    let mut rig = Rig::new(4, 2);
    let file = rig.descriptor();
    rig.push(&[poll(1, file)]);
    rig.go();
    rig.tell_more(0, 11);
    rig.tell_more(0, 12);
    rig.go();
    assert_eq!(rig.backend().cancelled, [0]);
    rig.tell(0, failed(ECANCELED));
    let mut seen = Vec::new();
    for _ in 0..6 {
        rig.go();
        seen.extend(rig.pop_all().iter().map(|one| (one.errno(), one.result, one.flags)));
    }
    let more = CompletionFlags::MORE.bits();
    assert_eq!(seen, [(Errno::OK, 11, more), (Errno::OK, 12, more), (Errno::ENOBUFS, 0, 0)]);
    assert_sound(&mut rig);
}

#[test]
fn multishots_that_hold_every_slot_still_end() {
    let mut rig = Rig::new(4, 4);
    let file = rig.descriptor();
    rig.push(&[poll(0, file), poll(1, file), poll(2, file)]);
    rig.go();
    for number in 0..3 {
        rig.tell_more(number, 7);
    }
    rig.go();
    for number in 0..3 {
        rig.tell(number, failed(ECANCELED));
    }
    let mut seen = Vec::new();
    for _ in 0..8 {
        rig.go();
        seen.extend(rig.pop_all().iter().map(|one| (one.data, one.errno(), one.flags)));
    }
    for data in 0..3 {
        let own: Vec<_> = seen.iter().filter(|one| one.0 == data).map(|one| (one.1, one.2)).collect();
        assert_eq!(own, [(Errno::OK, 1), (Errno::ENOBUFS, 0)], "of {data}");
    }
    assert_sound(&mut rig);
}

#[test]
fn a_timeout_does_not_end_a_multishot_that_is_over() {
    let mut rig = Rig::new(4, 2);
    let file = rig.descriptor();
    rig.push(&[poll(1, file).timeout(100)]);
    rig.go();
    rig.tell_more(0, 11);
    rig.tell_more(0, 12);
    rig.tell(0, failed(Errno::EIO));
    rig.go();
    rig.backend().now += 1_000;
    let mut seen = Vec::new();
    for _ in 0..6 {
        rig.go();
        seen.extend(rig.pop_all().iter().map(|one| (one.errno(), one.result, one.flags)));
    }
    assert_eq!(seen, [(Errno::OK, 11, 1), (Errno::OK, 12, 1), (Errno::EIO, 0, 0)]);
    assert_sound(&mut rig);
}

#[test]
fn an_enter_ends_when_the_store_is_full() {
    let mut rig = Rig::new(4, 4);
    let file = rig.descriptor();
    rig.push(&[poll(1, file), read(2, file)]);
    rig.go();
    for result in 0..12 {
        rig.tell_more(0, result);
    }
    rig.tell(0, failed(ECANCELED));
    let mut seen = Vec::new();
    for _ in 0..20 {
        if seen.len() == 13 {
            break;
        }
        rig.enter(0, (13 - seen.len() as u32).min(4));
        seen.extend(rig.pop_all().iter().map(|one| (one.data, one.errno(), one.result)));
    }
    let mut expected: Vec<_> = (0..12).map(|result| (1, Errno::OK, result)).collect();
    expected.push((1, Errno::ENOBUFS, 0));
    assert_eq!(seen, expected);
    rig.tell(1, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(2, Errno::OK)]);
    assert_sound(&mut rig);
}

#[test]
fn an_accept_that_finds_the_table_full_ends() {
    let mut rig = Rig::new(8, 64);
    let socket = rig.descriptor();
    rig.push(&[accept(1, socket)]);
    rig.go();
    for handle in 100..115 {
        rig.tell_more(0, handle);
    }
    rig.go();
    let seen = rig.pop_all();
    assert_eq!(seen.len(), 15);
    assert!(seen.iter().all(|one| one.error == 0 && one.flags == 1));
    assert_eq!(rig.backend().attached.len(), 15);
    rig.tell_more(0, 200);
    rig.go();
    assert_eq!(rig.backend().discarded, [200]);
    assert_eq!(rig.backend().cancelled, [0]);
    assert_eq!(rig.pop_all(), [], "an error is not one result of many");
    rig.tell_more(0, 201);
    rig.tell(0, failed(ECANCELED));
    rig.go();
    assert_eq!(rig.backend().discarded, [200, 201]);
    let seen: Vec<_> = rig.pop_all().iter().map(|one| (one.errno(), one.flags)).collect();
    assert_eq!(seen, [(Errno::EMFILE, 0)]);
    rig.assert_empty();
}

#[test]
fn an_accept_s_last_report_may_bring_a_connection() {
    let mut rig = Rig::new(8, 8);
    let socket = rig.descriptor();
    rig.push(&[accept(1, socket)]);
    rig.go();
    rig.tell(0, ok(77));
    rig.go();
    let seen = rig.pop_all();
    assert_eq!((seen[0].errno(), seen[0].flags), (Errno::OK, 0));
    assert_eq!(rig.backend().attached.len(), 1);
    assert!(rig.engine.open_descriptors().any(|descriptor| descriptor.number() == seen[0].result));
    assert_sound(&mut rig);
}

#[test]
fn a_pipe_s_second_end_keeps_its_name_when_it_is_closed_in_the_same_run() {
    let mut rig = Rig::with(Scripted::with_runs(8), 8, 8);
    let pipe = local(save(entry(Verb::Pipe, 1, EntryFlags::LINK, [0; 5]), 0));
    rig.push(&[pipe, linked(load(close(2, 0), 0, 1)), linked(load(get(3), 0, 1)), load(read(4, 0), 0, 1)]);
    rig.go();
    assert_eq!(rig.backend().offered, [2]);
    rig.tell(0, ok(0));
    rig.tell(1, ok(0));
    rig.go();
    let seen = rig.seen();
    assert_eq!(seen[3].1, Errno::EBADF);
    // A name of a later life would have been another chain's.
    let next = rig.descriptor();
    assert_ne!(seen[2].2, next);
    assert_eq!(seen[2].2 as u32, next as u32, "the index itself is given out again");
    rig.assert_empty();
}

#[test]
fn a_close_of_what_was_never_opened_frees_no_index_twice() {
    // A backend that runs the CLOSE of a run although the OPEN failed.
    let mut rig = Rig::with(Scripted::with_runs(8), 8, 8);
    let file = rig.descriptor();
    rig.push(&[local(linked(save(open(1), 0))), linked(read(2, file)), finally(load(close(3, 0), 0, 0))]);
    rig.go();
    assert_eq!(rig.backend().offered, [3]);
    rig.tell(0, failed(Errno::ENOENT));
    rig.tell(1, Outcome::NotRun);
    rig.tell(2, failed(Errno::EBADF));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::ENOENT), (2, ECANCELED), (3, ECANCELED)]);
    assert_eq!(rig.engine.gauges().descriptors, 1);
    assert_sound(&mut rig);
    let mut names: Vec<u64> = (0..15).map(|_| rig.descriptor()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 15);
    assert!(rig.engine.reserve_descriptor().is_err());
}

#[test]
fn of_a_run_only_the_running_member_times_out() {
    let mut rig = Rig::with(Scripted::with_runs(8), 8, 8);
    let file = rig.descriptor();
    rig.backend().yields = true;
    rig.push(&[linked(deadline(1, 100)), linked(read(2, file)), hard(read(3, file)), read(4, file)]);
    rig.enter(4, 4);
    assert_eq!(rig.errors(), [(1, Errno::OK), (2, ETIMEDOUT), (3, ECANCELED), (4, ECANCELED)]);
    assert_sound(&mut rig);
}

#[test]
fn a_deadline_between_two_members_times_the_next_one_out() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[linked(deadline(1, 100)), linked(read(2, file)), hard(read(3, file)), read(4, file)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK)]);
    rig.tell(0, ok(0));
    rig.backend().now += 100;
    rig.go();
    assert_eq!(rig.errors(), [(2, Errno::OK), (3, ETIMEDOUT), (4, ECANCELED)]);
    assert_sound(&mut rig);
}

#[test]
fn a_broken_ring_can_still_be_torn_down() {
    let mut rig = Rig::new(8, 4);
    let file = rig.descriptor();
    rig.push(&[linked(read(1, file)), finally(close(2, file)), poll(3, file)]);
    rig.go();
    rig.tell_more(1, 5);
    rig.tell_more(1, 6);
    rig.lie(1, 12345);
    assert!(rig.engine.enter(0, 1, None).is_err() || rig.engine.enter(u32::MAX, 1, None).is_err());
    rig.backend().yields = true;
    rig.engine.begin_teardown();
    for _ in 0..10 {
        for number in rig.backend().running() {
            rig.tell(number, ok(0));
        }
        if rig.engine.is_idle() {
            break;
        }
        rig.engine.enter(0, 1, Some(0)).unwrap();
    }
    assert!(rig.engine.is_idle());
    rig.assert_empty();
    assert_eq!(rig.backend().started.len(), 3, "the FINALLY entry has run");
}

#[test]
fn a_chain_cut_by_the_budget_is_not_incomplete() {
    let mut rig = Rig::new(8, 8);
    rig.push(&[linked(get(1)), get(2)]);
    let entered = rig.enter(1, 0);
    assert_eq!((entered.taken, entered.incomplete), (0, 0));
    let entered = rig.enter(2, 0);
    assert_eq!((entered.taken, entered.incomplete), (2, 0));
    rig.push(&[linked(get(3))]);
    let entered = rig.enter(2, 0);
    assert_eq!((entered.taken, entered.incomplete), (0, 1));
}

#[test]
fn refusals_leave_the_slot_for_cancel() {
    let mut rig = Rig::new(4, 4);
    let file = rig.descriptor();
    rig.push(&[read(1, file), read(2, file)]);
    rig.go();
    // Two held, one free beside the one kept back.
    rig.push(&[linked(get(3)), linked(get(4)), linked(get(5)), get(6)]);
    rig.go();
    assert_eq!(rig.submitter.unread().unwrap(), 1, "the kept slot is not for refusals");
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.extend(rig.errors());
        rig.go();
    }
    assert_eq!(seen, [3, 4, 5, 6].map(|data| (data, Errno::E2BIG)));
    rig.tell(0, ok(0));
    rig.tell(1, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::OK), (2, Errno::OK)]);
    assert_sound(&mut rig);
}

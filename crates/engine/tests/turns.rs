//! Taking turns: what an enter does at most, how it says that there is more, and what counts as refused.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::Target;
use ouzel_ring::modifiers::MAX_REPEAT;
use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

const OK: Errno = Errno::OK;
const NEVER: u64 = u64::MAX;

/// A program that runs 2 × `laps` + 1 members, all in the engine.
fn program_of(data: u64, laps: u64) -> [Entry; 3] {
    [program(local(linked(get(data)))), linked(get(data)), repeat(data, laps, 1)]
}

/// Enters without waiting until nothing more can be done. Returns how often.
fn enter_until_over(rig: &mut Rig) -> u32 {
    let mut enters = 0;
    loop {
        rig.go();
        enters += 1;
        assert!(enters < 10_000, "it is never over");
        if !rig.engine.has_more() {
            return enters;
        }
    }
}

#[test]
fn a_long_program_has_a_turn_with_each_enter() {
    let mut rig = Rig::new(8, 16);
    rig.engine.take_turns();
    rig.push(&program_of(1, 3000));
    let entered = rig.go();
    assert_eq!((entered.taken, entered.readable), (3, 0));
    assert!(rig.engine.has_more());
    assert_eq!(rig.engine.gauges().chains, 1);
    // 6,001 members, 1,024 a turn.
    assert_eq!(enter_until_over(&mut rig), 5);
    assert_eq!(rig.seen(), [(1, OK, 0), (1, OK, 0), (1, OK, 3000)]);
    assert!(!rig.engine.has_more());
    rig.assert_empty();
}

#[test]
fn without_turns_and_when_it_waits_an_enter_goes_on() {
    let mut rig = Rig::new(8, 16);
    rig.push(&program_of(1, 3000));
    rig.go();
    assert!(!rig.engine.has_more());
    assert_eq!(rig.errors().len(), 3);
    rig.engine.take_turns();
    rig.push(&program_of(1, 3000));
    assert_eq!(rig.enter(u32::MAX, 1).readable, 3);
    assert!(!rig.engine.has_more());
    // What had its turn goes on also in one that waits.
    rig.pop_all();
    rig.push(&program_of(1, 3000));
    rig.go();
    assert!(rig.engine.has_more());
    assert_eq!(rig.enter(0, 1).readable, 3);
    rig.pop_all();
    rig.assert_empty();
}

#[test]
fn all_programs_of_a_client_share_its_turn() {
    let mut rig = Rig::new(16, 32);
    rig.engine.take_turns();
    for data in 1..=4 {
        rig.push(&program_of(data, 1000));
    }
    rig.push(&[get(9)]);
    // What is no program is done in the same enter.
    rig.go();
    assert_eq!(rig.errors(), [(9, OK)]);
    // 8,004 members, 1,024 and one of each other chain a turn, of which one has gone.
    assert_eq!(enter_until_over(&mut rig), 7);
    let mut ended = rig.seen();
    ended.sort_by_key(|(data, _, result)| (*data, *result));
    let expected = (1..=4).flat_map(|data| [(data, OK, 0), (data, OK, 0), (data, OK, 1000)]);
    assert_eq!(ended, expected.collect::<Vec<_>>());
    rig.assert_empty();
}

#[test]
fn programs_that_share_a_turn_all_get_on() {
    let mut rig = Rig::new(16, 32);
    rig.engine.take_turns();
    rig.push(&program_of(1, MAX_REPEAT));
    rig.push(&program_of(2, MAX_REPEAT));
    rig.push(&program_of(3, 1500));
    for _ in 0..20 {
        rig.go();
    }
    assert_eq!(rig.errors(), [(3, OK), (3, OK), (3, OK)], "the short one is over, the endless ones are not");
    assert_eq!(rig.engine.cancel(Target::All), 6);
    while rig.engine.has_more() {
        rig.go();
    }
    assert_eq!(rig.errors().len(), 6);
    rig.assert_empty();
}

#[test]
fn reports_that_come_at_once_are_taken_twice_a_turn() {
    let laps = 100;
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    // With each wait the operation reports that was started last.
    rig.backend().found = (0..laps).map(|number| vec![(number, ok(1), false)]).collect();
    rig.engine.take_turns();
    rig.push(&[program(linked(read(1, file))), repeat(2, laps as u64, 1)]);
    // Not one more than two of them, for as long as they come at once.
    let enters = enter_until_over(&mut rig);
    assert!((laps as u32 / 2..=laps as u32).contains(&enters), "{enters} enters for {laps} reads");
    assert_eq!(rig.seen(), [(1, OK, 1), (2, OK, laps as u64)]);
    rig.assert_empty();
}

#[test]
fn what_has_no_room_is_more() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.engine.take_turns();
    rig.backend().otherwise = Answer::Busy;
    rig.push(&[read(1, file)]);
    rig.go();
    assert!(rig.engine.has_more() && rig.engine.has_stalled());
    rig.backend().otherwise = Answer::Take(1);
    rig.go();
    assert!(!rig.engine.has_more() && !rig.engine.has_stalled());
    rig.tell(0, ok(3));
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 3)]);
}

/// Two readers of a run that the backend has, and a loop whose runs it does at once: the loop's turn ends within a run.
#[test]
fn a_turn_does_not_end_between_members_prepared_for_one_run() {
    for turns in [false, true] {
        let backend = Scripted { otherwise: Answer::Finish(ok(0)), ..Scripted::with_runs(64) };
        let mut rig = Rig::with(backend, 128, 256);
        let file = rig.descriptor();
        if turns {
            rig.engine.take_turns();
        }
        rig.backend().answers.push_back(Answer::Take(2));
        rig.push(&[program(linked(read(1, file))), read(2, file)]);
        rig.go();
        assert_eq!(rig.backend().running(), [0, 1]);
        // 61 members a lap, so that the 1,024th is within a run. The others have their say between two turns.
        rig.push(&[program(hard(read(10, file)))]);
        rig.push(&(11..70).map(|data| hard(read(data, file))).collect::<Vec<_>>());
        rig.push(&[repeat(70, 100, 60)]);
        rig.backend().found.push_back(vec![(0, ok(5), false)]);
        enter_until_over(&mut rig);
        rig.tell(1, ok(6));
        rig.go();
        let mut seen = rig.seen();
        seen.sort_by_key(|(data, ..)| *data);
        assert_eq!(seen[..2], [(1, OK, 5), (2, OK, 6)]);
        assert!(seen[2..62].iter().all(|(_, error, _)| *error == OK));
        assert_eq!(seen[62..], [(70, OK, 100)]);
        assert_eq!(rig.backend().starts, 1 + 100 * 60);
        rig.assert_empty();
    }
}

#[test]
fn a_cancel_gets_past_a_blocked_head_from_beyond_the_budget() {
    for turns in [false, true] {
        let mut rig = Rig::new(16, 4);
        if turns {
            rig.engine.take_turns();
        }
        rig.push(&[sleep(1, NEVER), sleep(2, NEVER), sleep(3, NEVER)]);
        rig.push(&[get(4), get(5), get(6), get(7), cancel(8, 2)]);
        assert_eq!(rig.enter(3, 0).taken, 3);
        rig.enter(2, 0);
        let seen = rig.errors();
        if turns {
            assert_eq!(seen, [(8, OK), (2, Errno::ECANCELED)]);
        } else {
            assert_eq!(seen, []);
        }
    }
}

#[test]
fn a_cancel_does_not_overtake_what_only_the_budget_holds_back() {
    let mut rig = Rig::new(8, 16);
    rig.engine.take_turns();
    rig.push(&[linked(get(1)), linked(get(2)), sleep(3, NEVER), cancel(4, 3)]);
    assert_eq!(rig.enter(2, 0).taken, 0);
    assert_eq!(rig.errors(), []);
    assert_eq!(rig.enter(3, 0).taken, 3);
    assert_eq!(rig.enter(3, 0).taken, 1);
    assert_eq!(rig.seen(), [(1, OK, 0), (2, OK, 0), (4, OK, 1), (3, Errno::ECANCELED, 0)]);
    rig.assert_empty();
}

#[test]
fn a_limit_of_time_that_passes_is_told_to_the_backend_in_the_same_enter() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[Entry { timeout: 100, ..read(1, file) }]);
    rig.go();
    rig.backend().now += 200;
    let waits = rig.backend().waits.len();
    rig.go();
    assert_eq!(rig.backend().cancelled, [0]);
    assert!(rig.backend().waits.len() > waits + 1, "the cancel was left lying about");
    assert!(!rig.engine.has_more());
}

#[test]
fn what_counts_as_refused() {
    let mut rig = Rig::new(16, 32);
    let file = rig.descriptor();
    let unknown = |data| Entry { op: 4_000, ..get(data) };
    let count = |rig: &mut Rig, entries: &[Entry]| {
        let before = rig.engine.refused();
        rig.push(entries);
        rig.go();
        rig.pop_all();
        rig.assert_empty();
        rig.engine.refused() - before
    };
    // Malformed chains, with every entry that they have.
    assert_eq!(count(&mut rig, &[with(get(1), EntryFlags::from_bits_retain(1 << 27))]), 1);
    assert_eq!(count(&mut rig, &[hard(linked(get(1))), get(2)]), 2);
    assert_eq!(count(&mut rig, &[linked(get(1)), linked(get(2)), local(get(3)), get(4)]), 3);
    assert_eq!(count(&mut rig, &[linked(finally(get(1))), get(2)]), 2);
    assert_eq!(count(&mut rig, &[with(save(get(1), 0), EntryFlags::MULTISHOT)]), 1);
    // Numbers that no verb has.
    assert_eq!(count(&mut rig, &[unknown(1)]), 1);
    assert_eq!(count(&mut rig, &[hard(unknown(1)), get(2), linked(get(3)), unknown(4)]), 2);
    assert_eq!(count(&mut rig, &[linked(unknown(1)), unknown(2)]), 1, "the second had no turn");
    assert_eq!(count(&mut rig, &[Entry { op: u32::MAX, ..get(1) }]), 1);
    rig.backend().at_once = [Some(ok(0))].into();
    assert_eq!(
        count(&mut rig, &[linked(read(1, file)), unknown(2)]),
        1,
        "also where a chain is done at once"
    );
    // What may be wrong by chance.
    assert_eq!(count(&mut rig, &[read(1, 77), get(2)]), 0);
    assert_eq!(count(&mut rig, &[load(local(get(1)), 0, 3)]), 0);
    assert_eq!(count(&mut rig, &[load(read(1, file), 1, 0)]), 0);
    let long: Vec<Entry> = (0..15).map(|data| linked(get(data))).chain([get(16)]).collect();
    assert_eq!(rig.engine.limits().chain, 16);
    assert_eq!(count(&mut rig, &long), 0);
    assert_eq!(count(&mut rig, &[Entry::new(Verb::Set).data(1), Entry::new(Verb::Repeat).data(2)]), 0);
}

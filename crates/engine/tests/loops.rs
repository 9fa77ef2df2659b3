//! Chains with PROGRAM: members that run more than once, and completions that come when the chain is over.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::Target;
use ouzel_ring::modifiers::{Action, Condition, MAX_PROGRAM_STEPS, MAX_REPEAT, TestFlags, TestOf};
use ouzel_ring::{CompletionFlags, Descriptor, Entry, EntryFlags, Errno, Verb};

const OK: Errno = Errno::OK;

/// (user data, error, result, whether it was skipped) of everything that can be read.
fn ends<B: ouzel_engine::Backend>(rig: &mut Rig<B>) -> Vec<(u64, Errno, u64, bool)> {
    rig.pop_all()
        .iter()
        .map(|one| {
            assert_eq!(one.flags & !CompletionFlags::SKIPPED.bits(), 0);
            (one.data, one.errno(), one.result, one.was_skipped())
        })
        .collect()
}

/// r`register` grows by `by`.
fn grow(data: u64, register: usize, by: u64) -> Entry {
    let add = Entry::new(Verb::Add).data(data).arguments([0, 0, 0, by, 0]);
    save(load(add, 2, register), register)
}

/// Skips or stops if r`register` is not less than `comparand`.
fn unless_less(data: u64, register: usize, comparand: u64, action: Action, distance: u64) -> Entry {
    let condition = Condition::Less as u64 | TestFlags::NOT.bits();
    load(test(data, TestOf::Value, 0, condition, comparand, action, distance), 2, register)
}

#[test]
fn the_body_runs_as_often_as_the_bound_says() {
    let mut rig = Rig::new(8, 16);
    for bound in [1, 2, 3, 100, 3000] {
        rig.push(&[
            program(local(linked(save(set(1, 0), 0)))),
            linked(grow(2, 0, 1)),
            linked(repeat(3, bound, 1)),
            load(get(4), 0, 0),
        ]);
        rig.go();
        let expected = [(1, OK, 0), (2, OK, bound), (3, OK, bound), (4, OK, bound)];
        assert_eq!(rig.seen(), expected);
        rig.assert_empty();
    }
}

#[test]
fn what_a_repeat_refuses() {
    let mut rig = Rig::new(8, 16);
    let all = |bound, distance| Entry::new(Verb::Repeat).arguments([0, 0, bound, distance, 0]);
    for (entry, expected) in [
        (all(1, 2), OK),
        (all(2, 1), OK),
        (all(0, 1), Errno::EINVAL),
        (all(MAX_REPEAT + 1, 1), Errno::EINVAL),
        (all(1, 0), Errno::EINVAL),
        (all(1, 3), Errno::EINVAL),
        (all(1, u64::MAX), Errno::EINVAL),
        (all(u64::MAX, 1), Errno::EINVAL),
        (finally(all(1, 1)), Errno::EINVAL),
    ] {
        let before =
            if entry.flags & EntryFlags::FINALLY.bits() != 0 { hard(get(2)) } else { linked(get(2)) };
        rig.push(&[program(linked(get(1))), before, entry]);
        rig.go();
        assert_eq!(rig.errors(), [(1, OK), (2, OK), (0, expected)], "{entry:?}");
    }
    // The largest bound.
    rig.push(&[program(linked(get(1))), repeat(2, MAX_REPEAT, 1)]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 0), (2, OK, MAX_REPEAT)]);
    // The first member can be no body.
    rig.push(&[program(repeat(1, 1, 1))]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::EINVAL)]);
    rig.assert_empty();
}

#[test]
fn completions_come_in_order_when_the_chain_is_over() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[
        program(linked(read(1, file))),
        with(linked(get(2)), EntryFlags::SILENT),
        hard(read(3, file)),
        linked(repeat(4, 2, 3)),
        finally(read(5, file)),
    ]);
    rig.go();
    let outcomes = [ok(5), failed(Errno::EIO), ok(6), ok(7), ok(8)];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(rig.engine.gauges().packets, 5);
        assert!(rig.pop_all().is_empty());
        rig.tell(number, outcome);
        rig.go();
    }
    assert_eq!(rig.seen(), [(1, OK, 6), (3, OK, 7), (4, OK, 2), (5, OK, 8)]);
    rig.assert_empty();
    // One that fails breaks the loop; what never ran says so, what ran before keeps its end.
    rig.push(&[program(linked(read(1, file))), linked(read(2, file)), linked(repeat(3, 9, 2)), get(4)]);
    rig.go();
    for (number, outcome) in [(5, ok(1)), (6, ok(2)), (7, ok(3)), (8, failed(Errno::EPIPE))] {
        rig.tell(number, outcome);
        rig.go();
    }
    assert_eq!(
        ends(&mut rig),
        [(1, OK, 3, false), (2, Errno::EPIPE, 0, false), (3, OK, 1, false), (4, Errno::ECANCELED, 0, false)]
    );
    rig.assert_empty();
}

#[test]
fn a_sleeper_for_many_completions_wakes_with_the_chain() {
    // Three completions come with one report; nobody may sleep until three reports have come.
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[read(7, file), read(8, file), program(linked(get(1))), linked(get(2)), read(3, file)]);
    rig.backend().on_sleep.push_back(vec![(2, ok(1), false)]);
    let entered = rig.enter(u32::MAX, 3);
    assert_eq!(entered.readable, 3);
    assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK)]);
}

#[test]
fn tests_break_and_continue() {
    let mut rig = Rig::new(16, 32);
    // r0 counts turns, r1 those that were odd; it ends at the seventh.
    let odd = save(load(Entry::new(Verb::And).data(4).arguments([0, 0, 0, 1, 0]), 2, 0), 2);
    let skip_even = load(test(5, TestOf::Value, 0, Condition::Zero as u64, 0, Action::Skip, 1), 2, 2);
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(save(set(2, 0), 1)),
        linked(grow(3, 0, 1)),
        linked(odd),
        linked(skip_even),
        linked(grow(6, 1, 1)),
        linked(unless_less(7, 0, 7, Action::Skip, 1)),
        linked(repeat(8, 100, 5)),
        linked(load(get(9), 0, 0)),
        load(get(10), 0, 1),
    ]);
    rig.go();
    let all = ends(&mut rig);
    assert_eq!(all[8..], [(9, OK, 7, false), (10, OK, 4, false)]);
    // The REPEAT ran six times and was skipped the seventh: it completes as it ended last.
    assert_eq!(all[7], (8, OK, 6, false));
    // One that skips to the REPEAT goes on with the next turn.
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(grow(2, 0, 1)),
        linked(unless_less(3, 0, 2, Action::Skip, 1)),
        linked(save(load(get(4), 0, 0), 1)),
        linked(repeat(5, 5, 3)),
        linked(load(get(6), 0, 0)),
        load(get(7), 0, 1),
    ]);
    rig.go();
    let all = ends(&mut rig);
    assert_eq!(all[3..], [(4, OK, 1, false), (5, OK, 5, false), (6, OK, 5, false), (7, OK, 1, false)]);
    // One that stops ends the chain.
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(grow(2, 0, 1)),
        linked(unless_less(3, 0, 4, Action::Stop, 0)),
        linked(repeat(4, 100, 2)),
        linked(get(5)),
        finally(load(get(6), 0, 0)),
    ]);
    rig.go();
    let expected = [
        (1, OK, 0, false),
        (2, OK, 4, false),
        (3, OK, 1, false),
        (4, OK, 3, false),
        (5, OK, 0, true),
        (6, OK, 4, false),
    ];
    assert_eq!(ends(&mut rig), expected);
    rig.assert_empty();
}

#[test]
fn loops_nest() {
    let mut rig = Rig::new(8, 16);
    // The count of an inner REPEAT begins anew with each turn of the outer one, also if a TEST left it.
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(grow(2, 0, 1)),
        linked(repeat(3, 5, 1)),
        linked(grow(4, 0, 100)),
        linked(repeat(5, 3, 3)),
        load(get(6), 0, 0),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 0), (2, OK, 215), (3, OK, 5), (4, OK, 315), (5, OK, 3), (6, OK, 315)]);
    let inner_break = unless_less(3, 1, 2, Action::Skip, 1);
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(save(set(2, 0), 1)),
        linked(grow(7, 0, 1)),
        linked(grow(8, 1, 1)),
        linked(inner_break),
        linked(repeat(4, 50, 3)),
        linked(repeat(5, 4, 5)),
        load(get(6), 0, 0),
    ]);
    rig.go();
    assert_eq!(rig.seen()[7], (6, OK, 8), "two turns of the inner one for each of four of the outer");
    rig.assert_empty();
}

#[test]
fn the_turn_can_be_saved() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(save(set(2, 0), 1)),
        linked(save(load(load(Entry::new(Verb::Add).data(3), 2, 0), 3, 1), 1)),
        linked(save(repeat(4, 4, 1), 0)),
        load(get(5), 0, 1),
    ]);
    rig.go();
    assert_eq!(rig.seen()[4], (5, OK, 1 + 2 + 3));
}

#[test]
fn a_chain_runs_so_many_members_and_no_more() {
    let mut rig = Rig::new(8, 16);
    let (outer, inner) = (511, 1024);
    // Each turn of the outer loop runs 1,024 GETs, as many REPEATs, a GET and a REPEAT; before it comes one SET.
    let run = |rig: &mut Rig, extra: u64| {
        let left = MAX_PROGRAM_STEPS - (1 + outer * (2 * inner + 2));
        // A GET and a REPEAT each turn, and one more member, make it exactly the limit.
        assert_eq!((left, left % 2), (1025, 1));
        let fits = left / 2;
        rig.push(&[
            program(hard(set(1, 0))),
            hard(get(2)),
            hard(repeat(3, inner, 1)),
            hard(get(4)),
            hard(repeat(5, outer, 3)),
            hard(get(6)),
            hard(repeat(7, fits + extra, 1)),
            get(8),
        ]);
        rig.go();
        rig.errors()
    };
    assert_eq!(run(&mut rig, 0), (1..=8).map(|data| (data, OK)).collect::<Vec<_>>());
    let errors = run(&mut rig, 1);
    assert_eq!(errors[..6], [(1, OK), (2, OK), (3, OK), (4, OK), (5, OK), (6, OK)]);
    assert_eq!(errors[6..], [(7, Errno::ELOOP), (8, Errno::ELOOP)], "the next one fails, and so on");
    rig.assert_empty();
}

#[test]
fn a_failure_for_its_length_breaks_the_chain_and_runs_finally() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[
        program(local(linked(save(set(1, 0), 0)))),
        linked(grow(2, 0, 1)),
        linked(repeat(3, MAX_REPEAT, 1)),
        linked(repeat(4, MAX_REPEAT, 2)),
        linked(get(5)),
        finally(load(get(6), 0, 0)),
    ]);
    rig.go();
    let all = ends(&mut rig);
    let failed: Vec<_> = all.iter().filter(|end| end.1 == Errno::ELOOP).map(|end| end.0).collect();
    assert_eq!(failed.len(), 1, "{all:?}");
    assert_eq!(all[4], (5, Errno::ECANCELED, 0, false));
    assert_eq!((all[5].1, all[5].3), (OK, false));
    rig.assert_empty();
}

#[test]
fn runs_do_not_reach_past_the_limit() {
    // 1,024 members a turn, 1,023 of them READs in runs of 64.
    let mut rig = Rig::with(Scripted { otherwise: Answer::Take(64), ..Scripted::with_runs(64) }, 2048, 4096);
    let file = rig.descriptor();
    rig.push(&[program(hard(read(0, file)))]);
    rig.push(&(1..1022).map(|data| hard(read(data, file))).collect::<Vec<_>>());
    rig.push(&[hard(repeat(1022, MAX_REPEAT, 1022)), hard(read(1023, file)), read(1024, file)]);
    rig.go();
    let mut told = 0;
    while rig.engine.gauges().packets > 0 {
        // Only the last run is remembered, or this would take long.
        let steps = rig.backend().started.len();
        for number in told..steps {
            rig.tell(number, ok(0));
        }
        told = steps;
        rig.go();
    }
    // 1,025 turns of 1,023 members make 1,048,575.
    assert_eq!(told as u64, 1025 * 1022 + 1, "one READ of the next turn ran");
    let errors = rig.errors();
    assert_eq!(errors[0], (0, OK));
    assert!(errors[1..].iter().all(|(data, error)| *error == Errno::ELOOP || *data < 1022), "ELOOP");
    rig.assert_empty();
}

#[test]
fn long_loops_let_others_run() {
    let mut rig = Rig::new(16, 32);
    let file = rig.descriptor();
    let long = |data: u64| {
        [program(local(linked(save(set(data, 0), 0)))), linked(grow(data, 0, 1)), repeat(data, MAX_REPEAT, 1)]
    };
    rig.push(&[linked(read(1, file)), get(2)]);
    rig.enter(2, 0);
    rig.tell(0, ok(1));
    rig.push(&long(10));
    rig.push(&long(11));
    rig.push(&[get(3)]);
    // Who waits for one completion gets it though the loops are not over.
    rig.enter(u32::MAX, 1);
    let first = rig.errors();
    assert!(first.contains(&(3, OK)) && !first.contains(&(10, OK)), "{first:?}");
    rig.enter(0, 1);
    let second = rig.errors();
    assert!(second.contains(&(1, OK)), "a report came in between: {second:?}");
    // Whoever does not wait gets all there is.
    rig.go();
    assert_eq!(rig.errors().len(), 9 - first.len() - second.len());
    rig.assert_empty();
}

#[test]
fn the_time_of_an_enter_is_up_within_a_loop() {
    struct Ticking(Scripted);
    impl ouzel_engine::Backend for Ticking {
        fn now(&self) -> u64 {
            self.0.now
        }
        fn start(&mut self, steps: &[ouzel_engine::Step]) -> ouzel_engine::Started {
            self.0.start(steps)
        }
        fn cancel(&mut self, token: ouzel_engine::Token) {
            self.0.cancel(token);
        }
        fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
            // Time passes while the engine computes.
            self.0.now += 10;
            self.0.wait(want, until)
        }
        fn next(&mut self) -> Option<ouzel_engine::Report> {
            self.0.next()
        }
        fn attach(&mut self, handle: u64, index: u32) {
            self.0.attach(handle, index);
        }
        fn discard(&mut self, handle: u64) {
            self.0.discard(handle);
        }
        fn counters(&self) -> ouzel_engine::Counters {
            self.0.counters()
        }
    }
    let limits = ouzel_engine::Limits { in_process: true, ..Default::default() };
    let mut rig = Rig::over(Ticking(Scripted::new()), 8, 16, 0, limits);
    let endless = |first: Entry| {
        [
            program(local(linked(first))),
            linked(get(2)),
            linked(repeat(3, MAX_REPEAT, 1)),
            linked(repeat(4, MAX_REPEAT, 2)),
            finally(get(5)),
        ]
    };
    rig.push(&endless(get(1)));
    let entered = rig.engine.enter(u32::MAX, 1, Some(100)).unwrap();
    assert_eq!((entered.taken, entered.readable), (5, 0));
    assert!(rig.engine.backend().0.now < 1_200);
    // A cancel gets through between two turns, and the member whose turn it was says so.
    assert_eq!(rig.engine.cancel(Target::Data(1)), 1);
    rig.go();
    let errors = rig.errors();
    assert_eq!(errors[0], (1, OK));
    assert_eq!(errors.iter().filter(|(_, error)| *error == Errno::ECANCELED).count(), 2, "{errors:?}");
    assert_eq!(errors[4], (5, OK));
    // So does a deadline.
    rig.push(&endless(deadline(1, 150)));
    rig.go();
    let errors = rig.errors();
    assert_eq!(errors[0], (1, OK));
    assert_eq!(errors.iter().filter(|(_, error)| *error == Errno::ETIMEDOUT).count(), 1, "{errors:?}");
    assert_eq!(errors[4], (5, OK));
    rig.assert_empty();
}

#[test]
fn a_cancel_reaches_members_that_may_run_again() {
    let mut rig = Rig::new(8, 16);
    let (file, other) = (rig.descriptor(), rig.descriptor());
    let chain = [program(linked(read(1, file))), linked(read(2, other)), linked(repeat(3, 5, 2)), get(4)];
    // In the second turn the second member runs; the first has not completed, so a cancel of it reaches the chain.
    for (round, target) in [
        Target::Data(1),
        Target::Descriptor(Descriptor::from_number(file).unwrap()),
        Target::DataRange { first: 0, last: 1 },
    ]
    .into_iter()
    .enumerate()
    {
        rig.push(&chain);
        rig.go();
        for number in 0..3 {
            rig.tell(4 * round + number, ok(number as u64 + 1));
            rig.go();
        }
        assert_eq!(rig.engine.cancel(target), 1, "{target:?}");
        assert_eq!(rig.engine.cancel(target), 0, "not twice");
        assert_eq!(rig.backend().cancelled.pop(), Some(4 * round + 3));
        // It succeeds all the same, so the next one says that the chain was cancelled, though it had run before.
        rig.tell(4 * round + 3, ok(9));
        rig.go();
        assert_eq!(
            ends(&mut rig),
            [
                (1, OK, 3, false),
                (2, OK, 9, false),
                (3, Errno::ECANCELED, 0, false),
                (4, Errno::ECANCELED, 0, false)
            ]
        );
    }
    // Had it been cancelled, that would be told already.
    rig.push(&chain);
    rig.go();
    for number in 12..15 {
        rig.tell(number, ok(1));
        rig.go();
    }
    assert_eq!(rig.engine.cancel(Target::All), 4);
    rig.tell(15, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(
        ends(&mut rig),
        [
            (1, OK, 1, false),
            (2, Errno::ECANCELED, 0, false),
            (3, OK, 1, false),
            (4, Errno::ECANCELED, 0, false)
        ]
    );
    // Once only FINALLY members are left, none is reached.
    rig.push(&[program(linked(get(1))), finally(read(2, file))]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::All), 0);
    rig.tell(16, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, OK)]);
    rig.assert_empty();
}

#[test]
fn a_timeout_is_about_one_turn() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[
        program(hard(read(1, file).timeout(50))),
        linked(repeat(2, 3, 1)),
        linked(sleep(3, 10)),
        repeat(4, 2, 1),
    ]);
    rig.go();
    for number in 0..3 {
        rig.backend().now += 50;
        rig.go();
        let outcome = if number == 1 { ok(7) } else { failed(Errno::ECANCELED) };
        assert_eq!(rig.backend().cancelled, (0..=number).collect::<Vec<_>>());
        rig.tell(number, outcome);
        rig.go();
    }
    rig.enter(0, 1);
    assert_eq!(rig.backend().now, 1_000 + 3 * 50 + 2 * 10);
    assert_eq!(rig.errors(), [(1, Errno::ETIMEDOUT), (2, OK), (3, OK), (4, OK)]);
    rig.assert_empty();
}

#[test]
fn a_deadline_ends_a_loop() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[
        program(linked(deadline(1, 100))),
        linked(read(2, file)),
        linked(repeat(3, 9, 1)),
        finally(get(4)),
    ]);
    rig.go();
    rig.tell(0, ok(1));
    rig.go();
    rig.backend().now += 100;
    rig.go();
    assert_eq!(rig.backend().cancelled, [1]);
    rig.tell(1, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(
        ends(&mut rig),
        [(1, OK, 0, false), (2, Errno::ETIMEDOUT, 0, false), (3, OK, 1, false), (4, OK, 0, false)]
    );
    // One in the body that has passed is about the member behind it.
    rig.push(&[program(linked(deadline(1, 0))), linked(get(2)), linked(repeat(3, 9, 2)), finally(get(4))]);
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, Errno::ETIMEDOUT), (3, Errno::ECANCELED), (4, OK)]);
    rig.assert_empty();
}

#[test]
fn descriptors_are_opened_and_closed_in_loops() {
    let mut rig = Rig::with(Scripted::with_runs(4), 8, 16);
    rig.push(&[
        program(local(linked(save(open(1), 0)))),
        linked(load(read(2, 0), 0, 0)),
        linked(load(close(3, 0), 0, 0)),
        repeat(4, 20, 3),
    ]);
    rig.go();
    let mut turns = 0;
    while rig.engine.gauges().packets > 0 {
        assert_eq!(rig.backend().running(), [3 * turns, 3 * turns + 1, 3 * turns + 2], "one run a turn");
        for number in 0..3 {
            rig.tell(3 * turns + number, ok(0));
        }
        rig.go();
        turns += 1;
    }
    assert_eq!(turns, 20);
    assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK), (4, OK)]);
    assert_eq!(rig.engine.gauges().descriptors, 0);
    rig.assert_empty();
}

#[test]
fn a_chain_with_program_has_no_multishot_and_leads() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[program(linked(get(1))), poll(2, file)]);
    rig.push(&[program(poll(3, file))]);
    rig.push(&[linked(get(4)), program(get(5))]);
    rig.go();
    let all = rig.errors();
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|(_, error)| *error == Errno::EINVAL), "{all:?}");
    rig.assert_empty();
}

#[test]
fn a_teardown_ends_a_loop() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[program(linked(read(1, file))), linked(repeat(2, 9, 1)), finally(get(3))]);
    rig.go();
    rig.tell(0, ok(1));
    rig.go();
    rig.backend().yields = true;
    rig.engine.begin_teardown();
    rig.enter(0, 0);
    assert!(rig.engine.is_idle());
    assert_eq!(rig.errors(), [(1, Errno::ECANCELED), (2, OK), (3, OK)]);
    rig.assert_empty();
}

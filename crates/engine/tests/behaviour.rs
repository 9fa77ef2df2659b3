//! What `docs/abi.md` promises of chains, time and cancel, over a scripted backend.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{Backend, EnterError, Limits, Operation, Outcome, Target};
use ouzel_ring::modifiers::TimeBase;
use ouzel_ring::{Entry, EntryFlags, Errno, Payload, Verb};

const OK: Errno = Errno::OK;
const EBADF: Errno = Errno::EBADF;
const EINVAL: Errno = Errno::EINVAL;
const ECANCELED: Errno = Errno::ECANCELED;
const ETIMEDOUT: Errno = Errno::ETIMEDOUT;

fn drain(entry: Entry) -> Entry {
    with(entry, EntryFlags::DRAIN)
}

#[test]
fn links_and_hardlinks() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[linked(close(1, 9)), linked(get(2)), hard(get(3)), get(4)]);
    rig.push(&[hard(close(5, 9)), linked(get(6)), get(7)]);
    rig.go();
    let broken = [(1, EBADF), (2, ECANCELED), (3, ECANCELED), (4, ECANCELED)];
    assert_eq!(rig.errors(), [&broken[..], &[(5, EBADF), (6, OK), (7, OK)]].concat());
    rig.assert_empty();
}

#[test]
fn finally_entries_run_once_in_order_if_what_they_load_is_defined() {
    let mut rig = Rig::new(8, 8);
    rig.push(&[
        local(linked(save(get(1), 0))),
        linked(close(2, 9)),
        linked(save(get(3), 1)),
        finally(linked(load(get(4), 0, 0))),
        finally(linked(load(get(5), 0, 1))),
        finally(linked(close(6, 9))),
        finally(get(7)),
    ]);
    rig.go();
    let expected = [OK, EBADF, ECANCELED, OK, ECANCELED, EBADF, OK];
    assert_eq!(rig.errors().iter().map(|(_, error)| *error).collect::<Vec<_>>(), expected);
    // Of FINALLY entries only.
    rig.push(&[finally(linked(get(1))), finally(get(2))]);
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, OK)]);
    rig.assert_empty();
}

#[test]
fn nothing_reaches_finally_entries_but_their_own_timeout() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[
        linked(deadline(1, 100)),
        finally(linked(read(2, file))),
        finally(read(3, file).timeout(500)),
    ]);
    rig.go();
    rig.backend().now += 200;
    rig.go();
    assert_eq!(rig.engine.cancel(Target::All), 0);
    assert_eq!(rig.errors(), [(1, OK)]);
    assert!(rig.backend().cancelled.is_empty());
    rig.tell(0, ok(1));
    rig.go();
    assert_eq!(rig.errors(), [(2, OK)]);
    rig.backend().yields = true;
    assert_eq!(rig.enter(0, 1).readable, 1);
    assert_eq!(rig.errors(), [(3, ETIMEDOUT)]);
    rig.assert_empty();
}

// Registers

#[test]
fn local_registers_are_private_and_undefined() {
    let mut rig = Rig::new(8, 16);
    rig.submitter.set_register(0, 41);
    rig.push(&[local(linked(save(Entry { arguments: [7; 5], ..get(1) }, 0))), load(get(2), 0, 0)]);
    rig.push(&[load(get(3), 0, 0), local(load(get(4), 0, 0))]);
    rig.push(&[local(hard(load(get(5), 0, 3))), get(6)]);
    rig.go();
    let expected = [(1, OK, 7), (2, OK, 7), (3, OK, 41), (4, EINVAL, 0), (5, EINVAL, 0), (6, OK, 0)];
    assert_eq!(rig.seen(), expected);
    assert_eq!(rig.submitter.register(0), Some(41));
}

#[test]
fn ring_registers_are_a_snapshot_and_saves_write_through() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[linked(read(1, file)), load(get(2), 0, 0), save(Entry { arguments: [9; 5], ..get(3) }, 0)]);
    rig.go();
    assert_eq!(rig.seen(), [(3, OK, 9)]);
    assert_eq!(rig.submitter.register(0), Some(9));
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 0), (2, OK, 0)], "taken at admission");
    // A failure saves nothing.
    rig.push(&[save(close(4, 77), 0)]);
    rig.go();
    assert_eq!(rig.submitter.register(0), Some(9));
}

#[test]
fn payload_addresses_are_not_loaded() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[load(read(1, file), 1, 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, EINVAL)]);
    assert!(rig.backend().started.is_empty());
}

// DRAIN

#[test]
fn drain_orders_chains() {
    for wait in [0, 4] {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        rig.push(&[read(1, file), drain(hard(read(2, file))), finally(read(3, file)), get(4)]);
        if wait == 0 {
            for number in 0..3 {
                rig.go();
                assert_eq!(rig.backend().started.len(), number + 1);
                rig.tell(number, ok(0));
                rig.enter(u32::MAX, number as u32 + 1);
            }
            rig.go();
        } else {
            for number in 0..3 {
                rig.backend().on_sleep.push_back(vec![(number, ok(0), false)]);
            }
            assert_eq!(rig.enter(4, wait).taken, 4);
        }
        assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK), (4, OK)]);
        rig.assert_empty();
    }
}

// MULTISHOT

#[test]
fn a_multishot_takes_a_slot_for_each_result_and_ends_without_room() {
    let mut rig = Rig::new(4, 4);
    let file = rig.descriptor();
    rig.push(&[poll(1, file)]);
    rig.go();
    rig.tell_more(0, 1);
    rig.go();
    assert!(rig.backend().cancelled.is_empty());
    for result in 2..5 {
        rig.tell_more(0, result);
    }
    rig.tell(0, failed(ECANCELED));
    let mut seen = Vec::new();
    for _ in 0..6 {
        rig.enter(0, 1);
        seen.extend(rig.seen());
    }
    assert_eq!(rig.backend().cancelled, [0]);
    let results = [(1, OK, 1), (1, OK, 2), (1, OK, 3), (1, OK, 4), (1, Errno::ENOBUFS, 0)];
    assert_eq!(seen, results);
    rig.assert_empty();
}

#[test]
fn an_accept_takes_any_buffer_for_the_address_and_a_multishot_looks_at_none() {
    let mut rig = Rig::new(4, 8);
    let socket = rig.descriptor();
    let buffer = Payload::of([0u8; 4096].as_ptr()).number();
    let entry = Entry { arguments: [socket, buffer, 4096, 0, 0], ..Entry::new(Verb::Accept) };
    rig.push(&[entry, with(entry, EntryFlags::MULTISHOT)]);
    rig.go();
    assert_eq!(rig.errors(), []);
    let addresses: Vec<_> = rig
        .backend()
        .started
        .iter()
        .map(|step| match step.operation {
            Operation::Accept { address, .. } => address.map(|span| span.length),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(addresses, [Some(128), None]);
}

#[test]
fn multishot_is_for_verbs_that_have_it() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    for one in [nop(1), get(1), sleep(1, 0), read(1, file), cancel(1, 0), deadline(1, 5)] {
        rig.push(&[with(one, EntryFlags::MULTISHOT)]);
        rig.go();
        assert_eq!(rig.errors(), [(1, EINVAL)], "{one:?}");
    }
    rig.assert_empty();
}

// Time

#[test]
fn nops_sleep_and_fail_and_sleeps_succeed() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[
        nop(1).timeout(0),
        nop(2).timeout(30),
        sleep(3, 20),
        sleep(4, 50).timeout(10),
        sleep(5, 0).timeout(0),
    ]);
    rig.push(&[sleep(6, 1).timeout(0), Entry { timeout: 5, ..sleep(7, u64::MAX) }]);
    let entered = rig.enter(7, 7);
    assert_eq!(entered.readable, 7);
    assert_eq!(
        rig.errors(),
        [(1, ETIMEDOUT), (5, OK), (6, ETIMEDOUT), (7, ETIMEDOUT), (4, ETIMEDOUT), (3, OK), (2, ETIMEDOUT)]
    );
    assert_eq!(rig.backend().now, 1_030);
    let absolute = |data, at| Entry { arguments: [0, 0, at, TimeBase::Absolute as u64, 0], ..sleep(data, 0) };
    rig.push(&[absolute(1, 1_000), absolute(2, 1_100), sleep(3, 5)]);
    rig.push(&[Entry { arguments: [0, 0, 1, 9, 0], ..sleep(4, 0) }]);
    rig.enter(4, 4);
    assert_eq!(rig.errors(), [(1, OK), (4, EINVAL), (3, OK), (2, OK)]);
    assert_eq!(rig.backend().now, 1_100);
    rig.assert_empty();
}

#[test]
fn a_timer_dies_with_its_entry() {
    let mut rig = Rig::new(2, 2);
    let file = rig.descriptor();
    rig.push(&[read(1, file).timeout(100)]);
    rig.go();
    rig.tell(0, ok(1));
    rig.go();
    assert_eq!(rig.errors(), [(1, OK)]);
    // The next entry gets the same packet.
    rig.push(&[read(2, file)]);
    rig.go();
    rig.backend().now += 1_000;
    rig.go();
    assert!(rig.backend().cancelled.is_empty());
    rig.tell(1, ok(2));
    rig.go();
    assert_eq!(rig.errors(), [(2, OK)]);
    // A chain's deadline as well.
    rig.push(&[deadline(3, 100), read(4, file)]);
    rig.go();
    rig.errors();
    rig.go();
    rig.backend().now += 1_000;
    rig.go();
    assert!(rig.backend().cancelled.is_empty());
}

#[test]
fn a_timeout_asks_and_the_backend_decides() {
    for (outcome, expected) in [(failed(ECANCELED), ETIMEDOUT), (ok(7), OK), (failed(Errno::EIO), Errno::EIO)]
    {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        rig.push(&[read(1, file).timeout(100)]);
        rig.go();
        rig.backend().now += 99;
        rig.go();
        assert!(rig.backend().cancelled.is_empty(), "never early");
        rig.backend().now += 1;
        rig.go();
        assert_eq!((rig.backend().cancelled.clone(), rig.errors()), (vec![0], vec![]));
        rig.tell(0, outcome);
        rig.go();
        assert_eq!(rig.errors(), [(1, expected)]);
        rig.assert_empty();
    }
}

#[test]
fn a_timeout_of_0_is_the_backend_s_to_keep() {
    let mut rig = Rig::with(Scripted::with_runs(4), 8, 8);
    let file = rig.descriptor();
    rig.push(&[linked(read(1, file)), read(2, file).timeout(0)]);
    rig.go();
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.backend().started.iter().map(|step| step.may_wait).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn deadlines_are_relative_or_absolute_and_end_what_runs() {
    let absolute = Entry { arguments: [0, 0, 1_200, TimeBase::Absolute as u64, 0], ..deadline(1, 0) };
    for chain_deadline in [deadline(1, 200), absolute] {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        rig.backend().yields = true;
        rig.push(&[
            linked(chain_deadline),
            hard(read(2, file)),
            hard(read(3, file)),
            finally(close(4, file)),
        ]);
        rig.backend().on_sleep.clear();
        rig.enter(4, 3);
        assert_eq!(rig.backend().now, 1_200);
        assert_eq!(rig.errors(), [(1, OK), (2, ETIMEDOUT), (3, ECANCELED)]);
        rig.tell(1, ok(0));
        rig.go();
        assert_eq!(rig.errors(), [(4, OK)]);
        rig.assert_empty();
        assert_eq!(rig.engine.gauges().descriptors, 0);
    }
}

// Cancel

#[test]
fn a_cancel_reaches_every_stage() {
    // Waiting, started, stalled and parked; and it ends the rest of the chain also behind a HARDLINK.
    for stage in 0..4 {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        rig.backend().yields = true;
        let first = match stage {
            0 | 1 => read(1, file),
            2 => {
                rig.backend().otherwise = Answer::Busy;
                read(1, file)
            }
            _ => sleep(1, 1_000),
        };
        rig.push(&[hard(first), hard(get(2)), finally(get(3))]);
        rig.go();
        let target = if stage == 0 { 2 } else { 1 };
        assert_eq!(rig.engine.cancel(Target::Data(target)), 1, "stage {stage}");
        rig.enter(0, 3);
        assert_eq!(rig.errors(), [(1, ECANCELED), (2, ECANCELED), (3, OK)], "stage {stage}");
        assert_eq!(rig.engine.cancel(Target::All), 0);
        rig.assert_empty();
    }
}

#[test]
fn a_cancel_by_descriptor_and_of_all() {
    let mut rig = Rig::new(8, 16);
    let (one, two) = (rig.descriptor(), rig.descriptor());
    rig.backend().yields = true;
    let by_descriptor = Entry { arguments: [one, 0, 0, 1, 0], ..cancel(9, 0) };
    rig.push(&[read(1, one), read(2, two), read(3, one), sleep(4, one), by_descriptor]);
    rig.go();
    rig.enter(0, 3);
    assert_eq!(rig.seen(), [(9, OK, 2), (1, ECANCELED, 0), (3, ECANCELED, 0)]);
    let all = Entry { arguments: [0, 0, 0, 2, 0], ..cancel(8, 0) };
    rig.push(&[linked(all), read(5, two)]);
    rig.enter(2, 3);
    let seen = rig.seen();
    assert_eq!(seen[0], (8, OK, 2), "not its own chain");
    assert_eq!(rig.engine.gauges().packets, 1);
    rig.push(&[Entry { arguments: [0, 0, 0, 3, 0], ..cancel(7, 0) }]);
    rig.go();
    assert_eq!(rig.errors().last(), Some(&(7, EINVAL)));
}

#[test]
fn completion_cancel_and_timeout_race_in_every_order() {
    // What the backend says decides; whoever asked first names the error.
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for outcome in [ok(5), failed(ECANCELED)] {
            for entering in [false, true] {
                let mut rig = Rig::new(8, 8);
                let file = rig.descriptor();
                rig.push(&[hard(read(1, file).timeout(100)), finally(get(2))]);
                rig.go();
                let (mut told, mut asked) = (false, None);
                for event in order {
                    match event {
                        0 => {
                            rig.tell(0, outcome);
                            told = true;
                        }
                        1 => {
                            let reached = rig.engine.cancel(Target::Data(1));
                            if rig.engine.gauges().started > 0 && reached > 0 {
                                asked = asked.or(Some(ECANCELED));
                            }
                        }
                        _ => {
                            rig.backend().now += 100;
                            if !told {
                                rig.go();
                                asked = asked.or(Some(ETIMEDOUT));
                            }
                        }
                    }
                    if entering {
                        rig.go();
                    }
                }
                rig.go();
                rig.go();
                let expected = match outcome {
                    Outcome::Done { error: OK, .. } => OK,
                    _ => asked.unwrap_or(ECANCELED),
                };
                assert_eq!(rig.errors(), [(1, expected), (2, OK)], "{order:?} {outcome:?} {entering}");
                assert!(rig.backend().cancelled.len() <= 1, "asked once");
                rig.assert_empty();
            }
        }
    }
}

#[test]
fn enter_without_waiting_does_all_it_can_whatever_is_unread() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[get(1), linked(read(2, file)), read(3, file)]);
    assert_eq!(rig.go().readable, 1);
    // Nobody reads the first completion. What the backend has to say is heard, and the chain goes on.
    rig.tell(0, ok(0));
    assert_eq!(rig.go().readable, 2);
    assert_eq!(rig.backend().started.len(), 2, "the second member has begun");
    rig.tell(1, ok(0));
    assert_eq!(rig.go().readable, 3);
    // One that waits for no more than is there has no reason to look.
    rig.push(&[read(4, file)]);
    rig.go();
    rig.tell(2, ok(0));
    assert_eq!(rig.enter(8, 3).readable, 3);
    assert_eq!(rig.enter(8, 4).readable, 4);
    assert_eq!(rig.errors(), [1, 2, 3, 4].map(|data| (data, Errno::OK)));
    rig.assert_empty();
}

#[test]
fn enter_returns_when_nothing_could_come() {
    let mut rig = Rig::new(8, 8);
    assert_eq!(rig.enter(u32::MAX, 5).readable, 0);
    rig.push(&[get(1), linked(get(2))]);
    assert_eq!(rig.enter(u32::MAX, 5).readable, 1);
    assert!(rig.backend().waits.is_empty());
    rig.push(&[get(3), sleep(4, u64::MAX)]);
    assert_eq!(rig.enter(u32::MAX, 5).readable, 3);
    assert!(rig.backend().waits.is_empty(), "a sleep without an end is nothing to wait for");
}

#[test]
fn enter_gathers_and_sleeps_no_more_than_it_must() {
    let mut rig = Rig::new(16, 16);
    let file = rig.descriptor();
    rig.push(&[read(1, file), read(2, file), read(3, file), read(4, file)]);
    rig.backend().on_sleep.push_back((0..4).map(|number| (number, ok(0), false)).collect());
    assert_eq!(rig.enter(4, 4).readable, 4);
    assert_eq!(rig.backend().waits, [(4, None)], "one wait for all");
    rig.pop_all();
    rig.push(&[read(1, file)]);
    assert_eq!(rig.engine.enter(1, 1, Some(50)).unwrap().readable, 0);
    assert_eq!(rig.backend().waits.len(), 2 + 1, "the time is up, one more look");
    assert_eq!(rig.backend().now, 1_050);
}

#[test]
fn a_backend_that_fails_is_reported() {
    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.backend().fails = Some(Errno::EIO);
    rig.push(&[read(1, file)]);
    assert_eq!(rig.engine.enter(1, 1, None), Err(EnterError::Backend(Errno::EIO)));
}

#[test]
fn a_chain_of_ten_thousand_needs_no_stack() {
    let run = std::thread::Builder::new().stack_size(256 * 1024).spawn(|| {
        let limits = Limits { descriptors: 4, chain: u32::MAX, in_process: true, ..Limits::default() };
        for failing in [false, true] {
            let mut rig = Rig::over(Scripted::with_runs(64), 1 << 14, 1 << 15, u32::MAX - 99, limits);
            let file = rig.descriptor();
            rig.backend().otherwise = Answer::Finish(if failing { failed(Errno::EIO) } else { ok(0) });
            let chain: Vec<Entry> = (0..10_000)
                .map(|data| if data < 9_999 { linked(read(data, file)) } else { read(data, file) })
                .collect();
            rig.push(&chain);
            assert_eq!(rig.enter(u32::MAX, 10_000).readable, 10_000);
            let errors = rig.errors();
            assert!(errors.iter().enumerate().all(|(place, one)| one.0 == place as u64));
            assert_eq!(errors[9_999].1, if failing { ECANCELED } else { OK });
            rig.assert_empty();
        }
    });
    run.unwrap().join().unwrap();
}

// Teardown

#[test]
fn a_teardown_ends_every_state() {
    let mut rig = Rig::with(Scripted::with_runs(4), 32, 32);
    let file = rig.descriptor();
    rig.backend().yields = true;
    rig.push(&[linked(read(1, file)), read(2, file)]);
    rig.push(&[sleep(3, u64::MAX), nop(4).timeout(1_000), poll(5, file)]);
    rig.push(&[linked(sleep(6, 1_000)), finally(get(7))]);
    rig.go();
    rig.backend().otherwise = Answer::Busy;
    rig.push(&[read(8, file), drain(get(9)), get(10), linked(get(11))]);
    rig.go();
    rig.engine.begin_teardown();
    for _ in 0..20 {
        if rig.engine.is_idle() {
            break;
        }
        rig.engine.enter(0, 1, Some(0)).unwrap();
    }
    assert!(rig.engine.is_idle());
    let mut errors = rig.errors();
    errors.sort_by_key(|one| one.0);
    let expected: Vec<_> = (1..=11).map(|data| (data, if data == 7 { OK } else { ECANCELED })).collect();
    assert_eq!(errors, expected);
    rig.assert_empty();
    assert_eq!(rig.engine.limits().chain, 31);
}

#[test]
fn impossible_indices_break_the_ring_and_nothing_else() {
    for (word, value) in [(0, 70), (0, u32::MAX - 3), (0, 8), (1, 7), (1, u32::MAX - 3)] {
        let mut rig = Rig::new(8, 8);
        let file = rig.descriptor();
        rig.push(&[read(1, file)]);
        rig.go();
        rig.lie(word, value);
        assert_eq!(rig.engine.enter(u32::MAX, 1, None), Err(EnterError::Broken), "{word} {value}");
        assert_eq!(rig.engine.enter(u32::MAX, 1, None), Err(EnterError::Broken));
        rig.backend().yields = true;
        rig.engine.begin_teardown();
        rig.engine.enter(0, 1, Some(0)).unwrap();
        assert!(rig.engine.is_idle());
        rig.assert_empty();
    }
}

#[test]
fn payloads_outside_of_memory_are_refused() {
    let limits = Limits { descriptors: 4, chain: u32::MAX, in_process: false, ..Limits::default() };
    let mut rig = Rig::over(Scripted::new(), 8, 8, 0, limits);
    let file = rig.descriptor();
    let region = |number, offset| Payload::new(number, offset).unwrap().number();
    for payload in [0x1000, region(0, 0x1000), region(1, 0)] {
        rig.push(&[Entry { arguments: [file, payload, 8, 0, 0], ..read(1, file) }]);
        rig.go();
        assert_eq!(rig.errors(), [(1, Errno::EFAULT)]);
    }
    assert!(rig.backend().started.is_empty());
    assert_eq!(rig.backend().counters().calls, 0);
}

//! Falling asleep: an engine that says it sleeps has nothing to do, and whoever could give it something knows of it.

#![allow(clippy::unwrap_used)]

mod common;

use std::ptr::NonNull;

use common::*;
use ouzel_engine::{Engine, EnterError, Limits, Target};
use ouzel_ring::modifiers::MAX_REPEAT;
use ouzel_ring::{EngineEnd, EntryFlags, Errno, Geometry, Memory, SubmitterEnd};

const OK: Errno = Errno::OK;
const NEVER: u64 = u64::MAX;

/// Whether the engine fell asleep; what the submitter sees of it must be the same.
#[track_caller]
fn falls_asleep(rig: &mut Rig) -> bool {
    let asleep = rig.engine.fall_asleep().unwrap();
    assert_eq!(rig.submitter.engine_sleeps(), asleep);
    asleep
}

/// That the engine sleeps, and whether it is to be woken for room.
#[track_caller]
fn assert_sleeps(rig: &mut Rig, starved: bool) {
    assert!(falls_asleep(rig), "it has something to do");
    assert_eq!(rig.submitter.engine_starved(), starved);
}

#[test]
fn an_engine_with_nothing_to_do_sleeps_until_it_wakes_up() {
    let mut rig = Rig::new(8, 8);
    assert!(!rig.submitter.engine_sleeps());
    assert_sleeps(&mut rig, false);
    rig.engine.wake_up();
    assert!(!rig.submitter.engine_sleeps());
    // Something in flight is no reason to stay awake: its report wakes.
    let file = rig.descriptor();
    rig.push(&[read(1, file), sleep(2, 50)]);
    rig.go();
    assert_sleeps(&mut rig, false);
    assert_eq!(rig.engine.next_timer(), Some(1_050));
}

#[test]
fn entries_that_came_meanwhile_keep_it_awake() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[get(1), get(2), get(3)]);
    assert!(!falls_asleep(&mut rig));
    // As many as an enter may take.
    assert_eq!(rig.enter(2, 0).taken, 2);
    assert!(!falls_asleep(&mut rig));
    assert_eq!(rig.enter(2, 0).taken, 1);
    assert_sleeps(&mut rig, false);
    rig.push(&[get(4)]);
    assert!(rig.submitter.engine_sleeps(), "the submitter has to wake it");
    rig.engine.wake_up();
    assert_eq!(rig.go().taken, 1);
    assert_eq!(rig.errors().len(), 4);
}

#[test]
fn a_chain_without_its_end_is_waited_for() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[linked(get(1)), linked(get(2))]);
    assert_eq!(rig.go().incomplete, 2);
    assert_sleeps(&mut rig, false);
    rig.push(&[get(3)]);
    assert!(!falls_asleep(&mut rig));
    assert_eq!(rig.go().taken, 3);
    assert_sleeps(&mut rig, false);
}

#[test]
fn what_drain_holds_back_waits_for_those_in_flight() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[read(1, file), with(get(2), EntryFlags::DRAIN), get(3)]);
    rig.go();
    assert_sleeps(&mut rig, false);
    rig.engine.wake_up();
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK)]);
    assert_sleeps(&mut rig, false);
}

#[test]
fn a_program_that_has_had_its_turn_keeps_it_awake() {
    let mut rig = Rig::new(8, 16);
    rig.engine.take_turns();
    rig.push(&[program(linked(get(1))), linked(get(2)), repeat(3, MAX_REPEAT, 1)]);
    rig.go();
    assert!(rig.engine.has_more());
    assert!(!falls_asleep(&mut rig));
    rig.engine.cancel(Target::All);
    while rig.engine.has_more() {
        rig.go();
    }
    assert_sleeps(&mut rig, false);
}

#[test]
fn an_engine_without_completion_slots_is_starved() {
    let mut rig = Rig::new(8, 4);
    rig.push(&[get(1), get(2), get(3), get(4), get(5)]);
    assert_eq!(rig.go().taken, 3);
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    // One is read: one more can be taken.
    assert!(rig.submitter.pop().unwrap().is_some());
    assert!(!falls_asleep(&mut rig));
    assert_eq!(rig.go().taken, 1);
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    rig.pop_all();
    assert!(!falls_asleep(&mut rig));
    assert_eq!(rig.go().taken, 1);
    // It says so no longer than it is.
    assert_sleeps(&mut rig, false);
}

#[test]
fn a_chain_longer_than_the_room_is_starved_also_while_some_is_free() {
    let mut rig = Rig::new(8, 8);
    rig.push(&[get(1), get(2), linked(get(3)), linked(get(4)), linked(get(5)), linked(get(6)), get(7)]);
    // Five and one kept back do not fit beside two.
    rig.push(&[get(8)]);
    assert_eq!(rig.go().taken, 7);
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    assert!(rig.submitter.pop().unwrap().is_some());
    assert!(!falls_asleep(&mut rig));
    assert_eq!(rig.go().taken, 1);
}

#[test]
fn stored_results_wait_for_room() {
    let mut rig = Rig::new(4, 4);
    let file = rig.descriptor();
    rig.push(&[poll(1, file)]);
    rig.go();
    for result in 1..=5 {
        rig.tell_more(0, result);
    }
    rig.go();
    assert_eq!(rig.engine.gauges().stored, 2);
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    assert!(rig.submitter.pop().unwrap().is_some());
    assert!(!falls_asleep(&mut rig));
    rig.go();
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    rig.pop_all();
    rig.go();
    rig.tell(0, failed(Errno::ECANCELED));
    rig.go();
    rig.pop_all();
    while !falls_asleep(&mut rig) {
        rig.go();
        rig.pop_all();
    }
    assert!(!rig.submitter.engine_starved());
    rig.assert_empty();
}

#[test]
fn withdrawn_entries_and_waiting_cancels_wait_for_room() {
    let mut rig = Rig::new(8, 4);
    rig.push(&[sleep(1, NEVER), sleep(2, NEVER), sleep(3, NEVER)]);
    rig.go();
    rig.push(&[get(4), get(5)]);
    assert_eq!(rig.engine.cancel_waiting(Target::Data(4)), 1);
    assert_eq!(rig.engine.cancel_waiting(Target::Data(5)), 1);
    assert!(!falls_asleep(&mut rig), "one may pass through the slot that is kept");
    rig.go();
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    assert_eq!(rig.errors(), [(4, Errno::ECANCELED)]);
    assert!(!falls_asleep(&mut rig));
    rig.go();
    assert_eq!(rig.errors(), [(5, Errno::ECANCELED)]);
    assert_sleeps(&mut rig, false);
    rig.engine.wake_up();
    // The second CANCEL waits for the slot that the first one's completion has.
    rig.push(&[with(get(6), EntryFlags::DRAIN), cancel(7, 99), cancel(8, 99)]);
    rig.go();
    assert_sleeps(&mut rig, true);
    rig.engine.wake_up();
    assert_eq!(rig.errors(), [(7, OK)]);
    assert!(!falls_asleep(&mut rig));
    rig.go();
    assert_eq!(rig.errors(), [(8, OK)]);
    assert_sleeps(&mut rig, false);
}

#[test]
fn a_teardown_goes_on_before_it_sleeps() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[read(1, file)]);
    rig.go();
    rig.push(&[get(2), linked(get(3))]);
    rig.engine.begin_teardown();
    assert!(!falls_asleep(&mut rig));
    rig.go();
    assert_eq!(rig.errors(), [(2, Errno::ECANCELED), (3, Errno::ECANCELED)]);
    // The backend has not let go.
    assert_sleeps(&mut rig, false);
}

#[test]
fn a_lie_is_found_by_the_look() {
    for word in [0, 1] {
        let mut rig = Rig::new(8, 8);
        rig.lie(word, 1_000);
        assert_eq!(rig.engine.fall_asleep(), Err(EnterError::Broken));
        assert!(!rig.submitter.engine_sleeps());
        assert_eq!(rig.engine.fall_asleep(), Err(EnterError::Broken));
    }
}

#[test]
fn a_submitter_that_sleeps_is_seen() {
    let mut rig = Rig::new(8, 8);
    assert!(!rig.engine.submitter_sleeps());
    rig.push(&[get(1)]);
    rig.submitter.fall_asleep();
    assert_eq!(rig.submitter.unread(), Ok(0));
    let seen = rig.submitter.tail_seen();
    rig.go();
    assert!(rig.engine.submitter_sleeps());
    assert_eq!(rig.engine.completions_word(), rig.submitter.completions_word());
    // SAFETY: a word of the ring's memory, which only atomics access.
    let word = unsafe { std::sync::atomic::AtomicU32::from_ptr(rig.engine.completions_word().as_ptr()) };
    assert_eq!(
        word.load(std::sync::atomic::Ordering::Acquire),
        seen.wrapping_add(1),
        "a futex would not sleep"
    );
    rig.submitter.wake_up();
    assert!(!rig.engine.submitter_sleeps());
    assert_eq!(rig.errors(), [(1, OK)]);
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

#[test]
fn it_is_the_same_with_the_parts_apart() {
    let geometry = Geometry::new(8, 4).unwrap();
    let mut engine_part = vec![Line([0; 64]); geometry.split_engine_size().div_ceil(64)];
    let mut submitter_part = vec![Line([0; 64]); geometry.split_submitter_size().div_ceil(64)];
    let base = |part: &mut Vec<Line>| NonNull::new(part.as_mut_ptr().cast::<u8>()).unwrap();
    let (engine_length, submitter_length) = (engine_part.len() * 64, submitter_part.len() * 64);
    let (engine_base, submitter_base) = (base(&mut engine_part), base(&mut submitter_part));
    // SAFETY: zeroed, aligned, long enough; both ends are dropped before them and nobody else uses them.
    let memory =
        unsafe { Memory::split(engine_base, engine_length, submitter_base, submitter_length, geometry) };
    let memory = memory.unwrap();
    let mut submitter = SubmitterEnd::new(memory.clone(), 0);
    let mut engine = Engine::new(EngineEnd::new(memory, 0), Scripted::new(), Limits::default());
    engine.take_turns();
    let serve = |engine: &mut Engine<Scripted>| {
        let mut enters = 0;
        while !engine.fall_asleep().unwrap() {
            engine.enter(2, 0, None).unwrap();
            enters += 1;
            assert!(enters < 100, "it does not fall asleep");
        }
        enters
    };
    assert_eq!(serve(&mut engine), 0);
    for round in 0..10 {
        for data in 0..4 {
            submitter.push(&save(set(data, round + data), 5)).unwrap();
        }
        submitter.publish();
        assert!(submitter.engine_sleeps());
        engine.wake_up();
        assert_eq!(serve(&mut engine), 2, "two and one of four, for there are four slots");
        assert!(submitter.engine_starved() && submitter.engine_sleeps());
        assert_eq!(submitter.register(5), Some(round + 2));
        assert!(submitter.pop().unwrap().is_some());
        assert_eq!(serve(&mut engine), 1);
        assert_eq!(submitter.register(5), Some(round + 3));
        while submitter.pop().unwrap().is_some() {}
        assert_eq!(serve(&mut engine), 0);
        assert!(!submitter.engine_starved());
    }
}

/// A generator of numbers that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Whatever a submitter and a backend do: a server that enters with a small budget until the engine falls asleep soon gets
/// there, and when it is there another enter would have done nothing.
#[test]
fn it_neither_sleeps_too_early_nor_stays_awake_for_nothing() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let limits = Limits { descriptors: 16, chain: 4, in_process: true, ..Limits::default() };
        let mut rig = Rig::over(Scripted { yields: true, ..Scripted::new() }, 16, 8, u32::MAX - 5, limits);
        rig.engine.take_turns();
        let file = rig.descriptor();
        for step in 0..200 {
            let data = random.below(6);
            let entry = match random.below(12) {
                0 | 1 => get(data),
                2 => linked(get(data)),
                3 => hard(read(data, file)),
                4 => read(data, file),
                5 => sleep(data, NEVER),
                6 => cancel(data, random.below(6)),
                7 => with(get(data), EntryFlags::DRAIN),
                8 => poll(data, file),
                9 => with(get(data), EntryFlags::from_bits_retain(1 << 28)),
                10 => ouzel_ring::Entry { timeout: 1 + random.below(100), ..read(data, file) },
                _ => program(repeat(data, 3, 1)),
            };
            match random.below(8) {
                0..=3 => _ = rig.submitter.push(&entry),
                4 => _ = rig.submitter.pop().unwrap(),
                5 => _ = rig.engine.cancel_waiting(Target::Data(data)),
                6 => {
                    if let Some(number) = rig.backend().running().first().copied() {
                        let more = random.below(2) == 0 && {
                            matches!(
                                rig.backend().started[number].operation,
                                ouzel_engine::Operation::Poll { .. }
                            )
                        };
                        rig.backend().tell((number, ok(1), more));
                    }
                }
                _ => rig.backend().now += 40,
            }
            rig.submitter.publish();
            rig.engine.wake_up();
            // The server enters at least once: a report or a timer wakes it too.
            let mut enters = 0;
            loop {
                rig.enter(4, 0);
                enters += 1;
                assert!(enters < 40, "seed {seed}, step {step}: it does not fall asleep");
                if falls_asleep(&mut rig) {
                    break;
                }
            }
            let starved = rig.submitter.engine_starved();
            let readable = rig.submitter.unread().unwrap();
            let before = (rig.engine.gauges(), readable);
            let entered = rig.enter(u32::MAX, 0);
            let after = (rig.engine.gauges(), entered.readable);
            assert_eq!((entered.taken, before), (0, after), "seed {seed}, step {step}: it slept too early");
            // Nor does anything wait for room without saying so: with all the room there is, nothing would happen.
            if !starved {
                rig.pop_all();
                let before = rig.engine.gauges();
                let entered = rig.enter(u32::MAX, 0);
                let after = (rig.engine.gauges(), entered.readable);
                assert_eq!(
                    (entered.taken, (before, 0)),
                    (0, after),
                    "seed {seed}, step {step}: it is starved"
                );
            }
        }
    }
}

//! The words for waking, one step after the other: what each side writes, how the other reads it, and that nobody is woken
//! who is awake. What happens when both sides do it at once is for `loom_wake`.

#![cfg(not(loom))]

mod shared;

use std::sync::atomic::Ordering::Relaxed;

use ouzel_ring::{Completion, EngineEnd, Entry, Geometry, Memory, SubmitterEnd, Verb};
use shared::{Block, Region, Word};

const DONE: Completion = Completion { op: 0, error: 0, data: 7, result: 0, flags: 0, extra: 0 };

fn entry() -> Entry {
    Entry::new(Verb::Nop).data(7)
}

fn everywhere(test: impl Fn(&Region, SubmitterEnd, EngineEnd)) {
    for split in [false, true] {
        for origin in [0, u32::MAX - 1] {
            let region = Region::new(4, 4, split);
            let (submitter, engine) = region.ends(origin);
            test(&region, submitter, engine);
        }
    }
}

#[test]
fn each_side_says_in_its_own_word_whether_it_sleeps() {
    everywhere(|region, mut submitter, mut engine| {
        let words =
            || [Word::EngineAsleep, Word::SubmitterAsleep].map(|word| region.word(word).load(Relaxed));
        assert_eq!(words(), [0, 0]);
        assert!(!submitter.engine_sleeps() && !submitter.engine_starved() && !engine.submitter_sleeps());
        engine.fall_asleep();
        assert_eq!(words(), [1, 0]);
        assert!(submitter.engine_sleeps() && !submitter.engine_starved());
        engine.wake_up();
        assert_eq!(words(), [0, 0]);
        engine.set_starved(true);
        assert_eq!(words(), [2, 0]);
        assert!(!submitter.engine_sleeps() && submitter.engine_starved());
        engine.fall_asleep();
        assert_eq!(words(), [3, 0]);
        assert!(submitter.engine_sleeps() && submitter.engine_starved());
        engine.wake_up();
        assert_eq!(words(), [2, 0]);
        engine.set_starved(false);
        submitter.fall_asleep();
        assert_eq!(words(), [0, 1]);
        assert!(engine.submitter_sleeps());
        submitter.wake_up();
        assert_eq!(words(), [0, 0]);
        assert!(!engine.submitter_sleeps());
    });
}

#[test]
fn each_side_says_in_its_own_word_on_which_processor_it_waits() {
    everywhere(|region, mut submitter, mut engine| {
        let words =
            || [Word::EngineProcessor, Word::SubmitterProcessor].map(|word| region.word(word).load(Relaxed));
        assert_eq!(words(), [0, 0]);
        assert_eq!((submitter.engine_processor(), engine.submitter_processor()), (None, None));
        engine.say_processor(Some(0));
        assert_eq!(words(), [1, 0]);
        submitter.say_processor(Some(7));
        assert_eq!(words(), [1, 8]);
        assert_eq!((submitter.engine_processor(), engine.submitter_processor()), (Some(0), Some(7)));
        submitter.say_processor(None);
        assert_eq!(words(), [1, 0]);
        assert_eq!(engine.submitter_processor(), None);
    });
}

#[test]
fn a_word_without_a_meaning_is_answered_by_a_wake() {
    everywhere(|region, submitter, engine| {
        for nonsense in [4, 5, 7, 1 << 31, u32::MAX] {
            region.word(Word::EngineAsleep).store(nonsense, Relaxed);
            assert!(submitter.engine_sleeps() && submitter.engine_starved(), "{nonsense}");
            region.word(Word::SubmitterAsleep).store(nonsense, Relaxed);
            assert!(engine.submitter_sleeps() && engine.submitter_watches(), "{nonsense}");
        }
        // Watching alone is nothing that a submitter says.
        region.word(Word::SubmitterAsleep).store(2, Relaxed);
        assert!(engine.submitter_sleeps() && engine.submitter_watches());
        // It is a hint: nobody is broken by it.
        assert!(!submitter.is_broken() && !engine.is_broken());
    });
}

#[test]
fn who_watches_a_descriptor_says_so() {
    everywhere(|region, mut submitter, engine| {
        assert!(!engine.submitter_watches());
        submitter.fall_asleep();
        assert!(engine.submitter_sleeps() && !engine.submitter_watches(), "it sleeps on the word");
        submitter.watch();
        assert_eq!(region.word(Word::SubmitterAsleep).load(Relaxed), 3);
        assert!(engine.submitter_sleeps() && engine.submitter_watches());
        submitter.wake_up();
        assert!(!engine.submitter_sleeps() && !engine.submitter_watches());
    });
}

#[test]
fn an_end_that_begins_is_awake_whatever_was_there() {
    for split in [false, true] {
        let region = Region::new(4, 4, split);
        region.word(Word::EngineAsleep).store(3, Relaxed);
        region.word(Word::SubmitterAsleep).store(1, Relaxed);
        let (submitter, engine) = region.ends(0);
        assert!(!submitter.engine_sleeps() && !submitter.engine_starved() && !engine.submitter_sleeps());
    }
}

#[test]
fn only_who_sleeps_is_woken() {
    everywhere(|_, mut submitter, mut engine| {
        let (mut rung, mut woken) = (0, 0);
        for round in 0..100 {
            // Every tenth time the engine sleeps, every fourth time the submitter.
            if round % 10 == 0 {
                engine.fall_asleep();
                assert_eq!(engine.available(), Ok(0));
            }
            submitter.push(&entry()).unwrap();
            submitter.publish();
            rung += u32::from(submitter.engine_sleeps());
            engine.wake_up();
            assert_eq!(engine.available(), Ok(1));
            assert_eq!(engine.copy_next(), Some(entry()));
            engine.release(1);
            if round % 4 == 0 {
                submitter.fall_asleep();
                assert_eq!(submitter.unread(), Ok(0));
            }
            engine.post(&DONE).unwrap();
            woken += u32::from(engine.submitter_sleeps());
            submitter.wake_up();
            assert_eq!(submitter.pop(), Ok(Some(DONE)));
            // It is not starved, so that it sleeps or not makes no difference here.
            assert!(!submitter.engine_starved());
        }
        assert_eq!((rung, woken), (10, 25));
    });
}

#[test]
fn the_futex_word_is_where_completions_are_counted() {
    everywhere(|region, mut submitter, mut engine| {
        let word = region.word(Word::Ctail);
        let address = std::ptr::from_ref(word).addr();
        assert_eq!(submitter.completions_word().addr().get(), address);
        assert_eq!(engine.completions_word().addr().get(), address);
        let before = submitter.tail_seen();
        assert_eq!(word.load(Relaxed), before);
        engine.post(&DONE).unwrap();
        // It has not looked: a futex that compares these two does not sleep.
        assert_eq!(submitter.tail_seen(), before);
        assert_eq!(word.load(Relaxed), before.wrapping_add(1));
        assert_eq!(submitter.unread(), Ok(1));
        assert_eq!(submitter.tail_seen(), before.wrapping_add(1));
    });
    let geometry = Geometry::new(2, 2).unwrap();
    let block = Block::new(geometry.contiguous_size());
    // SAFETY: zeroed, as large as the geometry asks for, and used by nobody else.
    let memory = unsafe { Memory::contiguous(block.base(), block.length(), geometry) }.unwrap();
    assert_eq!(memory.completions_word().addr().get(), block.base().addr().get() + 4);
}

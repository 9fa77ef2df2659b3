//! A script of calls on both ends of a ring, with arbitrary writes into the shared memory between them.
//!
//! The first four bytes choose placement, geometry and origin; then each act is a byte that selects it, and the bytes it
//! consumes. Whatever happens, no call may panic or reach outside the memory (the allocation is exactly as large
//! as the geometry asks for, so the address sanitizer sees that), every count stays within its queue, and a ring found
//! broken stays broken.

#![no_main]

#[path = "../../crates/ring/tests/shared/mod.rs"]
#[allow(dead_code)]
mod shared;

use std::sync::atomic::Ordering::Relaxed;

use libfuzzer_sys::fuzz_target;
use ouzel_ring::{Completion, EngineEnd, Entry, PushError, SubmitterEnd};
use shared::{Region, Word};

/// The fuzzer's bytes, taken from the front; zeros once they are used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        let mut taken = [0; COUNT];
        let count = COUNT.min(self.0.len());
        taken[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        taken
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.bytes();
        byte
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }
}

struct Broke {
    submitter: bool,
    engine: bool,
}

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let shape = script.byte();
    let entries = 1u64 << (shape & 3);
    let completions = 2u64 << (shape >> 2 & 3);
    let split = shape & 16 != 0;
    let origin = match shape >> 5 {
        0 => 0,
        1 => u32::MAX,
        2 => u32::MAX - u32::from(script.byte()),
        _ => script.word(),
    };
    let region = Region::new(entries, completions, split);
    let (mut submitter, mut engine) = region.ends(origin);
    let mut broke = Broke { submitter: false, engine: false };
    // A script ends with its bytes; the bound keeps a long input from being a slow one.
    for _ in 0..4096 {
        if script.0.is_empty() {
            break;
        }
        act(&mut script, &region, &mut submitter, &mut engine, &mut broke);
    }
});

fn act(
    script: &mut Script<'_>,
    region: &Region,
    submitter: &mut SubmitterEnd,
    engine: &mut EngineEnd,
    broke: &mut Broke,
) {
    let entries = region.geometry.entries();
    let completions = region.geometry.completions();
    match script.byte() % 22 {
        0 | 1 => {
            let entry = Entry::from_words([script.word().into(); 8]);
            let pushed = submitter.push(&entry);
            assert!(!broke.submitter || pushed == Err(PushError::Broken));
        }
        2 => assert!(submitter.publish() <= entries),
        3 => assert!(submitter.retract() <= entries),
        4 => {
            let popped = submitter.pop();
            assert!(!broke.submitter || popped.is_err());
        }
        5 => {
            // A reader that drains gets a lap at most for each look, however the other side lies.
            let mut popped = 0;
            let unread = submitter.unread().unwrap_or(0);
            while popped < unread && matches!(submitter.pop(), Ok(Some(_))) {
                popped += 1;
            }
            assert_eq!(popped, unread);
        }
        6 => assert!(submitter.room().is_ok_and(|room| room <= entries) || submitter.is_broken()),
        7 => assert!(submitter.queued().is_ok_and(|queued| queued <= entries) || submitter.is_broken()),
        8 => assert!(submitter.unread().is_ok_and(|unread| unread <= completions) || submitter.is_broken()),
        9 => {
            let register = usize::from(script.byte());
            let set = submitter.set_register(register, script.word().into());
            assert_eq!(set, register < 7 && !region.is_split());
            assert_eq!(submitter.register(register).is_some(), register < 7);
            let _ = submitter.engine_state();
            if submitter.engine_sleeps() && submitter.engine_starved() {
                submitter.fall_asleep();
            } else {
                submitter.wake_up();
            }
        }
        10 | 11 => {
            let available = engine.available();
            assert!(!broke.engine || available.is_err());
            assert!(available.unwrap_or(0) <= entries);
        }
        12 => {
            let copied = engine.copy_next();
            assert!(!broke.engine || copied.is_none());
        }
        13 => {
            let mut copied = 0;
            while engine.copy_next().is_some() {
                copied += 1;
            }
            assert!(copied <= entries);
        }
        14 => engine.release(script.byte().into()),
        15 => engine.release(u32::MAX),
        16 | 17 => {
            let completion = Completion::from_words([script.word().into(); 4]);
            let posted = engine.post(&completion);
            assert!(posted.is_ok() || posted == Err(completion));
            assert!(!broke.engine || posted.is_err());
        }
        18 => {
            let unread = engine.unread();
            assert!(!broke.engine || unread.is_err());
            assert!(unread.unwrap_or(0) <= completions);
        }
        19 => {
            engine.save_register(script.byte().into(), script.word().into());
            let _ = engine.registers();
            engine.set_starved(engine.submitter_sleeps());
            engine.fall_asleep();
        }
        20 => {
            let word = match script.byte() % 6 {
                0 => Word::Shead,
                1 => Word::Ctail,
                2 => Word::EngineState,
                3 => Word::Stail,
                4 => Word::Chead,
                _ => Word::SubmitterState,
            };
            // A step from where it stands: what an honest peer would write, or nearly.
            let step = i32::from(script.byte() as i8) as u32;
            region.word(word).fetch_add(step, Relaxed);
        }
        _ => {
            let at = usize::from(u16::from_le_bytes(script.bytes())) % region.words();
            region.nth_word(at).store(script.word(), Relaxed);
        }
    }
    assert!(engine.held() <= entries);
    assert!(engine.room_seen() <= completions);
    assert!(submitter.is_broken() || !broke.submitter, "a broken ring was mended");
    assert!(engine.is_broken() || !broke.engine, "a broken ring was mended");
    broke.submitter = submitter.is_broken();
    broke.engine = engine.is_broken();
}

//! The last value that each end believes and the first that it does not, and sizes at their limits.

#![cfg(not(loom))]

mod shared;

use std::sync::atomic::Ordering::Relaxed;

use ouzel_ring::{Broken, Completion, Entry, Geometry, GeometryError, MAX_SLOTS, Memory, PushError, State};
use shared::{Block, Region, Word};

fn entry(seed: u64) -> Entry {
    Entry::from_words(core::array::from_fn(|at| {
        seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(at as u32)
    }))
}

fn completion(seed: u64) -> Completion {
    Completion::from_words(core::array::from_fn(|at| {
        !seed.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(at as u32)
    }))
}

/// Both placements, and origins on both sides of the wrap.
fn everywhere(test: impl Fn(&Region, u32)) {
    for split in [false, true] {
        for origin in [0, 1, u32::MAX - 4, u32::MAX - 1, u32::MAX, 1 << 31] {
            test(&Region::new(4, 8, split), origin);
        }
    }
}

#[test]
fn the_submitter_believes_a_taken_count_up_to_what_it_published() {
    for (taken, believed) in
        [(0, true), (1, true), (3, true), (4, false), (-1i32 as u32, false), (1 << 31, false)]
    {
        everywhere(|region, origin| {
            let (mut submitter, _engine) = region.ends(origin);
            for seed in 0..3 {
                submitter.push(&entry(seed)).unwrap();
            }
            submitter.publish();
            submitter.push(&entry(3)).unwrap();
            region.word(Word::Shead).store(origin.wrapping_add(taken), Relaxed);
            assert_eq!(submitter.room(), if believed { Ok(taken) } else { Err(Broken) });
            assert_eq!(submitter.queued(), if believed { Ok(3 - taken) } else { Err(Broken) });
            if believed && taken > 0 {
                // What was seen cannot be unseen.
                region.word(Word::Shead).store(origin.wrapping_add(taken - 1), Relaxed);
                assert_eq!(submitter.room(), Err(Broken));
            }
        });
    }
}

#[test]
fn the_submitter_believes_posted_completions_up_to_the_queue_s_size() {
    for (posted, believed) in
        [(0, true), (1, true), (8, true), (9, false), (-1i32 as u32, false), (1 << 31, false)]
    {
        everywhere(|region, origin| {
            let (mut submitter, _engine) = region.ends(origin);
            region.word(Word::Ctail).store(origin.wrapping_add(posted), Relaxed);
            assert_eq!(submitter.unread(), if believed { Ok(posted) } else { Err(Broken) });
            if believed {
                let mut popped = 0;
                while let Some(completion) = submitter.pop().unwrap() {
                    assert_eq!(completion, Completion::from_words([0; 4]));
                    popped += 1;
                }
                assert_eq!(popped, posted);
            }
            if believed && posted > 0 {
                region.word(Word::Ctail).store(origin.wrapping_add(posted - 1), Relaxed);
                assert_eq!(submitter.pop(), Err(Broken));
            }
        });
    }
}

#[test]
fn the_engine_believes_published_entries_up_to_the_queue_s_size() {
    for (published, believed) in
        [(0, true), (1, true), (4, true), (5, false), (-1i32 as u32, false), (1 << 31, false)]
    {
        everywhere(|region, origin| {
            let (submitter, mut engine) = region.ends(origin);
            region.word(Word::Stail).store(origin.wrapping_add(published), Relaxed);
            assert_eq!(engine.available(), if believed { Ok(published) } else { Err(Broken) });
            assert_eq!(engine.is_broken(), !believed);
            let state = if believed { State::Running } else { State::Broken };
            assert_eq!(submitter.engine_state(), state);
            if believed && published > 0 {
                region.word(Word::Stail).store(origin.wrapping_add(published - 1), Relaxed);
                assert_eq!(engine.available(), Err(Broken));
            }
        });
    }
}

#[test]
fn the_engine_takes_no_more_than_a_lap_while_slots_are_held() {
    everywhere(|region, origin| {
        let (_submitter, mut engine) = region.ends(origin);
        region.word(Word::Stail).store(origin.wrapping_add(4), Relaxed);
        assert_eq!(engine.available(), Ok(4));
        assert!(engine.copy_next().is_some() && engine.copy_next().is_some());
        engine.release(1);
        // Three slots are held or waiting: one more fits, two do not.
        region.word(Word::Stail).store(origin.wrapping_add(5), Relaxed);
        assert_eq!(engine.available(), Ok(3));
        region.word(Word::Stail).store(origin.wrapping_add(6), Relaxed);
        assert_eq!(engine.available(), Err(Broken));
    });
}

#[test]
fn the_engine_believes_read_completions_up_to_what_it_posted() {
    for (read, believed) in
        [(0, true), (1, true), (8, true), (9, false), (-1i32 as u32, false), (1 << 31, false)]
    {
        everywhere(|region, origin| {
            let (_submitter, mut engine) = region.ends(origin);
            for seed in 0..8 {
                engine.post(&completion(seed)).unwrap();
            }
            region.word(Word::Chead).store(origin.wrapping_add(read), Relaxed);
            assert_eq!(engine.unread(), if believed { Ok(8 - read) } else { Err(Broken) });
            if believed && read > 0 {
                region.word(Word::Chead).store(origin.wrapping_add(read - 1), Relaxed);
                assert_eq!(engine.unread(), Err(Broken));
            }
        });
    }
}

#[test]
fn a_submitter_that_caught_a_lie_refuses_calls_that_need_no_look() {
    everywhere(|region, origin| {
        let (mut submitter, mut engine) = region.ends(origin);
        engine.post(&completion(1)).unwrap();
        assert_eq!(submitter.unread(), Ok(1));
        // Room and a completion are known of; the lie is in the other word.
        region.word(Word::Shead).store(origin.wrapping_sub(1), Relaxed);
        assert_eq!(submitter.room(), Err(Broken));
        assert_eq!(submitter.push(&entry(0)), Err(PushError::Broken));
        assert_eq!(submitter.pop(), Err(Broken));
        assert!(submitter.is_broken());
        // And it tells the other side, as the engine does.
        assert_eq!(region.word(Word::SubmitterState).load(Relaxed), State::Broken as u32);
    });
}

#[test]
fn an_engine_that_caught_a_lie_refuses_calls_that_need_no_look() {
    everywhere(|region, origin| {
        let (mut submitter, mut engine) = region.ends(origin);
        submitter.push(&entry(0)).unwrap();
        submitter.publish();
        assert_eq!(engine.available(), Ok(1));
        region.word(Word::Chead).store(origin.wrapping_add(1), Relaxed);
        assert_eq!(engine.unread(), Err(Broken));
        assert_eq!(engine.copy_next(), None);
        assert_eq!(engine.post(&completion(0)), Err(completion(0)));
        assert_eq!(region.word(Word::Ctail).load(Relaxed), origin);
    });
}

#[test]
fn the_largest_queues_work_and_one_past_is_refused() {
    let most = u64::from(MAX_SLOTS);
    assert_eq!(Geometry::new(most + 1, 2), Err(GeometryError::NotPowerOfTwo));
    assert_eq!(Geometry::new(2, most + 1), Err(GeometryError::NotPowerOfTwo));
    assert_eq!(Geometry::new(most * 2, 2), Err(GeometryError::TooLarge));
    assert_eq!(Geometry::new(2, most * 2), Err(GeometryError::TooLarge));
    assert_eq!(Geometry::new(1 << 63, 2), Err(GeometryError::TooLarge));
    for split in [false, true] {
        let region = Region::new(most, most, split);
        let (mut submitter, mut engine) = region.ends(u32::MAX - 9);
        for seed in 0..most {
            submitter.push(&entry(seed)).unwrap();
            engine.post(&completion(seed)).unwrap();
        }
        assert_eq!(submitter.push(&entry(0)), Err(PushError::Full));
        assert_eq!(engine.post(&completion(most)), Err(completion(most)));
        assert_eq!(submitter.publish(), MAX_SLOTS);
        assert_eq!(engine.available(), Ok(MAX_SLOTS));
        assert_eq!(submitter.unread(), Ok(MAX_SLOTS));
        for seed in 0..most {
            assert_eq!(engine.copy_next(), Some(entry(seed)));
            assert_eq!(submitter.pop(), Ok(Some(completion(seed))));
        }
        engine.release(u32::MAX);
        assert_eq!(submitter.room(), Ok(MAX_SLOTS));
        assert_eq!(engine.unread(), Ok(0));
        // One past the limit is a lie also where a lap is longest.
        let stail = region.word(Word::Stail);
        stail.store(stail.load(Relaxed).wrapping_add(MAX_SLOTS + 1), Relaxed);
        assert_eq!(engine.available(), Err(Broken));
    }
}

#[test]
fn misaligned_and_short_memory_is_refused() {
    let geometry = Geometry::new(2, 4).unwrap();
    let block = Block::new(1024);
    let other = Block::new(1024);
    let contiguous = |offset: usize, length: usize| {
        // SAFETY: offset + length lie within the block's 1024 bytes.
        unsafe { Memory::contiguous(block.base().add(offset), length, geometry) }.err()
    };
    let whole = geometry.contiguous_size();
    assert_eq!(contiguous(0, whole), None);
    assert_eq!(contiguous(64, whole), None);
    assert_eq!(contiguous(0, whole - 1), Some(GeometryError::TooSmall));
    assert_eq!(contiguous(0, 0), Some(GeometryError::TooSmall));
    for offset in [1, 4, 8, 32, 63] {
        assert_eq!(contiguous(offset, whole), Some(GeometryError::Misaligned));
    }
    let split = |offsets: (usize, usize), lengths: (usize, usize)| {
        let (engine, submitter) = (block.base(), other.base());
        // SAFETY: offsets + lengths lie within the blocks' 1024 bytes.
        unsafe {
            Memory::split(engine.add(offsets.0), lengths.0, submitter.add(offsets.1), lengths.1, geometry)
        }
        .err()
    };
    let (engine, submitter) = (geometry.split_engine_size(), geometry.split_submitter_size());
    assert_eq!(split((0, 0), (engine, submitter)), None);
    assert_eq!(split((0, 0), (engine - 1, submitter)), Some(GeometryError::TooSmall));
    assert_eq!(split((0, 0), (engine, submitter - 1)), Some(GeometryError::TooSmall));
    assert_eq!(split((8, 0), (engine, submitter)), Some(GeometryError::Misaligned));
    assert_eq!(split((0, 32), (engine, submitter)), Some(GeometryError::Misaligned));
}

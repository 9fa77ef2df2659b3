//! Loom models of the two queues: every interleaving, and every stale value the memory orders allow.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release --target-dir target/loom -p ouzel-ring --test loom_queues`;
//! without `--cfg loom` this file is empty. Slots are loom cells, so an index word whose order is too weak shows as two
//! unordered accesses to one slot. `ci/weaken-orders` proves that each order of `src/order.rs` is needed here.
//!
//! Every ring has two slots and carries three items or more, so that slots are reused, and starts just below
//! `u32::MAX`, so that the indices wrap. Models with two running threads are explored whole where that is quick and
//! else up to a stated number of preemptions.

#![cfg(loom)]

// Here and not a test of its own, so that one run shows of every order whether it is needed.
#[path = "loom_wake/mod.rs"]
mod loom_wake;

use loom::thread;
use ouzel_ring::{Completion, EngineEnd, Entry, Geometry, Memory, SubmitterEnd, Verb};

/// The third item's index wraps to zero.
const ORIGIN: u32 = u32::MAX - 1;

fn ring(entries: u64, completions: u64) -> (SubmitterEnd, EngineEnd) {
    let geometry = Geometry::new(entries, completions).unwrap();
    let memory = Memory::model(geometry, ORIGIN);
    (SubmitterEnd::new(memory.clone(), ORIGIN), EngineEnd::new(memory, ORIGIN))
}

fn model(preemptions: Option<usize>, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(body);
}

fn entry(item: u64) -> Entry {
    Entry::new(Verb::Write).data(item).timeout(item + 10).arguments([
        item,
        item + 1,
        item + 2,
        item + 3,
        item + 4,
    ])
}

fn completion(item: u64) -> Completion {
    Completion {
        op: Verb::Write as u32,
        error: item as i32 + 1,
        data: item,
        result: item + 100,
        flags: 0,
        extra: item as u32 + 7,
    }
}

/// Pushes and publishes `count` entries one at a time, as room allows.
fn submit_singly(submitter: &mut SubmitterEnd, count: u64) {
    for item in 0..count {
        while submitter.push(&entry(item)).is_err() {
            thread::yield_now();
        }
        assert_eq!(submitter.publish(), 1);
    }
}

/// Takes `count` entries in order, at most `batch` between two releases.
fn take(engine: &mut EngineEnd, count: u64, batch: u32) {
    let mut next = 0;
    while next < count {
        if engine.available().unwrap() == 0 {
            thread::yield_now();
            continue;
        }
        let mut copied = 0;
        while copied < batch
            && let Some(taken) = engine.copy_next()
        {
            assert_eq!(taken, entry(next), "entry {next}");
            next += 1;
            copied += 1;
        }
        assert_eq!(engine.held(), copied);
        engine.release(copied);
    }
}

#[test]
fn entries_arrive_whole_and_in_order() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let taker = thread::spawn(move || take(&mut engine, 4, 1));
        submit_singly(&mut submitter, 4);
        taker.join().unwrap();
        assert_eq!(submitter.queued(), Ok(0));
        assert_eq!(submitter.room(), Ok(2));
    });
}

#[test]
fn entries_published_together_arrive_together_or_in_part_but_in_order() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let taker = thread::spawn(move || take(&mut engine, 4, 2));
        for pair in 0..2 {
            for item in [pair * 2, pair * 2 + 1] {
                while submitter.push(&entry(item)).is_err() {
                    thread::yield_now();
                }
            }
            assert_eq!(submitter.publish(), 2);
        }
        taker.join().unwrap();
    });
}

#[test]
fn retracted_entries_are_never_seen() {
    model(None, || {
        let (mut submitter, mut engine) = ring(2, 2);
        let taker = thread::spawn(move || take(&mut engine, 2, 2));
        submitter.push(&entry(0)).unwrap();
        submitter.publish();
        submitter.push(&entry(99)).unwrap();
        assert_eq!(submitter.retract(), 1);
        submitter.push(&entry(1)).unwrap();
        submitter.publish();
        taker.join().unwrap();
    });
}

#[test]
fn one_slot_is_reused_only_when_given_back() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(1, 2);
        let taker = thread::spawn(move || take(&mut engine, 3, 1));
        submit_singly(&mut submitter, 3);
        taker.join().unwrap();
    });
}

#[test]
fn a_register_set_before_an_entry_is_seen_with_it() {
    model(None, || {
        let (mut submitter, mut engine) = ring(2, 2);
        let taker = thread::spawn(move || {
            while engine.available().unwrap() == 0 {
                thread::yield_now();
            }
            assert_eq!(engine.registers()[6], 77);
        });
        assert!(submitter.set_register(6, 77));
        submitter.push(&entry(0)).unwrap();
        submitter.publish();
        taker.join().unwrap();
    });
}

#[test]
fn completions_and_the_registers_saved_before_them_arrive_in_order() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let poster = thread::spawn(move || {
            for item in 0..4 {
                // Room is asked for first: a register may be saved only for a completion that will be posted.
                while engine.room_seen() == 0 && engine.unread().unwrap() == 2 {
                    thread::yield_now();
                }
                engine.save_register(3, item + 1);
                assert_eq!(engine.post(&completion(item)), Ok(()));
            }
        });
        for item in 0..4 {
            let posted = loop {
                match submitter.pop().unwrap() {
                    Some(posted) => break posted,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(posted, completion(item), "completion {item}");
            // The save is visible with its completion; a later one may be visible already.
            let saved = submitter.register(3).unwrap();
            assert!(saved > item && saved <= 4, "completion {item} was seen with register value {saved}");
        }
        poster.join().unwrap();
        assert_eq!(submitter.unread(), Ok(0));
    });
}

#[test]
fn a_full_completion_queue_hands_the_completion_back() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let poster = thread::spawn(move || {
            for item in 0..3 {
                let mut waiting = completion(item);
                while let Err(returned) = engine.post(&waiting) {
                    assert!(!engine.is_broken());
                    waiting = returned;
                    thread::yield_now();
                }
            }
        });
        let mut next = 0;
        while next < 3 {
            match submitter.pop().unwrap() {
                Some(posted) => {
                    assert_eq!(posted, completion(next));
                    next += 1;
                }
                None => thread::yield_now(),
            }
        }
        poster.join().unwrap();
    });
}

#[test]
fn a_round_trip_returns_each_entry_s_own_completion() {
    model(Some(2), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let executor = thread::spawn(move || {
            let mut done = 0;
            while done < 3 {
                if engine.available().unwrap() == 0 {
                    thread::yield_now();
                    continue;
                }
                while let Some(taken) = engine.copy_next() {
                    assert_eq!(taken, entry(done));
                    engine.release(1);
                    engine.save_register(0, taken.data + 1);
                    let mut waiting = completion(taken.data);
                    while let Err(returned) = engine.post(&waiting) {
                        waiting = returned;
                        thread::yield_now();
                    }
                    done += 1;
                }
            }
        });
        let (mut pushed, mut popped) = (0, 0);
        while popped < 3 {
            let mut idle = true;
            if pushed < 3 && submitter.push(&entry(pushed)).is_ok() {
                submitter.publish();
                pushed += 1;
                idle = false;
            }
            if let Some(done) = submitter.pop().unwrap() {
                assert_eq!(done, completion(popped));
                assert!(submitter.register(0).unwrap() > popped);
                popped += 1;
                idle = false;
            }
            if idle {
                thread::yield_now();
            }
        }
        executor.join().unwrap();
        assert_eq!(submitter.room(), Ok(2));
        assert_eq!(submitter.pop(), Ok(None));
    });
}

//! In steady state the engine allocates nothing, and asks the backend no more often than it must.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use common::*;
use ouzel_engine::{
    Backend, Counters, Edge, Interface, Limits, Operation, Outcome, Place, Program, Report, Started, Step,
    Token, Way,
};
use ouzel_ring::{Entry, Errno, Verb};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's; the count is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the contract is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the contract is the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the contract is the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Takes everything, reports success at the next wait, and counts how often it is called.
struct Echo {
    runs: usize,
    ready: VecDeque<Report>,
    starts: u64,
    waits: u64,
    follows: Cell<u64>,
}

impl Backend for Echo {
    fn now(&self) -> u64 {
        7
    }

    fn longest_run(&self) -> usize {
        self.runs
    }

    fn follows(&self, _: &Operation, _: Edge, _: &Operation) -> bool {
        self.follows.set(self.follows.get() + 1);
        true
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        self.starts += 1;
        for step in steps {
            self.ready.push_back(Report { token: step.token, outcome: Outcome::success(0), more: false });
        }
        Started::Taken { count: steps.len(), way: Way { place: Place::Simulated, reason: "" } }
    }

    fn cancel(&mut self, _: Token) {}

    fn wait(&mut self, _: u32, _: Option<u64>) -> Result<(), Errno> {
        self.waits += 1;
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

#[derive(Debug, PartialEq)]
struct Cost {
    allocations: u64,
    starts: u64,
    waits: u64,
}

/// What one of many rounds of `entries` costs, once everything has been warmed up.
fn cost(runs: usize, entries: impl Fn(u64) -> Vec<Entry>) -> Cost {
    cost_with(runs, |_| (), entries)
}

/// The same on a ring that `prepare` has changed.
fn cost_with(runs: usize, prepare: impl Fn(&mut Rig<Echo>), entries: impl Fn(u64) -> Vec<Entry>) -> Cost {
    const ROUNDS: u64 = 100;
    let backend =
        Echo { runs, ready: VecDeque::with_capacity(64), starts: 0, waits: 0, follows: Cell::new(0) };
    let limits = Limits { descriptors: 16, chain: u32::MAX, in_process: true, programs: 1, program_steps: 4 };
    let mut rig = Rig::over(backend, 32, 64, u32::MAX - 1_000, limits);
    prepare(&mut rig);
    let file = rig.descriptor();
    let entries = entries(file);
    let round = |rig: &mut Rig<Echo>| {
        for entry in &entries {
            rig.submitter.push(entry).unwrap();
        }
        rig.submitter.publish();
        let wait = entries.len() as u32;
        assert_eq!(rig.engine.enter(u32::MAX, wait, None).unwrap().readable, wait);
        while let Some(completion) = rig.submitter.pop().unwrap() {
            assert_eq!(completion.error, 0);
        }
    };
    for _ in 0..ROUNDS {
        round(&mut rig);
    }
    let measure = |rig: &Rig<Echo>| {
        let backend = rig.engine.backend();
        (ALLOCATIONS.get(), backend.starts, backend.waits)
    };
    let before = measure(&rig);
    for _ in 0..ROUNDS {
        round(&mut rig);
    }
    let after = measure(&rig);
    rig.assert_empty();
    let each = |total: u64| {
        assert_eq!(total % ROUNDS, 0, "not the same in each round");
        total / ROUNDS
    };
    Cost {
        allocations: after.0 - before.0,
        starts: each(after.1 - before.1),
        waits: each(after.2 - before.2),
    }
}

fn chain(_: u64) -> Vec<Entry> {
    vec![local(linked(save(open(1), 0))), linked(load(read(2, 0), 0, 0)), finally(load(close(3, 0), 0, 0))]
}

#[test]
fn operations_allocate_nothing() {
    ALLOCATIONS.set(0);
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(ALLOCATIONS.get(), 1, "the counter counts");

    let nothing = Cost { allocations: 0, starts: 0, waits: 0 };
    assert_eq!(cost(1, |_| (0..32).map(nop).collect()), nothing, "a batch of NOPs");
    let silent_gets = |_| (0..16).map(get).collect();
    assert_eq!(cost(1, silent_gets), nothing, "the engine's own verbs");
    let one = Cost { allocations: 0, starts: 1, waits: 1 };
    assert_eq!(cost(1, |file| vec![read(1, file)]), one, "one operation");
    let timed = |file| vec![read(1, file).timeout(1_000_000)];
    assert_eq!(cost(1, timed), one, "one with a timeout");
    let batch = Cost { allocations: 0, starts: 8, waits: 1 };
    assert_eq!(cost(1, |file| (0..8).map(|data| read(data, file)).collect()), batch, "eight at once");
    assert_eq!(cost(8, chain), one, "a chain of three as one run");
    let stepwise = Cost { allocations: 0, starts: 3, waits: 3 };
    assert_eq!(cost(1, chain), stepwise, "a chain of three, step by step");

    // Loops and calls; the record of the latter lies beside the ring.
    let looping = |file| vec![program(local(linked(read(1, file)))), repeat(2, 10, 1)];
    let ten = Cost { allocations: 0, starts: 10, waits: 10 };
    assert_eq!(cost(1, looping), ten, "a loop of ten turns");
    let store = |rig: &mut Rig<Echo>| {
        let piece = ouzel_ring::Payload::new(0xff00, 0).unwrap().number();
        let read = load(Entry::new(Verb::Read).arguments([0, piece, 8, 0, 0]), 0, 0);
        let word = save(Entry::new(Verb::Load).arguments([0, piece, 8, 0, 8]), 1);
        let interface = Interface { registers: 1, descriptors: 1, pieces: vec![8], result: Some(1) };
        let program = Program::new(&[read, word], interface).unwrap();
        assert_eq!(rig.engine.store(program), Ok(1));
    };
    let buffer = [0u64; 1];
    let record = [0, 0, 0, 0, 0, ouzel_ring::Payload::of(buffer.as_ptr()).number(), 8];
    let record_at = ouzel_ring::Payload::of(record.as_ptr()).number();
    // Four at once, of which two wait for packets of the others.
    let calls = |file| {
        let one = |data| Entry { arguments: [1, record_at, 56, file, 0], ..call(data, 1, 0, 0) };
        (0..4).map(one).collect()
    };
    let four = Cost { allocations: 0, starts: 4, waits: 2 };
    assert_eq!(cost_with(1, store, calls), four, "calls of a program");
}

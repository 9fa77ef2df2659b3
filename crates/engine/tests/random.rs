//! Random entries over a random backend: whatever is asked and whatever is reported, every entry gets exactly one
//! final completion, nothing panics, and nothing is left behind.
//!
//! `OUZEL_SEEDS` sets how many seeds are tried (default 3000); a failure names its seed.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet, VecDeque};

use common::Rig;
use ouzel_engine::{
    Backend, Counters, Edge, Limits, Operation, Outcome, Place, Report, Started, Step, Target, Token, Way,
};
use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Errno, Verb};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

struct Running {
    token: Token,
    operation: Operation,
    edge: Edge,
    /// The run it belongs to: its steps report in order, and behind one that did not run none does.
    run: u64,
    cancelled: bool,
}

/// Reports what it likes, when it likes, within the rules of the trait.
struct Chaos {
    random: Random,
    now: u64,
    running: Vec<Running>,
    ready: VecDeque<Report>,
    /// Of each run, whether its last step to report failed, was short, or did not run.
    broken: HashMap<u64, Break>,
    runs: u64,
    handles: HashSet<u64>,
    tokens: HashSet<Token>,
    waits: u64,
    /// Everything is let go, so that a teardown ends.
    willing: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Break {
    Failed,
    NotRun,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        Chaos {
            random: Random(seed ^ 0xabcdef),
            now: 1,
            running: Vec::new(),
            ready: VecDeque::new(),
            broken: HashMap::new(),
            runs: 0,
            handles: HashSet::new(),
            tokens: HashSet::new(),
            waits: 0,
            willing: false,
        }
    }

    fn outcome(&mut self, operation: &Operation, more: bool) -> Outcome {
        let accepts = matches!(operation, Operation::Accept { multishot: true, .. });
        if !more && self.random.one_in(4) {
            return Outcome::failure(
                [Errno::EIO, Errno::ECANCELED, Errno::EPIPE][self.random.below(3) as usize],
            );
        }
        let result = self.random.next() >> 1;
        if accepts {
            assert!(self.handles.insert(result));
        }
        Outcome::success(result)
    }

    /// Lets one running operation report.
    fn progress(&mut self) -> bool {
        // Only the first unreported step of a run may report.
        let mut runs = HashSet::new();
        let first: Vec<usize> =
            (0..self.running.len()).filter(|place| runs.insert(self.running[*place].run)).collect();
        if first.is_empty() {
            return false;
        }
        let place = first[self.random.below(first.len() as u64) as usize];
        let Running { token, operation, edge, run, cancelled } = self.running[place];
        let breaks = match self.broken.get(&run) {
            Some(Break::NotRun) => true,
            Some(Break::Failed) => edge == Edge::Success,
            None => false,
        };
        let multishot = operation.is_multishot();
        let (outcome, more) = if breaks {
            (Outcome::NotRun, false)
        } else if cancelled && self.random.one_in(2) {
            (Outcome::failure(Errno::ECANCELED), false)
        } else {
            let more = multishot && !self.random.one_in(3);
            (self.outcome(&operation, more), more)
        };
        if !more {
            self.running.remove(place);
            assert!(self.tokens.remove(&token));
        }
        // A success may count as short, which breaks the run as a failure does.
        if outcome == Outcome::NotRun {
            self.broken.insert(run, Break::NotRun);
        } else if !outcome.is_success() || self.random.one_in(6) {
            self.broken.insert(run, Break::Failed);
        } else {
            self.broken.remove(&run);
        }
        self.ready.push_back(Report { token, outcome, more });
        true
    }
}

impl Backend for Chaos {
    fn now(&self) -> u64 {
        self.now
    }

    fn longest_run(&self) -> usize {
        5
    }

    fn follows(&self, _: &Operation, _: Edge, _: &Operation) -> bool {
        !(self.now ^ self.runs).is_multiple_of(4)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Simulated, reason: "" };
        match self.random.below(8) {
            0 => Started::Busy,
            1 => Started::Finished { outcome: self.outcome(&steps[0].operation, false), way },
            _ => {
                let count = 1 + self.random.below(steps.len() as u64) as usize;
                self.runs += 1;
                for step in &steps[..count] {
                    assert!(self.tokens.insert(step.token), "a token is used twice");
                    self.running.push(Running {
                        token: step.token,
                        operation: step.operation,
                        edge: step.edge,
                        run: self.runs,
                        cancelled: false,
                    });
                }
                Started::Taken { count, way }
            }
        }
    }

    fn cancel(&mut self, token: Token) {
        if let Some(running) = self.running.iter_mut().find(|running| running.token == token) {
            running.cancelled = true;
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.waits += 1;
        assert!(self.waits < 1_000_000, "enter spins");
        if self.random.one_in(3) || self.willing {
            self.progress();
        }
        while self.ready.len() < want as usize {
            if self.random.one_in(8) {
                break;
            }
            match until {
                Some(until) if self.random.one_in(3) => {
                    self.now = self.now.max(until);
                    break;
                }
                _ if self.progress() => {}
                Some(until) => {
                    self.now = self.now.max(until);
                    break;
                }
                None => panic!("asleep for ever: {want} wanted, {} running", self.running.len()),
            }
        }
        self.now = self.now.saturating_add(self.random.below(50));
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn attach(&mut self, handle: u64, _: u32) {
        assert!(self.handles.remove(&handle), "a handle that was never given out");
    }

    fn discard(&mut self, handle: u64) {
        assert!(self.handles.remove(&handle), "a handle that was never given out");
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

struct Driver {
    random: Random,
    rig: Rig<Chaos>,
    /// The flags of each entry without its final completion.
    owed: HashMap<u64, u32>,
    silent: HashSet<u64>,
    descriptors: Vec<u64>,
    data: u64,
}

const PATH: &[u8; 4] = b"a\0b\0";

impl Driver {
    fn new(seed: u64) -> Driver {
        let mut random = Random(seed);
        let entries = 1 << random.below(5);
        let completions = 2 << random.below(5);
        let origin = u32::MAX - random.below(40) as u32;
        let limits = Limits { descriptors: 6, chain: 1 + random.below(12) as u32, in_process: true };
        let mut rig = Rig::over(Chaos::new(seed), entries, completions, origin, limits);
        let mut descriptors = vec![0, 1 << 32];
        for _ in 0..2 {
            let index = rig.engine.reserve_descriptor().unwrap();
            descriptors.push(rig.engine.install_descriptor(index).unwrap().number());
        }
        Driver { random, rig, owed: HashMap::new(), silent: HashSet::new(), descriptors, data: 0 }
    }

    fn entry(&mut self) -> Entry {
        let random = &mut self.random;
        self.data += 1;
        let mut words = [0u64; 8];
        words.fill_with(|| random.next());
        let mut entry = Entry::from_words(words);
        entry.data = self.data;
        entry.op = random.below(33) as u32;
        entry.timeout = match random.below(6) {
            0 => 0,
            1 => random.below(300),
            2 if random.one_in(50) => u64::MAX - 1,
            _ => u64::MAX,
        };
        // Flags that often make sense, sometimes any.
        if !random.one_in(30) {
            let mut flags = EntryFlags::empty();
            for (flag, chances) in [
                (EntryFlags::LINK, 2),
                (EntryFlags::HARDLINK, 8),
                (EntryFlags::FINALLY, 8),
                (EntryFlags::LOCAL, 8),
                (EntryFlags::SILENT, 6),
                (EntryFlags::DRAIN, 20),
            ] {
                if random.one_in(chances) {
                    flags |= flag;
                }
            }
            if matches!(Verb::from_number(entry.op), Some(Verb::Poll | Verb::Accept)) && random.one_in(2) {
                flags = EntryFlags::MULTISHOT;
            }
            for argument in [0, 2, 3] {
                if random.one_in(6) {
                    flags |= EntryFlags::load(argument, random.below(7) as usize).unwrap();
                }
            }
            if !flags.contains(EntryFlags::MULTISHOT) && random.one_in(3) {
                flags |= EntryFlags::save(random.below(6) as usize).unwrap();
            }
            entry.flags = flags.bits();
        }
        // Payloads name memory that exists and is long enough.
        let path = ouzel_ring::Payload::of(PATH.as_ptr()).number();
        let file = self.descriptors[random.below(self.descriptors.len() as u64) as usize];
        entry.arguments[0] = file;
        entry.arguments[2] = random.below(3);
        entry.arguments[3] = random.below(3);
        entry.arguments[4] = if random.one_in(2) { 0 } else { file };
        match Verb::from_number(entry.op) {
            Some(Verb::Cancel) => {
                entry.arguments[1] = random.below(self.data + 1);
                entry.arguments[3] = random.below(3);
            }
            Some(Verb::Poll) => entry.arguments[1] = random.below(32),
            Some(Verb::Sleep | Verb::Deadline) => {
                entry.arguments[2] = if random.one_in(6) { u64::MAX } else { random.below(300) };
                entry.arguments[3] = random.below(2);
            }
            Some(Verb::Rename | Verb::Link | Verb::Symlink) => {
                entry.arguments[1] = path;
                entry.arguments[2] = 4;
            }
            Some(Verb::Stat) => entry.op = Verb::Nop as u32,
            // A loaded magnitude would name memory that does not exist.
            Some(Verb::Open | Verb::Mkdir | Verb::Remove) => {
                entry.arguments[1] = path;
                entry.arguments[2] = 2;
                entry.arguments[3] = 1;
                entry.arguments[4] = 0;
                entry.flags &= !EntryFlags::load(2, 6).unwrap().bits();
            }
            _ => {
                entry.arguments[1] = path;
                if matches!(Verb::from_number(entry.op), Some(Verb::Read | Verb::Write)) {
                    // Not vectored: the pieces would be made up.
                    entry.arguments[4] = 0;
                }
            }
        }
        let loads_length = EntryFlags::from_bits_retain(entry.flags).loaded_from(2).is_some();
        let parses = matches!(Verb::from_number(entry.op), Some(Verb::Rename | Verb::Link | Verb::Symlink));
        let loads_flags = EntryFlags::from_bits_retain(entry.flags).loaded_from(4).is_some();
        // A FINALLY entry that sleeps for ever ends no teardown but one that gives up; that is not what is asked here.
        let sleeps = matches!(Verb::from_number(entry.op), Some(Verb::Sleep | Verb::Nop))
            && entry.flags & EntryFlags::FINALLY.bits() != 0;
        if (parses && loads_length) || loads_flags || sleeps {
            entry.op = Verb::Get as u32;
        }
        entry
    }

    fn take(&mut self, completion: Completion) {
        let more = completion.flags & CompletionFlags::MORE.bits() != 0;
        let flags = *self.owed.get(&completion.data).unwrap_or_else(|| panic!("{completion:?} is not owed"));
        if more {
            assert!(flags & EntryFlags::MULTISHOT.bits() != 0, "{completion:?}");
        } else {
            self.owed.remove(&completion.data);
            self.silent.remove(&completion.data);
        }
        if completion.error == 0 && completion.result >> 32 != 0 && completion.result >> 60 == 0 {
            self.descriptors.push(completion.result);
        }
    }

    fn pop(&mut self, most: u64) {
        for _ in 0..most {
            let Some(completion) = self.rig.submitter.pop().unwrap() else { break };
            self.take(completion);
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=3 => {
                for _ in 0..self.random.below(6) {
                    let entry = self.entry();
                    if self.rig.submitter.push(&entry).is_ok() {
                        self.owed.insert(entry.data, entry.flags);
                        if entry.flags & EntryFlags::SILENT.bits() != 0 {
                            self.silent.insert(entry.data);
                        }
                    }
                }
                self.rig.submitter.publish();
            }
            4..=6 => {
                let submit = if self.random.one_in(2) { u32::MAX } else { self.random.below(6) as u32 };
                let wait = if self.random.one_in(2) { 0 } else { self.random.below(5) as u32 };
                let timeout = self.random.one_in(3).then(|| self.random.below(200));
                let entered = self.rig.engine.enter(submit, wait, timeout).unwrap();
                assert!(entered.taken <= submit);
                let gauges = self.rig.engine.gauges();
                let slots = self.rig.submitter.geometry().completions();
                assert!(gauges.packets + entered.readable <= slots, "more promised than there is room for");
                assert!(gauges.stored <= slots);
                assert!(gauges.chains <= gauges.packets);
            }
            7 | 8 => {
                let most = self.random.below(8);
                self.pop(most);
            }
            _ => {
                let target = match self.random.below(4) {
                    0 => Target::All,
                    _ => Target::Data(self.random.below(self.data + 1)),
                };
                self.rig.engine.cancel(target);
            }
        }
    }

    fn tear_down(&mut self) {
        self.rig.engine.begin_teardown();
        self.rig.engine.backend_mut().willing = true;
        for round in 0.. {
            assert!(round < 20_000, "the teardown does not end: {:?}", self.rig.engine.gauges());
            self.rig.engine.enter(0, 1, Some(1_000_000)).unwrap();
            self.pop(u64::MAX);
            if self.rig.engine.is_idle() {
                break;
            }
        }
        self.rig.assert_empty();
        for (data, flags) in &self.owed {
            assert!(self.silent.contains(data), "entry {data} with flags {flags:#x} never completed");
        }
        let open = self.rig.engine.open_descriptors().count() as u32;
        assert_eq!(self.rig.engine.gauges().descriptors, open, "an index is neither open nor free");
        assert!(self.rig.engine.backend().handles.is_empty(), "a connection is lost");
        assert!(self.rig.engine.backend().running.is_empty());
    }
}

fn seeds() -> u64 {
    std::env::var("OUZEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3_000)
}

#[test]
fn every_entry_completes_once_whatever_happens() {
    for seed in 0..seeds() {
        let run = std::panic::catch_unwind(|| {
            let mut driver = Driver::new(seed);
            for _ in 0..200 {
                driver.step();
            }
            driver.tear_down();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_submitter_that_lies_breaks_the_ring_and_no_more() {
    for seed in 0..seeds() / 3 {
        let run = std::panic::catch_unwind(|| {
            let mut driver = Driver::new(seed);
            for _ in 0..30 {
                driver.step();
            }
            let (word, value) = (driver.random.below(2) as usize, driver.random.next() as u32);
            let value = if driver.random.one_in(2) { value } else { u32::MAX - (value & 63) };
            driver.rig.lie(word, value);
            for _ in 0..10 {
                let wait = driver.random.below(4) as u32;
                let _ = driver.rig.engine.enter(u32::MAX, wait, Some(100));
            }
            driver.rig.engine.begin_teardown();
            driver.rig.engine.backend_mut().willing = true;
            let mut rounds = 0;
            // A lie that is possible leaves a ring whose submitter never reads: its teardown is bounded by the caller.
            while !driver.rig.engine.is_idle() && rounds < 2_000 {
                driver.rig.engine.enter(0, 1, Some(1_000_000)).unwrap();
                rounds += 1;
            }
            if driver.rig.engine.enter(0, 0, None).is_err() || rounds < 2_000 {
                assert_eq!(driver.rig.engine.gauges().started, 0);
            }
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

//! The layer that confines, over a backend that answers at random: at once, later or not yet, with success or any error, and
//! now and then without room. Whatever it does and whoever cancels what, each step is reported once, and all that was
//! opened is closed.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ouzel_engine::{
    Backend, Counters, Edge, Operation, Outcome, Path, Place, Report, Span, Started, Step, Token, Way,
};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, RenameFlags, StatFlags};
use ouzel_scheme::{Confine, Rights};

const WAY: Way = Way { place: Place::Simulated, reason: "" };
const FIRST: u32 = 200;

/// Numbers that a seed decides (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// See the text of this file.
struct Chaos {
    numbers: Numbers,
    flying: BTreeMap<u64, Operation>,
    cancelled: BTreeSet<u64>,
    ready: VecDeque<Report>,
    /// What is open of the layer's own indices.
    open: BTreeSet<u32>,
    /// What was ever opened there.
    opened: u64,
}

impl Chaos {
    fn outcome(&mut self, operation: &Operation, cancelled: bool) -> Outcome {
        let errors = [Errno::EAGAIN, Errno::ENOENT, Errno::EXDEV, Errno::EIO];
        match operation {
            Operation::Close { file } => {
                assert!(*file < FIRST || self.open.remove(file), "{file} was not open");
                let fails = *file >= FIRST && self.numbers.chance(8);
                if fails { Outcome::failure(Errno::EIO) } else { Outcome::success(0) }
            }
            _ if cancelled && self.numbers.chance(2) => Outcome::failure(Errno::ECANCELED),
            _ if self.numbers.chance(4) => {
                Outcome::failure(errors[self.numbers.below(errors.len() as u64) as usize])
            }
            Operation::Open { into, .. } if *into >= FIRST => {
                assert!(self.open.insert(*into), "{into} was open already");
                self.opened += 1;
                Outcome::success(0)
            }
            Operation::Rename { from, to, .. } => {
                for index in [from, to].into_iter().flatten().filter(|index| **index >= FIRST) {
                    assert!(self.open.contains(index), "{index} is used and not open");
                }
                Outcome::success(0)
            }
            Operation::Stat { directory, .. } => {
                let index = directory.unwrap();
                assert!(index < FIRST || self.open.contains(&index), "{index} is used and not open");
                Outcome::success(0)
            }
            _ => Outcome::success(0),
        }
    }
}

impl Backend for Chaos {
    fn now(&self) -> u64 {
        1
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let step = &steps[0];
        if !self.flying.is_empty() && self.numbers.chance(5) {
            return Started::Busy;
        }
        if self.numbers.chance(3) {
            let outcome = self.outcome(&step.operation, false);
            return Started::Finished { outcome, way: WAY };
        }
        let before = self.flying.insert(step.token.to_word(), step.operation);
        assert!(before.is_none(), "a token is used twice");
        Started::Taken { count: 1, way: WAY }
    }

    fn cancel(&mut self, token: Token) {
        if let Some(operation) = self.flying.get(&token.to_word()) {
            let is_own_close = matches!(*operation, Operation::Close { file } if file >= FIRST);
            assert!(!is_own_close, "a close of the layer's own is cancelled");
            self.cancelled.insert(token.to_word());
        }
    }

    fn wait(&mut self, want: u32, _: Option<u64>) -> Result<(), Errno> {
        let mut words: Vec<u64> = self.flying.keys().copied().collect();
        let least = (want as usize).min(words.len());
        let count = least.max(self.numbers.below(3) as usize).min(words.len());
        for _ in 0..count {
            let word = words.swap_remove(self.numbers.below(words.len() as u64) as usize);
            let operation = self.flying.remove(&word).unwrap();
            let cancelled = self.cancelled.remove(&word);
            let outcome = self.outcome(&operation, cancelled);
            self.ready.push_back(Report { token: Token::from_word(word), outcome, more: false });
        }
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

fn path(text: &'static str) -> Path {
    Path { pointer: text.as_ptr(), length: text.len() }
}

fn operation(number: u64) -> Operation {
    let (record, none) = (Span::EMPTY, RenameFlags::empty());
    match number {
        0 => {
            Operation::Stat { directory: None, path: Some(path("a/b\0")), record, flags: StatFlags::empty() }
        }
        1 => Operation::Mkdir { directory: None, path: path("a/b/c\0"), mode: 0 },
        2 => Operation::Rename { from: None, old: path("a/b\0"), to: None, new: path("c/d\0"), flags: none },
        3 => Operation::Rename { from: None, old: path("b\0"), to: None, new: path("c/d\0"), flags: none },
        4 => {
            let flags = OpenFlags::READ;
            Operation::Open { directory: None, path: path("a/../b\0"), flags, mode: 0, into: 7 }
        }
        5 => Operation::Mkdir { directory: None, path: path("c\0"), mode: 0 },
        _ => Operation::Close { file: 7 },
    }
}

fn run(seed: u64) -> u64 {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let chaos = Chaos {
        numbers: Numbers(numbers.below(u64::MAX) | 1),
        flying: BTreeMap::new(),
        cancelled: BTreeSet::new(),
        ready: VecDeque::new(),
        open: BTreeSet::new(),
        opened: 0,
    };
    let indices = 2 + numbers.below(4) as u32;
    let mut confine = Confine::new(chaos, Some(100), FIRST..FIRST + indices, Rights::all());
    let mut waiting: BTreeMap<u32, Token> = BTreeMap::new();
    let (mut generation, mut started) = (0, 0);
    let over = |report: Report, waiting: &mut BTreeMap<u32, Token>| {
        assert_eq!(waiting.remove(&report.token.slot), Some(report.token), "reported, and not started");
        assert!(!report.more && report.outcome != Outcome::NotRun);
    };
    let mut turns = 0;
    while started < 200 || !waiting.is_empty() {
        turns += 1;
        assert!(turns < 100_000, "it does not end: {waiting:?}");
        let slot = numbers.below(8) as u32;
        if started < 200 && !waiting.contains_key(&slot) {
            generation += 1;
            let token = Token { slot, generation };
            let step =
                Step { token, operation: operation(numbers.below(7)), edge: Edge::Success, may_wait: true };
            match confine.start(&[step]) {
                Started::Taken { count, .. } => {
                    assert_eq!(count, 1);
                    waiting.insert(slot, token);
                    started += 1;
                }
                Started::Finished { .. } => started += 1,
                Started::Busy => {}
            }
        }
        if numbers.chance(4)
            && let Some(token) = waiting.get(&slot)
        {
            confine.cancel(*token);
        }
        if numbers.chance(2) {
            confine.wait(numbers.below(3) as u32, Some(2)).unwrap();
        }
        while let Some(report) = confine.next() {
            over(report, &mut waiting);
        }
    }
    assert_eq!(confine.resolving(), 0);
    assert!(confine.inner().open.is_empty(), "left open: {:?}", confine.inner().open);
    assert!(confine.inner().flying.is_empty());
    confine.inner().opened
}

#[test]
fn everything_is_reported_once_and_closed() {
    let opened: u64 = (0..500).map(run).sum();
    assert!(opened > 10_000, "only {opened} paths were resolved");
}

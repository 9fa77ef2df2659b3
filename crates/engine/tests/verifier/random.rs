//! Random programs: the verifier takes exactly those that the oracle finds nothing wrong with, whatever it is given it
//! comes back soon, and what it took keeps its promises as it runs.
//!
//! `OUZEL_SEEDS` sets how many seeds are tried (default 8000); a failure names its seed.

use std::time::{Duration, Instant};

use ouzel_engine::{Interface, Program, Reason};
use ouzel_ring::modifiers::{Action, Condition, MAX_PROGRAM_STEPS, TestOf};
use ouzel_ring::{Entry, EntryFlags, Verb};

use crate::ways::{Found, explore, run};
use crate::{With, close, get, open, piece, read, repeat, set, skip, step};

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

pub fn seeds() -> u64 {
    std::env::var("OUZEL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(8000)
}

/// A program that is right in most things. What registers hold on the straight way is known, so that most loads suit.
pub fn program(random: &mut Random) -> (Vec<Entry>, Interface) {
    // Few registers, so that steps have to do with each other.
    let registers = 1 + random.below(3);
    let interface = Interface {
        registers: random.below(registers + 1) as u8,
        ..Interface { pieces: vec![10, 4096], ..Interface::default() }
    };
    let interface = Interface {
        descriptors: random.next() as u8 & ((1 << interface.registers) - 1),
        result: random.one_in(2).then(|| random.below(registers) as u8),
        ..interface
    };
    let mut holds: Vec<Option<bool>> = (0..7)
        .map(|register| {
            let is_set = register < usize::from(interface.registers);
            is_set.then(|| interface.descriptors >> register & 1 != 0)
        })
        .collect();
    let length = 1 + random.below(12) as usize;
    let finally = random.below(3) as usize;
    let mut entries: Vec<Entry> = Vec::new();
    for at in 0..length + finally {
        let is_finally = at >= length;
        let pick = |descriptor: bool, random: &mut Random| {
            let suitable: Vec<usize> =
                (0..registers as usize).filter(|place| holds[*place] == Some(descriptor)).collect();
            if suitable.is_empty() || random.one_in(12) {
                random.below(registers) as usize
            } else {
                suitable[random.below(suitable.len() as u64) as usize]
            }
        };
        let (mut entry, saves) = match random.below(if is_finally { 11 } else { 17 }) {
            0 | 1 => (open(), Some(true)),
            2 => (read(pick(true, random)), Some(false)),
            3 => {
                let register = pick(true, random);
                holds[register] = random.one_in(2).then_some(true);
                (close(register), None)
            }
            4 => (set(0, random.below(9)), Some(false)),
            5 => (get(pick(false, random)), Some(false)),
            6 => {
                let copy = step(Verb::Copy, [0; 5]);
                let (from, to) = (pick(true, random), pick(true, random));
                (copy.load(0, from).load(2, pick(false, random)).load(4, to), Some(false))
            }
            7 => (Entry::new(Verb::Accept).load(0, pick(true, random)), Some(true)),
            8 => (step(Verb::Add, [0, 0, 0, 1, random.below(3)]).load(2, pick(false, random)), Some(false)),
            9 => (Entry::new(Verb::Nop), Some(false)),
            10 => (step(Verb::Load, [0, piece(1, 0), 8, 0, 64]).load(3, pick(false, random)), Some(false)),
            11..=13 => {
                let left = (length - at - 1) as u64;
                let action = match random.below(4) {
                    0 => Action::Stop as u64,
                    1 => Action::Continue as u64,
                    // Now and then one too far.
                    _ if random.one_in(30) => skip(left + 1),
                    _ if left > 0 => skip(1 + random.below(left.min(4))),
                    _ => Action::Stop as u64,
                };
                if random.one_in(2) && !entries.is_empty() {
                    let condition = Condition::Error as u64;
                    (step(Verb::Test, [TestOf::Last as u64, action, 0, condition, 0]), Some(false))
                } else {
                    let test = step(Verb::Test, [TestOf::Value as u64, action, 0, 0, 0]);
                    (test.load(2, pick(false, random)), Some(false))
                }
            }
            14 => (Entry::new(Verb::Pipe), Some(true)),
            _ if at > 0 => {
                let most = if random.one_in(8) { 2000 } else { 4 };
                let bound = 1 + random.below(most);
                (repeat(bound, 1 + random.below(at as u64)), Some(false))
            }
            _ => (Entry::new(Verb::Nop), None),
        };
        let is_pipe = entry.op == Verb::Pipe as u32;
        entry.flags &= !EntryFlags::SAVE.bits();
        if let Some(descriptor) = saves
            && (is_pipe || !random.one_in(4))
        {
            let register = random.below(registers) as usize;
            entry = entry.save(register);
            holds[register] = Some(descriptor);
            if is_pipe {
                holds[register + 1] = Some(true);
            }
        }
        entry = match random.below(4) {
            _ if is_finally => entry.finally(),
            0 => entry.hard(),
            1 => entry.with(EntryFlags::LINK),
            _ => entry,
        };
        entries.push(entry);
    }
    (entries, interface)
}

/// That the verifier says of a program what the oracle found.
fn compare(seed: u64, entries: &[Entry], interface: &Interface) -> bool {
    let context = || format!("seed {seed}: {entries:#?}, {interface:?}");
    let rejection = match Program::new(entries, interface.clone()) {
        Ok(_) => {
            let Found { ordinary, stops, end, kinds, useless } = explore(entries, interface);
            assert!(ordinary.is_empty() && stops.is_empty() && !end, "it takes {}", context());
            assert!(kinds.is_empty() && useless.is_empty(), "it takes {}", context());
            return true;
        }
        Err(rejection) => rejection,
    };
    assert!(!rejection.to_string().is_empty());
    let is_finally = rejection.step.is_some_and(|step| entries[step].flags & EntryFlags::FINALLY.bits() != 0);
    match rejection.reason {
        Reason::ResultUndefined { .. } => {
            let found = explore(entries, interface);
            assert!(found.ordinary.iter().all(|at| Some(*at) > rejection.step || rejection.step.is_none()));
            match rejection.step {
                Some(step) => assert_eq!(found.stops.first(), Some(&step), "{rejection}: {}", context()),
                None => assert!(found.end, "{rejection}: {}", context()),
            }
        }
        Reason::Undefined { .. }
        | Reason::WantsDescriptor { .. }
        | Reason::WantsNumber { .. }
        | Reason::Closed { .. }
        | Reason::NothingToTest
            if !is_finally =>
        {
            let found = explore(entries, interface);
            assert_eq!(found.ordinary.first(), rejection.step.as_ref(), "{rejection}: {}", context());
        }
        // What FINALLY steps find depends on more than one register at once, which the verifier does not follow: there
        // it may refuse too much, never too little.
        Reason::Undefined { .. }
        | Reason::WantsDescriptor { .. }
        | Reason::WantsNumber { .. }
        | Reason::Closed { .. }
        // What does not depend on the way.
        | Reason::SkipsTooFar { .. }
        | Reason::RepeatsCross { .. }
        | Reason::TooManySteps { .. } => {}
        other => panic!("{other:?}: {}", context()),
    }
    false
}

#[test]
fn it_says_what_trying_all_ways_says() {
    let mut accepted = 0;
    for seed in 0..seeds() {
        let mut random = Random(seed);
        let (entries, interface) = program(&mut random);
        accepted += u64::from(compare(seed, &entries, &interface));
    }
    let share = accepted * 100 / seeds();
    assert!((10..90).contains(&share), "{share} of 100 were accepted");
}

#[test]
fn what_it_takes_runs() {
    let (mut runs, mut longest) = (0, 0);
    for seed in 0..seeds() {
        let mut random = Random(seed);
        let (entries, interface) = program(&mut random);
        if Program::new(&entries, interface.clone()).is_err() {
            continue;
        }
        // All turns of all loops: nothing fails, no TEST holds, nobody cancels.
        let steps = run(&entries, &interface, &mut |_| false, 1);
        assert!(steps <= MAX_PROGRAM_STEPS, "seed {seed}: {steps} steps");
        longest = longest.max(steps);
        for holds_one_in in [1, 2, 8, 1_000_000] {
            let steps = run(&entries, &interface, &mut |chances| random.one_in(chances), holds_one_in);
            assert!(steps <= MAX_PROGRAM_STEPS, "seed {seed}: {steps} steps");
            runs += 1;
        }
    }
    assert!(runs > 1000 || seeds() < 5000, "{runs} runs");
    assert!(longest > 10_000 || seeds() < 5000, "{longest} steps");
}

/// Anything: mostly nonsense, but with the numbers that something hangs on.
fn nonsense(random: &mut Random) -> Entry {
    let mut words = [0; 8];
    words.fill_with(|| match random.below(4) {
        0 => random.next(),
        1 => random.below(9),
        2 => piece(random.below(18) as u16, random.below(40)),
        _ => u64::MAX << random.below(64),
    });
    let mut entry = Entry::from_words(words);
    if !random.one_in(20) {
        entry.op = random.below(64) as u32;
    }
    if !random.one_in(20) {
        entry.flags &= (EntryFlags::LOADS | EntryFlags::SAVE | EntryFlags::LINK).bits();
        if random.one_in(2) {
            entry.flags &= (random.next() & random.next()) as u32;
        }
    }
    entry
}

#[test]
fn nonsense_is_refused_without_a_panic() {
    for seed in 0..seeds() {
        let mut random = Random(seed);
        let count = [1, 2, 5, 256, 257][random.below(5) as usize];
        let entries: Vec<Entry> = (0..count).map(|_| nonsense(&mut random)).collect();
        let interface = Interface {
            registers: random.below(9) as u8,
            descriptors: (random.next() & random.next()) as u8,
            pieces: vec![random.below(60); random.below(18) as usize],
            result: random.one_in(2).then(|| random.below(9) as u8),
        };
        if let Err(rejection) = Program::new(&entries, interface.clone()) {
            assert!(!rejection.to_string().is_empty());
            assert!(rejection.step.is_none_or(|step| step < entries.len()), "seed {seed}");
        }
        // SAFETY: the program is not stored, so nobody touches what it names.
        let with_addresses = unsafe { Program::with_addresses(&entries, interface.clone()) };
        assert!(with_addresses.is_ok() || Program::new(&entries, interface).is_err(), "seed {seed}");
    }
}

/// The programs that take longest: as long as may be, and with loops in loops that bring news with each round.
#[test]
fn it_is_quick() {
    let nop = Entry::new(Verb::Nop);
    let mut nested = vec![set(0, 0), nop];
    // Loops around loops, each of which undoes something further on.
    nested.extend((1..=17).map(|distance| repeat(2, distance)));
    nested.resize(256, set(6, 1));
    let tests = |action: u64| {
        let mut entries = vec![set(0, 1); 1];
        let test = step(Verb::Test, [TestOf::Value as u64, action, 0, 0, 0]).load(2, 0);
        entries.resize(250, test);
        entries.extend([nop; 6]);
        entries
    };
    let pairs: Vec<Entry> = (0..128).flat_map(|_| [close(0).save(0), repeat(2, 1)]).collect();
    let begin = Instant::now();
    for _ in 0..200 {
        for entries in [&nested, &tests(Action::Stop as u64), &tests(skip(3)), &pairs] {
            // Accepted or not, all of it is looked at.
            let _ = Program::new(entries, Interface { registers: 1, ..Interface::default() });
        }
    }
    // 800 programs, in a build without optimisation, on a machine that is busy.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

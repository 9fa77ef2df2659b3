//! Random entries over a random backend: whatever is asked and whatever is reported, every entry gets exactly one
//! final completion, nothing panics, and nothing is left behind; and what completes is what the ABI page says (`oracle`).
//!
//! Every second seed cancels nothing, so that the oracle can tell of every member how it must end.
//!
//! `OUZEL_SEEDS` sets how many seeds are tried (default 3000); a failure names its seed.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod chaos;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod oracle;

use std::collections::{HashMap, HashSet};

use chaos::{Chaos, Random};
use common::{Rig, cancel, get, load, local, save};
use oracle::Oracle;
use ouzel_engine::{Limits, Target};
use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Verb};

struct Driver {
    random: Random,
    rig: Rig<Chaos>,
    /// The flags of each entry without its final completion.
    owed: HashMap<u64, u32>,
    silent: HashSet<u64>,
    descriptors: Vec<u64>,
    data: u64,
    oracle: Oracle,
    /// Completions are read after each enter, so that the oracle knows when they came.
    prompt: bool,
    /// Long chains of what travels in runs.
    dense: bool,
    /// The register that an entry was last told to save into.
    last_saved: usize,
    /// The numbers of stored programs: the first doubles r0, the others loop.
    programs: Vec<u32>,
    pushed: u64,
    taken: u64,
}

const PATH: &[u8; 4] = b"a\0b\0";

/// The first number that no verb has.
const UNKNOWN_VERB: u32 = Verb::ALL.len() as u32;
/// What payloads in argument 3 name: as long as the longest record, and good times.
static RECORD: [u8; 96] = [0; 96];

impl Driver {
    fn new(seed: u64) -> Driver {
        let mut random = Random(seed);
        let dense = seed % 4 < 2;
        let (entries, completions) =
            if dense { (16, 32) } else { (1 << random.below(5), 2 << random.below(5)) };
        let origin = u32::MAX - random.below(40) as u32;
        let limits = Limits {
            descriptors: 6,
            chain: if dense { 12 } else { 1 + random.below(12) as u32 },
            in_process: true,
            programs: 3,
            program_steps: 6 + random.below(20) as u32,
        };
        let mut rig = Rig::over(Chaos::new(seed), entries, completions, origin, limits);
        let mut descriptors = vec![0, 1 << 32];
        for _ in 0..2 {
            let index = rig.engine.reserve_descriptor().unwrap();
            descriptors.push(rig.engine.install_descriptor(index).unwrap().number());
        }
        let programs = control::programs().map(|program| rig.engine.store(program).unwrap()).to_vec();
        rig.engine.backend_mut().repeats = !seed.is_multiple_of(2);
        let oracle = Oracle::new(seed.is_multiple_of(2), rig.engine.limits().chain);
        let (owed, silent) = (HashMap::new(), HashSet::new());
        Driver {
            random,
            rig,
            owed,
            silent,
            descriptors,
            data: 0,
            oracle,
            prompt: seed % 8 < 4,
            dense,
            last_saved: 0,
            programs,
            pushed: 0,
            taken: 0,
        }
    }

    fn entry(&mut self) -> Entry {
        let (random, exact) = (&mut self.random, self.oracle.exact);
        // A full table would leave nothing to open.
        let open: Vec<u64> =
            self.rig.engine.open_descriptors().map(|descriptor| descriptor.number()).collect();
        let closes = open.len() > 3 && random.one_in(3);
        self.data += 1;
        let mut words = [0u64; 8];
        words.fill_with(|| random.next());
        let mut entry = Entry::from_words(words);
        entry.data = self.data;
        entry.op = match random.below(44) as u32 {
            op if op <= Verb::RemoveXattr as u32 => op,
            // Two that nobody has.
            op => UNKNOWN_VERB + op,
        };
        // Registers are read often, or it would not show what is in them.
        let reads_register = exact && random.one_in(4);
        if closes {
            entry.op = Verb::Close as u32;
        } else if reads_register {
            entry.op = Verb::Get as u32;
        } else if self.dense && !random.one_in(6) {
            // What travels in runs.
            let verbs = [Verb::Read, Verb::Write, Verb::Read, Verb::Open, Verb::Pipe, Verb::Deadline];
            entry.op = verbs[random.below(verbs.len() as u64) as usize] as u32;
        }
        let controls = !closes && !reads_register && random.one_in(if self.dense { 8 } else { 4 });
        if controls {
            entry.op = Verb::Set as u32 + random.below(10) as u32;
        }
        entry.timeout = match random.below(if self.dense { 16 } else { 6 }) {
            0 => 0,
            1 => random.below(300),
            2 if random.one_in(50) && !exact => u64::MAX - 1,
            _ => u64::MAX,
        };
        // Flags that often make sense, sometimes any.
        if !random.one_in(30) {
            let mut flags = EntryFlags::empty();
            for (flag, chances) in [
                (EntryFlags::LINK, if self.dense { 1 } else { 2 }),
                (EntryFlags::HARDLINK, 8),
                (EntryFlags::FINALLY, 8),
                (EntryFlags::LOCAL, if exact { 2 } else { 8 }),
                (EntryFlags::SILENT, 6),
                (EntryFlags::DRAIN, 20),
                (EntryFlags::PROGRAM, 6),
            ] {
                if random.one_in(chances) {
                    flags |= flag;
                }
            }
            if matches!(Verb::from_number(entry.op), Some(Verb::Poll | Verb::Accept)) && random.one_in(2) {
                flags = EntryFlags::MULTISHOT;
            }
            let arguments: &[usize] = if exact && random.one_in(8) { &[0, 1, 2, 3] } else { &[0, 2, 3] };
            for &argument in arguments {
                if random.one_in(if reads_register { 2 } else { 6 }) {
                    let recent = self.last_saved + random.below(2) as usize;
                    let register = if random.one_in(2) { recent } else { random.below(7) as usize };
                    flags |= EntryFlags::load(argument, register).unwrap();
                }
            }
            let saves = entry.op == Verb::Pipe as u32 || random.one_in(if controls { 2 } else { 3 });
            if !flags.contains(EntryFlags::MULTISHOT) && saves {
                self.last_saved = random.below(6) as usize;
                flags |= EntryFlags::save(self.last_saved).unwrap();
            }
            if !random.one_in(12) {
                flags = shaped(flags, self.oracle.tail());
                // Long chains, but chains that end.
                if self.dense && random.one_in(5) {
                    flags -= EntryFlags::CHAINED;
                }
            }
            entry.flags = flags.bits();
        }
        // Payloads name memory that exists and is long enough.
        let path = ouzel_ring::Payload::of(PATH.as_ptr()).number();
        let file = self.descriptors[random.below(self.descriptors.len() as u64) as usize];
        entry.arguments[0] = if closes { open[random.below(open.len() as u64) as usize] } else { file };
        entry.arguments[2] = random.below(3);
        entry.arguments[3] = random.below(3);
        entry.arguments[4] = if random.one_in(2) { 0 } else { file };
        match Verb::from_number(entry.op) {
            Some(verb) if verb >= Verb::Set => {
                control::arguments(verb, &mut entry, path, &self.programs, random, exact);
            }
            Some(Verb::Cancel) => {
                // In exact seeds it is for nothing, or for the next member of its own chain, which it does not reach.
                let own = entry.flags & EntryFlags::CHAINED.bits() != 0;
                let nothing = if own { self.data + 1 } else { u64::MAX };
                entry.arguments[1] = if exact { nothing } else { random.below(self.data + 1) };
                entry.arguments[3] = if exact { 3 * random.below(2) } else { random.below(3) };
            }
            Some(Verb::Poll) => entry.arguments[1] = random.below(32),
            Some(Verb::Sleep | Verb::Deadline) => {
                entry.arguments[2] = if random.one_in(6) { u64::MAX } else { random.below(300) };
                entry.arguments[3] = random.below(2);
                if exact {
                    // A sleep for ever would never settle.
                    let deadline = entry.op == Verb::Deadline as u32;
                    entry.arguments[2] = match random.below(3) {
                        0 if deadline => u64::MAX,
                        1 if deadline => 0,
                        _ if deadline => random.below(3000),
                        _ => random.below(300),
                    };
                    entry.arguments[3] = random.below(5) / 2;
                }
            }
            Some(Verb::Rename | Verb::Link | Verb::Symlink) => {
                entry.arguments[1] = path;
                entry.arguments[2] = 4;
            }
            Some(Verb::Stat) => entry.op = Verb::Nop as u32,
            Some(verb) if (Verb::Readlink..=Verb::RemoveXattr).contains(&verb) => {
                let attribute = matches!(verb, Verb::GetXattr | Verb::SetXattr | Verb::RemoveXattr);
                entry.arguments[1] = path;
                entry.arguments[2] = if attribute { 4 } else { 2 * random.below(2) };
                if !matches!(verb, Verb::Chmod | Verb::Chown | Verb::Mknod | Verb::Access | Verb::RemoveXattr)
                {
                    entry.arguments[3] = ouzel_ring::Payload::of(RECORD.as_ptr()).number();
                }
                entry.arguments[4] = random.below(3);
                entry.flags &= !EntryFlags::load(2, 6).unwrap().bits();
            }
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
                    // By that the backend knows it.
                    entry.arguments[3] = entry.data;
                }
            }
        }
        let loads_length = EntryFlags::from_bits_retain(entry.flags).loaded_from(2).is_some();
        let parses = matches!(Verb::from_number(entry.op), Some(Verb::Rename | Verb::Link | Verb::Symlink));
        let loads_flags = EntryFlags::from_bits_retain(entry.flags).loaded_from(4).is_some();
        // A FINALLY entry that sleeps for ever ends no teardown but one that gives up; that is not what is asked here.
        let sleeps = matches!(Verb::from_number(entry.op), Some(Verb::Sleep | Verb::Nop))
            && entry.flags & EntryFlags::FINALLY.bits() != 0;
        let timed = matches!(Verb::from_number(entry.op), Some(Verb::Sleep | Verb::Deadline | Verb::Cancel));
        let unforeseen = exact && timed && entry.flags & EntryFlags::LOADS.bits() != 0;
        // A loaded offset would be no user data, or another entry's.
        let transfers = matches!(Verb::from_number(entry.op), Some(Verb::Read | Verb::Write));
        let elsewhere = transfers && EntryFlags::from_bits_retain(entry.flags).loaded_from(3).is_some();
        if (parses && loads_length) || loads_flags || sleeps || unforeseen || elsewhere {
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
        let chaos = self.rig.engine.backend();
        self.oracle.completed(&completion, chaos.now, chaos);
        if completion.error == 0 && completion.result >> 32 != 0 && completion.result >> 60 == 0 {
            self.descriptors.push(completion.result);
        }
    }

    fn push(&mut self, entry: &Entry) -> bool {
        let pushed = self.rig.submitter.push(entry).is_ok();
        if pushed {
            self.pushed += 1;
            self.oracle.pushed(entry, self.rig.engine.backend().now);
            self.owed.insert(entry.data, entry.flags);
            if entry.flags & EntryFlags::SILENT.bits() != 0 {
                self.silent.insert(entry.data);
            }
        }
        pushed
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
                    self.push(&entry);
                }
                self.rig.submitter.publish();
            }
            4..=6 => {
                let submit = if self.random.one_in(2) { u32::MAX } else { self.random.below(6) as u32 };
                let wait = if self.random.one_in(2) { 0 } else { self.random.below(5) as u32 };
                let timeout = self.random.one_in(3).then(|| self.random.below(200));
                let entered = self.rig.engine.enter(submit, wait, timeout).unwrap();
                assert!(entered.taken <= submit);
                self.taken += u64::from(entered.taken);
                if self.prompt {
                    self.pop(u64::MAX);
                }
                let gauges = self.rig.engine.gauges();
                let slots = self.rig.submitter.geometry().completions();
                assert!(gauges.packets + entered.readable <= slots, "more promised than there is room for");
                assert!(gauges.stored <= slots);
                assert!(gauges.steps <= self.rig.engine.limits().program_steps);
                assert!(gauges.calls <= gauges.chains);
                assert!(gauges.chains <= gauges.packets);
            }
            7 | 8 => {
                let most = self.random.below(8);
                self.pop(most);
            }
            _ if self.oracle.exact => self.probe_cancel(),
            _ if self.random.one_in(4) => {
                // Calls of it may run, or wait.
                let place = self.random.below(self.programs.len() as u64) as usize;
                self.rig.engine.forget(self.programs[place]).unwrap();
                let [first, second, third] = control::programs();
                let program = [first, second, third].into_iter().nth(place).unwrap();
                self.programs[place] = self.rig.engine.store(program).unwrap();
            }
            _ => {
                let data = self.random.below(self.data + 1);
                let target = match self.random.below(5) {
                    0 => Target::All,
                    1 => Target::DataRange { first: data, last: data + 3 },
                    _ => Target::Data(data),
                };
                if self.random.one_in(2) {
                    self.rig.engine.cancel(target);
                } else {
                    self.rig.engine.cancel_waiting(target);
                }
            }
        }
    }

    /// A CANCEL gets through at once, whatever holds the slots, if the submitter reads.
    fn probe_cancel(&mut self) {
        if self.oracle.tail_is_open() {
            return;
        }
        self.rig.engine.backend_mut().frozen = true;
        self.data += 1;
        let probe = cancel(self.data, u64::MAX);
        if self.push(&probe) {
            self.rig.submitter.publish();
            for _ in 0..2 * self.rig.submitter.geometry().completions() + 2 {
                self.pop(u64::MAX);
                let entered = self.rig.engine.enter(u32::MAX, 0, None).unwrap();
                self.taken += u64::from(entered.taken);
            }
            self.pop(u64::MAX);
            assert!(!self.owed.contains_key(&probe.data), "a CANCEL did not get through");
        }
        self.rig.engine.backend_mut().frozen = false;
    }

    /// Lets everything end that can, and checks that it has ended as it must.
    fn settle(&mut self) {
        self.rig.engine.backend_mut().willing = true;
        for round in 0.. {
            assert!(round < 20_000, "it does not end: {:?}", self.rig.engine.gauges());
            let entered = self.rig.engine.enter(u32::MAX, 1, Some(1_000_000)).unwrap();
            self.taken += u64::from(entered.taken);
            self.pop(u64::MAX);
            let gauges = self.rig.engine.gauges();
            let waiting = u64::from(entered.incomplete);
            // What will be refused waits for slots, not for its end.
            let open = if self.oracle.open_tail_is_refused() { 0 } else { self.oracle.open_tail() as u64 };
            let all_taken = waiting == open && self.taken + waiting == self.pushed;
            if gauges.packets == 0 && gauges.stored == 0 && all_taken {
                break;
            }
        }
        self.rig.assert_empty();
        let chaos = self.rig.engine.backend();
        self.oracle.settled(chaos.now, chaos);
        let open = i64::from(self.rig.engine.gauges().descriptors);
        assert_eq!(
            open,
            2 + self.oracle.opened,
            "more or fewer descriptors are open than were opened and not closed"
        );
        if !self.oracle.tail_is_open() && self.rig.engine.limits().chain > 0 {
            self.check_registers();
        }
    }

    /// A save of a chain without LOCAL is the ring's, and what a LOCAL chain saves is not.
    fn check_registers(&mut self) {
        for register in 0..7 {
            let value = self.random.next();
            for (value, is_local) in [(value, false), (!value, true)] {
                self.data += 1;
                let entry = save(get(self.data), register).arguments([value, 0, 0, 0, 0]);
                assert!(self.push(&if is_local { local(entry) } else { entry }));
                self.rig.submitter.publish();
                self.rig.engine.enter(1, 1, None).unwrap();
                self.pop(1);
            }
            assert_eq!(self.rig.submitter.register(register), Some(value));
            self.data += 1;
            let entry = load(get(self.data), 0, register);
            assert!(self.push(&entry));
            self.rig.submitter.publish();
            self.rig.engine.enter(1, 1, None).unwrap();
            let completion = self.rig.submitter.pop().unwrap().unwrap();
            assert_eq!((completion.data, completion.result), (entry.data, value));
            self.take(completion);
        }
    }

    fn tear_down(&mut self) {
        self.oracle.closing = true;
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

/// These flags, made fit for a place behind a member with the flags of `tail`, if there is one.
fn shaped(mut flags: EntryFlags, tail: Option<EntryFlags>) -> EntryFlags {
    if flags.contains(EntryFlags::CHAINED) {
        flags -= EntryFlags::LINK;
    }
    if tail.is_some() {
        flags -= EntryFlags::LOCAL | EntryFlags::DRAIN | EntryFlags::PROGRAM;
    }
    if tail.is_some_and(|tail| tail.contains(EntryFlags::FINALLY)) {
        flags = (flags - EntryFlags::MULTISHOT) | EntryFlags::FINALLY;
    }
    flags
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
            if driver.oracle.exact {
                driver.settle();
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
            // Slots that it says are new may hold entries that have run.
            driver.rig.engine.backend_mut().repeats = true;
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

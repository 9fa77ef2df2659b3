//! Many random operations at once, in the simulator with faults: every entry completes exactly once, and nothing is left.
//!
//! `OUZEL_RANDOM_OPS` says how many, `OUZEL_SEED` which.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Trial};
use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, EntryFlags, Errno, Verb};
use ouzel::backend::fault::{Fault, FaultOptions};
use ouzel::engine::Target;
use ouzel_conformance::entry::{self, Edit, HERE, MILLISECOND, NEVER};
use ouzel_conformance::memory::Memory;
use ouzel_conformance::random::{Random, setting};
use ouzel_conformance::{Stage, World};

/// What is known of an entry: its number is its user data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    Pushed,
    /// A success of it posts nothing.
    Silent,
    Done,
}

struct Storm {
    world: World,
    random: Random,
    known: Vec<Known>,
    open: Vec<u64>,
    /// What the CLOSEs among the entries in flight are to close.
    closes: BTreeMap<u64, u64>,
    /// Descriptors that were dead when they were to be closed, because a CLOSE was lined up for them: it may have been
    /// cancelled, and then they live.
    doubtful: Vec<u64>,
    memory: Memory,
    paths: Vec<Memory>,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let stage = Stage::sim(seed);
        let builder = stage.builder().entries(256).completions(512).descriptors(256);
        let (backend, _) = builder.open_backend().expect("a backend");
        let mut faults = FaultOptions::new(seed);
        (faults.short_transfers, faults.errors, faults.reorder, faults.late) = (100, 30, 150, 150);
        (faults.cancel_races, faults.busy, faults.runs) = (200, 50, true);
        let ring = builder.build_raw_on(Box::new(Fault::seeded(backend, faults))).expect("a ring");
        let world = World::over(&stage, ring);
        let memory = world.room(1 << 16);
        let paths = (0..12).map(|number| world.path(&format!("f{number}"))).collect();
        Storm {
            world,
            random: Random(seed),
            known: Vec::new(),
            open: Vec::new(),
            closes: BTreeMap::new(),
            doubtful: Vec::new(),
            memory,
            paths,
        }
    }

    /// A random operation. What would wait for ever may, as others cancel.
    fn entry(&mut self) -> Entry {
        let random = &mut self.random;
        let file = if self.open.is_empty() { 0 } else { random.of(&self.open) };
        let path = random.of(&self.paths);
        let length = random.of(&[0, 1, 100, 4096]);
        let part = self.memory.part(random.below(1 << 15), length);
        let offset = random.of(&[HERE, HERE, 0, 77, 10_000]);
        let none = MessageFlags::empty();
        let made = match random.below(29) {
            0 | 1 => entry::open(path, OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE),
            2 => entry::socket(1, 1 + random.below(2), 0),
            3..=5 => entry::read(file, part, offset),
            6..=8 => entry::write(file, part, offset),
            9 => entry::poll(file, PollEvents::IN | PollEvents::OUT),
            10 if random.once_in(3) => entry::poll(file, PollEvents::IN).multishot(),
            10 => entry::recv(file, part, none),
            11 => entry::send(file, part, none),
            12 => entry::close(file),
            13 => entry::seek(file, 0, Whence::End),
            14 => entry::truncate(file, length),
            15 => entry::sync(file, SyncMode::Data),
            16 => entry::copy(file, HERE, random.of(&[file, file ^ 1]), HERE, length),
            17 => entry::sleep(random.below(MILLISECOND)),
            18 => entry::deadline(random.below(MILLISECOND)),
            19 => entry::cancel_data(random.below(self.known.len() as u64 + 1)),
            20 => entry::cancel_descriptor(file),
            21 => entry::remove(path, RemoveFlags::empty()),
            22 => entry::get(file),
            23 => entry::lock(file, random.below(99), length, LockMode::Exclusive),
            24 => {
                entry::lock(file, random.below(99), length, random.of(&[LockMode::Shared, LockMode::Unlock]))
            }
            25 => entry::splice(file, HERE, random.of(&[file, file ^ 1]), HERE, length),
            26 => entry::sockname(file, part),
            27 if random.once_in(2) => entry::futex_wait(self.memory.part(8 * random.below(64), 4), 0),
            27 => entry::futex_wake(self.memory.part(8 * random.below(64), 4), 1 + random.below(3)),
            _ => entry::nop(),
        };
        let timeout = random.of(&[NEVER, NEVER, 0, 1000, MILLISECOND, 20 * MILLISECOND]);
        made.timeout(timeout)
    }

    /// A chain of random operations, shaped well most of the time.
    fn chain(&mut self) -> Vec<Entry> {
        let length = 1 + self.random.below(5);
        let mut chain: Vec<Entry> = (0..length).map(|_| self.entry()).collect();
        let finally = self.random.below(2 * length) as usize;
        for (at, entry) in chain.iter_mut().enumerate() {
            let multishot = entry.flags & EntryFlags::MULTISHOT.bits() != 0;
            if !multishot {
                if at + 1 < length as usize {
                    *entry = if self.random.once_in(3) { entry.hard() } else { entry.link() };
                }
                if at >= finally {
                    // Nobody can cancel it, so it must end by itself.
                    *entry = entry.finally().timeout(entry.timeout.min(20 * MILLISECOND));
                }
                // What is opened must be told, so that it can be closed.
                if self.random.once_in(6) && !matches!(entry.op, 5 | 20) {
                    *entry = entry.silent();
                }
                if self.random.once_in(4) {
                    *entry = entry.save(self.random.below(7) as usize);
                }
                if self.random.once_in(10) {
                    *entry = entry.load(self.random.of(&[0, 0, 2, 3]), self.random.below(7) as usize);
                }
                // A length out of a register is no matter, but the memory is only so large.
                if entry.flags & 0b111 << 6 != 0 {
                    entry.flags &= !(0b111 << 6);
                }
            }
            if at == 0 && self.random.once_in(3) {
                *entry = entry.local();
            }
            if at == 0 && self.random.once_in(60) {
                *entry = entry.drain();
            }
        }
        chain
    }

    fn push(&mut self, chain: Vec<Entry>) {
        for entry in chain {
            let number = self.known.len() as u64;
            if entry.op == Verb::Close as u32 && entry.flags & EntryFlags::LOADS.bits() == 0 {
                self.closes.insert(number, entry.arguments[0]);
            }
            let silent = entry.flags & EntryFlags::SILENT.bits() != 0;
            self.known.push(if silent { Known::Silent } else { Known::Pushed });
            let mut tries = 0;
            while !self.world.try_push(entry.data(number)) {
                self.go_on(1);
                tries += 1;
                // Everything in flight may be waiting for what stands behind it in the queue.
                if tries % 20 == 0 {
                    self.world.cancel(Target::All);
                }
                assert!(tries < 10_000, "no progress: {:?}", self.world.gauges());
            }
        }
    }

    /// Enters, and accounts for what has completed.
    fn go_on(&mut self, wait: u32) {
        self.world.enter(u32::MAX, wait, Some(std::time::Duration::from_micros(200)));
        for one in self.world.pop_all() {
            let known = &mut self.known[one.data as usize];
            assert_ne!(*known, Known::Done, "a second last completion: {one:?}");
            if one.has_more() {
                continue;
            }
            assert!(*known != Known::Silent || one.error != 0, "a silent success was told: {one:?}");
            *known = Known::Done;
            if let Some(file) = self.closes.remove(&one.data)
                && one.errno() == Errno::EBADF
            {
                self.doubtful.push(file);
            }
            let opens = matches!(one.op, 5 | 20) && one.error == 0;
            if opens {
                self.open.push(one.result);
            }
        }
    }

    fn run(mut self, count: u64) {
        let started = Instant::now();
        while (self.known.len() as u64) < count {
            let chain = self.chain();
            self.push(chain);
            if self.random.once_in(4) {
                let wait = self.random.below(3) as u32;
                self.go_on(wait);
            }
            if self.random.once_in(200) {
                self.world.cancel(Target::All);
            }
            if self.world.gauges().descriptors > 150 {
                self.close_some();
            }
            assert!(
                started.elapsed().as_secs() < 60 + count / 1000,
                "no progress: {:?}",
                self.world.gauges()
            );
        }
        for round in 0.. {
            self.world.cancel(Target::All);
            self.go_on(1);
            let gauges = self.world.gauges();
            if gauges.packets == 0 && self.world.queued() == 0 {
                break;
            }
            assert!(round < 100_000, "not over: {gauges:?}");
        }
        self.go_on(0);
        let gauges = self.world.gauges();
        assert_eq!((gauges.packets, gauges.chains, gauges.started, gauges.stored), (0, 0, 0, 0));
        let lost = self.known.iter().position(|known| *known == Known::Pushed);
        assert_eq!(lost, None, "an entry without a completion");
        self.close_some();
        while self.world.gauges().packets > 0 || self.world.queued() > 0 {
            self.go_on(1);
        }
        for file in std::mem::take(&mut self.doubtful) {
            self.world.one(entry::close(file));
        }
        assert_eq!(self.world.gauges().descriptors, 0, "every descriptor that was told has been closed");
        assert!(self.world.teardown().is_empty());
    }

    /// Closes every descriptor there may be, whatever has become of it.
    fn close_some(&mut self) {
        let open = std::mem::take(&mut self.open);
        let chains = open.into_iter().map(|file| vec![entry::close(file).finally()]);
        for chain in chains.collect::<Vec<_>>() {
            self.push(chain);
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (seed, count) = (setting("OUZEL_SEED", 1), setting("OUZEL_RANDOM_OPS", 50_000));
    let trial = Trial::test("sim/memory/million", move || {
        println!("{count} operations, OUZEL_SEED={seed}");
        Storm::new(seed).run(count);
        Ok(())
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

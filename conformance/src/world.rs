//! A world: one ring, its memory and its directory, for one program.
//!
//! The harness around the unsafe push: whatever entries name lives in the world's arena, which is freed only after a
//! teardown that leaked nothing. Every wait is bounded in real time. It counts what it pushed and what it popped, so that
//! an entry without a completion, or with two, never goes unseen.

use std::ops::Deref;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Completion, Entry, EntryFlags, Errno, PushError};
use ouzel::engine::{Entered, Gauges, Target};
use ouzel::{RawRing, RingBuilder, Teardown};

use crate::entry::{self, Edit};
use crate::memory::{Arena, Memory};
use crate::service;
use crate::stage::{Stage, ring};

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How long a program waits to see that something does *not* happen.
pub const MOMENT: Duration = Duration::from_millis(20);

/// The user data of an entry that ends behind all others.
const FENCE: u64 = u64::MAX - 0xfe;

/// How many descriptors are open; a service does not tell, and then it is any number.
#[derive(Clone, Copy, Debug)]
pub struct Open(Option<u32>);

impl PartialEq for Open {
    fn eq(&self, other: &Open) -> bool {
        self.0.is_none() || other.0.is_none() || self.0 == other.0
    }
}

impl PartialEq<u32> for Open {
    fn eq(&self, other: &u32) -> bool {
        self.0.is_none_or(|count| count == *other)
    }
}

impl Open {
    /// How many more than there were.
    pub fn since(self, before: Open) -> Open {
        Open(self.0.zip(before.0).map(|(now, before)| now - before))
    }
}

/// See the [module](self).
pub struct World {
    /// Where it is.
    pub stage: Stage,
    ring: Option<RawRing>,
    arena: Arena,
    root: String,
    /// Entries that were pushed and not taken.
    queued: u32,
    /// Some entry was silent.
    silent: bool,
    leaked: bool,
    /// A leak is what the program is about.
    may_leak: bool,
}

impl Deref for World {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl World {
    /// A ring with the suite's usual sizes, and a fresh directory.
    pub fn new(stage: &Stage) -> World {
        World::with(stage, |builder| builder)
    }

    /// A ring as `change` wants it, and a fresh directory.
    pub fn with(stage: &Stage, change: impl FnOnce(RingBuilder) -> RingBuilder) -> World {
        let made = ring(stage, &change(stage.builder())).expect("a ring");
        World::over(stage, made)
    }

    /// This ring, and a fresh directory.
    pub fn over(stage: &Stage, ring: RawRing) -> World {
        let root = stage.directory();
        let (mut ring, arena) = (ring, Arena::default());
        if stage.is_scheme() {
            arena.share_with(&mut ring);
        }
        World {
            stage: stage.clone(),
            ring: Some(ring),
            arena,
            root,
            queued: 0,
            silent: false,
            leaked: false,
            may_leak: false,
        }
    }

    /// Another ring instead of this one, which is torn down. On the simulator its files go with it.
    pub fn renew(&mut self, change: impl FnOnce(RingBuilder) -> RingBuilder) {
        self.teardown();
        let made = ring(&self.stage, &change(self.stage.builder())).expect("a ring");
        self.take_up(made);
    }

    /// Another ring instead of this one, with a table for so many descriptors.
    pub fn renew_table(&mut self, descriptors: u32) {
        if !self.stage.is_scheme() {
            return self.renew(|builder| builder.descriptors(descriptors));
        }
        self.renew_there(service::Limits { descriptors, ..service::Limits::default() });
    }

    /// Another ring instead of this one, on which so many steps of programs run at once.
    pub fn renew_steps(&mut self, program_steps: u32) {
        if !self.stage.is_scheme() {
            return self.renew(|builder| builder.program_steps(program_steps));
        }
        self.renew_there(service::Limits { program_steps, ..service::Limits::default() });
    }

    fn renew_there(&mut self, limits: service::Limits) {
        self.teardown();
        let made = service::connect(&self.stage.builder(), limits, None).expect("a ring");
        self.take_up(made);
    }

    fn take_up(&mut self, mut ring: RawRing) {
        if self.stage.is_scheme() {
            self.arena.share_with(&mut ring);
        }
        self.ring = Some(ring);
        self.queued = 0;
    }

    /// The ring.
    pub fn ring(&mut self) -> &mut RawRing {
        self.ring.as_mut().expect("the ring is up")
    }

    /// Whether files are the simulator's.
    pub fn is_sim(&self) -> bool {
        self.stage.is_sim()
    }

    /// Entries that were pushed and not taken.
    pub fn queued(&self) -> u32 {
        self.queued
    }

    /// What is alive in the engine.
    pub fn gauges(&self) -> Gauges {
        self.ring.as_ref().expect("the ring is up").gauges()
    }

    /// The descriptors that are open, or being opened or closed.
    pub fn descriptors(&self) -> Open {
        Open((!self.stage.is_scheme()).then(|| self.gauges().descriptors))
    }

    /// The full path of `name`.
    pub fn name(&self, name: &str) -> String {
        if name.is_empty() && self.root.is_empty() { "/".into() } else { format!("{}/{name}", self.root) }
    }

    /// The payload of the full path of `name`.
    pub fn path(&self, name: &str) -> Memory {
        self.text(&self.name(name))
    }

    /// The payload of two full paths.
    pub fn paths(&self, first: &str, second: &str) -> Memory {
        self.put(format!("{}\0{}\0", self.name(first), self.name(second)).as_bytes())
    }

    /// The payload of `text` with a NUL behind it.
    pub fn text(&self, text: &str) -> Memory {
        self.put(format!("{text}\0").as_bytes())
    }

    /// Zeroed memory.
    pub fn room(&self, length: usize) -> Memory {
        self.filled(length, 0)
    }

    /// Puts an entry into the queue. `false` if that is full.
    pub fn try_push(&mut self, entry: Entry) -> bool {
        // SAFETY: payloads that name region 0 are in the arena, which outlives the ring; the suite never names memory
        // that is not there (it may name none at all, or a region the ring was told of).
        match unsafe { self.ring().push(&entry) } {
            Ok(()) => {
                self.queued += 1;
                self.silent |= entry.flags & EntryFlags::SILENT.bits() != 0;
                true
            }
            Err(PushError::Full) => false,
            Err(error) => panic!("push: {error}"),
        }
    }

    /// Puts entries into the queue.
    #[track_caller]
    pub fn push(&mut self, entries: &[Entry]) {
        for entry in entries {
            assert!(self.try_push(*entry), "the submission queue is full");
        }
    }

    /// Enters the ring.
    #[track_caller]
    pub fn enter(&mut self, submit: u32, wait: u32, timeout: Option<Duration>) -> Entered {
        let entered = self.ring().enter(submit, wait, timeout).expect("enter");
        assert!(entered.taken <= self.queued, "took more entries than were pushed");
        self.queued -= entered.taken;
        entered
    }

    /// Takes what completions there are.
    pub fn pop_all(&mut self) -> Vec<Completion> {
        std::iter::from_fn(|| self.ring().pop()).collect()
    }

    /// Pushes entries and has them started, without waiting.
    #[track_caller]
    pub fn start(&mut self, entries: &[Entry]) {
        self.push(entries);
        let entered = self.enter(u32::MAX, 0, None);
        assert_eq!(entered.incomplete, 0, "an incomplete chain");
    }

    /// Waits for `count` completions.
    #[track_caller]
    pub fn wait(&mut self, count: usize) -> Vec<Completion> {
        let started = Instant::now();
        let mut all = self.pop_all();
        while all.len() < count {
            self.enter(u32::MAX, 1, Some(MOMENT));
            all.extend(self.pop_all());
            assert!(
                started.elapsed() < LIMIT,
                "{} of {count} completions after {LIMIT:?}: {all:#?}",
                all.len()
            );
        }
        assert_eq!(all.len(), count, "more completions than expected: {all:#?}");
        all
    }

    /// Waits for at least one completion.
    #[track_caller]
    pub fn wait_any(&mut self) -> Vec<Completion> {
        let started = Instant::now();
        loop {
            self.enter(u32::MAX, 1, Some(MOMENT));
            let all = self.pop_all();
            if !all.is_empty() {
                return all;
            }
            assert!(started.elapsed() < LIMIT, "no completion after {LIMIT:?}: {:?}", self.gauges());
        }
    }

    /// Waits for `count` completions or more.
    #[track_caller]
    pub fn settle_some(&mut self, count: usize) -> Vec<Completion> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.wait_any());
        }
        all
    }

    /// Waits until everything is over.
    #[track_caller]
    pub fn settle(&mut self) -> Vec<Completion> {
        let started = Instant::now();
        let mut all = Vec::new();
        loop {
            self.enter(u32::MAX, 1, Some(MOMENT));
            all.extend(self.pop_all());
            if self.queued == 0 && self.gauges().packets == 0 {
                if self.stage.is_scheme() && std::mem::take(&mut self.silent) {
                    // Of silent entries nobody here knows whether they are over. What waits for all before it does.
                    self.start(&[entry::nop().drain().data(FENCE)]);
                    while all.last().is_none_or(|one: &Completion| one.data != FENCE) {
                        all.extend(self.wait_any());
                    }
                    all.pop();
                }
                return all;
            }
            assert!(started.elapsed() < LIMIT, "not over after {LIMIT:?}: {:?}, {all:#?}", self.gauges());
        }
    }

    /// Gives what has been started a moment, and says what has completed in it.
    pub fn linger(&mut self) -> Vec<Completion> {
        let started = Instant::now();
        let mut all = Vec::new();
        loop {
            self.enter(u32::MAX, u32::MAX, Some(MOMENT));
            all.extend(self.pop_all());
            if started.elapsed() >= MOMENT || self.is_sim() {
                return all;
            }
        }
    }

    /// Runs entries until everything is over. The n-th is given the number n as its user data.
    #[track_caller]
    pub fn run(&mut self, entries: &[Entry]) -> Vec<Completion> {
        let numbered: Vec<Entry> =
            entries.iter().enumerate().map(|(number, entry)| entry.data(number as u64)).collect();
        self.push(&numbered);
        if self.stage.awaited {
            // It ends when nothing is in flight any more, or when completions must be read.
            self.enter(u32::MAX, u32::MAX, None);
        }
        let all = self.settle();
        for (number, entry) in entries.iter().enumerate() {
            let count = all.iter().filter(|one| one.data == number as u64 && !one.has_more()).count();
            let silent = entry.flags & EntryFlags::SILENT.bits() != 0;
            assert!(count == 1 || (silent && count == 0), "entry {number} has {count} completions: {all:#?}");
            assert!(
                all.iter().all(|one| one.data != number as u64 || one.op == entry.op),
                "the verb of entry {number} changed"
            );
        }
        all
    }

    /// Runs entries and gives their errors in the order of the completions.
    #[track_caller]
    pub fn errors(&mut self, entries: &[Entry]) -> Vec<Errno> {
        self.run(entries).iter().map(Completion::errno).collect()
    }

    /// Runs one chain: completions in its order with these outcomes.
    #[track_caller]
    pub fn expect(&mut self, entries: &[Entry], outcomes: &[Result<u64, Errno>]) -> Vec<Completion> {
        let all = self.run(entries);
        let found: Vec<_> = all.iter().map(Completion::outcome).collect();
        assert_eq!(found, outcomes, "outcomes of {entries:#?}");
        assert!(all.is_sorted_by_key(|one| one.data), "out of order: {all:#?}");
        all
    }

    /// Runs one entry.
    #[track_caller]
    pub fn one(&mut self, entry: Entry) -> Completion {
        self.run(&[entry])[0]
    }

    /// Runs one entry that succeeds, and returns its result.
    #[track_caller]
    pub fn ok(&mut self, entry: Entry) -> u64 {
        let one = self.one(entry);
        assert_eq!(one.errno(), Errno::OK, "{entry:#?}");
        one.result
    }

    /// Runs one entry that fails.
    #[track_caller]
    pub fn fails(&mut self, entry: Entry, error: Errno) {
        let one = self.one(entry);
        assert_eq!(one.errno(), error, "{entry:#?}");
        assert_eq!(one.result, 0, "a result beside an error: {entry:#?}");
        assert_eq!(one.extra, 0, "an extra beside an error: {entry:#?}");
    }

    /// Runs one entry that fails in one of these ways.
    #[track_caller]
    pub fn fails_any(&mut self, entry: Entry, errors: &[Errno]) {
        let one = self.one(entry);
        assert!(errors.contains(&one.errno()), "{} is none of {errors:?}: {entry:#?}", one.errno());
    }

    /// Opens `name`.
    #[track_caller]
    pub fn open(&mut self, name: &str, flags: OpenFlags) -> u64 {
        let path = self.path(name);
        let descriptor = self.ok(entry::open(path, flags));
        assert_ne!(descriptor, 0, "a descriptor is never 0");
        descriptor
    }

    /// Makes (or empties) `name` with this content and opens it for reading and writing.
    #[track_caller]
    pub fn file(&mut self, name: &str, content: &[u8]) -> u64 {
        let file =
            self.open(name, OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE);
        if !content.is_empty() {
            let memory = self.put(content);
            assert_eq!(self.ok(entry::write(file, memory, 0)), content.len() as u64);
        }
        file
    }

    /// What is in `file` from `offset` on, up to `length` bytes, in as many reads as it takes.
    #[track_caller]
    pub fn contents(&mut self, file: u64, offset: u64, length: usize) -> Vec<u8> {
        let memory = self.room(length);
        let mut count = 0;
        while count < memory.length {
            let got = self.ok(entry::read(file, memory.part(count, memory.length - count), offset + count));
            if got == 0 {
                break;
            }
            count += got;
        }
        self.bytes(memory.part(0, count))
    }

    /// Reads once from the current position (or from a pipe or socket).
    #[track_caller]
    pub fn take(&mut self, file: u64, length: usize) -> Vec<u8> {
        let memory = self.room(length);
        let count = self.ok(entry::read(file, memory, entry::HERE));
        self.bytes(memory.part(0, count))
    }

    /// Writes once at the current position (or to a pipe or socket).
    #[track_caller]
    pub fn give(&mut self, file: u64, bytes: &[u8]) {
        let memory = self.put(bytes);
        assert_eq!(self.ok(entry::write(file, memory, entry::HERE)), bytes.len() as u64);
    }

    /// Closes a descriptor.
    #[track_caller]
    pub fn close(&mut self, file: u64) {
        assert_eq!(self.ok(entry::close(file)), 0);
    }

    /// Makes a pipe: the end to read from, the end to write to.
    #[track_caller]
    pub fn pipe(&mut self) -> (u64, u64) {
        let all = self.run(&[
            entry::pipe(0).local().link(),
            entry::get(0).load(0, 0).link(),
            entry::get(0).load(0, 1),
        ]);
        assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
        assert_eq!(all[0].result, all[1].result);
        (all[1].result, all[2].result)
    }

    /// Cancels by call.
    #[track_caller]
    pub fn cancel(&mut self, target: Target) -> u32 {
        self.ring().cancel(target).expect("cancel")
    }

    /// Adds the arena's `memory` as a region.
    #[track_caller]
    pub fn region(&mut self, memory: Memory) -> u16 {
        if self.stage.is_scheme() {
            let ring = self.ring.as_mut().expect("the ring is up");
            return self.arena.share_alone(ring, memory);
        }
        let pointer = NonNull::new(self.pointer(memory)).expect("memory");
        // SAFETY: memory of the arena lives until after the teardown, and for ever if that leaked.
        unsafe { self.ring().add_region(pointer, memory.length as usize) }.expect("add_region")
    }

    /// Removes a region; false if there is none.
    pub fn remove_region(&mut self, region: u16) -> bool {
        if self.stage.is_scheme() {
            self.ring().unshare(region).is_ok()
        } else {
            self.ring().remove_region(region).is_ok()
        }
    }

    /// Tears the ring down and returns the completions of that.
    pub fn teardown(&mut self) -> Vec<Completion> {
        self.end_within(LIMIT).0
    }

    /// Tears the ring down within `bound`, though something may outlast it.
    pub fn teardown_past(&mut self, bound: Duration) -> (Vec<Completion>, Teardown) {
        self.may_leak = true;
        self.end_within(bound)
    }

    fn end_within(&mut self, bound: Duration) -> (Vec<Completion>, Teardown) {
        let Some(mut ring) = self.ring.take() else { return (Vec::new(), Teardown::default()) };
        let mut all: Vec<Completion> = std::iter::from_fn(|| ring.pop()).collect();
        let done = ring.teardown(bound, |one| all.push(one));
        self.leaked |= done.leaked > 0;
        self.queued = 0;
        (all, done)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("on {} (seed {}), in {}", self.stage.name(), self.stage.seed, self.name(""));
        }
        self.teardown();
        if self.leaked {
            assert!(self.may_leak || std::thread::panicking(), "operations were leaked at the teardown");
        } else {
            // SAFETY: the ring is gone and nothing was in flight.
            unsafe { self.arena.free() };
        }
        if !self.root.is_empty() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

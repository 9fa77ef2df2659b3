//! A world: one ring of this process, its memory and its directory, for one case, with the methods of the suite's own.
//!
//! What lies behind the system call is not seen from here: how many descriptors are open, and what is alive in the
//! engine. A verb that this kernel lacks ends the case as not for this kernel.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use ouzel_kernel_abi::{MAX_DESCRIPTORS, NEVER};
use ouzel_kernel_user::{Ring, calls};
use ouzel_ring::modifiers::{OpenFlags, RemoveFlags};
use ouzel_ring::{Completion, Entry, EntryFlags, Errno, SubmitterEnd, Verb};

use crate::engine::{Program, Target};
use crate::entry;
use crate::memory::{Arena, Memory};
use crate::time::Instant;

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(20);
/// How long all that is in flight may take: longer than a parent waits for a child.
const LONGEST: Duration = Duration::from_secs(90);
/// How long a program waits to see that something does *not* happen.
pub const MOMENT: Duration = Duration::from_millis(20);
/// The directory of a case.
pub const HOME: &str = "/home";
/// The user data of a CANCEL that stands for a call on the engine.
const CALLED: u64 = u64::MAX - 77;

/// How many descriptors are open, which is not told: any number.
#[derive(Clone, Copy, Debug)]
pub struct Open;

impl PartialEq for Open {
    fn eq(&self, _: &Open) -> bool {
        true
    }
}

impl PartialEq<u32> for Open {
    fn eq(&self, _: &u32) -> bool {
        true
    }
}

/// What is alive, as far as it is known from outside.
#[derive(Clone, Copy, Debug)]
pub struct Gauges {
    /// Entries taken and not completed.
    pub packets: u32,
}

/// What an enter did.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    /// Entries taken.
    pub taken: u32,
    /// Entries at the tail whose chain's end is not there yet.
    pub incomplete: u32,
    /// Completions that can be read.
    pub readable: u32,
}

/// The sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    entries: u64,
    completions: u64,
}

impl Sizes {
    /// So many entries.
    pub fn entries(self, entries: u64) -> Sizes {
        Sizes { entries, ..self }
    }

    /// So many completions.
    pub fn completions(self, completions: u64) -> Sizes {
        Sizes { completions, ..self }
    }

    /// The kernel has none.
    pub fn program_steps(self, _: u32) -> Sizes {
        crate::not_here("programs are not stored")
    }
}

/// Limits of a ring.
pub struct Limits {
    /// The longest chain.
    pub chain: u32,
}

/// A call that there is not.
#[derive(Debug)]
pub struct Refused;

impl Refused {
    /// Its error.
    pub fn errno(&self) -> Option<Errno> {
        Some(Errno::ENOSYS)
    }
}

/// A ring, and what was popped from it too early.
pub struct RawRing {
    ring: Ring,
    sizes: Sizes,
    held: VecDeque<Completion>,
    /// Of each entry that was pushed and not taken, whether the next belongs to its chain.
    queued: VecDeque<bool>,
    packets: u32,
    multishot: bool,
    succeeded: u64,
}

impl RawRing {
    fn new(sizes: Sizes) -> RawRing {
        let ring = Ring::new(sizes.entries, sizes.completions).expect("a ring");
        let (held, queued) = (VecDeque::new(), VecDeque::new());
        RawRing { ring, sizes, held, queued, packets: 0, multishot: false, succeeded: 0 }
    }

    fn end(&mut self) -> &mut SubmitterEnd {
        self.ring.end().expect("a ring that is up")
    }

    /// The next completion.
    pub fn pop(&mut self) -> Option<Completion> {
        self.held.pop_front().or_else(|| self.take())
    }

    fn take(&mut self) -> Option<Completion> {
        let one = self.ring.pop()?;
        if !one.has_more() {
            self.packets = self.packets.saturating_sub(1);
        }
        if let Some(verb) = Verb::from_number(one.op) {
            if one.errno() == Errno::ENOSYS && crate::own::LACKING.contains(&verb) {
                crate::not_here(&format!("{} is ENOSYS in this kernel", verb.name()));
            }
            if one.errno() == Errno::ENOSYS && verb == Verb::Poll && self.multishot {
                crate::not_here("POLL with MULTISHOT is ENOSYS in this kernel");
            }
            if one.error == 0 {
                self.succeeded |= 1 << verb as u32;
            }
        }
        Some(one)
    }

    /// A register of the ring.
    pub fn register(&mut self, register: usize) -> Option<u64> {
        self.end().register(register)
    }

    /// Sets a register of the ring.
    pub fn set_register(&mut self, register: usize, value: u64) -> bool {
        self.end().set_register(register, value)
    }

    /// How many entries can be pushed.
    pub fn room(&mut self) -> u32 {
        self.end().room().expect("a ring that is whole")
    }

    /// The limits, which follow from the sizes.
    pub fn limits(&self) -> Limits {
        Limits { chain: self.sizes.entries.min(self.sizes.completions - 1) as u32 }
    }

    /// Ends the case.
    pub fn store(&mut self, _: Program) -> Result<u32, Refused> {
        Err(Refused)
    }

    /// As above.
    pub fn forget(&mut self, _: u32) -> Result<(), Refused> {
        Err(Refused)
    }

    /// As above.
    pub fn restrict(&mut self, _: Option<&[u32]>) -> Result<(), Refused> {
        Err(Refused)
    }
}

/// See the [module](self).
pub struct World {
    ring: RawRing,
    arena: Arena,
}

impl Deref for World {
    type Target = Arena;

    fn deref(&self) -> &Arena {
        &self.arena
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }
}

impl Default for World {
    fn default() -> World {
        World { ring: RawRing::new(Sizes { entries: 256, completions: 512 }), arena: Arena::default() }
    }
}

impl World {
    /// A ring with the suite's usual sizes.
    pub fn new() -> World {
        World::default()
    }

    /// Another ring instead of this one, which is torn down.
    pub fn renew(&mut self, change: impl FnOnce(Sizes) -> Sizes) {
        let succeeded = self.ring.succeeded;
        self.ring = RawRing::new(change(Sizes { entries: 256, completions: 512 }));
        self.ring.succeeded = succeeded;
    }

    /// Another ring; its table has room for so many descriptors, since the others are in use.
    pub fn renew_table(&mut self, descriptors: u32) {
        self.renew(|sizes| sizes);
        let null = self.text("null:");
        let standard = self.ring.ring.standard().into_iter().filter(|number| *number != 0).count() as u32;
        for _ in 0..MAX_DESCRIPTORS - standard - descriptors {
            self.ok(entry::open(null, OpenFlags::READ));
        }
    }

    /// The verbs that have succeeded, as bits.
    pub fn succeeded(&self) -> u64 {
        self.ring.succeeded
    }

    /// The ring.
    pub fn ring(&mut self) -> &mut RawRing {
        &mut self.ring
    }

    /// The number of the ring for system calls, and its standard objects.
    pub fn raw(&mut self) -> &mut Ring {
        &mut self.ring.ring
    }

    /// Whether time is not real: the kernel's is.
    pub fn is_sim(&self) -> bool {
        false
    }

    /// What is alive, as far as is known.
    pub fn gauges(&self) -> Gauges {
        Gauges { packets: self.ring.packets }
    }

    /// The descriptors that are open.
    pub fn descriptors(&self) -> Open {
        Open
    }

    /// The full path of `name`.
    pub fn name(&self, name: &str) -> String {
        format!("{HOME}/{name}")
    }

    /// The payload of the full path of `name`.
    pub fn path(&self, name: &str) -> Memory {
        self.text(&self.name(name))
    }

    /// The payload of two full paths.
    pub fn paths(&self, first: &str, second: &str) -> Memory {
        self.put(format!("{}\0{}\0", self.name(first), self.name(second)).as_bytes())
    }

    /// Puts an entry into the queue. `false` if that is full.
    pub fn try_push(&mut self, entry: Entry) -> bool {
        let ring = &mut self.ring;
        // SAFETY: payloads are in the arena, which is never freed, or name no memory that is this process's.
        match unsafe { ring.ring.push(&entry) } {
            Ok(()) => {
                ring.queued.push_back(entry.flags & (EntryFlags::LINK | EntryFlags::HARDLINK).bits() != 0);
                ring.multishot |= entry.flags & EntryFlags::MULTISHOT.bits() != 0;
                true
            }
            Err(Errno::EAGAIN) => false,
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
        let ring = &mut self.ring;
        ring.end().publish();
        let timeout = timeout.map_or(NEVER, |timeout| timeout.as_nanos() as u64);
        // SAFETY: whatever was pushed names memory of the arena.
        let taken = unsafe { calls::enter(ring.ring.number(), submit, wait, timeout) }.expect("enter") as u32;
        assert!(taken as usize <= ring.queued.len(), "took more entries than were pushed");
        ring.queued.drain(..taken as usize);
        ring.packets += taken;
        let incomplete = ring.queued.iter().rev().take_while(|linked| **linked).count() as u32;
        let readable = ring.end().unread().expect("a ring that is whole") + ring.held.len() as u32;
        Entered { taken, incomplete, readable }
    }

    /// Takes what completions there are.
    pub fn pop_all(&mut self) -> Vec<Completion> {
        core::iter::from_fn(|| self.ring.pop()).collect()
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
            assert!(started.elapsed() < LIMIT, "{} of {count} completions: {all:#?}", all.len());
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
            assert!(started.elapsed() < LIMIT, "no completion after {LIMIT:?}");
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

    /// Waits until everything is over: until an enter that waits for more returns without them, before its time.
    #[track_caller]
    pub fn settle(&mut self) -> Vec<Completion> {
        let mut all = Vec::new();
        loop {
            let started = Instant::now();
            self.enter(u32::MAX, u32::MAX, Some(LONGEST));
            assert!(started.elapsed() < LONGEST, "not over after {LONGEST:?}: {:?}, {all:#?}", self.gauges());
            let some = self.pop_all();
            if some.is_empty() && self.ring.queued.is_empty() {
                self.ring.packets = 0;
                return all;
            }
            all.extend(some);
        }
    }

    /// Gives what has been started a moment, and says what has completed in it.
    pub fn linger(&mut self) -> Vec<Completion> {
        let started = Instant::now();
        let mut all = Vec::new();
        loop {
            self.enter(u32::MAX, u32::MAX, Some(MOMENT));
            all.extend(self.pop_all());
            if started.elapsed() >= MOMENT {
                return all;
            }
        }
    }

    /// Runs entries until everything is over. The n-th is given the number n as its user data.
    #[track_caller]
    pub fn run(&mut self, entries: &[Entry]) -> Vec<Completion> {
        for (number, entry) in entries.iter().enumerate() {
            assert!(self.try_push(entry.data(number as u64)), "the submission queue is full");
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
        assert_eq!((one.result, one.extra), (0, 0), "a result beside an error: {entry:#?}");
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
            let rest = memory.part(count, memory.length - count);
            match self.ok(entry::read(file, rest, offset + count)) {
                0 => break,
                got => count += got,
            }
        }
        self.bytes(memory.part(0, count))
    }

    /// Reads once from the current position (or from a pipe).
    #[track_caller]
    pub fn take(&mut self, file: u64, length: usize) -> Vec<u8> {
        let memory = self.room(length);
        let count = self.ok(entry::read(file, memory, entry::HERE));
        self.bytes(memory.part(0, count))
    }

    /// Writes once at the current position (or to a pipe).
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
        use crate::entry::Edit;
        let all = self.run(&[
            entry::pipe(0).local().link(),
            entry::get(0).load(0, 0).link(),
            entry::get(0).load(0, 1),
        ]);
        assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
        (all[1].result, all[2].result)
    }

    /// Cancels: by an entry, since no system call does.
    #[track_caller]
    pub fn cancel(&mut self, target: Target) -> u32 {
        let entry = match target {
            Target::Data(data) => entry::cancel_data(data),
            Target::Descriptor(descriptor) => entry::cancel_descriptor(descriptor.number()),
            Target::All => entry::cancel_all(),
        };
        self.push(&[entry.data(CALLED)]);
        let started = Instant::now();
        loop {
            self.enter(u32::MAX, 1, Some(MOMENT));
            let mut told = None;
            while let Some(one) = self.ring.take() {
                match one.data {
                    CALLED => told = Some(one.result as u32),
                    _ => self.ring.held.push_back(one),
                }
            }
            if let Some(count) = told {
                return count;
            }
            assert!(started.elapsed() < LIMIT, "a cancel that does not complete");
        }
    }

    /// Ends the case.
    pub fn region(&mut self, _: Memory) -> u16 {
        crate::not_here("a process has no regions but its address space")
    }

    /// Tears the ring down. Its completions go with it, so no case that asks for them is for this kernel.
    pub fn teardown(&mut self) -> Vec<Completion> {
        crate::not_here("TEARDOWN takes completions away with the ring")
    }

    /// Ends the case.
    pub fn renew_steps(&mut self, _: u32) {
        crate::not_here("programs are not stored")
    }

    /// Removes a file, or a directory and all in it.
    pub fn remove_all(&mut self, path: &str) {
        let name = self.text(path);
        if self.one(entry::remove(name, RemoveFlags::empty())).error == 0 {
            return;
        }
        let directory = self.ok(entry::open(name, OpenFlags::READ | OpenFlags::DIRECTORY));
        let room = self.room(4096);
        let mut below = Vec::new();
        loop {
            let count = self.ok(entry::readdir(directory, room)) as usize;
            if count == 0 {
                break;
            }
            let records = self.bytes(room);
            let mut at = 0;
            while at < count {
                let length = u16::from_ne_bytes([records[at + 16], records[at + 17]]) as usize;
                let text = records[at + 19..at + length].split(|byte| *byte == 0).next().unwrap_or_default();
                below.push(String::from_utf8_lossy(text).into_owned());
                at += length;
            }
        }
        self.close(directory);
        for name in below.iter().filter(|name| *name != "." && *name != "..") {
            self.remove_all(&format!("{path}/{name}"));
        }
        self.ok(entry::remove(name, RemoveFlags::DIRECTORY));
    }
}

//! A ring whose backend does exactly what the test says, on a clock that only the test moves.
//!
//! Nothing completes by itself: the test names a started operation (by its place in `started`) and says what it
//! reports, now or during the n-th sleep. A sleep that nothing would ever end is a panic, so that a lost wake-up
//! shows at once and as what it is.

// Each test file uses a part of this, and clippy takes none of it for a test.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::VecDeque;

use ouzel_engine::{
    Backend, Counters, Edge, Engine, Entered, Limits, Operation, Outcome, Place, Report, Started, Step,
    Token, Way,
};
use ouzel_ring::modifiers::{Action, TestOf};
use ouzel_ring::{Completion, EngineEnd, Entry, EntryFlags, Errno, Geometry, Memory, SubmitterEnd, Verb};

/// What the backend answers to a call of `start`.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// So many steps are taken (no more than were offered).
    Take(usize),
    Finish(Outcome),
    Busy,
}

/// A report of the operation that was started as number `.0`.
pub type Told = (usize, Outcome, bool);

pub struct Scripted {
    pub now: u64,
    pub longest_run: usize,
    pub follows: fn(&Operation, Edge, &Operation) -> bool,
    /// Answers to calls of `start`, then `otherwise` for ever.
    pub answers: VecDeque<Answer>,
    pub otherwise: Answer,
    /// Every step that was taken, in order.
    pub started: Vec<Step>,
    pub open: Vec<bool>,
    /// Numbers of the operations that were asked to be given up.
    pub cancelled: Vec<usize>,
    /// A cancelled operation reports ECANCELED at once.
    pub yields: bool,
    pub ready: VecDeque<Report>,
    /// What each sleep brings about, one element each time the backend would otherwise block.
    pub on_sleep: VecDeque<Vec<Told>>,
    /// What is found with each wait, whether it may sleep or not.
    pub found: VecDeque<Vec<Told>>,
    pub starts: u32,
    pub waits: Vec<(u32, Option<u64>)>,
    /// The lengths of the runs that were offered.
    pub offered: Vec<usize>,
    pub attached: Vec<(u64, u32)>,
    pub discarded: Vec<u64>,
    pub fails: Option<Errno>,
    /// What is done at once, in order; what is beyond these, or `None`, is not.
    pub at_once: VecDeque<Option<Outcome>>,
    /// What was asked for to be done at once.
    pub asked: Vec<Operation>,
    /// Whether it was allowed to block.
    pub may_block: bool,
    /// Whether it was, each time something was started or to be done at once.
    pub allowed: Vec<bool>,
}

impl Scripted {
    pub fn new() -> Scripted {
        Scripted {
            now: 1_000,
            longest_run: 1,
            follows: |_, _, _| true,
            answers: VecDeque::new(),
            otherwise: Answer::Take(usize::MAX),
            started: Vec::new(),
            open: Vec::new(),
            cancelled: Vec::new(),
            yields: false,
            ready: VecDeque::new(),
            on_sleep: VecDeque::new(),
            found: VecDeque::new(),
            starts: 0,
            waits: Vec::new(),
            offered: Vec::new(),
            attached: Vec::new(),
            discarded: Vec::new(),
            fails: None,
            at_once: VecDeque::new(),
            asked: Vec::new(),
            may_block: false,
            allowed: Vec::new(),
        }
    }

    pub fn with_runs(longest: usize) -> Scripted {
        Scripted { longest_run: longest, ..Scripted::new() }
    }

    /// The operation that was started as number `number` reports.
    pub fn tell(&mut self, (number, outcome, more): Told) {
        assert!(self.open[number], "operation {number} is over");
        self.open[number] = more;
        self.ready.push_back(Report { token: self.started[number].token, outcome, more });
    }

    /// Numbers of the operations that have not reported for the last time.
    pub fn running(&self) -> Vec<usize> {
        (0..self.open.len()).filter(|number| self.open[*number]).collect()
    }
}

impl Backend for Scripted {
    fn now(&self) -> u64 {
        self.now
    }

    fn longest_run(&self) -> usize {
        self.longest_run
    }

    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        (self.follows)(previous, edge, next)
    }

    fn prefers_at_once(&mut self, _: u32) -> bool {
        !self.at_once.is_empty()
    }

    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        self.asked.push(*operation);
        self.allowed.push(self.may_block);
        self.at_once.pop_front().flatten()
    }

    fn may_block(&mut self, may: bool) {
        self.may_block = may;
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        assert!(!steps.is_empty() && steps.len() <= self.longest_run);
        self.starts += 1;
        self.allowed.push(self.may_block);
        self.offered.push(steps.len());
        let way = Way { place: Place::Simulated, reason: "" };
        match self.answers.pop_front().unwrap_or(self.otherwise) {
            Answer::Take(count) => {
                let count = count.clamp(1, steps.len());
                self.started.extend_from_slice(&steps[..count]);
                self.open.resize(self.started.len(), true);
                Started::Taken { count, way }
            }
            Answer::Finish(outcome) => Started::Finished { outcome, way },
            Answer::Busy => Started::Busy,
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some(number) = self.started.iter().position(|step| step.token == token) else { return };
        self.cancelled.push(number);
        if self.yields && self.open[number] {
            self.tell((number, Outcome::failure(Errno::ECANCELED), false));
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.waits.push((want, until));
        assert!(self.waits.len() < 100_000, "enter spins");
        if let Some(errno) = self.fails {
            return Err(errno);
        }
        for told in self.found.pop_front().unwrap_or_default() {
            self.tell(told);
        }
        while self.ready.len() < want as usize {
            if let Some(told) = self.on_sleep.pop_front() {
                told.into_iter().for_each(|told| self.tell(told));
            } else if let Some(until) = until {
                self.now = self.now.max(until);
                break;
            } else {
                panic!("asleep for ever: {want} reports wanted, {} there", self.ready.len());
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn attach(&mut self, handle: u64, index: u32) {
        self.attached.push((handle, index));
    }

    fn discard(&mut self, handle: u64) {
        self.discarded.push(handle);
    }

    fn counters(&self) -> Counters {
        Counters { enters: self.waits.len() as u64, calls: self.starts as u64, handoffs: 0 }
    }
}

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// Both ends of a ring over a scripted backend.
pub struct Rig<B: Backend = Scripted> {
    // Dropped before the memory.
    pub engine: Engine<B>,
    pub submitter: SubmitterEnd,
    memory: Vec<Line>,
}

impl<B: Backend> Rig<B> {
    pub fn over(backend: B, entries: u64, completions: u64, origin: u32, limits: Limits) -> Rig<B> {
        let geometry = Geometry::new(entries, completions).unwrap();
        let mut memory = vec![Line([0; 64]); geometry.contiguous_size().div_ceil(64)];
        let base = std::ptr::NonNull::new(memory.as_mut_ptr().cast::<u8>()).unwrap();
        // SAFETY: zeroed, aligned, long enough; both ends are dropped before it and nobody else uses it.
        let handle = unsafe { Memory::contiguous(base, memory.len() * 64, geometry) }.unwrap();
        let submitter = SubmitterEnd::new(handle.clone(), origin);
        let engine = Engine::new(EngineEnd::new(handle, origin), backend, limits);
        Rig { engine, submitter, memory }
    }

    /// Writes one of the submitter's words behind its back: 0 is `stail`, 1 is `chead`.
    pub fn lie(&mut self, word: usize, value: u32) {
        let base = self.memory.as_mut_ptr().cast::<u32>();
        // SAFETY: line 1 of the control block, which both ends access with atomics only.
        let atomic = unsafe { std::sync::atomic::AtomicU32::from_ptr(base.add(16 + word)) };
        atomic.store(value, std::sync::atomic::Ordering::SeqCst);
    }

    pub fn push(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.submitter.push(entry).unwrap();
        }
        self.submitter.publish();
    }

    pub fn enter(&mut self, submit: u32, wait: u32) -> Entered {
        self.engine.enter(submit, wait, None).unwrap()
    }

    /// Takes everything and does not wait.
    pub fn go(&mut self) -> Entered {
        self.enter(u32::MAX, 0)
    }

    pub fn pop_all(&mut self) -> Vec<Completion> {
        std::iter::from_fn(|| self.submitter.pop().unwrap()).collect()
    }

    /// (user data, error, result) of everything that can be read.
    pub fn seen(&mut self) -> Vec<(u64, Errno, u64)> {
        self.pop_all()
            .iter()
            .map(|completion| (completion.data, completion.errno(), completion.result))
            .collect()
    }

    /// (user data, error) of everything that can be read.
    pub fn errors(&mut self) -> Vec<(u64, Errno)> {
        self.seen().into_iter().map(|(data, error, _)| (data, error)).collect()
    }

    /// Reserves and installs a descriptor, as adopting an object does.
    pub fn descriptor(&mut self) -> u64 {
        let index = self.engine.reserve_descriptor().unwrap();
        self.engine.install_descriptor(index).unwrap().number()
    }

    #[track_caller]
    pub fn assert_empty(&self) {
        let gauges = self.engine.gauges();
        assert_eq!(
            (gauges.packets, gauges.chains, gauges.started, gauges.stored, gauges.calls, gauges.steps),
            (0, 0, 0, 0, 0, 0),
            "something is left in flight"
        );
    }
}

impl Rig<Scripted> {
    /// A ring with these queue sizes whose indices are about to wrap.
    pub fn new(entries: u64, completions: u64) -> Rig {
        Rig::with(Scripted::new(), entries, completions)
    }

    pub fn with(backend: Scripted, entries: u64, completions: u64) -> Rig {
        let limits = Limits { descriptors: 16, chain: u32::MAX, in_process: true, ..Limits::default() };
        Rig::over(backend, entries, completions, u32::MAX - 2, limits)
    }

    pub fn backend(&mut self) -> &mut Scripted {
        self.engine.backend_mut()
    }

    pub fn tell(&mut self, number: usize, outcome: Outcome) {
        self.backend().tell((number, outcome, false));
    }

    pub fn tell_more(&mut self, number: usize, result: u64) {
        self.backend().tell((number, Outcome::success(result), true));
    }
}

pub fn ok(result: u64) -> Outcome {
    Outcome::success(result)
}

pub fn failed(error: Errno) -> Outcome {
    Outcome::failure(error)
}

pub fn entry(verb: Verb, data: u64, flags: EntryFlags, arguments: [u64; 5]) -> Entry {
    Entry::new(verb).data(data).flags(flags).arguments(arguments)
}

pub fn nop(data: u64) -> Entry {
    Entry::new(Verb::Nop).data(data)
}

/// A READ of nothing from `file`: something to start.
pub fn read(data: u64, file: u64) -> Entry {
    Entry::new(Verb::Read).data(data).arguments([file, 0, 0, 0, 0])
}

pub fn open(data: u64) -> Entry {
    static PATH: &[u8] = b"x\0";
    let path = ouzel_ring::Payload::of(PATH.as_ptr()).number();
    let read = ouzel_ring::modifiers::OpenFlags::READ.bits();
    Entry::new(Verb::Open).data(data).arguments([0, path, 2, read, 0])
}

pub fn close(data: u64, file: u64) -> Entry {
    Entry::new(Verb::Close).data(data).arguments([file, 0, 0, 0, 0])
}

pub fn get(data: u64) -> Entry {
    Entry::new(Verb::Get).data(data)
}

pub fn sleep(data: u64, nanoseconds: u64) -> Entry {
    Entry::new(Verb::Sleep).data(data).arguments([0, 0, nanoseconds, 0, 0])
}

pub fn deadline(data: u64, nanoseconds: u64) -> Entry {
    Entry::new(Verb::Deadline).data(data).arguments([0, 0, nanoseconds, 0, 0])
}

pub fn poll(data: u64, file: u64) -> Entry {
    Entry::new(Verb::Poll).data(data).arguments([file, 1, 0, 0, 0]).flags(EntryFlags::MULTISHOT)
}

pub fn accept(data: u64, socket: u64) -> Entry {
    Entry::new(Verb::Accept).data(data).arguments([socket, 0, 0, 0, 0]).flags(EntryFlags::MULTISHOT)
}

/// A CANCEL of everything with user data `target`.
pub fn cancel(data: u64, target: u64) -> Entry {
    Entry::new(Verb::Cancel).data(data).arguments([0, target, 0, 0, 0])
}

pub fn set(data: u64, value: u64) -> Entry {
    Entry::new(Verb::Set).data(data).arguments([0, 0, value, 0, 0])
}

/// A TEST; the condition may have NOT.
pub fn test(
    data: u64,
    of: TestOf,
    value: u64,
    condition: u64,
    comparand: u64,
    action: Action,
    distance: u64,
) -> Entry {
    let action = action as u64 | distance << 32;
    Entry::new(Verb::Test).data(data).arguments([of as u64, action, value, condition, comparand])
}

/// A REPEAT of the `distance` members before it, which run `bound` times in all.
pub fn repeat(data: u64, bound: u64, distance: u64) -> Entry {
    Entry::new(Verb::Repeat).data(data).arguments([0, 0, bound, distance, 0])
}

/// A CALL of a program that needs no record.
pub fn call(data: u64, program: u32, r0: u64, r1: u64) -> Entry {
    Entry::new(Verb::Call).data(data).arguments([u64::from(program), 0, 0, r0, r1])
}

pub fn program(entry: Entry) -> Entry {
    with(entry, EntryFlags::PROGRAM)
}

/// Adds flags to an entry.
pub fn with(entry: Entry, flags: EntryFlags) -> Entry {
    Entry { flags: entry.flags | flags.bits(), ..entry }
}

pub fn linked(entry: Entry) -> Entry {
    with(entry, EntryFlags::LINK)
}

pub fn hard(entry: Entry) -> Entry {
    with(entry, EntryFlags::HARDLINK)
}

pub fn finally(entry: Entry) -> Entry {
    with(entry, EntryFlags::FINALLY)
}

pub fn local(entry: Entry) -> Entry {
    with(entry, EntryFlags::LOCAL)
}

pub fn load(entry: Entry, argument: usize, register: usize) -> Entry {
    with(entry, EntryFlags::load(argument, register).unwrap())
}

pub fn save(entry: Entry, register: usize) -> Entry {
    with(entry, EntryFlags::save(register).unwrap())
}

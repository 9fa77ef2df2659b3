//! The backend of the model: it starts, ends and cancels operations as the path through the model says, keeps a table of
//! objects as a kernel does, and notes whatever the engine does that it must never do.

use std::collections::VecDeque;

use ouzel_engine::{Backend, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel_ring::Errno;

/// Rules that were broken, as bits.
pub mod rules {
    /// One entry, one final completion, and only for entries that were submitted.
    pub const ONE_COMPLETION: u16 = 1 << 0;
    /// No completion while the backend may still use the operation's memory.
    pub const MEMORY: u16 = 1 << 1;
    /// An object is opened into an empty place that nobody uses, used while it is there, and closed once.
    pub const DESCRIPTORS: u16 = 1 << 2;
    /// What the completion says is what has happened.
    pub const TRUTH: u16 = 1 << 3;
    /// FINALLY members are not asked to stop.
    pub const FINALLY_LEFT_ALONE: u16 = 1 << 4;
    /// Members run in their order, and behind a broken LINK none does.
    pub const ORDER: u16 = 1 << 5;
    /// A token is one operation's at a time.
    pub const TOKENS: u16 = 1 << 6;
    /// DRAIN waits for all that is earlier, and lets nothing later start.
    pub const DRAIN: u16 = 1 << 7;
    /// What has run for longer than it may is asked to stop.
    pub const TIMERS: u16 = 1 << 8;
}

/// How many members a chain has at most, plus one: user data is the chain's number times this plus the member's.
pub const WIDTH: u64 = 8;
/// The last member of a chain that opens something is the one that closes it.
pub const CLOSES: u64 = WIDTH - 1;

/// The two entries that close what was adopted: the second has a timeout of 0, by which it is told.
pub const CLOSES_ADOPTED: [u64; 2] = [1, WIDTH];
/// The only entry that polls.
pub const POLL: u64 = 3 * WIDTH;

/// What the backend answers when it is asked to start something, for the length of one enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mood {
    /// All steps of a run are taken.
    TakeAll,
    /// The first step of a run is taken.
    TakeOne,
    Succeed,
    Fail,
    Busy,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum End {
    Success,
    Failure,
    Cancelled,
    NotRun,
    /// One result of many.
    More,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Poll,
    Open(u32),
    Close(u32),
}

/// Why the engine has given an operation up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    Asked,
    Timer,
    /// There was no room for the result that the engine has just been told.
    NoRoom,
}

/// What is behind an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Who has opened it; nobody if it was adopted.
    pub opener: Option<u64>,
    number: u32,
}

/// An operation that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    token: Token,
    pub data: u64,
    kind: Kind,
    /// The index that it uses, and what was there when it was started.
    file: Option<u32>,
    object: Option<Object>,
    edge: Edge,
    run: u32,
    /// When it was taken.
    begun: u64,
    /// Why it was asked to be given up, if it was.
    pub given_up: Option<Why>,
    pub over: bool,
}

/// An operation that the engine does not know to be over.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pending {
    pub data: u64,
    kind: Kind,
    begun: u64,
    pub given_up: Option<Why>,
    /// The first of its run.
    ahead: u64,
    pub over: bool,
}

/// What became of an entry, as far as the backend knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Known {
    /// It was started, by being taken or at once.
    pub started: bool,
    /// How it ended the last time that it ran.
    pub end: Option<End>,
    /// Results of a multishot.
    pub results: u32,
}

pub struct World {
    pub now: u64,
    pub longest_run: usize,
    pub mood: Mood,
    pub taken: Vec<Taken>,
    pub known: Vec<Known>,
    /// The object at each index.
    pub objects: Vec<Option<Object>>,
    /// How many objects there have been, and how many were closed.
    pub opened: u32,
    pub closed: u32,
    ready: VecDeque<Report>,
    /// Whose result, one of many, was the last thing that the engine was told.
    last_result: Option<Token>,
    /// How the last operation of each run ended.
    runs: Vec<Option<End>>,
    pub broken: u16,
    /// The clock has moved, and nothing else has happened.
    pub ticked: bool,
    /// By data: this entry is FINALLY.
    pub finally: Vec<bool>,
    /// By data: this entry hangs on the success of the one before it.
    pub linked: Vec<bool>,
    /// By data: how long this entry may run.
    pub limits: Vec<u64>,
    /// By data: this entry is the first of a chain with DRAIN.
    pub drains: Vec<bool>,
}

/// A path of its own for each entry that opens something, so that it can be told by it.
static PATHS: [[u8; 2]; 64] = [*b"x\0"; 64];

pub fn path_of(data: u64) -> *const u8 {
    PATHS[data as usize].as_ptr()
}

impl World {
    pub fn new(longest_run: usize, entries: usize) -> World {
        World {
            now: 1_000,
            longest_run,
            mood: Mood::TakeAll,
            taken: Vec::new(),
            known: vec![Known::default(); entries],
            objects: vec![None; 4],
            opened: 0,
            closed: 0,
            ready: VecDeque::new(),
            last_result: None,
            runs: Vec::new(),
            broken: 0,
            ticked: false,
            finally: vec![false; entries],
            linked: vec![false; entries],
            limits: vec![u64::MAX; entries],
            drains: vec![false; entries],
        }
    }

    pub fn breaks(&mut self, rule: u16) {
        self.broken |= rule;
    }

    /// Puts an object into the table from outside.
    pub fn adopt(&mut self, index: u32) {
        self.objects[index as usize] = Some(Object { opener: None, number: 0 });
    }

    pub fn is_running(&self, data: u64) -> bool {
        self.taken.iter().any(|taken| taken.data == data && !taken.over)
    }

    pub fn running(&self) -> u32 {
        self.taken.iter().filter(|taken| !taken.over).count() as u32
    }

    /// The ends that the operation taken as number `number` may have next.
    pub fn ends(&self, number: usize) -> Vec<End> {
        let taken = &self.taken[number];
        let first = self.taken.iter().position(|other| other.run == taken.run && !other.over);
        if taken.over || first != Some(number) {
            return Vec::new();
        }
        match self.runs[taken.run as usize] {
            Some(End::NotRun) => return vec![End::NotRun],
            Some(End::Failure | End::Cancelled) if taken.edge == Edge::Success => return vec![End::NotRun],
            _ => {}
        }
        let gone = matches!(taken.kind, Kind::Close(index) if self.objects[index as usize].is_none());
        let mut ends = if gone { vec![End::Failure] } else { vec![End::Success, End::Failure] };
        if taken.given_up.is_some() {
            ends.push(End::Cancelled);
        }
        if taken.kind == Kind::Poll {
            ends.push(End::More);
        }
        ends
    }

    /// Whether the run that this operation is a part of has come to its end before it.
    pub fn is_cut_off(&self, taken: &Taken) -> bool {
        let next = self.taken.iter().find(|other| other.run == taken.run && !other.over);
        let end = self.runs[taken.run as usize];
        let failed = matches!(end, Some(End::Failure | End::Cancelled));
        end == Some(End::NotRun) || failed && next.is_some_and(|next| next.edge == Edge::Success)
    }

    /// The operation taken as number `number` ends, or has a result.
    pub fn tell(&mut self, number: usize, end: End) {
        let Taken { token, data, kind, run, file, object, .. } = self.taken[number];
        let there = file.and_then(|file| self.objects[file as usize]);
        if object.is_some() && there.is_some() && there != object {
            self.breaks(rules::DESCRIPTORS);
        }
        let outcome = self.outcome(data, kind, end);
        let more = end == End::More;
        self.taken[number].over = !more;
        self.runs[run as usize] = Some(end);
        self.ready.push_back(Report { token, outcome, more });
    }

    fn outcome(&mut self, data: u64, kind: Kind, end: End) -> Outcome {
        if let Some(known) = self.known.get_mut(data as usize) {
            match end {
                End::More => known.results += 1,
                End::NotRun => {}
                _ => known.end = Some(end),
            }
        }
        match (kind, end) {
            (Kind::Open(index), End::Success) => {
                self.opened += 1;
                let object = Object { opener: Some(data), number: self.opened };
                if self.objects[index as usize].replace(object).is_some() {
                    self.breaks(rules::DESCRIPTORS);
                }
            }
            (Kind::Close(index), End::Success | End::Failure) => {
                if self.objects[index as usize].take().is_some() {
                    self.closed += 1;
                } else {
                    // Of two that were started, the second finds nothing: that is no different from not having run.
                    self.known[data as usize].end = None;
                }
            }
            _ => {}
        }
        match end {
            End::Success | End::More => Outcome::success(7),
            End::Failure => Outcome::failure(Errno::EIO),
            End::Cancelled => Outcome::failure(Errno::ECANCELED),
            End::NotRun => Outcome::NotRun,
        }
    }

    /// Which entry an operation belongs to, what it is, and the index that it uses.
    fn identify(&self, step: &Step) -> (u64, Kind, Option<u32>) {
        match step.operation {
            Operation::Read { file, position, .. } => (position.unwrap_or(0), Kind::Read, Some(file)),
            Operation::Poll { file, .. } => (POLL, Kind::Poll, Some(file)),
            Operation::Open { path, into, .. } => {
                let place = path.pointer.addr() - PATHS.as_ptr().addr();
                ((place / size_of::<[u8; 2]>()) as u64, Kind::Open(into), None)
            }
            Operation::Close { file } => {
                // Of whoever opens it, even if it is about to be.
                let opener =
                    self.taken.iter().rev().find(|taken| taken.kind == Kind::Open(file) && !taken.over);
                let opener = opener.map(|taken| taken.data);
                let opener = opener.or(self.objects[file as usize].and_then(|object| object.opener));
                let adopted = CLOSES_ADOPTED[usize::from(!step.may_wait)];
                let data = opener.map_or(adopted, |data| data / WIDTH * WIDTH + CLOSES);
                (data, Kind::Close(file), Some(file))
            }
            _ => unreachable!("no entry of the model asks for this"),
        }
    }

    /// Whether something has closed what was behind `file`, and the engine does not know yet.
    fn is_just_closed(&self, file: u32) -> bool {
        let closes = |taken: &Taken| taken.kind == Kind::Close(file);
        let mut told = self
            .ready
            .iter()
            .filter_map(|report| self.taken.iter().rfind(|taken| taken.token == report.token));
        told.any(closes)
    }

    /// What must hold when an operation starts as the step `place` of a run.
    fn check_start(&mut self, data: u64, kind: Kind, file: Option<u32>, place: usize) {
        if let Kind::Open(index) = kind {
            let used = self.taken.iter().any(|taken| !taken.over && taken.file == Some(index));
            if used || self.objects[index as usize].is_some() {
                self.breaks(rules::DESCRIPTORS);
            }
        }
        if let Some(file) = file
            && place == 0
            && self.objects[file as usize].is_none()
            && !self.is_just_closed(file)
        {
            self.breaks(rules::DESCRIPTORS);
        }
        let chain = data / WIDTH;
        let earlier = chain * WIDTH..data;
        if place == 0 && earlier.clone().any(|member| self.is_running(member)) {
            self.breaks(rules::ORDER);
        }
        let before = data.checked_sub(1).filter(|before| earlier.contains(before));
        let failed = before.and_then(|before| self.known[before as usize].end);
        if place == 0 && self.linked[data as usize] && failed != Some(End::Success) {
            self.breaks(rules::ORDER);
        }
        // Nothing else runs beside a chain with DRAIN.
        let others: Vec<u64> =
            self.taken.iter().filter(|taken| !taken.over).map(|taken| taken.data).collect();
        let drains = |data: u64| self.drains[(data / WIDTH * WIDTH) as usize];
        let beside = others.iter().any(|other| other / WIDTH != chain && (drains(*other) || drains(data)));
        if beside {
            self.breaks(rules::DRAIN);
        }
        self.known[data as usize].started = true;
    }

    /// What must hold when the engine has looked at its timers.
    pub fn check_timers(&mut self) {
        let late = |taken: &Taken| {
            let limit = self.limits[taken.data as usize];
            let is_up = limit != u64::MAX && self.now >= taken.begun + limit;
            is_up && !taken.over && taken.given_up.is_none() && !self.is_cut_off(taken)
        };
        if self.taken.iter().any(late) {
            self.breaks(rules::TIMERS);
        }
    }

    /// What nobody can see from outside, in so far as it decides what happens next: the operations that are running, and
    /// the reports that the engine has not seen.
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<_> = self
            .taken
            .iter()
            .filter(|taken| !taken.over || self.ready.iter().any(|report| report.token == taken.token))
            .map(|taken| {
                let first = self.taken.iter().position(|other| other.run == taken.run);
                let ahead = first.map_or(0, |first| self.taken[first].data);
                Pending {
                    data: taken.data,
                    kind: taken.kind,
                    begun: taken.begun,
                    given_up: taken.given_up,
                    ahead,
                    over: taken.over,
                }
            })
            .collect();
        pending.sort_unstable();
        pending
    }

    /// The reports that the engine has not seen, in their order.
    pub fn told(&self) -> Vec<(u64, Option<i32>)> {
        let data =
            |token: Token| self.taken.iter().rev().find(|taken| taken.token == token).map(|taken| taken.data);
        let error = |outcome: Outcome| match outcome {
            Outcome::Done { error, .. } => Some(error.raw()),
            Outcome::NotRun => None,
        };
        self.ready.iter().map(|report| (data(report.token).unwrap_or(0), error(report.outcome))).collect()
    }

    /// How the last operation of each run that is not over ended.
    pub fn run_ends(&self) -> Vec<(u64, Option<End>)> {
        let mut ends: Vec<_> = self
            .taken
            .iter()
            .filter(|taken| !taken.over)
            .map(|taken| (taken.data, self.runs[taken.run as usize]))
            .collect();
        ends.sort_unstable();
        ends
    }
}

impl Backend for World {
    fn now(&self) -> u64 {
        self.now
    }

    fn longest_run(&self) -> usize {
        self.longest_run
    }

    fn follows(&self, _: &Operation, _: Edge, _: &Operation) -> bool {
        true
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Simulated, reason: "" };
        let count = match self.mood {
            Mood::Busy => return Started::Busy,
            Mood::TakeOne => 1,
            Mood::TakeAll => steps.len(),
            Mood::Succeed | Mood::Fail => {
                let (data, kind, file) = self.identify(&steps[0]);
                self.check_start(data, kind, file, 0);
                let end = if self.mood == Mood::Succeed { End::Success } else { End::Failure };
                return Started::Finished { outcome: self.outcome(data, kind, end), way };
            }
        };
        let run = self.runs.len() as u32;
        self.runs.push(None);
        for (place, step) in steps[..count].iter().enumerate() {
            let (data, kind, file) = self.identify(step);
            self.check_start(data, kind, file, place);
            if self.taken.iter().any(|taken| !taken.over && taken.token == step.token) {
                self.breaks(rules::TOKENS);
            }
            self.taken.push(Taken {
                token: step.token,
                data,
                kind,
                file,
                object: file.and_then(|file| self.objects[file as usize]),
                edge: step.edge,
                run,
                begun: self.now,
                given_up: None,
                over: false,
            });
        }
        Started::Taken { count, way }
    }

    fn cancel(&mut self, token: Token) {
        // Also one that is over and not collected: what is remembered of it is why.
        let Some(place) = self.taken.iter().rposition(|taken| taken.token == token) else { return };
        let why = match self.last_result {
            Some(last) if last == token => Why::NoRoom,
            _ if self.ticked => Why::Timer,
            _ => Why::Asked,
        };
        self.taken[place].given_up.get_or_insert(why);
        let data = self.taken[place].data as usize;
        if self.finally.get(data).is_some_and(|finally| *finally) {
            self.breaks(rules::FINALLY_LEFT_ALONE);
        }
    }

    fn wait(&mut self, want: u32, _: Option<u64>) -> Result<(), Errno> {
        assert_eq!(want, 0, "nobody waits in the model");
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        let report = self.ready.pop_front();
        self.last_result = report.filter(|report| report.more).map(|report| report.token);
        report
    }

    fn attach(&mut self, _: u64, _: u32) {
        self.breaks(rules::DESCRIPTORS);
    }

    fn discard(&mut self, _: u64) {
        self.breaks(rules::DESCRIPTORS);
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

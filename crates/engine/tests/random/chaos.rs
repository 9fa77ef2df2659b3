//! A backend that reports what it likes, when it likes, within the rules of the trait, and remembers what it said of
//! READs and WRITEs: their offset is the user data of their entry.

use std::collections::{HashMap, HashSet, VecDeque};

use ouzel_engine::{
    Backend, Buffers, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way,
};
use ouzel_ring::Errno;

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

pub struct Running {
    token: Token,
    operation: Operation,
    edge: Edge,
    /// The run it belongs to: its steps report in order, and behind one that did not run none does.
    run: u64,
    cancelled: bool,
}

/// How a READ or WRITE was started.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// `None` if it was done at once, which never waits.
    pub may_wait: Option<bool>,
    /// The index of its file.
    pub file: u32,
    /// Bytes.
    pub length: u64,
}

/// Reports what it likes, when it likes, within the rules of the trait.
pub struct Chaos {
    random: Random,
    pub now: u64,
    pub running: Vec<Running>,
    ready: VecDeque<Report>,
    /// Of each run, whether its last step to report failed, was short, or did not run.
    broken: HashMap<u64, Break>,
    runs: u64,
    /// Results of multishot POLLs so far: they grow.
    polls: u64,
    pub handles: HashSet<u64>,
    tokens: HashSet<Token>,
    waits: u64,
    /// Everything is let go, so that a teardown ends.
    pub willing: bool,
    /// Nothing reports.
    pub frozen: bool,
    /// Operations may run more than once, in loops and programs.
    pub repeats: bool,
    /// By user data of READs and WRITEs: how they ended, which had to be given up, and how they were started.
    said: HashMap<u64, Outcome>,
    cancelled: HashSet<u64>,
    started: HashMap<u64, Begun>,
    /// Indices that were closed and have not been opened since.
    gone: HashSet<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum Break {
    Failed,
    NotRun,
}

impl Chaos {
    pub fn new(seed: u64) -> Chaos {
        Chaos {
            random: Random(seed ^ 0xabcdef),
            now: 1,
            running: Vec::new(),
            ready: VecDeque::new(),
            broken: HashMap::new(),
            runs: 0,
            polls: 0,
            handles: HashSet::new(),
            tokens: HashSet::new(),
            waits: 0,
            willing: false,
            frozen: false,
            repeats: false,
            said: HashMap::new(),
            cancelled: HashSet::new(),
            started: HashMap::new(),
            gone: HashSet::new(),
        }
    }

    /// How the READ or WRITE of this entry ended, if it was started and has.
    pub fn said(&self, data: u64) -> Option<Outcome> {
        self.said.get(&data).copied()
    }

    /// Whether it was asked for to be given up.
    pub fn was_cancelled(&self, data: u64) -> bool {
        self.cancelled.contains(&data)
    }

    /// How it was started.
    pub fn begun(&self, data: u64) -> Option<Begun> {
        self.started.get(&data).copied()
    }

    fn note(&mut self, step: &Step, may_wait: Option<bool>) {
        if let (Operation::Read { file, buffers, .. } | Operation::Write { file, buffers, .. }, Some(data)) =
            (step.operation, data_of(&step.operation))
        {
            let length = match buffers {
                Buffers::One(span) => span.length as u64,
                Buffers::Many { .. } => panic!("nobody asked for pieces"),
            };
            self.started.insert(data, Begun { may_wait, file, length });
        }
    }

    /// A step has started: what it opens is there to be closed.
    fn open(&mut self, step: &Step) {
        for index in step.operation.opens() {
            self.gone.remove(index);
        }
    }

    /// A step is over as soon as it has started.
    fn finish(&mut self, step: &Step, may_wait: Option<bool>) -> Outcome {
        self.open(step);
        let outcome = self.outcome(&step.operation, false);
        self.note(step, may_wait);
        self.ended(&step.operation, outcome);
        outcome
    }

    fn ended(&mut self, operation: &Operation, outcome: Outcome) {
        if let Some(data) = data_of(operation) {
            let before = self.said.insert(data, outcome);
            assert!(
                (self.repeats || matches!(before, None | Some(Outcome::NotRun)))
                    && self.started.contains_key(&data),
                "{data} was run twice"
            );
        }
    }

    fn outcome(&mut self, operation: &Operation, more: bool) -> Outcome {
        let outcome = self.any_outcome(operation, more);
        let Operation::Close { file } = *operation else { return outcome };
        if self.gone.contains(&file) {
            // Two closes of one descriptor were under way: the second finds nothing, and what hangs on it does not run.
            return Outcome::failure(Errno::EBADF);
        }
        if !matches!(outcome, Outcome::Done { error: Errno::ECANCELED, .. }) {
            self.gone.insert(file);
        }
        outcome
    }

    fn any_outcome(&mut self, operation: &Operation, more: bool) -> Outcome {
        let accepts = matches!(operation, Operation::Accept { multishot: true, .. });
        if !more && self.random.one_in(4) {
            let error = [Errno::EIO, Errno::ECANCELED, Errno::EPIPE][self.random.below(3) as usize];
            // A partial transfer has a result beside its error.
            let result = if self.random.one_in(4) { self.random.next() >> 1 } else { 0 };
            return Outcome::Done { error, result, extra: 0 };
        }
        let mut result = self.random.next() >> 1;
        if let Operation::Poll { multishot: true, .. } = operation {
            self.polls += 1;
            result = self.polls;
        }
        if accepts {
            assert!(self.handles.insert(result));
        }
        let extra = if accepts { 0 } else { self.random.next() as u32 & 3 };
        Outcome::Done { error: Errno::OK, result, extra }
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
            self.ended(&operation, outcome);
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

    fn prefers_at_once(&mut self, _: u32) -> bool {
        self.random.one_in(2)
    }

    fn do_at_once(&mut self, operation: &Operation, _: bool) -> Option<Outcome> {
        if self.random.one_in(3) {
            return None;
        }
        let token = Token { slot: u32::MAX, generation: 0 };
        let step = Step { token, operation: *operation, edge: Edge::Success, may_wait: true };
        Some(self.finish(&step, None))
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Simulated, reason: "" };
        match self.random.below(8) {
            0 => Started::Busy,
            1 => Started::Finished { outcome: self.finish(&steps[0], Some(steps[0].may_wait)), way },
            _ => {
                let count = 1 + self.random.below(steps.len() as u64) as usize;
                self.runs += 1;
                for step in &steps[..count] {
                    assert!(self.tokens.insert(step.token), "a token is used twice");
                    self.note(step, Some(step.may_wait));
                    self.open(step);
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
            self.cancelled.extend(data_of(&running.operation));
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.waits += 1;
        assert!(self.waits < 1_000_000, "enter spins");
        if self.frozen {
            return Ok(());
        }
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

    fn attach(&mut self, handle: u64, index: u32) {
        self.gone.remove(&index);
        assert!(self.handles.remove(&handle), "a handle that was never given out");
    }

    fn discard(&mut self, handle: u64) {
        assert!(self.handles.remove(&handle), "a handle that was never given out");
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// The user data of a READ's or WRITE's entry, which the driver has made its offset.
fn data_of(operation: &Operation) -> Option<u64> {
    match *operation {
        Operation::Read { position, .. } | Operation::Write { position, .. } => position,
        _ => None,
    }
}

//! When things happen in the simulation: latency, runs, waiting operations, cancels and reports.
//!
//! A run is under way in one of two places: in the queue of coming instants, or among those who wait, in the order in which
//! they came. Each change of an object lets those who wait for it try again, in that order, at the same instant.

use core::ops::RangeInclusive;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ouzel_engine::{Edge, Operation, Outcome, Report, Started, Step, Token};
use ouzel_ring::Errno;

use super::WAY;
use super::bells::SharedBell;
use super::network::Network;
use super::options::SimOptions;
use super::pages::PAGE;
use super::processes::SimProcess;
use super::tree::Tree;
use super::turn::{Key, Stop};
use super::world::{BOTH, Memory, Object, World};
use crate::BufferGroup;
use crate::backend::memory;
use crate::backend::random::Random;

/// One step of a run.
#[derive(Debug)]
struct Member {
    step: Step,
    memory: Memory,
    /// Its descriptors have been looked up.
    bound: bool,
    cancelled: bool,
    /// It was to be given up when it was under way already: it ends where it would have to wait.
    late: bool,
    /// Reports it has given that said more would come.
    shots: u64,
}

/// Where a run is.
#[derive(Debug)]
enum Whereabouts {
    /// Due at this instant, with a number that decides among those due at once.
    Coming(u64, u64),
    /// Among those who wait, as this number, for these.
    Waiting(u64, Vec<Key>),
}

#[derive(Debug)]
struct Run {
    members: VecDeque<Member>,
    whereabouts: Whereabouts,
}

#[derive(Debug)]
pub(super) struct Schedule {
    world: World,
    random: Random,
    latency: RangeInclusive<u64>,
    now: u64,
    started: u64,
    next: u64,
    runs: BTreeMap<u64, Run>,
    tokens: BTreeMap<u64, u64>,
    coming: BTreeSet<(u64, u64, u64)>,
    /// When processes end.
    exits: BTreeSet<(u64, i32)>,
    waiting: BTreeMap<u64, u64>,
    watched: BTreeMap<Key, BTreeSet<u64>>,
    reports: VecDeque<Report>,
}

impl Schedule {
    pub(super) fn new(options: &SimOptions) -> Schedule {
        let mut random = Random::new(options.seed);
        let mut tree = Tree::new(options.umask & 0o777, options.storage_bytes / PAGE);
        tree.now = options.first_instant;
        let network = Network::new(options.socket_bytes, random.next());
        let mut world = World::new(tree, network, options.descriptors, options.largest_file);
        world.whole_writes = options.whole_writes;
        Schedule {
            world,
            random,
            latency: options.latency.clone(),
            now: options.first_instant,
            started: 0,
            next: 0,
            runs: BTreeMap::new(),
            tokens: BTreeMap::new(),
            coming: BTreeSet::new(),
            exits: BTreeSet::new(),
            waiting: BTreeMap::new(),
            watched: BTreeMap::new(),
            reports: VecDeque::new(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn started(&self) -> u64 {
        self.started
    }

    /// Steps taken and not reported.
    pub(super) fn in_flight(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn next(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    pub(super) fn attach(&mut self, handle: u64, index: u32) {
        self.world.install(index, handle);
    }

    pub(super) fn discard(&mut self, handle: u64) {
        self.world.drop_reference(handle);
        self.settle();
    }

    pub(super) fn start(&mut self, steps: &[Step], longest: usize) -> Started {
        self.started += 1;
        let most = steps.len().min(longest);
        // Now and then less is taken than was offered, which every caller has to bear.
        let count = if most > 1 && self.random.chance(100) {
            self.random.between(1, most as u64) as usize
        } else {
            most
        };
        self.next += 1;
        let id = self.next;
        let mut opened = Vec::new();
        let mut members = VecDeque::new();
        for step in &steps[..count] {
            // What an earlier step opens or closes cannot be looked up yet.
            let later = step.operation.names().iter().flatten().any(|index| opened.contains(index));
            opened.extend_from_slice(step.operation.opens());
            if let Operation::Close { file } = step.operation {
                opened.push(file);
            }
            let mut memory = Memory::default();
            if !later {
                self.world.bind(&step.operation, &mut memory);
            }
            self.tokens.insert(step.token.to_word(), id);
            members.push_back(Member {
                step: *step,
                memory,
                bound: !later,
                cancelled: false,
                late: false,
                shots: 0,
            });
        }
        self.runs.insert(id, Run { members, whereabouts: Whereabouts::Coming(self.now, 0) });
        let before = self.reports.len();
        if !self.begin(id) {
            return Started::Taken { count, way: WAY };
        }
        self.proceed(id);
        // A single step that is over already may be said so at once, or reported like any other.
        let at_once = count == 1 && self.reports.len() == before + 1 && !self.runs.contains_key(&id);
        let answer = if at_once && self.random.chance(500) { self.reports.pop_back() } else { None };
        self.settle();
        match answer {
            Some(report) => Started::Finished { outcome: report.outcome, way: WAY },
            None => Started::Taken { count, way: WAY },
        }
    }

    /// Gives the first member of a run its latency. True if that is none, so that it is to proceed now.
    fn begin(&mut self, id: u64) -> bool {
        let Some(run) = self.runs.get_mut(&id) else { return false };
        let Some(member) = run.members.front_mut() else { return false };
        if !member.bound {
            self.world.bind(&member.step.operation, &mut member.memory);
            member.bound = true;
        }
        if let Operation::Close { file } = member.step.operation
            && !member.cancelled
        {
            // From here on the index is dead, whatever else is started.
            self.world.detach(file);
        }
        let latency = self.random.between(*self.latency.start(), *self.latency.end());
        let instant = self.now.saturating_add(latency);
        let tie = self.random.next();
        run.whereabouts = Whereabouts::Coming(instant, tie);
        if latency > 0 {
            self.coming.insert((instant, tie, id));
        }
        latency == 0
    }

    /// Lets a run go on until it waits, has latency to sit out, or is over.
    fn proceed(&mut self, id: u64) {
        loop {
            let Some(run) = self.runs.get_mut(&id) else { return };
            let Some(member) = run.members.front_mut() else { return };
            let step = member.step;
            self.world.tree.now = self.now;
            let turn = if member.cancelled {
                Err(Stop::Error(Errno::ECANCELED))
            } else {
                self.world.attempt(&step.operation, &mut member.memory)
            };
            let progress = member.memory.progress;
            let error = match turn {
                Ok((result, extra)) => {
                    if goes_on(&step, result) {
                        member.shots += 1;
                        let outcome = Outcome::Done { error: Errno::OK, result, extra };
                        self.reports.push_back(Report { token: step.token, outcome, more: true });
                        continue;
                    }
                    self.finish(id, Outcome::Done { error: Errno::OK, result, extra });
                    None
                }
                Err(Stop::Error(error)) => Some(error),
                Err(Stop::Wait(_)) if member.late => Some(Errno::ECANCELED),
                Err(Stop::Wait(keys)) if step.may_wait => {
                    self.park(id, keys);
                    return;
                }
                Err(Stop::Wait(_)) => Some(Errno::ETIMEDOUT),
            };
            if let Some(error) = error {
                // Bytes that have been moved are told, not forgotten.
                let partial = progress > 0 && matches!(error, Errno::ETIMEDOUT | Errno::ECANCELED);
                let outcome = if partial { Outcome::success(progress) } else { Outcome::failure(error) };
                self.finish(id, outcome);
            }
            if !self.begin(id) {
                return;
            }
        }
    }

    /// Reports the first member of a run and takes it out, and the rest if the run breaks here.
    fn finish(&mut self, id: u64, outcome: Outcome) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(member) = run.members.pop_front() else { return };
        self.world.unbind(member.memory);
        self.tokens.remove(&member.step.token.to_word());
        self.reports.push_back(Report { token: member.step.token, outcome, more: false });
        let broken = breaks(&member.step.operation, outcome)
            && run.members.front().is_some_and(|next| next.step.edge == Edge::Success);
        if broken {
            for member in core::mem::take(&mut run.members) {
                self.world.unbind(member.memory);
                self.tokens.remove(&member.step.token.to_word());
                self.reports.push_back(Report {
                    token: member.step.token,
                    outcome: Outcome::NotRun,
                    more: false,
                });
            }
        }
        if run.members.is_empty() {
            self.runs.remove(&id);
        }
    }

    /// Puts a run among those who wait, in its old place if it had one.
    fn park(&mut self, id: u64, keys: Vec<Key>) {
        self.next += 1;
        let fresh = self.next;
        let Some(run) = self.runs.get_mut(&id) else { return };
        let place = match run.whereabouts {
            Whereabouts::Waiting(place, _) => place,
            Whereabouts::Coming(..) => fresh,
        };
        for key in &keys {
            self.watched.entry(*key).or_default().insert(place);
        }
        run.whereabouts = Whereabouts::Waiting(place, keys);
        self.waiting.insert(place, id);
    }

    /// Takes a run from among those who wait; it keeps its place.
    fn unpark(&mut self, place: u64) -> Option<u64> {
        let id = self.waiting.remove(&place)?;
        if let Some(Run { whereabouts: Whereabouts::Waiting(_, keys), .. }) = self.runs.get(&id) {
            for key in keys {
                if let Some(places) = self.watched.get_mut(key) {
                    places.remove(&place);
                    if places.is_empty() {
                        self.watched.remove(key);
                    }
                }
            }
        }
        Some(id)
    }

    /// Lets everybody try again who waits for something that has changed, until nothing changes any more.
    fn settle(&mut self) {
        self.world.listen_to_bells();
        while !self.world.network.touched.is_empty() {
            let touched = core::mem::take(&mut self.world.network.touched);
            let places: BTreeSet<u64> =
                touched.iter().filter_map(|key| self.watched.get(key)).flatten().copied().collect();
            for place in places {
                if let Some(id) = self.unpark(place) {
                    self.proceed(id);
                }
            }
            self.world.listen_to_bells();
        }
    }

    pub(super) fn cancel(&mut self, token: Token) {
        let Some(id) = self.tokens.get(&token.to_word()).copied() else { return };
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(at) = run.members.iter().position(|member| member.step.token == token) else { return };
        let close = matches!(run.members[at].step.operation, Operation::Close { .. });
        if at > 0 {
            run.members[at].cancelled = true;
            return;
        }
        match run.whereabouts {
            Whereabouts::Waiting(place, _) => {
                run.members[at].cancelled = true;
                self.unpark(place);
            }
            // A close has begun already; of the others, half are too far gone to be stopped, unless they have to wait.
            Whereabouts::Coming(..) if close || self.random.chance(500) => {
                run.members[at].late = true;
                return;
            }
            Whereabouts::Coming(instant, tie) => {
                run.members[at].cancelled = true;
                self.coming.remove(&(instant, tie, id));
            }
        }
        self.proceed(id);
        self.settle();
    }

    /// Moves the clock from instant to instant until there are `want` reports, or it reaches `until`.
    pub(super) fn wait(&mut self, want: usize, until: Option<u64>) {
        self.settle();
        while self.reports.len() < want {
            match self.next_instant() {
                Some(instant) if until.is_none_or(|until| instant <= until) => self.advance(),
                _ => {
                    if until.is_none() && !self.world.bells.is_empty() {
                        // Only a bell can change that, from another thread.
                        self.world.rest();
                    }
                    self.now = self.now.max(until.unwrap_or(self.now));
                    return;
                }
            }
        }
    }

    /// Lets a little time pass.
    pub(super) fn pass(&mut self, step: u64) {
        self.settle();
        let until = self.now.saturating_add(step);
        while self.next_instant().is_some_and(|instant| instant <= until) {
            self.advance();
        }
        self.now = self.now.max(until);
    }

    /// The next instant at which something happens.
    fn next_instant(&self) -> Option<u64> {
        let coming = self.coming.first().map(|(instant, ..)| *instant);
        let exit = self.exits.first().map(|(instant, _)| *instant);
        coming.into_iter().chain(exit).min()
    }

    /// Starts a process.
    pub(super) fn simulate_process(&mut self, process: SimProcess) -> i32 {
        let (number, ends) = self.world.processes.start(self.now, process);
        self.exits.insert((ends, number));
        number
    }

    /// Puts a process into the table.
    pub(super) fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        if !self.world.processes.has(number) {
            return Err(Errno::ECHILD);
        }
        let id = self.world.add(Object::Process(number), BOTH);
        self.world.install(index, id);
        Ok(())
    }

    /// Takes note of a group of buffers.
    pub(super) fn add_group(&mut self, group: &BufferGroup) {
        self.world.groups.insert(group.number(), group.clone());
    }

    /// Lets go of a group.
    pub(super) fn remove_group(&mut self, group: u16) {
        self.world.groups.remove(&group);
    }

    /// Puts a bell into the table.
    pub(super) fn adopt_bell(&mut self, index: u32, bell: Arc<SharedBell>) {
        let id = self.world.add_bell(bell);
        self.world.install(index, id);
    }

    /// Moves the clock to the next instant at which something happens, and lets it happen.
    fn advance(&mut self) {
        let first = self.coming.first().map(|(instant, ..)| *instant);
        if let Some((instant, number)) = self.exits.first().copied()
            && first.is_none_or(|first| instant <= first)
        {
            self.exits.pop_first();
            self.now = self.now.max(instant);
            self.world.network.touched.push(Key::Process(number));
            self.settle();
            return;
        }
        if let Some((instant, _, id)) = self.coming.pop_first() {
            self.now = self.now.max(instant);
            self.proceed(id);
            self.settle();
        }
    }
}

/// Whether this result of an operation is one of many.
fn goes_on(step: &Step, result: u64) -> bool {
    match step.operation {
        // One that may not wait takes what is there. Nothing comes behind the end.
        Operation::RecvPicked { multishot, .. } => multishot && result > 0,
        ref other => other.is_multishot() && step.may_wait,
    }
}

/// Whether a run whose next step asks for success ends here: after a failure, or a short read or write.
fn breaks(operation: &Operation, outcome: Outcome) -> bool {
    let Outcome::Done { error, result, .. } = outcome else { return true };
    if !error.is_ok() {
        return true;
    }
    match operation {
        Operation::Read { buffers, .. } | Operation::Write { buffers, .. } => {
            result < memory::length(buffers)
        }
        _ => false,
    }
}

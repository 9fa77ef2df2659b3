//! One path through the model, taken by a real engine, and what can be seen at its end.
//!
//! An engine cannot be copied, so a state of the model is the path that leads to it: whoever wants to look at it, or go on
//! from it, takes the path again. Two paths that lead to the same [`Facts`] are the same state.

use ouzel_engine::{Limits, Target};
use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

use super::common::Rig;
use super::scenarios::{Chain, Scenario, Stop};
use super::world::{End, Mood, Object, POLL, Pending, WIDTH, World, rules};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// The submitter pushes a chain.
    Push(u8),
    /// The engine is entered, while the backend is in this mood.
    Enter(Mood),
    /// An operation ends, or has a result.
    Tell(u8, End),
    /// Something is cancelled.
    Stop(u8),
    /// The clock reaches the next timer.
    Tick,
    /// The submitter reads one completion.
    Read,
    /// The ring is to be torn down.
    TearDown,
}

/// What has become of an entry, as its submitter sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entered {
    pub submitted: bool,
    /// How often it has completed for good.
    pub completions: u8,
    pub error: i32,
    /// Completions with MORE.
    pub results: u32,
}

/// Everything of a state that decides what can follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    pub now: u64,
    pub next_timer: Option<u64>,
    pub pushed: u8,
    pub stopped: u8,
    /// What the calls that stop something have reached.
    pub reached: Vec<u32>,
    pub closing: bool,
    pub entries: Vec<Entered>,
    pub known: Vec<super::world::Known>,
    pub pending: Vec<Pending>,
    pub run_ends: Vec<(u64, Option<End>)>,
    pub told: Vec<(u64, Option<i32>)>,
    pub objects: Vec<Option<Object>>,
    /// The descriptors that the engine takes for open, and how many indices are in use.
    pub open: Vec<u64>,
    pub indices: u32,
    /// Completions that can be read: user data, error, and whether there are more to come.
    pub readable: Vec<(u64, i32, bool)>,
    /// Entries that are in flight, chains, operations started, results stored.
    pub gauges: (u32, u32, u32, u32),
    pub stalled: bool,
    pub unread_entries: u32,
    pub broken: u16,
    /// Something has happened since the engine was entered last.
    pub stirred: bool,
}

pub struct Replay<'a> {
    scenario: &'a Scenario,
    pub rig: Rig<World>,
    entries: Vec<Entered>,
    pushed: u8,
    stopped: u8,
    reached: Vec<u32>,
    closing: bool,
    taken: u32,
    submitted: u32,
    stirred: bool,
}

impl<'a> Replay<'a> {
    pub fn new(scenario: &'a Scenario) -> Replay<'a> {
        let count = scenario.chains.len() * WIDTH as usize;
        let limits = Limits { descriptors: 4, chain: 8, in_process: true, programs: 0, program_steps: 0 };
        let mut world = World::new(scenario.longest_run, count);
        for (number, chain) in scenario.chains.iter().enumerate() {
            mark(&mut world, number as u64 * WIDTH, chain);
        }
        let mut rig = Rig::over(world, scenario.slots.0, scenario.slots.1, u32::MAX - 2, limits);
        for _ in 0..scenario.adopted {
            let descriptor = rig.engine.reserve_descriptor().unwrap();
            rig.engine.install_descriptor(descriptor).unwrap();
            rig.engine.backend_mut().adopt(descriptor);
        }
        Replay {
            scenario,
            rig,
            entries: vec![Entered::default(); count],
            pushed: 0,
            stopped: 0,
            reached: Vec::new(),
            closing: false,
            taken: 0,
            submitted: 0,
            stirred: false,
        }
    }

    pub fn along(scenario: &'a Scenario, path: &[Choice]) -> Replay<'a> {
        let mut replay = Replay::new(scenario);
        path.iter().for_each(|choice| replay.choose(*choice));
        replay
    }

    pub fn world(&mut self) -> &mut World {
        self.rig.engine.backend_mut()
    }

    pub fn choose(&mut self, choice: Choice) {
        self.world().ticked = false;
        match choice {
            Choice::Push(number) => self.push(number),
            Choice::Enter(mood) => self.enter(mood),
            Choice::Tell(number, end) => {
                self.world().tell(usize::from(number), end);
                self.stirred = true;
            }
            Choice::Stop(number) => self.stop(number),
            Choice::Tick => {
                let next = self.rig.engine.next_timer();
                let world = self.world();
                world.now = world.now.max(next.unwrap_or(0));
                world.ticked = true;
                // A timer does nothing until the engine is entered; both at once, or the reason would be lost.
                self.enter(Mood::TakeAll);
            }
            Choice::Read => {
                self.read();
                self.stirred = true;
            }
            Choice::TearDown => {
                self.closing = true;
                self.stirred = true;
                self.rig.engine.begin_teardown();
            }
        }
        if !self.scenario.reads_slowly {
            while self.readable() > 0 {
                self.read();
            }
        }
    }

    fn push(&mut self, number: u8) {
        let first = u64::from(number) * WIDTH;
        for (place, entry) in self.scenario.chains[usize::from(number)].entries.iter().enumerate() {
            assert!(place > 0 || entry.data == first, "members are numbered");
            self.entries[entry.data as usize].submitted = true;
            self.submitted += 1;
            self.rig.submitter.push(entry).unwrap();
        }
        self.rig.submitter.publish();
        self.pushed |= 1 << number;
        self.stirred = true;
    }

    pub fn enter(&mut self, mood: Mood) {
        self.world().mood = mood;
        let entered = self.rig.engine.enter(u32::MAX, 0, None).unwrap();
        self.taken += entered.taken;
        self.stirred = false;
        self.world().check_timers();
    }

    fn stop(&mut self, number: u8) {
        self.stopped |= 1 << number;
        self.stirred = true;
        let reached = match self.scenario.stops[usize::from(number)] {
            Stop::Cancel(data) => self.rig.engine.cancel(Target::Data(data)),
            Stop::CancelAll => self.rig.engine.cancel(Target::All),
            Stop::Withdraw(data) => self.rig.engine.cancel_waiting(Target::Data(data)),
        };
        self.reached.push(u32::from(number) << 16 | reached);
    }

    pub fn readable(&mut self) -> u32 {
        self.rig.submitter.unread().unwrap()
    }

    /// Reads one completion, and judges it.
    pub fn read(&mut self) {
        let Some(completion) = self.rig.submitter.pop().unwrap() else { return };
        let data = completion.data;
        if data as usize >= self.entries.len() {
            return self.world().breaks(rules::ONE_COMPLETION);
        }
        let entry = &mut self.entries[data as usize];
        if completion.has_more() {
            entry.results += 1;
            let twice = entry.completions > 0;
            if twice || data != POLL {
                self.world().breaks(rules::ONE_COMPLETION);
            }
            return;
        }
        entry.completions += 1;
        entry.error = completion.error;
        let Entered { submitted, completions, results, .. } = *entry;
        if completions > 1 || !submitted {
            self.world().breaks(rules::ONE_COMPLETION);
        }
        let world = self.rig.engine.backend_mut();
        if world.is_running(data) {
            world.breaks(rules::MEMORY);
        }
        let known = world.known[data as usize];
        let error = completion.errno();
        let given_up = [Errno::ECANCELED, Errno::ETIMEDOUT, Errno::ENOBUFS].contains(&error);
        let is_true = match known.end {
            Some(End::Success) => error.is_ok(),
            Some(End::Failure) => error == Errno::EIO,
            Some(_) => given_up && error != Errno::OK,
            None if self.scenario.is_unseen(data) => true,
            None => !error.is_ok() && error != Errno::EIO,
        };
        if !is_true || results != known.results {
            world.breaks(rules::TRUTH);
        }
    }

    pub fn facts(mut self) -> Facts {
        let readable = self.rig.pop_all();
        let readable = readable.iter().map(|one| (one.data, one.error, one.has_more())).collect();
        let gauges = self.rig.engine.gauges();
        let (next_timer, stalled) = (self.rig.engine.next_timer(), self.rig.engine.has_stalled());
        let world = self.rig.engine.backend();
        Facts {
            now: world.now,
            next_timer,
            pushed: self.pushed,
            stopped: self.stopped,
            reached: {
                let mut reached = self.reached.clone();
                reached.sort_unstable();
                reached
            },
            closing: self.closing,
            entries: self.entries.clone(),
            known: world.known.clone(),
            pending: world.pending(),
            run_ends: world.run_ends(),
            told: world.told(),
            objects: world.objects.clone(),
            open: self.rig.engine.open_descriptors().map(|descriptor| descriptor.number()).collect(),
            indices: gauges.descriptors,
            readable,
            gauges: (gauges.packets, gauges.chains, gauges.started, gauges.stored),
            stalled,
            unread_entries: self.submitted - self.taken.min(self.submitted),
            broken: world.broken,
            stirred: self.stirred,
        }
    }

    /// What can happen next.
    pub fn choices(&mut self, choices: &mut Vec<Choice>) {
        let scenario = self.scenario;
        // Chains are pushed in their order, while there is room for all of the next one.
        let next = self.pushed.trailing_ones() as usize;
        if let Some(chain) = scenario.chains.get(next)
            && !self.closing
            && self.rig.submitter.room().unwrap() >= chain.entries.len() as u32
        {
            choices.push(Choice::Push(next as u8));
        }
        if self.stirred || self.rig.engine.has_stalled() || self.readable() > 0 || self.submitted > self.taken
        {
            choices.extend(scenario.moods.iter().map(|mood| Choice::Enter(*mood)));
        }
        let world = self.rig.engine.backend();
        for number in 0..world.taken.len() {
            for end in world.ends(number) {
                let results = world.known[POLL.min(world.known.len() as u64 - 1) as usize].results;
                let allowed = match end {
                    End::Failure => scenario.fails,
                    End::More => results < scenario.results,
                    _ => true,
                };
                if allowed {
                    choices.push(Choice::Tell(number as u8, end));
                }
            }
        }
        for number in 0..scenario.stops.len() {
            if self.stopped & 1 << number == 0 && self.pushed > 0 {
                choices.push(Choice::Stop(number as u8));
            }
        }
        // When the engine has seen all else, so that it is sure what a cancel is for.
        if self.rig.engine.next_timer().is_some() && !self.stirred {
            choices.push(Choice::Tick);
        }
        if scenario.reads_slowly && self.readable() > 0 {
            choices.push(Choice::Read);
        }
        if scenario.tears_down && !self.closing && self.pushed > 0 {
            choices.push(Choice::TearDown);
        }
    }

    /// The backend is willing from now on, time passes and completions are read: true if everything ends, and well.
    pub fn runs_out(mut self) -> bool {
        for _ in 0..64 {
            while self.readable() > 0 {
                self.read();
            }
            self.enter(Mood::TakeAll);
            let running: Vec<usize> = (0..self.world().taken.len()).collect();
            let mut told = false;
            for number in running {
                let world = self.world();
                let ends = world.ends(number);
                // What was asked to stop does.
                let end = ends.iter().copied().find(|end| matches!(end, End::Cancelled | End::NotRun));
                if let Some(end) = end.or(ends.first().copied()) {
                    world.tell(number, end);
                    told = true;
                }
            }
            let next = self.rig.engine.next_timer();
            if !told && let Some(next) = next {
                let world = self.world();
                world.now = world.now.max(next);
            }
            if !told && next.is_none() && self.readable() == 0 && self.is_over() {
                return self.is_well();
            }
        }
        false
    }

    /// Every submitted entry of a whole chain has completed. After a teardown, all have.
    pub fn is_over(&self) -> bool {
        let unended = |chain: &Chain| !self.closing && !chain.is_whole();
        self.scenario.chains.iter().all(|chain| {
            let mut entries = chain.entries.iter().map(|entry| self.entries[entry.data as usize]);
            unended(chain) || entries.all(|entry| !entry.submitted || entry.completions > 0)
        })
    }

    /// Nothing is left over, all that was promised has been done, and no rule was broken.
    fn is_well(&mut self) -> bool {
        let gauges = self.rig.engine.gauges();
        let empty = (gauges.packets, gauges.chains, gauges.started, gauges.stored) == (0, 0, 0, 0);
        let idle = !self.closing || self.rig.engine.is_idle();
        let world = self.rig.engine.backend();
        let closed = !self.scenario.closes_all || world.opened == world.closed;
        let kept = self.scenario.chains.iter().all(|chain| {
            let begun = chain.entries.iter().any(|entry| world.known[entry.data as usize].started);
            chain.entries.iter().all(|entry| {
                let finally = EntryFlags::from_bits_retain(entry.flags).contains(EntryFlags::FINALLY);
                let plain = EntryFlags::from_bits_retain(entry.flags).loads().next().is_none();
                !(begun && finally && plain) || world.known[entry.data as usize].end.is_some()
            })
        });
        empty && idle && closed && kept && world.broken == 0
    }

    /// The ring is torn down now, and the backend lets go of nothing: what is in flight is counted, and nothing of it has
    /// completed. When it lets go after all, everything ends.
    pub fn tears_down_over_a_dead_backend(mut self) -> bool {
        self.rig.engine.begin_teardown();
        self.closing = true;
        let tells = self.world().taken.len();
        for _ in 0..8 {
            while self.readable() > 0 {
                self.read();
            }
            self.enter(Mood::TakeAll);
        }
        let gauges = self.rig.engine.gauges();
        let world = self.rig.engine.backend();
        let leaked = gauges.started == world.running() && world.broken == 0;
        let asked = world.taken[..tells].iter().all(|taken| {
            let finally = world.finally.get(taken.data as usize).is_some_and(|finally| *finally);
            taken.over || taken.given_up.is_some() || finally || world.is_cut_off(taken)
        });
        leaked && asked && self.runs_out()
    }
}

/// Notes in the world what the flags of a chain promise.
fn mark(world: &mut World, first: u64, chain: &Chain) {
    let flags = |entry: &Entry| EntryFlags::from_bits_retain(entry.flags);
    // A chain's deadline is set before its next member starts.
    let deadline = chain.entries.iter().find(|entry| entry.op == Verb::Deadline as u32);
    let deadline = deadline.map_or(u64::MAX, |deadline| deadline.arguments[2]);
    for (place, entry) in chain.entries.iter().enumerate() {
        let data = entry.data as usize;
        world.finally[data] = flags(entry).contains(EntryFlags::FINALLY);
        // A timeout of 0 only says that it may not wait.
        let timeout = if entry.timeout == 0 { u64::MAX } else { entry.timeout };
        world.limits[data] = timeout.min(if world.finally[data] { u64::MAX } else { deadline });
        let before = place.checked_sub(1).map(|before| &chain.entries[before]);
        let own = |entry: &Entry| entry.op == Verb::Deadline as u32;
        world.linked[data] = !world.finally[data]
            && before.is_some_and(|before| flags(before).contains(EntryFlags::LINK) && !own(before));
    }
    world.drains[first as usize] =
        chain.entries.first().is_some_and(|entry| flags(entry).contains(EntryFlags::DRAIN));
}

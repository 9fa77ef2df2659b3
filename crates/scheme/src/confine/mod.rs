//! Confinement: a layer over a backend that keeps a client to its rights and beneath one directory.
//!
//! A service runs an engine for each client. Between that engine and the backend lies a [`Confine`]: it refuses the verbs
//! that the client has no [right](Rights) to, and has every path resolved beneath the service's root directory by the kernel
//! itself (`openat2(2)` with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS). What a client names by a descriptor is its own: the
//! engine sees to that. This layer parses paths and dereferences nothing else; it must never let an operation with a path
//! pass whose meaning could change between being judged and being done.
//!
//! # What a path means
//!
//! - A relative path starts at the root where it would start at the working directory (no directory, or 0), otherwise at the
//!   client's directory. An absolute path starts at the root: `/a/b` and `a/b` are the same, and `/` is the root itself.
//! - No step of the resolution leaves the directory the path starts from: a `..` above it, and a symbolic link that
//!   leads out or is absolute, are EXDEV, and links of the kind `/proc` has are ELOOP. A directory that a client has open is
//!   such a start too, and stays one wherever it is moved.
//! - No path where a verb takes none, and no directory, mean the root.
//! - The target of a SYMLINK is stored as it is. It only matters to who follows it.
//! - What is mounted beneath the root is beneath it, and so is a device or FIFO that lies there.
//!
//! # How it is done
//!
//! An OPEN is handed on with BENEATH. A verb on one name that it does not follow is handed on as it is, from its directory.
//! For every other one the file, or the parent directory of the name, is first opened as a name (PATH), beneath the start; the
//! verb is done on that; then it is closed. So there is no time at which a path that was judged can come to mean something
//! else. These steps are operations of the backend below with tokens of the layer's own; they use indices of its table that
//! the engine does not know, one for each path. While none is free, operations that need one wait.
//!
//! A client may change names while they are resolved; the kernel then says EAGAIN where there was a `..`. Such steps are
//! repeated, up to a bound. An OPEN through a symbolic link with a `..` in it may end with EAGAIN, and can be asked
//! for again.
//!
//! # What it does not see to
//!
//! Unix sockets are bound and connected to by paths in an address, which start where the service is: BIND and CONNECT
//! are confined by the [`VerbSet`](crate::VerbSet) alone, and so are numbers of processes (WAIT), owners (CHOWN) and
//! descriptors that come with messages (RECVMSG); devices (MKNOD) by [`Rights::devices`]. [`Rights::files`] has none of these but CHOWN.

mod job;
mod plan;
mod text;

use core::fmt;
use core::ops::Range;
use std::collections::VecDeque;

use ouzel_engine::{Backend, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel_ring::{Errno, Verb};

use self::job::{Job, NONE};
use self::plan::{Plan, plan};
use crate::rights::Rights;

/// The most operations that are resolved at a time.
const MOST_JOBS: usize = 1024;

/// How long a step for which the backend below has no room is put off at least, in nanoseconds.
const PAUSE: u64 = 1_000_000;

const REFUSED: Way = Way { place: Place::Engine, reason: "the service does not allow it" };

/// What became of a job that was moved on.
enum Moved {
    /// It is over.
    Over(Outcome, Way),
    /// A step is with the backend below.
    Taken(Way),
    /// The backend below has no room for the next step.
    Busy,
}

/// A backend that keeps what it is given beneath a directory and within rights. See the [module](self).
pub struct Confine<B> {
    inner: B,
    rights: Rights,
    root: Option<u32>,
    jobs: Vec<Job>,
    /// Jobs that are not in use.
    idle: Vec<u32>,
    /// Indices for what is opened that are not in use.
    free: Vec<u32>,
    /// How many of those there are in all.
    indices: usize,
    /// Jobs for whose next step there was no room.
    stalled: VecDeque<u32>,
    ready: VecDeque<Report>,
    run: Vec<Step>,
    /// Steps were started that no wait has sent on their way.
    unsubmitted: bool,
    /// What was last said by [`may_block`](Backend::may_block).
    awaited: bool,
}

impl<B: Backend> Confine<B> {
    /// Keeps what is given to `inner` within `rights`, and beneath the directory that is open at the index `root` of its
    /// table, maybe only as a name.
    ///
    /// The layer puts things of its own at the indices `private`: as many paths can be resolved at a time, and RENAME and
    /// LINK need two. `root` and `private` must lie inside the table of `inner` and outside of what the engine gives out (its
    /// limit of descriptors). Without a root nothing is confined, and rights are all that is looked at.
    pub fn new(inner: B, root: Option<u32>, private: Range<u32>, rights: Rights) -> Confine<B> {
        let places = private.filter(|index| Some(*index) != root && root.is_some());
        let free: Vec<u32> = places.take(2 * MOST_JOBS).collect();
        let jobs = free.len().min(MOST_JOBS);
        Confine {
            rights,
            root,
            jobs: (0..jobs).map(|_| Job::new()).collect(),
            idle: (0..jobs as u32).rev().collect(),
            indices: free.len(),
            free,
            stalled: VecDeque::with_capacity(jobs),
            ready: VecDeque::with_capacity(jobs),
            run: Vec::with_capacity(inner.longest_run()),
            inner,
            unsubmitted: false,
            awaited: false,
        }
    }

    /// What the client may do.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The backend below.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// The backend below; what is started on it directly must not be waited for here.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// The backend below, and nothing else. Steps of this layer's that are under way there will be reported to nobody.
    pub fn into_inner(self) -> B {
        self.inner
    }

    /// Paths that are being resolved.
    pub fn resolving(&self) -> usize {
        self.jobs.len() - self.idle.len()
    }

    /// Slots of tokens below this are the layer's own; the engine's lie above them.
    #[inline]
    fn own(&self) -> u32 {
        self.jobs.len() as u32
    }

    /// What the engine's token is called below.
    #[inline]
    fn below(&self, token: Token) -> Token {
        Token { slot: token.slot.wrapping_add(self.own()), ..token }
    }

    /// Where what is opened next will be put, as far as there is room.
    fn places(&self) -> [u32; 2] {
        let mut last = self.free.iter().rev().copied();
        [last.next().unwrap_or(NONE), last.next().unwrap_or(NONE)]
    }

    /// What is to be done in place of an operation.
    #[inline]
    fn plan(&self, operation: &Operation) -> Result<Plan, Errno> {
        self.rights.check(operation)?;
        let Some(root) = self.root else { return Ok(Plan::direct(*operation)) };
        let mut plan = plan(operation, root, self.places())?;
        // Without a job it is asked for once.
        plan.again &= !self.jobs.is_empty();
        Ok(plan)
    }

    /// Starts an operation that takes several steps.
    fn begin(&mut self, step: &Step, plan: &Plan) -> Started {
        let openings = plan.openings();
        if openings > self.indices {
            let reason = "the service has no indices to resolve its paths with";
            let outcome = Outcome::failure(Errno::EMFILE);
            return Started::Finished { outcome, way: Way { place: Place::Engine, reason } };
        }
        if openings > self.free.len() {
            return Started::Busy;
        }
        let Some(slot) = self.idle.pop() else { return Started::Busy };
        let mut places = [NONE; 2];
        for place in &mut places[..openings] {
            // In the order in which the plan has them.
            *place = self.free.pop().unwrap_or(NONE);
        }
        self.jobs[slot as usize].begin(step, plan, places);
        match self.advance(slot) {
            Moved::Over(outcome, way) => {
                self.end(slot);
                Started::Finished { outcome, way }
            }
            Moved::Taken(way) => Started::Taken { count: 1, way },
            Moved::Busy if self.jobs[slot as usize].is_untouched() => {
                self.end(slot);
                Started::Busy
            }
            Moved::Busy => {
                self.stalled.push_back(slot);
                let reason = "there is no room for the rest yet";
                Started::Taken { count: 1, way: Way { place: Place::Engine, reason } }
            }
        }
    }

    /// Takes the steps of a job, as long as each is over at once.
    fn advance(&mut self, slot: u32) -> Moved {
        let mut last = Way { place: Place::Engine, reason: "" };
        loop {
            let job = &mut self.jobs[slot as usize];
            let Some(step) = job.next(slot) else { return Moved::Over(job.outcome(), last) };
            match self.inner.start(core::slice::from_ref(&step)) {
                Started::Taken { way, .. } => {
                    job.run();
                    return Moved::Taken(way);
                }
                Started::Finished { outcome, way } => {
                    job.settle(outcome);
                    last = way;
                }
                Started::Busy => {
                    job.put_back();
                    return Moved::Busy;
                }
            }
        }
    }

    /// There is room for another job in place of this one.
    fn end(&mut self, slot: u32) {
        let job = &mut self.jobs[slot as usize];
        // Last first, so that they are given out in the same order again.
        self.free.extend(job.places().into_iter().rev().filter(|index| *index != NONE));
        job.end();
        self.idle.push(slot);
    }

    /// Moves a job on that nobody is calling about.
    fn go_on(&mut self, slot: u32) {
        let Some(token) = self.jobs[slot as usize].token() else { return };
        // It is not what whoever entered waits for next, for all that is known here.
        let awaited = self.awaited;
        if awaited {
            self.inner.may_block(false);
        }
        match self.advance(slot) {
            Moved::Over(outcome, _) => {
                self.end(slot);
                self.ready.push_back(Report { token, outcome, more: false });
            }
            Moved::Taken(_) => self.unsubmitted = true,
            Moved::Busy => self.stalled.push_back(slot),
        }
        if awaited {
            self.inner.may_block(true);
        }
    }

    /// A step of the layer's own is over.
    #[cold]
    fn settle(&mut self, report: &Report) {
        let Token { slot, generation } = report.token;
        let Some(job) = self.jobs.get_mut(slot as usize) else { return };
        if job.running() == Some(generation) && !report.more {
            job.settle(report.outcome);
            self.go_on(slot);
        }
    }

    /// The next report from below that is not of one of the layer's own steps.
    #[inline]
    fn next_of_others(&mut self) -> Option<Report> {
        loop {
            let mut report = self.inner.next()?;
            match report.token.slot.checked_sub(self.own()) {
                Some(slot) => {
                    report.token.slot = slot;
                    return Some(report);
                }
                None => self.settle(&report),
            }
        }
    }

    /// Tries the jobs again for which there was no room.
    fn retry(&mut self) {
        for _ in 0..self.stalled.len() {
            if let Some(slot) = self.stalled.pop_front() {
                self.go_on(slot);
            }
        }
    }

    /// Takes in all there is, and sends on its way what that lets go on.
    fn drain(&mut self) -> Result<(), Errno> {
        loop {
            while let Some(report) = self.next_of_others() {
                self.ready.push_back(report);
            }
            if !self.unsubmitted {
                return Ok(());
            }
            self.unsubmitted = false;
            self.inner.wait(0, None)?;
        }
    }
}

impl<B: Backend> Backend for Confine<B> {
    fn now(&self) -> u64 {
        self.inner.now()
    }

    fn longest_run(&self) -> usize {
        self.inner.longest_run()
    }

    fn expect(&mut self, chains: u32) {
        self.inner.expect(chains);
    }

    fn prefers_at_once(&mut self, entries: u32) -> bool {
        self.inner.prefers_at_once(entries)
    }

    fn prefers_chain_at_once(&mut self, first: Verb, second: Option<Verb>) -> bool {
        self.inner.prefers_chain_at_once(first, second)
    }

    #[inline]
    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        match self.plan(operation) {
            Ok(plan) if plan.is_direct() => self.inner.do_at_once(&plan.operation),
            Ok(_) => None,
            Err(error) => Some(Outcome::failure(error)),
        }
    }

    fn may_block(&mut self, may: bool) {
        self.awaited = may;
        self.inner.may_block(may);
    }

    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        let (Ok(previous), Ok(next)) = (self.plan(previous), self.plan(next)) else { return false };
        let direct = previous.is_direct() && next.is_direct();
        direct && self.inner.follows(&previous.operation, edge, &next.operation)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(first) = steps.first() else { return Started::Busy };
        let plan = match self.plan(&first.operation) {
            Ok(plan) => plan,
            Err(error) => return Started::Finished { outcome: Outcome::failure(error), way: REFUSED },
        };
        if !plan.is_direct() {
            return self.begin(first, &plan);
        }
        let token = self.below(first.token);
        self.run.clear();
        self.run.push(Step { token, operation: plan.operation, ..*first });
        for step in &steps[1..] {
            match self.plan(&step.operation) {
                Ok(plan) if plan.is_direct() => {
                    let token = self.below(step.token);
                    self.run.push(Step { token, operation: plan.operation, ..*step });
                }
                // Refused or resolved when its turn comes.
                _ => break,
            }
        }
        self.inner.start(&self.run)
    }

    fn cancel(&mut self, token: Token) {
        let is_job = |job: &Job| job.token() == Some(token);
        let found = if self.resolving() > 0 { self.jobs.iter().position(is_job) } else { None };
        let Some(slot) = found else {
            let token = self.below(token);
            return self.inner.cancel(token);
        };
        if let Some(generation) = self.jobs[slot].cancel() {
            self.inner.cancel(Token { slot: slot as u32, generation });
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        if self.resolving() == 0 && self.ready.is_empty() {
            return self.inner.wait(want, until);
        }
        let mut until = until;
        if !self.stalled.is_empty() {
            // What has no room may need no more than that others are sent on their way.
            self.inner.wait(0, None)?;
            self.drain()?;
            self.retry();
            self.drain()?;
            if !self.stalled.is_empty() {
                let pause = self.inner.now().saturating_add(PAUSE);
                until = Some(until.map_or(pause, |until| until.min(pause)));
            }
        }
        let missing = want.saturating_sub(u32::try_from(self.ready.len()).unwrap_or(u32::MAX));
        // The end of a step has to be looked at: what is wanted may lie behind it.
        let missing = if self.resolving() > 0 { missing.min(1) } else { missing };
        self.inner.wait(missing, until)?;
        self.drain()?;
        self.retry();
        self.drain()
    }

    #[inline]
    fn next(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.ready.pop_front() {
                return Some(report);
            }
            if let Some(report) = self.next_of_others() {
                // What was ready meanwhile came later.
                return Some(report);
            }
            if self.ready.is_empty() && !self.unsubmitted {
                return None;
            }
            if std::mem::take(&mut self.unsubmitted) && self.inner.wait(0, None).is_err() {
                // The next wait meets it too, and can say so.
                return self.ready.pop_front();
            }
        }
    }

    fn attach(&mut self, handle: u64, index: u32) {
        self.inner.attach(handle, index);
    }

    fn discard(&mut self, handle: u64) {
        self.inner.discard(handle);
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }
}

impl<B: crate::Host> crate::Host for Confine<B> {
    fn readiness(&mut self) -> Result<Option<std::os::fd::OwnedFd>, Errno> {
        self.inner.readiness()
    }
}

impl<B: fmt::Debug> fmt::Debug for Confine<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Confine")
            .field("inner", &self.inner)
            .field("rights", &self.rights)
            .field("root", &self.root)
            .field("resolving", &(self.jobs.len() - self.idle.len()))
            .finish_non_exhaustive()
    }
}

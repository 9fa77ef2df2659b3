//! A backend that watches another one: it counts what is in flight, sees every error the kernel answers with, and can keep
//! reports to itself for as long as a test likes, as a kernel may that has not looked at an operation yet.
//!
//! It changes no operation and touches no memory; what it keeps back it hands on in order.

use std::collections::{HashSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ouzel::Bell;
use ouzel::abi::{Errno, Verb};
use ouzel::backend::HostBackend;
use ouzel::backend::sim::SimProcess;
use ouzel::engine::{Backend, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way};

/// How long reports are kept back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gate {
    Open,
    /// Until it is opened.
    Closed,
    /// For so many waits of the ring.
    Waits(u32),
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    /// What is started now has its reports kept back.
    catching: bool,
    caught: HashSet<Token>,
    held: VecDeque<Report>,
    ready: VecDeque<Report>,
    in_flight: usize,
    faults: u64,
}

/// What a test sees of a watched backend.
#[derive(Clone)]
pub struct Watching(Arc<Mutex<Inner>>);

impl Watching {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations that the backend has and has not reported.
    pub fn in_flight(&self) -> usize {
        self.inner().in_flight
    }

    /// Operations that ended with EFAULT: the kernel met memory that had been given back.
    pub fn faults(&self) -> u64 {
        self.inner().faults
    }

    /// Keeps back the reports of what is started from now on, until [`let_go`](Watching::let_go).
    pub fn catch(&self) {
        let mut inner = self.inner();
        inner.gate = Gate::Closed;
        inner.catching = true;
    }

    /// What is started from now on is not kept back.
    pub fn catch_no_more(&self) {
        self.inner().catching = false;
    }

    /// Whether something is kept back, or will be.
    pub fn has_caught(&self) -> bool {
        !self.inner().caught.is_empty()
    }

    /// Hands on what was kept back, now or later.
    pub fn let_go(&self, gate: Gate) {
        let mut inner = self.inner();
        inner.catching = false;
        inner.gate = gate;
        inner.flow();
    }
}

impl Inner {
    fn flow(&mut self) {
        if self.gate == Gate::Open {
            self.ready.append(&mut self.held);
        }
    }

    fn see(&mut self, outcome: &Outcome) {
        self.faults += u64::from(matches!(outcome, Outcome::Done { error: Errno::EFAULT, .. }));
    }

    fn receive(&mut self, report: Report) {
        self.see(&report.outcome);
        if self.gate != Gate::Open && self.caught.contains(&report.token) {
            self.held.push_back(report);
        } else {
            self.ready.push_back(report);
        }
    }
}

/// The watched backend.
pub struct Watch {
    below: Box<dyn HostBackend>,
    seen: Watching,
}

impl Watch {
    pub fn over(below: Box<dyn HostBackend>) -> (Watch, Watching) {
        let seen = Watching(Arc::new(Mutex::new(Inner {
            gate: Gate::Open,
            catching: false,
            caught: HashSet::new(),
            held: VecDeque::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            faults: 0,
        })));
        (Watch { below, seen: seen.clone() }, seen)
    }

    fn drain(&mut self) {
        while let Some(report) = self.below.next() {
            self.seen.inner().receive(report);
        }
    }
}

impl Backend for Watch {
    fn now(&self) -> u64 {
        self.below.now()
    }

    fn longest_run(&self) -> usize {
        self.below.longest_run()
    }

    fn expect(&mut self, chains: u32) {
        self.below.expect(chains);
    }

    fn prefers_at_once(&mut self, entries: u32) -> bool {
        !self.seen.inner().catching && self.below.prefers_at_once(entries)
    }

    fn prefers_chain_at_once(&mut self, first: Verb, second: Option<Verb>) -> bool {
        !self.seen.inner().catching && self.below.prefers_chain_at_once(first, second)
    }

    fn do_at_once(&mut self, operation: &Operation, awaited: bool) -> Option<Outcome> {
        if self.seen.inner().catching {
            return None;
        }
        let outcome = self.below.do_at_once(operation, awaited)?;
        self.seen.inner().see(&outcome);
        Some(outcome)
    }

    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        self.below.follows(previous, edge, next)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let started = self.below.start(steps);
        let mut inner = self.seen.inner();
        match started {
            Started::Taken { count, .. } => {
                inner.in_flight += count;
                if inner.catching {
                    inner.caught.extend(steps[..count].iter().map(|step| step.token));
                }
                started
            }
            Started::Finished { outcome, way } if inner.catching => {
                // It looks as though a kernel had it.
                let token = steps[0].token;
                inner.in_flight += 1;
                inner.caught.insert(token);
                inner.receive(Report { token, outcome, more: false });
                Started::Taken { count: 1, way: Way { place: Place::Kernel, ..way } }
            }
            Started::Finished { outcome, .. } => {
                inner.see(&outcome);
                started
            }
            Started::Busy => started,
        }
    }

    fn cancel(&mut self, token: Token) {
        self.below.cancel(token);
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.drain();
        let (mut ready, mut counts) = (0, false);
        {
            let mut inner = self.seen.inner();
            if let Gate::Waits(left) = inner.gate {
                inner.gate = if left == 0 { Gate::Open } else { Gate::Waits(left - 1) };
                inner.flow();
                counts = !inner.caught.is_empty();
            }
            ready += inner.ready.len() as u32;
        }
        // While waits count there will be more of them.
        let missing = if counts { 0 } else { want.saturating_sub(ready) };
        self.below.wait(missing, until)?;
        self.drain();
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.drain();
        let mut inner = self.seen.inner();
        let report = inner.ready.pop_front()?;
        if !report.more {
            inner.in_flight -= 1;
            inner.caught.remove(&report.token);
        }
        Some(report)
    }

    fn attach(&mut self, handle: u64, index: u32) {
        self.below.attach(handle, index);
    }

    fn discard(&mut self, handle: u64) {
        self.below.discard(handle);
    }

    fn counters(&self) -> Counters {
        self.below.counters()
    }
}

// SAFETY: every report is the watched backend's, which has promised; it is only handed on later.
unsafe impl HostBackend for Watch {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        self.below.adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        self.below.release(index)
    }

    fn make_bell(&mut self) -> Result<Bell, Errno> {
        self.below.make_bell()
    }

    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        self.below.adopt_bell(index, bell)
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        self.below.readiness()
    }

    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        self.below.adopt_process(index, number)
    }

    fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Errno> {
        self.below.simulate_process(process)
    }
}

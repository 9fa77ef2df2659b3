//! Faults on purpose: a backend that wraps another and makes it worse, as a seed or a plan says.
//!
//! It shortens transfers, answers with errors instead of asking, holds reports back, and lets cancels come late. What it
//! does to an operation is decided once, when the operation is first to be started, and by the operation alone; so one
//! plan gives the same faults over any backend. It keeps the rules of [`Backend`]: each step taken is reported once, a
//! run in its order, and nothing is held back for ever. It reads the pieces of a transfer to shorten
//! it, and touches no buffer.

mod options;

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;

use ouzel_engine::{
    Backend, Buffers, Counters, Edge, Operation, Outcome, Place, Report, Span, Started, Step, Token, Way,
};
use ouzel_pool::Pool;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::MessageFlags;
use rustix::event::EventfdFlags;

pub use options::{FaultOptions, Injection};

use super::sim::SimProcess;
use super::{HostBackend, memory};
use crate::{Bell, BufferGroup, RegisteredMemory};

/// Decides what happens to an operation; asked once for each.
pub type Decide = Box<dyn FnMut(&Step) -> Injection + Send>;

const WAY: Way = Way { place: Place::Engine, reason: "an injected fault" };

/// What is known of a step that was decided on.
#[derive(Debug)]
struct Known {
    generation: u32,
    injection: Injection,
    /// It is with the backend below: the run it is in.
    run: Option<u64>,
}

/// A report that is held back.
#[derive(Debug)]
struct Held {
    run: u64,
    report: Report,
    /// Calls of `wait` to sit out.
    waits: u32,
    /// Reports to let pass first.
    pass: u32,
}

/// A cancel that is held back.
#[derive(Debug)]
struct Late {
    token: Token,
    /// Calls of `wait` to sit out.
    waits: u32,
}

/// A backend that injects faults into the one it wraps. See the [module](self).
pub struct Fault<B> {
    inner: B,
    decide: Decide,
    runs: bool,
    /// By slot: what was decided for the step that has it.
    known: BTreeMap<u32, Known>,
    next_run: u64,
    outstanding: usize,
    held: VecDeque<Held>,
    late: Vec<Late>,
    ready: VecDeque<Report>,
    injected: u64,
    /// What tells those who wait elsewhere, once somebody has asked for it.
    bell: Option<OwnedFd>,
}

impl<B: Backend> Fault<B> {
    /// Wraps `inner`; `decide` is asked once for each operation, in the order in which they are first to be started.
    ///
    /// Runs are handed on as they come, so `decide` may be asked of steps that a broken run then never starts. A
    /// `decide` that counts should be used with [`Fault::without_runs`].
    pub fn new(inner: B, decide: Decide) -> Fault<B> {
        Fault {
            inner,
            decide,
            runs: true,
            known: BTreeMap::new(),
            next_run: 0,
            outstanding: 0,
            held: VecDeque::new(),
            late: Vec::new(),
            ready: VecDeque::new(),
            injected: 0,
            bell: None,
        }
    }

    /// Wraps `inner` with faults that a seed decides.
    pub fn seeded(inner: B, options: FaultOptions) -> Fault<B> {
        let runs = options.runs;
        let fault = Fault::new(inner, options.into_decide());
        if runs { fault } else { fault.without_runs() }
    }

    /// Wraps `inner` with the faults of a plan: what happens to the n-th operation, counted from 0. There are no runs, so
    /// that the numbers are the same over any backend.
    pub fn planned(inner: B, plan: impl IntoIterator<Item = (u64, Injection)>) -> Fault<B> {
        let mut plan: BTreeMap<u64, Injection> = plan.into_iter().collect();
        let mut count = 0;
        let decide = move |_: &Step| {
            let injection = plan.remove(&count).unwrap_or_default();
            count += 1;
            injection
        };
        Fault::new(inner, Box::new(decide)).without_runs()
    }

    /// Takes operations one at a time, so that they are decided on in the order in which they start.
    pub fn without_runs(mut self) -> Fault<B> {
        self.runs = false;
        self
    }

    /// The backend below.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// The backend below; what is started on it directly must not be waited for here.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// How many operations a fault was decided for so far.
    pub fn injected(&self) -> u64 {
        self.injected
    }

    /// What happens to this step: decided now, or remembered from when it was first to be started.
    fn injection(&mut self, step: &Step) -> Injection {
        if let Some(known) = self.known.get(&step.token.slot)
            && known.generation == step.token.generation
        {
            return known.injection;
        }
        let injection = sensible((self.decide)(step), &step.operation);
        self.injected += u64::from(injection != Injection::default());
        let known = Known { generation: step.token.generation, injection, run: None };
        self.known.insert(step.token.slot, known);
        injection
    }

    fn known(&mut self, token: Token) -> Option<&mut Known> {
        self.known.get_mut(&token.slot).filter(|known| known.generation == token.generation)
    }

    /// Takes a report from below, changes it as was decided, and holds it back if need be.
    fn receive(&mut self, mut report: Report) {
        let Some(known) = self.known(report.token) else {
            self.ready.push_back(report);
            return;
        };
        let (injection, run) = (known.injection, known.run.unwrap_or_default());
        if !report.more {
            self.outstanding = self.outstanding.saturating_sub(1);
            self.late.retain(|late| late.token != report.token);
            if report.outcome == Outcome::NotRun {
                // It is started again, with what was decided for it, or never.
                if let Some(known) = self.known(report.token) {
                    known.run = None;
                }
            } else {
                self.known.remove(&report.token.slot);
                if let (Some(error), Outcome::Done { .. }) = (injection.error, report.outcome) {
                    // Only closes get here with an error: they do happen, and report it all the same.
                    report.outcome = Outcome::failure(error);
                }
            }
        }
        let behind = self.held.iter().any(|held| held.run == run);
        let not_run = report.outcome == Outcome::NotRun;
        let (waits, pass) = if not_run { (0, 0) } else { (injection.hold_waits, injection.hold_reports) };
        if behind || waits > 0 || pass > 0 {
            self.held.push_back(Held { run, report, waits, pass });
        } else {
            self.let_pass(report);
        }
    }

    /// Makes a report available, which those that wait for reports to pass take note of.
    fn let_pass(&mut self, report: Report) {
        self.ready.push_back(report);
        for held in &mut self.held {
            held.pass = held.pass.saturating_sub(1);
        }
    }

    /// Has those who wait elsewhere come back as long as there is something for them, or to be held back for them.
    fn ring(&self) {
        if let Some(bell) = &self.bell
            && !(self.ready.is_empty() && self.held.is_empty() && self.late.is_empty())
        {
            // It fails only if the counter is full, and then it has rung.
            let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
        }
    }

    /// Takes in all that the backend below has.
    fn drain(&mut self) {
        while let Some(report) = self.inner.next() {
            self.receive(report);
        }
        self.release();
    }

    /// Lets go of what has been held long enough, but nothing before what its run has reported earlier.
    fn release(&mut self) {
        loop {
            let due = (0..self.held.len()).find(|at| {
                let held = &self.held[*at];
                let first = self.held.iter().position(|other| other.run == held.run) == Some(*at);
                first && held.waits == 0 && held.pass == 0
            });
            let Some(held) = due.and_then(|at| self.held.remove(at)) else { return };
            self.let_pass(held.report);
        }
    }

    /// A call of `wait` has come: what is held back is one nearer to its end.
    fn count_wait(&mut self) {
        for held in &mut self.held {
            held.waits = held.waits.saturating_sub(1);
        }
        for at in (0..self.late.len()).rev() {
            self.late[at].waits = self.late[at].waits.saturating_sub(1);
            if self.late[at].waits == 0 {
                let late = self.late.remove(at);
                self.inner.cancel(late.token);
            }
        }
    }
}

impl<B: Backend> Backend for Fault<B> {
    fn now(&self) -> u64 {
        self.inner.now()
    }

    fn longest_run(&self) -> usize {
        if self.runs { self.inner.longest_run() } else { 1 }
    }

    fn expect(&mut self, chains: u32) {
        self.inner.expect(chains);
    }

    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        self.runs && self.inner.follows(previous, edge, next)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(first) = steps.first() else { return Started::Busy };
        let injection = self.injection(first);
        if injection.busy && self.outstanding > 0 {
            if let Some(known) = self.known(first.token) {
                known.injection.busy = false;
            }
            return Started::Busy;
        }
        self.next_run += 1;
        let run = self.next_run;
        if let Some(error) = injection.error
            && !matches!(first.operation, Operation::Close { .. })
        {
            // Answered here; the backend below is never asked.
            if let Some(known) = self.known(first.token) {
                known.run = Some(run);
                known.injection.error = None;
            }
            self.outstanding += 1;
            let outcome = Outcome::failure(error);
            self.receive(Report { token: first.token, outcome, more: false });
            self.ring();
            return Started::Taken { count: 1, way: WAY };
        }
        let mut changed = vec![Step { operation: shortened(first.operation, injection), ..*first }];
        if injection.shorten.is_none() && self.runs {
            for step in &steps[1..] {
                // What needs a fault starts a run of its own, where it is simple to do.
                if self.injection(step) != Injection::default() {
                    break;
                }
                changed.push(*step);
            }
        }
        match self.inner.start(&changed) {
            Started::Taken { count, way } => {
                for step in &changed[..count] {
                    self.outstanding += 1;
                    if let Some(known) = self.known(step.token) {
                        known.run = Some(run);
                    }
                }
                Started::Taken { count, way }
            }
            Started::Finished { outcome, way } => {
                let held = injection.hold_waits > 0 || injection.hold_reports > 0;
                if !held && injection.error.is_none() {
                    self.known.remove(&first.token.slot);
                    return Started::Finished { outcome, way };
                }
                if let Some(known) = self.known(first.token) {
                    known.run = Some(run);
                }
                self.outstanding += 1;
                self.receive(Report { token: first.token, outcome, more: false });
                self.ring();
                Started::Taken { count: 1, way }
            }
            Started::Busy => Started::Busy,
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some(known) = self.known(token) else {
            // Over, or held back: the cancel has lost.
            return self.inner.cancel(token);
        };
        let injection = known.injection;
        if injection.lose_cancel {
            return;
        }
        if injection.late_cancel == 0 {
            self.inner.cancel(token);
        } else if self.late.iter().all(|late| late.token != token) {
            self.late.push(Late { token, waits: injection.late_cancel });
            self.ring();
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        self.count_wait();
        self.drain();
        let missing = (want as usize).saturating_sub(self.ready.len()) as u32;
        let holding = !self.held.is_empty() || !self.late.is_empty();
        // With something held back there is always something to come: see to what was started, and be asked again.
        let missing = if holding { 0 } else { missing };
        self.inner.wait(missing, until)?;
        self.drain();
        if self.ready.is_empty() {
            // Nothing else came that could pass; what waits for others does not wait for ever.
            for held in &mut self.held {
                held.pass = held.pass.saturating_sub(1);
            }
            self.release();
        }
        self.ring();
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.drain();
        self.ready.pop_front()
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

impl<B: ouzel_scheme::Host> ouzel_scheme::Host for Fault<B> {
    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let bell = match self.inner.readiness()? {
            Some(bell) => bell,
            None => rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| Errno::from_raw(errno.raw_os_error()))?,
        };
        self.bell = Some(bell.try_clone().map_err(|_| Errno::EMFILE)?);
        Ok(Some(bell))
    }
}

// SAFETY: what is injected has a result of 0, and a shortened transfer reports what the wrapped backend moved; all else is
// the wrapped backend's, which has promised.
unsafe impl<B: HostBackend> HostBackend for Fault<B> {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        self.inner.adopt(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        self.inner.release(index)
    }

    fn make_bell(&mut self) -> Result<Bell, Errno> {
        self.inner.make_bell()
    }

    fn adopt_bell(&mut self, index: u32, bell: &Bell) -> Result<(), Errno> {
        self.inner.adopt_bell(index, bell)
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let bell = self.inner.readiness()?;
        let own = bell.as_ref().map(OwnedFd::try_clone).transpose();
        self.bell = own.map_err(|_| Errno::EMFILE)?;
        self.ring();
        Ok(bell)
    }

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        self.inner.add_group(group)
    }

    fn register_pool(&mut self, pool: &Pool) {
        self.inner.register_pool(pool);
    }

    fn follow_pools(&mut self) {
        self.inner.follow_pools();
    }

    fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.inner.registered_memory()
    }

    fn remove_group(&mut self, group: u16) {
        self.inner.remove_group(group);
    }

    fn adopt_process(&mut self, index: u32, number: i32) -> Result<(), Errno> {
        self.inner.adopt_process(index, number)
    }

    fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Errno> {
        self.inner.simulate_process(process)
    }
}

impl<B: fmt::Debug> fmt::Debug for Fault<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fault")
            .field("inner", &self.inner)
            .field("injected", &self.injected)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

/// Leaves out what makes no sense for the operation: a success as an error, shortening where nothing can be short.
fn sensible(mut injection: Injection, operation: &Operation) -> Injection {
    if injection.error.is_some_and(Errno::is_ok) {
        injection.error = None;
    }
    let whole = match operation {
        Operation::Read { buffers, .. } | Operation::Write { buffers, .. } => match buffers {
            Buffers::One(span) => span.length > 1,
            Buffers::Many { count, .. } => *count > 0,
        },
        Operation::Send { buffer, flags, .. } | Operation::Recv { buffer, flags, .. } => {
            buffer.length > 1 && !flags.contains(MessageFlags::WAIT_ALL)
        }
        _ => false,
    };
    if !whole {
        injection.shorten = None;
    }
    injection
}

/// The operation, with a shorter buffer if that was decided.
fn shortened(mut operation: Operation, injection: Injection) -> Operation {
    let Some(most) = injection.shorten else { return operation };
    let cut = |span: &mut Span| span.length = span.length.min(most.max(1) as usize);
    match &mut operation {
        Operation::Read { buffers, .. } | Operation::Write { buffers, .. } => match buffers {
            Buffers::One(span) => cut(span),
            // Of several pieces the first that has bytes; their array is not ours to change.
            Buffers::Many { .. } => {
                if let Some(mut span) = memory::pieces(buffers).into_iter().find(|span| span.length > 0) {
                    cut(&mut span);
                    *buffers = Buffers::One(span);
                }
            }
        },
        Operation::Send { buffer, .. } | Operation::Recv { buffer, .. } => cut(buffer),
        _ => {}
    }
    operation
}

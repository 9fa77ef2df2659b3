//! The core of an executor: its ring, its tasks, and what they wait for. The turn of its loop, and its end, lie beside it.
//!
//! Each part is borrowed for as long as it takes to change it and never while something of the user's runs: futures, their
//! drops, wakers and hooks may call anything here, whenever they like.

mod end;
mod requests;
mod turn;
mod watched;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use ouzel_chain::ring::not_run;
use ouzel_engine::EnterError;
use ouzel_ring::{Completion, Descriptor};

use self::watched::Watched;
use super::block::Task;
use super::job::Far;
use super::join::JoinHandle;
use super::metrics::{Meter, Metrics};
use super::operations::{Ending, Operations, Owner, State};
use super::request::Requests;
use super::tasks::Owned;
use super::timers::Timers;
use super::waker::{Inbox, Running, Shared, Wakee, place_of};
use crate::chain::Chain;
use crate::chain::Done;
use crate::error::Error;
use crate::ring::{Offered, Rejected, Ring, Ticket};
use crate::select::BackendKind;
use crate::{Bell, Picked};

/// Chains kept to be built into again, unless the ring can have more in flight: then as many as that.
const SPARES: usize = 1024;

/// Takes a result that came too late, or gives it back to be dropped as usual.
pub(super) type OnLate = Box<dyn FnMut(Done) -> Option<Done>>;

/// How the executor hears its bell.
enum Hearing {
    /// The ring does.
    InRing(Descriptor),
    /// The ring's engine is in another process, so whoever waits for the ring waits for this, too.
    BesideRing,
}

pub(crate) struct Core {
    /// `None` once the executor is gone.
    ring: RefCell<Option<Ring>>,
    operations: RefCell<Operations>,
    tasks: Owned,
    timers: RefCell<Timers>,
    /// Results that came after their futures had been dropped.
    late: RefCell<VecDeque<Done>>,
    on_late: RefCell<Option<OnLate>>,
    spares: RefCell<Vec<Chain>>,
    /// How many of them are kept.
    most_spares: usize,
    shared: Arc<Shared>,
    /// What it shares with those who send chains.
    far: Arc<Far>,
    asked: requests::Asked,
    /// Where the inbox is emptied into.
    received: RefCell<Inbox>,
    /// Where cancels are put into order.
    cancels: RefCell<Vec<Ticket>>,
    /// `None` once the executor is gone.
    bell: RefCell<Option<Bell>>,
    hearing: Hearing,
    /// The ring has to be made to hear the bell (again).
    deaf: Cell<bool>,
    /// The ring has to be entered although no future waits for it.
    must_enter: Cell<bool>,
    /// Chains in flight that no future waits for: those given up, and those that close something.
    unowned: Cell<usize>,
    /// The executor is being dropped.
    closed: Cell<bool>,
    /// What tells those who wait elsewhere that there is something to do, once somebody has asked for it.
    watched: RefCell<Option<Watched>>,
    /// Time passes only when the ring is entered.
    simulated: bool,
    pub(super) meter: Meter,
}

impl Core {
    pub(super) fn new(mut ring: Ring, on_late: Option<OnLate>) -> Result<Rc<Core>, Error> {
        let (bell, hearing) = if ring.backend().backend == BackendKind::Scheme {
            let bell = Bell::event().map_err(|errno| Error::Refused { call: "bell", errno })?;
            (bell, Hearing::BesideRing)
        } else {
            let bell = ring.bell()?;
            let adopted = ring.adopt_bell(&bell)?;
            (bell, Hearing::InRing(adopted))
        };
        ring.prepare_for_executor()?;
        let shared = Arc::new(Shared::new(bell.clone()));
        let most_spares = ring.most_in_flight().max(SPARES);
        let core = Rc::new(Core {
            simulated: ring.backend().backend == BackendKind::Sim,
            ring: RefCell::new(Some(ring)),
            operations: RefCell::default(),
            tasks: Owned::new(&shared),
            timers: RefCell::default(),
            late: RefCell::default(),
            on_late: RefCell::new(on_late),
            spares: RefCell::default(),
            most_spares,
            far: Arc::new(Far { shared: Arc::clone(&shared), requests: Requests::new(most_spares) }),
            asked: requests::Asked::default(),
            shared,
            received: RefCell::default(),
            cancels: RefCell::default(),
            deaf: Cell::new(matches!(hearing, Hearing::InRing(_))),
            hearing,
            must_enter: Cell::new(true),
            watched: RefCell::default(),
            bell: RefCell::new(Some(bell)),
            unowned: Cell::new(0),
            closed: Cell::new(false),
            meter: Meter::default(),
        });
        core.listen()?;
        Ok(core)
    }

    pub(super) fn far(&self) -> &Arc<Far> {
        &self.far
    }

    /// Does something with the ring that runs nothing of the user's.
    pub(super) fn with_ring<T>(&self, act: impl FnOnce(&mut Ring) -> Result<T, Error>) -> Result<T, Error> {
        match &mut *self.ring.borrow_mut() {
            Some(ring) => act(ring),
            None => Err(EnterError::Closed.into()),
        }
    }

    /// Nanoseconds of the ring's clock; `None` once the executor is gone.
    pub(super) fn now(&self) -> Option<u64> {
        self.ring.borrow().as_ref().map(Ring::now)
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.meter.read(self.shared.rung())
    }

    // Tasks.

    pub(super) fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.meter.spawned.add(u64::from(!self.closed.get()));
        self.tasks.spawn(future)
    }

    /// While it lives, this is the executor that runs on this thread.
    pub(super) fn running(&self) -> Running {
        Running::new(self.tasks.tasks())
    }

    /// The task that stands for what `block_on` runs.
    pub(super) fn root(&self) -> Task {
        self.tasks.root()
    }

    pub(super) fn root_waker(&self) -> Waker {
        self.tasks.root_waker()
    }

    pub(super) fn wake_root(&self) {
        self.tasks.wake(self.tasks.root());
    }

    fn is_runnable(&self) -> bool {
        self.tasks.runnable() > 0
    }

    /// The next task that can run.
    pub(super) fn next_task(&self) -> Option<Task> {
        self.tasks.next()
    }

    pub(super) fn runnable(&self) -> usize {
        self.tasks.runnable()
    }

    /// Polls a task that can run, and is not the root.
    pub(super) fn poll_task(&self, task: Task) {
        self.meter.polls.add(1);
        self.tasks.run(task);
    }

    /// The place of the task whose waker this is, if it is one of this executor's.
    fn place_of(&self, waker: &Waker) -> Option<u32> {
        place_of(self.tasks.tasks(), waker)
    }

    fn wakee_of(&self, waker: &Waker) -> Wakee {
        Wakee::of(self.tasks.tasks(), waker)
    }

    fn wake(&self, wakee: Wakee) {
        self.tasks.wake_wakee(wakee);
    }

    // Operations.

    /// A chain to build into.
    #[inline]
    pub(super) fn chain(&self) -> Chain {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps the memory of a chain that is over.
    #[inline]
    pub(super) fn recycle(&self, done: Done) {
        let chain = done.into_chain();
        let mut spares = self.spares.borrow_mut();
        if spares.len() < self.most_spares {
            spares.push(chain);
        }
    }

    /// Takes a chain whose result a future takes, and starts it with the next enter or as soon as there is room. Returns the
    /// number of its operation, for which who has this waker waits from now on; the chain if it will never be run.
    #[inline]
    pub(super) fn begin(&self, chain: Chain, waker: &Waker) -> Result<u32, Box<Rejected>> {
        let wakee = self.wakee_of(waker);
        let number = self.submit(chain, Owner::Future)?;
        // Nobody has waited for it, so this drops nothing of the user's.
        self.operations.borrow_mut().slot(number).wakee = wakee;
        Ok(number)
    }

    /// Takes a chain, and starts it with the next enter or as soon as there is room. Returns the number of its operation.
    #[inline]
    fn submit(&self, chain: Chain, owner: Owner) -> Result<u32, Box<Rejected>> {
        self.meter.submitted.add(1);
        let Some(ring) = &mut *self.ring.borrow_mut() else { return Err(closed(chain)) };
        let operations = &mut *self.operations.borrow_mut();
        let number = operations.claim(owner);
        if !operations.backlog.is_empty() {
            self.put_back(operations, number, chain);
            return Ok(number);
        }
        match ring.offer(chain, number) {
            Offered::Taken(ticket) => operations.runs(number, ticket),
            Offered::Full(chain) => self.put_back(operations, number, chain),
            Offered::Rejected(rejected) => {
                operations.release(number);
                return Err(rejected);
            }
        }
        Ok(number)
    }

    fn put_back(&self, operations: &mut Operations, number: u32, chain: Chain) {
        self.meter.backlogged.add(1);
        operations.slot(number).state = State::Backlogged(chain);
        operations.backlog.push_back(number);
    }

    /// Starts a chain whose result nobody waits for.
    fn submit_detached(&self, chain: Chain) {
        if self.submit(chain, Owner::Detached).is_ok() {
            self.unowned.update(|count| count + 1);
        }
    }

    /// The end of an operation, if it has come; its number is no longer its future's then.
    #[inline]
    pub(super) fn poll_operation(&self, number: u32, waker: &Waker) -> Poll<Ending> {
        let over = self.operations.borrow_mut().take_over(number);
        match over {
            Some((ending, wakee)) => {
                drop(wakee);
                Poll::Ready(ending)
            }
            None => {
                self.wait_for(number, waker);
                Poll::Pending
            }
        }
    }

    /// Who has this waker waits for an operation.
    #[inline]
    fn wait_for(&self, number: u32, waker: &Waker) {
        let place = self.place_of(waker);
        let mut operations = self.operations.borrow_mut();
        let slot = operations.slot(number);
        match (place, &slot.wakee) {
            (Some(place), Wakee::Nobody | Wakee::Task(_)) => slot.wakee = Wakee::Task(place),
            _ if slot.wakee.is(place, waker) => {}
            _ => {
                drop(operations);
                let wakee = self.wakee_of(waker);
                let before = std::mem::replace(&mut self.operations.borrow_mut().slot(number).wakee, wakee);
                drop(before);
            }
        }
    }

    /// The next result of a multishot operation, if there is one.
    pub(super) fn next_result(&self, number: u32) -> Option<Completion> {
        let State::Running(ticket) = self.operations.borrow_mut().slot(number).state else { return None };
        self.ring.borrow_mut().as_mut()?.next_completion(ticket)
    }

    /// The next buffer that a multishot operation has filled, if there is one.
    pub(super) fn next_picked(&self, number: u32) -> Option<Picked> {
        let State::Running(ticket) = self.operations.borrow_mut().slot(number).state else { return None };
        self.ring.borrow_mut().as_mut()?.next_picked_of_first(ticket)
    }

    /// The future of an operation is dropped.
    pub(super) fn abandon(&self, number: u32) {
        let mut operations = self.operations.borrow_mut();
        let slot = operations.slot(number);
        let wakee = std::mem::take(&mut slot.wakee);
        slot.owner = Owner::Dropped;
        let left = match slot.state {
            State::Running(ticket) => {
                self.meter.cancelled.add(1);
                self.unowned.update(|count| count + 1);
                operations.dropped.push(ticket);
                None
            }
            State::Backlogged(_) => Some(std::mem::replace(&mut slot.state, State::Withdrawn)),
            _ => Some(operations.release(number).0),
        };
        drop(operations);
        drop(wakee);
        match left {
            Some(State::Over(Ok(done))) => self.keep_late(done),
            // It has not begun.
            Some(State::Backlogged(chain)) => self.recycle(not_run(chain)),
            _ => {}
        }
    }

    /// Keeps a result for which nobody waits any more, until the next turn.
    pub(super) fn keep_late(&self, done: Done) {
        self.late.borrow_mut().push_back(done);
    }

    // Timers.

    /// Sets a timer for whoever has made `waker`. It is `now`.
    pub(super) fn set_timer(&self, at: u64, now: u64, waker: &Waker) -> u32 {
        let wakee = self.wakee_of(waker);
        self.timers.borrow_mut().add(at, now, wakee)
    }

    /// Whether a timer has fired, and is removed; if not, who waits for it is to be woken.
    pub(super) fn poll_timer(&self, number: u32, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        if timers.has_fired(number) {
            let nobody = timers.remove(number);
            drop(timers);
            drop(nobody);
            return true;
        }
        let is_current = timers.wakee(number).is_some_and(|wakee| wakee.is(self.place_of(waker), waker));
        drop(timers);
        if !is_current {
            let wakee = self.wakee_of(waker);
            let mut timers = self.timers.borrow_mut();
            let before = timers.wakee(number).map(|kept| std::mem::replace(kept, wakee));
            drop(timers);
            drop(before);
        }
        false
    }

    pub(super) fn remove_timer(&self, number: u32) {
        let wakee = self.timers.borrow_mut().remove(number);
        drop(wakee);
    }

    fn fire_timers(&self) {
        if self.timers.borrow().is_empty() {
            return;
        }
        let Some(now) = self.now() else { return };
        // Tasks are woken some at a time: their headers lie anywhere, and are so fetched together.
        let mut places = [0; 32];
        loop {
            let mut timers = self.timers.borrow_mut();
            let mut count = 0;
            let stopped_by = loop {
                if count == places.len() {
                    break Some(Wakee::Nobody);
                }
                match timers.fire(now) {
                    Some(Wakee::Task(place)) => {
                        places[count] = place;
                        count += 1;
                    }
                    other => break other,
                }
            };
            drop(timers);
            places[..count].iter().for_each(|place| self.tasks.wake_place(*place));
            match stopped_by {
                Some(wakee) => self.wake(wakee),
                None => return,
            }
        }
    }
}

/// What comes of a chain that was never run because the executor is gone.
fn closed(chain: Chain) -> Box<Rejected> {
    Box::new(Rejected { error: EnterError::Closed.into(), chain })
}

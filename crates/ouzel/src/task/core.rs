//! The core of an executor: its ring, its tasks, and what they wait for. The turn of its loop, and its end, lie beside it.
//!
//! Each part is borrowed for as long as it takes to change it and never while something of the user's runs: futures, their
//! drops, wakers and hooks may call anything here, whenever they like.

mod end;
mod requests;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker};

use ouzel_engine::EnterError;
use ouzel_ring::{Completion, Descriptor};

use super::job::Far;
use super::join::{JoinError, Task};
use super::metrics::{Meter, Metrics};
use super::operations::{Ending, Operations, Owner, State};
use super::request::Requests;
use super::tasks::{ROOT, Tasks};
use super::timers::Timers;
use super::waker::{Inbox, Shared, Wakee};
use crate::Picked;
use crate::chain::Chain;
use crate::done::Done;
use crate::error::Error;
use crate::ring::{Offered, Rejected, Ring, Ticket};
use crate::select::BackendKind;

/// Chains kept to be built into again, unless the ring can have more in flight: then as many as that.
const SPARES: usize = 1024;

/// Takes a result that came too late, or gives it back to be dropped as usual.
pub(super) type OnLate = Box<dyn FnMut(Done) -> Option<Done>>;

/// The task that is polled right now.
#[derive(Clone, Copy)]
struct Polled {
    place: u32,
    data: *const (),
    table: &'static RawWakerVTable,
}

pub(crate) struct Core {
    /// `None` once the executor is gone.
    ring: RefCell<Option<Ring>>,
    operations: RefCell<Operations>,
    tasks: RefCell<Tasks>,
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
    polled: Cell<Option<Polled>>,
    bell: Descriptor,
    /// The bell has to be listened to (again).
    deaf: Cell<bool>,
    /// The ring has to be entered although no future waits for it.
    must_enter: Cell<bool>,
    /// Chains in flight that no future waits for: those given up, and those that close something.
    unowned: Cell<usize>,
    /// The executor is being dropped.
    closed: Cell<bool>,
    /// What tells those who wait elsewhere that there is something to do, once somebody has asked for it.
    counter: RefCell<Option<OwnedFd>>,
    /// Time passes only when the ring is entered.
    simulated: bool,
    pub(super) meter: Meter,
}

impl Core {
    pub(super) fn new(mut ring: Ring, on_late: Option<OnLate>) -> Result<Rc<Core>, Error> {
        let bell = ring.bell()?;
        let adopted = ring.adopt_bell(&bell)?;
        ring.prepare_for_executor()?;
        let shared = Arc::new(Shared::new(bell));
        let most_spares = ring.most_in_flight().max(SPARES);
        let core = Rc::new(Core {
            simulated: ring.backend().backend == BackendKind::Sim,
            ring: RefCell::new(Some(ring)),
            operations: RefCell::default(),
            tasks: RefCell::new(Tasks::new(&shared)),
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
            polled: Cell::new(None),
            bell: adopted,
            deaf: Cell::new(true),
            must_enter: Cell::new(true),
            counter: RefCell::default(),
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

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
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

    pub(super) fn add_task(&self, task: Rc<dyn Task>) -> u32 {
        if self.closed.get() {
            task.end(JoinError::Closed);
            return ROOT;
        }
        self.meter.spawned.add(1);
        self.tasks.borrow_mut().add(task)
    }

    pub(super) fn wake_task(&self, place: u32) {
        self.tasks.borrow_mut().wake(place);
    }

    pub(super) fn root_waker(&self) -> Waker {
        self.tasks.borrow().root_waker()
    }

    fn is_runnable(&self) -> bool {
        self.tasks.borrow().runnable() > 0
    }

    /// The next place whose task can run.
    pub(super) fn next_task(&self) -> Option<u32> {
        self.tasks.borrow_mut().next()
    }

    pub(super) fn runnable(&self) -> usize {
        self.tasks.borrow().runnable()
    }

    /// Polls something on behalf of the task in `place`.
    pub(super) fn polling<T>(
        &self,
        place: u32,
        waker: &Waker,
        poll: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        /// What is polled is left also by a panic.
        struct Restore<'a>(&'a Core, Option<Polled>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.polled.set(self.1);
            }
        }
        self.meter.polls.add(1);
        let polled = Polled { place, data: waker.data(), table: waker.vtable() };
        let _restore = Restore(self, self.polled.replace(Some(polled)));
        poll(&mut Context::from_waker(waker))
    }

    /// Polls the task in `place`, if there is one.
    pub(super) fn poll_task(&self, place: u32) {
        let begun = self.tasks.borrow_mut().begin(place);
        let Some((task, waker)) = begun else { return };
        let over = self.polling(place, &waker, |context| task.poll(context));
        let ended = self.tasks.borrow_mut().polled(place, waker, over);
        // What they hold is the user's.
        drop(ended);
        drop(task);
    }

    /// The place of the task whose waker this is, if that is polled right now.
    fn place_of(&self, waker: &Waker) -> Option<u32> {
        let polled = self.polled.get()?;
        let same = polled.data == waker.data() && std::ptr::eq(polled.table, waker.vtable());
        same.then_some(polled.place)
    }

    fn wakee_of(&self, waker: &Waker) -> Wakee {
        match self.place_of(waker) {
            Some(place) => Wakee::Task(place),
            None => Wakee::Other(waker.clone()),
        }
    }

    fn wake(&self, wakee: Wakee) {
        match wakee {
            Wakee::Nobody => {}
            Wakee::Task(place) => self.wake_task(place),
            Wakee::Other(waker) => waker.wake(),
        }
    }

    // Operations.

    /// A chain to build into.
    pub(super) fn chain(&self) -> Chain {
        self.spares.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps the memory of a chain that is over.
    pub(super) fn recycle(&self, done: Done) {
        let chain = done.into_chain();
        let mut spares = self.spares.borrow_mut();
        if spares.len() < self.most_spares {
            spares.push(chain);
        }
    }

    /// Takes a chain, and starts it with the next enter or as soon as there is room. Returns the number of its operation.
    pub(super) fn submit(&self, chain: Chain, owner: Owner) -> u32 {
        self.meter.submitted.add(1);
        let mut ring = self.ring.borrow_mut();
        let operations = &mut *self.operations.borrow_mut();
        let number = operations.claim(owner);
        let Some(ring) = &mut *ring else {
            operations.slot(number).state = State::Over(Err(closed(chain)));
            return number;
        };
        if !operations.backlog.is_empty() {
            self.put_back(operations, number, chain);
            return number;
        }
        match ring.offer(chain) {
            Offered::Taken(ticket) => operations.runs(number, ticket),
            Offered::Full(chain) => self.put_back(operations, number, chain),
            Offered::Rejected(rejected) => operations.slot(number).state = State::Over(Err(rejected)),
        }
        number
    }

    fn put_back(&self, operations: &mut Operations, number: u32, chain: Chain) {
        self.meter.backlogged.add(1);
        operations.slot(number).state = State::Backlogged(chain);
        operations.backlog.push_back(number);
    }

    /// Starts a chain whose result nobody waits for.
    fn submit_detached(&self, chain: Chain) {
        let number = self.submit(chain, Owner::Detached);
        let mut operations = self.operations.borrow_mut();
        if matches!(operations.slot(number).state, State::Over(_)) {
            let left = operations.release(number);
            drop(operations);
            drop(left);
        } else {
            self.unowned.update(|count| count + 1);
        }
    }

    /// The end of an operation, if it has come; its number is no longer its future's then.
    pub(super) fn poll_operation(&self, number: u32, waker: &Waker) -> Poll<Ending> {
        let mut operations = self.operations.borrow_mut();
        let slot = operations.slot(number);
        if matches!(slot.state, State::Over(_)) {
            let (state, wakee) = operations.release(number);
            drop(operations);
            drop(wakee);
            return match state {
                State::Over(ending) => Poll::Ready(ending),
                _ => Poll::Pending,
            };
        }
        let is_current = slot.wakee.is(self.place_of(waker), waker);
        drop(operations);
        if !is_current {
            let wakee = self.wakee_of(waker);
            let before = std::mem::replace(&mut self.operations.borrow_mut().slot(number).wakee, wakee);
            drop(before);
        }
        Poll::Pending
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
            Some(State::Backlogged(chain)) => self.recycle(Done { chain }),
            _ => {}
        }
    }

    /// Keeps a result for which nobody waits any more, until the next turn.
    pub(super) fn keep_late(&self, done: Done) {
        self.late.borrow_mut().push_back(done);
    }

    // Timers.

    pub(super) fn set_timer(&self, at: u64) -> u32 {
        self.timers.borrow_mut().add(at)
    }

    /// Whether a timer has fired; if not, who waits for it is to be woken.
    pub(super) fn poll_timer(&self, number: u32, waker: &Waker) -> bool {
        let mut timers = self.timers.borrow_mut();
        if timers.has_fired(number) {
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
        if self.timers.borrow().next().is_none() {
            return;
        }
        let Some(now) = self.now() else { return };
        loop {
            let fired = self.timers.borrow_mut().fire(now);
            let Some(wakee) = fired else { return };
            self.wake(wakee);
        }
    }
}

/// What comes of a chain that was never run because the executor is gone.
fn closed(chain: Chain) -> Box<Rejected> {
    Box::new(Rejected { error: EnterError::Closed.into(), chain })
}

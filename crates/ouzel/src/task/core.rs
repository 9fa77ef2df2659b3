//! The core of an executor: its ring, its tasks, what they wait for, and the turn of its loop.
//!
//! A turn sends what tasks have asked for on its way, waits for completions if no task can run, all in one enter, and hands
//! out what came. Each part is borrowed for as long as it takes to change it and never while something of the user's runs:
//! futures, their drops, wakers and hooks may call anything here, whenever they like.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker};
use std::time::{Duration, Instant};

use ouzel_engine::EnterError;
use ouzel_ring::modifiers::PollEvents;
use ouzel_ring::{Completion, Descriptor, Errno};

use super::handle::Handle;
use super::join::{JoinError, Task};
use super::metrics::{Meter, Metrics};
use super::operations::{Ending, Operations, Owner, State};
use super::tasks::{ROOT, Tasks};
use super::timers::Timers;
use super::waker::{Inbox, Shared, Wakee};
use crate::chain::Chain;
use crate::done::Done;
use crate::error::Error;
use crate::ring::{Offered, Rejected, Ring, Ticket};
use crate::select::BackendKind;

/// Chains kept to be built into again.
const SPARES: usize = 1024;

/// How long the executor sleeps at a time while there is no room to listen to its bell, or in the backend.
const PAUSE: Duration = Duration::from_millis(1);

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
    shared: Arc<Shared>,
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
        let core = Rc::new(Core {
            simulated: ring.backend().backend == BackendKind::Sim,
            ring: RefCell::new(Some(ring)),
            operations: RefCell::default(),
            tasks: RefCell::new(Tasks::new(&shared)),
            timers: RefCell::default(),
            late: RefCell::default(),
            on_late: RefCell::new(on_late),
            spares: RefCell::default(),
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
        if spares.len() < SPARES {
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

    // The loop.

    /// One turn: starts what was asked for, waits if it may and nothing can run, and wakes whom that concerns.
    pub(super) fn turn(self: &Rc<Core>, may_wait: bool) -> Result<(), Error> {
        self.receive();
        self.see_to_late();
        self.send_cancels()?;
        self.send_backlog()?;
        self.fire_timers();
        let wait = may_wait && !self.is_runnable();
        if wait || self.simulated || self.must_enter.get() || self.has_chains() {
            self.enter(wait)?;
        }
        self.fire_timers();
        self.receive();
        Ok(())
    }

    /// Whether a turn is due although nothing runs: something was dropped.
    pub(super) fn has_leavings(&self) -> bool {
        !self.operations.borrow().dropped.is_empty() || !self.late.borrow().is_empty()
    }

    /// Whether chains other than the bell's are in the ring.
    fn has_chains(&self) -> bool {
        let bells = u32::from(!self.deaf.get());
        self.ring.borrow().as_ref().is_some_and(|ring| ring.in_flight() > bells)
    }

    /// Enters the ring, once, and hands out what has completed.
    fn enter(&self, wait: bool) -> Result<(), Error> {
        self.listen()?;
        let timeout = if wait { self.longest_sleep(self.timers.borrow().next()) } else { None };
        let wait = wait && self.shared.fall_asleep();
        self.meter.turns.add(1);
        let turned = self.with_ring(|ring| ring.turn(u32::from(wait), timeout));
        if wait {
            self.shared.wake_up();
        }
        turned?;
        self.must_enter.set(self.deaf.get());
        self.hand_out()
    }

    /// How long the executor may sleep if the next timer is this one.
    fn longest_sleep(&self, timer: Option<u64>) -> Option<Duration> {
        let until = timer.map(|at| Duration::from_nanos(at.saturating_sub(self.now().unwrap_or(at))));
        let stalled = || self.with_ring(|ring| Ok(ring.has_stalled())).unwrap_or(false);
        if self.deaf.get() || stalled() { Some(until.unwrap_or(PAUSE).min(PAUSE)) } else { until }
    }

    // For those who wait elsewhere.

    /// A descriptor that is readable when there is something to do, if there is such a thing.
    pub(super) fn readiness(&self) -> Result<Option<OwnedFd>, Error> {
        let mut counter = self.counter.borrow_mut();
        if counter.is_none() {
            *counter = self.with_ring(|ring| ring.readiness())?;
        }
        let duplicate = |counter: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(counter, 0);
        counter.as_ref().map(duplicate).transpose().map_err(|error| {
            let errno = Errno::from_raw(error.raw_os_error());
            Error::Refused { call: "descriptor", errno }
        })
    }

    /// One has waited elsewhere: there may be something in the ring for the bell alone.
    pub(super) fn look_into_ring(&self) {
        if let Some(counter) = &*self.counter.borrow() {
            // What is counted until here is seen by the turn that follows. It is empty if nothing was.
            let _ = rustix::io::read(counter, &mut [0; 8]);
        }
        self.must_enter.set(true);
    }

    /// How long one may wait elsewhere.
    pub(super) fn patience(&self) -> Option<Duration> {
        let own = self.timers.borrow().next();
        let ring = self.with_ring(|ring| Ok(ring.next_timer())).unwrap_or(None);
        self.longest_sleep(own.into_iter().chain(ring).min())
    }

    /// Says that one waits elsewhere from now on: whatever is sent rings the bell. False if something has come already.
    pub(super) fn fall_asleep(&self) -> bool {
        self.shared.fall_asleep()
    }

    /// Says that one does not wait any more.
    pub(super) fn wake_up(&self) {
        self.shared.wake_up();
    }

    /// Has the ring hear the bell.
    fn listen(&self) -> Result<(), Error> {
        if !self.deaf.replace(false) {
            return Ok(());
        }
        let mut chain = self.chain();
        chain.poll_many(self.bell, PollEvents::IN);
        let mut operations = self.operations.borrow_mut();
        let offered = self.with_ring(|ring| Ok(ring.offer(chain)))?;
        match offered {
            Offered::Taken(ticket) => {
                self.must_enter.set(true);
                let number = operations.claim(Owner::Bell);
                operations.runs(number, ticket);
            }
            // There is another try with the next turn.
            Offered::Full(_) => self.deaf.set(true),
            Offered::Rejected(rejected) => return Err(rejected.error),
        }
        Ok(())
    }

    /// Hands out what has completed.
    fn hand_out(&self) -> Result<(), Error> {
        while let Some(wakee) = self.next_news() {
            self.wake(wakee);
        }
        loop {
            let ended = self.ring.borrow_mut().as_mut().and_then(Ring::next_ended);
            let Some((ticket, done)) = ended else { return Ok(()) };
            let mut operations = self.operations.borrow_mut();
            let Some(number) = operations.at(ticket.index()) else { continue };
            let slot = operations.slot(number);
            if slot.owner == Owner::Future {
                slot.state = State::Over(Ok(done));
                let wakee = std::mem::take(&mut slot.wakee);
                drop(operations);
                self.wake(wakee);
                continue;
            }
            let owner = slot.owner;
            operations.release(number);
            drop(operations);
            if owner != Owner::Bell {
                self.unowned.update(|count| count.saturating_sub(1));
            }
            match owner {
                Owner::Dropped => self.keep_late(done),
                Owner::Bell => self.hear_no_more(done)?,
                _ => self.recycle(done),
            }
        }
    }

    /// Who waits for the next multishot that has resulted in something.
    fn next_news(&self) -> Option<Wakee> {
        let mut ring = self.ring.borrow_mut();
        let ring = ring.as_mut()?;
        let operations = &mut *self.operations.borrow_mut();
        loop {
            let index = ring.next_news()?;
            let Some(number) = operations.at(index as usize) else { continue };
            let slot = operations.slot(number);
            match (slot.owner, &slot.state) {
                (Owner::Future, _) => return Some(std::mem::take(&mut slot.wakee)),
                (Owner::Bell, State::Running(ticket)) => {
                    let ticket = *ticket;
                    while ring.next_completion(ticket).is_some() {}
                }
                _ => {}
            }
        }
    }

    /// The bell is not listened to any more: it is again with the next enter, if that makes sense.
    fn hear_no_more(&self, done: Done) -> Result<(), Error> {
        self.deaf.set(true);
        let end = done.completion_of(0).map_or(Errno::OK, |completion| completion.errno());
        let error = done.check();
        self.recycle(done);
        match error {
            Err(error) if end != Errno::ENOBUFS && end != Errno::ECANCELED => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Cancels the chains whose futures were dropped, neighbours in one go.
    fn send_cancels(&self) -> Result<(), Error> {
        let mut tickets = self.cancels.take();
        std::mem::swap(&mut tickets, &mut self.operations.borrow_mut().dropped);
        if tickets.is_empty() {
            self.cancels.replace(tickets);
            return Ok(());
        }
        let cancelled = self.with_ring(|ring| {
            tickets.retain(|ticket| ring.is_running(*ticket));
            tickets.sort_unstable_by_key(|ticket| ticket.index());
            tickets.chunk_by(|one, next| one.index() + 1 == next.index()).try_for_each(|run| {
                let (first, last) = (run[0].index() as u32, run[run.len() - 1].index() as u32);
                ring.cancel_indices(first, last)
            })
        });
        tickets.clear();
        self.cancels.replace(tickets);
        cancelled
    }

    /// Puts as much of the backlog into the ring as there is room for.
    fn send_backlog(&self) -> Result<(), Error> {
        let mut entered = false;
        loop {
            match self.send_one_of_backlog()? {
                Sent::All => return Ok(()),
                Sent::One(wakee) => {
                    entered = false;
                    self.wake(wakee);
                }
                Sent::Full if entered => return Ok(()),
                Sent::Full => {
                    // What is queued makes room for more by being started.
                    entered = true;
                    self.enter(false)?;
                }
            }
        }
    }

    fn send_one_of_backlog(&self) -> Result<Sent, Error> {
        self.with_ring(|ring| {
            let operations = &mut *self.operations.borrow_mut();
            let Some(number) = operations.backlog.front().copied() else { return Ok(Sent::All) };
            let slot = operations.slot(number);
            match std::mem::replace(&mut slot.state, State::Free) {
                State::Backlogged(chain) => match ring.offer(chain) {
                    Offered::Taken(ticket) => operations.runs(number, ticket),
                    Offered::Full(chain) => {
                        slot.state = State::Backlogged(chain);
                        return Ok(Sent::Full);
                    }
                    Offered::Rejected(rejected) if slot.owner == Owner::Future => {
                        slot.state = State::Over(Err(rejected));
                        let wakee = std::mem::take(&mut slot.wakee);
                        operations.backlog.pop_front();
                        return Ok(Sent::One(wakee));
                    }
                    // It was to close something: the ring will.
                    Offered::Rejected(_) => {
                        self.unowned.update(|count| count.saturating_sub(1));
                        drop(operations.release(number));
                    }
                },
                _ => drop(operations.release(number)),
            }
            operations.backlog.pop_front();
            Ok(Sent::One(Wakee::Nobody))
        })
    }

    /// Takes what other threads have sent.
    fn receive(self: &Rc<Core>) {
        let mut received = self.received.take();
        if self.shared.receive(&mut received) {
            let mut tasks = self.tasks.borrow_mut();
            received.woken.drain(..).for_each(|place| tasks.wake_received(place));
            drop(tasks);
            for job in received.jobs.drain(..) {
                job(&Handle::new(Rc::clone(self)));
            }
        }
        self.received.replace(received);
    }

    /// Gives late results to whoever is there for them, and sees to what they have left open.
    fn see_to_late(&self) {
        loop {
            let late = self.late.borrow_mut().pop_front();
            let Some(done) = late else { return };
            self.meter.late.add(1);
            let hook = self.on_late.borrow_mut().take();
            let done = match hook {
                None => Some(done),
                Some(mut hook) => {
                    let done = hook(done);
                    self.on_late.borrow_mut().get_or_insert(hook);
                    done
                }
            };
            if let Some(done) = done {
                self.drop_late(done);
            }
        }
    }

    /// Drops a late result: descriptors that are open are closed, bytes are counted.
    fn drop_late(&self, done: Done) {
        self.meter.late_bytes.add(done.bytes_read());
        for descriptor in done.descriptors() {
            if !self.with_ring(|ring| Ok(ring.is_open(descriptor))).unwrap_or(false) {
                continue;
            }
            self.meter.late_closed.add(1);
            let mut chain = self.chain();
            chain.close(descriptor);
            self.submit_detached(chain);
        }
        self.recycle(done);
    }

    // The end.

    /// Ends everything: drops the tasks, cancels what they had in flight, and lets go of the ring when that is over, within
    /// its bound.
    pub(super) fn close(self: &Rc<Core>) {
        self.closed.set(true);
        let jobs = self.shared.close();
        drop(jobs);
        let tasks = self.tasks.borrow_mut().clear();
        for task in tasks {
            task.end(JoinError::Closed);
        }
        let left = self.wind_down();
        let ring = self.ring.borrow_mut().take();
        if let Some(ring) = ring {
            ring.teardown(left);
        }
        let fired = self.timers.borrow_mut().fire_all();
        fired.into_iter().for_each(|wakee| self.wake(wakee));
        self.end_operations();
        // Late results have nowhere to go any more: what they left open the ring has closed.
        let late = self.late.take();
        drop(late);
        let hook = self.on_late.take();
        drop(hook);
    }

    /// Waits until what was cancelled is over, and returns what is left of the bound.
    fn wind_down(self: &Rc<Core>) -> Duration {
        let Ok((bound, ours)) = self.with_ring(|ring| Ok((ring.bound(), ring.is_ours()))) else {
            return Duration::ZERO;
        };
        let begun = Instant::now();
        let Some(until) = self.now().map(|now| now.saturating_add(nanoseconds(bound))) else { return bound };
        let alarm = self.set_timer(until);
        while ours && begun.elapsed() < bound && !self.timers.borrow().has_fired(alarm) {
            self.see_to_late();
            // Nothing can run any more.
            while self.next_task().is_some() {}
            if self.unowned.get() == 0 {
                break;
            }
            if self.turn(true).is_err() {
                break;
            }
        }
        self.remove_timer(alarm);
        bound.saturating_sub(begun.elapsed())
    }

    /// The futures that are left, somewhere, have an end.
    fn end_operations(&self) {
        let numbers = self.operations.borrow().numbers();
        for number in numbers {
            let mut operations = self.operations.borrow_mut();
            let slot = operations.slot(number);
            if slot.owner != Owner::Future || matches!(slot.state, State::Over(_) | State::Free) {
                continue;
            }
            let chain = match std::mem::replace(&mut slot.state, State::Free) {
                State::Backlogged(chain) => chain,
                _ => Chain::new(),
            };
            slot.state = State::Over(Err(closed(chain)));
            let wakee = std::mem::take(&mut slot.wakee);
            drop(operations);
            self.wake(wakee);
        }
    }
}

enum Sent {
    /// There is no backlog.
    All,
    /// The first of it is gone, and somebody may be told.
    One(Wakee),
    /// There is no room for it.
    Full,
}

/// What comes of a chain that was never run because the executor is gone.
fn closed(chain: Chain) -> Box<Rejected> {
    Box::new(Rejected { error: EnterError::Closed.into(), chain })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

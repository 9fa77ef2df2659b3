//! The ring that applications use: it runs chains and owns their buffers while they run.

mod asynchronous;
mod connected;
mod elsewhere;
mod multishot;
mod picking;
mod pooled;
mod returning;

pub(crate) use asynchronous::Offered;
pub use returning::Reconnected;
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use ouzel_chain::ring::{self, Body, Layouts, Running, Step};
use ouzel_engine::{Counters, Gauges, Limits, Target};
use ouzel_pool::Pool;
use ouzel_ring::{Completion, Descriptor, EntryFlags, Errno, PushError};

use crate::backend::sim::SimProcess;
use crate::builder::RingBuilder;
use crate::chain::Chain;
use crate::chain::{Call, Called, Done, Kind, Program, ProgramId, Stored};
use crate::error::{BuildError, Error};
use crate::explain::Explanation;
use crate::observe::{Observed, Watch};
use crate::raw::{Pinned, RawRing, Teardown};
use crate::remote::{Carrier, Known, portable};
use crate::select::Choice;
use crate::{Bell, Buffer};
use returning::Returning;

/// Names a chain that was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    slot: u32,
    generation: u32,
}

impl Ticket {
    /// A small number that no other chain in flight has: below the most chains that were ever in flight at once. It is a
    /// place in a table of what belongs to chains in flight.
    #[inline]
    pub fn index(self) -> usize {
        self.slot as usize
    }
}

/// A chain that was not taken, and why. Nothing of it has run.
#[derive(Debug)]
pub struct Rejected {
    /// Why.
    pub error: Error,
    /// The chain, with its buffers.
    pub chain: Chain,
}

impl fmt::Display for Rejected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for Rejected {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<Box<Rejected>> for Error {
    fn from(rejected: Box<Rejected>) -> Error {
        rejected.error
    }
}

/// The owner of chains that nobody has put a number to.
const NOBODY: u32 = u32::MAX;

/// Where a submitted chain is kept.
struct Slot {
    generation: u32,
    /// Whose it is, as the executor says.
    owner: u32,
    /// Completions still to come, those of silent steps that fail not counted: they come before the last one.
    remaining: u32,
    chain: Option<Running>,
}

/// A programmable I/O ring: its engine runs in this process, or, if it was [connected](Ring::connect), in that of a service.
///
/// A `Ring` stays on the thread that made it; see [`RingBuilder::build_movable`] for one that does not. Dropping it
/// cancels what is in flight and waits until it has ended, within a bound ([`RingBuilder::teardown_bound`]).
pub struct Ring<M = Pinned> {
    raw: RawRing<M>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    ended: VecDeque<u32>,
    /// Slots whose multishot has resulted in something since that was last asked for, if anybody asks.
    news: Option<VecDeque<u32>>,
    layout: Layouts,
    /// The most steps a chain may have.
    longest: usize,
    in_flight: u32,
    tracing: bool,
    /// Somebody wants to know where chains are submitted.
    spans: bool,
    /// What no other ring of this process has.
    number: u64,
    /// Where its buffers come from, once it has any.
    pool: Option<Pool>,
    /// What takes memory to a service and back, if the engine is one's.
    carrier: Option<Box<Carrier>>,
    /// What it does when its service goes, if it is to come back by itself.
    returning: Option<Box<Returning>>,
    /// What tells those who wait elsewhere, once somebody has asked for it.
    pub(crate) counter: Option<OwnedFd>,
    /// The constants of the programs that are stored, by number.
    programs: Vec<Known>,
    /// A chain whose memory the next synchronous call uses.
    pub(crate) spare: Option<Chain>,
    /// Where the next compound lists what it has open.
    pub(crate) spare_files: Vec<Descriptor>,
    /// What the next copy through memory reads into.
    pub(crate) spare_block: Option<Buffer>,
}

impl Ring<Pinned> {
    /// A ring with default sizes, on io_uring or, where that is refused, on threads. [`backend`](Ring::backend) says which
    /// and why.
    pub fn new() -> Result<Ring<Pinned>, Error> {
        RingBuilder::new().build()
    }

    /// Sizes, limits and backend to choose.
    pub fn builder() -> RingBuilder {
        RingBuilder::new()
    }
}

impl<M> Ring<M> {
    pub(crate) fn over(mut raw: RawRing<M>) -> Ring<M> {
        Ring {
            longest: raw.limits().chain as usize,
            number: raw.number(),
            pool: None,
            carrier: None,
            returning: None,
            counter: None,
            programs: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ended: VecDeque::new(),
            news: None,
            layout: Layouts::default(),
            in_flight: 0,
            tracing: false,
            spans: raw.watch().is_some_and(Watch::know_submitters),
            spare: None,
            spare_files: Vec::new(),
            spare_block: None,
            raw,
        }
    }

    /// Runs a chain and waits until it is over. What its steps did is in the [`Done`], errors included.
    ///
    /// Errors: [`Error::Build`] if the chain is wrong; [`Error::Enter`] if the ring cannot go on.
    pub fn run(&mut self, chain: Chain) -> Result<Done, Error> {
        let ticket = self.submit(chain)?;
        self.wait(ticket)
    }

    /// Runs a chain and explains what ran where, why, and what it cost.
    ///
    /// Errors: as for [`run`](Ring::run); EOPNOTSUPP on a connected ring: it runs elsewhere.
    pub fn explain(&mut self, chain: Chain) -> Result<(Done, Explanation), Error> {
        if self.raw.is_remote() {
            return Err(Error::Refused { call: "explain", errno: Errno::EOPNOTSUPP });
        }
        let before = self.counters();
        let registered = self.registered_memory();
        let tracing = self.trace(true);
        let done = self.run(chain);
        self.trace(tracing);
        let done = done?;
        let counters = self.counters().since(before);
        let mut explanation = Explanation::new(&done, counters, self.backend().clone());
        explanation.registered = self.registered_memory().map(|mut memory| {
            memory.transfers -= registered.unwrap_or_default().transfers;
            memory
        });
        Ok((done, explanation))
    }

    /// Starts or stops recording where the steps of chains run, for [`Done::way_of`]; returns whether it was recorded before.
    /// On a connected ring nothing is ever recorded.
    pub fn trace(&mut self, on: bool) -> bool {
        let on = on && !self.raw.is_remote();
        let before = std::mem::replace(&mut self.tracing, on);
        if on && !before {
            self.raw.start_trace();
        } else if !on {
            self.raw.stop_trace();
        }
        before
    }

    /// Queues a chain. It starts with the next call that enters the ring: [`flush`](Ring::flush), a wait, or a submit that
    /// finds the queue full.
    ///
    /// Errors: the chain comes back with the error; see [`Rejected`].
    pub fn submit(&mut self, chain: Chain) -> Result<Ticket, Box<Rejected>> {
        self.submit_for(chain, NOBODY)
    }

    /// The same for an owner.
    #[inline]
    fn submit_for(&mut self, chain: Chain, owner: u32) -> Result<Ticket, Box<Rejected>> {
        let (pushed, remaining, unsilenced) = match ring::body(&chain).only_step() {
            Some(step) => (self.push_only(ring::body(&chain), step), 1, None),
            None => (self.push(ring::body(&chain)), self.layout.announced(), self.layout.unsilenced()),
        };
        match pushed {
            Ok(slot) => Ok(self.keep(slot, chain, owner, remaining, unsilenced)),
            Err(error) => Err(Box::new(Rejected { error, chain })),
        }
    }

    /// Keeps a chain whose entries are pushed in this slot, the last of the free ones.
    #[inline]
    fn keep(
        &mut self,
        slot: u32,
        chain: Chain,
        owner: u32,
        remaining: u32,
        unsilenced: Option<u16>,
    ) -> Ticket {
        self.free.pop();
        self.in_flight += 1;
        if self.spans {
            self.note_submitter(slot);
        }
        let place = &mut self.slots[slot as usize];
        (place.remaining, place.owner) = (remaining, owner);
        place.chain = Some(Running::new(chain, unsilenced));
        Ticket { slot, generation: place.generation }
    }

    #[cold]
    fn note_submitter(&mut self, slot: u32) {
        if let Some(watch) = self.raw.watch() {
            watch.submitted(slot);
        }
    }

    /// Lays a chain out and pushes its entries. The caller puts it into the slot returned, the last of the free ones.
    #[inline]
    fn push(&mut self, chain: &Body) -> Result<u32, Error> {
        if !self.raw.is_ours() {
            return Err(Error::ForkedChild);
        }
        self.layout.lay_out(chain)?;
        chain.check_ring(self.number)?;
        let steps = chain.steps().len();
        if steps > self.longest {
            return Err(BuildError::TooLong { steps, limit: self.longest }.into());
        }
        let slot = self.next_slot();
        loop {
            let entries = self.layout.entries(chain, |number| data(slot, number));
            // SAFETY: the memory the entries name is the chain's, which stays in its slot, unmoved on the heap and untouched,
            // until their completions have come; a chain whose completions never come is leaked (see `Drop`).
            match unsafe { self.raw.push_all_here(entries) } {
                Ok(()) => return Ok(slot),
                // Completions are popped as they come, so the engine always finds room to go on.
                Err(PushError::Full) => self.enter(1)?,
                Err(_) => return self.push_there(chain),
            }
        }
    }

    /// The same for the only step of a chain.
    #[inline]
    fn push_only(&mut self, chain: &Body, step: &Step) -> Result<u32, Error> {
        loop {
            match self.try_push_only(chain, step)? {
                Some(slot) => return Ok(slot),
                None => self.enter(1)?,
            }
        }
    }

    /// The same if there is room; else `None`.
    #[inline(always)]
    fn try_push_only(&mut self, chain: &Body, step: &Step) -> Result<Option<u32>, Error> {
        if !self.raw.is_ours() {
            return Err(Error::ForkedChild);
        }
        let slot = self.next_slot();
        let entry = chain.entry(step, EntryFlags::LOCAL, data(slot, 0));
        // SAFETY: as in `push`.
        match unsafe { self.raw.push_here(&entry) } {
            Ok(()) => Ok(Some(slot)),
            Err(PushError::Full) => Ok(None),
            Err(_) => self.try_push_there(chain),
        }
    }

    /// The slot of the next chain, the last of the free ones.
    #[inline]
    fn next_slot(&mut self) -> u32 {
        match self.free.last() {
            Some(slot) => *slot,
            None => self.add_slot(),
        }
    }

    #[cold]
    fn add_slot(&mut self) -> u32 {
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, owner: NOBODY, remaining: 0, chain: None });
        self.free.push(slot);
        slot
    }

    /// Starts everything queued, and takes what has completed, without waiting.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.enter(0)
    }

    /// Waits until the chain of `ticket` is over and returns it. If nothing in flight can ever end (a SLEEP without end and
    /// no timeout), this sleeps for ever, as do the other waits.
    ///
    /// Errors: [`Error::Refused`] with ENOENT if there is no such chain (any more).
    pub fn wait(&mut self, ticket: Ticket) -> Result<Done, Error> {
        loop {
            let place = self.slots.get(ticket.slot as usize);
            let remaining = match place {
                Some(place) if place.generation == ticket.generation && place.chain.is_some() => {
                    place.remaining
                }
                _ => return Err(Error::Refused { call: "wait", errno: Errno::ENOENT }),
            };
            if remaining == 0 {
                if self.ended.front() == Some(&ticket.slot) {
                    self.ended.pop_front();
                } else {
                    self.ended.retain(|slot| *slot != ticket.slot);
                }
                return self.take(ticket.slot);
            }
            self.enter(remaining)?;
        }
    }

    /// Waits until any chain is over and returns the one that was over first; `None` if none is in flight.
    pub fn wait_any(&mut self) -> Result<Option<(Ticket, Done)>, Error> {
        loop {
            if let Some(ended) = self.next_ended() {
                return Ok(Some(ended));
            }
            if self.in_flight == 0 {
                return Ok(None);
            }
            // No chain can be over before this many completions have come.
            let remaining =
                self.slots.iter().filter(|slot| slot.chain.is_some()).map(|slot| slot.remaining).min();
            let Some(remaining) = remaining else { return Ok(None) };
            self.enter(remaining)?;
        }
    }

    /// Waits until one of the chains of `tickets` is over and returns the one that was over first; `None` if none of them is in
    /// flight. Results of other chains stay here.
    pub fn wait_any_of(&mut self, tickets: &[Ticket]) -> Result<Option<(Ticket, Done)>, Error> {
        loop {
            let asked = |slot: u32, generation: u32| tickets.contains(&Ticket { slot, generation });
            let over = self.ended.iter().position(|slot| asked(*slot, self.slots[*slot as usize].generation));
            if let Some(slot) = over.and_then(|at| self.ended.remove(at)) {
                let generation = self.slots[slot as usize].generation;
                return Ok(Some((Ticket { slot, generation }, self.take(slot)?)));
            }
            // None of them can be over before this many completions have come.
            let remaining = tickets
                .iter()
                .filter_map(|ticket| self.slots.get(ticket.slot as usize).map(|slot| (ticket, slot)))
                .filter(|(ticket, slot)| slot.generation == ticket.generation && slot.chain.is_some())
                .map(|(_, slot)| slot.remaining)
                .min();
            let Some(remaining) = remaining else { return Ok(None) };
            self.enter(remaining)?;
        }
    }

    /// Takes the chain that was over first among those that are over already, without entering the ring.
    pub fn next_ended(&mut self) -> Option<(Ticket, Done)> {
        let slot = self.ended.pop_front()?;
        let generation = self.slots[slot as usize].generation;
        let done = self.take(slot).ok()?;
        Some((Ticket { slot, generation }, done))
    }

    /// Waits until every chain in flight is over. They stay here to be taken by [`wait_any`](Ring::wait_any).
    pub fn wait_all(&mut self) -> Result<(), Error> {
        loop {
            let remaining: u32 = self.slots.iter().map(|slot| slot.remaining).sum();
            if remaining == 0 {
                return Ok(());
            }
            self.enter(remaining)?;
        }
    }

    /// Chains submitted whose results have not been taken.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Gives up a chain: its running step ends with ECANCELED unless it ends otherwise first, later ones do not run, FINALLY
    /// steps do. One that has not begun, because it waits for others to make room, ends whole with ECANCELED, its FINALLY
    /// steps too. Its results come as usual. Returns whether that reached it: false if its ordinary steps are over.
    pub fn cancel(&mut self, ticket: Ticket) -> Result<bool, Error> {
        let place = self.slots.get(ticket.slot as usize);
        let place = place.filter(|place| place.generation == ticket.generation);
        if place.is_none_or(|place| place.chain.is_none()) {
            return Err(Error::Refused { call: "cancel", errno: Errno::ENOENT });
        }
        if self.give_up_return(ticket.slot, ticket.slot) {
            return Ok(true);
        }
        // Everything queued that can be admitted must have been.
        self.flush()?;
        let steps = Target::DataRange { first: data(ticket.slot, 0), last: data(ticket.slot, u16::MAX) };
        if self.raw.cancel(steps)? > 0 {
            return Ok(true);
        }
        // In a service's queue nobody else can reach anything.
        Ok(!self.raw.is_remote() && self.raw.cancel_waiting(steps)? > 0)
    }

    /// Takes an ordinary file, socket or other object into the ring. See [`RawRing::adopt`].
    pub fn adopt(&mut self, object: impl Into<OwnedFd>) -> Result<Descriptor, Error> {
        self.raw.adopt(object.into())
    }

    /// Makes a bell for rings on this kind of backend. See [`Bell`].
    pub fn bell(&mut self) -> Result<Bell, Error> {
        self.raw.bell()
    }

    /// Takes a bell into the ring. See [`RawRing::adopt_bell`].
    pub fn adopt_bell(&mut self, bell: &Bell) -> Result<Descriptor, Error> {
        self.raw.adopt_bell(bell)
    }

    /// Takes a child process into the ring. See [`RawRing::adopt_process`].
    pub fn adopt_process(&mut self, number: i32) -> Result<Descriptor, Error> {
        self.raw.adopt_process(number)
    }

    /// Starts a process in the simulator. See [`RawRing::simulate_process`].
    pub fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Error> {
        self.raw.simulate_process(process)
    }

    /// Takes an object out of the ring as an ordinary one. See [`RawRing::release`].
    pub fn release(&mut self, descriptor: Descriptor) -> Result<OwnedFd, Error> {
        self.raw.release(descriptor)
    }

    /// Stores a program, to be called from now on.
    ///
    /// Errors: [`Error::Store`] if there are too many. On a connected ring [`Error::Rejected`] for what only a program in the
    /// service's process could do, and [`Error::Scheme`], as for [`RawRing::store`].
    pub fn store<T>(&mut self, program: Program<T>) -> Result<Stored<T>, Error> {
        let verified = if self.raw.is_remote() {
            portable(&program)?
        } else {
            // SAFETY: the program's constants, of which the engine knows from now on, are kept below until it has been forgotten,
            // and by each call of it until that is over.
            unsafe { ring::verified(&program) }.clone()
        };
        let number = self.raw.store(verified)?;
        let description = ring::description(&program);
        self.programs.push((number, Arc::clone(description)));
        // SAFETY: it was stored under this number just now, and no number is given out twice.
        Ok(unsafe { ring::stored(Arc::clone(description), self.number, number) })
    }

    /// Runs a stored program and waits until it is over. Many calls at once are submitted as chains: `Chain::from(call)`.
    ///
    /// Errors: as for [`run`](Ring::run).
    pub fn run_program<T: Kind>(&mut self, call: Call<T>) -> Result<Called<T>, Error> {
        let mut chain = Chain::new();
        let reg = chain.call(call);
        let done = self.run(chain)?;
        Ok(Called::new(done, reg))
    }

    /// Forgets a stored program. Calls of it that run are left alone.
    ///
    /// Errors: ENOENT if this ring has no such program (any more); EPERM for one of a service's own.
    pub fn forget(&mut self, program: impl Into<ProgramId>) -> Result<(), Error> {
        let number = self.own_program("forget", program.into())?;
        self.raw.forget(number)?;
        self.programs.retain(|(stored, _)| *stored != number);
        Ok(())
    }

    /// Restricts the ring to these programs: from now on everything but calls of them fails with EPERM.
    ///
    /// Errors: ENOENT if one of them is not this ring's.
    pub fn restrict(&mut self, programs: &[ProgramId]) -> Result<(), Error> {
        let numbers: Result<Vec<u32>, Error> =
            programs.iter().map(|program| self.own_program("restrict", *program)).collect();
        self.raw.restrict(Some(&numbers?))
    }

    /// Lifts a [restriction](Ring::restrict).
    pub fn unrestrict(&mut self) -> Result<(), Error> {
        self.raw.restrict(None)
    }

    fn own_program(&self, call: &'static str, program: ProgramId) -> Result<u32, Error> {
        let known = self.programs.iter().any(|(number, _)| *number == program.number());
        if ring::ring_of(program) == self.number && known {
            return Ok(program.number());
        }
        Err(Error::Refused { call, errno: Errno::ENOENT })
    }

    /// Which backend it runs on, and why.
    pub fn backend(&self) -> &Choice {
        self.raw.backend()
    }

    /// What is alive in the engine.
    pub fn gauges(&self) -> Gauges {
        self.raw.gauges()
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.raw.limits()
    }

    /// Nanoseconds of the ring's monotonic clock, which on the simulator is a virtual one.
    pub fn now(&self) -> u64 {
        self.raw.now()
    }

    /// What the backend has cost so far.
    pub fn counters(&self) -> Counters {
        self.raw.counters()
    }

    /// The ring's numbers, if it was [asked to keep any](RingBuilder::observe).
    pub fn observed(&self) -> Option<Observed> {
        self.raw.observed()
    }

    /// Tears the ring down within `bound`. Chains in flight are cancelled, their FINALLY steps run, and their results are
    /// dropped.
    pub fn teardown(mut self, bound: Duration) -> Teardown {
        self.tear_down(bound)
    }

    fn tear_down(&mut self, bound: Duration) -> Teardown {
        if self.carrier.is_some() {
            return self.disconnect(bound);
        }
        let slots = &mut self.slots;
        let (ended, news) = (&mut self.ended, &mut self.news);
        let teardown = self.raw.tear_down(bound, |completion| deliver(slots, ended, news, completion));
        if !self.raw.is_at_rest() {
            for slot in &mut self.slots {
                if slot.remaining > 0 {
                    // The kernel may still write to its buffers.
                    std::mem::forget(slot.chain.take());
                }
            }
        }
        teardown
    }

    /// Enters the ring and takes what has completed.
    fn enter(&mut self, wait: u32) -> Result<(), Error> {
        if self.returning.is_some() {
            return self.enter_or_return(wait, None, None);
        }
        let entered = self.raw.enter(u32::MAX, wait, None)?;
        if self.tracing {
            self.collect_events();
        }
        self.collect();
        if wait > 0 && entered.readable == 0 && entered.taken == 0 {
            return self.see_what_can_end();
        }
        Ok(())
    }

    /// Takes what has completed.
    #[inline]
    fn collect(&mut self) {
        if self.carrier.is_some() {
            return self.collect_from_afar();
        }
        self.raw.drain(|completion| deliver(&mut self.slots, &mut self.ended, &mut self.news, completion));
    }

    /// A wait has brought nothing.
    #[cold]
    fn see_what_can_end(&mut self) -> Result<(), Error> {
        if let Some(remote) = self.raw.remote() {
            return if remote.is_over() { Err(remote.gone()) } else { Ok(()) };
        }
        // Nothing in flight can ever end, such as a SLEEP without end, and nobody else can change that.
        tracing::warn!(in_flight = self.in_flight, "waiting for what can never end");
        std::thread::park();
        Ok(())
    }

    /// Gives what was recorded to the chains it belongs to. None of them can have been taken since it happened.
    fn collect_events(&mut self) {
        let (events, _) = self.raw.stop_trace();
        self.raw.start_trace();
        for event in events {
            let (slot, step) = split_data(event.data);
            if let Some(chain) = self.slots.get_mut(slot as usize).and_then(|slot| slot.chain.as_mut()) {
                chain.note(step, event);
            }
        }
    }

    #[inline]
    fn take(&mut self, slot: u32) -> Result<Done, Error> {
        let place = &mut self.slots[slot as usize];
        let Some(chain) = place.chain.take() else {
            return Err(Error::Refused { call: "wait", errno: Errno::ENOENT });
        };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
        self.in_flight -= 1;
        Ok(chain.into_done())
    }
}

impl<M> Drop for Ring<M> {
    fn drop(&mut self) {
        let bound = self.raw.bound();
        self.tear_down(bound);
        if !self.raw.is_ours() {
            // In a forked child the parent's kernel may be writing to these very pages' originals; free nothing.
            for slot in &mut self.slots {
                std::mem::forget(slot.chain.take());
            }
            // Its pool is the parent's as well.
            std::mem::forget(self.carrier.take());
        }
    }
}

impl<M> fmt::Debug for Ring<M> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ring")
            .field("raw", &self.raw)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// The user data of a step: the slot of its chain and its number.
#[inline]
fn data(slot: u32, step: u16) -> u64 {
    (slot as u64) << 16 | step as u64
}

#[inline]
fn split_data(data: u64) -> (u32, u16) {
    ((data >> 16) as u32, data as u16)
}

/// Gives a completion to the chain it belongs to.
#[inline(always)]
fn deliver(
    slots: &mut [Slot],
    ended: &mut VecDeque<u32>,
    news: &mut Option<VecDeque<u32>>,
    completion: Completion,
) {
    let (number, step) = split_data(completion.data);
    let Some(slot) = slots.get_mut(number as usize) else { return };
    let Some(chain) = &mut slot.chain else { return };
    if completion.has_more() {
        chain.deliver_one_of_many(step, completion);
        news.iter_mut().for_each(|news| news.push_back(number));
        return;
    }
    // SAFETY: `data` made its user data, so it is of this step's entry; and what it says is the engine's word, whose backend
    // has promised to be right about it (see `HostBackend`), or, of a service, was checked as it came (see `remote`).
    let announced = unsafe { chain.deliver(step, completion) };
    slot.remaining -= u32::from(announced);
    if slot.remaining == 0 {
        ended.push_back(number);
    }
}

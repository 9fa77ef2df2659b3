//! The raw ring: entries and completions, without types that prove anything.
//!
//! This is the ring the ABI describes, with its engine in this process or in that of a service: who pushes an entry writes
//! its numbers. [`Ring`](crate::Ring) is built on it; use that unless you need the numbers. It also owns what must outlive
//! everything else, and tears it down in the right order.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ouzel_chain::ring::holders;
use ouzel_engine::{Counters, Engine, Entered, Event, Gauges, Limits, Program, Target};
use ouzel_pool::Pool;
use ouzel_ring::{Completion, Descriptor, EngineEnd, Entry, Errno, Geometry, PushError, SubmitterEnd};

use crate::backend::HostBackend;
use crate::backend::sim::SimProcess;
use crate::builder::RingBuilder;
use crate::error::Error;
use crate::fork::Home;
use crate::group::Group;
use crate::memory::RingMemory;
use crate::observe::{Observed, Watch, watch_of, watch_of_mut};
use crate::remote::Remote;
use crate::select::Choice;
use crate::{Bell, BufferGroup, RegisteredMemory};

/// A ring that stays on the thread that made it: the fast kind.
#[derive(Debug)]
pub struct Pinned(PhantomData<*mut ()>);

/// A ring that can move to another thread.
#[derive(Debug)]
pub struct Movable(());

static LEAKED: AtomicU64 = AtomicU64::new(0);

/// The number of the next ring. Only uniqueness matters.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// How many operations of this process were given up at a teardown because they had not ended within its bound.
/// What they may still write to stays allocated for ever.
pub fn leaked_operations() -> u64 {
    LEAKED.load(Ordering::Relaxed)
}

/// How long a teardown waits for operations to end.
pub const TEARDOWN_BOUND: Duration = Duration::from_secs(1);

/// What a teardown did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Teardown {
    /// Operations that had not ended within the bound. What they may still write to is never freed.
    pub leaked: u32,
}

/// An engine in this process, and the submitter's end of its queues.
struct Inner {
    // Fields are dropped in this order: both ends refer to the memory.
    engine: Engine<Box<dyn HostBackend>>,
    submitter: SubmitterEnd,
    _memory: RingMemory,
}

/// Where the engine is, and how it is reached.
#[expect(clippy::large_enum_variant, reason = "the usual one is reached without a pointer more")]
enum Crossing {
    /// In this process.
    Here(Inner),
    /// In the process of a service.
    There(Box<Remote>),
}

/// A ring as the ABI describes it, with its engine in this process or, if it was [connected](RingBuilder::connect_raw), in that
/// of a service.
pub struct RawRing<M = Pinned> {
    crossing: ManuallyDrop<Crossing>,
    choice: Choice,
    home: Home,
    bound: Duration,
    torn_down: bool,
    number: u64,
    /// Groups of buffers, each with how many of its handles are the ring's own and its backend's.
    groups: Vec<(BufferGroup, usize)>,
    /// A pool is registered.
    follows_pools: bool,
    mobility: PhantomData<M>,
}

impl<M> RawRing<M> {
    pub(crate) fn on(
        backend: Box<dyn HostBackend>,
        choice: Choice,
        geometry: Geometry,
        builder: &RingBuilder,
    ) -> Result<RawRing<M>, Error> {
        let memory = RingMemory::new(geometry)?;
        // SAFETY: `Inner` drops both ends before the memory.
        let handle = unsafe { memory.handle()? };
        let submitter = SubmitterEnd::new(handle.clone(), 0);
        let mut engine = Engine::new(EngineEnd::new(handle, 0), backend, builder.limits());
        engine.submitter_enters();
        if let Some(observe) = builder.observation() {
            let limits = engine.limits();
            observe.attach(&mut engine, &choice, geometry, limits)?;
        }
        let inner = Inner { engine, submitter, _memory: memory };
        Ok(RawRing::over(Crossing::Here(inner), choice, builder.bound()))
    }

    /// A ring whose engine is a service's.
    pub(crate) fn to(remote: Remote, choice: Choice, bound: Duration) -> RawRing<M> {
        RawRing::over(Crossing::There(Box::new(remote)), choice, bound)
    }

    fn over(crossing: Crossing, choice: Choice, bound: Duration) -> RawRing<M> {
        RawRing {
            crossing: ManuallyDrop::new(crossing),
            choice,
            home: Home::here(),
            bound,
            torn_down: false,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            groups: Vec::new(),
            follows_pools: false,
            mobility: PhantomData,
        }
    }

    /// The engine, for a call that only one in this process can answer.
    fn engine_for(&mut self, call: &'static str) -> Result<&mut Engine<Box<dyn HostBackend>>, Error> {
        self.at_home()?;
        match &mut *self.crossing {
            Crossing::Here(inner) => Ok(&mut inner.engine),
            Crossing::There(_) => Err(elsewhere(call)),
        }
    }

    /// The way to the service, if the engine is there.
    pub(crate) fn remote(&mut self) -> Option<&mut Remote> {
        match &mut *self.crossing {
            Crossing::Here(_) => None,
            Crossing::There(remote) => Some(remote),
        }
    }

    /// Whether the engine is in another process.
    #[inline]
    pub(crate) fn is_remote(&self) -> bool {
        matches!(*self.crossing, Crossing::There(_))
    }

    fn engine(&self) -> Option<&Engine<Box<dyn HostBackend>>> {
        match &*self.crossing {
            Crossing::Here(inner) => Some(&inner.engine),
            Crossing::There(_) => None,
        }
    }

    #[inline]
    fn at_home(&self) -> Result<(), Error> {
        if self.home.is_here() { Ok(()) } else { Err(Error::ForkedChild) }
    }

    /// Puts an entry into the submission queue. The engine sees it with the next [`enter`](RawRing::enter).
    ///
    /// Errors: [`PushError::Full`] when the queue is; enter first.
    ///
    /// # Safety
    ///
    /// The memory that the entry's payloads name in region 0 must stay valid, unmoved and untouched by others (for
    /// what is only read: unwritten) until the entry's completion has been popped, or, if the ring is torn down
    /// before that, for ever unless the teardown leaked nothing. Who pushes a RECV into a group keeps a handle of that
    /// [`BufferGroup`] as long. A service refuses region 0; the same goes for what lies in memory that is
    /// [shared](RawRing::share) with it.
    #[inline]
    pub unsafe fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.submitter.push(entry),
            Crossing::There(remote) => {
                // A copy, so that on the other way the entry need not be anywhere.
                let entry = *entry;
                remote.push(&entry)
            }
        }
    }

    /// The same for an entry that names memory of this process: nothing is pushed, and the ring is called broken, if the engine
    /// is in another one.
    ///
    /// # Safety
    ///
    /// As for [`push`](RawRing::push).
    #[inline]
    pub(crate) unsafe fn push_here(&mut self, entry: &Entry) -> Result<(), PushError> {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.submitter.push(entry),
            Crossing::There(_) => Err(PushError::Broken),
        }
    }

    /// Puts all of `entries` into the submission queue, or none of them; otherwise as [`push_here`](RawRing::push_here).
    ///
    /// # Safety
    ///
    /// As for [`push`](RawRing::push), for each of them.
    #[inline]
    pub(crate) unsafe fn push_all_here(
        &mut self,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> Result<(), PushError> {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.submitter.push_all(entries),
            Crossing::There(_) => Err(PushError::Broken),
        }
    }

    /// How many entries can be pushed now.
    pub fn room(&mut self) -> u32 {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.submitter.room().unwrap_or(0),
            Crossing::There(remote) => remote.room(),
        }
    }

    /// Hands up to `submit` pushed entries to the engine (whole chains only; `u32::MAX` is all), then waits until
    /// `wait` completions can be popped, `timeout` has passed, or nothing in flight could produce one.
    ///
    /// To a service everything that was pushed is published, whatever `submit` says: [`Entered::taken`] is how much that was.
    ///
    /// Errors: [`Error::ForkedChild`]; [`Error::Enter`] when the backend cannot go on; [`Error::ServiceGone`].
    #[inline]
    pub fn enter(&mut self, submit: u32, wait: u32, timeout: Option<Duration>) -> Result<Entered, Error> {
        self.at_home()?;
        if !self.groups.is_empty() {
            self.sweep_groups();
        }
        let inner = match &mut *self.crossing {
            Crossing::Here(inner) => inner,
            Crossing::There(remote) => return remote.enter(wait, timeout),
        };
        if self.follows_pools {
            inner.engine.backend_mut().follow_pools();
        }
        inner.submitter.publish();
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        Ok(inner.engine.enter(submit, wait, timeout)?)
    }

    /// The same on a connected ring until `beside` is readable, too; otherwise without it.
    pub(crate) fn enter_beside(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: BorrowedFd<'_>,
    ) -> Result<Entered, Error> {
        self.at_home()?;
        match self.remote() {
            Some(remote) => remote.enter_beside(wait, timeout, beside),
            None => self.enter(u32::MAX, wait, timeout),
        }
    }

    /// Takes the oldest completion, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion> {
        match &mut *self.crossing {
            // In one process the engine is trusted, so its index is never impossible.
            Crossing::Here(inner) => inner.submitter.pop().ok().flatten(),
            Crossing::There(remote) => remote.pop().map(Completion::from_words),
        }
    }

    /// Takes every completion there is, oldest first. What a service posts meanwhile is left for the next time.
    #[inline]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Completion)) {
        match &mut *self.crossing {
            // In one process the engine is trusted, so its index is never impossible.
            Crossing::Here(inner) => drop(inner.submitter.drain(each)),
            Crossing::There(remote) => remote.drain(|_, completion| each(completion)),
        }
    }

    /// Asks what `target` names to be given up, and returns how many entries that reached.
    pub fn cancel(&mut self, target: Target) -> Result<u32, Error> {
        self.at_home()?;
        match &mut *self.crossing {
            Crossing::Here(inner) => Ok(inner.engine.cancel(target)),
            Crossing::There(remote) => remote.cancel(target),
        }
    }

    /// Asks the chains that wait whole in the submission queue and that `target` names to be given up, and returns how
    /// many entries that reached. See [`Engine::cancel_waiting`].
    ///
    /// Errors: EOPNOTSUPP on a connected ring, whose queue only its service takes from.
    pub fn cancel_waiting(&mut self, target: Target) -> Result<u32, Error> {
        self.at_home()?;
        match &mut *self.crossing {
            Crossing::Here(inner) => {
                inner.submitter.publish();
                Ok(inner.engine.cancel_waiting(target))
            }
            Crossing::There(_) => Err(elsewhere("cancel_waiting")),
        }
    }

    /// Takes an ordinary file, socket or other object into the ring's table.
    ///
    /// Errors: EMFILE if the table is full; EOPNOTSUPP on the sim backend and on a connected ring.
    pub fn adopt(&mut self, object: OwnedFd) -> Result<Descriptor, Error> {
        self.take_in("adopt", |backend, index| backend.adopt(index, object))
    }

    /// Makes a bell that rings on this kind of backend can have. It is not in this one yet: see
    /// [`adopt_bell`](RawRing::adopt_bell).
    ///
    /// Errors: EMFILE, ENFILE or ENOMEM of the system; EOPNOTSUPP on a connected ring.
    pub fn bell(&mut self) -> Result<Bell, Error> {
        let made = self.engine_for("bell")?.backend_mut().make_bell();
        made.map_err(|errno| Error::Refused { call: "bell", errno })
    }

    /// Takes a bell into the ring's table; the bell stays good for others.
    ///
    /// Errors: EMFILE if the table is full; EOPNOTSUPP for a simulator's bell on another backend, or the other way
    /// round, and on a connected ring.
    pub fn adopt_bell(&mut self, bell: &Bell) -> Result<Descriptor, Error> {
        self.take_in("adopt_bell", |backend, index| backend.adopt_bell(index, bell))
    }

    /// Takes the process with this number, a child, into the ring's table, for WAIT and POLL.
    ///
    /// Errors: EMFILE if the table is full; ECHILD if there is no such process; EOPNOTSUPP on a connected ring.
    pub fn adopt_process(&mut self, number: i32) -> Result<Descriptor, Error> {
        self.take_in("adopt_process", |backend, index| backend.adopt_process(index, number))
    }

    /// Starts a process in the simulator, and returns its number.
    ///
    /// Errors: EOPNOTSUPP on other backends.
    pub fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Error> {
        let started = self.engine_for("simulate_process")?.backend_mut().simulate_process(process);
        started.map_err(|errno| Error::Refused { call: "simulate_process", errno })
    }

    fn take_in(
        &mut self,
        call: &'static str,
        adopt: impl FnOnce(&mut Box<dyn HostBackend>, u32) -> Result<(), Errno>,
    ) -> Result<Descriptor, Error> {
        let refused = |errno| Error::Refused { call, errno };
        let engine = self.engine_for(call)?;
        let index = engine.reserve_descriptor().map_err(refused)?;
        if let Err(errno) = adopt(engine.backend_mut(), index) {
            engine.abandon_descriptor(index);
            return Err(refused(errno));
        }
        engine.install_descriptor(index).ok_or(refused(Errno::EBADF))
    }

    /// Takes an object out of the ring's table as an ordinary one. The descriptor is dead from here on.
    ///
    /// Errors: EBADF; EBUSY while an operation uses it; EOPNOTSUPP on the sim backend and on a connected ring.
    pub fn release(&mut self, descriptor: Descriptor) -> Result<OwnedFd, Error> {
        let refused = |errno| Error::Refused { call: "release", errno };
        let engine = self.engine_for("release")?;
        let index = engine.idle_descriptor(descriptor).map_err(refused)?;
        let object = engine.backend_mut().release(index).map_err(refused)?;
        engine.abandon_descriptor(index);
        Ok(object)
    }

    /// The value of register `register` (0 to 6) as the engine last published it.
    pub fn register(&self, register: usize) -> Option<u64> {
        match &*self.crossing {
            Crossing::Here(inner) => inner.submitter.register(register),
            Crossing::There(remote) => remote.register(register),
        }
    }

    /// Sets register `register` (0 to 6) for chains without LOCAL that are admitted later. False if there is none, and on a
    /// connected ring: those of a service are written by it alone, with what chains save.
    pub fn set_register(&mut self, register: usize, value: u64) -> bool {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.submitter.set_register(register, value),
            Crossing::There(_) => false,
        }
    }

    /// Adds memory that payloads may name by region. See [`Engine::add_region`].
    ///
    /// Errors: EOPNOTSUPP on a connected ring, for which there is [`share`](RawRing::share).
    ///
    /// # Safety
    ///
    /// As for [`Engine::add_region`].
    pub unsafe fn add_region(&mut self, base: NonNull<u8>, length: usize) -> Result<u16, Error> {
        let engine = self.engine_for("add_region")?;
        // SAFETY: the contract is the caller's.
        unsafe { engine.add_region(base, length) }
            .map_err(|errno| Error::Refused { call: "add_region", errno })
    }

    /// Removes a region.
    pub fn remove_region(&mut self, region: u16) -> Result<(), Error> {
        self.engine_for("remove_region")?
            .remove_region(region)
            .map_err(|errno| Error::Refused { call: "remove_region", errno })
    }

    /// Shares the first `length` bytes behind a descriptor of memory (`memfd_create(2)`, sealed against shrinking) with the
    /// service of a connected ring, and returns the region by which payloads name it. From now on the service may read and
    /// write all of it, whatever entries say.
    ///
    /// Errors: [`Error::Scheme`], among them the service's limits; EOPNOTSUPP for an engine in this process.
    pub fn share(&mut self, memory: BorrowedFd<'_>, length: usize) -> Result<u16, Error> {
        self.at_home()?;
        match self.remote() {
            Some(remote) => remote.share(memory, length),
            None => Err(Error::Refused { call: "share", errno: Errno::EOPNOTSUPP }),
        }
    }

    /// Takes back what was [shared](RawRing::share). No entry in flight may name it.
    ///
    /// Errors: as for [`share`](RawRing::share).
    pub fn unshare(&mut self, region: u16) -> Result<(), Error> {
        self.at_home()?;
        match self.remote() {
            Some(remote) => remote.unshare(region),
            None => Err(Error::Refused { call: "unshare", errno: Errno::EOPNOTSUPP }),
        }
    }

    /// Makes a group of `count` buffers of `size` bytes each, out of `pool`, that RECV may pick from. See [`BufferGroup`].
    ///
    /// Entries name it by its [number](BufferGroup::number). It stays the ring's as long as somebody has a handle, or a
    /// [`Picked`](crate::Picked) of it; who pushes entries that name it keeps one until they have completed.
    ///
    /// Errors: [`Error::Pool`]; [`Error::Refused`]: EINVAL for no buffers or more than
    /// [`MAX_GROUP_BUFFERS`](crate::MAX_GROUP_BUFFERS), ENOSPC for more groups than
    /// [`MAX_GROUPS`](crate::abi::modifiers::MAX_GROUPS), EOPNOTSUPP if the kernel's ring has no such thing (before 6.0), and
    /// on a connected ring.
    pub fn add_group(&mut self, pool: &Pool, count: usize, size: usize) -> Result<BufferGroup, Error> {
        self.at_home()?;
        self.sweep_groups();
        let refused = |errno| Error::Refused { call: "group", errno };
        let own = self.number;
        let engine = self.engine_for("group")?;
        let number = engine.add_group().map_err(refused)?;
        let made = Group::make(pool, own, number, count, size).and_then(|group| {
            engine.backend_mut().add_group(&group).map_err(refused)?;
            Ok(group)
        });
        match made {
            Ok(group) => {
                // With the one that goes into the list, and without the caller's.
                let own = holders(&group);
                self.groups.push((group.clone(), own));
                Ok(group)
            }
            Err(error) => {
                engine.remove_group(number);
                Err(error)
            }
        }
    }

    /// Registers the memory of a pool with the kernel. See [`Ring::register_pool`](crate::Ring::register_pool).
    pub fn register_pool(&mut self, pool: &Pool) -> Result<(), Error> {
        let backend = self.engine_for("register_pool")?.backend_mut();
        backend.register_pool(pool);
        let follows = backend.registered_memory().is_some();
        self.follows_pools = follows;
        Ok(())
    }

    /// What is registered with the kernel; `None` if nothing ever was, and on backends without such a thing.
    pub fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.engine()?.backend().registered_memory()
    }

    /// Lets go of groups that nobody has a handle of any more.
    #[cold]
    fn sweep_groups(&mut self) {
        let Crossing::Here(Inner { engine, .. }) = &mut *self.crossing else { return };
        self.groups.retain(|(group, own)| {
            let is_used = holders(group) > *own;
            if !is_used {
                engine.remove_group(group.number());
                engine.backend_mut().remove_group(group.number());
            }
            is_used
        });
    }

    /// Has another number from now on: what was its own before is no longer.
    pub(crate) fn renumber(&mut self) -> u64 {
        self.number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.number
    }

    /// What no other ring of this process has; groups have it, too.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Stores a program and returns its number, by which the verb CALL runs it. No number is given out twice.
    ///
    /// A program made with [`Program::with_addresses`] names memory by itself; that promise lasts until it is forgotten and no
    /// call of it runs.
    ///
    /// Errors: [`Error::ForkedChild`]; [`Error::Store`] if there are too many. On a connected ring [`Error::Scheme`]: ENOSPC if
    /// there are too many, E2BIG for one that is too long, EPERM if the service has only its own called, EINVAL with the step
    /// for what its verifier refuses, a program that names memory by itself among others.
    pub fn store(&mut self, program: Program) -> Result<u32, Error> {
        self.at_home()?;
        match &mut *self.crossing {
            Crossing::Here(inner) => Ok(inner.engine.store(program)?),
            Crossing::There(remote) => remote.store(&program),
        }
    }

    /// Forgets a stored program. Calls of it that have begun, or wait for room to begin, run alone.
    ///
    /// Errors: ENOENT if no program has this number; EPERM for one of a service's own.
    pub fn forget(&mut self, program: u32) -> Result<(), Error> {
        self.at_home()?;
        match &mut *self.crossing {
            Crossing::Here(inner) => {
                inner.engine.forget(program).map_err(|errno| Error::Refused { call: "forget", errno })
            }
            Crossing::There(remote) => remote.forget(program),
        }
    }

    /// Restricts the ring to these programs: of what is taken from now on, every entry other than CANCEL and a CALL of one of
    /// them completes with EPERM. `None` lifts that.
    ///
    /// Errors: EOPNOTSUPP on a connected ring, which only its service restricts.
    pub fn restrict(&mut self, programs: Option<&[u32]>) -> Result<(), Error> {
        self.engine_for("restrict")?.restrict(programs);
        Ok(())
    }

    /// Which backend it runs on, and why.
    pub fn backend(&self) -> &Choice {
        &self.choice
    }

    /// What is alive in the engine. Of one in a service only what this side knows is told: entries that have not completed, as
    /// packets and as started.
    pub fn gauges(&self) -> Gauges {
        match &*self.crossing {
            Crossing::Here(inner) => inner.engine.gauges(),
            Crossing::There(remote) => remote.gauges(),
        }
    }

    /// The limits in force: a service's are its terms.
    pub fn limits(&self) -> Limits {
        match &*self.crossing {
            Crossing::Here(inner) => inner.engine.limits(),
            Crossing::There(remote) => remote.limits(),
        }
    }

    /// Nanoseconds of the ring's monotonic clock: the one that entries with an absolute time name, on the simulator a virtual one.
    pub fn now(&self) -> u64 {
        match &*self.crossing {
            Crossing::Here(inner) => inner.engine.now(),
            Crossing::There(remote) => remote.now(),
        }
    }

    /// What the backend has cost so far; nothing on a connected ring, whose service pays.
    pub fn counters(&self) -> Counters {
        self.engine().map(Engine::counters).unwrap_or_default()
    }

    /// The ring's numbers, if it was [asked to keep any](crate::RingBuilder::observe).
    pub fn observed(&self) -> Option<Observed> {
        watch_of(self.engine()?).map(Watch::observed)
    }

    /// Who keeps them.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        match &mut *self.crossing {
            Crossing::Here(inner) => watch_of_mut(&mut inner.engine),
            Crossing::There(_) => None,
        }
    }

    /// Starts recording what happens to entries. On a connected ring nothing is recorded: it happens elsewhere.
    pub fn start_trace(&mut self) {
        if let Crossing::Here(inner) = &mut *self.crossing {
            inner.engine.start_trace();
        }
    }

    /// Stops recording, and returns the events and how many were dropped.
    pub fn stop_trace(&mut self) -> (Vec<Event>, u64) {
        match &mut *self.crossing {
            Crossing::Here(inner) => inner.engine.stop_trace(),
            Crossing::There(_) => (Vec::new(), 0),
        }
    }

    /// Tears the ring down: takes no more entries, cancels everything, lets FINALLY entries run, and gives each
    /// completion to `each`, until nothing is in flight or `bound` has passed. Then descriptors still open are closed.
    pub fn teardown(mut self, bound: Duration, each: impl FnMut(Completion)) -> Teardown {
        self.tear_down(bound, each)
    }

    pub(crate) fn tear_down(&mut self, bound: Duration, mut each: impl FnMut(Completion)) -> Teardown {
        if self.torn_down || !self.home.is_here() {
            self.torn_down = true;
            return Teardown::default();
        }
        self.torn_down = true;
        let inner = match &mut *self.crossing {
            Crossing::Here(inner) => inner,
            Crossing::There(remote) => {
                let leaked = remote.close(bound, each);
                return note_leaked(leaked, bound);
            }
        };
        inner.submitter.publish();
        inner.engine.begin_teardown();
        let started = Instant::now();
        loop {
            let left = bound.saturating_sub(started.elapsed()).as_nanos() as u64;
            let entered = inner.engine.enter(0, 1, Some(left));
            while let Ok(Some(completion)) = inner.submitter.pop() {
                each(completion);
            }
            if inner.engine.is_idle() || left == 0 || entered.is_err() {
                break;
            }
        }
        let leaked = inner.engine.gauges().started;
        if let Some(watch) = watch_of_mut(&mut inner.engine) {
            watch.note_teardown(leaked);
        }
        note_leaked(leaked, bound)
    }

    /// What tells that there is something to enter for; see [`HostBackend::readiness`].
    pub(crate) fn readiness(&mut self) -> Result<Option<OwnedFd>, Error> {
        self.at_home()?;
        let made = match &mut *self.crossing {
            Crossing::Here(inner) => inner.engine.backend_mut().readiness(),
            Crossing::There(remote) => remote.readiness(),
        };
        made.map_err(|errno| Error::Refused { call: "readiness", errno })
    }

    /// When the ring has to be entered again at the latest, by its clock.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.engine()?.next_timer()
    }

    /// Whether chains wait for room in the backend.
    pub(crate) fn has_stalled(&self) -> bool {
        self.engine().is_some_and(Engine::has_stalled)
    }

    /// Slots of the completion queue.
    pub(crate) fn completions(&self) -> u32 {
        match &*self.crossing {
            Crossing::Here(inner) => inner.submitter.geometry().completions(),
            Crossing::There(remote) => remote.geometry().completions(),
        }
    }

    /// Whether `descriptor` is open. Of a service's nobody here can tell: a CLOSE will.
    pub(crate) fn is_open(&self, descriptor: Descriptor) -> bool {
        let Some(engine) = self.engine() else { return true };
        let idle = engine.idle_descriptor(descriptor);
        matches!(idle, Ok(_) | Err(Errno::EBUSY))
    }

    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// Whether this is the process that made the ring.
    pub(crate) fn is_ours(&self) -> bool {
        self.home.is_here()
    }

    /// Whether the engine has nothing in flight that may write to memory.
    pub(crate) fn is_at_rest(&self) -> bool {
        match &*self.crossing {
            Crossing::Here(inner) => inner.engine.gauges().started == 0,
            Crossing::There(remote) => remote.is_at_rest(),
        }
    }
}

/// What a connected ring cannot do.
#[cold]
fn elsewhere(call: &'static str) -> Error {
    Error::Refused { call, errno: Errno::EOPNOTSUPP }
}

/// Counts what a teardown gave up.
fn note_leaked(leaked: u32, bound: Duration) -> Teardown {
    if leaked > 0 {
        LEAKED.fetch_add(u64::from(leaked), Ordering::Relaxed);
        tracing::warn!(
            leaked,
            ?bound,
            "operations had not ended when a ring was torn down: their memory is leaked"
        );
    }
    Teardown { leaked }
}

impl<M> Drop for RawRing<M> {
    fn drop(&mut self) {
        let bound = self.bound;
        self.tear_down(bound, |_| ());
        // In a forked child everything is the parent's; past the bound the kernel may still write to it.
        // What is a service's end of a connection is let go of in any case: it is memory of its own.
        if self.home.is_here() && (self.is_remote() || self.is_at_rest()) {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.crossing) };
        }
    }
}

impl<M> std::fmt::Debug for RawRing<M> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RawRing")
            .field("backend", &self.choice.backend)
            .field("gauges", &self.gauges())
            .finish_non_exhaustive()
    }
}

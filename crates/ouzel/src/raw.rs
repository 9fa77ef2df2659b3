//! The raw ring: entries and completions, without types that prove anything.
//!
//! This is the ring the ABI describes, in one process: who pushes an entry writes its numbers. [`Ring`](crate::Ring)
//! is built on it; use that unless you need the numbers. It also owns what must outlive everything else, and tears it
//! down in the right order.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ouzel_engine::{Counters, Engine, Entered, Event, Gauges, Limits, Program, Target};
use ouzel_pool::Pool;
use ouzel_ring::{Completion, Descriptor, EngineEnd, Entry, Errno, Geometry, PushError, SubmitterEnd};

use crate::backend::HostBackend;
use crate::backend::sim::SimProcess;
use crate::builder::RingBuilder;
use crate::error::Error;
use crate::fork::Home;
use crate::memory::RingMemory;
use crate::observe::{Observed, Watch, watch_of, watch_of_mut};
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

struct Inner {
    // Fields are dropped in this order: both ends refer to the memory.
    engine: Engine<Box<dyn HostBackend>>,
    submitter: SubmitterEnd,
    _memory: RingMemory,
}

/// A ring as the ABI describes it, with its engine, in one process.
pub struct RawRing<M = Pinned> {
    inner: ManuallyDrop<Inner>,
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
        Ok(RawRing {
            inner: ManuallyDrop::new(Inner { engine, submitter, _memory: memory }),
            choice,
            home: Home::here(),
            bound: builder.bound(),
            torn_down: false,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            groups: Vec::new(),
            follows_pools: false,
            mobility: PhantomData,
        })
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
    /// [`BufferGroup`] as long.
    #[inline]
    pub unsafe fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        self.inner.submitter.push(entry)
    }

    /// Puts all of `entries` into the submission queue, or none of them; otherwise as [`push`](RawRing::push).
    ///
    /// # Safety
    ///
    /// As for [`push`](RawRing::push), for each of them.
    #[inline]
    pub(crate) unsafe fn push_all(
        &mut self,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> Result<(), PushError> {
        self.inner.submitter.push_all(entries)
    }

    /// How many entries can be pushed now.
    pub fn room(&mut self) -> u32 {
        self.inner.submitter.room().unwrap_or(0)
    }

    /// Hands up to `submit` pushed entries to the engine (whole chains only; `u32::MAX` is all), then waits until
    /// `wait` completions can be popped, `timeout` has passed, or nothing in flight could produce one.
    ///
    /// Errors: [`Error::ForkedChild`]; [`Error::Enter`] when the backend cannot go on.
    #[inline]
    pub fn enter(&mut self, submit: u32, wait: u32, timeout: Option<Duration>) -> Result<Entered, Error> {
        self.at_home()?;
        if !self.groups.is_empty() {
            self.sweep_groups();
        }
        if self.follows_pools {
            self.inner.engine.backend_mut().follow_pools();
        }
        let inner = &mut *self.inner;
        inner.submitter.publish();
        let timeout = timeout.map(|timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        Ok(inner.engine.enter(submit, wait, timeout)?)
    }

    /// Takes the oldest completion, if there is one.
    #[inline]
    pub fn pop(&mut self) -> Option<Completion> {
        // In one process the engine is trusted, so its index is never impossible.
        self.inner.submitter.pop().ok().flatten()
    }

    /// Takes every completion there is, oldest first.
    #[inline]
    pub(crate) fn drain(&mut self, each: impl FnMut(Completion)) {
        // In one process the engine is trusted, so its index is never impossible.
        let _ = self.inner.submitter.drain(each);
    }

    /// Asks what `target` names to be given up, and returns how many entries that reached.
    pub fn cancel(&mut self, target: Target) -> Result<u32, Error> {
        self.at_home()?;
        Ok(self.inner.engine.cancel(target))
    }

    /// Asks the chains that wait whole in the submission queue and that `target` names to be given up, and returns how
    /// many entries that reached. See [`Engine::cancel_waiting`].
    pub fn cancel_waiting(&mut self, target: Target) -> Result<u32, Error> {
        self.at_home()?;
        self.inner.submitter.publish();
        Ok(self.inner.engine.cancel_waiting(target))
    }

    /// Takes an ordinary file, socket or other object into the ring's table.
    ///
    /// Errors: EMFILE if the table is full; EOPNOTSUPP on the sim backend.
    pub fn adopt(&mut self, object: OwnedFd) -> Result<Descriptor, Error> {
        self.take_in("adopt", |backend, index| backend.adopt(index, object))
    }

    /// Makes a bell that rings on this kind of backend can have. It is not in this one yet: see
    /// [`adopt_bell`](RawRing::adopt_bell).
    ///
    /// Errors: EMFILE, ENFILE or ENOMEM of the system.
    pub fn bell(&mut self) -> Result<Bell, Error> {
        self.at_home()?;
        let made = self.inner.engine.backend_mut().make_bell();
        made.map_err(|errno| Error::Refused { call: "bell", errno })
    }

    /// Takes a bell into the ring's table; the bell stays good for others.
    ///
    /// Errors: EMFILE if the table is full; EOPNOTSUPP for a simulator's bell on another backend, or the other way
    /// round.
    pub fn adopt_bell(&mut self, bell: &Bell) -> Result<Descriptor, Error> {
        self.take_in("adopt_bell", |backend, index| backend.adopt_bell(index, bell))
    }

    /// Takes the process with this number, a child, into the ring's table, for WAIT and POLL.
    ///
    /// Errors: EMFILE if the table is full; ECHILD if there is no such process.
    pub fn adopt_process(&mut self, number: i32) -> Result<Descriptor, Error> {
        self.take_in("adopt_process", |backend, index| backend.adopt_process(index, number))
    }

    /// Starts a process in the simulator, and returns its number.
    ///
    /// Errors: EOPNOTSUPP on other backends.
    pub fn simulate_process(&mut self, process: SimProcess) -> Result<i32, Error> {
        self.at_home()?;
        let started = self.inner.engine.backend_mut().simulate_process(process);
        started.map_err(|errno| Error::Refused { call: "simulate_process", errno })
    }

    fn take_in(
        &mut self,
        call: &'static str,
        adopt: impl FnOnce(&mut Box<dyn HostBackend>, u32) -> Result<(), Errno>,
    ) -> Result<Descriptor, Error> {
        self.at_home()?;
        let refused = |errno| Error::Refused { call, errno };
        let engine = &mut self.inner.engine;
        let index = engine.reserve_descriptor().map_err(refused)?;
        if let Err(errno) = adopt(engine.backend_mut(), index) {
            engine.abandon_descriptor(index);
            return Err(refused(errno));
        }
        engine.install_descriptor(index).ok_or(refused(Errno::EBADF))
    }

    /// Takes an object out of the ring's table as an ordinary one. The descriptor is dead from here on.
    ///
    /// Errors: EBADF; EBUSY while an operation uses it; EOPNOTSUPP on the sim backend.
    pub fn release(&mut self, descriptor: Descriptor) -> Result<OwnedFd, Error> {
        self.at_home()?;
        let refused = |errno| Error::Refused { call: "release", errno };
        let engine = &mut self.inner.engine;
        let index = engine.idle_descriptor(descriptor).map_err(refused)?;
        let object = engine.backend_mut().release(index).map_err(refused)?;
        engine.abandon_descriptor(index);
        Ok(object)
    }

    /// The value of register `register` (0 to 6) as the engine last published it.
    pub fn register(&self, register: usize) -> Option<u64> {
        self.inner.submitter.register(register)
    }

    /// Sets register `register` (0 to 6) for chains without LOCAL that are admitted later. False if there is none.
    pub fn set_register(&mut self, register: usize, value: u64) -> bool {
        self.inner.submitter.set_register(register, value)
    }

    /// Adds memory that payloads may name by region. See [`Engine::add_region`].
    ///
    /// # Safety
    ///
    /// As for [`Engine::add_region`].
    pub unsafe fn add_region(&mut self, base: NonNull<u8>, length: usize) -> Result<u16, Error> {
        // SAFETY: the contract is the caller's.
        unsafe { self.inner.engine.add_region(base, length) }
            .map_err(|errno| Error::Refused { call: "add_region", errno })
    }

    /// Removes a region.
    pub fn remove_region(&mut self, region: u16) -> Result<(), Error> {
        self.inner
            .engine
            .remove_region(region)
            .map_err(|errno| Error::Refused { call: "remove_region", errno })
    }

    /// Makes a group of `count` buffers of `size` bytes each, out of `pool`, that RECV may pick from. See [`BufferGroup`].
    ///
    /// Entries name it by its [number](BufferGroup::number). It stays the ring's as long as somebody has a handle, or a
    /// [`Picked`](crate::Picked) of it; who pushes entries that name it keeps one until they have completed.
    ///
    /// Errors: [`Error::Pool`]; [`Error::Refused`]: EINVAL for no buffers or more than
    /// [`MAX_GROUP_BUFFERS`](crate::MAX_GROUP_BUFFERS), ENOSPC for more groups than
    /// [`MAX_GROUPS`](crate::abi::modifiers::MAX_GROUPS), EOPNOTSUPP if the kernel's ring has no such thing (before 6.0).
    pub fn add_group(&mut self, pool: &Pool, count: usize, size: usize) -> Result<BufferGroup, Error> {
        self.at_home()?;
        self.sweep_groups();
        let refused = |errno| Error::Refused { call: "group", errno };
        let engine = &mut self.inner.engine;
        let number = engine.add_group().map_err(refused)?;
        let made = BufferGroup::new(pool, self.number, number, count, size).and_then(|group| {
            engine.backend_mut().add_group(&group).map_err(refused)?;
            Ok(group)
        });
        match made {
            Ok(group) => {
                // With the one that goes into the list, and without the caller's.
                let own = group.holders();
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
        self.at_home()?;
        let backend = self.inner.engine.backend_mut();
        backend.register_pool(pool);
        self.follows_pools = backend.registered_memory().is_some();
        Ok(())
    }

    /// What is registered with the kernel; `None` if nothing ever was, and on backends without such a thing.
    pub fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.inner.engine.backend().registered_memory()
    }

    /// Lets go of groups that nobody has a handle of any more.
    #[cold]
    fn sweep_groups(&mut self) {
        let engine = &mut self.inner.engine;
        self.groups.retain(|(group, own)| {
            let is_used = group.holders() > *own;
            if !is_used {
                engine.remove_group(group.number());
                engine.backend_mut().remove_group(group.number());
            }
            is_used
        });
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
    /// Errors: [`Error::ForkedChild`]; [`Error::Store`] if there are too many.
    pub fn store(&mut self, program: Program) -> Result<u32, Error> {
        self.at_home()?;
        Ok(self.inner.engine.store(program)?)
    }

    /// Forgets a stored program. Calls of it that have begun, or wait for room to begin, run alone.
    ///
    /// Errors: ENOENT if no program has this number.
    pub fn forget(&mut self, program: u32) -> Result<(), Error> {
        self.at_home()?;
        self.inner.engine.forget(program).map_err(|errno| Error::Refused { call: "forget", errno })
    }

    /// Restricts the ring to these programs: of what is taken from now on, every entry other than CANCEL and a CALL of one of
    /// them completes with EPERM. `None` lifts that.
    pub fn restrict(&mut self, programs: Option<&[u32]>) -> Result<(), Error> {
        self.at_home()?;
        self.inner.engine.restrict(programs);
        Ok(())
    }

    /// Which backend it runs on, and why.
    pub fn backend(&self) -> &Choice {
        &self.choice
    }

    /// What is alive in the engine.
    pub fn gauges(&self) -> Gauges {
        self.inner.engine.gauges()
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.inner.engine.limits()
    }

    /// Nanoseconds of the ring's monotonic clock: the one that entries with an absolute time name, on the simulator a virtual one.
    pub fn now(&self) -> u64 {
        self.inner.engine.now()
    }

    /// What the backend has cost so far.
    pub fn counters(&self) -> Counters {
        self.inner.engine.counters()
    }

    /// The ring's numbers, if it was [asked to keep any](crate::RingBuilder::observe).
    pub fn observed(&self) -> Option<Observed> {
        watch_of(&self.inner.engine).map(Watch::observed)
    }

    /// Who keeps them.
    pub(crate) fn watch(&mut self) -> Option<&mut Watch> {
        watch_of_mut(&mut self.inner.engine)
    }

    /// Starts recording what happens to entries.
    pub fn start_trace(&mut self) {
        self.inner.engine.start_trace();
    }

    /// Stops recording, and returns the events and how many were dropped.
    pub fn stop_trace(&mut self) -> (Vec<Event>, u64) {
        self.inner.engine.stop_trace()
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
        let inner = &mut *self.inner;
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

    /// What tells that there is something to enter for; see [`HostBackend::readiness`].
    pub(crate) fn readiness(&mut self) -> Result<Option<OwnedFd>, Error> {
        self.at_home()?;
        let made = self.inner.engine.backend_mut().readiness();
        made.map_err(|errno| Error::Refused { call: "readiness", errno })
    }

    /// When the ring has to be entered again at the latest, by its clock.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.inner.engine.next_timer()
    }

    /// Whether chains wait for room in the backend.
    pub(crate) fn has_stalled(&self) -> bool {
        self.inner.engine.has_stalled()
    }

    /// Slots of the completion queue.
    pub(crate) fn completions(&self) -> u32 {
        self.inner.submitter.geometry().completions()
    }

    /// Whether `descriptor` is open.
    pub(crate) fn is_open(&self, descriptor: Descriptor) -> bool {
        let idle = self.inner.engine.idle_descriptor(descriptor);
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
        self.inner.engine.gauges().started == 0
    }
}

impl<M> Drop for RawRing<M> {
    fn drop(&mut self) {
        let bound = self.bound;
        self.tear_down(bound, |_| ());
        // In a forked child everything is the parent's; past the bound the kernel may still write to it.
        if self.home.is_here() && self.is_at_rest() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
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

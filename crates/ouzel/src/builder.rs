//! Building a ring: sizes, limits and the backend.

use std::time::Duration;

use ouzel_engine::Limits;
use ouzel_pool::Pool;
use ouzel_ring::{Errno, Geometry};

use crate::backend::HostBackend;
use crate::backend::uring::{Costs, Policy};
use crate::error::Error;
use crate::observe::Observe;
use crate::raw::{Movable, Pinned, RawRing, TEARDOWN_BOUND};
use crate::remote::{Carrier, Remote};
use crate::ring::Ring;
use crate::select::{BackendKind, Choice, open};

/// What a ring is made with.
///
/// ```
/// use ouzel::{BackendKind, Ring};
///
/// let ring = Ring::builder().entries(64).backend(BackendKind::Sim).seed(7).build()?;
/// assert_eq!(ring.backend().backend, BackendKind::Sim);
/// # Ok::<(), ouzel::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RingBuilder {
    pub(crate) entries: u64,
    pub(crate) completions: Option<u64>,
    pub(crate) descriptors: u32,
    programs: u32,
    program_steps: u32,
    pub(crate) backend: Option<BackendKind>,
    pub(crate) seed: u64,
    pub(crate) policy: Policy,
    pub(crate) costs: Option<Costs>,
    bound: Duration,
    watched: bool,
    within: Option<Duration>,
    pool: Option<Pool>,
    observe: Option<Observe>,
}

impl Default for RingBuilder {
    fn default() -> RingBuilder {
        RingBuilder::new()
    }
}

impl RingBuilder {
    /// The defaults: 256 entries, twice as many completions, 1,024 descriptors, the best backend there is.
    pub fn new() -> RingBuilder {
        RingBuilder {
            entries: 256,
            completions: None,
            descriptors: 1024,
            programs: Limits::default().programs,
            program_steps: Limits::default().program_steps,
            backend: None,
            seed: 0,
            policy: Policy::Auto,
            costs: None,
            bound: TEARDOWN_BOUND,
            watched: false,
            within: None,
            pool: None,
            observe: None,
        }
    }

    /// Slots of the submission queue: a power of two from 1 to 65,536. A chain can have no more entries.
    pub fn entries(mut self, entries: u64) -> RingBuilder {
        self.entries = entries;
        self
    }

    /// Slots of the completion queue: a power of two from 2 to 65,536; the default is twice the entries (at most 65,536). No more
    /// entries than this, less one, can be in flight.
    pub fn completions(mut self, completions: u64) -> RingBuilder {
        self.completions = Some(completions);
        self
    }

    /// Descriptors that can be open at once: 1 to 2^20.
    pub fn descriptors(mut self, descriptors: u32) -> RingBuilder {
        self.descriptors = descriptors.clamp(1, 1 << 20);
        self
    }

    /// Programs that can be stored at once; 64 by default. See [`Ring::store`].
    pub fn programs(mut self, programs: u32) -> RingBuilder {
        self.programs = programs;
        self
    }

    /// Steps of stored programs that can be in flight at once, at most 2^20; 1,024 by default. A program with more cannot be
    /// called, and calls for which there is no room wait until others end.
    pub fn program_steps(mut self, steps: u32) -> RingBuilder {
        self.program_steps = steps;
        self
    }

    /// This backend and no other. Without it, io_uring is taken where it is to be had, and threads elsewhere.
    pub fn backend(mut self, backend: BackendKind) -> RingBuilder {
        self.backend = Some(backend);
        self
    }

    /// The seed of the sim backend.
    pub fn seed(mut self, seed: u64) -> RingBuilder {
        self.seed = seed;
        self
    }

    /// Whether the uring backend does small operations on files by plain calls or on the kernel's ring; by default it
    /// takes what is cheaper. Other backends have no choice.
    pub fn policy(mut self, policy: Policy) -> RingBuilder {
        self.policy = policy;
        self
    }

    /// What [`Policy::Auto`] reckons with, in place of what is measured: the same chains then go the same ways on
    /// every machine, as far as files are cached.
    pub fn costs(mut self, costs: Costs) -> RingBuilder {
        self.costs = Some(costs);
        self
    }

    /// How long dropping the ring waits for operations to end; 1 second by default. What has not ended then is leaked and
    /// counted, see [`leaked_operations`](crate::leaked_operations).
    pub fn teardown_bound(mut self, bound: Duration) -> RingBuilder {
        self.bound = bound;
        self
    }

    /// The ring is to be watched by an event loop of another kind, see [`Executor::descriptor`](crate::task::Executor::descriptor):
    /// the kernel then does not put work off until the ring is entered, which costs some.
    pub fn watched(mut self) -> RingBuilder {
        self.watched = true;
        self
    }

    /// Has a [connected](Ring::connect) ring come back by itself when its service has gone: for so long from when that is noticed
    /// it looks every few milliseconds, at last every 100, whether the name is served again, and [connects](Ring::reconnect) to
    /// that. It looks when it is entered, and sleeps in between.
    ///
    /// What was in flight ends with ECONNRESET, but for chains that are [idempotent](crate::Chain::idempotent): those are issued
    /// again from their start. Chains that are submitted meanwhile have not begun, and wait for the service, whatever they are. When the
    /// time is over all of them end with ECONNRESET, and the ring fails with [`Error::ServiceGone`].
    pub fn reconnect_within(mut self, time: Duration) -> RingBuilder {
        self.within = Some(time);
        self
    }

    /// The pool that [`Ring::buffer`] takes from. Without it the ring makes one of its own when it is first asked.
    pub fn pool(mut self, pool: &Pool) -> RingBuilder {
        self.pool = Some(pool.clone());
        self
    }

    /// Has the ring count and time what it does, see [`observe`](crate::observe).
    pub fn observe(mut self, observe: Observe) -> RingBuilder {
        self.observe = Some(observe);
        self
    }

    /// Makes the ring. It stays on this thread.
    ///
    /// Errors: [`Error::Geometry`], [`Error::Backend`], [`Error::Observe`].
    pub fn build(&self) -> Result<Ring<Pinned>, Error> {
        Ring::over(self.build_raw()?).with_pool(self.pool.as_ref())
    }

    /// Makes a ring that can move to another thread, without the kernel modes that forbid that.
    ///
    /// Errors: as for [`build`](RingBuilder::build).
    pub fn build_movable(&self) -> Result<Ring<Movable>, Error> {
        Ring::over(self.build_raw_movable()?).with_pool(self.pool.as_ref())
    }

    /// Makes a ring on a backend of the caller's, such as one wrapped in [`Fault`](crate::backend::fault::Fault). Its table
    /// must hold as many descriptors as this builder says.
    ///
    /// Errors: [`Error::Geometry`].
    pub fn build_on(&self, backend: Box<dyn HostBackend>) -> Result<Ring<Pinned>, Error> {
        Ring::over(self.build_raw_on(backend)?).with_pool(self.pool.as_ref())
    }

    /// Makes a raw ring, for those who push entries themselves.
    ///
    /// Errors: as for [`build`](RingBuilder::build).
    pub fn build_raw(&self) -> Result<RawRing<Pinned>, Error> {
        let geometry = self.geometry()?;
        let (backend, choice) = open(self, self.watched)?;
        RawRing::on(backend, choice, geometry, self)
    }

    /// Makes a raw ring that can move to another thread.
    ///
    /// Errors: as for [`build`](RingBuilder::build).
    pub fn build_raw_movable(&self) -> Result<RawRing<Movable>, Error> {
        let geometry = self.geometry()?;
        let (backend, choice) = open(self, true)?;
        RawRing::on(backend, choice, geometry, self)
    }

    /// Makes a raw ring on a backend of the caller's; see [`build_on`](RingBuilder::build_on).
    ///
    /// Errors: [`Error::Geometry`].
    pub fn build_raw_on(&self, backend: Box<dyn HostBackend>) -> Result<RawRing<Pinned>, Error> {
        let choice = Choice::new(BackendKind::Custom, "brought by the caller");
        RawRing::on(backend, choice, self.geometry()?, self)
    }

    /// Connects to the service with this name, as [`Ring::connect`] does, with the sizes, the teardown bound and the pool of
    /// this builder. What else it says is the service's to decide.
    ///
    /// Errors: [`Error::Name`], [`Error::Scheme`]; [`Error::Refused`]: EOPNOTSUPP if the ring is to be observed: a service
    /// observes its own.
    pub fn connect(&self, name: &str) -> Result<Ring<Pinned>, Error> {
        let carrier = Carrier::new(None)?;
        Ring::over(self.connect_as(name, true)?).carrying(carrier, self.within).with_pool(self.pool.as_ref())
    }

    /// Connects to a service that is trusted with the memory of buffers: those of the ring's pool lie where the service can
    /// see them and are not copied. All other memory of a chain is carried, as on every connected ring.
    ///
    /// The pool of this builder, if it has one, must be of [`Shared`](ouzel_pool::Memory::Shared) memory. No buffer is
    /// carried that is larger than its regions.
    ///
    /// Errors: as for [`connect`](RingBuilder::connect), and EINVAL for a pool whose memory cannot be shared.
    ///
    /// # Safety
    ///
    /// The service must touch memory of the pool only where an operation in flight names it, as a kernel would: all of the
    /// pool is in its reach, and safe code here holds references into buffers that no operation uses.
    pub unsafe fn connect_trusting(&self, name: &str) -> Result<Ring<Pinned>, Error> {
        let carrier = Carrier::new(self.pool.as_ref())?;
        let pool = carrier.pool().clone();
        Ring::over(self.connect_as(name, true)?).carrying(carrier, self.within).with_pool(Some(&pool))
    }

    /// Connects to the service with this name, for those who push entries themselves. Payloads name memory that was
    /// [shared](RawRing::share).
    ///
    /// Errors: as for [`connect`](RingBuilder::connect).
    pub fn connect_raw(&self, name: &str) -> Result<RawRing<Pinned>, Error> {
        self.connect_as(name, false)
    }

    fn connect_as(&self, name: &str, watched: bool) -> Result<RawRing<Pinned>, Error> {
        if self.observe.is_some() {
            return Err(Error::Refused { call: "observe", errno: Errno::EOPNOTSUPP });
        }
        let geometry = self.geometry()?;
        let remote = Remote::connect(name, geometry, watched)?;
        let reason = format!("connected to {}", remote.name());
        Ok(RawRing::to(remote, Choice::new(BackendKind::Scheme, reason), self.bound))
    }

    /// The backend that this builder would choose, by itself: to be wrapped and given to [`build_on`](RingBuilder::build_on),
    /// or, [watched](RingBuilder::watched), to a service.
    ///
    /// Errors: [`Error::Backend`].
    pub fn open_backend(&self) -> Result<(Box<dyn HostBackend>, Choice), Error> {
        open(self, self.watched)
    }

    fn geometry(&self) -> Result<Geometry, Error> {
        let completions = self.completions.unwrap_or_else(|| (self.entries.saturating_mul(2)).min(1 << 16));
        Ok(Geometry::new(self.entries, completions)?)
    }

    /// How long a teardown may take.
    pub(crate) fn bound(&self) -> Duration {
        self.bound
    }

    /// What the ring is to tell about itself, if anything.
    pub(crate) fn observation(&self) -> Option<&Observe> {
        self.observe.as_ref()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            descriptors: self.descriptors,
            chain: u32::MAX,
            in_process: true,
            programs: self.programs,
            program_steps: self.program_steps,
        }
    }
}

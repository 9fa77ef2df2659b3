//! The handle: what tasks do with their executor and its ring.

use std::fmt;
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ouzel_engine::{Counters, Gauges};
use ouzel_pool::Pool;
use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{MessageFlags, PollEvents};

use super::core::Core;
use super::join::JoinHandle;
use super::metrics::Metrics;
use super::operation::{Calling, Operation};
use super::picking::Picking;
use super::remote::Remote;
use super::run::Run;
use super::sleep::{Interval, Sleep, Yield, yield_now};
use super::stream::{Many, Receiving, Source};
use crate::backend::sim::SimProcess;
use crate::chain::Kind;
use crate::chain::{Call, Program, ProgramId, Stored};
use crate::chain::{Chain, Fd};
use crate::error::Error;
use crate::observe::Observed;
use crate::select::Choice;
use crate::{Bell, Buffer, BufferGroup, Done, Picked, RegisteredMemory};

/// A handle of an [`Executor`](super::Executor): cheap to clone, and for the executor's own thread only; a
/// [`Remote`] is for others.
///
/// Beside what is here it has every operation of [`Ring`](crate::Ring) under the same name, as a future. Nothing of an
/// operation runs before its future is first polled; dropping the future after that cancels it.
///
/// A handle may outlive its executor: what is asked of it then fails with
/// [`EnterError::Closed`](crate::engine::EnterError::Closed).
#[derive(Clone)]
pub struct Handle {
    core: Rc<Core>,
}

impl Handle {
    pub(super) fn new(core: Rc<Core>) -> Handle {
        Handle { core }
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Starts a task beside this one. It runs while [`block_on`](super::Executor::block_on) does.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        self.core.spawn(future)
    }

    /// Runs a chain. What its steps did is in the [`Done`], errors included.
    ///
    /// Any number may be on their way: those for which the ring has no room wait in the executor, first come, first served.
    /// A chain for whose events none of those in the ring make room waits as long as they do; a larger ring helps.
    ///
    /// Errors: as for [`Ring::run`](crate::Ring::run).
    #[inline]
    pub fn run(&self, chain: Chain) -> Run {
        Run::new(Rc::clone(&self.core), chain)
    }

    /// Runs a stored program. Errors: as for [`run`](Handle::run).
    pub fn run_program<T: Kind>(&self, call: Call<T>) -> Calling<T> {
        Calling::new(|chain| self.run(chain), call)
    }

    /// An empty chain that uses the memory of an earlier one.
    #[inline]
    pub fn chain(&self) -> Chain {
        self.core.chain()
    }

    /// Gives the memory of a chain that is over to later ones.
    #[inline]
    pub fn recycle(&self, done: Done) {
        self.core.recycle(done);
    }

    /// Waits this long.
    pub fn sleep(&self, time: Duration) -> Sleep {
        Sleep::new(Rc::clone(&self.core), time)
    }

    /// Waits until the ring's clock, see [`now`](Handle::now), shows this.
    pub fn sleep_until(&self, nanoseconds: u64) -> Sleep {
        Sleep::until(Rc::clone(&self.core), nanoseconds)
    }

    /// Ticks, the first one after one period.
    pub fn interval(&self, period: Duration) -> Interval {
        Interval::new(Rc::clone(&self.core), period)
    }

    /// Gives `future` this long; then it is dropped, and the result is `None`.
    pub async fn timeout<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut sleep = self.sleep(time);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            pin!(&mut sleep).poll(context).map(|()| None)
        })
        .await
    }

    /// Gives every other task that can run its turn.
    pub fn yield_now(&self) -> Yield {
        yield_now()
    }

    /// Takes connections of `socket`, one after the other.
    pub fn accept_many(&self, socket: Descriptor) -> Many<Descriptor> {
        Many::new::<Fd>(Rc::clone(&self.core), Source::Accept(socket))
    }

    /// The events of `file`, each time that there are new ones.
    pub fn poll_many(&self, file: Descriptor, events: PollEvents) -> Many<u64> {
        Many::new::<u64>(Rc::clone(&self.core), Source::Poll(file, events))
    }

    /// What `socket` receives, in buffers of this capacity.
    pub fn recv_many(&self, socket: Descriptor, capacity: usize, flags: MessageFlags) -> Receiving {
        Receiving::new(self.clone(), socket, capacity, flags)
    }

    /// What `socket` receives, in buffers that the ring picks out of `group` when there is data. One entry of the ring serves for as
    /// long as there are buffers; see [`Picking`] for when there are none.
    ///
    /// ```
    /// use std::io::Write;
    /// use std::os::unix::net::UnixStream;
    ///
    /// use ouzel::Error;
    /// use ouzel::task::Executor;
    ///
    /// let mut executor = Executor::new()?;
    /// let handle = executor.handle();
    /// let (mut near, far) = UnixStream::pair().unwrap();
    /// near.write_all(b"all of this").unwrap();
    /// drop(near);
    /// let count = executor.block_on(async {
    ///     let group = handle.group(16, 4096)?;
    ///     let mut stream = handle.recv_into(handle.adopt(far)?, &group);
    ///     let mut count = 0;
    ///     while let Some(received) = stream.next().await {
    ///         count += received?.len();
    ///     }
    ///     Ok::<_, Error>(count)
    /// })??;
    /// assert_eq!(count, 11);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn recv_into(&self, socket: Descriptor, group: &BufferGroup) -> Picking {
        Picking::new(Rc::clone(&self.core), socket, group)
    }

    /// Receives once, into a buffer that the ring picks out of `group`. `None` when the peer has stopped sending.
    pub fn recv_picked(
        &self,
        socket: Descriptor,
        group: &BufferGroup,
    ) -> Operation<Picked, Result<Option<Picked>, Error>> {
        self.operation(
            |chain| chain.recv_picked(socket, group),
            |finished| {
                let taken = finished.with(|done, reg| {
                    done.get(reg)?;
                    Ok(done.take_picked(reg))
                });
                taken.map_err(|(error, _)| error)
            },
        )
    }

    /// Makes a group of buffers of the ring's pool to pick from. See [`Ring::group`](crate::Ring::group).
    pub fn group(&self, count: usize, size: usize) -> Result<BufferGroup, Error> {
        self.core.with_ring(|ring| ring.group(count, size))
    }

    /// Makes a group of buffers of another pool. See [`Ring::group`](crate::Ring::group).
    pub fn group_of(&self, pool: &Pool, count: usize, size: usize) -> Result<BufferGroup, Error> {
        self.core.with_ring(|ring| ring.group_of(pool, count, size))
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        Remote::new(self.core.far())
    }

    /// Nanoseconds of the ring's monotonic clock; 0 if the executor is gone.
    pub fn now(&self) -> u64 {
        self.core.now().unwrap_or(0)
    }

    /// What the executor has done so far.
    pub fn metrics(&self) -> Metrics {
        self.core.metrics()
    }

    /// The ring's numbers, if it was [asked to keep any](crate::RingBuilder::observe).
    pub fn observed(&self) -> Option<Observed> {
        self.core.with_ring(|ring| Ok(ring.observed())).ok().flatten()
    }

    /// What the ring's backend has cost so far.
    pub fn counters(&self) -> Counters {
        self.core.with_ring(|ring| Ok(ring.counters())).unwrap_or_default()
    }

    /// What is alive in the ring's engine. One entry of it is the executor's own.
    pub fn gauges(&self) -> Gauges {
        self.core.with_ring(|ring| Ok(ring.gauges())).unwrap_or_default()
    }

    /// Which backend the ring runs on, and why.
    pub fn backend(&self) -> Result<Choice, Error> {
        self.core.with_ring(|ring| Ok(ring.backend().clone()))
    }

    /// An empty buffer with room for `capacity` bytes of the ring's pool. See [`Ring::buffer`](crate::Ring::buffer).
    ///
    /// ```
    /// use ouzel::task::Executor;
    /// use ouzel::{Error, Offset, OpenOptions};
    ///
    /// let mut executor = Executor::new()?;
    /// let handle = executor.handle();
    /// executor.block_on(async {
    ///     let file = handle.open("Cargo.toml", OpenOptions::read()).await?;
    ///     let text = handle.read(file, handle.buffer(65536)?, Offset::START).await?;
    ///     assert!(text.starts_with(b"[package]"));
    ///     drop(text);
    ///     assert_eq!(handle.pool()?.statistics().in_use, 0);
    ///     handle.close(file).await
    /// })??;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn buffer(&self, capacity: usize) -> Result<Buffer, Error> {
        self.core.with_ring(|ring| ring.buffer(capacity))
    }

    /// Registers the memory of a pool with the kernel. See [`Ring::register_pool`](crate::Ring::register_pool).
    pub fn register_pool(&self, pool: &Pool) -> Result<(), Error> {
        self.core.with_ring(|ring| ring.register_pool(pool))
    }

    /// What is registered with the kernel. See [`Ring::registered_memory`](crate::Ring::registered_memory).
    pub fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.core.with_ring(|ring| Ok(ring.registered_memory())).unwrap_or_default()
    }

    /// The ring's pool. See [`Ring::pool`](crate::Ring::pool).
    pub fn pool(&self) -> Result<Pool, Error> {
        self.core.with_ring(|ring| ring.pool().cloned())
    }

    /// Takes an ordinary file, socket or other object into the ring. See [`Ring::adopt`](crate::Ring::adopt).
    pub fn adopt(&self, object: impl Into<OwnedFd>) -> Result<Descriptor, Error> {
        self.core.with_ring(|ring| ring.adopt(object))
    }

    /// Takes an object out of the ring as an ordinary one. See [`Ring::release`](crate::Ring::release).
    pub fn release(&self, descriptor: Descriptor) -> Result<OwnedFd, Error> {
        self.core.with_ring(|ring| ring.release(descriptor))
    }

    /// Makes a bell for rings on this kind of backend. See [`Bell`].
    pub fn bell(&self) -> Result<Bell, Error> {
        self.core.with_ring(|ring| ring.bell())
    }

    /// Takes a bell into the ring. See [`Ring::adopt_bell`](crate::Ring::adopt_bell).
    pub fn adopt_bell(&self, bell: &Bell) -> Result<Descriptor, Error> {
        self.core.with_ring(|ring| ring.adopt_bell(bell))
    }

    /// Takes a child process into the ring. See [`Ring::adopt_process`](crate::Ring::adopt_process).
    pub fn adopt_process(&self, number: i32) -> Result<Descriptor, Error> {
        self.core.with_ring(|ring| ring.adopt_process(number))
    }

    /// Starts a process in the simulator. See [`Ring::simulate_process`](crate::Ring::simulate_process).
    pub fn simulate_process(&self, process: SimProcess) -> Result<i32, Error> {
        self.core.with_ring(|ring| ring.simulate_process(process))
    }

    /// Stores a program. See [`Ring::store`](crate::Ring::store).
    pub fn store<T>(&self, program: Program<T>) -> Result<Stored<T>, Error> {
        self.core.with_ring(|ring| ring.store(program))
    }

    /// Forgets a stored program. See [`Ring::forget`](crate::Ring::forget).
    pub fn forget(&self, program: impl Into<ProgramId>) -> Result<(), Error> {
        self.core.with_ring(|ring| ring.forget(program))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

//! The executor: a loop over tasks and a ring, on one thread.

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Core, OnLate};
use super::handle::Handle;
use super::join::JoinHandle;
use super::remote::Remote;
use crate::builder::RingBuilder;
use crate::chain::Done;
use crate::error::Error;
use crate::ring::Ring;

/// What an executor is made with.
#[derive(Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct ExecutorBuilder {
    ring: RingBuilder,
    on_late: Option<OnLate>,
}

impl ExecutorBuilder {
    /// Sizes, limits and backend of its ring. The queue of completions needs at least three slots: the executor has an entry
    /// of its own in flight, always.
    pub fn ring(mut self, ring: RingBuilder) -> ExecutorBuilder {
        self.ring = ring;
        self
    }

    /// Calls `hook` with each result that came after its future had been dropped: of a chain that had run too far to be
    /// cancelled, or had been over already. What it gives back is treated as without a hook: descriptors that the chain has
    /// opened and left open are closed, the rest is dropped, and [`Metrics`](super::Metrics) count both. What it keeps is
    /// its own; [`Done::descriptors`] tells what has been opened.
    ///
    /// It is called on the executor's thread, between tasks. It is not called any more for what ends while the executor is
    /// dropped and its bound is over: the ring closes that.
    pub fn on_late(mut self, hook: impl FnMut(Done) -> Option<Done> + 'static) -> ExecutorBuilder {
        self.on_late = Some(Box::new(hook));
        self
    }

    /// Makes the executor, with a ring of its own.
    ///
    /// Errors: as for [`RingBuilder::build`]; [`Error::Refused`] with ENOSPC if the ring is too small.
    pub fn build(self) -> Result<Executor, Error> {
        let ring = self.ring.build()?;
        self.build_on(ring)
    }

    /// Makes the executor on this ring, which should have nothing in flight: results of chains that were submitted to it before
    /// are dropped.
    ///
    /// Errors: [`Error::Refused`]: the ring is too small (ENOSPC), its table is full (EMFILE), or its backend has no bells.
    pub fn build_on(self, ring: Ring) -> Result<Executor, Error> {
        Ok(Executor { core: Core::new(ring, self.on_late)? })
    }
}

impl fmt::Debug for ExecutorBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ExecutorBuilder").field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// Runs futures on the thread that made it, over a ring that it owns. See the [module](super).
///
/// Dropping it drops its tasks, which cancels what they have in flight, and waits for that within the ring's
/// [bound](RingBuilder::teardown_bound).
pub struct Executor {
    core: Rc<Core>,
}

impl Executor {
    /// An executor on a ring with default sizes, on the best backend there is.
    ///
    /// Errors: as for [`Ring::new`].
    pub fn new() -> Result<Executor, Error> {
        Executor::builder().build()
    }

    /// Ring and hooks to choose.
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder::default()
    }

    /// A handle, for tasks.
    pub fn handle(&self) -> Handle {
        Handle::new(Rc::clone(&self.core))
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        Remote::new(self.core.far())
    }

    /// Starts a task. It runs while [`block_on`](Executor::block_on) does.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        self.handle().spawn(future)
    }

    /// Runs `future`, and the tasks that were spawned, until `future` is over. Tasks that are not over then go on with the next
    /// call.
    ///
    /// A panic of `future` goes through; the executor is as good afterwards as before.
    ///
    /// Errors: those of the ring when it cannot go on ([`Error::Enter`], [`Error::ForkedChild`]). What `future` fails with is
    /// in its own output.
    pub fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, Error> {
        let core = &self.core;
        let _running = core.running();
        let (root, waker) = (core.root(), core.root_waker());
        let mut future = pin!(future);
        core.wake_root();
        loop {
            // Those that are woken meanwhile have their turn after the ring's.
            for _ in 0..core.runnable() {
                match core.next_task() {
                    None => break,
                    Some(task) if task == root => {
                        core.meter.polls.add(1);
                        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                        if let Poll::Ready(output) = polled {
                            if core.has_leavings() {
                                core.turn(false)?;
                            }
                            return Ok(output);
                        }
                    }
                    Some(task) => core.poll_task(task),
                }
            }
            core.turn(true)?;
        }
    }

    /// Runs the tasks that can run, and enters the ring, without waiting: for those who wait elsewhere, such as in an event loop
    /// of another kind. It comes back when no task can run any more, or after `turns` turns.
    ///
    /// What it returns says how long to wait before it is called again, unless the [descriptor](Executor::descriptor) becomes
    /// readable before. Wakes from other threads make it so, too.
    ///
    /// Errors: as for [`block_on`](Executor::block_on).
    pub fn turn(&mut self, turns: u32) -> Result<Waiting, Error> {
        let core = &self.core;
        core.wake_up();
        core.look_into_ring();
        let _running = core.running();
        let root = core.root();
        for _ in 0..turns.max(1) {
            for _ in 0..core.runnable() {
                match core.next_task() {
                    None => break,
                    // Its future is not being run.
                    Some(task) if task == root => {}
                    Some(task) => core.poll_task(task),
                }
            }
            let is_due = core.turn(false)?;
            if !is_due && core.runnable() == 0 && !core.has_leavings() && core.fall_asleep() {
                return Ok(core.patience().map_or(Waiting::ForEvent, Waiting::AtMost));
            }
        }
        Ok(Waiting::Not)
    }

    /// Polls a future of another executor's task, which is this one's while it is polled.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_within<F: Future>(
        &self,
        future: std::pin::Pin<&mut F>,
        context: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let _running = self.core.running();
        future.poll(context)
    }

    /// A descriptor that is readable when [`turn`](Executor::turn) has something to do: for `epoll(7)` and all that is built on
    /// it, mio's `SourceFd` and tokio's `AsyncFd` among them. After it has become readable call `turn`, and wait again only
    /// then: it may stay readable until that. `None` on backends that have none, as the simulator, and on io_uring if the ring
    /// was not built to be [watched](RingBuilder::watched).
    ///
    /// It is one for several (`epoll(7)`), and the caller's own; `turn` empties it. From the first call on it costs something with
    /// each completion.
    ///
    /// Errors: [`Error::Refused`] with EMFILE.
    pub fn descriptor(&self) -> Result<Option<OwnedFd>, Error> {
        self.core.readiness()
    }

    /// The number of what is behind [`descriptor`](Executor::descriptor), once there is one. The executor keeps it open.
    #[cfg(feature = "mio")]
    pub(crate) fn watched_number(&self) -> Option<std::os::fd::RawFd> {
        self.core.watched_number()
    }
}

/// How long to wait before the next [`turn`](Executor::turn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Not at all: there are tasks that can run.
    Not,
    /// Until the descriptor is readable, or this time is up.
    AtMost(Duration),
    /// Until the descriptor is readable.
    ForEvent,
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _running = self.core.running();
        self.core.close();
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Executor").field("metrics", &self.core.metrics()).finish_non_exhaustive()
    }
}

//! Remote: an executor's tasks started from any thread, and their results awaited anywhere.
//!
//! What is sent lies in the executor's inbox until its next turn; its bell is rung only if it sleeps. A chain travels in a
//! request, a cell that is used again, and is the executor's as soon as that has taken it out: dropping the future here has
//! the chain there cancelled. Nothing is allocated for that once there are as many cells as are in use at a time.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ouzel_engine::EnterError;
use ouzel_ring::Errno;

use super::handle::Handle;
use super::inbox::Refused;
use super::job::{Far, Job, Request};
use super::join::JoinError;
use super::operations::Ending;
use super::parked::wait_for;
use super::reply::{Answer, RemoteHandle, reply};
use super::request::Left;
use crate::chain::Chain;
use crate::chain::Done;
use crate::error::Error;
use crate::ring::Rejected;
use crate::sync;

/// A handle of an [`Executor`](super::Executor) for other threads.
///
/// ```
/// use ouzel::Chain;
/// use ouzel::task::Executor;
///
/// let (send, receive) = std::sync::mpsc::channel();
/// let owner = std::thread::spawn(move || {
///     let mut executor = Executor::new()?;                 // the ring belongs to this thread
///     send.send(executor.remote()).ok();
///     executor.block_on(std::future::pending::<()>())
/// });
/// # drop(owner);
/// let remote = receive.recv().unwrap();
/// let sum = remote.spawn(|handle| async move {             // runs there
///     let mut chain = Chain::new();
///     let value = chain.get(7u64);
///     handle.run(chain).await?.get(value)
/// });
/// assert_eq!(sum.wait().unwrap()?, 7);                     // or await it, here or anywhere
/// # Ok::<(), ouzel::Error>(())
/// ```
#[derive(Clone)]
pub struct Remote {
    far: Arc<Far>,
}

impl Remote {
    pub(super) fn new(far: &Arc<Far>) -> Remote {
        Remote { far: Arc::clone(far) }
    }

    /// Starts a task on the executor's thread, which `make` makes there. Dropping the handle lets it go on by itself.
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce(Handle) -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (answer, handle) = reply();
        let job = Job::Call(Box::new(move |handle: &Handle| start(handle, make, answer)));
        // A job that is refused is dropped, and its answer says so.
        drop(self.far.shared.send_job(job));
        handle
    }

    /// Has `act` called on the executor's thread, between tasks.
    pub fn call<T, A>(&self, act: A) -> RemoteHandle<T>
    where
        A: FnOnce(&Handle) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn(|handle| std::future::ready(act(&handle)))
    }

    /// Runs a chain on the executor's ring. Dropping the future cancels it.
    ///
    /// It is sent at once. Only if some thousands are waiting for the executor to take them out of its inbox is it kept here,
    /// and sent when it is polled and there is room.
    ///
    /// ```
    /// use ouzel::task::{Executor, Owner};
    /// use ouzel::{Chain, Error};
    ///
    /// let owner = Owner::start(Executor::new)?;
    /// let remote = owner.remote();
    /// let mut chain = Chain::new();
    /// for round in 0..100u64 {
    ///     let value = chain.get(round);
    ///     let done = remote.run(chain).wait()?;
    ///     assert_eq!(done.get(value)?, round);
    ///     chain = done.into_chain();           // nothing is allocated for the next round
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn run(&self, chain: Chain) -> RemoteRun {
        let (request, spare) = self.far.requests.claim();
        RemoteRun::begin(self, request, chain, spare)
    }

    /// Runs what `build` builds, in the memory of an earlier chain, if there is one.
    pub(super) fn run_built<T>(&self, build: impl FnOnce(&mut Chain) -> T) -> (RemoteRun, T) {
        let (request, spare) = self.far.requests.claim();
        let mut chain = spare.unwrap_or_default();
        let built = build(&mut chain);
        (RemoteRun::begin(self, request, chain, None), built)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Remote").finish_non_exhaustive()
    }
}

fn start<M, F>(handle: &Handle, make: M, answer: Answer<F::Output>)
where
    M: FnOnce(Handle) -> F + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let own = handle.clone();
    drop(handle.spawn(async move {
        let Some(reply) = answer.reply() else { return };
        let mut answer = answer;
        let made = catch_unwind(AssertUnwindSafe(|| make(own)));
        let ended = match made {
            Ok(future) => reply.until_aborted(future).await,
            Err(panic) => Err(JoinError::Panicked(panic)),
        };
        answer.give(ended);
    }));
}

/// A chain that runs on another thread's ring.
#[must_use = "dropping it cancels the chain"]
pub struct RemoteRun {
    far: Arc<Far>,
    /// `None` when it is over.
    request: Option<sync::Arc<Request>>,
    /// What goes back with the request.
    spare: Option<Chain>,
    stage: Stage,
}

enum Stage {
    /// There was no room for it in the inbox; the number is that by which it waits for some.
    Kept(Chain, Option<u64>),
    Sent,
    /// The executor is gone.
    Refused(Chain),
    Over,
}

impl RemoteRun {
    fn begin(remote: &Remote, request: sync::Arc<Request>, chain: Chain, spare: Option<Chain>) -> RemoteRun {
        let stage = Stage::Kept(chain, None);
        let mut run = RemoteRun { far: Arc::clone(&remote.far), request: Some(request), spare, stage };
        run.send();
        run
    }

    /// Sends the chain if it is still here, and there is room. False if there is none.
    fn send(&mut self) -> bool {
        let (chain, number) = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Kept(chain, number) => (chain, number),
            stage => {
                self.stage = stage;
                return true;
            }
        };
        let Some(request) = &self.request else { return true };
        request.fill(chain);
        let back = || request.take_back().unwrap_or_default();
        self.stage = match self.far.shared.offer_job(Job::Run(sync::Arc::clone(request))) {
            Ok(()) => Stage::Sent,
            Err(Refused::Full(_)) => Stage::Kept(back(), number),
            Err(Refused::Closed(_)) => Stage::Refused(back()),
        };
        if let (Stage::Sent | Stage::Refused(_), Some(number)) = (&self.stage, number) {
            drop(self.far.shared.wait_no_more(number));
        }
        !matches!(self.stage, Stage::Kept(..))
    }

    pub(super) fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        while !self.send() {
            let Stage::Kept(_, number) = &mut self.stage else { continue };
            let (waits, waker) = self.far.shared.wait_for_room(number, context.waker().clone());
            drop(waker);
            if waits {
                return Poll::Pending;
            }
        }
        match (&self.stage, &self.request) {
            (Stage::Sent, Some(request)) => {
                let ending = ready!(request.poll(context));
                self.stage = Stage::Over;
                return Poll::Ready(ending);
            }
            (Stage::Refused(_), _) => {}
            _ => {
                let error = Error::Refused { call: "poll of a future that is over", errno: Errno::EINVAL };
                return Poll::Ready(Err(Box::new(Rejected { error, chain: Chain::new() })));
            }
        }
        let chain = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Refused(chain) => chain,
            _ => Chain::new(),
        };
        Poll::Ready(Err(Box::new(Rejected { error: EnterError::Closed.into(), chain })))
    }

    /// Where the memory of its chain goes when it is over.
    pub(super) fn spare(&mut self) -> &mut Option<Chain> {
        &mut self.spare
    }

    /// It is over: others may have its request.
    pub(super) fn put_back(&mut self) {
        if let Some(request) = self.request.take() {
            self.far.requests.keep(request, self.spare.take());
        }
    }

    /// Waits on this thread. It must not be the executor's own, which could not go on then.
    pub fn wait(self) -> Result<Done, Error> {
        wait_for(self)
    }
}

impl Future for RemoteRun {
    type Output = Result<Done, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ending = ready!(self.poll_ending(context));
        self.put_back();
        Poll::Ready(ending.map_err(|rejected| rejected.error))
    }
}

impl Drop for RemoteRun {
    fn drop(&mut self) {
        let Some(request) = self.request.take() else { return };
        let left = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Sent => request.leave(),
            stage => {
                if let Stage::Kept(_, Some(number)) = stage {
                    drop(self.far.shared.wait_no_more(number));
                }
                self.far.requests.keep(request, self.spare.take());
                return;
            }
        };
        match left {
            Left::Told => drop(self.far.shared.send_job(Job::GivenUp(request))),
            // The executor finds the cell empty.
            Left::Unsent(chain) => drop(chain),
            Left::Nothing => {}
        }
    }
}

impl fmt::Debug for RemoteRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Kept(..) => "kept",
            Stage::Sent => "sent",
            Stage::Refused(_) => "refused",
            Stage::Over => "over",
        };
        formatter.debug_struct("RemoteRun").field("stage", &stage).finish_non_exhaustive()
    }
}

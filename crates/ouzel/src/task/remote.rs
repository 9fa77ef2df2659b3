//! Remote: an executor's tasks started from any thread, and their results awaited anywhere.
//!
//! What is sent lies in the executor's inbox until its next turn; its bell is rung only if it sleeps. Chains that are run this
//! way are the executor's from the start: dropping the future here has the task there aborted, which cancels the chain.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ouzel_engine::EnterError;

use super::handle::Handle;
use super::join::JoinError;
use super::reply::{Answer, RemoteHandle, reply};
use super::waker::Shared;
use crate::chain::Chain;
use crate::done::Done;
use crate::error::Error;

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
    shared: Arc<Shared>,
}

impl Remote {
    pub(super) fn new(shared: &Arc<Shared>) -> Remote {
        Remote { shared: Arc::clone(shared) }
    }

    /// Starts a task on the executor's thread, which `make` makes there. Dropping the handle lets it go on by itself.
    pub fn spawn<M, F>(&self, make: M) -> RemoteHandle<F::Output>
    where
        M: FnOnce(Handle) -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let (answer, handle) = reply();
        let job = Box::new(move |handle: &Handle| start(handle, make, answer));
        // A job that is refused is dropped, and its answer says so.
        drop(self.shared.send_job(job));
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
    pub fn run(&self, chain: Chain) -> RemoteRun {
        RemoteRun { handle: self.spawn(move |handle| handle.run(chain)) }
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
    handle: RemoteHandle<Result<Done, Error>>,
}

impl Future for RemoteRun {
    type Output = Result<Done, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context).map(flatten)
    }
}

impl RemoteRun {
    /// Waits on this thread. It must not be the executor's own, which could not go on then.
    pub fn wait(self) -> Result<Done, Error> {
        flatten(self.handle.again().wait())
    }
}

impl Drop for RemoteRun {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl fmt::Debug for RemoteRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RemoteRun").field("handle", &self.handle).finish()
    }
}

fn flatten(ended: Result<Result<Done, Error>, JoinError>) -> Result<Done, Error> {
    match ended {
        Ok(done) => done,
        // It is aborted only by being dropped, and does not panic.
        Err(_) => Err(EnterError::Closed.into()),
    }
}

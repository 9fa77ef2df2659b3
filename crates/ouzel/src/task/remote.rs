//! Remote: an executor's tasks started from any thread, and their results awaited anywhere.
//!
//! What is sent lies in the executor's inbox until its next turn; its bell is rung only if it sleeps. Chains that are run this
//! way are the executor's from the start: dropping the future here has the task there aborted, which cancels the chain.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use ouzel_engine::EnterError;

use super::handle::Handle;
use super::join::JoinError;
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
        let reply = Arc::new(Reply::default());
        let answer = Answer::new(&reply);
        let job = Box::new(move |handle: &Handle| start(handle, make, answer));
        // A job that is refused is dropped, and its answer says so.
        drop(self.shared.send_job(job));
        RemoteHandle::new(reply)
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
        let Some(reply) = answer.0.clone() else { return };
        let mut answer = answer;
        let made = catch_unwind(AssertUnwindSafe(|| make(own)));
        let ended = match made {
            Ok(future) => reply.until_aborted(future).await,
            Err(panic) => Err(JoinError::Panicked(panic)),
        };
        answer.give(ended);
    }));
}

/// What a task says to whoever started it.
pub(super) struct Reply<T>(Mutex<Said<T>>);

struct Said<T> {
    result: Option<Result<T, JoinError>>,
    /// Who waits for the result.
    waiter: Option<Waker>,
    aborted: bool,
    /// The task, to be told that it is aborted.
    task: Option<Waker>,
    over: bool,
}

impl<T> Default for Reply<T> {
    fn default() -> Reply<T> {
        Reply(Mutex::new(Said { result: None, waiter: None, aborted: false, task: None, over: false }))
    }
}

impl<T> Reply<T> {
    fn said(&self) -> MutexGuard<'_, Said<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits `future`, its panic included, unless an abort comes first.
    async fn until_aborted(&self, future: impl Future<Output = T>) -> Result<T, JoinError> {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let waker = {
                let mut said = self.said();
                if said.aborted {
                    return Poll::Ready(Err(JoinError::Aborted));
                }
                let is_current = said.task.as_ref().is_some_and(|task| task.will_wake(context.waker()));
                if is_current { None } else { said.task.replace(context.waker().clone()) }
            };
            drop(waker);
            match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(JoinError::Panicked(panic))),
            }
        })
        .await
    }

    fn abort(&self) {
        let task = {
            let mut said = self.said();
            said.aborted = true;
            said.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// The task's end of a reply. One that is dropped unanswered says that the executor is gone.
pub(super) struct Answer<T>(Option<Arc<Reply<T>>>);

impl<T> Answer<T> {
    pub(super) fn new(reply: &Arc<Reply<T>>) -> Answer<T> {
        Answer(Some(Arc::clone(reply)))
    }

    fn give(&mut self, result: Result<T, JoinError>) {
        let Some(reply) = self.0.take() else { return };
        let (waiter, task) = {
            let mut said = reply.said();
            said.result = Some(result);
            said.over = true;
            (said.waiter.take(), said.task.take())
        };
        drop(task);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.give(Err(JoinError::Closed));
    }
}

/// Awaits the result of a task on another thread. Dropping it lets the task go on by itself.
#[must_use = "dropping it detaches the task: say so with drop, or await it"]
pub struct RemoteHandle<T> {
    reply: Arc<Reply<T>>,
}

impl<T> RemoteHandle<T> {
    pub(super) fn new(reply: Arc<Reply<T>>) -> RemoteHandle<T> {
        RemoteHandle { reply }
    }

    /// Has the task's future dropped, as soon as the executor gets to it, which cancels what it has in flight.
    pub fn abort(&self) {
        self.reply.abort();
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.reply.said().over
    }

    /// Waits on this thread. It must not be the executor's own, which could not go on then.
    pub fn wait(mut self) -> Result<T, JoinError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Unpark>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            match Pin::new(&mut self).poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl<T> Future for RemoteHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = context.waker().clone();
        let mut said = self.reply.said();
        if let Some(result) = said.result.take() {
            drop(said);
            return Poll::Ready(result);
        }
        let before = said.waiter.replace(waker);
        drop(said);
        drop(before);
        Poll::Pending
    }
}

impl<T> fmt::Debug for RemoteHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RemoteHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
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
        let waiting = RemoteHandle { reply: Arc::clone(&self.handle.reply) };
        flatten(waiting.wait())
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

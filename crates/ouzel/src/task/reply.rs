//! Replies: what a task on an executor's thread says to whoever waits for it on another.
//!
//! Both ends take one lock and call each other's wakers behind it, never inside. Either end may be dropped at any time. Loom
//! tries every order (`models/tests/loom_wakers`), so nothing here knows of executors.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use super::join::JoinError;
use super::parked::wait_for;
use crate::sync::{Arc, Mutex, MutexGuard};

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

/// The two ends of a reply: the task's, and that of whoever waits for it.
pub(super) fn reply<T>() -> (Answer<T>, RemoteHandle<T>) {
    let said = Said { result: None, waiter: None, aborted: false, task: None, over: false };
    let reply = Arc::new(Reply(Mutex::new(said)));
    (Answer(Some(Arc::clone(&reply))), RemoteHandle { reply })
}

impl<T> Reply<T> {
    fn said(&self) -> MutexGuard<'_, Said<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits `future`, its panic included, unless an abort comes first.
    pub(super) async fn until_aborted(&self, future: impl Future<Output = T>) -> Result<T, JoinError> {
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
    /// What it is an answer to, unless it has been given.
    pub(super) fn reply(&self) -> Option<Arc<Reply<T>>> {
        self.0.clone()
    }

    /// Says how the task ended.
    pub(super) fn give(&mut self, result: Result<T, JoinError>) {
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
    /// Has the task's future dropped, as soon as the executor gets to it, which cancels what it has in flight.
    pub fn abort(&self) {
        self.reply.abort();
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.reply.said().over
    }

    /// Waits on this thread. It must not be the executor's own, which could not go on then.
    pub fn wait(self) -> Result<T, JoinError> {
        wait_for(self)
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

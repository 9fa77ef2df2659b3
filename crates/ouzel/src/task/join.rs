//! The handles by which the results of spawned tasks are awaited.
//!
//! A handle is a pointer to its task's block (`block`), which it holds: it costs nothing to make, and asking whether the task
//! is over is a look at its state. It does not leave the executor's thread, but may outlive the executor.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::block::{AWAITED, FULL, HANDLED, Header, OVER, Task};
use super::waker::Wakee;

/// Why a task has no result.
#[non_exhaustive]
pub enum JoinError {
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
    /// It was aborted.
    Aborted,
    /// Its executor was dropped before it was over.
    Closed,
}

impl fmt::Debug for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            JoinError::Panicked(_) => "Panicked",
            JoinError::Aborted => "Aborted",
            JoinError::Closed => "Closed",
        })
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                write!(formatter, "a task panicked: {}", text.unwrap_or("(no message)"))
            }
            JoinError::Aborted => formatter.write_str("a task was aborted before it was over"),
            JoinError::Closed => formatter
                .write_str("a task was not over when its executor was dropped: await its handle before that"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Awaits the result of a spawned task. Dropping it lets the task go on by itself.
#[must_use = "dropping it detaches the task: say so with drop, or await it"]
pub struct JoinHandle<T> {
    task: Task,
    result: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    /// The handle of a task.
    ///
    /// # Safety
    ///
    /// The task's state says that it has a handle, there is no other, and its result is a `T`.
    pub(super) unsafe fn new(task: Task) -> JoinHandle<T> {
        JoinHandle { task, result: PhantomData }
    }

    fn header(&self) -> &Header {
        // SAFETY: the handle holds it, and does not leave the executor's thread.
        unsafe { self.task.header() }
    }

    /// Has the task's future dropped, as soon as the executor gets to it, which cancels what it has in flight. A task that is
    /// over by then has its result all the same.
    pub fn abort(&self) {
        self.header().tasks.abort(self.task);
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.header().state.get() & OVER != 0
    }

    /// The waker is told when the task is over.
    #[cold]
    fn wait(&self, waker: &Waker) {
        let header = self.header();
        let wakee = Wakee::of(&header.tasks, waker);
        let before = header.joiner.replace(wakee);
        header.state.set(header.state.get() | AWAITED);
        drop(before);
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let state = self.header().state.get();
        if state & FULL != 0 {
            // SAFETY: it is there.
            return Poll::Ready(unsafe { self.task.take() });
        }
        // A task that awaits itself waits for ever, as it asked, and so does whoever has had the result.
        if state & OVER == 0 {
            self.wait(context.waker());
        }
        Poll::Pending
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: the handle holds the task until here. What is dropped after that is the user's.
        unsafe {
            let joiner = self.task.take_joiner();
            let is_full = self.header().state.get() & FULL != 0;
            let result = is_full.then(|| self.task.take::<T>());
            self.task.let_go(HANDLED);
            drop(joiner);
            drop(result);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

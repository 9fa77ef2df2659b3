//! Spawned tasks, and the handles by which their results are awaited.
//!
//! A task is one allocation: its future, and afterwards its result. A panic in it ends it and nothing else; its handle says
//! so. The future never moves, and is dropped in place, on the executor's thread, when it is over, aborted, or its executor
//! is dropped.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use super::core::Core;

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

/// A task, as its executor knows it.
pub(super) trait Task {
    /// Polls it. True if it is over.
    fn poll(&self, context: &mut Context<'_>) -> bool;
    /// Drops its future now, unless that is being polled.
    fn end(&self, why: JoinError);
}

/// A task, as its handle knows it.
trait Joinable<T> {
    fn poll_result(&self, context: &mut Context<'_>) -> Poll<Result<T, JoinError>>;
    fn ask_to_abort(&self);
    fn is_over(&self) -> bool;
}

enum Stage<F: Future> {
    Running(F),
    Over(Result<F::Output, JoinError>),
    Taken,
}

pub(super) struct Cellular<F: Future> {
    stage: RefCell<Stage<F>>,
    joiner: RefCell<Option<Waker>>,
    aborted: Cell<bool>,
}

impl<F: Future> Cellular<F> {
    pub(super) fn new(future: F) -> Cellular<F> {
        Cellular {
            stage: RefCell::new(Stage::Running(future)),
            joiner: RefCell::new(None),
            aborted: Cell::new(false),
        }
    }

    /// The task is over: whoever waits for it is told.
    fn finish(&self, result: Result<F::Output, JoinError>) {
        // The future is dropped in place, its panic, if it has one, goes nowhere; the stage is the new one either way.
        let dropped = catch_unwind(AssertUnwindSafe(|| *self.stage.borrow_mut() = Stage::Over(result)));
        if let Err(panic) = dropped {
            *self.stage.borrow_mut() = Stage::Over(Err(JoinError::Panicked(panic)));
        }
        let joiner = self.joiner.borrow_mut().take();
        if let Some(joiner) = joiner {
            joiner.wake();
        }
    }
}

impl<F: Future> Task for Cellular<F> {
    fn poll(&self, context: &mut Context<'_>) -> bool {
        if self.aborted.get() {
            self.end(JoinError::Aborted);
            return true;
        }
        let polled = {
            let mut stage = self.stage.borrow_mut();
            let Stage::Running(future) = &mut *stage else { return true };
            // SAFETY: the future lies in an `Rc` that only the executor and the handle have; nothing moves it out of its stage:
            // it is only dropped in place, by an assignment to that.
            let future = unsafe { Pin::new_unchecked(future) };
            catch_unwind(AssertUnwindSafe(|| future.poll(context)))
        };
        match polled {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(result)) => self.finish(Ok(result)),
            Err(panic) => self.finish(Err(JoinError::Panicked(panic))),
        }
        true
    }

    fn end(&self, why: JoinError) {
        let is_running = self.stage.try_borrow().is_ok_and(|stage| matches!(*stage, Stage::Running(_)));
        if is_running {
            self.finish(Err(why));
        }
    }
}

impl<F: Future> Joinable<F::Output> for Cellular<F> {
    fn poll_result(&self, context: &mut Context<'_>) -> Poll<Result<F::Output, JoinError>> {
        // A task that awaits itself finds its stage in use, and waits for ever, as it asked.
        if let Ok(mut stage) = self.stage.try_borrow_mut()
            && !matches!(*stage, Stage::Running(_))
        {
            return match std::mem::replace(&mut *stage, Stage::Taken) {
                Stage::Over(result) => Poll::Ready(result),
                _ => Poll::Pending,
            };
        }
        let waker = context.waker().clone();
        let before = self.joiner.borrow_mut().replace(waker);
        drop(before);
        Poll::Pending
    }

    fn ask_to_abort(&self) {
        self.aborted.set(true);
    }

    fn is_over(&self) -> bool {
        self.stage.try_borrow().is_ok_and(|stage| !matches!(*stage, Stage::Running(_)))
    }
}

/// Awaits the result of a spawned task. Dropping it lets the task go on by itself.
#[must_use = "dropping it detaches the task: say so with drop, or await it"]
pub struct JoinHandle<T> {
    task: Rc<dyn Joinable<T>>,
    core: Weak<Core>,
    place: u32,
}

impl<T> JoinHandle<T> {
    pub(super) fn new<F: Future<Output = T> + 'static>(
        task: Rc<Cellular<F>>,
        core: Weak<Core>,
        place: u32,
    ) -> JoinHandle<T> {
        JoinHandle { task, core, place }
    }

    /// Has the task's future dropped, as soon as the executor gets to it, which cancels what it has in flight. A task that is
    /// over by then has its result all the same.
    pub fn abort(&self) {
        if self.task.is_over() {
            return;
        }
        self.task.ask_to_abort();
        if let Some(core) = self.core.upgrade() {
            core.wake_task(self.place);
        }
    }

    /// Whether the task is over.
    pub fn is_finished(&self) -> bool {
        self.task.is_over()
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.poll_result(context)
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JoinHandle").field("is_finished", &self.is_finished()).finish_non_exhaustive()
    }
}

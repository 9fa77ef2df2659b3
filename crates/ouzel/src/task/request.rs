//! Requests: chains `C` that other threads have an executor run, and how they end, `E`.
//!
//! A request is a cell that goes to the executor and back, and is used again. Its two ends, the future and the executor, take
//! one lock and call each other's wakers behind it, never inside. Either may be dropped at any time; a future that is forgotten
//! keeps its cell and nothing else. Loom tries every order (`models/tests/loom_wakers`), so nothing here knows of executors.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

/// A chain on its way to an executor, or its end on its way back.
pub(super) struct Request<C, E> {
    standing: Mutex<Standing<C, E>>,
    /// The executor's note: the number of its operation. Nobody else looks at it.
    number: AtomicU64,
}

struct Standing<C, E> {
    stage: Stage<C, E>,
    /// Who waits for the end.
    waiter: Option<Waker>,
}

enum Stage<C, E> {
    /// It is nobody's, or its future's, which has not sent it or has had its end.
    Idle,
    /// It lies in the inbox.
    Sent(C),
    /// It was given up before the executor has begun with it.
    Withdrawn,
    /// The executor has it.
    Running,
    /// It was given up after that. The executor is told, by the same request, sent once more.
    Abandoned,
    Over(E),
}

/// What is left of a request whose future has been dropped.
pub(super) enum Left<C> {
    /// Nothing that the executor has to know of.
    Nothing,
    /// The chain, with which the executor will not begin. The cell is still in the inbox.
    Unsent(C),
    /// The executor has to be told.
    Told,
}

impl<C, E> Request<C, E> {
    fn new() -> Request<C, E> {
        Request {
            standing: Mutex::new(Standing { stage: Stage::Idle, waiter: None }),
            number: AtomicU64::new(0),
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing<C, E>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts in what is to be sent.
    pub(super) fn fill(&self, chain: C) {
        self.standing().stage = Stage::Sent(chain);
    }

    /// Takes out again what could not be sent.
    pub(super) fn take_back(&self) -> Option<C> {
        let mut standing = self.standing();
        match std::mem::replace(&mut standing.stage, Stage::Idle) {
            Stage::Sent(chain) => Some(chain),
            stage => {
                standing.stage = stage;
                None
            }
        }
    }

    /// The end, if it has come; otherwise it is told to whoever asks.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<E> {
        let mut cloned = None;
        loop {
            let mut standing = self.standing();
            match std::mem::replace(&mut standing.stage, Stage::Idle) {
                Stage::Over(end) => {
                    drop(standing);
                    return Poll::Ready(end);
                }
                stage => standing.stage = stage,
            }
            if standing.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(context.waker())) {
                drop(standing);
                return Poll::Pending;
            }
            if let Some(waker) = cloned {
                let before = standing.waiter.replace(waker);
                drop(standing);
                drop(before);
                return Poll::Pending;
            }
            // A waker is the user's: it is not cloned behind the lock.
            drop(standing);
            cloned = Some(context.waker().clone());
        }
    }

    /// Its future is dropped.
    pub(super) fn leave(&self) -> Left<C> {
        let mut standing = self.standing();
        let waiter = standing.waiter.take();
        let (stage, left) = match std::mem::replace(&mut standing.stage, Stage::Idle) {
            Stage::Sent(chain) => (Stage::Withdrawn, Left::Unsent(chain)),
            Stage::Running => (Stage::Abandoned, Left::Told),
            // What it has opened, for one, is the executor's to close.
            Stage::Over(end) => (Stage::Over(end), Left::Told),
            stage => (stage, Left::Nothing),
        };
        standing.stage = stage;
        drop(standing);
        drop(waiter);
        left
    }

    /// The executor begins with it, unless it was given up.
    pub(super) fn begin(&self) -> Option<C> {
        let mut standing = self.standing();
        match std::mem::replace(&mut standing.stage, Stage::Idle) {
            Stage::Sent(chain) => {
                standing.stage = Stage::Running;
                Some(chain)
            }
            // The cell is the executor's now.
            Stage::Withdrawn => None,
            stage => {
                standing.stage = stage;
                None
            }
        }
    }

    /// The executor says how it ended, or gets that back because nobody wants to know.
    pub(super) fn end(&self, end: E) -> Result<(), E> {
        let mut standing = self.standing();
        if !matches!(standing.stage, Stage::Running) {
            return Err(end);
        }
        standing.stage = Stage::Over(end);
        let waiter = standing.waiter.take();
        drop(standing);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        Ok(())
    }

    /// The executor was told that its future is gone: takes the end that came before that. The cell is the executor's now.
    pub(super) fn clear(&self) -> Option<E> {
        match std::mem::replace(&mut self.standing().stage, Stage::Idle) {
            Stage::Over(end) => Some(end),
            _ => None,
        }
    }

    /// The executor notes the number of the operation.
    pub(super) fn note(&self, number: u32) {
        self.number.store(u64::from(number), Ordering::Relaxed);
    }

    /// What the executor has noted last.
    pub(super) fn noted(&self) -> u32 {
        self.number.load(Ordering::Relaxed) as u32
    }
}

/// Cells, and what they come with, kept to be used again.
pub(super) struct Requests<C, E> {
    kept: Mutex<Vec<Kept<C, E>>>,
    /// How many are kept.
    most: usize,
}

/// A cell that is nobody's, and a chain to build into.
type Kept<C, E> = (Arc<Request<C, E>>, Option<C>);

impl<C, E> Requests<C, E> {
    pub(super) fn new(most: usize) -> Requests<C, E> {
        Requests { kept: Mutex::new(Vec::new()), most }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept<C, E>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cell, with a chain if there is one.
    pub(super) fn claim(&self) -> Kept<C, E> {
        let kept = self.kept().pop();
        kept.unwrap_or_else(|| (Arc::new(Request::new()), None))
    }

    /// Keeps a cell that is nobody's any more, and what may come with it.
    pub(super) fn keep(&self, request: Arc<Request<C, E>>, spare: Option<C>) {
        let mut kept = self.kept();
        if kept.len() < self.most {
            kept.push((request, spare));
            return;
        }
        drop(kept);
        // Its chain may have buffers, which are the user's.
        drop((request, spare));
    }
}

//! Jobs: operations that outlive the call that started them, and the rule for who ends one.
//!
//! Whoever works on a job holds the lock on its body; a cancel tries that lock and never waits for it. The one that
//! ends the job wins its [`Claim`] with the lock held, empties the body (so that no buffer is named and no object held
//! any more) and only then reports. A cancel that finds the lock taken leaves its wish behind, and the worker looks
//! for a wish after it has let go without an end: one of the two always sees the other.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use ouzel_engine::{Claim, Claimant, Operation, Outcome, Token};
use ouzel_ring::Errno;

use super::copy::CopyState;
use super::object::Object;
use crate::BufferGroup;

/// What an operation needs and how far it has come.
#[derive(Debug)]
pub(super) struct Body {
    /// What to do. `None` when it is over.
    pub(super) operation: Option<Operation>,
    /// The file, socket, source or (first) directory.
    pub(super) subject: Option<Arc<Object>>,
    /// The target or second directory.
    pub(super) other: Option<Arc<Object>>,
    /// The objects that a message takes along.
    pub(super) passed: Vec<Arc<Object>>,
    /// The group that it picks a buffer from.
    pub(super) group: Option<BufferGroup>,
    /// Bytes moved by earlier attempts.
    pub(super) progress: u64,
    /// A connection is being made.
    pub(super) connecting: bool,
    /// What a COPY has in hand.
    pub(super) copy: Option<Box<CopyState>>,
}

impl Body {
    pub(super) fn new(
        operation: Operation,
        subject: Option<Arc<Object>>,
        other: Option<Arc<Object>>,
    ) -> Body {
        Body {
            operation: Some(operation),
            subject,
            other,
            passed: Vec::new(),
            group: None,
            progress: 0,
            connecting: false,
            copy: None,
        }
    }

    /// A body with nothing in it.
    pub(super) fn empty() -> Body {
        Body {
            operation: None,
            subject: None,
            other: None,
            passed: Vec::new(),
            group: None,
            progress: 0,
            connecting: false,
            copy: None,
        }
    }

    /// How the operation ends if it goes no further: what it moved counts, else `error`.
    pub(super) fn stopped(&self, error: Errno) -> Outcome {
        if self.progress > 0 { Outcome::success(self.progress) } else { Outcome::failure(error) }
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        *self = Body::empty();
    }
}

/// Which attempts of a job are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Looks only.
    Poll,
    /// Looks only, again and again.
    PollMany,
    /// Takes connections, again and again.
    AcceptMany,
    /// Receives into buffers of a group, again and again.
    RecvMany,
    /// Uses up what it waits for; any thread may do it.
    Transfer,
    /// May take its time: only a worker does it.
    Work,
    /// Waits on a word of memory, on a thread of its own.
    Sleep,
    /// As [`Sort::Work`], and it cannot be given up.
    Close,
}

/// An operation that has been taken.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) token: Token,
    pub(super) sort: Sort,
    pub(super) may_wait: bool,
    /// The indices of the table that it fills, as far as it has any.
    pub(super) into: [Option<u32>; 2],
    pub(super) multishot: bool,
    pub(super) claim: Claim,
    /// Somebody wants it to end.
    wish: AtomicBool,
    /// Reports of a multishot operation that nobody has fetched yet.
    pub(super) unread: AtomicU32,
    /// A multishot ACCEPT has stopped until its reports are fetched.
    pub(super) paused: AtomicBool,
    /// Events of a multishot POLL that nobody has fetched yet.
    pub(super) pending: AtomicU64,
    /// The watch it is parked under, or 0.
    pub(super) watch: AtomicU64,
    /// What ends its sleep, when it is not 0.
    pub(super) end: AtomicU32,
    body: Mutex<Body>,
}

impl Job {
    pub(super) fn new(token: Token, sort: Sort, may_wait: bool, operation: &Operation, body: Body) -> Job {
        let opens = operation.opens();
        Job {
            token,
            sort,
            may_wait,
            into: [opens.first().copied(), opens.get(1).copied()],
            multishot: operation.is_multishot(),
            claim: Claim::new(),
            wish: AtomicBool::new(false),
            unread: AtomicU32::new(0),
            paused: AtomicBool::new(false),
            pending: AtomicU64::new(0),
            watch: AtomicU64::new(0),
            end: AtomicU32::new(0),
            body: Mutex::new(body),
        }
    }

    /// The body, for the one thread that works on it; `None` if the job is over.
    pub(super) fn begin(&self) -> Option<MutexGuard<'_, Body>> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        if self.claim.winner().is_some() { None } else { Some(body) }
    }

    /// Ends the job, body in hand. False if it was over already.
    pub(super) fn end(&self, mut body: MutexGuard<'_, Body>, claimant: Claimant) -> bool {
        let won = self.claim.win(claimant);
        if won {
            body.clear();
        }
        won
    }

    /// Leaves the wish that the job end, and the body if nobody is at work on it.
    pub(super) fn wish_end(&self) -> Option<MutexGuard<'_, Body>> {
        self.wish.store(true, Ordering::Relaxed);
        // Pairs with the fence in `wished_after_unlock`: either the lock below is seen free, or the wish is seen.
        fence(Ordering::SeqCst);
        let body = match self.body.try_lock() {
            Ok(body) => body,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if self.claim.winner().is_some() { None } else { Some(body) }
    }

    /// Whether an end is wished, for one that has just let go of the body.
    pub(super) fn wished_after_unlock(&self) -> bool {
        fence(Ordering::SeqCst);
        self.wish.load(Ordering::Relaxed)
    }

    /// The wish itself, for long work that looks now and then.
    pub(super) fn wish(&self) -> &AtomicBool {
        &self.wish
    }

    /// Whether the job is over.
    pub(super) fn is_over(&self) -> bool {
        self.claim.winner().is_some()
    }
}

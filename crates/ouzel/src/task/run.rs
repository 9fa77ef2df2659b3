//! Running a chain as a future.
//!
//! The chain is handed to the ring when the future is first polled; nothing of it runs before. From then on the ring owns it.
//! Dropping the future cancels the chain; its buffers and descriptors stay with the ring until it is over.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ouzel_chain::ring::not_run;
use ouzel_ring::Errno;

use super::core::Core;
use super::operations::Ending;
use crate::chain::Chain;
use crate::chain::Done;
use crate::error::Error;
use crate::ring::Rejected;

enum State {
    New(Chain),
    Submitted(u32),
    Over,
}

/// A chain on its way. Made by [`Handle::run`](super::Handle::run).
#[must_use = "a chain does nothing until its future is awaited"]
pub struct Run {
    core: Rc<Core>,
    state: State,
}

impl Run {
    pub(super) fn new(core: Rc<Core>, chain: Chain) -> Run {
        Run { core, state: State::New(chain) }
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The number of its operation, while it has one.
    pub(super) fn number(&self) -> Option<u32> {
        match self.state {
            State::Submitted(number) => Some(number),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn poll_ending(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let State::Submitted(number) = self.state else { return self.begin(context.waker()) };
        let ending = ready!(self.core.poll_operation(number, context.waker()));
        self.state = State::Over;
        Poll::Ready(ending)
    }

    /// Hands the chain to the ring.
    fn begin(&mut self, waker: &Waker) -> Poll<Ending> {
        let State::New(chain) = std::mem::replace(&mut self.state, State::Over) else {
            let error = Error::Refused { call: "poll of a future that is over", errno: Errno::EINVAL };
            return Poll::Ready(Err(Box::new(Rejected { error, chain: Chain::new() })));
        };
        let number = match self.core.begin(chain, waker) {
            Ok(number) => number,
            Err(rejected) => return Poll::Ready(Err(rejected)),
        };
        self.state = State::Submitted(number);
        Poll::Pending
    }
}

impl Future for Run {
    type Output = Result<Done, Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_ending(context).map(|ending| ending.map_err(|rejected| rejected.error))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Submitted(number) => self.core.abandon(number),
            State::New(chain) => self.core.recycle(not_run(chain)),
            State::Over => {}
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::New(_) => "new",
            State::Submitted(_) => "submitted",
            State::Over => "over",
        };
        formatter.debug_struct("Run").field("state", &state).finish_non_exhaustive()
    }
}

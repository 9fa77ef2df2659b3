//! A stream of what a socket receives, in buffers that the ring picks out of a group.
//!
//! It is one multishot entry. When that ends because the group had no buffer, or the ring no room for another completion, it
//! is started again: at once, or as soon as somebody gives a buffer back. Meanwhile the data waits in the socket.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use ouzel_chain::ring::next_picked;
use ouzel_ring::{Descriptor, Errno};

use super::core::Core;
use super::run::Run;
use crate::chain::Done;
use crate::error::Error;
use crate::group::Picking as _;
use crate::{BufferGroup, Picked};

enum State {
    Idle,
    Running(Run),
    /// It has ended, and there may be buffers left.
    Ended(Done),
    /// The group has no buffer.
    Starved,
    Over,
}

/// What a socket receives. Made by [`Handle::recv_into`](super::Handle::recv_into).
///
/// It ends when the peer has stopped sending, and after the first error. That there is no buffer to pick is none: it goes
/// on when one comes back, which is when a [`Picked`] is dropped. What comes while nobody asks waits in the ring.
#[must_use = "a stream does nothing until it is polled"]
pub struct Picking {
    core: Rc<Core>,
    socket: Descriptor,
    group: BufferGroup,
    state: State,
}

impl Picking {
    pub(super) fn new(core: Rc<Core>, socket: Descriptor, group: &BufferGroup) -> Picking {
        Picking { core, socket, group: group.clone(), state: State::Idle }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Option<Result<Picked, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn start(&self) -> Run {
        let mut chain = self.core.chain();
        chain.recv_many(self.socket, &self.group);
        Run::new(Rc::clone(&self.core), chain)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Picked, Error>>> {
        loop {
            match &mut self.state {
                State::Idle => self.state = State::Running(self.start()),
                State::Running(run) => {
                    if let Some(picked) = run.number().and_then(|number| self.core.next_picked(number)) {
                        return Poll::Ready(Some(Ok(picked)));
                    }
                    match ready!(run.poll_ending(context)) {
                        Ok(done) => self.state = State::Ended(done),
                        Err(rejected) => {
                            self.state = State::Over;
                            return Poll::Ready(Some(Err(rejected.error)));
                        }
                    }
                }
                State::Ended(done) => {
                    if let Some(picked) = next_picked(done, 0) {
                        return Poll::Ready(Some(Ok(picked)));
                    }
                    if let Some(error) = self.end() {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                State::Starved => {
                    ready!(self.group.poll_idle(context));
                    self.state = State::Idle;
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    /// It has ended and there are no more buffers: goes on, or says why not.
    fn end(&mut self) -> Option<Error> {
        let State::Ended(done) = std::mem::replace(&mut self.state, State::Over) else { return None };
        let error = done.check().err();
        self.core.recycle(done);
        match error {
            Some(error) if error.errno == Errno::ENOBUFS => {
                self.state = State::Starved;
                None
            }
            error => error.map(Error::from),
        }
    }
}

impl Stream for Picking {
    type Item = Result<Picked, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl FusedStream for Picking {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl Drop for Picking {
    fn drop(&mut self) {
        // One that runs is cancelled by its own drop.
        if let State::Ended(done) = std::mem::replace(&mut self.state, State::Over) {
            self.core.keep_late(done);
        }
    }
}

impl fmt::Debug for Picking {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Picking").field("socket", &self.socket).finish_non_exhaustive()
    }
}

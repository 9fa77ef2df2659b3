//! Streams: operations that result again and again.
//!
//! Accept and poll are multishot entries: one submission, results as they come. Dropping such a stream cancels it; what it
//! had accepted and nobody has asked for is late, and closed. When the ring has no room for another result the entry ends,
//! and the stream starts it again by itself. Receive is one operation after the other, each started when the stream is
//! polled, so that dropping the stream between two loses nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::{FusedStream, Stream};
use ouzel_chain::ring::next_completion;
use ouzel_ring::modifiers::{MessageFlags, PollEvents};
use ouzel_ring::{Completion, Descriptor, Errno};

use super::core::Core;
use super::operation::{BufferError, Operation};
use super::run::Run;
use crate::Buffer;
use crate::chain::{Done, Kind};
use crate::error::Error;

/// What is started, and again when it ended only for lack of room.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Accept(Descriptor),
    Poll(Descriptor, PollEvents),
}

enum State {
    Idle,
    Running(Run),
    /// It has ended, and there may be results left.
    Ended(Done),
    Over,
}

/// The results of a multishot operation. Made by [`Handle::accept_many`](super::Handle::accept_many) and
/// [`Handle::poll_many`](super::Handle::poll_many).
///
/// It ends after the first error. Results that come while nobody asks wait in the ring.
#[must_use = "a stream does nothing until it is polled"]
pub struct Many<V> {
    core: Rc<Core>,
    source: Source,
    state: State,
    value: fn(&Completion) -> Option<V>,
}

impl<V> Many<V> {
    pub(super) fn new<T: Kind<Value = V>>(core: Rc<Core>, source: Source) -> Many<V> {
        let value: fn(&Completion) -> Option<V> = |completion| T::value(completion, false, None);
        Many { core, source, state: State::Idle, value }
    }

    /// Its next result.
    pub async fn next(&mut self) -> Option<Result<V, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn start(&self) -> Run {
        let mut chain = self.core.chain();
        match self.source {
            Source::Accept(socket) => drop(chain.accept_many(socket)),
            Source::Poll(file, events) => drop(chain.poll_many(file, events)),
        }
        Run::new(Rc::clone(&self.core), chain)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<V, Error>>> {
        loop {
            match &mut self.state {
                State::Idle => self.state = State::Running(self.start()),
                State::Running(run) => {
                    while let Some(completion) = run.number().and_then(|number| self.core.next_result(number))
                    {
                        if let Some(value) = (self.value)(&completion) {
                            return Poll::Ready(Some(Ok(value)));
                        }
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
                    while let Some(completion) = next_completion(done) {
                        if let Some(value) = (self.value)(&completion) {
                            return Poll::Ready(Some(Ok(value)));
                        }
                    }
                    return match self.end() {
                        Some(result) => Poll::Ready(Some(result)),
                        None => continue,
                    };
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }

    /// It has ended and there are no more results: the last one, or nothing if it is to be started again.
    fn end(&mut self) -> Option<Result<V, Error>> {
        let State::Ended(done) = std::mem::replace(&mut self.state, State::Over) else { return None };
        let last = done.completion_of(0);
        let error = done.check().err();
        self.core.recycle(done);
        match (last, error) {
            (_, Some(error)) if error.errno != Errno::ENOBUFS => Some(Err(error.into())),
            (Some(last), None) => {
                self.state = State::Idle;
                (self.value)(&last).map(Ok)
            }
            _ => {
                self.state = State::Idle;
                None
            }
        }
    }
}

impl<V> Stream for Many<V> {
    type Item = Result<V, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl<V> FusedStream for Many<V> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Over)
    }
}

impl<V> Drop for Many<V> {
    fn drop(&mut self) {
        // One that runs is cancelled by its own drop.
        if let State::Ended(done) = std::mem::replace(&mut self.state, State::Over) {
            self.core.keep_late(done);
        }
    }
}

impl<V> fmt::Debug for Many<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Many").field("source", &self.source).finish_non_exhaustive()
    }
}

/// What a socket receives. Made by [`Handle::recv_many`](super::Handle::recv_many).
///
/// It ends when the peer has stopped sending, and after the first error.
#[must_use = "a stream does nothing until it is polled"]
pub struct Receiving {
    handle: super::Handle,
    socket: Descriptor,
    capacity: usize,
    flags: MessageFlags,
    spare: Option<Buffer>,
    running: Option<Operation<usize, Result<Buffer, BufferError>>>,
    over: bool,
}

impl Receiving {
    pub(super) fn new(
        handle: super::Handle,
        socket: Descriptor,
        capacity: usize,
        flags: MessageFlags,
    ) -> Receiving {
        Receiving { handle, socket, capacity, flags, spare: None, running: None, over: false }
    }

    /// What comes next.
    pub async fn next(&mut self) -> Option<Result<Buffer, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Gives a buffer to be received into again, so that no new one is made.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.spare = Some(buffer);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Buffer, Error>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let running = match &mut self.running {
            Some(running) => running,
            none => {
                let buffer = self.spare.take().unwrap_or_else(|| Buffer::with_capacity(self.capacity));
                none.insert(self.handle.recv(self.socket, buffer, self.flags))
            }
        };
        let received = ready!(Pin::new(running).poll(context));
        self.running = None;
        Poll::Ready(match received {
            Ok(buffer) if buffer.is_empty() => {
                self.over = true;
                None
            }
            Ok(buffer) => Some(Ok(buffer)),
            Err(failed) => {
                self.over = true;
                Some(Err(failed.error))
            }
        })
    }
}

impl Stream for Receiving {
    type Item = Result<Buffer, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl FusedStream for Receiving {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl fmt::Debug for Receiving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiving").field("socket", &self.socket).finish_non_exhaustive()
    }
}

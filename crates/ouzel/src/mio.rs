//! Rings and executors as event sources of mio.
//!
//! Behind each is an event counter that completions add to. This registers that and nothing else.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use ::mio::event::Source;
use ::mio::unix::SourceFd;
use ::mio::{Interest, Registry, Token};

use crate::error::Error;
use crate::ring::Ring;
use crate::task::Executor;

/// An event comes when there is something to take out of the ring: completions, or work that makes some.
///
/// Only "readable" means anything; other interests are not heeded. Events are *edges*: there is one for what came since
/// the last one, and none for what was left in the ring. So with each event [`flush`](Ring::flush), take what has ended
/// ([`next_ended`](Ring::next_ended)), and do so again until a flush brings nothing more. The first event comes at once after
/// registering, whatever there is. Timeouts of steps make no events:
/// [`patience`](Ring::patience) says how long to poll for at most. The kernel may interrupt a poll to do work of the ring on
/// its thread, and completions may be there then as well.
///
/// On io_uring the ring must be built to be [watched](crate::RingBuilder::watched). Such a ring, like one that is not
/// [movable](crate::RingBuilder::build_movable), is registered and taken from on its own thread.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use std::io::{ErrorKind, Write};
///
/// use mio::{Events, Interest, Poll, Token};
/// use ouzel::{Buffer, Chain, Ring};
/// use ouzel::abi::modifiers::MessageFlags;
///
/// let mut poll = Poll::new()?;
/// let mut ring = Ring::builder().watched().build()?;
/// poll.registry().register(&mut ring, Token(0), Interest::READABLE)?;
///
/// let (mut near, far) = UnixStream::pair()?;
/// let far = ring.adopt(far)?;
/// let mut chain = Chain::new();
/// let text = chain.recv(far, Buffer::with_capacity(100), MessageFlags::empty());
/// ring.submit(chain)?;
/// ring.flush()?;                                            // it is on its way
/// near.write_all(b"hello")?;
///
/// let mut events = Events::with_capacity(8);
/// let received = 'all: loop {
///     match poll.poll(&mut events, ring.patience()) {
///         Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
///         _ => {}
///     }
///     loop {
///         ring.flush()?;
///         let Some((_, mut done)) = ring.next_ended() else { break };
///         break 'all done.take(text);
///     }
/// };
/// assert_eq!(received.as_deref(), Some(&b"hello"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Errors of registering: [`Unsupported`](io::ErrorKind::Unsupported) where the ring has no
/// [descriptor](Ring::descriptor); those of making one, and of `epoll_ctl(2)`.
impl<M> Source for Ring<M> {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.descriptor().map_err(failed)?;
        SourceFd(&self.number()?).register(registry, token, Interest::READABLE)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        SourceFd(&self.number()?).reregister(registry, token, Interest::READABLE)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.number()?).deregister(registry)
    }
}

impl<M> Ring<M> {
    /// The counter's number; the ring keeps it open.
    fn number(&self) -> io::Result<RawFd> {
        self.counter.as_ref().map(AsRawFd::as_raw_fd).ok_or_else(unwatchable)
    }
}

/// An event comes when [`turn`](Executor::turn) has something to do. Only "readable" means anything, and each event is to be
/// answered by turns until one says to wait; see [`Executor::descriptor`]. Its ring must be built to be
/// [watched](crate::RingBuilder::watched).
impl Source for Executor {
    fn register(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        self.descriptor().map_err(failed)?;
        SourceFd(&executor_s_number(self)?).register(registry, token, Interest::READABLE)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, _: Interest) -> io::Result<()> {
        SourceFd(&executor_s_number(self)?).reregister(registry, token, Interest::READABLE)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&executor_s_number(self)?).deregister(registry)
    }
}

fn executor_s_number(executor: &Executor) -> io::Result<RawFd> {
    executor.watched_number().ok_or_else(unwatchable)
}

fn unwatchable() -> io::Error {
    let why = "this ring has nothing to watch: build it with RingBuilder::watched, on io_uring or threads, and register it first";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Refused { errno, .. } => io::Error::from_raw_os_error(errno.raw()),
        other => io::Error::other(other),
    }
}

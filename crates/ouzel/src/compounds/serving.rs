//! Serving one connection: accept, receive, answer, end.

use std::path::Path;
use std::time::Duration;

use ouzel_ring::modifiers::{MessageFlags, ShutdownHow};
use ouzel_ring::{Descriptor, Errno, Verb};

use super::held::Held;
use super::{unfit, value};
use crate::Buffer;
use crate::chain::{Chain, File, Reg};
use crate::error::Error;
use crate::ring::Ring;

/// What a peer is answered.
pub enum Answer<'a> {
    /// This, whatever it sent, and however much of it has arrived with the first RECV.
    Fixed(Buffer),
    /// What this makes of all that was received so far; `None` if more is needed. It is asked again after each RECV, and a
    /// last time when the peer has stopped sending: `None` then is no answer.
    With(&'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>),
}

/// Bounds of [`accept_then_serve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// The most bytes that are received.
    pub room: usize,
    /// How long it may take until a peer connects; `None`: for ever.
    pub accept_within: Option<Duration>,
    /// How long the peer may take to send each piece, and to take each piece of the answer; `None`: for ever.
    pub peer_within: Option<Duration>,
}

impl Default for ServeOptions {
    /// 64 KiB, no bound on the wait for a peer, and 30 seconds for what it does.
    fn default() -> ServeOptions {
        ServeOptions { room: 64 << 10, accept_within: None, peer_within: Some(Duration::from_secs(30)) }
    }
}

/// What came of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What was received.
    pub request: Vec<u8>,
    /// How many bytes were sent: all of the answer; 0 if there was none.
    pub answered: usize,
}

/// Takes one connection from `listener`, receives, answers, ends the sending direction and closes the connection.
///
/// **Guarantee:** `Ok` means that the whole answer went into the connection; that the peer has read it nobody can say. A
/// closure is called with all that was received so far, in order. **Crossings:** 2 with a fixed answer, 3 with a closure that
/// answers what came first. **On failure, and if the closure panics:** the connection is closed; `listener` stays open.
///
/// Errors: those of ACCEPT, RECV and SEND; ETIMEDOUT past a bound; EMSGSIZE if the room is full and the closure wants more.
pub fn accept_then_serve<M>(
    ring: &mut Ring<M>,
    listener: Descriptor,
    answer: Answer<'_>,
    options: &ServeOptions,
) -> Result<Served, Error> {
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let peer = chain.accept(listener);
    if let Some(time) = options.accept_within {
        chain.timeout(time);
    }
    let received = receive(&mut chain, peer, options, options.room);
    let (fixed, closure) = match answer {
        Answer::Fixed(data) => {
            let length = data.len();
            (Some((chain.send(peer, data, MessageFlags::empty()), length)), None)
        }
        Answer::With(closure) => (None, Some(closure)),
    };
    let mut done = held.ring.run(chain)?;
    let peer = held.keep(&done, peer)?;
    value(&done, received)?;
    let mut request = done.take(received).unwrap_or_default().into_vec();
    let answered = match (fixed, closure) {
        (Some((sent, length)), _) => {
            let count = value(&done, sent)?;
            let data = done.take(sent).unwrap_or_default();
            send_rest(&mut held, peer, &data, count, options)?;
            length
        }
        (None, Some(closure)) => match ask(&mut held, peer, closure, &mut request, options)? {
            Some(data) => {
                send_rest(&mut held, peer, &data, 0, options)?;
                data.len()
            }
            None => 0,
        },
        (None, None) => 0,
    };
    let mut chain = Chain::new();
    chain.shutdown(peer, ShutdownHow::Send);
    // A peer that is gone by now, so that there is nothing to end, has been sent everything all the same.
    held.run_and_close(chain)?;
    Ok(Served { request, answered })
}

/// Asks `closure` for an answer, and the peer for more until there is one.
fn ask<M>(
    held: &mut Held<'_, M>,
    peer: Descriptor,
    closure: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    request: &mut Vec<u8>,
    options: &ServeOptions,
) -> Result<Option<Vec<u8>>, Error> {
    let mut ended = request.is_empty();
    loop {
        let answer = closure(request);
        if answer.is_some() || ended {
            return Ok(answer);
        }
        let room = options.room.saturating_sub(request.len());
        if room == 0 {
            return Err(unfit(Verb::Recv, Errno::EMSGSIZE, Path::new("the connection")));
        }
        let mut chain = Chain::new();
        let received = receive(&mut chain, peer, options, room);
        let mut done = held.ring.run(chain)?;
        ended = value(&done, received)? == 0;
        request.extend_from_slice(&done.take(received).unwrap_or_default());
    }
}

/// Sends `data` from `count` on.
fn send_rest<M>(
    held: &mut Held<'_, M>,
    peer: Descriptor,
    data: &[u8],
    mut count: usize,
    options: &ServeOptions,
) -> Result<(), Error> {
    while count < data.len() {
        let mut chain = Chain::new();
        bound(&mut chain, options);
        let sent = chain.send(peer, &data[count..], MessageFlags::empty());
        let done = held.ring.run(chain)?;
        match value(&done, sent)? {
            0 => return Err(unfit(Verb::Send, Errno::EPIPE, Path::new("the connection"))),
            more => count += more,
        }
    }
    Ok(())
}

fn receive(chain: &mut Chain, peer: impl Into<File>, options: &ServeOptions, room: usize) -> Reg<usize> {
    bound(chain, options);
    chain.recv(peer, Buffer::with_capacity(room), MessageFlags::empty())
}

fn bound(chain: &mut Chain, options: &ServeOptions) {
    if let Some(time) = options.peer_within {
        chain.deadline(time);
    }
}

//! One exchange as a client: connect, send, receive, all within a deadline.

use std::path::Path;
use std::time::{Duration, Instant};

use ouzel_ring::modifiers::{MessageFlags, ShutdownHow};
use ouzel_ring::{Errno, Verb};

use super::held::Held;
use super::{unfit, value};
use crate::Buffer;
use crate::chain::Chain;
use crate::chain::SocketAddress;
use crate::error::Error;
use crate::ring::Ring;

/// Bytes that are received at a time when nobody knows how many will come.
const PIECE: usize = 64 << 10;

/// `SOCK_STREAM` of `socket(2)`.
const STREAM: u32 = 1;

/// How much [`connect_exchange`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until the peer stops sending, but no more than `limit` bytes. Our own direction is ended behind what was sent, which
    /// tells the peer that no more will come.
    PeerStops {
        /// More than this many bytes are EMSGSIZE.
        limit: usize,
    },
    /// This many bytes; fewer only if the peer stops sending before.
    Bytes(usize),
}

/// Connects a stream socket to `address`, sends `request`, receives, and closes.
///
/// **Guarantee:** `Ok` means that all of `request` went into the connection, and is what came back, in order. `deadline`
/// holds for everything together; on the simulator, whose clock is its own, for each crossing.
/// **Crossings:** 3, and 1 more for each 128 KiB that come until the peer stops. **On failure:** the socket is closed.
///
/// Errors: those of SOCKET, CONNECT, SEND and RECV; ETIMEDOUT past the deadline; EMSGSIZE past the limit.
pub fn connect_exchange<M>(
    ring: &mut Ring<M>,
    address: &SocketAddress,
    request: impl Into<Buffer>,
    until: Until,
    deadline: Duration,
) -> Result<Vec<u8>, Error> {
    let started = Instant::now();
    let left = || deadline.saturating_sub(started.elapsed());
    let request = request.into();
    let length = request.len();
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    chain.deadline(deadline);
    let socket = chain.socket(domain(address), STREAM, 0);
    chain.connect(socket, address);
    let sent = chain.send(socket, request, MessageFlags::empty());
    let mut done = held.ring.run(chain)?;
    let socket = held.keep(&done, socket)?;
    done.check()?;
    let mut count = done.get(sent)?;
    let request = done.take(sent).unwrap_or_default();
    while count < length {
        let mut chain = Chain::new();
        chain.deadline(left());
        let sent = chain.send(socket, &request[count..], MessageFlags::empty());
        match value(&held.ring.run(chain)?, sent)? {
            0 => return Err(unfit(Verb::Send, Errno::EPIPE, Path::new("the connection"))),
            more => count += more,
        }
    }

    let mut received: Vec<u8> = Vec::new();
    let mut first = true;
    let mut ended = until == Until::Bytes(0);
    while !ended {
        let mut chain = Chain::new();
        chain.deadline(left());
        let mut pieces = Vec::with_capacity(2);
        match until {
            Until::Bytes(all) => {
                let room = Buffer::with_capacity(all - received.len());
                pieces.push(chain.recv(socket, room, MessageFlags::WAIT_ALL));
            }
            Until::PeerStops { .. } => {
                if first {
                    chain.shutdown(socket, ShutdownHow::Send);
                    // A peer that has answered and gone may have left something to read.
                    chain.hardlink();
                }
                // The second asks whether a first one that is short was the end.
                for _ in 0..2 {
                    pieces.push(chain.recv(socket, Buffer::with_capacity(PIECE), MessageFlags::WAIT_ALL));
                }
            }
        }
        first = false;
        let mut done = held.ring.run(chain)?;
        for piece in pieces {
            let count = value(&done, piece)?;
            received.extend_from_slice(&done.take(piece).unwrap_or_default());
            ended = count == 0;
            match until {
                Until::PeerStops { limit } if received.len() > limit => {
                    return Err(unfit(Verb::Recv, Errno::EMSGSIZE, Path::new("the connection")));
                }
                Until::Bytes(all) => ended |= received.len() >= all,
                Until::PeerStops { .. } => {}
            }
            if ended {
                break;
            }
        }
    }
    held.run_and_close(Chain::new())?;
    Ok(received)
}

/// The family that an address begins with.
fn domain(address: &SocketAddress) -> u32 {
    match address.as_bytes() {
        [low, high, ..] => u32::from(u16::from_ne_bytes([*low, *high])),
        _ => 0,
    }
}

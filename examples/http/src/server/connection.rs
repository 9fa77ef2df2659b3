//! One connection: what has come in, what is asked for, and what is under way.

use std::time::Instant;

use ouzel::abi::Descriptor;

use crate::conditions::Facts;
use crate::request::Request;

/// An answer that is being made or sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) request: Request,
    /// The file, if it is open.
    pub(super) file: Option<Descriptor>,
    /// What is known of it.
    pub(super) facts: Option<Facts>,
    /// What of the file is still to be read.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// What a connection is at.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing; a receive is in flight or about to be.
    Waiting,
    /// An answer; a chain is in flight for it.
    Answering(Box<Answer>),
    /// The last answer was sent. Until the client stops sending, what it sends is thrown away.
    Lingering {
        /// How much more of that is borne.
        left: usize,
    },
    /// A close is in flight.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Descriptor,
    pub(super) phase: Phase,
    /// What has come in. The bytes before `used` are done with.
    pub(super) input: Vec<u8>,
    pub(super) used: usize,
    /// Room for the next receive.
    pub(super) room: Vec<u8>,
    /// A receive is in flight.
    pub(super) receiving: bool,
    /// The socket is closed.
    pub(super) closed: bool,
    /// The client has stopped sending.
    pub(super) ended: bool,
    /// When the head of a request that has begun must be there.
    pub(super) head_due: Option<Instant>,
}

impl Connection {
    pub(super) fn new(socket: Descriptor) -> Connection {
        Connection {
            socket,
            phase: Phase::Waiting,
            input: Vec::new(),
            used: 0,
            room: Vec::new(),
            receiving: false,
            closed: false,
            ended: false,
            head_due: None,
        }
    }

    /// Whether nothing was asked for.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Waiting) && self.unread().is_empty()
    }

    /// What came in and was not looked at for good.
    pub(super) fn unread(&self) -> &[u8] {
        self.input.get(self.used..).unwrap_or_default()
    }

    /// Takes bytes that came in.
    pub(super) fn feed(&mut self, bytes: Vec<u8>) {
        if self.unread().is_empty() {
            self.used = 0;
            self.room = std::mem::replace(&mut self.input, bytes);
        } else {
            self.input.drain(..self.used);
            self.used = 0;
            self.input.extend_from_slice(&bytes);
            self.room = bytes;
        }
    }
}

//! One simulated socket: its state, what it has received, and its readiness.
//!
//! Pure state. How sockets find each other and what passes between them is `network.rs`.

use std::collections::{BTreeMap, VecDeque};

use ouzel_ring::Errno;
use ouzel_ring::modifiers::PollEvents;

use super::address::{Family, Name};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Stream,
    Datagram,
    Sequenced,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    /// Connections that were made and wait to be accepted, at most `backlog` + 1.
    Listening {
        backlog: usize,
        queue: VecDeque<u64>,
    },
    /// Joined to a peer, which may have closed since.
    Connected,
}

/// A message that keeps its bounds.
#[derive(Debug, Default)]
pub(super) struct Datagram {
    pub(super) data: Vec<u8>,
    /// The name of who sent it, if that one has a name.
    pub(super) from: Option<Name>,
    /// The open descriptions that came with it, a reference each.
    pub(super) files: Vec<u64>,
}

/// A part of a stream that came with descriptors.
#[derive(Debug)]
pub(super) struct Part {
    /// Bytes that came before it.
    pub(super) start: u64,
    /// Where it ends.
    pub(super) end: u64,
    pub(super) files: Vec<u64>,
}

#[derive(Debug)]
pub(super) struct Socket {
    pub(super) family: Family,
    pub(super) kind: Type,
    pub(super) state: State,
    pub(super) local: Option<Name>,
    /// It asked for its port, and so keeps it when it stops listening.
    pub(super) keeps_port: bool,
    /// The peer's name at the time of connecting.
    pub(super) remote: Option<Name>,
    /// The peer: streams and unix datagram sockets know it, others find it by name.
    pub(super) peer: Option<u64>,
    /// The inode that carries its name.
    pub(super) inode: Option<u64>,
    pub(super) stream: VecDeque<u8>,
    pub(super) messages: VecDeque<Datagram>,
    /// Bytes of a stream that have been received so far, read or not.
    pub(super) pushed: u64,
    /// The descriptors that came with parts of a stream.
    pub(super) parts: VecDeque<Part>,
    /// Bytes in `messages`.
    pub(super) queued: usize,
    /// Nothing more is received, by a shutdown of its own (unix: or of the peer's).
    pub(super) read_closed: bool,
    /// Nothing more can be sent.
    pub(super) write_closed: bool,
    /// The peer has said that it sends no more (inet streams).
    pub(super) finished: bool,
    /// The connection was cut off (inet streams).
    pub(super) reset: bool,
    /// An error to be told to the next who asks.
    pub(super) error: Option<Errno>,
    /// Counts what a poller may want to know of.
    pub(super) arrivals: u64,
    pub(super) departures: u64,
    /// The options that were set, by level and name.
    pub(super) options: BTreeMap<(i32, i32), i32>,
}

impl Socket {
    pub(super) fn new(family: Family, kind: Type) -> Socket {
        Socket {
            family,
            kind,
            state: State::Idle,
            local: None,
            keeps_port: false,
            remote: None,
            peer: None,
            inode: None,
            stream: VecDeque::new(),
            messages: VecDeque::new(),
            pushed: 0,
            parts: VecDeque::new(),
            queued: 0,
            read_closed: false,
            write_closed: false,
            finished: false,
            reset: false,
            error: None,
            arrivals: 0,
            departures: 0,
            options: BTreeMap::new(),
        }
    }

    /// The open descriptions that came and that nobody has received.
    pub(super) fn take_files(&mut self) -> Vec<u64> {
        let datagrams = self.messages.iter_mut().map(|message| std::mem::take(&mut message.files));
        let parts = self.parts.drain(..).map(|part| part.files);
        datagrams.chain(parts).flatten().collect()
    }

    /// Bytes of the stream that have been read.
    pub(super) fn read_so_far(&self) -> u64 {
        self.pushed - self.stream.len() as u64
    }

    pub(super) fn is_unix(&self) -> bool {
        self.family == Family::Unix
    }

    pub(super) fn is_inet_stream(&self) -> bool {
        !self.is_unix() && self.kind == Type::Stream
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening { .. })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == State::Connected
    }

    pub(super) fn has_data(&self) -> bool {
        !self.stream.is_empty() || !self.messages.is_empty()
    }

    /// An inet stream both of whose directions have ended.
    pub(super) fn is_over(&self) -> bool {
        self.reset || (self.finished && self.write_closed)
    }

    /// A port that was not asked for goes with the connection.
    pub(super) fn has_lost_port(&self) -> bool {
        self.is_inet_stream() && self.is_over() && !self.keeps_port
    }

    /// What `poll(2)` would say, with `room` telling whether a send would find room.
    pub(super) fn readiness(&self, room: bool) -> PollEvents {
        let mut events = PollEvents::empty();
        events.set(PollEvents::ERROR, self.error.is_some());
        if let State::Listening { queue, .. } = &self.state {
            events.set(PollEvents::IN, !queue.is_empty());
            if self.is_unix() && self.read_closed {
                events |= PollEvents::IN | PollEvents::READ_HANGUP;
                events.set(PollEvents::HANGUP, self.write_closed);
            }
            return events;
        }
        let idle = !self.is_connected() && self.kind != Type::Datagram;
        let no_more = self.read_closed || self.finished || self.reset;
        let mute = self.write_closed || self.reset;
        events.set(PollEvents::HANGUP, idle || (no_more && mute));
        if no_more {
            events |= PollEvents::IN | PollEvents::READ_HANGUP;
        }
        if self.has_data() {
            events |= PollEvents::IN;
        }
        if room || (mute && self.is_inet_stream()) {
            events |= PollEvents::OUT;
        }
        events
    }
}

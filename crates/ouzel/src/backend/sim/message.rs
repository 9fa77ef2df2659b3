//! What passes between simulated sockets: SEND and RECV, and whether they would wait.
//!
//! A stream takes what fits now and says how much that was; only where nothing fits does a sender wait. Unix sockets
//! lose no message; an inet datagram that finds no room is dropped, as on Linux.

use ouzel_ring::Errno;

use super::address::{self, Name};
use super::network::Network;
use super::socket::{Datagram, Socket, State, Type};
use super::turn::{Key, Stop};

/// Messages a unix datagram socket holds before its senders wait (`max_dgram_qlen`, and one more).
const UNIX_MESSAGES: usize = 11;
/// The longest inet datagram.
const LONGEST_INET: usize = 65_507;
/// What Linux keeps of a send buffer for itself, so that the longest unix message is this much shorter.
const OVERHEAD: usize = 32;

impl Network {
    /// Whether a send would find room.
    pub(super) fn has_room(&self, id: u64) -> bool {
        let Ok(socket) = self.socket(id) else { return false };
        if socket.is_listening() {
            return false;
        }
        let Some(other) = socket.peer.and_then(|peer| self.sockets.get(&peer)) else { return true };
        self.takes(other)
    }

    fn takes(&self, receiver: &Socket) -> bool {
        match (receiver.kind, receiver.is_unix()) {
            (Type::Stream, _) => receiver.stream.len() < self.capacity,
            (Type::Datagram, true) => receiver.messages.len() < UNIX_MESSAGES,
            (Type::Sequenced, _) => receiver.queued < self.capacity,
            (Type::Datagram, false) => true,
        }
    }

    pub(super) fn send(&mut self, id: u64, data: &[u8]) -> Result<usize, Stop> {
        let socket = self.socket(id)?;
        match (socket.kind, socket.is_unix()) {
            (Type::Stream, true) => self.send_unix_stream(id, data),
            (Type::Stream, false) => self.send_inet_stream(id, data),
            (_, true) => self.send_unix_message(id, data),
            (_, false) => Ok(self.send_inet_message(id, data)?),
        }
    }

    fn send_unix_stream(&mut self, id: u64, data: &[u8]) -> Result<usize, Stop> {
        let socket = self.socket(id)?;
        let Some(peer) = socket.peer else { return Err(Errno::ENOTCONN.into()) };
        if socket.write_closed {
            return Err(Errno::EPIPE.into());
        }
        if !data.is_empty() && self.sockets.get(&peer).is_some_and(|other| other.read_closed) {
            return Err(Errno::EPIPE.into());
        }
        self.push_stream(id, peer, data)
    }

    fn send_inet_stream(&mut self, id: u64, data: &[u8]) -> Result<usize, Stop> {
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error.into());
        }
        let Some(peer) = socket.peer.filter(|_| !socket.write_closed && !socket.reset) else {
            return Err(Errno::EPIPE.into());
        };
        if data.is_empty() || self.sockets.contains_key(&peer) {
            return self.push_stream(id, peer, data);
        }
        // The peer has closed: it takes one send to find out, and the answer to that is a reset.
        let socket = self.socket_mut(id)?;
        socket.reset = true;
        socket.error = Some(Errno::EPIPE);
        self.arrived(id);
        Ok(data.len())
    }

    fn push_stream(&mut self, id: u64, peer: u64, data: &[u8]) -> Result<usize, Stop> {
        if data.is_empty() {
            return Ok(0);
        }
        let capacity = self.capacity;
        let other = self.sockets.get_mut(&peer).ok_or(Errno::EPIPE)?;
        let count = data.len().min(capacity.saturating_sub(other.stream.len()));
        if count == 0 {
            return Err(Stop::Wait(vec![Key::Socket(id), Key::Socket(peer)]));
        }
        other.stream.extend(&data[..count]);
        other.pushed += count as u64;
        self.arrived(peer);
        Ok(count)
    }

    fn send_unix_message(&mut self, id: u64, data: &[u8]) -> Result<usize, Stop> {
        let socket = self.socket(id)?;
        let sequenced = socket.kind == Type::Sequenced;
        if sequenced && !socket.is_connected() {
            return Err(Errno::ENOTCONN.into());
        }
        let peer = socket.peer;
        if data.len() > self.capacity.saturating_sub(OVERHEAD) {
            return Err(Errno::EMSGSIZE.into());
        }
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error.into());
        }
        if socket.write_closed {
            return Err(Errno::EPIPE.into());
        }
        let Some(peer) = peer else { return Err(Errno::ENOTCONN.into()) };
        let Some(other) = self.sockets.get(&peer) else {
            if sequenced {
                return Err(Errno::EPIPE.into());
            }
            self.disconnect(id)?;
            return Err(Errno::ECONNREFUSED.into());
        };
        if other.peer.is_some_and(|other| other != id) {
            return Err(Errno::EPERM.into());
        }
        if other.read_closed {
            return Err(Errno::EPIPE.into());
        }
        if !self.takes(other) {
            return Err(Stop::Wait(vec![Key::Socket(id), Key::Socket(peer)]));
        }
        let from = self.socket(id)?.local.clone();
        self.deliver(peer, data, from);
        Ok(data.len())
    }

    fn send_inet_message(&mut self, id: u64, data: &[u8]) -> Result<usize, Errno> {
        // Even a send that fails gives the socket a port.
        self.bind_any_port(id)?;
        if data.len() > LONGEST_INET {
            return Err(Errno::EMSGSIZE);
        }
        let name = self.socket(id)?.remote.clone().ok_or(Errno::EDESTADDRREQ)?;
        self.send_inet_to(id, &name, data)
    }

    /// Sends an inet datagram to an address.
    pub(super) fn send_inet_to(&mut self, id: u64, name: &Name, data: &[u8]) -> Result<usize, Errno> {
        self.bind_any_port(id)?;
        let family = self.socket(id)?.family;
        let &Name::Inet(ip, port) = name else { return Err(Errno::EINVAL) };
        if data.len() > LONGEST_INET {
            return Err(Errno::EMSGSIZE);
        }
        if port == 0 {
            return Err(Errno::EINVAL);
        }
        let ip = address::destination(ip, family);
        if !address::is_local(ip) {
            return Err(Errno::ENETUNREACH);
        }
        let socket = self.socket_mut(id)?;
        if let Some(error) = socket.error.take() {
            return Err(error);
        }
        if socket.write_closed {
            return Err(Errno::EPIPE);
        }
        let from = socket.local.clone();
        match self.receiver(ip, port, from.as_ref()) {
            Some(other) => {
                let full = self.socket(other)?.queued + data.len() > self.capacity;
                if !full {
                    // What is bound to every address sends from the one that reaches the receiver.
                    let from = from.map(|name| match name {
                        Name::Inet(own, port) => Name::Inet(address::source(own, ip), port),
                        name => name,
                    });
                    self.deliver(other, data, from);
                }
            }
            None if self.socket(id)?.remote.is_some() => {
                self.socket_mut(id)?.error = Some(Errno::ECONNREFUSED);
                self.arrived(id);
            }
            // One that is connected to nobody is not told.
            None => {}
        }
        Ok(data.len())
    }

    /// The inet datagram socket that gets what `from` sends to an address: one connected to `from`, or else one that
    /// hears everybody.
    fn receiver(&self, ip: core::net::Ipv6Addr, port: u16, from: Option<&Name>) -> Option<u64> {
        let hears = |socket: &Socket| {
            socket.kind == Type::Datagram
                && matches!(&socket.local, Some(Name::Inet(bound, taken))
                    if *taken == port && address::hears(*bound, ip))
        };
        let find = |connected: bool| {
            self.sockets.iter().find(|(_, socket)| {
                hears(socket)
                    && if connected { socket.remote.as_ref() == from } else { socket.remote.is_none() }
            })
        };
        find(true).or_else(|| find(false)).map(|(id, _)| *id)
    }

    fn deliver(&mut self, id: u64, data: &[u8], from: Option<Name>) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.queued += data.len();
            socket.messages.push_back(Datagram { data: data.to_vec(), from, files: Vec::new() });
        }
        self.arrived(id);
    }

    /// What a receive of `count` bytes would get, which stays in the queue. Empty at the end.
    pub(super) fn peek(&mut self, id: u64, count: u64) -> Result<Vec<u8>, Stop> {
        let socket = self.socket_mut(id)?;
        let unix = socket.is_unix();
        match socket.kind {
            Type::Stream if unix && !socket.is_connected() => return Err(Errno::EINVAL.into()),
            Type::Stream if socket.state == State::Idle && socket.read_closed => return Ok(Vec::new()),
            Type::Stream | Type::Sequenced if !socket.is_connected() => return Err(Errno::ENOTCONN.into()),
            _ => {}
        }
        let count = count as usize;
        let whole = count;
        // A datagram socket tells of an error before it gives what it has.
        if socket.kind != Type::Stream
            && let Some(error) = socket.error.take()
        {
            return Err(error.into());
        }
        if let Some(message) = socket.messages.front() {
            return Ok(message.data[..count.min(message.data.len())].to_vec());
        }
        if !socket.stream.is_empty() {
            // A part that came with descriptors is the last that one receive gets.
            let start = socket.read_so_far();
            let count = match socket.parts.front() {
                Some(part) if part.start < start + count as u64 => (part.end - start) as usize,
                _ => count,
            };
            let count = count.min(whole);
            return Ok(socket.stream.iter().take(count).copied().collect());
        }
        if socket.finished {
            return Ok(Vec::new());
        }
        if let Some(error) = socket.error.take() {
            return Err(error.into());
        }
        if socket.read_closed || socket.reset {
            return Ok(Vec::new());
        }
        Err(Stop::Wait(vec![Key::Socket(id)]))
    }

    /// Takes `count` bytes of a stream, or one message, out of the queue.
    pub(super) fn consume(&mut self, id: u64, count: usize) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        match socket.kind {
            Type::Stream => {
                drop(socket.stream.drain(..count.min(socket.stream.len())));
                let end = socket.read_so_far();
                while socket.parts.front().is_some_and(|part| part.start < end) {
                    // Nobody has asked for what came with it.
                    self.dropped.extend(socket.parts.pop_front().into_iter().flat_map(|part| part.files));
                }
            }
            _ => match socket.messages.pop_front() {
                Some(message) => {
                    socket.queued -= message.data.len();
                    self.dropped.extend(message.files);
                }
                None => return,
            },
        }
        let peer = socket.peer;
        // Senders of datagrams wait for the receiver itself; there may be many.
        self.touched.push(Key::Socket(id));
        if let Some(peer) = peer {
            self.departed(peer);
        }
    }
}

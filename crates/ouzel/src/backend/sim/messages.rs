//! SENDMSG and RECVMSG in the simulated machine: addresses, pieces, and descriptors on their way.
//!
//! A description on its way is held by a reference of its own, so that it outlives the sender's. One that nobody receives
//! is let go with what carried it. There is no collector: a socket that is on its way to itself stays for ever.

use ouzel_engine::Message;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MAX_TRANSFER, MessageFlags, MessageNotes};

use super::address::{self, Given, Name};
use super::network::Network;
use super::socket::{Part, State, Type};
use super::turn::Stop;
use super::world::{Done, World};
use crate::backend::memory;

/// What RECVMSG finds out beside the bytes.
struct Found {
    data: Vec<u8>,
    from: Option<Name>,
    files: Vec<u64>,
    truncated: bool,
}

impl World {
    pub(super) fn send_message(
        &mut self,
        id: u64,
        message: &Message,
        flags: MessageFlags,
        passed: &[u64],
    ) -> Result<u64, Stop> {
        if flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let data = memory::gather(&memory::pieces_of(message), 0, MAX_TRANSFER);
        let address = memory::bytes(message.address);
        let socket = self.network.socket(id)?;
        let (kind, unix, connected) = (socket.kind, socket.is_unix(), socket.is_connected());
        let (count, receiver) = match kind {
            Type::Datagram if !address.is_empty() => self.send_to(id, &address, &data)?,
            _ => {
                if kind == Type::Stream && unix && !address.is_empty() {
                    return Err(if connected { Errno::EISCONN } else { Errno::EOPNOTSUPP }.into());
                }
                let peer = socket.peer;
                (self.network.send(id, &data)?, peer)
            }
        };
        if unix && let Some(receiver) = receiver {
            let files = passed.to_vec();
            if self.network.attach_files(receiver, count as u64, files) {
                self.refer(passed);
            }
        }
        Ok(count as u64)
    }

    /// Sends one datagram to an address. Returns its length, and the receiver if it is a unix one.
    fn send_to(&mut self, id: u64, address: &[u8], data: &[u8]) -> Result<(usize, Option<u64>), Stop> {
        let socket = self.network.socket(id)?;
        let name = match address::parse(socket.family, address)? {
            Given::Name(name) => name,
            Given::Any => return Err(Errno::EINVAL.into()),
        };
        let receiver = match &name {
            Name::Path(path) => self.socket_at(path)?.ok_or(Errno::ECONNREFUSED)?,
            Name::Abstract(_) => {
                self.network.find(Type::Datagram, &name, false).ok_or(Errno::ECONNREFUSED)?
            }
            Name::Inet(..) => return Ok((self.network.send_inet_to(id, &name, data)?, None)),
        };
        if self.network.socket(receiver)?.kind != Type::Datagram {
            return Err(Errno::EPROTOTYPE.into());
        }
        // For the length of one send it has this peer.
        let before = {
            let socket = self.network.socket_mut(id)?;
            let before = (socket.peer, std::mem::replace(&mut socket.state, State::Connected));
            socket.peer = Some(receiver);
            before
        };
        let sent = self.network.send(id, data);
        let socket = self.network.socket_mut(id)?;
        (socket.peer, socket.state) = before;
        Ok((sent?, Some(receiver)))
    }

    pub(super) fn receive_message(
        &mut self,
        id: u64,
        message: &Message,
        flags: MessageFlags,
    ) -> Result<Done, Stop> {
        if flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let pieces = memory::pieces_of(message);
        let count = memory::length(&pieces).min(MAX_TRANSFER);
        let family = self.network.socket(id)?.family;
        let Found { data, from, mut files, truncated } = self.network.look_at_message(id, count)?;
        let count = memory::scatter(&pieces, 0, &data);
        let mut notes = MessageNotes::empty();
        notes.set(MessageNotes::TRUNCATED, truncated);
        let room = message.files as usize;
        notes.set(MessageNotes::DESCRIPTORS_LOST, files.len() > room);
        files.truncate(room);
        // From here on they are the receiver's; what was on its way is let go with its message.
        self.refer(&files);
        if !flags.contains(MessageFlags::PEEK) {
            self.network.consume(id, count as usize);
        }
        // The handle of an open description is its number.
        memory::set_files(message, &files);
        let name = from.map(|name| address::encode(family, Some(&name))).unwrap_or_default();
        memory::fill(message.address, 0, &name);
        Ok((count, Message::extra(files.len() as u32, notes, name.len() as u32)))
    }
}

impl Network {
    /// Lets these travel with what `receiver` has been sent last. False if nothing carries them.
    fn attach_files(&mut self, receiver: u64, count: u64, files: Vec<u64>) -> bool {
        if files.is_empty() {
            return false;
        }
        let Some(socket) = self.sockets.get_mut(&receiver) else { return false };
        if socket.kind == Type::Stream {
            if count == 0 {
                return false;
            }
            socket.parts.push_back(Part { start: socket.pushed - count, end: socket.pushed, files });
            return true;
        }
        match socket.messages.back_mut() {
            Some(message) => {
                message.files = files;
                true
            }
            None => false,
        }
    }

    /// What a RECVMSG of `count` bytes would get, all of which stays where it is.
    fn look_at_message(&mut self, id: u64, count: u64) -> Result<Found, Stop> {
        let data = self.peek(id, count)?;
        let socket = self.socket(id)?;
        if socket.kind == Type::Stream {
            let end = socket.read_so_far() + data.len() as u64;
            let part = socket.parts.front().filter(|part| part.start < end);
            let files = part.map(|part| part.files.clone()).unwrap_or_default();
            return Ok(Found { data, from: None, files, truncated: false });
        }
        Ok(match socket.messages.front() {
            Some(message) => Found {
                truncated: message.data.len() > data.len(),
                from: message.from.clone(),
                files: message.files.clone(),
                data,
            },
            None => Found { data, from: None, files: Vec::new(), truncated: false },
        })
    }
}

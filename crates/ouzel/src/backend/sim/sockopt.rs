//! What a simulated socket knows of itself: GETSOCKOPT, SETSOCKOPT, SOCKNAME and PEERNAME.
//!
//! Options are numbers of 32 bits. Those that Linux has and that matter here are known by name and remembered; only
//! SO_ERROR, the type and the like say something of the simulation, and none changes what it does.

use ouzel_engine::Span;
use ouzel_ring::Errno;

use super::address::{self, Family};
use super::network::Network;
use super::socket::{Socket, Type};
use super::world::{Subject, World};
use crate::backend::memory;

const SOL_SOCKET: i32 = 1;
const SO_REUSEADDR: i32 = 2;
const SO_TYPE: i32 = 3;
const SO_ERROR: i32 = 4;
const SO_BROADCAST: i32 = 6;
const SO_SNDBUF: i32 = 7;
const SO_RCVBUF: i32 = 8;
const SO_KEEPALIVE: i32 = 9;
const SO_ACCEPTCONN: i32 = 30;
const SO_PROTOCOL: i32 = 38;
const SO_DOMAIN: i32 = 39;
const SOL_TCP: i32 = 6;
const TCP_NODELAY: i32 = 1;

/// Bytes of an option's value.
const SIZE: usize = 4;
/// The least that a buffer's size can be set to (`SOCK_MIN_RCVBUF`).
const LEAST_BUFFER: i32 = 2304;

/// Whether an option is a switch.
fn is_switch(level: i32, name: i32) -> bool {
    matches!((level, name), (SOL_SOCKET, SO_REUSEADDR | SO_BROADCAST | SO_KEEPALIVE) | (SOL_TCP, TCP_NODELAY))
}

impl Socket {
    fn protocol(&self) -> i32 {
        match (self.family, self.kind) {
            (Family::Unix, _) => 0,
            (_, Type::Stream) => 6,
            _ => 17,
        }
    }

    /// Whether the socket has options of this level at all.
    fn has_level(&self, level: i32) -> bool {
        level == SOL_SOCKET || (level == SOL_TCP && self.is_inet_stream())
    }
}

impl Network {
    fn option(&mut self, id: u64, level: i32, name: i32) -> Result<i32, Errno> {
        let capacity = i32::try_from(self.capacity).unwrap_or(i32::MAX);
        let socket = self.socket_mut(id)?;
        if !socket.has_level(level) {
            return Err(Errno::EOPNOTSUPP);
        }
        let stored = socket.options.get(&(level, name)).copied();
        if level == SOL_SOCKET {
            match name {
                SO_TYPE => {
                    return Ok(match socket.kind {
                        Type::Stream => 1,
                        Type::Datagram => 2,
                        Type::Sequenced => 5,
                    });
                }
                SO_ERROR => return Ok(socket.error.take().map_or(0, Errno::raw)),
                SO_ACCEPTCONN => return Ok(i32::from(socket.is_listening())),
                SO_PROTOCOL => return Ok(socket.protocol()),
                SO_DOMAIN => {
                    return Ok(i32::from(match socket.family {
                        Family::Unix => address::UNIX,
                        Family::Inet => address::INET,
                        Family::Inet6 => address::INET6,
                    }));
                }
                SO_SNDBUF | SO_RCVBUF => return Ok(stored.unwrap_or(capacity)),
                _ => {}
            }
        }
        if is_switch(level, name) { Ok(stored.unwrap_or(0)) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn set_option(&mut self, id: u64, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        if !socket.has_level(level) {
            return Err(if socket.is_unix() { Errno::EOPNOTSUPP } else { Errno::ENOPROTOOPT });
        }
        let Some(value) = value.first_chunk::<SIZE>() else { return Err(Errno::EINVAL) };
        let value = i32::from_ne_bytes(*value);
        let value = match (level, name) {
            (SOL_SOCKET, SO_SNDBUF | SO_RCVBUF) => value.saturating_mul(2).max(LEAST_BUFFER),
            _ if is_switch(level, name) => i32::from(value != 0),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        socket.options.insert((level, name), value);
        Ok(())
    }
}

impl World {
    pub(super) fn read_option(
        &mut self,
        subject: Subject,
        level: i32,
        name: i32,
        value: Span,
    ) -> Result<u64, Errno> {
        let socket = self.socket_of(subject)?;
        let found = self.network.option(socket, level, name)?;
        Ok(memory::fill(value, 0, &found.to_ne_bytes()) as u64)
    }

    pub(super) fn write_option(
        &mut self,
        subject: Subject,
        level: i32,
        name: i32,
        value: Span,
    ) -> Result<(), Errno> {
        let socket = self.socket_of(subject)?;
        // No option that is known here is longer.
        let value = Span { length: value.length.min(SIZE), ..value };
        self.network.set_option(socket, level, name, &memory::bytes(value))
    }

    pub(super) fn own_name(&self, subject: Subject, address: Span) -> Result<u64, Errno> {
        let socket = self.network.socket(self.socket_of(subject)?)?;
        let name = address::encode(socket.family, socket.local.as_ref());
        memory::fill(address, 0, &name);
        Ok(name.len() as u64)
    }

    pub(super) fn peer_name(&self, subject: Subject, address: Span) -> Result<u64, Errno> {
        let socket = self.network.socket(self.socket_of(subject)?)?;
        if !socket.is_connected() || (socket.is_inet_stream() && socket.is_over()) {
            return Err(Errno::ENOTCONN);
        }
        let name = address::encode(socket.family, socket.remote.as_ref());
        memory::fill(address, 0, &name);
        Ok(name.len() as u64)
    }
}

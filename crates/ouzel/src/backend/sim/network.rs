//! How simulated sockets find each other: SOCKET, BIND, LISTEN, CONNECT, ACCEPT, SHUTDOWN and closing.
//!
//! The only machine there is is this one: 127.0.0.0/8, `::1` and unix names. A connection stands as soon as its listener has
//! room for it, before it is accepted, as on Linux. There is no TIME_WAIT: a port is free when its last socket is.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::ShutdownHow;

use super::address::{self, Family, Given, Name};
use super::socket::{Socket, State, Type};
use super::turn::{Key, Stop};

/// Ports given to those who do not choose (`ip_local_port_range`).
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32_768..=60_999;
/// The longest queue of a listener (`somaxconn`).
const LONGEST_BACKLOG: usize = 4096;

/// All sockets.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) sockets: BTreeMap<u64, Socket>,
    names: BTreeMap<Vec<u8>, u64>,
    next: u64,
    next_port: u16,
    next_name: u32,
    /// Bytes a stream or an inet datagram socket holds for its reader.
    pub(super) capacity: usize,
    /// Open descriptions that were on their way and will not arrive.
    pub(super) dropped: Vec<u64>,
    /// What has changed since somebody looked.
    pub(super) touched: Vec<Key>,
}

impl Network {
    pub(super) fn new(capacity: usize, first_port: u64) -> Network {
        let ports = u64::from(EPHEMERAL.end() - EPHEMERAL.start()) + 1;
        Network {
            sockets: BTreeMap::new(),
            names: BTreeMap::new(),
            next: 0,
            next_port: EPHEMERAL.start() + (first_port % ports) as u16,
            next_name: 0,
            capacity: capacity.max(1),
            dropped: Vec::new(),
            touched: Vec::new(),
        }
    }

    pub(super) fn socket(&self, id: u64) -> Result<&Socket, Errno> {
        self.sockets.get(&id).ok_or(Errno::EBADF)
    }

    pub(super) fn socket_mut(&mut self, id: u64) -> Result<&mut Socket, Errno> {
        self.sockets.get_mut(&id).ok_or(Errno::EBADF)
    }

    fn add(&mut self, socket: Socket) -> u64 {
        self.next += 1;
        self.sockets.insert(self.next, socket);
        self.next
    }

    /// Something arrived at `id`, or ended there.
    pub(super) fn arrived(&mut self, id: u64) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.arrivals += 1;
        }
        self.touched.push(Key::Socket(id));
    }

    /// There is room for what `id` wants to send, or it need not try any more.
    pub(super) fn departed(&mut self, id: u64) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.departures += 1;
        }
        self.touched.push(Key::Socket(id));
    }

    pub(super) fn create(&mut self, domain: i32, kind: i32, protocol: i32) -> Result<u64, Errno> {
        if !(0..46).contains(&domain) {
            return Err(Errno::EAFNOSUPPORT);
        }
        if !(0..11).contains(&kind) {
            return Err(Errno::EINVAL);
        }
        let family = match domain as u16 {
            address::UNIX => Family::Unix,
            address::INET => Family::Inet,
            address::INET6 => Family::Inet6,
            _ => return Err(Errno::EAFNOSUPPORT),
        };
        let kind = match (kind, family) {
            (1, _) => Type::Stream,
            (2, _) => Type::Datagram,
            (5, Family::Unix) => Type::Sequenced,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        };
        let own = match (family, kind) {
            (Family::Unix, _) => 1,
            (_, Type::Stream) => 6,
            _ => 17,
        };
        if protocol != 0 && protocol != own {
            return Err(if protocol < 0 || protocol >= 256 && family != Family::Unix {
                Errno::EINVAL
            } else {
                Errno::EPROTONOSUPPORT
            });
        }
        Ok(self.add(Socket::new(family, kind)))
    }

    /// Binds to an abstract or an inet name; paths need the tree and are bound by [`Network::bind_inode`].
    pub(super) fn bind(&mut self, id: u64, given: Given) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        if socket.has_lost_port() {
            socket.local = None;
        }
        let socket = self.socket(id)?;
        if socket.local.is_some() && !(given == Given::Any && socket.is_unix()) {
            if let Given::Name(Name::Inet(ip, _)) = &given
                && !address::is_local(*ip)
            {
                return Err(Errno::EADDRNOTAVAIL);
            }
            return Err(Errno::EINVAL);
        }
        let (family, kind) = (socket.family, socket.kind);
        match given {
            Given::Name(Name::Path(_)) => Err(Errno::EINVAL),
            Given::Any => {
                self.bind_any_name(id);
                Ok(())
            }
            Given::Name(Name::Abstract(name)) => {
                if self.names.contains_key(&name) {
                    return Err(Errno::EADDRINUSE);
                }
                self.names.insert(name.clone(), id);
                self.socket_mut(id)?.local = Some(Name::Abstract(name));
                Ok(())
            }
            Given::Name(Name::Inet(ip, port)) => {
                if !address::is_local(ip) {
                    return Err(Errno::EADDRNOTAVAIL);
                }
                let keeps_port = port != 0;
                let port = if port == 0 { self.free_port(kind, ip)? } else { port };
                if self.is_taken(kind, ip, port) {
                    return Err(Errno::EADDRINUSE);
                }
                debug_assert!(family != Family::Unix);
                let socket = self.socket_mut(id)?;
                socket.local = Some(Name::Inet(ip, port));
                socket.keeps_port = keeps_port;
                Ok(())
            }
        }
    }

    fn bind_any_name(&mut self, id: u64) {
        if self.sockets.get(&id).is_none_or(|socket| socket.local.is_some()) {
            return;
        }
        let name = loop {
            let name = format!("{:05x}", self.next_name & 0xf_ffff).into_bytes();
            self.next_name = self.next_name.wrapping_add(1);
            if !self.names.contains_key(&name) {
                break name;
            }
        };
        self.names.insert(name.clone(), id);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.local = Some(Name::Abstract(name));
        }
    }

    /// Binds to a path whose inode exists now.
    pub(super) fn bind_inode(&mut self, id: u64, path: Vec<u8>, inode: u64) -> Result<(), Errno> {
        let socket = self.socket_mut(id)?;
        socket.local = Some(Name::Path(path));
        socket.inode = Some(inode);
        Ok(())
    }

    /// Gives an inet socket without a name a free port at every address.
    pub(super) fn bind_any_port(&mut self, id: u64) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        let any = match socket.family {
            Family::Unix => return Ok(()),
            Family::Inet => std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
            Family::Inet6 => Ipv6Addr::UNSPECIFIED,
        };
        if socket.local.is_none() {
            self.bind(id, Given::Name(Name::Inet(any, 0)))?;
        }
        Ok(())
    }

    fn is_taken(&self, kind: Type, ip: Ipv6Addr, port: u16) -> bool {
        self.sockets.values().any(|socket| {
            socket.kind == kind
                && !socket.has_lost_port()
                && matches!(&socket.local, Some(Name::Inet(other, taken))
                    if *taken == port && (address::hears(*other, ip) || address::hears(ip, *other)))
        })
    }

    fn free_port(&mut self, kind: Type, ip: Ipv6Addr) -> Result<u16, Errno> {
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if !self.is_taken(kind, ip, port) {
                return Ok(port);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    pub(super) fn listen(&mut self, id: u64, backlog: u32) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        if socket.kind == Type::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if socket.is_connected() || (socket.is_unix() && socket.local.is_none()) {
            return Err(Errno::EINVAL);
        }
        self.bind_any_port(id)?;
        let limit = (backlog as usize).min(LONGEST_BACKLOG);
        let socket = self.socket_mut(id)?;
        match &mut socket.state {
            State::Listening { backlog, .. } => *backlog = limit,
            state => *state = State::Listening { backlog: limit, queue: VecDeque::new() },
        }
        self.arrived(id);
        Ok(())
    }

    /// The listener or receiver of an abstract or inet name.
    pub(super) fn find(&self, kind: Type, name: &Name, listening: bool) -> Option<u64> {
        match name {
            Name::Abstract(name) => self.names.get(name).copied(),
            Name::Path(_) => None,
            Name::Inet(ip, port) => self
                .sockets
                .iter()
                .filter(|(_, socket)| {
                    socket.kind == kind
                        && socket.is_listening() == listening
                        && matches!(&socket.local, Some(Name::Inet(bound, taken))
                            if taken == port && address::hears(*bound, *ip))
                })
                .map(|(id, _)| *id)
                .next(),
        }
    }

    /// Connects. `found` is the socket behind a unix name, which is already known to exist.
    pub(super) fn connect(&mut self, id: u64, name: Name, found: Option<u64>) -> Result<(), Stop> {
        let socket = self.socket(id)?;
        match (socket.is_unix(), socket.kind) {
            (_, Type::Datagram) => Ok(self.connect_datagram(id, name, found)?),
            (true, kind) => {
                let listener = found.ok_or(Errno::ECONNREFUSED)?;
                let other = self.socket(listener)?;
                if other.kind != kind {
                    return Err(Errno::EPROTOTYPE.into());
                }
                if !other.is_listening() || other.read_closed {
                    return Err(Errno::ECONNREFUSED.into());
                }
                match socket.state {
                    State::Idle => {}
                    State::Connected => return Err(Errno::EISCONN.into()),
                    State::Listening { .. } => return Err(Errno::EINVAL.into()),
                }
                self.join(id, listener, other.local.clone())
            }
            (false, _) => {
                if socket.state != State::Idle {
                    return Err(Errno::EISCONN.into());
                }
                let Name::Inet(ip, port) = name else { return Err(Errno::EINVAL.into()) };
                let ip = address::destination(ip, socket.family);
                if !address::is_local(ip) {
                    return Err(Errno::ENETUNREACH.into());
                }
                let name = Name::Inet(ip, port);
                let listener = self.find(Type::Stream, &name, true).ok_or(Errno::ECONNREFUSED)?;
                self.join(id, listener, Some(name))
            }
        }
    }

    /// Puts a new connection into a listener's queue, if there is room.
    fn join(&mut self, id: u64, listener: u64, remote: Option<Name>) -> Result<(), Stop> {
        let other = self.socket(listener)?;
        let State::Listening { backlog, queue } = &other.state else {
            return Err(Errno::ECONNREFUSED.into());
        };
        if queue.len() > *backlog {
            return Err(Stop::Wait(vec![Key::Socket(listener), Key::Socket(id)]));
        }
        let mut server = Socket::new(other.family, other.kind);
        if !other.is_unix() && self.socket(id)?.local.is_none() {
            let Some(Name::Inet(ip, _)) = remote else { return Err(Errno::EINVAL.into()) };
            let port = self.free_port(Type::Stream, ip)?;
            self.socket_mut(id)?.local = Some(Name::Inet(ip, port));
        }
        server.local = remote.clone();
        server.remote = self.socket(id)?.local.clone();
        server.peer = Some(id);
        server.state = State::Connected;
        let server = self.add(server);
        let socket = self.socket_mut(id)?;
        socket.peer = Some(server);
        socket.remote = remote;
        socket.state = State::Connected;
        if let State::Listening { queue, .. } = &mut self.socket_mut(listener)?.state {
            queue.push_back(server);
        }
        self.departed(id);
        self.arrived(listener);
        Ok(())
    }

    fn connect_datagram(&mut self, id: u64, name: Name, found: Option<u64>) -> Result<(), Errno> {
        let family = self.socket(id)?.family;
        let (name, peer) = if family == Family::Unix {
            let peer = found.ok_or(Errno::ECONNREFUSED)?;
            let other = self.socket(peer)?;
            if other.kind != Type::Datagram {
                return Err(Errno::EPROTOTYPE);
            }
            if other.peer.is_some_and(|other| other != id) {
                return Err(Errno::EPERM);
            }
            (name, Some(peer))
        } else {
            let Name::Inet(ip, port) = name else { return Err(Errno::EINVAL) };
            let ip = address::destination(ip, family);
            if !address::is_local(ip) {
                return Err(Errno::ENETUNREACH);
            }
            if self.socket(id)?.local.is_none() {
                let port = self.free_port(Type::Datagram, ip)?;
                self.socket_mut(id)?.local = Some(Name::Inet(ip, port));
            }
            if let Some(Name::Inet(own, _)) = &mut self.socket_mut(id)?.local
                && (own.is_unspecified() || own.to_ipv4_mapped().is_some_and(|four| four.is_unspecified()))
            {
                // What it sends from here on comes from the address that reaches the peer.
                *own = ip;
            }
            (Name::Inet(ip, port), None)
        };
        self.forsake(id, peer);
        let socket = self.socket_mut(id)?;
        socket.remote = Some(name);
        socket.peer = peer;
        socket.state = State::Connected;
        self.departed(id);
        Ok(())
    }

    /// A unix datagram socket turns from its peer to another: what it has not read is dropped, and the old peer is
    /// told so if it still sends there.
    fn forsake(&mut self, id: u64, next: Option<u64>) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let old = socket.peer;
        if !socket.is_unix() || old.is_none() || old == next || socket.messages.is_empty() {
            return;
        }
        let files = socket.take_files();
        socket.messages.clear();
        socket.queued = 0;
        self.dropped.extend(files);
        self.departed(id);
        if let Some(old) = old
            && let Some(other) = self.sockets.get_mut(&old)
            && other.peer == Some(id)
        {
            other.error = Some(Errno::ECONNRESET);
            self.arrived(old);
        }
    }

    /// Ends an association, as connecting to an address without a family does.
    pub(super) fn disconnect(&mut self, id: u64) -> Result<(), Errno> {
        let socket = self.socket(id)?;
        if socket.is_inet_stream() {
            self.cut_off(id);
            let socket = self.socket_mut(id)?;
            let mut fresh = Socket::new(socket.family, socket.kind);
            fresh.keeps_port = socket.keeps_port;
            fresh.local = socket.local.take_if(|_| socket.keeps_port);
            self.sockets.insert(id, fresh);
        } else if socket.kind == Type::Datagram {
            self.forsake(id, None);
            let socket = self.socket_mut(id)?;
            socket.state = State::Idle;
            socket.peer = None;
            socket.remote = None;
        } else {
            return Err(Errno::EINVAL);
        }
        self.arrived(id);
        Ok(())
    }

    /// Takes a connection out of a listener's queue: the new socket and its peer's address.
    pub(super) fn accept(&mut self, id: u64) -> Result<(u64, Vec<u8>), Stop> {
        let socket = self.socket_mut(id)?;
        if socket.kind == Type::Datagram {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let closed = socket.read_closed;
        let State::Listening { queue, .. } = &mut socket.state else { return Err(Errno::EINVAL.into()) };
        let Some(accepted) = queue.pop_front() else {
            return Err(if closed { Errno::EINVAL.into() } else { Stop::Wait(vec![Key::Socket(id)]) });
        };
        self.departed(id);
        let server = self.socket(accepted)?;
        Ok((accepted, address::encode(server.family, server.remote.as_ref())))
    }

    pub(super) fn shutdown(&mut self, id: u64, how: ShutdownHow) -> Result<(), Errno> {
        let read = how != ShutdownHow::Send;
        let write = how != ShutdownHow::Receive;
        let socket = self.socket_mut(id)?;
        let (unix, kind, peer) = (socket.is_unix(), socket.kind, socket.peer);
        if !unix && socket.is_listening() {
            if read {
                self.close_queue(id);
                let socket = self.socket_mut(id)?;
                socket.state = State::Idle;
                socket.read_closed = false;
                socket.write_closed = false;
                socket.local.take_if(|_| !socket.keeps_port);
            }
            self.arrived(id);
            return Ok(());
        }
        let refused = !unix && (!socket.is_connected() || (kind == Type::Stream && socket.is_over()));
        // An inet socket without a peer says so, and takes note all the same.
        socket.read_closed |= read;
        socket.write_closed |= write;
        self.arrived(id);
        self.departed(id);
        if refused {
            return Err(Errno::ENOTCONN);
        }
        if let Some(peer) = peer
            && kind != Type::Datagram
            && let Some(other) = self.sockets.get_mut(&peer)
        {
            if unix {
                other.read_closed |= write;
                other.write_closed |= read;
            } else {
                other.finished |= write;
            }
            self.arrived(peer);
            self.departed(peer);
        }
        Ok(())
    }

    /// Closes a socket nobody has open any more. Returns the inode that carried its name.
    pub(super) fn close(&mut self, id: u64) -> Option<u64> {
        self.close_queue(id);
        let socket = self.sockets.get(&id)?;
        let unread = socket.has_data();
        if let Some(peer) = socket.peer
            && socket.kind != Type::Datagram
        {
            let unix = socket.is_unix();
            if let Some(other) = self.sockets.get_mut(&peer) {
                if unix {
                    other.read_closed = true;
                    other.write_closed = true;
                    if unread {
                        other.error = Some(Errno::ECONNRESET);
                    }
                } else if !other.is_over() || !other.finished {
                    if unread {
                        other.error = Some(if other.finished { Errno::EPIPE } else { Errno::ECONNRESET });
                        other.reset = true;
                    } else {
                        other.finished = true;
                    }
                }
            }
            self.arrived(peer);
            self.departed(peer);
        }
        let mut socket = self.sockets.remove(&id)?;
        self.dropped.extend(socket.take_files());
        if let Some(Name::Abstract(name)) = &socket.local
            && self.names.get(name) == Some(&id)
        {
            self.names.remove(name);
        }
        // Those who wait for it, to connect or to send, have to learn that it is gone.
        self.touched.push(Key::Socket(id));
        socket.inode
    }

    /// Cuts a connection off, so that the peer is told of a reset.
    fn cut_off(&mut self, id: u64) {
        let peer = self.sockets.get(&id).and_then(|socket| socket.peer);
        if let Some(other) = peer.and_then(|peer| self.sockets.get_mut(&peer)) {
            other.error = Some(Errno::ECONNRESET);
            other.reset = true;
            if other.is_unix() {
                other.read_closed = true;
                other.write_closed = true;
            }
        }
        if let Some(peer) = peer {
            self.arrived(peer);
            self.departed(peer);
        }
    }

    /// Cuts off the connections that nobody has accepted.
    fn close_queue(&mut self, id: u64) {
        if let Some(State::Listening { queue, .. }) =
            self.sockets.get_mut(&id).map(|socket| &mut socket.state)
        {
            for waiting in core::mem::take(queue) {
                self.cut_off(waiting);
                let gone = self.sockets.remove(&waiting);
                self.dropped.extend(gone.into_iter().flat_map(|mut socket| socket.take_files()));
            }
        }
    }
}

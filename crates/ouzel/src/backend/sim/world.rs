//! The simulated machine: open descriptions, the descriptor table, and one attempt at each verb.
//!
//! An attempt happens at one instant and either gives a result, fails, or says what it waits for. Time, latency,
//! runs and cancels are the scheduler's (`mod.rs`). Transfers are `transfer.rs`, the rest of what is done to files is `files.rs`.

use std::collections::BTreeMap;

use crate::BufferGroup;
use crate::backend::memory;
use crate::group::Picking as _;
use ouzel_engine::{Operation, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MessageFlags, OpenFlags, PollEvents};

use super::address::{self, Given, Name};
use super::bells::Heard;
use super::futexes::Futexes;
use super::locks::Locks;
use super::network::Network;
use super::pipe::Pipe;
use super::processes::Processes;
use super::tree::{Kind, ROOT, Tree};
use super::turn::{Key, Stop};

/// What an open description is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Inode(u64),
    Reader(u64),
    Writer(u64),
    /// Both ends of a pipe that has a name.
    Both(u64),
    Socket(u64),
    /// The process with this number.
    Process(i32),
    Bell(u64),
}

/// Open for reading and writing.
pub(super) const BOTH: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

/// An open description. It lives as long as the table or an operation refers to it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) object: Object,
    references: u32,
    pub(super) position: u64,
    pub(super) flags: OpenFlags,
}

/// What an operation's descriptor stood for when it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    /// The operation names none: the working directory.
    #[default]
    None,
    /// The table had nothing there.
    Missing,
    /// This open description, which the operation keeps alive.
    Open(u64),
}

/// A result, and a second one.
pub(super) type Done = (u64, u32);

/// What an operation remembers between attempts.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) subjects: [Subject; 2],
    /// The open descriptions that a message is to take along, a reference each.
    pub(super) passed: Vec<u64>,
    /// Bytes moved so far.
    pub(super) progress: u64,
    /// The place of a sleeper on a word.
    pub(super) ticket: Option<u64>,
    /// What a multishot poll has seen: arrivals, departures.
    pub(super) seen: Option<(u64, u64)>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) network: Network,
    pub(super) pipes: BTreeMap<u64, Pipe>,
    pub(super) open: BTreeMap<u64, Opened>,
    table: BTreeMap<u32, u64>,
    descriptors: u32,
    pub(super) next: u64,
    pub(super) locks: Locks,
    pub(super) futexes: Futexes,
    pub(super) processes: Processes,
    pub(super) bells: BTreeMap<u64, Heard>,
    pub(super) groups: BTreeMap<u16, BufferGroup>,
    pub(super) largest_file: u64,
    pub(super) whole_writes: bool,
}

impl World {
    pub(super) fn new(tree: Tree, network: Network, descriptors: u32, largest_file: u64) -> World {
        World {
            tree,
            network,
            pipes: BTreeMap::new(),
            open: BTreeMap::new(),
            table: BTreeMap::new(),
            descriptors,
            next: 0,
            locks: Locks::default(),
            futexes: Futexes::default(),
            processes: Processes::default(),
            bells: BTreeMap::new(),
            groups: BTreeMap::new(),
            largest_file: largest_file.min(i64::MAX as u64),
            whole_writes: false,
        }
    }

    /// Looks an operation's descriptors up and keeps what they stand for alive.
    pub(super) fn bind(&mut self, operation: &Operation, into: &mut Memory) {
        into.passed = match operation {
            Operation::SendMsg { message, .. } => {
                let indices = memory::files(message);
                indices.iter().filter_map(|index| self.table.get(&(*index as u32)).copied()).collect()
            }
            _ => Vec::new(),
        };
        self.refer(&into.passed);
        into.subjects = operation.names().map(|index| match index {
            None => Subject::None,
            Some(index) => match self.table.get(&index) {
                None => Subject::Missing,
                Some(id) => {
                    if let Some(description) = self.open.get_mut(id) {
                        description.references += 1;
                    }
                    Subject::Open(*id)
                }
            },
        });
    }

    /// One more reference to each of these.
    pub(super) fn refer(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(description) = self.open.get_mut(id) {
                description.references += 1;
            }
        }
    }

    /// Lets go of what was on its way and will not arrive.
    pub(super) fn sweep(&mut self) {
        while let Some(id) = self.network.dropped.pop() {
            self.drop_reference(id);
        }
    }

    /// Lets go of what [`World::bind`] kept alive.
    pub(super) fn unbind(&mut self, memory: Memory) {
        for subject in memory.subjects {
            if let Subject::Open(id) = subject {
                self.drop_reference(id);
            }
        }
        for id in memory.passed {
            self.drop_reference(id);
        }
        if let Some(ticket) = memory.ticket {
            self.futex_leave(ticket);
        }
        self.sweep();
    }

    /// Takes an index out of the table; whoever started on it keeps what was there.
    pub(super) fn detach(&mut self, index: u32) {
        if let Some(id) = self.table.remove(&index) {
            self.drop_reference(id);
        }
    }

    /// Adds an open description with one reference.
    pub(super) fn add(&mut self, object: Object, flags: OpenFlags) -> u64 {
        match object {
            Object::Inode(number) => self.tree.hold(number),
            Object::Reader(pipe) | Object::Writer(pipe) | Object::Both(pipe) => {
                if let Some(pipe) = self.pipes.get_mut(&pipe) {
                    pipe.readers += u32::from(!matches!(object, Object::Writer(_)));
                    pipe.writers += u32::from(!matches!(object, Object::Reader(_)));
                    if let Some(inode) = pipe.inode {
                        self.tree.hold(inode);
                    }
                }
            }
            Object::Socket(_) | Object::Process(_) | Object::Bell(_) => {}
        }
        self.next += 1;
        self.open.insert(self.next, Opened { object, references: 1, position: 0, flags });
        self.next
    }

    /// Puts an open description into the table, where nothing should be.
    pub(super) fn install(&mut self, index: u32, id: u64) {
        if let Some(old) = self.table.insert(index, id) {
            self.drop_reference(old);
        }
    }

    pub(super) fn drop_reference(&mut self, id: u64) {
        let Some(description) = self.open.get_mut(&id) else { return };
        description.references -= 1;
        if description.references > 0 {
            return;
        }
        let object = description.object;
        self.open.remove(&id);
        if self.locks.release(object.locked(), id) {
            self.network.touched.push(Key::Lock(object.locked()));
        }
        match object {
            Object::Process(_) => {}
            Object::Bell(bell) => drop(self.bells.remove(&bell)),
            Object::Inode(number) => self.tree.drop_hold(number),
            Object::Reader(id) | Object::Writer(id) | Object::Both(id) => {
                if let Some(pipe) = self.pipes.get_mut(&id) {
                    if !matches!(object, Object::Writer(_)) {
                        pipe.readers -= 1;
                        pipe.departures += 1;
                    }
                    if !matches!(object, Object::Reader(_)) {
                        pipe.writers -= 1;
                        pipe.arrivals += 1;
                    }
                    let (inode, gone) = (pipe.inode, pipe.readers + pipe.writers == 0);
                    if gone {
                        self.pipes.remove(&id);
                    }
                    if let Some(inode) = inode {
                        if gone {
                            self.tree.vacate_fifo(inode);
                        }
                        self.tree.drop_hold(inode);
                    }
                    self.network.touched.push(Key::Pipe(id));
                }
            }
            Object::Socket(id) => {
                if let Some(inode) = self.network.close(id) {
                    self.tree.vacate(inode, id);
                }
            }
        }
    }

    pub(super) fn description(&self, subject: Subject) -> Result<(u64, &Opened), Errno> {
        let Subject::Open(id) = subject else { return Err(Errno::EBADF) };
        self.open.get(&id).map(|description| (id, description)).ok_or(Errno::EBADF)
    }

    /// The open description, unless it only names its file.
    pub(super) fn usable(&self, subject: Subject) -> Result<(u64, Object, OpenFlags), Errno> {
        let (id, description) = self.description(subject)?;
        if description.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        Ok((id, description.object, description.flags))
    }

    pub(super) fn start_of(&self, subject: Subject) -> Result<u64, Errno> {
        if subject == Subject::None {
            return Ok(ROOT);
        }
        match self.description(subject)?.1.object {
            Object::Inode(number) => Ok(number),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn socket_of(&self, subject: Subject) -> Result<u64, Errno> {
        match self.usable(subject)?.1 {
            Object::Socket(id) => Ok(id),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    fn room_for(&self, into: &[u32]) -> Result<(), Errno> {
        if into.iter().any(|index| *index >= self.descriptors) { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// One attempt. Errors leave everything as it was, but for what `memory` says is done already.
    pub(super) fn attempt(&mut self, operation: &Operation, memory: &mut Memory) -> Result<Done, Stop> {
        let [first, second] = memory.subjects;
        self.room_for(operation.opens())?;
        let plain = |value: u64| (value, 0);
        match *operation {
            Operation::Read { buffers, position, .. } => self.read(first, &buffers, position).map(plain),
            Operation::Write { buffers, position, .. } => {
                self.write(first, &buffers, position, &mut memory.progress).map(plain)
            }
            Operation::Send { buffer, flags, .. } => {
                let socket = self.socket_of(first)?;
                self.send(socket, buffer, flags, &mut memory.progress).map(plain)
            }
            Operation::Recv { buffer, flags, .. } => {
                let socket = self.socket_of(first)?;
                self.receive(socket, buffer, flags, &mut memory.progress).map(plain)
            }
            Operation::RecvPicked { group, .. } => {
                let socket = self.socket_of(first)?;
                let Some(group) = self.groups.get(&group).cloned() else {
                    return Err(Errno::ENOBUFS.into());
                };
                group.receive(|room| self.receive(socket, room, MessageFlags::empty(), &mut 0))
            }
            Operation::Copy { from, to, length, .. } => {
                self.copy(first, from, second, to, length, &mut memory.progress).map(plain)
            }
            Operation::Poll { events, multishot, .. } => {
                self.poll(first, events, multishot.then_some(&mut memory.seen)).map(plain)
            }
            Operation::Open { path, flags, mode, into, .. } => {
                let start = self.start_of(first)?;
                let number = self.tree.open(start, &memory::path(path), flags, mode)?;
                let object = self.object_behind(number, flags)?;
                let id = self.add(object, flags);
                self.install(into, id);
                Ok((0, 0))
            }
            Operation::Close { .. } => {
                self.description(first)?;
                Ok((0, 0))
            }
            Operation::Pipe { into } => {
                self.next += 1;
                let pipe = self.next;
                self.pipes.insert(pipe, Pipe::default());
                let reader = self.add(Object::Reader(pipe), OpenFlags::READ);
                let writer = self.add(Object::Writer(pipe), OpenFlags::WRITE);
                self.install(into[0], reader);
                self.install(into[1], writer);
                Ok((0, 0))
            }
            Operation::Socket { domain, kind, protocol, into } => {
                let socket = self.network.create(domain, kind, protocol)?;
                let id = self.add(Object::Socket(socket), OpenFlags::READ | OpenFlags::WRITE);
                self.install(into, id);
                Ok((0, 0))
            }
            Operation::Accept { address, into, multishot, .. } => {
                let socket = self.socket_of(first)?;
                let (accepted, name) = self.network.accept(socket)?;
                let id = self.add(Object::Socket(accepted), OpenFlags::READ | OpenFlags::WRITE);
                if multishot {
                    return Ok((id, 0));
                }
                self.install(into, id);
                match address {
                    Some(span) => {
                        memory::fill(span, 0, &name);
                        Ok((0, name.len() as u32))
                    }
                    None => Ok((0, 0)),
                }
            }
            Operation::Connect { address, .. } => {
                let socket = self.socket_of(first)?;
                self.connect(socket, address)?;
                Ok((0, 0))
            }
            Operation::FutexWait { word, expected, shared } => {
                self.futex_wait(word, expected, shared, &mut memory.ticket).map(|()| (0, 0))
            }
            Operation::FutexWake { word, count, shared } => Ok((self.futex_wake(word, shared, count), 0)),
            Operation::SendMsg { ref message, flags, .. } => {
                let socket = self.socket_of(first)?;
                self.send_message(socket, message, flags, &memory.passed).map(plain)
            }
            Operation::RecvMsg { ref message, flags, .. } => {
                let socket = self.socket_of(first)?;
                let done = self.receive_message(socket, message, flags);
                self.sweep();
                done
            }
            Operation::Lock { offset, length, mode, .. } => {
                self.lock(first, offset, length, mode).map(|()| (0, 0))
            }
            Operation::Splice { from, to, length, .. } => {
                self.splice(first, from, second, to, length).map(plain)
            }
            Operation::Wait { process } => self.wait_for(first, process),
            Operation::Wake { amount, .. } => self.wake(first, amount).map(|()| (0, 0)),
            _ => Ok(self.attempt_at_once(operation, first, second)?),
        }
    }

    /// The verbs that never wait.
    fn attempt_at_once(
        &mut self,
        operation: &Operation,
        first: Subject,
        second: Subject,
    ) -> Result<Done, Errno> {
        let bytes = memory::path;
        let mut result = 0;
        match *operation {
            Operation::Seek { offset, whence, .. } => result = self.seek(first, offset, whence)?,
            Operation::Stat { path, record, flags, .. } => self.stat(first, path, record, flags)?,
            Operation::Sync { mode, offset, length, .. } => self.sync(first, mode, offset, length)?,
            Operation::Truncate { length, .. } => self.truncate(first, length)?,
            Operation::Allocate { offset, length, flags, .. } => {
                self.allocate(first, offset, length, flags)?
            }
            Operation::Readdir { buffer, .. } => result = self.readdir(first, buffer)?,
            Operation::Mkdir { path, mode, .. } => {
                let start = self.start_of(first)?;
                self.tree.mkdir(start, &bytes(path), mode)?;
            }
            Operation::Remove { path, flags, .. } => {
                let start = self.start_of(first)?;
                self.tree.remove(start, &bytes(path), flags)?;
            }
            Operation::Rename { old, new, flags, .. } => {
                let (from, to) = (self.start_of(first)?, self.start_of(second)?);
                self.tree.move_name(from, &bytes(old), to, &bytes(new), flags)?;
            }
            Operation::Link { old, new, .. } if old.is_empty() => {
                let (old, to) = (self.named_or_open(first, Some(old), false, true)?, self.start_of(second)?);
                self.tree.link_number(old.ok_or(Errno::EXDEV)?, to, &bytes(new))?;
            }
            Operation::Link { old, new, flags, .. } => {
                let (from, to) = (self.start_of(first)?, self.start_of(second)?);
                self.tree.link_path(from, &bytes(old), to, &bytes(new), flags)?;
            }
            Operation::Symlink { target, path, .. } => {
                let start = self.start_of(first)?;
                self.tree.symlink(&bytes(target), start, &bytes(path))?;
            }
            Operation::Bind { address, .. } => {
                let socket = self.socket_of(first)?;
                self.bind_socket(socket, address)?;
            }
            Operation::Listen { backlog, .. } => {
                let socket = self.socket_of(first)?;
                self.network.listen(socket, backlog)?;
            }
            Operation::Shutdown { how, .. } => {
                let socket = self.socket_of(first)?;
                self.network.shutdown(socket, how)?;
            }
            Operation::GetSockopt { level, name, value, .. } => {
                result = self.read_option(first, level, name, value)?;
            }
            Operation::SetSockopt { level, name, value, .. } => {
                self.write_option(first, level, name, value)?;
            }
            Operation::Sockname { address, .. } => result = self.own_name(first, address)?,
            Operation::Peername { address, .. } => result = self.peer_name(first, address)?,
            _ => result = self.metadata(operation, first)?,
        }
        Ok((result, 0))
    }

    fn bind_socket(&mut self, id: u64, address: Span) -> Result<(), Errno> {
        let socket = self.network.socket(id)?;
        let bound = socket.local.is_some();
        match address::parse(socket.family, &memory::bytes(address))? {
            Given::Name(Name::Path(path)) => {
                let place = self.tree.place(ROOT, &path, false);
                let (parent, name) =
                    place.map_err(|error| if error == Errno::EEXIST { Errno::EADDRINUSE } else { error })?;
                if bound {
                    return Err(Errno::EINVAL);
                }
                let inode = self.tree.create(parent, &name, Kind::Socket(Some(id)), 0o777)?;
                self.network.bind_inode(id, path, inode)
            }
            given => self.network.bind(id, given),
        }
    }

    /// The socket behind a path, if one is open.
    pub(super) fn socket_at(&self, path: &[u8]) -> Result<Option<u64>, Errno> {
        let inode = self.tree.resolve(ROOT, path, true)?;
        Ok(match self.tree.inode(inode)?.kind {
            Kind::Socket(holder) => holder,
            _ => None,
        })
    }

    fn connect(&mut self, id: u64, address: Span) -> Result<(), Stop> {
        let bytes = memory::bytes(address);
        let socket = self.network.socket(id)?;
        let number = address::family_of(&bytes).ok_or(Errno::EINVAL)?;
        if number == address::UNSPECIFIED
            && !(socket.is_unix() && socket.kind != super::socket::Type::Datagram)
        {
            return Ok(self.network.disconnect(id)?);
        }
        if socket.is_inet_stream() && socket.state != super::socket::State::Idle {
            return Err(Errno::EISCONN.into());
        }
        let name = match address::parse(socket.family, &bytes)? {
            Given::Name(name) => name,
            Given::Any => return Err(Errno::EINVAL.into()),
        };
        let found = match &name {
            Name::Path(path) => self.socket_at(path)?,
            Name::Abstract(_) => self.network.find(socket.kind, &name, true),
            Name::Inet(..) => None,
        };
        self.network.connect(id, name, found)
    }

    /// What is ready of an object, how often something came and went, and what tells of a change.
    fn readiness(&self, object: Object) -> (PollEvents, (u64, u64), Option<Key>) {
        match object {
            Object::Inode(_) => (PollEvents::IN | PollEvents::OUT, (0, 0), None),
            Object::Reader(id) => {
                let Some(pipe) = self.pipes.get(&id) else { return (PollEvents::HANGUP, (0, 0), None) };
                let mut events = PollEvents::empty();
                events.set(PollEvents::IN, !pipe.is_empty());
                events.set(PollEvents::HANGUP, pipe.writers == 0);
                (events, (pipe.arrivals, 0), Some(Key::Pipe(id)))
            }
            Object::Both(id) => {
                let Some(pipe) = self.pipes.get(&id) else { return (PollEvents::ERROR, (0, 0), None) };
                let mut events = PollEvents::empty();
                events.set(PollEvents::IN, !pipe.is_empty());
                events.set(PollEvents::OUT, !pipe.is_full());
                (events, (pipe.arrivals, pipe.departures), Some(Key::Pipe(id)))
            }
            Object::Writer(id) => {
                let Some(pipe) = self.pipes.get(&id) else { return (PollEvents::ERROR, (0, 0), None) };
                let mut events = PollEvents::empty();
                events.set(PollEvents::OUT, !pipe.is_full());
                events.set(PollEvents::ERROR, pipe.readers == 0);
                (events, (0, pipe.departures), Some(Key::Pipe(id)))
            }
            Object::Socket(id) => {
                let Ok(socket) = self.network.socket(id) else { return (PollEvents::ERROR, (0, 0), None) };
                let events = socket.readiness(self.network.has_room(id));
                (events, (socket.arrivals, socket.departures), Some(Key::Socket(id)))
            }
            Object::Process(number) => {
                let over = self.processes.is_over(number, self.tree.now);
                let mut events = PollEvents::empty();
                events.set(PollEvents::IN, over);
                events.set(PollEvents::HANGUP, !self.processes.has(number));
                (events, (u64::from(over), 0), Some(Key::Process(number)))
            }
            Object::Bell(id) => {
                let (events, rung) = self.bell_readiness(id);
                (events, (rung, 0), Some(Key::Bell(id)))
            }
        }
    }

    /// Ready events; a multishot poll hands in what it has seen, and is told only of what is new.
    fn poll(
        &mut self,
        subject: Subject,
        events: PollEvents,
        seen: Option<&mut Option<(u64, u64)>>,
    ) -> Result<u64, Stop> {
        let (_, object, _) = self.usable(subject)?;
        let (ready, (arrivals, departures), key) = self.readiness(object);
        let wanted = ready & (events | PollEvents::ERROR | PollEvents::HANGUP);
        // Only what concerns the events asked for counts as news.
        let quiet = !events.intersects(PollEvents::OUT);
        let news = (arrivals, if quiet { 0 } else { departures });
        let fresh = match seen {
            Some(seen) => seen.replace(news) != Some(news),
            None => true,
        };
        if !wanted.is_empty() && fresh {
            return Ok(wanted.bits());
        }
        Err(Stop::Wait(key.into_iter().collect()))
    }
}

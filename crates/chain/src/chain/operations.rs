//! The operations a chain can be built of: one method per verb. `docs/abi.md` has the verbs' pages.

use core::time::Duration;

use ouzel_ring::Verb;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, MessageFlags, OpenFlags, PollEvents, RemoveFlags, RenameFlags, STAT_RECORD,
    ShutdownHow, StatFlags, SyncMode, TimeBase, Whence,
};

use super::{
    Chain, Count, Data, Directory, Distance, Fd, File, Memory, Need, Offset, OpenOptions, Part, Reg, Shape,
    Stat, Target, Unit,
};
use crate::address::SocketAddress;
use crate::os::{self, Path};
use crate::{Buffer, ProgramPath};

/// A step under construction, with what its arguments need.
pub struct Draft {
    verb: Verb,
    arguments: [u64; 5],
    shape: Shape,
}

impl Draft {
    #[inline]
    pub(crate) fn new(verb: Verb) -> Draft {
        Draft { verb, arguments: [0; 5], shape: Shape::new(verb) }
    }

    #[inline]
    pub(crate) fn value(mut self, argument: usize, value: u64) -> Draft {
        self.arguments[argument] = value;
        self
    }

    #[inline]
    pub(crate) fn loaded<T>(mut self, chain: &mut Chain, argument: usize, reg: Reg<T>) -> Draft {
        self.shape = self.shape.with(argument, chain.need(self.verb, reg));
        self
    }

    #[inline]
    pub(crate) fn file(self, chain: &mut Chain, argument: usize, file: impl Into<File>) -> Draft {
        match file.into() {
            File::Open(descriptor) => {
                chain.body.names_open = true;
                self.value(argument, descriptor.number())
            }
            File::Of(reg) => self.loaded(chain, argument, reg),
        }
    }

    #[inline]
    pub(crate) fn directory(
        self,
        chain: &mut Chain,
        argument: usize,
        directory: impl Into<Directory>,
    ) -> Draft {
        match directory.into() {
            Directory::Working => self,
            Directory::At(file) => self.file(chain, argument, file),
        }
    }

    #[inline]
    pub(crate) fn count(self, chain: &mut Chain, argument: usize, count: impl Into<Count>) -> Draft {
        match count.into() {
            Count::Known(number) => self.value(argument, number),
            Count::Bytes(reg) => self.loaded(chain, argument, reg),
            Count::Number(reg) => self.loaded(chain, argument, reg),
        }
    }

    /// Up to `length` bytes go from one file and place to another.
    #[inline]
    pub(crate) fn between(
        self,
        chain: &mut Chain,
        (source, from): (impl Into<File>, Offset),
        (target, to): (impl Into<File>, Offset),
        length: impl Into<Count>,
    ) -> Draft {
        self.file(chain, 0, source)
            .count(chain, 3, from.0)
            .file(chain, 4, target)
            .count(chain, 1, to.0)
            .count(chain, 2, length)
    }

    /// The shape so far.
    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// Its result goes into a variable.
    pub(crate) fn assigns(&mut self, variable: Need) {
        self.shape = self.shape.into_variable(variable);
    }

    #[inline]
    pub(crate) fn add<T>(self, chain: &mut Chain) -> Reg<T> {
        self.add_with(chain, Memory::None)
    }

    #[inline]
    pub(crate) fn add_with<T>(self, chain: &mut Chain, payload: Memory) -> Reg<T> {
        chain.push_step(self.shape, self.arguments, payload)
    }

    #[inline]
    pub(crate) fn add_path<T>(self, chain: &mut Chain, path: &Path) -> Reg<T> {
        let bytes = os::bytes(path);
        let start = chain.push_path(bytes);
        self.value(2, bytes.len() as u64 + 1).add_with(chain, Memory::Text(start))
    }

    #[inline]
    pub(crate) fn add_two_paths<T>(self, chain: &mut Chain, first: &Path, second: &Path) -> Reg<T> {
        let (first, second) = (os::bytes(first), os::bytes(second));
        let start = chain.push_path(first);
        chain.push_path(second);
        self.value(2, (first.len() + second.len()) as u64 + 2).add_with(chain, Memory::Text(start))
    }

    #[inline]
    pub(crate) fn add_room<T>(self, chain: &mut Chain, target: Target) -> Reg<T> {
        match target {
            Target::Own(buffer) => {
                let (buffer, address, capacity) = chain.push_room(buffer);
                self.value(1, address).value(2, capacity).add_with(chain, Memory::Room(buffer))
            }
            Target::Part(part) => self.add_part(chain, part, Memory::Room),
        }
    }

    /// Adds the step with a part of a room as its payload. What bounds the length, if that is not known now, comes first.
    fn add_part<T>(self, chain: &mut Chain, part: Part, memory: fn(u16) -> Memory) -> Reg<T> {
        let verb = self.verb;
        let Some(found) = chain.part(verb, part) else { return self.add(chain) };
        let draft = self.count(chain, 2, found.length).value(1, found.address);
        draft.add_with(chain, memory(found.buffer))
    }

    #[inline]
    pub(crate) fn add_data<T>(self, chain: &mut Chain, data: Data) -> Reg<T> {
        match data {
            Data::Own(buffer) => {
                let length = buffer.len() as u64;
                let (buffer, address) = chain.push_buffer(buffer);
                self.value(1, address).value(2, length).add_with(chain, Memory::Filled(buffer))
            }
            Data::Part(part) => self.add_part(chain, part, Memory::Filled),
            Data::Of(reg) => {
                let draft = self.loaded(chain, 2, reg);
                match chain.filled_by(reg) {
                    Some((buffer, address, _)) => {
                        draft.value(1, address).add_with(chain, Memory::Filled(buffer))
                    }
                    None => draft.add(chain),
                }
            }
        }
    }
}

impl Chain {
    /// NOP: does nothing. With a [`timeout`](Chain::timeout) it sleeps that long and fails with ETIMEDOUT.
    #[inline]
    pub fn nop(&mut self) -> Reg<Unit> {
        Draft::new(Verb::Nop).add(self)
    }

    /// OPEN: opens `path`, relative to the working directory.
    #[inline]
    pub fn open(&mut self, path: impl ProgramPath, options: OpenOptions) -> Reg<Fd> {
        self.open_in(Directory::Working, path, options)
    }

    /// OPEN: opens `path`, relative to `directory`.
    #[inline]
    pub fn open_in(
        &mut self,
        directory: impl Into<Directory>,
        path: impl ProgramPath,
        options: OpenOptions,
    ) -> Reg<Fd> {
        let mode = if options.flags.contains(OpenFlags::CREATE) { options.mode } else { 0 };
        let draft = Draft::new(Verb::Open)
            .directory(self, 0, directory)
            .value(3, options.flags.bits())
            .value(4, mode as u64);
        path.draft(draft, self)
    }

    /// CLOSE: closes `file`.
    #[inline]
    pub fn close(&mut self, file: impl Into<File>) -> Reg<Unit> {
        Draft::new(Verb::Close).file(self, 0, file).add(self)
    }

    /// READ: fills `buffer` up to its capacity. The result is how many bytes that were; 0 at the end of the file.
    #[inline]
    pub fn read(&mut self, file: impl Into<File>, buffer: impl Into<Target>, offset: Offset) -> Reg<usize> {
        Draft::new(Verb::Read).file(self, 0, file).count(self, 3, offset.0).add_room(self, buffer.into())
    }

    /// WRITE: writes `data`. The result is how many bytes were written.
    #[inline]
    pub fn write(&mut self, file: impl Into<File>, data: impl Into<Data>, offset: Offset) -> Reg<usize> {
        Draft::new(Verb::Write).file(self, 0, file).count(self, 3, offset.0).add_data(self, data.into())
    }

    /// POLL: waits until one of `events` is there. The result is the events that are.
    pub fn poll(&mut self, file: impl Into<File>, events: PollEvents) -> Reg<u64> {
        Draft::new(Verb::Poll).file(self, 0, file).value(1, events.bits()).add(self)
    }

    /// SEEK: moves the position of `file`. The result is the new one.
    pub fn seek(&mut self, file: impl Into<File>, distance: impl Into<Distance>, whence: Whence) -> Reg<u64> {
        let Distance(distance) = distance.into();
        Draft::new(Verb::Seek).file(self, 0, file).count(self, 3, distance).value(4, whence as u64).add(self)
    }

    /// STAT: describes what `path` names, relative to `directory`.
    pub fn stat(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: StatFlags,
    ) -> Reg<Stat> {
        let draft = Draft::new(Verb::Stat).directory(self, 0, directory).value(4, flags.bits());
        let reg = draft.add_path(self, path.as_ref());
        self.attach_record();
        reg
    }

    /// STAT: describes `file`.
    pub fn stat_file(&mut self, file: impl Into<File>) -> Reg<Stat> {
        let reg = Draft::new(Verb::Stat).file(self, 0, file).add(self);
        self.attach_record();
        reg
    }

    fn attach_record(&mut self) {
        self.body.recorded = true;
        let record = self.body.records.pop();
        self.attach(record.unwrap_or_else(|| Buffer::with_capacity(STAT_RECORD as usize)));
    }

    /// Lets argument 3 of the last step point to this buffer.
    pub(super) fn attach(&mut self, buffer: Buffer) {
        let (record, address) = self.push_buffer(buffer);
        if let Some(step) = self.body.steps.last_mut() {
            step.arguments[3] = address;
            step.record = Some(record);
        }
    }

    /// SYNC: makes what was written to `file` durable.
    pub fn sync(&mut self, file: impl Into<File>, mode: SyncMode) -> Reg<Unit> {
        Draft::new(Verb::Sync).file(self, 0, file).value(4, mode as u64).add(self)
    }

    /// SYNC of a range: writes its pages out and waits for them. A length of 0 is up to the end.
    pub fn sync_range(
        &mut self,
        file: impl Into<File>,
        offset: impl Into<Count>,
        length: impl Into<Count>,
    ) -> Reg<Unit> {
        Draft::new(Verb::Sync)
            .file(self, 0, file)
            .count(self, 2, length)
            .count(self, 3, offset)
            .value(4, SyncMode::Range as u64)
            .add(self)
    }

    /// TRUNCATE: sets the length of `file`.
    pub fn truncate(&mut self, file: impl Into<File>, length: impl Into<Count>) -> Reg<Unit> {
        Draft::new(Verb::Truncate).file(self, 0, file).count(self, 2, length).add(self)
    }

    /// ALLOCATE: reserves or releases storage of `file`.
    pub fn allocate(
        &mut self,
        file: impl Into<File>,
        offset: impl Into<Count>,
        length: impl Into<Count>,
        flags: AllocateFlags,
    ) -> Reg<Unit> {
        Draft::new(Verb::Allocate)
            .file(self, 0, file)
            .count(self, 2, length)
            .count(self, 3, offset)
            .value(4, flags.bits())
            .add(self)
    }

    /// MKDIR: makes a directory with these permissions, less the umask.
    pub fn mkdir(&mut self, directory: impl Into<Directory>, path: impl ProgramPath, mode: u32) -> Reg<Unit> {
        let draft = Draft::new(Verb::Mkdir).directory(self, 0, directory).value(4, mode as u64);
        path.draft(draft, self)
    }

    /// REMOVE: removes a file's name, or with [`RemoveFlags::DIRECTORY`] an empty directory.
    pub fn remove(
        &mut self,
        directory: impl Into<Directory>,
        path: impl ProgramPath,
        flags: RemoveFlags,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::Remove).directory(self, 0, directory).value(3, flags.bits());
        path.draft(draft, self)
    }

    /// RENAME: renames `old` (relative to `from`) to `new` (relative to `to`).
    pub fn rename(
        &mut self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: RenameFlags,
    ) -> Reg<Unit> {
        Draft::new(Verb::Rename)
            .directory(self, 0, from)
            .directory(self, 4, to)
            .value(3, flags.bits())
            .add_two_paths(self, old.as_ref(), new.as_ref())
    }

    /// LINK: gives the file `old` (relative to `from`) the second name `new` (relative to `to`).
    pub fn link(
        &mut self,
        from: impl Into<Directory>,
        old: impl AsRef<Path>,
        to: impl Into<Directory>,
        new: impl AsRef<Path>,
        flags: LinkFlags,
    ) -> Reg<Unit> {
        Draft::new(Verb::Link)
            .directory(self, 0, from)
            .directory(self, 4, to)
            .value(3, flags.bits())
            .add_two_paths(self, old.as_ref(), new.as_ref())
    }

    /// SYMLINK: makes `path` (relative to `directory`) a symbolic link that says `target`.
    pub fn symlink(
        &mut self,
        target: impl AsRef<Path>,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Reg<Unit> {
        Draft::new(Verb::Symlink).directory(self, 4, directory).add_two_paths(
            self,
            target.as_ref(),
            path.as_ref(),
        )
    }

    /// READDIR: fills `buffer` with the next entries of a directory; 0 bytes at the end. See
    /// [`Done::entries`](crate::Done::entries).
    pub fn readdir(&mut self, file: impl Into<File>, buffer: impl Into<Target>) -> Reg<usize> {
        Draft::new(Verb::Readdir).file(self, 0, file).add_room(self, buffer.into())
    }

    /// COPY: copies up to `length` bytes between two files. The result is how many; 0 at the end of `source`.
    pub fn copy(
        &mut self,
        source: impl Into<File>,
        from: Offset,
        target: impl Into<File>,
        to: Offset,
        length: impl Into<Count>,
    ) -> Reg<usize> {
        Draft::new(Verb::Copy).between(self, (source, from), (target, to), length).add(self)
    }

    /// PIPE: makes a pipe. The results are the end to read from and the end to write to. Of the second one only a
    /// [`get_descriptor`](Chain::get_descriptor) tells outside; with [`finally`](Chain::finally) it does so also when the chain is
    /// cancelled, so that the end can be closed.
    pub fn pipe(&mut self) -> (Reg<Fd>, Reg<Fd>) {
        let read: Reg<Fd> = Draft::new(Verb::Pipe).add(self);
        let write = self.result(read.step(), true);
        (read, write)
    }

    /// SOCKET: makes a socket, with the numbers of `socket(2)`.
    pub fn socket(&mut self, domain: u32, kind: u32, protocol: u32) -> Reg<Fd> {
        Draft::new(Verb::Socket)
            .value(0, domain as u64)
            .value(1, kind as u64)
            .value(2, protocol as u64)
            .add(self)
    }

    /// BIND: gives `socket` an address.
    pub fn bind(&mut self, socket: impl Into<File>, address: &SocketAddress) -> Reg<Unit> {
        let draft = Draft::new(Verb::Bind).file(self, 0, socket);
        draft.add_data(self, Data::Own(Buffer::from(address.as_bytes())))
    }

    /// LISTEN: lets `socket` take connections, `backlog` of them waiting.
    pub fn listen(&mut self, socket: impl Into<File>, backlog: impl Into<Count>) -> Reg<Unit> {
        Draft::new(Verb::Listen).file(self, 0, socket).count(self, 2, backlog).add(self)
    }

    /// ACCEPT: takes a connection.
    pub fn accept(&mut self, socket: impl Into<File>) -> Reg<Fd> {
        Draft::new(Verb::Accept).file(self, 0, socket).add(self)
    }

    /// CONNECT: connects `socket`.
    pub fn connect(&mut self, socket: impl Into<File>, address: &SocketAddress) -> Reg<Unit> {
        let draft = Draft::new(Verb::Connect).file(self, 0, socket);
        draft.add_data(self, Data::Own(Buffer::from(address.as_bytes())))
    }

    /// SEND: sends `data`. The result is how many bytes were.
    #[inline]
    pub fn send(
        &mut self,
        socket: impl Into<File>,
        data: impl Into<Data>,
        flags: MessageFlags,
    ) -> Reg<usize> {
        Draft::new(Verb::Send).file(self, 0, socket).value(3, flags.bits()).add_data(self, data.into())
    }

    /// RECV: receives up to the capacity of `buffer`. The result is how many bytes; 0 when the peer has stopped sending.
    #[inline]
    pub fn recv(
        &mut self,
        socket: impl Into<File>,
        buffer: impl Into<Target>,
        flags: MessageFlags,
    ) -> Reg<usize> {
        Draft::new(Verb::Recv).file(self, 0, socket).value(3, flags.bits()).add_room(self, buffer.into())
    }

    /// SHUTDOWN: ends one or both directions of a connection.
    pub fn shutdown(&mut self, socket: impl Into<File>, how: ShutdownHow) -> Reg<Unit> {
        Draft::new(Verb::Shutdown).file(self, 0, socket).value(3, how as u64).add(self)
    }

    /// SLEEP: waits this long and succeeds.
    pub fn sleep(&mut self, time: Duration) -> Reg<Unit> {
        Draft::new(Verb::Sleep).value(2, nanoseconds(time)).value(3, TimeBase::Relative as u64).add(self)
    }

    /// DEADLINE: from when this step runs the chain has this long; then it is cancelled and the step that was running
    /// fails with ETIMEDOUT. FINALLY steps are not touched by it.
    pub fn deadline(&mut self, time: Duration) -> Reg<Unit> {
        Draft::new(Verb::Deadline).value(2, nanoseconds(time)).value(3, TimeBase::Relative as u64).add(self)
    }

    /// GET: results in `value`, as it is when this step runs.
    pub fn get(&mut self, value: impl Into<Count>) -> Reg<u64> {
        Draft::new(Verb::Get).count(self, 0, value).add(self)
    }

    /// GET of a descriptor: results in what an earlier step has opened. It is how the second end of a pipe gets out.
    pub fn get_descriptor(&mut self, file: impl Into<File>) -> Reg<Fd> {
        Draft::new(Verb::Get).file(self, 0, file).add(self)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

//! Entries by verb, in the words of their pages. Plain numbers: nothing here checks anything.

use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, EntryFlags, Verb};

use crate::memory::Memory;

/// The offset that means the current position.
pub const HERE: u64 = CURRENT_POSITION;
/// The timeout that never fires.
pub const NEVER: u64 = u64::MAX;
/// A millisecond in nanoseconds.
pub const MILLISECOND: u64 = 1_000_000;

/// Changes to an entry.
pub trait Edit: Sized {
    /// Adds flags.
    fn with(self, flags: EntryFlags) -> Self;
    /// Sets one argument.
    fn arg(self, argument: usize, value: u64) -> Self;
    /// Loads an argument from a register.
    fn load(self, argument: usize, register: usize) -> Self {
        self.with(EntryFlags::load(argument, register).unwrap())
    }
    /// Saves the result into a register.
    fn save(self, register: usize) -> Self {
        self.with(EntryFlags::save(register).unwrap())
    }
    /// The next runs if this succeeds.
    fn link(self) -> Self {
        self.with(EntryFlags::LINK)
    }
    /// The next runs in any case.
    fn hard(self) -> Self {
        self.with(EntryFlags::HARDLINK)
    }
    /// Runs when the ordinary members are over.
    fn finally(self) -> Self {
        self.with(EntryFlags::FINALLY)
    }
    /// Registers start undefined.
    fn local(self) -> Self {
        self.with(EntryFlags::LOCAL)
    }
    /// No completion of a success.
    fn silent(self) -> Self {
        self.with(EntryFlags::SILENT)
    }
    /// Waits for all before and holds back all behind.
    fn drain(self) -> Self {
        self.with(EntryFlags::DRAIN)
    }
    /// Many completions.
    fn multishot(self) -> Self {
        self.with(EntryFlags::MULTISHOT)
    }
}

impl Edit for Entry {
    fn with(mut self, flags: EntryFlags) -> Entry {
        self.flags |= flags.bits();
        self
    }

    fn arg(mut self, argument: usize, value: u64) -> Entry {
        self.arguments[argument] = value;
        self
    }
}

fn entry(verb: Verb, arguments: [u64; 5]) -> Entry {
    Entry::new(verb).arguments(arguments)
}

/// NOP.
pub fn nop() -> Entry {
    entry(Verb::Nop, [0; 5])
}

/// READ.
pub fn read(file: u64, to: Memory, offset: u64) -> Entry {
    entry(Verb::Read, [file, to.payload, to.length, offset, 0])
}

/// WRITE.
pub fn write(file: u64, from: Memory, offset: u64) -> Entry {
    entry(Verb::Write, [file, from.payload, from.length, offset, 0])
}

/// READ with pieces.
pub fn read_pieces(file: u64, pieces: Memory, count: u64, offset: u64) -> Entry {
    entry(Verb::Read, [file, pieces.payload, count, offset, TransferFlags::VECTORED.bits()])
}

/// WRITE with pieces.
pub fn write_pieces(file: u64, pieces: Memory, count: u64, offset: u64) -> Entry {
    entry(Verb::Write, [file, pieces.payload, count, offset, TransferFlags::VECTORED.bits()])
}

/// POLL.
pub fn poll(file: u64, events: PollEvents) -> Entry {
    entry(Verb::Poll, [file, events.bits(), 0, 0, 0])
}

/// CANCEL by user data.
pub fn cancel_data(data: u64) -> Entry {
    entry(Verb::Cancel, [0, data, 0, CancelBy::Data as u64, 0])
}

/// CANCEL by descriptor.
pub fn cancel_descriptor(descriptor: u64) -> Entry {
    entry(Verb::Cancel, [descriptor, 0, 0, CancelBy::Descriptor as u64, 0])
}

/// CANCEL of everything.
pub fn cancel_all() -> Entry {
    entry(Verb::Cancel, [0, 0, 0, CancelBy::All as u64, 0])
}

/// OPEN, mode 0o644.
pub fn open(path: Memory, flags: OpenFlags) -> Entry {
    entry(Verb::Open, [0, path.payload, path.length, flags.bits(), 0o644])
}

/// CLOSE.
pub fn close(file: u64) -> Entry {
    entry(Verb::Close, [file, 0, 0, 0, 0])
}

/// SEEK.
pub fn seek(file: u64, offset: i64, whence: Whence) -> Entry {
    entry(Verb::Seek, [file, 0, 0, offset as u64, whence as u64])
}

/// STAT of a path.
pub fn stat(path: Memory, record: Memory) -> Entry {
    entry(Verb::Stat, [0, path.payload, path.length, record.payload, 0])
}

/// STAT of a descriptor.
pub fn stat_of(file: u64, record: Memory) -> Entry {
    entry(Verb::Stat, [file, 0, 0, record.payload, 0])
}

/// SYNC of everything.
pub fn sync(file: u64, mode: SyncMode) -> Entry {
    entry(Verb::Sync, [file, 0, 0, 0, mode as u64])
}

/// SYNC of a range.
pub fn sync_range(file: u64, offset: u64, length: u64) -> Entry {
    entry(Verb::Sync, [file, 0, length, offset, SyncMode::Range as u64])
}

/// TRUNCATE.
pub fn truncate(file: u64, length: u64) -> Entry {
    entry(Verb::Truncate, [file, 0, length, 0, 0])
}

/// ALLOCATE.
pub fn allocate(file: u64, offset: u64, length: u64, flags: AllocateFlags) -> Entry {
    entry(Verb::Allocate, [file, 0, length, offset, flags.bits()])
}

/// MKDIR, mode 0o755.
pub fn mkdir(path: Memory) -> Entry {
    entry(Verb::Mkdir, [0, path.payload, path.length, 0, 0o755])
}

/// REMOVE.
pub fn remove(path: Memory, flags: RemoveFlags) -> Entry {
    entry(Verb::Remove, [0, path.payload, path.length, flags.bits(), 0])
}

/// RENAME.
pub fn rename(paths: Memory, flags: RenameFlags) -> Entry {
    entry(Verb::Rename, [0, paths.payload, paths.length, flags.bits(), 0])
}

/// LINK.
pub fn link(paths: Memory, flags: LinkFlags) -> Entry {
    entry(Verb::Link, [0, paths.payload, paths.length, flags.bits(), 0])
}

/// SYMLINK.
pub fn symlink(paths: Memory) -> Entry {
    entry(Verb::Symlink, [0, paths.payload, paths.length, 0, 0])
}

/// READDIR.
pub fn readdir(directory: u64, to: Memory) -> Entry {
    entry(Verb::Readdir, [directory, to.payload, to.length, 0, 0])
}

/// COPY.
pub fn copy(source: u64, from: u64, target: u64, to: u64, length: u64) -> Entry {
    entry(Verb::Copy, [source, to, length, from, target])
}

/// PIPE, saved from `register` on.
pub fn pipe(register: usize) -> Entry {
    entry(Verb::Pipe, [0; 5]).save(register)
}

/// SOCKET.
pub fn socket(domain: u64, kind: u64, protocol: u64) -> Entry {
    entry(Verb::Socket, [domain, kind, protocol, 0, 0])
}

/// BIND.
pub fn bind(socket: u64, address: Memory) -> Entry {
    entry(Verb::Bind, [socket, address.payload, address.length, 0, 0])
}

/// LISTEN.
pub fn listen(socket: u64, backlog: u64) -> Entry {
    entry(Verb::Listen, [socket, 0, backlog, 0, 0])
}

/// ACCEPT; [`Memory::NONE`] for no address.
pub fn accept(socket: u64, address: Memory) -> Entry {
    entry(Verb::Accept, [socket, address.payload, address.length, 0, 0])
}

/// CONNECT.
pub fn connect(socket: u64, address: Memory) -> Entry {
    entry(Verb::Connect, [socket, address.payload, address.length, 0, 0])
}

/// SEND.
pub fn send(socket: u64, from: Memory, flags: MessageFlags) -> Entry {
    entry(Verb::Send, [socket, from.payload, from.length, flags.bits(), 0])
}

/// RECV.
pub fn recv(socket: u64, to: Memory, flags: MessageFlags) -> Entry {
    entry(Verb::Recv, [socket, to.payload, to.length, flags.bits(), 0])
}

/// SHUTDOWN.
pub fn shutdown(socket: u64, how: ShutdownHow) -> Entry {
    entry(Verb::Shutdown, [socket, 0, 0, how as u64, 0])
}

/// SLEEP, relative.
pub fn sleep(nanoseconds: u64) -> Entry {
    entry(Verb::Sleep, [0, 0, nanoseconds, TimeBase::Relative as u64, 0])
}

/// GET.
pub fn get(value: u64) -> Entry {
    entry(Verb::Get, [value, 0, 0, 0, 0])
}

/// DEADLINE, relative.
pub fn deadline(nanoseconds: u64) -> Entry {
    entry(Verb::Deadline, [0, 0, nanoseconds, TimeBase::Relative as u64, 0])
}

/// READLINK of a path.
pub fn readlink(path: Memory, to: Memory) -> Entry {
    entry(Verb::Readlink, [0, path.payload, path.length, to.payload, to.length])
}

/// CHMOD of a path.
pub fn chmod(path: Memory, mode: u64) -> Entry {
    entry(Verb::Chmod, [0, path.payload, path.length, 0, mode])
}

/// CHOWN of a path.
pub fn chown(path: Memory, user: u32, group: u32) -> Entry {
    let owner = u64::from(user) | u64::from(group) << 32;
    entry(Verb::Chown, [0, path.payload, path.length, 0, owner])
}

/// UTIMES of a path.
pub fn utimes(path: Memory, record: Memory) -> Entry {
    entry(Verb::Utimes, [0, path.payload, path.length, record.payload, 0])
}

/// MKNOD, mode 0o644.
pub fn mknod(path: Memory, kind: NodeKind, device: u64) -> Entry {
    entry(Verb::Mknod, [0, path.payload, path.length, kind as u64 | 0o644, device])
}

/// STATFS of a path.
pub fn statfs(path: Memory, record: Memory) -> Entry {
    entry(Verb::Statfs, [0, path.payload, path.length, record.payload, 0])
}

/// ACCESS of a path.
pub fn access(path: Memory, access: AccessFlags) -> Entry {
    entry(Verb::Access, [0, path.payload, path.length, access.bits(), 0])
}

/// GETXATTR of what `names` (`path\0name\0`, or `name\0` with a descriptor as argument 0) says.
pub fn getxattr(names: Memory, to: Memory) -> Entry {
    entry(Verb::GetXattr, [0, names.payload, names.length, to.payload, to.length])
}

/// SETXATTR of what `names` says.
pub fn setxattr(names: Memory, value: Memory, flags: XattrFlags) -> Entry {
    let last = value.length | flags.bits();
    entry(Verb::SetXattr, [0, names.payload, names.length, value.payload, last])
}

/// LISTXATTR of a path.
pub fn listxattr(path: Memory, to: Memory) -> Entry {
    entry(Verb::ListXattr, [0, path.payload, path.length, to.payload, to.length])
}

/// REMOVEXATTR of what `names` says.
pub fn removexattr(names: Memory) -> Entry {
    entry(Verb::RemoveXattr, [0, names.payload, names.length, 0, 0])
}

/// LOCK.
pub fn lock(file: u64, offset: u64, length: u64, mode: LockMode) -> Entry {
    entry(Verb::Lock, [file, 0, length, offset, mode as u64])
}

/// GETSOCKOPT.
pub fn getsockopt(socket: u64, level: u64, name: u64, to: Memory) -> Entry {
    entry(Verb::GetSockopt, [socket, to.payload, to.length, level, name])
}

/// SETSOCKOPT.
pub fn setsockopt(socket: u64, level: u64, name: u64, from: Memory) -> Entry {
    entry(Verb::SetSockopt, [socket, from.payload, from.length, level, name])
}

/// SOCKNAME.
pub fn sockname(socket: u64, to: Memory) -> Entry {
    entry(Verb::Sockname, [socket, to.payload, to.length, 0, 0])
}

/// PEERNAME.
pub fn peername(socket: u64, to: Memory) -> Entry {
    entry(Verb::Peername, [socket, to.payload, to.length, 0, 0])
}

/// SENDMSG of the message that `record` describes.
pub fn sendmsg(socket: u64, record: Memory, flags: MessageFlags) -> Entry {
    entry(Verb::SendMsg, [socket, record.payload, record.length, flags.bits(), 0])
}

/// RECVMSG into what `record` describes.
pub fn recvmsg(socket: u64, record: Memory, flags: MessageFlags) -> Entry {
    entry(Verb::RecvMsg, [socket, record.payload, record.length, flags.bits(), 0])
}

/// SPLICE.
pub fn splice(source: u64, from: u64, target: u64, to: u64, length: u64) -> Entry {
    entry(Verb::Splice, [source, to, length, from, target])
}

/// WAIT for the process behind a descriptor.
pub fn wait_for(process: u64) -> Entry {
    entry(Verb::Wait, [process, 0, 0, 0, 0])
}

/// WAIT for the process with this number.
pub fn wait_number(number: u64) -> Entry {
    entry(Verb::Wait, [0, 0, number, 0, 0])
}

/// WAKE.
pub fn wake(bell: u64, amount: u64) -> Entry {
    entry(Verb::Wake, [bell, 0, amount, 0, 0])
}

/// FUTEX that waits on a private word.
pub fn futex_wait(word: Memory, expected: u64) -> Entry {
    entry(Verb::Futex, [0, word.payload, 0, 0, expected])
}

/// FUTEX that wakes who waits on a private word.
pub fn futex_wake(word: Memory, count: u64) -> Entry {
    entry(Verb::Futex, [0, word.payload, count, FutexFlags::WAKE.bits(), 0])
}

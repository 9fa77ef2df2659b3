//! Operations: what an entry asks for, after the engine has checked and resolved it.
//!
//! A backend never sees an entry. It is given an operation whose descriptors are live table indices, whose buffers
//! lie inside memory the submitter may name and whose modifiers have a meaning, so that every backend answers bad
//! input alike: it is never asked. This module only describes; it touches no memory.

use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AllocateFlags, AtFlags, LinkFlags, LockMode, MessageFlags, MessageNotes,
    NodeKind, OpenFlags, PollEvents, RemoveFlags, RenameFlags, ShutdownHow, StatFlags, SyncMode, Whence,
    XattrFlags,
};

/// Bytes of the submitter's that an operation reads or fills.
///
/// The engine has checked that they lie in a region it was told of. They stay valid and are not moved until the
/// operation is reported; who pushed the entry promised that (see `SECURITY.md`). Layout of a `struct iovec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// The first byte. Dangling, but not null, when the length is 0.
    pub pointer: *mut u8,
    /// How many bytes.
    pub length: usize,
}

// SAFETY: a span is an address and a length; whoever dereferences it argues for that.
unsafe impl Send for Span {}

impl Span {
    /// No bytes.
    pub const EMPTY: Span = Span { pointer: core::ptr::NonNull::dangling().as_ptr(), length: 0 };
}

/// The buffers of a READ or WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// One buffer.
    One(Span),
    /// An array of `count` spans at `spans`, which stays valid until the operation is reported.
    Many {
        /// The first span.
        spans: *const Span,
        /// How many, at most [`MAX_PIECES`](ouzel_ring::modifiers::MAX_PIECES).
        count: usize,
    },
}

// SAFETY: as for `Span`.
unsafe impl Send for Buffers {}

/// A path: `length` bytes of which the last, and no other, is NUL. It stays valid until the operation is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The first byte.
    pub pointer: *const u8,
    /// Bytes, the NUL included: 1 to [`MAX_PATH`](ouzel_ring::modifiers::MAX_PATH).
    pub length: usize,
}

// SAFETY: as for `Span`.
unsafe impl Send for Path {}

impl Path {
    /// The empty path: what the operation's directory is open as, also if that descriptor only names it
    /// ([`OpenFlags::PATH`]).
    ///
    /// The engine refuses empty paths, so no entry can ask for it; it is for layers between the engine and a backend. CHMOD,
    /// CHOWN, UTIMES, the verbs on extended attributes, and LINK for its old path, take it beside a directory.
    pub const EMPTY: Path = Path { pointer: c"".as_ptr().cast::<u8>(), length: 1 };

    /// Whether it is the [empty path](Path::EMPTY).
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.length <= 1
    }
}

/// Stands for the length of the path of an attribute of what is open.
const ITSELF: u32 = u32::MAX;

/// The name of an extended attribute, and the path in front of it if the file is named by one. The bytes stay valid
/// until the operation is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    pointer: *const u8,
    path: u32,
    name: u32,
}

// SAFETY: as for `Span`.
unsafe impl Send for Attribute {}

impl Attribute {
    /// The attribute whose path (0 for none) and then whose name, each with its NUL, are so many bytes at `pointer`.
    pub fn new(pointer: *const u8, path: u32, name: u32) -> Attribute {
        Attribute { pointer, path, name }
    }

    /// The attribute of this name of what the operation's directory is open as: its path is [`Path::EMPTY`].
    pub fn of_itself(self) -> Attribute {
        Attribute { pointer: self.name().pointer, path: ITSELF, name: self.name }
    }

    /// The path, if there is one.
    pub fn path(&self) -> Option<Path> {
        match self.path {
            0 => None,
            ITSELF => Some(Path::EMPTY),
            length => Some(Path { pointer: self.pointer, length: length as usize }),
        }
    }

    /// The name: 2 to [`MAX_XATTR_NAME`](ouzel_ring::modifiers::MAX_XATTR_NAME) + 1 bytes of which the last, and no
    /// other, is NUL.
    pub fn name(&self) -> Path {
        let before = if self.path == ITSELF { 0 } else { self.path };
        Path { pointer: self.pointer.wrapping_add(before as usize), length: self.name as usize }
    }
}

/// The times that UTIMES sets: of the last access, of the last change. Nanoseconds may be
/// [`TIME_NOW`](ouzel_ring::modifiers::TIME_NOW) or [`TIME_OMIT`](ouzel_ring::modifiers::TIME_OMIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Seconds since 1970.
    pub seconds: [i64; 2],
    /// Nanoseconds of that second.
    pub nanoseconds: [u32; 2],
}

/// Where a relative path starts: an index of the descriptor table, or the working directory.
pub type Directory = Option<u32>;

/// Where a transfer starts: an offset, or the descriptor's current position.
pub type Position = Option<u64>;

/// One operation. Fields named `file`, `socket`, `source`, `target` and `directory` are indices of the descriptor
/// table; `into` is an index that the engine has reserved and the backend fills if the operation succeeds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // The fields are the arguments of the verb's page in docs/abi.md.
pub enum Operation {
    /// READ. Result: bytes read; 0 at the end.
    Read { file: u32, buffers: Buffers, position: Position },
    /// WRITE. Result: bytes written.
    Write { file: u32, buffers: Buffers, position: Position },
    /// POLL. Result: the events that are ready.
    Poll { file: u32, events: PollEvents, multishot: bool },
    /// OPEN. Never waits for a peer.
    Open { directory: Directory, path: Path, flags: OpenFlags, mode: u32, into: u32 },
    /// CLOSE. The index is free again when this is reported.
    Close { file: u32 },
    /// SEEK. Result: the new position.
    Seek { file: u32, offset: i64, whence: Whence },
    /// STAT of a path, or of `directory` itself if there is none. `record` is 256 bytes.
    Stat { directory: Directory, path: Option<Path>, record: Span, flags: StatFlags },
    /// SYNC. `offset` and `length` (0: to the end) are for [`SyncMode::Range`] only.
    Sync { file: u32, mode: SyncMode, offset: u64, length: u64 },
    /// TRUNCATE.
    Truncate { file: u32, length: u64 },
    /// ALLOCATE.
    Allocate { file: u32, offset: u64, length: u64, flags: AllocateFlags },
    /// MKDIR.
    Mkdir { directory: Directory, path: Path, mode: u32 },
    /// REMOVE.
    Remove { directory: Directory, path: Path, flags: RemoveFlags },
    /// RENAME.
    Rename { from: Directory, old: Path, to: Directory, new: Path, flags: RenameFlags },
    /// LINK.
    Link { from: Directory, old: Path, to: Directory, new: Path, flags: LinkFlags },
    /// SYMLINK: `target` is stored as it is.
    Symlink { target: Path, directory: Directory, path: Path },
    /// READDIR. Result: bytes of records; 0 at the end.
    Readdir { file: u32, buffer: Span },
    /// COPY. Result: bytes copied; 0 at the end of the source.
    Copy { source: u32, from: Position, target: u32, to: Position, length: u64 },
    /// PIPE: the end to read from, the end to write to.
    Pipe { into: [u32; 2] },
    /// SOCKET, with the numbers of `socket(2)`.
    Socket { domain: i32, kind: i32, protocol: i32, into: u32 },
    /// BIND to the `struct sockaddr` in `address`.
    Bind { socket: u32, address: Span },
    /// LISTEN.
    Listen { socket: u32, backlog: u32 },
    /// ACCEPT. The peer's address goes to `address` if there is one; extra: the address's full length. When
    /// `multishot`, `into` is unused and each report's result is a handle for [`Backend::attach`](crate::Backend::attach).
    Accept { socket: u32, address: Option<Span>, into: u32, multishot: bool },
    /// CONNECT to the `struct sockaddr` in `address`.
    Connect { socket: u32, address: Span },
    /// SEND. Never raises a signal. Result: bytes sent.
    Send { socket: u32, buffer: Span, flags: MessageFlags },
    /// RECV. Result: bytes received; 0 when the peer has stopped sending.
    Recv { socket: u32, buffer: Span, flags: MessageFlags },
    /// RECV into a buffer that the backend picks out of a group. Result: bytes received; 0 when the peer has stopped sending,
    /// which ends a multishot. Extra: the number of the buffer and 1; 0 if none was picked, as with a result of 0. ENOBUFS if
    /// the group has none.
    RecvPicked { socket: u32, group: u16, multishot: bool },
    /// SHUTDOWN.
    Shutdown { socket: u32, how: ShutdownHow },
    /// READLINK of a path, or of `directory` itself if there is none. Result: bytes of the target; with an empty buffer
    /// nothing is written.
    Readlink { directory: Directory, path: Option<Path>, buffer: Span },
    /// CHMOD of a path, or of `directory` itself if there is none.
    Chmod { directory: Directory, path: Option<Path>, mode: u32 },
    /// CHOWN of a path, or of `directory` itself if there is none.
    Chown { directory: Directory, path: Option<Path>, user: Option<u32>, group: Option<u32>, flags: AtFlags },
    /// UTIMES of a path, or of `directory` itself if there is none.
    Utimes { directory: Directory, path: Option<Path>, times: Times, follow: bool },
    /// MKNOD. `device` has the major number in its upper half, and is 0 where it has no meaning.
    Mknod { directory: Directory, path: Path, kind: NodeKind, mode: u32, device: u64 },
    /// STATFS of a path, or of `directory` itself if there is none. `record` is 96 bytes.
    Statfs { directory: Directory, path: Option<Path>, record: Span },
    /// ACCESS of a path, or of `directory` itself if there is none.
    Access { directory: Directory, path: Option<Path>, access: AccessFlags, options: AccessOptions },
    /// GETXATTR of a path, or of `directory` itself if there is none. Result: bytes of the value; with an empty buffer
    /// nothing is written.
    GetXattr { directory: Directory, attribute: Attribute, value: Span, flags: XattrFlags },
    /// SETXATTR of a path, or of `directory` itself if there is none.
    SetXattr { directory: Directory, attribute: Attribute, value: Span, flags: XattrFlags },
    /// LISTXATTR of a path, or of `directory` itself if there is none. Result: bytes of the names; with an empty buffer
    /// nothing is written.
    ListXattr { directory: Directory, path: Option<Path>, buffer: Span, flags: XattrFlags },
    /// REMOVEXATTR of a path, or of `directory` itself if there is none.
    RemoveXattr { directory: Directory, attribute: Attribute, flags: XattrFlags },
    /// LOCK of `length` bytes (0: to the end, wherever that will be) from `offset` on.
    Lock { file: u32, offset: u64, length: u64, mode: LockMode },
    /// GETSOCKOPT, with Linux's numbers. Result: bytes of the value.
    GetSockopt { socket: u32, level: i32, name: i32, value: Span },
    /// SETSOCKOPT, with Linux's numbers.
    SetSockopt { socket: u32, level: i32, name: i32, value: Span },
    /// SOCKNAME. Result: the address's full length.
    Sockname { socket: u32, address: Span },
    /// PEERNAME. Result: the address's full length.
    Peername { socket: u32, address: Span },
    /// SENDMSG: the pieces, to the message's address if it has one, with the descriptors behind the indices of its array.
    /// Never raises a signal. Result: bytes sent.
    SendMsg { socket: u32, message: Message, flags: MessageFlags },
    /// RECVMSG. Result: bytes received. Extra: what [`Message::extra`] makes of the rest. The message's array is to be
    /// filled with handles for [`Backend::attach`](crate::Backend::attach), one for each descriptor received.
    RecvMsg { socket: u32, message: Message, flags: MessageFlags },
    /// SPLICE. One of the two is a pipe. Result: bytes moved; 0 at the end of the source.
    Splice { source: u32, from: Position, target: u32, to: Position, length: u64 },
    /// WAIT for the process behind a descriptor, or for the one with this number. Result: its exit status; extra: the
    /// signal that ended it, and 0x80 beside it if it left a core.
    Wait { process: Process },
    /// FUTEX that waits on the word, of four aligned bytes, while it holds `expected`; EAGAIN if it does not.
    FutexWait { word: Span, expected: u32, shared: bool },
    /// FUTEX that wakes up to `count` of those who wait on the word. Result: how many.
    FutexWake { word: Span, count: u32, shared: bool },
    /// WAKE: adds `amount`, at least 1, to the count of a bell.
    Wake { bell: u32, amount: u64 },
}

/// The parts of a message that SENDMSG sends or RECVMSG receives. Everything stays valid until the operation is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The address it goes to (none, if it has no bytes), or room for the one it came from.
    pub address: Span,
    /// The first of the pieces.
    pub spans: *const Span,
    /// How many pieces.
    pub count: u32,
    /// How many descriptors are sent, or at most received: up to
    /// [`MAX_MESSAGE_DESCRIPTORS`](ouzel_ring::modifiers::MAX_MESSAGE_DESCRIPTORS).
    pub files: u32,
    /// The engine's own array of so many words: the indices of what is sent, or the handles of what was received.
    pub array: *mut u64,
}

// SAFETY: as for `Span`.
unsafe impl Send for Message {}

impl Message {
    /// The extra result of a RECVMSG: how many handles it has put into the array, what there is to note, and how long the
    /// sender's address is in full.
    pub const fn extra(files: u32, notes: MessageNotes, address: u32) -> u32 {
        (files & 0xff) | (notes.bits() & 0xff) << 8 | address << 16
    }

    /// What [`Message::extra`] was made of.
    pub(crate) const fn from_extra(extra: u32) -> (usize, MessageNotes, u32) {
        ((extra & 0xff) as usize, MessageNotes::from_bits_truncate(extra >> 8 & 0xff), extra >> 16)
    }
}

/// Whom a WAIT is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// The process behind this index of the descriptor table.
    Descriptor(u32),
    /// The process with this number.
    Number(i32),
}

// Steps are copied for every entry: one should not take more than a line of the cache.
const _: () = assert!(size_of::<Operation>() <= 64);

impl Operation {
    /// No operation: what is there before one is.
    pub(crate) const NONE: Operation = Operation::Close { file: u32::MAX };

    /// The indices this operation reserves, in the order of its results; empty for most.
    #[inline]
    pub fn opens(&self) -> &[u32] {
        match self {
            Operation::Open { into, .. } | Operation::Socket { into, .. } => core::slice::from_ref(into),
            Operation::Accept { into, multishot: false, .. } => core::slice::from_ref(into),
            Operation::Pipe { into } => into,
            _ => &[],
        }
    }

    /// The indices this operation names: what it works on or starts from, and a second one for the few that have two
    /// (`target` and `to`). Those it reserves are not among them, see [`Operation::opens`], nor are those that a
    /// message takes along.
    #[inline]
    pub fn names(&self) -> [Option<u32>; 2] {
        match *self {
            Operation::Read { file, .. }
            | Operation::Write { file, .. }
            | Operation::Poll { file, .. }
            | Operation::Close { file }
            | Operation::Seek { file, .. }
            | Operation::Sync { file, .. }
            | Operation::Truncate { file, .. }
            | Operation::Allocate { file, .. }
            | Operation::Readdir { file, .. }
            | Operation::Lock { file, .. } => [Some(file), None],
            Operation::Bind { socket, .. }
            | Operation::Listen { socket, .. }
            | Operation::Accept { socket, .. }
            | Operation::Connect { socket, .. }
            | Operation::Send { socket, .. }
            | Operation::Recv { socket, .. }
            | Operation::RecvPicked { socket, .. }
            | Operation::Shutdown { socket, .. }
            | Operation::GetSockopt { socket, .. }
            | Operation::SetSockopt { socket, .. }
            | Operation::Sockname { socket, .. }
            | Operation::Peername { socket, .. }
            | Operation::SendMsg { socket, .. }
            | Operation::RecvMsg { socket, .. } => [Some(socket), None],
            Operation::Open { directory, .. }
            | Operation::Stat { directory, .. }
            | Operation::Mkdir { directory, .. }
            | Operation::Remove { directory, .. }
            | Operation::Symlink { directory, .. }
            | Operation::Readlink { directory, .. }
            | Operation::Chmod { directory, .. }
            | Operation::Chown { directory, .. }
            | Operation::Utimes { directory, .. }
            | Operation::Mknod { directory, .. }
            | Operation::Statfs { directory, .. }
            | Operation::Access { directory, .. }
            | Operation::GetXattr { directory, .. }
            | Operation::SetXattr { directory, .. }
            | Operation::ListXattr { directory, .. }
            | Operation::RemoveXattr { directory, .. } => [directory, None],
            Operation::Rename { from, to, .. } | Operation::Link { from, to, .. } => [from, to],
            Operation::Copy { source, target, .. } | Operation::Splice { source, target, .. } => {
                [Some(source), Some(target)]
            }
            Operation::Wait { process: Process::Descriptor(process) } => [Some(process), None],
            Operation::Wake { bell, .. } => [Some(bell), None],
            Operation::Wait { process: Process::Number(_) }
            | Operation::FutexWait { .. }
            | Operation::FutexWake { .. }
            | Operation::Pipe { .. }
            | Operation::Socket { .. } => [None, None],
        }
    }

    /// Whether this is an operation of which one start gives many reports.
    #[inline]
    pub fn is_multishot(&self) -> bool {
        matches!(
            self,
            Operation::Poll { multishot: true, .. }
                | Operation::Accept { multishot: true, .. }
                | Operation::RecvPicked { multishot: true, .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_of_what_is_open_has_an_empty_path() {
        let bytes = b"path\0user.x\0";
        let attribute = Attribute::new(bytes.as_ptr(), 5, 7);
        assert!(attribute.path().is_some_and(|path| path.length == 5 && !path.is_empty()));
        for itself in [attribute.of_itself(), attribute.of_itself().of_itself()] {
            assert!(itself.path().is_some_and(|path| path.is_empty()));
            assert_eq!(itself.name(), attribute.name());
        }
        let unnamed = Attribute::new(bytes[5..].as_ptr(), 0, 7);
        assert_eq!(unnamed.path(), None);
        assert_eq!(unnamed.of_itself().name(), attribute.name());
        assert!(Path::EMPTY.is_empty());
    }
}

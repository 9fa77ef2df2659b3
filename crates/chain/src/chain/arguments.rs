//! What a step's arguments may be: a value known now, or the result of an earlier step.

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{CURRENT_POSITION, OpenFlags};

use super::{Fd, Part, Reg, Room, Variable};
use crate::Buffer;

/// A file, socket or other object: one that is open, or one that an earlier step opens.
#[derive(Clone, Copy, Debug)]
pub enum File {
    /// Open in this ring.
    Open(Descriptor),
    /// Opened by an earlier step.
    Of(Reg<Fd>),
}

impl From<Descriptor> for File {
    fn from(descriptor: Descriptor) -> File {
        File::Open(descriptor)
    }
}

impl From<Reg<Fd>> for File {
    fn from(reg: Reg<Fd>) -> File {
        File::Of(reg)
    }
}

/// Where a relative path starts.
#[derive(Clone, Copy, Debug)]
pub enum Directory {
    /// The working directory of the process.
    Working,
    /// A directory that is open, or that an earlier step opens.
    At(File),
}

impl<T: Into<File>> From<T> for Directory {
    fn from(file: T) -> Directory {
        Directory::At(file.into())
    }
}

/// A number: a value known now, or a count or position that an earlier step results in.
#[derive(Clone, Copy, Debug)]
pub enum Count {
    /// Known now.
    Known(u64),
    /// A count of bytes that an earlier step results in.
    Bytes(Reg<usize>),
    /// Another number that an earlier step results in.
    Number(Reg<u64>),
}

impl From<u64> for Count {
    fn from(number: u64) -> Count {
        Count::Known(number)
    }
}

impl From<u32> for Count {
    fn from(number: u32) -> Count {
        Count::Known(number as u64)
    }
}

impl From<usize> for Count {
    fn from(number: usize) -> Count {
        Count::Known(number as u64)
    }
}

impl From<Reg<usize>> for Count {
    fn from(reg: Reg<usize>) -> Count {
        Count::Bytes(reg)
    }
}

impl From<Reg<u64>> for Count {
    fn from(reg: Reg<u64>) -> Count {
        Count::Number(reg)
    }
}

impl From<Variable> for Count {
    fn from(variable: Variable) -> Count {
        Count::Number(variable.reg())
    }
}

/// How far SEEK moves: forwards or, if negative, backwards; as known now or as an earlier step results in.
#[derive(Clone, Copy, Debug)]
pub struct Distance(pub(super) Count);

impl From<i64> for Distance {
    fn from(distance: i64) -> Distance {
        Distance(Count::Known(distance as u64))
    }
}

impl From<i32> for Distance {
    fn from(distance: i32) -> Distance {
        Distance::from(i64::from(distance))
    }
}

impl From<Reg<usize>> for Distance {
    fn from(reg: Reg<usize>) -> Distance {
        Distance(reg.into())
    }
}

impl From<Reg<u64>> for Distance {
    fn from(reg: Reg<u64>) -> Distance {
        Distance(reg.into())
    }
}

impl From<Variable> for Distance {
    fn from(variable: Variable) -> Distance {
        Distance(variable.into())
    }
}

/// Where in a file a transfer starts.
#[derive(Clone, Copy, Debug)]
pub struct Offset(pub(super) Count);

impl Offset {
    /// The start of the file.
    pub const START: Offset = Offset(Count::Known(0));
    /// The descriptor's current position, which moves along. Pipes and sockets have no other.
    pub const CURRENT: Offset = Offset(Count::Known(CURRENT_POSITION));

    /// This many bytes from the start, as known now or as an earlier step results in.
    pub fn at(offset: impl Into<Count>) -> Offset {
        Offset(offset.into())
    }
}

/// What a read fills: a buffer of its own, or a part of a [`Room`].
#[derive(Debug)]
pub enum Target {
    /// A buffer, up to its capacity.
    Own(Buffer),
    /// A part of a room that other steps use, too.
    Part(Part),
}

impl<T: Into<Buffer>> From<T> for Target {
    fn from(buffer: T) -> Target {
        Target::Own(buffer.into())
    }
}

impl From<Room> for Target {
    fn from(room: Room) -> Target {
        Target::Part(room.into())
    }
}

impl From<Part> for Target {
    fn from(part: Part) -> Target {
        Target::Part(part)
    }
}

/// What a write writes: bytes of its own, or what an earlier step has read.
#[derive(Debug)]
pub enum Data {
    /// The filled part of a buffer.
    Own(Buffer),
    /// What that read or receive got: its buffer, and as many bytes as it resulted in.
    Of(Reg<usize>),
    /// A part of a room.
    Part(Part),
}

impl From<Room> for Data {
    fn from(room: Room) -> Data {
        Data::Part(room.into())
    }
}

impl From<Part> for Data {
    fn from(part: Part) -> Data {
        Data::Part(part)
    }
}

impl<T: Into<Buffer>> From<T> for Data {
    fn from(buffer: T) -> Data {
        Data::Own(buffer.into())
    }
}

impl From<Reg<usize>> for Data {
    fn from(reg: Reg<usize>) -> Data {
        Data::Of(reg)
    }
}

/// How to open a file. See the verb OPEN in `docs/abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    pub(crate) flags: OpenFlags,
    pub(crate) mode: u32,
}

impl OpenOptions {
    /// For reading.
    pub const fn read() -> OpenOptions {
        OpenOptions::from_flags(OpenFlags::READ)
    }

    /// For writing. The file must exist; see [`create`](OpenOptions::create).
    pub const fn write() -> OpenOptions {
        OpenOptions::from_flags(OpenFlags::WRITE)
    }

    /// For reading and writing.
    pub const fn read_write() -> OpenOptions {
        OpenOptions::from_flags(OpenFlags::READ.union(OpenFlags::WRITE))
    }

    /// A directory, to list it or to start paths from it.
    pub const fn directory() -> OpenOptions {
        OpenOptions::from_flags(OpenFlags::READ.union(OpenFlags::DIRECTORY))
    }

    /// These flags, and permissions 0o666 for a file that is made.
    pub const fn from_flags(flags: OpenFlags) -> OpenOptions {
        OpenOptions { flags, mode: 0o666 }
    }

    /// The file is made if it does not exist.
    pub const fn create(self) -> OpenOptions {
        self.with(OpenFlags::CREATE)
    }

    /// The file is made, and must not exist.
    pub const fn create_new(self) -> OpenOptions {
        self.with(OpenFlags::CREATE.union(OpenFlags::EXCLUSIVE))
    }

    /// The file is emptied.
    pub const fn truncate(self) -> OpenOptions {
        self.with(OpenFlags::TRUNCATE)
    }

    /// Every write goes to the end.
    pub const fn append(self) -> OpenOptions {
        self.with(OpenFlags::APPEND)
    }

    /// A symbolic link in the last place is an error.
    pub const fn no_follow(self) -> OpenOptions {
        self.with(OpenFlags::NOFOLLOW)
    }

    /// A path that leaves the directory it starts from is an error, EXDEV: one that is absolute, climbs out with `..`, or
    /// does so through a symbolic link.
    pub const fn beneath(self) -> OpenOptions {
        self.with(OpenFlags::BENEATH)
    }

    /// The permissions of a file that is made, less the process's umask.
    pub const fn mode(mut self, mode: u32) -> OpenOptions {
        self.mode = mode;
        self
    }

    const fn with(mut self, flags: OpenFlags) -> OpenOptions {
        self.flags = self.flags.union(flags);
        self
    }
}

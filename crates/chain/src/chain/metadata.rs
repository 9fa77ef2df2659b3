//! The operations on what files are besides their bytes, for chains: one method per verb for a path, and one for what
//! is open.

use alloc::vec::Vec;

use ouzel_ring::Verb;
use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AtFlags, NodeKind, OWNER_OMIT, STATFS_RECORD, TIME_NOW, TIME_OMIT, XattrFlags,
};

use super::operations::Draft;
use super::{Chain, Directory, File, Memory, Reg, Statfs, Unit};
use crate::Buffer;
use crate::os::{self, OsStr, Path, SystemTime};

/// What becomes of one of a file's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetTime {
    /// It becomes the time at which the operation runs.
    #[default]
    Now,
    /// It stays as it is.
    Omit,
    /// It becomes this; what the file system cannot keep of it is lost.
    At(SystemTime),
}

impl From<SystemTime> for SetTime {
    fn from(time: SystemTime) -> SetTime {
        SetTime::At(time)
    }
}

impl SetTime {
    fn record(self) -> [u64; 2] {
        let time = match self {
            SetTime::Now => return [0, TIME_NOW],
            SetTime::Omit => return [0, TIME_OMIT],
            SetTime::At(time) => time,
        };
        let (seconds, nanoseconds) = os::parts(time);
        [seconds as u64, u64::from(nanoseconds)]
    }
}

/// What UTIMES sets. By default both times become the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The time of the last access.
    pub accessed: SetTime,
    /// The time of the last change of its content.
    pub modified: SetTime,
}

impl Times {
    fn buffer(self) -> Buffer {
        let words = [self.accessed.record(), self.modified.record()];
        let bytes: Vec<u8> = words.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect();
        Buffer::from(bytes.as_slice())
    }
}

/// Argument 4 of CHOWN.
fn owner(user: Option<u32>, group: Option<u32>) -> u64 {
    u64::from(user.unwrap_or(OWNER_OMIT)) | u64::from(group.unwrap_or(OWNER_OMIT)) << 32
}

/// Argument 4 of the verbs on extended attributes. What is longer than any value is refused in any case.
fn length_and_flags(length: usize, flags: XattrFlags) -> u64 {
    u64::from(u32::try_from(length).unwrap_or(u32::MAX)) | flags.bits()
}

impl Draft {
    /// Adds a step whose payload is the name of an attribute, of the file that is argument 0.
    fn add_name<T>(self, chain: &mut Chain, name: &OsStr) -> Reg<T> {
        let name = os::name_bytes(name);
        let start = chain.push_path(name);
        self.value(2, name.len() as u64 + 1).add_with(chain, Memory::Text(start))
    }
}

impl Chain {
    /// READLINK: reads where the symbolic link `path`, relative to `directory`, points. The result is how many bytes that
    /// are, which is all of them: a buffer that is too small is ERANGE. Without any capacity nothing is read, and the
    /// result is how much it would need.
    pub fn readlink(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        buffer: impl Into<Buffer>,
    ) -> Reg<usize> {
        let buffer = buffer.into();
        let draft = Draft::new(Verb::Readlink).directory(self, 0, directory);
        let reg = draft.value(4, buffer.capacity() as u64).add_path(self, path.as_ref());
        self.attach_room(buffer);
        reg
    }

    /// READLINK of a symbolic link that was opened with [`OpenFlags::PATH`](ouzel_ring::modifiers::OpenFlags::PATH) and
    /// [`OpenFlags::NOFOLLOW`](ouzel_ring::modifiers::OpenFlags::NOFOLLOW).
    pub fn readlink_file(&mut self, file: impl Into<File>, buffer: impl Into<Buffer>) -> Reg<usize> {
        let buffer = buffer.into();
        let draft = Draft::new(Verb::Readlink).file(self, 0, file);
        let reg = draft.value(4, buffer.capacity() as u64).add(self);
        self.attach_room(buffer);
        reg
    }

    /// Lets argument 3 of the last step point to a buffer that it fills.
    fn attach_room(&mut self, mut buffer: Buffer) {
        buffer.clear();
        self.attach(buffer);
    }

    /// CHMOD: sets the permissions of what `path`, relative to `directory`, names.
    pub fn chmod(&mut self, directory: impl Into<Directory>, path: impl AsRef<Path>, mode: u32) -> Reg<Unit> {
        let draft = Draft::new(Verb::Chmod).directory(self, 0, directory);
        draft.value(4, u64::from(mode)).add_path(self, path.as_ref())
    }

    /// CHMOD: sets the permissions of `file`.
    pub fn chmod_file(&mut self, file: impl Into<File>, mode: u32) -> Reg<Unit> {
        Draft::new(Verb::Chmod).file(self, 0, file).value(4, u64::from(mode)).add(self)
    }

    /// CHOWN: gives what `path`, relative to `directory`, names to a user, a group, or both; `None` leaves one as it is.
    pub fn chown(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        user: Option<u32>,
        group: Option<u32>,
        flags: AtFlags,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::Chown).directory(self, 0, directory).value(3, flags.bits());
        draft.value(4, owner(user, group)).add_path(self, path.as_ref())
    }

    /// CHOWN: gives `file` to a user, a group, or both.
    pub fn chown_file(&mut self, file: impl Into<File>, user: Option<u32>, group: Option<u32>) -> Reg<Unit> {
        Draft::new(Verb::Chown).file(self, 0, file).value(4, owner(user, group)).add(self)
    }

    /// UTIMES: sets the times of what `path`, relative to `directory`, names.
    pub fn utimes(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        times: Times,
        flags: AtFlags,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::Utimes).directory(self, 0, directory).value(4, flags.bits());
        let reg = draft.add_path(self, path.as_ref());
        self.attach(times.buffer());
        reg
    }

    /// UTIMES: sets the times of `file`.
    pub fn utimes_file(&mut self, file: impl Into<File>, times: Times) -> Reg<Unit> {
        let reg = Draft::new(Verb::Utimes).file(self, 0, file).add(self);
        self.attach(times.buffer());
        reg
    }

    /// MKNOD: makes a file of this kind with these permissions, less the umask.
    pub fn mknod(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        kind: NodeKind,
        mode: u32,
    ) -> Reg<Unit> {
        self.mknod_device(directory, path, kind, mode, 0, 0)
    }

    /// MKNOD: makes a device with this major and minor number. For other kinds they mean nothing.
    pub fn mknod_device(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        kind: NodeKind,
        mode: u32,
        major: u32,
        minor: u32,
    ) -> Reg<Unit> {
        // A mode with other bits must not make it another kind: it is refused.
        let kind_and_mode = if mode > 0o7777 { u64::MAX } else { kind as u64 | u64::from(mode) };
        Draft::new(Verb::Mknod)
            .directory(self, 0, directory)
            .value(3, kind_and_mode)
            .value(4, u64::from(major) << 32 | u64::from(minor))
            .add_path(self, path.as_ref())
    }

    /// STATFS: describes the file system that what `path`, relative to `directory`, names is on.
    pub fn statfs(&mut self, directory: impl Into<Directory>, path: impl AsRef<Path>) -> Reg<Statfs> {
        let reg = Draft::new(Verb::Statfs).directory(self, 0, directory).add_path(self, path.as_ref());
        self.attach(Buffer::with_capacity(STATFS_RECORD as usize));
        reg
    }

    /// STATFS: describes the file system that `file` is on.
    pub fn statfs_file(&mut self, file: impl Into<File>) -> Reg<Statfs> {
        let reg = Draft::new(Verb::Statfs).file(self, 0, file).add(self);
        self.attach(Buffer::with_capacity(STATFS_RECORD as usize));
        reg
    }

    /// ACCESS: fails with EACCES unless what `path`, relative to `directory`, names may be used in these ways.
    pub fn access(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        access: AccessFlags,
        options: AccessOptions,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::Access).directory(self, 0, directory).value(3, access.bits());
        draft.value(4, options.bits()).add_path(self, path.as_ref())
    }

    /// ACCESS: fails with EACCES unless `file` may be opened anew in these ways.
    pub fn access_file(
        &mut self,
        file: impl Into<File>,
        access: AccessFlags,
        options: AccessOptions,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::Access).file(self, 0, file).value(3, access.bits());
        draft.value(4, options.bits()).add(self)
    }

    /// GETXATTR: reads the attribute `name` of what `path`, relative to `directory`, names. The result is how many bytes
    /// that are, which is all of them: a buffer that is too small is ERANGE. Without any capacity nothing is read, and the
    /// result is how much it would need.
    pub fn getxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Reg<usize> {
        let buffer = buffer.into();
        let draft = Draft::new(Verb::GetXattr).directory(self, 0, directory);
        let draft = draft.value(4, length_and_flags(buffer.capacity(), flags));
        let reg = draft.add_two_paths(self, path.as_ref(), os::named(name.as_ref()));
        self.attach_room(buffer);
        reg
    }

    /// GETXATTR: reads the attribute `name` of `file`. See [`getxattr`](Chain::getxattr).
    pub fn getxattr_file(
        &mut self,
        file: impl Into<File>,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
    ) -> Reg<usize> {
        let buffer = buffer.into();
        let length = length_and_flags(buffer.capacity(), XattrFlags::empty());
        let draft = Draft::new(Verb::GetXattr).file(self, 0, file).value(4, length);
        let reg = draft.add_name(self, name.as_ref());
        self.attach_room(buffer);
        reg
    }

    /// SETXATTR: sets the attribute `name` of what `path`, relative to `directory`, names.
    pub fn setxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Reg<Unit> {
        let value = value.into();
        let draft = Draft::new(Verb::SetXattr).directory(self, 0, directory);
        let draft = draft.value(4, length_and_flags(value.len(), flags));
        let reg = draft.add_two_paths(self, path.as_ref(), os::named(name.as_ref()));
        self.attach(value);
        reg
    }

    /// SETXATTR: sets the attribute `name` of `file`.
    pub fn setxattr_file(
        &mut self,
        file: impl Into<File>,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Reg<Unit> {
        let value = value.into();
        let length = length_and_flags(value.len(), flags);
        let draft = Draft::new(Verb::SetXattr).file(self, 0, file).value(4, length);
        let reg = draft.add_name(self, name.as_ref());
        self.attach(value);
        reg
    }

    /// LISTXATTR: reads the names of the attributes of what `path`, relative to `directory`, names, each with a NUL behind
    /// it. The result is how many bytes they are; buffers are as for [`getxattr`](Chain::getxattr).
    pub fn listxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        buffer: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Reg<usize> {
        let buffer = buffer.into();
        let draft = Draft::new(Verb::ListXattr).directory(self, 0, directory);
        let draft = draft.value(4, length_and_flags(buffer.capacity(), flags));
        let reg = draft.add_path(self, path.as_ref());
        self.attach_room(buffer);
        reg
    }

    /// LISTXATTR: reads the names of the attributes of `file`. See [`listxattr`](Chain::listxattr).
    pub fn listxattr_file(&mut self, file: impl Into<File>, buffer: impl Into<Buffer>) -> Reg<usize> {
        let buffer = buffer.into();
        let length = length_and_flags(buffer.capacity(), XattrFlags::empty());
        let reg = Draft::new(Verb::ListXattr).file(self, 0, file).value(4, length).add(self);
        self.attach_room(buffer);
        reg
    }

    /// REMOVEXATTR: removes the attribute `name` of what `path`, relative to `directory`, names.
    pub fn removexattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        flags: XattrFlags,
    ) -> Reg<Unit> {
        let draft = Draft::new(Verb::RemoveXattr).directory(self, 0, directory).value(4, flags.bits());
        draft.add_two_paths(self, path.as_ref(), os::named(name.as_ref()))
    }

    /// REMOVEXATTR: removes the attribute `name` of `file`.
    pub fn removexattr_file(&mut self, file: impl Into<File>, name: impl AsRef<OsStr>) -> Reg<Unit> {
        Draft::new(Verb::RemoveXattr).file(self, 0, file).add_name(self, name.as_ref())
    }
}

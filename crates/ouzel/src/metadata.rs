//! Synchronous calls on what files are besides their bytes, each waited for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{AccessFlags, AccessOptions, AtFlags, MAX_PATH, NodeKind, XattrFlags};

use crate::Buffer;
use crate::chain::FileSystemStat;
use crate::chain::{Directory, Times};
use crate::error::Error;
use crate::ring::Ring;

impl<M> Ring<M> {
    /// Reads where the symbolic link `path`, relative to `directory`, points.
    pub fn readlink(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Result<PathBuf, Error> {
        let target =
            self.fill(|chain| chain.readlink(directory, path, Buffer::with_capacity(MAX_PATH as usize)))?;
        Ok(PathBuf::from(OsString::from_vec(target.as_slice().to_vec())))
    }

    /// Sets the permissions of what `path`, relative to `directory`, names.
    pub fn chmod(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        mode: u32,
    ) -> Result<(), Error> {
        self.call(|chain| chain.chmod(directory, path, mode))
    }

    /// Sets the permissions of `file`.
    pub fn chmod_file(&mut self, file: Descriptor, mode: u32) -> Result<(), Error> {
        self.call(|chain| chain.chmod_file(file, mode))
    }

    /// Gives what `path`, relative to `directory`, names to a user, a group, or both; `None` leaves one as it is.
    pub fn chown(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        user: Option<u32>,
        group: Option<u32>,
        flags: AtFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.chown(directory, path, user, group, flags))
    }

    /// Gives `file` to a user, a group, or both.
    pub fn chown_file(
        &mut self,
        file: Descriptor,
        user: Option<u32>,
        group: Option<u32>,
    ) -> Result<(), Error> {
        self.call(|chain| chain.chown_file(file, user, group))
    }

    /// Sets the times of what `path`, relative to `directory`, names.
    pub fn utimes(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        times: Times,
        flags: AtFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.utimes(directory, path, times, flags))
    }

    /// Sets the times of `file`.
    pub fn utimes_file(&mut self, file: Descriptor, times: Times) -> Result<(), Error> {
        self.call(|chain| chain.utimes_file(file, times))
    }

    /// Makes a file of this kind.
    pub fn mknod(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        kind: NodeKind,
        mode: u32,
    ) -> Result<(), Error> {
        self.call(|chain| chain.mknod(directory, path, kind, mode))
    }

    /// Describes the file system that what `path`, relative to `directory`, names is on.
    pub fn statfs(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Result<FileSystemStat, Error> {
        self.call(|chain| chain.statfs(directory, path))
    }

    /// Describes the file system that `file` is on.
    pub fn statfs_file(&mut self, file: Descriptor) -> Result<FileSystemStat, Error> {
        self.call(|chain| chain.statfs_file(file))
    }

    /// Fails with EACCES unless what `path`, relative to `directory`, names may be used in these ways.
    pub fn access(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        access: AccessFlags,
        options: AccessOptions,
    ) -> Result<(), Error> {
        self.call(|chain| chain.access(directory, path, access, options))
    }

    /// Reads an attribute of what `path`, relative to `directory`, names into `buffer`, which must be large enough.
    pub fn getxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Result<Buffer, Error> {
        self.fill(|chain| chain.getxattr(directory, path, name, buffer, flags))
    }

    /// Reads an attribute of `file` into `buffer`, which must be large enough.
    pub fn getxattr_file(
        &mut self,
        file: Descriptor,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
    ) -> Result<Buffer, Error> {
        self.fill(|chain| chain.getxattr_file(file, name, buffer))
    }

    /// Sets an attribute of what `path`, relative to `directory`, names.
    pub fn setxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.setxattr(directory, path, name, value, flags))
    }

    /// Sets an attribute of `file`.
    pub fn setxattr_file(
        &mut self,
        file: Descriptor,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.setxattr_file(file, name, value, flags))
    }

    /// The names of the attributes of what `path`, relative to `directory`, names.
    pub fn listxattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: XattrFlags,
    ) -> Result<Vec<OsString>, Error> {
        let names = self.fill(|chain| chain.listxattr(directory, path, room_for_names(), flags))?;
        Ok(split(names.as_slice()))
    }

    /// The names of the attributes of `file`.
    pub fn listxattr_file(&mut self, file: Descriptor) -> Result<Vec<OsString>, Error> {
        let names = self.fill(|chain| chain.listxattr_file(file, room_for_names()))?;
        Ok(split(names.as_slice()))
    }

    /// Removes an attribute of what `path`, relative to `directory`, names.
    pub fn removexattr(
        &mut self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        flags: XattrFlags,
    ) -> Result<(), Error> {
        self.call(|chain| chain.removexattr(directory, path, name, flags))
    }

    /// Removes an attribute of `file`.
    pub fn removexattr_file(&mut self, file: Descriptor, name: impl AsRef<OsStr>) -> Result<(), Error> {
        self.call(|chain| chain.removexattr_file(file, name))
    }
}

/// Room for the longest list of names there is.
pub(crate) fn room_for_names() -> Buffer {
    Buffer::with_capacity(ouzel_ring::modifiers::MAX_XATTR_VALUE as usize)
}

/// The names in a list, each with a NUL behind it.
pub(crate) fn split(names: &[u8]) -> Vec<OsString> {
    let ended = names.strip_suffix(b"\0").unwrap_or(names);
    if ended.is_empty() {
        return Vec::new();
    }
    ended.split(|byte| *byte == 0).map(|name| OsStr::from_bytes(name).to_os_string()).collect()
}

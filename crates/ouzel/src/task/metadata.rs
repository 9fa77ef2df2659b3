//! Operations on what files are besides their bytes, each as a future.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use ouzel_ring::Descriptor;
use ouzel_ring::modifiers::{AccessFlags, AccessOptions, AtFlags, MAX_PATH, NodeKind, XattrFlags};

use super::calls::{Filling, Value};
use super::handle::Handle;
use super::operation::{Finished, Operation};
use crate::Buffer;
use crate::chain::{Directory, Statfs, Times, Unit};
use crate::error::Error;
use crate::metadata::{room_for_names, split};

impl Handle {
    /// Reads where the symbolic link `path`, relative to `directory`, points.
    pub fn readlink(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
    ) -> Operation<usize, Result<PathBuf, Error>> {
        self.operation(
            |chain| chain.readlink(directory, path, Buffer::with_capacity(MAX_PATH as usize)),
            |finished| {
                let target = finished.buffer()?;
                Ok(PathBuf::from(OsString::from_vec(target.into_vec())))
            },
        )
    }

    /// The names of the attributes of what `path`, relative to `directory`, names.
    pub fn listxattr(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        flags: XattrFlags,
    ) -> Operation<usize, Result<Vec<OsString>, Error>> {
        self.operation(|chain| chain.listxattr(directory, path, room_for_names(), flags), names)
    }

    /// The names of the attributes of `file`.
    pub fn listxattr_file(&self, file: Descriptor) -> Operation<usize, Result<Vec<OsString>, Error>> {
        self.operation(|chain| chain.listxattr_file(file, room_for_names()), names)
    }

    /// Sets the permissions of what `path`, relative to `directory`, names.
    pub fn chmod(&self, directory: impl Into<Directory>, path: impl AsRef<Path>, mode: u32) -> Value<Unit> {
        self.value(|chain| chain.chmod(directory, path, mode))
    }

    /// Sets the permissions of `file`.
    pub fn chmod_file(&self, file: Descriptor, mode: u32) -> Value<Unit> {
        self.value(|chain| chain.chmod_file(file, mode))
    }

    /// Gives what `path`, relative to `directory`, names to a user, a group, or both; `None` leaves one as it is.
    pub fn chown(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        user: Option<u32>,
        group: Option<u32>,
        flags: AtFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.chown(directory, path, user, group, flags))
    }

    /// Gives `file` to a user, a group, or both.
    pub fn chown_file(&self, file: Descriptor, user: Option<u32>, group: Option<u32>) -> Value<Unit> {
        self.value(|chain| chain.chown_file(file, user, group))
    }

    /// Sets the times of what `path`, relative to `directory`, names.
    pub fn utimes(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        times: Times,
        flags: AtFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.utimes(directory, path, times, flags))
    }

    /// Sets the times of `file`.
    pub fn utimes_file(&self, file: Descriptor, times: Times) -> Value<Unit> {
        self.value(|chain| chain.utimes_file(file, times))
    }

    /// Makes a file of this kind.
    pub fn mknod(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        kind: NodeKind,
        mode: u32,
    ) -> Value<Unit> {
        self.value(|chain| chain.mknod(directory, path, kind, mode))
    }

    /// Describes the file system that what `path`, relative to `directory`, names is on.
    pub fn statfs(&self, directory: impl Into<Directory>, path: impl AsRef<Path>) -> Value<Statfs> {
        self.value(|chain| chain.statfs(directory, path))
    }

    /// Describes the file system that `file` is on.
    pub fn statfs_file(&self, file: Descriptor) -> Value<Statfs> {
        self.value(|chain| chain.statfs_file(file))
    }

    /// Fails with EACCES unless what `path`, relative to `directory`, names may be used in these ways.
    pub fn access(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        access: AccessFlags,
        options: AccessOptions,
    ) -> Value<Unit> {
        self.value(|chain| chain.access(directory, path, access, options))
    }

    /// Reads an attribute of what `path`, relative to `directory`, names into `buffer`, which must be large enough.
    pub fn getxattr(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.getxattr(directory, path, name, buffer, flags))
    }

    /// Reads an attribute of `file` into `buffer`, which must be large enough.
    pub fn getxattr_file(
        &self,
        file: Descriptor,
        name: impl AsRef<OsStr>,
        buffer: impl Into<Buffer>,
    ) -> Filling {
        let buffer = buffer.into();
        self.filling(|chain| chain.getxattr_file(file, name, buffer))
    }

    /// Sets an attribute of what `path`, relative to `directory`, names.
    pub fn setxattr(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.setxattr(directory, path, name, value, flags))
    }

    /// Sets an attribute of `file`.
    pub fn setxattr_file(
        &self,
        file: Descriptor,
        name: impl AsRef<OsStr>,
        value: impl Into<Buffer>,
        flags: XattrFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.setxattr_file(file, name, value, flags))
    }

    /// Removes an attribute of what `path`, relative to `directory`, names.
    pub fn removexattr(
        &self,
        directory: impl Into<Directory>,
        path: impl AsRef<Path>,
        name: impl AsRef<OsStr>,
        flags: XattrFlags,
    ) -> Value<Unit> {
        self.value(|chain| chain.removexattr(directory, path, name, flags))
    }

    /// Removes an attribute of `file`.
    pub fn removexattr_file(&self, file: Descriptor, name: impl AsRef<OsStr>) -> Value<Unit> {
        self.value(|chain| chain.removexattr_file(file, name))
    }
}

fn names(finished: Finished<usize>) -> Result<Vec<OsString>, Error> {
    Ok(split(finished.buffer()?.as_slice()))
}

//! The steps of the statements on what files are besides their bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, UNIX_EPOCH};

use ouzel::abi::modifiers::MAX_XATTR_VALUE;
use ouzel::{Buffer, Chain, SetTime, Times};

use super::Made;
use super::steps::{Builder, as_path};
use crate::machine::MachineError;
use crate::program::{Bound, Known, Metadata, Stamp, Subject};

impl Builder<'_> {
    pub(super) fn metadata(
        &mut self,
        chain: &mut Chain,
        operation: Metadata<Bound>,
    ) -> Result<Option<Made>, MachineError> {
        match operation {
            Metadata::Readlink { subject, size } => {
                let buffer = self.own_buffer(size)?;
                return Ok(Some(Made::Bytes(match subject {
                    Subject::File(file) => chain.readlink_file(self.file(file)?, buffer),
                    Subject::Path(path, place) => {
                        chain.readlink(self.directory(place)?, as_path(&path), buffer)
                    }
                })));
            }
            Metadata::Statfs { subject } => {
                match subject {
                    Subject::File(file) => chain.statfs_file(self.file(file)?),
                    Subject::Path(path, place) => chain.statfs(self.directory(place)?, as_path(&path)),
                };
                return Ok(Some(Made::Status));
            }
            Metadata::Getxattr { subject, name, size, flags } => {
                let (name, buffer) = (OsStr::from_bytes(&name), self.own_buffer(size)?);
                return Ok(Some(Made::Bytes(match subject {
                    Subject::File(file) => chain.getxattr_file(self.file(file)?, name, buffer),
                    Subject::Path(path, place) => {
                        chain.getxattr(self.directory(place)?, as_path(&path), name, buffer, flags)
                    }
                })));
            }
            Metadata::Listxattr { subject, size, flags } => {
                let buffer = self.own_buffer(size)?;
                return Ok(Some(Made::Bytes(match subject {
                    Subject::File(file) => chain.listxattr_file(self.file(file)?, buffer),
                    Subject::Path(path, place) => {
                        chain.listxattr(self.directory(place)?, as_path(&path), buffer, flags)
                    }
                })));
            }
            Metadata::Chmod { subject, mode } => match subject {
                Subject::File(file) => chain.chmod_file(self.file(file)?, mode as u32),
                Subject::Path(path, place) => {
                    chain.chmod(self.directory(place)?, as_path(&path), mode as u32)
                }
            },
            Metadata::Chown { subject, user, group, flags } => {
                let (user, group) = (user.map(constant).transpose()?, group.map(constant).transpose()?);
                match subject {
                    Subject::File(file) => chain.chown_file(self.file(file)?, user, group),
                    Subject::Path(path, place) => {
                        chain.chown(self.directory(place)?, as_path(&path), user, group, flags)
                    }
                }
            }
            Metadata::Utimes { subject, accessed, modified, flags } => {
                let times = Times { accessed: time(accessed)?, modified: time(modified)? };
                match subject {
                    Subject::File(file) => chain.utimes_file(self.file(file)?, times),
                    Subject::Path(path, place) => {
                        chain.utimes(self.directory(place)?, as_path(&path), times, flags)
                    }
                }
            }
            Metadata::Mknod { path, directory, kind, device, mode } => {
                let [major, minor] = device.map(|number| number.map_or(Ok(0), constant));
                let place = self.directory(directory)?;
                chain.mknod_device(place, as_path(&path), kind, mode as u32, major?, minor?)
            }
            Metadata::Access { subject, access, options } => match subject {
                Subject::File(file) => chain.access_file(self.file(file)?, access, options),
                Subject::Path(path, place) => {
                    chain.access(self.directory(place)?, as_path(&path), access, options)
                }
            },
            Metadata::Setxattr { subject, name, value, flags } => {
                debug_assert!(value.len() as u64 <= MAX_XATTR_VALUE);
                let (name, value) = (OsStr::from_bytes(&name), Buffer::from(value));
                match subject {
                    Subject::File(file) => chain.setxattr_file(self.file(file)?, name, value, flags),
                    Subject::Path(path, place) => {
                        chain.setxattr(self.directory(place)?, as_path(&path), name, value, flags)
                    }
                }
            }
            Metadata::Removexattr { subject, name, flags } => {
                let name = OsStr::from_bytes(&name);
                match subject {
                    Subject::File(file) => chain.removexattr_file(self.file(file)?, name),
                    Subject::Path(path, place) => {
                        chain.removexattr(self.directory(place)?, as_path(&path), name, flags)
                    }
                }
            }
        };
        Ok(None)
    }
}

/// A number that the checker has seen to be one of 32 bits.
fn constant(number: Known) -> Result<u32, MachineError> {
    let found = match number {
        Known::Literal(number) => u32::try_from(number).ok(),
        Known::Result(_) => None,
    };
    found.ok_or_else(|| MachineError::Chain("a number that is needed before the chain starts".to_owned()))
}

fn time(stamp: Stamp<Bound>) -> Result<SetTime, MachineError> {
    Ok(match stamp {
        Stamp::Now => SetTime::Now,
        Stamp::Omit => SetTime::Omit,
        Stamp::At(seconds) => SetTime::At(UNIX_EPOCH + Duration::from_secs(u64::from(constant(seconds)?))),
    })
}

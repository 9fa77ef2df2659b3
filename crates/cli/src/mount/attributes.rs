//! Attributes: what the kernel is told that a file is, and how it has them changed.

use std::time::SystemTime;

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use ouzel::abi::Errno;
use ouzel::{Chain, File, FileStat, SetTime, Times};

use super::bridge::Bridge;
use super::connections::number;
use super::reach::Need;

/// The kinds of files, in `mode`.
const KIND: u32 = 0o170_000;

/// The kind of file that a mode says, if it is one.
pub fn kind_of(mode: u32) -> Option<FileType> {
    Some(match mode & KIND {
        0o010_000 => FileType::NamedPipe,
        0o020_000 => FileType::CharDevice,
        0o040_000 => FileType::Directory,
        0o060_000 => FileType::BlockDevice,
        0o100_000 => FileType::RegularFile,
        0o120_000 => FileType::Symlink,
        0o140_000 => FileType::Socket,
        _ => return None,
    })
}

/// A device as the kernel's protocol writes it: eight bits of the minor number, the major one, and the rest of the minor one.
pub fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// The major and minor number of what the kernel's protocol says.
pub fn device_parts(number: u32) -> (u32, u32) {
    ((number >> 8) & 0xfff, (number & 0xff) | (number >> 12) & 0xf_ff00)
}

/// What the kernel is told of a file.
///
/// Errors: EIO for a kind of file that there is not.
pub fn attributes(node: u64, stat: &FileStat) -> Result<FileAttr, Errno> {
    Ok(FileAttr {
        ino: INodeNo(node),
        size: stat.size,
        blocks: stat.blocks,
        atime: stat.accessed,
        mtime: stat.modified,
        ctime: stat.changed,
        crtime: stat.born.unwrap_or(SystemTime::UNIX_EPOCH),
        kind: kind_of(u32::from(stat.mode)).ok_or(Errno::EIO)?,
        perm: stat.mode & 0o7777,
        nlink: stat.links,
        uid: stat.user,
        gid: stat.group,
        rdev: device_number((stat.stands_for >> 32) as u32, stat.stands_for as u32),
        blksize: stat.transfer,
        flags: 0,
    })
}

/// What is to be changed of a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub user: Option<u32>,
    /// Group.
    pub group: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Time of the last access.
    pub accessed: Option<TimeOrNow>,
    /// Time of the last change of its content.
    pub modified: Option<TimeOrNow>,
}

fn set(time: Option<TimeOrNow>) -> SetTime {
    match time {
        None => SetTime::Omit,
        Some(TimeOrNow::Now) => SetTime::Now,
        Some(TimeOrNow::SpecificTime(time)) => SetTime::At(time),
    }
}

impl Change {
    fn times(&self) -> Option<Times> {
        let any = self.accessed.is_some() || self.modified.is_some();
        any.then(|| Times { accessed: set(self.accessed), modified: set(self.modified) })
    }

    /// The owner comes before the permissions: a file that is given away loses set-id bits, and the kernel says in `mode` which
    /// it is to have after all.
    fn of(&self, chain: &mut Chain, file: File) {
        if self.user.is_some() || self.group.is_some() {
            chain.chown_file(file, self.user, self.group);
        }
        if let Some(size) = self.size {
            chain.truncate(file, size);
        }
        if let Some(mode) = self.mode {
            chain.chmod_file(file, mode & 0o7777);
        }
        if let Some(times) = self.times() {
            chain.utimes_file(file, times);
        }
    }
}

impl Bridge {
    /// Changes a node's file, in one chain, and says what it is then. `file` is what it is to be done on, if the program has said.
    pub fn change(&self, node: u64, change: &Change, file: Option<u64>) -> Result<FileStat, Errno> {
        let build = |chain: &mut Chain, file: File| {
            change.of(chain, file);
            chain.stat_file(file)
        };
        let need = if change.size.is_some() { Need::Writable } else { Need::Changed };
        let (done, stat) = match file {
            Some(file) => self.with_descriptor(file, |ring, descriptor| {
                let mut chain = Chain::new();
                let stat = build(&mut chain, descriptor.into());
                Ok((ring.run(chain).map_err(number)?, stat))
            })?,
            None => self.with_file(node, need, build)?,
        };
        done.check().map_err(|error| number(error.into()))?;
        let stat = done.get(stat).map_err(number)?;
        match self.nodes().is(node, &stat) {
            true => Ok(stat),
            false => Err(Errno::ESTALE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_written_as_the_kernel_does() {
        // The numbers of `new_encode_dev` in the kernel's `linux/kdev_t.h`.
        for (major, minor, number) in
            [(1, 3, 0x103), (259, 0, 0x1_0300), (8, 0x123, 0x10_0823), (0xfff, 0xf_ffff, u32::MAX)]
        {
            assert_eq!(device_number(major, minor), number, "{major}:{minor}");
            assert_eq!(device_parts(number), (major, minor), "{number:#x}");
        }
    }

    #[test]
    fn kinds_are_those_of_a_mode() {
        assert_eq!(kind_of(0o100_644), Some(FileType::RegularFile));
        assert_eq!(kind_of(0o041_777), Some(FileType::Directory));
        assert_eq!(kind_of(0o150_000), None);
    }
}

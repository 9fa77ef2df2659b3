//! The record that STAT fills: Linux's `struct statx` (`statx(2)`), read field by field.

use ouzel_ring::modifiers::STAT_RECORD;

use crate::os::{self, SystemTime};

/// What STAT says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStat {
    /// Kind and permissions, as in `inode(7)`.
    pub mode: u16,
    /// Names the file has.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Number of the inode.
    pub inode: u64,
    /// The device it is on: its major number in the upper half, its minor one in the lower. With the inode it tells whether two
    /// names are the same file.
    pub device: u64,
    /// Bytes.
    pub size: u64,
    /// Storage taken, in blocks of 512 bytes.
    pub blocks: u64,
    /// When the content last changed.
    pub modified: SystemTime,
    /// When the inode last changed.
    pub changed: SystemTime,
    /// When it was last read, as far as the file system keeps that.
    pub accessed: SystemTime,
}

impl FileStat {
    /// Reads a record of 256 bytes; `None` if there are fewer.
    pub fn from_record(record: &[u8]) -> Option<FileStat> {
        let record: &[u8; STAT_RECORD as usize] = record.get(..STAT_RECORD as usize)?.try_into().ok()?;
        let word =
            |at: usize| u32::from_ne_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let long = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            u64::from_ne_bytes(bytes)
        };
        let time = |at: usize| os::time(long(at) as i64, word(at + 8));
        Some(FileStat {
            mode: u16::from_ne_bytes([record[28], record[29]]),
            links: word(16),
            user: word(20),
            group: word(24),
            inode: long(32),
            device: (word(136) as u64) << 32 | word(140) as u64,
            size: long(40),
            blocks: long(48),
            accessed: time(64),
            changed: time(96),
            modified: time(112),
        })
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.mode & 0o170000 == 0o040000
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & 0o170000 == 0o100000
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.mode & 0o170000 == 0o120000
    }

    /// The permissions.
    pub fn permissions(&self) -> u32 {
        self.mode as u32 & 0o7777
    }
}

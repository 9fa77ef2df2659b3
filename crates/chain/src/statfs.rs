//! The record that STATFS fills, read field by field. `docs/abi.md` has its layout.

use ouzel_ring::modifiers::{MountFlags, STATFS_RECORD};

/// What STATFS says of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSystemStat {
    /// Which file system it is: the numbers of `statfs(2)`.
    pub kind: u64,
    /// Bytes of a block.
    pub block: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub free: u64,
    /// Blocks that are free for everybody.
    pub available: u64,
    /// Files there can be; 0 where there is no such limit.
    pub files: u64,
    /// Files there can be besides those there are.
    pub free_files: u64,
    /// Bytes that are best transferred at once.
    pub transfer: u64,
    /// Bytes of the longest name of a file.
    pub longest_name: u32,
    /// How it is mounted.
    pub flags: MountFlags,
}

impl FileSystemStat {
    /// Reads a record of 96 bytes; `None` if there are fewer.
    pub fn from_record(record: &[u8]) -> Option<FileSystemStat> {
        let record: &[u8; STATFS_RECORD as usize] = record.get(..STATFS_RECORD as usize)?.try_into().ok()?;
        let (words, _) = record.as_chunks::<8>();
        let word = |number: usize| u64::from_ne_bytes(words[number]);
        let (halves, _) = record.as_chunks::<4>();
        Some(FileSystemStat {
            kind: word(0),
            block: word(1),
            blocks: word(2),
            free: word(3),
            available: word(4),
            files: word(5),
            free_files: word(6),
            transfer: word(7),
            longest_name: u32::from_ne_bytes(halves[16]),
            flags: MountFlags::from_bits_retain(u32::from_ne_bytes(halves[17])),
        })
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block)
    }

    /// Bytes that are free for everybody.
    pub fn bytes_available(&self) -> u64 {
        self.available.saturating_mul(self.block)
    }
}

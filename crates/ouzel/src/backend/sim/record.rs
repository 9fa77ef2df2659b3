//! The records that STAT and READDIR give out: `struct statx` and `struct linux_dirent64`.
//!
//! Pure layout: what goes in is decided elsewhere. Byte order is the machine's, as the kernel's is.

use ouzel_ring::modifiers::STAT_RECORD;

use super::tree::Instant;

/// File types, as in the upper bits of a mode.
pub(super) const FIFO: u32 = 0o010_000;
pub(super) const CHARACTER: u32 = 0o020_000;
pub(super) const DIRECTORY: u32 = 0o040_000;
pub(super) const BLOCK_DEVICE: u32 = 0o060_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const SYMLINK: u32 = 0o120_000;
pub(super) const SOCKET: u32 = 0o140_000;

/// Everything the basic fields and the time of birth need (`STATX_BASIC_STATS | STATX_BTIME`).
const MASK: u32 = 0xfff;
/// The unit of efficient transfers that a record names.
const BLOCK: u32 = 4096;

/// What a STAT says of a file. Times are in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Description {
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) links: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) inode: u64,
    pub(super) size: u64,
    /// Units of 512 bytes in use.
    pub(super) blocks: u64,
    pub(super) accessed: Instant,
    pub(super) born: Instant,
    pub(super) changed: Instant,
    pub(super) modified: Instant,
    /// The device that it stands for: the major number in the upper half.
    pub(super) device: u64,
}

impl Description {
    /// The record, as `statx(2)` would fill it.
    pub(super) fn record(&self) -> [u8; STAT_RECORD as usize] {
        let mut record = [0; STAT_RECORD as usize];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &MASK.to_ne_bytes());
        put(0x04, &BLOCK.to_ne_bytes());
        put(0x10, &self.links.to_ne_bytes());
        put(0x14, &self.user.to_ne_bytes());
        put(0x18, &self.group.to_ne_bytes());
        put(0x1c, &(self.mode as u16).to_ne_bytes());
        put(0x20, &self.inode.to_ne_bytes());
        put(0x28, &self.size.to_ne_bytes());
        put(0x30, &self.blocks.to_ne_bytes());
        for (at, time) in
            [(0x40, self.accessed), (0x50, self.born), (0x60, self.changed), (0x70, self.modified)]
        {
            put(at, &(time.div_euclid(1_000_000_000) as i64).to_ne_bytes());
            put(at + 8, &(time.rem_euclid(1_000_000_000) as u32).to_ne_bytes());
        }
        put(0x80, &((self.device >> 32) as u32).to_ne_bytes());
        put(0x84, &(self.device as u32).to_ne_bytes());
        record
    }
}

/// Appends a directory record unless that would make `records` longer than `room`; says whether it did.
pub(super) fn append_name(
    records: &mut Vec<u8>,
    room: usize,
    inode: u64,
    next: u64,
    kind: u32,
    name: &[u8],
) -> bool {
    let length = (19 + name.len() + 1).next_multiple_of(8);
    if records.len() + length > room {
        return false;
    }
    let end = records.len() + length;
    records.extend_from_slice(&inode.to_ne_bytes());
    records.extend_from_slice(&(next as i64).to_ne_bytes());
    records.extend_from_slice(&(length as u16).to_ne_bytes());
    records.push((kind >> 12) as u8);
    records.extend_from_slice(name);
    records.resize(end, 0);
    true
}

//! Records of STAT: what the layout of `struct statx` says, for files that no system has.

use std::time::Duration;

/// Bytes of a record.
const LENGTH: usize = 256;

/// Type, mode, links, user and group, inode, size.
const MASK: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x100 | 0x200;

/// When it was accessed, modified and changed.
const TIMES: u32 = 0x20 | 0x40 | 0x80;

/// A record of any kind of file; `mode` has the kind in it.
pub(super) fn any(number: u64, mode: u16, links: u32, size: u64) -> [u8; LENGTH] {
    let mut record = [0; LENGTH];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MASK.to_ne_bytes());
    put(4, &4096_u32.to_ne_bytes());
    put(16, &links.to_ne_bytes());
    put(20, &rustix::process::geteuid().as_raw().to_ne_bytes());
    put(24, &rustix::process::getegid().as_raw().to_ne_bytes());
    put(28, &mode.to_ne_bytes());
    put(32, &number.to_ne_bytes());
    put(40, &size.to_ne_bytes());
    put(48, &size.div_ceil(512).to_ne_bytes());
    record
}

/// Says when the file was modified and changed, since 1970. Reading is not kept: it was accessed when it was modified.
pub(super) fn set_times(record: &mut [u8; LENGTH], modified: Duration, changed: Duration) {
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(MASK | TIMES).to_ne_bytes());
    for (at, time) in [(64, modified), (96, changed), (112, modified)] {
        put(at, &time.as_secs().to_ne_bytes());
        put(at + 8, &time.subsec_nanos().to_ne_bytes());
    }
}

/// A record of a regular file.
pub(super) fn file(number: u64, permissions: u16, size: u64) -> [u8; LENGTH] {
    any(number, 0o100_000 | permissions, 1, size)
}

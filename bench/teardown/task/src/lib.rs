//! What the contenders of `teardown` share: reads past the page cache are begun, and everything that began them is dropped
//! before they are over. Then new memory is taken, and looked at for a while: whatever changes in it was written by a kernel
//! that nobody had told to stop, or waited for.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

/// Reads that are begun.
pub const READS: usize = 900;
/// Bytes of each.
pub const BYTES: usize = 32 * 1024;

/// How long the new memory is looked at.
const WATCH: Duration = Duration::from_millis(300);
/// What it is filled with: no block of the file holds only this.
const FRESH: u8 = 0xaa;

/// The file that the program's argument names.
pub fn path() -> io::Result<OsString> {
    std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: teardown-NAME FILE"))
}

/// The flags with which it is opened past the page cache.
pub fn flags() -> i32 {
    rustix::fs::OFlags::DIRECT.bits() as i32
}

/// The file, opened so.
pub fn open() -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags()).open(path()?)
}

/// Where the read of this number begins.
pub fn offset(read: usize) -> u64 {
    (read * BYTES) as u64
}

/// A line about what was begun and dropped, for `report`.
pub struct Dropped {
    /// How long the drop took.
    pub took: Duration,
    /// Reads that were over before it.
    pub over: usize,
}

/// Drops what holds the runtime and its reads, and says how long that took.
pub fn drop_all<T>(everything: T, over: usize) -> Dropped {
    let start = Instant::now();
    drop(everything);
    Dropped { took: start.elapsed(), over }
}

/// Takes new memory, looks at it, and prints what came of it.
pub fn report(dropped: &Dropped) {
    let fresh: Vec<Vec<u8>> = (0..READS).map(|_| vec![FRESH; BYTES]).collect();
    let start = Instant::now();
    while start.elapsed() < WATCH {
        std::thread::sleep(Duration::from_millis(10));
    }
    let is_overwritten = |memory: &&Vec<u8>| std::hint::black_box(*memory).iter().any(|byte| *byte != FRESH);
    let overwritten = fresh.iter().filter(is_overwritten).count();
    println!(
        "{}",
        serde_json::json!({
            "fresh": READS,
            "overwritten": overwritten,
            "over": dropped.over,
            "drop_us": dropped.took.as_micros() as u64,
        })
    );
}

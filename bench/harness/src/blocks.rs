//! The file of `raw-read`: blocks that say which they are, made once and read once, which warms the page cache.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use raw_ring_task::BLOCK_BYTES;

/// Blocks in the file: 64 MiB.
pub const BLOCKS: u64 = 16 * 1024;

/// Makes the file below `work` if it is not there as it should be.
pub fn prepare(work: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(work)?;
    let path = work.join("blocks");
    if !is_whole(&path) {
        let mut file = File::create(&path)?;
        for number in 0..BLOCKS {
            file.write_all(&contents(number))?;
        }
        // A read past the cache would otherwise write it out first.
        file.sync_all()?;
        if !is_whole(&path) {
            return Err(std::io::Error::other(format!("{} reads back differently", path.display())));
        }
    }
    Ok(path)
}

/// A block: its number, over and over.
fn contents(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(BLOCK_BYTES / 8)
}

fn is_whole(path: &Path) -> bool {
    let Ok(mut file) = File::open(path) else { return false };
    let mut block = vec![0; BLOCK_BYTES];
    let right = |number| file.read_exact(&mut block).is_ok() && block == contents(number);
    (0..BLOCKS).all(right) && file.metadata().is_ok_and(|about| about.len() == BLOCKS * BLOCK_BYTES as u64)
}

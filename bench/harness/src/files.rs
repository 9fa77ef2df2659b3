//! The files to read: made once, the same on every machine, and read once by the harness, which warms the page cache and
//! says what every contender must come to.

use std::error::Error;
use std::path::{Path, PathBuf};

use contender::Tally;

/// The largest file, in bytes.
const MOST_BYTES: u64 = 4096;
/// Files per folder.
const FOLDER_FILES: u32 = 1000;

/// The files, as lists that contenders read.
pub struct Files {
    /// All of them, and how many.
    pub all: (PathBuf, u32),
    /// What reading all of them once comes to.
    pub expected: Tally,
    /// Fewer of them, for runs under a tracer, and how many.
    pub short: (PathBuf, u32),
    /// The fewest, for runs under an instruction counter, and how many.
    pub shortest: (PathBuf, u32),
    /// The file system they lie on.
    pub file_system: String,
}

/// Makes the files below `work` if they are not there, and reads them.
pub fn prepare(work: &Path, count: u32) -> Result<Files, Box<dyn Error>> {
    let folder = work.join("files");
    let mut random = Random(0x6f75_7a65_6c00_0001);
    let mut expected = Tally::default();
    let mut list = String::new();
    for number in 0..count {
        let folder = folder.join(format!("{:03}", number / FOLDER_FILES));
        if number % FOLDER_FILES == 0 {
            std::fs::create_dir_all(&folder)?;
        }
        let path = folder.join(format!("{number:06}"));
        let contents = contents(&mut random);
        // One that was left half written by an earlier run is written again.
        if std::fs::read(&path).ok().as_deref() != Some(&contents) {
            std::fs::write(&path, &contents)?;
        }
        expected.add(&std::fs::read(&path)?);
        list.push_str(path.to_str().ok_or("the path of this workspace is not UTF-8")?);
        list.push('\n');
    }
    let write = |name: &str, count: u32| -> Result<(PathBuf, u32), Box<dyn Error>> {
        let path = work.join(name);
        let lines: String = list.split_inclusive('\n').take(count as usize).collect();
        std::fs::write(&path, lines)?;
        Ok((path, count))
    };
    let short = write("short.list", count.min(1024))?;
    let shortest = write("shortest.list", count.min(256))?;
    let all = write("all.list", count)?;
    rustix::fs::sync();
    Ok(Files { all, expected, short, shortest, file_system: file_system(work)? })
}

/// The contents of the next file: 0 to 4,096 bytes of noise.
fn contents(random: &mut Random) -> Vec<u8> {
    let length = (random.next() % (MOST_BYTES + 1)) as usize;
    let mut contents = Vec::with_capacity(length + 8);
    while contents.len() < length {
        contents.extend_from_slice(&random.next().to_le_bytes());
    }
    contents.truncate(length);
    contents
}

/// SplitMix64: the same sequence everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// What the folder lies on.
pub fn file_system(folder: &Path) -> Result<String, Box<dyn Error>> {
    let magic = rustix::fs::statfs(folder)?.f_type as u64;
    // From linux/magic.h.
    Ok(match magic {
        0xef53 => "ext4".to_owned(),
        0x0102_1994 => "tmpfs (figures on it say nothing about disks)".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x794c_7630 => "overlayfs".to_owned(),
        other => format!("file system {other:#x}"),
    })
}

//! The simulator's file system against the kernel's: the same random steps, the same results and errors.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::Operation;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use rustix::fs::{self, AtFlags, FallocateFlags, Mode, OFlags, RawDir, SeekFrom};
use sim_support::{Driver, Numbers, content, names, path, span};

const BASE: u32 = 0;
const OUTSIDE: u32 = 1;
/// Indices that the random steps open and close.
const FIRST: u32 = 2;
const COUNT: u64 = 8;

fn directories() -> Vec<PathBuf> {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    list.split(':').filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}

/// What both sides say of one step: an errno, or numbers and bytes that must agree.
type Answer = Result<(u64, Vec<u8>), i32>;

struct Kernel {
    base: OwnedFd,
    open: BTreeMap<u32, OwnedFd>,
}

struct Both {
    kernel: Kernel,
    sim: Driver<Sim>,
    /// Which index is open, as both agree.
    live: BTreeSet<u32>,
}

fn number<T>(value: Result<T, rustix::io::Errno>, of: impl FnOnce(T) -> u64) -> Answer {
    value.map(|value| (of(value), Vec::new())).map_err(|error| error.raw_os_error())
}

fn nothing(value: Result<(), rustix::io::Errno>) -> Answer {
    number(value, |()| 0)
}

fn simple(value: Result<u64, Errno>) -> Answer {
    value.map(|value| (value, Vec::new())).map_err(|error| error.raw())
}

fn kernel_flags(flags: OpenFlags) -> OFlags {
    let mut all = OFlags::CLOEXEC;
    all |= match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        _ => OFlags::RDONLY,
    };
    for (ours, theirs) in [
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::CREATE, OFlags::CREATE),
        (OpenFlags::EXCLUSIVE, OFlags::EXCL),
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
        (OpenFlags::NOFOLLOW, OFlags::NOFOLLOW),
        (OpenFlags::PATH, OFlags::PATH),
    ] {
        all.set(theirs, flags.contains(ours));
    }
    all
}

/// What the kernel said, masked.
#[allow(clippy::unnecessary_cast)] // The types differ from one architecture to the next.
fn kernel_record(found: &fs::Stat) -> Vec<u8> {
    masked(found.st_mode as u32, found.st_nlink as u64, found.st_size as u64)
}

/// The fields of a record that two file systems agree on: type and mode, links unless a directory, size if a file.
fn masked(mode: u32, links: u64, size: u64) -> Vec<u8> {
    let kind = mode & 0o170_000;
    let links = if kind == 0o040_000 { 0 } else { links };
    let size = if kind == 0o100_000 || kind == 0o120_000 { size } else { 0 };
    let mut bytes = mode.to_le_bytes().to_vec();
    bytes.extend(links.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes
}

fn sim_record(record: &[u8]) -> Vec<u8> {
    let word = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&record[at..at + length]);
        u64::from_ne_bytes(bytes)
    };
    assert_eq!(word(0, 4) & 0x7ff, 0x7ff, "the mask names the basic fields");
    masked(word(0x1c, 2) as u32, word(0x10, 4), word(0x28, 8))
}

impl Both {
    fn step(&mut self, numbers: &mut Numbers) -> (String, Answer, Answer) {
        let directory = self.directory(numbers);
        let other = self.directory(numbers);
        let file = FIRST + numbers.below(COUNT) as u32;
        match numbers.below(30) {
            0..=6 => self.open(numbers, directory, file),
            7 => {
                let theirs = match self.kernel.open.remove(&file) {
                    Some(_) => Ok((0, Vec::new())),
                    None => Err(Errno::EBADF.raw()),
                };
                self.live.remove(&file);
                (format!("close {file}"), theirs, simple(self.sim.close(file)))
            }
            8..=11 => {
                let data = vec![numbers.below(255) as u8 + 1; self.length(numbers)];
                let position = self.position(numbers);
                let theirs = self.on(file, |kernel| match position {
                    Some(at) => number(rustix::io::pwrite(kernel, &data, at), |count| count as u64),
                    None => number(rustix::io::write(kernel, &data), |count| count as u64),
                });
                let ours = simple(self.sim.write(file, &data, position));
                (format!("write {file} {} at {position:?}", data.len()), theirs, ours)
            }
            12..=14 => {
                let count = self.length(numbers);
                let position = self.position(numbers);
                let theirs = self.on(file, |kernel| {
                    let mut buffer = vec![0; count];
                    let done = match position {
                        Some(at) => rustix::io::pread(kernel, &mut buffer[..], at),
                        None => rustix::io::read(kernel, &mut buffer[..]),
                    };
                    done.map(|done| (done as u64, buffer[..done].to_vec()))
                        .map_err(|error| error.raw_os_error())
                });
                let ours = self.sim.read(file, count, position);
                let ours = ours.map(|data| (data.len() as u64, data)).map_err(|error| error.raw());
                (format!("read {file} {count} at {position:?}"), theirs, ours)
            }
            15 => {
                let offset = numbers.below(20_000) as i64 - 6_000;
                let (whence, from) = match numbers.below(3) {
                    0 if offset >= 0 => (Whence::Start, SeekFrom::Start(offset as u64)),
                    2 if self.is_file(file) => (Whence::End, SeekFrom::End(offset)),
                    _ => (Whence::Current, SeekFrom::Current(offset)),
                };
                if !self.is_file(file) {
                    return (String::new(), Ok((0, Vec::new())), Ok((0, Vec::new())));
                }
                let theirs = self.on(file, |kernel| number(fs::seek(kernel, from), |at| at));
                let ours = simple(self.sim.run(Operation::Seek { file, offset, whence }));
                (format!("seek {file} {offset} {whence:?}"), theirs, ours)
            }
            16 => {
                let length = numbers.below(30_000);
                let theirs = self.on(file, |kernel| nothing(fs::ftruncate(kernel, length)));
                let ours = simple(self.sim.run(Operation::Truncate { file, length }));
                (format!("truncate {file} {length}"), theirs, ours)
            }
            17 => {
                let (offset, length) = (numbers.below(20_000), numbers.below(20_000));
                let (flags, theirs) = match numbers.below(3) {
                    0 => (AllocateFlags::empty(), FallocateFlags::empty()),
                    1 => (AllocateFlags::KEEP_SIZE, FallocateFlags::KEEP_SIZE),
                    _ => (AllocateFlags::all(), FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE),
                };
                let theirs = self.on(file, |kernel| nothing(fs::fallocate(kernel, theirs, offset, length)));
                let ours = simple(self.sim.run(Operation::Allocate { file, offset, length, flags }));
                (format!("allocate {file} {offset} {length} {flags:?}"), theirs, ours)
            }
            18 => {
                let name = self.name(numbers);
                let theirs =
                    self.at(directory, |at| nothing(fs::mkdirat(at, &name, Mode::from_bits_retain(0o755))));
                let ours = simple(self.sim.run(Operation::Mkdir {
                    directory: Some(directory),
                    path: path(&name),
                    mode: 0o755,
                }));
                (format!("mkdir {directory} {name:.40}"), theirs, ours)
            }
            19..=20 => {
                let name = self.name(numbers);
                let (flags, theirs) = match numbers.below(2) {
                    0 => (RemoveFlags::empty(), AtFlags::empty()),
                    _ => (RemoveFlags::DIRECTORY, AtFlags::REMOVEDIR),
                };
                let theirs = self.at(directory, |at| nothing(fs::unlinkat(at, &name, theirs)));
                let ours = simple(self.sim.run(Operation::Remove {
                    directory: Some(directory),
                    path: path(&name),
                    flags,
                }));
                (format!("remove {directory} {name:.40} {flags:?}"), theirs, ours)
            }
            21..=23 => {
                let (old, new) = (self.name(numbers), self.name(numbers));
                let (flags, theirs) = match numbers.below(6) {
                    0 => (RenameFlags::NOREPLACE, fs::RenameFlags::NOREPLACE),
                    1 => (RenameFlags::EXCHANGE, fs::RenameFlags::EXCHANGE),
                    _ => (RenameFlags::empty(), fs::RenameFlags::empty()),
                };
                let theirs = self.at(directory, |from| {
                    self.at(other, |to| nothing(fs::renameat_with(from, &old, to, &new, theirs)))
                });
                let ours = simple(self.sim.run(Operation::Rename {
                    from: Some(directory),
                    old: path(&old),
                    to: Some(other),
                    new: path(&new),
                    flags,
                }));
                (format!("rename {directory} {old:.40} {other} {new:.40} {flags:?}"), theirs, ours)
            }
            24 => {
                let (old, new) = (self.name(numbers), self.name(numbers));
                let (flags, theirs) = match numbers.below(2) {
                    0 => (LinkFlags::FOLLOW, AtFlags::SYMLINK_FOLLOW),
                    _ => (LinkFlags::empty(), AtFlags::empty()),
                };
                let theirs = self.at(directory, |from| {
                    self.at(other, |to| nothing(fs::linkat(from, &old, to, &new, theirs)))
                });
                let ours = simple(self.sim.run(Operation::Link {
                    from: Some(directory),
                    old: path(&old),
                    to: Some(other),
                    new: path(&new),
                    flags,
                }));
                (format!("link {directory} {old:.40} {other} {new:.40} {flags:?}"), theirs, ours)
            }
            25..=26 => {
                let (target, name) = (self.name_inside(numbers), self.name(numbers));
                let theirs = self.at(directory, |at| nothing(fs::symlinkat(&target, at, &name)));
                let ours = simple(self.sim.run(Operation::Symlink {
                    target: path(&target),
                    directory: Some(directory),
                    path: path(&name),
                }));
                (format!("symlink {target:.40} {directory} {name:.40}"), theirs, ours)
            }
            27..=28 => {
                let name = self.name(numbers);
                let (flags, theirs) = match numbers.below(2) {
                    0 => (StatFlags::NOFOLLOW, AtFlags::SYMLINK_NOFOLLOW),
                    _ => (StatFlags::empty(), AtFlags::empty()),
                };
                let theirs = self.at(directory, |at| {
                    fs::statat(at, &name, theirs)
                        .map(|found| (0, kernel_record(&found)))
                        .map_err(|error| error.raw_os_error())
                });
                let record = span(&[0; 256]);
                let ours = self.sim.run(Operation::Stat {
                    directory: Some(directory),
                    path: Some(path(&name)),
                    record,
                    flags,
                });
                let ours = ours.map(|_| (0, sim_record(&content(record, 256)))).map_err(|error| error.raw());
                (format!("stat {directory} {name:.40} {flags:?}"), theirs, ours)
            }
            _ => {
                let (theirs, ours) = self.list(directory);
                let flat = |value: Result<BTreeSet<(Vec<u8>, u8)>, i32>| {
                    value.map(|names| {
                        let all = names.into_iter().flat_map(|(mut name, kind)| {
                            name.push(kind);
                            name
                        });
                        (0, all.collect())
                    })
                };
                (format!("list {directory}"), flat(theirs), flat(ours))
            }
        }
    }

    fn list(&mut self, directory: u32) -> (NameSet, NameSet) {
        // A description of its own, whose position is the start.
        let theirs = self.at(directory, |at| {
            let opened = fs::openat(at, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            let opened = opened.map_err(|error| error.raw_os_error())?;
            let mut buffer = Vec::with_capacity(4096);
            let mut found = BTreeSet::new();
            let mut records = RawDir::new(&opened, buffer.spare_capacity_mut());
            while let Some(entry) = records.next() {
                let entry = entry.map_err(|error| error.raw_os_error())?;
                let kind = match entry.file_type() {
                    fs::FileType::Directory => 4,
                    fs::FileType::RegularFile => 8,
                    fs::FileType::Symlink => 10,
                    _ => 0,
                };
                assert!(found.insert((entry.file_name().to_bytes().to_vec(), kind)));
            }
            Ok(found)
        });
        const SCRATCH: u32 = 99;
        let opened = self.sim.run(Operation::Open {
            directory: Some(directory),
            path: path("."),
            flags: OpenFlags::READ,
            mode: 0,
            into: SCRATCH,
        });
        let ours = opened.and_then(|_| {
            let mut found = BTreeSet::new();
            let end = loop {
                // Room for one long name and a bit, so that a listing takes several calls.
                let buffer = span(&[0; 300]);
                match self.sim.run(Operation::Readdir { file: SCRATCH, buffer }) {
                    Ok(0) => break Ok(found),
                    Ok(count) => {
                        for name in names(&content(buffer, count as usize)) {
                            assert!(found.insert(name), "no name comes twice");
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            self.sim.close(SCRATCH)?;
            end
        });
        (theirs, ours.map_err(|error| error.raw()))
    }

    fn open(&mut self, numbers: &mut Numbers, directory: u32, into: u32) -> (String, Answer, Answer) {
        let name = self.name_inside(numbers);
        let mut flags = *numbers.pick(&[
            OpenFlags::READ,
            OpenFlags::READ | OpenFlags::WRITE,
            OpenFlags::WRITE,
            OpenFlags::PATH,
        ]);
        if !flags.contains(OpenFlags::PATH) && numbers.below(2) == 0 {
            flags |= OpenFlags::CREATE;
            flags.set(OpenFlags::EXCLUSIVE, numbers.below(4) == 0);
        }
        if flags.contains(OpenFlags::WRITE) {
            flags.set(OpenFlags::APPEND, numbers.below(4) == 0);
            flags.set(OpenFlags::TRUNCATE, numbers.below(4) == 0);
        }
        flags.set(OpenFlags::DIRECTORY, numbers.below(6) == 0);
        flags.set(OpenFlags::NOFOLLOW, numbers.below(4) == 0);
        if self.live.contains(&into) {
            // The engine gives out only indices that are free.
            self.kernel.open.remove(&into);
            self.live.remove(&into);
            self.sim.close(into).unwrap();
        }
        // It may just have been the directory.
        let directory = if self.live.contains(&directory) { directory } else { BASE };
        let opened = self
            .at(directory, |at| fs::openat(at, &name, kernel_flags(flags), Mode::from_bits_retain(0o644)));
        let theirs = match opened {
            Ok(opened) => {
                self.kernel.open.insert(into, opened);
                Ok((0, Vec::new()))
            }
            Err(error) => Err(error.raw_os_error()),
        };
        let operation =
            Operation::Open { directory: Some(directory), path: path(&name), flags, mode: 0o644, into };
        let ours = simple(self.sim.run(operation));
        if ours.is_ok() {
            self.live.insert(into);
        }
        (format!("open {directory} {name:.40} {flags:?} as {into}"), theirs, ours)
    }

    fn length(&self, numbers: &mut Numbers) -> usize {
        *numbers.pick(&[0, 1, 10, 100, 4095, 4096, 4097, 9000])
    }

    fn position(&self, numbers: &mut Numbers) -> Option<u64> {
        (numbers.below(2) == 0).then(|| match numbers.below(40) {
            0 => i64::MAX as u64,
            1 => u64::MAX - 1,
            _ => numbers.below(15_000),
        })
    }

    fn is_file(&self, file: u32) -> bool {
        self.kernel
            .open
            .get(&file)
            .is_none_or(|opened| fs::fstat(opened).is_ok_and(|found| found.st_mode & 0o170_000 == 0o100_000))
    }

    /// An index to start a path from: mostly the base, sometimes whatever is open.
    fn directory(&self, numbers: &mut Numbers) -> u32 {
        let live: Vec<u32> = self.live.iter().copied().collect();
        if live.is_empty() || numbers.below(3) > 0 { BASE } else { *numbers.pick(&live) }
    }

    fn at<T>(&self, directory: u32, work: impl FnOnce(&OwnedFd) -> T) -> T {
        work(if directory == BASE { &self.kernel.base } else { &self.kernel.open[&directory] })
    }

    fn on(&self, file: u32, work: impl FnOnce(&OwnedFd) -> Answer) -> Answer {
        self.kernel.open.get(&file).map_or(Err(Errno::EBADF.raw()), work)
    }

    /// A name that does not lead out of the base: one step out, and the next could be into somebody's files.
    fn name_inside(&self, numbers: &mut Numbers) -> String {
        let name = self.name(numbers);
        if name == ".." { ".".into() } else { name }
    }

    fn name(&self, numbers: &mut Numbers) -> String {
        const NAMES: &[&str] = &["a", "b", "c", "d", "e"];
        let mut name = numbers.pick(NAMES).to_string();
        match numbers.below(60) {
            0 => return "x".repeat(255),
            1 => return "x".repeat(256),
            2 => return ".".into(),
            3 => return "..".into(),
            4 => return format!("{}/{}", "y".repeat(256), name),
            5 => return "a/.".into(),
            6 => return "a/..".into(),
            _ => {}
        }
        for _ in 0..numbers.below(3) {
            name = match numbers.below(8) {
                0 => format!("./{name}"),
                1 => format!("{}/../{name}", numbers.pick(NAMES)),
                2 => format!("{}//{name}", numbers.pick(NAMES)),
                _ => format!("{}/{name}", numbers.pick(NAMES)),
            };
        }
        if numbers.below(10) == 0 {
            name.push('/');
        }
        name
    }
}

type NameSet = Result<BTreeSet<(Vec<u8>, u8)>, i32>;

#[test]
fn random_steps_agree_with_the_kernel() {
    for directory in directories() {
        if std::fs::create_dir_all(&directory).is_err() {
            println!("SKIPPED: {} cannot be made", directory.display());
            continue;
        }
        for seed in 0..24 {
            random_steps(&directory, seed);
        }
    }
}

fn random_steps(directory: &std::path::Path, seed: u64) {
    let outer = directory.join(format!("ouzel-sim-{}-{seed}", std::process::id()));
    let _ = std::fs::remove_dir_all(&outer);
    std::fs::create_dir_all(outer.join("base")).unwrap();
    let base = fs::open(outer.join("base"), OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let kernel = Kernel { base, open: BTreeMap::new() };

    let mut options = SimOptions::new(seed);
    // The umask this process has; there is no way to ask but to make something.
    let made = std::fs::metadata(outer.join("base")).unwrap();
    options.umask = 0o777 & !std::os::unix::fs::PermissionsExt::mode(&made.permissions());
    let mut sim = Driver::new(Sim::new(options));
    let mkdir = |name| Operation::Mkdir { directory: None, path: path(name), mode: 0o755 };
    sim.run(mkdir("/outer")).unwrap();
    sim.run(mkdir("/outer/base")).unwrap();
    sim.open("/outer/base", OpenFlags::READ | OpenFlags::DIRECTORY, BASE).unwrap();
    sim.open("/outer", OpenFlags::READ | OpenFlags::DIRECTORY, OUTSIDE).unwrap();

    let mut both = Both { kernel, sim, live: BTreeSet::new() };
    let mut numbers = Numbers(seed);
    let mut trace = Vec::new();
    let mut errors = BTreeSet::new();
    for step in 0..4000 {
        let (what, theirs, ours) = both.step(&mut numbers);
        let same = theirs == ours;
        if let Err(error) = theirs {
            errors.insert(error);
        }
        trace.push(format!("{what} -> {:?}", ours.as_ref().map(|answer| answer.0)));
        if !same {
            let tail = trace.len().saturating_sub(25);
            let _ = std::fs::remove_dir_all(&outer);
            panic!(
                "{} seed {seed} step {step}: {what}\n kernel {theirs:?}\n sim {ours:?}\n{}",
                directory.display(),
                trace[tail..].join("\n")
            );
        }
    }
    std::fs::remove_dir_all(&outer).unwrap();
    assert!(errors.len() >= 8, "the steps met {errors:?} only");
}

//! The directory: where the pages of rings lie that other processes may read.
//!
//! One folder per user, and in it one file per ring, which only its ring writes. Names say whose a file is, so that what a
//! process left behind that died is recognised by its name. Whoever reads copies a page out of its file: mapping it would let
//! its owner, who may truncate the file, kill the reader.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{FallocateFlags, fallocate};

use super::layout::LENGTH;
use super::page::Page;
use super::statistics::{PageError, Process, Statistics};

/// What the page of a ring, or of a service, is called behind the last dot.
pub(super) const RING: &str = "ring";
pub(super) const SERVICE: &str = "service";

/// Whether a process is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Liveness {
    /// It is.
    Alive,
    /// It is not, or its number is another one's by now: what it has left behind is stale.
    Gone,
    /// It is of another namespace of process numbers, or `/proc` cannot be read.
    Unknown,
}

impl Process {
    /// This process.
    ///
    /// Errors: those of reading `/proc/self`.
    pub fn this() -> io::Result<Process> {
        let start = start_of("self")?.ok_or(io::Error::from(ErrorKind::NotFound))?;
        Ok(Process { number: u64::from(std::process::id()), start, namespace: namespace()? })
    }

    /// Whether it is there.
    pub fn liveness(&self) -> Liveness {
        match namespace() {
            Ok(namespace) if namespace == self.namespace => {}
            _ => return Liveness::Unknown,
        }
        match start_of(&self.number.to_string()) {
            Ok(Some(start)) if start == self.start => Liveness::Alive,
            Ok(_) => Liveness::Gone,
            Err(_) => Liveness::Unknown,
        }
    }
}

/// When the process of this number started; `None` if there is none.
fn start_of(process: &str) -> io::Result<Option<u64>> {
    let stat = match fs::read(format!("/proc/{process}/stat")) {
        Ok(stat) => stat,
        // ESRCH: it ended between opening and reading.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(ouzel_ring::Errno::ESRCH.raw()) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name before it is in parentheses and may contain any byte.
    let behind_name = stat.iter().rposition(|byte| *byte == b')').map_or(&[][..], |at| &stat[at + 1..]);
    let start = behind_name.split(|byte| *byte == b' ').filter(|field| !field.is_empty()).nth(19);
    let start = start.and_then(|start| std::str::from_utf8(start).ok()?.parse().ok());
    start.map(Some).ok_or(io::Error::from(ErrorKind::InvalidData))
}

fn namespace() -> io::Result<u64> {
    fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino())
}

/// The folder where pages of this user's rings lie: `ouzel` in `$XDG_RUNTIME_DIR`, or else in `/run/user/UID` if that is the
/// user's, or else `/tmp/ouzel-UID`.
pub fn directory() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)
        && runtime.is_absolute()
    {
        return runtime.join("ouzel");
    }
    let usual = PathBuf::from(format!("/run/user/{user}"));
    if fs::metadata(&usual).is_ok_and(|folder| folder.is_dir() && folder.uid() == user) {
        return usual.join("ouzel");
    }
    PathBuf::from(format!("/tmp/ouzel-{user}"))
}

/// Makes the folder if need be, and makes sure that nobody else can write to it.
fn prepare(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let folder = fs::symlink_metadata(directory)?;
    let is_ours = folder.is_dir() && folder.uid() == rustix::process::geteuid().as_raw();
    if !is_ours || folder.mode() & 0o022 != 0 {
        let message = "it is not a folder of this user alone: remove it, or name another one";
        return Err(io::Error::new(ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// A page's file, which goes when this does.
pub(super) struct Published {
    path: PathBuf,
}

impl Published {
    /// Makes a page in a file of its own in `directory`. It can be found once it is [shown](Published::show). No two of a
    /// process have the same number.
    pub(super) fn make<const WORDS: usize>(
        directory: &Path,
        process: Process,
        number: u64,
        kind: &str,
    ) -> io::Result<(Published, Page<WORDS>)> {
        prepare(directory)?;
        sweep_once(directory);
        let published = Published { path: directory.join(name(process, number, kind)) };
        let hidden = published.hidden();
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&hidden)?;
        let made = reserve(&file, Page::<WORDS>::BYTES).and_then(|()| Ok(Page::of_file(file.as_fd())?));
        match made {
            Ok(page) => Ok((published, page)),
            Err(error) => {
                // The first error is the one to tell.
                let _ = fs::remove_file(hidden);
                Err(error)
            }
        }
    }

    /// Gives the file its name.
    pub(super) fn show(&self) -> io::Result<()> {
        fs::rename(self.hidden(), &self.path)
    }

    fn hidden(&self) -> PathBuf {
        self.path.with_extension("new")
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // One of the two is there; or somebody has tidied up, which is no harm.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(self.hidden());
    }
}

/// Takes all the room that the page needs, so that no write to its memory can find the file system full.
fn reserve(file: &File, bytes: usize) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes as u64) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP) => file.write_all_at(&vec![0; bytes], 0),
        Err(error) => Err(error.into()),
    }
}

fn name(process: Process, page: u64, kind: &str) -> String {
    let Process { number, start, namespace } = process;
    format!("{number}-{start}-{namespace}-{page}.{kind}")
}

/// The process that a file belongs to, by its name; also that of a file that has not got its name yet.
fn process_of(path: &Path) -> Option<Process> {
    let (name, kind) = path.file_name()?.to_str()?.rsplit_once('.')?;
    if ![RING, SERVICE, "new"].contains(&kind) {
        return None;
    }
    let numbers: Option<Vec<u64>> = name.split('-').map(|number| number.parse().ok()).collect();
    match numbers?.as_slice() {
        &[number, start, namespace, _] => Some(Process { number, start, namespace }),
        _ => None,
    }
}

/// Removes what processes have left behind that are gone: once in a process, for it takes time.
fn sweep_once(directory: &Path) {
    static SWEPT: AtomicBool = AtomicBool::new(false);
    if SWEPT.swap(true, Ordering::Relaxed) {
        return;
    }
    let Ok(files) = fs::read_dir(directory) else { return };
    for path in files.flatten().map(|file| file.path()) {
        if process_of(&path).is_some_and(|process| process.liveness() == Liveness::Gone) {
            // Somebody else may have been first.
            let _ = fs::remove_file(path);
        }
    }
}

/// The pages of this kind in `directory` whose process is there, or may be.
///
/// Errors: those of reading the folder, if there is one.
pub(super) fn pages_in(directory: &Path, kind: &str) -> io::Result<Vec<(PathBuf, Process)>> {
    let files = match fs::read_dir(directory) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for file in files {
        let path = file?.path();
        let is_one = path.extension().is_some_and(|end| end == kind);
        if let Some(process) = process_of(&path).filter(|_| is_one)
            && process.liveness() != Liveness::Gone
        {
            found.push((path, process));
        }
    }
    Ok(found)
}

/// A page that was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// The process that its name says.
    pub process: Process,
    /// What it says, or why it cannot be read.
    pub statistics: Result<Statistics, PageError>,
}

/// Reads the pages of all rings in `directory` whose process is there, or may be, in the order of their processes and numbers. If
/// there is no such folder there are none.
///
/// Errors: those of reading the folder.
pub fn rings_in(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for (path, process) in pages_in(directory, RING)? {
        match read_page(&path) {
            // Its ring was dropped meanwhile.
            Err(PageError::Io(error)) if error.kind() == ErrorKind::NotFound => {}
            statistics => found.push(Found { path, process, statistics }),
        }
    }
    found.sort_by_key(|found| {
        let ring = found.statistics.as_ref().map_or(u64::MAX, |statistics| statistics.ring);
        (found.process.number, ring)
    });
    Ok(found)
}

/// Reads the page of a ring. Nothing in it is believed, and it may be changed meanwhile.
///
/// Errors: see [`PageError`].
pub fn read_page(path: &Path) -> Result<Statistics, PageError> {
    Statistics::from_words(&read_words(path, Page::<LENGTH>::BYTES)?)
}

/// The words of a page that has so many bytes.
pub(super) fn read_words(path: &Path, length: usize) -> Result<Vec<u64>, PageError> {
    // What lies there may be a pipe, on which opening would wait.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NOCTTY;
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits() as i32).open(path).map_err(PageError::Io)?;
    let metadata = file.metadata().map_err(PageError::Io)?;
    if !metadata.is_file() || metadata.len() < length as u64 {
        return Err(PageError::Foreign);
    }
    let mut bytes = vec![0; length];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(PageError::Foreign),
        Err(error) => return Err(PageError::Io(error)),
    }
    let (words, _) = bytes.as_chunks();
    Ok(words.iter().map(|word| u64::from_ne_bytes(*word)).collect())
}

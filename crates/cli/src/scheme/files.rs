//! `ouzel ls`, `cat`, `cp` and `stat`: files that are reached through a name, `name:path`, as well as ordinary ones.
//!
//! What works on one ring works on any: a path decides which ring it is, and the rest is the same.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use ouzel::abi::modifiers::StatFlags;
use ouzel::abi::{Descriptor, Errno, Verb};
use ouzel::scheme::Name;
use ouzel::{Buffer, Directory, Entries, FileStat, Offset, OpenOptions, OperationError, Ring, compounds};

use crate::args::{CopyArguments, ListArguments, PathsArguments};
use crate::command::CommandError;
use crate::inputs::shown;

/// How much is read at once.
const BLOCK: usize = 128 << 10;

/// The most bytes of READDIR records of one directory, some two million names: a service may never end its list.
const MOST_NAMES: usize = 64 << 20;

/// A path and where it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The service; `None` for this machine's own files.
    pub name: Option<Name>,
    /// The path there. That of `name:` alone is `/`.
    pub path: PathBuf,
}

impl Location {
    /// Reads `name:path`, or an ordinary path: one without a colon, or with a slash in front of the first.
    pub fn parse(text: &OsStr) -> Location {
        let split = text.to_str().and_then(|text| Name::split(text).ok());
        match split {
            Some((name, path)) => {
                let path = if path.is_empty() { "/" } else { path };
                Location { name: Some(name), path: path.into() }
            }
            None => Location { name: None, path: text.into() },
        }
    }

    fn ring(&self) -> Result<Ring, CommandError> {
        let made = match &self.name {
            Some(name) => Ring::connect(&name.to_string()),
            None => Ring::new(),
        };
        made.map_err(|error| CommandError::File { path: self.shown(), cause: error })
    }

    fn shown(&self) -> String {
        let path = shown(self.path.as_os_str());
        self.name.as_ref().map_or(path.clone(), |name| format!("{name}:{path}"))
    }

    /// An error that says what it was about.
    fn failed(&self) -> impl Fn(ouzel::Error) -> CommandError + '_ {
        |cause| CommandError::File { path: self.shown(), cause }
    }
}

/// Does `each` for every path. What fails is told, and the others are done all the same.
fn for_each(
    paths: &[OsString],
    mut each: impl FnMut(&Location) -> Result<(), CommandError>,
) -> Result<bool, CommandError> {
    let mut fine = true;
    for path in paths {
        match each(&Location::parse(path)) {
            Ok(()) => {}
            Err(error @ CommandError::Output(_)) => return Err(error),
            Err(error) => {
                fine = false;
                writeln!(io::stderr(), "error: {error}").unwrap_or_default();
            }
        }
    }
    Ok(fine)
}

/// `ouzel ls`: the names in directories, sorted.
///
/// # Errors
///
/// Those of standard output; what cannot be listed is told on standard error, and makes this false.
pub fn list(arguments: &ListArguments) -> Result<bool, CommandError> {
    let many = arguments.paths.len() > 1;
    for_each(&arguments.paths, |location| {
        let mut ring = location.ring()?;
        let failed = location.failed();
        let status = ring.stat(Directory::Working, &location.path, StatFlags::empty()).map_err(&failed)?;
        let mut text = Vec::new();
        if !status.is_directory() {
            line(&mut text, location.path.as_os_str(), arguments.long.then_some(&status));
        } else {
            if many {
                text.extend_from_slice(format!("{}:\n", location.shown()).as_bytes());
            }
            let directory = ring.open(&location.path, OpenOptions::directory()).map_err(&failed)?;
            for name in names(&mut ring, directory, location)? {
                let status = match arguments.long {
                    true => Some(ring.stat(directory, &name, StatFlags::NOFOLLOW).map_err(&failed)?),
                    false => None,
                };
                line(&mut text, &name, status.as_ref());
            }
            ring.close(directory).map_err(&failed)?;
        }
        io::stdout().write_all(&text).map_err(CommandError::Output)
    })
}

/// The names in a directory, sorted, without the directory itself and the one above.
fn names(ring: &mut Ring, directory: Descriptor, location: &Location) -> Result<Vec<OsString>, CommandError> {
    let failed = location.failed();
    let mut names = Vec::new();
    let mut records = Buffer::with_capacity(BLOCK);
    let mut left = MOST_NAMES;
    loop {
        records = ring.readdir(directory, records).map_err(&failed)?;
        if records.is_empty() {
            break;
        }
        let Some(rest) = left.checked_sub(records.len()) else {
            return Err(CommandError::TooManyNames { path: location.shown(), most: MOST_NAMES >> 20 });
        };
        left = rest;
        let before = names.len();
        names.extend(Entries::new(&records).map(|entry| entry.name.to_owned()));
        if names.len() == before {
            // Something that is no record, from which nothing follows.
            return Err(failed(OperationError::new(0, Verb::Readdir, Errno::EIO, None).into()));
        }
    }
    names.retain(|name| name != "." && name != "..");
    names.sort_unstable();
    Ok(names)
}

fn line(text: &mut Vec<u8>, name: &OsStr, status: Option<&FileStat>) {
    if let Some(status) = status {
        let kind = kind(status).as_bytes()[0] as char;
        text.extend_from_slice(
            format!("{kind} {:04o} {:>12} ", status.permissions(), status.size).as_bytes(),
        );
    }
    text.extend_from_slice(name.as_bytes());
    text.push(b'\n');
}

/// What kind of file it is, in a word.
fn kind(status: &FileStat) -> &'static str {
    match status.mode & 0o170000 {
        0o040000 => "directory",
        0o100000 => "file",
        0o120000 => "link",
        0o140000 => "socket",
        0o010000 => "pipe",
        0o020000 => "character device",
        0o060000 => "block device",
        _ => "unknown",
    }
}

/// `ouzel cat`: what is in files.
///
/// # Errors
///
/// As [`list`].
pub fn print(arguments: &PathsArguments) -> Result<bool, CommandError> {
    for_each(&arguments.paths, |location| {
        let mut ring = location.ring()?;
        let failed = location.failed();
        let file = ring.open(&location.path, OpenOptions::read()).map_err(&failed)?;
        let mut block = Buffer::with_capacity(BLOCK);
        let mut at = Some(0);
        loop {
            let offset = at.map_or(Offset::CURRENT, Offset::at);
            match ring.read(file, block, offset) {
                Ok(read) if read.is_empty() => break,
                Ok(read) => {
                    at = at.map(|at| at + read.len() as u64);
                    io::stdout().write_all(&read).map_err(CommandError::Output)?;
                    block = read;
                }
                // What has no places is read as it comes.
                Err(error) if error.errno() == Some(Errno::ESPIPE) && at == Some(0) => {
                    at = None;
                    block = Buffer::with_capacity(BLOCK);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        ring.close(file).map_err(&failed)
    })
}

/// `ouzel stat`: what there is to say of files.
///
/// # Errors
///
/// As [`list`].
pub fn describe(arguments: &PathsArguments) -> Result<bool, CommandError> {
    for_each(&arguments.paths, |location| {
        let mut ring = location.ring()?;
        let failed = location.failed();
        let status = ring.stat(Directory::Working, &location.path, StatFlags::NOFOLLOW).map_err(&failed)?;
        let modified = status.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let text = format!(
            "{}: {}, {} bytes, permissions {:04o}, user {}, group {}, {} links, inode {}, modified {}.{:09}\n",
            location.shown(),
            kind(&status),
            status.size,
            status.permissions(),
            status.user,
            status.group,
            status.links,
            status.inode,
            modified.as_secs(),
            modified.subsec_nanos(),
        );
        io::stdout().write_all(text.as_bytes()).map_err(CommandError::Output)
    })
}

/// `ouzel cp`: one file to another, or into a directory.
///
/// # Errors
///
/// Those of either file; that both are the same one, which then stays as it is. A copy that fails midway leaves what it has
/// written.
pub fn copy(arguments: &CopyArguments) -> Result<bool, CommandError> {
    let from = Location::parse(&arguments.from);
    let mut to = Location::parse(&arguments.to);
    let mut source = from.ring()?;
    let is_one = from.name == to.name;
    let mut other = if is_one { None } else { Some(to.ring()?) };
    let target = other.as_mut().unwrap_or(&mut source);
    let into = target.stat(Directory::Working, &to.path, StatFlags::empty());
    if into.is_ok_and(|status| status.is_directory())
        && let Some(name) = from.path.file_name()
    {
        to.path.push(name);
    }
    let bytes = match other {
        // Beside the data: nothing of it comes here.
        None => compounds::copy_file(&mut source, &from.path, &to.path).map_err(to.failed())?,
        Some(mut target) => copy_across(&mut source, &from, &mut target, &to)?,
    };
    writeln!(io::stderr(), "{bytes} bytes").unwrap_or_default();
    Ok(true)
}

/// Copies through this process, between two rings.
///
/// Two names may mean one file in ways that cannot be seen from here: a mount has numbers of its own, and files in memory are of no
/// device. So the target is written over and cut last: a file that is copied onto itself after all has the bytes it had.
fn copy_across(
    source: &mut Ring,
    from: &Location,
    target: &mut Ring,
    to: &Location,
) -> Result<u64, CommandError> {
    let (reading, writing) = (from.failed(), to.failed());
    let input = source.open(&from.path, OpenOptions::read()).map_err(&reading)?;
    let original = match source.stat_file(input) {
        Err(error) if error.errno() == Some(Errno::ENOSYS) => None,
        told => Some(told.map_err(&reading)?),
    };
    let output = target.open(&to.path, OpenOptions::write().create()).map_err(&writing)?;
    let before = target.stat_file(output).map_err(&writing)?;
    if original.as_ref().is_some_and(|original| is_same(original, &before)) {
        return Err(CommandError::SameFile { from: from.shown(), to: to.shown() });
    }
    let has_contents = before.is_file() && before.size > 0;
    if has_contents {
        // What cannot be cut, such as a log, must not be written to either.
        target.truncate(output, before.size).map_err(&writing)?;
    }
    let from_start = original.is_none_or(|original| original.is_file());
    let mut block = Buffer::with_capacity(BLOCK);
    let mut at = 0;
    loop {
        block = source.read(input, block, place(from_start, at)).map_err(&reading)?;
        if block.is_empty() {
            break;
        }
        let mut written = 0;
        while written < block.len() {
            let part = block[written..].to_vec();
            let count = target.write(output, part, place(before.is_file(), at)).map_err(&writing)?;
            if count == 0 {
                let stuck = OperationError::new(0, Verb::Write, Errno::EIO, None);
                return Err(writing(stuck.into()));
            }
            written += count;
            at += count as u64;
        }
    }
    if has_contents && before.size > at {
        target.truncate(output, at).map_err(&writing)?;
    }
    source.close(input).map_err(&reading)?;
    target.close(output).map_err(&writing)?;
    Ok(at)
}

/// Whether two services mean the same file, as far as they tell: what is of device 0 is of no system's.
fn is_same(one: &FileStat, other: &FileStat) -> bool {
    let identity = |status: &FileStat| (status.device, status.inode, status.born);
    one.device != 0 && identity(one) == identity(other)
}

/// Where a transfer goes: what is not a regular file, such as a pipe, may have no places.
fn place(is_file: bool, at: u64) -> Offset {
    if is_file { Offset::at(at) } else { Offset::CURRENT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_before_the_first_colon() {
        let at = |text: &str| {
            let location = Location::parse(text.as_ref());
            (location.name.map(|name| name.to_string()), location.path)
        };
        assert_eq!(at("data:a/b"), (Some("data".into()), "a/b".into()));
        assert_eq!(at("data:"), (Some("data".into()), "/".into()));
        assert_eq!(at("a/b"), (None, "a/b".into()));
        assert_eq!(at("./data:a"), (None, "./data:a".into()));
        assert_eq!(at("/x:y"), (None, "/x:y".into()));
    }
}

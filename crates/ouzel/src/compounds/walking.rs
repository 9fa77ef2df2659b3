//! Walking a directory tree, several directories at a time.
//!
//! A directory is listed by one chain that opens it, reads it and closes it, so nothing stays open between the steps of the
//! walk, however deep the tree is. It changes nothing and follows no symbolic link that it finds.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use ouzel_ring::modifiers::StatFlags;

use super::held::Held;
use super::many::give_up;
use super::{about, value};
use crate::Buffer;
use crate::chain::Done;
use crate::chain::Entries;
use crate::chain::{Chain, Directory, OpenOptions, Reg};
use crate::error::Error;
use crate::ring::{Ring, Ticket};

/// Bytes of records that one chain asks for.
const LISTING: usize = 32 << 10;

/// Bytes that the question has room for whether that was all: more than the longest record.
const REST: usize = 1 << 10;

/// Walks the tree below the directory `root`, listing at most `at_once` directories at a time.
///
/// **Guarantee:** each name that was there from before the walk until after it is given once, its directory before it; what is added or
/// removed meanwhile may be given or not. Beyond that there is no order. `root` itself is not given. Symbolic links are given
/// and not followed (`root` may be one); who can rename directories of the tree meanwhile can make it look elsewhere.
/// **Crossings:** about 1 for each `at_once` directories whose listing fits 32 KiB. **On failure:** a directory that cannot be
/// listed is an item like the others, and the walk goes on. **When the iterator is dropped:** what is in flight is cancelled
/// and waited for. At most `at_once` descriptors are open, and one more for a large directory; but no more than the ring has free
/// when this is called.
///
/// ```
/// use ouzel::{Ring, compounds};
///
/// let mut ring = Ring::new()?;
/// let mut names = 0;
/// for entry in compounds::walk(&mut ring, "src", 4) {
///     println!("{}", entry?.path.display());
///     names += 1;
/// }
/// assert!(names > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn walk<M>(ring: &mut Ring<M>, root: impl AsRef<Path>, at_once: usize) -> Walk<'_, M> {
    let free = ring.limits().descriptors.saturating_sub(ring.gauges().descriptors) as usize;
    Walk {
        ring,
        at_once: at_once.min(free.saturating_sub(1)).max(1),
        waiting: vec![Place { path: root.as_ref().to_owned(), depth: 0 }],
        tickets: Vec::new(),
        flying: Vec::new(),
        ready: VecDeque::new(),
    }
}

/// What kind of file an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
    /// Something else.
    Other,
}

impl FileKind {
    /// The kind that the `DT_` values of `readdir(3)`, which are the upper bits of a mode, stand for.
    fn from_number(number: u8) -> FileKind {
        match number {
            1 => FileKind::Pipe,
            2 => FileKind::CharacterDevice,
            4 => FileKind::Directory,
            6 => FileKind::BlockDevice,
            8 => FileKind::File,
            10 => FileKind::Symlink,
            12 => FileKind::Socket,
            _ => FileKind::Other,
        }
    }
}

/// A name in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalkEntry {
    /// Its path: that of the root, and the names below.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Number of its inode.
    pub inode: u64,
    /// How deep it lies: 1 directly in the root.
    pub depth: usize,
}

/// Something in the tree that could not be looked at.
#[derive(Debug)]
#[non_exhaustive]
pub struct WalkError {
    /// Its path.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

impl fmt::Display for WalkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for WalkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A walk under way: see [`walk`].
pub struct Walk<'r, M> {
    ring: &'r mut Ring<M>,
    at_once: usize,
    /// Directories to list.
    waiting: Vec<Place>,
    /// The chains in flight, and what each lists, in the same order.
    tickets: Vec<Ticket>,
    flying: Vec<Listing>,
    ready: VecDeque<Result<WalkEntry, WalkError>>,
}

struct Place {
    path: PathBuf,
    depth: usize,
}

struct Listing {
    place: Place,
    first: Reg<usize>,
    rest: Reg<usize>,
}

/// A record of a listing.
struct Found {
    name: OsString,
    kind: u8,
    inode: u64,
}

impl<M> Iterator for Walk<'_, M> {
    type Item = Result<WalkEntry, WalkError>;

    fn next(&mut self) -> Option<Result<WalkEntry, WalkError>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            while self.flying.len() < self.at_once
                && let Some(place) = self.waiting.pop()
            {
                if let Err(failed) = self.start(place) {
                    return Some(Err(failed));
                }
            }
            let ended = self.ring.wait_any_of(&self.tickets);
            let at = match &ended {
                Ok(Some((ended, _))) => self.tickets.iter().position(|ticket| ticket == ended)?,
                // The ring cannot go on: each directory that was in flight is told of.
                _ => self.tickets.len().checked_sub(1)?,
            };
            self.tickets.swap_remove(at);
            let listing = self.flying.swap_remove(at);
            match ended {
                Ok(Some((_, done))) => self.take(&done, listing),
                Ok(None) => return None,
                Err(error) => self.failed(listing.place.path, error),
            }
        }
    }
}

impl<M> Walk<'_, M> {
    fn start(&mut self, place: Place) -> Result<(), WalkError> {
        let mut chain = Chain::new();
        let directory = chain.open(&place.path, options(&place));
        let first = chain.readdir(directory, Buffer::with_capacity(LISTING));
        let rest = chain.readdir(directory, Buffer::with_capacity(REST));
        chain.finally().close(directory);
        match self.ring.submit(chain) {
            Ok(ticket) => {
                self.tickets.push(ticket);
                self.flying.push(Listing { place, first, rest });
                Ok(())
            }
            Err(rejected) => Err(WalkError { path: place.path, error: rejected.error }),
        }
    }

    /// Takes what a chain has listed.
    fn take(&mut self, done: &Done, listing: Listing) {
        let Listing { place, first, rest } = listing;
        let mut found = Vec::new();
        let ended = value(done, first).and_then(|_| {
            collect(done.entries(first)?, &mut found);
            value(done, rest)
        });
        let failed = match ended {
            Ok(0) => None,
            Ok(_) => {
                found.clear();
                list_on(self.ring, &place, &mut found).err()
            }
            Err(error) => Some(error),
        };
        for found in found {
            self.add(&place, found);
        }
        if let Some(error) = failed {
            self.failed(place.path, error);
        }
    }

    fn add(&mut self, place: &Place, found: Found) {
        let path = place.path.join(&found.name);
        let mut kind = FileKind::from_number(found.kind);
        // Not every file system says what a name is.
        if found.kind == 0 {
            match self.ring.stat(Directory::Working, &path, StatFlags::NOFOLLOW) {
                Ok(stat) => kind = FileKind::from_number((stat.mode >> 12) as u8),
                Err(error) => return self.failed(path, error),
            }
        }
        let depth = place.depth + 1;
        if kind == FileKind::Directory {
            self.waiting.push(Place { path: path.clone(), depth });
        }
        self.ready.push_back(Ok(WalkEntry { path, kind, inode: found.inode, depth }));
    }

    fn failed(&mut self, path: PathBuf, error: Error) {
        let error = about(error, &path);
        self.ready.push_back(Err(WalkError { path, error }));
    }
}

impl<M> Drop for Walk<'_, M> {
    fn drop(&mut self) {
        give_up(self.ring, &self.tickets);
    }
}

fn options(place: &Place) -> OpenOptions {
    // What was a directory when it was listed may be a link by now.
    if place.depth == 0 { OpenOptions::directory() } else { OpenOptions::directory().no_follow() }
}

/// Lists a directory that is larger than one chain asks for, anew.
fn list_on<M>(ring: &mut Ring<M>, place: &Place, found: &mut Vec<Found>) -> Result<(), Error> {
    let mut held = Held::new(ring);
    let mut chain = Chain::new();
    let directory = chain.open(&place.path, options(place));
    let done = held.ring.run(chain)?;
    let directory = held.keep(&done, directory)?;
    let mut room = Buffer::with_capacity(LISTING);
    loop {
        room = held.ring.readdir(directory, room)?;
        if room.is_empty() {
            break;
        }
        collect(Entries::new(&room), found);
    }
    held.run_and_close(Chain::new())?;
    Ok(())
}

fn collect(entries: Entries<'_>, found: &mut Vec<Found>) {
    let itself = |name: &OsStr| name == "." || name == "..";
    found.extend(entries.filter(|entry| !itself(entry.name)).map(|entry| Found {
        name: entry.name.to_owned(),
        kind: entry.kind,
        inode: entry.inode,
    }));
}

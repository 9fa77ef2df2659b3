//! Listings: the names in a directory, for a program that reads them piece by piece.
//!
//! A directory is listed when a program begins to read it, and again when it starts over. So nothing is open at the service
//! in between, places in a listing stay where they are, and what others make or remove meanwhile changes neither.

use std::ffi::OsString;
use std::sync::{Arc, PoisonError};

use fuser::FileType;
use ouzel::abi::modifiers::{OpenFlags, SyncMode};
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Entries};

use super::bridge::{Bridge, is_elsewhere};
use super::connections::{Service, number};
use super::reach::Need;

/// How much of a directory is asked for at once, in bytes.
const BLOCK: usize = 64 << 10;

/// The most that a directory may have in it, as its service lists it, in bytes. It is kept here while a program reads it, and a
/// service may never come to an end.
const MOST: usize = 64 << 20;

/// A name in a directory.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The number of its inode.
    pub inode: u64,
    /// Its kind.
    pub kind: FileType,
    /// The name.
    pub name: OsString,
}

/// What is in a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// `.` and `..` come first.
    pub entries: Vec<Listed>,
}

impl Bridge {
    /// A program begins to read a directory. Returns what it is open as.
    pub fn open_directory(&self) -> u64 {
        let file = self.connections.number();
        let listings = &mut *self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        listings.insert(file, Arc::default());
        file
    }

    /// It has ended.
    pub fn close_directory(&self, file: u64) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
    }

    /// What the directory has from `place` on: gives each to `take` until that says that it is full.
    pub fn list(
        &self,
        node: u64,
        file: u64,
        place: u64,
        mut take: impl FnMut(u64, &Listed) -> bool,
    ) -> Result<(), Errno> {
        let listing = {
            let listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(listings.get(&file).ok_or(Errno::EBADF)?)
        };
        let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
        if place == 0 {
            listing.entries = self.listed(node)?;
        }
        let start = usize::try_from(place).unwrap_or(usize::MAX);
        for (number, entry) in listing.entries.iter().enumerate().skip(start) {
            if take(number as u64 + 1, entry) {
                break;
            }
        }
        Ok(())
    }

    fn listed(&self, node: u64) -> Result<Vec<Listed>, Errno> {
        let own = |inode, name: &str| Listed { inode, kind: FileType::Directory, name: name.into() };
        let mut entries = vec![own(node, "."), own(node, "..")];
        let identity = {
            let nodes = self.nodes();
            // One that was removed has nothing in it.
            if nodes.is_nameless(node) {
                return Ok(entries);
            }
            nodes.identity(node).ok_or(Errno::ESTALE)?
        };
        let listed = self.moves.settled(|| {
            let listed = self.connections.anywhere(|ring| {
                let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
                let (descriptor, _) = self.open_node(ring, node, &identity, flags)?;
                let read = read_names(ring, descriptor);
                ring.close(descriptor).map_err(number)?;
                read
            });
            match listed {
                Err(error) if is_elsewhere(error) => Ok(None),
                listed => listed.map(Some),
            }
        })?;
        entries.extend(listed.ok_or(Errno::ESTALE)?);
        Ok(entries)
    }

    /// Makes the names in a directory durable.
    pub fn sync_directory(&self, node: u64, mode: SyncMode) -> Result<(), Errno> {
        let (done, synced) =
            self.with_file(node, Need::ReadableTold, |chain, file| chain.sync(file, mode))?;
        done.get(synced).map_err(number)
    }
}

/// All names in a directory.
///
/// Errors: EIO for more than [`MOST`] bytes of them.
fn read_names(ring: &mut Service, directory: Descriptor) -> Result<Vec<Listed>, Errno> {
    let mut names = Vec::new();
    let mut room = MOST;
    loop {
        let records = ring.readdir(directory, Buffer::with_capacity(BLOCK)).map_err(number)?;
        if records.is_empty() {
            return Ok(names);
        }
        room = left(room, records.len())?;
        let others = Entries::new(&records).filter(|entry| entry.name != "." && entry.name != "..");
        names.extend(others.map(|entry| Listed {
            inode: entry.inode,
            kind: kind_of_type(entry.kind),
            name: entry.name.to_os_string(),
        }));
    }
}

/// How much room there is when so many bytes were listed.
///
/// Errors: EIO if there is not so much.
fn left(room: usize, listed: usize) -> Result<usize, Errno> {
    room.checked_sub(listed).ok_or(Errno::EIO)
}

/// The kind that a record says; where it says none, who wants to know looks it up.
fn kind_of_type(kind: u8) -> FileType {
    super::attributes::kind_of(u32::from(kind) << 12).unwrap_or(FileType::RegularFile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_an_end() {
        assert_eq!(left(MOST, MOST), Ok(0));
        assert_eq!(left(MOST, MOST + 1), Err(Errno::EIO));
        assert_eq!(left(0, 1), Err(Errno::EIO));
    }
}

//! Listings: the names in a directory, for a program that reads them piece by piece.
//!
//! A directory is listed when a program begins to read it, and again when it starts over. So nothing is open at the service
//! in between, places in a listing stay where they are, and what others make or remove meanwhile changes neither.

use std::ffi::OsString;
use std::sync::{Arc, PoisonError};

use fuser::FileType;
use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, SyncMode};
use ouzel::{Buffer, Chain, Entries, OpenOptions};

use super::bridge::{Bridge, is_elsewhere, open_same, run};
use super::connections::{Service, number};

/// How much of a directory is asked for at once, in bytes.
const BLOCK: usize = 64 << 10;

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
        let paths = {
            let nodes = self.nodes();
            // One that was removed has nothing in it.
            if nodes.is_nameless(node) {
                return Ok(entries);
            }
            let identity = nodes.identity(node).ok_or(Errno::ESTALE)?;
            nodes.paths(node)?.into_iter().map(|path| (path, identity)).collect::<Vec<_>>()
        };
        for (path, identity) in paths {
            let listed = self.connections.anywhere(|ring| {
                let flags = OpenFlags::READ | OpenFlags::DIRECTORY;
                let (descriptor, _) = open_same(ring, &path, &identity, flags)?;
                let read = read_names(ring, descriptor);
                ring.close(descriptor).map_err(number)?;
                read
            });
            match listed {
                Err(error) if is_elsewhere(error) => {}
                listed => {
                    entries.extend(listed?);
                    return Ok(entries);
                }
            }
        }
        Err(Errno::ESTALE)
    }

    /// Makes the names in a directory durable.
    pub fn sync_directory(&self, node: u64, mode: SyncMode) -> Result<(), Errno> {
        self.at(
            node,
            |ring, path| {
                let mut chain = Chain::new();
                let directory = chain.open(path, OpenOptions::directory().no_follow());
                chain.sync(directory, mode);
                chain.finally().close(directory);
                run(ring, chain).map(drop)
            },
            |ring, descriptor| ring.sync(descriptor, mode).map_err(number),
        )
    }
}

fn read_names(ring: &mut Service, directory: ouzel::abi::Descriptor) -> Result<Vec<Listed>, Errno> {
    let mut names = Vec::new();
    loop {
        let records = ring.readdir(directory, Buffer::with_capacity(BLOCK)).map_err(number)?;
        if records.is_empty() {
            return Ok(names);
        }
        let others = Entries::new(&records).filter(|entry| entry.name != "." && entry.name != "..");
        names.extend(others.map(|entry| Listed {
            inode: entry.inode,
            kind: kind_of_type(entry.kind),
            name: entry.name.to_os_string(),
        }));
    }
}

/// The kind that a record says; where it says none, who wants to know looks it up.
fn kind_of_type(kind: u8) -> FileType {
    super::attributes::kind_of(u32::from(kind) << 12).unwrap_or(FileType::RegularFile)
}

//! The bridge: what the calls of a mount have in common. Which file a node is in the service, on which connection it is
//! asked for, and what the kernel is told of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ouzel::abi::modifiers::{AtFlags, OpenFlags, StatFlags};
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Chain, Directory, Done, Error, FileStat, FileSystemStat, OpenOptions};

use super::connections::{Connections, Opened, Service, number};
use super::listing::Listing;
use super::nodes::{Identity, Nodes};
use super::reach::{Moves, Need};

/// On whose behalf something is made.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What the kernel is told of a file that was looked up or made.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The number of its node.
    pub node: u64,
    /// Which of the files this is that have had this number.
    pub generation: u64,
    /// What it is.
    pub stat: FileStat,
}

/// A mounted service.
pub struct Bridge {
    pub(super) connections: Connections,
    nodes: Mutex<Nodes>,
    pub(super) moves: Moves,
    pub(super) listings: Mutex<HashMap<u64, Arc<Mutex<Listing>>>>,
    /// The service knows who owns a file.
    pub(super) keeps_owners: bool,
}

/// Whether what was looked for is not where it was: it may have another name.
pub(super) fn is_elsewhere(error: Errno) -> bool {
    matches!(error, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ESTALE | Errno::EXDEV)
}

/// Runs a chain whose steps all have to succeed.
pub(super) fn run(ring: &mut Service, chain: Chain) -> Result<Done, Errno> {
    let done = ring.run(chain).map_err(number)?;
    match done.check() {
        Ok(()) => Ok(done),
        Err(error) => Err(number(error.into())),
    }
}

/// Opens `path` if it is the file that is meant. What would make or empty it is no part of `flags`.
///
/// Errors: ESTALE if it is another one.
pub(super) fn open_same(
    ring: &mut Service,
    path: &Path,
    identity: &Identity,
    flags: OpenFlags,
) -> Result<(Descriptor, FileStat), Errno> {
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::from_flags(flags | OpenFlags::NOFOLLOW));
    let stat = chain.stat_file(file);
    let done = ring.run(chain).map_err(number)?;
    let file = done.get(file).map_err(number)?;
    let stat = done.get(stat).map_err(number);
    match stat {
        Ok(stat) if Identity::of(&stat) == *identity => Ok((file, stat)),
        other => {
            ring.close(file).map_err(number)?;
            Err(other.err().unwrap_or(Errno::ESTALE))
        }
    }
}

impl Bridge {
    /// Connects to the service of this name, and looks at its root.
    ///
    /// Errors: those of connecting, and of STAT.
    pub fn new(name: &str) -> Result<Bridge, Error> {
        let connections = Connections::new(name)?;
        let failed = |errno| Error::Refused { call: "stat", errno };
        let looked = connections.anywhere(|ring| {
            let stat = ring.stat(Directory::Working, "/", StatFlags::empty()).map_err(number)?;
            // It changes nothing, and says whether there is such a thing as an owner.
            let same = ring.chown(Directory::Working, "/", None, None, AtFlags::empty());
            Ok((stat, !matches!(same.map_err(number), Err(Errno::ENOSYS))))
        });
        let (root, keeps_owners) = looked.map_err(failed)?;
        Ok(Bridge {
            connections,
            nodes: Mutex::new(Nodes::new(&root)),
            moves: Moves::default(),
            listings: Mutex::new(HashMap::new()),
            keeps_owners,
        })
    }

    /// The nodes. Nobody asks the service while they are held.
    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is open, opening it again if its connection was lost.
    pub(super) fn with_descriptor<T>(
        &self,
        file: u64,
        work: impl FnOnce(&mut Service, Descriptor) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.with_opened(file, |ring, descriptor, _| work(ring, descriptor))
    }

    /// As [`with_descriptor`](Bridge::with_descriptor), and says how it was opened.
    ///
    /// Errors: ESTALE for what had to be opened again and has no name any more. It is lost then: whatever has that name later
    /// is not what the program has opened.
    pub(super) fn with_opened<T>(
        &self,
        file: u64,
        work: impl FnOnce(&mut Service, Descriptor, Opened) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut work = Some(work);
        let done = self.moves.settled(|| {
            self.connections.with_opened(file, |ring, opened| {
                match (self.descriptor_of(ring, opened)?, work.take()) {
                    (Some(descriptor), Some(work)) => work(ring, descriptor, *opened).map(Some),
                    (_, again) => {
                        work = again;
                        Ok(None)
                    }
                }
            })
        })?;
        if done.is_none() {
            let lose = |_: &mut Service, opened: &mut Opened| {
                opened.is_lost = true;
                Ok(())
            };
            self.connections.with_opened(file, lose)?;
        }
        done.ok_or(Errno::ESTALE)
    }

    /// The descriptor of what is open. Once its connection was lost it is opened again, if its name leads to the same file;
    /// nothing if none does.
    ///
    /// Errors: ESTALE if it is lost, as is a file that its service could not tell from a later one.
    fn descriptor_of(&self, ring: &mut Service, opened: &mut Opened) -> Result<Option<Descriptor>, Errno> {
        if opened.descriptor.is_some() {
            return Ok(opened.descriptor);
        }
        if opened.is_lost || !opened.identity.is_lasting() {
            return Err(Errno::ESTALE);
        }
        let again = self.open_node(ring, opened.node, &opened.identity, opened.flags);
        opened.descriptor = match again {
            Err(Errno::ESTALE) => None,
            again => Some(again?.0),
        };
        Ok(opened.descriptor)
    }

    /// Opens a node's file, by whichever of its names leads to it.
    ///
    /// Errors: ESTALE if none does.
    pub(super) fn open_node(
        &self,
        ring: &mut Service,
        node: u64,
        identity: &Identity,
        flags: OpenFlags,
    ) -> Result<(Descriptor, FileStat), Errno> {
        let paths = self.nodes().paths(node)?;
        for path in paths {
            match open_same(ring, &path, identity, flags) {
                Err(error) if is_elsewhere(error) => {}
                outcome => return outcome,
            }
        }
        Err(Errno::ESTALE)
    }

    /// What a node's file is now.
    ///
    /// Errors: ESTALE if it is not to be found any more.
    pub fn describe(&self, node: u64) -> Result<FileStat, Errno> {
        let found = self.moves.settled(|| {
            let paths = self.nodes().paths(node).unwrap_or_default();
            for path in paths {
                let stat = self.connections.anywhere(|ring| {
                    ring.stat(Directory::Working, &path, StatFlags::NOFOLLOW).map_err(number)
                });
                match stat {
                    Ok(stat) if self.nodes().is(node, &stat) => return Ok(Some(stat)),
                    Ok(_) => {}
                    Err(error) if is_elsewhere(error) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        })?;
        if let Some(stat) = found {
            return Ok(stat);
        }
        let files = self.nodes().files(node);
        for file in files {
            match self.with_descriptor(file, |ring, descriptor| ring.stat_file(descriptor).map_err(number)) {
                Ok(stat) if self.nodes().is(node, &stat) => return Ok(stat),
                Ok(_) | Err(Errno::ESTALE | Errno::EBADF) => {}
                Err(error) => return Err(error),
            }
        }
        let nodes = self.nodes();
        match nodes.is_nameless(node) {
            // Somebody still has it, but not open: as a place to start from, or a name.
            true => nodes.last_stat(node).ok_or(Errno::ESTALE),
            false => Err(Errno::ESTALE),
        }
    }

    /// The file system that a node's file is on.
    pub fn file_system(&self, node: u64) -> Result<FileSystemStat, Errno> {
        let (done, described) = self.with_file(node, Need::Told, |chain, file| chain.statfs_file(file))?;
        done.get(described).map_err(number)
    }

    /// The kernel has forgotten a node so often.
    pub fn forget(&self, node: u64, times: u64) {
        self.nodes().forgotten(node, times);
    }

    /// The kernel is told of what was found or made.
    pub(super) fn enter(&self, parent: u64, name: &std::ffi::OsStr, stat: FileStat) -> Entry {
        let (node, generation) = self.nodes().found(parent, name, &stat);
        Entry { node, generation, stat }
    }
}

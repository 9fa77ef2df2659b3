//! Reaching: how the bridge comes to the file or directory that the kernel means, and to no other.
//!
//! A path is where to look, and who shares the directory with the mount may put something else there at any time, also in its
//! middle. The kernel has judged what a caller may do to one file and in one directory. So what changes anything is done on
//! a descriptor whose identity was compared, or with a single name in a directory whose identity was: nothing that is resolved
//! after that has more than one part. What only tells something is compared behind it, in the same doorbell.
//!
//! Programs on the mount move names, too. Who does not find something and learns that names were moved meanwhile looks
//! again; who moves them says so until the table of nodes knows.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{RwLock, RwLockReadGuard};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Chain, Directory, Done, File, FileStat, OpenOptions};

use super::bridge::{Bridge, is_elsewhere, open_same};
use super::connections::{Service, number};
use super::nodes::{Identity, ROOT};

/// How often something is looked for while names are moved.
const TRIES: usize = 16;

/// What moves names through the mount.
#[derive(Default)]
pub struct Moves {
    /// How often names were moved.
    count: AtomicU64,
    /// Held by who moves one, until the table of nodes knows of it.
    under_way: RwLock<()>,
}

impl Moves {
    /// Somebody moves a name, for as long as this is held. To be asked for before a connection is.
    pub(super) fn begin(&self) -> RwLockReadGuard<'_, ()> {
        self.under_way.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name was moved, and the table of nodes knows of it.
    pub(super) fn count(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Tries something again for as long as it finds nothing and names were moved meanwhile. It holds no connection
    /// in between.
    pub(super) fn settled<T>(
        &self,
        mut attempt: impl FnMut() -> Result<Option<T>, Errno>,
    ) -> Result<Option<T>, Errno> {
        for _ in 0..TRIES {
            let before = self.count.load(Ordering::Acquire);
            if let Some(found) = attempt()? {
                return Ok(Some(found));
            }
            // Until nobody is in the midst of it.
            drop(self.under_way.write().unwrap_or_else(PoisonError::into_inner));
            if self.count.load(Ordering::Acquire) == before {
                break;
            }
        }
        Ok(None)
    }
}

/// How a file has to be open for what is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// In any way; it is only asked about.
    Told,
    /// In any way; it is changed.
    Changed,
    /// For reading or writing; it is only asked about.
    ReadableTold,
    /// For reading or writing; it is changed.
    Readable,
    /// For writing; it is changed.
    Writable,
}

impl Need {
    fn flags(self) -> OpenFlags {
        match self {
            Need::Told | Need::Changed => OpenFlags::PATH,
            Need::ReadableTold | Need::Readable => OpenFlags::READ,
            Need::Writable => OpenFlags::WRITE,
        }
    }

    fn only_tells(self) -> bool {
        matches!(self, Need::Told | Need::ReadableTold)
    }
}

/// Directories in which names are used: the root, or what is open as a name and known to be what is meant.
#[derive(Debug)]
pub(super) struct Places<const N: usize> {
    /// In the order in which they were asked for.
    pub(super) directories: [Directory; N],
    open: Vec<Descriptor>,
}

impl<const N: usize> Places<N> {
    /// Has a chain close them behind everything else.
    pub(super) fn close_behind(&self, chain: &mut Chain) {
        for directory in &self.open {
            chain.finally().close(*directory);
        }
    }

    /// Has a chain close them if everything before has succeeded.
    pub(super) fn close_then(&self, chain: &mut Chain) {
        for directory in &self.open {
            chain.close(*directory);
        }
    }

    /// Closes them, and something else.
    pub(super) fn close(&self, ring: &mut Service, other: Option<Descriptor>) {
        let mut chain = Chain::new();
        self.close_behind(&mut chain);
        if let Some(other) = other {
            chain.finally().close(other);
        }
        if !chain.is_empty() {
            // Whatever this says, they are closed.
            ring.run(chain).map(drop).unwrap_or_default();
        }
    }

    /// Runs a chain and closes them.
    pub(super) fn run<R>(
        &self,
        ring: &mut Service,
        build: impl FnOnce(&mut Chain, [Directory; N]) -> R,
    ) -> Result<(Done, R), Errno> {
        let mut chain = Chain::new();
        let results = build(&mut chain, self.directories);
        self.close_behind(&mut chain);
        match ring.run(chain) {
            Ok(done) => Ok((done, results)),
            Err(error) => {
                // It has not run.
                self.close(ring, None);
                Err(number(error))
            }
        }
    }
}

/// Nothing if what was looked for is not there.
fn if_there<T>(outcome: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match outcome {
        Err(error) if is_elsewhere(error) => Ok(None),
        outcome => outcome.map(Some),
    }
}

impl Bridge {
    /// Opens directories as names, if their paths lead to them.
    pub(super) fn reach<const N: usize>(
        &self,
        ring: &mut Service,
        nodes: [u64; N],
    ) -> Result<Option<Places<N>>, Errno> {
        let mut places = Places { directories: [Directory::Working; N], open: Vec::new() };
        for (place, node) in nodes.iter().enumerate() {
            if *node == ROOT {
                continue;
            }
            if let Some(same) = nodes[..place].iter().position(|other| other == node) {
                places.directories[place] = places.directories[same];
                continue;
            }
            let path = self.nodes().place(*node);
            let found = path.and_then(|(path, identity)| {
                if_there(open_same(ring, &path, &identity, OpenFlags::PATH | OpenFlags::DIRECTORY))
            });
            match found {
                Ok(Some((directory, _))) => {
                    places.open.push(directory);
                    places.directories[place] = directory.into();
                }
                other => {
                    places.close(ring, None);
                    return other.map(|_| None);
                }
            }
        }
        Ok(Some(places))
    }

    /// Does something with names in directories.
    ///
    /// Errors: those of `work`; ESTALE if their paths lead to something else.
    pub(super) fn in_directories<const N: usize, T>(
        &self,
        nodes: [u64; N],
        work: impl FnOnce(&mut Service, Places<N>) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut work = Some(work);
        let done = self.moves.settled(|| {
            self.connections.anywhere(|ring| match (self.reach(ring, nodes)?, work.take()) {
                (Some(places), Some(work)) => work(ring, places).map(Some),
                (_, again) => {
                    work = again;
                    Ok(None)
                }
            })
        })?;
        done.ok_or(Errno::ESTALE)
    }

    /// Does something with a node's file: by what it is open as, or else by the first of its paths that leads to it.
    ///
    /// Errors: ESTALE if none does.
    pub(super) fn with_file<R>(
        &self,
        node: u64,
        need: Need,
        build: impl Fn(&mut Chain, File) -> R,
    ) -> Result<(Done, R), Errno> {
        let files = self.nodes().files(node);
        for file in files {
            let done = self.with_opened(file, |ring, descriptor, opened| {
                if need == Need::Writable && !opened.flags.contains(OpenFlags::WRITE) {
                    return Err(Errno::EBADF);
                }
                let mut chain = Chain::new();
                let results = build(&mut chain, descriptor.into());
                Ok((ring.run(chain).map_err(number)?, results))
            });
            match done {
                Err(Errno::ESTALE | Errno::EBADF) => {}
                done => return done,
            }
        }
        let done = self.moves.settled(|| {
            let (paths, identity) = {
                let nodes = self.nodes();
                (nodes.paths(node).unwrap_or_default(), nodes.identity(node).ok_or(Errno::ESTALE)?)
            };
            // Whatever is the root is the root.
            let identity = (node != ROOT).then_some(&identity);
            for path in paths {
                let visited =
                    self.connections.anywhere(|ring| if_there(visit(ring, &path, identity, need, &build)))?;
                if visited.is_some() {
                    return Ok(visited);
                }
            }
            Ok(None)
        })?;
        done.ok_or(Errno::ESTALE)
    }
}

/// Opens a path, and does something with what is there if that is the file which is meant. Without an identity any is.
///
/// Errors: ESTALE if it is another one.
fn visit<R>(
    ring: &mut Service,
    path: &Path,
    identity: Option<&Identity>,
    need: Need,
    build: &impl Fn(&mut Chain, File) -> R,
) -> Result<(Done, R), Errno> {
    let is_meant = |stat: &FileStat| identity.is_none_or(|identity| Identity::of(stat) == *identity);
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::from_flags(need.flags() | OpenFlags::NOFOLLOW));
    let stat = chain.stat_file(file);
    let told = need.only_tells().then(|| build(&mut chain, file.into()));
    if told.is_some() {
        chain.finally().close(file);
    }
    let done = ring.run(chain).map_err(number)?;
    let descriptor = done.get(file).map_err(number)?;
    let stat = done.get(stat).map_err(number);
    let meant = stat.and_then(|stat| if is_meant(&stat) { Ok(()) } else { Err(Errno::ESTALE) });
    if let Some(results) = told {
        return meant.map(|()| (done, results));
    }
    if let Err(error) = meant {
        ring.close(descriptor).map_err(number)?;
        return Err(error);
    }
    let mut chain = Chain::new();
    let results = build(&mut chain, descriptor.into());
    chain.finally().close(descriptor);
    Ok((ring.run(chain).map_err(number)?, results))
}

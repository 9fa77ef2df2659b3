//! Names: looking them up, making, moving and removing them.
//!
//! What is made belongs to who asked for it, from the same chain on in which it is made: until then it is the service's own,
//! with permissions for nobody else. The kernel has checked that the caller may do it, and has taken the umask off.

use std::ffi::OsStr;
use std::path::Path;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{AtFlags, LinkFlags, NodeKind, OpenFlags, RemoveFlags, RenameFlags, StatFlags};
use ouzel::{Chain, Directory, OpenOptions};

use super::attributes::device_parts;
use super::bridge::{Bridge, Caller, Entry, run};
use super::connections::{Opened, Service, number};
use super::nodes::Identity;

/// The permissions of what has no owner yet.
const PRIVATE: u32 = 0o700;

/// The bit of a directory whose files get its group.
const SET_GROUP: u32 = 0o2000;

/// Who is to own what is made, and what it is to be permitted.
#[derive(Clone, Copy)]
struct Ownership {
    user: u32,
    /// `None` leaves the group of the directory.
    group: Option<u32>,
    mode: u32,
}

impl Bridge {
    /// What `name` in a directory is.
    pub fn look_up(&self, parent: u64, name: &OsStr) -> Result<Entry, Errno> {
        let path = self.nodes().path(parent, name)?;
        let found = self
            .connections
            .anywhere(|ring| ring.stat(Directory::Working, &path, StatFlags::NOFOLLOW).map_err(number));
        match found {
            Ok(stat) => Ok(self.enter(parent, name, stat)),
            Err(error) => {
                if error == Errno::ENOENT {
                    self.nodes().removed(parent, name);
                }
                Err(error)
            }
        }
    }

    /// Who owns what is made in a directory; `None` where the service knows no owners.
    fn ownership(&self, caller: Caller, parent: u64, mode: u32, is_directory: bool) -> Option<Ownership> {
        let mode = mode & 0o7777;
        if !self.keeps_owners {
            return None;
        }
        let hands_down =
            self.nodes().last_stat(parent).is_some_and(|stat| stat.permissions() & SET_GROUP != 0);
        let inherited = if hands_down && is_directory { SET_GROUP } else { 0 };
        let group = (!hands_down).then_some(caller.group);
        Some(Ownership { user: caller.user, group, mode: mode | inherited })
    }

    /// Makes something, gives it to its owner and describes it, in one chain. What was made and could not be given away is
    /// removed again.
    fn make(
        &self,
        parent: u64,
        name: &OsStr,
        owner: Option<Ownership>,
        has_mode: bool,
        flags: RemoveFlags,
        make: impl FnOnce(&mut Chain, &Path),
    ) -> Result<Entry, Errno> {
        let path = self.nodes().path(parent, name)?;
        let stat = self.connections.anywhere(|ring| {
            let mut chain = Chain::new();
            make(&mut chain, &path);
            if let Some(Ownership { user, group, mode }) = owner {
                chain.chown(Directory::Working, &path, Some(user), group, AtFlags::NOFOLLOW);
                if has_mode {
                    chain.chmod(Directory::Working, &path, mode);
                }
            }
            let stat = chain.stat(Directory::Working, &path, StatFlags::NOFOLLOW);
            let done = ring.run(chain).map_err(number)?;
            let Some(error) = done.error() else { return done.get(stat).map_err(number) };
            if error.step > 0 {
                ring.remove(Directory::Working, &path, flags).map_err(number)?;
            }
            Err(number(error.into()))
        })?;
        Ok(self.enter(parent, name, stat))
    }

    /// Makes a directory.
    pub fn make_directory(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
    ) -> Result<Entry, Errno> {
        let owner = self.ownership(caller, parent, mode, true);
        let at_first = owner.map_or(mode & 0o7777, |_| PRIVATE);
        self.make(parent, name, owner, true, RemoveFlags::DIRECTORY, |chain, path| {
            chain.mkdir(Directory::Working, path, at_first);
        })
    }

    /// Makes a file of another kind than directory or symbolic link.
    pub fn make_node(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        device: u32,
    ) -> Result<Entry, Errno> {
        let kind = NodeKind::from_number(u64::from(mode & 0o170_000)).ok_or(Errno::EINVAL)?;
        let owner = self.ownership(caller, parent, mode, false);
        let at_first = owner.map_or(mode & 0o7777, |_| PRIVATE);
        let (major, minor) = device_parts(device);
        self.make(parent, name, owner, true, RemoveFlags::empty(), |chain, path| {
            if kind == NodeKind::Regular {
                // Every service that makes files can do this.
                let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
                let file = chain.open(path, OpenOptions::from_flags(flags).mode(at_first));
                chain.close(file);
            } else {
                chain.mknod_device(Directory::Working, path, kind, at_first, major, minor);
            }
        })
    }

    /// Makes a symbolic link.
    pub fn make_link_to(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        target: &Path,
    ) -> Result<Entry, Errno> {
        let owner = self.ownership(caller, parent, 0o777, false);
        self.make(parent, name, owner, false, RemoveFlags::empty(), |chain, path| {
            chain.symlink(target, Directory::Working, path);
        })
    }

    /// Makes a file that must not be there and opens it. Returns what it is open as, too.
    ///
    /// Errors: EEXIST if it is there; ESTALE without `exclusive`, so that the kernel looks again and checks whether the caller may
    /// open what has come meanwhile.
    pub fn create(
        &self,
        caller: Caller,
        parent: u64,
        name: &OsStr,
        mode: u32,
        (flags, exclusive): (OpenFlags, bool),
    ) -> Result<(Entry, u64), Errno> {
        let path = self.nodes().path(parent, name)?;
        let owner = self.ownership(caller, parent, mode, false);
        let made = self.connections.open(|ring| {
            let entry = |stat| self.enter(parent, name, stat);
            make_and_open(ring, &path, owner, mode & 0o7777, flags, entry)
        });
        match made {
            Ok((file, entry)) => {
                self.nodes().opened(entry.node, file);
                Ok((entry, file))
            }
            Err(Errno::EEXIST) if !exclusive => Err(Errno::ESTALE),
            Err(error) => Err(error),
        }
    }

    /// Gives a node's file another name.
    pub fn link(&self, node: u64, parent: u64, name: &OsStr) -> Result<Entry, Errno> {
        let (olds, new, identity) = {
            let nodes = self.nodes();
            let identity = nodes.identity(node).ok_or(Errno::ESTALE)?;
            // What has no name left cannot have one again.
            (nodes.paths(node).map_err(|_| Errno::ENOENT)?, nodes.path(parent, name)?, identity)
        };
        for old in olds {
            let linked = self.connections.anywhere(|ring| {
                let mut chain = Chain::new();
                chain.link(Directory::Working, &old, Directory::Working, &new, LinkFlags::empty());
                let stat = chain.stat(Directory::Working, &new, StatFlags::NOFOLLOW);
                let stat = run(ring, chain)?.get(stat).map_err(number)?;
                if Identity::of(&stat) != identity {
                    // Somebody has put another file there.
                    ring.remove(Directory::Working, &new, RemoveFlags::empty()).map_err(number)?;
                    return Err(Errno::ESTALE);
                }
                Ok(stat)
            });
            match linked {
                Err(Errno::ENOENT | Errno::ESTALE) => {}
                linked => return linked.map(|stat| self.enter(parent, name, stat)),
            }
        }
        Err(Errno::ENOENT)
    }

    /// Removes a name, or an empty directory.
    pub fn remove(&self, parent: u64, name: &OsStr, flags: RemoveFlags) -> Result<(), Errno> {
        let path = self.nodes().path(parent, name)?;
        let removed =
            self.connections.anywhere(|ring| ring.remove(Directory::Working, &path, flags).map_err(number));
        if matches!(removed, Ok(()) | Err(Errno::ENOENT)) {
            self.nodes().removed(parent, name);
        }
        removed
    }

    /// Gives what has one name another one.
    pub fn rename(&self, from: (u64, &OsStr), to: (u64, &OsStr), flags: RenameFlags) -> Result<(), Errno> {
        let (old, new) = {
            let nodes = self.nodes();
            (nodes.path(from.0, from.1)?, nodes.path(to.0, to.1)?)
        };
        self.connections.anywhere(|ring| {
            ring.rename(Directory::Working, &old, Directory::Working, &new, flags).map_err(number)
        })?;
        self.nodes().renamed(from, to, flags.contains(RenameFlags::EXCHANGE));
        Ok(())
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, node: u64) -> Result<std::path::PathBuf, Errno> {
        self.at(
            node,
            |ring, path| ring.readlink(Directory::Working, path).map_err(number),
            |_, _| Err(Errno::ESTALE),
        )
    }
}

/// Makes a file, opens it, gives it to its owner and describes it, in one chain.
fn make_and_open(
    ring: &mut Service,
    path: &Path,
    owner: Option<Ownership>,
    mode: u32,
    flags: OpenFlags,
    enter: impl FnOnce(ouzel::FileStat) -> Entry,
) -> Result<(Opened, Entry), Errno> {
    let mut chain = Chain::new();
    let options = OpenOptions::from_flags(flags | OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    let file = chain.open(path, options.mode(owner.map_or(mode, |_| PRIVATE)));
    if let Some(Ownership { user, group, mode }) = owner {
        chain.chown_file(file, Some(user), group);
        chain.chmod_file(file, mode);
    }
    let stat = chain.stat_file(file);
    let done = ring.run(chain).map_err(number)?;
    let descriptor = done.get(file).map_err(number)?;
    match done.get(stat) {
        Ok(stat) => {
            let entry = enter(stat);
            let identity = Identity::of(&stat);
            let opened =
                Opened { node: entry.node, identity, flags, descriptor: Some(descriptor), is_lost: false };
            Ok((opened, entry))
        }
        Err(error) => {
            let error = done.error().map_or(error, Into::into);
            ring.close(descriptor).map_err(number)?;
            ring.remove(Directory::Working, path, RemoveFlags::empty()).map_err(number)?;
            Err(number(error))
        }
    }
}

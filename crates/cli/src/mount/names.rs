//! Names: looking them up, making, moving and removing them.
//!
//! Each name is used by itself, in a directory that is known to be the one that is meant. What is made belongs to who asked for
//! it: a file from the same chain on in which it is made, by its descriptor; anything else from the next one on, once what has the
//! name is known to be what was made. Until then it is the service's own, with permissions for nobody else. The kernel has
//! checked that the caller may do it, and has taken the umask off.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use fuser::FileType;
use ouzel::abi::modifiers::{LinkFlags, MAX_PATH, NodeKind, OpenFlags, RemoveFlags, RenameFlags, StatFlags};
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Chain, Directory, FileStat, OpenOptions};

use super::attributes::{device_parts, kind_of};
use super::bridge::{Bridge, Caller, Entry, is_elsewhere};
use super::connections::{Opened, Service, number};
use super::nodes::{Identity, ROOT};
use super::reach::{Need, Places};

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
        let looked = self.moves.settled(|| {
            let place = {
                let nodes = self.nodes();
                // What is found here has to have a path.
                nodes.path(parent, name)?;
                if parent == ROOT { None } else { Some(nodes.place(parent)?) }
            };
            self.connections.anywhere(|ring| look(ring, place, name))
        })?;
        match looked.ok_or(Errno::ESTALE)? {
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

    /// Makes something of a kind, gives it to its owner and describes it. What was made and could not be given away is removed
    /// again.
    ///
    /// Errors: ESTALE if what was made is not there any more when it is to be given away.
    fn make(
        &self,
        parent: u64,
        name: &OsStr,
        kind: FileType,
        owner: Option<Ownership>,
        make: impl FnOnce(&mut Chain, Directory),
    ) -> Result<Entry, Errno> {
        let stat = self.in_directories([parent], |ring, place| {
            let Some(owner) = owner else {
                let (done, stat) = place.run(ring, |chain, [directory]| {
                    make(chain, directory);
                    chain.stat(directory, name, StatFlags::NOFOLLOW)
                })?;
                done.check().map_err(|error| number(error.into()))?;
                return done.get(stat).map_err(number);
            };
            let made = make_private(ring, &place, name, kind, make).and_then(|(made, stat)| {
                let is_it = kind_of(u32::from(stat.mode)) == Some(kind)
                    && (kind == FileType::Symlink || stat.permissions() & 0o777 & !PRIVATE == 0);
                match is_it {
                    true => Ok(made),
                    false => {
                        ring.close(made).map_err(number)?;
                        Err(Errno::ESTALE)
                    }
                }
            });
            match made {
                Ok(made) => give_away(ring, &place, name, (made, kind), owner),
                Err(error) => {
                    place.close(ring, None);
                    Err(error)
                }
            }
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
        self.make(parent, name, FileType::Directory, owner, |chain, directory| {
            chain.mkdir(directory, name, at_first);
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
        let (Some(node), Some(kind)) = (NodeKind::from_number(u64::from(mode & 0o170_000)), kind_of(mode))
        else {
            return Err(Errno::EINVAL);
        };
        if node == NodeKind::Regular {
            // Every service that makes files can do this.
            let (entry, file) = self.create(caller, parent, name, mode, (OpenFlags::WRITE, true))?;
            self.close(file);
            return Ok(entry);
        }
        let owner = self.ownership(caller, parent, mode, false);
        let at_first = owner.map_or(mode & 0o7777, |_| PRIVATE);
        let (major, minor) = device_parts(device);
        self.make(parent, name, kind, owner, |chain, directory| {
            chain.mknod_device(directory, name, node, at_first, major, minor);
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
        self.make(parent, name, FileType::Symlink, owner, |chain, directory| {
            chain.symlink(target, directory, name);
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
        let owner = self.ownership(caller, parent, mode, false);
        let made = self.moves.settled(|| {
            let mut is_elsewhere = false;
            let made = self.connections.open(|ring| {
                let Some(place) = self.reach(ring, [parent])? else {
                    is_elsewhere = true;
                    return Err(Errno::ESTALE);
                };
                let entry = |stat| self.enter(parent, name, stat);
                make_and_open(ring, &place, name, owner, mode & 0o7777, flags, entry)
            });
            if is_elsewhere { Ok(None) } else { made.map(Some) }
        });
        let made = made.and_then(|made| made.ok_or(Errno::ESTALE));
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
        let (olds, identity) = {
            let nodes = self.nodes();
            (nodes.names(node), nodes.identity(node).ok_or(Errno::ESTALE)?)
        };
        for (old_parent, old) in olds {
            let linked = self.in_directories([old_parent, parent], |ring, places| {
                let (done, stat) = places.run(ring, |chain, [from, to]| {
                    chain.link(from, &old, to, name, LinkFlags::empty());
                    chain.stat(to, name, StatFlags::NOFOLLOW)
                })?;
                done.check().map_err(|error| number(error.into()))?;
                done.get(stat).map_err(number)
            });
            let linked = match linked {
                Ok(stat) if Identity::of(&stat) != identity => {
                    // Somebody has put another file there.
                    self.remove(parent, name, RemoveFlags::empty())?;
                    Err(Errno::ESTALE)
                }
                linked => linked,
            };
            match linked {
                Err(Errno::ENOENT | Errno::ESTALE) => {}
                linked => return linked.map(|stat| self.enter(parent, name, stat)),
            }
        }
        // What has no name left cannot have one again.
        Err(Errno::ENOENT)
    }

    /// Removes a name, or an empty directory.
    pub fn remove(&self, parent: u64, name: &OsStr, flags: RemoveFlags) -> Result<(), Errno> {
        let removed = self.in_directories([parent], |ring, place| {
            let (done, removed) =
                place.run(ring, |chain, [directory]| chain.remove(directory, name, flags))?;
            // An error of its own, so that it is the directory that has no such name.
            Ok(done.get(removed).map_err(number))
        })?;
        if matches!(removed, Ok(()) | Err(Errno::ENOENT)) {
            self.nodes().removed(parent, name);
        }
        removed
    }

    /// Gives what has one name another one.
    pub fn rename(&self, from: (u64, &OsStr), to: (u64, &OsStr), flags: RenameFlags) -> Result<(), Errno> {
        let exchanged = flags.contains(RenameFlags::EXCHANGE);
        let moved = self.moves.settled(|| {
            // Who misses something meanwhile waits until the table knows.
            let moving = self.moves.begin();
            let moved = self.connections.anywhere(|ring| {
                let Some(places) = self.reach(ring, [from.0, to.0])? else { return Ok(None) };
                let (done, moved) =
                    places.run(ring, |chain, [old, new]| chain.rename(old, from.1, new, to.1, flags))?;
                done.get(moved).map_err(number).map(Some)
            });
            if let Ok(Some(())) = moved {
                self.nodes().renamed(from, to, exchanged);
                self.moves.count();
            }
            drop(moving);
            moved
        })?;
        moved.ok_or(Errno::ESTALE)
    }

    /// Where a symbolic link points.
    pub fn read_link(&self, node: u64) -> Result<PathBuf, Errno> {
        let room = || Buffer::with_capacity(MAX_PATH as usize);
        let (mut done, read) =
            self.with_file(node, Need::Told, |chain, file| chain.readlink_file(file, room()))?;
        let length = done.get(read).map_err(number)?;
        let mut target = done.take(read).unwrap_or_default().into_vec();
        target.truncate(length);
        Ok(PathBuf::from(OsString::from_vec(target)))
    }
}

/// Describes a name in a directory, which is the root if it is not said. Nothing if the directory is not where it was; an
/// error of its own for the name.
fn look(
    ring: &mut Service,
    place: Option<(PathBuf, Identity)>,
    name: &OsStr,
) -> Result<Option<Result<FileStat, Errno>>, Errno> {
    let Some((path, identity)) = place else {
        return Ok(Some(ring.stat(Directory::Working, name, StatFlags::NOFOLLOW).map_err(number)));
    };
    let mut chain = Chain::new();
    let flags = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW;
    let directory = chain.open(&path, OpenOptions::from_flags(flags));
    let itself = chain.stat_file(directory);
    let found = chain.stat(directory, name, StatFlags::NOFOLLOW);
    chain.finally().close(directory);
    let done = ring.run(chain).map_err(number)?;
    let opened = done.get(directory).and_then(|_| done.get(itself)).map_err(number);
    match opened {
        Ok(stat) if Identity::of(&stat) == identity => Ok(Some(done.get(found).map_err(number))),
        Ok(_) => Ok(None),
        Err(error) if is_elsewhere(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How a name of what is of this kind is removed.
fn removing(kind: FileType) -> RemoveFlags {
    if kind == FileType::Directory { RemoveFlags::DIRECTORY } else { RemoveFlags::empty() }
}

/// Makes something, in one step, and opens it as a name. What was made and cannot be opened is removed again.
fn make_private(
    ring: &mut Service,
    place: &Places<1>,
    name: &OsStr,
    kind: FileType,
    make: impl FnOnce(&mut Chain, Directory),
) -> Result<(Descriptor, FileStat), Errno> {
    let [directory] = place.directories;
    let mut chain = Chain::new();
    make(&mut chain, directory);
    let options = OpenOptions::from_flags(OpenFlags::PATH | OpenFlags::NOFOLLOW);
    let made = chain.open_in(directory, name, options);
    let stat = chain.stat_file(made);
    let done = ring.run(chain).map_err(number)?;
    let Some(error) = done.error() else {
        return Ok((done.get(made).map_err(number)?, done.get(stat).map_err(number)?));
    };
    if let Ok(made) = done.get(made) {
        ring.close(made).map_err(number)?;
    }
    if error.step > 0 {
        ring.remove(directory, name, removing(kind)).map_err(number)?;
    }
    Err(number(error.into()))
}

/// Gives what was made to its owner and describes it, and closes everything. What cannot be given away is removed.
fn give_away(
    ring: &mut Service,
    place: &Places<1>,
    name: &OsStr,
    (made, kind): (Descriptor, FileType),
    Ownership { user, group, mode }: Ownership,
) -> Result<FileStat, Errno> {
    let mut chain = Chain::new();
    chain.chown_file(made, Some(user), group);
    if kind != FileType::Symlink {
        chain.chmod_file(made, mode);
    }
    let stat = chain.stat_file(made);
    chain.close(made);
    place.close_then(&mut chain);
    let done = ring.run(chain).map_err(number)?;
    if let Ok(stat) = done.get(stat) {
        return Ok(stat);
    }
    let error = done.error().map_or(Errno::EIO, |error| number(error.into()));
    remove_again(ring, place, name, (made, removing(kind)))?;
    Err(error)
}

/// Removes what was made, and closes everything.
fn remove_again(
    ring: &mut Service,
    place: &Places<1>,
    name: &OsStr,
    (made, flags): (Descriptor, RemoveFlags),
) -> Result<(), Errno> {
    let (done, removed) = place.run(ring, |chain, [directory]| {
        let removed = chain.remove(directory, name, flags);
        chain.finally().close(made);
        removed
    })?;
    done.get(removed).map_err(number)
}

/// Makes a file, opens it, gives it to its owner and describes it, in one chain.
fn make_and_open(
    ring: &mut Service,
    place: &Places<1>,
    name: &OsStr,
    owner: Option<Ownership>,
    mode: u32,
    flags: OpenFlags,
    enter: impl FnOnce(FileStat) -> Entry,
) -> Result<(Opened, Entry), Errno> {
    let [directory] = place.directories;
    let mut chain = Chain::new();
    let options = OpenOptions::from_flags(flags | OpenFlags::CREATE | OpenFlags::EXCLUSIVE);
    let file = chain.open_in(directory, name, options.mode(owner.map_or(mode, |_| PRIVATE)));
    if let Some(Ownership { user, group, mode }) = owner {
        chain.chown_file(file, Some(user), group);
        chain.chmod_file(file, mode);
    }
    let stat = chain.stat_file(file);
    place.close_then(&mut chain);
    let done = ring.run(chain).map_err(number)?;
    let failed = done.error().map_or(Errno::EIO, |error| number(error.into()));
    let Ok(descriptor) = done.get(file) else {
        place.close(ring, None);
        return Err(failed);
    };
    let Ok(stat) = done.get(stat) else {
        remove_again(ring, place, name, (descriptor, RemoveFlags::empty()))?;
        return Err(failed);
    };
    let entry = enter(stat);
    let identity = Identity::of(&stat);
    let opened = Opened { node: entry.node, identity, flags, descriptor: Some(descriptor), is_lost: false };
    Ok((opened, entry))
}

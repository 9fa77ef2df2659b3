//! The simulated file system's inodes and names.
//!
//! Files live as long as a name or an open description points at them. A directory gives each name a cookie that only
//! grows, so that listing it is robust while others change it. Errors are those of Linux; permissions are ignored,
//! as they are for root. Nothing here knows of descriptors.

use std::collections::BTreeMap;

use ouzel_ring::Errno;

use super::pages::Pages;

/// The root directory, which is also the working directory.
pub(super) const ROOT: u64 = 1;
/// The longest name of one file, in bytes (`NAME_MAX`).
pub(super) const NAME_LENGTH: usize = 255;
/// The bit of a mode that gives a file its group (`S_ISGID`).
pub(super) const SET_GROUP: u32 = 0o2000;
/// The cookie of the first name behind "." and "..".
pub(super) const FIRST_COOKIE: u64 = 2;

/// What an inode is.
#[derive(Debug)]
pub(super) enum Kind {
    File(Pages),
    Directory(Directory),
    Symlink(Vec<u8>),
    /// The name of a unix socket, and the socket that listens or receives there while it lives.
    Socket(Option<u64>),
    /// A pipe with a name, and the pipe behind it while somebody has it open.
    Fifo(Option<u64>),
    /// A device: nobody here drives it.
    Device {
        /// A character device, not a block device.
        character: bool,
        /// The major number in the upper half, the minor in the lower.
        number: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Named {
    cookie: u64,
    inode: u64,
}

/// The names in a directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) parent: u64,
    names: BTreeMap<Vec<u8>, Named>,
    order: BTreeMap<u64, Vec<u8>>,
    next: u64,
    /// Removed, though still open somewhere: nothing can be made in it any more.
    pub(super) dead: bool,
}

impl Directory {
    fn new(parent: u64) -> Directory {
        Directory { parent, names: BTreeMap::new(), order: BTreeMap::new(), next: FIRST_COOKIE, dead: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn find(&self, name: &[u8]) -> Option<u64> {
        self.names.get(name).map(|named| named.inode)
    }

    /// The names from `cookie` on, each with its own cookie and inode.
    pub(super) fn list(&self, cookie: u64) -> impl Iterator<Item = (u64, &[u8], u64)> {
        self.order
            .range(cookie..)
            .filter_map(|(cookie, name)| Some((*cookie, name.as_slice(), self.find(name)?)))
    }

    /// Gives `name` to an inode, in the place of whatever has it.
    fn put(&mut self, name: &[u8], inode: u64) {
        if let Some(named) = self.names.get_mut(name) {
            named.inode = inode;
            return;
        }
        let cookie = self.next;
        self.next += 1;
        self.names.insert(name.to_vec(), Named { cookie, inode });
        self.order.insert(cookie, name.to_vec());
    }

    fn take(&mut self, name: &[u8]) {
        if let Some(named) = self.names.remove(name) {
            self.order.remove(&named.cookie);
        }
    }
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) links: u32,
    /// Open descriptions that keep it alive.
    opens: u32,
    pub(super) accessed: Instant,
    pub(super) modified: Instant,
    pub(super) changed: Instant,
    pub(super) born: Instant,
    /// The extended attributes.
    pub(super) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Nanoseconds since 1970.
pub(super) type Instant = i128;

/// All inodes.
#[derive(Debug)]
pub(super) struct Tree {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// The clock, copied here before each operation.
    pub(super) now: u64,
    pub(super) umask: u32,
    /// Pages of storage in all.
    pages: u64,
    used: u64,
}

impl Tree {
    pub(super) fn new(umask: u32, pages: u64) -> Tree {
        let mut tree = Tree { inodes: BTreeMap::new(), next: ROOT, now: 0, umask, pages, used: 0 };
        tree.make(Kind::Directory(Directory::new(ROOT)), 0o755);
        tree
    }

    /// Pages nobody uses.
    pub(super) fn free(&self) -> u64 {
        self.pages.saturating_sub(self.used)
    }

    /// Pages there are.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Files there are.
    pub(super) fn files(&self) -> u64 {
        self.inodes.len() as u64
    }

    /// The clock as a file's time.
    pub(super) fn instant(&self) -> Instant {
        Instant::from(self.now)
    }

    /// Adds an inode that has no name yet.
    fn make(&mut self, kind: Kind, mode: u32) -> u64 {
        let number = self.next;
        self.next += 1;
        let links = if matches!(kind, Kind::Directory(_)) { 2 } else { 0 };
        let now = self.instant();
        self.inodes.insert(
            number,
            Inode {
                kind,
                mode,
                user: 0,
                group: 0,
                links,
                opens: 0,
                accessed: now,
                modified: now,
                changed: now,
                born: now,
                attributes: BTreeMap::new(),
            },
        );
        number
    }

    /// The inode; numbers come from names and open descriptions, both of which keep it alive.
    pub(super) fn inode(&self, number: u64) -> Result<&Inode, Errno> {
        self.inodes.get(&number).ok_or(Errno::ESTALE)
    }

    pub(super) fn inode_mut(&mut self, number: u64) -> Result<&mut Inode, Errno> {
        self.inodes.get_mut(&number).ok_or(Errno::ESTALE)
    }

    /// Works on a file's bytes and keeps count of the storage in use.
    pub(super) fn with_pages<T>(
        &mut self,
        number: u64,
        work: impl FnOnce(&mut Pages, u64) -> T,
    ) -> Result<T, Errno> {
        let free = self.free();
        let inode = self.inode_mut(number)?;
        let Kind::File(pages) = &mut inode.kind else { return Err(Errno::EINVAL) };
        let before = pages.count();
        let answer = work(pages, free);
        let after = pages.count();
        self.used = self.used + after - before;
        Ok(answer)
    }

    pub(super) fn directory(&self, number: u64) -> Result<&Directory, Errno> {
        match &self.inode(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn is_directory(&self, number: u64) -> bool {
        self.directory(number).is_ok()
    }

    fn directory_mut(&mut self, number: u64) -> Result<&mut Directory, Errno> {
        match &mut self.inode_mut(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// The inode behind a plain name of a directory, if there is one.
    pub(super) fn find(&self, directory: u64, name: &[u8]) -> Result<Option<u64>, Errno> {
        let directory = self.directory(directory)?;
        if directory.dead {
            return Err(Errno::ENOENT);
        }
        if name.len() > NAME_LENGTH {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(directory.find(name))
    }

    fn touch_directory(&mut self, number: u64) {
        let now = self.instant();
        if let Ok(inode) = self.inode_mut(number) {
            inode.modified = now;
            inode.changed = now;
        }
    }

    fn count_links(&mut self, number: u64, by: i32) {
        let now = self.instant();
        if let Ok(inode) = self.inode_mut(number) {
            inode.links = inode.links.saturating_add_signed(by);
            inode.changed = now;
        }
    }

    /// Makes a file of `kind` under a name that is free.
    pub(super) fn create(&mut self, parent: u64, name: &[u8], kind: Kind, mode: u32) -> Result<u64, Errno> {
        if self.directory(parent)?.dead {
            return Err(Errno::ENOENT);
        }
        let above = self.inode(parent)?;
        let (mut mode, mut group) = (mode & !self.umask, 0);
        if above.mode & SET_GROUP != 0 {
            // What is made in such a directory belongs to its group, and directories hand that on.
            group = above.group;
            if matches!(kind, Kind::Directory(_)) {
                mode |= SET_GROUP;
            }
        }
        let number = self.make(kind, mode);
        self.inode_mut(number)?.group = group;
        self.attach(parent, name, number)?;
        Ok(number)
    }

    /// Makes a directory under a name that is free.
    pub(super) fn create_directory(&mut self, parent: u64, name: &[u8], mode: u32) -> Result<u64, Errno> {
        self.create(parent, name, Kind::Directory(Directory::new(parent)), mode)
    }

    /// Gives an inode a name, free or not, and counts it.
    fn attach(&mut self, parent: u64, name: &[u8], number: u64) -> Result<(), Errno> {
        self.directory_mut(parent)?.put(name, number);
        self.touch_directory(parent);
        if let Ok(directory) = self.directory_mut(number) {
            directory.parent = parent;
            self.count_links(parent, 1);
        } else {
            self.count_links(number, 1);
        }
        Ok(())
    }

    /// Takes back what [`Tree::attach`] counted; the name itself is the caller's business.
    fn detach(&mut self, parent: u64, number: u64) {
        self.touch_directory(parent);
        if self.is_directory(number) {
            self.count_links(parent, -1);
        } else {
            self.count_links(number, -1);
        }
    }

    /// Gives an existing file a second name.
    pub(super) fn link(&mut self, parent: u64, name: &[u8], number: u64) -> Result<(), Errno> {
        if self.directory(parent)?.dead {
            return Err(Errno::ENOENT);
        }
        self.attach(parent, name, number)
    }

    /// Takes a name away from whatever has it: a file, or a directory that is empty.
    pub(super) fn unlink(&mut self, parent: u64, name: &[u8], number: u64) -> Result<(), Errno> {
        self.directory_mut(parent)?.take(name);
        self.detach(parent, number);
        self.bury(number);
        Ok(())
    }

    /// A name has gone: a directory dies with it, a file when nothing is left that points at it.
    fn bury(&mut self, number: u64) {
        if let Ok(directory) = self.directory_mut(number) {
            directory.dead = true;
            self.count_links(number, -2);
        }
        self.forget(number);
    }

    /// Moves a name; an existing target, which the caller has checked, is replaced.
    pub(super) fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), number: u64) -> Result<(), Errno> {
        let old = self.find(to.0, to.1)?;
        self.directory_mut(from.0)?.take(from.1);
        self.detach(from.0, number);
        if let Some(old) = old {
            self.detach(to.0, old);
        }
        self.attach(to.0, to.1, number)?;
        if let Some(old) = old {
            self.bury(old);
        }
        Ok(())
    }

    /// Lets two names change places.
    pub(super) fn exchange(&mut self, one: (u64, &[u8], u64), other: (u64, &[u8], u64)) -> Result<(), Errno> {
        self.detach(one.0, one.2);
        self.detach(other.0, other.2);
        self.attach(one.0, one.1, other.2)?;
        self.attach(other.0, other.1, one.2)
    }

    /// The child of `above` through which one comes to `below`, if `above` is a true ancestor of it.
    pub(super) fn child_towards(&self, above: u64, below: u64) -> Option<u64> {
        let mut at = below;
        while at != above {
            let parent = self.directory(at).ok()?.parent;
            if parent == above {
                return Some(at);
            }
            if parent == at {
                return None;
            }
            at = parent;
        }
        None
    }

    /// An open description points at the inode from here on.
    pub(super) fn hold(&mut self, number: u64) {
        if let Ok(inode) = self.inode_mut(number) {
            inode.opens += 1;
        }
    }

    /// An open description has gone.
    pub(super) fn drop_hold(&mut self, number: u64) {
        if let Ok(inode) = self.inode_mut(number) {
            inode.opens = inode.opens.saturating_sub(1);
        }
        self.forget(number);
    }

    fn forget(&mut self, number: u64) {
        let Ok(inode) = self.inode(number) else { return };
        if inode.links > 0 || inode.opens > 0 {
            return;
        }
        if let Kind::File(pages) = &inode.kind {
            self.used -= pages.count();
        }
        self.inodes.remove(&number);
    }

    /// The pipe behind a name has gone.
    pub(super) fn vacate_fifo(&mut self, number: u64) {
        if let Ok(Inode { kind: Kind::Fifo(pipe), .. }) = self.inode_mut(number) {
            *pipe = None;
        }
    }

    /// A socket that had the name of this inode has gone.
    pub(super) fn vacate(&mut self, number: u64, socket: u64) {
        if let Ok(inode) = self.inode_mut(number)
            && let Kind::Socket(holder) = &mut inode.kind
            && *holder == Some(socket)
        {
            *holder = None;
        }
    }
}

//! The tree: directories, files, and what they cost. Paths begin at a node and never leave the root.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel::abi::Errno;

use super::contents::Contents;
use super::times::Times;

/// A file or a directory, as long as it has a name or is open.
pub(super) type Node = Rc<RefCell<Inode>>;

/// What a node costs beside its name and contents: itself, and its places in tables, some of which may have room for more.
const NODE: u64 = 1024;

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    File(Contents),
    Directory(Names),
}

/// What is in a directory.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: BTreeMap<Vec<u8>, u64>,
    /// In the order in which they were made, so that listing goes on where it was although others come and go.
    by_place: BTreeMap<u64, (Vec<u8>, Node)>,
    last: u64,
}

impl Kind {
    pub(super) fn file() -> Kind {
        Kind::File(Contents::default())
    }

    pub(super) fn directory() -> Kind {
        Kind::Directory(Names::default())
    }
}

/// See [`Node`].
#[derive(Debug)]
pub(super) struct Inode {
    number: u64,
    permissions: u16,
    kind: Kind,
    times: Times,
    /// The directory it is in; its own root has none, and what was removed neither.
    above: Weak<RefCell<Inode>>,
    /// It has a name.
    is_linked: bool,
    /// What is counted for it, given back when it is gone.
    used: Rc<AtomicU64>,
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.used.fetch_sub(NODE + self.length(), Ordering::Relaxed);
    }
}

impl Inode {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn permissions(&self) -> u16 {
        self.permissions
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    pub(super) fn is_linked(&self) -> bool {
        self.is_linked
    }

    /// What is in a file; `None` of a directory.
    pub(super) fn contents(&self) -> Option<&Contents> {
        match &self.kind {
            Kind::File(contents) => Some(contents),
            Kind::Directory(_) => None,
        }
    }

    /// The bytes of a file; 0 for a directory.
    pub(super) fn length(&self) -> u64 {
        self.contents().map_or(0, Contents::length)
    }

    fn names(&self) -> Result<&Names, Errno> {
        match &self.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self) -> Result<&mut Names, Errno> {
        match &mut self.kind {
            Kind::Directory(names) => Ok(names),
            Kind::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What is in a directory behind that place.
    pub(super) fn entries(&self, behind: u64) -> impl Iterator<Item = (u64, &[u8], &Node)> {
        let names = self.names().ok().into_iter();
        names.flat_map(move |names| {
            let rest = names.by_place.range(behind.saturating_add(1)..);
            rest.map(|(place, (name, node))| (*place, name.as_slice(), node))
        })
    }

    fn child(&self, name: &[u8]) -> Result<Option<Node>, Errno> {
        let names = self.names()?;
        let found = names.by_name.get(name).and_then(|place| names.by_place.get(place));
        Ok(found.map(|(_, node)| Rc::clone(node)))
    }
}

/// All of them. See the [module](self).
#[derive(Debug)]
pub(super) struct Tree {
    root: Node,
    used: Rc<AtomicU64>,
    most: u64,
    next: u64,
}

impl Tree {
    /// A root, and room for so many bytes.
    pub(super) fn new(most: u64) -> Tree {
        let used = Rc::new(AtomicU64::new(NODE));
        let root = Inode {
            number: 1,
            permissions: 0o755,
            kind: Kind::directory(),
            times: Times::now(),
            above: Weak::new(),
            is_linked: true,
            used: Rc::clone(&used),
        };
        Tree { root: Rc::new(RefCell::new(root)), used, most, next: 2 }
    }

    pub(super) fn root(&self) -> Node {
        Rc::clone(&self.root)
    }

    fn charge(&self, bytes: u64) -> Result<(), Errno> {
        let used = self.used.load(Ordering::Relaxed);
        if used.checked_add(bytes).is_none_or(|sum| sum > self.most) {
            return Err(Errno::EDQUOT);
        }
        self.used.store(used + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What a path names. `..` at the root is the root.
    pub(super) fn find(&self, start: &Node, path: &[u8]) -> Result<Node, Errno> {
        let mut node = if path.starts_with(b"/") { self.root() } else { Rc::clone(start) };
        for name in path.split(|byte| *byte == b'/') {
            node = match name {
                b"" | b"." => {
                    node.borrow().names()?;
                    node
                }
                b".." => {
                    let above = node.borrow().names().map(|_| node.borrow().above.upgrade())?;
                    above.unwrap_or_else(|| self.root())
                }
                name if name.len() > 255 => return Err(Errno::ENAMETOOLONG),
                name => {
                    let child = node.borrow().child(name)?;
                    child.ok_or(Errno::ENOENT)?
                }
            };
        }
        Ok(node)
    }

    /// The directory of what a path names, and the last name.
    fn place<'a>(&self, start: &Node, path: &'a [u8]) -> Result<(Node, &'a [u8]), Errno> {
        let path = match path.iter().rposition(|byte| *byte != b'/') {
            Some(last) => &path[..=last],
            None => return Err(Errno::EEXIST),
        };
        let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (self.find(start, &path[..=slash])?, &path[slash + 1..]),
            None => (Rc::clone(start), path),
        };
        directory.borrow().names()?;
        match name {
            b"." | b".." => Err(Errno::EEXIST),
            name if name.len() > 255 => Err(Errno::ENAMETOOLONG),
            name => Ok((directory, name)),
        }
    }

    /// Makes a node.
    pub(super) fn make(&mut self, start: &Node, path: &[u8], kind: Kind, mode: u16) -> Result<Node, Errno> {
        if path.ends_with(b"/") && matches!(kind, Kind::File(_)) {
            return Err(Errno::EISDIR);
        }
        let (directory, name) = self.place(start, path)?;
        if directory.borrow().child(name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if !directory.borrow().is_linked {
            return Err(Errno::ENOENT);
        }
        self.charge(NODE + name.len() as u64)?;
        let node = Rc::new(RefCell::new(Inode {
            number: self.next,
            permissions: mode & 0o7777,
            kind,
            times: Times::now(),
            above: Weak::new(),
            is_linked: false,
            used: Rc::clone(&self.used),
        }));
        self.next += 1;
        link(&directory, name, Rc::clone(&node))?;
        Ok(node)
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, start: &Node, path: &[u8], directory: bool) -> Result<(), Errno> {
        let (above, name) = self.place(start, path).map_err(not_there)?;
        let node = above.borrow().child(name)?.ok_or(Errno::ENOENT)?;
        match (node.borrow().names(), directory) {
            (Ok(_), false) => return Err(Errno::EISDIR),
            (Err(_), true) => return Err(Errno::ENOTDIR),
            (Ok(names), true) if !names.by_name.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        unlink(&above, name)?;
        self.give_back(name.len() as u64);
        Ok(())
    }

    /// Gives a node another name, in place of what had it.
    pub(super) fn rename(
        &mut self,
        (from, old): (&Node, &[u8]),
        (to, new): (&Node, &[u8]),
        keep: bool,
    ) -> Result<(), Errno> {
        let (from, old) = self.place(from, old).map_err(not_there)?;
        let (to, new) = self.place(to, new).map_err(not_there)?;
        let node = from.borrow().child(old)?.ok_or(Errno::ENOENT)?;
        let there = to.borrow().child(new)?;
        if !to.borrow().is_linked {
            return Err(Errno::ENOENT);
        }
        // No directory goes into itself.
        let mut above = Some(Rc::clone(&to));
        while let Some(directory) = above {
            if Rc::ptr_eq(&directory, &node) {
                return Err(Errno::EINVAL);
            }
            above = directory.borrow().above.upgrade();
        }
        if let Some(there) = there {
            if keep {
                return Err(Errno::EEXIST);
            }
            if Rc::ptr_eq(&there, &node) {
                return Ok(());
            }
            match (node.borrow().is_directory(), there.borrow().names()) {
                (true, Err(_)) => return Err(Errno::ENOTDIR),
                (false, Ok(_)) => return Err(Errno::EISDIR),
                (true, Ok(names)) if !names.by_name.is_empty() => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
            self.charge(new.len() as u64)?;
            unlink(&to, new)?;
            self.give_back(new.len() as u64);
        } else {
            self.charge(new.len() as u64)?;
        }
        unlink(&from, old)?;
        self.give_back(old.len() as u64);
        link(&to, new, node)
    }

    /// Makes a file as long as that, with zeros where nothing was.
    pub(super) fn resize(&mut self, node: &Node, length: u64) -> Result<(), Errno> {
        let mut node = node.borrow_mut();
        let Kind::File(contents) = &mut node.kind else { return Err(Errno::EISDIR) };
        let now = contents.length();
        if length > now {
            self.charge(length - now)?;
        } else {
            self.give_back(now - length);
        }
        contents.resize(length);
        node.times.modify();
        Ok(())
    }

    /// Puts bytes into a file.
    pub(super) fn write(&mut self, node: &Node, at: u64, data: &[u8]) -> Result<(), Errno> {
        let mut node = node.borrow_mut();
        let Kind::File(contents) = &mut node.kind else { return Err(Errno::EISDIR) };
        let end = at.checked_add(data.len() as u64).ok_or(Errno::EFBIG)?;
        self.charge(end.saturating_sub(contents.length()))?;
        contents.write(at, data);
        node.times.modify();
        Ok(())
    }
}

impl Drop for Tree {
    /// Takes it apart piece by piece: clients decide how deep it is.
    fn drop(&mut self) {
        let mut nodes = vec![self.root()];
        while let Some(node) = nodes.pop() {
            if let Ok(names) = node.borrow_mut().names_mut() {
                nodes.extend(std::mem::take(names).by_place.into_values().map(|(_, node)| node));
            }
        }
    }
}

/// What cannot be made because it is a directory's own cannot be taken away either.
fn not_there(errno: Errno) -> Errno {
    if errno == Errno::EEXIST { Errno::EBUSY } else { errno }
}

fn link(directory: &Node, name: &[u8], node: Node) -> Result<(), Errno> {
    {
        let mut node = node.borrow_mut();
        node.above = Rc::downgrade(directory);
        node.is_linked = true;
        node.times.change();
    }
    let mut directory = directory.borrow_mut();
    directory.times.modify();
    let names = directory.names_mut()?;
    names.last += 1;
    names.by_name.insert(name.to_owned(), names.last);
    names.by_place.insert(names.last, (name.to_owned(), node));
    Ok(())
}

fn unlink(directory: &Node, name: &[u8]) -> Result<(), Errno> {
    let removed = {
        let mut directory = directory.borrow_mut();
        let names = directory.names_mut()?;
        let place = names.by_name.remove(name).ok_or(Errno::ENOENT)?;
        let removed = names.by_place.remove(&place);
        directory.times.modify();
        removed
    };
    if let Some((_, node)) = removed {
        let mut node = node.borrow_mut();
        node.above = Weak::new();
        node.is_linked = false;
        node.times.change();
    }
    Ok(())
}

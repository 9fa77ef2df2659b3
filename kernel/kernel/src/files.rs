//! The file system of the ramdisk: a tree of names over the block device.
//!
//! Names live in the kernel's memory, bytes on the device. A READ or WRITE goes down to the device one block at a time, comes
//! back, and goes down again until it is whole. What a file loses while such a packet is on its way, its blocks, stays the
//! device's: a block is given back only when no node has it.

use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};

use ouzel_ring::Errno;
use ouzel_ring::modifiers::{OpenFlags, PollEvents, RemoveFlags, Whence};
use tar_no_std::TarArchiveRef;

use crate::block::{BLOCK, disk};
use crate::global::Global;
use crate::memory;
use crate::packet::{Ended, Fate, Object, Packet, Request};

/// Bytes of the longest file.
const LONGEST: u64 = 4 << 20;
/// Files and directories in all, and bytes of a name.
const MAX_NODES: u64 = 4096;
const MAX_NAME: usize = 255;

static ROOT: Global<Rc<Node>> = Global::new();
static NUMBERS: AtomicU64 = AtomicU64::new(1);
static NODES: AtomicU64 = AtomicU64::new(0);

enum Kind {
    /// Once it is removed nothing is made in it any more.
    Directory {
        names: RefCell<BTreeMap<String, Rc<Node>>>,
        parent: Weak<Node>,
        removed: Cell<bool>,
    },
    File {
        blocks: RefCell<Vec<u32>>,
        size: Cell<u64>,
        busy: Cell<u32>,
        cut: RefCell<Vec<u32>>,
    },
}

/// A file or directory.
pub struct Node {
    number: u64,
    /// Who may do what with it: kept, and not heeded.
    permissions: u32,
    kind: Kind,
}

impl Node {
    fn new(permissions: u32, kind: Kind) -> Result<Rc<Node>, Errno> {
        if NODES.load(Ordering::Relaxed) >= MAX_NODES {
            return Err(Errno::ENOSPC);
        }
        // With its name, and its place in a list of them.
        memory::heap_has(4096)?;
        NODES.fetch_add(1, Ordering::Relaxed);
        Ok(Rc::new(Node { number: NUMBERS.fetch_add(1, Ordering::Relaxed), permissions, kind }))
    }

    fn new_file(mode: u32) -> Result<Rc<Node>, Errno> {
        let (blocks, cut) = (RefCell::default(), RefCell::default());
        Node::new(mode, Kind::File { blocks, size: Cell::new(0), busy: Cell::new(0), cut })
    }

    fn new_directory(parent: Weak<Node>, mode: u32) -> Result<Rc<Node>, Errno> {
        let (names, removed) = (RefCell::default(), Cell::new(false));
        Node::new(mode, Kind::Directory { names, parent, removed })
    }

    fn names(&self) -> Result<&RefCell<BTreeMap<String, Rc<Node>>>, Errno> {
        match &self.kind {
            Kind::Directory { names, .. } => Ok(names),
            Kind::File { .. } => Err(Errno::ENOTDIR),
        }
    }

    /// The names of a directory, for one more.
    fn add(
        self: &Rc<Node>,
        name: String,
        make: impl FnOnce() -> Result<Rc<Node>, Errno>,
    ) -> Result<Rc<Node>, Errno> {
        let Kind::Directory { names, removed, .. } = &self.kind else { return Err(Errno::ENOTDIR) };
        let mut names = names.borrow_mut();
        if removed.get() {
            return Err(Errno::ENOENT);
        }
        if names.contains_key(&name) {
            return Err(Errno::EEXIST);
        }
        let node = make()?;
        names.insert(name, node.clone());
        Ok(node)
    }

    /// What STAT says: mode, size, number.
    pub fn describe(&self) -> (u32, u64, u64) {
        match &self.kind {
            Kind::Directory { .. } => (0o040_000 | self.permissions, 0, self.number),
            Kind::File { size, .. } => (0o100_000 | self.permissions, size.get(), self.number),
        }
    }

    /// All bytes of a file, past the queue of the device.
    pub fn contents(&self) -> Result<Vec<u8>, Errno> {
        let Kind::File { blocks, size, .. } = &self.kind else { return Err(Errno::EISDIR) };
        let mut bytes = Vec::new();
        memory::heap_has(size.get() as usize + BLOCK)?;
        bytes.reserve_exact(blocks.borrow().len() * BLOCK);
        for block in blocks.borrow().iter() {
            disk().block(*block, |block| bytes.extend_from_slice(block));
        }
        bytes.truncate(size.get() as usize);
        Ok(bytes)
    }

    /// Makes a file this long. What it gains is zeros.
    fn resize(&self, length: u64) -> Result<(), Errno> {
        let Kind::File { blocks, size, busy, cut } = &self.kind else { return Err(Errno::EISDIR) };
        if length > LONGEST {
            return Err(Errno::EFBIG);
        }
        let disk = disk();
        let mut blocks = blocks.borrow_mut();
        let needed = (length as usize).div_ceil(BLOCK);
        memory::heap_has(2 * needed * size_of::<u32>())?;
        let had = blocks.len();
        while blocks.len() < needed {
            match disk.allocate() {
                Ok(block) => blocks.push(block),
                Err(error) => {
                    blocks.drain(had..).for_each(|block| disk.release(block));
                    return Err(error);
                }
            }
        }
        if needed < had {
            let lost = blocks.split_off(needed);
            if busy.get() == 0 {
                lost.into_iter().for_each(|block| disk.release(block));
            } else {
                cut.borrow_mut().extend(lost);
            }
        }
        if length < size.get()
            && let Some(last) = blocks.last()
            && !length.is_multiple_of(BLOCK as u64)
        {
            disk.block(*last, |block| block[length as usize % BLOCK..].fill(0));
        }
        size.set(length);
        Ok(())
    }

    /// A packet is on its way to its blocks, or is over.
    fn count(&self, more: bool) {
        let Kind::File { busy, cut, .. } = &self.kind else { return };
        busy.set(if more { busy.get() + 1 } else { busy.get() - 1 });
        if busy.get() == 0 {
            cut.take().into_iter().for_each(|block| disk().release(block));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        NODES.fetch_sub(1, Ordering::Relaxed);
        if let Kind::File { blocks, cut, .. } = &self.kind {
            let blocks = blocks.take().into_iter().chain(cut.take());
            blocks.for_each(|block| disk().release(block));
        }
    }
}

/// Puts the files of an archive onto the device.
pub fn start(archive: &[u8]) -> Result<(), Errno> {
    ROOT.set(Node::new_directory(Weak::new(), 0o755)?);
    let archive = TarArchiveRef::new(archive).map_err(|_| Errno::EINVAL)?;
    for entry in archive.entries() {
        let name = entry.filename();
        let path = name.as_str().map_err(|_| Errno::EINVAL)?.as_bytes();
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            match make_directory(None, &path[..at], 0o755) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
        }
        let (directory, name) = parent_of(None, path)?;
        let file = Node::new_file(0o755)?;
        file.resize(entry.data().len() as u64)?;
        if let Kind::File { blocks, .. } = &file.kind {
            for (block, bytes) in blocks.borrow().iter().zip(entry.data().chunks(BLOCK)) {
                disk().block(*block, |block| block[..bytes.len()].copy_from_slice(bytes));
            }
        }
        directory.names()?.borrow_mut().insert(name, file);
    }
    Ok(())
}

/// The directory that paths start from where none is given.
pub fn root() -> Rc<Node> {
    ROOT.get().clone()
}

/// The node that a path names.
pub fn look_up(directory: Option<Rc<Node>>, path: &[u8]) -> Result<Rc<Node>, Errno> {
    walk(directory, path, false)
}

/// The same; EXDEV if no step may leave the directory that the path starts from, and one does.
fn walk(directory: Option<Rc<Node>>, path: &[u8], beneath: bool) -> Result<Rc<Node>, Errno> {
    let is_absolute = path.first() == Some(&b'/');
    if beneath && is_absolute {
        return Err(Errno::EXDEV);
    }
    let mut node = directory.filter(|_| !is_absolute).unwrap_or_else(root);
    let mut depth = 0u32;
    for part in path.split(|byte| *byte == b'/') {
        node = match (part, &node.kind) {
            (b"" | b".", _) => continue,
            (_, Kind::File { .. }) => return Err(Errno::ENOTDIR),
            (name, _) if name.len() > MAX_NAME => return Err(Errno::ENAMETOOLONG),
            (b"..", Kind::Directory { .. }) if beneath && depth == 0 => return Err(Errno::EXDEV),
            (b"..", Kind::Directory { parent, .. }) => {
                depth = depth.saturating_sub(1);
                parent.upgrade().unwrap_or(node)
            }
            (name, Kind::Directory { names, .. }) => {
                depth += 1;
                let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
                let found = names.borrow().get(name).cloned();
                found.ok_or(Errno::ENOENT)?
            }
        };
    }
    if path.last() == Some(&b'/') {
        node.names()?;
    }
    Ok(node)
}

/// The directory a path's last name is in, and that name.
fn parent_of(directory: Option<Rc<Node>>, path: &[u8]) -> Result<(Rc<Node>, String), Errno> {
    let cut = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (before, name) = path.split_at(cut);
    if name.len() > MAX_NAME {
        return Err(Errno::ENAMETOOLONG);
    }
    if matches!(name, b"" | b"." | b"..") {
        return Err(Errno::EINVAL);
    }
    let directory = look_up(directory, before)?;
    directory.names()?;
    let name = core::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
    Ok((directory, name.into()))
}

/// MKDIR.
pub fn make_directory(directory: Option<Rc<Node>>, path: &[u8], mode: u32) -> Result<(), Errno> {
    let (parent, name) = parent_of(directory, path)?;
    parent.add(name, || Node::new_directory(Rc::downgrade(&parent), mode)).map(drop)
}

/// REMOVE.
pub fn remove(directory: Option<Rc<Node>>, path: &[u8], flags: RemoveFlags) -> Result<(), Errno> {
    let (parent, name) = parent_of(directory, path)?;
    let removed = {
        let mut names = parent.names()?.borrow_mut();
        let node = names.get(&name).ok_or(Errno::ENOENT)?;
        match (&node.kind, flags.contains(RemoveFlags::DIRECTORY)) {
            (Kind::Directory { .. }, false) => return Err(Errno::EISDIR),
            (Kind::File { .. }, true) => return Err(Errno::ENOTDIR),
            (Kind::Directory { names, .. }, true) if !names.borrow().is_empty() => {
                return Err(Errno::ENOTEMPTY);
            }
            (Kind::Directory { removed, .. }, true) => removed.set(true),
            (Kind::File { .. }, false) => {}
        }
        names.remove(&name)
    };
    drop(removed);
    Ok(())
}

/// OPEN.
pub fn open(
    directory: Option<Rc<Node>>,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
) -> Result<Rc<dyn Object>, Errno> {
    let node = match walk(directory.clone(), path, flags.contains(OpenFlags::BENEATH)) {
        Ok(_) if flags.contains(OpenFlags::EXCLUSIVE) => return Err(Errno::EEXIST),
        Ok(node) => node,
        Err(Errno::ENOENT) if flags.contains(OpenFlags::CREATE) => {
            let (parent, name) = parent_of(directory, path)?;
            parent.add(name, || Node::new_file(mode))?
        }
        Err(error) => return Err(error),
    };
    match &node.kind {
        Kind::Directory { .. } if flags.intersects(OpenFlags::WRITE | OpenFlags::CREATE) => {
            return Err(Errno::EISDIR);
        }
        Kind::File { .. } if flags.contains(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
        Kind::File { .. } if flags.contains(OpenFlags::TRUNCATE) => node.resize(0)?,
        _ => {}
    }
    Ok(Rc::new(OpenNode { node, flags, position: Cell::new(0) }))
}

/// A file or directory that is open.
struct OpenNode {
    node: Rc<Node>,
    flags: OpenFlags,
    /// In bytes; of a directory, the names that are behind it.
    position: Cell<u64>,
}

impl OpenNode {
    /// The next piece of a transfer goes down to the device, or the transfer is over.
    fn go_on(self: Rc<Self>, packet: Packet, start: u64, whole: usize, write: bool) -> Fate {
        let Kind::File { blocks, .. } = &self.node.kind else { return packet.fail(Errno::EISDIR) };
        let at = start + packet.done as u64;
        let offset = (at % BLOCK as u64) as usize;
        let length = (BLOCK - offset).min(whole - packet.done);
        let block = blocks.borrow().get((at / BLOCK as u64) as usize).copied();
        match block {
            Some(number) if length > 0 => {
                packet.send_down(disk(), Request::Block { number, offset, length, write })
            }
            // The whole of it, or the file was cut meanwhile.
            _ => self.over(packet, Errno::OK),
        }
    }

    fn over(&self, packet: Packet, error: Errno) -> Fate {
        self.node.count(false);
        let result = packet.done as u64;
        packet.end(Ended { error, result, extra: 0 })
    }

    /// Where a transfer begins, which is noted in the packet's request, and how long it is.
    fn extent(&self, packet: &Packet) -> Option<(u64, usize, bool)> {
        match packet.request {
            Request::Read { position: Some(start), length } => Some((start, length, false)),
            Request::Write { position: Some(start) } => Some((start, packet.data.len(), true)),
            _ => None,
        }
    }
}

impl Object for OpenNode {
    fn start(self: Rc<Self>, mut packet: Packet) -> Fate {
        // Such a descriptor names the file, and has not opened it.
        if self.flags.contains(OpenFlags::PATH) {
            return packet.fail(Errno::EBADF);
        }
        let Kind::File { size, .. } = &self.node.kind else {
            return match packet.request {
                Request::Sync => packet.succeed(0),
                Request::Read { .. } => packet.fail(Errno::EISDIR),
                _ => packet.fail(Errno::EBADF),
            };
        };
        let (own, wanted, needs) = match packet.request {
            Request::Read { position, length } => (position, length, OpenFlags::READ),
            Request::Write { position } => (position, packet.data.len(), OpenFlags::WRITE),
            Request::Poll { events } => {
                let ready = events & (PollEvents::IN | PollEvents::OUT);
                return packet.succeed(ready.bits());
            }
            // The device has no cache.
            Request::Sync => return packet.succeed(0),
            _ => return packet.fail(Errno::EINVAL),
        };
        if !self.flags.contains(needs) {
            return packet.fail(Errno::EBADF);
        }
        let write = needs == OpenFlags::WRITE;
        let append = write && self.flags.contains(OpenFlags::APPEND);
        let start = if append { size.get() } else { own.unwrap_or(self.position.get()) };
        let whole = if write {
            let end = start.saturating_add(wanted as u64);
            if wanted > 0
                && end > size.get()
                && let Err(error) = self.node.resize(end)
            {
                return packet.fail(error);
            }
            wanted
        } else {
            wanted.min(size.get().saturating_sub(start) as usize)
        };
        if own.is_none() || append {
            self.position.set(start + whole as u64);
        }
        packet.request = if write {
            Request::Write { position: Some(start) }
        } else {
            Request::Read { position: Some(start), length: whole }
        };
        self.node.count(true);
        self.go_on(packet, start, whole, write)
    }

    fn came_back(self: Rc<Self>, mut packet: Packet, ended: Ended) -> Fate {
        packet.done += ended.result as usize;
        match self.extent(&packet) {
            Some((start, whole, write)) if ended.error.is_ok() => self.go_on(packet, start, whole, write),
            _ => self.over(packet, ended.error),
        }
    }

    fn take_back(&self, name: u64) -> Option<Packet> {
        disk().take_back(name)
    }

    fn describe(&self) -> (u32, u64, u64) {
        self.node.describe()
    }

    fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        if self.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let from = match whence {
            Whence::Start => 0,
            Whence::Current => self.position.get() as i64,
            Whence::End => self.node.describe().1 as i64,
        };
        let position = from.checked_add(offset).filter(|position| *position >= 0).ok_or(Errno::EINVAL)?;
        self.position.set(position as u64);
        Ok(position as u64)
    }

    fn list(&self, room: usize) -> Result<Vec<u8>, Errno> {
        if self.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let names = self.node.names()?.borrow();
        let parent = match &self.node.kind {
            Kind::Directory { parent, .. } => parent.upgrade(),
            Kind::File { .. } => None,
        };
        let (before, count) = (self.position.get(), names.len() + 2);
        let both = [(".", &self.node), ("..", parent.as_ref().unwrap_or(&self.node))];
        let all = both.into_iter().chain(names.iter().map(|(name, node)| (name.as_str(), node)));
        let mut records = Vec::new();
        for (place, (name, node)) in all.enumerate().skip(before as usize) {
            let next = place as u64 + 1;
            let length = (19 + name.len() + 1).next_multiple_of(8);
            if records.len() + length > room {
                break;
            }
            // As `struct linux_dirent64`: number, position behind it, length, type, name.
            let end = records.len() + length;
            records.extend_from_slice(&node.number.to_le_bytes());
            records.extend_from_slice(&next.to_le_bytes());
            records.extend_from_slice(&(length as u16).to_le_bytes());
            records.push((node.describe().0 >> 12) as u8);
            records.extend_from_slice(name.as_bytes());
            records.resize(end, 0);
            self.position.set(next);
        }
        if records.is_empty() && (before as usize) < count {
            return Err(Errno::EINVAL);
        }
        Ok(records)
    }

    fn truncate(&self, length: u64) -> Result<(), Errno> {
        if self.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        if !self.flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EINVAL);
        }
        self.node.resize(length)
    }

    fn directory(&self) -> Option<Rc<Node>> {
        self.node.names().ok().map(|_| self.node.clone())
    }
}

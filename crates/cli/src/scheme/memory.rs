//! `ouzel serve mem:`: files in memory, which all clients of the service share, and which are gone with it.
//!
//! A tree of directories and files behind one cell, on the server's thread: every verb is over at once. What is open stays
//! as long as somebody has it open, also without a name. Every byte of contents and every name counts against one limit, so clients
//! cannot make it grow without end. Nothing here touches a file system.

mod contents;
mod times;
mod tree;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ouzel::abi::modifiers::{OpenFlags, RemoveFlags, RenameFlags, StatFlags, SyncMode, Whence};
use ouzel::abi::{Errno, Verb};
use ouzel::scheme::{At, Bytes, Position, Simple, VerbSet};

use super::record;
use tree::{Kind, Node, Tree};

/// How many bytes there may be if nobody says otherwise.
pub const BYTES: u64 = 64 << 20;

/// The verbs that are answered.
pub const VERBS: VerbSet = VerbSet::of(&[
    Verb::Open,
    Verb::Close,
    Verb::Read,
    Verb::Write,
    Verb::Seek,
    Verb::Stat,
    Verb::Sync,
    Verb::Truncate,
    Verb::Readdir,
    Verb::Mkdir,
    Verb::Remove,
    Verb::Rename,
]);

/// The most bytes that one READ, WRITE or READDIR moves.
const MOST: usize = 1 << 20;

/// Files in memory, for one connection; a clone is another connection's.
#[derive(Clone, Debug)]
pub struct Memory(Rc<RefCell<Tree>>);

/// A file or directory, open at a client's.
#[derive(Debug)]
pub struct Opened {
    node: Node,
    flags: OpenFlags,
    /// Of a directory: behind which entry the next READDIR goes on.
    position: Cell<u64>,
}

impl Memory {
    /// An empty tree that may have so many bytes.
    pub fn new(bytes: u64) -> Memory {
        Memory(Rc::new(RefCell::new(Tree::new(bytes))))
    }

    fn start(&self, at: At<'_, Opened>) -> Node {
        at.map_or_else(|| self.0.borrow().root(), |opened| Rc::clone(&opened.node))
    }

    fn file(opened: &Opened, need: OpenFlags) -> Result<(), Errno> {
        if !opened.flags.contains(need) || opened.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        if opened.node.borrow().is_directory() { Err(Errno::EISDIR) } else { Ok(()) }
    }
}

impl Simple for Memory {
    type File = Opened;

    fn open(&self, at: At<'_, Opened>, path: &[u8], flags: OpenFlags, mode: u32) -> Result<Opened, Errno> {
        let mut tree = self.0.borrow_mut();
        let start = at.map_or_else(|| tree.root(), |opened| Rc::clone(&opened.node));
        let names_only = flags.contains(OpenFlags::PATH);
        let node = match tree.find(&start, path) {
            Ok(_) if flags.contains(OpenFlags::EXCLUSIVE) && !names_only => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) if flags.contains(OpenFlags::CREATE) && !names_only => {
                tree.make(&start, path, Kind::file(), mode as u16)?
            }
            found => found?,
        };
        let is_directory = node.borrow().is_directory();
        if flags.contains(OpenFlags::DIRECTORY) && !is_directory {
            return Err(Errno::ENOTDIR);
        }
        if !names_only {
            if is_directory && flags.intersects(OpenFlags::WRITE | OpenFlags::CREATE) {
                return Err(Errno::EISDIR);
            }
            if flags.contains(OpenFlags::TRUNCATE) {
                tree.resize(&node, 0)?;
            }
        }
        Ok(Opened { node, flags, position: Cell::new(0) })
    }

    fn close(&self, file: Rc<Opened>) -> Result<(), Errno> {
        drop(file);
        Ok(())
    }

    fn read(&self, file: &Opened, into: &Bytes, position: Position) -> Result<u64, Errno> {
        Memory::file(file, OpenFlags::READ)?;
        let from = position.unwrap_or(file.position.get());
        let node = file.node.borrow();
        let contents = node.contents().ok_or(Errno::EISDIR)?;
        let mut done = 0;
        for part in contents.read(from, into.len().min(MOST)) {
            done += into.copy_from(done, part);
        }
        let read = done as u64;
        if position.is_none() {
            file.position.set(from + read);
        }
        Ok(read)
    }

    fn write(&self, file: &Opened, from: &Bytes, position: Position) -> Result<u64, Errno> {
        Memory::file(file, OpenFlags::WRITE)?;
        if from.is_empty() {
            return Ok(0);
        }
        let mut data = vec![0; from.len().min(MOST)];
        from.copy_to(0, &mut data);
        let to = match position {
            _ if file.flags.contains(OpenFlags::APPEND) => file.node.borrow().length(),
            Some(to) => to,
            None => file.position.get(),
        };
        self.0.borrow_mut().write(&file.node, to, &data)?;
        if position.is_none() {
            file.position.set(to + data.len() as u64);
        }
        Ok(data.len() as u64)
    }

    fn seek(&self, file: &Opened, offset: i64, whence: Whence) -> Result<u64, Errno> {
        if file.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let base = match whence {
            Whence::Start => 0,
            Whence::Current => file.position.get(),
            Whence::End => file.node.borrow().length(),
        };
        let to = base.checked_add_signed(offset).filter(|to| *to <= i64::MAX as u64).ok_or(Errno::EINVAL)?;
        file.position.set(to);
        Ok(to)
    }

    fn stat(&self, at: At<'_, Opened>, path: Option<&[u8]>, into: &Bytes, _: StatFlags) -> Result<(), Errno> {
        let mut node = self.start(at);
        if let Some(path) = path {
            node = self.0.borrow().find(&node, path)?;
        }
        let node = node.borrow();
        let (mode, links) =
            if node.is_directory() { (0o040_000, 2) } else { (0o100_000, u32::from(node.is_linked())) };
        let mut filled = record::any(node.number(), mode | node.permissions(), links, node.length());
        let times = node.times();
        record::set_times(&mut filled, times.modified(), times.changed());
        into.copy_from(0, &filled);
        Ok(())
    }

    fn sync(&self, _: &Opened, _: SyncMode, _: u64, _: u64) -> Result<(), Errno> {
        // There is nothing that would last longer.
        Ok(())
    }

    fn truncate(&self, file: &Opened, length: u64) -> Result<(), Errno> {
        if !file.flags.contains(OpenFlags::WRITE) || file.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EINVAL);
        }
        self.0.borrow_mut().resize(&file.node, length)
    }

    fn mkdir(&self, at: At<'_, Opened>, path: &[u8], mode: u32) -> Result<(), Errno> {
        let start = self.start(at);
        self.0.borrow_mut().make(&start, path, Kind::directory(), mode as u16).map(drop)
    }

    fn remove(&self, at: At<'_, Opened>, path: &[u8], flags: RemoveFlags) -> Result<(), Errno> {
        let start = self.start(at);
        self.0.borrow_mut().remove(&start, path, flags.contains(RemoveFlags::DIRECTORY))
    }

    fn rename(
        &self,
        from: At<'_, Opened>,
        old: &[u8],
        to: At<'_, Opened>,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        if flags.contains(RenameFlags::EXCHANGE) {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (self.start(from), self.start(to));
        self.0.borrow_mut().rename((&from, old), (&to, new), flags.contains(RenameFlags::NOREPLACE))
    }

    fn readdir(&self, file: &Opened, into: &Bytes) -> Result<u64, Errno> {
        if file.flags.contains(OpenFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let node = file.node.borrow();
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let room = into.len().min(MOST);
        let (mut filled, mut position) = (0, file.position.get());
        for (place, name, child) in node.entries(position) {
            let child = child.borrow();
            let kind = if child.is_directory() { 4 } else { 8 };
            let entry = entry(child.number(), place, kind, name);
            if filled + entry.len() > room {
                if filled == 0 {
                    return Err(Errno::EINVAL);
                }
                break;
            }
            filled += into.copy_from(filled, &entry);
            position = place;
        }
        file.position.set(position);
        Ok(filled as u64)
    }
}

/// A record of READDIR: the layout of `struct linux_dirent64`.
fn entry(number: u64, place: u64, kind: u8, name: &[u8]) -> Vec<u8> {
    let length = (19 + name.len() + 1).next_multiple_of(8);
    let mut entry = Vec::with_capacity(length);
    entry.extend_from_slice(&number.to_ne_bytes());
    entry.extend_from_slice(&place.to_ne_bytes());
    entry.extend_from_slice(&(length as u16).to_ne_bytes());
    entry.push(kind);
    entry.extend_from_slice(name);
    entry.resize(length, 0);
    entry
}

//! What is done to a file as a whole in the simulated machine: SEEK, STAT, SYNC, TRUNCATE, ALLOCATE and READDIR.
//!
//! Each is over at once: nothing here waits, and nothing moves bytes but the records of STAT and READDIR.

use crate::backend::memory;
use ouzel_engine::{Path, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{AllocateFlags, OpenFlags, StatFlags, SyncMode, Whence};

use super::pages::PAGE;
use super::record::{self, Description};
use super::tree::{FIRST_COOKIE, Kind, ROOT};
use super::world::{Object, Subject, World};

impl World {
    pub(super) fn seek(&mut self, subject: Subject, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let (id, object, _) = self.usable(subject)?;
        let Object::Inode(number) = object else { return Err(Errno::ESPIPE) };
        let position = self.open.get(&id).map_or(0, |description| description.position);
        let (base, most) = match &self.tree.inode(number)?.kind {
            Kind::File(pages) => {
                (if whence == Whence::End { pages.size() } else { position }, self.largest_file)
            }
            _ if whence == Whence::End => return Err(Errno::EINVAL),
            _ => (position, i64::MAX as u64),
        };
        let base = if whence == Whence::Start { 0 } else { base };
        let target = base.checked_add_signed(offset).filter(|target| *target <= most).ok_or(Errno::EINVAL)?;
        if let Some(description) = self.open.get_mut(&id) {
            description.position = target;
        }
        Ok(target)
    }

    pub(super) fn stat(
        &mut self,
        subject: Subject,
        path: Option<Path>,
        record: Span,
        flags: StatFlags,
    ) -> Result<(), Errno> {
        let object = match path {
            Some(path) => {
                let start = self.start_of(subject)?;
                let follow = !flags.contains(StatFlags::NOFOLLOW);
                Object::Inode(self.tree.resolve(start, &memory::path(path), follow)?)
            }
            None if subject == Subject::None => Object::Inode(ROOT),
            None => self.description(subject)?.1.object,
        };
        let description = match object {
            Object::Inode(number) => self.describe(number)?,
            Object::Reader(id) | Object::Writer(id) | Object::Both(id) => match self.fifo_of(id) {
                Some(number) => self.describe(number)?,
                None => {
                    Description { mode: record::FIFO | 0o600, links: 1, inode: id, ..Description::default() }
                }
            },
            Object::Socket(id) => {
                Description { mode: record::SOCKET | 0o777, links: 1, inode: id, ..Description::default() }
            }
            // They have no inode of their own.
            Object::Process(_) | Object::Bell(_) => {
                Description { mode: 0o600, links: 1, ..Description::default() }
            }
        };
        memory::fill(record, 0, &description.record());
        Ok(())
    }

    fn describe(&self, number: u64) -> Result<Description, Errno> {
        let inode = self.tree.inode(number)?;
        let (size, blocks) = match &inode.kind {
            Kind::File(pages) => (pages.size(), pages.count() * (PAGE / 512)),
            Kind::Directory(_) => (PAGE, PAGE / 512),
            Kind::Symlink(target) => (target.len() as u64, 0),
            Kind::Socket(_) | Kind::Fifo(_) | Kind::Device { .. } => (0, 0),
        };
        Ok(Description {
            mode: self.file_type(number) | inode.mode,
            links: inode.links,
            user: inode.user,
            group: inode.group,
            inode: number,
            size,
            blocks,
            accessed: inode.accessed,
            born: inode.born,
            changed: inode.changed,
            modified: inode.modified,
            device: match inode.kind {
                Kind::Device { number, .. } => number,
                _ => 0,
            },
        })
    }

    fn file_type(&self, number: u64) -> u32 {
        match self.tree.inode(number).map(|inode| &inode.kind) {
            Ok(Kind::Directory(_)) => record::DIRECTORY,
            Ok(Kind::Symlink(_)) => record::SYMLINK,
            Ok(Kind::Socket(_)) => record::SOCKET,
            Ok(Kind::Fifo(_)) => record::FIFO,
            Ok(Kind::Device { character: true, .. }) => record::CHARACTER,
            Ok(Kind::Device { .. }) => record::BLOCK_DEVICE,
            Ok(Kind::File(_)) | Err(_) => record::REGULAR,
        }
    }

    pub(super) fn sync(
        &self,
        subject: Subject,
        mode: SyncMode,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let (_, object, _) = self.usable(subject)?;
        if mode == SyncMode::Range {
            let end = offset.saturating_add(length);
            if offset > i64::MAX as u64 || end > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
        }
        match (object, mode) {
            (Object::Inode(_), _) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn truncate(&mut self, subject: Subject, length: u64) -> Result<(), Errno> {
        if length > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        let (_, object, flags) = self.usable(subject)?;
        let Object::Inode(number) = object else { return Err(Errno::EINVAL) };
        if self.tree.is_directory(number) || !flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EINVAL);
        }
        if length > self.largest_file {
            return Err(Errno::EFBIG);
        }
        self.tree.with_pages(number, |pages, _| pages.resize(length))?;
        self.tree.modify(number);
        Ok(())
    }

    pub(super) fn allocate(
        &mut self,
        subject: Subject,
        offset: u64,
        length: u64,
        flags: AllocateFlags,
    ) -> Result<(), Errno> {
        let (_, object, open) = self.usable(subject)?;
        if offset > i64::MAX as u64 || length == 0 || length > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        if !open.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF);
        }
        let number = match object {
            Object::Inode(number) => number,
            Object::Socket(_) => return Err(Errno::ENODEV),
            _ => return Err(Errno::ESPIPE),
        };
        let end = offset.checked_add(length).filter(|end| *end <= self.largest_file).ok_or(Errno::EFBIG)?;
        if flags.contains(AllocateFlags::PUNCH_HOLE) {
            self.tree.with_pages(number, |pages, _| pages.punch(offset, length))?;
        } else {
            let keep = flags.contains(AllocateFlags::KEEP_SIZE);
            self.tree.with_pages(number, |pages, free| {
                if pages.missing(offset, length) > free {
                    return Err(Errno::ENOSPC);
                }
                pages.reserve(offset, length);
                if !keep && end > pages.size() {
                    pages.resize(end);
                }
                Ok(())
            })??;
        }
        self.tree.modify(number);
        Ok(())
    }

    pub(super) fn readdir(&mut self, subject: Subject, buffer: Span) -> Result<u64, Errno> {
        let (id, object, _) = self.usable(subject)?;
        let Object::Inode(number) = object else { return Err(Errno::ENOTDIR) };
        let directory = self.tree.directory(number)?;
        if directory.dead {
            return Err(Errno::ENOENT);
        }
        let first = self.open.get(&id).map_or(0, |description| description.position);
        let mut position = first;
        let dots = [(0, b".".as_slice(), number), (1, b"..".as_slice(), directory.parent)];
        let names = dots
            .into_iter()
            .filter(|(cookie, ..)| *cookie >= first)
            .chain(directory.list(first.max(FIRST_COOKIE)));
        let mut records = Vec::new();
        let mut more = false;
        for (cookie, name, inode) in names {
            let kind = self.file_type(inode);
            more = !record::append_name(&mut records, buffer.length, inode, cookie + 1, kind, name);
            if more {
                break;
            }
            position = cookie + 1;
        }
        if records.is_empty() && more {
            return Err(Errno::EINVAL);
        }
        if let Some(description) = self.open.get_mut(&id) {
            description.position = position;
        }
        Ok(memory::fill(buffer, 0, &records) as u64)
    }
}

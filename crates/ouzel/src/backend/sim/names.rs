//! The verbs that work on names: OPEN's resolution, MKDIR, REMOVE, RENAME, LINK and SYMLINK.
//!
//! Which error wins when several apply is Linux's choice (`fs/namei.c`), checked by a test that asks the kernel. Each
//! verb does everything or nothing.

use ouzel_ring::Errno;
use ouzel_ring::modifiers::{LinkFlags, OpenFlags, RemoveFlags, RenameFlags};

use super::pages::Pages;
use super::path::Last;
use super::tree::{Kind, Tree};

impl Tree {
    /// Finds or makes the file that an OPEN names.
    pub(super) fn open(
        &mut self,
        start: u64,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<u64, Errno> {
        // As for `O_PATH`, the flags that would do something to the file count for nothing.
        let flags = if flags.contains(OpenFlags::PATH) {
            flags & (OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::BENEATH)
        } else {
            flags
        };
        let create = flags.contains(OpenFlags::CREATE);
        if create && flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::EINVAL);
        }
        let exclusive = create && flags.contains(OpenFlags::EXCLUSIVE);
        let follow = !exclusive && !flags.contains(OpenFlags::NOFOLLOW);
        let mut walked = self.walk_bounded(start, path, flags.contains(OpenFlags::BENEATH))?;
        let number = loop {
            if create && walked.slashes && matches!(walked.last, Last::Name(_)) {
                return Err(Errno::EISDIR);
            }
            let found = if follow || (walked.slashes && !create) {
                match self.pass(&walked)? {
                    Ok(next) => {
                        walked = next;
                        continue;
                    }
                    Err(found) => found,
                }
            } else {
                self.last_of(&walked)?
            };
            match (found, &walked.last) {
                (Some(number), _) => break number,
                (None, Last::Name(name)) if create => {
                    return self.create(walked.parent, name, Kind::File(Pages::default()), mode & 0o7777);
                }
                (None, _) => return Err(Errno::ENOENT),
            }
        };
        let directory = self.is_directory(number);
        if exclusive {
            return Err(Errno::EEXIST);
        }
        if create && directory {
            return Err(Errno::EISDIR);
        }
        if !directory && (walked.slashes || flags.contains(OpenFlags::DIRECTORY)) {
            return Err(Errno::ENOTDIR);
        }
        if flags.contains(OpenFlags::PATH) {
            return Ok(number);
        }
        match self.inode(number)?.kind {
            Kind::Symlink(_) => return Err(Errno::ELOOP),
            Kind::Directory(_) if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) => {
                return Err(Errno::EISDIR);
            }
            Kind::Socket(_) | Kind::Device { .. } => return Err(Errno::ENXIO),
            // What has no length is not emptied.
            Kind::Fifo(_) => return Ok(number),
            _ => {}
        }
        if flags.contains(OpenFlags::TRUNCATE) {
            self.with_pages(number, |pages, _| pages.resize(0))?;
            self.modify(number);
        }
        Ok(number)
    }

    /// Sets the times that a change of a file's bytes sets.
    pub(super) fn modify(&mut self, number: u64) {
        let now = self.instant();
        if let Ok(inode) = self.inode_mut(number) {
            inode.modified = now;
            inode.changed = now;
        }
    }

    pub(super) fn mkdir(&mut self, start: u64, path: &[u8], mode: u32) -> Result<(), Errno> {
        let (parent, name) = self.place(start, path, true)?;
        self.create_directory(parent, &name, mode & 0o1777)?;
        Ok(())
    }

    pub(super) fn remove(&mut self, start: u64, path: &[u8], flags: RemoveFlags) -> Result<(), Errno> {
        let directory = flags.contains(RemoveFlags::DIRECTORY);
        let walked = self.walk(start, path)?;
        let name = match walked.last {
            Last::Name(name) => name,
            _ if !directory => return Err(Errno::EISDIR),
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        };
        let number = self.find(walked.parent, &name)?.ok_or(Errno::ENOENT)?;
        match (self.directory(number), directory) {
            (Ok(found), true) if !found.is_empty() => return Err(Errno::ENOTEMPTY),
            (Ok(_), false) => return Err(Errno::EISDIR),
            (Err(_), true) => return Err(Errno::ENOTDIR),
            (Err(_), false) if walked.slashes => return Err(Errno::ENOTDIR),
            _ => {}
        }
        self.unlink(walked.parent, &name, number)
    }

    pub(super) fn move_name(
        &mut self,
        from: u64,
        old: &[u8],
        to: u64,
        new: &[u8],
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let no_replace = flags.contains(RenameFlags::NOREPLACE);
        if exchange && no_replace {
            return Err(Errno::EINVAL);
        }
        let source = self.walk(from, old)?;
        let target = self.walk(to, new)?;
        let Last::Name(source_name) = source.last else { return Err(Errno::EBUSY) };
        let Last::Name(target_name) = target.last else {
            return Err(if no_replace { Errno::EEXIST } else { Errno::EBUSY });
        };
        let number = self.find(source.parent, &source_name)?.ok_or(Errno::ENOENT)?;
        let replaced = self.find(target.parent, &target_name)?;
        let directory = self.is_directory(number);
        match replaced {
            Some(_) if no_replace => return Err(Errno::EEXIST),
            None if exchange => return Err(Errno::ENOENT),
            Some(other) if exchange && target.slashes && !self.is_directory(other) => {
                return Err(Errno::ENOTDIR);
            }
            _ => {}
        }
        if !directory && (source.slashes || (!exchange && target.slashes)) {
            return Err(Errno::ENOTDIR);
        }
        if self.child_towards(source.parent, target.parent) == Some(number) || target.parent == number {
            return Err(Errno::EINVAL);
        }
        if let Some(other) = replaced
            && (self.child_towards(target.parent, source.parent) == Some(other) || source.parent == other)
        {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if replaced == Some(number) {
            return Ok(());
        }
        let Some(other) = replaced else {
            if self.directory(target.parent)?.dead {
                return Err(Errno::ENOENT);
            }
            return self.rename((source.parent, &source_name), (target.parent, &target_name), number);
        };
        if exchange {
            return self
                .exchange((source.parent, &source_name, number), (target.parent, &target_name, other));
        }
        match (directory, self.directory(other)) {
            (true, Err(_)) => return Err(Errno::ENOTDIR),
            (false, Ok(_)) => return Err(Errno::EISDIR),
            (true, Ok(found)) if !found.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        self.rename((source.parent, &source_name), (target.parent, &target_name), number)
    }

    pub(super) fn link_path(
        &mut self,
        from: u64,
        old: &[u8],
        to: u64,
        new: &[u8],
        flags: LinkFlags,
    ) -> Result<(), Errno> {
        let number = self.resolve(from, old, flags.contains(LinkFlags::FOLLOW))?;
        self.link_number(number, to, new)
    }

    /// As [`Tree::link_path`], of what has this number.
    pub(super) fn link_number(&mut self, number: u64, to: u64, new: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.place(to, new, false)?;
        if self.directory(parent)?.dead {
            return Err(Errno::ENOENT);
        }
        if self.is_directory(number) {
            return Err(Errno::EPERM);
        }
        self.link(parent, &name, number)
    }

    pub(super) fn symlink(&mut self, target: &[u8], start: u64, path: &[u8]) -> Result<(), Errno> {
        if target.is_empty() {
            return Err(Errno::ENOENT);
        }
        let (parent, name) = self.place(start, path, false)?;
        let number = self.create(parent, &name, Kind::Symlink(target.to_vec()), 0o777)?;
        self.inode_mut(number)?.mode = 0o777;
        Ok(())
    }
}

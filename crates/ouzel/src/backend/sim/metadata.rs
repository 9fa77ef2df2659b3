//! What files are besides their bytes in the simulated machine: READLINK, CHMOD, CHOWN, UTIMES, MKNOD, STATFS, ACCESS
//! and extended attributes; and the pipes that have names.
//!
//! Each is over at once and does everything or nothing. The process is root here, so that permissions are ignored but
//! for what root may not either: execute what nobody may.

use std::collections::btree_map::Entry;

use crate::backend::memory;
use crate::backend::metadata::FileSystem;
use ouzel_engine::{Operation, Path, Span, Times};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AtFlags, MountFlags, NodeKind, OpenFlags, TIME_NOW, TIME_OMIT, XattrFlags,
};

use super::pages::{PAGE, Pages};
use super::pipe::Pipe;
use super::tree::{Inode, Instant, Kind, NAME_LENGTH, ROOT, SET_GROUP, Tree};
use super::world::{Object, Subject, World};

/// What STATFS says the file system is: "sim" in ASCII.
const FILE_SYSTEM: u64 = 0x0073_696d;
/// The files it says there may be.
const FILES: u64 = 1 << 32;
/// The bit of a mode that gives a program its user (`S_ISUID`).
const SET_USER: u32 = 0o4000;
/// Who is allowed to execute a file, in its mode.
const EXECUTABLE: u32 = 0o111;

impl World {
    /// Does one of the verbs named above; ENOSYS if it is another.
    pub(super) fn metadata(&mut self, operation: &Operation, subject: Subject) -> Result<u64, Errno> {
        match *operation {
            Operation::Readlink { path, buffer, .. } => {
                // A name is enough: symbolic links cannot be opened in any other way.
                let number = self.named_or_open(subject, path, false, true)?.ok_or(Errno::EINVAL)?;
                let Kind::Symlink(target) = &self.tree.inode(number)?.kind else {
                    return Err(Errno::EINVAL);
                };
                hand_out(buffer, target)
            }
            Operation::Chmod { path, mode, .. } => {
                let number = self.changed(subject, path, true)?;
                if matches!(self.tree.inode(number)?.kind, Kind::Symlink(_)) {
                    return Err(Errno::EOPNOTSUPP);
                }
                self.tree.change(number)?.mode = mode;
                Ok(0)
            }
            Operation::Chown { path, user, group, flags, .. } => {
                let number = self.changed(subject, path, !flags.contains(AtFlags::NOFOLLOW))?;
                self.tree.change(number)?.belong(user, group);
                Ok(0)
            }
            Operation::Utimes { times, .. } if times.nanoseconds.map(u64::from) == [TIME_OMIT; 2] => Ok(0),
            Operation::Utimes { path, times, follow, .. } => {
                let number = self.changed(subject, path, follow)?;
                self.tree.set_times(number, times)?;
                Ok(0)
            }
            Operation::Mknod { path, kind, mode, device, .. } => {
                let start = self.start_of(subject)?;
                let (parent, name) = self.tree.place(start, &memory::path(path), false)?;
                let kind = match kind {
                    NodeKind::Regular => Kind::File(Pages::default()),
                    NodeKind::Fifo => Kind::Fifo(None),
                    NodeKind::Socket => Kind::Socket(None),
                    NodeKind::Character => Kind::Device { character: true, number: device },
                    NodeKind::Block => Kind::Device { character: false, number: device },
                };
                self.tree.create(parent, &name, kind, mode)?;
                Ok(0)
            }
            Operation::Statfs { path, record, .. } => {
                self.named_or_open(subject, path, true, true)?;
                memory::fill(record, 0, &self.file_system().record());
                Ok(0)
            }
            Operation::Access { path, access, options, .. } => {
                let follow = !options.contains(AccessOptions::NOFOLLOW);
                let number = self.named_or_open(subject, path, follow, true)?;
                if access.contains(AccessFlags::EXECUTE) {
                    match number {
                        Some(number) if self.tree.is_directory(number) => {}
                        Some(number) if self.tree.inode(number)?.mode & EXECUTABLE != 0 => {}
                        _ => return Err(Errno::EACCES),
                    }
                }
                Ok(0)
            }
            Operation::GetXattr { attribute, value, flags, .. } => {
                let number = self.attributed(subject, attribute.path(), flags)?;
                let name = memory::path(attribute.name());
                let attributes = self.tree.attributes_for(number, &name, Errno::ENODATA)?;
                hand_out(value, attributes.get(&name).ok_or(Errno::ENODATA)?)
            }
            Operation::SetXattr { attribute, value, flags, .. } => {
                let number = self.attributed(subject, attribute.path(), flags)?;
                let name = memory::path(attribute.name());
                let attributes = self.tree.attributes_for(number, &name, Errno::EPERM)?;
                match attributes.entry(name) {
                    Entry::Occupied(_) if flags.contains(XattrFlags::CREATE) => return Err(Errno::EEXIST),
                    Entry::Vacant(_) if flags.contains(XattrFlags::REPLACE) => return Err(Errno::ENODATA),
                    Entry::Occupied(mut entry) => drop(entry.insert(memory::bytes(value))),
                    Entry::Vacant(entry) => drop(entry.insert(memory::bytes(value))),
                }
                self.tree.touch(number);
                Ok(0)
            }
            Operation::ListXattr { path, buffer, flags, .. } => {
                let Some(number) = self.attributed(subject, path, flags)? else { return Ok(0) };
                let mut names = Vec::new();
                for name in self.tree.inode(number)?.attributes.keys() {
                    names.extend_from_slice(name);
                    names.push(0);
                }
                hand_out(buffer, &names)
            }
            Operation::RemoveXattr { attribute, flags, .. } => {
                let number = self.attributed(subject, attribute.path(), flags)?;
                let name = memory::path(attribute.name());
                let attributes = self.tree.attributes_for(number, &name, Errno::EPERM)?;
                attributes.remove(&name).ok_or(Errno::ENODATA)?;
                self.tree.touch(number);
                Ok(0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    /// The inode that a path names or that is open, if what is open has one. `names` says whether it is enough that the
    /// descriptor only names its file.
    pub(super) fn named_or_open(
        &self,
        subject: Subject,
        path: Option<Path>,
        follow: bool,
        names: bool,
    ) -> Result<Option<u64>, Errno> {
        // The empty path is what is open, and a name is enough.
        let names = names || path.is_some_and(|path| path.is_empty());
        let object = match path.filter(|path| !path.is_empty()) {
            Some(path) => {
                let start = self.start_of(subject)?;
                return self.tree.resolve(start, &memory::path(path), follow).map(Some);
            }
            None if subject == Subject::None => return Ok(Some(ROOT)),
            None if names => self.description(subject)?.1.object,
            None => self.usable(subject)?.1,
        };
        Ok(match object {
            Object::Inode(number) => Some(number),
            Object::Reader(pipe) | Object::Writer(pipe) | Object::Both(pipe) => self.fifo_of(pipe),
            Object::Socket(_) | Object::Process(_) | Object::Bell(_) => None,
        })
    }

    /// As [`World::named_or_open`], to be changed, for which a name is enough: pipes and sockets without a name cannot be.
    fn changed(&self, subject: Subject, path: Option<Path>, follow: bool) -> Result<u64, Errno> {
        self.named_or_open(subject, path, follow, true)?.ok_or(Errno::EOPNOTSUPP)
    }

    fn attributed(
        &self,
        subject: Subject,
        path: Option<Path>,
        flags: XattrFlags,
    ) -> Result<Option<u64>, Errno> {
        self.named_or_open(subject, path, !flags.contains(XattrFlags::NOFOLLOW), false)
    }

    fn file_system(&self) -> FileSystem {
        FileSystem {
            kind: FILE_SYSTEM,
            block: PAGE,
            blocks: self.tree.pages(),
            free: self.tree.free(),
            available: self.tree.free(),
            files: FILES,
            free_files: FILES.saturating_sub(self.tree.files()),
            transfer: PAGE,
            longest_name: NAME_LENGTH as u32,
            flags: MountFlags::empty(),
        }
    }

    /// The inode of a pipe that has a name.
    pub(super) fn fifo_of(&self, pipe: u64) -> Option<u64> {
        self.pipes.get(&pipe)?.inode
    }

    /// What an OPEN with these flags gives of an inode: the inode, or what is behind a pipe with a name.
    pub(super) fn object_behind(&mut self, number: u64, flags: OpenFlags) -> Result<Object, Errno> {
        let Kind::Fifo(behind) = self.tree.inode(number)?.kind else { return Ok(Object::Inode(number)) };
        if flags.contains(OpenFlags::PATH) {
            return Ok(Object::Inode(number));
        }
        let (read, write) = (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE));
        let readers = behind.and_then(|pipe| self.pipes.get(&pipe)).map_or(0, |pipe| pipe.readers);
        if !read && readers == 0 {
            return Err(Errno::ENXIO);
        }
        let pipe = match behind {
            Some(pipe) => pipe,
            None => {
                self.next += 1;
                let pipe = self.next;
                self.pipes.insert(pipe, Pipe::named(number));
                self.tree.inode_mut(number)?.kind = Kind::Fifo(Some(pipe));
                pipe
            }
        };
        Ok(match (read, write) {
            (true, true) => Object::Both(pipe),
            (true, false) => Object::Reader(pipe),
            _ => Object::Writer(pipe),
        })
    }
}

impl Tree {
    /// The inode, whose change now is noted.
    fn change(&mut self, number: u64) -> Result<&mut Inode, Errno> {
        let now = self.instant();
        let inode = self.inode_mut(number)?;
        inode.changed = now;
        Ok(inode)
    }

    /// Notes a change, if there is something that changed.
    fn touch(&mut self, number: Option<u64>) {
        let _ = number.map(|number| self.change(number).map(drop));
    }

    fn set_times(&mut self, number: u64, times: Times) -> Result<(), Errno> {
        let now = self.instant();
        let inode = self.change(number)?;
        for (place, (seconds, nanoseconds)) in [&mut inode.accessed, &mut inode.modified]
            .into_iter()
            .zip(times.seconds.into_iter().zip(times.nanoseconds))
        {
            *place = match u64::from(nanoseconds) {
                TIME_OMIT => *place,
                TIME_NOW => now,
                _ => Instant::from(seconds) * 1_000_000_000 + Instant::from(nanoseconds),
            };
        }
        Ok(())
    }

    /// The attributes of a file that may have one of this name, if it is of a class that exists. `refused` is the error
    /// for those of the user on what cannot have any.
    fn attributes_for(
        &mut self,
        number: Option<u64>,
        name: &[u8],
        refused: Errno,
    ) -> Result<&mut std::collections::BTreeMap<Vec<u8>, Vec<u8>>, Errno> {
        let classes: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
        let class = classes.into_iter().find(|class| name.starts_with(class)).ok_or(Errno::EOPNOTSUPP)?;
        let of_user = class == b"user.";
        let inode = match number {
            Some(number) => self.inode_mut(number)?,
            None if of_user => return Err(refused),
            None => return Err(Errno::EOPNOTSUPP),
        };
        if of_user && !matches!(inode.kind, Kind::File(_) | Kind::Directory(_)) {
            return Err(refused);
        }
        if name.len() == class.len() {
            return Err(Errno::EINVAL);
        }
        Ok(&mut inode.attributes)
    }
}

impl Inode {
    /// Gives it to somebody else. A program loses what it would have run with.
    fn belong(&mut self, user: Option<u32>, group: Option<u32>) {
        self.user = user.unwrap_or(self.user);
        self.group = group.unwrap_or(self.group);
        if !matches!(self.kind, Kind::Directory(_)) {
            self.mode &= !SET_USER;
            if self.mode & 0o010 != 0 {
                self.mode &= !SET_GROUP;
            }
        }
    }
}

/// Fills `buffer`, if there is one, with all of `bytes`; says how many they are.
fn hand_out(buffer: Span, bytes: &[u8]) -> Result<u64, Errno> {
    if buffer.length > 0 {
        if bytes.len() > buffer.length {
            return Err(Errno::ERANGE);
        }
        memory::fill(buffer, 0, bytes);
    }
    Ok(bytes.len() as u64)
}

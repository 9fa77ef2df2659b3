//! Mounts: what may be done without waiting on the file system that an object lies on, and opening there.
//!
//! A FUSE or network file system may wait for somebody in every call, one on a disk or in memory in few. Which it is, is
//! asked of a directory once, when something is first opened in it. What is opened in it without leaving its mount
//! (RESOLVE_NO_XDEV) lies on the same file system, so nothing has to be asked of that. Only what the kernel has in its
//! cache is opened here (RESOLVE_CACHED), as the ring does at its first try.

use std::os::fd::{OwnedFd, RawFd};

use ouzel_engine::{Directory, Path};
use ouzel_uring::abi::AT_FDCWD;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io;

use super::table::Habit;
use super::{Uring, memory};

/// What opening came to: the object, and what is known of its mount.
pub(super) type Opened = io::Result<(OwnedFd, Habit)>;

impl Uring {
    /// Opens a name that the cache knows, beneath its directory if that is asked for. `None` if there is no such directory
    /// or name.
    #[inline]
    pub(super) fn open_cached(
        &mut self,
        directory: Directory,
        path: &Path,
        bits: OFlags,
        beneath: bool,
    ) -> Option<Opened> {
        let name = memory::path_at(path).ok()?;
        let (from, mount) = match directory {
            None => (AT_FDCWD, Habit::New),
            // A name from the root does not begin in the directory.
            Some(index) if name.to_bytes().first() == Some(&b'/') => (self.number(index).ok()?, Habit::New),
            Some(index) if self.table.get(index)?.crossed => (self.number(index).ok()?, Habit::New),
            Some(index) => (self.number(index).ok()?, self.mount_of(index)),
        };
        let from = memory::borrow(from);
        let mut resolve = ResolveFlags::CACHED;
        if beneath {
            resolve |= ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        }
        if matches!(mount, Habit::Prompt | Habit::Memory) {
            self.count_call();
            match rustix::fs::openat2(from, name, bits, Mode::empty(), resolve | ResolveFlags::NO_XDEV) {
                // It lies on another mount; or it leads out of what it should be beneath, as will be seen.
                Err(io::Errno::XDEV) => {}
                other => return Some(other.map(|object| (object, mount))),
            }
        }
        self.count_call();
        let opened = rustix::fs::openat2(from, name, bits, Mode::empty(), resolve);
        if let (Ok(_), Some(index), Habit::Prompt | Habit::Memory) = (&opened, directory, mount)
            && let Some(record) = self.table.get_mut(index)
        {
            // There are mounts below this directory, and no reason to try twice each time.
            record.crossed = true;
        }
        Some(opened.map(|object| (object, Habit::New)))
    }

    /// What the mount honours on which the object at `index` lies; asked once. [`Habit::Ring`] is nothing.
    #[inline]
    pub(super) fn mount_of(&mut self, index: u32) -> Habit {
        match self.table.get(index) {
            Some(record) if record.mount != Habit::New => record.mount,
            _ => self.ask_mount_of(index),
        }
    }

    #[inline(never)]
    fn ask_mount_of(&mut self, index: u32) -> Habit {
        let Ok(number) = self.number(index) else { return Habit::Ring };
        let mount = self.habit_of(number);
        if let Some(record) = self.table.get_mut(index) {
            record.mount = mount;
        }
        mount
    }

    /// What the file system honours that the object with this number lies on.
    pub(super) fn habit_of(&mut self, number: RawFd) -> Habit {
        self.count_call();
        match rustix::fs::fstatfs(memory::borrow(number)) {
            Ok(found) => match found.f_type as u32 {
                TMPFS | RAMFS => Habit::Memory,
                EXT4 | XFS | BTRFS | F2FS => Habit::Prompt,
                _ => Habit::Ring,
            },
            Err(_) => Habit::Ring,
        }
    }
}

// Numbers of linux/magic.h.
const EXT4: u32 = 0xef53;
const XFS: u32 = 0x5846_5342;
const BTRFS: u32 = 0x9123_683e;
const F2FS: u32 = 0xf2f5_2010;
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

//! Mounts: what may be done without waiting on the file system that an object lies on, and opening there.
//!
//! A FUSE or network file system may wait for somebody in every call, one on a disk or in memory in few. Which it is, is
//! asked of a directory once, when something is first opened in it. What is opened in it without leaving its mount
//! (RESOLVE_NO_XDEV) lies on the same file system, so nothing has to be asked of that. Only what the kernel has in its
//! cache is opened here (RESOLVE_CACHED), as the ring does at its first try.

use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use ouzel_engine::{Directory, Path};
use ouzel_uring::abi::AT_FDCWD;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io;

use super::table::{Habit, Kind};
use super::{Uring, calls, memory};

/// How many mounts are remembered.
const MOST_MOUNTS: usize = 64;

/// Which mount something lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mount {
    number: u64,
    /// Major and minor number of the device, or of what stands for one.
    device: (u32, u32),
}

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
        let (mount, kind) = self.habit_of(number);
        if let Some(record) = self.table.get_mut(index) {
            record.mount = mount;
            if record.kind == Kind::Unknown {
                record.kind = kind;
            }
        }
        mount
    }

    /// What the file system honours that the object with this number lies on, and what sort of thing it is if that is at
    /// hand.
    ///
    /// Which mount that is, the kernel says without asking the file system; of what sort it is, is read once for each mount.
    /// `fstatfs` would not do: there a FUSE or network file system asks whoever serves it.
    pub(super) fn habit_of(&mut self, number: RawFd) -> (Habit, Kind) {
        self.count_call();
        let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(found) = rustix::fs::statx(memory::borrow(number), c"", how, StatxFlags::MNT_ID) else {
            return (Habit::Ring, Kind::Unknown);
        };
        let told = StatxFlags::from_bits_retain(found.stx_mask);
        // Not asked for, so that nobody is; most have it all the same, and it never changes.
        let known = told.contains(StatxFlags::TYPE);
        let kind = if known { calls::kind_of_mode(u32::from(found.stx_mode)) } else { Kind::Unknown };
        if !told.contains(StatxFlags::MNT_ID) {
            return (Habit::Ring, kind);
        }
        // The number of a mount is given out anew when it is gone; hardly to another one of the same device.
        let device = (found.stx_dev_major, found.stx_dev_minor);
        (habit_on(Mount { number: found.stx_mnt_id, device }), kind)
    }
}

/// The mounts that were met, for all rings: what is read once for each belongs to no ring's operations.
static MET: Mutex<Vec<(Mount, Habit)>> = Mutex::new(Vec::new());

fn habit_on(mount: Mount) -> Habit {
    let met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    let known = met.iter().find(|(known, _)| *known == mount).map(|(_, habit)| *habit);
    drop(met);
    known.unwrap_or_else(|| look_up(mount))
}

/// Reads of what sort a mount is.
#[cold]
fn look_up(mount: Mount) -> Habit {
    let list = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let habit = habit_in(&String::from_utf8_lossy(&list), mount.number).unwrap_or(Habit::Ring);
    let mut met = MET.lock().unwrap_or_else(PoisonError::into_inner);
    if met.len() >= MOST_MOUNTS {
        met.clear();
    }
    met.push((mount, habit));
    habit
}

/// What a file system honours, by the list of mounts as `proc(5)` describes it and the number of one of them.
fn habit_in(list: &str, number: u64) -> Option<Habit> {
    let line = list
        .lines()
        .find(|line| line.split(' ').next().and_then(|first| first.parse().ok()) == Some(number))?;
    // Behind a number of fields that varies comes a hyphen, and then the kind of the file system.
    let kind = line.split(' ').skip_while(|field| *field != "-").nth(1)?;
    Some(match kind {
        "tmpfs" | "ramfs" => Habit::Memory,
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" => Habit::Prompt,
        _ => Habit::Ring,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_mount_is_found_by_its_number() {
        let list = "21 26 0:19 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
                    26 1 8:2 / / rw,relatime shared:1 master:3 - ext4 /dev/sda2 rw\n\
                    126 26 0:40 / /home/x\\040y rw - fuse.sshfs host: rw\n\
                    30 26 0:25 / /dev/shm rw,nosuid - tmpfs tmpfs rw\n\
                    31 26 0:25 / /broken rw,nosuid\n\
                    32 26 8:3 / /mnt rw - fuseblk /dev/sda3 rw\n";
        for (number, habit) in [
            (21, Some(Habit::Ring)),
            (26, Some(Habit::Prompt)),
            (126, Some(Habit::Ring)),
            (30, Some(Habit::Memory)),
            (31, None),
            (32, Some(Habit::Ring)),
            (2, None),
        ] {
            assert_eq!(habit_in(list, number), habit, "{number}");
        }
        assert_eq!(habit_in("", 1), None);
    }
}

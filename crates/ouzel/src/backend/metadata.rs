//! What files are besides their bytes, by plain calls: READLINK, CHMOD, CHOWN, UTIMES, MKNOD, STATFS, ACCESS and the
//! verbs on extended attributes, for the threads backend and for helpers of the uring backend.
//!
//! Each may wait for storage and for no event. The submitter's memory is touched through `super::memory` only, by
//! copying. Linux has no call on extended attributes or on a file system that takes a directory and a path (the former
//! came with 6.13): there the file is opened as a name (`O_PATH`) and used through `/proc`.

use std::ffi::{CStr, c_char, c_int, c_long};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use ouzel_engine::{Attribute, Directory, Operation, Path, Span, Times};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AccessFlags, AccessOptions, AtFlags, MAX_PATH, MountFlags, NodeKind, STATFS_RECORD, TIME_OMIT, XattrFlags,
};
use rustix::fs::{self, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io;

use super::host::{self, errno};
use super::memory;

/// A bit that says that the others are valid (`ST_VALID`).
const VALID: u32 = 0x20;

/// What an operation is about.
enum Place<'a> {
    /// What is open.
    File(BorrowedFd<'a>),
    /// What is open, also if it is only a name.
    Itself(BorrowedFd<'a>),
    /// What this path names, which starts here if it is relative.
    Named(BorrowedFd<'a>, Vec<u8>),
}

/// How a call ends.
type Ended<T> = Result<T, Errno>;

/// Makes a call again for as long as a signal interrupts it.
fn retry<T>(call: impl FnMut() -> io::Result<T>) -> Ended<T> {
    host::retry(call).map_err(errno)
}

/// What came of changing what is open, or else, if that is only a name (for which the kernel has EBADF), what comes of changing
/// what it names.
fn or_itself(changed: Ended<()>, itself: impl FnOnce() -> Ended<()>) -> Ended<()> {
    match changed {
        Err(Errno::EBADF) => itself(),
        changed => changed,
    }
}

/// Does one of the operations named above; ENOSYS if it is another. `at` is the descriptor behind its directory, and
/// anything if that is the working directory.
pub(crate) fn perform(operation: &Operation, at: BorrowedFd<'_>) -> Ended<u64> {
    match *operation {
        Operation::Readlink { directory, path, buffer } => read_link(&place(directory, path, at), buffer),
        Operation::Chmod { directory, path, mode } => {
            let mode = Mode::from_raw_mode(mode);
            let itself = |file| {
                let name = name_in_proc(file);
                retry(|| fs::chmodat(CWD, name.as_slice(), mode, fs::AtFlags::empty())).map_err(no_proc)
            };
            match place(directory, path, at) {
                Place::File(file) => or_itself(retry(|| fs::fchmod(file, mode)), || itself(file)),
                Place::Itself(file) => itself(file),
                Place::Named(at, path) => {
                    retry(|| fs::chmodat(at, path.as_slice(), mode, fs::AtFlags::empty()))
                }
            }?;
            Ok(0)
        }
        Operation::Chown { directory, path, user, group, flags } => {
            let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
            let itself = |file| retry(|| fs::chownat(file, c"", user, group, fs::AtFlags::EMPTY_PATH));
            match place(directory, path, at) {
                Place::File(file) => or_itself(retry(|| fs::fchown(file, user, group)), || itself(file)),
                Place::Itself(file) => itself(file),
                Place::Named(at, path) => {
                    let follow = !flags.contains(AtFlags::NOFOLLOW);
                    retry(|| fs::chownat(at, path.as_slice(), user, group, at_flags(follow)))
                }
            }?;
            Ok(0)
        }
        Operation::Utimes { directory, path, times, follow } => {
            if times.nanoseconds.map(u64::from) == [TIME_OMIT; 2] {
                // The kernel would not ask anybody either.
                return Ok(0);
            }
            let times = timestamps(times);
            let itself = |file| retry(|| fs::utimensat(file, c"", &times, fs::AtFlags::EMPTY_PATH));
            match place(directory, path, at) {
                Place::File(file) => or_itself(retry(|| fs::futimens(file, &times)), || itself(file)),
                Place::Itself(file) => itself(file),
                Place::Named(at, path) => {
                    retry(|| fs::utimensat(at, path.as_slice(), &times, at_flags(follow)))
                }
            }?;
            Ok(0)
        }
        Operation::Mknod { directory, path, kind, mode, device } => {
            let (at, path) = (start(directory, at), memory::path(path));
            let kind = match kind {
                NodeKind::Fifo => FileType::Fifo,
                NodeKind::Character => FileType::CharacterDevice,
                NodeKind::Block => FileType::BlockDevice,
                NodeKind::Regular => FileType::RegularFile,
                NodeKind::Socket => FileType::Socket,
            };
            let device = fs::makedev((device >> 32) as u32, device as u32);
            retry(|| fs::mknodat(at, path.as_slice(), kind, Mode::from_raw_mode(mode), device))?;
            Ok(0)
        }
        Operation::Statfs { directory, path, record } => {
            let found = match place(directory, path, at) {
                Place::File(file) | Place::Itself(file) => retry(|| fs::fstatfs(file)),
                Place::Named(at, path) if directory.is_none() || path.starts_with(b"/") => {
                    let _ = at;
                    retry(|| fs::statfs(path.as_slice()))
                }
                Place::Named(at, path) => {
                    let file = name_only(at, &path, true)?;
                    retry(|| fs::fstatfs(&file))
                }
            }?;
            memory::fill(record, 0, &file_system_record(&found));
            Ok(0)
        }
        Operation::Access { directory, path, access, options } => {
            may(&place(directory, path, at), access, options)
        }
        Operation::GetXattr { directory, attribute, value, flags } => {
            let (at, name) = (attributed(directory, attribute, at, flags)?, name_of(&attribute));
            fetch(value, |room| match &at {
                Holder::File(file) if room.is_empty() => fs::fgetxattr_query(file, name.as_slice()),
                Holder::File(file) => fs::fgetxattr(file, name.as_slice(), room),
                Holder::Named { path, follow: true, .. } if room.is_empty() => {
                    fs::getxattr_query(path.as_slice(), name.as_slice())
                }
                Holder::Named { path, follow: true, .. } => {
                    fs::getxattr(path.as_slice(), name.as_slice(), room)
                }
                Holder::Named { path, .. } if room.is_empty() => {
                    fs::lgetxattr_query(path.as_slice(), name.as_slice())
                }
                Holder::Named { path, .. } => fs::lgetxattr(path.as_slice(), name.as_slice(), room),
            })
            .map_err(|error| at.blame(error))
        }
        Operation::SetXattr { directory, attribute, value, flags } => {
            let (at, name) = (attributed(directory, attribute, at, flags)?, name_of(&attribute));
            let value = memory::bytes(value);
            let mut how = fs::XattrFlags::empty();
            how.set(fs::XattrFlags::CREATE, flags.contains(XattrFlags::CREATE));
            how.set(fs::XattrFlags::REPLACE, flags.contains(XattrFlags::REPLACE));
            retry(|| match &at {
                Holder::File(file) => fs::fsetxattr(file, name.as_slice(), &value, how),
                Holder::Named { path, follow: true, .. } => {
                    fs::setxattr(path.as_slice(), name.as_slice(), &value, how)
                }
                Holder::Named { path, .. } => fs::lsetxattr(path.as_slice(), name.as_slice(), &value, how),
            })
            .map_err(|error| at.blame(error))?;
            Ok(0)
        }
        Operation::ListXattr { directory, path, buffer, flags } => {
            let at = holder(directory, place(directory, path, at), flags)?;
            fetch(buffer, |room| match &at {
                Holder::File(file) if room.is_empty() => fs::flistxattr_query(file),
                Holder::File(file) => fs::flistxattr(file, room),
                Holder::Named { path, follow: true, .. } if room.is_empty() => {
                    fs::listxattr_query(path.as_slice())
                }
                Holder::Named { path, follow: true, .. } => fs::listxattr(path.as_slice(), room),
                Holder::Named { path, .. } if room.is_empty() => fs::llistxattr_query(path.as_slice()),
                Holder::Named { path, .. } => fs::llistxattr(path.as_slice(), room),
            })
            .map_err(|error| at.blame(error))
        }
        Operation::RemoveXattr { directory, attribute, flags } => {
            let (at, name) = (attributed(directory, attribute, at, flags)?, name_of(&attribute));
            retry(|| match &at {
                Holder::File(file) => fs::fremovexattr(file, name.as_slice()),
                Holder::Named { path, follow: true, .. } => fs::removexattr(path.as_slice(), name.as_slice()),
                Holder::Named { path, .. } => fs::lremovexattr(path.as_slice(), name.as_slice()),
            })
            .map_err(|error| at.blame(error))?;
            Ok(0)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Where a relative path starts.
fn start(directory: Directory, at: BorrowedFd<'_>) -> BorrowedFd<'_> {
    if directory.is_some() { at } else { CWD }
}

/// What an operation with this directory and path is about; with neither it is the working directory.
fn place<'a>(directory: Directory, path: Option<Path>, at: BorrowedFd<'a>) -> Place<'a> {
    match (directory, path) {
        (Some(_), Some(path)) if path.is_empty() => Place::Itself(at),
        (_, Some(path)) => Place::Named(start(directory, at), memory::path(path)),
        (Some(_), None) => Place::File(at),
        (None, None) => Place::Named(CWD, b".".to_vec()),
    }
}

fn at_flags(follow: bool) -> fs::AtFlags {
    if follow { fs::AtFlags::empty() } else { fs::AtFlags::SYMLINK_NOFOLLOW }
}

/// A name in `/proc` that leads to what is open, also if that is a symbolic link or only a name.
fn name_in_proc(file: BorrowedFd<'_>) -> Vec<u8> {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into_bytes()
}

/// What an error means of such a name: it is missing only if all of `/proc` is.
fn no_proc(error: Errno) -> Errno {
    if matches!(error, Errno::ENOENT | Errno::ENOTDIR) { Errno::ENOSYS } else { error }
}

/// LINK of what is open, also if it is only a name. `new` starts at `to` if it is relative.
pub(crate) fn link_itself(file: BorrowedFd<'_>, to: BorrowedFd<'_>, new: &CStr) -> Ended<()> {
    // An empty path would need a privilege, or a new kernel.
    let name = name_in_proc(file);
    retry(|| fs::linkat(CWD, name.as_slice(), to, new, fs::AtFlags::SYMLINK_FOLLOW))
}

/// Opens what a path names, as a name.
fn name_only(at: BorrowedFd<'_>, path: &[u8], follow: bool) -> Ended<OwnedFd> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !follow);
    retry(|| fs::openat(at, path, flags, Mode::empty()))
}

fn read_link(place: &Place<'_>, buffer: Span) -> Ended<u64> {
    // The kernel would cut what is too long without a word, so it is read into memory that holds any.
    let mut target = [0; MAX_PATH as usize];
    let count = match place {
        Place::File(file) | Place::Itself(file) => {
            match retry(|| fs::readlinkat_raw(file, c"", &mut target[..])) {
                // So it says, with no path, that this is no symbolic link.
                Err(Errno::ENOENT) => Err(Errno::EINVAL),
                other => other,
            }
        }
        Place::Named(at, path) => retry(|| fs::readlinkat_raw(at, path.as_slice(), &mut target[..])),
    }?;
    if count > buffer.length && buffer.length > 0 {
        return Err(Errno::ERANGE);
    }
    memory::fill(buffer, 0, &target[..count]);
    Ok(count as u64)
}

fn timestamps(times: Times) -> Timestamps {
    let time = |number: usize| Timespec {
        tv_sec: times.seconds[number],
        tv_nsec: i64::from(times.nanoseconds[number]),
    };
    Timestamps { last_access: time(0), last_modification: time(1) }
}

fn file_system_record(found: &fs::StatFs) -> [u8; STATFS_RECORD as usize] {
    let unit = if found.f_frsize > 0 { found.f_frsize } else { found.f_bsize };
    FileSystem {
        kind: found.f_type as u64,
        block: unit as u64,
        blocks: found.f_blocks,
        free: found.f_bfree,
        available: found.f_bavail,
        files: found.f_files,
        free_files: found.f_ffree,
        transfer: found.f_bsize as u64,
        longest_name: found.f_namelen as u32,
        flags: MountFlags::from_bits_retain(found.f_flags as u32 & !VALID),
    }
    .record()
}

/// What the record of STATFS says.
pub(crate) struct FileSystem {
    pub(crate) kind: u64,
    pub(crate) block: u64,
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
    pub(crate) files: u64,
    pub(crate) free_files: u64,
    pub(crate) transfer: u64,
    pub(crate) longest_name: u32,
    pub(crate) flags: MountFlags,
}

impl FileSystem {
    pub(crate) fn record(&self) -> [u8; STATFS_RECORD as usize] {
        let mut record = [0; STATFS_RECORD as usize];
        let words = [
            self.kind,
            self.block,
            self.blocks,
            self.free,
            self.available,
            self.files,
            self.free_files,
            self.transfer,
        ];
        for (place, word) in record.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_ne_bytes();
        }
        record[64..68].copy_from_slice(&self.longest_name.to_ne_bytes());
        record[68..72].copy_from_slice(&self.flags.bits().to_ne_bytes());
        record
    }
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// `faccessat2`, which has this number wherever it exists.
const FACCESSAT2: c_long = 439;
const AT_EMPTY_PATH: c_int = 0x1000;
const AT_EACCESS: c_int = 0x200;

fn may(place: &Place<'_>, access: AccessFlags, options: AccessOptions) -> Ended<u64> {
    let effective = options.contains(AccessOptions::EFFECTIVE);
    match place {
        Place::Named(at, path) => {
            let mut flags = at_flags(!options.contains(AccessOptions::NOFOLLOW));
            flags.set(fs::AtFlags::EACCESS, effective);
            let access = fs::Access::from_bits_retain(access.bits() as u32);
            retry(|| fs::accessat(at, path.as_slice(), access, flags))?;
        }
        Place::File(file) | Place::Itself(file) => {
            let flags = AT_EMPTY_PATH | if effective { AT_EACCESS } else { 0 };
            // SAFETY: the call reads an empty C string and takes numbers beside it; the descriptor is open while it is
            // borrowed. (rustix lets nobody ask with an empty path.)
            let result = unsafe {
                let (file, access) = (file.as_raw_fd() as c_long, access.bits() as c_long);
                syscall(FACCESSAT2, file, c"".as_ptr().cast::<c_char>(), access, flags as c_long)
            };
            if result != 0 {
                let error = std::io::Error::last_os_error();
                return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
            }
        }
    }
    Ok(0)
}

/// What holds extended attributes.
enum Holder<'a> {
    File(BorrowedFd<'a>),
    Named {
        path: Vec<u8>,
        follow: bool,
        /// The path is one in `/proc`.
        in_proc: bool,
        /// What was opened to have that.
        _opened: Option<OwnedFd>,
    },
}

impl Holder<'_> {
    /// What an error means.
    fn blame(&self, error: Errno) -> Errno {
        if matches!(self, Holder::Named { in_proc: true, .. }) { no_proc(error) } else { error }
    }
}

fn attributed<'a>(
    directory: Directory,
    attribute: Attribute,
    at: BorrowedFd<'a>,
    flags: XattrFlags,
) -> Ended<Holder<'a>> {
    holder(directory, place(directory, attribute.path(), at), flags)
}

fn holder<'a>(directory: Directory, place: Place<'a>, flags: XattrFlags) -> Ended<Holder<'a>> {
    let follow = !flags.contains(XattrFlags::NOFOLLOW);
    match place {
        Place::File(file) => Ok(Holder::File(file)),
        Place::Itself(file) => {
            Ok(Holder::Named { path: name_in_proc(file), follow: true, in_proc: true, _opened: None })
        }
        Place::Named(_, path) if directory.is_none() || path.starts_with(b"/") => {
            Ok(Holder::Named { path, follow, in_proc: false, _opened: None })
        }
        Place::Named(at, path) => {
            let opened = name_only(at, &path, follow)?;
            let path = name_in_proc(opened.as_fd());
            Ok(Holder::Named { path, follow: true, in_proc: true, _opened: Some(opened) })
        }
    }
}

fn name_of(attribute: &Attribute) -> Vec<u8> {
    memory::path(attribute.name())
}

/// Lets a call fill `buffer`; an empty one asks for the length only.
fn fetch(buffer: Span, mut call: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Ended<u64> {
    let mut room = vec![0; buffer.length];
    let count = retry(|| call(&mut room))?;
    if buffer.length > 0 {
        memory::fill(buffer, 0, &room[..count.min(room.len())]);
    }
    Ok(count as u64)
}

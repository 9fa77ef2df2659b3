//! Plain system calls: what the kernel's ring has no operation for, or this kernel's has not.
//!
//! Each function makes the calls of one operation on ordinary descriptors and says how it ended. They run on the
//! engine's thread where they are sure to be quick, else on a helper. They know nothing of slots, the table or the
//! ring.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use ouzel_engine::Operation;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, RemoveFlags, RenameFlags, ShutdownHow, SyncMode, Whence,
};
use ouzel_uring::abi::AT_FDCWD;
use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io;
use rustix::net::{AddressFamily, Protocol, Shutdown, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

use super::memory;
use super::table::Kind;
use crate::backend::host::spans;
pub(super) use crate::backend::host::{errno, retry};
use crate::backend::metadata;
use crate::backend::sync_range::sync_range;

/// What sort of thing a descriptor stands for.
pub(super) fn kind_of(descriptor: impl AsFd) -> io::Result<Kind> {
    Ok(kind_of_mode(rustix::fs::fstat(descriptor)?.st_mode))
}

/// What sort of thing has this `st_mode`.
pub(super) fn kind_of_mode(mode: u32) -> Kind {
    match FileType::from_raw_mode(mode) {
        FileType::Fifo | FileType::Socket | FileType::Unknown => Kind::Stream,
        FileType::CharacterDevice => Kind::Device,
        _ => Kind::File,
    }
}

/// Whether a descriptor stands for a directory.
pub(super) fn is_directory(descriptor: impl AsFd) -> bool {
    rustix::fs::fstat(descriptor)
        .is_ok_and(|status| FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

/// Whether a descriptor stands for a directory, or only names a file: such a one is no use as a slot.
pub(super) fn is_only_a_name(descriptor: impl AsFd) -> io::Result<bool> {
    Ok(is_directory(descriptor.as_fd()) || rustix::fs::fcntl_getfl(descriptor)?.contains(OFlags::PATH))
}

/// Takes O_NONBLOCK off.
pub(super) fn make_blocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor.as_fd())?;
    if flags.contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(descriptor, flags - OFlags::NONBLOCK)?;
    }
    Ok(())
}

/// PIPE: the end to read from, the end to write to.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(errno)
}

/// SOCKET.
pub(super) fn socket(domain: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    let family = u16::try_from(domain).map_err(|_| Errno::EAFNOSUPPORT)?;
    let protocol = u32::try_from(protocol).map_err(|_| Errno::EPROTONOSUPPORT)?;
    let protocol = std::num::NonZeroU32::new(protocol).map(Protocol::from_raw);
    let (family, kind) = (AddressFamily::from_raw(family), SocketType::from_raw(kind as u32));
    rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol).map_err(errno)
}

/// Every other operation that has no entry in the ring, but COPY: `numbers` are its descriptors in the order of its
/// fields.
pub(super) fn perform(operation: &Operation, numbers: [RawFd; 2]) -> Result<u64, Errno> {
    let [first, second] = numbers.map(memory::borrow);
    call(operation, first, second).map_err(|failed| match failed {
        Failed::Call(error) => errno(error),
        Failed::Argument(error) => error,
    })
}

enum Failed {
    Call(io::Errno),
    Argument(Errno),
}

impl From<io::Errno> for Failed {
    fn from(error: io::Errno) -> Failed {
        Failed::Call(error)
    }
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Failed {
        Failed::Argument(error)
    }
}

fn call(operation: &Operation, first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> Result<u64, Failed> {
    match operation {
        // Only one of no bytes comes here.
        Operation::Read { position, .. } => {
            let nothing: &mut [u8] = &mut [];
            retry(|| match position {
                Some(offset) => io::pread(first, &mut *nothing, *offset),
                None => io::read(first, &mut *nothing),
            })?;
        }
        Operation::Seek { offset, whence, .. } => {
            let position = match whence {
                Whence::Start => SeekFrom::Start(u64::try_from(*offset).map_err(|_| Errno::EINVAL)?),
                Whence::Current => SeekFrom::Current(*offset),
                Whence::End => SeekFrom::End(*offset),
            };
            return Ok(rustix::fs::seek(first, position)?);
        }
        Operation::Readdir { buffer, .. } => return Ok(spans::directory_records(first, buffer)? as u64),
        Operation::Truncate { length, .. } => retry(|| rustix::fs::ftruncate(first, *length))?,
        Operation::Allocate { offset, length, flags, .. } => {
            let mut mode = FallocateFlags::empty();
            mode.set(FallocateFlags::KEEP_SIZE, flags.contains(AllocateFlags::KEEP_SIZE));
            mode.set(FallocateFlags::PUNCH_HOLE, flags.contains(AllocateFlags::PUNCH_HOLE));
            retry(|| rustix::fs::fallocate(first, mode, *offset, *length))?;
        }
        Operation::Sync { mode, offset, length, .. } => match mode {
            SyncMode::Full => retry(|| rustix::fs::fsync(first))?,
            SyncMode::Data => retry(|| rustix::fs::fdatasync(first))?,
            SyncMode::Range => sync_range(first, *offset, *length)?,
        },
        Operation::Mkdir { path, mode, .. } => {
            rustix::fs::mkdirat(first, spans::path(path)?, Mode::from_bits_retain(*mode))?;
        }
        Operation::Remove { path, flags, .. } => {
            let mut bits = AtFlags::empty();
            bits.set(AtFlags::REMOVEDIR, flags.contains(RemoveFlags::DIRECTORY));
            rustix::fs::unlinkat(first, spans::path(path)?, bits)?;
        }
        Operation::Rename { old, new, flags, .. } => {
            let mut bits = rustix::fs::RenameFlags::empty();
            bits.set(rustix::fs::RenameFlags::NOREPLACE, flags.contains(RenameFlags::NOREPLACE));
            bits.set(rustix::fs::RenameFlags::EXCHANGE, flags.contains(RenameFlags::EXCHANGE));
            rustix::fs::renameat_with(first, spans::path(old)?, second, spans::path(new)?, bits)?;
        }
        Operation::Link { old, new, .. } if old.is_empty() => {
            metadata::link_itself(first, second, spans::path(new)?)?;
        }
        Operation::Link { old, new, flags, .. } => {
            let mut bits = AtFlags::empty();
            bits.set(AtFlags::SYMLINK_FOLLOW, flags.contains(LinkFlags::FOLLOW));
            rustix::fs::linkat(first, spans::path(old)?, second, spans::path(new)?, bits)?;
        }
        Operation::Symlink { target, path, .. } => {
            rustix::fs::symlinkat(spans::path(target)?, first, spans::path(path)?)?;
        }
        Operation::Bind { address, .. } => rustix::net::bind(first, &spans::RawAddress(*address))?,
        Operation::Listen { backlog, .. } => {
            rustix::net::listen(first, i32::try_from(*backlog).unwrap_or(i32::MAX))?;
        }
        Operation::Shutdown { how, .. } => rustix::net::shutdown(
            first,
            match how {
                ShutdownHow::Receive => Shutdown::Read,
                ShutdownHow::Send => Shutdown::Write,
                ShutdownHow::Both => Shutdown::Both,
            },
        )?,
        // What says ENOSYS to everything but its own.
        _ => return Ok(metadata::perform(operation, first)?),
    }
    Ok(0)
}

/// The number that stands for the working directory, and for an operand an operation does not have.
pub(super) const NOBODY: RawFd = AT_FDCWD;

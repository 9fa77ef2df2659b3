//! Calls on files and names. They may wait for storage but for no event, and they run on workers.
//!
//! OPEN is done with O_NONBLOCK, so that a FIFO without a peer is no reason to wait.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use ouzel_engine::{Operation, Path};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, OpenFlags, RemoveFlags, RenameFlags, SyncMode, Whence,
};
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, Mode, OFlags, ResolveFlags, SeekFrom};
use rustix::io;

use super::attempt::Attempt;
use super::job::Body;
use super::object::{Calls, Kind, Object, errno, kind_of, make_blocking, retry};
use crate::backend::host::{self, spans};
use crate::backend::metadata;
use crate::backend::sync_range::sync_range;

/// READ or WRITE of something that has no events.
pub(super) fn transfer(calls: &Calls, object: &Object, operation: &Operation) -> Attempt {
    calls.count(1);
    // The vectored calls would say EINVAL.
    if object.kind == Kind::Directory && matches!(operation, Operation::Read { .. }) {
        return Attempt::failure(errno(io::Errno::ISDIR));
    }
    Attempt::number(host::storage::transfer(object.as_fd(), operation))
}

/// Everything else.
pub(super) fn attempt(calls: &Calls, body: &mut Body, operation: &Operation) -> Attempt {
    match perform(calls, body, operation) {
        Ok(attempt) => attempt,
        Err(error) => Attempt::failure(error),
    }
}

fn perform(calls: &Calls, body: &mut Body, operation: &Operation) -> Result<Attempt, Errno> {
    calls.count(1);
    match *operation {
        Operation::Open { path, flags, mode, .. } => open(calls, body, &path, flags, mode),
        Operation::Close { .. } => {
            let object = body.subject.take().ok_or(Errno::EBADF)?;
            // Others may still be at work on it; the last of them closes it.
            match Arc::into_inner(object) {
                Some(object) => Ok(Attempt::unit(host::memory::close(object.descriptor))),
                None => Ok(Attempt::success(0)),
            }
        }
        Operation::Seek { offset, whence, .. } => {
            let to = match whence {
                Whence::Start => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::EINVAL)?),
                Whence::Current => SeekFrom::Current(offset),
                Whence::End => SeekFrom::End(offset),
            };
            fs::seek(subject(body)?, to).map(Attempt::success).map_err(errno)
        }
        Operation::Stat { path, ref record, flags, .. } => {
            host::storage::describe(directory(&body.subject), path, record, flags)?;
            Ok(Attempt::success(0))
        }
        Operation::Sync { mode, offset, length, .. } => {
            let file = subject(body)?;
            Ok(match mode {
                SyncMode::Full => Attempt::unit(retry(|| fs::fsync(file))),
                SyncMode::Data => Attempt::unit(retry(|| fs::fdatasync(file))),
                SyncMode::Range => sync_range(file, offset, length).map(|()| Attempt::success(0))?,
            })
        }
        Operation::Truncate { length, .. } => {
            let file = subject(body)?;
            Ok(Attempt::unit(retry(|| fs::ftruncate(file, length))))
        }
        Operation::Allocate { offset, length, flags, .. } => {
            let mut mode = FallocateFlags::empty();
            mode.set(FallocateFlags::KEEP_SIZE, flags.contains(AllocateFlags::KEEP_SIZE));
            mode.set(FallocateFlags::PUNCH_HOLE, flags.contains(AllocateFlags::PUNCH_HOLE));
            let file = subject(body)?;
            Ok(Attempt::unit(retry(|| fs::fallocate(file, mode, offset, length))))
        }
        Operation::Mkdir { path, mode, .. } => {
            let name = spans::path(&path)?;
            Ok(Attempt::unit(fs::mkdirat(directory(&body.subject), name, Mode::from_raw_mode(mode))))
        }
        Operation::Remove { path, flags, .. } => {
            let at =
                if flags.contains(RemoveFlags::DIRECTORY) { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            Ok(Attempt::unit(fs::unlinkat(directory(&body.subject), spans::path(&path)?, at)))
        }
        Operation::Rename { old, new, flags, .. } => {
            let (old, new) = (spans::path(&old)?, spans::path(&new)?);
            let (from, to) = (directory(&body.subject), directory(&body.other));
            Ok(Attempt::unit(if flags.is_empty() {
                fs::renameat(from, old, to, new)
            } else {
                let mut how = fs::RenameFlags::empty();
                how.set(fs::RenameFlags::NOREPLACE, flags.contains(RenameFlags::NOREPLACE));
                how.set(fs::RenameFlags::EXCHANGE, flags.contains(RenameFlags::EXCHANGE));
                fs::renameat_with(from, old, to, new, how)
            }))
        }
        Operation::Link { old, new, .. } if old.is_empty() => {
            let (file, to) = (subject(body)?.as_fd(), directory(&body.other));
            metadata::link_itself(file, to, spans::path(&new)?).map(|()| Attempt::success(0))
        }
        Operation::Link { old, new, flags, .. } => {
            let at =
                if flags.contains(LinkFlags::FOLLOW) { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
            let (old, new) = (spans::path(&old)?, spans::path(&new)?);
            Ok(Attempt::unit(fs::linkat(directory(&body.subject), old, directory(&body.other), new, at)))
        }
        Operation::Symlink { target, path, .. } => {
            let (target, path) = (spans::path(&target)?, spans::path(&path)?);
            Ok(Attempt::unit(fs::symlinkat(target, directory(&body.subject), path)))
        }
        Operation::Readdir { buffer, .. } => {
            Ok(Attempt::number(spans::directory_records(subject(body)?, &buffer)))
        }
        _ => metadata::perform(operation, directory(&body.subject)).map(Attempt::success),
    }
}

fn subject(body: &Body) -> Result<&Object, Errno> {
    body.subject.as_deref().ok_or(Errno::EBADF)
}

/// Where a relative path starts. No object means the working directory: the engine has checked the index.
fn directory(object: &Option<Arc<Object>>) -> BorrowedFd<'_> {
    object.as_ref().map_or(CWD, |object| object.as_fd())
}

fn open(calls: &Calls, body: &Body, path: &Path, flags: OpenFlags, mode: u32) -> Result<Attempt, Errno> {
    let name = spans::path(path)?;
    let names_only = flags.contains(OpenFlags::PATH);
    let mut how = OFlags::CLOEXEC;
    if names_only {
        how |= OFlags::PATH;
    } else {
        how |= OFlags::NOCTTY | OFlags::NONBLOCK;
        how |= match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
    }
    for (ours, theirs) in [
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::CREATE, OFlags::CREATE),
        (OpenFlags::EXCLUSIVE, OFlags::EXCL),
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
        (OpenFlags::NOFOLLOW, OFlags::NOFOLLOW),
        (OpenFlags::DIRECT, OFlags::DIRECT),
    ] {
        how.set(theirs, flags.contains(ours));
    }
    if names_only {
        // openat2 refuses what goes without saying, and openat ignores it.
        how &= OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    }
    let creates = flags.contains(OpenFlags::CREATE) && !names_only;
    let mode = if creates { Mode::from_raw_mode(mode) } else { Mode::empty() };
    let start = directory(&body.subject);
    let descriptor = if flags.contains(OpenFlags::BENEATH) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        retry(|| fs::openat2(start, name, how, mode, resolve)).map_err(errno)?
    } else {
        retry(|| fs::openat(start, name, how, mode)).map_err(errno)?
    };
    if names_only {
        return Ok(Attempt::opened(Object::new(descriptor, Kind::Storage, false), 0));
    }
    calls.count(1);
    let kind = kind_of(&descriptor).map_err(errno)?;
    if !kind.waits() {
        // Files pay the flag no heed, but whoever they are released to might, and so might a file system in user
        // space.
        calls.count(2);
        make_blocking(&descriptor)?;
    }
    Ok(Attempt::opened(Object::new(descriptor, kind, kind.waits()), 0))
}

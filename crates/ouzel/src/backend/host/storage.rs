//! READ, WRITE and STAT by plain calls that may wait for storage, for whoever may let them.

use std::os::fd::BorrowedFd;

use ouzel_engine::{Buffers, Operation, Path, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::StatFlags;
use rustix::fs::{self, AtFlags, Statx, StatxFlags};
use rustix::io;

use super::{errno, retry, spans};

/// READ or WRITE. EINVAL if it is neither.
#[inline]
pub(in crate::backend) fn transfer(file: BorrowedFd<'_>, operation: &Operation) -> io::Result<usize> {
    // A single buffer goes by the plain call: some files of /proc know no other.
    match operation {
        Operation::Read { buffers: Buffers::One(span), position, .. } => match position {
            Some(offset) => {
                retry(|| io::pread(file, spans::room(span, 0), *offset)).map(|(read, _)| read.len())
            }
            None => retry(|| io::read(file, spans::room(span, 0))).map(|(read, _)| read.len()),
        },
        Operation::Write { buffers: Buffers::One(span), position, .. } => match position {
            Some(offset) => retry(|| io::pwrite(file, spans::filled(span, 0), *offset)),
            None => retry(|| io::write(file, spans::filled(span, 0))),
        },
        Operation::Read { buffers, position, .. } => spans::with_rooms(buffers, |rooms| match position {
            Some(offset) => retry(|| io::preadv(file, rooms, *offset)),
            None => retry(|| io::readv(file, rooms)),
        }),
        Operation::Write { buffers, position, .. } => spans::with_slices(buffers, |slices| match position {
            Some(offset) => retry(|| io::pwritev(file, slices, *offset)),
            None => retry(|| io::writev(file, slices)),
        }),
        _ => Err(io::Errno::INVAL),
    }
}

/// STAT of `path`, which starts at `at` if it is relative, or of what `at` is. Fills the record, and returns what is in it.
#[inline]
pub(in crate::backend) fn describe(
    at: BorrowedFd<'_>,
    path: Option<Path>,
    record: &Span,
    flags: StatFlags,
) -> Result<Statx, Errno> {
    let (name, mut how) = match &path {
        Some(path) => (spans::path(path)?, AtFlags::empty()),
        None => (c"", AtFlags::EMPTY_PATH),
    };
    if flags.contains(StatFlags::NOFOLLOW) {
        how |= AtFlags::SYMLINK_NOFOLLOW;
    }
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    let description = retry(|| fs::statx(at, name, how, wanted)).map_err(errno)?;
    spans::store_description(record, &description);
    Ok(description)
}

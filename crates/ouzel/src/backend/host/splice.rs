//! SPLICE: moves what is there and fits between a pipe and something else, without copying it.

use std::os::fd::BorrowedFd;

use ouzel_engine::Position;
use ouzel_ring::Errno;
use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};
use rustix::io;
use rustix::pipe::SpliceFlags;

use super::{Done, Need, Stop, Turn, is_ready, without_blocking};

/// Whether the object has no offsets.
fn is_stream(descriptor: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(matches!(FileType::from_raw_mode(fstat(descriptor)?.st_mode), FileType::Fifo | FileType::Socket))
}

/// Whether only its own O_NONBLOCK keeps the object from waiting.
fn looks_at_its_flag(descriptor: BorrowedFd<'_>) -> bool {
    fstat(descriptor).is_ok_and(|status| {
        !matches!(
            FileType::from_raw_mode(status.st_mode),
            FileType::Fifo | FileType::RegularFile | FileType::BlockDevice | FileType::Directory
        )
    })
}

pub(super) fn attempt(
    source: BorrowedFd<'_>,
    mut from: Position,
    target: BorrowedFd<'_>,
    mut to: Position,
    length: u64,
) -> Turn {
    if (from.is_some() && is_stream(source)?) || (to.is_some() && is_stream(target)?) {
        return Err(Stop::Error(Errno::ESPIPE));
    }
    // The call's own flag is for pipes; sockets and terminals look at their file's.
    let looks = [source, target].map(|end| looks_at_its_flag(end).then_some(end));
    let looks: Vec<_> = looks.into_iter().flatten().collect();
    let moved = without_blocking(&looks, || {
        rustix::pipe::splice(
            source,
            from.as_mut(),
            target,
            to.as_mut(),
            length as usize,
            SpliceFlags::NONBLOCK | SpliceFlags::MOVE,
        )
    });
    match moved {
        Ok(moved) => Ok(Done::with(moved as u64)),
        Err(io::Errno::AGAIN) if !is_ready(source, PollFlags::IN) => {
            Err(Stop::Wait(Need::Subject(PollFlags::IN)))
        }
        Err(io::Errno::AGAIN) if !is_ready(target, PollFlags::OUT) => {
            Err(Stop::Wait(Need::Other(PollFlags::OUT)))
        }
        // It has become ready since, or is not ready enough.
        Err(io::Errno::AGAIN) => Err(Stop::Wait(Need::While)),
        Err(error) => Err(error.into()),
    }
}

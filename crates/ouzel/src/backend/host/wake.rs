//! WAKE: adds to the count of a bell, which is an event counter (`eventfd(2)`).

use std::os::fd::BorrowedFd;

use ouzel_ring::Errno;
use rustix::event::PollFlags;
use rustix::fs::{FileType, fstat};
use rustix::io;

use super::{Done, Need, Stop, Turn, is_ready, without_blocking};

pub(super) fn attempt(bell: BorrowedFd<'_>, amount: u64) -> Turn {
    // Eight bytes written to anything else would be data. The other objects without an inode of their own cannot be
    // written to.
    if FileType::from_raw_mode(fstat(bell)?.st_mode) != FileType::Unknown {
        return Err(Stop::Error(Errno::EINVAL));
    }
    match without_blocking(&[bell], || io::write(bell, &amount.to_ne_bytes())) {
        Ok(_) => Ok(Done::default()),
        // It counts as ready when there is room for 1.
        Err(io::Errno::AGAIN) if is_ready(bell, PollFlags::OUT) => Err(Stop::Wait(Need::While)),
        Err(io::Errno::AGAIN) => Err(Stop::Wait(Need::Subject(PollFlags::OUT))),
        Err(error) => Err(error.into()),
    }
}

//! COPY, on a helper thread.
//!
//! Bytes are moved in pieces. Before a piece that could wait for an event, both sides are polled together with the
//! event that stops the copy, so that a cancel or an engine that may not wait is heeded at once. Nothing is taken
//! from a stream before it is known that the other side took it. It never touches the submitter's memory.

use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use ouzel_engine::Position;
use ouzel_ring::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, SeekFrom, fstat, seek};
use rustix::io;
use rustix::net::{RecvFlags, SendFlags};
use rustix::pipe::SpliceFlags;

use super::calls::{errno, retry};
use super::memory;

/// The most bytes of one piece between files, so that a cancel is heeded now and then.
const FILE_PIECE: u64 = 16 << 20;
/// The most bytes of one piece that passes through our own memory.
const BOUNCE: usize = 1 << 16;
/// The most bytes from a pipe to a socket at once: what a socket that is ready to send has room for.
const SOCKET_PIECE: u64 = 4096;

/// What asks a copy to stop.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) wanted: AtomicBool,
    /// Readable when it is wanted.
    pub(super) event: std::os::fd::OwnedFd,
}

/// What is copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) source: RawFd,
    pub(super) from: Position,
    pub(super) target: RawFd,
    pub(super) to: Position,
    pub(super) length: u64,
    pub(super) may_wait: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    File,
    Pipe,
    Socket,
    /// Terminals, event counters and the rest.
    Other,
}

impl Side {
    fn of(descriptor: BorrowedFd<'_>) -> io::Result<Side> {
        Ok(match FileType::from_raw_mode(fstat(descriptor)?.st_mode) {
            FileType::RegularFile | FileType::BlockDevice => Side::File,
            FileType::Directory => return Err(io::Errno::ISDIR),
            FileType::Fifo => Side::Pipe,
            FileType::Socket => Side::Socket,
            _ => Side::Other,
        })
    }
}

/// Why a copy goes no further.
enum End {
    Over,
    Failed(io::Errno),
    Stopped(Errno),
}

impl From<io::Errno> for End {
    fn from(error: io::Errno) -> End {
        End::Failed(error)
    }
}

/// Copies; returns how many bytes, or the error if there were none.
pub(super) fn copy(order: &Order, stop: &Stop, calls: &mut u64) -> Result<u64, Errno> {
    match copy_by_kernel(order, Some(&stop.wanted), calls) {
        0 if stop.wanted.load(Ordering::Relaxed) => Err(Errno::ECANCELED),
        0 => copy_otherwise(order, stop, calls),
        copied => Ok(copied),
    }
}

/// Copies as far as the kernel does that by itself, which waits for storage only, and returns how many bytes that were.
/// With none it is to be found out why.
pub(super) fn copy_by_kernel(order: &Order, stop: Option<&AtomicBool>, calls: &mut u64) -> u64 {
    let (source, target) = (memory::borrow(order.source), memory::borrow(order.target));
    let mut offsets = (order.from, order.to);
    let mut copied = 0;
    // What the kernel copies are regular files, open as they must be. Nothing else need be asked.
    while copied < order.length && !stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
        *calls += 1;
        match by_kernel(source, target, &mut offsets, order.length - copied) {
            Ok(moved) if moved > 0 => copied += moved,
            Err(io::Errno::INTR) => {}
            // The end; or another way is to be found, or the error, which is there for the next to meet.
            Ok(_) | Err(_) => break,
        }
    }
    copied
}

/// Copies what the kernel by itself did not begin to copy.
fn copy_otherwise(order: &Order, stop: &Stop, calls: &mut u64) -> Result<u64, Errno> {
    let (source, target) = (memory::borrow(order.source), memory::borrow(order.target));
    *calls += 2;
    let sides = Side::of(source).and_then(|from| Ok((from, Side::of(target)?)));
    let (from, to) = sides.map_err(errno)?;
    let streams = |side: Side| side != Side::File;
    if (order.from.is_some() && streams(from)) || (order.to.is_some() && streams(to)) {
        return Err(Errno::ESPIPE);
    }
    if order.length == 0 || streams(from) || streams(to) {
        // A wait for the wrong end of a pipe would never end, so it must not begin; and no bytes ask nobody.
        *calls += 2;
        let modes =
            rustix::fs::fcntl_getfl(source).and_then(|from| Ok((from, rustix::fs::fcntl_getfl(target)?)));
        let (reads, writes) = modes.map_err(errno)?;
        if !allows(reads, OFlags::RDONLY) || !allows(writes, OFlags::WRONLY) {
            return Err(Errno::EBADF);
        }
    }
    let mut copy = Copy { order, stop, source, target, from, to, calls, bounce: Vec::new(), plain: false };
    let mut offsets = (order.from, order.to);
    let mut copied = 0;
    while copied < order.length {
        match copy.piece(order.length - copied, &mut offsets) {
            Ok(moved) => copied += moved,
            Err(End::Over) => break,
            Err(_) if copied > 0 => break,
            Err(End::Failed(error)) => return Err(errno(error)),
            Err(End::Stopped(error)) => return Err(error),
        }
    }
    Ok(copied)
}

/// Lets the kernel copy a piece from one regular file to another.
fn by_kernel(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    offsets: &mut (Position, Position),
    left: u64,
) -> io::Result<u64> {
    let length = left.min(FILE_PIECE) as usize;
    let (from, to) = (offsets.0.as_mut(), offsets.1.as_mut());
    rustix::fs::copy_file_range(source, from, target, to, length).map(|moved| moved as u64)
}

/// Whether a descriptor with these flags is open for `access`, which is RDONLY or WRONLY.
fn allows(flags: OFlags, access: OFlags) -> bool {
    let mode = flags & OFlags::ACCMODE;
    !flags.contains(OFlags::PATH) && (mode == access || mode == OFlags::RDWR)
}

struct Copy<'a> {
    order: &'a Order,
    stop: &'a Stop,
    source: BorrowedFd<'a>,
    target: BorrowedFd<'a>,
    from: Side,
    to: Side,
    calls: &'a mut u64,
    bounce: Vec<u8>,
    /// The kernel cannot copy between these two files by itself.
    plain: bool,
}

impl Copy<'_> {
    /// Moves one piece.
    fn piece(&mut self, left: u64, offsets: &mut (Position, Position)) -> Result<u64, End> {
        loop {
            if self.stop.wanted.load(Ordering::Relaxed) {
                return Err(End::Stopped(Errno::ECANCELED));
            }
            if self.from != Side::File {
                self.ready(self.source, PollFlags::IN)?;
            }
            if self.to != Side::File {
                self.ready(self.target, PollFlags::OUT)?;
            }
            *self.calls += 1;
            let moved = match (self.from, self.to) {
                (Side::File, Side::File) if !self.plain => self.between_files(left, offsets),
                (Side::Pipe, Side::Other) | (Side::Other, Side::Pipe) => self.bounced(left, offsets),
                (Side::Pipe, _) | (_, Side::Pipe) => self.spliced(left, offsets),
                _ => self.bounced(left, offsets),
            };
            match moved {
                Ok(0) => return Err(End::Over),
                Ok(moved) => return Ok(moved),
                // Somebody else was quicker, or there was less room than it seemed.
                Err(io::Errno::AGAIN | io::Errno::INTR) => continue,
                Err(error) => return Err(End::Failed(error)),
            }
        }
    }

    /// Waits until `descriptor` is ready, the copy is to stop, or, if it may not wait, not at all.
    fn ready(&mut self, descriptor: BorrowedFd<'_>, events: PollFlags) -> Result<(), End> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let limit = if self.order.may_wait { None } else { Some(&now) };
        loop {
            let mut asked = [
                PollFd::from_borrowed_fd(descriptor, events),
                PollFd::from_borrowed_fd(self.stop.event.as_fd(), PollFlags::IN),
            ];
            *self.calls += 1;
            retry(|| poll(&mut asked, limit))?;
            if self.stop.wanted.load(Ordering::Relaxed) {
                return Err(End::Stopped(Errno::ECANCELED));
            }
            if !asked[0].revents().is_empty() {
                return Ok(());
            }
            if !self.order.may_wait {
                return Err(End::Stopped(Errno::ETIMEDOUT));
            }
        }
    }

    fn between_files(&mut self, left: u64, offsets: &mut (Position, Position)) -> io::Result<u64> {
        match by_kernel(self.source, self.target, offsets, left) {
            Ok(moved) if moved > 0 => Ok(moved),
            Err(io::Errno::INVAL) if self.same_file() => Err(io::Errno::INVAL),
            // Files of pseudo file systems look empty to this call, and some pairs it refuses.
            Ok(_) | Err(io::Errno::XDEV | io::Errno::INVAL | io::Errno::OPNOTSUPP | io::Errno::NOSYS) => {
                self.plain = true;
                self.bounced(left, offsets)
            }
            // The call refuses a target that appends; writing to it does not.
            Err(io::Errno::BADF) if self.appends() => {
                self.plain = true;
                self.bounced(left, offsets)
            }
            Err(error) => Err(error),
        }
    }

    fn appends(&mut self) -> bool {
        *self.calls += 1;
        rustix::fs::fcntl_getfl(self.target).is_ok_and(|flags| flags.contains(OFlags::APPEND))
    }

    /// Then what the kernel refused are ranges that overlap.
    fn same_file(&mut self) -> bool {
        *self.calls += 2;
        match (fstat(self.source), fstat(self.target)) {
            (Ok(source), Ok(target)) => (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino),
            _ => false,
        }
    }

    fn spliced(&mut self, left: u64, offsets: &mut (Position, Position)) -> io::Result<u64> {
        let most = if self.to == Side::Socket { SOCKET_PIECE } else { BOUNCE as u64 };
        let length = left.min(most) as usize;
        let (from, to) = (offsets.0.as_mut(), offsets.1.as_mut());
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        rustix::pipe::splice(self.source, from, self.target, to, length, flags).map(|moved| moved as u64)
    }

    /// Through our own memory: look at the source, write, then take from the source what was written.
    fn bounced(&mut self, left: u64, offsets: &mut (Position, Position)) -> io::Result<u64> {
        // What cannot be put back is taken in pieces that a ready target has room for.
        let most = if self.from == Side::Other || self.from == Side::Pipe { 512 } else { BOUNCE };
        let length = left.min(most as u64) as usize;
        self.bounce.resize(BOUNCE, 0);
        let mut bounce = std::mem::take(&mut self.bounce);
        let moved = self.through(&mut bounce[..length], offsets);
        self.bounce = bounce;
        moved
    }

    fn through(&mut self, buffer: &mut [u8], offsets: &mut (Position, Position)) -> io::Result<u64> {
        *self.calls += 2;
        let start = match (self.from, offsets.0) {
            (Side::File, None) => Some(seek(self.source, SeekFrom::Current(0))?),
            (_, offset) => offset,
        };
        let count = match self.from {
            Side::File => rustix::io::pread(self.source, &mut *buffer, start.unwrap_or(0))?,
            Side::Socket => {
                rustix::net::recv(self.source, &mut *buffer, RecvFlags::PEEK | RecvFlags::DONTWAIT)?.0
            }
            Side::Pipe | Side::Other => rustix::io::read(self.source, &mut *buffer)?,
        };
        if count == 0 {
            return Ok(0);
        }
        let data = &buffer[..count];
        let written = match (self.to, offsets.1) {
            (Side::Socket, _) => {
                rustix::net::send(self.target, data, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?
            }
            (_, Some(offset)) => rustix::io::pwrite(self.target, data, offset)?,
            (_, None) => rustix::io::write(self.target, data)?,
        };
        if let Some(offset) = offsets.1.as_mut() {
            *offset += written as u64;
        }
        match self.from {
            Side::File => {
                let end = start.unwrap_or(0) + written as u64;
                match offsets.0.as_mut() {
                    Some(offset) => *offset = end,
                    None => {
                        seek(self.source, SeekFrom::Start(end))?;
                    }
                }
            }
            Side::Socket => {
                // They were there a moment ago, and a socket does not lose bytes.
                rustix::net::recv(self.source, &mut buffer[..written], RecvFlags::DONTWAIT)?;
            }
            Side::Pipe | Side::Other => {}
        }
        Ok(written as u64)
    }
}

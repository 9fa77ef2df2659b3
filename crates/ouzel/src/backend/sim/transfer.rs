//! READ, WRITE, SEND, RECV and COPY in the simulated machine.
//!
//! What is read is looked at first and taken away only when it has reached its target, so that nothing is lost between
//! two attempts. A write to a pipe or stream takes what fits now, as the kernel's ring does; `whole_writes` makes it go on
//! until everything is written, as `write(2)` does.

use ouzel_engine::{Buffers, Position, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MAX_TRANSFER, MessageFlags, OpenFlags};

use super::tree::Kind;
use super::turn::{Key, Stop};
use super::world::{Object, Subject, World};
use crate::backend::memory;

/// Bytes that COPY moves in one step.
const STEP: u64 = 65_536;

impl World {
    pub(super) fn read(&mut self, file: Subject, buffers: &Buffers, position: Position) -> Result<u64, Stop> {
        check_offset(file, position)?;
        let (id, object, flags) = self.usable(file)?;
        let count = memory::length(buffers).min(MAX_TRANSFER);
        check_position(object, position)?;
        if !flags.contains(OpenFlags::READ) {
            return Err(Errno::EBADF.into());
        }
        if count == 0 && !matches!(object, Object::Inode(_)) {
            return Ok(0);
        }
        if let Object::Bell(bell) = object {
            let bytes = self.read_bell(bell, count)?;
            return Ok(memory::scatter(buffers, 0, &bytes));
        }
        let data = self.look(id, object, position, count)?;
        let count = memory::scatter(buffers, 0, &data);
        self.take(id, object, position, count);
        Ok(count)
    }

    pub(super) fn write(
        &mut self,
        file: Subject,
        buffers: &Buffers,
        position: Position,
        progress: &mut u64,
    ) -> Result<u64, Stop> {
        check_offset(file, position)?;
        let (id, object, flags) = self.usable(file)?;
        check_position(object, position)?;
        if !flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF.into());
        }
        let whole = memory::length(buffers).min(MAX_TRANSFER);
        loop {
            let data = memory::gather(buffers, *progress, whole - *progress);
            let count = match self.put(id, object, position, &data) {
                Ok(count) => count,
                Err(Stop::Error(_)) if *progress > 0 => return Ok(*progress),
                Err(stop) => return Err(stop),
            };
            *progress += count;
            if *progress >= whole || !self.whole_writes || matches!(object, Object::Inode(_)) {
                return Ok(*progress);
            }
        }
    }

    pub(super) fn send(
        &mut self,
        socket: u64,
        buffer: Span,
        flags: MessageFlags,
        progress: &mut u64,
    ) -> Result<u64, Stop> {
        if flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let buffers = Buffers::One(buffer);
        let whole = memory::length(&buffers).min(MAX_TRANSFER);
        loop {
            let data = memory::gather(&buffers, *progress, whole - *progress);
            let count = match self.network.send(socket, &data) {
                Ok(count) => count as u64,
                Err(Stop::Error(_)) if *progress > 0 => return Ok(*progress),
                Err(stop) => return Err(stop),
            };
            *progress += count;
            let go_on = self.whole_writes || flags.contains(MessageFlags::WAIT_ALL);
            if *progress >= whole || !go_on {
                return Ok(*progress);
            }
        }
    }

    pub(super) fn receive(
        &mut self,
        socket: u64,
        buffer: Span,
        flags: MessageFlags,
        progress: &mut u64,
    ) -> Result<u64, Stop> {
        if flags.contains(MessageFlags::OUT_OF_BAND) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let keep = flags.contains(MessageFlags::PEEK);
        let stream = self.network.socket(socket)?.kind == super::socket::Type::Stream;
        let whole = (buffer.length as u64).min(MAX_TRANSFER);
        loop {
            let data = match self.network.peek(socket, whole - *progress) {
                Ok(data) => data,
                Err(Stop::Error(_)) if *progress > 0 => return Ok(*progress),
                Err(stop) => return Err(stop),
            };
            let count = memory::fill(buffer, *progress as usize, &data);
            if !keep {
                self.network.consume(socket, count);
            }
            *progress += count as u64;
            let go_on = flags.contains(MessageFlags::WAIT_ALL) && stream && !keep && count > 0;
            if *progress >= whole || !go_on {
                return Ok(*progress);
            }
        }
    }

    pub(super) fn copy(
        &mut self,
        source: Subject,
        from: Position,
        target: Subject,
        to: Position,
        length: u64,
        progress: &mut u64,
    ) -> Result<u64, Stop> {
        let (read, read_object, read_flags) = self.usable(source)?;
        let (write, write_object, write_flags) = self.usable(target)?;
        if !read_flags.contains(OpenFlags::READ) || !write_flags.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF.into());
        }
        check_position(read_object, from)?;
        check_position(write_object, to)?;
        if let Object::Inode(number) = read_object
            && self.tree.is_directory(number)
        {
            return Err(Errno::EISDIR.into());
        }
        let length = length.min(MAX_TRANSFER);
        if *progress == 0 && read_object == write_object && matches!(read_object, Object::Inode(_)) {
            let start = |id: &u64, position: Position| {
                position.or_else(|| self.open.get(id).map(|opened| opened.position)).unwrap_or(0)
            };
            // Only what there is to be copied can overlap; appended bytes go behind all of it.
            let (first, end) = (start(&read, from), self.extent(read_object)?);
            let count = length.min(end.saturating_sub(first));
            let appends = write_flags.contains(OpenFlags::APPEND);
            if !appends && count > 0 && first.abs_diff(start(&write, to)) < count {
                return Err(Errno::EINVAL.into());
            }
        }
        while *progress < length {
            let count = STEP.min(length - *progress);
            let step = self
                .look(read, read_object, from.map(|from| from.saturating_add(*progress)), count)
                .and_then(|data| {
                    if data.is_empty() {
                        return Ok(0);
                    }
                    self.put(write, write_object, to.map(|to| to.saturating_add(*progress)), &data)
                });
            match step {
                Ok(0) => break,
                Ok(count) => {
                    self.take(read, read_object, from, count);
                    *progress += count;
                }
                Err(Stop::Error(_)) if *progress > 0 => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(*progress)
    }

    /// How long a regular file is; 0 for anything else.
    fn extent(&self, object: Object) -> Result<u64, Errno> {
        Ok(match object {
            Object::Inode(number) => match &self.tree.inode(number)?.kind {
                Kind::File(pages) => pages.size(),
                _ => 0,
            },
            _ => 0,
        })
    }

    fn position(&self, id: u64, position: Position) -> u64 {
        position.unwrap_or_else(|| self.open.get(&id).map_or(0, |opened| opened.position))
    }

    /// At most `count` bytes of what can be read, which stay where they are. Empty at the end.
    pub(super) fn look(
        &mut self,
        id: u64,
        object: Object,
        position: Position,
        count: u64,
    ) -> Result<Vec<u8>, Stop> {
        match object {
            Object::Inode(number) => {
                let at = self.position(id, position);
                if at.checked_add(count).is_none_or(|end| end > i64::MAX as u64) {
                    return Err(Errno::EINVAL.into());
                }
                let Kind::File(pages) = &self.tree.inode(number)?.kind else {
                    return Err(Errno::EISDIR.into());
                };
                Ok(pages.read(at, count))
            }
            Object::Reader(pipe) | Object::Both(pipe) => {
                let found = self.pipes.get(&pipe).ok_or(Errno::EBADF)?;
                if found.is_empty() && found.writers > 0 {
                    return Err(Stop::Wait(vec![Key::Pipe(pipe)]));
                }
                Ok(found.peek(count))
            }
            Object::Writer(_) => Err(Errno::EBADF.into()),
            Object::Process(_) | Object::Bell(_) => Err(Errno::EINVAL.into()),
            Object::Socket(socket) => self.network.peek(socket, count),
        }
    }

    /// Takes away what [`World::look`] gave: moves the position on, or empties the queue.
    pub(super) fn take(&mut self, id: u64, object: Object, position: Position, count: u64) {
        match object {
            Object::Inode(number) => {
                let now = self.tree.instant();
                if let Ok(inode) = self.tree.inode_mut(number) {
                    inode.accessed = now;
                }
                if position.is_none()
                    && let Some(opened) = self.open.get_mut(&id)
                {
                    opened.position += count;
                }
            }
            Object::Reader(pipe) | Object::Both(pipe) => {
                if let Some(found) = self.pipes.get_mut(&pipe) {
                    found.consume(count as usize);
                    self.network.touched.push(Key::Pipe(pipe));
                }
            }
            Object::Socket(socket) => self.network.consume(socket, count as usize),
            Object::Writer(_) | Object::Process(_) | Object::Bell(_) => {}
        }
    }

    /// Writes as much of `data` as fits now.
    pub(super) fn put(
        &mut self,
        id: u64,
        object: Object,
        position: Position,
        data: &[u8],
    ) -> Result<u64, Stop> {
        match object {
            Object::Inode(number) => Ok(self.put_file(id, number, position, data)?),
            Object::Writer(pipe) | Object::Both(pipe) => {
                if data.is_empty() {
                    return Ok(0);
                }
                let found = self.pipes.get_mut(&pipe).ok_or(Errno::EBADF)?;
                if found.readers == 0 {
                    return Err(Errno::EPIPE.into());
                }
                match found.write(data) {
                    0 => Err(Stop::Wait(vec![Key::Pipe(pipe)])),
                    count => {
                        self.network.touched.push(Key::Pipe(pipe));
                        Ok(count as u64)
                    }
                }
            }
            Object::Reader(_) => Err(Errno::EBADF.into()),
            Object::Process(_) => Err(Errno::EINVAL.into()),
            Object::Bell(bell) => match data.first_chunk() {
                Some(amount) => self.ring_bell(bell, u64::from_ne_bytes(*amount)).map(|()| 8),
                None => Err(Errno::EINVAL.into()),
            },
            Object::Socket(socket) => self.network.send(socket, data).map(|count| count as u64),
        }
    }

    fn put_file(&mut self, id: u64, number: u64, position: Position, data: &[u8]) -> Result<u64, Errno> {
        let flags = self.open.get(&id).map_or(OpenFlags::empty(), |opened| opened.flags);
        let at = self.position(id, position);
        if at.checked_add(data.len() as u64).is_none_or(|end| end > i64::MAX as u64) {
            return Err(Errno::EINVAL);
        }
        if data.is_empty() {
            return Ok(0);
        }
        let at = match &self.tree.inode(number)?.kind {
            Kind::File(pages) if flags.contains(OpenFlags::APPEND) => pages.size(),
            Kind::File(_) => at,
            _ => return Err(Errno::EISDIR),
        };
        if at >= self.largest_file {
            return Err(Errno::EFBIG);
        }
        let fits = (data.len() as u64).min(self.largest_file - at) as usize;
        let count = self.tree.with_pages(number, |pages, free| pages.write(at, &data[..fits], free))?;
        if count == 0 {
            return Err(Errno::ENOSPC);
        }
        self.tree.modify(number);
        if position.is_none()
            && let Some(opened) = self.open.get_mut(&id)
        {
            opened.position = at + count;
        }
        Ok(count)
    }
}

/// An offset beyond the largest is refused before anything is said of what is open, as `pread(2)` does.
fn check_offset(file: Subject, position: Position) -> Result<(), Errno> {
    let open = matches!(file, Subject::Open(_));
    if open && position.is_some_and(|at| at > i64::MAX as u64) { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Only files have positions that can be named.
fn check_position(object: Object, position: Position) -> Result<(), Errno> {
    match (object, position) {
        (Object::Inode(_), Some(at)) if at > i64::MAX as u64 => Err(Errno::EINVAL),
        (Object::Inode(_), _) | (_, None) => Ok(()),
        _ => Err(Errno::ESPIPE),
    }
}

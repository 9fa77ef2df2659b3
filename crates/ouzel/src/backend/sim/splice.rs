//! Simulated SPLICE: what is there and fits, between a pipe and something else.

use ouzel_engine::Position;
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;

use super::turn::{Key, Stop};
use super::world::{Object, Subject, World};

/// The most bytes that are moved at once: as many as a pipe holds.
const MOST: u64 = 65_536;

fn pipe_of(object: Object) -> Option<u64> {
    match object {
        Object::Reader(pipe) | Object::Writer(pipe) | Object::Both(pipe) => Some(pipe),
        _ => None,
    }
}

impl World {
    pub(super) fn splice(
        &mut self,
        source: Subject,
        from: Position,
        target: Subject,
        to: Position,
        length: u64,
    ) -> Result<u64, Stop> {
        let (read, read_object) = self.described(source)?;
        let (write, write_object) = self.described(target)?;
        let is_stream = |object| pipe_of(object).is_some() || matches!(object, Object::Socket(_));
        if (from.is_some() && is_stream(read_object)) || (to.is_some() && is_stream(write_object)) {
            return Err(Errno::ESPIPE.into());
        }
        if length == 0 {
            return Ok(0);
        }
        let (_, _, reads) = self.usable(source)?;
        let (_, _, writes) = self.usable(target)?;
        if !reads.contains(OpenFlags::READ) || !writes.contains(OpenFlags::WRITE) {
            return Err(Errno::EBADF.into());
        }
        let (first, second) = (pipe_of(read_object), pipe_of(write_object));
        let is_directory = |object| matches!(object, Object::Inode(number) if self.tree.is_directory(number));
        let odd = |object| matches!(object, Object::Process(_) | Object::Bell(_));
        if first == second
            || is_directory(read_object)
            || odd(read_object)
            || odd(write_object)
            || (matches!(write_object, Object::Inode(_)) && writes.contains(OpenFlags::APPEND))
        {
            return Err(Errno::EINVAL.into());
        }
        if let Some(pipe) = first
            && let Some(found) = self.pipes.get(&pipe)
            && found.is_empty()
            && found.writers > 0
        {
            return Err(Stop::Wait(vec![Key::Pipe(pipe)]));
        }
        if let Some(pipe) = second {
            let found = self.pipes.get(&pipe).ok_or(Errno::EPIPE)?;
            if found.readers == 0 {
                return Err(Errno::EPIPE.into());
            }
            if found.is_full() {
                return Err(Stop::Wait(vec![Key::Pipe(pipe)]));
            }
        }
        let data = self.look(read, read_object, from, length.min(MOST))?;
        if data.is_empty() {
            return Ok(0);
        }
        let count = self.put(write, write_object, to, &data)?;
        self.take(read, read_object, from, count);
        Ok(count)
    }

    /// What a descriptor stands for, also one that only names its file.
    fn described(&self, subject: Subject) -> Result<(u64, Object), Errno> {
        self.description(subject).map(|(id, description)| (id, description.object))
    }
}

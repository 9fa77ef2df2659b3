//! Simulated locks on ranges: LOCK. They belong to open descriptions and go with them.

use std::collections::BTreeMap;

use ouzel_ring::Errno;
use ouzel_ring::modifiers::{LockMode, OpenFlags};

use super::turn::{Key, Stop};
use super::world::{Object, Subject, World};

/// What a lock is on, in an order of its own.
pub(super) type Locked = (u8, u64);

/// A range that an open description holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    start: u64,
    /// The first byte behind it.
    end: u64,
    owner: u64,
    exclusive: bool,
}

/// All locks.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<Locked, Vec<Lock>>,
}

impl Locks {
    /// Whether `owner` would have to wait for somebody.
    fn conflicts(&self, on: Locked, start: u64, end: u64, owner: u64, exclusive: bool) -> bool {
        self.held.get(&on).into_iter().flatten().any(|lock| {
            lock.owner != owner && lock.start < end && start < lock.end && (exclusive || lock.exclusive)
        })
    }

    /// Takes what `owner` has of the range away.
    fn carve(&mut self, on: Locked, start: u64, end: u64, owner: u64) {
        let Some(locks) = self.held.get_mut(&on) else { return };
        let mut left = Vec::with_capacity(locks.len() + 1);
        for lock in locks.drain(..) {
            if lock.owner != owner || lock.end <= start || end <= lock.start {
                left.push(lock);
                continue;
            }
            if lock.start < start {
                left.push(Lock { end: start, ..lock });
            }
            if end < lock.end {
                left.push(Lock { start: end, ..lock });
            }
        }
        *locks = left;
        if locks.is_empty() {
            self.held.remove(&on);
        }
    }

    /// Takes all that `owner` has on one thing away; says whether that was anything.
    pub(super) fn release(&mut self, on: Locked, owner: u64) -> bool {
        let before = self.held.get(&on).map_or(0, Vec::len);
        self.carve(on, 0, u64::MAX, owner);
        before != self.held.get(&on).map_or(0, Vec::len)
    }
}

impl Object {
    /// What a lock on it is on: both ends of a pipe are one thing.
    pub(super) fn locked(self) -> Locked {
        match self {
            Object::Inode(number) => (0, number),
            Object::Reader(pipe) | Object::Writer(pipe) | Object::Both(pipe) => (1, pipe),
            Object::Socket(socket) => (2, socket),
            Object::Process(number) => (3, number as u64),
            Object::Bell(bell) => (4, bell),
        }
    }
}

impl World {
    pub(super) fn lock(
        &mut self,
        file: Subject,
        offset: u64,
        length: u64,
        mode: LockMode,
    ) -> Result<(), Stop> {
        let (id, object, flags) = self.usable(file)?;
        let needed = match mode {
            LockMode::Shared => OpenFlags::READ,
            LockMode::Exclusive => OpenFlags::WRITE,
            LockMode::Unlock => OpenFlags::empty(),
        };
        if !flags.contains(needed) {
            return Err(Errno::EBADF.into());
        }
        let on = object.locked();
        let end = if length == 0 { u64::MAX } else { offset + length };
        let exclusive = mode == LockMode::Exclusive;
        if mode != LockMode::Unlock && self.locks.conflicts(on, offset, end, id, exclusive) {
            return Err(Stop::Wait(vec![Key::Lock(on)]));
        }
        self.locks.carve(on, offset, end, id);
        if mode != LockMode::Unlock {
            let lock = Lock { start: offset, end, owner: id, exclusive };
            self.locks.held.entry(on).or_default().push(lock);
        }
        self.network.touched.push(Key::Lock(on));
        Ok(())
    }
}

//! Rooms: buffers that several steps of a chain use, whole or in part.
//!
//! A room is given to the chain once and named by what fills it and what takes from it. All of it is initialised
//! before the chain runs, so any part may be written out; and no part can be longer than the room: a length that is
//! known only as the chain runs is checked by a step of its own in front of the one that uses it.

use ouzel_ring::{Payload, Verb};

use super::{Chain, Count, Draft, MAX_STEPS, Marks, Memory, Reg, Unit};
use crate::{Buffer, BuildError};

/// The number of a room that is no buffer of the chain but memory that a program is called with.
pub(crate) const CALLERS: u16 = u16::MAX;

const _: () = assert!(MAX_STEPS < CALLERS as usize);

/// A buffer that the steps of one chain share. See [`Chain::room`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub(super) chain: u64,
    pub(super) buffer: u16,
    pub(crate) address: u64,
    pub(super) capacity: u64,
}

impl Room {
    /// Its first `length` bytes, as known now or as an earlier step results in. Where an earlier step says how many and
    /// nothing bounds that to the room, a step (SUB) is added that fails with EOVERFLOW if it is too many.
    pub fn first(self, length: impl Into<Count>) -> Part {
        Part { room: self, length: length.into() }
    }

    /// Whether it is of the chain with this number.
    pub(crate) fn is_of(self, chain: u64) -> bool {
        self.chain == chain
    }

    /// How many bytes it has.
    pub fn capacity(self) -> u64 {
        self.capacity
    }
}

/// The first bytes of a [`Room`].
#[derive(Clone, Copy, Debug)]
pub struct Part {
    room: Room,
    length: Count,
}

impl From<Room> for Part {
    fn from(room: Room) -> Part {
        room.first(room.capacity)
    }
}

/// What a step's payload is, found from a part.
pub(super) struct Found {
    pub(super) buffer: u16,
    pub(crate) address: u64,
    pub(super) length: Count,
}

impl super::Body {
    /// Takes a room back.
    pub(crate) fn take_room(&mut self, room: Room) -> Option<Buffer> {
        self.buffers.get_mut(room.buffer as usize)?.take()
    }
}

impl Chain {
    /// Gives `buffer` to the chain, for several steps to fill and to take from, in loops again and again. It has the whole
    /// capacity of the buffer; what the steps do not fill holds what the buffer held, and zeros behind that.
    /// [`Done::take_room`](crate::Done::take_room) gives it back.
    ///
    /// ```
    /// use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
    ///
    /// let mut chain = Chain::new();
    /// let file = chain.open("Cargo.toml", OpenOptions::read());
    /// let room = chain.room(Buffer::with_capacity(64));
    /// let half = chain.read(file, room.first(32u64), Offset::START);
    /// let all = chain.read(file, room, Offset::START);
    /// chain.finally().close(file);
    /// let mut done = Ring::new()?.run(chain)?;
    /// assert_eq!((done.get(half)?, done.get(all)?), (32, 64));
    /// assert_eq!(done.take_room(room).map(|buffer| buffer.len()), Some(64));
    /// # Ok::<(), ouzel::Error>(())
    /// ```
    pub fn room(&mut self, buffer: impl Into<Buffer>) -> Room {
        let mut buffer = buffer.into();
        buffer.initialise();
        let capacity = buffer.capacity() as u64;
        let (buffer, address) = self.push_buffer(buffer);
        Room { chain: self.body.number, buffer, address, capacity }
    }

    /// A room that is a piece of memory of a program's caller.
    pub(crate) fn room_of_caller(&self, payload: Payload, capacity: u64) -> Room {
        Room { chain: self.body.number, buffer: CALLERS, address: payload.number(), capacity }
    }

    /// What the payload of the step about to be added is. What bounds its length comes before that step.
    pub(super) fn part(&mut self, verb: Verb, part: Part) -> Option<Found> {
        let Part { room, length } = part;
        let step = self.body.steps.len();
        if room.chain != self.body.number {
            self.body.fail(BuildError::ForeignRoom { step, verb });
            return None;
        }
        if let Count::Known(asked) = length {
            if asked > room.capacity {
                self.body.fail(BuildError::BeyondRoom { step, verb, asked, room: room.capacity });
                return None;
            }
        } else if room.buffer != CALLERS && !self.is_bounded(length, room) {
            // Of a caller's piece the engine knows the length, and checks.
            if self.body.next_is_finally {
                self.body.fail(BuildError::UnboundedFinally { step, verb, room: room.capacity });
                return None;
            }
            let draft = Draft::new(Verb::Sub).value(2, room.capacity);
            let _: Reg<Unit> = draft.count(self, 3, length).add(self);
        }
        Some(Found { buffer: room.buffer, address: room.address, length })
    }

    /// Whether a result can never exceed the room: a count of what was read into it, or a MIN with a constant.
    fn is_bounded(&self, length: Count, room: Room) -> bool {
        let (chain, source) = match length {
            Count::Known(_) => return false,
            Count::Bytes(reg) => (reg.chain, reg.step()),
            Count::Number(reg) => (reg.chain, reg.step()),
        };
        let Some(step) = self.body.steps.get(source).filter(|_| chain == self.body.number) else {
            return false;
        };
        // A variable may have been assigned something else.
        match (step.shape.verb(), step.payload) {
            _ if step.shape.has(Marks::VARIABLE) => false,
            (Verb::Read | Verb::Recv | Verb::Readdir, Memory::Room(_)) => step.arguments[1] == room.address,
            (Verb::Min, _) => {
                let needs = step.shape.needs();
                let known = |argument: usize| {
                    needs[argument].source().is_none() && step.arguments[argument] <= room.capacity
                };
                known(2) || known(3)
            }
            _ => false,
        }
    }
}

//! Packets: what the backend remembers of each started operation, by the slot of its token.
//!
//! Plain data, made once per slot; and the words that entries carry through the kernel and back. What every completion
//! reads lies apart from the operations, which only a second try and some failures look at.

use bitflags::bitflags;
use ouzel_engine::{Operation, Token};

use super::table::{Habit, Kind, NONE};

/// Token slots are below this, so that the bits above can mark entries of the backend's own.
pub(super) const SLOTS: u32 = 1 << 28;

/// The entry is the backend's own; its completion is no report.
pub(super) const OWN: u64 = 1 << 31;
/// Which of the backend's own entries it is.
pub(super) const KIND: u64 = OWN | 7 << 28;
/// A poll before a second try, beside the operation's token.
pub(super) const POLL: u64 = OWN | 1 << 28;
/// A cancel, beside the operation's token.
pub(super) const CANCEL: u64 = OWN | 2 << 28;
/// A cancel of a poll.
pub(super) const CANCEL_POLL: u64 = OWN | 3 << 28;
/// The poll of the helpers' bell.
pub(super) const BELL: u64 = OWN | 4 << 28;
/// A descriptor made from a slot.
pub(super) const INSTALL: u64 = OWN | 5 << 28;
/// The end of a run in place of what could not follow.
pub(super) const END: u64 = OWN | 6 << 28;

/// The word of a packet that no operation has: it marks an entry of the backend's own, so it is no token.
const NOBODY: u64 = u64::MAX;

bitflags! {
    /// How an operation stands.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Standing: u8 {
        /// If it did nothing it may simply be pushed once more; it is kept for that.
        const KEPT = 1 << 0;
        /// One of several linked entries.
        const IN_RUN = 1 << 1;
        /// Somebody asked for it to be given up.
        const CANCELLED = 1 << 2;
        /// It may wait for events.
        const MAY_WAIT = 1 << 3;
        /// A helper has it.
        const HELPER = 1 << 4;
        /// It is to be tried again.
        const AGAIN = 1 << 5;
        /// Its second try hangs behind a poll.
        const POLLED = 1 << 6;
        /// The member of its run before it is not over, so the kernel has not begun it and finds nothing to cancel.
        const BEHIND = 1 << 7;
    }
}

/// What the end of an operation means for the table and for its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// The kernel has filled the slot at this index, which the table knows; if it fails, the index is empty again.
    Fills(u32),
    /// The object at this index is gone.
    Closes(u32),
    /// The result is the number of a descriptor that OPEN made, which goes to this index. Not with [`Habit::Ring`]: plain
    /// calls may be made on it.
    Opens(u32, Kind, Habit),
    /// The result is the number of a socket, which goes to this index.
    Makes(u32),
    /// As `Fills` if there are slots, else as `Makes`; `addressed` if somebody wants the peer's address.
    Accepts {
        /// The index.
        index: u32,
        /// The kernel writes the address and its length.
        addressed: bool,
    },
    /// Nothing, and an EAGAIN is its answer: a word did not hold what was expected.
    Compares,
    /// Nothing, and the completion is no end: the operation is tried again by a plain call.
    Tries,
    /// So many bytes had been read before.
    Adds(u32),
    /// Each completion is one result of many.
    Many,
    /// Each completion is one connection of many.
    Connections,
    /// The kernel picks a buffer out of this group.
    Picks(u16),
    /// Each completion is one of many, and tells of a buffer that the kernel has picked out of this group.
    PicksMany(u16),
}

/// What is known of an operation once it is lowered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lowered {
    pub(super) effect: Effect,
    /// The indices whose descriptor it names by number.
    pub(super) pins: [u32; 2],
}

impl Lowered {
    /// Nothing.
    pub(super) const NOTHING: Lowered = Lowered { effect: Effect::Nothing, pins: [NONE; 2] };
}

/// What the completion of a started operation needs; small, so that many share the cache, and none is on two lines.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Packet {
    /// The token's word, or [`NOBODY`].
    word: u64,
    pub(super) lowered: Lowered,
    /// The slot of the next member of its run, or [`NONE`].
    pub(super) next: u32,
    pub(super) standing: Standing,
}

const _: () = assert!(size_of::<Packet>() == 32);

const IDLE: Packet =
    Packet { word: NOBODY, lowered: Lowered::NOTHING, next: NONE, standing: Standing::empty() };

impl Packet {
    /// The operation of `token` has started.
    #[inline]
    pub(super) fn begin(&mut self, token: Token, next: u32, standing: Standing) {
        (self.word, self.next, self.standing) = (token.to_word(), next, standing);
    }

    /// The token of the operation.
    #[inline]
    pub(super) fn token(&self) -> Token {
        Token::from_word(self.word)
    }

    /// The operation is over.
    #[inline]
    pub(super) fn free(&mut self) {
        self.word = NOBODY;
    }
}

/// The packets, and the operations of those that are [`KEPT`](Standing::KEPT).
#[derive(Debug, Default)]
pub(super) struct Packets {
    packets: Vec<Packet>,
    operations: Vec<Operation>,
}

impl Packets {
    /// The packet in `slot`, made if there has been none, for a new operation: one to be kept or another.
    #[inline]
    pub(super) fn place(&mut self, slot: u32, kept: Option<&Operation>) -> &mut Packet {
        let slot = slot as usize;
        if slot >= self.packets.len() {
            self.grow(slot);
        }
        if let Some(operation) = kept {
            self.operations[slot] = *operation;
        }
        &mut self.packets[slot]
    }

    #[cold]
    fn grow(&mut self, slot: usize) {
        let size = (slot + 1).next_power_of_two();
        self.packets.resize(size, IDLE);
        self.operations.resize(size, Operation::Close { file: NONE });
    }

    /// The packet of `token`, unless that operation is over.
    #[inline]
    pub(super) fn of(&mut self, token: Token) -> Option<&mut Packet> {
        self.at(token.slot).filter(|packet| packet.word == token.to_word())
    }

    /// The packet in `slot`.
    #[inline]
    pub(super) fn at(&mut self, slot: u32) -> Option<&mut Packet> {
        self.packets.get_mut(slot as usize)
    }

    /// The operation in `slot`, if it was kept.
    pub(super) fn kept(&self, slot: u32) -> Option<&Operation> {
        let packet = self.packets.get(slot as usize)?;
        let operation = self.operations.get(slot as usize)?;
        packet.standing.contains(Standing::KEPT).then_some(operation)
    }
}

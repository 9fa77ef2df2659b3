//! Packets: what the backend remembers of each started operation, by the slot of its token.
//!
//! Plain data, made once per slot; and the words that entries carry through the kernel and back.

use bitflags::bitflags;
use ouzel_engine::{Operation, Token};

use super::table::NONE;

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

bitflags! {
    /// How an operation stands.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Standing: u8 {
        /// Started and not reported for the last time.
        const LIVE = 1 << 0;
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

/// One started operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) generation: u32,
    pub(super) standing: Standing,
    /// The indices whose descriptor it names by number.
    pub(super) pins: [u32; 2],
    /// The slot of the next member of its run, or [`NONE`].
    pub(super) next: u32,
    pub(super) operation: Operation,
}

impl Packet {
    pub(super) const IDLE: Packet = Packet {
        generation: 0,
        standing: Standing::empty(),
        pins: [NONE; 2],
        next: NONE,
        operation: Operation::Close { file: NONE },
    };

    /// Whether this is the live packet of `token`.
    #[inline]
    pub(super) fn is(&self, token: Token) -> bool {
        self.standing.contains(Standing::LIVE) && self.generation == token.generation
    }
}

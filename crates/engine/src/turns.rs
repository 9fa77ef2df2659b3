//! Turns: what an engine offers to a server that gives many clients their turn on one thread.
//!
//! Without it an enter does all that can be done. With [`Engine::take_turns`] one that does not wait does a bounded share of
//! it, however long the programs of its client are, and says that there is more. This module bounds and counts; what is done
//! in a turn is in the other modules.

use crate::{Backend, Engine};

/// How many members of chains with PROGRAM move on before others get their turn: of one chain, or, where an engine takes
/// turns with others, of all its chains.
pub(crate) const MEMBERS_AT_ONCE: u32 = 1024;

/// How often an enter that takes its turn asks the backend for reports.
pub(crate) const LOOKS_IN_TURN: u32 = 2;

impl<B: Backend> Engine<B> {
    /// From now on an [`enter`](Engine::enter) that does not wait returns when its chains have had their turn, instead of
    /// going on until all that can be done is done: 1,024 members of chains with PROGRAM, at least one of each chain, have
    /// run, or it has asked the backend twice for reports. [`has_more`](Engine::has_more) says that another enter would go
    /// on. Together with `submit` that bounds what one client can have done while others wait.
    ///
    /// A CANCEL behind a blocked head is then found wherever it is in the queue, also beyond `submit`.
    pub fn take_turns(&mut self) {
        self.takes_turns = true;
    }

    /// Has the descriptors that are given out from now on begin with this generation, as far as their index is not in use; 0 is
    /// taken for 1. So those of a submitter that had another engine before are none of this one's.
    pub fn begin_generations_with(&mut self, generation: u32) {
        self.descriptors.begin_with(generation);
    }

    /// Whether chains wait for the next enter: they have had their turn, or something they wait for has happened, or the
    /// backend had no room for them, or was not told yet what it is to do. Those without room may wait longer: if
    /// [`has_stalled`](Engine::has_stalled), an enter may change nothing before the backend has a report.
    pub fn has_more(&self) -> bool {
        self.could_move() || !self.stalled.is_empty()
    }

    /// Whether chains wait for nothing but the next enter.
    pub(crate) fn could_move(&self) -> bool {
        !self.work.is_empty() || !self.paused.is_empty() || self.unsubmitted
    }

    /// How many entries were refused that only a broken or hostile submitter writes, each with EINVAL and without being run:
    ///
    /// - every entry of a malformed chain: one with an unknown flag, LINK beside HARDLINK, an entry behind a FINALLY one that
    ///   is not FINALLY itself, LOCAL, DRAIN or PROGRAM on another entry than the first, or a MULTISHOT that does not stand
    ///   alone;
    /// - an entry with a number that no verb has, each time that it is its turn; not those behind a broken link, which do
    ///   not have one.
    ///
    /// Everything else that can be wrong with an entry may be wrong by chance, and does not count.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// A new turn begins: chains that have had the last one may move on again.
    pub(crate) fn begin_turn(&mut self) {
        self.members_left = MEMBERS_AT_ONCE;
        if self.takes_turns && self.paused.len() > 1 {
            // The first has had most of the last turn.
            self.paused.rotate_left(1);
        }
        self.work.append(&mut self.paused);
    }

    /// A member of a chain with PROGRAM has run. Whether that was the last one of this turn.
    #[inline]
    pub(crate) fn is_turn_over(&mut self) -> bool {
        self.members_left = self.members_left.saturating_sub(1);
        self.takes_turns && self.members_left == 0
    }
}

//! Awaited: whether whoever entered the engine can only wait for what is started next.
//!
//! A backend never keeps its caller waiting for one operation, since something else might end sooner. But a program
//! that submits one chain and waits until it is over wants nothing else, and then it costs less to let it wait in a plain
//! system call than to have somebody else do the work and tell. This module finds out when that is so. It must never say
//! so while anything else could produce a completion, or could ask for anything.

use crate::{Backend, Engine};

impl<B: Backend> Engine<B> {
    /// Says that who enters is also who submits, on one thread: while an enter lasts nothing is pushed, read or cancelled.
    ///
    /// An enter that waits for completions without a limit of time then lets the backend do what it waits for on the
    /// spot, if nothing else is in flight ([`Backend::may_block`]).
    pub fn submitter_enters(&mut self) {
        self.submitter_enters = true;
    }

    /// Tells the backend whether the operation that it is given next is all that can be waited for: `chains` are live if
    /// its chain is the only one.
    #[inline]
    pub(crate) fn tell_whether_awaited(&mut self, chains: u32) {
        let awaited = self.awaited > 0 && self.is_awaited_alone(chains);
        if awaited != self.told_awaited {
            self.told_awaited = awaited;
            self.backend.may_block(awaited);
        }
    }

    fn is_awaited_alone(&self, chains: u32) -> bool {
        // The chain of a program that runs for another is not one more: that other one waits for it.
        self.chains.live() - self.calls.running() == chains
            && self.timers.next().is_none()
            && self.staged.is_empty()
            && self.stored.is_empty()
            && self.queues.is_copied()
            && self.queues.unread_seen() < self.awaited
    }
}

//! Multishot: steps that result again and again.
//!
//! Such a step goes on until it fails or is cancelled, so it is the last of its chain and has no FINALLY steps behind it.
//! Its results are kept with the chain, in the order they came, until somebody takes them; its end comes as that of any
//! other step.

use alloc::vec::Vec;
use ouzel_ring::Verb;
use ouzel_ring::modifiers::PollEvents;

use super::{Chain, Draft, Fd, File, Marks, Reg};
use crate::done::{Done, Kind};

impl Chain {
    /// ACCEPT, again and again: takes one connection after the other until it is cancelled or fails. It must be the last
    /// step of its chain.
    ///
    /// `Ring::next_result` takes the connections as they come, [`Done::results`] those that are
    /// left when it is over. It ends with ENOBUFS when the ring has no room for another completion: submit it again.
    pub fn accept_many(&mut self, socket: impl Into<File>) -> Reg<Fd> {
        let reg = Draft::new(Verb::Accept).file(self, 0, socket).add(self);
        self.mark_last(Marks::MULTISHOT);
        reg
    }

    /// POLL, again and again: results in the events that are there each time that there are new ones. It must be the last
    /// step of its chain; results are taken as those of [`accept_many`](Chain::accept_many).
    pub fn poll_many(&mut self, file: impl Into<File>, events: PollEvents) -> Reg<u64> {
        let reg = Draft::new(Verb::Poll).file(self, 0, file).value(1, events.bits()).add(self);
        self.mark_last(Marks::MULTISHOT);
        reg
    }
}

impl<E> Done<E> {
    /// Takes what a multishot step has resulted in and nobody has taken before, in the order it came. Nothing if `reg` is
    /// another chain's or no multishot step's.
    pub fn results<T: Kind>(&mut self, reg: Reg<T>) -> Vec<T::Value> {
        if !self.owns(reg) {
            return Vec::new();
        }
        let results = self.chain.body.many.drain(..);
        results.filter_map(|completion| T::value(&completion, false, None)).collect()
    }
}

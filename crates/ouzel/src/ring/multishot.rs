//! Results of multishot steps, taken while their chains go on.

use ouzel_chain::ring::Running;
use ouzel_ring::Completion;

use super::{Ring, Ticket};
use crate::chain::{Kind, Reg};
use crate::error::Error;

impl<M> Ring<M> {
    /// Takes the next result of the multishot step `reg` of the chain `ticket`, among those that have come, without entering
    /// the ring. `None` if there is none now, or if there is no such chain (any more). What is not taken stays in the chain,
    /// for [`Done::results`](crate::Done::results).
    pub fn next_result<T: Kind>(&mut self, ticket: Ticket, reg: Reg<T>) -> Option<T::Value> {
        if !self.body_of(ticket)?.made(reg) {
            return None;
        }
        loop {
            let completion = self.next_completion(ticket)?;
            if let Some(value) = T::value(&completion, false, None) {
                return Some(value);
            }
        }
    }

    /// Waits for the next result of the multishot step `reg` of the chain `ticket`. `None` if it is over and all its results
    /// have been taken: [`wait`](Ring::wait) then says how it ended.
    pub fn wait_result<T: Kind>(&mut self, ticket: Ticket, reg: Reg<T>) -> Result<Option<T::Value>, Error> {
        loop {
            let result = self.next_result(ticket, reg);
            if result.is_some() || !self.is_running(ticket) {
                return Ok(result);
            }
            self.enter(1)?;
        }
    }

    /// The next of the completions that a multishot has posted, as it is.
    pub(crate) fn next_completion(&mut self, ticket: Ticket) -> Option<Completion> {
        self.body_of(ticket)?.next_completion()
    }

    /// The chain of `ticket`, as long as nobody has taken it.
    pub(super) fn body_of(&mut self, ticket: Ticket) -> Option<&mut Running> {
        let place = self.slots.get_mut(ticket.index())?;
        if place.generation != ticket.generation {
            return None;
        }
        place.chain.as_mut()
    }
}

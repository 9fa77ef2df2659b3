//! In turn: a report for the member of a chain whose turn it is.
//!
//! Members of a run report in their order, so mostly that is so, and the next one is on its way already. Then the member is
//! concluded here and now; the chain goes through the list of work only when it has something to start. Chains that are
//! special in any way, and those that are watched, always go through it. Nothing here starts an operation.

use crate::conclude::Ending;
use crate::packet::{Stage, marks};
use crate::slab::NONE;
use crate::{Backend, Engine, Outcome};

impl<B: Backend> Engine<B> {
    /// The operation of the member in `slot`, whose turn it is in `chain`, is over.
    #[inline]
    pub(crate) fn report_in_turn(&mut self, chain: u32, slot: u32, outcome: Outcome) {
        let members = &self.chains[chain];
        let is_common = !members.queued && members.marks & marks::SPECIAL == 0 && !self.trace.is_on();
        let Outcome::Done { .. } = outcome else { return self.queue(chain) };
        if !is_common {
            return self.queue(chain);
        }
        self.conclude(chain, slot, Ending::of_outcome(outcome));
        match self.chains[chain].current {
            NONE => self.finish_chain(chain),
            next if self.packets[next].stage == Stage::Started => {}
            _ => self.queue(chain),
        }
    }
}

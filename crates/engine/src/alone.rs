//! Alone: an entry that is no part of a chain and asks for nothing but its operation.
//!
//! Most entries are: no links, no registers, no timeout. Such a one has a packet and a chain like any other, so that
//! cancels, timers and teardown find it where they look. What it is spared is waiting for its turn: it is started as it is
//! taken in, and its completion is posted as its report is read. Whatever is unusual (somebody traces, the backend is full,
//! the operation has to be started again) sends it the common way, which it can go from any point on. Nothing here may
//! post twice, or free a chain that is in the work list.

use ouzel_ring::{Entry, EntryFlags, Verb};

use crate::conclude::Ending;
use crate::control::is_engine_s_own;
use crate::descriptors::Look;
use crate::dispatch::prepare;
use crate::packet::Stage;
use crate::{Backend, Engine, Operation, Outcome, Started, Token};

/// The flags that make no difference here: there are no registers to begin with, and SILENT is looked at in the end.
const PLAIN: EntryFlags = EntryFlags::LOCAL.union(EntryFlags::SILENT);

impl<B: Backend> Engine<B> {
    /// The verb of an entry that can go this way now, before anything else has its turn.
    #[inline(always)]
    pub(crate) fn verb_alone(&self, entry: &Entry, flags: EntryFlags) -> Option<Verb> {
        let plain = PLAIN.contains(flags) && entry.timeout == Entry::NEVER;
        if !plain || !self.work.is_empty() || self.restricted != 0 || self.trace.is_on() {
            return None;
        }
        Verb::from_number(entry.op).filter(|verb| !is_engine_s_own(*verb))
    }

    /// Takes an entry in and hands it to the backend. A slot for its completion is free.
    #[inline(always)]
    pub(crate) fn start_alone(&mut self, entry: Entry, verb: Verb) {
        self.queues.release(1);
        let chain = self.begin_chain_alone();
        let slot = self.begin_packet(entry, chain);
        self.chains[chain].lead(slot);
        let (packet, generation) = self.packets.with_generation(slot);
        packet.alone = true;
        let step = &mut self.run[0];
        step.token = Token { slot, generation };
        step.may_wait = true;
        let prepared = prepare(packet, verb, Look::Now, step, &mut self.descriptors, &self.regions);
        if let Err(error) = prepared {
            return self.end_alone(chain, slot, Ending::of(error));
        }
        self.started += 1;
        self.eager += packet.eager as u32;
        self.tell_whether_awaited(1);
        match self.backend.start(&self.run[..1]) {
            Started::Taken { .. } => {
                if let Operation::Close { file } = self.run[0].operation {
                    self.descriptors.kill(file);
                }
                self.unsubmitted = true;
            }
            Started::Finished { outcome, .. } => {
                self.started -= 1;
                self.eager -= self.packets[slot].eager as u32;
                let ending = Ending::of_outcome(self.settle(slot, outcome));
                self.end_alone(chain, slot, ending);
            }
            Started::Busy => {
                self.unprepare(slot);
                self.packets[slot].stage = Stage::Stalled;
                self.stalled.push_back(chain);
            }
        }
    }

    /// Ends the entry in `slot`, whose operation is over, if it went this way and nobody has anything else to do with it.
    #[inline(always)]
    pub(crate) fn ends_alone(&mut self, slot: u32, outcome: Outcome) -> bool {
        let packet = &self.packets[slot];
        let chain = packet.chain;
        let Outcome::Done { .. } = outcome else { return false };
        if !packet.alone || self.chains[chain].queued || self.trace.is_on() {
            return false;
        }
        self.end_alone(chain, slot, Ending::of_outcome(outcome));
        true
    }

    /// It has no timers, nothing to save and nobody behind it.
    #[inline(always)]
    fn end_alone(&mut self, chain: u32, slot: u32, ending: Ending) {
        let packet = self.packets.free(slot);
        let Entry { op, data, .. } = packet.entry;
        let flags = packet.flags();
        self.chains.free(chain);
        self.tell(op, data, flags, ending);
    }
}

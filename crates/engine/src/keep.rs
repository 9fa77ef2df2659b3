//! Keep: the members of a chain with PROGRAM, which stay until the chain is over.
//!
//! A member of such a chain may run more than once, so its completion waits: what would be posted is kept in its packet,
//! and the packet keeps its credit. When the chain is over the completions are posted in the order of the chain, or, if a
//! CALL runs it, make up that entry's end. Nothing here dispatches.

use ouzel_ring::{Completion, Entry, EntryFlags, Errno};

use crate::conclude::{Ending, breaks};
use crate::control::is_passed_over;
use crate::packet::{Effect, Ended, Kept, Stage, marks};
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Engine};

impl<B: Backend> Engine<B> {
    /// Sees to it that there is something to keep for each packet.
    #[cold]
    pub(crate) fn make_kept(&mut self) {
        let packets = self.packets.capacity() as usize;
        if self.kept.len() < packets {
            self.kept.resize(packets, Kept::new());
        }
    }

    /// The member in `slot` of a chain with PROGRAM, whose turn it was, is over for this time.
    #[cold]
    pub(crate) fn keep(
        &mut self,
        chain: u32,
        slot: u32,
        error: Errno,
        result: u64,
        extra: u32,
        skipped: bool,
    ) {
        self.timers.clear(slot);
        // If it runs again it is another operation: a cancel still on its way must not find it.
        self.packets.renew(slot);
        let packet = &mut self.packets[slot];
        let (flags, second) = (packet.flags(), packet.second);
        let finally = flags.contains(EntryFlags::FINALLY);
        let members = &mut self.chains[chain];
        packet.second = 0;
        packet.effect = Effect::None;
        packet.wakes = false;
        let kept = &mut self.kept[slot as usize];
        let back = core::mem::replace(&mut kept.back, NONE);
        // A REPEAT that goes back is reached once more.
        (members.current, packet.stage) =
            if back == NONE { (packet.next, Stage::Kept) } else { (back, Stage::Waiting) };
        // Whoever gave the chain up learns it from one member at least, even if all have run before.
        let given_up = members.ended == Some(Ended::GivenUp) && !finally;
        let tells = given_up && !error.is_ok() && !members.told;
        members.told |= tells;
        if !skipped || !kept.ran || tells {
            kept.ending = Ending { error, result, extra, skipped };
        }
        if !skipped {
            kept.ran = true;
            if !finally {
                members.ran += 1;
                if !is_passed_over(packet.entry.op) {
                    members.note(error, result, packet.entry.arguments[2]);
                }
            }
        }
        if !skipped {
            self.save_or_break(chain, flags, error, result, second);
        }
        if self.chains[chain].marks & marks::CALLED != 0 && !error.is_ok() {
            let failed = !finally && (given_up || (!skipped && breaks(flags)));
            if failed {
                self.note_failure(chain, slot, error);
            }
        }
        if self.trace.is_on() {
            self.note_kept_end(chain, slot, Ending { error, result, extra, skipped });
        }
    }

    /// A chain with PROGRAM is over: its completions are posted, or become the end of the CALL that runs it.
    #[cold]
    pub(crate) fn finish_program(&mut self, chain: u32) {
        if self.chains[chain].marks & marks::CALLED != 0 {
            return self.finish_call(chain);
        }
        let mut slot = self.chains[chain].first;
        while slot != NONE {
            let packet = &self.packets[slot];
            let (Entry { op, data, .. }, flags) = (packet.entry, packet.flags());
            let ending = self.kept[slot as usize].ending;
            let Ending { error, result, skipped, .. } = ending;
            self.record(slot, data, EventKind::Completed { error, result, skipped });
            self.tell(op, data, flags, ending);
            slot = self.let_go(slot);
        }
    }

    /// What the member in `slot` completes with.
    pub(crate) fn kept_completion(&self, slot: u32) -> Completion {
        let Entry { op, data, .. } = self.packets[slot].entry;
        self.kept[slot as usize].ending.completion(op, data)
    }

    /// Frees the packet in `slot` with what it has kept. Returns the next member.
    pub(crate) fn let_go(&mut self, slot: u32) -> u32 {
        self.kept[slot as usize] = Kept::new();
        self.packets.free(slot).next
    }
}

//! Conclude: reports come in, completions go out, timers fire.

use ouzel_ring::modifiers::{MAX_MESSAGE_DESCRIPTORS, MessageNotes};
use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Errno, REGISTERS};

use core::mem;

use crate::control::is_passed_over;
use crate::packet::{Effect, Ended, GivenUp, Stage, marks};
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Engine, Message, Outcome, Report};

/// A result of a multishot that waits for a completion slot.
pub(crate) struct Stored {
    pub(crate) slot: u32,
    pub(crate) outcome: Outcome,
    /// It is the operation's last, for which a slot is kept.
    pub(crate) last: bool,
}

/// How a member of a chain ended.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) error: Errno,
    pub(crate) result: u64,
    pub(crate) extra: u32,
    /// It was not run at all.
    pub(crate) skipped: bool,
}

impl Ending {
    /// With this error, or with a plain success.
    pub(crate) const fn of(error: Errno) -> Ending {
        Ending { error, result: 0, extra: 0, skipped: false }
    }

    pub(crate) const fn success(result: u64) -> Ending {
        Ending { error: Errno::OK, result, extra: 0, skipped: false }
    }

    /// As its operation did, which ran.
    #[inline]
    pub(crate) const fn of_outcome(outcome: Outcome) -> Ending {
        match outcome {
            Outcome::Done { error, result, extra } => Ending { error, result, extra, skipped: false },
            // What was started alone cannot come back as not run.
            Outcome::NotRun => Ending::of(Errno::EIO),
        }
    }

    pub(crate) const fn skipped(error: Errno) -> Ending {
        Ending { error, result: 0, extra: 0, skipped: true }
    }

    /// The completion of the entry with this number and user data that ended so.
    #[inline]
    pub(crate) const fn completion(self, op: u32, data: u64) -> Completion {
        let Ending { error, result, extra, skipped } = self;
        let flags = if skipped && error.is_ok() { CompletionFlags::SKIPPED.bits() } else { 0 };
        Completion { op, error: error.raw(), data, result, flags, extra }
    }
}

impl<B: Backend> Engine<B> {
    /// Takes every report the backend has. Returns how many.
    pub(crate) fn collect(&mut self) -> u32 {
        let mut count = 0;
        // When the store is full the rest stays in the backend, which holds it back in turn.
        while !self.is_store_full() {
            let Some(report) = self.backend.next() else { break };
            count += 1;
            self.take_report(report);
        }
        count
    }

    /// Whether nothing more can be taken from the backend before the submitter reads completions.
    pub(crate) fn is_store_full(&self) -> bool {
        self.stored.len() >= self.slots as usize
    }

    #[inline]
    fn take_report(&mut self, report: Report) {
        let slot = report.token.slot;
        let eager = match self.packets.current(slot, report.token.generation) {
            Some(packet) if packet.stage == Stage::Started => packet.eager,
            _ => {
                debug_assert!(false, "a report for an operation that is not started");
                return;
            }
        };
        if report.more {
            return self.take_result(slot, report.outcome);
        }
        self.started -= 1;
        self.eager -= eager as u32;
        let outcome = self.settle(slot, report.outcome);
        if self.trace.is_on() {
            let (ran, data) = (outcome != Outcome::NotRun, self.packets[slot].entry.data);
            self.record(slot, data, if ran { EventKind::Reported } else { EventKind::NotRun });
        }
        let packet = &mut self.packets[slot];
        if packet.stored > 0 {
            packet.stage = Stage::Stored;
            self.stored.push_back(Stored { slot, outcome, last: true });
            return;
        }
        if self.ends_alone(slot, outcome) {
            return;
        }
        let packet = &mut self.packets[slot];
        packet.stage = Stage::Reported(outcome);
        let chain = packet.chain;
        if self.chains[chain].current == slot {
            self.report_in_turn(chain, slot, outcome);
        }
    }

    /// One result of a multishot that goes on: posted if there is a slot to spare, else stored. When that was the
    /// last slot to spare, the operation is given up.
    fn take_result(&mut self, slot: u32, outcome: Outcome) {
        let outcome = match self.packets[slot].effect {
            Effect::Accepts => match self.accepted(outcome) {
                Ok(outcome) => outcome,
                // The entry ends with that error instead of going on with it.
                Err(_) => return self.give_up_packet(slot, GivenUp::NoDescriptor),
            },
            _ => outcome,
        };
        if self.packets[slot].stored > 0 || !self.has_slots(2) {
            self.packets[slot].stored += 1;
            self.stored.push_back(Stored { slot, outcome, last: false });
        } else {
            self.post_result(slot, outcome);
        }
        if !self.has_slots(2) {
            self.give_up_packet(slot, GivenUp::NoRoom);
        }
    }

    /// Whether `count` completion slots are promised to nobody.
    pub(crate) fn has_slots(&mut self, count: u32) -> bool {
        // A look at the submitter's head; if that is impossible, the next enter says so.
        self.free_credits() >= count || (self.queues.unread().is_ok() && self.free_credits() >= count)
    }

    fn post_result(&mut self, slot: u32, outcome: Outcome) {
        let Entry { op, data, .. } = self.packets[slot].entry;
        let Outcome::Done { error, result, extra } = outcome else { return };
        if self.trace.is_on() {
            self.note_result(slot, data, EventKind::Completed { error, result, skipped: false });
        }
        let flags = CompletionFlags::MORE.bits();
        self.post(Completion { op, error: error.raw(), data, result, flags, extra });
    }

    /// What a multishot ACCEPT reports, with a descriptor in place of the handle of a connection that it took. EMFILE,
    /// and the connection is closed, if the table is full.
    fn accepted(&mut self, outcome: Outcome) -> Result<Outcome, Errno> {
        match outcome {
            Outcome::Done { error: Errno::OK, result: handle, .. } => {
                self.take_handle(handle).map(Outcome::success)
            }
            other => Ok(other),
        }
    }

    /// Gives what is behind a backend's handle an index, and returns its descriptor. EMFILE, and it is closed, if the
    /// table is full.
    fn take_handle(&mut self, handle: u64) -> Result<u64, Errno> {
        match self.descriptors.reserve() {
            Ok(index) => {
                self.backend.attach(handle, index);
                self.descriptors.install(index);
                Ok(self.descriptors.descriptor(index))
            }
            Err(full) => {
                self.backend.discard(handle);
                Err(full)
            }
        }
    }

    /// Delivers stored results while there are slots for them.
    ///
    /// They may pass through the slot kept for CANCEL: the operations are over or about to be, so the submitter has
    /// it back as soon as it has read them. Otherwise multishots could hold all slots for ends that wait behind
    /// results for which there is no slot. On a broken ring nobody will read them, and they only make way.
    #[inline]
    pub(crate) fn deliver_stored(&mut self) {
        if !self.stored.is_empty() {
            self.deliver_all_stored();
        }
    }

    #[cold]
    fn deliver_all_stored(&mut self) {
        while let Some(front) = self.stored.front() {
            if !front.last && !self.has_slots(1) && !self.queues.is_broken() {
                break;
            }
            let Some(Stored { slot, outcome, last }) = self.stored.pop_front() else { break };
            if last {
                self.packets[slot].stored = 0;
                self.packets[slot].stage = Stage::Reported(outcome);
                let chain = self.packets[slot].chain;
                self.queue(chain);
            } else {
                self.post_result(slot, outcome);
            }
        }
    }

    /// The operation in `slot` is over: what it named is free of it, what it opened is open, what it closed is gone.
    /// Returns the outcome as the submitter sees it.
    #[inline(always)]
    pub(crate) fn settle(&mut self, slot: u32, outcome: Outcome) -> Outcome {
        let packet = &mut self.packets[slot];
        let uses = mem::replace(&mut packet.uses, [NONE; 2]);
        let outcome = match packet.effect {
            Effect::None => outcome,
            Effect::Opens([first, second]) => {
                if second != NONE {
                    // Now, not when its turn comes: a CLOSE later in the run may have reported by then.
                    packet.second = self.descriptors.filled(second, outcome.is_success()).unwrap_or(0);
                }
                self.opened(first, outcome)
            }
            Effect::Closes => self.closed(uses[0], outcome),
            Effect::Accepts => self.accepted(outcome).unwrap_or_else(Outcome::failure),
            Effect::Receives => self.received(slot, outcome),
        };
        for index in uses {
            if index != NONE {
                self.descriptors.end_use(index);
            }
        }
        match outcome {
            Outcome::Done { error: Errno::ECANCELED, result, extra } => {
                let given_up = self.packets[slot].given_up;
                Outcome::Done { error: given_up.map_or(Errno::ECANCELED, GivenUp::errno), result, extra }
            }
            other => other,
        }
    }

    /// A RECVMSG is over: gives what it received an index each, as far as there are any, and tells the submitter.
    #[cold]
    fn received(&mut self, slot: u32, outcome: Outcome) -> Outcome {
        let Outcome::Done { error: Errno::OK, result, extra } = outcome else { return outcome };
        let (count, mut notes, address) = Message::from_extra(extra);
        // Its memory goes back into the packet.
        let mut scratch = mem::take(&mut self.packets[slot].scratch);
        let mut descriptors = [0; MAX_MESSAGE_DESCRIPTORS as usize];
        let mut kept = 0;
        for handle in scratch.files().iter().take(count) {
            match self.take_handle(*handle) {
                Ok(descriptor) => {
                    descriptors[kept] = descriptor;
                    kept += 1;
                }
                Err(_) => notes |= MessageNotes::DESCRIPTORS_LOST,
            }
        }
        scratch.tell(&descriptors[..kept], notes, address);
        self.packets[slot].scratch = scratch;
        Outcome::Done { error: Errno::OK, result, extra: notes.bits() }
    }

    /// An operation that was to open `index` is over. Returns its outcome with the descriptor for its result.
    #[inline]
    pub(crate) fn opened(&mut self, index: u32, outcome: Outcome) -> Outcome {
        match (self.descriptors.filled(index, outcome.is_success()), outcome) {
            (Some(result), Outcome::Done { error, extra, .. }) => Outcome::Done { error, result, extra },
            _ => outcome,
        }
    }

    /// A CLOSE of `index` is over.
    #[inline]
    pub(crate) fn closed(&mut self, index: u32, outcome: Outcome) -> Outcome {
        // Some step of a run went ahead although the OPEN before it had failed. It found nothing to close; whether it
        // is to run at all is for the engine to say.
        let outcome = if self.descriptors.is_open(index) { outcome } else { Outcome::NotRun };
        // Whatever else a CLOSE reports, the object is gone; only one that never ran leaves it open.
        match outcome {
            Outcome::NotRun | Outcome::Done { error: Errno::ECANCELED, .. } => {
                self.descriptors.abandon_close(index);
            }
            Outcome::Done { .. } => self.descriptors.retire(index),
        }
        outcome
    }

    /// The member in `slot`, whose turn it is, is over: saves its result, posts its completion and gives the turn to
    /// the next.
    #[inline]
    pub(crate) fn conclude(&mut self, chain: u32, slot: u32, ending: Ending) {
        let Ending { error, result, skipped, .. } = ending;
        self.timers.clear(slot);
        let packet = self.packets.free(slot);
        let (flags, second) = (packet.flags(), packet.second);
        let (op, data) = (packet.entry.op, packet.entry.data);
        let members = &mut self.chains[chain];
        members.current = packet.next;
        if packet.next != NONE && !skipped && !is_passed_over(op) {
            members.note(error, result, packet.entry.arguments[2]);
        }
        if !skipped {
            self.save_or_break(chain, flags, error, result, second);
        }
        if self.trace.is_on() {
            let next = self.chains[chain].current;
            self.note_end(slot, next, op, data, ending);
        }
        self.tell(op, data, flags, ending);
    }

    /// What the end of a member that ran means for those behind it: a success is saved, a failure may break the chain.
    #[inline(always)]
    pub(crate) fn save_or_break(
        &mut self,
        chain: u32,
        flags: EntryFlags,
        error: Errno,
        result: u64,
        second: u64,
    ) {
        if error.is_ok() {
            if let Some(register) = flags.saved_into() {
                self.save(chain, register, result, second);
            }
        } else if breaks(flags) && self.chains[chain].ended.is_none() {
            self.chains[chain].ended = Some(Ended::Broken);
        }
    }

    /// Tells the submitter how a member ended, unless it is a success that is to be silent.
    #[inline]
    pub(crate) fn tell(&mut self, op: u32, data: u64, flags: EntryFlags, ending: Ending) {
        if !(ending.error.is_ok() && flags.contains(EntryFlags::SILENT)) {
            self.post(ending.completion(op, data));
        }
    }

    /// Saves the result of a member that succeeded, and the second one of a PIPE into the next register.
    #[inline]
    pub(crate) fn save(&mut self, chain: u32, register: usize, result: u64, second: u64) {
        let members = &mut self.chains[chain];
        members.registers.save(register, result);
        let pair = second != 0 && register + 1 < REGISTERS;
        if pair {
            members.registers.save(register + 1, second);
        }
        if !members.local {
            self.queues.save_register(register, result);
            if pair {
                self.queues.save_register(register + 1, second);
            }
        }
    }

    #[inline]
    pub(crate) fn finish_chain(&mut self, chain: u32) {
        if self.trace.is_on() {
            self.note_chain_over(chain);
        }
        self.timers.clear(self.deadline_owner(chain));
        if self.chains[chain].marks & marks::PROGRAM != 0 {
            self.finish_program(chain);
        }
        if self.chains[chain].drain {
            self.draining = false;
        }
        self.chains.free(chain);
    }

    /// Fires every timer whose instant has come.
    #[inline]
    pub(crate) fn fire_timers(&mut self) {
        if self.timers.next().is_some() {
            self.fire_due_timers();
        }
    }

    #[inline(never)]
    fn fire_due_timers(&mut self) {
        let now = self.backend.now();
        while let Some(owner) = self.timers.fire(now) {
            if owner >= self.packet_limit {
                self.give_up(owner - self.packet_limit, GivenUp::TimedOut);
                continue;
            }
            let packet = &mut self.packets[owner];
            let outcome = match packet.stage {
                Stage::Parked if packet.wakes => Outcome::success(0),
                Stage::Parked | Stage::Stalled => Outcome::failure(Errno::ETIMEDOUT),
                Stage::Started => {
                    self.give_up_packet(owner, GivenUp::TimedOut);
                    continue;
                }
                Stage::Calling(program) => {
                    self.give_up_call(owner, program, GivenUp::TimedOut);
                    continue;
                }
                Stage::Waiting | Stage::Stored | Stage::Reported(_) | Stage::Kept => continue,
            };
            packet.stage = Stage::Reported(outcome);
            let chain = packet.chain;
            self.queue(chain);
        }
    }
}

/// Whether a failure of an entry with these flags breaks its chain.
#[inline]
pub(crate) fn breaks(flags: EntryFlags) -> bool {
    !flags.contains(EntryFlags::FINALLY) && flags.contains(EntryFlags::LINK)
}

//! Conclude: reports come in, completions go out, timers fire.

use ouzel_ring::{Completion, CompletionFlags, Entry, EntryFlags, Errno, REGISTERS, Verb};

use crate::packet::{Ended, GivenUp, Stage};
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Engine, Outcome, Report};

/// A result of a multishot that waits for a completion slot.
pub(crate) struct Stored {
    pub(crate) slot: u32,
    pub(crate) outcome: Outcome,
    /// It is the operation's last, for which a slot is kept.
    pub(crate) last: bool,
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
        self.stored.len() >= self.packets.capacity() as usize
    }

    fn take_report(&mut self, report: Report) {
        let slot = report.token.slot;
        if !self.packets.is_current(slot, report.token.generation)
            || !matches!(self.packets[slot].stage, Stage::Started)
        {
            debug_assert!(false, "a report for an operation that is not started");
            return;
        }
        if report.more {
            return self.take_result(slot, report.outcome);
        }
        self.started -= 1;
        self.eager -= self.packets[slot].eager as u32;
        let outcome = self.settle(slot, report.outcome);
        if self.packets[slot].stored > 0 {
            self.packets[slot].stage = Stage::Stored;
            self.stored.push_back(Stored { slot, outcome, last: true });
            return;
        }
        if outcome == Outcome::NotRun {
            let data = self.packets[slot].entry.data;
            self.record(data, EventKind::NotRun);
        }
        self.packets[slot].stage = Stage::Reported(outcome);
        let chain = self.packets[slot].chain;
        if self.chains[chain].current == slot {
            self.queue(chain);
        }
    }

    /// One result of a multishot that goes on: posted if there is a slot to spare, else stored. When that was the
    /// last slot to spare, the operation is given up.
    fn take_result(&mut self, slot: u32, outcome: Outcome) {
        let outcome = match self.accepted(slot, outcome) {
            Ok(outcome) => outcome,
            // The entry ends with that error instead of going on with it.
            Err(_) => return self.give_up_packet(slot, GivenUp::NoDescriptor),
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
        self.record(data, EventKind::Completed { error, result, skipped: false });
        let flags = CompletionFlags::MORE.bits();
        self.post(Completion { op, error: error.raw(), data, result, flags, extra });
    }

    /// The outcome of the operation in `slot` with a descriptor in place of the handle, if it is a connection that a
    /// multishot ACCEPT took. EMFILE, and the connection is closed, if the table is full.
    fn accepted(&mut self, slot: u32, outcome: Outcome) -> Result<Outcome, Errno> {
        let packet = &self.packets[slot];
        let accepts =
            packet.entry.op == Verb::Accept as u32 && packet.flags().contains(EntryFlags::MULTISHOT);
        match outcome {
            Outcome::Done { error: Errno::OK, result: handle, .. } if accepts => {
                match self.descriptors.reserve() {
                    Ok(index) => {
                        self.backend.attach(handle, index);
                        self.descriptors.install(index);
                        Ok(Outcome::success(self.descriptors.descriptor(index)))
                    }
                    Err(full) => {
                        self.backend.discard(handle);
                        Err(full)
                    }
                }
            }
            other => Ok(other),
        }
    }

    /// Delivers stored results while there are slots for them.
    ///
    /// They may pass through the slot kept for CANCEL: the operations are over or about to be, so the submitter has
    /// it back as soon as it has read them. Otherwise multishots could hold all slots for ends that wait behind
    /// results for which there is no slot. On a broken ring nobody will read them, and they only make way.
    pub(crate) fn deliver_stored(&mut self) {
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
    pub(crate) fn settle(&mut self, slot: u32, outcome: Outcome) -> Outcome {
        let packet = &mut self.packets[slot];
        let (uses, opens, closes) = (packet.uses, packet.opens, packet.closes);
        packet.uses = [NONE; 2];
        let given_up = packet.given_up;
        let accepts = packet.entry.op == Verb::Accept as u32;
        // Some step of a run went ahead although the OPEN before it had failed. It found nothing to close; whether it
        // is to run at all is for the engine to say.
        let outcome = if closes && !self.descriptors.is_open(uses[0]) { Outcome::NotRun } else { outcome };
        let outcome =
            if accepts { self.accepted(slot, outcome).unwrap_or_else(Outcome::failure) } else { outcome };
        let succeeded = outcome.is_success();
        for index in opens {
            if index != NONE {
                if succeeded { self.descriptors.install(index) } else { self.descriptors.retire(index) }
            }
        }
        if closes {
            // Whatever else a CLOSE reports, the object is gone; only one that never ran leaves it open.
            match outcome {
                Outcome::NotRun | Outcome::Done { error: Errno::ECANCELED, .. } => {
                    self.descriptors.abandon_close(uses[0]);
                }
                Outcome::Done { .. } => self.descriptors.retire(uses[0]),
            }
        }
        if succeeded && opens[1] != NONE {
            // Now, not when its turn comes: a CLOSE later in the run may have reported by then.
            self.packets[slot].second = self.descriptors.descriptor(opens[1]);
        }
        for index in uses {
            if index != NONE {
                self.descriptors.end_use(index);
            }
        }
        match outcome {
            Outcome::Done { error: Errno::OK, result, extra } => {
                let result = if opens[0] == NONE { result } else { self.descriptors.descriptor(opens[0]) };
                Outcome::Done { error: Errno::OK, result, extra }
            }
            Outcome::Done { error: Errno::ECANCELED, result, extra } => {
                Outcome::Done { error: given_up.map_or(Errno::ECANCELED, GivenUp::errno), result, extra }
            }
            other => other,
        }
    }

    /// The member in `slot`, whose turn it is, is over: saves its result, posts its completion and gives the turn to
    /// the next. Returns true.
    pub(crate) fn conclude(
        &mut self,
        chain: u32,
        slot: u32,
        error: Errno,
        result: u64,
        extra: u32,
        skipped: bool,
    ) -> bool {
        self.timers.clear(slot);
        let packet = &self.packets[slot];
        let (flags, next, second) = (packet.flags(), packet.next, packet.second);
        let (op, data) = (packet.entry.op, packet.entry.data);
        if error.is_ok() {
            if let Some(register) = flags.saved_into() {
                self.save(chain, register, result);
                if second != 0 && register + 1 < REGISTERS {
                    self.save(chain, register + 1, second);
                }
            }
        } else if !skipped
            && !flags.contains(EntryFlags::FINALLY)
            && flags.contains(EntryFlags::LINK)
            && self.chains[chain].ended.is_none()
        {
            self.chains[chain].ended = Some(Ended::Broken);
        }
        self.chains[chain].current = next;
        self.packets.free(slot);
        self.record(data, EventKind::Completed { error, result, skipped });
        if !(error.is_ok() && flags.contains(EntryFlags::SILENT)) {
            self.post(Completion { op, error: error.raw(), data, result, flags: 0, extra });
        }
        true
    }

    fn save(&mut self, chain: u32, register: usize, value: u64) {
        self.chains[chain].registers.save(register, value);
        if !self.chains[chain].local {
            self.queues.save_register(register, value);
        }
    }

    pub(crate) fn finish_chain(&mut self, chain: u32) {
        self.timers.clear(self.packets.capacity() + chain);
        if self.chains[chain].drain {
            self.draining = false;
        }
        self.chains.free(chain);
    }

    /// Fires every timer whose instant has come.
    pub(crate) fn fire_timers(&mut self) {
        if self.timers.next().is_none() {
            return;
        }
        let now = self.backend.now();
        while let Some(owner) = self.timers.fire(now) {
            if owner >= self.packets.capacity() {
                self.give_up(owner - self.packets.capacity(), GivenUp::TimedOut);
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
                Stage::Waiting | Stage::Stored | Stage::Reported(_) => continue,
            };
            packet.stage = Stage::Reported(outcome);
            let chain = packet.chain;
            self.queue(chain);
        }
    }
}

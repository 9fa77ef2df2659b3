//! Reports: from the kernel's completions to outcomes.
//!
//! A completion of an operation's entry becomes its report, and the table learns what was opened or closed. Those of
//! the backend's own entries become none. What the kernel says that no user of the engine should see (EAGAIN, EINTR, a
//! multishot that stops for reasons of its own) is answered by another try.
//!
//! When is a member of a run that reports ECANCELED one that never ran? Whenever nobody asked for it to be cancelled:
//! then only the broken link can have ended it. If somebody did ask, both readings are the same to the engine.

use ouzel_engine::{Operation, Outcome, Report, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::SyncMode;
use ouzel_uring::abi::Cqe;

use super::packets::{BELL, CANCEL, Effect, KIND, Lowered, OWN, Packet, Standing};
use super::table::{Habit, Kind, NONE};
use super::{Uring, calls, memory};

impl Uring {
    /// The report of an operation that succeeded and has no more to say than that. Any other completion is left
    /// for [`Uring::read`].
    #[inline(always)]
    pub(super) fn read_success(&mut self, completion: &Cqe) -> Option<Report> {
        // The word of an entry of the backend's own is no live packet's.
        let token = Token::from_word(completion.user_data);
        let effect = self.packets.of(token)?.lowered.effect;
        if completion.res < 0 {
            return None;
        }
        if !matches!(effect, Effect::Nothing | Effect::Fills(_) | Effect::Closes(_)) {
            return None;
        }
        self.finish(token.slot);
        if let Effect::Closes(index) = effect {
            self.table.closed(index);
        }
        Some(Report { token, outcome: Outcome::success(completion.res as u64), more: false })
    }

    /// The report a completion makes, if it makes one.
    pub(super) fn read(&mut self, completion: &Cqe) -> Option<Report> {
        let report = self.read_success(completion);
        if report.is_some() {
            return report;
        }
        if completion.user_data & OWN != 0 {
            self.read_own(completion);
            return None;
        }
        let token = Token::from_word(completion.user_data);
        let effect = self.packets.of(token)?.lowered.effect;
        if effect == Effect::Tries {
            return self.waited(token, completion.res);
        }
        if let Effect::Picks(group) | Effect::PicksMany(group) = effect {
            return self.read_picked(token, group, completion);
        }
        if completion.res < 0 {
            return self.read_failure(token, Errno::from_raw(completion.res));
        }
        if matches!(effect, Effect::Many | Effect::Connections) {
            if !completion.has_more() {
                // It ended without an error, so the kernel only wants to be asked again.
                self.again_later(token.slot);
            }
            let outcome = Outcome::success(completion.res as u64);
            return Some(Report { token, outcome, more: true });
        }
        let extra = self.read_opened(token, effect, completion.res);
        self.finish(token.slot);
        let before = if let Effect::Adds(before) = effect { u64::from(before) } else { 0 };
        let outcome = Outcome::Done { error: Errno::OK, result: before + completion.res as u64, extra };
        Some(Report { token, outcome, more: false })
    }

    /// Puts what an operation made into the table. Returns the second result.
    fn read_opened(&mut self, token: Token, effect: Effect, result: i32) -> u32 {
        match effect {
            Effect::Opens(index, kind, Habit::Ring) => {
                self.table.put_opened(index, NONE, Some(memory::own(result)), kind);
            }
            Effect::Opens(index, kind, habit) => {
                self.table.put_called(index, memory::own(result), kind, habit, false);
            }
            Effect::Makes(index) => self.table.put(index, NONE, Some(memory::own(result)), Kind::Stream),
            Effect::Accepts { index, addressed } => {
                if !self.features.slots {
                    self.table.put(index, NONE, Some(memory::own(result)), Kind::Stream);
                }
                if addressed {
                    return self.lengths.value(token.slot);
                }
            }
            _ => {}
        }
        0
    }

    /// A completion of the backend's own entry.
    #[cold]
    fn read_own(&mut self, completion: &Cqe) {
        match completion.user_data & KIND {
            BELL => {
                // One poll hears every ringing, if the kernel knows of such polls: then the bell may stay readable.
                self.listening = completion.has_more();
                self.hears_once |= completion.res < 0;
                if self.hears_once
                    && let Some(helpers) = &self.helpers
                {
                    helpers.silence();
                }
            }
            CANCEL if completion.res == -Errno::ENOENT.raw() => {
                // Between two waits the kernel does not find an operation, though it may begin to wait again.
                let word = completion.user_data & !KIND;
                let token = Token::from_word(word);
                if self.packets.of(token).is_some() {
                    self.cancels.push_back(word);
                }
                return;
            }
            // A poll whose operation has its own completion.
            _ => return,
        }
        let Some(mut helpers) = self.helpers.take() else { return };
        helpers.collect(|token, turn| {
            let report = match turn {
                Some(turn) => self.helper_tried(token, turn),
                None => self.helper_left(token),
            };
            self.ready.extend(report);
        });
        self.helpers = Some(helpers);
    }

    #[cold]
    pub(super) fn read_failure(&mut self, token: Token, error: Errno) -> Option<Report> {
        let Packet { standing, lowered: Lowered { effect, .. }, .. } = *self.packets.of(token)?;
        let cancelled = standing.contains(Standing::CANCELLED);
        let error = match error {
            Errno::EAGAIN if effect == Effect::Compares => Errno::EAGAIN,
            Errno::ECANCELED if standing.contains(Standing::IN_RUN) && !cancelled => {
                self.undo(effect, Errno::ECANCELED);
                self.finish(token.slot);
                return Some(Report { token, outcome: Outcome::NotRun, more: false });
            }
            Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR if cancelled => Errno::ECANCELED,
            Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR if !standing.contains(Standing::MAY_WAIT) => {
                Errno::ETIMEDOUT
            }
            Errno::EAGAIN | Errno::EINTR if standing.contains(Standing::KEPT) => {
                self.again_later(token.slot);
                return None;
            }
            Errno::ESPIPE if self.syncs_a_range(token.slot) => Errno::EINVAL,
            Errno::EINVAL if self.reads_a_directory(token.slot) => Errno::EISDIR,
            // The slots that the kernel may choose from are used up.
            Errno::ENFILE if effect == Effect::Connections => Errno::EMFILE,
            error => error,
        };
        Some(self.fail(token, error))
    }

    /// Pipes and sockets have no ranges.
    fn syncs_a_range(&self, slot: u32) -> bool {
        matches!(self.packets.kept(slot), Some(Operation::Sync { mode: SyncMode::Range, .. }))
    }

    /// The ring refuses directories with another error than `read(2)`.
    fn reads_a_directory(&mut self, slot: u32) -> bool {
        let Some(&Operation::Read { file, .. }) = self.packets.kept(slot) else { return false };
        self.ensure_descriptor(file).and_then(|()| self.number(file)).is_ok_and(|number| {
            self.calls += 1;
            calls::is_directory(memory::borrow(number))
        })
    }

    /// The report of an operation that failed.
    pub(super) fn fail(&mut self, token: Token, error: Errno) -> Report {
        let mut outcome = Outcome::failure(error);
        if let Some(effect) = self.packets.of(token).map(|packet| packet.lowered.effect) {
            self.undo(effect, error);
            if let Effect::Adds(before) = effect {
                outcome = Outcome::success(u64::from(before));
            }
        }
        self.finish(token.slot);
        Report { token, outcome, more: false }
    }

    #[cold]
    pub(super) fn again_later(&mut self, slot: u32) {
        if let Some(packet) = self.packets.at(slot) {
            packet.standing.insert(Standing::AGAIN);
            let next = std::mem::replace(&mut packet.next, NONE);
            self.again.push_back(slot);
            self.begun(next);
        }
    }

    /// The kernel has begun the member of a run in `slot`, or dropped it.
    #[inline]
    fn begun(&mut self, slot: u32) {
        let Some(packet) = self.packets.at(slot) else { return };
        packet.standing.remove(Standing::BEHIND);
        if packet.standing.contains(Standing::CANCELLED) {
            let word = packet.token().to_word();
            self.cancel_later(word);
        }
    }

    #[cold]
    fn cancel_later(&mut self, word: u64) {
        self.cancels.push_back(word);
    }

    /// The operation in `slot` is over.
    #[inline]
    pub(super) fn finish(&mut self, slot: u32) {
        let Some(packet) = self.packets.at(slot) else { return };
        packet.free();
        let (pins, next) = (packet.lowered.pins, packet.next);
        self.in_flight -= 1;
        if next != NONE {
            self.begun(next);
        }
        self.table.unpin_all(pins);
    }

    /// What failure changes in the table.
    fn undo(&mut self, effect: Effect, error: Errno) {
        match effect {
            Effect::Fills(index)
            | Effect::Opens(index, ..)
            | Effect::Makes(index)
            | Effect::Accepts { index, .. } => self.table.clear(index),
            Effect::Closes(index) if error == Errno::ECANCELED => {
                if let Some(record) = self.table.get_mut(index) {
                    record.closing = false;
                }
            }
            // Whatever a close says, the number is free.
            Effect::Closes(index) => self.table.closed(index),
            Effect::Nothing
            | Effect::Compares
            | Effect::Tries
            | Effect::Adds(_)
            | Effect::Many
            | Effect::Connections
            | Effect::Picks(_)
            | Effect::PicksMany(_) => {}
        }
    }
}

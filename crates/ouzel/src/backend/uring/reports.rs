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
use ouzel_ring::modifiers::{OpenFlags, SyncMode};
use ouzel_uring::abi::Cqe;

use super::packets::{BELL, CANCEL, KIND, OWN, Standing};
use super::table::{Kind, NONE};
use super::{Uring, calls, lower, memory};

impl Uring {
    /// The report a completion makes, if it makes one.
    #[inline]
    pub(super) fn read(&mut self, completion: Cqe) -> Option<Report> {
        if completion.user_data & OWN != 0 {
            self.read_own(&completion);
            return None;
        }
        let token = Token::from_word(completion.user_data);
        let packet = self.packets.get(token.slot as usize).filter(|packet| packet.is(token))?;
        let (operation, standing) = (packet.operation, packet.standing);
        if completion.res < 0 {
            return self.read_failure(token, &operation, standing, Errno::from_raw(completion.res));
        }
        if operation.is_multishot() {
            let more = completion.has_more();
            let outcome = Outcome::success(completion.res as u64);
            if !more {
                // It ended without an error, so the kernel only wants to be asked again.
                self.again_later(token.slot);
            }
            return Some(Report { token, outcome, more: true });
        }
        let extra = self.succeed(token, &operation, completion.res);
        self.finish(token.slot);
        let outcome = Outcome::Done { error: Errno::OK, result: completion.res as u64, extra };
        Some(Report { token, outcome, more: false })
    }

    /// A completion of the backend's own entry.
    #[cold]
    fn read_own(&mut self, completion: &Cqe) {
        match completion.user_data & KIND {
            BELL => self.listening = false,
            CANCEL if completion.res == -Errno::ENOENT.raw() => {
                // Between two waits the kernel does not find an operation, though it may begin to wait again.
                let word = completion.user_data & !KIND;
                let token = Token::from_word(word);
                if self.packets.get(token.slot as usize).is_some_and(|packet| packet.is(token)) {
                    self.cancels.push_back(word);
                }
                return;
            }
            // A poll whose operation has its own completion.
            _ => return,
        }
        let Some(mut helpers) = self.helpers.take() else { return };
        helpers.collect(|token, outcome| {
            self.finish(token.slot);
            self.ready.push_back(Report { token, outcome, more: false });
        });
        self.helpers = Some(helpers);
    }

    fn read_failure(
        &mut self,
        token: Token,
        operation: &Operation,
        standing: Standing,
        error: Errno,
    ) -> Option<Report> {
        let cancelled = standing.contains(Standing::CANCELLED);
        let error = match error {
            Errno::ECANCELED if standing.contains(Standing::IN_RUN) && !cancelled => {
                self.undo(operation, Errno::ECANCELED);
                self.finish(token.slot);
                return Some(Report { token, outcome: Outcome::NotRun, more: false });
            }
            Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR if cancelled => Errno::ECANCELED,
            Errno::ECANCELED | Errno::EAGAIN | Errno::EINTR if !standing.contains(Standing::MAY_WAIT) => {
                Errno::ETIMEDOUT
            }
            Errno::EAGAIN | Errno::EINTR if can_be_repeated(operation) => {
                self.again_later(token.slot);
                return None;
            }
            // Pipes and sockets have no ranges.
            Errno::ESPIPE if matches!(operation, Operation::Sync { mode: SyncMode::Range, .. }) => {
                Errno::EINVAL
            }
            // The ring refuses directories with another error than `read(2)`.
            Errno::EINVAL if self.reads_a_directory(operation) => Errno::EISDIR,
            // The slots that the kernel may choose from are used up.
            Errno::ENFILE if operation.is_multishot() => Errno::EMFILE,
            error => error,
        };
        Some(self.fail(token.slot, token, error))
    }

    #[cold]
    fn reads_a_directory(&mut self, operation: &Operation) -> bool {
        let Operation::Read { file, .. } = *operation else { return false };
        self.ensure_descriptor(file).and_then(|()| self.number(file)).is_ok_and(|number| {
            self.calls += 1;
            calls::is_directory(memory::borrow(number))
        })
    }

    /// The report of an operation that failed.
    pub(super) fn fail(&mut self, slot: u32, token: Token, error: Errno) -> Report {
        if let Some(packet) = self.packets.get(slot as usize) {
            let operation = packet.operation;
            self.undo(&operation, error);
        }
        self.finish(slot);
        Report { token, outcome: Outcome::failure(error), more: false }
    }

    fn again_later(&mut self, slot: u32) {
        if let Some(packet) = self.packets.get_mut(slot as usize) {
            packet.standing.insert(Standing::AGAIN);
            let next = std::mem::replace(&mut packet.next, NONE);
            self.again.push_back(slot);
            self.begun(next);
        }
    }

    /// The kernel has begun the member of a run in `slot`, or dropped it.
    #[inline]
    fn begun(&mut self, slot: u32) {
        let Some(packet) = self.packets.get_mut(slot as usize) else { return };
        packet.standing.remove(Standing::BEHIND);
        if packet.standing.contains(Standing::CANCELLED) {
            let token = Token { slot, generation: packet.generation };
            self.cancels.push_back(token.to_word());
        }
    }

    /// The operation in `slot` is over.
    #[inline]
    fn finish(&mut self, slot: u32) {
        let Some(packet) = self.packets.get_mut(slot as usize) else { return };
        packet.standing = Standing::empty();
        let (pins, next) = (packet.pins, packet.next);
        self.in_flight -= 1;
        if next != NONE {
            self.begun(next);
        }
        for pin in pins {
            if pin != NONE {
                self.table.unpin(pin);
            }
        }
    }

    /// What success changes in the table. Returns the second result.
    #[inline]
    fn succeed(&mut self, token: Token, operation: &Operation, result: i32) -> u32 {
        match *operation {
            Operation::Open { flags, into, .. } if lower::opens_descriptor(flags, &self.features) => {
                let names = flags.intersects(OpenFlags::DIRECTORY | OpenFlags::PATH);
                let kind = if names { Kind::File } else { Kind::Unknown };
                self.table.put_opened(into, NONE, Some(memory::own(result)), kind);
            }
            Operation::Socket { into, .. } if !self.features.slots => {
                self.table.put(into, NONE, Some(memory::own(result)), Kind::Stream);
            }
            Operation::Accept { into, address, .. } => {
                if !self.features.slots {
                    self.table.put(into, NONE, Some(memory::own(result)), Kind::Stream);
                }
                if address.is_some() {
                    return self.lengths.value(token.slot);
                }
            }
            Operation::Close { file } => self.closed(file),
            _ => {}
        }
        0
    }

    /// The kernel has closed what was behind `index`.
    fn closed(&mut self, index: u32) {
        match self.table.get(index) {
            Some(record) if record.slot == NONE => self.table.forget_descriptor(index),
            _ => self.table.bury(index),
        }
    }

    /// What failure changes in the table.
    fn undo(&mut self, operation: &Operation, error: Errno) {
        for index in operation.opens() {
            self.table.clear(*index);
        }
        if let Operation::Close { file } = *operation {
            if error == Errno::ECANCELED {
                if let Some(record) = self.table.get_mut(file) {
                    record.closing = false;
                }
            } else {
                // Whatever a close says, the number is free.
                self.closed(file);
            }
        }
    }
}

/// Whether an operation that did nothing may simply be pushed once more.
fn can_be_repeated(operation: &Operation) -> bool {
    // An OPEN meets EAGAIN where somebody holds a lease: to wait for that is not its business.
    !matches!(operation, Operation::Close { .. } | Operation::Open { .. })
}

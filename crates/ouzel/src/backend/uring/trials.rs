//! Trials: operations that are done by plain calls, as often as it takes until they need not wait any more.
//!
//! What the kernel's ring has no entry for, or only one that occupies a kernel thread, is tried at once, by the engine's
//! thread or by a helper if storage may take its time. If it has to wait for an event, an entry of the ring waits for
//! that: a poll, or a timer where nobody tells of the event. So thousands may wait and no thread does, and a cancel is
//! a cancel of that entry. A try is made only while nothing of the operation is with the kernel.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use ouzel_engine::{Operation, Outcome, Place, Process, Report, Started, Step, Token, Way};
use ouzel_ring::Errno;
use ouzel_uring::Sqe;
use ouzel_uring::abi::{PollFlags, TimeoutFlags, Timespec};

use super::helpers::Job;
use super::lower::Route;
use super::packets::{Effect, Lowered, Standing};
use super::table::{Kind, NONE};
use super::{ON_THE_SPOT, Uring, calls, memory};
use crate::backend::host::{self, Done, Need, Stop, Turn};

const fn milliseconds(count: i64) -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: count * 1_000_000 }
}

/// How long what nobody tells of is left alone before it is tried again, the last of them for ever.
static PAUSES: [Timespec; 6] =
    [milliseconds(1), milliseconds(2), milliseconds(4), milliseconds(8), milliseconds(16), milliseconds(32)];

/// An operation that waits for its next try.
#[derive(Debug)]
pub(super) struct Trial {
    operation: Operation,
    numbers: [RawFd; 2],
    need: Need,
    /// How many pauses it has had.
    pauses: usize,
    /// A helper makes its tries.
    helper: bool,
    /// The process that a WAIT has named by its number, or the descriptors that a message takes along.
    held: Vec<OwnedFd>,
}

/// Whether an operation is done by tries.
pub(super) fn is_tried(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Lock { .. }
            | Operation::GetSockopt { .. }
            | Operation::SetSockopt { .. }
            | Operation::Sockname { .. }
            | Operation::Peername { .. }
            | Operation::SendMsg { .. }
            | Operation::RecvMsg { .. }
            | Operation::Splice { .. }
            | Operation::Wait { .. }
            | Operation::Wake { .. }
    )
}

fn outcome(turn: Result<Done, Errno>) -> Outcome {
    match turn {
        Ok(Done { result, extra }) => Outcome::Done { error: Errno::OK, result, extra },
        Err(error) => Outcome::failure(error),
    }
}

fn one_try(operation: &Operation, numbers: [RawFd; 2]) -> Turn {
    let [subject, other] = numbers.map(memory::borrow);
    host::attempt(operation, subject, Some(other))
}

impl Uring {
    /// Who tries a SPLICE: with a file at one end it may have to wait for storage.
    pub(super) fn splice_route(&mut self, source: u32, target: u32) -> Result<Route, Errno> {
        let quick = self.classify(source)? == Kind::Stream && self.classify(target)? == Kind::Stream;
        Ok(if quick {
            Route::Try("moved by a plain call: the ring would occupy a kernel thread")
        } else {
            Route::Helper("moved by a plain call: the ring would occupy a kernel thread")
        })
    }

    /// A try on the engine's thread; `passed` goes with a message.
    fn one_try(&mut self, operation: &Operation, numbers: [RawFd; 2], passed: &[RawFd]) -> Turn {
        self.calls += 1;
        let socket = memory::borrow(numbers[0]);
        match operation {
            Operation::SendMsg { message, flags, .. } => {
                let passed: Vec<_> = passed.iter().map(|number| memory::borrow(*number)).collect();
                host::message::send(socket, message, *flags, &passed)
            }
            Operation::RecvMsg { message, flags, .. } => {
                let (done, files) = host::message::receive(socket, message, *flags)?;
                let mut handles = Vec::with_capacity(files.len());
                for file in files {
                    handles.push(self.next_handle);
                    self.received.insert(self.next_handle, file);
                    self.next_handle += 1;
                }
                crate::backend::memory::set_files(message, &handles);
                Ok(done)
            }
            operation => one_try(operation, numbers),
        }
    }

    /// Makes the first try, here and now.
    pub(super) fn try_now(
        &mut self,
        step: &Step,
        indices: [u32; 2],
        mut numbers: [RawFd; 2],
        reason: &'static str,
    ) -> Started {
        let Step { token, operation, may_wait, .. } = *step;
        let mut held = Vec::new();
        let mut passed = Vec::new();
        match operation {
            Operation::Wait { process: Process::Number(number) } => {
                self.calls += 1;
                match host::open_process(number) {
                    Ok(found) => {
                        numbers[0] = found.as_raw_fd();
                        held.push(found);
                    }
                    Err(error) => return self.finish_now(Err(error), ON_THE_SPOT),
                }
            }
            Operation::SendMsg { message, .. } => {
                for index in crate::backend::memory::files(&message) {
                    let index = index as u32;
                    match self.ensure_descriptor(index).and_then(|()| self.number(index)) {
                        Ok(number) => passed.push(number),
                        Err(error) => return self.finish_now(Err(error), ON_THE_SPOT),
                    }
                }
            }
            _ => {}
        }
        let way = Way { place: Place::Call, reason };
        let need = match self.one_try(&operation, numbers, &passed) {
            Ok(done) => return Started::Finished { outcome: outcome(Ok(done)), way },
            Err(Stop::Error(error)) => return self.finish_now(Err(error), way),
            Err(Stop::Wait(_)) if !may_wait => return self.finish_now(Err(Errno::ETIMEDOUT), way),
            Err(Stop::Wait(need)) => need,
        };
        for number in passed {
            // The sender may close its own before there is room for the message.
            match rustix::io::fcntl_dupfd_cloexec(memory::borrow(number), 0) {
                Ok(copy) => held.push(copy),
                Err(error) => return self.finish_now(Err(calls::errno(error)), way),
            }
        }
        let trial = Trial { operation, numbers, need, pauses: 0, helper: false, held };
        self.trials.insert(token.slot, trial);
        let packet = self.packets.place(token.slot, None);
        packet.lowered = Lowered { effect: Effect::Tries, pins: indices };
        packet.begin(token, NONE, Standing::MAY_WAIT | Standing::AGAIN);
        self.table.pin_all(indices);
        self.in_flight += 1;
        self.again.push_back(token.slot);
        Started::Taken { count: 1, way: Way { place: Place::Kernel, reason } }
    }

    /// Remembers a trial whose tries a helper makes; the packet has begun.
    pub(super) fn begin_helped_trial(&mut self, step: &Step, numbers: [RawFd; 2]) {
        let Step { token, operation, may_wait, .. } = *step;
        let trial =
            Trial { operation, numbers, need: Need::While, pauses: 0, helper: true, held: Vec::new() };
        self.trials.insert(token.slot, trial);
        if let Some(packet) = self.packets.of(token) {
            packet.lowered.effect = Effect::Tries;
            if may_wait {
                packet.standing.insert(Standing::MAY_WAIT);
            }
        }
    }

    /// A helper has made a try. Returns the report if that was the last.
    pub(super) fn helper_tried(&mut self, token: Token, turn: Turn) -> Option<Report> {
        let packet = self.packets.of(token)?;
        packet.standing.remove(Standing::HELPER);
        let standing = packet.standing;
        let turn = match turn {
            Ok(done) => Ok(done),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Wait(_)) if standing.contains(Standing::CANCELLED) => Err(Errno::ECANCELED),
            Err(Stop::Wait(_)) if !standing.contains(Standing::MAY_WAIT) => Err(Errno::ETIMEDOUT),
            Err(Stop::Wait(need)) => {
                self.put_off(token, need);
                return None;
            }
        };
        Some(self.end_trial(token, turn))
    }

    /// What a trial has waited for has come, or somebody cancelled the wait. Returns the report if it is over.
    #[cold]
    pub(super) fn waited(&mut self, token: Token, result: i32) -> Option<Report> {
        let cancelled = self.packets.of(token)?.standing.contains(Standing::CANCELLED);
        let trial = self.trials.get(&token.slot)?;
        if cancelled && (trial.helper || result == -Errno::ECANCELED.raw()) {
            return Some(self.end_trial(token, Err(Errno::ECANCELED)));
        }
        let (operation, numbers) = (trial.operation, trial.numbers);
        if trial.helper {
            let Some(helpers) = &mut self.helpers else {
                return Some(self.end_trial(token, Err(Errno::EIO)));
            };
            if let Err(error) =
                helpers.start([Job { token, operation, numbers, may_wait: true, behind: None }].into_iter())
            {
                return Some(self.end_trial(token, Err(error)));
            }
            self.packets.of(token)?.standing.insert(Standing::HELPER);
            return None;
        }
        let passed: Vec<RawFd> = trial.held.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
        let turn = match self.one_try(&operation, numbers, &passed) {
            Ok(done) => Ok(done),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::Wait(_)) if cancelled => Err(Errno::ECANCELED),
            Err(Stop::Wait(need)) => {
                // What cannot be polled must not be polled in a circle.
                let failed = result < 0 && result != -Errno::ETIME.raw();
                self.put_off(token, if failed { Need::While } else { need });
                return None;
            }
        };
        Some(self.end_trial(token, turn))
    }

    fn put_off(&mut self, token: Token, need: Need) {
        if let Some(trial) = self.trials.get_mut(&token.slot) {
            trial.need = need;
        }
        if let Some(packet) = self.packets.of(token) {
            packet.standing.insert(Standing::AGAIN);
        }
        self.again.push_back(token.slot);
    }

    fn end_trial(&mut self, token: Token, turn: Result<Done, Errno>) -> Report {
        self.trials.remove(&token.slot);
        self.finish(token.slot);
        Report { token, outcome: outcome(turn), more: false }
    }

    /// Lets the ring wait for what the trial in `slot` needs; there is room for an entry. False if there is no trial.
    pub(super) fn await_trial(&mut self, slot: u32) -> bool {
        let Some(trial) = self.trials.get_mut(&slot) else { return false };
        let Some(packet) = self.packets.at(slot) else { return false };
        let token = packet.token();
        packet.standing.remove(Standing::AGAIN);
        if packet.standing.contains(Standing::CANCELLED) {
            let report = self.end_trial(token, Err(Errno::ECANCELED));
            self.ready.push_back(report);
            return true;
        }
        let poll = |number, events: rustix::event::PollFlags| {
            Sqe::poll_add(number, u32::from(events.bits()), PollFlags::empty())
        };
        let entry = match trial.need {
            Need::Subject(events) => poll(trial.numbers[0], events),
            Need::Other(events) => poll(trial.numbers[1], events),
            Need::While => {
                let pause = &PAUSES[trial.pauses.min(PAUSES.len() - 1)];
                trial.pauses += 1;
                Sqe::timeout(pause, 0, TimeoutFlags::empty())
            }
        };
        self.push(&entry.user_data(token.to_word()));
        true
    }
}

/// The turn of what a helper has done in one go.
pub(super) fn turn(result: Result<u64, Errno>) -> Turn {
    result.map(|result| Done { result, extra: 0 }).map_err(Stop::Error)
}

/// A try of a helper's, or what else it does for an operation.
pub(super) fn help(operation: &Operation, numbers: [RawFd; 2]) -> Turn {
    if is_tried(operation) { one_try(operation, numbers) } else { turn(calls::perform(operation, numbers)) }
}

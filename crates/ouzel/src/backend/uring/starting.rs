//! Starting: runs onto the ring, the rest to a plain call or a helper, and second tries.
//!
//! A run is pushed whole or not at all, behind room made for all of it. Nothing here waits.

use std::os::fd::{AsRawFd as _, RawFd};

use ouzel_engine::{Edge, Operation, Place, Started, Step, Way};
use ouzel_ring::Errno;
use ouzel_uring::Sqe;
use ouzel_uring::abi::{PollFlags, SqeFlags};

use super::helpers::Helpers;
use super::lower::Lowering;
use super::packets::{BELL, END, Effect, Lowered, POLL, Standing};
use super::table::{Kind, NONE};
use super::{ON_THE_SPOT, Uring, calls, memory};

/// `POLLIN`.
const POLL_IN: u32 = 1;
/// `POLLOUT`.
const POLL_OUT: u32 = 4;

impl Uring {
    /// Starts an operation on the ring that is its whole run, may wait, and closes nothing.
    pub(super) fn start_one(&mut self, step: &Step, reason: &'static str) -> Started {
        self.fixed.look(&mut self.ring);
        if !self.make_room(1) {
            return Started::Busy;
        }
        if let Err(error) = self.push_step(step, SqeFlags::empty(), NONE, Standing::empty(), false) {
            return self.finish_now(Err(error), ON_THE_SPOT);
        }
        self.planner.entry_made();
        Started::Taken { count: 1, way: Way { place: Place::Kernel, reason } }
    }

    /// Starts a run on the ring.
    pub(super) fn start_run(&mut self, steps: &[Step], reason: &'static str) -> Started {
        self.fixed.look(&mut self.ring);
        let count = self.goes_together(steps);
        let first = &steps[0];
        if let Operation::Close { file } = first.operation
            && self.table.is_held_open(file)
        {
            // Operations under way name the number; it is closed behind the last of them.
            self.table.bury(file);
            let reason = "closed when the operations on it are over";
            return self.finish_now(Ok(0), Way { place: Place::Call, reason });
        }
        let mut at_once = false;
        if !first.may_wait {
            match self.must_be_stopped(&first.operation) {
                Ok(stopped) => at_once = stopped,
                Err(error) => return self.finish_now(Err(error), ON_THE_SPOT),
            }
        }
        if !self.make_room(count as u32 + u32::from(at_once)) {
            return Started::Busy;
        }
        let mut rest = steps[..count].iter();
        let (mut taken, mut standing) = (0, Standing::empty());
        while let Some(step) = rest.next() {
            let (mut next, mut link) = (NONE, SqeFlags::empty());
            if let Some(follower) = rest.as_slice().first() {
                next = follower.token.slot;
                standing.insert(Standing::IN_RUN);
                link = match follower.edge {
                    Edge::Success => SqeFlags::IO_LINK,
                    Edge::Always => SqeFlags::IO_HARDLINK,
                };
            }
            let described = taken == 0 && is_described(steps);
            if let Err(error) = self.push_step(step, link, next, standing, described) {
                if taken == 0 {
                    return self.finish_now(Err(error), ON_THE_SPOT);
                }
                // What cannot follow is asked for again when its turn comes, and then refused by itself.
                self.end_run(&steps[taken - 1]);
                break;
            }
            standing.insert(Standing::BEHIND);
            taken += 1;
        }
        if let Operation::Close { file } = first.operation {
            // A close further down a run may never happen, and until it does the object is there.
            self.table.begin_close(file);
        }
        if at_once {
            self.push_cancel(first.token.to_word());
        }
        self.planner.entry_made();
        Started::Taken { count: taken, way: Way { place: Place::Kernel, reason } }
    }

    /// How many of the steps of a run can be linked now.
    #[inline]
    fn goes_together(&self, steps: &[Step]) -> usize {
        let most = steps.len().min(self.ring.sq_entries() as usize);
        // A STAT goes alone: a kernel worker does it, unless a plain call can.
        let is_stat = |step: &Step| matches!(step.operation, Operation::Stat { .. });
        let most = steps[..most].iter().position(is_stat).map_or(most, |place| place.max(1));
        // The run was made when its first step was still to open the file; if a plain call has done that since, there is
        // a number, and the close of a number goes alone.
        let goes_alone = |step: &Step| match step.operation {
            Operation::Close { file } => {
                self.table.get(file).is_some_and(|record| record.slot == NONE && record.descriptor.is_some())
            }
            _ => false,
        };
        if self.called_behind != steps[0].token.to_word() {
            return most;
        }
        (1..most).find(|place| goes_alone(&steps[*place])).unwrap_or(most)
    }

    /// Pushes a step, for which there is room, with a link to the one in `next`, and remembers it.
    #[inline(always)]
    fn push_step(
        &mut self,
        step: &Step,
        link: SqeFlags,
        next: u32,
        standing: Standing,
        described: bool,
    ) -> Result<(), Errno> {
        let Step { token, ref operation, may_wait, .. } = *step;
        let Some(entry) = self.ring.next_place() else { return Err(Errno::ENOBUFS) };
        let wait = if may_wait { Standing::MAY_WAIT } else { Standing::empty() };
        let kept = can_be_repeated(operation).then_some(operation);
        let keep = if kept.is_some() { Standing::KEPT } else { Standing::empty() };
        let packet = self.packets.place(token.slot, kept);
        packet.begin(token, next, standing | wait | keep);
        let lowering = Lowering {
            table: &mut self.table,
            features: &self.features,
            lengths: &mut self.lengths,
            hows: &mut self.hows,
            fixed: &mut self.fixed,
            packet: token.slot,
            may_wait,
            described,
            entry,
            lowered: &mut packet.lowered,
        };
        if let Err(error) = lowering.lower(operation) {
            packet.free();
            return Err(error);
        }
        entry.user_data = packet.token().to_word();
        entry.flags |= link.bits();
        memory::push_placed(&mut self.ring);
        self.table.pin_all(packet.lowered.pins);
        self.in_flight += 1;
        Ok(())
    }

    /// Ends a run behind `last`, which was pushed with a link to what turned out not to be able to follow.
    #[cold]
    fn end_run(&mut self, last: &Step) {
        // There is room: it was made for what does not come now.
        self.push(&Sqe::nop().user_data(END));
        if let Some(packet) = self.packets.of(last.token) {
            packet.next = NONE;
            if !packet.standing.contains(Standing::BEHIND) {
                packet.standing.remove(Standing::IN_RUN);
            }
        }
    }

    /// Whether an operation that may not wait has to be cancelled as soon as it was tried, because the kernel has no
    /// other way to be told. ETIMEDOUT if it is known already that it would have to wait.
    #[inline(never)]
    fn must_be_stopped(&mut self, operation: &Operation) -> Result<bool, Errno> {
        let (file, events) = match *operation {
            Operation::Accept { .. }
            | Operation::Connect { .. }
            | Operation::Poll { .. }
            | Operation::FutexWait { .. } => return Ok(true),
            Operation::Read { file, .. } => (file, rustix::event::PollFlags::IN),
            Operation::Write { file, .. } => (file, rustix::event::PollFlags::OUT),
            _ => return Ok(false),
        };
        match self.classify(file)? {
            Kind::Stream => Ok(true),
            Kind::Device => {
                // A device may have to be read by a kernel worker, which a cancel could hit before it began.
                self.ensure_descriptor(file)?;
                let number = self.number(file)?;
                let mut asked = [rustix::event::PollFd::from_borrowed_fd(memory::borrow(number), events)];
                let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
                self.calls += 1;
                calls::retry(|| rustix::event::poll(&mut asked, Some(&now))).map_err(calls::errno)?;
                if asked[0].revents().is_empty() { Err(Errno::ETIMEDOUT) } else { Ok(false) }
            }
            Kind::File | Kind::Unknown => Ok(false),
        }
    }

    /// Does an operation by a plain call, at once.
    pub(super) fn call(&mut self, step: &Step, numbers: [RawFd; 2], reason: &'static str) -> Started {
        self.calls += 1;
        let outcome = match step.operation {
            Operation::Pipe { into: [read, write] } => calls::pipe().map(|(read_end, write_end)| {
                self.insert(read, read_end, Kind::Stream);
                self.insert(write, write_end, Kind::Stream);
                0
            }),
            Operation::Socket { domain, kind, protocol, into } => {
                calls::socket(domain, kind, protocol).map(|socket| {
                    self.insert(into, socket, Kind::Stream);
                    0
                })
            }
            ref operation => calls::perform(operation, numbers),
        };
        self.finish_now(outcome, Way { place: Place::Call, reason })
    }

    /// Pushes what was put off: second tries, cancels, the poll of the helpers' bell.
    pub(super) fn push_waiting(&mut self) {
        while let Some(slot) = self.again.pop_front() {
            if !self.make_room(2) {
                self.again.push_front(slot);
                break;
            }
            self.try_again(slot);
        }
        while let Some(user_data) = self.cancels.pop_front() {
            if !self.make_room(1) {
                self.cancels.push_front(user_data);
                break;
            }
            self.push_cancel(user_data);
        }
        if !self.listening
            && let Some(number) = self.helpers.as_ref().filter(|helpers| helpers.is_busy()).map(Helpers::bell)
        {
            let many = if self.hears_once { PollFlags::empty() } else { PollFlags::ADD_MULTI };
            let entry = Sqe::poll_add(number.as_raw_fd(), POLL_IN, many).user_data(BELL);
            if self.make_room(1) {
                self.push(&entry);
                self.listening = true;
            }
        }
    }

    /// Pushes an operation once more, behind a poll if it is one that waits for something to be ready.
    fn try_again(&mut self, slot: u32) {
        if self.await_trial(slot) {
            return;
        }
        let Some(&operation) = self.packets.kept(slot) else { return };
        let Some(packet) = self.packets.at(slot) else { return };
        let token = packet.token();
        packet.standing.remove(Standing::AGAIN | Standing::IN_RUN | Standing::POLLED);
        let cancelled = packet.standing.contains(Standing::CANCELLED);
        self.table.unpin_all(std::mem::replace(&mut packet.lowered.pins, [NONE; 2]));
        let (mut entry, mut lowered) = (Sqe::nop(), Lowered::NOTHING);
        let tried = if cancelled {
            Err(Errno::ECANCELED)
        } else {
            Lowering {
                table: &mut self.table,
                features: &self.features,
                lengths: &mut self.lengths,
                hows: &mut self.hows,
                fixed: &mut self.fixed,
                packet: slot,
                may_wait: true,
                described: false,
                entry: &mut entry,
                lowered: &mut lowered,
            }
            .lower(&operation)
        };
        if let Err(error) = tried {
            let report = self.fail(token, error);
            self.ready.push_back(report);
            return;
        }
        entry.user_data = token.to_word();
        let events = match operation {
            Operation::Read { .. }
            | Operation::Recv { .. }
            | Operation::RecvPicked { .. }
            | Operation::Accept { multishot: false, .. } => POLL_IN,
            Operation::Write { .. } | Operation::Send { .. } => POLL_OUT,
            _ => 0,
        };
        if events != 0 {
            let mut poll = Sqe::poll_add(entry.fd, events, PollFlags::empty());
            poll.flags = entry.flags;
            self.push(&poll.link().user_data(token.to_word() | POLL));
        }
        // A local listener whose queue is full cannot be polled for; a kernel worker waits for it.
        if matches!(operation, Operation::Connect { .. }) {
            entry = entry.asynchronous();
        }
        self.push(&entry);
        self.table.pin_all(lowered.pins);
        if let Some(packet) = self.packets.at(slot) {
            if let Effect::Adds(_) = packet.lowered.effect {
                lowered.effect = packet.lowered.effect;
            }
            packet.lowered = lowered;
            if events != 0 {
                packet.standing.insert(Standing::POLLED);
            }
        }
    }
}

/// Whether a run begins with an OPEN and a STAT of what that opens.
#[inline]
fn is_described(steps: &[Step]) -> bool {
    match (&steps[0].operation, steps.get(1)) {
        (Operation::Open { into, .. }, Some(next)) => describes(&next.operation, *into),
        _ => false,
    }
}

/// Whether an operation is a STAT of what is at `index`.
#[inline]
pub(super) fn describes(operation: &Operation, index: u32) -> bool {
    matches!(*operation, Operation::Stat { directory: Some(file), path: None, .. } if file == index)
}

/// Whether an operation that did nothing may simply be pushed once more.
#[inline]
fn can_be_repeated(operation: &Operation) -> bool {
    // An OPEN meets EAGAIN where somebody holds a lease: to wait for that is not its business.
    // That a word does not hold what was expected is an answer.
    !matches!(operation, Operation::Close { .. } | Operation::Open { .. } | Operation::FutexWait { .. })
}

//! The uring backend: operations become entries of the kernel's ring, runs become linked entries.
//!
//! [`Uring`] holds the ring, the table of objects and what is remembered of started operations. `lower` makes entries,
//! `reports` reads completions, `helpers` do what the ring cannot, `memory` holds all that is unsafe. It enters the
//! kernel in [`wait`](Backend::wait) and otherwise only when the submission queue is full or a descriptor must be made
//! from a slot. It must never push part of a run: a run that straddles a submission is cut by the kernel.
//!
//! Writing to a pipe or socket without a reader raises SIGPIPE where the process has not ignored it, as Rust's runtime
//! does. SEND never raises it.

mod calls;
mod copy;
mod helpers;
mod lengths;
mod lower;
mod memory;
mod packets;
mod reports;
mod setup;
mod table;

use std::cell::Cell;
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ouzel_engine::{Backend, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel_ring::Errno;
use ouzel_uring::abi::{CancelFlags, Cqe, Features as KernelFeatures, FixedFdFlags, PollFlags, Timespec};
use ouzel_uring::{EnterError, Ring, Slot, SlotUpdate, Sqe, Timeout};
use rustix::time::{ClockId, clock_gettime};

use self::helpers::{Helpers, Job};
use self::lengths::Lengths;
use self::lower::{Lowered, Lowering, Route};
use self::packets::{BELL, CANCEL, INSTALL, POLL, Packet, SLOTS, Standing};
pub use self::setup::{Features, Missing, Policy, UringError, UringOptions};
use self::table::{Kind, NONE, Table};
use super::HostBackend;

/// The most steps of one run.
const LONGEST_RUN: usize = 32;

/// `POLLIN`.
const POLL_IN: u32 = 1;
/// `POLLOUT`.
const POLL_OUT: u32 = 4;

const IN_KERNEL: Way = Way { place: Place::Kernel, reason: "" };
const ON_THE_SPOT: Way = Way { place: Place::Call, reason: "refused before it was handed to the kernel" };

/// How often entering is tried again when the kernel wants memory.
const TRIES: u32 = 1000;

/// The backend on Linux's io_uring.
#[derive(Debug)]
pub struct Uring {
    ring: ManuallyDrop<Ring>,
    features: Features,
    policy: Policy,
    table: Table,
    packets: Vec<Packet>,
    lengths: Lengths,
    helpers: Option<Helpers>,
    /// The helpers' bell is being polled.
    listening: bool,
    /// Completions taken from the ring ahead of their turn.
    held: VecDeque<Cqe>,
    /// Reports that need no completion.
    ready: VecDeque<Report>,
    /// User data of entries that are to be cancelled when there is room.
    cancels: VecDeque<u64>,
    /// Packets that are to be tried again.
    again: VecDeque<u32>,
    in_flight: u32,
    calls: u64,
    /// The thread it must stay on.
    thread: Option<u64>,
    process: u32,
}

/// A number of this thread's own, never used again.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

impl Uring {
    /// A backend of its own ring. Unless `movable`, it works on this thread only.
    pub fn new(options: UringOptions) -> Result<Uring, UringError> {
        let (ring, features) = setup::set_up(&options)?;
        Ok(Uring {
            ring: ManuallyDrop::new(ring),
            features,
            policy: options.policy,
            table: Table::new(options.descriptors),
            packets: Vec::new(),
            lengths: Lengths::default(),
            helpers: None,
            listening: false,
            held: VecDeque::with_capacity(64),
            ready: VecDeque::with_capacity(64),
            cancels: VecDeque::with_capacity(64),
            again: VecDeque::with_capacity(64),
            in_flight: 0,
            calls: 0,
            thread: (!options.movable).then(thread_number),
            process: std::process::id(),
        })
    }

    /// What the kernel has and what is used instead of what it lacks.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How chains are mapped onto the kernel.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Operations started and not reported for the last time. The kernel may still use their memory.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Submits what was pushed, to make room. Does not wait.
    fn make_room(&mut self, entries: u32) -> bool {
        if self.ring.sq_room() < entries {
            // If that fails, `wait` meets the same error and reports it.
            let _ = self.enter(0, None);
        }
        self.ring.sq_room() >= entries
    }

    /// Enters the kernel, if this is the right thread.
    fn enter(&mut self, want: u32, timeout: Option<Timeout>) -> Result<(), EnterError> {
        if self.thread.is_some_and(|thread| thread != thread_number()) {
            return Err(EnterError::WrongThread);
        }
        self.ring.submit_and_wait(want, timeout).map(|_| ())
    }

    /// Pushes an entry for which there is room.
    #[inline]
    fn push(&mut self, entry: &Sqe) {
        let pushed = memory::push(&mut self.ring, entry);
        debug_assert!(pushed.is_ok(), "room was made before");
    }

    /// Pushes a cancel, for which there is room. Its success posts no completion, where the kernel can do without.
    fn push_cancel(&mut self, user_data: u64) {
        let mut entry = Sqe::cancel(user_data, CancelFlags::empty()).user_data(CANCEL);
        if self.ring.features().contains(KernelFeatures::CQE_SKIP) {
            entry = entry.skip_success();
        }
        self.push(&entry);
    }

    fn finish_now(&self, outcome: Result<u64, Errno>, way: Way) -> Started {
        let outcome = match outcome {
            Ok(result) => Outcome::success(result),
            Err(error) => Outcome::failure(error),
        };
        Started::Finished { outcome, way }
    }

    /// The packet of `token`, made if there has been none of its slot.
    #[inline]
    fn remember(&mut self, step: &Step, standing: Standing, pins: [u32; 2]) {
        let place = step.token.slot as usize;
        if place >= self.packets.len() {
            self.packets.resize((place + 1).next_power_of_two(), Packet::IDLE);
        }
        for pin in pins {
            if pin != NONE {
                self.table.pin(pin);
            }
        }
        let wait = if step.may_wait { Standing::MAY_WAIT } else { Standing::empty() };
        let standing = standing | wait | Standing::LIVE;
        let (generation, operation) = (step.token.generation, step.operation);
        self.packets[place] = Packet { generation, standing, pins, operation };
        self.in_flight += 1;
    }

    /// Makes the entry of one operation.
    #[inline]
    fn lower(&mut self, token: Token, operation: &Operation, may_wait: bool) -> Result<Lowered, Errno> {
        let (table, features, lengths) = (&mut self.table, &self.features, &mut self.lengths);
        let mut lowering = Lowering { table, features, lengths, packet: token.slot, may_wait };
        let mut lowered = lowering.lower(operation)?;
        lowered.entry.user_data = token.to_word();
        Ok(lowered)
    }

    /// Starts a run on the ring.
    fn start_run(&mut self, steps: &[Step]) -> Started {
        let count = steps.len().min(self.ring.sq_entries() as usize);
        let first = &steps[0];
        if let Operation::Close { file } = first.operation
            && let Some(record) = self.table.get(file)
            && record.slot == NONE
            && record.is_pinned()
            && !record.closing
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
        let mut held = match self.lower(first.token, &first.operation, first.may_wait) {
            Ok(lowered) => lowered,
            Err(error) => return self.finish_now(Err(error), ON_THE_SPOT),
        };
        if let Operation::Close { file } = first.operation
            && let Some(record) = self.table.get_mut(file)
        {
            // A close further down a run may never happen, and until it does the object is there.
            record.closing = true;
        }
        self.remember(first, Standing::empty(), held.pins);
        let mut taken = 1;
        for step in &steps[1..count] {
            // What cannot follow is asked for again when its turn comes, and then refused by itself.
            let Ok(next) = self.lower(step.token, &step.operation, true) else { break };
            let entry = match step.edge {
                Edge::Success => held.entry.link(),
                Edge::Always => held.entry.hardlink(),
            };
            self.push(&entry);
            self.remember(step, Standing::IN_RUN, next.pins);
            held = next;
            taken += 1;
        }
        if taken > 1 {
            self.packets[first.token.slot as usize].standing.insert(Standing::IN_RUN);
        }
        self.push(&held.entry);
        if at_once {
            self.push_cancel(first.token.to_word());
        }
        Started::Taken { count: taken, way: IN_KERNEL }
    }

    /// Whether an operation that may not wait has to be cancelled as soon as it was tried, because the kernel has no
    /// other way to be told. ETIMEDOUT if it is known already that it would have to wait.
    fn must_be_stopped(&mut self, operation: &Operation) -> Result<bool, Errno> {
        let (file, events) = match *operation {
            Operation::Accept { .. } | Operation::Connect { .. } | Operation::Poll { .. } => return Ok(true),
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

    /// What sort of thing is behind `index`; looked at once.
    fn classify(&mut self, index: u32) -> Result<Kind, Errno> {
        let record = self.table.get(index).filter(|record| !record.closing).ok_or(Errno::EBADF)?;
        if record.kind != Kind::Unknown {
            return Ok(record.kind);
        }
        self.ensure_descriptor(index)?;
        let number = self.number(index)?;
        self.calls += 1;
        let kind = calls::kind_of(memory::borrow(number)).map_err(calls::errno)?;
        if let Some(record) = self.table.get_mut(index) {
            record.kind = kind;
        }
        Ok(kind)
    }

    fn number(&self, index: u32) -> Result<RawFd, Errno> {
        self.table.get(index).and_then(table::Record::number).ok_or(Errno::EBADF)
    }

    /// Sees to it that the object at `index` has an ordinary descriptor.
    fn ensure_descriptor(&mut self, index: u32) -> Result<(), Errno> {
        let record = self.table.get(index).filter(|record| !record.closing).ok_or(Errno::EBADF)?;
        if record.descriptor.is_some() {
            return Ok(());
        }
        if record.slot == NONE {
            return Err(Errno::EBADF);
        }
        let descriptor = self.install(Slot(record.slot))?;
        if let Some(record) = self.table.get_mut(index) {
            record.descriptor = Some(descriptor);
        }
        Ok(())
    }

    /// Makes an ordinary descriptor from a slot. The kernel does it while it takes the entry, so this enters but
    /// does not wait; completions of others are kept for their turn.
    fn install(&mut self, slot: Slot) -> Result<OwnedFd, Errno> {
        if !self.make_room(1) {
            return Err(Errno::ENOBUFS);
        }
        self.push(&Sqe::fixed_fd_install(slot, FixedFdFlags::empty()).user_data(INSTALL));
        let mut want = 0;
        for _ in 0..TRIES {
            match self.enter(want, None) {
                Ok(())
                | Err(
                    EnterError::Interrupted | EnterError::TimedOut | EnterError::TryAgain | EnterError::Busy,
                ) => {}
                Err(error) => return Err(Errno::from_raw(error.errno())),
            }
            while let Some(completion) = self.ring.next_completion() {
                if completion.user_data == INSTALL {
                    return match completion.res {
                        number if number >= 0 => Ok(memory::own(number)),
                        error => Err(Errno::from_raw(error)),
                    };
                }
                self.held.push_back(completion);
            }
            want = 1;
        }
        Err(Errno::EIO)
    }

    /// Puts an ordinary descriptor into the table: into a slot if it can be one.
    fn insert(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        let kind = calls::kind_of(&descriptor).map_err(calls::errno)?;
        let name = calls::is_only_a_name(&descriptor).map_err(calls::errno)?;
        if self.features.slots && !name {
            let update = [SlotUpdate::file(descriptor.as_fd())];
            if matches!(self.ring.files_update(Slot(index), &update), Ok(1)) {
                self.table.put(index, index, None, kind);
                return Ok(());
            }
            // Some files, a ring's own for one, cannot be slots.
        }
        self.table.put(index, NONE, Some(descriptor), kind);
        Ok(())
    }

    /// Does an operation by a plain call, at once.
    fn call(&mut self, step: &Step, numbers: [RawFd; 2], reason: &'static str) -> Started {
        self.calls += 1;
        let outcome = match step.operation {
            Operation::Pipe { into: [read, write] } => calls::pipe().and_then(|(read_end, write_end)| {
                self.insert(read, read_end)?;
                self.insert(write, write_end).inspect_err(|_| self.empty(read))?;
                Ok(0)
            }),
            Operation::Socket { domain, kind, protocol, into } => {
                calls::socket(domain, kind, protocol).and_then(|socket| self.insert(into, socket)).map(|()| 0)
            }
            ref operation => calls::perform(operation, numbers),
        };
        self.finish_now(outcome, Way { place: Place::Call, reason })
    }

    /// Throws away what `insert` put at `index`.
    fn empty(&mut self, index: u32) {
        if let Some(slot) = self.table.get(index).map(|record| record.slot)
            && slot != NONE
        {
            let _ = self.ring.files_update(Slot(slot), &[SlotUpdate::EMPTY]);
        }
        self.table.clear(index);
    }

    /// Gives an operation to a helper.
    fn hand_over(
        &mut self,
        step: &Step,
        indices: [u32; 2],
        numbers: [RawFd; 2],
        reason: &'static str,
    ) -> Started {
        let way = Way { place: Place::Helper, reason };
        let helpers = match &mut self.helpers {
            Some(helpers) => helpers,
            none => match Helpers::new() {
                Ok(helpers) => none.insert(helpers),
                Err(error) => {
                    let errno = error.raw_os_error().map_or(Errno::ENOMEM, Errno::from_raw);
                    return self.finish_now(Err(errno), way);
                }
            },
        };
        let Step { token, operation, may_wait, .. } = *step;
        if let Err(error) = helpers.start(Job { token, operation, numbers, may_wait }) {
            return self.finish_now(Err(error), way);
        }
        self.remember(step, Standing::HELPER, indices);
        Started::Taken { count: 1, way }
    }

    /// Pushes what was put off: second tries, cancels, the poll of the helpers' bell.
    fn push_waiting(&mut self) {
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
            let entry = Sqe::poll_add(number.as_raw_fd(), POLL_IN, PollFlags::empty()).user_data(BELL);
            if self.make_room(1) {
                self.push(&entry);
                self.listening = true;
            }
        }
    }

    /// Pushes an operation once more, behind a poll if it is one that waits for something to be ready.
    fn try_again(&mut self, slot: u32) {
        let Some(packet) = self.packets.get_mut(slot as usize) else { return };
        let (token, operation) = (Token { slot, generation: packet.generation }, packet.operation);
        packet.standing.remove(Standing::AGAIN | Standing::IN_RUN | Standing::POLLED);
        let pins = std::mem::replace(&mut packet.pins, [NONE; 2]);
        let cancelled = packet.standing.contains(Standing::CANCELLED);
        for pin in pins {
            if pin != NONE {
                self.table.unpin(pin);
            }
        }
        let lowered = if cancelled { Err(Errno::ECANCELED) } else { self.lower(token, &operation, true) };
        let lowered = match lowered {
            Ok(lowered) => lowered,
            Err(error) => {
                let report = self.fail(slot, token, error);
                self.ready.push_back(report);
                return;
            }
        };
        let events = match operation {
            Operation::Read { .. } | Operation::Recv { .. } | Operation::Accept { multishot: false, .. } => {
                POLL_IN
            }
            Operation::Write { .. } | Operation::Send { .. } | Operation::Connect { .. } => POLL_OUT,
            _ => 0,
        };
        if events != 0 {
            let mut poll = Sqe::poll_add(lowered.entry.fd, events, PollFlags::empty());
            poll.flags = lowered.entry.flags;
            self.push(&poll.link().user_data(token.to_word() | POLL));
        }
        self.push(&lowered.entry);
        for pin in lowered.pins {
            if pin != NONE {
                self.table.pin(pin);
            }
        }
        let packet = &mut self.packets[slot as usize];
        packet.pins = lowered.pins;
        if events != 0 {
            packet.standing.insert(Standing::POLLED);
        }
    }

    /// The time limit of a wait until `until`.
    fn limit(&self, until: u64) -> Timeout {
        if self.features.absolute_time {
            let (seconds, nanoseconds) = (until / 1_000_000_000, until % 1_000_000_000);
            Timeout::At(Timespec { tv_sec: seconds as i64, tv_nsec: nanoseconds as i64 })
        } else {
            Timeout::After(Duration::from_nanos(until.saturating_sub(self.now())))
        }
    }
}

impl Backend for Uring {
    fn now(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    fn longest_run(&self) -> usize {
        LONGEST_RUN
    }

    #[inline]
    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        lower::follows(&self.table, &self.features, previous, edge, next)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(first) = steps.first() else { return Started::Busy };
        if first.token.slot >= SLOTS {
            return self.finish_now(Err(Errno::ENOBUFS), ON_THE_SPOT);
        }
        let route = lower::route(&first.operation, &self.features);
        let indices = lower::wants_descriptors(&first.operation, route);
        let mut numbers = [calls::NOBODY; 2];
        for (index, number) in indices.into_iter().zip(&mut numbers) {
            if index == NONE {
                continue;
            }
            match self.ensure_descriptor(index).and_then(|()| self.number(index)) {
                Ok(found) => *number = found,
                Err(error) => return self.finish_now(Err(error), ON_THE_SPOT),
            }
        }
        match route {
            Route::Ring => self.start_run(steps),
            Route::Call(reason) => self.call(first, numbers, reason),
            Route::Helper(reason) => self.hand_over(first, indices, numbers, reason),
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some(packet) = self.packets.get_mut(token.slot as usize).filter(|packet| packet.is(token)) else {
            return;
        };
        packet.standing.insert(Standing::CANCELLED);
        let standing = packet.standing;
        if standing.contains(Standing::HELPER) {
            if let Some(helpers) = &self.helpers {
                helpers.cancel(token);
            }
        } else if !standing.contains(Standing::AGAIN) {
            if standing.contains(Standing::POLLED) {
                self.cancels.push_back(token.to_word() | POLL);
            }
            self.cancels.push_back(token.to_word());
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        for _ in 0..TRIES {
            self.push_waiting();
            let have = (self.ready.len() + self.held.len()).min(u32::MAX as usize) as u32;
            let want = want.saturating_sub(have).min(self.ring.cq_entries());
            // The kernel's word that work is deferred can be left over from work that is done.
            let deferred = self.in_flight > 0 && self.ring.cq_needs_enter();
            if self.ring.sq_pending() == 0 && !deferred && (want == 0 || self.ring.cq_ready() >= want) {
                return Ok(());
            }
            let limit = if want == 0 { None } else { until.map(|until| self.limit(until)) };
            match self.enter(want, limit) {
                Ok(()) if self.ring.sq_pending() == 0 => return Ok(()),
                // The kernel stopped at an entry that could not start, which has its completion.
                Ok(()) => {}
                Err(EnterError::TimedOut) => return Ok(()),
                Err(EnterError::Interrupted) => {
                    if until.is_some_and(|until| self.now() >= until) {
                        return Ok(());
                    }
                }
                Err(EnterError::TryAgain | EnterError::Busy) => {
                    if self.ring.cq_ready() > 0 {
                        return Ok(());
                    }
                    std::thread::yield_now();
                }
                Err(error) => return Err(Errno::from_raw(error.errno())),
            }
        }
        Err(Errno::EAGAIN)
    }

    fn next(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.ready.pop_front() {
                return Some(report);
            }
            let completion = match self.held.pop_front() {
                Some(completion) => completion,
                None => self.ring.next_completion()?,
            };
            if let Some(report) = self.read(completion) {
                return Some(report);
            }
        }
    }

    fn attach(&mut self, handle: u64, index: u32) {
        if self.features.slots {
            self.table.put(index, handle as u32, None, Kind::Stream);
        } else {
            self.table.put(index, NONE, Some(memory::own(handle as RawFd)), Kind::Stream);
        }
    }

    fn discard(&mut self, handle: u64) {
        self.calls += 1;
        if self.features.slots {
            let _ = self.ring.files_update(Slot(handle as u32), &[SlotUpdate::EMPTY]);
        } else {
            drop(memory::own(handle as RawFd));
        }
    }

    fn counters(&self) -> Counters {
        let (calls, handoffs) =
            self.helpers.as_ref().map_or((0, 0), |helpers| (helpers.calls(), helpers.handed()));
        Counters { enters: self.ring.enters(), calls: self.calls + calls, handoffs }
    }
}

impl HostBackend for Uring {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        self.insert(index, descriptor)
    }

    fn release(&mut self, index: u32) -> Result<OwnedFd, Errno> {
        self.ensure_descriptor(index)?;
        let record = self.table.get_mut(index).ok_or(Errno::EBADF)?;
        let (slot, opened) = (record.slot, record.opened);
        let descriptor = record.descriptor.take().ok_or(Errno::EBADF)?;
        if opened {
            // One that only names a file has no such flag, and says so.
            let _ = calls::make_blocking(&descriptor);
        }
        if slot != NONE {
            let _ = self.ring.files_update(Slot(slot), &[SlotUpdate::EMPTY]);
        }
        self.table.clear(index);
        Ok(descriptor)
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        let forked = std::process::id() != self.process;
        let astray = self.thread.is_some_and(|thread| thread != thread_number());
        if !forked && !astray {
            // What was opened and not collected is closed here, or with the table.
            while let Some(report) = self.next() {
                if let Outcome::Done { error: Errno::OK, result, .. } = report.outcome
                    && report.more
                    && let Some(packet) = self.packets.get(report.token.slot as usize)
                    && matches!(packet.operation, Operation::Accept { .. })
                {
                    self.discard(result);
                }
            }
        }
        if self.in_flight > 0 {
            self.lengths.leak();
        }
        let ring = memory::take_ring(&mut self.ring);
        if forked {
            // A child has neither the queues nor the threads; what is the parent's is left alone.
            ring.abandon();
            std::mem::forget(self.helpers.take());
        } else if astray {
            // The registered index is another thread's.
            ring.abandon();
        } else {
            drop(ring);
        }
    }
}

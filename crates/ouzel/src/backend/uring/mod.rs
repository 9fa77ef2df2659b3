//! The uring backend: operations become entries of the kernel's ring, runs become linked entries.
//!
//! [`Uring`] holds the ring, the table of objects and what is remembered of started operations. `lower` makes entries,
//! `starting` pushes them, `reports` reads completions, `helpers` do what the ring cannot, `quick`, `mounts` and
//! `sockets` are plain calls that need not wait, `trials` are what is tried by such calls until it goes, `memory` holds all
//! that is unsafe. It enters the kernel in [`wait`](Backend::wait) and otherwise only when the submission queue is full or
//! a descriptor must be made from a slot. It must never push part of a run: a run that straddles a submission is cut by
//! the kernel.
//!
//! Writing to a pipe or socket without a reader raises SIGPIPE where the process has not ignored it, as Rust's runtime
//! does. SEND never raises it.

mod at_once;
mod awaited;
mod calls;
mod copy;
mod fixed;
mod handing;
mod helpers;
mod hows;
mod lengths;
mod lower;
mod measure;
mod memory;
mod metadata;
mod mounts;
mod objects;
mod packets;
mod picking;
mod planner;
mod quick;
mod reports;
mod setup;
mod sockets;
mod starting;
mod table;
mod trials;

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::mem::ManuallyDrop;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ouzel_engine::{Backend, Counters, Edge, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel_pool::Pool;
use ouzel_ring::{Errno, Verb};
use ouzel_uring::abi::{CancelFlags, Cqe, Features as KernelFeatures, Timespec};
use ouzel_uring::{EnterError, Ring, Slot, SlotUpdate, Sqe, Timeout};
use rustix::time::{ClockId, clock_gettime};

use self::fixed::Fixed;
use self::helpers::Helpers;
use self::hows::Hows;
use self::lengths::Lengths;
use self::lower::Route;
use self::packets::{CANCEL, CANCEL_POLL, Effect, OWN, POLL, Packets, SLOTS, Standing};
pub use self::planner::Costs;
use self::planner::{Planner, reason};
pub use self::setup::{Features, Missing, Policy, UringError, UringOptions};
use self::table::{Kind, NONE, Table};
use self::trials::Trial;
use super::HostBackend;
use crate::{BufferGroup, RegisteredMemory};

/// The most steps of one run.
const LONGEST_RUN: usize = 32;

/// Handles below are slots or numbers of connections.
const FIRST_HANDLE: u64 = 1 << 32;

const ON_THE_SPOT: Way = Way { place: Place::Call, reason: "refused before it was handed to the kernel" };

/// How often entering is tried again when the kernel wants memory.
const TRIES: u32 = 1000;

/// The backend on Linux's io_uring.
#[derive(Debug)]
pub struct Uring {
    ring: ManuallyDrop<Ring>,
    features: Features,
    planner: Planner,
    /// The word of the token behind what was done by a call last: it goes on by calls if it comes as the rest of that run.
    called_behind: u64,
    /// Why that was a call.
    called_why: &'static str,
    /// A plain call at once would have had to wait: what is started next is what it was for.
    refused: bool,
    /// What was last taken in is so little that plain calls are cheaper.
    few: bool,
    /// Whoever entered waits for what is started next and for nothing else.
    awaited: bool,
    table: Table,
    packets: Packets,
    lengths: Lengths,
    hows: Hows,
    fixed: Fixed,
    helpers: Option<Helpers>,
    /// The helpers' bell is being polled.
    listening: bool,
    /// This kernel's polls end with the first event.
    hears_once: bool,
    /// Completions taken from the ring ahead of their turn.
    held: VecDeque<Cqe>,
    /// Reports that need no completion.
    ready: VecDeque<Report>,
    /// User data of entries that are to be cancelled when there is room.
    cancels: VecDeque<u64>,
    /// Packets that are to be tried again.
    again: VecDeque<u32>,
    /// By packet: operations done by plain calls that wait for their next try.
    trials: HashMap<u32, Trial>,
    /// By handle: descriptors that came with messages and have no index yet.
    received: HashMap<u64, OwnedFd>,
    /// The handle of the next of those.
    next_handle: u64,
    /// By number: what the kernel picks from.
    groups: HashMap<u16, BufferGroup>,
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
            planner: Planner::new(options.policy, options.costs),
            called_behind: u64::MAX,
            called_why: "",
            refused: false,
            few: false,
            awaited: false,
            table: Table::new(options.descriptors),
            packets: Packets::default(),
            lengths: Lengths::default(),
            hows: Hows::default(),
            fixed: Fixed::default(),
            helpers: None,
            listening: false,
            hears_once: false,
            held: VecDeque::with_capacity(64),
            ready: VecDeque::with_capacity(64),
            cancels: VecDeque::with_capacity(64),
            again: VecDeque::with_capacity(64),
            trials: HashMap::new(),
            received: HashMap::new(),
            groups: HashMap::new(),
            next_handle: FIRST_HANDLE,
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
        self.planner.policy()
    }

    /// What it reckons with when it chooses between plain calls and the ring.
    pub fn costs(&self) -> Costs {
        self.planner.costs()
    }

    /// Operations started and not reported for the last time. The kernel may still use their memory.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Submits what was pushed, to make room. Does not wait.
    #[inline]
    fn make_room(&mut self, entries: u32) -> bool {
        self.ring.sq_room() >= entries || self.submit_for_room(entries)
    }

    #[cold]
    fn submit_for_room(&mut self, entries: u32) -> bool {
        // If that fails, `wait` meets the same error and reports it.
        let _ = self.enter(0, None);
        self.ring.sq_room() >= entries
    }

    /// Enters the kernel, if this is the right thread.
    fn enter(&mut self, want: u32, timeout: Option<Timeout>) -> Result<(), EnterError> {
        if self.thread.is_some_and(|thread| thread != thread_number()) {
            return Err(EnterError::WrongThread);
        }
        self.planner.entered();
        self.ring.submit_and_wait(want, timeout).map(|_| ())
    }

    /// Pushes an entry for which there is room.
    #[inline]
    fn push(&mut self, entry: &Sqe) {
        let pushed = memory::push(&mut self.ring, entry);
        debug_assert!(pushed.is_ok(), "room was made before");
    }

    /// Pushes a cancel of the entry with this user data, for which there is room. Its success posts no completion,
    /// where the kernel can do without.
    fn push_cancel(&mut self, user_data: u64) {
        let own = if user_data & OWN == 0 { user_data | CANCEL } else { CANCEL_POLL };
        let mut entry = Sqe::cancel(user_data, CancelFlags::empty()).user_data(own);
        if self.ring.features().contains(KernelFeatures::CQE_SKIP) {
            entry = entry.skip_success();
        }
        self.push(&entry);
    }

    /// Makes the descriptors that a step needs, and starts it unless it is one for the ring.
    #[inline(never)]
    fn start_otherwise(&mut self, steps: &[Step]) -> Option<Started> {
        let count = handing::together(steps);
        if count > 0 {
            return Some(self.hand_over_together(&steps[..count]));
        }
        let first = &steps[0];
        let route = match first.operation {
            Operation::Splice { source, target, .. } => match self.splice_route(source, target) {
                Ok(route) => route,
                Err(error) => return Some(self.finish_now(Err(error), ON_THE_SPOT)),
            },
            ref operation => lower::route(operation, &self.features),
        };
        let indices = lower::wants_descriptors(&first.operation, route);
        let numbers = match self.numbers_of(indices) {
            Ok(numbers) => numbers,
            Err(error) => return Some(self.finish_now(Err(error), ON_THE_SPOT)),
        };
        match route {
            Route::Ring => None,
            Route::Call(reason) => Some(self.call(first, numbers, reason)),
            Route::Try(reason) => Some(self.try_now(first, indices, numbers, reason)),
            Route::Helper(reason) => Some(self.hand_over(first, indices, numbers, reason)),
        }
    }

    #[cold]
    fn finish_now(&self, outcome: Result<u64, Errno>, way: Way) -> Started {
        let outcome = match outcome {
            Ok(result) => Outcome::success(result),
            Err(error) => Outcome::failure(error),
        };
        Started::Finished { outcome, way }
    }

    /// The next report, out of everything that may hold one.
    #[inline(never)]
    fn next_of_all(&mut self) -> Option<Report> {
        loop {
            if let Some(report) = self.ready.pop_front() {
                return Some(report);
            }
            let completion = match self.held.pop_front() {
                Some(completion) => completion,
                None => self.ring.next_completion()?,
            };
            if let Some(report) = self.read(&completion) {
                return Some(report);
            }
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

    fn expect(&mut self, chains: u32) {
        self.planner.expect(chains);
        if self.in_flight == 0 {
            self.planner.measure_in_time();
        }
    }

    #[inline]
    fn prefers_at_once(&mut self, entries: u32) -> bool {
        self.wants_calls(entries)
    }

    #[inline]
    fn prefers_chain_at_once(&mut self, first: Verb, second: Option<Verb>) -> bool {
        self.wants_calls_for(first, second)
    }

    #[inline]
    fn do_at_once(&mut self, operation: &Operation) -> Option<Outcome> {
        self.call_at_once(operation)
    }

    #[inline]
    fn may_block(&mut self, may: bool) {
        self.awaited = may && self.planner.policy() == Policy::Auto;
    }

    #[inline]
    fn follows(&self, previous: &Operation, edge: Edge, next: &Operation) -> bool {
        lower::follows(&self.table, &self.features, previous, edge, next)
            || self.goes_on(previous, edge, next)
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let Some(first) = steps.first() else { return Started::Busy };
        if first.token.slot >= SLOTS {
            return self.finish_now(Err(Errno::ENOBUFS), ON_THE_SPOT);
        }
        if self.awaited
            && let Some(started) = self.start_awaited(steps)
        {
            return started;
        }
        if !lower::goes_straight(&first.operation)
            && let Some(started) = self.start_otherwise(steps)
        {
            return started;
        }
        let mut why = reason::LINKS;
        if std::mem::take(&mut self.refused) {
            why = reason::REFUSED;
        } else if self.planner.may_call() {
            match self.try_call(steps) {
                Ok(started) => return started,
                Err(reason) => why = reason,
            }
        }
        match steps {
            [step] if step.may_wait && !matches!(step.operation, Operation::Close { .. }) => {
                self.start_one(step, why)
            }
            _ => self.start_run(steps, why),
        }
    }

    fn cancel(&mut self, token: Token) {
        let Some(packet) = self.packets.of(token) else { return };
        packet.standing.insert(Standing::CANCELLED);
        let standing = packet.standing;
        if standing.contains(Standing::HELPER) {
            if let Some(helpers) = &self.helpers {
                helpers.cancel(token);
            }
        } else if !standing.intersects(Standing::AGAIN | Standing::BEHIND) {
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
            let mut want = want.saturating_sub(have).min(self.ring.cq_entries());
            if !self.trials.is_empty() || self.helpers.as_ref().is_some_and(Helpers::is_busy) {
                // What comes is not one completion for each report: it has to be looked at.
                want = want.min(1);
            }
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
        if self.ready.is_empty() && self.held.is_empty() {
            let completion = self.ring.next_completion()?;
            let report = self.read_success(&completion);
            if report.is_some() {
                return report;
            }
            return self.read(&completion).or_else(|| self.next_of_all());
        }
        self.next_of_all()
    }

    fn attach(&mut self, handle: u64, index: u32) {
        if let Some(descriptor) = self.received.remove(&handle) {
            // One that the kernel has just made can be looked at.
            let _ = self.take_in(index, descriptor);
            return;
        }
        if self.features.slots {
            self.table.put(index, handle as u32, None, Kind::Stream);
        } else {
            self.table.put(index, NONE, Some(memory::own(handle as RawFd)), Kind::Stream);
        }
    }

    fn discard(&mut self, handle: u64) {
        self.calls += 1;
        if self.received.remove(&handle).is_some() {
            return;
        }
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

// SAFETY: results are the kernel's own, or a helper's for what its system call returned; memory is named to the kernel
// from `start` on and reported after its completion.
unsafe impl HostBackend for Uring {
    fn adopt(&mut self, index: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        self.take_in(index, descriptor)
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

    fn add_group(&mut self, group: &BufferGroup) -> Result<(), Errno> {
        self.register_group(group)
    }

    fn remove_group(&mut self, group: u16) {
        self.unregister_group(group);
    }

    fn register_pool(&mut self, pool: &Pool) {
        self.fixed.add(&mut self.ring, pool);
    }

    fn follow_pools(&mut self) {
        self.fixed.look(&mut self.ring);
    }

    fn registered_memory(&self) -> Option<RegisteredMemory> {
        self.fixed.memory()
    }

    fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        // The work of a ring that stays on its thread is put off until that enters, and not always told of before.
        if self.thread.is_some() { Ok(None) } else { objects::readiness(&mut self.ring).map(Some) }
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
                    && let Some(packet) = self.packets.at(report.token.slot)
                    && packet.lowered.effect == Effect::Connections
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

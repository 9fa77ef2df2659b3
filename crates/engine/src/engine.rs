//! The engine: what it holds, how it is entered, and what its owner may ask of it.
//!
//! [`Engine::enter`] is the crossing. It takes entries in (`intake`), moves chains on (`dispatch`, `conclude`) and
//! lets the backend sleep, over and over, until the caller has what it waits for. Everything the engine needs is
//! allocated when it is made.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;

use ouzel_ring::{Broken, Descriptor, EngineEnd, Entry, Errno, State};

use crate::at_once;
use crate::cancel::Target;
use crate::conclude::Stored;
use crate::descriptors::{Descriptors, Look};
use crate::packet::{Chain, Kept, Packet, Stage};
use crate::program::{Calls, Programs};
use crate::regions::{AddressCheck, Regions, Scratch};
use crate::slab::{NONE, Slab};
use crate::timers::Timers;
use crate::trace::{Event, Trace};
use crate::turns::{LOOKS_IN_TURN, MEMBERS_AT_ONCE};
use crate::{Backend, Counters, Step};

/// The most steps the engine offers a backend as one run.
pub const MAX_RUN: usize = 64;

/// How many nanoseconds pass before a backend is asked again that had no room though it had nothing started.
const BUSY_PAUSE: u64 = 1_000_000;

/// Limits of one engine. All memory for them is taken when the engine is made, that for programs when the first is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Descriptors open at once, 1 to 2^20. The backend's table must be as large.
    pub descriptors: u32,
    /// Entries in one chain; the queues may allow fewer.
    pub chain: u32,
    /// Payloads may name region 0, the submitter's own address space.
    pub in_process: bool,
    /// Programs stored at once.
    pub programs: u32,
    /// Steps of programs that run at once, at most 2^20. A program that has more cannot be called.
    pub program_steps: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { descriptors: 1024, chain: 1024, in_process: false, programs: 64, program_steps: 1024 }
    }
}

/// What a call to [`Engine::enter`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// Entries taken from the submission queue.
    pub taken: u32,
    /// Entries left at its tail because the end of their chain is not there yet.
    pub incomplete: u32,
    /// Completions the submitter can read.
    pub readable: u32,
}

/// Why a call to [`Engine::enter`] failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnterError {
    /// The submitter wrote an impossible index (EIO). The ring can only be torn down.
    Broken,
    /// The engine has been torn down.
    Closed,
    /// The backend cannot make progress any more.
    Backend(Errno),
}

impl From<Broken> for EnterError {
    fn from(_: Broken) -> EnterError {
        EnterError::Broken
    }
}

impl fmt::Display for EnterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnterError::Broken => Broken.fmt(formatter),
            EnterError::Closed => formatter.write_str("the ring has been torn down: make a new one"),
            EnterError::Backend(errno) => {
                write!(
                    formatter,
                    "the backend failed while waiting: {errno}; tear the ring down and make a new one"
                )
            }
        }
    }
}

impl core::error::Error for EnterError {}

/// What is alive in an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Entries admitted and not completed.
    pub packets: u32,
    /// Chains admitted and not over.
    pub chains: u32,
    /// Operations the backend has.
    pub started: u32,
    /// Descriptors that are open, or being opened or closed.
    pub descriptors: u32,
    /// Results of multishots that wait for a completion slot.
    pub stored: u32,
    /// Calls of programs that run.
    pub calls: u32,
    /// The steps of those programs that have a packet.
    pub steps: u32,
    /// Programs stored.
    pub programs: u32,
}

/// An entry copied out of shared memory whose chain is not admitted yet.
pub(crate) struct Staged {
    pub(crate) entry: Entry,
    /// A CANCEL that was taken past a blocked head, or a withdrawn entry whose completion is posted.
    pub(crate) taken: bool,
    /// It was cancelled while it waited, and completes without being run.
    pub(crate) withdrawn: bool,
}

impl Staged {
    #[inline]
    pub(crate) fn new(entry: Entry) -> Staged {
        Staged { entry, taken: false, withdrawn: false }
    }
}

/// Executes the entries of one ring over a backend.
pub struct Engine<B> {
    pub(crate) queues: EngineEnd,
    pub(crate) backend: B,
    pub(crate) packets: Slab<Packet>,
    pub(crate) chains: Slab<Chain>,
    /// By packet: what members of chains with PROGRAM keep. As many as there are packets once there has been such a chain.
    pub(crate) kept: Vec<Kept>,
    pub(crate) descriptors: Descriptors,
    pub(crate) regions: Regions,
    /// Owners below `packet_limit` are packets, those above are chains.
    pub(crate) timers: Timers,
    pub(crate) staged: VecDeque<Staged>,
    /// Where the entries of a chain are that is done at once.
    pub(crate) at_once: [Entry; at_once::LONGEST],
    /// What decoding one of them copies.
    pub(crate) scratch: Scratch,
    /// How many of them are withdrawn and not taken.
    pub(crate) withdrawn: u32,
    /// Entries of an over-long chain are being refused up to its end.
    pub(crate) refusing: bool,
    /// The head of the submission queue waits for completion slots.
    pub(crate) starved: bool,
    /// A chain with DRAIN is live.
    pub(crate) draining: bool,
    /// Chains that can move on.
    pub(crate) work: VecDeque<u32>,
    /// Chains that could move on, but have had their turn for now.
    pub(crate) paused: VecDeque<u32>,
    /// Chains whose turn found the backend full.
    pub(crate) stalled: VecDeque<u32>,
    /// An enter that does not wait ends when its chains have had their turn.
    pub(crate) takes_turns: bool,
    /// How many members of chains with PROGRAM may run in this turn.
    pub(crate) members_left: u32,
    /// How many entries were refused that only a broken or hostile submitter writes.
    pub(crate) refused: u64,
    /// Results of multishots without a completion slot.
    pub(crate) stored: VecDeque<Stored>,
    /// Where runs are made, one at a time.
    pub(crate) run: Box<[Step]>,
    /// Where in `run` the members are that are prepared and to be started next, those before them being over.
    pub(crate) rest: Range<usize>,
    /// Operations the backend has not reported for the last time.
    pub(crate) started: u32,
    /// Those of them whose report must wake the engine by itself.
    pub(crate) eager: u32,
    /// Something was started since the backend last submitted.
    pub(crate) unsubmitted: bool,
    pub(crate) chain_limit: u32,
    /// Completion slots, and so the most entries in flight.
    pub(crate) slots: u32,
    /// The most packets there will ever be: those of entries, and those of steps.
    pub(crate) packet_limit: u32,
    /// The most of them that are steps of programs.
    pub(crate) program_steps: u32,
    /// How many are: they hold no credit.
    pub(crate) internal: u32,
    pub(crate) programs: Programs,
    pub(crate) calls: Calls,
    /// The mark of chains admitted now, if only programs may be called.
    pub(crate) restricted: u8,
    pub(crate) closing: bool,
    /// Who enters is who submits: nothing is pushed, read or cancelled while an enter lasts.
    pub(crate) submitter_enters: bool,
    /// How many completions whoever has entered waits for without a limit of time, if it is who submits.
    pub(crate) awaited: u32,
    /// What the backend was told last.
    pub(crate) told_awaited: bool,
    pub(crate) trace: Trace,
}

impl<B: Backend> Engine<B> {
    /// An engine for the ring whose engine end is `queues`.
    pub fn new(queues: EngineEnd, backend: B, limits: Limits) -> Engine<B> {
        let geometry = queues.geometry();
        let slots = geometry.completions();
        let chain_limit = limits.chain.clamp(1, geometry.entries().min(slots - 1));
        let longest_run = backend.longest_run().clamp(1, MAX_RUN);
        let program_steps = limits.program_steps.min(1 << 20);
        let packet_limit = slots + program_steps;
        Engine {
            queues,
            backend,
            packets: Slab::new(slots, Packet::new),
            chains: Slab::new(slots, Chain::new),
            kept: Vec::new(),
            descriptors: Descriptors::new(limits.descriptors.clamp(1, 1 << 20)),
            regions: Regions::new(limits.in_process),
            timers: Timers::new(packet_limit + slots + slots.min(program_steps)),
            staged: VecDeque::with_capacity(geometry.entries() as usize),
            at_once: [const { Entry::from_words([0; 8]) }; at_once::LONGEST],
            scratch: Scratch::default(),
            withdrawn: 0,
            refusing: false,
            starved: false,
            draining: false,
            work: VecDeque::with_capacity(slots as usize),
            paused: VecDeque::new(),
            stalled: VecDeque::with_capacity(slots as usize),
            takes_turns: false,
            members_left: MEMBERS_AT_ONCE,
            refused: 0,
            stored: VecDeque::with_capacity(slots as usize),
            run: core::iter::repeat_n(Step::NONE, longest_run).collect(),
            rest: 0..0,
            started: 0,
            eager: 0,
            unsubmitted: false,
            chain_limit,
            slots,
            packet_limit,
            program_steps,
            internal: 0,
            programs: Programs::new(limits.programs),
            calls: Calls::default(),
            restricted: 0,
            closing: false,
            submitter_enters: false,
            awaited: 0,
            told_awaited: false,
            trace: Trace::default(),
        }
    }

    /// Takes up to `submit` entries (whole chains only), then waits until `wait` completions are readable, `timeout`
    /// nanoseconds have passed, nothing in flight could produce one, or completions must be read before anything more
    /// can be taken or delivered. With `wait` 0 it does not wait, and does all that can be done without, whatever is
    /// unread; after [`take_turns`](Engine::take_turns) a bounded share of that.
    ///
    /// Nothing is locked while it waits. Who embeds the engine where two threads could call this at once answers the
    /// second with EBUSY; in Rust the exclusive borrow rules it out.
    pub fn enter(&mut self, submit: u32, wait: u32, timeout: Option<u64>) -> Result<Entered, EnterError> {
        let patient = self.submitter_enters && timeout.is_none() && !self.closing;
        self.awaited = if patient { wait } else { 0 };
        let entered = self.go_on(submit, wait, timeout);
        self.awaited = 0;
        entered
    }

    #[inline]
    fn go_on(&mut self, submit: u32, wait: u32, timeout: Option<u64>) -> Result<Entered, EnterError> {
        let deadline = match timeout {
            Some(nanoseconds) if wait > 0 => self.backend.now().checked_add(nanoseconds),
            _ => None,
        };
        let mut entered = Entered::default();
        if submit > 0 && self.is_at_rest() {
            entered.taken = self.take_at_once(submit)?;
            if entered.taken > 0 && self.is_at_rest() && self.queues.is_copied() {
                entered.readable = self.readable()?;
                return Ok(entered);
            }
        }
        self.retry_stalled();
        let in_turn = self.takes_turns && wait == 0;
        if in_turn {
            self.begin_turn();
        }
        let mut looks = 0;
        loop {
            loop {
                self.deliver_stored();
                self.deliver_withdrawn();
                self.work_off();
                entered.taken += self.take_in(submit.saturating_sub(entered.taken))?;
                self.wake_callers();
                if self.work.is_empty() {
                    break;
                }
            }
            entered.readable = self.readable()?;
            if self.chains.live() == 0 && !self.unsubmitted {
                // Nothing is in flight, and nothing will be.
                break;
            }
            if !self.paused.is_empty() && !in_turn {
                let now = if deadline.is_some() { self.backend.now() } else { 0 };
                let is_time_up = deadline.is_some_and(|deadline| now >= deadline);
                if wait > 0 && (entered.readable >= wait || is_time_up) {
                    break;
                }
                self.let_others()?;
                continue;
            }
            let timers = self.timers.next();
            // What has no room though nothing is started is busy with something the engine does not know of, and no
            // report will tell when that is over.
            let retry = self.started == 0 && wait > 0 && !self.stalled.is_empty();
            let now = if deadline.is_some() || timers.is_some() || retry { self.backend.now() } else { 0 };
            let retry = retry.then(|| now.saturating_add(BUSY_PAUSE));
            let until = [deadline, timers, retry].into_iter().flatten().min();
            let enough = entered.readable >= wait
                || self.chains.live() == 0
                || deadline.is_some_and(|deadline| now >= deadline)
                || (self.started == 0 && until.is_none())
                || (entered.readable > 0 && (self.starved || self.withdrawn > 0 || !self.stored.is_empty()));
            if !enough {
                // Submitting may be all that the backend needs to have room again, so what is stalled is tried once
                // more before anybody sleeps.
                let want = if self.unsubmitted && !self.stalled.is_empty() {
                    0
                } else {
                    self.reports_wanted(wait - entered.readable)
                };
                self.sleep(want, until)?;
                self.collect();
                self.retry_stalled();
                self.fire_timers();
                continue;
            }
            // What was started must not lie about; and who does not wait still gets what is there.
            let mut again = false;
            let look = self.unsubmitted
                || (wait == 0 && self.chains.live() > 0)
                || (self.started > 0 && entered.readable < wait);
            if look {
                let submitted = self.unsubmitted;
                self.sleep(0, None)?;
                let collected = self.collect();
                if collected > 0 || submitted {
                    self.retry_stalled();
                }
                self.deliver_stored();
                // Something may have waited for what is over now, and the backend may have more where that came from.
                again = collected > 0;
            }
            self.fire_timers();
            looks += 1;
            let done = self.work.is_empty() && !again && !self.unsubmitted;
            if done || (in_turn && looks >= LOOKS_IN_TURN) {
                entered.readable = self.readable()?;
                break;
            }
        }
        entered.incomplete = self.incomplete();
        self.record_state();
        Ok(entered)
    }

    /// Completions the submitter can read. A broken ring that is torn down has none.
    fn readable(&mut self) -> Result<u32, EnterError> {
        match self.queues.unread() {
            Err(_) if self.closing => Ok(0),
            readable => Ok(readable?),
        }
    }

    /// How many reports the backend should gather before it wakes the engine.
    fn reports_wanted(&self, completions: u32) -> u32 {
        // Only reports that end chains may be gathered: behind any other waits a member, or a chain for which there
        // was no room, on which the rest of those started may depend. A chain by itself has one run started, and what
        // waits there waits for all of it.
        let alone = self.chains.live() == 1;
        let one = (self.eager > 0 && !alone) || !self.stalled.is_empty();
        let wanted = if one { 1 } else { completions };
        wanted.min(self.started).max(1)
    }

    fn sleep(&mut self, want: u32, until: Option<u64>) -> Result<(), EnterError> {
        self.unsubmitted = false;
        self.record_state();
        self.backend.wait(want, until).map_err(EnterError::Backend)
    }

    /// Moves every chain on that can.
    #[inline]
    pub(crate) fn work_off(&mut self) {
        if !self.work.is_empty() {
            self.work_off_all();
        }
    }

    #[inline(never)]
    fn work_off_all(&mut self) {
        self.backend.expect(self.work.len() as u32);
        while let Some(chain) = self.work.pop_front() {
            self.chains[chain].queued = false;
            // A chain whose own DEADLINE ended it was queued while it was moving, and may be over.
            if self.chains.is_live(chain) {
                self.advance(chain);
                self.regions.leave_call();
            }
        }
    }

    /// Some chain has moved on for long: others get their turn, the backend and the clock too, before it goes on.
    #[cold]
    fn let_others(&mut self) -> Result<(), EnterError> {
        self.sleep(0, None)?;
        self.collect();
        self.retry_stalled();
        self.fire_timers();
        self.begin_turn();
        Ok(())
    }

    /// Gives the chains for which the backend had no room another try.
    fn retry_stalled(&mut self) {
        while let Some(chain) = self.stalled.pop_front() {
            // It may have been given up and be over by now, or its slot may be another chain's.
            let current = self.chains[chain].current;
            let waits = self.chains.is_live(chain)
                && current != NONE
                && self.packets[current].stage == Stage::Stalled;
            if waits {
                self.queue(chain);
            }
        }
    }

    pub(crate) fn queue(&mut self, chain: u32) {
        if !self.chains[chain].queued {
            self.chains[chain].queued = true;
            self.work.push_back(chain);
        }
    }

    /// Asks every entry that `target` names to be given up, as the verb CANCEL does, and returns how many that
    /// reached. Their completions come with the next [`enter`](Engine::enter).
    pub fn cancel(&mut self, target: Target) -> u32 {
        let reached = self.cancel_but(target, None);
        self.work_off();
        reached
    }

    /// Asks every chain that waits whole in the submission queue, and has a member (not a FINALLY one) that `target`
    /// names, to be given up, and returns how many such members there were.
    ///
    /// Nothing of such a chain runs: all its entries complete with ECANCELED, also past a blocked head, from the next
    /// [`enter`](Engine::enter) on. What is admitted is not reached; [`cancel`](Engine::cancel) is for that.
    pub fn cancel_waiting(&mut self, target: Target) -> u32 {
        self.withdraw(target)
    }

    /// Takes no more entries: those waiting in the queue and those in flight are cancelled. FINALLY entries still
    /// run. Go on entering and reading completions until [`gauges`](Engine::gauges) show nothing in flight.
    pub fn begin_teardown(&mut self) {
        if !self.closing {
            self.closing = true;
            self.queues.set_state(State::Closing);
            self.cancel(Target::All);
        }
    }

    /// Whether every entry has completed and nothing waits to be taken. Meaningful after
    /// [`begin_teardown`](Engine::begin_teardown).
    pub fn is_idle(&mut self) -> bool {
        self.chains.live() == 0
            && self.stored.is_empty()
            && (self.queues.is_broken()
                || (self.staged.is_empty()
                    && !matches!(self.queues.available(), Ok(available) if available > 0)))
    }

    /// Says that the engine is gone and gives the backend back.
    pub fn close(mut self) -> B {
        self.queues.set_state(State::Closed);
        self.backend
    }

    /// What is alive now.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            packets: self.packets.live() - self.internal,
            chains: self.chains.live() - self.calls.running(),
            started: self.started,
            descriptors: self.descriptors.in_use(),
            stored: self.stored.len() as u32,
            calls: self.calls.running(),
            steps: self.internal,
            programs: self.programs.count(),
        }
    }

    /// The most packets there can be, those of the steps of programs included. The slot of every token is below that.
    pub fn packet_slots(&self) -> u32 {
        self.packet_limit
    }

    /// The owner of the timer for the deadline of `chain`.
    #[inline]
    pub(crate) fn deadline_owner(&self, chain: u32) -> u32 {
        self.packet_limit + chain
    }

    /// The limits in force: the chain limit is the one that the queues leave.
    pub fn limits(&self) -> Limits {
        Limits {
            descriptors: self.descriptors.capacity(),
            chain: self.chain_limit,
            in_process: self.regions.in_process,
            programs: self.programs.limit(),
            program_steps: self.program_steps,
        }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The backend, to be asked for what the engine knows nothing of.
    pub fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    /// Nanoseconds of the monotonic clock that absolute times count in.
    pub fn now(&self) -> u64 {
        self.backend.now()
    }

    /// When the next timer of an entry or chain fires, if one is set: who waits elsewhere than in
    /// [`enter`](Engine::enter) has to enter by then.
    pub fn next_timer(&self) -> Option<u64> {
        self.timers.next()
    }

    /// Whether chains wait for room in the backend. They are tried again with each enter.
    pub fn has_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    /// What the backend has cost so far.
    pub fn counters(&self) -> Counters {
        self.backend.counters()
    }

    /// Reserves an index for an object that comes from outside; follow it by
    /// [`install`](Engine::install_descriptor) or [`abandon`](Engine::abandon_descriptor). EMFILE if the table is full.
    pub fn reserve_descriptor(&mut self) -> Result<u32, Errno> {
        self.descriptors.reserve()
    }

    /// The object is in the backend's table at `index`; returns its descriptor.
    pub fn install_descriptor(&mut self, index: u32) -> Option<Descriptor> {
        self.descriptors.install(index);
        Descriptor::from_number(self.descriptors.descriptor(index))
    }

    /// There will be no object at `index`.
    pub fn abandon_descriptor(&mut self, index: u32) {
        self.descriptors.retire(index);
    }

    /// The index of an open descriptor that no operation uses: EBADF, or EBUSY. Follow it by
    /// [`abandon_descriptor`](Engine::abandon_descriptor) once the object is out of the backend's table.
    pub fn idle_descriptor(&self, descriptor: Descriptor) -> Result<u32, Errno> {
        let index = self.descriptors.look_up(descriptor.number(), Look::Now)?;
        if self.descriptors.uses(index) > 0 { Err(Errno::EBUSY) } else { Ok(index) }
    }

    /// The descriptors that are open.
    pub fn open_descriptors(&self) -> impl Iterator<Item = Descriptor> + '_ {
        self.descriptors
            .open()
            .filter_map(|index| Descriptor::from_number(self.descriptors.descriptor(index)))
    }

    /// Adds memory that payloads may name, and returns its region number. ENOSPC after 65,535 regions.
    ///
    /// # Safety
    ///
    /// The bytes must be readable and writable until the region is removed and every operation started before that
    /// has completed (past a torn-down engine's bound: for ever).
    pub unsafe fn add_region(&mut self, base: NonNull<u8>, length: usize) -> Result<u16, Errno> {
        // SAFETY: the contract is the caller's.
        unsafe { self.regions.add(base, length) }
    }

    /// Has `check` asked of every range of region 0 that an entry names; if it says no, the entry ends with EFAULT. For kernels,
    /// whose submitters are not trusted with addresses.
    ///
    /// A yes means that the bytes may be read (and written, if that is asked) until something of the embedder's runs again, such as
    /// a method of the backend: the engine looks at what it parses in place, at once. It may look again later, and then asks
    /// again. Bytes that a backend reads or fills later are the backend's to check again when it does.
    pub fn check_addresses(&mut self, check: AddressCheck) {
        self.regions.check = Some(check);
    }

    /// A number for a group of buffers that the backend knows, or is about to be told of: RECV may name it from now on.
    /// ENOSPC after [`MAX_GROUPS`](ouzel_ring::modifiers::MAX_GROUPS).
    pub fn add_group(&mut self) -> Result<u16, Errno> {
        self.regions.groups.add()
    }

    /// Forgets a group: entries dispatched from now on cannot name it.
    pub fn remove_group(&mut self, group: u16) {
        self.regions.groups.remove(group);
    }

    /// Removes a region: entries dispatched from now on cannot name it. EINVAL if there is none of this number.
    pub fn remove_region(&mut self, region: u16) -> Result<(), Errno> {
        self.regions.remove(region)
    }

    /// Starts recording events, forgetting earlier ones.
    pub fn start_trace(&mut self) {
        self.trace.start();
    }

    /// Stops recording. Returns the events, oldest first, and how many more there were than
    /// [`MAX_EVENTS`](crate::MAX_EVENTS).
    pub fn stop_trace(&mut self) -> (Vec<Event>, u64) {
        self.trace.stop()
    }
}

impl<B: Backend> fmt::Debug for Engine<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("queues", &self.queues)
            .field("gauges", &self.gauges())
            .finish_non_exhaustive()
    }
}

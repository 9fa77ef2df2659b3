//! Dispatch: a member's turn has come.
//!
//! Its registers are loaded, its arguments checked, and it is executed here or handed to the backend, with as many
//! members behind it as can travel along. A member may travel along only if everything it needs is known before the
//! run starts: what an OPEN or SOCKET will save is, because the engine chooses the index; a byte count is not.

use core::mem;
use core::ops::Range;

use ouzel_ring::modifiers::{MAX_PROGRAM_STEPS, TimeBase};
use ouzel_ring::{Entry, EntryFlags, Errno, REGISTERS, Verb};

use crate::cancel::Target;
use crate::conclude::Ending;
use crate::control::is_engine_s_own;
use crate::decode::{Context, decode};
use crate::descriptors::{Descriptors, Look};
use crate::packet::{Effect, Ended, GivenUp, Packet, Registers, Stage, marks};
use crate::payloads::fixed_arguments;
use crate::regions::Regions;
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::turns::MEMBERS_AT_ONCE;
use crate::{Backend, Edge, Engine, Operation, Outcome, Place, Started, Step, Token, Way};

/// Why a member cannot be dispatched.
pub(crate) enum Refusal {
    /// It loads a register that is not defined.
    Undefined,
    /// There is no verb of its number.
    Unknown,
    Bad(Errno),
}

impl Refusal {
    /// How a member ends that is refused.
    pub(crate) fn ending(self, finally: bool) -> Ending {
        match self {
            Refusal::Undefined if finally => Ending::skipped(Errno::ECANCELED),
            // For what follows it is a failure like any other.
            Refusal::Undefined | Refusal::Unknown => Ending::of(Errno::EINVAL),
            Refusal::Bad(error) => Ending::of(error),
        }
    }
}

impl<B: Backend> Engine<B> {
    /// Moves `chain` on until it waits for somebody, is over, or has had its turn.
    #[inline(always)]
    pub(crate) fn advance(&mut self, chain: u32) {
        let mut turns = MEMBERS_AT_ONCE;
        loop {
            let members = &self.chains[chain];
            let (slot, marks) = (members.current, members.marks);
            if slot == NONE {
                self.finish_chain(chain);
                return;
            }
            let packet = &mut self.packets[slot];
            let ending = match packet.stage {
                Stage::Reported(Outcome::Done { error, result, extra }) => {
                    Some(Ending { error, result, extra, skipped: false })
                }
                Stage::Reported(Outcome::NotRun) => {
                    packet.stage = Stage::Waiting;
                    continue;
                }
                Stage::Waiting | Stage::Stalled => self.dispatch(chain, slot, marks),
                // The member before it was over at once, and this one is still prepared for the same run.
                Stage::Started if !self.rest.is_empty() => self.start_rest(chain, slot),
                Stage::Parked => packet.given_up.map(|why| Ending::of(why.errno())),
                Stage::Started | Stage::Stored | Stage::Calling(_) | Stage::Kept => None,
            };
            match ending {
                Some(Ending { error, result, extra, skipped }) if marks & marks::PROGRAM != 0 => {
                    self.keep(chain, slot, error, result, extra, skipped);
                    turns = turns.saturating_sub(1);
                    // What is prepared for the same run is started first, or another chain would find it.
                    if (self.is_turn_over() || turns == 0) && self.rest.is_empty() {
                        // Others want their turn too, and so does the clock.
                        self.chains[chain].queued = true;
                        self.paused.push_back(chain);
                        return;
                    }
                }
                Some(ending) => self.conclude(chain, slot, ending),
                None => return,
            }
        }
    }

    /// Gives the member in `slot` its turn. Returns how it ended, if it is over already.
    fn dispatch(&mut self, chain: u32, slot: u32, marks: u8) -> Option<Ending> {
        if marks & marks::SPECIAL != 0
            && let Some(ending) = self.screen(chain, slot)
        {
            return Some(ending);
        }
        let packet = &mut self.packets[slot];
        let members = &self.chains[chain];
        let finally = packet.is_finally();
        if !finally {
            if let Some(why) = packet.given_up {
                return Some(Ending::skipped(why.errno()));
            }
            if let Some(ended) = members.ended {
                let stopped = ended == Ended::Stopped;
                return Some(Ending::skipped(if stopped { Errno::OK } else { Errno::ECANCELED }));
            }
        }
        match load(&mut packet.entry, &members.registers) {
            Ok(verb) if is_engine_s_own(verb) => {
                if packet.flags().contains(EntryFlags::MULTISHOT) {
                    return Some(Ending::of(Errno::EINVAL));
                }
                self.execute(chain, slot, verb)
            }
            Ok(verb) => self.start(chain, slot, verb),
            Err(refusal) => {
                self.refused += u64::from(matches!(refusal, Refusal::Unknown));
                Some(refusal.ending(finally))
            }
        }
    }

    /// Executes one of the engine's own verbs. Returns how it ended, unless it waits.
    fn execute(&mut self, chain: u32, slot: u32, verb: Verb) -> Option<Ending> {
        if verb == Verb::Call {
            return self.call(chain, slot);
        }
        if verb >= Verb::Set {
            return Some(self.control(chain, slot, verb));
        }
        let Entry { data, timeout, arguments, .. } = self.packets[slot].entry;
        self.record_own(slot, data, verb, "");
        let ending = match verb {
            Verb::Nop => match timeout {
                u64::MAX => Ending::of(Errno::OK),
                0 => Ending::of(Errno::ETIMEDOUT),
                timeout => return self.park(slot, None, timeout),
            },
            Verb::Get => Ending::success(arguments[0]),
            Verb::Sleep => {
                let now = self.backend.now();
                match instant(&arguments, now) {
                    Err(error) => Ending::of(error),
                    Ok(Some(at)) if at <= now => Ending::of(Errno::OK),
                    Ok(_) if timeout == 0 => Ending::of(Errno::ETIMEDOUT),
                    Ok(at) => return self.park(slot, at, timeout),
                }
            }
            Verb::Cancel => match Target::from_arguments(&arguments) {
                Err(error) => Ending::of(error),
                Ok(target) => {
                    let own = self.outermost(chain);
                    let reached = target.map_or(0, |target| self.cancel_but(target, Some(own)));
                    Ending::success(reached as u64)
                }
            },
            _ => match self.set_deadline(chain, slot, &arguments) {
                Err(error) => Ending::of(error),
                Ok(()) => Ending::of(Errno::OK),
            },
        };
        Some(ending)
    }

    /// DEADLINE: from now on the ordinary members of `chain` behind the one in `slot` have until then.
    fn set_deadline(&mut self, chain: u32, slot: u32, arguments: &[u64; 5]) -> Result<(), Errno> {
        let now = self.backend.now();
        let at = instant(arguments, now)?;
        let packet = &self.packets[slot];
        let owner = self.deadline_owner(chain);
        match at {
            _ if packet.is_finally() => {}
            Some(at) if at <= now => {
                // It is the others that are out of time.
                self.chains[chain].current = packet.next;
                self.end_ordinary(chain, GivenUp::TimedOut);
            }
            Some(at) => self.timers.set(owner, at),
            // Never is a deadline too: it replaces an earlier one.
            None => self.timers.clear(owner),
        }
        Ok(())
    }

    /// Lets a member wait in the engine until `wake` (success) or for `timeout` nanoseconds (ETIMEDOUT).
    fn park(&mut self, slot: u32, wake: Option<u64>, timeout: u64) -> Option<Ending> {
        let expiry = match timeout {
            u64::MAX => None,
            timeout => self.backend.now().checked_add(timeout),
        };
        let packet = &mut self.packets[slot];
        packet.stage = Stage::Parked;
        packet.wakes = expiry.is_none_or(|expiry| wake.is_some_and(|wake| wake <= expiry));
        if let Some(at) = if packet.wakes { wake } else { expiry } {
            self.timers.set(slot, at);
        }
        None
    }

    /// Hands a member to the backend, with those that can travel behind it. Returns how it ended, if it is over already.
    fn start(&mut self, chain: u32, slot: u32, verb: Verb) -> Option<Ending> {
        let mut run = mem::take(&mut self.run);
        let first_try = self.packets[slot].stage != Stage::Stalled;
        let ending = match self.prepare(slot, verb, Look::Now, &mut run[0]) {
            Ok(()) => self.start_run(chain, slot, first_try, &mut run),
            Err(error) => Some(Ending::of(error)),
        };
        self.run = run;
        ending
    }

    /// Starts the member that is prepared in `run[0]`, and those behind it.
    #[inline]
    fn start_run(&mut self, chain: u32, slot: u32, first_try: bool, run: &mut [Step]) -> Option<Ending> {
        let packet = &self.packets[slot];
        let timeout = packet.entry.timeout;
        run[0].may_wait = timeout != 0;
        let mut count = 1;
        if timeout == u64::MAX {
            if packet.next != NONE && !run[0].operation.is_multishot() {
                count = self.extend_run(chain, slot, run);
            }
        } else if timeout != 0
            && first_try
            && let Some(at) = self.backend.now().checked_add(timeout)
        {
            self.timers.set(slot, at);
        }
        self.hand_over(chain, slot, &run[..count], 0)
    }

    /// Starts the member in `slot`, which is prepared: the run it is in was started, and those before it are over.
    #[inline(never)]
    fn start_rest(&mut self, chain: u32, slot: u32) -> Option<Ending> {
        let run = mem::take(&mut self.run);
        let Range { start, end } = mem::take(&mut self.rest);
        let ending = self.hand_over(chain, slot, &run[start..end], start);
        self.run = run;
        ending
    }

    /// Hands the member in `slot` to the backend, with those prepared behind it. `place` is where they begin in the list
    /// of the run.
    #[inline]
    fn hand_over(&mut self, chain: u32, slot: u32, run: &[Step], place: usize) -> Option<Ending> {
        let begun = self.instant_noted();
        self.tell_whether_awaited(1);
        match self.backend.start(run) {
            Started::Taken { count, way } => {
                let (taken, rest) = run.split_at(count.clamp(1, run.len()));
                if let Operation::Close { file } = taken[0].operation {
                    self.descriptors.kill(file);
                }
                // Somebody waits behind the last member of the run: the next one, or completions that were held back.
                let last = &mut self.packets[taken[taken.len() - 1].token.slot];
                let is_awaited = last.next != NONE || self.chains[chain].marks & marks::PROGRAM != 0;
                if is_awaited && !last.eager {
                    last.eager = true;
                    self.eager += 1;
                }
                self.unsubmitted = true;
                if self.trace.is_on() {
                    self.record_starts(taken, way, begun);
                }
                self.put_back(rest);
                None
            }
            Started::Finished { outcome, way } => {
                if self.trace.is_on() {
                    self.record_starts(&run[..1], way, begun);
                }
                self.started -= 1;
                self.eager -= self.packets[slot].eager as u32;
                let ending = Ending::of_outcome(self.settle(slot, outcome));
                if run.len() > 1 {
                    if ending.error.is_ok() {
                        // All that was foreseen for the next one has come true, so it need not be prepared again.
                        self.rest = place + 1..place + run.len();
                    } else {
                        self.put_back(&run[1..]);
                    }
                }
                Some(ending)
            }
            Started::Busy => {
                self.put_back(run);
                self.packets[slot].stage = Stage::Stalled;
                self.stalled.push_back(chain);
                None
            }
        }
    }

    /// Adds to `run`, which begins with the member in `slot`, the members behind it that can travel along. Returns how
    /// many there are then.
    fn extend_run(&mut self, chain: u32, slot: u32, run: &mut [Step]) -> usize {
        let members = &self.chains[chain];
        let mut registers = members.registers;
        let most = if members.marks & marks::PROGRAM == 0 {
            run.len()
        } else {
            // Those beyond the limit of a program do not run.
            run.len().min((MAX_PROGRAM_STEPS as u32).saturating_sub(members.ran) as usize)
        };
        let run = &mut run[..most];
        let mut slot = slot;
        let mut count = 1;
        while count < run.len() {
            let packet = &self.packets[slot];
            let next = packet.next;
            if next == NONE {
                break;
            }
            let (before, behind) = run.split_at_mut(count);
            let (previous, step) = (&before[count - 1].operation, &mut behind[0]);
            let follower = &self.packets[next];
            // One that came back as not run travels again.
            let waits = matches!(follower.stage, Stage::Waiting | Stage::Reported(Outcome::NotRun));
            if !waits || follower.flags().contains(EntryFlags::MULTISHOT) {
                break;
            }
            if follower.entry.timeout != u64::MAX {
                self.cut(next, "its timeout counts from its own start");
                break;
            }
            let Some(edge) = edge(packet, follower) else {
                self.cut(next, "it must not run on what was never opened");
                break;
            };
            foresee(packet, &self.descriptors, &mut registers);
            let Ok(verb) = load(&mut self.packets[next].entry, &registers) else {
                self.cut(next, "it needs a value that is known only afterwards");
                break;
            };
            if self.prepare(next, verb, Look::Ahead, step).is_err() {
                self.cut(next, "it is for the engine to do, or to refuse");
                break;
            }
            if !self.backend.follows(previous, edge, &step.operation) {
                self.unprepare(step.token.slot);
                self.cut(next, "the backend cannot tie it to the one before");
                break;
            }
            (step.edge, step.may_wait) = (edge, true);
            count += 1;
            slot = next;
        }
        count
    }

    /// Notes why a run ends before the member in `slot`.
    #[cold]
    fn cut(&mut self, slot: u32, reason: &'static str) {
        let data = self.packets[slot].entry.data;
        self.record(slot, data, EventKind::Cut { reason });
    }

    /// Makes a member ready to be handed over, and counts it as started.
    fn prepare(&mut self, slot: u32, verb: Verb, look: Look, step: &mut Step) -> Result<(), Errno> {
        let (packet, generation) = self.packets.with_generation(slot);
        step.token = Token { slot, generation };
        prepare(packet, verb, look, step, &mut self.descriptors, &self.regions)?;
        self.started += 1;
        self.eager += packet.eager as u32;
        Ok(())
    }

    /// Undoes [`Engine::prepare`].
    pub(crate) fn unprepare(&mut self, slot: u32) {
        let packet = &mut self.packets[slot];
        packet.stage = Stage::Waiting;
        self.started -= 1;
        self.eager -= packet.eager as u32;
        let uses = mem::replace(&mut packet.uses, [NONE; 2]);
        match packet.effect {
            Effect::None | Effect::Accepts | Effect::Receives => {}
            Effect::Closes => self.descriptors.abandon_close(uses[0]),
            Effect::Opens(opens) => {
                for index in opens {
                    if index != NONE {
                        self.descriptors.retire(index);
                    }
                }
            }
        }
        for index in uses {
            if index != NONE {
                self.descriptors.end_use(index);
            }
        }
    }

    fn put_back(&mut self, steps: &[Step]) {
        // Last first: an index that a later step names may be one that an earlier step reserved.
        for step in steps.iter().rev() {
            self.unprepare(step.token.slot);
        }
    }

    #[cold]
    fn record_starts(&mut self, run: &[Step], way: Way, begun: u64) {
        for (place, step) in run.iter().enumerate() {
            let slot = step.token.slot;
            let entry = &self.packets[slot].entry;
            let Some(verb) = Verb::from_number(entry.op) else { continue };
            let behind = place > 0 && way.place == Place::Kernel;
            let way = if behind { Way { place: Place::Linked, ..way } } else { way };
            let kind = EventKind::Started { verb, way, step: place as u32, run: run.len() as u32 };
            self.note(slot, entry.data, kind, begun);
        }
    }
}

/// Makes the member in `packet` ready to be handed over: decodes it into `step` and reserves what it opens.
#[inline(always)]
pub(crate) fn prepare(
    packet: &mut Packet,
    verb: Verb,
    look: Look,
    step: &mut Step,
    descriptors: &mut Descriptors,
    regions: &Regions,
) -> Result<(), Errno> {
    let flags = packet.flags();
    let mut context = Context::new(descriptors, regions, look);
    let (arguments, scratch) = (&packet.entry.arguments, &mut packet.scratch);
    decode(verb, flags, arguments, &mut context, scratch, &mut step.operation)?;
    let uses = context.uses();
    packet.effect = match &mut step.operation {
        Operation::Close { file } => {
            descriptors.begin_close(*file);
            Effect::Closes
        }
        Operation::Accept { multishot: true, .. } => Effect::Accepts,
        Operation::RecvMsg { .. } => Effect::Receives,
        Operation::Open { into, .. } | Operation::Socket { into, .. } | Operation::Accept { into, .. } => {
            *into = descriptors.reserve()?;
            Effect::Opens([*into, NONE])
        }
        Operation::Pipe { into } => {
            let first = descriptors.reserve()?;
            match descriptors.reserve() {
                Ok(second) => *into = [first, second],
                Err(error) => {
                    descriptors.retire(first);
                    return Err(error);
                }
            }
            Effect::Opens(*into)
        }
        _ => Effect::None,
    };
    packet.uses = uses;
    for index in uses {
        if index != NONE {
            descriptors.begin_use(index);
        }
    }
    packet.stage = Stage::Started;
    packet.eager = flags.contains(EntryFlags::SILENT);
    Ok(())
}

/// The verb of a member, whose arguments are loaded from `registers` where it says so.
#[inline]
pub(crate) fn load(entry: &mut Entry, registers: &Registers) -> Result<Verb, Refusal> {
    let verb = Verb::from_number(entry.op).ok_or(Refusal::Unknown)?;
    for (place, register) in EntryFlags::from_bits_retain(entry.flags).loads() {
        if fixed_arguments(verb) & (1 << place) != 0 {
            return Err(Refusal::Bad(Errno::EINVAL));
        }
        entry.arguments[place] = registers.load(register).ok_or(Refusal::Undefined)?;
    }
    Ok(verb)
}

/// What the registers will hold once the prepared member has succeeded, as far as that is known before.
#[inline]
fn foresee(packet: &Packet, descriptors: &Descriptors, registers: &mut Registers) {
    let Some(register) = packet.flags().saved_into() else { return };
    registers.forget(register);
    if let Effect::Opens(opens) = packet.effect {
        for (register, index) in (register..REGISTERS).zip(opens) {
            if index != NONE {
                registers.save(register, descriptors.descriptor(index));
            }
        }
    }
}

/// How `follower` hangs on the prepared member before it, if the two may be in one run.
#[inline]
fn edge(packet: &Packet, follower: &Packet) -> Option<Edge> {
    let opens = matches!(packet.effect, Effect::Opens(_));
    if packet.is_finally() || follower.is_finally() {
        // The follower runs in any case; but a descriptor that was never opened is not to be closed, so behind an
        // open the run breaks and the engine decides.
        return Some(if opens { Edge::Success } else { Edge::Always });
    }
    if packet.flags().contains(EntryFlags::HARDLINK) {
        return if opens { None } else { Some(Edge::Always) };
    }
    Some(Edge::Success)
}

/// The instant that SLEEP or DEADLINE asks for; `None` is never.
fn instant(arguments: &[u64; 5], now: u64) -> Result<Option<u64>, Errno> {
    let nanoseconds = arguments[2];
    match TimeBase::from_number(arguments[3]).ok_or(Errno::EINVAL)? {
        TimeBase::Relative => Ok(now.checked_add(nanoseconds)),
        TimeBase::Absolute if nanoseconds == u64::MAX => Ok(None),
        TimeBase::Absolute => Ok(Some(nanoseconds)),
    }
}

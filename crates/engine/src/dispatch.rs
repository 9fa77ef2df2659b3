//! Dispatch: a member's turn has come.
//!
//! Its registers are loaded, its arguments checked, and it is executed here or handed to the backend, with as many
//! members behind it as can travel along. A member may travel along only if everything it needs is known before the
//! run starts: what an OPEN or SOCKET will save is, because the engine chooses the index; a byte count is not.

use core::mem;

use ouzel_ring::modifiers::TimeBase;
use ouzel_ring::{EntryFlags, Errno, REGISTERS, Verb};

use crate::cancel::Target;
use crate::decode::{Context, decode, payload_arguments};
use crate::descriptors::Look;
use crate::packet::{GivenUp, Packet, Registers, Stage};
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Edge, Engine, Operation, Outcome, Place, Started, Step, Token, Way};

const IN_ENGINE: Way = Way { place: Place::Engine, reason: "" };

/// Why a member cannot be dispatched.
enum Refusal {
    /// It loads a register that is not defined.
    Undefined,
    Bad(Errno),
}

impl<B: Backend> Engine<B> {
    /// Moves `chain` on until it waits for somebody or is over.
    pub(crate) fn advance(&mut self, chain: u32) {
        loop {
            let slot = self.chains[chain].current;
            if slot == NONE {
                self.finish_chain(chain);
                return;
            }
            match self.packets[slot].stage {
                Stage::Waiting | Stage::Stalled => {
                    if !self.dispatch(chain, slot) {
                        return;
                    }
                }
                Stage::Parked => match self.packets[slot].given_up {
                    Some(why) => {
                        self.conclude(chain, slot, why.errno(), 0, 0, false);
                    }
                    None => return,
                },
                Stage::Started | Stage::Stored => return,
                Stage::Reported(Outcome::NotRun) => self.packets[slot].stage = Stage::Waiting,
                Stage::Reported(Outcome::Done { error, result, extra }) => {
                    self.conclude(chain, slot, error, result, extra, false);
                }
            }
        }
    }

    /// Gives the member in `slot` its turn. Returns whether it is over already.
    fn dispatch(&mut self, chain: u32, slot: u32) -> bool {
        let packet = &self.packets[slot];
        let finally = packet.is_finally();
        if !finally {
            if let Some(why) = packet.given_up {
                return self.conclude(chain, slot, why.errno(), 0, 0, true);
            }
            if self.chains[chain].ended.is_some() {
                return self.conclude(chain, slot, Errno::ECANCELED, 0, 0, true);
            }
        }
        let flags = packet.flags();
        let (verb, arguments) = match load(packet, &self.chains[chain].registers) {
            Ok(loaded) => loaded,
            Err(Refusal::Undefined) if finally => {
                return self.conclude(chain, slot, Errno::ECANCELED, 0, 0, true);
            }
            // For what follows it is a failure like any other.
            Err(Refusal::Undefined) => return self.conclude(chain, slot, Errno::EINVAL, 0, 0, false),
            Err(Refusal::Bad(error)) => return self.conclude(chain, slot, error, 0, 0, false),
        };
        match verb {
            Verb::Nop | Verb::Sleep | Verb::Get | Verb::Cancel | Verb::Deadline => {
                if flags.contains(EntryFlags::MULTISHOT) {
                    return self.conclude(chain, slot, Errno::EINVAL, 0, 0, false);
                }
                self.execute(chain, slot, verb, &arguments)
            }
            _ => self.start(chain, slot, verb, &arguments),
        }
    }

    /// Executes one of the engine's own verbs.
    fn execute(&mut self, chain: u32, slot: u32, verb: Verb, arguments: &[u64; 5]) -> bool {
        let data = self.packets[slot].entry.data;
        self.record(data, EventKind::Started { verb, way: IN_ENGINE, step: 0, run: 1 });
        let timeout = self.packets[slot].entry.timeout;
        match verb {
            Verb::Nop => match timeout {
                u64::MAX => self.conclude(chain, slot, Errno::OK, 0, 0, false),
                0 => self.conclude(chain, slot, Errno::ETIMEDOUT, 0, 0, false),
                timeout => self.park(slot, None, timeout),
            },
            Verb::Get => self.conclude(chain, slot, Errno::OK, arguments[0], 0, false),
            Verb::Sleep => {
                let now = self.backend.now();
                match instant(arguments, now) {
                    Err(error) => self.conclude(chain, slot, error, 0, 0, false),
                    Ok(Some(at)) if at <= now => self.conclude(chain, slot, Errno::OK, 0, 0, false),
                    Ok(_) if timeout == 0 => self.conclude(chain, slot, Errno::ETIMEDOUT, 0, 0, false),
                    Ok(at) => self.park(slot, at, timeout),
                }
            }
            Verb::Cancel => match Target::from_arguments(arguments) {
                Err(error) => self.conclude(chain, slot, error, 0, 0, false),
                Ok(target) => {
                    let reached = target.map_or(0, |target| self.cancel_but(target, Some(chain)));
                    self.conclude(chain, slot, Errno::OK, reached as u64, 0, false)
                }
            },
            _ => {
                let now = self.backend.now();
                match instant(arguments, now) {
                    Err(error) => self.conclude(chain, slot, error, 0, 0, false),
                    Ok(at) => {
                        let finally = self.packets[slot].is_finally();
                        self.conclude(chain, slot, Errno::OK, 0, 0, false);
                        match at {
                            _ if finally => {}
                            Some(at) if at <= now => self.end_ordinary(chain, GivenUp::TimedOut),
                            Some(at) => self.timers.set(self.packets.capacity() + chain, at),
                            // Never is a deadline too: it replaces an earlier one.
                            None => self.timers.clear(self.packets.capacity() + chain),
                        }
                        true
                    }
                }
            }
        }
    }

    /// Lets a member wait in the engine until `wake` (success) or for `timeout` nanoseconds (ETIMEDOUT).
    fn park(&mut self, slot: u32, wake: Option<u64>, timeout: u64) -> bool {
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
        false
    }

    /// Hands a member to the backend, with those that can travel behind it. Returns whether it is over already.
    fn start(&mut self, chain: u32, slot: u32, verb: Verb, arguments: &[u64; 5]) -> bool {
        let operation = match self.prepare(slot, verb, arguments, Look::Now) {
            Ok(operation) => operation,
            Err(error) => return self.conclude(chain, slot, error, 0, 0, false),
        };
        let timeout = self.packets[slot].entry.timeout;
        let first_try = self.packets[slot].stage != Stage::Stalled;
        if timeout != u64::MAX
            && timeout != 0
            && first_try
            && let Some(at) = self.backend.now().checked_add(timeout)
        {
            self.timers.set(slot, at);
        }
        let mut steps = mem::take(&mut self.steps);
        steps.clear();
        steps.push(Step { token: self.token(slot), operation, edge: Edge::Success, may_wait: timeout != 0 });
        if timeout == u64::MAX && !operation.is_multishot() {
            self.extend_run(chain, slot, &mut steps);
        }
        let started = self.backend.start(&steps);
        let over = match started {
            Started::Taken { count, way } => {
                let count = count.clamp(1, steps.len());
                if let Operation::Close { file } = steps[0].operation {
                    self.descriptors.kill(file);
                }
                for (place, step) in steps[..count].iter().enumerate() {
                    self.mark_started(step, place + 1 == count);
                    if self.trace.is_on() {
                        let place_of_run = if place == 0 || way.place != Place::Kernel {
                            way
                        } else {
                            Way { place: Place::Linked, ..way }
                        };
                        self.record_start(step, place_of_run, place, count);
                    }
                }
                self.put_back(&steps[count..]);
                false
            }
            Started::Finished { outcome, way } => {
                self.record_start(&steps[0], way, 0, 1);
                self.put_back(&steps[1..]);
                self.hold(&steps[0]);
                match self.settle(slot, outcome) {
                    Outcome::Done { error, result, extra } => {
                        self.conclude(chain, slot, error, result, extra, false)
                    }
                    Outcome::NotRun => self.conclude(chain, slot, Errno::EIO, 0, 0, false),
                }
            }
            Started::Busy => {
                self.put_back(&steps);
                self.packets[slot].stage = Stage::Stalled;
                self.stalled.push_back(chain);
                false
            }
        };
        steps.clear();
        self.steps = steps;
        over
    }

    /// Adds to `steps`, which holds the member in `slot`, the members behind it that can travel along.
    fn extend_run(&mut self, chain: u32, slot: u32, steps: &mut alloc::vec::Vec<Step>) {
        let longest = steps.capacity().min(self.backend.longest_run());
        let mut registers = self.chains[chain].registers;
        let mut slot = slot;
        while steps.len() < longest {
            let previous = steps[steps.len() - 1].operation;
            let packet = &self.packets[slot];
            let next = packet.next;
            // One that came back as not run travels again.
            let waits =
                |packet: &Packet| matches!(packet.stage, Stage::Waiting | Stage::Reported(Outcome::NotRun));
            if next == NONE || !waits(&self.packets[next]) {
                break;
            }
            foresee(packet, &previous, &self.descriptors, &mut registers);
            let follower = &self.packets[next];
            let Some(edge) = edge(packet, &previous, follower) else { break };
            if follower.entry.timeout != u64::MAX || follower.flags().contains(EntryFlags::MULTISHOT) {
                break;
            }
            let Ok((verb, arguments)) = load(follower, &registers) else { break };
            let Ok(operation) = self.prepare(next, verb, &arguments, Look::Ahead) else { break };
            if !self.backend.follows(&previous, edge, &operation) {
                self.unprepare(&operation);
                break;
            }
            steps.push(Step { token: self.token(next), operation, edge, may_wait: true });
            slot = next;
        }
    }

    /// Decodes a member, and reserves what it opens and closes.
    fn prepare(
        &mut self,
        slot: u32,
        verb: Verb,
        arguments: &[u64; 5],
        look: Look,
    ) -> Result<Operation, Errno> {
        let packet = &mut self.packets[slot];
        let flags = packet.flags();
        let context = Context { descriptors: &self.descriptors, regions: &self.regions, look };
        let mut operation = decode(verb, flags, arguments, &context, &mut packet.scratch)?;
        match &mut operation {
            Operation::Open { into, .. }
            | Operation::Socket { into, .. }
            | Operation::Accept { into, multishot: false, .. } => *into = self.descriptors.reserve()?,
            Operation::Pipe { into } => {
                let first = self.descriptors.reserve()?;
                match self.descriptors.reserve() {
                    Ok(second) => *into = [first, second],
                    Err(error) => {
                        self.descriptors.retire(first);
                        return Err(error);
                    }
                }
            }
            Operation::Close { file } => self.descriptors.begin_close(*file),
            _ => {}
        }
        Ok(operation)
    }

    /// Undoes [`Engine::prepare`].
    fn unprepare(&mut self, operation: &Operation) {
        for index in operation.opens() {
            self.descriptors.retire(*index);
        }
        if let Operation::Close { file } = operation {
            self.descriptors.abandon_close(*file);
        }
    }

    fn put_back(&mut self, steps: &[Step]) {
        // Last first: an index that a later step names may be one that an earlier step reserved.
        for step in steps.iter().rev() {
            self.unprepare(&step.operation);
        }
    }

    fn token(&self, slot: u32) -> Token {
        Token { slot, generation: self.packets.generation(slot) }
    }

    /// The packet of `step` names what the operation names from now on.
    fn hold(&mut self, step: &Step) {
        let packet = &mut self.packets[step.token.slot];
        packet.hold(&step.operation);
        for index in packet.uses {
            if index != NONE {
                self.descriptors.begin_use(index);
            }
        }
    }

    fn mark_started(&mut self, step: &Step, last_of_run: bool) {
        self.hold(step);
        let packet = &mut self.packets[step.token.slot];
        packet.stage = Stage::Started;
        packet.eager = packet.flags().contains(EntryFlags::SILENT) || (last_of_run && packet.next != NONE);
        self.started += 1;
        self.eager += packet.eager as u32;
        self.unsubmitted = true;
    }

    fn record_start(&mut self, step: &Step, way: Way, place: usize, run: usize) {
        let entry = &self.packets[step.token.slot].entry;
        if let Some(verb) = Verb::from_number(entry.op) {
            let data = entry.data;
            self.record(data, EventKind::Started { verb, way, step: place as u32, run: run as u32 });
        }
    }
}

/// The verb and the arguments of a member, loaded from `registers`.
#[inline]
fn load(packet: &Packet, registers: &Registers) -> Result<(Verb, [u64; 5]), Refusal> {
    let verb = Verb::from_number(packet.entry.op).ok_or(Refusal::Bad(Errno::EINVAL))?;
    let flags = packet.flags();
    let mut arguments = packet.entry.arguments;
    if flags.intersects(EntryFlags::LOADS) {
        for (place, argument) in arguments.iter_mut().enumerate() {
            if let Some(register) = flags.loaded_from(place) {
                if payload_arguments(verb) & (1 << place) != 0 {
                    return Err(Refusal::Bad(Errno::EINVAL));
                }
                *argument = registers.load(register).ok_or(Refusal::Undefined)?;
            }
        }
    }
    Ok((verb, arguments))
}

/// What the registers will hold once `operation` has succeeded, as far as that is known before.
fn foresee(
    packet: &Packet,
    operation: &Operation,
    descriptors: &crate::descriptors::Descriptors,
    registers: &mut Registers,
) {
    let Some(register) = packet.flags().saved_into() else { return };
    registers.forget(register);
    for (register, index) in (register..REGISTERS).zip(operation.opens()) {
        registers.save(register, descriptors.descriptor(*index));
    }
}

/// How `follower` hangs on the member before it, if the two may be in one run.
fn edge(packet: &Packet, operation: &Operation, follower: &Packet) -> Option<Edge> {
    let opens = !operation.opens().is_empty();
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

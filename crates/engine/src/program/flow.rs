//! Flow: what the registers hold at each step, on all ways through a program at once.
//!
//! Of each register it keeps the set of what it may be: undefined, a number, an open descriptor, a closed one. Where ways
//! meet, the sets are united. So the states only grow, and going over the steps in their order until nothing changes ends:
//! each round but the last adds at least one of the 29 bits of some step's state. In practice there are about as many
//! rounds as REPEATs are nested in each other.
//!
//! A step saves only when it succeeds. A step with HARDLINK leads on when it fails, too; any other leads to the FINALLY
//! steps, as does every ordinary step that is cancelled before it begins.

use alloc::vec;

use ouzel_ring::modifiers::TestOf;
use ouzel_ring::{EntryFlags, REGISTERS};

use super::Interface;
use super::control::Control;
use super::rejection::{Kind, Reason, Rejection};
use super::roles::{Gives, Role, closes, gives, may_fail};
use super::verify::Step;

/// What a register may hold: a set of the four.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Held(u32);

impl Held {
    const UNDEFINED: Held = Held(1);
    const NUMBER: Held = Held(2);
    const OPEN: Held = Held(4);
    const CLOSED: Held = Held(8);
    const BITS: u32 = 4;
    const ALL: u32 = 15;

    const fn may_be(self, other: Held) -> bool {
        self.0 & other.0 != 0
    }

    const fn without(self, other: Held) -> Held {
        Held(self.0 & !other.0)
    }

    const fn or(self, other: Held) -> Held {
        Held(self.0 | other.0)
    }

    /// What to call it.
    fn kind(self) -> Kind {
        if !self.may_be(Held::NUMBER) {
            Kind::Descriptor
        } else if self.may_be(Held::OPEN.or(Held::CLOSED)) {
            Kind::Mixed
        } else {
            Kind::Number
        }
    }
}

/// What all registers may hold, four bits each, and whether it may be that no member has run yet. Of a step that no way
/// leads to nothing may be.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const NOWHERE: State = State(0);
    /// No member other than a TEST or REPEAT has run.
    const NOTHING_RAN: u32 = 1 << (REGISTERS as u32 * Held::BITS);

    fn at_start(interface: &Interface) -> State {
        let mut state = State(State::NOTHING_RAN);
        for register in 0..REGISTERS {
            let held = if register >= usize::from(interface.registers) {
                Held::UNDEFINED
            } else if interface.descriptors & 1 << register != 0 {
                Held::OPEN
            } else {
                Held::NUMBER
            };
            state = state.with(register, held);
        }
        state
    }

    const fn register(self, register: usize) -> Held {
        Held(self.0 >> (register as u32 * Held::BITS) & Held::ALL)
    }

    const fn with(self, register: usize, held: Held) -> State {
        let shift = register as u32 * Held::BITS;
        State(self.0 & !(Held::ALL << shift) | held.0 << shift)
    }

    const fn join(self, other: State) -> State {
        State(self.0 | other.0)
    }

    const fn is_nowhere(self) -> bool {
        self.0 == 0
    }

    const fn nothing_may_have_run(self) -> bool {
        self.0 & State::NOTHING_RAN != 0
    }

    /// Behind `step`, if it ran and succeeded.
    fn succeeded(self, step: &Step<'_>) -> State {
        let state = self.closed(step).ran(step);
        let Some(register) = step.flags.saved_into() else { return state };
        match gives(step.verb) {
            Gives::Number => state.with(register, Held::NUMBER),
            Gives::Descriptor => state.with(register, Held::OPEN),
            // That there is a next register has been checked.
            Gives::TwoDescriptors => state.with(register, Held::OPEN).with(register + 1, Held::OPEN),
        }
    }

    /// Behind `step`, if it ran and failed. A CLOSE may have been given up before it did anything.
    fn failed(self, step: &Step<'_>) -> State {
        self.join(self.closed(step)).ran(step)
    }

    fn closed(self, step: &Step<'_>) -> State {
        match step.flags.loaded_from(0) {
            Some(register) if closes(step.verb) => self.with(register, Held::CLOSED),
            _ => self,
        }
    }

    fn ran(self, step: &Step<'_>) -> State {
        match step.control {
            Control::Operation => State(self.0 & !State::NOTHING_RAN),
            _ => self,
        }
    }

    /// Behind the FINALLY step `step`. It may have failed, and if a register that it loads is undefined it did not run.
    fn behind_finally(self, step: &Step<'_>) -> State {
        let loads = || step.flags.loads().map(|(_, register)| register);
        let mut state = self.join(self.succeeded(step));
        if closes(step.verb)
            && let Some(closed) = step.flags.loaded_from(0)
            && loads().all(|register| register == closed || !self.register(register).may_be(Held::UNDEFINED))
        {
            // It ran if there was anything to close. It cannot be cancelled, so the descriptor is dead by now.
            let before = self.register(closed);
            let after =
                if before.may_be(Held::UNDEFINED) { Held::CLOSED.or(Held::UNDEFINED) } else { Held::CLOSED };
            let saved = match step.flags.saved_into() {
                Some(register) if register == closed => Held::NUMBER,
                _ => Held(0),
            };
            state = state.with(closed, after.or(saved));
        }
        state
    }
}

/// Whether every step finds in the registers what it wants, and the caller its result.
pub(super) fn check(steps: &[Step<'_>], ordinary: usize, interface: &Interface) -> Result<(), Rejection> {
    let (steps, finally) = steps.split_at(ordinary);
    // The last is the end of the ordinary steps.
    let mut states = vec![State::NOWHERE; ordinary + 1];
    states[0] = State::at_start(interface);
    while go_over(steps, &mut states) {}
    let mut over = states[ordinary];
    for (at, step) in steps.iter().enumerate() {
        let state = states[at];
        if state.is_nowhere() {
            continue;
        }
        check_ordinary(step, state).map_err(|reason| step.reject(at, reason))?;
        // It is cancelled before it runs, or fails. What it leaves if it stops the program, it leaves to the next step too.
        over = over.join(state.failed(step));
        if let Control::Test { target: None, .. } = step.control {
            check_result(state.succeeded(step), interface).map_err(|reason| step.reject(at, reason))?;
        }
    }
    check_result(states[ordinary], interface).map_err(|reason| Rejection {
        step: None,
        verb: None,
        reason,
    })?;
    for (at, step) in finally.iter().enumerate() {
        check_finally(step, over).map_err(|reason| step.reject(ordinary + at, reason))?;
        over = over.behind_finally(step);
    }
    Ok(())
}

/// Takes what is known of each step to those it leads to. Returns whether that told anything new of a step before it.
fn go_over(steps: &[Step<'_>], states: &mut [State]) -> bool {
    let mut again = false;
    for (at, step) in steps.iter().enumerate() {
        let state = states[at];
        if state.is_nowhere() {
            continue;
        }
        let succeeded = state.succeeded(step);
        states[at + 1] = states[at + 1].join(succeeded);
        if step.flags.contains(EntryFlags::HARDLINK) && may_fail(step.verb, step.entry) {
            states[at + 1] = states[at + 1].join(state.failed(step));
        }
        match step.control {
            Control::Test { target: Some(target), .. } => states[target] = states[target].join(succeeded),
            Control::Repeat { first, bound } if bound > 1 => {
                // Whether it saves with each turn or with the last is all the same to what follows from it.
                let back = states[first].join(state).join(succeeded);
                again |= back != states[first];
                states[first] = back;
            }
            _ => {}
        }
    }
    again
}

fn check_ordinary(step: &Step<'_>, state: State) -> Result<(), Reason> {
    if let Control::Test { of: TestOf::Last, .. } = step.control
        && state.nothing_may_have_run()
    {
        return Err(Reason::NothingToTest);
    }
    for (argument, register) in step.flags.loads() {
        let held = state.register(register);
        if held.may_be(Held::UNDEFINED) {
            return Err(Reason::Undefined { argument, register, always: held == Held::UNDEFINED });
        }
        check_kind(step, argument, register, held)?;
        // Only what is open on every way.
        if held.may_be(Held::CLOSED) {
            return Err(Reason::Closed { argument, register });
        }
    }
    Ok(())
}

/// A FINALLY step does not run where a register that it loads is undefined, and where a descriptor is closed already it
/// fails, which stops nothing. There need only be some way on which it is of use.
fn check_finally(step: &Step<'_>, state: State) -> Result<(), Reason> {
    for (argument, register) in step.flags.loads() {
        let held = state.register(register).without(Held::UNDEFINED);
        if held == Held(0) {
            return Err(Reason::Undefined { argument, register, always: true });
        }
        check_kind(step, argument, register, held)?;
        if held == Held::CLOSED {
            return Err(Reason::Closed { argument, register });
        }
    }
    Ok(())
}

fn check_kind(step: &Step<'_>, argument: usize, register: usize, held: Held) -> Result<(), Reason> {
    let wants_descriptor = matches!(step.roles[argument], Role::Descriptor | Role::Directory);
    match held.kind() {
        Kind::Descriptor if wants_descriptor => Ok(()),
        Kind::Number if !wants_descriptor => Ok(()),
        held if wants_descriptor => Err(Reason::WantsDescriptor { argument, register, held }),
        held => Err(Reason::WantsNumber { argument, register, held }),
    }
}

fn check_result(state: State, interface: &Interface) -> Result<(), Reason> {
    let Some(register) = interface.result.map(usize::from) else { return Ok(()) };
    if !state.is_nowhere() && state.register(register).may_be(Held::UNDEFINED) {
        return Err(Reason::ResultUndefined { register });
    }
    Ok(())
}

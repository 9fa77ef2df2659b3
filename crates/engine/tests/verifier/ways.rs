//! An oracle: every way through a program, one state at a time.
//!
//! It knows nothing of the verifier. It reads entries as the ABI page says, lets each step succeed and fail, each TEST
//! hold and not hold, each REPEAT go back and go on, and remembers where that went wrong. The number of turns is not
//! looked at, so there are finitely many states; `run` is for that.

use std::collections::{BTreeSet, HashMap, HashSet};

use ouzel_engine::Interface;
use ouzel_ring::modifiers::{Action, CancelBy, TestOf};
use ouzel_ring::{Entry, EntryFlags, REGISTERS, Verb};

/// What a register holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    Undefined,
    Number,
    Open,
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    registers: [Value; REGISTERS],
    /// Something other than a TEST or REPEAT has run.
    ran: bool,
}

/// What went wrong on some way.
#[derive(Default)]
pub struct Found {
    /// Ordinary steps that found what they may not.
    pub ordinary: BTreeSet<usize>,
    /// TESTs at which the program stops without its result.
    pub stops: BTreeSet<usize>,
    /// It ends without its result.
    pub end: bool,
    /// FINALLY steps that found a number for a descriptor or the other way round.
    pub kinds: BTreeSet<usize>,
    /// FINALLY steps that load something that is never of use.
    pub useless: BTreeSet<usize>,
}

fn verb(entry: &Entry) -> Verb {
    Verb::from_number(entry.op).unwrap()
}

fn flags(entry: &Entry) -> EntryFlags {
    EntryFlags::from_bits_retain(entry.flags)
}

/// Whether argument `argument` is a descriptor.
fn is_descriptor(entry: &Entry, argument: usize) -> bool {
    let by_descriptor = entry.arguments[3] == CancelBy::Descriptor as u64;
    match (verb(entry), argument) {
        (Verb::Cancel, 0) => by_descriptor && flags(entry).loaded_from(3).is_none(),
        (Verb::Copy | Verb::Splice | Verb::Rename | Verb::Link, 0 | 4) | (Verb::Symlink, 4) => true,
        (Verb::Nop | Verb::Pipe | Verb::Socket | Verb::Symlink | Verb::Get, 0) => false,
        // Those that only compute, decide or wait, on a word too.
        (verb, 0) => !matches!(verb as u32, 28..=30 | 52..=62),
        _ => false,
    }
}

fn never_fails(entry: &Entry) -> bool {
    match verb(entry) {
        Verb::Set | Verb::Get | Verb::Min | Verb::And | Verb::Test | Verb::Repeat => true,
        Verb::Add | Verb::Sub => entry.arguments[4] != 0,
        Verb::Shift => flags(entry).loaded_from(3).is_none(),
        _ => false,
    }
}

impl State {
    pub fn at_start(interface: &Interface) -> State {
        let mut registers = [Value::Undefined; REGISTERS];
        for (place, register) in registers.iter_mut().enumerate().take(interface.registers.into()) {
            let is_descriptor = interface.descriptors >> place & 1 != 0;
            *register = if is_descriptor { Value::Open } else { Value::Number };
        }
        State { registers, ran: false }
    }

    /// Whether `entry` finds what it wants.
    fn suits(&self, entry: &Entry) -> bool {
        let of_last = verb(entry) == Verb::Test && entry.arguments[0] == TestOf::Last as u64;
        (self.ran || !of_last)
            && flags(entry).loads().all(|(argument, register)| {
                let wanted = if is_descriptor(entry, argument) { Value::Open } else { Value::Number };
                self.registers[register] == wanted
            })
    }

    fn after(mut self, entry: &Entry, succeeded: bool) -> State {
        let verb = verb(entry);
        if verb == Verb::Close
            && let Some(register) = flags(entry).loaded_from(0)
        {
            self.registers[register] = Value::Closed;
        }
        self.ran |= !matches!(verb, Verb::Test | Verb::Repeat);
        if succeeded && let Some(register) = flags(entry).saved_into() {
            let descriptor = matches!(verb, Verb::Open | Verb::Socket | Verb::Accept | Verb::Pipe);
            self.registers[register] = if descriptor { Value::Open } else { Value::Number };
            if verb == Verb::Pipe {
                self.registers[register + 1] = Value::Open;
            }
        }
        self
    }
}

/// Where a TEST that holds goes: a step, or nowhere.
fn target(at: usize, entry: &Entry) -> Option<usize> {
    let action = entry.arguments[1];
    match action & 0xffff_ffff {
        number if number == Action::Stop as u64 => None,
        number if number == Action::Skip as u64 => Some(at + 1 + (action >> 32) as usize),
        _ => Some(at + 1),
    }
}

fn ordinary(entries: &[Entry]) -> usize {
    entries.iter().take_while(|entry| !flags(entry).contains(EntryFlags::FINALLY)).count()
}

/// Tries all ways through a program.
pub fn explore(entries: &[Entry], interface: &Interface) -> Found {
    let mut found = Found::default();
    let end = ordinary(entries);
    let has_result = |state: &State| {
        interface.result.is_none_or(|register| state.registers[usize::from(register)] != Value::Undefined)
    };
    let mut seen = HashSet::new();
    let mut over: HashSet<State> = HashSet::new();
    let mut rest = vec![(0, State::at_start(interface))];
    while let Some((at, state)) = rest.pop() {
        if !seen.insert((at, state)) {
            continue;
        }
        over.insert(state);
        if at == end {
            found.end |= !has_result(&state);
            continue;
        }
        let entry = &entries[at];
        if !state.suits(entry) {
            found.ordinary.insert(at);
        }
        let succeeded = state.after(entry, true);
        rest.push((at + 1, succeeded));
        match verb(entry) {
            Verb::Test => match target(at, entry) {
                Some(target) => rest.push((target, succeeded)),
                None => {
                    over.insert(succeeded);
                    if !has_result(&succeeded) {
                        found.stops.insert(at);
                    }
                }
            },
            Verb::Repeat if entry.arguments[2] > 1 => {
                let body = entry.arguments[3] as usize;
                rest.extend([(at - body, succeeded), (at - body, state)]);
            }
            _ => {}
        }
        if !never_fails(entry) {
            // A CLOSE that was given up may have left the descriptor open.
            let failed = [state.after(entry, false), State { ran: true, ..state }];
            over.extend(failed);
            if flags(entry).contains(EntryFlags::HARDLINK) {
                rest.extend(failed.map(|state| (at + 1, state)));
            }
        }
    }
    for (at, entry) in entries.iter().enumerate().skip(end) {
        let mut next = HashSet::new();
        let mut useful: HashMap<usize, bool> = HashMap::new();
        for state in over {
            let mut runs = true;
            let mut suits = true;
            for (argument, register) in flags(entry).loads() {
                let value = state.registers[register];
                runs &= value != Value::Undefined;
                let descriptor = is_descriptor(entry, argument);
                suits &= value == Value::Undefined || descriptor != (value == Value::Number);
                *useful.entry(argument).or_default() |= matches!(value, Value::Number | Value::Open);
            }
            if runs && !suits {
                found.kinds.insert(at);
            }
            if runs {
                next.extend([state.after(entry, true), state.after(entry, false)]);
            } else {
                next.insert(state);
            }
        }
        if useful.values().any(|useful| !useful) {
            found.useless.insert(at);
        }
        over = next;
    }
    found
}

/// One way through a program that was accepted, with turns counted. `one_in` is true once in so many times; a TEST holds
/// once in `holds_one_in`. Returns how many steps ran.
pub fn run(
    entries: &[Entry],
    interface: &Interface,
    one_in: &mut dyn FnMut(u64) -> bool,
    holds_one_in: u64,
) -> u64 {
    let end = ordinary(entries);
    let mut state = State::at_start(interface);
    let mut turns = vec![0u64; end];
    let (mut at, mut steps, mut broken) = (0, 0u64, false);
    while at < end {
        if one_in(300) {
            // Cancelled.
            broken = true;
            break;
        }
        let entry = &entries[at];
        assert!(state.suits(entry), "step {} of {entries:?}", at + 1);
        steps += 1;
        let succeeded = never_fails(entry) || !one_in(8);
        let before = state;
        state = state.after(entry, succeeded);
        at = match verb(entry) {
            Verb::Test if one_in(holds_one_in) => match target(at, entry) {
                Some(target) => target,
                None => break,
            },
            Verb::Repeat => {
                turns[at] += 1;
                let first = at - entry.arguments[3] as usize;
                if turns[at] < entry.arguments[2] {
                    turns[first..at].fill(0);
                    if one_in(2) {
                        state = before;
                    }
                    first
                } else {
                    turns[at] = 0;
                    at + 1
                }
            }
            _ if !succeeded && !flags(entry).contains(EntryFlags::HARDLINK) => {
                broken = true;
                break;
            }
            _ => at + 1,
        };
        assert!(at <= end, "out of {entries:?}");
    }
    if !broken && let Some(result) = interface.result {
        assert_ne!(state.registers[usize::from(result)], Value::Undefined, "no result of {entries:?}");
    }
    steps + (entries.len() - end) as u64
}

//! Parts, loops and numbers of a program become parts, loops and numbers of a chain, and back.
//!
//! A statement may need more than one step (a check in front of a transfer), or none (a buffer), so steps remember the
//! statement they are of.

use std::cell::RefCell;
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::Overflow;
use ouzel::{Bytes, Chain, Compute, Condition, Count, Done, Explanation, Room};

use super::steps::{Builder, unfit};
use super::{Built, Made};
use crate::machine::MachineError;
use crate::program::{
    Arithmetic, Asked, Bound, Data, Known, Leave, Operation, Phase, Program, Slot, Step, Width,
};

/// Where the steps of a program ended up in a chain.
pub(super) struct Places {
    /// For each step of the program the first and the last step of the chain.
    ends: Vec<Option<(usize, usize)>>,
}

impl Places {
    pub(super) fn new(built: &Built, steps: usize) -> Places {
        let mut ends: Vec<Option<(usize, usize)>> = vec![None; steps];
        for (place, origin) in built.origins.iter().enumerate() {
            if let Some(end) = ends.get_mut(*origin) {
                *end = Some((end.map_or(place, |(first, _)| first), place));
            }
        }
        Places { ends }
    }

    /// The step of the chain that tells how a step of the program ended: its last one, unless the check in front of that
    /// has failed.
    pub(super) fn of(&self, step: usize, done: &Done) -> Option<usize> {
        let (first, last) = (*self.ends.get(step)?)?;
        let failed = |place: &usize| {
            done.completion_of(*place)
                .is_some_and(|completion| completion.error != 0 && completion.errno() != Errno::ECANCELED)
        };
        // What stands between them may be of other statements, if this one begins a part or loop.
        let check = last.checked_sub(1).filter(|check| *check == first).filter(failed);
        Some(check.unwrap_or(last))
    }
}

/// How many steps a chain of the program may have beyond the program's own.
pub(super) fn extra_steps(program: &Program) -> usize {
    let checked = program.steps.iter().filter(|step| match &step.operation {
        Operation::ReadInto { first, .. } | Operation::RecvInto { first, .. } => first.is_some(),
        Operation::Write { data, .. } | Operation::Send { data, .. } => matches!(data, Data::First(..)),
        _ => false,
    });
    let told = program.results.iter().filter(|result| result.assigned);
    checked.count() + told.count()
}

/// Lets an explanation of a chain speak of the statements of its program.
pub(super) fn speak_of_statements(explanation: &mut Explanation, origins: &[usize]) {
    explanation.steps.retain_mut(|step| match origins.get(step.step) {
        Some(origin) => {
            step.step = *origin;
            true
        }
        None => false,
    });
}

impl Builder<'_> {
    /// Adds steps up to the `else` or `end` that belongs here, whose number it returns, or to the end of the program.
    pub(super) fn block(&mut self, chain: &mut Chain) -> Result<usize, MachineError> {
        while let Some((index, step)) = self.steps.next() {
            match step.operation {
                Operation::Else | Operation::End => return Ok(index),
                Operation::If { asked, not, leave, otherwise } => {
                    let condition = self.condition(chain, asked, not)?;
                    match leave {
                        Some(leave) => go(condition, leave),
                        None => self.part(condition, index, otherwise)?,
                    }
                }
                Operation::Repeat { bound } => self.repeat(chain, bound, index)?,
                Operation::Leave(leave) => go(chain.when(0u64).is_zero(), leave),
                operation => self.plain(chain, index, Step { operation, ..step })?,
            }
            self.built.origins.resize(chain.len(), index);
        }
        Ok(self.program.steps.len())
    }

    fn part(&mut self, condition: Condition<'_>, index: usize, otherwise: bool) -> Result<(), MachineError> {
        if !otherwise {
            return condition.then(|part| {
                self.built.origins.resize(part.len(), index);
                self.block(part).map(|_| ())
            });
        }
        // Both cases need the builder, one after the other.
        let builder = RefCell::new(self);
        let other = RefCell::new(index);
        let (holds, fails) = condition.either(
            |part| {
                let mut builder = builder.borrow_mut();
                builder.built.origins.resize(part.len(), index);
                *other.borrow_mut() = builder.block(part)?;
                Ok::<(), MachineError>(())
            },
            |part| {
                let mut builder = builder.borrow_mut();
                builder.built.origins.resize(part.len(), *other.borrow());
                builder.block(part).map(|_| ())
            },
        );
        holds.and(fails)
    }

    fn repeat(&mut self, chain: &mut Chain, bound: Known, index: usize) -> Result<(), MachineError> {
        let turns = match bound {
            Known::Literal(turns) => u16::try_from(turns).ok(),
            Known::Result(_) => None,
        };
        let Some(turns) = turns else {
            return Err(MachineError::Chain("how often a loop runs at the most is a constant".to_owned()));
        };
        let (_, body) = chain.repeat(turns, |turn| {
            self.built.origins.resize(turn.len(), index);
            self.block(turn).map(|_| ())
        });
        body
    }

    fn plain(&mut self, chain: &mut Chain, index: usize, step: Step<Bound>) -> Result<(), MachineError> {
        // Behind `finally` nothing depends on what came before it.
        let hard = step.lets_next_run() && index + 1 < self.ordinary;
        debug_assert!(step.finally == (index >= self.ordinary));
        let assigned = self.program.assigns.get(index).copied().flatten();
        if step.finally {
            self.give(chain)?;
            chain.finally();
        }
        let before = chain.len();
        if let Some(slot) = assigned {
            let Made::Variable(variable) = self.made(slot)? else {
                return Err(unfit(slot, "a number that may be assigned to"));
            };
            let compute = self.compute(step.operation)?;
            chain.assign(variable, compute);
        } else {
            let results = self.step(chain, step.operation)?;
            let program = self.program;
            for (slot, info) in program.results_of(index) {
                self.made[slot.0] = match results[usize::from(info.second)] {
                    Some(Made::Room(room)) => {
                        self.built.rooms.push((slot, room));
                        Some(Made::Room(room))
                    }
                    made => made,
                };
            }
        }
        if chain.len() == before {
            return Ok(());
        }
        if hard {
            chain.hardlink();
        }
        if step.silent {
            chain.silent();
        }
        if let Some(timeout) = step.timeout {
            chain.timeout(Duration::from_nanos(timeout));
        }
        Ok(())
    }

    /// The steps that are not of plain chains. Named numbers that are assigned to again are variables.
    pub(super) fn control_step(
        &mut self,
        chain: &mut Chain,
        operation: Operation<Bound>,
    ) -> Result<Option<Made>, MachineError> {
        Ok(Some(match operation {
            Operation::Buffer { size } => Made::Room(match &mut self.passing {
                Some(passing) => passing.room().ok_or_else(|| unfit(Slot(0), "a buffer"))?,
                None => chain.room(self.own_buffer(size)?),
            }),
            Operation::ReadInto { file, buffer, first, offset } => {
                let (file, offset) = (self.file(file)?, self.offset(offset)?);
                let room = self.room(buffer)?;
                let part = room.first(self.count_or(first, room.capacity())?);
                Made::Bytes(chain.read(file, part, offset))
            }
            Operation::RecvInto { socket, buffer, first, flags } => {
                let socket = self.file(socket)?;
                let room = self.room(buffer)?;
                let part = room.first(self.count_or(first, room.capacity())?);
                Made::Bytes(chain.recv(socket, part, flags))
            }
            other => {
                let compute = self.compute(other)?;
                // Whether it is one that is assigned to again is known by its name.
                let step = self.built_step();
                let assigned = self.program.results_of(step).any(|(_, info)| info.assigned);
                if assigned {
                    Made::Variable(chain.variable(compute))
                } else {
                    Made::Number(chain.compute(compute))
                }
            }
        }))
    }

    /// The step of the program that is being added.
    pub(super) fn built_step(&self) -> usize {
        self.program.steps.len() - self.steps.len() - 1
    }

    /// Adds what tells the last numbers of printed names that more than one statement sets.
    pub(super) fn tell_values(&mut self, chain: &mut Chain) {
        for slot in &self.program.prints {
            if let Some(Made::Variable(variable)) = self.made.get(slot.0).copied().flatten()
                && self.built.values.iter().all(|(known, _)| known != slot)
            {
                let told = chain.finally().get(variable);
                self.built.values.push((*slot, told));
            }
        }
    }

    pub(super) fn room(&self, slot: Slot) -> Result<Room, MachineError> {
        match self.made(slot)? {
            Made::Room(room) => Ok(room),
            _ => Err(unfit(slot, "a buffer")),
        }
    }

    fn compute(&self, operation: Operation<Bound>) -> Result<Compute, MachineError> {
        Ok(match operation {
            Operation::Set { value } => Compute::from(self.count(value)?),
            Operation::Compute { what, a, b } => {
                let (a, b) = (self.count(a)?, self.count(b)?);
                match what {
                    Arithmetic::Add(overflow) => overflowing(Compute::add(a, b), overflow),
                    Arithmetic::Sub(overflow) => overflowing(Compute::sub(a, b), overflow),
                    Arithmetic::Min => Compute::min(a, b),
                    Arithmetic::And => Compute::and(a, b),
                    Arithmetic::Left => Compute::shift_left(a, b),
                    Arithmetic::Right => Compute::shift_right(a, b),
                }
            }
            Operation::Load { from, width, offset } => {
                let offset = self.count_or(offset, 0)?;
                let bytes = match self.made(from)? {
                    Made::Bytes(reg) => Bytes::Of(reg),
                    Made::Room(room) => Bytes::In(room),
                    _ => return Err(unfit(from, "bytes that were read")),
                };
                let width = match width {
                    Width::U8 => ouzel::Width::U8,
                    Width::U16 => ouzel::Width::U16,
                    Width::U32 => ouzel::Width::U32,
                    Width::U64 => ouzel::Width::U64,
                };
                Compute::load(bytes, width, offset)
            }
            other => return Err(MachineError::Chain(format!("`{}` is no number", other.verb()))),
        })
    }

    fn condition<'c>(
        &self,
        chain: &'c mut Chain,
        asked: Asked<Bound>,
        not: bool,
    ) -> Result<Condition<'c>, MachineError> {
        let number = |number: <Bound as Phase>::Number| -> Result<Count, MachineError> { self.count(number) };
        let condition = match asked {
            Asked::Zero(a) => chain.when(number(a)?).is_zero(),
            Asked::Positive(a) => chain.when(number(a)?).is_positive(),
            Asked::Equals(a, b) => chain.when(number(a)?).equals(number(b)?),
            Asked::Less(a, b) => chain.when(number(a)?).is_less_than(number(b)?),
            Asked::Full => chain.when_last().is_full(),
            Asked::Short => chain.when_last().is_short(),
            Asked::Failed => chain.when_last().failed(),
        };
        Ok(if not { condition.not() } else { condition })
    }
}

fn overflowing(compute: Compute, overflow: Overflow) -> Compute {
    match overflow {
        Overflow::Error => compute,
        Overflow::Wrap => compute.wrapping(),
        Overflow::Saturate => compute.saturating(),
    }
}

fn go(condition: Condition<'_>, leave: Leave) {
    match leave {
        Leave::Stop => condition.stop(),
        Leave::Break => condition.break_loop(),
        Leave::Next => condition.next_turn(),
    }
}

//! Stored programs: built once when the ring is opened, or found at the service, and called by steps of chains.
//!
//! The memory of a call is its own: every buffer that the statements of a stored program ask for is one of the caller's, which
//! each call brings along, since calls that run at the same time share nothing.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use ouzel::abi::Errno;
use ouzel::scheme::Published;
use ouzel::{
    Buffer, BuildError, Chain, Done, Error, Fd, Input, Offset, PathInput, Program as Verified,
    ProgramBuilder, Reg, Ring, Room, Stored, Unit, Verification,
};

use super::steps::{Builder, as_path, unfit};
use super::{Built, Made, RingMachine, buffer_size};
use crate::machine::MachineError;
use crate::program::{
    Argument, Bound, Callee, Checked, Kind, MAX_BUFFERS, Operation, ParameterKind, Program, Slot, Step,
    StoredProgram, Template, Values, only_parameter,
};

/// A stored program of the ring.
pub(super) struct Kept {
    handle: Handle,
    /// The sizes of the buffers that each call brings along.
    rooms: Vec<u64>,
    /// Which of them its result counts the bytes of.
    fills: Option<usize>,
    /// For each step as built the line and the verb of its statement.
    statements: Vec<(usize, &'static str)>,
    /// Of one of the service's nothing is known.
    pub(super) verification: Option<Verification>,
}

/// A stored program that is built, and is not stored yet.
struct Prepared {
    ready: Ready,
    rooms: Vec<u64>,
    fills: Option<usize>,
    statements: Vec<(usize, &'static str)>,
    verification: Verification,
}

impl Kept {
    /// Bytes of the buffers of one call.
    pub(super) fn buffered(&self) -> u64 {
        self.rooms.iter().fold(0, |sum, size| sum.saturating_add(*size))
    }

    /// The line of the statement that a step as built is of.
    pub(super) fn line(&self, step: usize) -> usize {
        self.statements.get(step).map_or(0, |(line, _)| *line)
    }
}

/// By what it results in.
enum Handle {
    Nothing(Stored<Unit>),
    Number(Stored<u64>),
    Bytes(Stored<usize>),
    Open(Stored<Fd>),
}

/// The same before it is stored.
enum Ready {
    Nothing(Verified<Unit>),
    Number(Verified<u64>),
    Bytes(Verified<usize>),
    Open(Verified<Fd>),
}

impl Ready {
    fn store(self, ring: &mut Ring) -> Result<Handle, Error> {
        Ok(match self {
            Ready::Nothing(program) => Handle::Nothing(ring.store(program)?),
            Ready::Number(program) => Handle::Number(ring.store(program)?),
            Ready::Bytes(program) => Handle::Bytes(ring.store(program)?),
            Ready::Open(program) => Handle::Open(ring.store(program)?),
        })
    }

    fn publish(&self, name: &str) -> Result<Published, Error> {
        match self {
            Ready::Nothing(program) => ouzel::published(name, program),
            Ready::Number(program) => ouzel::published(name, program),
            Ready::Bytes(program) => ouzel::published(name, program),
            Ready::Open(program) => ouzel::published(name, program),
        }
    }
}

/// The step of a chain that calls a stored program.
pub(crate) struct Calling {
    /// The step of the program as text.
    pub(super) step: usize,
    program: usize,
    result: Called,
}

#[derive(Clone, Copy)]
enum Called {
    Nothing(Reg<Unit>),
    Number(Reg<u64>),
    Bytes(Reg<usize>),
    Open(Reg<Fd>),
}

/// What a stored program is made of, while it is built.
pub(crate) struct Passing {
    rooms: IntoIter<Room>,
    paths: BTreeMap<String, PathInput>,
    data: BTreeMap<String, Input>,
    gives: Option<Slot>,
    given: Option<Made>,
}

impl Passing {
    /// The caller's buffer for the next statement that asks for one.
    pub(super) fn room(&mut self) -> Option<Room> {
        self.rooms.next()
    }
}

impl RingMachine {
    /// Builds and stores a program, or finds the service's; `dry` stands for what is not asked for.
    pub(super) fn store(&mut self, stored: &StoredProgram, dry: bool) -> Result<Kept, MachineError> {
        if stored.of_service {
            return if dry { self.stand_in(stored) } else { self.find(stored) };
        }
        let Prepared { ready, rooms, fills, statements, verification } = self.prepare(stored)?;
        let handle = ready.store(&mut self.ring).map_err(|error| {
            let StoredProgram { line, name, .. } = stored;
            MachineError::Chain(format!("line {line}: the stored program `{name}`: {error}"))
        })?;
        Ok(Kept { handle, rooms, fills, statements, verification: Some(verification) })
    }

    /// A stored program for a service to offer under its name.
    ///
    /// # Errors
    ///
    /// [`MachineError::Chain`] if it cannot be built, or does what no client of a service can ask for.
    pub fn publish(stored: &StoredProgram) -> Result<Published, MachineError> {
        let mut machine = RingMachine::dry(&Program::default())?;
        let prepared = machine.prepare(stored)?;
        prepared.ready.publish(&stored.name).map_err(|error| {
            MachineError::Chain(format!("line {}: the program `{}`: {error}", stored.line, stored.name))
        })
    }

    /// Builds a program.
    fn prepare(&mut self, stored: &StoredProgram) -> Result<Prepared, MachineError> {
        let body = &stored.body;
        let named = |error: String| {
            MachineError::Chain(format!(
                "line {}: the stored program `{}`: {error}",
                stored.line, stored.name
            ))
        };
        // What is passed stands in its place, whatever it is.
        let place = |passed: &crate::program::Passed| (passed.name.clone(), b"x".to_vec());
        let values: Values = stored.parameters.iter().map(place).collect();
        let steps = body.bind(&values).map_err(|error| named(error.to_string()))?;
        let sizes: Vec<(usize, u64)> =
            steps.iter().enumerate().filter_map(|(index, step)| Some((index, buffer_size(step)?))).collect();
        let fills = stored.gives.and_then(|slot| {
            let step = body.result(slot)?.step;
            let filled = match &steps.get(step)?.operation {
                Operation::ReadInto { buffer, .. } | Operation::RecvInto { buffer, .. } => {
                    body.result(*buffer)?.step
                }
                _ => step,
            };
            sizes.iter().position(|(index, _)| *index == filled)
        });
        let rooms: Vec<u64> = sizes.iter().map(|(_, size)| *size).collect();
        let mut building = Building { machine: self, stored, steps, rooms: &rooms, end: None };
        let given = stored.gives.and_then(|slot| Some(body.result(slot)?.kind));
        let ready = building.build_one(given);
        let (built, verification) = building.end.take().unzip();
        let built = built.unwrap_or_default();
        let statements: Vec<_> = built
            .origins
            .iter()
            .map(|origin| {
                body.steps
                    .get(*origin)
                    .map_or((stored.line, "program"), |step| (step.line, step.operation.verb()))
            })
            .collect();
        let ready = ready.map_err(|failure| match failure {
            Failure::Machine(error) => error,
            Failure::Ring(error) => {
                let step = match &error {
                    Error::Build(error) => error.step(),
                    _ => None,
                };
                let line =
                    step.and_then(|step| statements.get(step)).map(|(line, _)| format!("line {line}: "));
                named(format!("{}{error}", line.unwrap_or_default()))
            }
        })?;
        // What can be stored can be looked at.
        let Some(Ok(verification)) = verification else {
            return Err(named("it cannot be looked at".to_owned()));
        };
        Ok(Prepared { ready, rooms, fills, statements, verification })
    }

    /// Finds a program of the service's.
    fn find(&mut self, stored: &StoredProgram) -> Result<Kept, MachineError> {
        let StoredProgram { name, line, .. } = stored;
        let given = stored.gives.and_then(|slot| Some(stored.body.result(slot)?.kind));
        let handle = match given {
            None => self.ring.find_program(name).map(Handle::Nothing),
            Some(kind) if kind.is_open() => self.ring.find_program(name).map(Handle::Open),
            Some(kind) if kind.counts_bytes() => self.ring.find_program(name).map(Handle::Bytes),
            Some(_) => self.ring.find_program(name).map(Handle::Number),
        };
        let handle = handle.map_err(|error| match error.errno() {
            Some(Errno::EOPNOTSUPP) => MachineError::Chain(format!(
                "line {line}: `{name}` is a program of a service's: say which one with --on"
            )),
            _ => MachineError::Chain(format!("line {line}: the service's program `{name}`: {error}")),
        })?;
        let (rooms, fills) = match &handle {
            Handle::Nothing(stored) => (stored.rooms(), stored.fills()),
            Handle::Number(stored) => (stored.rooms(), stored.fills()),
            Handle::Bytes(stored) => (stored.rooms(), stored.fills()),
            Handle::Open(stored) => (stored.rooms(), stored.fills()),
        };
        let rooms: Vec<u64> = rooms.into_iter().map(|room| room as u64).collect();
        if rooms.iter().fold(0, |sum: u64, room| sum.saturating_add(*room)) > MAX_BUFFERS {
            let message = format!("`{name}` asks for more than {MAX_BUFFERS} bytes of buffers");
            return Err(MachineError::Chain(format!("line {line}: {message}")));
        }
        Ok(Kept { handle, rooms, fills, statements: Vec::new(), verification: None })
    }

    /// What stands for a program of the service's where none is asked: it is called alike.
    fn stand_in(&mut self, stored: &StoredProgram) -> Result<Kept, MachineError> {
        let given = stored.gives.and_then(|slot| Some(stored.body.result(slot)?.kind));
        let mut building = Building { machine: self, stored, steps: Vec::new(), rooms: &[], end: None };
        let ready = building.build_one(given).map_err(|failure| match failure {
            Failure::Machine(error) => error,
            Failure::Ring(error) => MachineError::Chain(format!("line {}: {error}", stored.line)),
        })?;
        let handle = ready.store(&mut self.ring).map_err(|error| MachineError::Ring(error.to_string()))?;
        Ok(Kept { handle, rooms: Vec::new(), fills: None, statements: Vec::new(), verification: None })
    }
}

enum Failure {
    Machine(MachineError),
    Ring(Error),
}

/// A program that is being built.
struct Building<'a> {
    machine: &'a mut RingMachine,
    stored: &'a StoredProgram,
    steps: Vec<Step<Bound>>,
    rooms: &'a [u64],
    end: Option<(Built, Result<Verification, BuildError>)>,
}

impl Building<'_> {
    /// Builds it, by what it results in.
    fn build_one(&mut self, given: Option<Kind>) -> Result<Ready, Failure> {
        match given {
            None => self
                .build(nothing, |made| match made {
                    Some(Made::Nothing(reg)) => Some(reg),
                    _ => None,
                })
                .map(Ready::Nothing),
            Some(kind) if kind.is_open() => self
                .build(
                    |program| program.socket(1, 1, 0),
                    |made| match made {
                        Some(Made::Open(reg)) => Some(reg),
                        _ => None,
                    },
                )
                .map(Ready::Open),
            Some(kind) if kind.counts_bytes() => self
                .build(
                    |program| {
                        let socket = program.socket(1, 1, 0);
                        program.write(socket, Buffer::default(), Offset::CURRENT)
                    },
                    |made| match made {
                        Some(Made::Bytes(reg)) => Some(reg),
                        _ => None,
                    },
                )
                .map(Ready::Bytes),
            Some(_) => self
                .build(
                    |program| program.get(0u64),
                    |made| match made {
                        Some(Made::Number(reg)) => Some(reg),
                        _ => None,
                    },
                )
                .map(Ready::Number),
        }
    }

    /// Builds it. `fallback` stands for its result where building failed, `pick` takes the result that it is.
    fn build<T: ouzel::Kind>(
        &mut self,
        fallback: impl FnOnce(&mut ProgramBuilder) -> Reg<T>,
        pick: impl FnOnce(Option<Made>) -> Option<Reg<T>>,
    ) -> Result<Verified<T>, Failure> {
        let mut failed = None;
        let program = Verified::build(|program| match self.fill(program) {
            Ok(made) => pick(made).unwrap_or_else(|| fallback(program)),
            Err(error) => {
                failed = Some(error);
                fallback(program)
            }
        });
        match failed {
            Some(error) => Err(Failure::Machine(error)),
            None => program.map_err(Failure::Ring),
        }
    }

    fn fill(&mut self, program: &mut ProgramBuilder) -> Result<Option<Made>, MachineError> {
        let body = &self.stored.body;
        let mut made = vec![None; body.results.len()];
        let (mut paths, mut data) = (BTreeMap::new(), BTreeMap::new());
        for (passed, place) in self.stored.parameters.iter().zip(&mut made) {
            match passed.kind {
                ParameterKind::Path => drop(paths.insert(passed.name.clone(), program.path())),
                ParameterKind::Data => drop(data.insert(passed.name.clone(), program.bytes())),
                ParameterKind::Number => *place = Some(Made::Number(program.number())),
                ParameterKind::File => *place = Some(Made::Open(program.file())),
            }
        }
        let size = |size: &u64| usize::try_from(*size).unwrap_or(usize::MAX);
        let rooms: Vec<Room> = self.rooms.iter().map(|room| program.room(size(room))).collect();
        let steps = std::mem::take(&mut self.steps);
        let ordinary = steps.iter().filter(|step| !step.finally).count();
        let rooms = rooms.into_iter();
        let mut builder = Builder {
            machine: self.machine,
            program: body,
            steps: steps.into_iter().enumerate(),
            ordinary,
            made,
            built: Built::default(),
            unit: None,
            passing: Some(Passing { rooms, paths, data, gives: self.stored.gives, given: None }),
        };
        let chain: &mut Chain = program;
        builder.block(chain)?;
        builder.give(chain)?;
        let unit = builder.unit.map(Made::Nothing);
        let given = builder.passing.and_then(|passing| passing.given);
        self.end = Some((builder.built, chain.verify()));
        Ok(given.or(unit))
    }
}

/// What has no result and does nothing.
fn nothing(program: &mut ProgramBuilder) -> Reg<Unit> {
    program.finally().nop()
}

impl Builder<'_> {
    /// Makes what a stored program results in, before its clean-up.
    pub(super) fn give(&mut self, chain: &mut Chain) -> Result<(), MachineError> {
        let Some(Passing { gives: Some(slot), given: None, .. }) = self.passing else { return Ok(()) };
        let made = match self.made(slot)? {
            Made::Variable(variable) => Made::Number(chain.get(variable)),
            Made::Status | Made::Room(_) => return Err(unfit(slot, "a number or something open")),
            made => made,
        };
        if let Some(passing) = &mut self.passing {
            passing.given = Some(made);
        }
        Ok(())
    }

    /// The path that is passed for a text of the step `index`, if one is.
    pub(super) fn path_passed(&self, index: usize) -> Option<PathInput> {
        let path = match self.text_of(index)? {
            Operation::Open { path, .. } | Operation::Mkdir { path, .. } | Operation::Remove { path, .. } => {
                path
            }
            _ => return None,
        };
        self.passing.as_ref()?.paths.get(only_parameter(path)?).copied()
    }

    /// The data that are passed for a text of the step `index`, if they are.
    pub(super) fn data_passed(&self, index: usize) -> Option<Input> {
        let data: &Template = match self.text_of(index)? {
            Operation::Write { data: crate::program::Data::Text(text), .. }
            | Operation::Send { data: crate::program::Data::Text(text), .. } => text,
            _ => return None,
        };
        self.passing.as_ref()?.data.get(only_parameter(data)?).copied()
    }

    fn text_of(&self, index: usize) -> Option<&Operation<Checked>> {
        self.passing.as_ref()?;
        self.program.steps.get(index).map(|step| &step.operation)
    }

    /// Adds a CALL.
    pub(super) fn call(
        &mut self,
        chain: &mut Chain,
        callee: Callee,
        arguments: Vec<Argument<Bound>>,
    ) -> Result<Option<Made>, MachineError> {
        let Some(kept) = self.machine.stored.get(callee.0) else {
            return Err(MachineError::Chain("there is no such stored program".to_owned()));
        };
        let sizes = kept.rooms.clone();
        let passed: Result<Vec<Pass>, MachineError> =
            arguments.into_iter().map(|argument| self.pass(argument)).collect();
        let mut passed = passed?;
        for size in sizes {
            self.built.buffered += size;
            passed.push(Pass::Room(self.machine.buffer(size)));
        }
        let step = self.built_step();
        let Some(kept) = self.machine.stored.get(callee.0) else { return Ok(None) };
        let result = match &kept.handle {
            Handle::Nothing(stored) => Called::Nothing(chain.call(with(stored.call(), passed))),
            Handle::Number(stored) => Called::Number(chain.call(with(stored.call(), passed))),
            Handle::Bytes(stored) => Called::Bytes(chain.call(with(stored.call(), passed))),
            Handle::Open(stored) => Called::Open(chain.call(with(stored.call(), passed))),
        };
        self.built.calls.push(Calling { step, program: callee.0, result });
        Ok(match result {
            Called::Nothing(_) => None,
            Called::Number(reg) => Some(Made::Number(reg)),
            Called::Bytes(reg) => Some(Made::Bytes(reg)),
            Called::Open(reg) => Some(Made::Open(reg)),
        })
    }

    fn pass(&mut self, argument: Argument<Bound>) -> Result<Pass, MachineError> {
        Ok(match argument {
            Argument::Path(path) => Pass::Path(path),
            Argument::Data(data) => Pass::Data(data),
            Argument::Number(number) => Pass::Number(self.count(number)?),
            Argument::File(file) => Pass::File(self.file(file)?),
        })
    }
}

/// What is passed.
enum Pass {
    Path(Vec<u8>),
    Data(Vec<u8>),
    Number(ouzel::Count),
    File(ouzel::File),
    Room(Buffer),
}

fn with<T>(call: ouzel::Call<T>, passed: Vec<Pass>) -> ouzel::Call<T> {
    passed.into_iter().fold(call, |call, pass| match pass {
        Pass::Path(path) => call.path(as_path(&path)),
        Pass::Data(data) => call.bytes(data),
        Pass::Number(number) => call.number(number),
        Pass::File(file) => call.file(file),
        Pass::Room(buffer) => call.buffer(buffer),
    })
}

impl Calling {
    /// The line and the verb of the statement that made it fail.
    pub(super) fn failed(&self, done: &Done, kept: &[Kept]) -> Option<(usize, &'static str)> {
        let failed = match self.result {
            Called::Nothing(reg) => done.failed_step_of(reg),
            Called::Number(reg) => done.failed_step_of(reg),
            Called::Bytes(reg) => done.failed_step_of(reg),
            Called::Open(reg) => done.failed_step_of(reg),
        };
        kept.get(self.program)?.statements.get(failed?.0).copied()
    }

    /// The bytes that its result counts.
    pub(super) fn filled(&self, done: &mut Done, kept: &[Kept]) -> Option<Buffer> {
        match self.result {
            Called::Bytes(reg) => done.take_passed(reg, kept.get(self.program)?.fills?),
            _ => None,
        }
    }
}

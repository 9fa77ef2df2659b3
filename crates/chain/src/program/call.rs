//! Calls: arguments for a stored program, the step that passes them, and what came of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use ouzel_ring::modifiers::CallFlags;
use ouzel_ring::{Completion, Errno, Payload, Verb};

use super::build::path_bytes;
use super::{Description, Parameter, ProgramId};
use crate::Buffer;
use crate::chain::{Body, Chain, Count, Draft, File, Memory, Reg};
use crate::done::{Done, Kind};
use crate::error::{BuildError, Error};
use crate::os::Path;

/// The registers that a call passes in its record: r2 to r6.
const IN_RECORD: usize = 5;

enum Argument {
    Number(Count),
    File(File),
    Path(Vec<u8>),
    Bytes(Buffer),
    Room(Buffer),
}

impl Argument {
    fn name(&self) -> &'static str {
        match self {
            Argument::Number(_) => "a number",
            Argument::File(_) => "a file",
            Argument::Path(_) => "a path",
            Argument::Bytes(_) => "bytes",
            Argument::Room(_) => "a buffer",
        }
    }
}

/// A call of a stored program: `Ring::run_program` runs it, [`Chain::call`] makes it a step of a chain, and as a chain of
/// its own (`Chain::from(call)`) it is submitted beside others.
///
/// Arguments are given in the order of the parameters. The buffers are the call's until it is over.
#[must_use = "a call does nothing until it is run"]
pub struct Call<T> {
    id: ProgramId,
    description: Arc<Description>,
    arguments: Vec<Argument>,
    details: bool,
    result: PhantomData<fn() -> T>,
}

impl<T> Call<T> {
    pub(super) fn new(id: ProgramId, description: Arc<Description>) -> Call<T> {
        Call { id, description, arguments: Vec::new(), details: false, result: PhantomData }
    }

    /// A number, as known now or, among the first two arguments that are no buffers, as an earlier step of the chain results
    /// in.
    pub fn number(self, number: impl Into<Count>) -> Call<T> {
        self.with(Argument::Number(number.into()))
    }

    /// A file that is open or, among the first two arguments that are no buffers, that an earlier step of the chain opens.
    pub fn file(self, file: impl Into<File>) -> Call<T> {
        self.with(Argument::File(file.into()))
    }

    /// A path.
    pub fn path(self, path: impl AsRef<Path>) -> Call<T> {
        self.with(Argument::Path(path_bytes(path.as_ref())))
    }

    /// Bytes: the filled ones of a buffer.
    pub fn bytes(self, bytes: impl Into<Buffer>) -> Call<T> {
        self.with(Argument::Bytes(bytes.into()))
    }

    /// A buffer to fill. What it held may be seen by the program; [`Called::take`] gives it back.
    pub fn buffer(self, buffer: impl Into<Buffer>) -> Call<T> {
        self.with(Argument::Room(buffer.into()))
    }

    /// Asks for the end of each step, too: [`Called::details`].
    pub fn details(mut self) -> Call<T> {
        self.details = true;
        self
    }

    fn with(mut self, argument: Argument) -> Call<T> {
        self.arguments.push(argument);
        self
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments: Vec<_> = self.arguments.iter().map(Argument::name).collect();
        formatter
            .debug_struct("Call")
            .field("id", &self.id)
            .field("arguments", &arguments)
            .finish_non_exhaustive()
    }
}

/// What a chain knows of a call among its steps. It keeps the program's memory for as long as the call may run.
pub(crate) struct Calling {
    pub(crate) step: usize,
    pub(crate) id: ProgramId,
    description: Arc<Description>,
    /// The buffers passed, by number, and how many bytes of each the program was given.
    rooms: Vec<(u16, u64)>,
    details: Option<u16>,
    /// It results in a descriptor.
    pub(crate) opens: bool,
}

impl Chain {
    /// CALL: runs a stored program as one step. It results in what the program does.
    ///
    /// What is wrong with the arguments is found when the chain is handed to a ring, and named.
    pub fn call<T: Kind>(&mut self, call: Call<T>) -> Reg<T> {
        let Call { id, description, arguments, details, .. } = call;
        self.refuse_finally(Verb::Call);
        let step = self.body.steps.len();
        let expected = description.parameters.len();
        if arguments.len() != expected {
            self.body.fail(BuildError::ArgumentCount { step, given: arguments.len(), expected });
        }
        let mut calling =
            Calling { step, id, description, rooms: Vec::new(), details: None, opens: T::OPENS };
        let mut passing = Passing {
            draft: Draft::new(Verb::Call),
            registers: 0,
            record: [0; IN_RECORD],
            pieces: Vec::new(),
        };
        for (number, argument) in arguments.into_iter().enumerate().take(expected) {
            let wanted = calling.description.parameters[number];
            passing = passing.pass(self, &mut calling, number, wanted, argument);
        }
        if details {
            let length = calling.description.order.len() * size_of::<Completion>();
            let (buffer, address) = self.push_buffer(Buffer::from(vec![0; length]));
            calling.details = Some(buffer);
            passing.pieces.push((address, length as u64));
        }
        let flags = if details { CallFlags::DETAILS.bits() } else { 0 };
        let Passing { draft, record, pieces, registers } = passing;
        let draft = draft.value(0, u64::from(id.number) | flags);
        self.body.calls.push(calling);
        if registers <= 2 && pieces.is_empty() {
            return draft.add(self);
        }
        let mut bytes = Vec::with_capacity(8 * IN_RECORD + 16 * pieces.len());
        record.iter().for_each(|word| bytes.extend_from_slice(&word.to_ne_bytes()));
        for (address, length) in pieces {
            bytes.extend_from_slice(&address.to_ne_bytes());
            bytes.extend_from_slice(&length.to_ne_bytes());
        }
        let length = bytes.len() as u64;
        let (buffer, address) = self.push_buffer(Buffer::from(bytes));
        draft.value(1, address).value(2, length).add_with(self, Memory::Filled(buffer))
    }
}

/// A CALL under construction.
struct Passing {
    draft: Draft,
    registers: usize,
    record: [u64; IN_RECORD],
    pieces: Vec<(u64, u64)>,
}

impl Passing {
    fn pass(
        mut self,
        chain: &mut Chain,
        calling: &mut Calling,
        number: usize,
        wanted: Parameter,
        argument: Argument,
    ) -> Passing {
        let step = calling.step;
        let given = argument.name();
        match (wanted, argument) {
            (Parameter::Number, Argument::Number(Count::Known(value))) => self.register(value),
            (Parameter::File, Argument::File(File::Open(descriptor))) => self.register(descriptor.number()),
            (Parameter::Number, Argument::Number(count)) if self.registers < 2 => {
                self.draft = self.draft.count(chain, 3 + self.registers, count);
                self.registers += 1;
                self
            }
            (Parameter::File, Argument::File(file)) if self.registers < 2 => {
                self.draft = self.draft.file(chain, 3 + self.registers, file);
                self.registers += 1;
                self
            }
            (Parameter::Number, Argument::Number(_)) | (Parameter::File, Argument::File(_)) => {
                chain.body.fail(BuildError::ArgumentTooLate { step, argument: number });
                self
            }
            (Parameter::Path, Argument::Path(path)) => {
                if ouzel_ring::has_nul(path.get(..path.len().saturating_sub(1)).unwrap_or_default()) {
                    chain.body.refuse_path(&path);
                }
                let length = path.len() as u64;
                self.piece(chain, Buffer::from(path), length).register(length)
            }
            (Parameter::Bytes, Argument::Bytes(bytes)) => {
                let length = bytes.len() as u64;
                self.piece(chain, bytes, length).register(length)
            }
            (Parameter::Room(room), Argument::Room(mut buffer)) => {
                if (buffer.capacity() as u64) < room {
                    let given = buffer.capacity() as u64;
                    chain.body.fail(BuildError::ArgumentTooShort { step, argument: number, given, room });
                    return self;
                }
                buffer.initialise();
                let passed = self.piece(chain, buffer, room);
                calling.rooms.push(((chain.body.buffers.len() - 1) as u16, room));
                passed
            }
            (wanted, _) => {
                let expected = wanted.name();
                chain.body.fail(BuildError::ArgumentKind { step, argument: number, given, expected });
                self
            }
        }
    }

    /// Passes a value in the next register.
    fn register(mut self, value: u64) -> Passing {
        match self.registers.checked_sub(2) {
            None => self.draft = self.draft.value(3 + self.registers, value),
            Some(place) => {
                if let Some(word) = self.record.get_mut(place) {
                    *word = value;
                }
            }
        }
        self.registers += 1;
        self
    }

    /// Passes the first bytes of a buffer as the next piece.
    fn piece(mut self, chain: &mut Chain, buffer: Buffer, length: u64) -> Passing {
        let (_, address) = chain.push_buffer(buffer);
        // A piece of no bytes has no address that anything may look at.
        let address = if length == 0 { Payload::default().number() } else { address };
        self.pieces.push((address, length));
        self
    }
}

impl Body {
    /// Which step of its program made the CALL at `step` fail, for messages.
    pub(crate) fn failed_step(&self, step: usize) -> Option<String> {
        let (number, verb) = self.failed_step_of(step)?;
        Some(format!("at step {number} ({}) of its program", verb.name()))
    }

    fn failed_step_of(&self, step: usize) -> Option<(usize, Verb)> {
        let calling = self.calls.iter().find(|calling| calling.step == step)?;
        let completion = self.steps.get(step)?.completion?;
        if completion.error == 0 {
            return None;
        }
        let place = (completion.extra as usize).checked_sub(1)?;
        let number = *calling.description.order.get(place)? as usize;
        Some((number, calling.description.body.steps.get(number)?.shape.verb()))
    }

    /// Takes a buffer that was passed to a call.
    fn take_passed(&mut self, step: usize, room: usize) -> Option<Buffer> {
        let calling = self.calls.iter().find(|calling| calling.step == step)?;
        let (buffer, passed) = *calling.rooms.get(room)?;
        let completion = self.steps.get(step)?.completion?;
        let counted = calling.description.fills == Some(room) && completion.error == 0;
        let filled = if counted { completion.result.min(passed) } else { passed };
        let mut buffer = self.buffers.get_mut(buffer as usize)?.take()?;
        // SAFETY: all of it was initialised before it was passed.
        unsafe { buffer.set_filled(filled as usize) };
        Some(buffer)
    }

    /// The buffers that the CALL at `step` may fill, and how many bytes of each.
    pub fn filled_by_call(&self, step: usize) -> Vec<(u16, usize)> {
        let Some(calling) = self.calls.iter().find(|calling| calling.step == step) else { return Vec::new() };
        let details =
            calling.details.map(|buffer| (buffer, calling.description.order.len() * size_of::<Completion>()));
        calling.rooms.iter().map(|(buffer, room)| (*buffer, *room as usize)).chain(details).collect()
    }

    /// The largest result that the CALL at `step` can have, if that counts the bytes of a buffer.
    pub fn most_of_call(&self, step: usize) -> Option<u64> {
        let calling = self.calls.iter().find(|calling| calling.step == step)?;
        calling.rooms.get(calling.description.fills?).map(|(_, room)| *room)
    }

    fn details_of(&self, step: usize) -> Option<Vec<StepDetail>> {
        let calling = self.calls.iter().find(|calling| calling.step == step)?;
        let bytes = self.buffers.get(calling.details? as usize)?.as_ref()?;
        let (completions, _) = bytes.as_chunks::<{ size_of::<Completion>() }>();
        let mut details = Vec::with_capacity(completions.len());
        for (completion, number) in completions.iter().zip(&calling.description.order) {
            let (words, _) = completion.as_chunks::<8>();
            let words = <[[u8; 8]; 4]>::try_from(words).ok()?.map(u64::from_ne_bytes);
            let step = *number as usize;
            let verb = calling.description.body.steps.get(step)?.shape.verb();
            details.push(StepDetail { step, verb, completion: Completion::from_words(words) });
        }
        details.sort_by_key(|detail| detail.step);
        Some(details)
    }
}

/// How one step of a called program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepDetail {
    /// The step, counted in the order they were added.
    pub step: usize,
    /// Its verb.
    pub verb: Verb,
    /// Its end, of the last time it ran.
    pub completion: Completion,
}

impl<E> Done<E> {
    /// Takes the `room`th of the buffers that were passed to the call that `reg` is the result of. Of the one that the
    /// program's result counts the bytes of, that many are filled; of others, as many as the program asks for.
    pub fn take_passed<T>(&mut self, reg: Reg<T>, room: usize) -> Option<Buffer> {
        if self.owns(reg) { self.chain.body.take_passed(reg.step(), room) } else { None }
    }

    /// How each step of a called program ended, if the call asked for [details](Call::details).
    pub fn details_of<T>(&self, reg: Reg<T>) -> Option<Vec<StepDetail>> {
        if self.owns(reg) { self.chain.body.details_of(reg.step()) } else { None }
    }

    /// The step of its program that made a call fail, counted in the order they were added, and its verb.
    pub fn failed_step_of<T>(&self, reg: Reg<T>) -> Option<(usize, Verb)> {
        if self.owns(reg) { self.chain.body.failed_step_of(reg.step()) } else { None }
    }
}

/// A call that is over.
pub struct Called<T, E = Error> {
    done: Done<E>,
    reg: Reg<T>,
}

impl<T: Kind, E: From<Error>> Called<T, E> {
    /// The program's result.
    ///
    /// Errors: [`Error::Operation`] with the error of the step that broke it, which it names.
    pub fn result(&self) -> Result<T::Value, E> {
        self.done.get(self.reg)
    }
}

impl<T: Kind, E> Called<T, E> {
    /// What came of the chain that made the call as the step that `reg` is the result of.
    pub fn new(done: Done<E>, reg: Reg<T>) -> Called<T, E> {
        Called { done, reg }
    }

    /// See [`Done::take_passed`].
    pub fn take(&mut self, room: usize) -> Option<Buffer> {
        self.done.take_passed(self.reg, room)
    }

    /// See [`Done::details_of`].
    pub fn details(&self) -> Option<Vec<StepDetail>> {
        self.done.details_of(self.reg)
    }

    /// See [`Done::failed_step_of`].
    pub fn failed_step(&self) -> Option<(usize, Verb)> {
        self.done.failed_step_of(self.reg)
    }

    /// The error, or success.
    pub fn errno(&self) -> Errno {
        self.done.completion_of(self.reg.step()).map_or(Errno::OK, |completion| completion.errno())
    }
}

impl<T, E> fmt::Debug for Called<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Called").field(&self.done).finish()
    }
}

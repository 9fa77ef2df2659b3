//! Programs: chains with parameters, verified and stored once, then run by one entry each.
//!
//! A [`Program`] is built as a chain is, with parameters where a chain has values. Storing it gives a [`Stored`], of which
//! [`Call`]s are made: they own the memory that the program works on until they are over. What a call passes is checked
//! against the parameters when its chain is built; nothing here trusts a number that a caller gives.

mod build;
mod call;
mod portable;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use ouzel_engine::{Interface, Program as Verified};
use ouzel_ring::modifiers::CALL_REGION;
use ouzel_ring::{EntryFlags, Payload, Verb};

pub use build::{Input, PathInput, ProgramBuilder, ProgramPath};
pub(crate) use call::Calling;
pub use call::{Call, Called, StepDetail};
pub(crate) use portable::portable;

use crate::chain::{Body, CALLERS, Chain, Layout, Memory, Reg};
use crate::done::Kind;
use crate::error::{BuildError, Error};

/// What a program wants for one of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A number.
    Number,
    /// A descriptor.
    File,
    /// The bytes of a path, and how many.
    Path,
    /// Bytes, and how many.
    Bytes,
    /// A buffer with room for so many bytes.
    Room(u64),
}

impl Parameter {
    /// Whether it takes a register, and whether it takes a piece of memory.
    fn takes(self) -> (bool, bool) {
        match self {
            Parameter::Number | Parameter::File => (true, false),
            Parameter::Path | Parameter::Bytes => (true, true),
            Parameter::Room(_) => (false, true),
        }
    }

    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Parameter::Number => "a number",
            Parameter::File => "a file",
            Parameter::Path => "a path",
            Parameter::Bytes => "bytes",
            Parameter::Room(_) => "a buffer",
        }
    }
}

/// What callers and messages have to know of a program, and the memory that its steps name: whoever stores the program
/// keeps it as long as a call may run.
pub struct Description {
    pub(crate) parameters: Vec<Parameter>,
    /// The steps as built; the constants that they name in memory live here.
    pub(crate) body: Box<Body>,
    /// For each step of the stored program the step as built.
    pub(crate) order: Vec<u16>,
    /// The room, counted among the rooms, that the result says how much is filled of.
    pub(crate) fills: Option<usize>,
}

impl Description {
    /// Of a program whose steps are somebody else's: what its callers pass, and which of the buffers they pass to be filled,
    /// counted from 0, the result says how much is filled of.
    pub fn of_another(parameters: Vec<Parameter>, fills: Option<usize>) -> Description {
        Description { parameters, body: Chain::new().body, order: Vec::new(), fills }
    }

    /// What callers pass, in its order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Which of the buffers that callers pass to be filled, counted from 0, the result says how much is filled of.
    pub fn fills(&self) -> Option<usize> {
        self.fills
    }
}

/// A program that was verified. `Ring::store` makes it ready to be called.
///
/// `E` is the error of who builds it.
///
/// ```
/// use ouzel::{Buffer, Offset, OpenOptions, Program, Ring};
///
/// let mut ring = Ring::new()?;
/// let read_whole = Program::build(|program| {
///     let path = program.path();
///     let room = program.room(65536);
///     let file = program.open(path, OpenOptions::read());
///     let length = program.read(file, room, Offset::START);
///     program.finally().close(file);
///     length
/// })?;
/// let read_whole = ring.store(read_whole)?;
///
/// let call = read_whole.call().path("Cargo.toml").buffer(Buffer::with_capacity(65536));
/// let mut called = ring.run_program(call)?;            // one entry in, one completion out
/// let length = called.result()?;
/// let text = called.take(0).unwrap_or_default();
/// assert_eq!(text.len(), length);
/// # Ok::<(), ouzel::Error>(())
/// ```
pub struct Program<T, E = Error> {
    pub(crate) verified: Verified,
    pub(crate) description: Arc<Description>,
    result: PhantomData<fn() -> (T, E)>,
}

impl<T, E> Clone for Program<T, E> {
    fn clone(&self) -> Program<T, E> {
        let description = Arc::clone(&self.description);
        Program { verified: self.verified.clone(), description, result: PhantomData }
    }
}

impl<T: Kind, E: From<Error>> Program<T, E> {
    /// Builds and verifies a program. `build` adds parameters and steps, and returns the result of the step that is the
    /// program's result; one that has none returns a [`Unit`](crate::Unit), of any step.
    ///
    /// Errors: [`Error::Build`] for what a chain may not be either, or if it keeps memory of its own that steps fill;
    /// [`Error::Rejected`] with what the verifier found.
    pub fn build(build: impl FnOnce(&mut ProgramBuilder) -> Reg<T>) -> Result<Program<T, E>, E> {
        let mut builder = ProgramBuilder::new();
        let result = build(&mut builder);
        Ok(Program::of(builder, result)?)
    }

    fn of(builder: ProgramBuilder, result: Reg<T>) -> Result<Program<T, E>, Error> {
        let ProgramBuilder { chain, parameters, rooms } = builder;
        let body = chain.body;
        if result.chain != body.number {
            let (step, of) = (body.steps.len(), result.step());
            return Err(BuildError::ForeignRegister { step, verb: Verb::Get, of }.into());
        }
        for (step, built) in body.steps.iter().enumerate() {
            // Only what is never written to may lie in memory that calls share.
            let shared = match built.payload {
                Memory::None | Memory::Text(_) | Memory::Filled(_) => true,
                Memory::Room(buffer) => buffer == CALLERS,
                Memory::Received(_) => false,
            };
            let own = !shared || built.record.is_some();
            if own {
                return Err(BuildError::OwnRoom { step, verb: built.shape.verb() }.into());
            }
        }
        let Some(held) = T::HELD else {
            let verb = body.steps.get(result.step()).map_or(Verb::Nop, |step| step.shape.verb());
            return Err(BuildError::ResultNoNumber { step: result.step(), verb }.into());
        };
        let held = held.then_some((result.step(), result.second));
        let layout = Layout::of_program(&body, held)?;
        let refused = EntryFlags::LOCAL | EntryFlags::PROGRAM | EntryFlags::SILENT;
        let entry = |(step, flags): &(u16, EntryFlags)| {
            body.steps[*step as usize].entry(&body.text, *flags - refused, 0)
        };
        let entries: Vec<_> = layout.entries.iter().map(entry).collect();
        let interface =
            interface(&parameters, held.and_then(|(step, second)| layout.register_of(step, second)));
        // SAFETY: every address in region 0 is that of the text or a buffer of `body`, neither of which is moved or changed
        // any more. Whoever stores the program keeps the description, and so `body`, and each call does until it is over; no
        // step writes to either: a step that fills a buffer of its own was refused above.
        let verified = unsafe { Verified::with_addresses(&entries, interface) };
        let verified = verified.map_err(|rejection| Error::Rejected(Box::new(rejection)))?;
        let order = layout.entries.iter().map(|(step, _)| *step).collect();
        let filled = body.steps.get(result.step()).and_then(|step| match step.payload {
            Memory::Room(CALLERS) => rooms.iter().position(|room| room.address == step.arguments[1]),
            _ => None,
        });
        let description = Description { parameters, body, order, fills: filled };
        Ok(Program { verified, description: Arc::new(description), result: PhantomData })
    }
}

impl<T, E> Program<T, E> {
    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.verified.entries().len()
    }

    /// Whether it has no steps; such a program is not built.
    pub fn is_empty(&self) -> bool {
        self.verified.entries().is_empty()
    }

    /// What callers pass, and what they get, as the ABI says it.
    pub fn interface(&self) -> &Interface {
        self.verified.interface()
    }
}

impl<T, E> fmt::Debug for Program<T, E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Program").field("verified", &self.verified).finish_non_exhaustive()
    }
}

fn interface(parameters: &[Parameter], result: Option<u8>) -> Interface {
    let mut interface = Interface { result, ..Interface::default() };
    for parameter in parameters {
        let (register, piece) = parameter.takes();
        if *parameter == Parameter::File {
            interface.descriptors |= 1 << interface.registers.min(7);
        }
        interface.registers += u8::from(register);
        if piece {
            interface.pieces.push(if let Parameter::Room(capacity) = parameter { *capacity } else { 0 });
        }
    }
    interface
}

/// The payload that stands for the `piece`th piece of a call.
fn piece(piece: usize) -> Payload {
    // More pieces than there are regions for are refused by the verifier, by their number.
    let region = CALL_REGION.saturating_add(piece.min(u16::MAX as usize) as u16);
    Payload::new(region, 0).unwrap_or_default()
}

/// Names a stored program of one ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgramId {
    pub(crate) ring: u64,
    pub(crate) number: u32,
}

impl ProgramId {
    /// Its number in CALL entries.
    pub fn number(self) -> u32 {
        self.number
    }
}

/// A program that a ring has stored. Calls of it are made with [`call`](Stored::call).
pub struct Stored<T> {
    pub(crate) id: ProgramId,
    pub(crate) description: Arc<Description>,
    result: PhantomData<fn() -> T>,
}

impl<T> Stored<T> {
    pub(crate) fn new(id: ProgramId, description: Arc<Description>) -> Stored<T> {
        Stored { id, description, result: PhantomData }
    }

    /// Its name within its ring.
    pub fn id(&self) -> ProgramId {
        self.id
    }

    /// How many bytes each of the buffers must have that callers pass to be filled, in their order.
    pub fn rooms(&self) -> Vec<usize> {
        let rooms = self.description.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Room(capacity) => Some(usize::try_from(*capacity).unwrap_or(usize::MAX)),
            _ => None,
        });
        rooms.collect()
    }

    /// Which of these buffers, counted from 0, the result says how much is filled of.
    pub fn fills(&self) -> Option<usize> {
        self.description.fills
    }

    /// A call of it, still without arguments.
    pub fn call(&self) -> Call<T> {
        Call::new(self.id, Arc::clone(&self.description))
    }
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Stored<T> {
        Stored { id: self.id, description: Arc::clone(&self.description), result: PhantomData }
    }
}

impl<T> fmt::Debug for Stored<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stored").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T> From<&Stored<T>> for ProgramId {
    fn from(stored: &Stored<T>) -> ProgramId {
        stored.id
    }
}

impl<T: Kind> From<Call<T>> for Chain {
    /// A chain of one step: the call.
    fn from(call: Call<T>) -> Chain {
        let mut chain = Chain::new();
        chain.call(call);
        chain
    }
}

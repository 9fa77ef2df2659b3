//! Building a program: a chain's operations, and parameters for what callers pass.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use ouzel_ring::Verb;

use super::{Parameter, piece};
use crate::chain::{Chain, Count, Data, Draft, Fd, Marks, Reg, Room, Shape};
use crate::os::{self, Path};

/// Builds a [`Program`](crate::Program): it is a [`Chain`], with parameters.
///
/// Parameters are passed in the order in which they are added here. Those that are no buffers count where steps are
/// counted.
#[derive(Debug)]
pub struct ProgramBuilder {
    pub(super) chain: Chain,
    pub(super) parameters: Vec<Parameter>,
    pub(super) rooms: Vec<Room>,
}

/// Bytes that a caller passes, as many as it likes. They can be written and sent.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    room: Room,
    length: Reg<u64>,
}

impl Input {
    /// How many there are.
    pub fn length(self) -> Reg<u64> {
        self.length
    }
}

impl From<Input> for Data {
    fn from(input: Input) -> Data {
        input.room.first(input.length).into()
    }
}

/// A path that a caller passes: for [`open`](Chain::open), [`mkdir`](Chain::mkdir) and [`remove`](Chain::remove).
#[derive(Clone, Copy, Debug)]
pub struct PathInput {
    room: Room,
    /// With its NUL.
    length: Reg<u64>,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::PathInput {}
    impl<T: AsRef<crate::os::Path>> Sealed for T {}
}

/// A path that is known when a step is added or, in a [`Program`](crate::Program), one that its caller passes.
pub trait ProgramPath: sealed::Sealed {
    #[doc(hidden)]
    fn draft<T>(&self, draft: Draft, chain: &mut Chain) -> Reg<T>;
}

impl ProgramPath for PathInput {
    fn draft<T>(&self, draft: Draft, chain: &mut Chain) -> Reg<T> {
        draft.value(1, self.room.address).count(chain, 2, self.length).add(chain)
    }
}

impl<P: AsRef<Path>> ProgramPath for P {
    #[inline]
    fn draft<T>(&self, draft: Draft, chain: &mut Chain) -> Reg<T> {
        draft.add_path(chain, self.as_ref())
    }
}

impl ProgramBuilder {
    pub(super) fn new() -> ProgramBuilder {
        ProgramBuilder { chain: Chain::new(), parameters: Vec::new(), rooms: Vec::new() }
    }

    /// A number that the caller passes.
    pub fn number(&mut self) -> Reg<u64> {
        self.register(Parameter::Number)
    }

    /// A file, socket or other object that the caller passes.
    pub fn file(&mut self) -> Reg<Fd> {
        self.register(Parameter::File)
    }

    /// A path that the caller passes.
    pub fn path(&mut self) -> PathInput {
        let room = self.piece(u64::MAX);
        PathInput { room, length: self.register(Parameter::Path) }
    }

    /// Bytes that the caller passes, for the program to write.
    pub fn bytes(&mut self) -> Input {
        let room = self.piece(u64::MAX);
        Input { room, length: self.register(Parameter::Bytes) }
    }

    /// A buffer of the caller's with room for this many bytes, for the program to fill and to take from. (A room of the
    /// chain's own, which calls would have to share, cannot be filled.)
    pub fn room(&mut self, capacity: usize) -> Room {
        let room = self.piece(capacity as u64);
        self.rooms.push(room);
        self.parameters.push(Parameter::Room(capacity as u64));
        room
    }

    fn register<T>(&mut self, parameter: Parameter) -> Reg<T> {
        self.parameters.push(parameter);
        let mut shape = Shape::new(Verb::Set);
        shape.mark(Marks::PARAMETER);
        self.chain.push_parameter(shape)
    }

    /// The next piece. Its parameter is still to be added.
    fn piece(&mut self, capacity: u64) -> Room {
        let pieces = self.parameters.iter().filter(|parameter| parameter.takes().1).count();
        self.chain.room_of_caller(piece(pieces), capacity)
    }
}

impl Deref for ProgramBuilder {
    type Target = Chain;
    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl DerefMut for ProgramBuilder {
    fn deref_mut(&mut self) -> &mut Chain {
        &mut self.chain
    }
}

impl From<Input> for Count {
    /// How many bytes there are.
    fn from(input: Input) -> Count {
        Count::Number(input.length)
    }
}

/// The bytes of a path as a call passes them.
pub(super) fn path_bytes(path: &Path) -> Vec<u8> {
    let mut bytes = os::bytes(path).to_vec();
    bytes.push(0);
    bytes
}

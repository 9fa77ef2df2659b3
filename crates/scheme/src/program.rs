//! Programs of a service's own, which clients call by name, and which programs a client may call.

use std::fmt;
use std::rc::Rc;

use ouzel_engine::{Interface, Program};

use crate::Error;
use crate::wire::{self, MAX_PARAMETERS, MAX_PROGRAM_NAME, ROOM};

/// What a program wants for one of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// A number, in a register.
    Number,
    /// A descriptor, in a register.
    File,
    /// A path with its NUL, in a piece of memory; how long it is, in a register.
    Path,
    /// Bytes in a piece of memory; how many there are, in a register.
    Bytes,
    /// A piece of memory of so many bytes, for the program to fill.
    Room(u64),
}

impl Parameter {
    /// Whether it takes a register, and whether a piece of memory.
    fn takes(self) -> (bool, bool) {
        match self {
            Parameter::Number | Parameter::File => (true, false),
            Parameter::Path | Parameter::Bytes => (true, true),
            Parameter::Room(_) => (false, true),
        }
    }

    fn number(self) -> u8 {
        match self {
            Parameter::Number => 1,
            Parameter::File => 2,
            Parameter::Path => 3,
            Parameter::Bytes => 4,
            Parameter::Room(_) => ROOM,
        }
    }
}

/// What a program results in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResultKind {
    /// Nothing but whether it succeeded.
    Nothing,
    /// A number.
    Number,
    /// A descriptor, which is the caller's to close.
    File,
}

impl fmt::Display for ResultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ResultKind::Nothing => "nothing",
            ResultKind::Number => "a number",
            ResultKind::File => "a file",
        })
    }
}

/// How a program is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// What it is passed, in order.
    pub parameters: Vec<Parameter>,
    /// What it results in.
    pub result: ResultKind,
    /// Which of its rooms, counted from 0, the result says how much is filled of.
    pub fills: Option<usize>,
}

impl Signature {
    /// Whether a program with this interface is called so.
    fn fits(&self, interface: &Interface) -> bool {
        let mut wanted = Interface { result: interface.result, ..Interface::default() };
        for parameter in &self.parameters {
            let (register, piece) = parameter.takes();
            if *parameter == Parameter::File {
                wanted.descriptors |= 1 << wanted.registers.min(7);
            }
            wanted.registers += u8::from(register);
            if piece {
                wanted.pieces.push(if let Parameter::Room(capacity) = parameter { *capacity } else { 0 });
            }
        }
        let has_result = self.result != ResultKind::Nothing;
        let fills = self.fills.is_none_or(|room| room < self.rooms().count());
        self.parameters.len() <= MAX_PARAMETERS
            && wanted == *interface
            && has_result == interface.result.is_some()
            && fills
    }

    fn rooms(&self) -> impl Iterator<Item = u64> {
        self.parameters.iter().filter_map(|parameter| match parameter {
            Parameter::Room(capacity) => Some(*capacity),
            _ => None,
        })
    }

    /// The answer that says so.
    pub(crate) fn found(&self, token: u64, number: u32) -> wire::ProgramFound {
        let mut found = wire::ProgramFound {
            token,
            number,
            result: match self.result {
                ResultKind::Nothing => 0,
                ResultKind::Number => 1,
                ResultKind::File => 2,
            },
            filled: self.fills.map_or(0, |room| room as u8 + 1),
            parameters: self.parameters.len() as u8,
            kinds: [0; 24],
            capacities: [0; 16],
        };
        for (place, parameter) in found.kinds.iter_mut().zip(&self.parameters) {
            *place = parameter.number();
        }
        for (place, capacity) in found.capacities.iter_mut().zip(self.rooms()) {
            *place = capacity;
        }
        found
    }

    /// What such an answer says.
    pub(crate) fn of(found: &wire::ProgramFound) -> Signature {
        let mut capacities = found.capacities.iter();
        let kinds = found.kinds.iter().take(usize::from(found.parameters));
        let parameters = kinds.map(|kind| match kind {
            1 => Parameter::Number,
            2 => Parameter::File,
            3 => Parameter::Path,
            4 => Parameter::Bytes,
            _ => Parameter::Room(capacities.next().copied().unwrap_or(0)),
        });
        Signature {
            parameters: parameters.collect(),
            result: match found.result {
                0 => ResultKind::Nothing,
                1 => ResultKind::Number,
                _ => ResultKind::File,
            },
            fills: usize::from(found.filled).checked_sub(1),
        }
    }
}

/// A program of a service's own. See [`Server::publish`](crate::Server::publish).
#[derive(Clone, PartialEq, Eq)]
pub struct Published {
    name: String,
    program: Program,
    signature: Signature,
}

impl Published {
    /// A program under a name of 1 to 64 bytes without control characters, that is called as `signature` says. What it names in
    /// memory beside the pieces of its call are its [constants](Program::with_constants).
    ///
    /// Errors: [`Error::Publish`] for another name, and for a signature that is not that of the program's interface.
    pub fn new(name: &str, program: Program, signature: Signature) -> Result<Published, Error> {
        let wrong = |what| Error::Publish { name: name.to_owned(), what };
        if name.is_empty() || name.len() > MAX_PROGRAM_NAME || name.chars().any(char::is_control) {
            return Err(wrong("its name must have 1 to 64 bytes, and no control characters"));
        }
        if !signature.fits(program.interface()) {
            return Err(wrong(
                "it is not called as its signature says: give the parameters of its interface",
            ));
        }
        Ok(Published { name: name.to_owned(), program, signature })
    }

    /// What clients call it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program, verified.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// How it is called.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Published")
            .field("name", &self.name)
            .field("signature", &self.signature)
            .finish_non_exhaustive()
    }
}

/// A program of a service's, found by a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its number in CALL entries of this connection.
    pub number: u32,
    /// How it is called. The service says so; what a call is passed is checked there once more.
    pub signature: Signature,
}

/// Which programs a client may call. What a program does is the service's word in any case: the rights of the connection's
/// backend hold for its steps as for other entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Programs {
    /// Programs that it stores, as far as the quota goes, and all of the service's; and entries of any kind.
    #[default]
    Own,
    /// All of the service's and nothing else: of its entries only CALLs of these and CANCELs are taken, and others, as well as
    /// storing, are EPERM.
    Published,
    /// Those of the service's that have these names, and nothing else.
    Named(Vec<String>),
}

impl Programs {
    /// Those of `published` that are granted, and whether nothing else is.
    pub(crate) fn of(&self, published: &[Rc<Published>]) -> (Vec<Rc<Published>>, bool) {
        match self {
            Programs::Own => (published.to_vec(), false),
            Programs::Published => (published.to_vec(), true),
            Programs::Named(names) => {
                let is_named = |program: &&Rc<Published>| names.iter().any(|name| *name == program.name);
                (published.iter().filter(is_named).map(Rc::clone).collect(), true)
            }
        }
    }
}

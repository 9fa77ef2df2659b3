//! The text language: chains written with names instead of register numbers, one statement a line.
//!
//! [`parse`] takes the bytes of a program and gives a [`Program`]: steps in order, every name resolved to the
//! earlier step whose result it is, every flag and number checked. [`Program::bind`] then puts the values of the
//! parameters (`$name`) in, and what comes out holds nothing but constants and results. `docs/program.md` is the
//! normative grammar. Nothing here opens a file or knows a ring, and no input, however broken, may panic: it comes
//! back as a [`ProgramError`] that lists every problem with its line and column.

mod address;
mod bind;
mod blocks;
mod check;
mod control;
mod kinds;
mod lexer;
mod map;
mod metadata;
mod operands;
mod parser;
mod problem;
mod quantity;
mod stored;
mod syntax;
mod verbs;
mod width;

pub use address::{Address, AddressError};
pub use bind::{BindError, Bound, Known, Values};
pub use check::{Checked, FileRef, Parameter, Program, ResultInfo, Slot, Stream};
pub use kinds::Kind;
pub use metadata::{Metadata, Stamp, Subject};
pub use problem::{Problem, ProgramError, Span};
pub use quantity::{Dimension, Quantity, QuantityError};
pub use stored::{Argument, Callee, ParameterKind, Passed, StoredProgram, only_parameter};
pub use syntax::{
    Amount, Arithmetic, Asked, Data, Leave, Operation, Phase, Piece, SocketKind, Step, Template, Wait,
};
pub use width::Width;

/// The most bytes of a program.
pub const MAX_PROGRAM: usize = 64 << 10;
/// The most statements of a program.
pub const MAX_STATEMENTS: usize = 256;
/// The most bytes of a name or of a parameter's name.
pub const MAX_NAME: usize = 64;
/// The most bytes of a path, the NUL that ends it not counted.
pub const MAX_PATH: usize = 4095;
/// The most bytes of data written in one statement, parameters included.
pub const MAX_DATA: usize = 64 << 10;
/// The most bytes of buffers that the statements of one program ask for together.
pub const MAX_BUFFERS: u64 = 256 << 20;
/// The most parts and loops within each other.
pub const MAX_DEPTH: usize = 16;
/// The most problems that are reported for one program.
pub const MAX_PROBLEMS: usize = 100;

/// Reads a program.
///
/// `name` is what messages call it, usually the path it came from.
///
/// # Errors
///
/// A [`ProgramError`] with every problem found, in the order of the text.
pub fn parse(source: &[u8], name: &str) -> Result<Program, ProgramError> {
    read(source, name, check::Purpose::Run)
}

/// Reads a text that holds stored programs and nothing else.
///
/// # Errors
///
/// As for [`parse`].
pub fn parse_stored(source: &[u8], name: &str) -> Result<Vec<StoredProgram>, ProgramError> {
    read(source, name, check::Purpose::Publish).map(|program| program.stored)
}

fn read(source: &[u8], name: &str, purpose: check::Purpose) -> Result<Program, ProgramError> {
    if source.len() > MAX_PROGRAM {
        return Err(ProgramError::too_large(name, source.len()));
    }
    let text = match std::str::from_utf8(source) {
        Ok(text) => text,
        Err(error) => return Err(ProgramError::not_text(name, source, &error)),
    };
    let mut problems = problem::Problems::new(text);
    let statements = parser::parse(text, &mut problems);
    let program = check::check(statements, &mut problems, name, purpose);
    match (program, problems.into_error(name)) {
        (Some(program), None) => Ok(program),
        (_, Some(error)) => Err(error),
        (None, None) => Err(ProgramError::unexplained(name, text)),
    }
}

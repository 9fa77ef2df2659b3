//! Puts the values of parameters into a checked program, and holds every limit on a value.
//!
//! The checker uses the same functions for what is written in the program itself, so that a limit means the same
//! wherever a value comes from.

use std::collections::BTreeMap;

use ouzel_ring::modifiers::{MAX_REPEAT, MAX_TRANSFER, MAX_XATTR_NAME};
use thiserror::Error;

use super::check::{Checked, FileRef, Program, Slot};
use super::map::{FileRole, Mapper, NumberRole, TextRole, ValueRole};
use super::quantity::{Dimension, Quantity, QuantityError};
use super::stored::{Argument, Called, Callee};
use super::syntax::{Amount, Phase, Piece, Step, Template, Wait};
use super::{Address, AddressError, MAX_BUFFERS, MAX_DATA, MAX_PATH};

/// The values of parameters, by name without the `$`. A path need not be UTF-8.
pub type Values = BTreeMap<String, Vec<u8>>;

/// The phase in which nothing but constants and results is left.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound;

impl Phase for Bound {
    type File = FileRef;
    type Value = Slot;
    type Number = Known;
    type Text = Vec<u8>;
    type Duration = u64;
    type Address = Address;
    type Callee = Callee;
}

/// A number of a bound program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A constant.
    Literal(u64),
    /// An earlier result, taken out of its register.
    Result(Slot),
}

/// Why a value cannot be what it is used for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(super) enum ValueError {
    #[error("the path is empty")]
    EmptyPath,
    #[error("the path holds a NUL")]
    PathNul,
    #[error("the path has {0} bytes; the most is {MAX_PATH}")]
    PathTooLong(usize),
    #[error("the data has {0} bytes; the most is {MAX_DATA}")]
    DataTooLong(usize),
    #[error("the buffers of the program have more than {} MiB together", MAX_BUFFERS >> 20)]
    Buffers,
    #[error("a length of 0 does nothing and is refused")]
    Zero,
    #[error("{0} is more than one operation transfers ({MAX_TRANSFER})")]
    Transfer(u64),
    #[error("{0} is beyond the end of any file (2^63 - 1)")]
    Offset(u64),
    #[error("a backlog is at most {}", i32::MAX)]
    Backlog,
    #[error("a number has 64 bits: it is shifted by 63 at the most")]
    Shift,
    #[error("a loop runs 1 to {MAX_REPEAT} times")]
    Turns,
    #[error("{0} is too large: the most is 4294967294")]
    Small(u64),
    #[error("the name of an attribute has 1 to {MAX_XATTR_NAME} bytes, and no NUL")]
    Attribute,
    #[error("the duration is too long: it would mean never")]
    Never,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    #[error("the value is not UTF-8 and so no number")]
    NotText,
    #[error("the value is a duration where a number is needed")]
    Duration,
    #[error("the duration has no unit: ns, us, ms, s, min or h")]
    NoUnit,
    #[error("no value: give one with --set {0}=VALUE")]
    Missing(String),
}

/// Why a program cannot run with these values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {verb}{}: {message}", parameter.as_ref().map(|name| format!(" ${name}")).unwrap_or_default())]
pub struct BindError {
    /// The line of the statement.
    pub line: usize,
    /// Its verb.
    pub verb: &'static str,
    /// The parameter, if one is at fault alone.
    pub parameter: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl Program {
    /// The steps with the values of all parameters put in.
    ///
    /// # Errors
    ///
    /// [`BindError`] if a parameter has no value, or one that does not fit its use.
    pub fn bind(&self, values: &Values) -> Result<Vec<Step<Bound>>, BindError> {
        let mut binder = Binder { values, buffers: 0, parameter: None };
        self.steps
            .iter()
            .map(|step| {
                binder.parameter = None;
                step.map(&mut binder).map_err(|error| BindError {
                    line: step.line,
                    verb: step.operation.verb(),
                    parameter: binder.parameter.take(),
                    message: error.to_string(),
                })
            })
            .collect()
    }
}

impl Program {
    /// The steps with values that stand for any in the place of parameters: to look at, not to run.
    pub fn example(&self) -> Vec<Step<Bound>> {
        let fill = |step: &Step<Checked>| {
            let Ok(step) = step.map(&mut Example);
            step
        };
        self.steps.iter().map(fill).collect()
    }
}

struct Example;

impl Mapper<Checked, Bound> for Example {
    type Error = std::convert::Infallible;

    fn file(&mut self, file: &FileRef, _role: FileRole) -> Result<FileRef, Self::Error> {
        Ok(*file)
    }

    fn value(&mut self, value: &Slot, _role: ValueRole) -> Result<Slot, Self::Error> {
        Ok(*value)
    }

    fn number(&mut self, number: &Amount<Slot>, role: NumberRole) -> Result<Known, Self::Error> {
        Ok(match number {
            Amount::Literal(value) => Known::Literal(*value),
            Amount::Result(slot) => Known::Result(*slot),
            Amount::Parameter(_) if role == NumberRole::Buffer => Known::Literal(MAX_DATA as u64),
            Amount::Parameter(_) => Known::Literal(1),
        })
    }

    fn text(&mut self, text: &Template, _role: TextRole) -> Result<Vec<u8>, Self::Error> {
        Ok(text.literal().unwrap_or_else(|| b"x".to_vec()))
    }

    fn duration(&mut self, duration: &Wait) -> Result<u64, Self::Error> {
        Ok(match duration {
            Wait::Literal(value) => *value,
            Wait::Parameter(_) => 1,
        })
    }

    fn address(&mut self, address: &Template) -> Result<Address, Self::Error> {
        let written = address.literal().and_then(|bytes| Address::parse(&bytes).ok());
        Ok(written.unwrap_or(Address::Unix(b"x".to_vec())))
    }

    fn call(
        &mut self,
        program: &Callee,
        arguments: &[Argument<Checked>],
    ) -> Result<Called<Bound>, Self::Error> {
        let arguments: Result<_, _> = arguments.iter().map(|argument| argument.map(self)).collect();
        Ok((*program, arguments?))
    }
}

struct Binder<'a> {
    values: &'a Values,
    buffers: u64,
    parameter: Option<String>,
}

impl Binder<'_> {
    fn lookup(&mut self, name: &str) -> Result<&[u8], ValueError> {
        self.parameter = Some(name.to_owned());
        self.values.get(name).map(Vec::as_slice).ok_or_else(|| ValueError::Missing(name.to_owned()))
    }

    fn quantity(&mut self, name: &str) -> Result<Quantity, ValueError> {
        let text = std::str::from_utf8(self.lookup(name)?).map_err(|_| ValueError::NotText)?;
        Ok(Quantity::parse(text)?)
    }

    fn bytes(&mut self, template: &Template) -> Result<Vec<u8>, ValueError> {
        let mut bytes = Vec::new();
        for piece in &template.pieces {
            match piece {
                Piece::Bytes(piece) => bytes.extend_from_slice(piece),
                Piece::Parameter(name) => bytes.extend_from_slice(self.lookup(name)?),
            }
            // Checked at every piece: a thousand pieces of a long value must not become memory first.
            if bytes.len() > MAX_DATA {
                return Err(ValueError::DataTooLong(bytes.len()));
            }
        }
        Ok(bytes)
    }
}

impl Mapper<Checked, Bound> for Binder<'_> {
    type Error = ValueError;

    fn file(&mut self, file: &FileRef, _role: FileRole) -> Result<FileRef, ValueError> {
        Ok(*file)
    }

    fn value(&mut self, value: &Slot, _role: ValueRole) -> Result<Slot, ValueError> {
        Ok(*value)
    }

    fn number(&mut self, number: &Amount<Slot>, role: NumberRole) -> Result<Known, ValueError> {
        let value = match number {
            Amount::Literal(value) => *value,
            Amount::Result(slot) => return Ok(Known::Result(*slot)),
            Amount::Parameter(name) => match self.quantity(name)? {
                Quantity { dimension: Dimension::Time, .. } => return Err(ValueError::Duration),
                quantity => quantity.value,
            },
        };
        check_number(value, role)?;
        if role == NumberRole::Buffer {
            add_buffer(&mut self.buffers, value)?;
        }
        Ok(Known::Literal(value))
    }

    fn text(&mut self, text: &Template, role: TextRole) -> Result<Vec<u8>, ValueError> {
        let bytes = self.bytes(text)?;
        check_text(&bytes, role)?;
        Ok(bytes)
    }

    fn duration(&mut self, duration: &Wait) -> Result<u64, ValueError> {
        let value = match duration {
            Wait::Literal(value) => *value,
            Wait::Parameter(name) => match self.quantity(name)? {
                Quantity { dimension: Dimension::Plain, value: 1.., .. } => return Err(ValueError::NoUnit),
                quantity => quantity.value,
            },
        };
        check_duration(value)?;
        Ok(value)
    }

    fn address(&mut self, address: &Template) -> Result<Address, ValueError> {
        Ok(Address::parse(&self.bytes(address)?)?)
    }

    fn call(
        &mut self,
        program: &Callee,
        arguments: &[Argument<Checked>],
    ) -> Result<Called<Bound>, ValueError> {
        let arguments: Result<_, _> = arguments.iter().map(|argument| argument.map(self)).collect();
        Ok((*program, arguments?))
    }
}

pub(super) fn check_text(bytes: &[u8], role: TextRole) -> Result<(), ValueError> {
    match role {
        TextRole::Path if bytes.is_empty() => Err(ValueError::EmptyPath),
        TextRole::Path if bytes.contains(&0) => Err(ValueError::PathNul),
        TextRole::Path if bytes.len() > MAX_PATH => Err(ValueError::PathTooLong(bytes.len())),
        TextRole::Attribute
            if bytes.is_empty() || bytes.len() as u64 > MAX_XATTR_NAME || bytes.contains(&0) =>
        {
            Err(ValueError::Attribute)
        }
        TextRole::Data if bytes.len() > MAX_DATA => Err(ValueError::DataTooLong(bytes.len())),
        _ => Ok(()),
    }
}

pub(super) fn check_number(value: u64, role: NumberRole) -> Result<(), ValueError> {
    const LAST: u64 = i64::MAX as u64;
    match role {
        NumberRole::Nonzero if value == 0 => Err(ValueError::Zero),
        NumberRole::Offset | NumberRole::Nonzero if value > LAST => Err(ValueError::Offset(value)),
        NumberRole::Length if value > MAX_TRANSFER => Err(ValueError::Transfer(value)),
        NumberRole::Shift if value > 63 => Err(ValueError::Shift),
        NumberRole::Turns if value == 0 || value > MAX_REPEAT => Err(ValueError::Turns),
        NumberRole::Small if value >= u64::from(u32::MAX) => Err(ValueError::Small(value)),
        NumberRole::Backlog if value > i32::MAX as u64 => Err(ValueError::Backlog),
        _ => Ok(()),
    }
}

/// Counts a buffer; the sum has a limit of its own, so that no single size needs one.
pub(super) fn add_buffer(sum: &mut u64, size: u64) -> Result<(), ValueError> {
    *sum = sum.saturating_add(size);
    if *sum > MAX_BUFFERS { Err(ValueError::Buffers) } else { Ok(()) }
}

pub(super) fn check_duration(nanoseconds: u64) -> Result<(), ValueError> {
    if nanoseconds == u64::MAX { Err(ValueError::Never) } else { Ok(()) }
}

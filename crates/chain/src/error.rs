//! Errors: what can be wrong with a chain as it was built, and what can have gone wrong in it.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use ouzel_engine::Rejection;
use ouzel_ring::{Errno, Verb};

/// What building chains and programs, and reading what came of them, can fail with.
///
/// Who runs chains may have an error of its own that this is a part of: [`Done`](crate::Done) takes its type. So it is
/// exhaustive: that error has to have room for all of it.
#[derive(Debug)]
pub enum Error {
    /// The chain cannot be run as it was built, or a result is asked for that it does not have.
    Build(BuildError),
    /// An operation failed.
    Operation(OperationError),
    /// The result of a step is asked for that was skipped: its chain went past it, or had stopped, successfully.
    Skipped {
        /// The step, counted from 0 in the order steps were added.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// The verifier refuses a program.
    Rejected(Box<Rejection>),
}

impl Error {
    /// The error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Operation(error) => Some(error.errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Build(error) => error.fmt(formatter),
            Error::Operation(error) => error.fmt(formatter),
            Error::Skipped { step, verb } => write!(
                formatter,
                "step {step} ({}) was skipped and has no result: a condition of its chain kept it from running",
                verb.name()
            ),
            Error::Rejected(rejection) => write!(formatter, "the program is refused: {rejection}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Build(error) => Some(error),
            Error::Operation(error) => Some(error),
            _ => None,
        }
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Error {
        Error::Build(error)
    }
}

impl From<OperationError> for Error {
    fn from(error: OperationError) -> Error {
        Error::Operation(error)
    }
}

/// Why a chain cannot be run as it was built. Steps are counted from 0, in the order they were added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// A step uses a result of another chain.
    ForeignRegister {
        /// The step that uses it.
        step: usize,
        /// Its verb.
        verb: Verb,
        /// The step of the other chain that makes it.
        of: usize,
    },
    /// A step uses a result that is not there when the step runs.
    Undefined {
        /// The step that uses it.
        step: usize,
        /// Its verb.
        verb: Verb,
        /// The step that would make it.
        of: usize,
    },
    /// More results are needed at one time than there are registers.
    TooManyLive {
        /// The step for whose result no register is left.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A path holds a NUL byte.
    NulInPath {
        /// The step.
        step: usize,
        /// The path, as far as it can be shown.
        path: String,
    },
    /// A step names the data of a step that has none.
    NoData {
        /// The step.
        step: usize,
        /// The step whose data it wants.
        of: usize,
    },
    /// The result of a step is asked for that reports none.
    Silent {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A step uses what only a part of the chain makes that may be skipped.
    Conditional {
        /// The step that uses it.
        step: usize,
        /// Its verb.
        verb: Verb,
        /// The step that makes it.
        of: usize,
        /// The TEST that may skip that step.
        test: usize,
    },
    /// A step uses a room of another chain.
    ForeignRoom {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A step uses more bytes than there are.
    BeyondRoom {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
        /// How many bytes, counted from the start of the room, it wants.
        asked: u64,
        /// How many there are.
        room: u64,
    },
    /// A FINALLY step uses a part of a room whose length nothing bounds.
    UnboundedFinally {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
        /// How many bytes the room has.
        room: u64,
    },
    /// A step that decides what runs, or assigns a variable, is a FINALLY step.
    ControlInFinally {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A step leaves a loop and is in none.
    NotInLoop {
        /// The step.
        step: usize,
    },
    /// A loop runs no steps.
    EmptyLoop {
        /// Its REPEAT.
        step: usize,
    },
    /// A loop is bounded to no turns.
    NoTurns {
        /// Its REPEAT.
        step: usize,
        /// The largest bound.
        limit: u64,
    },
    /// A step asks something of the step before it, and there is none.
    NothingBefore {
        /// The step.
        step: usize,
    },
    /// A multishot step is a FINALLY step, or others come after it.
    MultishotNotLast {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A number is shifted by more than its width.
    ShiftTooFar {
        /// The step.
        step: usize,
        /// By how many bits.
        distance: u64,
    },
    /// A step of a program fills memory of its own, which all calls would share.
    OwnRoom {
        /// The step.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// The result of a program is more than a number.
    ResultNoNumber {
        /// The step that makes it.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// A call has more or fewer arguments than its program parameters.
    ArgumentCount {
        /// The step that calls.
        step: usize,
        /// How many it passes.
        given: usize,
        /// How many there are.
        expected: usize,
    },
    /// An argument of a call is not what its program wants.
    ArgumentKind {
        /// The step that calls.
        step: usize,
        /// The argument, counted from 0.
        argument: usize,
        /// What it is.
        given: &'static str,
        /// What is wanted.
        expected: &'static str,
    },
    /// A buffer passed to a call has less room than its program wants.
    ArgumentTooShort {
        /// The step that calls.
        step: usize,
        /// The argument, counted from 0.
        argument: usize,
        /// For how many bytes it has room.
        given: u64,
        /// For how many it must have.
        room: u64,
    },
    /// An argument of a call is an earlier step's result, and only the first two registers can be.
    ArgumentTooLate {
        /// The step that calls.
        step: usize,
        /// The argument, counted from 0.
        argument: usize,
    },
    /// A call is of a program that another ring has stored.
    ForeignProgram {
        /// The step that calls.
        step: usize,
    },
    /// A step picks from a group of buffers that is another ring's.
    ForeignGroup {
        /// The step that picks.
        step: usize,
    },
    /// The chain has no steps.
    Empty,
    /// The chain has more steps than this ring can hold.
    TooLong {
        /// How many it has.
        steps: usize,
        /// How many the ring takes.
        limit: usize,
    },
}

impl BuildError {
    /// The step that is wrong, if one is.
    pub fn step(&self) -> Option<usize> {
        match self {
            BuildError::ForeignRegister { step, .. }
            | BuildError::Undefined { step, .. }
            | BuildError::TooManyLive { step, .. }
            | BuildError::NulInPath { step, .. }
            | BuildError::NoData { step, .. }
            | BuildError::Silent { step, .. }
            | BuildError::Conditional { step, .. }
            | BuildError::ForeignRoom { step, .. }
            | BuildError::BeyondRoom { step, .. }
            | BuildError::UnboundedFinally { step, .. }
            | BuildError::ControlInFinally { step, .. }
            | BuildError::NotInLoop { step }
            | BuildError::EmptyLoop { step }
            | BuildError::NoTurns { step, .. }
            | BuildError::NothingBefore { step }
            | BuildError::MultishotNotLast { step, .. }
            | BuildError::ShiftTooFar { step, .. }
            | BuildError::OwnRoom { step, .. }
            | BuildError::ResultNoNumber { step, .. }
            | BuildError::ArgumentCount { step, .. }
            | BuildError::ArgumentKind { step, .. }
            | BuildError::ArgumentTooShort { step, .. }
            | BuildError::ArgumentTooLate { step, .. }
            | BuildError::ForeignProgram { step }
            | BuildError::ForeignGroup { step } => Some(*step),
            BuildError::Empty | BuildError::TooLong { .. } => None,
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BuildError::ForeignRegister { step, verb, of } => write!(
                formatter,
                "step {step} ({}) uses the result of step {of} of another chain: registers cannot leave their chain; \
                 run that chain first and pass its value",
                verb.name()
            ),
            BuildError::Undefined { step, verb, of } => write!(
                formatter,
                "step {step} ({}) uses the result of step {of}, which runs later: move that step before it",
                verb.name()
            ),
            BuildError::TooManyLive { step, verb } => write!(
                formatter,
                "step {step} ({}) needs an eighth register: at most 7 results can be awaiting use at one time; use \
                 some earlier, or split the chain",
                verb.name()
            ),
            BuildError::NulInPath { step, path } => {
                write!(formatter, "step {step}: the path {path:?} holds a NUL byte, which no file name can")
            }
            BuildError::NoData { step, of } => {
                write!(formatter, "step {step} takes the data of step {of}, which reads or receives none")
            }
            BuildError::Silent { step, verb } => write!(
                formatter,
                "step {step} ({}) was silent and reports no result: leave `silent()` out, or use the result within the \
                 chain only",
                verb.name()
            ),
            BuildError::Conditional { step, verb, of, test } => write!(
                formatter,
                "step {step} ({}) uses the result of step {of}, which step {test} (TEST) may skip: use it within the same \
                 part, or hand it on in a variable that is set before",
                verb.name()
            ),
            BuildError::ForeignRoom { step, verb } => write!(
                formatter,
                "step {step} ({}) uses a room of another chain: give this chain one with `room`",
                verb.name()
            ),
            BuildError::BeyondRoom { step, verb, asked, room } => {
                write!(formatter, "step {step} ({}) goes up to byte {asked} of a room of {room}", verb.name())
            }
            BuildError::UnboundedFinally { step, verb, room } => write!(
                formatter,
                "step {step} ({}) is a FINALLY step with a length that nothing bounds to its room: take the `min` of it and \
                 {room} first",
                verb.name()
            ),
            BuildError::ControlInFinally { step, verb } => write!(
                formatter,
                "step {step} ({}) cannot be a FINALLY step: those run one after the other, each once; leave `finally()` out",
                verb.name()
            ),
            BuildError::NotInLoop { step } => {
                write!(
                    formatter,
                    "step {step} (TEST) leaves a loop, and is in none: use `stop` or put it into `repeat`"
                )
            }
            BuildError::EmptyLoop { step } => {
                write!(formatter, "step {step} (REPEAT) has no steps to repeat: add one in its closure")
            }
            BuildError::NoTurns { step, limit } => {
                write!(formatter, "step {step} (REPEAT) is bounded to no turns: the bound is 1 to {limit}")
            }
            BuildError::NothingBefore { step } => {
                write!(
                    formatter,
                    "step {step} (TEST) asks something of the step before it, and there is none"
                )
            }
            BuildError::MultishotNotLast { step, verb } => write!(
                formatter,
                "step {step} ({}) results again and again and must be the last of its chain: put what comes after it, \
                 FINALLY steps too, into a chain of its own",
                verb.name()
            ),
            BuildError::ShiftTooFar { step, distance } => {
                write!(formatter, "step {step} (SHIFT) shifts by {distance} bits: the most is 63")
            }
            BuildError::OwnRoom { step, verb } => write!(
                formatter,
                "step {step} ({}) fills a buffer of the program itself, which calls would share: let callers pass one, with \
                 `room`",
                verb.name()
            ),
            BuildError::ResultNoNumber { step, verb } => write!(
                formatter,
                "step {step} ({}) results in more than a number, which is all that a program can result in",
                verb.name()
            ),
            BuildError::ArgumentCount { step, given, expected } => write!(
                formatter,
                "step {step} (CALL) passes {given} arguments to a program with {expected} parameters"
            ),
            BuildError::ArgumentKind { step, argument, given, expected } => write!(
                formatter,
                "step {step} (CALL) passes {given} as argument {argument}, where its program wants {expected}"
            ),
            BuildError::ArgumentTooShort { step, argument, given, room } => write!(
                formatter,
                "step {step} (CALL) passes a buffer with room for {given} bytes as argument {argument}, where its program \
                 wants {room}"
            ),
            BuildError::ArgumentTooLate { step, argument } => write!(
                formatter,
                "step {step} (CALL) passes an earlier step's result as argument {argument}: only the first two arguments in \
                 registers can be results; paths and bytes count as one each"
            ),
            BuildError::ForeignProgram { step } => write!(
                formatter,
                "step {step} (CALL) calls a program that another ring has stored: store it in this one"
            ),
            BuildError::ForeignGroup { step } => write!(
                formatter,
                "step {step} (RECV) picks from a group of buffers that another ring has made: make one with this ring"
            ),
            BuildError::Empty => formatter.write_str("the chain has no steps: add one before running it"),
            BuildError::TooLong { steps, limit } => write!(
                formatter,
                "the chain has {steps} steps, but this ring takes chains of at most {limit}: make the ring larger"
            ),
        }
    }
}

impl core::error::Error for BuildError {}

/// An operation of a chain, or a single one, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationError {
    /// The step, counted from 0 in the order steps were added.
    pub step: usize,
    /// What it was to do.
    pub verb: Verb,
    /// Why it failed. ECANCELED for a step that was not run because one before it failed.
    pub errno: Errno,
    /// What it was to be done to: a path, where the step has one.
    pub operand: Option<String>,
}

impl OperationError {
    /// The error of an operation that was not run as a step, or of what a step was only a part of.
    pub fn new(step: usize, verb: Verb, errno: Errno, operand: Option<String>) -> OperationError {
        OperationError { step, verb, errno, operand }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "step {} ({}", self.step, self.verb.name())?;
        if let Some(operand) = &self.operand {
            write!(formatter, " {operand:?}")?;
        }
        write!(formatter, "): {}", self.errno)
    }
}

impl core::error::Error for OperationError {}

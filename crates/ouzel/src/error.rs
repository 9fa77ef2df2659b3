//! Errors: what can go wrong when a ring is made, a chain built, or an operation run.

use std::fmt;

use ouzel_engine::{EnterError, StoreError};
use ouzel_ring::{Errno, GeometryError, Verb};

/// Everything that Ouzel's calls can fail with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The queue sizes are impossible.
    Geometry(GeometryError),
    /// The backend that was asked for cannot be used here.
    Backend {
        /// Its name.
        backend: &'static str,
        /// What it says.
        reason: String,
    },
    /// The chain cannot be run as it was built.
    Build(BuildError),
    /// An operation failed.
    Operation(OperationError),
    /// The ring cannot be entered any more.
    Enter(EnterError),
    /// The ring was made before a `fork` and this is the child: make a new ring here.
    ForkedChild,
    /// A program was not stored.
    Store(StoreError),
    /// A call on a descriptor, ticket or program that the ring refused.
    Refused {
        /// What was asked.
        call: &'static str,
        /// Why not.
        errno: Errno,
    },
}

impl Error {
    /// The error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Operation(error) => Some(error.errno),
            Error::Store(error) => Some(error.errno()),
            Error::Refused { errno, .. } | Error::Enter(EnterError::Backend(errno)) => Some(*errno),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Geometry(error) => write!(formatter, "cannot make a ring: {error}"),
            Error::Backend { backend, reason } => {
                write!(formatter, "cannot use the {backend} backend: {reason}")
            }
            Error::Build(error) => error.fmt(formatter),
            Error::Operation(error) => error.fmt(formatter),
            Error::Enter(error) => error.fmt(formatter),
            Error::ForkedChild => formatter
                .write_str("this ring belongs to the parent of this forked process: make a new ring here"),
            Error::Store(error) => write!(formatter, "store: {error}"),
            Error::Refused { call, errno } => write!(formatter, "{call}: {errno}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Geometry(error) => Some(error),
            Error::Build(error) => Some(error),
            Error::Operation(error) => Some(error),
            Error::Enter(error) => Some(error),
            Error::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Store(error)
    }
}

impl From<GeometryError> for Error {
    fn from(error: GeometryError) -> Error {
        Error::Geometry(error)
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

impl From<EnterError> for Error {
    fn from(error: EnterError) -> Error {
        Error::Enter(error)
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
            | BuildError::Silent { step, .. } => Some(*step),
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
            BuildError::Empty => formatter.write_str("the chain has no steps: add one before running it"),
            BuildError::TooLong { steps, limit } => write!(
                formatter,
                "the chain has {steps} steps, but this ring takes chains of at most {limit}: make the ring larger"
            ),
        }
    }
}

impl std::error::Error for BuildError {}

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

impl fmt::Display for OperationError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "step {} ({}", self.step, self.verb.name())?;
        if let Some(operand) = &self.operand {
            write!(formatter, " {operand:?}")?;
        }
        write!(formatter, "): {}", self.errno)
    }
}

impl std::error::Error for OperationError {}

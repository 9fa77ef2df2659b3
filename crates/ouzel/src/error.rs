//! Errors: what can go wrong when a ring is made, a chain run, or an operation asked for.

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use ouzel_chain::{BuildError, OperationError};
use ouzel_engine::{EnterError, Rejection, StoreError};
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
    /// The result of a step is asked for that was skipped: its chain went past it, or had stopped, successfully.
    Skipped {
        /// The step, counted from 0 in the order steps were added.
        step: usize,
        /// Its verb.
        verb: Verb,
    },
    /// The verifier refuses a program.
    Rejected(Box<Rejection>),
    /// The ring cannot be entered any more.
    Enter(EnterError),
    /// The ring was made before a `fork` and this is the child: make a new ring here.
    ForkedChild,
    /// A program was not stored.
    Store(StoreError),
    /// A service's program results in something else than it was asked for.
    ProgramResult {
        /// Its name.
        name: String,
        /// What it results in.
        given: ouzel_scheme::ResultKind,
        /// What was asked for.
        expected: ouzel_scheme::ResultKind,
    },
    /// A pool has no memory to give.
    Pool(ouzel_pool::Error),
    /// A ring cannot be observed as was asked for.
    Observe {
        /// Where its numbers were to be published, if they were.
        directory: Option<PathBuf>,
        /// Why not.
        cause: io::Error,
    },
    /// A text is no name of a service.
    Name(ouzel_scheme::NameError),
    /// A service cannot be reached, or does not do what it is asked for.
    Scheme(ouzel_scheme::Error),
    /// The service of a connected ring has gone. What was in flight has ended with ECONNRESET.
    ServiceGone {
        /// Its name, with a colon.
        name: String,
    },
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
            Error::Scheme(ouzel_scheme::Error::Program(refusal)) => Some(refusal.errno),
            Error::ServiceGone { .. } => Some(Errno::ECONNRESET),
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
            Error::Skipped { step, verb } => {
                ouzel_chain::Error::Skipped { step: *step, verb: *verb }.fmt(formatter)
            }
            Error::Rejected(rejection) => write!(formatter, "the program is refused: {rejection}"),
            Error::Enter(error) => error.fmt(formatter),
            Error::ForkedChild => formatter
                .write_str("this ring belongs to the parent of this forked process: make a new ring here"),
            Error::Store(error) => write!(formatter, "store: {error}"),
            Error::ProgramResult { name, given, expected } => write!(
                formatter,
                "find_program: {name:?} results in {given}, and not in {expected}: ask for what it does"
            ),
            Error::Pool(error) => error.fmt(formatter),
            Error::Observe { directory: Some(directory), cause } => {
                write!(formatter, "cannot publish the numbers of a ring in {}: {cause}", directory.display())
            }
            Error::Observe { directory: None, cause } => {
                write!(formatter, "cannot observe a ring: no memory for its numbers: {cause}")
            }
            Error::Name(error) => error.fmt(formatter),
            Error::Scheme(error) => error.fmt(formatter),
            Error::ServiceGone { name } => write!(
                formatter,
                "the service {name} has gone: connect again with Ring::reconnect, when it is back"
            ),
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
            Error::Pool(error) => Some(error),
            Error::Observe { cause, .. } => Some(cause),
            Error::Name(error) => Some(error),
            Error::Scheme(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::Store(error)
    }
}

impl From<ouzel_scheme::Error> for Error {
    fn from(error: ouzel_scheme::Error) -> Error {
        Error::Scheme(error)
    }
}

impl From<ouzel_pool::Error> for Error {
    fn from(error: ouzel_pool::Error) -> Error {
        Error::Pool(error)
    }
}

impl From<GeometryError> for Error {
    fn from(error: GeometryError) -> Error {
        Error::Geometry(error)
    }
}

impl From<ouzel_chain::Error> for Error {
    fn from(error: ouzel_chain::Error) -> Error {
        match error {
            ouzel_chain::Error::Build(error) => Error::Build(error),
            ouzel_chain::Error::Operation(error) => Error::Operation(error),
            ouzel_chain::Error::Skipped { step, verb } => Error::Skipped { step, verb },
            ouzel_chain::Error::Rejected(rejection) => Error::Rejected(rejection),
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

impl From<EnterError> for Error {
    fn from(error: EnterError) -> Error {
        Error::Enter(error)
    }
}

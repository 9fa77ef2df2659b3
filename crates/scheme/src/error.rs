//! Errors: what connecting, asking and serving can fail with.

use std::fmt;
use std::io;

use ouzel_engine::EnterError;
use ouzel_ring::{Errno, GeometryError};

use crate::{Name, NameError};

/// Why a service does not take a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It speaks another version of the protocol.
    Version,
    /// The queues that were asked for cannot be.
    Geometry,
    /// It has as many clients as it may.
    TooManyConnections,
    /// This user has as many connections as one may.
    TooManyOfUser,
    /// It does not serve this user.
    NotAllowed,
    /// It is about to end.
    Closing,
    /// It has no memory or descriptors left.
    Resources,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::Version => {
                "it speaks another version of the protocol: use the same release on both sides"
            }
            Reason::Geometry => "it cannot have queues of these sizes: use powers of two up to 65536",
            Reason::TooManyConnections => "it has as many clients as it may: try again later",
            Reason::TooManyOfUser => "this user has as many connections as one may: close some",
            Reason::NotAllowed => "it does not serve this user",
            Reason::Closing => "it is about to end: try again when it is back",
            Reason::Resources => "it has no memory or descriptors left: try again later",
        })
    }
}

/// Everything that can go wrong between a client and a service. A message names the operation, what it was for, the
/// cause, and where there is one the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A name that cannot be one.
    Name(NameError),
    /// Nobody serves this name.
    NoService {
        /// Which.
        name: Name,
        /// What the system said.
        source: io::Error,
    },
    /// The service does not take this client.
    Refused {
        /// Which.
        name: Name,
        /// Why.
        reason: Reason,
    },
    /// What the other side said makes no sense.
    Protocol {
        /// Which service.
        name: Name,
        /// What was wrong.
        what: &'static str,
    },
    /// The other side did not answer in time.
    Silent {
        /// Which service.
        name: Name,
        /// To what.
        call: &'static str,
    },
    /// The service has gone, or has thrown this client out.
    Over {
        /// Which.
        name: Name,
    },
    /// The service does not take this memory.
    Memory {
        /// Which service.
        name: Name,
        /// Its error number.
        errno: Errno,
    },
    /// The service does not store this program, has none of this name, or does not forget one.
    Program(Box<ProgramRefusal>),
    /// A program cannot be a service's under this name.
    Publish {
        /// The name.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Queues that cannot be.
    Geometry(GeometryError),
    /// The system refused.
    System {
        /// What was called for.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The engine of a connection cannot go on.
    Engine(EnterError),
}

/// What a service says of a program that it does not take, find or forget.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgramRefusal {
    /// Which service.
    pub name: Name,
    /// What was asked.
    pub call: &'static str,
    /// Its error number.
    pub errno: Errno,
    /// The step that is wrong, counted from 0, if it is one of them.
    pub step: Option<usize>,
    /// What the service says about it. It may be empty.
    pub why: String,
}

impl fmt::Display for ProgramRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgramRefusal { name, call, errno, step, why } = self;
        write!(formatter, "{name} does not {call}: {errno}")?;
        if let Some(step) = step {
            write!(formatter, "; step {}", step + 1)?;
        }
        if why.is_empty() { Ok(()) } else { write!(formatter, "; {why}") }
    }
}

impl Error {
    /// An error of the system.
    pub(crate) fn system(call: &'static str, source: impl Into<io::Error>) -> Error {
        Error::System { call, source: source.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Name(error) => error.fmt(formatter),
            Error::NoService { name, source } => {
                write!(
                    formatter,
                    "nobody serves {name}: {source}; start the service, or see where names are looked up (OUZEL_SCHEMES)"
                )
            }
            Error::Refused { name, reason } => write!(formatter, "{name} refuses this client: {reason}"),
            Error::Protocol { name, what } => {
                write!(formatter, "{name} does not keep to the protocol: {what}; connect again")
            }
            Error::Silent { name, call } => {
                write!(formatter, "{name} does not answer ({call}): it is overloaded or stopped; try again")
            }
            Error::Over { name } => {
                write!(
                    formatter,
                    "the service of {name} has gone, or has thrown this client out: connect again"
                )
            }
            Error::Memory { name, errno } => {
                write!(
                    formatter,
                    "{name} does not take more shared memory: {errno}; use less, or a service with a larger quota"
                )
            }
            Error::Program(refusal) => refusal.fmt(formatter),
            Error::Publish { name, what } => write!(formatter, "publish the program {name:?}: {what}"),
            Error::Geometry(error) => error.fmt(formatter),
            Error::System { call, source } => write!(formatter, "{call}: {source}"),
            Error::Engine(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Name(error) => Some(error),
            Error::NoService { source, .. } | Error::System { source, .. } => Some(source),
            Error::Geometry(error) => Some(error),
            Error::Engine(error) => Some(error),
            _ => None,
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Error {
        Error::Name(error)
    }
}

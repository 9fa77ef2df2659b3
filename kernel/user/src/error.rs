//! What can go wrong in a program's calls.

use core::fmt;

use ouzel_chain::{BuildError, OperationError};
use ouzel_ring::Errno;

/// Why a chain or a call failed. It names the operation, what that was done to, and the error number.
#[derive(Debug)]
pub enum Error {
    /// The chain is wrong, or an operation of it failed.
    Chain(ouzel_chain::Error),
    /// A call on a ring failed.
    Call {
        /// Which: a system call, or a function of this crate that has asked for what is not there.
        call: &'static str,
        /// Why.
        errno: Errno,
    },
}

impl Error {
    /// The error number; `None` if the chain could not be run as it was built, or a result is asked for that it does not have.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Error::Chain(error) => error.errno(),
            Error::Call { errno, .. } => Some(*errno),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Chain(error) => error.fmt(formatter),
            Error::Call { call, errno } => write!(formatter, "{call}: {errno}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Chain(error) => Some(error),
            Error::Call { .. } => None,
        }
    }
}

impl From<ouzel_chain::Error> for Error {
    fn from(error: ouzel_chain::Error) -> Error {
        Error::Chain(error)
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Error {
        Error::Chain(error.into())
    }
}

impl From<OperationError> for Error {
    fn from(error: OperationError) -> Error {
        Error::Chain(error.into())
    }
}

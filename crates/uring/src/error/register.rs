//! Why setting something on a ring failed.
//!
//! One call with many operations, so an error is an operation and a cause.

use core::fmt;

use super::errno::{
    EACCES, EALREADY, EBADF, EBADFD, EBUSY, EEXIST, EFAULT, EINTR, EINVAL, EMFILE, ENFILE, ENOENT, ENOMEM,
    ENOSYS, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, ETIME,
};
use crate::abi::RegisterOpcode;

/// Why setting something on a ring failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterError {
    /// What was to be done.
    pub operation: RegisterOpcode,
    /// Why it was not.
    pub cause: RegisterCause,
}

/// The cause of a [`RegisterError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterCause {
    /// EINVAL: unknown to this kernel, or a wrong argument.
    Invalid,
    /// EBADF: a descriptor that is not open; or the ring's own.
    BadDescriptor,
    /// EBADFD: the ring is disabled, or it should be and is not.
    WrongState,
    /// EBUSY: there already is one.
    AlreadyThere,
    /// ENXIO: there is none, or the slot is outside the table.
    NotThere,
    /// ENOENT: nothing matches.
    NoMatch,
    /// EALREADY: what matches runs and cannot be stopped.
    Running,
    /// ETIME: the time was up first.
    TimedOut,
    /// EINTR: a signal came first.
    Interrupted,
    /// EMFILE: more slots than RLIMIT_NOFILE or the kernel's limit allows.
    TooMany,
    /// ENFILE: no free slot.
    TableFull,
    /// EEXIST: a SINGLE_ISSUER ring is used on another thread than its own.
    WrongThread,
    /// EACCES: the ring's restrictions forbid it.
    Restricted,
    /// EPERM, ENOSYS: a seccomp filter or missing privilege.
    Refused {
        /// EPERM or ENOSYS.
        errno: i32,
    },
    /// EOPNOTSUPP: not for this file or ring.
    NotSupported,
    /// EOVERFLOW: a range that wraps around.
    Overflow,
    /// ENOMEM: too little memory, or the memlock limit.
    NoMemory,
    /// EFAULT: an argument could not be read or written.
    Fault,
    /// An errno that `io_uring_register(2)` does not document.
    Other {
        /// Which.
        errno: i32,
    },
}

impl RegisterError {
    /// Names the cause of an errno from `io_uring_register`.
    #[cold]
    pub(crate) fn from_errno(errno: i32, operation: RegisterOpcode) -> Self {
        let cause = match errno {
            EINVAL => RegisterCause::Invalid,
            EBADF => RegisterCause::BadDescriptor,
            EBADFD => RegisterCause::WrongState,
            EBUSY => RegisterCause::AlreadyThere,
            ENXIO => RegisterCause::NotThere,
            ENOENT => RegisterCause::NoMatch,
            EALREADY => RegisterCause::Running,
            ETIME => RegisterCause::TimedOut,
            EINTR => RegisterCause::Interrupted,
            EMFILE => RegisterCause::TooMany,
            ENFILE => RegisterCause::TableFull,
            EEXIST => RegisterCause::WrongThread,
            EACCES => RegisterCause::Restricted,
            EPERM | ENOSYS => RegisterCause::Refused { errno },
            EOPNOTSUPP => RegisterCause::NotSupported,
            EOVERFLOW => RegisterCause::Overflow,
            ENOMEM => RegisterCause::NoMemory,
            EFAULT => RegisterCause::Fault,
            _ => RegisterCause::Other { errno },
        };
        Self { operation, cause }
    }

    /// The errno.
    pub const fn errno(&self) -> i32 {
        match self.cause {
            RegisterCause::Invalid => EINVAL,
            RegisterCause::BadDescriptor => EBADF,
            RegisterCause::WrongState => EBADFD,
            RegisterCause::AlreadyThere => EBUSY,
            RegisterCause::NotThere => ENXIO,
            RegisterCause::NoMatch => ENOENT,
            RegisterCause::Running => EALREADY,
            RegisterCause::TimedOut => ETIME,
            RegisterCause::Interrupted => EINTR,
            RegisterCause::TooMany => EMFILE,
            RegisterCause::TableFull => ENFILE,
            RegisterCause::WrongThread => EEXIST,
            RegisterCause::Restricted => EACCES,
            RegisterCause::NotSupported => EOPNOTSUPP,
            RegisterCause::Overflow => EOVERFLOW,
            RegisterCause::NoMemory => ENOMEM,
            RegisterCause::Fault => EFAULT,
            RegisterCause::Refused { errno } | RegisterCause::Other { errno } => errno,
        }
    }
}

impl fmt::Display for RegisterCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match *self {
            Self::Invalid => "this kernel does not know it, or an argument is wrong (EINVAL)",
            Self::BadDescriptor => "a descriptor is not open (EBADF)",
            Self::WrongState => "the ring is disabled and must not be, or the reverse (EBADFD)",
            Self::AlreadyThere => "there already is one (EBUSY): unregister it first",
            Self::NotThere => "nothing is registered there (ENXIO): register it first, or name a lower slot",
            Self::NoMatch => "nothing matches (ENOENT)",
            Self::Running => "what matches is running and cannot be stopped (EALREADY): wait for it",
            Self::TimedOut => "the time was up first (ETIME)",
            Self::Interrupted => "a signal came first (EINTR): call again",
            Self::TooMany => "more than allowed (EMFILE): ask for fewer, or raise RLIMIT_NOFILE (ulimit -n)",
            Self::TableFull => "no slot is free (ENFILE): register a larger table",
            Self::WrongThread => "a SINGLE_ISSUER ring is used on another thread than its own (EEXIST)",
            Self::Restricted => "the ring's restrictions forbid it (EACCES)",
            Self::Refused { errno } => {
                return write!(
                    formatter,
                    "refused by seccomp, a container policy or missing privilege (errno {errno}): allow \
                     io_uring_register there"
                );
            }
            Self::NotSupported => "not possible with this file or ring (EOPNOTSUPP)",
            Self::Overflow => "the range wraps around (EOVERFLOW)",
            Self::NoMemory => {
                "too little memory, or the memlock limit is reached (ENOMEM): raise RLIMIT_MEMLOCK (ulimit -l)"
            }
            Self::Fault => "an argument is not accessible (EFAULT)",
            Self::Other { errno } => {
                return write!(formatter, "errno {errno}, which its manual does not explain");
            }
        })
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "io_uring_register {}: {}", self.operation, self.cause)
    }
}

impl core::error::Error for RegisterError {}

//! Why setting something on a ring failed.
//!
//! One call with many operations, so an error is an operation and a cause.

use core::fmt;

use super::errno::{
    EACCES, EAGAIN, EALREADY, EBADF, EBADFD, EBUSY, ECANCELED, EEXIST, EFAULT, EINTR, EINVAL, EMFILE, ENFILE,
    ENODEV, ENOENT, ENOMEM, ENOSYS, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, ESRCH, ETIME,
};
use super::setup::locked_memory_limit;
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
    /// ENOMEM, where locked memory is not limited: too little memory, in the machine or in the memory cgroup.
    NoMemory,
    /// ENOMEM, where locked memory is limited: most likely that limit, which counts for the user and not for the
    /// process.
    LockedMemory {
        /// RLIMIT_MEMLOCK, in bytes.
        limit_bytes: u64,
    },
    /// EAGAIN, ECANCELED: the kernel was at something else, such as another resize.
    TryAgain {
        /// EAGAIN or ECANCELED.
        errno: i32,
    },
    /// The kernel did what was asked, but its new memory could not be mapped. The ring is of no use any more.
    Map {
        /// What mmap or madvise said.
        errno: i32,
    },
    /// ESRCH, ENODEV: the device, task or driver that was named is not there.
    NoSuchDevice {
        /// ESRCH or ENODEV.
        errno: i32,
    },
    /// A list that is longer, or a number that is larger, than the call can say. Found before the call.
    TooLong,
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
            ENOMEM => match locked_memory_limit() {
                Some(limit_bytes) => RegisterCause::LockedMemory { limit_bytes },
                None => RegisterCause::NoMemory,
            },
            EAGAIN | ECANCELED => RegisterCause::TryAgain { errno },
            ESRCH | ENODEV => RegisterCause::NoSuchDevice { errno },
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
            RegisterCause::NoMemory | RegisterCause::LockedMemory { .. } => ENOMEM,
            RegisterCause::TooLong => EINVAL,
            RegisterCause::Fault => EFAULT,
            RegisterCause::Refused { errno }
            | RegisterCause::TryAgain { errno }
            | RegisterCause::NoSuchDevice { errno }
            | RegisterCause::Map { errno }
            | RegisterCause::Other { errno } => errno,
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
                "too little memory in the machine or the memory cgroup (ENOMEM; locked memory is not limited here)"
            }
            Self::LockedMemory { limit_bytes } => {
                return write!(
                    formatter,
                    "the memlock limit of {limit_bytes} bytes is reached by all rings of this user, or memory is \
                     short (ENOMEM): register less, or raise RLIMIT_MEMLOCK (ulimit -l)"
                );
            }
            Self::TryAgain { errno } => {
                return write!(formatter, "the kernel is at something else (errno {errno}): call again");
            }
            Self::Map { errno } => {
                return write!(
                    formatter,
                    "done, but its memory cannot be mapped (errno {errno}): make a new ring; check RLIMIT_AS and \
                     vm.max_map_count"
                );
            }
            Self::NoSuchDevice { errno } => {
                return write!(formatter, "the device or task that was named is not there (errno {errno})");
            }
            Self::TooLong => "a list or a number too large for the call: split it",
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

//! Why submitting or waiting failed.
//!
//! Entries that were pushed stay in the queue whatever happens here: unless a later call submits them, the kernel
//! has not seen them, but their memory must stay valid as long as the ring lives.

use core::fmt;

use super::errno::{
    EAGAIN, EBADF, EBADFD, EBADR, EBUSY, EEXIST, EFAULT, EINTR, EINVAL, ENOMEM, ENOSYS, ENXIO, EOPNOTSUPP,
    EOWNERDEAD, EPERM, ETIME,
};
use crate::abi::EnterFlags;

/// Why submitting or waiting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnterError {
    /// ETIME: the time was up before enough completions were posted. Those that were can be read.
    TimedOut,
    /// EINTR: a signal ended the wait.
    Interrupted,
    /// EAGAIN: the kernel could not take an entry for want of memory or other resources.
    TryAgain,
    /// EBUSY: too many completions wait to be read.
    Busy,
    /// EEXIST: a SINGLE_ISSUER ring is used on another thread than its own.
    WrongThread,
    /// EBADFD: the ring is still disabled.
    RingDisabled,
    /// EBADR: completions were lost, because memory for those that did not fit ran out.
    CompletionsLost,
    /// EBADF: the ring's descriptor, or its registered index on this thread, is not there.
    BadDescriptor,
    /// ENXIO: the ring is being torn down.
    Closing,
    /// EOPNOTSUPP: the descriptor is not a ring.
    NotARing,
    /// EOWNERDEAD: the kernel's submission thread is gone.
    PollerDead,
    /// EFAULT: an argument could not be read.
    Fault,
    /// ENOMEM: too little memory.
    NoMemory,
    /// EINVAL: flags or arguments this kernel does not know.
    Invalid {
        /// The flags of the call.
        flags: EnterFlags,
    },
    /// The flags are this crate's own to set. Found before the call.
    Reserved {
        /// The flags in question.
        flags: EnterFlags,
    },
    /// A time limit needs `Features::EXT_ARG` (5.11). Found before the call.
    NoTimeLimit,
    /// Waiting for a batch needs `Features::MIN_TIMEOUT` (6.12). Found before the call.
    NoBatchWait,
    /// There is no registered wait of this number. Found before the call.
    NoSuchWait {
        /// Which.
        index: u32,
    },
    /// EPERM, ENOSYS: a seccomp filter refuses this call.
    Refused {
        /// EPERM or ENOSYS.
        errno: i32,
    },
    /// An errno that `io_uring_enter(2)` does not document.
    Other {
        /// Which.
        errno: i32,
    },
}

impl EnterError {
    /// Names the cause of an errno from `io_uring_enter`.
    #[cold]
    pub(crate) fn from_errno(errno: i32, flags: EnterFlags) -> Self {
        match errno {
            ETIME => Self::TimedOut,
            EINTR => Self::Interrupted,
            EAGAIN => Self::TryAgain,
            EBUSY => Self::Busy,
            EEXIST => Self::WrongThread,
            EBADFD => Self::RingDisabled,
            EBADR => Self::CompletionsLost,
            EBADF => Self::BadDescriptor,
            ENXIO => Self::Closing,
            EOPNOTSUPP => Self::NotARing,
            EOWNERDEAD => Self::PollerDead,
            EFAULT => Self::Fault,
            ENOMEM => Self::NoMemory,
            EINVAL => Self::Invalid { flags },
            EPERM | ENOSYS => Self::Refused { errno },
            _ => Self::Other { errno },
        }
    }

    /// The errno, or the one the kernel would have given where the call was not made.
    pub const fn errno(&self) -> i32 {
        match *self {
            Self::TimedOut => ETIME,
            Self::Interrupted => EINTR,
            Self::TryAgain => EAGAIN,
            Self::Busy => EBUSY,
            Self::WrongThread => EEXIST,
            Self::RingDisabled => EBADFD,
            Self::CompletionsLost => EBADR,
            Self::BadDescriptor => EBADF,
            Self::Closing => ENXIO,
            Self::NotARing => EOPNOTSUPP,
            Self::PollerDead => EOWNERDEAD,
            Self::Fault => EFAULT,
            Self::NoMemory => ENOMEM,
            Self::Invalid { .. } | Self::Reserved { .. } | Self::NoTimeLimit | Self::NoBatchWait => EINVAL,
            Self::NoSuchWait { .. } => EFAULT,
            Self::Refused { errno } | Self::Other { errno } => errno,
        }
    }

    /// Whether nothing is wrong and the caller may simply go on: the time was up or a signal came.
    pub const fn is_benign(&self) -> bool {
        matches!(self, Self::TimedOut | Self::Interrupted)
    }
}

impl fmt::Display for EnterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("io_uring_enter: ")?;
        match *self {
            Self::TimedOut => formatter.write_str("the time was up before enough completions came (ETIME)"),
            Self::Interrupted => formatter.write_str("a signal ended the wait (EINTR): call again"),
            Self::TryAgain => formatter.write_str(
                "the kernel lacks memory or other resources for an entry (EAGAIN): reap completions, then retry",
            ),
            Self::Busy => {
                formatter.write_str("too many completions are unread (EBUSY): reap them, then retry")
            }
            Self::WrongThread => formatter.write_str(
                "a SINGLE_ISSUER ring is used on another thread than its own (EEXIST): use it where it was made \
                 or enabled, or make it without that flag",
            ),
            Self::RingDisabled => formatter.write_str("the ring is disabled (EBADFD): enable it first"),
            Self::CompletionsLost => formatter
                .write_str("completions were lost for want of memory (EBADR): use a larger completion queue"),
            Self::BadDescriptor => formatter.write_str(
                "the ring's descriptor is closed, or is registered on another thread only (EBADF)",
            ),
            Self::Closing => formatter.write_str("the ring is being torn down (ENXIO)"),
            Self::NotARing => formatter.write_str("the descriptor is not a ring (EOPNOTSUPP)"),
            Self::PollerDead => formatter
                .write_str("the kernel's submission thread is gone (EOWNERDEAD): make a new ring"),
            Self::Fault => formatter.write_str("an argument is not accessible (EFAULT)"),
            Self::NoMemory => formatter.write_str("too little memory (ENOMEM)"),
            Self::Invalid { flags } => write!(
                formatter,
                "flags {flags:?}: this kernel does not know them or an argument (EINVAL); leave the newest out"
            ),
            Self::Reserved { flags } => {
                write!(formatter, "flags {flags:?}: set by the ring itself; leave them out")
            }
            Self::NoTimeLimit => formatter
                .write_str("a time limit: this kernel has none (EXT_ARG, Linux 5.11); submit a timeout instead"),
            Self::NoBatchWait => formatter.write_str(
                "waiting for a batch: this kernel cannot (MIN_TIMEOUT, Linux 6.12); wait with a time limit alone",
            ),
            Self::NoSuchWait { index } => write!(
                formatter,
                "registered wait {index}: there are not that many; register more with register_waits"
            ),
            Self::Refused { errno } => write!(
                formatter,
                "refused by seccomp or a container policy (errno {errno}): allow io_uring_enter there"
            ),
            Self::Other { errno } => write!(formatter, "errno {errno}, which its manual does not explain"),
        }
    }
}

impl core::error::Error for EnterError {}

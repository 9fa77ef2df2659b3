//! What can go wrong, one type per system call and one variant per cause.
//!
//! The variants follow the man pages `io_uring_setup(2)`, `io_uring_enter(2)` and `io_uring_register(2)` and the
//! kernel's source. A message says what was asked, why it failed and, where there is one, what to do about it.
//! These are errors of the calls; the errors of entries arrive in completions, as negated errnos.

mod enter;
mod register;
mod setup;

pub use enter::EnterError;
pub use register::{RegisterCause, RegisterError};
pub use setup::SetupError;

/// The submission queue has no room: submit what it holds, then push again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl core::fmt::Display for Full {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("push: the submission queue is full; submit its entries first")
    }
}

impl core::error::Error for Full {}

/// Why an entry of 128 bytes was not pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WideError {
    /// The submission queue has no room: submit what it holds, then push again.
    Full,
    /// The ring's entries have 64 bytes.
    NarrowRing,
}

impl core::fmt::Display for WideError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Full => "push_wide: the submission queue is full; submit its entries first",
            Self::NarrowRing => {
                "push_wide: the ring's entries have 64 bytes; make it with SQE128 for entries of 128"
            }
        })
    }
}

impl core::error::Error for WideError {}

/// The errnos that are told apart, as `asm-generic/errno.h` numbers them.
pub(crate) mod errno {
    pub(crate) const EPERM: i32 = 1;
    pub(crate) const ENOENT: i32 = 2;
    pub(crate) const ESRCH: i32 = 3;
    pub(crate) const EINTR: i32 = 4;
    pub(crate) const ENXIO: i32 = 6;
    pub(crate) const EBADF: i32 = 9;
    pub(crate) const EAGAIN: i32 = 11;
    pub(crate) const ENOMEM: i32 = 12;
    pub(crate) const EACCES: i32 = 13;
    pub(crate) const EFAULT: i32 = 14;
    pub(crate) const EBUSY: i32 = 16;
    pub(crate) const EEXIST: i32 = 17;
    pub(crate) const ENODEV: i32 = 19;
    pub(crate) const EINVAL: i32 = 22;
    pub(crate) const ENFILE: i32 = 23;
    pub(crate) const EMFILE: i32 = 24;
    pub(crate) const ENOSYS: i32 = 38;
    pub(crate) const EBADR: i32 = 53;
    pub(crate) const ETIME: i32 = 62;
    pub(crate) const EOVERFLOW: i32 = 75;
    pub(crate) const EBADFD: i32 = 77;
    pub(crate) const EOPNOTSUPP: i32 = 95;
    pub(crate) const EALREADY: i32 = 114;
    pub(crate) const ECANCELED: i32 = 125;
    pub(crate) const EOWNERDEAD: i32 = 130;
}

//! Why a ring could not be made.
//!
//! EPERM and ENOMEM have several causes that need different remedies, so what tells them apart is looked at before
//! one is named: `/proc/sys/kernel/io_uring_disabled`, which the kernel lets anyone read, and the limit on locked
//! memory. Nothing else is touched.

use core::fmt;

use super::errno::{
    EACCES, EBADF, EFAULT, EINVAL, EMFILE, ENFILE, ENOMEM, ENOSYS, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM,
};
use crate::abi::{CQ_ENTRIES_MAX, SQ_ENTRIES_MAX, SetupFlags};
use crate::builder::MemorySize;
use crate::child::{Call, ChildReport};

/// Why a ring could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The number of submission entries is 0 or above the kernel's limit. Found before the call.
    Entries {
        /// What was asked for.
        asked: u32,
    },
    /// The number of completion entries is 0, below that of submission entries (rounded up to a power of two)
    /// or above the kernel's limit. Found before the call.
    CompletionEntries {
        /// What was asked for.
        asked: u32,
        /// The submission entries asked for.
        entries: u32,
    },
    /// A number of entries that is no power of two, with [`Builder::exact`](crate::Builder::exact). Found before the
    /// call.
    NotPowerOfTwo {
        /// What was asked for.
        asked: u32,
    },
    /// The caller's memory is too small for the ring, or does not begin at a page. Found before the call.
    Memory {
        /// How much it takes.
        needed: MemorySize,
        /// How much there is.
        given: MemorySize,
    },
    /// REGISTERED_FD_ONLY makes a ring that is bound to its thread, which
    /// [`Builder::build_registered`](crate::Builder::build_registered) wants to be promised. Found before the call.
    NeedsPromise,
    /// ATTACH_WQ without a ring to attach to. Found before the call.
    NothingAttached,
    /// A child process was killed by one of the calls, as this process would have been. Found before the call, see
    /// [`Builder::probe_first`](crate::Builder::probe_first).
    WouldKill {
        /// The call.
        call: Call,
        /// The signal: 31 (SIGSYS) if it was a seccomp filter.
        signal: i32,
    },
    /// A child process did not come back from one of the calls. Found before the call, as above.
    WouldHang {
        /// The call.
        call: Call,
    },
    /// The child process to ask could not be made. Found before the call, as above.
    NoChild {
        /// Why.
        errno: i32,
    },
    /// This crate cannot drive rings with these flags. Found before the call.
    Unsupported {
        /// The flags in question.
        flags: SetupFlags,
    },
    /// EPERM although io_uring is not disabled: a seccomp filter or another policy.
    Refused {
        /// The flags asked for.
        flags: SetupFlags,
    },
    /// EPERM because `kernel.io_uring_disabled` says so.
    Disabled {
        /// Its value: 1 (except for a group and administrators) or 2 (for all).
        level: u32,
    },
    /// EACCES: a security module or, for SQPOLL on old kernels, missing privilege.
    Denied,
    /// ENOSYS: the kernel has no io_uring, or a seccomp filter pretends so.
    Missing,
    /// EINVAL: this kernel does not know the flags, or not together.
    Invalid {
        /// The flags asked for.
        flags: SetupFlags,
        /// The submission entries asked for.
        entries: u32,
    },
    /// ENOMEM, where locked memory is not limited: too little memory, in the machine or in the memory cgroup.
    NoMemory,
    /// ENOMEM, where locked memory is limited: most likely that limit, which counts for the user and not for the
    /// process.
    LockedMemory {
        /// RLIMIT_MEMLOCK, in bytes.
        limit_bytes: u64,
    },
    /// EMFILE: the process has all the descriptors it may have.
    ProcessFiles,
    /// ENFILE: the system has all the open files it may have.
    SystemFiles,
    /// EBADF, ENXIO: the ring whose workers were to be shared is not a ring.
    SharedRing {
        /// EBADF or ENXIO; EINVAL too if a ring was to be attached to, which may have other causes.
        errno: i32,
    },
    /// EOPNOTSUPP: a mode this kernel was built without.
    NotBuilt {
        /// The flags asked for.
        flags: SetupFlags,
    },
    /// EOVERFLOW: the rings would be too large.
    TooLarge,
    /// EFAULT: the parameters could not be read or written.
    Fault,
    /// The ring was made, but its memory could not be mapped.
    Map {
        /// What mmap or madvise said.
        errno: i32,
    },
    /// The kernel described a ring that cannot be: an offset outside its mapping or a size that is no power of
    /// two.
    Inconsistent,
    /// An errno that `io_uring_setup(2)` does not document.
    Other {
        /// Which.
        errno: i32,
    },
}

impl SetupError {
    /// Names the cause of an errno from `io_uring_setup`.
    pub(crate) fn from_errno(errno: i32, flags: SetupFlags, entries: u32) -> Self {
        match errno {
            EPERM => match disabled_level() {
                Some(level) if level != 0 => Self::Disabled { level },
                _ => Self::Refused { flags },
            },
            EACCES => Self::Denied,
            ENOSYS => Self::Missing,
            EINVAL => Self::Invalid { flags, entries },
            ENOMEM => match locked_memory_limit() {
                Some(limit_bytes) => Self::LockedMemory { limit_bytes },
                None => Self::NoMemory,
            },
            EMFILE => Self::ProcessFiles,
            ENFILE => Self::SystemFiles,
            EBADF | ENXIO => Self::SharedRing { errno },
            EOPNOTSUPP => Self::NotBuilt { flags },
            EOVERFLOW => Self::TooLarge,
            EFAULT => Self::Fault,
            _ => Self::Other { errno },
        }
    }

    /// The errno, or the one the kernel would have given where the call was not made.
    pub const fn errno(&self) -> i32 {
        match *self {
            Self::Entries { .. } | Self::CompletionEntries { .. } | Self::Invalid { .. } => EINVAL,
            Self::Unsupported { .. } | Self::NotBuilt { .. } => EOPNOTSUPP,
            Self::Refused { .. } | Self::Disabled { .. } => EPERM,
            Self::WouldKill { .. } | Self::WouldHang { .. } => EPERM,
            Self::NoChild { errno } => errno,
            Self::Denied => EACCES,
            Self::Missing => ENOSYS,
            Self::NotPowerOfTwo { .. } | Self::Memory { .. } => EINVAL,
            Self::NeedsPromise | Self::NothingAttached => EINVAL,
            Self::NoMemory | Self::LockedMemory { .. } => ENOMEM,
            Self::ProcessFiles => EMFILE,
            Self::SystemFiles => ENFILE,
            Self::TooLarge => EOVERFLOW,
            Self::Fault => EFAULT,
            Self::Inconsistent => EINVAL,
            Self::SharedRing { errno } | Self::Map { errno } | Self::Other { errno } => errno,
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("io_uring_setup: ")?;
        match *self {
            Self::WouldKill { call, signal } => ChildReport::Killed { call, signal }.fmt(formatter),
            Self::WouldHang { call } => ChildReport::Stuck { call }.fmt(formatter),
            Self::NoChild { errno } => ChildReport::NoChild { errno }.fmt(formatter),
            Self::Entries { asked } => write!(
                formatter,
                "{asked} submission entries: ask for 1 to {SQ_ENTRIES_MAX}, or add CLAMP to have more cut to that"
            ),
            Self::CompletionEntries { asked, entries } => write!(
                formatter,
                "{asked} completion entries for {entries} submission entries: ask for at least as many, rounded \
                 up to a power of two, and at most {CQ_ENTRIES_MAX}"
            ),
            Self::NotPowerOfTwo { asked } => write!(
                formatter,
                "{asked} entries: no power of two; ask for {} or allow rounding up",
                asked.checked_next_power_of_two().unwrap_or(CQ_ENTRIES_MAX).min(CQ_ENTRIES_MAX)
            ),
            Self::Memory { needed, given } => write!(
                formatter,
                "{} bytes for the queues and {} for the entries: the ring needs {} and {}, both from the beginning \
                 of a page on",
                given.queues, given.entries, needed.queues, needed.entries
            ),
            Self::NeedsPromise => formatter.write_str(
                "REGISTERED_FD_ONLY: such a ring must stay on its thread; promise so with build_registered",
            ),
            Self::NothingAttached => {
                formatter.write_str("ATTACH_WQ: no ring was named; name it with attach instead of the flag")
            }
            Self::Unsupported { flags } => {
                write!(formatter, "flags {flags:?}: this crate does not drive such rings; leave them out")
            }
            Self::Refused { flags } => {
                formatter.write_str(
                    "refused by seccomp or a container policy (EPERM; io_uring is not disabled by sysctl): allow \
                     the calls io_uring_setup, io_uring_enter and io_uring_register there",
                )?;
                if flags.contains(SetupFlags::SQPOLL) {
                    formatter.write_str("; or leave SQPOLL out, for which kernels before 5.11 want privilege")?;
                }
                Ok(())
            }
            Self::Disabled { level: 1 } => formatter.write_str(
                "disabled by kernel.io_uring_disabled=1 (EPERM): set it to 0, join the group in \
                 kernel.io_uring_group, or run with CAP_SYS_ADMIN",
            ),
            Self::Disabled { level } => write!(
                formatter,
                "disabled by kernel.io_uring_disabled={level} (EPERM): set it to 0 to allow it"
            ),
            Self::Denied => formatter.write_str("denied by a security module (EACCES): change its policy"),
            Self::Missing => formatter.write_str(
                "not in this kernel, or hidden by a seccomp filter (ENOSYS): use Linux 5.1 or later with \
                 CONFIG_IO_URING",
            ),
            Self::Invalid { flags, entries } => write!(
                formatter,
                "{entries} entries with flags {flags:?}: this kernel does not know them, or not together \
                 (EINVAL); leave the newest out"
            ),
            Self::NoMemory => formatter.write_str(
                "too little memory in the machine or the memory cgroup (ENOMEM; locked memory is not limited here): \
                 ask for fewer entries, or raise the cgroup's memory.max",
            ),
            Self::LockedMemory { limit_bytes } => write!(
                formatter,
                "the memlock limit of {limit_bytes} bytes is reached by all rings of this user, or memory is short \
                 (ENOMEM): ask for fewer entries, drop rings, or raise RLIMIT_MEMLOCK (ulimit -l)"
            ),
            Self::ProcessFiles => formatter.write_str(
                "the process has no descriptor left (EMFILE): close some, or raise RLIMIT_NOFILE (ulimit -n)",
            ),
            Self::SystemFiles => {
                formatter.write_str("the system has no open file left (ENFILE): raise fs.file-max")
            }
            Self::SharedRing { errno } => {
                write!(formatter, "ATTACH_WQ: the descriptor given is not a ring (errno {errno})")
            }
            Self::NotBuilt { flags } => write!(
                formatter,
                "flags {flags:?}: this kernel was built without such a mode (EOPNOTSUPP); leave it out"
            ),
            Self::TooLarge => {
                formatter.write_str("the rings would be too large (EOVERFLOW): ask for fewer entries")
            }
            Self::Fault => formatter.write_str("the parameters are not accessible (EFAULT)"),
            Self::Map { errno } => write!(
                formatter,
                "the ring was made, but its memory cannot be mapped (errno {errno}): check RLIMIT_AS and \
                 vm.max_map_count"
            ),
            Self::Inconsistent => formatter
                .write_str("the kernel described a ring that cannot be: its sizes and offsets do not fit"),
            Self::Other { errno } => write!(formatter, "errno {errno}, which its manual does not explain"),
        }
    }
}

impl core::error::Error for SetupError {}

/// The value of `kernel.io_uring_disabled`; `None` where there is no such switch (before 6.6) or no `/proc`.
fn disabled_level() -> Option<u32> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(
        "/proc/sys/kernel/io_uring_disabled",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let mut text = [0; 16];
    let length = rustix::io::read(&file, &mut text).ok()?;
    core::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

/// RLIMIT_MEMLOCK in bytes, if it holds for this process: it is finite and CAP_IPC_LOCK is missing.
pub(super) fn locked_memory_limit() -> Option<u64> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current?;
    let held = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::IPC_LOCK));
    if held { None } else { Some(limit) }
}

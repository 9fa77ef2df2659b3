//! Asking in a child process whether io_uring may be used at all.
//!
//! Some seccomp filters kill whoever issues a call that they forbid. No error can tell of that, so it is tried by a
//! child that may die of it. The only module that makes a process; nothing calls it but
//! [`probe_in_child`] and [`Builder::probe_first`](crate::Builder::probe_first), which the user asks for. The child
//! shares one page with its parent, issues raw system calls and never returns: in a process with threads, locks may
//! be held that nobody will release in it.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::abi::{EnterFlags, Params, ProbeBuffer, RegisterOpcode, SetupFlags};
use crate::error::{EnterError, RegisterError, SetupError};
use crate::raw::{self, system_call};

/// The three calls of io_uring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `io_uring_setup(2)`.
    Setup,
    /// `io_uring_enter(2)`.
    Enter,
    /// `io_uring_register(2)`.
    Register,
}

impl core::fmt::Display for Call {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.pad(match self {
            Self::Setup => "io_uring_setup",
            Self::Enter => "io_uring_enter",
            Self::Register => "io_uring_register",
        })
    }
}

/// What became of the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildReport {
    /// All three calls worked.
    Works,
    /// No ring could be made.
    SetupFailed(SetupError),
    /// A ring was made, but not entered.
    EnterFailed(EnterError),
    /// A ring was made and entered, but nothing could be asked of it.
    RegisterFailed(RegisterError),
    /// The child died of a call: this process would have, too.
    Killed {
        /// The call.
        call: Call,
        /// The signal: 31 (SIGSYS) if it was a seccomp filter.
        signal: i32,
    },
    /// The child came back from no call in time, and was ended.
    Stuck {
        /// The call.
        call: Call,
    },
    /// No child could be made or waited for.
    NoChild {
        /// Why.
        errno: i32,
    },
}

impl core::fmt::Display for ChildReport {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Works => {
                formatter.write_str("io_uring may be used: a child process made and entered a ring")
            }
            Self::SetupFailed(error) => write!(formatter, "in a child process: {error}"),
            Self::EnterFailed(error) => write!(formatter, "in a child process: {error}"),
            Self::RegisterFailed(error) => write!(formatter, "in a child process: {error}"),
            Self::Killed { call, signal } => write!(
                formatter,
                "a child process was killed by signal {signal} at {call}: a seccomp filter kills whoever uses it; allow \
                 io_uring_setup, io_uring_enter and io_uring_register there, or do without io_uring"
            ),
            Self::Stuck { call } => write!(
                formatter,
                "a child process did not return from {call}: something holds the call back, perhaps a seccomp \
                 supervisor; do without io_uring"
            ),
            Self::NoChild { errno } => {
                write!(
                    formatter,
                    "no child process could be made or waited for (errno {errno}); try without one"
                )
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const CLONE: usize = 56;
    pub(super) const WAIT4: usize = 61;
    pub(super) const KILL: usize = 62;
    pub(super) const PRCTL: usize = 157;
    pub(super) const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const KILL: usize = 129;
    pub(super) const RT_SIGACTION: usize = 134;
    pub(super) const PRCTL: usize = 167;
    pub(super) const CLONE: usize = 220;
    pub(super) const WAIT4: usize = 260;
}

const SIGKILL: usize = 9;
const SIGSYS: usize = 31;
const PR_SET_DUMPABLE: usize = 4;
const WNOHANG: usize = 1;
/// Also children that end without a signal.
const WALL: usize = 0x4000_0000;
const EINTR: isize = -4;

/// How often the parent looks, and how long it waits between.
const LOOKS_MAX: u32 = 5000;
const LOOK_NANOSECONDS: i64 = 1_000_000;

/// What the child tells: the call it is at, and the errno of the one that failed.
struct Page {
    call: AtomicU32,
    errno: AtomicI32,
}

/// All calls are done.
const DONE: u32 = 3;

/// Tries all three calls in a child process, and says what became of it. A few hundred microseconds; five seconds if
/// the child hangs.
///
/// The child gets no signal handlers run, dumps no core and sends no signal when it ends. Needs `clone` and `wait4`.
pub fn probe_in_child() -> ChildReport {
    let length = rustix::param::page_size();
    // SAFETY: the kernel chooses the place; the memory is zeroed, which is a valid Page.
    let mapped = unsafe {
        mmap_anonymous(core::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)
    };
    let memory = match mapped.map(NonNull::new) {
        Ok(Some(memory)) => memory,
        Ok(None) => return ChildReport::NoChild { errno: crate::error::errno::ENOMEM },
        Err(error) => return ChildReport::NoChild { errno: error.raw_os_error() },
    };
    // SAFETY: the memory is as large as a page, aligned, and stays mapped until the end of this function. The child
    // has it too, and writes through atomics.
    let page = unsafe { memory.cast::<Page>().as_ref() };
    let report = probe_with(page);
    // SAFETY: mapped above with this length; the reference to it is not used again.
    let _ = unsafe { munmap(memory.as_ptr(), length) };
    report
}

/// The same, told in `page`.
fn probe_with(page: &Page) -> ChildReport {
    // SAFETY: without flags and stack this is fork(2) without a signal at the end. The child runs `child_side`, which
    // uses nothing but raw system calls and its own stack, and never returns.
    let pid = unsafe { system_call(number::CLONE, [0; 6]) };
    if pid == 0 {
        child_side(page);
    }
    if pid < 0 {
        return ChildReport::NoChild { errno: -pid as i32 };
    }
    let (status, stuck) = match wait_for(pid as usize) {
        Ok(ended) => ended,
        Err(errno) => return ChildReport::NoChild { errno },
    };
    let call = match page.call.load(Ordering::Acquire) {
        0 => Call::Setup,
        1 => Call::Enter,
        _ => Call::Register,
    };
    let signal = status & 0x7f;
    if stuck {
        return ChildReport::Stuck { call };
    }
    if signal != 0 {
        return ChildReport::Killed { call, signal };
    }
    if page.call.load(Ordering::Acquire) == DONE {
        return ChildReport::Works;
    }
    let errno = page.errno.load(Ordering::Acquire);
    match call {
        Call::Setup => {
            ChildReport::SetupFailed(SetupError::from_errno(errno, SetupFlags::empty(), CHILD_ENTRIES))
        }
        Call::Enter => ChildReport::EnterFailed(EnterError::from_errno(errno, EnterFlags::empty())),
        Call::Register => {
            ChildReport::RegisterFailed(RegisterError::from_errno(errno, RegisterOpcode::Probe))
        }
    }
}

/// Waits for the child; its status, and whether it had to be ended.
fn wait_for(pid: usize) -> Result<(i32, bool), i32> {
    let mut status = 0_i32;
    let place = core::ptr::from_mut(&mut status).expose_provenance();
    let pause = rustix::thread::Timespec { tv_sec: 0, tv_nsec: LOOK_NANOSECONDS };
    for look in 0..LOOKS_MAX {
        // SAFETY: the status is written to a live variable.
        let ended = unsafe { system_call(number::WAIT4, [pid, place, WALL | WNOHANG, 0, 0, 0]) };
        if ended > 0 {
            // SAFETY: the kernel has written to it through its address.
            return Ok((unsafe { core::ptr::read_volatile(&raw const status) }, false));
        }
        if ended < 0 && ended != EINTR {
            return Err(-ended as i32);
        }
        // The first looks come close together: it rarely takes longer.
        if look < 20 {
            let short = rustix::thread::Timespec { tv_sec: 0, tv_nsec: LOOK_NANOSECONDS / 20 };
            let _ = rustix::thread::nanosleep(&short);
        } else {
            let _ = rustix::thread::nanosleep(&pause);
        }
    }
    // SAFETY: the child has not been waited for, so the number is still its own.
    unsafe { system_call(number::KILL, [pid, SIGKILL, 0, 0, 0, 0]) };
    loop {
        // SAFETY: as above.
        let ended = unsafe { system_call(number::WAIT4, [pid, place, WALL, 0, 0, 0]) };
        if ended != EINTR {
            return if ended < 0 { Err(-ended as i32) } else { Ok((SIGKILL as i32, true)) };
        }
    }
}

/// The size of the child's ring.
const CHILD_ENTRIES: u32 = 2;

/// What the child does.
fn child_side(page: &Page) -> ! {
    let default_action = [0_u64; 4];
    let place = default_action.as_ptr().expose_provenance();
    // SAFETY: raw calls with valid arguments, in a process of this function's own. The first two keep a death by the
    // filter from running a handler and from dumping core; whether they work does not matter.
    unsafe {
        system_call(number::RT_SIGACTION, [SIGSYS, place, 0, 8, 0, 0]);
        system_call(number::PRCTL, [PR_SET_DUMPABLE, 0, 0, 0, 0, 0]);
    }
    let errno = child_calls(page);
    page.errno.store(errno, Ordering::Release);
    loop {
        // SAFETY: ends the process; it does not return.
        unsafe { system_call(number::EXIT_GROUP, [0; 6]) };
    }
}

/// The three calls; the errno of the one that failed, or 0.
fn child_calls(page: &Page) -> i32 {
    let mut params = Params::default();
    // SAFETY: the parameters lead to no memory.
    let fd = match unsafe { raw::setup(CHILD_ENTRIES, &mut params) } {
        Ok(fd) => fd as i32,
        Err(errno) => return errno,
    };
    page.call.store(1, Ordering::Release);
    // SAFETY: nothing is submitted and nothing is waited for.
    if let Err(errno) = unsafe { raw::enter(fd, 0, 0, 0, core::ptr::null(), 0) } {
        return errno;
    }
    page.call.store(2, Ordering::Release);
    let mut buffer = ProbeBuffer::default();
    let place: *mut ProbeBuffer = &mut buffer;
    // SAFETY: the buffer has room for that many answers.
    let probed = unsafe {
        raw::register(fd, RegisterOpcode::Probe as u32, place.cast_const().cast(), buffer.ops.len() as u32)
    };
    if let Err(errno) = probed {
        return errno;
    }
    page.call.store(DONE, Ordering::Release);
    0
}

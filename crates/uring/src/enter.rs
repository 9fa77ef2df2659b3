//! Entering the kernel: submitting, waiting, and both at once.
//!
//! Everything here is at most one `io_uring_enter(2)`. Nothing is retried: what a signal or a full queue cut short is
//! told to the caller, who knows best.

use core::ffi::c_void;
use core::time::Duration;

use rustix::fd::AsRawFd as _;

use crate::abi::{EnterFlags, Features, GetEventsArg, RegWait, RegWaitFlags, SetupFlags, Timespec};
use crate::error::EnterError;
use crate::raw;
use crate::ring::{Ring, RingFd};

/// The enter flags a caller may set; the others go with arguments that the ring sets.
const CALLER_FLAGS: EnterFlags = EnterFlags::GETEVENTS
    .union(EnterFlags::SQ_WAKEUP)
    .union(EnterFlags::SQ_WAIT)
    .union(EnterFlags::NO_IOWAIT);

/// How long to wait at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// So long from now on; more than a hundred years counts as that.
    After(Duration),
    /// Until then, on `CLOCK_MONOTONIC` (6.12; older kernels answer EINVAL).
    At(Timespec),
}

/// What to wait for, when more than a number and a time matters; see [`Ring::submit_and_wait_for`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// How many completions.
    pub want: u32,
    /// How long at most.
    pub timeout: Option<Timeout>,
    /// How long to hope for all of them: after that, one is enough, and without one the next ends the wait (6.12).
    /// Rounded up to microseconds.
    pub batch: Option<Duration>,
    /// The signals that are blocked in the meantime, as a bit mask with signal 1 in bit 0.
    pub blocked_signals: Option<u64>,
}

/// The size of a mask of signals, which the kernel wants to be told.
const SIGNAL_MASK_BYTES: u32 = 8;

/// A length of time in the kernel's microseconds, rounded up and cut to what fits.
fn microseconds(length: Duration) -> u32 {
    u32::try_from(length.as_nanos().div_ceil(1000)).unwrap_or(u32::MAX)
}

impl Ring {
    /// Submits everything that was pushed; returns how many entries the kernel took. Without any, or where the
    /// kernel's thread is awake to take them, it does not enter.
    ///
    /// With [`SetupFlags::IOPOLL`], it also looks for completions, which nothing else would do.
    ///
    /// The kernel stops early at an entry that cannot start, unless the ring has [`SetupFlags::SUBMIT_ALL`]; that
    /// entry counts as taken and gets a completion. The rest stays in the queue.
    #[inline]
    pub fn submit(&mut self) -> Result<u32, EnterError> {
        let pending = self.flush();
        if pending == 0 {
            return Ok(0);
        }
        if self.flags.intersects(SetupFlags::SQPOLL.union(SetupFlags::IOPOLL)) {
            return self.submit_polled(pending);
        }
        self.enter_plain(pending, 0, EnterFlags::empty())
    }

    /// Submits to a ring that is polled at one end or the other.
    fn submit_polled(&mut self, pending: u32) -> Result<u32, EnterError> {
        let wakeup = self.wakeup();
        if self.flags.contains(SetupFlags::SQPOLL) {
            // The thread polls for completions as well.
            return if wakeup.is_empty() { Ok(pending) } else { self.enter_plain(pending, 0, wakeup) };
        }
        self.enter_plain(pending, 0, EnterFlags::GETEVENTS)
    }

    /// Submits everything that was pushed and waits for `want` completions to be readable, or for the time to be
    /// up; returns how many entries the kernel took. One system call, always, which also runs what
    /// [`SetupFlags::DEFER_TASKRUN`] deferred and brings back completions that did not fit.
    ///
    /// If entries were taken, a wait that timed out or was interrupted is not reported: look at
    /// [`cq_ready`](Self::cq_ready).
    #[inline]
    pub fn submit_and_wait(&mut self, want: u32, timeout: Option<Timeout>) -> Result<u32, EnterError> {
        let pending = self.flush();
        let flags = EnterFlags::GETEVENTS | self.wakeup();
        match timeout {
            None => self.enter_plain(pending, want, flags),
            Some(timeout) => self.enter_timed(pending, want, flags, timeout),
        }
    }

    /// Submits everything that was pushed and waits as `wait` says; returns how many entries the kernel took. As
    /// [`submit_and_wait`](Self::submit_and_wait) otherwise.
    ///
    /// [`EnterError::NoTimeLimit`] and [`EnterError::NoBatchWait`] where the kernel cannot wait so.
    pub fn submit_and_wait_for(&mut self, wait: &Wait) -> Result<u32, EnterError> {
        if wait.timeout.is_none() && wait.batch.is_none() && wait.blocked_signals.is_none() {
            return self.submit_and_wait(wait.want, None);
        }
        if wait.batch.is_some() && !self.features.contains(Features::MIN_TIMEOUT) {
            return Err(EnterError::NoBatchWait);
        }
        let pending = self.flush();
        let mut argument = GetEventsArg::default();
        if let Some(batch) = wait.batch {
            argument.min_wait_usec = microseconds(batch);
        }
        let signals = wait.blocked_signals.unwrap_or(0);
        if wait.blocked_signals.is_some() {
            argument.sigmask = core::ptr::from_ref(&signals).expose_provenance() as u64;
            argument.sigmask_sz = SIGNAL_MASK_BYTES;
        }
        let flags = EnterFlags::GETEVENTS | self.wakeup();
        self.enter_with(pending, wait.want, flags, wait.timeout, argument)
    }

    /// Submits everything that was pushed and waits as the registered wait `index` says, which
    /// [`set_registered_wait`](Self::set_registered_wait) wrote (6.13). The kernel copies nothing in.
    pub fn submit_and_wait_registered(&mut self, want: u32, index: u32) -> Result<u32, EnterError> {
        let pending = self.flush();
        let flags = EnterFlags::GETEVENTS
            | EnterFlags::EXT_ARG
            | EnterFlags::EXT_ARG_REG
            | self.enter_flags
            | self.wakeup();
        let Some(offset) = self.wait_offset(index) else { return Err(EnterError::NoSuchWait { index }) };
        self.enters += 1;
        // SAFETY: with EXT_ARG_REG the argument is an offset into the region that this ring registered and keeps,
        // and the size is that of an element. Whoever pushed the entries vouched for them.
        unsafe {
            raw::enter(
                self.enter_fd,
                pending,
                want,
                flags.bits(),
                core::ptr::without_provenance(offset),
                size_of::<RegWait>(),
            )
        }
        .map_err(|errno| EnterError::from_errno(errno, flags))
    }

    /// Where registered wait `index` begins in the region, if it lies inside.
    fn wait_offset(&self, index: u32) -> Option<usize> {
        let offset = (index as usize).checked_mul(size_of::<RegWait>())?;
        let length = self.waits.as_ref()?.length();
        (offset.checked_add(size_of::<RegWait>())? <= length).then_some(offset)
    }

    /// Says what registered wait `index` is: a time limit from now on, and how long to hope for the whole batch. It
    /// takes effect with the next wait. [`EnterError::NoSuchWait`] if there are not that many, see
    /// [`register_waits`](Self::register_waits).
    pub fn set_registered_wait(
        &mut self,
        index: u32,
        timeout: Option<Duration>,
        batch: Option<Duration>,
    ) -> Result<(), EnterError> {
        let wait = RegWait {
            ts: timeout.map(Timespec::relative).unwrap_or_default(),
            min_wait_usec: batch.map_or(0, microseconds),
            flags: timeout.map_or(RegWaitFlags::empty(), |_| RegWaitFlags::TS).bits(),
            ..RegWait::default()
        };
        let waits = self.waits.as_ref().ok_or(EnterError::NoSuchWait { index })?;
        let elements = waits.length() / size_of::<RegWait>();
        let place = u32::try_from(elements)
            .ok()
            .filter(|count| index < *count)
            .and_then(|count| waits.array::<RegWait>(0, count).ok())
            .ok_or(EnterError::NoSuchWait { index })?;
        // SAFETY: the place lies inside the region, which the kernel only reads, and only while this ring waits,
        // which needs `self`.
        unsafe { place.add(index as usize).write(wait) };
        Ok(())
    }

    /// Whether the kernel's thread sleeps and must be woken to take what was flushed: by
    /// [`submit`](Self::submit), or by entering with [`EnterFlags::SQ_WAKEUP`]. Always false without
    /// [`SetupFlags::SQPOLL`].
    pub fn sq_needs_wakeup(&self) -> bool {
        !self.wakeup().is_empty()
    }

    /// Says whether waiting counts as I/O wait in the system's figures, which it does at first (6.15). False, and
    /// nothing is changed, if the kernel cannot tell the difference.
    pub fn count_as_io_wait(&mut self, counts: bool) -> bool {
        if !self.features.contains(Features::NO_IOWAIT) {
            return false;
        }
        self.enter_flags.set(EnterFlags::NO_IOWAIT, !counts);
        true
    }

    /// Waits until the kernel's thread has made room in the submission queue (5.10); with
    /// [`SetupFlags::SQPOLL`] only. The kernel also ends the wait when it has something else for this thread to do, so look
    /// at [`sq_room`](Ring::sq_room), and wait again if there is none.
    pub fn wait_for_room(&mut self) -> Result<(), EnterError> {
        self.submission.publish();
        let flags = EnterFlags::SQ_WAIT | self.wakeup();
        self.enter_plain(0, 0, flags).map(|_| ())
    }

    /// Enters without waiting and without submitting, to run deferred completion work and to bring back
    /// completions that did not fit.
    #[inline]
    pub fn collect(&mut self) -> Result<(), EnterError> {
        self.enter_plain(0, 0, EnterFlags::GETEVENTS).map(|_| ())
    }

    /// `io_uring_enter(2)` itself: shows the kernel what was pushed, submits up to `to_submit` entries and, with
    /// [`EnterFlags::GETEVENTS`], waits for `min_complete` completions or the time to be up. Returns how many
    /// entries it took.
    ///
    /// Flags that go with an argument are set as needed and must not be given ([`EnterError::Reserved`]).
    #[inline]
    pub fn enter(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        timeout: Option<Timeout>,
    ) -> Result<u32, EnterError> {
        let reserved = flags.difference(CALLER_FLAGS);
        if !reserved.is_empty() {
            return Err(EnterError::Reserved { flags: reserved });
        }
        self.submission.publish();
        match timeout {
            None => self.enter_plain(to_submit, min_complete, flags),
            Some(timeout) => self.enter_timed(to_submit, min_complete, flags, timeout),
        }
    }

    /// `SQ_WAKEUP` if the kernel's thread sleeps.
    #[inline(always)]
    fn wakeup(&self) -> EnterFlags {
        if self.flags.contains(SetupFlags::SQPOLL) && self.submission.needs_wakeup() {
            EnterFlags::SQ_WAKEUP
        } else {
            EnterFlags::empty()
        }
    }

    /// Enters without an argument.
    #[inline(always)]
    pub(crate) fn enter_plain(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
    ) -> Result<u32, EnterError> {
        self.enters += 1;
        let flags = flags | self.enter_flags;
        // SAFETY: these flags go with a null argument, and whoever pushed the entries vouched for them.
        unsafe { raw::enter(self.enter_fd, to_submit, min_complete, flags.bits(), core::ptr::null(), 0) }
            .map_err(|errno| EnterError::from_errno(errno, flags))
    }

    /// Enters with a time limit.
    #[inline]
    pub(crate) fn enter_timed(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        timeout: Timeout,
    ) -> Result<u32, EnterError> {
        self.enter_with(to_submit, min_complete, flags, Some(timeout), GetEventsArg::default())
    }

    /// Enters with an argument, to which the time limit is added. Not inlined, so that entering without one is.
    #[inline(never)]
    fn enter_with(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        timeout: Option<Timeout>,
        mut argument: GetEventsArg,
    ) -> Result<u32, EnterError> {
        if !self.features.contains(Features::EXT_ARG) {
            return Err(EnterError::NoTimeLimit);
        }
        let (time, clock) = match timeout {
            None => (Timespec::default(), EnterFlags::empty()),
            Some(Timeout::After(length)) => (Timespec::relative(length), EnterFlags::empty()),
            Some(Timeout::At(time)) => (time, EnterFlags::ABS_TIMER),
        };
        if timeout.is_some() {
            argument.ts = core::ptr::from_ref(&time).expose_provenance() as u64;
        }
        self.enters += 1;
        let flags = flags | clock | EnterFlags::EXT_ARG | self.enter_flags;
        // SAFETY: with EXT_ARG the argument is a GetEventsArg; it and what it points to live until the call
        // returns. Whoever pushed the entries vouched for them.
        unsafe {
            raw::enter(
                self.enter_fd,
                to_submit,
                min_complete,
                flags.bits(),
                core::ptr::from_ref(&argument).cast::<c_void>(),
                size_of::<GetEventsArg>(),
            )
        }
        .map_err(|errno| EnterError::from_errno(errno, flags))
    }

    /// From now on, enter by `index` in this thread's table, or by the descriptor.
    pub(crate) fn enter_through(&mut self, index: Option<u32>) {
        match (index, &self.fd) {
            (Some(index), _) => {
                self.enter_fd = index as i32;
                self.enter_flags |= EnterFlags::REGISTERED_RING;
            }
            (None, RingFd::Owned(fd)) => {
                self.enter_fd = fd.as_raw_fd();
                self.enter_flags -= EnterFlags::REGISTERED_RING;
            }
            (None, RingFd::Registered(_)) => {}
        }
    }

    /// The index that is entered by, if it is one.
    pub(crate) fn entered_through(&self) -> Option<u32> {
        self.enter_flags.contains(EnterFlags::REGISTERED_RING).then_some(self.enter_fd as u32)
    }
}

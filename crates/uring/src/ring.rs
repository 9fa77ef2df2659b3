//! The ring: pushing entries, entering the kernel, taking completions.
//!
//! The hot path touches private copies of everything that does not change and allocates nothing. It never
//! retries, never waits unasked and knows nothing of what an entry means: memory that entries name is the promise
//! of whoever pushes them.

use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::time::Duration;

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::abi::{Cqe, EnterFlags, Features, GetEventsArg, SetupFlags, SqRingFlags, Timespec};
use crate::completion::{CompletionQueue, Completions};
use crate::error::{EnterError, Full};
use crate::mapping::Mapping;
use crate::sqe::Sqe;
use crate::submission::SubmissionQueue;
use crate::syscall;

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

/// An io_uring.
///
/// # Threads
///
/// A ring may be sent to another thread but not shared. Two kinds do not travel well, and the kernel says so: one
/// with [`SetupFlags::SINGLE_ISSUER`] answers [`EnterError::WrongThread`] on any thread but the one that made it
/// (or enabled it, with [`SetupFlags::R_DISABLED`]), and one whose descriptor is registered is known to one
/// thread only, see [`register_ring_fd`](Self::register_ring_fd).
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<ouzel_uring::Ring>();
/// ```
///
/// # Dropping
///
/// Dropping unmaps the queues and closes the descriptor. It does **not** wait: the kernel cancels what is under
/// way some time later and may write to its memory until then. Whoever pushed an entry must have seen its last
/// completion before the ring is dropped, or keep the memory for good.
///
/// # Forking
///
/// A forked child has the descriptor but not the queues, and touching them there is a fault. The child must
/// [`abandon`](Self::abandon) or forget the ring.
#[derive(Debug)]
pub struct Ring {
    submission: SubmissionQueue,
    completion: CompletionQueue,
    /// What is passed to enter: the descriptor, or its registered index.
    enter_fd: i32,
    /// `REGISTERED_RING`, if that is an index.
    enter_flags: EnterFlags,
    enters: u64,
    flags: SetupFlags,
    features: Features,
    /// What the pointers of the queues lead into, kept until the ring is gone.
    _mappings: [Option<Mapping>; 3],
    fd: OwnedFd,
}

// SAFETY: the pointers lead into mappings that belong to the process, and all use of them goes through
// `&mut Ring` or reads atomics. Which threads may enter is the kernel's business; it refuses the others.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring from its parts; `submission` and `completion` point into `mappings`.
    pub(crate) fn new(
        submission: SubmissionQueue,
        completion: CompletionQueue,
        mappings: [Option<Mapping>; 3],
        fd: OwnedFd,
        flags: SetupFlags,
        features: Features,
    ) -> Self {
        Self {
            submission,
            completion,
            enter_fd: fd.as_raw_fd(),
            enter_flags: EnterFlags::empty(),
            enters: 0,
            flags,
            features,
            _mappings: mappings,
            fd,
        }
    }

    /// The flags it was made with.
    #[inline]
    pub const fn setup_flags(&self) -> SetupFlags {
        self.flags
    }

    /// What the kernel can do.
    #[inline]
    pub const fn features(&self) -> Features {
        self.features
    }

    /// How often `io_uring_enter` was called.
    #[inline]
    pub const fn enters(&self) -> u64 {
        self.enters
    }

    // Submission.

    /// Copies an entry into the submission queue. The kernel does not see it before [`flush`](Self::flush) or a
    /// call that enters.
    ///
    /// # Safety
    ///
    /// From now on the kernel may act on the entry whenever the ring enters, and cannot be told otherwise. The
    /// pusher promises that
    ///
    /// - what the entry points to is valid for what its constructor says, for as long as that says, even if the
    ///   ring is dropped or the entry is cancelled first; only the entry's last completion ends the span;
    /// - nobody reads memory that the entry writes to, or writes to memory that it uses, in that time;
    /// - the descriptors it names, the one it closes above all, are the pusher's to use so;
    /// - an entry with [`SqeFlags::CQE_SKIP_SUCCESS`](crate::abi::SqeFlags::CQE_SKIP_SUCCESS) names no such
    ///   memory, or the pusher has another way to know when it is done.
    #[inline(always)]
    pub unsafe fn push(&mut self, entry: &Sqe) -> Result<(), Full> {
        self.submission.push(entry)
    }

    /// The place of the next entry in the submission queue, if there is room: an entry can be made there, which
    /// saves the copy, and then be pushed with [`push_placed`](Self::push_placed). It holds what an earlier entry
    /// left. Until it is pushed nobody looks at it.
    #[inline(always)]
    pub fn next_place(&mut self) -> Option<&mut Sqe> {
        self.submission.next_place()
    }

    /// Pushes the entry that was made at [`next_place`](Self::next_place).
    ///
    /// # Safety
    ///
    /// As for [`push`](Self::push); and since the last push, `next_place` has returned a place and a whole entry was
    /// written to it.
    #[inline(always)]
    pub unsafe fn push_placed(&mut self) {
        self.submission.push_placed();
    }

    /// How many entries can be pushed now.
    #[inline]
    pub fn sq_room(&self) -> u32 {
        self.submission.room()
    }

    /// Entries pushed that the kernel has not taken.
    #[inline]
    pub fn sq_pending(&self) -> u32 {
        self.submission.pending()
    }

    /// The number of entries the submission queue has.
    #[inline]
    pub fn sq_entries(&self) -> u32 {
        self.submission.capacity()
    }

    /// Entries the kernel refused to look at because the queue was damaged; always 0 unless something wrote
    /// over it.
    #[inline]
    pub fn sq_dropped(&self) -> u32 {
        self.submission.dropped()
    }

    /// Shows the kernel what was pushed, without entering; returns [`sq_pending`](Self::sq_pending). With
    /// [`SetupFlags::SQPOLL`] that is enough as long as the kernel's thread is awake.
    #[inline(always)]
    pub fn flush(&mut self) -> u32 {
        self.submission.publish();
        self.submission.pending()
    }

    /// Submits everything that was pushed; returns how many entries the kernel took. Without any, or where the
    /// kernel's thread is awake to take them, it does not enter.
    ///
    /// The kernel stops early at an entry that cannot start, unless the ring has [`SetupFlags::SUBMIT_ALL`]; that
    /// entry counts as taken and gets a completion. The rest stays in the queue.
    #[inline]
    pub fn submit(&mut self) -> Result<u32, EnterError> {
        let pending = self.flush();
        if pending == 0 {
            return Ok(0);
        }
        let wakeup = self.wakeup();
        if self.flags.contains(SetupFlags::SQPOLL) && wakeup.is_empty() {
            return Ok(pending);
        }
        self.enter_plain(pending, 0, wakeup)
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
    fn enter_plain(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
    ) -> Result<u32, EnterError> {
        self.enters += 1;
        let flags = flags | self.enter_flags;
        // SAFETY: these flags go with a null argument, and whoever pushed the entries vouched for them.
        unsafe { syscall::enter(self.enter_fd, to_submit, min_complete, flags.bits(), core::ptr::null(), 0) }
            .map_err(|errno| EnterError::from_errno(errno, flags))
    }

    /// Enters with a time limit.
    #[inline]
    fn enter_timed(
        &mut self,
        to_submit: u32,
        min_complete: u32,
        flags: EnterFlags,
        timeout: Timeout,
    ) -> Result<u32, EnterError> {
        if !self.features.contains(Features::EXT_ARG) {
            return Err(EnterError::NoTimeLimit);
        }
        let (time, clock) = match timeout {
            Timeout::After(length) => (Timespec::relative(length), EnterFlags::empty()),
            Timeout::At(time) => (time, EnterFlags::ABS_TIMER),
        };
        let argument = GetEventsArg {
            ts: core::ptr::from_ref(&time).expose_provenance() as u64,
            ..GetEventsArg::default()
        };
        self.enters += 1;
        let flags = flags | clock | EnterFlags::EXT_ARG | self.enter_flags;
        // SAFETY: with EXT_ARG the argument is a GetEventsArg; it and the time it points to live until the call
        // returns. Whoever pushed the entries vouched for them.
        unsafe {
            syscall::enter(
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

    // Completion.

    /// Takes the next completion, if one is there. Does not enter.
    #[inline(always)]
    pub fn next_completion(&mut self) -> Option<Cqe> {
        let completion = self.completion.take()?;
        self.completion.publish();
        Some(completion)
    }

    /// Takes the completions that are there, and tells the kernel once, at the end. At most
    /// [`cq_entries`](Self::cq_entries) of them. Does not enter.
    #[inline(always)]
    pub fn completions(&mut self) -> Completions<'_> {
        Completions { queue: &mut self.completion }
    }

    /// How many completions can be taken now.
    #[inline]
    pub fn cq_ready(&self) -> u32 {
        self.completion.ready()
    }

    /// The number of completions the completion queue holds.
    #[inline]
    pub fn cq_entries(&self) -> u32 {
        self.completion.capacity()
    }

    /// Whether the kernel keeps completions that did not fit. Take what is there, then
    /// [`collect`](Self::collect).
    #[inline]
    pub fn cq_overflowed(&self) -> bool {
        self.submission.flags().contains(SqRingFlags::CQ_OVERFLOW)
    }

    /// Whether completions may be had by entering, be it that some did not fit or, with
    /// [`SetupFlags::TASKRUN_FLAG`], that work was deferred.
    #[inline]
    pub fn cq_needs_enter(&self) -> bool {
        self.submission.flags().intersects(SqRingFlags::CQ_OVERFLOW | SqRingFlags::TASKRUN)
    }

    /// Completions that are lost for good: on kernels without [`Features::NODROP`], or for want of memory.
    #[inline]
    pub fn cq_lost(&self) -> u32 {
        self.completion.lost()
    }

    // Life.

    /// Lets go of the ring in a forked child: closes the child's descriptor and leaves everything else alone.
    ///
    /// The queues are not mapped there, so dropping the ring could unmap something else of the child's.
    pub fn abandon(self) {
        let ring = ManuallyDrop::new(self);
        // SAFETY: `ring` is never dropped or used again, so the descriptor has one owner.
        drop(unsafe { core::ptr::read(&ring.fd) });
    }

    /// From now on, enter by `index` in this thread's table, or by the descriptor.
    pub(crate) fn enter_through(&mut self, index: Option<u32>) {
        (self.enter_fd, self.enter_flags) = match index {
            Some(index) => (index as i32, EnterFlags::REGISTERED_RING),
            None => (self.fd.as_raw_fd(), EnterFlags::empty()),
        };
    }

    /// The index that is entered by, if it is one.
    pub(crate) fn entered_through(&self) -> Option<u32> {
        self.enter_flags.contains(EnterFlags::REGISTERED_RING).then_some(self.enter_fd as u32)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // A registered index would hold the ring open after the descriptor is closed.
        if self.entered_through().is_some() {
            let _ = self.unregister_ring_fd();
        }
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

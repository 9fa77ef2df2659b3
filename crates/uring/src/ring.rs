//! The ring: what it is made of, pushing entries, taking completions.
//!
//! The hot path touches private copies of everything that does not change and allocates nothing. It never
//! retries, never waits unasked and knows nothing of what an entry means: memory that entries name is the promise
//! of whoever pushes them. Entering the kernel is in `enter`, the end of a ring in `teardown`.

use core::time::Duration;

use rustix::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use crate::abi::{Cqe, Cqe32, EnterFlags, Features, RsrcUpdate, SetupFlags, SqRingFlags, SqeFlags};
use crate::completion::{CompletionQueue, Completions};
use crate::error::{EnterError, Full, WideError};
use crate::layout::Queues;
use crate::mapping::Mapping;
use crate::raw;
use crate::sqe::{Sqe, Sqe128};
use crate::submission::SubmissionQueue;

/// How the process holds a ring.
#[derive(Debug)]
pub(crate) enum RingFd {
    /// By a descriptor.
    Owned(OwnedFd),
    /// By an index in the table of the thread that made it.
    Registered(u32),
}

impl RingFd {
    /// Gives an index back; a descriptor closes itself. Only on the index's own thread.
    pub(crate) fn give_back(self) {
        if let Self::Registered(index) = self {
            unregister_index(index);
        }
    }
}

/// Takes the ring `index` out of this thread's table.
fn unregister_index(index: u32) {
    let argument = RsrcUpdate { offset: index, reserved: 0, data: 0 };
    let operation =
        crate::abi::RegisterOpcode::UnregisterRingFds as u32 | crate::abi::REGISTER_USE_REGISTERED_RING;
    // SAFETY: this operation takes one RsrcUpdate that holds an index of this thread's. An error means that the
    // index is not there, which is what was wanted.
    let _ = unsafe { raw::register(index as i32, operation, core::ptr::from_ref(&argument).cast(), 1) };
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
/// Dropping asks the kernel to cancel everything, waits for the completions of what was under way for at most
/// [`Builder::close_bound`](crate::Builder::close_bound) (one second), discards them, unmaps the queues and closes
/// the descriptor. What could not be stopped in that time goes on: closing a descriptor does not wait, and the kernel
/// may write to an entry's memory until its last completion. That is why pushing is `unsafe`: memory that the pusher
/// cannot know to be free must be kept for good. [`close`](Ring::close) does the same and reports. Nothing that was
/// only pushed and never submitted counts.
///
/// # Forking
///
/// A forked child has the descriptor but not the queues, and touching them there is a fault. The child must
/// [`abandon`](Self::abandon) or forget the ring.
#[derive(Debug)]
pub struct Ring {
    pub(crate) submission: SubmissionQueue,
    pub(crate) completion: CompletionQueue,
    /// What is passed to enter: the descriptor, or its registered index.
    pub(crate) enter_fd: i32,
    /// `REGISTERED_RING` if that is an index, and `NO_IOWAIT` if that was asked for.
    pub(crate) enter_flags: EnterFlags,
    pub(crate) enters: u64,
    pub(crate) flags: SetupFlags,
    /// The flags of all entries ever pushed.
    pub(crate) pushed_flags: u8,
    pub(crate) features: Features,
    pub(crate) two_mappings: bool,
    pub(crate) close_bound: Duration,
    /// What the pointers of the queues lead into, kept until the ring is gone.
    pub(crate) mappings: [Option<Mapping>; 3],
    /// Arguments of registered waits, which the kernel reads.
    pub(crate) waits: Option<Mapping>,
    pub(crate) fd: RingFd,
}

// SAFETY: the pointers lead into mappings that belong to the process, and all use of them goes through
// `&mut Ring` or reads atomics. Which threads may enter is the kernel's business; it refuses the others.
unsafe impl Send for Ring {}

impl Ring {
    /// A ring from its parts.
    pub(crate) fn new(
        queues: Queues,
        fd: RingFd,
        flags: SetupFlags,
        features: Features,
        two_mappings: bool,
        close_bound: Duration,
    ) -> Self {
        let Queues { submission, completion, mappings } = queues;
        let (enter_fd, enter_flags) = match &fd {
            RingFd::Owned(fd) => (fd.as_raw_fd(), EnterFlags::empty()),
            RingFd::Registered(index) => (*index as i32, EnterFlags::REGISTERED_RING),
        };
        Self {
            submission,
            completion,
            enter_fd,
            enter_flags,
            enters: 0,
            flags,
            pushed_flags: 0,
            features,
            two_mappings,
            close_bound,
            mappings,
            waits: None,
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

    /// The ring's descriptor; `None` if it has only a registered index.
    #[inline]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.fd {
            RingFd::Owned(fd) => Some(fd.as_fd()),
            RingFd::Registered(_) => None,
        }
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
        self.pushed_flags |= entry.flags;
        self.submission.push(entry)
    }

    /// Copies an entry of 128 bytes into the queue of a ring with [`SetupFlags::SQE128`], or beside entries of 64
    /// with [`SetupFlags::SQE_MIXED`], where it takes two places, or three at the queue's end.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push).
    pub unsafe fn push_wide(&mut self, entry: &Sqe128) -> Result<(), WideError> {
        self.pushed_flags |= entry.sqe.flags;
        if self.flags.contains(SetupFlags::SQE_MIXED) {
            // Fillers post no completion.
            self.pushed_flags |= SqeFlags::CQE_SKIP_SUCCESS.bits();
        }
        self.submission.push_wide(entry)
    }

    /// The next entry, zeroed, to be filled in place. It counts as pushed.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push), for what the entry holds when the ring enters next.
    pub unsafe fn get_sqe(&mut self) -> Result<&mut Sqe, Full> {
        // What will be in it is not known here.
        self.pushed_flags = u8::MAX;
        self.submission.zeroed_place()
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

    /// The same as [`sq_pending`](Self::sq_pending), by the name that other libraries give it.
    #[inline]
    pub fn sq_ready(&self) -> u32 {
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

    /// Takes the next completion with its second half, which is zero where it has none: in rings with
    /// [`SetupFlags::CQE32`] all have one, with [`SetupFlags::CQE_MIXED`] some. Does not enter.
    pub fn next_wide_completion(&mut self) -> Option<Cqe32> {
        let completion = self.completion.take_wide()?;
        self.completion.publish();
        Some(completion)
    }

    /// The next completion, which stays in the queue. Does not enter.
    pub fn peek(&mut self) -> Option<Cqe> {
        self.completion.look().map(|(wide, _)| wide.cqe)
    }

    /// Gives up to `count` completions up unread, and returns how many there were.
    pub fn cq_advance(&mut self, count: u32) -> u32 {
        let mut advanced = 0;
        while advanced < count && self.completion.take_wide().is_some() {
            advanced += 1;
        }
        self.completion.publish();
        advanced
    }

    /// Gives the completion that [`peek`](Self::peek) showed up; false if there was none.
    pub fn cqe_seen(&mut self) -> bool {
        self.cq_advance(1) == 1
    }

    /// Takes as many completions as are there and fit. If there are none, enters first: to wait for `want` of them,
    /// or, with a `want` of 0, only if some did not fit into the queue. Returns how many were taken.
    pub fn copy_cqes(&mut self, into: &mut [Cqe], want: u32) -> Result<usize, EnterError> {
        let copied = self.copy_ready(into);
        if copied > 0 || into.is_empty() {
            return Ok(copied);
        }
        if want > 0 || self.cq_needs_flush() {
            self.enter(0, want, EnterFlags::GETEVENTS, None)?;
            return Ok(self.copy_ready(into));
        }
        Ok(0)
    }

    /// Takes what is there and fits.
    fn copy_ready(&mut self, into: &mut [Cqe]) -> usize {
        let mut copied = 0;
        for (place, completion) in into.iter_mut().zip(self.completions()) {
            *place = completion;
            copied += 1;
        }
        copied
    }

    /// How many completions can be taken now. With [`SetupFlags::CQE_MIXED`] those of 32 bytes count twice, and so
    /// do gaps.
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

    /// The same as [`cq_overflowed`](Self::cq_overflowed), by the name that other libraries give it.
    #[inline]
    pub fn cq_needs_flush(&self) -> bool {
        self.cq_overflowed()
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

    /// Keeps the registered eventfd silent, or lets it speak again (5.8). False if the kernel has no such switch.
    pub fn silence_eventfd(&mut self, silent: bool) -> bool {
        self.completion.silence_eventfd(silent)
    }
}

//! Making a ring.
//!
//! The caller says which flags it wants and gets those or an error: nothing is dropped silently. Who wants the
//! best that a kernel has walks a list of [`Step`]s with [`Builder::first_of`] and is told which one it got. What
//! can be checked without the kernel is checked before the call.

use rustix::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use crate::abi::{
    CQ_ENTRIES_MAX, CqOffsets, Cqe, Features, OFFSET_CQ_RING, OFFSET_SQ_RING, OFFSET_SQES, Params,
    SQ_ENTRIES_MAX, SetupFlags, SqOffsets,
};
use crate::completion::CompletionQueue;
use crate::error::SetupError;
use crate::mapping::Mapping;
use crate::ring::Ring;
use crate::sqe::Sqe;
use crate::steps::{Step, StepReport};
use crate::submission::SubmissionQueue;
use crate::syscall;

/// The flags whose rings this crate can drive. Others change the layout of the queues or want memory or
/// descriptors that the builder has no place for.
const SUPPORTED: SetupFlags = SetupFlags::IOPOLL
    .union(SetupFlags::SQPOLL)
    .union(SetupFlags::SQ_AFF)
    .union(SetupFlags::CQSIZE)
    .union(SetupFlags::CLAMP)
    .union(SetupFlags::R_DISABLED)
    .union(SetupFlags::SUBMIT_ALL)
    .union(SetupFlags::COOP_TASKRUN)
    .union(SetupFlags::TASKRUN_FLAG)
    .union(SetupFlags::SINGLE_ISSUER)
    .union(SetupFlags::DEFER_TASKRUN)
    .union(SetupFlags::NO_SQARRAY)
    .union(SetupFlags::HYBRID_IOPOLL);

/// What a ring is to be like.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Builder {
    entries: u32,
    completion_entries: Option<u32>,
    flags: SetupFlags,
    poller_cpu: u32,
    poller_idle_milliseconds: u32,
    two_mappings: bool,
}

impl Builder {
    /// A ring of at least `entries` submission entries, without flags. The kernel rounds up to a power of two.
    pub const fn new(entries: u32) -> Self {
        Self {
            entries,
            completion_entries: None,
            flags: SetupFlags::empty(),
            poller_cpu: 0,
            poller_idle_milliseconds: 0,
            two_mappings: false,
        }
    }

    /// At least so many completion entries, instead of twice the submission entries. Sets
    /// [`SetupFlags::CQSIZE`] (5.5).
    pub const fn completion_entries(mut self, entries: u32) -> Self {
        self.completion_entries = Some(entries);
        self.flags = self.flags.union(SetupFlags::CQSIZE);
        self
    }

    /// With these flags besides those it has.
    pub const fn flags(mut self, flags: SetupFlags) -> Self {
        self.flags = self.flags.union(flags);
        self
    }

    /// A thread of the kernel takes the entries and sleeps after so many idle milliseconds (0: one second).
    /// Sets [`SetupFlags::SQPOLL`].
    pub const fn poller(mut self, idle_milliseconds: u32) -> Self {
        self.poller_idle_milliseconds = idle_milliseconds;
        self.flags = self.flags.union(SetupFlags::SQPOLL);
        self
    }

    /// That thread stays on this processor. Sets [`SetupFlags::SQ_AFF`].
    pub const fn poller_cpu(mut self, cpu: u32) -> Self {
        self.poller_cpu = cpu;
        self.flags = self.flags.union(SetupFlags::SQ_AFF);
        self
    }

    /// Maps the queues separately even where the kernel offers one mapping, as kernels before 5.4 require. For
    /// tests of that path.
    pub const fn two_mappings(mut self, two: bool) -> Self {
        self.two_mappings = two;
        self
    }

    /// Makes the ring, or says why not.
    ///
    /// The descriptor is closed on exec, and a forked child does not inherit the queues (see
    /// [`Ring::abandon`]).
    pub fn build(&self) -> Result<Ring, SetupError> {
        self.check()?;
        let mut params = Params {
            cq_entries: self.completion_entries.unwrap_or(0),
            flags: self.flags.bits(),
            sq_thread_cpu: self.poller_cpu,
            sq_thread_idle: self.poller_idle_milliseconds,
            ..Params::default()
        };
        let number = syscall::setup(self.entries, &mut params)
            .map_err(|errno| SetupError::from_errno(errno, self.flags, self.entries))?;
        // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(number as i32) };
        self.map(fd, &params)
    }

    /// Makes the ring with the first of `steps` that the kernel takes, added to the flags of the builder, and
    /// tells which it was and why those before it were refused. An empty list is a single step without flags.
    ///
    /// Only a refusal of the flags leads to the next step. Anything else, such as a seccomp filter or a lack of
    /// memory, would meet the next step as well and is returned at once.
    pub fn first_of(&self, steps: &[Step]) -> Result<(Ring, StepReport), SetupError> {
        let mut report = StepReport::new();
        let mut steps = steps.iter().copied();
        let mut step = steps.next().unwrap_or(Step::PLAIN);
        loop {
            let error = match self.flags(step.flags).build() {
                Ok(ring) => {
                    report.taken = step;
                    return Ok((ring, report));
                }
                Err(error @ (SetupError::Invalid { .. } | SetupError::NotBuilt { .. })) => error,
                Err(error) => return Err(error),
            };
            report.refuse(step, error);
            step = steps.next().ok_or(error)?;
        }
    }

    /// Checks what can be checked without the kernel.
    fn check(&self) -> Result<(), SetupError> {
        let unsupported = self.flags.difference(SUPPORTED);
        if !unsupported.is_empty() {
            return Err(SetupError::Unsupported { flags: unsupported });
        }
        let clamp = self.flags.contains(SetupFlags::CLAMP);
        let outside = |asked: u32, limit: u32| asked == 0 || (asked > limit && !clamp);
        if outside(self.entries, SQ_ENTRIES_MAX) {
            return Err(SetupError::Entries { asked: self.entries });
        }
        let asked = match self.completion_entries {
            Some(asked) => asked,
            // The flag was given by hand, without a number.
            None if self.flags.contains(SetupFlags::CQSIZE) => 0,
            None => return Ok(()),
        };
        // What the kernel makes of the numbers; the limits are powers of two, so this cannot overflow.
        let entries = self.entries.min(SQ_ENTRIES_MAX).next_power_of_two();
        let completion_entries = asked.min(CQ_ENTRIES_MAX).next_power_of_two();
        if outside(asked, CQ_ENTRIES_MAX) || completion_entries < entries {
            return Err(SetupError::CompletionEntries { asked, entries: self.entries });
        }
        Ok(())
    }

    /// Maps the queues of a ring just made.
    fn map(&self, fd: OwnedFd, params: &Params) -> Result<Ring, SetupError> {
        let features = Features::from_bits_retain(params.features);
        let flags = SetupFlags::from_bits_retain(params.flags);
        let sq_length = submission_length(params, flags)?;
        let cq_length = completion_length(params)?;
        let entries_length = length(0, params.sq_entries, size_of::<Sqe>())?;

        let single = features.contains(Features::SINGLE_MMAP) && !self.two_mappings;
        let first_length = if single { sq_length.max(cq_length) } else { sq_length };
        let ring = Mapping::new(fd.as_fd(), OFFSET_SQ_RING, first_length)?;
        let second = if single { None } else { Some(Mapping::new(fd.as_fd(), OFFSET_CQ_RING, cq_length)?) };
        let entries = Mapping::new(fd.as_fd(), OFFSET_SQES, entries_length)?;

        let submission = SubmissionQueue::new(&ring, &entries, params)?;
        let completion = CompletionQueue::new(second.as_ref().unwrap_or(&ring), params)?;
        Ok(Ring::new(submission, completion, [Some(ring), second, Some(entries)], fd, flags, features))
    }
}

/// The bytes from the start of a mapping to the end of `count` elements at `offset`.
fn length(offset: u32, count: u32, size: usize) -> Result<usize, SetupError> {
    (count as usize)
        .checked_mul(size)
        .and_then(|bytes| bytes.checked_add(offset as usize))
        .ok_or(SetupError::Inconsistent)
}

/// The bytes of the submission queue's mapping.
fn submission_length(params: &Params, flags: SetupFlags) -> Result<usize, SetupError> {
    let SqOffsets { head, tail, ring_mask, ring_entries, flags: words, dropped, array, .. } = params.sq_off;
    let last = head.max(tail).max(ring_mask).max(ring_entries).max(words).max(dropped);
    let fixed = length(last, 1, size_of::<u32>())?;
    if flags.contains(SetupFlags::NO_SQARRAY) {
        return Ok(fixed);
    }
    Ok(fixed.max(length(array, params.sq_entries, size_of::<u32>())?))
}

/// The bytes of the completion queue's mapping.
fn completion_length(params: &Params) -> Result<usize, SetupError> {
    let CqOffsets { head, tail, ring_mask, ring_entries, overflow, cqes, flags, .. } = params.cq_off;
    let last = head.max(tail).max(ring_mask).max(ring_entries).max(overflow).max(flags);
    let fixed = length(last, 1, size_of::<u32>())?;
    Ok(fixed.max(length(cqes, params.cq_entries, size_of::<Cqe>())?))
}

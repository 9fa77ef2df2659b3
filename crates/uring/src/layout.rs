//! Where the queues of a ring lie, and how large they are.
//!
//! Both layouts of the kernel: one mapping for both queues or one for each, and the application's own memory. Offsets
//! come from the kernel and are checked before a pointer is made of them.

use rustix::fd::BorrowedFd;

use crate::abi::{
    CqOffsets, Cqe, Features, OFFSET_CQ_RING, OFFSET_SQ_RING, OFFSET_SQES, Params, SetupFlags, SqOffsets,
};
use crate::builder::MemorySize;
use crate::completion::CompletionQueue;
use crate::error::SetupError;
use crate::mapping::Mapping;
use crate::sqe::Sqe;
use crate::submission::SubmissionQueue;

/// What the words before the completions take at most. They are 64 bytes each on their own cache lines; kernels so
/// far use 320 bytes or fewer.
const HEAD_BYTES_MAX: usize = 1024;

/// The largest alignment that the kernel gives the array of indices.
const LINE_BYTES_MAX: usize = 256;

/// Both ends, and what their pointers lead into.
#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) submission: SubmissionQueue,
    pub(crate) completion: CompletionQueue,
    pub(crate) mappings: [Option<Mapping>; 3],
}

impl Queues {
    /// Maps the queues of the ring `fd`.
    pub(crate) fn map(fd: BorrowedFd<'_>, params: &Params, two_mappings: bool) -> Result<Self, SetupError> {
        let features = Features::from_bits_retain(params.features);
        let flags = SetupFlags::from_bits_retain(params.flags);
        let sq_length = submission_length(params, flags)?;
        let cq_length = completion_length(params, flags)?;
        let single = features.contains(Features::SINGLE_MMAP) && !two_mappings;
        let first_length = if single { sq_length.max(cq_length) } else { sq_length };
        let ring = Mapping::new(fd, OFFSET_SQ_RING, first_length)?;
        let second = if single { None } else { Some(Mapping::new(fd, OFFSET_CQ_RING, cq_length)?) };
        let entries = Mapping::new(fd, OFFSET_SQES, entries_length(params.sq_entries, flags)?)?;
        let submission = SubmissionQueue::new(&ring, &entries, params)?;
        let completion = CompletionQueue::new(second.as_ref().unwrap_or(&ring), params)?;
        Ok(Self { submission, completion, mappings: [Some(ring), second, Some(entries)] })
    }

    /// The queues in memory that the kernel was told of.
    pub(crate) fn over(queues: Mapping, entries: Mapping, params: &Params) -> Result<Self, SetupError> {
        let submission = SubmissionQueue::new(&queues, &entries, params)?;
        let completion = CompletionQueue::new(&queues, params)?;
        Ok(Self { submission, completion, mappings: [Some(queues), None, Some(entries)] })
    }
}

/// What the kernel will use of the application's memory, rounded up to whole pages.
pub(crate) fn memory_size(
    entries: u32,
    completion_entries: u32,
    flags: SetupFlags,
) -> Result<MemorySize, SetupError> {
    let page = rustix::param::page_size();
    let completions = length(0, completion_entries << wide(flags, SetupFlags::CQE32), size_of::<Cqe>())?;
    let array = length(0, entries, size_of::<u32>())?;
    let queues = HEAD_BYTES_MAX + completions + LINE_BYTES_MAX + array;
    Ok(MemorySize {
        queues: queues.next_multiple_of(page),
        entries: entries_length(entries, flags)?.next_multiple_of(page),
    })
}

/// 1 if `flags` have `flag`, else 0: how far to shift a count of elements that are then twice as large.
fn wide(flags: SetupFlags, flag: SetupFlags) -> u32 {
    u32::from(flags.contains(flag))
}

/// The bytes of the array of entries.
fn entries_length(entries: u32, flags: SetupFlags) -> Result<usize, SetupError> {
    Ok(length(0, entries, size_of::<Sqe>())? << wide(flags, SetupFlags::SQE128))
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
fn completion_length(params: &Params, flags: SetupFlags) -> Result<usize, SetupError> {
    let CqOffsets { head, tail, ring_mask, ring_entries, overflow, cqes, flags: words, .. } = params.cq_off;
    let last = head.max(tail).max(ring_mask).max(ring_entries).max(overflow).max(words);
    let fixed = length(last, 1, size_of::<u32>())?;
    let shift = wide(flags, SetupFlags::CQE32);
    let completions = length(0, params.cq_entries, size_of::<Cqe>())? << shift;
    Ok(fixed.max(completions.checked_add(cqes as usize).ok_or(SetupError::Inconsistent)?))
}

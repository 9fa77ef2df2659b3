//! The memory of a ring: mapped from the kernel, or given to it.
//!
//! Fills the two sides of a ring in, and takes them apart again. It never touches what is in the queues, but for
//! reading the sizes that the kernel wrote there.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::{Cqe, Features, OFFSET_CQ_RING, OFFSET_SQ_RING, OFFSET_SQES, Params, SetupFlags, Sqe};

use crate::kernel::{self, errno};
use crate::layout::{IoUringCq, IoUringSq};
use crate::sizes::{Sizes, completions_size, entries_size};

/// What a huge page is taken to hold.
const HUGE_PAGE_SIZE: usize = 2 << 20;

/// Points the words of both sides to where the kernel says they are, in the mappings at their `ring_ptr`.
///
/// # Safety
///
/// The mappings must be those of the ring that `params` came from, or the memory that was given to it.
pub(crate) unsafe fn point_into_mappings(params: &Params, sq: &mut IoUringSq, cq: &mut IoUringCq) {
    let in_sq = |offset: u32| sq.ring_ptr.wrapping_byte_add(offset as usize).cast::<c_uint>();
    let in_cq = |offset: u32| cq.ring_ptr.wrapping_byte_add(offset as usize).cast::<c_uint>();

    sq.khead = in_sq(params.sq_off.head);
    sq.ktail = in_sq(params.sq_off.tail);
    sq.kring_mask = in_sq(params.sq_off.ring_mask);
    sq.kring_entries = in_sq(params.sq_off.ring_entries);
    sq.kflags = in_sq(params.sq_off.flags);
    sq.kdropped = in_sq(params.sq_off.dropped);
    if params.flags & SetupFlags::NO_SQARRAY.bits() == 0 {
        sq.array = in_sq(params.sq_off.array);
    }

    cq.khead = in_cq(params.cq_off.head);
    cq.ktail = in_cq(params.cq_off.tail);
    cq.kring_mask = in_cq(params.cq_off.ring_mask);
    cq.kring_entries = in_cq(params.cq_off.ring_entries);
    cq.koverflow = in_cq(params.cq_off.overflow);
    cq.cqes = in_cq(params.cq_off.cqes).cast::<Cqe>();
    if params.cq_off.flags != 0 {
        cq.kflags = in_cq(params.cq_off.flags);
    }

    // SAFETY: these four words are the kernel's, inside the mappings, and never change.
    unsafe {
        sq.ring_mask = *sq.kring_mask;
        sq.ring_entries = *sq.kring_entries;
        cq.ring_mask = *cq.kring_mask;
        cq.ring_entries = *cq.kring_entries;
    }
}

/// Lets entry `n` lie in place `n`, for all of them, in rings that have an array of indices.
///
/// # Safety
///
/// The array must have `count` elements, and the kernel must not be reading it.
pub(crate) unsafe fn fill_array(sq: &IoUringSq, count: c_uint) {
    for index in 0..count {
        // SAFETY: below the count; the caller's promise.
        unsafe { sq.array.add(index as usize).write(index) };
    }
}

/// Maps the queues of the ring `fd`. After an error nothing stays mapped.
pub(crate) fn map(fd: c_int, params: &Params, sq: &mut IoUringSq, cq: &mut IoUringCq) -> Result<(), c_int> {
    sq.ring_sz = params.sq_off.array as usize + params.sq_entries as usize * size_of::<u32>();
    cq.ring_sz = params.cq_off.cqes as usize + completions_size(params.flags, params.cq_entries);
    let one_mapping = params.features & Features::SINGLE_MMAP.bits() != 0;
    if one_mapping {
        sq.ring_sz = sq.ring_sz.max(cq.ring_sz);
        cq.ring_sz = sq.ring_sz;
    }

    sq.ring_ptr = kernel::map_ring(fd, sq.ring_sz, OFFSET_SQ_RING)?;
    let rest = if one_mapping {
        cq.ring_ptr = sq.ring_ptr;
        Ok(())
    } else {
        kernel::map_ring(fd, cq.ring_sz, OFFSET_CQ_RING).map(|start| cq.ring_ptr = start)
    };
    let rest = rest.and_then(|()| {
        let size = entries_size(params.flags, params.sq_entries);
        sq.sqes_sz = c_uint::try_from(size).map_err(|_| errno::EINVAL)?;
        sq.sqes = kernel::map_ring(fd, size, OFFSET_SQES)?.cast::<Sqe>();
        Ok(())
    });
    if let Err(errno) = rest {
        // SAFETY: just mapped, and nobody else knows of it.
        unsafe { unmap_queues(sq, cq) };
        return Err(errno);
    }
    // SAFETY: these are the ring's mappings, as large as it says.
    unsafe { point_into_mappings(params, sq, cq) };
    Ok(())
}

/// Unmaps the words and the completions, but not the entries.
///
/// # Safety
///
/// Nobody may use them any more.
pub(crate) unsafe fn unmap_queues(sq: &IoUringSq, cq: &IoUringCq) {
    // SAFETY: mapped by this module with these sizes; 0 says that there is nothing to unmap. The caller's promise.
    unsafe {
        if sq.ring_sz != 0 {
            kernel::unmap(sq.ring_ptr, sq.ring_sz);
        }
        if !cq.ring_ptr.is_null() && cq.ring_sz != 0 && cq.ring_ptr != sq.ring_ptr {
            kernel::unmap(cq.ring_ptr, cq.ring_sz);
        }
    }
}

/// Unmaps all that a ring has mapped.
///
/// # Safety
///
/// Nobody may use it any more.
pub(crate) unsafe fn unmap_all(sq: &IoUringSq, cq: &IoUringCq) {
    // SAFETY: the caller's promise. The entries may be a mapping of size 0 in memory of the application; the
    // kernel refuses to unmap that.
    unsafe {
        kernel::unmap(sq.sqes.cast(), sq.sqes_sz as usize);
        unmap_queues(sq, cq);
    }
}

/// Provides memory for a ring with `SetupFlags::NO_MMAP` and tells the kernel where it is: `given`, if that is not
/// null, or fresh pages. Returns how much of it the ring uses, in bytes.
///
/// Entries come first, the queues behind them on a page of their own. Fresh memory is one ordinary page where that
/// is enough, otherwise a huge one, and a second such piece for the queues if both do not fit.
pub(crate) fn provide(
    entries: c_uint,
    params: &mut Params,
    sq: &mut IoUringSq,
    cq: &mut IoUringCq,
    given: Option<(*mut c_void, usize)>,
) -> Result<usize, c_int> {
    let page_size = kernel::page_size();
    let sizes = Sizes::new(entries, params)?;
    let for_entries = sizes.entries.next_multiple_of(page_size);
    let used = (for_entries + sizes.queues).next_multiple_of(page_size);

    let (start, room) = match given {
        Some((_, size)) if used > size => return Err(errno::ENOMEM),
        Some((start, size)) => (start, size),
        // The kernel wants each of the two in one piece.
        None if for_entries > HUGE_PAGE_SIZE || sizes.queues > HUGE_PAGE_SIZE => return Err(errno::ENOMEM),
        None => {
            let (start, size) = map_pages(for_entries, page_size)?;
            sq.sqes_sz = size as c_uint;
            (start, size)
        }
    };
    sq.sqes = start.cast::<Sqe>();
    cq.ring_sz = 0;
    if used <= room {
        sq.ring_ptr = start.wrapping_byte_add(for_entries);
        sq.ring_sz = 0;
    } else {
        match map_pages(sizes.queues, page_size) {
            Ok((start, size)) => {
                sq.ring_ptr = start;
                sq.ring_sz = size;
            }
            Err(errno) => {
                // SAFETY: mapped above; memory of the application is always large enough to not come here.
                unsafe { kernel::unmap(start, room) };
                return Err(errno);
            }
        }
    }
    cq.ring_ptr = sq.ring_ptr;
    params.sq_off.user_addr = start.expose_provenance() as u64;
    params.cq_off.user_addr = sq.ring_ptr.expose_provenance() as u64;
    Ok(used)
}

/// One page, or one huge page if `needed` is more.
fn map_pages(needed: usize, page_size: usize) -> Result<(*mut c_void, usize), c_int> {
    let huge = needed > page_size;
    let size = if huge { HUGE_PAGE_SIZE } else { page_size };
    kernel::map_shared(size, huge).map(|start| (start, size))
}

/// Takes apart what [`provide`] mapped. Memory of the application stays.
///
/// # Safety
///
/// Nobody may use it any more.
pub(crate) unsafe fn withdraw(sq: &mut IoUringSq, cq: &mut IoUringCq) {
    // SAFETY: the caller's promise.
    unsafe { unmap_all(sq, cq) };
    sq.sqes = ptr::null_mut();
    sq.ring_ptr = ptr::null_mut();
    cq.ring_ptr = ptr::null_mut();
}

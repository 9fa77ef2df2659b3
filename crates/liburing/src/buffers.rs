//! Rings of provided buffers in memory of the process: making them, filling them, asking about them.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicU16, Ordering};

use ouzel_uring::abi::{Buf, BufReg, BufRingHead};

use crate::completions::io_uring_cq_advance;
use crate::kernel::{self, errno};
use crate::layout::IoUring;
use crate::register::{io_uring_buf_ring_head, io_uring_register_buf_ring, io_uring_unregister_buf_ring};

/// The size of a ring of `count` buffers.
fn size(count: c_uint) -> usize {
    count as usize * size_of::<Buf>()
}

/// Maps and registers a ring of `count` buffers as group `group`: `io_uring_setup_buf_ring(3)`. Returns null and
/// stores a negated errno if that fails.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_setup_buf_ring(
    ring: *mut IoUring,
    count: c_uint,
    group: c_int,
    flags: c_uint,
    error: *mut c_int,
) -> *mut BufRingHead {
    let made = kernel::map_private(size(count)).and_then(|start| {
        let mut buffers = BufReg {
            ring_addr: start.expose_provenance() as u64,
            ring_entries: count,
            bgid: group as u16,
            ..BufReg::default()
        };
        // SAFETY: fresh memory of the size that the argument says; the ring is the caller's promise.
        match unsafe { io_uring_register_buf_ring(ring, &raw mut buffers, flags) } {
            0 => Ok(start.cast::<BufRingHead>()),
            failure => {
                // SAFETY: mapped above, and the kernel did not take it.
                unsafe { kernel::unmap(start, size(count)) };
                Err(errno::negated(failure))
            }
        }
    });
    let (buffers, status) = match made {
        Ok(buffers) => (buffers, 0),
        Err(errno) => (ptr::null_mut(), errno::negated(errno)),
    };
    // SAFETY: the caller's promise. Fresh memory is zero, and so is the tail in it.
    unsafe { error.write(status) };
    buffers
}

/// Unregisters such a ring and unmaps it: `io_uring_free_buf_ring(3)`.
///
/// # Safety
///
/// As the [crate] says. Nobody may use it afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_free_buf_ring(
    ring: *mut IoUring,
    buffers: *mut BufRingHead,
    count: c_uint,
    group: c_int,
) -> c_int {
    // SAFETY: the caller's promise.
    let outcome = unsafe { io_uring_unregister_buf_ring(ring, group) };
    if outcome == 0 {
        // SAFETY: mapped with that size, and the kernel has let go of it.
        unsafe { kernel::unmap(buffers.cast(), size(count)) };
    }
    outcome
}

/// The mask of a ring of `count` buffers: `io_uring_buf_ring_mask(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_buf_ring_mask(count: u32) -> c_int {
    count.wrapping_sub(1) as c_int
}

/// The tail of a ring of buffers, which the kernel reads while we write it.
///
/// # Safety
///
/// `buffers` must point to a ring of buffers that is not freed while the reference is used.
unsafe fn tail<'a>(buffers: *mut BufRingHead) -> &'a AtomicU16 {
    // SAFETY: the caller's promise; the field is aligned.
    unsafe { AtomicU16::from_ptr(&raw mut (*buffers).tail) }
}

/// Empties a ring of buffers before its first use: `io_uring_buf_ring_init(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_init(buffers: *mut BufRingHead) {
    // SAFETY: the caller's promise.
    unsafe { tail(buffers) }.store(0, Ordering::Relaxed);
}

/// Puts a buffer into the ring, `offset` places from its tail: `io_uring_buf_ring_add(3)`. The kernel sees it after
/// [`io_uring_buf_ring_advance`].
///
/// # Safety
///
/// As the [crate] says; the mask must be the ring's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_add(
    buffers: *mut BufRingHead,
    address: *mut c_void,
    length: c_uint,
    number: u16,
    mask: c_int,
    offset: c_int,
) {
    // SAFETY: the caller's promise.
    let tail = unsafe { tail(buffers) }.load(Ordering::Relaxed);
    let place = (c_int::from(tail).wrapping_add(offset) & mask) as usize;
    // Field by field: the last one of the first buffer is the tail.
    // SAFETY: masked, so inside the ring.
    unsafe {
        let buffer = buffers.cast::<Buf>().add(place);
        (*buffer).addr = address.expose_provenance() as u64;
        (*buffer).len = length;
        (*buffer).bid = number;
    }
}

/// Shows the kernel `count` more buffers: `io_uring_buf_ring_advance(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_advance(buffers: *mut BufRingHead, count: c_int) {
    // SAFETY: the caller's promise.
    let tail = unsafe { tail(buffers) };
    // Release: the buffers are written before the kernel sees that there are more.
    tail.store(tail.load(Ordering::Relaxed).wrapping_add(count as u16), Ordering::Release);
}

/// Does that and gives the places of `completions` completions back.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_buf_ring_cq_advance(
    ring: *mut IoUring,
    buffers: *mut BufRingHead,
    completions: c_int,
    count: c_int,
) {
    // SAFETY: the caller's promise.
    unsafe {
        io_uring_buf_ring_advance(buffers, count);
        io_uring_cq_advance(ring, completions as c_uint);
    }
}

/// Does both for as many buffers as completions: `io_uring_buf_ring_cq_advance(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_cq_advance(
    ring: *mut IoUring,
    buffers: *mut BufRingHead,
    count: c_int,
) {
    // SAFETY: the caller's promise.
    unsafe { __io_uring_buf_ring_cq_advance(ring, buffers, count, count) };
}

/// How many buffers the kernel has not taken: `io_uring_buf_ring_available(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_available(
    ring: *mut IoUring,
    buffers: *mut BufRingHead,
    group: u16,
) -> c_int {
    let mut head = 0;
    // SAFETY: the caller's promise.
    let outcome = unsafe { io_uring_buf_ring_head(ring, group.into(), &raw mut head) };
    if outcome != 0 {
        return outcome;
    }
    // SAFETY: the caller's promise.
    unsafe { tail(buffers) }.load(Ordering::Relaxed).wrapping_sub(head).into()
}

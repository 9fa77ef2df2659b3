//! The ring itself: its descriptor, its size, its memory.

use core::ffi::{c_int, c_uint};

use ouzel_uring::abi::{
    CqOffsets, Features, MemRegionReg, Params, RegWait, RegisterOpcode, RsrcUpdate, SetupFlags, SqOffsets,
};

use super::{call_with, call_without};
use crate::handle::Handle;
use crate::kernel::{self, errno};
use crate::layout::{IoUring, IoUringCq, IoUringSq, internal};
use crate::memory;

/// Registers the ring's descriptor, so that entering needs no look-up: `io_uring_register_ring_fd(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_ring_fd(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if handle.has(internal::REGISTERED) {
        return errno::negated(errno::EEXIST);
    }
    // An offset of all ones lets the kernel choose an index and write it there.
    let mut update =
        RsrcUpdate { offset: c_uint::MAX, data: handle.ring_fd() as u64, ..RsrcUpdate::default() };
    // SAFETY: the kernel reads and writes the argument; the ring is the caller's promise.
    let outcome = unsafe { call_with(ring, RegisterOpcode::RingFds, &raw mut update, 1) };
    if outcome == 1 {
        handle.set_enter_fd(update.offset as c_int);
        let for_registering = handle.can(Features::REG_REG_RING);
        let by_index = if for_registering { internal::REGISTERS_BY_INDEX } else { 0 };
        handle.set_internal(handle.internal() | internal::REGISTERED | by_index);
    }
    outcome
}

/// Lets the registered descriptor go: `io_uring_unregister_ring_fd(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unregister_ring_fd(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !handle.has(internal::REGISTERED) {
        return errno::negated(errno::EINVAL);
    }
    let update = RsrcUpdate { offset: handle.enter_fd() as c_uint, ..RsrcUpdate::default() };
    // SAFETY: the ring is the caller's promise.
    let outcome = unsafe { call_with(ring, RegisterOpcode::UnregisterRingFds, &raw const update, 1) };
    if outcome == 1 {
        handle.set_enter_fd(handle.ring_fd());
        handle.set_internal(handle.internal() & !(internal::REGISTERED | internal::REGISTERS_BY_INDEX));
    }
    outcome
}

/// Closes the descriptor of a ring that is registered, and goes on by its index: `io_uring_close_ring_fd(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_close_ring_fd(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring) };
    if !ring.can(Features::REG_REG_RING) {
        return errno::negated(errno::EOPNOTSUPP);
    }
    if !ring.has(internal::REGISTERED) {
        return errno::negated(errno::EINVAL);
    }
    if ring.ring_fd() == -1 {
        return errno::negated(errno::EBADF);
    }
    // SAFETY: the ring's own, and forgotten at once.
    unsafe { kernel::close(ring.ring_fd()) };
    ring.set_ring_fd(-1);
    1
}

/// Makes the queues larger or smaller: `io_uring_resize_rings(3)`.
///
/// # Safety
///
/// As the [crate] says. Nobody else may use the ring meanwhile, and pointers into its queues end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_resize_rings(ring: *mut IoUring, params: *mut Params) -> c_int {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if handle.is_set_up(SetupFlags::NO_MMAP) {
        return errno::negated(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    let params = unsafe { &mut *params };
    params.sq_off = SqOffsets::default();
    params.cq_off = CqOffsets::default();
    // SAFETY: the kernel reads and writes the argument; the ring is the caller's promise.
    let outcome = unsafe { call_with(ring, RegisterOpcode::ResizeRings, &raw mut *params, 1) };
    let outcome = if outcome < 0 {
        outcome
    } else {
        match map_anew(handle, params) {
            Ok(()) => 0,
            Err(errno) => errno::negated(errno),
        }
    };
    // The kernel left flags of its own there, which it would not take back at the next call.
    params.flags = 0;
    outcome
}

/// Maps queues whose size has changed, in place of those there were.
fn map_anew(ring: Handle, params: &Params) -> Result<(), c_int> {
    let (mut sq, mut cq) = (IoUringSq::EMPTY, IoUringCq::EMPTY);
    memory::map(ring.ring_fd(), params, &mut sq, &mut cq)?;
    let (old_sq, old_cq) = (ring.sq(), ring.cq());
    // SAFETY: the old mappings; nobody uses them any more, as the caller of the resizing promised.
    unsafe { memory::unmap_all(&old_sq, &old_cq) };
    sq.sqe_head = old_sq.sqe_head;
    sq.sqe_tail = old_sq.sqe_tail;
    if params.flags & SetupFlags::NO_SQARRAY.bits() == 0 {
        // SAFETY: the array has an element for each entry, and no call is running.
        unsafe { memory::fill_array(&sq, params.sq_entries) };
    }
    ring.set_sq(sq);
    ring.set_cq(cq);
    Ok(())
}

/// Lets a ring that was made disabled begin: `io_uring_enable_rings(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_enable_rings(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without(ring, RegisterOpcode::EnableRings) }
}

/// Registers memory that is shared with the kernel: `io_uring_register_region(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_region(ring: *mut IoUring, region: *mut MemRegionReg) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::MemRegion, region, 1) }
}

/// Was never in a released kernel, and is refused: register a region instead.
///
/// # Safety
///
/// None is needed: the arguments are not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_wait_reg(
    _ring: *mut IoUring,
    _waits: *mut RegWait,
    _count: c_int,
) -> c_int {
    errno::negated(errno::EINVAL)
}

//! Registered buffers, cloned buffers, and groups of provided buffers.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{
    BufReg, BufStatus, CloneBuffers, CloneFlags, RegisterOpcode, RsrcFlags, RsrcRegister, RsrcUpdate2,
};

use super::{address, call_with, call_without};
use crate::handle::Handle;
use crate::layout::{IoUring, internal};

/// Registers buffers: `io_uring_register_buffers(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_buffers(
    ring: *mut IoUring,
    vectors: *const c_void,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::Buffers, vectors, count) }
}

/// Registers buffers with tags: `io_uring_register_buffers_tags(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_buffers_tags(
    ring: *mut IoUring,
    vectors: *const c_void,
    tags: *const u64,
    count: c_uint,
) -> c_int {
    let buffers =
        RsrcRegister { nr: count, data: address(vectors), tags: address(tags), ..RsrcRegister::default() };
    // SAFETY: the caller's promise.
    unsafe {
        call_with(ring, RegisterOpcode::Buffers2, &raw const buffers, size_of::<RsrcRegister>() as c_uint)
    }
}

/// Registers room for buffers: `io_uring_register_buffers_sparse(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_buffers_sparse(ring: *mut IoUring, count: c_uint) -> c_int {
    let room = RsrcRegister { nr: count, flags: RsrcFlags::SPARSE.bits(), ..RsrcRegister::default() };
    // SAFETY: the ring is the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::Buffers2, &raw const room, size_of::<RsrcRegister>() as c_uint) }
}

/// Replaces registered buffers: `io_uring_register_buffers_update_tag(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_buffers_update_tag(
    ring: *mut IoUring,
    offset: c_uint,
    vectors: *const c_void,
    tags: *const u64,
    count: c_uint,
) -> c_int {
    let update = RsrcUpdate2 {
        offset,
        data: address(vectors),
        tags: address(tags),
        nr: count,
        ..RsrcUpdate2::default()
    };
    let size = size_of::<RsrcUpdate2>() as c_uint;
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::BuffersUpdate, &raw const update, size) }
}

/// Lets registered buffers go: `io_uring_unregister_buffers(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unregister_buffers(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without(ring, RegisterOpcode::UnregisterBuffers) }
}

/// Takes `count` registered buffers of another ring over (all if 0): what `io_uring_clone_buffers_offset(3)` does
/// with a ring that need not be named by its index.
///
/// # Safety
///
/// As the [crate] says, for both rings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_clone_buffers_offset(
    target: *mut IoUring,
    source: *mut IoUring,
    target_offset: c_uint,
    source_offset: c_uint,
    count: c_uint,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    let from = unsafe { Handle::new(source) };
    // The index is used if the program likes it and there is one; the flag says whether it was.
    let by_index = CloneFlags::SRC_REGISTERED.bits();
    let named_by_index = flags & by_index != 0 && from.has(internal::REGISTERS_BY_INDEX);
    let buffers = CloneBuffers {
        src_fd: (if named_by_index { from.enter_fd() } else { from.ring_fd() }) as u32,
        flags: if named_by_index { flags } else { flags & !by_index },
        src_off: source_offset,
        dst_off: target_offset,
        nr: count,
        ..CloneBuffers::default()
    };
    // SAFETY: the caller's promise.
    unsafe { call_with(target, RegisterOpcode::CloneBuffers, &raw const buffers, 1) }
}

/// Takes `count` registered buffers of another ring over: `io_uring_clone_buffers_offset(3)`.
///
/// # Safety
///
/// As the [crate] says, for both rings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_clone_buffers_offset(
    target: *mut IoUring,
    source: *mut IoUring,
    target_offset: c_uint,
    source_offset: c_uint,
    count: c_uint,
    flags: c_uint,
) -> c_int {
    let flags = flags | CloneFlags::SRC_REGISTERED.bits();
    // SAFETY: the caller's promise.
    unsafe { __io_uring_clone_buffers_offset(target, source, target_offset, source_offset, count, flags) }
}

/// Takes all registered buffers of another ring over: `io_uring_clone_buffers(3)`.
///
/// # Safety
///
/// As the [crate] says, for both rings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_clone_buffers(target: *mut IoUring, source: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { io_uring_clone_buffers_offset(target, source, 0, 0, 0, 0) }
}

/// Takes all registered buffers of another ring over, with flags: `__io_uring_clone_buffers(3)`.
///
/// # Safety
///
/// As the [crate] says, for both rings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_clone_buffers(
    target: *mut IoUring,
    source: *mut IoUring,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { __io_uring_clone_buffers_offset(target, source, 0, 0, 0, flags) }
}

/// Registers a ring of provided buffers: `io_uring_register_buf_ring(3)`. The flags are added to those of the
/// argument.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_buf_ring(
    ring: *mut IoUring,
    buffers: *mut BufReg,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        (*buffers).flags |= flags as u16;
        call_with(ring, RegisterOpcode::PbufRing, buffers, 1)
    }
}

/// Lets a ring of provided buffers go: `io_uring_unregister_buf_ring(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unregister_buf_ring(ring: *mut IoUring, group: c_int) -> c_int {
    let buffers = BufReg { bgid: group as u16, ..BufReg::default() };
    // SAFETY: the ring is the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::UnregisterPbufRing, &raw const buffers, 1) }
}

/// Asks how many buffers of a group the kernel has taken: `io_uring_buf_ring_head(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_buf_ring_head(ring: *mut IoUring, group: c_int, head: *mut u16) -> c_int {
    let mut status = BufStatus { buf_group: group as u32, ..BufStatus::default() };
    // SAFETY: the kernel writes its answer to the status; the ring is the caller's promise.
    let outcome = unsafe { call_with(ring, RegisterOpcode::PbufStatus, &raw mut status, 1) };
    if outcome == 0 {
        // SAFETY: the caller's promise.
        unsafe { head.write(status.head as u16) };
    }
    outcome
}

//! Everything else that can be registered: notifications, credentials, restrictions, workers, clocks, devices,
//! questions.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{
    Bpf, ClockRegister, Napi, ProbeBuffer, QueryHeader, RegisterOpcode, Restriction, Sqe, SyncCancelReg,
    ZcrxCtrl, ZcrxIfqReg,
};

use super::{call, call_with, call_without, call_without_ring};
use crate::kernel::errno;
use crate::layout::IoUring;

/// Defines functions that hand one pointer to the kernel.
macro_rules! pointers {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $type:ty), $operation:ident, $count:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// As the [crate] says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(ring: *mut IoUring, $argument: *mut $type) -> c_int {
            // SAFETY: the caller's promise.
            unsafe { call_with(ring, RegisterOpcode::$operation, $argument, $count) }
        }
    )*};
}

pointers! {
    /// Cancels and waits for the end: `io_uring_register_sync_cancel(3)`.
    io_uring_register_sync_cancel(cancel: SyncCancelReg), SyncCancel, 1;
    /// Lets network devices be polled while waiting: `io_uring_register_napi(3)`.
    io_uring_register_napi(settings: Napi), Napi, 1;
    /// Ends that: `io_uring_unregister_napi(3)`.
    io_uring_unregister_napi(settings: Napi), UnregisterNapi, 1;
    /// Sets the clock that waits go by: `io_uring_register_clock(3)`.
    io_uring_register_clock(clock: ClockRegister), Clock, 0;
    /// Sets how many workers of each kind there may be, and tells how many it was:
    /// `io_uring_register_iowq_max_workers(3)`. The argument is two numbers.
    io_uring_register_iowq_max_workers(counts: c_uint), IowqMaxWorkers, 2;
    /// Registers a receive queue of a network device: `io_uring_register_ifq(3)`.
    io_uring_register_ifq(queue: ZcrxIfqReg), ZcrxIfq, 1;
    /// Controls such a queue: `io_uring_register_zcrx_ctrl(3)`.
    io_uring_register_zcrx_ctrl(control: ZcrxCtrl), ZcrxCtrl, 0;
    /// Registers a filter for entries: `io_uring_register_bpf_filter(3)`.
    io_uring_register_bpf_filter(filter: Bpf), BpfFilter, 1;
}

/// Defines functions that only name what they want.
macro_rules! plain {
    ($($(#[$doc:meta])* $name:ident, $operation:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// As the [crate] says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(ring: *mut IoUring) -> c_int {
            // SAFETY: the caller's promise.
            unsafe { call_without(ring, RegisterOpcode::$operation) }
        }
    )*};
}

plain! {
    /// Ends notifications: `io_uring_unregister_eventfd(3)`.
    io_uring_unregister_eventfd, UnregisterEventfd;
    /// Registers the caller's credentials and returns their number: `io_uring_register_personality(3)`.
    io_uring_register_personality, Personality;
    /// Lets workers run on all processors again: `io_uring_unregister_iowq_aff(3)`.
    io_uring_unregister_iowq_aff, UnregisterIowqAff;
}

/// Notifies an eventfd of completions: `io_uring_register_eventfd(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_eventfd(ring: *mut IoUring, fd: c_int) -> c_int {
    // SAFETY: the ring is the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::Eventfd, &raw const fd, 1) }
}

/// Notifies an eventfd of completions that were not there at once: `io_uring_register_eventfd_async(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_eventfd_async(ring: *mut IoUring, fd: c_int) -> c_int {
    // SAFETY: the ring is the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::EventfdAsync, &raw const fd, 1) }
}

/// Asks what the kernel can do: `io_uring_register_probe(3)`. There must be room for `count` opcodes.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_probe(
    ring: *mut IoUring,
    probe: *mut ProbeBuffer,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::Probe, probe, count) }
}

/// Lets registered credentials go: `io_uring_unregister_personality(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unregister_personality(ring: *mut IoUring, id: c_int) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call(ring, RegisterOpcode::UnregisterPersonality, core::ptr::null(), id as c_uint) }
}

/// Restricts what a disabled ring will be able to do: `io_uring_register_restrictions(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_restrictions(
    ring: *mut IoUring,
    restrictions: *mut Restriction,
    count: c_uint,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_with(ring, RegisterOpcode::Restrictions, restrictions, count) }
}

/// Sets the processors that workers run on: `io_uring_register_iowq_aff(3)`. The mask has `size` bytes.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_iowq_aff(
    ring: *mut IoUring,
    size: usize,
    mask: *const c_void,
) -> c_int {
    match c_int::try_from(size) {
        // SAFETY: the caller's promise.
        Ok(size) => unsafe { call(ring, RegisterOpcode::IowqAff, mask, size as c_uint) },
        Err(_) => errno::negated(errno::EINVAL),
    }
}

/// Sends a message to a ring without having one: `io_uring_register_sync_msg(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_sync_msg(message: *mut Sqe) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without_ring(RegisterOpcode::SendMsgRing, message, 1) }
}

/// Registers a filter for the entries of all rings of this task: `io_uring_register_bpf_filter_task(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_bpf_filter_task(filter: *mut Bpf) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without_ring(RegisterOpcode::BpfFilter, filter, 1) }
}

/// Asks the kernel without a ring: `io_uring_register_query(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_register_query(question: *mut QueryHeader) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { call_without_ring(RegisterOpcode::Query, question, 0) }
}

//! Asking the kernel what it can do.
//!
//! The answer lives in memory of the C library's allocator, and must: programs free it with `free`.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::{OP_SUPPORTED, Params, ProbeBuffer};

use crate::layout::IoUring;
use crate::register::io_uring_register_probe;
use crate::setup::{io_uring_queue_exit, queue_init};

/// How many opcodes there is room for: as many as there can be.
const OPCODES: c_uint = 256;

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

/// Asks a ring what the kernel can do, null if it does not say: `io_uring_get_probe_ring(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_get_probe_ring(ring: *mut IoUring) -> *mut ProbeBuffer {
    // SAFETY: an ordinary allocation; the kernel wants the memory zero.
    let probe = unsafe { calloc(1, size_of::<ProbeBuffer>()) }.cast::<ProbeBuffer>();
    if probe.is_null() {
        return probe;
    }
    // SAFETY: there is room for that many opcodes; the ring is the caller's promise.
    if unsafe { io_uring_register_probe(ring, probe, OPCODES) } >= 0 {
        return probe;
    }
    // SAFETY: allocated above.
    unsafe { io_uring_free_probe(probe) };
    ptr::null_mut()
}

/// Asks what the kernel can do, null if it does not say: `io_uring_get_probe(3)`.
#[unsafe(no_mangle)]
pub extern "C" fn io_uring_get_probe() -> *mut ProbeBuffer {
    let mut ring = IoUring::EMPTY;
    // SAFETY: the ring is ours and closed once.
    unsafe {
        if queue_init(2, &raw mut ring, &mut Params::default()).is_err() {
            return ptr::null_mut();
        }
        let probe = io_uring_get_probe_ring(&raw mut ring);
        io_uring_queue_exit(&raw mut ring);
        probe
    }
}

/// Frees such an answer: `io_uring_free_probe(3)`. Null is nothing to free.
///
/// # Safety
///
/// It must come from one of the two functions above and be freed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_free_probe(probe: *mut ProbeBuffer) {
    // SAFETY: the caller's promise.
    unsafe { free(probe.cast()) };
}

/// Whether the kernel knows an opcode: `io_uring_opcode_supported(3)`.
///
/// # Safety
///
/// `probe` must be an answer of the kernel.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_opcode_supported(probe: *const ProbeBuffer, opcode: c_int) -> c_int {
    // The program may have allocated fewer opcodes than the type has, so no reference to the whole is made.
    // SAFETY: the caller's promise.
    let last = unsafe { (*probe).last_op };
    match usize::try_from(opcode) {
        // SAFETY: up to the last opcode the answer is filled in.
        Ok(index) if index <= usize::from(last) => unsafe {
            let flags = (&raw const (*probe).ops[index].flags).read();
            (flags & OP_SUPPORTED != 0).into()
        },
        _ => 0,
    }
}

//! The three system calls of io_uring, and nothing else: for those who bring their own queues.
//!
//! This is the only module that may issue a system call by hand. It turns the kernel's return value into
//! a `Result` and must never interpret, retry or remember anything: what an error means is said in
//! [`crate::error`], what an argument means in [`crate::Ring`]. The numbers are the same on every
//! architecture, because the calls are younger than the unified table.

use core::ffi::c_void;

use crate::abi::Params;

const IO_URING_SETUP: usize = 425;
const IO_URING_ENTER: usize = 426;
const IO_URING_REGISTER: usize = 427;

/// The largest errno the kernel encodes in a return value.
const ERRNO_MAX: isize = 4095;

#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_pointer_width = "64")))]
compile_error!("ouzel-uring issues system calls for 64-bit x86_64 and aarch64 only");

/// Issues system call `number` with six arguments.
///
/// # Safety
///
/// The arguments must be valid for that call.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) unsafe fn system_call(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: this is the kernel's calling convention on x86_64; `syscall` overwrites rcx and r11, which are
    // declared. That the call itself is valid is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") arguments[0],
            in("rsi") arguments[1],
            in("rdx") arguments[2],
            in("r10") arguments[3],
            in("r8") arguments[4],
            in("r9") arguments[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, preserves_flags)
        );
    }
    result
}

/// Issues system call `number` with six arguments.
///
/// # Safety
///
/// The arguments must be valid for that call.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
pub(crate) unsafe fn system_call(number: usize, arguments: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: this is the kernel's calling convention on aarch64; only x0 is overwritten. That the call itself
    // is valid is the caller's promise.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack, preserves_flags)
        );
    }
    result
}

/// Separates a count from a negated errno.
#[inline(always)]
fn split(result: isize) -> Result<u32, i32> {
    if (-ERRNO_MAX..0).contains(&result) { Err(-result as i32) } else { Ok(result as u32) }
}

/// `io_uring_setup(2)`: makes a ring of `entries` and fills `params` in. Returns its descriptor, or its registered
/// index with `SetupFlags::REGISTERED_FD_ONLY`. Errors are positive errnos, here and below.
///
/// # Safety
///
/// With `SetupFlags::NO_MMAP`, the addresses in `params` must lead to as much memory as the kernel will use, which
/// nobody else uses until the ring is closed and the kernel has let go of it.
#[inline]
pub unsafe fn setup(entries: u32, params: &mut Params) -> Result<u32, i32> {
    let pointer: *mut Params = params;
    // SAFETY: the pointer is to a live Params; what that leads to is the caller's promise.
    split(unsafe { system_call(IO_URING_SETUP, [entries as usize, pointer.expose_provenance(), 0, 0, 0, 0]) })
}

/// `io_uring_enter(2)`: submits and waits. Returns how many entries the kernel took.
///
/// # Safety
///
/// `argument` and `size` must be what `flags` say they are, and every entry the kernel finds in the submission
/// queue must be one whose memory is valid for as long as it runs.
#[inline(always)]
pub unsafe fn enter(
    fd: i32,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const c_void,
    size: usize,
) -> Result<u32, i32> {
    // SAFETY: the caller's promise.
    split(unsafe {
        system_call(
            IO_URING_ENTER,
            [
                fd as usize,
                to_submit as usize,
                min_complete as usize,
                flags as usize,
                argument.expose_provenance(),
                size,
            ],
        )
    })
}

/// `io_uring_register(2)`: everything that is set on a ring. `fd` is -1 for the operations that need no ring, and
/// a registered index where `opcode` has [`REGISTER_USE_REGISTERED_RING`](crate::abi::REGISTER_USE_REGISTERED_RING).
///
/// # Safety
///
/// `argument` and `count` must be what `opcode` wants.
#[inline]
pub unsafe fn register(fd: i32, opcode: u32, argument: *const c_void, count: u32) -> Result<u32, i32> {
    // SAFETY: the caller's promise.
    split(unsafe {
        system_call(
            IO_URING_REGISTER,
            [fd as usize, opcode as usize, argument.expose_provenance(), count as usize, 0, 0],
        )
    })
}

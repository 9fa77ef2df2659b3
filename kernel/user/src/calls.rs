//! The three system calls.

use core::arch::asm;

use ouzel_kernel_abi::{ALL, ENTER, SETUP, Setup, TEARDOWN};
use ouzel_ring::Errno;

/// Does any system call. The result is minus an error number, or what the call's page says.
///
/// # Safety
///
/// Whatever the kernel is asked to do to the process's memory must be sound.
pub unsafe fn system_call(number: u64, arguments: [u64; 4]) -> i64 {
    let result: i64;
    let [first, second, third, fourth] = arguments;
    // SAFETY: the kernel keeps every register but these.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") first, in("rsi") second, in("rdx") third,
            in("r10") fourth, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

fn outcome(result: i64) -> Result<u64, Errno> {
    if result < 0 { Err(Errno::from_raw(result as i32)) } else { Ok(result as u64) }
}

/// Makes a ring: its number, and where it is.
pub fn setup(hint: u64, entries: u64, completions: u64) -> Result<(u64, Setup), Errno> {
    let mut setup = Setup::default();
    let told = (&raw mut setup) as u64;
    // SAFETY: the kernel fills `setup`, and maps memory where nothing was.
    let number = outcome(unsafe { system_call(SETUP, [told, hint, entries, completions]) })?;
    Ok((number, setup))
}

/// Lets the kernel take up to `submit` entries, and waits for `wait` completions, at most for so many nanoseconds
/// ([`NEVER`](ouzel_kernel_abi::NEVER): without limit). Returns how many entries were taken.
///
/// # Safety
///
/// The entries must be sound: what they let the kernel write to must be writable, and nobody else's, until they complete.
pub unsafe fn enter(ring: u64, submit: u32, wait: u32, timeout: u64) -> Result<u64, Errno> {
    // SAFETY: the caller's promise.
    outcome(unsafe { system_call(ENTER, [ring, submit.into(), wait.into(), timeout]) })
}

/// Ends a ring. Its memory is unmapped.
///
/// # Safety
///
/// No end of the ring may be used afterwards.
pub unsafe fn teardown(ring: u64) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    outcome(unsafe { system_call(TEARDOWN, [ring, 0, 0, 0]) }).map(drop)
}

/// Ends the process with this status.
pub fn exit(status: u64) -> ! {
    loop {
        // SAFETY: nothing of the process is left.
        unsafe { system_call(TEARDOWN, [ALL, status, 0, 0]) };
    }
}

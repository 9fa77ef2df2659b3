//! The functions on bytes that compiled code expects of its C library, and the two that unwinding would need.
//!
//! Shared by the kernel and its programs (as a module of each). They use the processor's string instructions and nothing that
//! could be compiled into a call of themselves.

use core::arch::asm;

/// Copies `length` bytes between places that do not overlap.
///
/// # Safety
///
/// As for `memcpy` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise. The direction flag is clear, by the calling convention.
    unsafe {
        asm!("rep movsb", inout("rcx") length % 8 => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
        asm!("rep movsq", inout("rcx") length / 8 => _, inout("rdi") to.add(length % 8) => _,
            inout("rsi") from.add(length % 8) => _, options(nostack, preserves_flags));
    }
    to
}

/// Copies `length` bytes between places that may overlap.
///
/// # Safety
///
/// As for `memmove` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= length {
        // SAFETY: upwards, no byte is written before it is read: `to` is below `from`, or behind its end.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: downwards, no byte is written before it is read; the direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") length => _, inout("rdi") to.wrapping_add(length).wrapping_sub(1) => _,
            inout("rsi") from.wrapping_add(length).wrapping_sub(1) => _, options(nostack));
    }
    to
}

/// Fills `length` bytes.
///
/// # Safety
///
/// As for `memset` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let word = u64::from_ne_bytes([byte as u8; 8]);
    // SAFETY: the caller's promise, and the direction flag is clear.
    unsafe {
        asm!("rep stosb", inout("rcx") length % 8 => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags));
        asm!("rep stosq", inout("rcx") length / 8 => _, inout("rdi") to.add(length % 8) => _, in("rax") word,
            options(nostack, preserves_flags));
    }
    to
}

/// Compares `length` bytes.
///
/// # Safety
///
/// As for `memcmp` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: both are readable for `length` bytes.
        let (a, b) = unsafe { (one.add(at).read(), other.add(at).read()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// Compares `length` bytes for being equal.
///
/// # Safety
///
/// As for `memcmp` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    // SAFETY: the same contract.
    unsafe { memcmp(one, other, length) }
}

/// The length of a string that ends in a NUL.
///
/// # Safety
///
/// As for `strlen` of C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: bytes up to the NUL are readable.
    while unsafe { text.add(length).read() } != 0 {
        length += 1;
    }
    length
}

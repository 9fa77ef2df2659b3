//! Poisoning: telling the address sanitizer which memory may not be touched.
//!
//! Its two functions exist only in programs built with it. Stable Rust has no weak symbols, but assembly has: the
//! address of each is read from the global offset table, where the linker leaves 0 for one that does not exist. So the
//! same library serves programs with the sanitizer and without, and there is nothing to switch on. Without it, or on
//! other processors than these two, both calls do nothing.

use std::ffi::c_void;
use std::ptr::NonNull;

type Call = unsafe extern "C" fn(*const c_void, usize);

/// From now on an access to these bytes by instrumented code ends the program with a report.
pub(crate) fn forbid(start: NonNull<u8>, length: usize) {
    if let Some(call) = forbid_call() {
        // SAFETY: the sanitizer marks the bytes in memory of its own.
        unsafe { call(start.as_ptr().cast(), length) };
    }
}

/// Takes back `forbid`.
pub(crate) fn allow(start: NonNull<u8>, length: usize) {
    if let Some(call) = allow_call() {
        // SAFETY: the sanitizer marks the bytes in memory of its own.
        unsafe { call(start.as_ptr().cast(), length) };
    }
}

/// Whether this program was built with the address sanitizer.
pub(crate) fn is_there() -> bool {
    forbid_call().is_some()
}

macro_rules! weak {
    ($name:ident, $symbol:literal) => {
        fn $name() -> Option<Call> {
            let address: usize;
            #[cfg(target_arch = "x86_64")]
            // SAFETY: reads one word that the linker made; touches no flags.
            unsafe {
                std::arch::asm!(
                    concat!(".weak ", $symbol),
                    concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                    out(reg) address,
                    options(pure, readonly, nostack, preserves_flags)
                );
            }
            #[cfg(target_arch = "aarch64")]
            // SAFETY: reads one word that the linker made; touches no flags.
            unsafe {
                std::arch::asm!(
                    concat!(".weak ", $symbol),
                    concat!("adrp {0}, :got:", $symbol),
                    concat!("ldr {0}, [{0}, :got_lo12:", $symbol, "]"),
                    out(reg) address,
                    options(pure, readonly, nostack, preserves_flags)
                );
            }
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            {
                address = 0;
            }
            // SAFETY: null is none; else it is the sanitizer's function, which has this type.
            unsafe { std::mem::transmute::<usize, Option<Call>>(address) }
        }
    };
}

weak!(forbid_call, "__asan_poison_memory_region");
weak!(allow_call, "__asan_unpoison_memory_region");

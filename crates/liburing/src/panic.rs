//! What a panic does in a C program: it ends the process.
//!
//! Only in the shared libraries, where there is no Rust around that would say. Nothing here is meant to be reached.

use core::panic::PanicInfo;

unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn end(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing and does not come back.
    unsafe { abort() }
}

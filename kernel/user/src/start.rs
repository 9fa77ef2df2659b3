//! The start of a program, and its end.

use core::ffi::CStr;
use core::fmt::Write;
use core::panic::PanicInfo;

use ouzel_kernel_abi::{START_MAGIC, Start};

use crate::calls;
use crate::ring::Console;

/// The arguments of the program, its path first.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    start: &'static Start,
}

impl Arguments {
    /// What the process found at its start.
    pub fn start(&self) -> &'static Start {
        self.start
    }

    /// The arguments one after the other; one that is not UTF-8 is empty.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> + use<> {
        let (address, length) = (self.start.arguments as usize, self.start.arguments_length as usize);
        let bytes = core::ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: the kernel has put so many bytes there, and nobody writes them.
        let mut rest = unsafe { core::slice::from_raw_parts(bytes, length) };
        core::iter::from_fn(move || {
            let text = CStr::from_bytes_until_nul(rest).ok()?;
            rest = &rest[text.count_bytes() + 1..];
            Some(text.to_str().unwrap_or_default())
        })
    }
}

/// Calls `main` with the arguments, and ends the process with the status it returns. For [`program!`](crate::program).
///
/// # Safety
///
/// `start` must be what the kernel passed to the program.
pub unsafe fn begin(start: *const Start, main: fn(Arguments) -> u64) -> ! {
    // SAFETY: the caller's promise; the page is the process's as long as it lives.
    let start = unsafe { &*start };
    assert!(start.magic == START_MAGIC, "this is not the kernel that this program was written for");
    calls::exit(main(Arguments { start }))
}

/// Makes a function, from [`Arguments`] to the exit status, the program's.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn ustart(start: *const ::ouzel_kernel_abi::Start) -> ! {
            // SAFETY: the kernel starts a program so.
            unsafe { $crate::begin(start, $main) }
        }
    };
}

/// The status of a program that has panicked.
const PANICKED: u64 = 101;

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    if let Ok(mut console) = Console::open() {
        // What cannot be printed is lost.
        let _ = writeln!(console, "{information}");
    }
    calls::exit(PANICKED)
}

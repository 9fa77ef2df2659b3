//! Preparing entries: the functions that the C header defines inline, for those who cannot compile it.
//!
//! Each fills in the fields its operation has and leaves the others as they are, because programs set some of
//! them before; `io_uring_get_sqe` cleared them all. Nothing here is checked: what an entry means is the kernel's
//! affair, and preparing one does nothing yet.

mod control;
mod events;
mod files;
mod paths;
mod sockets;

use core::ffi::{c_int, c_uint};

use ouzel_uring::abi::{FILE_INDEX_ALLOC, Opcode, Sqe};

/// Defines functions that fill an entry in. The entry is the first argument in C, and the body's variable.
macro_rules! preparations {
    ($($(#[$doc:meta])* fn $name:ident($entry:ident $(, $argument:ident: $type:ty)* $(,)?) $body:block)*) => {$(
        $(#[$doc])*
        ///
        /// # Safety
        ///
        /// As the [crate] says. The entry is the program's own until it is submitted.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(sqe: *mut ouzel_uring::abi::Sqe $(, $argument: $type)*) {
            // SAFETY: the caller's promise; every bit pattern is an entry.
            let $entry = unsafe { &mut *sqe };
            $body
        }
    )*};
}

use preparations;

pub use control::*;
pub use events::*;
pub use files::*;
pub use paths::*;
pub use sockets::*;

/// Fills in what nearly all operations have.
#[inline(always)]
fn fill(entry: &mut Sqe, opcode: Opcode, fd: c_int, addr: u64, len: c_uint, off: u64) {
    entry.opcode = opcode as u8;
    entry.fd = fd;
    entry.off = off;
    entry.addr = addr;
    entry.len = len;
}

/// The address of a pointer that C gave, as the kernel takes it.
#[inline(always)]
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

/// A number that C converts to 64 bits with its sign.
#[inline(always)]
fn extended(number: c_int) -> u64 {
    i64::from(number) as u64
}

/// The slot that takes a new file: one more than its number, but the mark that lets the kernel choose stays.
#[inline(always)]
fn new_slot(entry: &mut Sqe, slot: c_uint) {
    entry.file_index = if slot == FILE_INDEX_ALLOC { slot } else { slot.wrapping_add(1) };
}

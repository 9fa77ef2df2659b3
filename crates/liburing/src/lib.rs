//! The C ABI of liburing 2.15, in pure Rust on the raw system calls of [`ouzel_uring`].
//!
//! A C program that was built for liburing runs on this library unchanged: the functions have the names, the
//! arguments and the results that liburing's have, the shared library has its name and its symbol versions, and
//! [`IoUring`] has its layout, because the functions that its header defines inline were compiled into programs
//! and touch the fields directly. `cargo xtask liburing` makes the two shared libraries, `liburing.so.2` and
//! `liburing-ffi.so.2`; the second one also has the header's inline functions, for languages that cannot compile
//! C.
//!
//! # Safety
//!
//! What comes from C is a promise, and every function here makes the same demands. A pointer to a ring points to
//! a `struct io_uring` that one of the `io_uring_queue_*` functions filled in and that is not closed yet; any
//! other pointer is valid for what its type and the manual page of the function say, for as long as the page says;
//! and one side of a ring (entries, completions) is used by one thread at a time. Entries that are handed to the
//! kernel name memory that outlives them. The safety section of a function names what goes beyond this.
//!
//! # Errors
//!
//! Functions that return `int` return 0 or a count, or a negated errno. None touches `errno`. A panic is not
//! possible by design; were there one, it would end the process.

#![no_std]
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

mod buffers;
mod calls;
mod completions;
mod handle;
mod kernel;
mod layout;
mod memory;
mod message;
#[cfg(feature = "shared-library")]
mod panic;
mod prepare;
mod probe;
mod register;
mod setup;
mod sizes;
mod submission;
mod version;
mod wait;

pub use buffers::*;
pub use calls::*;
pub use completions::*;
pub use layout::{CompletionIterator, IoUring, IoUringCq, IoUringSq};
pub use message::*;
pub use prepare::*;
pub use probe::*;
pub use register::*;
pub use setup::*;
pub use sizes::*;
pub use submission::*;
pub use version::*;
pub use wait::*;

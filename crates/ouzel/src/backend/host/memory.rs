//! System calls that no crate below has a safe form of: with `spans` the only file of `host` with `unsafe`.
//!
//! They are the C library's, which every program with `std` is linked with. A span handed to one came out of an operation
//! that is not reported yet, so its bytes are good and nobody else's; each call gets the span's own length and so
//! touches no byte beyond it. Nothing here keeps an address.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};

use ouzel_engine::Span;
use ouzel_ring::Errno;
use rustix::io;

unsafe extern "C" {
    fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
    fn getsockname(socket: c_int, address: *mut c_void, length: *mut u32) -> c_int;
    fn getpeername(socket: c_int, address: *mut c_void, length: *mut u32) -> c_int;
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
}

/// `F_OFD_SETLK` of `fcntl(2)`.
const SET_LOCK: c_int = 37;

/// `struct flock` of 64-bit systems.
#[repr(C)]
struct Flock {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    process: i32,
}

const _: () = assert!(size_of::<Flock>() == 32);

/// Closes a descriptor and says what the kernel thought of it. It is closed whatever that was.
pub(in crate::backend) fn close(descriptor: OwnedFd) -> io::Result<()> {
    // SAFETY: the number was owned and is given up.
    match unsafe { io::try_close(descriptor.into_raw_fd()) } {
        // On Linux an interrupted close has closed.
        Err(io::Errno::INTR) => Ok(()),
        other => other,
    }
}

/// The error of the call that has just failed.
fn last_error() -> Errno {
    Errno::from_raw(std::io::Error::last_os_error().raw_os_error().unwrap_or(Errno::EIO.raw()))
}

/// Who is asked for an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Own,
    Peer,
}

/// Puts as much of a socket's address as fits into the span, and says how long it is in full.
pub(super) fn address(socket: BorrowedFd<'_>, whose: Whose, span: &Span) -> Result<u32, Errno> {
    let mut length = span.length as u32;
    let (number, pointer) = (socket.as_raw_fd(), span.pointer.cast::<c_void>());
    // SAFETY: the kernel writes no more than `length` bytes to the span, which has as many (see the module's text).
    let failed = unsafe {
        match whose {
            Whose::Own => getsockname(number, pointer, &raw mut length),
            Whose::Peer => getpeername(number, pointer, &raw mut length),
        }
    };
    if failed == 0 { Ok(length) } else { Err(last_error()) }
}

/// Reads an option into the span, and says how many bytes it has filled.
pub(super) fn read_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &Span) -> Result<u32, Errno> {
    let mut length = value.length as u32;
    let pointer = value.pointer.cast::<c_void>();
    // SAFETY: as for `address`.
    let failed = unsafe { getsockopt(socket.as_raw_fd(), level, name, pointer, &raw mut length) };
    if failed == 0 { Ok(length) } else { Err(last_error()) }
}

/// Sets an option to what is in the span.
pub(super) fn write_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &Span) -> Result<(), Errno> {
    let (pointer, length) = (value.pointer.cast_const().cast::<c_void>(), value.length as u32);
    // SAFETY: the kernel reads `length` bytes of the span, which has as many (see the module's text). Of what an option
    // may mean, only the socket's own state is changed; those that name memory elsewhere are read by the kernel, which
    // answers EFAULT to what it cannot read.
    let failed = unsafe { setsockopt(socket.as_raw_fd(), level, name, pointer, length) };
    if failed == 0 { Ok(()) } else { Err(last_error()) }
}

/// Sets or takes off a lock that belongs to the open file, without waiting for anybody.
pub(super) fn set_lock(file: BorrowedFd<'_>, kind: i16, start: i64, length: i64) -> Result<(), Errno> {
    let lock = Flock { kind, whence: 0, start, length, process: 0 };
    // SAFETY: this command reads one `struct flock`.
    let failed = unsafe { fcntl(file.as_raw_fd(), SET_LOCK, &raw const lock) };
    if failed == 0 { Ok(()) } else { Err(last_error()) }
}

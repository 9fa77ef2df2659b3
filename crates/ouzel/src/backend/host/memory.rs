//! System calls that no crate below has a safe form of: the only file of `host` with `unsafe`.
//!
//! They are the C library's, which every program with `std` is linked with. A span handed to one came out of an operation
//! that is not reported yet, so its bytes are good and nobody else's; each call gets the span's own length and so
//! touches no byte beyond it. Nothing here keeps an address.

use std::ffi::{c_int, c_void};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU32;

use ouzel_engine::{Message, Span};
use ouzel_ring::Errno;
use rustix::net::SocketAddrAny;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

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

/// A socket address as the submitter wrote it.
pub(super) struct RawAddress(pub(super) Span);

// SAFETY: the span is of an operation that is not reported yet, so its bytes are readable. What they mean is for the
// kernel to judge: it copies them and answers EINVAL or EAFNOSUPPORT to what is no address.
unsafe impl SocketAddrArg for RawAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        call(self.0.pointer.cast_const().cast::<SocketAddrOpaque>(), self.0.length as SocketAddrLen)
    }
}

/// Puts as much of an address as fits into the span, and says how long it is in full.
pub(super) fn store_address(span: &Span, address: &SocketAddrAny) -> u32 {
    let length = address.addr_len();
    let size = span.length.min(length as usize);
    // SAFETY: an address has `addr_len` initialised bytes behind `as_ptr`; the span has as many of its own.
    unsafe { std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), span.pointer, size) };
    length
}

/// The pieces of a message that is sent.
pub(super) fn slices(message: &Message) -> &[IoSlice<'_>] {
    if message.count == 0 {
        return &[];
    }
    // SAFETY: a `Span` has the layout of a `struct iovec`, which is also that of an `IoSlice` (sizes are asserted below).
    // The array is valid until the report, and is handed to the kernel as it is.
    unsafe { std::slice::from_raw_parts(message.spans.cast::<IoSlice<'_>>(), message.count as usize) }
}

/// The pieces of a message that is received.
#[allow(clippy::mut_from_ref)] // The borrow is of the addresses, not of the bytes.
pub(super) fn rooms(message: &Message) -> &mut [IoSliceMut<'_>] {
    if message.count == 0 {
        return &mut [];
    }
    // SAFETY: as in `slices`. No Rust code looks through them, so that it does not matter whether two of them overlap.
    unsafe {
        std::slice::from_raw_parts_mut(
            message.spans.cast_mut().cast::<IoSliceMut<'_>>(),
            message.count as usize,
        )
    }
}

const _: () = assert!(size_of::<Span>() == size_of::<IoSlice<'static>>());
const _: () = assert!(align_of::<Span>() == align_of::<IoSlice<'static>>());

/// The word of a FUTEX, which the engine has seen to be aligned.
pub(super) fn word(span: &Span) -> &AtomicU32 {
    // SAFETY: the submitter promised four bytes that stay valid until the report, and that others touch as an atomic
    // only; the borrow of the span does not outlive its operation.
    unsafe { AtomicU32::from_ptr(span.pointer.cast::<u32>()) }
}

//! Taking apart what multishot recvmsg put into a provided buffer: a head, the sender's address, control data, and
//! the message itself. All of it is what the kernel wrote; lengths are checked before they are believed.

use core::ffi::{c_int, c_uint, c_void};
use core::ptr;

use ouzel_uring::abi::RecvmsgOut;

/// What a program wants to receive (`struct msghdr` of the C library).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MessageHeader {
    /// Room for the sender's address, unused here.
    pub name: *mut c_void,
    /// The size of that.
    pub name_length: c_uint,
    /// Unused here.
    pub vectors: *mut c_void,
    /// Unused here.
    pub vector_count: usize,
    /// Unused here.
    pub control: *mut c_void,
    /// The room for control data.
    pub control_length: usize,
    /// Unused here.
    pub flags: c_int,
}

/// The head of a control message (`struct cmsghdr`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ControlHeader {
    /// The size of the message with its head.
    pub length: usize,
    /// Whose it is.
    pub level: c_int,
    /// What it is.
    pub kind: c_int,
}

const _: () = {
    assert!(size_of::<MessageHeader>() == 56 && size_of::<ControlHeader>() == 16);
    assert!(core::mem::offset_of!(MessageHeader, control_length) == 40);
};

/// The buffer as a message, null if it is too short for what was asked: `io_uring_recvmsg_validate(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_validate(
    buffer: *mut c_void,
    length: c_int,
    message: *mut MessageHeader,
) -> *mut RecvmsgOut {
    // SAFETY: the caller's promise.
    let (name, control) = unsafe { ((*message).name_length as usize, (*message).control_length) };
    let rest = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_sub(size_of::<RecvmsgOut>()))
        .and_then(|rest| rest.checked_sub(name))
        .and_then(|rest| rest.checked_sub(control));
    if rest.is_some() { buffer.cast() } else { ptr::null_mut() }
}

/// Where the sender's address is: `io_uring_recvmsg_name(3)`.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_name(out: *mut RecvmsgOut) -> *mut c_void {
    out.wrapping_add(1).cast()
}

/// Where control data begin.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated.
unsafe fn control(out: *mut RecvmsgOut, message: *const MessageHeader) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { io_uring_recvmsg_name(out).wrapping_byte_add((*message).name_length as usize) }
}

/// The first control message, null if there is none: `io_uring_recvmsg_cmsg_firsthdr(3)`.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_cmsg_firsthdr(
    out: *mut RecvmsgOut,
    message: *mut MessageHeader,
) -> *mut ControlHeader {
    // SAFETY: the caller's promise.
    unsafe {
        if ((*out).controllen as usize) < size_of::<ControlHeader>() {
            return ptr::null_mut();
        }
        control(out, message).cast()
    }
}

/// The control message after `current`, null if there is none: `io_uring_recvmsg_cmsg_nexthdr(3)`.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated, and `current` must be in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_cmsg_nexthdr(
    out: *mut RecvmsgOut,
    message: *mut MessageHeader,
    current: *mut ControlHeader,
) -> *mut ControlHeader {
    // SAFETY: the caller's promise.
    let (start, length, current_length) = unsafe {
        (io_uring_recvmsg_cmsg_firsthdr(out, message), (*out).controllen as usize, (*current).length)
    };
    // Counted from the beginning, so that no length that the sender chose can leave the message.
    let next = current
        .addr()
        .wrapping_sub(start.addr())
        .checked_add(aligned(current_length))
        .filter(|_| current_length >= size_of::<ControlHeader>());
    let Some(next) = next else { return ptr::null_mut() };
    let place = start.wrapping_byte_add(next);
    if next.checked_add(size_of::<ControlHeader>()).is_none_or(|end| end > length) {
        return ptr::null_mut();
    }
    // SAFETY: the head of the next one lies inside, as was just checked.
    let next_length = unsafe { (*place).length };
    if next.checked_add(aligned(next_length)).is_none_or(|end| end > length) {
        return ptr::null_mut();
    }
    place
}

/// Lengths of control messages are rounded up to words.
fn aligned(length: usize) -> usize {
    length.checked_next_multiple_of(size_of::<usize>()).unwrap_or(usize::MAX)
}

/// Where the message itself is: `io_uring_recvmsg_payload(3)`.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_payload(
    out: *mut RecvmsgOut,
    message: *mut MessageHeader,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { control(out, message).wrapping_byte_add((*message).control_length) }
}

/// How much of the message there is: `io_uring_recvmsg_payload_length(3)`.
///
/// # Safety
///
/// As the [crate] says; the message must have been validated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_recvmsg_payload_length(
    out: *mut RecvmsgOut,
    length: c_int,
    message: *mut MessageHeader,
) -> c_uint {
    // SAFETY: the caller's promise.
    let start = unsafe { io_uring_recvmsg_payload(out, message) }.addr();
    let Ok(length) = usize::try_from(length) else { return 0 };
    (out.addr() + length).saturating_sub(start) as c_uint
}

//! The memory that an operation lends, in the forms that plain calls want it: for the two real backends.
//!
//! An operation names bytes by address. Whoever pushed its entry promised that they stay valid, and are used by
//! nobody else in a conflicting way, from `start` to the report. The functions here turn such an address into a slice
//! that lives no longer than the borrow of the span or operation, and whoever makes the call keeps that to itself until
//! the operation is reported: the body of a job, which is emptied before, or the step that is being started. They must
//! never be given a span that did not come out of such an operation.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use ouzel_engine::{Buffers, Message, Path, Span};
use ouzel_ring::Errno;
use rustix::fs::{RawDir, Statx};
use rustix::io;
use rustix::net::SocketAddrAny;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

const _: () = assert!(size_of::<Span>() == size_of::<IoSlice<'static>>());
const _: () = assert!(align_of::<Span>() == align_of::<IoSlice<'static>>());
const _: () = assert!(size_of::<Statx>() == ouzel_ring::modifiers::STAT_RECORD as usize);

/// The bytes of a span from `skip` on, to be read.
pub(in crate::backend) fn filled(span: &Span, skip: usize) -> &[u8] {
    let skip = skip.min(span.length);
    // SAFETY: the submitter promised `length` readable bytes until the report (see the module's text), and `skip` is
    // no more than that. An empty span has a dangling, non-null pointer, which is what an empty slice wants.
    unsafe { std::slice::from_raw_parts(span.pointer.add(skip), span.length - skip) }
}

/// The bytes of a span from `skip` on, to be filled. They count as uninitialised: nobody here reads them.
#[allow(clippy::mut_from_ref)] // The borrow is of the address, not of the bytes.
pub(in crate::backend) fn room(span: &Span, skip: usize) -> &mut [MaybeUninit<u8>] {
    let skip = skip.min(span.length);
    // SAFETY: as for `filled`, and the submitter promised not to touch the bytes in the meantime. One thread at a
    // time works on an operation (it holds a job's body, or is the one that starts it), so no second slice of these bytes
    // exists.
    unsafe {
        std::slice::from_raw_parts_mut(span.pointer.add(skip).cast::<MaybeUninit<u8>>(), span.length - skip)
    }
}

/// Calls `call` with the buffers to fill.
#[inline]
pub(in crate::backend) fn with_rooms<R>(
    buffers: &Buffers,
    call: impl FnOnce(&mut [IoSliceMut<'_>]) -> R,
) -> R {
    let mut one;
    let (spans, count) = match buffers {
        Buffers::One(span) => {
            one = *span;
            (&raw mut one, 1)
        }
        Buffers::Many { spans, count } => (spans.cast_mut(), *count),
    };
    if count == 0 {
        return call(&mut []);
    }
    // SAFETY: a `Span` has the layout of a `struct iovec`, which is also that of an `IoSliceMut` (sizes are asserted
    // above). The array is valid until the report. The slices are handed to the kernel as they are: no Rust code
    // looks through them, so that it does not matter whether two of them overlap.
    call(unsafe { std::slice::from_raw_parts_mut(spans.cast::<IoSliceMut<'_>>(), count) })
}

/// Calls `call` with the buffers to write out.
pub(in crate::backend) fn with_slices<R>(buffers: &Buffers, call: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
    let one;
    let (spans, count) = match buffers {
        Buffers::One(span) => {
            one = *span;
            (&raw const one, 1)
        }
        Buffers::Many { spans, count } => (*spans, *count),
    };
    if count == 0 {
        return call(&[]);
    }
    // SAFETY: as in `with_rooms`.
    call(unsafe { std::slice::from_raw_parts(spans.cast::<IoSlice<'_>>(), count) })
}

/// A path as a C string. The engine has checked it, but the submitter could have changed it since: then EINVAL.
pub(in crate::backend) fn path(path: &Path) -> Result<&CStr, Errno> {
    // SAFETY: the submitter promised `length` readable bytes until the report.
    let bytes = unsafe { std::slice::from_raw_parts(path.pointer, path.length) };
    CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::EINVAL)
}

/// Puts a file's description into the record of a STAT.
pub(in crate::backend) fn store_description(record: &Span, description: &Statx) {
    let room = room(record, 0);
    let size = room.len().min(size_of::<Statx>());
    // SAFETY: both are valid for `size` bytes and do not overlap: one is the submitter's, the other ours. Copying as
    // `MaybeUninit` asks nothing of spare fields.
    unsafe {
        std::ptr::copy_nonoverlapping(
            (&raw const *description).cast::<MaybeUninit<u8>>(),
            room.as_mut_ptr(),
            size,
        );
    }
}

/// The pieces of a message that is sent.
pub(in crate::backend) fn slices(message: &Message) -> &[IoSlice<'_>] {
    if message.count == 0 {
        return &[];
    }
    // SAFETY: a `Span` has the layout of a `struct iovec`, which is also that of an `IoSlice` (sizes are asserted above).
    // The array is valid until the report, and is handed to the kernel as it is.
    unsafe { std::slice::from_raw_parts(message.spans.cast::<IoSlice<'_>>(), message.count as usize) }
}

/// The pieces of a message that is received.
#[allow(clippy::mut_from_ref)] // The borrow is of the addresses, not of the bytes.
pub(in crate::backend) fn rooms(message: &Message) -> &mut [IoSliceMut<'_>] {
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

/// Puts as much of an address as fits into the span, and says how long it is in full.
pub(in crate::backend) fn store_address(span: &Span, address: &SocketAddrAny) -> u32 {
    let length = address.addr_len();
    let room = room(span, 0);
    let size = room.len().min(length as usize);
    // SAFETY: an address has `addr_len` initialised bytes behind `as_ptr`; the room is ours until the report.
    unsafe {
        std::ptr::copy_nonoverlapping(address.as_ptr().cast::<MaybeUninit<u8>>(), room.as_mut_ptr(), size);
    }
    length
}

/// A socket address as the submitter wrote it.
pub(in crate::backend) struct RawAddress(pub(in crate::backend) Span);

// SAFETY: the span is of an operation that is not reported yet, so its bytes are readable. What they mean is for the
// kernel to judge: it copies them and answers EINVAL or EAFNOSUPPORT to what is no address.
unsafe impl SocketAddrArg for RawAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        call(self.0.pointer.cast_const().cast::<SocketAddrOpaque>(), self.0.length as SocketAddrLen)
    }
}

/// Alignment of the kernel's directory records.
const RECORD_ALIGNMENT: usize = 8;

/// Bytes before the name in a directory record.
const RECORD_HEADER: usize = 19;

/// One `getdents64(2)` into the span; the number of bytes it filled.
pub(in crate::backend) fn directory_records(directory: impl AsFd, span: &Span) -> io::Result<usize> {
    let room = room(span, 0);
    if room.as_ptr().align_offset(RECORD_ALIGNMENT) == 0 {
        return aligned_records(directory, room);
    }
    // The reader wants aligned records. A buffer that is not aligned gets them by way of one that is; it is filled no
    // further than this, which is a short read.
    let length = room.len().min(1 << 16);
    let mut bounce = vec![MaybeUninit::<u8>::uninit(); length + RECORD_ALIGNMENT];
    let start = bounce.as_ptr().align_offset(RECORD_ALIGNMENT);
    let bounce = &mut bounce[start..start + length];
    let count = aligned_records(directory, bounce)?;
    room[..count].copy_from_slice(&bounce[..count]);
    Ok(count)
}

fn aligned_records(directory: impl AsFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    if room.is_empty() {
        // The reader would take this for the end.
        return Err(io::Errno::INVAL);
    }
    let mut reader = RawDir::new(directory, room);
    let mut total = 0;
    // The first record is read by the one system call; the others of that call lie behind it in the buffer.
    loop {
        match reader.next() {
            None => return Ok(total),
            Some(entry) => {
                // The kernel's own formula for the length of a record (`d_reclen`).
                let length = RECORD_HEADER + entry?.file_name().count_bytes() + 1;
                total += length.next_multiple_of(RECORD_ALIGNMENT);
            }
        }
        if reader.is_buffer_empty() {
            return Ok(total);
        }
    }
}

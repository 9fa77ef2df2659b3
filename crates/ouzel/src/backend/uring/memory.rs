//! The submitter's memory, the kernel's numbers and the other promises: the only file with `unsafe`.
//!
//! An operation names bytes by address. Whoever pushed its entry promised that they stay valid, and are used by
//! nobody else in a conflicting way, from `start` to the report; entries of the kernel's ring are made from such
//! operations and from nothing else, and an operation is reported when its last completion has been seen. The
//! functions here rest on that. They must never be given a span that did not come out of such an operation, nor a
//! number that the kernel did not just hand over.

use std::ffi::CStr;
use std::io::{IoSlice, IoSliceMut};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::slice;

use ouzel_engine::{Buffers, Path, Span};
use ouzel_ring::Errno;
use ouzel_uring::{Full, Ring, Sqe};
use rustix::fs::{RawDir, Statx};
use rustix::io;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

const _: () = assert!(size_of::<Span>() == size_of::<IoSlice<'static>>());
const _: () = assert!(align_of::<Span>() == align_of::<IoSlice<'static>>());
const _: () = assert!(size_of::<Statx>() == ouzel_ring::modifiers::STAT_RECORD as usize);

/// Puts an entry into the kernel's submission queue.
///
/// Callers are `super::Uring`, which pushes what `super::lower` made of an operation, or an entry that names no memory at
/// all (a cancel, a poll, an install); and `super::measure`, which leaks its memory unless it saw every completion.
#[inline(always)]
pub(super) fn push(ring: &mut Ring, entry: &Sqe) -> Result<(), Full> {
    // SAFETY: the memory an entry names is its operation's, valid until the report, and the report is made from the
    // entry's last completion; or it is a word of `super::lengths` or memory of `super::measure`, which are leaked if a
    // completion is missing; or it is a record of `super::hows`, which the kernel reads while it takes the entry; or it is
    // constant. Of the descriptors it names, those of the table are kept open until the report (`super::table`). None has
    // CQE_SKIP_SUCCESS but cancels, which name no memory.
    unsafe { ring.push(entry) }
}

/// Pushes the entry that was just made at the ring's next place; for the same callers and entries as [`push`].
#[inline(always)]
pub(super) fn push_placed(ring: &mut Ring) {
    // SAFETY: as for `push`; and `super::Uring` calls this only behind a lowering that succeeded, which wrote the
    // whole entry to the place.
    unsafe { ring.push_placed() }
}

/// Lets the ring be entered by an index of this thread's, which is cheaper. False if the kernel has no such thing.
///
/// For rings that stay on their thread: `super::Uring` enters on no other, and drops it on no other.
pub(super) fn register_with_thread(ring: &mut Ring) -> bool {
    // SAFETY: `super::Uring` remembers the thread, refuses to enter on another and abandons the ring there on drop.
    unsafe { ring.register_ring_fd() }.is_ok()
}

/// Takes the ring out of its owner, who is being dropped and will not use it again.
pub(super) fn take_ring(ring: &mut ManuallyDrop<Ring>) -> Ring {
    // SAFETY: the only caller is the drop of `super::Uring`, which calls it once and ends.
    unsafe { ManuallyDrop::take(ring) }
}

/// A descriptor that the kernel has just made for us and told nobody else.
pub(super) fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the caller has the number from a completion of an open, socket, accept or install of ours.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// A descriptor of the table, for a helper's call.
///
/// The table keeps it open until the operation that uses it is reported, and the operation is reported after the
/// helper's last use; if the table is dropped first, it leaks what is in use.
pub(super) fn borrow(number: RawFd) -> BorrowedFd<'static> {
    // SAFETY: see above; and `number` is not -1, since it comes from an `OwnedFd` or is `AT_FDCWD`.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// A path as a C string, for a call that only hands its address to the kernel, as an entry would. EINVAL if the
/// submitter has changed its end.
#[inline]
pub(super) fn path_at(path: &Path) -> Result<&CStr, Errno> {
    // SAFETY: the submitter promised `length` readable bytes, used by nobody else in a conflicting way, until the
    // report.
    let bytes = unsafe { slice::from_raw_parts(path.pointer, path.length) };
    match bytes.last() {
        // SAFETY: the engine has looked: the last byte and no other is NUL; and the submitter leaves them alone.
        Some(0) => Ok(unsafe { CStr::from_bytes_with_nul_unchecked(bytes) }),
        _ => Err(Errno::EINVAL),
    }
}

/// A path as a C string. The engine has checked it, but the submitter could have changed it since: then EINVAL.
pub(super) fn path(path: &Path) -> Result<&CStr, Errno> {
    // SAFETY: the submitter promised `length` readable bytes until the report.
    let bytes = unsafe { slice::from_raw_parts(path.pointer, path.length) };
    CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::EINVAL)
}

/// The bytes of a span that is to be filled. They count as uninitialised: nobody here reads them.
#[allow(clippy::mut_from_ref)] // The borrow is of the address, not of the bytes.
fn room(span: &Span) -> &mut [MaybeUninit<u8>] {
    // SAFETY: the submitter promised `length` writable bytes, used by nobody else, until the report. Only the one
    // helper that has the operation calls this. An empty span has a dangling pointer, not null.
    unsafe { slice::from_raw_parts_mut(span.pointer.cast::<MaybeUninit<u8>>(), span.length) }
}

/// Calls `call` with the buffers of a READ.
#[inline]
pub(super) fn with_rooms<R>(buffers: &Buffers, call: impl FnOnce(&mut [IoSliceMut<'_>]) -> R) -> R {
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
    // looks through them, so it matters neither whether their bytes are initialised nor whether two overlap.
    call(unsafe { slice::from_raw_parts_mut(spans.cast::<IoSliceMut<'_>>(), count) })
}

/// Puts a file's description into the record of a STAT.
pub(super) fn store_description(record: &Span, description: &Statx) {
    let room = room(record);
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

/// A socket address as the submitter wrote it.
pub(super) struct RawAddress(pub(super) Span);

// SAFETY: the submitter promised `length` readable bytes until the report. What they mean is for the kernel to judge:
// it copies them and answers EINVAL or EAFNOSUPPORT to what is no address.
unsafe impl SocketAddrArg for RawAddress {
    unsafe fn with_sockaddr<R>(&self, call: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        call(self.0.pointer.cast_const().cast::<SocketAddrOpaque>(), self.0.length as SocketAddrLen)
    }
}

/// Alignment of the kernel's directory records.
const RECORD_ALIGNMENT: usize = 8;

/// Bytes before the name in a directory record.
const RECORD_HEADER: usize = 19;

/// The most bytes that go through a buffer of our own.
const BOUNCE: usize = 1 << 16;

/// One `getdents64(2)` into the span; how many bytes it filled.
pub(super) fn directory_records(directory: BorrowedFd<'_>, span: &Span) -> io::Result<usize> {
    let room = room(span);
    if room.as_ptr().align_offset(RECORD_ALIGNMENT) == 0 {
        return aligned_records(directory, room);
    }
    // The reader wants aligned memory, so an odd buffer is filled by way of one that is not.
    let length = room.len().min(BOUNCE);
    let mut bounce = vec![MaybeUninit::<u8>::uninit(); length + RECORD_ALIGNMENT];
    let start = bounce.as_ptr().align_offset(RECORD_ALIGNMENT);
    let bounce = &mut bounce[start..start + length];
    let count = aligned_records(directory, bounce)?;
    room[..count].copy_from_slice(&bounce[..count]);
    Ok(count)
}

fn aligned_records(directory: BorrowedFd<'_>, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    if room.is_empty() {
        // The kernel is not asked for no bytes at all: that would look like the end.
        return Err(io::Errno::INVAL);
    }
    let mut reader = RawDir::new(directory, room);
    let mut total = 0;
    // The first step makes the one call; the others walk over what it brought.
    while let Some(record) = reader.next() {
        let length = RECORD_HEADER + record?.file_name().count_bytes() + 1;
        total += length.next_multiple_of(RECORD_ALIGNMENT);
        if reader.is_buffer_empty() {
            break;
        }
    }
    Ok(total)
}

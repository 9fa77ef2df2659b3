//! The submitter's memory, the kernel's numbers and the other promises: the only file with `unsafe`. What
//! operations lend to plain calls is in `host::spans`.
//!
//! An operation names bytes by address. Whoever pushed its entry promised that they stay valid, and are used by
//! nobody else in a conflicting way, from `start` to the report; entries of the kernel's ring are made from such
//! operations and from nothing else, and an operation is reported when its last completion has been seen. The
//! functions here rest on that. They must never be given a span that did not come out of such an operation, nor a
//! number that the kernel did not just hand over.

use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::slice;

use ouzel_engine::Path;
use ouzel_ring::Errno;
use ouzel_uring::{Full, Ring, Sqe};

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

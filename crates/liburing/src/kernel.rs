//! The calls into the kernel, with their errors as positive errnos.
//!
//! The ring's own three are those of [`ouzel_uring`]; the others are about memory, limits and closing. Nothing is
//! retried or remembered.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::Params;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags};

use ouzel_uring::raw;

/// A count, or a positive errno.
pub(crate) type Outcome = Result<c_uint, c_int>;

/// The size of the kernel's signal masks in bytes.
pub(crate) const SIGNAL_MASK_SIZE: usize = 8;

/// Errnos that are decided here, without asking the kernel, and how C gets them.
pub(crate) mod errno {
    use core::ffi::c_int;

    use rustix::io::Errno;

    pub(crate) const EBADF: c_int = Errno::BADF.raw_os_error();
    pub(crate) const EAGAIN: c_int = Errno::AGAIN.raw_os_error();
    pub(crate) const ENOMEM: c_int = Errno::NOMEM.raw_os_error();
    pub(crate) const EFAULT: c_int = Errno::FAULT.raw_os_error();
    pub(crate) const EEXIST: c_int = Errno::EXIST.raw_os_error();
    pub(crate) const EINVAL: c_int = Errno::INVAL.raw_os_error();
    pub(crate) const EMFILE: c_int = Errno::MFILE.raw_os_error();
    pub(crate) const ETIME: c_int = Errno::TIME.raw_os_error();
    pub(crate) const EOPNOTSUPP: c_int = Errno::OPNOTSUPP.raw_os_error();

    /// As C returns it.
    #[inline(always)]
    pub(crate) const fn negated(errno: c_int) -> c_int {
        -errno
    }
}

/// As C returns it: the count, or the errno negated.
#[inline(always)]
pub(crate) fn to_c(outcome: Outcome) -> c_int {
    match outcome {
        Ok(count) => count as c_int,
        Err(errno) => errno::negated(errno),
    }
}

/// Makes a ring; returns its descriptor or its registered index.
///
/// # Safety
///
/// What `params` says about memory of the application must be true.
pub(crate) unsafe fn setup(entries: c_uint, params: &mut Params) -> Result<c_int, c_int> {
    // SAFETY: the caller's promise.
    unsafe { raw::setup(entries, params) }.map(|fd| fd as c_int)
}

/// Enters a ring.
///
/// # Safety
///
/// `argument` must be what `flags` say, and the entries that the kernel will find must be sound.
#[inline(always)]
pub(crate) unsafe fn enter(
    fd: c_int,
    to_submit: c_uint,
    min_complete: c_uint,
    flags: c_uint,
    argument: *const c_void,
    size: usize,
) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { raw::enter(fd, to_submit, min_complete, flags, argument, size) }
}

/// Registers something.
///
/// # Safety
///
/// `argument` and `count` must be what `operation` wants.
pub(crate) unsafe fn register(
    fd: c_int,
    operation: c_uint,
    argument: *const c_void,
    count: c_uint,
) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { raw::register(fd, operation, argument, count) }
}

/// Maps `length` bytes of a ring from `offset` on.
pub(crate) fn map_ring(fd: c_int, length: usize, offset: u64) -> Result<*mut c_void, c_int> {
    if fd == -1 {
        return Err(errno::EBADF);
    }
    // SAFETY: not -1. If the number is not open or not a ring, the kernel says so, and nothing else is done to it.
    let ring = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = MapFlags::SHARED | MapFlags::POPULATE;
    // SAFETY: the kernel chooses the place, so no memory in use is replaced.
    unsafe { rustix::mm::mmap(core::ptr::null_mut(), length, READ_WRITE, flags, ring, offset) }
        .map_err(Errno::raw_os_error)
}

const READ_WRITE: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// Huge pages of 2 MiB: `MAP_HUGETLB` and the size's logarithm in the flags' upper bits (`MAP_HUGE_2MB`).
const HUGE: MapFlags = MapFlags::HUGETLB.union(MapFlags::from_bits_retain(21 << 26));

/// Maps `length` bytes of fresh memory that children share, in huge pages if `huge`.
pub(crate) fn map_shared(length: usize, huge: bool) -> Result<*mut c_void, c_int> {
    map_anonymous(length, if huge { MapFlags::SHARED | HUGE } else { MapFlags::SHARED })
}

/// Maps `length` bytes of fresh memory.
pub(crate) fn map_private(length: usize) -> Result<*mut c_void, c_int> {
    map_anonymous(length, MapFlags::PRIVATE)
}

fn map_anonymous(length: usize, flags: MapFlags) -> Result<*mut c_void, c_int> {
    // SAFETY: the kernel chooses the place, so no memory in use is replaced.
    unsafe { rustix::mm::mmap_anonymous(core::ptr::null_mut(), length, READ_WRITE, flags) }
        .map_err(Errno::raw_os_error)
}

/// Unmaps. An error leaves the memory mapped, which harms nobody, so it is not reported.
///
/// # Safety
///
/// The memory must be a mapping that nobody uses any more, or the length 0.
pub(crate) unsafe fn unmap(start: *mut c_void, length: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { rustix::mm::munmap(start, length) };
}

/// Keeps a mapping out of children.
///
/// # Safety
///
/// The memory must be a mapping.
pub(crate) unsafe fn keep_from_children(start: *mut c_void, length: usize) -> Result<(), c_int> {
    // SAFETY: the caller's promise; the advice changes nothing in this process.
    unsafe { rustix::mm::madvise(start, length, Advice::LinuxDontFork) }.map_err(Errno::raw_os_error)
}

/// The size of a page.
pub(crate) fn page_size() -> usize {
    // There is but one on x86_64, and rings may be made before anything else runs.
    if cfg!(target_arch = "x86_64") { 4096 } else { rustix::param::page_size() }
}

/// Closes a descriptor. The number is free afterwards, whatever the kernel says.
///
/// # Safety
///
/// It must be the ring's own.
pub(crate) unsafe fn close(fd: c_int) {
    if fd != -1 {
        // SAFETY: the caller's promise.
        unsafe { rustix::io::close(fd) };
    }
}

/// Raises the process's limit of open files by `more` if it is below that, as far as it may be raised.
pub(crate) fn raise_file_limit(more: c_uint) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current else { return };
    if current < u64::from(more) {
        // Refused if it would pass the hard limit; the caller finds out when it tries again.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit { current: Some(current + u64::from(more)), maximum: limit.maximum },
        );
    }
}

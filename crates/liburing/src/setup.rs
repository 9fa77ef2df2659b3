//! Making rings and closing them.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{Params, SetupFlags};

use crate::handle::Handle;
use crate::kernel::{self, errno, to_c};
use crate::layout::{IoUring, IoUringCq, IoUringSq, internal};
use crate::memory;
use crate::register::io_uring_unregister_ring_fd;
use crate::sizes::entries_size;

/// Makes a ring as asked, without trying anything else. Returns how much of the given memory it uses, or 0 if it
/// maps its own.
fn make(
    entries: c_uint,
    params: &mut Params,
    given: Option<(*mut c_void, usize)>,
) -> Result<(IoUring, usize), c_int> {
    let flags = SetupFlags::from_bits_retain(params.flags);
    let own_memory = flags.contains(SetupFlags::NO_MMAP);
    if flags.contains(SetupFlags::REGISTERED_FD_ONLY) && !own_memory {
        // A ring without a descriptor could not be mapped. The kernel refuses it too; so there is nothing to undo.
        return Err(errno::EINVAL);
    }

    let mut ring = IoUring::EMPTY;
    let mut used = 0;
    if own_memory {
        used = memory::provide(entries, params, &mut ring.sq, &mut ring.cq, given)?;
        if given.is_some() {
            ring.int_flags |= internal::APPLICATION_MEMORY;
        }
    }

    // SAFETY: without a mapping, the addresses lead to memory of the size that the kernel will use.
    let fd = match unsafe { kernel::setup(entries, params) } {
        Ok(fd) => fd,
        Err(errno) => {
            if own_memory && given.is_none() {
                // SAFETY: no ring came to be, so nobody uses the memory.
                unsafe { memory::withdraw(&mut ring.sq, &mut ring.cq) };
            }
            return Err(errno);
        }
    };
    if own_memory {
        // SAFETY: this is the memory that the ring was given.
        unsafe { memory::point_into_mappings(params, &mut ring.sq, &mut ring.cq) };
    } else if let Err(errno) = memory::map(fd, params, &mut ring.sq, &mut ring.cq) {
        // SAFETY: made above, and nobody else knows of it.
        unsafe { kernel::close(fd) };
        return Err(errno);
    }

    let flags = SetupFlags::from_bits_retain(params.flags);
    if !flags.contains(SetupFlags::NO_SQARRAY) {
        // SAFETY: the array has an element for each entry, and nothing has been submitted yet.
        unsafe { memory::fill_array(&ring.sq, ring.sq.ring_entries) };
    }
    ring.features = params.features;
    ring.flags = params.flags;
    ring.enter_ring_fd = fd;
    ring.ring_fd = fd;
    if flags.contains(SetupFlags::REGISTERED_FD_ONLY) {
        ring.ring_fd = -1;
        ring.int_flags |= internal::REGISTERED | internal::REGISTERS_BY_INDEX;
    }
    if flags.contains(SetupFlags::IOPOLL) && !flags.contains(SetupFlags::SQPOLL) {
        ring.int_flags |= internal::MUST_ASK;
    }
    Ok((ring, used))
}

/// Makes a ring without an array of indices if the kernel can, else as asked. What was made stands in `params`.
fn make_without_array(
    entries: c_uint,
    params: &mut Params,
    given: Option<(*mut c_void, usize)>,
) -> Result<(IoUring, usize), c_int> {
    let asked = params.flags;
    params.flags |= SetupFlags::NO_SQARRAY.bits();
    let made = make(entries, params, given);
    let explicit = asked & SetupFlags::NO_SQARRAY.bits() != 0;
    if made.as_ref().err() != Some(&errno::EINVAL) || explicit {
        return made;
    }
    params.flags = asked;
    make(entries, params, given)
}

/// Stores a ring that was made, or nothing in its place.
///
/// # Safety
///
/// `ring` must be valid to write to.
unsafe fn store(ring: *mut IoUring, made: Result<(IoUring, usize), c_int>) -> Result<c_uint, c_int> {
    let (value, outcome) = match made {
        Ok((value, used)) => (value, Ok(used as c_uint)),
        Err(errno) => (IoUring::EMPTY, Err(errno)),
    };
    // SAFETY: the caller's promise; a fresh structure may be uninitialised, so it is not dropped or read.
    unsafe { ring.write(value) };
    outcome
}

/// Makes a ring that maps its own memory.
///
/// # Safety
///
/// `ring` must be valid to write to.
pub(crate) unsafe fn queue_init(
    entries: c_uint,
    ring: *mut IoUring,
    params: &mut Params,
) -> Result<c_uint, c_int> {
    // SAFETY: the caller's promise.
    unsafe { store(ring, make_without_array(entries, params, None)) }.map(|_| 0)
}

/// What C gave as memory for a ring, null being none.
fn given(buffer: *mut c_void, size: usize) -> Option<(*mut c_void, usize)> {
    if buffer.is_null() { None } else { Some((buffer, size)) }
}

/// Makes a ring of `entries`: `io_uring_queue_init(3)`.
///
/// # Safety
///
/// As the [crate] says, but `ring` need not hold anything yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init(entries: c_uint, ring: *mut IoUring, flags: c_uint) -> c_int {
    let mut params = Params { flags, ..Params::default() };
    // SAFETY: the caller's promise.
    to_c(unsafe { queue_init(entries, ring, &mut params) })
}

/// Makes a ring with parameters, and tells in them what it became: `io_uring_queue_init_params(3)`.
///
/// # Safety
///
/// As the [crate] says, but `ring` need not hold anything yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init_params(
    entries: c_uint,
    ring: *mut IoUring,
    params: *mut Params,
) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { queue_init(entries, ring, &mut *params) })
}

/// Makes a ring in `size` bytes of memory at `buffer`, and returns how many of them it uses:
/// `io_uring_queue_init_mem(3)`.
///
/// # Safety
///
/// As the [crate] says, but `ring` need not hold anything yet. The memory belongs to the ring until it is closed
/// and the kernel has let go of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_init_mem(
    entries: c_uint,
    ring: *mut IoUring,
    params: *mut Params,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    let params = unsafe { &mut *params };
    params.flags |= SetupFlags::NO_MMAP.bits();
    let made = make_without_array(entries, params, given(buffer, size));
    // SAFETY: the caller's promise.
    to_c(unsafe { store(ring, made) })
}

/// Makes a ring exactly as asked. Not in the manual: liburing's own tests call it.
///
/// # Safety
///
/// As [`io_uring_queue_init_mem`]; the memory is used only with `IORING_SETUP_NO_MMAP`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __io_uring_queue_init_params(
    entries: c_uint,
    ring: *mut IoUring,
    params: *mut Params,
    buffer: *mut c_void,
    size: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    to_c(unsafe { store(ring, make(entries, &mut *params, given(buffer, size))) })
}

/// Maps a ring that was made with `io_uring_setup`: `io_uring_queue_mmap(3)`.
///
/// # Safety
///
/// As the [crate] says, but `ring` need not hold anything yet. `fd` must be a ring that `params` came from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_mmap(fd: c_int, params: *mut Params, ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let params = unsafe { &*params };
    let mut made = IoUring::EMPTY;
    let mapped = memory::map(fd, params, &mut made.sq, &mut made.cq).map(|()| {
        made.flags = params.flags;
        made.features = params.features;
        made.ring_fd = fd;
        made.enter_ring_fd = fd;
        (made, 0)
    });
    // SAFETY: the caller's promise.
    to_c(unsafe { store(ring, mapped) })
}

/// Keeps the ring's memory out of children: `io_uring_ring_dontfork(3)`.
///
/// # Safety
///
/// As the [crate] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_ring_dontfork(ring: *mut IoUring) -> c_int {
    // SAFETY: the caller's promise.
    let ring = unsafe { Handle::new(ring) };
    let (sq, cq) = (ring.sq(), ring.cq());
    if sq.ring_ptr.is_null() || sq.sqes.is_null() || cq.ring_ptr.is_null() {
        return errno::negated(errno::EINVAL);
    }
    let entries = (sq.sqes.cast::<c_void>(), entries_size(ring.flags(), sq.ring_entries));
    let second = if cq.ring_ptr == sq.ring_ptr { None } else { Some((cq.ring_ptr, cq.ring_sz)) };
    for (start, length) in [Some(entries), Some((sq.ring_ptr, sq.ring_sz)), second].into_iter().flatten() {
        // SAFETY: these are the ring's mappings.
        if let Err(errno) = unsafe { kernel::keep_from_children(start, length) } {
            return errno::negated(errno);
        }
    }
    0
}

/// Closes a ring: `io_uring_queue_exit(3)`. The kernel may go on with what was submitted.
///
/// # Safety
///
/// As the [crate] says. Nobody may use the ring afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_queue_exit(ring: *mut IoUring) {
    // SAFETY: the caller's promise.
    let handle = unsafe { Handle::new(ring) };
    if !handle.has(internal::APPLICATION_MEMORY) {
        // SAFETY: the caller's promise: nobody uses the ring any more.
        unsafe { memory::unmap_all(&handle.sq(), &handle.cq()) };
    }
    if handle.has(internal::REGISTERED) {
        // Not needed to close it, but the index is free at once and not only when the thread ends.
        // SAFETY: the caller's promise.
        unsafe { io_uring_unregister_ring_fd(ring) };
    }
    // SAFETY: the ring's own descriptor, or -1.
    unsafe { kernel::close(handle.ring_fd()) };
}

/// Unmaps the words and the completions of a ring. Not in the manual: liburing's own tests call it.
///
/// # Safety
///
/// The two must be sides of a ring that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_unmap_rings(sq: *mut IoUringSq, cq: *mut IoUringCq) {
    // SAFETY: the caller's promise.
    unsafe { memory::unmap_queues(&*sq, &*cq) };
}

//! The structures of the C header, field for field.
//!
//! Plain data. Programs that were compiled long ago read and write these fields, so nothing may move, and the
//! meaning of a field is part of the ABI too. What each one means is said where it is first of use; where a name
//! begins with `k`, it points into memory shared with the kernel.

use core::ffi::{c_int, c_uint, c_void};
use core::mem::{offset_of, size_of};

use ouzel_uring::abi::{Cqe, Sqe};

/// The submission side of a ring (`struct io_uring_sq`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoUringSq {
    /// Entries the kernel has taken.
    pub khead: *mut c_uint,
    /// Entries we have published.
    pub ktail: *mut c_uint,
    /// The same as `ring_mask`, for programs built before that field was there.
    pub kring_mask: *mut c_uint,
    /// The same as `ring_entries`, for programs built before that field was there.
    pub kring_entries: *mut c_uint,
    /// The kernel's flags.
    pub kflags: *mut c_uint,
    /// Entries dropped as invalid.
    pub kdropped: *mut c_uint,
    /// The array of indices, null in rings without one.
    pub array: *mut c_uint,
    /// The entries.
    pub sqes: *mut Sqe,
    /// The first entry that was handed out and is not published yet.
    pub sqe_head: c_uint,
    /// The entry that will be handed out next.
    pub sqe_tail: c_uint,
    /// The size of the mapping at `ring_ptr`, or 0 if there is nothing to unmap.
    pub ring_sz: usize,
    /// The queue's words.
    pub ring_ptr: *mut c_void,
    /// `ring_entries - 1`.
    pub ring_mask: c_uint,
    /// How many entries there are.
    pub ring_entries: c_uint,
    /// The size of the mapping at `sqes`, in bytes.
    pub sqes_sz: c_uint,
    /// Unused.
    pub pad: c_uint,
}

/// The completion side of a ring (`struct io_uring_cq`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoUringCq {
    /// Completions we have taken.
    pub khead: *mut c_uint,
    /// Completions the kernel has posted.
    pub ktail: *mut c_uint,
    /// The same as `ring_mask`, for programs built before that field was there.
    pub kring_mask: *mut c_uint,
    /// The same as `ring_entries`, for programs built before that field was there.
    pub kring_entries: *mut c_uint,
    /// Our flags, null on kernels that have none.
    pub kflags: *mut c_uint,
    /// Completions lost.
    pub koverflow: *mut c_uint,
    /// The completions.
    pub cqes: *mut Cqe,
    /// The size of the mapping at `ring_ptr`, or 0.
    pub ring_sz: usize,
    /// The queue's words.
    pub ring_ptr: *mut c_void,
    /// `ring_entries - 1`.
    pub ring_mask: c_uint,
    /// How many completions there is room for.
    pub ring_entries: c_uint,
    /// Unused.
    pub pad: [c_uint; 2],
}

/// A ring (`struct io_uring`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoUring {
    /// Its submission side.
    pub sq: IoUringSq,
    /// Its completion side.
    pub cq: IoUringCq,
    /// The flags it was set up with.
    pub flags: c_uint,
    /// Its descriptor, or -1 if it has none (any more).
    pub ring_fd: c_int,
    /// What the kernel said it can do.
    pub features: c_uint,
    /// What to enter it by: the descriptor or a registered index.
    pub enter_ring_fd: c_int,
    /// The library's own flags.
    pub int_flags: u8,
    /// Unused.
    pub pad: [u8; 3],
    /// Unused.
    pub pad2: c_uint,
}

/// The bits of [`IoUring::int_flags`]. Those that are also flags of `io_uring_enter(2)` have its values.
pub(crate) mod internal {
    use ouzel_uring::abi::EnterFlags;

    /// `enter_ring_fd` may be used for registering too.
    pub const REGISTERS_BY_INDEX: u8 = 1;
    /// The memory of the queues is the application's.
    pub const APPLICATION_MEMORY: u8 = 2;
    /// Completions must be asked for (polled rings without a thread of the kernel's).
    pub const MUST_ASK: u8 = 4;
    /// `enter_ring_fd` is a registered index.
    pub const REGISTERED: u8 = EnterFlags::REGISTERED_RING.bits() as u8;
    /// Waiting does not count as waiting for I/O.
    pub const NO_IOWAIT: u8 = EnterFlags::NO_IOWAIT.bits() as u8;
    /// The bits that go along with every enter.
    pub const ENTER: u8 = REGISTERED | NO_IOWAIT;
}

impl IoUring {
    /// Nothing: all bits zero.
    pub(crate) const EMPTY: Self = Self {
        sq: IoUringSq::EMPTY,
        cq: IoUringCq::EMPTY,
        flags: 0,
        ring_fd: 0,
        features: 0,
        enter_ring_fd: 0,
        int_flags: 0,
        pad: [0; 3],
        pad2: 0,
    };
}

impl IoUringSq {
    /// Nothing: all bits zero.
    pub(crate) const EMPTY: Self = Self {
        khead: core::ptr::null_mut(),
        ktail: core::ptr::null_mut(),
        kring_mask: core::ptr::null_mut(),
        kring_entries: core::ptr::null_mut(),
        kflags: core::ptr::null_mut(),
        kdropped: core::ptr::null_mut(),
        array: core::ptr::null_mut(),
        sqes: core::ptr::null_mut(),
        sqe_head: 0,
        sqe_tail: 0,
        ring_sz: 0,
        ring_ptr: core::ptr::null_mut(),
        ring_mask: 0,
        ring_entries: 0,
        sqes_sz: 0,
        pad: 0,
    };
}

impl IoUringCq {
    /// Nothing: all bits zero.
    pub(crate) const EMPTY: Self = Self {
        khead: core::ptr::null_mut(),
        ktail: core::ptr::null_mut(),
        kring_mask: core::ptr::null_mut(),
        kring_entries: core::ptr::null_mut(),
        kflags: core::ptr::null_mut(),
        koverflow: core::ptr::null_mut(),
        cqes: core::ptr::null_mut(),
        ring_sz: 0,
        ring_ptr: core::ptr::null_mut(),
        ring_mask: 0,
        ring_entries: 0,
        pad: [0; 2],
    };
}

/// A walk over the completions that were there when it began (`struct io_uring_cqe_iter`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CompletionIterator {
    /// The completions.
    pub cqes: *mut Cqe,
    /// The number of places, less one.
    pub mask: c_uint,
    /// 1 in rings whose completions have 32 bytes.
    pub shift: c_uint,
    /// The next one.
    pub head: c_uint,
    /// Where it ends.
    pub tail: c_uint,
}

const _: () = {
    assert!(size_of::<IoUringSq>() == 104 && size_of::<IoUringCq>() == 88 && size_of::<IoUring>() == 216);
    assert!(offset_of!(IoUringSq, sqes) == 56 && offset_of!(IoUringSq, sqe_head) == 64);
    assert!(offset_of!(IoUringSq, ring_sz) == 72 && offset_of!(IoUringSq, ring_mask) == 88);
    assert!(offset_of!(IoUringSq, sqes_sz) == 96);
    assert!(offset_of!(IoUringCq, cqes) == 48 && offset_of!(IoUringCq, ring_sz) == 56);
    assert!(offset_of!(IoUringCq, ring_mask) == 72);
    assert!(offset_of!(IoUring, cq) == 104 && offset_of!(IoUring, flags) == 192);
    assert!(offset_of!(IoUring, ring_fd) == 196 && offset_of!(IoUring, features) == 200);
    assert!(offset_of!(IoUring, enter_ring_fd) == 204 && offset_of!(IoUring, int_flags) == 208);
    assert!(size_of::<CompletionIterator>() == 24);
};

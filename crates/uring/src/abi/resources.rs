//! The arguments of `io_uring_register(2)`: slots, buffers, workers, restrictions, regions, clocks; and the two
//! structures that entries point to.
//!
//! Fields named `reserved` must be zero: the kernel refuses the call otherwise.

use core::mem::{align_of, offset_of, size_of};

use super::Timespec;

/// A range of slots (`struct io_uring_file_index_range`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileIndexRange {
    /// The first slot.
    pub off: u32,
    /// How many.
    pub len: u32,
    /// Zero.
    pub reserved: u64,
}

/// Registers resources (`struct io_uring_rsrc_register`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RsrcRegister {
    /// How many.
    pub nr: u32,
    /// [`RsrcFlags`](super::RsrcFlags).
    pub flags: u32,
    /// Zero.
    pub reserved: u64,
    /// A pointer to the resources, or 0 if sparse.
    pub data: u64,
    /// A pointer to their tags, or 0.
    pub tags: u64,
}

/// Replaces registered resources (`struct io_uring_rsrc_update`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RsrcUpdate {
    /// The first slot.
    pub offset: u32,
    /// Zero.
    pub reserved: u32,
    /// A pointer to the new resources, or a descriptor where a ring is registered.
    pub data: u64,
}

/// Cancels and waits for the end (`struct io_uring_sync_cancel_reg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCancelReg {
    /// The user data to look for.
    pub addr: u64,
    /// The descriptor or slot to look for.
    pub fd: i32,
    /// [`CancelFlags`](super::CancelFlags).
    pub flags: u32,
    /// How long to wait; -1 in both fields is forever.
    pub timeout: Timespec,
    /// The opcode to look for.
    pub opcode: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// Zero.
    pub reserved2: [u64; 3],
}

/// How `openat2` opens (`struct open_how`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// `O_*`, without O_CLOEXEC where the result is a slot.
    pub flags: u64,
    /// The permissions of a file that is created; must be zero otherwise.
    pub mode: u64,
    /// `RESOLVE_*`.
    pub resolve: u64,
}

/// Replaces registered files, in the form before tags (`struct io_uring_files_update`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesUpdate {
    /// The first slot.
    pub offset: u32,
    /// Zero.
    pub reserved: u32,
    /// A pointer to the descriptors.
    pub fds: u64,
}

/// Replaces registered resources and their tags (`struct io_uring_rsrc_update2`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RsrcUpdate2 {
    /// The first slot.
    pub offset: u32,
    /// Zero.
    pub reserved: u32,
    /// A pointer to the new resources.
    pub data: u64,
    /// A pointer to their tags, or 0.
    pub tags: u64,
    /// How many.
    pub nr: u32,
    /// Zero.
    pub reserved2: u32,
}

/// Memory as vectored calls take it (`struct iovec`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iovec {
    /// Its address.
    pub base: u64,
    /// Its size in bytes.
    pub length: u64,
}

/// One thing that a restricted ring may do (`struct io_uring_restriction`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    /// A number of [`restriction`].
    pub opcode: u16,
    /// The register operation, the opcode or the [`SqeFlags`](super::SqeFlags), as `opcode` says.
    pub value: u8,
    /// Zero.
    pub reserved: u8,
    /// Zero.
    pub reserved2: [u32; 3],
}

/// What a [`Restriction`] is about (`enum io_uring_register_restriction_op`).
pub mod restriction {
    /// A register operation is allowed.
    pub const REGISTER_OP: u16 = 0;
    /// An opcode is allowed.
    pub const SQE_OP: u16 = 1;
    /// Entry flags are allowed.
    pub const SQE_FLAGS_ALLOWED: u16 = 2;
    /// Entry flags must be set.
    pub const SQE_FLAGS_REQUIRED: u16 = 3;
}

/// The head of restrictions for all rings of a task (`struct io_uring_task_restriction`); the restrictions
/// follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskRestriction {
    /// None so far.
    pub flags: u16,
    /// How many restrictions follow.
    pub nr_res: u16,
    /// Zero.
    pub reserved: [u32; 3],
}

/// The clock that waits go by (`struct io_uring_clock_register`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockRegister {
    /// `CLOCK_MONOTONIC` (1) or `CLOCK_BOOTTIME` (7).
    pub clockid: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// Takes over the registered buffers of another ring (`struct io_uring_clone_buffers`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneBuffers {
    /// That ring.
    pub src_fd: u32,
    /// [`CloneFlags`](super::CloneFlags).
    pub flags: u32,
    /// The first buffer there.
    pub src_off: u32,
    /// Its place here.
    pub dst_off: u32,
    /// How many; 0 is all.
    pub nr: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// Memory shared with the kernel (`struct io_uring_region_desc`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegionDesc {
    /// With `RegionFlags::USER`: the memory, aligned to a page. Else zero.
    pub user_addr: u64,
    /// Its size in bytes, whole pages.
    pub size: u64,
    /// [`RegionFlags`](super::RegionFlags).
    pub flags: u32,
    /// Answer, where one is given.
    pub id: u32,
    /// Answer: where to map memory that the kernel allocated.
    pub mmap_offset: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Registers such memory (`struct io_uring_mem_region_reg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemRegionReg {
    /// A pointer to a [`RegionDesc`].
    pub region_uptr: u64,
    /// [`MemRegionFlags`](super::MemRegionFlags).
    pub flags: u64,
    /// Zero.
    pub reserved: [u64; 2],
}

/// Busy polling of network devices (`struct io_uring_napi`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Napi {
    /// How long to poll, in microseconds.
    pub busy_poll_to: u32,
    /// 1 to prefer polling over interrupts.
    pub prefer_busy_poll: u8,
    /// A number of [`napi`] (6.13).
    pub opcode: u8,
    /// Zero.
    pub reserved: [u8; 2],
    /// What `opcode` wants: a tracking strategy or a device (6.13).
    pub op_param: u32,
    /// Zero.
    pub reserved2: u32,
}

/// What [`Napi::opcode`] may be and what its parameter means (`enum io_uring_napi_op`,
/// `enum io_uring_napi_tracking_strategy`).
pub mod napi {
    /// Sets the strategy that is the parameter.
    pub const REGISTER: u8 = 0;
    /// Adds the device that is the parameter.
    pub const STATIC_ADD_ID: u8 = 1;
    /// Removes the device that is the parameter.
    pub const STATIC_DELETE_ID: u8 = 2;
    /// Strategy: devices are learned from the sockets used.
    pub const TRACKING_DYNAMIC: u32 = 0;
    /// Strategy: devices are those added by hand.
    pub const TRACKING_STATIC: u32 = 1;
    /// Strategy, only in answers: none.
    pub const TRACKING_INACTIVE: u32 = 255;
}

/// What precedes a message that multishot recvmsg put into a provided buffer (`struct io_uring_recvmsg_out`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecvmsgOut {
    /// The length of the sender's address; more than there was room for if it was cut.
    pub namelen: u32,
    /// The length of the control data.
    pub controllen: u32,
    /// The length of the message; more than there was room for if it was cut.
    pub payloadlen: u32,
    /// `MSG_*`.
    pub flags: u32,
}

/// Protection information of a read or write (`struct io_uring_attr_pi`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrPi {
    /// Which checks the device makes.
    pub flags: u16,
    /// The application's tag.
    pub app_tag: u16,
    /// The size of the protection buffer.
    pub len: u32,
    /// A pointer to it.
    pub addr: u64,
    /// The first reference tag.
    pub seed: u64,
    /// Zero.
    pub reserved: u64,
}

/// A time whose fields are unsigned, in completions of 32 bytes (`struct io_timespec`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoTimespec {
    /// Whole seconds.
    pub tv_sec: u64,
    /// Nanoseconds.
    pub tv_nsec: u64,
}

/// One futex of several (`struct futex_waitv`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FutexWaitv {
    /// The value it is expected to have.
    pub val: u64,
    /// A pointer to it.
    pub uaddr: u64,
    /// [`FutexFlags`](super::FutexFlags).
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// In an array of descriptors: the slot stays as it is (`IORING_REGISTER_FILES_SKIP`).
pub const FILES_SKIP: i32 = -2;

const _: () = {
    assert!(size_of::<FileIndexRange>() == 16);
    assert!(
        size_of::<RsrcRegister>() == 32 && size_of::<RsrcUpdate>() == 16 && size_of::<FilesUpdate>() == 16
    );
    assert!(size_of::<RsrcUpdate2>() == 32 && offset_of!(RsrcUpdate2, nr) == 24);
    assert!(size_of::<Iovec>() == 16 && align_of::<Iovec>() == 8);
    assert!(size_of::<Restriction>() == 16 && offset_of!(Restriction, value) == 2);
    assert!(size_of::<TaskRestriction>() == 16 && size_of::<ClockRegister>() == 16);
    assert!(size_of::<CloneBuffers>() == 32 && offset_of!(CloneBuffers, nr) == 16);
    assert!(size_of::<RegionDesc>() == 64 && offset_of!(RegionDesc, mmap_offset) == 24);
    assert!(size_of::<MemRegionReg>() == 32 && size_of::<Napi>() == 16 && offset_of!(Napi, op_param) == 8);
    assert!(size_of::<SyncCancelReg>() == 64 && offset_of!(SyncCancelReg, opcode) == 32);
    assert!(size_of::<RecvmsgOut>() == 16 && size_of::<AttrPi>() == 32 && size_of::<IoTimespec>() == 16);
    assert!(size_of::<FutexWaitv>() == 24 && size_of::<OpenHow>() == 24);
};

//! What the two queues and the calls that make and drive them are made of.

use core::mem::{align_of, offset_of, size_of};
use core::time::Duration;

use super::{CQE_BUFFER_SHIFT, CqeFlags};

/// A completion (`struct io_uring_cqe`), 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cqe {
    /// What the entry carried in its `user_data`.
    pub user_data: u64,
    /// The verb's result: a count or a number if it is not negative, else a negated errno.
    pub res: i32,
    /// [`CqeFlags`] in the lower half, a buffer's number in the upper.
    pub flags: u32,
}

impl Cqe {
    /// The result as a count, or the errno (positive).
    #[inline]
    pub const fn result(&self) -> Result<u32, i32> {
        if self.res < 0 { Err(self.res.wrapping_neg()) } else { Ok(self.res as u32) }
    }

    /// The flags, those this crate does not know included.
    #[inline]
    pub const fn cqe_flags(&self) -> CqeFlags {
        CqeFlags::from_bits_retain(self.flags)
    }

    /// Whether more completions of the same entry will follow.
    #[inline]
    pub const fn has_more(&self) -> bool {
        self.flags & CqeFlags::MORE.bits() != 0
    }

    /// The number of the buffer the kernel chose, if it chose one.
    #[inline]
    pub const fn buffer(&self) -> Option<u16> {
        if self.flags & CqeFlags::BUFFER.bits() == 0 {
            return None;
        }
        Some((self.flags >> CQE_BUFFER_SHIFT) as u16)
    }
}

/// A completion of 32 bytes (`struct io_uring_cqe` with its `big_cqe`), in rings with `SetupFlags::CQE32` and,
/// where its flags say `CqeFlags::CQE_32`, with `SetupFlags::CQE_MIXED`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cqe32 {
    /// The first half, as every completion has it.
    pub cqe: Cqe,
    /// The second half; what it means is the verb's affair.
    pub extra: [u64; 2],
}

/// Offsets into the submission queue's mapping (`struct io_sqring_offsets`), in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqOffsets {
    /// Written by the kernel: entries it has consumed.
    pub head: u32,
    /// Written by us: entries we have published.
    pub tail: u32,
    /// `ring_entries - 1`.
    pub ring_mask: u32,
    /// The number of entries, a power of two.
    pub ring_entries: u32,
    /// [`SqRingFlags`](super::SqRingFlags), written by the kernel.
    pub flags: u32,
    /// Entries the kernel dropped because their index was invalid.
    pub dropped: u32,
    /// The array of indices; meaningless with `SetupFlags::NO_SQARRAY`.
    pub array: u32,
    /// Zero.
    pub reserved: u32,
    /// With `SetupFlags::NO_MMAP`: the application's memory for the entries.
    pub user_addr: u64,
}

/// Offsets into the completion queue's mapping (`struct io_cqring_offsets`), in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CqOffsets {
    /// Written by us: completions we have taken.
    pub head: u32,
    /// Written by the kernel: completions it has posted.
    pub tail: u32,
    /// `ring_entries - 1`.
    pub ring_mask: u32,
    /// The number of completion entries, a power of two.
    pub ring_entries: u32,
    /// Completions lost; stays zero with `Features::NODROP` unless memory ran out.
    pub overflow: u32,
    /// The completions themselves.
    pub cqes: u32,
    /// [`CqRingFlags`](super::CqRingFlags), written by us; zero on kernels that have none.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// With `SetupFlags::NO_MMAP`: the application's memory for the rings.
    pub user_addr: u64,
}

/// What `io_uring_setup(2)` is told and what it answers (`struct io_uring_params`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// Answer: the number of submission entries.
    pub sq_entries: u32,
    /// With `SetupFlags::CQSIZE` a wish; answer: the number of completion entries.
    pub cq_entries: u32,
    /// [`SetupFlags`](super::SetupFlags).
    pub flags: u32,
    /// With `SetupFlags::SQ_AFF`: the processor the kernel's thread runs on.
    pub sq_thread_cpu: u32,
    /// With `SetupFlags::SQPOLL`: how long that thread spins before it sleeps, in milliseconds.
    pub sq_thread_idle: u32,
    /// Answer: [`Features`](super::Features).
    pub features: u32,
    /// With `SetupFlags::ATTACH_WQ`: the ring whose workers to share.
    pub wq_fd: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// Answer: where the submission queue's words are.
    pub sq_off: SqOffsets,
    /// Answer: where the completion queue's words are.
    pub cq_off: CqOffsets,
}

/// One opcode's answer in a probe (`struct io_uring_probe_op`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeOp {
    /// The opcode's number.
    pub op: u8,
    reserved: u8,
    /// Bit 0: supported (`IO_URING_OP_SUPPORTED`).
    pub flags: u16,
    reserved2: u32,
}

/// The buffer of a probe (`struct io_uring_probe` with room for every opcode there can be).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProbeBuffer {
    /// Answer: the last opcode the kernel knows.
    pub last_op: u8,
    /// Answer: how many of `ops` are filled in.
    pub ops_len: u8,
    reserved: u16,
    reserved2: [u32; 3],
    /// Answer: one element per opcode.
    pub ops: [ProbeOp; 256],
}

impl Default for ProbeBuffer {
    fn default() -> Self {
        let nothing = ProbeOp { op: 0, reserved: 0, flags: 0, reserved2: 0 };
        Self { last_op: 0, ops_len: 0, reserved: 0, reserved2: [0; 3], ops: [nothing; 256] }
    }
}

/// The extended argument of `io_uring_enter(2)` (`struct io_uring_getevents_arg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetEventsArg {
    /// A pointer to a signal mask, or 0.
    pub sigmask: u64,
    /// Its size in bytes.
    pub sigmask_sz: u32,
    /// How long to wait for the whole batch before settling for one completion, in microseconds.
    pub min_wait_usec: u32,
    /// A pointer to a [`Timespec`], or 0 for no limit.
    pub ts: u64,
}

/// The argument of a registered wait (`struct io_uring_reg_wait`), an element of a region that was registered
/// for such.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegWait {
    /// How long to wait, if `flags` say so.
    pub ts: Timespec,
    /// How long to wait for the whole batch before settling for one completion, in microseconds.
    pub min_wait_usec: u32,
    /// [`RegWaitFlags`](super::RegWaitFlags).
    pub flags: u32,
    /// A pointer to a signal mask, or 0.
    pub sigmask: u64,
    /// Its size in bytes.
    pub sigmask_sz: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// Zero.
    pub reserved2: [u64; 2],
}

/// A point in time or a length of it (`struct __kernel_timespec`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timespec {
    /// Whole seconds.
    pub tv_sec: i64,
    /// Nanoseconds, 0 to 999 999 999.
    pub tv_nsec: i64,
}

impl Timespec {
    /// The longest relative time that is handed to the kernel, about a hundred years: it adds the present to it
    /// in signed 64-bit nanoseconds, and anything near their end would wrap around and expire at once.
    const RELATIVE_SECONDS_MAX: u64 = 100 * 366 * 86_400;

    /// A relative time. Lengths beyond a hundred years are cut to that.
    #[inline]
    pub const fn relative(length: Duration) -> Self {
        if length.as_secs() >= Self::RELATIVE_SECONDS_MAX {
            return Self { tv_sec: Self::RELATIVE_SECONDS_MAX as i64, tv_nsec: 0 };
        }
        Self { tv_sec: length.as_secs() as i64, tv_nsec: length.subsec_nanos() as i64 }
    }
}

const _: () = {
    assert!(size_of::<Cqe>() == 16 && align_of::<Cqe>() == 8);
    assert!(offset_of!(Cqe, res) == 8 && offset_of!(Cqe, flags) == 12);
    assert!(size_of::<Cqe32>() == 32 && align_of::<Cqe32>() == 8 && offset_of!(Cqe32, extra) == 16);
    assert!(size_of::<SqOffsets>() == 40 && offset_of!(SqOffsets, user_addr) == 32);
    assert!(size_of::<CqOffsets>() == 40 && offset_of!(CqOffsets, user_addr) == 32);
    assert!(size_of::<Params>() == 120);
    assert!(offset_of!(Params, sq_off) == 40 && offset_of!(Params, cq_off) == 80);
    assert!(size_of::<ProbeOp>() == 8 && size_of::<ProbeBuffer>() == 16 + 256 * 8);
    assert!(size_of::<GetEventsArg>() == 24 && offset_of!(GetEventsArg, ts) == 16);
    assert!(size_of::<RegWait>() == 64 && offset_of!(RegWait, sigmask) == 24);
    assert!(size_of::<Timespec>() == 16);
};

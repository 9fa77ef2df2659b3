//! The flag words of single operations, one type each, and the numbers that operations use as commands.
//!
//! Bits this crate does not know are kept, never refused. The number in brackets is the kernel that brought
//! a flag.

use bitflags::bitflags;

bitflags! {
    /// How to sync.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FsyncFlags: u32 {
        /// As `fdatasync(2)`.
        const DATASYNC = 1 << 0;
        const _ = !0;
    }

    /// How a timeout counts.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TimeoutFlags: u32 {
        /// The time is absolute.
        const ABS = 1 << 0;
        /// Changes a timeout.
        const UPDATE = 1 << 1;
        /// Counts while suspended.
        const BOOTTIME = 1 << 2;
        /// Follows the wall clock.
        const REALTIME = 1 << 3;
        /// Changes a link timeout (`IORING_LINK_TIMEOUT_UPDATE`, 5.15).
        const LINK_UPDATE = 1 << 4;
        /// Expiring does not break a link (5.16).
        const ETIME_SUCCESS = 1 << 5;
        /// Fires again and again (6.4).
        const MULTISHOT = 1 << 6;
        /// `addr` is the time itself, in nanoseconds (after 6.18).
        const IMMEDIATE_ARG = 1 << 7;
        const _ = !0;
    }

    /// How a poll goes on.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollFlags: u32 {
        /// Keeps reporting.
        const ADD_MULTI = 1 << 0;
        /// Changes a poll's mask.
        const UPDATE_EVENTS = 1 << 1;
        /// Changes a poll's user data.
        const UPDATE_USER_DATA = 1 << 2;
        /// Level-triggered.
        const ADD_LEVEL = 1 << 3;
        const _ = !0;
    }

    /// What a cancel looks for.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CancelFlags: u32 {
        /// Every match, not only the first (5.19).
        const ALL = 1 << 0;
        /// The descriptor, not the user data (5.19).
        const FD = 1 << 1;
        /// Whatever there is (5.19).
        const ANY = 1 << 2;
        /// The descriptor is a slot (6.0).
        const FD_FIXED = 1 << 3;
        /// The user data, beside other keys (6.6).
        const USERDATA = 1 << 4;
        /// The opcode (6.6).
        const OP = 1 << 5;
        const _ = !0;
    }

    /// How to send and receive; they travel in `ioprio`.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RecvSendFlags: u16 {
        /// Wait for readiness before trying.
        const POLL_FIRST = 1 << 0;
        /// Keeps receiving (`IORING_RECV_MULTISHOT`, 6.0).
        const MULTISHOT = 1 << 1;
        /// The buffer is a registered one (6.0; plain sends 6.17).
        const FIXED_BUF = 1 << 2;
        /// The notification of a zero-copy send says whether it was one
        /// (`IORING_SEND_ZC_REPORT_USAGE`, 6.2).
        const ZC_REPORT_USAGE = 1 << 3;
        /// Several buffers at once (6.10).
        const BUNDLE = 1 << 4;
        /// The buffer is an array of `struct iovec` (`IORING_SEND_VECTORIZED`, 6.17).
        const VECTORIZED = 1 << 5;
        const _ = !0;
    }

    /// How to accept; they travel in `ioprio`.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AcceptFlags: u16 {
        /// Keeps accepting.
        const MULTISHOT = 1 << 0;
        /// Fails instead of waiting.
        const DONTWAIT = 1 << 1;
        /// Wait for readiness before trying.
        const POLL_FIRST = 1 << 2;
        const _ = !0;
    }

    /// How to message another ring.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MsgRingFlags: u32 {
        /// The target gets no completion.
        const CQE_SKIP = 1 << 0;
        /// The completion's flags are ours.
        const FLAGS_PASS = 1 << 1;
        const _ = !0;
    }

    /// How a descriptor is made from a slot.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FixedFdFlags: u32 {
        /// It survives an exec.
        const NO_CLOEXEC = 1 << 0;
        const _ = !0;
    }

    /// How a no-op behaves (`sqe->nop_flags`, 6.10); for tests of the kernel and of its users.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct NopFlags: u32 {
        /// Completes with the result in `len`.
        const INJECT_RESULT = 1 << 0;
        /// Looks its descriptor up first (6.13).
        const FILE = 1 << 1;
        /// That descriptor is a slot (6.13).
        const FIXED_FILE = 1 << 2;
        /// Looks its registered buffer up first (6.13).
        const FIXED_BUFFER = 1 << 3;
        /// Completes by way of deferred work (6.13).
        const TW = 1 << 4;
        /// Completes with 32 bytes (6.18).
        const CQE32 = 1 << 5;
        const _ = !0;
    }

    /// What is special about a command (`sqe->uring_cmd_flags`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CommandFlags: u32 {
        /// Its memory is a registered buffer (`IORING_URING_CMD_FIXED`, 6.1).
        const FIXED = 1 << 0;
        /// One command makes many completions, into provided buffers (`IORING_URING_CMD_MULTISHOT`, 6.18).
        const MULTISHOT = 1 << 1;
        const _ = !0;
    }

    /// Which attributes a read or write carries (`sqe->attr_type_mask`, 6.14).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AttributeFlags: u64 {
        /// `addr3` points to an [`AttrPi`](super::AttrPi).
        const PI = 1 << 0;
        const _ = !0;
    }

    /// The size and scope of a futex (`FUTEX2_*`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct FutexFlags: u32 {
        /// 32 bits, the only size the kernel has so far.
        const SIZE_U32 = 2;
        /// Seen by this process only.
        const PRIVATE = 128;
        const _ = !0;
    }
}

/// In a splice's or tee's flags: the source is a slot (`SPLICE_F_FD_IN_FIXED`).
pub const SPLICE_SOURCE_FIXED: u32 = 1 << 31;

/// In the result of a zero-copy notification: the data was copied after all (`IORING_NOTIF_USAGE_ZC_COPIED`).
pub const NOTIFICATION_COPIED: u32 = 1 << 31;

/// What a message to another ring is (`enum io_uring_msg_ring_flags`), in `sqe->addr`.
pub mod message {
    /// A completion.
    pub const DATA: u64 = 0;
    /// A file.
    pub const SEND_FD: u64 = 1;
}

/// Commands of sockets (`enum io_uring_socket_op`), in the lower half of `sqe->off`.
pub mod socket_command {
    /// How many bytes can be read (6.7).
    pub const SIOCINQ: u32 = 0;
    /// How many bytes are not sent yet (6.7).
    pub const SIOCOUTQ: u32 = 1;
    /// `getsockopt(2)` (6.7).
    pub const GETSOCKOPT: u32 = 2;
    /// `setsockopt(2)` (6.7).
    pub const SETSOCKOPT: u32 = 3;
    /// When packets were sent; multishot, 32-byte completions (6.17).
    pub const TX_TIMESTAMP: u32 = 4;
    /// `getsockname(2)` and `getpeername(2)` (6.19).
    pub const GETSOCKNAME: u32 = 5;

    /// The bit of a timestamp's completion flags that says it is the device's (`IORING_TIMESTAMP_HW_SHIFT`).
    pub const TIMESTAMP_HARDWARE_SHIFT: u32 = 16;
    /// Where the timestamp's type begins in the completion's flags (`IORING_TIMESTAMP_TYPE_SHIFT`).
    pub const TIMESTAMP_TYPE_SHIFT: u32 = 17;
    /// The timestamp is the device's (`IORING_CQE_F_TSTAMP_HW`).
    pub const TIMESTAMP_HARDWARE: u32 = 1 << TIMESTAMP_HARDWARE_SHIFT;
}

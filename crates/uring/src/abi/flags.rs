//! The flag words of the three calls, of entries, of completions and of registrations, one type each.
//!
//! The flags of single operations are in `operation_flags`.
//! Bits this crate does not know are kept, never refused: a newer kernel may say them, and a caller may ask for
//! them. The number in brackets is the kernel that brought a flag.

use bitflags::bitflags;

bitflags! {
    /// `io_uring_setup(2)`: what kind of ring.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SetupFlags: u32 {
        /// Completions are polled for, not interrupted for.
        const IOPOLL = 1 << 0;
        /// A kernel thread takes the entries.
        const SQPOLL = 1 << 1;
        /// That thread stays on one processor.
        const SQ_AFF = 1 << 2;
        /// The caller names the number of completion entries.
        const CQSIZE = 1 << 3;
        /// Entry counts beyond the limit are cut to it (5.6).
        const CLAMP = 1 << 4;
        /// Shares the workers of another ring.
        const ATTACH_WQ = 1 << 5;
        /// Starts disabled (5.10).
        const R_DISABLED = 1 << 6;
        /// An entry that fails to start does not end the submission (5.18).
        const SUBMIT_ALL = 1 << 7;
        /// Completion work waits for the next entry into the kernel instead of interrupting (5.19).
        const COOP_TASKRUN = 1 << 8;
        /// `SqRingFlags::TASKRUN` tells that such work is waiting (5.19).
        const TASKRUN_FLAG = 1 << 9;
        /// Entries of 128 bytes.
        const SQE128 = 1 << 10;
        /// Completions of 32 bytes.
        const CQE32 = 1 << 11;
        /// Only one thread submits; the kernel refuses others (6.0).
        const SINGLE_ISSUER = 1 << 12;
        /// Completion work runs only when completions are asked for (6.1).
        const DEFER_TASKRUN = 1 << 13;
        /// The application gives the memory (6.5).
        const NO_MMAP = 1 << 14;
        /// No descriptor, only a registered index (6.5).
        const REGISTERED_FD_ONLY = 1 << 15;
        /// No array of indices beside the entries (6.6).
        const NO_SQARRAY = 1 << 16;
        /// Polling that sleeps first (6.13).
        const HYBRID_IOPOLL = 1 << 17;
        /// Completions may be of 32 bytes each, mixed with those of 16 (6.18).
        const CQE_MIXED = 1 << 18;
        /// Entries may be of 128 bytes each, mixed with those of 64 (6.19).
        const SQE_MIXED = 1 << 19;
        /// Entries are taken from index 0 at every submission; head and tail stay 0. With `NO_SQARRAY`, without
        /// `SQPOLL` (after 6.18).
        const SQ_REWIND = 1 << 20;
        const _ = !0;
    }

    /// What the running kernel's rings can do.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Features: u32 {
        /// Both queues lie in one mapping (5.4).
        const SINGLE_MMAP = 1 << 0;
        /// Completions that do not fit are kept, not lost (5.5).
        const NODROP = 1 << 1;
        /// What an entry points to is read at submission, its data buffers excepted (5.5).
        const SUBMIT_STABLE = 1 << 2;
        /// An offset of -1 is the file's position (5.6).
        const RW_CUR_POS = 1 << 3;
        /// Entries run with the credentials of their submitter (5.6).
        const CUR_PERSONALITY = 1 << 4;
        /// Waiting for readiness takes no worker (5.7).
        const FAST_POLL = 1 << 5;
        /// Polls take 32-bit masks (5.9).
        const POLL_32BITS = 1 << 6;
        /// SQPOLL works with ordinary descriptors (5.11).
        const SQPOLL_NONFIXED = 1 << 7;
        /// Waiting takes a time limit (5.11).
        const EXT_ARG = 1 << 8;
        /// Workers are threads of the process (5.12).
        const NATIVE_WORKERS = 1 << 9;
        /// Registered resources have tags (5.13).
        const RSRC_TAGS = 1 << 10;
        /// Entries can ask for no completion (5.17).
        const CQE_SKIP = 1 << 11;
        /// A slot is looked up when its entry runs, so links can fill it (5.18).
        const LINKED_FILE = 1 << 12;
        /// Registering works through a registered ring (6.3).
        const REG_REG_RING = 1 << 13;
        /// Sends and receives take several buffers (6.10).
        const RECVSEND_BUNDLE = 1 << 14;
        /// Waiting takes a shorter limit for the whole batch (6.12).
        const MIN_TIMEOUT = 1 << 15;
        /// Reads and writes take attributes (6.13).
        const RW_ATTR = 1 << 16;
        /// Waiting can be kept out of the I/O-wait figure (6.15).
        const NO_IOWAIT = 1 << 17;
        const _ = !0;
    }

    /// `io_uring_enter(2)`: how to enter.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct EnterFlags: u32 {
        /// Wait for completions, and run the work that posts them.
        const GETEVENTS = 1 << 0;
        /// Wake the kernel's thread.
        const SQ_WAKEUP = 1 << 1;
        /// Wait until the submission queue has room.
        const SQ_WAIT = 1 << 2;
        /// The argument is a `GetEventsArg`.
        const EXT_ARG = 1 << 3;
        /// The descriptor is a registered index.
        const REGISTERED_RING = 1 << 4;
        /// The time limit is absolute (6.12).
        const ABS_TIMER = 1 << 5;
        /// The argument is an offset into a registered region (6.13).
        const EXT_ARG_REG = 1 << 6;
        /// The wait does not count as I/O wait (6.15).
        const NO_IOWAIT = 1 << 7;
        const _ = !0;
    }

    /// What a completion says beside its result.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CqeFlags: u32 {
        /// The upper half is the number of the buffer the kernel chose.
        const BUFFER = 1 << 0;
        /// The entry will post more completions.
        const MORE = 1 << 1;
        /// The socket has more to read.
        const SOCK_NONEMPTY = 1 << 2;
        /// The notification that a zero-copy buffer is free.
        const NOTIF = 1 << 3;
        /// The buffer will be used further.
        const BUF_MORE = 1 << 4;
        /// Fills a gap at the end of a queue of mixed sizes and means nothing (6.18).
        const SKIP = 1 << 5;
        /// This completion has 32 bytes, in a queue of mixed sizes (6.18).
        const CQE_32 = 1 << 15;
        const _ = !0;
    }

    /// What the kernel says in the submission queue.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqRingFlags: u32 {
        /// The kernel's thread sleeps and must be woken.
        const NEED_WAKEUP = 1 << 0;
        /// Completions wait because the queue is full.
        const CQ_OVERFLOW = 1 << 1;
        /// Work waits that an entry into the kernel would run.
        const TASKRUN = 1 << 2;
        const _ = !0;
    }

    /// What we say in the completion queue.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CqRingFlags: u32 {
        /// The registered eventfd stays silent.
        const EVENTFD_DISABLED = 1 << 0;
        const _ = !0;
    }

    /// How resources are registered.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RsrcFlags: u32 {
        /// Empty slots (5.19).
        const SPARSE = 1 << 0;
        const _ = !0;
    }

    /// What is special about an entry (`sqe->flags`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct SqeFlags: u8 {
        /// `fd` is a slot.
        const FIXED_FILE = 1 << 0;
        /// Waits for all entries before it.
        const IO_DRAIN = 1 << 1;
        /// The next entry runs after this one, if this one succeeded in full.
        const IO_LINK = 1 << 2;
        /// The next entry runs after this one, whatever came of it.
        const IO_HARDLINK = 1 << 3;
        /// Goes to a worker at once.
        const ASYNC = 1 << 4;
        /// The kernel chooses a buffer.
        const BUFFER_SELECT = 1 << 5;
        /// A success posts no completion (5.17).
        const CQE_SKIP_SUCCESS = 1 << 6;
        const _ = !0;
    }

    /// How a ring of provided buffers is registered (`enum io_uring_register_pbuf_ring_flags`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct BufRingFlags: u16 {
        /// The kernel allocates it, to be mapped at [`OFFSET_PBUF_RING`](super::OFFSET_PBUF_RING) (6.4).
        const MMAP = 1 << 0;
        /// Buffers are used up piece by piece (6.12).
        const INC = 1 << 1;
        const _ = !0;
    }

    /// How buffers are cloned from another ring.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct CloneFlags: u32 {
        /// The source ring is named by its registered index (`IORING_REGISTER_SRC_REGISTERED`).
        const SRC_REGISTERED = 1 << 0;
        /// Buffers that are in the way are replaced (`IORING_REGISTER_DST_REPLACE`).
        const DST_REPLACE = 1 << 1;
        const _ = !0;
    }

    /// Whose memory a region is (`RegionDesc::flags`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RegionFlags: u32 {
        /// The application's, at `user_addr` (`IORING_MEM_REGION_TYPE_USER`).
        const USER = 1 << 0;
        const _ = !0;
    }

    /// What a region is for (`MemRegionReg::flags`).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MemRegionFlags: u64 {
        /// It holds arguments of registered waits (`IORING_MEM_REGION_REG_WAIT_ARG`).
        const REG_WAIT_ARG = 1 << 0;
        const _ = !0;
    }

    /// What is valid in a [`RegWait`](super::RegWait).
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct RegWaitFlags: u32 {
        /// Its time (`IORING_REG_WAIT_TS`).
        const TS = 1 << 0;
        const _ = !0;
    }
}

/// Added to a register operation's number to say that the descriptor is a registered index
/// (`IORING_REGISTER_USE_REGISTERED_RING`, 6.3).
pub const REGISTER_USE_REGISTERED_RING: u32 = 1 << 31;

/// In [`ProbeOp::flags`](super::ProbeOp::flags): the kernel runs it (`IO_URING_OP_SUPPORTED`).
pub const OP_SUPPORTED: u16 = 1 << 0;

/// How far up in a completion's flags the buffer's number lies (`IORING_CQE_BUFFER_SHIFT`).
pub const CQE_BUFFER_SHIFT: u32 = 16;

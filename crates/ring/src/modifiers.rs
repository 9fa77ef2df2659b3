//! Modifiers: the small numbers and flag sets that verbs take in arguments 3 and 4.
//!
//! They are Ouzel's own, so that a program means the same on every system; where Linux has a number for the same
//! thing and no reason speaks against it, the value is Linux's.

use bitflags::bitflags;

/// The offset argument of READ, WRITE and COPY that means "the descriptor's current position".
pub const CURRENT_POSITION: u64 = u64::MAX;

/// The most pieces of a vectored transfer (`IOV_MAX`).
pub const MAX_PIECES: u64 = 1024;

/// Argument 3 of RECV, alone: the buffer is picked out of the group whose number argument 4 is. It may not be loaded from a register.
pub const RECV_GROUP: u64 = 1 << 32;

/// The most groups of buffers a ring may have.
pub const MAX_GROUPS: usize = 1024;

/// The most bytes of one path, its terminating NUL included (`PATH_MAX`).
pub const MAX_PATH: u64 = 4096;

/// The most bytes one READ, WRITE, SEND, RECV or COPY moves (`MAX_RW_COUNT`: 2 GiB less a page); a longer request is
/// shortened to it.
pub const MAX_TRANSFER: u64 = 0x7fff_f000;

/// The most bytes of a socket address (`sizeof(struct sockaddr_storage)`).
pub const MAX_ADDRESS: u64 = 128;

/// The most bytes of a socket option's value, for GETSOCKOPT and SETSOCKOPT.
pub const MAX_OPTION: u64 = i32::MAX as u64;

/// Bytes of the record that SENDMSG and RECVMSG take.
pub const MESSAGE_RECORD: u64 = 64;

/// The most descriptors that one message carries.
pub const MAX_MESSAGE_DESCRIPTORS: u64 = 16;

/// Bytes of the record that STAT fills: the layout of Linux's `struct statx`.
pub const STAT_RECORD: u64 = 256;

/// Bytes of the record that UTIMES reads: `struct timespec`, for the last access and for the last change.
pub const TIMES_RECORD: u64 = 32;

/// Bytes of the record that STATFS fills.
pub const STATFS_RECORD: u64 = 96;

/// The nanoseconds in a record of UTIMES that mean "now" (`UTIME_NOW`).
pub const TIME_NOW: u64 = 0x3fff_ffff;

/// The nanoseconds in a record of UTIMES that mean "leave this time as it is" (`UTIME_OMIT`).
pub const TIME_OMIT: u64 = 0x3fff_fffe;

/// The user or group in argument 4 of CHOWN that means "leave it as it is".
pub const OWNER_OMIT: u32 = u32::MAX;

/// The most bytes of the name of an extended attribute, without its NUL (`XATTR_NAME_MAX`).
pub const MAX_XATTR_NAME: u64 = 255;

/// The most bytes of the value of an extended attribute, and of a list of names (`XATTR_SIZE_MAX`).
pub const MAX_XATTR_VALUE: u64 = 65_536;

/// The highest major number of a device in argument 4 of MKNOD.
pub const MAX_DEVICE_MAJOR: u64 = 0xfff;

/// The highest minor number of a device in argument 4 of MKNOD.
pub const MAX_DEVICE_MINOR: u64 = 0xf_ffff;

bitflags! {
    /// Argument 4 of READ and WRITE.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct TransferFlags: u64 {
        /// The payload is an array of [`Piece`](crate::Piece), the magnitude their number.
        const VECTORED = 1 << 0;
    }

    /// Argument 3 of OPEN.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct OpenFlags: u64 {
        /// Bytes may be read.
        const READ = 1 << 0;
        /// Bytes may be written.
        const WRITE = 1 << 1;
        /// Every write goes to the end.
        const APPEND = 1 << 2;
        /// The file is made if it does not exist, with the permissions in argument 4.
        const CREATE = 1 << 3;
        /// With CREATE: an existing file is EEXIST.
        const EXCLUSIVE = 1 << 4;
        /// The file is emptied.
        const TRUNCATE = 1 << 5;
        /// Anything but a directory is ENOTDIR.
        const DIRECTORY = 1 << 6;
        /// A symbolic link in the last place is ELOOP.
        const NOFOLLOW = 1 << 7;
        /// The descriptor names the file and opens nothing (`O_PATH`).
        const PATH = 1 << 8;
        /// Transfers go past the page cache (`O_DIRECT`).
        const DIRECT = 1 << 9;
        /// A path that leaves the directory it starts from is EXDEV (`RESOLVE_BENEATH`).
        const BENEATH = 1 << 10;
    }

    /// Argument 4 of STAT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct StatFlags: u64 {
        /// A symbolic link in the last place is described itself.
        const NOFOLLOW = 1 << 0;
    }

    /// Argument 3 of REMOVE.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct RemoveFlags: u64 {
        /// The name is an empty directory's.
        const DIRECTORY = 1 << 0;
    }

    /// Argument 3 of RENAME.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct RenameFlags: u64 {
        /// An existing target is EEXIST.
        const NOREPLACE = 1 << 0;
        /// The two names change places.
        const EXCHANGE = 1 << 1;
    }

    /// Argument 3 of LINK.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct LinkFlags: u64 {
        /// A symbolic link as the first path is followed.
        const FOLLOW = 1 << 0;
    }

    /// Argument 4 of ALLOCATE.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct AllocateFlags: u64 {
        /// The file's length stays.
        const KEEP_SIZE = 1 << 0;
        /// The range is released and reads as zeros; only with KEEP_SIZE.
        const PUNCH_HOLE = 1 << 1;
    }

    /// Argument 1 of POLL, and the low half of its result. The values are those of `poll(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct PollEvents: u64 {
        /// Bytes or a connection can be read.
        const IN = 0x1;
        /// Urgent data can be read.
        const PRIORITY = 0x2;
        /// Bytes can be written.
        const OUT = 0x4;
        /// An error is pending (always reported).
        const ERROR = 0x8;
        /// The other side is gone (always reported).
        const HANGUP = 0x10;
        /// The other side has stopped sending.
        const READ_HANGUP = 0x2000;
    }

    /// Argument 3 of FUTEX.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct FutexFlags: u64 {
        /// Who waits on the word is woken; without it, the entry waits.
        const WAKE = 1 << 0;
        /// The word may be shared with other processes; without it, it is this process's own.
        const SHARED = 1 << 1;
    }

    /// What RECVMSG says of a message beside its bytes: in its record and in the extra of its completion.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct MessageNotes: u32 {
        /// The pieces had no room for all of a datagram; the rest is lost.
        const TRUNCATED = 1 << 0;
        /// Descriptors came for which there was no room, in the record's array or in the table; they are closed.
        const DESCRIPTORS_LOST = 1 << 1;
    }

    /// Argument 3 of SEND, RECV, SENDMSG and RECVMSG. The values are those of `send(2)` and `recv(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct MessageFlags: u64 {
        /// Urgent data.
        const OUT_OF_BAND = 0x1;
        /// RECV: the data stays in the queue.
        const PEEK = 0x2;
        /// RECV: wait until the buffer is full.
        const WAIT_ALL = 0x100;
        /// SEND: more data follows.
        const MORE = 0x8000;
    }
}

bitflags! {
    /// Argument 3 of CHOWN and argument 4 of UTIMES.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct AtFlags: u64 {
        /// A symbolic link in the last place is changed itself.
        const NOFOLLOW = 1 << 0;
    }

    /// Argument 3 of ACCESS: what is asked. The values are those of `access(2)`; none asks whether the file exists.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct AccessFlags: u64 {
        /// May it be executed, or a directory searched?
        const EXECUTE = 1 << 0;
        /// May it be written?
        const WRITE = 1 << 1;
        /// May it be read?
        const READ = 1 << 2;
    }

    /// Argument 4 of ACCESS.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct AccessOptions: u64 {
        /// A symbolic link in the last place is asked about itself.
        const NOFOLLOW = 1 << 0;
        /// With the effective user and group of the process, not the real ones.
        const EFFECTIVE = 1 << 1;
    }

    /// The upper half of argument 4 of GETXATTR, SETXATTR, LISTXATTR and REMOVEXATTR.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct XattrFlags: u64 {
        /// A symbolic link in the last place of the path is meant itself.
        const NOFOLLOW = 1 << 32;
        /// SETXATTR: an existing attribute is EEXIST.
        const CREATE = 1 << 33;
        /// SETXATTR: a missing attribute is ENODATA.
        const REPLACE = 1 << 34;
    }

    /// How a file system is mounted, in the record of STATFS. The values are those of `statfs(2)`; other bits may be set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed.
        const READ_ONLY = 0x1;
        /// The bits that change the user or group of a program count for nothing.
        const NO_SETUID = 0x2;
        /// Devices cannot be opened.
        const NO_DEVICES = 0x4;
        /// Programs cannot be executed.
        const NO_EXECUTE = 0x8;
        /// Everything written is durable at once.
        const SYNCHRONOUS = 0x10;
        /// Times of last access are not kept.
        const NO_ACCESS_TIMES = 0x400;
        /// Times of last access are not kept for directories.
        const NO_DIRECTORY_ACCESS_TIMES = 0x800;
        /// Times of last access are kept now and then.
        const RELATIVE_ACCESS_TIMES = 0x1000;
        /// Symbolic links are not followed.
        const NO_SYMLINK_FOLLOW = 0x2000;
    }
}

bitflags! {
    /// Argument 3 of TEST: a [`Condition`] in the low byte, and whether it is turned round.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct TestFlags: u64 {
        /// The number of the condition.
        const CONDITION = 0xff;
        /// The test holds if the condition does not.
        const NOT = 1 << 8;
    }

    /// The upper half of argument 0 of CALL.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub struct CallFlags: u64 {
        /// The last piece of the call's record receives a completion for each step.
        const DETAILS = 1 << 32;
    }
}

/// The most times a REPEAT runs its body.
pub const MAX_REPEAT: u64 = 65_535;

/// The most members a chain with PROGRAM, or steps a stored program, may run, each counted as often as it does.
pub const MAX_PROGRAM_STEPS: u64 = 1 << 20;

/// The most steps a stored program may have.
pub const MAX_PROGRAM_LENGTH: usize = 256;

/// The most pieces of memory a stored program may be called with.
pub const MAX_CALL_PIECES: usize = 16;

/// The region that stands for the first piece of a call in the payloads of a stored program; the other pieces follow.
pub const CALL_REGION: u16 = 0xff00;

/// The region that stands for the constants of a stored program in its own payloads.
pub const CONSTANTS_REGION: u16 = CALL_REGION + MAX_CALL_PIECES as u16;

macro_rules! modes {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $variant_doc:literal])* $variant:ident = $value:literal,)* })*) => {
        $($(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u64)]
        pub enum $name { $($(#[doc = $variant_doc])* $variant = $value,)* }

        impl $name {
            /// The mode an argument holds; `None` if it has no meaning.
            pub const fn from_number(number: u64) -> Option<$name> {
                match number { $($value => Some($name::$variant),)* _ => None }
            }
        })*
    };
}

modes! {
    /// Argument 4 of SEEK.
    Whence {
        /// From the start of the file.
        Start = 0,
        /// From the current position.
        Current = 1,
        /// From the end of the file.
        End = 2,
    }

    /// Argument 4 of SYNC.
    SyncMode {
        /// Data and all metadata (`fsync(2)`).
        Full = 0,
        /// Data and the metadata needed to read it (`fdatasync(2)`).
        Data = 1,
        /// The pages of a range, written and waited for; no metadata, no disk cache (`sync_file_range(2)`).
        Range = 2,
    }

    /// Argument 3 of SHUTDOWN.
    ShutdownHow {
        /// No more receiving.
        Receive = 0,
        /// No more sending.
        Send = 1,
        /// Neither.
        Both = 2,
    }

    /// The kind of file in argument 3 of MKNOD, beside its permissions. The values are those of `mknod(2)`.
    NodeKind {
        /// A pipe with a name.
        Fifo = 0o010_000,
        /// A character device.
        Character = 0o020_000,
        /// A block device.
        Block = 0o060_000,
        /// An empty regular file.
        Regular = 0o100_000,
        /// The name of a unix socket that nobody is bound to.
        Socket = 0o140_000,
    }

    /// Argument 3 of CANCEL.
    CancelBy {
        /// Entries whose user data is argument 1.
        Data = 0,
        /// Entries whose subject is the descriptor in argument 0.
        Descriptor = 1,
        /// Every entry.
        All = 2,
    }

    /// Argument 3 of SLEEP and DEADLINE.
    TimeBase {
        /// Nanoseconds from dispatch.
        Relative = 0,
        /// Nanoseconds of the engine's monotonic clock.
        Absolute = 1,
    }

    /// Argument 4 of LOCK. The values are those of `fcntl(2)`.
    LockMode {
        /// Others may hold the range as shared too.
        Shared = 0,
        /// Nobody else may hold any of the range.
        Exclusive = 1,
        /// The range is given back.
        Unlock = 2,
    }

    /// Argument 4 of ADD and SUB: what becomes of a result that 64 bits do not hold.
    Overflow {
        /// EOVERFLOW.
        Error = 0,
        /// The result modulo 2^64.
        Wrap = 1,
        /// The nearest number there is: 0 or 2^64 - 1.
        Saturate = 2,
    }

    /// Argument 4 of SHIFT.
    ShiftDirection {
        /// Towards the higher bits: times a power of two.
        Left = 0,
        /// Towards the lower bits: divided by a power of two.
        Right = 1,
    }

    /// Argument 0 of TEST.
    TestOf {
        /// Argument 2 is tested.
        Value = 0,
        /// The last member that ran is, other than a TEST or REPEAT.
        Last = 1,
    }

    /// What a TEST asks.
    Condition {
        /// It is 0.
        Zero = 0,
        /// It is not 0.
        Positive = 1,
        /// It equals argument 4.
        Equal = 2,
        /// It is less than argument 4.
        Less = 3,
        /// The last member moved as much as it was asked to.
        Full = 4,
        /// The last member succeeded and moved less than it was asked to.
        Short = 5,
        /// The last member failed.
        Error = 6,
    }

    /// The lower half of argument 1 of TEST: what is done if the test holds.
    Action {
        /// The chain goes on; the test is its result.
        Continue = 0,
        /// The chain stops successfully.
        Stop = 1,
        /// As many members as the upper half says are skipped.
        Skip = 2,
    }
}

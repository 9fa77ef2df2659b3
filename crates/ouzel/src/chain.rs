//! Chains, which are built and read by a crate of their own, as this one runs them: what came of one fails with this
//! crate's error.

pub use ouzel_chain::{
    Address, Bytes, Call, Chain, Compute, Condition, Count, Data, Directory, DirectoryEntry, Distance,
    Entries, Exit, ExitStatus, Fd, File, FileStat, FileSystemStat, FutexWord, Input, Kind, MAX_STEPS,
    Message, Offset, OpenOptions, Part, PathInput, Planned, ProgramBuilder, ProgramId, ProgramPath, Received,
    ReceivedMessage, Reg, Room, SetTime, SocketAddress, Stat, Statfs, StepDetail, Stored, Target, Times,
    Unit, Variable, Verification, When, WhenLast, Width,
};

use crate::error::Error;

/// A chain that has run. What can be done with it is said at [`ouzel_chain::Done`].
pub type Done = ouzel_chain::Done<Error>;

/// A program that was verified. What can be done with it is said at [`ouzel_chain::Program`].
pub type Program<T> = ouzel_chain::Program<T, Error>;

/// A call that is over. What can be done with it is said at [`ouzel_chain::Called`].
pub type Called<T> = ouzel_chain::Called<T, Error>;

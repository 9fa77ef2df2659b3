//! What a simulation can be told.

use core::ops::RangeInclusive;

/// What a [`Sim`](super::Sim) is made with. The same options and the same calls give the same reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimOptions {
    /// Decides every latency and every choice.
    pub seed: u64,
    /// Indices of the descriptor table; an operation that would open at or above it gets EMFILE.
    pub descriptors: u32,
    /// Bytes of storage, in pages of 4096; a write that finds no page free is short, or ENOSPC.
    pub storage_bytes: u64,
    /// The longest a file may be, in bytes; beyond it is EFBIG.
    pub largest_file: u64,
    /// Bytes that a socket holds for its reader.
    pub socket_bytes: usize,
    /// Nanoseconds of virtual time an operation takes. What takes 0 is done inside `start`.
    pub latency: RangeInclusive<u64>,
    /// Nanoseconds that pass in a `wait` that wants nothing, so that a loop that only polls gets on.
    pub poll_step: u64,
    /// The clock at the beginning, in nanoseconds.
    pub first_instant: u64,
    /// The permissions that files and directories are made without.
    pub umask: u32,
    /// The longest run that is taken in one go; 1 takes none.
    pub longest_run: usize,
    /// Steps that may be under way at once; more are [`Busy`](ouzel_engine::Started::Busy).
    pub in_flight: usize,
    /// Whether a write to a pipe or stream goes on until everything is written, as `write(2)` does, rather than
    /// ending when it has written what fits, as the kernel's ring does.
    pub whole_writes: bool,
}

impl SimOptions {
    /// The defaults, with this seed.
    pub fn new(seed: u64) -> SimOptions {
        SimOptions { seed, ..SimOptions::default() }
    }
}

impl Default for SimOptions {
    fn default() -> SimOptions {
        SimOptions {
            seed: 0,
            descriptors: 1 << 16,
            storage_bytes: 1 << 30,
            // ext4's limit with blocks of 4096 bytes.
            largest_file: (1 << 44) - 4096,
            socket_bytes: 212_992,
            latency: 0..=50_000,
            poll_step: 1_000,
            first_instant: 1_000_000_000,
            umask: 0o022,
            longest_run: 8,
            in_flight: 1 << 16,
            whole_writes: false,
        }
    }
}

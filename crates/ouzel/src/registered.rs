//! What is known of memory that the kernel keeps registered.

use std::fmt;

use ouzel_ring::Errno;

/// Regions of pools that are registered with the kernel's ring, and what has come of it. See
/// [`Ring::register_pool`](crate::Ring::register_pool).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisteredMemory {
    /// Regions that are registered now.
    pub regions: usize,
    /// Their bytes, which are pinned.
    pub bytes: usize,
    /// Transfers that were handed to the kernel with a registered buffer.
    pub transfers: u64,
    /// Why regions were left out when that last happened: ENOMEM for the limit on locked memory (RLIMIT_MEMLOCK, `ulimit -l`),
    /// ENOSPC for more regions than there are numbers, EOPNOTSUPP for a kernel without such tables (before 5.19) and for
    /// pools in debug mode, whose memory must be out of the kernel's reach at times. Transfers from and to those
    /// go as from and to any memory.
    pub left_out: Option<Errno>,
}

impl fmt::Display for RegisteredMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "registered memory: {} bytes, used by {} transfers", self.bytes, self.transfers)?;
        match self.left_out {
            None => Ok(()),
            Some(Errno::ENOMEM) => write!(
                formatter,
                "; some was left out: it would be more than may be locked (raise RLIMIT_MEMLOCK, ulimit -l)"
            ),
            Some(errno) => write!(formatter, "; some was left out: {}", errno.name()),
        }
    }
}

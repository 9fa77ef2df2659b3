//! Statistics: what a pool has and has had, as plain numbers.

/// A pool at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Regions there are.
    pub regions: usize,
    /// The most regions there have been at once.
    pub regions_peak: usize,
    /// Regions of which nothing is in use and which nobody has a handle on.
    pub regions_idle: usize,
    /// Bytes of all regions.
    pub bytes: usize,
    /// Slices in use: with an owner or a guard.
    pub in_use: usize,
    /// Their bytes, rounded up to their classes.
    pub in_use_bytes: usize,
    /// The most of those bytes at once.
    pub in_use_bytes_peak: usize,
    /// Slices without an owner that a guard still keeps from being used again.
    pub deferred: usize,
    /// Slices handed out since the pool was made.
    pub served: u64,
    /// Slices asked for and not handed out.
    pub refused: u64,
    /// Bytes that were given back and are kept inaccessible, in debug mode.
    pub quarantined_bytes: usize,
    /// How often the system would not make memory inaccessible, in debug mode.
    pub unprotected: u64,
    /// Bytes that the system would not make accessible again, in debug mode. They are never used again.
    pub lost_bytes: usize,
    /// Each class, by size.
    pub classes: Vec<ClassStatistics>,
}

/// A size class at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStatistics {
    /// Bytes that each of its slices takes.
    pub size: usize,
    /// Slices in use.
    pub in_use: usize,
    /// The most of them at once.
    pub peak: usize,
    /// The most there may be; `usize::MAX` if there is no limit.
    pub limit: usize,
    /// Slices that were given back and are kept as they are for the next.
    pub cached: usize,
    /// Slices refused because of the limit.
    pub refused: u64,
}

//! Errors: what the calls of a pool can fail with.

use std::fmt;

use crate::id::Id;

/// Everything that can go wrong with a pool. A message names the operation, what it was asked for, the cause, and
/// where there is one the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A slice of no bytes.
    Empty,
    /// An alignment that is not a power of two.
    Alignment {
        /// What was asked for, in bytes.
        alignment: usize,
    },
    /// A slice that is larger, or aligned to more, than a region.
    TooLarge {
        /// What was asked for, in bytes.
        bytes: usize,
        /// The size of a region.
        region: usize,
    },
    /// A slice that cannot but cross the boundary that the pool was made with.
    CrossesBoundary {
        /// The length asked for.
        length: usize,
        /// The boundary.
        boundary: usize,
    },
    /// As many slices of this class are in use as it may have.
    ClassFull {
        /// The size of the class in bytes.
        class: usize,
        /// Its limit.
        limit: usize,
    },
    /// No region has room, and there are as many as there may be.
    Exhausted {
        /// The length asked for.
        length: usize,
        /// Regions there are.
        regions: usize,
    },
    /// The system gave no memory for a region.
    Map {
        /// The size of the region.
        bytes: usize,
        /// The error number.
        errno: i32,
    },
    /// The pool shares memory with the parent of this forked process.
    ForkedChild,
    /// An id whose slice was given back, or that another pool gave out.
    Stale(Id),
    /// An id whose slice is not in the pool's keeping: somebody holds it.
    Held(Id),
    /// A setting of the builder that cannot be.
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What it may be.
        rule: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => formatter.write_str("get: a slice of 0 bytes: ask for 1 or more"),
            Error::Alignment { alignment } => {
                write!(formatter, "get: an alignment of {alignment} bytes: it must be a power of two")
            }
            Error::TooLarge { bytes, region } => write!(
                formatter,
                "get: {bytes} bytes do not fit a region of {region}: make the pool with larger regions"
            ),
            Error::CrossesBoundary { length, boundary } => write!(
                formatter,
                "get: a slice of {length} bytes would cross a multiple of {boundary}: ask for {boundary} or less"
            ),
            Error::ClassFull { class, limit } => write!(
                formatter,
                "get: all {limit} slices of {class} bytes that the class may have are in use: give some back, or raise the limit"
            ),
            Error::Exhausted { length, regions } => write!(
                formatter,
                "get: no room for {length} bytes in {regions} regions, the most there may be: give slices back, or raise the limit of regions"
            ),
            Error::Map { bytes, errno } => write!(
                formatter,
                "get: the system has no {bytes} bytes for another region: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Error::ForkedChild => formatter.write_str(
                "get: this pool shares its memory with the parent of this forked process: make a new pool here",
            ),
            Error::Stale(id) => {
                write!(formatter, "{id:?} is stale: its slice was given back, or belongs to another pool")
            }
            Error::Held(id) => write!(
                formatter,
                "take: the slice of {id:?} is held by somebody: it can be taken once it was put into the pool's keeping"
            ),
            Error::Setting { name, value, rule } => {
                write!(formatter, "making a pool: {name} is {value}: {rule}")
            }
        }
    }
}

impl std::error::Error for Error {}

//! Geometry: how many slots the two queues have and where everything lies in memory.
//!
//! Pure arithmetic, all of it checked. A geometry is agreed once and then kept in memory the other side cannot
//! write; it is never read back from a shared page.

use core::fmt;

/// The most entries or completions a queue may have.
pub const MAX_SLOTS: u32 = 1 << 16;

const LINE: usize = 64;
const ENTRY: usize = 64;
const COMPLETION: usize = 32;

/// The sizes of a ring's two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    entries: u32,
    completions: u32,
}

impl Geometry {
    /// A geometry of `entries` submission slots and `completions` completion slots.
    ///
    /// Both must be powers of two from 1 to [`MAX_SLOTS`], completions at least 2 (one is kept back for CANCEL).
    pub const fn new(entries: u64, completions: u64) -> Result<Geometry, GeometryError> {
        if entries == 0 || completions == 0 {
            return Err(GeometryError::Zero);
        }
        if !entries.is_power_of_two() || !completions.is_power_of_two() {
            return Err(GeometryError::NotPowerOfTwo);
        }
        if entries > MAX_SLOTS as u64 || completions > MAX_SLOTS as u64 {
            return Err(GeometryError::TooLarge);
        }
        if completions < 2 {
            return Err(GeometryError::TooFewCompletions);
        }
        Ok(Geometry { entries: entries as u32, completions: completions as u32 })
    }

    /// Submission slots.
    #[inline]
    pub const fn entries(self) -> u32 {
        self.entries
    }

    /// Completion slots.
    #[inline]
    pub const fn completions(self) -> u32 {
        self.completions
    }

    /// Bytes of the contiguous placement: the control block, the entries, the completions.
    pub const fn contiguous_size(self) -> usize {
        self.contiguous_completions() + self.completions as usize * COMPLETION
    }

    /// Offset of the entries in the contiguous placement.
    pub const fn contiguous_entries(self) -> usize {
        3 * LINE
    }

    /// Offset of the completions in the contiguous placement.
    pub const fn contiguous_completions(self) -> usize {
        self.contiguous_entries() + self.entries as usize * ENTRY
    }

    /// Bytes of the engine-written part of the split placement: line 0, the published registers, the completions.
    pub const fn split_engine_size(self) -> usize {
        2 * LINE + self.completions as usize * COMPLETION
    }

    /// Bytes of the submitter-written part of the split placement: line 1, the entries.
    pub const fn split_submitter_size(self) -> usize {
        LINE + self.entries as usize * ENTRY
    }
}

/// Why a geometry was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeometryError {
    /// A queue has no slots.
    Zero,
    /// A queue's size is not a power of two.
    NotPowerOfTwo,
    /// A queue has more than [`MAX_SLOTS`] slots.
    TooLarge,
    /// The completion queue has fewer than 2 slots.
    TooFewCompletions,
    /// The memory is not aligned to 64 bytes.
    Misaligned,
    /// The memory is smaller than the geometry needs.
    TooSmall,
}

impl fmt::Display for GeometryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            GeometryError::Zero => "a queue of 0 slots: use a power of two from 1 to 65536",
            GeometryError::NotPowerOfTwo => "a queue size that is not a power of two: round it up",
            GeometryError::TooLarge => "a queue of more than 65536 slots: use fewer and reap more often",
            GeometryError::TooFewCompletions => {
                "a completion queue of 1 slot: one is kept for CANCEL, so use 2 or more"
            }
            GeometryError::Misaligned => {
                "ring memory that is not aligned to 64 bytes: align it to a cache line"
            }
            GeometryError::TooSmall => "ring memory smaller than its queues: ask Geometry for the size",
        })
    }
}

impl core::error::Error for GeometryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_at_the_limits() {
        assert_eq!(Geometry::new(0, 8), Err(GeometryError::Zero));
        assert_eq!(Geometry::new(8, 0), Err(GeometryError::Zero));
        assert_eq!(Geometry::new(3, 8), Err(GeometryError::NotPowerOfTwo));
        assert_eq!(Geometry::new(8, 1 << 58), Err(GeometryError::TooLarge));
        assert_eq!(Geometry::new(1 << 17, 8), Err(GeometryError::TooLarge));
        assert_eq!(Geometry::new(8, 1), Err(GeometryError::TooFewCompletions));
        assert!(Geometry::new(1, 2).is_ok());
        let largest = Geometry::new(1 << 16, 1 << 16).unwrap();
        assert_eq!(largest.contiguous_size(), 192 + (64 + 32) * 65536);
    }

    #[test]
    fn contiguous_placement_is_entries_behind_one_control_block() {
        let geometry = Geometry::new(4, 8).unwrap();
        assert_eq!(geometry.contiguous_entries(), 192);
        assert_eq!(geometry.contiguous_completions(), 192 + 4 * 64);
        assert_eq!(geometry.contiguous_size(), 192 + 4 * 64 + 8 * 32);
    }
}

//! Ids: names of slices that can be kept, compared and sent where a slice cannot, and that go stale.

use std::fmt;

/// The name of one slice, from when it was got until it is given back.
///
/// It says which pool, which place in it, and which use of that place. A place that is used again has another id:
/// the generations of a pool come from one 64-bit counter and are never used twice, so a stale id is always refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    pub(crate) pool: u32,
    pub(crate) index: u32,
    pub(crate) generation: u64,
}

impl Id {
    /// Which use of its place this is. No two slices of a pool have the same.
    pub fn generation(self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id(pool {}, place {}, generation {})", self.pool, self.index, self.generation)
    }
}

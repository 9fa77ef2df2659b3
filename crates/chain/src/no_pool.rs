//! Without the feature `pool`: memory of a pool, of which there is none, so that buffers are the same code either way.

use core::ops::{Deref, DerefMut};

/// Memory of a pool. There is none.
pub(crate) enum Slice {}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match *self {}
    }
}

impl DerefMut for Slice {
    fn deref_mut(&mut self) -> &mut [u8] {
        match *self {}
    }
}

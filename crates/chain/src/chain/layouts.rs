//! The layouts that a ring remembers: programs run a few chains over and over, each of which is laid out once.
//!
//! A handful is kept, by the shapes of their steps. Nothing is laid out here but through `layout`.

use core::ops::Deref;

use super::Body;
use super::layout::Layout;
use crate::BuildError;

/// How many are kept: a chain to begin something, one to go on, one to end it, and one beside.
const KEPT: usize = 4;

/// The layouts of the chains that were asked for last. It is the last of them.
#[derive(Default)]
pub struct Layouts {
    kept: [Layout; KEPT],
    current: usize,
}

impl Layouts {
    /// Lays `chain` out, unless one of the layouts is its own.
    ///
    /// Errors: what is wrong with the chain.
    #[inline]
    pub fn lay_out(&mut self, chain: &Body) -> Result<(), BuildError> {
        if self.kept[self.current].fits(chain) { Ok(()) } else { self.look_for(chain) }
    }

    fn look_for(&mut self, chain: &Body) -> Result<(), BuildError> {
        if let Some(place) = self.kept.iter().position(|layout| layout.fits(chain)) {
            self.current = place;
            return Ok(());
        }
        // In turn: of chains that come one after the other the oldest is not asked for next.
        self.current = (self.current + 1) % KEPT;
        self.kept[self.current].lay_out(chain)
    }
}

impl Deref for Layouts {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.kept[self.current]
    }
}

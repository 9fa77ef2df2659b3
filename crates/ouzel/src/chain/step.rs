//! A step: one operation of a chain, as it was built and, later, as it ended.
//!
//! Plain data without a heap of its own, written once into its chain's list. What of it decides the layout of its
//! chain is kept small and together: rings compare it for every chain they are given.

use bitflags::bitflags;
use ouzel_ring::{Completion, Entry, Verb};

/// What an argument is loaded from: nothing, or one of the results of an earlier step.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Need(u16);

impl Need {
    /// The argument is known already.
    pub(crate) const NOTHING: Need = Need(0);

    const SECOND: u16 = 1 << 15;

    /// The result of `step`, at most [`MAX_STEPS`](super::MAX_STEPS), or the second of its two.
    #[inline]
    pub(crate) fn of(step: u16, second: bool) -> Need {
        Need((step + 1) | if second { Need::SECOND } else { 0 })
    }

    /// The step, and whether it is its second result.
    pub(crate) fn source(self) -> Option<(usize, bool)> {
        let step = (self.0 & !Need::SECOND).checked_sub(1)?;
        Some((step as usize, self.0 & Need::SECOND != 0))
    }
}

bitflags! {
    /// How a step stands to the others.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Marks: u16 {
        /// The next one runs whatever becomes of it.
        const HARDLINK = 1 << 0;
        /// It runs at the end.
        const FINALLY = 1 << 1;
        /// It posts no completion if it succeeds.
        const SILENT = 1 << 2;
    }
}

/// What of a step the layout of its chain depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Shape {
    pub(crate) needs: [Need; 5],
    pub(crate) marks: Marks,
    pub(crate) op: u32,
}

/// The memory that one of a step's arguments points to.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    None,
    /// Bytes of the chain's text, from here on.
    Text(u32),
    /// A buffer's filled bytes.
    Filled(u16),
    /// A buffer's room.
    Room(u16),
}

/// One operation of a chain.
pub(crate) struct Step {
    pub(crate) timeout: u64,
    /// The arguments known now.
    pub(crate) arguments: [u64; 5],
    pub(crate) shape: Shape,
    /// What argument 1 points to.
    pub(crate) payload: Memory,
    /// What argument 3 points to, as a buffer's number.
    pub(crate) record: Option<u16>,
    /// Filled in when it arrives.
    pub(crate) completion: Option<Completion>,
}

impl Step {
    #[inline]
    pub(crate) fn new(shape: Shape, arguments: [u64; 5], payload: Memory) -> Step {
        Step { timeout: Entry::NEVER, arguments, shape, payload, record: None, completion: None }
    }

    pub(crate) fn verb(&self) -> Verb {
        Verb::from_number(self.shape.op).unwrap_or(Verb::Nop)
    }

    /// Whether it runs at the end.
    pub(crate) fn is_finally(&self) -> bool {
        self.shape.marks.contains(Marks::FINALLY)
    }

    /// The number of its buffer, if it has one.
    #[inline]
    pub(crate) fn buffer(&self) -> Option<u16> {
        match self.payload {
            Memory::Filled(buffer) | Memory::Room(buffer) => Some(buffer),
            _ => self.record,
        }
    }
}

//! A step: one operation of a chain, as it was built and, later, as it ended.
//!
//! Plain data without a heap of its own, written once into its chain's list. What of it decides the layout of its
//! chain is kept small and together: rings compare it for every chain they are given.

use bitflags::bitflags;
use ouzel_ring::{Completion, Entry, EntryFlags, Payload, Verb};

use super::Text;

/// What an argument is loaded from: nothing, which is 0, or one of the results of an earlier step.
#[derive(Clone, Copy)]
pub(crate) struct Need(u16);

impl Need {
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

/// What of a step the layout of its chain depends on: its verb, its marks, and what its arguments are loaded from.
///
/// They are packed, so that comparing two is comparing numbers: needs in 16 bits each from below, marks in 16, the
/// verb in 32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u128);

impl Shape {
    const NEEDS: u32 = 16;
    const MARKS: u32 = 80;
    const VERB: u32 = 96;

    #[inline]
    pub(crate) fn new(verb: Verb) -> Shape {
        Shape((verb as u128) << Shape::VERB)
    }

    /// The same shape with `argument`, which needed nothing so far, loaded from `need`.
    #[inline]
    pub(crate) fn with(self, argument: usize, need: Need) -> Shape {
        Shape(self.0 | (need.0 as u128) << (Shape::NEEDS * argument as u32))
    }

    #[inline]
    pub(crate) fn op(self) -> u32 {
        (self.0 >> Shape::VERB) as u32
    }

    pub(crate) fn verb(self) -> Verb {
        Verb::from_number(self.op()).unwrap_or(Verb::Nop)
    }

    /// What each argument is loaded from.
    pub(crate) fn needs(self) -> [Need; 5] {
        std::array::from_fn(|argument| Need((self.0 >> (Shape::NEEDS * argument as u32)) as u16))
    }

    #[inline]
    pub(crate) fn has(self, mark: Marks) -> bool {
        self.0 & Shape::marked(mark) != 0
    }

    #[inline]
    pub(crate) fn mark(&mut self, mark: Marks) {
        self.0 |= Shape::marked(mark);
    }

    #[inline]
    pub(crate) fn unmark(&mut self, mark: Marks) {
        self.0 &= !Shape::marked(mark);
    }

    #[inline]
    fn marked(mark: Marks) -> u128 {
        (mark.bits() as u128) << Shape::MARKS
    }
}

/// The memory that one of a step's arguments points to.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    None,
    /// Bytes of the chain's text, from here on. Where they are is known when the last path is there.
    Text(u32),
    /// A buffer's filled bytes.
    Filled(u16),
    /// A buffer's room.
    Room(u16),
    /// The envelope of a message that is received.
    Received(u16),
}

/// One operation of a chain.
pub(crate) struct Step {
    pub(crate) timeout: u64,
    /// The arguments known now. Where one points to a buffer, that is known: buffers are not moved.
    pub(crate) arguments: [u64; 5],
    pub(crate) shape: Shape,
    /// What argument 1 points to.
    pub(crate) payload: Memory,
    /// The number of the buffer that argument 3 points to.
    pub(crate) record: Option<u16>,
    /// Filled in when it arrives.
    pub(crate) completion: Option<Completion>,
}

impl Step {
    #[inline]
    pub(crate) fn new(shape: Shape, arguments: [u64; 5], payload: Memory) -> Step {
        Step { timeout: Entry::NEVER, arguments, shape, payload, record: None, completion: None }
    }

    /// The entry that asks for it; `text` is its chain's.
    #[inline]
    pub(crate) fn entry(&self, text: &Text, flags: EntryFlags, data: u64) -> Entry {
        let mut arguments = self.arguments;
        if let Memory::Text(start) = self.payload {
            arguments[1] = Payload::of(text.from(start).as_ptr()).number();
        }
        Entry { timeout: self.timeout, data, op: self.shape.op(), flags: flags.bits(), arguments }
    }

    /// The number of its buffer, if it has one.
    #[inline]
    pub(crate) fn buffer(&self) -> Option<u16> {
        match self.payload {
            Memory::Filled(buffer) | Memory::Room(buffer) | Memory::Received(buffer) => Some(buffer),
            _ => self.record,
        }
    }
}

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
        /// It is no step but a register that the caller of a program sets.
        const PARAMETER = 1 << 3;
        /// Its result is a variable.
        const VARIABLE = 1 << 4;
        /// It results again and again.
        const MULTISHOT = 1 << 5;
        /// It is not one of the ordinary steps.
        const APART = Marks::FINALLY.bits() | Marks::PARAMETER.bits();
    }
}

/// What of a step the layout of its chain depends on: its verb, its marks, what its arguments are loaded from, which
/// variable it assigns, and how far it jumps.
///
/// They are packed, so that comparing two is comparing numbers: needs in 16 bits each from below, marks, verb and
/// variable in 16 each. The distance of a TEST or REPEAT stands in the place of a need that these verbs do not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u128);

impl Shape {
    const NEEDS: u32 = 16;
    const MARKS: u32 = 80;
    const VERB: u32 = 96;
    const VARIABLE: u32 = 112;

    #[inline]
    pub(crate) fn new(verb: Verb) -> Shape {
        Shape((verb as u128) << Shape::VERB)
    }

    /// The same shape with `argument`, which needed nothing so far, loaded from `need`.
    #[inline]
    pub(crate) fn with(self, argument: usize, need: Need) -> Shape {
        Shape(self.0 | (need.0 as u128) << (Shape::NEEDS * argument as u32))
    }

    /// Whether all it says is a verb, and one of an operation: by itself such a step makes a chain whose layout is known.
    #[inline]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & !(0xffff << Shape::VERB) == 0 && self.op() < Verb::Set as u32
    }

    #[inline]
    pub(crate) fn op(self) -> u32 {
        (self.0 >> Shape::VERB) as u16 as u32
    }

    pub(crate) fn verb(self) -> Verb {
        Verb::from_number(self.op()).unwrap_or(Verb::Nop)
    }

    /// What each argument is loaded from.
    pub(crate) fn needs(self) -> [Need; 5] {
        let distance = self.distance_argument();
        core::array::from_fn(|argument| {
            let need = (self.0 >> (Shape::NEEDS * argument as u32)) as u16;
            Need(if distance == Some(argument) { 0 } else { need })
        })
    }

    /// The same shape, with a result that goes into `variable` and not into a register of its own.
    pub(crate) fn into_variable(self, variable: Need) -> Shape {
        Shape(self.0 | (variable.0 as u128) << Shape::VARIABLE)
    }

    /// The step that made the variable it assigns.
    pub(crate) fn variable(self) -> Option<usize> {
        Need((self.0 >> Shape::VARIABLE) as u16).source().map(|(step, _)| step)
    }

    /// The argument that holds a distance and is never loaded.
    fn distance_argument(self) -> Option<usize> {
        match self.op() {
            op if op == Verb::Test as u32 => Some(1),
            op if op == Verb::Repeat as u32 => Some(3),
            _ => None,
        }
    }

    /// How many steps a TEST skips, or a REPEAT goes back; 0 for others.
    pub(crate) fn distance(self) -> usize {
        let distance = |argument: usize| (self.0 >> (Shape::NEEDS * argument as u32)) as u16 as usize;
        self.distance_argument().map_or(0, distance)
    }

    /// Sets the distance of a TEST or REPEAT, which had none.
    pub(crate) fn set_distance(&mut self, distance: u16) {
        if let Some(argument) = self.distance_argument() {
            self.0 |= (distance as u128) << (Shape::NEEDS * argument as u32);
        }
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

/// The memory that argument 1 of a step points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// None.
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
pub struct Step {
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

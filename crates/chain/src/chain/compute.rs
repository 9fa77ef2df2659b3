//! Computing: steps that work on numbers alone, and variables, which more than one step may set.
//!
//! They run inside the engine and cost no crossing.

use ouzel_ring::Verb;
use ouzel_ring::modifiers::{Overflow, ShiftDirection};

use super::{Chain, Count, Draft, Marks, Memory, Need, Reg, Room, Unit};
use crate::BuildError;

/// How many bytes a [`Chain::load`] takes, as a little-endian number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    U8 = 1,
    /// Two bytes.
    U16 = 2,
    /// Four bytes.
    U32 = 4,
    /// Eight bytes.
    U64 = 8,
}

/// The bytes that a [`Chain::load`] takes its number from.
#[derive(Clone, Copy, Debug)]
pub enum Bytes {
    /// What that step has read or received, as many bytes as it did.
    Of(Reg<usize>),
    /// All of that room.
    In(Room),
}

impl From<Reg<usize>> for Bytes {
    fn from(reg: Reg<usize>) -> Bytes {
        Bytes::Of(reg)
    }
}

impl From<Room> for Bytes {
    fn from(room: Room) -> Bytes {
        Bytes::In(room)
    }
}

/// A number that more than one step may set: what one turn of a loop hands to the next. See [`Chain::variable`].
#[derive(Clone, Copy, Debug)]
pub struct Variable(Reg<u64>);

impl Variable {
    pub(super) fn reg(self) -> Reg<u64> {
        self.0
    }

    /// The step that made it, counted from 0 in the order steps were added.
    pub fn step(self) -> usize {
        self.0.step()
    }
}

/// Something to compute: [`Chain::compute`] makes a result of it, [`Chain::assign`] gives it to a [`Variable`].
#[derive(Clone, Copy, Debug)]
pub struct Compute(Work);

#[derive(Clone, Copy, Debug)]
enum Work {
    Value(Count),
    Sum(Count, Count, Overflow),
    Difference(Count, Count, Overflow),
    Smaller(Count, Count),
    Common(Count, Count),
    Shifted(Count, Count, ShiftDirection),
    Loaded(Bytes, Width, Count),
}

impl<T: Into<Count>> From<T> for Compute {
    fn from(value: T) -> Compute {
        Compute(Work::Value(value.into()))
    }
}

impl Compute {
    /// `a` + `b`; EOVERFLOW if 64 bits do not hold it.
    pub fn add(a: impl Into<Count>, b: impl Into<Count>) -> Compute {
        Compute(Work::Sum(a.into(), b.into(), Overflow::Error))
    }

    /// `a` − `b`; EOVERFLOW if `b` is larger.
    pub fn sub(a: impl Into<Count>, b: impl Into<Count>) -> Compute {
        Compute(Work::Difference(a.into(), b.into(), Overflow::Error))
    }

    /// A sum or difference modulo 2⁶⁴ instead of EOVERFLOW. Others stay as they are.
    pub fn wrapping(self) -> Compute {
        self.overflowing(Overflow::Wrap)
    }

    /// A sum that ends at 2⁶⁴ − 1 or a difference that ends at 0 instead of EOVERFLOW. Others stay as they are.
    pub fn saturating(self) -> Compute {
        self.overflowing(Overflow::Saturate)
    }

    fn overflowing(self, overflow: Overflow) -> Compute {
        Compute(match self.0 {
            Work::Sum(a, b, _) => Work::Sum(a, b, overflow),
            Work::Difference(a, b, _) => Work::Difference(a, b, overflow),
            other => other,
        })
    }

    /// The smaller of `a` and `b`.
    pub fn min(a: impl Into<Count>, b: impl Into<Count>) -> Compute {
        Compute(Work::Smaller(a.into(), b.into()))
    }

    /// The bits that `a` and `b` have in common.
    pub fn and(a: impl Into<Count>, b: impl Into<Count>) -> Compute {
        Compute(Work::Common(a.into(), b.into()))
    }

    /// `a` with its bits moved up by `distance`, at most 63.
    pub fn shift_left(a: impl Into<Count>, distance: impl Into<Count>) -> Compute {
        Compute(Work::Shifted(a.into(), distance.into(), ShiftDirection::Left))
    }

    /// `a` with its bits moved down by `distance`, at most 63.
    pub fn shift_right(a: impl Into<Count>, distance: impl Into<Count>) -> Compute {
        Compute(Work::Shifted(a.into(), distance.into(), ShiftDirection::Right))
    }

    /// The number of this width at `offset` of `bytes`; EFAULT if it is not all among them.
    pub fn load(bytes: impl Into<Bytes>, width: Width, offset: impl Into<Count>) -> Compute {
        Compute(Work::Loaded(bytes.into(), width, offset.into()))
    }
}

impl Chain {
    /// SET: results in `value`. Of an earlier result it is a copy.
    pub fn set(&mut self, value: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute(Work::Value(value.into())))
    }

    /// ADD: results in `a` + `b`, and fails with EOVERFLOW if 64 bits do not hold it.
    pub fn add(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::add(a, b))
    }

    /// ADD: results in `a` + `b` modulo 2⁶⁴.
    pub fn wrapping_add(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::add(a, b).wrapping())
    }

    /// ADD: results in `a` + `b`, or in 2⁶⁴ − 1 if that is smaller.
    pub fn saturating_add(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::add(a, b).saturating())
    }

    /// SUB: results in `a` − `b`, and fails with EOVERFLOW if `b` is larger.
    pub fn sub(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::sub(a, b))
    }

    /// SUB: results in `a` − `b` modulo 2⁶⁴.
    pub fn wrapping_sub(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::sub(a, b).wrapping())
    }

    /// SUB: results in `a` − `b`, or in 0 if `b` is larger.
    pub fn saturating_sub(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::sub(a, b).saturating())
    }

    /// MIN: results in the smaller of `a` and `b`.
    pub fn min(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::min(a, b))
    }

    /// AND: results in the bits that `a` and `b` have in common.
    pub fn and(&mut self, a: impl Into<Count>, b: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::and(a, b))
    }

    /// SHIFT: results in `a` with its bits moved up by `distance`, at most 63; those that leave the word are lost.
    pub fn shift_left(&mut self, a: impl Into<Count>, distance: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::shift_left(a, distance))
    }

    /// SHIFT: results in `a` with its bits moved down by `distance`, at most 63.
    pub fn shift_right(&mut self, a: impl Into<Count>, distance: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::shift_right(a, distance))
    }

    /// LOAD: results in the little-endian number of this width at `offset` of `bytes`: of what a step has read, or of a room.
    /// It fails with EFAULT if the number is not all among them.
    pub fn load(&mut self, bytes: impl Into<Bytes>, width: Width, offset: impl Into<Count>) -> Reg<u64> {
        self.compute(Compute::load(bytes, width, offset))
    }

    /// Results in what is to be computed: what [`set`](Chain::set), [`add`](Chain::add) and the others are short for.
    pub fn compute(&mut self, what: impl Into<Compute>) -> Reg<u64> {
        let (draft, payload) = self.draft(what.into().0);
        draft.add_with(self, payload)
    }

    /// Makes a variable and sets it: a number that [`assign`](Chain::assign) changes, and that keeps its value from one turn
    /// of a loop to the next. It is used as any result. [`Done`](crate::Done) does not have its last value; a
    /// [`get`](Chain::get) of it at the end does.
    pub fn variable(&mut self, value: impl Into<Compute>) -> Variable {
        let variable = Variable(self.compute(value));
        self.mark_last(Marks::VARIABLE);
        variable
    }

    /// Sets a variable to a value, or to something to [compute](Compute).
    pub fn assign(&mut self, variable: Variable, what: impl Into<Compute>) {
        let (mut draft, payload) = self.draft(what.into().0);
        let Variable(reg) = variable;
        let step = self.body.steps.len();
        if reg.chain != self.body.number {
            let verb = draft.shape().verb();
            self.body.fail(BuildError::ForeignRegister { step, verb, of: reg.step() });
        } else if self.body.next_is_finally {
            self.body.fail(BuildError::ControlInFinally { step, verb: draft.shape().verb() });
        }
        draft.assigns(Need::of(reg.step, false));
        let _: Reg<Unit> = draft.add_with(self, payload);
    }

    fn draft(&mut self, work: Work) -> (Draft, Memory) {
        let two = |chain: &mut Chain, verb: Verb, a: Count, b: Count, last: u64| {
            let draft = Draft::new(verb).count(chain, 2, a).count(chain, 3, b).value(4, last);
            (draft, Memory::None)
        };
        match work {
            Work::Value(value) => (Draft::new(Verb::Set).count(self, 2, value), Memory::None),
            Work::Sum(a, b, overflow) => two(self, Verb::Add, a, b, overflow as u64),
            Work::Difference(a, b, overflow) => two(self, Verb::Sub, a, b, overflow as u64),
            Work::Smaller(a, b) => two(self, Verb::Min, a, b, 0),
            Work::Common(a, b) => two(self, Verb::And, a, b, 0),
            Work::Shifted(a, distance, direction) => {
                if let Count::Known(distance) = distance
                    && distance > 63
                {
                    let step = self.body.steps.len();
                    self.body.fail(BuildError::ShiftTooFar { step, distance });
                }
                two(self, Verb::Shift, a, distance, direction as u64)
            }
            Work::Loaded(bytes, width, offset) => self.draft_load(bytes, width, offset),
        }
    }

    fn draft_load(&mut self, bytes: Bytes, width: Width, offset: Count) -> (Draft, Memory) {
        let draft = Draft::new(Verb::Load).value(2, width as u64).count(self, 3, offset);
        let step = self.body.steps.len();
        let (found, capacity) = match bytes {
            Bytes::Of(reg) => {
                let Some((buffer, address, capacity)) = self.filled_by(reg) else {
                    return (draft, Memory::None);
                };
                ((buffer, draft.loaded(self, 4, reg).value(1, address)), capacity)
            }
            Bytes::In(room) if room.chain != self.body.number => {
                self.body.fail(BuildError::ForeignRoom { step, verb: Verb::Load });
                return (draft, Memory::None);
            }
            Bytes::In(room) => {
                ((room.buffer, draft.value(1, room.address).value(4, room.capacity)), room.capacity)
            }
        };
        if let Count::Known(offset) = offset
            && offset.checked_add(width as u64).is_none_or(|end| end > capacity)
        {
            let asked = offset.saturating_add(width as u64);
            self.body.fail(BuildError::BeyondRoom { step, verb: Verb::Load, asked, room: capacity });
        }
        (found.1, Memory::Filled(found.0))
    }
}

//! Control: what runs depends on what came before it.
//!
//! Conditional parts and loops are closures that add steps to the same chain; TEST and REPEAT with their distances are
//! put around what they added. So parts and loops are always nested or apart, and every jump lands where it should.

use alloc::vec::Vec;
use ouzel_ring::Verb;
use ouzel_ring::modifiers::{Action, Condition as Asked, MAX_REPEAT, TestFlags, TestOf};

use super::{Chain, Count, Draft, Marks, Reg, Unit};
use crate::BuildError;

/// What a chain knows of its ordinary steps and of the loops that are being built.
#[derive(Default)]
pub(crate) struct Control {
    /// How many ordinary steps it has.
    ordinary: u16,
    loops: Vec<Vec<Exit>>,
}

/// A TEST that leaves a loop or goes on with its next turn; how far that is is known when the loop's end is.
struct Exit {
    test: usize,
    next_turn: bool,
}

impl Control {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.ordinary = 0;
        self.loops.clear();
    }

    /// A step was added.
    #[inline]
    pub(super) fn count(&mut self, finally: bool) {
        self.ordinary = self.ordinary.saturating_add(u16::from(!finally));
    }
}

/// A number, or the last step, about which something is asked. See [`Chain::when`] and [`Chain::when_last`].
#[derive(Debug)]
#[must_use = "nothing is asked of it yet"]
pub struct When<'c> {
    chain: &'c mut Chain,
    of: TestOf,
    value: Count,
}

/// Something that may or may not hold when its turn comes, and what is to be done if it does.
#[derive(Debug)]
#[must_use = "nothing is done if it holds"]
pub struct Condition<'c> {
    chain: &'c mut Chain,
    of: TestOf,
    value: Count,
    asked: Asked,
    comparand: Count,
    not: bool,
}

impl<'c> When<'c> {
    fn asks(self, asked: Asked, comparand: Count) -> Condition<'c> {
        Condition { chain: self.chain, of: self.of, value: self.value, asked, comparand, not: false }
    }

    /// It is 0.
    pub fn is_zero(self) -> Condition<'c> {
        self.asks(Asked::Zero, Count::Known(0))
    }

    /// It is not 0.
    pub fn is_positive(self) -> Condition<'c> {
        self.asks(Asked::Positive, Count::Known(0))
    }

    /// It is `other`.
    pub fn equals(self, other: impl Into<Count>) -> Condition<'c> {
        self.asks(Asked::Equal, other.into())
    }

    /// It is less than `other`; both are unsigned.
    pub fn is_less_than(self, other: impl Into<Count>) -> Condition<'c> {
        self.asks(Asked::Less, other.into())
    }
}

/// The last step that ran, about which something is asked. See [`Chain::when_last`].
#[derive(Debug)]
#[must_use = "nothing is asked of it yet"]
pub struct WhenLast<'c>(When<'c>);

impl<'c> WhenLast<'c> {
    /// It moved as many bytes as it was asked to.
    pub fn is_full(self) -> Condition<'c> {
        self.0.asks(Asked::Full, Count::Known(0))
    }

    /// It succeeded and moved fewer bytes than it was asked to.
    pub fn is_short(self) -> Condition<'c> {
        self.0.asks(Asked::Short, Count::Known(0))
    }

    /// It failed. The step before this question is given a [`hardlink`](Chain::hardlink), or the question would never be
    /// put. Its error is reported all the same.
    pub fn failed(self) -> Condition<'c> {
        self.0.chain.hardlink_last_operation();
        self.0.asks(Asked::Error, Count::Known(0))
    }
}

impl Condition<'_> {
    /// Turns it round.
    #[expect(
        clippy::should_implement_trait,
        reason = "a sentence is read from left to right: when n is zero, not, stop"
    )]
    pub fn not(mut self) -> Self {
        self.not = !self.not;
        self
    }

    /// Stops the chain successfully: no further step runs, but for FINALLY steps.
    pub fn stop(self) {
        self.add(Action::Stop);
    }

    /// Runs the steps that `part` adds only if it holds. Their results are not known outside the part. Returns what `part`
    /// does.
    pub fn then<R>(mut self, part: impl FnOnce(&mut Chain) -> R) -> R {
        self.not = !self.not;
        self.skip(part)
    }

    /// Runs the steps that `part` adds only if it does not hold; otherwise as [`then`](Condition::then).
    pub fn skip<R>(self, part: impl FnOnce(&mut Chain) -> R) -> R {
        let (chain, test) = self.add(Action::Skip);
        let first = chain.body.control.ordinary;
        let returned = part(chain);
        let last = chain.body.control.ordinary;
        chain.set_skip(test, last.saturating_sub(first));
        returned
    }

    /// Runs the steps that `holds` adds if it holds, and those that `otherwise` adds if it does not. Returns what both do.
    pub fn either<R, S>(
        mut self,
        holds: impl FnOnce(&mut Chain) -> R,
        otherwise: impl FnOnce(&mut Chain) -> S,
    ) -> (R, S) {
        self.not = !self.not;
        let (chain, test) = self.add(Action::Skip);
        let first = chain.body.control.ordinary;
        let returned = holds(chain);
        // Always skips what the other case adds; it belongs to the part that holds.
        let over = chain.when(0u64).is_zero();
        let (chain, over) = over.add(Action::Skip);
        let second = chain.body.control.ordinary;
        chain.set_skip(test, second.saturating_sub(first));
        let other = otherwise(chain);
        let last = chain.body.control.ordinary;
        chain.set_skip(over, last.saturating_sub(second));
        (returned, other)
    }

    /// Leaves the innermost [loop](Chain::repeat).
    pub fn break_loop(self) {
        self.exit(false);
    }

    /// Goes on with the next turn of the innermost [loop](Chain::repeat), if there is one.
    pub fn next_turn(self) {
        self.exit(true);
    }

    /// Results in 1 if it holds and in 0 if it does not, and does nothing else.
    pub fn test(self) -> Reg<u64> {
        let (chain, test) = self.add(Action::Continue);
        chain.result(test, false)
    }

    fn exit(self, next_turn: bool) {
        let (chain, test) = self.add(Action::Skip);
        match chain.body.control.loops.last_mut() {
            Some(exits) => exits.push(Exit { test, next_turn }),
            None => chain.body.fail(BuildError::NotInLoop { step: test }),
        }
    }
}

impl<'c> Condition<'c> {
    /// Adds the TEST, and returns its step. How far it skips is not known yet.
    fn add(self, action: Action) -> (&'c mut Chain, usize) {
        let chain = self.chain;
        let step = chain.body.steps.len();
        chain.refuse_finally(Verb::Test);
        if matches!(self.of, TestOf::Last) && chain.last_operation().is_none() {
            chain.body.fail(BuildError::NothingBefore { step });
        }
        let flags = self.asked as u64 | if self.not { TestFlags::NOT.bits() } else { 0 };
        let draft = Draft::new(Verb::Test)
            .value(0, self.of as u64)
            .value(1, action as u64)
            .count(chain, 2, self.value)
            .value(3, flags)
            .count(chain, 4, self.comparand);
        let _: Reg<Unit> = draft.add(chain);
        (chain, step)
    }
}

impl Chain {
    /// Asks something of a number, when the step's turn comes:
    ///
    /// ```
    /// use ouzel::{Chain, Ring};
    ///
    /// let mut chain = Chain::new();
    /// let five = chain.set(5u64);
    /// let small = chain.when(five).is_less_than(10u64).test();
    /// chain.when(five).is_zero().not().stop();
    /// let never = chain.set(6u64);
    /// let done = Ring::new()?.run(chain)?;
    /// assert_eq!(done.get(small)?, 1);
    /// assert!(done.was_skipped(never));
    /// # Ok::<(), ouzel::Error>(())
    /// ```
    pub fn when(&mut self, value: impl Into<Count>) -> When<'_> {
        When { chain: self, of: TestOf::Value, value: value.into() }
    }

    /// Asks something of the last step that ran, other than such questions and loops.
    pub fn when_last(&mut self) -> WhenLast<'_> {
        WhenLast(When { chain: self, of: TestOf::Last, value: Count::Known(0) })
    }

    /// Runs the steps that `body` adds again and again, `bound` times at the most (1 to 65,535). A
    /// [`break_loop`](Condition::break_loop) leaves it before. Returns how often it ran, if nothing left it before, and
    /// what `body` returns.
    ///
    /// A step of the body results in what it did in the last turn that reached it. Its result is known behind the loop if
    /// every turn reaches it: if no question before it in the body leaves the loop or skips it. What one turn hands to the
    /// next goes through a [variable](Chain::variable).
    ///
    /// ```
    /// use ouzel::{Buffer, Chain, Compute, Offset, OpenOptions, Ring};
    ///
    /// let mut chain = Chain::new();
    /// let file = chain.open("Cargo.toml", OpenOptions::read());
    /// let room = chain.room(Buffer::with_capacity(16));
    /// let length = chain.variable(0u64);
    /// chain.repeat(1000, |turn| {
    ///     let count = turn.read(file, room, Offset::at(length));
    ///     turn.when(count).is_zero().break_loop();
    ///     turn.assign(length, Compute::add(length, count));
    /// });
    /// let total = chain.get(length);
    /// chain.finally().close(file);
    /// let done = Ring::new()?.run(chain)?;
    /// assert_eq!(done.get(total)?, std::fs::metadata("Cargo.toml").unwrap().len());
    /// # Ok::<(), ouzel::Error>(())
    /// ```
    pub fn repeat<R>(&mut self, bound: u16, body: impl FnOnce(&mut Chain) -> R) -> (Reg<u64>, R) {
        self.refuse_finally(Verb::Repeat);
        let first = self.body.control.ordinary;
        self.body.control.loops.push(Vec::new());
        let returned = body(self);
        let exits = self.body.control.loops.pop().unwrap_or_default();
        self.refuse_finally(Verb::Repeat);
        let step = self.body.steps.len();
        let end = self.body.control.ordinary;
        let distance = end.saturating_sub(first);
        if bound == 0 {
            self.body.fail(BuildError::NoTurns { step, limit: MAX_REPEAT });
        }
        if distance == 0 {
            self.body.fail(BuildError::EmptyLoop { step });
        }
        let draft = Draft::new(Verb::Repeat).value(2, bound as u64).value(3, distance as u64);
        let turns = draft.add(self);
        if let Some(step) = self.body.steps.last_mut() {
            step.shape.set_distance(distance);
        }
        for Exit { test, next_turn } in exits {
            let steps = self.body.steps.get(..test).unwrap_or_default();
            let before = steps.iter().filter(|step| !step.shape.has(Marks::APART)).count() as u16;
            // From behind the TEST up to the REPEAT, or past it.
            let skipped = end.saturating_sub(before + 1) + u16::from(!next_turn);
            self.set_skip(test, skipped);
        }
        (turns, returned)
    }

    /// Says how many ordinary steps a TEST skips. One that would skip none goes on.
    fn set_skip(&mut self, test: usize, distance: u16) {
        let Some(step) = self.body.steps.get_mut(test) else { return };
        if distance == 0 {
            step.arguments[1] = Action::Continue as u64;
        } else {
            step.arguments[1] = Action::Skip as u64 | (distance as u64) << 32;
            step.shape.set_distance(distance);
        }
    }

    pub(crate) fn refuse_finally(&mut self, verb: Verb) {
        if core::mem::take(&mut self.body.next_is_finally) {
            let step = self.body.steps.len();
            self.body.fail(BuildError::ControlInFinally { step, verb });
        }
    }

    /// The last ordinary step that is no TEST or REPEAT.
    fn last_operation(&self) -> Option<usize> {
        let asks = |verb: Verb| matches!(verb, Verb::Test | Verb::Repeat);
        self.body.steps.iter().rposition(|step| !step.shape.has(Marks::APART) && !asks(step.shape.verb()))
    }

    fn hardlink_last_operation(&mut self) {
        if let Some(last) = self.last_operation() {
            self.body.steps[last].shape.mark(Marks::HARDLINK);
        }
    }
}

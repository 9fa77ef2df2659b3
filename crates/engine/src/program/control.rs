//! Control: where the TESTs and REPEATs of a program go, and how many steps can run because of that.
//!
//! A TEST skips forward, also out of the body of a REPEAT and into one: a body that is entered in its middle has run one
//! turn, shorter than the others, when its REPEAT is reached. So no step runs more often than the bounds of the REPEATs
//! around it, multiplied, say.

use alloc::vec;

use ouzel_ring::modifiers::{Action, Condition, MAX_PROGRAM_STEPS, MAX_REPEAT, TestFlags, TestOf};
use ouzel_ring::{Entry, Verb};

use super::rejection::{Reason, Rejection};
use super::verify::Step;

/// Where a step leads besides the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Nowhere: it is no TEST or REPEAT.
    Operation,
    /// A TEST of a number or of the last end, which leads to this step if it holds; `None`: it stops the program.
    Test { of: TestOf, target: Option<usize> },
    /// A REPEAT, which leads back to `first`; its body runs up to `bound` times.
    Repeat { first: usize, bound: u64 },
}

/// Reads the step `at`, a program's that has as many `ordinary` steps.
pub(super) fn read(at: usize, verb: Verb, entry: &Entry, ordinary: usize) -> Result<Control, Reason> {
    if !matches!(verb, Verb::Test | Verb::Repeat) {
        return Ok(Control::Operation);
    }
    if at >= ordinary {
        return Err(Reason::ControlInFinally);
    }
    if verb == Verb::Test { read_test(at, entry, ordinary) } else { read_repeat(at, entry) }
}

fn read_test(at: usize, entry: &Entry, ordinary: usize) -> Result<Control, Reason> {
    let [of, action, _, condition, _] = entry.arguments;
    let no_meaning = |argument: usize| Reason::NoMeaning { argument, value: entry.arguments[argument] };
    let of = TestOf::from_number(of).ok_or(no_meaning(0))?;
    let flags = TestFlags::from_bits(condition).ok_or(no_meaning(3))?;
    let condition = Condition::from_number((flags & TestFlags::CONDITION).bits()).ok_or(no_meaning(3))?;
    if of == TestOf::Value && matches!(condition, Condition::Full | Condition::Short | Condition::Error) {
        return Err(no_meaning(3));
    }
    let members = action >> 32;
    let left = ordinary - at - 1;
    let target = match Action::from_number(action & u64::from(u32::MAX)).ok_or(no_meaning(1))? {
        Action::Continue if members == 0 => Some(at + 1),
        Action::Stop if members == 0 => None,
        Action::Skip if members > left as u64 => return Err(Reason::SkipsTooFar { members, left }),
        Action::Skip if members > 0 => Some(at + 1 + members as usize),
        _ => return Err(no_meaning(1)),
    };
    Ok(Control::Test { of, target })
}

fn read_repeat(at: usize, entry: &Entry) -> Result<Control, Reason> {
    let [_, _, bound, distance, _] = entry.arguments;
    if !(1..=MAX_REPEAT).contains(&bound) {
        return Err(Reason::RepeatBound { bound });
    }
    if distance == 0 || distance > at as u64 {
        return Err(Reason::RepeatDistance { distance, before: at });
    }
    Ok(Control::Repeat { first: at - distance as usize, bound })
}

/// Whether the bodies of REPEATs are nested or apart, and few enough steps can run.
pub(super) fn check(steps: &[Step<'_>]) -> Result<(), Rejection> {
    // How often each step can run.
    let mut turns = vec![1u64; steps.len()];
    for (at, step) in steps.iter().enumerate() {
        let Control::Repeat { first, bound } = step.control else { continue };
        for (other, inner) in steps[first..at].iter().enumerate() {
            if let Control::Repeat { first: inner_first, .. } = inner.control
                && inner_first < first
            {
                return Err(step.reject(at, Reason::RepeatsCross { other: first + other }));
            }
        }
        // The REPEAT runs once for each turn of its body.
        for turns in &mut turns[first..=at] {
            *turns = turns.saturating_mul(bound);
        }
    }
    let total = turns.iter().fold(0u64, |total, turns| total.saturating_add(*turns));
    if total > MAX_PROGRAM_STEPS {
        return Err(Rejection { step: None, verb: None, reason: Reason::TooManySteps { steps: total } });
    }
    Ok(())
}

//! The operands of what computes and of what decides what runs.

use ouzel_ring::modifiers::Overflow;

use super::lexer::Kind;
use super::parser::{Cursor, Parsed};
use super::syntax::{Amount, Arithmetic, Asked, Leave, Located, Name, Operation, Written};
use super::verbs::offset;
use super::width::Width;

type Number = Located<Amount<Name>>;

/// Reads the operands of `verb`, which has been passed.
pub(super) fn operation(verb: &str, c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    Ok(match verb {
        "buffer" => Operation::Buffer { size: c.number("a size")? },
        "set" => Operation::Set { value: c.number("a number")? },
        "add" => {
            let (a, b) = (c.number("a number")?, c.number("a number")?);
            Operation::Compute { what: Arithmetic::Add(overflow(c)), a, b }
        }
        "sub" => {
            let (a, b) = (c.number("a number")?, c.number("a number")?);
            Operation::Compute { what: Arithmetic::Sub(overflow(c)), a, b }
        }
        "min" => compute(c, Arithmetic::Min)?,
        "and" => compute(c, Arithmetic::And)?,
        "shift" => {
            let a = c.number("a number")?;
            let what = if c.accept("left") {
                Arithmetic::Left
            } else if c.accept("right") {
                Arithmetic::Right
            } else {
                return Err(c.expected("`left` or `right`"));
            };
            Operation::Compute { what, a, b: c.number("a number of bits")? }
        }
        "load" => load(c)?,
        "if" => condition(c)?,
        "else" => Operation::Else,
        "repeat" => Operation::Repeat { bound: c.number("how often at the most")? },
        "end" => Operation::End,
        other => match [Leave::Stop, Leave::Break, Leave::Next].iter().find(|leave| leave.word() == other) {
            Some(leave) => Operation::Leave(*leave),
            None => return Err(c.expected("a verb")),
        },
    })
}

/// A buffer and how much of it, if a name is next.
pub(super) fn room(c: &mut Cursor<'_>) -> Parsed<Option<(Name, Option<Number>)>> {
    if c.word().is_none() {
        return Ok(None);
    }
    let buffer = c.name("a size")?;
    Ok(Some((buffer, first(c)?)))
}

/// `first LENGTH`, if that is next.
pub(super) fn first(c: &mut Cursor<'_>) -> Parsed<Option<Number>> {
    if c.accept("first") { c.number("a length").map(Some) } else { Ok(None) }
}

fn compute(c: &mut Cursor<'_>, what: Arithmetic) -> Parsed<Operation<Written>> {
    Ok(Operation::Compute { what, a: c.number("a number")?, b: c.number("a number")? })
}

fn overflow(c: &mut Cursor<'_>) -> Overflow {
    if c.accept("wrap") {
        Overflow::Wrap
    } else if c.accept("saturate") {
        Overflow::Saturate
    } else {
        Overflow::Error
    }
}

fn load(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let from = c.name("the result of a read, or a buffer")?;
    let Some((word, width)) = Width::ALL.iter().find(|(word, _)| c.word() == Some(word)) else {
        return Err(c.expected("`u8`, `u16`, `u32` or `u64`"));
    };
    c.accept(word);
    Ok(Operation::Load { from, width: *width, offset: offset(c)? })
}

fn condition(c: &mut Cursor<'_>) -> Parsed<Operation<Written>> {
    let not = c.accept("not");
    let asked = match last(c) {
        Some(asked) => asked,
        None => {
            let number = c.number("a number, or `last`")?;
            if c.accept("zero") {
                Asked::Zero(number)
            } else if c.accept("positive") {
                Asked::Positive(number)
            } else if c.accept("equals") {
                Asked::Equals(number, c.number("a number")?)
            } else if c.accept("less") {
                Asked::Less(number, c.number("a number")?)
            } else {
                return Err(c.expected("`zero`, `positive`, `equals` or `less`"));
            }
        }
    };
    let leave = [Leave::Stop, Leave::Break, Leave::Next].into_iter().find(|leave| c.accept(leave.word()));
    Ok(Operation::If { asked, not, leave, otherwise: false })
}

/// `last full`, `last short` or `last failed`, if that is next. Else `last` is a name.
fn last(c: &mut Cursor<'_>) -> Option<Asked<Written>> {
    let words = [("full", Asked::Full), ("short", Asked::Short), ("failed", Asked::Failed)];
    if c.word() != Some("last") {
        return None;
    }
    let next = match c.peek_second().map(|token| &token.kind) {
        Some(Kind::Word(word)) => word,
        _ => return None,
    };
    let (word, asked) = words.into_iter().find(|(word, _)| word == next)?;
    c.accept("last");
    c.accept(word);
    Some(asked)
}

//! Control verbs and programs for random chains, and what the ABI page says of them.

use ouzel_engine::{Interface, Program};
use ouzel_ring::modifiers::{Condition, TestFlags};
use ouzel_ring::{Entry, EntryFlags, Errno, Payload, Verb};

use crate::PATH;
use crate::chaos::Random;
use crate::common::{get, hard, load, repeat, save, sleep};

/// A program that doubles r0, and two that read in loops.
pub fn programs() -> [Program; 3] {
    let double = save(load(load(Entry::new(Verb::Add).arguments([0, 0, 0, 0, 1]), 2, 0), 3, 0), 0);
    let path = Payload::of(PATH.as_ptr()).number();
    let read = load(Entry::new(Verb::Read).arguments([0, path, 2, 1 << 40, 0]), 0, 0);
    // Of the last: is it 0? Then the next is skipped.
    let skip = Entry::new(Verb::Test).arguments([1, 2 | 1 << 32, 0, 0, 0]);
    let count = save(load(Entry::new(Verb::Add).arguments([0, 0, 0, 1, 1]), 2, 1), 1);
    let ends = EntryFlags::FINALLY;
    let last = Entry { flags: load(get(0), 0, 1).flags | ends.bits(), ..get(0) };
    let interface = |descriptors, result| Interface { registers: 2, descriptors, pieces: Vec::new(), result };
    let make = |entries: &[Entry], interface| {
        // SAFETY: the memory is static, and nobody touches it.
        unsafe { Program::with_addresses(entries, interface) }.unwrap()
    };
    [
        make(&[double], interface(0, Some(0))),
        make(&[hard(read), skip, count, repeat(0, 3, 3), sleep(0, 20), last], interface(1, Some(1))),
        make(&[read, repeat(0, 4, 1), count, last], interface(1, None)),
    ]
}

/// Gives an entry with a control verb arguments that often have a meaning.
pub fn arguments(
    verb: Verb,
    entry: &mut Entry,
    path: u64,
    programs: &[u32],
    random: &mut Random,
    exact: bool,
) {
    let numbers = [0, 1, 2, 1 << 63, u64::MAX - 1, u64::MAX];
    let mut number = || numbers[random.below(6) as usize];
    let (a, b) = (number(), number());
    let file = entry.arguments[0];
    entry.arguments = match verb {
        Verb::Shift => [0, 0, a, random.below(66), random.below(3)],
        Verb::Load => [0, path, [1, 2, 4, 8, 3][random.below(5) as usize], random.below(5), 4],
        Verb::Test => {
            let action = random.below(3);
            let distance = if action == 2 { 1 + random.below(3) } else { 0 };
            let not = TestFlags::NOT.bits() * random.below(2);
            let of = if random.one_in(20) { 2 } else { random.below(2) };
            [of, action | distance << 32, random.below(3), random.below(8) | not, random.below(3)]
        }
        Verb::Repeat => [0, 0, if exact { 1 } else { random.below(5) }, random.below(4), 0],
        Verb::Call => {
            let most = if exact { 2 } else { 4 };
            let number = programs.get(random.below(most) as usize % 3).copied().unwrap_or(0);
            let number = if exact && number != programs[0] { 0 } else { number };
            [u64::from(number), 0, 0, if number == programs[0] { a } else { file }, b]
        }
        _ => [0, 0, a, b, random.below(4)],
    };
    // Loaded numbers would name memory that is not there.
    if verb == Verb::Load {
        entry.flags &= !(EntryFlags::load(3, 6).unwrap() | EntryFlags::load(4, 6).unwrap()).bits();
    }
}

/// Whether this argument of a control verb may not be loaded.
pub fn is_fixed(verb: Verb, argument: usize) -> bool {
    match verb {
        Verb::Add | Verb::Sub | Verb::Shift => argument == 4,
        Verb::Load => argument == 1 || argument == 2,
        Verb::Test => matches!(argument, 0 | 1 | 3),
        Verb::Repeat => true,
        Verb::Call => argument < 3,
        _ => false,
    }
}

/// How an entry ends that only computes; `None` if that depends on what is not known.
pub fn computed(verb: Verb, arguments: &[Option<u64>; 5]) -> Option<Result<u64, Errno>> {
    let wide = |value: u64| i128::from(value);
    Some(match verb {
        Verb::Set => Ok(arguments[2]?),
        Verb::Min => Ok(arguments[2]?.min(arguments[3]?)),
        Verb::And => Ok(arguments[2]? & arguments[3]?),
        Verb::Add | Verb::Sub => {
            let mode = arguments[4]?;
            if mode > 2 {
                return Some(Err(Errno::EINVAL));
            }
            let (a, b) = (wide(arguments[2]?), wide(arguments[3]?));
            let exact = if verb == Verb::Add { a + b } else { a - b };
            match (u64::try_from(exact), mode) {
                (Ok(value), _) => Ok(value),
                (Err(_), 0) => Err(Errno::EOVERFLOW),
                (Err(_), 1) => Ok(exact.rem_euclid(1 << 64) as u64),
                (Err(_), _) => Ok(if exact < 0 { 0 } else { u64::MAX }),
            }
        }
        Verb::Shift => match (arguments[3]?, arguments[4]?) {
            (64.., _) | (_, 2..) => Err(Errno::EINVAL),
            (distance, 0) => Ok((u128::from(arguments[2]?) << distance) as u64),
            (distance, _) => Ok(arguments[2]? >> distance),
        },
        Verb::Load => {
            let (width, offset) = (arguments[2]? as usize, arguments[3]? as usize);
            if !matches!(width, 1 | 2 | 4 | 8) {
                Err(Errno::EINVAL)
            } else if offset + width > PATH.len() {
                Err(Errno::EFAULT)
            } else {
                Ok((0..width).map(|at| u64::from(PATH[offset + at]) << (8 * at)).sum())
            }
        }
        _ => return None,
    })
}

/// What the last member that ran came to, as far as that is known.
#[derive(Clone, Copy)]
pub struct Last {
    pub error: Errno,
    pub result: Option<u64>,
    pub magnitude: Option<u64>,
}

/// What a TEST finds: an error, or whether it holds; `None` in that if it is not known.
pub fn tested(arguments: &[Option<u64>; 5], last: Option<Last>) -> Result<Option<bool>, Errno> {
    let &[of, _, value, condition, comparand] = arguments;
    let (of, condition) = (of.unwrap_or(0), condition.unwrap_or(0));
    let asked = Condition::from_number(condition & 0xff).ok_or(Errno::EINVAL)?;
    let last = match of {
        0 if condition & 0xff >= 4 => return Err(Errno::EINVAL),
        0 => None,
        1 => Some(last.ok_or(Errno::EINVAL)?),
        _ => return Err(Errno::EINVAL),
    };
    let value = last.map_or(value, |last| last.result);
    let moved = || {
        let last = last?;
        if last.error.is_ok() { Some((last.result?, last.magnitude?)) } else { Some((0, 0)) }
    };
    let succeeded = last.is_some_and(|last| last.error.is_ok());
    let holds = match asked {
        Condition::Zero => value.map(|value| value == 0),
        Condition::Positive => value.map(|value| value > 0),
        Condition::Equal => value.zip(comparand).map(|(value, other)| value == other),
        Condition::Less => value.zip(comparand).map(|(value, other)| value < other),
        Condition::Full => moved().map(|(result, magnitude)| succeeded && result >= magnitude),
        Condition::Short => moved().map(|(result, magnitude)| succeeded && result < magnitude),
        Condition::Error => Some(!succeeded),
    };
    Ok(holds.map(|holds| holds != (condition & TestFlags::NOT.bits() != 0)))
}

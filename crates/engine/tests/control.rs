//! The control verbs, page by page: what they compute, what they refuse, and what TEST does to the members behind it.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{Limits, Target};
use ouzel_ring::modifiers::{Action, Condition, Overflow, ShiftDirection, TestFlags, TestOf};
use ouzel_ring::{CompletionFlags, Entry, Errno, Payload, Verb};

const OK: Errno = Errno::OK;

/// (user data, error, result, whether it was skipped) of everything that can be read.
fn ends(rig: &mut Rig) -> Vec<(u64, Errno, u64, bool)> {
    rig.pop_all()
        .iter()
        .map(|one| {
            assert_eq!(one.flags & !CompletionFlags::SKIPPED.bits(), 0);
            (one.data, one.errno(), one.result, one.was_skipped())
        })
        .collect()
}

fn two(verb: Verb, a: u64, b: u64, modifier: u64) -> Entry {
    Entry::new(verb).arguments([0, 0, a, b, modifier])
}

/// What one entry ends with.
#[track_caller]
fn alone(rig: &mut Rig, entry: Entry) -> Result<u64, Errno> {
    rig.push(&[entry]);
    rig.go();
    let all = rig.pop_all();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].flags, all[0].extra), (0, 0));
    all[0].outcome()
}

fn test_value(data: u64, value: u64, condition: Condition, comparand: u64, action: Action) -> Entry {
    let distance = if action == Action::Skip { 1 } else { 0 };
    test(data, TestOf::Value, value, condition as u64, comparand, action, distance)
}

fn test_last(data: u64, condition: Condition, action: Action, distance: u64) -> Entry {
    test(data, TestOf::Last, 0, condition as u64, 0, action, distance)
}

#[test]
fn numbers_are_computed() {
    let mut rig = Rig::new(8, 16);
    let cases = [
        (two(Verb::Set, 7, 0, 0), Ok(7)),
        (two(Verb::Set, u64::MAX, 9, 9), Ok(u64::MAX)),
        (two(Verb::Add, 3, 4, 0), Ok(7)),
        (two(Verb::Add, u64::MAX, 0, 0), Ok(u64::MAX)),
        (two(Verb::Add, u64::MAX, 1, Overflow::Error as u64), Err(Errno::EOVERFLOW)),
        (two(Verb::Add, u64::MAX, 5, Overflow::Wrap as u64), Ok(4)),
        (two(Verb::Add, u64::MAX, 5, Overflow::Saturate as u64), Ok(u64::MAX)),
        (two(Verb::Add, 1, 1, 3), Err(Errno::EINVAL)),
        (two(Verb::Sub, 9, 4, 0), Ok(5)),
        (two(Verb::Sub, 4, 4, 0), Ok(0)),
        (two(Verb::Sub, 4, 5, Overflow::Error as u64), Err(Errno::EOVERFLOW)),
        (two(Verb::Sub, 4, 5, Overflow::Wrap as u64), Ok(u64::MAX)),
        (two(Verb::Sub, 4, 5, Overflow::Saturate as u64), Ok(0)),
        (two(Verb::Sub, 1, 1, u64::MAX), Err(Errno::EINVAL)),
        (two(Verb::Min, 4, 5, 0), Ok(4)),
        (two(Verb::Min, u64::MAX, 5, 0), Ok(5)),
        (two(Verb::And, 0b1100, 0b1010, 0), Ok(0b1000)),
        (two(Verb::Shift, 1, 63, ShiftDirection::Left as u64), Ok(1 << 63)),
        (two(Verb::Shift, 3, 63, ShiftDirection::Left as u64), Ok(1 << 63)),
        (two(Verb::Shift, 1 << 63, 63, ShiftDirection::Right as u64), Ok(1)),
        (two(Verb::Shift, 5, 0, ShiftDirection::Right as u64), Ok(5)),
        (two(Verb::Shift, 1, 64, ShiftDirection::Left as u64), Err(Errno::EINVAL)),
        (two(Verb::Shift, 1, 1 << 32, ShiftDirection::Right as u64), Err(Errno::EINVAL)),
        (two(Verb::Shift, 1, 1, 2), Err(Errno::EINVAL)),
    ];
    for (entry, expected) in cases {
        assert_eq!(alone(&mut rig, entry), expected, "{entry:?}");
        let multishot = with(entry, ouzel_ring::EntryFlags::MULTISHOT);
        assert_eq!(alone(&mut rig, multishot), Err(Errno::EINVAL));
    }
    // Out of registers and into them.
    rig.push(&[
        local(linked(save(two(Verb::Set, 40, 0, 0), 0))),
        linked(save(load(load(two(Verb::Add, 1, 1, 0), 2, 0), 3, 0), 1)),
        linked(save(load(two(Verb::Shift, 0, 3, 1), 2, 1), 2)),
        load(get(9), 0, 2),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(0, OK, 40), (0, OK, 80), (0, OK, 10), (9, OK, 10)]);
    rig.assert_empty();
}

#[test]
fn what_must_be_known_in_advance_is_not_loaded() {
    let mut rig = Rig::new(8, 16);
    let fixed: [(Verb, &[usize]); 10] = [
        (Verb::Set, &[]),
        (Verb::Add, &[4]),
        (Verb::Sub, &[4]),
        (Verb::Min, &[]),
        (Verb::And, &[]),
        (Verb::Shift, &[4]),
        (Verb::Load, &[1, 2]),
        (Verb::Test, &[0, 1, 3]),
        (Verb::Repeat, &[0, 1, 2, 3, 4]),
        (Verb::Call, &[0, 1, 2]),
    ];
    for (verb, fixed) in fixed {
        for argument in 0..5 {
            // The ring's registers are 0, which is a good value for all of them but a width, a bound or a program.
            let entry = load(Entry::new(verb).arguments([0, 0, 1, 0, 1]), argument, 0);
            let ended = alone(&mut rig, entry);
            let own_error = matches!(verb, Verb::Load | Verb::Repeat | Verb::Call);
            if fixed.contains(&argument) {
                assert_eq!(ended, Err(Errno::EINVAL), "{verb:?} {argument}");
            } else {
                assert!(ended.is_ok() || own_error, "{verb:?} {argument}: {ended:?}");
                assert_ne!(ended, Err(Errno::EINVAL), "{verb:?} {argument}");
            }
        }
    }
}

#[test]
fn words_are_loaded_from_buffers() {
    let mut rig = Rig::new(8, 16);
    let bytes: Vec<u8> = (1..=20).collect();
    let at = Payload::of(bytes.as_ptr()).number();
    let word = |width, offset, length| Entry::new(Verb::Load).arguments([0, at, width, offset, length]);
    assert_eq!(alone(&mut rig, word(1, 0, 20)), Ok(1));
    assert_eq!(alone(&mut rig, word(2, 1, 20)), Ok(0x0302));
    assert_eq!(alone(&mut rig, word(4, 3, 20)), Ok(0x0706_0504));
    assert_eq!(alone(&mut rig, word(8, 12, 20)), Ok(0x1413_1211_100f_0e0d));
    assert_eq!(alone(&mut rig, word(8, 13, 20)), Err(Errno::EFAULT));
    assert_eq!(alone(&mut rig, word(1, 4, 4)), Err(Errno::EFAULT));
    assert_eq!(alone(&mut rig, word(1, 0, 0)), Err(Errno::EFAULT));
    assert_eq!(alone(&mut rig, word(1, 3, 4)), Ok(4));
    assert_eq!(alone(&mut rig, word(8, u64::MAX, u64::MAX)), Err(Errno::EFAULT));
    for width in [0, 3, 5, 7, 9, 16, u64::MAX] {
        assert_eq!(alone(&mut rig, word(width, 0, u64::MAX)), Err(Errno::EINVAL));
    }
    let unknown = Payload::new(9, 0).unwrap().number();
    let elsewhere = Entry::new(Verb::Load).arguments([0, unknown, 1, 0, 1]);
    assert_eq!(alone(&mut rig, elsewhere), Err(Errno::EFAULT));
    let piece = Payload::new(0xff00, 0).unwrap().number();
    let no_call = Entry::new(Verb::Load).arguments([0, piece, 1, 0, 1]);
    assert_eq!(alone(&mut rig, no_call), Err(Errno::EFAULT));
    // In a region only the word must lie.
    let region = {
        let base = std::ptr::NonNull::from(&bytes[0]).cast();
        // SAFETY: `bytes` outlives the rig's use of it, and nobody writes.
        unsafe { rig.engine.add_region(base, 20) }.unwrap()
    };
    let at = Payload::new(region, 16).unwrap().number();
    let word = |width, offset| Entry::new(Verb::Load).arguments([0, at, width, offset, u64::MAX]);
    assert_eq!(alone(&mut rig, word(4, 0)), Ok(0x1413_1211));
    assert_eq!(alone(&mut rig, word(4, 1)), Err(Errno::EFAULT));
    assert_eq!(alone(&mut rig, word(1, u64::MAX >> 16)), Err(Errno::EFAULT));
    // What an earlier member wrote is there: the word is read when its turn comes.
    let mut buffer = [0u8; 8];
    let target = Payload::of(buffer.as_mut_ptr()).number();
    let file = rig.descriptor();
    rig.push(&[
        local(linked(save(entry(Verb::Read, 1, Default::default(), [file, target, 8, 0, 0]), 0))),
        load(Entry::new(Verb::Load).arguments([0, target, 2, 0, 9]), 4, 0),
    ]);
    rig.go();
    // SAFETY: the backend's turn to write; the engine reads only behind its report.
    unsafe { std::ptr::write_volatile(&raw mut buffer, [0x34, 0x12, 0, 0, 0, 0, 0, 0]) };
    rig.tell(0, ok(2));
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 2), (0, OK, 0x1234)]);
    rig.assert_empty();
}

#[test]
fn a_test_asks_of_a_value() {
    let mut rig = Rig::new(8, 16);
    let cases = [
        (0, Condition::Zero, 0, true),
        (1, Condition::Zero, 0, false),
        (0, Condition::Positive, 0, false),
        (u64::MAX, Condition::Positive, 0, true),
        (5, Condition::Equal, 5, true),
        (5, Condition::Equal, 6, false),
        (5, Condition::Less, 6, true),
        (6, Condition::Less, 6, false),
        (u64::MAX, Condition::Less, 1, false),
    ];
    for (value, condition, comparand, holds) in cases {
        let entry = test_value(1, value, condition, comparand, Action::Continue);
        assert_eq!(alone(&mut rig, entry), Ok(u64::from(holds)), "{entry:?}");
        let mut turned = entry;
        turned.arguments[3] |= TestFlags::NOT.bits();
        assert_eq!(alone(&mut rig, turned), Ok(u64::from(!holds)), "{entry:?}");
    }
    // Out of registers.
    let entry = load(load(test_value(1, 1, Condition::Equal, 1, Action::Continue), 2, 0), 4, 1);
    assert_eq!(alone(&mut rig, entry), Ok(1));
}

#[test]
fn a_test_refuses_what_has_no_meaning() {
    let mut rig = Rig::new(8, 16);
    let good = test_value(1, 0, Condition::Zero, 0, Action::Continue);
    let mut bad = Vec::new();
    for (argument, value) in [
        (0, 2),
        (0, u64::MAX),
        (1, 3),
        (1, 1 << 32),
        (1, Action::Stop as u64 | 1 << 32),
        (1, Action::Skip as u64),
        (3, 7),
        (3, 1 << 9),
        (3, Condition::Full as u64),
        (3, Condition::Short as u64),
        (3, Condition::Error as u64),
        (3, 0xff),
    ] {
        let mut entry = good;
        entry.arguments[argument] = value;
        bad.push(entry);
    }
    // Nothing has run before, and there is nobody to skip.
    bad.push(test_last(1, Condition::Zero, Action::Continue, 0));
    bad.push(test_value(1, 0, Condition::Zero, 0, Action::Skip));
    bad.push(finally(good));
    for entry in bad {
        assert_eq!(alone(&mut rig, entry), Err(Errno::EINVAL), "{entry:?}");
    }
    // Only ordinary members can be skipped, and all of them must be there, whether it holds or not.
    for (skipped, value, error) in [(1, 0, OK), (2, 0, Errno::EINVAL), (2, 1, Errno::EINVAL)] {
        let skip = test(1, TestOf::Value, value, Condition::Zero as u64, 0, Action::Skip, skipped);
        rig.push(&[hard(skip), linked(get(2)), finally(get(3))]);
        rig.go();
        let all = ends(&mut rig);
        assert_eq!((all[0].1, all[2].1), (error, OK));
        assert_eq!(all[1].3, error.is_ok());
    }
}

#[test]
fn a_test_asks_of_the_last_member() {
    let mut rig = Rig::new(16, 32);
    let file = rig.descriptor();
    let read = |data| entry(Verb::Read, data, Default::default(), [file, 0x1000, 10, 0, 0]);
    let ask = |data, condition| hard(test_last(data, condition, Action::Continue, 0));
    let all = [
        Condition::Zero,
        Condition::Positive,
        Condition::Less,
        Condition::Full,
        Condition::Short,
        Condition::Error,
    ];
    for (number, (outcome, expected)) in [
        (ok(10), [0, 1, 0, 1, 0, 0]),
        (ok(11), [0, 1, 0, 1, 0, 0]),
        (ok(9), [0, 1, 0, 0, 1, 0]),
        (ok(0), [1, 0, 0, 0, 1, 0]),
        (failed(Errno::EIO), [1, 0, 0, 0, 0, 1]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut chain = vec![hard(read(1))];
        chain.extend(all.iter().map(|condition| ask(2, *condition)));
        chain.push(get(3));
        rig.push(&chain);
        rig.go();
        rig.tell(number, outcome);
        rig.go();
        let found: Vec<u64> = rig.seen()[1..7].iter().map(|(_, _, result)| *result).collect();
        assert_eq!(found, expected, "{outcome:?}");
    }
    // The magnitude is the one that was loaded; a member that was not run is not asked about, one that was refused is.
    rig.push(&[
        local(linked(save(two(Verb::Set, 5, 0, 0), 0))),
        linked(load(read(1), 2, 0)),
        hard(test_last(2, Condition::Full, Action::Skip, 1)),
        hard(get(3)),
        hard(test_last(4, Condition::Full, Action::Continue, 0)),
        hard(load(get(5), 0, 6)),
        test_last(6, Condition::Error, Action::Continue, 0),
    ]);
    rig.go();
    rig.tell(5, ok(5));
    rig.go();
    let expected = [
        (0, OK, 5, false),
        (1, OK, 5, false),
        (2, OK, 1, false),
        (3, OK, 0, true),
        (4, OK, 1, false),
        (5, Errno::EINVAL, 0, false),
        (6, OK, 1, false),
    ];
    assert_eq!(ends(&mut rig), expected);
    rig.assert_empty();
}

#[test]
fn a_test_that_stops_skips_the_rest_but_finally() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    let stop = test_value(1, 0, Condition::Zero, 0, Action::Stop);
    rig.push(&[
        local(linked(save(stop, 0))),
        linked(read(2, file)),
        with(hard(save(get(3), 1)), ouzel_ring::EntryFlags::SILENT),
        linked(load(get(4), 0, 6)),
        finally(linked(load(get(5), 0, 0))),
        finally(linked(load(get(6), 0, 1))),
        finally(close(7, file)),
    ]);
    rig.go();
    rig.tell(0, ok(0));
    rig.go();
    // A silent one that is skipped posts nothing, and a register that only a skipped one would have saved is undefined.
    let expected = [
        (1, OK, 1, false),
        (2, OK, 0, true),
        (4, OK, 0, true),
        (5, OK, 1, false),
        (6, Errno::ECANCELED, 0, false),
        (7, OK, 0, false),
    ];
    assert_eq!(ends(&mut rig), expected);
    // One that does not hold stops nothing; one that fails breaks the chain as any member does.
    rig.push(&[linked(test_value(1, 1, Condition::Zero, 0, Action::Stop)), get(2)]);
    rig.push(&[linked(test_value(3, 1, Condition::Full, 0, Action::Stop)), get(4)]);
    rig.go();
    let expected =
        [(1, OK, 0, false), (2, OK, 0, false), (3, Errno::EINVAL, 0, false), (4, Errno::ECANCELED, 0, false)];
    assert_eq!(ends(&mut rig), expected);
    rig.assert_empty();
}

#[test]
fn a_test_that_skips_goes_on_behind() {
    let mut rig = Rig::new(16, 32);
    for count in 1..=4 {
        let skip = test(0, TestOf::Value, 0, Condition::Zero as u64, 0, Action::Skip, count);
        let mut chain = vec![local(linked(skip))];
        chain.extend((1..=4).map(|data| linked(get(data))));
        chain.push(finally(get(5)));
        rig.push(&chain);
        rig.go();
        let skipped: Vec<bool> = ends(&mut rig).iter().map(|end| end.3).collect();
        let expected: Vec<bool> = (0..=5).map(|place| (1..=count).contains(&place)).collect();
        assert_eq!(skipped, expected);
    }
    // A skip within what is skipped does nothing; one chain's skip is not the next one's.
    let skip = |data, count| test(data, TestOf::Value, 0, Condition::Zero as u64, 0, Action::Skip, count);
    rig.push(&[linked(skip(1, 1)), linked(skip(2, 2)), linked(get(3)), get(4)]);
    rig.push(&[linked(get(5)), get(6)]);
    rig.go();
    let skipped: Vec<_> = ends(&mut rig).into_iter().filter(|end| end.3).map(|end| end.0).collect();
    assert_eq!(skipped, [2]);
    // If the chain ends before they were all skipped, the next chain in that place skips none.
    rig.push(&[linked(skip(1, 2)), linked(get(2)), linked(get(3)), deadline(4, 0)]);
    rig.push(&[linked(get(5)), get(6)]);
    rig.go();
    assert_eq!(ends(&mut rig).iter().filter(|end| end.3).count(), 2);
    rig.assert_empty();
}

#[test]
fn control_verbs_name_no_descriptor() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    rig.push(&[linked(read(1, file)), Entry::new(Verb::Set).data(2).arguments([file, 0, 0, 0, 0])]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::Descriptor(ouzel_ring::Descriptor::from_number(file).unwrap())), 1);
    rig.tell(0, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::ECANCELED), (2, Errno::ECANCELED)]);
    rig.assert_empty();
}

#[test]
fn a_repeat_needs_a_program() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[linked(get(1)), repeat(2, 2, 1)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, OK), (2, Errno::EINVAL)]);
    let limits = Limits::default();
    assert!(limits.programs > 0 && limits.program_steps > 0);
}

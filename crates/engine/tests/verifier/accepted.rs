//! Programs that people would write.

use ouzel_ring::modifiers::{
    Action, CURRENT_POSITION, Condition, OpenFlags, Overflow, ShiftDirection, TestFlags,
};

use super::*;

#[test]
fn a_file_is_read() {
    let entries = [open().save(0), read(0).save(1), close(0).finally()];
    accept(&entries, Interface { result: Some(1), ..interface() });
}

/// r0 is the source, r1 the target; r2 counts.
#[test]
fn a_file_is_copied_in_a_loop() {
    let entries = [
        set(2, 0),
        step(Verb::Read, [0, piece(0, 0), 4096, CURRENT_POSITION, 0]).load(0, 0).save(3),
        test(3, Condition::Zero, Action::Stop as u64),
        step(Verb::Write, [0, piece(0, 0), 0, CURRENT_POSITION, 0]).load(0, 1).load(2, 3).save(4),
        step(Verb::Add, [0, 0, 0, 0, Overflow::Error as u64]).load(2, 2).load(3, 4).save(2),
        repeat(65_535, 4),
    ];
    accept(&entries, Interface { registers: 2, descriptors: 0b11, pieces: vec![4096], result: Some(2) });
}

/// The pages of a tree are 4096 bytes; a word of each says where the next one is, until one is 0. r0 is the file, r1 the
/// key.
#[test]
fn a_tree_is_descended() {
    let page = |offset| piece(0, offset);
    let entries = [
        set(2, 0),
        step(Verb::Read, [0, page(0), 4096, 0, 0]).load(0, 0).load(3, 2).save(3),
        // Five bits of the key for each level: the place of the child.
        step(Verb::And, [0, 0, 0, 31, 0]).load(2, 1).save(4),
        step(Verb::Shift, [0, 0, 0, 3, ShiftDirection::Left as u64]).load(2, 4).save(4),
        step(Verb::Shift, [0, 0, 0, 5, ShiftDirection::Right as u64]).load(2, 1).save(1),
        step(Verb::Load, [0, page(0), 8, 0, 0]).load(3, 4).load(4, 3).save(2),
        test(2, Condition::Zero, skip(1)),
        repeat(13, 6),
        step(Verb::Load, [0, page(4088), 8, 0, 8]).save(5),
    ];
    accept(&entries, Interface { registers: 2, descriptors: 0b01, pieces: vec![4096], result: Some(5) });
}

/// A file is made if it is not there; which of the two happened is the result.
#[test]
fn a_fallback() {
    let make = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let entries = [
        set(1, 0),
        open().save(0).hard(),
        test_last(Condition::Error, Action::Continue as u64).save(1),
        test(1, Condition::Zero, skip(1)),
        step(Verb::Open, [0, piece(0, 0), 10, make.bits(), 0o600]).save(0),
        NOP,
        close(0).finally(),
    ];
    accept(&entries, Interface { result: Some(1), ..interface() });
}

/// Many files, one after the other: what a break leaves open is closed all the same.
#[test]
fn files_in_a_loop() {
    let entries = [open().save(0), read(0).save(1), close(0), repeat(100, 3), close(0).finally()];
    accept(&entries, Interface { result: Some(1), ..interface() });
}

#[test]
fn a_connection_is_served() {
    let entries = [
        Entry::new(Verb::Accept).load(0, 0).save(1),
        step(Verb::Recv, [0, piece(0, 0), 512, 0, 0]).load(0, 1).save(2),
        test(2, Condition::Zero, skip(2)),
        step(Verb::Send, [0, piece(0, 0), 0, 0, 0]).load(0, 1).load(2, 2),
        repeat(1000, 3),
        step(Verb::Shutdown, [0, 0, 0, 2, 0]).load(0, 1).finally(),
        close(1).finally(),
    ];
    accept(&entries, Interface { registers: 1, descriptors: 1, pieces: vec![512], result: None });
}

#[test]
fn loops_in_loops_are_left_and_entered() {
    let entries = [
        set(0, 3),
        // Into the outer body.
        test(0, Condition::Positive, skip(1)),
        NOP,
        NOP,
        // Out of the inner one, and of both.
        test(0, Condition::Less, skip(1)),
        repeat(10, 2),
        step(Verb::Test, [0, skip(1), 0, TestFlags::NOT.bits() | Condition::Zero as u64, 0]).load(2, 0),
        repeat(10, 5),
        get(0),
    ];
    accept(&entries, interface());
}

#[test]
fn a_program_of_finally_steps_only() {
    accept(&[close(0).finally()], called_with(1, 1));
}

const NOP: Entry = Entry::new(Verb::Nop);

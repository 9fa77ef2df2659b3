//! Stored programs: what CALL hands over, checks and reports, how calls share packets, and what reaches their steps.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{EventKind, Interface, Limits, Operation, Place, Program, Rejection, StoreError, Target};
use ouzel_ring::modifiers::{Action, CallFlags, Condition, MAX_PROGRAM_LENGTH, TestOf};
use ouzel_ring::{Completion, CompletionFlags, Descriptor, Entry, EntryFlags, Errno, Payload, Piece, Verb};

const OK: Errno = Errno::OK;

fn interface(registers: u8, pieces: &[u64], result: Option<u8>) -> Interface {
    Interface { registers, descriptors: 0, pieces: pieces.to_vec(), result }
}

/// Stores a program. Of the registers that its caller sets, those that a transfer or CLOSE uses hold descriptors.
#[track_caller]
fn store<B: ouzel_engine::Backend>(rig: &mut Rig<B>, entries: &[Entry], mut interface: Interface) -> u32 {
    for entry in entries {
        let uses_one = [Verb::Read, Verb::Write, Verb::Close].iter().any(|verb| *verb as u32 == entry.op);
        if uses_one
            && let Some(register) = EntryFlags::from_bits_retain(entry.flags).loaded_from(0)
            && register < usize::from(interface.registers)
        {
            interface.descriptors |= 1 << register;
        }
    }
    rig.engine.store(Program::new(entries, interface).unwrap()).unwrap()
}

/// The payload of a piece of the call.
fn piece(number: u16, offset: u64) -> u64 {
    Payload::new(0xff00 + number, offset).unwrap().number()
}

/// A READ from the descriptor in r0 into piece 0.
fn read_piece(length: u64) -> Entry {
    load(Entry::new(Verb::Read).arguments([0, piece(0, 0), length, 0, 0]), 0, 0)
}

/// A record for CALL, as words.
fn record(registers: [u64; 5], pieces: &[Piece]) -> Vec<u64> {
    let mut words = registers.to_vec();
    words.extend(pieces.iter().flat_map(|piece| [piece.payload, piece.length]));
    words
}

/// A CALL with a record.
fn call_with(data: u64, program: u32, r0: u64, r1: u64, record: &[u64]) -> Entry {
    let payload = Payload::of(record.as_ptr()).number();
    let length = size_of_val(record) as u64;
    Entry::new(Verb::Call).data(data).arguments([u64::from(program), payload, length, r0, r1])
}

fn piece_of(bytes: &[u8]) -> Piece {
    Piece { payload: Payload::of(bytes.as_ptr()).number(), length: bytes.len() as u64 }
}

#[test]
fn one_entry_in_and_one_completion_out() {
    let mut rig = Rig::new(4, 8);
    let add = load(load(Entry::new(Verb::Add).data(77), 2, 0), 3, 1);
    let sum = store(&mut rig, &[save(add, 0), grow_by_itself(0)], interface(2, &[], Some(0)));
    assert_eq!(sum, 1);
    rig.push(&[call(5, sum, 3, 4)]);
    rig.go();
    let all = rig.pop_all();
    let expected = Completion { op: 62, error: 0, data: 5, result: 14, flags: 0, extra: 0 };
    assert_eq!(all, [expected]);
    // Its result is saved as any other, its arguments loaded, and SILENT works.
    rig.push(&[
        local(linked(save(set(1, 20), 3))),
        with(linked(save(load(call(2, sum, 0, 1), 3, 3), 4)), EntryFlags::SILENT),
        load(get(3), 0, 4),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 20), (3, OK, 42)]);
    // Programs have registers of their own: the ring's are not seen and stay as they are.
    let own = store(&mut rig, &[save(set(1, 9), 6), load(get(2), 0, 6)], interface(0, &[], None));
    rig.push(&[call(1, own, 0, 0)]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 0)], "no result was declared");
    assert_eq!(rig.submitter.register(6), Some(0));
    rig.assert_empty();
    assert_eq!(rig.engine.gauges().programs, 2);
}

/// r`register` is doubled.
fn grow_by_itself(register: usize) -> Entry {
    save(load(load(Entry::new(Verb::Add), 2, register), 3, register), register)
}

#[test]
fn all_seven_registers_are_handed_over() {
    let mut rig = Rig::new(4, 8);
    let words = record([2, 3, 4, 5, 6], &[]);
    for register in 0..7 {
        let get = load(get(1), 0, register as usize);
        let program = store(&mut rig, &[save(get, 0)], interface(7, &[], Some(0)));
        rig.push(&[call_with(1, program, 10, 11, &words)]);
        rig.go();
        let expected = [10, 11, 2, 3, 4, 5, 6][register as usize];
        assert_eq!(rig.seen(), [(1, OK, expected)]);
        // One more than the caller sets is undefined.
        let get = load(common::get(1), 0, register as usize);
        assert!(Program::new(&[get], interface(register, &[], None)).is_err());
    }
    rig.assert_empty();
}

#[test]
fn what_a_call_refuses() {
    let mut rig = Rig::new(4, 8);
    let bytes = [0u8; 64];
    let plain = store(&mut rig, &[get(1)], interface(2, &[], None));
    let many = store(&mut rig, &[get(1)], interface(3, &[], None));
    let pieces = store(&mut rig, &[get(1)], interface(0, &[16, 0], None));
    let good = record([0; 5], &[piece_of(&bytes[..16]), piece_of(&bytes[..0])]);
    let short = record([0; 5], &[piece_of(&bytes[..15]), piece_of(&bytes[..0])]);
    let unknown = Piece { payload: Payload::new(7, 0).unwrap().number(), length: 16 };
    let outside = record([0; 5], &[unknown, piece_of(&bytes[..0])]);
    let nested = record([0; 5], &[piece_of(&bytes[..16]), Piece { payload: piece(0, 0), length: 1 }]);
    let none = record([0; 5], &[]);
    let details = u64::from(plain) | CallFlags::DETAILS.bits();
    let with_flags = |program: u64| Entry::new(Verb::Call).arguments([program, 0, 0, 0, 0]);
    let elsewhere = Payload::new(3, 0).unwrap().number();
    let cases = [
        (call(0, plain, 0, 0), OK),
        (call_with(0, plain, 0, 0, &none), OK),
        (call(0, 0, 0, 0), Errno::ENOENT),
        (call(0, 99, 0, 0), Errno::ENOENT),
        (call(0, many, 0, 0), Errno::EINVAL),
        (call_with(0, many, 0, 0, &none), OK),
        (call_with(0, many, 0, 0, &none[..4]), Errno::EINVAL),
        (call_with(0, many, 0, 0, &good), Errno::EINVAL),
        (call(0, pieces, 0, 0), Errno::EINVAL),
        (call_with(0, pieces, 0, 0, &none), Errno::EINVAL),
        (call_with(0, pieces, 0, 0, &good), OK),
        (call_with(0, pieces, 0, 0, &good[..7]), Errno::EINVAL),
        (call_with(0, pieces, 0, 0, &short), Errno::EINVAL),
        (call_with(0, pieces, 0, 0, &outside), Errno::EFAULT),
        (call_with(0, pieces, 0, 0, &nested), Errno::EFAULT),
        (with_flags(details), Errno::EINVAL),
        (with_flags(u64::from(plain) | 1 << 33), Errno::EINVAL),
        (with_flags(u64::from(plain) | 1 << 63), Errno::EINVAL),
        (Entry::new(Verb::Call).arguments([u64::from(many), elsewhere, 40, 0, 0]), Errno::EFAULT),
        (finally(call(0, plain, 0, 0)), Errno::EINVAL),
        (with(call(0, plain, 0, 0), EntryFlags::MULTISHOT), Errno::EINVAL),
    ];
    for (entry, expected) in cases {
        rig.push(&[entry]);
        rig.go();
        assert_eq!(rig.errors(), [(0, expected)], "{entry:?}");
        rig.assert_empty();
    }
    // A program calls none.
    assert!(Program::new(&[call(1, plain, 0, 0)], interface(0, &[], None)).is_err());
}

#[test]
fn payloads_lie_in_the_callers_pieces() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let (first, second) = ([0u8; 32], [0u8; 32]);
    let steps = [
        load(Entry::new(Verb::Read).arguments([0, piece(0, 4), 12, 0, 0]), 0, 0),
        load(load(Entry::new(Verb::Write).arguments([0, piece(1, 8), 0, 0, 0]), 0, 0), 2, 1),
    ];
    let program = store(&mut rig, &steps, interface(2, &[16, 8], None));
    let spans = |rig: &mut Rig| -> Vec<(usize, usize)> {
        let started = std::mem::take(&mut rig.backend().started);
        rig.backend().open.clear();
        started
            .iter()
            .map(|step| match step.operation {
                Operation::Read { buffers, .. } | Operation::Write { buffers, .. } => match buffers {
                    ouzel_engine::Buffers::One(span) => (span.pointer as usize, span.length),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            })
            .collect()
    };
    // The length of the second comes from a register: what does not fit the caller's piece is EFAULT.
    for (length, fits) in [(0, true), (24, true), (25, false), (u64::MAX, false)] {
        let words = record([0; 5], &[piece_of(&first), piece_of(&second)]);
        rig.push(&[call_with(1, program, file, length, &words)]);
        rig.go();
        rig.tell(0, ok(3));
        rig.go();
        if fits {
            rig.tell(1, ok(0));
            rig.go();
        }
        let all = rig.pop_all();
        let expected = if fits { (OK, 0) } else { (Errno::EFAULT, 2) };
        assert_eq!((all[0].errno(), all[0].extra), expected, "{length}");
        let spans = spans(&mut rig);
        assert_eq!(spans[0], (first.as_ptr() as usize + 4, 12));
        if fits && length > 0 {
            assert_eq!(spans[1], (second.as_ptr() as usize + 8, length as usize));
        }
    }
    // Outside of a call such a payload is EFAULT, and a piece that the call has not is refused before.
    rig.push(&[Entry::new(Verb::Read).data(1).arguments([file, piece(0, 0), 1, 0, 0])]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::EFAULT)]);
    let third = load(Entry::new(Verb::Read).arguments([0, piece(2, 0), 1, 0, 0]), 0, 0);
    let two = Interface { descriptors: 1, ..interface(1, &[0, 0], None) };
    assert!(Program::new(&[third], two).is_err());
    rig.assert_empty();
}

#[test]
fn two_calls_at_once_have_pieces_of_their_own() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let program = store(&mut rig, &[read_piece(8), save(word(0), 1)], interface(1, &[8], Some(1)));
    let mut buffers = [[0u64; 1]; 2];
    let words: Vec<_> = buffers
        .iter()
        .map(|buffer| {
            let piece = Piece { payload: Payload::of(buffer.as_ptr()).number(), length: 8 };
            record([0; 5], &[piece])
        })
        .collect();
    rig.push(&[call_with(1, program, file, 0, &words[0]), call_with(2, program, file, 0, &words[1])]);
    rig.go();
    assert_eq!(rig.backend().running(), [0, 1]);
    for (number, value) in [(1usize, 200u64), (0, 100)] {
        // SAFETY: the backend's turn to write; the engine reads only behind its report.
        unsafe { std::ptr::write_volatile(&raw mut buffers[number][0], value.to_le()) };
        rig.tell(number, ok(8));
        rig.go();
    }
    assert_eq!(rig.seen(), [(2, OK, 200), (1, OK, 100)]);
    rig.assert_empty();
}

/// A LOAD of the first word of a piece.
fn word(number: u16) -> Entry {
    Entry::new(Verb::Load).arguments([0, piece(number, 0), 8, 0, 8])
}

#[test]
fn the_step_that_broke_it_is_told() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let steps = [
        get(1),
        hard(load(read(2, 0), 0, 0)),
        load(read(3, 0), 0, 0),
        get(4),
        finally(load(read(5, 0), 0, 0)),
    ];
    let program = store(&mut rig, &steps, interface(1, &[], None));
    // A HARDLINK step may fail; one without breaks the program; FINALLY steps do not count.
    for (number, (outcomes, expected)) in [
        ([failed(Errno::EIO), ok(1), ok(2)], (OK, 0)),
        ([ok(0), failed(Errno::EPIPE), ok(2)], (Errno::EPIPE, 3)),
        ([ok(0), failed(Errno::EPIPE), failed(Errno::EIO)], (Errno::EPIPE, 3)),
        ([failed(Errno::EIO), failed(Errno::EPIPE), ok(0)], (Errno::EPIPE, 3)),
        ([ok(0), ok(0), failed(Errno::EIO)], (OK, 0)),
    ]
    .into_iter()
    .enumerate()
    {
        rig.push(&[hard(call(1, program, file, 0)), get(2)]);
        rig.go();
        for (step, outcome) in outcomes.into_iter().enumerate() {
            assert!(rig.pop_all().is_empty());
            rig.tell(3 * number + step, outcome);
            rig.go();
        }
        let all = rig.pop_all();
        assert_eq!((all[0].errno(), all[0].extra), expected);
        assert_eq!(all[1].errno(), OK);
    }
    // For the chain of the CALL it is a failure like any other.
    rig.push(&[linked(call(1, program, file, 0)), get(2)]);
    rig.go();
    for (number, outcome) in [(15, ok(0)), (16, failed(Errno::EPIPE)), (17, ok(0))] {
        rig.tell(number, outcome);
        rig.go();
    }
    assert_eq!(rig.errors(), [(1, Errno::EPIPE), (2, Errno::ECANCELED)]);
    rig.assert_empty();
}

#[test]
fn details_tell_of_each_step() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let skip = test(0, TestOf::Value, 0, Condition::Zero as u64, 0, Action::Skip, 1);
    let steps = [set(9, 4), skip, get(8), read_piece(8), get(7), finally(get(6))];
    let program = store(&mut rig, &steps, interface(1, &[8], None));
    let buffer = [0u8; 8];
    for room in [0, 31, 32, 100, 6 * 32, 500] {
        // Not aligned, too.
        let details = vec![0xaau8; room + 1];
        let words = record([0; 5], &[piece_of(&buffer), piece_of(&details[1..])]);
        let mut entry = call_with(5, program, file, 0, &words);
        entry.arguments[0] |= CallFlags::DETAILS.bits();
        rig.push(&[entry]);
        rig.go();
        let number = rig.backend().started.len() - 1;
        rig.tell(number, failed(Errno::EIO));
        rig.go();
        let all = rig.pop_all();
        assert_eq!((all[0].errno(), all[0].extra), (Errno::EIO, 4));
        let told: Vec<Completion> = details[1..]
            .chunks_exact(32)
            .map(|bytes| {
                let word = |at: usize| u64::from_ne_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap());
                Completion::from_words([word(0), word(1), word(2), word(3)])
            })
            .collect();
        let step = |verb, error: Errno, result, flags| Completion {
            op: verb as u32,
            error: error.raw(),
            data: 5,
            result,
            flags,
            extra: 0,
        };
        let skipped = CompletionFlags::SKIPPED.bits();
        let expected = [
            step(Verb::Set, OK, 4, 0),
            step(Verb::Test, OK, 1, 0),
            step(Verb::Get, OK, 0, skipped),
            step(Verb::Read, Errno::EIO, 0, 0),
            step(Verb::Get, Errno::ECANCELED, 0, 0),
            step(Verb::Get, OK, 0, 0),
        ];
        let count = (room / 32).min(6);
        assert_eq!(told[..count], expected[..count]);
        assert!(details[1 + 32 * count..].iter().all(|byte| *byte == 0xaa), "no more was written");
    }
    rig.assert_empty();
}

#[test]
fn a_loop_runs_within_a_call() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let buffer = [0u8; 64];
    // Reads until there is no more, and counts the bytes.
    let steps = [
        save(set(0, 0), 1),
        save(read_piece(64), 2),
        load(test(0, TestOf::Value, 0, Condition::Zero as u64, 0, Action::Stop, 0), 2, 2),
        save(load(load(Entry::new(Verb::Add), 2, 1), 3, 2), 1),
        repeat(0, 1000, 3),
    ];
    let program = store(&mut rig, &steps, interface(1, &[64], Some(1)));
    let words = record([0; 5], &[piece_of(&buffer)]);
    rig.push(&[call_with(1, program, file, 0, &words)]);
    rig.go();
    for (number, read) in [64, 64, 3, 0].into_iter().enumerate() {
        rig.tell(number, ok(read));
        rig.go();
    }
    assert_eq!(rig.seen(), [(1, OK, 131)]);
    rig.assert_empty();
}

#[test]
fn a_call_stands_in_a_loop() {
    let mut rig = Rig::new(4, 8);
    let double = store(&mut rig, &[grow_by_itself(0)], interface(1, &[], Some(0)));
    rig.push(&[
        program(local(linked(save(set(1, 1), 0)))),
        linked(save(load(call(2, double, 0, 0), 3, 0), 0)),
        repeat(3, 10, 1),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 1), (2, OK, 1024), (3, OK, 10)]);
    rig.assert_empty();
}

/// A program that reads for ever and then runs a FINALLY step.
fn waiting_program(rig: &mut Rig) -> u32 {
    let steps = [load(read(0, 0), 0, 0), get(0), finally(load(close(0, 0), 0, 1))];
    store(rig, &steps, interface(2, &[], None))
}

#[test]
fn a_cancel_of_a_call_reaches_its_steps() {
    let mut rig = Rig::new(4, 8);
    let (file, other) = (rig.descriptor(), rig.descriptor());
    let program = waiting_program(&mut rig);
    for (round, (target, reached)) in [
        (Target::Data(1), 1),
        (Target::All, 2),
        (Target::Descriptor(Descriptor::from_number(file).unwrap()), 1),
        (Target::DataRange { first: 0, last: 1 }, 1),
    ]
    .into_iter()
    .enumerate()
    {
        let closed = rig.descriptor();
        rig.push(&[hard(call(1, program, file, closed)), get(2)]);
        rig.go();
        let stranger = Target::Descriptor(Descriptor::from_number(other).unwrap());
        assert_eq!(rig.engine.cancel(stranger), 0);
        assert_eq!(rig.engine.cancel(target), reached, "{target:?}");
        assert_eq!(rig.engine.cancel(Target::All), 0, "not twice");
        assert_eq!(rig.backend().cancelled.pop(), Some(2 * round));
        rig.tell(2 * round, failed(Errno::ECANCELED));
        rig.go();
        rig.tell(2 * round + 1, ok(0));
        rig.go();
        let all = rig.pop_all();
        assert_eq!((all[0].errno(), all[0].extra), (Errno::ECANCELED, 1));
        assert_eq!(all[1].errno(), Errno::ECANCELED);
        rig.assert_empty();
    }
    // One that loses the race for the last step changes nothing; for an earlier one it is the next that says so.
    let last = store(&mut rig, &[load(read(0, 0), 0, 0)], interface(1, &[], None));
    rig.push(&[call(1, last, file, 0), call(2, program, file, other)]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::All), 2);
    rig.tell(8, ok(1));
    rig.tell(9, ok(1));
    rig.go();
    rig.tell(10, ok(0));
    rig.go();
    let all = rig.pop_all();
    assert_eq!((all[0].data, all[0].errno(), all[0].extra), (1, OK, 0));
    assert_eq!((all[1].data, all[1].errno(), all[1].extra), (2, Errno::ECANCELED, 2));
    // A cancel among the steps of a program does not reach its own call.
    let everything = Entry::new(Verb::Cancel).arguments([0, 0, 0, 2, 0]);
    let canceller = store(&mut rig, &[save(everything, 0)], interface(0, &[], Some(0)));
    rig.push(&[linked(read(1, file))]);
    rig.push(&[get(2), linked(call(3, canceller, 0, 0)), get(4)]);
    rig.go();
    assert_eq!(rig.seen(), [(3, OK, 2), (4, OK, 0)]);
    assert_eq!(rig.backend().cancelled.pop(), Some(11));
    rig.tell(11, failed(Errno::ECANCELED));
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::ECANCELED), (2, Errno::ECANCELED)]);
    rig.assert_empty();
}

#[test]
fn the_time_of_a_call_is_up() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    let program = waiting_program(&mut rig);
    let closed = rig.descriptor();
    rig.push(&[call(1, program, file, closed).timeout(100)]);
    rig.go();
    rig.backend().now += 99;
    rig.go();
    assert!(rig.backend().cancelled.is_empty(), "never early");
    rig.backend().now += 1;
    rig.go();
    assert_eq!(rig.backend().cancelled, [0]);
    rig.tell(0, failed(Errno::ECANCELED));
    rig.go();
    rig.tell(1, ok(0));
    rig.go();
    let all = rig.pop_all();
    assert_eq!((all[0].errno(), all[0].extra), (Errno::ETIMEDOUT, 1));
    // A deadline of the caller's chain, one in the program, and one too late.
    let inside = store(&mut rig, &[deadline(0, 50), load(read(0, 0), 0, 0)], interface(1, &[], None));
    rig.push(&[linked(deadline(1, 50)), linked(call(2, program, file, 0)), finally(get(3))]);
    rig.push(&[linked(call(4, inside, file, 0)), get(5)]);
    rig.push(&[call(6, program, file, 0).timeout(50)]);
    rig.go();
    rig.backend().now += 50;
    rig.go();
    assert_eq!(rig.backend().cancelled.len(), 4);
    for number in [2, 4] {
        rig.tell(number, ok(0));
    }
    rig.tell(3, failed(Errno::ECANCELED));
    rig.go();
    let all: Vec<_> = rig.pop_all().iter().map(|one| (one.data, one.errno(), one.extra)).collect();
    let expected = [
        (1, OK, 0),
        (2, Errno::ETIMEDOUT, 2),
        (3, OK, 0),
        (4, Errno::ETIMEDOUT, 2),
        (5, Errno::ECANCELED, 0),
        (6, Errno::ETIMEDOUT, 2),
    ];
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(sorted, expected, "{all:?}");
    rig.assert_empty();
    // A timeout of 0 is each step's.
    let steps = [load(read(0, 0), 0, 0), sleep(0, 5)];
    let program = store(&mut rig, &steps, interface(1, &[], None));
    rig.push(&[call(1, program, file, 0).timeout(0)]);
    rig.go();
    let number = rig.backend().started.len() - 1;
    assert!(!rig.backend().started[number].may_wait);
    rig.tell(number, ok(0));
    rig.go();
    let all = rig.pop_all();
    assert_eq!((all[0].errno(), all[0].extra), (Errno::ETIMEDOUT, 2));
    rig.assert_empty();
}

fn small_rig(programs: u32, program_steps: u32) -> Rig {
    let limits = Limits { in_process: true, programs, program_steps, ..Limits::default() };
    Rig::over(Scripted::new(), 32, 64, u32::MAX - 2, limits)
}

#[test]
fn more_calls_than_there_are_packets_wait_and_complete() {
    let mut rig = small_rig(4, 10);
    let file = rig.descriptor();
    let small = store(&mut rig, &[load(read(0, 0), 0, 0); 3], interface(1, &[], None));
    let large = store(&mut rig, &[load(read(0, 0), 0, 0); 10], interface(1, &[], None));
    let huge = store(&mut rig, &[load(read(0, 0), 0, 0); 11], interface(1, &[], None));
    rig.push(&[call(100, huge, file, 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(100, Errno::E2BIG)]);
    for data in 0..8 {
        rig.push(&[call(data, small, file, 0)]);
    }
    rig.push(&[call(8, large, file, 0)]);
    for data in 9..15 {
        rig.push(&[linked(call(data, small, file, 0)), get(data)]);
    }
    rig.go();
    assert_eq!(rig.engine.gauges().calls, 3);
    assert_eq!(rig.engine.gauges().steps, 9);
    let mut order = Vec::new();
    for _ in 0..100 {
        for number in rig.backend().running() {
            rig.tell(number, ok(0));
        }
        rig.go();
        assert!(rig.engine.gauges().steps <= 10);
        order.extend(rig.errors());
    }
    let data: Vec<u64> = order.iter().filter(|(data, _)| *data < 9).map(|(data, _)| *data).collect();
    assert_eq!(data, (0..9).collect::<Vec<_>>(), "who came first is served first");
    assert_eq!(order.len(), 9 + 2 * 6);
    assert!(order.iter().all(|(_, error)| *error == OK));
    rig.assert_empty();
    // One that waits for packets can be given up, and those behind it go on.
    let now = rig.backend().now;
    rig.push(&[
        call(1, small, file, 0),
        call(2, large, file, 0),
        call(3, large, file, 0).timeout(10),
        call(4, small, file, 0),
    ]);
    rig.go();
    assert_eq!(rig.engine.gauges().calls, 1);
    assert_eq!(rig.engine.cancel(Target::Data(2)), 1);
    rig.backend().now = now + 10;
    rig.go();
    assert_eq!(rig.errors(), [(2, Errno::ECANCELED), (3, Errno::ETIMEDOUT)]);
    assert_eq!(rig.engine.gauges().calls, 2, "the last has room now");
    for _ in 0..3 {
        for number in rig.backend().running() {
            rig.tell(number, ok(0));
        }
        rig.go();
    }
    assert_eq!(rig.errors(), [(1, OK), (4, OK)]);
    rig.assert_empty();
}

#[test]
fn ordinary_entries_have_all_their_slots_beside_calls() {
    let mut rig = small_rig(4, 10);
    let file = rig.descriptor();
    let program = store(&mut rig, &[load(read(0, 0), 0, 0); 10], interface(1, &[], None));
    assert_eq!(rig.engine.packet_slots(), 64 + 10);
    rig.push(&[call(0, program, file, 0)]);
    rig.push(&(1..32).map(|data| read(data, file)).collect::<Vec<_>>());
    rig.go();
    rig.push(&(32..63).map(|data| read(data, file)).collect::<Vec<_>>());
    assert_eq!(rig.go().taken, 31, "one slot is kept for CANCEL");
    let gauges = rig.engine.gauges();
    assert_eq!((gauges.packets, gauges.chains, gauges.steps, gauges.calls), (63, 63, 10, 1));
    rig.backend().yields = true;
    rig.engine.begin_teardown();
    rig.go();
    assert!(rig.engine.is_idle());
    assert_eq!(rig.pop_all().len(), 63);
    rig.assert_empty();
}

#[test]
fn a_program_may_be_forgotten_while_it_runs_or_waits() {
    let mut rig = small_rig(2, 4);
    let file = rig.descriptor();
    let first = store(&mut rig, &[load(read(0, 0), 0, 0); 3], interface(1, &[], None));
    rig.push(&[call(1, first, file, 0), call(2, first, file, 0)]);
    rig.go();
    assert_eq!(rig.engine.gauges().calls, 1, "one runs, one waits");
    assert_eq!(rig.engine.forget(first), Ok(()));
    assert_eq!(rig.engine.forget(first), Err(Errno::ENOENT));
    assert_eq!(rig.engine.forget(0), Err(Errno::ENOENT));
    rig.push(&[call(3, first, file, 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(3, Errno::ENOENT)]);
    // It counts no more, and its number is not given out again.
    let second = store(&mut rig, &[get(0)], interface(0, &[], None));
    let third = store(&mut rig, &[get(0)], interface(0, &[], None));
    assert_eq!((second, third), (2, 3));
    let program = || Program::new(&[get(0)], interface(0, &[], None)).unwrap();
    let full = rig.engine.store(program());
    assert_eq!(full, Err(StoreError::Full { limit: 2 }));
    assert!(full.unwrap_err().to_string().contains("2 programs"));
    for number in 0..6 {
        rig.tell(number, ok(0));
        rig.go();
    }
    assert_eq!(rig.errors(), [(1, OK), (2, OK)]);
    assert_eq!(rig.engine.forget(third), Ok(()));
    assert_eq!(rig.engine.store(program()), Ok(4));
    assert_eq!(rig.engine.gauges().programs, 2);
    rig.assert_empty();
}

#[test]
fn a_restricted_ring_calls_what_it_may() {
    let mut rig = Rig::new(8, 16);
    let file = rig.descriptor();
    let program = store(&mut rig, &[get(0), load(read(0, 0), 0, 0)], interface(1, &[], None));
    let other = store(&mut rig, &[get(0)], interface(0, &[], None));
    rig.push(&[linked(read(90, file)), finally(get(91))]);
    rig.go();
    rig.engine.restrict(Some(&[program, 77]));
    rig.push(&[
        Entry::new(Verb::Nop).data(1),
        call(2, other, 0, 0),
        call(3, 77, 0, 0),
        cancel(4, 1234),
        read(5, file),
        with(get(6), EntryFlags::SILENT),
    ]);
    rig.push(&[hard(set(7, 1)), linked(call(8, program, file, 0))]);
    rig.go();
    let eperm = Errno::EPERM;
    assert_eq!(rig.errors(), [(1, eperm), (2, eperm), (3, Errno::ENOENT), (4, OK), (5, eperm), (6, eperm)]);
    rig.push(&[finally(get(9))]);
    rig.go();
    assert_eq!(rig.errors(), [(7, eperm)]);
    // What the program does is its own affair; and what was admitted before goes on as it would have.
    rig.tell(1, ok(0));
    rig.tell(0, ok(0));
    rig.go();
    assert_eq!(rig.errors(), [(90, OK), (91, OK), (8, OK), (9, eperm)]);
    // An empty list allows none; lifting it allows all.
    rig.engine.restrict(Some(&[]));
    rig.push(&[call(1, program, file, 0)]);
    rig.go();
    rig.engine.restrict(None);
    rig.push(&[call(2, other, 0, 0), nop(3)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, eperm), (3, OK), (2, OK)]);
    rig.assert_empty();
}

#[test]
fn steps_are_traced_with_the_calls_data() {
    let mut rig = Rig::new(4, 8);
    let file = rig.descriptor();
    let program = store(&mut rig, &[set(50, 3), load(read(51, 0), 0, 0)], interface(1, &[], None));
    rig.engine.start_trace();
    rig.push(&[call(7, program, file, 0)]);
    rig.go();
    rig.tell(0, ok(1));
    rig.go();
    let (events, dropped) = rig.engine.stop_trace();
    assert_eq!(dropped, 0);
    assert!(events.iter().all(|event| event.data == 7));
    let told: Vec<_> = events
        .iter()
        .map(|event| match event.kind {
            EventKind::Started { verb, way, .. } => format!("{} {:?} {}", verb.name(), way.place, way.reason),
            EventKind::Ended { result, .. } => format!("ended {result}"),
            EventKind::Completed { result, .. } => format!("completed {result}"),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "Admitted",
        "CALL Engine it runs a stored program",
        "Admitted",
        "Admitted",
        "SET Engine ",
        "ended 3",
        "READ Simulated ",
        "Reported",
        "ended 1",
        "completed 0",
    ];
    assert_eq!(told, expected);
    assert!(matches!(events[1].kind, EventKind::Started { way, .. } if way.place == Place::Engine));
}

#[test]
fn a_program_has_so_many_steps() {
    let length = |length| Program::new(&vec![get(0); length], Interface::default()).map(|_| ());
    assert_eq!(length(1), Ok(()));
    assert_eq!(length(MAX_PROGRAM_LENGTH), Ok(()));
    for wrong in [0, MAX_PROGRAM_LENGTH + 1] {
        let rejected: Result<(), Rejection> = length(wrong);
        assert_eq!(rejected.unwrap_err().step, None);
    }
}

#[test]
fn a_teardown_ends_calls() {
    let mut rig = small_rig(2, 4);
    let (file, closed) = (rig.descriptor(), rig.descriptor());
    let program = waiting_program(&mut rig);
    rig.push(&[call(1, program, file, closed), call(2, program, file, 0)]);
    rig.go();
    assert_eq!(rig.engine.gauges().calls, 1);
    rig.backend().yields = true;
    rig.engine.begin_teardown();
    rig.go();
    assert_eq!(rig.backend().running(), [1], "the FINALLY step");
    rig.tell(1, ok(0));
    rig.go();
    assert!(rig.engine.is_idle());
    assert_eq!(rig.errors(), [(2, Errno::ECANCELED), (1, Errno::ECANCELED)]);
    rig.assert_empty();
}

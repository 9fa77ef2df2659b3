//! Control verbs, loops and stored programs over real operations.

use ouzel::abi::modifiers::{
    Action, CallFlags, Condition, OpenFlags, Overflow, PollEvents, RemoveFlags, TestOf, Whence,
};
use ouzel::abi::{Completion, Entry, EntryFlags, Errno, Payload, Verb};
use ouzel::engine::{Interface, Program};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    program_verbs_compute_on_results,
    program_reads_a_length_and_then_so_many,
    program_copies_in_a_loop,
    program_opens_and_closes_in_a_loop,
    program_stops_at_the_end_of_a_file,
    program_skips_what_is_not_needed,
    program_completions_come_when_the_chain_is_over,
    program_called_copies,
    program_called_twice_at_once,
    program_called_by_many_waits_for_packets,
    program_tells_details,
    program_breaks_at_a_step,
    program_cancelled_in_a_loop,
    program_cancelled_in_a_call,
    program_call_times_out,
    program_deadline_in_a_loop,
    program_forgotten_while_it_runs,
    program_restricts_a_ring,
    program_ends_with_the_ring,
];

fn entry(verb: Verb, arguments: [u64; 5]) -> Entry {
    Entry::new(verb).arguments(arguments)
}

fn set(value: u64) -> Entry {
    entry(Verb::Set, [0, 0, value, 0, 0])
}

/// The sum of two registers, saved into the first.
fn add(into: usize, other: usize) -> Entry {
    entry(Verb::Add, [0, 0, 0, 0, Overflow::Error as u64]).load(2, into).load(3, other).save(into)
}

/// A TEST of a register that skips `distance` members, or stops with 0.
fn if_zero(register: usize, distance: u64) -> Entry {
    let action = if distance == 0 { Action::Stop as u64 } else { Action::Skip as u64 | distance << 32 };
    entry(Verb::Test, [TestOf::Value as u64, action, 0, Condition::Zero as u64, 0]).load(2, register)
}

fn repeat(bound: u64, distance: u64) -> Entry {
    entry(Verb::Repeat, [0, 0, bound, distance, 0])
}

/// As long as it is told, not as long as its memory is.
fn no_longer(memory: Memory) -> Memory {
    Memory { length: 0, ..memory }
}

/// The first `length` bytes of piece `number` of a call.
fn piece(number: u16, length: u64) -> Memory {
    Memory { payload: Payload::new(0xff00 + number, 0).unwrap().number(), length }
}

trait Loops {
    fn program(self) -> Self;
}

impl Loops for Entry {
    fn program(self) -> Entry {
        self.with(EntryFlags::PROGRAM)
    }
}

fn store(world: &mut World, entries: &[Entry], interface: Interface) -> u32 {
    let program = Program::new(entries, interface).unwrap_or_else(|rejected| panic!("{rejected}"));
    world.ring().store(program).unwrap()
}

/// A CALL of `program` with r0, r1 and these pieces.
fn call(world: &World, program: u32, r0: u64, r1: u64, pieces: &[Memory]) -> Entry {
    let mut words = vec![0; 5];
    words.extend(pieces.iter().flat_map(|piece| [piece.payload, piece.length]));
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    let record = world.put(&bytes);
    entry(Verb::Call, [u64::from(program), record.payload, record.length, r0, r1])
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn program_verbs_compute_on_results(world: &mut World) {
    let file = world.file("a", b"0123456789");
    world.ok(seek(file, 0, Whence::Start));
    let room = world.room(16);
    let outcomes = [7, 3, 4, 1, 8, 3].map(Ok);
    world.expect(
        &[
            read(file, room.part(0, 7), HERE).local().save(0).link(),
            read(file, room, HERE).save(1).link(),
            entry(Verb::Sub, [0; 5]).load(2, 0).load(3, 1).save(2).link(),
            entry(Verb::And, [0, 0, 0, 1, 0]).load(2, 1).link(),
            entry(Verb::Shift, [0, 0, 0, 1, 0]).load(2, 2).link(),
            entry(Verb::Min, [0, 0, 0, 0, 0]).load(2, 0).load(3, 1),
        ],
        &outcomes,
    );
}

fn program_reads_a_length_and_then_so_many(world: &mut World) {
    let file = world.file("a", b"\x05\0helloworld");
    let (head, room) = (world.room(8), world.filled(16, b'#'));
    let word = entry(Verb::Load, [0, head.payload, 2, 0, 0]).load(4, 0).save(1);
    world.expect(
        &[
            read(file, head.part(0, 2), 0).local().save(0).link(),
            word.link(),
            read(file, no_longer(room), 2).load(2, 1),
        ],
        &[Ok(2), Ok(5), Ok(5)],
    );
    assert_eq!(world.bytes(room), b"hello###########");
    // A head that is short has no such word.
    let short = world.file("b", b"\x05");
    world.expect(
        &[
            read(short, head.part(0, 2), 0).local().save(0).link(),
            word.link(),
            read(short, no_longer(room), 2).load(2, 1),
        ],
        &[Ok(1), Err(Errno::EFAULT), Err(Errno::ECANCELED)],
    );
}

fn program_copies_in_a_loop(world: &mut World) {
    let buffer = world.room(16);
    for length in [0, 1, 15, 16, 17, 64, 1000] {
        let content = bytes(length);
        let (source, target) = (world.file("a", &content), world.file("b", b""));
        world.ok(seek(source, 0, Whence::Start));
        let turns = length.div_ceil(16) as u64;
        let all = world.run(&[
            set(0).local().program().save(1).link(),
            read(source, buffer, HERE).save(0).link(),
            if_zero(0, 3).link(),
            write(target, no_longer(buffer), HERE).load(2, 0).link(),
            add(1, 0).link(),
            repeat(1000, 4).link(),
            get(0).load(0, 1),
        ]);
        assert_eq!(all[6].outcome(), Ok(length as u64));
        assert_eq!(all[1].outcome(), Ok(0), "as it ended last");
        assert_eq!(all[5].outcome(), Ok(turns));
        assert_eq!(all[5].was_skipped(), length == 0);
        assert_eq!(world.contents(target, 0, 2000), content);
        world.close(source);
        world.close(target);
    }
}

fn program_opens_and_closes_in_a_loop(world: &mut World) {
    let path = world.path("log");
    let line = world.put(b"line\n");
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::APPEND;
    let before = world.descriptors();
    let all = world.run(&[
        open(path, flags).local().program().save(0).link(),
        write(0, line, HERE).load(0, 0).link(),
        close(0).load(0, 0).link(),
        repeat(20, 3),
    ]);
    assert!(all[0].errno().is_ok());
    assert_eq!(all[1..].iter().map(Completion::outcome).collect::<Vec<_>>(), [Ok(5), Ok(0), Ok(20)]);
    assert_eq!(world.descriptors(), before);
    let file = world.open("log", OpenFlags::READ);
    assert_eq!(world.contents(file, 0, 200), b"line\n".repeat(20));
}

fn program_stops_at_the_end_of_a_file(world: &mut World) {
    world.file("a", b"0123456789");
    let path = world.path("a");
    let buffer = world.room(4);
    let before = world.descriptors();
    let all = world.run(&[
        open(path, OpenFlags::READ).local().program().save(0).link(),
        read(0, buffer, HERE).load(0, 0).save(1).link(),
        if_zero(1, 0).link(),
        repeat(100, 2).link(),
        get(7).link(),
        close(0).load(0, 0).finally(),
    ]);
    assert!(all[0].errno().is_ok());
    assert_eq!(all[1].outcome(), Ok(0));
    assert_eq!(all[2].outcome(), Ok(1));
    assert_eq!(all[3].outcome(), Ok(3));
    assert!(all[4].was_skipped() && all[4].outcome() == Ok(0));
    assert!(all[5].errno().is_ok() && !all[5].was_skipped());
    assert_eq!(world.descriptors(), before);
}

fn program_skips_what_is_not_needed(world: &mut World) {
    let path = world.path("d");
    let ask = |condition: u64| entry(Verb::Test, [TestOf::Last as u64, 2 | 1 << 32, 0, condition, 0]);
    let failed = Condition::Error as u64;
    for expected in [Ok(0), Err(Errno::EEXIST)] {
        // If it failed the first is skipped, if not the second.
        let all = world.run(&[
            mkdir(path).hard(),
            ask(failed).link(),
            get(1).link(),
            entry(Verb::Test, [0, 2 | 1 << 32, 0, Condition::Zero as u64, 0]).link(),
            get(2),
        ]);
        assert_eq!(all[0].outcome(), expected);
        assert_eq!(all[1].outcome(), Ok(u64::from(expected.is_err())));
        assert_eq!(all[2].was_skipped(), expected.is_err());
        assert!(all[4].was_skipped());
    }
    world.ok(remove(path, RemoveFlags::DIRECTORY));
    // How much was moved, against how much was asked for.
    let file = world.file("a", b"0123");
    let room = world.room(8);
    for (length, condition, holds) in [
        (4, Condition::Full, 1),
        (5, Condition::Full, 0),
        (5, Condition::Short, 1),
        (4, Condition::Short, 0),
        (4, Condition::Error, 0),
    ] {
        let test = entry(Verb::Test, [TestOf::Last as u64, 0, 0, condition as u64, 0]);
        let all = world.run(&[read(file, room.part(0, length), 0).link(), test]);
        assert_eq!(all[1].outcome(), Ok(holds), "{length} {condition:?}");
    }
}

fn program_completions_come_when_the_chain_is_over(world: &mut World) {
    let (reader, writer) = world.pipe();
    let room = world.room(8);
    world.start(&[
        get(1).program().data(1).link(),
        read(reader, room, HERE).data(2).link(),
        repeat(2, 1).data(3),
    ]);
    assert!(world.linger().is_empty());
    let data = world.put(b"abc");
    world.start(&[write(writer, data, HERE).data(9)]);
    assert_eq!(world.wait(1)[0].data, 9);
    assert!(world.linger().is_empty(), "one turn is left");
    // The first turn has read what there was, and not also what comes now.
    loop {
        world.start(&[poll(reader, PollEvents::IN).timeout(0).data(8)]);
        match world.wait(1)[0].errno() {
            Errno::OK => {}
            error => break assert_eq!(error, Errno::ETIMEDOUT),
        }
    }
    let data = world.put(b"de");
    world.start(&[write(writer, data, HERE).data(4)]);
    let mut all = world.settle();
    all.retain(|one| one.data != 4);
    let found: Vec<_> = all.iter().map(|one| (one.data, one.outcome())).collect();
    assert_eq!(found, [(1, Ok(1)), (2, Ok(2)), (3, Ok(2))]);
}

/// Copies from r0 to r1 through a piece of 16 bytes; its result is how many bytes that were.
fn copier(world: &mut World) -> u32 {
    let steps = [
        set(0).save(3),
        read(0, piece(0, 16), HERE).load(0, 0).save(2),
        if_zero(2, 3),
        write(0, no_longer(piece(0, 16)), HERE).load(0, 1).load(2, 2),
        add(3, 2),
        repeat(1000, 4),
    ];
    let interface = Interface { registers: 2, descriptors: 0b11, pieces: vec![16], result: Some(3) };
    store(world, &steps, interface)
}

fn program_called_copies(world: &mut World) {
    let program = copier(world);
    let buffer = world.room(16);
    for length in [0, 1, 16, 500] {
        let content = bytes(length);
        let (source, target) = (world.file("a", &content), world.file("b", b""));
        world.ok(seek(source, 0, Whence::Start));
        let entry = call(world, program, source, target, &[buffer]);
        assert_eq!(world.ok(entry), length as u64);
        assert_eq!(world.contents(target, 0, 2000), content);
    }
    let one = call(world, program, 0, 0, &[buffer]);
    let one = world.one(one);
    assert_eq!((one.errno(), one.extra), (Errno::EBADF, 2));
    let short = call(world, program, 0, 0, &[buffer.part(0, 15)]);
    world.fails(short, Errno::EINVAL);
    world.fails(entry(Verb::Call, [99, 0, 0, 0, 0]), Errno::ENOENT);
}

fn program_called_twice_at_once(world: &mut World) {
    let program = copier(world);
    let (first, second) = (bytes(333), bytes(77));
    let mut chains = Vec::new();
    let mut targets = Vec::new();
    for (name, content) in [("a", &first), ("b", &second)] {
        let (source, target) = (world.file(name, content), world.file(&format!("{name}2"), b""));
        world.ok(seek(source, 0, Whence::Start));
        let buffer = world.room(16);
        chains.push(call(world, program, source, target, &[buffer]));
        targets.push(target);
    }
    let mut all = world.run(&chains);
    all.sort_by_key(|one| one.data);
    assert_eq!(all.iter().map(Completion::outcome).collect::<Vec<_>>(), [Ok(333), Ok(77)]);
    assert_eq!(world.contents(targets[0], 0, 400), first);
    assert_eq!(world.contents(targets[1], 0, 400), second);
}

fn program_called_by_many_waits_for_packets(world: &mut World) {
    world.renew_steps(13);
    let program = copier(world);
    let content = bytes(100);
    let mut chains = Vec::new();
    let mut targets = Vec::new();
    for number in 0..20 {
        let source = world.file(&format!("s{number}"), &content);
        let target = world.file(&format!("t{number}"), b"");
        world.ok(seek(source, 0, Whence::Start));
        let buffer = world.room(16);
        chains.push(call(world, program, source, target, &[buffer]));
        targets.push(target);
    }
    let all = world.run(&chains);
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|one| one.outcome() == Ok(100)), "{all:#?}");
    for target in targets {
        assert_eq!(world.contents(target, 0, 200), content);
    }
    // One that has more steps than there can ever be packets is refused.
    let interface = Interface::default();
    let long = store(world, &[get(0); 14], interface);
    world.fails(entry(Verb::Call, [u64::from(long), 0, 0, 0, 0]), Errno::E2BIG);
}

fn program_tells_details(world: &mut World) {
    let file = world.file("a", b"012345");
    let steps = [read(0, piece(0, 8), 0).load(0, 0), get(5), close(0).load(0, 1).hard(), get(6)];
    let interface = Interface { registers: 2, descriptors: 0b11, pieces: vec![8], result: None };
    let program = store(world, &steps, interface);
    let (buffer, details) = (world.room(8), world.room(5 * 32));
    let mut entry = call(world, program, file, 0, &[buffer, details]);
    entry.arguments[0] |= CallFlags::DETAILS.bits();
    assert_eq!(world.ok(entry), 0);
    let told: Vec<Completion> = world
        .bytes(details)
        .chunks_exact(32)
        .map(|bytes| {
            let word = |at: usize| u64::from_ne_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap());
            Completion::from_words([word(0), word(1), word(2), word(3)])
        })
        .collect();
    let found: Vec<_> = told.iter().map(|one| (one.op, one.outcome())).collect();
    let expected = [
        (Verb::Read as u32, Ok(6)),
        (Verb::Get as u32, Ok(5)),
        (Verb::Close as u32, Err(Errno::EBADF)),
        (Verb::Get as u32, Ok(6)),
        (0, Ok(0)),
    ];
    assert_eq!(found, expected);
}

fn program_breaks_at_a_step(world: &mut World) {
    let file = world.file("a", b"0123");
    let only_read = world.open("a", OpenFlags::READ);
    let steps = [
        read(0, piece(0, 4), 0).load(0, 0),
        write(0, piece(0, 4), 4).load(0, 0),
        close(0).load(0, 0).finally(),
    ];
    let interface = Interface { registers: 1, descriptors: 1, pieces: vec![4], result: None };
    let program = store(world, &steps, interface);
    let buffer = world.room(4);
    let one = call(world, program, only_read, 0, &[buffer]);
    let one = world.one(one);
    assert_eq!((one.errno(), one.extra), (Errno::EBADF, 2));
    world.fails(read(only_read, buffer, 0), Errno::EBADF);
    let good = call(world, program, file, 0, &[buffer]);
    let one = world.one(good);
    assert_eq!((one.errno(), one.extra), (Errno::OK, 0));
    world.fails(read(file, buffer, 0), Errno::EBADF);
    let again = world.open("a", OpenFlags::READ);
    assert_eq!(world.contents(again, 0, 20), b"01230123");
}

fn program_cancelled_in_a_loop(world: &mut World) {
    let (reader, writer) = world.pipe();
    let room = world.room(8);
    world.start(&[
        read(reader, room, HERE).program().data(1).link(),
        repeat(50, 1).data(2).link(),
        get(1).data(3).link(),
        get(2).data(4).finally(),
    ]);
    let data = world.put(b"ab");
    world.start(&[write(writer, data, HERE).data(9)]);
    assert_eq!(world.wait(1)[0].data, 9);
    assert!(world.linger().is_empty());
    world.start(&[cancel_data(3).data(5)]);
    let all = world.settle();
    let of = |data| all.iter().find(|one| one.data == data).unwrap();
    assert_eq!(of(5).outcome(), Ok(1));
    assert_eq!(of(1).outcome(), Err(Errno::ECANCELED));
    assert_eq!(of(2).outcome(), Ok(1));
    assert_eq!(of(3).outcome(), Err(Errno::ECANCELED));
    assert_eq!(of(4).outcome(), Ok(2));
}

/// Reads from r0, which may wait, and closes r1 at last.
fn waiter(world: &mut World) -> u32 {
    let steps = [read(0, piece(0, 8), HERE).load(0, 0), get(1), close(0).load(0, 1).finally()];
    let interface = Interface { registers: 2, descriptors: 0b11, pieces: vec![8], result: None };
    store(world, &steps, interface)
}

fn program_cancelled_in_a_call(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let program = waiter(world);
    let room = world.room(8);
    for by_descriptor in [false, true] {
        let other = world.file("a", b"");
        let entry = call(world, program, reader, other, &[room]);
        world.start(&[entry.data(1).hard(), get(0).data(2)]);
        assert!(world.linger().is_empty());
        let cancel = if by_descriptor { cancel_descriptor(reader) } else { cancel_data(1) };
        world.start(&[cancel.data(3)]);
        let all = world.settle();
        let of = |data| all.iter().find(|one| one.data == data).unwrap();
        assert_eq!(of(3).outcome(), Ok(1));
        assert_eq!((of(1).errno(), of(1).extra), (Errno::ECANCELED, 1));
        assert_eq!(of(2).outcome(), Err(Errno::ECANCELED));
        world.fails(read(other, room, 0), Errno::EBADF);
    }
}

fn program_call_times_out(world: &mut World) {
    let (reader, writer) = world.pipe();
    let program = waiter(world);
    let room = world.room(8);
    for timeout in [0, 5 * MILLISECOND] {
        let other = world.file("a", b"");
        let entry = call(world, program, reader, other, &[room]).timeout(timeout);
        let one = world.one(entry);
        assert_eq!((one.errno(), one.extra), (Errno::ETIMEDOUT, 1), "{timeout}");
        world.fails(read(other, room, 0), Errno::EBADF);
    }
    // What is there need not be waited for.
    world.give(writer, b"abc");
    let other = world.file("a", b"");
    let entry = call(world, program, reader, other, &[room]).timeout(0);
    world.ok(entry);
}

fn program_deadline_in_a_loop(world: &mut World) {
    let all = world.run(&[
        deadline(20 * MILLISECOND).program().link(),
        sleep(MILLISECOND).link(),
        repeat(60_000, 1).link(),
        get(1).finally(),
    ]);
    assert_eq!(all[0].outcome(), Ok(0));
    // Whether the SLEEP that runs then wins is open; if it does, the REPEAT behind it is cancelled.
    let (last, next) = (all[1].errno(), all[2].errno());
    assert!(last == Errno::ETIMEDOUT || next == Errno::ETIMEDOUT || next == Errno::ECANCELED, "{all:#?}");
    assert_eq!(all[3].outcome(), Ok(1));
}

fn program_forgotten_while_it_runs(world: &mut World) {
    let (reader, writer) = world.pipe();
    let program = waiter(world);
    let room = world.room(8);
    let entry = call(world, program, reader, 0, &[room]);
    world.start(&[entry.data(1)]);
    world.ring().forget(program).unwrap();
    assert_eq!(world.ring().forget(program).unwrap_err().errno(), Some(Errno::ENOENT));
    world.start(&[entry.data(2)]);
    let refused = world.wait(1);
    assert_eq!((refused[0].data, refused[0].errno()), (2, Errno::ENOENT));
    let data = world.put(b"abc");
    world.start(&[write(writer, data, HERE).data(3)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(0)), "{all:#?}");
    assert_ne!(waiter(world), program, "no number is given out twice");
}

fn program_restricts_a_ring(world: &mut World) {
    let file = world.file("a", b"0123");
    let room = world.room(4);
    let steps = [read(0, piece(0, 4), 0).load(0, 0).save(1)];
    let interface = Interface { registers: 1, descriptors: 1, pieces: vec![4], result: Some(1) };
    let program = store(world, &steps, interface);
    let other = copier(world);
    world.ring().restrict(Some(&[program])).unwrap();
    let good = call(world, program, file, 0, &[room]);
    assert_eq!(world.ok(good), 4);
    world.fails(nop(), Errno::EPERM);
    world.fails(read(file, room, 0), Errno::EPERM);
    world.fails(close(file), Errno::EPERM);
    let bad = call(world, other, file, file, &[room]);
    world.fails(bad, Errno::EPERM);
    assert_eq!(world.ok(cancel_data(1234)), 0);
    world.ring().restrict(None).unwrap();
    assert_eq!(world.ok(read(file, room, 0)), 4);
}

fn program_ends_with_the_ring(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let program = waiter(world);
    let (first, second) = (world.room(8), world.room(8));
    let entry = call(world, program, reader, 0, &[first]);
    world.start(&[entry.data(1), read(reader, second, HERE).program().data(2).link(), repeat(5, 1).data(3)]);
    assert!(world.linger().is_empty());
    world.teardown();
}

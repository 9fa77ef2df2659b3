//! Stored programs through the typed builder, on every backend: what they are called with, what they result in, and what
//! is refused.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};

use ouzel::abi::modifiers::MessageFlags;
use ouzel::abi::{Errno, Verb};
use ouzel::{
    BackendKind, Buffer, BuildError, Chain, Compute, Error, Fd, Offset, OpenOptions, Program, Reg, Ring,
    Width,
};

/// Runs `body` on each backend that can be had here.
fn on_each(body: impl Fn(&mut Ring)) {
    for kind in [BackendKind::Sim, BackendKind::Threads, BackendKind::Uring] {
        match Ring::builder().backend(kind).build() {
            Ok(mut ring) => body(&mut ring),
            Err(error) => println!("SKIPPED: {error}"),
        }
    }
}

/// A path that no other test uses, in the simulator or on disk.
fn path(ring: &Ring) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if ring.backend().backend == BackendKind::Sim {
        return format!("file-{number}");
    }
    format!("{}/ouzel-programs-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id())
}

fn file_with(ring: &mut Ring, bytes: &[u8]) -> String {
    let path = path(ring);
    let file = ring.open(&path, OpenOptions::write().create().truncate()).unwrap();
    ring.write(file, bytes, Offset::START).unwrap();
    ring.close(file).unwrap();
    path
}

fn read_whole(room: usize) -> Program<usize> {
    Program::build(|program| {
        let path = program.path();
        let room = program.room(room);
        let file = program.open(path, OpenOptions::read());
        let length = program.read(file, room, Offset::START);
        program.finally().close(file);
        length
    })
    .unwrap()
}

#[test]
fn a_program_reads_what_its_caller_names() {
    on_each(|ring| {
        let program = ring.store(read_whole(64)).unwrap();
        for text in ["one", "another, a bit longer"] {
            let path = file_with(ring, text.as_bytes());
            let call = program.call().path(&path).buffer(Buffer::with_capacity(100));
            let mut called = ring.run_program(call).unwrap();
            assert_eq!(called.result().unwrap(), text.len());
            assert_eq!(called.take(0).unwrap().as_slice(), text.as_bytes());
            assert!(called.take(0).is_none() && called.take(1).is_none());
        }
        assert_eq!(ring.gauges().packets, 0);
    });
}

#[test]
fn a_path_that_is_passed_is_used_in_a_part_too() {
    on_each(|ring| {
        let program: Program<usize> = Program::build(|program| {
            let make = program.number();
            let path = program.path();
            let room = program.room(64);
            program.when(make).is_positive().then(|part| {
                let made = part.open(path, OpenOptions::write().create());
                part.write(made, Buffer::from(&b"made"[..]), Offset::START);
                part.close(made);
            });
            let file = program.open(path, OpenOptions::read());
            let length = program.read(file, room, Offset::START);
            program.finally().close(file);
            length
        })
        .unwrap();
        let program = ring.store(program).unwrap();
        let path = path(ring);
        for (make, result) in [(0u64, Err(Some(Errno::ENOENT))), (1, Ok(4)), (0, Ok(4))] {
            let call = program.call().number(make).path(&path).buffer(Buffer::with_capacity(64));
            let called = ring.run_program(call).unwrap();
            assert_eq!(called.result().map_err(|error| error.errno()), result);
        }
    });
}

#[test]
fn a_failure_names_the_step_of_the_program() {
    on_each(|ring| {
        let program = ring.store(read_whole(64)).unwrap();
        let call = program.call().path("no such file anywhere").buffer(vec![0; 64]).details();
        let called = ring.run_program(call).unwrap();
        let error = called.result().unwrap_err();
        assert_eq!(error.errno(), Some(Errno::ENOENT));
        assert_eq!(called.failed_step(), Some((1, Verb::Open)));
        assert!(error.to_string().contains("step 1 (OPEN) of its program"), "{error}");
        let details = called.details().unwrap();
        let ends: Vec<_> = details.iter().map(|detail| (detail.verb, detail.completion.errno())).collect();
        assert_eq!(
            ends,
            [(Verb::Open, Errno::ENOENT), (Verb::Read, Errno::ECANCELED), (Verb::Close, Errno::ECANCELED)]
        );
    });
}

#[test]
fn many_calls_run_at_once() {
    on_each(|ring| {
        let program = ring.store(read_whole(32)).unwrap();
        let mut calls = Vec::new();
        for number in 0..40u32 {
            let text = format!("file {number}");
            let path = file_with(ring, text.as_bytes());
            let mut chain = Chain::new();
            let reg = chain.call(program.call().path(path).buffer(Buffer::with_capacity(32)));
            calls.push((ring.submit(chain).unwrap(), reg, text));
        }
        // What is forgotten while its calls run is left alone.
        ring.flush().unwrap();
        ring.forget(&program).unwrap();
        for (ticket, reg, text) in calls {
            let mut done = ring.wait(ticket).unwrap();
            assert_eq!(done.get(reg).unwrap(), text.len());
            assert_eq!(done.take_passed(reg, 0).unwrap().as_slice(), text.as_bytes());
        }
        let call = program.call().path("file").buffer(vec![0; 32]);
        assert_eq!(ring.run_program(call).unwrap().result().unwrap_err().errno(), Some(Errno::ENOENT));
    });
}

#[test]
fn numbers_files_and_bytes_are_passed() {
    on_each(|ring| {
        // Appends a constant and what the caller passes, from an offset on; the result is how many bytes that were.
        let program = Program::build(|program| {
            let file = program.file();
            let at = program.number();
            let bytes = program.bytes();
            let first = program.write(file, "header:", Offset::at(at));
            let behind = program.add(at, first);
            let second = program.write(file, bytes, Offset::at(behind));
            program.add(first, second)
        });
        let program = ring.store(program.unwrap()).unwrap();
        let path = path(ring);
        let file = ring.open(&path, OpenOptions::read_write().create().truncate()).unwrap();
        let call = program.call().file(file).number(2u64).bytes("body");
        assert_eq!(ring.run_program(call).unwrap().result().unwrap(), 11);
        let empty = program.call().file(file).number(13u64).bytes(Vec::new());
        assert_eq!(ring.run_program(empty).unwrap().result().unwrap(), 7);
        let text = ring.read(file, Buffer::with_capacity(64), Offset::START).unwrap();
        assert_eq!(text.as_slice(), b"\0\0header:bodyheader:");
    });
}

#[test]
fn a_call_is_a_step_that_takes_and_gives_registers() {
    on_each(|ring| {
        let sized = Program::build(|program| {
            let file = program.file();
            let limit = program.number();
            let room = program.room(256);
            let length = program.min(limit, 256u64);
            program.read(file, room.first(length), Offset::START)
        });
        let sized = ring.store(sized.unwrap()).unwrap();
        let path = file_with(ring, &[7; 100]);
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read());
        let limit = chain.set(30u64);
        let got = chain.call(sized.call().file(file).number(limit).buffer(vec![0; 256]));
        let more = chain.add(got, 1u64);
        chain.finally().close(file);
        let mut done = ring.run(chain).unwrap();
        assert_eq!(done.get(more).unwrap(), 31);
        assert_eq!(done.take_passed(got, 0).unwrap().as_slice(), [7; 30]);
    });
}

#[test]
fn a_program_loops_over_its_callers_memory() {
    on_each(|ring| {
        // Adds up the little-endian words of a file.
        let sum = Program::build(|program| {
            let path = program.path();
            let room = program.room(8);
            let file = program.open(path, OpenOptions::read());
            let at = program.variable(0u64);
            let sum = program.variable(0u64);
            program.repeat(100, |turn| {
                let count = turn.read(file, room, Offset::at(at));
                turn.when(count).is_less_than(8u64).break_loop();
                let word = turn.load(room, Width::U64, 0u64);
                turn.assign(sum, Compute::add(sum, word));
                turn.assign(at, Compute::add(at, 8u64));
            });
            program.finally().close(file);
            program.get(sum)
        });
        let sum = ring.store(sum.unwrap()).unwrap();
        let bytes: Vec<u8> = (1..=50u64).flat_map(u64::to_le_bytes).collect();
        let path = file_with(ring, &bytes);
        let called = ring.run_program(sum.call().path(&path).buffer(vec![0; 8])).unwrap();
        assert_eq!(called.result().unwrap(), 50 * 51 / 2);
    });
}

#[test]
fn a_descriptor_may_be_the_result() {
    on_each(|ring| {
        let open = Program::build(|program| {
            let path = program.path();
            program.open(path, OpenOptions::read())
        });
        let open = ring.store(open.unwrap()).unwrap();
        let path = file_with(ring, b"text");
        let file = ring.run_program(open.call().path(&path)).unwrap().result().unwrap();
        let read = ring.read(file, Buffer::with_capacity(16), Offset::START).unwrap();
        assert_eq!(read.as_slice(), b"text");
        ring.close(file).unwrap();
    });
}

#[test]
fn a_ring_can_be_restricted_to_programs() {
    on_each(|ring| {
        let allowed = ring.store(read_whole(16)).unwrap();
        let other = ring.store(read_whole(16)).unwrap();
        let path = file_with(ring, b"text");
        ring.restrict(&[allowed.id()]).unwrap();
        let call = allowed.call().path(&path).buffer(vec![0; 16]);
        assert_eq!(ring.run_program(call).unwrap().result().unwrap(), 4);
        let call = other.call().path(&path).buffer(vec![0; 16]);
        assert_eq!(ring.run_program(call).unwrap().errno(), Errno::EPERM);
        assert_eq!(ring.open(&path, OpenOptions::read()).unwrap_err().errno(), Some(Errno::EPERM));
        ring.unrestrict().unwrap();
        let call = other.call().path(&path).buffer(vec![0; 16]);
        assert_eq!(ring.run_program(call).unwrap().result().unwrap(), 4);
    });
}

#[test]
fn wrong_arguments_are_refused_with_both_sides_named() {
    let mut ring = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    let program = ring.store(read_whole(64)).unwrap();
    let mut refused = |call| match ring.run_program(call).unwrap_err() {
        Error::Build(error) => error,
        other => panic!("{other}"),
    };
    let few = refused(program.call().path("file"));
    assert_eq!(few, BuildError::ArgumentCount { step: 0, given: 1, expected: 2 });
    let kind = refused(program.call().buffer(vec![0; 64]).path("file"));
    assert!(matches!(kind, BuildError::ArgumentKind { argument: 0, .. }));
    assert!(
        kind.to_string().contains("passes a buffer as argument 0, where its program wants a path"),
        "{kind}"
    );
    let short = refused(program.call().path("file").buffer(Buffer::from(&[0; 8])));
    assert!(matches!(short, BuildError::ArgumentTooShort { argument: 1, room: 64, .. }));
    let nul = refused(program.call().path("fi\0le").buffer(vec![0; 64]));
    assert!(matches!(nul, BuildError::NulInPath { .. }));

    let mut elsewhere = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    let call = program.call().path("file").buffer(vec![0; 64]);
    let foreign = elsewhere.run_program(call).unwrap_err();
    assert!(matches!(foreign, Error::Build(BuildError::ForeignProgram { step: 0 })), "{foreign}");
    assert_eq!(elsewhere.forget(&program).unwrap_err().errno(), Some(Errno::ENOENT));

    // Three numbers, of which only two can be results of the chain.
    let three = Program::build(|program| {
        let (a, b, c) = (program.number(), program.number(), program.number());
        let sum = program.add(a, b);
        program.add(sum, c)
    });
    let three = elsewhere.store(three.unwrap()).unwrap();
    let called = elsewhere.run_program(three.call().number(1u64).number(2u64).number(3u64)).unwrap();
    assert_eq!(called.result().unwrap(), 6);
    let mut chain = Chain::new();
    let last = chain.set(3u64);
    chain.call(three.call().number(1u64).number(2u64).number(last));
    assert_eq!(chain.check(), Err(BuildError::ArgumentTooLate { step: 1, argument: 2 }));
}

#[test]
fn what_a_program_must_not_be_is_refused_when_it_is_built() {
    let own = Program::build(|program| {
        let file = program.file();
        program.read(file, Buffer::with_capacity(16), Offset::START)
    });
    assert!(matches!(own, Err(Error::Build(BuildError::OwnRoom { step: 1, verb: Verb::Read }))), "{own:?}");
    let stat = Program::build(|program| {
        let file = program.file();
        program.stat_file(file);
        program.nop()
    });
    assert!(matches!(stat, Err(Error::Build(BuildError::OwnRoom { .. }))), "{stat:?}");
    let message = Program::build(|program| {
        let socket = program.file();
        program.recvmsg(socket, [Buffer::with_capacity(8)], 0, MessageFlags::empty());
        program.nop()
    });
    assert!(
        matches!(message, Err(Error::Build(BuildError::OwnRoom { step: 1, verb: Verb::RecvMsg }))),
        "{message:?}"
    );
    let exit = Program::build(|program| program.wait_child(1u64));
    assert!(
        matches!(exit, Err(Error::Build(BuildError::ResultNoNumber { step: 0, verb: Verb::Wait }))),
        "{exit:?}"
    );
    let closed: Result<Program<usize>, _> = Program::build(|program| {
        let file = program.file();
        let room = program.room(8);
        program.close(file);
        program.read(file, room, Offset::START)
    });
    let Err(Error::Rejected(rejection)) = closed else { panic!("{closed:?}") };
    assert!(rejection.to_string().contains("READ"), "{rejection}");
    let stray: Reg<Fd> = Chain::new().open("file", OpenOptions::read());
    let foreign = Program::build(|program| {
        program.nop();
        stray
    });
    assert!(matches!(foreign, Err(Error::Build(BuildError::ForeignRegister { .. }))), "{foreign:?}");
    let skipped = Program::build(|program| {
        let number = program.number();
        program.when(number).is_zero().then(|part| part.set(1u64))
    });
    assert!(matches!(skipped, Err(Error::Build(BuildError::Conditional { .. }))), "{skipped:?}");
    let stopped = Program::build(|program| {
        let number = program.number();
        program.when(number).is_zero().stop();
        program.set(1u64)
    });
    assert!(matches!(stopped, Err(Error::Rejected(_))), "{stopped:?}");
}

#[test]
fn constants_outlive_their_program() {
    on_each(|ring| {
        let path = path(ring);
        let program = Program::build(|program| {
            let file = program.open(&path, OpenOptions::read_write().create());
            let written = program.write(file, "constant", Offset::START);
            program.finally().close(file);
            written
        })
        .unwrap();
        assert_eq!((program.len(), program.is_empty()), (3, false));
        let stored = ring.store(program.clone()).unwrap();
        drop(program);
        assert_eq!(ring.run_program(stored.call()).unwrap().result().unwrap(), 8);
    });
}

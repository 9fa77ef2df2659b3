//! Control in chains, through the typed builder and on every backend: numbers, conditions, loops, rooms.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::{BackendKind, Buffer, BuildError, Chain, Compute, Done, Error, Offset, OpenOptions, Ring, Width};

/// Runs `body` on each backend that can be had here.
fn on_each(body: impl Fn(&mut Ring)) {
    for kind in [BackendKind::Sim, BackendKind::Threads, BackendKind::Uring] {
        match Ring::builder().backend(kind).build() {
            Ok(mut ring) => body(&mut ring),
            Err(error) => println!("SKIPPED: {error}"),
        }
    }
}

/// A new directory, gone when this is.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory() -> Scratch {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ouzel-control-{}-{number}", std::process::id());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).unwrap();
    Scratch(path)
}

/// Runs a chain that must end within a bound.
fn run(ring: &mut Ring, mut chain: Chain) -> Done {
    chain.check().unwrap();
    chain.timeout(Duration::from_secs(20));
    ring.run(chain).unwrap()
}

fn skipped<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Skipped { .. }))
}

#[test]
fn numbers_are_computed() {
    on_each(|ring| {
        let mut chain = Chain::new();
        let five = chain.set(5u64);
        let twelve = chain.add(five, 7u64);
        let seven = chain.sub(twelve, five);
        let largest = chain.saturating_add(u64::MAX, five);
        let wrapped = chain.wrapping_add(u64::MAX, five);
        let nothing = chain.saturating_sub(3u64, five);
        let below = chain.wrapping_sub(3u64, five);
        let least = chain.min(twelve, five);
        let common = chain.and(twelve, 10u64);
        let left = chain.shift_left(five, 4u64);
        let right = chain.shift_right(left, 3u64);
        let done = run(ring, chain);
        let expected = [
            (five, 5),
            (twelve, 12),
            (seven, 7),
            (largest, u64::MAX),
            (wrapped, 4),
            (nothing, 0),
            (below, u64::MAX - 1),
            (least, 5),
            (common, 8),
            (left, 80),
            (right, 10),
        ];
        for (reg, value) in expected {
            assert_eq!(done.get(reg).unwrap(), value, "{reg:?}");
        }
    });
}

#[test]
fn a_sum_that_does_not_fit_is_an_error() {
    on_each(|ring| {
        let mut chain = Chain::new();
        let sum = chain.add(u64::MAX, 1u64);
        let after = chain.set(sum);
        let done = run(ring, chain);
        assert_eq!(done.get(sum).unwrap_err().errno(), Some(Errno::EOVERFLOW));
        assert_eq!(done.get(after).unwrap_err().errno(), Some(Errno::ECANCELED));
    });
}

#[test]
fn a_part_runs_if_its_condition_holds() {
    on_each(|ring| {
        for number in [0u64, 4, 9] {
            let mut chain = Chain::new();
            let number_of_chain = chain.set(number);
            let zero = chain.when(number_of_chain).is_zero().then(|part| part.set(1u64));
            let positive = chain.when(number_of_chain).is_positive().then(|part| part.set(2u64));
            let four = chain.when(number_of_chain).equals(4u64).then(|part| part.set(3u64));
            let other = chain.when(number_of_chain).equals(4u64).skip(|part| part.set(4u64));
            let small = chain.when(number_of_chain).is_less_than(5u64).then(|part| part.set(5u64));
            let (low, high) = chain
                .when(number_of_chain)
                .is_less_than(5u64)
                .either(|part| part.set(6u64), |part| part.set(7u64));
            let last = chain.set(8u64);
            let done = run(ring, chain);
            let ran = |reg| !done.was_skipped(reg);
            assert_eq!(ran(zero), number == 0);
            assert_eq!(ran(positive), number != 0);
            assert_eq!(ran(four), number == 4);
            assert_eq!(ran(other), number != 4);
            assert_eq!(ran(small), number < 5);
            assert_eq!((ran(low), ran(high)), (number < 5, number >= 5));
            assert_eq!(done.get(last).unwrap(), 8);
            assert_eq!(skipped(done.get(zero)), number != 0);
            assert_eq!(done.error(), None);
        }
    });
}

#[test]
fn a_stop_is_a_success_and_runs_finally() {
    on_each(|ring| {
        let mut chain = Chain::new();
        let made = chain.open("made", OpenOptions::read_write().create());
        let n = chain.read(made, Buffer::with_capacity(8), Offset::START);
        chain.when(n).is_zero().stop();
        let other = chain.open("other", OpenOptions::read_write().create());
        chain.finally().close(other);
        let closed = chain.finally().close(made);
        // Only the simulator has no real directory to litter.
        if ring.backend().backend != BackendKind::Sim {
            return;
        }
        let done = run(ring, chain);
        assert_eq!(done.get(n).unwrap(), 0);
        assert!(skipped(done.get(other)));
        done.get(closed).unwrap();
        assert_eq!(done.check(), Ok(()), "what was never opened is not closed, and that is no error");
        assert_eq!(ring.gauges().packets, 0);
    });
}

/// A chain that copies a file of any length.
fn copy_loop(source: &std::path::Path, target: &std::path::Path, size: usize) -> (Chain, ouzel::Reg<u64>) {
    let mut chain = Chain::new();
    let from = chain.open(source, OpenOptions::read());
    let to = chain.open(target, OpenOptions::write().create().truncate());
    let room = chain.room(Buffer::with_capacity(size));
    let at = chain.variable(0u64);
    chain.repeat(10_000, |turn| {
        let n = turn.read(from, room, Offset::at(at));
        turn.when(n).is_zero().break_loop();
        let written = turn.write(to, room.first(n), Offset::at(at));
        turn.assign(at, Compute::add(at, written));
    });
    let total = chain.get(at);
    chain.finally().close(from);
    chain.finally().close(to);
    (chain, total)
}

#[test]
fn a_file_of_any_length_is_copied_in_one_chain() {
    on_each(|ring| {
        if ring.backend().backend == BackendKind::Sim {
            return;
        }
        let directory = directory();
        let source = directory.path().join("source");
        let target = directory.path().join("target");
        for length in [0usize, 1, 511, 512, 513, 20_000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
            std::fs::write(&source, &bytes).unwrap();
            let (chain, total) = copy_loop(&source, &target, 512);
            let done = ring.run(chain).unwrap();
            done.check().unwrap();
            assert_eq!(done.get(total).unwrap(), length as u64);
            assert_eq!(std::fs::read(&target).unwrap(), bytes, "{length} bytes");
        }
    });
}

#[test]
fn the_simulator_copies_as_well() {
    let mut ring = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    let source = ring.open("source", OpenOptions::read_write().create()).unwrap();
    let bytes: Vec<u8> = (0..5_000u32).map(|at| (at * 3) as u8).collect();
    ring.write(source, bytes.clone(), Offset::START).unwrap();
    let (chain, total) = copy_loop("source".as_ref(), "target".as_ref(), 333);
    let done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(total).unwrap(), 5_000);
    let target = ring.open("target", OpenOptions::read()).unwrap();
    let read = ring.read(target, Buffer::with_capacity(6_000), Offset::START).unwrap();
    assert_eq!(read.as_slice(), bytes);
}

#[test]
fn a_loop_counts_its_turns_and_results_are_those_of_the_last() {
    on_each(|ring| {
        let mut chain = Chain::new();
        let sum = chain.variable(0u64);
        let (turns, last) = chain.repeat(10, |turn| {
            turn.assign(sum, Compute::add(sum, 3u64));
            turn.get(sum)
        });
        let known = chain.add(last, 1u64);
        let done = run(ring, chain);
        assert_eq!(done.get(turns).unwrap(), 10);
        assert_eq!(done.get(last).unwrap(), 30);
        assert_eq!(done.get(known).unwrap(), 31);
    });
}

#[test]
fn turns_are_left_and_cut_short() {
    on_each(|ring| {
        // The sum of the odd numbers below 10.
        let mut chain = Chain::new();
        let number = chain.variable(0u64);
        let sum = chain.variable(0u64);
        let (turns, ()) = chain.repeat(1_000, |turn| {
            turn.assign(number, Compute::add(number, 1u64));
            turn.when(number).equals(10u64).break_loop();
            let odd = turn.and(number, 1u64);
            turn.when(odd).is_zero().next_turn();
            turn.assign(sum, Compute::add(sum, number));
        });
        let result = chain.get(sum);
        let done = run(ring, chain);
        assert_eq!(done.get(result).unwrap(), 25);
        assert!(skipped(done.get(turns)) || done.get(turns).is_ok());
    });
}

#[test]
fn loops_nest_and_leave_the_registers_of_others_alone() {
    on_each(|ring| {
        let mut chain = Chain::new();
        let base = chain.set(1_000u64);
        let total = chain.variable(0u64);
        chain.repeat(5, |outer| {
            let step = outer.set(2u64);
            let inner_sum = outer.variable(0u64);
            outer.repeat(4, |inner| {
                // Both of these need a register only for a moment; neither may be one that lives across turns.
                let once = inner.add(step, 1u64);
                let twice = inner.add(once, once);
                inner.assign(inner_sum, Compute::add(inner_sum, twice));
            });
            outer.assign(total, Compute::add(total, inner_sum));
        });
        let all = chain.add(total, base);
        let done = run(ring, chain);
        assert_eq!(done.get(all).unwrap(), 1_000 + 5 * 4 * 6);
    });
}

#[test]
fn numbers_are_taken_out_of_what_was_read() {
    let directory = directory();
    let path = directory.path().join("message");
    // A length, and as many bytes.
    std::fs::write(&path, b"\x05\x00\x00\x00hello, and more").unwrap();
    on_each(|ring| {
        if ring.backend().backend == BackendKind::Sim {
            return;
        }
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read());
        let head = chain.read(file, Buffer::with_capacity(4), Offset::START);
        let length = chain.load(head, Width::U32, 0u64);
        let room = chain.room(Buffer::with_capacity(64));
        let body = chain.read(file, room.first(length), Offset::at(4u64));
        let first = chain.load(room, Width::U8, 0u64);
        chain.finally().close(file);
        let mut done = run(ring, chain);
        assert_eq!(done.get(length).unwrap(), 5);
        assert_eq!(done.get(body).unwrap(), 5);
        assert_eq!(done.get(first).unwrap(), b'h'.into());
        assert_eq!(done.take_room(room).unwrap().as_slice(), b"hello");
    });
}

#[test]
fn a_length_beyond_its_room_is_refused_before_it_is_used() {
    let directory = directory();
    let path = directory.path().join("message");
    std::fs::write(&path, b"\xff\xff\x00\x00hello").unwrap();
    on_each(|ring| {
        if ring.backend().backend == BackendKind::Sim {
            return;
        }
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read());
        let head = chain.read(file, Buffer::with_capacity(4), Offset::START);
        let length = chain.load(head, Width::U32, 0u64);
        let room = chain.room(Buffer::with_capacity(64));
        let body = chain.read(file, room.first(length), Offset::at(4u64));
        chain.finally().close(file);
        let mut done = run(ring, chain);
        assert_eq!(done.error().unwrap().errno, Errno::EOVERFLOW);
        assert_eq!(done.get(body).unwrap_err().errno(), Some(Errno::ECANCELED));
        assert!(done.take_room(room).unwrap().is_empty());
    });
}

#[test]
fn a_number_beyond_what_was_read_is_refused() {
    on_each(|ring| {
        let (read, write) = {
            let mut chain = Chain::new();
            let (read, write) = chain.pipe();
            let second = chain.get_descriptor(write);
            let done = ring.run(chain).unwrap();
            (done.get(read).unwrap(), done.get(second).unwrap())
        };
        let mut chain = Chain::new();
        chain.write(write, b"abc", Offset::CURRENT);
        let got = chain.read(read, Buffer::with_capacity(16), Offset::CURRENT);
        let fits = chain.load(got, Width::U16, 1u64);
        let beyond = chain.load(got, Width::U32, 0u64);
        let done = run(ring, chain);
        assert_eq!(done.get(fits).unwrap(), u64::from(u16::from_le_bytes(*b"bc")));
        assert_eq!(done.get(beyond).unwrap_err().errno(), Some(Errno::EFAULT));
    });
}

#[test]
fn what_the_last_step_did_is_asked_for() {
    on_each(|ring| {
        let (read, write) = {
            let mut chain = Chain::new();
            let (read, write) = chain.pipe();
            let second = chain.get_descriptor(write);
            let done = ring.run(chain).unwrap();
            (done.get(read).unwrap(), done.get(second).unwrap())
        };
        let mut chain = Chain::new();
        chain.write(write, b"abc", Offset::CURRENT);
        let wrote_all = chain.when_last().is_full().test();
        chain.read(read, Buffer::with_capacity(16), Offset::CURRENT);
        let short = chain.when_last().is_short().test();
        let failing = chain.open("no such file anywhere", OpenOptions::read());
        let instead = chain.when_last().failed().then(|part| part.set(7u64));
        let done = run(ring, chain);
        assert_eq!(done.get(wrote_all).unwrap(), 1);
        assert_eq!(done.get(short).unwrap(), 1);
        assert_eq!(done.get(failing).unwrap_err().errno(), Some(Errno::ENOENT));
        assert_eq!(done.get(instead).unwrap(), 7);
    });
}

#[test]
fn what_is_wrong_is_said_when_the_chain_is_built() {
    let wrong = |build: &dyn Fn(&mut Chain)| {
        let mut chain = Chain::new();
        build(&mut chain);
        chain.check().unwrap_err()
    };
    let conditional = wrong(&|chain| {
        let n = chain.set(1u64);
        let inner = chain.when(n).is_zero().then(|part| part.set(2u64));
        chain.add(inner, 1u64);
    });
    assert!(matches!(conditional, BuildError::Conditional { step: 3, of: 2, test: 1, .. }), "{conditional}");
    assert!(conditional.to_string().contains("step 1 (TEST) may skip"), "{conditional}");
    let behind_a_break = wrong(&|chain| {
        let n = chain.set(1u64);
        let (_, inner) = chain.repeat(3, |turn| {
            turn.when(n).is_zero().break_loop();
            turn.set(2u64)
        });
        chain.add(inner, 1u64);
    });
    assert!(matches!(behind_a_break, BuildError::Conditional { of: 2, test: 1, .. }), "{behind_a_break}");
    let not_in_loop = wrong(&|chain| {
        let n = chain.set(1u64);
        chain.when(n).is_zero().break_loop();
    });
    assert_eq!(not_in_loop, BuildError::NotInLoop { step: 1 });
    let empty = wrong(&|chain| {
        chain.nop();
        chain.repeat(3, |_| ());
    });
    assert_eq!(empty, BuildError::EmptyLoop { step: 1 });
    let no_turns = wrong(&|chain| {
        chain.repeat(0, |turn| turn.nop());
    });
    assert!(matches!(no_turns, BuildError::NoTurns { step: 1, .. }), "{no_turns}");
    let nothing_before = wrong(&|chain| chain.when_last().is_full().stop());
    assert_eq!(nothing_before, BuildError::NothingBefore { step: 0 });
    let finally = wrong(&|chain| {
        let n = chain.set(1u64);
        chain.finally().when(n).is_zero().stop();
    });
    assert!(matches!(finally, BuildError::ControlInFinally { step: 1, .. }), "{finally}");
    let shift = wrong(&|chain| {
        chain.shift_left(1u64, 64u64);
    });
    assert_eq!(shift, BuildError::ShiftTooFar { step: 0, distance: 64 });
    let beyond = wrong(&|chain| {
        let room = chain.room(vec![0; 8]);
        chain.load(room, Width::U32, 5u64);
    });
    assert!(matches!(beyond, BuildError::BeyondRoom { asked: 9, .. }), "{beyond}");
    let stranger = Chain::new().room(vec![0; 8]);
    let foreign = wrong(&|chain| {
        chain.load(stranger, Width::U8, 0u64);
    });
    assert!(matches!(foreign, BuildError::ForeignRoom { step: 0, .. }), "{foreign}");
    let unbounded = wrong(&|chain| {
        let file = chain.open("file", OpenOptions::write());
        let n = chain.set(9u64);
        let room = chain.room(vec![0; 8]);
        chain.finally().write(file, room.first(n), Offset::START);
    });
    assert!(matches!(unbounded, BuildError::UnboundedFinally { step: 2, .. }), "{unbounded}");
}

#[test]
fn registers_of_loops_are_counted() {
    let mut chain = Chain::new();
    let outside: Vec<_> = (0..6u64).map(|value| chain.set(value)).collect();
    chain.repeat(2, |turn| {
        let one = turn.set(1u64);
        let two = turn.add(one, 1u64);
        turn.add(two, 1u64);
        for value in &outside {
            turn.get(*value);
        }
    });
    chain.check().unwrap();
    chain.repeat(2, |turn| {
        let one = turn.set(1u64);
        let two = turn.set(1u64);
        turn.add(one, two);
        for value in &outside {
            turn.get(*value);
        }
    });
    assert!(matches!(chain.check(), Err(BuildError::TooManyLive { .. })));
}

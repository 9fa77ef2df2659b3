//! Set-up, submission, waiting and completion.
#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use common::{PATIENCE, built, push, result, ring, run};
use ouzel_uring::abi::{EnterFlags, SetupFlags, TimeoutFlags, Timespec};
use ouzel_uring::{Builder, EnterError, Full, RegisterCause, Ring, SetupError, Sqe, Step, Timeout};

const ETIME: i32 = -62;

/// Several laps of nops around a small ring, each entry completing once and in order.
fn laps(ring: &mut Ring) {
    let entries = ring.sq_entries();
    let mut next = 0_u64;
    let mut expected = 0_u64;
    while expected < 1000 {
        for _ in 0..entries {
            push(ring, Sqe::nop().user_data(next));
            next += 1;
        }
        for completion in run(ring, entries as usize) {
            assert_eq!((completion.user_data, completion.res), (expected, 0));
            expected += 1;
        }
    }
    assert_eq!(expected, next);
    assert_eq!((ring.sq_pending(), ring.sq_dropped(), ring.cq_lost()), (0, 0, 0));
}

#[test]
fn every_step_gives_a_working_ring() {
    for step in Step::ONE_THREAD.iter().chain(&Step::MOVABLE) {
        for two_mappings in [false, true] {
            match Builder::new(8).flags(step.flags).two_mappings(two_mappings).build() {
                Ok(mut ring) => {
                    assert!(ring.setup_flags().contains(step.flags));
                    assert_eq!((ring.sq_entries(), ring.cq_entries()), (8, 16));
                    laps(&mut ring);
                }
                Err(error) => eprintln!("SKIPPED: {:?}: {error}", step.flags),
            }
        }
    }
}

#[test]
fn an_entry_made_at_its_place_is_as_good_as_a_copy() {
    let Some(mut ring) = ring(4) else { return };
    for lap in 0..3 {
        for number in 0..4 {
            *ring.next_place().expect("room") = Sqe::nop().user_data(99);
            // Nothing is pushed yet, so the place is still the same.
            assert_eq!(ring.sq_pending(), number);
            let place = ring.next_place().expect("room");
            assert_eq!(place.user_data, 99);
            *place = Sqe::nop().user_data(u64::from(lap * 4 + number));
            // SAFETY: a whole entry was written, and it names no memory.
            unsafe { ring.push_placed() };
        }
        assert_eq!(ring.next_place(), None, "the queue is full");
        let numbers: Vec<_> = run(&mut ring, 4).iter().map(|completion| completion.user_data).collect();
        assert_eq!(numbers, (lap * 4..lap * 4 + 4).map(u64::from).collect::<Vec<_>>());
    }
}

#[test]
fn the_first_step_that_works_is_taken_and_reported() {
    let impossible = Step { flags: SetupFlags::DEFER_TASKRUN, since: "never: it wants SINGLE_ISSUER" };
    let report = match Builder::new(4).first_of(&[impossible, Step::PLAIN]) {
        Ok((ring, report)) => {
            assert_eq!(ring.setup_flags().intersection(SetupFlags::DEFER_TASKRUN), SetupFlags::empty());
            report
        }
        Err(error) => return eprintln!("SKIPPED: no ring: {error}"),
    };
    assert_eq!(report.taken(), Step::PLAIN);
    assert_eq!(report.refused_count(), 1);
    let refusals: Vec<_> = report.refused().collect();
    assert_eq!(refusals[0].step, impossible);
    assert!(matches!(refusals[0].error, SetupError::Invalid { .. }), "{}", refusals[0].error);
    assert!(report.to_string().contains("DEFER_TASKRUN"), "{report}");

    let error = Builder::new(4).first_of(&[impossible]).map(|_| ()).expect_err("nothing to fall back on");
    assert_eq!(error.errno(), 22);
}

#[test]
fn wishes_that_cannot_be_met_are_errors() {
    let setup = |builder: Builder| builder.build().map(|_| ()).expect_err("a refusal");
    assert_eq!(setup(Builder::new(0)), SetupError::Entries { asked: 0 });
    assert_eq!(setup(Builder::new(u32::MAX)), SetupError::Entries { asked: u32::MAX });
    assert_eq!(
        setup(Builder::new(8).completion_entries(4)),
        SetupError::CompletionEntries { asked: 4, entries: 8 }
    );
    let huge = Builder::new(8).completion_entries(u32::MAX);
    assert!(matches!(setup(huge), SetupError::CompletionEntries { .. }));
    assert!(matches!(setup(Builder::new(8).flags(SetupFlags::CQSIZE)), SetupError::CompletionEntries { .. }));
    for flags in [SetupFlags::SQ_REWIND, SetupFlags::from_bits_retain(1 << 31)] {
        assert_eq!(setup(Builder::new(8).flags(flags)), SetupError::Unsupported { flags });
    }
    assert_eq!(setup(Builder::new(8).flags(SetupFlags::REGISTERED_FD_ONLY)), SetupError::NeedsPromise);
    assert_eq!(setup(Builder::new(8).flags(SetupFlags::ATTACH_WQ)), SetupError::NothingAttached);
    assert_eq!(setup(Builder::new(24).exact()), SetupError::NotPowerOfTwo { asked: 24 });
    let uneven = Builder::new(16).completion_entries(48).exact();
    assert_eq!(setup(uneven), SetupError::NotPowerOfTwo { asked: 48 });
    assert!(SetupError::NotPowerOfTwo { asked: 24 }.to_string().contains("ask for 32"));
    // Clamped, a wish for too much is met with the most there is; memory may still run short.
    match Builder::new(u32::MAX).flags(SetupFlags::CLAMP).build() {
        Ok(ring) => assert_eq!(ring.sq_entries(), ouzel_uring::abi::SQ_ENTRIES_MAX),
        Err(error) => eprintln!("SKIPPED: the largest ring: {error}"),
    }
}

#[test]
fn a_full_queue_says_so_and_loses_nothing() {
    let Some(mut ring) = ring(4) else { return };
    for number in 0..4 {
        assert_eq!(ring.sq_room(), 4 - number);
        push(&mut ring, Sqe::nop().user_data(number.into()));
    }
    // SAFETY: a nop names no memory.
    assert_eq!(unsafe { ring.push(&Sqe::nop()) }, Err(Full));
    assert_eq!((ring.sq_room(), ring.sq_pending()), (0, 4));
    assert_eq!(ring.submit(), Ok(4));
    assert_eq!((ring.sq_room(), ring.sq_pending()), (4, 0));
    let numbers: Vec<u64> = run(&mut ring, 4).iter().map(|completion| completion.user_data).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

#[test]
fn enters_are_counted_and_spared() {
    let Some(mut ring) = ring(8) else { return };
    assert_eq!((ring.enters(), ring.submit()), (0, Ok(0)));
    assert_eq!(ring.enters(), 0);
    for _ in 0..8 {
        push(&mut ring, Sqe::nop());
    }
    assert_eq!(ring.submit_and_wait(8, None), Ok(8));
    assert_eq!((ring.enters(), ring.cq_ready()), (1, 8));
    assert_eq!(ring.completions().count(), 8);
    assert_eq!((ring.enters(), ring.cq_ready()), (1, 0));
}

#[test]
fn part_of_the_queue_can_be_submitted() {
    let Some(mut ring) = ring(8) else { return };
    for number in 0..5 {
        push(&mut ring, Sqe::nop().user_data(number));
    }
    assert_eq!(ring.flush(), 5);
    assert_eq!(ring.enter(2, 2, EnterFlags::GETEVENTS, None), Ok(2));
    assert_eq!((ring.sq_pending(), ring.cq_ready()), (3, 2));
    assert_eq!(run(&mut ring, 5).len(), 5);
}

#[test]
fn a_forgotten_batch_loses_no_completion() {
    let Some(mut ring) = built(Builder::new(4).completion_entries(4)) else { return };
    for round in 0..20 {
        for number in 0..4 {
            push(&mut ring, Sqe::nop().user_data(round * 4 + number));
        }
        assert_eq!(ring.submit_and_wait(4, None), Ok(4));
        let mut batch = ring.completions();
        assert_eq!(batch.next().map(|completion| completion.user_data), Some(round * 4));
        std::mem::forget(batch);
        let rest: Vec<u64> = ring.completions().map(|completion| completion.user_data).collect();
        assert_eq!(rest, [round * 4 + 1, round * 4 + 2, round * 4 + 3]);
    }
    assert_eq!(ring.cq_lost(), 0);
}

#[test]
fn waiting_ends_when_the_time_is_up() {
    let Some(mut ring) = ring(4) else { return };
    let begin = Instant::now();
    let limit = Timeout::After(Duration::from_millis(30));
    match ring.enter(0, 1, EnterFlags::GETEVENTS, Some(limit)) {
        Err(EnterError::NoTimeLimit) => return eprintln!("SKIPPED: a kernel before 5.11"),
        outcome => assert_eq!(outcome, Err(EnterError::TimedOut)),
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(30) && took < PATIENCE, "{took:?}");

    // An absolute time that is long past.
    let past = Timeout::At(Timespec { tv_sec: 0, tv_nsec: 1 });
    match ring.submit_and_wait(1, Some(past)) {
        Err(EnterError::Invalid { .. }) => eprintln!("SKIPPED: a kernel before 6.12"),
        outcome => assert_eq!(outcome, Err(EnterError::TimedOut)),
    }
    assert!(EnterError::TimedOut.is_benign());
    assert_eq!(EnterError::TimedOut.errno(), 62);
}

#[test]
fn the_longest_wait_is_not_the_shortest() {
    let Some(mut ring) = ring(4) else { return };
    let time = Timespec::relative(Duration::from_millis(40));
    push(&mut ring, Sqe::timeout(&time, 0, TimeoutFlags::empty()).user_data(1));
    assert_eq!(ring.submit(), Ok(1));
    let waited = ring.submit_and_wait(1, Some(Timeout::After(Duration::MAX)));
    assert_eq!(waited, Ok(0));
    assert_eq!(result(&run(&mut ring, 1), 1), ETIME);
}

#[test]
fn flags_that_go_with_arguments_are_the_rings() {
    let Some(mut ring) = ring(4) else { return };
    for flags in [EnterFlags::EXT_ARG, EnterFlags::REGISTERED_RING, EnterFlags::EXT_ARG_REG] {
        assert_eq!(ring.enter(0, 0, flags, None), Err(EnterError::Reserved { flags }));
    }
    assert_eq!(ring.enters(), 0);
    let unknown = EnterFlags::from_bits_retain(1 << 30);
    assert_eq!(ring.enter(0, 0, unknown, None), Err(EnterError::Reserved { flags: unknown }));
}

#[test]
fn completions_that_do_not_fit_come_later() {
    let Some(mut ring) = built(Builder::new(4).completion_entries(4)) else { return };
    for number in 0..20 {
        push(&mut ring, Sqe::nop().user_data(number));
        if ring.sq_room() == 0 {
            match ring.submit() {
                Ok(4) => {}
                other => {
                    return eprintln!(
                        "SKIPPED: this kernel does not take entries beyond the queue: {other:?}"
                    );
                }
            }
        }
    }
    // With deferred work, completions are posted, and the queue overflows, only now.
    assert_eq!(ring.collect(), Ok(()));
    assert_eq!(ring.cq_ready(), 4);
    assert!(ring.cq_overflowed() && ring.cq_needs_enter());
    let mut numbers = Vec::new();
    for _ in 0..20 {
        numbers.extend(ring.completions().map(|completion| completion.user_data));
        if ring.cq_overflowed() {
            assert_eq!(ring.collect(), Ok(()));
        }
    }
    assert_eq!(numbers, (0..20).collect::<Vec<u64>>());
    assert!(!ring.cq_overflowed());
    assert_eq!(ring.cq_lost(), 0);
}

#[test]
fn a_single_issuer_is_held_to_its_thread() {
    let flags = SetupFlags::SINGLE_ISSUER;
    let mut ring = match Builder::new(4).flags(flags).build() {
        Ok(ring) => ring,
        Err(error) => return eprintln!("SKIPPED: SINGLE_ISSUER: {error}"),
    };
    push(&mut ring, Sqe::nop());
    let mut ring = std::thread::spawn(move || {
        assert_eq!(ring.submit(), Err(EnterError::WrongThread));
        ring
    })
    .join()
    .expect("the thread");
    // The entry is still there, and its own thread can submit it.
    assert_eq!(ring.sq_pending(), 1);
    assert_eq!(run(&mut ring, 1).len(), 1);
}

#[test]
fn a_movable_ring_moves() {
    let (mut ring, _) = match Builder::new(4).first_of(&Step::MOVABLE) {
        Ok(made) => made,
        Err(error) => return eprintln!("SKIPPED: no ring: {error}"),
    };
    laps(&mut ring);
    std::thread::spawn(move || laps(&mut ring)).join().expect("the thread");
}

#[test]
fn a_disabled_ring_waits_to_be_enabled() {
    let flags = SetupFlags::R_DISABLED | SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    let mut ring = match Builder::new(4).flags(flags).build() {
        Ok(ring) => ring,
        Err(error) => return eprintln!("SKIPPED: R_DISABLED: {error}"),
    };
    std::thread::spawn(move || {
        push(&mut ring, Sqe::nop().user_data(3));
        assert_eq!(ring.submit(), Err(EnterError::RingDisabled));
        assert_eq!(ring.enable(), Ok(()));
        assert_eq!(ring.enable().map_err(|error| error.cause), Err(RegisterCause::WrongState));
        assert_eq!(result(&run(&mut ring, 1), 3), 0);
    })
    .join()
    .expect("the thread");
}

#[test]
fn the_kernels_thread_takes_entries_by_itself() {
    let mut ring = match Builder::new(4).poller(20).build() {
        Ok(ring) => ring,
        Err(error) => return eprintln!("SKIPPED: SQPOLL: {error}"),
    };
    for round in 0..6 {
        push(&mut ring, Sqe::nop().user_data(round));
        ring.submit().expect("a submission");
        let deadline = Instant::now() + PATIENCE;
        let completion = loop {
            if let Some(completion) = ring.next_completion() {
                break completion;
            }
            assert!(Instant::now() < deadline, "round {round} never completed");
            std::thread::yield_now();
        };
        assert_eq!(completion.user_data, round);
        if round % 2 == 1 {
            // Long enough for the thread to fall asleep, so that the next submission must wake it.
            std::thread::sleep(Duration::from_millis(60));
        }
    }
}

#[test]
fn a_registered_ring_is_entered_by_its_index() {
    let Some(mut ring) = ring(4) else { return };
    for _ in 0..40 {
        // SAFETY: this ring stays on this thread.
        let outcome = unsafe { ring.register_ring_fd() };
        if common::or_skip("ring registration", outcome).is_none() {
            return;
        }
        // SAFETY: as above; a second time does nothing.
        assert_eq!(unsafe { ring.register_ring_fd() }, Ok(()));
        push(&mut ring, Sqe::nop().user_data(9));
        assert_eq!(result(&run(&mut ring, 1), 9), 0);
        assert_eq!(ring.unregister_ring_fd(), Ok(()));
        push(&mut ring, Sqe::nop().user_data(10));
        assert_eq!(result(&run(&mut ring, 1), 10), 0);
    }
    // A thread has 16 places: 40 rings in a row need them given back.
    for _ in 0..40 {
        let Some(mut ring) = common::ring(4) else { return };
        // SAFETY: this ring stays on this thread.
        assert_eq!(unsafe { ring.register_ring_fd() }, Ok(()));
    }
}

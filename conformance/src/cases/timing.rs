//! NOP, SLEEP, GET and DEADLINE, and what timeouts mean for them. Sections 10 and 19.

use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::TimeBase;

use crate::World;
use crate::entry::*;
use crate::world::LIMIT;

crate::cases![
    nop_does_nothing,
    nop_with_a_timeout_sleeps_and_times_out,
    nop_loads_only_defined_registers,
    get_returns_any_value,
    sleep_succeeds_and_is_never_early,
    sleep_until_an_instant_that_has_passed,
    sleep_with_a_shorter_timeout_times_out,
    sleep_with_a_longer_timeout_succeeds,
    sleep_with_timeout_zero,
    sleep_past_the_end_of_the_clock_never_ends,
    sleep_and_deadline_refuse_an_unknown_base,
    sleeps_end_in_the_order_of_their_instants,
    deadline_stops_the_running_member,
    deadline_reaches_past_hardlinks,
    deadline_that_has_passed_fails_the_next_member,
    deadline_is_replaced_by_a_later_one,
    deadline_that_never_comes,
    deadline_spares_finally_entries,
    deadline_as_finally_has_no_effect,
    deadline_as_last_member,
    timeout_zero_forbids_waiting_for_an_event,
    timeout_zero_does_not_stop_work_on_files,
    timeout_stops_a_waiting_read,
    timeout_counts_from_dispatch,
    timeout_that_is_not_needed_changes_nothing,
    finally_keeps_its_own_timeout,
];

/// Real time that an operation takes on a real backend; the simulator's clock is its own.
fn took(world: &mut World, entries: &[ouzel::abi::Entry]) -> (Vec<ouzel::abi::Completion>, Duration) {
    let started = Instant::now();
    let all = world.run(entries);
    (all, started.elapsed())
}

/// Tries again with a longer length, in nanoseconds, when it was too short for a busy machine.
#[track_caller]
pub(crate) fn patiently(mut in_time: impl FnMut(u64) -> bool) {
    let lengths = [1, 5, 25, 125, 625, 3_000].map(|length| length * MILLISECOND);
    assert!(lengths.into_iter().any(&mut in_time), "not in time, also when three seconds were given");
}

fn nop_does_nothing(world: &mut World) {
    assert_eq!(world.ok(nop()), 0);
    let one = world.one(nop().local());
    assert_eq!((one.result, one.extra, one.flags), (0, 0, 0));
}

fn nop_with_a_timeout_sleeps_and_times_out(world: &mut World) {
    world.fails(nop().timeout(0), Errno::ETIMEDOUT);
    let (all, time) = took(world, &[nop().timeout(5 * MILLISECOND)]);
    assert_eq!(all[0].errno(), Errno::ETIMEDOUT);
    assert!(world.is_sim() || time >= Duration::from_millis(5), "early: {time:?}");
    world.expect(&[nop().timeout(MILLISECOND).hard(), get(7)], &[Err(Errno::ETIMEDOUT), Ok(7)]);
    world.expect(
        &[nop().timeout(MILLISECOND).link(), get(7)],
        &[Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED)],
    );
}

fn nop_loads_only_defined_registers(world: &mut World) {
    for argument in 0..5 {
        world.expect(&[get(9).local().save(3).link(), nop().load(argument, 3)], &[Ok(9), Ok(0)]);
        world.fails(nop().local().load(argument, 3), Errno::EINVAL);
    }
}

fn get_returns_any_value(world: &mut World) {
    for value in [0, 1, u64::MAX, 0xdead_beef_0000_0001] {
        assert_eq!(world.ok(get(value)), value);
    }
    // It needs no time, so a timeout of 0 does not touch it.
    assert_eq!(world.ok(get(5).timeout(0)), 5);
}

fn sleep_succeeds_and_is_never_early(world: &mut World) {
    let (all, time) = took(world, &[sleep(5 * MILLISECOND)]);
    assert_eq!(all[0].outcome(), Ok(0));
    assert!(world.is_sim() || time >= Duration::from_millis(5), "early: {time:?}");
    assert_eq!(world.ok(sleep(0)), 0);
    world.expect(&[sleep(MILLISECOND).link(), get(1)], &[Ok(0), Ok(1)]);
}

fn sleep_until_an_instant_that_has_passed(world: &mut World) {
    assert_eq!(world.ok(sleep(0).arg(3, TimeBase::Absolute as u64)), 0);
    assert_eq!(world.ok(sleep(1).arg(3, TimeBase::Absolute as u64)), 0);
    // Over at once, so that there is nothing to wait for.
    assert_eq!(world.ok(sleep(1).arg(3, TimeBase::Absolute as u64).timeout(0)), 0);
    assert_eq!(world.ok(sleep(0).timeout(0)), 0);
}

fn sleep_with_a_shorter_timeout_times_out(world: &mut World) {
    world.fails(sleep(NEVER).timeout(MILLISECOND), Errno::ETIMEDOUT);
    world.fails(sleep(3_600_000 * MILLISECOND).timeout(MILLISECOND), Errno::ETIMEDOUT);
}

fn sleep_with_a_longer_timeout_succeeds(world: &mut World) {
    assert_eq!(world.ok(sleep(MILLISECOND).timeout(10_000 * MILLISECOND)), 0);
}

fn sleep_with_timeout_zero(world: &mut World) {
    world.fails(sleep(1_000 * MILLISECOND).timeout(0), Errno::ETIMEDOUT);
}

fn sleep_past_the_end_of_the_clock_never_ends(world: &mut World) {
    world.start(&[sleep(NEVER).data(1), sleep(NEVER - 1).data(2)]);
    assert!(world.linger().is_empty());
    world.start(&[cancel_all().data(3)]);
    let mut all: Vec<_> = world.settle().iter().map(|one| (one.data, one.outcome())).collect();
    all.sort_by_key(|one| one.0);
    assert_eq!(all, [(1, Err(Errno::ECANCELED)), (2, Err(Errno::ECANCELED)), (3, Ok(2))]);
}

fn sleep_and_deadline_refuse_an_unknown_base(world: &mut World) {
    for base in [2, 3, u64::MAX] {
        world.fails(sleep(0).arg(3, base), Errno::EINVAL);
        world.fails(deadline(0).arg(3, base), Errno::EINVAL);
    }
}

fn sleeps_end_in_the_order_of_their_instants(world: &mut World) {
    let lengths = [40, 5, 60, 20];
    let begun = Instant::now();
    loop {
        let started = Instant::now();
        world.start(&[0, 1, 2, 3].map(|at| sleep(lengths[at] * MILLISECOND).data(at as u64)));
        // A sleep's time counts from its own start: if they start apart, so may they end.
        let together = world.is_sim() || started.elapsed() < Duration::from_millis(10);
        let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
        if together {
            assert_eq!(order, [1, 3, 0, 2]);
            return;
        }
        assert!(begun.elapsed() < LIMIT, "this machine never starts four sleeps within 10 ms");
    }
}

fn deadline_stops_the_running_member(world: &mut World) {
    world.expect(
        &[deadline(2 * MILLISECOND).link(), sleep(NEVER).link(), get(1)],
        &[Ok(0), Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED)],
    );
    let (reader, _writer) = world.pipe();
    let memory = world.room(8);
    world.expect(
        &[deadline(2 * MILLISECOND).link(), read(reader, memory, HERE).link(), get(1)],
        &[Ok(0), Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED)],
    );
}

fn deadline_reaches_past_hardlinks(world: &mut World) {
    world.expect(
        &[deadline(2 * MILLISECOND).hard(), sleep(NEVER).hard(), get(1).hard(), get(2)],
        &[Ok(0), Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED), Err(Errno::ECANCELED)],
    );
}

fn deadline_that_has_passed_fails_the_next_member(world: &mut World) {
    for past in [deadline(0), deadline(0).arg(3, TimeBase::Absolute as u64), deadline(1).arg(3, 1)] {
        for chain in [[past.link(), get(1).link(), get(2)], [past.hard(), get(1).hard(), get(2)]] {
            world.expect(&chain, &[Ok(0), Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED)]);
        }
    }
}

fn deadline_is_replaced_by_a_later_one(world: &mut World) {
    patiently(|length| {
        let all = world.run(&[
            deadline(2 * length).link(),
            deadline(NEVER).link(),
            sleep(10 * length).link(),
            get(4),
        ]);
        // The first may pass before the second is there to replace it.
        let outcomes: Vec<_> = all.iter().map(ouzel::abi::Completion::outcome).collect();
        let in_time = outcomes[1].is_ok();
        assert!(!in_time || outcomes == [Ok(0), Ok(0), Ok(0), Ok(4)], "{all:#?}");
        in_time
    });
    world.expect(
        &[deadline(3_600_000 * MILLISECOND).link(), deadline(MILLISECOND).link(), sleep(NEVER)],
        &[Ok(0), Ok(0), Err(Errno::ETIMEDOUT)],
    );
}

fn deadline_that_never_comes(world: &mut World) {
    world.expect(&[deadline(NEVER).link(), sleep(MILLISECOND).link(), get(1)], &[Ok(0), Ok(0), Ok(1)]);
    world.expect(&[deadline(3_600_000 * MILLISECOND).link(), get(1)], &[Ok(0), Ok(1)]);
}

fn deadline_spares_finally_entries(world: &mut World) {
    world.expect(
        &[
            deadline(MILLISECOND).link(),
            sleep(NEVER).link(),
            get(1).link(),
            sleep(3 * MILLISECOND).finally().link(),
            get(2).finally(),
        ],
        &[Ok(0), Err(Errno::ETIMEDOUT), Err(Errno::ECANCELED), Ok(0), Ok(2)],
    );
    // The deadline passes while a FINALLY entry runs.
    world.expect(&[deadline(2 * MILLISECOND).link(), sleep(10 * MILLISECOND).finally()], &[Ok(0), Ok(0)]);
}

fn deadline_as_finally_has_no_effect(world: &mut World) {
    world.expect(
        &[get(1).link(), deadline(0).finally().link(), sleep(MILLISECOND).finally()],
        &[Ok(1), Ok(0), Ok(0)],
    );
}

fn deadline_as_last_member(world: &mut World) {
    world.expect(&[get(1).link(), deadline(0)], &[Ok(1), Ok(0)]);
    assert_eq!(world.ok(deadline(MILLISECOND)), 0);
    assert_eq!(world.ok(sleep(5 * MILLISECOND)), 0, "the deadline was another chain's");
}

fn timeout_zero_forbids_waiting_for_an_event(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.room(8);
    world.fails(read(reader, memory, HERE).timeout(0), Errno::ETIMEDOUT);
    world.give(writer, b"abc");
    assert_eq!(world.ok(read(reader, memory, HERE).timeout(0)), 3, "nothing was lost");
    let poll = poll(reader, ouzel::abi::modifiers::PollEvents::IN);
    world.fails(poll.timeout(0), Errno::ETIMEDOUT);
}

fn timeout_zero_does_not_stop_work_on_files(world: &mut World) {
    let file = world.file("a", b"");
    let memory = world.put(b"abcdef");
    assert_eq!(world.ok(write(file, memory, 0).timeout(0)), 6);
    assert_eq!(world.ok(read(file, memory, 0).timeout(0)), 6);
    assert_eq!(world.ok(sync(file, ouzel::abi::modifiers::SyncMode::Full).timeout(0)), 0);
    let path = world.path("made");
    assert_eq!(world.ok(mkdir(path).timeout(0)), 0);
    assert_eq!(world.ok(close(file).timeout(0)), 0);
}

fn timeout_stops_a_waiting_read(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.room(8);
    let (all, time) = took(world, &[read(reader, memory, HERE).timeout(5 * MILLISECOND)]);
    assert_eq!(all[0].outcome(), Err(Errno::ETIMEDOUT));
    assert!(world.is_sim() || time >= Duration::from_millis(5), "early: {time:?}");
    world.give(writer, b"later");
    assert_eq!(world.take(reader, 8), b"later", "a read that timed out took nothing");
}

fn timeout_counts_from_dispatch(world: &mut World) {
    // The second member's time starts when the first is over.
    world.expect(
        &[sleep(30 * MILLISECOND).link(), sleep(MILLISECOND).timeout(20 * MILLISECOND)],
        &[Ok(0), Ok(0)],
    );
}

fn timeout_that_is_not_needed_changes_nothing(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(3);
    assert_eq!(world.ok(read(file, memory, 0).timeout(10_000 * MILLISECOND)), 3);
    assert_eq!(world.ok(close(file).timeout(10_000 * MILLISECOND)), 0);
    assert_eq!(world.descriptors(), 0);
}

fn finally_keeps_its_own_timeout(world: &mut World) {
    world.expect(
        &[get(1).link(), sleep(NEVER).finally().timeout(MILLISECOND).link(), get(2).finally()],
        &[Ok(1), Err(Errno::ETIMEDOUT), Ok(2)],
    );
}

//! Admission, credits, over-long and incomplete chains, and entering. Sections 7 and 13.

use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Entry, Errno};

use crate::World;
use crate::entry::*;
use crate::world::LIMIT;

crate::cases![
    queue_of_two_completions_never_overflows,
    queue_of_four_completions_never_overflows,
    unread_completions_press_back,
    cancel_gets_past_a_blocked_head,
    cancel_gets_past_a_blocked_head_again_and_again,
    credits_wait_for_a_whole_chain,
    incomplete_chain_is_reported_and_stays,
    submit_is_rounded_down_to_whole_chains,
    chain_as_long_as_allowed,
    chain_too_long_is_refused_to_its_end,
    chain_too_long_is_refused_across_enters,
    chain_of_thousands,
    enter_that_only_waits,
    enter_without_waiting_goes_on_whatever_is_unread,
    enter_timeout,
    enter_with_nothing_outstanding_returns,
    enter_counts_what_it_took_and_what_is_readable,
    full_submission_queue_is_refused_not_lost,
    silent_entries_hold_their_credit,
    slots_are_used_again_thousands_of_times,
];

/// Pushes entries as room comes, reading completions only `each` rounds, until all are over.
fn pump(
    world: &mut World,
    entries: impl IntoIterator<Item = Entry>,
    each: usize,
) -> Vec<ouzel::abi::Completion> {
    let mut all = Vec::new();
    let mut round = 0;
    let started = Instant::now();
    for entry in entries {
        while !world.try_push(entry) {
            round += 1;
            world.enter(u32::MAX, 1, Some(Duration::from_millis(1)));
            if round % each == 0 {
                all.extend(world.pop_all());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "no progress: {:?}", world.gauges());
        }
    }
    all.extend(world.settle());
    all
}

fn never_overflows(world: &mut World, completions: u64) {
    for entries in [1, 2, 8] {
        world.renew(|builder| builder.entries(entries).completions(completions));
        let all = pump(world, (0..200).map(|number| sleep(number % 3 * 1000).data(number)), 3);
        let mut seen: Vec<u64> = all.iter().map(|one| one.data).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<u64>>(), "each exactly once");
        assert!(all.iter().all(|one| one.error == 0));
    }
}

fn queue_of_two_completions_never_overflows(world: &mut World) {
    never_overflows(world, 2);
}

fn queue_of_four_completions_never_overflows(world: &mut World) {
    never_overflows(world, 4);
}

fn unread_completions_press_back(world: &mut World) {
    world.renew(|builder| builder.entries(16).completions(4));
    let entries: Vec<Entry> = (0..10).map(|number| get(number).data(number)).collect();
    world.push(&entries);
    let entered = world.enter(u32::MAX, 0, None);
    assert_eq!(entered.taken, 3, "one slot is kept for CANCEL");
    assert_eq!(world.enter(u32::MAX, 10, Some(Duration::ZERO)).taken, 0);
    let one = world.ring().pop().expect("a completion");
    assert_eq!(one.data, 0);
    assert_eq!(world.enter(u32::MAX, 0, None).taken, 1);
    let rest = world.settle();
    assert_eq!(rest.iter().map(|one| one.data).collect::<Vec<u64>>(), (1..10).collect::<Vec<u64>>());
}

fn cancel_gets_past_a_blocked_head(world: &mut World) {
    world.renew(|builder| builder.entries(8).completions(2));
    world.push(&[sleep(NEVER).data(1)]);
    world.enter(u32::MAX, 0, None);
    world.push(&[sleep(NEVER).data(2), get(7).link().data(3), get(8).data(4), cancel_data(1).data(5)]);
    let mut seen = Vec::new();
    let started = Instant::now();
    while seen.len() < 2 && started.elapsed() < LIMIT {
        world.enter(u32::MAX, 1, Some(Duration::from_millis(2)));
        seen.extend(world.pop_all().iter().map(|one| (one.data, one.errno())));
    }
    assert!(seen.contains(&(5, Errno::OK)) && seen.contains(&(1, Errno::ECANCELED)), "{seen:?}");
    // The chain of two is too long for this queue; the second sleep can be cancelled in the same way.
    world.push(&[cancel_data(2).data(6)]);
    seen.extend(world.settle().iter().map(|one| (one.data, one.errno())));
    for expected in [(2, Errno::ECANCELED), (3, Errno::E2BIG), (4, Errno::E2BIG), (6, Errno::OK)] {
        assert!(seen.contains(&expected), "{seen:?}");
    }
    assert_eq!(seen.len(), 6);
}

fn cancel_gets_past_a_blocked_head_again_and_again(world: &mut World) {
    world.renew(|builder| builder.entries(8).completions(4));
    world.push(&[sleep(NEVER).data(1), sleep(NEVER).data(2), sleep(NEVER).data(3), sleep(NEVER).data(4)]);
    world.enter(u32::MAX, 0, None);
    world.push(&[cancel_data(77).data(5), cancel_data(78).data(6), cancel_data(2).data(7)]);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(world.wait_any().iter().map(|one| (one.data, one.errno())));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    for expected in [(5, Errno::OK), (6, Errno::OK), (7, Errno::OK), (2, Errno::ECANCELED)] {
        assert!(seen.contains(&expected), "{seen:?}");
    }
    world.push(&[cancel_all().data(8)]);
    let all = world.settle();
    assert_eq!(all.len(), 4, "{all:#?}");
}

fn credits_wait_for_a_whole_chain(world: &mut World) {
    world.renew(|builder| builder.entries(8).completions(4));
    world.push(&[sleep(NEVER).data(1), get(0).link().data(2), get(0).link().data(3), get(0).data(4)]);
    assert_eq!(world.enter(u32::MAX, 0, None).taken, 1, "three slots are needed and two are free");
    assert!(world.linger().is_empty(), "a chain is admitted whole or not at all");
    assert_eq!(world.cancel(ouzel::engine::Target::All), 1);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2, 3, 4]);
}

fn incomplete_chain_is_reported_and_stays(world: &mut World) {
    world.push(&[get(1).data(1), get(2).link().data(2), get(3).hard().data(3)]);
    let entered = world.enter(u32::MAX, 0, None);
    assert_eq!((entered.taken, entered.incomplete, entered.readable), (1, 2, 1));
    let entered = world.enter(u32::MAX, 0, None);
    assert_eq!((entered.taken, entered.incomplete), (0, 2));
    world.push(&[get(4).data(4)]);
    let entered = world.enter(u32::MAX, 0, None);
    assert_eq!((entered.taken, entered.incomplete), (3, 0));
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2, 3, 4]);
    world.push(&[get(5).link().data(5)]);
    assert_eq!(world.enter(u32::MAX, 0, None).incomplete, 1);
    let all = world.teardown();
    assert_eq!(all.iter().map(|one| (one.data, one.errno())).collect::<Vec<_>>(), [(5, Errno::ECANCELED)]);
}

fn submit_is_rounded_down_to_whole_chains(world: &mut World) {
    world.push(&[
        get(1).data(1),
        get(2).link().data(2),
        get(3).link().data(3),
        get(4).data(4),
        get(5).data(5),
    ]);
    assert_eq!(world.enter(0, 0, None).taken, 0);
    assert_eq!(world.enter(3, 0, None).taken, 1);
    assert_eq!(world.enter(2, 0, None).taken, 0);
    assert_eq!(world.enter(3, 0, None).taken, 3);
    assert_eq!(world.enter(u32::MAX, 0, None).taken, 1);
    assert_eq!(world.settle().len(), 5);
}

fn long_chain(length: u64) -> Vec<Entry> {
    (0..length)
        .map(|number| {
            let entry = get(number).data(number);
            if number + 1 < length { entry.link() } else { entry }
        })
        .collect()
}

fn chain_as_long_as_allowed(world: &mut World) {
    for (entries, completions, longest) in [(8, 16, 8), (16, 8, 7), (4, 2, 1), (1, 2, 1)] {
        world.renew(|builder| builder.entries(entries).completions(completions));
        assert_eq!(u64::from(world.ring().limits().chain), longest);
        world.push(&long_chain(longest));
        let all = world.settle();
        assert!(all.iter().enumerate().all(|(at, one)| one.outcome() == Ok(at as u64)), "{all:#?}");
        assert_eq!(all.len() as u64, longest);
    }
}

fn chain_too_long_is_refused_to_its_end(world: &mut World) {
    world.renew(|builder| builder.entries(16).completions(8));
    let path = world.path("made");
    let mut entries = long_chain(8);
    entries[0] = mkdir(path).data(0).link();
    entries.push(get(9).data(9));
    world.push(&entries);
    let all = world.settle();
    assert_eq!(all.len(), 9);
    for one in &all {
        let expected = if one.data == 9 { Errno::OK } else { Errno::E2BIG };
        assert_eq!(one.errno(), expected, "{all:#?}");
    }
    world.fails(open(path, OpenFlags::READ), Errno::ENOENT);
}

fn chain_too_long_is_refused_across_enters(world: &mut World) {
    world.renew(|builder| builder.entries(4).completions(4));
    let entries = long_chain(100);
    let all = pump(world, entries.into_iter().chain([get(5).data(500)]), 1);
    assert_eq!(all.len(), 101);
    for one in &all {
        assert_eq!(one.errno(), if one.data == 500 { Errno::OK } else { Errno::E2BIG });
    }
    assert_eq!(world.ok(get(3)), 3, "the ring goes on");
    world.expect(&[get(1).link(), get(2)], &[Ok(1), Ok(2)]);
}

fn chain_of_thousands(world: &mut World) {
    world.renew(|builder| builder.entries(4096).completions(8192));
    for kind in 0..3 {
        let chain: Vec<Entry> = long_chain(4096)
            .into_iter()
            .map(|entry| match kind {
                0 => entry,
                1 => entry.finally(),
                _ => Entry { timeout: 0, op: 0, ..entry },
            })
            .collect();
        world.push(&chain);
        let all = world.settle();
        assert_eq!(all.len(), 4096);
        assert!(all.iter().enumerate().all(|(at, one)| one.data == at as u64));
        let successes = all.iter().filter(|one| one.error == 0).count();
        assert_eq!(successes, if kind == 2 { 0 } else { 4096 });
    }
}

fn enter_that_only_waits(world: &mut World) {
    world.start(&[sleep(5 * MILLISECOND).data(1), sleep(10 * MILLISECOND).data(2)]);
    let entered = world.enter(0, 1, None);
    assert!(entered.taken == 0 && entered.readable >= 1, "{entered:?}");
    assert_eq!(world.enter(0, 2, None).readable, 2);
    assert_eq!(world.pop_all().len(), 2);
}

fn enter_without_waiting_goes_on_whatever_is_unread(world: &mut World) {
    let (reader, writer) = world.pipe();
    let (room, text) = (world.room(4), world.put(b"abcd"));
    world.start(&[get(1).data(1)]);
    world.start(&[read(reader, room, HERE).data(2).link(), sleep(MILLISECOND).data(3)]);
    world.start(&[write(writer, text, HERE).data(4)]);
    // None of them is read before all are there.
    let started = Instant::now();
    while world.enter(0, 0, None).readable < 4 {
        assert!(started.elapsed() < crate::world::LIMIT, "it went no further: {:?}", world.gauges());
        std::thread::yield_now();
    }
    assert_eq!(world.pop_all().len(), 4);
}

fn enter_timeout(world: &mut World) {
    world.start(&[sleep(NEVER).data(1)]);
    let started = Instant::now();
    let entered = world.enter(0, 1, Some(Duration::from_millis(10)));
    assert_eq!(entered.readable, 0);
    assert!(world.is_sim() || started.elapsed() >= Duration::from_millis(10), "early");
    assert_eq!(world.enter(0, 1, Some(Duration::ZERO)).readable, 0);
    assert!(world.linger().is_empty(), "a timeout of enter touches no entry");
    let (reader, _writer) = {
        world.cancel(ouzel::engine::Target::All);
        world.settle();
        world.pipe()
    };
    let memory = world.room(4);
    world.start(&[read(reader, memory, HERE).data(2)]);
    let started = Instant::now();
    assert_eq!(world.enter(0, 1, Some(Duration::from_millis(10))).readable, 0);
    assert!(world.is_sim() || started.elapsed() >= Duration::from_millis(10), "early");
}

fn enter_with_nothing_outstanding_returns(world: &mut World) {
    assert_eq!(world.enter(0, 1, None).readable, 0);
    assert_eq!(world.enter(u32::MAX, 5, None).readable, 0);
    world.push(&[get(1).link()]);
    assert_eq!(world.enter(u32::MAX, 1, None).incomplete, 1, "an incomplete chain is nothing outstanding");
    world.push(&[get(2)]);
    assert_eq!(world.enter(u32::MAX, 7, None).readable, 2);
}

fn enter_counts_what_it_took_and_what_is_readable(world: &mut World) {
    world.push(&[get(1), get(2), get(3)]);
    let entered = world.enter(u32::MAX, 3, None);
    assert_eq!((entered.taken, entered.incomplete, entered.readable), (3, 0, 3));
    assert_eq!(world.enter(u32::MAX, 0, None).readable, 3);
    world.pop_all();
    assert_eq!(world.enter(u32::MAX, 0, None).readable, 0);
}

fn full_submission_queue_is_refused_not_lost(world: &mut World) {
    world.renew(|builder| builder.entries(2).completions(8));
    assert!(world.try_push(get(1).data(1)) && world.try_push(get(2).data(2)));
    assert!(!world.try_push(get(3).data(3)));
    assert_eq!(world.ring().room(), 0);
    let order: Vec<u64> = world.settle().iter().map(|one| one.data).collect();
    assert_eq!(order, [1, 2]);
    assert_eq!(world.ring().room(), 2);
}

fn silent_entries_hold_their_credit(world: &mut World) {
    world.renew(|builder| builder.entries(8).completions(4));
    world.push(&[
        sleep(NEVER).silent().data(1),
        sleep(NEVER).silent().data(2),
        sleep(NEVER).silent().data(3),
        get(4).data(4),
    ]);
    assert_eq!(world.enter(u32::MAX, 0, None).taken, 3);
    assert!(world.linger().is_empty());
    world.cancel(ouzel::engine::Target::Data(1));
    let mut all = world.settle_some(2);
    assert!(all.iter().any(|one| one.data == 4 && one.error == 0));
    world.cancel(ouzel::engine::Target::All);
    all.extend(world.settle());
    assert_eq!(all.len(), 4);
}

fn slots_are_used_again_thousands_of_times(world: &mut World) {
    world.file("a", b"0123456789");
    let (path, memory) = (world.path("a"), world.room(32 * 16));
    let mut chains = 0;
    while chains < 4000 {
        let mut entries = Vec::new();
        for number in 0..32 {
            entries.extend([
                open(path, OpenFlags::READ).local().save(0).link(),
                read(0, memory.part(number * 16, 16), 0).load(0, 0).link(),
                close(0).load(0, 0).finally(),
            ]);
            chains += 1;
        }
        let all = world.run(&entries);
        assert!(all.iter().all(|one| one.error == 0 && (one.data % 3 != 1 || one.result == 10)), "{all:#?}");
        assert_eq!(world.descriptors(), 1);
    }
}

//! Teardown: everything completes, and nothing stays open. Section 14.

use std::time::{Duration, Instant};

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Completion, Errno};

use crate::World;
use crate::entry::*;

crate::cases![
    teardown_completes_everything_in_flight,
    teardown_completes_what_was_not_taken,
    teardown_runs_finally_entries,
    teardown_of_more_than_the_queue_holds,
    teardown_of_an_idle_ring,
    teardown_past_its_bound,
    descriptors_come_back_to_none,
];

fn errors(all: &[Completion]) -> Vec<(u64, Errno)> {
    let mut found: Vec<_> = all.iter().map(|one| (one.data, one.errno())).collect();
    found.sort_by_key(|one| one.0);
    found
}

fn teardown_completes_everything_in_flight(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[
        read(reader, memory, HERE).data(1),
        sleep(NEVER).data(2),
        nop().timeout(NEVER - 1).data(3).hard(),
        get(4).data(4).silent(),
    ]);
    let all = errors(&world.teardown());
    assert_eq!(all, [1, 2, 3, 4].map(|data| (data, Errno::ECANCELED)));
}

fn teardown_completes_what_was_not_taken(world: &mut World) {
    world.push(&[get(1).data(1), get(2).data(2).link(), get(3).data(3).silent().link()]);
    assert_eq!(errors(&world.teardown()), [1, 2, 3].map(|data| (data, Errno::ECANCELED)));
}

fn teardown_runs_finally_entries(world: &mut World) {
    world.file("a", b"abc");
    let path = world.path("a");
    world.start(&[
        open(path, OpenFlags::READ).local().save(0).link().data(1),
        sleep(NEVER).link().data(2),
        close(0).load(0, 0).finally().link().data(3),
        sleep(MILLISECOND).finally().data(4),
    ]);
    assert_eq!(world.wait(1)[0].data, 1);
    let all = errors(&world.teardown());
    assert_eq!(all, [(2, Errno::ECANCELED), (3, Errno::OK), (4, Errno::OK)]);
}

fn teardown_of_more_than_the_queue_holds(world: &mut World) {
    world.renew(|builder| builder.entries(64).completions(4));
    for number in 0..64 {
        world.push(&[sleep(NEVER).data(number)]);
    }
    world.enter(u32::MAX, 0, None);
    let all = errors(&world.teardown());
    assert_eq!(all, (0..64).map(|data| (data, Errno::ECANCELED)).collect::<Vec<_>>());
}

fn teardown_of_an_idle_ring(world: &mut World) {
    world.ok(get(1));
    assert!(world.teardown().is_empty());
}

fn teardown_past_its_bound(world: &mut World) {
    let (reader, _writer) = world.pipe();
    let memory = world.room(8);
    world.start(&[
        get(1).data(1).link(),
        read(reader, memory, HERE).data(2).finally(),
        sleep(NEVER).data(3).link(),
        sleep(NEVER).data(4).finally(),
        sleep(NEVER).data(5),
    ]);
    assert_eq!(world.wait(1)[0].data, 1);
    let leaked = ouzel::leaked_operations();
    let (bound, started) = (Duration::from_millis(100), Instant::now());
    let (all, done) = world.teardown_past(bound);
    let took = started.elapsed();
    // No cancel reaches FINALLY entries. One was handed out and may still write; the other one only slept.
    assert_eq!(errors(&all), [3, 5].map(|data| (data, Errno::ECANCELED)));
    assert_eq!(done.leaked, 1);
    assert!(ouzel::leaked_operations() > leaked, "it is counted");
    assert!(took >= bound && took < crate::world::LIMIT, "{took:?}");
}

fn descriptors_come_back_to_none(world: &mut World) {
    let path = world.path("a");
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    for _ in 0..20 {
        let all = world.run(&[
            open(path, flags).local().save(0).link(),
            pipe(1).link(),
            socket(1, 1, 0).save(3).link(),
            close(0).load(0, 0).finally().link(),
            close(0).load(0, 1).finally().link(),
            close(0).load(0, 2).finally().link(),
            close(0).load(0, 3).finally(),
        ]);
        assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
        let gauges = world.gauges();
        assert_eq!(
            (gauges.descriptors, gauges.packets, gauges.chains, gauges.started, gauges.stored),
            (0, 0, 0, 0, 0)
        );
    }
}

//! WAKE: bells that are in several rings, rung in one and heard in another.

use ouzel::abi::modifiers::PollEvents;
use ouzel::abi::{Descriptor, Errno};

use crate::World;
use crate::entry::*;

crate::cases![
    wake_is_heard_by_read,
    wake_is_heard_by_poll,
    wake_is_heard_in_another_ring,
    wake_is_heard_again_and_again,
    wake_adds_up,
    wake_at_the_end_of_the_count_waits,
    wake_errors,
    bell_outlives_the_ring_that_made_it,
];

/// A bell that is in each of these rings.
fn bell(worlds: &mut [&mut World]) -> (ouzel::Bell, Vec<u64>) {
    let bell = worlds[0].ring().bell().expect("a bell");
    let adopted = worlds.iter_mut().map(|world| world.ring().adopt_bell(&bell).expect("adopted"));
    let numbers = adopted.map(Descriptor::number).collect();
    (bell, numbers)
}

#[track_caller]
fn count(world: &mut World, bell: u64) -> u64 {
    let bytes = world.take(bell, 8);
    u64::from_ne_bytes(bytes.try_into().expect("8 bytes"))
}

fn wake_is_heard_by_read(world: &mut World) {
    let (_bell, at) = bell(&mut [world]);
    let memory = world.room(8);
    world.fails(read(at[0], memory, HERE).timeout(0), Errno::ETIMEDOUT);
    world.start(&[read(at[0], memory, HERE).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[wake(at[0], 3).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(8)), "{all:#?}");
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(0) && one.extra == 0));
    assert_eq!(world.bytes(memory), 3u64.to_ne_bytes());
    world.fails(read(at[0], memory, HERE).timeout(0), Errno::ETIMEDOUT);
}

fn wake_is_heard_by_poll(world: &mut World) {
    let (_bell, at) = bell(&mut [world]);
    world.start(&[poll(at[0], PollEvents::IN).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[wake(at[0], 1).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(1)), "{all:#?}");
    assert_eq!(count(world, at[0]), 1, "POLL takes nothing");
}

fn wake_is_heard_in_another_ring(world: &mut World) {
    let mut other = World::new(&world.stage.clone());
    let (_bell, at) = bell(&mut [world, &mut other]);
    let memory = other.room(8);
    other.start(&[read(at[1], memory, HERE).data(1)]);
    assert!(other.linger().is_empty());
    assert_eq!(world.ok(wake(at[0], 7)), 0);
    let heard = other.wait(1);
    assert_eq!((heard[0].data, heard[0].outcome()), (1, Ok(8)));
    assert_eq!(other.bytes(memory), 7u64.to_ne_bytes());
}

fn wake_is_heard_again_and_again(world: &mut World) {
    let mut other = World::new(&world.stage.clone());
    let (bell, at) = bell(&mut [world, &mut other]);
    other.start(&[poll(at[1], PollEvents::IN).multishot().data(1)]);
    for turn in 0..3 {
        assert!(other.linger().is_empty());
        if turn == 2 {
            bell.ring();
        } else {
            world.ok(wake(at[0], 1));
        }
        let heard = other.wait_any();
        assert!(heard.iter().all(|one| one.data == 1 && one.has_more()), "{heard:#?}");
        assert_eq!(heard[0].result & 1, 1);
        let memory = other.room(8);
        other.start(&[read(at[1], memory, HERE).data(2)]);
        let taken = other.settle_some(1);
        assert!(taken.iter().any(|one| one.data == 2 && one.outcome() == Ok(8)), "{taken:#?}");
    }
    other.start(&[cancel_data(1).data(3)]);
    other.settle();
}

fn wake_adds_up(world: &mut World) {
    let (bell, at) = bell(&mut [world]);
    let all = world.run(&[
        wake(at[0], 1).local().link(),
        get(41).save(0).link(),
        get(at[0]).save(1).link(),
        wake(9, 9).load(0, 1).load(2, 0).timeout(0),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    bell.ring();
    assert_eq!(count(world, at[0]), 43);
}

fn wake_at_the_end_of_the_count_waits(world: &mut World) {
    let (_bell, at) = bell(&mut [world]);
    assert_eq!(world.ok(wake(at[0], u64::MAX - 1)), 0, "the largest count");
    world.fails(wake(at[0], 1).timeout(0), Errno::ETIMEDOUT);
    world.fails(wake(at[0], 1).timeout(10 * MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[wake(at[0], 2).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[cancel_descriptor(at[0]).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    world.start(&[wake(at[0], 2).data(1)]);
    assert!(world.linger().is_empty());
    let memory = world.room(8);
    world.start(&[read(at[0], memory, HERE).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(0)), "{all:#?}");
    assert_eq!(world.bytes(memory), (u64::MAX - 1).to_ne_bytes());
    assert_eq!(count(world, at[0]), 2);
}

fn wake_errors(world: &mut World) {
    let (_bell, at) = bell(&mut [world]);
    world.fails(wake(at[0], 0), Errno::EINVAL);
    world.fails(wake(at[0], u64::MAX), Errno::EINVAL);
    let file = world.file("a", b"");
    let (_reader, writer) = world.pipe();
    for one in [file, writer] {
        world.fails(wake(one, 1), Errno::EINVAL);
    }
    assert_eq!(world.contents(file, 0, 8), b"", "nothing was written");
    world.close(at[0]);
    world.fails(wake(at[0], 1), Errno::EBADF);
}

fn bell_outlives_the_ring_that_made_it(world: &mut World) {
    let (bell, at) = bell(&mut [world]);
    world.ok(wake(at[0], 5));
    world.close(at[0]);
    let mut other = World::new(&world.stage.clone());
    world.teardown();
    let again = other.ring().adopt_bell(&bell).expect("adopted").number();
    assert_eq!(count(&mut other, again), 5);
}

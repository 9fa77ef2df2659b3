//! FUTEX: waiting on words of memory, and waking who does.

use std::time::Duration;

use ouzel::BackendKind;
use ouzel::abi::Errno;
use ouzel::abi::modifiers::FutexFlags;

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    futex_wait_and_wake,
    futex_of_another_value,
    futex_wakes_as_many_as_asked,
    futex_wakes_only_its_word,
    futex_private_and_shared_are_apart,
    futex_times_out_and_is_cancelled,
    futex_cancel_takes_no_wake,
    futex_many_wait,
    futex_between_rings,
    futex_errors,
    futex_in_a_chain,
    futex_at_teardown,
];

fn word(world: &World, value: u32) -> Memory {
    world.put(&value.to_ne_bytes())
}

/// Sees to it that what was started sleeps. On the threads backend a thread has to get there first, which nobody tells.
#[track_caller]
fn asleep(world: &mut World) {
    assert!(world.linger().is_empty());
    if world.stage.backend == BackendKind::Threads {
        std::thread::sleep(Duration::from_millis(500));
        assert!(world.linger().is_empty());
    }
}

fn futex_wait_and_wake(world: &mut World) {
    let word = word(world, 5);
    assert_eq!(world.ok(futex_wake(word, 1)), 0, "nobody waits");
    world.start(&[futex_wait(word, 5).data(1)]);
    asleep(world);
    world.set(word, &6u32.to_ne_bytes());
    assert!(world.linger().is_empty(), "a change alone wakes nobody");
    world.start(&[futex_wake(word, 1).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(0) && one.extra == 0), "{all:#?}");
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(1)), "{all:#?}");
}

fn futex_of_another_value(world: &mut World) {
    let word = word(world, 5);
    for expected in [0, 4, 6, u64::from(u32::MAX)] {
        world.fails(futex_wait(word, expected), Errno::EAGAIN);
        world.fails(futex_wait(word, expected).timeout(0), Errno::EAGAIN);
        world.fails(futex_wait(word, expected).timeout(MILLISECOND), Errno::EAGAIN);
    }
    world.set(word, &u32::MAX.to_ne_bytes());
    world.fails(futex_wait(word, u64::from(u32::MAX)).timeout(0), Errno::ETIMEDOUT);
}

fn futex_wakes_as_many_as_asked(world: &mut World) {
    let word = word(world, 0);
    let waits: Vec<_> = (0..5).map(|data| futex_wait(word, 0).data(data)).collect();
    world.start(&waits);
    asleep(world);
    assert_eq!(world.ok_amid(futex_wake(word, 0).data(100)), 0, "no more than asked");
    for (count, woken) in [(1, 1), (2, 2), (u64::MAX, 2), (1, 0)] {
        world.start(&[futex_wake(word, count).data(100)]);
        let all = world.settle_some(1 + woken as usize);
        assert!(all.iter().any(|one| one.data == 100 && one.outcome() == Ok(woken)), "{all:#?}");
        assert_eq!(all.len(), 1 + woken as usize, "{all:#?}");
        assert!(all.iter().all(|one| one.errno() == Errno::OK));
    }
    assert_eq!(world.gauges().packets, 0);
}

impl World {
    /// Runs one entry while others are under way, and returns its result.
    #[track_caller]
    fn ok_amid(&mut self, entry: ouzel::abi::Entry) -> u64 {
        self.start(&[entry]);
        let all = self.settle_some(1);
        assert_eq!((all.len(), all[0].data, all[0].errno()), (1, entry.data, Errno::OK), "{all:#?}");
        all[0].result
    }
}

fn futex_wakes_only_its_word(world: &mut World) {
    let both = world.room(8);
    let (first, second) = (both.part(0, 4), both.part(4, 4));
    world.start(&[futex_wait(first, 0).data(1), futex_wait(second, 0).data(2)]);
    asleep(world);
    world.start(&[futex_wake(second, 9).data(3)]);
    let all = world.settle_some(2);
    assert!(all.iter().any(|one| one.data == 3 && one.outcome() == Ok(1)), "{all:#?}");
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(0)), "{all:#?}");
    world.start(&[futex_wake(first, 9).data(3)]);
    assert_eq!(world.settle().len(), 2);
}

fn futex_private_and_shared_are_apart(world: &mut World) {
    let word = word(world, 0);
    let shared = FutexFlags::SHARED.bits();
    world.start(&[futex_wait(word, 0).data(1), futex_wait(word, 0).arg(3, shared).data(2)]);
    asleep(world);
    for (flags, who) in [(shared, 2), (0, 1)] {
        let wake = futex_wake(word, 9).arg(3, FutexFlags::WAKE.bits() | flags);
        world.start(&[wake.data(3)]);
        let all = world.settle_some(2);
        assert!(all.iter().any(|one| one.data == 3 && one.outcome() == Ok(1)), "{all:#?}");
        assert!(all.iter().any(|one| one.data == who && one.outcome() == Ok(0)), "{all:#?}");
    }
}

fn futex_times_out_and_is_cancelled(world: &mut World) {
    let word = word(world, 0);
    world.fails(futex_wait(word, 0).timeout(0), Errno::ETIMEDOUT);
    world.fails(futex_wait(word, 0).timeout(20 * MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[futex_wait(word, 0).data(1)]);
    asleep(world);
    world.start(&[cancel_data(1).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    assert_eq!(world.ok(futex_wake(word, 9)), 0, "nobody is left");
}

fn futex_cancel_takes_no_wake(world: &mut World) {
    let word = word(world, 0);
    world.start(&[futex_wait(word, 0).data(1), futex_wait(word, 0).data(2)]);
    asleep(world);
    world.start(&[cancel_data(1).data(3)]);
    let all = world.settle_some(2);
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    assert!(world.linger().is_empty(), "the other sleeps on");
    world.start(&[futex_wake(word, 1).data(4)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 4 && one.outcome() == Ok(1)), "{all:#?}");
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(0)), "{all:#?}");
}

fn futex_many_wait(world: &mut World) {
    // As many as every backend can have; the threads backend has a thread for each.
    let word = word(world, 0);
    for _ in 0..2 {
        let waits: Vec<_> = (0..64).map(|data| futex_wait(word, 0).data(data)).collect();
        world.start(&waits[..32]);
        world.start(&waits[32..]);
        asleep(world);
        if world.stage.backend == BackendKind::Threads {
            world.start(&[futex_wait(word, 0).data(101)]);
            let all = world.settle_some(1);
            assert_eq!((all[0].data, all[0].errno()), (101, Errno::ENOBUFS), "one more");
        }
        world.start(&[futex_wake(word, 64).data(100)]);
        let all = world.settle();
        assert_eq!(all.len(), 65);
        assert!(all.iter().all(|one| one.errno() == Errno::OK), "{all:#?}");
        assert!(all.iter().any(|one| one.data == 100 && one.result == 64), "{all:#?}");
    }
}

fn futex_between_rings(world: &mut World) {
    if world.is_sim() {
        crate::table::skip("a simulator is a machine of its own");
    }
    let word = word(world, 0);
    let mut other = World::new(&world.stage.clone());
    // The memory is this world's, which outlives the other.
    other.start(&[futex_wait(word, 0).data(1)]);
    asleep(&mut other);
    assert_eq!(world.ok(futex_wake(word, 1)), 1);
    assert_eq!(other.settle()[0].outcome(), Ok(0));
    other.teardown();
}

fn futex_errors(world: &mut World) {
    let memory = world.room(12);
    for offset in [1, 2, 3] {
        world.fails(futex_wait(memory.part(offset, 4), 0).timeout(0), Errno::EINVAL);
        world.fails(futex_wake(memory.part(offset, 4), 1), Errno::EINVAL);
    }
    world.fails(futex_wait(memory, 1 << 32), Errno::EINVAL);
    world.fails(futex_wait(memory, u64::MAX), Errno::EINVAL);
    for flags in [4, 1 << 32, u64::MAX] {
        world.fails(futex_wait(memory, 0).arg(3, flags), Errno::EINVAL);
    }
    world.fails(futex_wait(memory, 0).multishot(), Errno::EINVAL);
    let region = u64::from(world.region(memory.part(0, 8))) << 48;
    world.fails(futex_wait(memory, 1).arg(1, region | 4), Errno::EAGAIN);
    world.fails(futex_wait(memory, 1).arg(1, region | 8), Errno::EFAULT);
    world.fails(futex_wait(memory, 1).arg(1, region | 5), Errno::EFAULT);
    world.fails(futex_wake(memory, 1).arg(1, region | 8), Errno::EFAULT);
    world.fails(futex_wait(Memory::NONE, 0), Errno::EFAULT);
    world.fails(futex_wait(memory, 0).load(1, 0), Errno::EINVAL);
}

fn futex_in_a_chain(world: &mut World) {
    let word = word(world, 7);
    world.start(&[
        get(7).local().save(0).link().data(1),
        futex_wait(word, 9).load(4, 0).link().data(2),
        get(1).data(3),
    ]);
    assert_eq!(world.wait(1)[0].data, 1);
    asleep(world);
    world.start(&[get(1).local().save(0).link().data(4), futex_wake(word, 9).load(2, 0).data(5)]);
    let all = world.settle();
    assert_eq!(all.iter().filter(|one| one.errno() == Errno::OK).count(), 4, "{all:#?}");
}

fn futex_at_teardown(world: &mut World) {
    let word = word(world, 0);
    world.start(&[futex_wait(word, 0).data(1)]);
    world.linger();
    let all = world.teardown();
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
}

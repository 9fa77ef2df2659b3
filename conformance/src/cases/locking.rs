//! LOCK: ranges of files that open descriptors hold.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{LockMode, OpenFlags};

use crate::World;
use crate::entry::*;

crate::cases![
    lock_belongs_to_the_descriptor,
    lock_shared_and_exclusive,
    lock_ranges_are_bytes,
    lock_to_the_end,
    lock_waits_until_it_is_given_back,
    lock_goes_with_its_descriptor,
    lock_times_out_and_is_cancelled,
    lock_is_changed_in_place,
    lock_errors,
    lock_limits,
    lock_and_unlock_in_a_chain,
];

const EXCLUSIVE: LockMode = LockMode::Exclusive;
const SHARED: LockMode = LockMode::Shared;
const UNLOCK: LockMode = LockMode::Unlock;

/// Two descriptors that have opened the same file.
fn two(world: &mut World) -> (u64, u64) {
    let first = world.file("a", b"0123456789");
    (first, world.open("a", OpenFlags::READ | OpenFlags::WRITE))
}

#[track_caller]
fn is_free(world: &mut World, file: u64, offset: u64, length: u64) -> bool {
    let one = world.one(lock(file, offset, length, EXCLUSIVE).timeout(0));
    match one.errno() {
        Errno::OK => {
            world.ok(lock(file, offset, length, UNLOCK));
            true
        }
        error => {
            assert_eq!(error, Errno::ETIMEDOUT);
            false
        }
    }
}

fn lock_belongs_to_the_descriptor(world: &mut World) {
    let (first, second) = two(world);
    assert_eq!(world.ok(lock(first, 0, 10, EXCLUSIVE)), 0);
    assert!(!is_free(world, second, 0, 10), "another descriptor of the same process is another owner");
    assert_eq!(world.ok(lock(first, 0, 10, EXCLUSIVE).timeout(0)), 0, "its own does not hinder it");
    assert_eq!(world.ok(lock(first, 0, 10, UNLOCK).timeout(0)), 0);
    assert!(is_free(world, second, 0, 10));
    assert_eq!(world.ok(lock(first, 0, 10, UNLOCK)), 0, "what is not held can be given back");
}

fn lock_shared_and_exclusive(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 0, 10, SHARED));
    assert_eq!(world.ok(lock(second, 0, 10, SHARED).timeout(0)), 0);
    world.fails(lock(second, 0, 10, EXCLUSIVE).timeout(0), Errno::ETIMEDOUT);
    world.ok(lock(first, 0, 10, UNLOCK));
    assert_eq!(world.ok(lock(second, 0, 10, EXCLUSIVE).timeout(0)), 0);
    world.fails(lock(first, 0, 10, SHARED).timeout(0), Errno::ETIMEDOUT);
}

fn lock_ranges_are_bytes(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 2, 3, EXCLUSIVE));
    assert!(is_free(world, second, 0, 2));
    assert!(is_free(world, second, 5, 10));
    for (offset, length) in [(0, 3), (2, 1), (4, 1), (4, 10), (0, 0), (0, 100)] {
        assert!(!is_free(world, second, offset, length), "{length} bytes at {offset}");
    }
    // A part that is given back leaves the two ends.
    world.ok(lock(first, 3, 1, UNLOCK));
    assert!(is_free(world, second, 3, 1));
    assert!(!is_free(world, second, 2, 1));
    assert!(!is_free(world, second, 4, 1));
}

fn lock_to_the_end(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 5, 0, EXCLUSIVE));
    assert!(is_free(world, second, 0, 5));
    assert!(!is_free(world, second, 5, 1));
    assert!(!is_free(world, second, 1 << 40, 1), "also where there is no file yet");
    assert!(!is_free(world, second, i64::MAX as u64 - 1, 1));
}

fn lock_waits_until_it_is_given_back(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 0, 10, EXCLUSIVE));
    world.start(&[lock(second, 0, 10, EXCLUSIVE).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[lock(first, 0, 10, UNLOCK).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(0)), "{all:#?}");
    assert!(!is_free(world, first, 0, 10));
    // One that is changed to shared lets others in.
    world.start(&[lock(first, 0, 10, SHARED).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[lock(second, 0, 10, SHARED).data(2)]);
    let all = world.settle();
    assert!(all.iter().all(|one| one.outcome() == Ok(0)), "{all:#?}");
}

fn lock_goes_with_its_descriptor(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 0, 0, EXCLUSIVE));
    world.start(&[lock(second, 0, 1, SHARED).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[close(first).data(2)]);
    let all = world.settle();
    assert!(all.iter().all(|one| one.outcome() == Ok(0)) && all.len() == 2, "{all:#?}");
}

fn lock_times_out_and_is_cancelled(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 0, 10, EXCLUSIVE));
    world.fails(lock(second, 0, 10, SHARED).timeout(0), Errno::ETIMEDOUT);
    world.fails(lock(second, 0, 10, SHARED).timeout(30 * MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[lock(second, 0, 10, SHARED).data(1), lock(second, 0, 10, SHARED).data(2)]);
    assert!(world.linger().is_empty());
    world.start(&[cancel_data(1).data(3)]);
    let all = world.settle_some(2);
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    world.start(&[lock(first, 0, 10, UNLOCK).data(4)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(0)), "{all:#?}");
    // What was given up holds nothing.
    world.ok(lock(second, 0, 10, UNLOCK));
    assert!(is_free(world, first, 0, 10));
}

fn lock_is_changed_in_place(world: &mut World) {
    let (first, second) = two(world);
    world.ok(lock(first, 0, 10, EXCLUSIVE));
    world.ok(lock(first, 0, 5, SHARED));
    assert_eq!(world.ok(lock(second, 0, 5, SHARED).timeout(0)), 0);
    world.fails(lock(second, 5, 1, SHARED).timeout(0), Errno::ETIMEDOUT);
    world.fails(lock(first, 0, 5, EXCLUSIVE).timeout(0), Errno::ETIMEDOUT);
    world.ok(lock(second, 0, 5, UNLOCK));
    world.fails(lock(second, 0, 1, EXCLUSIVE).timeout(0), Errno::ETIMEDOUT);
}

fn lock_errors(world: &mut World) {
    world.file("a", b"");
    let reading = world.open("a", OpenFlags::READ);
    let writing = world.open("a", OpenFlags::WRITE);
    let named = world.open("a", OpenFlags::PATH);
    world.fails(lock(reading, 0, 1, EXCLUSIVE), Errno::EBADF);
    world.fails(lock(writing, 0, 1, SHARED), Errno::EBADF);
    world.ok(lock(reading, 0, 1, UNLOCK));
    world.ok(lock(writing, 0, 1, UNLOCK));
    for mode in [SHARED, EXCLUSIVE, UNLOCK] {
        world.fails(lock(named, 0, 1, mode), Errno::EBADF);
    }
    for mode in [3, 4, u64::MAX] {
        world.fails(lock(reading, 0, 1, SHARED).arg(4, mode), Errno::EINVAL);
    }
    world.fails(lock(reading, 0, 1, SHARED).multishot(), Errno::EINVAL);
}

fn lock_limits(world: &mut World) {
    const LAST: u64 = i64::MAX as u64;
    let (first, second) = two(world);
    for (offset, length) in [(0, LAST), (LAST, 0), (LAST - 1, 1), (1, LAST - 1)] {
        world.ok(lock(first, offset, length, EXCLUSIVE));
        world.ok(lock(first, offset, length, UNLOCK));
    }
    for (offset, length) in
        [(1, LAST), (LAST, 1), (LAST + 1, 0), (0, LAST + 1), (u64::MAX, 0), (u64::MAX, u64::MAX)]
    {
        world.fails(lock(first, offset, length, EXCLUSIVE), Errno::EINVAL);
    }
    assert!(is_free(world, second, 0, 0));
}

fn lock_and_unlock_in_a_chain(world: &mut World) {
    let path = world.path("a");
    let (_, second) = two(world);
    let data = world.put(b"mine");
    let all = world.run(&[
        open(path, OpenFlags::WRITE).local().save(0).link(),
        get(4).save(1).link(),
        lock(0, 9, 9, EXCLUSIVE).arg(3, 0).load(0, 0).load(2, 1).link(),
        write(0, data, 0).load(0, 0).link(),
        close(0).load(0, 0).finally(),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    // A child that another case is just making may hold the descriptor a moment longer, and with it the lock.
    world.ok(lock(second, 0, 0, EXCLUSIVE));
    world.ok(lock(second, 0, 0, UNLOCK));
    assert_eq!(world.contents(second, 0, 20), b"mine456789");
}

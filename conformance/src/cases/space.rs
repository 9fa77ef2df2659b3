//! SYNC, TRUNCATE and ALLOCATE: the length of files and where they are kept.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{AllocateFlags, OpenFlags, SyncMode, Whence};

use crate::World;
use crate::entry::*;

crate::cases![
    sync_in_every_mode,
    sync_of_a_directory,
    sync_of_what_cannot_be_synced,
    sync_range_limits,
    truncate_shrinks_and_grows,
    truncate_keeps_the_position,
    truncate_errors,
    allocate_grows_unless_told,
    allocate_punches_holes,
    allocate_errors,
];

fn sync_in_every_mode(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(sync(file, SyncMode::Full)), 0);
    assert_eq!(world.ok(sync(file, SyncMode::Data)), 0);
    assert_eq!(world.ok(sync(file, SyncMode::Range)), 0);
    assert_eq!(world.ok(sync_range(file, 1, 1)), 0);
    assert_eq!(world.ok(sync_range(file, 100, 0)), 0);
    // Full and Data do not look at the range.
    assert_eq!(world.ok(sync(file, SyncMode::Full).arg(2, u64::MAX).arg(3, u64::MAX)), 0);
    for mode in [3, 4, u64::MAX] {
        world.fails(sync(file, SyncMode::Full).arg(4, mode), Errno::EINVAL);
    }
}

fn sync_of_a_directory(world: &mut World) {
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    assert_eq!(world.ok(sync(directory, SyncMode::Full)), 0);
    assert_eq!(world.ok(sync(directory, SyncMode::Data)), 0);
    assert_eq!(world.ok(sync_range(directory, 0, 0)), 0);
}

fn sync_of_what_cannot_be_synced(world: &mut World) {
    let (reader, _) = world.pipe();
    let socket = world.ok(socket(1, 1, 0));
    for object in [reader, socket] {
        world.fails(sync(object, SyncMode::Full), Errno::EINVAL);
        world.fails(sync(object, SyncMode::Data), Errno::EINVAL);
        world.fails(sync_range(object, 0, 0), Errno::EINVAL);
    }
}

fn sync_range_limits(world: &mut World) {
    let file = world.file("a", b"abc");
    world.fails(sync_range(file, i64::MAX as u64 + 1, 0), Errno::EINVAL);
    world.fails(sync_range(file, 1, i64::MAX as u64), Errno::EINVAL);
    world.fails(sync_range(file, u64::MAX, 1), Errno::EINVAL);
    world.fails(sync_range(file, 0, u64::MAX), Errno::EINVAL);
    assert_eq!(world.ok(sync_range(file, 0, i64::MAX as u64)), 0);
}

fn truncate_shrinks_and_grows(world: &mut World) {
    let file = world.file("a", b"0123456789");
    assert_eq!(world.ok(truncate(file, 4)), 0);
    assert_eq!(world.contents(file, 0, 20), b"0123");
    assert_eq!(world.ok(truncate(file, 8)), 0);
    assert_eq!(world.contents(file, 0, 20), b"0123\0\0\0\0", "what was cut off does not come back");
    assert_eq!(world.ok(truncate(file, 0)), 0);
    assert_eq!(world.contents(file, 0, 20), b"");
    assert_eq!(world.ok(truncate(file, 1 << 30)), 0);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 1 << 30);
}

fn truncate_keeps_the_position(world: &mut World) {
    let file = world.file("a", b"0123456789");
    world.ok(seek(file, 6, Whence::Start));
    world.ok(truncate(file, 3));
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 6);
    world.give(file, b"x");
    assert_eq!(world.contents(file, 0, 20), b"012\0\0\0x");
}

fn truncate_errors(world: &mut World) {
    let file = world.file("a", b"abc");
    world.fails(truncate(file, i64::MAX as u64 + 1), Errno::EINVAL);
    world.fails(truncate(file, u64::MAX), Errno::EINVAL);
    // tmpfs stores files up to the largest position there is.
    let one = world.one(truncate(file, i64::MAX as u64));
    assert!(matches!(one.errno(), Errno::OK | Errno::EFBIG), "{one:?}");
    let reading = world.open("a", OpenFlags::READ);
    world.fails(truncate(reading, 0), Errno::EINVAL);
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    world.fails(truncate(directory, 0), Errno::EINVAL);
    let (_, writer) = world.pipe();
    world.fails(truncate(writer, 0), Errno::EINVAL);
}

fn allocate_grows_unless_told(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(allocate(file, 0, 10, AllocateFlags::empty())), 0);
    assert_eq!(world.contents(file, 0, 20), b"abc\0\0\0\0\0\0\0");
    assert_eq!(world.ok(allocate(file, 0, 4, AllocateFlags::empty())), 0);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 10, "it never shrinks");
    assert_eq!(world.ok(allocate(file, 0, 100, AllocateFlags::KEEP_SIZE)), 0);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 10);
}

fn allocate_punches_holes(world: &mut World) {
    let file = world.file("a", &[b'x'; 20_000]);
    let punch = AllocateFlags::KEEP_SIZE | AllocateFlags::PUNCH_HOLE;
    assert_eq!(world.ok(allocate(file, 100, 10_000, punch)), 0);
    let found = world.contents(file, 0, 30_000);
    assert_eq!(found.len(), 20_000);
    let zeros = found.iter().enumerate().all(|(at, byte)| (*byte == 0) == (100..10_100).contains(&at));
    assert!(zeros, "exactly the range reads as zeros");
    assert_eq!(world.ok(allocate(file, 19_000, 100_000, punch)), 0);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 20_000);
}

fn allocate_errors(world: &mut World) {
    let file = world.file("a", b"abc");
    let none = AllocateFlags::empty();
    world.fails(allocate(file, 0, 0, none), Errno::EINVAL);
    world.fails(allocate(file, 0, 1, AllocateFlags::PUNCH_HOLE), Errno::EINVAL);
    for bits in [4, 8, u64::MAX] {
        world.fails(allocate(file, 0, 1, none).arg(4, bits), Errno::EINVAL);
    }
    world.fails(allocate(file, i64::MAX as u64 + 1, 1, none), Errno::EINVAL);
    world.fails(allocate(file, 0, i64::MAX as u64 + 1, none), Errno::EINVAL);
    world.fails(allocate(file, u64::MAX, u64::MAX, none), Errno::EINVAL);
    world.fails_any(allocate(file, i64::MAX as u64, 1, none), &[Errno::EFBIG, Errno::EINVAL]);
    let reading = world.open("a", OpenFlags::READ);
    world.fails(allocate(reading, 0, 1, none), Errno::EBADF);
    let (_, writer) = world.pipe();
    world.fails(allocate(writer, 0, 1, none), Errno::ESPIPE);
    let socket = world.ok(socket(1, 1, 0));
    world.fails(allocate(socket, 0, 1, none), Errno::ENODEV);
    assert_eq!(world.contents(file, 0, 9), b"abc");
}

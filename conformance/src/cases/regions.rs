//! Regions: payloads in memory that the engine was told of. Section 16.

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Errno, Payload};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    region_transfers_to_its_very_end,
    region_one_past_the_end,
    region_offsets_and_lengths_that_overflow,
    region_unknown,
    region_removed_and_given_out_again,
    region_paths,
    region_pieces,
    region_zero_refuses_addresses_out_of_range,
    region_length_is_checked_after_loading,
];

fn at(region: u16, offset: u64, length: u64) -> Memory {
    Memory { payload: Payload::new(region, offset).unwrap().number(), length }
}

fn region_transfers_to_its_very_end(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let memory = world.filled(16, b'#');
    let region = world.region(memory);
    assert_eq!(world.ok(read(file, at(region, 12, 4), 0)), 4);
    assert_eq!(world.ok(read(file, at(region, 0, 16), 0)), 10);
    assert_eq!(world.bytes(memory), b"0123456789##0123");
    assert_eq!(world.ok(write(file, at(region, 15, 1), 0)), 1);
    assert_eq!(world.ok(read(file, at(region, 16, 0), 0)), 0, "no bytes at the very end");
}

fn region_one_past_the_end(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let memory = world.filled(24, b'#');
    let region = world.region(memory.part(0, 16));
    for (offset, length) in [(0, 17), (13, 4), (16, 1), (17, 0), (17, 1)] {
        world.fails(read(file, at(region, offset, length), 0), Errno::EFAULT);
        world.fails(write(file, at(region, offset, length), 0), Errno::EFAULT);
    }
    assert_eq!(world.bytes(memory), [b'#'; 24]);
    assert_eq!(world.contents(file, 0, 20), b"0123456789");
}

fn region_offsets_and_lengths_that_overflow(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(16);
    let region = world.region(memory);
    for (offset, length) in [
        (1, u64::MAX),
        (0, u64::MAX),
        (Payload::MAX_OFFSET, 1),
        (Payload::MAX_OFFSET, u64::MAX),
        (8, 1 << 47),
    ] {
        world.fails(read(file, at(region, offset, length), 0), Errno::EFAULT);
    }
}

fn region_unknown(world: &mut World) {
    let file = world.file("a", b"abc");
    // All memory of a ring that a service serves is in its first.
    let first = if world.stage.is_scheme() { 2 } else { 1 };
    for region in [first, 2, 77, u16::MAX] {
        world.fails(read(file, at(region, 0, 1), 0), Errno::EFAULT);
        world.fails(open(at(region, 0, 2), OpenFlags::READ), Errno::EFAULT);
        world.fails(stat_of(file, at(region, 0, 256)), Errno::EFAULT);
    }
}

fn region_removed_and_given_out_again(world: &mut World) {
    let file = world.file("a", b"abc");
    let (first, second) = (world.room(8), world.room(4));
    let region = world.region(first);
    assert_eq!(world.ok(read(file, at(region, 0, 3), 0)), 3);
    assert!(world.remove_region(region));
    assert!(!world.remove_region(region));
    assert!(!world.remove_region(0));
    world.fails(read(file, at(region, 0, 3), 0), Errno::EFAULT);
    let again = world.region(second);
    world.fails(read(file, at(again, 0, 5), 0), Errno::EFAULT);
    assert_eq!(world.ok(read(file, at(again, 0, 4), 0)), 3);
    assert_eq!(world.bytes(second), b"abc\0");
}

fn region_paths(world: &mut World) {
    world.file("a", b"abc");
    let path = world.path("a");
    let region = world.region(path);
    world.ok(open(at(region, 0, path.length), OpenFlags::READ));
    world.fails(open(at(region, 0, path.length - 1), OpenFlags::READ), Errno::EINVAL);
    world.fails(open(at(region, 0, path.length + 1), OpenFlags::READ), Errno::EFAULT);
    world.fails(open(at(region, 1, path.length), OpenFlags::READ), Errno::EFAULT);
}

fn region_pieces(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let memory = world.room(16);
    let region = world.region(memory);
    let pieces = world.pieces(&[at(region, 8, 8), at(region, 0, 2)]);
    assert_eq!(world.ok(read_pieces(file, pieces, 2, 0)), 10);
    assert_eq!(world.bytes(memory), b"89\0\0\0\0\0\x0001234567");
    for bad in [at(region, 8, 9), at(region, 16, 1), at(region + 1, 0, 1)] {
        let pieces = world.pieces(&[at(region, 0, 1), bad]);
        world.fails(read_pieces(file, pieces, 2, 0), Errno::EFAULT);
    }
    let pieces = world.pieces(&[at(region, 0, 1); 4]);
    let array = world.region(pieces);
    assert_eq!(world.ok(read_pieces(file, at(array, 0, 0), 4, 0)), 4);
    world.fails(read_pieces(file, at(array, 16, 0), 4, 0), Errno::EFAULT);
    world.fails(read_pieces(file, at(array, 0, 0), 5, 0), Errno::EFAULT);
}

fn region_zero_refuses_addresses_out_of_range(world: &mut World) {
    let file = world.file("a", b"abc");
    let null = Memory { payload: 0, length: 1 };
    world.fails(read(file, null, 0), Errno::EFAULT);
    let last = Memory { payload: Payload::MAX_OFFSET, length: 2 };
    world.fails(read(file, last, 0), Errno::EFAULT);
}

fn region_length_is_checked_after_loading(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let memory = world.room(4);
    let region = world.region(memory);
    for (length, outcome) in [(4, Ok(4)), (5, Err(Errno::EFAULT)), (u64::MAX, Err(Errno::EFAULT))] {
        world.expect(
            &[get(length).local().save(0).link(), read(file, at(region, 0, 1), 0).load(2, 0)],
            &[Ok(length), outcome],
        );
    }
}

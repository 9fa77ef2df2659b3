//! Vectored READ and WRITE. Section 16 and the pages of READ and WRITE.

use ouzel::abi::Errno;

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    vectored_read_fills_pieces_in_order,
    vectored_write_takes_pieces_in_order,
    vectored_read_stops_at_the_end,
    vectored_without_pieces,
    vectored_with_empty_pieces,
    vectored_with_1024_pieces_and_one_past,
    vectored_array_is_read_at_dispatch,
    vectored_at_the_current_position,
    vectored_huge_counts_and_lengths,
    vectored_through_a_pipe,
    vectored_count_from_a_register,
];

fn vectored_read_fills_pieces_in_order(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let parts = [world.room(3), world.room(1), world.room(4)];
    let pieces = world.pieces(&parts);
    assert_eq!(world.ok(read_pieces(file, pieces, 3, 1)), 8);
    let found = parts.map(|part| world.bytes(part));
    assert_eq!(found, [b"123".to_vec(), b"4".to_vec(), b"5678".to_vec()]);
}

fn vectored_write_takes_pieces_in_order(world: &mut World) {
    let file = world.file("a", b"");
    let pieces = world.pieces(&[world.put(b"one "), world.put(b"two "), world.put(b"three")]);
    assert_eq!(world.ok(write_pieces(file, pieces, 3, 2)), 13);
    assert_eq!(world.contents(file, 0, 20), b"\0\0one two three");
}

fn vectored_read_stops_at_the_end(world: &mut World) {
    let file = world.file("a", b"01234");
    let parts = [world.filled(3, b'#'), world.filled(4, b'#'), world.filled(2, b'#')];
    let pieces = world.pieces(&parts);
    assert_eq!(world.ok(read_pieces(file, pieces, 3, 0)), 5);
    let found = parts.map(|part| world.bytes(part));
    assert_eq!(found, [b"012".to_vec(), b"34##".to_vec(), b"##".to_vec()]);
    assert_eq!(world.ok(read_pieces(file, pieces, 3, 5)), 0);
}

fn vectored_without_pieces(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(read_pieces(file, Memory::NONE, 0, 0)), 0);
    assert_eq!(world.ok(write_pieces(file, Memory::NONE, 0, 0)), 0);
    assert_eq!(world.contents(file, 0, 9), b"abc");
}

fn vectored_with_empty_pieces(world: &mut World) {
    let file = world.file("a", b"");
    let pieces = world.pieces(&[Memory::NONE, world.put(b"ab"), Memory::NONE, world.put(b"c"), Memory::NONE]);
    assert_eq!(world.ok(write_pieces(file, pieces, 5, 0)), 3);
    assert_eq!(world.contents(file, 0, 9), b"abc");
    let empty = world.pieces(&[Memory::NONE; 4]);
    assert_eq!(world.ok(read_pieces(file, empty, 4, 0)), 0);
}

fn vectored_with_1024_pieces_and_one_past(world: &mut World) {
    let file = world.file("a", b"");
    let bytes: Vec<u8> = (0..1025).map(|number| number as u8).collect();
    let memory = world.put(&bytes);
    let parts: Vec<Memory> = (0..1025).map(|at| memory.part(at, 1)).collect();
    let pieces = world.pieces(&parts);
    world.fails(write_pieces(file, pieces, 1025, 0), Errno::EINVAL);
    world.fails(read_pieces(file, pieces, 1025, 0), Errno::EINVAL);
    assert_eq!(world.contents(file, 0, 1), b"", "nothing was written");
    assert_eq!(world.ok(write_pieces(file, pieces, 1024, 0)), 1024);
    assert_eq!(world.contents(file, 0, 2000), bytes[..1024]);
    world.set(memory, &[0; 1025]);
    assert_eq!(world.ok(read_pieces(file, pieces, 1024, 0)), 1024);
    assert_eq!(world.bytes(memory.part(0, 1024)), bytes[..1024]);
}

fn vectored_array_is_read_at_dispatch(world: &mut World) {
    let (reader, writer) = world.pipe();
    let (used, unused) = (world.room(4), world.room(4));
    let pieces = world.pieces(&[used]);
    world.start(&[read_pieces(reader, pieces, 1, HERE).data(1)]);
    // The array has served its purpose; what it says now is of no account.
    let other = world.pieces(&[unused]);
    let other = world.bytes(other);
    world.set(pieces, &other);
    let data = world.put(b"data");
    world.start(&[write(writer, data, HERE).data(2)]);
    assert!(world.settle().iter().all(|one| one.outcome() == Ok(4)));
    assert_eq!(world.bytes(used), b"data");
    assert_eq!(world.bytes(unused), [0; 4]);
}

fn vectored_at_the_current_position(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let parts = [world.room(2), world.room(2)];
    let pieces = world.pieces(&parts);
    assert_eq!(world.ok(read_pieces(file, pieces, 2, HERE)), 4);
    assert_eq!(world.ok(read_pieces(file, pieces, 2, HERE)), 4);
    assert_eq!(world.bytes(parts[1]), b"67");
}

fn vectored_huge_counts_and_lengths(world: &mut World) {
    let file = world.file("a", b"abc");
    for count in [1 << 20, 1 << 60, u64::MAX] {
        world.fails_any(read_pieces(file, Memory::NONE, count, 0), &[Errno::EINVAL, Errno::EFAULT]);
    }
    let memory = world.room(8);
    let pieces = world.pieces(&[Memory { length: 1 << 48, ..memory }]);
    world.fails(read_pieces(file, pieces, 1, 0), Errno::EFAULT);
    let pieces = world.pieces(&[Memory { length: u64::MAX, ..memory }]);
    world.fails(read_pieces(file, pieces, 1, 0), Errno::EFAULT);
    // Together more than one transfer moves; the file has three bytes only.
    let pieces = world.pieces(&[Memory { length: 0x7fff_f000, ..memory }; 3]);
    assert_eq!(world.ok(read_pieces(file, pieces, 3, 0)), 3);
}

fn vectored_through_a_pipe(world: &mut World) {
    let (reader, writer) = world.pipe();
    let pieces = world.pieces(&[world.put(b"ab"), world.put(b"cde")]);
    assert_eq!(world.ok(write_pieces(writer, pieces, 2, HERE)), 5);
    let parts = [world.room(1), world.room(10)];
    let pieces = world.pieces(&parts);
    assert_eq!(world.ok(read_pieces(reader, pieces, 2, HERE)), 5);
    assert_eq!(world.bytes(parts[1].part(0, 4)), b"bcde");
}

fn vectored_count_from_a_register(world: &mut World) {
    let file = world.file("a", b"0123");
    let parts = [world.room(1), world.room(1)];
    let pieces = world.pieces(&parts);
    world.expect(
        &[get(2).local().save(4).link(), read_pieces(file, pieces, 0, 0).load(2, 4)],
        &[Ok(2), Ok(2)],
    );
    world.fails(read_pieces(file, pieces, 2, 0).load(1, 0), Errno::EINVAL);
}

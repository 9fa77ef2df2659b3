//! READ and WRITE of regular files: positions, ends, holes, limits and errors. The pages of READ and WRITE.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, Whence};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    read_at_offset,
    read_at_the_end_is_zero,
    read_of_length_zero,
    read_touches_only_what_it_read,
    read_moves_the_current_position_only_when_asked,
    read_needs_a_readable_descriptor,
    read_of_a_directory,
    read_of_nothing_is_judged_all_the_same,
    read_offset_limits,
    read_huge_length_is_shortened,
    read_unknown_modifier,
    write_at_offset_and_holes,
    write_at_current_position,
    write_of_length_zero,
    write_appends_whatever_the_offset,
    write_needs_a_writable_descriptor,
    write_offset_limits,
    write_unknown_modifier,
    write_then_read_in_one_chain,
    descriptors_of_one_file_share_content_not_position,
    descriptors_of_path_kind_transfer_nothing,
];

const RW: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

fn read_at_offset(world: &mut World) {
    let file = world.file("a", b"0123456789");
    for (offset, length, expected) in
        [(0, 10, "0123456789"), (3, 4, "3456"), (8, 10, "89"), (9, 1, "9"), (0, 1, "0")]
    {
        let memory = world.room(length);
        let count = world.ok(read(file, memory, offset));
        assert_eq!(world.bytes(memory.part(0, count)), expected.as_bytes());
    }
}

fn read_at_the_end_is_zero(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(4);
    for offset in [3, 4, 1 << 40, i64::MAX as u64 - 4] {
        assert_eq!(world.ok(read(file, memory, offset)), 0);
    }
    world.ok(seek(file, 0, Whence::End));
    assert_eq!(world.ok(read(file, memory, HERE)), 0);
    let empty = world.file("b", b"");
    assert_eq!(world.ok(read(empty, memory, 0)), 0);
}

fn read_of_length_zero(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(read(file, Memory::NONE, 0)), 0);
    assert_eq!(world.ok(read(file, Memory::NONE, HERE)), 0);
    assert_eq!(world.ok(read(file, Memory::NONE, 100)), 0);
}

fn read_touches_only_what_it_read(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.filled(8, b'#');
    assert_eq!(world.ok(read(file, memory.part(1, 6), 0)), 3);
    assert_eq!(world.bytes(memory), b"#abc####");
}

fn read_moves_the_current_position_only_when_asked(world: &mut World) {
    let file = world.file("a", b"0123456789");
    assert_eq!(world.take(file, 3), b"012", "writing at an offset did not move it");
    assert_eq!(world.contents(file, 7, 2), b"78");
    assert_eq!(world.take(file, 3), b"345");
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 6);
    assert_eq!(world.take(file, 10), b"6789");
    assert_eq!(world.take(file, 10), b"");
}

fn read_needs_a_readable_descriptor(world: &mut World) {
    let only = world.open("a", OpenFlags::WRITE | OpenFlags::CREATE);
    let memory = world.room(4);
    world.fails(read(only, memory, 0), Errno::EBADF);
    world.fails(read(only, memory, HERE), Errno::EBADF);
}

fn read_of_nothing_is_judged_all_the_same(world: &mut World) {
    let (none, room) = (world.room(0), world.room(4));
    let vector = world.pieces(&[none, none]);
    let empty = world.pieces(&[]);
    let path = world.path("d");
    world.ok(mkdir(path));
    for flags in [OpenFlags::READ, OpenFlags::READ | OpenFlags::DIRECTORY] {
        let directory = world.open("d", flags);
        for offset in [0, 7, HERE] {
            world.fails(read(directory, none, offset), Errno::EISDIR);
            world.fails(read_pieces(directory, vector, 2, offset), Errno::EISDIR);
            world.fails(read_pieces(directory, empty, 0, offset), Errno::EISDIR);
            world.expect(
                &[read(directory, none, offset).link(), get(1)],
                &[Err(Errno::EISDIR), Err(Errno::ECANCELED)],
            );
        }
        world.close(directory);
    }
    // Also where it is opened in the same chain.
    let errors = world.errors(&[
        open(path, OpenFlags::READ).local().save(0).link(),
        read(0, none, 0).load(0, 0).link(),
        get(1).link(),
        close(0).load(0, 0).finally(),
    ]);
    assert_eq!(errors, [Errno::OK, Errno::EISDIR, Errno::ECANCELED, Errno::OK]);
    let file = world.file("a", b"abc");
    for entry in [read(file, none, 0), read(file, none, 99), read_pieces(file, vector, 2, 0)] {
        assert_eq!(world.ok(entry), 0);
    }
    let writer = world.open("a", OpenFlags::WRITE);
    world.fails(read(writer, none, 0), Errno::EBADF);
    let (reader, other) = world.pipe();
    assert_eq!(world.ok(read(reader, none, HERE)), 0, "it waits for nothing");
    assert_eq!(world.ok(read(reader, none, HERE).timeout(0)), 0);
    world.fails(read(reader, none, 0), Errno::ESPIPE);
    world.fails(read(other, none, HERE), Errno::EBADF);
    world.give(other, b"xy");
    assert_eq!(world.ok(read(reader, none, HERE)), 0);
    assert_eq!(world.ok(read(reader, room, HERE)), 2, "nothing was taken away");
}

fn read_of_a_directory(world: &mut World) {
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    let memory = world.room(64);
    world.fails(read(directory, memory, 0), Errno::EISDIR);
    world.fails(read(directory, memory, HERE), Errno::EISDIR);
}

fn read_offset_limits(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(1);
    assert_eq!(world.ok(read(file, memory, i64::MAX as u64 - 1)), 0);
    world.fails(read(file, memory, i64::MAX as u64 + 1), Errno::EINVAL);
    world.fails(read(file, memory, u64::MAX - 1), Errno::EINVAL);
}

fn read_huge_length_is_shortened(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(8);
    // Only the engine looks at the length; the file has three bytes, so that no more than those are written.
    for length in [0x7fff_f000, 0x7fff_f001, 1 << 33] {
        assert_eq!(world.ok(read(file, memory, 0).arg(2, length)), 3);
    }
    for length in [1 << 48, u64::MAX] {
        world.fails(read(file, memory, 0).arg(2, length), Errno::EFAULT);
    }
}

fn read_unknown_modifier(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.room(4);
    for bits in [2, 4, 1 << 32, u64::MAX] {
        world.fails(read(file, memory, 0).arg(4, bits), Errno::EINVAL);
    }
}

fn write_at_offset_and_holes(world: &mut World) {
    let file = world.file("a", b"");
    let memory = world.put(b"xyz");
    assert_eq!(world.ok(write(file, memory, 100_000)), 3);
    assert_eq!(world.ok(write(file, memory, 1)), 3);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 100_003);
    assert_eq!(world.contents(file, 0, 8), b"\0xyz\0\0\0\0");
    assert_eq!(world.contents(file, 50_000, 4), [0; 4], "a hole reads as zeros");
    assert_eq!(world.contents(file, 99_999, 10), b"\0xyz");
}

fn write_at_current_position(world: &mut World) {
    let file = world.file("a", b"");
    world.give(file, b"abc");
    world.give(file, b"def");
    assert_eq!(world.contents(file, 0, 10), b"abcdef");
    let memory = world.put(b"!");
    world.ok(write(file, memory, 0));
    world.give(file, b"ghi");
    assert_eq!(world.contents(file, 0, 10), b"!bcdefghi");
}

fn write_of_length_zero(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(write(file, Memory::NONE, 10)), 0);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 3, "nothing was written, so nothing grew");
}

fn write_appends_whatever_the_offset(world: &mut World) {
    world.file("a", b"abc");
    let file = world.open("a", RW | OpenFlags::APPEND);
    let memory = world.put(b"xy");
    assert_eq!(world.ok(write(file, memory, 0)), 2);
    assert_eq!(world.ok(write(file, memory, HERE)), 2);
    assert_eq!(world.contents(file, 0, 10), b"abcxyxy");
}

fn write_needs_a_writable_descriptor(world: &mut World) {
    world.file("a", b"abc");
    let file = world.open("a", OpenFlags::READ);
    let memory = world.put(b"xy");
    world.fails(write(file, memory, 0), Errno::EBADF);
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    world.fails(write(directory, memory, 0), Errno::EBADF);
}

fn write_offset_limits(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.put(b"xy");
    world.fails(write(file, memory, i64::MAX as u64 + 1), Errno::EINVAL);
    world.fails(write(file, memory, u64::MAX - 1), Errno::EINVAL);
    // Beyond what any file system stores; where the end passes the largest position, Linux says EINVAL.
    world.fails_any(write(file, memory, i64::MAX as u64), &[Errno::EFBIG, Errno::EINVAL]);
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 3);
}

fn write_unknown_modifier(world: &mut World) {
    let file = world.file("a", b"abc");
    let memory = world.put(b"xy");
    for bits in [2, 3, 1 << 63] {
        world.fails(write(file, memory, 0).arg(4, bits), Errno::EINVAL);
    }
}

fn write_then_read_in_one_chain(world: &mut World) {
    let path = world.path("a");
    let (from, to) = (world.put(b"through the file"), world.room(32));
    let all = world.run(&[
        open(path, RW | OpenFlags::CREATE).local().save(0).link(),
        write(0, from, 0).load(0, 0).save(1).link(),
        read(0, to, 0).load(0, 0).load(2, 1).link(),
        close(0).load(0, 0).finally(),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    assert_eq!(all[2].result, from.length, "the length came from a register");
    assert_eq!(world.bytes(to.part(0, from.length)), b"through the file");
    assert_eq!(world.descriptors(), 0);
}

fn descriptors_of_one_file_share_content_not_position(world: &mut World) {
    let first = world.file("a", b"abcdef");
    let second = world.open("a", OpenFlags::READ);
    assert_ne!(first, second);
    assert_eq!(world.take(first, 4), b"abcd");
    assert_eq!(world.take(second, 2), b"ab");
    let memory = world.put(b"XY");
    world.ok(write(first, memory, 2));
    assert_eq!(world.take(second, 10), b"XYef");
}

fn descriptors_of_path_kind_transfer_nothing(world: &mut World) {
    world.file("a", b"abc");
    let path = world.open("a", OpenFlags::PATH);
    let memory = world.room(4);
    world.fails(read(path, memory, 0), Errno::EBADF);
    world.fails(write(path, memory, 0), Errno::EBADF);
    world.fails(seek(path, 0, Whence::Start), Errno::EBADF);
    world.fails(poll(path, ouzel::abi::modifiers::PollEvents::IN), Errno::EBADF);
    world.fails(sync(path, ouzel::abi::modifiers::SyncMode::Full), Errno::EBADF);
    let record = world.room(256);
    assert_eq!(world.ok(stat_of(path, record)), 0);
    world.close(path);
}

//! COPY between files, pipes and sockets in any mix.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{OpenFlags, Whence};

use crate::World;
use crate::cases::sockets::pair;
use crate::entry::*;

crate::cases![
    copy_between_files,
    copy_moves_current_positions_by_what_was_copied,
    copy_within_one_file,
    copy_to_a_file_that_appends,
    copy_ends_with_the_source,
    copy_in_every_mix,
    copy_waits_for_a_pipe,
    copy_with_timeout_zero,
    copy_large,
    copy_errors,
    copy_to_a_closed_pipe,
    copy_length_from_a_register,
];

fn copy_between_files(world: &mut World) {
    let source = world.file("a", b"0123456789");
    let target = world.file("b", b"##########");
    assert_eq!(world.ok(copy(source, 2, target, 5, 3)), 3);
    assert_eq!(world.contents(target, 0, 20), b"#####234##");
    assert_eq!(world.ok(copy(source, 0, target, 12, 2)), 2);
    assert_eq!(world.contents(target, 0, 20), b"#####234##\0\x0001");
    assert_eq!(world.ok(copy(source, 0, target, 0, 0)), 0);
    assert_eq!(world.ok(seek(source, 0, Whence::Current)), 0, "offsets leave positions alone");
    assert_eq!(world.ok(seek(target, 0, Whence::Current)), 0);
}

fn copy_moves_current_positions_by_what_was_copied(world: &mut World) {
    let source = world.file("a", b"0123456789");
    let target = world.file("b", b"");
    world.ok(seek(source, 4, Whence::Start));
    assert_eq!(world.ok(copy(source, HERE, target, HERE, 3)), 3);
    assert_eq!(world.ok(seek(source, 0, Whence::Current)), 7);
    assert_eq!(world.ok(seek(target, 0, Whence::Current)), 3);
    assert_eq!(world.ok(copy(source, HERE, target, 0, 100)), 3);
    assert_eq!(world.ok(seek(target, 0, Whence::Current)), 3);
    assert_eq!(world.contents(target, 0, 20), b"789");
}

fn copy_within_one_file(world: &mut World) {
    let file = world.file("a", b"0123456789");
    assert_eq!(world.ok(copy(file, 0, file, 5, 5)), 5);
    assert_eq!(world.contents(file, 0, 20), b"0123401234");
    world.fails(copy(file, 0, file, 2, 5), Errno::EINVAL);
    assert_eq!(world.ok(copy(file, 8, file, 3, 100)), 2, "only what there is to be copied can overlap");
    assert_eq!(world.ok(copy(file, 50, file, 50, 10)), 0);
}

fn copy_to_a_file_that_appends(world: &mut World) {
    let source = world.file("a", b"0123456789");
    world.file("b", b"##");
    let target = world.open("b", OpenFlags::READ | OpenFlags::WRITE | OpenFlags::APPEND);
    assert_eq!(world.ok(copy(source, 2, target, HERE, 3)), 3);
    assert_eq!(world.contents(target, 0, 20), b"##234");
}

fn copy_ends_with_the_source(world: &mut World) {
    let source = world.file("a", b"0123");
    let target = world.file("b", b"");
    assert_eq!(world.ok(copy(source, 2, target, 0, 1 << 40)), 2);
    assert_eq!(world.ok(copy(source, 4, target, 0, 10)), 0);
    assert_eq!(world.ok(copy(source, 1 << 40, target, 0, 10)), 0);
}

fn copy_in_every_mix(world: &mut World) {
    // Each source holds ten bytes and ends then; each target is read from its other end.
    for source_kind in 0..3 {
        for target_kind in 0..3 {
            let name = format!("{source_kind}{target_kind}");
            let source = match source_kind {
                0 => {
                    let file = world.file(&format!("s{name}"), b"0123456789");
                    world.ok(seek(file, 0, Whence::Start));
                    file
                }
                1 => {
                    let (reader, writer) = world.pipe();
                    world.give(writer, b"0123456789");
                    world.close(writer);
                    reader
                }
                _ => {
                    let (near, far) = pair(world, &format!("p{name}"));
                    world.give(near, b"0123456789");
                    world.close(near);
                    far
                }
            };
            let (target, other) = match target_kind {
                0 => {
                    let file = world.file(&format!("t{name}"), b"");
                    (file, None)
                }
                1 => {
                    let (reader, writer) = world.pipe();
                    (writer, Some(reader))
                }
                _ => {
                    let (near, far) = pair(world, &format!("q{name}"));
                    (near, Some(far))
                }
            };
            assert_eq!(world.ok(copy(source, HERE, target, HERE, 4)), 4, "{name}");
            assert_eq!(world.ok(copy(source, HERE, target, HERE, 100)), 6, "{name}");
            assert_eq!(world.ok(copy(source, HERE, target, HERE, 100)), 0, "{name}");
            let found = match other {
                None => world.contents(target, 0, 20),
                Some(other) => world.take(other, 20),
            };
            assert_eq!(found, b"0123456789", "{name}");
            for descriptor in [Some(source), Some(target), other].into_iter().flatten() {
                world.close(descriptor);
            }
        }
    }
}

fn copy_waits_for_a_pipe(world: &mut World) {
    let (reader, writer) = world.pipe();
    let target = world.file("a", b"");
    world.start(&[copy(reader, HERE, target, 0, 4).data(1)]);
    assert!(world.linger().is_empty());
    let data = world.put(b"ab");
    world.start(&[write(writer, data, HERE).data(2)]);
    assert_eq!(world.wait(1)[0].data, 2);
    assert!(world.linger().is_empty(), "it goes on until the length is reached");
    world.start(&[write(writer, data, HERE).data(3)]);
    assert!(world.settle().iter().any(|one| one.data == 1 && one.outcome() == Ok(4)));
    // After progress a cancel gives the bytes.
    world.start(&[copy(reader, HERE, target, 0, 4).data(1)]);
    world.start(&[write(writer, data, HERE).data(2)]);
    world.wait(1);
    world.linger();
    world.start(&[cancel_data(1).data(4)]);
    assert!(world.settle().iter().any(|one| one.data == 1 && one.outcome() == Ok(2)));
}

fn copy_with_timeout_zero(world: &mut World) {
    let (reader, writer) = world.pipe();
    let target = world.file("a", b"");
    world.fails(copy(reader, HERE, target, 0, 4).timeout(0), Errno::ETIMEDOUT);
    world.give(writer, b"ab");
    assert_eq!(world.ok(copy(reader, HERE, target, 0, 4).timeout(0)), 2, "progress is told");
    let source = world.file("b", b"abcd");
    assert_eq!(world.ok(copy(source, 0, target, 0, 4).timeout(0)), 4);
}

fn copy_large(world: &mut World) {
    let bytes: Vec<u8> = (0..300_000u32).map(|at| (at * 7 % 251) as u8).collect();
    let source = world.file("a", &bytes);
    let target = world.file("b", b"");
    assert_eq!(world.ok(copy(source, 1, target, 3, 299_000)), 299_000);
    assert_eq!(world.contents(target, 3, 400_000), bytes[1..299_001]);
    assert_eq!(world.ok(copy(source, 0, target, 0, u64::MAX)), 300_000);
}

fn copy_errors(world: &mut World) {
    let file = world.file("a", b"abc");
    let target = world.file("b", b"");
    let (reading, writing) = (world.open("a", OpenFlags::READ), world.open("a", OpenFlags::WRITE));
    world.fails(copy(writing, 0, target, 0, 1), Errno::EBADF);
    world.fails(copy(file, 0, reading, 0, 1), Errno::EBADF);
    world.fails(copy(writing, 0, target, 0, 0), Errno::EBADF);
    world.fails(copy(file, 0, reading, 0, 0), Errno::EBADF);
    let named = world.open("a", OpenFlags::PATH);
    world.fails(copy(named, 0, target, 0, 1), Errno::EBADF);
    world.fails(copy(file, 0, named, 0, 1), Errno::EBADF);
    world.fails(copy(0, 0, target, 0, 1), Errno::EBADF);
    world.fails(copy(file, 0, 0, 0, 1), Errno::EBADF);
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    world.fails(copy(directory, 0, target, 0, 1), Errno::EISDIR);
    world.fails(copy(directory, 0, target, 0, 0), Errno::EISDIR);
    for offset in [i64::MAX as u64 + 1, u64::MAX - 1] {
        world.fails(copy(file, offset, target, 0, 1), Errno::EINVAL);
        world.fails(copy(file, 0, target, offset, 1), Errno::EINVAL);
    }
    let (reader, writer) = world.pipe();
    world.give(writer, b"x");
    world.fails(copy(reader, 0, target, 0, 1), Errno::ESPIPE);
    world.fails(copy(file, 0, writer, 0, 1), Errno::ESPIPE);
    world.fails(copy(writer, HERE, target, 0, 1), Errno::EBADF);
    world.fails(copy(file, 0, reader, HERE, 1), Errno::EBADF);
}

fn copy_to_a_closed_pipe(world: &mut World) {
    let file = world.file("a", b"abc");
    let (reader, writer) = world.pipe();
    world.close(reader);
    world.fails(copy(file, 0, writer, HERE, 3), Errno::EPIPE);
}

fn copy_length_from_a_register(world: &mut World) {
    let (source, target) = (world.file("a", b"0123456789"), world.file("b", b""));
    let all = world.run(&[
        get(source).local().save(0).link(),
        get(1).save(1).link(),
        get(4).save(2).link(),
        get(2).save(3).link(),
        get(target).save(4).link(),
        copy(9, 9, 9, 9, 9).load(0, 0).load(1, 1).load(2, 2).load(3, 3).load(4, 4),
    ]);
    assert_eq!(all[5].outcome(), Ok(4));
    assert_eq!(world.contents(target, 0, 20), b"\x002345");
}

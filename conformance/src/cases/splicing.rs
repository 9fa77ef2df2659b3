//! SPLICE: between a pipe and something else, as much as is there and fits.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{LockMode, NodeKind, OpenFlags, Whence};

use crate::World;
use crate::cases::sockets::pair;
use crate::entry::*;

const BOTH: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

crate::cases![
    splice_from_a_file_to_a_pipe,
    splice_from_a_pipe_to_a_file,
    splice_between_pipes_and_sockets,
    splice_with_a_fifo_opened_for_both,
    splice_moves_what_is_there,
    splice_ends_with_its_source,
    splice_waits_for_data,
    splice_waits_for_room,
    splice_times_out_and_is_cancelled,
    splice_errors,
    splice_to_a_closed_pipe,
    splice_takes_everything_from_registers,
    what_is_tried_again_ends_at_teardown,
];

fn splice_from_a_file_to_a_pipe(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let (reader, writer) = world.pipe();
    assert_eq!(world.ok(splice(file, 2, writer, HERE, 3)), 3);
    assert_eq!(world.take(reader, 20), b"234");
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 0, "an offset leaves the position alone");
    assert_eq!(world.ok(splice(file, HERE, writer, HERE, 4).timeout(0)), 4);
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 4);
    assert_eq!(world.ok(splice(file, HERE, writer, HERE, 100)), 6);
    assert_eq!(world.take(reader, 20), b"0123456789");
}

fn splice_from_a_pipe_to_a_file(world: &mut World) {
    let file = world.file("a", b"##########");
    let (reader, writer) = world.pipe();
    world.give(writer, b"0123456789");
    assert_eq!(world.ok(splice(reader, HERE, file, 4, 3)), 3);
    assert_eq!(world.contents(file, 0, 20), b"####012###");
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 0);
    assert_eq!(world.ok(splice(reader, HERE, file, HERE, 2)), 2);
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 2);
    assert_eq!(world.contents(file, 0, 20), b"34##012###");
    assert_eq!(world.take(reader, 20), b"56789", "the rest stays");
}

fn splice_between_pipes_and_sockets(world: &mut World) {
    let (first, second) = (world.pipe(), world.pipe());
    world.give(first.1, b"pipes");
    assert_eq!(world.ok(splice(first.0, HERE, second.1, HERE, 100)), 5);
    assert_eq!(world.take(second.0, 20), b"pipes");
    let (near, far) = pair(world, "s");
    world.give(first.1, b"to a socket");
    assert_eq!(world.ok(splice(first.0, HERE, near, HERE, 100)), 11);
    assert_eq!(world.take(far, 20), b"to a socket");
    world.give(far, b"from a socket");
    assert_eq!(world.ok(splice(near, HERE, second.1, HERE, 4)), 4);
    assert_eq!(world.take(second.0, 20), b"from");
    assert_eq!(world.take(near, 20), b" a socket");
}

fn splice_with_a_fifo_opened_for_both(world: &mut World) {
    let (path, other_path) = (world.path("p"), world.path("q"));
    world.ok(mknod(path, NodeKind::Fifo, 0));
    world.ok(mknod(other_path, NodeKind::Fifo, 0));
    let (fifo, again) = (world.open("p", BOTH), world.open("p", BOTH));
    let other = world.open("q", BOTH);
    let file = world.file("a", b"0123456789");
    // To and from a file, and between two of them.
    assert_eq!(world.ok(splice(file, 2, fifo, HERE, 3)), 3);
    assert_eq!(world.ok(splice(fifo, HERE, other, HERE, 100)), 3);
    assert_eq!(world.ok(splice(other, HERE, file, 0, 2)), 2);
    assert_eq!(world.contents(file, 0, 20), b"2323456789");
    assert_eq!(world.take(other, 20), b"4");
    // With ends of pipes and sockets.
    let (reader, writer) = world.pipe();
    world.give(writer, b"abc");
    assert_eq!(world.ok(splice(reader, HERE, fifo, HERE, 100)), 3);
    let (near, far) = pair(world, "s");
    assert_eq!(world.ok(splice(fifo, HERE, near, HERE, 2)), 2);
    assert_eq!(world.take(far, 20), b"ab");
    assert_eq!(world.ok(splice(fifo, HERE, writer, HERE, 100)), 1);
    assert_eq!(world.take(reader, 20), b"c");
    // It is one pipe, however often it is opened, and has no offsets.
    world.give(fifo, b"x");
    world.fails(splice(fifo, HERE, fifo, HERE, 1), Errno::EINVAL);
    world.fails(splice(fifo, HERE, again, HERE, 1), Errno::EINVAL);
    world.fails(splice(fifo, 0, file, 0, 1), Errno::ESPIPE);
    world.fails(splice(file, 0, fifo, 0, 1), Errno::ESPIPE);
    assert_eq!(world.take(again, 20), b"x", "nothing was taken");
    // Its own other side keeps it from ending, so it waits for data; and for room.
    world.fails(splice(fifo, HERE, file, 0, 1).timeout(0), Errno::ETIMEDOUT);
    world.start(&[splice(fifo, HERE, file, 0, 10).data(1)]);
    assert!(world.linger().is_empty());
    let late = world.put(b"late");
    world.start(&[write(again, late, HERE).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(4)), "{all:#?}");
    let fill = world.filled(65_536, 1);
    assert_eq!(world.ok(write(fifo, fill, HERE)), 65_536);
    world.fails(splice(file, 0, fifo, HERE, 1).timeout(0), Errno::ETIMEDOUT);
    world.start(&[splice(file, 0, fifo, HERE, 4).data(1)]);
    assert!(world.linger().is_empty());
    let drain = world.room(65_536);
    world.start(&[read(again, drain, HERE).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(4)), "{all:#?}");
    assert_eq!(world.take(fifo, 20), b"late");
}

fn splice_moves_what_is_there(world: &mut World) {
    let (first, second) = (world.pipe(), world.pipe());
    world.give(first.1, b"0123");
    assert_eq!(world.ok(splice(first.0, HERE, second.1, HERE, 0)), 0);
    assert_eq!(world.ok(splice(first.0, HERE, second.1, HERE, 1 << 40)), 4, "it does not wait for more");
    assert_eq!(world.take(second.0, 20), b"0123");
}

fn splice_ends_with_its_source(world: &mut World) {
    let file = world.file("a", b"0123");
    let (reader, writer) = world.pipe();
    assert_eq!(world.ok(splice(file, 4, writer, HERE, 10)), 0);
    assert_eq!(world.ok(splice(file, 1 << 40, writer, HERE, 10)), 0);
    let other = world.pipe();
    world.close(writer);
    assert_eq!(world.ok(splice(reader, HERE, other.1, HERE, 10)), 0);
    assert_eq!(world.ok(splice(reader, HERE, file, 0, 10).timeout(0)), 0);
    let (near, far) = pair(world, "s");
    world.close(near);
    assert_eq!(world.ok(splice(far, HERE, other.1, HERE, 10)), 0);
}

fn splice_waits_for_data(world: &mut World) {
    let (reader, writer) = world.pipe();
    let (near, far) = pair(world, "s");
    let other = world.pipe();
    let file = world.file("a", b"");
    for (source, feed, target) in
        [(reader, writer, other.1), (near, far, other.1), (reader, writer, near), (reader, writer, file)]
    {
        world.start(&[splice(source, HERE, target, HERE, 100).data(1)]);
        assert!(world.linger().is_empty());
        let data = world.put(b"late");
        world.start(&[write(feed, data, HERE).data(2)]);
        let all = world.settle();
        assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(4)), "{all:#?}");
    }
    assert_eq!(world.take(other.0, 20), b"latelate");
    assert_eq!(world.take(far, 20), b"late");
    assert_eq!(world.contents(file, 0, 20), b"late");
}

fn splice_waits_for_room(world: &mut World) {
    let (reader, writer) = world.pipe();
    let fill = world.filled(65_536, 1);
    assert_eq!(world.ok(write(writer, fill, HERE)), 65_536);
    let file = world.file("a", b"xyz");
    let other = world.pipe();
    world.give(other.1, b"xyz");
    world.fails(splice(file, 0, writer, HERE, 3).timeout(0), Errno::ETIMEDOUT);
    world.fails(splice(other.0, HERE, writer, HERE, 3).timeout(0), Errno::ETIMEDOUT);
    world.start(&[splice(file, 0, writer, HERE, 3).data(1)]);
    assert!(world.linger().is_empty());
    let drain = world.room(65_536);
    world.start(&[read(reader, drain, HERE).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(3)), "{all:#?}");
    assert_eq!(world.take(reader, 20), b"xyz");
}

fn splice_times_out_and_is_cancelled(world: &mut World) {
    let (first, second) = (world.pipe(), world.pipe());
    let file = world.file("a", b"");
    for target in [second.1, file] {
        let entry = splice(first.0, HERE, target, HERE, 10);
        world.fails(entry.timeout(0), Errno::ETIMEDOUT);
        world.fails(entry.timeout(20 * MILLISECOND), Errno::ETIMEDOUT);
        world.start(&[entry.data(1)]);
        assert!(world.linger().is_empty());
        world.start(&[cancel_descriptor(first.0).data(2)]);
        let all = world.settle();
        assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED), "{all:#?}");
    }
    world.give(first.1, b"kept");
    assert_eq!(world.take(first.0, 20), b"kept", "what was given up has taken nothing");
}

fn splice_errors(world: &mut World) {
    let file = world.file("a", b"abc");
    let other = world.file("b", b"");
    let (reader, writer) = world.pipe();
    world.give(writer, b"x");
    world.fails(splice(file, 0, other, 0, 3), Errno::EINVAL);
    world.fails(splice(reader, HERE, writer, HERE, 3), Errno::EINVAL);
    world.fails(splice(writer, HERE, file, 0, 1), Errno::EBADF);
    world.fails(splice(file, 0, reader, HERE, 1), Errno::EBADF);
    let (writing, reading) = (world.open("a", OpenFlags::WRITE), world.open("b", OpenFlags::READ));
    world.fails(splice(writing, 0, writer, HERE, 1), Errno::EBADF);
    world.fails(splice(reader, HERE, reading, 0, 1), Errno::EBADF);
    let named = world.open("a", OpenFlags::PATH);
    world.fails(splice(named, 0, writer, HERE, 1), Errno::EBADF);
    world.fails(splice(reader, HERE, named, 0, 1), Errno::EBADF);
    let appending = world.open("a", OpenFlags::WRITE | OpenFlags::APPEND);
    world.fails(splice(reader, HERE, appending, HERE, 1), Errno::EINVAL);
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    world.fails(splice(directory, HERE, writer, HERE, 1), Errno::EINVAL);
    world.fails(splice(reader, 0, file, 0, 1), Errno::ESPIPE);
    world.fails(splice(file, 0, writer, 0, 1), Errno::ESPIPE);
    let (near, _far) = pair(world, "s");
    world.fails(splice(reader, HERE, near, 0, 1), Errno::ESPIPE);
    world.fails(splice(near, 0, writer, HERE, 1), Errno::ESPIPE);
    for offset in [i64::MAX as u64 + 1, u64::MAX - 1] {
        world.fails(splice(file, offset, writer, HERE, 1), Errno::EINVAL);
        world.fails(splice(reader, HERE, file, offset, 1), Errno::EINVAL);
    }
    world.fails(splice(0, 0, writer, HERE, 1), Errno::EBADF);
    world.fails(splice(file, 0, 0, HERE, 1), Errno::EBADF);
    assert_eq!(world.take(reader, 20), b"x", "nothing was taken");
}

fn splice_to_a_closed_pipe(world: &mut World) {
    let file = world.file("a", b"abc");
    let (reader, writer) = world.pipe();
    world.close(reader);
    world.fails(splice(file, 0, writer, HERE, 3), Errno::EPIPE);
}

fn splice_takes_everything_from_registers(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let (reader, writer) = world.pipe();
    let all = world.run(&[
        get(file).local().save(0).link(),
        get(HERE).save(1).link(),
        get(4).save(2).link(),
        get(3).save(3).link(),
        get(writer).save(4).link(),
        splice(9, 9, 9, 9, 9).load(0, 0).load(1, 1).load(2, 2).load(3, 3).load(4, 4),
    ]);
    assert_eq!(all[5].outcome(), Ok(4), "{all:#?}");
    assert_eq!(world.take(reader, 20), b"3456");
}

fn what_is_tried_again_ends_at_teardown(world: &mut World) {
    let ((reader, writer), (_other, into)) = (world.pipe(), world.pipe());
    let file = world.file("a", b"");
    let again = world.open("a", OpenFlags::WRITE);
    world.ok(lock(file, 0, 0, LockMode::Exclusive));
    let bell = world.ring().bell().expect("a bell");
    let bell = world.ring().adopt_bell(&bell).expect("adopted").number();
    world.ok(wake(bell, u64::MAX - 1));
    world.start(&[
        splice(reader, HERE, into, HERE, 1).data(1),
        splice(reader, HERE, again, HERE, 1).data(2),
        lock(again, 0, 1, LockMode::Exclusive).data(3),
        wake(bell, 1).data(4),
        // Behind what waits for ever nothing runs; what must run does.
        lock(again, 0, 1, LockMode::Exclusive).data(5).link(),
        close(writer).data(6).link(),
        close(reader).data(7).finally(),
    ]);
    assert!(world.linger().is_empty());
    let all = world.teardown();
    let of = |data: u64| all.iter().find(|one| one.data == data).map(|one| one.errno());
    for data in 1..=6 {
        assert_eq!(of(data), Some(Errno::ECANCELED), "{data}: {all:#?}");
    }
    assert_eq!(of(7), Some(Errno::OK), "{all:#?}");
}

//! PIPE, and how reads and writes of pipes wait and end.

use ouzel::abi::Errno;

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    pipe_saves_both_ends,
    pipe_needs_two_registers,
    pipe_writes_ends_through_to_the_ring,
    pipe_needs_two_free_indices,
    pipe_carries_bytes_in_order,
    pipe_read_waits_for_data,
    pipe_read_ends_when_nobody_writes,
    pipe_write_without_a_reader,
    pipe_write_waits_for_room,
    pipe_write_without_room_and_timeout_zero,
    pipe_ends_are_one_way,
    pipe_transfers_of_length_zero,
    pipe_has_no_offsets,
    pipe_chain_through_both_ends,
];

fn pipe_saves_both_ends(world: &mut World) {
    for register in 0..6 {
        let all = world.run(&[
            pipe(register).local().link(),
            get(0).load(0, register).link(),
            get(0).load(0, register + 1).link(),
            close(0).load(0, register).link(),
            close(0).load(0, register + 1),
        ]);
        assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
        assert_eq!(all[0].result, all[1].result);
        assert_ne!(all[1].result, all[2].result);
        assert_eq!(all[0].extra, 0);
    }
    assert_eq!(world.descriptors(), 0);
}

fn pipe_needs_two_registers(world: &mut World) {
    world.fails(pipe(6), Errno::EINVAL);
    world.fails(pipe(6).local(), Errno::EINVAL);
    let mut without = pipe(0);
    without.flags = 0;
    world.fails(without, Errno::EINVAL);
    assert_eq!(world.descriptors(), 0);
}

fn pipe_writes_ends_through_to_the_ring(world: &mut World) {
    world.ring().set_register(3, 1);
    world.ring().set_register(4, 2);
    let reader = world.ok(pipe(2));
    assert_eq!(world.ring().register(2), Some(reader));
    let writer = world.ring().register(3).unwrap();
    assert_eq!(world.ring().register(4), Some(2), "no third register is touched");
    world.give(writer, b"x");
    assert_eq!(world.take(reader, 4), b"x");
}

fn pipe_needs_two_free_indices(world: &mut World) {
    world.renew_table(3);
    let (reader, writer) = world.pipe();
    world.fails(pipe(0), Errno::EMFILE);
    assert_eq!(world.descriptors(), 2);
    world.close(reader);
    world.pipe();
    world.fails(pipe(0), Errno::EMFILE);
    world.close(writer);
}

fn pipe_carries_bytes_in_order(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.give(writer, b"abc");
    world.give(writer, b"def");
    assert_eq!(world.take(reader, 4), b"abcd");
    assert_eq!(world.take(reader, 4), b"ef");
}

fn pipe_read_waits_for_data(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.room(16);
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty(), "a read of an empty pipe waits");
    let data = world.put(b"late");
    world.start(&[write(writer, data, HERE).data(2)]);
    let all = world.settle();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one.outcome() == Ok(4)), "{all:#?}");
    assert_eq!(world.bytes(memory.part(0, 4)), b"late");
}

fn pipe_read_ends_when_nobody_writes(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.give(writer, b"last");
    let memory = world.room(16);
    world.close(writer);
    assert_eq!(world.take(reader, 16), b"last");
    assert_eq!(world.ok(read(reader, memory, HERE)), 0);
    let (reader, writer) = world.pipe();
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[close(writer).data(2)]);
    assert!(world.settle().iter().all(|one| one.outcome() == Ok(0)));
}

fn pipe_write_without_a_reader(world: &mut World) {
    let (reader, writer) = world.pipe();
    world.close(reader);
    let data = world.put(b"x");
    world.fails(write(writer, data, HERE), Errno::EPIPE);
}

/// Fills a pipe until a write that may not wait finds no room.
fn fill(world: &mut World, writer: u64) -> u64 {
    let data = world.filled(4096, b'x');
    let mut total = 0;
    loop {
        let one = world.one(write(writer, data, HERE).timeout(0));
        match one.outcome() {
            Ok(count) => total += count,
            Err(error) => {
                assert_eq!(error, Errno::ETIMEDOUT);
                return total;
            }
        }
        assert!(total <= 1 << 24, "a pipe without an end");
    }
}

fn pipe_write_waits_for_room(world: &mut World) {
    let (reader, writer) = world.pipe();
    let total = fill(world, writer);
    let data = world.filled(4096, b'y');
    world.start(&[write(writer, data, HERE).data(1)]);
    assert!(world.linger().is_empty(), "a write to a full pipe waits");
    let memory = world.room(total as usize);
    world.start(&[read(reader, memory, HERE).data(2)]);
    let all = world.settle();
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one.error == 0 && one.result > 0), "{all:#?}");
}

fn pipe_write_without_room_and_timeout_zero(world: &mut World) {
    let (reader, writer) = world.pipe();
    let total = fill(world, writer);
    let mut count = 0;
    let memory = world.room(1 << 16);
    while count < total {
        count += world.ok(read(reader, memory, HERE));
    }
    assert_eq!(count, total, "what ended with ETIMEDOUT had moved nothing");
    world.fails(read(reader, memory, HERE).timeout(0), Errno::ETIMEDOUT);
}

fn pipe_ends_are_one_way(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.put(b"x");
    world.fails(write(reader, memory, HERE), Errno::EBADF);
    world.fails(read(writer, memory, HERE), Errno::EBADF);
}

fn pipe_transfers_of_length_zero(world: &mut World) {
    let (reader, writer) = world.pipe();
    assert_eq!(world.ok(write(writer, Memory::NONE, HERE)), 0);
    assert_eq!(world.ok(read(reader, Memory::NONE, HERE)), 0);
}

fn pipe_has_no_offsets(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.put(b"x");
    for offset in [0, 1, i64::MAX as u64] {
        world.fails(read(reader, memory, offset), Errno::ESPIPE);
        world.fails(write(writer, memory, offset), Errno::ESPIPE);
    }
    world.fails_any(read(reader, memory, u64::MAX - 1), &[Errno::EINVAL, Errno::ESPIPE]);
}

fn pipe_chain_through_both_ends(world: &mut World) {
    let (from, to) = (world.put(b"in one crossing"), world.room(32));
    let all = world.run(&[
        pipe(0).local().link(),
        write(0, from, HERE).load(0, 1).save(2).link(),
        read(0, to, HERE).load(0, 0).load(2, 2).link(),
        close(0).load(0, 0).finally().link(),
        close(0).load(0, 1).finally(),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    assert_eq!(world.bytes(to.part(0, from.length)), b"in one crossing");
    assert_eq!(world.descriptors(), 0);
}

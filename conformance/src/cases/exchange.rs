//! Objects that come into the ring from outside and go out again, and rings that move. Section 15; DESIGN has them as
//! `adopt`, `release` and movable rings.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use ouzel::abi::modifiers::OpenFlags;
use ouzel::abi::{Descriptor, Errno};
use ouzel::{Buffer, Chain, Error, Movable, Offset, OpenOptions, Ring};

use crate::World;
use crate::entry::*;

crate::cases![
    adopted_files_are_used_and_released,
    adopted_pipes_behave_as_blocking_ones,
    adopted_directories_are_directories,
    adopting_needs_room_in_the_table,
    releasing_needs_an_idle_descriptor,
    released_files_are_ordinary_ones,
    rings_move_between_threads,
];

fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    match result {
        Err(Error::Refused { errno, .. }) => errno,
        other => panic!("it should have been refused: {other:?}"),
    }
}

fn adopted_files_are_used_and_released(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    let mut file =
        File::options().read(true).write(true).create_new(true).open(world.name("a")).expect("a file");
    file.write_all(b"0123456789").expect("a write");
    let adopted = world.ring().adopt(file.into()).expect("adopt");
    let number = adopted.number();
    assert_eq!(world.descriptors(), 1);
    // It brings its position along.
    let text = world.put(b"ab");
    assert_eq!(world.ok(write(number, text, HERE)), 2);
    assert_eq!(world.ok(write(number, text, 0)), 2);
    assert_eq!(world.contents(number, 0, 20), b"ab23456789ab");
    let released = world.ring().release(adopted).expect("release");
    assert_eq!(world.descriptors(), 0);
    world.fails(close(number), Errno::EBADF);
    assert_eq!(errno(world.ring().release(adopted)), Errno::EBADF);
    let mut file = File::from(released);
    file.write_all(b"!").expect("a write");
    assert_eq!(std::fs::read(world.name("a")).expect("a read"), b"ab23456789ab!");
    // Taken in again it has another name.
    let again = world.ring().adopt(file.into()).expect("adopt");
    assert_ne!(again, adopted);
    world.close(again.number());
}

fn adopted_pipes_behave_as_blocking_ones(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
    let reader = world.ring().adopt(reader).expect("adopt").number();
    let memory = world.room(8);
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty(), "it waits, whatever O_NONBLOCK says");
    File::from(writer).write_all(b"data").expect("a write");
    assert_eq!(world.wait(1)[0].outcome(), Ok(4));
    world.fails(read(reader, memory, 0), Errno::ESPIPE);
    assert_eq!(world.ok(read(reader, memory, HERE)), 0, "the other end is gone");
    world.close(reader);
}

fn adopted_directories_are_directories(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    world.file("a", b"abc");
    let directory = File::open(world.name("")).expect("a directory");
    let directory = world.ring().adopt(directory.into()).expect("adopt").number();
    let path = world.text("a");
    let file = world.ok(open(path, OpenFlags::READ).arg(0, directory));
    assert_eq!(world.contents(file, 0, 9), b"abc");
    let room = world.room(1024);
    assert!(world.ok(readdir(directory, room)) > 0);
    world.fails(read(directory, room, HERE), Errno::EISDIR);
    world.close(directory);
}

fn adopting_needs_room_in_the_table(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    world.renew_table(2);
    let null = || OwnedFd::from(File::open("/dev/null").expect("/dev/null"));
    let first = world.ring().adopt(null()).expect("adopt");
    let second = world.ring().adopt(null()).expect("adopt");
    assert_eq!(errno(world.ring().adopt(null())), Errno::EMFILE);
    assert_eq!(world.descriptors(), 2);
    drop(world.ring().release(first).expect("release"));
    let third = world.ring().adopt(null()).expect("adopt");
    assert_ne!(first, third);
    for descriptor in [second, third] {
        world.close(descriptor.number());
    }
}

fn releasing_needs_an_idle_descriptor(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    let (reader, writer) = world.pipe();
    let memory = world.room(4);
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty());
    let descriptor = Descriptor::from_number(reader).expect("a descriptor");
    assert_eq!(errno(world.ring().release(descriptor)), Errno::EBUSY);
    let text = world.put(b"abcd");
    world.start(&[write(writer, text, HERE).data(2)]);
    assert!(world.wait(2).iter().all(|one| one.outcome() == Ok(4)));
    drop(world.ring().release(descriptor).expect("release"));
    world.fails(read(reader, memory, HERE), Errno::EBADF);
    let text = world.put(b"x");
    world.fails(write(writer, text, HERE), Errno::EPIPE);
    let dead = Descriptor::new(7, 60).expect("a descriptor");
    assert_eq!(errno(world.ring().release(dead)), Errno::EBADF);
}

fn released_files_are_ordinary_ones(world: &mut World) {
    if world.is_sim() {
        return simulated_objects_stay_inside(world);
    }
    let file = world.file("a", b"0123456789");
    assert_eq!(world.take(file, 4), b"0123");
    let released = world.ring().release(Descriptor::from_number(file).expect("a descriptor"));
    let mut file = File::from(released.expect("release"));
    let flags = rustix::fs::fcntl_getfl(&file).expect("flags");
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "nobody else expects that");
    let mut rest = String::new();
    file.read_to_string(&mut rest).expect("a read");
    assert_eq!(rest, "456789", "it takes its position along");
}

/// What the simulator does instead: it has no objects that could come in or go out.
fn simulated_objects_stay_inside(world: &mut World) {
    let null = File::open("/dev/null").expect("/dev/null");
    assert_eq!(errno(world.ring().adopt(null.into())), Errno::EOPNOTSUPP);
    assert_eq!(world.descriptors(), 0);
    let file = world.file("a", b"abc");
    let descriptor = Descriptor::from_number(file).expect("a descriptor");
    assert_eq!(errno(world.ring().release(descriptor)), Errno::EOPNOTSUPP);
    assert_eq!(world.contents(file, 0, 9), b"abc", "it is still there");
}

fn rings_move_between_threads(world: &mut World) {
    let mut ring: Ring<Movable> = world.stage.builder().build_movable().expect("a movable ring");
    let path = world.name("moved");
    let (from, to) = ring.pipe().expect("a pipe");
    let mut chain = Chain::new();
    let read = chain.read(from, Buffer::with_capacity(16), Offset::CURRENT);
    let ticket = ring.submit(chain).expect("submit");
    ring.flush().expect("flush");
    // It begins to wait on one thread, is fed on a second and ends on a third.
    let ring = std::thread::spawn(move || {
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::write().create());
        chain.write(file, &b"moved"[..], Offset::START);
        chain.write(to, &b"through"[..], Offset::CURRENT);
        chain.finally().close(file);
        let done = ring.run(chain).expect("run");
        done.check().expect("every step succeeds");
        ring
    })
    .join()
    .expect("the second thread");
    let ring = std::thread::spawn(move || {
        let mut ring = ring;
        let mut done = ring.wait(ticket).expect("wait");
        done.check().expect("the read succeeds");
        assert_eq!(&*done.take(read).expect("the buffer"), b"through");
        for descriptor in [from, to] {
            ring.close(descriptor).expect("close");
        }
        ring
    })
    .join()
    .expect("the third thread");
    assert_eq!((ring.gauges().descriptors, ring.in_flight()), (0, 0));
    let bound = crate::world::LIMIT;
    assert_eq!(ring.teardown(bound).leaked, 0);
}

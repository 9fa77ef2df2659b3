//! What is this kernel's own: the verbs it lacks, its processes, and what outlives a ring.
//!
//! The cases on WAIT say of processes behind descriptors what `processes` of the suite says.

use alloc::vec::Vec;

use ouzel_kernel_abi::{SIGNAL_FAULT, SIGNAL_ILLEGAL, SIGNAL_KILL};
use ouzel_ring::modifiers::*;
use ouzel_ring::{Errno, Verb};

use crate::entry::*;
use crate::memory::Memory;
use crate::{World, statistics};

crate::cases![
    verbs_this_kernel_lacks,
    wait_gives_the_status,
    wait_gives_the_signal,
    wait_waits,
    wait_twice_gives_the_same,
    wait_times_out_and_is_cancelled,
    wait_by_poll,
    wait_by_number_is_not_there,
    process_is_killed_by_a_write,
    process_is_given_its_objects,
    process_that_was_begun_is_not_begun_again,
    load_takes_a_word_of_memory,
    truncate_by_descriptor,
    teardown_runs_finally_entries,
    teardown_of_an_idle_ring,
    teardown_gives_up_what_waits,
    chain_of_a_thousand_uses_the_stack_of_one,
    full_completion_queue_loses_nothing,
];

/// The verbs that are ENOSYS in this kernel.
pub const LACKING: &[Verb] = &[
    Verb::Allocate,
    Verb::Rename,
    Verb::Link,
    Verb::Symlink,
    Verb::Copy,
    Verb::Socket,
    Verb::Bind,
    Verb::Listen,
    Verb::Accept,
    Verb::Connect,
    Verb::Send,
    Verb::Recv,
    Verb::Shutdown,
    Verb::Readlink,
    Verb::Chmod,
    Verb::Chown,
    Verb::Utimes,
    Verb::Mknod,
    Verb::Statfs,
    Verb::Access,
    Verb::GetXattr,
    Verb::SetXattr,
    Verb::ListXattr,
    Verb::RemoveXattr,
    Verb::Lock,
    Verb::GetSockopt,
    Verb::SetSockopt,
    Verb::Sockname,
    Verb::Peername,
    Verb::RecvMsg,
    Verb::Splice,
    Verb::Wake,
    Verb::Futex,
    Verb::Call,
];

/// What a child of these cases does: it was started as `conformance child PART`.
pub fn child(part: &str) -> u64 {
    match part {
        "seven" => 7,
        "fault" => {
            // SAFETY: it is meant to end the process.
            unsafe { core::ptr::null::<u8>().wrapping_add(8).read_volatile() };
            1
        }
        "illegal" => {
            // SAFETY: as above.
            unsafe { core::arch::asm!("ud2") };
            1
        }
        "sleep" => World::new().ok(sleep(20 * MILLISECOND)),
        // Never at all would leave nothing to wait for.
        "forever" => World::new().ok(sleep(3_600_000 * MILLISECOND)),
        "echo" => {
            let mut world = World::new();
            let [input, output] = world.raw().standard();
            let bytes = world.take(input, 64);
            world.give(output, &bytes);
            bytes.len() as u64
        }
        _ => 1,
    }
}

fn spawned(world: &mut World, scheme: &str, part: &str) -> u64 {
    let line = world.text(&format!("{scheme}:/bin/conformance child {part}"));
    world.ok(open(line, OpenFlags::READ))
}

fn spawn(world: &mut World, part: &str) -> u64 {
    spawned(world, "spawn", part)
}

/// What every verb that this kernel lacks says of arguments that are otherwise right.
fn verbs_this_kernel_lacks(world: &mut World) {
    let file = world.file("a", b"abc");
    let (path, paths, room) = (world.path("a"), world.paths("a", "b"), world.room(256));
    let word = world.put(&[0; 8]);
    let record = world.put(&[0; 64]);
    let (address, none) = (world.put(b"\x01\0x\0"), MessageFlags::empty());
    let entries = [
        allocate(file, 0, 1, AllocateFlags::empty()),
        rename(paths, RenameFlags::empty()),
        link(paths, LinkFlags::empty()),
        symlink(paths),
        copy(file, 0, file, 100, 1),
        socket(1, 1, 0),
        bind(file, address),
        listen(file, 1),
        accept(file, Memory::NONE),
        connect(file, address),
        send(file, room, none),
        recv(file, room, none),
        shutdown(file, ShutdownHow::Both),
        readlink(path, room),
        chmod(path, 0o600),
        chown(path, OWNER_OMIT, OWNER_OMIT),
        utimes(path, room.part(0, 32)),
        mknod(path, NodeKind::Fifo, 0),
        statfs(path, room),
        access(path, AccessFlags::empty()),
        getxattr(world.put(b"a\0user.b\0"), room),
        setxattr(world.put(b"a\0user.b\0"), room.part(0, 4), XattrFlags::empty()),
        listxattr(path, room),
        removexattr(world.put(b"a\0user.b\0")),
        lock(file, 0, 1, LockMode::Exclusive),
        getsockopt(file, 1, 1, room.part(0, 4)),
        setsockopt(file, 1, 1, room.part(0, 4)),
        sockname(file, room),
        peername(file, room),
        recvmsg(file, record, none),
        splice(file, 0, file, 0, 1),
        wake(file, 1),
        futex_wake(word, 1),
    ];
    for entry in entries {
        // Past the world, which ends a case that meets such a verb.
        let ring = world.raw();
        // SAFETY: what it names lives as long as the process.
        unsafe { ring.push(&entry) }.unwrap();
        ring.enter(1).unwrap();
        let one = ring.pop().unwrap();
        assert_eq!((one.errno(), one.result, one.op), (Errno::ENOSYS, 0, entry.op), "{entry:#?}");
        assert!(LACKING.contains(&Verb::from_number(entry.op).unwrap()));
    }
    // No system call stores a program, so none is found.
    assert_eq!(entries.len() + 1, LACKING.len());
    assert_ne!(world.one(ouzel_ring::Entry::new(Verb::Call)).error, 0);
    assert_eq!(world.contents(file, 0, 8), b"abc", "nothing was done");
}

fn wait_gives_the_status(world: &mut World) {
    let process = spawn(world, "seven");
    let one = world.one(wait_for(process));
    assert_eq!((one.outcome(), one.extra), (Ok(7), 0));
    world.close(process);
}

fn wait_gives_the_signal(world: &mut World) {
    for (part, signal) in [("fault", SIGNAL_FAULT), ("illegal", SIGNAL_ILLEGAL)] {
        let process = spawn(world, part);
        let one = world.one(wait_for(process));
        assert_eq!((one.outcome(), one.extra), (Ok(0), signal));
    }
}

fn wait_waits(world: &mut World) {
    let process = spawn(world, "sleep");
    let started = crate::time::Instant::now();
    world.start(&[wait_for(process).data(1)]);
    assert!(world.pop_all().is_empty());
    let all = world.settle();
    assert_eq!((all.len(), all[0].outcome()), (1, Ok(0)));
    assert!(started.elapsed().as_millis() >= 20);
}

fn wait_twice_gives_the_same(world: &mut World) {
    let process = spawn(world, "seven");
    assert_eq!((world.ok(wait_for(process)), world.ok(wait_for(process))), (7, 7));
}

fn wait_times_out_and_is_cancelled(world: &mut World) {
    let process = spawn(world, "forever");
    world.fails(wait_for(process).timeout(0), Errno::ETIMEDOUT);
    world.fails(wait_for(process).timeout(MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[wait_for(process).data(1)]);
    world.start(&[cancel_descriptor(process).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.errno() == Errno::ECANCELED));
    assert!(all.iter().any(|one| one.data == 2 && one.outcome() == Ok(1)));
    end(world, process);
}

/// Kills a process and waits for its end.
fn end(world: &mut World, process: u64) {
    world.give(process, b"kill");
    let one = world.one(wait_for(process));
    assert_eq!((one.outcome(), one.extra), (Ok(0), SIGNAL_KILL));
}

fn wait_by_poll(world: &mut World) {
    let process = spawn(world, "sleep");
    world.fails(poll(process, PollEvents::IN).timeout(0), Errno::ETIMEDOUT);
    assert_eq!(world.ok(poll(process, PollEvents::IN)), PollEvents::IN.bits());
    assert_eq!(world.ok(wait_for(process)), 0);
}

fn wait_by_number_is_not_there(world: &mut World) {
    world.fails(wait_number(1), Errno::ENOSYS);
}

fn process_is_killed_by_a_write(world: &mut World) {
    let process = spawn(world, "forever");
    let number = u64::from_le_bytes(world.take(process, 8).try_into().unwrap());
    assert!(number > 1);
    let other = world.put(b"stop");
    world.fails(write(process, other, HERE), Errno::EINVAL);
    end(world, process);
}

/// A SENDMSG that gives a held process these as its standard objects.
fn gift(world: &World, process: u64, objects: &[u64]) -> ouzel_ring::Entry {
    let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let array = world.put(&bytes(objects));
    let record = world.put(&bytes(&[0, 0, 0, 0, array.payload, objects.len() as u64, 0, 0]));
    sendmsg(process, record, MessageFlags::empty())
}

fn process_is_given_its_objects(world: &mut World) {
    let ((input, to_child), (from_child, output)) = (world.pipe(), world.pipe());
    let process = spawned(world, "hold", "echo");
    world.fails(wait_for(process).timeout(MILLISECOND), Errno::ETIMEDOUT);
    let gift = gift(world, process, &[input, output]);
    world.ok(gift);
    world.close(input);
    world.close(output);
    world.give(to_child, b"there and back");
    assert_eq!(world.take(from_child, 64), b"there and back");
    assert_eq!(world.ok(wait_for(process)), 14);
    let room = world.room(8);
    assert_eq!(world.ok(read(from_child, room, HERE)), 0, "with the process its objects are let go of");
    world.fails(write(to_child, room, HERE), Errno::EPIPE);
}

fn process_that_was_begun_is_not_begun_again(world: &mut World) {
    let process = spawn(world, "seven");
    let gift = gift(world, process, &[]);
    world.fails(gift, Errno::EALREADY);
    world.ok(wait_for(process));
    // One that is let go of before it starts never does.
    let held = spawned(world, "hold", "seven");
    world.close(held);
}

fn load_takes_a_word_of_memory(world: &mut World) {
    let memory = world.put(b"\x01\x02\x03\x04\x05\x06\x07\x08");
    for (length, expected) in [(1, 0x1), (2, 0x201), (4, 0x0403_0201), (8, 0x0807_0605_0403_0201)] {
        let load = ouzel_ring::Entry::new(Verb::Load).arguments([0, memory.payload, length, 0, 8]);
        assert_eq!(world.ok(load), expected);
    }
    for address in [8, 0x0000_8000_0000_0000] {
        let wild = ouzel_ring::Entry::new(Verb::Load).arguments([0, address, 8, 0, 8]);
        world.fails(wild, Errno::EFAULT);
    }
}

fn truncate_by_descriptor(world: &mut World) {
    let file = world.file("a", b"0123456789");
    world.ok(truncate(file, 4));
    assert_eq!(world.contents(file, 0, 20), b"0123");
    world.ok(truncate(file, 6));
    assert_eq!(world.contents(file, 0, 20), b"0123\0\0");
}

/// Tears the world's ring down by making another.
fn tear_down(world: &mut World) {
    world.renew(|sizes| sizes);
}

fn teardown_runs_finally_entries(world: &mut World) {
    let file = world.file("a", b"before");
    let text = world.put(b"after!");
    world.start(&[
        sleep(NEVER).link().data(1),
        get(2).link().data(2),
        write(file, text, 0).finally().link().data(3),
        close(file).finally().data(4),
    ]);
    tear_down(world);
    let file = world.open("a", OpenFlags::READ);
    assert_eq!(world.contents(file, 0, 16), b"after!");
}

fn teardown_of_an_idle_ring(world: &mut World) {
    world.ok(get(1));
    let before = statistics().frames_free;
    for _ in 0..50 {
        tear_down(world);
    }
    assert_eq!(statistics().frames_free, before);
}

fn teardown_gives_up_what_waits(world: &mut World) {
    let packets = statistics().packets;
    let (reader, _) = world.pipe();
    let room = world.room(16);
    world.push(&[read(reader, room, HERE), sleep(NEVER), poll(reader, PollEvents::IN), get(1).link()]);
    world.enter(u32::MAX, 0, None);
    assert!(statistics().packets > packets);
    tear_down(world);
    assert_eq!(statistics().packets, packets);
}

fn chain_of_a_thousand_uses_the_stack_of_one(world: &mut World) {
    world.file("a", b"0123456789");
    let room = world.room(4);
    let mut used = Vec::new();
    for length in [1, 10, 100, 1000] {
        world.renew(|sizes| sizes.entries(1024).completions(1024));
        let file = world.open("a", OpenFlags::READ);
        for kind in 0..4 {
            let chain: Vec<_> = (0..length)
                .map(|number| {
                    let entry = match kind {
                        0 => nop(),
                        1 => read(file, room, number % 7),
                        2 => nop().timeout(0),
                        _ => nop().finally(),
                    };
                    if number + 1 < length { entry.link() } else { entry }
                })
                .collect();
            let all = world.run(&chain);
            assert_eq!(all.len() as u64, length);
            let good = all.iter().filter(|one| one.error == 0).count() as u64;
            assert_eq!(good, if kind == 2 { 0 } else { length });
        }
        used.push(statistics().stack_used);
    }
    let size = statistics().stack_size;
    crate::say!("  kernel stack, of {size} bytes, after chains of 1, 10, 100 and 1000: {used:?}\n");
    assert!(used.iter().all(|one| *one == used[0]), "the stack grows with the chain: {used:?}");
}

fn full_completion_queue_loses_nothing(world: &mut World) {
    world.renew(|sizes| sizes.entries(64).completions(4));
    let file = world.file("a", b"0123456789");
    let room = world.room(4);
    let mut seen = Vec::new();
    let mut next = 0;
    while seen.len() < 500 {
        while next < 500 && world.try_push(read(file, room, next % 10).data(next)) {
            next += 1;
        }
        // It waits for more than there is room for; only then one is taken out.
        let entered = world.enter(u32::MAX, u32::MAX, Some(crate::world::LIMIT));
        assert!(entered.readable > 0);
        let one = world.ring().pop().unwrap();
        assert_eq!(one.outcome(), Ok(4.min(10 - one.data % 10)));
        seen.push(one.data);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..500).collect::<Vec<u64>>(), "each exactly once");
    assert_eq!(world.settle().len(), 0);
}

//! What holds for every verb: bad descriptors, payloads that cannot be loaded, verbs without a number. Section 18.

use ouzel::abi::modifiers::*;
use ouzel::abi::{Descriptor, Entry, Errno, Verb};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    every_verb_refuses_dead_descriptors,
    every_directory_argument_refuses_dead_descriptors,
    every_payload_refuses_to_be_loaded,
    every_other_argument_may_be_loaded,
    every_verb_needs_its_registers_defined,
    unknown_verbs,
    completions_repeat_verb_and_data,
    unused_arguments_are_not_looked_at,
];

/// Every verb whose argument 0 is an open descriptor.
fn with_a_descriptor(world: &World, file: u64) -> Vec<Entry> {
    let (memory, none) = (world.room(256), MessageFlags::empty());
    vec![
        read(file, memory, 0),
        write(file, memory, 0),
        poll(file, PollEvents::IN),
        close(file),
        seek(file, 0, Whence::Start),
        sync(file, SyncMode::Full),
        truncate(file, 0),
        allocate(file, 0, 1, AllocateFlags::empty()),
        readdir(file, memory),
        copy(file, 0, file, 0, 1),
        bind(file, memory.part(0, 16)),
        listen(file, 1),
        accept(file, Memory::NONE),
        connect(file, memory.part(0, 16)),
        send(file, memory, none),
        recv(file, memory, none),
        shutdown(file, ShutdownHow::Both),
    ]
}

/// Every verb whose argument 0 or 4 is a directory, with that argument.
fn with_a_directory(world: &World) -> Vec<(Entry, usize)> {
    let (path, paths, record) = (world.path("x"), world.paths("x", "y"), world.room(256));
    vec![
        (open(path, OpenFlags::READ), 0),
        (stat(path, record), 0),
        (stat_of(0, record), 0),
        (mkdir(path), 0),
        (remove(path, RemoveFlags::empty()), 0),
        (rename(paths, RenameFlags::empty()), 0),
        (rename(paths, RenameFlags::empty()), 4),
        (link(paths, LinkFlags::empty()), 0),
        (link(paths, LinkFlags::empty()), 4),
        (symlink(paths), 4),
        (readlink(path, record), 0),
        (chmod(path, 0o600), 0),
        (chown(path, OWNER_OMIT, OWNER_OMIT), 0),
        (utimes(path, record), 0),
        (mknod(path, NodeKind::Fifo, 0), 0),
        (statfs(path, record), 0),
        (access(path, AccessFlags::empty()), 0),
        (getxattr(paths, record), 0),
        (setxattr(paths, record, XattrFlags::empty()), 0),
        (listxattr(path, record), 0),
        (removexattr(paths), 0),
    ]
}

fn dead(world: &mut World) -> Vec<u64> {
    let live = world.file("live", b"");
    let closed = world.file("closed", b"");
    world.close(closed);
    let live = Descriptor::from_number(live).unwrap();
    let other = Descriptor::new(live.generation() + 1, live.index()).unwrap();
    let far = Descriptor::new(1, 1 << 20).unwrap();
    vec![closed, other.number(), far.number(), u64::from(live.index()) + 1, u64::MAX]
}

fn every_verb_refuses_dead_descriptors(world: &mut World) {
    let mut numbers = dead(world);
    numbers.push(0);
    for number in numbers {
        for entry in with_a_descriptor(world, number) {
            world.fails(entry, Errno::EBADF);
        }
    }
}

fn every_directory_argument_refuses_dead_descriptors(world: &mut World) {
    for number in dead(world) {
        for (entry, argument) in with_a_directory(world) {
            world.fails(entry.arg(argument, number), Errno::EBADF);
        }
    }
}

fn every_payload_refuses_to_be_loaded(world: &mut World) {
    let file = world.file("a", b"abc");
    let mut entries: Vec<(Entry, usize)> =
        with_a_directory(world).into_iter().map(|(entry, _)| (entry, 1)).collect();
    let record = world.room(256);
    entries.push((stat_of(file, record), 3));
    for (entry, _) in with_a_directory(world) {
        let verb = Verb::from_number(entry.op).unwrap();
        if matches!(
            verb,
            Verb::Readlink | Verb::Utimes | Verb::Statfs | Verb::GetXattr | Verb::SetXattr | Verb::ListXattr
        ) {
            entries.push((entry, 3));
        }
    }
    for entry in with_a_descriptor(world, file) {
        let verb = Verb::from_number(entry.op).unwrap();
        if matches!(
            verb,
            Verb::Read
                | Verb::Write
                | Verb::Readdir
                | Verb::Bind
                | Verb::Accept
                | Verb::Connect
                | Verb::Send
                | Verb::Recv
        ) {
            entries.push((entry, 1));
        }
    }
    for (entry, argument) in entries {
        // Also where the register is defined, and where it is not.
        world.fails(entry.load(argument, 0), Errno::EINVAL);
        world.fails(entry.load(argument, 0).local(), Errno::EINVAL);
    }
    assert_eq!(world.descriptors(), 1);
}

fn every_other_argument_may_be_loaded(world: &mut World) {
    let file = world.file("a", b"0123456789");
    let (memory, path, record) = (world.room(4), world.path("d"), world.room(256));
    // What is loaded replaces what the entry says.
    for (entry, values) in [
        (read(9, memory, 9).arg(4, 9), vec![(0, file), (2, 4), (3, 2), (4, 0)]),
        (seek(9, 9, Whence::Start).arg(4, 9), vec![(0, file), (3, 4), (4, 0)]),
        (sync(9, SyncMode::Full).arg(4, 9), vec![(0, file), (2, 0), (3, 0), (4, 2)]),
        (truncate(9, 9), vec![(0, file), (2, 4)]),
        (allocate(9, 9, 9, AllocateFlags::empty()).arg(4, 9), vec![(0, file), (2, 4), (3, 0), (4, 0)]),
        (mkdir(path).arg(0, 9).arg(2, 9).arg(4, 9), vec![(0, 0), (2, path.length), (4, 0o755)]),
        (stat(path, record).arg(0, 9).arg(2, 9).arg(4, 9), vec![(0, 0), (2, path.length), (4, 0)]),
        (chmod(path, 9).arg(0, 9).arg(2, 9), vec![(0, 0), (2, path.length), (4, 0o755)]),
        (
            chown(path, 9, 9).arg(0, 9).arg(2, 9).arg(3, 9),
            vec![(0, 0), (2, path.length), (3, 0), (4, u64::MAX)],
        ),
        (access(path, AccessFlags::READ).arg(0, 9).arg(3, 9), vec![(0, 0), (3, 4), (4, 0)]),
        (statfs(path, record).arg(0, 9).arg(2, 9), vec![(0, 0), (2, path.length)]),
        (listxattr(path, record).arg(0, 9).arg(4, 9), vec![(0, 0), (4, 256)]),
        (poll(9, PollEvents::IN).arg(1, 1 << 40), vec![(0, file), (1, 1)]),
        (sleep(9).arg(3, 9), vec![(2, 0), (3, 0)]),
        (deadline(9).arg(3, 9), vec![(2, NEVER), (3, 0)]),
        (cancel_all().arg(3, 9), vec![(0, 0), (1, 0), (3, 2)]),
    ] {
        let mut entries = Vec::new();
        let mut last = entry;
        for (register, (argument, value)) in values.into_iter().enumerate() {
            entries.push(get(value).save(register).link());
            last = last.load(argument, register);
        }
        entries.push(last);
        entries[0] = entries[0].local();
        let all = world.run(&entries);
        assert!(all.iter().all(|one| one.error == 0), "{entries:#?}: {all:#?}");
    }
}

fn every_verb_needs_its_registers_defined(world: &mut World) {
    let file = world.file("a", b"");
    for entry in with_a_descriptor(world, file) {
        world.fails(entry.load(0, 3).local(), Errno::EINVAL);
    }
    assert_eq!(world.ok(seek(file, 0, Whence::End)), 0, "nothing was run");
    assert_eq!(world.descriptors(), 1);
}

fn unknown_verbs(world: &mut World) {
    for op in [Verb::ALL.len() as u32, 1000, 1 << 16, u32::MAX] {
        let mut entry = nop();
        entry.op = op;
        world.fails(entry, Errno::EINVAL);
        world.expect(&[entry.hard(), get(1)], &[Err(Errno::EINVAL), Ok(1)]);
        world.expect(&[entry.link(), get(1)], &[Err(Errno::EINVAL), Err(Errno::ECANCELED)]);
    }
}

fn completions_repeat_verb_and_data(world: &mut World) {
    for data in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
        let mut unknown = nop().data(data);
        unknown.op = 0xdead_beef;
        world.push(&[nop().data(data), get(5).data(data), unknown]);
        let all = world.settle();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|one| one.data == data && one.flags == 0));
        let mut ops: Vec<u32> = all.iter().map(|one| one.op).collect();
        ops.sort_unstable();
        assert_eq!(ops, [0, 29, 0xdead_beef]);
    }
}

fn unused_arguments_are_not_looked_at(world: &mut World) {
    let file = world.file("a", b"");
    let path = world.path("d");
    for (entry, unused) in [
        (nop(), vec![0, 1, 2, 3, 4]),
        (get(0), vec![1, 2, 3, 4]),
        (sleep(0), vec![0, 1, 4]),
        (deadline(NEVER), vec![0, 1, 4]),
        (cancel_data(77), vec![0, 2, 4]),
        (cancel_descriptor(77), vec![1, 2, 4]),
        (truncate(file, 0), vec![1, 3, 4]),
        (seek(file, 0, Whence::Start), vec![1, 2]),
        (sync(file, SyncMode::Full), vec![1, 2, 3]),
        (poll(file, PollEvents::IN), vec![2, 3, 4]),
        (mkdir(path), vec![3]),
        (remove(path, RemoveFlags::DIRECTORY), vec![4]),
        (pipe(0), vec![0, 1, 2, 3, 4]),
        (chmod(Memory::NONE, 0o644).arg(0, file), vec![1, 3]),
        (statfs(Memory::NONE, world.room(96)), vec![1, 4]),
        (mknod(world.path("n"), NodeKind::Fifo, 0), vec![4]),
        (socket(1, 1, 0), vec![3, 4]),
        (close(file), vec![1, 2, 3, 4]),
    ] {
        let filled = unused.into_iter().fold(entry, |entry, argument| entry.arg(argument, u64::MAX));
        world.ok(filled);
    }
}

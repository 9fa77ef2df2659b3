//! READLINK, CHMOD, CHOWN, UTIMES, MKNOD, STATFS and ACCESS. Pages 31 to 37.
//!
//! What depends on who runs the suite is allowed to end in either of the two ways there are.

use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, Errno};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    readlink_tells_the_target,
    readlink_of_what_is_no_link,
    readlink_of_a_link_that_is_open,
    readlink_buffers_too_small,
    chmod_changes_permissions,
    chmod_of_what_is_open,
    chmod_errors,
    chown_to_who_has_it_already,
    chown_to_somebody_else,
    chown_takes_the_bits_of_programs,
    chown_errors,
    utimes_sets_both_times,
    utimes_leaves_and_takes_the_clock,
    utimes_of_links_and_of_what_is_open,
    utimes_errors,
    mknod_makes_every_kind,
    mknod_devices,
    mknod_errors,
    mknod_fifos_are_pipes,
    mknod_fifos_are_opened_for_both,
    statfs_describes_the_file_system,
    statfs_errors,
    access_asks_for_permissions,
    access_of_what_is_open,
    access_errors,
    names_from_open_directories,
    names_without_a_path_are_the_subject,
    names_of_the_working_directory,
    names_of_pipes,
];

const READ: OpenFlags = OpenFlags::READ;
const NOBODY: u32 = OWNER_OMIT;

/// The descriptor as argument 0 and no path.
fn of(entry: Entry, file: u64) -> Entry {
    entry.arg(0, file).arg(1, 0).arg(2, 0)
}

/// The record of a STAT of `name` itself.
fn status(world: &mut World, name: &str) -> Vec<u8> {
    let (path, record) = (world.path(name), world.room(256));
    world.ok(stat(path, record).arg(4, StatFlags::NOFOLLOW.bits()));
    world.bytes(record)
}

fn word(record: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(record[at..at + 4].try_into().unwrap())
}

fn long(record: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(record[at..at + 8].try_into().unwrap())
}

/// Kind and permissions.
fn mode(world: &mut World, name: &str) -> u32 {
    let record = status(world, name);
    u32::from(u16::from_ne_bytes([record[28], record[29]]))
}

fn owner(world: &mut World, name: &str) -> (u32, u32) {
    let record = status(world, name);
    (word(&record, 20), word(&record, 24))
}

/// Seconds and nanoseconds of the last access and of the last change.
fn times(world: &mut World, name: &str) -> [(i64, u32); 2] {
    let record = status(world, name);
    [0x40, 0x70].map(|at| (long(&record, at) as i64, word(&record, at + 8)))
}

fn times_record(world: &World, times: [(i64, u64); 2]) -> Memory {
    let words = times.map(|(seconds, nanoseconds)| [seconds as u64, nanoseconds]);
    world.put(words.as_flattened().iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>().as_slice())
}

/// Makes `name` a symbolic link that says `target`.
fn link_to(world: &mut World, target: &str, name: &str) {
    let paths = world.put(format!("{target}\0{}\0", world.name(name)).as_bytes());
    world.ok(symlink(paths));
}

fn make_directory(world: &mut World, name: &str) {
    let path = world.path(name);
    world.ok(mkdir(path));
}

// READLINK

fn readlink_tells_the_target(world: &mut World) {
    for target in ["x", "some/where/../else", &"t".repeat(4095)] {
        let name = format!("l{}", target.len());
        // ext4 keeps no more than fits into a block.
        let paths = world.put(format!("{target}\0{}\0", world.name(&name)).as_bytes());
        let made = world.one(symlink(paths));
        if made.errno() == Errno::ENAMETOOLONG {
            continue;
        }
        assert_eq!(made.errno(), Errno::OK);
        let (path, room) = (world.path(&name), world.filled(4200, b'#'));
        assert_eq!(world.ok(readlink(path, room)), target.len() as u64);
        let bytes = world.bytes(room);
        assert_eq!(&bytes[..target.len()], target.as_bytes());
        assert!(bytes[target.len()..].iter().all(|byte| *byte == b'#'), "no NUL, nothing behind");
    }
}

fn readlink_of_what_is_no_link(world: &mut World) {
    let file = world.file("f", b"");
    make_directory(world, "d");
    let directory = world.open("d", READ | OpenFlags::DIRECTORY);
    let only_a_name = world.open("f", OpenFlags::PATH);
    let room = world.room(64);
    for (name, error) in [
        ("f", Errno::EINVAL),
        ("d", Errno::EINVAL),
        ("none", Errno::ENOENT),
        ("f/x", Errno::ENOTDIR),
        ("none/x", Errno::ENOENT),
    ] {
        let path = world.path(name);
        world.fails(readlink(path, room), error);
    }
    for descriptor in [file, directory, only_a_name, 0] {
        world.fails(of(readlink(Memory::NONE, room), descriptor), Errno::EINVAL);
    }
    assert_eq!(world.bytes(room), [0; 64]);
}

fn readlink_of_a_link_that_is_open(world: &mut World) {
    link_to(world, "nowhere", "l");
    let link = world.open("l", OpenFlags::PATH | OpenFlags::NOFOLLOW);
    let room = world.filled(8, b'#');
    assert_eq!(world.ok(of(readlink(Memory::NONE, room), link)), 7);
    assert_eq!(world.bytes(room), b"nowhere#");
    let path = world.path("l");
    world.ok(remove(path, RemoveFlags::empty()));
    assert_eq!(world.ok(of(readlink(Memory::NONE, room), link)), 7, "it outlives its name");
    world.fails(of(readlink(Memory::NONE, room.part(0, 6)), link), Errno::ERANGE);
}

fn readlink_buffers_too_small(world: &mut World) {
    link_to(world, "target", "l");
    let (path, room) = (world.path("l"), world.filled(8, b'#'));
    assert_eq!(world.ok(readlink(path, Memory::NONE)), 6, "no buffer: only the length");
    for length in 1..6 {
        world.fails(readlink(path, room.part(0, length)), Errno::ERANGE);
    }
    assert_eq!(world.bytes(room), b"########");
    assert_eq!(world.ok(readlink(path, room.part(0, 6))), 6);
    assert_eq!(world.bytes(room), b"target##");
    // The whole buffer has to be there.
    let region = world.region(room);
    let start = ouzel::abi::Payload::new(region, 0).unwrap().number();
    assert_eq!(world.ok(readlink(path, room).arg(3, start)), 6);
    world.fails(readlink(path, room).arg(3, start).arg(4, 9), Errno::EFAULT);
    world.fails(readlink(path, room).arg(3, start).arg(4, u64::MAX), Errno::EFAULT);
}

// CHMOD

fn chmod_changes_permissions(world: &mut World) {
    world.file("f", b"");
    link_to(world, "f", "l");
    make_directory(world, "d");
    for bits in [0, 0o1, 0o640, 0o777, 0o4755, 0o1777, 0o7777, 0o600] {
        let path = world.path("f");
        assert_eq!(world.ok(chmod(path, bits)), 0);
        assert_eq!(mode(world, "f"), 0o100_000 | bits as u32);
    }
    let path = world.path("l");
    world.ok(chmod(path, 0o444));
    assert_eq!(mode(world, "f"), 0o100_444, "links are followed");
    let path = world.path("d");
    world.ok(chmod(path, 0o1700));
    assert_eq!(mode(world, "d"), 0o041_700);
}

fn chmod_of_what_is_open(world: &mut World) {
    let file = world.file("f", b"");
    make_directory(world, "d");
    let directory = world.open("d", READ | OpenFlags::DIRECTORY);
    let reader = world.open("f", READ);
    for (number, (descriptor, name)) in [(file, "f"), (directory, "d"), (reader, "f")].into_iter().enumerate()
    {
        let bits = 0o600 + number as u64;
        assert_eq!(world.ok(of(chmod(Memory::NONE, bits), descriptor)), 0);
        assert_eq!(mode(world, name) & 0o7777, bits as u32);
    }
    let path = world.path("f");
    world.ok(remove(path, RemoveFlags::empty()));
    world.ok(of(chmod(Memory::NONE, 0o640), file));
    assert_eq!(world.contents(file, 0, 1), b"", "it is still open as it was");
    // One that only names what it changes will do.
    world.file("g", b"");
    link_to(world, "g", "l");
    for (name, bits) in [("d", 0o750), ("g", 0o100), ("l", 0o644)] {
        let only_a_name = world.open(name, OpenFlags::PATH);
        world.ok(of(chmod(Memory::NONE, bits), only_a_name));
        let name = if name == "l" { "g" } else { name };
        assert_eq!(mode(world, name) & 0o7777, bits as u32);
    }
}

fn chmod_errors(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    world.ok(chmod(path, 0o7777));
    for bits in [0o10_000, 0o100_644, u64::from(u32::MAX), 1 << 32 | 0o600, u64::MAX] {
        world.fails(chmod(path, bits), Errno::EINVAL);
    }
    assert_eq!(mode(world, "f"), 0o107_777);
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR), ("none/x", Errno::ENOENT)] {
        let path = world.path(name);
        world.fails(chmod(path, 0o600), error);
    }
    link_to(world, "nowhere", "l");
    let path = world.path("l");
    world.fails(chmod(path, 0o600), Errno::ENOENT);
}

// CHOWN

fn chown_to_who_has_it_already(world: &mut World) {
    let file = world.file("f", b"");
    let (user, group) = owner(world, "f");
    let path = world.path("f");
    for (new_user, new_group) in [(user, group), (NOBODY, group), (user, NOBODY), (NOBODY, NOBODY)] {
        assert_eq!(world.ok(chown(path, new_user, new_group)), 0);
        assert_eq!(world.ok(of(chown(Memory::NONE, new_user, new_group), file)), 0);
        assert_eq!(owner(world, "f"), (user, group));
    }
}

fn chown_to_somebody_else(world: &mut World) {
    let file = world.file("f", b"");
    link_to(world, "f", "l");
    let (user, group) = owner(world, "f");
    let path = world.path("f");
    let one = world.one(chown(path, 4001, 4002));
    if one.errno() == Errno::EPERM {
        assert_ne!(user, 0, "root may");
        assert_eq!(owner(world, "f"), (user, group));
        return;
    }
    // A user namespace may have no such user.
    if one.errno() == Errno::EINVAL && !world.is_sim() {
        crate::table::skip("there is no user 4001 here");
    }
    assert_eq!(one.outcome(), Ok(0));
    assert_eq!(owner(world, "f"), (4001, 4002));
    world.ok(chown(path, NOBODY, 5));
    assert_eq!(owner(world, "f"), (4001, 5));
    world.ok(of(chown(Memory::NONE, 6, NOBODY), file));
    assert_eq!(owner(world, "f"), (6, 5));
    let path = world.path("l");
    world.ok(chown(path, 7, 7));
    assert_eq!((owner(world, "f"), owner(world, "l")), ((7, 7), (user, group)), "links are followed");
    world.ok(chown(path, 8, 9).arg(3, AtFlags::NOFOLLOW.bits()));
    assert_eq!((owner(world, "f"), owner(world, "l")), ((7, 7), (8, 9)), "but not always");
    // A descriptor that only names what it changes will do.
    let file = world.open("f", OpenFlags::PATH);
    let link = world.open("l", OpenFlags::PATH | OpenFlags::NOFOLLOW);
    world.ok(of(chown(Memory::NONE, 10, NOBODY), file));
    world.ok(of(chown(Memory::NONE, NOBODY, 11), link));
    assert_eq!((owner(world, "f"), owner(world, "l")), ((10, 7), (8, 11)));
}

fn chown_takes_the_bits_of_programs(world: &mut World) {
    world.file("f", b"");
    make_directory(world, "d");
    let (file, directory) = (world.path("f"), world.path("d"));
    for (before, after) in [(0o4755, 0o755), (0o2755, 0o755), (0o6711, 0o711), (0o1640, 0o1640)] {
        world.ok(chmod(file, before));
        let before = mode(world, "f");
        world.ok(chown(file, NOBODY, NOBODY));
        assert_eq!(mode(world, "f") & 0o7777, after, "{before:o}");
    }
    world.ok(chmod(directory, 0o3777));
    world.ok(chown(directory, NOBODY, NOBODY));
    assert_eq!(mode(world, "d"), 0o043_777);
}

fn chown_errors(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    for bits in [2, 0x100, 1 << 32, u64::MAX] {
        world.fails(chown(path, NOBODY, NOBODY).arg(3, bits), Errno::EINVAL);
    }
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR)] {
        let path = world.path(name);
        world.fails(chown(path, NOBODY, NOBODY), error);
    }
    link_to(world, "nowhere", "l");
    let path = world.path("l");
    world.fails(chown(path, NOBODY, NOBODY), Errno::ENOENT);
    world.ok(chown(path, NOBODY, NOBODY).arg(3, AtFlags::NOFOLLOW.bits()));
}

// UTIMES

fn utimes_sets_both_times(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    for (accessed, modified) in [
        ((1, 0), (2, 999_999_999)),
        ((1_700_000_000, 5), (1_600_000_000, 123_456_789)),
        ((0, 0), (0, 1)),
        ((-86_400, 500_000_000), (2_000_000_000, 0)),
    ] {
        let record = times_record(world, [accessed, modified]);
        assert_eq!(world.ok(utimes(path, record)), 0);
        let expected = [accessed, modified].map(|(seconds, nanoseconds)| (seconds, nanoseconds as u32));
        assert_eq!(times(world, "f"), expected);
    }
}

fn utimes_leaves_and_takes_the_clock(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    let record = times_record(world, [(11, 1), (22, 2)]);
    world.ok(utimes(path, record));
    // Seconds are not looked at beside a word.
    let record = times_record(world, [(i64::MIN, TIME_OMIT), (33, 3)]);
    world.ok(utimes(path, record));
    assert_eq!(times(world, "f"), [(11, 1), (33, 3)]);
    let record = times_record(world, [(44, 4), (i64::MAX, TIME_OMIT)]);
    world.ok(utimes(path, record));
    assert_eq!(times(world, "f"), [(44, 4), (33, 3)]);
    let record = times_record(world, [(0, TIME_NOW), (55, 5)]);
    world.ok(utimes(path, record));
    let [accessed, modified] = times(world, "f");
    assert!(modified == (55, 5) && accessed != (44, 4) && accessed.0 > 0, "{accessed:?}");
    let record = times_record(world, [(0, TIME_NOW), (0, TIME_NOW)]);
    world.ok(utimes(path, record));
    let [accessed, modified] = times(world, "f");
    assert_eq!(accessed, modified, "one clock, read once");
    // With nothing to set nobody is asked whether the file exists.
    let record = times_record(world, [(0, TIME_OMIT), (0, TIME_OMIT)]);
    world.ok(utimes(path, record));
    assert_eq!(times(world, "f"), [accessed, modified]);
    let path = world.path("none");
    world.ok(utimes(path, record));
}

fn utimes_of_links_and_of_what_is_open(world: &mut World) {
    let file = world.file("f", b"");
    link_to(world, "f", "l");
    let path = world.path("l");
    let record = times_record(world, [(1, 1), (2, 2)]);
    world.ok(utimes(path, record));
    assert_eq!(times(world, "f"), [(1, 1), (2, 2)], "links are followed");
    let record = times_record(world, [(3, 3), (4, 4)]);
    world.ok(utimes(path, record).arg(4, AtFlags::NOFOLLOW.bits()));
    assert_eq!(times(world, "f"), [(1, 1), (2, 2)]);
    assert_eq!(times(world, "l")[1], (4, 4));
    let reader = world.open("f", READ);
    for (number, descriptor) in [file, reader].into_iter().enumerate() {
        let number = 10 + number as i64;
        let record = times_record(world, [(number, 0), (number, 7)]);
        world.ok(of(utimes(Memory::NONE, record), descriptor));
        assert_eq!(times(world, "f"), [(number, 0), (number, 7)]);
    }
    // A descriptor that only names what it changes will do.
    for (name, number) in [("f", 20), ("l", 21)] {
        let only_a_name = world.open(name, OpenFlags::PATH | OpenFlags::NOFOLLOW);
        let record = times_record(world, [(number, 0), (number, 7)]);
        world.ok(of(utimes(Memory::NONE, record), only_a_name));
        assert_eq!(times(world, name)[1], (number, 7));
    }
    assert_eq!(times(world, "f")[1], (20, 7), "the link itself is meant");
}

fn utimes_errors(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    let good = times_record(world, [(1, 999_999_999), (2, 2)]);
    world.ok(utimes(path, good));
    for bad in [1_000_000_000, TIME_OMIT - 1, TIME_NOW + 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
        for pair in [[(1, bad), (1, 0)], [(1, 0), (1, bad)], [(1, TIME_OMIT), (1, bad)]] {
            let record = times_record(world, pair);
            world.fails(utimes(path, record), Errno::EINVAL);
        }
    }
    assert_eq!(times(world, "f"), [(1, 999_999_999), (2, 2)]);
    for bits in [2, 0x100, u64::MAX] {
        world.fails(utimes(path, good).arg(4, bits), Errno::EINVAL);
    }
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR)] {
        let path = world.path(name);
        world.fails(utimes(path, good), error);
    }
    let region = world.region(good);
    let at = |offset| ouzel::abi::Payload::new(region, offset).unwrap().number();
    world.ok(utimes(path, good).arg(3, at(0)));
    for offset in [1, 31, 32, 33] {
        world.fails(utimes(path, good).arg(3, at(offset)), Errno::EFAULT);
    }
    world.fails(utimes(path, Memory::NONE), Errno::EFAULT);
}

// MKNOD

fn mknod_makes_every_kind(world: &mut World) {
    for (kind, bits) in
        [(NodeKind::Regular, 0o100_644), (NodeKind::Fifo, 0o010_644), (NodeKind::Socket, 0o140_644)]
    {
        let name = format!("{kind:?}");
        let path = world.path(&name);
        assert_eq!(world.ok(mknod(path, kind, u64::MAX)), 0, "a device number means nothing here");
        assert_eq!(mode(world, &name), bits);
        world.fails(mknod(path, kind, 0), Errno::EEXIST);
    }
    let file = world.open("Regular", READ | OpenFlags::WRITE);
    world.give(file, b"abc");
    assert_eq!(world.contents(file, 0, 9), b"abc");
    let path = world.path("Socket");
    world.fails(open(path, READ), Errno::ENXIO);
}

fn mknod_devices(world: &mut World) {
    for (kind, bits) in [(NodeKind::Character, 0o020_644), (NodeKind::Block, 0o060_644)] {
        for (number, (major, minor)) in
            [(7u64, 9u64), (MAX_DEVICE_MAJOR, MAX_DEVICE_MINOR)].into_iter().enumerate()
        {
            let name = format!("{kind:?}{number}");
            let path = world.path(&name);
            let one = world.one(mknod(path, kind, major << 32 | minor));
            if one.errno() == Errno::EPERM && !world.is_sim() {
                crate::table::skip("devices cannot be made here");
            }
            assert_eq!(one.outcome(), Ok(0));
            let record = status(world, &name);
            assert_eq!(u32::from(u16::from_ne_bytes([record[28], record[29]])), bits);
            assert_eq!((u64::from(word(&record, 128)), u64::from(word(&record, 132))), (major, minor));
        }
        let path = world.path("more");
        for device in [(MAX_DEVICE_MAJOR + 1) << 32, MAX_DEVICE_MINOR + 1, u64::MAX] {
            world.fails(mknod(path, kind, device), Errno::EINVAL);
        }
    }
}

fn mknod_errors(world: &mut World) {
    world.file("f", b"");
    let path = world.path("new");
    for kind in [0, 0o040_000, 0o120_000, 0o010_000 | 0o100_000, 0o170_000, 0o200_000, 1 << 32, u64::MAX] {
        world.fails(mknod(path, NodeKind::Regular, 0).arg(3, kind), Errno::EINVAL);
    }
    world.fails(mknod(Memory::NONE, NodeKind::Regular, 0), Errno::EINVAL);
    for (name, error) in [
        ("f", Errno::EEXIST),
        ("", Errno::EEXIST),
        ("none/x", Errno::ENOENT),
        ("f/x", Errno::ENOTDIR),
        ("new/", Errno::ENOENT),
    ] {
        let path = world.path(name);
        world.fails(mknod(path, NodeKind::Regular, 0), error);
    }
    link_to(world, "nowhere", "l");
    let path = world.path("l");
    world.fails(mknod(path, NodeKind::Fifo, 0), Errno::EEXIST);
    let file = world.open("f", READ);
    let path = world.put(b"x\0");
    world.fails(mknod(path, NodeKind::Fifo, 0).arg(0, file), Errno::ENOTDIR);
}

fn mknod_fifos_are_pipes(world: &mut World) {
    let path = world.path("p");
    world.ok(mknod(path, NodeKind::Fifo, 0));
    let reader = world.open("p", READ);
    let writer = world.open("p", OpenFlags::WRITE);
    world.give(writer, b"abc");
    assert_eq!(world.take(reader, 9), b"abc");
    let memory = world.room(9);
    world.fails(read(reader, memory, HERE).timeout(0), Errno::ETIMEDOUT);
    // What is open is the file that has the name.
    world.ok(of(chmod(Memory::NONE, 0o606), writer));
    assert_eq!(mode(world, "p"), 0o010_606);
    let record = world.room(256);
    world.ok(stat_of(reader, record));
    let (open, named) = (world.bytes(record), status(world, "p"));
    assert_eq!(long(&open, 32), long(&named, 32), "one inode");
    world.close(writer);
    assert_eq!(world.take(reader, 9), b"", "the last writer has gone");
    world.ok(remove(path, RemoveFlags::empty()));
    world.ok(stat_of(reader, record));
    assert_eq!(word(&world.bytes(record), 16), 0, "no name is left");
    world.close(reader);
}

fn mknod_fifos_are_opened_for_both(world: &mut World) {
    let path = world.path("p");
    world.ok(mknod(path, NodeKind::Fifo, 0));
    let both = world.open("p", READ | OpenFlags::WRITE);
    world.give(both, b"abc");
    assert_eq!(world.ok(poll(both, PollEvents::IN | PollEvents::OUT)), 5);
    let writer = world.open("p", OpenFlags::WRITE);
    world.give(writer, b"def");
    assert_eq!(world.take(both, 9), b"abcdef");
    let memory = world.room(9);
    world.fails(read(both, memory, HERE).timeout(0), Errno::ETIMEDOUT);
    world.close(both);
    let all = world.one(write(writer, memory, HERE));
    assert_eq!(all.errno(), Errno::EPIPE);
    world.close(writer);
    world.fails(open(path, OpenFlags::WRITE), Errno::ENXIO);
}

// STATFS

fn statfs_describes_the_file_system(world: &mut World) {
    let file = world.file("f", b"abc");
    link_to(world, "f", "l");
    let only_a_name = world.open("l", OpenFlags::PATH | OpenFlags::NOFOLLOW);
    let path = world.path("f");
    let record = world.filled(104, b'#');
    assert_eq!(world.ok(statfs(path, record.part(0, 96))), 0);
    let first = world.bytes(record);
    assert_eq!(first[96..], *b"########");
    assert_eq!(first[72..96], [0; 24], "spare");
    let (block, blocks, free, available) =
        (long(&first, 8), long(&first, 16), long(&first, 24), long(&first, 32));
    assert!(block.is_power_of_two() && blocks > 0 && free <= blocks && available <= free, "{first:?}");
    assert!(long(&first, 48) <= long(&first, 40) && long(&first, 56) > 0);
    assert_eq!(word(&first, 64), 255);
    assert!(!MountFlags::from_bits_retain(word(&first, 68)).contains(MountFlags::READ_ONLY));
    if !world.is_sim() {
        let found = rustix::fs::statfs(world.name("f")).unwrap();
        assert_eq!((long(&first, 0), blocks), (found.f_type as u64, found.f_blocks));
        assert_eq!(word(&first, 68), found.f_flags as u32 & !0x20);
    }
    // The same, whatever of it is named.
    let (root, link) = (world.path(""), world.path("l"));
    for entry in [
        statfs(root, record),
        statfs(link, record),
        of(statfs(Memory::NONE, record), file),
        of(statfs(Memory::NONE, record), only_a_name),
    ] {
        world.ok(entry);
        let bytes = world.bytes(record);
        assert_eq!(bytes[..24], first[..24]);
        assert_eq!(bytes[64..], first[64..]);
    }
}

fn statfs_errors(world: &mut World) {
    world.file("f", b"");
    let record = world.room(96);
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR), ("f/", Errno::ENOTDIR)] {
        let path = world.path(name);
        world.fails(statfs(path, record), error);
    }
    let path = world.path("f");
    let region = world.region(record);
    let at = |offset| ouzel::abi::Payload::new(region, offset).unwrap().number();
    world.ok(statfs(path, record).arg(3, at(0)));
    world.fails(statfs(path, record).arg(3, at(1)), Errno::EFAULT);
    world.fails(statfs(path, Memory::NONE), Errno::EFAULT);
}

// ACCESS

fn access_asks_for_permissions(world: &mut World) {
    world.file("f", b"");
    let path = world.path("f");
    let (r, w, x) = (AccessFlags::READ, AccessFlags::WRITE, AccessFlags::EXECUTE);
    world.ok(chmod(path, 0o600));
    for asked in [AccessFlags::empty(), r, w, r | w] {
        assert_eq!(world.ok(access(path, asked)), 0);
    }
    // Not even root may execute what nobody may.
    for asked in [x, r | x, r | w | x] {
        world.fails(access(path, asked), Errno::EACCES);
    }
    world.ok(chmod(path, 0o700));
    for options in [AccessOptions::empty(), AccessOptions::EFFECTIVE] {
        world.ok(access(path, r | w | x).arg(4, options.bits()));
    }
    world.ok(chmod(path, 0));
    world.ok(access(path, AccessFlags::empty()));
    for asked in [r, w] {
        let one = world.one(access(path, asked));
        assert!([Errno::OK, Errno::EACCES].contains(&one.errno()), "{one:?}");
    }
    world.fails(access(path, x), Errno::EACCES);
    let path = world.path("");
    world.ok(access(path, r | w | x));
}

fn access_of_what_is_open(world: &mut World) {
    let file = world.file("f", b"");
    let reader = world.open("f", READ);
    let only_a_name = world.open("f", OpenFlags::PATH);
    let directory = world.open("", READ | OpenFlags::DIRECTORY);
    let (rw, x) = (AccessFlags::READ | AccessFlags::WRITE, AccessFlags::EXECUTE);
    for options in [0, AccessOptions::NOFOLLOW.bits(), AccessOptions::EFFECTIVE.bits()] {
        for descriptor in [file, reader, only_a_name] {
            // It is the file that is asked about, not how it was opened.
            world.ok(of(access(Memory::NONE, rw), descriptor).arg(4, options));
            world.fails(of(access(Memory::NONE, x), descriptor).arg(4, options), Errno::EACCES);
        }
        world.ok(of(access(Memory::NONE, rw | x), directory).arg(4, options));
    }
}

fn access_errors(world: &mut World) {
    world.file("f", b"");
    link_to(world, "nowhere", "l");
    let path = world.path("l");
    world.fails(access(path, AccessFlags::empty()), Errno::ENOENT);
    let nofollow = AccessOptions::NOFOLLOW;
    world.ok(access(path, AccessFlags::all()).arg(4, nofollow.bits()));
    let path = world.path("f");
    world.ok(access(path, AccessFlags::READ).arg(4, (nofollow | AccessOptions::EFFECTIVE).bits()));
    for bits in [8, 1 << 32, u64::MAX] {
        world.fails(access(path, AccessFlags::empty()).arg(3, bits), Errno::EINVAL);
    }
    for bits in [4, 0x100, u64::MAX] {
        world.fails(access(path, AccessFlags::empty()).arg(4, bits), Errno::EINVAL);
    }
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR), ("f/", Errno::ENOTDIR)] {
        let path = world.path(name);
        world.fails(access(path, AccessFlags::empty()), error);
    }
}

// All of them

/// One of each verb that takes a path or not, for what `path` names; all succeed on a file of ours.
fn each(world: &World, path: Memory) -> Vec<Entry> {
    let record = times_record(world, [(5, 6), (7, 8)]);
    vec![
        chmod(path, 0o644),
        chown(path, NOBODY, NOBODY),
        utimes(path, record),
        statfs(path, world.room(96)),
        access(path, AccessFlags::READ),
        listxattr(path, world.room(4096)),
    ]
}

fn names_from_open_directories(world: &mut World) {
    make_directory(world, "d");
    world.file("d/f", b"");
    link_to(world, "f", "d/l");
    let directory = world.open("d", READ | OpenFlags::DIRECTORY);
    let only_a_name = world.open("d", OpenFlags::PATH);
    let file = world.open("d/f", READ);
    let (inside, missing, absolute) = (world.put(b"f\0"), world.put(b"none\0"), world.path("d/f"));
    for start in [directory, only_a_name] {
        for entry in each(world, inside) {
            world.ok(entry.arg(0, start));
        }
        for entry in each(world, missing) {
            world.fails(entry.arg(0, start), Errno::ENOENT);
        }
        let (link, room) = (world.put(b"l\0"), world.room(1));
        assert_eq!(world.ok(readlink(link, room).arg(0, start)), 1);
        assert_eq!(world.bytes(room), b"f");
        let new = world.put(format!("new{start}\0").as_bytes());
        world.ok(mknod(new, NodeKind::Fifo, 0).arg(0, start));
    }
    for entry in each(world, inside) {
        world.fails(entry.arg(0, file), Errno::ENOTDIR);
    }
    for entry in each(world, absolute) {
        // The directory is not used, but it is looked at.
        world.ok(entry.arg(0, file));
        world.fails(entry.arg(0, u64::MAX), Errno::EBADF);
    }
}

fn names_without_a_path_are_the_subject(world: &mut World) {
    let file = world.file("f", b"");
    let directory = world.open("", READ | OpenFlags::DIRECTORY);
    let closed = world.open("f", READ);
    world.close(closed);
    for entry in each(world, Memory::NONE) {
        world.ok(entry.arg(0, file));
        // An address without a length is not looked at.
        world.ok(entry.arg(0, file).arg(1, 1));
        world.fails(entry.arg(0, closed), Errno::EBADF);
    }
    world.ok(of(chmod(Memory::NONE, 0o755), directory));
    world.ok(of(access(Memory::NONE, AccessFlags::READ), directory));
}

fn names_of_the_working_directory(world: &mut World) {
    // It is not the suite's to change; those that only look must not mind.
    let (record, room) = (world.room(96), world.room(65_536));
    world.ok(statfs(Memory::NONE, record));
    world.ok(access(Memory::NONE, AccessFlags::empty()));
    let one = world.one(listxattr(Memory::NONE, room));
    assert!([Errno::OK, Errno::EOPNOTSUPP].contains(&one.errno()));
    let names = world.put(b"user.ouzel-none\0");
    world.fails_any(getxattr(names, room), &[Errno::ENODATA, Errno::EOPNOTSUPP]);
    if world.is_sim() {
        world.ok(chmod(Memory::NONE, 0o700));
        assert_eq!(mode(world, ""), 0o040_700);
    }
}

fn names_of_pipes(world: &mut World) {
    let (reader, _) = world.pipe();
    let (record, room) = (world.room(96), world.room(64));
    world.ok(of(statfs(Memory::NONE, record), reader));
    world.ok(of(access(Memory::NONE, AccessFlags::READ), reader));
    world.fails(of(readlink(Memory::NONE, room), reader), Errno::EINVAL);
    let names = world.put(b"user.a\0");
    world.fails(getxattr(names, room).arg(0, reader), Errno::ENODATA);
    world.fails(setxattr(names, room, XattrFlags::empty()).arg(0, reader), Errno::EPERM);
    let path = world.put(b"x\0");
    for entry in each(world, path) {
        world.fails(entry.arg(0, reader), Errno::ENOTDIR);
    }
}

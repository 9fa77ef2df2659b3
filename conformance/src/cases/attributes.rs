//! GETXATTR, SETXATTR, LISTXATTR and REMOVEXATTR. Pages 38 to 41.

use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, Errno};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    attributes_are_set_and_read,
    attributes_of_what_is_open,
    attributes_from_open_directories,
    attributes_of_directories,
    attributes_of_links,
    attributes_create_and_replace,
    attributes_buffers_too_small,
    attributes_listed_and_removed,
    attributes_of_any_bytes_and_of_none,
    attributes_with_the_longest_name,
    attributes_with_the_longest_value,
    attributes_missing_and_of_no_class,
    attributes_on_what_has_none,
    attributes_errors,
    attributes_names_are_well_formed,
    attributes_buffers_outside_their_region,
];

const NONE: XattrFlags = XattrFlags::empty();

/// The payload for an attribute of `file`, by its full path.
fn names(world: &World, file: &str, attribute: &str) -> Memory {
    world.put(format!("{}\0{attribute}\0", world.name(file)).as_bytes())
}

/// Gives the program up where files cannot have attributes of the user (tmpfs before Linux 6.6).
fn need_attributes(world: &mut World, file: &str) {
    let names = names(world, file, "user.probe");
    let one = world.one(setxattr(names, Memory::NONE, NONE));
    if one.errno() == Errno::EOPNOTSUPP && !world.is_sim() {
        crate::table::skip("this file system has no attributes of the user");
    }
    assert_eq!(one.outcome(), Ok(0));
    assert_eq!(world.ok(removexattr(names)), 0);
}

/// The value of an attribute; `entry` asks for it into this room.
fn value(world: &mut World, entry: Entry, room: Memory) -> Vec<u8> {
    let length = world.ok(entry);
    world.bytes(room.part(0, length))
}

/// The names in a list that are the user's, sorted.
fn listed(bytes: &[u8]) -> Vec<String> {
    assert!(bytes.is_empty() || bytes.ends_with(b"\0"));
    let mut names: Vec<String> = bytes
        .split(|byte| *byte == 0)
        .filter(|name| name.starts_with(b"user."))
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

fn attributes_are_set_and_read(world: &mut World) {
    world.file("f", b"abc");
    need_attributes(world, "f");
    let (one, other) = (names(world, "f", "user.one"), names(world, "f", "user.other"));
    let room = world.filled(16, b'#');
    for text in ["first", "second and longer", "3"] {
        let bytes = world.put(text.as_bytes());
        assert_eq!(world.ok(setxattr(one, bytes, NONE)), 0);
        let room = world.room(64);
        assert_eq!(value(world, getxattr(one, room), room), text.as_bytes());
    }
    let bytes = world.put(b"x");
    world.ok(setxattr(other, bytes, NONE));
    assert_eq!(world.ok(getxattr(one, room)), 1);
    assert_eq!(world.bytes(room), b"3###############");
    let file = world.open("f", OpenFlags::READ);
    assert_eq!(world.contents(file, 0, 9), b"abc", "its bytes are not touched");
}

fn attributes_of_what_is_open(world: &mut World) {
    let file = world.file("f", b"");
    need_attributes(world, "f");
    let reader = world.open("f", OpenFlags::READ);
    let name = world.put(b"user.a\0");
    for (number, descriptor) in [file, reader].into_iter().enumerate() {
        let text = format!("value {number}");
        let (bytes, room) = (world.put(text.as_bytes()), world.room(64));
        assert_eq!(world.ok(setxattr(name, bytes, NONE).arg(0, descriptor)), 0);
        assert_eq!(value(world, getxattr(name, room).arg(0, descriptor), room), text.as_bytes());
        let by_path = names(world, "f", "user.a");
        assert_eq!(value(world, getxattr(by_path, room), room), text.as_bytes());
    }
    let room = world.room(4096);
    let list = world.ok(listxattr(Memory::NONE, room).arg(0, file));
    assert_eq!(listed(&world.bytes(room.part(0, list))), ["user.a"]);
    // One that only names the file is no way to them.
    let only_a_name = world.open("f", OpenFlags::PATH);
    for entry in
        [getxattr(name, room), setxattr(name, room, NONE), removexattr(name), listxattr(Memory::NONE, room)]
    {
        world.fails(entry.arg(0, only_a_name), Errno::EBADF);
    }
    let path = world.path("f");
    world.ok(remove(path, RemoveFlags::empty()));
    assert_eq!(world.ok(removexattr(name).arg(0, reader)), 0);
    world.fails(getxattr(name, room).arg(0, file), Errno::ENODATA);
}

fn attributes_from_open_directories(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    let file = world.file("d/f", b"");
    need_attributes(world, "d/f");
    let directory = world.open("d", OpenFlags::READ | OpenFlags::DIRECTORY);
    let only_a_name = world.open("d", OpenFlags::PATH);
    for start in [directory, only_a_name] {
        let (pair, alone) = (world.put(b"f\0user.a\0"), world.put(b"f\0"));
        let (bytes, room) = (world.put(b"value"), world.room(4096));
        world.ok(setxattr(pair, bytes, NONE).arg(0, start));
        assert_eq!(value(world, getxattr(pair, room).arg(0, start), room), b"value");
        let list = world.ok(listxattr(alone, room).arg(0, start));
        assert_eq!(listed(&world.bytes(room.part(0, list))), ["user.a"]);
        world.ok(removexattr(pair).arg(0, start));
        world.fails(getxattr(pair, room).arg(0, start), Errno::ENODATA);
        let missing = world.put(b"none\0user.a\0");
        world.fails(getxattr(missing, room).arg(0, start), Errno::ENOENT);
        world.fails(setxattr(missing, bytes, NONE).arg(0, start), Errno::ENOENT);
        world.fails(removexattr(missing).arg(0, start), Errno::ENOENT);
    }
    let (pair, room) = (world.put(b"x\0user.a\0"), world.room(8));
    world.fails(getxattr(pair, room).arg(0, file), Errno::ENOTDIR);
    let absolute = names(world, "d/f", "user.a");
    world.fails(getxattr(absolute, room).arg(0, file), Errno::ENODATA);
    world.fails(getxattr(absolute, room).arg(0, u64::MAX), Errno::EBADF);
}

fn attributes_of_directories(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    need_attributes(world, "d");
    let directory = world.open("d", OpenFlags::READ | OpenFlags::DIRECTORY);
    let (pair, alone) = (names(world, "d", "user.a"), world.put(b"user.a\0"));
    let (bytes, room) = (world.put(b"value"), world.room(8));
    world.ok(setxattr(pair, bytes, NONE));
    assert_eq!(value(world, getxattr(alone, room).arg(0, directory), room), b"value");
    world.ok(removexattr(alone).arg(0, directory));
    world.fails(getxattr(pair, room), Errno::ENODATA);
}

fn attributes_of_links(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let paths = world.put(format!("f\0{}\0", world.name("l")).as_bytes());
    world.ok(symlink(paths));
    let pair = names(world, "l", "user.a");
    let (bytes, room) = (world.put(b"value"), world.room(4096));
    world.ok(setxattr(pair, bytes, NONE));
    let of_the_file = names(world, "f", "user.a");
    assert_eq!(value(world, getxattr(of_the_file, room), room), b"value", "links are followed");
    // A link itself can have none of the user's.
    let nofollow = XattrFlags::NOFOLLOW.bits();
    world.fails(getxattr(pair, room).arg(4, nofollow | room.length), Errno::ENODATA);
    world.fails(setxattr(pair, bytes, XattrFlags::NOFOLLOW), Errno::EPERM);
    world.fails(removexattr(pair).arg(4, nofollow), Errno::EPERM);
    let path = world.path("l");
    let list = world.ok(listxattr(path, room).arg(4, nofollow | room.length));
    assert_eq!(listed(&world.bytes(room.part(0, list))), [""; 0]);
    let list = world.ok(listxattr(path, room));
    assert_eq!(listed(&world.bytes(room.part(0, list))), ["user.a"]);
    // The same from an open directory.
    let directory = world.open("", OpenFlags::READ | OpenFlags::DIRECTORY);
    let pair = world.put(b"l\0user.a\0");
    assert_eq!(value(world, getxattr(pair, room).arg(0, directory), room), b"value");
    let entry = getxattr(pair, room).arg(0, directory);
    world.fails(entry.arg(4, nofollow | room.length), Errno::ENODATA);
    world.fails(setxattr(pair, bytes, XattrFlags::NOFOLLOW).arg(0, directory), Errno::EPERM);
    // It has a say only about paths.
    let file = world.open("f", OpenFlags::READ);
    let alone = world.put(b"user.a\0");
    let entry = getxattr(alone, room).arg(0, file).arg(4, nofollow | room.length);
    assert_eq!(value(world, entry, room), b"value");
}

fn attributes_create_and_replace(world: &mut World) {
    let file = world.file("f", b"");
    need_attributes(world, "f");
    let (pair, alone) = (names(world, "f", "user.a"), world.put(b"user.a\0"));
    let (one, two, room) = (world.put(b"one"), world.put(b"two"), world.room(8));
    let (create, replace) = (XattrFlags::CREATE, XattrFlags::REPLACE);
    world.fails(setxattr(pair, one, replace), Errno::ENODATA);
    world.fails(setxattr(alone, one, replace).arg(0, file), Errno::ENODATA);
    world.fails(getxattr(pair, room), Errno::ENODATA);
    world.ok(setxattr(pair, one, create));
    world.fails(setxattr(pair, two, create), Errno::EEXIST);
    world.fails(setxattr(alone, two, create).arg(0, file), Errno::EEXIST);
    assert_eq!(value(world, getxattr(pair, room), room), b"one");
    world.ok(setxattr(alone, two, replace).arg(0, file));
    assert_eq!(value(world, getxattr(pair, room), room), b"two");
    world.fails(setxattr(pair, one, create | replace), Errno::EINVAL);
    world.ok(removexattr(pair));
    world.ok(setxattr(alone, one, create | XattrFlags::NOFOLLOW).arg(0, file));
    assert_eq!(value(world, getxattr(pair, room), room), b"one");
}

fn attributes_buffers_too_small(world: &mut World) {
    let file = world.file("f", b"");
    need_attributes(world, "f");
    let (pair, alone) = (names(world, "f", "user.a"), world.put(b"user.a\0"));
    let bytes = world.put(b"12345");
    world.ok(setxattr(pair, bytes, NONE));
    let room = world.filled(8, b'#');
    for entry in [getxattr(pair, room), getxattr(alone, room).arg(0, file)] {
        assert_eq!(world.ok(entry.arg(4, 0)), 5, "no buffer: only the length");
        assert_eq!(world.ok(entry.arg(3, 0).arg(4, 0)), 5);
        for length in 1..5 {
            world.fails(entry.arg(4, length), Errno::ERANGE);
        }
    }
    assert_eq!(world.bytes(room), b"########");
    assert_eq!(world.ok(getxattr(pair, room.part(0, 5))), 5);
    assert_eq!(world.bytes(room), b"12345###");
    let path = world.path("f");
    let whole = world.ok(listxattr(path, Memory::NONE));
    assert!(whole >= 7);
    assert_eq!(world.ok(listxattr(Memory::NONE, Memory::NONE).arg(0, file)), whole);
    let room = world.room(whole as usize);
    world.fails(listxattr(path, room.part(0, whole - 1)), Errno::ERANGE);
    world.fails(listxattr(path, room.part(0, 1)), Errno::ERANGE);
    assert_eq!(world.ok(listxattr(path, room)), whole);
    // What a buffer has beyond the longest value there is makes no difference, but it has to be there.
    let room = world.room(70_000);
    assert_eq!(world.ok(getxattr(pair, room)), 5);
    assert_eq!(world.ok(listxattr(path, room)), whole);
}

fn attributes_listed_and_removed(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let (path, room) = (world.path("f"), world.room(65_536));
    let list = world.ok(listxattr(path, room));
    assert_eq!(listed(&world.bytes(room.part(0, list))), [""; 0]);
    let all = ["user.a", "user.b", "user.c"];
    for (number, name) in all.into_iter().enumerate() {
        let (pair, bytes) = (names(world, "f", name), world.put(&vec![b'v'; number]));
        world.ok(setxattr(pair, bytes, NONE));
    }
    let list = world.ok(listxattr(path, room));
    assert_eq!(listed(&world.bytes(room.part(0, list))), all);
    let pair = names(world, "f", "user.b");
    assert_eq!(world.ok(removexattr(pair)), 0);
    world.fails(removexattr(pair), Errno::ENODATA);
    let list = world.ok(listxattr(path, room));
    assert_eq!(listed(&world.bytes(room.part(0, list))), ["user.a", "user.c"]);
}

fn attributes_of_any_bytes_and_of_none(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let pair = names(world, "f", "user.a");
    let all: Vec<u8> = (0..=255).collect();
    let (bytes, room) = (world.put(&all), world.room(256));
    world.ok(setxattr(pair, bytes, NONE));
    assert_eq!(value(world, getxattr(pair, room), room), all);
    world.ok(setxattr(pair, Memory::NONE, NONE));
    assert_eq!(world.ok(getxattr(pair, room)), 0, "it is there, and empty");
    let mut bytes = world.name("f").into_bytes();
    bytes.extend_from_slice(b"\0user.\xff\x01/ \0");
    let pair = world.put(&bytes);
    let bytes = world.put(b"odd");
    world.ok(setxattr(pair, bytes, NONE));
    assert_eq!(value(world, getxattr(pair, room), room), b"odd");
}

fn attributes_with_the_longest_name(world: &mut World) {
    let file = world.file("f", b"");
    need_attributes(world, "f");
    let (bytes, room) = (world.put(b"v"), world.room(4096));
    let longest = format!("user.{}", "n".repeat(250));
    let pair = names(world, "f", &longest);
    world.ok(setxattr(pair, bytes, NONE));
    assert_eq!(value(world, getxattr(pair, room), room), b"v");
    let path = world.path("f");
    let list = world.ok(listxattr(path, room));
    assert_eq!(listed(&world.bytes(room.part(0, list))), [longest.as_str()]);
    let longer = format!("{longest}n");
    for (names, file) in
        [(names(world, "f", &longer), 0), (world.put(format!("{longer}\0").as_bytes()), file)]
    {
        for entry in [getxattr(names, room), setxattr(names, bytes, NONE), removexattr(names)] {
            world.fails(entry.arg(0, file), Errno::ERANGE);
        }
    }
}

fn attributes_with_the_longest_value(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let pair = names(world, "f", "user.a");
    let bytes = world.filled(65_537, b'v');
    world.fails(setxattr(pair, bytes, NONE), Errno::E2BIG);
    world.fails(setxattr(pair, bytes, NONE).arg(4, u64::from(u32::MAX)), Errno::E2BIG);
    let longest = bytes.part(0, 65_536);
    // ext4 has room for less than a block.
    let one = world.one(setxattr(pair, longest, NONE));
    if one.errno() == Errno::ENOSPC && !world.is_sim() {
        let bytes = bytes.part(0, 3000);
        world.ok(setxattr(pair, bytes, NONE));
        assert_eq!(world.ok(getxattr(pair, Memory::NONE)), 3000);
        return;
    }
    assert_eq!(one.outcome(), Ok(0));
    let room = world.room(65_536);
    assert_eq!(value(world, getxattr(pair, room), room), [b'v'; 65_536]);
    world.fails(getxattr(pair, room.part(0, 65_535)), Errno::ERANGE);
}

fn attributes_missing_and_of_no_class(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let (bytes, room) = (world.put(b"v"), world.room(8));
    for (name, read, write) in [
        ("user.none", Errno::ENODATA, Errno::OK),
        ("user.", Errno::EINVAL, Errno::EINVAL),
        ("none", Errno::EOPNOTSUPP, Errno::EOPNOTSUPP),
        ("other.a", Errno::EOPNOTSUPP, Errno::EOPNOTSUPP),
        ("users.a", Errno::EOPNOTSUPP, Errno::EOPNOTSUPP),
    ] {
        let pair = names(world, "f", name);
        world.fails(getxattr(pair, room), read);
        world.fails(removexattr(pair), read);
        let one = world.one(setxattr(pair, bytes, NONE));
        assert_eq!(one.errno(), write, "{name}");
    }
}

fn attributes_on_what_has_none(world: &mut World) {
    let path = world.path("p");
    world.ok(mknod(path, NodeKind::Fifo, 0));
    let (pair, bytes, room) = (names(world, "p", "user.a"), world.put(b"v"), world.room(8));
    world.fails(getxattr(pair, room), Errno::ENODATA);
    world.fails(setxattr(pair, bytes, NONE), Errno::EPERM);
    world.fails(removexattr(pair), Errno::EPERM);
}

fn attributes_errors(world: &mut World) {
    let file = world.file("f", b"");
    let room = world.room(8);
    for (name, error) in [("none", Errno::ENOENT), ("f/x", Errno::ENOTDIR), ("f/", Errno::ENOTDIR)] {
        let (pair, path) = (names(world, name, "user.a"), world.path(name));
        for entry in
            [getxattr(pair, room), setxattr(pair, room, NONE), removexattr(pair), listxattr(path, room)]
        {
            world.fails(entry, error);
        }
    }
    let (pair, alone, path) = (names(world, "f", "user.a"), world.put(b"user.a\0"), world.path("f"));
    // Bits that nobody has, and those that are another's.
    for bits in [1 << 35, 1 << 63, XattrFlags::CREATE.bits(), XattrFlags::REPLACE.bits()] {
        for entry in [getxattr(pair, room), removexattr(pair), listxattr(path, room)] {
            world.fails(entry.arg(4, bits), Errno::EINVAL);
            world.fails(entry.arg(4, bits).arg(0, file), Errno::EINVAL);
        }
    }
    for bits in [1 << 35, 1 << 63, u64::MAX] {
        world.fails(setxattr(pair, room, NONE).arg(4, bits), Errno::EINVAL);
    }
    world.fails(removexattr(pair).arg(4, 1), Errno::EINVAL);
    world.fails(removexattr(alone).arg(0, file).arg(4, u64::from(u32::MAX)), Errno::EINVAL);
}

fn attributes_names_are_well_formed(world: &mut World) {
    let file = world.file("f", b"");
    let room = world.room(8);
    let each = |names: Memory| [getxattr(names, room), setxattr(names, room, NONE), removexattr(names)];
    let long = [vec![b'/'; 4096], b"\0user.a\0".to_vec()].concat();
    for (bytes, error) in [
        (&b""[..], Errno::EINVAL),
        (b"user.a", Errno::EINVAL),
        (b"f\0user.a", Errno::EINVAL),
        (b"f\0user.a\0x\0", Errno::EINVAL),
        (b"f\0user.a\0\0", Errno::EINVAL),
        (b"\0user.a\0", Errno::ENOENT),
        (b"f\0\0", Errno::ERANGE),
        (b"\0", Errno::ERANGE),
        (&long, Errno::ENAMETOOLONG),
        (&[b'/'; 4353], Errno::ENAMETOOLONG),
    ] {
        let names = if bytes.is_empty() { Memory::NONE } else { world.put(bytes) };
        for entry in each(names) {
            world.fails(entry, error);
            world.fails(entry.arg(0, file), error);
        }
    }
}

fn attributes_buffers_outside_their_region(world: &mut World) {
    world.file("f", b"");
    need_attributes(world, "f");
    let (pair, path) = (names(world, "f", "user.a"), world.path("f"));
    let room = world.put(b"12345678");
    let region = world.region(room);
    let at = |offset| ouzel::abi::Payload::new(region, offset).unwrap().number();
    world.ok(setxattr(pair, room, NONE).arg(3, at(0)));
    for entry in [getxattr(pair, room), setxattr(pair, room, NONE), listxattr(path, room)] {
        world.ok(entry.arg(3, at(0)));
        for (offset, length) in [(1, 8), (0, 9), (9, 0), (0, u64::from(u32::MAX))] {
            world.fails(entry.arg(3, at(offset)).arg(4, length), Errno::EFAULT);
        }
    }
    // Names are copied out of a region.
    let text = format!("{}\0user.a\0", world.name("f"));
    let memory = world.put(text.as_bytes());
    let region = world.region(memory);
    let inside = Memory { payload: ouzel::abi::Payload::new(region, 0).unwrap().number(), ..memory };
    assert_eq!(world.ok(getxattr(inside, room).arg(3, at(0))), 8);
    assert_eq!(world.bytes(room), b"12345678");
}

//! MKDIR, REMOVE, RENAME, LINK, SYMLINK, and the rules for paths. Section 17.

use ouzel::abi::modifiers::{
    AccessFlags, LinkFlags, NodeKind, OWNER_OMIT, OpenFlags, RemoveFlags, RenameFlags,
};
use ouzel::abi::{Entry, Errno, Verb};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    paths_have_exactly_one_nul_at_their_end,
    paths_have_a_longest_length,
    paths_have_a_longest_component,
    paths_two_in_one_payload,
    paths_may_be_any_bytes,
    mkdir_makes_a_directory,
    mkdir_errors,
    mkdir_in_a_directory,
    remove_files_and_directories,
    remove_takes_the_link_not_its_target,
    rename_moves_and_replaces,
    rename_noreplace_and_exchange,
    rename_errors,
    rename_between_directories,
    rename_two_names_of_one_file,
    link_gives_a_second_name,
    link_follows_only_when_told,
    link_errors,
    symlink_stores_its_target_as_it_is,
    symlink_errors,
];

const READ: OpenFlags = OpenFlags::READ;

/// Every verb with one path in arguments 1 and 2.
fn with_one_path(world: &World, path: Memory) -> Vec<Entry> {
    let record = world.room(256);
    vec![
        open(path, READ),
        stat(path, record),
        mkdir(path),
        remove(path, RemoveFlags::empty()),
        readlink(path, record),
        chmod(path, 0o600),
        chown(path, OWNER_OMIT, OWNER_OMIT),
        utimes(path, record),
        mknod(path, NodeKind::Regular, 0),
        statfs(path, record),
        access(path, AccessFlags::READ),
        listxattr(path, record),
    ]
}

/// Every verb with two.
fn with_two_paths(paths: Memory) -> [Entry; 3] {
    [rename(paths, RenameFlags::empty()), link(paths, LinkFlags::empty()), symlink(paths)]
}

fn paths_have_exactly_one_nul_at_their_end(world: &mut World) {
    for bytes in [&b"no nul"[..], b"in\0side\0", b"\0a\0", b"a\0\0"] {
        let path = world.put(bytes);
        for entry in with_one_path(world, path) {
            world.fails(entry, Errno::EINVAL);
        }
    }
    let path = world.put(b"\0");
    for entry in with_one_path(world, path) {
        world.fails(entry, Errno::ENOENT);
    }
    for entry in with_one_path(world, Memory::NONE) {
        // For the others that is no path at all.
        if [Verb::Open, Verb::Mkdir, Verb::Remove, Verb::Mknod]
            .contains(&Verb::from_number(entry.op).unwrap())
        {
            world.fails(entry, Errno::EINVAL);
        }
    }
}

fn paths_have_a_longest_length(world: &mut World) {
    // `/./././a` up to exactly the longest length there is.
    let base = world.name("");
    let mut text = base.clone().into_bytes();
    while text.len() < 4095 - 2 {
        text.extend_from_slice(b"./");
    }
    text.resize(4095, b'x');
    let mut longest = text.clone();
    longest.push(0);
    assert_eq!(longest.len(), 4096);
    let path = world.put(&longest);
    let opened = world.ok(open(path, OpenFlags::WRITE | OpenFlags::CREATE));
    world.close(opened);
    assert_eq!(world.ok(remove(path, RemoveFlags::empty())), 0);
    let mut longer = b"/".to_vec();
    longer.extend_from_slice(&longest);
    assert_eq!(longer.len(), 4097);
    let path = world.put(&longer);
    for entry in with_one_path(world, path) {
        world.fails(entry, Errno::ENAMETOOLONG);
    }
    for entry in with_one_path(world, path) {
        world.fails_any(entry.arg(2, u64::MAX), &[Errno::ENAMETOOLONG, Errno::EFAULT]);
    }
}

fn paths_have_a_longest_component(world: &mut World) {
    let name = "n".repeat(255);
    let file = world.file(&name, b"x");
    world.close(file);
    let path = world.path(&"n".repeat(256));
    for entry in with_one_path(world, path) {
        world.fails(entry, Errno::ENAMETOOLONG);
    }
    world.fails(open(path, OpenFlags::WRITE | OpenFlags::CREATE), Errno::ENAMETOOLONG);
    let paths = world.paths("n", &"n".repeat(256));
    world.fails_any(rename(paths, RenameFlags::empty()), &[Errno::ENAMETOOLONG, Errno::ENOENT]);
    world.fails(symlink(paths), Errno::ENAMETOOLONG);
}

fn paths_two_in_one_payload(world: &mut World) {
    for bytes in [&b""[..], b"a", b"a\0", b"a\0b", b"a\0b\0c\0", b"a\0b\0\0"] {
        let paths = if bytes.is_empty() { Memory::NONE } else { world.put(bytes) };
        for entry in with_two_paths(paths) {
            world.fails(entry, Errno::EINVAL);
        }
    }
    for bytes in [&b"\0b\0"[..], b"a\0\0", b"\0\0"] {
        let paths = world.put(bytes);
        for entry in with_two_paths(paths) {
            world.fails(entry, Errno::ENOENT);
        }
    }
    let mut long = vec![b'/'; 8193];
    long[4000] = 0;
    long[8192] = 0;
    let paths = world.put(&long);
    for entry in with_two_paths(paths) {
        world.fails(entry, Errno::ENAMETOOLONG);
    }
    // Together short enough, but the first alone is too long.
    let mut long = vec![b'/'; 4100];
    long[4096] = 0;
    long[4099] = 0;
    let paths = world.put(&long);
    for entry in with_two_paths(paths) {
        world.fails(entry, Errno::ENAMETOOLONG);
    }
}

fn paths_may_be_any_bytes(world: &mut World) {
    let mut bytes = world.name("").into_bytes();
    bytes.extend_from_slice(b"\xff\xfe \n\x01\0");
    let path = world.put(&bytes);
    let file = world.ok(open(path, READ | OpenFlags::WRITE | OpenFlags::CREATE));
    world.give(file, b"x");
    world.ok(open(path, READ));
    world.ok(remove(path, RemoveFlags::empty()));
}

fn mkdir_makes_a_directory(world: &mut World) {
    let path = world.path("d");
    assert_eq!(world.ok(mkdir(path).arg(4, 0o700)), 0);
    let record = world.room(256);
    world.ok(stat(path, record));
    let bytes = world.bytes(record);
    assert_eq!(u16::from_ne_bytes([bytes[28], bytes[29]]), 0o40_700);
    world.file("d/inside", b"");
    let path = world.path("e");
    assert_eq!(world.ok(mkdir(path).arg(3, u64::MAX)), 0, "argument 3 is not used");
}

fn mkdir_errors(world: &mut World) {
    world.file("f", b"");
    let path = world.path("d");
    for mode in [0o10000, u64::MAX] {
        world.fails(mkdir(path).arg(4, mode), Errno::EINVAL);
    }
    world.ok(mkdir(path));
    world.fails(mkdir(path), Errno::EEXIST);
    let path = world.path("f");
    world.fails(mkdir(path), Errno::EEXIST);
    let path = world.path("f/below");
    world.fails(mkdir(path), Errno::ENOTDIR);
    let path = world.path("none/below");
    world.fails(mkdir(path), Errno::ENOENT);
    let paths = world.put(format!("nowhere\0{}\0", world.name("l")).as_bytes());
    world.ok(symlink(paths));
    let path = world.path("l");
    world.fails(mkdir(path), Errno::EEXIST);
}

fn mkdir_in_a_directory(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    let directory = world.open("d", READ | OpenFlags::DIRECTORY);
    let name = world.text("e");
    assert_eq!(world.ok(mkdir(name).arg(0, directory)), 0);
    world.open("d/e", READ | OpenFlags::DIRECTORY);
    let file = world.file("f", b"");
    world.fails(mkdir(name).arg(0, file), Errno::ENOTDIR);
    assert_eq!(world.ok(remove(name, RemoveFlags::DIRECTORY).arg(0, directory)), 0);
}

fn remove_files_and_directories(world: &mut World) {
    world.file("f", b"");
    let (file, directory) = (world.path("f"), world.path("d"));
    world.ok(mkdir(directory));
    world.fails(remove(file, RemoveFlags::DIRECTORY), Errno::ENOTDIR);
    world.fails(remove(directory, RemoveFlags::empty()), Errno::EISDIR);
    world.file("d/inside", b"");
    world.fails(remove(directory, RemoveFlags::DIRECTORY), Errno::ENOTEMPTY);
    let inside = world.path("d/inside");
    assert_eq!(world.ok(remove(inside, RemoveFlags::empty())), 0);
    let dot = world.path("d/.");
    world.fails(remove(dot, RemoveFlags::DIRECTORY), Errno::EINVAL);
    assert_eq!(world.ok(remove(directory, RemoveFlags::DIRECTORY)), 0);
    assert_eq!(world.ok(remove(file, RemoveFlags::empty())), 0);
    world.fails(remove(file, RemoveFlags::empty()), Errno::ENOENT);
    world.fails(remove(directory, RemoveFlags::DIRECTORY), Errno::ENOENT);
    for bits in [2, 1 << 40, u64::MAX] {
        world.fails(remove(file, RemoveFlags::empty()).arg(3, bits), Errno::EINVAL);
    }
}

fn remove_takes_the_link_not_its_target(world: &mut World) {
    world.file("f", b"abc");
    let paths = world.put(format!("f\0{}\0", world.name("l")).as_bytes());
    world.ok(symlink(paths));
    let path = world.path("l");
    world.ok(remove(path, RemoveFlags::empty()));
    world.open("f", READ);
    world.fails(open(path, READ), Errno::ENOENT);
}

fn rename_moves_and_replaces(world: &mut World) {
    world.file("a", b"a");
    world.file("b", b"b");
    let paths = world.paths("a", "c");
    assert_eq!(world.ok(rename(paths, RenameFlags::empty())), 0);
    world.fails(rename(paths, RenameFlags::empty()), Errno::ENOENT);
    let paths = world.paths("c", "b");
    assert_eq!(world.ok(rename(paths, RenameFlags::empty())), 0);
    let file = world.open("b", READ);
    assert_eq!(world.contents(file, 0, 9), b"a");
    let (empty, full) = (world.path("empty"), world.path("full"));
    world.ok(mkdir(empty));
    world.ok(mkdir(full));
    world.file("full/x", b"");
    let paths = world.paths("full", "empty");
    assert_eq!(world.ok(rename(paths, RenameFlags::empty())), 0);
    world.open("empty/x", READ);
}

fn rename_noreplace_and_exchange(world: &mut World) {
    world.file("a", b"a");
    world.file("b", b"b");
    let paths = world.paths("a", "b");
    world.fails(rename(paths, RenameFlags::NOREPLACE), Errno::EEXIST);
    assert_eq!(world.ok(rename(paths, RenameFlags::EXCHANGE)), 0);
    let file = world.open("a", READ);
    assert_eq!(world.contents(file, 0, 9), b"b");
    let paths = world.paths("a", "none");
    world.fails(rename(paths, RenameFlags::EXCHANGE), Errno::ENOENT);
    assert_eq!(world.ok(rename(paths, RenameFlags::NOREPLACE)), 0);
    world.open("none", READ);
}

fn rename_errors(world: &mut World) {
    world.file("f", b"");
    for name in ["d", "full"] {
        let path = world.path(name);
        world.ok(mkdir(path));
    }
    world.file("full/x", b"");
    let none = RenameFlags::empty();
    let paths = world.paths("f", "g");
    world.fails(rename(paths, RenameFlags::all()), Errno::EINVAL);
    for bits in [4, 8, u64::MAX] {
        world.fails(rename(paths, none).arg(3, bits), Errno::EINVAL);
    }
    for (old, new, error) in [
        ("none", "g", Errno::ENOENT),
        ("f", "none/g", Errno::ENOENT),
        ("f", "d", Errno::EISDIR),
        ("d", "f", Errno::ENOTDIR),
        ("d", "d/inside", Errno::EINVAL),
        ("f", "f/below", Errno::ENOTDIR),
    ] {
        let paths = world.paths(old, new);
        world.fails(rename(paths, none), error);
    }
    let paths = world.paths("d", "full");
    world.fails_any(rename(paths, none), &[Errno::ENOTEMPTY, Errno::EEXIST]);
}

fn rename_between_directories(world: &mut World) {
    for name in ["d", "e"] {
        let path = world.path(name);
        world.ok(mkdir(path));
    }
    world.file("d/a", b"abc");
    let from = world.open("d", READ | OpenFlags::DIRECTORY);
    let to = world.open("e", READ | OpenFlags::DIRECTORY);
    let paths = world.put(b"a\0b\0");
    assert_eq!(world.ok(rename(paths, RenameFlags::empty()).arg(0, from).arg(4, to)), 0);
    world.open("e/b", READ);
    let paths = world.put(b"b\0c\0");
    assert_eq!(world.ok(link(paths, LinkFlags::empty()).arg(0, to).arg(4, from)), 0);
    world.open("d/c", READ);
    let paths = world.put(b"target\0s\0");
    assert_eq!(world.ok(symlink(paths).arg(4, from)), 0);
    let path = world.path("d/s");
    world.fails(open(path, READ), Errno::ENOENT);
    world.close(from);
    world.fails(symlink(paths).arg(4, from), Errno::EBADF);
    let paths = world.put(b"b\0z\0");
    world.fails(rename(paths, RenameFlags::empty()).arg(0, to).arg(4, from), Errno::EBADF);
    world.fails(rename(paths, RenameFlags::empty()).arg(0, from).arg(4, to), Errno::EBADF);
}

fn rename_two_names_of_one_file(world: &mut World) {
    world.file("a", b"abc");
    let paths = world.paths("a", "b");
    world.ok(link(paths, LinkFlags::empty()));
    assert_eq!(world.ok(rename(paths, RenameFlags::empty())), 0);
    world.open("a", READ);
    world.open("b", READ);
}

fn link_gives_a_second_name(world: &mut World) {
    let file = world.file("a", b"abc");
    let paths = world.paths("a", "b");
    assert_eq!(world.ok(link(paths, LinkFlags::empty())), 0);
    let memory = world.put(b"XYZ");
    world.ok(write(file, memory, 0));
    let second = world.open("b", READ);
    assert_eq!(world.contents(second, 0, 9), b"XYZ");
    let path = world.path("a");
    world.ok(remove(path, RemoveFlags::empty()));
    world.open("b", READ);
}

fn link_follows_only_when_told(world: &mut World) {
    world.file("a", b"abc");
    let paths = world.put(format!("a\0{}\0", world.name("s")).as_bytes());
    world.ok(symlink(paths));
    let paths = world.paths("s", "followed");
    world.ok(link(paths, LinkFlags::FOLLOW));
    let paths = world.paths("s", "itself");
    world.ok(link(paths, LinkFlags::empty()));
    let path = world.path("followed");
    world.ok(open(path, READ | OpenFlags::NOFOLLOW));
    let path = world.path("itself");
    world.fails(open(path, READ | OpenFlags::NOFOLLOW), Errno::ELOOP);
}

fn link_errors(world: &mut World) {
    world.file("a", b"");
    let path = world.path("d");
    world.ok(mkdir(path));
    let none = LinkFlags::empty();
    for (old, new, error) in [
        ("a", "a", Errno::EEXIST),
        ("a", "d", Errno::EEXIST),
        ("none", "b", Errno::ENOENT),
        ("a", "none/b", Errno::ENOENT),
        ("d", "e", Errno::EPERM),
        ("a/x", "b", Errno::ENOTDIR),
    ] {
        let paths = world.paths(old, new);
        world.fails(link(paths, none), error);
    }
    let paths = world.paths("a", "b");
    for bits in [2, 0x400, u64::MAX] {
        world.fails(link(paths, none).arg(3, bits), Errno::EINVAL);
    }
}

fn symlink_stores_its_target_as_it_is(world: &mut World) {
    let target = format!("{}/..//./x", "t".repeat(100));
    let paths = world.put(format!("{target}\0{}\0", world.name("s")).as_bytes());
    assert_eq!(world.ok(symlink(paths)), 0);
    let path = world.path("s");
    let record = world.room(256);
    world.ok(stat(path, record).arg(4, 1));
    let bytes = world.bytes(record);
    assert_eq!(u16::from_ne_bytes([bytes[28], bytes[29]]) & 0o170_000, 0o120_000);
    assert_eq!(u64::from_ne_bytes(bytes[40..48].try_into().unwrap()), target.len() as u64);
    world.fails(stat(path, record), Errno::ENOENT);
    if !world.is_sim() {
        assert_eq!(std::fs::read_link(world.name("s")).unwrap().to_str(), Some(&*target));
    }
}

fn symlink_errors(world: &mut World) {
    world.file("a", b"");
    let paths = world.put(format!("x\0{}\0", world.name("a")).as_bytes());
    world.fails(symlink(paths), Errno::EEXIST);
    let paths = world.put(format!("x\0{}\0", world.name("none/s")).as_bytes());
    world.fails(symlink(paths), Errno::ENOENT);
    let paths = world.put(format!("x\0{}\0", world.name("a/s")).as_bytes());
    world.fails(symlink(paths), Errno::ENOTDIR);
}

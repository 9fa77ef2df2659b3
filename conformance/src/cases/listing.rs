//! STAT and READDIR: what records say.

use std::collections::BTreeSet;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{LinkFlags, OpenFlags, RemoveFlags, StatFlags};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    stat_describes_files_and_directories,
    stat_of_a_descriptor,
    stat_without_a_path_or_descriptor_is_the_working_directory,
    stat_follows_links_unless_told,
    stat_through_a_directory,
    stat_counts_names,
    stat_fills_only_its_record,
    stat_errors,
    readdir_lists_every_name_once,
    readdir_across_small_buffers,
    readdir_of_an_empty_directory,
    readdir_errors,
    readdir_of_a_removed_directory,
];

const LIST: OpenFlags = OpenFlags::READ.union(OpenFlags::DIRECTORY);

/// The fields that do not depend on the file system: mode, links, size.
fn described(world: &World, record: Memory) -> (u16, u32, u64) {
    let bytes = world.bytes(record);
    let mask = u32::from_ne_bytes(bytes[0..4].try_into().unwrap());
    assert_eq!(mask & 0x7ff, 0x7ff, "the basic fields are valid");
    (
        u16::from_ne_bytes(bytes[28..30].try_into().unwrap()),
        u32::from_ne_bytes(bytes[16..20].try_into().unwrap()),
        u64::from_ne_bytes(bytes[40..48].try_into().unwrap()),
    )
}

fn stat_describes_files_and_directories(world: &mut World) {
    world.file("a", b"hello");
    let record = world.room(256);
    let path = world.path("a");
    assert_eq!(world.ok(stat(path, record)), 0);
    assert_eq!(described(world, record), (0o100_644, 1, 5));
    let path = world.path("d");
    world.ok(mkdir(path));
    world.ok(stat(path, record));
    assert_eq!(described(world, record).0, 0o40_755);
}

fn stat_of_a_descriptor(world: &mut World) {
    let file = world.file("a", b"hello");
    let record = world.room(256);
    assert_eq!(world.ok(stat_of(file, record)), 0);
    assert_eq!(described(world, record), (0o100_644, 1, 5));
    let path = world.path("a");
    world.ok(remove(path, RemoveFlags::empty()));
    world.ok(stat_of(file, record));
    assert_eq!(described(world, record), (0o100_644, 0, 5));
    let (reader, _) = world.pipe();
    world.ok(stat_of(reader, record));
    assert_eq!(described(world, record).0 & 0o170_000, 0o10_000);
    let socket = world.ok(socket(1, 1, 0));
    world.ok(stat_of(socket, record));
    assert_eq!(described(world, record).0 & 0o170_000, 0o140_000);
}

fn stat_without_a_path_or_descriptor_is_the_working_directory(world: &mut World) {
    let record = world.room(256);
    assert_eq!(world.ok(stat_of(0, record)), 0);
    assert_eq!(described(world, record).0 & 0o170_000, 0o40_000);
}

fn stat_follows_links_unless_told(world: &mut World) {
    world.file("a", b"hello");
    let paths = world.put(format!("a\0{}\0", world.name("l")).as_bytes());
    world.ok(symlink(paths));
    let (path, record) = (world.path("l"), world.room(256));
    world.ok(stat(path, record));
    assert_eq!(described(world, record), (0o100_644, 1, 5));
    world.ok(stat(path, record).arg(4, StatFlags::NOFOLLOW.bits()));
    let (mode, _, size) = described(world, record);
    assert_eq!((mode & 0o170_000, size), (0o120_000, 1));
}

fn stat_through_a_directory(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    world.file("d/a", b"abc");
    let directory = world.open("d", LIST);
    let (name, record) = (world.text("a"), world.room(256));
    world.ok(stat(name, record).arg(0, directory));
    assert_eq!(described(world, record).2, 3);
    let file = world.open("d/a", OpenFlags::READ);
    world.fails(stat(name, record).arg(0, file), Errno::ENOTDIR);
}

fn stat_counts_names(world: &mut World) {
    let file = world.file("a", b"");
    let paths = world.paths("a", "b");
    world.ok(link(paths, LinkFlags::empty()));
    let record = world.room(256);
    world.ok(stat_of(file, record));
    assert_eq!(described(world, record).1, 2);
}

fn stat_fills_only_its_record(world: &mut World) {
    let file = world.file("a", b"");
    let memory = world.filled(264, b'#');
    world.ok(stat_of(file, memory.part(0, 256)));
    assert_eq!(world.bytes(memory.part(256, 8)), [b'#'; 8]);
}

fn stat_errors(world: &mut World) {
    world.file("a", b"");
    let (none, record) = (world.path("none"), world.room(256));
    world.fails(stat(none, record), Errno::ENOENT);
    let below = world.path("a/below");
    world.fails(stat(below, record), Errno::ENOTDIR);
    let path = world.path("a");
    for bits in [2, 0x100, u64::MAX] {
        world.fails(stat(path, record).arg(4, bits), Errno::EINVAL);
    }
    let region = world.region(record);
    let at = |offset: u64| u64::from(region) << 48 | offset;
    assert_eq!(world.ok(stat(path, record).arg(3, at(0))), 0);
    world.fails(stat(path, record).arg(3, at(1)), Errno::EFAULT);
    world.fails(stat_of(u64::MAX, record), Errno::EBADF);
}

/// The names in the records of one answer, and how many bytes they take.
fn names(bytes: &[u8]) -> Vec<(String, u8)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]) as usize;
        assert!(length >= 20 && at + length <= bytes.len(), "a record ends inside the answer");
        let name = &bytes[at + 19..at + length];
        let end = name.iter().position(|byte| *byte == 0).expect("a name ends in NUL");
        found.push((String::from_utf8_lossy(&name[..end]).into_owned(), bytes[at + 18]));
        at += length;
    }
    found
}

fn list(world: &mut World, directory: u64, length: usize) -> Vec<(String, u8)> {
    let mut all = Vec::new();
    loop {
        let memory = world.filled(length, 0xee);
        let count = world.ok(readdir(directory, memory));
        if count == 0 {
            return all;
        }
        let bytes = world.bytes(memory.part(0, count));
        let found = names(&bytes);
        assert!(!found.is_empty());
        all.extend(found);
    }
}

fn fill(world: &mut World) -> (u64, BTreeSet<String>) {
    let mut expected = BTreeSet::from([".".to_owned(), "..".to_owned()]);
    for number in 0..40 {
        let name = format!("file-{number}-{}", "x".repeat(number));
        let file = world.file(&name, b"");
        world.close(file);
        expected.insert(name);
    }
    let path = world.path("directory");
    world.ok(mkdir(path));
    expected.insert("directory".into());
    (world.open("", LIST), expected)
}

fn readdir_lists_every_name_once(world: &mut World) {
    let (directory, expected) = fill(world);
    let found = list(world, directory, 1 << 16);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>(), expected);
    for (name, kind) in found {
        let right = if name.starts_with("file") { 8 } else { 4 };
        assert!(kind == right || kind == 0, "{name} has type {kind}");
    }
}

fn readdir_across_small_buffers(world: &mut World) {
    let (directory, expected) = fill(world);
    for length in [128, 200, 1000] {
        world.ok(seek(directory, 0, ouzel::abi::modifiers::Whence::Start));
        let found = list(world, directory, length);
        assert_eq!(found.len(), expected.len(), "no name twice");
        assert_eq!(found.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), expected);
    }
}

fn readdir_of_an_empty_directory(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    let directory = world.open("d", LIST);
    let found: BTreeSet<String> = list(world, directory, 4096).into_iter().map(|(name, _)| name).collect();
    assert_eq!(found, BTreeSet::from([".".to_owned(), "..".to_owned()]));
}

fn readdir_errors(world: &mut World) {
    let file = world.file("a", b"");
    let memory = world.room(4096);
    world.fails(readdir(file, memory), Errno::ENOTDIR);
    world.fails(readdir(0, memory), Errno::EBADF);
    let directory = world.open("", LIST);
    world.fails(readdir(directory, memory.part(0, 19)), Errno::EINVAL);
    world.fails(readdir(directory, Memory::NONE), Errno::EINVAL);
    let path = world.open("", OpenFlags::PATH | OpenFlags::DIRECTORY);
    world.fails(readdir(path, memory), Errno::EBADF);
    let (reader, _) = world.pipe();
    world.fails(readdir(reader, memory), Errno::ENOTDIR);
    assert!(world.ok(readdir(directory, memory)) > 0, "errors lose nothing");
}

fn readdir_of_a_removed_directory(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    let directory = world.open("d", LIST);
    world.ok(remove(path, RemoveFlags::DIRECTORY));
    let memory = world.room(4096);
    world.fails(readdir(directory, memory), Errno::ENOENT);
}

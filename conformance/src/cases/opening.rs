//! OPEN, CLOSE, SEEK, and what descriptors are. Sections 15 and 17.

use ouzel::abi::modifiers::{NodeKind, OpenFlags, RemoveFlags, Whence};
use ouzel::abi::{Descriptor, Errno};

use crate::World;
use crate::entry::*;

crate::cases![
    open_makes_files_only_with_create,
    open_exclusive,
    open_truncates,
    open_flags_that_make_no_sense,
    open_of_a_path_heeds_nothing_else,
    open_mode_limits_and_umask,
    open_a_directory,
    open_through_a_directory_descriptor,
    open_follows_links_unless_told,
    open_of_a_loop_of_links,
    open_beneath_stays_below,
    open_beneath_through_links,
    open_beneath_with_other_flags,
    open_beneath_in_a_run,
    open_more_than_the_table_holds,
    open_of_a_fifo_never_waits,
    opened_files_outlive_their_names,
    close_kills_the_descriptor,
    close_needs_a_live_descriptor,
    close_lets_running_operations_finish,
    closed_indices_come_back_with_another_generation,
    use_after_close_in_one_chain,
    seek_from_each_base,
    seek_errors,
    seek_rewinds_a_directory,
];

const READ: OpenFlags = OpenFlags::READ;
const WRITE: OpenFlags = OpenFlags::WRITE;
const CREATE: OpenFlags = OpenFlags::CREATE;

fn open_makes_files_only_with_create(world: &mut World) {
    let path = world.path("a");
    world.fails(open(path, READ), Errno::ENOENT);
    world.fails(open(path, READ | WRITE), Errno::ENOENT);
    let file = world.ok(open(path, READ | CREATE));
    let memory = world.put(b"x");
    world.fails(write(file, memory, 0), Errno::EBADF);
    assert_eq!(world.contents(file, 0, 9), b"");
    assert!(world.ok(open(path, READ)) != file);
}

fn open_exclusive(world: &mut World) {
    let path = world.path("a");
    let flags = WRITE | CREATE | OpenFlags::EXCLUSIVE;
    let first = world.ok(open(path, flags));
    world.fails(open(path, flags), Errno::EEXIST);
    world.close(first);
    let paths = world.put(format!("nowhere\0{}\0", world.name("dangling")).as_bytes());
    assert_eq!(world.ok(symlink(paths)), 0);
    let dangling = world.path("dangling");
    world.fails(open(dangling, flags), Errno::EEXIST);
}

fn open_truncates(world: &mut World) {
    world.file("a", b"abc");
    let file = world.open("a", READ | WRITE | OpenFlags::TRUNCATE);
    assert_eq!(world.contents(file, 0, 9), b"");
}

fn open_flags_that_make_no_sense(world: &mut World) {
    world.file("a", b"abc");
    let path = world.path("a");
    for flags in [
        OpenFlags::empty(),
        CREATE,
        OpenFlags::APPEND,
        READ | OpenFlags::APPEND,
        READ | OpenFlags::TRUNCATE,
        READ | OpenFlags::EXCLUSIVE,
        WRITE | OpenFlags::EXCLUSIVE,
        OpenFlags::DIRECTORY,
        OpenFlags::NOFOLLOW,
    ] {
        world.fails(open(path, flags), Errno::EINVAL);
    }
    for bits in [1 << 11, 1 << 32, 1 << 63, u64::MAX] {
        world.fails(open(path, READ).arg(3, READ.bits() | bits), Errno::EINVAL);
    }
    assert_eq!(world.descriptors(), 1, "a failed OPEN leaves nothing");
}

fn open_of_a_path_heeds_nothing_else(world: &mut World) {
    world.file("a", b"abc");
    let (there, missing) = (world.path("a"), world.path("b"));
    let memory = world.room(3);
    let ignored = [
        READ,
        WRITE,
        READ | WRITE,
        OpenFlags::APPEND,
        OpenFlags::TRUNCATE,
        WRITE | OpenFlags::TRUNCATE,
        CREATE,
        OpenFlags::EXCLUSIVE,
        CREATE | OpenFlags::EXCLUSIVE,
        OpenFlags::DIRECT,
        OpenFlags::all() - OpenFlags::DIRECTORY - OpenFlags::NOFOLLOW - OpenFlags::BENEATH,
    ];
    for flags in ignored.map(|flags| flags | OpenFlags::PATH) {
        let named = world.ok(open(there, flags));
        world.fails(read(named, memory, 0), Errno::EBADF);
        world.fails(write(named, memory, 0), Errno::EBADF);
        world.close(named);
        world.fails(open(missing, flags), Errno::ENOENT);
        world.fails(open(there, flags | OpenFlags::DIRECTORY), Errno::ENOTDIR);
        world.fails(open(there, flags).arg(3, flags.bits() | 1 << 11), Errno::EINVAL);
    }
    let file = world.open("a", READ);
    assert_eq!(world.contents(file, 0, 9), b"abc", "nothing was done to the file");
}

fn open_mode_limits_and_umask(world: &mut World) {
    let path = world.path("a");
    for mode in [0o10000, 0o17777, u64::MAX] {
        world.fails(open(path, WRITE | CREATE).arg(4, mode), Errno::EINVAL);
    }
    world.fails(open(path, READ), Errno::ENOENT);
    world.ok(open(path, WRITE | CREATE).arg(4, 0o700));
    let record = world.room(256);
    world.ok(stat(path, record));
    let bytes = world.bytes(record);
    assert_eq!(u16::from_ne_bytes([bytes[28], bytes[29]]), 0o100_700);
}

fn open_a_directory(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    world.file("f", b"");
    world.open("d", READ | OpenFlags::DIRECTORY);
    world.open("d", READ);
    world.fails(open(path, WRITE), Errno::EISDIR);
    world.fails(open(path, READ | WRITE), Errno::EISDIR);
    world.fails(open(path, READ | CREATE), Errno::EISDIR);
    let file = world.path("f");
    world.fails(open(file, READ | OpenFlags::DIRECTORY), Errno::ENOTDIR);
}

fn open_through_a_directory_descriptor(world: &mut World) {
    let path = world.path("d");
    world.ok(mkdir(path));
    let directory = world.open("d", READ | OpenFlags::DIRECTORY);
    let name = world.text("inside");
    let file = world.ok(open(name, WRITE | CREATE).arg(0, directory));
    world.give(file, b"here");
    let file = world.open("d/inside", READ);
    assert_eq!(world.contents(file, 0, 9), b"here");
    world.fails(open(name, READ).arg(0, file), Errno::ENOTDIR);
    // With an absolute path the directory is not used, but must be one that lives.
    let absolute = world.path("d/inside");
    world.ok(open(absolute, READ).arg(0, directory));
    world.close(directory);
    world.fails(open(absolute, READ).arg(0, directory), Errno::EBADF);
    world.fails(open(name, READ).arg(0, directory), Errno::EBADF);
    let named = world.open("d", OpenFlags::PATH | OpenFlags::DIRECTORY);
    world.ok(open(name, READ).arg(0, named));
}

fn open_follows_links_unless_told(world: &mut World) {
    world.file("a", b"abc");
    let paths = world.put(format!("a\0{}\0", world.name("l")).as_bytes());
    world.ok(symlink(paths));
    let file = world.open("l", READ);
    assert_eq!(world.contents(file, 0, 9), b"abc");
    let path = world.path("l");
    world.fails(open(path, READ | OpenFlags::NOFOLLOW), Errno::ELOOP);
    world.open("l", OpenFlags::PATH | OpenFlags::NOFOLLOW);
    let below = world.path("a/below");
    world.fails(open(below, READ), Errno::ENOTDIR);
}

fn open_of_a_loop_of_links(world: &mut World) {
    let paths = world.put(format!("x\0{}\0", world.name("y")).as_bytes());
    world.ok(symlink(paths));
    let paths = world.put(format!("y\0{}\0", world.name("x")).as_bytes());
    world.ok(symlink(paths));
    let path = world.path("x");
    world.fails(open(path, READ), Errno::ELOOP);
    let path = world.path("x/z");
    world.fails(open(path, READ), Errno::ELOOP);
}

/// A directory `top` with `file` and `below/deep` in it, and a file `outside` beside it. Returns a descriptor of `top`.
fn fenced(world: &mut World) -> u64 {
    for name in ["top", "top/below"] {
        let path = world.path(name);
        world.ok(mkdir(path));
    }
    world.file("top/file", b"file");
    world.file("top/below/deep", b"deep");
    world.file("outside", b"outside");
    world.open("top", READ | OpenFlags::DIRECTORY)
}

fn symbolic(world: &mut World, target: &str, name: &str) {
    let paths = world.put(format!("{target}\0{}\0", world.name(name)).as_bytes());
    world.ok(symlink(paths));
}

fn open_beneath_stays_below(world: &mut World) {
    let top = fenced(world);
    let flags = READ | OpenFlags::BENEATH;
    for name in ["file", "./file", "below/../file", "below/./../below/../file", "below//..//file"] {
        let text = world.text(name);
        let file = world.ok(open(text, flags).arg(0, top));
        assert_eq!(world.contents(file, 0, 9), b"file", "{name}");
        world.close(file);
    }
    for name in [".", "./", "below/.."] {
        let text = world.text(name);
        let directory = world.ok(open(text, flags | OpenFlags::DIRECTORY).arg(0, top));
        world.close(directory);
    }
    let absolute = world.name("top/file");
    for name in [
        "..",
        "../",
        "../outside",
        "../top/file",
        "./../outside",
        "below/../../outside",
        "below/../..",
        "/",
        "//",
        "/nowhere",
        absolute.as_str(),
    ] {
        let text = world.text(name);
        world.fails(open(text, flags).arg(0, top), Errno::EXDEV);
        world.fails(open(text, OpenFlags::PATH | OpenFlags::BENEATH).arg(0, top), Errno::EXDEV);
    }
    // What is wrong on the way there comes first.
    for (name, error) in [
        ("nowhere", Errno::ENOENT),
        ("nowhere/../../outside", Errno::ENOENT),
        ("file/../../outside", Errno::ENOTDIR),
        ("", Errno::ENOENT),
    ] {
        let text = world.text(name);
        world.fails(open(text, flags).arg(0, top), error);
    }
    let text = world.text("../outside");
    let file = world.ok(open(text, READ).arg(0, top));
    assert_eq!(world.contents(file, 0, 9), b"outside", "only BENEATH keeps it below");
}

fn open_beneath_through_links(world: &mut World) {
    let top = fenced(world);
    let flags = READ | OpenFlags::BENEATH;
    let absolute = world.name("top/file");
    let outside = world.name("");
    for (target, name) in [
        ("file", "top/good"),
        ("../file", "top/below/up"),
        ("below", "top/way"),
        ("../outside", "top/out"),
        ("..", "top/parent"),
        (absolute.as_str(), "top/absolute"),
        (outside.as_str(), "top/away"),
        ("out", "top/twice"),
        ("loop", "top/loop"),
    ] {
        symbolic(world, target, name);
    }
    for (name, content) in [
        ("good", "file"),
        ("below/up", "file"),
        ("way/up", "file"),
        ("way/deep", "deep"),
        ("way/../file", "file"),
    ] {
        let text = world.text(name);
        let file = world.ok(open(text, flags).arg(0, top));
        assert_eq!(world.contents(file, 0, 9), content.as_bytes(), "{name}");
        world.close(file);
    }
    for name in
        ["out", "parent", "parent/outside", "parent/top/file", "absolute", "away", "away/outside", "twice"]
    {
        let text = world.text(name);
        world.fails(open(text, flags).arg(0, top), Errno::EXDEV);
    }
    let text = world.text("loop");
    world.fails(open(text, flags).arg(0, top), Errno::ELOOP);
    // A link that is not followed leads nowhere.
    let text = world.text("out");
    world.fails(open(text, flags | OpenFlags::NOFOLLOW).arg(0, top), Errno::ELOOP);
    let link = world.ok(open(text, OpenFlags::PATH | OpenFlags::NOFOLLOW | OpenFlags::BENEATH).arg(0, top));
    world.close(link);
}

fn open_beneath_with_other_flags(world: &mut World) {
    let top = fenced(world);
    let made = world.text("below/made");
    let file = world.ok(open(made, WRITE | CREATE | OpenFlags::BENEATH).arg(0, top).arg(4, 0o640));
    world.give(file, b"made");
    world.close(file);
    let there = world.text("below/made");
    world.fails(
        open(there, WRITE | CREATE | OpenFlags::EXCLUSIVE | OpenFlags::BENEATH).arg(0, top),
        Errno::EEXIST,
    );
    // A mode without CREATE counts for nothing here too.
    let file = world.ok(open(there, READ | OpenFlags::BENEATH).arg(0, top).arg(4, 0o600));
    assert_eq!(world.contents(file, 0, 9), b"made");
    let file = world.ok(open(there, READ | WRITE | OpenFlags::TRUNCATE | OpenFlags::BENEATH).arg(0, top));
    assert_eq!(world.contents(file, 0, 9), b"");
    let outside = world.text("../new");
    world.fails(open(outside, WRITE | CREATE | OpenFlags::BENEATH).arg(0, top), Errno::EXDEV);
    let path = world.path("new");
    world.fails(open(path, READ), Errno::ENOENT);
    let name = world.text("file");
    world.fails(open(name, READ | OpenFlags::DIRECTORY | OpenFlags::BENEATH).arg(0, top), Errno::ENOTDIR);
    let named = world.ok(open(name, OpenFlags::all() - OpenFlags::DIRECTORY).arg(0, top));
    let memory = world.room(3);
    world.fails(read(named, memory, 0), Errno::EBADF);
}

fn open_beneath_in_a_run(world: &mut World) {
    let top = fenced(world);
    let memory = world.room(8);
    let chain = |text, flags| {
        [
            open(text, flags).arg(0, top).local().save(0).link(),
            read(0, memory, 0).load(0, 0).link(),
            close(0).load(0, 0).finally(),
        ]
    };
    let flags = READ | OpenFlags::BENEATH;
    let (file, out) = (world.text("file"), world.text("below/../../outside"));
    for _ in 0..3 {
        let done = world.run(&chain(file, flags));
        assert_eq!(done[1].result, 4, "{done:?}");
        let done = world.run(&chain(out, flags));
        let errors: Vec<Errno> = done.iter().map(|one| one.errno()).collect();
        assert_eq!(errors, [Errno::EXDEV, Errno::ECANCELED, Errno::ECANCELED]);
    }
    assert_eq!(&world.bytes(memory)[..4], b"file");
    assert_eq!(world.descriptors(), 4, "those that `fenced` left open");
}

fn open_more_than_the_table_holds(world: &mut World) {
    world.renew_table(4);
    let files: Vec<u64> = (0..4).map(|_| world.file("a", b"")).collect();
    let path = world.path("a");
    world.fails(open(path, READ), Errno::EMFILE);
    let new = world.path("new");
    world.fails(open(new, WRITE | CREATE), Errno::EMFILE);
    world.fails(socket(1, 1, 0), Errno::EMFILE);
    world.fails(pipe(0), Errno::EMFILE);
    world.close(files[1]);
    world.fails(open(new, READ), Errno::ENOENT);
    world.fails(pipe(0), Errno::EMFILE);
    let again = world.ok(open(path, READ));
    assert_ne!(again, files[1]);
    world.close(files[0]);
    world.close(files[2]);
    let (reader, writer) = world.pipe();
    assert_ne!(reader, writer);
    assert_eq!(world.descriptors(), 4);
}

fn open_of_a_fifo_never_waits(world: &mut World) {
    let path = world.path("fifo");
    world.ok(mknod(path, NodeKind::Fifo, 0));
    world.fails(open(path, WRITE), Errno::ENXIO);
    let reader = world.ok(open(path, READ));
    let writer = world.ok(open(path, WRITE));
    // And then they behave as blocking ones.
    let memory = world.room(8);
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty());
    let data = world.put(b"fifo");
    world.start(&[write(writer, data, HERE).data(2)]);
    assert!(world.settle().iter().all(|one| one.outcome() == Ok(4)));
    world.fails(read(reader, memory, HERE).timeout(0), Errno::ETIMEDOUT);
    world.close(writer);
    assert_eq!(world.ok(read(reader, memory, HERE)), 0);
}

fn opened_files_outlive_their_names(world: &mut World) {
    let file = world.file("a", b"abc");
    let path = world.path("a");
    world.ok(remove(path, RemoveFlags::empty()));
    world.fails(open(path, READ), Errno::ENOENT);
    assert_eq!(world.contents(file, 0, 9), b"abc");
}

fn close_kills_the_descriptor(world: &mut World) {
    let file = world.file("a", b"abc");
    assert_eq!(world.ok(close(file)), 0);
    assert_eq!(world.descriptors(), 0);
    world.fails(close(file), Errno::EBADF);
    let memory = world.room(4);
    world.fails(read(file, memory, 0), Errno::EBADF);
}

fn close_needs_a_live_descriptor(world: &mut World) {
    let file = world.file("a", b"abc");
    let live = Descriptor::from_number(file).unwrap();
    let other_generation = Descriptor::new(live.generation().wrapping_add(1).max(1), live.index()).unwrap();
    let other_index = Descriptor::new(live.generation(), live.index() + 1).unwrap();
    let too_large = Descriptor::new(1, u32::MAX).unwrap();
    for number in [0, 1, u64::MAX, other_generation.number(), other_index.number(), too_large.number()] {
        world.fails(close(number), Errno::EBADF);
    }
    assert_eq!(world.contents(file, 0, 9), b"abc");
}

fn close_lets_running_operations_finish(world: &mut World) {
    let (reader, writer) = world.pipe();
    let memory = world.room(8);
    world.start(&[read(reader, memory, HERE).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[close(reader).data(2)]);
    let all = world.wait(1);
    assert_eq!((all[0].data, all[0].outcome()), (2, Ok(0)));
    // Dead for newcomers; the read goes on, on its own object, also when the index is somebody else's.
    let path = world.path("decoy");
    world.start(&[open(path, READ | WRITE | CREATE).data(5)]);
    let decoy = world.wait(1)[0].result;
    let (second, second_writer) = {
        world.start(&[pipe(0).data(3)]);
        let one = world.wait(1)[0];
        assert_eq!(one.errno(), Errno::OK);
        (one.result, world.ring().register(1).unwrap())
    };
    let data = world.put(b"right");
    world.start(&[write(writer, data, HERE).data(4)]);
    let all = world.settle();
    let read = all.iter().find(|one| one.data == 1).expect("the read ends");
    assert_eq!(read.outcome(), Ok(5));
    assert_eq!(world.bytes(memory.part(0, 5)), b"right");
    for descriptor in [decoy, second, second_writer, writer] {
        world.close(descriptor);
    }
    assert_eq!(world.descriptors(), 0);
}

fn closed_indices_come_back_with_another_generation(world: &mut World) {
    world.renew_table(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let file = world.file("a", b"abc");
        assert!(seen.insert(file), "a descriptor was given out twice");
        world.close(file);
        world.fails(close(file), Errno::EBADF);
    }
}

fn use_after_close_in_one_chain(world: &mut World) {
    world.file("a", b"abc");
    let path = world.path("a");
    let memory = world.room(4);
    let all = world.run(&[
        open(path, READ).local().save(0).link(),
        close(0).load(0, 0).link(),
        read(0, memory, 0).load(0, 0).hard(),
        close(0).load(0, 0).hard(),
        get(1),
    ]);
    let errors: Vec<Errno> = all.iter().map(|one| one.errno()).collect();
    assert_eq!(errors, [Errno::OK, Errno::OK, Errno::EBADF, Errno::EBADF, Errno::OK]);
    assert_eq!(world.descriptors(), 1);
}

fn seek_from_each_base(world: &mut World) {
    let file = world.file("a", b"0123456789");
    assert_eq!(world.ok(seek(file, 4, Whence::Start)), 4);
    assert_eq!(world.take(file, 2), b"45");
    assert_eq!(world.ok(seek(file, -3, Whence::Current)), 3);
    assert_eq!(world.ok(seek(file, 2, Whence::Current)), 5);
    assert_eq!(world.ok(seek(file, -1, Whence::End)), 9);
    assert_eq!(world.ok(seek(file, 5, Whence::End)), 15);
    assert_eq!(world.take(file, 2), b"");
    world.give(file, b"!");
    assert_eq!(world.contents(file, 10, 10), b"\0\0\0\0\0!");
}

fn seek_errors(world: &mut World) {
    let file = world.file("a", b"0123456789");
    world.fails(seek(file, -1, Whence::Start), Errno::EINVAL);
    world.fails(seek(file, -1, Whence::Current), Errno::EINVAL);
    world.fails(seek(file, -11, Whence::End), Errno::EINVAL);
    world.fails(seek(file, i64::MIN, Whence::Start), Errno::EINVAL);
    assert_eq!(world.ok(seek(file, 0, Whence::Current)), 0, "a failed SEEK moves nothing");
    world.fails_any(seek(file, i64::MAX, Whence::End), &[Errno::EOVERFLOW, Errno::EINVAL]);
    for mode in [3, 4, u64::MAX] {
        world.fails(seek(file, 0, Whence::Start).arg(4, mode), Errno::EINVAL);
    }
    let (reader, writer) = world.pipe();
    world.fails(seek(reader, 0, Whence::Start), Errno::ESPIPE);
    world.fails(seek(writer, 0, Whence::End), Errno::ESPIPE);
    let socket = world.ok(socket(1, 1, 0));
    world.fails(seek(socket, 0, Whence::Current), Errno::ESPIPE);
}

fn seek_rewinds_a_directory(world: &mut World) {
    world.file("a", b"");
    let directory = world.open("", READ | OpenFlags::DIRECTORY);
    let memory = world.room(4096);
    let first = world.ok(readdir(directory, memory));
    assert!(first > 0);
    assert_eq!(world.ok(readdir(directory, memory)), 0);
    assert_eq!(world.ok(seek(directory, 0, Whence::Start)), 0);
    assert_eq!(world.ok(readdir(directory, memory)), first);
}

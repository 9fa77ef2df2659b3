//! Every way out that a path can take: none of them reaches, changes or tells of anything outside.

use std::fs;
use std::os::unix::fs::symlink as make_link;

use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, Errno};
use ouzel::scheme::Rights;
use ouzel_conformance::World;
use ouzel_conformance::entry::*;

use crate::scene::{Scene, confined, dump, put, put_two, try_one};

ouzel_conformance::cases![
    no_verb_leaves_the_root,
    no_verb_leaves_a_directory,
    links_that_lead_out_are_only_links,
    the_links_of_proc_lead_nowhere,
    a_directory_that_was_moved_away,
    a_pipe_is_not_waited_for,
];

/// Entries whose path goes through something that leads out: whatever it is, it must not.
fn entries(world: &World, path: &str) -> Vec<(&'static str, Entry)> {
    let one = put(world, path);
    let to = put_two(world, path, "d/here");
    let from = put_two(world, "d/g", path);
    let attributed = put_two(world, path, "user.test");
    let (record, value) = (world.room(256), world.put(b"value"));
    let none = XattrFlags::empty();
    let every = OpenFlags::READ | OpenFlags::WRITE;
    vec![
        ("open", open(one, OpenFlags::READ)),
        ("open to write", open(one, every | OpenFlags::TRUNCATE)),
        ("open and make", open(one, every | OpenFlags::CREATE)),
        ("open a name", open(one, OpenFlags::PATH)),
        ("stat", stat(one, record)),
        ("statfs", statfs(one, record)),
        ("access", access(one, AccessFlags::empty())),
        ("chmod", chmod(one, 0o777)),
        ("chown", chown(one, 65_534, 65_534)),
        ("utimes", utimes(one, world.room(32))),
        ("getxattr", getxattr(attributed, world.room(20))),
        ("setxattr", setxattr(attributed, value, none)),
        ("listxattr", listxattr(one, world.room(200))),
        ("removexattr", removexattr(attributed)),
        ("link, following", link(to, LinkFlags::FOLLOW)),
        // What is behind works on a name, so that only what is before the name leads anywhere.
        ("readlink", readlink(one, world.room(100))),
        ("stat, not following", stat(one, record).arg(4, StatFlags::NOFOLLOW.bits())),
        ("mkdir", mkdir(one)),
        ("mknod", mknod(one, NodeKind::Regular, 0)),
        ("remove", remove(one, RemoveFlags::empty())),
        ("remove a directory", remove(one, RemoveFlags::DIRECTORY)),
        ("rename away", rename(to, RenameFlags::empty())),
        ("rename here", rename(from, RenameFlags::empty())),
        ("exchange", rename(to, RenameFlags::EXCHANGE)),
        ("link", link(to, LinkFlags::empty())),
        ("link here", link(from, LinkFlags::empty())),
        ("symlink", symlink(from)),
    ]
}

/// The verbs of [`entries`] that follow what is last in their path.
const FOLLOWING: usize = 15;

fn no_verb_leaves_the_root(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let before = dump(&scene.outside(), true);
    // Names that lie outside whether the last is followed or not, and names that only do if it is.
    let outside = [
        "../outside/canary",
        "../outside/new",
        "/../outside/canary",
        "//..//outside/canary",
        "d/../../outside/canary",
        "d/e/../../../outside/canary",
        "up/canary",
        "up/new",
        "d/up/canary",
        "twice/canary",
        "twice/more/canary",
        "parent/outside/canary",
        "absolute/canary",
        "absolute/new",
        "magic/canary",
        "to-d/up/canary",
        "to-d/../../outside/canary",
        "absolute/../inside/f",
        "../inside/f",
    ];
    let led_out = ["out", "up", "twice", "parent", "absolute", "magic", "up/", "absolute/.", "..", "d/../.."];
    for (number, path) in outside.iter().chain(&led_out).enumerate() {
        let all = entries(&world, path);
        let count = if number < outside.len() { all.len() } else { FOLLOWING };
        for (verb, entry) in &all[..count] {
            let one = try_one(&mut world, *entry);
            let expected = [Errno::EXDEV, Errno::ELOOP];
            // A slash behind what is to be made is refused before anybody looks where it leads.
            let refused = *verb == "open and make" && one.errno() == Errno::EISDIR;
            assert!(refused || expected.contains(&one.errno()), "{verb} of {path}: {}", one.errno());
            assert_eq!((one.result, one.extra), (0, 0), "{verb} of {path} tells something");
        }
        assert_eq!(dump(&scene.outside(), true), before, "after {path}");
    }
    // An absolute path starts at the root, so that the system's names are none here.
    let system = scene.outside().join("canary");
    for path in ["/etc/passwd", "/proc/self/status", system.to_str().unwrap()] {
        let memory = put(&world, path);
        world.fails(open(memory, OpenFlags::READ), Errno::ENOENT);
        let record = world.room(256);
        world.fails(stat(memory, record), Errno::ENOENT);
    }
    assert_eq!(dump(&scene.outside(), true), before);
}

fn no_verb_leaves_a_directory(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let before = dump(&scene.outside(), true);
    for flags in [OpenFlags::READ | OpenFlags::DIRECTORY, OpenFlags::PATH] {
        let memory = put(&world, "d");
        let directory = world.ok(open(memory, flags));
        for path in ["../f", "../../outside/canary", "up/canary", "e/../../f", "back", "../d/g"] {
            let all = entries(&world, path);
            let count = if path == "back" { FOLLOWING } else { all.len() };
            for (verb, entry) in &all[..count] {
                // The second path of those that have two starts at the root.
                let place = if matches!(*verb, "rename here" | "link here" | "symlink") { 4 } else { 0 };
                let one = try_one(&mut world, entry.arg(place, directory));
                assert_eq!(one.errno(), Errno::EXDEV, "{verb} of {path} in d");
            }
        }
        world.close(directory);
    }
    assert_eq!(dump(&scene.outside(), true), before);
}

fn links_that_lead_out_are_only_links(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let before = dump(&scene.outside(), true);
    // They can be made, read, moved and removed like any.
    let paths = put_two(&world, "/etc/passwd", "d/made");
    world.ok(symlink(paths));
    let (made, room) = (put(&world, "d/made"), world.room(100));
    assert_eq!(world.ok(readlink(made, room)), 11);
    assert_eq!(&world.bytes(room)[..11], b"/etc/passwd");
    let record = world.room(256);
    world.fails(stat(made, record), Errno::EXDEV);
    world.ok(stat(made, record).arg(4, StatFlags::NOFOLLOW.bits()));
    for name in ["out", "absolute", "magic"] {
        let (memory, moved) = (put(&world, name), put_two(&world, name, &format!("d/e/{name}")));
        world.ok(chown(memory, 1, 1).arg(4, u64::MAX).arg(3, AtFlags::NOFOLLOW.bits()));
        world.ok(rename(moved, RenameFlags::empty()));
        let back = put_two(&world, &format!("d/e/{name}"), &format!("d/e/{name}-too"));
        world.ok(link(back, LinkFlags::empty()));
        for gone in [format!("d/e/{name}"), format!("d/e/{name}-too")] {
            let memory = put(&world, &gone);
            world.ok(remove(memory, RemoveFlags::empty()));
        }
    }
    world.ok(remove(made, RemoveFlags::empty()));
    assert_eq!(dump(&scene.outside(), true), before);
}

fn the_links_of_proc_lead_nowhere(world: &mut World) {
    let stage = world.stage.clone();
    let mut world = World::over(&stage, confined(&stage, "/proc/self", 4, Rights::files()));
    for path in ["root", "root/etc/passwd", "cwd", "fd/0", "exe", "ns/net", "task/../root/etc"] {
        let (memory, record) = (put(&world, path), world.room(256));
        for entry in [
            open(memory, OpenFlags::READ),
            open(memory, OpenFlags::PATH),
            stat(memory, record),
            access(memory, AccessFlags::READ),
        ] {
            world.fails_any(entry, &[Errno::ELOOP, Errno::EXDEV]);
        }
    }
    let (memory, room) = (put(&world, "exe"), world.room(4095));
    assert!(world.ok(readlink(memory, room)) > 1, "a link can be read");
    let memory = put(&world, "status");
    world.ok(open(memory, OpenFlags::READ));
}

fn a_directory_that_was_moved_away(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let memory = put(&world, "d/e");
    let directory = world.ok(open(memory, OpenFlags::READ | OpenFlags::DIRECTORY));
    // The service's own user moves it out: it stays open, and nothing else comes into reach.
    fs::rename(scene.inside().join("d/e"), scene.outside().join("e")).unwrap();
    make_link("canary", scene.outside().join("e/near")).unwrap();
    make_link("../canary", scene.outside().join("e/far")).unwrap();
    let before = dump(&scene.outside(), true);
    for path in ["../canary", "../e/../canary", "far", "../new", "h/../../canary"] {
        for (verb, entry) in &entries(&world, path)[..FOLLOWING] {
            let one = try_one(&mut world, entry.arg(0, directory));
            let expected = if path.starts_with("h/") { Errno::ENOTDIR } else { Errno::EXDEV };
            assert_eq!(one.errno(), expected, "{verb} of {path}");
        }
    }
    for (verb, entry) in &entries(&world, "../new")[FOLLOWING..] {
        let place = if matches!(*verb, "rename here" | "link here" | "symlink") { 4 } else { 0 };
        assert_eq!(try_one(&mut world, entry.arg(place, directory)).errno(), Errno::EXDEV, "{verb}");
    }
    let memory = put(&world, "near");
    world.fails(open(memory, OpenFlags::READ).arg(0, directory), Errno::ENOENT);
    let memory = put(&world, "d/e/h");
    world.fails(open(memory, OpenFlags::READ), Errno::ENOENT);
    let memory = put(&world, "h");
    let file = world.ok(open(memory, OpenFlags::READ).arg(0, directory));
    assert_eq!(world.contents(file, 0, 9), b"deepest");
    assert_eq!(dump(&scene.outside(), true), before);
}

fn a_pipe_is_not_waited_for(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let memory = put(&world, "d/pipe");
    world.ok(mknod(memory, NodeKind::Fifo, 0));
    let record = world.room(256);
    world.ok(stat(memory, record));
    world.ok(chmod(memory, 0o600));
    world.fails(open(memory, OpenFlags::WRITE), Errno::ENXIO);
    world.ok(open(memory, OpenFlags::READ));
}

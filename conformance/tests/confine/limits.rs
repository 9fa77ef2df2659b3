//! Rights, room and cancels: what is refused changes nothing, and nothing is left open, however an operation ends.

use std::fs;

use ouzel::abi::modifiers::*;
use ouzel::abi::{Errno, Verb};
use ouzel::engine::Target;
use ouzel::scheme::{Rights, VerbSet};
use ouzel_conformance::World;
use ouzel_conformance::entry::*;

use crate::scene::{Scene, descriptors, dump, put, put_two};

ouzel_conformance::cases![
    who_may_only_read_changes_nothing,
    verbs_that_are_not_allowed,
    many_paths_with_little_room,
    cancels_leave_nothing_open,
    timeouts_leave_nothing_open,
    teardowns_leave_nothing_open,
];

fn who_may_only_read_changes_nothing(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::read_only()));
    let before = dump(&scene.inside(), true);
    let (f, new) = (put(&world, "f"), put(&world, "d/new"));
    let two = put_two(&world, "f", "d/new");
    let attribute = put_two(&world, "f", "user.x");
    let (room, value) = (world.room(32), world.put(b"x"));
    let file = world.ok(open(f, OpenFlags::READ));
    let other = world.ok(open(f, OpenFlags::READ));
    for entry in [
        open(f, OpenFlags::WRITE),
        open(f, OpenFlags::READ | OpenFlags::WRITE),
        open(f, OpenFlags::WRITE | OpenFlags::TRUNCATE),
        open(new, OpenFlags::READ | OpenFlags::CREATE),
        write(file, value, 0),
        truncate(file, 0),
        allocate(file, 0, 10, AllocateFlags::empty()),
        copy(file, 0, other, 0, 1),
        mkdir(new),
        remove(f, RemoveFlags::empty()),
        rename(two, RenameFlags::empty()),
        link(two, LinkFlags::empty()),
        symlink(two),
        chmod(f, 0o777),
        chown(f, 1, 1),
        utimes(f, room),
        setxattr(attribute, value, XattrFlags::empty()),
        removexattr(attribute),
        access(f, AccessFlags::WRITE),
        mknod(new, NodeKind::Regular, 0),
    ] {
        world.fails(entry, Errno::EROFS);
    }
    assert_eq!(world.contents(file, 0, 9), b"file");
    let record = world.room(256);
    for entry in [
        stat(f, record),
        stat_of(file, record),
        statfs(f, record),
        access(f, AccessFlags::READ),
        seek(file, 0, Whence::Start),
        listxattr(f, world.room(200)),
        close(other),
        sync(file, SyncMode::Full),
        nop(),
        get(1),
    ] {
        world.ok(entry);
    }
    let directory = put(&world, "d");
    let directory = world.ok(open(directory, OpenFlags::READ | OpenFlags::DIRECTORY));
    let room = world.room(1000);
    assert!(world.ok(readdir(directory, room)) > 0);
    assert_eq!(dump(&scene.inside(), true), before);
}

fn verbs_that_are_not_allowed(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let verbs = VerbSet::from_iter([Verb::Open, Verb::Read]);
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights { verbs, ..Rights::files() }));
    let (f, record) = (put(&world, "f"), world.room(256));
    world.fails(stat(f, record), Errno::EPERM);
    world.fails(socket(1, 1, 0), Errno::EPERM);
    world.fails(pipe(0), Errno::EPERM);
    world.fails(wait_number(1), Errno::EPERM);
    let word = world.room(4);
    world.fails(futex_wake(word, 1), Errno::EPERM);
    let memory = world.room(8);
    // A chain breaks where something is not allowed, and what it opened is closed.
    let all = world.run(&[
        open(f, OpenFlags::READ).local().save(0).link(),
        read(0, memory, 0).load(0, 0).link(),
        stat_of(0, record).load(0, 0).link(),
        read(0, memory, 0).load(0, 0).link(),
        close(0).load(0, 0).finally(),
    ]);
    let errors: Vec<Errno> = all.iter().map(|one| one.errno()).collect();
    assert_eq!(errors, [Errno::OK, Errno::OK, Errno::EPERM, Errno::ECANCELED, Errno::OK]);
    assert_eq!(world.gauges().descriptors, 0);
}

fn many_paths_with_little_room(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let before = descriptors();
    let mut world = World::over(&stage, scene.ring(&stage, 1, Rights::all()));
    let (path, two) = (put(&world, "d/e/h"), put_two(&world, "d/g", "d/e/moved"));
    let records: Vec<_> = (0..50).map(|_| stat(path, world.room(256))).collect();
    let all = world.run(&records);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    world.fails(rename(two, RenameFlags::empty()), Errno::EMFILE);
    assert!(scene.inside().join("d/g").exists());
    let one = put_two(&world, "f", "d/e/moved");
    world.ok(rename(one, RenameFlags::empty()));
    drop(world);
    // With none there is no verb that resolves, but what goes straight does.
    let mut world = World::over(&stage, scene.ring(&stage, 0, Rights::all()));
    let record = world.room(256);
    let (path, dotted) = (put(&world, "d/g"), put(&world, "d/../d/g"));
    world.fails(stat(path, record), Errno::EMFILE);
    world.ok(open(dotted, OpenFlags::READ));
    drop(world);
    assert_eq!(descriptors(), before);
}

fn cancels_leave_nothing_open(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let before = descriptors();
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let (there, record) = (put(&world, "d/e/h"), world.room(256));
    let opened = put(&world, "d/../d/g");
    for round in 0..60u64 {
        let name = format!("d/e/made-{round}");
        let made = put(&world, &name);
        let moved = put_two(&world, &name, &format!("d/moved-{round}"));
        world.start(&[
            mkdir(made).data(1),
            stat(there, record).data(2),
            chmod(there, 0o640).data(3),
            open(opened, OpenFlags::READ).data(4),
            rename(moved, RenameFlags::empty()).data(5),
        ]);
        // At different moments, as far as that goes.
        for _ in 0..round % 6 {
            world.enter(0, 0, None);
            std::thread::yield_now();
        }
        world.cancel(Target::All);
        let all = world.settle();
        assert_eq!(all.len(), 5, "{all:#?}");
        for one in all {
            let missing = one.data == 5 && one.errno() == Errno::ENOENT;
            let fine = missing || one.errno() == Errno::OK || one.errno() == Errno::ECANCELED;
            assert!(fine, "{one:?}");
            if one.data == 4 && one.error == 0 {
                world.close(one.result);
            }
        }
        assert_eq!(world.gauges().packets, 0);
        assert_eq!(world.gauges().descriptors, 0);
    }
    drop(world);
    assert_eq!(descriptors(), before);
    assert_eq!(fs::read(scene.outside().join("canary")).unwrap(), b"secret");
}

fn timeouts_leave_nothing_open(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let before = descriptors();
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let (there, record) = (put(&world, "d/e/h"), world.room(256));
    for timeout in [0, 1, 1_000, 20_000, 100_000, 1_000_000] {
        for _ in 0..10 {
            let one = world.one(stat(there, record).timeout(timeout));
            assert!(matches!(one.errno(), Errno::OK | Errno::ETIMEDOUT), "{one:?}");
        }
        // Storage is no event: what may not wait is done all the same.
        if timeout == 0 {
            assert_eq!(world.one(stat(there, record).timeout(0)).errno(), Errno::OK);
        }
    }
    drop(world);
    assert_eq!(descriptors(), before);
}

fn teardowns_leave_nothing_open(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let before = descriptors();
    for entered in 0..4 {
        let mut world = World::over(&stage, scene.ring(&stage, 2, Rights::all()));
        let path = put(&world, "d/e/h");
        let entries: Vec<_> = (0..10).map(|number| stat(path, world.room(256)).data(number)).collect();
        world.start(&entries);
        let mut count = 0;
        for _ in 0..entered {
            world.enter(0, 0, None);
            count += world.pop_all().len();
        }
        count += world.teardown().len();
        assert_eq!(count, 10);
        drop(world);
        assert_eq!(descriptors(), before);
    }
}

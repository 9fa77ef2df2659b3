//! A race: somebody turns a directory into a link that leads out, and back, as fast as it goes, while every verb is done on
//! names in it. None of them may ever be done outside.

use std::fs;
use std::os::unix::fs::symlink as make_link;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::*;
use ouzel::scheme::Rights;
use ouzel_conformance::World;
use ouzel_conformance::entry::*;
use rustix::fs::{CWD, RenameFlags as Renames, renameat_with};

use crate::scene::{Scene, dump, put, put_two};

ouzel_conformance::cases![names_that_are_swapped_lead_nowhere];

/// How long it goes on.
const LENGTH: Duration = Duration::from_millis(700);

fn names_that_are_swapped_lead_nowhere(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let inside = scene.inside();
    // What is outside has the names that the verbs use inside.
    fs::write(inside.join("d/canary"), b"public").unwrap();
    make_link("../../outside", inside.join("d/e/lure")).unwrap();
    fs::rename(inside.join("d/e/lure"), inside.join("lure")).unwrap();
    fs::remove_file(inside.join("lure")).unwrap();
    make_link("../outside", inside.join("lure")).unwrap();
    let before = dump(&scene.outside(), true);
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (stop, first, second) = (Arc::clone(&stop), inside.join("d"), inside.join("lure"));
        move || {
            let mut swaps = 0u64;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &first, CWD, &second, Renames::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    let mut world = World::over(&stage, scene.ring(&stage, 4, Rights::all()));
    let (canary, new) = (put(&world, "d/canary"), put(&world, "d/new"));
    let (linked, moved) = (put_two(&world, "d/canary", "linked"), put_two(&world, "d/new", "d/moved"));
    let made = put_two(&world, "canary", "d/made");
    let attribute = put_two(&world, "d/canary", "user.race");
    let (gone, moved_name) = (put(&world, "linked"), put(&world, "d/moved"));
    let made_name = put(&world, "d/made");
    let (record, memory, value) = (world.room(256), world.room(16), world.put(b"changed"));
    let entries = [
        stat(canary, record),
        chmod(canary, 0o600),
        utimes(canary, world.room(32)),
        setxattr(attribute, value, XattrFlags::empty()),
        access(canary, AccessFlags::READ),
        mkdir(new),
        rename(moved, RenameFlags::empty()),
        remove(new, RemoveFlags::DIRECTORY),
        remove(moved_name, RemoveFlags::DIRECTORY),
        symlink(made),
        remove(made_name, RemoveFlags::empty()),
        link(linked, LinkFlags::FOLLOW),
        remove(gone, RemoveFlags::empty()),
    ];
    let (began, mut good, mut bad) = (Instant::now(), 0u64, 0u64);
    while began.elapsed() < LENGTH {
        for one in world.run(&entries) {
            if one.error == 0 { good += 1 } else { bad += 1 }
        }
        let all = world.run(&[
            open(canary, OpenFlags::READ | OpenFlags::WRITE).local().save(0).link(),
            read(0, memory, 0).load(0, 0).link(),
            close(0).load(0, 0).finally(),
        ]);
        if all[1].error == 0 {
            assert_eq!(&world.bytes(memory)[..6], b"public", "read outside");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert_eq!(dump(&scene.outside(), true), before);
    assert!(swaps > 100 && good > 0 && bad > 0, "{swaps} swaps, {good} good and {bad} bad");
}

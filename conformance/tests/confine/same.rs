//! The same verbs on the same tree, on a ring that is confined to it and on one that is not: the same errors and results, and
//! the same tree afterwards.

use std::fs;

use ouzel::abi::modifiers::*;
use ouzel::abi::{Entry, EntryFlags};
use ouzel::scheme::Rights;
use ouzel_conformance::entry::*;
use ouzel_conformance::memory::Memory;
use ouzel_conformance::{Stage, World};

use crate::scene::{Dump, Scene, confined, dump, plant, try_one};

ouzel_conformance::cases![every_verb_on_every_path, paths_from_an_open_directory, chains_with_paths];

/// Paths that stay where they are.
const PATHS: &[&str] = &[
    "f",
    "d",
    "d/g",
    "d/e/h",
    "d//e///h",
    "./d/./g",
    "d/../f",
    "d/e/../../f",
    "d/e/..",
    "d/.",
    ".",
    "./",
    "d/",
    "f/",
    "d/g/",
    "empty",
    "empty/",
    "empty/new",
    "new",
    "new/",
    "d/new",
    "d/new/",
    "missing/new",
    "f/new",
    "to-f",
    "to-f/",
    "to-d",
    "to-d/",
    "to-d/g",
    "to-e/h",
    "to-e/new",
    "to-e/../g",
    "d/back",
    "d/back/new",
    "d/round",
    "dangling",
    "dangling/",
    "dangling/x",
    "loop-a",
    "loop-a/x",
];

/// A verb, made of the memory with its path or paths.
type Make = (&'static str, fn(&World, &dyn Fn(&World, &str) -> String, &str) -> Entry);

fn text(world: &World, text: String) -> Memory {
    world.put(format!("{text}\0").as_bytes())
}

/// Both paths, or the name and the path, of an entry.
fn two(world: &World, first: &str, second: &str) -> Memory {
    world.put(format!("{first}\0{second}\0").as_bytes())
}

const NOW: [i64; 4] = [1_000_000, 5, 2_000_000, 7];

fn times(world: &World) -> Memory {
    let bytes: Vec<u8> = NOW.iter().flat_map(|word| word.to_ne_bytes()).collect();
    world.put(&bytes)
}

fn omitted(world: &World) -> Memory {
    let words = [0, TIME_OMIT, 0, TIME_OMIT];
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    world.put(&bytes)
}

const VERBS: &[Make] = &[
    ("open", |world, name, path| open(text(world, name(world, path)), OpenFlags::READ)),
    ("open to write", |world, name, path| open(text(world, name(world, path)), OpenFlags::WRITE)),
    ("open and make", |world, name, path| {
        open(text(world, name(world, path)), OpenFlags::WRITE | OpenFlags::CREATE)
    }),
    ("open and make anew", |world, name, path| {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        open(text(world, name(world, path)), flags)
    }),
    ("open and empty", |world, name, path| {
        open(text(world, name(world, path)), OpenFlags::WRITE | OpenFlags::TRUNCATE)
    }),
    ("open a directory", |world, name, path| {
        open(text(world, name(world, path)), OpenFlags::READ | OpenFlags::DIRECTORY)
    }),
    ("open, not following", |world, name, path| {
        open(text(world, name(world, path)), OpenFlags::READ | OpenFlags::NOFOLLOW)
    }),
    ("open a name", |world, name, path| {
        let flags = OpenFlags::PATH | OpenFlags::WRITE | OpenFlags::TRUNCATE | OpenFlags::NOFOLLOW;
        open(text(world, name(world, path)), flags)
    }),
    ("stat", |world, name, path| stat(text(world, name(world, path)), world.room(256))),
    ("stat, not following", |world, name, path| {
        stat(text(world, name(world, path)), world.room(256)).arg(4, StatFlags::NOFOLLOW.bits())
    }),
    ("mkdir", |world, name, path| mkdir(text(world, name(world, path)))),
    ("remove", |world, name, path| remove(text(world, name(world, path)), RemoveFlags::empty())),
    ("remove a directory", |world, name, path| {
        remove(text(world, name(world, path)), RemoveFlags::DIRECTORY)
    }),
    ("rename", |world, name, path| {
        rename(two(world, &name(world, path), &name(world, "d/moved")), RenameFlags::empty())
    }),
    ("rename here", |world, name, path| {
        rename(two(world, &name(world, "d/g"), &name(world, path)), RenameFlags::empty())
    }),
    ("rename to what is not there", |world, name, path| {
        rename(two(world, &name(world, "f"), &name(world, path)), RenameFlags::NOREPLACE)
    }),
    ("exchange", |world, name, path| {
        rename(two(world, &name(world, path), &name(world, "d/g")), RenameFlags::EXCHANGE)
    }),
    ("link", |world, name, path| {
        link(two(world, &name(world, path), &name(world, "d/linked")), LinkFlags::empty())
    }),
    ("link, following", |world, name, path| {
        link(two(world, &name(world, path), &name(world, "d/linked")), LinkFlags::FOLLOW)
    }),
    ("link here", |world, name, path| {
        link(two(world, &name(world, "d/g"), &name(world, path)), LinkFlags::FOLLOW)
    }),
    ("symlink", |world, name, path| symlink(two(world, "any/where", &name(world, path)))),
    ("readlink", |world, name, path| readlink(text(world, name(world, path)), world.room(100))),
    ("chmod", |world, name, path| chmod(text(world, name(world, path)), 0o750)),
    ("chown", |world, name, path| {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        chown(text(world, name(world, path)), user.as_raw(), group.as_raw())
    }),
    ("chown, not following", |world, name, path| {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        let one = chown(text(world, name(world, path)), user.as_raw(), group.as_raw());
        one.arg(3, AtFlags::NOFOLLOW.bits())
    }),
    ("utimes", |world, name, path| utimes(text(world, name(world, path)), times(world))),
    ("utimes, not following", |world, name, path| {
        utimes(text(world, name(world, path)), times(world)).arg(4, AtFlags::NOFOLLOW.bits())
    }),
    ("utimes of nothing", |world, name, path| utimes(text(world, name(world, path)), omitted(world))),
    ("mknod", |world, name, path| mknod(text(world, name(world, path)), NodeKind::Fifo, 0)),
    ("mknod of a file", |world, name, path| mknod(text(world, name(world, path)), NodeKind::Regular, 0)),
    ("statfs", |world, name, path| statfs(text(world, name(world, path)), world.room(96))),
    ("access", |world, name, path| {
        access(text(world, name(world, path)), AccessFlags::READ | AccessFlags::WRITE)
    }),
    ("access to execute", |world, name, path| {
        let one = access(text(world, name(world, path)), AccessFlags::EXECUTE);
        one.arg(4, AccessOptions::EFFECTIVE.bits())
    }),
    ("access, not following", |world, name, path| {
        let one = access(text(world, name(world, path)), AccessFlags::empty());
        one.arg(4, AccessOptions::NOFOLLOW.bits())
    }),
    ("setxattr", |world, name, path| {
        let value = world.put(b"value");
        setxattr(two(world, &name(world, path), "user.test"), value, XattrFlags::empty())
    }),
    ("setxattr, not following", |world, name, path| {
        let value = world.put(b"value");
        setxattr(two(world, &name(world, path), "user.test"), value, XattrFlags::NOFOLLOW)
    }),
    ("getxattr", |world, name, path| getxattr(two(world, &name(world, path), "user.given"), world.room(20))),
    ("getxattr, not following", |world, name, path| {
        let room = world.room(20);
        let one = getxattr(two(world, &name(world, path), "user.given"), room);
        one.arg(4, room.length | XattrFlags::NOFOLLOW.bits())
    }),
    ("listxattr", |world, name, path| listxattr(text(world, name(world, path)), world.room(200))),
    ("listxattr, not following", |world, name, path| {
        let room = world.room(200);
        let one = listxattr(text(world, name(world, path)), room);
        one.arg(4, room.length | XattrFlags::NOFOLLOW.bits())
    }),
    ("removexattr", |world, name, path| removexattr(two(world, &name(world, path), "user.given"))),
    ("removexattr, not following", |world, name, path| {
        removexattr(two(world, &name(world, path), "user.given")).arg(4, XattrFlags::NOFOLLOW.bits())
    }),
];

/// Two trees that are alike: one that a ring is confined to, one that another ring works on by its full name.
struct Pair {
    scene: Scene,
    confined: World,
    plain: World,
}

impl Pair {
    fn new(stage: &Stage) -> Pair {
        let scene = Scene::new(stage);
        let root = scene.inside();
        let ring = confined(stage, root.to_str().unwrap(), 4, Rights::all());
        Pair { confined: World::over(stage, ring), plain: World::new(stage), scene }
    }

    /// Makes both trees as they were; the root itself stays.
    fn renew(&self) {
        let outside = self.scene.outside();
        let _ = fs::remove_dir_all(&outside);
        for root in [self.scene.inside(), self.root()] {
            let _ = fs::create_dir(&root);
            for entry in fs::read_dir(&root).unwrap() {
                let path = entry.unwrap().path();
                let _ = if path.is_dir() && !path.is_symlink() {
                    fs::remove_dir_all(&path)
                } else {
                    fs::remove_file(&path)
                };
            }
            plant(&outside);
            for entry in fs::read_dir(&outside).unwrap() {
                let entry = entry.unwrap();
                fs::rename(entry.path(), root.join(entry.file_name())).unwrap();
            }
            fs::remove_dir(&outside).unwrap();
            fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            for name in ["f", "d", "d/g"] {
                // What has no such attributes says so alike to both.
                let _ = rustix::fs::setxattr(
                    root.join(name),
                    "user.given",
                    b"1",
                    rustix::fs::XattrFlags::empty(),
                );
            }
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.scene.outside().with_file_name("plain")
    }

    fn check(&self, what: &str) -> Dump {
        let (confined, plain) = (dump(&self.scene.inside(), false), dump(&self.root(), false));
        assert_eq!(confined, plain, "the trees differ after {what}");
        confined
    }
}

fn every_verb_on_every_path(world: &mut World) {
    let stage = world.stage.clone();
    let mut pair = Pair::new(&stage);
    let root = pair.root().to_str().unwrap().to_owned();
    pair.renew();
    let fresh = pair.check("nothing");
    for (verb, make) in VERBS {
        for path in PATHS {
            for slash in ["", "/"] {
                // No directory means the root, and so does a slash.
                let named = |_: &World, path: &str| format!("{slash}{path}");
                let entry = make(&pair.confined, &named, path);
                let one = try_one(&mut pair.confined, entry);
                let named = |_: &World, path: &str| format!("{root}/{path}");
                let entry = make(&pair.plain, &named, path);
                let other = try_one(&mut pair.plain, entry);
                let what = format!("{verb} of {slash}{path}");
                assert_eq!(one.errno(), other.errno(), "{what}");
                if !verb.starts_with("open") {
                    assert_eq!((one.result, one.extra), (other.result, other.extra), "{what}");
                }
                // Attributes are not in the picture.
                if pair.check(&what) != fresh || (verb.contains("xattr") && one.error == 0) {
                    pair.renew();
                }
            }
        }
    }
}

fn paths_from_an_open_directory(world: &mut World) {
    let stage = world.stage.clone();
    let mut pair = Pair::new(&stage);
    pair.renew();
    let root = pair.root().to_str().unwrap().to_owned();
    let directory = |world: &mut World, path: String| {
        let memory = text(world, path);
        world.ok(open(memory, OpenFlags::READ | OpenFlags::DIRECTORY))
    };
    let one = directory(&mut pair.confined, "d".into());
    let other = directory(&mut pair.plain, format!("{root}/d"));
    for (verb, make) in VERBS {
        for path in ["g", "e/h", "e/../g", "e/new", "round", ".", "e/.", "missing", "g/x"] {
            if matches!(
                *verb,
                "rename here" | "rename" | "exchange" | "link here" | "link" | "link, following"
            ) || verb.starts_with("rename")
            {
                continue;
            }
            // The directory itself goes if it is moved away: only what is in it is made anew.
            let _ = fs::write(pair.scene.inside().join("d/g"), "deeper");
            let _ = fs::write(pair.root().join("d/g"), "deeper");
            let named = |_: &World, path: &str| path.to_owned();
            let place = if *verb == "symlink" { 4 } else { 0 };
            let entry = make(&pair.confined, &named, path).arg(place, one);
            let first = try_one(&mut pair.confined, entry);
            let entry = make(&pair.plain, &named, path).arg(place, other);
            let second = try_one(&mut pair.plain, entry);
            let what = format!("{verb} of {path} in d");
            assert_eq!(first.errno(), second.errno(), "{what}");
            pair.check(&what);
        }
    }
    // An absolute path has no use for the directory.
    let memory = text(&pair.confined, "/f".into());
    let file = pair.confined.ok(open(memory, OpenFlags::READ).arg(0, one));
    assert_eq!(pair.confined.contents(file, 0, 9), b"file");
}

fn chains_with_paths(world: &mut World) {
    let stage = world.stage.clone();
    let scene = Scene::new(&stage);
    let mut world = World::over(&stage, scene.ring(&stage, 2, Rights::all()));
    let memory = world.room(16);
    let (path, record) = (text(&world, "d/g".into()), world.room(256));
    let made = text(&world, "d/e/made".into());
    for _ in 0..20 {
        let all = world.run(&[
            open(path, OpenFlags::READ).local().save(0).link(),
            read(0, memory, 0).load(0, 0).save(1).link(),
            stat(path, record).link(),
            mkdir(made).link(),
            remove(made, RemoveFlags::DIRECTORY).link(),
            get(0).load(0, 1).link(),
            close(0).load(0, 0).finally(),
        ]);
        assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
        assert_eq!(all[1].result, 6);
        assert_eq!(all[5].result, 6);
        assert_eq!(&world.bytes(memory)[..6], b"deeper");
    }
    // A chain that breaks in the midst of a path goes no further, and closes what it has opened.
    let missing = text(&world, "nowhere/at/all".into());
    let all = world.run(&[
        open(path, OpenFlags::READ).local().save(0).link(),
        mkdir(missing).link(),
        mkdir(made).link(),
        close(0).load(0, 0).with(EntryFlags::FINALLY),
    ]);
    let errors: Vec<i32> = all.iter().map(|one| one.errno().raw()).collect();
    assert_eq!(errors, [0, 2, 125, 0]);
    assert_eq!(world.gauges().descriptors, 0);
}

//! `ouzel mount` where others change the directory that is served at the same time: the mount, which is root's, does nothing to any
//! file but that which its caller meant, whatever has its name by then.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "mount/scene.rs"]
#[allow(dead_code)] // What other tests need of it.
mod scene;

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;
use scene::Scene;

/// Has what others do end with it, however the test ends.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long what may race is tried.
const WHILE: Duration = Duration::from_millis(1500);

const PAST: Timestamps = Timestamps {
    last_access: Timespec { tv_sec: 1000, tv_nsec: 0 },
    last_modification: Timespec { tv_sec: 2000, tv_nsec: 0 },
};

/// All that can be changed of what lies in a directory, and of that.
fn state(directory: &Path) -> String {
    let mut lines = vec![about(directory)];
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        lines.push(format!("{}: {}", path.display(), about(&path)));
    }
    lines.sort_unstable();
    lines.join("\n")
}

fn about(path: &Path) -> String {
    let file = fs::symlink_metadata(path).unwrap();
    let changed = (file.ctime(), file.ctime_nsec(), file.mtime(), file.mtime_nsec());
    let mut names = [0; 64];
    let attributes = rustix::fs::llistxattr(path, &mut names[..]);
    format!(
        "{:o} {}:{} {} bytes, {} links, {changed:?} {attributes:?}",
        file.mode(),
        file.uid(),
        file.gid(),
        file.size(),
        file.nlink()
    )
}

/// A directory of somebody's, `u`, and one of somebody else's beside it.
fn neighbours(scene: &Scene) -> (PathBuf, PathBuf) {
    fs::create_dir(scene.mounted("u")).unwrap();
    fs::create_dir(scene.mounted("victim")).unwrap();
    fs::write(scene.mounted("victim/secret"), "secret").unwrap();
    fs::set_permissions(scene.served("victim/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    (scene.served("u"), scene.served("victim"))
}

fn exchange(one: &Path, other: &Path) {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn a_file_that_is_open_is_changed_whatever_has_its_name() {
    for scene in Scene::all() {
        let (own, victim) = neighbours(&scene);
        fs::write(scene.mounted("u/f"), "own").unwrap();
        let before = state(&victim);
        let file = File::options().read(true).write(true).open(scene.mounted("u/f")).unwrap();
        let read_only = File::open(scene.mounted("u/f")).unwrap();
        fs::rename(own.join("f"), own.join("moved")).unwrap();
        symlink("../victim/secret", own.join("f")).unwrap();
        read_only.set_permissions(fs::Permissions::from_mode(0o666)).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        file.set_len(2).unwrap();
        rustix::fs::futimens(&file, &PAST).unwrap();
        match rustix::fs::fsetxattr(&file, "user.x", b"abc", XattrFlags::empty()) {
            Ok(()) => rustix::fs::fremovexattr(&file, "user.x").unwrap(),
            Err(error) => assert_eq!(error, Errno::OPNOTSUPP),
        }
        if rustix::process::geteuid().is_root() {
            rustix::fs::fchown(&file, Some(Uid::from_raw(7)), Some(Gid::from_raw(8))).unwrap();
        }
        assert_eq!(state(&victim), before);
        let moved = fs::metadata(own.join("moved")).unwrap();
        assert_eq!((moved.mode() & 0o7777, moved.size(), moved.mtime()), (0o640, 2, 2000));
        // Another client saves it by renaming another file over it.
        fs::write(own.join("new"), "new").unwrap();
        fs::rename(own.join("new"), own.join("f")).unwrap();
        let new = about(&own.join("f"));
        rustix::fs::futimens(&file, &PAST).unwrap();
        read_only.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(about(&own.join("f")), new);
    }
}

#[test]
fn a_file_that_is_only_named_is_changed_or_nothing_is() {
    for scene in Scene::all() {
        let (own, victim) = neighbours(&scene);
        symlink("nowhere", scene.mounted("u/link")).unwrap();
        rustix::fs::mkfifoat(CWD, scene.mounted("u/fifo"), Mode::RWXU).unwrap();
        rustix::fs::mknodat(CWD, scene.mounted("u/socket"), FileType::Socket, Mode::RWXU, 0).unwrap();
        fs::write(scene.mounted("u/file"), "own").unwrap();
        fs::create_dir(scene.mounted("u/directory")).unwrap();
        let before = state(&victim);
        for name in ["link", "fifo", "socket", "file", "directory"] {
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let named = rustix::fs::open(scene.mounted("u").join(name), flags, Mode::empty()).unwrap();
            let by_name = format!("/proc/self/fd/{}", named.as_raw_fd());
            let change = || {
                let mode = rustix::fs::chmodat(CWD, &by_name, Mode::from_raw_mode(0o751), AtFlags::empty());
                let times = rustix::fs::utimensat(&named, "", &PAST, AtFlags::EMPTY_PATH);
                let owner =
                    rustix::fs::chownat(&named, "", Some(Uid::ROOT), Some(Gid::ROOT), AtFlags::EMPTY_PATH);
                [mode, times, owner]
            };
            // Where it was.
            let mode = if name == "link" { Err(Errno::OPNOTSUPP) } else { Ok(()) };
            assert_eq!(change()[..2], [mode, Ok(())], "{name}");
            let changed = fs::symlink_metadata(own.join(name)).unwrap();
            assert_eq!(changed.mtime(), 2000, "{name}");
            assert!(name == "link" || changed.mode() & 0o7777 == 0o751, "{name}");
            // Somebody has put a link to something else there.
            fs::rename(own.join(name), own.join("aside")).unwrap();
            symlink("../victim/secret", own.join(name)).unwrap();
            let link = about(&own.join(name));
            let stale = Err(Errno::STALE);
            let mode = if name == "link" { mode } else { stale };
            assert_eq!(change(), [mode, stale, stale], "{name}");
            let set = rustix::fs::setxattr(&by_name, "user.x", b"abc", XattrFlags::empty());
            assert!(set.is_err(), "{name}");
            assert_eq!(state(&victim), before, "{name}");
            assert_eq!(about(&own.join(name)), link);
            fs::remove_file(own.join(name)).unwrap();
            if name == "directory" {
                fs::remove_dir(own.join("aside")).unwrap();
            } else {
                fs::remove_file(own.join("aside")).unwrap();
            }
        }
    }
}

fn open_directory(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

/// Everything that makes, moves, removes or looks up a name; true if each was refused.
fn is_all_refused(directory: &OwnedFd, other: &OwnedFd) -> bool {
    let directory = directory.as_fd();
    let made = [
        rustix::fs::mkdirat(directory, "d", Mode::RWXU),
        rustix::fs::mknodat(directory, "p", FileType::Fifo, Mode::RWXU, 0),
        rustix::fs::mknodat(directory, "r", FileType::RegularFile, Mode::RWXU, 0),
        rustix::fs::symlinkat("x", directory, "s"),
        rustix::fs::openat(directory, "n", OFlags::CREATE | OFlags::RDWR, Mode::RWXU).map(drop),
        rustix::fs::openat(directory, "secret", OFlags::RDWR, Mode::empty()).map(drop),
        rustix::fs::linkat(other, "mine", directory, "l", AtFlags::empty()),
        rustix::fs::renameat(other, "mine", directory, "m"),
        rustix::fs::renameat(directory, "secret", other, "stolen"),
        rustix::fs::unlinkat(directory, "secret", AtFlags::empty()),
        rustix::fs::statat(directory, "secret", AtFlags::empty()).map(drop),
    ];
    made.iter().all(|made| made.is_err())
}

#[test]
fn names_are_used_in_the_directory_that_is_meant() {
    for scene in Scene::all() {
        let (own, victim) = neighbours(&scene);
        fs::create_dir(scene.mounted("u/d")).unwrap();
        fs::write(scene.mounted("u/mine"), "mine").unwrap();
        let (directory, other) = (open_directory(&scene.mounted("u/d")), open_directory(&scene.mounted("u")));
        symlink("../victim", own.join("s")).unwrap();
        let before = state(&victim);
        exchange(&own.join("d"), &own.join("s"));
        assert!(is_all_refused(&directory, &other));
        assert_eq!(state(&victim), before);
        // Another directory, not a link.
        fs::rename(own.join("d"), own.join("aside")).unwrap();
        fs::create_dir(own.join("d")).unwrap();
        fs::write(own.join("d/secret"), "secret").unwrap();
        let before = state(&own.join("d"));
        assert!(is_all_refused(&directory, &other));
        assert_eq!(state(&own.join("d")), before);
        // Where it was, everything works again.
        fs::remove_dir_all(own.join("d")).unwrap();
        fs::rename(own.join("s"), own.join("d")).unwrap();
        rustix::fs::mkdirat(&directory, "d", Mode::RWXU).unwrap();
        rustix::fs::renameat(&other, "mine", &directory, "m").unwrap();
        assert_eq!(fs::read_to_string(own.join("d/m")).unwrap(), "mine");
    }
}

#[test]
fn nothing_happens_elsewhere_while_a_directory_is_exchanged_for_a_link() {
    for scene in Scene::all() {
        let (own, victim) = neighbours(&scene);
        fs::create_dir(scene.mounted("u/d")).unwrap();
        fs::write(scene.mounted("u/mine"), "mine").unwrap();
        symlink("../victim", own.join("s")).unwrap();
        let before = state(&victim);
        let ends = AtomicBool::new(false);
        let mut rounds = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    exchange(&own.join("d"), &own.join("s"));
                    exchange(&own.join("d"), &own.join("s"));
                    thread::sleep(Duration::from_micros(50));
                }
            });
            let _until = Until(&ends);
            let directory = open_directory(&scene.mounted("u/d"));
            let other = open_directory(&scene.mounted("u"));
            let end = Instant::now() + WHILE;
            while Instant::now() < end {
                is_all_refused(&directory, &other);
                for name in ["d", "p", "r", "s", "n", "l", "m"] {
                    let flags = if name == "d" { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                    let _ = rustix::fs::unlinkat(&directory, name, flags);
                }
                if !own.join("mine").exists() {
                    fs::write(own.join("mine"), "mine").unwrap();
                }
                rounds += 1;
            }
        });
        assert!(rounds > 0);
        assert_eq!(state(&victim), before, "after {rounds} rounds");
    }
}

#[test]
fn what_lies_beneath_a_directory_is_found_while_that_is_renamed() {
    for scene in Scene::all() {
        fs::create_dir_all(scene.mounted("a/d")).unwrap();
        fs::write(scene.mounted("a/d/f"), "here").unwrap();
        let directory = open_directory(&scene.mounted("a/d"));
        let file = File::open(scene.mounted("a/d/f")).unwrap();
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    fs::rename(scene.mounted("a"), scene.mounted("b")).unwrap();
                    fs::rename(scene.mounted("b"), scene.mounted("a")).unwrap();
                }
            });
            let _until = Until(&ends);
            let end = Instant::now() + WHILE;
            while Instant::now() < end {
                let stat = rustix::fs::statat(&directory, "f", AtFlags::empty());
                assert_eq!(stat.map(|stat| stat.st_size), Ok(4));
                assert_eq!(file.metadata().unwrap().len(), 4);
                rustix::fs::mkdirat(&directory, "new", Mode::RWXU).unwrap();
                rustix::fs::unlinkat(&directory, "new", AtFlags::REMOVEDIR).unwrap();
                let opened = rustix::fs::openat(&directory, "f", OFlags::RDWR, Mode::empty()).unwrap();
                rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o640)).unwrap();
                rustix::fs::chmodat(&directory, "f", Mode::from_raw_mode(0o600), AtFlags::empty()).unwrap();
            }
        });
        assert_eq!(fs::read_to_string(scene.mounted("a/d/f")).unwrap(), "here");
    }
}

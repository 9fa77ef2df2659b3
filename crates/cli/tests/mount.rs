//! `ouzel mount`: programs on a mounted service find what they would find in the directory that it serves, also when the service is
//! killed under them and comes back.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "mount/scene.rs"]
mod scene;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_OMIT,
    XattrFlags,
};
use rustix::process::Signal;
use scene::{Scene, eventually};

/// What a call has come to: a word for it, or the error's number.
fn told<T>(outcome: Result<T, impl Into<io::Error>>, word: impl FnOnce(T) -> String) -> String {
    match outcome {
        Ok(value) => word(value),
        Err(error) => {
            let error: io::Error = error.into();
            format!("error {:?}", error.raw_os_error())
        }
    }
}

fn done<T>(outcome: Result<T, impl Into<io::Error>>) -> String {
    told(outcome, |_| "done".to_owned())
}

/// What can be compared of a file.
fn about(path: &Path) -> String {
    told(fs::symlink_metadata(path), |file| {
        let size = if file.is_dir() { 0 } else { file.size() };
        format!(
            "{:o} links {} {}:{} size {size} modified {} device {}",
            file.mode(),
            file.nlink(),
            file.uid(),
            file.gid(),
            file.mtime() < 1_000_000,
            file.rdev()
        )
    })
}

fn listed(path: &Path) -> String {
    told(fs::read_dir(path), |entries| {
        let name = |entry: io::Result<fs::DirEntry>| {
            let entry = entry.unwrap();
            format!("{:?} {:?}", entry.file_name(), entry.file_type().unwrap())
        };
        let mut names: Vec<String> = entries.map(name).collect();
        names.sort_unstable();
        names.join(", ")
    })
}

/// The life of files and directories; what each call has come to.
fn life(directory: &Path) -> Vec<String> {
    let at = |name: &str| directory.join(name);
    let mut told_of = Vec::new();
    let mut say = |line: String| told_of.push(format!("{}: {line}", told_of.len()));

    say(done(fs::create_dir(at("d"))));
    say(done(fs::create_dir(at("d"))));
    say(done(fs::create_dir(at("missing/d"))));
    say(done(fs::write(at("a"), "hello")));
    say(about(&at("a")));
    say(told(fs::read_to_string(at("a")), |text| text));
    say(done(File::options().write(true).create_new(true).open(at("a"))));
    say(done(File::options().write(true).create_new(true).mode(0o4750).open(at("set"))));
    say(about(&at("set")));
    say(done(fs::hard_link(at("a"), at("d/b"))));
    say(about(&at("d/b")));
    say(done(fs::hard_link(at("a"), at("d/b"))));
    say(done(fs::hard_link(at("d"), at("e"))));
    say(done(symlink("d/b", at("link"))));
    say(told(fs::read_link(at("link")), |target| target.display().to_string()));
    say(told(fs::read_to_string(at("link")), |text| text));
    say(about(&at("link")));
    say(done(fs::read_link(at("a"))));
    say(listed(directory));
    say(listed(&at("a")));

    // Writing at places, appending, holes.
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(at("a")).unwrap();
    say(done(file.write_all_at(b"world", 10)));
    say(done(file.seek(SeekFrom::Start(2)).and_then(|_| file.write_all(b"LLO"))));
    say(done(File::options().append(true).open(at("a")).and_then(|mut file| file.write_all(b"!"))));
    say(told(fs::read(at("d/b")), |bytes| format!("{bytes:?}")));
    say(done(file.set_len(3)));
    say(done(file.set_len(1_000_000)));
    say(told(fs::read(at("a")), |bytes| format!("{} {:?}", bytes.len(), &bytes[..5])));
    say(done(rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, 2_000_000)));
    say(done(rustix::fs::fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 3_000_000)));
    say(done(rustix::fs::fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, 4096)));
    say(about(&at("a")));
    say(done(file.sync_all()));
    say(done(file.sync_data()));
    say(done(File::open(directory).and_then(|directory| directory.sync_all())));
    let large: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    say(done(fs::write(at("large"), &large)));
    say(told(fs::copy(at("large"), at("copy")), |count| count.to_string()));
    say(told(fs::read(at("copy")), |bytes| (bytes == large).to_string()));
    let (source, target) = (File::open(at("large")).unwrap(), File::create(at("ranged")).unwrap());
    let (mut from, mut to) = (1000, 10);
    let copied = rustix::fs::copy_file_range(&source, Some(&mut from), &target, Some(&mut to), 5000);
    say(told(copied, |count| count.to_string()));
    say(told(fs::read(at("ranged")), |bytes| (bytes[10..] == large[1000..6000]).to_string()));

    // What a file is besides its bytes.
    say(done(fs::set_permissions(at("a"), fs::Permissions::from_mode(0o2751))));
    say(about(&at("a")));
    let past = Timespec { tv_sec: 1000, tv_nsec: 5 };
    let omitted = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access: past, last_modification: past };
    say(done(rustix::fs::utimensat(CWD, at("a"), &times, AtFlags::empty())));
    say(told(fs::metadata(at("a")), |file| {
        format!("{}.{} {}", file.mtime(), file.mtime_nsec(), file.atime())
    }));
    let times = Timestamps { last_access: past, last_modification: omitted };
    say(done(rustix::fs::utimensat(CWD, at("link"), &times, AtFlags::SYMLINK_NOFOLLOW)));
    say(about(&at("link")));
    say(done(rustix::fs::mkfifoat(CWD, at("fifo"), Mode::from_raw_mode(0o640))));
    say(about(&at("fifo")));
    say(done(rustix::fs::mknodat(CWD, at("socket"), FileType::Socket, Mode::RUSR, 0)));
    say(about(&at("socket")));
    let value = |path: &str, name: &str, room: usize| {
        let mut value = vec![0; room];
        told(rustix::fs::getxattr(at(path), name, &mut value[..]), |count| format!("{count} {value:?}"))
    };
    say(value("a", "user.x", 3));
    say(done(rustix::fs::setxattr(at("a"), "user.x", b"abc", XattrFlags::REPLACE)));
    say(done(rustix::fs::setxattr(at("a"), "user.x", b"abc", XattrFlags::CREATE)));
    say(done(rustix::fs::setxattr(at("a"), "user.x", b"abc", XattrFlags::CREATE)));
    say([0, 2, 3, 9].map(|room| value("a", "user.x", room)).join("; "));
    let mut names = [0; 64];
    say(told(rustix::fs::listxattr(at("a"), &mut names[..]), |count| format!("{count}")));
    say(told(rustix::fs::listxattr(at("a"), &mut names[..0]), |count| format!("{count}")));
    say(done(rustix::fs::removexattr(at("a"), "user.x")));
    say(done(rustix::fs::removexattr(at("a"), "user.x")));
    say(told(rustix::fs::statvfs(directory), |stat| (stat.f_namemax, stat.f_bsize).0.to_string()));

    // Moving and removing.
    say(done(fs::rename(at("a"), at("d/c"))));
    say(done(fs::rename(at("a"), at("d/c"))));
    say(done(fs::rename(at("d"), at("d/c/x"))));
    say(done(fs::rename(at("d"), at("d/x"))));
    say(done(fs::rename(at("d"), at("large"))));
    say(done(fs::rename(at("large"), at("d"))));
    say(done(fs::rename(at("large"), at("copy"))));
    let rename =
        |old: &str, new: &str, flags| done(rustix::fs::renameat_with(CWD, at(old), CWD, at(new), flags));
    say(rename("copy", "link", RenameFlags::NOREPLACE));
    say(rename("copy", "d", RenameFlags::EXCHANGE));
    say(format!("{} {}", about(&at("copy")), listed(&at("copy"))));
    say(rename("copy", "d", RenameFlags::EXCHANGE));
    say(done(fs::rename(at("d"), at("moved"))));
    say(listed(&at("moved")));
    say(told(file.metadata(), |file| format!("{} links {}", file.size(), file.nlink())));
    say(done(fs::remove_dir(at("moved"))));
    say(done(fs::remove_file(at("moved"))));
    say(done(fs::remove_dir(at("copy"))));
    say(done(fs::remove_file(at("moved/b"))));
    say(done(fs::remove_file(at("moved/c"))));
    say(done(fs::remove_file(at("moved/c"))));
    // It has no name left, and is there all the same.
    say(told(file.metadata(), |file| format!("{} links {}", file.size(), file.nlink())));
    say(done(file.write_all_at(b"still", 100)));
    let mut five = [0; 5];
    say(told(file.read_exact_at(&mut five, 100), |()| format!("{five:?}")));
    say(done(file.set_permissions(fs::Permissions::from_mode(0o600))));
    say(told(file.metadata(), |file| format!("{:o}", file.mode())));
    say(done(fs::remove_dir(at("moved"))));
    say(done(fs::create_dir(at(&"x".repeat(255)))));
    say(done(fs::create_dir(at(&"x".repeat(256)))));
    say(listed(directory));
    told_of
}

#[test]
fn what_programs_do_comes_to_the_same() {
    for scene in Scene::all() {
        assert_eq!(life(&scene.mounted("")), life(&scene.plain("")));
        assert_eq!(listed(&scene.served("")), listed(&scene.plain("")));
    }
}

/// A script of the shell, run by this user, on a directory; what it prints.
fn shell(directory: &Path, user: u32, group: u32, script: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; cd '{}' && {{ {script}\n}}", directory.display())])
        .env("LC_ALL", "C")
        .uid(user)
        .gid(group)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_made_belongs_to_who_makes_it() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root can be another user");
        return;
    }
    for scene in Scene::all() {
        let both = |user, group, script: &str| {
            let [mounted, plain] =
                [scene.mounted(""), scene.plain("")].map(|path| shell(&path, user, group, script));
            assert_eq!(mounted, plain, "{script}");
            mounted
        };
        let show = "stat -c '%n %A %u:%g %h' *";
        both(
            0,
            0,
            "chmod 0755 .; mkdir -m 0777 open; mkdir -m 1777 sticky; mkdir -m 2777 group; chgrp 77 group",
        );
        both(0, 0, "echo secret > secret; chmod 0600 secret; echo no > sticky/no; mkdir -m 0700 closed");
        let made = "umask 027; echo x > file; mkdir dir; ln -s file link; mkfifo fifo; ln file hard; mknod dev c 1 3";
        let said = both(4321, 8765, &format!("cd open && {{ {made}; {show}; }}"));
        assert!(
            said.contains("file -rw-r----- 4321:8765 2") && said.contains("dir drwxr-x--- 4321:8765"),
            "{said}"
        );
        let said = both(4321, 8765, &format!("cd group && {{ {made}; {show}; }}"));
        assert!(said.contains("4321:77") && said.contains("dir drwxr-s---"), "{said}");
        let said =
            both(4321, 8765, "cat secret; echo x > here; rm -f sticky/no; ls closed; chmod 0777 secret");
        assert_eq!(said.matches("denied").count() + said.matches("permitted").count(), 5, "{said}");
        // Who writes to a file with set-id bits takes them off, and who gives it away, too.
        both(0, 0, "cd open; touch ids; chmod 6777 ids");
        let said = both(4321, 8765, "cd open; echo more >> ids; stat -c %a ids");
        assert_eq!(said, "777\n");
        both(0, 0, "cd open; chmod 6777 ids; chown 4321 ids; stat -c '%a %u' ids; : > ids; stat -c %a ids");
        both(
            4321,
            8765,
            "cd open; chmod 6755 ids; stat -c '%a' ids; chgrp 8765 ids; chown 1 ids; stat -c '%u:%g' ids",
        );
        both(4321, 8765, "rm open/file open/link open/fifo open/hard && rmdir open/dir; ls -A open");
    }
}

#[test]
fn a_file_is_the_same_by_all_its_names_and_none() {
    for scene in Scene::all() {
        let at = |name: &str| scene.mounted(name);
        fs::write(at("one"), "1").unwrap();
        fs::hard_link(at("one"), at("two")).unwrap();
        let numbers = ["one", "two"].map(|name| fs::metadata(at(name)).unwrap().ino());
        assert_eq!(numbers[0], numbers[1]);
        assert_eq!(numbers[0], fs::metadata(scene.served("one")).unwrap().ino());
        // What others do with the directory is seen at once.
        fs::rename(scene.served("one"), scene.served("three")).unwrap();
        assert!(!at("one").exists() && at("three").exists());
        fs::write(scene.served("three"), "changed by others").unwrap();
        assert_eq!(fs::read_to_string(at("two")).unwrap(), "changed by others");
        // Over a file that is open: both go on.
        let mut open = File::open(at("two")).unwrap();
        fs::write(at("new"), "new").unwrap();
        fs::rename(at("new"), at("two")).unwrap();
        fs::remove_file(at("three")).unwrap();
        let mut text = String::new();
        open.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), open.metadata().unwrap().nlink()), ("changed by others", 0));
        assert_eq!(fs::read_to_string(at("two")).unwrap(), "new");
        // A file that is made at once where one was is another one, whatever its number.
        fs::remove_file(at("two")).unwrap();
        fs::create_dir(at("two")).unwrap();
        assert!(fs::metadata(at("two")).unwrap().is_dir());
    }
}

#[test]
fn the_service_may_go_and_come_back() {
    for mut scene in Scene::all() {
        let at = |name: &str| scene.mounted(name);
        fs::write(at("kept"), "hello").unwrap();
        fs::write(at("gone"), "hello").unwrap();
        fs::write(at("replaced"), "hello").unwrap();
        let open = |name: &str| File::options().read(true).write(true).open(at(name)).unwrap();
        let (kept, gone, replaced) = (open("kept"), open("gone"), open("replaced"));
        let mut log = File::options().append(true).create(true).open(at("log")).unwrap();
        let mut fresh = File::options().write(true).create(true).truncate(true).open(at("fresh")).unwrap();
        log.write_all(b"one\n").unwrap();
        fresh.write_all(b"fresh").unwrap();

        let (path, new) = (at("kept"), at("new"));
        scene.kill();
        let started = Instant::now();
        let eio = Some(rustix::io::Errno::IO.raw_os_error());
        for _ in 0..20 {
            assert_eq!(fs::metadata(&path).unwrap_err().raw_os_error(), eio);
            assert_eq!(fs::write(&new, "x").unwrap_err().raw_os_error(), eio);
            assert_eq!(kept.write_all_at(b"x", 0).unwrap_err().raw_os_error(), eio);
            assert_eq!(kept.sync_all().unwrap_err().raw_os_error(), eio);
        }
        assert!(started.elapsed() < Duration::from_secs(2), "it is said at once: {:?}", started.elapsed());
        // Others use the directory meanwhile.
        fs::remove_file(scene.served("gone")).unwrap();
        fs::write(scene.served("other"), "other").unwrap();
        fs::rename(scene.served("other"), scene.served("replaced")).unwrap();

        scene.serve();
        eventually("it works again", || fs::metadata(&path).is_ok());
        let mut text = [0; 5];
        kept.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(&text, b"hello");
        kept.write_all_at(b"HE", 0).unwrap();
        kept.sync_all().unwrap();
        log.write_all(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(scene.served("kept")).unwrap(), "HEllo");
        assert_eq!(fs::read_to_string(scene.served("log")).unwrap(), "one\ntwo\n");
        // Nothing is emptied or made by being opened again.
        fresh.write_all(b" as before").unwrap();
        assert_eq!(fs::read_to_string(scene.served("fresh")).unwrap(), "fresh as before");
        let stale = Some(rustix::io::Errno::STALE.raw_os_error());
        for lost in [&gone, &replaced] {
            assert_eq!(lost.write_all_at(b"x", 0).unwrap_err().raw_os_error(), stale);
            assert_eq!(lost.sync_all().unwrap_err().raw_os_error(), stale);
        }
        assert_eq!(fs::read_to_string(scene.served("replaced")).unwrap(), "other");
        assert!(!scene.served("gone").exists());
        // A service that went and came while nobody asked is not missed.
        scene.kill();
        scene.serve();
        assert_eq!(fs::read_to_string(scene.mounted("kept")).unwrap(), "HEllo");
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(scene.served("log")).unwrap(), "one\ntwo\nthree\n");
    }
}

/// What writes into a mapping of a file, and writes that back when it reads a line.
const MAPPER: &str = "
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
pages = mmap.mmap(fd, 8192)
pages[0:5] = b'first'
pages[4096:4102] = b'second'
print('ready', flush=True)
sys.stdin.readline()
pages.flush()
print(os.pread(fd, 6, 4096).decode(), flush=True)
";

#[test]
fn mappings_are_written_back_once_the_service_is_there_again() {
    let Ok(version) = Command::new("python3").arg("--version").output() else {
        println!("SKIPPED: there is no python3 to map files");
        return;
    };
    assert!(version.status.success());
    for mut scene in Scene::all() {
        fs::write(scene.mounted("mapped"), vec![b'.'; 8192]).unwrap();
        let mut mapper = Command::new("python3")
            .args(["-c", MAPPER, scene.mounted("mapped").to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = io::BufReader::new(mapper.stdout.take().unwrap());
        let mut line = String::new();
        io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "ready\n");
        scene.kill();
        assert!(File::open(scene.mounted("mapped")).is_err(), "it is away");
        mapper.stdin.take().unwrap().write_all(b"\n").unwrap();
        // What the kernel writes back now is held.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(fs::read(scene.served("mapped")).unwrap(), vec![b'.'; 8192]);
        scene.serve();
        line.clear();
        io::BufRead::read_line(&mut said, &mut line).unwrap();
        assert_eq!(line, "second\n");
        assert!(mapper.wait().unwrap().success());
        let bytes = fs::read(scene.served("mapped")).unwrap();
        assert_eq!((&bytes[..6], &bytes[4096..4102]), (&b"first."[..], &b"second"[..]));
    }
}

#[test]
fn it_ends_cleanly() {
    let Some(mut scene) = Scene::with("file:", &[], &[]) else { return };
    for (signal, busy) in
        [(Some(Signal::INT), false), (Some(Signal::TERM), false), (None, false), (Some(Signal::TERM), true)]
    {
        fs::write(scene.mounted("file"), "x").unwrap();
        let used = busy.then(|| File::open(scene.mounted("file")).unwrap());
        let (code, said) = scene.unmount(signal);
        assert_eq!(code, Some(0), "{signal:?}, in use: {busy}: {said}");
        assert!(said.contains("data: is unmounted"), "{said}");
        assert!(!scene.is_mounted());
        assert_eq!(fs::read_dir(scene.mounted("")).unwrap().count(), 0);
        drop(used);
        assert!(scene.mount(&[]));
    }
    // And also while the service is away.
    scene.kill();
    assert_eq!(scene.unmount(Some(Signal::TERM)).0, Some(0));
    assert!(!scene.is_mounted());
}

#[test]
fn what_cannot_be_mounted_is_said() {
    let Some(mut scene) = Scene::with("file:", &[], &["--read-only"]) else { return };
    let refused = fs::write(scene.mounted("file"), "x").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    fs::write(scene.plain("file"), "x").unwrap();
    let complains = |name: &str, directory: &Path, words: &str| {
        let output = scene.command("mount").arg(name).arg(directory).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words) && said.contains("cannot mount"), "{said}");
    };
    complains("data:", &scene.plain("missing"), "make it first");
    complains("data:", &scene.plain("file"), "a directory that is there is wanted");
    complains("nobody:", &scene.plain(""), "nobody serves nobody:");
    let output = scene.command("mount").arg("a/b").arg(scene.plain("")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(scene.unmount(Some(Signal::INT)).0, Some(0));
}

#[test]
fn files_are_open_up_to_the_quota() {
    let Some(scene) = Scene::with("file:", &["--quota", "descriptors=6"], &[]) else { return };
    fs::write(scene.mounted("file"), "x").unwrap();
    // Sixteen connections with six descriptors, four of which are kept free.
    let open: Vec<File> = (0..32).map(|_| File::open(scene.mounted("file")).unwrap()).collect();
    let one_more = File::open(scene.mounted("file")).unwrap_err();
    assert_eq!(one_more.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    // What needs none for long still works.
    assert_eq!(fs::read_dir(scene.mounted("")).unwrap().count(), 1);
    fs::create_dir(scene.mounted("dir")).unwrap();
    drop(open);
    eventually("there is room again", || File::open(scene.mounted("file")).is_ok());
}

#[test]
fn fewer_connections_do_as_well() {
    let Some(mut scene) = Scene::with("file:", &["--quota", "connections=2"], &[]) else { return };
    for round in 0..2 {
        let open: Vec<File> = (0..8)
            .map(|number| {
                let file = File::create(scene.mounted(&format!("{number}"))).unwrap();
                file.write_all_at(b"x", round).unwrap();
                file
            })
            .collect();
        assert_eq!(fs::read_dir(scene.mounted("")).unwrap().count(), 8);
        scene.kill();
        scene.serve();
        for file in open {
            file.write_all_at(b"y", round + 1).unwrap();
        }
        assert_eq!(fs::read(scene.served("7")).unwrap().len() as u64, round + 2);
    }
}

#[test]
fn devices_are_made_where_the_service_lets_them() {
    let device = |scene: &Scene| {
        let mode = Mode::from_raw_mode(0o600);
        let number = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(CWD, scene.mounted("null"), FileType::CharacterDevice, mode, number)
    };
    let Some(scene) = Scene::with("file:", &[], &[]) else { return };
    assert_eq!(device(&scene), Err(rustix::io::Errno::PERM));
    let Some(scene) = Scene::with("file:", &["--devices"], &[]) else { return };
    match device(&scene) {
        Err(rustix::io::Errno::PERM) => println!("SKIPPED: devices cannot be made here"),
        outcome => {
            outcome.unwrap();
            assert_eq!(fs::metadata(scene.mounted("null")).unwrap().rdev(), rustix::fs::makedev(1, 3));
        }
    }
}

#[test]
fn files_in_memory_can_be_mounted_too() {
    let Some(mut scene) = Scene::with("mem:", &[], &[]) else { return };
    let at = |name: &str| scene.mounted(name);
    fs::create_dir_all(at("a/b")).unwrap();
    fs::write(at("a/b/file"), vec![7; 300_000]).unwrap();
    assert_eq!(fs::read(at("a/b/file")).unwrap(), vec![7; 300_000]);
    // What another client writes over it is seen, though its size is the same and it is open, and a copy onto itself by both ways
    // leaves it whole.
    let opened = fs::File::open(at("a/b/file")).unwrap();
    let mut seen = vec![0; 300_000];
    opened.read_exact_at(&mut seen, 0).unwrap();
    fs::write(scene.plain("other"), vec![8; 300_000]).unwrap();
    for (from, to) in [
        (scene.plain("other"), "data:a/b/file".into()),
        ("data:a/b/file".into(), at("a/b/file")),
        (at("a/b/file"), "data:a/b/file".into()),
    ] {
        assert!(scene.command("cp").arg(&from).arg(&to).status().unwrap().success());
        opened.read_exact_at(&mut seen, 0).unwrap();
        assert!(seen == vec![8; 300_000], "{from:?} {to:?}");
    }
    drop(opened);
    fs::rename(at("a/b/file"), at("file")).unwrap();
    assert_eq!(listed(&at("a/b")), "");
    fs::remove_dir(at("a/b")).unwrap();
    let unsupported = Some(rustix::io::Errno::OPNOTSUPP.raw_os_error());
    assert_eq!(symlink("x", at("link")).unwrap_err().raw_os_error(), unsupported);
    let flags = OFlags::RDWR;
    let file = rustix::fs::open(at("file"), flags, Mode::empty()).unwrap();
    // All of it goes with the service, and nothing is taken for what it was.
    let path = at("file");
    scene.kill();
    scene.serve();
    eventually("it works again", || fs::create_dir(scene.mounted("new")).is_ok());
    assert!(!path.exists());
    fs::write(&path, "another").unwrap();
    assert_eq!(rustix::io::pwrite(&file, b"x", 0), Err(rustix::io::Errno::STALE));
    assert_eq!(fs::read_to_string(&path).unwrap(), "another");
}

#[test]
fn bytes_that_others_write_in_memory_are_seen() {
    let Some(scene) = Scene::with("mem:", &[], &[]) else { return };
    fs::write(scene.mounted("file"), "one").unwrap();
    let file = File::options().read(true).write(true).open(scene.mounted("file")).unwrap();
    let mut read = [0; 3];
    for word in ["two", "six"] {
        file.read_exact_at(&mut read, 0).unwrap();
        // Another client, which leaves it as long as it was.
        fs::write(scene.plain("word"), word).unwrap();
        let copied = scene.command("cp").arg(scene.plain("word")).arg("data:file").output().unwrap();
        assert!(copied.status.success());
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, word.as_bytes());
    }
    // Such a file can be mapped, too.
    let Ok(mapped) =
        Command::new("python3").args(["-c", MAPPED, scene.mounted("file").to_str().unwrap()]).output()
    else {
        println!("SKIPPED: there is no python3 to map files");
        return;
    };
    assert!(mapped.status.success(), "{}", String::from_utf8_lossy(&mapped.stderr));
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"SIx");
}

/// What changes a file by a mapping.
const MAPPED: &str = "
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
pages = mmap.mmap(fd, 3)
assert pages[:] == b'six'
pages[0:2] = b'SI'
pages.flush()
";

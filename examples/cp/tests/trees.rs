//! The program as a process, on both real backends: what it copies, what it complains of, and its exit status.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Test directories: the target folder's and memory's.
fn directories() -> Vec<TempDir> {
    let list = std::env::var("OUZEL_TEST_DIRS")
        .unwrap_or_else(|_| format!("{}:/dev/shm", env!("CARGO_TARGET_TMPDIR")));
    list.split(':')
        .filter(|base| Path::new(base).is_dir())
        .map(|base| tempfile::tempdir_in(base).unwrap())
        .collect()
}

fn cp(backend: &str, arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ouzel-cp"))
        .args(["--backend", backend, "--summary", "--recursive"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `test` on each backend in each directory.
fn everywhere(test: impl Fn(&str, &Path)) {
    for directory in directories() {
        for backend in ["uring", "threads"] {
            let home = directory.path().join(backend);
            fs::create_dir(&home).unwrap();
            fs::write(home.join("probe"), "").unwrap();
            let probe = cp(backend, &[&home.join("probe"), &home.join("probed")]);
            if text(&probe.stderr).contains("cannot use the uring backend") {
                println!("SKIPPED: {}", text(&probe.stderr).trim());
                continue;
            }
            test(backend, &home);
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn tree(home: &Path) -> PathBuf {
    let from = home.join("from");
    fs::create_dir_all(from.join("a/deep")).unwrap();
    fs::create_dir(from.join("closed")).unwrap();
    fs::write(from.join("a/one"), "one").unwrap();
    fs::write(from.join("a/deep/large"), vec![7; 1_000_001]).unwrap();
    fs::write(from.join("closed/two"), "two").unwrap();
    fs::write(from.join("run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(from.join("run"), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(from.join("closed"), Permissions::from_mode(0o555)).unwrap();
    symlink("../run", from.join("a/link")).unwrap();
    symlink("/nowhere/at/all", from.join("dangling")).unwrap();
    symlink(".", from.join("loop")).unwrap();
    from
}

#[test]
fn a_tree_is_copied_as_it_is() {
    everywhere(|backend, home| {
        let (from, to) = (tree(home), home.join("to"));
        // The second time everything is there already, and it goes into the directory that is there.
        for to in [to.clone(), to.join("from")] {
            let output = cp(backend, &[&from, &home.join("to")]);
            assert!(output.status.success(), "{}", text(&output.stderr));
            assert_eq!(text(&output.stdout), "4 files, 4 directories, 3 links, 1000017 bytes\n");
            assert_eq!(fs::read(to.join("a/one")).unwrap(), b"one");
            assert_eq!(fs::read(to.join("a/deep/large")).unwrap(), vec![7; 1_000_001]);
            assert_eq!(fs::read(to.join("closed/two")).unwrap(), b"two");
            assert_eq!((mode(&to.join("run")), mode(&to.join("closed"))), (0o777, 0o555));
            assert_eq!(mode(&to.join("a")), mode(&from.join("a")));
            assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("../run"));
            assert_eq!(fs::read_link(to.join("dangling")).unwrap(), Path::new("/nowhere/at/all"));
            assert_eq!(fs::read_link(to.join("loop")).unwrap(), Path::new("."));
        }
        for closed in ["from/closed", "to/closed", "to/from/closed"] {
            fs::set_permissions(home.join(closed), Permissions::from_mode(0o755)).unwrap();
        }
    });
}

#[test]
fn what_cannot_be_copied_is_named_and_the_rest_is_copied() {
    everywhere(|backend, home| {
        let (from, to) = (home.join("from"), home.join("to"));
        fs::create_dir_all(from.join("directory")).unwrap();
        fs::write(from.join("good"), "good").unwrap();
        fs::write(from.join("bad"), "bad").unwrap();
        // In the place of a file is a directory, and the other way round.
        fs::create_dir_all(to.join("from/bad")).unwrap();
        fs::write(to.join("from/directory"), "").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
            .unwrap();
        let output = cp(backend, &[&from, &to]);
        assert_eq!(output.status.code(), Some(1));
        let complaints = text(&output.stderr);
        for name in ["from/bad", "from/directory", "from/fifo"] {
            assert!(complaints.contains(name), "{name}: {complaints}");
        }
        assert_eq!(complaints.lines().count(), 3, "{complaints}");
        assert_eq!(fs::read(to.join("from/good")).unwrap(), b"good");
    });
}

#[test]
fn refusals_change_nothing() {
    everywhere(|backend, home| {
        let from = tree(home);
        fs::set_permissions(from.join("closed"), Permissions::from_mode(0o755)).unwrap();
        let inside = from.join("a/deep");
        for (source, target, says) in [
            (from.clone(), inside.clone(), "into itself"),
            (from.clone(), inside.join("new"), "into itself"),
            (home.join("missing"), home.join("new"), "ENOENT"),
            (from.join("run"), home.join("missing/run"), "ENOENT"),
            (from.join("run"), from.join("run"), "EINVAL"),
        ] {
            let output = cp(backend, &[&source, &target]);
            assert_eq!(output.status.code(), Some(1), "{source:?} to {target:?}");
            assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
        }
        let output =
            Command::new(env!("CARGO_BIN_EXE_ouzel-cp")).args([&from, &home.join("new")]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("--recursive"), "{}", text(&output.stderr));
        assert_eq!(fs::read(from.join("run")).unwrap(), b"#!/bin/sh\n");
        assert!(!home.join("new").exists() && fs::read_dir(&inside).unwrap().count() == 1);
        let usage = Command::new(env!("CARGO_BIN_EXE_ouzel-cp")).output().unwrap();
        assert_eq!(usage.status.code(), Some(2));
    });
}

#[test]
fn one_file_goes_to_a_name_or_into_a_directory() {
    everywhere(|backend, home| {
        fs::write(home.join("file"), "text").unwrap();
        fs::create_dir(home.join("directory")).unwrap();
        for to in ["copy", "directory"] {
            let output = cp(backend, &[&home.join("file"), &home.join(to)]);
            assert!(output.status.success(), "{}", text(&output.stderr));
        }
        assert_eq!(fs::read(home.join("copy")).unwrap(), b"text");
        assert_eq!(fs::read(home.join("directory/file")).unwrap(), b"text");
    });
}

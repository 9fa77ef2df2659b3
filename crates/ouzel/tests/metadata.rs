//! READLINK to REMOVEXATTR through the typed face, in chains and as single calls, on every backend there is.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{
    AccessFlags, AccessOptions, AtFlags, NodeKind, OpenFlags, StatFlags, XattrFlags,
};
use ouzel::{
    BackendKind, Buffer, BuildError, Chain, Directory, Error, Offset, OpenOptions, OperationError, Ring,
    SetTime, Times,
};

const WORKING: Directory = Directory::Working;

/// A ring and a directory of each backend, for one test at a time.
fn everywhere(name: &str, test: impl Fn(&mut Ring, PathBuf)) {
    for backend in [BackendKind::Sim, BackendKind::Threads, BackendKind::Uring] {
        let mut ring = match Ring::builder().backend(backend).build() {
            Ok(ring) => ring,
            Err(error) => {
                println!("SKIPPED: {}: {error}", backend.name());
                continue;
            }
        };
        let mut root = PathBuf::from("/");
        if backend != BackendKind::Sim {
            root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
                "metadata-{name}-{}-{}",
                backend.name(),
                std::process::id()
            ));
            std::fs::create_dir_all(&root).unwrap();
        }
        test(&mut ring, root.clone());
        assert_eq!(ring.gauges().descriptors, 0, "{}", backend.name());
        if backend != BackendKind::Sim {
            std::fs::remove_dir_all(&root).unwrap();
        }
    }
}

fn make(ring: &mut Ring, path: &PathBuf) {
    let file = ring.open(path, OpenOptions::write().create()).unwrap();
    ring.close(file).unwrap();
}

fn errno_of<T: std::fmt::Debug>(result: Result<T, Error>) -> Errno {
    match result {
        Err(Error::Operation(OperationError { errno, .. })) => errno,
        other => panic!("{other:?} is no failed operation"),
    }
}

#[test]
fn one_chain_makes_a_file_what_it_should_be() {
    everywhere("chain", |ring, root| {
        let (path, link) = (root.join("f"), root.join("l"));
        let time = UNIX_EPOCH + Duration::new(1_234_567, 89);
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::write().create());
        chain.chmod_file(file, 0o640);
        chain.utimes_file(file, Times { accessed: SetTime::Omit, modified: time.into() });
        let status = chain.stat_file(file);
        chain.symlink("some target", WORKING, &link);
        let target = chain.readlink(WORKING, &link, Buffer::with_capacity(64));
        let file_system = chain.statfs_file(file);
        chain.access_file(file, AccessFlags::READ, AccessOptions::empty());
        chain.finally().close(file);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        let status = done.get(status).unwrap();
        assert_eq!((status.permissions(), status.modified), (0o640, time));
        assert_eq!(done.get(target).unwrap(), 11);
        assert_eq!(&*done.take(target).unwrap(), b"some target");
        let file_system = done.get(file_system).unwrap();
        assert!(file_system.blocks > 0 && file_system.longest_name == 255, "{file_system:?}");
        assert!(file_system.bytes_available() <= file_system.bytes());
    });
}

#[test]
fn single_calls_change_and_describe() {
    everywhere("calls", |ring, root| {
        let (path, link) = (root.join("f"), root.join("l"));
        make(ring, &path);
        ring.symlink(&path, WORKING, &link).unwrap();
        assert_eq!(ring.readlink(WORKING, &link).unwrap(), path);
        assert_eq!(errno_of(ring.readlink(WORKING, &path)), Errno::EINVAL);
        ring.chmod(WORKING, &link, 0o600).unwrap();
        let rwx = AccessFlags::all();
        assert_eq!(errno_of(ring.access(WORKING, &path, rwx, AccessOptions::empty())), Errno::EACCES);
        ring.chmod(WORKING, &path, 0o700).unwrap();
        ring.access(WORKING, &path, rwx, AccessOptions::EFFECTIVE).unwrap();
        let before = ring.stat(WORKING, &path, StatFlags::empty()).unwrap();
        ring.chown(WORKING, &path, Some(before.user), None, AtFlags::empty()).unwrap();
        ring.chown(WORKING, &link, None, None, AtFlags::NOFOLLOW).unwrap();
        for time in [UNIX_EPOCH, UNIX_EPOCH - Duration::new(5, 1), UNIX_EPOCH + Duration::from_secs(7)] {
            let times = Times { accessed: time.into(), modified: SetTime::At(time) };
            ring.utimes(WORKING, &path, times, AtFlags::empty()).unwrap();
            let status = ring.stat(WORKING, &path, StatFlags::empty()).unwrap();
            assert_eq!((status.accessed, status.modified), (time, time));
        }
        ring.utimes(WORKING, &path, Times::default(), AtFlags::empty()).unwrap();
        let status = ring.stat(WORKING, &path, StatFlags::empty()).unwrap();
        assert!(status.modified > UNIX_EPOCH + Duration::from_millis(500), "the present");
        let fifo = root.join("fifo");
        ring.mknod(WORKING, &fifo, NodeKind::Fifo, 0o600).unwrap();
        let wrong = ring.mknod(WORKING, root.join("other"), NodeKind::Character, 0o040_600);
        assert_eq!(errno_of(wrong), Errno::EINVAL, "no mode makes it a block device");
        let status = ring.stat(WORKING, &fifo, StatFlags::empty()).unwrap();
        assert_eq!(u32::from(status.mode), 0o010_600);
        let file = ring.open(&path, OpenOptions::read()).unwrap();
        ring.chmod_file(file, 0o604).unwrap();
        ring.chown_file(file, None, None).unwrap();
        ring.utimes_file(file, Times::default()).unwrap();
        let (by_path, by_file) = (ring.statfs(WORKING, &path).unwrap(), ring.statfs_file(file).unwrap());
        assert_eq!((by_path.kind, by_path.blocks), (by_file.kind, by_file.blocks));
        assert_eq!(ring.stat_file(file).unwrap().permissions(), 0o604);
        ring.close(file).unwrap();
        assert_eq!(errno_of(ring.chmod(WORKING, root.join("none"), 0o600)), Errno::ENOENT);
    });
}

#[test]
fn attributes_come_and_go() {
    everywhere("attributes", |ring, root| {
        let path = root.join("f");
        make(ring, &path);
        let (none, room) = (XattrFlags::empty(), || Buffer::with_capacity(64));
        match ring.setxattr(WORKING, &path, "user.a", "first", none) {
            Err(Error::Operation(error)) if error.errno == Errno::EOPNOTSUPP => {
                return println!("SKIPPED: {}: no attributes of the user there", path.display());
            }
            other => other.unwrap(),
        }
        assert_eq!(&*ring.getxattr(WORKING, &path, "user.a", room(), none).unwrap(), b"first");
        let file = ring.open(&path, OpenOptions::read()).unwrap();
        ring.setxattr_file(file, "user.a", "second", XattrFlags::REPLACE).unwrap();
        ring.setxattr_file(file, "user.b", "", XattrFlags::CREATE).unwrap();
        assert_eq!(&*ring.getxattr_file(file, "user.a", room()).unwrap(), b"second");
        assert!(ring.getxattr_file(file, "user.b", room()).unwrap().is_empty());
        for mut names in [ring.listxattr(WORKING, &path, none).unwrap(), ring.listxattr_file(file).unwrap()] {
            names.retain(|name| name.to_string_lossy().starts_with("user."));
            names.sort();
            assert_eq!(names, ["user.a", "user.b"]);
        }
        assert_eq!(errno_of(ring.getxattr_file(file, "user.a", Buffer::with_capacity(5))), Errno::ERANGE);
        ring.removexattr(WORKING, &path, "user.a", none).unwrap();
        ring.removexattr_file(file, "user.b").unwrap();
        assert_eq!(errno_of(ring.getxattr_file(file, "user.a", room())), Errno::ENODATA);
        ring.close(file).unwrap();
        // The room that is needed can be asked for, and the value that was set comes back unharmed.
        let mut chain = Chain::new();
        let set = chain.setxattr(WORKING, &path, "user.c", "0123456789", none);
        let length = chain.getxattr(WORKING, &path, "user.c", Buffer::with_capacity(0), none);
        let mut done = ring.run(chain).unwrap();
        assert_eq!(done.get(length).unwrap(), 10);
        assert_eq!(&*done.take(set).unwrap(), b"0123456789");
        // A length that says how much would be needed is no length of what is there.
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::write());
        let length = chain.getxattr(WORKING, &path, "user.c", Buffer::with_capacity(0), none);
        chain.write(file, length, Offset::START);
        assert!(matches!(chain.check(), Err(BuildError::NoData { .. })));
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read_write());
        let value = chain.getxattr(WORKING, &path, "user.c", Buffer::with_capacity(64), none);
        chain.write(file, value, Offset::START);
        let back = chain.read(file, Buffer::with_capacity(64), Offset::START);
        chain.finally().close(file);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(&*done.take(back).unwrap(), b"0123456789");
        let long = "n".repeat(256);
        assert_eq!(errno_of(ring.getxattr(WORKING, &path, &long, room(), none)), Errno::ERANGE);
        let large = vec![0; 65_537];
        assert_eq!(errno_of(ring.setxattr(WORKING, &path, "user.d", large, none)), Errno::E2BIG);
        assert!(matches!(
            ring.removexattr(WORKING, &path, "user.\0", none),
            Err(Error::Build(BuildError::NulInPath { .. }))
        ));
    });
}

#[test]
fn names_start_in_what_an_earlier_step_opens() {
    everywhere("relative", |ring, root| {
        make(ring, &root.join("f"));
        let mut chain = Chain::new();
        let directory = chain.open(&root, OpenOptions::directory());
        chain.chmod(directory, "f", 0o600);
        chain.utimes(directory, "f", Times::default(), AtFlags::empty());
        chain.statfs(directory, "f");
        chain.access(directory, "f", AccessFlags::WRITE, AccessOptions::empty());
        chain.mknod(directory, "socket", NodeKind::Socket, 0o755);
        chain.symlink("f", directory, "l");
        let target = chain.readlink(directory, "l", Buffer::with_capacity(1));
        let options = OpenOptions::from_flags(OpenFlags::PATH.union(OpenFlags::NOFOLLOW));
        let link = chain.open_in(directory, "l", options);
        let again = chain.readlink_file(link, Buffer::with_capacity(0));
        let names = chain.listxattr(directory, "l", Buffer::with_capacity(4096), XattrFlags::NOFOLLOW);
        chain.finally().close(link);
        chain.finally().close(directory);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(&*done.take(target).unwrap(), b"f");
        assert_eq!(done.get(again).unwrap(), 1);
        assert!(done.get(names).is_ok());
    });
}

#[test]
fn far_times_are_written_as_they_are() {
    let far = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1 << 40)).unwrap();
    let mut ring = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    make(&mut ring, &PathBuf::from("/f"));
    let times = Times { accessed: SetTime::At(far), modified: SetTime::Omit };
    ring.utimes(WORKING, "/f", times, AtFlags::empty()).unwrap();
    assert_eq!(ring.stat(WORKING, "/f", StatFlags::empty()).unwrap().accessed, far);
}

//! Every verb once, on every file system that tests run on; with slots and without, with all opcodes and with few.

use std::os::fd::AsRawFd;

use ouzel::backend::HostBackend;
use ouzel::backend::uring::UringOptions;
use ouzel_engine::{Backend, Buffers, Operation, Outcome, Place, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use ouzel_uring::abi::Opcode;

use crate::driver::*;

/// As though the kernel were older.
const NEWER: &[Opcode] = &[
    Opcode::Renameat,
    Opcode::Unlinkat,
    Opcode::Mkdirat,
    Opcode::Symlinkat,
    Opcode::Linkat,
    Opcode::Ftruncate,
    Opcode::Fallocate,
    Opcode::Fsync,
    Opcode::SyncFileRange,
    Opcode::Shutdown,
    Opcode::Socket,
    Opcode::Bind,
    Opcode::Listen,
];

fn each(test: impl Fn(Driver)) {
    let plain = UringOptions { descriptors: 64, ..UringOptions::default() };
    for options in [
        plain,
        UringOptions { slots: false, ..plain },
        UringOptions { without: NEWER, ..plain },
        UringOptions { without: NEWER, slots: false, movable: true, ..plain },
    ] {
        let Some(driver) = backend(options) else { return };
        println!("{options:?}");
        test(driver);
    }
}

fn stat(driver: &mut Driver, directory: Option<u32>, path: Option<&Text>) -> Result<(u32, u64), Errno> {
    let mut record = [0u64; 32];
    let record_span = Span { pointer: record.as_mut_ptr().cast(), length: 256 };
    let operation = Operation::Stat {
        directory,
        path: path.map(Text::path),
        record: record_span,
        flags: StatFlags::NOFOLLOW,
    };
    match driver.run_one(operation, true) {
        Outcome::Done { error: Errno::OK, .. } => {
            // `struct statx`: the mode is at 28, the size at 40.
            Ok(((record[3] >> 32) as u16 as u32, record[5]))
        }
        Outcome::Done { error, .. } => Err(error),
        Outcome::NotRun => panic!("not run"),
    }
}

#[test]
fn files() {
    each(|mut driver| {
        for scratch in scratches("files") {
            let path = scratch.file("a");
            let create = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
            driver.open(&path, create, 3);
            assert_eq!(driver.bad(open(&Text::new(&path), create, 4)), Errno::EEXIST);
            assert_eq!(driver.good(write(3, b"hello world", None)), 11);
            assert_eq!(driver.good(Operation::Seek { file: 3, offset: -5, whence: Whence::End }), 6);
            let mut buffer = [0; 16];
            assert_eq!(driver.good(read(3, &mut buffer, None)), 5);
            assert_eq!(&buffer[..5], b"world");
            assert_eq!(driver.good(read(3, &mut buffer, None)), 0);
            assert_eq!(
                driver.bad(Operation::Seek { file: 3, offset: -5, whence: Whence::Start }),
                Errno::EINVAL
            );

            let (mut one, mut two) = ([0; 3], [0; 100]);
            let spans = [span(&mut one), span(&mut two)];
            let many = Buffers::Many { spans: spans.as_ptr(), count: 2 };
            assert_eq!(driver.good(Operation::Read { file: 3, buffers: many, position: Some(0) }), 11);
            assert_eq!((&one[..], &two[..8]), (&b"hel"[..], &b"lo world"[..]));
            let none = Buffers::Many { spans: std::ptr::NonNull::dangling().as_ptr(), count: 0 };
            assert_eq!(driver.good(Operation::Write { file: 3, buffers: none, position: Some(0) }), 0);
            assert_eq!(driver.good(read(3, &mut [], Some(0))), 0);

            for mode in [SyncMode::Full, SyncMode::Data, SyncMode::Range] {
                driver.good(Operation::Sync { file: 3, mode, offset: 0, length: 1 << 40 });
            }
            driver.good(Operation::Truncate { file: 3, length: 4 });
            assert_eq!(stat(&mut driver, Some(3), None), Ok((0o100644, 4)));
            driver.good(Operation::Allocate {
                file: 3,
                offset: 0,
                length: 4096,
                flags: AllocateFlags::empty(),
            });
            assert_eq!(stat(&mut driver, None, Some(&Text::new(&path))), Ok((0o100644, 4096)));
            let flags = AllocateFlags::KEEP_SIZE | AllocateFlags::PUNCH_HOLE;
            driver.good(Operation::Allocate { file: 3, offset: 0, length: 4096, flags });
            assert_eq!(driver.good(read(3, &mut buffer, Some(0))), 16);
            assert_eq!(buffer, [0; 16]);
            assert_eq!(driver.good(Operation::Poll { file: 3, events: PollEvents::IN, multishot: false }), 1);
            driver.close(3);
            assert_eq!(driver.bad(read(3, &mut buffer, None)), Errno::EBADF);
            assert_eq!(driver.bad(Operation::Close { file: 3 }), Errno::EBADF);

            driver.open(&path, OpenFlags::READ, 3);
            assert_eq!(driver.bad(write(3, b"x", None)), Errno::EBADF);
            assert_eq!(driver.bad(Operation::Truncate { file: 3, length: 4 }), Errno::EINVAL);
            driver.close(3);
            driver.open(&path, OpenFlags::WRITE | OpenFlags::APPEND | OpenFlags::TRUNCATE, 3);
            driver.good(write(3, b"ab", None));
            driver.good(write(3, b"cd", Some(0)));
            driver.close(3);
            assert_eq!(std::fs::read(&path).unwrap(), b"abcd");
        }
    });
}

#[test]
fn names() {
    each(|mut driver| {
        for scratch in scratches("names") {
            driver.open(&scratch.0, OpenFlags::READ | OpenFlags::DIRECTORY, 0);
            let in_it = |name: &str| (Some(0), Text::new(name));
            let (directory, sub) = in_it("sub");
            driver.good(Operation::Mkdir { directory, path: sub.path(), mode: 0o750 });
            assert_eq!(
                driver.bad(Operation::Mkdir { directory, path: sub.path(), mode: 0o750 }),
                Errno::EEXIST
            );
            assert_eq!(stat(&mut driver, Some(0), Some(&sub)).unwrap().0, 0o40750);
            std::fs::write(scratch.file("a"), b"a").unwrap();
            let (a, b, c) = (Text::new("a"), Text::new("b"), Text::new("c"));
            let link = Operation::Link {
                from: Some(0),
                old: a.path(),
                to: Some(0),
                new: b.path(),
                flags: LinkFlags::empty(),
            };
            driver.good(link);
            assert_eq!(driver.bad(link), Errno::EEXIST);
            driver.good(Operation::Symlink { target: a.path(), directory, path: c.path() });
            assert_eq!(stat(&mut driver, Some(0), Some(&c)).unwrap().0 & 0o170000, 0o120000);
            let rename =
                |flags| Operation::Rename { from: Some(0), old: c.path(), to: Some(0), new: a.path(), flags };
            assert_eq!(driver.bad(rename(RenameFlags::NOREPLACE)), Errno::EEXIST);
            driver.good(rename(RenameFlags::EXCHANGE));
            assert!(scratch.file("a").symlink_metadata().unwrap().is_symlink());
            let remove = |path: &Text, flags| Operation::Remove { directory, path: path.path(), flags };
            assert_eq!(driver.bad(remove(&sub, RemoveFlags::empty())), Errno::EISDIR);
            assert_eq!(driver.bad(remove(&b, RemoveFlags::DIRECTORY)), Errno::ENOTDIR);
            driver.good(remove(&sub, RemoveFlags::DIRECTORY));
            driver.good(remove(&b, RemoveFlags::empty()));

            let mut buffer = [0; 1024];
            let list = |file, buffer: &mut [u8]| Operation::Readdir { file, buffer: span(buffer) };
            let length = driver.good(list(0, &mut buffer)) as usize;
            assert_eq!(driver.way.unwrap().place, Place::Helper);
            assert!(driver.way.unwrap().reason.contains("READDIR"));
            assert_eq!(names_in(&buffer[..length]), [".", "..", "a", "c"]);
            assert_eq!(driver.good(list(0, &mut buffer)), 0);
            driver.good(Operation::Seek { file: 0, offset: 0, whence: Whence::Start });
            assert_eq!(driver.bad(list(0, &mut buffer[..8])), Errno::EINVAL);
            assert_eq!(driver.bad(list(0, &mut [])), Errno::EINVAL);
            // An odd buffer is as good as any.
            let length = driver.good(list(0, &mut buffer[3..])) as usize;
            assert_eq!(names_in(&buffer[3..3 + length]).len(), 4);
            assert_eq!(driver.bad(read(0, &mut buffer, None)), Errno::EISDIR);

            // Opened without saying that it is a directory, it is one all the same.
            driver.open(&scratch.0, OpenFlags::READ, 1);
            assert_eq!(driver.bad(read(1, &mut buffer, None)), Errno::EISDIR);
            let length = driver.good(list(1, &mut buffer)) as usize;
            assert_eq!(names_in(&buffer[..length]).len(), 4);
            assert_eq!(stat(&mut driver, Some(1), None).unwrap().0 & 0o170000, 0o40000);
            let nested = Operation::Open {
                directory: Some(1),
                path: c.path(),
                flags: OpenFlags::READ,
                mode: 0,
                into: 2,
            };
            driver.good(nested);
            assert_eq!(driver.bad(list(2, &mut buffer)), Errno::ENOTDIR);
            driver.close(2);
            driver.close(1);

            driver.open(&scratch.file("a"), OpenFlags::PATH | OpenFlags::NOFOLLOW, 4);
            assert_eq!(stat(&mut driver, Some(4), None).unwrap().0 & 0o170000, 0o120000);
            assert_eq!(driver.bad(read(4, &mut buffer, None)), Errno::EBADF);
            driver.close(4);
            driver.close(0);
            assert!(stat(&mut driver, None, None).is_ok());
        }
    });
}

fn names_in(records: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = records;
    while !rest.is_empty() {
        // `struct linux_dirent64`: the record's length is at 16, the name at 19.
        let length = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
        let name = rest[19..length].split(|byte| *byte == 0).next().unwrap();
        names.push(String::from_utf8(name.to_vec()).unwrap());
        rest = &rest[length..];
    }
    names.sort();
    names
}

#[test]
fn sockets() {
    each(|mut driver| {
        let socket = |into| Operation::Socket { domain: 2, kind: 1, protocol: 0, into };
        let mut address = [0u8; 16];
        address[0] = 2;
        address[4..8].copy_from_slice(&[127, 0, 0, 1]);
        driver.good(socket(0));
        driver.good(Operation::Bind { socket: 0, address: span(&mut address) });
        driver.good(Operation::Listen { socket: 0, backlog: 8 });
        // Which port it got is asked of the socket itself, outside of the backend.
        let listener = driver.uring.release(0).unwrap();
        let port = std::net::TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap().port();
        address[2..4].copy_from_slice(&port.to_be_bytes());
        driver.uring.adopt(0, listener).unwrap();

        driver.good(socket(1));
        let mut peer = [0u8; 64];
        let accept =
            Operation::Accept { socket: 0, address: Some(span(&mut peer)), into: 2, multishot: false };
        let accepting = driver.start(accept, true).unwrap();
        let connecting =
            driver.start(Operation::Connect { socket: 1, address: span(&mut address) }, true).unwrap();
        for _ in 0..2 {
            let report = driver.report();
            let Outcome::Done { error, extra, .. } = report.outcome else { panic!() };
            assert_eq!(error, Errno::OK);
            assert_eq!(extra, if report.token == accepting { 16 } else { 0 });
            assert!(report.token == accepting || report.token == connecting);
        }
        assert_eq!(&peer[4..8], &[127, 0, 0, 1]);

        let mut data = *b"some bytes";
        let mut buffer = [0; 32];
        let send =
            |data: &mut [u8]| Operation::Send { socket: 1, buffer: span(data), flags: MessageFlags::empty() };
        let receive =
            |socket, buffer: &mut [u8], flags| Operation::Recv { socket, buffer: span(buffer), flags };
        assert_eq!(driver.good(send(&mut data)), 10);
        assert_eq!(driver.good(receive(2, &mut buffer, MessageFlags::PEEK)), 10);
        assert_eq!(driver.good(receive(2, &mut buffer[..4], MessageFlags::WAIT_ALL)), 4);
        assert_eq!(driver.good(read(2, &mut buffer, None)), 6);
        assert_eq!(&buffer[..6], b" bytes");
        assert_eq!(driver.bad(read(2, &mut buffer, Some(0))), Errno::ESPIPE);
        assert_eq!(driver.bad(Operation::Seek { file: 2, offset: 0, whence: Whence::Start }), Errno::ESPIPE);
        let sync = Operation::Sync { file: 2, mode: SyncMode::Range, offset: 0, length: 0 };
        assert_eq!(driver.bad(sync), Errno::EINVAL);
        driver.good(Operation::Shutdown { socket: 1, how: ShutdownHow::Send });
        assert_eq!(driver.good(receive(2, &mut buffer, MessageFlags::empty())), 0);
        assert_eq!(driver.bad(send(&mut data)), Errno::EPIPE);
        for index in 0..3 {
            driver.close(index);
        }
        assert_eq!(
            driver.bad(Operation::Socket { domain: 99, kind: 1, protocol: 0, into: 5 }),
            Errno::EAFNOSUPPORT
        );
    });
}

#[test]
fn pipes() {
    each(|mut driver| {
        driver.good(Operation::Pipe { into: [7, 3] });
        assert_eq!(driver.good(write(3, b"through", None)), 7);
        let mut buffer = [0; 16];
        assert_eq!(driver.good(read(7, &mut buffer, None)), 7);
        assert_eq!(driver.bad(read(7, &mut buffer, Some(0))), Errno::ESPIPE);
        let poll = Operation::Poll { file: 3, events: PollEvents::OUT, multishot: false };
        assert_eq!(driver.good(poll), PollEvents::OUT.bits());
        driver.close(7);
        assert_eq!(driver.bad(write(3, b"nobody", None)), Errno::EPIPE);
        driver.close(3);
    });
}

#[test]
fn copies() {
    each(|mut driver| {
        for scratch in scratches("copies") {
            let content: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
            std::fs::write(scratch.file("a"), &content).unwrap();
            driver.open(&scratch.file("a"), OpenFlags::READ, 0);
            driver.open(&scratch.file("b"), OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE, 1);
            let copy = |from, to, length| Operation::Copy { source: 0, from, target: 1, to, length };
            assert_eq!(driver.good(copy(None, None, u32::MAX as u64)), 300_000);
            assert_eq!(driver.way.unwrap().place, Place::Helper);
            assert_eq!(driver.good(copy(None, None, 10)), 0);
            assert_eq!(driver.good(copy(Some(10), Some(0), 5)), 5);
            let copied = std::fs::read(scratch.file("b")).unwrap();
            assert_eq!(
                (copied.len(), &copied[..5], &copied[5..]),
                (300_000, &content[10..15], &content[5..])
            );

            // Through a pipe, which is too small for all of it.
            driver.good(Operation::Pipe { into: [2, 3] });
            let into = Operation::Copy { source: 0, from: Some(0), target: 3, to: None, length: 300_000 };
            let filling = driver.start(into, true).unwrap();
            let out = Operation::Copy { source: 2, from: None, target: 1, to: Some(0), length: 300_000 };
            let draining = driver.start(out, true).unwrap();
            for _ in 0..2 {
                let report = driver.report();
                assert!(report.token == filling || report.token == draining);
                assert_eq!(report.outcome, done(300_000));
            }
            assert_eq!(std::fs::read(scratch.file("b")).unwrap(), content);
            assert_eq!(
                driver.bad(Operation::Copy { source: 2, from: Some(1), target: 1, to: None, length: 1 }),
                Errno::ESPIPE
            );

            // One that waits can be given up; one that may not wait does not.
            let waiting = Operation::Copy { source: 2, from: None, target: 1, to: Some(0), length: 10 };
            assert_eq!(driver.error(waiting, false), Errno::ETIMEDOUT);
            let token = driver.start(waiting, true).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            driver.uring.cancel(token);
            assert_eq!(driver.report().outcome, failed(Errno::ECANCELED));
            for index in 0..4 {
                driver.close(index);
            }
        }
    });
}

#[test]
fn objects_go_in_and_out_and_none_is_left() {
    each(|mut driver| {
        for scratch in scratches("in-and-out") {
            std::fs::write(scratch.file("a"), b"0123456789").unwrap();
            let file = std::fs::File::open(scratch.file("a")).unwrap();
            driver.uring.adopt(9, file.into()).unwrap();
            let mut buffer = [0; 4];
            assert_eq!(driver.good(read(9, &mut buffer, None)), 4);
            let file = driver.uring.release(9).unwrap();
            assert_eq!(driver.bad(read(9, &mut buffer, None)), Errno::EBADF);
            // Descriptor and table share the position.
            let mut file = std::fs::File::from(file);
            std::io::Read::read_exact(&mut file, &mut buffer).unwrap();
            assert_eq!(&buffer, b"4567");

            // What was opened here is an ordinary, blocking object outside.
            driver.open(&scratch.file("a"), OpenFlags::READ, 9);
            let file = driver.uring.release(9).unwrap();
            assert!(!rustix::fs::fcntl_getfl(&file).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
            let directory = std::fs::File::open(&scratch.0).unwrap();
            driver.uring.adopt(9, directory.into()).unwrap();
            assert!(stat(&mut driver, Some(9), Some(&Text::new("a"))).is_ok());
            let directory = driver.uring.release(9).unwrap();
            assert!(directory.as_raw_fd() > 2);
            // Left open: the backend closes it.
            driver.open(&scratch.0, OpenFlags::READ | OpenFlags::DIRECTORY, 10);
            driver.open(&scratch.file("a"), OpenFlags::READ, 11);
        }
    });
    // The backend is gone, and with it every descriptor of these files. Other tests of this process have theirs.
    let left: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|one| std::fs::read_link(one.unwrap().path()).ok())
        .filter(|path| path.to_string_lossy().contains("ouzel-uring-in-and-out-"))
        .collect();
    assert!(left.is_empty(), "left open: {left:?}");
}

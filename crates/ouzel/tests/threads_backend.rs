//! The threads backend, driven by its trait: files, names and copies.
#![allow(clippy::unwrap_used)]

mod rig;

use std::os::fd::AsFd;

use ouzel::backend::HostBackend;
use ouzel_engine::{Backend, Buffers, Operation, Outcome, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{
    AllocateFlags, LinkFlags, OpenFlags, PollEvents, RemoveFlags, RenameFlags, StatFlags, SyncMode, Whence,
};
use rig::*;
use rustix::fs::{Mode, OFlags, fcntl_getfl};

const BOTH: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);
const NEW: OpenFlags = BOTH.union(OpenFlags::CREATE);

#[test]
fn files_are_written_and_read() {
    for folder in Folder::each("files") {
        let mut rig = Rig::new();
        let name = folder.name("file");
        rig.open(&name, NEW.union(OpenFlags::EXCLUSIVE), 5);
        assert_eq!(
            rig.bad(Operation::Open {
                directory: None,
                path: name.path(),
                flags: NEW.union(OpenFlags::EXCLUSIVE),
                mode: 0o600,
                into: 6
            }),
            Errno::EEXIST
        );
        assert_eq!(rig.good(write(5, b"hello world", None)), 11);
        assert_eq!(rig.good(write(5, b"W", Some(6))), 1);
        let mut bytes = [0; 64];
        assert_eq!(rig.good(read(5, &mut bytes, None)), 0, "at the end");
        assert_eq!(rig.good(read(5, &mut bytes, Some(0))), 11, "short");
        assert_eq!(&bytes[..11], b"hello World");
        assert_eq!(rig.good(read(5, &mut bytes, Some(11))), 0);
        let seek = |offset, whence| Operation::Seek { file: 5, offset, whence };
        assert_eq!(rig.good(seek(-5, Whence::End)), 6);
        assert_eq!(rig.good(seek(1, Whence::Current)), 7);
        assert_eq!(rig.bad(seek(-1, Whence::Start)), Errno::EINVAL);
        assert_eq!(rig.good(seek(4, Whence::Start)), 4);
        assert_eq!(rig.good(read(5, &mut bytes[..2], None)), 2);
        assert_eq!(&bytes[..2], b"o ");
        assert_eq!(rig.bad(read(5, &mut bytes, Some(u64::MAX - 7))), Errno::EINVAL);

        let (mut one, mut two) = ([0u8; 3], [0u8; 30]);
        let spans = [span(&mut one), Span::EMPTY, span(&mut two)];
        let buffers = Buffers::Many { spans: spans.as_ptr(), count: 3 };
        assert_eq!(rig.good(Operation::Read { file: 5, buffers, position: Some(0) }), 11);
        assert_eq!((&one[..], &two[..8]), (&b"hel"[..], &b"lo World"[..]));
        assert_eq!(rig.good(Operation::Write { file: 5, buffers, position: Some(100) }), 33);
        assert_eq!(rig.good(Operation::Read { file: 5, buffers, position: None }), 33);

        let sync = |mode, length| Operation::Sync { file: 5, mode, offset: 0, length };
        assert_eq!(rig.good(sync(SyncMode::Full, 0)), 0);
        assert_eq!(rig.good(sync(SyncMode::Data, 0)), 0);
        assert_eq!(rig.good(sync(SyncMode::Range, 10)), 0);
        assert_eq!(rig.bad(sync(SyncMode::Range, u64::MAX)), Errno::EINVAL);
        assert_eq!(rig.good(Operation::Truncate { file: 5, length: 4 }), 0);
        assert_eq!(rig.bad(Operation::Truncate { file: 5, length: u64::MAX }), Errno::EINVAL);
        assert_eq!(rig.good(read(5, &mut bytes, Some(0))), 4);
        let allocate = |length, flags| Operation::Allocate { file: 5, offset: 0, length, flags };
        let kept = AllocateFlags::KEEP_SIZE;
        assert_eq!(rig.good(allocate(8192, AllocateFlags::empty())), 0);
        assert_eq!(rig.good(allocate(4096, kept | AllocateFlags::PUNCH_HOLE)), 0);
        assert_eq!(rig.bad(allocate(0, kept)), Errno::EINVAL);
        assert_eq!(rig.good(Operation::Seek { file: 5, offset: 0, whence: Whence::End }), 8192);

        rig.open(&name, OpenFlags::READ, 7);
        assert_eq!(rig.bad(write(7, b"x", None)), Errno::EBADF);
        assert_eq!(rig.bad(Operation::Truncate { file: 7, length: 0 }), Errno::EINVAL);
        rig.open(&name, OpenFlags::WRITE | OpenFlags::APPEND | OpenFlags::TRUNCATE, 8);
        assert_eq!(rig.bad(read(8, &mut bytes, None)), Errno::EBADF);
        assert_eq!(rig.good(write(8, b"ab", None)) + rig.good(write(8, b"cd", None)), 4);
        assert_eq!(rig.good(read(7, &mut bytes, None)), 4);
        let both = PollEvents::IN | PollEvents::OUT;
        assert_eq!(rig.good(Operation::Poll { file: 7, events: both, multishot: false }), both.bits());
        assert_eq!(rig.good(Operation::Poll { file: 7, events: both, multishot: true }), both.bits());
        for file in [5, 7, 8] {
            rig.close(file);
            assert_eq!(rig.bad(Operation::Close { file }), Errno::EBADF);
            assert_eq!(rig.bad(read(file, &mut bytes, None)), Errno::EBADF);
        }
        assert_eq!(rig.bad(read(1 << 30, &mut bytes, None)), Errno::EBADF);
    }
}

#[test]
fn names_are_made_moved_and_removed() {
    for folder in Folder::each("names") {
        let mut rig = Rig::new();
        let here = Name::new(&folder.0);
        rig.open(&here, OpenFlags::READ | OpenFlags::DIRECTORY, 1);
        let directory = Some(1);
        let [a, b, sub, missing] = ["a", "b", "sub", "missing"].map(Name::new);
        let make = |path, flags| Operation::Open { directory, path, flags, mode: 0o644, into: 2 };
        assert_eq!(rig.good(make(a.path(), NEW)), 0);
        rig.close(2);
        assert_eq!(rig.bad(make(missing.path(), OpenFlags::READ)), Errno::ENOENT);
        assert_eq!(rig.bad(make(a.path(), OpenFlags::READ | OpenFlags::DIRECTORY)), Errno::ENOTDIR);
        assert_eq!(rig.bad(make(Name::new("").path(), OpenFlags::READ)), Errno::ENOENT);
        let mkdir = Operation::Mkdir { directory, path: sub.path(), mode: 0o755 };
        assert_eq!(rig.good(mkdir), 0);
        assert_eq!(rig.bad(mkdir), Errno::EEXIST);
        let rename = |old: &Name, new: &Name, flags| Operation::Rename {
            from: directory,
            old: old.path(),
            to: directory,
            new: new.path(),
            flags,
        };
        let link = Operation::Link {
            from: directory,
            old: a.path(),
            to: directory,
            new: b.path(),
            flags: LinkFlags::empty(),
        };
        assert_eq!(rig.good(link), 0);
        assert_eq!(rig.bad(link), Errno::EEXIST);
        assert_eq!(rig.bad(rename(&a, &b, RenameFlags::NOREPLACE)), Errno::EEXIST);
        assert_eq!(rig.good(rename(&a, &sub, RenameFlags::EXCHANGE)), 0);
        assert_eq!(rig.good(rename(&a, &sub, RenameFlags::EXCHANGE)), 0);
        assert_eq!(rig.bad(rename(&missing, &b, RenameFlags::empty())), Errno::ENOENT);
        let symbolic = Name::new("symbolic");
        let symlink = Operation::Symlink { target: a.path(), directory, path: symbolic.path() };
        assert_eq!(rig.good(symlink), 0);
        assert_eq!(rig.bad(make(symbolic.path(), OpenFlags::READ | OpenFlags::NOFOLLOW)), Errno::ELOOP);

        // The kind of file, from `stx_mode`.
        let kind = |rig: &mut Rig, directory, path, flags| {
            let mut record = [0xaa; 256];
            let end = rig.run(Operation::Stat { directory, path, record: span(&mut record), flags });
            match end {
                Outcome::Done { error: Errno::OK, .. } => {
                    Ok(u16::from_ne_bytes([record[28], record[29]]) & 0o170000)
                }
                Outcome::Done { error, .. } => Err(error),
                Outcome::NotRun => panic!("not run"),
            }
        };
        let follow = StatFlags::empty();
        assert_eq!(kind(&mut rig, directory, Some(symbolic.path()), StatFlags::NOFOLLOW), Ok(0o120000));
        assert_eq!(kind(&mut rig, directory, Some(symbolic.path()), follow), Ok(0o100000));
        assert_eq!(kind(&mut rig, directory, None, follow), Ok(0o040000));
        assert_eq!(kind(&mut rig, None, None, follow), Ok(0o040000));
        assert_eq!(kind(&mut rig, directory, Some(missing.path()), follow), Err(Errno::ENOENT));

        let mut seen = Vec::new();
        // A small buffer, and not an aligned one.
        let mut records = [0u8; 128];
        let start = records.as_ptr().align_offset(8) + 1;
        let buffer = span(&mut records[start..start + 96]);
        loop {
            let count = rig.good(Operation::Readdir { file: 1, buffer }) as usize;
            if count == 0 {
                break;
            }
            let mut rest = &records[start..start + count];
            while !rest.is_empty() {
                let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
                let name = rest[19..length].split(|byte| *byte == 0).next().unwrap();
                seen.push(String::from_utf8(name.to_vec()).unwrap());
                rest = &rest[length..];
            }
        }
        seen.sort();
        assert_eq!(seen, [".", "..", "a", "b", "sub", "symbolic"]);
        rig.good(Operation::Seek { file: 1, offset: 0, whence: Whence::Start });
        let mut small = [0u64; 1];
        let buffer = Span { pointer: small.as_mut_ptr().cast(), length: 8 };
        assert_eq!(rig.bad(Operation::Readdir { file: 1, buffer }), Errno::EINVAL);
        assert_eq!(rig.bad(Operation::Readdir { file: 1, buffer: Span::EMPTY }), Errno::EINVAL);
        let mut large = vec![0u64; 512];
        let buffer = Span { pointer: large.as_mut_ptr().cast(), length: 4096 };
        let all = rig.good(Operation::Readdir { file: 1, buffer });
        assert!(all > 96 && all.is_multiple_of(8));
        let mut bytes = [0; 8];
        assert_eq!(rig.bad(read(1, &mut bytes, None)), Errno::EISDIR);

        rig.open(&folder.name("a"), OpenFlags::READ, 2);
        assert_eq!(rig.bad(Operation::Readdir { file: 2, buffer }), Errno::ENOTDIR);
        rig.close(2);
        let remove = |name: &Name, flags| Operation::Remove { directory, path: name.path(), flags };
        assert_eq!(rig.bad(remove(&sub, RemoveFlags::empty())), Errno::EISDIR);
        assert_eq!(rig.bad(remove(&a, RemoveFlags::DIRECTORY)), Errno::ENOTDIR);
        std::fs::write(folder.0.join("sub/inside"), b"").unwrap();
        assert_eq!(rig.bad(remove(&sub, RemoveFlags::DIRECTORY)), Errno::ENOTEMPTY);
        std::fs::remove_file(folder.0.join("sub/inside")).unwrap();
        assert_eq!(rig.good(remove(&sub, RemoveFlags::DIRECTORY)), 0);
        for name in [&a, &b, &symbolic] {
            assert_eq!(rig.good(remove(name, RemoveFlags::empty())), 0);
        }
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
    }
}

#[test]
fn a_fifo_is_opened_without_a_peer_and_released_as_blocking() {
    for folder in Folder::each("fifo") {
        let mut rig = Rig::new();
        let name = folder.name("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.join("fifo"), Mode::from_raw_mode(0o600)).unwrap();
        let writer =
            Operation::Open { directory: None, path: name.path(), flags: OpenFlags::WRITE, mode: 0, into: 2 };
        assert_eq!(rig.bad(writer), Errno::ENXIO);
        rig.open(&name, OpenFlags::READ, 1);
        assert_eq!(rig.good(writer), 0);
        assert_eq!(rig.good(write(2, b"through", None)), 7);
        let mut bytes = [0; 16];
        assert_eq!(rig.good(read(1, &mut bytes, None)), 7);
        let waiting = rig.park(read(1, &mut bytes, None));
        rig.good(write(2, b"later", None));
        assert_eq!(rig.end(waiting), Outcome::success(5));
        let released = rig.backend.release(1).unwrap();
        assert!(!fcntl_getfl(&released).unwrap().contains(OFlags::NONBLOCK));
        assert_eq!(rig.backend.release(1).unwrap_err(), Errno::EBADF);
        rig.open(&folder.name("fifo"), OpenFlags::PATH, 3);
        assert_eq!(rig.bad(read(3, &mut bytes, None)), Errno::EBADF);
        rig.close(3);
        rig.close(2);
    }
}

#[test]
fn copies_go_between_files_pipes_and_beyond() {
    for folder in Folder::each("copy") {
        let mut rig = Rig::new();
        let content: Vec<u8> = (0..300_000u32).map(|number| (number * 7 % 251) as u8).collect();
        std::fs::write(folder.0.join("source"), &content).unwrap();
        rig.open(&folder.name("source"), OpenFlags::READ, 1);
        rig.open(&folder.name("target"), NEW, 2);
        let copy = |source, from, target, to, length| Operation::Copy { source, from, target, to, length };
        assert_eq!(rig.good(copy(1, None, 2, None, u64::MAX >> 1)), 300_000);
        assert_eq!(std::fs::read(folder.0.join("target")).unwrap(), content);
        assert_eq!(rig.good(copy(1, None, 2, None, 10)), 0, "at the end");
        assert_eq!(rig.good(copy(1, Some(100), 2, Some(0), 50)), 50);
        assert_eq!(std::fs::read(folder.0.join("target")).unwrap()[..50], content[100..150]);
        assert_eq!(rig.bad(copy(2, None, 1, None, 10)), Errno::EBADF, "not writable");
        rig.open(&folder.name("target"), OpenFlags::WRITE | OpenFlags::APPEND, 3);
        assert_eq!(rig.good(copy(1, Some(0), 3, None, 1000)), 1000, "appending");
        assert_eq!(std::fs::read(folder.0.join("target")).unwrap()[300_000..], content[..1000]);

        // A file into a pipe that is too small, which another copy empties into a file.
        assert_eq!(rig.good(Operation::Pipe { into: [4, 5] }), 0);
        rig.open(&folder.name("third"), NEW, 6);
        assert_eq!(rig.bad(copy(1, None, 5, Some(0), 10)), Errno::ESPIPE);
        let (fill, _) = rig.start(copy(1, Some(0), 5, None, 300_000), true);
        let (drain, _) = rig.start(copy(4, None, 6, None, 300_000), true);
        assert_eq!(rig.end(fill), Outcome::success(300_000));
        assert_eq!(rig.end(drain), Outcome::success(300_000));
        assert_eq!(std::fs::read(folder.0.join("third")).unwrap(), content);

        // An empty pipe: cancelled, and refused to wait.
        let (drain, _) = rig.start(copy(4, None, 6, None, 10), true);
        rig.quiet(30);
        rig.backend.cancel(drain);
        assert_eq!(rig.end(drain), failure(Errno::ECANCELED));
        assert_eq!(rig.run_now(copy(4, None, 6, None, 10)), failure(Errno::ETIMEDOUT));

        // A full pipe: what was read and not written is read again.
        rig.good(Operation::Seek { file: 1, offset: 0, whence: Whence::Start });
        let (fill, _) = rig.start(copy(1, None, 5, None, 300_000), true);
        eventually("the pipe is full", || {
            let room = Operation::Poll { file: 5, events: PollEvents::OUT, multishot: false };
            rig.run_now(room) == failure(Errno::ETIMEDOUT)
        });
        rig.backend.cancel(fill);
        let Outcome::Done { error: Errno::OK, result, .. } = rig.end(fill) else { panic!("no progress") };
        assert!((4096..300_000).contains(&result));
        let at = rig.good(Operation::Seek { file: 1, offset: 0, whence: Whence::Current });
        assert_eq!(at, result, "the source stands where the copy stopped");

        // From pipe to pipe, to the end.
        assert_eq!(rig.good(Operation::Pipe { into: [7, 8] }), 0);
        rig.close(5);
        let (relay, _) = rig.start(copy(4, None, 8, None, u64::MAX >> 1), true);
        let mut got = vec![0; result as usize];
        let mut count = 0;
        while count < got.len() {
            count += rig.good(read(7, &mut got[count..], None)) as usize;
        }
        assert_eq!(rig.end(relay), Outcome::success(result));
        assert_eq!(got, content[..result as usize]);
    }
    // A file that has no length and yet content.
    let folders = Folder::each("copy-proc");
    let folder = &folders[0];
    let mut rig = Rig::new();
    rig.open(&Name::new("/proc/self/status"), OpenFlags::READ, 1);
    rig.open(&folder.name("status"), NEW, 2);
    let copied = rig.good(Operation::Copy { source: 1, from: None, target: 2, to: None, length: 1 << 20 });
    assert!(copied > 100);
}

#[test]
fn adopted_descriptors_keep_their_flags() {
    let mut rig = Rig::new();
    for flags in [rustix::pipe::PipeFlags::empty(), rustix::pipe::PipeFlags::NONBLOCK] {
        let (read_end, write_end) = rustix::pipe::pipe_with(flags).unwrap();
        let before = fcntl_getfl(read_end.as_fd()).unwrap();
        rig.adopt(1, read_end);
        rig.adopt(2, write_end);
        let mut bytes = [0; 8];
        let waiting = rig.park(read(1, &mut bytes, None));
        assert_eq!(rig.run_now(read(1, &mut [0; 8], None)), failure(Errno::ETIMEDOUT));
        rig.quiet(20);
        rig.good(write(2, b"data", None));
        assert_eq!(rig.end(waiting), Outcome::success(4));
        let released = rig.backend.release(1).unwrap();
        assert_eq!(fcntl_getfl(&released).unwrap(), before);
        rig.close(2);
    }
    let file = std::fs::File::open("/dev/null").unwrap();
    rig.adopt(1, file);
    assert_eq!(rig.good(read(1, &mut [0; 8], None)), 0);
    rig.adopt(1, std::fs::File::open("/dev/zero").unwrap());
    let mut bytes = [1; 8];
    assert_eq!(rig.good(read(1, &mut bytes, None)), 8);
    assert_eq!(bytes, [0; 8]);
    assert_eq!(
        rig.backend.adopt(1 << 30, std::fs::File::open("/dev/null").unwrap().into()),
        Err(Errno::EBADF)
    );
}

#[test]
fn costs_are_counted() {
    let mut rig = Rig::new();
    let before = rig.backend.counters();
    rig.good(Operation::Pipe { into: [1, 2] });
    rig.good(write(2, b"x", None));
    let cost = rig.backend.counters().since(before);
    assert_eq!((cost.enters, cost.calls, cost.handoffs), (0, 2, 0));
    let before = rig.backend.counters();
    rig.open(&Name::new("/proc/self/stat"), OpenFlags::READ, 3);
    let cost = rig.backend.counters().since(before);
    assert_eq!(cost.handoffs, 1);
    assert!(cost.calls >= 2);
}

//! What the backend refuses, and what it leaves behind.

use std::time::Duration;

use ouzel::backend::uring::{Uring, UringError, UringOptions};
use ouzel_engine::{Attribute, Backend, Edge, Operation, Place, Started, Step, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;

use crate::driver::*;

#[test]
fn a_table_must_have_a_sensible_size() {
    for asked in [0, (1 << 20) + 1] {
        let options = UringOptions { descriptors: asked, ..UringOptions::default() };
        let error = Uring::new(options).unwrap_err();
        assert!(matches!(error, UringError::Descriptors { .. }), "{error}");
        assert!(error.to_string().contains(&asked.to_string()));
    }
}

#[test]
fn the_report_for_doctor_names_what_is_missing_and_used_instead() {
    let Some(driver) = backend(UringOptions { slots: false, ..UringOptions::default() }) else { return };
    let features = driver.uring.features();
    assert!(!features.slots);
    assert!(features.missing.iter().any(|missing| missing.what.contains("slots")));
    assert!(!features.step.to_string().is_empty());
    assert!(features.registered);
}

#[test]
fn another_thread_is_refused_unless_the_backend_is_movable() {
    for movable in [false, true] {
        let Some(mut driver) = backend(UringOptions { movable, ..UringOptions::default() }) else { return };
        driver.good(Operation::Pipe { into: [0, 1] });
        std::thread::spawn(move || {
            let token = Token { slot: 400, generation: 1 };
            let operation = write(1, b"x", None);
            let started =
                driver.uring.start(&[Step { token, operation, edge: Edge::Success, may_wait: true }]);
            assert!(matches!(started, Started::Taken { .. }));
            let waited = driver.uring.wait(1, None);
            assert_eq!(waited, if movable { Ok(()) } else { Err(Errno::EEXIST) });
            assert_eq!(driver.uring.next().is_some(), movable);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn an_index_with_nothing_behind_it_is_ebadf_for_every_verb() {
    let Some(mut driver) = backend(UringOptions::default()) else { return };
    let mut buffer = [0; 256];
    let text = Text::new("a");
    let (path, bytes) = (text.path(), span(&mut buffer));
    let attribute = Attribute::new(path.pointer, 0, path.length as u32);
    for operation in [
        read(3, &mut [0; 4], None),
        write(3, b"x", Some(0)),
        Operation::Close { file: 3 },
        Operation::Poll { file: 3, events: PollEvents::IN, multishot: true },
        Operation::Seek { file: 3, offset: 0, whence: Whence::Start },
        Operation::Sync { file: 3, mode: SyncMode::Full, offset: 0, length: 0 },
        Operation::Truncate { file: 3, length: 0 },
        Operation::Allocate { file: 3, offset: 0, length: 1, flags: AllocateFlags::empty() },
        Operation::Readdir { file: 3, buffer: bytes },
        Operation::Copy { source: 3, from: None, target: 4, to: None, length: 1 },
        Operation::Open { directory: Some(3), path, flags: OpenFlags::READ, mode: 0, into: 4 },
        Operation::Stat { directory: Some(3), path: None, record: bytes, flags: StatFlags::empty() },
        Operation::Mkdir { directory: Some(3), path, mode: 0 },
        Operation::Remove { directory: Some(3), path, flags: RemoveFlags::empty() },
        Operation::Rename { from: None, old: path, to: Some(3), new: path, flags: RenameFlags::empty() },
        Operation::Link { from: Some(3), old: path, to: None, new: path, flags: LinkFlags::empty() },
        Operation::Symlink { target: path, directory: Some(3), path },
        Operation::Bind { socket: 3, address: bytes },
        Operation::Listen { socket: 3, backlog: 1 },
        Operation::Accept { socket: 3, address: None, into: 4, multishot: false },
        Operation::Connect { socket: 3, address: bytes },
        Operation::Send { socket: 3, buffer: bytes, flags: MessageFlags::empty() },
        Operation::Recv { socket: 3, buffer: bytes, flags: MessageFlags::empty() },
        Operation::Shutdown { socket: 3, how: ShutdownHow::Both },
        Operation::Readlink { directory: Some(3), path: None, buffer: bytes },
        Operation::Chmod { directory: Some(3), path: Some(path), mode: 0 },
        Operation::Statfs { directory: Some(3), path: None, record: bytes },
        Operation::GetXattr { directory: Some(3), attribute, value: bytes, flags: XattrFlags::empty() },
        Operation::SetXattr { directory: Some(3), attribute, value: bytes, flags: XattrFlags::NOFOLLOW },
        Operation::RemoveXattr { directory: Some(3), attribute, flags: XattrFlags::empty() },
    ] {
        assert_eq!(driver.start(operation, true), Err(failed(Errno::EBADF)), "{operation:?}");
    }
    assert_eq!(driver.way.unwrap().place, Place::Call);
    assert_eq!(driver.uring.in_flight(), 0);
}

#[test]
fn dropped_with_operations_under_way_it_leaves_nothing_behind_but_their_memory() {
    for movable in [false, true] {
        let Some(mut driver) = backend(UringOptions { movable, ..UringOptions::default() }) else { return };
        driver.good(Operation::Pipe { into: [0, 1] });
        let buffer = Box::leak(Box::new([0u8; 64]));
        driver.start(read(0, buffer, None), true).unwrap();
        driver
            .start(Operation::Copy { source: 0, from: None, target: 1, to: None, length: 1 }, true)
            .unwrap();
        assert_eq!(driver.report_within(Duration::from_millis(10)), None);
        assert_eq!(driver.uring.in_flight(), 2);
        drop(driver);
    }
}

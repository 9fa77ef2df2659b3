//! The simulator's file system at its edges: vectored transfers, limits, long chains of links, listing and copying.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use std::collections::BTreeMap;

use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::{Buffers, Operation};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use sim_support::{Driver, content, names, path, result, span};

#[test]
fn vectored_transfers_reach_every_piece() {
    let mut sim = Driver::new(Sim::new(SimOptions::new(1)));
    sim.open("f", OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE, 0).unwrap();
    let pieces = vec![span(b"one"), span(b""), span(b"three")].leak();
    let buffers = Buffers::Many { spans: pieces.as_ptr(), count: pieces.len() };
    assert_eq!(sim.run(Operation::Write { file: 0, buffers, position: Some(2) }), Ok(8));
    assert_eq!(sim.read(0, 100, Some(0)).unwrap(), b"\0\0onethree");
    assert_eq!(sim.run(Operation::Read { file: 0, buffers, position: Some(3) }), Ok(7));
    assert_eq!(content(pieces[0], 3), b"net");
    assert_eq!(content(pieces[2], 4), b"hree");
}

#[test]
fn limits_are_kept() {
    let mut options = SimOptions::new(2);
    options.storage_bytes = 3 * 4096;
    options.largest_file = 100_000;
    options.descriptors = 4;
    let mut sim = Driver::new(Sim::new(options));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    sim.open("f", flags, 0).unwrap();
    assert_eq!(sim.open("g", flags, 4), Err(Errno::EMFILE));
    assert_eq!(sim.write(0, &[1; 20_000], None), Ok(3 * 4096));
    assert_eq!(sim.write(0, &[1; 1], None), Err(Errno::ENOSPC));
    assert_eq!(sim.write(0, &[1; 10], Some(99_995)), Err(Errno::ENOSPC));
    let allocate = |length| Operation::Allocate { file: 0, offset: 0, length, flags: AllocateFlags::empty() };
    assert_eq!(sim.run(allocate(4 * 4096)), Err(Errno::ENOSPC));
    assert_eq!(sim.run(allocate(100_001)), Err(Errno::EFBIG));
    // An unlinked file holds its storage until it is closed.
    let remove = Operation::Remove { directory: None, path: path("f"), flags: RemoveFlags::empty() };
    sim.run(remove).unwrap();
    sim.open("g", flags, 1).unwrap();
    assert_eq!(sim.read(0, 3, Some(0)).unwrap(), [1; 3]);
    assert_eq!(sim.write(1, b"x", Some(0)), Err(Errno::ENOSPC));
    sim.close(0).unwrap();
    assert_eq!(sim.write(1, &[1; 10], Some(99_995)), Ok(5));
    assert_eq!(sim.write(1, b"x", Some(100_000)), Err(Errno::EFBIG));
    assert_eq!(sim.run(Operation::Truncate { file: 1, length: 100_001 }), Err(Errno::EFBIG));
}

#[test]
fn symbolic_links_end_at_forty() {
    let mut sim = Driver::new(Sim::new(SimOptions::new(3)));
    sim.open("l0", OpenFlags::WRITE | OpenFlags::CREATE, 0).unwrap();
    for number in 1..=41 {
        let target = path(format!("l{}", number - 1));
        let made = Operation::Symlink { target, directory: None, path: path(format!("l{number}")) };
        sim.run(made).unwrap();
    }
    assert_eq!(sim.open("l40", OpenFlags::READ, 1), Ok(0));
    assert_eq!(sim.open("l41", OpenFlags::READ, 2), Err(Errno::ELOOP));
    let around = Operation::Symlink { target: path("/round/x"), directory: None, path: path("round") };
    sim.run(around).unwrap();
    assert_eq!(sim.open("round", OpenFlags::READ, 2), Err(Errno::ELOOP));
}

#[test]
fn listing_is_robust_while_names_change() {
    let mut sim = Driver::new(Sim::new(SimOptions::new(4)));
    let create = OpenFlags::WRITE | OpenFlags::CREATE;
    for number in 0..50 {
        sim.open(&format!("f{number}"), create, 1).unwrap();
        sim.close(1).unwrap();
    }
    sim.open("/", OpenFlags::READ, 0).unwrap();
    let mut seen = BTreeMap::new();
    let mut round = 0;
    loop {
        let buffer = span(&[0; 100]);
        let count = sim.run(Operation::Readdir { file: 0, buffer }).unwrap();
        if count == 0 {
            break;
        }
        for (name, _) in names(&content(buffer, count as usize)) {
            *seen.entry(name).or_insert(0) += 1;
        }
        // Take away an even one that is still to come or has been; odd ones stay.
        let name = format!("f{}", round * 2);
        let _ = sim.run(Operation::Remove { directory: None, path: path(name), flags: RemoveFlags::empty() });
        round += 1;
    }
    assert!(seen.values().all(|times| *times == 1));
    for number in (1..50).step_by(2) {
        assert!(seen.contains_key(format!("f{number}").as_bytes()), "f{number} was there all the time");
    }
    let tiny = span(&[0; 10]);
    sim.open("/", OpenFlags::READ, 1).unwrap();
    assert_eq!(sim.run(Operation::Readdir { file: 1, buffer: tiny }), Err(Errno::EINVAL));
    let back = Operation::Seek { file: 0, offset: 0, whence: Whence::Start };
    assert_eq!(sim.run(back), Ok(0));
    let buffer = span(&[0; 100]);
    assert!(sim.run(Operation::Readdir { file: 0, buffer }).unwrap() > 0);
}

#[test]
fn copy_moves_between_files_and_pipes() {
    let mut sim = Driver::new(Sim::new(SimOptions::new(5)));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    sim.open("a", flags, 0).unwrap();
    sim.open("b", flags, 1).unwrap();
    let data: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
    sim.write(0, &data, Some(0)).unwrap();
    let copy = |source, from, target, to, length| Operation::Copy { source, from, target, to, length };
    assert_eq!(sim.run(copy(0, Some(10), 1, Some(5), 1 << 30)), Ok(199_990));
    assert_eq!(sim.read(1, 200_000, Some(5)).unwrap(), data[10..]);
    assert_eq!(sim.run(copy(0, None, 1, None, 100)), Ok(100));
    assert_eq!(sim.run(copy(0, None, 1, None, 0)), Ok(0));
    assert_eq!(sim.run(copy(0, Some(0), 0, Some(50), 100)), Err(Errno::EINVAL));
    sim.run(Operation::Pipe { into: [2, 3] }).unwrap();
    assert_eq!(sim.run(copy(0, Some(0), 3, Some(0), 10)), Err(Errno::ESPIPE));
    assert_eq!(sim.run(copy(3, None, 1, None, 10)), Err(Errno::EBADF));
    // More than the pipe holds: it goes on as the reader makes room.
    let whole = sim.begin(copy(0, Some(0), 3, None, 150_000));
    assert!(sim.is_waiting(whole));
    let mut got = Vec::new();
    while got.len() < 150_000 {
        got.extend(sim.read(2, 30_000, None).unwrap());
    }
    assert_eq!(sim.end(whole).map(result), Some(Ok(150_000)));
    assert_eq!(got, data[..150_000]);
    // Cancelled half way, it tells how far it came.
    let whole = sim.begin(copy(0, Some(0), 3, None, 150_000));
    assert!(sim.is_waiting(whole));
    ouzel_engine::Backend::cancel(&mut sim.backend, whole);
    assert_eq!(sim.end(whole).map(result), Some(Ok(65_536)));
}

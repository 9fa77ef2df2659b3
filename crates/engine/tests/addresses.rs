//! An engine whose submitter is not trusted with addresses asks before it touches any.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;

use common::{Answer, Rig};
use ouzel_engine::Outcome;
use ouzel_ring::{Entry, Errno, Payload, Verb};

thread_local! {
    /// The bytes that may be named.
    static MAPPED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn is_mapped(address: u64, length: u64, _writes: bool) -> bool {
    let (start, end) = MAPPED.get();
    address >= start && address + length <= end
}

/// A rig whose engine asks, and the address of sixteen bytes of which the first eight may be named.
fn rig(bytes: &[u8; 16]) -> (Rig, u64) {
    let mut rig = Rig::new(8, 8);
    let start = Payload::of(bytes.as_ptr()).number();
    MAPPED.set((start, start + 8));
    rig.engine.check_addresses(is_mapped);
    (rig, start)
}

#[test]
fn buffers_are_asked_about_up_to_their_last_byte() {
    let bytes = [0; 16];
    let (mut rig, start) = rig(&bytes);
    let file = rig.descriptor();
    rig.backend().otherwise = Answer::Finish(Outcome::success(0));
    for (offset, length, error) in [
        (0, 8, Errno::OK),
        (0, 9, Errno::EFAULT),
        (7, 1, Errno::OK),
        (8, 1, Errno::EFAULT),
        (9, 0, Errno::OK),
    ] {
        rig.push(&[Entry::new(Verb::Read).arguments([file, start + offset, length, 0, 0])]);
        rig.go();
        assert_eq!(rig.errors(), [(0, error)], "{length} bytes at {offset}");
    }
    rig.assert_empty();
}

#[test]
fn what_the_engine_parses_is_asked_about_before_it_looks() {
    let mut bytes = *b"a/long/name/abc\0";
    bytes[7] = 0;
    let (mut rig, start) = rig(&bytes);
    rig.backend().otherwise = Answer::Finish(Outcome::success(0));
    let open = |address, length| Entry::new(Verb::Open).arguments([0, address, length, 1, 0]);
    rig.push(&[open(start, 8)]);
    rig.go();
    assert_eq!(rig.pop_all()[0].errno(), Errno::OK);
    // Nothing is mapped at most of these; looking there would end the test.
    for (address, length) in
        [(start, 9), (start + 8, 1), (1, 1), (4096, 64), (1 << 46, 4096), ((1 << 48) - 1, 1)]
    {
        rig.push(&[open(address, length)]);
        rig.go();
        assert_eq!(rig.errors(), [(0, Errno::EFAULT)], "{length} bytes at {address:#x}");
        let load = Entry::new(Verb::Load).arguments([0, address + length, 8, 0, 0]);
        let pieces = Entry::new(Verb::Read).arguments([0, address + length, 1, 0, 1]);
        rig.push(&[load, pieces]);
        rig.go();
        assert!(rig.errors().iter().all(|(_, error)| !error.is_ok()));
    }
    rig.assert_empty();
}

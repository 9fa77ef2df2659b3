//! Admission: chains are taken whole or not at all, within credits. Section 7 of `docs/abi.md`.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_ring::{Entry, EntryFlags, Errno};

const OK: Errno = Errno::OK;
const EBADF: Errno = Errno::EBADF;
const EINVAL: Errno = Errno::EINVAL;
const ECANCELED: Errno = Errno::ECANCELED;
const E2BIG: Errno = Errno::E2BIG;

fn silent(entry: Entry) -> Entry {
    with(entry, EntryFlags::SILENT)
}

fn drain(entry: Entry) -> Entry {
    with(entry, EntryFlags::DRAIN)
}

#[test]
fn chains_are_taken_whole_or_not_at_all() {
    let mut rig = Rig::new(8, 8);
    rig.push(&[get(1), linked(get(2)), linked(get(3))]);
    let entered = rig.go();
    assert_eq!((entered.taken, entered.incomplete), (1, 2));
    assert_eq!(rig.errors(), [(1, OK)]);
    rig.push(&[get(4)]);
    assert_eq!(rig.enter(2, 0).taken, 0, "two of three are none");
    assert_eq!(rig.enter(3, 0).taken, 3);
    assert_eq!(rig.errors(), [(2, OK), (3, OK), (4, OK)]);
    rig.assert_empty();
}

#[test]
fn the_budget_is_rounded_down_to_whole_chains() {
    let mut rig = Rig::new(8, 16);
    rig.push(&[linked(get(1)), get(2), linked(get(3)), linked(get(4)), get(5), get(6)]);
    assert_eq!(rig.enter(4, 0).taken, 2);
    assert_eq!(rig.enter(3, 0).taken, 3);
    assert_eq!(rig.enter(9, 0).taken, 1);
    assert_eq!(rig.errors().len(), 6);
}

#[test]
fn a_chain_too_long_is_refused_to_its_end_over_several_enters() {
    let mut rig = Rig::new(4, 16);
    assert_eq!(rig.engine.limits().chain, 4);
    let mut data = 0;
    for _ in 0..3 {
        let entries: Vec<Entry> = (0..4)
            .map(|_| {
                data += 1;
                linked(get(data))
            })
            .collect();
        rig.push(&entries);
        rig.go();
        assert!(rig.errors().iter().all(|(_, error)| *error == E2BIG));
    }
    rig.push(&[get(100), get(101)]);
    rig.go();
    assert_eq!(rig.errors(), [(100, E2BIG), (101, OK)]);
    rig.assert_empty();
}

#[test]
fn malformed_chains_are_refused_whole() {
    let bad: [&[Entry]; 7] = [
        &[linked(finally(get(1))), get(2)],
        &[linked(get(1)), local(get(2))],
        &[linked(get(1)), drain(get(2))],
        &[hard(linked(get(1))), get(2)],
        &[with(linked(get(1)), EntryFlags::from_bits_retain(1 << 26)), get(2)],
        &[silent(linked(with(get(1), EntryFlags::MULTISHOT))), get(2)],
        &[linked(get(1)), with(save(get(2), 0), EntryFlags::MULTISHOT)],
    ];
    for chain in bad {
        let mut rig = Rig::new(8, 8);
        rig.push(chain);
        assert_eq!(rig.go().taken, 2);
        assert_eq!(rig.errors(), [(1, EINVAL), (2, EINVAL)], "{chain:?}");
        rig.assert_empty();
    }
}

#[test]
fn a_full_completion_queue_holds_entries_back() {
    for completions in [2u64, 4] {
        let mut rig = Rig::new(8, completions);
        let room = completions as usize - 1;
        rig.push(&[get(1), get(2), get(3), get(4), get(5), get(6)]);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let entered = rig.go();
            assert!(entered.readable as usize <= room, "one slot stays back");
            seen.extend(rig.errors());
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6].map(|data| (data, OK)));
        rig.assert_empty();
    }
}

#[test]
fn cancel_passes_a_head_without_credits_or_behind_a_drain() {
    let mut rig = Rig::new(8, 2);
    let file = rig.descriptor();
    rig.backend().yields = true;
    rig.push(&[read(1, file), get(2), cancel(3, 1)]);
    rig.go();
    assert_eq!(rig.seen(), [(3, OK, 1), (1, ECANCELED, 0)]);
    rig.go();
    assert_eq!(rig.errors(), [(2, OK)]);
    rig.assert_empty();

    let mut rig = Rig::new(8, 8);
    let file = rig.descriptor();
    rig.push(&[
        drain(read(1, file)),
        get(2),
        linked(cancel(3, 1)),
        get(4),
        drain(cancel(5, 1)),
        cancel(6, 1),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(6, OK, 1)], "neither one in a chain nor one that drains passes");
    rig.tell(0, failed(ECANCELED));
    rig.enter(u32::MAX, 5);
    assert_eq!(rig.errors(), [(1, ECANCELED), (2, OK), (3, OK), (4, OK), (5, OK)]);
    rig.assert_empty();
}

#[test]
fn a_silent_success_gives_its_credit_back() {
    let mut rig = Rig::new(4, 2);
    for round in 0..20 {
        rig.push(&[silent(get(round))]);
        assert_eq!(rig.go().taken, 1);
    }
    assert_eq!(rig.pop_all(), []);
    rig.push(&[silent(close(1, 99))]);
    rig.go();
    assert_eq!(rig.errors(), [(1, EBADF)]);
    rig.assert_empty();
}

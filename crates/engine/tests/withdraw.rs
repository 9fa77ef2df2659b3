//! Cancelling chains that wait in the submission queue, and cancelling many members at once.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::Target;
use ouzel_ring::Errno;

const ECANCELED: Errno = Errno::ECANCELED;
const NEVER: u64 = u64::MAX;

/// A ring of 8 and 4 slots on which three members hold all credits for good.
fn full() -> Rig {
    let mut rig = Rig::new(8, 4);
    rig.push(&[sleep(1, NEVER), sleep(2, NEVER), sleep(3, NEVER)]);
    assert_eq!(rig.go().taken, 3);
    rig
}

#[test]
fn a_chain_that_waits_for_credits_is_withdrawn_whole() {
    let mut rig = full();
    rig.push(&[linked(get(10)), linked(get(11)), finally(get(12)), get(13)]);
    assert_eq!(rig.go().taken, 0);
    assert_eq!(rig.engine.cancel(Target::Data(11)), 0, "it is not admitted");
    assert_eq!(rig.engine.cancel_waiting(Target::Data(11)), 1);
    assert_eq!(rig.engine.cancel_waiting(Target::Data(11)), 0, "it is withdrawn already");
    // One slot is left, the one kept for CANCEL; the completions pass through it in turn.
    for data in 10..13 {
        rig.enter(8, 2);
        assert_eq!(rig.errors(), [(data, ECANCELED)]);
    }
    rig.go();
    assert!(rig.pop_all().is_empty(), "13 still waits");
    assert_eq!(rig.engine.cancel(Target::All), 3);
    rig.go();
    assert_eq!(rig.errors(), [(1, ECANCELED), (2, ECANCELED), (3, ECANCELED)]);
    rig.go();
    assert_eq!(rig.errors(), [(13, Errno::OK)]);
    rig.assert_empty();
}

#[test]
fn a_chain_behind_another_is_withdrawn_past_it() {
    let mut rig = full();
    rig.push(&[get(10), linked(get(20)), get(21), cancel(30, 99)]);
    rig.go();
    assert_eq!(rig.errors(), [(30, Errno::OK)], "a CANCEL passes as ever");
    assert_eq!(rig.engine.cancel_waiting(Target::DataRange { first: 20, last: 29 }), 2);
    rig.go();
    assert_eq!(rig.errors(), [(20, ECANCELED)]);
    rig.go();
    assert_eq!(rig.errors(), [(21, ECANCELED)]);
    rig.engine.cancel(Target::Data(1));
    rig.go();
    assert_eq!(rig.errors(), [(1, ECANCELED)]);
    assert_eq!(rig.go().taken, 4, "slots come back in the order of the queue");
    assert_eq!(rig.errors(), [(10, Errno::OK)]);
    // The whole queue is free again.
    rig.push(&(40..48).map(get).collect::<Vec<_>>());
    rig.engine.begin_teardown();
    while !rig.engine.is_idle() {
        rig.go();
        rig.pop_all();
    }
    rig.assert_empty();
}

#[test]
fn what_has_no_end_yet_or_runs_is_not_withdrawn() {
    let mut rig = full();
    rig.push(&[linked(get(10)), linked(get(11))]);
    assert_eq!(rig.go().incomplete, 2);
    assert_eq!(rig.engine.cancel_waiting(Target::All), 0);
    rig.push(&[finally(get(12))]);
    assert_eq!(rig.engine.cancel_waiting(Target::Data(12)), 0, "no cancel names a FINALLY entry");
    assert_eq!(rig.engine.cancel_waiting(Target::Data(1)), 0, "it is admitted");
    assert_eq!(rig.engine.cancel_waiting(Target::All), 2);
    // A teardown finds them withdrawn, and completes them once.
    rig.engine.begin_teardown();
    let mut seen = Vec::new();
    while !rig.engine.is_idle() {
        rig.go();
        seen.extend(rig.errors());
    }
    seen.sort_by_key(|one| one.0);
    assert_eq!(seen, [1, 2, 3, 10, 11, 12].map(|data| (data, ECANCELED)));
}

#[test]
fn a_refused_chain_s_rest_is_not_withdrawn() {
    let mut rig = full();
    // Too long for a queue of 4 completions: refused to its end, one entry at a time as slots come free.
    rig.push(&[linked(get(10)), linked(get(11)), linked(get(12)), linked(get(13)), get(14), get(20)]);
    rig.go();
    assert_eq!(rig.engine.cancel_waiting(Target::All), 1);
    rig.go();
    assert_eq!(rig.errors(), [(20, ECANCELED)]);
    rig.engine.cancel(Target::Data(1));
    let mut seen = Vec::new();
    for _ in 0..8 {
        rig.go();
        seen.extend(rig.errors());
    }
    assert_eq!(seen[0], (1, ECANCELED));
    assert_eq!(seen[1..], [10, 11, 12, 13, 14].map(|data| (data, Errno::E2BIG)));
}

#[test]
fn every_member_a_cancel_names_is_counted_once() {
    let mut rig = Rig::new(16, 32);
    let file = rig.descriptor();
    rig.push(&[
        linked(read(1, file)),
        linked(get(2)),
        finally(get(3)),
        linked(sleep(4, NEVER)),
        hard(get(1)),
        get(6),
        sleep(7, NEVER),
    ]);
    rig.go();
    assert_eq!(rig.engine.cancel(Target::DataRange { first: 2, last: 3 }), 1);
    assert_eq!(rig.engine.cancel(Target::Data(1)), 1, "of the other chain: the first has ended");
    assert_eq!(rig.engine.cancel(Target::All), 1);
    assert_eq!(rig.engine.cancel(Target::All), 0);
    rig.tell(0, failed(ECANCELED));
    rig.go();
    let mut seen = rig.errors();
    seen.sort_by_key(|one| one.0);
    let cancelled = |data| (data, ECANCELED);
    assert_eq!(
        seen,
        [cancelled(1), cancelled(1), cancelled(2), (3, Errno::OK), cancelled(4), cancelled(6), cancelled(7)]
    );
    rig.assert_empty();
}

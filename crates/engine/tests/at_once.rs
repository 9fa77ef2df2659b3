//! Chains that the backend does at once: what they mean is what they mean on the usual way, wherever that takes over.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use ouzel_engine::{Operation, Outcome};
use ouzel_ring::modifiers::{Action, Condition, TestOf};
use ouzel_ring::{CompletionFlags, Entry, EntryFlags, Errno, Verb};

const OK: Errno = Errno::OK;

/// A ring with an open file, whose backend does the first operations at once, with these outcomes.
fn rig(at_once: impl IntoIterator<Item = Option<Outcome>>) -> (Rig, u64) {
    let mut rig = Rig::with(Scripted::with_runs(8), 16, 16);
    let file = rig.descriptor();
    rig.backend().at_once.extend(at_once);
    (rig, file)
}

#[test]
fn a_chain_is_over_without_being_started() {
    let (mut rig, _) = rig([Some(ok(0)), Some(ok(7)), Some(ok(0))]);
    rig.push(&[
        local(linked(save(open(1), 3))),
        linked(load(read(2, 0), 0, 3)),
        finally(load(close(3, 0), 0, 3)),
    ]);
    let entered = rig.enter(u32::MAX, 3);
    assert_eq!((entered.taken, entered.readable), (3, 3));
    assert_eq!(rig.backend().starts, 0);
    assert!(rig.backend().waits.is_empty(), "there is nothing to wait for");
    let Operation::Open { into, .. } = rig.backend().asked[0] else { panic!("OPEN was to be done first") };
    assert!(matches!(rig.backend().asked[1..], [
        Operation::Read { file: first, .. },
        Operation::Close { file: second },
    ] if first == into && second == into));
    let seen = rig.seen();
    assert_eq!(seen[1..], [(2, OK, 7), (3, OK, 0)]);
    assert_eq!((seen[0].0, seen[0].1), (1, OK));
    // It is the other one that is still open.
    assert_eq!(rig.engine.gauges().descriptors, 1);
    rig.assert_empty();
}

#[test]
fn what_has_to_be_waited_for_takes_the_rest_along() {
    // The second is refused: it and the third are started, with what the first has left in the registers.
    let (mut rig, file) = rig([Some(ok(5)), None]);
    rig.push(&[
        local(linked(save(read(1, file), 0))),
        linked(load(read(2, file), 3, 0)),
        linked(load(get(3), 0, 0)),
        test(4, TestOf::Last, 0, Condition::Positive as u64, 0, Action::Continue, 0),
    ]);
    rig.go();
    assert_eq!(rig.seen(), [(1, OK, 5)]);
    let Operation::Read { position: Some(5), .. } = rig.backend().started[0].operation else {
        panic!("it was to begin where the first ended")
    };
    rig.tell(0, ok(9));
    rig.enter(0, 3);
    assert_eq!(rig.seen(), [(2, OK, 9), (3, OK, 5), (4, OK, 1)]);
    rig.assert_empty();
}

#[test]
fn a_test_behind_what_was_done_at_once_knows_how_that_ended() {
    for (result, held) in [(0, 1), (4, 0)] {
        let (mut rig, file) = rig([Some(ok(result))]);
        rig.push(&[
            linked(read(1, file)),
            test(2, TestOf::Last, 0, Condition::Zero as u64, 0, Action::Continue, 0),
        ]);
        rig.go();
        assert_eq!(rig.seen(), [(1, OK, result), (2, OK, held)]);
        rig.assert_empty();
    }
}

#[test]
fn registers_that_are_shared_are_written_through_and_read() {
    let (mut rig, file) = rig([Some(ok(3)), Some(ok(4))]);
    rig.submitter.set_register(1, 8);
    rig.push(&[linked(save(read(1, file), 0)), load(read(2, file), 3, 1)]);
    rig.go();
    assert_eq!(rig.submitter.register(0), Some(3));
    assert!(matches!(rig.backend().asked[1], Operation::Read { position: Some(8), .. }));
    // A chain with LOCAL leaves them alone.
    rig.backend().at_once.push_back(Some(ok(6)));
    rig.push(&[local(save(read(3, file), 0))]);
    rig.go();
    assert_eq!(rig.submitter.register(0), Some(3));
    assert_eq!(rig.errors(), [(1, OK), (2, OK), (3, OK)]);
}

#[test]
fn a_failure_breaks_the_chain_and_finally_runs() {
    let (mut rig, file) = rig([Some(failed(Errno::EIO)), Some(ok(0))]);
    rig.push(&[
        linked(read(1, file)),
        linked(read(2, file)),
        hard(finally(load(close(3, 0), 0, 5))),
        finally(close(4, file)),
    ]);
    rig.submitter.set_register(5, 0);
    rig.go();
    // Register 5 holds no descriptor.
    assert_eq!(rig.errors(), [(1, Errno::EIO), (2, Errno::ECANCELED), (3, Errno::EBADF), (4, OK)]);
    assert_eq!(rig.engine.gauges().descriptors, 0);
    rig.assert_empty();
}

#[test]
fn a_finally_without_its_descriptor_is_skipped_and_an_ordinary_one_fails() {
    let (mut rig, _) = rig([Some(failed(Errno::ENOENT)), Some(failed(Errno::ENOENT))]);
    rig.push(&[local(linked(save(open(1), 0))), finally(load(close(2, 0), 0, 0))]);
    rig.push(&[local(hard(save(open(3), 0))), load(close(4, 0), 0, 0)]);
    rig.go();
    let expected = [Errno::ENOENT, Errno::ECANCELED, Errno::ENOENT, Errno::EINVAL];
    assert_eq!(rig.errors(), [1, 2, 3, 4].into_iter().zip(expected).collect::<Vec<_>>());
    assert_eq!(rig.engine.gauges().descriptors, 1, "nothing stays reserved");
    rig.assert_empty();
}

#[test]
fn a_refused_open_gives_its_index_back() {
    let (mut rig, _) = rig([None]);
    rig.push(&[open(1)]);
    rig.go();
    let Operation::Open { .. } = rig.backend().started[0].operation else { panic!("it was to be started") };
    rig.tell(0, ok(0));
    rig.enter(0, 1);
    assert_eq!(rig.errors(), [(1, OK)]);
    assert_eq!(rig.engine.gauges().descriptors, 2);
}

#[test]
fn what_cannot_be_done_at_once_is_not_offered() {
    let (mut rig, file) = rig([Some(ok(1)), Some(ok(1)), Some(ok(1))]);
    let write = Entry::new(Verb::Write).data(1).arguments([file, 0, 0, 0, 0]);
    rig.push(&[write]);
    // Its completions come at the end.
    rig.push(&[program(read(3, file))]);
    // One more than are tried at once.
    let many: Vec<Entry> = (4..12).map(|data| linked(read(data, file))).chain([read(12, file)]).collect();
    rig.push(&many);
    rig.go();
    assert!(rig.backend().asked.is_empty());
    assert_eq!(rig.backend().started.len(), 10);
    for number in 0..10 {
        rig.tell(number, ok(0));
    }
    // The last of the long chain did not fit into its run.
    rig.go();
    rig.tell(10, ok(0));
    rig.go();
    assert_eq!(rig.pop_all().len(), 11);
    rig.assert_empty();
}

#[test]
fn a_time_limit_is_for_what_has_to_wait() {
    let (mut rig, file) = rig([Some(ok(4)), None]);
    rig.backend().yields = true;
    rig.push(&[Entry { timeout: 500, ..linked(read(1, file)) }, Entry { timeout: 500, ..read(2, file) }]);
    // The second is not over at once, and has its time from then on.
    rig.enter(u32::MAX, 2);
    assert_eq!(rig.seen(), [(1, OK, 4), (2, Errno::ETIMEDOUT, 0)]);
    assert_eq!(rig.backend().now, 1_500);
    rig.assert_empty();
}

#[test]
fn what_is_slept_for_is_awaited() {
    let awaited = |entries: &[Entry], wait: u32, timeout: Option<u64>, submit: u32| {
        let (mut rig, _) = rig([Some(ok(0)), Some(ok(1)), Some(ok(2))]);
        rig.engine.submitter_enters();
        rig.push(entries);
        rig.engine.enter(submit, wait, timeout).unwrap();
        rig.backend().allowed.clone()
    };
    let chain = [save(linked(open(1)), 0), linked(load(read(2, 0), 0, 0)), finally(load(close(3, 0), 0, 0))];
    assert_eq!(awaited(&chain, 3, None, 3), [true; 3]);
    assert_eq!(awaited(&chain, 0, None, 3), [false; 3], "nobody waits");
    assert_eq!(awaited(&chain, 1, None, 3), [true, false, false], "one is enough");
    assert_eq!(awaited(&chain, 3, Some(1_000_000), 3), [false; 3], "there is a limit of time");
    let limited = chain.map(|entry| Entry { timeout: 500, ..entry });
    assert_eq!(awaited(&limited, 3, None, 3), [false; 3], "each has a limit of its own");
    // Two chains: the first must not hold up the second, which is alone when its turn comes.
    let two = [open(1), open(2)];
    assert_eq!(awaited(&two, 2, None, 2), [false, true]);
    assert_eq!(awaited(&two, 2, None, 1), [false], "the other is there, though it is not taken");

    // Beside something that is in flight nothing is awaited.
    let (mut rig, file) = rig([None, Some(ok(0))]);
    rig.engine.submitter_enters();
    rig.push(&[read(1, file)]);
    rig.go();
    rig.push(&[open(2)]);
    rig.backend().on_sleep.push_back(vec![(0, ok(5), false)]);
    rig.enter(u32::MAX, 2);
    assert_eq!(rig.backend().allowed, [false; 3]);
    assert_eq!(rig.errors(), [(2, OK), (1, OK)]);
}

#[test]
fn a_silent_success_posts_nothing_and_a_skipped_member_says_so() {
    let (mut rig, file) = rig([Some(ok(1)), Some(failed(Errno::EIO))]);
    rig.push(&[with(linked(read(1, file)), EntryFlags::SILENT), with(read(2, file), EntryFlags::SILENT)]);
    rig.go();
    let all = rig.pop_all();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].data, all[0].errno(), all[0].flags), (2, Errno::EIO, 0));
    assert_eq!(all[0].flags & CompletionFlags::SKIPPED.bits(), 0);
}

#[test]
fn a_chain_of_a_bad_shape_is_refused_whole() {
    let (mut rig, file) = rig([Some(ok(1)), Some(ok(1))]);
    rig.push(&[linked(read(1, file)), linked(finally(read(2, file))), read(3, file)]);
    rig.go();
    assert_eq!(rig.errors(), [(1, Errno::EINVAL), (2, Errno::EINVAL), (3, Errno::EINVAL)]);
    assert!(rig.backend().asked.is_empty(), "nothing of it may have run");
    // The end of this one is not there yet.
    rig.push(&[linked(read(4, file))]);
    assert_eq!((rig.go().incomplete, rig.backend().asked.len()), (1, 0));
    rig.push(&[read(5, file)]);
    rig.go();
    rig.tell(0, ok(1));
    rig.tell(1, ok(2));
    rig.enter(0, 2);
    assert_eq!(rig.errors(), [(4, OK), (5, OK)]);
}

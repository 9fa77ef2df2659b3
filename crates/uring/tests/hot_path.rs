//! Pushing and taking have a short way and a long way; which one is gone depends on what was done before. Whatever the
//! order, no entry is lost, none is written over, and every completion comes once.
#![cfg(target_os = "linux")]

mod common;

use ouzel_uring::abi::SetupFlags;
use ouzel_uring::{Builder, Full, Ring, SetupError, Sqe, Sqe128};

/// Takes what is there, one completion each time, by another way each time.
fn take_all(ring: &mut Ring, turn: &mut u32) -> Vec<u64> {
    let mut taken = Vec::new();
    loop {
        *turn += 1;
        let next = match *turn % 5 {
            0 => ring.next_completion(),
            1 => ring.next_wide_completion().map(|wide| wide.cqe),
            2 => ring.completions().next(),
            3 => {
                let peeked = ring.peek();
                assert_eq!(ring.cqe_seen(), peeked.is_some());
                peeked
            }
            _ => {
                // One that is forgotten does not tell the kernel, and gives nothing twice.
                let mut batch = ring.completions();
                let next = batch.next();
                std::mem::forget(batch);
                next
            }
        };
        match next {
            Some(completion) => taken.push(completion.user_data),
            None => return taken,
        }
    }
}

#[test]
fn every_order_of_pushing_and_taking() {
    if common::ring(4).is_none() {
        return;
    }
    let kinds = [
        SetupFlags::empty(),
        SetupFlags::NO_SQARRAY,
        SetupFlags::SQE128,
        SetupFlags::CQE32,
        SetupFlags::SQE128 | SetupFlags::CQE32,
        SetupFlags::CQE_MIXED,
        SetupFlags::SQE_MIXED,
    ];
    for flags in kinds {
        let mut ring = match Builder::new(8).flags(flags).build() {
            Ok(ring) => ring,
            Err(error @ (SetupError::Invalid { .. } | SetupError::NotBuilt { .. })) => {
                eprintln!("SKIPPED: {flags:?}: {error}");
                continue;
            }
            Err(error) if common::refused() => return eprintln!("SKIPPED: no ring: {error}"),
            Err(error) => panic!("{error}"),
        };
        let wide_entries = flags.intersects(SetupFlags::SQE128 | SetupFlags::SQE_MIXED);
        let (mut pushed, mut turn, mut taken) = (0_u64, 0, Vec::new());
        for round in 0..200_u64 {
            // To the very end now and then, else a number of entries that shares no factor with the queue's size.
            let asked = if round % 7 == 0 { u64::MAX } else { round % 9 };
            let room = ring.sq_room();
            let mut here = 0;
            while here < asked {
                let entry = Sqe::nop().user_data(pushed);
                let result = if wide_entries && (pushed + round) % 5 == 0 {
                    // SAFETY: a no-op names no memory.
                    unsafe { ring.push_wide(&Sqe128::from(entry)) }.map_err(|_| Full)
                } else {
                    // SAFETY: as above.
                    unsafe { ring.push(&entry) }
                };
                if result.is_err() {
                    break;
                }
                pushed += 1;
                here += 1;
            }
            assert!(here <= u64::from(room) && ring.sq_pending() <= ring.sq_entries(), "{flags:?}");
            // A part first, so that the queue has room while entries are still in it.
            let part = ring.sq_pending() / 2;
            ring.enter(part, 0, ouzel_uring::abi::EnterFlags::empty(), None).expect("a part");
            ring.submit().expect("the rest");
            taken.extend(take_all(&mut ring, &mut turn));
        }
        assert_eq!(taken, (0..pushed).collect::<Vec<_>>(), "{flags:?}");
        assert!(pushed > 400, "{flags:?}: {pushed}");
        assert_eq!((ring.sq_dropped(), ring.cq_lost()), (0, 0), "{flags:?}");
    }
}

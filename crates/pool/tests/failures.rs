//! Five ways in which the pool that this one follows, redox-buffer-pool, fails, and that none of them is left.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Numbers, rights};
use ouzel_pool::{Error, Pool, Slice};

/// There, a slice could be used after its pool was gone and had taken the memory along.
#[test]
fn slices_outlive_the_pool_and_their_memory_is_there() {
    let pool = Pool::builder().build().unwrap();
    let mut slice = pool.get(4096).unwrap();
    let guarded = pool.get(4096).unwrap();
    let guard = guarded.guard();
    let address = slice.as_ptr().addr();
    drop(pool);
    drop(guarded);
    slice.fill(7);
    let other = std::thread::spawn(move || {
        assert!(slice.iter().all(|byte| *byte == 7));
        slice
    });
    let slice = other.join().unwrap();
    assert_eq!(rights(guard.as_ptr().addr()).as_deref(), Some("rw-p"));
    drop(slice);
    assert!(rights(address).is_some(), "the guard keeps the region");
}

/// There, joining free ranges panicked where one ended at the border of a chunk of memory.
#[test]
fn ranges_that_end_at_the_border_of_a_region_are_taken_and_joined() {
    let pool = Pool::builder().region_size(8192).regions(3).smallest(512).spare_regions(3).build().unwrap();
    for size in [512, 1024, 2048, 4096, 8192, 2560, 3584] {
        // All of every region, given back forwards, backwards and from the middle.
        for order in 0..3 {
            let mut slices = Vec::new();
            let refused = loop {
                match pool.get(size) {
                    Ok(slice) => slices.push(slice),
                    Err(error) => break error,
                }
            };
            assert_eq!(refused, Error::Exhausted { length: size, regions: 3 });
            assert!(slices.len() >= 3 * (8192 / size.next_power_of_two()));
            let ends = slices.iter().filter(|slice| slice.as_ptr().addr() % 8192 + size == 8192).count();
            assert!(8192 % size != 0 || ends == 3, "{ends} end at a border");
            match order {
                0 => slices.clear(),
                1 => while slices.pop().is_some() {},
                _ => {
                    while !slices.is_empty() {
                        slices.swap_remove(slices.len() / 2);
                    }
                }
            }
            // Everything is one piece again, in each region.
            let whole: Vec<Slice> = (0..3).map(|_| pool.get(8192).unwrap()).collect();
            drop(whole);
        }
    }
}

/// There, finding room took as long as there were ranges.
#[test]
fn finding_room_does_not_take_longer_with_more_in_use() {
    // Time is noisy, so the best of many: what must be looked at for each slice would show as thousands of times more.
    let best = |taken: usize| {
        let pool = Pool::builder().region_size(1 << 20).regions(256).smallest(512).build().unwrap();
        let mut slices: Vec<Slice> = (0..taken).map(|_| pool.get(512).unwrap()).collect();
        // Every second one is free: as many ranges as there can be, all too short for what is asked for.
        let mut keep = false;
        slices.retain(|_| {
            keep = !keep;
            keep
        });
        drop(pool.get(1024).unwrap());
        let mut best = std::time::Duration::MAX;
        for _ in 0..200 {
            let start = std::time::Instant::now();
            // Aligned to more than its size, so that it is carved each time.
            drop(pool.get_aligned(700, 2048).unwrap());
            drop(pool.get(512).unwrap());
            best = best.min(start.elapsed());
        }
        best
    };
    let (few, many) = (best(200), best(200_000));
    assert!(
        many < few * 50 + std::time::Duration::from_micros(5),
        "{few:?} with 200 slices, {many:?} with 200,000"
    );
}

/// There, a slice that was dropped while it was guarded was lost for good, and with it the whole pool at its end.
#[test]
fn what_was_dropped_under_a_guard_comes_back_when_the_guard_ends() {
    let pool = Pool::builder().region_size(8192).regions(1).build().unwrap();
    for _ in 0..1000 {
        let slice = pool.get(8192).unwrap();
        let guard = slice.guard();
        drop(slice);
        assert_eq!(pool.get(1).unwrap_err(), Error::Exhausted { length: 1, regions: 1 });
        drop(guard);
        assert_eq!(pool.statistics().in_use, 0);
    }
    let slice = pool.get(8192).unwrap();
    let (address, guard) = (slice.as_ptr().addr(), slice.guard());
    drop((pool, slice));
    assert!(rights(address).is_some());
    drop(guard);
}

/// There, an alignment shifted a slice without shifting what counted as free behind it, so that two slices overlapped; and it was
/// counted from the begin of the pool, not in addresses. An odd alignment panicked.
#[test]
fn aligned_slices_do_not_overlap_and_are_aligned_in_addresses() {
    let pool = Pool::builder().region_size(1 << 16).regions(8).smallest(64).build().unwrap();
    let mut numbers = Numbers::new(5);
    let mut slices: Vec<Slice> = Vec::new();
    for _ in 0..20_000 {
        let alignment = 1 << numbers.below(13);
        match pool.get_aligned(1 + numbers.below(700), alignment) {
            Ok(mut slice) => {
                assert!(slice.as_ptr().addr().is_multiple_of(alignment));
                slice.fill(slices.len() as u8);
                let (from, to) = (slice.as_ptr().addr(), slice.as_ptr().addr() + slice.len());
                let apart = |other: &Slice| {
                    let start = other.as_ptr().addr();
                    start + other.len() <= from || to <= start
                };
                assert!(slices.iter().all(apart));
                slices.push(slice);
            }
            Err(error) => {
                assert!(matches!(error, Error::Exhausted { .. }), "{error}");
                slices.clear();
            }
        }
        if slices.len() > 40 {
            slices.swap_remove(numbers.below(slices.len()));
        }
    }
    assert_eq!(pool.get_aligned(8, 3).unwrap_err(), Error::Alignment { alignment: 3 });
    assert_eq!(pool.get_aligned(8, 0).unwrap_err(), Error::Alignment { alignment: 0 });
}

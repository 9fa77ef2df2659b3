//! Who keeps what: handles, slices, parts, guards, ids and regions, dropped in every order, forgotten, and used by several threads.

#![allow(clippy::unwrap_used)]

mod common;

use std::mem::forget;
use std::sync::mpsc;

use common::{Numbers, rights};
use ouzel_pool::{Error, Guard, Id, Location, Pool, Region, Slice};

#[test]
fn everything_may_go_to_other_threads() {
    fn both<T: Send + Sync>() {}
    both::<Pool>();
    both::<Slice>();
    both::<Guard>();
    both::<Region>();
    both::<Id>();
    both::<Location>();
}

/// One of each, dropped in all 120 orders; the memory is there until the last and is gone then.
#[test]
fn handles_slices_guards_and_regions_go_in_any_order() {
    for order in 0..120 {
        let pool = Pool::builder().build().unwrap();
        let slice = pool.get(9999).unwrap();
        let (slice, part) = slice.split_at(4000).unwrap();
        let guard = part.guard();
        let region = pool.regions().pop().unwrap();
        let address = slice.as_ptr().addr();
        let mut all: Vec<Box<dyn std::any::Any>> =
            vec![Box::new(pool), Box::new(slice), Box::new(part), Box::new(guard), Box::new(region)];
        let mut code = order;
        for left in (1..=5).rev() {
            assert!(rights(address).is_some(), "{order}");
            drop(all.remove(code % left));
            code /= left;
        }
        // Other tests map memory meanwhile, so that it is gone cannot be seen: the test below counts.
    }
}

#[test]
fn pools_leave_nothing_behind() {
    let once = || {
        let pool = Pool::builder().region_size(1 << 25).build().unwrap();
        let slice = pool.get(1 << 25).unwrap();
        let guard = slice.guard();
        let region = pool.regions().pop().unwrap();
        let kept = pool.get(5).unwrap().into_id().unwrap();
        drop(pool);
        drop((slice, guard, region));
        kept
    };
    let mapped = || -> u64 {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
    };
    let before = mapped();
    for _ in 0..1500 {
        once();
    }
    // Other tests map memory meanwhile, but not a tenth of what 1500 regions are.
    assert!(mapped() < before + (150 << 25), "{} bytes more are mapped", mapped() - before);
}

#[test]
fn a_forgotten_guard_or_slice_is_never_used_again() {
    let pool = Pool::builder().region_size(8192).regions(1).build().unwrap();
    let slice = pool.get(512).unwrap();
    let address = slice.as_ptr().addr();
    forget(slice.guard());
    drop(slice);
    let other = pool.get(512).unwrap();
    let other_address = other.as_ptr().addr();
    forget(other);
    let mut held = Vec::new();
    while let Ok(slice) = pool.get(512) {
        assert!(slice.as_ptr().addr() != address && slice.as_ptr().addr() != other_address);
        held.push(slice);
    }
    assert_eq!(held.len(), 14);
    drop(held);
    let now = pool.statistics();
    assert_eq!((now.in_use, now.deferred), (2, 1));
}

#[test]
fn the_last_of_several_guards_decides() {
    let pool = Pool::builder().build().unwrap();
    let slice = pool.get(100).unwrap();
    let id = slice.id();
    let first = slice.guard();
    assert_eq!((first.as_ptr().addr(), first.len(), first.is_empty()), (slice.as_ptr().addr(), 100, false));
    let second = first.clone();
    let third = pool.guard(id).unwrap();
    drop(first);
    drop(slice);
    assert_eq!(pool.guard(id).unwrap_err(), Error::Stale(id));
    assert_eq!((pool.statistics().in_use, pool.statistics().deferred), (1, 1));
    drop(third);
    assert_eq!(pool.statistics().in_use, 1);
    drop(second);
    assert_eq!((pool.statistics().in_use, pool.statistics().deferred), (0, 0));
}

#[test]
fn a_guard_that_ends_before_its_slice_changes_nothing() {
    let pool = Pool::builder().build().unwrap();
    let mut slice = pool.get(100).unwrap();
    drop(slice.guard());
    slice.fill(3);
    assert_eq!(pool.statistics().in_use, 1);
    drop(slice);
    assert_eq!(pool.statistics().in_use, 0);
}

#[test]
fn parts_are_disjoint_and_go_back_together() {
    let pool = Pool::builder().build().unwrap();
    let slice = pool.get(1000).unwrap();
    let id = slice.id();
    let (mut head, tail) = slice.split_at(0).unwrap();
    assert!(head.is_empty());
    let (mut body, mut tail) = tail.split_at(600).unwrap();
    assert_eq!((body.len(), tail.len()), (600, 400));
    head.fill(1);
    body.fill(2);
    tail.fill(3);
    assert!(body.iter().all(|byte| *byte == 2) && tail.iter().all(|byte| *byte == 3));
    assert_eq!(tail.location().offset - body.location().offset, 600);
    assert_eq!((body.id(), tail.id()), (id, id));
    let tail = tail.split_at(401).unwrap_err();
    let tail = tail.into_id().unwrap_err();
    drop(head);
    drop(body);
    assert_eq!(pool.statistics().in_use, 1);
    drop(tail);
    assert_eq!(pool.statistics().in_use, 0);
}

#[test]
fn stale_and_foreign_ids_are_refused() {
    let pool = Pool::builder().region_size(8192).regions(1).build().unwrap();
    let other = Pool::builder().region_size(8192).regions(1).build().unwrap();
    let slice = pool.get(8192).unwrap();
    let stale = slice.id();
    drop(slice);
    // The same place again.
    let mut slice = pool.get(8192).unwrap();
    slice.fill(5);
    assert_ne!(slice.id(), stale);
    assert_eq!(pool.take(stale).unwrap_err(), Error::Stale(stale));
    assert_eq!(pool.guard(stale).unwrap_err(), Error::Stale(stale));
    assert_eq!(pool.take(slice.id()).unwrap_err(), Error::Held(slice.id()));
    slice.truncate(4000);
    let id = slice.into_id().unwrap();
    let _same_place_there = other.get(8192).unwrap();
    assert_eq!(other.take(id).unwrap_err(), Error::Stale(id));
    let guard = pool.guard(id).unwrap();
    let slice = pool.take(id).unwrap();
    assert!(slice.len() == 4000 && slice.iter().all(|byte| *byte == 5));
    assert_eq!(pool.take(id).unwrap_err(), Error::Held(id));
    drop(slice);
    assert_eq!(pool.take(id).unwrap_err(), Error::Stale(id));
    assert_eq!(pool.statistics().deferred, 1);
    drop(guard);
    // A region that went and came again, too.
    assert_eq!(pool.shrink(0), 1);
    assert_eq!(pool.take(id).unwrap_err(), Error::Stale(id));
    pool.reserve_region().unwrap();
    assert_eq!(pool.take(id).unwrap_err(), Error::Stale(id));
}

#[test]
fn what_the_pool_keeps_is_given_back_with_the_last_handle() {
    let pool = Pool::builder().build().unwrap();
    let second = pool.clone();
    let id = pool.get(100).unwrap().into_id().unwrap();
    let held = pool.get(100).unwrap();
    let address = held.as_ptr().addr();
    drop(pool);
    drop(second.take(id).unwrap());
    let kept = second.get(100).unwrap();
    kept.into_id().unwrap();
    drop(second);
    assert!(rights(address).is_some());
    // Without a pool nobody could take it: it is given back.
    held.into_id().unwrap();
}

/// Threads that get, write, guard, hand over and drop what others got; nothing is written to by two.
#[test]
fn threads_share_a_pool() {
    const THREADS: usize = 4;
    let steps: usize = std::env::var("OUZEL_POOL_STEPS").map_or(20_000, |steps| steps.parse().unwrap());
    let pool = Pool::builder().region_size(1 << 16).regions(16).spare_regions(0).build().unwrap();
    let mut senders = Vec::new();
    let mut receivers = Vec::new();
    for _ in 0..THREADS {
        let (sender, receiver) = mpsc::sync_channel::<(Slice, u8, Option<Guard>)>(8);
        senders.push(sender);
        receivers.push(receiver);
    }
    senders.rotate_left(1);
    let threads: Vec<_> = senders
        .into_iter()
        .zip(receivers)
        .enumerate()
        .map(|(number, (next, previous))| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let mut numbers = Numbers::new(number as u64);
                let mut held: Vec<(Slice, u8)> = Vec::new();
                let check = |slice: &Slice, tag: u8| assert!(slice.iter().all(|byte| *byte == tag));
                for step in 0..steps {
                    let tag = (step * THREADS + number) as u8;
                    match numbers.below(10) {
                        0..4 => match pool.get(1 + numbers.below(6000)) {
                            Ok(mut slice) => {
                                slice.fill(tag);
                                held.push((slice, tag));
                            }
                            Err(error) => {
                                assert!(matches!(error, Error::Exhausted { .. }), "{error}");
                                held.clear();
                            }
                        },
                        4..7 if !held.is_empty() => {
                            let (slice, tag) = held.swap_remove(numbers.below(held.len()));
                            check(&slice, tag);
                            drop(slice);
                        }
                        7 if !held.is_empty() => {
                            let (slice, tag) = held.swap_remove(numbers.below(held.len()));
                            let guard = numbers.below(2).eq(&0).then(|| slice.guard());
                            // A neighbour that is behind gets nothing; so nobody waits.
                            let _ = next.try_send((slice, tag, guard));
                        }
                        8 => {
                            if let Ok((slice, tag, guard)) = previous.try_recv() {
                                check(&slice, tag);
                                drop(slice);
                                drop(guard);
                            }
                        }
                        _ => drop(pool.clone()),
                    }
                    if held.len() > 30 {
                        held.drain(..15).for_each(|(slice, tag)| check(&slice, tag));
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let now = pool.statistics();
    assert_eq!((now.in_use, now.deferred, now.regions_idle), (0, 0, now.regions));
    assert!(now.served > 1000);
}

/// The last slice and the pool go at the same time on two threads, again and again.
#[test]
fn the_end_of_a_pool_on_two_threads_at_once() {
    for round in 0..2000 {
        let pool = Pool::builder().region_size(4096).build().unwrap();
        let slice = pool.get(100).unwrap();
        let guard = slice.guard();
        let barrier = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                drop(slice);
            });
            scope.spawn(|| {
                barrier.wait();
                drop(guard);
            });
            barrier.wait();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            drop(pool);
        });
    }
}

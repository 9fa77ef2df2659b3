//! Loom models of the pool between threads: every interleaving of what takes its lock, up to a stated number of preemptions.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release --target-dir target/loom -p ouzel-pool --test loom_pool`; without
//! `--cfg loom` this file is empty. The state behind the lock is a loom cell, so an order that is too weak shows as two
//! unordered accesses to it. `ci/weaken-orders` proves that each order of `src/lock.rs` is needed here.

#![cfg(loom)]
#![allow(clippy::unwrap_used)]

use loom::thread;
use ouzel_pool::{Error, Pool};

fn pool() -> Pool {
    Pool::builder().region_size(4096).smallest(2048).regions(1).build().unwrap()
}

fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// A slice is never handed to two threads, and one that was given back is found by the other.
#[test]
fn two_threads_get_and_give_back() {
    model(3, || {
        let pool = pool();
        pool.reserve_region().unwrap();
        let other = pool.clone();
        let work = |pool: &Pool, tag: u8| match pool.get(4096) {
            Ok(mut slice) => {
                slice[0] = tag;
                thread::yield_now();
                assert_eq!(slice[0], tag);
            }
            Err(error) => assert_eq!(error, Error::Exhausted { length: 4096, regions: 1 }),
        };
        let thread = thread::spawn(move || work(&other, 1));
        work(&pool, 2);
        thread.join().unwrap();
        assert_eq!(pool.statistics().in_use, 0);
        pool.get(4096).unwrap();
    });
}

/// Slice, guard and pool go on two threads, each of them alone on one: the memory is given back once, by the last.
#[test]
fn slice_guard_and_pool_go_at_once() {
    for alone in 0..3 {
        model(3, move || {
            let pool = pool();
            let slice = pool.get(100).unwrap();
            let mut all: Vec<Box<dyn std::any::Any + Send>> =
                vec![Box::new(slice.guard()), Box::new(slice), Box::new(pool)];
            let one = all.remove(alone);
            let thread = thread::spawn(move || drop(one));
            drop(all);
            thread.join().unwrap();
        });
    }
}

/// A guard that ends on another thread while its slice is dropped here: whoever is last gives it back, and only then is it
/// handed out again.
#[test]
fn a_guard_ends_elsewhere_while_the_slice_is_dropped() {
    model(3, || {
        let pool = pool();
        let slice = pool.get(4096).unwrap();
        let guard = slice.guard();
        let thread = thread::spawn(move || drop(guard));
        drop(slice);
        let now = pool.statistics();
        // If it was given back, it can be got.
        assert!(pool.get(4096).is_ok() || now.in_use == 1);
        thread.join().unwrap();
        pool.get(4096).unwrap();
    });
}

/// Two threads that both need the first region make one.
#[test]
fn two_threads_make_a_region_at_once() {
    model(2, || {
        let pool = pool();
        let other = pool.clone();
        let thread = thread::spawn(move || drop(other.get(2048).unwrap()));
        drop(pool.get(2048).unwrap());
        thread.join().unwrap();
        assert_eq!(pool.statistics().regions_peak, 1);
    });
}

/// Of two threads with the id of a slice in the pool's keeping, one gets it.
#[test]
fn two_threads_take_what_the_pool_keeps() {
    model(3, || {
        let pool = pool();
        let id = pool.get(100).unwrap().into_id().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || other.take(id).is_ok());
        let here = pool.take(id).is_ok();
        let there = thread.join().unwrap();
        // The other may have given it back before this one asked.
        assert!(here != there);
        assert_eq!(pool.statistics().in_use, 0);
    });
}

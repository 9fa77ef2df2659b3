//! In steady state nothing is allocated, whatever sizes are asked for and however much is given back at once.

#![allow(clippy::unwrap_used)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::Numbers;
use ouzel_pool::{Guard, Pool, Slice};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system allocator's; the count is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the contract is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the contract is the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn nothing_is_allocated_while_no_region_is_made() {
    let pool = Pool::builder().region_size(1 << 20).regions(4).spare_regions(4).build().unwrap();
    for _ in 0..4 {
        pool.reserve_region().unwrap();
    }
    let mut slices: Vec<Slice> = Vec::with_capacity(2000);
    let mut guards: Vec<Guard> = Vec::with_capacity(2000);
    let mut numbers = Numbers::new(3);
    let before = ALLOCATIONS.get();
    let mut refused = 0;
    for _ in 0..200_000 {
        match numbers.below(8) {
            0..4 => match pool.get_aligned(1 + numbers.below(20_000), 1 << numbers.below(14)) {
                Ok(slice) => slices.push(slice),
                Err(_) => {
                    refused += 1;
                    slices.clear();
                    guards.clear();
                }
            },
            4 if !slices.is_empty() => guards.push(slices[numbers.below(slices.len())].guard()),
            5 => drop(guards.pop()),
            _ if !slices.is_empty() => drop(slices.swap_remove(numbers.below(slices.len()))),
            _ => {}
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(refused > 0, "joining what is kept as it is was not tried");
}

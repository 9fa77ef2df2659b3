//! What observing costs once it is switched on: no allocation for an operation.
#![allow(clippy::unwrap_used)]

mod observe_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use observe_support::*;
use ouzel::observe::Observe;
use ouzel::{BackendKind, Chain, OpenOptions, Ring};

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

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the contract is the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn work(ring: &mut Ring, path: &Path, mut chain: Chain, rounds: u32) -> Chain {
    for _ in 0..rounds {
        let file = chain.open(path, OpenOptions::read_write().create());
        chain.nop();
        chain.finally().close(file);
        let done = ring.run(chain).unwrap();
        done.check().unwrap();
        chain = done.into_chain();
    }
    chain
}

#[test]
fn an_observed_ring_allocates_as_little_as_any() {
    for backend in BACKENDS {
        let folder = Folder::new("steady");
        let counted = [None, Some(Observe::new().spans().publish_in(folder.path()))].map(|observe| {
            let mut builder = Ring::builder().backend(backend);
            if let Some(observe) = observe {
                builder = builder.observe(observe);
            }
            let mut ring = match builder.build() {
                Ok(ring) => ring,
                Err(error) => {
                    println!("SKIPPED: {error}");
                    return 0;
                }
            };
            let path = match backend {
                BackendKind::Sim => "file".into(),
                _ => folder.path().join("file"),
            };
            let chain = work(&mut ring, &path, Chain::new(), 200);
            let before = allocations();
            let chain = work(&mut ring, &path, chain, 1000);
            let count = allocations() - before;
            drop(chain);
            count
        });
        // The simulator's own objects are allocated; the others' are not.
        if backend == BackendKind::Sim {
            assert_eq!(counted[0], counted[1]);
        } else {
            assert!(counted[1] <= counted[0] + 2, "{backend:?}: {counted:?}");
        }
    }
}

//! What observing costs once it is switched on: no allocation for an operation.
#![allow(clippy::unwrap_used)]

mod counting;
mod observe_support;

use std::path::Path;

use counting::allocations;
use observe_support::*;
use ouzel::observe::Observe;
use ouzel::{BackendKind, Chain, OpenOptions, Ring};

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
            // The threads backend allocates now and then, as its threads come and go; observing 3000 operations is another matter.
            let spare = if backend == BackendKind::Threads { 100 } else { 2 };
            assert!(counted[1] <= counted[0] + spare, "{backend:?}: {counted:?}");
        }
    }
}

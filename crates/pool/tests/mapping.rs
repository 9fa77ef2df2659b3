//! Regions that threads make at the same time: each finds its place.

#![allow(clippy::unwrap_used)]

use ouzel_pool::Pool;

#[test]
fn threads_make_regions_at_the_same_time() {
    let make = || {
        for _ in 0..300 {
            let pool = Pool::builder().region_size(1 << 16).build().unwrap();
            let slice = pool.get(4096).unwrap();
            assert!(slice.iter().all(|byte| *byte == 0));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(make);
        }
    });
}

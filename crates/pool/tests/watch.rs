//! Watches: what they say of regions as these come and go.
#![allow(clippy::unwrap_used)]

use ouzel_pool::{Pool, WatchedRegion};

fn holds(regions: &[WatchedRegion], bytes: &[u8]) -> bool {
    let start = bytes.as_ptr().addr();
    regions
        .iter()
        .any(|region| region.address <= start && start + bytes.len() <= region.address + region.length)
}

#[test]
fn regions_are_told_of_as_they_come_and_go() {
    let pool = Pool::builder().region_size(8192).spare_regions(0).build().unwrap();
    let early = pool.get(8192).unwrap();
    let watch = pool.watch();
    assert!(holds(&watch.regions(), &early), "those that were there before");
    let mut slices = Vec::new();
    for count in 2..6 {
        let before = watch.changes();
        slices.push(pool.get(8192).unwrap());
        assert_ne!(watch.changes(), before);
        let regions = pool.watch().regions();
        assert_eq!((regions.len(), regions == watch.regions()), (count, true), "there is one list");
        assert!(slices.iter().all(|slice| holds(&regions, slice)));
    }
    let unchanged = watch.changes();
    let small = pool.get(1).unwrap();
    assert_ne!(watch.changes(), unchanged);
    let unchanged = watch.changes();
    drop(pool.get(1).unwrap());
    assert_eq!(watch.changes(), unchanged, "slices are no change");
    let gone = slices.pop().unwrap();
    let number = gone.location().region;
    drop(gone);
    assert_ne!(watch.changes(), unchanged);
    assert!(watch.regions().iter().all(|region| region.number != number));
    // The last of all ends it, whichever that is.
    assert!(watch == pool.watch() && watch != Pool::builder().build().unwrap().watch());
    drop(pool);
    drop(early);
    drop(slices);
    assert_eq!(watch.regions().len(), 1);
    assert!(!watch.is_over());
    let before = watch.changes();
    drop(small);
    assert!(watch.regions().is_empty() && watch.changes() != before && watch.is_over());
}

#[test]
fn what_is_in_use_is_in_the_list_on_every_thread() {
    let pool = Pool::builder().region_size(4096).spare_regions(0).smallest(4096).build().unwrap();
    let watch = pool.watch();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let slice = pool.get(4096).unwrap();
                    assert!(holds(&watch.regions(), &slice));
                }
            });
        }
    });
    assert!(watch.regions().is_empty());
}

//! Every limit, at it and one past, and what the refusals say.

#![allow(clippy::unwrap_used)]

use ouzel_pool::{Builder, Error, MAX_REGION, MAX_REGIONS, MIN_SMALLEST, Memory, Pages, Pool, Slice};

fn refused(builder: Builder) -> String {
    let error = builder.build().unwrap_err();
    assert!(matches!(error, Error::Setting { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn settings_at_their_limits_and_one_past() {
    let new = Builder::default;
    let page = 4096;
    for good in [
        new().region_size(page),
        new().region_size(MAX_REGION),
        new().regions(1),
        new().regions(MAX_REGIONS),
        new().smallest(MIN_SMALLEST),
        new().smallest(2 << 20),
        new().boundary(512),
        new().boundary(1 << 40),
        new().class_limit(1, 0),
        new().class_limit(2 << 20, 1),
        // 2^32 - 2^25 places: the most there may be with granules of 64 bytes.
        new().region_size(1 << 30).smallest(64).regions(255),
    ] {
        good.build().unwrap();
    }
    for bad in [
        new().region_size(page / 2),
        new().region_size(page + 1),
        new().region_size(3 * page),
        new().region_size(2 * MAX_REGION),
        new().region_size(0),
        new().regions(0),
        new().regions(MAX_REGIONS + 1),
        new().smallest(MIN_SMALLEST / 2),
        new().smallest(MIN_SMALLEST + 1),
        new().smallest(4 << 20),
        new().boundary(256),
        new().boundary(0),
        new().boundary(1000),
        new().boundary(2048).debug(true),
        new().class_limit(0, 1),
        new().class_limit((2 << 20) + 1, 1),
        new().region_size(1 << 30).smallest(64).regions(256),
    ] {
        let said = refused(bad.clone());
        assert!(
            said.starts_with("making a pool: ") && said.contains("must") || said.contains("no class"),
            "{said}"
        );
    }
}

#[test]
fn lengths_at_the_limit_and_one_past() {
    let pool = Pool::builder().region_size(65536).boundary(16384).regions(2).build().unwrap();
    assert_eq!(pool.get(16384).unwrap().len(), 16384);
    assert_eq!(pool.get(1).unwrap().len(), 1);
    assert_eq!(pool.get(0).unwrap_err(), Error::Empty);
    assert_eq!(pool.get(16385).unwrap_err(), Error::CrossesBoundary { length: 16385, boundary: 16384 });
    assert_eq!(pool.get(65537).unwrap_err(), Error::TooLarge { bytes: 65537, region: 65536 });
    assert_eq!(pool.get(usize::MAX).unwrap_err(), Error::TooLarge { bytes: usize::MAX, region: 65536 });
    assert_eq!(pool.get_aligned(1, 65536).unwrap().as_ptr().addr() % 65536, 0);
    assert_eq!(pool.get_aligned(1, 1 << 17).unwrap_err(), Error::TooLarge { bytes: 1 << 17, region: 65536 });
    assert_eq!(pool.get_aligned(1, 1 << 63).unwrap_err(), Error::TooLarge { bytes: 1 << 63, region: 65536 });
    assert_eq!(pool.statistics().refused, 6);
    let whole = Pool::builder().region_size(65536).regions(1).build().unwrap();
    assert_eq!(whole.get(65536).unwrap().len(), 65536);
    assert_eq!(whole.get(65537).unwrap_err(), Error::TooLarge { bytes: 65537, region: 65536 });
}

#[test]
fn classes_and_regions_at_the_limit_and_one_past() {
    let pool = Pool::builder().region_size(8192).regions(2).class_limit(1000, 3).build().unwrap();
    let mut held: Vec<Slice> = (0..3).map(|_| pool.get(600).unwrap()).collect();
    assert_eq!(pool.get(1024).unwrap_err(), Error::ClassFull { class: 1024, limit: 3 });
    assert_eq!(pool.get_aligned(1024, 4096).unwrap_err(), Error::ClassFull { class: 1024, limit: 3 });
    // Other classes go on, and this one once something was given back.
    held.push(pool.get(512).unwrap());
    held.remove(0);
    held.push(pool.get(1024).unwrap());
    let class = pool.statistics().classes.into_iter().find(|class| class.size == 1024).unwrap();
    assert_eq!((class.in_use, class.peak, class.limit, class.refused), (3, 3, 3, 2));
    held.clear();
    let one = pool.get(8192).unwrap();
    let two = pool.get(8192).unwrap();
    assert_eq!(pool.get(1).unwrap_err(), Error::Exhausted { length: 1, regions: 2 });
    assert_eq!(pool.reserve_region().unwrap_err(), Error::Exhausted { length: 8192, regions: 2 });
    drop(one);
    pool.get(1).unwrap();
    drop(two);
}

#[test]
fn regions_come_with_need_and_go_when_they_are_free() {
    let pool = Pool::builder().region_size(1 << 16).regions(8).spare_regions(2).build().unwrap();
    assert_eq!(pool.statistics().regions, 0);
    let mut slices: Vec<Slice> = (0..8).map(|_| pool.get(1 << 16).unwrap()).collect();
    assert_eq!(pool.statistics().regions, 8);
    for left in (0..8).rev() {
        slices.pop();
        let now = pool.statistics();
        assert_eq!((now.regions, now.regions_idle), (left + 2.min(8 - left), 2.min(8 - left)));
    }
    assert_eq!(pool.shrink(1), 1);
    assert_eq!(pool.shrink(1), 0);
    assert_eq!(pool.shrink(0), 1);
    let now = pool.statistics();
    assert_eq!((now.regions, now.regions_peak, now.bytes), (0, 8, 0));
    // A region that somebody knows stays.
    pool.reserve_region().unwrap();
    let regions = pool.regions();
    assert_eq!(regions.len(), 1);
    assert_eq!(pool.shrink(0), 0);
    drop(pool.get(1 << 16).unwrap());
    assert_eq!(pool.shrink(0), 0);
    drop(regions);
    assert_eq!(pool.shrink(0), 1);
}

#[test]
fn memory_of_each_kind_is_zeroed_and_described() {
    for memory in [Memory::Heap, Memory::HugePages, Memory::Shared] {
        let pool = Pool::builder().memory(memory).build().unwrap();
        let mut slice = pool.get(2 << 20).unwrap();
        assert!(slice.iter().all(|byte| *byte == 0), "{memory:?}");
        slice.fill(1);
        let at = slice.location();
        let region = pool.regions().pop().unwrap();
        assert_eq!((at.region, at.offset, at.length), (region.number(), 0, region.len()));
        assert_eq!(region.start().addr(), slice.as_ptr().addr());
        // SAFETY: nobody maps it but this test, which writes below while no reference is alive.
        let memfd = unsafe { region.memfd() };
        assert_eq!(memfd.is_some(), memory == Memory::Shared);
        match (memory, region.pages()) {
            (Memory::HugePages, Pages::Advised) => {
                println!("SKIPPED: this system has no huge pages in reserve")
            }
            (Memory::HugePages, Pages::Ordinary) => println!("SKIPPED: this kernel has no huge pages"),
            (_, pages) => assert_eq!(pages == Pages::Huge, memory == Memory::HugePages),
        }
        if let Some(memfd) = memfd {
            // What another process would see and write, by the descriptor.
            let mut byte = [0; 1];
            rustix::io::pread(memfd, &mut byte, 77).unwrap();
            assert_eq!(byte, [1]);
            rustix::io::pwrite(memfd, &[9], 78).unwrap();
            assert_eq!(slice[78], 9);
            assert_eq!(
                rustix::fs::ftruncate(memfd, 4096),
                Err(rustix::io::Errno::PERM),
                "it cannot be taken away"
            );
        }
        drop(slice);
        assert!(pool.get_zeroed(2 << 20).unwrap().iter().all(|byte| *byte == 0));
    }
}

#[test]
fn refusals_name_operation_operand_cause_and_remedy() {
    let pool = Pool::builder().region_size(8192).regions(1).class_limit(512, 0).build().unwrap();
    let held = pool.get(8192).unwrap();
    let id = pool.get(1).unwrap_err();
    assert_eq!(
        id.to_string(),
        "get: all 0 slices of 512 bytes that the class may have are in use: give some back, or raise the limit"
    );
    assert_eq!(
        pool.get(513).unwrap_err().to_string(),
        "get: no room for 513 bytes in 1 regions, the most there may be: give slices back, or raise the limit of regions"
    );
    assert_eq!(
        pool.get(9000).unwrap_err().to_string(),
        "get: 9000 bytes do not fit a region of 8192: make the pool with larger regions"
    );
    let stale = held.id();
    assert!(pool.take(stale).unwrap_err().to_string().contains("is held by somebody"));
    drop(held);
    assert!(pool.take(stale).unwrap_err().to_string().contains("is stale"));
}

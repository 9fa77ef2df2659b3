//! What happens when the system has no memory for a region. Alone in its program, since it limits that of the whole process.

#![allow(clippy::unwrap_used)]

use ouzel_pool::{Error, Pool};

#[test]
fn a_region_that_the_system_refuses_is_an_error() {
    // Half a terabyte of address space in regions of 1 GiB is refused at some point where address space is limited.
    let pool = Pool::builder().region_size(1 << 30).smallest(1 << 20).regions(4).build().unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::As);
    let used = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = used.split(' ').next().unwrap().parse().unwrap();
    rustix::process::setrlimit(
        rustix::process::Resource::As,
        rustix::process::Rlimit { current: Some(pages * 4096 + (1 << 30)), maximum: limit.maximum },
    )
    .unwrap();
    let refused = pool.get(5).unwrap_err();
    rustix::process::setrlimit(rustix::process::Resource::As, limit).unwrap();
    assert!(matches!(refused, Error::Map { bytes, errno: 12 } if bytes == 1 << 30), "{refused:?}");
    assert!(refused.to_string().contains("the system has no 1073741824 bytes for another region"));
    drop(pool.get(5).unwrap());
}

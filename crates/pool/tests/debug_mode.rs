//! Debug mode: what was given back cannot be touched, by the kernel neither, and comes back late.

#![allow(clippy::unwrap_used)]

mod common;

use common::rights;
use ouzel_pool::{Memory, Pool};

fn pool(memory: Memory) -> Pool {
    Pool::builder()
        .memory(memory)
        .region_size(1 << 16)
        .regions(4)
        .debug(true)
        .quarantine(1 << 14)
        .build()
        .unwrap()
}

#[test]
fn what_was_given_back_is_out_of_reach() {
    for (memory, letters) in [(Memory::Heap, 'p'), (Memory::HugePages, 'p'), (Memory::Shared, 's')] {
        let pool = pool(memory);
        assert!(pool.is_debug() && pool.smallest() == 4096);
        let slice = pool.get(100).unwrap();
        assert!(slice.iter().all(|byte| *byte == 0xfe), "no zeros to rely on");
        let address = slice.as_ptr().addr();
        let guard = slice.guard();
        drop(slice);
        assert_eq!(rights(address), Some(format!("rw-{letters}")), "it may still be written to");
        drop(guard);
        assert_eq!(rights(address), Some(format!("---{letters}")));
        assert_eq!(pool.statistics().quarantined_bytes, 4096);
        // The neighbours are not touched.
        let other = pool.get(100).unwrap();
        assert_ne!(other.as_ptr().addr(), address);
        assert_eq!(rights(other.as_ptr().addr()), Some(format!("rw-{letters}")));
        drop((pool, other));
    }
}

#[test]
fn the_kernel_cannot_write_to_what_was_given_back() {
    let pool = pool(Memory::Heap);
    let (read, write) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&write, b"late").unwrap();
    let slice = pool.get(4096).unwrap();
    let guard = slice.guard();
    let address = guard.as_ptr();
    drop(slice);
    // SAFETY: the guard keeps the memory; nobody else uses it.
    let room = unsafe { std::slice::from_raw_parts_mut(address, 2) };
    assert_eq!(rustix::io::read(&read, room), Ok(2));
    drop(guard);
    // SAFETY: on purpose it is not: only the kernel looks at the address, and refuses.
    let room = unsafe { std::slice::from_raw_parts_mut(address, 2) };
    assert_eq!(rustix::io::read(&read, room), Err(rustix::io::Errno::FAULT));
}

#[test]
fn quarantine_is_first_in_first_out_and_bounded() {
    let pool = pool(Memory::Heap);
    let slices: Vec<_> = (0..6).map(|_| pool.get(4096).unwrap()).collect();
    let addresses: Vec<usize> = slices.iter().map(|slice| slice.as_ptr().addr()).collect();
    drop(slices);
    assert_eq!(pool.statistics().quarantined_bytes, 1 << 14);
    for (place, address) in addresses.iter().enumerate() {
        let expected = if place < 2 { "rw-p" } else { "---p" };
        assert_eq!(rights(*address).as_deref(), Some(expected), "{place}");
    }
}

#[test]
fn what_is_in_quarantine_is_used_before_anybody_is_refused() {
    let pool = Pool::builder().region_size(8192).regions(1).debug(true).build().unwrap();
    for _ in 0..10 {
        let one = pool.get(4096).unwrap();
        let two = pool.get(4096).unwrap();
        drop((one, two));
        assert_eq!(pool.statistics().quarantined_bytes, 8192);
        let whole = pool.get(8192).unwrap();
        assert!(pool.get(1).is_err());
        drop(whole);
    }
    assert_eq!(pool.shrink(0), 1);
    assert_eq!((pool.statistics().regions, pool.statistics().quarantined_bytes), (0, 0));
}

#[test]
fn a_pool_ends_with_slices_in_quarantine_out_and_kept() {
    let pool = pool(Memory::Shared);
    let slice = pool.get(4096).unwrap();
    let address = slice.as_ptr().addr();
    let guard = slice.guard();
    drop(pool.get(5000).unwrap());
    pool.get(10_000).unwrap().into_id().unwrap();
    drop(pool);
    drop(slice);
    assert_eq!(rights(address).as_deref(), Some("rw-s"));
    drop(guard);
    assert_ne!(rights(address).as_deref(), Some("rw-s"));
}

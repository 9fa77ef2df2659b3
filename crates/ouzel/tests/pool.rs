//! Buffers of a pool in chains, on every backend: they belong to the chain until it is over, and go back to the pool then.

#![allow(clippy::unwrap_used)]

use ouzel::abi::Descriptor;
use ouzel::pool::{Error, Pool};
use ouzel::{BackendKind, Buffer, Chain, Offset, Ring};

fn rings(test: impl Fn(Ring, Pool)) {
    for kind in [BackendKind::Sim, BackendKind::Uring, BackendKind::Threads] {
        for debug in [false, true] {
            match Ring::builder().backend(kind).build() {
                Ok(ring) => test(ring, Pool::builder().debug(debug).build().unwrap()),
                Err(error) => println!("SKIPPED: {}: {error}", kind.name()),
            }
        }
    }
}

fn pipe(ring: &mut Ring) -> (Descriptor, Descriptor) {
    let mut chain = Chain::new();
    let (from, to) = chain.pipe();
    let (from, to) = (chain.get_descriptor(from), chain.get_descriptor(to));
    let done = ring.run(chain).unwrap();
    (done.get(from).unwrap(), done.get(to).unwrap())
}

#[test]
fn reads_and_writes_use_memory_of_the_pool() {
    rings(|mut ring, pool| {
        let (from, to) = pipe(&mut ring);
        let mut slice = pool.get(5).unwrap();
        slice.copy_from_slice(b"hello");
        let mut chain = Chain::new();
        chain.write(to, slice, Offset::CURRENT);
        let length = chain.read(from, Buffer::from_pool(&pool, 100).unwrap(), Offset::CURRENT);
        assert_eq!(pool.statistics().in_use, 2);
        let mut done = ring.run(chain).unwrap();
        let read = done.take(length).unwrap();
        assert_eq!((&*read, read.capacity()), (&b"hello"[..], 100));
        drop(done);
        assert_eq!(pool.statistics().in_use, 1);
        // The same memory again, now as a slice.
        let slice = read.into_slice().unwrap();
        assert_eq!((slice.len(), &slice[..5]), (100, &b"hello"[..]));
        drop(slice);
        assert_eq!(pool.statistics().in_use, 0);
    });
}

#[test]
fn what_waits_keeps_its_memory_until_it_is_cancelled() {
    rings(|mut ring, pool| {
        let (from, to) = pipe(&mut ring);
        let mut chain = Chain::new();
        let length = chain.read(from, Buffer::from_pool(&pool, 64).unwrap(), Offset::CURRENT);
        let ticket = ring.submit(chain).unwrap();
        ring.flush().unwrap();
        assert_eq!(pool.statistics().in_use, 1);
        ring.cancel(ticket).unwrap();
        let mut done = ring.wait(ticket).unwrap();
        assert!(done.get(length).is_err());
        assert_eq!(pool.statistics().in_use, 1, "it comes back with what was done");
        drop(done.take(length));
        drop(done);
        assert_eq!(pool.statistics().in_use, 0);
        ring.close(to).unwrap();
    });
}

#[test]
fn ring_and_pool_go_in_any_order_while_something_waits() {
    for ring_first in [true, false] {
        rings(|mut ring, pool| {
            let (from, _to) = pipe(&mut ring);
            let mut chain = Chain::new();
            chain.read(from, Buffer::from_pool(&pool, 64).unwrap(), Offset::CURRENT);
            ring.submit(chain).unwrap();
            ring.flush().unwrap();
            if ring_first {
                drop(ring);
                assert_eq!(pool.statistics().in_use, 0, "reaped, so its memory is free");
            } else {
                drop(pool);
                drop(ring);
            }
        });
    }
}

#[test]
fn rooms_of_a_pool_show_nothing_of_who_had_them_before() {
    rings(|mut ring, pool| {
        let mut left = pool.get(512).unwrap();
        left.fill(b'x');
        drop(left);
        let (from, to) = pipe(&mut ring);
        let mut chain = Chain::new();
        let room = chain.room(Buffer::from_pool(&pool, 16).unwrap());
        chain.write(to, room.first(16u64), Offset::CURRENT);
        let length = chain.read(from, Buffer::with_capacity(16), Offset::CURRENT);
        let mut done = ring.run(chain).unwrap();
        assert_eq!(&*done.take(length).unwrap(), [0; 16]);
    });
}

#[test]
fn buffers_of_a_pool_are_like_others() {
    let pool = Pool::builder().region_size(8192).regions(1).build().unwrap();
    let mut buffer = Buffer::from_pool(&pool, 8).unwrap();
    assert!(buffer.is_empty());
    buffer.extend_from_slice(b"1234");
    let copy = buffer.clone();
    assert_eq!(pool.statistics().in_use, 1, "a clone is on the heap");
    assert!(buffer == copy && copy.into_slice().is_err());
    buffer.extend_from_slice(b"5678");
    assert_eq!((&*buffer, buffer.capacity()), (&b"12345678"[..], 8));
    buffer.extend_from_slice(b"9");
    assert_eq!((&*buffer, pool.statistics().in_use), (&b"123456789"[..], 0));
    let mut buffer = Buffer::from(pool.get(3).unwrap());
    assert_eq!(buffer.len(), 3);
    buffer.clear();
    buffer.extend_from_slice(b"ab");
    let bytes = buffer.into_vec();
    assert_eq!((&*bytes, bytes.capacity() >= 3), (&b"ab"[..], true));
    assert_eq!(Buffer::from_pool(&pool, 9000).unwrap_err(), Error::TooLarge { bytes: 9000, region: 8192 });
}

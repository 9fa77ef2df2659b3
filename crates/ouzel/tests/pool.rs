//! Buffers of a pool in chains, on every backend: they belong to the chain until it is over, and go back to the pool then.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::pool::{Error, Pool};
use ouzel::task::Executor;
use ouzel::{BackendKind, Buffer, Chain, Done, Message, Offset, Ring, SocketAddress};

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

fn address(buffer: &Buffer) -> usize {
    buffer.as_slice().as_ptr().addr()
}

/// Each verb that moves bytes moves them where they are: the memory that comes back is the memory that was given.
#[test]
fn nothing_is_copied_on_the_way() {
    rings(|mut ring, pool| {
        let none = MessageFlags::empty();
        let (from, to) = pair(&mut ring);
        let full = |text: &[u8]| {
            let mut buffer = Buffer::from_pool(&pool, 64).unwrap();
            buffer.extend_from_slice(text);
            buffer
        };
        let (sent, messaged) = (full(b"one"), full(b"two"));
        let (in_one, in_two) = (full(b""), full(b""));
        let places = [&sent, &messaged, &in_one, &in_two].map(address);
        let mut chain = Chain::new();
        let sent = chain.send(to, sent, none);
        let messaged = chain.sendmsg(to, Message::new(messaged), none);
        let in_one = chain.recvmsg(from, [in_one], 0, none);
        ring_through(&mut ring, chain, |done| {
            assert_eq!(done.take(sent).as_ref().map(address), Some(places[0]));
            assert_eq!(done.take_piece(messaged, 0).as_ref().map(address), Some(places[1]));
            let bytes = done.take_piece(in_one, 0).unwrap();
            // A stream keeps no borders.
            assert!(bytes.starts_with(b"one") && address(&bytes) == places[2]);
        });
        let mut chain = Chain::new();
        chain.write(to, full(b"three"), Offset::CURRENT);
        let in_two = chain.recv(from, in_two, none);
        let room = chain.room(full(b"four"));
        chain.write(to, room.first(4u64), Offset::CURRENT);
        ring_through(&mut ring, chain, |done| {
            assert_eq!(done.take(in_two).as_ref().map(address), Some(places[3]));
            assert!(done.take_room(room).unwrap().guard().is_some(), "it is the pool's");
        });
        assert_eq!(pool.statistics().in_use, 0);
    });
}

fn ring_through(ring: &mut Ring, chain: Chain, look: impl FnOnce(&mut Done)) {
    let mut done = ring.run(chain).unwrap();
    done.check().unwrap();
    look(&mut done);
}

/// A connected pair of sockets.
fn pair(ring: &mut Ring) -> (Descriptor, Descriptor) {
    let address = SocketAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = ring.socket(2, 1, 0).unwrap();
    ring.bind(server, &address).unwrap();
    ring.listen(server, 1).unwrap();
    let near = ring.socket(2, 1, 0).unwrap();
    let address = ring.sockname(server).unwrap();
    let mut chain = Chain::new();
    chain.connect(near, &address);
    let connecting = ring.submit(chain).unwrap();
    let far = ring.accept(server).unwrap();
    ring.wait(connecting).unwrap().check().unwrap();
    ring.close(server).unwrap();
    (near, far)
}

#[test]
fn a_ring_has_a_pool() {
    for kind in [BackendKind::Sim, BackendKind::Uring, BackendKind::Threads] {
        let own = Pool::builder().regions(1).region_size(8192).build().unwrap();
        for given in [None, Some(own)] {
            let mut builder = Ring::builder().backend(kind);
            if let Some(pool) = &given {
                builder = builder.pool(pool);
            }
            let Ok(mut ring) = builder.build() else { continue };
            let (from, to) = pipe(&mut ring);
            let mut text = ring.buffer(100).unwrap();
            text.extend_from_slice(b"text");
            assert_eq!(ring.write(to, text, Offset::CURRENT).unwrap(), 4);
            let buffer = ring.buffer(100).unwrap();
            let read = ring.read(from, buffer, Offset::CURRENT).unwrap();
            assert_eq!(&*read, b"text");
            assert!(ring.pool().unwrap().statistics().in_use >= 1);
            if let Some(pool) = &given {
                assert_eq!(pool.statistics().regions, 1, "it is the one that was given");
                let refused = ring.buffer(9000).unwrap_err();
                assert_eq!(refused.to_string(), Error::TooLarge { bytes: 9000, region: 8192 }.to_string());
            }
            // A call keeps the memory of its chain for the next one, but no buffer of it.
            drop(read);
            ring.run({
                let mut chain = Chain::new();
                chain.nop();
                chain
            })
            .unwrap();
        }
    }
}

#[test]
fn parts_of_a_slice_are_filled() {
    let pool = Pool::builder().build().unwrap();
    let mut buffer = Buffer::from_slice(pool.get(10).unwrap(), 11);
    assert_eq!(buffer.len(), 10, "no more than there are");
    buffer.as_mut_slice().fill(b'a');
    buffer.truncate(20);
    assert_eq!(buffer.len(), 10);
    buffer.truncate(3);
    assert_eq!((&*buffer, buffer.capacity()), (&b"aaa"[..], 10));
    let guard = buffer.guard().unwrap();
    drop(buffer);
    assert_eq!((guard.len(), pool.statistics().in_use, pool.statistics().deferred), (10, 1, 1));
    drop(guard);
    assert_eq!(pool.statistics().in_use, 0);
    let mut heap = Buffer::from(b"abc");
    assert!(heap.guard().is_none());
    heap.truncate(1);
    heap.as_mut_slice()[0] = b'x';
    assert_eq!(&*heap, b"x");
}

/// A future that is dropped while the kernel may write leaves its memory with the ring until that is over.
#[test]
fn what_a_dropped_future_had_is_not_used_again_too_early() {
    for kind in [BackendKind::Sim, BackendKind::Uring, BackendKind::Threads] {
        let pool = Pool::builder().regions(1).region_size(4096).smallest(4096).build().unwrap();
        let builder = Ring::builder().backend(kind).pool(&pool);
        let Ok(mut executor) = Executor::builder().ring(builder).build() else { continue };
        let handle = executor.handle();
        executor
            .block_on(async {
                let (from, _to) = handle.pipe().await?;
                for _ in 0..4 {
                    let mut reading = Box::pin(handle.read(from, handle.buffer(4096)?, Offset::CURRENT));
                    let begun = handle.timeout(Duration::from_millis(1), &mut reading).await;
                    assert!(begun.is_none(), "there is nothing to read");
                    drop(reading);
                    assert!(handle.buffer(1).is_err(), "it is in use until the cancel has come back");
                    while handle.buffer(1).is_err() {
                        handle.sleep(Duration::from_millis(1)).await;
                    }
                }
                Ok::<_, ouzel::Error>(())
            })
            .unwrap()
            .unwrap();
        drop(executor);
        assert_eq!(pool.statistics().in_use, 0, "{}", kind.name());
    }
}

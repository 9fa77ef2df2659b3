//! Memory of pools that is registered with the kernel: that it is really used, follows the pool as it grows and shrinks, and
//! that what cannot be registered works all the same.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::pool::{Pool, Slice};
use ouzel::{BackendKind, Buffer, Chain, Offset, OpenOptions, Policy, Ring, RingBuilder};
use rustix::mm::{MprotectFlags, mprotect};
use task_support::*;

const PAGE: usize = 4096;

/// A ring whose kernel side does everything that it can.
fn links(kind: BackendKind) -> RingBuilder {
    builder(kind).policy(Policy::Links)
}

fn uring(test: impl FnOnce() + Send + 'static) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
    if !rustix::process::geteuid().is_root() && limit.is_some_and(|limit| limit < 256 << 20) {
        println!("SKIPPED: only {limit:?} bytes may be locked (ulimit -l)");
    } else if backends().contains(&BackendKind::Uring) {
        bounded("uring", test);
    }
}

fn pipe(ring: &mut Ring) -> (Descriptor, Descriptor) {
    let mut chain = Chain::new();
    let (from, to) = chain.pipe();
    let (from, to) = (chain.get_descriptor(from), chain.get_descriptor(to));
    let done = ring.run(chain).unwrap();
    (done.get(from).unwrap(), done.get(to).unwrap())
}

fn transfers(ring: &Ring) -> u64 {
    ring.registered_memory().map_or(0, |memory| memory.transfers)
}

fn allow(address: *mut u8, flags: MprotectFlags) {
    // SAFETY: a page of a slice that the test owns and does not touch meanwhile.
    unsafe { mprotect(address.cast(), PAGE, flags) }.unwrap();
}

/// Memory that nobody may write to by its address is read into by its number: only with that can the kernel do it.
#[test]
fn the_kernel_uses_the_number_and_not_the_address() {
    uring(|| {
        for registered in [true, false] {
            let pool = Pool::builder().smallest(PAGE).build().unwrap();
            let mut ring = links(BackendKind::Uring).build().unwrap();
            let (from, to) = pipe(&mut ring);
            ring.write(to, "hello", Offset::CURRENT).unwrap();
            let mut slice: Slice = pool.get(PAGE).unwrap();
            let start = slice.as_mut_ptr();
            if registered {
                // The pages must be there for that.
                ring.register_pool(&pool).unwrap();
                assert_eq!(ring.registered_memory().unwrap().regions, 1);
            }
            let mut chain = Chain::new();
            let read = chain.read(from, Buffer::from_slice(slice, 0), Offset::CURRENT);
            allow(start, MprotectFlags::empty());
            let mut done = ring.run(chain).unwrap();
            allow(start, MprotectFlags::READ | MprotectFlags::WRITE);
            if registered {
                assert_eq!(done.get(read).unwrap(), 5);
                assert_eq!(done.take(read).as_deref(), Some(&b"hello"[..]));
                assert_eq!(transfers(&ring), 1);
            } else {
                assert!(done.get(read).is_err(), "by its address it is out of reach");
                assert_eq!(ring.registered_memory(), None);
            }
        }
    });
}

#[test]
fn each_transfer_from_and_to_it_uses_it() {
    uring(|| {
        let pool = Pool::builder().build().unwrap();
        let mut ring = links(BackendKind::Uring).pool(&pool).build().unwrap();
        let place = Place::new(BackendKind::Uring);
        let mut chain = Chain::new();
        let file = chain.open(place.path(), OpenOptions::write().create().truncate());
        let mut text = ring.buffer(5000).unwrap();
        text.extend_from_slice(&[7; 5000]);
        chain.write(file, text, Offset::START);
        chain.finally().close(file);
        let (done, explained) = ring.explain(chain).unwrap();
        done.check().unwrap();
        assert_eq!(explained.registered.unwrap().transfers, 1);
        assert!(
            explained.to_string().contains("registered memory: 2097152 bytes, used by 1 transfers"),
            "{explained}"
        );
        let mut chain = Chain::new();
        let file = chain.open(place.path(), OpenOptions::read());
        let one = chain.read(file, ring.buffer(4000).unwrap(), Offset::START);
        // A part of a room is memory of the pool, too; what is on the heap is not.
        let room = chain.room(ring.buffer(600).unwrap());
        chain.read(file, room.first(500u64), Offset::at(4000u64));
        let heap = chain.read(file, Buffer::with_capacity(100), Offset::at(4500u64));
        chain.finally().close(file);
        let before = transfers(&ring);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(transfers(&ring) - before, 2);
        assert_eq!(done.take(one).unwrap().as_slice(), &[7; 4000]);
        assert_eq!(done.take_room(room).unwrap().as_slice(), &[7; 500]);
        assert_eq!(done.take(heap).unwrap().as_slice(), &[7; 100]);
        // Sockets and pipes too.
        let (from, to) = pipe(&mut ring);
        let before = transfers(&ring);
        let mut text = ring.buffer(10).unwrap();
        text.extend_from_slice(b"text");
        ring.write(to, text, Offset::CURRENT).unwrap();
        let room = ring.buffer(10).unwrap();
        assert_eq!(&*ring.read(from, room, Offset::CURRENT).unwrap(), b"text");
        assert_eq!(transfers(&ring) - before, 2);
    });
}

#[test]
fn regions_are_followed_while_transfers_are_under_way() {
    uring(|| {
        let pool = Pool::builder().region_size(1 << 16).spare_regions(0).build().unwrap();
        let mut ring = links(BackendKind::Uring).pool(&pool).build().unwrap();
        let (from, to) = pipe(&mut ring);
        let regions = |ring: &mut Ring| {
            ring.flush().unwrap();
            ring.registered_memory().unwrap().regions
        };
        assert_eq!(regions(&mut ring), 0);
        // One waits in the first region while others come and go around it.
        let mut chain = Chain::new();
        let waiting = chain.read(from, ring.buffer(1 << 16).unwrap(), Offset::CURRENT);
        let ticket = ring.submit(chain).unwrap();
        assert_eq!(regions(&mut ring), 1);
        for round in 0..50u8 {
            let mut others: Vec<Buffer> = (0..4).map(|_| ring.buffer(1 << 16).unwrap()).collect();
            assert_eq!(regions(&mut ring), 5);
            let (other_from, other_to) = pipe(&mut ring);
            // Where one region was there is soon another one, or something else.
            others.swap(0, usize::from(round % 4));
            let mut text = others.pop().unwrap();
            text.extend_from_slice(&[round; 300]);
            ring.write(other_to, text, Offset::CURRENT).unwrap();
            let room = others.pop().unwrap();
            let before = transfers(&ring);
            let read = ring.read(other_from, room, Offset::CURRENT).unwrap();
            assert_eq!((read.as_slice(), transfers(&ring) - before), (&[round; 300][..], 1));
            drop(read);
            drop(others);
            assert_eq!(regions(&mut ring), 1);
            // Memory of the heap at an address that was a region's is used as it is.
            let heap = vec![0xee_u8; (1 << 16) + PAGE];
            ring.write(other_to, &[round; 200], Offset::CURRENT).unwrap();
            let before = transfers(&ring);
            let read = ring.read(other_from, heap, Offset::CURRENT).unwrap();
            assert_eq!((read.as_slice(), transfers(&ring)), (&[round; 200][..], before));
            ring.close(other_from).unwrap();
            ring.close(other_to).unwrap();
        }
        ring.write(to, "at last", Offset::CURRENT).unwrap();
        let mut done = ring.wait(ticket).unwrap();
        assert_eq!(done.take(waiting).as_deref(), Some(&b"at last"[..]));
        drop(done);
        assert_eq!(regions(&mut ring), 0);
    });
}

#[test]
fn a_cancelled_transfer_keeps_its_region_until_it_is_over() {
    uring(|| {
        let pool = Pool::builder().region_size(1 << 16).spare_regions(0).build().unwrap();
        let mut ring = links(BackendKind::Uring).build().unwrap();
        ring.register_pool(&pool).unwrap();
        let (from, to) = pipe(&mut ring);
        for _ in 0..20 {
            let mut chain = Chain::new();
            chain.read(from, pool.get(1 << 16).unwrap(), Offset::CURRENT);
            let ticket = ring.submit(chain).unwrap();
            ring.flush().unwrap();
            assert_eq!(pool.statistics().regions, 1);
            ring.cancel(ticket).unwrap();
            drop(ring.wait(ticket).unwrap());
            assert_eq!(pool.statistics().regions, 0, "the kernel's pin keeps nothing of the pool's");
            ring.flush().unwrap();
            assert_eq!(ring.registered_memory().unwrap().regions, 0);
        }
        // The pool goes first, then the ring, with one under way.
        let mut chain = Chain::new();
        chain.read(from, pool.get(100).unwrap(), Offset::CURRENT);
        ring.submit(chain).unwrap();
        ring.flush().unwrap();
        drop(pool);
        ring.write(to, "x", Offset::CURRENT).unwrap();
        ring.wait_all().unwrap();
        while let Some((_, done)) = ring.next_ended() {
            drop(done);
        }
        ring.flush().unwrap();
        assert_eq!(ring.registered_memory().unwrap().regions, 0);
    });
}

#[test]
fn more_regions_than_numbers_are_used_all_the_same() {
    uring(|| {
        let pool =
            Pool::builder().region_size(PAGE).smallest(PAGE).spare_regions(0).regions(2000).build().unwrap();
        let mut ring = links(BackendKind::Uring).pool(&pool).build().unwrap();
        let (from, to) = pipe(&mut ring);
        let mut all: Vec<Buffer> = (0..1024).map(|_| ring.buffer(PAGE).unwrap()).collect();
        ring.flush().unwrap();
        let memory = ring.registered_memory().unwrap();
        assert_eq!((memory.regions, memory.bytes, memory.left_out), (1024, 1024 * PAGE, None));
        all.push(ring.buffer(PAGE).unwrap());
        ring.flush().unwrap();
        let memory = ring.registered_memory().unwrap();
        assert_eq!((memory.regions, memory.left_out), (1024, Some(ouzel::abi::Errno::ENOSPC)));
        assert!(memory.to_string().contains("some was left out: ENOSPC"), "{memory}");
        for registered in [false, true] {
            let before = transfers(&ring);
            let mut text = if registered { all.remove(0) } else { all.pop().unwrap() };
            text.extend_from_slice(b"text");
            ring.write(to, text, Offset::CURRENT).unwrap();
            assert_eq!(transfers(&ring) - before, u64::from(registered));
            assert_eq!(&*ring.read(from, Buffer::with_capacity(9), Offset::CURRENT).unwrap(), b"text");
        }
        // With a number free again, the next one has it.
        ring.flush().unwrap();
        let more = ring.buffer(PAGE).unwrap();
        ring.flush().unwrap();
        assert_eq!(ring.registered_memory().unwrap().regions, 1024);
        drop((all, more));
        ring.flush().unwrap();
        assert_eq!(ring.registered_memory().unwrap().regions, 0);
    });
}

/// The same calls on every backend; where nothing is registered, they are for nothing.
#[test]
fn registering_is_the_same_everywhere() {
    on_each(|kind| {
        let (pool, debug) = (Pool::builder().build().unwrap(), Pool::builder().debug(true).build().unwrap());
        let mut ring = links(kind).pool(&pool).build().unwrap();
        ring.register_pool(&pool).unwrap();
        ring.register_pool(&debug).unwrap();
        let (from, to) = pipe(&mut ring);
        for pool in [&pool, &debug] {
            let mut slice = pool.get(5).unwrap();
            slice.copy_from_slice(b"hello");
            ring.write(to, slice, Offset::CURRENT).unwrap();
            let read = ring.read(from, pool.get(9).unwrap(), Offset::CURRENT).unwrap();
            assert_eq!(&*read, b"hello");
        }
        match kind {
            BackendKind::Uring => {
                let memory = ring.registered_memory().unwrap();
                assert_eq!((memory.regions, memory.transfers), (1, 2), "one of each pool, once");
                assert_eq!(memory.left_out, Some(ouzel::abi::Errno::EOPNOTSUPP), "the debug pool");
            }
            _ => assert_eq!(ring.registered_memory(), None),
        }
    });
}

/// Groups of a registered pool: the kernel picks from memory that it has pinned as well.
#[test]
fn groups_and_registered_memory_go_together() {
    uring(|| {
        let mut ring = links(BackendKind::Uring).build().unwrap();
        let Ok(group) = ring.group(4, PAGE) else { return };
        let (mut near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let far = ring.adopt(far).unwrap();
        std::io::Write::write_all(&mut near, b"hello").unwrap();
        let picked = ring.recv_picked(far, &group).unwrap().unwrap();
        let (from, to) = pipe(&mut ring);
        let before = transfers(&ring);
        ring.write(to, picked, Offset::CURRENT).unwrap();
        assert_eq!(transfers(&ring) - before, 1, "what was picked lies in the ring's pool");
        let read = ring.buffer(10).unwrap();
        assert_eq!(&*ring.read(from, read, Offset::CURRENT).unwrap(), b"hello");
        ring.send(far, "back", MessageFlags::empty()).unwrap();
        near.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut back = [0; 4];
        std::io::Read::read_exact(&mut near, &mut back).unwrap();
        assert_eq!(&back, b"back");
    });
}

/// What an operation says does not depend on whose memory it is given.
#[test]
fn errors_and_ends_are_those_of_any_memory() {
    uring(|| {
        let mut ring = links(BackendKind::Uring).build().unwrap();
        let place = Place::new(BackendKind::Uring);
        std::fs::write(place.path(), [1; 100]).unwrap();
        let reading = ring.open(place.path(), OpenOptions::read()).unwrap();
        let writing = ring.open(place.path(), OpenOptions::write()).unwrap();
        let folder = ring.open(place.path().parent().unwrap(), OpenOptions::read()).unwrap();
        let null = ring.open("/dev/null", OpenOptions::write()).unwrap();
        let zero = ring.open("/dev/zero", OpenOptions::read()).unwrap();
        let (from, to) = pipe(&mut ring);
        ring.pool().unwrap();
        let mut said: [Vec<(Option<ouzel::abi::Errno>, u64)>; 2] = Default::default();
        for (registered, said) in said.iter_mut().enumerate() {
            let buffer = |ring: &mut Ring| match registered {
                0 => Buffer::with_capacity(1000),
                _ => ring.buffer(1000).unwrap(),
            };
            for (file, offset) in [
                (reading, Offset::START),
                (reading, Offset::at(90u64)),
                (reading, Offset::at(100u64)),
                (reading, Offset::at(u64::MAX - 1)),
                (writing, Offset::START),
                (folder, Offset::CURRENT),
                (folder, Offset::START),
                (zero, Offset::START),
                (from, Offset::START),
                (to, Offset::CURRENT),
                (null, Offset::CURRENT),
            ] {
                let mut chain = Chain::new();
                let read = chain.read(file, buffer(&mut ring), offset);
                chain.hardlink();
                let mut text = buffer(&mut ring);
                text.extend_from_slice(&[2; 10]);
                let written = chain.write(file, text, offset);
                let done = ring.run(chain).unwrap();
                for step in [read, written] {
                    let errno = done.get(step).err().and_then(|error| error.errno());
                    said.push((errno, done.get(step).unwrap_or(0) as u64));
                }
            }
            // Nothing is there: it may not wait, then it may for a while.
            for time in [Duration::ZERO, Duration::from_millis(2)] {
                // What was written to the pipe above is taken first.
                let mut chain = Chain::new();
                chain.read(from, buffer(&mut ring), Offset::CURRENT);
                chain.read(from, buffer(&mut ring), Offset::CURRENT);
                chain.timeout(time);
                let done = ring.run(chain).unwrap();
                said.push((
                    done.error().map(|error| error.errno),
                    done.error().map_or(0, |error| error.step as u64),
                ));
                ring.write(to, "for the next", Offset::CURRENT).unwrap();
            }
            let room = buffer(&mut ring);
            ring.read(from, room, Offset::CURRENT).unwrap();
            ring.write(to, "0123456789", Offset::CURRENT).unwrap();
        }
        assert_eq!(said[0], said[1]);
        assert!(transfers(&ring) >= 20, "{}", transfers(&ring));
    });
}

/// Pieces of one region are named by its number at once; those of two are not.
#[test]
fn pieces_of_one_region_use_it() {
    use ouzel::abi::modifiers::TransferFlags;
    use ouzel::abi::{Entry, Payload, Piece, Verb};
    uring(|| {
        let pool = Pool::builder().region_size(PAGE).smallest(1024).build().unwrap();
        let mut ring = links(BackendKind::Uring).build_raw().unwrap();
        ring.register_pool(&pool).unwrap();
        let place = Place::new(BackendKind::Uring);
        std::fs::write(place.path(), (0..200u8).collect::<Vec<u8>>()).unwrap();
        let file = ring.adopt(std::fs::File::open(place.path()).unwrap().into()).unwrap();
        let mut slices: Vec<Slice> = (0..5).map(|_| pool.get(1024).unwrap()).collect();
        let starts: Vec<*mut u8> = slices.iter_mut().map(Slice::as_mut_ptr).collect();
        let regions: Vec<u64> = slices.iter().map(|slice| slice.location().region).collect();
        let two = regions.iter().position(|region| *region != regions[0]).unwrap();
        for (last, empty, fixed) in [(1, false, 1), (two, false, 0), (1, true, 0)] {
            let piece = |at: usize, length| Piece { payload: Payload::of(starts[at]).number(), length };
            let mut pieces = vec![piece(0, 100), piece(last, 100)];
            if empty {
                pieces.insert(1, piece(0, 0));
            }
            let before = ring.registered_memory().unwrap().transfers;
            let entry = Entry {
                timeout: Entry::NEVER,
                data: 0,
                op: Verb::Read as u32,
                flags: 0,
                arguments: [
                    file.number(),
                    Payload::of(pieces.as_ptr().cast_mut().cast::<u8>()).number(),
                    pieces.len() as u64,
                    0,
                    TransferFlags::VECTORED.bits(),
                ],
            };
            // SAFETY: the pieces and the slices stay until it has completed.
            unsafe { ring.push(&entry) }.unwrap();
            ring.enter(1, 1, None).unwrap();
            assert_eq!(ring.pop().unwrap().outcome(), Ok(200));
            assert_eq!(ring.registered_memory().unwrap().transfers - before, fixed);
            assert!(
                slices[0][..100].iter().copied().eq(0..100)
                    && slices[last][..100].iter().copied().eq(100..200)
            );
        }
    });
}

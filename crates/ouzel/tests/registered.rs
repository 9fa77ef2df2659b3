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
    if backends().contains(&BackendKind::Uring) {
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

#[test]
fn without_leave_to_lock_memory_everything_works() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::thread::set_thread_uid;
    uring(|| {
        // The limit is nothing to a privileged thread: this one, of its own, gives that up.
        if rustix::process::geteuid().is_root()
            && set_thread_uid(rustix::process::Uid::from_raw(65534)).is_err()
        {
            println!("SKIPPED: this thread cannot give up its privileges");
            return;
        }
        let before = getrlimit(Resource::Memlock);
        setrlimit(Resource::Memlock, Rlimit { current: Some(1 << 16), ..before.clone() }).unwrap();
        let pool = Pool::builder().region_size(1 << 16).build().unwrap();
        let mut ring = match links(BackendKind::Uring).pool(&pool).build() {
            Ok(ring) => ring,
            Err(error) => {
                println!("SKIPPED: {error}");
                return;
            }
        };
        let (from, to) = pipe(&mut ring);
        let mut buffers: Vec<Buffer> = (0..4).map(|_| ring.buffer(1 << 16).unwrap()).collect();
        for buffer in &mut buffers {
            buffer.extend_from_slice(b"text");
        }
        for buffer in buffers {
            let mut chain = Chain::new();
            chain.write(to, buffer, Offset::CURRENT);
            let read = chain.read(from, Buffer::with_capacity(9), Offset::CURRENT);
            let (mut done, explained) = ring.explain(chain).unwrap();
            assert_eq!(done.take(read).as_deref(), Some(&b"text"[..]));
            assert!(explained.to_string().contains("raise RLIMIT_MEMLOCK"), "{explained}");
        }
        let memory = ring.registered_memory().unwrap();
        assert!(memory.regions <= 1, "{memory}");
        assert_eq!(memory.left_out, Some(ouzel::abi::Errno::ENOMEM));
        setrlimit(Resource::Memlock, before).unwrap();
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

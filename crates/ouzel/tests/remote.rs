//! Rings that are connected to a service: the same chains and calls, with memory that is carried, or is seen by both.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod service;

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{MessageFlags, StatFlags, XattrFlags};
use ouzel::pool::{Memory, Pool};
use ouzel::task::Executor;
use ouzel::{
    BackendKind, Buffer, Chain, Compute, Directory, Error, Message, Offset, OpenOptions, Ring, RingBuilder,
};
use service::Service;

#[test]
fn a_chain_of_heap_memory_is_carried() {
    let service = Service::start();
    let mut ring = service.ring();
    assert_eq!(ring.backend().backend, BackendKind::Scheme);
    assert_eq!(ring.backend().reason, format!("connected to {}", service.name));
    let path = service.path("a");
    for round in 0..3 {
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read_write().create().truncate());
        let written = chain.write(file, &b"hello, service"[..], Offset::START);
        let read = chain.read(file, Buffer::with_capacity(5), Offset::at(7u64));
        let stat = chain.stat_file(file);
        chain.finally().close(file);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!((done.get(written).unwrap(), done.get(read).unwrap()), (14, 5), "round {round}");
        assert_eq!(done.take(read).unwrap().as_slice(), b"servi");
        assert_eq!(done.get(stat).unwrap().size, 14);
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"hello, service");
    assert_eq!(ring.pool().unwrap().statistics().in_use, 0, "what was carried went back");
}

#[test]
fn the_rings_own_buffers_are_not_copied() {
    let service = Service::start();
    let mut ring = service.ring();
    let path = service.path("a");
    std::fs::write(&path, vec![7; 100_000]).unwrap();
    let mut chain = Chain::new();
    let file = chain.open(&path, OpenOptions::read());
    let buffer = ring.buffer(65536).unwrap();
    let before = buffer.as_ptr();
    let read = chain.read(file, buffer, Offset::START);
    chain.finally().close(file);
    let ticket = ring.submit(chain).unwrap();
    // The path has a slice, and the buffer its own.
    assert_eq!(ring.pool().unwrap().statistics().in_use, 2);
    let mut done = ring.wait(ticket).unwrap();
    let text = done.take(read).unwrap();
    assert_eq!((text.len(), text.as_ptr()), (65536, before));
    assert!(text.iter().all(|byte| *byte == 7));
    assert_eq!(ring.pool().unwrap().statistics().in_use, 1);
}

#[test]
fn rooms_and_loops_copy_a_file() {
    let service = Service::start();
    let mut ring = service.ring();
    let content: Vec<u8> = (0..10_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(service.path("from"), &content).unwrap();
    for own in [false, true] {
        let target = service.path(if own { "own" } else { "heap" });
        let mut chain = Chain::new();
        let from = chain.open(service.path("from"), OpenOptions::read());
        let to = chain.open(&target, OpenOptions::write().create());
        let buffer = if own { ring.buffer(300).unwrap() } else { Buffer::with_capacity(300) };
        let room = chain.room(buffer);
        let at = chain.variable(0u64);
        chain.repeat(1000, |turn| {
            let count = turn.read(from, room, Offset::at(at));
            turn.when(count).is_zero().break_loop();
            let written = turn.write(to, room.first(count), Offset::at(at));
            turn.assign(at, Compute::add(at, written));
        });
        chain.finally().close(from);
        chain.finally().close(to);
        let done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), content);
    }
}

#[test]
fn a_room_comes_back_with_what_a_silent_step_has_read() {
    let service = Service::start();
    let mut ring = service.ring();
    std::fs::write(service.path("a"), b"0123456789").unwrap();
    let mut chain = Chain::new();
    let file = chain.open(service.path("a"), OpenOptions::read());
    let room = chain.room(Buffer::from(b"abcdefgh"));
    chain.read(file, room.first(4u64), Offset::START);
    chain.silent();
    chain.finally().close(file);
    let mut done = ring.run(chain).unwrap();
    assert_eq!(done.take_room(room).unwrap().as_slice(), b"0123efgh");
    // A room is sent with zeros behind what it holds, whatever lay there before.
    let mut chain = Chain::new();
    let file = chain.open(service.path("b"), OpenOptions::write().create());
    let mut half = Vec::with_capacity(8);
    half.extend_from_slice(b"xy");
    let room = chain.room(half);
    chain.write(file, room, Offset::START);
    chain.finally().close(file);
    ring.run(chain).unwrap().check().unwrap();
    assert_eq!(std::fs::read(service.path("b")).unwrap(), b"xy\0\0\0\0\0\0");
}

#[test]
fn names_records_and_attributes_are_carried() {
    let service = Service::start();
    let mut ring = service.ring();
    let path = service.path("f");
    std::fs::write(&path, b"12345").unwrap();
    let stat = ring.stat(Directory::Working, &path, StatFlags::empty()).unwrap();
    assert_eq!(stat.size, 5);
    ring.rename(Directory::Working, &path, Directory::Working, service.path("g"), Default::default())
        .unwrap();
    assert!(service.path("g").exists() && !path.exists());
    std::os::unix::fs::symlink("to where", service.path("l")).unwrap();
    let mut chain = Chain::new();
    let link = chain.readlink(Directory::Working, service.path("l"), Buffer::with_capacity(100));
    let need = chain.readlink(Directory::Working, service.path("l"), Buffer::with_capacity(0));
    let mut done = ring.run(chain).unwrap();
    assert_eq!(done.get(link).unwrap(), 8);
    assert_eq!(done.take(link).unwrap().as_slice(), b"to where");
    assert_eq!(done.get(need).unwrap(), 8);
    let folder = ring.open(&service.folder, OpenOptions::directory()).unwrap();
    let mut chain = Chain::new();
    let listed = chain.readdir(folder, Buffer::with_capacity(4096));
    let done = ring.run(chain).unwrap();
    let mut names: Vec<_> = done.entries(listed).unwrap().map(|entry| entry.name.to_owned()).collect();
    names.sort();
    assert_eq!(names, [".", "..", "g", "l"]);
    ring.close(folder).unwrap();
    let mut chain = Chain::new();
    let missing =
        chain.getxattr(Directory::Working, service.path("g"), "user.none", vec![0; 8], XattrFlags::empty());
    let done = ring.run(chain).unwrap();
    let errno = done.get(missing).unwrap_err().errno();
    assert!(matches!(errno, Some(Errno::ENODATA | Errno::EOPNOTSUPP)), "{errno:?}");
}

#[test]
fn messages_are_carried_with_all_their_parts() {
    let service = Service::start();
    let mut ring = service.ring();
    let file = ring.open(service.path("f"), OpenOptions::read_write().create()).unwrap();
    let near = ring.socket(1, 2, 0).unwrap();
    let far = ring.socket(1, 2, 0).unwrap();
    let address = ouzel::SocketAddress::unix(service.path("s")).unwrap();
    ring.bind(far, &address).unwrap();
    let mut chain = Chain::new();
    let message = Message::new(&b"one "[..]).piece(&b"two"[..]).to(address).with(file);
    let sent = chain.sendmsg(near, message, MessageFlags::empty());
    let rooms = [Buffer::with_capacity(3), Buffer::with_capacity(10)];
    let received = chain.recvmsg(far, rooms, 4, MessageFlags::empty());
    let mut done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(sent).unwrap(), 7);
    let told = done.get(received).unwrap();
    assert_eq!((told.bytes, told.descriptors.len()), (7, 1));
    assert_eq!(done.take_piece(received, 0).unwrap().as_slice(), b"one");
    assert_eq!(done.take_piece(received, 1).unwrap().as_slice(), b" two");
    assert_eq!(ring.write(told.descriptors[0], &b"through"[..], Offset::START).unwrap(), 7);
    assert_eq!(std::fs::read(service.path("f")).unwrap(), b"through");
}

#[test]
fn a_service_that_is_not_trusted_sees_copies() {
    let service = Service::start();
    let mut ring = Ring::connect(&service.name).unwrap();
    let file = ring.open(service.path("a"), OpenOptions::read_write().create()).unwrap();
    let mut buffer = ring.buffer(5000).unwrap();
    let seen = buffer.as_ptr();
    buffer.extend_from_slice(&[3; 5000]);
    assert_eq!(ring.write(file, buffer, Offset::START).unwrap(), 5000);
    let buffer = ring.buffer(5000).unwrap();
    let buffer = ring.read(file, buffer, Offset::START).unwrap();
    assert_eq!(buffer.as_slice(), &[3; 5000]);
    assert_eq!(ring.pool().unwrap().statistics().in_use, 1, "the buffer, and nothing that was carried");
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let shared = maps.lines().filter(|line| line.contains("ouzel-pool")).any(|line| {
        let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let range = usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
        range.contains(&(seen as usize)) || range.contains(&(buffer.as_ptr() as usize))
    });
    assert!(!shared, "the service cannot see the buffers themselves");
}

#[test]
fn many_chains_at_once_go_through_a_small_queue() {
    let service = Service::start();
    let mut ring = Ring::builder().entries(8).completions(16).connect(&service.name).unwrap();
    std::fs::write(service.path("a"), b"0123456789").unwrap();
    let mut tickets = Vec::new();
    for number in 0..200u64 {
        let mut chain = Chain::new();
        let file = chain.open(service.path("a"), OpenOptions::read());
        let read = chain.read(file, Buffer::with_capacity(2), Offset::at(number % 9));
        chain.finally().close(file);
        tickets.push((ring.submit(chain).unwrap(), read, number % 9));
    }
    for (ticket, read, at) in tickets {
        let mut done = ring.wait(ticket).unwrap();
        done.check().unwrap();
        let at = at as usize;
        assert_eq!(done.take(read).unwrap().as_slice(), &b"0123456789"[at..at + 2]);
    }
    assert_eq!(ring.pool().unwrap().statistics().in_use, 0);
}

#[test]
fn a_chain_is_cancelled() {
    let service = Service::start();
    let mut ring = service.ring();
    let mut chain = Chain::new();
    let (reader, writer) = chain.pipe();
    let read = chain.read(reader, Buffer::with_capacity(8), Offset::CURRENT);
    chain.finally().close(reader);
    chain.finally().close(writer);
    let ticket = ring.submit(chain).unwrap();
    while !ring.cancel(ticket).unwrap() {
        std::thread::yield_now();
    }
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.get(read).unwrap_err().errno(), Some(Errno::ECANCELED));
    assert_eq!(ring.pool().unwrap().statistics().in_use, 0);
}

#[test]
fn what_a_service_cannot_do_is_refused() {
    let service = Service::start();
    let mut ring = service.ring();
    let refused = |error: Error| assert_eq!(error.errno(), Some(Errno::EOPNOTSUPP), "{error}");
    refused(ring.bell().unwrap_err());
    refused(ring.adopt(std::fs::File::open("/dev/null").unwrap()).unwrap_err());
    refused(ring.group(2, 64).unwrap_err());
    refused(ring.explain(Chain::new()).unwrap_err());
    refused(ring.futex_wait(&Default::default(), 1).unwrap_err());
    let pool = Pool::builder().build().unwrap();
    refused(ring.register_pool(&pool).unwrap_err());
    assert!(!ring.trace(true));
    assert!(!ring.trace(false), "nothing is recorded");
    // SAFETY: the service is of this program, and touches what operations name.
    let heap = unsafe { Ring::builder().pool(&pool).connect_trusting(&service.name) }.unwrap_err();
    assert_eq!(heap.errno(), Some(Errno::EINVAL), "memory that cannot be shared");
    let scheme = RingBuilder::new().backend(BackendKind::Scheme).build().unwrap_err();
    assert!(scheme.to_string().contains("connect"), "{scheme}");
    assert!(matches!(Ring::connect("a/b:").unwrap_err(), Error::Name(_)));
    assert!(matches!(Ring::connect("nobody-serves-this:").unwrap_err(), Error::Scheme(_)));
}

#[test]
fn a_pool_of_the_callers_is_used_and_its_regions_are_taken_back() {
    let service = Service::start();
    let pool = Pool::builder().memory(Memory::Shared).region_size(1 << 16).spare_regions(0).build().unwrap();
    // SAFETY: the service is of this program, and touches what operations name.
    let mut ring = unsafe { Ring::builder().pool(&pool).connect_trusting(&service.name) }.unwrap();
    let file = ring.open(service.path("a"), OpenOptions::read_write().create()).unwrap();
    // More regions in turn than a client may share at once.
    for round in 0..100u8 {
        let data = Buffer::from_pool(&pool, 1 << 16).unwrap();
        let mut slice = data.into_slice().unwrap();
        slice.fill(round);
        assert_eq!(ring.write(file, Buffer::from(slice), Offset::START).unwrap(), 1 << 16);
        assert!(pool.shrink(0) <= 2);
    }
    assert_eq!(std::fs::read(service.path("a")).unwrap(), vec![99; 1 << 16]);
    let large = Buffer::from(vec![1; (1 << 16) + 1]);
    assert!(matches!(ring.write(file, large, Offset::START).unwrap_err(), Error::Pool(_)));
}

#[test]
fn when_the_service_goes_everything_ends_and_says_so() {
    let mut service = Service::start();
    let mut ring = service.ring();
    let mut chain = Chain::new();
    let (reader, _writer) = chain.pipe();
    let read = chain.read(reader, Buffer::with_capacity(8), Offset::CURRENT);
    let ticket = ring.submit(chain).unwrap();
    let mut chain = Chain::new();
    let slept = chain.sleep(Duration::from_secs(1000));
    let other = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.stop();
    let done = ring.wait(ticket).unwrap();
    let errno = done.get(read).unwrap_err().errno();
    assert!(matches!(errno, Some(Errno::ECONNRESET | Errno::ECANCELED)), "{errno:?}");
    assert!(ring.wait(other).unwrap().get(slept).is_err());
    // Whoever waits notices that nobody is there any more.
    let rejected = (0..10).find_map(|_| {
        let mut chain = Chain::new();
        let slept = chain.sleep(Duration::from_millis(1));
        match ring.submit(chain) {
            Ok(ticket) => {
                let error = ring.wait(ticket).unwrap().get(slept).unwrap_err();
                assert_eq!(error.errno(), Some(Errno::ECONNRESET));
                None
            }
            Err(rejected) => Some(rejected),
        }
    });
    let rejected = rejected.expect("a ring that is over");
    assert!(matches!(rejected.error, Error::ServiceGone { .. }), "{}", rejected.error);
    assert!(rejected.error.to_string().contains("connect again"), "{}", rejected.error);
    assert_eq!(rejected.error.errno(), Some(Errno::ECONNRESET));
    assert_eq!(rejected.chain.len(), 1, "it comes back");
}

#[test]
fn futures_run_on_a_connected_ring() {
    let service = Service::start();
    let path = service.path("a");
    let mut executor = Executor::builder().build_on(service.ring()).unwrap();
    let handle = executor.handle();
    let text = executor
        .block_on(async move {
            let file = handle.open(&path, OpenOptions::read_write().create()).await?;
            handle.write(file, &b"from a future"[..], Offset::START).await?;
            let mut chain = Chain::new();
            let read = chain.read(file, Buffer::with_capacity(64), Offset::START);
            chain.finally().close(file);
            let mut done = handle.run(chain).await?;
            Ok::<_, Error>(done.take(read).unwrap_or_default())
        })
        .unwrap()
        .unwrap();
    assert_eq!(text.as_slice(), b"from a future");
}

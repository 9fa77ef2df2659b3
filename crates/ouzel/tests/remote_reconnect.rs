//! Connected rings whose service goes and comes back: a new epoch, and chains that are issued again.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod service;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::task::Executor;
use ouzel::{Buffer, Chain, Done, Error, Offset, OpenOptions, Reg, Ring, RingBuilder};
use rustix::thread::ClockId;
use service::Process;

const LONG: Duration = Duration::from_secs(30);

/// The service of the others, in a process of its own: see `service::Process`.
#[test]
fn a_service_alone() {
    service::alone();
}

fn returning(service: &Process) -> Ring {
    RingBuilder::new().reconnect_within(LONG).connect(&service.name).unwrap()
}

/// Waits, then reads a file: most of the time it has begun and not ended.
fn slow_read(service: &Process, pause: Duration) -> (Chain, Reg<usize>) {
    let mut chain = Chain::new();
    let file = chain.open(service.path("a"), OpenOptions::read());
    chain.sleep(pause);
    let read = chain.read(file, Buffer::with_capacity(100), Offset::START);
    chain.finally().close(file);
    (chain, read)
}

/// What a chain has ended with, if it has failed.
fn errno(done: &Done) -> Option<Errno> {
    done.error().map(|error| error.errno)
}

#[test]
fn a_ring_is_connected_again_and_descriptors_of_before_are_refused() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    std::fs::write(service.path("b"), b"other").unwrap();
    let mut ring = Ring::connect(&service.name).unwrap();
    let descriptor = ring.descriptor().unwrap().unwrap();
    assert_eq!(ring.reconnect().unwrap_err().errno(), Some(Errno::EISCONN));
    let old = ring.open(service.path("a"), OpenOptions::read()).unwrap();
    let (chain, read) = slow_read(&service, Duration::from_secs(1000));
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.kill();
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.get(read).unwrap_err().errno(), Some(Errno::ECONNRESET));
    assert!(matches!(ring.flush().unwrap_err(), Error::ServiceGone { .. }));
    assert!(matches!(ring.reconnect().unwrap_err(), Error::Scheme(_)), "nobody serves it");
    let mut epochs = Vec::new();
    let mut olds = vec![old];
    for _ in 0..3 {
        service.serve();
        epochs.push(ring.reconnect().unwrap().epoch);
        // As many as there were before get the same places in the table, and none of the names.
        let new = ring.open(service.path("b"), OpenOptions::read()).unwrap();
        for old in &olds {
            assert_ne!(new, *old);
            let refused = ring.read(*old, Buffer::with_capacity(5), Offset::START).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::EBADF));
            assert_eq!(ring.close(*old).unwrap_err().errno(), Some(Errno::EBADF));
        }
        assert_eq!(ring.read(new, Buffer::with_capacity(5), Offset::START).unwrap().as_slice(), b"other");
        olds.push(new);
        service.kill();
        while ring.flush().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 3, "each life of the service is another epoch");
    // The descriptor by which it is watched is the same, and tells of the new service.
    service.serve();
    ring.reconnect().unwrap();
    ring.flush().unwrap();
    let mut chain = Chain::new();
    chain.sleep(Duration::from_millis(20));
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    let mut ends = [rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec::try_from(LONG).unwrap();
    assert_eq!(rustix::event::poll(&mut ends, Some(&limit)).unwrap(), 1);
    ring.wait(ticket).unwrap().check().unwrap();
    let mut here = Ring::new().unwrap();
    assert_eq!(here.reconnect().unwrap_err().errno(), Some(Errno::EOPNOTSUPP));
}

#[test]
fn what_is_idempotent_is_issued_again_and_nothing_else() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    let mut ring = returning(&service);
    let outside = ring.open(service.path("a"), OpenOptions::read()).unwrap();
    let (mut chain, again) = slow_read(&service, Duration::from_millis(300));
    chain.idempotent();
    let idempotent = ring.submit(chain).unwrap();
    let (chain, _) = slow_read(&service, Duration::from_millis(300));
    let other = ring.submit(chain).unwrap();
    let mut chain = Chain::new();
    chain.sleep(Duration::from_millis(300));
    chain.read(outside, Buffer::with_capacity(5), Offset::START);
    chain.idempotent();
    let bound = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    service.kill();
    std::fs::write(service.path("a"), b"second").unwrap();
    assert_eq!(errno(&ring.wait(other).unwrap()), Some(Errno::ECONNRESET));
    assert_eq!(errno(&ring.wait(bound).unwrap()), Some(Errno::ECONNRESET), "a descriptor of before");
    // What is submitted meanwhile has not begun, and waits.
    let (chain, late) = slow_read(&service, Duration::from_millis(1));
    let meanwhile = ring.submit(chain).unwrap();
    let serving = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        service.serve();
        service
    });
    let mut done = ring.wait(idempotent).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(again).unwrap(), 6);
    assert_eq!(done.take(again).unwrap().as_slice(), b"second");
    assert_eq!(ring.wait(meanwhile).unwrap().take(late).unwrap().as_slice(), b"second");
    assert!(ring.wait(idempotent).is_err(), "once");
    assert_eq!(ring.in_flight(), 0);
    drop(serving.join().unwrap());
}

#[test]
fn a_service_that_gives_up_what_is_in_flight_as_it_ends_is_one_that_goes() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    let mut ring = returning(&service);
    let (mut chain, read) = slow_read(&service, Duration::from_millis(300));
    chain.idempotent();
    let idempotent = ring.submit(chain).unwrap();
    let (chain, _) = slow_read(&service, Duration::from_millis(300));
    let other = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.stop();
    std::fs::write(service.path("a"), b"second").unwrap();
    let given_up = errno(&ring.wait(other).unwrap());
    assert!(matches!(given_up, Some(Errno::ECANCELED | Errno::ECONNRESET)), "{given_up:?}");
    service.serve();
    let mut done = ring.wait(idempotent).unwrap();
    assert_eq!(done.take(read).unwrap().as_slice(), b"second");
    // Cancelled by its submitter it does not run again, whatever becomes of the service.
    let (mut chain, _) = slow_read(&service, Duration::from_secs(1000));
    chain.idempotent();
    let cancelled = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    assert!(ring.cancel(cancelled).unwrap());
    service.stop();
    let given_up = errno(&ring.wait(cancelled).unwrap());
    assert!(matches!(given_up, Some(Errno::ECANCELED | Errno::ECONNRESET)), "{given_up:?}");
}

#[test]
fn memory_is_as_it_was_when_a_chain_runs_again() {
    let mut service = Process::start();
    std::fs::write(service.path("from"), b"0123").unwrap();
    let mut own = returning(&service);
    // SAFETY: the service is of this program, and touches what operations name.
    let mut trusting =
        unsafe { RingBuilder::new().reconnect_within(LONG).connect_trusting(&service.name) }.unwrap();
    for (ring, is_own) in [(&mut own, false), (&mut trusting, true)] {
        let mut chain = Chain::new();
        let to = chain.open(service.path("to"), OpenOptions::write().create().truncate());
        let from = chain.open(service.path("from"), OpenOptions::read());
        let buffer = if is_own {
            let mut buffer = ring.buffer(8).unwrap();
            buffer.extend_from_slice(b"abcdefgh");
            buffer
        } else {
            Buffer::from(b"abcdefgh")
        };
        let room = chain.room(buffer);
        // First the room is written as it came, then it is changed.
        chain.write(to, room, Offset::START);
        chain.read(from, room.first(4u64), Offset::START);
        chain.silent();
        chain.sleep(Duration::from_millis(200));
        chain.write(to, room, Offset::at(8u64));
        chain.silent();
        chain.finally().close(from);
        chain.finally().close(to);
        chain.idempotent();
        let ticket = ring.submit(chain).unwrap();
        let begun = Instant::now();
        while std::fs::read(service.path("to")).unwrap_or_default().is_empty() {
            assert!(begun.elapsed() < LONG);
            ring.flush().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
        ring.flush().unwrap();
        service.kill();
        std::fs::remove_file(service.path("to")).unwrap();
        service.serve();
        let mut done = ring.wait(ticket).unwrap();
        done.check().unwrap();
        assert_eq!(std::fs::read(service.path("to")).unwrap(), b"abcdefgh0123efgh");
        assert_eq!(done.take_room(room).unwrap().as_slice(), b"0123efgh");
        std::fs::remove_file(service.path("to")).unwrap();
    }
}

#[test]
fn after_its_time_everything_ends_and_until_then_nobody_is_busy() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    let within = Duration::from_millis(400);
    let mut ring = RingBuilder::new().reconnect_within(within).connect(&service.name).unwrap();
    let (mut chain, read) = slow_read(&service, Duration::from_secs(1000));
    chain.idempotent();
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.kill();
    let used = || {
        let time = rustix::time::clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let (begun, before) = (Instant::now(), used());
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.get(read).unwrap_err().errno(), Some(Errno::ECONNRESET));
    assert!(begun.elapsed() >= within, "{:?}", begun.elapsed());
    assert!(used() - before < within / 4, "{:?} of work", used() - before);
    let (chain, _) = slow_read(&service, Duration::ZERO);
    let rejected = ring.submit(chain).unwrap_err();
    assert!(matches!(rejected.error, Error::ServiceGone { .. }), "{}", rejected.error);
    assert!(matches!(ring.flush().unwrap_err(), Error::ServiceGone { .. }));
    // By hand it comes back all the same.
    service.serve();
    ring.reconnect().unwrap();
    let (chain, read) = slow_read(&service, Duration::ZERO);
    assert_eq!(ring.run(chain).unwrap().get(read).unwrap(), 5);
}

#[test]
fn a_chain_that_waits_for_the_service_is_cancelled_at_once() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    let mut ring = returning(&service);
    let (mut chain, read) = slow_read(&service, Duration::from_secs(1000));
    chain.idempotent();
    let ticket = ring.submit(chain).unwrap();
    let (chain, _) = slow_read(&service, Duration::from_secs(1000));
    let other = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.kill();
    assert_eq!(errno(&ring.wait(other).unwrap()), Some(Errno::ECONNRESET));
    assert!(ring.cancel(ticket).unwrap());
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.get(read).unwrap_err().errno(), Some(Errno::ECANCELED));
}

#[test]
fn futures_of_idempotent_chains_take_longer() {
    let mut service = Process::start();
    std::fs::write(service.path("a"), b"first").unwrap();
    let mut executor = Executor::builder().build_on(returning(&service)).unwrap();
    let handle = executor.handle();
    let (mut chain, read) = slow_read(&service, Duration::from_millis(200));
    chain.idempotent();
    let (other, _) = slow_read(&service, Duration::from_millis(200));
    let serving = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        service.kill();
        std::fs::write(service.path("a"), b"second").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        service.serve();
        service
    });
    let other = executor.spawn({
        let handle = executor.handle();
        async move { handle.run(other).await.unwrap() }
    });
    let mut done = executor.block_on(async { handle.run(chain).await.unwrap() }).unwrap();
    assert_eq!(done.take(read).unwrap().as_slice(), b"second");
    let other = executor.block_on(other).unwrap().unwrap();
    assert_eq!(errno(&other), Some(Errno::ECONNRESET));
    drop(serving.join().unwrap());
}

#[test]
fn two_hundred_kills_and_every_byte_is_right() {
    let mut service = Process::start();
    let content: Vec<u8> = (0..50_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(service.path("a"), &content).unwrap();
    let path = service.path("a");
    let mut ring = returning(&service);
    let (over, kills) = (AtomicBool::new(false), AtomicU32::new(0));
    let reads = std::thread::scope(|scope| {
        scope.spawn(|| {
            for kill in 0..200u64 {
                std::thread::sleep(Duration::from_micros(kill * 7919 % 5000));
                service.kill();
                service.serve();
                kills.fetch_add(1, Ordering::SeqCst);
            }
            over.store(true, Ordering::SeqCst);
        });
        let mut reads = 0u64;
        while !over.load(Ordering::SeqCst) {
            let mut tickets = Vec::new();
            for at in 0..8u64 {
                let at = (reads + at) * 641 % 40_000;
                let mut chain = Chain::new();
                let file = chain.open(&path, OpenOptions::read());
                let read = chain.read(file, Buffer::with_capacity(4096), Offset::at(at));
                chain.finally().close(file);
                chain.idempotent();
                tickets.push((ring.submit(chain).unwrap(), read, at as usize));
            }
            for (ticket, read, at) in tickets {
                let mut done = ring.wait(ticket).unwrap();
                done.check().unwrap();
                assert!(done.take(read).unwrap().as_slice() == &content[at..at + 4096], "at {at}");
                reads += 1;
            }
        }
        reads
    });
    assert_eq!(kills.load(Ordering::SeqCst), 200);
    assert!(reads > 0);
    println!("{reads} reads through {} services", kills.load(Ordering::SeqCst));
    assert_eq!(ring.in_flight(), 0);
}

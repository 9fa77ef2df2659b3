//! Connected rings in event loops: the descriptor that a service makes readable, and one place to sleep.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod service;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::PollEvents;
use ouzel::task::Executor;
use ouzel::{BackendKind, Buffer, Chain, Done, Error, Offset, OpenOptions, Ring, RingBuilder, Ticket};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use service::Service;

const LONG: Duration = Duration::from_secs(20);

/// Whether it is readable within this time.
fn is_readable(descriptor: &OwnedFd, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&limit)).unwrap() > 0
}

/// A step that ends after a while.
fn pause(time: Duration) -> Chain {
    let mut chain = Chain::new();
    chain.sleep(time);
    chain
}

/// Everything that has ended, until a flush brings nothing more.
fn drain(ring: &mut Ring) -> Vec<(Ticket, Done)> {
    let mut all = Vec::new();
    loop {
        ring.flush().unwrap();
        let before = all.len();
        all.extend(std::iter::from_fn(|| ring.next_ended()));
        if all.len() == before {
            return all;
        }
    }
}

/// Whether nothing is told of any more once the ring is entered. What was taken while it was being told of is told of once.
fn is_emptied(ring: &mut Ring, descriptor: &OwnedFd) -> bool {
    (0..2).any(|_| drain(ring).is_empty() && !is_readable(descriptor, Duration::from_millis(20)))
}

#[test]
fn it_is_readable_when_there_is_something_to_take() {
    let service = Service::start();
    let mut ring = service.ring();
    ring.run(pause(Duration::from_millis(1))).unwrap();
    let descriptor = ring.descriptor().unwrap().expect("a service gives one");
    assert!(is_readable(&descriptor, Duration::ZERO), "at first");
    assert!(is_emptied(&mut ring, &descriptor), "a ring that is entered empties it");
    assert_eq!(ring.patience(), None);
    for _ in 0..20 {
        let ticket = ring.submit(pause(Duration::from_millis(5))).unwrap();
        assert!(drain(&mut ring).is_empty());
        assert!(is_readable(&descriptor, LONG), "it is told of");
        let ended = drain(&mut ring);
        assert_eq!(ended.iter().map(|(ended, _)| *ended).collect::<Vec<_>>(), [ticket]);
        assert!(is_emptied(&mut ring, &descriptor));
    }
    let again = ring.descriptor().unwrap().unwrap();
    assert!(is_readable(&again, Duration::ZERO), "each time that it is asked for");
    assert!(is_emptied(&mut ring, &again));
    // Waits of the ring itself are as before.
    assert!(ring.run(pause(Duration::from_millis(5))).unwrap().check().is_ok());
}

#[test]
fn who_waits_for_edges_is_told_of_each() {
    let service = Service::start();
    let mut ring = service.ring();
    let descriptor = ring.descriptor().unwrap().unwrap();
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
    epoll::add(&events, &descriptor, epoll::EventData::new_u64(7), flags).unwrap();
    let mut found = Vec::with_capacity(4);
    let mut wait = |limit: Duration| {
        found.clear();
        let limit = Timespec::try_from(limit).unwrap();
        epoll::wait(&events, rustix::buffer::spare_capacity(&mut found), Some(&limit)).unwrap()
    };
    assert_eq!(wait(LONG), 1, "the first comes at once");
    let mut ended = drain(&mut ring).len();
    for number in 0..200u64 {
        ring.submit(pause(Duration::from_micros(number % 50 * 10))).unwrap();
        if number % 4 == 3 {
            let until = Instant::now() + LONG;
            ended += drain(&mut ring).len();
            while ended <= number as usize {
                assert!(wait(LONG) > 0 && Instant::now() < until, "{ended} of {number}");
                ended += drain(&mut ring).len();
            }
        }
    }
}

#[test]
fn when_the_service_goes_it_is_readable_for_good() {
    let mut service = Service::start();
    let mut ring = service.ring();
    let descriptor = ring.descriptor().unwrap().unwrap();
    ring.submit(pause(Duration::from_secs(1000))).unwrap();
    assert!(drain(&mut ring).is_empty());
    service.stop();
    assert!(is_readable(&descriptor, LONG));
    // First what was in flight ends, then there is nothing any more.
    let until = Instant::now() + LONG;
    let mut ended = 0;
    let error = loop {
        assert!(Instant::now() < until);
        assert!(is_readable(&descriptor, LONG), "nobody has to look by itself");
        if let Err(error) = ring.flush() {
            break error;
        }
        ended += std::iter::from_fn(|| ring.next_ended()).count();
    };
    assert_eq!(ended, 1);
    assert!(matches!(error, Error::ServiceGone { .. }), "{error}");
}

#[test]
fn an_executor_sleeps_until_the_service_tells_it() {
    let service = Service::start();
    let mut executor = Executor::builder().build_on(service.ring()).unwrap();
    let handle = executor.handle();
    executor.block_on(async { handle.run(pause(Duration::from_millis(300))).await }).unwrap().unwrap();
    let turns = handle.metrics().turns;
    assert!(turns < 30, "{turns} turns for one wait");
    // With nothing in the ring it waits for its bell alone.
    let slot = Arc::new(Mutex::new((None::<Waker>, false)));
    let other = Arc::clone(&slot);
    let waker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        let mut slot = other.lock().unwrap();
        slot.1 = true;
        slot.0.take().unwrap().wake();
    });
    let woken = std::future::poll_fn(|context| {
        let mut slot = slot.lock().unwrap();
        slot.0 = Some(context.waker().clone());
        if slot.1 { Poll::Ready(()) } else { Poll::Pending }
    });
    executor.block_on(woken).unwrap();
    waker.join().unwrap();
    let more = handle.metrics().turns - turns;
    assert!(more < 30, "{more} turns for one bell");
    // A timer of its own ends it as well.
    executor.block_on(handle.sleep(Duration::from_millis(20))).unwrap();
}

#[test]
fn many_reads_through_an_executor() {
    let service = Service::start();
    let path = service.path("a");
    std::fs::write(&path, b"0123456789").unwrap();
    let mut executor = Executor::builder().build_on(service.ring()).unwrap();
    let handle = executor.handle();
    let spare = executor.handle();
    let read = async move |at: u64| {
        let mut chain = Chain::new();
        let file = chain.open(&path, OpenOptions::read());
        let read = chain.read(file, Buffer::with_capacity(1), Offset::at(at));
        chain.finally().close(file);
        let mut done = handle.run(chain).await.unwrap();
        done.take(read).unwrap().as_slice().to_vec()
    };
    let texts = executor
        .block_on(async {
            let mut texts = Vec::new();
            for at in 0..500u64 {
                texts.push(read(at % 10).await);
                if at % 50 == 0 {
                    spare.sleep(Duration::from_millis(1)).await;
                }
            }
            texts
        })
        .unwrap();
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(text, &b"0123456789"[at % 10..=at % 10]);
    }
}

#[test]
#[cfg(feature = "tokio")]
fn an_executor_of_a_connected_ring_runs_in_tokio() {
    let service = Service::start();
    let path = service.path("a");
    let mut executor = Executor::builder().build_on(service.ring()).unwrap();
    let handle = executor.handle();
    let remote = executor.remote();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let text = runtime.block_on(async {
        let other = runtime.spawn(async move {
            // From another thread of the runtime: the bell is heard beside the ring.
            tokio::time::sleep(Duration::from_millis(50)).await;
            remote
                .spawn(|handle| async move { handle.run(pause(Duration::from_millis(5))).await.is_ok() })
                .await
        });
        let run = executor.run_in_tokio(async {
            let file = handle.open(&path, OpenOptions::read_write().create()).await?;
            for _ in 0..100 {
                handle.write(file, &b"in tokio"[..], Offset::START).await?;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(other.await.unwrap().unwrap());
            let read = handle.read(file, Buffer::with_capacity(64), Offset::START).await?;
            handle.close(file).await?;
            Ok::<_, Error>(read)
        });
        tokio::time::timeout(LONG, run).await.expect("it hangs").unwrap().unwrap()
    });
    assert_eq!(text.as_slice(), b"in tokio");
    let metrics = executor.handle().metrics();
    assert!(metrics.turns < 2000, "{metrics:?}");
}

#[test]
#[cfg(feature = "mio")]
fn a_connected_ring_is_a_source_of_mio() {
    use mio::{Events, Interest, Token};

    let service = Service::start();
    let mut ring = service.ring();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    poll.registry().register(&mut ring, Token(3), Interest::READABLE).unwrap();
    poll.poll(&mut events, Some(LONG)).unwrap();
    assert_eq!(events.iter().map(|event| event.token()).collect::<Vec<_>>(), [Token(3)], "the first at once");
    assert!(drain(&mut ring).is_empty());
    for _ in 0..20 {
        ring.submit(pause(Duration::from_millis(3))).unwrap();
        let mut ended = drain(&mut ring).len();
        while ended == 0 {
            poll.poll(&mut events, Some(LONG)).unwrap();
            assert!(!events.is_empty(), "nobody told of it");
            ended += drain(&mut ring).len();
        }
        assert_eq!(ended, 1);
    }
    poll.registry().deregister(&mut ring).unwrap();
}

#[test]
fn a_ring_of_this_process_watches_one_of_a_service() {
    let service = Service::start();
    for kind in [BackendKind::Uring, BackendKind::Threads] {
        let Ok(mut primary) = RingBuilder::new().backend(kind).build() else { continue };
        let mut secondary = service.ring();
        let descriptor = secondary.descriptor().unwrap().unwrap();
        let watched = primary.adopt(descriptor).unwrap();
        assert!(drain(&mut secondary).is_empty());
        for round in 0..20u64 {
            let asked = secondary.submit(pause(Duration::from_millis(round % 5))).unwrap();
            // Once it is asked for, the one place to sleep is the primary ring.
            let mut ended = drain(&mut secondary);
            while ended.is_empty() {
                let mut chain = Chain::new();
                let polled = chain.poll(watched, PollEvents::IN);
                let other = primary.submit(pause(Duration::from_secs(1000))).unwrap();
                let ticket = primary.submit(chain).unwrap();
                let (first, done) = primary.wait_any().unwrap().unwrap();
                assert_eq!(first, ticket, "{kind:?}: it sleeps for both");
                assert_ne!(done.get(polled).unwrap() & PollEvents::IN.bits(), 0);
                assert!(primary.cancel(other).unwrap());
                primary.wait(other).unwrap();
                ended = drain(&mut secondary);
            }
            assert_eq!(ended[0].0, asked);
        }
    }
}

#[test]
fn the_example_sleeps_in_one_place() {
    let service = Service::start();
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples/one_place");
    if !example.exists() {
        println!("SKIPPED: the example is not built: cargo build --example one_place");
        return;
    }
    let schemes = service.folder.join("schemes");
    let mut child = Command::new(example)
        .env("OUZEL_SCHEMES", schemes)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["the kernel's ring: 6 bytes", "the service's ring: a sleep is over"]);
}

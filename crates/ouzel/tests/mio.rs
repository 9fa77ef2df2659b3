//! Rings and executors as sources of a real `mio::Poll`.
#![cfg(feature = "mio")]
#![allow(clippy::unwrap_used)]

mod task_support;

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use ouzel::abi::modifiers::MessageFlags;
use ouzel::task::{Executor, Waiting};
use ouzel::{BackendKind, Buffer, Chain, Done, Error, Ring, Ticket};
use task_support::*;

const NONE: MessageFlags = MessageFlags::empty();

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

/// The kernel's ring may interrupt a poll, to do its work on this thread: there may be something to take then.
fn wait(poll: &mut Poll, events: &mut Events, time: Option<Duration>) -> std::io::Result<()> {
    match poll.poll(events, time) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        polled => polled,
    }
}

fn watchable(test: fn(BackendKind)) {
    for kind in backends().into_iter().filter(|kind| *kind != BackendKind::Sim) {
        bounded(kind.name(), move || test(kind));
    }
}

#[test]
fn a_ring_tells_of_each_completion() {
    watchable(|kind| {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut ring = builder(kind).watched().build().unwrap();
        poll.registry().register(&mut ring, Token(7), Interest::READABLE).unwrap();
        wait(&mut poll, &mut events, Some(Duration::from_secs(10))).unwrap();
        assert_eq!(
            events.iter().map(|event| event.token()).collect::<Vec<_>>(),
            [Token(7)],
            "the first comes at once"
        );
        assert!(drain(&mut ring).is_empty());

        let (mut near, far) = UnixStream::pair().unwrap();
        let far = ring.adopt(far).unwrap();
        for round in 0..20u8 {
            let mut chain = Chain::new();
            let text = chain.recv(far, Buffer::with_capacity(8), NONE);
            ring.submit(chain).unwrap();
            assert!(drain(&mut ring).is_empty(), "there is nothing to receive");
            // What was left of earlier edges is taken.
            wait(&mut poll, &mut events, Some(Duration::ZERO)).unwrap();
            near.write_all(&[round; 3]).unwrap();
            let begun = Instant::now();
            let mut ended = Vec::new();
            while ended.is_empty() {
                wait(&mut poll, &mut events, Some(Duration::from_secs(10))).unwrap();
                assert!(begun.elapsed() < Duration::from_secs(9), "round {round}: no event");
                ended = drain(&mut ring);
            }
            assert_eq!(ended[0].1.take(text).as_deref(), Some(&[round; 3][..]));
        }
        poll.registry().reregister(&mut ring, Token(8), Interest::READABLE).unwrap();
        poll.registry().deregister(&mut ring).unwrap();
        wait(&mut poll, &mut events, Some(Duration::ZERO)).unwrap();
        let mut chain = Chain::new();
        chain.recv(far, Buffer::with_capacity(8), NONE);
        ring.submit(chain).unwrap();
        ring.flush().unwrap();
        near.write_all(b"x").unwrap();
        wait(&mut poll, &mut events, Some(Duration::from_millis(50))).unwrap();
        assert!(events.is_empty(), "it is not watched any more");
        ring.wait_all().unwrap();
    });
}

#[test]
fn patience_ends_with_the_next_timeout() {
    watchable(|kind| {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut ring = builder(kind).watched().build().unwrap();
        poll.registry().register(&mut ring, Token(0), Interest::READABLE).unwrap();
        assert_eq!(ring.patience(), None, "nothing is in flight");
        let mut chain = Chain::new();
        chain.sleep(Duration::from_millis(20));
        ring.submit(chain).unwrap();
        let mut ended = drain(&mut ring);
        while ended.is_empty() {
            let patience = ring.patience().expect("a sleep ends");
            assert!(patience <= Duration::from_millis(20));
            wait(&mut poll, &mut events, Some(patience)).unwrap();
            ended = drain(&mut ring);
        }
        ended[0].1.check().unwrap();
    });
}

#[test]
fn what_cannot_be_watched_says_so() {
    for kind in backends() {
        let poll = Poll::new().unwrap();
        let mut ring = builder(kind).build().unwrap();
        let registered = poll.registry().register(&mut ring, Token(0), Interest::READABLE);
        match kind {
            BackendKind::Threads => registered.unwrap(),
            _ => assert_eq!(registered.unwrap_err().kind(), ErrorKind::Unsupported),
        }
        let mut ring = builder(kind).watched().build().unwrap();
        let unknown = poll.registry().deregister(&mut ring).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Unsupported, "it was never registered");
    }
}

#[test]
fn an_executor_takes_turns_in_a_loop_of_mio_s() {
    watchable(|kind| {
        let mut poll = Poll::new().unwrap();
        let mut events = Events::with_capacity(8);
        let mut executor = Executor::builder().ring(builder(kind).watched()).build().unwrap();
        poll.registry().register(&mut executor, Token(1), Interest::READABLE).unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let handle = executor.handle();
        let far = handle.adopt(far).unwrap();
        let task = executor.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..3 {
                all.extend_from_slice(&handle.recv(far, Buffer::with_capacity(8), NONE).await?);
            }
            Ok::<_, Error>(all)
        });
        let sender = std::thread::spawn(move || {
            for _ in 0..3 {
                std::thread::sleep(Duration::from_millis(5));
                near.write_all(b"ab").unwrap();
            }
            near
        });
        while !task.is_finished() {
            let time = match executor.turn(8).unwrap() {
                Waiting::Not => continue,
                Waiting::AtMost(time) => time.min(Duration::from_secs(10)),
                Waiting::ForEvent => Duration::from_secs(10),
            };
            if !task.is_finished() {
                let begun = Instant::now();
                wait(&mut poll, &mut events, Some(time)).unwrap();
                assert!(begun.elapsed() < Duration::from_secs(9), "no event");
            }
        }
        drop(sender.join().unwrap());
        assert_eq!(executor.block_on(task).unwrap().unwrap().unwrap(), b"ababab");
        poll.registry().deregister(&mut executor).unwrap();
    });
}

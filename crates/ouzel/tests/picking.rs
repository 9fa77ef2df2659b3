//! RECV into buffers that the ring picks out of a group, on every backend: nothing is lost, no buffer is in two places, and every
//! one comes back.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ouzel::abi::modifiers::{MAX_GROUPS, MessageFlags, RECV_GROUP, ShutdownHow};
use ouzel::abi::{Descriptor, Entry, EntryFlags, Errno, Verb};
use ouzel::pool::Pool;
use ouzel::task::{Executor, Handle};
use ouzel::{
    BackendKind, Buffer, BufferGroup, Chain, Done, Error, MAX_GROUP_BUFFERS, Picked, Ring, SocketAddress,
};
use task_support::*;

const NONE: MessageFlags = MessageFlags::empty();

/// Bytes that tell where in a stream they are from.
fn data(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at + seed) % 251) as u8 ^ (at / 251) as u8).collect()
}

/// Groups are not to be had on every kernel.
fn group(handle: &Handle, count: usize, size: usize) -> Option<BufferGroup> {
    match handle.group(count, size) {
        Err(Error::Refused { errno: Errno::EOPNOTSUPP, .. }) => {
            println!("SKIPPED: this kernel's io_uring has no groups of buffers (Linux 6.0)");
            None
        }
        made => Some(made.unwrap()),
    }
}

async fn send_all(handle: &Handle, socket: Descriptor, bytes: &[u8]) -> Result<(), Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (count, _) = handle.send(socket, rest, NONE).await?;
        rest = &rest[count..];
    }
    handle.shutdown(socket, ShutdownHow::Send).await
}

fn with_group(
    kind: BackendKind,
    count: usize,
    size: usize,
    test: impl AsyncFnOnce(&Handle, BufferGroup) -> Result<(), Error>,
) {
    let mut executor = executor(kind);
    let handle = executor.handle();
    let Some(group) = group(&handle, count, size) else { return };
    let kept = group.clone();
    executor.block_on(test(&handle, group)).unwrap().unwrap();
    assert_eq!(kept.idle(), kept.count(), "every buffer has come back");
    drop(executor);
    drop(kept);
    drop(handle);
}

#[test]
fn a_stream_brings_everything_in_order() {
    on_each(|kind| {
        with_group(kind, 8, 1000, async |handle, group| {
            let (near, far) = connected(handle).await?;
            let sent = data(1, 100_000);
            let sender = handle.spawn({
                let (handle, sent) = (handle.clone(), sent.clone());
                async move { send_all(&handle, near, &sent).await }
            });
            let mut stream = handle.recv_into(far, &group);
            let mut all = Vec::new();
            while let Some(picked) = stream.next().await {
                let picked = picked?;
                assert!((1..=1000).contains(&picked.len()));
                all.extend_from_slice(&picked);
            }
            assert!(all == sent, "{} of {} bytes", all.len(), sent.len());
            assert!(stream.next().await.is_none());
            sender.await.unwrap()
        });
    });
}

#[test]
fn a_stream_without_buffers_goes_on_when_some_come_back() {
    on_each(|kind| {
        with_group(kind, 2, 64, async |handle, group| {
            let (near, far) = connected(handle).await?;
            let sent = data(2, 5000);
            let mut stream = handle.recv_into(far, &group);
            let sender = handle.spawn({
                let (handle, sent) = (handle.clone(), sent.clone());
                async move { send_all(&handle, near, &sent).await }
            });
            let mut all = Vec::new();
            // Both are held until the stream can do nothing.
            let mut held = vec![stream.next().await.unwrap()?, stream.next().await.unwrap()?];
            assert_eq!(group.idle(), 0);
            let third = handle.timeout(Duration::from_millis(5), stream.next()).await;
            assert!(third.is_none(), "there is no buffer for it");
            loop {
                // One comes back at a time, the oldest first.
                all.extend_from_slice(&held.remove(0));
                match stream.next().await {
                    Some(picked) => held.push(picked?),
                    None => break,
                }
            }
            held.iter().for_each(|picked| all.extend_from_slice(picked));
            assert!(all == sent, "{} of {} bytes", all.len(), sent.len());
            sender.await.unwrap()
        });
    });
}

#[test]
fn a_buffer_given_back_elsewhere_wakes_the_stream() {
    on_each(|kind| {
        if kind == BackendKind::Sim {
            // Its time does not wait for other threads.
            return;
        }
        with_group(kind, 1, 64, async |handle, group| {
            let (near, far) = connected(handle).await?;
            let mut stream = handle.recv_into(far, &group);
            handle.send(near, &[1; 64], NONE).await?;
            handle.send(near, &[2; 64], NONE).await?;
            let first = stream.next().await.unwrap()?;
            let other = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                assert_eq!(&*first, &[1; 64]);
                drop(first);
            });
            assert_eq!(&*stream.next().await.unwrap()?, &[2; 64]);
            other.join().unwrap();
            Ok(())
        });
    });
}

#[test]
fn many_connections_share_few_buffers() {
    on_each(|kind| {
        with_group(kind, 3, 500, async |handle, group| {
            let mut tasks = Vec::new();
            for number in 0..12 {
                let (near, far) = connected(handle).await?;
                let (own, group) = (handle.clone(), group.clone());
                tasks.push(handle.spawn(async move {
                    let sent = data(number, 8000);
                    let sender = own.spawn({
                        let (own, sent) = (own.clone(), sent.clone());
                        async move { send_all(&own, near, &sent).await }
                    });
                    let (mut stream, mut all) = (own.recv_into(far, &group), Vec::new());
                    while let Some(picked) = stream.next().await {
                        let picked = picked?;
                        // Others have their turn while this one is held.
                        own.yield_now().await;
                        all.extend_from_slice(&picked);
                    }
                    assert!(all == sent, "{number}: {} bytes", all.len());
                    sender.await.unwrap()
                }));
            }
            for task in tasks {
                task.await.unwrap()?;
            }
            Ok(())
        });
    });
}

#[test]
fn what_comes_too_late_goes_to_the_hook() {
    on_each(|kind| {
        let late: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let hook = {
            let late = Rc::clone(&late);
            move |mut done: Done| {
                assert_eq!(done.bytes_read(), 10);
                late.borrow_mut().extend(done.picked().iter().map(|picked| picked.to_vec()));
                Some(done)
            }
        };
        let mut executor = Executor::builder().ring(builder(kind)).on_late(hook).build().unwrap();
        let handle = executor.handle();
        let Some(group) = group(&handle, 4, 64) else { return };
        executor
            .block_on(async {
                let (near, far) = connected(&handle).await?;
                let mut stream = handle.recv_into(far, &group);
                handle.send(near, "one", NONE).await?;
                assert_eq!(&*stream.next().await.unwrap()?, b"one");
                handle.send(near, "two and so", NONE).await?;
                // It is received, and nobody asks for it.
                until(&handle, "it has come", || group.idle() == 3).await;
                drop(stream);
                until(&handle, "the hook is called", || late.borrow().len() == 1).await;
                assert_eq!(late.borrow()[0], b"two and so");
                assert_eq!(group.idle(), 4, "what it has not kept has gone back");
                // A stream that was dropped has not ended the connection.
                handle.send(near, "three", NONE).await?;
                let picked = handle.recv_picked(far, &group).await?.unwrap();
                assert_eq!(&*picked, b"three");
                Ok::<_, Error>(())
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn what_was_picked_is_sent_back_as_it_is() {
    on_each(|kind| {
        with_group(kind, 4, 256, async |handle, group| {
            let (near, far) = connected(handle).await?;
            let echo = handle.spawn({
                let (handle, group) = (handle.clone(), group.clone());
                async move {
                    let mut stream = handle.recv_into(far, &group);
                    while let Some(picked) = stream.next().await {
                        let picked = picked?;
                        let place = picked.as_ptr().addr();
                        let mut buffer = Buffer::from(picked);
                        while !buffer.is_empty() {
                            let (sent, rest) = handle.send(far, buffer, NONE).await?;
                            assert_eq!(rest.as_ptr().addr(), place, "nothing was copied");
                            assert_eq!(sent, rest.len(), "it is little");
                            buffer = rest;
                            buffer.clear();
                        }
                        assert_eq!(buffer.capacity(), 256);
                    }
                    Ok::<_, Error>(())
                }
            });
            for round in 0..20 {
                let sent = data(round, 200);
                handle.send(near, &sent[..], NONE).await?;
                let mut back = Vec::new();
                while back.len() < sent.len() {
                    back.extend_from_slice(&handle.recv(near, Buffer::with_capacity(256), NONE).await?);
                }
                assert_eq!(back, sent);
            }
            handle.shutdown(near, ShutdownHow::Send).await?;
            echo.await.unwrap()
        });
    });
}

/// A buffer like others: it grows out of its group, and is cut.
#[test]
fn picked_buffers_are_like_others() {
    on_each(|kind| {
        with_group(kind, 1, 16, async |handle, group| {
            let (near, far) = connected(handle).await?;
            handle.send(near, "12345678", NONE).await?;
            let mut picked = handle.recv_picked(far, &group).await?.unwrap();
            picked[0] = b'0';
            let mut buffer = Buffer::from(picked);
            buffer.truncate(4);
            buffer.extend_from_slice(b"ab");
            assert_eq!((&*buffer, buffer.capacity(), group.idle()), (&b"0234ab"[..], 16, 0));
            assert!(buffer.guard().is_none() && buffer.clone() == buffer);
            buffer.as_mut_slice()[1] = b'x';
            buffer.extend_from_slice(&[b'c'; 11]);
            assert_eq!((buffer.len(), &buffer[..7], group.idle()), (17, &b"0x34abc"[..], 1));
            handle.send(near, "again", NONE).await?;
            let mut buffer = Buffer::from(handle.recv_picked(far, &group).await?.unwrap());
            buffer.clear();
            assert!(buffer.is_empty() && buffer.into_slice().is_err());
            // It can be read into, too.
            handle.send(near, "once", NONE).await?;
            let picked = handle.recv_picked(far, &group).await?.unwrap();
            handle.send(near, "more", NONE).await?;
            let buffer = handle.recv(far, Buffer::from(picked), NONE).await?;
            assert_eq!(&*buffer, b"more");
            assert_eq!(buffer.into_vec(), b"more");
            Ok(())
        });
    });
}

#[test]
fn without_room_for_completions_nothing_is_lost() {
    on_each(|kind| {
        let ring = builder(kind).entries(8).completions(8);
        let mut executor = Executor::builder().ring(ring).build().unwrap();
        let handle = executor.handle();
        let Some(group) = group(&handle, 64, 16) else { return };
        executor
            .block_on(async {
                let (near, far) = connected(&handle).await?;
                let sent = data(3, 4000);
                let mut stream = handle.recv_into(far, &group);
                let sender = handle.spawn({
                    let (handle, sent) = (handle.clone(), sent.clone());
                    async move { send_all(&handle, near, &sent).await }
                });
                let mut all = Vec::new();
                while let Some(picked) = stream.next().await {
                    all.extend_from_slice(&picked?);
                }
                assert!(all == sent, "{} of {} bytes", all.len(), sent.len());
                sender.await.unwrap()
            })
            .unwrap()
            .unwrap();
        assert_eq!(group.idle(), 64);
    });
}

fn ring(kind: BackendKind) -> Ring {
    builder(kind).build().unwrap()
}

/// A connected pair of sockets.
fn pair(ring: &mut Ring) -> (Descriptor, Descriptor) {
    let address = SocketAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = ring.socket(INET, STREAM, 0).unwrap();
    ring.bind(server, &address).unwrap();
    ring.listen(server, 1).unwrap();
    let near = ring.socket(INET, STREAM, 0).unwrap();
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
fn chains_pick_too() {
    on_each(|kind| {
        let mut ring = ring(kind);
        let Ok(group) = ring.group(3, 32) else { return };
        let (near, far) = pair(&mut ring);
        // Once, between other steps, which load how much it was.
        let mut chain = Chain::new();
        chain.send(near, "hello", NONE);
        let picked = chain.recv_picked(far, &group);
        chain.send(near, "more", NONE);
        let mut done = ring.run(chain).unwrap();
        assert_eq!(done.get(picked).unwrap(), 5);
        assert_eq!(done.take_picked(picked).as_deref(), Some(&b"hello"[..]));
        assert!(done.take_picked(picked).is_none(), "it was taken");
        assert_eq!(ring.recv_picked(far, &group).unwrap().as_deref(), Some(&b"more"[..]));
        // Again and again, until there is no buffer left: what was not taken stays with the chain.
        let mut chain = Chain::new();
        let many = chain.recv_many(far, &group);
        let ticket = ring.submit(chain).unwrap();
        ring.send(near, &data(5, 200)[..], NONE).unwrap();
        let first = ring.wait_picked(ticket, many).unwrap().unwrap();
        assert_eq!(&*first, &data(5, 200)[..32]);
        let mut done = ring.wait(ticket).unwrap();
        assert_eq!(done.check().unwrap_err().errno, Errno::ENOBUFS);
        assert_eq!(group.idle(), 0);
        let rest = done.picked();
        assert_eq!(rest.len(), 2);
        assert_eq!([&*first, &*rest[0], &*rest[1]].concat(), data(5, 200)[..96]);
        // One that picks, while there is none.
        let refused = ring.recv_picked(far, &group).unwrap_err();
        assert_eq!(refused.errno(), Some(Errno::ENOBUFS));
        drop(rest);
        drop(first);
        drop(done);
        assert_eq!(group.idle(), 3);
        let mut all = Vec::new();
        ring.shutdown(near, ShutdownHow::Send).unwrap();
        loop {
            let mut chain = Chain::new();
            let many = chain.recv_many(far, &group);
            let ticket = ring.submit(chain).unwrap();
            while let Some(picked) = ring.wait_picked(ticket, many).unwrap() {
                all.extend_from_slice(&picked);
            }
            match ring.wait(ticket).unwrap().check() {
                Ok(()) => break,
                Err(error) => assert_eq!(error.errno, Errno::ENOBUFS),
            }
        }
        assert!(all == data(5, 200)[96..]);
        assert!(ring.recv_picked(far, &group).unwrap().is_none(), "the peer has stopped sending");
        assert_eq!(group.idle(), 3);
    });
}

#[test]
fn what_cannot_be_is_refused() {
    on_each(|kind| {
        let (mut ring, mut other) = (ring(kind), ring(kind));
        let Ok(group) = ring.group(2, 32) else { return };
        let (near, far) = pair(&mut ring);
        let mut chain = Chain::new();
        chain.recv_picked(far, &group);
        assert_eq!(
            other.run(chain).unwrap_err().to_string().split(':').next(),
            Some("step 0 (RECV) picks from a group of buffers that another ring has made")
        );
        // It would have to pick again and again, and complete once.
        ring.send(near, "x", NONE).unwrap();
        let mut chain = Chain::new();
        chain.repeat(2, |turn| {
            turn.recv_picked(far, &group);
        });
        assert_eq!(ring.run(chain).unwrap().error().unwrap().errno, Errno::EINVAL);
        let mut chain = Chain::new();
        chain.recv_picked(far, &group);
        chain.silent();
        chain.nop();
        assert_eq!(ring.run(chain).unwrap().error().unwrap().errno, Errno::EINVAL);
        assert_eq!(ring.recv_picked(far, &group).unwrap().as_deref(), Some(&b"x"[..]), "it is still there");
        // Sizes, at their limits and one past.
        let pool = Pool::builder().region_size(1 << 20).build().unwrap();
        for (count, size) in [(0, 1), (MAX_GROUP_BUFFERS + 1, 1)] {
            let refused = ring.group_of(&pool, count, size).unwrap_err();
            assert_eq!(refused.errno(), Some(Errno::EINVAL));
        }
        for (count, size) in [(1, 0), (1, (1 << 20) + 1)] {
            assert!(matches!(ring.group_of(&pool, count, size), Err(Error::Pool(_))));
        }
        for (count, size) in [(1, 1), (1, 1 << 20), (MAX_GROUP_BUFFERS, 1), (3, 512)] {
            let group = ring.group_of(&pool, count, size).unwrap();
            assert_eq!((group.count(), group.size(), group.idle()), (count, size, count));
            ring.send(near, "y", NONE).unwrap();
            assert_eq!(ring.recv_picked(far, &group).unwrap().as_deref(), Some(&b"y"[..]));
        }
        // With a handle they stay, without one they go, and their memory with the next enter.
        drop(group);
        let groups: Vec<_> = (0..MAX_GROUPS).map(|_| ring.group_of(&pool, 1, 64).unwrap()).collect();
        assert_eq!(ring.group_of(&pool, 1, 64).unwrap_err().errno(), Some(Errno::ENOSPC));
        assert_eq!(pool.statistics().in_use, MAX_GROUPS);
        drop(groups);
        ring.flush().unwrap();
        assert_eq!(pool.statistics().in_use, 0);
        ring.group_of(&pool, 1, 64).unwrap();
    });
}

#[test]
fn raw_entries_name_groups_by_number() {
    on_each(|kind| {
        let mut ring = builder(kind).build_raw().unwrap();
        let pool = Pool::builder().build().unwrap();
        let Ok(group) = ring.add_group(&pool, 1, 64) else { return };
        let recv = |group: u64, flags: EntryFlags| Entry {
            timeout: Entry::NEVER,
            data: 7,
            op: Verb::Recv as u32,
            flags: flags.bits(),
            arguments: [1, 0, 0, RECV_GROUP, group],
        };
        let number = u64::from(group.number());
        let loaded = EntryFlags::load(3, 0).unwrap();
        for (entry, errno) in [
            // Of no descriptor, of no group, and with what it cannot have.
            (recv(number, EntryFlags::empty()), Errno::EBADF),
            (recv(number, EntryFlags::MULTISHOT), Errno::EBADF),
            (recv(number, EntryFlags::SILENT), Errno::EINVAL),
            (Entry { arguments: [1, 0, 0, 0, number], ..recv(0, EntryFlags::MULTISHOT) }, Errno::EINVAL),
            (recv(number, loaded), Errno::EINVAL),
        ] {
            ring.set_register(0, RECV_GROUP);
            // SAFETY: it names no memory, and the group stays.
            unsafe { ring.push(&entry) }.unwrap();
            ring.enter(1, 1, None).unwrap();
            let completion = ring.pop().unwrap();
            assert_eq!((completion.errno(), completion.data), (errno, 7), "{entry:?}");
            assert!(group.take(&completion).is_none());
        }
    });
}

/// What was picked is good for as long as somebody has it, whatever becomes of ring, group and pool.
#[test]
fn what_was_picked_outlives_everything() {
    on_each(|kind| {
        let mut ring = ring(kind);
        let pool = Pool::builder().debug(true).build().unwrap();
        let Ok(group) = ring.group_of(&pool, 2, 4096) else { return };
        let (near, far) = pair(&mut ring);
        ring.send(near, "hello", NONE).unwrap();
        let picked: Picked = ring.recv_picked(far, &group).unwrap().unwrap();
        // One waits when the ring goes.
        let mut chain = Chain::new();
        chain.recv_many(far, &group);
        ring.submit(chain).unwrap();
        ring.flush().unwrap();
        drop(group);
        ring.flush().unwrap();
        assert_eq!(pool.statistics().in_use, 2);
        drop(ring);
        assert_eq!(&*picked, b"hello");
        std::thread::spawn(move || drop(picked)).join().unwrap();
        assert_eq!(pool.statistics().in_use, 0);
    });
}

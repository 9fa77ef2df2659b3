//! RECV into buffers of a group, once and again and again. Sections 12 and 16, and the page of RECV.

use std::time::Instant;

use ouzel::BufferGroup;
use ouzel::abi::modifiers::{MAX_GROUPS, MessageFlags, RECV_GROUP, ShutdownHow};
use ouzel::abi::{Completion, Entry, EntryFlags, Errno};
use ouzel::pool::Pool;

use crate::World;
use crate::cases::sockets::{connected, pair};
use crate::entry::*;
use crate::memory::Memory;
use crate::table::skip;
use crate::world::LIMIT;

crate::cases![
    picked_once,
    picked_waits_and_is_given_up,
    picked_in_a_chain,
    picked_without_a_buffer,
    picked_many,
    picked_many_ends_with_the_stream,
    picked_many_without_buffers_ends_and_loses_nothing,
    picked_many_without_credits_loses_nothing,
    picked_many_timeouts,
    picked_many_ends_with_an_empty_datagram,
    picked_many_at_teardown,
    picked_cuts_a_datagram,
    picked_errors,
];

fn group(world: &mut World, count: usize, size: usize) -> BufferGroup {
    let pool = Pool::builder().build().expect("a pool");
    match world.ring().add_group(&pool, count, size) {
        Ok(group) => group,
        Err(error) if error.errno() == Some(Errno::EOPNOTSUPP) => {
            skip("this kernel's io_uring has no groups of buffers (Linux 6.0)")
        }
        Err(error) => panic!("{error}"),
    }
}

/// RECV with these modifiers and this number of a group.
fn naming(socket: u64, modifiers: u64, group: u64) -> Entry {
    let nothing = recv(socket, Memory::NONE, MessageFlags::empty());
    Entry { arguments: [socket, 0, 0, modifiers, group], ..nothing }
}

fn picked(socket: u64, group: &BufferGroup) -> Entry {
    naming(socket, RECV_GROUP, u64::from(group.number()))
}

fn in_program(entry: Entry) -> Entry {
    Entry { flags: entry.flags | EntryFlags::PROGRAM.bits(), ..entry }
}

/// Two sockets for datagrams, which keep their borders.
fn datagrams(world: &mut World, name: &str) -> (u64, u64) {
    let address = world.unix(name);
    let far = world.ok(socket(1, 2, 0));
    world.ok(bind(far, address));
    let near = world.ok(socket(1, 2, 0));
    world.ok(connect(near, address));
    (near, far)
}

fn give(world: &mut World, socket: u64, text: &[u8]) {
    let data = world.put(text);
    assert_eq!(world.ok(send(socket, data, MessageFlags::empty())), text.len() as u64);
}

/// Sends while something else is under way.
fn give_beside(world: &mut World, socket: u64, text: &[u8]) {
    let data = world.put(text);
    world.start(&[send(socket, data, MessageFlags::empty()).silent().data(99)]);
}

/// What a completion brings.
#[track_caller]
fn bytes(group: &BufferGroup, completion: &Completion) -> Vec<u8> {
    assert_eq!(completion.errno(), Errno::OK, "{completion:?}");
    let picked = group.take(completion).expect("a buffer");
    assert_eq!(picked.len() as u64, completion.result);
    assert!(group.take(completion).is_none(), "it is there once");
    picked.to_vec()
}

fn picked_once(world: &mut World) {
    let group = group(world, 2, 64);
    let (near, far) = pair(world, "s");
    for round in 0..5u8 {
        give(world, near, &[round; 7]);
        let one = world.one(picked(far, &group));
        assert!((1..=2).contains(&one.extra), "the buffer's number and 1: {one:?}");
        assert_eq!(bytes(&group, &one), [round; 7]);
        assert_eq!(group.idle(), 2);
    }
    // More than a buffer holds takes more than one.
    give(world, near, &[9; 100]);
    let (first, second) = (world.one(picked(far, &group)), world.one(picked(far, &group)));
    assert_ne!(first.extra, second.extra, "nobody has given the first back");
    assert_eq!((bytes(&group, &first), bytes(&group, &second)), (vec![9; 64], vec![9; 36]));
    world.ok(shutdown(near, ShutdownHow::Send));
    let end = world.one(picked(far, &group));
    assert_eq!((end.outcome(), end.extra), (Ok(0), 0), "the end takes no buffer");
    assert_eq!(group.idle(), 2);
}

fn picked_waits_and_is_given_up(world: &mut World) {
    let group = group(world, 1, 64);
    let (near, far) = pair(world, "s");
    for _ in 0..3 {
        world.fails(picked(far, &group).timeout(0), Errno::ETIMEDOUT);
        world.fails(picked(far, &group).timeout(MILLISECOND), Errno::ETIMEDOUT);
        world.start(&[picked(far, &group).data(1)]);
        assert!(world.linger().is_empty());
        world.start(&[cancel_data(1).data(2)]);
        let all = world.settle();
        let one = all.iter().find(|one| one.data == 1).expect("its completion");
        assert_eq!((one.errno(), one.extra), (Errno::ECANCELED, 0));
        assert_eq!(group.idle(), 1, "what waits has no buffer");
    }
    world.start(&[picked(far, &group).data(1)]);
    assert!(world.linger().is_empty());
    give_beside(world, near, b"text");
    let one = world.wait(1)[0];
    assert_eq!(bytes(&group, &one), b"text");
}

fn picked_in_a_chain(world: &mut World) {
    let group = group(world, 2, 64);
    let (near, far) = pair(world, "s");
    give(world, near, b"hello");
    let number = u64::from(group.number());
    // The group may be loaded, the result saved.
    let entries = [
        get(number).link().save(0),
        naming(far, RECV_GROUP, 77).load(4, 0).link().save(1),
        get(0).load(0, 1),
    ];
    let all = world.expect(&entries, &[Ok(number), Ok(5), Ok(5)]);
    assert_eq!(bytes(&group, &all[1]), b"hello");
}

fn picked_without_a_buffer(world: &mut World) {
    let group = group(world, 1, 64);
    let (near, far) = pair(world, "s");
    give(world, near, &[1; 100]);
    let first = world.one(picked(far, &group));
    world.fails(picked(far, &group), Errno::ENOBUFS);
    assert_eq!(bytes(&group, &first), [1; 64]);
    let second = world.one(picked(far, &group));
    assert_eq!(bytes(&group, &second), [1; 36], "nothing was lost");
}

fn picked_many(world: &mut World) {
    let group = group(world, 4, 64);
    let (near, far) = datagrams(world, "s");
    give(world, near, b"before");
    world.start(&[picked(far, &group).multishot().data(1)]);
    let one = world.wait(1)[0];
    assert!(one.has_more());
    assert_eq!(bytes(&group, &one), b"before");
    for round in 0..20u8 {
        give_beside(world, near, &[round; 9]);
        let one = world.wait(1)[0];
        assert!(one.has_more() && one.data == 1, "{one:?}");
        assert_eq!(bytes(&group, &one), [round; 9]);
    }
    assert!(world.linger().is_empty());
    world.start(&[cancel_data(1).data(2)]);
    let all = world.settle();
    let last = all.iter().find(|one| one.data == 1).expect("the end");
    assert_eq!((last.errno(), last.has_more(), last.extra), (Errno::ECANCELED, false, 0));
    // It is the socket's still.
    give(world, near, b"behind");
    let one = world.one(picked(far, &group));
    assert_eq!(bytes(&group, &one), b"behind");
    assert_eq!(group.idle(), 4);
}

fn picked_many_ends_with_the_stream(world: &mut World) {
    let group = group(world, 4, 64);
    let (near, far) = pair(world, "s");
    give(world, near, b"all");
    world.ok(shutdown(near, ShutdownHow::Send));
    world.start(&[picked(far, &group).multishot().data(1)]);
    let all = world.settle();
    let (last, rest) = all.split_last().expect("completions");
    assert_eq!((last.outcome(), last.has_more(), last.extra), (Ok(0), false, 0), "{all:#?}");
    let received: Vec<u8> = rest.iter().flat_map(|one| bytes(&group, one)).collect();
    assert_eq!(received, b"all");
    assert!(rest.iter().all(Completion::has_more));
    assert_eq!(group.idle(), 4);
}

fn picked_many_without_buffers_ends_and_loses_nothing(world: &mut World) {
    let group = group(world, 2, 64);
    let (near, far) = datagrams(world, "s");
    for number in 0..5u8 {
        give(world, near, &[number; 3]);
    }
    let mut next = 0;
    for expected in [2, 2, 1] {
        world.start(&[picked(far, &group).multishot().data(1)]);
        let all = if expected == 2 { world.settle() } else { world.wait(1) };
        let (rest, last) = all.split_at(expected);
        for one in rest {
            assert!(one.has_more());
            assert_eq!(bytes(&group, one), [next; 3]);
            next += 1;
        }
        if let [last] = last {
            assert_eq!((last.errno(), last.has_more(), last.extra), (Errno::ENOBUFS, false, 0));
        }
    }
    world.start(&[cancel_data(1).data(2)]);
    world.settle();
    assert_eq!((next, group.idle()), (5, 2));
}

fn picked_many_without_credits_loses_nothing(world: &mut World) {
    world.renew(|builder| builder.entries(64).completions(4));
    let group = group(world, 16, 64);
    let (near, far) = datagrams(world, "s");
    let (mut sent, mut received) = (0u8, Vec::new());
    let started = Instant::now();
    while received.len() < 10 {
        world.start(&[picked(far, &group).multishot().data(1)]);
        // Nobody reads completions while there is more and more.
        while sent < 10 {
            let data = world.put(&[sent; 5]);
            sent += 1;
            world.push(&[send(near, data, MessageFlags::empty()).silent().data(2)]);
            world.enter(u32::MAX, 0, None);
            world.enter(0, u32::MAX, Some(std::time::Duration::from_millis(2)));
            if sent.is_multiple_of(5) {
                break;
            }
        }
        let mut all = Vec::new();
        for _ in 0..10 {
            all.extend(world.linger());
        }
        if all.iter().all(|one| one.data != 1 || one.has_more()) {
            world.start(&[cancel_data(1).data(3)]);
            all.extend(world.settle());
        }
        let of_recv: Vec<_> = all.iter().filter(|one| one.data == 1).collect();
        let (last, rest) = of_recv.split_last().expect("the multishot ends");
        assert!(matches!(last.errno(), Errno::ENOBUFS | Errno::ECANCELED), "{all:#?}");
        received.extend(rest.iter().map(|one| bytes(&group, one)));
        assert!(started.elapsed() < LIMIT, "nothing more comes: {all:#?}");
    }
    // The sends are chains of their own, which run in any order.
    received.sort_unstable();
    assert_eq!(received, (0..10u8).map(|number| vec![number; 5]).collect::<Vec<_>>());
    assert_eq!(group.idle(), 16);
}

fn picked_many_timeouts(world: &mut World) {
    let group = group(world, 4, 64);
    let (near, far) = datagrams(world, "s");
    give(world, near, b"one");
    give(world, near, b"two");
    // One that may not wait takes what is there.
    let all = world.run(&[picked(far, &group).multishot().timeout(0)]);
    let (last, rest) = all.split_last().expect("completions");
    assert_eq!((last.errno(), last.has_more()), (Errno::ETIMEDOUT, false), "{all:#?}");
    let received: Vec<_> = rest.iter().map(|one| bytes(&group, one)).collect();
    assert_eq!(received, [b"one", b"two"]);
    // The time is the whole entry's, not that of one result.
    give(world, near, b"three");
    let all = world.run(&[picked(far, &group).multishot().timeout(5 * MILLISECOND)]);
    let (last, rest) = all.split_last().expect("completions");
    assert_eq!((last.errno(), last.has_more()), (Errno::ETIMEDOUT, false), "{all:#?}");
    let received: Vec<_> = rest.iter().map(|one| bytes(&group, one)).collect();
    assert!(received == [b"three"] || (received.is_empty() && world.is_sim()), "{all:#?}");
    if received.is_empty() {
        let one = world.one(picked(far, &group));
        bytes(&group, &one);
    }
    assert_eq!(group.idle(), 4);
}

fn picked_many_ends_with_an_empty_datagram(world: &mut World) {
    let group = group(world, 4, 64);
    let (near, far) = datagrams(world, "s");
    for text in [&b"one"[..], b"", b"three"] {
        give(world, near, text);
    }
    world.start(&[picked(far, &group).multishot().data(1)]);
    let all = world.settle();
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(bytes(&group, &all[0]), b"one");
    assert_eq!((all[1].outcome(), all[1].has_more(), all[1].extra), (Ok(0), false, 0));
    let one = world.one(picked(far, &group));
    assert_eq!(bytes(&group, &one), b"three");
    assert_eq!(group.idle(), 4);
}

fn picked_many_at_teardown(world: &mut World) {
    let group = group(world, 4, 64);
    let (_near, far) = pair(world, "s");
    world.start(&[picked(far, &group).multishot().data(1)]);
    let all = world.teardown();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].errno(), all[0].has_more()), (Errno::ECANCELED, false));
}

fn picked_cuts_a_datagram(world: &mut World) {
    let group = group(world, 2, 4);
    let (near, far) = datagrams(world, "s");
    give(world, near, b"too long");
    give(world, near, b"next");
    let (first, second) = (world.one(picked(far, &group)), world.one(picked(far, &group)));
    assert_eq!((bytes(&group, &first), bytes(&group, &second)), (b"too ".to_vec(), b"next".to_vec()));
}

fn picked_errors(world: &mut World) {
    let group = group(world, 1, 64);
    let (reader, _writer) = world.pipe();
    world.fails(picked(reader, &group), Errno::ENOTSOCK);
    world.fails(picked(reader, &group).multishot(), Errno::ENOTSOCK);
    world.fails(picked(0, &group), Errno::EBADF);
    let address = world.unix("s");
    let (near, far) = connected(world, 1, 1, address);
    give(world, near, b"x");
    let number = u64::from(group.number());
    for stranger in [number + 1, number | 1 << 16, MAX_GROUPS as u64, u64::MAX] {
        world.fails(naming(far, RECV_GROUP, stranger), Errno::EFAULT);
        world.fails(naming(far, RECV_GROUP, stranger).multishot(), Errno::EFAULT);
    }
    for flag in [MessageFlags::OUT_OF_BAND, MessageFlags::PEEK, MessageFlags::WAIT_ALL, MessageFlags::MORE] {
        let with = naming(far, RECV_GROUP | flag.bits(), number);
        world.fails(with, Errno::EINVAL);
        world.fails(with.multishot(), Errno::EINVAL);
    }
    world.fails(picked(far, &group).silent(), Errno::EINVAL);
    world.fails(recv(far, Memory::NONE, MessageFlags::empty()).multishot(), Errno::EINVAL);
    let loaded = naming(far, 0, number).load(3, 0);
    assert_eq!(world.errors(&[get(RECV_GROUP).link().save(0), loaded]), [Errno::OK, Errno::EINVAL]);
    assert_eq!(world.errors(&[in_program(get(0)).link(), picked(far, &group)]), [Errno::OK, Errno::EINVAL]);
    let one = world.one(picked(far, &group));
    assert_eq!(bytes(&group, &one), b"x", "none of them has taken it");
}

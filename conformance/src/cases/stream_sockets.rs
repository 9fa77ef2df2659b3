//! ACCEPT, SEND, RECV and SHUTDOWN on streams, over unix and inet.

use std::time::Instant;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{MessageFlags, ShutdownHow};

use crate::World;
use crate::cases::sockets::{connected, free_port, pair};
use crate::entry::*;
use crate::memory::Memory;
use crate::world::LIMIT;

crate::cases![
    accept_waits_for_a_connection,
    accept_gives_the_peers_address,
    accept_cuts_an_address_that_does_not_fit,
    accept_errors,
    accept_without_a_free_index,
    accept_multishot,
    accept_multishot_with_a_full_table,
    accept_multishot_without_credits_loses_nothing,
    accept_multishot_at_teardown,
    send_and_recv_over_unix,
    send_and_recv_over_inet,
    send_to_a_peer_that_is_gone,
    send_waits_for_room,
    send_and_recv_errors,
    recv_peek_and_wait_all,
    recv_ends_when_the_peer_stops_sending,
    recv_waits_for_data,
    shutdown_each_direction,
    shutdown_wakes_a_waiting_recv,
    shutdown_errors,
    server_in_one_chain,
];

const NONE: MessageFlags = MessageFlags::empty();

fn listener(world: &mut World, domain: u64, address: Memory) -> u64 {
    let listener = world.ok(socket(domain, 1, 0));
    world.ok(bind(listener, address));
    world.ok(listen(listener, 64));
    listener
}

fn inet(world: &World) -> Memory {
    world.inet(free_port(world, false))
}

fn accept_waits_for_a_connection(world: &mut World) {
    for (domain, address) in [(1, world.unix("s")), (2, inet(world))] {
        let server = listener(world, domain, address);
        world.fails(accept(server, Memory::NONE).timeout(0), Errno::ETIMEDOUT);
        world.start(&[accept(server, Memory::NONE).data(1)]);
        assert!(world.linger().is_empty());
        world.start(&[socket(domain, 1, 0).data(2)]);
        let near = world.wait(1)[0].result;
        world.start(&[connect(near, address).data(3)]);
        let all = world.settle();
        let one = all.iter().find(|one| one.data == 1).expect("the accept ends");
        assert_eq!((one.errno(), one.extra), (Errno::OK, 0));
        world.give(near, b"hello");
        assert_eq!(world.take(one.result, 8), b"hello");
    }
}

fn accept_gives_the_peers_address(world: &mut World) {
    let address = inet(world);
    let server = listener(world, 2, address);
    let near = world.ok(socket(2, 1, 0));
    let from = inet(world);
    world.ok(bind(near, from));
    world.ok(connect(near, address));
    let record = world.filled(32, b'#');
    let one = world.one(accept(server, record));
    assert_eq!((one.errno(), one.extra), (Errno::OK, 16));
    let bytes = world.bytes(record);
    assert_eq!(bytes[..8], world.bytes(from)[..8]);
    assert_eq!(bytes[16..], [b'#'; 16]);
}

fn accept_cuts_an_address_that_does_not_fit(world: &mut World) {
    let address = inet(world);
    let server = listener(world, 2, address);
    let near = world.ok(socket(2, 1, 0));
    world.ok(connect(near, address));
    let record = world.filled(8, b'#');
    let one = world.one(accept(server, record.part(0, 4)));
    assert_eq!((one.errno(), one.extra), (Errno::OK, 16), "the full length");
    assert_eq!(world.bytes(record)[4..], *b"####");
}

fn accept_errors(world: &mut World) {
    let file = world.file("f", b"");
    world.fails(accept(file, Memory::NONE), Errno::ENOTSOCK);
    let plain = world.ok(socket(1, 1, 0));
    world.fails(accept(plain, Memory::NONE), Errno::EINVAL);
    let datagram = world.ok(socket(1, 2, 0));
    world.fails(accept(datagram, Memory::NONE), Errno::EOPNOTSUPP);
    world.fails(accept(0, Memory::NONE), Errno::EBADF);
    assert_eq!(world.descriptors(), 3);
}

fn accept_without_a_free_index(world: &mut World) {
    world.renew_table(2);
    let address = world.unix("s");
    let server = listener(world, 1, address);
    let near = world.ok(socket(1, 1, 0));
    world.ok(connect(near, address));
    world.fails(accept(server, Memory::NONE), Errno::EMFILE);
    world.close(near);
    // The connection was not lost.
    world.ok(accept(server, Memory::NONE));
}

fn accept_multishot(world: &mut World) {
    let address = world.unix("s");
    let server = listener(world, 1, address);
    world.start(&[accept(server, Memory::NONE).multishot().data(1)]);
    assert!(world.linger().is_empty());
    for _ in 0..6 {
        world.start(&[socket(1, 1, 0).data(2)]);
        let near = world.wait(1)[0].result;
        world.start(&[connect(near, address).data(3)]);
        let all = world.wait(2);
        let one = all.iter().find(|one| one.data == 1).expect("one completion for each connection");
        assert!(one.has_more() && one.error == 0 && one.extra == 0, "{one:?}");
        let data = world.put(b"hi");
        world.start(&[send(near, data, NONE).data(4)]);
        world.wait(1);
        let memory = world.room(4);
        world.start(&[recv(one.result, memory, NONE).data(5)]);
        assert_eq!(world.wait(1)[0].outcome(), Ok(2));
        world.start(&[close(one.result).data(6), close(near).data(7)]);
        world.wait(2);
    }
    world.start(&[cancel_data(1).data(8)]);
    let all = world.settle();
    let last = all.iter().find(|one| one.data == 1).unwrap();
    assert_eq!((last.errno(), last.has_more()), (Errno::ECANCELED, false));
    assert_eq!(world.descriptors(), 1);
}

fn accept_multishot_with_a_full_table(world: &mut World) {
    world.renew_table(4);
    let address = world.unix("s");
    let server = listener(world, 1, address);
    let (first, second) = (world.ok(socket(1, 1, 0)), world.ok(socket(1, 1, 0)));
    world.start(&[accept(server, Memory::NONE).multishot().data(1)]);
    world.start(&[connect(first, address).data(2), connect(second, address).data(3)]);
    let all = world.settle();
    let of_accept: Vec<_> = all.iter().filter(|one| one.data == 1).collect();
    assert_eq!(of_accept.len(), 2, "{all:#?}");
    assert!(of_accept[0].has_more() && of_accept[0].error == 0);
    assert!(!of_accept[1].has_more() && of_accept[1].errno() == Errno::EMFILE, "{all:#?}");
    assert_eq!(world.descriptors(), 4);
}

fn accept_multishot_without_credits_loses_nothing(world: &mut World) {
    world.renew(|builder| builder.entries(64).completions(4));
    let address = world.unix("s");
    let server = listener(world, 1, address);
    let mut clients: Vec<u64> = (0..10).map(|_| world.ok(socket(1, 1, 0))).collect();
    let mut accepted = Vec::new();
    let mut unconnected = clients.clone();
    let started = Instant::now();
    while accepted.len() < clients.len() {
        world.start(&[accept(server, Memory::NONE).multishot().data(1)]);
        // Nobody reads completions while connections come in.
        while let Some(client) = unconnected.pop() {
            world.push(&[connect(client, address).silent().data(2)]);
            world.enter(u32::MAX, 0, None);
            world.enter(0, u32::MAX, Some(std::time::Duration::from_millis(2)));
            if unconnected.len().is_multiple_of(5) {
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
        let of_accept: Vec<_> = all.iter().filter(|one| one.data == 1).collect();
        let (last, rest) = of_accept.split_last().expect("the multishot ends");
        assert!(matches!(last.errno(), Errno::ENOBUFS | Errno::ECANCELED), "{all:#?}");
        assert!(rest.iter().all(|one| one.has_more() && one.error == 0), "{all:#?}");
        accepted.extend(rest.iter().map(|one| one.result));
        assert!(started.elapsed() < LIMIT, "nothing more comes: {all:#?}");
    }
    assert_eq!(accepted.len(), 10);
    // Each is connected to somebody.
    for far in &accepted {
        world.give(*far, b"x");
    }
    for near in &clients {
        assert_eq!(world.take(*near, 4), b"x");
    }
    clients.append(&mut accepted);
    for descriptor in clients {
        world.close(descriptor);
    }
}

fn accept_multishot_at_teardown(world: &mut World) {
    let address = world.unix("s");
    let server = listener(world, 1, address);
    world.start(&[accept(server, Memory::NONE).multishot().data(1)]);
    let all = world.teardown();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].errno(), all[0].has_more()), (Errno::ECANCELED, false));
}

fn round_trip(world: &mut World, domain: u64, address: Memory) {
    let (near, far) = connected(world, domain, 1, address);
    for (from, to, text) in [(near, far, b"to far "), (far, near, b"to near")] {
        let (data, memory) = (world.put(text), world.room(16));
        assert_eq!(world.ok(send(from, data, NONE)), 7);
        assert_eq!(world.ok(recv(to, memory, NONE)), 7);
        assert_eq!(world.bytes(memory.part(0, 7)), text);
    }
    world.give(near, b"read and write do too");
    assert_eq!(world.take(far, 32), b"read and write do too");
    let data = world.put(b"x");
    assert_eq!(world.ok(send(near, data, MessageFlags::MORE)), 1);
    world.give(near, b"y");
    let memory = world.room(2);
    assert_eq!(world.ok(recv(far, memory, MessageFlags::WAIT_ALL)), 2);
    assert_eq!(world.bytes(memory), b"xy");
    world.fails(read(near, memory, 0), Errno::ESPIPE);
    world.fails(write(near, memory, 0), Errno::ESPIPE);
}

fn send_and_recv_over_unix(world: &mut World) {
    let address = world.unix("s");
    round_trip(world, 1, address);
}

fn send_and_recv_over_inet(world: &mut World) {
    let address = inet(world);
    round_trip(world, 2, address);
}

fn send_to_a_peer_that_is_gone(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.close(far);
    let data = world.put(b"x");
    world.fails(send(near, data, NONE), Errno::EPIPE);
    world.fails(write(near, data, HERE), Errno::EPIPE);
    let (near, _far) = pair(world, "t");
    world.ok(shutdown(near, ShutdownHow::Send));
    world.fails(send(near, data, NONE), Errno::EPIPE);
}

fn send_waits_for_room(world: &mut World) {
    let (near, far) = pair(world, "s");
    let data = world.filled(32_768, b'x');
    let mut total = 0;
    loop {
        let one = world.one(send(near, data, NONE).timeout(0));
        if one.error != 0 {
            assert_eq!(one.errno(), Errno::ETIMEDOUT);
            break;
        }
        total += one.result;
        assert!(total < 1 << 28);
    }
    world.start(&[send(near, data, NONE).data(1)]);
    assert!(world.linger().is_empty(), "no room");
    let memory = world.room(1 << 16);
    let mut received = 0;
    let mut sent = None;
    while received < total {
        world.start(&[recv(far, memory, NONE).data(2)]);
        let got = loop {
            let mut got = None;
            for one in world.linger() {
                match one.data {
                    1 => sent = Some(one.outcome().unwrap()),
                    _ => got = Some(one.outcome().unwrap()),
                }
            }
            if let Some(got) = got {
                break got;
            }
        };
        received += got;
    }
    let rest = world.settle();
    let sent = sent.or_else(|| rest.first().map(|one| one.outcome().unwrap()));
    assert!(sent.is_some_and(|sent| sent > 0 && sent <= 32_768));
}

fn send_and_recv_errors(world: &mut World) {
    let file = world.file("f", b"");
    let memory = world.put(b"xy");
    world.fails(send(file, memory, NONE), Errno::ENOTSOCK);
    world.fails(recv(file, memory, NONE), Errno::ENOTSOCK);
    let plain = world.ok(socket(2, 1, 0));
    world.fails(recv(plain, memory, NONE), Errno::ENOTCONN);
    world.fails_any(send(plain, memory, NONE), &[Errno::EPIPE, Errno::ENOTCONN]);
    let plain = world.ok(socket(1, 1, 0));
    world.fails(send(plain, memory, NONE), Errno::ENOTCONN);
    world.fails_any(recv(plain, memory, NONE), &[Errno::ENOTCONN, Errno::EINVAL]);
    let (near, far) = pair(world, "s");
    for flags in [MessageFlags::PEEK, MessageFlags::WAIT_ALL] {
        world.fails(send(near, memory, flags), Errno::EINVAL);
    }
    world.fails(recv(far, memory, MessageFlags::MORE), Errno::EINVAL);
    for bits in [4, 0x40, 0x4000, 1 << 40] {
        world.fails(send(near, memory, NONE).arg(3, bits), Errno::EINVAL);
        world.fails(recv(far, memory, NONE).arg(3, bits), Errno::EINVAL);
    }
    assert_eq!(world.ok(send(near, Memory::NONE, NONE)), 0);
}

fn recv_peek_and_wait_all(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.give(near, b"abc");
    let memory = world.room(6);
    assert_eq!(world.ok(recv(far, memory, MessageFlags::PEEK)), 3);
    assert_eq!(world.ok(recv(far, memory.part(0, 2), MessageFlags::PEEK)), 2);
    world.start(&[recv(far, memory, MessageFlags::WAIT_ALL).data(1)]);
    assert!(world.linger().is_empty(), "it waits until the buffer is full");
    let data = world.put(b"def");
    world.start(&[send(near, data, NONE).data(2)]);
    let all = world.settle();
    assert!(all.iter().any(|one| one.data == 1 && one.outcome() == Ok(6)), "{all:#?}");
    assert_eq!(world.bytes(memory), b"abcdef");
}

fn recv_ends_when_the_peer_stops_sending(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.give(near, b"abc");
    world.ok(shutdown(near, ShutdownHow::Send));
    let memory = world.room(6);
    assert_eq!(world.ok(recv(far, memory, MessageFlags::WAIT_ALL)), 3, "short at the end");
    assert_eq!(world.ok(recv(far, memory, NONE)), 0);
    assert_eq!(world.ok(read(far, memory, HERE)), 0);
    world.give(far, b"the other way still works");
    world.close(near);
}

fn recv_waits_for_data(world: &mut World) {
    let (near, far) = pair(world, "s");
    let memory = world.room(6);
    world.fails(recv(far, memory, NONE).timeout(0), Errno::ETIMEDOUT);
    world.fails(recv(far, memory, NONE).timeout(MILLISECOND), Errno::ETIMEDOUT);
    world.start(&[recv(far, memory, NONE).data(1)]);
    assert!(world.linger().is_empty());
    let data = world.put(b"abc");
    world.start(&[send(near, data, NONE).data(2)]);
    assert!(world.settle().iter().all(|one| one.outcome() == Ok(3)));
}

fn shutdown_each_direction(world: &mut World) {
    let (near, far) = pair(world, "s");
    assert_eq!(world.ok(shutdown(near, ShutdownHow::Receive)), 0);
    assert_eq!(world.take(near, 4), b"");
    world.give(near, b"x");
    assert_eq!(world.ok(shutdown(near, ShutdownHow::Send)), 0);
    assert_eq!(world.take(far, 4), b"x");
    assert_eq!(world.take(far, 4), b"");
    let (near, far) = pair(world, "t");
    assert_eq!(world.ok(shutdown(near, ShutdownHow::Both)), 0);
    assert_eq!(world.take(near, 4), b"");
    assert_eq!(world.take(far, 4), b"");
    world.close(near);
}

fn shutdown_wakes_a_waiting_recv(world: &mut World) {
    let (near, _far) = pair(world, "s");
    let memory = world.room(6);
    world.start(&[recv(near, memory, NONE).data(1)]);
    assert!(world.linger().is_empty());
    world.start(&[shutdown(near, ShutdownHow::Receive).data(2)]);
    assert!(world.settle().iter().all(|one| one.outcome() == Ok(0)));
}

fn shutdown_errors(world: &mut World) {
    let file = world.file("f", b"");
    world.fails(shutdown(file, ShutdownHow::Both), Errno::ENOTSOCK);
    // A unix socket that is not connected is shut down all the same.
    let plain = world.ok(socket(2, 1, 0));
    world.fails(shutdown(plain, ShutdownHow::Both), Errno::ENOTCONN);
    let (near, _far) = pair(world, "s");
    for how in [3, 4, u64::MAX] {
        world.fails(shutdown(near, ShutdownHow::Both).arg(3, how), Errno::EINVAL);
    }
}

fn server_in_one_chain(world: &mut World) {
    let address = inet(world);
    let server = listener(world, 2, address);
    let memory = world.room(32);
    let client = world.ok(socket(2, 1, 0));
    let echo = [
        accept(server, Memory::NONE).local().save(0).link(),
        recv(0, memory, NONE).load(0, 0).save(1).link(),
        send(0, memory, NONE).load(0, 0).load(2, 1).link(),
        close(0).load(0, 0).finally(),
    ];
    world.start(&echo);
    let (data, answer) = (world.put(b"echo"), world.room(32));
    world.start(&[
        connect(client, address).link(),
        send(client, data, NONE).link(),
        recv(client, answer, NONE).link(),
        recv(client, answer.part(8, 8), NONE),
    ]);
    let all = world.settle();
    assert!(all.len() == 8 && all.iter().all(|one| one.error == 0), "{all:#?}");
    assert_eq!(world.bytes(answer.part(0, 4)), b"echo");
}

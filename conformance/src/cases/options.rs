//! GETSOCKOPT, SETSOCKOPT, SOCKNAME and PEERNAME: what a socket knows of itself.

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{MAX_OPTION, ShutdownHow};

use crate::World;
use crate::cases::sockets::{connected, free_port, pair};
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    options_of_every_type,
    options_that_are_switches,
    options_are_cut_to_the_buffer,
    options_take_numbers_from_registers,
    option_of_a_pending_error,
    option_errors,
    names_of_unix_sockets,
    names_of_inet_sockets,
    names_are_cut_to_the_buffer,
    names_errors,
    names_in_the_chain_that_makes_the_socket,
];

const SOL_SOCKET: u64 = 1;
const SO_REUSEADDR: u64 = 2;
const SO_TYPE: u64 = 3;
const SO_ERROR: u64 = 4;
const SO_KEEPALIVE: u64 = 9;
const SO_ACCEPTCONN: u64 = 30;
const SO_PROTOCOL: u64 = 38;
const SO_DOMAIN: u64 = 39;
const SOL_TCP: u64 = 6;
const TCP_NODELAY: u64 = 1;

#[track_caller]
fn number(world: &mut World, socket: u64, level: u64, name: u64) -> i32 {
    let memory = world.filled(4, 0xee);
    assert_eq!(world.ok(getsockopt(socket, level, name, memory)), 4);
    i32::from_ne_bytes(world.bytes(memory).try_into().unwrap())
}

fn value(world: &World, value: i32) -> Memory {
    world.put(&value.to_ne_bytes())
}

fn options_of_every_type(world: &mut World) {
    for (domain, kind, protocol) in [(1, 1, 0), (1, 2, 0), (1, 5, 0), (2, 1, 6), (2, 2, 17)] {
        let made = world.ok(socket(domain, kind, 0));
        assert_eq!(number(world, made, SOL_SOCKET, SO_DOMAIN), domain as i32);
        assert_eq!(number(world, made, SOL_SOCKET, SO_TYPE), kind as i32);
        assert_eq!(number(world, made, SOL_SOCKET, SO_PROTOCOL), protocol);
        assert_eq!(number(world, made, SOL_SOCKET, SO_ERROR), 0);
        assert_eq!(number(world, made, SOL_SOCKET, SO_ACCEPTCONN), 0);
    }
    let listener = world.ok(socket(1, 1, 0));
    let address = world.unix("s");
    world.ok(bind(listener, address));
    world.ok(listen(listener, 1));
    assert_eq!(number(world, listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
}

fn options_that_are_switches(world: &mut World) {
    let made = world.ok(socket(2, 1, 0));
    for (level, name) in [(SOL_SOCKET, SO_REUSEADDR), (SOL_SOCKET, SO_KEEPALIVE), (SOL_TCP, TCP_NODELAY)] {
        assert_eq!(number(world, made, level, name), 0);
        let (on, off) = (value(world, 1), value(world, 0));
        assert_eq!(world.ok(setsockopt(made, level, name, on)), 0);
        assert_eq!(number(world, made, level, name), 1);
        assert_eq!(world.ok(setsockopt(made, level, name, on).timeout(0)), 0, "it never waits");
        assert_eq!(world.ok(setsockopt(made, level, name, off)), 0);
        assert_eq!(number(world, made, level, name), 0);
    }
}

fn options_are_cut_to_the_buffer(world: &mut World) {
    let made = world.ok(socket(2, 1, 0));
    for (length, expected) in [(0, 0), (1, 1), (3, 3), (4, 4), (5, 4), (64, 4)] {
        let memory = world.filled(64, 0xee);
        let got = world.ok(getsockopt(made, SOL_SOCKET, SO_TYPE, memory.part(0, length)));
        assert_eq!(got, expected, "of a buffer of {length} bytes");
        let bytes = world.bytes(memory);
        assert_eq!(bytes[..expected as usize], 1i32.to_ne_bytes()[..expected as usize]);
        assert!(bytes[expected as usize..].iter().all(|byte| *byte == 0xee));
    }
    // More than the value is of no use; less is not enough.
    let memory = world.filled(64, 1);
    world.ok(setsockopt(made, SOL_SOCKET, SO_REUSEADDR, memory));
    for length in [0, 1, 3] {
        world.fails(setsockopt(made, SOL_SOCKET, SO_REUSEADDR, memory.part(0, length)), Errno::EINVAL);
    }
}

fn options_take_numbers_from_registers(world: &mut World) {
    let memory = world.room(4);
    let all = world.run(&[
        socket(2, 2, 0).local().save(0).link(),
        get(SOL_SOCKET).save(1).link(),
        get(SO_TYPE).save(2).link(),
        get(4).save(3).link(),
        getsockopt(9, 9, 9, memory).load(0, 0).load(2, 3).load(3, 1).load(4, 2).link(),
        close(0).load(0, 0),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    assert_eq!(all[4].result, 4);
    assert_eq!(world.bytes(memory), 2i32.to_ne_bytes());
}

fn option_of_a_pending_error(world: &mut World) {
    let (near, far) = pair(world, "s");
    world.give(near, b"unread");
    world.close(far);
    assert_eq!(number(world, near, SOL_SOCKET, SO_ERROR), Errno::ECONNRESET.raw());
    assert_eq!(number(world, near, SOL_SOCKET, SO_ERROR), 0, "it is told once");
}

fn option_errors(world: &mut World) {
    let file = world.file("a", b"");
    let (reader, _writer) = world.pipe();
    let made = world.ok(socket(2, 1, 0));
    let unix = world.ok(socket(1, 1, 0));
    let memory = value(world, 1);
    for one in [file, reader] {
        world.fails(getsockopt(one, SOL_SOCKET, SO_TYPE, memory), Errno::ENOTSOCK);
        world.fails(setsockopt(one, SOL_SOCKET, SO_REUSEADDR, memory), Errno::ENOTSOCK);
    }
    world.fails(getsockopt(made, SOL_SOCKET, 9999, memory), Errno::ENOPROTOOPT);
    world.fails(setsockopt(made, SOL_SOCKET, 9999, memory), Errno::ENOPROTOOPT);
    world.fails(setsockopt(made, SOL_SOCKET, SO_TYPE, memory), Errno::ENOPROTOOPT);
    world.fails(getsockopt(unix, SOL_TCP, TCP_NODELAY, memory), Errno::EOPNOTSUPP);
    world.fails(setsockopt(unix, SOL_TCP, TCP_NODELAY, memory), Errno::EOPNOTSUPP);
    for bad in [i32::MAX as u64 + 1, u64::MAX] {
        for entry in [
            getsockopt(made, bad, SO_TYPE, memory),
            getsockopt(made, SOL_SOCKET, bad, memory),
            getsockopt(made, SOL_SOCKET, SO_TYPE, memory).arg(2, bad),
            setsockopt(made, bad, SO_REUSEADDR, memory),
            setsockopt(made, SOL_SOCKET, bad, memory),
            setsockopt(made, SOL_SOCKET, SO_REUSEADDR, memory).arg(2, bad),
        ] {
            world.fails(entry, Errno::EINVAL);
        }
    }
    // The largest length is good as such; there is only not so much memory.
    let region = world.region(memory);
    let payload = u64::from(region) << 48;
    let large = getsockopt(made, SOL_SOCKET, SO_TYPE, memory).arg(1, payload).arg(2, MAX_OPTION);
    world.fails(large, Errno::EFAULT);
    assert_eq!(world.ok(getsockopt(made, SOL_SOCKET, SO_TYPE, memory).arg(1, payload)), 4);
    world.fails(getsockopt(made, SOL_SOCKET, SO_TYPE, memory).multishot(), Errno::EINVAL);
}

#[track_caller]
fn name_of(world: &mut World, entry: fn(u64, Memory) -> ouzel::abi::Entry, socket: u64) -> Vec<u8> {
    let memory = world.filled(128, 0xee);
    let length = world.ok(entry(socket, memory));
    let bytes = world.bytes(memory);
    assert!(bytes[length as usize..].iter().all(|byte| *byte == 0xee), "not written beyond its length");
    bytes[..length as usize].to_vec()
}

fn names_of_unix_sockets(world: &mut World) {
    let nameless = 1u16.to_ne_bytes().to_vec();
    let address = world.unix("s");
    let full = world.bytes(address);
    let listener = world.ok(socket(1, 1, 0));
    assert_eq!(name_of(world, sockname, listener), nameless);
    world.ok(bind(listener, address));
    assert_eq!(name_of(world, sockname, listener), full);
    world.ok(listen(listener, 1));
    let near = world.ok(socket(1, 1, 0));
    world.ok(connect(near, address));
    let far = world.ok(accept(listener, Memory::NONE));
    assert_eq!(name_of(world, sockname, near), nameless);
    assert_eq!(name_of(world, peername, near), full);
    assert_eq!(name_of(world, sockname, far), full);
    assert_eq!(name_of(world, peername, far), nameless);
    world.fails(peername(listener, address), Errno::ENOTCONN);
    // A datagram socket has the peer that it was connected to.
    let (one, other) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 2, 0)));
    let address = world.unix("d");
    world.ok(bind(one, address));
    let buffer = world.room(128);
    world.fails(peername(other, buffer), Errno::ENOTCONN);
    world.ok(connect(other, address));
    let full = world.bytes(address);
    assert_eq!(name_of(world, peername, other), full);
}

fn names_of_inet_sockets(world: &mut World) {
    let port = free_port(world, false);
    let address = world.inet(port);
    let full = world.bytes(address);
    let fresh = world.ok(socket(2, 1, 0));
    let mut nowhere = 2u16.to_ne_bytes().to_vec();
    nowhere.resize(16, 0);
    assert_eq!(name_of(world, sockname, fresh), nowhere);
    let (near, far) = connected(world, 2, 1, address);
    assert_eq!(name_of(world, sockname, far), full);
    assert_eq!(name_of(world, peername, near), full);
    let own = name_of(world, sockname, near);
    assert_eq!(own.len(), 16);
    assert_eq!(own[4..8], [127, 0, 0, 1]);
    assert_eq!(name_of(world, peername, far), own);
    // A port that the system chooses can be asked for.
    let chosen = world.ok(socket(2, 1, 0));
    let any = world.inet(0);
    world.ok(bind(chosen, any));
    let name = name_of(world, sockname, chosen);
    assert_ne!(name[2..4], [0, 0]);
}

fn names_are_cut_to_the_buffer(world: &mut World) {
    let address = world.unix("s");
    let full = world.bytes(address);
    let made = world.ok(socket(1, 1, 0));
    world.ok(bind(made, address));
    for length in [0, 1, 2, 3, full.len() as u64 - 1, full.len() as u64, 128, 4096] {
        let memory = world.filled(4096, 0xee);
        assert_eq!(world.ok(sockname(made, memory.part(0, length))), full.len() as u64, "its full length");
        let kept = (length as usize).min(full.len());
        let bytes = world.bytes(memory);
        assert_eq!(bytes[..kept], full[..kept]);
        assert!(bytes[kept..].iter().all(|byte| *byte == 0xee));
    }
}

fn names_errors(world: &mut World) {
    let file = world.file("a", b"");
    let (reader, _writer) = world.pipe();
    let memory = world.room(128);
    for one in [file, reader] {
        world.fails(sockname(one, memory), Errno::ENOTSOCK);
        world.fails(peername(one, memory), Errno::ENOTSOCK);
    }
    for (domain, kind) in [(1, 1), (1, 2), (1, 5), (2, 1), (2, 2)] {
        let made = world.ok(socket(domain, kind, 0));
        world.fails(peername(made, memory), Errno::ENOTCONN);
    }
    let (near, far) = pair(world, "s");
    world.ok(shutdown(near, ShutdownHow::Both));
    world.ok(peername(near, memory));
    let region = world.region(memory);
    let payload = u64::from(region) << 48;
    assert_eq!(world.ok(sockname(far, memory).arg(1, payload)), world.unix("s").length);
    world.fails(sockname(far, memory).arg(1, payload).arg(2, 129), Errno::EFAULT);
    world.fails(peername(far, memory).arg(1, payload | 128).arg(2, 1), Errno::EFAULT);
}

fn names_in_the_chain_that_makes_the_socket(world: &mut World) {
    let (name, one, any) = (world.room(16), value(world, 1), world.inet(0));
    let all = world.run(&[
        socket(2, 1, 0).local().save(0).link(),
        setsockopt(0, SOL_SOCKET, SO_REUSEADDR, one).load(0, 0).link(),
        bind(0, any).load(0, 0).link(),
        listen(0, 1).load(0, 0).link(),
        sockname(0, name).load(0, 0).link(),
        close(0).load(0, 0).finally(),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    assert_eq!(all[4].result, 16);
    assert_ne!(world.bytes(name)[2..4], [0, 0]);
}

//! SOCKET, BIND, LISTEN, CONNECT, and datagrams: making sockets and finding each other.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{MessageFlags, ShutdownHow};

use crate::World;
use crate::entry::*;
use crate::memory::Memory;

crate::cases![
    socket_types_and_domains,
    socket_refusals,
    socket_is_blocking_and_numbers_are_loaded,
    bind_unix_and_inet,
    bind_errors,
    listen_errors,
    connect_errors,
    connect_with_nobody_listening,
    connect_twice,
    connect_with_a_full_backlog_waits,
    datagrams_over_unix,
    datagrams_over_inet,
    datagrams_are_cut_and_kept_apart,
    datagram_limits,
    seqpacket_keeps_messages_apart,
];

const NONE: MessageFlags = MessageFlags::empty();

impl World {
    /// The address of a unix socket with this name in the world's directory.
    pub(crate) fn unix(&self, name: &str) -> Memory {
        let path = self.name(name);
        assert!(path.len() < 108, "the test directory's path is too long for a unix socket");
        let mut bytes = 1u16.to_ne_bytes().to_vec();
        bytes.extend_from_slice(path.as_bytes());
        bytes.push(0);
        self.put(&bytes)
    }

    /// An address of 127.0.0.1.
    pub(crate) fn inet(&self, port: u16) -> Memory {
        let mut bytes = 2u16.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&[127, 0, 0, 1]);
        bytes.extend_from_slice(&[0; 8]);
        self.put(&bytes)
    }
}

/// A port that nobody uses now, and nobody is given: none of those that the system chooses itself.
pub(crate) fn free_port(world: &World, datagram: bool) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that run beside each other begin in different places.
    let first = std::process::id().wrapping_mul(61);
    for _ in 0..20_000 {
        let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(first);
        let port = 10_000 + (number % 20_000) as u16;
        let address = (Ipv4Addr::LOCALHOST, port);
        let free = world.is_sim()
            || if datagram { UdpSocket::bind(address).is_ok() } else { TcpListener::bind(address).is_ok() };
        if free {
            return port;
        }
    }
    panic!("no port from 10000 to 29999 is free");
}

/// Two unix stream sockets that are connected.
pub(crate) fn pair(world: &mut World, name: &str) -> (u64, u64) {
    let address = world.unix(name);
    connected(world, 1, 1, address)
}

/// Two sockets connected through a listener at `address`, which is closed again.
#[track_caller]
pub(crate) fn connected(world: &mut World, domain: u64, kind: u64, address: Memory) -> (u64, u64) {
    let listener = world.ok(socket(domain, kind, 0));
    world.ok(bind(listener, address));
    world.ok(listen(listener, 8));
    let near = world.ok(socket(domain, kind, 0));
    world.ok(connect(near, address));
    let far = world.ok(accept(listener, Memory::NONE));
    world.close(listener);
    (near, far)
}

fn socket_types_and_domains(world: &mut World) {
    for (domain, kind, protocol) in
        [(1, 1, 0), (1, 2, 0), (1, 5, 0), (2, 1, 0), (2, 2, 0), (2, 1, 6), (2, 2, 17)]
    {
        let made = world.ok(socket(domain, kind, protocol));
        world.close(made);
    }
    let one = world.one(socket(10, 1, 0));
    assert!(matches!(one.errno(), Errno::OK | Errno::EAFNOSUPPORT), "a system may be without IPv6");
}

fn socket_refusals(world: &mut World) {
    world.fails(socket(200, 1, 0), Errno::EAFNOSUPPORT);
    world.fails_any(socket(2, 5, 0), &[Errno::ESOCKTNOSUPPORT, Errno::EPROTONOSUPPORT]);
    world.fails_any(socket(1, 9, 0), &[Errno::ESOCKTNOSUPPORT, Errno::EINVAL]);
    world.fails_any(socket(1, 0, 0), &[Errno::ESOCKTNOSUPPORT, Errno::EINVAL]);
    world.fails(socket(2, 1, 17), Errno::EPROTONOSUPPORT);
    for kind in [1 | 0o4000, 1 | 0o2_000_000, 1 << 31, 1 << 32, u64::MAX] {
        world.fails(socket(1, kind, 0), Errno::EINVAL);
    }
    world.fails_any(socket(u64::MAX, 1, 0), &[Errno::EINVAL, Errno::EAFNOSUPPORT]);
    world.fails_any(socket(1 << 32 | 1, 1, 0), &[Errno::EINVAL, Errno::EAFNOSUPPORT]);
    assert_eq!(world.descriptors(), 0);
}

fn socket_is_blocking_and_numbers_are_loaded(world: &mut World) {
    let all = world.run(&[
        get(1).local().save(0).link(),
        get(2).save(1).link(),
        get(0).save(2).link(),
        socket(9, 9, 9).load(0, 0).load(1, 1).load(2, 2).save(3).link(),
        close(0).load(0, 3),
    ]);
    assert!(all.iter().all(|one| one.error == 0), "{all:#?}");
    let near = world.ok(socket(1, 2, 0));
    let address = world.unix("d");
    world.ok(bind(near, address));
    let memory = world.room(8);
    world.start(&[recv(near, memory, NONE).data(1)]);
    assert!(world.linger().is_empty(), "no EAGAIN");
    world.start(&[cancel_data(1).data(2)]);
    assert!(world.settle().iter().any(|one| one.errno() == Errno::ECANCELED));
}

fn bind_unix_and_inet(world: &mut World) {
    let unix = world.ok(socket(1, 1, 0));
    let address = world.unix("s");
    assert_eq!(world.ok(bind(unix, address)), 0);
    let (path, record) = (world.path("s"), world.room(256));
    world.ok(stat(path, record));
    let bytes = world.bytes(record);
    assert_eq!(u16::from_ne_bytes([bytes[28], bytes[29]]) & 0o170_000, 0o140_000);
    let inet = world.ok(socket(2, 1, 0));
    let address = world.inet(0);
    assert_eq!(world.ok(bind(inet, address)), 0);
}

fn bind_errors(world: &mut World) {
    let file = world.file("f", b"");
    let address = world.unix("s");
    world.fails(bind(file, address), Errno::ENOTSOCK);
    let first = world.ok(socket(1, 1, 0));
    world.ok(bind(first, address));
    let other = world.unix("other");
    world.fails(bind(first, other), Errno::EINVAL);
    let second = world.ok(socket(1, 1, 0));
    world.fails(bind(second, address), Errno::EADDRINUSE);
    let taken = world.unix("f");
    world.fails(bind(second, taken), Errno::EADDRINUSE);
    let nowhere = world.unix("none/s");
    world.fails(bind(second, nowhere), Errno::ENOENT);
    let inet = world.ok(socket(2, 1, 0));
    let long = world.room(200);
    for length in [129, 200, 1 << 20] {
        world.fails_any(bind(inet, long).arg(2, length), &[Errno::EINVAL]);
    }
    let good = world.inet(0);
    world.fails(bind(inet, good.part(0, 8)), Errno::EINVAL);
    world.fails(bind(inet, Memory::NONE), Errno::EINVAL);
    world.fails_any(bind(inet, address), &[Errno::EAFNOSUPPORT, Errno::EINVAL]);
    let elsewhere = world.put(&[2, 0, 0, 0, 8, 8, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    world.fails(bind(inet, elsewhere), Errno::EADDRNOTAVAIL);
}

fn listen_errors(world: &mut World) {
    let file = world.file("f", b"");
    world.fails(listen(file, 1), Errno::ENOTSOCK);
    let unbound = world.ok(socket(1, 1, 0));
    world.fails(listen(unbound, 1), Errno::EINVAL);
    for domain in [1, 2] {
        let datagram = world.ok(socket(domain, 2, 0));
        world.fails(listen(datagram, 1), Errno::EOPNOTSUPP);
    }
    let bound = world.ok(socket(1, 1, 0));
    let address = world.unix("s");
    world.ok(bind(bound, address));
    assert_eq!(world.ok(listen(bound, u64::MAX)), 0, "the system lowers it");
    assert_eq!(world.ok(listen(bound, 0)), 0);
    let (near, _) = pair(world, "t");
    world.fails(listen(near, 1), Errno::EINVAL);
}

fn connect_errors(world: &mut World) {
    let file = world.file("f", b"");
    let address = world.unix("s");
    world.fails(connect(file, address), Errno::ENOTSOCK);
    let stream = world.ok(socket(1, 1, 0));
    world.fails(connect(stream, address), Errno::ENOENT);
    let plain = world.unix("f");
    world.fails(connect(stream, plain), Errno::ECONNREFUSED);
    let long = world.room(200);
    world.fails(connect(stream, long.part(0, 129)), Errno::EINVAL);
    let datagram = world.ok(socket(1, 2, 0));
    world.ok(bind(datagram, address));
    world.fails(connect(stream, address), Errno::EPROTOTYPE);
    let inet = world.ok(socket(2, 1, 0));
    let good = world.inet(1);
    world.fails(connect(inet, good.part(0, 8)), Errno::EINVAL);
    world.fails_any(connect(inet, address), &[Errno::EAFNOSUPPORT, Errno::EINVAL]);
}

fn connect_with_nobody_listening(world: &mut World) {
    let port = free_port(world, false);
    let inet = world.ok(socket(2, 1, 0));
    let address = world.inet(port);
    world.fails(connect(inet, address), Errno::ECONNREFUSED);
    let bound = world.ok(socket(1, 1, 0));
    let address = world.unix("s");
    world.ok(bind(bound, address));
    let unix = world.ok(socket(1, 1, 0));
    world.fails(connect(unix, address), Errno::ECONNREFUSED);
    world.close(bound);
    world.fails(connect(unix, address), Errno::ECONNREFUSED);
}

fn connect_twice(world: &mut World) {
    let port = free_port(world, false);
    for (domain, address) in [(1, world.unix("s")), (2, world.inet(port))] {
        let listener = world.ok(socket(domain, 1, 0));
        world.ok(bind(listener, address));
        world.ok(listen(listener, 8));
        let near = world.ok(socket(domain, 1, 0));
        world.ok(connect(near, address));
        world.fails(connect(near, address), Errno::EISCONN);
    }
}

fn connect_with_a_full_backlog_waits(world: &mut World) {
    let listener = world.ok(socket(1, 1, 0));
    let address = world.unix("s");
    world.ok(bind(listener, address));
    world.ok(listen(listener, 0));
    let mut refused = None;
    for _ in 0..4 {
        let near = world.ok(socket(1, 1, 0));
        let one = world.one(connect(near, address).timeout(0));
        if one.error != 0 {
            assert_eq!(one.errno(), Errno::ETIMEDOUT);
            refused = Some(near);
            break;
        }
    }
    refused.expect("a backlog of 0 ends");
    let waiting = world.ok(socket(1, 1, 0));
    world.start(&[connect(waiting, address).data(1)]);
    assert!(world.linger().is_empty(), "no room yet");
    world.start(&[accept(listener, Memory::NONE).data(2)]);
    let all = world.settle();
    assert!(all.len() == 2 && all.iter().all(|one| one.error == 0), "{all:#?}");
}

fn datagrams(world: &mut World, domain: u64, first: Memory, second: Memory) {
    let (near, far) = (world.ok(socket(domain, 2, 0)), world.ok(socket(domain, 2, 0)));
    world.ok(bind(near, first));
    world.ok(bind(far, second));
    world.fails_any(
        {
            let data = world.put(b"x");
            send(near, data, NONE)
        },
        &[Errno::EDESTADDRREQ, Errno::ENOTCONN],
    );
    world.ok(connect(near, second));
    world.ok(connect(far, first));
    for text in [&b"one"[..], b"", b"three"] {
        let data = if text.is_empty() { Memory::NONE } else { world.put(text) };
        assert_eq!(world.ok(send(near, data, NONE)), text.len() as u64);
    }
    for text in [&b"one"[..], b"", b"three"] {
        let memory = world.room(16);
        let count = world.ok(recv(far, memory, NONE));
        assert_eq!(world.bytes(memory.part(0, count)), text);
    }
    let memory = world.room(16);
    world.fails(recv(far, memory, NONE).timeout(0), Errno::ETIMEDOUT);
    world.ok(shutdown(near, ShutdownHow::Both));
    let data = world.put(b"x");
    world.fails(send(near, data, NONE), Errno::EPIPE);
}

fn datagrams_over_unix(world: &mut World) {
    let (first, second) = (world.unix("a"), world.unix("b"));
    datagrams(world, 1, first, second);
}

fn datagrams_over_inet(world: &mut World) {
    let (first, second) = (free_port(world, true), free_port(world, true));
    let (first, second) = (world.inet(first), world.inet(second));
    datagrams(world, 2, first, second);
}

fn datagrams_are_cut_and_kept_apart(world: &mut World) {
    let (first, second) = (world.unix("a"), world.unix("b"));
    let (near, far) = (world.ok(socket(1, 2, 0)), world.ok(socket(1, 2, 0)));
    world.ok(bind(near, first));
    world.ok(bind(far, second));
    world.ok(connect(near, second));
    for text in [b"long text", b"other one"] {
        let data = world.put(text);
        world.ok(send(near, data, NONE));
    }
    let memory = world.filled(9, b'#');
    assert_eq!(world.ok(recv(far, memory.part(0, 4), NONE)), 4);
    assert_eq!(world.bytes(memory), b"long#####");
    assert_eq!(world.ok(recv(far, memory, MessageFlags::WAIT_ALL)), 9);
    assert_eq!(world.bytes(memory), b"other one", "what did not fit is lost");
}

fn datagram_limits(world: &mut World) {
    let port = free_port(world, true);
    let address = world.inet(port);
    let (near, far) = (world.ok(socket(2, 2, 0)), world.ok(socket(2, 2, 0)));
    world.ok(bind(far, address));
    world.ok(connect(near, address));
    let data = world.filled(65_508, b'x');
    world.fails(send(near, data, NONE), Errno::EMSGSIZE);
    assert_eq!(world.ok(send(near, data.part(0, 65_507), NONE)), 65_507);
}

fn seqpacket_keeps_messages_apart(world: &mut World) {
    let address = world.unix("s");
    let (near, far) = connected(world, 1, 5, address);
    for text in [&b"one"[..], b"two"] {
        let data = world.put(text);
        assert_eq!(world.ok(send(near, data, NONE)), 3);
    }
    let memory = world.room(16);
    assert_eq!(world.ok(recv(far, memory, NONE)), 3);
    assert_eq!(world.ok(recv(far, memory.part(0, 2), NONE)), 2);
    world.close(near);
    assert_eq!(world.ok(recv(far, memory, NONE)), 0);
}

//! Pipes, sockets and polls of the simulator, through the backend trait.

#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod sim_support;

use ouzel::backend::HostBackend;
use ouzel::backend::sim::{Sim, SimOptions};
use ouzel_engine::{Backend, Buffers, Operation, Outcome};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;
use sim_support::{Driver, Numbers, content, path, read, result, span};

const STREAM: i32 = 1;
const DATAGRAM: i32 = 2;
const SEQUENCED: i32 = 5;

fn driver(seed: u64) -> Driver<Sim> {
    Driver::new(Sim::new(SimOptions::new(seed)))
}

fn unix(name: &[u8]) -> Vec<u8> {
    let mut bytes = 1u16.to_ne_bytes().to_vec();
    bytes.extend(name);
    bytes
}

fn inet(port: u16) -> Vec<u8> {
    let mut bytes = 2u16.to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn inet6(port: u16) -> Vec<u8> {
    let mut bytes = 10u16.to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 19]);
    bytes.push(1);
    bytes.extend([0; 4]);
    bytes
}

trait Sockets {
    fn socket(&mut self, domain: i32, kind: i32, into: u32) -> Result<u64, Errno>;
    fn bind(&mut self, socket: u32, address: &[u8]) -> Result<u64, Errno>;
    fn listen(&mut self, socket: u32, backlog: u32) -> Result<u64, Errno>;
    fn connect(&mut self, socket: u32, address: &[u8]) -> Result<u64, Errno>;
    fn accept(&mut self, socket: u32, into: u32) -> Result<Vec<u8>, Errno>;
    fn shutdown(&mut self, socket: u32, how: ShutdownHow) -> Result<u64, Errno>;
    fn ready(&mut self, file: u32) -> PollEvents;
    /// A listener at 0, a client at 1 and its server at 2.
    fn join(&mut self, domain: i32, kind: i32, address: &[u8]);
}

impl<B: Backend> Sockets for Driver<B> {
    fn socket(&mut self, domain: i32, kind: i32, into: u32) -> Result<u64, Errno> {
        self.run(Operation::Socket { domain, kind, protocol: 0, into })
    }
    fn bind(&mut self, socket: u32, address: &[u8]) -> Result<u64, Errno> {
        self.run(Operation::Bind { socket, address: span(address) })
    }
    fn listen(&mut self, socket: u32, backlog: u32) -> Result<u64, Errno> {
        self.run(Operation::Listen { socket, backlog })
    }
    fn connect(&mut self, socket: u32, address: &[u8]) -> Result<u64, Errno> {
        self.run(Operation::Connect { socket, address: span(address) })
    }
    fn accept(&mut self, socket: u32, into: u32) -> Result<Vec<u8>, Errno> {
        let address = span(&[0; 128]);
        match self.run_full(Operation::Accept { socket, address: Some(address), into, multishot: false }) {
            Outcome::Done { error: Errno::OK, extra, .. } => Ok(content(address, extra as usize)),
            outcome => Err(result(outcome).unwrap_err()),
        }
    }
    fn shutdown(&mut self, socket: u32, how: ShutdownHow) -> Result<u64, Errno> {
        self.run(Operation::Shutdown { socket, how })
    }
    fn ready(&mut self, file: u32) -> PollEvents {
        let events = PollEvents::IN | PollEvents::OUT | PollEvents::READ_HANGUP;
        match self.run_now(Operation::Poll { file, events, multishot: false }) {
            Ok(ready) => PollEvents::from_bits_retain(ready),
            Err(error) => {
                assert_eq!(error, Errno::ETIMEDOUT);
                PollEvents::empty()
            }
        }
    }
    fn join(&mut self, domain: i32, kind: i32, address: &[u8]) {
        self.socket(domain, kind, 0).unwrap();
        self.bind(0, address).unwrap();
        self.listen(0, 4).unwrap();
        self.socket(domain, kind, 1).unwrap();
        self.connect(1, address).unwrap();
        self.accept(0, 2).unwrap();
    }
}

fn recv(socket: u32, count: usize, flags: MessageFlags) -> Operation {
    Operation::Recv { socket, buffer: span(&vec![0; count]), flags }
}

#[test]
fn pipes_agree_with_the_kernel() {
    for seed in 0..20 {
        let mut numbers = Numbers(seed);
        let mut sim = driver(seed);
        sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
        let flags = rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK;
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        let again = |error: rustix::io::Errno| match error {
            rustix::io::Errno::AGAIN => Errno::ETIMEDOUT.raw(),
            other => other.raw_os_error(),
        };
        for step in 0..2000 {
            if numbers.below(2) == 0 {
                let length = *numbers.pick(&[0, 1, 3, 100, 4000, 4096, 4097, 5000, 30_000, 70_000]);
                let data: Vec<u8> = (0..length).map(|_| numbers.below(256) as u8).collect();
                let theirs = rustix::io::write(&writer, &data).map(|count| count as u64).map_err(again);
                let buffers = Buffers::One(span(&data));
                let ours = sim.run_now(Operation::Write { file: 1, buffers, position: None });
                assert_eq!(
                    ours.map_err(|error| error.raw()),
                    theirs,
                    "seed {seed} step {step} write {length}"
                );
            } else {
                let length = *numbers.pick(&[0, 1, 10, 1000, 4096, 20_000, 100_000]);
                let mut buffer = vec![0; length];
                let theirs = rustix::io::read(&reader, &mut buffer[..]).map_err(again);
                let ours = span(&vec![0; length]);
                let count =
                    sim.run_now(Operation::Read { file: 0, buffers: Buffers::One(ours), position: None });
                assert_eq!(
                    count.map(|count| count as usize).map_err(|error| error.raw()),
                    theirs,
                    "seed {seed} step {step} read {length}"
                );
                if let Ok(count) = theirs {
                    assert_eq!(content(ours, count), buffer[..count]);
                }
            }
        }
    }
}

#[test]
fn pipes_end_and_break() {
    let mut sim = driver(1);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    assert_eq!(sim.ready(0), PollEvents::empty());
    assert_eq!(sim.ready(1), PollEvents::OUT);
    let waiting = sim.begin(read(0, 10));
    assert!(sim.is_waiting(waiting));
    sim.write(1, b"abc", None).unwrap();
    assert_eq!(sim.end(waiting).map(result), Some(Ok(3)));
    let waiting = sim.begin(read(0, 10));
    sim.close(1).unwrap();
    assert_eq!(sim.end(waiting).map(result), Some(Ok(0)));
    assert_eq!(sim.ready(0), PollEvents::HANGUP);
    assert_eq!(sim.read(1, 1, None), Err(Errno::EBADF));

    sim.run(Operation::Pipe { into: [2, 3] }).unwrap();
    assert_eq!(sim.read(3, 1, None), Err(Errno::EBADF));
    assert_eq!(sim.read(2, 1, Some(0)), Err(Errno::ESPIPE));
    assert_eq!(sim.run(Operation::Seek { file: 2, offset: 0, whence: Whence::Start }), Err(Errno::ESPIPE));
    sim.close(2).unwrap();
    assert_eq!(sim.write(3, b"x", None), Err(Errno::EPIPE));
    assert_eq!(sim.ready(3), PollEvents::OUT | PollEvents::ERROR);
}

#[test]
fn a_close_leaves_what_runs_on_the_old_object() {
    let mut sim = driver(2);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let waiting = sim.begin(read(0, 10));
    sim.close(0).unwrap();
    sim.open("f", OpenFlags::READ | OpenFlags::CREATE, 0).unwrap();
    assert!(sim.is_waiting(waiting));
    sim.write(1, b"old", None).unwrap();
    assert_eq!(sim.end(waiting).map(result), Some(Ok(3)));
    assert_eq!(sim.write(1, b"old", None), Err(Errno::EPIPE), "the last reader has gone");
}

#[test]
fn whole_writes_go_on_until_all_is_written() {
    let mut options = SimOptions::new(3);
    options.whole_writes = true;
    let mut sim = Driver::new(Sim::new(options));
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let buffers = Buffers::One(span(&[7; 100_000]));
    let writing = sim.begin(Operation::Write { file: 1, buffers, position: None });
    assert!(sim.is_waiting(writing));
    assert_eq!(sim.read(0, 50_000, None).unwrap().len(), 50_000);
    assert_eq!(sim.end(writing).map(result), Some(Ok(100_000)));
}

#[test]
fn streams_carry_bytes_and_ends() {
    for (seed, domain, address) in
        [(1, 1, unix(b"/name")), (2, 1, unix(b"\0name")), (3, 2, inet(4000)), (4, 10, inet6(4000))]
    {
        let mut sim = driver(seed);
        sim.socket(domain, STREAM, 1).unwrap();
        let (none, idle) =
            if domain == 1 { (Errno::ENOTCONN, Errno::EINVAL) } else { (Errno::EPIPE, Errno::ENOTCONN) };
        assert_eq!(sim.send(1, b"x"), Err(none));
        assert_eq!(sim.recv(1, 1), Err(idle));
        assert_eq!(sim.ready(1), PollEvents::OUT | PollEvents::HANGUP);
        let missing = if address[2] == b'/' { Errno::ENOENT } else { Errno::ECONNREFUSED };
        assert_eq!(sim.connect(1, &address), Err(missing));
        sim.close(1).unwrap();
        sim.join(domain, STREAM, &address);
        assert_eq!(sim.connect(1, &address), Err(Errno::EISCONN));
        assert_eq!(sim.ready(1), PollEvents::OUT);
        assert_eq!(sim.send(1, b"hello"), Ok(5));
        assert_eq!(sim.recv(2, 3).unwrap(), b"hel");
        assert_eq!(sim.run(recv(2, 3, MessageFlags::PEEK)), Ok(2));
        assert_eq!(sim.recv(2, 3).unwrap(), b"lo");
        let all = sim.begin(recv(1, 6, MessageFlags::WAIT_ALL));
        sim.send(2, b"abc").unwrap();
        assert!(sim.is_waiting(all));
        sim.send(2, b"def").unwrap();
        assert_eq!(sim.end(all).map(result), Some(Ok(6)));
        // Half closed: the other way goes on.
        sim.shutdown(1, ShutdownHow::Send).unwrap();
        assert_eq!(sim.send(1, b"x"), Err(Errno::EPIPE));
        assert_eq!(sim.recv(2, 1).unwrap(), b"");
        assert_eq!(sim.send(2, b"still"), Ok(5));
        assert_eq!(sim.recv(1, 9).unwrap(), b"still");
        sim.close(2).unwrap();
        assert_eq!(sim.recv(1, 9).unwrap(), b"");
    }
}

#[test]
fn what_closing_does_to_a_peer() {
    for (seed, domain, address) in [(1, 1, unix(b"\0name")), (2, 2, inet(4000)), (3, 10, inet6(4000))] {
        let mut sim = driver(seed);
        sim.join(domain, STREAM, &address);
        // With bytes unread, a close cuts off; what had come the other way can still be read.
        sim.send(1, b"unread").unwrap();
        sim.send(2, b"read").unwrap();
        sim.close(2).unwrap();
        assert_eq!(sim.recv(1, 9).unwrap(), b"read");
        assert_eq!(sim.recv(1, 9), Err(Errno::ECONNRESET));
        assert_eq!(sim.recv(1, 9).unwrap(), b"");
        assert_eq!(sim.send(1, b"x"), Err(Errno::EPIPE));
        // Without, it is an end; an inet peer learns only from its first send that nobody is there.
        sim.socket(domain, STREAM, 3).unwrap();
        sim.connect(3, &address).unwrap();
        sim.accept(0, 4).unwrap();
        sim.close(4).unwrap();
        if domain != 1 {
            assert_eq!(sim.send(3, b"x"), Ok(1));
        }
        assert_eq!(sim.send(3, b"x"), Err(Errno::EPIPE));
        assert_eq!(sim.recv(3, 9).unwrap(), b"");
        // Connections nobody accepted are cut off with their listener.
        sim.socket(domain, STREAM, 5).unwrap();
        sim.connect(5, &address).unwrap();
        let waiting = sim.begin(recv(5, 1, MessageFlags::empty()));
        sim.close(0).unwrap();
        assert_eq!(sim.end(waiting).map(result), Some(Err(Errno::ECONNRESET)));
    }
}

#[test]
fn names_of_sockets_are_in_use_once() {
    let mut sim = driver(1);
    for (into, address, domain) in
        [(0, unix(b"/s"), 1), (1, unix(b"\0s"), 1), (2, inet(80), 2), (3, inet6(80), 10)]
    {
        sim.socket(domain, STREAM, into).unwrap();
        assert_eq!(sim.bind(into, &address), Ok(0));
        sim.socket(domain, STREAM, 9).unwrap();
        assert_eq!(sim.bind(9, &address), Err(Errno::EADDRINUSE));
        sim.close(9).unwrap();
    }
    assert_eq!(sim.bind(2, &inet(81)), Err(Errno::EINVAL));
    assert_eq!(sim.open("s", OpenFlags::READ, 9), Err(Errno::ENXIO));
    sim.socket(1, STREAM, 4).unwrap();
    assert_eq!(sim.connect(4, &unix(b"/s")), Err(Errno::ECONNREFUSED), "nobody listens");
    assert_eq!(sim.listen(4, 1), Err(Errno::EINVAL), "it has no name");
    sim.close(0).unwrap();
    assert_eq!(sim.connect(4, &unix(b"/s")), Err(Errno::ECONNREFUSED), "the name outlives its socket");
    sim.run(Operation::Remove { directory: None, path: path("s"), flags: RemoveFlags::empty() }).unwrap();
    assert_eq!(sim.connect(4, &unix(b"/s")), Err(Errno::ENOENT));
    assert_eq!(sim.bind(4, &inet(1)), Err(Errno::EINVAL));
    assert_eq!(sim.bind(4, &[1]), Err(Errno::EINVAL));
    let mut far = inet(90);
    far[4] = 10;
    sim.socket(2, STREAM, 5).unwrap();
    assert_eq!(sim.bind(5, &far), Err(Errno::EADDRNOTAVAIL));
    assert_eq!(sim.connect(5, &far), Err(Errno::ENETUNREACH));
    assert_eq!(sim.bind(5, &inet6(90)), Err(Errno::EAFNOSUPPORT));
}

#[test]
fn what_is_no_socket_or_the_wrong_kind() {
    let mut sim = driver(1);
    sim.open("f", OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE, 0).unwrap();
    assert_eq!(sim.listen(0, 1), Err(Errno::ENOTSOCK));
    assert_eq!(sim.send(0, b"x"), Err(Errno::ENOTSOCK));
    assert_eq!(sim.accept(0, 1), Err(Errno::ENOTSOCK));
    assert_eq!(sim.shutdown(7, ShutdownHow::Both), Err(Errno::EBADF));
    assert_eq!(sim.socket(2, SEQUENCED, 1), Err(Errno::ESOCKTNOSUPPORT));
    assert_eq!(sim.socket(99, STREAM, 1), Err(Errno::EAFNOSUPPORT));
    sim.socket(2, DATAGRAM, 1).unwrap();
    assert_eq!(sim.listen(1, 1), Err(Errno::EOPNOTSUPP));
    assert_eq!(sim.accept(1, 2), Err(Errno::EOPNOTSUPP));
    assert_eq!(sim.send(1, b"x"), Err(Errno::EDESTADDRREQ));
    sim.socket(2, STREAM, 2).unwrap();
    assert_eq!(sim.accept(2, 3), Err(Errno::EINVAL));
    assert_eq!(sim.shutdown(2, ShutdownHow::Both), Err(Errno::ENOTCONN));
    assert_eq!(sim.read(2, 1, Some(0)), Err(Errno::ESPIPE));
    let sync = |mode| Operation::Sync { file: 2, mode, offset: 0, length: 0 };
    assert_eq!(sim.run(sync(SyncMode::Full)), Err(Errno::EINVAL));
    assert_eq!(sim.run(Operation::Truncate { file: 2, length: 0 }), Err(Errno::EINVAL));
    let mut listener = driver(2);
    listener.join(1, STREAM, &unix(b"\0n"));
    listener.socket(1, SEQUENCED, 3).unwrap();
    assert_eq!(listener.connect(3, &unix(b"\0n")), Err(Errno::EPROTOTYPE));
    assert!(listener.backend.adopt(9, std::fs::File::open("/").unwrap().into()).is_err());
    assert_eq!(listener.backend.release(0).unwrap_err(), Errno::EOPNOTSUPP);
}

#[test]
fn datagrams_keep_their_borders() {
    for (domain, a, b) in [(1, unix(b"\0a"), unix(b"\0b")), (2, inet(1), inet(2))] {
        let mut sim = driver(1);
        sim.socket(domain, DATAGRAM, 0).unwrap();
        sim.socket(domain, DATAGRAM, 1).unwrap();
        sim.bind(0, &a).unwrap();
        sim.bind(1, &b).unwrap();
        sim.connect(0, &b).unwrap();
        sim.send(0, b"long message").unwrap();
        sim.send(0, b"two").unwrap();
        assert_eq!(sim.recv(1, 4).unwrap(), b"long");
        assert_eq!(sim.recv(1, 40).unwrap(), b"two");
        assert_eq!(sim.send(0, &[0; 300_000]), Err(Errno::EMSGSIZE));
        sim.close(1).unwrap();
        if domain == 2 {
            assert_eq!(sim.send(0, b"x"), Ok(1), "the answer is yet to come");
        }
        assert_eq!(sim.send(0, b"x"), Err(Errno::ECONNREFUSED));
    }
    let mut sim = driver(2);
    sim.join(1, SEQUENCED, &unix(b"\0s"));
    sim.send(1, b"one").unwrap();
    sim.send(1, b"two").unwrap();
    assert_eq!(sim.recv(2, 10).unwrap(), b"one");
    assert_eq!(sim.recv(2, 10).unwrap(), b"two");
    sim.close(1).unwrap();
    assert_eq!(sim.recv(2, 10).unwrap(), b"");
    assert_eq!(sim.send(2, b"x"), Err(Errno::EPIPE));
}

#[test]
fn a_full_backlog_makes_connects_wait() {
    for (domain, address) in [(1, unix(b"\0full")), (2, inet(7))] {
        let mut sim = driver(3);
        sim.socket(domain, STREAM, 0).unwrap();
        sim.bind(0, &address).unwrap();
        sim.listen(0, 0).unwrap();
        sim.socket(domain, STREAM, 1).unwrap();
        sim.socket(domain, STREAM, 2).unwrap();
        sim.connect(1, &address).unwrap();
        let waiting = sim.begin(Operation::Connect { socket: 2, address: span(&address) });
        assert!(sim.is_waiting(waiting));
        let name = sim.accept(0, 3).unwrap();
        assert_eq!(name.len(), if domain == 1 { 2 } else { 16 });
        assert_eq!(sim.end(waiting).map(result), Some(Ok(0)));
    }
}

#[test]
fn multishot_accepts_give_handles() {
    let mut sim = driver(4);
    sim.socket(2, STREAM, 0).unwrap();
    sim.bind(0, &inet(5)).unwrap();
    sim.listen(0, 9).unwrap();
    let token = sim.begin(Operation::Accept { socket: 0, address: None, into: 0, multishot: true });
    for client in 1..=3 {
        sim.socket(2, STREAM, client).unwrap();
        sim.connect(client, &inet(5)).unwrap();
    }
    assert!(sim.is_waiting(token));
    let handles: Vec<u64> = sim
        .reports
        .drain(..)
        .filter(|report| report.token == token)
        .map(|report| {
            assert!(report.more);
            result(report.outcome).unwrap()
        })
        .collect();
    assert_eq!(handles.len(), 3);
    sim.backend.attach(handles[0], 10);
    sim.send(1, b"hi").unwrap();
    assert_eq!(sim.recv(10, 9).unwrap(), b"hi");
    sim.backend.discard(handles[1]);
    assert_eq!(sim.recv(2, 9).unwrap(), b"");
    sim.backend.cancel(token);
    assert_eq!(sim.end(token).map(result), Some(Err(Errno::ECANCELED)));
}

#[test]
fn multishot_polls_tell_what_is_new() {
    let mut sim = driver(5);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    let token = sim.begin(Operation::Poll { file: 0, events: PollEvents::IN, multishot: true });
    assert!(sim.is_waiting(token));
    for round in 1..=3 {
        sim.write(1, b"x", None).unwrap();
        assert!(sim.is_waiting(token));
        let told = sim.reports.iter().filter(|report| report.token == token).count();
        assert_eq!(told, round, "one report for each arrival");
    }
    sim.read(0, 1, None).unwrap();
    sim.backend.cancel(token);
    assert_eq!(sim.end(token).map(result), Some(Err(Errno::ECANCELED)));
}

#[test]
fn what_may_not_wait_is_told_so() {
    let mut sim = driver(6);
    sim.run(Operation::Pipe { into: [0, 1] }).unwrap();
    assert_eq!(sim.run_now(read(0, 1)), Err(Errno::ETIMEDOUT));
    sim.join(2, STREAM, &inet(1));
}

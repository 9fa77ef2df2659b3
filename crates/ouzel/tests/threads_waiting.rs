//! The threads backend, driven by its trait: what waits, and how it stops waiting.
#![allow(clippy::unwrap_used)]

mod rig;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use ouzel_engine::{Backend, Buffers, Operation, Outcome, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MessageFlags, PollEvents, ShutdownHow, SyncMode, Whence};
use rig::*;

const NONE: MessageFlags = MessageFlags::empty();

/// Tests that count descriptors or threads of the process run alone; all others share.
static ALONE: std::sync::RwLock<()> = std::sync::RwLock::new(());

fn shared() -> std::sync::RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn alone() -> std::sync::RwLockWriteGuard<'static, ()> {
    ALONE.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A `struct sockaddr_in` for this host.
fn inet(port: u16) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&2u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    address
}

fn socket(domain: i32, kind: i32, into: u32) -> Operation {
    Operation::Socket { domain, kind, protocol: 0, into }
}

fn accept(socket: u32, into: u32) -> Operation {
    Operation::Accept { socket, address: None, into, multishot: false }
}

fn poll(file: u32, events: PollEvents) -> Operation {
    Operation::Poll { file, events, multishot: false }
}

#[test]
fn pipes_wait_end_and_break() {
    let _shared = shared();
    let mut rig = Rig::new();
    rig.good(Operation::Pipe { into: [1, 2] });
    let mut bytes = [0; 16];
    assert_eq!(rig.run_now(read(1, &mut bytes, None)), failure(Errno::ETIMEDOUT));
    assert_eq!(rig.bad(read(1, &mut bytes, Some(0))), Errno::ESPIPE);
    assert_eq!(rig.bad(write(2, b"x", Some(0))), Errno::ESPIPE);
    assert_eq!(rig.bad(read(2, &mut bytes, None)), Errno::EBADF);
    assert_eq!(rig.bad(Operation::Seek { file: 1, offset: 0, whence: Whence::Start }), Errno::ESPIPE);
    let sync = Operation::Sync { file: 1, mode: SyncMode::Full, offset: 0, length: 0 };
    assert_eq!(rig.bad(sync), Errno::EINVAL);
    assert_eq!(rig.bad(recv(1, &mut bytes, NONE)), Errno::ENOTSOCK);

    let waiting = rig.park(read(1, &mut bytes, None));
    rig.quiet(20);
    rig.good(write(2, b"hello", None));
    assert_eq!(rig.end(waiting), Outcome::success(5));
    assert_eq!(&bytes[..5], b"hello");

    let waiting = rig.park(read(1, &mut bytes, None));
    rig.backend.cancel(waiting);
    rig.backend.cancel(waiting);
    assert_eq!(rig.end(waiting), failure(Errno::ECANCELED));
    rig.backend.cancel(waiting);
    rig.good(write(2, b"kept", None));
    rig.quiet(20);

    // Fill it; the next write waits for room.
    let block = vec![7; 1 << 16];
    while rig.run_now(write(2, &block, None)) != failure(Errno::ETIMEDOUT) {}
    let waiting = rig.park(write(2, b"more", None));
    let mut room = vec![0; 1 << 20];
    assert!(rig.good(read(1, &mut room, None)) > 4);
    assert_eq!(rig.end(waiting), Outcome::success(4));
    while rig.run_now(read(1, &mut room, None)) != failure(Errno::ETIMEDOUT) {}

    // Two buffers, one short.
    let (mut one, mut two) = ([0; 2], [0; 9]);
    let spans = [span(&mut one), span(&mut two)];
    let buffers = Buffers::Many { spans: spans.as_ptr(), count: 2 };
    let waiting = rig.park(Operation::Read { file: 1, buffers, position: None });
    rig.good(write(2, b"vector", None));
    assert_eq!(rig.end(waiting), Outcome::success(6));
    assert_eq!((&one, &two[..4]), (b"ve", &b"ctor"[..]));

    let waiting = rig.park(read(1, &mut bytes, None));
    rig.close(2);
    assert_eq!(rig.end(waiting), Outcome::success(0), "the end");
    rig.good(Operation::Pipe { into: [3, 4] });
    rig.close(3);
    assert_eq!(rig.bad(write(4, b"x", None)), Errno::EPIPE);
}

#[test]
fn a_close_leaves_a_waiting_read_alone() {
    let _shared = shared();
    let mut rig = Rig::new();
    rig.good(Operation::Pipe { into: [1, 2] });
    let mut bytes = [0; 16];
    let waiting = rig.park(read(1, &mut bytes, None));
    rig.close(1);
    assert_eq!(rig.bad(read(1, &mut [0; 4], None)), Errno::EBADF);
    // The index serves another object meanwhile.
    rig.good(Operation::Pipe { into: [1, 3] });
    rig.quiet(20);
    rig.good(write(2, b"old", None));
    assert_eq!(rig.end(waiting), Outcome::success(3));
    assert_eq!(rig.bad(write(2, b"x", None)), Errno::EPIPE, "closed in truth by now");
    let waiting = rig.park(read(1, &mut bytes, None));
    rig.close(1);
    rig.backend.cancel(waiting);
    assert_eq!(rig.end(waiting), failure(Errno::ECANCELED));
    assert_eq!(rig.bad(write(3, b"x", None)), Errno::EPIPE);
}

#[test]
fn a_stream_connects_talks_and_ends() {
    let _shared = shared();
    let mut rig = Rig::new();
    assert_eq!(rig.bad(socket(2, 77, 1)), Errno::EINVAL);
    assert_eq!(rig.bad(socket(-1, 1, 1)), Errno::EAFNOSUPPORT);
    rig.good(socket(2, 1, 1));
    let mut any = inet(0);
    rig.good(Operation::Bind { socket: 1, address: span(&mut any) });
    assert_eq!(rig.bad(Operation::Bind { socket: 1, address: Span::EMPTY }), Errno::EINVAL);
    assert_eq!(rig.bad(accept(1, 2)), Errno::EINVAL);
    rig.good(Operation::Listen { socket: 1, backlog: 8 });
    assert_eq!(rig.run_now(accept(1, 2)), failure(Errno::ETIMEDOUT));
    // Its port is not told by any verb: look at the object from outside.
    let listener = {
        use ouzel::backend::HostBackend;
        rig.backend.release(1).unwrap()
    };
    assert!(!rustix::fs::fcntl_getfl(&listener).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    let listener = TcpListener::from(listener);
    let port = listener.local_addr().unwrap().port();
    rig.adopt(1, listener);

    let mut peer = [0; 32];
    let with_address =
        Operation::Accept { socket: 1, address: Some(span(&mut peer)), into: 2, multishot: false };
    let waiting = rig.park(with_address);
    rig.good(socket(2, 1, 3));
    let mut address = inet(port);
    rig.good(Operation::Connect { socket: 3, address: span(&mut address) });
    assert_eq!(rig.end(waiting), Outcome::Done { error: Errno::OK, result: 0, extra: 16 });
    assert_eq!(&peer[4..8], &[127, 0, 0, 1]);
    assert_eq!(rig.bad(Operation::Connect { socket: 3, address: span(&mut address) }), Errno::EISCONN);

    let mut bytes = [0; 16];
    assert_eq!(rig.run_now(recv(2, &mut bytes, NONE)), failure(Errno::ETIMEDOUT));
    let whole = rig.park(recv(2, &mut bytes[..10], MessageFlags::WAIT_ALL));
    rig.good(send(3, b"01234", NONE));
    rig.quiet(30);
    rig.good(send(3, b"56789", NONE));
    assert_eq!(rig.end(whole), Outcome::success(10));
    assert_eq!(&bytes[..10], b"0123456789");

    // What came before the cancel is not lost.
    let whole = rig.park(recv(2, &mut bytes[..10], MessageFlags::WAIT_ALL));
    rig.good(send(3, b"abc", NONE));
    eventually("the waiting receive took what came", || {
        rig.run_now(recv(2, &mut [0], MessageFlags::PEEK)) == failure(Errno::ETIMEDOUT)
    });
    rig.backend.cancel(whole);
    assert_eq!(rig.end(whole), Outcome::success(3));
    rig.good(send(3, b"peek", NONE));
    let peek = rig.park(recv(2, &mut bytes[..8], MessageFlags::PEEK | MessageFlags::WAIT_ALL));
    rig.quiet(20);
    rig.good(send(3, b"peek", NONE));
    assert_eq!(rig.end(peek), Outcome::success(8));
    assert_eq!(rig.good(recv(2, &mut bytes, MessageFlags::PEEK)), 8);
    assert_eq!(rig.good(read(2, &mut bytes, None)), 8);

    // Room runs out, and comes back.
    let block = vec![3; 32 << 20];
    let all = rig.park(send(3, &block, MessageFlags::WAIT_ALL));
    let mut count = 0;
    let mut sink = vec![0; 1 << 20];
    while count < 32 << 20 {
        count += rig.good(recv(2, &mut sink, NONE));
    }
    assert_eq!(rig.end(all), Outcome::success(32 << 20));
    // The kernel moves bytes on by itself, so room may come back between the fill and the cancel: then fill again.
    let cancelled = (0..50).any(|_| {
        while rig.run_now(send(3, &block, NONE)) != failure(Errno::ETIMEDOUT) {}
        match rig.start(write(3, b"tail", None), true) {
            (_, Some(_)) => false,
            (waiting, None) => {
                rig.backend.cancel(waiting);
                rig.end(waiting) == failure(Errno::ECANCELED)
            }
        }
    });
    assert!(cancelled, "no cancel of a write to a full socket ever won");
    while rig.run_now(recv(2, &mut sink, NONE)) != failure(Errno::ETIMEDOUT) {}

    rig.good(Operation::Shutdown { socket: 3, how: ShutdownHow::Send });
    assert_eq!(rig.bad(send(3, b"x", NONE)), Errno::EPIPE);
    // What the kernel was still carrying when the socket looked empty comes before the end.
    while rig.good(recv(2, &mut sink, NONE)) > 0 {}
    for file in 1..=3 {
        rig.close(file);
    }
}

#[test]
fn a_connect_fails_waits_and_is_cancelled() {
    let _shared = shared();
    let mut rig = Rig::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    rig.good(socket(2, 1, 1));
    let mut address = inet(port);
    for _ in 0..2 {
        let operation = Operation::Connect { socket: 1, address: span(&mut address) };
        assert_eq!(rig.bad(operation), Errno::ECONNREFUSED);
    }

    // A listener whose queue is full: the last connections hang.
    let folders = Folder::each("connect");
    let path = folders[0].0.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let mut address = vec![0; 2];
    address.copy_from_slice(&1u16.to_ne_bytes());
    address.extend_from_slice(path.as_os_str().as_encoded_bytes());
    address.push(0);
    if address.len() > 110 {
        println!("SKIPPED: the test folder's path is too long for a local socket");
        return;
    }
    let mut connect = |rig: &mut Rig, index| {
        rig.good(socket(1, 1, index));
        let operation = Operation::Connect { socket: index, address: span(&mut address) };
        let (token, end) = rig.start(operation, true);
        (token, end, operation)
    };
    let (_, first, _) = connect(&mut rig, 2);
    assert_eq!(first, Some(Outcome::success(0)));
    let (second, end, operation) = connect(&mut rig, 3);
    assert_eq!(end, None, "no room in the queue");
    assert_eq!(rig.run_now(operation), failure(Errno::ETIMEDOUT));
    rig.quiet(20);
    let (third, end, _) = connect(&mut rig, 4);
    assert_eq!(end, None);
    rig.backend.cancel(third);
    assert_eq!(rig.end(third), failure(Errno::ECANCELED));
    // It is tried again and again, but never in a hurry.
    let (begin, before) = (rig.backend.now(), rig.backend.counters().calls);
    eventually("it is tried again", || {
        rig.quiet(50);
        rig.backend.counters().calls - before >= 2
    });
    let tries = rig.backend.counters().calls - before;
    let tenths = (rig.backend.now() - begin) / 100_000_000 + 1;
    assert!(tries <= 25 * tenths, "{tries} tries in {tenths} tenths of a second");
    listener.accept().unwrap();
    assert_eq!(rig.end(second), Outcome::success(0));

    // Binding to a name makes a file.
    rig.good(socket(1, 1, 5));
    let bind = Operation::Bind { socket: 5, address: span(&mut address) };
    assert_eq!(rig.bad(bind), Errno::EADDRINUSE);
    std::fs::remove_file(&path).unwrap();
    rig.good(bind);
    rig.good(Operation::Listen { socket: 5, backlog: 3 });
    let waiting = rig.park(accept(5, 6));
    let mut stream = UnixStream::connect(&path).unwrap();
    assert!(matches!(rig.end(waiting), Outcome::Done { error: Errno::OK, .. }));
    stream.write_all(b"hello").unwrap();
    let mut bytes = [0; 9];
    assert_eq!(rig.good(recv(6, &mut bytes, NONE)), 5);
    let waiting = rig.park(accept(5, 7));
    rig.backend.cancel(waiting);
    assert_eq!(rig.end(waiting), failure(Errno::ECANCELED));
}

#[test]
fn datagrams_keep_their_borders() {
    let _shared = shared();
    let mut rig = Rig::new();
    let (one, two) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    one.connect(two.local_addr().unwrap()).unwrap();
    two.connect(one.local_addr().unwrap()).unwrap();
    rig.adopt(1, one);
    rig.adopt(2, two);
    let mut bytes = [0; 16];
    let whole = rig.park(recv(1, &mut bytes, MessageFlags::WAIT_ALL));
    rig.good(send(2, b"abc", NONE));
    assert_eq!(rig.end(whole), Outcome::success(3), "a datagram is whole");
    rig.good(write(2, b"longer", None));
    assert_eq!(rig.good(recv(1, &mut bytes[..2], NONE)), 2);
    assert_eq!(rig.run_now(recv(1, &mut bytes, NONE)), failure(Errno::ETIMEDOUT));
    rig.good(send(2, b"", NONE));
    assert_eq!(rig.good(recv(1, &mut bytes, NONE)), 0);
}

#[test]
fn polls_tell_what_is_ready() {
    let _shared = shared();
    let mut rig = Rig::new();
    rig.good(Operation::Pipe { into: [1, 2] });
    assert_eq!(rig.good(poll(2, PollEvents::OUT)), PollEvents::OUT.bits());
    assert_eq!(rig.run_now(poll(1, PollEvents::IN)), failure(Errno::ETIMEDOUT));
    let (first, second) = (rig.park(poll(1, PollEvents::IN)), rig.park(poll(1, PollEvents::IN)));
    let nothing = rig.park(poll(1, PollEvents::empty()));
    let mut bytes = [0; 4];
    let reader = rig.park(read(1, &mut bytes[..1], None));
    let cancelled = rig.park(poll(1, PollEvents::IN));
    rig.backend.cancel(cancelled);
    assert_eq!(rig.end(cancelled), failure(Errno::ECANCELED));
    rig.good(write(2, b"ab", None));
    for token in [first, second] {
        assert_eq!(rig.end(token), Outcome::success(PollEvents::IN.bits()));
    }
    assert_eq!(rig.end(reader), Outcome::success(1));
    rig.close(2);
    assert_eq!(rig.end(nothing), Outcome::success(PollEvents::HANGUP.bits()));
}

#[test]
fn a_multishot_poll_goes_on_until_it_is_cancelled() {
    let _shared = shared();
    let mut rig = Rig::new();
    rig.good(Operation::Pipe { into: [1, 2] });
    let many = rig.park(Operation::Poll { file: 1, events: PollEvents::IN, multishot: true });
    // A plain wait on the same object does not disturb it.
    let mut bytes = [0; 4];
    for _ in 0..10 {
        let reader = rig.park(read(1, &mut bytes, None));
        rig.good(write(2, b"x", None));
        let report = rig.report(many);
        assert!(report.more);
        assert_eq!(report.outcome, Outcome::success(PollEvents::IN.bits()));
        assert_eq!(rig.end(reader), Outcome::success(1));
    }
    // Nobody fetches: the events are merged, not heaped up.
    for _ in 0..100 {
        rig.good(write(2, b"x", None));
    }
    rig.backend.cancel(many);
    let mut count = 0;
    loop {
        let report = rig.report(many);
        count += 1;
        if !report.more {
            assert_eq!(report.outcome, failure(Errno::ECANCELED));
            break;
        }
    }
    assert!(count <= 3, "{count} reports");
    rig.quiet(20);
}

#[test]
fn a_multishot_accept_goes_on_rests_and_resumes() {
    let _shared = shared();
    let mut rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 1000).unwrap();
    let address = listener.local_addr().unwrap();
    rig.adopt(1, listener);
    let many = rig.park(Operation::Accept { socket: 1, address: None, into: 0, multishot: true });
    let mut peers: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(30));
    for (count, peer) in peers.iter_mut().enumerate() {
        let report = rig.report(many);
        assert!(report.more);
        let Outcome::Done { error: Errno::OK, result: handle, .. } = report.outcome else {
            panic!("{report:?}");
        };
        if count % 2 == 0 {
            rig.backend.attach(handle, 2);
            rig.good(send(2, b"hi", NONE));
            rig.close(2);
            let mut text = String::new();
            let _ = peer.set_read_timeout(Some(Duration::from_secs(10)));
            assert_eq!(peer.read_to_string(&mut text).unwrap(), 2);
        } else {
            rig.backend.discard(handle);
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        }
    }
    rig.backend.cancel(many);
    assert_eq!(rig.end(many), failure(Errno::ECANCELED));
    assert_eq!(
        rig.bad(Operation::Accept { socket: 9, address: None, into: 0, multishot: true }),
        Errno::EBADF
    );
    rig.good(Operation::Pipe { into: [4, 5] });
    let (token, end) =
        rig.start(Operation::Accept { socket: 4, address: None, into: 0, multishot: true }, true);
    assert_eq!(end, None);
    rig.good(write(5, b"x", None));
    assert_eq!(rig.end(token), failure(Errno::ENOTSOCK));
}

#[test]
fn waiting_takes_no_threads() {
    let _alone = alone();
    let mut rig = Rig::with_workers(2);
    let mut buffers = vec![[0u8; 1]; 1000];
    rig.good(Operation::Pipe { into: [1, 2] });
    let tokens: Vec<_> = buffers.iter_mut().map(|buffer| rig.park(read(1, buffer, None))).collect();
    // A thread names itself, in its own time.
    eventually("one thread waits for all", || threads("ouzel-poll") == 1);
    assert_eq!(threads("ouzel-work"), 0);
    // Storage goes on beside them.
    rig.open(&Name::new("/proc/self/stat"), ouzel_ring::modifiers::OpenFlags::READ, 3);
    for token in &tokens[..100] {
        rig.backend.cancel(*token);
        assert_eq!(rig.end(*token), failure(Errno::ECANCELED));
    }
    let text: Vec<u8> = (0..900u32).map(|number| number as u8).collect();
    rig.good(write(2, &text, None));
    for token in &tokens[100..] {
        assert_eq!(rig.end(*token), Outcome::success(1));
    }
    let got: Vec<u8> = buffers[100..].iter().map(|buffer| buffer[0]).collect();
    assert_eq!(got, text, "each in turn");

    // And on as many objects.
    let pipes: Vec<_> = (0..200)
        .map(|number| {
            let (read_end, write_end) = rustix::pipe::pipe().unwrap();
            rig.adopt(100 + number, read_end);
            write_end
        })
        .collect();
    let tokens: Vec<_> =
        (0..200).map(|number| rig.park(read(100 + number, &mut buffers[number as usize], None))).collect();
    for pipe in &pipes {
        rustix::io::write(pipe, b"!").unwrap();
    }
    for token in tokens {
        assert_eq!(rig.end(token), Outcome::success(1));
    }
    assert!(threads("ouzel-") <= 3);
}

#[test]
fn a_cancel_and_an_event_race_to_one_report() {
    let _shared = shared();
    let mut rig = Rig::new();
    rig.good(Operation::Pipe { into: [1, 2] });
    let (go, come) = std::sync::mpsc::sync_channel::<()>(0);
    let mut writer = {
        use ouzel::backend::HostBackend;
        std::fs::File::from(rig.backend.release(2).unwrap())
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while come.recv().is_ok() {
                writer.write_all(b"x").unwrap();
            }
        });
        let (mut won, mut lost) = (0, 0);
        for round in 0..2000u32 {
            let mut byte = [0];
            let token = rig.park(read(1, &mut byte, None));
            go.send(()).unwrap();
            for _ in 0..round % 50 * 20 {
                std::hint::spin_loop();
            }
            rig.backend.cancel(token);
            match rig.end(token) {
                Outcome::Done { error: Errno::OK, result: 1, .. } => {
                    assert_eq!(byte, *b"x");
                    won += 1;
                }
                outcome => {
                    assert_eq!(outcome, failure(Errno::ECANCELED));
                    assert_eq!(byte, [0], "nothing was written");
                    assert_eq!(rig.good(read(1, &mut byte, None)), 1, "nothing was lost");
                    lost += 1;
                }
            }
            assert_eq!(rig.backend.next(), None);
        }
        println!("the event won {won} times, the cancel {lost} times");
        drop(go);
    });
}

#[test]
fn a_sleep_is_as_long_as_was_said() {
    let _shared = shared();
    let mut rig = Rig::new();
    assert_eq!(rig.backend.wait(1, None), Ok(()), "nothing could come");
    rig.good(Operation::Pipe { into: [1, 2] });
    let (mut one, mut two) = ([0], [0]);
    let first = rig.park(read(1, &mut one, None));
    let second = rig.park(read(1, &mut two, None));
    let begin = rig.backend.now();
    rig.backend.wait(0, None).unwrap();
    rig.backend.wait(2, Some(begin)).unwrap();
    assert!(rig.backend.now() - begin < BOUND);
    rig.backend.wait(1, Some(begin + 50_000_000)).unwrap();
    assert!(rig.backend.now() - begin >= 50_000_000);
    rig.good(write(2, b"ab", None));
    rig.backend.wait(100, None).unwrap();
    let ends = [rig.backend.next().unwrap().token, rig.backend.next().unwrap().token];
    assert_eq!(ends, [first, second]);
}

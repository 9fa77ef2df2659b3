//! The builder's side of locks, sockets' own state, processes, bells and words: what steps result in, and what they keep.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{LockMode, MessageFlags, OpenFlags};
use ouzel::backend::sim::SimProcess;
use ouzel::{
    BackendKind, Buffer, Chain, Error, FutexWord, Message, Offset, OpenOptions, Ring, SocketAddress,
};

const SOL_SOCKET: u32 = 1;
const SO_REUSEADDR: u32 = 2;
const SO_TYPE: u32 = 3;

/// Runs `test` on every backend that there is.
fn on_all(test: impl Fn(&mut Ring, BackendKind)) {
    for kind in [BackendKind::Sim, BackendKind::Threads, BackendKind::Uring] {
        match Ring::builder().backend(kind).build() {
            Ok(mut ring) => test(&mut ring, kind),
            Err(error) => println!("SKIPPED: {}: {error}", kind.name()),
        }
    }
}

#[test]
fn sockets_tell_their_addresses_and_options() {
    on_all(|ring, _| {
        let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut chain = Chain::new();
        let listener = chain.socket(2, 1, 0);
        chain.setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &1i32.to_ne_bytes());
        chain.bind(listener, &SocketAddress::from(any));
        chain.listen(listener, 4u32);
        let name = chain.sockname(listener);
        let kind = chain.getsockopt(listener, SOL_SOCKET, SO_TYPE, Buffer::with_capacity(4));
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        let address = done.get(name).unwrap().inet().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0);
        assert_eq!(done.take(kind).unwrap().as_slice(), 1i32.to_ne_bytes());
        let listener = done.get(listener).unwrap();
        let near = ring.socket(2, 1, 0).unwrap();
        ring.connect_socket(near, &SocketAddress::from(address)).unwrap();
        assert_eq!(ring.peername(near).unwrap(), SocketAddress::from(address));
        let far = ring.accept(listener).unwrap();
        assert_eq!(ring.peername(far).unwrap(), ring.sockname(near).unwrap());
        let error = ring.peername(listener).unwrap_err();
        assert!(error.to_string().contains("PEERNAME"), "{error}");
        ring.setsockopt(near, SOL_SOCKET, 9, &1i32.to_ne_bytes()).unwrap();
        let got = ring.getsockopt(near, SOL_SOCKET, 9, Buffer::with_capacity(16)).unwrap();
        assert_eq!(got.as_slice(), 1i32.to_ne_bytes());
    });
}

#[test]
fn what_is_received_is_spliced_on() {
    on_all(|ring, _| {
        let mut chain = Chain::new();
        let (reader, writer) = chain.pipe();
        let (other, into) = chain.pipe();
        chain.write(writer, "through two pipes", Offset::CURRENT);
        let moved = chain.splice(reader, Offset::CURRENT, into, Offset::CURRENT, 100u64);
        let got = chain.read(other, Buffer::with_capacity(64), Offset::CURRENT);
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(done.get(moved).unwrap(), 17);
        assert_eq!(done.take(got).unwrap().as_slice(), b"through two pipes");
    });
}

#[test]
fn locks_are_taken_and_waited_for() {
    let folder = std::env::temp_dir().join(format!("ouzel-locks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    on_all(|ring, kind| {
        let path = if kind == BackendKind::Sim { "/locked".into() } else { folder.join(kind.name()) };
        let open = OpenOptions::read_write().create();
        let first = ring.open(&path, open).unwrap();
        let second = ring.open(&path, OpenOptions::from_flags(OpenFlags::READ | OpenFlags::WRITE)).unwrap();
        ring.lock(first, 0, 10, LockMode::Exclusive).unwrap();
        let mut chain = Chain::new();
        chain.lock(second, 5u64, 0u64, LockMode::Shared);
        chain.timeout(Duration::from_millis(5));
        let done = ring.run(chain).unwrap();
        assert_eq!(done.error().map(|error| error.errno), Some(Errno::ETIMEDOUT));
        let mut chain = Chain::new();
        chain.lock(second, 5u64, 0u64, LockMode::Shared);
        let ticket = ring.submit(chain).unwrap();
        ring.flush().unwrap();
        ring.lock(first, 0, 0, LockMode::Unlock).unwrap();
        ring.wait(ticket).unwrap().check().unwrap();
    });
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
#[allow(clippy::zombie_processes)] // It is the ring that waits for them.
fn children_are_waited_for() {
    on_all(|ring, kind| {
        for (status, signal) in [(0, 0), (3, 0), (0, 9)] {
            let number = if kind == BackendKind::Sim {
                let runs = Duration::from_millis(10);
                ring.simulate_process(SimProcess { runs, status, signal }).unwrap()
            } else {
                let ends = if signal == 0 { format!("exit {status}") } else { format!("kill -{signal} $$") };
                let child = Command::new("sh").args(["-c", &ends]).stdin(Stdio::null()).spawn().unwrap();
                child.id() as i32
            };
            let process = ring.adopt_process(number).unwrap();
            let ended = ring.wait_process(process).unwrap();
            assert_eq!(ended.code(), (signal == 0).then_some(status));
            assert_eq!(ended.signal(), (signal != 0).then_some(signal));
            assert_eq!(ended.is_success(), status == 0 && signal == 0);
            assert!(!ended.dumped_core() && !ended.to_string().is_empty());
            assert!(ring.wait_child(number as u32).is_err(), "it has been waited for");
            ring.close(process).unwrap();
        }
        if kind != BackendKind::Sim {
            assert!(ring.simulate_process(SimProcess::default()).is_err());
        }
    });
}

#[test]
fn bells_wake_other_rings_and_threads() {
    on_all(|ring, kind| {
        let bell = ring.bell().unwrap();
        let here = ring.adopt_bell(&bell).unwrap();
        let mut other = Ring::builder().backend(kind).build().unwrap();
        let there = other.adopt_bell(&bell).unwrap();
        let mut chain = Chain::new();
        let heard = chain.read(there, Buffer::with_capacity(8), Offset::CURRENT);
        let ticket = other.submit(chain).unwrap();
        other.flush().unwrap();
        ring.wake(here, 2).unwrap();
        let mut done = other.wait(ticket).unwrap();
        assert_eq!(done.take(heard).unwrap().as_slice(), 2u64.to_ne_bytes());
        // From a thread that has no ring.
        let ringing = {
            let bell = bell.clone();
            std::thread::spawn(move || bell.ring())
        };
        let got = other.read(there, Buffer::with_capacity(8), Offset::CURRENT).unwrap();
        assert_eq!(got.as_slice(), 1u64.to_ne_bytes());
        ringing.join().unwrap();
    });
}

#[test]
fn a_bell_of_another_kind_of_backend_is_refused() {
    let mut sim = Ring::builder().backend(BackendKind::Sim).build().unwrap();
    let mut threads = Ring::builder().backend(BackendKind::Threads).build().unwrap();
    let (of_sim, of_threads) = (sim.bell().unwrap(), threads.bell().unwrap());
    for refused in [sim.adopt_bell(&of_threads), threads.adopt_bell(&of_sim)] {
        assert!(matches!(refused, Err(Error::Refused { errno: Errno::EOPNOTSUPP, .. })), "{refused:?}");
    }
    assert_eq!((sim.gauges().descriptors, threads.gauges().descriptors), (0, 0));
}

#[test]
fn words_are_kept_by_who_waits_on_them() {
    on_all(|ring, kind| {
        let word = Arc::new(FutexWord::new(1));
        assert_eq!(ring.futex_wake(&word, 1).unwrap(), 0);
        let error = ring.futex_wait(&word, 2).unwrap_err();
        assert!(matches!(error, Error::Operation(ref error) if error.errno == Errno::EAGAIN), "{error}");
        let mut chain = Chain::new();
        chain.futex_wait(&word, 1u32);
        let ticket = ring.submit(chain).unwrap();
        ring.flush().unwrap();
        assert_eq!(Arc::strong_count(&word), 2, "the chain holds it");
        word.store(7, Ordering::SeqCst);
        let mut woken = 0;
        // A thread may not sleep yet; that the word has changed, it sees in any case.
        for _ in 0..if kind == BackendKind::Threads { 1 } else { 1000 } {
            woken += ring.futex_wake(&word, 1).unwrap();
            if woken > 0 {
                break;
            }
        }
        let done = ring.wait(ticket);
        if kind == BackendKind::Threads || woken == 1 {
            done.unwrap().check().unwrap();
        }
        // What a chain kept goes with it.
        ring.sleep(Duration::ZERO).unwrap();
        let mut chain = Chain::new();
        chain.futex_wait(&word, 7u32);
        let ticket = ring.submit(chain).unwrap();
        ring.flush().unwrap();
        assert!(ring.cancel(ticket).unwrap());
        let done = ring.wait(ticket).unwrap();
        assert_eq!(done.error().map(|error| error.errno), Some(Errno::ECANCELED));
        drop(done.into_chain());
    });
}

#[test]
fn messages_carry_descriptors_and_addresses() {
    on_all(|ring, kind| {
        let name = |end: &str| {
            let name = format!("ouzel-messages-{end}-{}-{}", kind.name(), std::process::id());
            SocketAddress::unix_abstract(name.as_bytes()).unwrap()
        };
        let (one, other) = (ring.socket(1, 2, 0).unwrap(), ring.socket(1, 2, 0).unwrap());
        ring.bind(one, &name("one")).unwrap();
        ring.bind(other, &name("other")).unwrap();
        let mut chain = Chain::new();
        let (reader, writer) = chain.pipe();
        let (reader, writer) = (chain.get_descriptor(reader), chain.get_descriptor(writer));
        let done = ring.run(chain).unwrap();
        let (reader, writer) = (done.get(reader).unwrap(), done.get(writer).unwrap());
        let mut chain = Chain::new();
        let message = Message::new("two ").piece("pieces").to(name("other")).with(writer);
        let sent = chain.sendmsg(one, message, MessageFlags::empty());
        chain.close(writer);
        let rooms = [Buffer::with_capacity(5), Buffer::with_capacity(64)];
        let got = chain.recvmsg(other, rooms, 4, MessageFlags::empty());
        let mut done = ring.run(chain).unwrap();
        done.check().unwrap();
        assert_eq!(done.get(sent).unwrap(), 10);
        let message = done.get(got).unwrap();
        assert_eq!((message.bytes, message.address), (10, Some(name("one"))));
        assert!(message.notes.is_empty());
        let first = done.take_piece(got, 0).unwrap();
        let second = done.take_piece(got, 1).unwrap();
        assert_eq!([first.as_slice(), second.as_slice()].concat(), b"two pieces");
        assert!(done.take_piece(got, 2).is_none() && done.take_piece(got, 0).is_none());
        assert_eq!(done.take_piece(sent, 1).unwrap().as_slice(), b"pieces");
        let [received] = message.descriptors[..] else { panic!("{:?}", message.descriptors) };
        ring.write(received, "through", Offset::CURRENT).unwrap();
        ring.close(received).unwrap();
        let bytes = ring.read(reader, Buffer::with_capacity(16), Offset::CURRENT).unwrap();
        assert_eq!(bytes.as_slice(), b"through");
        ring.sendmsg(one, Message::new("again").to(name("other")).with(reader), MessageFlags::empty())
            .unwrap();
        let (message, bytes) =
            ring.recvmsg(other, Buffer::with_capacity(16), 1, MessageFlags::empty()).unwrap();
        assert_eq!((bytes.as_slice(), message.descriptors.len()), (&b"again"[..], 1));
        // What the engine does not take is refused there.
        let mut chain = Chain::new();
        let message = (0..17).fold(Message::new("x"), |message, _| message.with(reader));
        chain.sendmsg(one, message.to(name("other")), MessageFlags::empty());
        let done = ring.run(chain).unwrap();
        assert_eq!(done.error().map(|error| error.errno), Some(Errno::EINVAL));
    });
}

#[test]
fn datagrams_still_come_with_recv() {
    on_all(|ring, _| {
        let name = format!("ouzel-system-verbs-{}", std::process::id());
        let address = SocketAddress::unix_abstract(name.as_bytes()).unwrap();
        let (one, other) = (ring.socket(1, 2, 0).unwrap(), ring.socket(1, 2, 0).unwrap());
        ring.bind(other, &address).unwrap();
        ring.connect_socket(one, &address).unwrap();
        ring.send(one, "hello", MessageFlags::empty()).unwrap();
        let got = ring.recv(other, Buffer::with_capacity(16), MessageFlags::empty()).unwrap();
        assert_eq!(got.as_slice(), b"hello");
        assert_eq!(ring.sockname(other).unwrap(), address);
    });
}

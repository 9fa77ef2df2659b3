//! Fairness, counted: how many entries of others are started between an entry and its turn, and how many are turned away at the door.
//!
//! The service is held in the middle of an answer while others fill their queues, or come to its door, and one client asks for one
//! thing. Then it is let go, and counts what it does before that one thing.

#![allow(clippy::unwrap_used)]

mod shared;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ouzel_ring::modifiers::OpenFlags;
use ouzel_ring::{Entry, Errno, Payload, Verb};
use ouzel_scheme::{
    Answering, At, AtOnce, Bytes, Client, ClientOptions, Name, Position, Quotas, Server, Simple,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// Entries of a turn.
const BUDGET: u32 = 8;
/// Clients with a full queue.
const CROWD: u64 = 8;
/// Slots of each.
const SLOTS: u32 = 256;
/// How many come to the door at once, and how many of them are seen to between two looks at everything else.
const KNOCKING: usize = 300;
const AT_ONCE: usize = 16;

const SOON: Option<Duration> = Some(Duration::from_secs(20));

/// What reads are counted in.
struct Count {
    foreign: AtomicU64,
    /// How many there had been when the good client's was done.
    good: AtomicU64,
    /// Who has come to the door.
    knocking: Mutex<Vec<OwnedFd>>,
    /// How many of them had been told something when the good client's was done.
    told: AtomicUsize,
    /// Tells that the service is held, and waits until it is let go.
    gate: Mutex<(Sender<()>, Receiver<()>)>,
}

/// Files by the names of who reads them.
struct Counting(Arc<Count>);

impl Simple for Counting {
    type File = u8;

    fn open(&self, _: At<'_, u8>, path: &[u8], _: OpenFlags, _: u32) -> Result<u8, Errno> {
        path.first().copied().ok_or(Errno::ENOENT)
    }

    fn read(&self, file: &u8, _: &Bytes, _: Position) -> Result<u64, Errno> {
        match file {
            b'g' => {
                let foreign = self.0.foreign.load(Ordering::SeqCst);
                self.0.good.store(foreign, Ordering::SeqCst);
                self.0.told.store(told(&self.0.knocking.lock().unwrap()), Ordering::SeqCst);
            }
            b'h' => {
                let gate = self.0.gate.lock().unwrap();
                gate.0.send(()).unwrap();
                gate.1.recv().unwrap();
            }
            _ => {
                self.0.foreign.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(0)
    }
}

/// A client that has opened the file of this name.
fn client(name: &Name, own: u8) -> (Client, u64) {
    let options = ClientOptions { entries: SLOTS, completions: SLOTS, ..ClientOptions::default() };
    let mut client = Client::connect(name, &options).unwrap();
    let memory = memfd_create(c"fair", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&memory, 4096).unwrap();
    rustix::io::pwrite(&memory, &[own, 0], 0).unwrap();
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).unwrap();
    let region = client.share(memory.as_fd(), 4096).unwrap();
    let path = Payload::new(region, 0).unwrap().number();
    client.push(&Entry::new(Verb::Open).arguments([0, path, 2, OpenFlags::READ.bits(), 0])).unwrap();
    assert_eq!(client.enter(1, SOON).unwrap().readable, 1);
    let opened = client.pop().unwrap();
    assert_eq!(opened.error, 0);
    (client, opened.result)
}

/// One who connects, and says nothing.
fn knock(name: &Name) -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(name.socket()).unwrap()).unwrap();
    socket
}

/// How many of them have been told something.
fn told(knocking: &[OwnedFd]) -> usize {
    let mut ends: Vec<_> = knocking.iter().map(|end| PollFd::new(end, PollFlags::IN)).collect();
    poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap()
}

fn read(file: u64) -> Entry {
    Entry::new(Verb::Read).arguments([file, 0, 0, 0, 0])
}

#[test]
fn an_entry_starts_after_one_turn_of_each_of_the_others() {
    let _names = shared::Names::new("fair");

    let (open_gate, gate) = channel();
    let (tell, held_now) = channel();
    let gate = Mutex::new((tell, gate));
    let count = Arc::new(Count {
        foreign: AtomicU64::new(0),
        good: AtomicU64::new(u64::MAX),
        knocking: Mutex::new(Vec::new()),
        told: AtomicUsize::new(0),
        gate,
    });
    let (sender, receiver) = channel();
    let name = Name::parse("fair").unwrap();
    let (served, counted) = (name.clone(), Arc::clone(&count));
    let server = std::thread::spawn(move || {
        let connections = CROWD as u32 + 2;
        let quotas = Quotas { budget: BUDGET, chain: BUDGET, connections, ..Quotas::default() };
        let make = move |_: &_| Ok(Answering::new(AtOnce(Counting(Arc::clone(&counted))), 64));
        let mut server = Server::bind(&served, quotas, make).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
    });
    let stopper = receiver.recv().unwrap();

    let (mut holder, held) = client(&name, b'h');
    let (mut good, wanted) = client(&name, b'g');
    let mut crowd: Vec<(Client, u64)> = (0..CROWD).map(|_| client(&name, b'c')).collect();
    for _ in 0..20 {
        holder.push(&read(held)).unwrap();
        holder.enter(0, None).unwrap();
        held_now.recv_timeout(Duration::from_secs(20)).unwrap();
        count.foreign.store(0, Ordering::SeqCst);
        for (client, file) in &mut crowd {
            while client.push(&read(*file)).is_ok() {}
            client.enter(0, None).unwrap();
        }
        good.push(&read(wanted)).unwrap();
        good.enter(0, None).unwrap();
        open_gate.send(()).unwrap();
        assert_eq!(good.enter(1, SOON).unwrap().readable, 1);
        assert_eq!(good.pop().unwrap().error, 0);
        let foreign = count.good.load(Ordering::SeqCst);
        // One turn until it is seen, and one of each of the others.
        let clients = CROWD + 1;
        assert!(foreign <= clients * u64::from(BUDGET), "{foreign} entries of others came first");
        assert_eq!(holder.enter(1, SOON).unwrap().readable, 1);
        holder.pop().unwrap();
        let mut done = 0;
        for (client, _) in &mut crowd {
            while client.in_flight() > 0 {
                client.enter(1, SOON).unwrap();
                while client.pop().is_some() {
                    done += 1;
                }
            }
        }
        assert_eq!(done, CROWD * u64::from(SLOTS), "and all of the others' came, too");
    }
    for _ in 0..20 {
        holder.push(&read(held)).unwrap();
        holder.enter(0, None).unwrap();
        held_now.recv_timeout(Duration::from_secs(20)).unwrap();
        *count.knocking.lock().unwrap() = (0..KNOCKING).map(|_| knock(&name)).collect();
        good.push(&read(wanted)).unwrap();
        good.enter(0, None).unwrap();
        open_gate.send(()).unwrap();
        assert_eq!(good.enter(1, SOON).unwrap().readable, 1);
        assert_eq!(good.pop().unwrap().error, 0);
        // One look until it is seen, and one in which it may have come too late for that.
        let told_before = count.told.load(Ordering::SeqCst);
        assert!(told_before <= 2 * AT_ONCE, "{told_before} were turned away first");
        assert_eq!(holder.enter(1, SOON).unwrap().readable, 1);
        holder.pop().unwrap();
        let begun = Instant::now();
        while told(&count.knocking.lock().unwrap()) < KNOCKING {
            assert!(begun.elapsed() < Duration::from_secs(20), "and all of them are told, too");
            std::thread::yield_now();
        }
    }
    drop((holder, good, crowd));
    stopper.stop();
    server.join().unwrap();
}

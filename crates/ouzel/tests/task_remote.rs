//! What other threads ask of an executor: what it costs, and what becomes of it whatever either side does.
#![allow(clippy::unwrap_used)]

mod counting;
mod task_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use counting::allocations;
use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::task::{Executor, Owner, Remote, RemoteFilling};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset, OpenOptions, Policy};
use task_support::*;

fn owner(kind: BackendKind) -> Owner {
    Owner::start(move || Executor::builder().ring(builder(kind)).build()).unwrap()
}

fn file(remote: &Remote, place: &Place) -> Descriptor {
    let path = place.path();
    let made = remote.spawn(move |handle| async move {
        let file = handle.open(path, OpenOptions::read_write().create().truncate()).await?;
        handle.write(file, vec![5; 16 * 512], Offset::START).await?;
        Ok::<_, Error>(file)
    });
    made.wait().unwrap().unwrap()
}

fn poll_here<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Who asks for more as soon as it is told of an end, where it is told.
struct Asker {
    remote: Remote,
    next: Mutex<Option<Pin<Box<dyn Future<Output = u64> + Send>>>>,
}

fn value(remote: Remote, value: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        let mut chain = Chain::new();
        let told = chain.get(value);
        remote.run(chain).await.unwrap().get(told).unwrap()
    })
}

impl Wake for Asker {
    fn wake(self: Arc<Self>) {
        let mut next = value(self.remote.clone(), 2);
        assert!(poll_here(&mut next).is_pending());
        *self.next.lock().unwrap() = Some(next);
    }
}

/// Nobody rings for it: the executor is awake.
#[test]
fn what_is_asked_for_at_an_end_is_begun_before_the_executor_sleeps() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let remote = executor.remote();
        let asker = Arc::new(Asker { remote: remote.clone(), next: Mutex::new(None) });
        let waker = Waker::from(Arc::clone(&asker));
        let mut first = value(remote, 1);
        let begun = Instant::now();
        while first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            executor.turn(32).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "it hangs");
        }
        let mut next = asker.next.lock().unwrap().take().unwrap();
        assert_eq!(poll_here(&mut next), Poll::Ready(2), "there was no other turn");
    });
}

fn until_there(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The owner's thread is kept from going on until this is dropped.
struct Held {
    _until: mpsc::Sender<()>,
}

fn hold(remote: &Remote) -> Held {
    let (held, wait) = mpsc::channel::<()>();
    let (there, is_there) = mpsc::channel();
    drop(remote.call(move |_| {
        there.send(()).unwrap();
        let _ = wait.recv();
    }));
    is_there.recv().unwrap();
    Held { _until: held }
}

/// Reads, writes, chains, a message and its echo, and connections, some of them at a time.
struct Work {
    remote: Remote,
    file: Descriptor,
    near: Descriptor,
    far: Descriptor,
    listener: Descriptor,
    address: SocketAddr,
    buffers: Vec<Buffer>,
    reading: Vec<RemoteFilling>,
    chain: Option<Chain>,
}

impl Work {
    fn round(&mut self) {
        let none = MessageFlags::empty();
        let remote = &self.remote;
        for place in 0..8u64 {
            let buffer = self.buffers.pop().unwrap();
            self.reading.push(remote.read(self.file, buffer, Offset::at(place * 512)));
        }
        for reading in self.reading.drain(..) {
            let buffer = reading.wait().unwrap();
            assert_eq!(&*buffer, &[5; 512]);
            self.buffers.push(buffer);
        }
        let buffer = self.buffers.pop().unwrap();
        let (count, buffer) = remote.write(self.file, buffer, Offset::at(8 * 512u64)).wait().unwrap();
        assert_eq!(count, 512);
        let receiving = remote.recv(self.far, self.buffers.pop().unwrap(), none);
        let (count, buffer) = remote.send(self.near, buffer, none).wait().unwrap();
        assert_eq!(count, 512);
        self.buffers.push(buffer);
        self.buffers.push(receiving.wait().unwrap());
        let mut chain = self.chain.take().unwrap();
        chain.nop();
        let done = remote.run(chain).wait().unwrap();
        done.check().unwrap();
        self.chain = Some(done.into_chain());
        let accepting = remote.accept(self.listener);
        let mut stream = TcpStream::connect(self.address).unwrap();
        let socket = accepting.wait().unwrap();
        remote.close(socket).wait().unwrap();
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
        stream.flush().unwrap();
    }
}

#[test]
fn requests_may_move_and_be_shared() {
    fn sent_and_shared<T: Send + Sync + Unpin>(_: &T) {}
    let owner = owner(BackendKind::Threads);
    let remote = owner.remote();
    sent_and_shared(remote);
    sent_and_shared(&remote.run(Chain::new()));
    let file = Descriptor::new(1, 1).unwrap();
    sent_and_shared(&remote.read(file, Buffer::default(), Offset::START));
    sent_and_shared(&remote.accept(file));
}

#[test]
fn nothing_is_allocated_for_an_operation_on_either_thread() {
    on_each(|kind| {
        if kind == BackendKind::Sim {
            println!("SKIPPED: sim: a simulator allocates for every operation, by itself");
            return;
        }
        let owner = owner(kind);
        let remote = owner.remote().clone();
        let place = Place::new(kind);
        let sockets = remote.spawn(|handle| async move {
            let (near, far) = connected(&handle).await?;
            let (socket, address) = listener(&handle).await?;
            Ok::<_, Error>((near, far, socket, address.inet().unwrap()))
        });
        let (near, far, listener, address) = sockets.wait().unwrap().unwrap();
        let mut work = Work {
            file: file(&remote, &place),
            near,
            far,
            listener,
            address,
            buffers: (0..8).map(|_| Buffer::with_capacity(512)).collect(),
            reading: Vec::with_capacity(8),
            chain: Some(Chain::new()),
            remote: remote.clone(),
        };
        let there = || remote.call(|_| allocations()).wait().unwrap();
        (0..200).for_each(|_| work.round());
        // Asking is a task, and allocates itself.
        let (first, second) = (there(), there());
        let before = allocations();
        (0..200).for_each(|_| work.round());
        let here = allocations() - before;
        let there = (there() - second).saturating_sub(second - first);
        println!("{}: {here} and {there} allocations beside 2800 operations", kind.name());
        assert_eq!(here, 0);
        // The threads backend allocates now and then, by itself, for what waits for an event.
        let most = if kind == BackendKind::Threads { 1600 } else { 0 };
        assert!(there <= most, "{}: {there} allocations", kind.name());
    });
}

#[test]
fn many_requests_share_an_enter() {
    let kind = BackendKind::Uring;
    if !backends().contains(&kind) {
        return;
    }
    bounded("uring", move || {
        let ring = move || Executor::builder().ring(builder(kind).policy(Policy::Links)).build();
        let owner = Owner::start(ring).unwrap();
        let remote = owner.remote().clone();
        let place = Place::new(kind);
        let file = file(&remote, &place);
        let cost = || remote.call(|handle| (handle.counters(), handle.metrics())).wait().unwrap();
        let (counters, metrics) = cost();
        for _ in 0..100 {
            let held = hold(&remote);
            let reading: Vec<_> =
                (0..32).map(|_| remote.read(file, Buffer::with_capacity(512), Offset::START)).collect();
            drop(held);
            for reading in reading {
                assert_eq!(reading.wait().unwrap().len(), 512);
            }
        }
        let (counters, rung) = (cost().0.since(counters), cost().1.rung - metrics.rung);
        println!("3200 reads: {counters:?}, {rung} times woken");
        // One for the reads, and one or two to sleep until the owner is held and until there is more.
        assert!(counters.enters <= 400, "{counters:?}");
        assert!(rung <= 400, "{rung}");
    });
}

#[test]
fn whenever_a_request_is_dropped_nothing_is_left() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        let place = Place::new(kind);
        file(&remote, &place);
        let state = || remote.call(|handle| (handle.gauges(), handle.metrics())).wait().unwrap();
        let (gauges, metrics) = state();
        let open = |remote: &Remote| {
            let mut chain = Chain::new();
            chain.open(place.path(), OpenOptions::read());
            remote.run(chain)
        };
        // Before the executor has seen it: it never runs.
        let held = hold(&remote);
        (0..10).for_each(|_| drop(open(&remote)));
        drop(held);
        assert_eq!(state().1.submitted, metrics.submitted);
        // When it is over, and nobody has asked: what it has opened is closed.
        let opened = open(&remote);
        until_there("an open file", || state().0.descriptors == gauges.descriptors + 1);
        until_there("its end", || state().0.packets == gauges.packets);
        drop(opened);
        until_there("a close", || state().0.descriptors == gauges.descriptors);
        assert_eq!(state().1.late_closed, metrics.late_closed + 1);
        // While it runs: it is cancelled.
        let (read, _write) =
            remote.spawn(|handle| async move { handle.pipe().await }).wait().unwrap().unwrap();
        let reading = remote.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        until_there("a read", || state().0.packets == gauges.packets + 1);
        drop(reading);
        until_there("its end", || state().0.packets == gauges.packets);
        assert_eq!(state().1.cancelled, metrics.cancelled + 1);
        // One that is forgotten takes nothing from others.
        for _ in 0..50 {
            std::mem::forget(remote.read(read, Buffer::with_capacity(1), Offset::CURRENT));
        }
        let mut chain = Chain::new();
        let value = chain.get(9u64);
        assert_eq!(remote.run(chain).wait().unwrap().get(value).unwrap(), 9);
        owner.stop().unwrap();
    });
}

#[test]
fn what_there_is_no_room_for_waits_here() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        let (read, _write) =
            remote.spawn(|handle| async move { handle.pipe().await }).wait().unwrap().unwrap();
        let begun = remote.call(|handle| handle.metrics().submitted).wait().unwrap();
        let held = hold(&remote);
        let mut running: Vec<_> = (0..6000u64)
            .map(|number| {
                let mut chain = Chain::new();
                let value = chain.get(number);
                (number, value, remote.run(chain))
            })
            .collect();
        for (_, _, run) in &mut running {
            assert!(poll_here(run).is_pending());
        }
        // What is not taken any more takes no memory, and what is dropped while it waits is forgotten.
        let mut chain = Chain::new();
        chain.nop();
        drop(remote.run(chain));
        running.drain(4500..5000);
        let before = allocations();
        for _ in 0..1000 {
            drop(remote.read(read, Buffer::default(), Offset::START));
        }
        // One chain for each of them; none of it is left, so the memory is the same over and over.
        assert!(allocations() - before <= 4000);
        let waiting = std::thread::spawn(move || {
            for (number, value, run) in running {
                assert_eq!(run.wait().unwrap().get(value).unwrap(), number);
            }
        });
        drop(held);
        waiting.join().unwrap();
        let submitted = remote.call(|handle| handle.metrics().submitted).wait().unwrap();
        assert_eq!(submitted - begun, 5500);
    });
}

#[test]
fn whoever_waits_is_told_when_the_owner_goes() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        let (read, _write) =
            remote.spawn(|handle| async move { handle.pipe().await }).wait().unwrap().unwrap();
        let mut running = remote.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        assert!(poll_here(&mut running).is_pending());
        let waits = remote.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        let waits = std::thread::spawn(move || waits.wait().unwrap_err().error);
        until_there("two reads", || remote.call(|handle| handle.gauges().packets).wait().unwrap() == 3);
        owner.stop().unwrap();
        assert!(matches!(waits.join().unwrap(), Error::Enter(_)));
        assert!(
            matches!(poll_here(&mut running), Poll::Ready(Err(failed)) if matches!(failed.error, Error::Enter(_)))
        );
        // From now on the buffer comes back at once.
        let failed = remote.read(read, Buffer::with_capacity(8), Offset::CURRENT).wait().unwrap_err();
        assert!(matches!(failed.error, Error::Enter(_)));
        assert_eq!(failed.buffer.capacity(), 8);
    });
}

#[test]
fn whoever_waits_is_told_when_the_owner_panics() {
    on_each(|kind| {
        let (send, receive) = mpsc::channel();
        let (panic, now) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut executor = executor(kind);
            let handle = executor.handle();
            send.send(executor.remote()).unwrap();
            executor.block_on(async move {
                while now.try_recv().is_err() {
                    handle.sleep(Duration::from_micros(100)).await;
                }
                panic!("the owner");
            })
        });
        let remote = receive.recv().unwrap();
        let (read, _write) =
            remote.spawn(|handle| async move { handle.pipe().await }).wait().unwrap().unwrap();
        let reading = remote.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        panic.send(()).unwrap();
        assert!(matches!(reading.wait().unwrap_err().error, Error::Enter(_)));
        assert!(thread.join().is_err());
    });
}

#[test]
fn a_chain_that_is_wrong_is_refused_with_its_buffer() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        let mut other = Chain::new();
        let foreign = other.get(1u64);
        let wrong = || {
            let mut chain = Chain::new();
            chain.add(foreign, 1u64);
            remote.run(chain)
        };
        assert!(matches!(wrong().wait(), Err(Error::Build(_))));
        if kind == BackendKind::Sim {
            return;
        }
        // Also behind others for which there is no room in the ring.
        let (read, mut write) = std::io::pipe().unwrap();
        let read = remote.call(move |handle| handle.adopt(read)).wait().unwrap().unwrap();
        let reading: Vec<_> =
            (0..400).map(|_| remote.read(read, Buffer::with_capacity(1), Offset::CURRENT)).collect();
        let wrong = wrong();
        write.write_all(&[1; 400]).unwrap();
        for reading in reading {
            assert_eq!(&*reading.wait().unwrap(), &[1]);
        }
        assert!(matches!(wrong.wait(), Err(Error::Build(_))));
    });
}

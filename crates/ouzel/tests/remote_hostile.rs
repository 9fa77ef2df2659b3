//! Services that keep to nothing, and what they can do to their clients.
//!
//! The service is the bytes of the protocol and the words of the ring, by hand: it shares no code with the one that it impersonates.
//! What the messages are is in `docs/schemes.md`.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

#[path = "remote_hostile/hostile.rs"]
mod hostile;
mod service;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hostile::{Door, Hostile, doorbell};
use ouzel::abi::modifiers::PollEvents;
use ouzel::abi::{Completion, CompletionFlags, Descriptor, Entry, EntryFlags, Errno, Verb};
use ouzel::scheme::{Client, ClientOptions, Error, Name};
use ouzel::{Chain, Reg, Ring, RingBuilder, Ticket, Unit};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

const ENTRIES: u32 = 8;
const SLOTS: u32 = 64;

/// No flood is longer. Whoever is not held by it never notices its end.
const FLOOD: Duration = Duration::from_secs(1);

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn connect(door: &Door) -> (Client, Hostile) {
    let (client, service) = connect_with(door, doorbell());
    (client.unwrap(), service)
}

/// The same with this in the place of the doorbell.
fn connect_with(door: &Door, doorbell: OwnedFd) -> (Result<Client, Error>, Hostile) {
    let options = ClientOptions { entries: ENTRIES, completions: SLOTS, ..ClientOptions::default() };
    let name = Name::parse(&door.name).unwrap();
    door.welcomes(doorbell, || Client::connect(&name, &options))
}

fn ring(door: &Door) -> (Ring, Hostile) {
    let builder = RingBuilder::new().entries(ENTRIES.into()).completions(SLOTS.into());
    let (ring, service) = door.welcomes(doorbell(), || builder.connect(&door.name));
    (ring.unwrap(), service)
}

fn completion(data: u64, verb: Verb, flags: CompletionFlags) -> Completion {
    Completion { op: verb as u32, error: 0, data, result: 1, flags: flags.bits(), extra: 0 }
}

/// Runs `attacked` while the queue is kept full of `completion`, from when that has begun.
fn flooded<T>(service: &Hostile, completion: Completion, attacked: impl FnOnce() -> T) -> T {
    let (begun, over) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        service.fill(completion);
        scope.spawn(|| {
            let end = Instant::now() + FLOOD;
            while !over.load(Ordering::Relaxed) && Instant::now() < end {
                (0..1000).for_each(|_| service.keep_full());
                begun.store(true, Ordering::Relaxed);
            }
        });
        while !begun.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        let result = attacked();
        over.store(true, Ordering::Relaxed);
        result
    })
}

/// All that is left of a connection that has ended.
fn pop_all(client: &mut Client) -> Vec<Completion> {
    std::iter::from_fn(|| client.pop()).collect()
}

#[test]
fn more_is_to_come_only_of_what_has_many() {
    let door = Door::new();
    let (mut client, service) = connect(&door);
    client.push(&Entry::new(Verb::Nop).data(7)).unwrap();
    client.enter(0, None).unwrap();
    service.fill(completion(7, Verb::Nop, CompletionFlags::MORE));
    assert!(client.enter(1, Some(LONG)).unwrap().readable > 0);
    let popped = pop_all(&mut client);
    assert_eq!(
        popped.iter().map(|done| (done.data, done.errno())).collect::<Vec<_>>(),
        [(7, Errno::ECONNRESET)]
    );
    assert!(client.is_over() && client.enter(0, None).is_err());
}

#[test]
fn a_close_ends_however_much_is_posted() {
    for (data, flags) in [(7, CompletionFlags::MORE), (99, CompletionFlags::empty())] {
        let door = Door::new();
        let (mut client, service) = connect(&door);
        client.push(&Entry::new(Verb::Poll).data(7).flags(EntryFlags::MULTISHOT)).unwrap();
        client.enter(0, None).unwrap();
        let bound = Duration::from_millis(100);
        let left = flooded(&service, completion(data, Verb::Poll, flags), || client.close(bound));
        assert_eq!(left, 1, "what it had in flight has not ended");
        let popped = pop_all(&mut client);
        assert!(popped.len() <= SLOTS as usize + 1, "{} completions are kept", popped.len());
        assert_eq!(popped.last().unwrap().errno(), Errno::ECONNRESET);
    }
}

#[test]
fn what_is_posted_meanwhile_is_left_for_the_next_time() {
    let door = Door::new();
    let (mut ring, service) = ring(&door);
    let mut chain = Chain::new();
    let polled = chain.poll_many(Descriptor::from_number(1 << 32 | 1).unwrap(), PollEvents::IN);
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    let data = service.entry(0).data;
    flooded(&service, completion(data, Verb::Poll, CompletionFlags::MORE), || {
        ring.flush().unwrap();
        let results = std::iter::from_fn(|| ring.next_result(ticket, polled)).count();
        assert_eq!(results, SLOTS as usize);
    });
    drop(service);
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.get(polled).unwrap_err().errno(), Some(Errno::ECONNRESET));
}

#[test]
fn a_doorbell_is_an_event_counter() {
    let door = Door::new();
    let (_reader, full) = std::io::pipe().unwrap();
    let full = OwnedFd::from(full);
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while rustix::io::write(&full, &[0; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    let (_, nobody_reads) = std::io::pipe().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = std::fs::File::create(door.folder.join("anon_inode:[eventfd]")).unwrap();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    for doorbell in [full, nobody_reads.into(), socket.into(), file.into(), timer] {
        let (refused, _service) = connect_with(&door, doorbell);
        let refused = refused.map(drop).unwrap_err();
        assert!(matches!(refused, Error::Protocol { .. }), "{refused}");
        assert!(refused.to_string().contains("doorbell"), "{refused}");
    }
    connect(&door);
}

#[test]
fn a_doorbell_that_is_full_ends_the_connection() {
    let door = Door::new();
    // A client would wait for room in it.
    let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let (client, service) = connect_with(&door, bell.try_clone().unwrap());
    let mut client = client.unwrap();
    service.fall_asleep();
    client.push(&Entry::new(Verb::Nop).data(7)).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + FLOOD;
            while !over.load(Ordering::Relaxed) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
            // Whoever waits for room waits no longer.
            rustix::io::read(bell.as_fd(), &mut [0; 8]).unwrap();
        });
        client.enter(0, None).unwrap();
        over.store(true, Ordering::Relaxed);
    });
    assert!(client.is_over());
    assert_eq!(client.pop().unwrap().errno(), Errno::ECONNRESET);
}

/// A chain whose first step fails and whose second is cancelled, both told before its service goes.
fn ended(door: &Door, within: Duration, goes_on: bool) -> (Ring, Ticket, Reg<Unit>, Hostile) {
    let builder = RingBuilder::new().entries(ENTRIES.into()).completions(SLOTS.into());
    let builder = builder.reconnect_within(within);
    let (ring, service) = door.welcomes(doorbell(), || builder.connect(&door.name));
    let mut ring = ring.unwrap();
    let mut chain = Chain::new();
    chain.socket(1, 1, 0);
    if goes_on {
        chain.hardlink();
    }
    let slept = chain.sleep(Duration::from_secs(1));
    chain.idempotent();
    let ticket = ring.submit(chain).unwrap();
    ring.flush().unwrap();
    service.answer(0, Errno::EACCES.raw(), 0);
    service.answer(1, Errno::ECANCELED.raw(), 0);
    service.begin_to_close();
    (ring, ticket, slept, service)
}

#[test]
fn a_chain_that_had_ended_does_not_run_again() {
    let door = Door::new();
    let (mut ring, ticket, slept, service) = ended(&door, Duration::from_millis(200), false);
    ring.flush().unwrap();
    drop((service, door));
    let done = ring.wait(ticket).unwrap();
    assert_eq!(done.error().unwrap().errno, Errno::EACCES);
    assert_eq!(done.get(slept).unwrap_err().errno(), Some(Errno::ECANCELED));
}

#[test]
fn a_chain_that_was_given_up_runs_again() {
    let door = Door::new();
    // Its second step runs whatever becomes of the first, so it was under way.
    let (mut ring, ticket, slept, service) = ended(&door, LONG, true);
    ring.flush().unwrap();
    drop(service);
    let ((), service) = door.welcomes(doorbell(), || {
        while !ring.is_reachable() {
            ring.flush().unwrap();
        }
    });
    ring.flush().unwrap();
    service.answer(0, 0, 1 << 32 | 1);
    service.answer(1, 0, 0);
    let done = ring.wait(ticket).unwrap();
    done.check().unwrap();
    assert!(done.get(slept).is_ok());
}

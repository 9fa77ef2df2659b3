//! Who shares a processor with the other side does not spin: seen in how often a service slept, with both sides ready to spin for
//! a second.

#![allow(clippy::unwrap_used)]

mod shared;

use std::sync::mpsc::channel;
use std::time::Duration;

use ouzel_ring::{Entry, Verb};
use ouzel_scheme::{Answering, AtOnce, Client, ClientOptions, Name, Quotas, Server, Simple, Statistics};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A service without a verb of its own: NOP is the engine's.
struct Nothing;

impl Simple for Nothing {
    type File = ();
}

const ROUNDS: u64 = 200;

/// How long either side may spin: far longer than the test may take if both did all the time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Round trips with the service on one processor and the client on another, or the same; what the service has done.
fn round_trips(name: &str, service: usize, client: usize) -> Statistics {
    let name = Name::parse(name).unwrap();
    let (sender, receiver) = channel();
    let served = name.clone();
    let server = std::thread::spawn(move || {
        pin(service);
        let quotas = Quotas { spin: Some(PATIENCE), ..Quotas::default() };
        let mut server = Server::bind(&served, quotas, |_| Ok(Answering::new(AtOnce(Nothing), 64))).unwrap();
        sender.send(server.stopper()).unwrap();
        server.run().unwrap();
        server.statistics()
    });
    let stopper = receiver.recv().unwrap();
    pin(client);
    let options = ClientOptions { spin: Some(PATIENCE), ..ClientOptions::default() };
    let mut client = Client::connect(&name, &options).unwrap();
    for number in 0..ROUNDS {
        client.push(&Entry::new(Verb::Nop).data(number)).unwrap();
        let entered = client.enter(1, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(entered.readable, 1);
        let done = client.pop().unwrap();
        assert_eq!((done.data, done.error), (number, 0));
    }
    drop(client);
    stopper.stop();
    server.join().unwrap()
}

fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).unwrap();
}

#[test]
fn two_sides_on_one_processor_do_not_spin() {
    let _names = shared::Names::new("spinning");

    let allowed = sched_getaffinity(None).unwrap();
    let usable: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
    let (first, last) = (usable[0], usable[usable.len() - 1]);
    // Whoever spins for a second sleeps hardly ever; whoever does not sleeps again and again. Only where the kernel hands the
    // processor over at the very moment of each answer has nobody a reason to.
    let sleeps_often = |attempt: usize| {
        let alone = round_trips(&format!("together-{attempt}"), first, first);
        assert_eq!(alone.entries, ROUNDS);
        alone.sleeps >= ROUNDS / 10
    };
    assert!((0..20).any(sleeps_often), "it spun");
    if first == last {
        eprintln!("SKIPPED: on two processors: only one may be used");
        return;
    }
    sched_setaffinity(None, &allowed).unwrap();
    let sleeps_seldom = |attempt: usize| {
        let apart = round_trips(&format!("apart-{attempt}"), first, last);
        assert_eq!(apart.entries, ROUNDS);
        // Until somebody comes, says what they want, and goes.
        apart.sleeps <= ROUNDS / 4
    };
    assert!((0..20).any(sleeps_seldom), "it did not spin");
}

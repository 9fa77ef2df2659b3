//! Chains with silent steps, chains taken without entering, where steps ran, and numbers out of registers.

// Helpers of tests, not only tests, may unwrap: a panic is their way to fail.
#![allow(clippy::unwrap_used)]

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{AllocateFlags, Whence};
use ouzel::engine::Place;
use ouzel::{BackendKind, Buffer, BuildError, Chain, Error, Offset, OpenOptions, Ring};

fn sim() -> Ring {
    Ring::builder().backend(BackendKind::Sim).build().unwrap()
}

#[test]
fn silent_steps_report_failures_only() {
    let mut ring = sim();
    let mut chain = Chain::new();
    let file = chain.open("file", OpenOptions::read_write().create());
    let written = chain.write(file, "hello", Offset::START);
    chain.silent();
    let copied = chain.get(written);
    // The last step is reported although it is silent: it ends the chain.
    chain.finally().close(file);
    chain.silent();
    let done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(copied).unwrap(), 5);
    assert!(done.completion_of(1).is_none() && done.completion_of(3).is_some());
    assert!(matches!(done.get(written), Err(Error::Build(BuildError::Silent { step: 1, .. }))));

    let mut chain = done.into_chain();
    chain.open("missing", OpenOptions::read());
    chain.silent();
    chain.nop();
    let done = ring.run(chain).unwrap();
    assert_eq!(done.error().unwrap().errno, Errno::ENOENT);
    assert_eq!(done.completion_of(1).unwrap().errno(), Errno::ECANCELED);
    assert_eq!(ring.in_flight(), 0);
}

#[test]
fn silent_chains_do_not_wait_for_each_other() {
    let mut ring = sim();
    let mut tickets = Vec::new();
    for _ in 0..20 {
        let mut chain = Chain::new();
        for _ in 0..3 {
            chain.nop();
            chain.silent();
        }
        tickets.push(ring.submit(chain).unwrap());
    }
    assert!(ring.next_ended().is_none(), "nothing has been entered");
    let first = ring.wait_any().unwrap().unwrap();
    assert_eq!(first.0, tickets[0]);
    let mut others = 0;
    while let Some((_, done)) = ring.next_ended() {
        assert!(done.completion_of(2).is_some());
        others += 1;
    }
    while ring.wait_any().unwrap().is_some() {
        others += 1;
    }
    assert_eq!((others, ring.in_flight()), (19, 0));
}

#[test]
fn a_traced_ring_knows_where_steps_ran() {
    let mut ring = sim();
    let build = || {
        let mut chain = Chain::new();
        let file = chain.open("file", OpenOptions::write().create());
        chain.write(file, "x", Offset::START);
        chain.get(1u64);
        chain.finally().close(file);
        chain
    };
    let done = ring.run(build()).unwrap();
    assert!(done.way_of(0).is_none());
    assert!(!ring.trace(true));
    let tickets: Vec<_> = (0..5).map(|_| ring.submit(build()).unwrap()).collect();
    for ticket in tickets {
        let done = ring.wait(ticket).unwrap();
        let places: Vec<_> = (0..4).map(|step| done.way_of(step).unwrap().place).collect();
        assert_eq!(places, [Place::Simulated, Place::Simulated, Place::Engine, Place::Simulated]);
        assert!(done.way_of(4).is_none());
    }
    let (_, explanation) = ring.explain(build()).unwrap();
    assert_eq!(explanation.steps.len(), 4);
    assert!(ring.trace(false), "explaining leaves it on");
    assert!(ring.run(build()).unwrap().way_of(0).is_none());
}

#[test]
fn numbers_come_out_of_registers() {
    let mut ring = sim();
    let mut chain = Chain::new();
    let file = chain.open("file", OpenOptions::read_write().create());
    let written = chain.write(file, "hello world", Offset::START);
    let end = chain.seek(file, written, Whence::Start);
    chain.allocate(file, end, written, AllocateFlags::empty());
    chain.sync_range(file, 0u64, written);
    let back = chain.seek(file, -5, Whence::Current);
    let read = chain.read(file, Buffer::with_capacity(5), Offset::at(back));
    chain.finally().close(file);
    let mut done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!((done.get(end).unwrap(), done.get(back).unwrap()), (11, 6));
    assert_eq!(&*done.take_of(read.step()).unwrap(), b"world");
    assert!(done.take_of(read.step()).is_none() && done.take_of(99).is_none());
}

//! Chains through the typed face, on the simulator.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::{BackendKind, Buffer, BuildError, Chain, Error, Offset, OpenOptions, Ring};

fn ring() -> Ring {
    Ring::builder().backend(BackendKind::Sim).seed(3).build().unwrap()
}

fn write_file(ring: &mut Ring, path: &str, bytes: &[u8]) {
    let mut chain = Chain::new();
    let file = chain.open(path, OpenOptions::write().create().truncate());
    chain.write(file, bytes, Offset::START);
    chain.finally().close(file);
    ring.run(chain).unwrap().check().unwrap();
}

#[test]
fn a_file_is_read_whole() {
    let mut ring = ring();
    write_file(&mut ring, "hello", b"hello, ring");
    let mut chain = Chain::new();
    let file = chain.open("hello", OpenOptions::read());
    let length = chain.read(file, Buffer::with_capacity(100), Offset::START);
    chain.finally().close(file);
    let mut done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(length).unwrap(), 11);
    assert_eq!(&*done.take(length).unwrap(), b"hello, ring");
    assert!(done.take(length).is_none());
    assert_eq!(ring.gauges().descriptors, 0);
    assert_eq!(ring.gauges().packets, 0);
}

#[test]
fn a_write_takes_its_length_from_a_read() {
    let mut ring = ring();
    write_file(&mut ring, "from", b"some bytes");
    let mut chain = Chain::new();
    let from = chain.open("from", OpenOptions::read());
    let to = chain.open("to", OpenOptions::write().create());
    let read = chain.read(from, Buffer::with_capacity(4096), Offset::START);
    let written = chain.write(to, read, Offset::START);
    chain.finally().close(from);
    chain.finally().close(to);
    let done = ring.run(chain).unwrap();
    done.check().unwrap();
    assert_eq!(done.get(written).unwrap(), 10);
    let stat = ring.stat(ouzel::Directory::Working, "to", Default::default()).unwrap();
    assert_eq!(stat.size, 10);
    assert!(stat.is_file());
}

#[test]
fn finally_closes_what_was_opened_and_nothing_else() {
    let mut ring = ring();
    write_file(&mut ring, "one", b"1");
    let mut chain = Chain::new();
    let one = chain.open("one", OpenOptions::read());
    chain.finally().close(one);
    let two = chain.open("missing", OpenOptions::read());
    chain.finally().close(two);
    let never = chain.nop();
    let done = ring.run(chain).unwrap();
    let error = done.error().unwrap();
    assert_eq!((error.step, error.errno, error.operand.as_deref()), (2, Errno::ENOENT, Some("missing")));
    assert_eq!(done.completion_of(1).unwrap().errno(), Errno::OK);
    assert_eq!(done.completion_of(3).unwrap().errno(), Errno::ECANCELED);
    assert!(matches!(done.get(never), Err(Error::Operation(error)) if error.errno == Errno::ECANCELED));
    assert_eq!(ring.gauges().descriptors, 0);
}

#[test]
fn wrong_chains_are_named_before_they_run() {
    let mut ring = ring();
    let mut first = Chain::new();
    let foreign = first.open("x", OpenOptions::read());
    let mut second = Chain::new();
    second.nop();
    second.close(foreign);
    assert!(matches!(second.check(), Err(BuildError::ForeignRegister { step: 1, of: 0, .. })));
    assert!(matches!(ring.run(second), Err(Error::Build(BuildError::ForeignRegister { .. }))));

    assert!(matches!(ring.run(Chain::new()), Err(Error::Build(BuildError::Empty))));

    let mut late = Chain::new();
    let file = {
        late.finally();
        late.open("x", OpenOptions::read())
    };
    late.close(file);
    assert_eq!(late.check(), Err(BuildError::Undefined { step: 1, verb: ouzel::abi::Verb::Close, of: 0 }));

    let mut many = Chain::new();
    let files: Vec<_> = (0..8).map(|_| many.open("x", OpenOptions::read())).collect();
    for file in &files[..7] {
        many.close(*file);
    }
    assert_eq!(many.check(), Ok(()));
    many.close(files[7]);
    assert!(matches!(many.check(), Err(BuildError::TooManyLive { step: 7, .. })));

    let mut path = Chain::new();
    path.open("a\0b", OpenOptions::read());
    assert!(matches!(path.check(), Err(BuildError::NulInPath { step: 0, .. })));
}

#[test]
fn timeouts_and_deadlines_end_what_waits() {
    let mut ring = ring();
    let mut chain = Chain::new();
    chain.nop();
    chain.timeout(Duration::from_millis(5));
    let done = ring.run(chain).unwrap();
    assert_eq!(done.error().unwrap().errno, Errno::ETIMEDOUT);

    let (read, write) = ring.pipe().unwrap();
    let mut chain = Chain::new();
    chain.deadline(Duration::from_secs(2));
    let bytes = chain.read(read, Buffer::with_capacity(8), Offset::CURRENT);
    chain.nop();
    chain.finally().close(write);
    let done = ring.run(chain).unwrap();
    let errors: Vec<_> = (0..4).map(|step| done.completion_of(step).unwrap().errno()).collect();
    assert_eq!(errors, [Errno::OK, Errno::ETIMEDOUT, Errno::ECANCELED, Errno::OK]);
    assert!(done.get(bytes).is_err());

    let mut chain = Chain::new();
    chain.read(read, Buffer::with_capacity(8), Offset::CURRENT);
    chain.timeout(Duration::ZERO);
    assert_eq!(ring.run(chain).unwrap().check(), Ok(()), "the end of the pipe is there at once");
    ring.close(read).unwrap();
    ring.sleep(Duration::from_secs(3600)).unwrap();
}

#[test]
fn many_chains_travel_together() {
    let mut ring = ring();
    write_file(&mut ring, "f", &[7; 300]);
    let mut tickets = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..200 {
        let mut chain = Chain::new();
        let file = chain.open("f", OpenOptions::read());
        reads.push(chain.read(file, Buffer::with_capacity(512), Offset::START));
        chain.finally().close(file);
        tickets.push(ring.submit(chain).unwrap());
    }
    assert_eq!(ring.in_flight(), 200);
    ring.wait_all().unwrap();
    let mut seen = 0;
    while let Some((ticket, done)) = ring.wait_any().unwrap() {
        let place = tickets.iter().position(|other| *other == ticket).unwrap();
        assert_eq!(done.get(reads[place]).unwrap(), 300);
        assert!(matches!(ring.wait(ticket), Err(Error::Refused { errno: Errno::ENOENT, .. })));
        seen += 1;
    }
    assert_eq!(seen, 200);
    assert_eq!(ring.gauges().descriptors, 0);
}

#[test]
fn a_cancelled_chain_still_closes() {
    let mut ring = ring();
    let (read, write) = ring.pipe().unwrap();
    let mut chain = Chain::new();
    chain.read(read, Buffer::with_capacity(8), Offset::CURRENT);
    chain.nop();
    chain.finally().close(read);
    let ticket = ring.submit(chain).unwrap();
    assert!(ring.cancel(ticket).unwrap());
    let done = ring.wait(ticket).unwrap();
    let errors: Vec<_> = (0..3).map(|step| done.completion_of(step).unwrap().errno()).collect();
    assert_eq!(errors, [Errno::ECANCELED, Errno::ECANCELED, Errno::OK]);
    ring.close(write).unwrap();
    assert_eq!(ring.gauges().descriptors, 0);
}

#[test]
fn an_explanation_tells_each_step() {
    let mut ring = ring();
    write_file(&mut ring, "f", b"x");
    let mut chain = Chain::new();
    let file = chain.open("f", OpenOptions::read());
    chain.read(file, Buffer::with_capacity(1), Offset::START);
    chain.finally().close(file);
    let (done, explanation) = ring.explain(chain).unwrap();
    done.check().unwrap();
    assert_eq!(explanation.steps.len(), 3);
    assert!(explanation.steps.iter().all(|step| step.way.is_some() && step.error.is_ok()));
    assert!(explanation.to_string().contains("READ"), "{explanation}");
}

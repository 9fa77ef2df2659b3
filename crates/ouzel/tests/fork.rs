//! A forked child finds every call refused, and neither its calls nor its drop disturb what the parent has in flight.
//!
//! Without the test harness, because a child must be forked where no other thread could hold a lock.

mod fork_support;

use std::time::Duration;

#[cfg(target_arch = "x86_64")]
use fork_support::{exit_status, fork, wait_until_alone};
use ouzel::engine::Target;
use ouzel::task::{Executor, Filling};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset, RawRing, Ring};

const PAUSE: Duration = Duration::from_millis(10);

fn refused<T: std::fmt::Debug>(call: &str, result: Result<T, Error>) -> Result<(), String> {
    match result {
        Err(Error::ForkedChild) => Ok(()),
        other => Err(format!("{call}: {other:?}")),
    }
}

/// What the child checks of a ring that has `ticket` in flight.
fn in_child(
    mut ring: Ring,
    ticket: ouzel::Ticket,
    mut raw: RawRing,
    file: ouzel::abi::Descriptor,
) -> Result<(), String> {
    let mut chain = Chain::new();
    chain.nop();
    refused("submit", ring.submit(chain).map_err(Error::from))?;
    let mut chain = Chain::new();
    chain.nop();
    refused("run", ring.run(chain))?;
    let mut chain = Chain::new();
    chain.nop();
    refused("explain", ring.explain(chain).map(|_| ()))?;
    refused("flush", ring.flush())?;
    refused("wait", ring.wait(ticket))?;
    refused("wait_any", ring.wait_any())?;
    refused("wait_all", ring.wait_all())?;
    refused("cancel", ring.cancel(ticket))?;
    refused("release", ring.release(file))?;
    refused("close", ring.close(file))?;
    let null = std::fs::File::open("/dev/null").map_err(|error| error.to_string())?;
    refused("adopt", ring.adopt(null))?;
    refused("raw enter", raw.enter(0, 0, None))?;
    refused("raw cancel", raw.cancel(Target::All))?;
    let gauges = ring.gauges();
    if ring.teardown(Duration::from_secs(1)).leaked != 0 || gauges.started == 0 {
        return Err(format!("teardown in the child: {gauges:?}"));
    }
    drop(raw);
    // A ring of its own works.
    let mut own = Ring::builder().backend(BackendKind::Sim).build().map_err(|error| error.to_string())?;
    let mut chain = Chain::new();
    let seven = chain.get(7u64);
    let done = own.run(chain).map_err(|error| error.to_string())?;
    match done.get(seven) {
        Ok(7) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[cfg(target_arch = "x86_64")]
fn on(kind: BackendKind) {
    let builder = Ring::builder().backend(kind);
    let (mut ring, raw) = match (builder.build(), builder.build_raw()) {
        (Ok(ring), Ok(raw)) => (ring, raw),
        (Err(error), _) | (_, Err(error)) => {
            println!("SKIPPED: {}: {error}", kind.name());
            return;
        }
    };
    // A read that waits for a byte which comes after the child is gone.
    let mut chain = Chain::new();
    let (from, to) = chain.pipe();
    let from_out = chain.get_descriptor(from);
    let to_out = chain.get_descriptor(to);
    let done = ring.run(chain).expect("a pipe");
    let (from, to) = (done.get(from_out).expect("its end"), done.get(to_out).expect("its end"));
    let mut chain = Chain::new();
    let length = chain.read(from, Buffer::with_capacity(16), Offset::CURRENT);
    let ticket = ring.submit(chain).expect("room");
    ring.flush().expect("a start");
    assert_eq!(ring.gauges().started, 1);

    wait_until_alone(PAUSE);
    // SAFETY: no other thread of this process is at work, so the child finds no lock taken for ever.
    let Some(child) = (unsafe { fork() }) else {
        let code = match in_child(ring, ticket, raw, from) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("in the child of {}: {error}", kind.name());
                1
            }
        };
        std::process::exit(code);
    };
    assert_eq!(exit_status(child, PAUSE), Some(0), "the child");
    assert_eq!(ring.gauges().started, 1, "the child has not ended it");
    let mut chain = Chain::new();
    chain.write(to, b"here", Offset::CURRENT);
    ring.run(chain).expect("a write").check().expect("it is open");
    let mut done = ring.wait(ticket).expect("it is ours");
    assert_eq!(done.get(length).expect("it has read"), 4);
    assert_eq!(&*done.take(length).expect("its buffer"), b"here");
    println!("{}: ok", kind.name());
}

/// What the child checks of an executor whose task waits for `reading`.
#[cfg(target_arch = "x86_64")]
fn executor_in_child(mut executor: Executor, reading: Filling) -> Result<(), String> {
    let handle = executor.handle();
    let mut chain = Chain::new();
    chain.nop();
    refused("run", executor.block_on(handle.run(chain)).map_err(|error| error.to_string())?)?;
    refused("block_on", executor.block_on(std::future::pending::<()>()))?;
    drop(reading);
    refused("block_on", executor.block_on(handle.sleep(Duration::from_millis(1))))?;
    drop(executor);
    Ok(())
}

#[cfg(target_arch = "x86_64")]
fn executor_on(kind: BackendKind) {
    let ring = Ring::builder().backend(kind);
    let mut executor = match Executor::builder().ring(ring).build() {
        Ok(executor) => executor,
        Err(error) => {
            println!("SKIPPED: {}: {error}", kind.name());
            return;
        }
    };
    let handle = executor.handle();
    let (from, to) = executor.block_on(handle.pipe()).expect("a turn").expect("a pipe");
    let mut reading = handle.read(from, Buffer::with_capacity(16), Offset::CURRENT);
    let first = executor.block_on(handle.timeout(Duration::from_millis(5), &mut reading)).expect("a turn");
    assert!(first.is_none());
    assert_eq!(handle.gauges().started, 2, "the read and the bell");
    wait_until_alone(PAUSE);
    // SAFETY: no other thread of this process is at work, so the child finds no lock taken for ever.
    let Some(child) = (unsafe { fork() }) else {
        let code = match executor_in_child(executor, reading) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("in the child of an executor on {}: {error}", kind.name());
                1
            }
        };
        std::process::exit(code);
    };
    assert_eq!(exit_status(child, PAUSE), Some(0), "the child");
    assert_eq!(handle.gauges().started, 2, "the child has not ended them");
    let text = executor.block_on(async {
        handle.write(to, "here", Offset::CURRENT).await.expect("it is open");
        reading.await.expect("it has read")
    });
    assert_eq!(&*text.expect("turns"), b"here");
    println!("an executor on {}: ok", kind.name());
}

/// What was picked out of a group, and the group, are let go in a child: the parent's are as they were.
#[cfg(target_arch = "x86_64")]
fn group_on(kind: BackendKind) {
    use std::io::Write;
    let Ok(mut ring) = Ring::builder().backend(kind).build() else { return };
    let Ok(group) = ring.group(2, 64) else {
        println!("SKIPPED: {}: no groups of buffers", kind.name());
        return;
    };
    let (mut near, far) = std::os::unix::net::UnixStream::pair().expect("two sockets");
    let far = ring.adopt(far).expect("a descriptor");
    near.write_all(b"first").expect("room");
    let picked = ring.recv_picked(far, &group).expect("data").expect("a buffer");
    let mut chain = Chain::new();
    let many = chain.recv_many(far, &group);
    let ticket = ring.submit(chain).expect("room");
    ring.flush().expect("a turn");
    wait_until_alone(PAUSE);
    // SAFETY: no other thread of this process is at work, so the child finds no lock taken for ever.
    let Some(child) = (unsafe { fork() }) else {
        let same = &*picked == b"first";
        drop(picked);
        let refused = refused("group", ring.group(1, 1).map(|_| ()))
            .and(refused("picked", ring.wait_picked(ticket, many)));
        drop(group);
        drop(ring);
        std::process::exit(i32::from(!same || refused.is_err()));
    };
    assert_eq!(exit_status(child, PAUSE), Some(0), "the child");
    assert_eq!((&*picked, group.idle()), (&b"first"[..], 1));
    near.write_all(b"second").expect("room");
    let second = ring.wait_picked(ticket, many).expect("data").expect("the other buffer");
    assert_eq!(&*second, b"second");
    drop(picked);
    near.write_all(b"third").expect("room");
    // It may have found no buffer before the first came back.
    let third = match ring.wait_picked(ticket, many).expect("a turn") {
        Some(third) => third,
        None => ring.recv_picked(far, &group).expect("data").expect("a buffer"),
    };
    assert_eq!(&*third, b"third");
    println!("a group on {}: ok", kind.name());
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("SKIPPED: the raw fork of this test is written for x86-64");
}

#[cfg(target_arch = "x86_64")]
fn main() {
    for kind in [BackendKind::Sim, BackendKind::Uring, BackendKind::Threads] {
        on(kind);
        executor_on(kind);
        if kind != BackendKind::Sim {
            group_on(kind);
        }
    }
}

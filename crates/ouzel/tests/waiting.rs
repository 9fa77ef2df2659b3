//! Chains that wait for room or for ever, through the typed face.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::{BackendKind, Chain, Error, Ring, Ticket};
use rustix::time::{ClockId, clock_gettime};

const FOR_EVER: Duration = Duration::from_nanos(u64::MAX);

fn sleeper(ring: &mut Ring) -> Ticket {
    let mut chain = Chain::new();
    chain.sleep(FOR_EVER);
    ring.submit(chain).unwrap()
}

#[test]
fn one_of_some_is_waited_for_and_others_are_left_alone() {
    let mut ring = Ring::builder().backend(BackendKind::Sim).seed(3).build().unwrap();
    let mut sleeping = |milliseconds| {
        let mut chain = Chain::new();
        chain.sleep(Duration::from_millis(milliseconds));
        ring.submit(chain).unwrap()
    };
    let (slow, other, quick) = (sleeping(30), sleeping(1), sleeping(20));
    for expected in [quick, slow] {
        let (ended, done) = ring.wait_any_of(&[slow, quick]).unwrap().unwrap();
        assert_eq!(ended, expected);
        done.check().unwrap();
    }
    assert!(ring.wait_any_of(&[slow, quick]).unwrap().is_none(), "they were taken");
    assert!(ring.wait_any_of(&[]).unwrap().is_none());
    assert_eq!(ring.in_flight(), 1);
    assert_eq!(ring.wait_any().unwrap().unwrap().0, other, "its result stayed");
}

#[test]
fn a_chain_that_waits_for_room_can_be_cancelled() {
    let mut ring =
        Ring::builder().backend(BackendKind::Sim).entries(8).completions(8).seed(1).build().unwrap();
    let sleepers: Vec<Ticket> = (0..6).map(|_| sleeper(&mut ring)).collect();
    ring.flush().unwrap();
    let waits = |ring: &mut Ring| {
        let mut chain = Chain::new();
        let made = chain.pipe();
        chain.finally().close(made.0);
        chain.finally().close(made.1);
        ring.submit(chain).unwrap()
    };
    let (first, second) = (waits(&mut ring), waits(&mut ring));
    ring.flush().unwrap();
    assert_eq!(ring.gauges().packets, 6, "there is no room for it");

    assert!(ring.cancel(second).unwrap());
    assert!(!ring.cancel(second).unwrap(), "once is enough");
    let done = ring.wait(second).unwrap();
    assert!((0..3).all(|step| done.completion_of(step).unwrap().errno() == Errno::ECANCELED));
    assert!(ring.cancel(second).is_err(), "it is gone");

    // The other one still waits, and runs when there is room.
    assert_eq!(ring.in_flight(), 7);
    for sleeper in sleepers {
        assert!(ring.cancel(sleeper).unwrap());
    }
    assert_eq!(ring.wait(first).unwrap().check(), Ok(()));
    ring.wait_all().unwrap();
    while let Some((_, done)) = ring.next_ended() {
        assert_eq!(done.completion_of(0).unwrap().errno(), Errno::ECANCELED);
    }
    assert_eq!((ring.in_flight(), ring.gauges().descriptors), (0, 0));
}

/// Nanoseconds that this thread has worked.
fn worked() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[test]
fn a_sleep_costs_no_work() {
    for kind in [BackendKind::Uring, BackendKind::Threads] {
        let mut ring = match Ring::builder().backend(kind).build() {
            Ok(ring) => ring,
            Err(error) => {
                println!("SKIPPED: {error}");
                continue;
            }
        };
        let before = worked();
        ring.sleep(Duration::from_millis(400)).unwrap();
        let spent = worked() - before;
        assert!(spent < 100_000_000, "{}: {spent} ns of work to sleep 400 ms", kind.name());
    }
}

/// Runs `wait` on a thread with a ring on which nothing can ever end, and asserts that it sleeps.
#[cfg(target_os = "linux")]
fn sleeps_for_ever(kind: BackendKind, wait: fn(&mut Ring, Ticket) -> Result<(), Error>) {
    let (tell, told) = std::sync::mpsc::channel();
    // Nobody joins it: what it waits for never comes.
    std::thread::spawn(move || {
        let built = Ring::builder().backend(kind).entries(2).completions(4).build();
        let Ok(mut ring) = built else { return };
        let tickets: Vec<Ticket> = (0..3).map(|_| sleeper(&mut ring)).collect();
        tell.send(Some(rustix::thread::gettid().as_raw_nonzero().get())).unwrap();
        let woke = wait(&mut ring, tickets[0]);
        // Only reached if the wait ends, which it must not.
        let _ = tell.send(None);
        drop((ring, woke));
    });
    let Ok(Some(thread)) = told.recv_timeout(Duration::from_secs(20)) else {
        println!("SKIPPED: no ring on {}", kind.name());
        return;
    };
    let worked = || {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    std::thread::sleep(Duration::from_millis(100));
    let Some(before) = worked() else {
        println!("SKIPPED: no /proc/self/task/*/schedstat");
        return;
    };
    let woke = told.recv_timeout(Duration::from_millis(400));
    assert!(woke.is_err(), "{}: it did not wait", kind.name());
    let spent = worked().unwrap() - before;
    assert!(spent < 40_000_000, "{}: {spent} ns of work to wait 400 ms", kind.name());
}

#[test]
#[cfg(target_os = "linux")]
fn what_never_ends_is_slept_for() {
    for kind in [BackendKind::Uring, BackendKind::Threads, BackendKind::Sim] {
        sleeps_for_ever(kind, |ring, ticket| ring.wait(ticket).map(drop));
        sleeps_for_ever(kind, |ring, _| ring.wait_any().map(drop));
        sleeps_for_ever(kind, |ring, _| ring.wait_all());
        sleeps_for_ever(kind, |ring, _| {
            // Three have all credits and two fill the queue: there never is room for another.
            for _ in 0..3 {
                sleeper(ring);
            }
            Ok(())
        });
    }
}

//! What it costs to wake a thread that sleeps in its ring: by an eventfd that the ring polls, or by a message into the ring.
//!
//! For each way it prints the processor time of who wakes and of who is woken, per wake: the best of several runs, since
//! whatever else the machine does only adds to it. `docs/design.md` says what followed from it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use ouzel_uring::abi::{MsgRingFlags, PollFlags, SetupFlags};
use ouzel_uring::{Builder, Ring, Sqe, post_message};
use rustix::event::{EventfdFlags, eventfd};
use rustix::time::{ClockId, clock_gettime};

type Failed = Box<dyn std::error::Error + Send + Sync>;

const WAKES: u64 = 20_000;
const RUNS: u32 = 5;
static ONE: u64 = 1;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// write(2) to the eventfd.
    Eventfd,
    /// IORING_REGISTER_SEND_MSG_RING.
    MessageWithoutRing,
    /// IORING_OP_MSG_RING, and the enter that takes it.
    MessageInEnter,
    /// write(2) to the eventfd, and beside it an enter with something else.
    EventfdBesideEnter,
    /// A write to the eventfd by the sender's ring, and the enter that takes it.
    EventfdInEnter,
}

fn main() -> Result<(), Failed> {
    use Way::*;
    for way in [Eventfd, MessageWithoutRing, MessageInEnter, EventfdBesideEnter, EventfdInEnter] {
        let mut best = (u64::MAX, u64::MAX);
        for _ in 0..RUNS {
            let (sender, woken) = run(way)?;
            best = (best.0.min(sender), best.1.min(woken));
        }
        println!("{way:?}: {} ns for who wakes, {} ns for who is woken", best.0, best.1);
    }
    Ok(())
}

/// A ring as an executor has it.
fn ring() -> Result<Ring, Failed> {
    let flags = SetupFlags::SINGLE_ISSUER | SetupFlags::DEFER_TASKRUN;
    Ok(Builder::new(8).flags(flags).build()?)
}

/// Nanoseconds of processor time that this thread has used.
fn used() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Pushes and enters.
fn enter(ring: &mut Ring, entry: &Sqe) -> Result<(), Failed> {
    // SAFETY: none of the entries here names memory but `ONE`, which is there for good.
    unsafe { ring.push(entry) }?;
    ring.submit_and_wait(0, None)?;
    Ok(())
}

fn run(way: Way) -> Result<(u64, u64), Failed> {
    let event = Arc::new(eventfd(0, EventfdFlags::NONBLOCK)?);
    let awaited = Arc::new(AtomicU64::new(0));
    let (tell, told) = mpsc::channel();
    let (heard, awaits) = (Arc::clone(&event), Arc::clone(&awaited));
    let woken = thread::spawn(move || {
        let mut ring = ring()?;
        let poll = Sqe::poll_add(heard.as_fd(), 1, PollFlags::ADD_MULTI).user_data(1);
        enter(&mut ring, &poll)?;
        tell.send(ring.descriptor().map(|ring| ring.try_clone_to_owned()))?;
        let begun = used();
        for wake in 1..=WAKES {
            awaits.store(wake, Ordering::Release);
            ring.submit_and_wait(1, None)?;
            while ring.next_completion().is_some() {}
        }
        Ok::<_, Failed>((used() - begun) / WAKES)
    });
    let Some(target) = told.recv()?.transpose()? else { return Err("a ring without a descriptor".into()) };
    let mut own = ring()?;
    let mut spent = 0;
    for wake in 1..=WAKES {
        while awaited.load(Ordering::Acquire) != wake {
            thread::yield_now();
        }
        // It has said that it will sleep: now it does.
        (0..300).for_each(|_| std::hint::spin_loop());
        let begun = used();
        wake_by(way, &mut own, &target, event.as_fd())?;
        spent += used() - begun;
    }
    let woken = woken.join().map_err(|_| "it panicked")??;
    Ok((spent / WAKES, woken))
}

fn wake_by(way: Way, own: &mut Ring, target: &OwnedFd, event: BorrowedFd<'_>) -> Result<(), Failed> {
    let write = || rustix::io::write(event, &ONE.to_ne_bytes());
    let none = MsgRingFlags::empty();
    match way {
        Way::Eventfd => drop(write()?),
        Way::MessageWithoutRing => post_message(target.as_fd(), 1, 2, none)?,
        Way::MessageInEnter => enter(own, &Sqe::msg_ring(target.as_raw_fd(), 1, 2, none).skip_success())?,
        Way::EventfdBesideEnter => {
            enter(own, &Sqe::nop().skip_success())?;
            write()?;
        }
        Way::EventfdInEnter => {
            enter(own, &Sqe::write(event.as_raw_fd(), (&raw const ONE).cast(), 8, 0).skip_success())?;
        }
    }
    Ok(())
}

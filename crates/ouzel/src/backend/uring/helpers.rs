//! The helper pool: a few threads for what the kernel's ring cannot do.
//!
//! Jobs go in, outcomes come out and an eventfd tells the ring, which watches it only while jobs are under way. A
//! job names ordinary descriptors that the table keeps open until the job is reported. Threads are made when first
//! needed, at most [`THREADS`]; they never touch the ring.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use ouzel_engine::{Operation, Token};
use ouzel_ring::Errno;
use rustix::event::{EventfdFlags, eventfd};

use super::copy::{Order, Stop as Halt, copy};
use super::trials::{help, turn};
use crate::backend::host::{Stop, Turn};

/// The most threads of one pool.
const THREADS: usize = 4;

/// An operation that a helper is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) token: Token,
    pub(super) operation: Operation,
    pub(super) numbers: [RawFd; 2],
    pub(super) may_wait: bool,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Job>,
    done: VecDeque<(Token, Turn)>,
    /// What each thread is at.
    running: [Option<Token>; THREADS],
    idle: usize,
    closing: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Readable when there are outcomes.
    bell: std::os::fd::OwnedFd,
    stops: [Halt; THREADS],
    calls: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_bell(&self) {
        ring(self.bell.as_fd());
    }
}

/// Makes an eventfd readable. It can only fail when its count is at its end, and then it is readable already.
fn ring(bell: BorrowedFd<'_>) {
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

/// Makes an eventfd unreadable.
fn silence(bell: BorrowedFd<'_>) {
    let mut count = [0; 8];
    let _ = rustix::io::read(bell, &mut count);
}

/// The pool.
#[derive(Debug)]
pub(super) struct Helpers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Jobs not yet collected.
    under_way: u32,
    handed: u64,
}

impl Helpers {
    pub(super) fn new() -> std::io::Result<Helpers> {
        let bell = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let stop = || Ok::<_, std::io::Error>(Halt { wanted: AtomicBool::new(false), event: bell()? });
        let shared = Shared {
            state: Mutex::new(State {
                queue: VecDeque::with_capacity(64),
                done: VecDeque::with_capacity(64),
                running: [None; THREADS],
                idle: 0,
                closing: false,
            }),
            work: Condvar::new(),
            bell: bell()?,
            stops: [stop()?, stop()?, stop()?, stop()?],
            calls: AtomicU64::new(0),
        };
        Ok(Helpers { shared: Arc::new(shared), threads: Vec::new(), under_way: 0, handed: 0 })
    }

    /// What tells of outcomes.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell.as_fd()
    }

    /// Whether there are jobs whose outcome has not been collected.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way > 0
    }

    pub(super) fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    pub(super) fn handed(&self) -> u64 {
        self.handed
    }

    /// Takes a job. ENOMEM if there is no thread and none can be made.
    pub(super) fn start(&mut self, job: Job) -> Result<(), Errno> {
        let mut state = self.shared.lock();
        if state.idle <= state.queue.len() && self.threads.len() < THREADS {
            let (shared, number) = (Arc::clone(&self.shared), self.threads.len());
            match Builder::new().name(format!("ouzel-helper-{number}")).spawn(move || work(&shared, number)) {
                Ok(thread) => self.threads.push(thread),
                Err(_) if self.threads.is_empty() => return Err(Errno::ENOMEM),
                Err(_) => {}
            }
        }
        state.queue.push_back(job);
        drop(state);
        self.shared.work.notify_one();
        self.under_way += 1;
        self.handed += 1;
        Ok(())
    }

    /// Asks for a job to be given up: one that waits for a thread is, and so is a COPY that runs. Others are over
    /// soon.
    pub(super) fn cancel(&self, token: Token) {
        let mut state = self.shared.lock();
        if let Some(place) = state.queue.iter().position(|job| job.token == token) {
            state.queue.remove(place);
            state.done.push_back((token, Err(Stop::Error(Errno::ECANCELED))));
            drop(state);
            self.shared.ring_bell();
        } else if let Some(number) = state.running.iter().position(|running| *running == Some(token)) {
            let stop = &self.shared.stops[number];
            stop.wanted.store(true, Ordering::Relaxed);
            ring(stop.event.as_fd());
        }
    }

    /// Hands the outcomes that are there to `take`.
    pub(super) fn collect(&mut self, mut take: impl FnMut(Token, Turn)) {
        silence(self.bell());
        let mut state = self.shared.lock();
        while let Some((token, outcome)) = state.done.pop_front() {
            self.under_way -= 1;
            take(token, outcome);
        }
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.queue.clear();
        for (stop, running) in self.shared.stops.iter().zip(&state.running) {
            if running.is_some() {
                stop.wanted.store(true, Ordering::Relaxed);
                ring(stop.event.as_fd());
            }
        }
        let running = state.running.iter().any(Option::is_some);
        drop(state);
        self.shared.work.notify_all();
        if !running {
            for thread in self.threads.drain(..) {
                let _ = thread.join();
            }
        }
        // Those at work end by themselves; waiting for them could take as long as storage takes.
    }
}

/// What a helper thread does.
fn work(shared: &Shared, number: usize) {
    let stop = &shared.stops[number];
    let mut state = shared.lock();
    loop {
        let Some(job) = state.queue.pop_front() else {
            if state.closing {
                return;
            }
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        state.running[number] = Some(job.token);
        if stop.wanted.swap(false, Ordering::Relaxed) {
            silence(stop.event.as_fd());
        }
        drop(state);
        let mut made = 1;
        let outcome = match job.operation {
            Operation::Copy { from, to, length, .. } => {
                made = 0;
                let [source, target] = job.numbers;
                let order = Order { source, from, target, to, length, may_wait: job.may_wait };
                turn(copy(&order, stop, &mut made))
            }
            ref operation => help(operation, job.numbers),
        };
        shared.calls.fetch_add(made, Ordering::Relaxed);
        state = shared.lock();
        state.running[number] = None;
        state.done.push_back((job.token, outcome));
        shared.ring_bell();
    }
}

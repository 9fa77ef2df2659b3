//! The helper pool: a few threads for what the kernel's ring cannot do.
//!
//! Jobs go in, outcomes come out and an eventfd tells the ring. A job names ordinary descriptors that the table keeps
//! open until the job is reported. Jobs may hang together: then one thread does them one behind the other, and tells of
//! all at once. Threads are made when first needed, at most [`THREADS`]; they never touch the ring.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use ouzel_engine::{Edge, Operation, Token};
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
    /// How it hangs on the job before it; `None` if it does not.
    pub(super) behind: Option<Edge>,
}

/// What came of a job. `None`: it was left, since one before it failed or was given up.
type Ended = (Token, Option<Turn>);

#[derive(Debug)]
struct State {
    /// Jobs that hang together lie together.
    queue: VecDeque<Job>,
    done: VecDeque<Ended>,
    /// What each thread is at.
    running: [Vec<Token>; THREADS],
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
                running: [const { Vec::new() }; THREADS],
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

    /// Takes jobs that hang together. ENOMEM if there is no thread and none can be made.
    pub(super) fn start(&mut self, jobs: impl ExactSizeIterator<Item = Job>) -> Result<(), Errno> {
        let count = jobs.len();
        let mut state = self.shared.lock();
        if state.idle <= state.queue.len() && self.threads.len() < THREADS {
            let (shared, number) = (Arc::clone(&self.shared), self.threads.len());
            match Builder::new().name(format!("ouzel-helper-{number}")).spawn(move || work(&shared, number)) {
                Ok(thread) => self.threads.push(thread),
                Err(_) if self.threads.is_empty() => return Err(Errno::ENOMEM),
                Err(_) => {}
            }
        }
        state.queue.extend(jobs);
        drop(state);
        self.shared.work.notify_one();
        self.under_way += count as u32;
        self.handed += 1;
        Ok(())
    }

    /// Asks for a job to be given up, with those that hang together with it: they are if they wait for a thread, and so is
    /// a COPY that runs or is still to run. Others are over soon.
    pub(super) fn cancel(&self, token: Token) {
        let mut state = self.shared.lock();
        let state = &mut *state;
        if let Some(place) = state.queue.iter().position(|job| job.token == token) {
            let first = |place: &usize| state.queue[*place].behind.is_none();
            let start = (0..=place).rev().find(first).unwrap_or(place);
            let behind = state.queue.iter().skip(start + 1).take_while(|job| job.behind.is_some()).count();
            for (number, job) in state.queue.drain(start..=start + behind).enumerate() {
                let turn = (number == 0).then_some(Err(Stop::Error(Errno::ECANCELED)));
                state.done.push_back((job.token, turn));
            }
            self.shared.ring_bell();
        } else if let Some(number) = state.running.iter().position(|running| running.contains(&token)) {
            let stop = &self.shared.stops[number];
            stop.wanted.store(true, Ordering::Relaxed);
            ring(stop.event.as_fd());
        }
    }

    /// Makes the bell unreadable until it is rung again.
    pub(super) fn silence(&self) {
        silence(self.bell());
    }

    /// Hands what came of jobs to `take`, in their order.
    pub(super) fn collect(&mut self, mut take: impl FnMut(Token, Option<Turn>)) {
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
            if !running.is_empty() {
                stop.wanted.store(true, Ordering::Relaxed);
                ring(stop.event.as_fd());
            }
        }
        let running = state.running.iter().any(|running| !running.is_empty());
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
    let (mut jobs, mut ended): (Vec<Job>, Vec<Ended>) = (Vec::new(), Vec::new());
    let mut state = shared.lock();
    loop {
        let Some(first) = state.queue.pop_front() else {
            if state.closing {
                return;
            }
            state.idle += 1;
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        jobs.push(first);
        while let Some(next) = state.queue.pop_front_if(|job| job.behind.is_some()) {
            jobs.push(next);
        }
        state.running[number].extend(jobs.iter().map(|job| job.token));
        if stop.wanted.swap(false, Ordering::Relaxed) {
            silence(stop.event.as_fd());
        }
        drop(state);
        let mut made = 0;
        do_all(&jobs, stop, &mut made, &mut ended);
        jobs.clear();
        shared.calls.fetch_add(made, Ordering::Relaxed);
        state = shared.lock();
        state.running[number].clear();
        state.done.extend(ended.drain(..));
        drop(state);
        // Who hears it wants the lock.
        shared.ring_bell();
        state = shared.lock();
    }
}

/// Does jobs that hang together.
fn do_all(jobs: &[Job], stop: &Halt, made: &mut u64, ended: &mut Vec<Ended>) {
    let mut last = Some(true);
    for job in jobs {
        last = match (job.behind, last) {
            (None, _) | (Some(Edge::Always), Some(_)) | (Some(Edge::Success), Some(true)) => {
                let turn = do_one(job, stop, made);
                let success = turn.is_ok();
                ended.push((job.token, Some(turn)));
                Some(success)
            }
            // Behind what did not run nothing runs.
            _ => {
                ended.push((job.token, None));
                None
            }
        };
    }
}

fn do_one(job: &Job, stop: &Halt, made: &mut u64) -> Turn {
    match job.operation {
        Operation::Copy { from, to, length, .. } => {
            let [source, target] = job.numbers;
            let order = Order { source, from, target, to, length, may_wait: job.may_wait };
            turn(copy(&order, stop, made))
        }
        ref operation => {
            *made += 1;
            help(operation, job.numbers)
        }
    }
}

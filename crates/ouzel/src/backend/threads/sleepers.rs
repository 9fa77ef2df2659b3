//! Sleepers: threads that wait on words of memory. FUTEX.
//!
//! There is nothing to poll in a word, so each wait has a thread, made when it is needed and used again; there are at most
//! [`MOST`] of them, and one wait more is refused. A sleeper holds the lock on its job's body until it is woken. A cancel
//! leaves its wish, as for any job at work, and ends the sleep; what was woken before that is reported as woken.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use ouzel_engine::{Operation, Outcome};
use ouzel_ring::Errno;

use super::job::{Body, Job};
use super::pool::Pool;
use crate::backend::host::futex;

/// The most sleepers of one backend.
pub(super) const MOST: usize = 64;

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Job>>,
    threads: Vec<JoinHandle<()>>,
    idle: usize,
    /// Jobs that wait in the queue or sleep. One that is over does not count, though its thread may still be on its way here.
    taken: usize,
    stop: bool,
}

/// The sleepers of one pool.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    state: Mutex<State>,
    signal: Condvar,
}

impl Sleepers {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a job to a sleeper. ENOBUFS if all of them sleep, and on an error nobody has it.
    pub(super) fn take(pool: &Arc<Pool>, job: Arc<Job>) -> Result<(), Errno> {
        let mut state = pool.sleepers.state();
        if state.stop {
            return Err(Errno::ECANCELED);
        }
        if state.taken >= MOST {
            return Err(Errno::ENOBUFS);
        }
        let number = state.threads.len();
        // With all threads there, one that has none to wait for comes by as soon as it has told how its last job ended.
        if state.idle <= state.queue.len() && number < MOST {
            let shared = Arc::clone(pool);
            let spawned = Builder::new().name(format!("ouzel-sleep-{number}")).spawn(move || sleep(&shared));
            match spawned {
                Ok(thread) => state.threads.push(thread),
                Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(11))),
            }
        }
        state.taken += 1;
        state.queue.push_back(job);
        drop(state);
        pool.sleepers.signal.notify_one();
        Ok(())
    }

    /// Ends all threads and waits for them. Every job must have been asked to end.
    pub(super) fn shut_down(&self) {
        let threads = {
            let mut state = self.state();
            state.stop = true;
            std::mem::take(&mut state.threads)
        };
        self.signal.notify_all();
        for thread in threads {
            // A thread that panicked is gone as well.
            let _ = thread.join();
        }
    }
}

/// What a sleeper's thread does.
fn sleep(pool: &Arc<Pool>) {
    let mut state = pool.sleepers.state();
    loop {
        let Some(job) = state.queue.pop_front() else {
            if state.stop {
                return;
            }
            state.idle += 1;
            state = pool.sleepers.signal.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        drop(state);
        match job.begin() {
            Some(body) => {
                let outcome = sleep_for(pool, &job, &body);
                // Before anybody hears that it is over: whoever does may have the next one wait.
                pool.sleepers.state().taken -= 1;
                pool.end(&job, body, outcome);
            }
            None => pool.sleepers.state().taken -= 1,
        }
        drop(job);
        state = pool.sleepers.state();
    }
}

fn sleep_for(pool: &Pool, job: &Job, body: &Body) -> Outcome {
    let Some(Operation::FutexWait { word, expected, shared }) = body.operation else {
        return Outcome::failure(Errno::ECANCELED);
    };
    pool.calls.count(1);
    match futex::sleep(&word, expected, shared, &job.end) {
        Ok(()) => Outcome::success(0),
        Err(error) => Outcome::failure(error),
    }
}

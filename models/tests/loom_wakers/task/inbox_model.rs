//! Wakes and jobs from other threads: none is lost, none is seen twice, whenever the executor sleeps or goes.

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::inbox::{Alarm, Inbox, Mark, Shared};
use crate::model;

/// A bell as a ring hears it: it was rung, or not yet.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Alarm for Arc<Bell> {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.heard.notify_one();
    }
}

struct Executor<J> {
    shared: Arc<Shared<J, Arc<Bell>>>,
    bell: Arc<Bell>,
    received: Inbox<J>,
}

impl<J> Executor<J> {
    fn new() -> Executor<J> {
        let bell = Arc::new(Bell { rung: Mutex::new(false), heard: Condvar::new() });
        Executor { shared: Arc::new(Shared::new(Arc::clone(&bell))), bell, received: Inbox::default() }
    }

    /// What `Core::turn` does of this: takes what has come, and sleeps until something does.
    fn turn(&mut self, mark: Option<&Mark>) -> (Vec<u32>, Vec<J>) {
        if !self.shared.receive(&mut self.received) {
            if self.shared.fall_asleep() {
                self.bell.wait();
                self.shared.wake_up();
            }
            self.shared.receive(&mut self.received);
        }
        let woken: Vec<u32> = self.received.woken.drain(..).collect();
        if let Some(mark) = mark {
            woken.iter().for_each(|_| mark.clear());
        }
        (woken, self.received.jobs.drain(..).collect())
    }
}

/// Two threads wake one task, each for something of its own: the task sees both, though the second may find the mark of the
/// first and send nothing. What they tell is told by nothing but the wake.
#[test]
fn a_task_sees_what_was_done_before_each_wake() {
    model(3, || {
        let mut executor = Executor::<()>::new();
        let mark = Arc::new(Mark::new());
        let told: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        let threads = told.clone().map(|told| {
            let (shared, mark) = (Arc::clone(&executor.shared), Arc::clone(&mark));
            thread::spawn(move || {
                told.store(true, Ordering::Relaxed);
                shared.send_wake(1, &mark);
            })
        });
        while !told.iter().all(|told| told.load(Ordering::Relaxed)) {
            let (woken, _) = executor.turn(Some(&mark));
            assert!(woken.len() <= 1 && woken.iter().all(|place| *place == 1));
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A task that is woken again and again is polled after the last wake.
#[test]
fn a_task_sees_the_last_of_many_wakes() {
    model(3, || {
        let mut executor = Executor::<()>::new();
        let mark = Arc::new(Mark::new());
        let count = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (shared, mark, count) = (Arc::clone(&executor.shared), Arc::clone(&mark), Arc::clone(&count));
            move || {
                for done in 1..=2 {
                    count.store(done, Ordering::Relaxed);
                    shared.send_wake(0, &mark);
                }
            }
        });
        while count.load(Ordering::Relaxed) < 2 {
            executor.turn(Some(&mark));
        }
        thread.join().unwrap();
    });
}

/// Jobs of two threads are done, each once, by an executor that sleeps in between.
#[test]
fn jobs_are_done_once() {
    model(3, || {
        let mut executor = Executor::new();
        let threads = [1, 2].map(|job| {
            let shared = Arc::clone(&executor.shared);
            thread::spawn(move || assert!(shared.send_job(job).is_ok()))
        });
        let mut done = Vec::new();
        while done.len() < 2 {
            done.extend(executor.turn(None).1);
        }
        done.sort_unstable();
        assert_eq!(done, [1, 2]);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(executor.shared.rung() <= 2);
    });
}

/// While jobs are sent the executor goes: each job is with it, given up by it, or given back, and none of them is lost.
#[test]
fn jobs_have_one_owner_when_the_executor_goes() {
    model(3, || {
        let mut executor = Executor::new();
        let alive = Arc::new(AtomicUsize::new(0));
        let threads = [(); 2].map(|()| {
            let (shared, alive) = (Arc::clone(&executor.shared), Arc::clone(&alive));
            thread::spawn(move || {
                alive.fetch_add(1, Ordering::Relaxed);
                // Loom tells of what is left of it at the end.
                match shared.send_job(Arc::new(())) {
                    Ok(()) => 0,
                    Err(job) => Arc::strong_count(&job),
                }
            })
        });
        executor.shared.receive(&mut executor.received);
        let done = executor.received.jobs.drain(..).count();
        let left = executor.shared.close().jobs.len();
        let returned: usize = threads.map(|thread| thread.join().unwrap()).into_iter().sum();
        assert_eq!(done + left + returned, 2);
        assert!(!executor.shared.receive(&mut executor.received) || executor.received.jobs.is_empty());
    });
}

/// Wakers outlive their executor.
#[test]
fn a_wake_finds_the_executor_gone() {
    model(3, || {
        let executor = Executor::<()>::new();
        let mark = Arc::new(Mark::new());
        let thread = thread::spawn({
            let (shared, mark) = (Arc::clone(&executor.shared), Arc::clone(&mark));
            move || shared.send_wake(0, &mark)
        });
        executor.shared.close();
        drop(executor);
        thread.join().unwrap();
    });
}

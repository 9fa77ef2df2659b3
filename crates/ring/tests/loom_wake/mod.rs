//! Loom models of falling asleep and waking: nobody sleeps for ever whom something waits for.
//!
//! What a side sleeps on is modelled by a lock and a condition variable, so that a wake that is not sent leaves its thread
//! blocked for good, which loom reports as a deadlock. Wakes that are sent once too often are allowed; that none is sent to
//! somebody who is awake is counted in `wake.rs`.

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use ouzel_ring::{EngineEnd, SubmitterEnd};

use crate::{completion, entry, model, ring};

/// An eventfd that nobody reads, in epoll with edges: each ring is an edge, and stays one until somebody waits.
#[derive(Clone)]
struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    fn new() -> Doorbell {
        Doorbell(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn ring(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.0.0.lock().unwrap();
        while !*rung {
            rung = self.0.1.wait(rung).unwrap();
        }
        *rung = false;
    }
}

/// A futex: it compares, under a lock, what is there with what was seen, and only then sleeps. A wake is not kept.
#[derive(Clone)]
struct Futex(Arc<(Mutex<()>, Condvar)>);

impl Futex {
    fn new() -> Futex {
        Futex(Arc::new((Mutex::new(()), Condvar::new())))
    }

    fn wake(&self) {
        drop(self.0.0.lock().unwrap());
        self.0.1.notify_one();
    }

    /// The submitter's look stands for the kernel's comparison: it was empty when it looked before.
    fn wait(&self, submitter: &mut SubmitterEnd) {
        let asleep = self.0.0.lock().unwrap();
        if submitter.unread().unwrap() == 0 {
            drop(self.0.1.wait(asleep).unwrap());
        }
    }
}

/// Publishes an entry and wakes the engine if it sleeps.
fn submit(submitter: &mut SubmitterEnd, item: u64, doorbell: &Doorbell) {
    submitter.push(&entry(item)).unwrap();
    submitter.publish();
    if submitter.engine_sleeps() {
        doorbell.ring();
    }
}

/// Takes the next entries, at least one, for which it sleeps as often as it has to. Returns how many.
fn take_some(engine: &mut EngineEnd, next: u64, doorbell: &Doorbell) -> u64 {
    loop {
        let mut taken = 0;
        if engine.available().unwrap() > 0 {
            while let Some(copied) = engine.copy_next() {
                assert_eq!(copied, entry(next + taken));
                taken += 1;
            }
            engine.release(taken as u32);
            return taken;
        }
        engine.fall_asleep();
        if engine.available().unwrap() == 0 {
            doorbell.wait();
        }
        engine.wake_up();
    }
}

/// Posts a completion and wakes the submitter if it sleeps.
fn post(engine: &mut EngineEnd, item: u64, futex: &Futex) {
    engine.post(&completion(item)).unwrap();
    if engine.submitter_sleeps() {
        futex.wake();
    }
}

/// Reads the next completion, for which it sleeps as often as it has to.
fn read(submitter: &mut SubmitterEnd, item: u64, futex: &Futex) {
    loop {
        if let Some(posted) = submitter.pop().unwrap() {
            assert_eq!(posted, completion(item));
            return;
        }
        submitter.fall_asleep();
        if submitter.unread().unwrap() == 0 {
            futex.wait(submitter);
        }
        submitter.wake_up();
    }
}

#[test]
fn an_engine_that_sleeps_is_woken_for_every_entry() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        let taker = thread::spawn(move || {
            let mut taken = 0;
            while taken < 2 {
                taken += take_some(&mut engine, taken, &bell);
            }
        });
        submit(&mut submitter, 0, &doorbell);
        submit(&mut submitter, 1, &doorbell);
        taker.join().unwrap();
    });
}

#[test]
fn a_submitter_that_sleeps_is_woken_for_every_completion() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let futex = Futex::new();
        let word = futex.clone();
        let poster = thread::spawn(move || {
            post(&mut engine, 0, &word);
            post(&mut engine, 1, &word);
        });
        read(&mut submitter, 0, &futex);
        read(&mut submitter, 1, &futex);
        poster.join().unwrap();
    });
}

#[test]
fn a_starved_engine_is_woken_when_completions_are_read() {
    model(Some(3), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        for item in 0..2 {
            engine.post(&completion(item)).unwrap();
        }
        let poster = thread::spawn(move || {
            while engine.unread().unwrap() == 2 {
                engine.set_starved(true);
                engine.fall_asleep();
                if engine.unread().unwrap() == 2 {
                    bell.wait();
                }
                engine.wake_up();
                engine.set_starved(false);
            }
            engine.post(&completion(2)).unwrap();
        });
        assert_eq!(submitter.pop(), Ok(Some(completion(0))));
        if submitter.engine_starved() && submitter.engine_sleeps() {
            doorbell.ring();
        }
        poster.join().unwrap();
        assert_eq!(submitter.unread(), Ok(2));
    });
}

#[test]
fn both_sleep_in_turn_and_both_are_woken() {
    model(Some(2), || {
        let (mut submitter, mut engine) = ring(2, 2);
        let (doorbell, futex) = (Doorbell::new(), Futex::new());
        let (bell, word) = (doorbell.clone(), futex.clone());
        let server = thread::spawn(move || {
            for item in 0..2 {
                assert_eq!(take_some(&mut engine, item, &bell), 1);
                post(&mut engine, item, &word);
            }
        });
        for item in 0..2 {
            submit(&mut submitter, item, &doorbell);
            read(&mut submitter, item, &futex);
        }
        server.join().unwrap();
    });
}

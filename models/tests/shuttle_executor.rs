//! Shuttle models of the executor: the real one, on a real ring over the simulator, between threads whose turns shuttle
//! chooses.
//!
//! Run with `RUSTFLAGS="--cfg shuttle" cargo test --release --target-dir target/shuttle -p ouzel-models --test
//! shuttle_executor`; without `--cfg shuttle` this file is empty. Locks, atomics and threads of `crates/ouzel` are shuttle's
//! then, and an executor with nothing to do sleeps until its bell is rung, without a limit: a wake that is lost is a deadlock,
//! which shuttle tells. Each model runs on random schedules, and on such that give few threads all turns but for a few
//! moments; a failure prints the schedule. How strong the orders of atomics are it does not ask: `loom_wakers` does.
//!
//! `OUZEL_SHUTTLE` sets how many schedules of each kind are tried (default 3000).

#![cfg(shuttle)]
#![allow(clippy::unwrap_used)]

use std::future::{Future, pending, poll_fn};
use std::task::{Poll, Waker};
use std::time::Duration;

use ouzel::task::{Executor, Handle, JoinError, Owner, Remote, yield_now};
use ouzel::{BackendKind, Chain, Error, Ring};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::sync::{Arc, Mutex};
use shuttle::{Config, Runner, thread};

fn executor() -> Result<Executor, Error> {
    let ring = Ring::builder().backend(BackendKind::Sim).seed(7).entries(8).completions(8).descriptors(8);
    Executor::builder().ring(ring).build()
}

/// Runs a model on many schedules of two kinds.
fn model(body: fn()) {
    let schedules = std::env::var("OUZEL_SHUTTLE").ok().and_then(|count| count.parse().ok()).unwrap_or(3000);
    run(RandomScheduler::new(schedules), body);
    run(PctScheduler::new(3, schedules), body);
}

fn run(scheduler: impl Scheduler + 'static, body: fn()) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    // It says that it takes all atomics for sequentially consistent.
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(body);
}

/// How many of what was made have ended and how many were dropped before that.
#[derive(Clone, Default)]
struct Count(Arc<[AtomicUsize; 3]>);

impl Count {
    fn life(&self) -> Life {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Life(self.clone(), 2)
    }

    fn read(&self) -> [usize; 3] {
        std::array::from_fn(|place| self.0[place].load(Ordering::Relaxed))
    }

    /// Everything that was made is over, one way or the other.
    fn assert_over(&self) {
        let [made, ended, dropped] = self.read();
        assert_eq!(made, ended + dropped, "{ended} of {made} ended and {dropped} were dropped");
    }
}

/// What a task holds.
struct Life(Count, usize);

impl Life {
    fn end(mut self) {
        self.1 = 1;
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.0[self.1].fetch_add(1, Ordering::Relaxed);
    }
}

/// Something that tasks wait for and a thread sets.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        let wakers = std::mem::take(&mut gate.1);
        drop(gate);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn pass(&self) -> impl Future<Output = ()> + use<> {
        let gate = self.clone();
        poll_fn(move |context| {
            let mut gate = gate.0.lock().unwrap();
            if gate.0 {
                return Poll::Ready(());
            }
            gate.1.push(context.waker().clone());
            Poll::Pending
        })
    }
}

async fn get(handle: &Handle, value: u64) -> u64 {
    let mut chain = Chain::new();
    let got = chain.get(value);
    handle.run(chain).await.unwrap().get(got).unwrap()
}

/// Tasks wait for gates that two threads open while they are polled, while the executor sleeps, and before either.
#[test]
fn wakes_from_threads_are_not_lost() {
    model(|| {
        let gates: [Gate; 3] = Default::default();
        let threads = [vec![gates[0].clone(), gates[2].clone()], vec![gates[1].clone()]]
            .map(|gates| thread::spawn(move || gates.iter().for_each(Gate::open)));
        let mut executor = executor().unwrap();
        let [root, first, second] = gates.each_ref().map(Gate::pass);
        let (first, second) = (executor.spawn(first), executor.spawn(second));
        executor
            .block_on(async {
                root.await;
                first.await.unwrap();
                second.await.unwrap();
            })
            .unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Two threads start tasks on a third one's executor, which use its ring, sleep and give way, and wait for their results.
#[test]
fn tasks_of_other_threads_are_run() {
    model(|| {
        let owner = Owner::start(executor).unwrap();
        let threads = [1, 2].map(|number| {
            let remote = owner.remote().clone();
            thread::spawn(move || {
                let task = remote.spawn(move |handle| async move {
                    handle.sleep(Duration::from_micros(number)).await;
                    let joined = handle.spawn(async { yield_now().await });
                    let got = get(&handle, number).await;
                    joined.await.unwrap();
                    got
                });
                assert_eq!(task.wait().unwrap(), number);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        owner.stop().unwrap();
    });
}

/// Chains are run from another thread, and given up there: what is waited for ends, and the rest leaves nothing behind.
#[test]
fn chains_of_other_threads_are_run_or_given_up() {
    model(|| {
        let owner = Owner::start(executor).unwrap();
        let chain = |nanoseconds| {
            let mut chain = Chain::new();
            chain.sleep(Duration::from_nanos(nanoseconds));
            chain
        };
        let remote = owner.remote().clone();
        let thread = thread::spawn(move || {
            drop(remote.run(chain(u64::MAX)));
            remote.run(chain(5)).wait().unwrap().check().unwrap();
        });
        let waiting = owner.remote().run(chain(7));
        drop(owner.remote().run(chain(u64::MAX)));
        waiting.wait().unwrap().check().unwrap();
        thread.join().unwrap();
        let left = owner.remote().spawn(|handle| async move {
            // The last cancel may have been sent behind this.
            while handle.gauges().chains > 1 {
                yield_now().await;
            }
        });
        left.wait().unwrap();
        owner.stop().unwrap();
    });
}

/// An abort from another thread meets a task before, while and after it runs. It ends once, and its end is told.
#[test]
fn aborted_tasks_end_once() {
    model(|| {
        let owner = Owner::start(executor).unwrap();
        let count = Count::default();
        let (life, waits) = (count.life(), count.life());
        let task = owner.remote().spawn(move |handle| async move {
            get(&handle, 1).await;
            life.end();
        });
        let waiting = owner.remote().spawn(move |_| async move {
            pending::<()>().await;
            waits.end();
        });
        let thread = thread::spawn(move || {
            waiting.abort();
            assert!(matches!(waiting.wait(), Err(JoinError::Aborted)));
        });
        task.abort();
        assert!(matches!(task.wait(), Ok(()) | Err(JoinError::Aborted)));
        thread.join().unwrap();
        owner.stop().unwrap();
        count.assert_over();
    });
}

/// Tasks of one executor are spawned, joined, aborted and detached while another thread wakes them; what is left is dropped
/// with the executor.
#[test]
fn all_that_is_spawned_ends_or_is_dropped() {
    model(|| {
        let (gate, count) = (Gate::default(), Count::default());
        let opener = gate.clone();
        let thread = thread::spawn(move || opener.open());
        let mut executor = executor().unwrap();
        let handle = executor.handle();
        let spawn = |future: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            let life = count.life();
            handle.spawn(async move {
                future.await;
                life.end();
            })
        };
        let gated = spawn(Box::pin(gate.pass()));
        let aborted = spawn(Box::pin(gate.pass()));
        let sleeper = handle.clone();
        let slept = spawn(Box::pin(async move { sleeper.sleep(Duration::from_nanos(3)).await }));
        drop(spawn(Box::pin(pending())));
        executor
            .block_on(async {
                yield_now().await;
                aborted.abort();
                assert!(matches!(aborted.await, Ok(()) | Err(JoinError::Aborted)));
                slept.await.unwrap();
                gated.await.unwrap();
            })
            .unwrap();
        drop(executor);
        thread.join().unwrap();
        count.assert_over();
    });
}

/// An owner is dropped while two threads start tasks on it: each of those is run, or told that nobody will.
#[test]
fn an_owner_goes_while_it_is_used() {
    model(|| {
        let owner = Owner::start(executor).unwrap();
        let count = Count::default();
        let work = |remote: Remote, count: Count| {
            let (first, second) = (count.life(), count.life());
            let quick = remote.spawn(move |handle| async move {
                get(&handle, 3).await;
                first.end();
            });
            let slow = remote.spawn(move |handle| async move {
                handle.sleep(Duration::from_secs(1)).await;
                let mut chain = Chain::new();
                chain.sleep(Duration::MAX);
                handle.run(chain).await.ok();
                second.end();
            });
            assert!(matches!(quick.wait(), Ok(()) | Err(JoinError::Closed)));
            assert!(matches!(slow.wait(), Ok(()) | Err(JoinError::Closed)));
        };
        let threads = [(); 2].map(|()| {
            let (remote, count) = (owner.remote().clone(), count.clone());
            thread::spawn(move || work(remote, count))
        });
        drop(owner);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        count.assert_over();
    });
}

/// Wakers that are called after their executor has gone do nothing.
#[test]
fn wakers_outlive_their_executor() {
    model(|| {
        let (gate, count) = (Gate::default(), Count::default());
        let mut executor = executor().unwrap();
        let (passed, life) = (gate.pass(), count.life());
        drop(executor.spawn(async move {
            passed.await;
            life.end();
        }));
        let opener = gate.clone();
        let thread = thread::spawn(move || opener.open());
        executor.block_on(yield_now()).unwrap();
        drop(executor);
        thread.join().unwrap();
        count.assert_over();
    });
}

/// Wakers outlive their tasks, and are woken and dropped on another thread, while the blocks of those tasks are used for others,
/// which wait for that thread as well: none of their wakes is lost, and no block is used by two.
#[test]
fn blocks_are_used_again_while_wakers_are_elsewhere() {
    model(|| {
        let (first, second, count) = (Gate::default(), Gate::default(), Count::default());
        let mut executor = executor().unwrap();
        let handle = executor.handle();
        // It leaves a waker in the gate and is over.
        let glance = |gate: &Gate| {
            let (mut passed, life) = (Box::pin(gate.pass()), count.life());
            async move {
                poll_fn(|context| {
                    let _ = passed.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
                life.end();
            }
        };
        let wait = |gate: &Gate| {
            let (passed, life) = (gate.pass(), count.life());
            async move {
                passed.await;
                life.end();
            }
        };
        let thread = thread::spawn({
            let (first, second) = (first.clone(), second.clone());
            move || {
                first.open();
                second.open();
            }
        });
        executor
            .block_on(async {
                for _ in 0..2 {
                    handle.spawn(glance(&first)).await.unwrap();
                    let waiting = handle.spawn(wait(&second));
                    handle.spawn(glance(&second)).await.unwrap();
                    waiting.await.unwrap();
                }
            })
            .unwrap();
        drop(executor);
        thread.join().unwrap();
        count.assert_over();
    });
}

//! Tasks and other threads: wakers that are called there, and executors that are asked from there.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use ouzel::task::{Executor, JoinError, Remote, yield_now};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset};
use task_support::*;

/// Something that one thread waits for and another one sets.
#[derive(Clone, Default)]
struct Flag(Arc<(AtomicBool, Mutex<Option<Waker>>)>);

impl Flag {
    fn set(&self) {
        self.0.0.store(true, Ordering::SeqCst);
        let waker = self.0.1.lock().unwrap().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            *self.0.1.lock().unwrap() = Some(context.waker().clone());
            if self.0.0.swap(false, Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[test]
fn wakes_from_other_threads_are_never_lost() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let (there, back) = (Flag::default(), Flag::default());
        let (set, wait) = (back.clone(), there.clone());
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        // It spins now and then, so that wakes come at every point of the executor's turn.
        let thread = std::thread::spawn(move || {
            let mut rounds = 0u32;
            while !stop.load(Ordering::SeqCst) {
                if wait.0.0.swap(false, Ordering::SeqCst) {
                    for _ in 0..rounds % 700 {
                        std::hint::spin_loop();
                    }
                    rounds += 1;
                    set.set();
                } else {
                    std::thread::yield_now();
                }
            }
            rounds
        });
        executor
            .block_on(async {
                for _ in 0..2000 {
                    there.0.0.store(true, Ordering::SeqCst);
                    back.wait().await;
                }
            })
            .unwrap();
        over.store(true, Ordering::SeqCst);
        assert_eq!(thread.join().unwrap(), 2000);
    });
}

#[test]
fn wakers_outlive_their_task_and_their_executor() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let own = kept.clone();
        let task = executor.spawn(poll_fn(move |context| {
            own.lock().unwrap().push(context.waker().clone());
            Poll::Ready(())
        }));
        executor.block_on(task).unwrap().unwrap();
        // Its place is another's now, who is woken for nothing.
        let never = executor.spawn(pending::<()>());
        for waker in kept.lock().unwrap().iter() {
            waker.wake_by_ref();
        }
        executor.block_on(yield_now()).unwrap();
        assert!(!never.is_finished());
        drop(executor);
        let kept = std::mem::take(&mut *kept.lock().unwrap());
        std::thread::spawn(move || kept.into_iter().for_each(Waker::wake)).join().unwrap();
    });
}

/// An executor on a thread of its own, which runs until it is told to end.
fn owner(kind: BackendKind) -> (Remote, Flag, std::thread::JoinHandle<()>) {
    let (send, receive) = mpsc::channel();
    let end = Flag::default();
    let told = end.clone();
    let thread = std::thread::spawn(move || {
        let mut executor = executor(kind);
        send.send(executor.remote()).unwrap();
        executor.block_on(told.wait()).unwrap();
    });
    (receive.recv().unwrap(), end, thread)
}

#[test]
fn chains_are_run_from_any_thread() {
    on_each(|kind| {
        let (remote, end, thread) = owner(kind);
        let threads: Vec<_> = (0..3u64)
            .map(|number| {
                let remote = remote.clone();
                std::thread::spawn(move || {
                    // Awaited on an executor of another kind, and without one.
                    let mut executor = task_support::executor(BackendKind::Threads);
                    for round in 0..100 {
                        let mut chain = Chain::new();
                        let value = chain.get(number * 1000 + round);
                        let running = remote.run(chain);
                        let done = if round % 2 == 0 {
                            running.wait().unwrap()
                        } else {
                            executor.block_on(running).unwrap().unwrap()
                        };
                        assert_eq!(done.get(value).unwrap(), number * 1000 + round);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let metrics = remote.call(|handle| handle.metrics()).wait().unwrap();
        assert_eq!(metrics.submitted, 300);
        end.set();
        thread.join().unwrap();
        // The executor is gone.
        let mut chain = Chain::new();
        chain.get(1u64);
        assert!(matches!(remote.run(chain).wait(), Err(Error::Enter(_))));
        assert!(matches!(remote.spawn(|_| async { 1 }).wait(), Err(JoinError::Closed)));
    });
}

#[test]
fn tasks_are_started_aborted_and_panic_from_afar() {
    on_each(|kind| {
        let (remote, end, thread) = owner(kind);
        let slept = remote.spawn(|handle| async move {
            handle.sleep(Duration::from_millis(5)).await;
            std::thread::current().id()
        });
        assert_ne!(slept.wait().unwrap(), std::thread::current().id());
        let never = remote.spawn(|_| pending::<()>());
        never.abort();
        assert!(matches!(never.wait(), Err(JoinError::Aborted)));
        let panics = remote.spawn(|_| async { panic!("afar") });
        assert!(matches!(panics.wait(), Err(JoinError::Panicked(_))));
        let make: fn(ouzel::task::Handle) -> std::future::Ready<()> = |_| panic!("before it began");
        assert!(matches!(remote.spawn(make).wait(), Err(JoinError::Panicked(_))));

        // A chain whose future is dropped is cancelled.
        let pipe = remote.spawn(|handle| async move { handle.pipe().await });
        let (read, _) = pipe.wait().unwrap().unwrap();
        let mut chain = Chain::new();
        chain.read(read, Buffer::with_capacity(8), Offset::CURRENT);
        let running = remote.run(chain);
        let packets = || remote.call(|handle| handle.gauges().packets).wait().unwrap();
        let begun = Instant::now();
        while packets() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        drop(running);
        while packets() > 1 {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        assert_eq!(remote.call(|handle| handle.metrics().cancelled).wait().unwrap(), 1);

        // Who is left waiting when the executor goes is told.
        let left = remote.spawn(|_| pending::<()>());
        end.set();
        thread.join().unwrap();
        assert!(matches!(left.wait(), Err(JoinError::Closed)));
    });
}

#[test]
fn many_wakes_ring_the_bell_once() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let remote = executor.remote();
        let count = Arc::new(AtomicU64::new(0));
        // The owner is awake: nothing is rung, however much is sent.
        for _ in 0..1000 {
            let count = count.clone();
            drop(remote.call(move |_| count.fetch_add(1, Ordering::SeqCst)));
        }
        executor.block_on(yield_now()).unwrap();
        let handle = executor.handle();
        executor.block_on(until(&handle, "all of it", || count.load(Ordering::SeqCst) == 1000)).unwrap();
        assert_eq!(handle.metrics().rung, 0);
        // It sleeps: one is enough for all that come before it is awake.
        let own = count.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            for _ in 0..100 {
                let own = own.clone();
                drop(remote.call(move |_| own.fetch_add(1, Ordering::SeqCst)));
            }
        });
        executor
            .block_on(async {
                while count.load(Ordering::SeqCst) < 1100 {
                    yield_now().await;
                    poll_fn(|_| Poll::Ready(())).await;
                }
            })
            .unwrap();
        thread.join().unwrap();
        assert!(handle.metrics().rung <= 100);
        assert_eq!(count.load(Ordering::SeqCst), 1100);
    });
}

#[test]
fn an_executor_is_made_where_it_runs() {
    // Two on one thread take turns; a waker of one wakes it from within the other.
    bounded("threads", || {
        let mut one = executor(BackendKind::Threads);
        let mut other: Executor = executor(BackendKind::Threads);
        let flag = Flag::default();
        let (wait, set) = (flag.clone(), flag);
        let waits = one.spawn(async move { wait.wait().await });
        one.block_on(yield_now()).unwrap();
        other.block_on(async move { set.set() }).unwrap();
        one.block_on(waits).unwrap().unwrap();
    });
}

//! Tasks: running futures, spawning, time, and what is in flight at once.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::task::{JoinError, yield_now};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset, OpenOptions, Program};
use task_support::*;

#[test]
fn files_are_written_and_read() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let place = Place::new(kind);
        let text = executor.block_on(async {
            let options = OpenOptions::read_write().create().truncate();
            let file = handle.open(place.path(), options).await?;
            let (written, back) = handle.write(file, "some text", Offset::START).await?;
            assert_eq!((written, &*back), (9, &b"some text"[..]));
            let text = handle.read(file, Buffer::with_capacity(100), Offset::at(5u64)).await?;
            handle.close(file).await?;
            let failed = handle.read(file, Buffer::with_capacity(77), Offset::START).await.unwrap_err();
            assert_eq!(failed.error.errno(), Some(Errno::EBADF));
            assert!(failed.buffer.capacity() >= 77, "the buffer comes back with an error, too");
            let failed = handle.write(file, "kept", Offset::START).await.unwrap_err();
            assert_eq!(&*failed.buffer, b"kept");
            Ok::<_, Error>(text)
        });
        assert_eq!(&*text.unwrap().unwrap(), b"text");
        assert_eq!(handle.gauges().descriptors, 1, "the bell alone is left");
    });
}

#[test]
fn chains_and_programs_are_futures() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let place = Place::new(kind);
        executor
            .block_on(async {
                let mut chain = handle.chain();
                let file = chain.open(place.path(), OpenOptions::write().create());
                chain.write(file, Buffer::from("12345"), Offset::START);
                chain.finally().close(file);
                let done = handle.run(chain).await?;
                done.check()?;
                handle.recycle(done);

                let program = Program::build(|program| {
                    let path = program.path();
                    let room = program.room(64);
                    let file = program.open(path, OpenOptions::read());
                    let length = program.read(file, room, Offset::START);
                    program.finally().close(file);
                    length
                })?;
                let stored = handle.store(program)?;
                let call = stored.call().path(place.path()).buffer(Buffer::with_capacity(64));
                let mut called = handle.run_program(call).await?;
                assert_eq!(called.result()?, 5);
                assert_eq!(&*called.take(0).unwrap(), b"12345");
                handle.forget(&stored)?;

                // What is wrong with a chain is said when it is awaited.
                assert!(matches!(handle.run(Chain::new()).await, Err(Error::Build(_))));
                let failed = handle.open("a\0b", OpenOptions::read()).await;
                assert!(matches!(failed, Err(Error::Build(_))));
                let (read, write) = handle.pipe().await?;
                handle.write(write, "x", Offset::CURRENT).await?;
                assert_eq!(&*handle.read(read, Buffer::with_capacity(8), Offset::CURRENT).await?, b"x");
                handle.close(read).await?;
                handle.close(write).await
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn tasks_are_joined_aborted_and_panic_alone() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let seven = executor.spawn(async { 7 });
        let never = executor.spawn(std::future::pending::<()>());
        let panics = executor.spawn(async {
            yield_now().await;
            panic!("as it must");
        });
        let own = handle.clone();
        executor
            .block_on(async move {
                assert_eq!(seven.await.unwrap(), 7);
                never.abort();
                assert!(matches!(never.await, Err(JoinError::Aborted)));
                let JoinError::Panicked(panic) = panics.await.unwrap_err() else { panic!("no panic") };
                assert_eq!(panic.downcast_ref::<&str>(), Some(&"as it must"));
                let nested = own.spawn(async move { 8 });
                assert_eq!(nested.await.unwrap(), 8);
            })
            .unwrap();
        // A panic of the root goes through, and the executor goes on.
        let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            executor.block_on(async { panic!("root") }).unwrap()
        }));
        assert!(unwound.is_err());
        executor.block_on(handle.sleep(Duration::from_millis(1))).unwrap();
    });
}

#[test]
fn yielding_is_fair() {
    let mut executor = executor(BackendKind::Threads);
    let order = Rc::new(RefCell::new(Vec::new()));
    let tasks: Vec<_> = (0..3)
        .map(|number| {
            let order = order.clone();
            executor.spawn(async move {
                for _ in 0..3 {
                    order.borrow_mut().push(number);
                    yield_now().await;
                }
            })
        })
        .collect();
    executor
        .block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        })
        .unwrap();
    assert_eq!(*order.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn time_passes() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let begun = handle.now();
                handle.sleep(Duration::from_millis(20)).await;
                assert!(handle.now() - begun >= 20_000_000, "never early");
                handle.sleep(Duration::ZERO).await;

                let slow = handle.sleep(Duration::from_secs(3600));
                assert!(handle.timeout(Duration::from_millis(5), slow).await.is_none());
                let quick = handle.timeout(Duration::from_secs(3600), async { 3 }).await;
                assert_eq!(quick, Some(3));

                let mut ticks = handle.interval(Duration::from_millis(5));
                let begun = handle.now();
                let mut passed = 0;
                while passed < 4 {
                    passed += ticks.next().await.unwrap();
                }
                assert!(handle.now() - begun >= 20_000_000);
                handle.sleep(Duration::from_millis(30)).await;
                assert!(ticks.next().await.unwrap() >= 2, "missed ticks are counted");
            })
            .unwrap();
    });
}

#[test]
fn a_busy_task_does_not_stop_time() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let over = Rc::new(Cell::new(false));
        let (told, own) = (over.clone(), handle.clone());
        let sleeper = executor.spawn(async move {
            own.sleep(Duration::from_millis(10)).await;
            told.set(true);
        });
        let begun = Instant::now();
        executor
            .block_on(async {
                while !over.get() {
                    assert!(begun.elapsed() < Duration::from_secs(60));
                    yield_now().await;
                }
                sleeper.await.unwrap();
            })
            .unwrap();
    });
}

#[test]
fn a_hundred_thousand_sleep_at_once() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let slept = Rc::new(Cell::new(0u32));
        for number in 0..100_000u64 {
            let (handle, slept) = (handle.clone(), slept.clone());
            drop(executor.spawn(async move {
                handle.sleep(Duration::from_micros(number % 50_000)).await;
                slept.set(slept.get() + 1);
            }));
        }
        let begun = handle.now();
        executor.block_on(handle.sleep(Duration::from_millis(50))).unwrap();
        // Those that are due at the same time as the root may be behind it in the queue.
        executor.block_on(handle.sleep(Duration::from_millis(1))).unwrap();
        assert_eq!(slept.get(), 100_000);
        assert!(handle.now() - begun >= 50_000_000);
        assert!(handle.gauges().packets <= 1, "sleeps take no entries");
    });
}

#[test]
fn a_hundred_thousand_reads_are_in_flight_at_once() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let place = Place::new(kind);
        let file = executor
            .block_on(async {
                let file = handle.open(place.path(), OpenOptions::read_write().create().truncate()).await?;
                handle.write(file, vec![7; 4096], Offset::START).await?;
                Ok::<_, Error>(file)
            })
            .unwrap()
            .unwrap();
        let read = Rc::new(Cell::new(0usize));
        let waiting = Rc::new(Cell::new(0u32));
        for number in 0..100_000u64 {
            let (handle, read, waiting) = (handle.clone(), read.clone(), waiting.clone());
            drop(executor.spawn(async move {
                let mut reading = handle.read(file, Buffer::with_capacity(16), Offset::at(number % 4000));
                // Polled again and again before there can be room: nothing is lost, nothing panics.
                for _ in 0..2 {
                    assert!(poll_once(&mut reading).await.is_pending());
                }
                waiting.set(waiting.get() + 1);
                let buffer = reading.await.unwrap();
                assert!(buffer.iter().all(|byte| *byte == 7));
                read.set(read.get() + buffer.len());
            }));
        }
        let own = handle.clone();
        executor
            .block_on(async {
                // All of them are submitted before any of them can be over.
                yield_now().await;
                assert_eq!(waiting.get(), 100_000);
                until(&own, "the reads", || read.get() == 1_600_000).await;
                own.close(file).await
            })
            .unwrap()
            .unwrap();
        assert!(handle.metrics().backlogged > 90_000);
    });
}

#[test]
fn futures_move_between_tasks() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let (read, write) = handle.pipe().await.unwrap();
                let mut reading = handle.read(read, Buffer::with_capacity(8), Offset::CURRENT);
                assert!(poll_once(&mut reading).await.is_pending());
                // Whoever polls last is woken.
                let moved = handle.spawn(reading);
                yield_now().await;
                handle.write(write, "moved", Offset::CURRENT).await.unwrap();
                assert_eq!(&*moved.await.unwrap().unwrap(), b"moved");
            })
            .unwrap();
    });
}

#[test]
fn what_is_asked_of_a_dropped_executor_fails() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let (mut sleep, mut reading) = executor
            .block_on(async {
                let (read, _) = handle.pipe().await.unwrap();
                let mut sleep = handle.sleep(Duration::from_secs(3600));
                let mut reading = handle.read(read, Buffer::with_capacity(8), Offset::CURRENT);
                assert!(poll_once(&mut sleep).await.is_pending());
                assert!(poll_once(&mut reading).await.is_pending());
                (sleep, reading)
            })
            .unwrap();
        let never = handle.spawn(std::future::pending::<()>());
        drop(executor);
        let mut other = task_support::executor(BackendKind::Threads);
        other
            .block_on(async {
                assert!(poll_once(&mut sleep).await.is_ready());
                assert!(matches!(poll_once(&mut reading).await, Poll::Ready(Err(_))));
                assert!(matches!(never.await, Err(JoinError::Closed)));
                assert!(matches!(handle.spawn(async {}).await, Err(JoinError::Closed)));
                assert!(matches!(handle.close(ouzel_descriptor()).await, Err(Error::Enter(_))));
                poll_fn(|_| Poll::Ready(())).await;
            })
            .unwrap();
    });
}

fn ouzel_descriptor() -> ouzel::abi::Descriptor {
    ouzel::abi::Descriptor::from_number(1 << 32 | 1).unwrap()
}

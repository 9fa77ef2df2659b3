//! Streams inside an ordinary multi-thread tokio runtime.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used)]

mod task_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ouzel::task::{Executor, Owner, RingListener, RingStream};
use ouzel::{BackendKind, Buffer, Chain, Error, Offset, OpenOptions, Policy};
use task_support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn owner(kind: BackendKind) -> Owner {
    Owner::start(move || Executor::builder().ring(task_support::builder(kind).entries(256)).build()).unwrap()
}

/// Runs this on two threads of tokio, for a minute at the most.
fn in_tokio(test: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let test = tokio::spawn(test);
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("it hangs").unwrap();
    });
}

#[test]
fn connections_echo() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        in_tokio(async move {
            let any = "127.0.0.1:0".parse().unwrap();
            let mut listener = RingListener::bind(&remote, any).await.unwrap();
            let address = listener.local_addr();
            let server = tokio::spawn(async move {
                let mut served = Vec::new();
                for _ in 0..32 {
                    let stream = listener.accept().await.unwrap();
                    served.push(tokio::spawn(async move {
                        let (mut from, mut to) = tokio::io::split(stream);
                        let copied = tokio::io::copy(&mut from, &mut to).await.unwrap();
                        to.shutdown().await.unwrap();
                        copied
                    }));
                }
                let mut copied = 0;
                for one in served {
                    copied += one.await.unwrap();
                }
                copied
            });
            let clients: Vec<_> = (0..32u8)
                .map(|number| {
                    let remote = remote.clone();
                    tokio::spawn(async move {
                        let stream = RingStream::connect(&remote, address).await.unwrap();
                        let (mut from, mut to) = tokio::io::split(stream);
                        // More than sockets hold, so that sends are short and wait.
                        let data: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8 ^ number).collect();
                        let sent = data.clone();
                        let sender = tokio::spawn(async move {
                            to.write_all(&sent).await.unwrap();
                            to.flush().await.unwrap();
                            to.shutdown().await.unwrap();
                            to
                        });
                        let mut back = Vec::new();
                        from.read_to_end(&mut back).await.unwrap();
                        let differs = back.iter().zip(&data).position(|(one, other)| one != other);
                        assert_eq!(
                            (back.len(), differs),
                            (data.len(), None),
                            "what came back is what was sent"
                        );
                        sender.await.unwrap();
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            assert_eq!(server.await.unwrap(), 32 * 300_000);
            // Everything is closed behind them.
            let open = || remote.call(|handle| handle.gauges().descriptors);
            for _ in 0..1000 {
                if open().await.unwrap() == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(open().await.unwrap(), 1, "only the bell is left");
        });
        owner.stop().unwrap();
    });
}

#[test]
fn what_was_written_is_sent_when_the_stream_is_dropped() {
    on_each(|kind| {
        let owner = owner(kind);
        let remote = owner.remote().clone();
        in_tokio(async move {
            let mut listener = RingListener::bind(&remote, "127.0.0.1:0".parse().unwrap()).await.unwrap();
            let mut client = RingStream::connect(&remote, listener.local_addr()).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            client.write_all(b"the last words").await.unwrap();
            drop(client);
            let mut said = String::new();
            server.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "the last words");
            // A receive that is given up for a time loses nothing.
            let mut client = RingStream::connect(&remote, listener.local_addr()).await.unwrap();
            let mut server = listener.accept().await.unwrap();
            let mut byte = [0; 5];
            let early = tokio::time::timeout(Duration::from_millis(20), server.read_exact(&mut byte)).await;
            assert!(early.is_err());
            client.write_all(b"later").await.unwrap();
            server.read_exact(&mut byte).await.unwrap();
            assert_eq!(&byte, b"later");
            // Nobody is there.
            let gone = listener.local_addr();
            drop(listener);
            drop(server);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let refused = RingStream::connect(&remote, gone).await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn reads_of_many_tasks_share_enters() {
    let kind = BackendKind::Uring;
    if !backends().contains(&kind) {
        return;
    }
    // Every read goes through the ring, so that there is something to count.
    let owner =
        Owner::start(move || Executor::builder().ring(builder(kind).policy(Policy::Links)).build()).unwrap();
    let remote = owner.remote().clone();
    let place = Place::new(kind);
    let path = place.path();
    in_tokio(async move {
        let file = remote.spawn(move |handle| async move {
            let file = handle.open(path, OpenOptions::read_write().create()).await?;
            handle.write(file, vec![3; 1 << 20], Offset::START).await?;
            Ok::<_, Error>(file)
        });
        let file = file.await.unwrap().unwrap();
        let before = remote.call(|handle| handle.counters()).await.unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..32u64)
            .map(|task| {
                let (remote, read) = (remote.clone(), read.clone());
                tokio::spawn(async move {
                    let mut buffer = Buffer::with_capacity(4096);
                    for round in 0..100 {
                        let mut chain = Chain::new();
                        let at = (task * 7919 + round * 104_729) % 256 * 4096;
                        let length = chain.read(file, buffer, Offset::at(at));
                        let mut done = remote.run(chain).await.unwrap();
                        assert_eq!(done.get(length).unwrap(), 4096);
                        buffer = done.take(length).unwrap();
                        read.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let after = remote.call(|handle| (handle.counters(), handle.metrics())).await.unwrap();
        let (cost, metrics) = (after.0.since(before), after.1);
        println!("{} reads: {cost:?}, {} times woken", read.load(Ordering::Relaxed), metrics.rung);
        assert_eq!(read.load(Ordering::Relaxed), 3200);
        assert!(cost.enters <= 400, "an enter serves eight of them: {cost:?}");
    });
}

fn watched(kind: BackendKind) -> Executor {
    Executor::builder().ring(builder(kind).watched()).build().unwrap()
}

/// Also what comes between an enter and falling asleep.
#[test]
fn what_another_thread_asks_for_is_begun_at_once() {
    for kind in backends().into_iter().filter(|kind| *kind != BackendKind::Sim) {
        bounded(kind.name(), move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let mut executor = watched(kind);
                let remote = executor.remote();
                let other = tokio::spawn(async move {
                    for round in 0..20_000u64 {
                        let mut chain = Chain::new();
                        let value = chain.get(round);
                        assert_eq!(remote.run(chain).await.unwrap().get(value).unwrap(), round);
                    }
                });
                executor.run_in_tokio(other).await.unwrap().unwrap();
            });
        });
    }
}

#[test]
fn an_executor_runs_inside_the_runtime() {
    let kind = BackendKind::Uring;
    if !backends().contains(&kind) {
        return;
    }
    bounded("uring", move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut executor = watched(kind);
            let handle = executor.handle();
            let remote = executor.remote();
            // One of the runtime's other tasks asks for something, again and again, while the executor mostly sleeps.
            let other = tokio::spawn(async move {
                for round in 0..100u64 {
                    let mut chain = Chain::new();
                    let value = chain.get(round);
                    chain.sleep(Duration::from_micros(100));
                    assert_eq!(remote.run(chain).await.unwrap().get(value).unwrap(), round);
                    tokio::time::sleep(Duration::from_micros(round * 20)).await;
                }
            });
            let ran = executor.run_in_tokio(async {
                // Timers of both, what waits in the kernel, and tasks.
                handle.sleep(Duration::from_millis(5)).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                let (read, write) = handle.pipe().await?;
                let own = handle.clone();
                let writer = handle.spawn(async move {
                    for round in 0..200u8 {
                        if round % 10 == 0 {
                            own.sleep(Duration::from_micros(300)).await;
                        }
                        own.write(write, [round; 16].to_vec(), Offset::CURRENT).await?;
                    }
                    own.close(write).await
                });
                let mut bytes = 0;
                loop {
                    let text = handle.read(read, Buffer::with_capacity(16), Offset::CURRENT).await?;
                    if text.is_empty() {
                        break;
                    }
                    bytes += text.len();
                }
                assert_eq!(bytes, 3200);
                writer.await.unwrap()?;
                handle.close(read).await?;
                // A timeout inside the ring fires, too.
                let mut chain = Chain::new();
                chain.sleep(Duration::from_secs(3600)).step();
                chain.timeout(Duration::from_millis(3));
                assert!(handle.run(chain).await?.check().is_err());
                other.await.unwrap();
                Ok::<_, Error>(())
            });
            ran.await.unwrap().unwrap();
            assert!(executor.handle().metrics().rung > 0, "it was woken from other threads");
            // Afterwards it runs by itself.
            executor.block_on(handle.sleep(Duration::from_millis(1))).unwrap();
        });
    });
}

#[test]
fn a_foreign_loop_takes_turns() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    on_each(|kind| {
        if kind == BackendKind::Sim {
            assert!(watched(kind).descriptor().unwrap().is_none());
            return;
        }
        let mut executor = watched(kind);
        if kind == BackendKind::Uring {
            assert!(
                task_support::executor(kind).descriptor().unwrap().is_none(),
                "it was not built for that"
            );
        }
        let descriptor = executor.descriptor().unwrap().unwrap();
        let handle = executor.handle();
        let remote = executor.remote();
        let own = handle.clone();
        let task = executor.spawn(async move {
            let (read, write) = own.pipe().await?;
            let sender = remote.spawn(|_| async {});
            drop(sender);
            let reading = own.spawn({
                let own = own.clone();
                async move { own.read(read, Buffer::with_capacity(4), Offset::CURRENT).await }
            });
            own.sleep(Duration::from_millis(3)).await;
            own.write(write, "text", Offset::CURRENT).await?;
            Ok::<_, Error>(reading.await.unwrap()?)
        });
        let mut waits = 0;
        while !task.is_finished() {
            let time = match executor.turn(8).unwrap() {
                ouzel::task::Waiting::Not => continue,
                ouzel::task::Waiting::AtMost(time) => Some(Timespec::try_from(time).unwrap()),
                ouzel::task::Waiting::ForEvent => None,
            };
            if task.is_finished() {
                break;
            }
            waits += 1;
            let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
            poll(&mut polled, time.as_ref()).unwrap();
        }
        assert!(waits < 50, "it waits when it says so: {waits}");
        assert_eq!(&*executor.block_on(task).unwrap().unwrap().unwrap(), b"text");
    });
}

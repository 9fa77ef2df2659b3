//! What operations cost once an executor has grown to its work: no allocation, and one enter for many of them.
#![allow(clippy::unwrap_used)]

mod counting;
mod task_support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use counting::allocations;
use ouzel::abi::Descriptor;
use ouzel::task::{Handle, yield_now};
use ouzel::{BackendKind, Buffer, Error, Offset, OpenOptions, Policy};
use task_support::*;

async fn file(handle: &Handle, place: &Place) -> Result<Descriptor, Error> {
    let file = handle.open(place.path(), OpenOptions::read_write().create().truncate()).await?;
    handle.write(file, vec![5; 4096], Offset::START).await?;
    Ok(file)
}

/// `rounds` reads, sleeps, chains, timeouts and drops of each of `width` tasks.
async fn work(handle: Handle, file: Descriptor, pipe: Descriptor, rounds: u32) -> Result<(), Error> {
    let mut buffer = Buffer::with_capacity(512);
    let mut other = Buffer::with_capacity(64);
    for round in 0..rounds {
        buffer = handle.read(file, buffer, Offset::at(u64::from(round % 8) * 512)).await?;
        assert_eq!(buffer.len(), 512);
        handle.sleep(Duration::from_micros(20)).await;
        yield_now().await;
        let mut chain = handle.chain();
        let number = chain.get(u64::from(round));
        let done = handle.run(chain).await?;
        assert_eq!(done.get(number)?, u64::from(round));
        handle.recycle(done);
        // One that is cancelled in the ring takes its buffer with it: it needs none.
        let reading = handle.poll(pipe, ouzel::abi::modifiers::PollEvents::IN);
        assert!(handle.timeout(Duration::from_micros(30), reading).await.is_none());
        let failed = handle.write(pipe, other, Offset::CURRENT).await.unwrap_err();
        other = failed.buffer;
    }
    Ok(())
}

#[test]
fn nothing_is_allocated_for_an_operation() {
    on_each(|kind| {
        if kind == BackendKind::Sim {
            println!("SKIPPED: sim: a simulator allocates for every operation, by itself");
            return;
        }
        let mut executor = executor(kind);
        let handle = executor.handle();
        let place = Place::new(kind);
        let (file, pipe, _write) = executor
            .block_on(async {
                let file = file(&handle, &place).await?;
                let (read, write) = handle.pipe().await?;
                Ok::<_, Error>((file, read, write))
            })
            .unwrap()
            .unwrap();
        let counted = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let (handle, counted) = (handle.clone(), counted.clone());
                executor.spawn(async move {
                    work(handle.clone(), file, pipe, 40).await.unwrap();
                    let before = allocations();
                    work(handle.clone(), file, pipe, 100).await.unwrap();
                    // Two buffers of this task, and as many of each of the others at the most.
                    counted.set(counted.get().max(allocations() - before));
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
        // 16 tasks did 600 operations each meanwhile: what is left is 2 buffers for each, and a few tables that grew because
        // more came together than ever before.
        println!("{}: {} allocations beside 9600 operations", kind.name(), counted.get());
        // The threads backend allocates now and then, by itself, for what waits for an event.
        let most = if kind == BackendKind::Threads { 960 } else { 16 * 3 };
        assert!(counted.get() <= most, "{}: {} allocations", kind.name(), counted.get());
    });
}

#[test]
fn spawning_uses_the_memory_of_tasks_that_are_over() {
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    executor
        .block_on(async {
            let mut tasks = Vec::with_capacity(100);
            let mut round = async || {
                tasks.extend((0..100).map(|_| handle.spawn(yield_now())));
                for task in tasks.drain(..) {
                    task.await.unwrap();
                }
            };
            round().await;
            let before = allocations();
            round().await;
            assert_eq!(allocations() - before, 0);

            // One of another size needs one block, once.
            let large = || handle.spawn(std::future::ready([7u8; 1000]));
            let before = allocations();
            assert_eq!(large().await.unwrap()[999], 7);
            assert_eq!(large().await.unwrap()[0], 7);
            assert_eq!(allocations() - before, 1);

            // A very large one is not kept; the first one that goes leaves its number in a list.
            let huge = || handle.spawn(std::future::ready([7u8; 10_000]));
            let before = allocations();
            assert_eq!(huge().await.unwrap()[9999], 7);
            assert_eq!(huge().await.unwrap()[0], 7);
            assert!(allocations() - before <= 3);
        })
        .unwrap();
}

#[test]
fn sleeping_allocates_nothing() {
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    executor
        .block_on(async {
            let round = async || {
                let mut sleeps: [_; 100] =
                    std::array::from_fn(|number| handle.sleep(Duration::from_micros(1 + number as u64)));
                for sleep in &mut sleeps {
                    let set = handle.timeout(Duration::ZERO, std::pin::Pin::new(sleep)).await;
                    assert!(set.is_none() || set == Some(()));
                }
                // The second half is dropped.
                for sleep in sleeps.into_iter().take(50) {
                    sleep.await;
                }
            };
            round().await;
            let before = allocations();
            round().await;
            assert_eq!(allocations() - before, 0);
        })
        .unwrap();
}

#[test]
fn many_operations_share_an_enter() {
    for kind in backends() {
        let ring = task_support::builder(kind).policy(Policy::Links).entries(256);
        let mut executor = ouzel::task::Executor::builder().ring(ring).build().unwrap();
        let handle = executor.handle();
        executor
            .block_on(async {
                let (read, write) = handle.pipe().await?;
                let mut reads = Vec::new();
                for _ in 0..64 {
                    let handle = handle.clone();
                    reads.push(handle.clone().spawn(async move {
                        handle.read(read, Buffer::with_capacity(1), Offset::CURRENT).await
                    }));
                }
                yield_now().await;
                let before = handle.counters();
                let turns = handle.metrics().turns;
                handle.write(write, vec![1; 64], Offset::CURRENT).await?;
                for reading in reads {
                    assert_eq!(&*reading.await.unwrap()?, &[1]);
                }
                let cost = handle.counters().since(before);
                println!("{}: {cost:?} for 64 reads and a write", kind.name());
                if kind == BackendKind::Uring {
                    assert!(handle.metrics().turns - turns <= 8);
                    assert!(cost.enters <= 8, "{cost:?}");
                }
                Ok::<_, Error>(())
            })
            .unwrap()
            .unwrap();
    }
}

#[test]
fn who_only_yields_crosses_nothing() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                yield_now().await;
                let before = handle.counters();
                for _ in 0..1000 {
                    yield_now().await;
                }
                assert_eq!(handle.counters().since(before).crossings(), 0);
            })
            .unwrap();
    });
}

/// Buffers of the ring's pool, and those that the ring picks, come and go without the heap.
#[test]
fn nothing_is_allocated_for_buffers_of_the_pool() {
    use ouzel::abi::modifiers::MessageFlags;
    on_each(|kind| {
        if kind != BackendKind::Uring {
            return;
        }
        let mut executor = executor(kind);
        let handle = executor.handle();
        let Ok(group) = handle.group(4, 256) else { return };
        let round = async |near, far, rounds: u32| {
            let mut stream = handle.recv_into(far, &group);
            for _ in 0..rounds {
                let mut text = handle.buffer(100)?;
                text.extend_from_slice(&[1; 100]);
                handle.send(near, text, MessageFlags::empty()).await?;
                let picked = stream.next().await.unwrap()?;
                // And back, as it is.
                handle.send(far, picked, MessageFlags::empty()).await?;
                assert_eq!(handle.recv(near, handle.buffer(256)?, MessageFlags::empty()).await?.len(), 100);
                handle.send(far, handle.buffer(1)?, MessageFlags::empty()).await?;
            }
            Ok::<_, Error>(())
        };
        let counted = executor
            .block_on(async {
                let (near, far) = connected(&handle).await?;
                round(near, far, 40).await?;
                let before = allocations();
                round(near, far, 200).await?;
                Ok::<_, Error>(allocations() - before)
            })
            .unwrap()
            .unwrap();
        println!("{counted} allocations beside 800 operations");
        // The end of the first stream is late, and the second one begins.
        assert!(counted <= 8, "{counted} allocations");
    });
}

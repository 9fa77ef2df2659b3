//! Futures that are dropped, forgotten or unwound at each point of their lives: nothing is lost, leaked or left running.
#![allow(clippy::unwrap_used)]

mod task_support;
#[path = "task_support/verbs.rs"]
mod verbs;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ouzel::abi::Descriptor;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::task::{Executor, Handle, yield_now};
use ouzel::{BackendKind, Buffer, Chain, Done, Error, Offset, OpenOptions};
use task_support::*;
use verbs::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    BeforePoll,
    AfterFirstPoll,
    InKernel,
    AfterCompletion,
    Forgotten,
    Panic,
}

const MOMENTS: [Moment; 6] = [
    Moment::BeforePoll,
    Moment::AfterFirstPoll,
    Moment::InKernel,
    Moment::AfterCompletion,
    Moment::Forgotten,
    Moment::Panic,
];

/// Lets the executor enter its ring some times, so that what is queued is in the kernel.
async fn turns(handle: &Handle) {
    for _ in 0..3 {
        handle.sleep(Duration::from_micros(300)).await;
    }
}

async fn live(handle: Handle, make: Make, moment: Moment) -> Result<(), Error> {
    let Waiting { mut future, mut event, files } = make(handle.clone()).await?;
    let cancelled = handle.metrics().cancelled;
    if moment != Moment::BeforePoll {
        assert!(poll_once(&mut future).await.is_pending());
    }
    if matches!(moment, Moment::InKernel | Moment::AfterCompletion | Moment::Forgotten | Moment::Panic) {
        turns(&handle).await;
    }
    match moment {
        Moment::AfterCompletion => {
            event.as_mut().await?;
            until(&handle, "it is over, and nobody has asked", || handle.gauges().packets == 1).await;
            drop(future);
        }
        Moment::Forgotten => std::mem::forget(future),
        Moment::Panic => {
            let task = handle.spawn(async move {
                let _future = future;
                panic!("in between");
            });
            assert!(task.await.is_err());
        }
        _ => drop(future),
    }
    let in_ring = matches!(moment, Moment::AfterFirstPoll | Moment::InKernel | Moment::Panic);
    assert_eq!(handle.metrics().cancelled - cancelled, u64::from(in_ring), "a real cancel is sent");
    if moment == Moment::Forgotten {
        // Nobody takes it, and nothing is cancelled: it runs to its end.
        event.as_mut().await?;
        turns(&handle).await;
    }
    let idle = || handle.gauges().packets == 1 && handle.gauges().started <= 1;
    until(&handle, "everything is over but the bell", idle).await;
    drop(event);
    until(&handle, "everything is over but the bell", idle).await;
    for file in files {
        handle.close(file).await?;
    }
    Ok(())
}

#[test]
fn every_verb_can_be_left_at_every_moment() {
    on_each(|kind| {
        for (name, make) in verbs() {
            for moment in MOMENTS {
                println!("{} {name} {moment:?}", kind.name());
                let mut executor = executor(kind);
                let handle = executor.handle();
                executor.block_on(live(handle.clone(), make, moment)).unwrap().unwrap();
                // What a forgotten future's chain has opened is known to nobody who could close it.
                let lost = u32::from((name, moment) == ("accept", Moment::Forgotten));
                assert_eq!(handle.gauges().descriptors, 1 + lost, "{name} {moment:?}: descriptors leak");
            }
        }
    });
}

/// An executor that keeps what comes too late.
fn keeping(kind: BackendKind, give_back: bool) -> (Executor, Rc<RefCell<Vec<Vec<Descriptor>>>>) {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let late = kept.clone();
    let builder = Executor::builder().ring(builder(kind)).on_late(move |done: Done| {
        late.borrow_mut().push(done.descriptors());
        give_back.then_some(done)
    });
    (builder.build().unwrap(), kept)
}

#[test]
fn what_comes_too_late_is_salvaged() {
    on_each(|kind| {
        for give_back in [true, false] {
            let (mut executor, kept) = keeping(kind, give_back);
            let handle = executor.handle();
            executor
                .block_on(async {
                    let (listens, address) = listener(&handle).await?;
                    let mut accepting = handle.accept(listens);
                    assert!(poll_once(&mut accepting).await.is_pending());
                    let client = connect(&handle, &address).await?;
                    until(&handle, "the connection", || handle.gauges().descriptors == 4).await;
                    // It was taken; nobody has asked.
                    drop(accepting);
                    yield_now().await;
                    until(&handle, "the hook", || kept.borrow().len() == 1).await;
                    let late = kept.borrow()[0].clone();
                    assert_eq!(late.len(), 1);
                    if give_back {
                        until(&handle, "the close", || handle.gauges().descriptors == 3).await;
                        assert_eq!(handle.metrics().late_closed, 1);
                        assert!(handle.close(late[0]).await.is_err(), "it was closed");
                        let text = Buffer::with_capacity(8);
                        let end = handle.recv(client, text, MessageFlags::empty()).await?;
                        assert!(end.is_empty(), "the peer sees that");
                    } else {
                        assert_eq!(handle.metrics().late_closed, 0);
                        handle.send(late[0], "kept", MessageFlags::empty()).await?;
                        handle.close(late[0]).await?;
                    }
                    handle.close(client).await?;
                    handle.close(listens).await
                })
                .unwrap()
                .unwrap();
            assert_eq!(handle.metrics().late, 1);
            assert_eq!(handle.gauges().descriptors, 1);
        }
    });
}

#[test]
fn late_files_are_closed_and_late_bytes_counted() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        let place = Place::new(kind);
        executor
            .block_on(async {
                let mut chain = Chain::new();
                let file = chain.open(place.path(), OpenOptions::read_write().create());
                chain.write(file, Buffer::from("0123456789"), Offset::START);
                chain.read(file, Buffer::with_capacity(7), Offset::START);
                let mut running = handle.run(chain);
                assert!(poll_once(&mut running).await.is_pending());
                until(&handle, "the chain", || handle.gauges().packets == 1).await;
                drop(running);
                until(&handle, "the close", || handle.gauges().descriptors == 1).await;
            })
            .unwrap();
        let metrics = handle.metrics();
        assert_eq!((metrics.late, metrics.late_closed, metrics.late_bytes), (1, 1, 7));
    });
}

#[test]
fn many_are_cancelled_at_once() {
    on_each(|kind| {
        let mut executor = executor(kind);
        let handle = executor.handle();
        executor
            .block_on(async {
                let (read, write) = handle.pipe().await?;
                // More than the ring has room for: some wait in the backlog.
                let mut reads: Vec<_> = (0..1000)
                    .map(|_| handle.read(read, Buffer::with_capacity(16), Offset::CURRENT))
                    .collect();
                for reading in &mut reads {
                    assert!(poll_once(reading).await.is_pending());
                }
                turns(&handle).await;
                let turns_before = handle.metrics().turns;
                drop(reads);
                until(&handle, "the end", || handle.gauges().packets == 1).await;
                assert!(handle.metrics().turns - turns_before < 50, "not one by one");
                assert!(handle.metrics().cancelled < 200, "most had not begun");
                // The pipe is nobody's: what is written is read by the next one.
                handle.write(write, "next", Offset::CURRENT).await?;
                let next = handle.read(read, Buffer::with_capacity(16), Offset::CURRENT).await?;
                assert_eq!(&*next, b"next");
                handle.close(read).await?;
                handle.close(write).await
            })
            .unwrap()
            .unwrap();
    });
}

#[test]
fn drops_and_hooks_may_call_anything() {
    struct Busy(Handle, Rc<Cell<u32>>);
    impl Drop for Busy {
        fn drop(&mut self) {
            let handle = self.0.clone();
            let count = self.1.clone();
            drop(self.0.spawn(async move {
                handle.sleep(Duration::from_micros(10)).await;
                count.set(count.get() + 1);
            }));
        }
    }
    on_each(|kind| {
        let count = Rc::new(Cell::new(0));
        let slot: Rc<RefCell<Option<Handle>>> = Rc::default();
        let (own, busy) = (slot.clone(), count.clone());
        let builder = Executor::builder().ring(builder(kind)).on_late(move |done| {
            let handle = own.borrow().clone();
            drop(handle.map(|handle| Busy(handle, busy.clone())));
            Some(done)
        });
        let mut executor = builder.build().unwrap();
        let handle = executor.handle();
        *slot.borrow_mut() = Some(handle.clone());
        executor
            .block_on(async {
                let (read, _) = handle.pipe().await.unwrap();
                for _ in 0..10 {
                    let mut reading = Box::pin(handle.read(read, Buffer::with_capacity(8), Offset::CURRENT));
                    let busy = Busy(handle.clone(), count.clone());
                    let task = handle.spawn(async move {
                        let _busy = busy;
                        poll_fn(|context| {
                            assert!(reading.as_mut().poll(context).is_pending());
                            Poll::Ready(())
                        })
                        .await;
                    });
                    task.await.unwrap();
                }
                until(&handle, "all of them", || count.get() == 20).await;
                drop(handle.spawn({
                    let busy = Busy(handle.clone(), count.clone());
                    async move {
                        let _busy = busy;
                        std::future::pending::<()>().await;
                    }
                }));
                yield_now().await;
            })
            .unwrap();
        drop(executor);
        slot.borrow_mut().take();
    });
}

//! The life of a task: its future and its result are dropped once each, in their place and on their thread, whoever holds the
//! task meanwhile, and whatever panics.
#![allow(clippy::unwrap_used)]

mod task_support;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use ouzel::BackendKind;
use ouzel::task::{JoinError, JoinHandle, yield_now};
use task_support::*;

/// Something whose drops are counted.
struct Life(Rc<Cell<i64>>);

impl Life {
    fn new(alive: &Rc<Cell<i64>>) -> Life {
        alive.set(alive.get() + 1);
        Life(Rc::clone(alive))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// It panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// A copy of the waker of the task that awaits this.
async fn own_waker() -> Waker {
    poll_fn(|context| Poll::Ready(context.waker().clone())).await
}

fn text(error: JoinError) -> &'static str {
    match error {
        JoinError::Panicked(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("something else"),
        _ => "no panic",
    }
}

#[test]
fn a_panic_ends_its_task_alone() {
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    let alive = Rc::new(Cell::new(0));
    executor
        .block_on(async {
            let life = Life::new(&alive);
            let in_poll = handle.spawn(async move {
                yield_now().await;
                let _life = life;
                panic!("polled");
            });
            assert_eq!(text(in_poll.await.map(|never: ()| never).unwrap_err()), "polled");

            let life = Life::new(&alive);
            let in_drop = handle.spawn(poll_fn({
                let grenade = Grenade;
                move |_| {
                    let _both = (&grenade, &life);
                    Poll::Ready(5)
                }
            }));
            assert_eq!(text(in_drop.await.unwrap_err()), "dropped");

            let life = Life::new(&alive);
            let aborted = handle.spawn(async move {
                let _both = (Grenade, life);
                pending::<()>().await;
            });
            yield_now().await;
            aborted.abort();
            assert_eq!(text(aborted.await.unwrap_err()), "dropped");

            // Nobody is there to be told: of a result, of a future, of a panic's own drop.
            let life = Life::new(&alive);
            drop(handle.spawn(async move { (Grenade, life) }));
            drop(handle.spawn(async { std::panic::panic_any(Grenade) }));
            let (first, second) = (Life::new(&alive), Life::new(&alive));
            drop(handle.spawn(async move {
                let _first = (Grenade, first);
                let _second = second;
            }));
            for _ in 0..3 {
                yield_now().await;
            }
            assert_eq!(handle.spawn(async { 3 }).await.unwrap(), 3);
        })
        .unwrap();
    assert_eq!(alive.get(), 0);
}

#[test]
fn a_task_may_hold_wake_and_abort_itself() {
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    let alive = Rc::new(Cell::new(0));
    executor
        .block_on(async {
            let own: Rc<RefCell<Option<JoinHandle<u32>>>> = Rc::default();
            let spawn = |act: fn(JoinHandle<u32>, &Waker) -> Option<JoinHandle<u32>>| {
                let (held, life) = (own.clone(), Life::new(&alive));
                let task = handle.spawn(async move {
                    let _life = life;
                    let waker = own_waker().await;
                    waker.wake_by_ref();
                    let handle = held.borrow_mut().take().unwrap();
                    let mut rest = act(handle, &waker);
                    if let Some(rest) = &mut rest {
                        // One that awaits itself waits for ever.
                        Pin::new(rest).await.unwrap();
                    }
                    7
                });
                *own.borrow_mut() = Some(task);
            };
            // Its handle is dropped while it is polled, and it ends in the queue.
            spawn(|task, _| {
                drop(task);
                None
            });
            yield_now().await;
            yield_now().await;
            assert_eq!(alive.get(), 0);
            // It awaits itself, and is aborted.
            spawn(|task, _| {
                task.abort();
                assert!(!task.is_finished());
                Some(task)
            });
            for _ in 0..3 {
                yield_now().await;
            }
            assert_eq!(alive.get(), 0);
        })
        .unwrap();
}

#[test]
fn wakers_of_tasks_that_are_over_disturb_nobody() {
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    let mut wakers = executor
        .block_on(async {
            let mut wakers = Vec::new();
            for round in 0..50usize {
                let waker = handle.spawn(own_waker()).await.unwrap();
                // Others in blocks of the same size, with that one's number, perhaps.
                let polls = Rc::new(Cell::new(0));
                let counted = polls.clone();
                let next = handle.spawn(poll_fn(move |_: &mut Context<'_>| {
                    counted.set(counted.get() + 1);
                    if counted.get() > 3 { Poll::Ready(round) } else { Poll::Pending }
                }));
                yield_now().await;
                let other = waker.clone();
                let thread = std::thread::spawn(move || {
                    other.wake_by_ref();
                    other.wake();
                });
                waker.wake_by_ref();
                thread.join().unwrap();
                yield_now().await;
                yield_now().await;
                assert!((1..=3).contains(&polls.get()));
                next.abort();
                assert!(matches!(next.await, Err(JoinError::Aborted) | Ok(_)));
                wakers.push(waker);
            }
            wakers
        })
        .unwrap();
    let late = wakers.split_off(25);
    std::thread::spawn(move || late.into_iter().for_each(Waker::wake)).join().unwrap();
    drop(handle);
    drop(executor);
    wakers.iter().for_each(Waker::wake_by_ref);
    std::thread::spawn(move || drop(wakers)).join().unwrap();
}

#[test]
fn handles_outlive_their_executor() {
    let mut executor = executor(BackendKind::Threads);
    let alive = Rc::new(Cell::new(0));
    let life = Life::new(&alive);
    let over = executor.spawn(async move { life });
    let life = Life::new(&alive);
    let unasked = executor.spawn(async move { life });
    let life = Life::new(&alive);
    let waits = executor.spawn(async move {
        pending::<()>().await;
        life
    });
    executor.block_on(yield_now()).unwrap();
    let handle = executor.handle();
    drop(executor);
    assert_eq!(alive.get(), 2, "what waited is dropped, results are not");
    assert!(over.is_finished() && waits.is_finished());
    let mut context = Context::from_waker(Waker::noop());
    let mut poll = |mut task: JoinHandle<Life>| Pin::new(&mut task).poll(&mut context);
    assert!(matches!(poll(over), Poll::Ready(Ok(_))));
    assert!(matches!(poll(waits), Poll::Ready(Err(JoinError::Closed))));
    let life = Life::new(&alive);
    assert!(matches!(poll(handle.spawn(async move { life })), Poll::Ready(Err(JoinError::Closed))));
    assert_eq!(alive.get(), 1);
    drop(handle);
    drop(unasked);
    assert_eq!(alive.get(), 0);
}

#[test]
fn whoever_is_told_may_panic() {
    struct Angry;
    impl Wake for Angry {
        fn wake(self: Arc<Angry>) {
            panic!("told");
        }
    }
    let mut executor = executor(BackendKind::Threads);
    let alive = Rc::new(Cell::new(0));
    let (life, result) = (Life::new(&alive), Life::new(&alive));
    let mut task = executor.spawn(async move {
        let _life = life;
        result
    });
    let waker = Waker::from(Arc::new(Angry));
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    let told =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| executor.block_on(yield_now()).unwrap()));
    assert_eq!(told.unwrap_err().downcast_ref::<&str>(), Some(&"told"));
    executor.block_on(yield_now()).unwrap();
    assert!(executor.block_on(task).unwrap().is_ok());
    assert_eq!(alive.get(), 0);
}

#[test]
fn futures_lie_as_they_have_to() {
    #[repr(align(128))]
    struct Wide(u8);
    struct Looks(Wide);
    impl Future for Looks {
        type Output = Wide;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Wide> {
            assert_eq!((&raw const self.0).addr() % 128, 0);
            self.0.0 += 1;
            context.waker().wake_by_ref();
            if self.0.0 == 3 { Poll::Ready(Wide(9)) } else { Poll::Pending }
        }
    }
    let mut executor = executor(BackendKind::Threads);
    let handle = executor.handle();
    executor
        .block_on(async {
            for _ in 0..3 {
                let narrow = handle.spawn(async {});
                assert_eq!(handle.spawn(Looks(Wide(0))).await.unwrap().0, 9);
                narrow.await.unwrap();
                assert_eq!(handle.spawn(async { [7u64; 1000] }).await.unwrap()[999], 7);
            }
        })
        .unwrap();
}

/// Tasks of some sizes are spawned, joined, detached, aborted, woken here and there, and outlived by their wakers, in any order.
#[test]
fn whatever_becomes_of_tasks_all_is_dropped_once() {
    /// Waits for so many polls, in so much memory.
    async fn task<const BYTES: usize>(life: Life, polls: u64, wakers: Rc<RefCell<Vec<Waker>>>) -> Life {
        let memory = [polls as u8; BYTES];
        for _ in 0..polls {
            let mut first = true;
            poll_fn(|context| {
                if std::mem::replace(&mut first, false) {
                    wakers.borrow_mut().push(context.waker().clone());
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
        }
        assert!(memory.iter().all(|byte| *byte == polls as u8));
        life
    }
    for seed in 1..=8u64 {
        let mut state = seed;
        let mut roll = move |sides: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % sides
        };
        let mut executor = executor(BackendKind::Threads);
        let handle = executor.handle();
        let alive = Rc::new(Cell::new(0));
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        let mut tasks = Vec::new();
        executor
            .block_on(async {
                for _ in 0..2_000 {
                    let place = roll(1 << 20) as usize;
                    match roll(10) {
                        0..4 => {
                            let (life, polls, wakers) = (Life::new(&alive), roll(4), wakers.clone());
                            tasks.push(match roll(3) {
                                0 => handle.spawn(task::<8>(life, polls, wakers)),
                                1 => handle.spawn(task::<200>(life, polls, wakers)),
                                _ => handle.spawn(task::<5000>(life, polls, wakers)),
                            });
                        }
                        4 if !tasks.is_empty() => drop(tasks.swap_remove(place % tasks.len())),
                        5 if !tasks.is_empty() => tasks[place % tasks.len()].abort(),
                        6 if !tasks.is_empty() => {
                            let task = tasks.swap_remove(place % tasks.len());
                            if task.is_finished() {
                                drop(task.await);
                            }
                        }
                        7 if !wakers.borrow().is_empty() => {
                            let taken: Vec<Waker> = wakers.borrow_mut().drain(..).collect();
                            let (here, there) = taken.split_at(place % taken.len());
                            let there = there.to_vec();
                            let thread = std::thread::spawn(move || there.into_iter().for_each(Waker::wake));
                            here.iter().for_each(Waker::wake_by_ref);
                            thread.join().unwrap();
                        }
                        8 if !wakers.borrow().is_empty() => {
                            let mut wakers = wakers.borrow_mut();
                            let place = place % wakers.len();
                            drop(wakers.swap_remove(place));
                        }
                        _ => yield_now().await,
                    }
                }
            })
            .unwrap();
        drop(executor);
        drop(tasks);
        assert_eq!(alive.get(), 0, "seed {seed}");
        let left: Vec<Waker> = wakers.borrow_mut().drain(..).collect();
        std::thread::spawn(move || left.into_iter().for_each(Waker::wake)).join().unwrap();
    }
}

//! Memory that an operation may still write to is never freed, however its ring ends; other memory always is.
//!
//! The backend here holds on to operations for as long as the test likes, as a kernel may. The allocator reports when
//! a buffer that was handed to it is freed. One test, so that nothing else frees or counts meanwhile.

// Clippy takes only what is inside the test function for a test.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use ouzel::abi::{Descriptor, Errno};
use ouzel::backend::HostBackend;
use ouzel::engine::{
    Backend, Buffers, Counters, Operation, Outcome, Place, Report, Started, Step, Token, Way,
};
use ouzel::task::Executor;
use ouzel::{Bell, Buffer, Chain, Offset, OpenOptions, Ring, leaked_operations};

static WATCHED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicBool = AtomicBool::new(false);

struct Watching;

// SAFETY: everything is the system allocator's; frees of one address are noted beside it.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract is the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if pointer.addr() == WATCHED.load(Ordering::Relaxed) {
            FREED.store(true, Ordering::Relaxed);
        }
        // SAFETY: the contract is the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// What the backend does with a read that it is asked to give up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// It lets go at once.
    Yields,
    /// It never lets go.
    Holds,
    /// It fails altogether.
    Fails,
}

#[derive(Default)]
struct Held {
    reads: Vec<(Token, usize)>,
    polls: Vec<Token>,
    ready: VecDeque<Report>,
    dropped: bool,
}

struct Hoarder {
    manner: Manner,
    begun: Instant,
    held: Arc<Mutex<Held>>,
}

impl Drop for Hoarder {
    fn drop(&mut self) {
        self.held.lock().unwrap().dropped = true;
    }
}

impl Backend for Hoarder {
    fn now(&self) -> u64 {
        self.begun.elapsed().as_nanos() as u64
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Simulated, reason: "" };
        match steps[0].operation {
            Operation::Read { buffers: Buffers::One(span), .. } => {
                WATCHED.store(span.pointer.addr(), Ordering::Relaxed);
                self.held.lock().unwrap().reads.push((steps[0].token, span.pointer.expose_provenance()));
                Started::Taken { count: 1, way }
            }
            // What an executor is woken by.
            Operation::Poll { multishot: true, .. } => {
                self.held.lock().unwrap().polls.push(steps[0].token);
                Started::Taken { count: 1, way }
            }
            _ => Started::Finished { outcome: Outcome::success(0), way },
        }
    }

    fn cancel(&mut self, token: Token) {
        let mut held = self.held.lock().unwrap();
        if let Some(place) = held.polls.iter().position(|poll| *poll == token) {
            held.polls.remove(place);
            let outcome = Outcome::failure(Errno::ECANCELED);
            held.ready.push_back(Report { token, outcome, more: false });
        }
        if self.manner == Manner::Yields
            && let Some(place) = held.reads.iter().position(|read| read.0 == token)
        {
            held.reads.remove(place);
            let outcome = Outcome::failure(Errno::ECANCELED);
            held.ready.push_back(Report { token, outcome, more: false });
        }
    }

    fn wait(&mut self, want: u32, until: Option<u64>) -> Result<(), Errno> {
        if self.manner == Manner::Fails {
            return Err(Errno::EIO);
        }
        while self.held.lock().unwrap().ready.len() < want as usize
            && until.is_none_or(|until| self.now() < until)
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        self.held.lock().unwrap().ready.pop_front()
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

// SAFETY: its operations end with a result of 0, or with an error, or never.
unsafe impl HostBackend for Hoarder {
    fn adopt(&mut self, _: u32, _: OwnedFd) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn release(&mut self, _: u32) -> Result<OwnedFd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn adopt_bell(&mut self, _: u32, _: &Bell) -> Result<(), Errno> {
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Drop,
    Teardown,
    Forget,
    Panic,
}

fn end(manner: Manner, end: End) {
    let case = format!("{manner:?}, {end:?}");
    WATCHED.store(0, Ordering::Relaxed);
    FREED.store(false, Ordering::Relaxed);
    let leaked_before = leaked_operations();
    let held = Arc::new(Mutex::new(Held::default()));
    let backend = Box::new(Hoarder { manner, begun: Instant::now(), held: held.clone() });
    // One that lets go needs no bound; it may be slow all the same, on a busy machine.
    let bound = Duration::from_millis(if manner == Manner::Yields { 20_000 } else { 30 });
    let mut ring = Ring::builder().teardown_bound(bound).build_on(backend).unwrap();
    let mut chain = Chain::new();
    let file = chain.open("x", OpenOptions::read());
    chain.read(file, Buffer::with_capacity(4096), Offset::START);
    chain.read(file, Buffer::with_capacity(64), Offset::START);
    ring.submit(chain).unwrap();
    let started = ring.flush();
    assert_eq!(started.is_err(), manner == Manner::Fails, "{case}");
    assert_eq!(ring.gauges().started, 1);
    let begun = Instant::now();
    match end {
        End::Drop => drop(ring),
        End::Teardown => {
            let teardown = ring.teardown(bound);
            assert_eq!(teardown.leaked, u32::from(manner != Manner::Yields), "{case}");
        }
        End::Forget => std::mem::forget(ring),
        End::Panic => {
            let unwound = catch_unwind(AssertUnwindSafe(move || {
                let _ring = ring;
                panic!("between a submit and its wait");
            }));
            assert!(unwound.is_err());
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{case}: the bound holds");
    let ended = manner == Manner::Yields && end != End::Forget;
    assert_eq!(FREED.load(Ordering::Relaxed), ended, "{case}: freed");
    let held = held.lock().unwrap();
    assert_eq!(held.dropped, ended, "{case}: the backend lives as long as what it holds");
    let leaks = u64::from(!ended && end != End::Forget);
    assert_eq!(leaked_operations() - leaked_before, leaks, "{case}: counted");
    for (_, pointer) in &held.reads {
        // SAFETY: this is what a kernel may still do; the assertion above says that the memory is there.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(*pointer).write_bytes(0xAA, 4096) };
    }
}

/// When a future, and its executor, is left.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Left {
    FutureDropped,
    FutureForgotten,
    TaskDropped,
    TaskPanics,
    ExecutorForgotten,
}

fn leave(manner: Manner, left: Left) {
    let case = format!("{manner:?}, {left:?}");
    WATCHED.store(0, Ordering::Relaxed);
    FREED.store(false, Ordering::Relaxed);
    let leaked_before = leaked_operations();
    let held = Arc::new(Mutex::new(Held::default()));
    let backend = Box::new(Hoarder { manner, begun: Instant::now(), held: held.clone() });
    let bound = Duration::from_millis(if manner == Manner::Yields { 20_000 } else { 30 });
    let ring = Ring::builder().teardown_bound(bound).build_on(backend).unwrap();
    let mut executor = Executor::builder().build_on(ring).unwrap();
    let handle = executor.handle();
    let descriptor = Descriptor::from_number(executor_file(&mut executor)).unwrap();
    let begun = Instant::now();
    let mut reading = handle.read(descriptor, Buffer::with_capacity(4096), Offset::START);
    let polled = executor.block_on(async {
        let once = poll_fn(|context| Poll::Ready(Pin::new(&mut reading).poll(context).is_pending())).await;
        handle.sleep(Duration::from_millis(2)).await;
        once
    });
    assert!(polled.unwrap());
    assert_eq!(held.lock().unwrap().reads.len(), 1, "{case}: it is on its way");
    assert!(!FREED.load(Ordering::Relaxed));
    match left {
        Left::FutureDropped => drop(reading),
        Left::FutureForgotten => std::mem::forget(reading),
        Left::TaskDropped => drop(executor.spawn(reading)),
        Left::TaskPanics => drop(executor.spawn(async move {
            let _reading = reading;
            panic!("between a submit and its end");
        })),
        Left::ExecutorForgotten => drop(reading),
    }
    executor.block_on(handle.sleep(Duration::from_millis(2))).unwrap();
    if left == Left::ExecutorForgotten {
        std::mem::forget(executor);
    } else {
        drop(executor);
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{case}: the bound holds");
    let ended = manner == Manner::Yields;
    if ended && left == Left::ExecutorForgotten {
        // It was cancelled and is over; its memory is kept to be used again.
        return;
    }
    assert_eq!(FREED.load(Ordering::Relaxed), ended, "{case}: freed");
    let held = held.lock().unwrap();
    assert_eq!(held.dropped, ended, "{case}: the backend lives as long as what it holds");
    let leaks = u64::from(!ended && left != Left::ExecutorForgotten);
    assert_eq!(leaked_operations() - leaked_before, leaks, "{case}: counted");
    for (_, pointer) in &held.reads {
        // SAFETY: this is what a kernel may still do; the assertion above says that the memory is there.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(*pointer).write_bytes(0xAA, 4096) };
    }
}

/// A descriptor of the hoarder's.
fn executor_file(executor: &mut Executor) -> u64 {
    let handle = executor.handle();
    executor.block_on(handle.open("x", OpenOptions::read())).unwrap().unwrap().number()
}

#[test]
fn buffers_outlive_the_futures_that_wait_for_them() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for manner in [Manner::Yields, Manner::Holds] {
        for left in [
            Left::FutureDropped,
            Left::FutureForgotten,
            Left::TaskDropped,
            Left::TaskPanics,
            Left::ExecutorForgotten,
        ] {
            leave(manner, left);
        }
    }
}

/// What is watched is watched for one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn buffers_outlive_whoever_may_write_to_them() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for manner in [Manner::Yields, Manner::Holds, Manner::Fails] {
        for way in [End::Drop, End::Teardown, End::Forget, End::Panic] {
            end(manner, way);
        }
    }
}

//! Rings that end on another thread than the one on which operations were begun. A ring that may move is moved; an executor
//! may not, so its end there is asked for by an `Owner`'s, and what was begun from here outlives it.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use ouzel::abi::Errno;
use ouzel::task::{Executor, Owner, RemoteRun};
use ouzel::{BackendKind, Movable, Ring, Ticket};

use crate::stage::{Bare, Far, LIMIT, Scene, Stage, Trap, builder, check_files, open_files};
use crate::table::{How, Row};
use crate::watch::{Gate, Watch};

pub fn end_elsewhere(row: &Row, kind: BackendKind) {
    let files = open_files();
    for way in [Way::Queued, Way::Dropped, Way::Cancelled] {
        moved(row, kind, way);
        assert_eq!(ouzel::leaked_operations(), 0);
        check_files(files);
    }
    for kept in [false, true] {
        if !(kept && matches!(row.how, How::Engine | How::Timer)) {
            owner_ends(row, kind, kept);
            assert_eq!(ouzel::leaked_operations(), 0);
            check_files(files);
        }
    }
    remote_run_dropped(row, kind);
    check_files(files);
}

/// What becomes of a ring that was moved.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// It is dropped, and was never entered.
    Queued,
    /// It is dropped with the operation in the kernel.
    Dropped,
    /// The operation is cancelled there, its result looked at, and the ring dropped.
    Cancelled,
}

fn moved(row: &Row, kind: BackendKind, way: Way) {
    let mut bare = Bare { kind, ring: builder(kind).build_movable().unwrap() };
    let mut scene = Scene::new(&mut bare);
    (row.set_up)(&mut bare, &mut scene);
    let ticket = bare.ring.submit(row.chain(&scene)).unwrap();
    if way != Way::Queued {
        bare.ring.flush().unwrap();
    }
    assert!(scene.in_use() > 0);
    let ring = bare.ring;
    let (over, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        elsewhere(ring, ticket, way);
        over.send(()).ok();
    });
    let ended = wait.recv_timeout(LIMIT);
    assert_ne!(ended, Err(mpsc::RecvTimeoutError::Timeout), "{way:?}: it hangs there");
    thread.join().unwrap();
    assert_eq!(scene.in_use(), 0, "{way:?}: memory of the pool leaks");
    Trap::fill(&scene.pool).check();
}

fn elsewhere(mut ring: Ring<Movable>, ticket: Ticket, way: Way) {
    if way == Way::Cancelled {
        ring.cancel(ticket).unwrap();
        let done = ring.wait(ticket).unwrap();
        for step in 0..done.len() {
            let errno = done.completion_of(step).map(|completion| completion.errno());
            assert_ne!(errno, Some(Errno::EFAULT), "the kernel met memory that had been given back");
        }
    }
    drop(ring);
}

/// An executor on a thread of its own, watched from here.
fn owner(kind: BackendKind) -> (Owner, crate::watch::Watching) {
    let (send, receive) = mpsc::channel();
    let owner = Owner::start(move || {
        let (backend, _) = builder(kind).open_backend()?;
        let (backend, watch) = Watch::over(backend);
        send.send(watch).ok();
        Executor::builder().build_on(builder(kind).build_on(Box::new(backend))?)
    });
    (owner.unwrap(), receive.recv().unwrap())
}

fn set_up(row: &Row, owner: &Owner, kind: BackendKind) -> (Far, Scene) {
    let mut far = Far { kind, remote: owner.remote().clone() };
    let mut scene = Scene::new(&mut far);
    (row.set_up)(&mut far, &mut scene);
    (far, scene)
}

fn poll_here(run: &mut RemoteRun) -> bool {
    Pin::new(run).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Two turns of the executor there.
fn turn_there(far: &mut Far) {
    for _ in 0..2 {
        (far as &mut dyn Stage).pause(std::time::Duration::from_micros(200));
    }
}

/// The owner ends with the operation in flight; what waits for it here outlives both.
fn owner_ends(row: &Row, kind: BackendKind, kept: bool) {
    let (owner, watch) = owner(kind);
    let (mut far, scene) = set_up(row, &owner, kind);
    if kept {
        watch.catch();
    }
    let mut run = far.remote.run(row.chain(&scene));
    if kept {
        let begun = std::time::Instant::now();
        while !watch.has_caught() {
            assert!(begun.elapsed() < LIMIT, "it never began");
            std::thread::yield_now();
        }
        watch.catch_no_more();
    }
    turn_there(&mut far);
    // In the simulator time passes while its thread sleeps, and with it what waits for a child.
    if row.how == How::Waits && row.lasts.is_none() && kind != BackendKind::Sim {
        assert!(poll_here(&mut run), "nothing has ended it");
    }
    if kept {
        watch.let_go(Gate::Waits(3));
    }
    drop(far);
    owner.stop().unwrap();
    let ended = Pin::new(&mut run).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ended, Poll::Ready(_)), "it waits for an executor that is gone");
    drop(ended);
    drop(run);
    assert_eq!((watch.in_flight(), watch.faults()), (0, 0));
    assert_eq!(scene.in_use(), 0, "memory of the pool leaks");
    Trap::fill(&scene.pool).check();
}

/// What waits for the operation here is dropped, and the operation there is given up.
fn remote_run_dropped(row: &Row, kind: BackendKind) {
    let (owner, watch) = owner(kind);
    let (mut far, mut scene) = set_up(row, &owner, kind);
    for polled in [false, true] {
        let mut run = far.remote.run(row.chain(&scene));
        if polled {
            let _ = poll_here(&mut run);
            turn_there(&mut far);
        }
        drop(run);
        let begun = std::time::Instant::now();
        while far.remote.call(|handle| handle.gauges().packets).wait().unwrap() > 1
            || watch.in_flight() > 1
            || scene.in_use() > 0
        {
            assert!(begun.elapsed() < LIMIT, "it was not given up, or memory of the pool leaks");
            turn_there(&mut far);
        }
    }
    Trap::fill(&scene.pool).check();
    scene.strike(&mut far);
    owner.stop().unwrap();
    assert_eq!((watch.in_flight(), watch.faults()), (0, 0));
}

//! Futures that are dropped, forgotten or unwound at each point of their lives, while their executor goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use ouzel::BackendKind;
use ouzel::task::yield_now;

use crate::IN_BETWEEN;
use crate::stage::{Runtime, Scene, Trap, check_files, open_files};
use crate::table::{Ending, Form, How, Row};
use crate::watch::Gate;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// Not at all: it is awaited.
    Never,
    BeforePoll,
    AfterFirstPoll,
    InKernel,
    AfterCompletion,
    Forgotten,
    Panic,
}

/// Whether the kernel really has it, or has it for as long as the test likes: then it is over there, and nobody knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hold {
    Real,
    Kept,
}

/// How an operation is in flight while it is left.
fn holds(row: &Row, moment: Moment) -> &'static [Hold] {
    match (moment, row.how) {
        (Moment::InKernel | Moment::Forgotten | Moment::Panic, How::Ends) => &[Hold::Kept],
        (Moment::InKernel | Moment::Forgotten | Moment::Panic, How::Waits) => &[Hold::Real, Hold::Kept],
        _ => &[Hold::Real],
    }
}

/// Why a cell makes no sense, if it does not.
pub fn senseless(row: &Row, moment: Moment) -> Option<&'static str> {
    let inside = matches!(moment, Moment::InKernel | Moment::Panic);
    (inside && row.how == How::Engine).then_some(
        "the engine does it as it is dispatched: it is in flight for no time that a drop could meet",
    )
}

pub fn leave(row: &Row, kind: BackendKind, moment: Moment) {
    let files = open_files();
    let mut forgotten = 0;
    let mut runtime = Runtime::new(kind);
    for form in row.forms() {
        for hold in holds(row, moment) {
            if moment == Moment::Forgotten && forgotten > 0 {
                // What was forgotten may go on for ever, so the next one has an executor of its own.
                std::mem::replace(&mut runtime, Runtime::new(kind)).end();
            }
            let mut scene = Scene::new(&mut runtime);
            (row.set_up)(&mut runtime, &mut scene);
            live(&mut runtime, row, &mut scene, moment, form, *hold);
            scene.strike(&mut runtime);
            assert_eq!(scene.pool.statistics().unprotected, 0);
            forgotten += u32::from(moment == Moment::Forgotten);
        }
    }
    runtime.end();
    assert_eq!(ouzel::leaked_operations(), 0);
    check_files(files);
}

/// Lets a future come to where it is to be left.
fn bring(runtime: &mut Runtime, row: &Row, scene: &mut Scene, form: Form, hold: Hold) -> Ending {
    let mut future = row.begin(form, &runtime.handle, scene);
    if hold == Hold::Kept {
        runtime.watch.catch();
    }
    assert!(runtime.poll_once(&mut future).is_pending(), "nothing runs before the ring is entered");
    runtime.turns();
    runtime.watch.catch_no_more();
    if hold == Hold::Kept {
        assert!(runtime.watch.has_caught(), "the backend has it");
        if row.how == How::Waits {
            (row.event)(runtime, scene, true);
            runtime.turns();
        }
    }
    future
}

fn live(runtime: &mut Runtime, row: &Row, scene: &mut Scene, moment: Moment, form: Form, hold: Hold) {
    let what = &format!("{form:?}, {hold:?}");
    let begun = Instant::now();
    let descriptors = runtime.handle.gauges().descriptors - scene.files.len() as u32;
    let cancelled = runtime.handle.metrics().cancelled;
    let in_flight = matches!(moment, Moment::InKernel | Moment::Forgotten | Moment::Panic);
    let mut future = match in_flight {
        true => bring(runtime, row, scene, form, hold),
        false => row.begin(form, &runtime.handle, scene),
    };
    let owned = scene.in_use();
    assert!(owned > 0 || form == Form::Call, "{what}: the witness");
    let timely = row.lasts.is_none_or(|lasts| begun.elapsed() < lasts / 2);
    if in_flight && timely && row.how != How::Engine {
        assert!(runtime.handle.gauges().packets > 1, "{what}: it is in flight");
    }
    match moment {
        Moment::Never => {
            assert!(runtime.poll_once(&mut future).is_pending());
            runtime.turns();
            (row.event)(runtime, scene, true);
            let ended = runtime.executor.block_on(&mut future).unwrap();
            assert!(ended.is_ok(), "{what}: {ended:?}");
            drop(future);
        }
        Moment::BeforePoll => drop(future),
        Moment::AfterFirstPoll => {
            assert!(runtime.poll_once(&mut future).is_pending());
            drop(future);
        }
        Moment::InKernel => drop(future),
        Moment::AfterCompletion => {
            assert!(runtime.poll_once(&mut future).is_pending());
            runtime.turns();
            (row.event)(runtime, scene, true);
            if row.goes_on(form) {
                runtime.turns();
            } else {
                runtime.settle("it is over, and nobody has asked");
            }
            assert_eq!(scene.in_use(), owned, "{what}: the result is kept for who may ask");
            drop(future);
        }
        Moment::Forgotten => std::mem::forget(future),
        Moment::Panic => unwind(runtime, future, form),
    }
    let given_up = match moment {
        Moment::AfterFirstPoll => true,
        Moment::InKernel | Moment::Panic => timely,
        _ => false,
    };
    if given_up {
        assert_eq!(runtime.handle.metrics().cancelled - cancelled, 1, "{what}: a real cancel is sent");
    }
    if hold == Hold::Kept {
        // The kernel has it still, so nobody else may get its memory, whatever was asked.
        runtime.turns();
        assert!(runtime.handle.gauges().packets > 1, "{what}: a cancel is not an end");
        assert_eq!(scene.in_use(), owned, "{what}: memory was given back before the kernel had let go of it");
        let others = Trap::fill(&scene.pool);
        runtime.watch.let_go(Gate::Open);
        settle(runtime, row, form, moment);
        others.check();
    }
    let trap = if moment == Moment::Forgotten {
        // Its memory is its own until it is over, and then its result's.
        let trap = Trap::fill(&scene.pool);
        assert_eq!(scene.in_use() - trap.len(), owned, "{what}");
        (row.event)(runtime, scene, hold == Hold::Real);
        settle(runtime, row, form, moment);
        trap
    } else {
        settle(runtime, row, form, moment);
        assert_eq!(scene.in_use(), 0, "{what}: memory of the pool leaks");
        let trap = Trap::fill(&scene.pool);
        if moment != Moment::Never {
            // What it waited for comes when it is gone.
            (row.event)(runtime, scene, false);
        }
        trap
    };
    runtime.turns();
    trap.check();
    assert_eq!(runtime.watch.faults(), 0, "{what}: the kernel met memory that had been given back");
    let left = runtime.handle.gauges().descriptors;
    // What a forgotten future or a result that was taken has opened is the user's to close.
    if !matches!(moment, Moment::Forgotten | Moment::Never) {
        let allowed = descriptors + scene.files.len() as u32;
        runtime.until("descriptors leak", |runtime| runtime.handle.gauges().descriptors <= allowed);
        assert!(left <= allowed + 1);
    }
}

/// Waits until what can end is over.
fn settle(runtime: &mut Runtime, row: &Row, form: Form, moment: Moment) {
    if moment == Moment::Forgotten && row.goes_on(form) {
        runtime.turns();
    } else {
        runtime.settle("it is given up");
    }
}

/// Has a panic unwind what holds the future: a task that was spawned, or the one that the thread waits for.
fn unwind(runtime: &mut Runtime, future: Ending, form: Form) {
    let panics = async move {
        let _future = future;
        yield_now().await;
        std::panic::panic_any(IN_BETWEEN);
    };
    if form == Form::Call {
        let task = runtime.handle.spawn(panics);
        let ended: Result<(), _> = runtime.executor.block_on(task).unwrap();
        assert!(ended.is_err());
    } else {
        let unwound = catch_unwind(AssertUnwindSafe(|| runtime.executor.block_on(panics)));
        assert!(unwound.is_err());
    }
}

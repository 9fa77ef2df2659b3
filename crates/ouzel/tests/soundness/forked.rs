//! Processes that fork with an operation in flight: whatever the child does, the operation is the parent's and ends right.

use std::time::Duration;

use ouzel::BackendKind;

use crate::fork_support::{exit_status, fork, wait_until_alone};
use crate::stage::{Runtime, Scene, Trap, check_files, open_files};
use crate::table::{Ending, Form, How, Row};
use crate::watch::Gate;

const PAUSE: Duration = Duration::from_micros(200);

pub fn fork_with(row: &Row, kind: BackendKind) {
    let files = open_files();
    let mut runtime = Runtime::new(kind);
    for form in row.forms() {
        // What can be in flight in both ways is so in one as a call, and in the other as a chain.
        let has_call = row.call.is_some();
        let keeps: &[bool] = match row.how {
            How::Ends => &[true],
            How::Waits if !has_call => &[false, true],
            How::Waits if form == Form::Chain => &[true],
            _ => &[false],
        };
        for kept in keeps.iter().copied() {
            let mut scene = Scene::new(&mut runtime);
            (row.set_up)(&mut runtime, &mut scene);
            runtime = with(runtime, row, &mut scene, form, kept);
            scene.strike(&mut runtime);
        }
    }
    runtime.end();
    assert_eq!(ouzel::leaked_operations(), 0);
    check_files(files);
}

/// What a child does with what it has inherited.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Child {
    /// It ends.
    Exits,
    /// It drops the future, the executor and the pool, and ends.
    Drops,
}

fn with(mut runtime: Runtime, row: &Row, scene: &mut Scene, form: Form, kept: bool) -> Runtime {
    let what = format!("{form:?}, kept: {kept}");
    let mut future = row.begin(form, &runtime.handle, scene);
    if kept {
        runtime.watch.catch();
    }
    assert!(runtime.poll_once(&mut future).is_pending());
    runtime.turns();
    runtime.watch.catch_no_more();
    let started = runtime.handle.gauges();
    let mut children = Vec::new();
    for child in [Child::Exits, Child::Drops] {
        wait_until_alone(PAUSE);
        // SAFETY: every other thread of this process sleeps, so the child finds no lock taken for ever.
        let Some(number) = (unsafe { fork() }) else { in_child(child, runtime, scene, future) };
        children.push((child, number));
    }
    for (child, number) in children {
        assert_eq!(exit_status(number, PAUSE), Some(0), "{what}: a child that {child:?}");
    }
    if row.lasts.is_none() {
        assert_eq!(
            runtime.handle.gauges().packets,
            started.packets,
            "{what}: a child has ended what is not its own"
        );
    }
    (row.event)(&mut runtime, scene, true);
    runtime.watch.let_go(Gate::Open);
    let ended = runtime.executor.block_on(&mut future).unwrap();
    assert!(ended.is_ok(), "{what}: {ended:?}");
    drop(future);
    runtime.settle("it is over");
    assert_eq!(scene.in_use(), 0, "{what}: memory of the pool leaks");
    assert_eq!(runtime.watch.faults(), 0, "{what}");
    Trap::fill(&scene.pool).check();
    runtime
}

/// Does what this child does, and ends the process. What is the parent's outside of it, files and children, is left alone.
fn in_child(child: Child, runtime: Runtime, scene: &Scene, future: Ending) -> ! {
    if child == Child::Drops {
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let Runtime { executor, handle, watch, .. } = runtime;
            drop(future);
            drop(executor);
            drop((handle, watch));
            drop(scene.pool.clone());
        }));
        std::process::exit(i32::from(dropped.is_err()));
    }
    std::mem::forget((runtime, future));
    std::process::exit(0);
}

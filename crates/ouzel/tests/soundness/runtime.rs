//! Executors that are dropped with an operation in flight, whose future goes with them or is left over.

use std::task::{Context, Poll, Waker};

use ouzel::BackendKind;

use crate::stage::{Runtime, Scene, Trap, check_files, open_files};
use crate::table::{Form, How, Row};
use crate::watch::Gate;

/// Who has the future.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Holder {
    /// A task of the executor.
    Task,
    /// Somebody outside, who outlives it.
    Outside,
}

/// When the executor is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// The operation waits in the queue: the ring was not entered.
    Queued,
    /// The kernel has it.
    Real,
    /// The kernel has it, and lets go late.
    Kept,
}

pub fn drop_all(row: &Row, kind: BackendKind) {
    for form in row.forms() {
        // Who holds it makes no difference to what is held: a call is a task's, a chain somebody else's.
        let holders: &[Holder] = match form {
            Form::Call => &[Holder::Task],
            Form::Chain if row.call.is_some() => &[Holder::Outside],
            Form::Chain => &[Holder::Task, Holder::Outside],
        };
        for holder in holders.iter().copied() {
            for when in [When::Queued, When::Real, When::Kept] {
                if when == When::Kept && matches!(row.how, How::Engine | How::Timer) {
                    continue;
                }
                let files = open_files();
                drop_one(row, kind, form, holder, when);
                assert_eq!(ouzel::leaked_operations(), 0);
                check_files(files);
            }
        }
    }
}

fn drop_one(row: &Row, kind: BackendKind, form: Form, holder: Holder, when: When) {
    let what = format!("{form:?}, {holder:?}, {when:?}");
    let mut runtime = Runtime::new(kind);
    let mut scene = Scene::new(&mut runtime);
    (row.set_up)(&mut runtime, &mut scene);
    let mut future = row.begin(form, &runtime.handle, &scene);
    if when == When::Kept {
        runtime.watch.catch();
    }
    assert!(runtime.poll_once(&mut future).is_pending());
    let mut left = None;
    match holder {
        Holder::Task => drop(runtime.executor.spawn(async move {
            future.await.ok();
            // Nobody gets here before the end.
            std::future::pending::<()>().await;
        })),
        Holder::Outside => left = Some(future),
    }
    if when != When::Queued {
        runtime.turns();
    }
    let owned = scene.in_use();
    if when == When::Kept {
        assert!(runtime.watch.has_caught(), "{what}");
        runtime.watch.let_go(Gate::Waits(3));
    }
    runtime.end();
    if let Some(mut future) = left {
        assert!(scene.in_use() <= owned);
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(_)), "{what}: it waits for an executor that is gone");
    }
    assert_eq!(scene.in_use(), 0, "{what}: memory of the pool leaks");
    let trap = Trap::fill(&scene.pool);
    std::thread::yield_now();
    trap.check();
}

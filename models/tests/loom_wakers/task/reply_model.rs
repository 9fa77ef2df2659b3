//! Replies: whatever either end does, and whenever it goes, the other learns of it, and a result has one owner.

use std::future::{pending, ready};

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;

use super::join::JoinError;
use super::reply::reply;
use crate::model;

/// A result that is given while it is awaited arrives; loom tells if it is lost or kept.
#[test]
fn a_result_arrives() {
    model(3, || {
        let (mut answer, handle) = reply();
        let thread = thread::spawn(move || answer.give(Ok(Arc::new(7))));
        assert_eq!(*block_on(handle).unwrap(), 7);
        thread.join().unwrap();
    });
}

/// The same for one who waits on a thread.
#[test]
fn a_result_wakes_a_thread() {
    model(3, || {
        let (mut answer, handle) = reply();
        let thread = thread::spawn(move || answer.give(Ok(7)));
        assert_eq!(handle.wait().unwrap(), 7);
        thread.join().unwrap();
    });
}

/// A task that goes without an answer has given one.
#[test]
fn a_dropped_answer_is_one() {
    model(3, || {
        let (answer, handle) = reply::<()>();
        let thread = thread::spawn(move || drop(answer));
        assert!(matches!(block_on(handle), Err(JoinError::Closed)));
        thread.join().unwrap();
    });
}

/// Nobody waits any more while the result is given: it is dropped, once.
#[test]
fn a_result_for_nobody_is_dropped() {
    model(3, || {
        let (mut answer, handle) = reply();
        let token = Arc::new(());
        let result = Arc::clone(&token);
        let thread = thread::spawn(move || answer.give(Ok(result)));
        let finished = handle.is_finished();
        drop(handle);
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&token), 1, "finished: {finished}");
    });
}

/// A task that waits for ever ends when it is aborted, whenever that is, and its end is told.
#[test]
fn an_abort_ends_a_task_that_waits() {
    model(3, || {
        let (mut answer, handle) = reply::<()>();
        let thread = thread::spawn(move || {
            let reply = answer.reply().unwrap();
            let ended = block_on(reply.until_aborted(pending()));
            answer.give(ended);
        });
        handle.abort();
        assert!(matches!(block_on(handle), Err(JoinError::Aborted)));
        thread.join().unwrap();
    });
}

/// An abort that races with the end of a task: it ends in one of the two ways, and is told of it once.
#[test]
fn an_abort_races_with_the_end() {
    model(3, || {
        let (mut answer, handle) = reply();
        let thread = thread::spawn(move || {
            let reply = answer.reply().unwrap();
            let ended = block_on(reply.until_aborted(ready(Arc::new(7))));
            answer.give(ended);
        });
        handle.abort();
        match block_on(handle) {
            Ok(result) => assert_eq!(*result, 7),
            Err(error) => assert!(matches!(error, JoinError::Aborted)),
        }
        thread.join().unwrap();
    });
}

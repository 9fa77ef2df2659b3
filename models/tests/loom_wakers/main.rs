//! Loom models of what an executor shares with other threads: its inbox with the wakes in it, the
//! count of who holds a task, and the replies of its tasks.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release --target-dir target/loom -p ouzel-models --test loom_wakers`; without
//! `--cfg loom` this file is empty. What is modelled are the files of `crates/ouzel` themselves, included here, over loom's
//! locks and atomics. `ci/weaken-orders` proves that each order of `inbox.rs` and `count.rs` is needed: what is lost shows as a deadlock,
//! since whoever sleeps here is only woken by what the modelled code does.

#![cfg(loom)]
#![allow(clippy::unwrap_used)]

#[path = "../../../crates/ouzel/src/sync.rs"]
#[allow(unused_imports)]
mod sync;
mod task;

/// Tries every order with at most so many preemptions.
fn model(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

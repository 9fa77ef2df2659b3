//! Every memory order of the queues, by name.
//!
//! Each publishing store pairs with one observing load of the same word, and each fence of a side that falls asleep with one
//! of the other side, which looks whether it sleeps. `ci/weaken-orders` rebuilds the loom tests with each of them relaxed in
//! turn (`--cfg weaken="NAME"`) and requires that loom finds the race, or the sleeper that nobody wakes.

use crate::sync::{self, Ordering};

macro_rules! orders {
    ($($(#[doc = $doc:literal])* $name:ident = $order:ident, $cfg:literal;)*) => {
        $($(#[doc = $doc])*
        pub(crate) const $name: Ordering =
            if cfg!(weaken = $cfg) { Ordering::Relaxed } else { Ordering::$order };)*
    };
}

orders! {
    /// Submitter stores `stail`: the entries below it are written. Pairs with [`OBSERVE_ENTRIES`].
    PUBLISH_ENTRIES = Release, "publish_entries";
    /// Engine loads `stail` before it copies entries. Pairs with [`PUBLISH_ENTRIES`].
    OBSERVE_ENTRIES = Acquire, "observe_entries";
    /// Engine stores `shead`: it will not read the slots below it again. Pairs with [`OBSERVE_FREE_ENTRIES`].
    RETURN_ENTRIES = Release, "return_entries";
    /// Submitter loads `shead` before it overwrites a slot. Pairs with [`RETURN_ENTRIES`].
    OBSERVE_FREE_ENTRIES = Acquire, "observe_free_entries";
    /// Engine stores `ctail`: the completions below it, and the registers saved before them, are written. Pairs with
    /// [`OBSERVE_COMPLETIONS`].
    PUBLISH_COMPLETIONS = Release, "publish_completions";
    /// Submitter loads `ctail` before it copies completions. Pairs with [`PUBLISH_COMPLETIONS`].
    OBSERVE_COMPLETIONS = Acquire, "observe_completions";
    /// Submitter stores `chead`: it will not read the slots below it again. Pairs with
    /// [`OBSERVE_FREE_COMPLETIONS`].
    RETURN_COMPLETIONS = Release, "return_completions";
    /// Engine loads `chead` before it overwrites a slot. Pairs with [`RETURN_COMPLETIONS`].
    OBSERVE_FREE_COMPLETIONS = Acquire, "observe_free_completions";
    /// Fence of the engine between the store that says it sleeps and its last look at `stail` and `chead`. Pairs with
    /// [`LOOK_FOR_ENGINE`]: of two sides that each store one word and then load the other's, one at least sees the store.
    ENGINE_FALLS_ASLEEP = SeqCst, "engine_falls_asleep";
    /// Fence of the submitter between its store of `stail` or `chead` and its look whether the engine sleeps. Pairs with
    /// [`ENGINE_FALLS_ASLEEP`].
    LOOK_FOR_ENGINE = SeqCst, "look_for_engine";
    /// Fence of the submitter between the store that says it sleeps and its last look at `ctail`. Pairs with
    /// [`LOOK_FOR_SUBMITTER`].
    SUBMITTER_FALLS_ASLEEP = SeqCst, "submitter_falls_asleep";
    /// Fence of the engine between its store of `ctail` and its look whether the submitter sleeps. Pairs with
    /// [`SUBMITTER_FALLS_ASLEEP`].
    LOOK_FOR_SUBMITTER = SeqCst, "look_for_submitter";
}

/// A fence of one of the orders above. One that is relaxed is none.
#[inline(always)]
pub(crate) fn fence(order: Ordering) {
    if !matches!(order, Ordering::Relaxed) {
        sync::fence(order);
    }
}

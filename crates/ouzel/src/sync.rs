//! What threads share: the real things, or those of a model.
//!
//! Whatever of the futures other threads touch is built on these. With `--cfg loom` or `--cfg shuttle` theirs are in their place;
//! see `docs/models.md`. There must be nothing else here.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Mutex, MutexGuard, mpsc},
    thread::{self, Thread},
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, Thread},
    thread_local,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard, mpsc},
    thread::{self, Thread},
    thread_local,
};

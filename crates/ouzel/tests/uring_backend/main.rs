//! The uring backend, driven through the trait `Backend` alone: no engine, no rings of entries.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod chains;
mod driver;
mod refusals;
mod verbs;
mod waiting;

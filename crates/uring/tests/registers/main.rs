//! Every operation of `io_uring_register(2)` at work: each test looks at what it changed, not only at what it said.
//!
//! The comments `covers:` and `cannot:` are read by `tests/coverage.rs`, see there.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod buffers;
mod files;
mod queries;
mod rings;
mod workers;

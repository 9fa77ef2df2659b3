//! Every opcode at work: each test looks at what the entry did, not only at what it said.
//!
//! A comment `covers:` above a test names the opcode and the effect that is looked at; `cannot:` says why there is
//! none to look at on the kernels this is tested on. `tests/coverage.rs` makes docs/coverage.md of them.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

mod buffers;
mod events;
mod files;
mod names;
mod sockets;
mod waiting;

//! What `reply` needs of `join`.

use std::any::Any;

/// As in `crates/ouzel/src/task/join.rs`.
#[derive(Debug)]
#[allow(dead_code)]
pub enum JoinError {
    Panicked(Box<dyn Any + Send>),
    Aborted,
    Closed,
}

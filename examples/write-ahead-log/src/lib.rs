//! Keys and values that survive a kill and a loss of power: a checkpoint, and a log of what came after it.
//!
//! [`Store`] is the whole of it; [`frame`] says what the bytes of the log are, and [`checkpoint`] those of the checkpoint.
//! It touches one directory, and that only while it holds the lock in it.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod checksum;
pub mod frame;
mod store;

pub use store::{Change, Store, StoreError};

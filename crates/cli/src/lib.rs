//! The parts of the `ouzel` command that can be used and tested without a terminal.

#![forbid(unsafe_code)]

pub mod program;

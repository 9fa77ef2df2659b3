//! What programs of the demonstration kernel are written with: the three system calls, a ring over them, the start of a program.
#![no_std]

pub mod calls;
#[path = "../../kernel/src/memory_functions.rs"]
mod memory_functions;
mod ring;
mod start;

pub use ring::{Ring, print};
pub use start::{Arguments, begin};

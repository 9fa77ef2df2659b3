//! A programmable I/O ring.
pub mod backend;

//! The conformance suite: one set of programs over raw entries, run on every backend.
//!
//! A program is a function over a [`World`]: a fresh ring and a fresh directory. What it asserts is what `docs/abi.md`
//! says, and nothing else. The targets in `tests/` give each program a name per backend and file system, and compare
//! random programs with the simulator's answers. It is test code: it panics when a promise is broken.
#![allow(clippy::unwrap_used)]

pub mod cases;
pub mod entry;
pub mod memory;
pub mod random;
pub mod service;
pub mod stage;
pub mod table;
pub mod world;

pub use stage::Stage;
pub use world::World;

/// A program of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// The program. It panics when a promise is broken.
    pub run: fn(&mut World),
}

/// The programs of one topic, named as their functions are.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// The programs of this topic.
        pub const CASES: &[$crate::Case] = &[$($crate::Case { name: stringify!($name), run: $name },)*];
    };
}

/// What the repository's pages show is compiled, and run where it may be: the pages of the packages see to their own.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/observability.md")]
    struct Observability;

    #[doc = include_str!("../../docs/planner.md")]
    struct Planner;
}

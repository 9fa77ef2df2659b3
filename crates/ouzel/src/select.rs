//! Selection: which backend a ring runs on, and why.

use std::fmt;

use crate::backend::HostBackend;
use crate::backend::sim::{Sim, SimOptions};
use crate::builder::RingBuilder;
use crate::error::Error;

/// A backend that Ouzel brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// Linux io_uring.
    Uring,
    /// Plain system calls on a pool of threads.
    Threads,
    /// The simulator: in memory, deterministic, with virtual time.
    Sim,
    /// One that the caller brought.
    Custom,
}

impl BackendKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Uring => "uring",
            BackendKind::Threads => "threads",
            BackendKind::Sim => "sim",
            BackendKind::Custom => "custom",
        }
    }
}

/// Which backend a ring runs on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// Which.
    pub backend: BackendKind,
    /// Why, as half a sentence.
    pub reason: String,
}

impl Choice {
    pub(crate) fn new(backend: BackendKind, reason: impl Into<String>) -> Choice {
        Choice { backend, reason: reason.into() }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.backend.name(), self.reason)
    }
}

/// The backend that `builder` asks for, or the best one there is.
pub(crate) fn open(builder: &RingBuilder, movable: bool) -> Result<(Box<dyn HostBackend>, Choice), Error> {
    let _ = movable;
    Ok(sim(builder))
}

fn sim(builder: &RingBuilder) -> (Box<dyn HostBackend>, Choice) {
    let options = SimOptions { descriptors: builder.descriptors, ..SimOptions::new(builder.seed) };
    let reason = format!("asked for; seed {}", builder.seed);
    (Box::new(Sim::new(options)), Choice::new(BackendKind::Sim, reason))
}

//! Selection: which backend a ring runs on, and why.

use std::fmt;

use crate::backend::HostBackend;
use crate::backend::sim::{Sim, SimOptions};
use crate::backend::threads::{Threads, ThreadsOptions};
use crate::backend::uring::{Uring, UringOptions};
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
    /// A service in another process, whatever it runs on.
    Scheme,
}

impl BackendKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            BackendKind::Uring => "uring",
            BackendKind::Threads => "threads",
            BackendKind::Sim => "sim",
            BackendKind::Custom => "custom",
            BackendKind::Scheme => "scheme",
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
    match builder.backend {
        Some(BackendKind::Uring) => match uring(builder, movable) {
            Ok(backend) => Ok((backend, Choice::new(BackendKind::Uring, "asked for"))),
            Err(reason) => Err(Error::Backend { backend: "uring", reason }),
        },
        Some(BackendKind::Threads) => threads(builder, "asked for".to_owned()),
        Some(BackendKind::Sim) => Ok(sim(builder)),
        Some(BackendKind::Custom) => Err(Error::Backend {
            backend: "custom",
            reason: "a backend of your own is given to build_on or build_raw_on".to_owned(),
        }),
        Some(BackendKind::Scheme) => Err(Error::Backend {
            backend: "scheme",
            reason: "a service is reached by its name: call connect or connect_raw".to_owned(),
        }),
        None => match uring(builder, movable) {
            Ok(backend) => Ok((backend, Choice::new(BackendKind::Uring, "io_uring is there"))),
            Err(reason) => threads(builder, format!("no io_uring here: {reason}")),
        },
    }
}

fn uring(builder: &RingBuilder, movable: bool) -> Result<Box<dyn HostBackend>, String> {
    let usual = UringOptions::default();
    // What one enter takes in goes to the kernel in one crossing.
    let entries = usual.entries.max(u32::try_from(builder.entries).unwrap_or(u32::MAX));
    let (policy, costs) = (builder.policy, builder.costs);
    let options = UringOptions { descriptors: builder.descriptors, entries, movable, policy, costs, ..usual };
    match Uring::new(options) {
        Ok(backend) => Ok(Box::new(backend)),
        Err(error) => Err(error.to_string()),
    }
}

fn threads(builder: &RingBuilder, reason: String) -> Result<(Box<dyn HostBackend>, Choice), Error> {
    let options = ThreadsOptions { descriptors: builder.descriptors, ..ThreadsOptions::default() };
    match Threads::new(options) {
        Ok(backend) => Ok((Box::new(backend), Choice::new(BackendKind::Threads, reason))),
        Err(error) => Err(Error::Backend { backend: "threads", reason: error.to_string() }),
    }
}

fn sim(builder: &RingBuilder) -> (Box<dyn HostBackend>, Choice) {
    let options = SimOptions { descriptors: builder.descriptors, ..SimOptions::new(builder.seed) };
    let reason = format!("asked for; seed {}", builder.seed);
    (Box::new(Sim::new(options)), Choice::new(BackendKind::Sim, reason))
}

//! Observing a ring: what it does, how long that takes, and what is alive in it, while it runs.
//!
//! A ring counts nothing of this unless it was [asked to](crate::RingBuilder::observe) when it was made; then it keeps
//! counters, gauges, peaks and histograms in fixed memory, and reads its clock up to four times for each operation. Nothing is
//! allocated for an operation. [`docs/observability.md`] says what each number means and costs.
//!
//! ```
//! use ouzel::observe::Observe;
//! use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
//!
//! let mut ring = Ring::builder().observe(Observe::new()).build()?;
//! let mut chain = Chain::new();
//! let file = chain.open("Cargo.toml", OpenOptions::read());
//! chain.read(file, Buffer::with_capacity(65536), Offset::START);
//! chain.finally().close(file);
//! ring.run(chain)?.check()?;
//!
//! let observed = ring.observed().expect("it was asked to");
//! let statistics = observed.statistics();
//! assert_eq!(statistics.completed(), 3);
//! for verb in &statistics.verbs {
//!     println!("{}: {} done, half of them within {} ns", verb.verb.name(), verb.completed, verb.ran().quantile(0.5));
//! }
//! # Ok::<(), ouzel::Error>(())
//! ```
//!
//! [`docs/observability.md`]: https://github.com/ouzel-rs/ouzel/blob/main/docs/observability.md

mod directory;
#[cfg(feature = "metrics")]
mod exporter;
mod histogram;
mod layout;
mod page;
mod service;
mod spans;
mod statistics;
mod watch;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ouzel_engine::{Engine, Limits};
use ouzel_ring::Geometry;

pub use directory::{Found, Liveness, directory, read_page, rings_in};
#[cfg(feature = "metrics")]
pub use exporter::Exporter;
pub use histogram::Histogram;
pub use ouzel_chain::timeline::{Slice, SliceKind, Timeline, TimelineWriter};
pub use service::{ConnectionStatistics, FoundService, PublishedService, ServiceStatistics, services_in};
pub use statistics::{PageError, Process, Statistics, VerbStatistics};

use directory::Published;
use layout::word;
use page::Page;
use statistics::{BACKENDS, executor_words};
pub(crate) use watch::Watch;

use crate::backend::HostBackend;
use crate::error::Error;
use crate::select::Choice;
use crate::task::Metrics;

/// What a ring is to tell about itself.
#[derive(Clone, Debug, Default)]
pub struct Observe {
    spans: bool,
    published: Option<PathBuf>,
}

impl Observe {
    /// Counters, gauges, peaks and histograms, for this process: [`Ring::observed`](crate::Ring::observed).
    pub fn new() -> Observe {
        Observe::default()
    }

    /// And `tracing` spans at the level DEBUG: `chain` (target `ouzel::chain`), within it `operation` (target
    /// `ouzel::operation`) with the fields `verb`, `data`, `place`, `result`, `error` and `skipped`, and within a CALL's a
    /// `program`. A chain's span is a child of the one in which the chain was submitted.
    pub fn spans(mut self) -> Observe {
        self.spans = true;
        self
    }

    /// And the numbers where this user's other processes can read them, such as `ouzel top`: in a file in
    /// [`directory`] that is removed with the ring.
    pub fn publish(self) -> Observe {
        self.publish_in(directory())
    }

    /// As [`publish`](Observe::publish), in another folder, which is made if need be. It has to be the user's, and writable for
    /// nobody else.
    pub fn publish_in(mut self, directory: impl Into<PathBuf>) -> Observe {
        self.published = Some(directory.into());
        self
    }

    /// Has `engine` watched.
    pub(crate) fn attach(
        &self,
        engine: &mut Engine<Box<dyn HostBackend>>,
        choice: &Choice,
        geometry: Geometry,
        limits: Limits,
    ) -> Result<(), Error> {
        let ring = next_number();
        let process = Process::this();
        let (page, file) = match &self.published {
            None => (Page::anonymous().map_err(|error| refused(None, error.into()))?, None),
            Some(directory) => {
                let failed = |error| refused(Some(directory), error);
                let process = process.as_ref().map_err(|error| failed(io::Error::from(error.kind())))?;
                let (file, page) =
                    Published::make(directory, *process, ring, directory::RING).map_err(failed)?;
                (page, Some(file))
            }
        };
        // Who cannot read /proc has no other processes that could read the page, either.
        let process = process.unwrap_or_default();
        let backend = BACKENDS.iter().find(|(_, kind)| *kind == choice.backend);
        let now = engine.now();
        for (word, value) in [
            (word::PROCESS, process.number),
            (word::PROCESS_START, process.start),
            (word::NAMESPACE, process.namespace),
            (word::RING, ring),
            (word::BACKEND, backend.map_or(0, |(number, _)| *number)),
            (word::ENTRIES, u64::from(geometry.entries())),
            (word::COMPLETIONS, u64::from(geometry.completions())),
            (word::DESCRIPTORS, u64::from(limits.descriptors)),
            (word::MADE, now),
            (word::UPDATED, now),
        ] {
            page.set(word, value);
        }
        page.open();
        if let (Some(file), Some(directory)) = (&file, &self.published) {
            file.show().map_err(|error| refused(Some(directory), error))?;
        }
        let (packets, chains) = (engine.packet_slots(), engine.chain_slots());
        engine.observe(Box::new(Watch::new(Arc::new(page), file, self.spans, packets, chains)));
        Ok(())
    }
}

/// What no other page of this process has.
fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Only uniqueness matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn refused(directory: Option<&Path>, cause: io::Error) -> Error {
    Error::Observe { directory: directory.map(Path::to_owned), cause }
}

/// The watch of an engine, if it has one.
pub(crate) fn watch_of(engine: &Engine<Box<dyn HostBackend>>) -> Option<&Watch> {
    let observer: &dyn Any = engine.observer()?;
    observer.downcast_ref()
}

/// The watch of an engine, if it has one.
pub(crate) fn watch_of_mut(engine: &mut Engine<Box<dyn HostBackend>>) -> Option<&mut Watch> {
    let observer: &mut dyn Any = engine.observer_mut()?;
    observer.downcast_mut()
}

impl Watch {
    /// What the ring is observed by, for any thread.
    pub(crate) fn observed(&self) -> Observed {
        Observed { page: Arc::clone(self.page()), published: self.is_published() }
    }

    /// The user data of entries name chains from now on; returns whether anybody wants to know where they were submitted.
    pub(crate) fn know_submitters(&mut self) -> bool {
        self.spans.as_mut().map(spans::Spans::know_submitters).is_some()
    }

    /// A chain was submitted, here.
    pub(crate) fn submitted(&mut self, place: u32) {
        if let Some(spans) = &mut self.spans {
            spans.submitted(place as usize);
        }
    }

    /// What the executor counts that drives the ring.
    pub(crate) fn note_executor(&mut self, metrics: Metrics) {
        for (number, value) in executor_words(metrics).into_iter().enumerate() {
            self.page().set(word::EXECUTOR + number, value);
        }
    }
}

/// The numbers of a ring that is observed. It may be read on any thread, and when the ring is gone.
#[derive(Clone)]
pub struct Observed {
    page: Arc<Page>,
    published: bool,
}

impl Observed {
    /// What they are now. Read while the ring runs on another thread, they may be off by the few operations that end meanwhile.
    pub fn statistics(&self) -> Statistics {
        // Made by this version of itself, so it can be read.
        Statistics::from_words(&self.page.copy()).unwrap_or_default()
    }

    /// Whether other processes can read them.
    pub fn is_published(&self) -> bool {
        self.published
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Observed").field("published", &self.published).finish_non_exhaustive()
    }
}

//! What the tests of observed rings have in common: rings on every backend, folders, and a subscriber that remembers.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)] // Each test file uses its part.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::engine::{Backend, Counters, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel::observe::Observe;
use ouzel::{BackendKind, Ring};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

pub const BACKENDS: [BackendKind; 3] = [BackendKind::Uring, BackendKind::Threads, BackendKind::Sim];

/// A ring on this backend, or `None` if it is not to be had here.
pub fn observed(backend: BackendKind, observe: Observe) -> Option<Ring> {
    match Ring::builder().backend(backend).observe(observe).build() {
        Ok(ring) => Some(ring),
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let places = std::env::var("OUZEL_TEST_DIRS").unwrap_or_default();
        let place = places.split(':').find(|place| !place.is_empty()).unwrap_or(env!("CARGO_TARGET_TMPDIR"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(place).join(format!("observe-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&folder, private).unwrap();
        Folder(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A backend that opens at once and never reports anything else.
pub struct Silent;

impl Backend for Silent {
    fn now(&self) -> u64 {
        static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGUN.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
    }

    fn start(&mut self, steps: &[Step]) -> Started {
        let way = Way { place: Place::Simulated, reason: "" };
        match steps[0].operation {
            Operation::Open { .. } => Started::Finished { outcome: Outcome::success(0), way },
            _ => Started::Taken { count: 1, way },
        }
    }

    fn cancel(&mut self, _: Token) {}

    fn wait(&mut self, _: u32, until: Option<u64>) -> Result<(), Errno> {
        let left = until.map_or(1_000_000, |until| until.saturating_sub(self.now()));
        std::thread::sleep(Duration::from_nanos(left.min(1_000_000)));
        Ok(())
    }

    fn next(&mut self) -> Option<Report> {
        None
    }

    fn attach(&mut self, _: u64, _: u32) {}

    fn discard(&mut self, _: u64) {}

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

// SAFETY: it reports nothing that fills memory.
unsafe impl HostBackend for Silent {
    fn adopt(&mut self, _: u32, _: std::os::fd::OwnedFd) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn release(&mut self, _: u32) -> Result<std::os::fd::OwnedFd, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}

/// A span as it was recorded.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    pub id: u64,
    pub name: &'static str,
    pub parent: Option<u64>,
    pub fields: HashMap<&'static str, String>,
    pub closed: bool,
}

impl Noted {
    /// What a field says; empty if it was never recorded.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Noted {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[derive(Default)]
struct Notes {
    spans: Vec<Noted>,
    references: HashMap<u64, u64>,
    entered: Vec<u64>,
    warnings: Vec<String>,
    metadata: HashMap<u64, &'static Metadata<'static>>,
}

/// A subscriber that remembers all spans and warnings.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Notes>>);

impl Log {
    pub fn spans(&self) -> Vec<Noted> {
        self.0.lock().unwrap().spans.clone()
    }

    pub fn warnings(&self) -> Vec<String> {
        self.0.lock().unwrap().warnings.clone()
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut notes = self.0.lock().unwrap();
        let id = notes.spans.len() as u64 + 1;
        let contextual = if attributes.is_contextual() { notes.entered.last().copied() } else { None };
        let parent = attributes.parent().map(Id::into_u64).or(contextual);
        let mut span = Noted { id, name: attributes.metadata().name(), parent, ..Noted::default() };
        attributes.record(&mut span);
        notes.spans.push(span);
        notes.references.insert(id, 1);
        notes.metadata.insert(id, attributes.metadata());
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut notes = self.0.lock().unwrap();
        values.record(&mut notes.spans[span.into_u64() as usize - 1]);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if *event.metadata().level() == Level::WARN {
            let mut noted = Noted::default();
            event.record(&mut noted);
            self.0.lock().unwrap().warnings.push(noted.field("message").to_owned());
        }
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, _: &Id) {
        self.0.lock().unwrap().entered.pop();
    }

    fn clone_span(&self, id: &Id) -> Id {
        *self.0.lock().unwrap().references.get_mut(&id.into_u64()).unwrap() += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut notes = self.0.lock().unwrap();
        let id = id.into_u64();
        let left = notes.references.get_mut(&id).unwrap();
        *left -= 1;
        let closed = *left == 0;
        notes.spans[id as usize - 1].closed = closed;
        closed
    }

    fn current_span(&self) -> Current {
        let notes = self.0.lock().unwrap();
        let Some(id) = notes.entered.last() else { return Current::none() };
        Current::new(Id::from_u64(*id), notes.metadata[id])
    }
}

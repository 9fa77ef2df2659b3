//! Shared memory as loom sees it: the face of `memory.rs` over loom's atomics and cells.
//!
//! Entries and completions are plain cells here, not atomics, so that an index word whose order is too weak shows
//! as two unordered accesses to one cell.

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use crate::sync::{AtomicU32, AtomicU64};
use crate::{Completion, Entry, Geometry, REGISTERS};

pub(crate) struct Line {
    pub(crate) entries: AtomicU32,
    pub(crate) completions: AtomicU32,
    pub(crate) state: AtomicU32,
    pub(crate) asleep: AtomicU32,
    pub(crate) processor: AtomicU32,
}

impl Line {
    fn new(origin: u32) -> Line {
        Line {
            entries: AtomicU32::new(origin),
            completions: AtomicU32::new(origin),
            state: AtomicU32::new(0),
            asleep: AtomicU32::new(0),
            processor: AtomicU32::new(0),
        }
    }
}

/// A handle to one ring's modelled memory.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    geometry: Geometry,
    engine: Line,
    submitter: Line,
    registers: [AtomicU64; REGISTERS],
    entries: Vec<UnsafeCell<Entry>>,
    completions: Vec<UnsafeCell<Completion>>,
}

// SAFETY: loom checks every access to the cells and fails the model when two are not ordered.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Memory {
    /// Modelled memory whose indices start at `origin`.
    pub fn model(geometry: Geometry, origin: u32) -> Memory {
        let entry = Entry::from_words([0; 8]);
        let completion = Completion::from_words([0; 4]);
        Memory(Arc::new(Shared {
            geometry,
            engine: Line::new(origin),
            submitter: Line::new(origin),
            registers: core::array::from_fn(|_| AtomicU64::new(0)),
            entries: (0..geometry.entries()).map(|_| UnsafeCell::new(entry)).collect(),
            completions: (0..geometry.completions()).map(|_| UnsafeCell::new(completion)).collect(),
        }))
    }

    /// The geometry this memory was laid out for.
    pub fn geometry(&self) -> Geometry {
        self.0.geometry
    }

    /// Modelled memory is contiguous.
    pub fn is_split(&self) -> bool {
        false
    }

    pub(crate) fn engine(&self) -> &Line {
        &self.0.engine
    }

    pub(crate) fn submitter(&self) -> &Line {
        &self.0.submitter
    }

    pub(crate) fn register(&self, register: usize) -> Option<&AtomicU64> {
        self.0.registers.get(register)
    }

    pub(crate) fn load_entry(&self, index: u32) -> Entry {
        let slot = (index & (self.0.geometry.entries() - 1)) as usize;
        // SAFETY: loom fails the model if the access races.
        self.0.entries[slot].with(|entry| unsafe { *entry })
    }

    pub(crate) fn store_entry(&self, index: u32, entry: &Entry) {
        let slot = (index & (self.0.geometry.entries() - 1)) as usize;
        // SAFETY: loom fails the model if the access races.
        self.0.entries[slot].with_mut(|place| unsafe { *place = *entry });
    }

    pub(crate) fn load_completion(&self, index: u32) -> Completion {
        let slot = (index & (self.0.geometry.completions() - 1)) as usize;
        // SAFETY: loom fails the model if the access races.
        self.0.completions[slot].with(|completion| unsafe { *completion })
    }

    pub(crate) fn store_completion(&self, index: u32, completion: &Completion) {
        let slot = (index & (self.0.geometry.completions() - 1)) as usize;
        // SAFETY: loom fails the model if the access races.
        self.0.completions[slot].with_mut(|place| unsafe { *place = *completion });
    }
}

//! Chains: operations that pass results to each other, built before they run.
//!
//! A chain is a value: building one does no I/O and cannot fail halfway. What it will do wrong (a result of another
//! chain, one not yet there, too many at once) is found when it is handed to a ring, and named. Each step that makes
//! something returns a [`Reg`], which later steps take in place of the value. Buffers move into the chain and come
//! back with its [`Done`](crate::Done).

mod arguments;
mod layout;
mod operations;

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ouzel_engine::Event;
use ouzel_ring::{Completion, Entry, Verb};

pub use arguments::{Count, Data, Directory, Distance, File, Offset, OpenOptions, Target};
pub(crate) use layout::Layout;

use crate::{Buffer, BuildError};

/// What a register holds, at compile time: a descriptor.
#[derive(Clone, Copy, Debug)]
pub enum Fd {}

/// What a register holds, at compile time: nothing that can be used.
#[derive(Clone, Copy, Debug)]
pub enum Unit {}

/// What a step returns, at compile time: a description of a file.
#[derive(Clone, Copy, Debug)]
pub enum Stat {}

/// The result of a step: known to the chain now, to us when the chain is done.
///
/// `T` says what it is: [`Fd`], `usize` (a count of bytes), `u64` (a position or events), [`Unit`] or [`Stat`].
pub struct Reg<T> {
    pub(crate) chain: u64,
    pub(crate) step: u16,
    /// The second of a pipe's two ends.
    pub(crate) second: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Reg<T> {
    fn clone(&self) -> Reg<T> {
        *self
    }
}

impl<T> Copy for Reg<T> {}

impl<T> Reg<T> {
    /// The step that makes it, counted from 0 in the order steps were added.
    pub fn step(&self) -> usize {
        self.step as usize
    }
}

impl<T> fmt::Debug for Reg<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Reg(step {} of chain {})", self.step, self.chain)
    }
}

/// The most steps a chain can be built with.
pub const MAX_STEPS: usize = 1 << 14;

/// A result that an argument is loaded from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) step: u16,
    pub(crate) second: bool,
}

/// The memory that one of a step's arguments points to.
#[derive(Clone, Copy)]
pub(crate) enum Memory {
    None,
    /// Bytes of the chain's text, from here on.
    Text(u32),
    /// A buffer's filled bytes.
    Filled(u16),
    /// A buffer's room.
    Room(u16),
}

pub(crate) struct Step {
    /// Verb, timeout and the arguments known now.
    pub(crate) entry: Entry,
    pub(crate) needs: [Option<Need>; 5],
    /// What argument 1 points to.
    pub(crate) payload: Memory,
    /// What argument 3 points to, as a buffer's number.
    pub(crate) record: Option<u16>,
    pub(crate) hardlink: bool,
    pub(crate) finally: bool,
    pub(crate) silent: bool,
}

/// Operations that pass results to each other.
///
/// ```
/// use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring};
///
/// let mut ring = Ring::new()?;
/// let mut chain = Chain::new();
/// let file = chain.open("Cargo.toml", OpenOptions::read());
/// let length = chain.read(file, Buffer::with_capacity(4096), Offset::START);
/// chain.finally().close(file);
/// let mut done = ring.run(chain)?;
/// let read = done.get(length)?;
/// let text = done.take(length).unwrap_or_default();
/// assert_eq!(read, text.len());
/// # Ok::<(), ouzel::Error>(())
/// ```
pub struct Chain {
    pub(crate) number: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) text: Vec<u8>,
    pub(crate) buffers: Vec<Option<Buffer>>,
    /// Filled in as completions arrive.
    pub(crate) results: Vec<Option<Completion>>,
    /// What happened to its steps, if the ring was tracing: the number of the step and the event.
    pub(crate) events: Vec<(u16, Event)>,
    pub(crate) error: Option<BuildError>,
    next_is_finally: bool,
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Only uniqueness matters.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Chain {
    /// A chain without steps.
    pub fn new() -> Chain {
        Chain {
            number: next_number(),
            steps: Vec::new(),
            text: Vec::new(),
            buffers: Vec::new(),
            results: Vec::new(),
            events: Vec::new(),
            error: None,
            next_is_finally: false,
        }
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has no steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The verb of each step, in the order they were added.
    pub fn verbs(&self) -> impl Iterator<Item = Verb> + '_ {
        self.steps.iter().map(|step| Verb::from_number(step.entry.op).unwrap_or(Verb::Nop))
    }

    /// What is wrong with the chain as built so far, as far as that does not depend on a ring.
    pub fn check(&self) -> Result<(), BuildError> {
        Layout::new(self).map(|_| ())
    }

    /// Makes the next step a FINALLY entry: it runs once, after the other steps or the first that failed, if what it
    /// uses was ever made. Wherever it is added, it runs at the end, in the order of the FINALLY steps.
    pub fn finally(&mut self) -> &mut Chain {
        self.next_is_finally = true;
        self
    }

    /// Makes the step after the last one run whatever becomes of the last one (HARDLINK). Without steps it does nothing.
    pub fn hardlink(&mut self) -> &mut Chain {
        if let Some(step) = self.steps.last_mut() {
            step.hardlink = true;
        }
        self
    }

    /// Makes the last step post no completion if it succeeds (SILENT), which spares the ring that much. Its result can be
    /// used within the chain but is not reported: [`Done::get`](crate::Done::get) has none, and what it read cannot be
    /// told from what was in its buffer before. The step that runs last is reported all the same: it ends the chain.
    /// Without steps it does nothing.
    pub fn silent(&mut self) -> &mut Chain {
        if let Some(step) = self.steps.last_mut() {
            step.silent = true;
        }
        self
    }

    /// Gives the last step this long, from its dispatch. Zero means that it may not wait for an event. Without steps it does
    /// nothing.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Chain {
        if let Some(step) = self.steps.last_mut() {
            // All but the largest value are finite.
            step.entry.timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1);
        }
        self
    }

    /// Forgets everything, keeping the memory. The results of its steps are another chain's from now on.
    pub(crate) fn reset(&mut self) {
        self.number = next_number();
        self.steps.clear();
        self.text.clear();
        self.buffers.clear();
        self.results.clear();
        self.events.clear();
        self.error = None;
        self.next_is_finally = false;
    }

    fn add<T>(&mut self, entry: Entry, needs: [Option<Need>; 5], payload: Memory) -> Reg<T> {
        let step = self.steps.len();
        if step >= MAX_STEPS {
            self.fail(BuildError::TooLong { steps: step + 1, limit: MAX_STEPS });
        }
        let finally = std::mem::take(&mut self.next_is_finally);
        self.steps.push(Step {
            entry,
            needs,
            payload,
            record: None,
            hardlink: false,
            finally,
            silent: false,
        });
        self.result(step, false)
    }

    fn result<T>(&self, step: usize, second: bool) -> Reg<T> {
        Reg { chain: self.number, step: step.min(MAX_STEPS) as u16, second, kind: PhantomData }
    }

    /// The need for `reg` as an argument of the step about to be added.
    fn need<T>(&mut self, verb: Verb, reg: Reg<T>) -> Option<Need> {
        if reg.chain != self.number {
            let step = self.steps.len();
            self.fail(BuildError::ForeignRegister { step, verb, of: reg.step() });
        }
        Some(Need { step: reg.step, second: reg.second })
    }

    fn fail(&mut self, error: BuildError) {
        self.error.get_or_insert(error);
    }

    /// Adds bytes and a NUL to the text and returns where they start.
    fn push_path(&mut self, path: &[u8]) -> u32 {
        if path.contains(&0) {
            let step = self.steps.len();
            self.fail(BuildError::NulInPath { step, path: String::from_utf8_lossy(path).into_owned() });
        }
        let start = self.text.len() as u32;
        self.text.extend_from_slice(path);
        self.text.push(0);
        start
    }

    fn push_buffer(&mut self, buffer: Buffer) -> u16 {
        self.buffers.push(Some(buffer));
        (self.buffers.len() - 1) as u16
    }

    pub(crate) fn buffer_of(&self, step: usize) -> Option<u16> {
        let step = self.steps.get(step)?;
        match step.payload {
            Memory::Filled(buffer) | Memory::Room(buffer) => Some(buffer),
            _ => step.record,
        }
    }

    /// The paths of a step, for messages.
    pub(crate) fn operand(&self, step: usize) -> Option<String> {
        let step = self.steps.get(step)?;
        match step.payload {
            Memory::Text(start) if step.entry.arguments[2] > 0 => {
                let end = start as usize + step.entry.arguments[2] as usize - 1;
                let text = String::from_utf8_lossy(self.text.get(start as usize..end)?);
                Some(text.replace('\0', " to "))
            }
            _ => None,
        }
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::new()
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.verbs().map(Verb::name)).finish()
    }
}

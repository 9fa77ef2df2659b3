//! What executes chains: the border between the command and the library.
//!
//! [`Machine`] is all that the command wants of a ring. The loop in [`run`](crate::run) and its tests know nothing
//! else.

use ouzel_ring::Errno;
use thiserror::Error;

use crate::args::BackendChoice;
use crate::program::{Bound, Program, Slot, Step};
use crate::ring_machine::RingMachine;

/// Executes chains, several at a time.
pub trait Machine {
    /// What it runs on and why.
    fn backend(&self) -> BackendDescription;

    /// Starts a chain. `ticket` comes back with its [`Ended`].
    ///
    /// # Errors
    ///
    /// [`MachineError::Chain`] refuses this chain alone; every other error ends the run.
    fn start(
        &mut self,
        ticket: u64,
        program: &Program,
        steps: Vec<Step<Bound>>,
    ) -> Result<Start, MachineError>;

    /// Waits until at least one chain has ended, and returns those that have. Not called with none in flight.
    fn wait(&mut self) -> Result<Vec<Ended>, MachineError>;

    /// How often the border to the engine's executor was crossed so far.
    fn crossings(&self) -> u64;

    /// What became of the first chain, step by step, if that was asked for.
    fn explanation(&mut self) -> Option<ouzel::Explanation> {
        None
    }
}

/// What became of [`Machine::start`].
#[derive(Debug)]
pub enum Start {
    /// The chain is in flight.
    Taken,
    /// There is no room; here are the steps back. Room comes when a chain ends.
    Full(Vec<Step<Bound>>),
}

/// A backend as reports name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendDescription {
    /// Its name: `uring`, `threads` or `sim`.
    pub name: String,
    /// Why this one, as half a sentence.
    pub reason: String,
}

/// A chain that is over.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    /// The number it was started with.
    pub ticket: u64,
    /// How its steps ended, in the order of their completions. A silent step that succeeded is not among them.
    pub endings: Vec<Ending>,
    /// The buffers of the steps whose results are printed: bytes read, records of a directory, a file's description.
    pub buffers: Vec<(Slot, Vec<u8>)>,
    /// The last numbers of names that more than one statement sets, and the lengths of named buffers, as far as they are
    /// printed.
    pub values: Vec<(Slot, u64)>,
    /// What its steps did when, if that was asked for.
    pub timeline: Option<ouzel::observe::Timeline>,
}

/// How one step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The step: an index into the program's.
    pub step: usize,
    /// The line and the verb of the statement that made it fail, if it has called a stored program.
    pub within: Option<(usize, &'static str)>,
    /// [`Errno::OK`], or its error.
    pub error: Errno,
    /// Its result.
    pub result: u64,
    /// Whether a condition kept it from running.
    pub skipped: bool,
    /// Where it ran (`call`, `linked`, `thread`…); empty if unknown.
    pub place: &'static str,
    /// Why there; empty where there was no choice.
    pub reason: &'static str,
}

/// Why a machine cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The chain cannot be built, for instance because it needs more registers than there are.
    #[error("the chain cannot be built: {0}")]
    Chain(String),
    /// The backend is not to be had.
    #[error("the {backend} backend cannot be used: {reason}")]
    Unavailable {
        /// Which.
        backend: String,
        /// Why, and what would change it.
        reason: String,
    },
    /// The ring is broken.
    #[error("the ring failed: {0}")]
    Ring(String),
}

/// What a machine is to be like.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The service in which the operations are executed, if not here.
    pub on: Option<String>,
    /// What executes the operations.
    pub backend: BackendChoice,
    /// How many chains it has to have room for.
    pub in_flight: u32,
    /// Whether the first chain is to be explained, and all say where their steps ran.
    pub explain: bool,
    /// Whether all chains are to say where their steps ran.
    pub trace: bool,
    /// Whether all chains are to say what their steps did when.
    pub timeline: bool,
}

/// Opens the machine that is wanted for `program`.
///
/// # Errors
///
/// [`MachineError::Unavailable`] if the backend cannot be had.
pub fn open(wanted: &Wanted, program: &Program) -> Result<Box<dyn Machine>, MachineError> {
    Ok(Box::new(RingMachine::open(wanted, program)?))
}

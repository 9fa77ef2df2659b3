//! Jobs: operations that take several steps, each an operation of the backend below.
//!
//! A job opens what its plan says, does the verb, and closes again whatever it has opened; only then is it over. It says
//! what its next step is and is told how that ended. It starts nothing itself, and it never leaves anything open: not when
//! a step fails, nor when it is cancelled.

use ouzel_engine::{Edge, Operation, Outcome, Step, Token};
use ouzel_ring::Errno;

use super::plan::{Opening, Plan};
use super::text::{Copy, bytes};

/// How often a step is asked for again because names changed under it.
const TRIES: u32 = 64;

/// No index.
pub(super) const NONE: u32 = u32::MAX;

/// What a job is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It opens the first or the second thing that its plan says.
    Opening(usize),
    /// It does the verb.
    Verb,
    /// It closes what is open.
    Closing,
}

/// One operation under way, or room for one.
#[derive(Debug)]
pub(super) struct Job {
    /// The client's operation, by the engine's name; `None` if there is no job.
    token: Option<Token>,
    /// Of the step that runs or ran last: later steps have other names.
    generation: u32,
    openings: [Option<Opening>; 2],
    /// Where what is opened is put; [`NONE`] where nothing is.
    places: [u32; 2],
    /// What of it is open.
    open: [bool; 2],
    operation: Operation,
    may_wait: bool,
    again: bool,
    stage: Stage,
    /// A step is with the backend below.
    running: bool,
    cancelled: bool,
    tries: u32,
    outcome: Outcome,
    copy: Copy,
}

impl Job {
    pub(super) fn new() -> Job {
        Job {
            token: None,
            generation: 0,
            openings: [None; 2],
            places: [NONE; 2],
            open: [false; 2],
            operation: Operation::Close { file: NONE },
            may_wait: true,
            again: false,
            stage: Stage::Closing,
            running: false,
            cancelled: false,
            tries: 0,
            outcome: Outcome::success(0),
            copy: Copy::default(),
        }
    }

    /// Begins the job of a client's step. What it opens is put at `places`.
    pub(super) fn begin(&mut self, step: &Step, plan: &Plan, places: [u32; 2]) {
        self.token = Some(step.token);
        self.openings = plan.openings;
        self.places = places;
        self.open = [false; 2];
        self.operation = plan.operation;
        self.may_wait = step.may_wait;
        self.again = plan.again;
        self.stage = Stage::Opening(0);
        self.running = false;
        self.cancelled = false;
        self.tries = 0;
        self.outcome = Outcome::success(0);
    }

    /// Whose job it is.
    pub(super) fn token(&self) -> Option<Token> {
        self.token
    }

    /// The indices that it has to itself.
    pub(super) fn places(&self) -> [u32; 2] {
        self.places
    }

    /// It is over; there is room for another.
    pub(super) fn end(&mut self) {
        self.token = None;
        self.places = [NONE; 2];
    }

    /// How the verb ended, or why it was not done.
    pub(super) fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether nothing has happened yet.
    pub(super) fn is_untouched(&self) -> bool {
        let first = matches!(self.stage, Stage::Opening(0) | Stage::Verb);
        first && self.open == [false; 2] && self.tries == 0
    }

    /// The generation of the step that is with the backend below, if one is.
    pub(super) fn running(&self) -> Option<u32> {
        self.running.then_some(self.generation)
    }

    /// The step is with the backend below.
    pub(super) fn run(&mut self) {
        self.running = true;
    }

    /// The step was not taken, and will be asked for again.
    pub(super) fn put_back(&mut self) {
        self.copy.give_back();
    }

    /// Gives the job up as far as that goes. Returns the generation of the step that is to be cancelled, if one is.
    pub(super) fn cancel(&mut self) -> Option<u32> {
        self.cancelled = true;
        if self.stage == Stage::Closing { None } else { self.running() }
    }

    /// What is to be done next, under the name of `slot`. `None` if the job is over.
    pub(super) fn next(&mut self, slot: u32) -> Option<Step> {
        if self.cancelled && self.stage != Stage::Closing {
            self.finish(Outcome::failure(Errno::ECANCELED));
        }
        let mut may_wait = true;
        let operation = loop {
            match self.stage {
                Stage::Opening(number) => match self.openings.get(number).copied().flatten() {
                    Some(opening) => break self.open_operation(&opening, number),
                    None => self.stage = Stage::Verb,
                },
                Stage::Verb => {
                    may_wait = self.may_wait;
                    break self.operation;
                }
                Stage::Closing => {
                    let number = self.open.iter().position(|open| *open)?;
                    break Operation::Close { file: self.places[number] };
                }
            }
        };
        self.generation = self.generation.wrapping_add(1);
        let token = Token { slot, generation: self.generation };
        Some(Step { token, operation, edge: Edge::Success, may_wait })
    }

    fn open_operation(&mut self, opening: &Opening, number: usize) -> Operation {
        let path = match opening.part {
            None => opening.path,
            Some(length) => {
                let text = bytes(&opening.path);
                self.copy.lend(&text[..length.min(text.len())])
            }
        };
        let into = self.places[number];
        Operation::Open { directory: Some(opening.directory), path, flags: opening.flags, mode: 0, into }
    }

    /// The last step has ended so.
    pub(super) fn settle(&mut self, outcome: Outcome) {
        self.running = false;
        self.copy.give_back();
        let error = match outcome {
            Outcome::Done { error, .. } => error,
            // A run of one step is never broken before it; if it is, nothing has happened.
            Outcome::NotRun => Errno::EAGAIN,
        };
        if error == Errno::EAGAIN && self.asks_again() {
            self.tries += 1;
            return;
        }
        match self.stage {
            Stage::Opening(number) if error.is_ok() => {
                self.open[number] = true;
                self.stage = Stage::Opening(number + 1);
                self.tries = 0;
            }
            Stage::Opening(_) | Stage::Verb if error == Errno::EAGAIN && self.cancelled => {
                self.finish(Outcome::failure(Errno::ECANCELED));
            }
            Stage::Opening(_) => self.finish(Outcome::failure(error)),
            Stage::Verb if outcome == Outcome::NotRun => self.finish(Outcome::failure(error)),
            Stage::Verb => self.finish(outcome),
            Stage::Closing => {
                // Whatever a close says, the index is free.
                if let Some(number) = self.open.iter().position(|open| *open) {
                    self.open[number] = false;
                }
            }
        }
    }

    /// Whether a step that only found names changing is tried once more.
    fn asks_again(&self) -> bool {
        let may = match self.stage {
            Stage::Opening(_) => true,
            Stage::Verb => self.again,
            Stage::Closing => false,
        };
        may && !self.cancelled && self.tries < TRIES
    }

    fn finish(&mut self, outcome: Outcome) {
        self.outcome = outcome;
        self.stage = Stage::Closing;
    }
}

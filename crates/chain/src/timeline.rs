//! Timelines: what the steps of a chain did when, and that as JSON for a trace viewer.
//!
//! They are made of the events that a ring records while it is tracing (`Ring::trace`). The form is that of Chrome's trace
//! events, which <https://ui.perfetto.dev> opens: a process for each chain, in it a line for the chain and one for each step.

#[cfg(feature = "std")]
mod json;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use ouzel_engine::{EventKind, Place, Way};
use ouzel_ring::{Errno, Verb};

use crate::done::Done;

#[cfg(feature = "std")]
pub use json::TimelineWriter;

/// What a slice of time was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SliceKind {
    /// The step waited: from its admission to its start. If it was started again, because the run it had been taken along in broke
    /// before it, until then.
    Waiting,
    /// It ran. Of steps that travelled in one run each is shown from the hand-over, so it includes those before it.
    Running,
    /// A step of the program that it called ran.
    ProgramStep,
}

/// A slice of the time of one step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Slice {
    /// The step, counted in the order steps were added.
    pub step: usize,
    /// What it was spent on.
    pub kind: SliceKind,
    /// The step's verb, or that of the program's step.
    pub verb: Verb,
    /// When it began, in nanoseconds of the ring's clock.
    pub begun: u64,
    /// When it ended.
    pub ended: u64,
    /// Where the step ran and why there; `None` while it waited.
    pub way: Option<Way>,
    /// Its place in the run it travelled in, from 0, and how many travelled together.
    pub run: (u32, u32),
    /// Its error, or success.
    pub error: Errno,
    /// Its result.
    pub result: u64,
}

/// What the steps of a chain did when.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Timeline {
    /// The verbs of the steps.
    pub steps: Vec<Verb>,
    /// In the order in which they ended. A step that ran more than once has more than one.
    pub slices: Vec<Slice>,
}

/// What was begun and has not ended.
struct Open {
    verb: Verb,
    way: Way,
    run: (u32, u32),
    begun: u64,
    reported: Option<u64>,
}

/// One step, while its events are read.
#[derive(Default)]
struct Lane {
    /// Since when it waits, if it does.
    waits: Option<u64>,
    own: VecDeque<Open>,
    /// Of a CALL: steps of the program.
    inner: VecDeque<Open>,
}

impl<E> Done<E> {
    /// What the steps did when, if the ring was tracing; otherwise nothing.
    pub fn timeline(&self) -> Timeline {
        let steps: Vec<Verb> = self.chain.verbs().collect();
        let mut lanes: Vec<Lane> = steps.iter().map(|_| Lane::default()).collect();
        let mut slices = Vec::new();
        for (step, event) in &self.chain.body.events {
            let step = usize::from(*step);
            let (Some(lane), Some(own)) = (lanes.get_mut(step), steps.get(step)) else { continue };
            lane.take(step, *own, event.at, event.kind, &mut slices);
        }
        Timeline { steps, slices }
    }
}

impl Lane {
    fn take(&mut self, step: usize, own: Verb, at: u64, kind: EventKind, slices: &mut Vec<Slice>) {
        match kind {
            // Behind the first are those of the steps of a program.
            EventKind::Admitted if self.waits.is_none() && self.own.is_empty() => self.waits = Some(at),
            EventKind::Started { verb, way, step: place, run } => {
                let open = Open { verb, way, run: (place, run), begun: at, reported: None };
                if own == Verb::Call && verb != own {
                    self.inner.push_back(open);
                    return;
                }
                if let Some(since) = self.waits.take() {
                    let kind = SliceKind::Waiting;
                    let (error, result) = (Errno::OK, 0);
                    let slice = Slice {
                        step,
                        kind,
                        verb,
                        begun: since,
                        ended: at,
                        way: None,
                        run: (0, 0),
                        error,
                        result,
                    };
                    slices.push(slice);
                }
                self.own.push_back(open);
            }
            EventKind::Reported => {
                let open = self.inner.iter_mut().chain(&mut self.own).find(|open| open.reported.is_none());
                if let Some(open) = open {
                    open.reported = Some(at);
                }
            }
            EventKind::NotRun => {
                let running = |open: &Open| open.reported.is_none();
                if let Some(place) = self.inner.iter().position(running) {
                    self.inner.remove(place);
                } else if let Some(place) = self.own.iter().position(running) {
                    self.own.remove(place);
                    self.waits = Some(at);
                }
            }
            EventKind::Ended { skipped: false, error, result } => match self.inner.pop_front() {
                Some(open) => slices.push(open.slice(step, SliceKind::ProgramStep, at, error, result)),
                // A step of a program that was refused ran nowhere; the CALL itself goes on.
                None if own == Verb::Call => {}
                None => self.end(step, at, error, result, slices),
            },
            EventKind::Completed { skipped: false, error, result } => {
                self.end(step, at, error, result, slices)
            }
            _ => {}
        }
    }

    fn end(&mut self, step: usize, at: u64, error: Errno, result: u64, slices: &mut Vec<Slice>) {
        if let Some(open) = self.own.pop_front() {
            slices.push(open.slice(step, SliceKind::Running, at, error, result));
        }
    }
}

impl Open {
    fn slice(self, step: usize, kind: SliceKind, at: u64, error: Errno, result: u64) -> Slice {
        let Open { verb, way, run, begun, reported } = self;
        // Its turn may come later than its report, when it stands behind others.
        let ended = reported.unwrap_or(at).max(begun);
        Slice { step, kind, verb, begun, ended, way: Some(way), run, error, result }
    }
}

impl Timeline {
    /// From the first admission to the last end, in nanoseconds of the ring's clock; `None` if nothing ran.
    pub fn span(&self) -> Option<(u64, u64)> {
        let begun = self.slices.iter().map(|slice| slice.begun).min()?;
        Some((begun, self.slices.iter().map(|slice| slice.ended).max()?))
    }
}

/// The name of a place, for tables.
pub fn place_name(place: Place) -> &'static str {
    match place {
        Place::Engine => "engine",
        Place::Call => "call",
        Place::Kernel => "ring",
        Place::Linked => "linked",
        Place::Helper => "helper",
        Place::Thread => "thread",
        Place::Simulated => "simulated",
        _ => "elsewhere",
    }
}

//! The trace: what happened to each entry, for `explain`. Off unless asked for; it never changes what happens.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ouzel_ring::{Errno, Verb};

use crate::{Counters, Observer, Way};

/// The most events a trace holds; later ones are dropped and counted.
pub const MAX_EVENTS: usize = 1 << 16;

/// One thing that happened to one entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The entry's user data; for a step of a program that of its CALL.
    pub data: u64,
    /// The engine's clock, in nanoseconds.
    pub at: u64,
    /// What the backend had cost when it happened.
    pub counters: Counters,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// Its chain was admitted: it waits for its turn.
    Admitted,
    /// It was handed to the backend, or executed by the engine.
    Started {
        /// The verb.
        verb: Verb,
        /// Where and why there.
        way: Way,
        /// Its place in the run it travelled in, from 0.
        step: u32,
        /// How many travelled together.
        run: u32,
    },
    /// It was not taken along in the run that was made of the members before it.
    Cut {
        /// Why not, as half a sentence.
        reason: &'static str,
    },
    /// The backend has reported its end. It completes when its turn comes.
    Reported,
    /// It had been taken as part of a run that broke before it, and has not run.
    NotRun,
    /// The backend was asked to give it up.
    GivenUp,
    /// It ended one of the times that it ran: a member of a chain with PROGRAM, whose completion is posted when the chain is
    /// over, or a step of a program, which has none.
    Ended {
        /// The error, or success.
        error: Errno,
        /// The result.
        result: u64,
        /// It was not run at all.
        skipped: bool,
    },
    /// Its completion was posted, or, being a silent success, was not.
    Completed {
        /// The error, or success.
        error: Errno,
        /// The result.
        result: u64,
        /// It was not run at all.
        skipped: bool,
    },
}

#[derive(Default)]
pub(crate) struct Trace {
    /// Somebody wants to know what happens.
    on: bool,
    pub(crate) events: Option<Vec<Event>>,
    pub(crate) dropped: u64,
    pub(crate) observer: Option<Box<dyn Observer>>,
}

impl Trace {
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Whether events are kept.
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.events.is_some()
    }

    pub(crate) fn start(&mut self) {
        self.on = true;
        self.events = Some(Vec::new());
        self.dropped = 0;
    }

    pub(crate) fn stop(&mut self) -> (Vec<Event>, u64) {
        self.on = self.observer.is_some();
        (self.events.take().unwrap_or_default(), core::mem::take(&mut self.dropped))
    }

    pub(crate) fn observe(&mut self, observer: Box<dyn Observer>) {
        self.on = true;
        self.observer = Some(observer);
    }

    pub(crate) fn push(&mut self, event: Event) {
        if let Some(events) = &mut self.events {
            if events.len() < MAX_EVENTS {
                events.push(event);
            } else {
                self.dropped += 1;
            }
        }
    }
}

//! Explanations: what ran where, why there, and what it cost.

use std::fmt;

use ouzel_chain::ring::ran;
use ouzel_chain::timeline::place_name;
use ouzel_engine::{Counters, EventKind, Way};
use ouzel_ring::{Errno, Verb};

use crate::RegisteredMemory;
use crate::chain::Done;
use crate::select::Choice;

/// What became of one step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepExplanation {
    /// The step, counted in the order steps were added.
    pub step: usize,
    /// What it was to do.
    pub verb: Verb,
    /// Where it ran and why there; `None` if it never started.
    pub way: Option<Way>,
    /// Its place in the run it travelled in, and how many travelled together.
    pub run: Option<(u32, u32)>,
    /// Why it did not travel with the step before it, as half a sentence; empty if it did, or is the first.
    pub cut: &'static str,
    /// How often it had been taken along in a run that broke before it.
    pub not_run: u32,
    /// How often it ran: in a loop perhaps more than once.
    pub ran: u32,
    /// Its error, or success.
    pub error: Errno,
    /// Its result.
    pub result: u64,
}

/// What became of a chain. Its `Display` is a table for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The steps, in the order of their completions.
    pub steps: Vec<StepExplanation>,
    /// What it cost.
    pub counters: Counters,
    /// The backend it ran on.
    pub backend: Choice,
    /// What is registered with the kernel, and how many of its transfers used that; `None` if nothing ever was.
    pub registered: Option<RegisteredMemory>,
}

impl Explanation {
    pub(crate) fn new(done: &Done, counters: Counters, backend: Choice) -> Explanation {
        let mut steps: Vec<StepExplanation> = ran(done)
            .steps()
            .iter()
            .map(|step| step.verb())
            .enumerate()
            .map(|(step, verb)| StepExplanation {
                step,
                verb,
                way: None,
                run: None,
                cut: "",
                not_run: 0,
                ran: 0,
                error: Errno::OK,
                result: 0,
            })
            .collect();
        let mut order = Vec::with_capacity(steps.len());
        for (step, event) in ran(done).events() {
            let Some(explained) = steps.get_mut(*step as usize) else { continue };
            match event.kind {
                // Beside those of a CALL are those of the steps of its program.
                EventKind::Started { verb, way, step: place, run } if verb == explained.verb => {
                    explained.way = Some(way);
                    explained.run = Some((place, run));
                    if place > 0 {
                        explained.cut = "";
                    }
                }
                EventKind::Ended { skipped: false, .. } if explained.verb != Verb::Call => explained.ran += 1,
                EventKind::Cut { reason } => explained.cut = reason,
                EventKind::NotRun => explained.not_run += 1,
                EventKind::Completed { error, result, skipped } => {
                    explained.error = error;
                    explained.result = result;
                    explained.ran = explained.ran.max(u32::from(explained.way.is_some() && !skipped));
                    if skipped {
                        explained.way = None;
                        explained.run = None;
                    }
                    order.push(*step as usize);
                }
                _ => {}
            }
        }
        let steps = order.into_iter().filter_map(|step| steps.get(step).cloned()).collect();
        Explanation { steps, counters, backend, registered: None }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "backend: {}", self.backend)?;
        for step in &self.steps {
            write!(formatter, "{:>4}  {:<9}", step.step, step.verb.name())?;
            match (step.way, step.run) {
                (Some(way), Some((place, run))) => {
                    let reason =
                        if way.reason.is_empty() { String::new() } else { format!(" ({})", way.reason) };
                    write!(formatter, " {:<9}", place_name(way.place))?;
                    if run > 1 {
                        write!(formatter, " {} of {run} in one run", place + 1)?;
                    }
                    write!(formatter, "{reason}")?;
                }
                _ => write!(formatter, " not run")?,
            }
            if step.ran > 1 {
                write!(formatter, "; ran {} times, the last", step.ran)?;
            }
            if !step.cut.is_empty() {
                write!(formatter, "; begins a run: {}", step.cut)?;
            }
            if step.not_run > 0 {
                write!(formatter, "; resumed after its run broke before it")?;
            }
            if step.error.is_ok() {
                writeln!(formatter, " -> {}", step.result)?;
            } else {
                writeln!(formatter, " -> {}", step.error.name())?;
            }
        }
        write!(
            formatter,
            "crossings: {} ({} io_uring_enter, {} plain calls), {} hand-overs to threads",
            self.counters.crossings(),
            self.counters.enters,
            self.counters.calls,
            self.counters.handoffs
        )?;
        match self.registered {
            Some(registered) => write!(formatter, "\n{registered}"),
            None => Ok(()),
        }
    }
}

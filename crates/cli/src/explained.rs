//! One chain explained: what ran where and why, and what it cost, for `--explain`.
//!
//! The library explains steps of a chain; here they become statements of a program.

use std::fmt;

use ouzel::{Explanation, place_name};
use serde::Serialize;

use crate::program::Program;

/// What became of one chain. Field names are those of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedChain {
    /// The input; `None` for a run without `--each`.
    pub input: Option<String>,
    /// Its statements, in the order they were over.
    pub steps: Vec<ExplainedStep>,
    /// Crossings in all.
    pub crossings: u64,
    /// How many of these were `io_uring_enter(2)`.
    pub enters: u64,
    /// How many of these were plain system calls.
    pub calls: u64,
    /// Operations handed to another thread.
    pub handoffs: u64,
}

/// What became of one statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    /// Its line, from 1.
    pub line: usize,
    /// Its verb.
    pub verb: &'static str,
    /// Where it ran; `None` if it did not.
    pub place: Option<&'static str>,
    /// Why there; empty where there was no choice.
    pub reason: &'static str,
    /// Its place in the run that it travelled in, from 1; 0 if it did not run.
    pub run_position: u32,
    /// How many statements travelled together.
    pub run_length: u32,
    /// How often it had been taken along in a run that broke before it.
    pub resumed: u32,
    /// How often it ran: in a loop perhaps more than once.
    pub ran: u32,
    /// Its error number, or 0.
    pub errno: i32,
    /// Its error's name; `None` for success.
    pub error: Option<&'static str>,
    /// Its result.
    pub result: u64,
}

impl ExplainedChain {
    /// The explanation of a chain of `program`.
    pub fn new(program: &Program, input: Option<String>, explanation: &Explanation) -> ExplainedChain {
        let steps = explanation.steps.iter().filter_map(|step| {
            let statement = program.steps.get(step.step)?;
            let (position, length) = step.run.map_or((0, 0), |(position, length)| (position + 1, length));
            Some(ExplainedStep {
                line: statement.line,
                verb: statement.operation.verb(),
                place: step.way.map(|way| place_name(way.place)),
                reason: step.way.map_or("", |way| way.reason),
                run_position: position,
                run_length: length,
                resumed: step.not_run,
                ran: step.ran,
                errno: step.error.raw(),
                error: (!step.error.is_ok()).then(|| step.error.name()),
                result: step.result,
            })
        });
        let counters = explanation.counters;
        ExplainedChain {
            input,
            steps: steps.collect(),
            crossings: counters.crossings(),
            enters: counters.enters,
            calls: counters.calls,
            handoffs: counters.handoffs,
        }
    }
}

impl fmt::Display for ExplainedChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(input) = &self.input {
            writeln!(formatter, "the chain of {input}:")?;
        }
        for step in &self.steps {
            let outcome = step.error.map_or_else(|| step.result.to_string(), str::to_owned);
            let place = step.place.unwrap_or("not run");
            write!(formatter, "  line {:<3} {:<9} {place:<10}", step.line, step.verb)?;
            if step.run_length > 1 {
                write!(formatter, "{} of {} in one run  ", step.run_position, step.run_length)?;
            }
            if step.ran > 1 {
                write!(formatter, "ran {} times, the last  ", step.ran)?;
            }
            if step.resumed > 0 {
                formatter.write_str("resumed after its run broke before it  ")?;
            }
            if !step.reason.is_empty() {
                write!(formatter, "({})  ", step.reason)?;
            }
            writeln!(formatter, "-> {outcome}")?;
        }
        writeln!(
            formatter,
            "  {} crossings ({} io_uring_enter, {} plain calls), {} hand-overs to threads",
            self.crossings, self.enters, self.calls, self.handoffs
        )
    }
}

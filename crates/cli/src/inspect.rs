//! What is known of a program before it runs: its chain as the library builds it, and what the verifier says of that.
//!
//! Parameters get values that stand for any; nothing is opened, read or run.

use std::fmt;

use serde::Serialize;

use crate::machine::MachineError;
use crate::program::Program;
use crate::ring_machine::RingMachine;

/// A chain before it runs.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its steps, in the order of execution.
    pub steps: Vec<InspectedStep>,
    /// How many steps can run at the most.
    pub most_steps: u64,
    /// How many registers it uses.
    pub registers: usize,
    /// Why it could not be stored as a program that one entry calls.
    pub refusal: Option<Refusal>,
}

/// A step of a chain. Field names are those of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedStep {
    /// The line of its statement, from 1; 0 for what the command adds to tell the last value of a name.
    pub line: usize,
    /// Its verb.
    pub verb: &'static str,
    /// The registers that it loads and saves, and where it goes.
    pub text: String,
}

/// Why a program could not be stored. Field names are those of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The line of the statement, from 1, if it is one.
    pub line: Option<usize>,
    /// What the verifier says.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        write!(formatter, "it can be run, but not be stored as a program: {}", self.message)
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let steps = self.steps.len() as u64;
        write!(formatter, "ok: {steps} step{}", plural(steps))?;
        if self.most_steps != steps {
            write!(formatter, ", at most {} run", self.most_steps)?;
        }
        write!(formatter, ", {} register{}", self.registers, plural(self.registers as u64))
    }
}

/// Builds the chain of a program and looks at it.
///
/// # Errors
///
/// [`MachineError::Chain`] if it cannot be built, for instance because it needs more registers than there are.
pub fn inspect(program: &Program) -> Result<Inspection, MachineError> {
    let (verification, origins) = RingMachine::plan(program)?;
    let line = |step: usize| {
        let statement = origins.get(step).and_then(|origin| program.steps.get(*origin));
        statement.map_or(0, |statement| statement.line)
    };
    let steps = verification.steps.iter().map(|step| InspectedStep {
        line: line(step.step),
        verb: step.verb.name(),
        text: step.to_string(),
    });
    let refusal = verification.rejection.as_ref().map(|(step, rejection)| Refusal {
        line: step.map(line).filter(|line| *line > 0),
        message: rejection.reason.to_string(),
    });
    Ok(Inspection {
        steps: steps.collect(),
        most_steps: verification.most_steps,
        registers: verification.registers,
        refusal,
    })
}

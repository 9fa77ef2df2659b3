//! What is known of a program before it runs: its chain as the library builds it, and what the verifier says of that.
//!
//! Parameters get values that stand for any; nothing is opened, read or run.

use std::fmt;

use ouzel::Planned;
use ouzel_ring::Verb;
use serde::Serialize;

use crate::machine::MachineError;
use crate::program::Program;
use crate::ring_machine::{Plan, RingMachine};

/// A chain before it runs.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its steps, in the order of execution.
    pub steps: Vec<InspectedStep>,
    /// How many steps can run at the most.
    pub most_steps: u64,
    /// How many registers it uses.
    pub registers: usize,
    /// Why it could not be stored as a program that one entry calls. That it calls such programs itself is not looked at.
    pub refusal: Option<Refusal>,
    /// The stored programs that it calls.
    pub stored: Vec<InspectedProgram>,
}

/// A stored program. Field names are those of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedProgram {
    /// Its name.
    pub name: String,
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its steps, in the order of execution.
    pub steps: Vec<InspectedStep>,
    /// How many steps can run at the most.
    pub most_steps: u64,
    /// How many registers it uses.
    pub registers: usize,
}

impl fmt::Display for InspectedProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "program {}: ", self.name)?;
        size(formatter, self.steps.len(), self.most_steps, self.registers)
    }
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
        formatter.write_str("ok: ")?;
        size(formatter, self.steps.len(), self.most_steps, self.registers)
    }
}

fn size(formatter: &mut fmt::Formatter<'_>, steps: usize, most: u64, registers: usize) -> fmt::Result {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let steps = steps as u64;
    write!(formatter, "{steps} step{}", plural(steps))?;
    if most != steps {
        write!(formatter, ", at most {most} run")?;
    }
    write!(formatter, ", {registers} register{}", plural(registers as u64))
}

/// Builds the chain of a program and looks at it.
///
/// # Errors
///
/// [`MachineError::Chain`] if it cannot be built, for instance because it needs more registers than there are.
pub fn inspect(program: &Program) -> Result<Inspection, MachineError> {
    let Plan { chain, origins, stored } = RingMachine::plan(program)?;
    let line = |step: usize| {
        let statement = origins.get(step).and_then(|origin| program.steps.get(*origin));
        statement.map_or(0, |statement| statement.line)
    };
    let steps = chain.steps.iter().map(|step| inspected(step, line(step.step)));
    let refused = chain.rejection.as_ref().filter(|(_, rejection)| rejection.verb != Some(Verb::Call));
    let refusal = refused.map(|(step, rejection)| Refusal {
        line: step.map(line).filter(|line| *line > 0),
        message: rejection.reason.to_string(),
    });
    let known = program.stored.iter().filter(|program| !program.of_service);
    let stored = known.zip(&stored).map(|(program, (found, lines))| InspectedProgram {
        name: program.name.clone(),
        line: program.line,
        steps: found.steps.iter().zip(lines).map(|(step, line)| inspected(step, *line)).collect(),
        most_steps: found.most_steps,
        registers: found.registers,
    });
    Ok(Inspection {
        steps: steps.collect(),
        most_steps: chain.most_steps,
        registers: chain.registers,
        refusal,
        stored: stored.collect(),
    })
}

fn inspected(step: &Planned, line: usize) -> InspectedStep {
    InspectedStep { line, verb: step.verb.name(), text: step.to_string() }
}

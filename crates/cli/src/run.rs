//! The loop of `ouzel run`: binds the program for one input after the other, keeps as many chains in flight as
//! allowed, and turns their endings into failures, outputs and counts.
//!
//! An input that fails stops no other. What is cancelled because something before it failed is not reported a second
//! time.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use ouzel::observe::Timeline;
use ouzel_ring::Errno;

use crate::explained::ExplainedChain;
use crate::inputs::{Input, shown};
use crate::machine::{Ended, Ending, Machine, MachineError, Start};
use crate::output::render;
use crate::program::{Operation, Program, Slot, Values};
use crate::summary::{Explained, Failure, Output, Summary};

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the program is called.
    pub name: String,
    /// The most chains at the same time; at least 1.
    pub in_flight: u32,
    /// Whether failures and outputs are kept for the summary.
    pub collect: bool,
    /// Whether the summary says where statements ran.
    pub explain: bool,
}

/// What happens while a program runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step has ended.
    Completion {
        /// The input; `None` for a run without `--each`.
        input: Option<&'a str>,
        /// The line of the statement.
        line: usize,
        /// Its verb.
        verb: &'static str,
        /// How it ended.
        ending: &'a Ending,
    },
    /// Something of an input failed.
    Failure(&'a Failure),
    /// The program printed something.
    Output(&'a Output),
    /// What the steps of a chain did when, if that was asked for.
    Timeline {
        /// The input; `None` for a run without `--each`.
        input: Option<&'a str>,
        /// It.
        timeline: &'a Timeline,
    },
    /// A chain is over, with all its events.
    Done,
}

/// Runs `program` once for each input, with the input in `$path`; an input of `None` runs it as it is.
///
/// # Errors
///
/// What ends the whole run: the machine failed. Failures of inputs are in the summary.
pub fn execute(
    program: &Program,
    inputs: &mut dyn Iterator<Item = Option<Input>>,
    values: Values,
    options: &Options,
    machine: &mut dyn Machine,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, MachineError> {
    let backend = machine.backend();
    let mut runner = Runner {
        program,
        options,
        observe,
        in_flight: HashMap::new(),
        places: BTreeMap::new(),
        first: None,
        summary: Summary {
            program: options.name.clone(),
            backend: backend.name,
            backend_reason: backend.reason,
            in_flight: options.in_flight,
            ..Summary::default()
        },
    };
    let (crossings, started) = (machine.crossings(), Instant::now());
    runner.all(inputs, values, machine)?;
    let explanation = machine.explanation();
    let mut summary = runner.finish(explanation.as_ref());
    summary.crossings = machine.crossings().saturating_sub(crossings);
    summary.elapsed_nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(summary)
}

struct Runner<'a> {
    program: &'a Program,
    options: &'a Options,
    observe: &'a mut dyn FnMut(Event<'_>),
    /// The inputs whose chains run, by ticket.
    in_flight: HashMap<u64, Option<String>>,
    places: BTreeMap<(usize, &'static str, &'static str), u64>,
    /// The input whose chain was the first to start.
    first: Option<Option<String>>,
    summary: Summary,
}

impl Runner<'_> {
    fn all(
        &mut self,
        inputs: &mut dyn Iterator<Item = Option<Input>>,
        mut values: Values,
        machine: &mut dyn Machine,
    ) -> Result<(), MachineError> {
        for (ticket, input) in (0u64..).zip(inputs) {
            self.summary.inputs += 1;
            let path = match input.transpose() {
                Ok(path) => path,
                Err(error) => {
                    self.refused(Some(shown(&error.place)), None, None, error.message);
                    continue;
                }
            };
            self.one(ticket, path, &mut values, machine)?;
        }
        while !self.in_flight.is_empty() {
            self.wait(machine)?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        ticket: u64,
        path: Option<OsString>,
        values: &mut Values,
        machine: &mut dyn Machine,
    ) -> Result<(), MachineError> {
        let input = path.as_deref().map(shown);
        if let Some(path) = path {
            values.insert("path".to_owned(), path.as_bytes().to_vec());
        }
        let mut steps = match self.program.bind(values) {
            Ok(steps) => steps,
            Err(error) => {
                self.refused(input, Some(error.line), Some(error.verb), error.message);
                return Ok(());
            }
        };
        while self.in_flight.len() >= self.options.in_flight.max(1) as usize {
            self.wait(machine)?;
        }
        loop {
            match machine.start(ticket, self.program, steps) {
                Ok(Start::Taken) => {
                    self.first.get_or_insert_with(|| input.clone());
                    self.in_flight.insert(ticket, input);
                    return Ok(());
                }
                Ok(Start::Full(_)) if self.in_flight.is_empty() => {
                    let message = "it has no room for a single chain of this program";
                    return Err(MachineError::Ring(message.to_owned()));
                }
                Ok(Start::Full(back)) => {
                    steps = back;
                    self.wait(machine)?;
                }
                Err(error @ MachineError::Chain(_)) => {
                    self.refused(input, None, None, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn wait(&mut self, machine: &mut dyn Machine) -> Result<(), MachineError> {
        for ended in machine.wait()? {
            let Some(input) = self.in_flight.remove(&ended.ticket) else {
                let message = format!("it reports the end of chain {}, which does not run", ended.ticket);
                return Err(MachineError::Ring(message));
            };
            self.ended(input.as_deref(), &ended);
        }
        Ok(())
    }

    /// An input whose chain never started.
    fn refused(
        &mut self,
        input: Option<String>,
        line: Option<usize>,
        verb: Option<&'static str>,
        message: String,
    ) {
        self.summary.failed += 1;
        self.failure(Failure { input, line, verb, errno: None, error: None, message });
        (self.observe)(Event::Done);
    }

    fn failure(&mut self, failure: Failure) {
        (self.observe)(Event::Failure(&failure));
        if self.options.collect {
            self.summary.failures.push(failure);
        }
    }

    fn ended(&mut self, input: Option<&str>, ended: &Ended) {
        let program = self.program;
        let mut results: HashMap<usize, u64> = HashMap::new();
        let mut reported = vec![false; program.steps.len()];
        let (mut failures, mut cancelled, mut any_error) = (Vec::new(), None, false);
        for ending in &ended.endings {
            let Some(step) = program.steps.get(ending.step) else { continue };
            let (line, verb) = (step.line, step.operation.verb());
            reported[ending.step] = true;
            (self.observe)(Event::Completion { input, line, verb, ending });
            if ending.skipped {
                continue;
            }
            if ending.error == Errno::ECANCELED {
                cancelled = cancelled.or(Some(ending));
                continue;
            }
            self.summary.operations += 1;
            if self.options.explain && !ending.place.is_empty() {
                *self.places.entry((ending.step, ending.place, ending.reason)).or_default() += 1;
            }
            if ending.error.is_ok() {
                results.insert(ending.step, ending.result);
                self.count_bytes(&step.operation, ending.result);
            } else if step.tolerated {
                any_error = true;
                self.summary.tolerated += 1;
            } else {
                any_error = true;
                failures.push(ending);
            }
        }
        let silent =
            program.steps.iter().zip(&reported).filter(|(step, reported)| step.silent && !**reported);
        self.summary.operations += silent.count() as u64;
        if !any_error {
            failures.extend(cancelled);
        }
        if !failures.is_empty() {
            self.summary.failed += 1;
        }
        for ending in failures {
            let step = &program.steps[ending.step];
            let (line, verb) = ending.within.unwrap_or((step.line, step.operation.verb()));
            self.failure(Failure {
                input: input.map(str::to_owned),
                line: Some(line),
                verb: Some(verb),
                errno: Some(ending.error.raw()),
                error: Some(ending.error.name()),
                message: ending.error.message().to_owned(),
            });
        }
        self.outputs(input, ended, &results);
        if let Some(timeline) = &ended.timeline {
            (self.observe)(Event::Timeline { input, timeline });
        }
        (self.observe)(Event::Done);
    }

    fn count_bytes<P: crate::program::Phase>(&mut self, operation: &Operation<P>, bytes: u64) {
        let sum = match operation {
            Operation::Read { .. } | Operation::Recv { .. } => &mut self.summary.bytes_read,
            Operation::Write { .. } | Operation::Send { .. } => &mut self.summary.bytes_written,
            Operation::Copy { .. } | Operation::Splice { .. } => &mut self.summary.bytes_copied,
            _ => return,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// What `get` and `print` show, for the steps that succeeded: first every `get`, then every `print`, in order.
    fn outputs(&mut self, input: Option<&str>, ended: &Ended, results: &HashMap<usize, u64>) {
        let program = self.program;
        for (index, step) in program.steps.iter().enumerate() {
            if let Operation::Get { value } = step.operation {
                self.output(input, results.get(&index), value, None);
            }
        }
        for slot in &program.prints {
            let buffer =
                ended.buffers.iter().find(|(owner, _)| owner == slot).map(|(_, bytes)| bytes.as_slice());
            let step = program.result(*slot).map(|info| info.step);
            let told = ended.values.iter().find(|(owner, _)| owner == slot).map(|(_, value)| value);
            self.output(input, told.or_else(|| results.get(&step?)), *slot, buffer);
        }
    }

    fn output(&mut self, input: Option<&str>, result: Option<&u64>, slot: Slot, buffer: Option<&[u8]>) {
        let (Some(info), Some(result)) = (self.program.result(slot), result) else { return };
        let output = render(input, &info.name, info.kind, *result, buffer);
        (self.observe)(Event::Output(&output));
        if self.options.collect {
            self.summary.outputs.push(output);
        }
    }

    fn finish(mut self, explanation: Option<&ouzel::Explanation>) -> Summary {
        let first = self.first.take().flatten();
        self.summary.explained_chain =
            explanation.map(|explanation| ExplainedChain::new(self.program, first, explanation));
        self.summary.explain = self
            .places
            .iter()
            .filter_map(|((step, place, reason), count)| {
                let step = self.program.steps.get(*step)?;
                let (line, verb) = (step.line, step.operation.verb());
                Some(Explained { line, verb, place, reason, count: *count })
            })
            .collect();
        self.summary
    }
}

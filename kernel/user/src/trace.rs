//! What the members of a chain did, as text.

use core::fmt;

use ouzel_chain::ring::{self, Step};

use crate::Done;

/// Shows a line for each step of a chain that has run, in the order they were added: its number, its verb, its error and its
/// result. One that is silent and succeeded has reported nothing.
#[derive(Debug)]
pub struct Trace<'a>(pub &'a Done);

impl fmt::Display for Trace<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, verb) in ring::ran(self.0).steps().iter().map(Step::verb).enumerate() {
            write!(formatter, "  step {step:<3} {:<9}", verb.name())?;
            match self.0.completion_of(step) {
                None => writeln!(formatter, "silent")?,
                Some(_) if self.0.skipped(step) => writeln!(formatter, "skipped")?,
                Some(completion) if completion.errno().is_ok() => {
                    writeln!(formatter, "-> {}", completion.result)?;
                }
                Some(completion) => writeln!(formatter, "-> {}", completion.errno().name())?,
            }
        }
        Ok(())
    }
}

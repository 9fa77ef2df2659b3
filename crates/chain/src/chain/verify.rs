//! Verification of chains: what the verifier of stored programs says of one, and what it may cost.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use ouzel_engine::{Interface, Program, Rejection};
use ouzel_ring::modifiers::Action;
use ouzel_ring::{Entry, EntryFlags, Verb};

use super::{Chain, Layout};
use crate::BuildError;

/// What is known of a chain before it runs. Steps are counted from 0, in the order they were added.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verification {
    /// Its steps, in the order of execution.
    pub steps: Vec<Planned>,
    /// How many steps can run at the most, each counted as often as the bounds of its loops allow.
    pub most_steps: u64,
    /// How many registers it uses.
    pub registers: usize,
    /// Why it could not be stored as a program, and the step at fault if it is one. Such a chain may be run all the same; what
    /// is wrong with it then shows as it runs.
    pub rejection: Option<(Option<usize>, Rejection)>,
}

/// A step as it will run. Its `Display` is for people.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Planned {
    /// The step.
    pub step: usize,
    /// What it is to do.
    pub verb: Verb,
    /// The registers that its arguments are loaded from.
    pub loads: [Option<usize>; 5],
    /// The register that its result is saved in.
    pub saves: Option<usize>,
    /// Whether it runs at the end.
    pub finally: bool,
    /// How many steps it skips if its condition holds.
    pub skips: usize,
    /// How many steps it goes back, and how often they run in all.
    pub repeats: Option<(usize, u64)>,
    /// Whether it stops the chain if its condition holds.
    pub stops: bool,
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<9}", self.verb.name())?;
        if self.finally {
            formatter.write_str(" at the end;")?;
        }
        for (argument, register) in self.loads.iter().enumerate() {
            if let Some(register) = register {
                write!(formatter, " argument {argument} from r{register};")?;
            }
        }
        if self.stops {
            formatter.write_str(" stops the chain if it holds;")?;
        }
        if self.skips > 0 {
            write!(formatter, " skips {} if it holds;", self.skips)?;
        }
        if let Some((back, bound)) = self.repeats {
            write!(formatter, " goes back {back}, {bound} turns in all;")?;
        }
        match self.saves {
            Some(register) => write!(formatter, " -> r{register}"),
            None => Ok(()),
        }
    }
}

impl Chain {
    /// Looks at the chain as the verifier of stored programs would, without running it.
    ///
    /// Errors: what [`check`](Chain::check) says.
    pub fn verify(&self) -> Result<Verification, BuildError> {
        let body = &*self.body;
        let layout = Layout::new(body)?;
        let apart = EntryFlags::LOCAL | EntryFlags::PROGRAM | EntryFlags::SILENT;
        let entries: Vec<Entry> = layout
            .entries
            .iter()
            .map(|(step, flags)| body.steps[*step as usize].entry(&body.text, *flags - apart, 0))
            .collect();
        // SAFETY: the program is dropped here and never stored, so nothing is ever done to what it names.
        let verified = unsafe { Program::with_addresses(&entries, Interface::default()) };
        let place = |place: usize| layout.entries.get(place).map(|(step, _)| *step as usize);
        let rejection = verified.err().map(|rejection| (rejection.step.and_then(place), rejection));
        let steps: Vec<Planned> =
            layout.entries.iter().map(|(step, flags)| self.planned(*step, *flags)).collect();
        Ok(Verification { most_steps: most_steps(&steps), steps, registers: layout.registers(), rejection })
    }

    fn planned(&self, number: u16, flags: EntryFlags) -> Planned {
        let step = &self.body.steps[number as usize];
        let (verb, distance) = (step.shape.verb(), step.shape.distance());
        let test = verb == Verb::Test;
        Planned {
            step: number as usize,
            verb,
            loads: core::array::from_fn(|argument| flags.loaded_from(argument)),
            saves: flags.saved_into(),
            finally: flags.contains(EntryFlags::FINALLY),
            skips: if test { distance } else { 0 },
            repeats: (verb == Verb::Repeat).then_some((distance, step.arguments[2])),
            stops: test && step.arguments[1] == Action::Stop as u64,
        }
    }
}

/// How many steps can run at the most.
fn most_steps(steps: &[Planned]) -> u64 {
    let mut times = vec![1u64; steps.len()];
    for (end, step) in steps.iter().enumerate() {
        if let Some((back, bound)) = step.repeats {
            let body = end.saturating_sub(back)..=end;
            times.get_mut(body).into_iter().flatten().for_each(|times| *times = times.saturating_mul(bound));
        }
    }
    times.into_iter().fold(0, u64::saturating_add)
}

//! Handing over: operations that a helper does, alone or several in one go.
//!
//! Each time a helper is woken, and wakes this thread again, costs as much as several of the calls it makes. So what a
//! file is made ready with for a COPY goes along with it. Nothing here waits; the pins of an operation keep its
//! descriptors' numbers until it is reported.

use std::os::fd::RawFd;

use ouzel_engine::{Directory, Operation, Outcome, Place, Report, Started, Step, Token, Way};
use ouzel_ring::Errno;

use super::helpers::{Helpers, Job};
use super::packets::{Effect, Lowered, Standing};
use super::table::NONE;
use super::trials::is_tried;
use super::{ON_THE_SPOT, Uring, calls};

/// The most operations that are handed over together.
const MOST: usize = 4;

/// Why what could be done otherwise is done by a helper.
const TOGETHER: &str = "a helper is needed for the COPY behind it, and does both in one go";

/// The file that an operation makes ready for a COPY behind it.
fn made_ready(operation: &Operation) -> Directory {
    match *operation {
        Operation::Truncate { file, .. } => Some(file),
        Operation::Chmod { directory, path: None, .. } => directory,
        _ => None,
    }
}

/// Whether a helper does both in one go.
pub(super) fn follows(previous: &Operation, next: &Operation) -> bool {
    made_ready(previous).is_some() && (matches!(next, Operation::Copy { .. }) || made_ready(next).is_some())
}

/// How many steps a helper does in one go; 0 if each of them is better done by itself.
pub(super) fn together(steps: &[Step]) -> usize {
    let most = &steps[..steps.len().min(MOST)];
    match most.iter().position(|step| made_ready(&step.operation).is_none()) {
        Some(place) if place > 0 && matches!(most[place].operation, Operation::Copy { .. }) => place + 1,
        _ => 0,
    }
}

impl Uring {
    /// Gives an operation to a helper.
    pub(super) fn hand_over(
        &mut self,
        step: &Step,
        indices: [u32; 2],
        numbers: [RawFd; 2],
        reason: &'static str,
    ) -> Started {
        let way = Way { place: Place::Helper, reason };
        let Step { token, operation, may_wait, .. } = *step;
        let job = Job { token, operation, numbers, may_wait, behind: None };
        match self.helpers().and_then(|helpers| helpers.start([job].into_iter())) {
            Ok(()) => {}
            Err(error) => return self.finish_now(Err(error), way),
        }
        self.begin_helped(token, indices);
        if is_tried(&operation) {
            self.begin_helped_trial(step, numbers);
        }
        Started::Taken { count: 1, way }
    }

    /// Gives these operations, at most [`MOST`], to one helper.
    pub(super) fn hand_over_together(&mut self, steps: &[Step]) -> Started {
        let nothing = ([NONE; 2], [calls::NOBODY; 2]);
        let mut named = [nothing; MOST];
        let mut count = 0;
        for (step, place) in steps.iter().zip(&mut named) {
            let (first, second) = match step.operation {
                Operation::Copy { source, target, .. } => (source, target),
                ref operation => (made_ready(operation).unwrap_or(NONE), NONE),
            };
            match self.numbers_of([first, second]) {
                Ok(numbers) => *place = ([first, second], numbers),
                Err(error) if count == 0 => return self.finish_now(Err(error), ON_THE_SPOT),
                // When its turn comes it is refused by itself.
                Err(_) => break,
            }
            count += 1;
        }
        let (steps, named) = (&steps[..count], &named[..count]);
        let way = Way { place: Place::Helper, reason: TOGETHER };
        let jobs = steps.iter().zip(named).enumerate().map(|(place, (step, (_, numbers)))| {
            let Step { token, operation, may_wait, edge } = *step;
            Job { token, operation, numbers: *numbers, may_wait, behind: (place > 0).then_some(edge) }
        });
        match self.helpers().and_then(|helpers| helpers.start(jobs)) {
            Ok(()) => {}
            Err(error) => return self.finish_now(Err(error), way),
        }
        for (step, (indices, _)) in steps.iter().zip(named) {
            self.begin_helped(step.token, *indices);
        }
        Started::Taken { count, way }
    }

    /// The numbers of the descriptors at `indices`, made where there are none.
    pub(super) fn numbers_of(&mut self, indices: [u32; 2]) -> Result<[RawFd; 2], Errno> {
        let mut numbers = [calls::NOBODY; 2];
        for (index, number) in indices.into_iter().zip(&mut numbers) {
            if index != NONE {
                *number = self.ensure_descriptor(index).and_then(|()| self.number(index))?;
            }
        }
        Ok(numbers)
    }

    /// A helper has left an operation, because one before it failed or was given up.
    #[cold]
    pub(super) fn helper_left(&mut self, token: Token) -> Option<Report> {
        self.packets.of(token)?;
        self.finish(token.slot);
        Some(Report { token, outcome: Outcome::NotRun, more: false })
    }

    fn begin_helped(&mut self, token: Token, indices: [u32; 2]) {
        let packet = self.packets.place(token.slot, None);
        packet.lowered = Lowered { effect: Effect::Nothing, pins: indices };
        packet.begin(token, NONE, Standing::HELPER);
        self.table.pin_all(indices);
        self.in_flight += 1;
    }

    /// The helper pool, made when it is first needed.
    fn helpers(&mut self) -> Result<&mut Helpers, Errno> {
        match &mut self.helpers {
            Some(helpers) => Ok(helpers),
            none => match Helpers::new() {
                Ok(helpers) => Ok(none.insert(helpers)),
                Err(error) => Err(error.raw_os_error().map_or(Errno::ENOMEM, Errno::from_raw)),
            },
        }
    }
}

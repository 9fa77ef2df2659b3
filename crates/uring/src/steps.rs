//! Which flags to try, newest first.
//!
//! Data, and a record of what came of it; the trying is done by [`Builder::first_of`](crate::Builder::first_of).

use core::fmt;

use crate::abi::SetupFlags;
use crate::error::SetupError;

/// Some flags that a kernel takes or refuses together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The flags.
    pub flags: SetupFlags,
    /// The first Linux that takes them.
    pub since: &'static str,
}

impl Step {
    /// No flags at all.
    pub const PLAIN: Self = Self { flags: SetupFlags::empty(), since: "5.1" };

    /// For a ring that stays on one thread: the fastest first, no flags last.
    pub const ONE_THREAD: [Self; 6] = [
        Self {
            flags: SetupFlags::NO_SQARRAY
                .union(SetupFlags::DEFER_TASKRUN)
                .union(SetupFlags::SINGLE_ISSUER)
                .union(SetupFlags::COOP_TASKRUN)
                .union(SetupFlags::SUBMIT_ALL),
            since: "6.6",
        },
        Self {
            flags: SetupFlags::DEFER_TASKRUN
                .union(SetupFlags::SINGLE_ISSUER)
                .union(SetupFlags::COOP_TASKRUN)
                .union(SetupFlags::SUBMIT_ALL),
            since: "6.1",
        },
        Self {
            flags: SetupFlags::SINGLE_ISSUER.union(SetupFlags::COOP_TASKRUN).union(SetupFlags::SUBMIT_ALL),
            since: "6.0",
        },
        Self { flags: SetupFlags::COOP_TASKRUN.union(SetupFlags::SUBMIT_ALL), since: "5.19" },
        Self { flags: SetupFlags::SUBMIT_ALL, since: "5.18" },
        Self::PLAIN,
    ];

    /// For a ring that moves between threads: the fastest first, no flags last.
    pub const MOVABLE: [Self; 4] = [
        Self {
            flags: SetupFlags::NO_SQARRAY.union(SetupFlags::COOP_TASKRUN).union(SetupFlags::SUBMIT_ALL),
            since: "6.6",
        },
        Self { flags: SetupFlags::COOP_TASKRUN.union(SetupFlags::SUBMIT_ALL), since: "5.19" },
        Self { flags: SetupFlags::SUBMIT_ALL, since: "5.18" },
        Self::PLAIN,
    ];
}

/// A step that the kernel refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was tried.
    pub step: Step,
    /// What the kernel said.
    pub error: SetupError,
}

/// Which step was taken and why those before it were not.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    pub(crate) taken: Step,
    refused: [Option<Refusal>; Self::REFUSALS_MAX],
    refused_count: usize,
}

impl StepReport {
    /// The most refusals that are kept; the lists of [`Step`] are shorter.
    pub const REFUSALS_MAX: usize = 8;

    pub(crate) const fn new() -> Self {
        Self { taken: Step::PLAIN, refused: [None; Self::REFUSALS_MAX], refused_count: 0 }
    }

    pub(crate) fn refuse(&mut self, step: Step, error: SetupError) {
        if let Some(place) = self.refused.get_mut(self.refused_count) {
            *place = Some(Refusal { step, error });
        }
        self.refused_count += 1;
    }

    /// The step that was taken.
    pub const fn taken(&self) -> Step {
        self.taken
    }

    /// The steps before it, in the order they were tried, at most [`REFUSALS_MAX`](Self::REFUSALS_MAX).
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.refused.iter().flatten()
    }

    /// How many steps were refused, those beyond the limit included.
    pub const fn refused_count(&self) -> usize {
        self.refused_count
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "flags {:?} (Linux {})", self.taken.flags, self.taken.since)?;
        for refusal in self.refused() {
            let Refusal { step, error } = refusal;
            write!(formatter, "; not {:?} (Linux {}): {error}", step.flags, step.since)?;
        }
        Ok(())
    }
}

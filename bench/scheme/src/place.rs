//! Where the processes run: on two processors, or both on one.

use std::error::Error;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the two sides are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each has a processor.
    Cross,
    /// Both are on one.
    Same,
}

impl Mode {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Cross => "cross",
            Mode::Same => "same",
        }
    }
}

/// The processors that are used: that of the side that measures, and that of the other side.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The side that measures.
    pub here: usize,
    /// The other.
    pub there: usize,
}

impl Place {
    /// The first and the last processor that may be used; the last alone; `None` if that is all there is.
    pub fn of(mode: Mode) -> Result<Option<Place>, Box<dyn Error>> {
        let allowed = sched_getaffinity(None)?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        let first = usable.next().ok_or("no processor may be used")?;
        let last = usable.next_back().unwrap_or(first);
        Ok(match mode {
            Mode::Cross => (first != last).then_some(Place { here: first, there: last }),
            Mode::Same => Some(Place { here: last, there: last }),
        })
    }
}

/// The processors that this thread may use.
pub fn allowed() -> Result<CpuSet, Box<dyn Error>> {
    Ok(sched_getaffinity(None)?)
}

/// Lets this thread use these again.
pub fn allow(set: &CpuSet) -> Result<(), Box<dyn Error>> {
    Ok(sched_setaffinity(None, set)?)
}

/// Keeps this thread to one processor.
pub fn pin_to(processor: usize) -> Result<(), Box<dyn Error>> {
    let mut set = CpuSet::new();
    set.set(processor);
    Ok(sched_setaffinity(None, &set)?)
}

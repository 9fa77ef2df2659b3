//! The protocol between the harness and a contender.
//!
//! A contender is started with its task as arguments, `contender LIST IN_FLIGHT [reused|allocated]` for
//! `small-files`. It prints one line
//! that says how it was set up, then makes one pass for each `run` line it is sent and prints one line with what came of
//! it. Only the pass is timed: neither start-up nor the protocol.

use std::error::Error;
use std::ffi::CString;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::{Tally, allocations};

/// What a contender is asked to do.
pub struct Task {
    /// The files, in the order to be read.
    pub paths: Vec<PathBuf>,
    /// The same with a NUL at their ends, for contenders that hand paths to the kernel as they are.
    pub c_paths: Vec<CString>,
    /// How many files may be in work at once.
    pub in_flight: usize,
    /// Whether each file is read into memory of its own; a contender that can do only one of the two does that.
    pub allocate: bool,
}

impl Task {
    fn from_arguments() -> Result<Task, Box<dyn Error>> {
        let usage = "usage: contender LIST IN_FLIGHT [reused|allocated]";
        let mut arguments = std::env::args().skip(1);
        let list = arguments.next().ok_or(usage)?;
        let in_flight = arguments.next().ok_or(usage)?.parse()?;
        let allocate = match arguments.next().as_deref() {
            None | Some("reused") => false,
            Some("allocated") => true,
            Some(_) => return Err(usage.into()),
        };
        let text =
            std::fs::read_to_string(&list).map_err(|error| format!("cannot read list {list}: {error}"))?;
        let mut c_paths = Vec::new();
        for line in text.lines() {
            c_paths.push(CString::new(line)?);
        }
        Ok(Task { paths: text.lines().map(PathBuf::from).collect(), c_paths, in_flight, allocate })
    }
}

/// Serves passes until standard input ends. `setting` tells how the contender was set up, for the table of results.
///
/// Errors: bad arguments, a pass that failed, a harness that went away.
pub fn serve(
    setting: &str,
    mut pass: impl FnMut(&Arc<Task>) -> Result<Tally, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    serve_with(|_| Ok(setting.to_owned()), |_: &mut String, task| pass(task))
}

/// As [`serve`], for contenders that set something up first. What `set_up` returns is handed to every pass; it prints
/// as the setting.
///
/// Errors: as for [`serve`], and those of `set_up`.
pub fn serve_with<S: ToString>(
    set_up: impl FnOnce(&Task) -> Result<S, Box<dyn Error>>,
    mut pass: impl FnMut(&mut S, &Arc<Task>) -> Result<Tally, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let task = Arc::new(Task::from_arguments()?);
    let mut state = set_up(&task)?;
    let setting = state.to_string();
    passes(&setting, || pass(&mut state, &task))
}

/// What a pass came to, for those where not all of it is timed.
#[derive(Clone, Copy, Default)]
pub struct Outcome {
    /// What was done.
    pub tally: Tally,
    /// Nanoseconds, if not the whole pass is what is measured, or not with this clock.
    pub nanoseconds: Option<u128>,
    /// Bytes that went to operations that had been given up.
    pub lost: u64,
}

impl From<Tally> for Outcome {
    fn from(tally: Tally) -> Outcome {
        Outcome { tally, ..Outcome::default() }
    }
}

/// Says how the contender was set up, then makes a pass for every line `run` until standard input ends.
///
/// Errors: a pass that failed, a harness that went away.
pub fn passes<O: Into<Outcome>>(
    setting: &str,
    mut pass: impl FnMut() -> Result<O, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{{\"setting\":{:?}}}", setting)?;
    output.flush()?;
    for line in std::io::stdin().lock().lines() {
        if line?.trim() != "run" {
            return Err("the harness says only `run`".into());
        }
        let allocations_before = allocations();
        let start = Instant::now();
        let outcome: Outcome = pass()?.into();
        let whole = start.elapsed().as_nanos();
        let allocations = allocations() - allocations_before;
        let Tally { items, bytes, checksum } = outcome.tally;
        let (nanoseconds, lost) = (outcome.nanoseconds.unwrap_or(whole), outcome.lost);
        writeln!(
            output,
            "{{\"ns\":{nanoseconds},\"items\":{items},\"bytes\":{bytes},\"checksum\":{checksum},\"allocs\":{allocations},\
             \"lost\":{lost}}}"
        )?;
        output.flush()?;
    }
    Ok(())
}

//! `raw-nop` and `raw-read`: what the libraries that drive a ring cost, with nothing above them. Here is what is raced, case
//! by case: a batch size and a mode, or a depth, a cache and a way to name file and memory. Each case is a race of its own.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use contender::Tally;
use raw_ring_task::{BLOCK_BYTES, blocks};

use crate::blocks::BLOCKS;
use crate::count;
use crate::entrants::{Contender, Entrant, Memory, Source, Work};
use crate::race::{self, Line};
use crate::{Options, build};

/// The measure, which runs first and last.
pub const MEASURE: &str = "liburing-c";
/// The measure's second run.
pub const AGAIN: &str = "liburing-c (again)";
/// Who is measured.
pub const OUZEL: &str = "ouzel-uring";
/// How often a case is raced with new processes: where one happens to lie in memory makes it a little faster or slower
/// for as long as it lives.
const HEATS: u32 = 5;
/// Operations in flight.
const IN_FLIGHT: [u32; 4] = [1, 8, 32, 128];

/// The contenders, in the order of a round.
pub fn contenders() -> Vec<Contender> {
    let contender = |name, what, source| Contender {
        name,
        what,
        source,
        in_flight: &IN_FLIGHT,
        pinned: true,
        memory: Memory::Reused,
    };
    let package = |name, what, package| contender(name, what, Source::Package(package));
    vec![
        contender(MEASURE, "liburing, in C", Source::C("raw-ring/liburing-c/main.c")),
        package(OUZEL, "Ouzel's Linux layer", "raw-ring-ouzel"),
        package("io-uring", "the io-uring crate", "raw-ring-io-uring"),
        package("rustix-uring", "the rustix-uring crate", "raw-ring-rustix-uring"),
    ]
}

/// The fewest operations in a timed pass.
const QUICKEST: u64 = 1 << 10;

/// One race.
pub struct Case {
    /// `raw-nop` or `raw-read`.
    pub benchmark: &'static str,
    /// What sets it apart, as the tables say it.
    pub name: String,
    words: Vec<&'static str>,
    in_flight: u32,
    file: Option<PathBuf>,
    /// Operations per pass: timed, traced, counted (none: counted with another case).
    operations: (u64, u64, Option<u64>),
}

/// A race and what came of it.
pub struct RawResult {
    /// What was raced.
    pub case: Case,
    /// Those that finished.
    pub lines: Vec<Line>,
}

/// The cases of `raw-nop`.
pub fn nop_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mode in ["default", "deferred"] {
        for in_flight in IN_FLIGHT {
            cases.push(Case {
                benchmark: "raw-nop",
                name: format!("{mode}, batch {in_flight}"),
                words: vec!["nop", mode],
                in_flight,
                file: None,
                operations: (1 << 16, 1 << 12, Some(1 << 12)),
            });
        }
    }
    cases
}

/// The cases of `raw-read`, out of `file`.
pub fn read_cases(file: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for cache in ["cached", "direct"] {
        for access in ["plain", "file", "buffer"] {
            for in_flight in IN_FLIGHT {
                // What is done in user space is the same whatever the cache.
                let operations = match cache {
                    "cached" => (1 << 14, 1 << 12, Some(1 << 11)),
                    _ => (1 << 10, 1 << 10, None),
                };
                cases.push(Case {
                    benchmark: "raw-read",
                    name: format!("{cache}, {access}, depth {in_flight}"),
                    words: vec!["read", cache, access],
                    in_flight,
                    file: Some(file.to_owned()),
                    operations,
                });
            }
        }
    }
    cases
}

impl Case {
    fn work(&self, operations: u64) -> Work {
        let mut arguments: Vec<OsString> = self.words.iter().map(OsString::from).collect();
        arguments.push(self.in_flight.to_string().into());
        arguments.push(operations.to_string().into());
        arguments.extend(self.file.iter().map(OsString::from));
        Work { arguments, items: operations }
    }

    /// What a pass must come to: the sum of the user data, or of the numbers of the blocks.
    fn expected(&self, operations: u64) -> Tally {
        let batch = u64::from(self.in_flight);
        match self.file {
            None => Tally {
                items: operations,
                bytes: 0,
                checksum: operations / batch * (batch * (batch - 1) / 2),
            },
            Some(_) => Tally {
                items: operations,
                bytes: operations * BLOCK_BYTES as u64,
                checksum: blocks(operations, BLOCKS).sum(),
            },
        }
    }

    fn entrants(&self, programs: &[(&'static str, PathBuf)], quick: bool) -> Vec<Entrant> {
        let (timed, traced, counted) = self.operations;
        let timed = if quick { (timed / 8).max(QUICKEST) } else { timed };
        let entrant = |(name, program): &(&'static str, PathBuf)| Entrant {
            name: (*name).to_owned(),
            program: program.clone(),
            in_flight: self.in_flight,
            pinned: true,
            memory: Memory::Reused,
            timed: self.work(timed),
            expected: self.expected(timed),
            traced: self.work(traced),
            counted: self.work(counted.unwrap_or(traced)),
        };
        let mut entrants: Vec<Entrant> = programs.iter().map(entrant).collect();
        if let Some(measure) = entrants.iter().find(|entrant| entrant.name == MEASURE) {
            entrants.push(Entrant { name: AGAIN.to_owned(), ..measure.clone() });
        }
        entrants
    }
}

/// Builds all contenders; `skip` is told of those that do not build.
pub fn build_all(home: &Path, mut skip: impl FnMut(&str, String)) -> Vec<(&'static str, PathBuf)> {
    let mut programs = Vec::new();
    for contender in contenders() {
        eprintln!("building {} for raw rings", contender.name);
        match build::build(home, &contender) {
            Ok(program) => programs.push((contender.name, program)),
            Err(reason) => skip(&format!("raw rings, {}", contender.name), reason),
        }
    }
    programs
}

/// Runs a case; `skip` is told of those that did not finish.
pub fn run(
    case: Case,
    programs: &[(&'static str, PathBuf)],
    work: &Path,
    options: &Options,
    mut skip: impl FnMut(&str, String),
) -> Result<RawResult, Box<dyn Error>> {
    eprintln!("{}: {}", case.benchmark, case.name);
    let entrants = case.entrants(programs, options.quick);
    let heats = if options.quick { 1 } else { HEATS };
    let mut lines: Vec<Line> = Vec::new();
    for heat in 0..heats {
        let (more, skipped) = race::run(&entrants, options.rounds())?;
        for (name, reason) in skipped {
            skip(&format!("{}, {}, {name}", case.benchmark, case.name), reason);
        }
        if heat == 0 {
            lines = more;
            continue;
        }
        // Who does not finish every heat is out.
        lines.retain(|line| more.iter().any(|more| more.name == line.name));
        for line in &mut lines {
            line.samples
                .extend(more.iter().filter(|more| more.name == line.name).flat_map(|more| &more.samples));
        }
    }
    for line in lines.iter_mut().filter(|line| line.name != AGAIN) {
        line.system_calls = count::system_calls(&line.entrant, work);
        if case.operations.2.is_some() {
            line.instructions = count::instructions(&line.entrant);
        }
    }
    Ok(RawResult { case, lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_batch_and_depth_is_there_once() {
        let cases: Vec<Case> = nop_cases().into_iter().chain(read_cases(Path::new("blocks"))).collect();
        assert_eq!(cases.len(), 2 * 4 + 2 * 3 * 4);
        let mut names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        assert!(cases.iter().all(|case| QUICKEST.is_multiple_of(u64::from(case.in_flight))));
    }

    #[test]
    fn the_sum_of_user_data_is_known() {
        let case = &nop_cases()[1];
        assert_eq!(case.expected(16).checksum, 2 * 28);
    }
}

//! The asynchronous benchmarks: Ouzel's executor beside other runtimes. Here is what is raced, case by case, and by whom; the
//! echo servers, which are driven from outside, are raced in `echoes`.

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use contender::Tally;
use raw_ring_task::{BLOCK_BYTES, blocks};

use crate::blocks::BLOCKS;
use crate::count::{self, Counted};
use crate::entrants::{Entrant, Memory, Work};
use crate::race::{self, Line};
use crate::{Options, build};

/// Who is measured.
pub const OUZEL: &str = "ouzel";

/// A program of `async/`.
#[derive(Clone, Copy)]
pub struct Contender {
    /// Its name, and its package's behind `async-`.
    pub name: &'static str,
    /// What it is, in one line.
    pub what: &'static str,
}

/// The contenders, in the order of a round.
pub const CONTENDERS: [Contender; 7] = [
    Contender { name: OUZEL, what: "Ouzel's executor" },
    Contender { name: "tokio", what: "tokio: epoll, and threads for files" },
    Contender { name: "tokio-uring", what: "tokio-uring" },
    Contender { name: "monoio", what: "monoio on io_uring" },
    Contender { name: "compio", what: "compio on io_uring" },
    Contender { name: "a10", what: "a10, with the LocalPool of futures" },
    Contender { name: "runite", what: "runite on io_uring" },
];

/// Ouzel inside a tokio runtime.
pub const IN_TOKIO: Contender =
    Contender { name: "ouzel-in-tokio", what: "Ouzel inside a multi-thread tokio runtime" };

/// What is raced in a tokio runtime: name, contender, way.
const WAYS: [(&str, &str, &str); 4] = [
    ("ouzel, run_in_tokio", "ouzel-in-tokio", "within"),
    ("ouzel, Remote", "ouzel-in-tokio", "remote"),
    ("tokio::fs", "tokio", "fs"),
    ("spawn_blocking, pread", "tokio", "blocking"),
];

/// The benchmarks by name, and what they are.
pub const BENCHMARKS: [(&str, &str); 7] = [
    ("async-nop", "NOPs as futures: one after the other, and 32 and 1,024 tasks at once"),
    ("async-read", "random reads of 4 KiB as futures, from the page cache and past it, 1 to 128 tasks"),
    ("echo", "TCP echo servers on one thread: 1, 64 and 512 connections, 64 bytes and 16 KiB"),
    ("timers", "100,000 sleeps at once; a million timers set and cancelled"),
    ("spawn", "tasks spawned and awaited; tasks that yield"),
    ("cancel", "10,000 reads that wait on sockets, dropped at once"),
    ("in-tokio", "random reads of 4 KiB by 32 tasks inside a multi-thread tokio runtime"),
];

/// A race.
pub struct Case {
    /// The benchmark.
    pub benchmark: &'static str,
    /// What sets it apart, as the tables say it.
    pub name: String,
    /// The arguments, with `#` for the number of operations, and `@` for the way.
    words: Vec<String>,
    file: Option<PathBuf>,
    in_flight: u32,
    /// Operations per pass: timed, in a quick run, traced, counted (none: not counted).
    operations: (u64, u64, u64, Option<u64>),
}

/// A race and what came of it.
pub struct AsyncResult {
    /// The benchmark.
    pub benchmark: &'static str,
    /// The case.
    pub name: String,
    /// Those that finished.
    pub lines: Vec<Line>,
    /// Those that have nothing of the kind, and what.
    pub lacking: Vec<(String, String)>,
    /// Calls of `io_uring_enter` per operation, by name, where they are told apart.
    pub enters: Vec<(String, Counted)>,
}

fn case(
    benchmark: &'static str,
    name: impl Into<String>,
    words: &[&str],
    in_flight: u32,
    operations: (u64, u64, u64, Option<u64>),
) -> Case {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Case { benchmark, name: name.into(), words, file: None, in_flight, operations }
}

/// The cases of a benchmark other than `echo`. `file` is for those that read.
pub fn cases(benchmark: &str, file: &Path) -> Vec<Case> {
    match benchmark {
        "async-nop" => [1, 32, 1024]
            .map(|tasks| {
                let words = ["nop", &tasks.to_string(), "#"];
                case(
                    "async-nop",
                    format!("{tasks} at once"),
                    &words,
                    tasks,
                    (1 << 16, 1 << 13, 1 << 13, Some(1 << 13)),
                )
            })
            .into(),
        "async-read" => ["cached", "direct"]
            .into_iter()
            .flat_map(|cache| [1, 4, 32, 128].map(|depth| (cache, depth)))
            .map(|(cache, depth)| {
                // What is done in user space is the same whatever the cache.
                let operations = match cache {
                    "cached" => (1 << 14, 1 << 11, 1 << 12, Some(1 << 11)),
                    _ => (1 << 11, 1 << 9, 1 << 10, None),
                };
                let words = ["read", cache, &depth.to_string(), "#"];
                let case = case("async-read", format!("{cache}, {depth} at once"), &words, depth, operations);
                Case { file: Some(file.to_owned()), ..case }
            })
            .collect(),
        "timers" => vec![
            case("timers", "sleeps", &["sleeps", "#"], 100_000, (100_000, 10_000, 10_000, Some(10_000))),
            case(
                "timers",
                "set and cancelled",
                &["timers", "#"],
                1,
                (1_000_000, 100_000, 10_000, Some(10_000)),
            ),
        ],
        "spawn" => vec![
            case(
                "spawn",
                "spawn and await",
                &["spawn", "#"],
                1000,
                (1_000_000, 100_000, 10_000, Some(10_000)),
            ),
            case(
                "spawn",
                "yield, 1 task",
                &["yield", "1", "#"],
                1,
                (1 << 19, 1 << 14, 1 << 12, Some(1 << 12)),
            ),
            case(
                "spawn",
                "yield, 64 tasks",
                &["yield", "64", "#"],
                64,
                (1 << 19, 1 << 16, 1 << 14, Some(1 << 14)),
            ),
        ],
        "cancel" => {
            vec![case(
                "cancel",
                "reads dropped",
                &["cancel", "#"],
                10_000,
                (10_000, 1_000, 1_000, Some(1_000)),
            )]
        }
        "in-tokio" => {
            let words = ["in-tokio", "@", "32", "#"];
            let case = case("in-tokio", "32 at once", &words, 32, (1 << 14, 1 << 12, 1 << 10, None));
            vec![Case { file: Some(file.to_owned()), ..case }]
        }
        _ => Vec::new(),
    }
}

impl Case {
    fn work(&self, operations: u64, way: &str) -> Work {
        let operations_word = operations.to_string();
        let words = self.words.iter().map(|word| match word.as_str() {
            "#" => OsString::from(&operations_word),
            "@" => way.into(),
            word => word.into(),
        });
        let arguments = words.chain(self.file.iter().map(OsString::from)).collect();
        Work { arguments, items: operations }
    }

    /// What a pass must come to: for reads, the sum of the numbers of the blocks.
    fn expected(&self, operations: u64) -> Tally {
        match self.file {
            None => Tally { items: operations, bytes: 0, checksum: 0 },
            Some(_) => Tally {
                items: operations,
                bytes: operations * BLOCK_BYTES as u64,
                checksum: blocks(operations, BLOCKS).sum(),
            },
        }
    }

    /// Whether everyone is kept on one processor: not those that bring threads of their own.
    fn pinned(&self, contender: &str) -> bool {
        self.benchmark != "in-tokio" && !(self.benchmark == "async-read" && contender == "tokio")
    }

    fn entrants(&self, programs: &[(&'static str, PathBuf)], quick: bool) -> Vec<Entrant> {
        let (timed, quickly, traced, counted) = self.operations;
        let timed = if quick { quickly } else { timed };
        let entrant = |name: &str, contender: &str, program: &Path, way: &str| Entrant {
            name: name.to_owned(),
            program: program.to_owned(),
            in_flight: self.in_flight,
            pinned: self.pinned(contender),
            memory: Memory::Reused,
            timed: self.work(timed, way),
            expected: self.expected(timed),
            traced: self.work(traced, way),
            counted: self.work(counted.unwrap_or(traced), way),
        };
        if self.benchmark == "in-tokio" {
            let ways = WAYS.iter().filter_map(|(name, contender, way)| {
                let (_, program) = programs.iter().find(|(known, _)| known == contender)?;
                Some(entrant(name, contender, program, way))
            });
            return ways.collect();
        }
        let own = programs.iter().filter(|(name, _)| *name != IN_TOKIO.name);
        own.map(|(name, program)| entrant(name, name, program, "")).collect()
    }
}

/// Builds the contenders of these benchmarks; `skip` is told of those that do not build.
pub fn build_all(
    home: &Path,
    benchmarks: &[&str],
    mut skip: impl FnMut(&str, String),
) -> Vec<(&'static str, PathBuf)> {
    let only_in_tokio = benchmarks == ["in-tokio"];
    let wanted = CONTENDERS.iter().filter(|contender| !only_in_tokio || contender.name == "tokio");
    let in_tokio = benchmarks.contains(&"in-tokio").then_some(&IN_TOKIO);
    let mut programs = Vec::new();
    for contender in wanted.chain(in_tokio) {
        eprintln!("building async-{}", contender.name);
        match build::package(home, &format!("async-{}", contender.name)) {
            Ok(program) => programs.push((contender.name, program)),
            Err(reason) => skip(&format!("asynchronous benchmarks, {}", contender.name), reason),
        }
    }
    programs
}

/// Runs a case; `skip` is told of those that did not finish. `counts`: also what is counted (a quick run counts only some).
pub fn run(
    case: &Case,
    programs: &[(&'static str, PathBuf)],
    work: &Path,
    options: &Options,
    counts: bool,
    mut skip: impl FnMut(&str, String),
) -> Result<AsyncResult, Box<dyn Error>> {
    eprintln!("{}: {}", case.benchmark, case.name);
    let (mut lines, skipped) = race::run(&case.entrants(programs, options.quick), options.rounds())?;
    let mut lacking = Vec::new();
    for (name, reason) in skipped {
        match reason.strip_prefix("no ") {
            Some(what) => lacking.push((name, what.to_owned())),
            None => skip(&format!("{}, {}, {name}", case.benchmark, case.name), reason),
        }
    }
    let mut enters = Vec::new();
    for line in lines.iter_mut().filter(|_| counts) {
        line.system_calls = count::system_calls(&line.entrant, work);
        if case.benchmark == "in-tokio" && (!options.quick || line.name.starts_with(OUZEL)) {
            enters.push((line.name.clone(), count::calls_of(&line.entrant, work, "io_uring_enter")));
        }
        if case.operations.3.is_some() && (!options.quick || line.name == OUZEL) {
            line.instructions = count::instructions(&line.entrant);
        }
    }
    Ok(AsyncResult { benchmark: case.benchmark, name: case.name.clone(), lines, lacking, enters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_benchmark_has_cases_and_every_case_is_there_once() {
        let mut names = Vec::new();
        for (benchmark, _) in BENCHMARKS.iter().filter(|(name, _)| *name != "echo") {
            let cases = cases(benchmark, Path::new("blocks"));
            assert!(!cases.is_empty(), "{benchmark}");
            assert!(cases.iter().all(|case| case.benchmark == *benchmark));
            names.extend(cases.iter().map(|case| format!("{benchmark} {}", case.name)));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn operations_are_shared_out_evenly() {
        for case in BENCHMARKS.iter().flat_map(|(benchmark, _)| cases(benchmark, Path::new("blocks"))) {
            let (timed, quick, traced, counted) = case.operations;
            let shares = if case.benchmark == "timers" { 1 } else { u64::from(case.in_flight) };
            for operations in [timed, quick, traced, counted.unwrap_or(traced)] {
                let even = case.benchmark == "cancel" || operations.is_multiple_of(shares);
                assert!(even, "{}: {operations}", case.name);
            }
        }
    }
}

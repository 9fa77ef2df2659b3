//! The results as text. Everything that ran is in it, faster or slower; what did not run is in it with the reason.

use std::fmt::Write;

use crate::Options;
use crate::async_report;
use crate::asyncs::AsyncResult;
use crate::copies::{CopyResult, WAYS};
use crate::count::Counted;
use crate::entrants::DEPTHS;
use crate::http::HttpResult;
use crate::http_report;
use crate::nops::Nop;
use crate::pools::{self, Pool};
use crate::race::Line;
use crate::raw_report;
use crate::raw_rings::RawResult;
use crate::schemes::{self, Schemes};
use crate::teardown::{self, Teardown};

/// All there is to tell.
pub struct Results {
    /// Rounds that counted.
    pub rounds: u32,
    /// Files read per pass.
    pub files: u32,
    /// Whether this is a whole run.
    pub whole: bool,
    /// What the files lie on.
    pub file_system: String,
    /// What the figures depend on.
    pub machine: Vec<(&'static str, String)>,
    /// The race over small files.
    pub race: Vec<Line>,
    /// The races of copies.
    pub copies: Vec<CopyResult>,
    /// The NOP race.
    pub nops: Vec<Nop>,
    /// The races of the libraries that drive a ring.
    pub raw: Vec<RawResult>,
    /// The race of pools.
    pub pools: Vec<Pool>,
    /// The races of runtimes.
    pub asyncs: Vec<AsyncResult>,
    /// What runtimes leave behind that are dropped.
    pub teardowns: Vec<Teardown>,
    /// The race between processes.
    pub schemes: Option<Schemes>,
    /// The race of HTTP servers.
    pub http: Option<HttpResult>,
    /// What did not run, and why.
    pub skipped: Vec<(String, String)>,
}

impl Results {
    /// Nothing yet.
    pub fn new(options: &Options) -> Results {
        Results {
            rounds: options.rounds(),
            files: options.files(),
            whole: options.is_whole(),
            file_system: String::new(),
            machine: Vec::new(),
            race: Vec::new(),
            copies: Vec::new(),
            nops: Vec::new(),
            raw: Vec::new(),
            pools: Vec::new(),
            asyncs: Vec::new(),
            teardowns: Vec::new(),
            schemes: None,
            http: None,
            skipped: Vec::new(),
        }
    }

    /// Notes that something did not run.
    pub fn skip(&mut self, name: &str, reason: String) {
        eprintln!("SKIPPED: {name}: {reason}");
        self.skipped.push((name.to_owned(), reason));
    }

    /// The line of an entrant.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.race.iter().find(|line| line.name == name)
    }
}

/// When and where races ran that were run again by themselves.
pub fn when(results: &Results) -> String {
    let about = |wanted: &str| {
        let found = results.machine.iter().find(|(name, _)| *name == wanted);
        found.map_or("unknown", |(_, value)| value)
    };
    format!(
        "Run by itself: {}; commit {}, {}; load after it {}.",
        about("processor"),
        about("commit"),
        about("date"),
        about("load after the run")
    )
}

/// The whole text.
pub fn write(results: &Results) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_to(&mut text, results);
    text
}

fn write_to(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "# Results\n")?;
    writeln!(text, "Written by `bench/run`; see [README.md](README.md) for what is measured and how.")?;
    writeln!(text, "Compare figures with each other, not with those of another run.\n")?;
    if !results.whole {
        writeln!(text, "**A partial or quick run: it shows that things work, not how fast they are.**\n")?;
    }
    writeln!(text, "| | |\n|---|---|")?;
    for (name, value) in &results.machine {
        writeln!(text, "| {name} | {value} |")?;
    }
    if !results.race.is_empty() {
        small_files(text, results)?;
    }
    if !results.copies.is_empty() {
        copies(text, results)?;
    }
    if !results.nops.is_empty() {
        nops(text, &results.nops)?;
    }
    raw_report::section(
        text,
        &results.raw,
        "raw-nop",
        "NOPs through the kernel's ring by four libraries: a batch in, one call that submits and waits for all of it, a batch \
         out.\nThe ring has 128 entries and either no flags (default) or SINGLE_ISSUER and DEFER_TASKRUN (deferred).",
    )?;
    let reads = format!(
        "Random reads of 4 KiB out of 64 MiB on {}, from the page cache (cached) or past it with O_DIRECT (direct); by descriptor \
         and address\n(plain), from a registered file (file), or from a registered file into registered buffers (buffer). As many \
         reads as the depth says go in\ntogether and are waited for together. SINGLE_ISSUER and DEFER_TASKRUN. Instructions are \
         counted with the page cache; they are the same past it.",
        results.file_system
    );
    raw_report::section(text, &results.raw, "raw-read", &reads)?;
    if !results.pools.is_empty() {
        pools::section(text, &results.pools)?;
    }
    async_report::sections(text, &results.asyncs)?;
    if !results.teardowns.is_empty() {
        teardown::section(text, &results.teardowns)?;
    }
    if let Some(schemes) = &results.schemes {
        schemes::section(text, schemes)?;
    }
    if let Some(http) = &results.http {
        http_report::section(text, http, results.rounds)?;
    }
    if !results.skipped.is_empty() {
        writeln!(text, "\n## Not run\n")?;
        for (name, reason) in &results.skipped {
            writeln!(text, "- SKIPPED: {name}: {reason}")?;
        }
    }
    Ok(())
}

fn small_files(text: &mut String, results: &Results) -> std::fmt::Result {
    let (files, rounds) = (results.files, results.rounds);
    let file_system = &results.file_system;
    writeln!(text, "\n## Small files\n")?;
    writeln!(
        text,
        "{files} files of 0 to 4 KiB on {file_system}, in the page cache, each opened, read whole and closed. {rounds} rounds after \
         one that warms up,\nall contenders in turn in every round. Nanoseconds per file; ratios are medians of the rounds' own \
         ratios, and below 1 is faster.\n"
    )?;
    if results.whole {
        writeln!(text, "![Nanoseconds per file](results-small-files.svg)\n")?;
    }
    writeln!(
        text,
        "| contender | median | min..max | to liburing-c x32 | to raw | system calls | instructions | allocations | result |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---|"
    )?;
    let best = results.line("liburing-c x32");
    let raw = results.line("raw");
    let mut lines: Vec<&Line> = results.race.iter().collect();
    lines.sort_by(|one, other| one.median().total_cmp(&other.median()));
    for line in &lines {
        let (low, high) = line.range();
        let ratio = |to: Option<&Line>| to.map_or("n/a".to_owned(), |to| format!("{:.2}", line.ratio_to(to)));
        writeln!(
            text,
            "| {} | {:.0} | {low:.0}..{high:.0} | {} | {} | {} | {} | {:.2} | {} |",
            line.name,
            line.median(),
            ratio(best),
            ratio(raw),
            counted(&line.system_calls, 2),
            counted(&line.instructions, 0),
            line.allocations,
            line.entrant.memory.name(),
        )?;
    }
    if let (Some(raw), Some(again)) = (raw, results.line("raw (again)")) {
        let apart = |ratio: f64| (ratio - 1.0).abs() * 100.0;
        let middle = apart(again.ratio_to(raw));
        let widest =
            again.samples.iter().zip(&raw.samples).map(|(again, raw)| apart(again / raw)).fold(0.0, f64::max);
        writeln!(
            text,
            "\nThe noise: the same program ran as `raw` and as `raw (again)`. They are {middle:.1} % apart in the median, \
             single rounds up to {widest:.1} %."
        )?;
    }
    writeln!(
        text,
        "\nSystem calls, instructions (in user space) and allocations are per file. A result that is allocated is read into new \
         memory for each\nfile; one that is reused, into memory that was there. What is allocated beside it is the contender's own."
    )?;
    better_way(text, results)?;
    verdict(text, results)?;
    writeln!(text, "\nHow they were set up:\n")?;
    for line in &results.race {
        let pinned = if line.entrant.pinned { "pinned to one processor" } else { "all processors" };
        writeln!(text, "- {}: {}; {} in flight; {pinned}", line.name, line.setting, line.entrant.in_flight)?;
    }
    let mut reasons: Vec<String> = Vec::new();
    for line in &results.race {
        for (what, count) in [("system calls", &line.system_calls), ("instructions", &line.instructions)] {
            if let Err(reason) = count {
                reasons.push(format!("- {}, {what}: {reason}", line.name));
            }
        }
    }
    if !reasons.is_empty() {
        writeln!(text, "\nNot counted:\n\n{}", reasons.join("\n"))?;
    }
    Ok(())
}

/// Ouzel beside the better of system calls and chains by hand, at each number of files in flight.
fn better_way(text: &mut String, results: &Results) -> std::fmt::Result {
    let Some(raw) = results.line("raw") else { return Ok(()) };
    let mut rows = String::new();
    for depth in DEPTHS {
        let by_hand = results.line(&format!("liburing-c x{depth}"));
        let (Some(ouzel), Some(by_hand)) = (results.line(&format!("ouzel x{depth}")), by_hand) else {
            continue;
        };
        let better = if by_hand.median() < raw.median() { by_hand } else { raw };
        let (low, high) = ouzel.ratio_bounds(better);
        let (better, ratio, to_raw) = (&better.name, ouzel.ratio_to(better), ouzel.ratio_to(raw));
        writeln!(rows, "| {depth} | {better} | {ratio:.2} | {low:.2}..{high:.2} | {to_raw:.2} |")?;
    }
    if !rows.is_empty() {
        writeln!(
            text,
            "\nOuzel's time by that of the better of the two plain ways, the loop of system calls (raw) and chains by hand:\n\n\
             | in flight | the better | Ouzel by it | 95 % bounds | Ouzel by raw |\n|---:|---|---:|---:|---:|\n{}",
            rows.trim_end()
        )?;
    }
    Ok(())
}

/// Says in words where Ouzel is slower than someone else, whoever it is.
fn verdict(text: &mut String, results: &Results) -> std::fmt::Result {
    for ouzel in results.race.iter().filter(|line| line.name.starts_with("ouzel")) {
        let mut losses: Vec<String> = Vec::new();
        for other in results.race.iter().filter(|line| !line.name.starts_with("ouzel")) {
            let ratio = ouzel.ratio_to(other);
            if ratio > 1.0 {
                losses.push(format!("{} (by {:.0} %)", other.name, (ratio - 1.0) * 100.0));
            }
        }
        if losses.is_empty() {
            writeln!(text, "\n{} is slower than none of the others.", ouzel.name)?;
        } else {
            writeln!(text, "\n{} is slower than: {}.", ouzel.name, losses.join(", "))?;
        }
    }
    Ok(())
}

fn copies(text: &mut String, results: &Results) -> std::fmt::Result {
    writeln!(text, "\n## Copy\n")?;
    writeln!(
        text,
        "A file on {} copied over another, source in the page cache, nothing synced. Microseconds per copy; the ratio is the median \
         of the rounds' own\nratios to the better of the others that go the same way: through memory, or by the kernel \
         (copy_file_range).\n",
        if results.file_system.is_empty() { "the same file system" } else { &results.file_system }
    )?;
    writeln!(
        text,
        "| size | way | contender | median | min..max | to the better | 95 % bounds | system calls | allocations |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|"
    )?;
    for CopyResult { size, lines } in &results.copies {
        for way in &WAYS {
            let Some(line) = lines.iter().find(|line| line.name == way.name) else { continue };
            let same_way = |other: &&Line| {
                let by_kernel = WAYS.iter().any(|way| way.name == other.name && way.by_kernel);
                !other.name.starts_with("ouzel") && by_kernel == way.by_kernel && other.name != line.name
            };
            let others = lines.iter().filter(same_way);
            let better = others.min_by(|one, other| one.median().total_cmp(&other.median()));
            let (ratio, bounds) = better.map_or(("".to_owned(), "".to_owned()), |better| {
                let (low, high) = line.ratio_bounds(better);
                (format!("{:.2}", line.ratio_to(better)), format!("{low:.2}..{high:.2}"))
            });
            let (low, high) = line.range();
            writeln!(
                text,
                "| {size} | {} | {} | {:.1} | {:.1}..{:.1} | {ratio} | {bounds} | {} | {:.2} |",
                if way.by_kernel { "kernel" } else { "memory" },
                line.name,
                line.median() / 1e3,
                low / 1e3,
                high / 1e3,
                counted(&line.system_calls, 1),
                line.allocations,
            )?;
        }
    }
    Ok(())
}

fn nops(text: &mut String, nops: &[Nop]) -> std::fmt::Result {
    writeln!(text, "\n## NOP\n")?;
    writeln!(
        text,
        "An operation that does nothing: through Ouzel's raw ring and engine on the simulator (64-byte entries, 32-byte completions, \
         no kernel),\na push and a pop of `rtrb`, the kernel's ring (io-uring crate, SINGLE_ISSUER and DEFER_TASKRUN), and getppid. \
         One process, one\nprocessor, in turn. The last column is Ouzel's time by this one's: above 1, Ouzel is slower.\n"
    )?;
    writeln!(
        text,
        "| batch | contender | ns/op | min..max | instructions | Ouzel by this |\n|---:|---|---:|---:|---:|---:|"
    )?;
    for nop in nops {
        let ouzel = nops.iter().find(|other| other.batch == nop.batch && other.name == "ouzel");
        let ratio = ouzel.map_or("n/a".to_owned(), |ouzel| format!("{:.2}", ouzel.median / nop.median));
        let Nop { batch, name, median, min, max, .. } = nop;
        let instructions = match &nop.instructions {
            Ok(count) => format!("{count:.0}"),
            Err(_) => String::new(),
        };
        writeln!(text, "| {batch} | {name} | {median:.1} | {min:.1}..{max:.1} | {instructions} | {ratio} |")?;
    }
    writeln!(text, "\nInstructions in user space, counted at batch 32.")?;
    for nop in nops.iter().filter(|nop| nop.batch == 32) {
        if let Err(reason) = &nop.instructions {
            writeln!(text, "\nNot counted for {}: {reason}.", nop.name)?;
        }
    }
    Ok(())
}

fn counted(count: &Counted, decimals: usize) -> String {
    match count {
        Ok(count) => format!("{count:.decimals$}"),
        Err(_) => "n/a".to_owned(),
    }
}

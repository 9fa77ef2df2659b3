//! Rings between processes: one program that holds everybody; here it is only run and read.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Options;

/// What the program says, line by line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Placement { placement: String },
    Goal(Goal),
    Row(Row),
}

/// Nanoseconds for one of something.
#[derive(Deserialize)]
struct Row {
    section: String,
    mode: String,
    name: String,
    median: f64,
    min: f64,
    max: f64,
}

/// A ratio that has a bound.
#[derive(Deserialize)]
struct Goal {
    goal: String,
    bound: f64,
    at_most: bool,
    median: f64,
    min: f64,
    max: f64,
    met: bool,
}

/// All that it said.
pub struct Schemes {
    placement: String,
    rows: Vec<Row>,
    goals: Vec<Goal>,
    skipped: Vec<String>,
}

/// Runs it.
pub fn run(program: &Path, options: &Options) -> Result<Schemes, Box<dyn Error>> {
    let chunks = if options.quick { "8" } else { "64" };
    let output = Command::new(program).args(["--json", &options.rounds().to_string(), chunks]).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(errors.trim().to_owned().into());
    }
    let skipped =
        errors.lines().filter_map(|line| line.strip_prefix("SKIPPED: ")).map(str::to_owned).collect();
    let mut schemes = Schemes { placement: String::new(), rows: Vec::new(), goals: Vec::new(), skipped };
    for line in String::from_utf8(output.stdout)?.lines() {
        match serde_json::from_str(line)? {
            Said::Placement { placement } => schemes.placement = placement,
            Said::Goal(goal) => schemes.goals.push(goal),
            Said::Row(row) => schemes.rows.push(row),
        }
    }
    Ok(schemes)
}

/// What a section of the race is about.
fn title(section: &str, mode: &str) -> &'static str {
    match (section, mode) {
        ("probe", _) => "two words passed to and fro by spinning: where the two processors are",
        ("spin", _) => "round trip, spinning where that is possible; 64 bytes through pipes and socket",
        ("sleep", "cross") => "round trip, both sides sleep at once",
        ("sleep", _) => "round trip, both sides on one processor",
        ("batch", _) => "an entry, 32 at a time",
        ("read", "cross") => "4 KiB of a cached file",
        ("read", _) => "4 KiB of a cached file, both sides on one processor",
        ("chain", "cross") => "open, read 4 KiB, close",
        ("chain", _) => "open, read 4 KiB, close, both sides on one processor",
        _ => "",
    }
}

/// The section of the results.
pub fn section(text: &mut String, schemes: &Schemes) -> std::fmt::Result {
    writeln!(text, "\n## Between processes\n")?;
    writeln!(
        text,
        "A client and a service (`ouzel_scheme`; reads and chains through `Ring::connect`), a bare ring of the same layout without engine \
         and wake words,\nthe engine in process, futexes, pipes, a socket. Nanoseconds, each round with new processes. Of every round the median \
         of short chunks, so that\nwhat else runs on the machine counts less. The ratio is to the first of its kind. The two processors are \
         **{}** (below 200 ns for two words is near).\n",
        schemes.placement
    )?;
    writeln!(text, "| what | who | median | min..max | ratio |\n|---|---|---:|---:|---:|")?;
    for row in &schemes.rows {
        let first = schemes.rows.iter().find(|first| first.section == row.section && first.mode == row.mode);
        let ratio = first.map_or(1.0, |first| row.median / first.median);
        let Row { section, mode, name, median, min, max } = row;
        let what = title(section, mode);
        writeln!(text, "| {what} | {name} | {median:.1} | {min:.1}..{max:.1} | {ratio:.2} |")?;
    }
    writeln!(
        text,
        "\nWhat was to be reached; medians of the rounds' own ratios:\n\n| ratio | bound | median | min..max | reached |\n|---|---|---:|---:|---|"
    )?;
    for Goal { goal, bound, at_most, median, min, max, met } in &schemes.goals {
        let side = if *at_most { "at most" } else { "at least" };
        let met = if *met { "yes" } else { "**no**" };
        writeln!(text, "| {goal} | {side} {bound} | {median:.2} | {min:.2}..{max:.2} | {met} |")?;
    }
    for skipped in &schemes.skipped {
        writeln!(text, "\nSKIPPED: {skipped}")?;
    }
    Ok(())
}

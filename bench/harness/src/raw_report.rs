//! The results of `raw-nop` and `raw-read` as text: times as ratios, counts beside each other, and in words where Ouzel is
//! behind anyone.

use std::fmt::Write;

use crate::count::Counted;
use crate::race::Line;
use crate::raw_rings::{AGAIN, MEASURE, OUZEL, RawResult};

/// What counts as no difference whatever the noise: times are not measured more finely.
const FINEST: f64 = 0.01;
/// How far behind liburing is still beside it.
const BESIDE: f64 = 0.03;

/// The columns: everyone that may have run once.
const COLUMNS: [&str; 4] = [MEASURE, OUZEL, "io-uring", "rustix-uring"];

impl RawResult {
    fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// The median ratio of the times of two, and between which values it lies.
    fn ratio(&self, one: &str, other: &str) -> Option<(f64, f64, f64)> {
        let (one, other) = (self.line(one)?, self.line(other)?);
        let (low, high) = one.ratio_bounds(other);
        Some((one.ratio_to(other), low, high))
    }

    /// How far the same program is from itself.
    fn noise(&self) -> f64 {
        self.ratio(AGAIN, MEASURE).map_or(0.0, |(ratio, _, _)| (ratio - 1.0).abs())
    }
}

/// The section of a benchmark, if it ran.
pub fn section(
    text: &mut String,
    results: &[RawResult],
    benchmark: &str,
    introduction: &str,
) -> std::fmt::Result {
    let results: Vec<&RawResult> = results
        .iter()
        .filter(|result| result.case.benchmark == benchmark && !result.lines.is_empty())
        .collect();
    if results.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## {benchmark}\n\n{introduction}\n")?;
    times(text, &results)?;
    counts(text, &results)?;
    verdict(text, &results)?;
    writeln!(text, "\nHow they were set up:\n")?;
    for line in results.iter().take(1).flat_map(|result| &result.lines).filter(|line| line.name != AGAIN) {
        writeln!(text, "- {}: {}; pinned to one processor", line.name, line.setting)?;
    }
    Ok(())
}

fn times(text: &mut String, results: &[&RawResult]) -> std::fmt::Result {
    writeln!(
        text,
        "Nanoseconds per operation (median), and {OUZEL}'s time by the others': the median of the rounds' own ratios and \
         in brackets\nbetween which values it lies with 95 % confidence. Below 1 {OUZEL} is faster. The last column is the noise: \
         the same program, {MEASURE}, by itself.\n"
    )?;
    writeln!(
        text,
        "| case | {MEASURE} | {OUZEL} | by {MEASURE} | by io-uring | by rustix-uring | {MEASURE} by itself |"
    )?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|---:|")?;
    for result in results {
        let time = |name| result.line(name).map_or("n/a".to_owned(), |line| format!("{:.1}", line.median()));
        let ratio = |one, other| {
            result
                .ratio(one, other)
                .map_or("n/a".to_owned(), |(ratio, low, high)| format!("{ratio:.3} ({low:.3}..{high:.3})"))
        };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            result.case.name,
            time(MEASURE),
            time(OUZEL),
            ratio(OUZEL, MEASURE),
            ratio(OUZEL, "io-uring"),
            ratio(OUZEL, "rustix-uring"),
            ratio(AGAIN, MEASURE),
        )?;
    }
    Ok(())
}

fn counts(text: &mut String, results: &[&RawResult]) -> std::fmt::Result {
    writeln!(text, "\nPer operation: instructions in user space, system calls, allocations.\n")?;
    writeln!(text, "| case |{}", COLUMNS.map(|name| format!(" {name} |")).concat())?;
    writeln!(text, "|---|{}", "---:|".repeat(COLUMNS.len()))?;
    for result in results {
        write!(text, "| {} |", result.case.name)?;
        for name in COLUMNS {
            match result.line(name) {
                Some(line) => write!(
                    text,
                    " {}, {}, {:.2} |",
                    counted(&line.instructions, 1),
                    counted(&line.system_calls, 3),
                    line.allocations
                )?,
                None => write!(text, " n/a |")?,
            }
        }
        writeln!(text)?;
    }
    let mut reasons: Vec<String> = Vec::new();
    for (name, reason) in
        results.iter().flat_map(|result| &result.lines).filter(|line| line.name != AGAIN).flat_map(|line| {
            [(&line.name, line.system_calls.as_ref().err()), (&line.name, line.instructions.as_ref().err())]
        })
    {
        if let Some(reason) = reason.filter(|reason| *reason != "not counted") {
            reasons.push(format!("- {name}: {reason}"));
        }
    }
    reasons.dedup();
    if !reasons.is_empty() {
        writeln!(text, "\nNot counted:\n\n{}", reasons.join("\n"))?;
    }
    Ok(())
}

fn counted(count: &Counted, decimals: usize) -> String {
    match count {
        Ok(count) => format!("{count:.decimals$}"),
        Err(_) => "-".to_owned(),
    }
}

/// Says in words where Ouzel is behind.
fn verdict(text: &mut String, results: &[&RawResult]) -> std::fmt::Result {
    for other in COLUMNS.into_iter().filter(|name| *name != OUZEL) {
        let limit = if other == MEASURE { BESIDE } else { FINEST };
        let (mut slower, mut unclear) = (Vec::new(), Vec::new());
        for result in results {
            let Some((ratio, low, _)) = result.ratio(OUZEL, other) else { continue };
            let allowed = 1.0 + result.noise().max(limit);
            let percent = (ratio - 1.0) * 100.0;
            if low > allowed {
                slower.push(format!("{} (by {percent:.1} %)", result.case.name));
            } else if ratio > allowed {
                unclear.push(format!("{} ({percent:.1} %)", result.case.name));
            }
        }
        let how = format!("by more than {:.0} % or, where that is more, the noise", limit * 100.0);
        match slower.len() {
            0 => writeln!(text, "\n{OUZEL} is nowhere slower than {other} {how}.")?,
            _ => writeln!(text, "\n{OUZEL} is slower than {other} {how}: {}.", slower.join("; "))?,
        }
        if !unclear.is_empty() {
            writeln!(text, "In the median, but not with confidence, it is: {}.", unclear.join("; "))?;
        }
        more(text, results, other, "instructions", 0.05, |line| line.instructions.as_ref().ok().copied())?;
        more(text, results, other, "system calls", 0.002, |line| line.system_calls.as_ref().ok().copied())?;
    }
    Ok(())
}

/// Says where Ouzel's count is above another's by more than `limit`.
fn more(
    text: &mut String,
    results: &[&RawResult],
    other: &str,
    what: &str,
    limit: f64,
    count: impl Fn(&Line) -> Option<f64>,
) -> std::fmt::Result {
    let (mut more, mut compared) = (Vec::new(), 0);
    for result in results {
        let counts = (result.line(OUZEL).and_then(&count), result.line(other).and_then(&count));
        if let (Some(ours), Some(theirs)) = counts {
            compared += 1;
            if ours > theirs + limit {
                more.push(format!("{} ({ours:.2} to {theirs:.2})", result.case.name));
            }
        }
    }
    match (compared, more.len()) {
        (0, _) => Ok(()),
        (_, 0) => writeln!(text, "It nowhere takes more {what}."),
        _ => writeln!(text, "It takes more {what}: {}.", more.join("; ")),
    }
}

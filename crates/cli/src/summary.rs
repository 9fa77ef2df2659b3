//! What a run came to: counts, failures and outputs, as types that become text or JSON.

use serde::Serialize;

use crate::explained::ExplainedChain;

/// The outcome of `ouzel run`. Field names are those of `--json`; `docs/program.md` lists them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The program's name.
    pub program: String,
    /// What executed it.
    pub backend: String,
    /// Why that.
    pub backend_reason: String,
    /// Chains run, those that failed included.
    pub inputs: u64,
    /// Inputs with at least one failure.
    pub failed: u64,
    /// Operations that ran; cancelled ones did not.
    pub operations: u64,
    /// Errors of `try` statements.
    pub tolerated: u64,
    /// Bytes read and received.
    pub bytes_read: u64,
    /// Bytes written and sent.
    pub bytes_written: u64,
    /// Bytes copied from descriptor to descriptor.
    pub bytes_copied: u64,
    /// Crossings into the executor.
    pub crossings: u64,
    /// From the first start to the last end.
    pub elapsed_nanoseconds: u64,
    /// How many chains were allowed at the same time.
    pub in_flight: u32,
    /// What failed. Empty unless they were to be collected.
    pub failures: Vec<Failure>,
    /// What was printed. Empty unless it was to be collected.
    pub outputs: Vec<Output>,
    /// Where the statements ran. Empty unless asked for.
    pub explain: Vec<Explained>,
    /// The first chain, step by step. `None` unless asked for.
    pub explained_chain: Option<ExplainedChain>,
}

/// Why an input failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The input; `None` for a run without `--each`.
    pub input: Option<String>,
    /// The line of the statement, from 1; `None` if no statement is to blame.
    pub line: Option<usize>,
    /// Its verb; `None` as above.
    pub verb: Option<&'static str>,
    /// The error number; `None` if the chain never started.
    pub errno: Option<i32>,
    /// The error's name, such as `ENOENT`.
    pub error: Option<&'static str>,
    /// The error in words.
    pub message: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(input) = &self.input {
            write!(formatter, "{input}: ")?;
        }
        if let (Some(line), Some(verb)) = (self.line, self.verb) {
            write!(formatter, "line {line}: {verb}: ")?;
        }
        write!(formatter, "{}", self.message)?;
        if let (Some(error), Some(errno)) = (self.error, self.errno) {
            write!(formatter, " ({error} {errno})")?;
        }
        Ok(())
    }
}

/// Something that a program printed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// The input; `None` for a run without `--each`.
    pub input: Option<String>,
    /// The name of the result.
    pub name: String,
    /// Its value: a number, text, a list of names or an object. Bytes that are no UTF-8 are an object `{"hex": …}`.
    pub value: serde_json::Value,
    /// What goes to a terminal.
    #[serde(skip)]
    pub bytes: Vec<u8>,
}

/// Where a statement ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Its line, from 1.
    pub line: usize,
    /// Its verb.
    pub verb: &'static str,
    /// Where.
    pub place: &'static str,
    /// Why there; empty where there was no choice.
    pub reason: &'static str,
    /// How often.
    pub count: u64,
}

impl Summary {
    /// The summary in a few lines, each ended.
    pub fn text(&self) -> String {
        let inputs = match (self.inputs, self.failed) {
            (1, 0) => "1 chain".to_owned(),
            (inputs, 0) => format!("{} chains", grouped(inputs)),
            (inputs, failed) => format!("{} of {} chains failed", grouped(failed), grouped(inputs)),
        };
        let mut text = format!("{inputs}, {} operations", grouped(self.operations));
        for (bytes, what) in
            [(self.bytes_read, "read"), (self.bytes_written, "written"), (self.bytes_copied, "copied")]
        {
            if bytes > 0 {
                text.push_str(&format!(", {} {what}", size(bytes)));
            }
        }
        let (crossings, time) = (grouped(self.crossings), duration(self.elapsed_nanoseconds));
        text.push_str(&format!(", {crossings} crossings, {time}, {}", self.backend));
        if !self.backend_reason.is_empty() {
            text.push_str(&format!(" ({})", self.backend_reason));
        }
        text.push('\n');
        if self.tolerated > 0 {
            text.push_str(&format!("{} errors of `try` statements\n", grouped(self.tolerated)));
        }
        if let Some(chain) = &self.explained_chain {
            text.push_str(&chain.to_string());
            if self.inputs == 1 {
                return text;
            }
            text.push_str("all chains:\n");
        }
        for step in &self.explain {
            let because = if step.reason.is_empty() { String::new() } else { format!(": {}", step.reason) };
            let (count, place) = (grouped(step.count), step.place);
            text.push_str(&format!("  line {} {}: {count} × {place}{because}\n", step.line, step.verb));
        }
        text
    }
}

/// A count with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // A value that would print as 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time with a unit.
pub fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} µs", nanoseconds as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanoseconds as f64 / 1e6),
        _ => format!("{:.2} s", nanoseconds as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)],
            ["0", "999", "1 000", "1 234 567"]
        );
        assert_eq!([size(0), size(1023), size(1024), size(1536)], ["0 B", "1023 B", "1.0 KiB", "1.5 KiB"]);
        assert_eq!([size((1 << 20) - 1), size(u64::MAX)], ["1.0 MiB", "16.0 EiB"]);
        assert_eq!(
            [duration(5), duration(1_500), duration(2_000_000), duration(61_000_000_000)],
            ["5 ns", "1.5 µs", "2.0 ms", "61.00 s"]
        );
    }
}

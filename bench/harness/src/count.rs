//! What can be counted does not depend on how busy the machine is: system calls with strace, instructions in user space
//! with valgrind. Both count one run with few passes and one with more; the difference leaves start-up out.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::entrants::Entrant;

/// A count, or why there is none.
pub type Counted = Result<f64, String>;

/// The longest a counted run may take.
const BOUND: Duration = Duration::from_secs(180);
/// Passes of the short run and of the long one.
const PASSES: (u64, u64) = (2, 4);

/// System calls per file or operation, of all threads. `work` is where the tracer may write.
pub fn system_calls(entrant: &Entrant, work: &Path) -> Counted {
    difference(
        |passes| traced(entrant, work, &[], passes)?.ok_or_else(|| "strace printed no total".to_owned()),
        entrant.traced.items,
    )
}

/// Calls of one kind per file or operation, of all threads.
pub fn calls_of(entrant: &Entrant, work: &Path, call: &str) -> Counted {
    let only = format!("trace={call}");
    // It prints nothing if there are none.
    difference(
        |passes| Ok(traced(entrant, work, &["-e", &only], passes)?.unwrap_or(0.0)),
        entrant.traced.items,
    )
}

/// The calls of so many passes.
fn traced(entrant: &Entrant, work: &Path, options: &[&str], passes: u64) -> Result<Option<f64>, String> {
    let table = work.join("strace.out");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o"]).arg(&table).args(options);
    command.arg(&entrant.program).args(&entrant.traced.arguments);
    run(command, "strace", &"run\n".repeat(passes as usize))?;
    let text = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
    Ok(total_calls(&text))
}

/// Instructions in user space per file or operation, of all threads.
pub fn instructions(entrant: &Entrant) -> Counted {
    let collect = |passes: u64| {
        let mut command = callgrind(&entrant.program);
        command.args(&entrant.counted.arguments);
        collected(&run(command, "valgrind", &"run\n".repeat(passes as usize))?)
    };
    difference(collect, entrant.counted.items)
}

/// A program under valgrind's instruction counter.
pub fn callgrind(program: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    command
}

/// Runs a program under a counter and returns what it printed to standard error.
pub fn run(mut command: Command, tool: &str, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{tool} is missing: {error}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that ended early says why on standard error.
        let _ = pipe.write_all(input.as_bytes());
    }
    let errors = child.stderr.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        // What is not text is of no use here.
        let _ = errors.map(|mut errors| errors.read_to_string(&mut text));
        text
    });
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < BOUND => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("under {tool} it did not end within {} s", BOUND.as_secs()));
            }
        }
    };
    let text = reader.join().unwrap_or_default();
    if status.success() {
        return Ok(text);
    }
    let line =
        text.lines().map(|line| line.trim_start_matches(|c: char| c == '=' || c.is_ascii_digit()).trim());
    let telling = line.clone().find(|line| line.starts_with("Error") || line.contains("liburing-c:"));
    let last = telling.or_else(|| line.clone().rfind(|line| !line.is_empty())).unwrap_or("no message");
    Err(format!("under {tool} it fails ({status}): {last}"))
}

/// Instructions, out of what valgrind printed.
pub fn collected(text: &str) -> Result<f64, String> {
    let line = text.lines().find_map(|line| line.split_once("Collected :")).map(|(_, number)| number.trim());
    line.and_then(|number| number.parse().ok()).ok_or_else(|| "valgrind printed no count".to_owned())
}

/// What is between a run of few passes and one of more, per file or operation.
pub fn difference(count: impl Fn(u64) -> Result<f64, String>, items: u64) -> Counted {
    let (few, many) = (count(PASSES.0)?, count(PASSES.1)?);
    Ok((many - few) / ((PASSES.1 - PASSES.0) * items) as f64)
}

/// The calls of the last line of strace's table: share, seconds, microseconds per call, calls, maybe errors, "total".
pub fn total_calls(table: &str) -> Option<f64> {
    let line = table.lines().rfind(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_totals_are_found_with_and_without_errors() {
        let table = "% time seconds usecs/call calls errors syscall\n 99.00 0.1 1 90 read\n";
        assert_eq!(
            total_calls(&format!("{table}100.00    0.004063           9       430        12 total\n")),
            Some(430.0)
        );
        assert_eq!(
            total_calls(&format!("{table}100.00    0.004063           9       431           total\n")),
            Some(431.0)
        );
        assert_eq!(total_calls(table), None);
    }

    #[test]
    fn valgrind_counts_are_found() {
        assert_eq!(collected("==1== \n==1== Collected : 12345\n"), Ok(12345.0));
        assert!(collected("==1== nothing").is_err());
    }
}

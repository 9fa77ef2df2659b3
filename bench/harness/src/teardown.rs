//! `teardown`: runtimes dropped with reads past the page cache in flight, and what becomes of memory that is taken after that.
//! No race: each contender runs a few times, and a run that the allocator ends is a result too.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{Options, blocks, build};

/// The longest a run may take.
const BOUND: Duration = Duration::from_secs(60);

/// The contenders, in the order of the table: the name, its package and what is dropped.
const CONTENDERS: [(&str, &str, &str); 3] = [
    ("ouzel", "teardown-ouzel", "the ring, with every read submitted"),
    ("monoio", "teardown-monoio", "reads polled once, then the runtime"),
    ("compio", "teardown-compio", "reads polled once, then the runtime"),
];

/// What a run says before it ends.
#[derive(Deserialize)]
struct Said {
    fresh: u32,
    overwritten: u32,
    drop_us: u64,
}

/// A run of a contender.
struct Run {
    /// What it said, if it came so far.
    said: Option<Said>,
    /// Why it did not end well.
    ended: Option<String>,
}

/// A contender's runs.
pub struct Teardown {
    name: &'static str,
    what: &'static str,
    runs: Vec<Run>,
}

/// Runs them; `skip` is told of those that do not build.
pub fn run(
    home: &Path,
    options: &Options,
    mut skip: impl FnMut(&str, String),
) -> Result<Vec<Teardown>, Box<dyn Error>> {
    let file = blocks::prepare(&home.join("work"))?;
    let times = if options.is_quick() { 2 } else { 10 };
    let mut results = Vec::new();
    for (name, package, what) in CONTENDERS {
        eprintln!("building {name} for teardown");
        let program = match build::package(home, package) {
            Ok(program) => program,
            Err(reason) => {
                skip(&format!("teardown, {name}"), reason);
                continue;
            }
        };
        let runs: Result<Vec<Run>, _> = (0..times).map(|_| one(&program, &file)).collect();
        results.push(Teardown { name, what, runs: runs? });
    }
    Ok(results)
}

fn one(program: &Path, file: &Path) -> Result<Run, Box<dyn Error>> {
    let mut child = Command::new(program).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let status = wait(&mut child)?;
    let (mut said, mut last) = (String::new(), String::new());
    child.stdout.take().ok_or("no standard output")?.read_to_string(&mut said)?;
    child.stderr.take().ok_or("no standard error")?.read_to_string(&mut last)?;
    let ended = match (status, status.and_then(|status| status.signal())) {
        (None, _) => Some(format!("still running after {} s", BOUND.as_secs())),
        (Some(_), Some(signal)) => Some(format!("signal {signal}: {}", last_line(&last))),
        (Some(status), None) if !status.success() => Some(last_line(&last).to_owned()),
        _ => None,
    };
    Ok(Run { said: serde_json::from_str(said.trim()).ok(), ended })
}

fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    while start.elapsed() < BOUND {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim()
}

/// The section of the results.
pub fn section(text: &mut String, results: &[Teardown]) -> std::fmt::Result {
    writeln!(text, "\n## Teardown\n")?;
    writeln!(
        text,
        "900 reads of 32 KiB past the page cache are begun and dropped with everything that began them; then as much memory is\n\
         taken anew, filled, and looked at for 0.3 s. All programs forbid unsafe code: whatever changes was written by the\n\
         kernel into memory that had been given back.\n"
    )?;
    writeln!(
        text,
        "| contender | what is dropped | runs | new buffers overwritten | ended badly | drop, µs |"
    )?;
    writeln!(text, "|---|---|---:|---:|---|---:|")?;
    for Teardown { name, what, runs } in results {
        let said = || runs.iter().filter_map(|run| run.said.as_ref());
        let fresh: u32 = said().map(|said| said.fresh).sum();
        let overwritten: u32 = said().map(|said| said.overwritten).sum();
        let longest = said().map(|said| said.drop_us).max().unwrap_or(0);
        let ended: Vec<&str> = runs.iter().filter_map(|run| run.ended.as_deref()).collect();
        let badly = match ended.first() {
            None => "none".to_owned(),
            Some(first) => format!("{}: {first}", ended.len()),
        };
        writeln!(
            text,
            "| {name} | {what} | {} | {overwritten} of {fresh} | {badly} | {longest} |",
            runs.len()
        )?;
    }
    Ok(())
}

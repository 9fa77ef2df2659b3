//! A contender as a child process. Every wait is bounded: a contender that hangs is killed and named, and the others go on.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use contender::Tally;
use serde::Deserialize;

use crate::entrants::Entrant;

/// The longest a pass may take.
const BOUND: Duration = Duration::from_secs(120);

/// What a pass came to.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Pass {
    /// Nanoseconds.
    pub ns: u64,
    /// Files read or operations made.
    pub items: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The sum over what was read.
    pub checksum: u64,
    /// Allocations.
    pub allocs: u64,
    /// Bytes that went to operations that had been given up, where there are such.
    #[serde(default)]
    pub lost: u64,
}

#[derive(Deserialize)]
struct Hello {
    setting: String,
}

/// A contender that is running.
pub struct Running {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// How it says it was set up.
    pub setting: String,
}

/// What a child says on its standard output, line by line as it comes.
pub fn lines_of(child: &mut Child) -> Result<Receiver<String>, Box<dyn Error>> {
    let output = child.stdout.take().ok_or("no standard output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok(lines)
}

impl Running {
    /// Starts it, where it is to run.
    pub fn start(entrant: &Entrant) -> Result<Running, Box<dyn Error>> {
        Running::start_on(entrant, entrant.pinned.then_some(Processor::Last))
    }

    /// Starts it on this processor, or on all.
    pub fn start_on(entrant: &Entrant, processor: Option<Processor>) -> Result<Running, Box<dyn Error>> {
        let mut command = Command::new(&entrant.program);
        command.args(&entrant.timed.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match processor {
            Some(processor) => pinned_to(processor, || command.spawn())??,
            None => command.spawn()?,
        };
        let lines = lines_of(&mut child)?;
        let input = child.stdin.take();
        let mut running = Running { child, input, lines, setting: String::new() };
        let hello: Hello = serde_json::from_str(&running.line()?)?;
        running.setting = hello.setting;
        Ok(running)
    }

    /// Lets it make one pass and checks that it has done everything.
    pub fn pass(&mut self, expected: Tally) -> Result<Pass, Box<dyn Error>> {
        let input = self.input.as_mut().ok_or("its input is closed")?;
        if let Err(error) = input.write_all(b"run\n") {
            return Err(self.reason().unwrap_or_else(|| error.to_string()).into());
        }
        let pass: Pass = serde_json::from_str(&self.line()?)?;
        if (pass.items, pass.bytes, pass.checksum) != (expected.items, expected.bytes, expected.checksum) {
            return Err(format!("it came to something else: {pass:?} instead of {expected:?}").into());
        }
        Ok(pass)
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        match self.lines.recv_timeout(BOUND) {
            Ok(line) => Ok(line),
            Err(error) => Err(self.reason().unwrap_or_else(|| error.to_string()).into()),
        }
    }

    /// What it said when it failed. Ends it.
    fn reason(&mut self) -> Option<String> {
        self.stop();
        let mut text = String::new();
        self.child.stderr.take()?.read_to_string(&mut text).ok()?;
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        Some(line.trim().trim_start_matches("Error: ").trim_matches('"').to_owned())
    }

    fn stop(&mut self) {
        self.input = None;
        // One that fails is given the time to say so.
        for _ in 0..50 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It may end by itself in between; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of the processors this thread may use.
#[derive(Clone, Copy)]
pub enum Processor {
    /// The first, where those are that drive others.
    First,
    /// The last, where those are that are measured.
    Last,
}

/// Does something on one processor: a child started meanwhile stays there.
pub fn pinned_to<T>(processor: Processor, action: impl FnOnce() -> T) -> Result<T, Box<dyn Error>> {
    let before = rustix::thread::sched_getaffinity(None)?;
    let mut usable = (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| before.is_set(*cpu));
    let chosen = match processor {
        Processor::First => usable.next(),
        Processor::Last => usable.next_back(),
    };
    let mut one = rustix::thread::CpuSet::new();
    one.set(chosen.unwrap_or(0));
    rustix::thread::sched_setaffinity(None, &one)?;
    let result = action();
    rustix::thread::sched_setaffinity(None, &before)?;
    Ok(result)
}

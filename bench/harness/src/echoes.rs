//! `echo`: the same client drives one server after the other, in turn, round by round. A server is a child process on the
//! last processor, its client one on the first. What is timed is the client's pass; beside it stands what the server has
//! used of its processor, which does not hide behind the client.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use contender::Tally;
use serde::Deserialize;

use crate::Options;
use crate::asyncs::{AsyncResult, OUZEL};
use crate::count::{self, Counted};
use crate::entrants::{Entrant, Memory, Work};
use crate::process::{Processor, Running, lines_of, pinned_to};
use crate::race::Line;

/// Connections and bytes of a message.
const CASES: [(u32, u64); 6] = [(1, 64), (64, 64), (512, 64), (1, 16 << 10), (64, 16 << 10), (512, 16 << 10)];
/// The longest a server may take to say something.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Hello {
    setting: String,
    address: String,
}

/// What a server has used so far.
#[derive(Clone, Copy, Deserialize)]
struct Used {
    allocs: u64,
    processor_ns: u64,
}

/// A server that is running, alone or under a tool that counts.
struct Server {
    child: Child,
    lines: Receiver<String>,
    hello: Hello,
}

impl Server {
    /// Starts it on the last processor.
    fn start(mut command: Command) -> Result<Server, Box<dyn Error>> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pinned_to(Processor::Last, || command.spawn())??;
        let lines = lines_of(&mut child)?;
        let said = lines.recv_timeout(BOUND);
        let hello = match said {
            Ok(said) => serde_json::from_str(&said)?,
            Err(_) => {
                // It may have ended by itself.
                let _ = child.kill();
                let said = child.wait_with_output()?.stderr;
                let said = String::from_utf8_lossy(&said);
                let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it says nothing");
                return Err(line.trim_start_matches("Error: ").trim_matches('"').to_owned().into());
            }
        };
        Ok(Server { child, lines, hello })
    }

    fn used(&mut self) -> Result<Used, Box<dyn Error>> {
        self.child.stdin.as_mut().ok_or("its input is closed")?.write_all(b"used\n")?;
        Ok(serde_json::from_str(&self.lines.recv_timeout(BOUND)?)?)
    }

    /// Ends it, and returns what it, or the tool, said on standard error.
    fn end(mut self) -> Result<String, Box<dyn Error>> {
        // Its input ends, and it with that.
        drop(self.child.stdin.take());
        for _ in 0..1000 {
            if self.child.try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // It may have ended in between.
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut errors, &mut text)?;
        }
        self.child.wait()?;
        Ok(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Messages of a pass: timed, traced, counted.
fn messages(connections: u32, bytes: u64, quick: bool) -> (u64, u64, u64) {
    let timed: u64 = match (connections, bytes) {
        (1, 64) => 1 << 13,
        (1, _) => 1 << 12,
        (_, 64) => 1 << 15,
        _ => 1 << 13,
    };
    (if quick { timed / 8 } else { timed }, 1 << 11, 1 << 11)
}

fn client(program: &Path, name: &str, address: &str, connections: u32, bytes: u64, messages: u64) -> Entrant {
    let words = [address.to_owned(), connections.to_string(), bytes.to_string(), messages.to_string()];
    let work = Work { arguments: words.map(Into::into).into(), items: messages };
    Entrant {
        name: name.to_owned(),
        program: program.to_owned(),
        in_flight: connections,
        pinned: true,
        memory: Memory::Reused,
        timed: work.clone(),
        expected: Tally { items: messages, bytes: messages * bytes, checksum: 0 },
        traced: work.clone(),
        counted: work,
    }
}

/// What a pair of server and client came to so far.
struct Pair {
    server: Server,
    client: Running,
    line: Line,
}

impl Pair {
    fn start(
        name: &str,
        program: &Path,
        load: &Path,
        (connections, bytes): (u32, u64),
        messages: u64,
    ) -> Result<Pair, Box<dyn Error>> {
        let mut command = Command::new(program);
        command.args(["echo", &bytes.to_string()]);
        let server = Server::start(command)?;
        let entrant = client(load, name, &server.hello.address, connections, bytes, messages);
        let client = Running::start_on(&entrant, Some(Processor::First))?;
        let line = Line::new(name, &server.hello.setting, entrant);
        Ok(Pair { server, client, line })
    }

    /// One pass. Those before `counts` warm up.
    fn pass(&mut self, counts: bool, processor: &mut Vec<f64>) -> Result<(), Box<dyn Error>> {
        let before = self.server.used()?;
        let pass = self.client.pass(self.line.entrant.expected)?;
        let after = self.server.used()?;
        let per_message = |from: u64, to: u64| to.saturating_sub(from) as f64 / pass.items as f64;
        // What the answer itself allocates is in it, some 10 of thousands.
        self.line.allocations = per_message(before.allocs, after.allocs);
        if counts {
            self.line.samples.push(pass.ns as f64 / pass.items as f64);
            processor.push(per_message(before.processor_ns, after.processor_ns));
        }
        Ok(())
    }
}

/// Races all servers over all cases.
pub fn run(
    programs: &[(&'static str, PathBuf)],
    load: &Path,
    work: &Path,
    options: &Options,
    mut skip: impl FnMut(&str, String),
) -> Result<Vec<AsyncResult>, Box<dyn Error>> {
    let mut results = Vec::new();
    for (number, case) in CASES.into_iter().enumerate() {
        let (connections, bytes) = case;
        let size = if bytes < 1024 { format!("{bytes} bytes") } else { format!("{} KiB", bytes >> 10) };
        let plural = if connections == 1 { "" } else { "s" };
        let name = format!("{size}, {connections} connection{plural}");
        eprintln!("echo: {name}");
        let (timed, traced, counted) = messages(connections, bytes, options.quick);
        let mut pairs = Vec::new();
        for (contender, program) in programs {
            match Pair::start(contender, program, load, case, timed) {
                Ok(pair) => pairs.push((pair, Vec::new())),
                Err(reason) => skip(&format!("echo, {name}, {contender}"), reason.to_string()),
            }
        }
        for round in 0..=options.rounds() {
            pairs.retain_mut(|(pair, processor)| match pair.pass(round > 0, processor) {
                Ok(()) => true,
                Err(error) => {
                    let reason = format!("failed in round {round}: {error}");
                    skip(&format!("echo, {name}, {}", pair.line.name), reason);
                    false
                }
            });
            pairs.reverse();
        }
        let mut lines = Vec::new();
        for (contender, program) in programs {
            let Some(at) = pairs.iter().position(|(pair, _)| pair.line.name == *contender) else { continue };
            let (pair, processor) = pairs.swap_remove(at);
            let Pair { server, client, mut line } = pair;
            drop(client);
            server.end()?;
            line.processor = Some(crate::race::median(processor));
            if !options.quick || number == 0 {
                line.system_calls = system_calls(program, load, work, case, traced);
            }
            // Half of the cases differ from the others only in what the kernel copies.
            if (!options.quick && bytes == 64) || (number == 0 && line.name == OUZEL) {
                line.instructions = instructions(program, load, case, counted);
            }
            lines.push(line);
        }
        results.push(AsyncResult { benchmark: "echo", name, lines, lacking: Vec::new(), enters: Vec::new() });
    }
    Ok(results)
}

/// Runs a server under a tool, drives it for so many passes, and returns what the tool said.
fn under(
    mut tool: Command,
    program: &Path,
    load: &Path,
    (connections, bytes): (u32, u64),
    messages: u64,
    passes: u64,
) -> Result<String, String> {
    tool.arg(program).args(["echo", &bytes.to_string()]);
    let drive = || -> Result<String, Box<dyn Error>> {
        let server = Server::start(tool)?;
        let entrant = client(load, "", &server.hello.address, connections, bytes, messages);
        let mut client = Running::start_on(&entrant, Some(Processor::First))?;
        for _ in 0..passes {
            client.pass(entrant.expected)?;
        }
        // Connections end while it is still there.
        drop(client);
        server.end()
    };
    drive().map_err(|error| error.to_string())
}

/// System calls of the server per message. Under the tracer it is slower, so more may travel together.
fn system_calls(program: &Path, load: &Path, work: &Path, case: (u32, u64), messages: u64) -> Counted {
    let table = work.join("strace.out");
    let calls = |passes| {
        let mut tool = Command::new("strace");
        tool.args(["-f", "-c", "-o"]).arg(&table);
        under(tool, program, load, case, messages, passes)?;
        let text = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
        count::total_calls(&text).ok_or_else(|| "strace printed no total".to_owned())
    };
    count::difference(calls, messages)
}

/// Instructions of the server in user space per message.
fn instructions(program: &Path, load: &Path, case: (u32, u64), messages: u64) -> Counted {
    let collect = |passes| {
        let mut tool = Command::new("valgrind");
        tool.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        count::collected(&under(tool, program, load, case, messages, passes)?)
    };
    count::difference(collect, messages)
}

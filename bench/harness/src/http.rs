//! The race of HTTP servers: the same server on several runtimes, one thread each, driven by wrk over loopback.
//!
//! All servers run all the time and one of them is asked at a time, round by round, every other round in the opposite
//! order. A server is on the last processor and wrk on the first. Before anything is timed, each server's answer is
//! compared with the file, byte for byte. Instructions are not counted: valgrind does not know `openat2`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::count::{self, Counted};
use crate::process::{Processor, pinned_to};
use crate::{Options, build};

/// Who is measured.
pub const OUZEL: &str = "ouzel";
/// Its second run.
pub const AGAIN: &str = "ouzel (again)";
/// Connections at once.
pub const CONNECTIONS: [u32; 4] = [1, 16, 64, 256];
/// Bytes of the file.
pub const FILE_BYTES: usize = 4096;
/// The longest a server may take to start or to end, under a tracer too.
const BOUND: Duration = Duration::from_secs(60);

/// A server in the race.
#[derive(Clone, Copy)]
pub struct Contender {
    /// Its name.
    pub name: &'static str,
    /// How it serves.
    pub what: &'static str,
    package: &'static str,
    variant: &'static [&'static str],
}

/// The servers, in the order of a round.
pub const CONTENDERS: [Contender; 5] = [
    Contender {
        name: OUZEL,
        what: "examples/http: chains on one ring, its own choice of backend",
        package: "http-ouzel",
        variant: &["--listen", "127.0.0.1:0"],
    },
    Contender {
        name: "tokio-inline",
        what: "tokio, current_thread; openat2, fstat, pread, close as plain calls in the task",
        package: "http-tokio",
        variant: &["inline"],
    },
    Contender {
        name: "tokio-blocking",
        what: "tokio, current_thread; the same calls in one closure for spawn_blocking",
        package: "http-tokio",
        variant: &["blocking"],
    },
    Contender {
        name: "monoio-inline",
        what: "monoio, IoUringDriver, 1024 entries, SINGLE_ISSUER, COOP_TASKRUN, TASKRUN_FLAG; the same calls in the task",
        package: "http-monoio",
        variant: &["inline"],
    },
    Contender {
        name: "monoio-own",
        what: "the same; monoio's own File: open, metadata, read_at, close, not beneath the root",
        package: "http-monoio",
        variant: &["own"],
    },
];

/// What a server came to at a number of connections.
pub struct HttpLine {
    /// The server's name.
    pub name: &'static str,
    /// Connections at once.
    pub connections: u32,
    /// Requests per second, round by round.
    pub samples: Vec<f64>,
    /// Nanoseconds of the server's processor time per request, round by round.
    pub processor: Vec<f64>,
    /// System calls per request.
    pub system_calls: Counted,
}

/// The race and its counts.
pub struct HttpResult {
    /// Every server that finished, at every number of connections.
    pub lines: Vec<HttpLine>,
}

/// Builds, races and counts; `skip` is told of what did not.
pub fn run(
    home: &Path,
    options: &Options,
    mut skip: impl FnMut(&str, String),
) -> Result<HttpResult, Box<dyn Error>> {
    let root = prepare(&home.join("work"))?;
    let mut programs: Vec<(Contender, PathBuf)> = Vec::new();
    for contender in CONTENDERS {
        eprintln!("building {} for http", contender.name);
        match build::package(home, contender.package) {
            Ok(program) => programs.push((contender, program)),
            Err(reason) => skip(&format!("http, {}", contender.name), reason),
        }
    }
    if let Some((ouzel, program)) = programs.iter().find(|(contender, _)| contender.name == OUZEL).cloned() {
        programs.push((Contender { name: AGAIN, ..ouzel }, program));
    }
    let mut servers = Vec::new();
    for (contender, program) in &programs {
        let started = Served::start(program, contender, &root);
        match started.and_then(|server| server.check(&root).map(|()| server)) {
            Ok(server) => servers.push((*contender, server)),
            Err(error) => skip(&format!("http, {}", contender.name), error.to_string()),
        }
    }
    let mut lines = race(&mut servers, options, &mut skip);
    for line in lines.iter_mut().filter(|line| line.name != AGAIN) {
        if let Some((_, server)) = servers.iter().find(|(contender, _)| contender.name == line.name) {
            eprintln!("counting calls of {} with {} connections", line.name, line.connections);
            line.system_calls = system_calls(server, line.connections, &home.join("work"));
        }
    }
    Ok(HttpResult { lines })
}

fn race(
    servers: &mut Vec<(Contender, Served)>,
    options: &Options,
    skip: &mut impl FnMut(&str, String),
) -> Vec<HttpLine> {
    let seconds = if options.quick { 1 } else { 2 };
    let mut lines = Vec::new();
    for connections in CONNECTIONS {
        let mut raced: Vec<HttpLine> = servers
            .iter()
            .map(|(contender, _)| HttpLine {
                name: contender.name,
                connections,
                samples: Vec::new(),
                processor: Vec::new(),
                system_calls: Err("not counted".to_owned()),
            })
            .collect();
        for round in 0..=options.rounds() {
            eprintln!("http with {connections} connections, round {round}");
            servers.retain(|(contender, server)| match server.drive(connections, seconds) {
                Ok(driven) => {
                    let line = raced.iter_mut().find(|line| line.name == contender.name);
                    if let Some(line) = line.filter(|_| round > 0) {
                        line.samples.push(driven.per_second);
                        line.processor.extend(driven.processor);
                    }
                    true
                }
                Err(reason) => {
                    skip(&format!("http, {} with {connections} connections", contender.name), reason);
                    raced.retain(|line| line.name != contender.name);
                    false
                }
            });
            servers.reverse();
        }
        lines.append(&mut raced);
    }
    lines
}

/// Makes the file.
fn prepare(work: &Path) -> std::io::Result<PathBuf> {
    let root = work.join("http");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("file.html"), contents())?;
    Ok(root)
}

fn contents() -> Vec<u8> {
    (0..FILE_BYTES).map(|place| b'a' + (place * 7 % 26) as u8).collect()
}

/// What wrk came to.
struct Driven {
    requests: f64,
    per_second: f64,
    /// Nanoseconds of the server's processor time per request, if the kernel counts them.
    processor: Option<f64>,
}

/// A server that is running.
struct Served {
    child: Child,
    url: String,
    address: String,
}

impl Served {
    /// Starts it on the last processor.
    fn start(program: &Path, contender: &Contender, root: &Path) -> Result<Served, Box<dyn Error>> {
        let mut command = Command::new(program);
        command.arg(root).args(contender.variant);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pinned_to(Processor::Last, || command.spawn())??;
        let output = child.stdout.take().ok_or("no standard output")?;
        let (sender, line) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            // The others are read too, so that the server can write them.
            let _ = sender.send(lines.next().unwrap_or_default());
            lines.for_each(drop);
        });
        let said = line.recv_timeout(BOUND).unwrap_or_default();
        let address = said.strip_prefix("listening on http://").map(|address| address.trim_end_matches('/'));
        let Some(address) = address.map(str::to_owned) else {
            let _ = child.kill();
            let mut text = String::new();
            child.stderr.take().ok_or("no standard error")?.read_to_string(&mut text)?;
            child.wait()?;
            return Err(format!("it said {said:?} and {:?}", text.trim()).into());
        };
        Ok(Served { child, url: format!("http://{address}/file.html"), address })
    }

    /// Compares an answer with the file.
    fn check(&self, root: &Path) -> Result<(), Box<dyn Error>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(BOUND))?;
        stream.write_all(b"GET /file.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no end of a head")? + 4;
        if !answer.starts_with(b"HTTP/1.1 200 ") || answer[body..] != std::fs::read(root.join("file.html"))? {
            return Err("its answer is not the file".into());
        }
        Ok(())
    }

    /// Lets wrk ask for so many seconds.
    fn drive(&self, connections: u32, seconds: u32) -> Result<Driven, String> {
        let mut command = Command::new("wrk");
        command.args(["--threads", "1", "--timeout", "30s", "--connections", &connections.to_string()]);
        command.args(["--duration", &format!("{seconds}s")]).arg(&self.url);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let before = self.processor_time();
        let child = pinned_to(Processor::First, || command.spawn()).map_err(|error| error.to_string())?;
        let child = child.map_err(|error| format!("wrk is missing (Debian: wrk): {error}"))?;
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        let mut driven = driven(&String::from_utf8_lossy(&output.stdout))?;
        let spent = self.processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        driven.processor = spent.map(|spent| spent as f64 / driven.requests);
        Ok(driven)
    }

    /// The processor time of all its threads until now, in nanoseconds, as far as they are still there.
    fn processor_time(&self) -> Option<u64> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        threads
            .flatten()
            .map(|thread| {
                let said = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
                said.split_whitespace().next()?.parse::<u64>().ok()
            })
            .sum()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> Result<(), String> {
    let start = Instant::now();
    while let Ok(None) = child.try_wait() {
        if start.elapsed() > BOUND {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", BOUND.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// What wrk said. A single answer that is not a success, or an error, fails it.
fn driven(said: &str) -> Result<Driven, String> {
    for wrong in ["Non-2xx", "Socket errors"] {
        if let Some(line) = said.lines().find(|line| line.contains(wrong)) {
            return Err(line.trim().to_owned());
        }
    }
    let number = |marker: &str, place: usize| {
        let line = said.lines().find(|line| line.contains(marker))?;
        line.split_whitespace().nth(place)?.parse::<f64>().ok()
    };
    match (number("requests in", 0), number("Requests/sec:", 1)) {
        (Some(requests), Some(per_second)) if requests > 0.0 => {
            Ok(Driven { requests, per_second, processor: None })
        }
        _ => Err(format!("wrk said {said:?}")),
    }
}

/// System calls per request, of all threads. The tracer slows it down, so more requests may travel together.
fn system_calls(server: &Served, connections: u32, work: &Path) -> Counted {
    let table = work.join("strace.out");
    let mut tracer = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .args(["-p", &server.child.id().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("strace is missing: {error}"))?;
    std::thread::sleep(Duration::from_millis(500));
    let driven = server.drive(connections, 1);
    if let Some(pid) = i32::try_from(tracer.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::INT);
    }
    wait(&mut tracer)?;
    let text = std::fs::read_to_string(&table).map_err(|error| error.to_string())?;
    let calls = count::total_calls(&text).ok_or("strace printed no total")?;
    Ok(calls / driven?.requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood() {
        let said = "Running 1s test\n  9120 requests in 1.00s, 3.61MB read\nRequests/sec:   9090.50\n";
        let driven_well = driven(said).map(|driven| (driven.requests, driven.per_second));
        assert_eq!(driven_well, Ok((9120.0, 9090.5)));
        assert!(driven(&format!("{said}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(driven(&format!("{said}  Socket errors: connect 0, read 1, write 0, timeout 0\n")).is_err());
        assert!(driven("").is_err());
    }
}

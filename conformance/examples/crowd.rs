//! A crowd of clients at one service, some of which are killed all the time.
//!
//! Usage: `crowd CLIENTS ACTIVE KILLS SECONDS DIRECTORY`; `ci/soak-schemes` calls it. The service and the clients are this program
//! again. One process keeps CLIENTS - ACTIVE connections that do nothing; ACTIVE processes have one each, and open, read and
//! close a file by chains, checking what they read; of those KILLS in each second are killed and replaced. No
//! client but those that are killed may meet an error, and at the end the service has as many descriptors, mappings and threads
//! as before the crowd came, and no more memory than after its first ten seconds (by a tenth, and 8 MiB).

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::backend::HostBackend;
use ouzel::scheme::{Client, ClientOptions, Name, Quotas, Server};
use ouzel::{Buffer, Chain, Offset, OpenOptions, Ring, RingBuilder};
use rustix::process::{Resource, getrlimit, setrlimit};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The name, in a folder of this run.
const NAME: &str = "crowd:";

/// What clients read.
const FILE: &str = "crowd-file";

/// Bytes of it.
const LENGTH: usize = 5000;

fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251) as u8).collect()
}

/// As many descriptors as the system lets a process have.
fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What is lacking then shows as EMFILE.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn serve() -> Outcome<()> {
    raise_limit();
    let quotas =
        Quotas { connections: 1 << 16, connections_of_user: 1 << 16, descriptors: 16, ..Quotas::default() };
    let make = move |_: &_| {
        let builder = RingBuilder::new().descriptors(16).entries(64).watched();
        let made: Result<(Box<dyn HostBackend>, _), _> = builder.open_backend();
        made.map(|(backend, _)| backend).map_err(|error| {
            eprintln!("no backend: {error}");
            Errno::ENOMEM
        })
    };
    let mut server = Server::bind(&Name::parse(NAME)?, quotas, make)?;
    println!("ready");
    server.run()?;
    Ok(())
}

/// Connections that do nothing.
fn idle(count: usize) -> Outcome<()> {
    raise_limit();
    let name = Name::parse(NAME)?;
    let options = ClientOptions { entries: 16, completions: 32, ..ClientOptions::default() };
    let clients: Result<Vec<Client>, _> = (0..count).map(|_| Client::connect(&name, &options)).collect();
    let clients = clients?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    drop(clients);
    Ok(())
}

/// Reads a file again and again until it is killed, or told to end.
fn active(path: &str) -> Outcome<()> {
    let mut ring = Ring::builder().entries(16).connect(NAME)?;
    let expected = content();
    println!("ready");
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        let _ = sender.send(());
    });
    let mut rounds = 0u64;
    while ended.try_recv().is_err() {
        let mut chain = Chain::new();
        let file = chain.open(path, OpenOptions::read());
        let read = chain.read(file, Buffer::with_capacity(LENGTH), Offset::START);
        chain.finally().close(file);
        let mut done = ring.run(chain)?;
        done.check()?;
        if done.take(read).is_none_or(|read| read.as_slice() != expected) {
            return Err("what was read is not what is in the file".into());
        }
        rounds += 1;
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("{rounds}");
    Ok(())
}

/// What a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    descriptors: usize,
    mappings: usize,
    threads: usize,
    kilobytes: u64,
}

fn account(process: u32) -> Outcome<Account> {
    let count =
        |what: &str| Ok::<_, std::io::Error>(std::fs::read_dir(format!("/proc/{process}/{what}"))?.count());
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        resident.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    Ok(Account {
        descriptors: count("fd")?,
        // Those of rings and of what clients share.
        mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
        threads: count("task")?,
        kilobytes: kilobytes.ok_or("no VmRSS")?,
    })
}

fn start(arguments: &[&str]) -> Outcome<Child> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.as_mut() {
        // Nothing more is said before the end.
        BufReader::new(out).read_line(&mut line)?;
    }
    if line.trim() == "ready" {
        return Ok(child);
    }
    child.kill()?;
    child.wait()?;
    Err(format!("{arguments:?} does not begin: {line}").into())
}

/// Has it end by itself. Its status tells whether it met an error.
fn end(mut child: Child) -> Outcome<bool> {
    if let Some(mut input) = child.stdin.take() {
        // It may have ended already, which its status tells.
        let _ = input.write_all(b"\n");
    }
    Ok(child.wait()?.success())
}

fn run(clients: usize, active: usize, kills: u64, seconds: u64, directory: &Path) -> Outcome<String> {
    let file = directory.join(FILE);
    std::fs::write(&file, content())?;
    let file = file.to_str().ok_or("a path in UTF-8 is wanted")?;
    let mut service = start(&["serve"])?;
    let before = account(service.id())?;
    let crowd = start(&["idle", &clients.saturating_sub(active).to_string()])?;
    let mut workers = (0..active).map(|_| start(&["active", file])).collect::<Outcome<Vec<Child>>>()?;
    let begin = Instant::now();
    let (mut killed, mut settled) = (0u64, None);
    while begin.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(1000 / kills.max(1)));
        let mut victim = workers.remove((killed as usize * 7) % workers.len());
        let struck = victim.kill();
        victim.wait()?;
        struck?;
        workers.push(start(&["active", file])?);
        killed += 1;
        if settled.is_none() && begin.elapsed() > Duration::from_secs(seconds.min(60) / 6) {
            settled = Some(account(service.id())?);
        }
    }
    let during = account(service.id())?;
    let mut failed = 0;
    for worker in workers {
        failed += u64::from(!end(worker)?);
    }
    failed += u64::from(!end(crowd)?);
    let limit = Instant::now() + Duration::from_secs(20);
    let mut after = account(service.id())?;
    let kept = |account: Account| (account.descriptors, account.mappings, account.threads);
    while kept(after) != kept(before) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(50));
        after = account(service.id())?;
    }
    service.kill()?;
    service.wait()?;
    let settled = settled.unwrap_or(during);
    if failed > 0 {
        return Err(format!("{failed} clients met an error").into());
    }
    if kept(after) != kept(before) {
        return Err(format!("left behind: before {before:?}, after {after:?}").into());
    }
    if during.kilobytes > settled.kilobytes + settled.kilobytes / 10 + 8192 {
        return Err(format!("it grows: {settled:?}, then {during:?}").into());
    }
    Ok(format!(
        "{clients} clients, {active} active, {killed} killed, no error at the others; the service had {} kB, then {} kB, and {} kB \
         when they were gone",
        settled.kilobytes, during.kilobytes, after.kilobytes
    ))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["serve"] => serve().map(|()| String::new()),
        ["idle", count] => count.parse().map_err(Into::into).and_then(idle).map(|()| String::new()),
        ["active", path] => active(path).map(|()| String::new()),
        [clients, count, kills, seconds, directory] => {
            let number = |word: &str| word.parse::<u64>().map_err(|_| format!("{word} is no number"));
            match (number(clients), number(count), number(kills), number(seconds)) {
                (Ok(clients), Ok(count), Ok(kills), Ok(seconds)) => {
                    run(clients as usize, count as usize, kills, seconds, Path::new(directory))
                }
                _ => Err("numbers are wanted".into()),
            }
        }
        _ => Err("usage: crowd CLIENTS ACTIVE KILLS SECONDS DIRECTORY".into()),
    };
    match outcome {
        Ok(said) => {
            if !said.is_empty() {
                println!("{said}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{words:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

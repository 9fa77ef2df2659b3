//! Kills a process in the middle of its chains, again and again, and looks at what is left.
//!
//! Usage: `kill_loop KILLS SECONDS SEED DIRECTORIES`; `ci/soak-kill` calls it. The child is this program again, as
//! `kill_loop child BACKEND DIRECTORY`: it replaces a file, appends records, copies, reads, and keeps operations waiting
//! on pipes, sockets and time, all through one ring. It tells of what is done by a WRITE at the end of the very chain. The
//! parent kills it with SIGKILL at a random moment and then expects: no process, no open file, socket or pipe
//! end that the child had; the replaced file whole, in the last version told of or the next; every record told of, and
//! behind them at most records in order and one that is cut; of a copy the beginning. It must never look at anything but its own
//! directories, nor end a process that it did not start.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ouzel::abi::modifiers::{PollEvents, RenameFlags};
use ouzel::{BackendKind, Buffer, Chain, Directory, Offset, OpenOptions, Ring, SocketAddress};
use ouzel_conformance::random::Random;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long the kernel may take to let go of what a killed process had.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a record.
const RECORD: usize = 512;

/// Bytes of what is copied: more than one page, and no whole number of them.
const SOURCE: usize = 300_001;

/// Copies under way at the same time.
const COPIES: usize = 6;

/// What the child exits with when its backend cannot be had.
const REFUSED: i32 = 77;

/// The words of version `number`: each is the number, and it alone says how many there are.
fn version(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + (number as usize * 37) % 9_000)
}

fn source() -> Vec<u8> {
    (0..SOURCE).map(|at| (at * 7 % 251) as u8).collect()
}

/// A message: what is done, and its number.
fn message(kind: u8, number: u64) -> Vec<u8> {
    [&[kind], &number.to_le_bytes()[..]].concat()
}

/// Works until it is killed.
fn child(backend: &str, home: &Path) -> Outcome<()> {
    let kind = if backend == "uring" { BackendKind::Uring } else { BackendKind::Threads };
    let mut ring = match Ring::builder().backend(kind).entries(256).build() {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(REFUSED);
        }
    };
    let told = ring.adopt(std::io::stdout().as_fd().try_clone_to_owned()?)?;
    keep_waiting(&mut ring, home)?;
    let replaced = OpenOptions::write().create().truncate();
    for number in 1.. {
        let mut tickets = Vec::new();
        let mut chain = Chain::new();
        let file = chain.open(home.join("state.new"), replaced);
        chain.write(file, version(number), Offset::START);
        let here = Directory::Working;
        chain.rename(here, home.join("state.new"), here, home.join("state"), RenameFlags::empty());
        chain.write(told, message(b'S', number), Offset::CURRENT);
        chain.finally().close(file);
        tickets.push(ring.submit(chain)?);
        let mut chain = Chain::new();
        let file = chain.open(home.join("log"), OpenOptions::write().create().append());
        chain.write(file, number.to_le_bytes().repeat(RECORD / 8), Offset::CURRENT);
        chain.write(told, message(b'L', number), Offset::CURRENT);
        chain.finally().close(file);
        tickets.push(ring.submit(chain)?);
        for place in 0..COPIES {
            let mut chain = Chain::new();
            let from = chain.open(home.join("source"), OpenOptions::read());
            let to = chain.open(home.join(format!("copy{place}")), replaced);
            if place % 2 == 0 {
                chain.copy(from, Offset::START, to, Offset::START, SOURCE);
            } else {
                let read = chain.read(from, Buffer::with_capacity(SOURCE), Offset::START);
                chain.write(to, read, Offset::START);
            }
            chain.finally().close(from);
            chain.finally().close(to);
            tickets.push(ring.submit(chain)?);
        }
        for ticket in tickets {
            ring.wait(ticket)?.check()?;
        }
    }
    Ok(())
}

/// Starts what never ends by itself.
fn keep_waiting(ring: &mut Ring, home: &Path) -> Outcome<()> {
    let (read, _write) = ring.pipe()?;
    for _ in 0..8 {
        let mut chain = Chain::new();
        chain.read(read, Buffer::with_capacity(64), Offset::CURRENT);
        ring.submit(chain)?;
        let mut chain = Chain::new();
        chain.poll(read, PollEvents::IN);
        ring.submit(chain)?;
    }
    let mut chain = Chain::new();
    chain.sleep(Duration::from_secs(3600));
    ring.submit(chain)?;
    let mut chain = Chain::new();
    let server = chain.socket(1, 1, 0);
    chain.bind(server, &SocketAddress::unix(home.join("socket")).map_err(|errno| errno.to_string())?);
    chain.listen(server, 8u32);
    chain.accept(server);
    ring.submit(chain)?;
    ring.flush()?;
    Ok(())
}

/// What has come of the kills in one place.
#[derive(Default)]
struct Tally {
    kills: u32,
    versions: u64,
    records: u64,
    cut_records: u32,
    cut_copies: u32,
}

/// One child, from its start to what is left of it.
fn kill_once(backend: &str, home: &Path, random: &mut Random, tally: &mut Tally) -> Outcome<bool> {
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home)?;
    fs::write(home.join("source"), source())?;
    let descriptors = fs::read_dir("/proc/self/fd")?.count();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child".as_ref(), backend.as_ref(), home.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut messages = child.stdout.take().ok_or("the child has no standard output")?;
    // Some die while the ring is set up, the others at work.
    let early = random.once_in(5);
    let mut first = [0; 9];
    let mut all = Vec::new();
    if !early && messages.read(&mut first)? == first.len() {
        all.extend(first);
    }
    std::thread::sleep(Duration::from_micros(random.below(if early { 6_000 } else { 40_000 })));
    child.kill()?;
    let status = child.wait()?;
    if status.code() == Some(REFUSED) {
        return Ok(false);
    }
    if status.signal() != Some(9) {
        return Err(format!("the child ended by itself: {status}").into());
    }
    // The pipe ends when nobody has its other end any more, be it in a ring that the kernel has yet to take down.
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let got = messages.read_to_end(&mut rest);
        drop(messages);
        let _ = send.send(got.map(|_| rest));
    });
    let rest = receive.recv_timeout(PATIENCE).map_err(|_| "the child's end of the pipe is still open")?;
    all.extend(rest?);
    check(&child, home, &all, tally).map_err(|error| format!("{}: {error}", home.display()))?;
    eventually(
        "own descriptors are as before",
        || Ok(fs::read_dir("/proc/self/fd")?.count() == descriptors),
    )?;
    tally.kills += 1;
    Ok(true)
}

/// Waits until something is so.
fn eventually(what: &str, so: impl Fn() -> Outcome<bool>) -> Outcome<()> {
    let started = Instant::now();
    while !so()? {
        if started.elapsed() > PATIENCE {
            return Err(format!("not so after {PATIENCE:?}: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Everything that must be so after a kill.
fn check(child: &Child, home: &Path, messages: &[u8], tally: &mut Tally) -> Outcome<()> {
    // What was told of: whole messages, as each is one write to a pipe.
    let (mut states, mut records) = (0, 0);
    if !messages.len().is_multiple_of(9) {
        return Err("a message was cut".into());
    }
    for message in messages.chunks_exact(9) {
        let number = u64::from_le_bytes(message[1..].try_into()?);
        let last = if message[0] == b'S' { &mut states } else { &mut records };
        if number != *last + 1 {
            return Err(format!("told of {number} after {last}").into());
        }
        *last = number;
    }
    tally.versions += states;
    tally.records += records;

    eventually("the process is gone", || Ok(!Path::new(&format!("/proc/{}", child.id())).exists()))?;
    eventually("no process works in the directory", || none_names(home))?;
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type()?.is_file() {
            let path = entry.path();
            eventually(&format!("nobody has {} open", path.display()), || nobody_has(&path))?;
        }
    }
    let known = |name: &str| {
        matches!(name, "state" | "state.new" | "log" | "source" | "socket") || name.starts_with("copy")
    };
    if let Some(stranger) = names.iter().find(|name| !known(name)) {
        return Err(format!("a file that nobody made: {stranger}").into());
    }
    if home.join("socket").exists() {
        eventually("nobody listens any more", || {
            Ok(std::os::unix::net::UnixStream::connect(home.join("socket")).is_err())
        })?;
    }

    let state = fs::read(home.join("state")).unwrap_or_default();
    let number = state.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    if (number != states && number != states + 1) || (number > 0 && state != version(number)) {
        return Err(format!("told of version {states}, found {} bytes of {number}", state.len()).into());
    }
    let log = fs::read(home.join("log")).unwrap_or_default();
    let whole = (log.len() / RECORD) as u64;
    if whole < records || whole > records + 1 {
        return Err(format!("told of {records} records, found {whole}").into());
    }
    for (number, record) in (1u64..).zip(log.chunks(RECORD)) {
        if !number.to_le_bytes().repeat(RECORD / 8).starts_with(record) {
            return Err(format!("record {number} is not what was written").into());
        }
    }
    tally.cut_records += u32::from(!log.len().is_multiple_of(RECORD));
    let source = source();
    for place in 0..COPIES {
        let copy = fs::read(home.join(format!("copy{place}"))).unwrap_or_default();
        if !source.starts_with(&copy) {
            return Err(format!("copy{place} is not the beginning of its source").into());
        }
        tally.cut_copies += u32::from(!copy.is_empty() && copy.len() < SOURCE);
    }
    Ok(())
}

/// Whether no process but this has the directory in its command line.
fn none_names(home: &Path) -> Outcome<bool> {
    let own = std::process::id().to_string();
    let name = home.as_os_str().as_encoded_bytes();
    for entry in fs::read_dir("/proc")?.flatten() {
        let number = entry.file_name();
        if number.to_str() == Some(&own) || !number.as_encoded_bytes()[0].is_ascii_digit() {
            continue;
        }
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).any(|word| word == name) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether nobody else has the file open: only then the kernel gives a lease for writing. That counts also a file in the
/// table of a ring, which no process has in its list.
fn nobody_has(path: &Path) -> Outcome<bool> {
    let file = File::open(path)?;
    // SAFETY: the descriptor is open, and the command takes a number.
    let set = |lease: libc::c_int| unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) };
    if set(libc::F_WRLCK) == 0 {
        set(libc::F_UNLCK);
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN) => Ok(false),
        // File systems without leases cannot tell.
        Some(libc::EINVAL) => Ok(true),
        _ => Err(error.into()),
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let [kills, seconds, seed, directories] = arguments else {
        return Err("usage: kill_loop KILLS SECONDS SEED DIRECTORIES (separated by colons)".into());
    };
    let (kills, seconds): (u32, u64) = (kills.parse()?, seconds.parse()?);
    let mut random = Random(seed.parse()?);
    let places: Vec<PathBuf> = std::env::split_paths(directories).filter(|place| place.is_dir()).collect();
    let mut stages: Vec<(&str, &PathBuf, Tally)> = Vec::new();
    for place in &places {
        for backend in ["uring", "threads"] {
            stages.push((backend, place, Tally::default()));
        }
    }
    let started = Instant::now();
    let mut done = 0;
    while done < kills && started.elapsed().as_secs() < seconds && !stages.is_empty() {
        let at = done as usize % stages.len();
        let (backend, place, tally) = &mut stages[at];
        let home = place.join(format!("ouzel-kill-{}", std::process::id()));
        let went = kill_once(backend, &home, &mut random, tally)
            .map_err(|error| format!("{backend}, kill {done}, seed {seed}: {error}"))?;
        fs::remove_dir_all(&home)?;
        if went {
            done += 1;
        } else {
            println!("SKIPPED: {backend} cannot be had in {}", place.display());
            stages.remove(at);
        }
    }
    for (backend, place, tally) in &stages {
        let Tally { kills, versions, records, cut_records, cut_copies } = tally;
        println!(
            "{backend} in {}: {kills} kills, {versions} versions, {records} records, {cut_records} cut records, {cut_copies} cut copies",
            place.display()
        );
        if *kills > 10 && *versions == 0 {
            return Err(format!("{backend} never finished a chain: nothing was tested").into());
        }
    }
    println!("{done} kills in {} s, nothing left and nothing torn", started.elapsed().as_secs());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [role, backend, home] if role == "child" => child(backend, Path::new(home)),
        others => run(others),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kill_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

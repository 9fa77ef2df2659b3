//! Takes the ground away under durable writes, again and again, and holds what is left to what was promised.
//!
//! Usage: `durable_loop KILLS SECONDS SEED DIRECTORIES WORK`; `ci/soak-durable` calls it. The child is this program again, as
//! `durable_loop child BACKEND HOME CARE`: it replaces a file by `write_file_durably` and appends records by `append_durably`,
//! and tells the parent over a pipe what has returned. The parent kills it with SIGKILL at a random moment, or, on a file
//! system in an image of its own, shuts the file system down without letting it write its journal, which is a loss of power.
//! Then it expects: the file whole, in the last version told of or the one after it; every record told of, in order, behind
//! them whole records of the append under way or something that no checksum fits; and no other file but temporaries.
//! A child that takes no care (no SYNC) is run too, to see that a loss would be seen. It must never look at anything but its
//! own directories, nor end a process that it did not start, nor take down a file system that it did not mount.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ouzel::compounds::{self, AppendLog, WriteMode};
use ouzel::{BackendKind, Ring};
use ouzel_conformance::random::Random;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long the kernel may take to let go of what a killed process had.
const PATIENCE: Duration = Duration::from_secs(20);

/// Kills in one directory before a fresh one.
const KILLS_IN_ONE: u32 = 20;

/// Records of one append.
const GROUP: u64 = 3;

/// What the child exits with when its backend cannot be had.
const REFUSED: i32 = 77;

/// `EXT4_IOC_SHUTDOWN` and `XFS_IOC_GOINGDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;

/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: what is in the journal's memory is lost.
const NO_LOG_FLUSH: u32 = 2;

/// Bytes of the image of a file system.
const IMAGE: u64 = 64 << 20;

/// Rounds that a careless child has to lose something in.
const CARELESS: u32 = 30;

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Record (or version) `number`: its length and checksum, the number, and bytes that follow from it.
fn record(number: u64, most: u64) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    let length = number.wrapping_mul(2_654_435_761) % most;
    body.extend((0..length).map(|at| (at ^ number) as u8));
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend(checksum(&body).to_le_bytes());
    record.extend(body);
    record
}

/// The number of the whole record that `bytes` begin with, and its length.
fn first_record(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let sum = u64::from_le_bytes(bytes.get(4..12)?.try_into().ok()?);
    let body = bytes.get(12..12usize.checked_add(length)?)?;
    let number = u64::from_le_bytes(*body.first_chunk()?);
    (checksum(body) == sum).then_some((number, 12 + length))
}

/// The records of a log in their order, from 1 on: how many, and how long they are together.
fn replay(log: &[u8]) -> (u64, usize) {
    let (mut last, mut at) = (0, 0);
    while let Some((number, length)) = first_record(&log[at..])
        && number == last + 1
    {
        last = number;
        at += length;
    }
    (last, at)
}

/// Works until it is killed, or until the file system is gone.
fn child(backend: &str, home: &Path, careful: bool) -> Outcome<()> {
    let kind = if backend == "uring" { BackendKind::Uring } else { BackendKind::Threads };
    let mut ring = match Ring::builder().backend(kind).entries(64).build() {
        Ok(ring) => ring,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(REFUSED);
        }
    };
    // The standard library's own would write in lines.
    let mut told = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let mut tell = |kind: u8, number: u64| -> Outcome<()> {
        // One write for each, so that a kill does not cut it.
        Ok(told.write_all(&[&[kind], &number.to_le_bytes()[..]].concat())?)
    };
    let (state, log_path) = (home.join("state"), home.join("log"));
    if !careful {
        for number in 1.. {
            fs::write(&state, record(number, 50_000))?;
            tell(b'S', number)?;
        }
    }
    let content = compounds::read_file(&mut ring, &state).unwrap_or_default();
    let mut version = first_record(&content).map_or(0, |(number, _)| number);
    let mut log = AppendLog::open(&mut ring, &log_path)?;
    let (mut last, end) = replay(&compounds::read_file(&mut ring, &log_path)?);
    log.truncate(&mut ring, end as u64)?;
    loop {
        version += 1;
        let mode = if version.is_multiple_of(2) { WriteMode::Kept } else { WriteMode::Given(0o622) };
        compounds::write_file_durably(&mut ring, &state, record(version, 50_000), mode)?;
        tell(b'S', version)?;
        for _ in 0..3 {
            let group = (1..=GROUP).map(|number| record(last + number, 3_000));
            log.append_durably(&mut ring, group)?;
            last += GROUP;
            tell(b'L', last)?;
        }
    }
}

/// What has come of the rounds in one place.
#[derive(Default)]
struct Tally {
    rounds: u32,
    versions: u64,
    records: u64,
    torn: u32,
    temporaries: u64,
}

/// What is known to be durable in one directory.
#[derive(Clone, Copy, Default)]
struct Told {
    version: u64,
    records: u64,
}

/// How the ground is taken away.
enum Blow<'a> {
    Kill,
    Shutdown(&'a Image),
}

/// What a child has said.
#[derive(Clone, Copy)]
struct Said {
    /// Before the blow: this must be there.
    before: Told,
    /// In all. A kill loses nothing of the kernel's, so all of it counts. A SYNC that is under way in ext4 when its file system
    /// is shut down may return a success that is none (plain `fdatasync` calls show it on Linux 6.18); with the power gone
    /// nobody would have heard it.
    in_all: Told,
}

/// Runs a child until the blow, and returns what it told of; `None` if its backend cannot be had.
fn strike(
    backend: &str,
    home: &Path,
    careful: bool,
    blow: Blow<'_>,
    random: &mut Random,
    before: Told,
) -> Outcome<Option<Said>> {
    let care = if careful { "careful" } else { "careless" };
    let mut child = Command::new(std::env::current_exe()?)
        .args(["child".as_ref(), backend.as_ref(), home.as_os_str(), care.as_ref()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut messages = child.stdout.take().ok_or("the child has no standard output")?;
    // Some are struck while they set up or recover, the others at work.
    let early = random.once_in(5);
    let mut all = Vec::new();
    if !early {
        let mut first = [0; 9];
        if messages.read(&mut first)? == first.len() {
            all.extend(first);
        }
    }
    std::thread::sleep(Duration::from_micros(random.below(if early { 6_000 } else { 40_000 })));
    let mut said_before = None;
    if let Blow::Shutdown(image) = &blow {
        take_what_is_there(&mut messages, &mut all)?;
        said_before = Some(all.len());
        image.shut_down()?;
        std::thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    child.kill()?;
    let status = child.wait()?;
    if status.code() == Some(REFUSED) {
        return Ok(None);
    }
    let by_itself = status.signal() != Some(9);
    if by_itself && matches!(blow, Blow::Kill) {
        return Err(format!("the child ended by itself: {status}").into());
    }
    all.extend(rest_of(messages)?);
    let in_all = told_by(&all, before)?;
    let before = match said_before {
        Some(length) => told_by(&all[..length], before)?,
        None => in_all,
    };
    Ok(Some(Said { before, in_all }))
}

/// What messages tell of, on top of what was known.
fn told_by(messages: &[u8], before: Told) -> Outcome<Told> {
    let mut told = before;
    if !messages.len().is_multiple_of(9) {
        return Err("a message was cut".into());
    }
    for message in messages.chunks_exact(9) {
        let number = u64::from_le_bytes(message[1..].try_into()?);
        if message[0] == b'S' {
            told.version = number;
        } else {
            told.records = number;
        }
    }
    Ok(told)
}

/// Takes what is in the pipe, without waiting for more.
fn take_what_is_there(messages: &mut ChildStdout, all: &mut Vec<u8>) -> Outcome<()> {
    let flags = rustix::fs::fcntl_getfl(&messages)?;
    rustix::fs::fcntl_setfl(&messages, flags | rustix::fs::OFlags::NONBLOCK)?;
    let taken = messages.read_to_end(all);
    rustix::fs::fcntl_setfl(&messages, flags)?;
    match taken {
        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok(()),
    }
}

/// The pipe ends when nobody has its other end any more.
fn rest_of(mut messages: ChildStdout) -> Outcome<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = Vec::new();
        let got = messages.read_to_end(&mut rest);
        let _ = send.send(got.map(|_| rest));
    });
    let rest = receive.recv_timeout(PATIENCE).map_err(|_| "the child's end of the pipe is still open")?;
    Ok(rest?)
}

/// Everything that must be so after a blow. Returns what is there.
fn check(home: &Path, said: Said, tally: &mut Tally) -> Outcome<Told> {
    let state = fs::read(home.join("state")).unwrap_or_default();
    let version = match first_record(&state) {
        Some((number, length)) if length == state.len() && state == record(number, 50_000) => number,
        None if state.is_empty() && !home.join("state").exists() => 0,
        _ => return Err(format!("the file is torn: {} bytes", state.len()).into()),
    };
    let Said { before: told, in_all } = said;
    if version < told.version || version > in_all.version + 1 {
        return Err(format!("told of version {}, found {version}", told.version).into());
    }
    let log = fs::read(home.join("log")).unwrap_or_default();
    let (records, whole) = replay(&log);
    if records < told.records {
        return Err(format!("told of {} records, found {records}", told.records).into());
    }
    if records > in_all.records + GROUP {
        return Err(format!("told of {} records, found {records}: more than one append", told.records).into());
    }
    tally.torn += u32::from(whole < log.len());
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let temporary =
            name.starts_with(compounds::TEMPORARY_PREFIX) && name.ends_with(compounds::TEMPORARY_SUFFIX);
        if temporary {
            // Nobody is at work here now.
            fs::remove_file(entry.path())?;
            tally.temporaries += 1;
        } else if name != "state" && name != "log" {
            return Err(format!("a file that nobody made: {name}").into());
        }
    }
    Ok(Told { version, records })
}

/// A file system of its own, in a file.
struct Image {
    file: PathBuf,
    mount: PathBuf,
}

impl Image {
    /// Makes one in `work` and mounts it, or says why that cannot be.
    fn make(work: &Path) -> Result<Image, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let image = Image { file: work.join("image"), mount: work.join("mount") };
        fs::create_dir_all(&image.mount).map_err(|error| said(&error))?;
        let file = File::create(&image.file).map_err(|error| said(&error))?;
        file.set_len(IMAGE).map_err(|error| said(&error))?;
        drop(file);
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.file.as_ref()])?;
        image.mount()?;
        // A kernel whose file system cannot be shut down is found out here.
        let tried =
            image.shut_down().map_err(|error| format!("the file system cannot be shut down: {error}"));
        tried.and_then(|()| image.mount_again()).map(|()| image)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.file.as_ref(), self.mount.as_ref()])
    }

    /// As if the power went: what only the memory knew is lost.
    fn shut_down(&self) -> Result<(), String> {
        let root = File::open(&self.mount).map_err(|error| error.to_string())?;
        let flags = NO_LOG_FLUSH;
        // SAFETY: the descriptor is open, and the command reads the word it is given.
        let done = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const flags) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }

    /// Takes it down and up again, which replays its journal.
    fn mount_again(&self) -> Result<(), String> {
        let started = Instant::now();
        // A ring of a killed process may hold its files for a moment.
        while let Err(error) = run("umount", &[self.mount.as_ref()]) {
            if started.elapsed() > PATIENCE {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.mount()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = run("umount", &[self.mount.as_ref()]);
    }
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// One backend in one place, and what is known of its directory.
struct Place<'a> {
    backend: &'static str,
    name: String,
    home: PathBuf,
    image: Option<&'a Image>,
    told: Told,
    tally: Tally,
}

impl Place<'_> {
    /// One child, from its start to what is left of it. False if there is no such backend.
    fn round(&mut self, random: &mut Random) -> Outcome<bool> {
        if self.tally.rounds.is_multiple_of(KILLS_IN_ONE) {
            let _ = fs::remove_dir_all(&self.home);
            fs::create_dir_all(&self.home)?;
            self.told = Told::default();
            if self.image.is_some() {
                File::open(&self.home)?.sync_all()?;
                // The name of the directory itself.
                File::open(self.home.parent().ok_or("no parent")?)?.sync_all()?;
            }
        }
        let blow = self.image.map_or(Blow::Kill, Blow::Shutdown);
        let Some(said) = strike(self.backend, &self.home, true, blow, random, self.told)? else {
            return Ok(false);
        };
        if let Some(image) = self.image {
            image.mount_again()?;
        }
        let found = check(&self.home, said, &mut self.tally)?;
        let told = said.before;
        self.tally.versions += told.version - self.told.version;
        self.tally.records += told.records - self.told.records;
        self.told = found;
        self.tally.rounds += 1;
        Ok(true)
    }
}

/// Whether a child that does not SYNC loses something: else the other rounds on the image would prove nothing.
fn losses_are_seen(image: &Image, random: &mut Random) -> Outcome<()> {
    let home = image.mount.join("careless");
    for _ in 0..CARELESS {
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home)?;
        let said = strike("threads", &home, false, Blow::Shutdown(image), random, Told::default())?;
        image.mount_again()?;
        let said = said.ok_or("the threads backend cannot be had")?;
        fs::create_dir_all(&home)?;
        if check(&home, said, &mut Tally::default()).is_err() {
            return Ok(());
        }
    }
    Err(format!("{CARELESS} rounds without SYNC lost nothing: losses are not seen").into())
}

fn soak(arguments: &[String]) -> Outcome<()> {
    let [kills, seconds, seed, directories, work] = arguments else {
        return Err("usage: durable_loop KILLS SECONDS SEED DIRECTORIES (separated by colons) WORK".into());
    };
    let (kills, seconds): (u32, u64) = (kills.parse()?, seconds.parse()?);
    let mut random = Random(seed.parse()?);
    let image = Image::make(Path::new(work));
    let mut places = Vec::new();
    for backend in ["uring", "threads"] {
        for base in std::env::split_paths(directories).filter(|base| base.is_dir()) {
            let home = base.join(format!("ouzel-durable-{}-{backend}", std::process::id()));
            let name = format!("kills in {}", base.display());
            places.push(Place {
                backend,
                name,
                home,
                image: None,
                told: Told::default(),
                tally: Tally::default(),
            });
        }
        match &image {
            Ok(image) => places.push(Place {
                backend,
                name: "shutdowns of an ext4 image".into(),
                home: image.mount.join(backend),
                image: Some(image),
                told: Told::default(),
                tally: Tally::default(),
            }),
            Err(error) if backend == "uring" => {
                println!("SKIPPED: shutdowns of a file system, no image can be mounted: {error}");
            }
            Err(_) => {}
        }
    }
    if let Ok(image) = &image {
        losses_are_seen(image, &mut random)?;
    }
    let started = Instant::now();
    let mut done = 0;
    while done < kills && started.elapsed().as_secs() < seconds && !places.is_empty() {
        let at = done as usize % places.len();
        let place = &mut places[at];
        let went = place.round(&mut random).map_err(|error| {
            format!(
                "{}, {}, round {done}, seed {seed}, {}: {error}",
                place.backend,
                place.name,
                place.home.display()
            )
        })?;
        if went {
            done += 1;
        } else {
            println!("SKIPPED: {} cannot be had: {}", place.backend, place.name);
            places.remove(at);
        }
    }
    let mut shutdowns = 0;
    for Place { backend, name, home, image, tally, .. } in &places {
        fs::remove_dir_all(home)?;
        let Tally { rounds, versions, records, torn, temporaries } = tally;
        println!(
            "{backend}, {rounds} {name}: {versions} versions and {records} records told of, {torn} torn tails, {temporaries} \
             temporaries"
        );
        if *rounds >= 5 && (*versions == 0 || *records == 0) {
            return Err(format!("{backend}, {name}: nothing was ever told of, so nothing was tested").into());
        }
        shutdowns += if image.is_some() { *rounds } else { 0 };
    }
    println!(
        "{} kills and {shutdowns} shutdowns in {} s, nothing told of was lost and nothing torn",
        done - shutdowns,
        started.elapsed().as_secs()
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [role, backend, home, care] if role == "child" => child(backend, Path::new(home), care == "careful"),
        others => soak(others),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("durable_loop: {error}");
            ExitCode::FAILURE
        }
    }
}

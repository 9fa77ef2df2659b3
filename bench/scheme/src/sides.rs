//! The sides that are measured: each asks its other side, which is a child process, and waits for the answer.

use std::error::Error;
use std::fs::File;
use std::hint::spin_loop;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ouzel::abi::{Descriptor, Entry, Verb};
use ouzel::scheme::{Client, ClientOptions, Error as SchemeError, Name};
use ouzel::{Buffer, Chain, File as ChainFile, Offset, OpenOptions, RawRing, Ring};
use ouzel_ring::SubmitterEnd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::place::Place;
use crate::roles::{sleep_on, wake_on};
use crate::shared::Shared;
use crate::{BATCH, BLOCK, BLOCKS, FILE, MESSAGE, geometry};

/// How long a service may take to be there.
const START: Duration = Duration::from_secs(10);

/// What measuring needs to know.
pub struct Setting {
    /// Where the two sides run.
    pub place: Place,
    /// The folder with the file that is read.
    pub root: PathBuf,
}

/// Something that asks and waits for the answer.
pub trait Side {
    /// So many times.
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>>;
}

/// Starts the other side, and what asks it.
pub type Open = fn(&Setting) -> Result<Box<dyn Side>, Box<dyn Error>>;

/// A child process, killed when dropped.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What starts the other side.
pub fn other(setting: &Setting, role: &str, words: &[&str]) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["role", role, &setting.place.there.to_string()]).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    Ok(command)
}

/// Two words that are passed to and fro, by spinning.
pub struct Probe {
    shared: Shared,
    next: u32,
    _other: Other,
}

impl Probe {
    /// See [`Open`].
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let shared = Shared::new(4096)?;
        let child = other(setting, "probe", &[&shared.path()])?.spawn()?;
        Ok(Box::new(Probe { shared, next: 0, _other: Other(child) }))
    }
}

impl Side for Probe {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            self.next = self.next.wrapping_add(1);
            self.shared.word(0).store(self.next, Ordering::Release);
            while self.shared.word(1).load(Ordering::Acquire) != self.next {
                spin_loop();
            }
        }
        Ok(())
    }
}

/// The two queues alone, both sides spinning.
pub struct Bare {
    // Dropped before the memory.
    submitter: SubmitterEnd,
    batch: u64,
    _other: Other,
    _shared: Shared,
}

impl Bare {
    /// One at a time. See [`Open`].
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Bare::open_with(setting, 1)
    }

    /// A batch at a time.
    pub fn open_batch(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Bare::open_with(setting, BATCH)
    }

    fn open_with(setting: &Setting, batch: u64) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let shared = Shared::new(Shared::size_of_ring(geometry()?))?;
        // SAFETY: the end is dropped before the memory, and is the only submitter's end.
        let submitter = SubmitterEnd::new(unsafe { shared.ring(geometry()?) }?, 0);
        let child = other(setting, "ring", &[&shared.path()])?.spawn()?;
        Ok(Box::new(Bare { submitter, batch, _other: Other(child), _shared: shared }))
    }
}

impl Side for Bare {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            for number in 0..self.batch {
                self.submitter.push(&Entry::new(Verb::Nop).data(number))?;
            }
            self.submitter.publish();
            for number in 0..self.batch {
                let done = loop {
                    match self.submitter.pop()? {
                        Some(done) => break done,
                        None => spin_loop(),
                    }
                };
                if done.data != number {
                    return Err("a wrong completion".into());
                }
            }
        }
        Ok(())
    }
}

/// Two words, each with a futex.
pub struct Futex {
    shared: Shared,
    next: u32,
    _other: Other,
}

impl Futex {
    /// See [`Open`].
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let shared = Shared::new(4096)?;
        let child = other(setting, "futex", &[&shared.path()])?.spawn()?;
        Ok(Box::new(Futex { shared, next: 0, _other: Other(child) }))
    }
}

impl Side for Futex {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        let back: &AtomicU32 = self.shared.word(1);
        for _ in 0..count {
            let seen = self.next;
            self.next = seen.wrapping_add(1);
            wake_on(self.shared.word(0), self.next);
            if sleep_on(back, seen) != self.next {
                return Err("a wrong answer".into());
            }
        }
        Ok(())
    }
}

/// A question of some bytes and an answer of others, through two pipes or a socket.
struct Stream {
    input: File,
    output: File,
    question: Vec<u8>,
    answer: Vec<u8>,
    /// The question is where to read.
    asks_blocks: bool,
    next: u64,
    _other: Other,
}

/// The kernel's streams.
pub struct Streams;

impl Streams {
    /// A message through two pipes. See [`Open`].
    pub fn pipe(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Streams::over_pipes(other(setting, "echo", &[])?, MESSAGE, MESSAGE)
    }

    /// A message through a socket.
    pub fn socket(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Streams::over_socket(other(setting, "echo-socket", &[])?, MESSAGE, MESSAGE)
    }

    /// A block of a file through two pipes.
    pub fn read_by_pipe(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Streams::over_pipes(other(setting, "read", &[&file(setting)])?, 8, BLOCK)
    }

    /// A block of a file through a socket.
    pub fn read_by_socket(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Streams::over_socket(other(setting, "read-socket", &[&file(setting)])?, 8, BLOCK)
    }

    fn over_pipes(
        mut command: Command,
        question: usize,
        answer: usize,
    ) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output: ChildStdin = child.stdin.take().ok_or("no pipe")?;
        let input: ChildStdout = child.stdout.take().ok_or("no pipe")?;
        let (input, output) = (OwnedFd::from(input).into(), OwnedFd::from(output).into());
        Streams::of(child, input, output, question, answer)
    }

    fn over_socket(
        mut command: Command,
        question: usize,
        answer: usize,
    ) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let (here, there) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let child = command.stdin(Stdio::from(there)).spawn()?;
        let here = File::from(here);
        Streams::of(child, here.try_clone()?, here, question, answer)
    }

    fn of(
        child: Child,
        input: File,
        output: File,
        question: usize,
        answer: usize,
    ) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Ok(Box::new(Stream {
            input,
            output,
            question: vec![0; question],
            answer: vec![0; answer],
            asks_blocks: answer == BLOCK,
            next: 0,
            _other: Other(child),
        }))
    }
}

impl Side for Stream {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            if self.asks_blocks {
                self.question.copy_from_slice(&(self.next * BLOCK as u64).to_le_bytes());
            }
            self.output.write_all(&self.question)?;
            self.input.read_exact(&mut self.answer)?;
            if self.asks_blocks {
                check_block(&self.answer, self.next)?;
                self.next = (self.next + 1) % BLOCKS;
            }
        }
        Ok(())
    }
}

/// The path of the file that is read.
pub fn file(setting: &Setting) -> String {
    setting.root.join(FILE).to_string_lossy().into_owned()
}

/// A block begins with its number.
pub fn check_block(block: &[u8], number: u64) -> Result<(), Box<dyn Error>> {
    if block.len() != BLOCK || block.get(..8) != Some(&number.to_le_bytes()) {
        return Err(format!("{} bytes that are not block {number}", block.len()).into());
    }
    Ok(())
}

/// Starts a service, and connects to it when it is there.
fn served<T>(
    setting: &Setting,
    spin: &str,
    connect: impl Fn(&Name) -> Result<T, SchemeError>,
) -> Result<(T, Other), Box<dyn Error>> {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let name = format!("bench-{}", STARTED.fetch_add(1, Ordering::Relaxed));
    let root = setting.root.to_string_lossy();
    let mut child = Other(other(setting, "serve", &[&name, spin, &root])?.spawn()?);
    let name = Name::parse(&name)?;
    let until = Instant::now() + START;
    loop {
        match connect(&name) {
            Ok(connected) => return Ok((connected, child)),
            Err(SchemeError::NoService { .. }) if Instant::now() < until => {
                if let Some(status) = child.0.try_wait()? {
                    return Err(format!("the service has ended: {status}").into());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// NOPs that a service answers.
pub struct Nops {
    client: Client,
    batch: u64,
    _other: Other,
}

impl Nops {
    /// One at a time, as long as it pays spinning. See [`Open`].
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Nops::open_with(setting, None, 1)
    }

    /// One at a time, both sides going to sleep at once.
    pub fn open_sleeping(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Nops::open_with(setting, Some(Duration::ZERO), 1)
    }

    /// A batch at a time.
    pub fn open_batch(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Nops::open_with(setting, None, BATCH)
    }

    fn open_with(
        setting: &Setting,
        spin: Option<Duration>,
        batch: u64,
    ) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let options = ClientOptions { spin, ..ClientOptions::default() };
        let word = spin.map_or("usual".to_owned(), |spin| spin.as_nanos().to_string());
        let (client, other) = served(setting, &word, |name| Client::connect(name, &options))?;
        Ok(Box::new(Nops { client, batch, _other: other }))
    }
}

impl Side for Nops {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            for number in 0..self.batch {
                self.client.push(&Entry::new(Verb::Nop).data(number))?;
            }
            self.client.enter(self.batch as u32, None)?;
            for number in 0..self.batch {
                let done = self.client.pop().ok_or("a completion is missing")?;
                if done.data != number || done.error != 0 {
                    return Err("a wrong completion".into());
                }
            }
        }
        Ok(())
    }
}

/// NOPs through an engine in this process, on the backend that services have.
pub struct Engine(RawRing);

impl Engine {
    /// A batch at a time. See [`Open`].
    pub fn open_batch(_: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Ok(Box::new(Engine(Ring::builder().build_raw()?)))
    }
}

impl Side for Engine {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            for number in 0..BATCH {
                // SAFETY: NOP names no memory.
                unsafe { self.0.push(&Entry::new(Verb::Nop).data(number)) }?;
            }
            self.0.enter(u32::MAX, 0, None)?;
            for number in 0..BATCH {
                let done = self.0.pop().ok_or("a completion is missing")?;
                if done.data != number || done.error != 0 {
                    return Err("a wrong completion".into());
                }
            }
        }
        Ok(())
    }
}

/// Reads in this process.
pub struct Plain {
    file: File,
    block: Vec<u8>,
    next: u64,
}

impl Plain {
    /// See [`Open`].
    pub fn open(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        let file = File::open(file(setting))?;
        Ok(Box::new(Plain { file, block: vec![0; BLOCK], next: 0 }))
    }
}

impl Side for Plain {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            self.file.read_exact_at(&mut self.block, self.next * BLOCK as u64)?;
            check_block(&self.block, self.next)?;
            self.next = (self.next + 1) % BLOCKS;
        }
        Ok(())
    }
}

/// What is done with the file of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A block is read; the file stays open.
    Read,
    /// Open, read and close in one chain.
    Chain,
    /// The same, each waited for.
    Three,
}

/// A file that a service has, through a ring and its pool.
pub struct Files {
    ring: Ring,
    file: Option<Descriptor>,
    spare: Option<(Chain, Buffer)>,
    way: Way,
    next: u64,
    _other: Other,
}

impl Files {
    /// Blocks of an open file. See [`Open`].
    pub fn read(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Files::open_with(setting, Way::Read)
    }

    /// Open, read and close in one chain.
    pub fn chain(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Files::open_with(setting, Way::Chain)
    }

    /// Open, read and close, each waited for.
    pub fn three(setting: &Setting) -> Result<Box<dyn Side>, Box<dyn Error>> {
        Files::open_with(setting, Way::Three)
    }

    fn open_with(setting: &Setting, way: Way) -> Result<Box<dyn Side>, Box<dyn Error>> {
        // The service is there when somebody can connect to it.
        let (first, other) = served(setting, "usual", |name| {
            Client::connect(name, &ClientOptions::default()).map(|client| client.name().to_string())
        })?;
        let mut ring = Ring::connect(&first)?;
        let file = match way {
            Way::Read => Some(ring.open(FILE, OpenOptions::read())?),
            Way::Chain | Way::Three => None,
        };
        let spare = Some((Chain::new(), ring.buffer(BLOCK)?));
        Ok(Box::new(Files { ring, file, spare, way, next: 0, _other: other }))
    }

    /// Reads the next block of `file`, within a chain that opens and closes it if there is none.
    fn read_block(&mut self, file: Option<Descriptor>) -> Result<(), Box<dyn Error>> {
        let (mut chain, mut buffer) = self.spare.take().ok_or("no buffer")?;
        buffer.clear();
        let opened = file.is_none().then(|| chain.open(FILE, OpenOptions::read()));
        let from = match (file, opened) {
            (Some(file), _) => ChainFile::from(file),
            (None, Some(opened)) => ChainFile::from(opened),
            (None, None) => return Err("no file".into()),
        };
        let read = chain.read(from, buffer, Offset::at(self.next * BLOCK as u64));
        if let Some(opened) = opened {
            chain.finally().close(opened);
        }
        let mut done = self.ring.run(chain)?;
        done.check()?;
        let buffer = done.take(read).ok_or("the buffer did not come back")?;
        check_block(&buffer, self.next)?;
        self.next = (self.next + 1) % BLOCKS;
        self.spare = Some((done.into_chain(), buffer));
        Ok(())
    }
}

impl Side for Files {
    fn run(&mut self, count: u64) -> Result<(), Box<dyn Error>> {
        for _ in 0..count {
            match self.way {
                Way::Read | Way::Chain => self.read_block(self.file)?,
                Way::Three => {
                    let file = self.ring.open(FILE, OpenOptions::read())?;
                    self.read_block(Some(file))?;
                    self.ring.close(file)?;
                }
            }
        }
        Ok(())
    }
}

/// Makes the file that is read: blocks that begin with their number.
pub fn make_file(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(root.join(FILE))?;
    for number in 0..BLOCKS {
        let mut block = vec![number as u8; BLOCK];
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}

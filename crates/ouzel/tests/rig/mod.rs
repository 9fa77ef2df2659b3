//! Drives a backend by its trait: starts one step at a time and waits, for a bounded time, for its end.
#![allow(clippy::unwrap_used)]
#![allow(dead_code)] // Each test file uses its part.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ouzel::backend::HostBackend;
use ouzel::backend::threads::{Threads, ThreadsOptions};
use ouzel_engine::{Backend, Buffers, Edge, Operation, Outcome, Path, Report, Span, Started, Step, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MessageFlags, OpenFlags};

/// No wait in a test is longer than this.
pub const BOUND: u64 = 20_000_000_000;

/// Waits until something is so that other threads bring about.
#[track_caller]
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !so() {
        assert!(begin.elapsed().as_nanos() < u128::from(BOUND), "never so: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

pub struct Rig {
    pub backend: Threads,
    next: u32,
    held: Vec<Report>,
}

impl Rig {
    pub fn new() -> Rig {
        Rig::with_workers(4)
    }

    pub fn with_workers(workers: usize) -> Rig {
        let mut options = ThreadsOptions::default();
        options.descriptors = 4096;
        options.workers = workers;
        Rig { backend: Threads::new(options).unwrap(), next: 0, held: Vec::new() }
    }

    pub fn token(&mut self) -> Token {
        self.next += 1;
        Token { slot: self.next % 2048, generation: self.next }
    }

    /// Starts an operation; its token, and its end if it has ended.
    pub fn start(&mut self, operation: Operation, may_wait: bool) -> (Token, Option<Outcome>) {
        let token = self.token();
        let step = Step { token, operation, edge: Edge::Success, may_wait };
        match self.backend.start(&[step]) {
            Started::Taken { count, .. } => {
                assert_eq!(count, 1);
                (token, None)
            }
            Started::Finished { outcome, .. } => (token, Some(outcome)),
            Started::Busy => panic!("busy: {operation:?}"),
        }
    }

    /// Starts an operation that has to wait.
    pub fn park(&mut self, operation: Operation) -> Token {
        let (token, end) = self.start(operation, true);
        assert_eq!(end, None, "{operation:?} should wait");
        token
    }

    /// Every report there is, after sleeping for at least one.
    pub fn pump(&mut self) {
        let until = self.backend.now() + BOUND;
        while self.held.is_empty() {
            assert!(self.backend.now() < until, "no report came in time");
            self.backend.wait(1, Some(until)).unwrap();
            while let Some(report) = self.backend.next() {
                self.held.push(report);
            }
        }
    }

    /// The next report of a token.
    pub fn report(&mut self, token: Token) -> Report {
        let until = self.backend.now() + BOUND;
        loop {
            if let Some(place) = self.held.iter().position(|report| report.token == token) {
                return self.held.remove(place);
            }
            assert!(self.backend.now() < until, "no report came in time");
            self.backend.wait(1, Some(until)).unwrap();
            while let Some(report) = self.backend.next() {
                self.held.push(report);
            }
        }
    }

    /// The end of a started operation.
    pub fn end(&mut self, token: Token) -> Outcome {
        let report = self.report(token);
        assert!(!report.more);
        report.outcome
    }

    /// That nothing is reported for a while.
    pub fn quiet(&mut self, milliseconds: u64) {
        let until = self.backend.now() + milliseconds * 1_000_000;
        while self.backend.now() < until {
            self.backend.wait(1, Some(until)).unwrap();
            assert_eq!(self.backend.next(), None);
        }
        assert!(self.held.is_empty());
    }

    /// One operation from start to end.
    pub fn run(&mut self, operation: Operation) -> Outcome {
        match self.start(operation, true) {
            (_, Some(outcome)) => outcome,
            (token, None) => self.end(token),
        }
    }

    /// The same, if it may not wait.
    pub fn run_now(&mut self, operation: Operation) -> Outcome {
        match self.start(operation, false) {
            (_, Some(outcome)) => outcome,
            (token, None) => self.end(token),
        }
    }

    /// The result of an operation that succeeds.
    pub fn good(&mut self, operation: Operation) -> u64 {
        match self.run(operation) {
            Outcome::Done { error: Errno::OK, result, .. } => result,
            other => panic!("{operation:?}: {other:?}"),
        }
    }

    /// The error of an operation that fails.
    pub fn bad(&mut self, operation: Operation) -> Errno {
        match self.run(operation) {
            Outcome::Done { error, .. } if !error.is_ok() => error,
            other => panic!("{operation:?}: {other:?}"),
        }
    }

    pub fn adopt(&mut self, index: u32, descriptor: impl Into<OwnedFd>) {
        self.backend.adopt(index, descriptor.into()).unwrap();
    }

    pub fn open(&mut self, name: &Name, flags: OpenFlags, into: u32) {
        self.good(Operation::Open { directory: None, path: name.path(), flags, mode: 0o644, into });
    }

    pub fn close(&mut self, file: u32) {
        assert_eq!(self.good(Operation::Close { file }), 0);
    }
}

/// A path that stays where it is.
pub struct Name(CString);

impl Name {
    pub fn new(path: impl AsRef<std::path::Path>) -> Name {
        Name(CString::new(path.as_ref().as_os_str().as_bytes()).unwrap())
    }

    pub fn path(&self) -> Path {
        let bytes = self.0.as_bytes_with_nul();
        Path { pointer: bytes.as_ptr(), length: bytes.len() }
    }
}

pub fn span(bytes: &mut [u8]) -> Span {
    Span { pointer: bytes.as_mut_ptr(), length: bytes.len() }
}

pub fn read(file: u32, bytes: &mut [u8], position: Option<u64>) -> Operation {
    Operation::Read { file, buffers: Buffers::One(span(bytes)), position }
}

/// The bytes are not changed.
pub fn write(file: u32, bytes: &[u8], position: Option<u64>) -> Operation {
    let span = Span { pointer: bytes.as_ptr().cast_mut(), length: bytes.len() };
    Operation::Write { file, buffers: Buffers::One(span), position }
}

pub fn send(socket: u32, bytes: &[u8], flags: MessageFlags) -> Operation {
    Operation::Send {
        socket,
        buffer: Span { pointer: bytes.as_ptr().cast_mut(), length: bytes.len() },
        flags,
    }
}

pub fn recv(socket: u32, bytes: &mut [u8], flags: MessageFlags) -> Operation {
    Operation::Recv { socket, buffer: span(bytes), flags }
}

pub fn failure(error: Errno) -> Outcome {
    Outcome::failure(error)
}

/// A fresh folder in each of the test places, removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn each(name: &str) -> Vec<Folder> {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let places = match std::env::var_os("OUZEL_TEST_DIRS") {
            Some(places) => std::env::split_paths(&places).collect(),
            None => vec![target, PathBuf::from("/dev/shm")],
        };
        let mut folders = Vec::new();
        for place in places {
            if !place.is_dir() {
                println!("SKIPPED: {} is no folder", place.display());
                continue;
            }
            let folder = place.join(format!("ouzel-threads-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            folders.push(Folder(folder));
        }
        folders
    }

    pub fn name(&self, file: &str) -> Name {
        Name::new(self.0.join(file))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Open descriptors of this process, and what each stands for.
pub fn descriptors() -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter_map(|one| std::fs::read_link(one.unwrap().path()).ok()).collect()
}

/// Threads of this process whose name starts so.
pub fn threads(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .filter(|name| name.starts_with(prefix))
        .count()
}

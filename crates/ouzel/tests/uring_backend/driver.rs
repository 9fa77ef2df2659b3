//! A stand-in for the engine: starts steps, waits with a bound, collects reports.

use std::ffi::CString;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use ouzel::backend::uring::{Policy, Uring, UringOptions};
use ouzel_engine::{
    Backend, Buffers, Edge, Operation, Outcome, Path, Report, Span, Started, Step, Token, Way,
};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::OpenFlags;

/// No test waits longer than this for anything.
const BOUND: Duration = Duration::from_secs(20);

/// A backend that does all it can by the ring, or why the test is skipped.
pub fn backend(options: UringOptions) -> Option<Driver> {
    match Uring::new(UringOptions { policy: Policy::Links, ..options }) {
        Ok(uring) => Some(Driver { uring, next: 0, generation: 1, way: None }),
        Err(error) => {
            println!("SKIPPED: {error}");
            None
        }
    }
}

pub struct Driver {
    pub uring: Uring,
    next: u32,
    generation: u32,
    /// How the last step started.
    pub way: Option<Way>,
}

impl Driver {
    pub fn token(&mut self) -> Token {
        self.next += 1;
        if self.next == 512 {
            self.next = 1;
            self.generation += 1;
        }
        Token { slot: self.next, generation: self.generation }
    }

    pub fn steps(&mut self, operations: &[(Edge, Operation)]) -> Vec<Step> {
        operations
            .iter()
            .map(|(edge, operation)| Step {
                token: self.token(),
                operation: *operation,
                edge: *edge,
                may_wait: true,
            })
            .collect()
    }

    /// Starts one operation. The outcome if it is over already.
    pub fn start(&mut self, operation: Operation, may_wait: bool) -> Result<Token, Outcome> {
        let token = self.token();
        match self.uring.start(&[Step { token, operation, edge: Edge::Success, may_wait }]) {
            Started::Taken { count, way } => {
                assert_eq!(count, 1);
                self.way = Some(way);
                Ok(token)
            }
            Started::Finished { outcome, way } => {
                self.way = Some(way);
                Err(outcome)
            }
            Started::Busy => panic!("busy"),
        }
    }

    /// Starts a run that is expected to be taken whole.
    pub fn start_run(&mut self, operations: &[(Edge, Operation)]) -> Vec<Token> {
        for pair in operations.windows(2) {
            assert!(
                self.uring.follows(&pair[0].1, pair[1].0, &pair[1].1),
                "{:?} behind {:?}",
                pair[1],
                pair[0]
            );
        }
        let steps = self.steps(operations);
        match self.uring.start(&steps) {
            Started::Taken { count, .. } => assert_eq!(count, steps.len()),
            other => panic!("{other:?}"),
        }
        steps.iter().map(|step| step.token).collect()
    }

    /// The next report, within the bound.
    pub fn report(&mut self) -> Report {
        self.report_within(BOUND).expect("no report within the bound")
    }

    pub fn report_within(&mut self, bound: Duration) -> Option<Report> {
        let until = self.uring.now() + bound.as_nanos() as u64;
        loop {
            if let Some(report) = self.uring.next() {
                return Some(report);
            }
            if self.uring.now() >= until {
                return None;
            }
            self.uring.wait(1, Some(until)).unwrap();
        }
    }

    /// The outcomes of a run, in order.
    pub fn run(&mut self, operations: &[(Edge, Operation)]) -> Vec<Outcome> {
        let tokens = self.start_run(operations);
        self.uring.wait(tokens.len() as u32, Some(self.uring.now() + BOUND.as_nanos() as u64)).unwrap();
        tokens
            .iter()
            .map(|token| {
                let report = self.report();
                assert_eq!(report.token, *token, "reports of a run come in order");
                assert!(!report.more);
                report.outcome
            })
            .collect()
    }

    /// Does one operation.
    pub fn run_one(&mut self, operation: Operation, may_wait: bool) -> Outcome {
        match self.start(operation, may_wait) {
            Err(outcome) => outcome,
            Ok(token) => {
                let report = self.report();
                assert_eq!(report.token, token);
                assert!(!report.more);
                report.outcome
            }
        }
    }

    /// Does one operation that succeeds; its result.
    #[track_caller]
    pub fn good(&mut self, operation: Operation) -> u64 {
        match self.run_one(operation, true) {
            Outcome::Done { error: Errno::OK, result, .. } => result,
            other => panic!("{operation:?}: {other:?}"),
        }
    }

    /// Does one operation that fails; its error.
    #[track_caller]
    pub fn bad(&mut self, operation: Operation) -> Errno {
        self.error(operation, true)
    }

    #[track_caller]
    pub fn error(&mut self, operation: Operation, may_wait: bool) -> Errno {
        match self.run_one(operation, may_wait) {
            Outcome::Done { error, .. } if !error.is_ok() => error,
            other => panic!("{operation:?}: {other:?}"),
        }
    }

    /// Opens `path` at `into`.
    #[track_caller]
    pub fn open(&mut self, path: &FilePath, flags: OpenFlags, into: u32) {
        let text = Text::new(path);
        self.good(open(&text, flags, into));
    }

    #[track_caller]
    pub fn close(&mut self, file: u32) {
        self.good(Operation::Close { file });
    }
}

/// A path that lives as long as the test wants.
pub struct Text(CString);

impl Text {
    pub fn new(path: impl AsRef<FilePath>) -> Text {
        Text(CString::new(path.as_ref().to_str().unwrap()).unwrap())
    }

    pub fn path(&self) -> Path {
        Path { pointer: self.0.as_ptr().cast(), length: self.0.as_bytes_with_nul().len() }
    }
}

pub fn span(bytes: &mut [u8]) -> Span {
    if bytes.is_empty() { Span::EMPTY } else { Span { pointer: bytes.as_mut_ptr(), length: bytes.len() } }
}

pub fn open(text: &Text, flags: OpenFlags, into: u32) -> Operation {
    Operation::Open { directory: None, path: text.path(), flags, mode: 0o644, into }
}

pub fn read(file: u32, bytes: &mut [u8], position: Option<u64>) -> Operation {
    Operation::Read { file, buffers: Buffers::One(span(bytes)), position }
}

pub fn write(file: u32, bytes: &[u8], position: Option<u64>) -> Operation {
    let buffer = Span { pointer: bytes.as_ptr().cast_mut(), length: bytes.len() };
    Operation::Write { file, buffers: Buffers::One(buffer), position }
}

pub fn done(result: u64) -> Outcome {
    Outcome::success(result)
}

pub fn failed(error: Errno) -> Outcome {
    Outcome::failure(error)
}

/// An empty directory, removed in the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One directory in each place that tests are to run in.
pub fn scratches(test: &str) -> Vec<Scratch> {
    let places = match std::env::var("OUZEL_TEST_DIRS") {
        Ok(places) => places.split(':').map(PathBuf::from).collect(),
        Err(_) => vec![PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from("/dev/shm")],
    };
    let mut scratches = Vec::new();
    for place in places {
        let directory = place.join(format!("ouzel-uring-{test}-{}", std::process::id()));
        match std::fs::create_dir_all(&directory) {
            Ok(()) => scratches.push(Scratch(directory)),
            Err(error) => println!("SKIPPED in {}: {error}", place.display()),
        }
    }
    scratches
}

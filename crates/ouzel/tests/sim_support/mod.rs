//! Drives a backend one operation at a time, with memory that lives long enough by construction.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.
#![allow(dead_code)]

use std::collections::BTreeSet;

use ouzel_engine::{Backend, Buffers, Edge, Operation, Outcome, Path, Report, Span, Started, Step, Token};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::*;

/// A path's bytes, with the NUL; leaked, as tests are short.
pub fn path(text: impl AsRef<[u8]>) -> Path {
    let mut bytes = text.as_ref().to_vec();
    bytes.push(0);
    let bytes = bytes.leak();
    Path { pointer: bytes.as_ptr(), length: bytes.len() }
}

/// Memory with this content; leaked.
pub fn span(bytes: &[u8]) -> Span {
    let bytes = bytes.to_vec().leak();
    Span { pointer: bytes.as_mut_ptr(), length: bytes.len() }
}

/// What is in a span now.
pub fn content(span: Span, length: usize) -> Vec<u8> {
    // SAFETY: spans come from `span`, which leaks, and no operation is using this one any more.
    unsafe { core::slice::from_raw_parts(span.pointer, length) }.to_vec()
}

/// A READ of up to `count` bytes from the current position, into memory of its own.
pub fn read(file: u32, count: usize) -> Operation {
    Operation::Read { file, buffers: Buffers::One(span(&vec![0; count])), position: None }
}

pub struct Driver<B> {
    pub backend: B,
    next: u32,
    pub reports: Vec<Report>,
}

impl<B: Backend> Driver<B> {
    pub fn new(backend: B) -> Driver<B> {
        Driver { backend, next: 0, reports: Vec::new() }
    }

    pub fn step(&mut self, operation: Operation) -> Step {
        self.next += 1;
        let token = Token { slot: self.next, generation: 1 };
        Step { token, operation, edge: Edge::Success, may_wait: true }
    }

    /// Starts one operation; its end is in `reports`, now or later.
    pub fn begin(&mut self, operation: Operation) -> Token {
        let step = self.step(operation);
        self.begin_step(step)
    }

    pub fn begin_step(&mut self, step: Step) -> Token {
        match self.backend.start(&[step]) {
            Started::Taken { count, .. } => assert_eq!(count, 1),
            Started::Finished { outcome, .. } => {
                self.reports.push(Report { token: step.token, outcome, more: false });
            }
            Started::Busy => panic!("busy"),
        }
        step.token
    }

    pub fn collect(&mut self) {
        while let Some(report) = self.backend.next() {
            self.reports.push(report);
        }
    }

    /// Waits until the operation has ended. `None` if nothing more happens.
    pub fn end(&mut self, token: Token) -> Option<Outcome> {
        for _ in 0..10_000 {
            self.collect();
            let found = self.reports.iter().position(|report| report.token == token && !report.more);
            if let Some(at) = found {
                return Some(self.reports.remove(at).outcome);
            }
            let now = self.backend.now();
            self.backend.wait(1, Some(now + 1_000_000)).unwrap();
        }
        None
    }

    /// Whether it is still under way after a while.
    pub fn is_waiting(&mut self, token: Token) -> bool {
        for _ in 0..5 {
            let until = self.backend.now() + 200_000;
            self.backend.wait(u32::MAX, Some(until)).unwrap();
            self.collect();
        }
        !self.reports.iter().any(|report| report.token == token && !report.more)
    }

    pub fn run_full(&mut self, operation: Operation) -> Outcome {
        let token = self.begin(operation);
        self.end(token).expect("the operation ends")
    }

    pub fn run(&mut self, operation: Operation) -> Result<u64, Errno> {
        result(self.run_full(operation))
    }

    /// Runs an operation that may not wait.
    pub fn run_now(&mut self, operation: Operation) -> Result<u64, Errno> {
        let step = Step { may_wait: false, ..self.step(operation) };
        let token = self.begin_step(step);
        result(self.end(token).expect("the operation ends"))
    }

    pub fn open(&mut self, name: &str, flags: OpenFlags, into: u32) -> Result<u64, Errno> {
        self.run(Operation::Open { directory: None, path: path(name), flags, mode: 0o644, into })
    }

    pub fn read(&mut self, file: u32, count: usize, position: Option<u64>) -> Result<Vec<u8>, Errno> {
        let buffer = span(&vec![0; count]);
        let count = self.run(Operation::Read { file, buffers: Buffers::One(buffer), position })?;
        Ok(content(buffer, count as usize))
    }

    pub fn write(&mut self, file: u32, data: &[u8], position: Option<u64>) -> Result<u64, Errno> {
        self.run(Operation::Write { file, buffers: Buffers::One(span(data)), position })
    }

    pub fn recv(&mut self, socket: u32, count: usize) -> Result<Vec<u8>, Errno> {
        let buffer = span(&vec![0; count]);
        let count = self.run(Operation::Recv { socket, buffer, flags: MessageFlags::empty() })?;
        Ok(content(buffer, count as usize))
    }

    pub fn send(&mut self, socket: u32, data: &[u8]) -> Result<u64, Errno> {
        self.run(Operation::Send { socket, buffer: span(data), flags: MessageFlags::empty() })
    }

    pub fn close(&mut self, file: u32) -> Result<u64, Errno> {
        self.run(Operation::Close { file })
    }
}

pub fn result(outcome: Outcome) -> Result<u64, Errno> {
    match outcome {
        Outcome::Done { error: Errno::OK, result, .. } => Ok(result),
        Outcome::Done { error, .. } => Err(error),
        Outcome::NotRun => panic!("not run"),
    }
}

/// A small seeded stream of numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ (number >> 31)) % limit
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// The names and types in directory records, sorted.
pub fn names(records: &[u8]) -> BTreeSet<(Vec<u8>, u8)> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while at < records.len() {
        let length = u16::from_ne_bytes([records[at + 16], records[at + 17]]) as usize;
        let name = &records[at + 19..at + length];
        let end = name.iter().position(|byte| *byte == 0).unwrap();
        assert!(found.insert((name[..end].to_vec(), records[at + 18])), "no name comes twice");
        at += length;
    }
    found
}

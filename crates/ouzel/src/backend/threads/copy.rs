//! COPY: moves bytes from one object to another until the length is done, the source ends or something fails.
//!
//! Between regular files the kernel copies by itself where it can. Everything else goes through a buffer. The target
//! is seen to be ready before a source that cannot be read twice is read, so that little is ever in hand; what has been
//! read of a pipe or socket and not yet been written when the operation is given up is lost, as with any relay.

use std::sync::atomic::{AtomicBool, Ordering};

use ouzel_engine::{Buffers, Operation, Outcome, Position, Span};
use ouzel_ring::Errno;
use rustix::event::PollFlags;
use rustix::fs::{self, OFlags, SeekFrom};
use rustix::io;

use super::attempt::{Attempt, Wait};
use super::job::Body;
use super::object::{Calls, Kind, Object, errno, retry};
use super::waiting;

/// The most bytes one `copy_file_range(2)` moves, so that a cancel is heeded now and then.
const RANGE: u64 = 16 << 20;

/// Bytes of the buffer.
const CHUNK: usize = 64 << 10;

/// What fits into any pipe that has room at all (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// What a COPY has in hand.
#[derive(Debug)]
pub(super) struct CopyState {
    /// The kernel does not do it by itself.
    by_hand: bool,
    buffer: Vec<u8>,
    /// The part of the buffer that has been read and not written.
    start: usize,
    end: usize,
}

/// One step of a copy, or how it ended.
type Step<T> = Result<T, Attempt>;

/// Copies until it is over or has to wait.
pub(super) fn attempt(calls: &Calls, body: &mut Body, wish: &AtomicBool) -> Attempt {
    let (Some(Operation::Copy { from, to, length, .. }), Some(source), Some(target)) =
        (body.operation, body.subject.clone(), body.other.clone())
    else {
        return Attempt::failure(Errno::EBADF);
    };
    for (object, position) in [(&source, from), (&target, to)] {
        if object.kind.streams() && position.is_some() {
            return Attempt::failure(Errno::ESPIPE);
        }
    }
    let regular = source.kind == Kind::Regular && target.kind == Kind::Regular;
    if (length == 0 || !regular) && body.copy.is_none() {
        // A wait for the wrong end of a pipe would never end, so it must not begin; and no bytes ask nobody.
        calls.count(2);
        let open =
            [(&source, OFlags::RDONLY), (&target, OFlags::WRONLY)].into_iter().all(|(object, access)| {
                fs::fcntl_getfl(object).is_ok_and(|flags| {
                    let mode = flags & OFlags::ACCMODE;
                    !flags.contains(OFlags::PATH) && (mode == access || mode == OFlags::RDWR)
                })
            });
        if !open {
            return Attempt::failure(Errno::EBADF);
        }
        if source.kind == Kind::Directory || target.kind == Kind::Directory {
            return Attempt::failure(Errno::EISDIR);
        }
    }
    let state = body.copy.get_or_insert_with(|| {
        Box::new(CopyState { by_hand: !regular, buffer: Vec::new(), start: 0, end: 0 })
    });
    let mut copy = Copy { calls, source: &source, target: &target, from, to, state, done: body.progress };
    let end = loop {
        if copy.done >= length {
            break Ok(());
        }
        if wish.load(Ordering::Relaxed) {
            break Err(Attempt::failure(Errno::ECANCELED));
        }
        let left = length - copy.done;
        let step = if copy.state.by_hand { copy.by_hand(left) } else { copy.by_kernel(left) };
        match step {
            Ok(0) => break Ok(()),
            Ok(count) => copy.done += count,
            Err(attempt) => break Err(attempt),
        }
    };
    let done = copy.done;
    body.progress = done;
    let result = match end {
        Ok(()) => Attempt::success(done),
        Err(Attempt::Wait(wait)) => return Attempt::Wait(wait),
        Err(_) if done > 0 => Attempt::success(done),
        Err(failure) => failure,
    };
    give_up(calls, body);
    result
}

/// Lets go of what a COPY has in hand: a file read at its current position is put back to where the writing stopped.
pub(super) fn give_up(calls: &Calls, body: &mut Body) {
    let Some(state) = body.copy.take() else { return };
    let Some(Operation::Copy { from: None, .. }) = body.operation else { return };
    let unwritten = state.end - state.start;
    match &body.subject {
        Some(source) if unwritten > 0 && source.kind == Kind::Regular => {
            calls.count(1);
            // It was just read from here: it can be sought, and if not there is nothing better to do.
            let _ = fs::seek(source, SeekFrom::Current(-(unwritten as i64)));
        }
        _ => {}
    }
}

struct Copy<'a> {
    calls: &'a Calls,
    source: &'a Object,
    target: &'a Object,
    from: Position,
    to: Position,
    state: &'a mut CopyState,
    done: u64,
}

impl Copy<'_> {
    /// Lets the kernel move some; goes over to the buffer if it will not.
    fn by_kernel(&mut self, left: u64) -> Step<u64> {
        let mut from = self.from.map(|offset| offset.saturating_add(self.done));
        let mut to = self.to.map(|offset| offset.saturating_add(self.done));
        self.calls.count(1);
        let amount = left.min(RANGE) as usize;
        let result =
            retry(|| fs::copy_file_range(self.source, from.as_mut(), self.target, to.as_mut(), amount));
        match result {
            // Files without a length of their own (as in /proc) look empty to the kernel's copy: a read tells.
            Ok(0) if self.done == 0 => {}
            Ok(count) => return Ok(count as u64),
            Err(io::Errno::INVAL) if self.same_file() => return Err(Attempt::failure(Errno::EINVAL)),
            Err(io::Errno::BADF) if !self.appends() => return Err(Attempt::failure(Errno::EBADF)),
            Err(
                io::Errno::XDEV
                | io::Errno::INVAL
                | io::Errno::OPNOTSUPP
                | io::Errno::NOSYS
                | io::Errno::BADF
                | io::Errno::PERM,
            ) => {}
            Err(error) => return Err(Attempt::failure(errno(error))),
        }
        self.state.by_hand = true;
        self.by_hand(left)
    }

    /// Whether the target is open for appending, which the kernel's copy refuses with EBADF.
    fn appends(&self) -> bool {
        self.calls.count(1);
        fs::fcntl_getfl(self.target).is_ok_and(|flags| flags.contains(OFlags::APPEND))
    }

    fn same_file(&self) -> bool {
        self.calls.count(2);
        match (fs::fstat(self.source), fs::fstat(self.target)) {
            (Ok(source), Ok(target)) => (source.st_dev, source.st_ino) == (target.st_dev, target.st_ino),
            _ => false,
        }
    }

    /// Moves some through the buffer.
    fn by_hand(&mut self, left: u64) -> Step<u64> {
        if self.state.start == self.state.end {
            let mut most = CHUNK;
            if self.target.kind.waits() {
                self.calls.count(1);
                match self.target.ready(PollFlags::OUT) {
                    Ok(ready) if ready.is_empty() => return Err(Attempt::Wait(Wait::Other(PollFlags::OUT))),
                    Ok(_) => {}
                    Err(error) => return Err(Attempt::failure(errno(error))),
                }
                if self.target.kind == Kind::Pipe && self.source.kind.waits() {
                    most = ATOMIC;
                }
            }
            let count = self.fill(most.min(usize::try_from(left).unwrap_or(usize::MAX)))?;
            if count == 0 {
                return Ok(0);
            }
        }
        self.flush()
    }

    fn fill(&mut self, most: usize) -> Step<usize> {
        if self.state.buffer.is_empty() {
            self.state.buffer.resize(CHUNK, 0);
        }
        let room = &mut self.state.buffer[..most];
        let position = self.from.map(|offset| offset.saturating_add(self.done));
        let span = Span { pointer: room.as_mut_ptr(), length: room.len() };
        let read = Operation::Read { file: 0, buffers: Buffers::One(span), position };
        let count = self.transfer(self.source, &read, Wait::Subject(PollFlags::IN))?;
        (self.state.start, self.state.end) = (0, count);
        Ok(count)
    }

    fn flush(&mut self) -> Step<u64> {
        let bytes = &mut self.state.buffer[self.state.start..self.state.end];
        let position = self.to.map(|offset| offset.saturating_add(self.done));
        let span = Span { pointer: bytes.as_mut_ptr(), length: bytes.len() };
        let write = Operation::Write { file: 0, buffers: Buffers::One(span), position };
        let count = self.transfer(self.target, &write, Wait::Other(PollFlags::OUT))?;
        self.state.start += count;
        Ok(count as u64)
    }

    /// A READ or WRITE as the verb would do it, on our own buffer.
    fn transfer(&self, object: &Object, operation: &Operation, wait: Wait) -> Step<usize> {
        let attempt = if object.kind.waits() {
            waiting::transfer(self.calls, object, operation)
        } else {
            super::storage::transfer(self.calls, object, operation)
        };
        match attempt {
            Attempt::Wait(_) => Err(Attempt::Wait(wait)),
            Attempt::Done(done) => match done.outcome {
                Outcome::Done { error, result, .. } if error.is_ok() => Ok(result as usize),
                outcome => Err(Attempt::outcome(outcome)),
            },
        }
    }
}

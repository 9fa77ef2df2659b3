//! One attempt at an operation, on whatever thread: it ends, or says what it waits for.
//!
//! This module sends each operation to the file that knows it: `storage` for calls that may take their time but wait
//! for no event, `waiting` for those that do, `copy` for COPY. Nothing here blocks on an event.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ouzel_engine::{Operation, Outcome};
use ouzel_ring::Errno;
use rustix::event::PollFlags;

use super::job::{Body, Sort};
use super::object::{Calls, Kind, Object, errno};
use super::pool::Pool;
use super::{copy, storage, waiting};
use crate::backend::host;

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The operation is over.
    Done(Done),
    /// It has to wait.
    Wait(Wait),
}

/// The end of an operation.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// The objects it opened.
    pub(super) opened: [Option<Object>; 2],
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Events of the subject.
    Subject(PollFlags),
    /// Events of the other object.
    Other(PollFlags),
    /// Something that nobody tells of: it is tried again after a while.
    While,
}

impl Attempt {
    pub(super) fn success(result: u64) -> Attempt {
        Attempt::outcome(Outcome::success(result))
    }

    pub(super) fn failure(error: Errno) -> Attempt {
        Attempt::outcome(Outcome::failure(error))
    }

    pub(super) fn outcome(outcome: Outcome) -> Attempt {
        Attempt::Done(Done { outcome, opened: [None, None] })
    }

    pub(super) fn opened(object: Object, extra: u32) -> Attempt {
        let outcome = Outcome::Done { error: Errno::OK, result: 0, extra };
        Attempt::Done(Done { outcome, opened: [Some(object), None] })
    }

    /// A call whose result is a number.
    pub(super) fn number(result: rustix::io::Result<usize>) -> Attempt {
        match result {
            Ok(count) => Attempt::success(count as u64),
            Err(error) => Attempt::failure(errno(error)),
        }
    }

    /// A call without a result.
    pub(super) fn unit(result: rustix::io::Result<()>) -> Attempt {
        Attempt::number(result.map(|()| 0))
    }
}

/// Which sort of job an operation makes; `None` if it is neither work nor waits, and is done at once on any thread.
pub(super) fn sort(body: &Body) -> Option<Sort> {
    let kind = body.subject.as_ref().map(|object| object.kind);
    Some(match body.operation.as_ref()? {
        Operation::Read { .. } | Operation::Write { .. } => {
            if kind.is_some_and(Kind::quick) {
                Sort::Transfer
            } else {
                Sort::Work
            }
        }
        Operation::Poll { multishot: true, .. } => Sort::PollMany,
        Operation::Poll { .. } => Sort::Poll,
        Operation::Accept { multishot: true, .. } => Sort::AcceptMany,
        Operation::RecvPicked { multishot: true, .. } => Sort::RecvMany,
        Operation::Accept { .. }
        | Operation::RecvPicked { .. }
        | Operation::Connect { .. }
        | Operation::Send { .. }
        | Operation::Recv { .. } => Sort::Transfer,
        Operation::Pipe { .. }
        | Operation::Socket { .. }
        | Operation::Listen { .. }
        | Operation::Shutdown { .. }
        | Operation::GetSockopt { .. }
        | Operation::SetSockopt { .. }
        | Operation::Sockname { .. }
        | Operation::Peername { .. } => return None,
        Operation::FutexWait { .. } => Sort::Sleep,
        Operation::FutexWake { .. } => return None,
        Operation::Wait { .. }
        | Operation::Wake { .. }
        | Operation::SendMsg { .. }
        | Operation::RecvMsg { .. } => Sort::Transfer,
        Operation::Splice { .. } => {
            let quick = |object: &Option<Arc<Object>>| object.as_ref().is_some_and(|one| one.kind.quick());
            if quick(&body.subject) && quick(&body.other) { Sort::Transfer } else { Sort::Work }
        }
        Operation::Bind { address, .. } => {
            if waiting::names_a_file(address) {
                Sort::Work
            } else {
                return None;
            }
        }
        Operation::Seek { .. } => {
            // A worker that reads at the current position holds the position's lock.
            let busy = body.subject.as_ref().is_some_and(|object| Arc::strong_count(object) > 2);
            if busy && !kind.is_some_and(Kind::streams) {
                Sort::Work
            } else {
                return None;
            }
        }
        Operation::Close { .. } => {
            // Closing a file may write it back, closing a foreign socket may linger.
            let slow = body.subject.as_ref().is_some_and(|object| !object.ours && object.kind != Kind::Pipe);
            if slow {
                Sort::Close
            } else {
                return None;
            }
        }
        _ => Sort::Work,
    })
}

/// One attempt of those that the uring backend makes just so.
fn shared(calls: &Calls, body: &Body, operation: &Operation) -> Attempt {
    let Some(subject) = &body.subject else { return Attempt::failure(Errno::EBADF) };
    calls.count(1);
    let other = body.other.as_ref().map(|object| object.as_fd());
    told(host::attempt(operation, subject.as_fd(), other))
}

/// What such an attempt means here.
fn told(turn: host::Turn) -> Attempt {
    match turn {
        Ok(host::Done { result, extra }) => {
            Attempt::outcome(Outcome::Done { error: Errno::OK, result, extra })
        }
        Err(host::Stop::Error(error)) => Attempt::failure(error),
        Err(host::Stop::Wait(need)) => Attempt::Wait(match need {
            host::Need::Subject(events) => Wait::Subject(events),
            host::Need::Other(events) => Wait::Other(events),
            host::Need::While => Wait::While,
        }),
    }
}

/// Makes one attempt. `wish` tells long work that somebody wants it to end.
pub(super) fn attempt(pool: &Pool, body: &mut Body, wish: &AtomicBool) -> Attempt {
    let calls = &pool.calls;
    let Some(operation) = body.operation else {
        return Attempt::failure(Errno::ECANCELED);
    };
    match operation {
        Operation::Read { position, .. } | Operation::Write { position, .. } => match body.subject.as_deref()
        {
            None => Attempt::failure(Errno::EBADF),
            Some(object) if object.kind.streams() && position.is_some() => Attempt::failure(Errno::ESPIPE),
            Some(object) if object.kind.waits() => waiting::transfer(calls, object, &operation),
            Some(object) => storage::transfer(calls, object, &operation),
        },
        Operation::Poll { .. }
        | Operation::Pipe { .. }
        | Operation::Socket { .. }
        | Operation::Bind { .. }
        | Operation::Listen { .. }
        | Operation::Accept { .. }
        | Operation::Connect { .. }
        | Operation::Send { .. }
        | Operation::Recv { .. }
        | Operation::RecvPicked { .. }
        | Operation::Shutdown { .. } => waiting::attempt(calls, body, &operation),
        Operation::Copy { .. } => copy::attempt(calls, body, wish),
        Operation::FutexWake { word, count, shared } => {
            calls.count(1);
            told(host::futex::wake(&word, shared, count))
        }
        Operation::SendMsg { message, flags, .. } => {
            let Some(socket) = &body.subject else { return Attempt::failure(Errno::EBADF) };
            calls.count(1);
            let files: Vec<_> = body.passed.iter().map(|object| object.as_fd()).collect();
            told(host::message::send(socket.as_fd(), &message, flags, &files))
        }
        Operation::RecvMsg { message, flags, .. } => {
            let Some(socket) = &body.subject else { return Attempt::failure(Errno::EBADF) };
            calls.count(1);
            told(host::message::receive(socket.as_fd(), &message, flags).map(|(done, files)| {
                let objects = files.into_iter().filter_map(|file| Object::adopted(file).ok()).collect();
                crate::backend::memory::set_files(&message, &pool.keep_received(objects));
                done
            }))
        }
        Operation::Lock { .. }
        | Operation::GetSockopt { .. }
        | Operation::SetSockopt { .. }
        | Operation::Sockname { .. }
        | Operation::Peername { .. }
        | Operation::Splice { .. }
        | Operation::Wait { .. }
        | Operation::Wake { .. } => shared(calls, body, &operation),
        _ => storage::attempt(calls, body, &operation),
    }
}

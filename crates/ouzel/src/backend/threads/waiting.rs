//! Calls that wait for events: they are tried without blocking, and say what they wait for when they must.
//!
//! A READ, WRITE, SEND or RECV is over after the first progress, as short transfers are successes; RECV and SEND with
//! WAIT_ALL go on until the buffer is done. A WRITE to a socket never raises a signal; one to a pipe that nobody reads
//! raises SIGPIPE on the calling thread as `write(2)` does, unless the process ignores it, as Rust programs do.

use std::num::NonZeroU32;

use ouzel_engine::{Operation, Outcome, Span};
use ouzel_ring::Errno;
use ouzel_ring::modifiers::{MessageFlags, PollEvents, ShutdownHow};
use rustix::event::PollFlags;
use rustix::io::{self, ReadWriteFlags};
use rustix::net::{
    self, AddressFamily, Protocol, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags,
    SocketType, sockopt,
};
use rustix::pipe::{PipeFlags, pipe_with};

use super::attempt::{Attempt, Done, Wait};
use super::job::Body;

use super::object::{Calls, Kind, Object, errno, retry};
use crate::BufferGroup;
use crate::backend::host::spans::{self, RawAddress};
use crate::group::Picking as _;

/// The offset that means "the current position" to `preadv2(2)`.
const CURRENT: u64 = u64::MAX;

/// What a transfer's result means.
fn judge(result: io::Result<usize>, wait: Wait) -> Attempt {
    match result {
        Err(io::Errno::AGAIN) => Attempt::Wait(wait),
        other => Attempt::number(other),
    }
}

/// READ or WRITE of something that has events.
pub(super) fn transfer(calls: &Calls, object: &Object, operation: &Operation) -> Attempt {
    match operation {
        Operation::Read { buffers, position, .. } => {
            let offset = position.unwrap_or(CURRENT);
            let result = spans::with_rooms(buffers, |rooms| {
                if object.ours && position.is_none() {
                    calls.count(1);
                    return retry(|| io::readv(object, rooms));
                }
                calls.count(1);
                match retry(|| io::preadv2(object, rooms, offset, ReadWriteFlags::NOWAIT)) {
                    Err(io::Errno::OPNOTSUPP) => {
                        object.without_blocking(calls, Some(PollFlags::IN), || match position {
                            Some(offset) => io::preadv(object, rooms, *offset),
                            None => io::readv(object, rooms),
                        })
                    }
                    other => other,
                }
            });
            judge(result, Wait::Subject(PollFlags::IN))
        }
        Operation::Write { buffers, position, .. } => {
            let offset = position.unwrap_or(CURRENT);
            let result = spans::with_slices(buffers, |slices| {
                calls.count(1);
                if object.kind == Kind::Socket {
                    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                    return retry(|| {
                        net::sendmsg(object, slices, &mut SendAncillaryBuffer::default(), flags)
                    });
                }
                if object.ours && position.is_none() {
                    return retry(|| io::writev(object, slices));
                }
                match retry(|| io::pwritev2(object, slices, offset, ReadWriteFlags::NOWAIT)) {
                    Err(io::Errno::OPNOTSUPP) => {
                        object.without_blocking(calls, Some(PollFlags::OUT), || match position {
                            Some(offset) => io::pwritev(object, slices, *offset),
                            None => io::writev(object, slices),
                        })
                    }
                    other => other,
                }
            });
            judge(result, Wait::Subject(PollFlags::OUT))
        }
        _ => Attempt::failure(Errno::EINVAL),
    }
}

/// Everything else.
pub(super) fn attempt(calls: &Calls, body: &mut Body, operation: &Operation) -> Attempt {
    match *operation {
        Operation::Pipe { .. } => {
            calls.count(1);
            match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
                Ok((read, write)) => Attempt::Done(Done {
                    outcome: Outcome::success(0),
                    opened: [read, write].map(|end| Some(Object::new(end, Kind::Pipe, true))),
                }),
                Err(error) => Attempt::failure(errno(error)),
            }
        }
        Operation::Socket { domain, kind, protocol, .. } => socket(calls, domain, kind, protocol),
        _ => {
            let Body { subject: Some(socket), group, progress, connecting, .. } = body else {
                return Attempt::failure(Errno::EBADF);
            };
            match *operation {
                Operation::Poll { events, .. } => poll(calls, socket, events),
                Operation::Bind { address, .. } => {
                    calls.count(1);
                    Attempt::unit(net::bind(socket, &RawAddress(address)))
                }
                Operation::Listen { backlog, .. } => {
                    calls.count(1);
                    Attempt::unit(net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX)))
                }
                Operation::Shutdown { how, .. } => {
                    calls.count(1);
                    let how = match how {
                        ShutdownHow::Receive => Shutdown::Read,
                        ShutdownHow::Send => Shutdown::Write,
                        ShutdownHow::Both => Shutdown::Both,
                    };
                    Attempt::unit(net::shutdown(socket, how))
                }
                Operation::Accept { address, .. } => accept(calls, socket, address.as_ref()),
                Operation::Connect { address, .. } => connect(calls, socket, &address, connecting),
                Operation::Send { buffer, flags, .. } => send(calls, socket, &buffer, flags, progress),
                Operation::Recv { buffer, flags, .. } => recv(calls, socket, &buffer, flags, progress),
                Operation::RecvPicked { .. } => match group {
                    Some(group) => recv_picked(calls, socket, group),
                    None => Attempt::failure(Errno::ENOBUFS),
                },
                _ => Attempt::failure(Errno::ENOSYS),
            }
        }
    }
}

/// Whether binding to this address makes a file.
pub(super) fn names_a_file(address: &Span) -> bool {
    match spans::filled(address, 0) {
        [low, high, first, ..] => {
            u16::from_ne_bytes([*low, *high]) == AddressFamily::UNIX.as_raw() && *first != 0
        }
        _ => false,
    }
}

/// The events of a POLL as the system's.
pub(super) fn poll_flags(events: PollEvents) -> PollFlags {
    PollFlags::from_bits_retain(events.bits() as u16)
}

/// The system's events as those of a POLL: what was asked for, and what always counts.
pub(super) fn poll_result(ready: PollFlags, asked: PollEvents) -> u64 {
    u64::from(ready.bits()) & (asked | PollEvents::ERROR | PollEvents::HANGUP).bits()
}

fn poll(calls: &Calls, object: &Object, events: PollEvents) -> Attempt {
    calls.count(1);
    match object.ready(poll_flags(events)) {
        Err(error) => Attempt::failure(errno(error)),
        Ok(ready) => match poll_result(ready, events) {
            0 => Attempt::Wait(Wait::Subject(poll_flags(events))),
            result => Attempt::success(result),
        },
    }
}

fn socket(calls: &Calls, domain: i32, kind: i32, protocol: i32) -> Attempt {
    let Ok(domain) = u16::try_from(domain) else {
        return Attempt::failure(Errno::EAFNOSUPPORT);
    };
    calls.count(1);
    let made = net::socket_with(
        AddressFamily::from_raw(domain),
        SocketType::from_raw(kind as u32),
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        NonZeroU32::new(protocol as u32).map(Protocol::from_raw),
    );
    match made {
        Ok(descriptor) => Attempt::opened(Object::new(descriptor, Kind::Socket, true), 0),
        Err(error) => Attempt::failure(errno(error)),
    }
}

/// Takes one connection, or says that it has to wait.
pub(super) fn accept(calls: &Calls, socket: &Object, address: Option<&Span>) -> Attempt {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let accepted = socket.without_blocking(calls, Some(PollFlags::IN), || match address {
        None => net::accept_with(socket, flags).map(|descriptor| (descriptor, None)),
        Some(_) => net::acceptfrom_with(socket, flags),
    });
    match accepted {
        Ok((descriptor, peer)) => {
            let extra = match (address, &peer) {
                (Some(span), Some(peer)) => spans::store_address(span, peer),
                _ => 0,
            };
            Attempt::opened(Object::new(descriptor, Kind::Socket, true), extra)
        }
        Err(io::Errno::AGAIN) => Attempt::Wait(Wait::Subject(PollFlags::IN)),
        Err(error) => Attempt::failure(errno(error)),
    }
}

fn connect(calls: &Calls, socket: &Object, address: &Span, connecting: &mut bool) -> Attempt {
    if *connecting {
        calls.count(1);
        match socket.ready(PollFlags::OUT) {
            Err(error) => return Attempt::failure(errno(error)),
            Ok(ready) if ready.is_empty() => return Attempt::Wait(Wait::Subject(PollFlags::OUT)),
            Ok(_) => {}
        }
    }
    // The second call tells how the first one ended, and only then does the kernel regard the socket as connected, or
    // as free to try again. SO_ERROR would leave it in between.
    let result = socket.without_blocking(calls, None, || net::connect(socket, &RawAddress(*address)));
    match result {
        Err(io::Errno::ISCONN) if *connecting => Attempt::success(0),
        // EALREADY: an earlier CONNECT was given up, but the socket went on with it.
        Err(io::Errno::INPROGRESS | io::Errno::ALREADY) => {
            *connecting = true;
            Attempt::Wait(Wait::Subject(PollFlags::OUT))
        }
        // A local listener whose queue is full: nobody tells when it has room.
        Err(io::Errno::AGAIN) => Attempt::Wait(Wait::While),
        other => Attempt::unit(other),
    }
}

fn is_stream(calls: &Calls, socket: &Object) -> bool {
    calls.count(1);
    matches!(sockopt::socket_type(socket), Ok(SocketType::STREAM))
}

fn send(calls: &Calls, socket: &Object, buffer: &Span, flags: MessageFlags, progress: &mut u64) -> Attempt {
    let mut how = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    how.set(SendFlags::OOB, flags.contains(MessageFlags::OUT_OF_BAND));
    how.set(SendFlags::MORE, flags.contains(MessageFlags::MORE));
    let whole = flags.contains(MessageFlags::WAIT_ALL);
    loop {
        calls.count(1);
        let result = retry(|| net::send(socket, spans::filled(buffer, *progress as usize), how));
        match result {
            Ok(count) if whole && count > 0 && *progress + (count as u64) < buffer.length as u64 => {
                *progress += count as u64;
            }
            Ok(count) => return Attempt::success(*progress + count as u64),
            Err(io::Errno::AGAIN) => return Attempt::Wait(Wait::Subject(PollFlags::OUT)),
            Err(error) => return ended_early(*progress, error),
        }
    }
}

fn recv(calls: &Calls, socket: &Object, buffer: &Span, flags: MessageFlags, progress: &mut u64) -> Attempt {
    let urgent = flags.contains(MessageFlags::OUT_OF_BAND);
    let peek = flags.contains(MessageFlags::PEEK);
    let mut how = RecvFlags::DONTWAIT;
    how.set(RecvFlags::OOB, urgent);
    how.set(RecvFlags::PEEK, peek);
    let whole = flags.contains(MessageFlags::WAIT_ALL) && !urgent && buffer.length > 0;
    let whole = whole && is_stream(calls, socket);
    let events = if urgent { PollFlags::PRI } else { PollFlags::IN };
    loop {
        calls.count(1);
        let room = spans::room(buffer, *progress as usize);
        let full = room.len();
        match retry(|| net::recv(socket, &mut *room, how).map(|(_, count)| count)) {
            Ok(0) => return Attempt::success(*progress),
            Ok(count) if whole && count < full && peek => {
                // What is there stays there, so that "readable" tells nothing: only the end of the stream does.
                calls.count(1);
                let over = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
                match socket.ready(PollFlags::RDHUP) {
                    Ok(ready) if !ready.intersects(over) => return Attempt::Wait(Wait::While),
                    _ => return Attempt::success(count as u64),
                }
            }
            Ok(count) if whole && count < full => *progress += count as u64,
            Ok(count) => return Attempt::success(*progress + count as u64),
            Err(io::Errno::AGAIN) => return Attempt::Wait(Wait::Subject(events)),
            Err(error) => return ended_early(*progress, error),
        }
    }
}

/// Receives into a buffer of a group, which is picked before there is data, as the kernel does.
pub(super) fn recv_picked(calls: &Calls, socket: &Object, group: &BufferGroup) -> Attempt {
    let received = group.receive(|room| {
        calls.count(1);
        let room = spans::room(&room, 0);
        match retry(|| net::recv(socket, &mut *room, RecvFlags::DONTWAIT).map(|(_, count)| count)) {
            Ok(count) => Ok(count as u64),
            Err(error) => Err(errno(error)),
        }
    });
    match received {
        Ok((result, extra)) => Attempt::outcome(Outcome::Done { error: Errno::OK, result, extra }),
        Err(Errno::EAGAIN) => Attempt::Wait(Wait::Subject(PollFlags::IN)),
        Err(error) => Attempt::failure(error),
    }
}

/// An error after progress is told by the next operation.
fn ended_early(progress: u64, error: io::Errno) -> Attempt {
    if progress > 0 { Attempt::success(progress) } else { Attempt::failure(errno(error)) }
}

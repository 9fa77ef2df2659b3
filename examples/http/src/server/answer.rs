//! From a request to its answer: receive, then open, stat and read as one chain, then close and send as another, with the
//! next receive beside it.
//!
//! What fits a piece is read whole and sent with its head in one go. Of a longer file no more than a piece is in memory.
//! Short sends and short reads are ordinary: what is left is done next.

use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::MessageFlags;
use ouzel::{Buffer, Done, Error, Fd, Offset, OpenOptions, Reg, Stat};

use super::connection::{Answer, Connection, Phase};
use super::{PIECE, Purpose, RECEIVE, SPARES, Server, Work};
use crate::conditions::{Facts, Selection};
use crate::request::{self, Parsed, Request};
use crate::status::Status;
use crate::{content_type, response, target};

/// How long what turns out to be a FIFO may keep a read waiting.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

impl Server<'_> {
    fn connection(&mut self, at: u32) -> Option<&mut Connection> {
        self.connections.get_mut(at as usize)?.as_mut()
    }

    /// A chain of connection `at` is over.
    pub(super) fn go_on(&mut self, at: u32, work: Work, done: &mut Done) -> Result<(), Error> {
        match work {
            Work::Receive(received) => self.received(at, done, received),
            Work::Open { file, stat, read } => self.opened(at, done, file, stat, read),
            Work::Read(read) => self.has_read(at, done, read),
            Work::Pass { read, send } => self.passed(at, done, read, send),
            Work::Send(sent) => self.has_sent(at, done, sent),
            Work::Linger(received) => self.lingered(at, done, received),
            Work::Close => {
                if let Some(connection) = self.connection(at) {
                    connection.closed = true;
                }
                self.forget(at)
            }
        }
    }

    /// Sees to it that a receive is in flight by the end of this turn.
    pub(super) fn receive(&mut self, at: u32, within: Duration) {
        if let Some(connection) = self.connection(at)
            && !connection.receiving
        {
            connection.receiving = true;
            self.receives.push((at, within));
        }
    }

    /// Submits the receives of this turn. A ring lays chains out quicker if like follows like.
    pub(super) fn receive_all(&mut self) -> Result<(), Error> {
        let mut receives = std::mem::take(&mut self.receives);
        for (at, within) in receives.drain(..) {
            self.submit_receive(at, within)?;
        }
        self.receives = receives;
        Ok(())
    }

    fn submit_receive(&mut self, at: u32, within: Duration) -> Result<(), Error> {
        let Some(connection) = self.connection(at) else { return Ok(()) };
        let socket = connection.socket;
        let mut room = std::mem::take(&mut connection.room);
        if room.capacity() < RECEIVE {
            room = Vec::with_capacity(RECEIVE);
        }
        let mut chain = self.chain();
        let received = chain.recv(socket, room, MessageFlags::empty());
        chain.timeout(within);
        self.submit(chain, Purpose::Of(at, Work::Receive(received)))?;
        Ok(())
    }

    fn received(&mut self, at: u32, done: &mut Done, received: Reg<usize>) -> Result<(), Error> {
        let Some(connection) = self.connection(at) else { return Ok(()) };
        connection.receiving = false;
        let length = done.get(received);
        let bytes = done.take(received).map(Buffer::into_vec).unwrap_or_default();
        match length {
            Ok(0) => {
                connection.room = bytes;
                connection.ended = true;
            }
            Ok(_) => connection.feed(bytes),
            Err(_) => connection.room = bytes,
        }
        let error = length.err().and_then(|error| error.errno());
        let begun = !connection.unread().is_empty();
        match connection.phase {
            Phase::Closing => self.forget(at),
            // It is looked at when the answer is over, and asked for again then if it came to nothing.
            Phase::Answering(_) | Phase::Lingering { .. } => Ok(()),
            Phase::Waiting if error == Some(Errno::ETIMEDOUT) && begun => {
                self.refuse(at, Status::RequestTimeout)
            }
            Phase::Waiting if error.is_some() => self.close(at),
            Phase::Waiting => self.advance(at),
        }
    }

    /// Looks at what came in: answers, or asks for more.
    fn advance(&mut self, at: u32) -> Result<(), Error> {
        let Some(connection) = self.connection(at) else { return Ok(()) };
        if connection.unread().is_empty() {
            connection.head_due = None;
            let ended = connection.ended;
            if ended || self.stopping {
                return self.close(at);
            }
            self.receive(at, self.options.idle_timeout);
            return Ok(());
        }
        match request::parse(connection.unread()) {
            Parsed::Complete(length, request) => {
                connection.used += length;
                connection.head_due = None;
                self.answer(at, request)
            }
            Parsed::Refused(status) => self.refuse(at, status),
            Parsed::Partial if connection.ended => self.close(at),
            Parsed::Partial => {
                let now = Instant::now();
                let within = self.options.head_timeout;
                let Some(connection) = self.connection(at) else { return Ok(()) };
                let due = *connection.head_due.get_or_insert(now + within);
                match due.checked_duration_since(now).filter(|left| !left.is_zero()) {
                    Some(left) => {
                        self.receive(at, left);
                        Ok(())
                    }
                    None => self.refuse(at, Status::RequestTimeout),
                }
            }
        }
    }

    /// Opens what is asked for.
    fn answer(&mut self, at: u32, request: Request) -> Result<(), Error> {
        let mut chain = self.chain();
        let path = std::ffi::OsStr::from_bytes(&request.path);
        let file = chain.open_in(self.root, path, OpenOptions::read().beneath());
        let stat = chain.stat_file(file);
        // What is read is wanted only if there is no reason to send less.
        let read = (!request.head_only && request.conditions.is_none()).then(|| {
            let read = chain.read(file, self.piece(), Offset::START);
            chain.timeout(READ_TIMEOUT);
            read
        });
        let Some(connection) = self.connection(at) else { return Ok(()) };
        let answer = Answer { request, file: None, facts: None, from: 0, to: 0 };
        connection.phase = Phase::Answering(Box::new(answer));
        self.submit(chain, Purpose::Of(at, Work::Open { file, stat, read }))?;
        Ok(())
    }

    fn opened(
        &mut self,
        at: u32,
        done: &mut Done,
        file: Reg<Fd>,
        stat: Reg<Stat>,
        read: Option<Reg<usize>>,
    ) -> Result<(), Error> {
        let piece = read.and_then(|read| done.take(read));
        let Some(answer) = self.answer_of(at) else { return Ok(()) };
        let found = done.get(file).and_then(|file| {
            answer.file = Some(file);
            done.get(stat)
        });
        let found = match found {
            Ok(found) if found.is_file() => found,
            Ok(found) if found.is_directory() => {
                let more = format!("Location: {}\r\n", target::location_of(&answer.request.path));
                return self.say(at, Status::MovedPermanently, &more);
            }
            Ok(_) => return self.say(at, Status::Forbidden, ""),
            Err(error) => return self.say(at, status_of(&error), ""),
        };
        let facts = Facts { size: found.size, modified: found.modified };
        answer.facts = Some(facts);
        let selection = answer
            .request
            .conditions
            .as_ref()
            .map_or(Selection::Whole, |conditions| conditions.select(&facts));
        let status = match selection {
            Selection::NotModified => Status::NotModified,
            Selection::Unsatisfiable => {
                let more = format!("Content-Range: bytes */{}\r\n", facts.size);
                return self.say(at, Status::RangeNotSatisfiable, &more);
            }
            Selection::Whole => {
                answer.to = facts.size;
                Status::Ok
            }
            Selection::Part(from, to) => {
                (answer.from, answer.to) = (from, to);
                Status::PartialContent
            }
        };
        if let Some(Err(error)) = read.map(|read| done.get(read)) {
            return self.say(at, status_of(&error), "");
        }
        let head = self.head(at, status);
        let Some(answer) = self.answer_of(at) else { return Ok(()) };
        if answer.request.head_only {
            answer.to = answer.from;
        }
        let Some(piece) = piece else { return self.send(at, head) };
        self.send_with(at, head, piece)
    }

    /// The head of the answer with this status.
    fn head(&mut self, at: u32, status: Status) -> Vec<u8> {
        let mut head = self.outs.pop().unwrap_or_default();
        head.clear();
        self.look_at_clock();
        let connection = self.manner(at);
        if let Some(Some(Connection { phase: Phase::Answering(answer), .. })) =
            self.connections.get(at as usize)
            && let Some(facts) = &answer.facts
        {
            let kind = content_type::of(&answer.request.path);
            let (from, to) = (answer.from, answer.to);
            response::file(&mut head, &self.clock, status, connection, facts, kind, from, to);
        }
        head
    }

    /// Sends a head and the piece of the body that was read.
    fn send_with(&mut self, at: u32, mut head: Vec<u8>, piece: Buffer) -> Result<(), Error> {
        let Some(answer) = self.answer_of(at) else { return Ok(()) };
        let wanted = usize::try_from(answer.to - answer.from).unwrap_or(usize::MAX);
        let bytes = &piece[..wanted.min(piece.len())];
        if bytes.is_empty() && wanted > 0 {
            // The file has become shorter: what was promised cannot be sent.
            return self.close(at);
        }
        answer.from += bytes.len() as u64;
        head.extend_from_slice(bytes);
        if self.pieces.len() < SPARES {
            self.pieces.push(piece);
        }
        self.send(at, head)
    }

    /// Sends bytes. Before the last ones of an answer its file is closed, and with them the next request is asked for.
    fn send(&mut self, at: u32, bytes: Vec<u8>) -> Result<(), Error> {
        let within = self.options.send_timeout;
        let stays = self.manner(at) != response::Connection::Close;
        let mut chain = self.chain();
        let Some(Some(connection)) = self.connections.get_mut(at as usize) else { return Ok(()) };
        let Phase::Answering(answer) = &mut connection.phase else { return Ok(()) };
        let is_last = answer.from >= answer.to;
        if is_last && let Some(file) = answer.file.take() {
            chain.close(file);
            chain.hardlink();
        }
        let sent = chain.send(connection.socket, bytes, MessageFlags::empty());
        chain.timeout(within);
        let asks = is_last && stays && !connection.ended && connection.unread().is_empty();
        self.submit(chain, Purpose::Of(at, Work::Send(sent)))?;
        if asks {
            self.receive(at, self.options.idle_timeout);
        }
        Ok(())
    }

    fn has_sent(&mut self, at: u32, done: &mut Done, sent: Reg<usize>) -> Result<(), Error> {
        let length = done.get(sent);
        let mut bytes = done.take(sent).map(Buffer::into_vec).unwrap_or_default();
        match length {
            Ok(length) if length < bytes.len() => {
                bytes.drain(..length);
                return self.send(at, bytes);
            }
            Ok(_) => {}
            Err(_) => return self.close(at),
        }
        if self.outs.len() < SPARES {
            self.outs.push(bytes);
        }
        self.go_on_reading(at)
    }

    /// Reads and sends what is left of the body, or goes on to the next request.
    fn go_on_reading(&mut self, at: u32) -> Result<(), Error> {
        let Some(Some(connection)) = self.connections.get(at as usize) else { return Ok(()) };
        let socket = connection.socket;
        let Phase::Answering(answer) = &connection.phase else { return Ok(()) };
        let (from, left) = (answer.from, answer.to.saturating_sub(answer.from));
        let Some(file) = answer.file.filter(|_| left > 0) else { return self.answered(at) };
        let within = self.options.send_timeout;
        let piece = self.piece();
        let mut chain = self.chain();
        let whole = piece.capacity() as u64;
        if left > whole {
            chain.deadline(within);
            let read = chain.read(file, piece, Offset::at(from));
            let send = chain.send(socket, read, MessageFlags::empty());
            self.submit(chain, Purpose::Of(at, Work::Pass { read, send }))?;
        } else {
            // It may hold more than is wanted, so it is looked at before it is sent.
            let read = chain.read(file, piece, Offset::at(from));
            chain.timeout(within);
            self.submit(chain, Purpose::Of(at, Work::Read(read)))?;
        }
        Ok(())
    }

    fn passed(&mut self, at: u32, done: &mut Done, read: Reg<usize>, send: Reg<usize>) -> Result<(), Error> {
        let sent = done.get(send);
        if let Some(piece) = done.take(read)
            && self.pieces.len() < SPARES
        {
            self.pieces.push(piece);
        }
        let Some(answer) = self.answer_of(at) else { return Ok(()) };
        match sent {
            // What was read and not sent is read again.
            Ok(sent @ 1..) => {
                answer.from += sent as u64;
                self.go_on_reading(at)
            }
            _ => self.close(at),
        }
    }

    fn has_read(&mut self, at: u32, done: &mut Done, read: Reg<usize>) -> Result<(), Error> {
        match (done.get(read), done.take(read)) {
            (Ok(_), Some(piece)) => {
                let mut out = self.outs.pop().unwrap_or_default();
                out.clear();
                self.send_with(at, out, piece)
            }
            _ => self.close(at),
        }
    }

    /// An answer is over.
    fn answered(&mut self, at: u32) -> Result<(), Error> {
        self.served.requests += 1;
        let keeps = self.manner(at) != response::Connection::Close;
        let Some(connection) = self.connection(at) else { return Ok(()) };
        if !keeps {
            return self.linger(at);
        }
        connection.phase = Phase::Waiting;
        if connection.receiving && connection.unread().is_empty() {
            return Ok(());
        }
        self.advance(at)
    }

    /// Answers with words instead of a file.
    fn say(&mut self, at: u32, status: Status, more: &str) -> Result<(), Error> {
        let manner = self.manner(at);
        self.look_at_clock();
        let mut out = self.outs.pop().unwrap_or_default();
        out.clear();
        let Some(Some(Connection { phase: Phase::Answering(answer), .. })) =
            self.connections.get_mut(at as usize)
        else {
            return Ok(());
        };
        (answer.from, answer.to) = (0, 0);
        response::message(&mut out, &self.clock, status, manner, answer.request.head_only, more);
        self.send(at, out)
    }

    /// Answers what cannot be understood, and ends the connection.
    fn refuse(&mut self, at: u32, status: Status) -> Result<(), Error> {
        let Some(connection) = self.connection(at) else { return Ok(()) };
        let request =
            Request { path: Vec::new(), head_only: false, keep_alive: false, old: false, conditions: None };
        let answer = Answer { request, file: None, facts: None, from: 0, to: 0 };
        connection.phase = Phase::Answering(Box::new(answer));
        let more = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
        self.say(at, status, more)
    }

    /// What becomes of the connection behind the answer it is at.
    fn manner(&self, at: u32) -> response::Connection {
        let answer = match self.connections.get(at as usize) {
            Some(Some(Connection { phase: Phase::Answering(answer), .. })) => answer,
            _ => return response::Connection::Close,
        };
        match (&answer.request, self.stopping) {
            (Request { keep_alive: false, .. }, _) | (_, true) => response::Connection::Close,
            (Request { old: true, .. }, _) => response::Connection::KeepAsAsked,
            _ => response::Connection::Keep,
        }
    }

    fn answer_of(&mut self, at: u32) -> Option<&mut Answer> {
        match &mut self.connection(at)?.phase {
            Phase::Answering(answer) => Some(answer),
            _ => None,
        }
    }

    /// Looks at the time, if nobody has in this turn.
    fn look_at_clock(&mut self) {
        if std::mem::take(&mut self.clock_due) {
            self.clock.tick();
        }
    }

    fn piece(&mut self) -> Buffer {
        self.pieces.pop().unwrap_or_else(|| Buffer::with_capacity(PIECE))
    }
}

/// What a file that cannot be opened or read is to its client.
fn status_of(error: &Error) -> Status {
    match error.errno() {
        Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => Status::NotFound,
        Some(Errno::EACCES | Errno::EPERM | Errno::EXDEV | Errno::ELOOP | Errno::ENXIO) => Status::Forbidden,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EAGAIN) => {
            Status::ServiceUnavailable
        }
        _ => Status::InternalServerError,
    }
}

//! What the peers of `examples/http` share with it and with each other: everything but the runtime.
//!
//! Requests are read and heads written by the very modules of the example. What is here is the rest of an answer: a file
//! of at most [`PIECE`] bytes is opened beneath the root, described, read and closed for every request, and its bytes are
//! put behind the head, so that one send does it. Longer files are not what is measured; peers answer them with 500.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ouzel_http::conditions::{Facts, Selection};
pub use ouzel_http::request::{Parsed, Request, parse};
use ouzel_http::response::{self, Clock, Connection};
pub use ouzel_http::status::Status;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

/// The longest file that is served, as long as the example's pieces.
pub const PIECE: usize = 64 * 1024;
/// The room for a receive, the example's.
pub const RECEIVE: usize = 4096;
/// How long a connection may be idle.
pub const IDLE: Duration = Duration::from_secs(15);
/// How long a client may take for an answer.
pub const SEND: Duration = Duration::from_secs(30);

/// What a peer is started with: `peer ROOT VARIANT`.
pub struct Start {
    /// The root, as a path.
    pub path: PathBuf,
    /// The root, open.
    pub root: OwnedFd,
    /// Which way of doing it.
    pub variant: String,
    /// Where it listens; the address has been printed.
    pub listener: TcpListener,
}

impl Start {
    /// Reads the arguments, listens, and says where.
    ///
    /// Errors: other arguments, a root that cannot be opened, no socket.
    pub fn new() -> Result<Start, Box<dyn std::error::Error>> {
        let usage = "usage: peer ROOT VARIANT";
        let mut arguments = std::env::args_os().skip(1);
        let path = PathBuf::from(arguments.next().ok_or(usage)?);
        let variant = arguments.next().and_then(|variant| variant.into_string().ok()).ok_or(usage)?;
        let root = File::open(&path)?.into();
        let listener = ouzel_http::listen(SocketAddr::from(([127, 0, 0, 1], 0)), false)?;
        let mut output = io::stdout();
        writeln!(output, "listening on http://{}/", listener.local_addr()?)?;
        output.flush()?;
        Ok(Start { path, root, variant, listener })
    }
}

/// A file that was read.
pub struct Found {
    /// What is known of it.
    pub facts: Facts,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// What is known of a file of this size and time of change.
pub fn facts(size: u64, modified: SystemTime) -> Facts {
    Facts { size, modified }
}

/// Opens, describes, reads and closes a file by plain calls.
///
/// Errors: those of the calls; EACCES for what is no file.
pub fn read_file(root: BorrowedFd<'_>, path: &[u8], mut body: Vec<u8>) -> io::Result<Found> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::from(rustix::io::Errno::ACCESS));
    }
    let size = stat.st_size as u64;
    body.clear();
    body.reserve(PIECE);
    rustix::io::pread(file.as_fd(), rustix::buffer::spare_capacity(&mut body), 0)?;
    let modified = modified(stat.st_mtime, stat.st_mtime_nsec as u32);
    Ok(Found { facts: facts(size, modified), body })
}

fn modified(seconds: i64, nanoseconds: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(seconds.unsigned_abs(), nanoseconds)
}

/// Makes answers.
#[derive(Default)]
pub struct Answers {
    clock: Clock,
}

impl Answers {
    /// Writes the answer to a request whose file was looked for. Returns whether the connection stays.
    pub fn write(&mut self, out: &mut Vec<u8>, request: &Request, found: &io::Result<Found>) -> bool {
        self.clock.tick();
        out.clear();
        let connection = match (request.keep_alive, request.old) {
            (false, _) => Connection::Close,
            (true, true) => Connection::KeepAsAsked,
            (true, false) => Connection::Keep,
        };
        let found = match found {
            Ok(found) if found.facts.size <= PIECE as u64 => found,
            Ok(_) => return self.say(out, Status::InternalServerError, connection, request.head_only),
            Err(error) => {
                let status = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                    Some(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Status::NotFound,
                    _ => Status::Forbidden,
                };
                return self.say(out, status, connection, request.head_only);
            }
        };
        let facts = &found.facts;
        let selection =
            request.conditions.as_ref().map_or(Selection::Whole, |conditions| conditions.select(facts));
        let (status, from, to) = match selection {
            Selection::Whole => (Status::Ok, 0, facts.size),
            Selection::Part(from, to) => (Status::PartialContent, from, to),
            Selection::NotModified => (Status::NotModified, 0, 0),
            Selection::Unsatisfiable => {
                return self.say(out, Status::RangeNotSatisfiable, connection, request.head_only);
            }
        };
        let kind = ouzel_http::content_type::of(&request.path);
        response::file(out, &self.clock, status, connection, facts, kind, from, to);
        if !request.head_only {
            out.extend_from_slice(found.body.get(from as usize..to as usize).unwrap_or_default());
        }
        request.keep_alive
    }

    fn say(&self, out: &mut Vec<u8>, status: Status, connection: Connection, head_only: bool) -> bool {
        response::message(out, &self.clock, status, connection, head_only, "");
        connection != Connection::Close
    }

    /// Writes the answer to what is no request. The connection ends behind it.
    pub fn refuse(&mut self, out: &mut Vec<u8>, status: Status) {
        self.clock.tick();
        out.clear();
        self.say(out, status, Connection::Close, false);
    }
}

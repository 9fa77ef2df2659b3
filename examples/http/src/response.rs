//! Responses: their heads, as bytes.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::conditions::Facts;
use crate::digits::decimal;
use crate::status::Status;

/// The time of day as HTTP says it, made once a second.
#[derive(Debug, Default)]
pub struct Clock {
    second: Option<u64>,
    text: String,
}

impl Clock {
    /// Looks at the time.
    pub fn tick(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second != Some(now) {
            self.second = Some(now);
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(now));
        }
    }
}

/// What becomes of the connection behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It stays.
    Keep,
    /// It stays, and the client, being old, must be told.
    KeepAsAsked,
    /// It ends.
    Close,
}

fn begin(out: &mut Vec<u8>, clock: &Clock, status: Status, connection: Connection) {
    for part in ["HTTP/1.1 ", status.line(), "\r\nServer: ouzel\r\nDate: ", &clock.text, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    match connection {
        Connection::Keep => {}
        Connection::KeepAsAsked => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        Connection::Close => out.extend_from_slice(b"Connection: close\r\n"),
    }
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer with the bytes `from..to` of a file. Only 200, 206 and 304 have a meaning here.
#[allow(clippy::too_many_arguments)]
pub fn file(
    out: &mut Vec<u8>,
    clock: &Clock,
    status: Status,
    connection: Connection,
    facts: &Facts,
    kind: &str,
    from: u64,
    to: u64,
) {
    begin(out, clock, status, connection);
    if status != Status::NotModified {
        number(out, "Content-Length", to - from);
        for part in ["Content-Type: ", kind, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    if status == Status::PartialContent {
        out.extend_from_slice(
            format!("Content-Range: bytes {from}-{}/{}\r\n", to - 1, facts.size).as_bytes(),
        );
    }
    out.extend_from_slice(b"Last-Modified: ");
    // Writing to memory does not fail.
    let _ = write!(out, "{}", httpdate::HttpDate::from(facts.modified_seconds()));
    out.extend_from_slice(b"\r\nETag: ");
    facts.tag(out);
    out.extend_from_slice(b"\r\nAccept-Ranges: bytes\r\n\r\n");
}

/// A whole answer that is no file: its status, said once more in words. `more` is a field of its own, with its line
/// end. The body is left out if only the head was asked for.
pub fn message(
    out: &mut Vec<u8>,
    clock: &Clock,
    status: Status,
    connection: Connection,
    head_only: bool,
    more: &str,
) {
    begin(out, clock, status, connection);
    let body = status.line();
    number(out, "Content-Length", body.len() as u64 + 1);
    for part in ["Content-Type: text/plain; charset=utf-8\r\n", more, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if !head_only {
        out.extend_from_slice(body.as_bytes());
        out.push(b'\n');
    }
}

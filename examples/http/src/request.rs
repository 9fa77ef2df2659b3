//! Requests: from bytes that came in to what is asked for. Nothing that comes in can make this panic.

use std::mem::MaybeUninit;

use httparse::{Error, Header};

use crate::conditions::Conditions;
use crate::status::Status;
use crate::target::path_of;

/// The longest head of a request.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most header fields of a request.
const MAX_FIELDS: usize = 64;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The file, relative to the root.
    pub path: Vec<u8>,
    /// Only the head of the answer.
    pub head_only: bool,
    /// The connection stays for more.
    pub keep_alive: bool,
    /// It is HTTP/1.0, in which keeping a connection must be said.
    pub old: bool,
    /// What the answer depends on, if anything.
    pub conditions: Option<Box<Conditions>>,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a request.
    Partial,
    /// A request of this many bytes.
    Complete(usize, Request),
    /// Nothing that can be answered otherwise. What comes behind it cannot be told apart, so the connection ends.
    Refused(Status),
}

/// Reads the request at the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => match understand(&request) {
            Ok(request) => Parsed::Complete(length, request),
            Err(status) => Parsed::Refused(status),
        },
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => Parsed::Partial,
        Ok(_) | Err(Error::TooManyHeaders) => Parsed::Refused(Status::HeaderFieldsTooLarge),
        Err(Error::Version) => Parsed::Refused(Status::VersionNotSupported),
        Err(_) => Parsed::Refused(Status::BadRequest),
    }
}

fn understand(request: &httparse::Request<'_, '_>) -> Result<Request, Status> {
    let old = request.version == Some(0);
    let mut keep_alive = !old;
    let mut hosts = 0;
    let mut conditions = Conditions::default();
    let mut has_body = false;
    for Header { name, value } in request.headers.iter() {
        // Most fields are of no interest; their length tells.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => hosts += 1,
            10 if name.eq_ignore_ascii_case("connection") => {
                for word in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if word.eq_ignore_ascii_case(b"close") {
                        keep_alive = false;
                    } else if old && word.eq_ignore_ascii_case(b"keep-alive") {
                        keep_alive = true;
                    }
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = value.trim_ascii();
                if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
                    return Err(Status::BadRequest);
                }
                has_body |= length.iter().any(|digit| *digit != b'0');
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => has_body = true,
            5 | 8 | 13 | 17 => conditions.read(name, value),
            _ => {}
        }
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Status::MethodNotAllowed),
    };
    if has_body {
        return Err(Status::ContentTooLarge);
    }
    if hosts > 1 || (hosts == 0 && !old) {
        return Err(Status::BadRequest);
    }
    let path = path_of(request.path.unwrap_or_default())?;
    let conditions = (conditions != Conditions::default()).then(|| Box::new(conditions));
    Ok(Request { path, head_only, keep_alive, old, conditions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, status: Status) {
        assert_eq!(parse(text.as_bytes()), Parsed::Refused(status), "{text:?}");
    }

    fn complete(text: &str) -> Request {
        match parse(text.as_bytes()) {
            Parsed::Complete(length, request) if length == text.len() => request,
            other => panic!("{text:?} is {other:?}"),
        }
    }

    #[test]
    fn every_beginning_of_a_request_is_partial() {
        let text = b"GET /a HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Parsed::Partial, "{end}");
        }
        assert!(matches!(parse(text), Parsed::Complete(length, _) if length == text.len()));
        let two = [&text[..], &text[..]].concat();
        assert!(matches!(parse(&two), Parsed::Complete(length, _) if length == text.len()));
    }

    #[test]
    fn connections_are_kept_as_the_version_says() {
        assert!(complete("GET / HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive);
        assert!(!complete("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, CLOSE\r\n\r\n").keep_alive);
        assert!(!complete("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(complete("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
        assert!(complete("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").head_only);
    }

    #[test]
    fn what_cannot_be_answered_is_refused() {
        refused("GET / HTTP/1.1\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Status::BadRequest);
        refused("GET\r\n\r\n", Status::BadRequest);
        refused("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", Status::VersionNotSupported);
        refused("POST / HTTP/1.1\r\nHost: x\r\n\r\n", Status::MethodNotAllowed);
        refused("get / HTTP/1.1\r\nHost: x\r\n\r\n", Status::MethodNotAllowed);
        refused("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n", Status::ContentTooLarge);
        refused("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", Status::BadRequest);
        refused("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", Status::ContentTooLarge);
        complete("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn heads_have_a_limit() {
        let fields = "A: b\r\n".repeat(MAX_FIELDS + 1);
        refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n"), Status::HeaderFieldsTooLarge);
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "b".repeat(MAX_HEAD));
        refused(&long, Status::HeaderFieldsTooLarge);
        refused(&format!("{long}\r\n\r\n"), Status::HeaderFieldsTooLarge);
        assert_eq!(parse(&long.as_bytes()[..MAX_HEAD - 1]), Parsed::Partial);
    }
}

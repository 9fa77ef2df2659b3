//! From the target of a request to a path, and back.
//!
//! The path that comes out is relative and may hold anything but a NUL, `..` included: what it leads to is for the
//! kernel to say when it is opened beneath the root. Text alone cannot tell, since a symbolic link may lie on the way.

use crate::status::Status;

/// The longest path, without the NUL that ends it.
pub const MAX_PATH: usize = 4095;

/// The file that stands for a directory.
const INDEX: &[u8] = b"index.html";

/// The path below the root that `target` names; a directory's, if it ends with a slash, becomes that of its index.
///
/// Errors: 400 for what is not a path, has a bad escape or a NUL; 414 for one that is too long.
pub fn path_of(target: &str) -> Result<Vec<u8>, Status> {
    let target = target.as_bytes();
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let path = origin(&target[..end]).ok_or(Status::BadRequest)?;
    let mut decoded = Vec::with_capacity(path.len() + INDEX.len());
    let mut rest = path.iter();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let high = rest.next().and_then(digit).ok_or(Status::BadRequest)?;
                let low = rest.next().and_then(digit).ok_or(Status::BadRequest)?;
                high << 4 | low
            }
            byte => *byte,
        };
        match byte {
            0 => return Err(Status::BadRequest),
            b'/' if decoded.is_empty() => {}
            byte => decoded.push(byte),
        }
    }
    if decoded.last().is_none_or(|last| *last == b'/') {
        decoded.extend_from_slice(INDEX);
    }
    if decoded.len() > MAX_PATH { Err(Status::UriTooLong) } else { Ok(decoded) }
}

/// The part of a target from its path on: what proxies are sent begins with a scheme and a host.
fn origin(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let scheme = target.get(..7)?;
    let rest = scheme.eq_ignore_ascii_case(b"http://").then(|| &target[7..])?;
    let path = rest.iter().position(|byte| *byte == b'/').map_or(&b"/"[..], |slash| &rest[slash..]);
    Some(path)
}

fn digit(byte: &u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Where the directory with this path is to be asked for: with a slash behind it, escaped.
pub fn location_of(path: &[u8]) -> String {
    let mut location = String::with_capacity(path.len() + 2);
    location.push('/');
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(byte) {
            location.push(char::from(*byte));
        } else {
            location.push_str(&format!("%{byte:02X}"));
        }
    }
    location.push('/');
    location
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_relative_paths() {
        for (target, path) in [
            ("/", "index.html"),
            ("/a", "a"),
            ("/a/", "a/index.html"),
            ("/a/b.txt?x=/../y", "a/b.txt"),
            ("//etc/passwd", "etc/passwd"),
            ("/%2f%2Fetc", "etc"),
            ("/a%20b%c3%a9", "a bé"),
            ("/a/../b", "a/../b"),
            ("/%2e%2e/b", "../b"),
            ("http://host:80/a/b", "a/b"),
            ("HTTP://host", "index.html"),
        ] {
            assert_eq!(path_of(target).map(|path| String::from_utf8(path).unwrap()), Ok(path.to_owned()));
        }
    }

    #[test]
    fn bad_targets_are_refused() {
        for target in
            ["", "*", "a", "/%", "/%2", "/%g0", "/%0g", "/a%00", "ftp://x/", "http:/x", "?", "host:80"]
        {
            assert_eq!(path_of(target), Err(Status::BadRequest), "{target}");
        }
        let long = format!("/{}", "a".repeat(MAX_PATH));
        assert_eq!(path_of(&long).map(|path| path.len()), Ok(MAX_PATH));
        assert_eq!(path_of(&format!("{long}a")), Err(Status::UriTooLong));
    }

    #[test]
    fn a_location_is_escaped() {
        assert_eq!(location_of(b"a b/\xff%"), "/a%20b/%FF%25/");
    }
}

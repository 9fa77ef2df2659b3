//! Socket addresses as text: `127.0.0.1:80`, `[::1]:80`, `unix:/run/socket`, `unix:@abstract`.

use std::net::SocketAddr;

use thiserror::Error;

use super::quantity::clip;

/// The most bytes of a UNIX socket's path or abstract name (`sun_path`, less the NUL).
const MAX_UNIX_PATH: usize = 107;

/// Where a socket is or connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6 with a port.
    Inet(SocketAddr),
    /// A socket in the file system.
    Unix(Vec<u8>),
    /// A name in Linux's abstract space, without the NUL in front.
    Abstract(Vec<u8>),
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// None of the forms.
    #[error("`{0}` is not an address; one is written 127.0.0.1:80, [::1]:80, unix:PATH or unix:@NAME")]
    Form(String),
    /// A UNIX path that does not fit.
    #[error("a socket's path has {0} bytes; the most is {MAX_UNIX_PATH}")]
    TooLong(usize),
    /// A UNIX path that is empty or holds a NUL.
    #[error("a socket's path may not be empty and may not hold a NUL")]
    Path,
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &[u8]) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix(b"unix:") {
            let name = path.strip_prefix(b"@");
            let bytes = name.unwrap_or(path);
            if bytes.len() > MAX_UNIX_PATH {
                return Err(AddressError::TooLong(bytes.len()));
            }
            if bytes.is_empty() || (name.is_none() && bytes.contains(&0)) {
                return Err(AddressError::Path);
            }
            let bytes = bytes.to_vec();
            return Ok(if name.is_some() { Address::Abstract(bytes) } else { Address::Unix(bytes) });
        }
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .map(Address::Inet)
            .ok_or_else(|| AddressError::Form(clip(&String::from_utf8_lossy(text))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_four_forms() {
        let inet = |text: &str| Ok(Address::Inet(text.parse().unwrap()));
        assert_eq!(Address::parse(b"127.0.0.1:80"), inet("127.0.0.1:80"));
        assert_eq!(Address::parse(b"[::1]:8080"), inet("[::1]:8080"));
        assert_eq!(Address::parse(b"unix:/run/x"), Ok(Address::Unix(b"/run/x".to_vec())));
        assert_eq!(Address::parse(b"unix:@x"), Ok(Address::Abstract(b"x".to_vec())));
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(Address::parse(b"localhost"), Err(AddressError::Form("localhost".into())));
        assert_eq!(Address::parse(b"\xff"), Err(AddressError::Form("\u{fffd}".into())));
        assert_eq!(Address::parse(b"unix:"), Err(AddressError::Path));
        assert_eq!(Address::parse(b"unix:a\0b"), Err(AddressError::Path));
        assert_eq!(Address::parse(&[&b"unix:"[..], &[b'a'; 108]].concat()), Err(AddressError::TooLong(108)));
    }
}

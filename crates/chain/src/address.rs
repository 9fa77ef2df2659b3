//! Socket addresses, as BIND and CONNECT take them: the bytes of a `struct sockaddr`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{SocketAddr, SocketAddrV6};

use ouzel_ring::Errno;

use crate::os::{self, Path};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// Bytes of `sun_path` in `struct sockaddr_un` (`unix(7)`).
const UNIX_PATH: usize = 108;

/// The address of a socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketAddress(Vec<u8>);

impl SocketAddress {
    /// A Unix socket's address that is a path. ENAMETOOLONG if it has more than 107 bytes, EINVAL if it is empty or
    /// holds a NUL.
    pub fn unix(path: impl AsRef<Path>) -> Result<SocketAddress, Errno> {
        let path = os::bytes(path.as_ref());
        if path.is_empty() || path.contains(&0) {
            return Err(Errno::EINVAL);
        }
        if path.len() >= UNIX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
        bytes.extend_from_slice(path);
        bytes.push(0);
        Ok(SocketAddress(bytes))
    }

    /// A Unix socket's address that is a name without a file. ENAMETOOLONG if it has more than 107 bytes.
    pub fn unix_abstract(name: &[u8]) -> Result<SocketAddress, Errno> {
        if name.len() >= UNIX_PATH {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut bytes = AF_UNIX.to_ne_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(name);
        Ok(SocketAddress(bytes))
    }

    /// An address that a socket has told: the bytes of a `struct sockaddr`. What they mean is not looked at.
    pub fn from_bytes(bytes: &[u8]) -> SocketAddress {
        SocketAddress(bytes.to_vec())
    }

    /// The internet address and port, if it is one of the internet.
    pub fn inet(&self) -> Option<SocketAddr> {
        let family = u16::from_ne_bytes(*self.0.first_chunk()?);
        let port = u16::from_be_bytes(*self.0.get(2..)?.first_chunk()?);
        match family {
            AF_INET => {
                let octets: [u8; 4] = *self.0.get(4..)?.first_chunk()?;
                Some(SocketAddr::from((octets, port)))
            }
            AF_INET6 => {
                let flow = u32::from_be_bytes(*self.0.get(4..)?.first_chunk()?);
                let octets: [u8; 16] = *self.0.get(8..)?.first_chunk()?;
                let scope = u32::from_ne_bytes(*self.0.get(24..)?.first_chunk()?);
                Some(SocketAddrV6::new(octets.into(), port, flow, scope).into())
            }
            _ => None,
        }
    }

    /// The path, if it is that of a Unix socket which has one.
    pub fn path(&self) -> Option<&Path> {
        let family = u16::from_ne_bytes(*self.0.first_chunk()?);
        let path = self.0.get(2..)?;
        if family != AF_UNIX || path.first().is_none_or(|byte| *byte == 0) {
            return None;
        }
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        Some(os::path(&path[..end]))
    }

    /// The bytes of the `struct sockaddr`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SocketAddress {
    /// As `127.0.0.1:80`, `[::1]:80`, `unix:PATH` or `unix:@NAME`; a Unix socket without a name is `unix`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.inet() {
            return address.fmt(formatter);
        }
        if let Some(path) = self.path() {
            return write!(formatter, "unix:{}", String::from_utf8_lossy(os::bytes(path)));
        }
        match (self.0.first_chunk().map(|family| u16::from_ne_bytes(*family)), self.0.get(3..)) {
            (Some(AF_UNIX), Some(name)) if !name.is_empty() => {
                write!(formatter, "unix:@{}", String::from_utf8_lossy(name))
            }
            (Some(AF_UNIX), _) => formatter.write_str("unix"),
            (Some(family), _) => write!(formatter, "an address of family {family}"),
            (None, _) => formatter.write_str("no address"),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> SocketAddress {
        let mut bytes = Vec::with_capacity(28);
        match address {
            SocketAddr::V4(address) => {
                bytes.extend_from_slice(&AF_INET.to_ne_bytes());
                bytes.extend_from_slice(&address.port().to_be_bytes());
                bytes.extend_from_slice(&address.ip().octets());
                bytes.extend_from_slice(&[0; 8]);
            }
            SocketAddr::V6(address) => {
                bytes.extend_from_slice(&AF_INET6.to_ne_bytes());
                bytes.extend_from_slice(&address.port().to_be_bytes());
                bytes.extend_from_slice(&address.flowinfo().to_be_bytes());
                bytes.extend_from_slice(&address.ip().octets());
                bytes.extend_from_slice(&address.scope_id().to_ne_bytes());
            }
        }
        SocketAddress(bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        for text in ["127.0.0.1:80", "[::1]:8080", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddress::from(address).inet(), Some(address));
            assert_eq!(SocketAddress::from(address).to_string(), text);
        }
        let unix = SocketAddress::unix("/run/x").unwrap();
        assert_eq!((unix.to_string().as_str(), unix.path()), ("unix:/run/x", Some(Path::new("/run/x"))));
        assert_eq!(SocketAddress::unix_abstract(b"x").unwrap().to_string(), "unix:@x");
        assert_eq!(SocketAddress::from_bytes(&AF_UNIX.to_ne_bytes()).to_string(), "unix");
        for bytes in [&[][..], &[1], &[2, 0], &[10, 0, 0], &[2, 0, 1, 2, 3]] {
            // Whatever they are, they are no reason to panic.
            let _ = SocketAddress::from_bytes(bytes).to_string();
        }
    }
}

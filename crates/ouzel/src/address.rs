//! Socket addresses, as BIND and CONNECT take them: the bytes of a `struct sockaddr`.

use std::ffi::OsStr;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ouzel_ring::Errno;

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
        let path = path.as_ref().as_os_str().as_bytes();
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

    /// An address that a socket has told.
    pub(crate) fn from_bytes(bytes: &[u8]) -> SocketAddress {
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
        Some(Path::new(OsStr::from_bytes(&path[..end])))
    }

    /// The bytes of the `struct sockaddr`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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

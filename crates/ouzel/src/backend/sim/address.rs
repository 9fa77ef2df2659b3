//! Socket addresses: from the bytes of a `struct sockaddr` and back, with Linux's errors for malformed ones.
//!
//! IPv4 addresses are kept as IPv6 ones of the mapped kind (`::ffff:a.b.c.d`), so that a dual-stack socket needs no
//! case of its own.

use std::net::{Ipv4Addr, Ipv6Addr};

use ouzel_ring::Errno;

pub(super) const UNSPECIFIED: u16 = 0;
pub(super) const UNIX: u16 = 1;
pub(super) const INET: u16 = 2;
pub(super) const INET6: u16 = 10;
/// Bytes of a `struct sockaddr_un`.
const UNIX_LENGTH: usize = 110;

/// A family of sockets that the simulator has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Unix,
    Inet,
    Inet6,
}

/// The name of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A path in the tree.
    Path(Vec<u8>),
    /// A name outside the tree.
    Abstract(Vec<u8>),
    Inet(Ipv6Addr, u16),
}

/// What an address argument says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Name(Name),
    /// Only a family, that of unix sockets: any free name will do.
    Any,
}

/// The family an address names; `None` if it is too short to.
pub(super) fn family_of(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?))
}

/// Reads an address for a socket of `family`.
pub(super) fn parse(family: Family, bytes: &[u8]) -> Result<Given, Errno> {
    let number = family_of(bytes).ok_or(Errno::EINVAL)?;
    match family {
        Family::Unix => {
            if number != UNIX || bytes.len() > UNIX_LENGTH {
                return Err(Errno::EINVAL);
            }
            let path = &bytes[2..];
            Ok(match path.first() {
                None => Given::Any,
                Some(0) => Given::Name(Name::Abstract(path[1..].to_vec())),
                Some(_) => {
                    let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                    Given::Name(Name::Path(path[..end].to_vec()))
                }
            })
        }
        Family::Inet => {
            let fixed: &[u8; 16] =
                bytes.get(..16).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::EINVAL)?;
            if number != INET && !(number == UNSPECIFIED && fixed[4..8] == [0; 4]) {
                return Err(Errno::EAFNOSUPPORT);
            }
            let address = Ipv4Addr::new(fixed[4], fixed[5], fixed[6], fixed[7]).to_ipv6_mapped();
            Ok(Given::Name(Name::Inet(address, u16::from_be_bytes([fixed[2], fixed[3]]))))
        }
        Family::Inet6 => {
            let fixed: &[u8; 24] =
                bytes.get(..24).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::EINVAL)?;
            if number != INET6 {
                return Err(Errno::EAFNOSUPPORT);
            }
            let mut octets = [0; 16];
            octets.copy_from_slice(&fixed[8..24]);
            Ok(Given::Name(Name::Inet(octets.into(), u16::from_be_bytes([fixed[2], fixed[3]]))))
        }
    }
}

/// The bytes of a socket's name; those of a socket without one are its family only, or zeros.
pub(super) fn encode(family: Family, name: Option<&Name>) -> Vec<u8> {
    match (family, name) {
        (Family::Unix, name) => {
            let mut bytes = UNIX.to_ne_bytes().to_vec();
            match name {
                Some(Name::Path(path)) => {
                    bytes.extend(path);
                    bytes.push(0);
                }
                Some(Name::Abstract(name)) => {
                    bytes.push(0);
                    bytes.extend(name);
                }
                _ => {}
            }
            bytes
        }
        (family, name) => {
            let (address, port) = match name {
                Some(Name::Inet(address, port)) => (*address, *port),
                _ => (Ipv6Addr::UNSPECIFIED, 0),
            };
            if family == Family::Inet {
                let mut bytes = INET.to_ne_bytes().to_vec();
                bytes.extend(port.to_be_bytes());
                bytes.extend(&address.octets()[12..]);
                bytes.extend([0; 8]);
                bytes
            } else {
                let mut bytes = INET6.to_ne_bytes().to_vec();
                bytes.extend(port.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(address.octets());
                bytes.extend([0; 4]);
                bytes
            }
        }
    }
}

/// Whether the address is one of this simulated machine.
pub(super) fn is_local(address: Ipv6Addr) -> bool {
    match address.to_ipv4_mapped() {
        Some(address) => address.is_loopback() || address.is_unspecified(),
        None => address.is_loopback() || address.is_unspecified(),
    }
}

/// The address a connection to `address` really goes to: loopback for the unspecified one.
pub(super) fn destination(address: Ipv6Addr, family: Family) -> Ipv6Addr {
    match address.to_ipv4_mapped() {
        Some(four) if four.is_unspecified() => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        None if address.is_unspecified() && family == Family::Inet6 => Ipv6Addr::LOCALHOST,
        _ => address,
    }
}

/// The address that something bound to `own` sends from to reach `ip`.
pub(super) fn source(own: Ipv6Addr, ip: Ipv6Addr) -> Ipv6Addr {
    let any = own.is_unspecified() || own.to_ipv4_mapped().is_some_and(|four| four.is_unspecified());
    if any { ip } else { own }
}

/// Whether something bound to `bound` hears what goes to `address`.
pub(super) fn hears(bound: Ipv6Addr, address: Ipv6Addr) -> bool {
    bound == address
        || bound.is_unspecified()
        || (address.to_ipv4_mapped().is_some()
            && bound.to_ipv4_mapped().is_some_and(|four| four.is_unspecified()))
}

//! Who is at the other end of a socket, as the kernel knows it.
//!
//! Asked once, when a connection is made: what the other side says about itself is never looked at. With `shared` one of the
//! modules with `unsafe`, for a call that rustix has no form of (its credentials cannot hold process 0, which is what the
//! kernel says of a process in another namespace).

use std::ffi::{c_int, c_void};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

unsafe extern "C" {
    fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
}

// These numbers are those of x86-64, AArch64 and RISC-V.
const SOL_SOCKET: c_int = 1;
const SO_PEERCRED: c_int = 17;
/// Since Linux 6.5.
const SO_PEERPIDFD: c_int = 77;

const ESRCH: i32 = 3;
const ENOPROTOOPT: i32 = 92;

/// The process that made a connection: what it was when it connected, whatever it has become.
pub struct Peer {
    /// The number of the process, 0 if it has none in this process's namespace. Another process may have it by now.
    pub process: i32,
    /// Its effective user.
    pub user: u32,
    /// Its effective group.
    pub group: u32,
    /// Readable when the process has ended. None if the kernel cannot give it.
    pub(crate) pidfd: Option<OwnedFd>,
}

impl Peer {
    /// Who connected the other end of this socket.
    pub(crate) fn of(socket: BorrowedFd<'_>) -> io::Result<Peer> {
        let [process, user, group] = option::<3>(socket, SO_PEERCRED)?;
        // What the kernel says of a socket that nobody connected.
        if user == u32::MAX {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "ask who is at the other end of a socket: nobody is connected to it",
            ));
        }
        let process = process.cast_signed();
        Ok(Peer { process, user, group, pidfd: pidfd(socket, process)? })
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peer { process, user, group, pidfd: _ } = self;
        write!(formatter, "Peer {{ process: {process}, user: {user}, group: {group} }}")
    }
}

/// A descriptor of the process that connected, or an error if it has ended: nobody would ever hear of that again.
fn pidfd(socket: BorrowedFd<'_>, process: i32) -> io::Result<Option<OwnedFd>> {
    match option::<1>(socket, SO_PEERPIDFD) {
        Ok([number]) => {
            // SAFETY: the kernel has just made this descriptor for us, close-on-exec.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(number.cast_signed()) }))
        }
        Err(error) => match error.raw_os_error() {
            Some(ESRCH) => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!("ask for process {process}, which connected: it has ended"),
            )),
            // The number may be another process's by now. Then that one is watched, and only the socket tells of the end.
            Some(ENOPROTOOPT) => {
                Ok(Pid::from_raw(process).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()))
            }
            Some(number) if out_of_resources(number) => Err(error),
            _ => Ok(None),
        },
    }
}

/// ENFILE, EMFILE and ENOMEM: nothing that could not be done in better times.
fn out_of_resources(number: i32) -> bool {
    matches!(number, 12 | 23 | 24)
}

/// An option of a socket that is so many words long.
fn option<const WORDS: usize>(socket: BorrowedFd<'_>, name: c_int) -> io::Result<[u32; WORDS]> {
    let mut words = [0; WORDS];
    let expected = size_of_val(&words) as u32;
    let mut length = expected;
    // SAFETY: the kernel writes at most `length` bytes to the array, which has as many and may hold any, and the length.
    let result = unsafe {
        getsockopt(socket.as_raw_fd(), SOL_SOCKET, name, words.as_mut_ptr().cast::<c_void>(), &mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    if length != expected {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("option {name} of a socket: {length} bytes instead of {expected}"),
        ));
    }
    Ok(words)
}

//! Readiness: a descriptor that becomes readable when a service has something for a client.
//!
//! A pair of sockets, of which the client has one end to wait for and the service the other to write to. Each has a description
//! of its own, so whatever the client does with its end, no write of the service waits: it says so with each of them. (A
//! pipe does not do: who reads from it into memory that does not come holds the lock that every writer takes.) A byte means
//! nothing but that one should look. When there is no room for one, the client's end is readable already. When the service
//! has gone, it is so for good.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown, socketpair,
};

/// More bytes than a service leaves there.
const BYTES: usize = 256;

/// The service's end, and the client's. It is readable at first.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The smallest that the kernel has: a few bytes.
    set_socket_send_buffer_size(&ours, 1)?;
    // Nobody reads what a client writes.
    shutdown(&ours, Shutdown::Read)?;
    tell(&ours);
    Ok((ours, theirs))
}

/// Makes the client's end readable. Never waits.
pub(crate) fn tell(ours: &OwnedFd) {
    // Without room it is readable already, and who has closed it does not care.
    let _ = send(ours, &[1], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Whether it is what [`pair`] makes for a client.
///
/// Errors: InvalidData if it is something else.
pub(crate) fn check(theirs: &OwnedFd) -> io::Result<()> {
    let is_right = matches!(socket_domain(theirs), Ok(AddressFamily::UNIX))
        && matches!(socket_type(theirs), Ok(SocketType::STREAM));
    if is_right { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
}

/// Empties the client's end. False if nobody will write to it any more. Never waits, however much is written.
pub(crate) fn clear(theirs: BorrowedFd<'_>) -> bool {
    let mut bytes = [0; BYTES];
    match recv(theirs, &mut bytes[..], RecvFlags::DONTWAIT) {
        Ok((_, length)) => length > 0,
        Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::os::fd::AsFd;

    fn is_readable(end: &OwnedFd) -> bool {
        let mut ends = [PollFd::new(end, PollFlags::IN)];
        poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }

    #[test]
    fn it_is_readable_at_first_and_when_it_is_told() {
        let (ours, theirs) = pair().unwrap();
        check(&theirs).unwrap();
        assert!(is_readable(&theirs));
        assert!(clear(theirs.as_fd()) && !is_readable(&theirs));
        assert!(clear(theirs.as_fd()), "nothing is no end");
        tell(&ours);
        assert!(is_readable(&theirs));
        drop(ours);
        assert!(clear(theirs.as_fd()), "what was written is there all the same");
        assert!(is_readable(&theirs) && !clear(theirs.as_fd()), "the end, for good");
    }

    #[test]
    fn a_service_never_waits_and_a_client_empties_it_at_once() {
        let (ours, theirs) = pair().unwrap();
        // The client's flags are not the service's.
        rustix::io::ioctl_fionbio(&theirs, false).unwrap();
        for _ in 0..10_000 {
            tell(&ours);
        }
        assert!(clear(theirs.as_fd()) && !is_readable(&theirs), "a few bytes are all that there is room for");
        drop(theirs);
        tell(&ours);
    }

    #[test]
    fn something_else_is_not_taken() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(check(&OwnedFd::from(reader)).is_err());
        let (one, _other) =
            socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
        assert!(check(&one).is_err());
    }
}

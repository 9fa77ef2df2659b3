//! The control socket: where a service is reached, and the connection to one.
//!
//! A Unix socket that keeps messages apart, so one read is one message with its descriptors or none. It knows nothing of what
//! they say. Nothing here waits for the other side but [`Control::wait`], which has a limit, and [`Control::connect`], which
//! has one too: every send and receive refuses to wait by itself, whatever flags the socket has. What comes with too many
//! descriptors, or too long, is closed before anybody sees it.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, fstat, lstat, open};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, sendmsg, socket_with,
};
use rustix::process::{Pid, getpid};

use crate::names::{about, check_folder, make_folder};
use crate::peer::Peer;

/// The most descriptors in one message, of any kind.
pub(crate) const MAX_FILES: usize = 4;

/// Clients that may wait to be accepted. The kernel may allow fewer.
const BACKLOG: i32 = 1024;

/// How long a client waits for a service that accepts nobody.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a service is reached. Removes its socket when dropped.
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Which file is ours: device and inode.
    identity: (u64, u64),
    lock: PathBuf,
    /// Held for life: nobody else takes the path meanwhile.
    _held: OwnedFd,
    /// Who made it. A forked child must not remove its parent's socket.
    process: Pid,
}

impl Listener {
    /// Serves at this path, for this user alone: whoever wants to serve others changes the mode of the file.
    ///
    /// Makes the folder if there is none. A socket that a service left that was killed is replaced; the path of one that lives
    /// is refused, as ADDRINUSE. Among services that begin at the same time a lock decides, a file beside the socket that
    /// goes with it.
    pub(crate) fn bind(path: &Path) -> io::Result<Listener> {
        let (folder, name) = parts(path)?;
        make_folder(folder)?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".lock");
        let lock = folder.join(hidden);
        let held = hold(&lock, path)?;
        let (socket, identity) = serve(path).inspect_err(|_| {
            // Nobody else has it, and nobody needs it.
            let _ = std::fs::remove_file(&lock);
        })?;
        Ok(Listener { socket, path: path.to_owned(), identity, lock, _held: held, process: getpid() })
    }

    /// The next client, if one waits.
    ///
    /// An error is this process's own (no descriptor left, no memory): the client still waits, and the socket stays readable.
    pub(crate) fn accept(&self) -> io::Result<Option<Control>> {
        loop {
            return match accept_with(&self.socket, SocketFlags::CLOEXEC) {
                Ok(socket) => Ok(Some(Control { socket })),
                // A client that has gone again, or a signal.
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(Errno::AGAIN) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Listener {{ path: {:?} }}", self.path)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.process != getpid() {
            return;
        }
        // An error leaves a file that the next service replaces. One that somebody else has put there is left alone.
        if lstat(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
        // While it is still held: whoever takes it next finds out that its file is gone.
        let _ = std::fs::remove_file(&self.lock);
    }
}

/// Takes the lock, which is that of whoever serves at `path`.
fn hold(lock: &Path, path: &Path) -> io::Result<OwnedFd> {
    // A turn is lost only to somebody who has just removed the file.
    for _ in 0..100 {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = open(lock, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| about("make the lock of a service", lock, &error.into()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => return Err(in_use(path)),
            Err(error) => return Err(about("lock", lock, &error.into())),
        }
        match lstat(lock) {
            Ok(found) if identity(&found) == identity(&fstat(&file)?) => return Ok(file),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(about("look at", lock, &error.into())),
        }
    }
    Err(in_use(path))
}

/// Makes the socket and its file. The path is ours, as far as Ouzel is concerned.
fn serve(path: &Path) -> io::Result<(OwnedFd, (u64, u64))> {
    clear(path)?;
    // The socket is nobody's but ours, and accepting has no flag of its own for not waiting.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    // The file gets the mode of the socket.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let (address, _folder) = address(path)?;
    bind(&socket, &address).map_err(|error| match error {
        Errno::ADDRINUSE => in_use(path),
        error => about("make the socket", path, &error.into()),
    })?;
    let identity = identity(&lstat(path)?);
    // Only now can anybody connect.
    listen(&socket, BACKLOG)?;
    Ok((socket, identity))
}

/// Removes what a service has left behind that is gone. The lock is held.
fn clear(path: &Path) -> io::Result<()> {
    let found = match lstat(path) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(about("look at", path, &error.into())),
    };
    if rustix::fs::FileType::from_raw_mode(found.st_mode) != rustix::fs::FileType::Socket {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!(
                "serve at {}: something is there that is no socket: remove it or use another name",
                path.display()
            ),
        ));
    }
    // Somebody may serve there who knows nothing of the lock.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    let (address, _folder) = address(path)?;
    match connect(&probe, &address) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        // AGAIN: more wait than it accepts. PROTOTYPE: it is a socket of another kind.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => return Err(in_use(path)),
        Err(error) => return Err(about("see who serves at", path, &error.into())),
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(about("remove the socket of a service that is gone,", path, &error))
        }
        _ => Ok(()),
    }
}

fn in_use(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("serve at {}: another service does: end it or use another name", path.display()),
    )
}

fn identity(found: &rustix::fs::Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

/// The folder of a path, and its name there.
fn parts(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if folder.as_os_str().is_empty() => Ok((Path::new("."), name)),
        (Some(folder), Some(name)) => Ok((folder, name)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not the path of a socket: name a file in a folder", path.display()),
        )),
    }
}

/// The address of a path. Where it is longer than addresses may be, it leads through the folder's descriptor, which is to be
/// kept until the address has been used.
fn address(path: &Path) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    match SocketAddrUnix::new(path) {
        Err(Errno::NAMETOOLONG) => {}
        other => return Ok((other?, None)),
    }
    let (folder, name) = parts(path)?;
    let opened = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| about("open the folder", folder, &error.into()))?;
    let short = Path::new("/proc/self/fd").join(opened.as_raw_fd().to_string()).join(name);
    let address = SocketAddrUnix::new(short).map_err(|error| about("reach", path, &error.into()))?;
    Ok((address, Some(opened)))
}

/// One connection.
pub(crate) struct Control {
    socket: OwnedFd,
}

/// One message.
#[derive(Debug)]
pub(crate) struct Received {
    /// How many bytes it has, at least 1.
    pub(crate) length: usize,
    /// The descriptors that came with it, close-on-exec.
    pub(crate) files: Vec<OwnedFd>,
}

impl Control {
    /// Connects to the service at this path. Waits a few seconds at most if more clients wait than it accepts.
    pub(crate) fn connect(path: &Path) -> io::Result<Control> {
        let (folder, _) = parts(path)?;
        let failed = |error: io::Error| {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => ": no service has that name; start it, or set OUZEL_SCHEMES",
                io::ErrorKind::ConnectionRefused => ": its service has ended; start it again",
                io::ErrorKind::PermissionDenied => ": its service is another user's",
                _ => "",
            };
            io::Error::new(error.kind(), format!("connect to {}: {error}{remedy}", path.display()))
        };
        check_folder(folder).map_err(failed)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // It counts for connecting, too; nothing else here waits.
        set_socket_timeout(&socket, Timeout::Send, Some(CONNECT))?;
        let (address, _folder) = address(path).map_err(failed)?;
        loop {
            return match connect(&socket, &address) {
                Ok(()) => Ok(Control { socket }),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "connect to {}: its service has accepted nobody for {} seconds",
                        path.display(),
                        CONNECT.as_secs()
                    ),
                )),
                Err(error) => Err(failed(error.into())),
            };
        }
    }

    /// Sends one message, or fails with WouldBlock if the other side has too many unread.
    pub(crate) fn send(&self, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // The other side would take a message of no bytes for the end.
        let fits = files.is_empty() || control.push(SendAncillaryMessage::ScmRights(files));
        if bytes.is_empty() || files.len() > MAX_FILES || !fits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a message of {} bytes with {} descriptors: 1 byte or more with at most {MAX_FILES} can be sent",
                    bytes.len(),
                    files.len()
                ),
            ));
        }
        loop {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(&self.socket, &[io::IoSlice::new(bytes)], &mut control, flags) {
                Err(Errno::INTR) => {}
                // Whole or not at all.
                other => return Ok(other.map(|_| ())?),
            }
        }
    }

    /// The next message, if there is one: else WouldBlock, or UnexpectedEof if there will be none.
    ///
    /// One that is longer than `bytes`, or has more than `files` descriptors with it (at most [`MAX_FILES`]), is InvalidData,
    /// and its descriptors are closed.
    pub(crate) fn receive(&self, bytes: &mut [u8], files: usize) -> io::Result<Received> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_FILES))];
        // With no room for any, the kernel does not even install them.
        let room = if files == 0 { 0 } else { cmsg_space!(ScmRights(files.min(MAX_FILES))) };
        let mut control = RecvAncillaryBuffer::new(space.get_mut(..room).unwrap_or_default());
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let mut reset = false;
        let message = loop {
            match recvmsg(&self.socket, &mut [io::IoSliceMut::new(bytes)], &mut control, flags) {
                Err(Errno::INTR) => {}
                // The other side has closed without having read everything, which is said once. What it has sent is still
                // there, and may say why.
                Err(Errno::CONNRESET) if !reset => reset = true,
                other => break other?,
            }
        };
        let mut taken = Vec::new();
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                taken.extend(descriptors);
            }
        }
        // From here on they are closed with `taken`, whatever is found.
        if message.flags.contains(ReturnFlags::TRUNC) {
            return Err(refused(format!("it is longer than {} bytes", bytes.len())));
        }
        if message.flags.contains(ReturnFlags::CTRUNC) || taken.len() > files {
            return Err(refused(format!(
                "it has more than {files} descriptors with it, or this process can have no more"
            )));
        }
        if message.bytes == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the other side has closed the control socket",
            ));
        }
        Ok(Received { length: message.bytes, files: taken })
    }

    /// Waits until something can be received, the end included, but not past `until`: TimedOut.
    pub(crate) fn wait(&self, until: Option<Instant>) -> io::Result<()> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            // What is longer than the kernel can count is for ever.
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut waited = [PollFd::new(&self.socket, PollFlags::IN)];
            return match poll(&mut waited, left.as_ref()) {
                Ok(0) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "wait for a message on the control socket: none has come in time",
                )),
                Ok(_) => Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => Err(error.into()),
            };
        }
    }

    /// Who connected the other end.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        Peer::of(self.socket.as_fd())
    }

    /// Two ends of a connection without a path.
    #[cfg(test)]
    pub(crate) fn pair() -> io::Result<(Control, Control)> {
        let (one, other) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Control { socket: one }, Control { socket: other }))
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Control {{ descriptor: {} }}", self.socket.as_raw_fd())
    }
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a message on the control socket is refused: {why}"))
}

#[cfg(test)]
#[path = "tests/socket.rs"]
mod tests;

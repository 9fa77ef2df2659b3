//! Sockets for reads that wait until they are dropped, and what became of bytes that come afterwards.

use std::error::Error;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use contender::{Outcome, Tally};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Connected pairs of sockets, both of whose ends belong to the contender, and one more pair, on which something arrives
/// whenever it is asked to.
pub struct Pairs {
    ends: Vec<RawFd>,
    bell: UnixStream,
}

impl Pairs {
    /// Sockets for `count` reads, and one more: first the one on which something arrives.
    ///
    /// Errors: too few descriptors are allowed.
    pub fn new(count: u64) -> Result<(Pairs, UnixStream, Vec<UnixStream>), Box<dyn Error>> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
        let (bell, heard) = UnixStream::pair()?;
        let mut sockets = Vec::new();
        for _ in 0..count.div_ceil(2) {
            let pair = UnixStream::pair().map_err(|error| format!("sockets for {count} reads: {error}"))?;
            sockets.extend([pair.0, pair.1]);
        }
        sockets.truncate(count as usize);
        let ends = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
        Ok((Pairs { ends, bell }, heard, sockets))
    }

    /// Has something arrive on the socket that is for that.
    pub fn ring(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.bell.write_all(b"!")?)
    }

    /// A pass: `reads` begins reads on all sockets, drops them, and waits for something that arrives meanwhile. Then, untimed,
    /// a byte is sent to each socket, the contender goes on for a while, by `idle`, and whatever is not found where it was
    /// sent has gone to a read that had been dropped.
    ///
    /// The contender must keep the sockets open, by the numbers that they had.
    pub fn pass(
        &mut self,
        reads: impl FnOnce(&mut Pairs) -> Result<(), Box<dyn Error>>,
        idle: impl FnOnce(&mut Pairs) -> Result<(), Box<dyn Error>>,
    ) -> Result<Outcome, Box<dyn Error>> {
        let begun = Instant::now();
        reads(self)?;
        let nanoseconds = Some(begun.elapsed().as_nanos());
        for end in &self.ends {
            // SAFETY: the contender keeps it open.
            send(unsafe { BorrowedFd::borrow_raw(*end) }, b"?", SendFlags::DONTWAIT)?;
        }
        idle(self)?;
        let mut lost = 0;
        for end in &self.ends {
            // SAFETY: the contender keeps it open.
            let found = recv(unsafe { BorrowedFd::borrow_raw(*end) }, &mut [0; 8], RecvFlags::DONTWAIT);
            match found {
                Ok((1, _)) => {}
                Err(error) if error == rustix::io::Errno::AGAIN => lost += 1,
                other => return Err(format!("a byte was sent, and there is {other:?}").into()),
            }
        }
        let tally = Tally { items: self.ends.len() as u64, bytes: 0, checksum: 0 };
        Ok(Outcome { tally, nanoseconds, lost })
    }
}

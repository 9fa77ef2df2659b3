//! For those who wait for a ring in an event loop of another kind: what becomes readable, and how long they may wait.
//!
//! Nothing here waits, and nothing is taken out of the ring.

use std::os::fd::OwnedFd;
use std::time::Duration;

use ouzel_ring::Errno;
use rustix::io::{fcntl_dupfd_cloexec, write};

use super::Ring;
use crate::error::Error;

/// How soon to enter again where chains wait for room in the backend, of which nobody tells.
const PAUSE: Duration = Duration::from_millis(1);

impl<M> Ring<M> {
    /// A descriptor that becomes readable when there is something to take out of the ring: for `epoll(7)` and all that is built
    /// on it. `None` on the simulator, on io_uring if the ring was not built to be [watched](crate::RingBuilder::watched), and
    /// on a [connected](Ring::connect) ring whose service has none to give.
    ///
    /// It is an event counter (`eventfd(2)`), the caller's own, and readable at first. Nobody here empties it. Each completion
    /// adds to it, so who waits for *edges* (`EPOLLET`) is told of each and need not empty it; who waits for levels
    /// reads it first. On a connected ring it is no counter (`epoll(7)`): reading it fails with EINVAL, and entering the ring
    /// empties it; it is readable, too, when the service has gone. Either way, then [`flush`](Ring::flush) and take what has ended ([`next_ended`](Ring::next_ended),
    /// [`next_result`](Ring::next_result)) until a flush brings nothing more, and wait no longer than
    /// [`patience`](Ring::patience) says. From the first call on it costs something with each completion.
    ///
    /// Errors: [`Error::Refused`] with EMFILE; [`Error::ForkedChild`].
    pub fn descriptor(&mut self) -> Result<Option<OwnedFd>, Error> {
        if self.counter.is_none() {
            self.counter = self.readiness()?;
        }
        let Some(counter) = &self.counter else { return Ok(None) };
        let refused = |error: rustix::io::Errno| Error::Refused {
            call: "descriptor",
            errno: Errno::from_raw(error.raw_os_error()),
        };
        let own = fcntl_dupfd_cloexec(counter, 0).map_err(refused)?;
        // What had completed before is told of, too.
        match self.raw.remote() {
            Some(remote) => remote.remind(),
            None => drop(write(counter, &1u64.to_ne_bytes()).map_err(refused)?),
        }
        Ok(Some(own))
    }

    /// How long one may wait elsewhere before the ring is entered again ([`flush`](Ring::flush)), if its
    /// [descriptor](Ring::descriptor) does not become readable: until the next timeout of a step, or, while a connected ring is to
    /// [come back](crate::RingBuilder::reconnect_within), until it looks for its service again. `None` is for ever.
    pub fn patience(&self) -> Option<Duration> {
        let until = self.next_look().or_else(|| self.until_next_timer());
        if self.has_stalled() { Some(until.unwrap_or(PAUSE).min(PAUSE)) } else { until }
    }

    fn until_next_timer(&self) -> Option<Duration> {
        self.next_timer().map(|at| Duration::from_nanos(at.saturating_sub(self.now())))
    }
}

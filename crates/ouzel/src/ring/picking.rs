//! Groups of buffers that the ring picks from, and what is received into them.

use ouzel_pool::Pool;
use ouzel_ring::Descriptor;

use super::{Ring, Ticket};
use crate::chain::Reg;
use crate::error::Error;
use crate::{BufferGroup, Picked};

impl<M> Ring<M> {
    /// Makes a group of `count` buffers of `size` bytes each, out of the ring's [pool](Ring::pool), for RECVs to pick from: any
    /// number of connections wait for data with no buffer of their own.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use std::io::Write;
    ///
    /// use ouzel::{Chain, Ring};
    ///
    /// let mut ring = Ring::new()?;
    /// let group = ring.group(8, 4096)?;
    /// let (mut near, far) = UnixStream::pair()?;
    /// let far = ring.adopt(far)?;
    ///
    /// let mut chain = Chain::new();
    /// let received = chain.recv_many(far, &group);          // one submission
    /// let ticket = ring.submit(chain)?;
    /// near.write_all(b"hello")?;
    /// let text = ring.wait_picked(ticket, received)?;       // and buffers as they are filled
    /// assert_eq!(text.as_deref(), Some(&b"hello"[..]));
    /// drop(text);                                           // back to the group
    ///
    /// near.shutdown(std::net::Shutdown::Write)?;
    /// assert!(ring.wait_picked(ticket, received)?.is_none());
    /// ring.wait(ticket)?.check()?;                          // the peer has stopped sending
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Errors: as for [`RawRing::add_group`](crate::RawRing::add_group).
    pub fn group(&mut self, count: usize, size: usize) -> Result<BufferGroup, Error> {
        let pool = self.pool()?.clone();
        self.raw.add_group(&pool, count, size)
    }

    /// The same out of another pool.
    pub fn group_of(&mut self, pool: &Pool, count: usize, size: usize) -> Result<BufferGroup, Error> {
        self.raw.add_group(pool, count, size)
    }

    /// Receives into a buffer of `group`, waiting until there is data. `None` when the peer has stopped sending.
    pub fn recv_picked(&mut self, socket: Descriptor, group: &BufferGroup) -> Result<Option<Picked>, Error> {
        let mut chain = self.spare.take().unwrap_or_default();
        let reg = chain.recv_picked(socket, group);
        let mut done = self.run(chain)?;
        let received = done.get(reg);
        let picked = done.take_picked(reg);
        self.spare = Some(done.into_chain());
        received.map(|_| picked)
    }

    /// Takes the next buffer that the multishot RECV `reg` of the chain `ticket` has filled, among those that have come, without
    /// entering the ring. `None` if there is none now, or if there is no such chain (any more). What is not taken stays in
    /// the chain, for [`Done::take_picked`](crate::Done::take_picked).
    pub fn next_picked(&mut self, ticket: Ticket, reg: Reg<Picked>) -> Option<Picked> {
        let body = self.body_of(ticket)?;
        if body.made(reg) { body.next_picked(reg.step()) } else { None }
    }

    /// Waits for the next buffer that the multishot RECV `reg` of the chain `ticket` fills. `None` if it is over and all its
    /// buffers have been taken: [`wait`](Ring::wait) then says how it ended.
    pub fn wait_picked(&mut self, ticket: Ticket, reg: Reg<Picked>) -> Result<Option<Picked>, Error> {
        loop {
            let picked = self.next_picked(ticket, reg);
            if picked.is_some() || !self.is_running(ticket) {
                return Ok(picked);
            }
            self.enter(1)?;
        }
    }

    /// The next buffer that the only step of a chain has filled.
    pub(crate) fn next_picked_of_first(&mut self, ticket: Ticket) -> Option<Picked> {
        self.body_of(ticket)?.next_picked(0)
    }
}

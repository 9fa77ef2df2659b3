//! A ring that runs chains, and owns their buffers while they run.

use alloc::collections::BTreeMap;
use core::mem;

use ouzel_chain::ring::{self, Layout, Running};
use ouzel_chain::{BuildError, Chain};
use ouzel_ring::{Completion, Descriptor, Errno};

use crate::{Error, Ring};

/// What came of a chain.
pub type Done = ouzel_chain::Done<Error>;

/// Names a chain that was submitted. No other chain of its ring ever has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Bits of an entry's user data that hold the number of its step. The chain's name is above.
const STEP_BITS: u32 = 16;

/// A chain whose entries were pushed.
struct InFlight {
    chain: Running,
    /// Announced completions still to come.
    remaining: u32,
}

/// A ring that runs chains. Nothing about it is unsafe: the memory that a chain names is the chain's, and the chain is the
/// ring's until it is over.
pub struct ChainRing {
    ring: Ring,
    layout: Layout,
    in_flight: BTreeMap<Ticket, InFlight>,
    next: u64,
}

impl ChainRing {
    /// A ring with so many entries, which is the longest chain, and so many completions.
    ///
    /// Errors: [`Error::Call`] with those of SETUP.
    pub fn new(entries: u64, completions: u64) -> Result<ChainRing, Error> {
        let ring = Ring::new(entries, completions).map_err(|errno| Error::Call { call: "SETUP", errno })?;
        Ok(ChainRing { ring, layout: Layout::default(), in_flight: BTreeMap::new(), next: 0 })
    }

    /// The process's input and output, as far as it has them.
    pub fn standard(&self) -> [Option<Descriptor>; 2] {
        self.ring.standard().map(Descriptor::from_number)
    }

    /// Runs a chain and waits until it is over. If no other is in flight, that is one system call, whatever the chain does, as
    /// long as its completions fit into the ring.
    ///
    /// Errors: [`Error::Chain`] if it cannot be run as it was built; [`Error::Call`] if the ring cannot go on. What its
    /// steps did is in the [`Done`], errors included.
    pub fn run(&mut self, chain: Chain) -> Result<Done, Error> {
        let ticket = self.submit(chain)?;
        self.wait(ticket)
    }

    /// Queues a chain. It starts with the next call that enters the ring: [`flush`](ChainRing::flush), a wait, or a submit that
    /// finds the queue full.
    ///
    /// Errors: as for [`run`](ChainRing::run); the chain has not run then.
    pub fn submit(&mut self, chain: Chain) -> Result<Ticket, Error> {
        let body = ring::body(&chain);
        self.layout.lay_out(body)?;
        body.check_ring(self.ring.number())?;
        let (steps, limit) = (self.layout.order().len(), self.ring.entries() as usize);
        if steps > limit {
            return Err(BuildError::TooLong { steps, limit }.into());
        }
        let ticket = Ticket(self.next);
        let mut wait = 0;
        loop {
            let entries = self.layout.entries(body, |step| ticket.0 << STEP_BITS | u64::from(step));
            // SAFETY: the memory that they name is the chain's, which is kept, untouched, until its completions have come, or
            // the ring is gone; see `Drop`.
            match unsafe { self.ring.push_all(entries) } {
                Ok(()) => break,
                Err(Errno::EAGAIN) if !self.in_flight.is_empty() => {
                    // The kernel takes what is queued; if it cannot, something has to end first.
                    self.enter(wait)?;
                    wait = 1;
                }
                Err(errno) => return Err(Error::Call { call: "submit", errno }),
            }
        }
        self.next += 1;
        let chain = Running::new(chain, self.layout.unsilenced());
        self.in_flight.insert(ticket, InFlight { chain, remaining: self.layout.announced() });
        Ok(ticket)
    }

    /// Starts everything queued, and takes what has completed, without waiting.
    ///
    /// Errors: [`Error::Call`] if the ring cannot go on.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.enter(0)
    }

    /// Waits until the chain of `ticket` is over and returns it. Others go on meanwhile.
    ///
    /// Errors: [`Error::Call`] with ENOENT if there is no such chain any more, or with those of ENTER.
    pub fn wait(&mut self, ticket: Ticket) -> Result<Done, Error> {
        loop {
            let in_flight = self.in_flight.get(&ticket);
            let remaining = in_flight.ok_or(Error::Call { call: "wait", errno: Errno::ENOENT })?.remaining;
            if remaining > 0 {
                self.enter(remaining)?;
            } else if let Some(over) = self.in_flight.remove(&ticket) {
                return Ok(over.chain.into_done());
            }
        }
    }

    /// Enters once, and takes what has completed.
    fn enter(&mut self, wait: u32) -> Result<(), Error> {
        let most = u32::try_from(self.ring.completions()).unwrap_or(u32::MAX);
        let entered = self.ring.enter(wait.min(most));
        while let Some(completion) = self.ring.pop() {
            self.deliver(completion);
        }
        entered.map(drop).map_err(|errno| Error::Call { call: "ENTER", errno })
    }

    fn deliver(&mut self, completion: Completion) {
        let step = completion.data as u16;
        let Some(in_flight) = self.in_flight.get_mut(&Ticket(completion.data >> STEP_BITS)) else { return };
        if completion.has_more() {
            in_flight.chain.deliver_one_of_many(step, completion);
            return;
        }
        // SAFETY: only chains are pushed to this ring, so it is the completion of this step; the kernel tells what it has written.
        let announced = unsafe { in_flight.chain.deliver(step, completion) };
        in_flight.remaining = in_flight.remaining.saturating_sub(announced.into());
    }
}

impl Drop for ChainRing {
    fn drop(&mut self) {
        if self.ring.close().is_err() {
            // The kernel may yet write to their memory.
            mem::forget(mem::take(&mut self.in_flight));
        }
    }
}

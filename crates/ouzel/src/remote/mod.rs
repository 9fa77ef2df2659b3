//! Rings whose engine runs in another process: a service, which is reached by name.
//!
//! [`Remote`] is the way there: the client's end of a connection, as a raw ring uses it. Beside it lies what a ring of chains
//! needs: which memory the service can see (`regions`), what has to be carried there and back because it lies elsewhere
//! (`carried`), and what a completion may say (`allowed`). A service is not trusted: what it says is a number until it is
//! checked, and nothing here believes it about memory.

mod allowed;
mod carried;
mod regions;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use ouzel_engine::{Entered, Gauges, Limits, Target};
use ouzel_ring::{Completion, Entry, Geometry, PushError};
use ouzel_scheme::{Client, ClientOptions, Name};
use rustix::time::{ClockId, clock_gettime};

pub(crate) use carried::Carrier;

use crate::error::Error;

/// A connection to a service.
pub(crate) struct Remote {
    client: Client,
    /// Of the service, with its colon.
    name: String,
    /// Operations that had not ended when the connection was closed.
    leaked: u32,
}

// What rings in this process do all the time is cold here: their way past it is the shorter one.
impl Remote {
    /// Connects to the service with this name; the colon behind it may be left out.
    pub(crate) fn connect(name: &str, geometry: Geometry) -> Result<Remote, Error> {
        let parsed = Name::parse(name).map_err(Error::Name)?;
        let options = ClientOptions {
            entries: geometry.entries(),
            completions: geometry.completions(),
            ..ClientOptions::default()
        };
        let client = Client::connect(&parsed, &options)?;
        Ok(Remote { client, name: format!("{}:", parsed.as_str()), leaked: 0 })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    #[cold]
    pub(crate) fn push(&mut self, entry: &Entry) -> Result<(), PushError> {
        self.client.push(entry)
    }

    pub(crate) fn push_all(
        &mut self,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> Result<(), PushError> {
        self.client.push_all(entries)
    }

    pub(crate) fn room(&mut self) -> u32 {
        self.client.room()
    }

    #[cold]
    pub(crate) fn enter(&mut self, wait: u32, timeout: Option<Duration>) -> Result<Entered, Error> {
        match self.client.enter(wait, timeout) {
            Ok(entered) => Ok(entered),
            Err(_) if self.client.is_over() && self.client.in_flight() > 0 => {
                // What was pending has ended, with ECONNRESET, and is there to be taken.
                Ok(Entered { taken: 0, incomplete: 0, readable: self.client.in_flight() })
            }
            Err(_) if self.client.is_over() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
    }

    #[cold]
    pub(crate) fn pop(&mut self) -> Option<[u64; 4]> {
        self.client.pop().map(|completion| completion.to_words())
    }

    pub(crate) fn cancel(&mut self, target: Target) -> Result<u32, Error> {
        // What was pending has ended, or is about to.
        if self.client.is_over() { Ok(0) } else { Ok(self.client.cancel(target)?) }
    }

    pub(crate) fn register(&self, register: usize) -> Option<u64> {
        self.client.register(register)
    }

    pub(crate) fn share(&mut self, memory: BorrowedFd<'_>, length: usize) -> Result<u16, Error> {
        match self.client.share(memory, length) {
            Ok(region) => Ok(region),
            Err(_) if self.client.is_over() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn unshare(&mut self, region: u16) -> Result<(), Error> {
        Ok(self.client.unshare(region)?)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.client.geometry()
    }

    pub(crate) fn limits(&self) -> Limits {
        let terms = self.client.terms();
        let geometry = self.client.geometry();
        // As the engine there reckons: a chain has to fit into both queues, with a slot for a CANCEL kept back.
        let longest = geometry.entries().min(geometry.completions().saturating_sub(1));
        Limits {
            descriptors: terms.descriptors,
            chain: terms.chain.min(longest),
            in_process: false,
            programs: terms.programs,
            program_steps: terms.program_steps,
        }
    }

    pub(crate) fn gauges(&self) -> Gauges {
        let in_flight = self.client.in_flight();
        Gauges { packets: in_flight, started: in_flight, ..Gauges::default() }
    }

    /// The clock that all processes of the machine share: the one of the backends with real files.
    pub(crate) fn now(&self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    /// Whether the service has gone.
    pub(crate) fn is_over(&self) -> bool {
        self.client.is_over()
    }

    /// Looks whether the service is there.
    #[cold]
    pub(crate) fn look(&mut self) -> bool {
        self.client.look()
    }

    /// Whether nothing can be under way that was not told to have ended.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.leaked == 0
    }

    /// Ends the connection and gives each completion that is left to `each`. Returns how many operations had not ended within
    /// `bound`.
    pub(crate) fn close(&mut self, bound: Duration, mut each: impl FnMut(Completion)) -> u32 {
        self.leaked = self.client.close(bound);
        while let Some(completion) = self.client.pop() {
            each(completion);
        }
        self.leaked
    }

    /// What a call on a ring fails with whose service has gone.
    pub(crate) fn gone(&self) -> Error {
        Error::ServiceGone { name: self.name.clone() }
    }
}

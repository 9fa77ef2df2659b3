//! Rings whose engine runs in another process: a service, which is reached by name.
//!
//! [`Remote`] is the way there: the client's end of a connection, as a raw ring uses it. Beside it lies what a ring of chains
//! needs: which memory the service can see (`regions`), what has to be carried there and back because it lies elsewhere
//! (`carried`, `calls`), what a program takes along (`programs`), and what a completion may say (`allowed`). A service is not trusted: what it says is a number until it is
//! checked, and nothing here believes it about memory.

mod allowed;
mod calls;
mod carried;
mod programs;
mod readiness;
mod regions;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use ouzel_engine::{Entered, Gauges, Limits, Program, Target};
use ouzel_ring::{Completion, Entry, Errno, Geometry, PushError};
use ouzel_scheme::{Client, ClientOptions, Found, Name};
use rustix::time::{ClockId, clock_gettime};

pub(crate) use carried::Carrier;
pub use programs::published;
pub(crate) use programs::{Known, describe, portable};
use readiness::Readiness;

use crate::error::Error;

/// A connection to a service.
pub(crate) struct Remote {
    client: Client,
    /// Of the service.
    parsed: Name,
    /// The same with its colon.
    name: String,
    options: ClientOptions,
    /// Operations that had not ended when the connection was closed.
    leaked: u32,
    /// Programs that are stored.
    programs: u32,
    /// What is watched elsewhere, once somebody has asked for it.
    readiness: Option<Readiness>,
}

// What rings in this process do all the time is cold here: their way past it is the shorter one.
impl Remote {
    /// Connects to the service with this name; the colon behind it may be left out. `watched` says that somebody may ask for its
    /// [readiness](Remote::readiness).
    pub(crate) fn connect(name: &str, geometry: Geometry, watched: bool) -> Result<Remote, Error> {
        let parsed = Name::parse(name).map_err(Error::Name)?;
        let options = ClientOptions {
            entries: geometry.entries(),
            completions: geometry.completions(),
            readiness: watched,
            ..ClientOptions::default()
        };
        let client = Client::connect(&parsed, &options)?;
        let name = format!("{}:", parsed.as_str());
        Ok(Remote { client, parsed, name, options, leaked: 0, programs: 0, readiness: None })
    }

    /// Connects to the service that has the name now, in place of one that has gone. The generations of its descriptors begin
    /// with `generation`.
    pub(crate) fn reconnect(&mut self, generation: u32) -> Result<(), Error> {
        self.options.generation = generation;
        let mut client = Client::connect(&self.parsed, &self.options)?;
        if let Some(readiness) = &mut self.readiness
            && let Some(told) = client.watch()
        {
            readiness.follow(told).map_err(|errno| Error::Refused { call: "reconnect", errno })?;
        }
        self.client = client;
        Ok(())
    }

    /// Which life of the service this is.
    pub(crate) fn epoch(&self) -> u64 {
        self.client.terms().epoch
    }

    /// Whether the service has gone, or takes nothing more and is about to.
    pub(crate) fn is_leaving(&self) -> bool {
        self.client.is_over() || self.client.is_closing()
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
        let entered = self.client.enter(wait, timeout);
        self.judge(entered)
    }

    /// The same until `beside` is readable.
    pub(crate) fn enter_beside(
        &mut self,
        wait: u32,
        timeout: Option<Duration>,
        beside: BorrowedFd<'_>,
    ) -> Result<Entered, Error> {
        let entered = self.client.enter_beside(wait, timeout, beside);
        self.judge(entered)
    }

    fn judge(&mut self, entered: Result<Entered, ouzel_scheme::Error>) -> Result<Entered, Error> {
        if let Some(readiness) = &mut self.readiness {
            readiness.entered();
        }
        match entered {
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

    /// Takes the completions that are there now, oldest first. What the service posts meanwhile is left for the next time.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(&Remote, Completion)) {
        let mut left = self.client.readable();
        // Of a service that has gone there is nothing but what is owed.
        while (left > 0 || self.client.is_over())
            && let Some(completion) = self.client.pop()
        {
            each(self, completion);
            left = left.saturating_sub(1);
        }
    }

    pub(crate) fn cancel(&mut self, target: Target) -> Result<u32, Error> {
        // What was pending has ended, or is about to.
        if self.client.is_over() { Ok(0) } else { Ok(self.client.cancel(target)?) }
    }

    /// A descriptor that is readable when there is something to enter for; `None` if the service gives none.
    ///
    /// Errors: EMFILE or ENFILE of the system.
    pub(crate) fn readiness(&mut self) -> Result<Option<OwnedFd>, Errno> {
        let Some(told) = self.client.watch() else { return Ok(None) };
        let readiness = match &mut self.readiness {
            Some(readiness) => readiness,
            none => none.insert(Readiness::new(told)?),
        };
        readiness.duplicate().map(Some)
    }

    /// Makes it readable until the next enter.
    pub(crate) fn remind(&mut self) {
        if let Some(readiness) = &mut self.readiness {
            readiness.remind();
        }
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

    pub(crate) fn store(&mut self, program: &Program) -> Result<u32, Error> {
        match self.client.store(program) {
            Ok(number) => {
                self.programs += 1;
                Ok(number)
            }
            Err(_) if self.client.is_over() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn forget(&mut self, program: u32) -> Result<(), Error> {
        match self.client.forget(program) {
            Ok(()) => {
                self.programs = self.programs.saturating_sub(1);
                Ok(())
            }
            Err(_) if self.client.is_over() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn find(&mut self, program: &str) -> Result<Found, Error> {
        match self.client.find(program) {
            Ok(found) => Ok(found),
            Err(_) if self.client.is_over() => Err(self.gone()),
            Err(error) => Err(error.into()),
        }
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
        Gauges { packets: in_flight, started: in_flight, programs: self.programs, ..Gauges::default() }
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

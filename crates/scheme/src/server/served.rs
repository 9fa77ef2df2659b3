//! Served: one client's ring, from the engine's side.
//!
//! It owns everything the client's chains can reach: the engine with its backend, the memory of the queues, and the memory that
//! the client shares. The order in which these go is the point of it: memory is unmapped only when no operation can write
//! to it, and past the bound it is leaked.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use ouzel_engine::{Engine, EnterError, Limits};
use ouzel_ring::{EngineEnd, Errno, Geometry};

use super::events::{Event, Events, Place, What};
use super::observer::Connection;
use super::shelf::Shelf;
use crate::error::Reason;
use crate::futex::Word;
use crate::shared::{Region, RingMemory};
use crate::wire::{self, ToClient, ToServer};
use crate::{Error, Host, Quotas, doorbell, readiness};

/// What a turn came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Entries taken.
    pub(super) taken: u32,
    /// It wants another one.
    pub(super) more: bool,
}

/// See the [module](self).
pub(super) struct Served<H> {
    // Dropped in this order: the engine refers to all memory.
    engine: Engine<H>,
    regions: Vec<Shared>,
    programs: Shelf,
    _memory: RingMemory,
    geometry: Geometry,
    completions: Word,
    pub(super) doorbell: OwnedFd,
    /// What becomes readable when the backend has reports.
    readiness: Option<OwnedFd>,
    /// Where the client is told that there are completions, if it has asked for that. Closed after the engine.
    told_at: Option<OwnedFd>,
    /// Where the completions stood when the client was last woken.
    told: u32,
    /// Entries taken.
    taken: u64,
    /// Completions posted when that was last counted, of all and by the queue.
    posted: (u64, u32),
    /// Doorbells since entries were last found.
    pub(super) rung: u32,
    /// It stands in the queue.
    pub(super) is_queued: bool,
    /// It is among those that are looked at before the server sleeps.
    pub(super) is_warm: bool,
}

/// What the client has of it: with the doorbell, what comes with a WELCOME.
pub(super) struct Handed {
    /// Of the ring's memory: the engine's, and the submitter's.
    pub(super) parts: [OwnedFd; 2],
    pub(super) readiness: Option<OwnedFd>,
}

/// Memory that a client shares.
struct Shared {
    number: u16,
    memory: Region,
    /// Taken back; it stays until nothing is in flight.
    is_removed: bool,
}

impl<H: Host> Served<H> {
    /// A ring for a client that asks for it, and what is to be handed over.
    pub(super) fn new(
        mut host: H,
        hello: &wire::Hello,
        quotas: &Quotas,
        programs: Shelf,
    ) -> Result<(Served<H>, Handed), Reason> {
        let granted = quotas.geometry(hello.entries, hello.completions).map_err(|_| Reason::Geometry)?;
        let (memory, files) = RingMemory::make(granted).map_err(|_| Reason::Resources)?;
        // SAFETY: the engine is dropped before the memory, or neither is.
        let handle = unsafe { memory.handle() };
        // SAFETY: as above.
        let completions = unsafe { Word::new(handle.completions_word()) };
        let readiness = host.readiness().map_err(|_| Reason::Resources)?;
        let limits = Limits {
            descriptors: quotas.descriptors,
            chain: quotas.chain,
            in_process: false,
            programs: programs.limit(quotas),
            program_steps: quotas.program_steps,
        };
        let pair = (hello.features & wire::READINESS != 0).then(readiness::pair).transpose();
        let (told_at, told) = pair.map_err(|_| Reason::Resources)?.unzip();
        let mut engine = Engine::new(EngineEnd::new(handle, 0), host, limits);
        engine.take_turns();
        programs.restrict(&mut engine);
        engine.begin_generations_with(hello.generation);
        let served = Served {
            engine,
            regions: Vec::new(),
            programs,
            _memory: memory,
            geometry: granted,
            completions,
            doorbell: doorbell::new().map_err(|_| Reason::Resources)?,
            readiness,
            told_at,
            told: 0,
            taken: 0,
            posted: (0, 0),
            rung: 0,
            is_queued: false,
            is_warm: false,
        };
        Ok((served, Handed { parts: files, readiness: told }))
    }

    /// What the client is told of it.
    pub(super) fn welcome(&self, quotas: &Quotas, epoch: u64) -> ToClient {
        let limits = self.engine.limits();
        ToClient::Welcome(wire::Welcome {
            version: wire::VERSION,
            features: if self.told_at.is_some() { wire::READINESS } else { 0 },
            geometry: self.geometry,
            chain: limits.chain,
            descriptors: limits.descriptors,
            programs: self.programs.quota(quotas),
            program_steps: limits.program_steps,
            epoch,
            verbs: quotas.verbs,
            only_programs: self.programs.only,
        })
    }

    pub(super) fn watch(&self, events: &Events, place: Place) -> Result<(), Error> {
        events.watch_edges(self.doorbell.as_fd(), Event::Of(place, What::Doorbell))?;
        match &self.readiness {
            Some(readiness) => events.watch_edges(readiness.as_fd(), Event::Of(place, What::Backend)),
            None => Ok(()),
        }
    }

    /// Takes up to `budget` entries and does what can be done without waiting. The error says why the client has to go.
    pub(super) fn turn(&mut self, budget: u32, quotas: &Quotas) -> Result<Turn, &'static str> {
        self.engine.wake_up();
        let entered = match self.engine.enter(budget, 0, None) {
            Ok(entered) => entered,
            Err(EnterError::Broken) => return Err("an index that cannot be"),
            Err(EnterError::Closed) => return Err("its ring is closed"),
            Err(_) => return Err("its backend cannot go on"),
        };
        self.tell();
        self.let_go_of_regions();
        self.taken += u64::from(entered.taken);
        if entered.taken > 0 {
            self.rung = 0;
        }
        if self.engine.refused() > u64::from(quotas.refused) {
            return Err("too many entries that make no sense");
        }
        if self.rung > quotas.doorbells {
            return Err("it rings and rings, and there is nothing");
        }
        // Who waits for room in the backend only is told by that, or asks again after a while.
        let more = self.engine.has_more() && !(self.engine.has_stalled() && entered.taken == 0);
        Ok(Turn { taken: entered.taken, more: entered.taken >= budget || more })
    }

    /// Wakes the client if it sleeps and there is something new.
    fn tell(&mut self) {
        let now = self.completions.load();
        if now != self.told && self.engine.submitter_sleeps() {
            self.told = now;
            self.wake();
        }
    }

    /// Wakes the client, which sleeps.
    fn wake(&self) {
        self.completions.wake();
        if let Some(told_at) = &self.told_at
            && self.engine.submitter_watches()
        {
            readiness::tell(told_at);
        }
    }

    /// Whether there are entries that nobody has taken. A broken ring has something to be done, too.
    #[inline]
    pub(super) fn has_entries(&mut self) -> bool {
        self.engine.has_entries()
    }

    /// Says on which processor the service waits.
    #[inline]
    pub(super) fn say_processor(&mut self, processor: Option<u32>) {
        self.engine.say_processor(processor);
    }

    /// On which processor the client says that it waits.
    #[inline]
    pub(super) fn client_processor(&self) -> Option<u32> {
        self.engine.submitter_processor()
    }

    /// Tells the client that it has to ring. False if there are entries already.
    pub(super) fn fall_asleep(&mut self) -> bool {
        let asleep = matches!(self.engine.fall_asleep(), Ok(true));
        if asleep && self.engine.is_starved() && self.engine.submitter_sleeps() {
            // It waits for more than there can be before it reads.
            self.wake();
        }
        asleep
    }

    /// When it needs a turn although nothing has happened.
    pub(super) fn next_time(&self, retry: Duration) -> Option<Duration> {
        let timer = self.engine.next_timer();
        let timer = timer.map(|at| Duration::from_nanos(at.saturating_sub(self.engine.now())));
        if self.engine.has_stalled() { Some(timer.map_or(retry, |timer| timer.min(retry))) } else { timer }
    }

    /// Whether it needs a turn now although nothing has happened.
    pub(super) fn is_due(&self) -> bool {
        self.engine.has_stalled() || self.engine.next_timer().is_some_and(|at| at <= self.engine.now())
    }

    /// Does what the client asks on its control socket. `None` if it may not ask that.
    pub(super) fn answer(
        &mut self,
        message: ToServer,
        mut files: Vec<OwnedFd>,
        quotas: &Quotas,
    ) -> Option<ToClient> {
        match (message, files.pop()) {
            (ToServer::AddRegion(wire::AddRegion { token, length }), Some(file)) => {
                Some(match self.add_region(file, length, quotas) {
                    Ok(region) => ToClient::RegionAdded(wire::RegionAdded { token, region }),
                    Err(errno) => {
                        ToClient::RegionRefused(wire::RegionRefused { token, errno: errno.raw() as u32 })
                    }
                })
            }
            (ToServer::RemoveRegion(wire::RemoveRegion { token, region }), None) => {
                let errno = self.remove_region(region).err().map_or(0, |errno| errno.raw() as u32);
                Some(ToClient::RegionRemoved(wire::RegionRemoved { token, errno }))
            }
            (ToServer::Cancel(wire::Cancel { token, target }), None) => {
                // What was pushed before it was asked is to be reached; what is beyond a turn's share, where it waits.
                let _ = self.engine.enter(quotas.turn(), 0, None);
                let reached = self.engine.cancel(target).saturating_add(self.engine.cancel_waiting(target));
                Some(ToClient::Cancelled(wire::Cancelled { token, reached }))
            }
            (ToServer::StoreProgram(message), Some(file)) => {
                Some(self.programs.store(&mut self.engine, quotas, message, file))
            }
            (ToServer::ForgetProgram(message), None) => {
                // As for a CANCEL: CALLs that were pushed before are calls of it.
                let _ = self.engine.enter(quotas.turn(), 0, None);
                Some(self.programs.forget(&mut self.engine, message))
            }
            (ToServer::FindProgram(message), None) => Some(self.programs.find(&mut self.engine, message)),
            _ => None,
        }
    }

    fn add_region(&mut self, file: OwnedFd, length: u64, quotas: &Quotas) -> Result<u16, Errno> {
        let shared: u64 = self.regions.iter().map(|shared| shared.memory.len() as u64).sum();
        if self.regions.len() >= quotas.regions as usize {
            return Err(Errno::ENOSPC);
        }
        if shared.checked_add(length).is_none_or(|sum| sum > quotas.shared_bytes) {
            return Err(Errno::EDQUOT);
        }
        let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
        let memory = Region::accept(file, length)
            .map_err(|error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw))?;
        // SAFETY: it stays mapped until nothing is in flight after it was removed, or is leaked.
        let number = unsafe { self.engine.add_region(memory.start(), memory.len()) }?;
        self.regions.push(Shared { number, memory, is_removed: false });
        Ok(number)
    }

    fn remove_region(&mut self, region: u16) -> Result<(), Errno> {
        self.engine.remove_region(region)?;
        // Its number may be that of one that was taken back before, and is still there.
        let is_it = |shared: &&mut Shared| shared.number == region && !shared.is_removed;
        if let Some(shared) = self.regions.iter_mut().find(is_it) {
            shared.is_removed = true;
        }
        self.let_go_of_regions();
        Ok(())
    }

    /// Unmaps what was taken back, if nothing is in flight that could use it.
    fn let_go_of_regions(&mut self) {
        if self.regions.iter().any(|shared| shared.is_removed) && self.is_over() {
            self.regions.retain(|shared| !shared.is_removed);
        }
    }

    pub(super) fn begin_teardown(&mut self) {
        self.engine.begin_teardown();
    }

    /// What it does. Whose it is, is not known here.
    pub(super) fn connection(&mut self) -> Connection {
        let gauges = self.engine.gauges();
        let (posted, seen) = &mut self.posted;
        let now = self.completions.load();
        *posted += u64::from(now.wrapping_sub(*seen));
        *seen = now;
        Connection {
            entries: self.taken,
            completions: *posted,
            in_flight: gauges.packets,
            chains: gauges.chains,
            descriptors: gauges.descriptors,
            shared_bytes: self.regions.iter().map(|shared| shared.memory.len() as u64).sum(),
            regions: self.regions.len() as u32,
            programs: self.programs.stored(),
            ..Connection::default()
        }
    }

    /// Whether nothing is in flight.
    pub(super) fn is_over(&self) -> bool {
        let gauges = self.engine.gauges();
        gauges.started == 0 && gauges.chains == 0
    }

    /// Lets go of everything that nothing in flight can write to. Returns how many operations have not ended.
    pub(super) fn end(mut self: Box<Self>, events: &Events) -> u32 {
        events.forget(self.doorbell.as_fd());
        if let Some(readiness) = &self.readiness {
            events.forget(readiness.as_fd());
        }
        let started = self.engine.gauges().started;
        if started > 0 {
            // The client learns of the end all the same.
            self.told_at = None;
            std::mem::forget(self);
        }
        started
    }
}

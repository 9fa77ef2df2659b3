//! Observation: somebody is told what happens to entries while it happens.
//!
//! The engine gives events and the instants of its backend's clock; what an observer counts, measures or shows is its
//! own affair. Nobody is told anything unless [`Engine::observe`] was called: what happens is the same either way, and
//! without an observer it costs one branch, the one that the trace needs anyway. An observer must never call the engine.

use alloc::boxed::Box;
use core::any::Any;

use ouzel_ring::{Entry, Errno, Verb};

use crate::conclude::Ending;
use crate::slab::NONE;
use crate::{Backend, Counters, Engine, Event, EventKind, Gauges, Place, Way};

/// In the place of a slot: the entry, or the chain, is done as it is taken in and has none. There is one at a time.
pub const AT_ONCE: u32 = u32::MAX;

/// Where a chain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The submission queue.
    Queue,
    /// The submission queue; its first members were done [`AT_ONCE`], and the rest goes on in a slot.
    AtOnce,
    /// The CALL in this packet slot, whose program it runs.
    Call(u32),
}

/// How an entry ended, or one of the times that it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The number of its verb, which may be none.
    pub op: u32,
    /// The error, or success.
    pub error: Errno,
    /// The result.
    pub result: u64,
    /// It was not run at all.
    pub skipped: bool,
}

/// Who is told what happens. All instants are the backend's, in nanoseconds.
///
/// A packet's slot is below [`Engine::packet_slots`], a chain's below [`Engine::chain_slots`], or either is [`AT_ONCE`]. A
/// slot is used again when its entry, or its chain, is over.
pub trait Observer: Any + Send {
    /// A chain begins, whose first member there has this user data.
    fn chain_begins(&mut self, chain: u32, origin: Origin, data: u64, at: u64);

    /// A member of that chain waits in packet `slot`.
    fn admitted(&mut self, slot: u32, chain: u32, entry: &Entry, at: u64);

    /// It was begun at the instant `at`, there. It may be begun again, after [`reported`](Observer::reported) said that it
    /// did not run, or after [`ended`](Observer::ended) if it is in a loop.
    fn started(&mut self, slot: u32, place: Place, at: u64);

    /// The backend has reported it for the last time. `ran` is false if a run broke before it.
    fn reported(&mut self, slot: u32, ran: bool, at: u64);

    /// It resulted in something and goes on: a multishot.
    fn resulted(&mut self, slot: u32);

    /// It ended; from now on it is the turn of the member in `next`, if there is one.
    fn ended(&mut self, slot: u32, next: Option<u32>, end: End, at: u64);

    /// A chain is over.
    fn chain_over(&mut self, chain: u32, at: u64);

    /// An entry was refused before it had a packet.
    fn refused(&mut self, entry: &Entry, error: Errno);

    /// What is alive, and what the backend has cost: when a chain was admitted, before the engine sleeps, and when an
    /// enter is over.
    fn state(&mut self, gauges: Gauges, counters: Counters, at: u64);
}

impl<B: Backend> Engine<B> {
    /// Tells `observer` from now on what happens.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.trace.observe(observer);
    }

    /// Who is told.
    pub fn observer(&self) -> Option<&dyn Observer> {
        self.trace.observer.as_deref()
    }

    /// Who is told.
    pub fn observer_mut(&mut self) -> Option<&mut dyn Observer> {
        self.trace.observer.as_deref_mut()
    }

    /// The most chains there can be, those that run programs included. The slot of every chain is below that.
    pub fn chain_slots(&self) -> u32 {
        self.slots + self.slots.min(self.program_steps)
    }

    /// The instant, if anybody wants to know it.
    #[inline]
    pub(crate) fn instant_noted(&self) -> u64 {
        if self.trace.is_on() { self.backend.now() } else { 0 }
    }

    /// Notes what happened to the entry in `slot`.
    #[inline]
    pub(crate) fn record(&mut self, slot: u32, data: u64, kind: EventKind) {
        if self.trace.is_on() {
            let at = self.backend.now();
            self.note(slot, data, kind, at);
        }
    }

    /// Notes that the member in `slot` was begun by the engine itself.
    #[inline]
    pub(crate) fn record_own(&mut self, slot: u32, data: u64, verb: Verb, reason: &'static str) {
        let way = Way { place: Place::Engine, reason };
        self.record(slot, data, EventKind::Started { verb, way, step: 0, run: 1 });
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn note(&mut self, slot: u32, data: u64, kind: EventKind, at: u64) {
        if let Some(observer) = &mut self.trace.observer {
            match kind {
                EventKind::Started { way, .. } => observer.started(slot, way.place, at),
                EventKind::Reported => observer.reported(slot, true, at),
                EventKind::NotRun => observer.reported(slot, false, at),
                _ => {}
            }
        }
        if self.trace.is_recording() {
            let counters = self.backend.counters();
            self.trace.push(Event { data, at, counters, kind });
        }
    }

    /// Notes that a chain begins whose members are in packets.
    #[inline]
    pub(crate) fn record_chain(&mut self, chain: u32, origin: Origin) {
        if self.trace.is_on() {
            self.note_chain(chain, origin);
        }
    }

    #[cold]
    #[inline(never)]
    fn note_chain(&mut self, chain: u32, origin: Origin) {
        let at = self.backend.now();
        let mut slot = self.chains[chain].current;
        if let Some(observer) = &mut self.trace.observer {
            observer.chain_begins(chain, origin, self.packets[slot].entry.data, at);
        }
        while slot != NONE {
            let packet = &self.packets[slot];
            let (next, data) = (packet.next, packet.entry.data);
            if let Some(observer) = &mut self.trace.observer {
                observer.admitted(slot, chain, &packet.entry, at);
            }
            self.note(slot, data, EventKind::Admitted, at);
            slot = next;
        }
        // There may never be more alive than now.
        self.note_state();
    }

    /// Notes that the member that was in `slot` ended, and that its completion is posted.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_end(&mut self, slot: u32, next: u32, op: u32, data: u64, ending: Ending) {
        let Ending { error, result, skipped, .. } = ending;
        let at = self.backend.now();
        self.note(slot, data, EventKind::Completed { error, result, skipped }, at);
        self.tell_of_end(slot, next, End { op, error, result, skipped }, at);
    }

    /// Notes that the member in `slot` ended one of the times that it runs.
    #[cold]
    pub(crate) fn note_kept_end(&mut self, chain: u32, slot: u32, ending: Ending) {
        let Ending { error, result, skipped, .. } = ending;
        let at = self.backend.now();
        let Entry { op, data, .. } = self.packets[slot].entry;
        self.note(slot, data, EventKind::Ended { error, result, skipped }, at);
        let next = self.chains[chain].current;
        self.tell_of_end(slot, next, End { op, error, result, skipped }, at);
    }

    fn tell_of_end(&mut self, slot: u32, next: u32, end: End, at: u64) {
        if let Some(observer) = &mut self.trace.observer {
            observer.ended(slot, (next != NONE).then_some(next), end, at);
        }
    }

    /// Notes that a multishot that goes on has resulted in something.
    #[cold]
    pub(crate) fn note_result(&mut self, slot: u32, data: u64, kind: EventKind) {
        if let Some(observer) = &mut self.trace.observer {
            observer.resulted(slot);
        }
        self.record(slot, data, kind);
    }

    /// Notes that a chain begins that is tried at once.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_at_once(&mut self) {
        let at = self.backend.now();
        if let Some(observer) = &mut self.trace.observer {
            observer.chain_begins(AT_ONCE, Origin::Queue, self.at_once[0].data, at);
        }
    }

    /// Notes that a member of it, which was begun at the instant `begun`, ended.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_end_at_once(&mut self, entry: &Entry, asked: bool, ending: Ending, begun: u64) {
        let Ending { error, result, skipped, .. } = ending;
        let at = self.backend.now();
        if let Some(observer) = &mut self.trace.observer {
            observer.admitted(AT_ONCE, AT_ONCE, entry, begun);
            if !skipped {
                observer.started(AT_ONCE, if asked { Place::Call } else { Place::Engine }, begun);
            }
            observer.ended(AT_ONCE, None, End { op: entry.op, error, result, skipped }, at);
        }
    }

    /// Notes that a chain is over.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_chain_over(&mut self, chain: u32) {
        let at = self.backend.now();
        if let Some(observer) = &mut self.trace.observer {
            observer.chain_over(chain, at);
        }
    }

    /// Notes that an entry was refused before it had a packet.
    #[cold]
    pub(crate) fn note_refused(&mut self, entry: &Entry, error: Errno) {
        if let Some(observer) = &mut self.trace.observer {
            observer.refused(entry, error);
        }
    }

    /// Notes what is alive.
    #[inline]
    pub(crate) fn record_state(&mut self) {
        if self.trace.is_on() {
            self.note_state();
        }
    }

    #[cold]
    #[inline(never)]
    fn note_state(&mut self) {
        let (gauges, counters, at) = (self.gauges(), self.backend.counters(), self.backend.now());
        if let Some(observer) = &mut self.trace.observer {
            observer.state(gauges, counters, at);
        }
    }
}

//! At once: a short chain that its backend can do here and now is over before it would have had a packet.
//!
//! It is copied out whole and its shape is checked first, as for any chain. Then its members run one after the other, as
//! long as the backend does each of them without waiting. From the first that it does not do, the rest goes into
//! packets, with the registers as they are, and takes the usual way. What a member means is the same on both ways:
//! `dispatch`, `decode` and `conclude` say it, this module calls them. It must never start anything that is not over when
//! the call returns.

use ouzel_ring::{Entry, EntryFlags, Errno, Verb};

use crate::conclude::{Ending, breaks};
use crate::control::is_passed_over;
use crate::decode::{Context, decode};
use crate::descriptors::Look;
use crate::dispatch::{Refusal, load};
use crate::engine::{EnterError, Staged};
use crate::intake::Shape;
use crate::observe::{AT_ONCE, Origin};
use crate::packet::{Last, Registers, marks};
use crate::slab::NONE;
use crate::{Backend, Engine, Operation};

/// The longest chain that is tried at once.
pub(crate) const LONGEST: usize = 8;

/// Which chains are to be tried at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// None.
    None,
    /// Those that the backend wants to have so.
    Some,
    /// All that may be.
    All,
}

/// A chain that runs at once, between two of its members.
struct Progress {
    registers: Registers,
    local: bool,
    broken: bool,
    /// How the last ordinary member ended that ran, for a TEST behind it.
    last: Option<Last>,
}

/// Whether a chain that begins with this entry may be done at once.
#[inline]
pub(crate) fn is_begun_at_once(first: &Entry) -> bool {
    Verb::from_number(first.op).is_some_and(is_done_at_once)
}

/// Whether this is one of the verbs that backends may do at once.
#[inline]
const fn is_done_at_once(verb: Verb) -> bool {
    matches!(verb, Verb::Read | Verb::Open | Verb::Close | Verb::Stat | Verb::Send)
}

impl<B: Backend> Engine<B> {
    /// Which chains admitted now are to be tried at once.
    #[inline]
    pub(crate) fn choose_at_once(&mut self, available: u32) -> Chosen {
        // What is traced is shown step by step, as started.
        if !self.is_ordinary() || self.trace.is_recording() || available == 0 {
            Chosen::None
        } else if self.backend.prefers_at_once(available) {
            Chosen::All
        } else {
            Chosen::Some
        }
    }

    /// Whether what comes next may be admitted in any order, and may be anything.
    #[inline]
    fn is_ordinary(&self) -> bool {
        !self.draining && !self.closing && !self.refusing && self.restricted == 0
    }

    /// Whether nothing is in flight, held back or out of the ordinary in any way: then what is done at once is all there is
    /// to do.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        let nothing_held = self.staged.is_empty() && self.withdrawn == 0 && !self.calls.is_anyone_waiting();
        self.chains.live() == 0
            && self.is_ordinary()
            && nothing_held
            && !self.unsubmitted
            && !self.trace.is_on()
    }

    /// Takes in what can be done at once, as long as it can, of the first `budget` entries. Only at rest. Returns how many
    /// entries it took.
    pub(crate) fn take_at_once(&mut self, budget: u32) -> Result<u32, EnterError> {
        let available = self.queues.available()?;
        self.queues.unread()?;
        if available == 0 || !self.backend.prefers_at_once(available) {
            return Ok(0);
        }
        let mut taken = 0;
        while taken < budget && self.chains.live() == 0 {
            let Some(first) = self.queues.copy_next() else { break };
            let left = budget - taken;
            let most = left.min(self.free_credits().saturating_sub(1)).min(self.chain_limit);
            let drains = first.flags & EntryFlags::DRAIN.bits() != 0;
            let count = if most == 0 || drains || !is_begun_at_once(&first) {
                self.backend.expect(available);
                self.admit_unstaged(first, left, Chosen::All)
            } else {
                self.admit_at_once(first, None, most)
            };
            if count == 0 {
                break;
            }
            taken += count;
        }
        Ok(taken)
    }

    /// Whether a chain that begins with these entries is to be tried at once, where [`Chosen::Some`] are.
    #[inline]
    pub(crate) fn is_chain_at_once(&mut self, first: &Entry, second: Option<&Entry>) -> bool {
        let second = second.and_then(|entry| Verb::from_number(entry.op));
        Verb::from_number(first.op).is_some_and(|first| self.backend.prefers_chain_at_once(first, second))
    }

    /// Copies the chain that begins with `first`, and `second` if that was copied too, at most `most` entries of it, and
    /// runs it. Returns its length, or 0 if it has to be admitted in another way: what was copied is staged then.
    #[inline(never)]
    pub(crate) fn admit_at_once(&mut self, first: Entry, mut second: Option<Entry>, most: u32) -> u32 {
        let most = (most as usize).min(LONGEST);
        let mut shape = Shape::default();
        let mut length = 0;
        let mut next = Some(first);
        while let Some(entry) = next {
            let flags = EntryFlags::from_bits_retain(entry.flags);
            self.at_once[length] = entry;
            length += 1;
            if !shape.allows(flags) || shape.is_program() || flags.contains(EntryFlags::MULTISHOT) {
                break;
            }
            if !flags.intersects(EntryFlags::CHAINED) {
                self.queues.release(length as u32);
                self.run_at_once(length);
                return length as u32;
            }
            next = if length < most { second.take().or_else(|| self.queues.copy_next()) } else { None };
        }
        self.staged.extend(self.at_once[..length].iter().copied().chain(second).map(Staged::new));
        0
    }

    #[inline(never)]
    fn run_at_once(&mut self, length: usize) {
        let leader = EntryFlags::from_bits_retain(self.at_once[0].flags);
        let local = leader.contains(EntryFlags::LOCAL);
        let registers = if local { Registers::UNDEFINED } else { Registers::of(self.queues.registers()) };
        let mut progress = Progress { registers, local, broken: false, last: None };
        let noted = self.trace.is_on();
        if noted {
            self.note_at_once();
        }
        for place in 0..length {
            let begun = if noted { self.instant_noted() } else { 0 };
            let mut asked = false;
            let flags = EntryFlags::from_bits_retain(self.at_once[place].flags);
            let ending = if progress.broken && !flags.contains(EntryFlags::FINALLY) {
                Ending::skipped(Errno::ECANCELED)
            } else {
                match self.do_at_once(place, flags, &progress, &mut asked) {
                    Some(ending) => ending,
                    None => return self.hand_on(place, length, &progress),
                }
            };
            if noted {
                let entry = self.at_once[place];
                self.note_end_at_once(&entry, asked, ending, begun);
            }
            self.end_at_once(place, flags, ending, &mut progress);
        }
        if noted {
            self.note_chain_over(AT_ONCE);
        }
    }

    /// Does a member, if that takes no waiting, and says whether the backend was asked. `None`: nothing has happened.
    #[inline]
    fn do_at_once(
        &mut self,
        place: usize,
        flags: EntryFlags,
        progress: &Progress,
        asked: &mut bool,
    ) -> Option<Ending> {
        // One that has a limit of time does not wait here: nobody would end it.
        let chains = if self.at_once[place].timeout == Entry::NEVER { 0 } else { u32::MAX };
        self.tell_whether_awaited(chains);
        let entry = &mut self.at_once[place];
        let verb = match load(entry, &progress.registers) {
            Ok(verb) => verb,
            Err(refusal) => {
                self.refused += u64::from(matches!(refusal, Refusal::Unknown));
                return Some(refusal.ending(flags.contains(EntryFlags::FINALLY)));
            }
        };
        // What is over when the call returns has not waited, whatever time it was given.
        if !is_done_at_once(verb) {
            return None;
        }
        // Where runs are made there is none now.
        let operation = &mut self.run[0].operation;
        let mut context = Context::new(&self.descriptors, &self.regions, Look::Now);
        if let Err(error) = decode(verb, flags, &entry.arguments, &mut context, &mut self.scratch, operation)
        {
            return Some(Ending::of(error));
        }
        *asked = true;
        let outcome = match operation {
            Operation::Open { into, .. } => {
                let index = match self.descriptors.reserve() {
                    Ok(index) => index,
                    Err(error) => return Some(Ending::of(error)),
                };
                *into = index;
                let Some(outcome) = self.backend.do_at_once(operation) else {
                    self.descriptors.retire(index);
                    return None;
                };
                self.opened(index, outcome)
            }
            Operation::Close { file } => {
                let index = *file;
                let outcome = self.backend.do_at_once(operation)?;
                self.closed(index, outcome)
            }
            _ => self.backend.do_at_once(operation)?,
        };
        Some(Ending::of_outcome(outcome))
    }

    /// A member is over: saves its result and posts its completion.
    #[inline]
    fn end_at_once(&mut self, place: usize, flags: EntryFlags, ending: Ending, progress: &mut Progress) {
        let Ending { error, result, skipped, .. } = ending;
        let Entry { op, data, arguments, .. } = self.at_once[place];
        if !skipped {
            if !is_passed_over(op) {
                progress.last = Some(Last { error, result, magnitude: arguments[2] });
            }
            if error.is_ok()
                && let Some(register) = flags.saved_into()
            {
                progress.registers.save(register, result);
                if !progress.local {
                    self.queues.save_register(register, result);
                }
            }
            progress.broken |= !error.is_ok() && breaks(flags);
        }
        self.tell(op, data, flags, ending);
    }

    /// The member in `place` has to be waited for: it and those behind it go into packets. If the chain is broken, all of
    /// them are FINALLY, and run whatever it is.
    #[cold]
    fn hand_on(&mut self, place: usize, length: usize, progress: &Progress) {
        let chain = self.begin_chain(EntryFlags::from_bits_retain(self.at_once[0].flags));
        let mut last = NONE;
        for place in place..length {
            let packet = self.begin_packet(self.at_once[place], chain);
            match last {
                NONE => self.chains[chain].lead(packet),
                last => self.packets[last].next = packet,
            }
            last = packet;
        }
        let members = &mut self.chains[chain];
        members.registers = progress.registers;
        if let Some(last) = progress.last {
            members.last = last;
            members.marks |= marks::RAN;
        }
        self.record_chain(chain, Origin::AtOnce);
        self.queue(chain);
    }
}

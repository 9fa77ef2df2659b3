//! Intake: from entries in the submission queue to chains in flight.
//!
//! A chain is admitted whole or not at all, and only when a completion slot can be kept for each of its entries and
//! one more stays back for CANCEL. What cannot be admitted stays in the queue: that is the back-pressure. Entries
//! are copied once; those whose chain cannot be admitted yet are held here, private, until it can.

use ouzel_ring::{Completion, Entry, EntryFlags, Errno, Verb};

use crate::at_once::{Chosen, is_begun_at_once};
use crate::engine::{EnterError, Staged};
use crate::observe::Origin;
use crate::packet::marks;
use crate::slab::NONE;
use crate::{Backend, Engine};

/// The rules for a chain's shape, applied to one member after the other.
#[derive(Default)]
pub(crate) struct Shape {
    /// A member has been seen.
    begun: bool,
    /// A FINALLY member has been seen.
    finally: bool,
    /// The first member has PROGRAM.
    program: bool,
}

/// Flags that only the first member may have.
const LEADER_ONLY: EntryFlags = EntryFlags::LOCAL.union(EntryFlags::DRAIN).union(EntryFlags::PROGRAM);

/// Flags that a multishot may not have.
const NOT_MULTISHOT: EntryFlags =
    EntryFlags::CHAINED.union(EntryFlags::FINALLY).union(EntryFlags::SILENT).union(EntryFlags::SAVE);

/// MULTISHOT, and all that is no flag.
const UNCOMMON: EntryFlags =
    EntryFlags::from_bits_retain(!EntryFlags::all().bits() | EntryFlags::MULTISHOT.bits());

impl Shape {
    /// Whether a member with these flags may come next.
    #[inline]
    pub(crate) fn allows(&mut self, flags: EntryFlags) -> bool {
        let is_finally = flags.contains(EntryFlags::FINALLY);
        // On another than the first it is wrong anyway.
        self.program |= flags.contains(EntryFlags::PROGRAM);
        let wrong = flags.contains(EntryFlags::CHAINED)
            || (self.finally && !is_finally)
            || (self.begun && flags.intersects(LEADER_ONLY))
            || (flags.intersects(UNCOMMON)
                && (flags.has_unknown() || flags.intersects(NOT_MULTISHOT) || self.program));
        self.begun = true;
        self.finally |= is_finally;
        !wrong
    }

    /// Whether the first member has PROGRAM.
    #[inline]
    pub(crate) fn is_program(&self) -> bool {
        self.program
    }
}

/// What the staged entries begin with.
enum Head {
    /// A whole chain of this length.
    Chain(u32),
    /// The first entries of a chain whose end is not there.
    Incomplete,
    /// A chain that is too long.
    TooLong,
}

impl<B: Backend> Engine<B> {
    /// Admits as many whole chains as it can of the first `budget` entries. Returns how many entries it took.
    pub(crate) fn take_in(&mut self, budget: u32) -> Result<u32, EnterError> {
        let mut taken = 0;
        self.starved = false;
        if budget == 0 && !self.closing {
            return Ok(0);
        }
        let available =
            match self.queues.available().and_then(|available| Ok((available, self.queues.unread()?))) {
                Ok((available, _)) => available,
                // A ring that is torn down goes on without its submitter: what is in flight has to end.
                Err(_) if self.closing => return Ok(0),
                Err(broken) => return Err(broken.into()),
            };
        let at_once = self.choose_at_once(available);
        if available > 0 {
            self.backend.expect(available);
        }
        let budget = if self.closing { u32::MAX } else { budget };
        while taken < budget {
            if self.staged.is_empty() {
                let Some(entry) = self.queues.copy_next() else { break };
                if is_bare_nop(&entry) && self.answer(&entry) {
                    taken += 1;
                    continue;
                }
                let count = self.admit_unstaged(entry, budget - taken, at_once);
                if count > 0 {
                    taken += count;
                    continue;
                }
            }
            let step = if self.closing {
                self.refuse_head(Errno::ECANCELED)
            } else if self.refusing {
                self.refuse_head(Errno::E2BIG)
            } else {
                self.admit_head(budget - taken)
            };
            match step {
                Some(count) => taken += count,
                None => {
                    if !self.closing {
                        self.take_cancels(self.reach_of_cancels(budget - taken));
                    }
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// How many entries at the tail wait for the rest of their chain.
    pub(crate) fn incomplete(&mut self) -> u32 {
        if self.staged.is_empty() || self.queues.available().is_ok_and(|available| available > 0) {
            // The end of the chain is there; it was only beyond what could be looked at.
            return 0;
        }
        let tail = self.staged.iter().rev().take_while(|staged| is_chained(&staged.entry)).count();
        tail as u32
    }

    /// Completion slots that are promised to nobody.
    #[inline]
    pub(crate) fn free_credits(&self) -> u32 {
        self.queues.room_seen().saturating_sub(self.packets.live() - self.internal)
    }

    /// Completes a NOP that asks for nothing, without a packet. False if it has to take the long way.
    #[inline]
    fn answer(&mut self, entry: &Entry) -> bool {
        if self.draining || self.closing || self.refusing || self.restricted != 0 || self.trace.is_on() {
            return false;
        }
        if self.free_credits() < 2 {
            return false;
        }
        self.queues.release(1);
        self.post(completion(entry, Errno::OK));
        true
    }

    /// The common case: a whole, well-formed chain that begins with `first` and can be admitted now goes from the
    /// queue straight into packets. Returns its length. If it is anything else, what was copied is staged, and the
    /// return is 0.
    #[inline]
    pub(crate) fn admit_unstaged(&mut self, first: Entry, budget: u32, at_once: Chosen) -> u32 {
        let flags = EntryFlags::from_bits_retain(first.flags);
        let held_up = self.draining || self.closing || self.refusing || flags.contains(EntryFlags::DRAIN);
        // One slot stays back for CANCEL.
        let most = budget.min(self.free_credits().saturating_sub(1)).min(self.chain_limit);
        if held_up || most == 0 {
            self.staged.push_back(Staged::new(first));
            return 0;
        }
        let mut second = None;
        if at_once != Chosen::None && is_begun_at_once(&first) {
            if at_once == Chosen::Some && first.op == Verb::Open as u32 && most > 1 {
                second = if flags.intersects(EntryFlags::CHAINED) { self.queues.copy_next() } else { None };
            }
            if at_once == Chosen::All || self.is_chain_at_once(&first, second.as_ref()) {
                return self.admit_at_once(first, second, most);
            }
        }
        if let Some(verb) = self.verb_alone(&first, flags) {
            self.start_alone(first, verb);
            return 1;
        }
        let chain = self.begin_chain(flags);
        let mut shape = Shape::default();
        let mut packet = self.begin_packet(first, chain);
        self.chains[chain].lead(packet);
        let mut length = 1;
        let mut flags = flags;
        loop {
            if !shape.allows(flags) {
                break;
            }
            if !flags.intersects(EntryFlags::CHAINED) {
                self.queues.release(length);
                self.record_chain(chain, Origin::Queue);
                self.queue(chain);
                return length;
            }
            if length == most {
                break;
            }
            let Some(entry) = second.take().or_else(|| self.queues.copy_next()) else { break };
            flags = EntryFlags::from_bits_retain(entry.flags);
            let next = self.begin_packet(entry, chain);
            self.packets[packet].next = next;
            packet = next;
            length += 1;
        }
        self.stage_again(chain);
        self.staged.extend(second.map(Staged::new));
        0
    }

    /// Takes back a chain that was not admitted after all: its entries are staged.
    #[cold]
    fn stage_again(&mut self, chain: u32) {
        let mut slot = self.chains[chain].current;
        while slot != NONE {
            let packet = &self.packets[slot];
            let next = packet.next;
            self.staged.push_back(Staged::new(packet.entry));
            self.packets.free(slot);
            slot = next;
        }
        self.chains.free(chain);
    }

    /// Looks at the staged entries, copying more as needed, within `budget`.
    fn head(&mut self, budget: u32) -> Head {
        let mut length = 0;
        loop {
            if length == self.staged.len() as u32 {
                if length >= budget {
                    return Head::Incomplete;
                }
                match self.queues.copy_next() {
                    Some(entry) => self.staged.push_back(Staged::new(entry)),
                    None => return Head::Incomplete,
                }
            } else if length >= budget {
                return Head::Incomplete;
            }
            let chained = is_chained(&self.staged[length as usize].entry);
            length += 1;
            if !chained {
                return Head::Chain(length);
            }
            if length >= self.chain_limit {
                return Head::TooLong;
            }
        }
    }

    /// Admits the chain at the head. Returns how many entries it took, or `None` if the head is blocked.
    fn admit_head(&mut self, budget: u32) -> Option<u32> {
        let front = self.staged.front()?;
        if front.taken {
            self.staged.pop_front();
            self.queues.release(1);
            return Some(1);
        }
        if front.withdrawn {
            // It has to complete first, for which there was no slot.
            return None;
        }
        let length = match self.head(budget) {
            Head::Chain(length) => length,
            Head::Incomplete => return None,
            Head::TooLong => {
                self.refusing = true;
                return Some(0);
            }
        };
        let first = &self.staged[0].entry;
        let flags = EntryFlags::from_bits_retain(first.flags);
        let kept_back = if is_lone_cancel(first) { 0 } else { 1 };
        let held_up = self.draining || (flags.contains(EntryFlags::DRAIN) && self.chains.live() > 0);
        if held_up {
            return None;
        }
        if self.free_credits() < length + kept_back {
            self.starved = true;
            return None;
        }
        if !self.is_well_formed(length) {
            self.refused += u64::from(length);
            for _ in 0..length {
                self.refuse_head(Errno::EINVAL);
            }
            return Some(length);
        }
        let chain = self.begin_chain(flags);
        let mut last = NONE;
        for _ in 0..length {
            if let Some(staged) = self.staged.pop_front() {
                let packet = self.begin_packet(staged.entry, chain);
                if last == NONE {
                    self.chains[chain].lead(packet);
                } else {
                    self.packets[last].next = packet;
                }
                last = packet;
            }
        }
        self.queues.release(length);
        self.record_chain(chain, Origin::Queue);
        self.queue(chain);
        Some(length)
    }

    /// Whether the first `length` staged entries obey the rules for a chain's shape.
    fn is_well_formed(&self, length: u32) -> bool {
        let mut shape = Shape::default();
        self.staged
            .iter()
            .take(length as usize)
            .all(|staged| shape.allows(EntryFlags::from_bits_retain(staged.entry.flags)))
    }

    /// Completes the entry at the head with `error`, without running it. `None` if there is no slot for that.
    fn refuse_head(&mut self, error: Errno) -> Option<u32> {
        // The slot kept for CANCEL is of no use any more when nothing is taken.
        let kept_back = if self.closing { 0 } else { 1 };
        if self.free_credits() < 1 + kept_back {
            self.starved = true;
            return None;
        }
        let staged = self.staged.pop_front()?;
        self.queues.release(1);
        self.withdrawn -= u32::from(staged.withdrawn && !staged.taken);
        if !staged.taken {
            self.note_refused(&staged.entry, error);
            self.post(completion(&staged.entry, error));
        }
        if self.refusing && !is_chained(&staged.entry) {
            self.refusing = false;
        }
        Some(1)
    }

    /// How far behind a head that was not admitted within `budget` CANCELs are looked for.
    fn reach_of_cancels(&self, budget: u32) -> u32 {
        let is_withdrawn = self.staged.front().is_some_and(|front| front.withdrawn);
        let is_within = || self.whole_chain(0).is_some_and(|length| length as u32 <= budget);
        // Who takes turns is given small budgets, which are to bound what is done, not what can be stopped. But if the head
        // was only cut short, it is next, and what stands behind it comes behind it.
        let is_blocked = is_withdrawn || self.refusing || is_within();
        if self.takes_turns && is_blocked { u32::MAX } else { budget }
    }

    /// Takes lone CANCELs past a blocked head, one for each slot that is free.
    fn take_cancels(&mut self, budget: u32) {
        while (self.staged.len() as u32) < budget {
            match self.queues.copy_next() {
                Some(entry) => self.staged.push_back(Staged::new(entry)),
                None => break,
            }
        }
        for place in 0..self.staged.len().min(budget as usize) {
            if !self.may_pass(place) {
                continue;
            }
            if self.free_credits() == 0 {
                break;
            }
            let entry = self.staged[place].entry;
            self.staged[place].taken = true;
            let chain = self.begin_chain(EntryFlags::from_bits_retain(entry.flags));
            let packet = self.begin_packet(entry, chain);
            self.chains[chain].lead(packet);
            self.record_chain(chain, Origin::Queue);
            self.queue(chain);
        }
    }

    /// Whether the entry at this place of the queue is a lone CANCEL that may be taken past a blocked head, and is not yet.
    pub(crate) fn may_pass(&self, place: usize) -> bool {
        let Some(staged) = self.staged.get(place) else { return false };
        let is_first_of_chain = match place.checked_sub(1).and_then(|before| self.staged.get(before)) {
            Some(before) => !is_chained(&before.entry),
            // The rest of a chain that is refused is no chain of its own.
            None => !self.refusing,
        };
        is_first_of_chain && !staged.taken && !staged.withdrawn && is_lone_cancel(&staged.entry)
    }

    /// A chain of an entry that is alone: nothing of it is special.
    #[inline(always)]
    pub(crate) fn begin_chain_alone(&mut self) -> u32 {
        let Some(slot) = self.chains.take() else { unreachable!("more chains than completion credits") };
        self.chains[slot].begin(None, true, false, 0);
        slot
    }

    #[inline]
    pub(crate) fn begin_chain(&mut self, flags: EntryFlags) -> u32 {
        // There are as many chain slots as completion slots beside those for calls, and a chain holds one at least.
        let Some(slot) = self.chains.take() else { unreachable!("more chains than completion credits") };
        let local = flags.contains(EntryFlags::LOCAL);
        let registers = if local { None } else { Some(self.queues.registers()) };
        let drain = flags.contains(EntryFlags::DRAIN);
        self.draining |= drain;
        let mut special = self.restricted;
        if flags.contains(EntryFlags::PROGRAM) {
            special |= marks::PROGRAM;
            self.make_kept();
        }
        self.chains[slot].begin(registers, local, drain, special);
        slot
    }

    #[inline]
    pub(crate) fn begin_packet(&mut self, entry: Entry, chain: u32) -> u32 {
        // There are as many packet slots as completion slots beside those for calls, and each was checked to have one.
        let Some(slot) = self.packets.take() else { unreachable!("more packets than completion credits") };
        self.packets[slot].begin(entry, chain);
        slot
    }

    /// Posts a completion for which a slot is kept.
    #[inline]
    pub(crate) fn post(&mut self, completion: Completion) {
        let posted = self.queues.post(&completion);
        // Only a submitter that moved its head backwards could take the slot away, and that breaks the ring.
        debug_assert!(posted.is_ok() || self.queues.is_broken(), "a completion without a credit");
    }
}

/// The completion of an entry that is not run.
#[inline]
pub(crate) fn completion(entry: &Entry, error: Errno) -> Completion {
    Completion { op: entry.op, error: error.raw(), data: entry.data, result: 0, flags: 0, extra: 0 }
}

/// Whether this is a NOP without timeout, and without flags that make a difference.
#[inline]
fn is_bare_nop(entry: &Entry) -> bool {
    entry.flags & !EntryFlags::LOCAL.bits() == 0
        && entry.op == Verb::Nop as u32
        && entry.timeout == Entry::NEVER
}

#[inline]
pub(crate) fn is_chained(entry: &Entry) -> bool {
    entry.flags & EntryFlags::CHAINED.bits() != 0
}

pub(crate) fn is_lone_cancel(entry: &Entry) -> bool {
    let flags = EntryFlags::from_bits_retain(entry.flags);
    let plain = EntryFlags::LOADS | EntryFlags::SAVE | EntryFlags::LOCAL | EntryFlags::SILENT;
    entry.op == Verb::Cancel as u32 && plain.contains(flags)
}

//! Cancel: by user data, by descriptor, or all.
//!
//! A cancel marks chains and asks the backend; it completes nothing that is running. What it reaches is decided in
//! one pass over the packets in flight, so nothing can slip past it.

use ouzel_ring::modifiers::CancelBy;
use ouzel_ring::{Descriptor, Entry, EntryFlags, Errno, Verb};

use crate::control::is_engine_s_own;
use crate::packet::{Ended, GivenUp, Registers, Stage, marks};
use crate::slab::NONE;
use crate::trace::EventKind;
use crate::{Backend, Engine, Outcome, Token};

/// Which entries a cancel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Those with this user data.
    Data(u64),
    /// Those whose user data lies in this range, both ends included. The verb CANCEL cannot say this.
    DataRange {
        /// The smallest user data.
        first: u64,
        /// The largest.
        last: u64,
    },
    /// Those whose subject is this descriptor.
    Descriptor(Descriptor),
    /// All.
    All,
}

impl Target {
    /// What the arguments of a CANCEL name; `None` is nothing, for a number that no descriptor can have.
    pub(crate) fn from_arguments(arguments: &[u64; 5]) -> Result<Option<Target>, Errno> {
        Ok(match CancelBy::from_number(arguments[3]).ok_or(Errno::EINVAL)? {
            CancelBy::Data => Some(Target::Data(arguments[1])),
            CancelBy::Descriptor => Descriptor::from_number(arguments[0]).map(Target::Descriptor),
            CancelBy::All => Some(Target::All),
        })
    }

    /// Whether this is for `entry`. What a register will hold when a member's turn comes is not known before; then
    /// the register as it is now decides, and none if the entry is not admitted.
    pub(crate) fn names(&self, entry: &Entry, registers: Option<&Registers>) -> bool {
        let descriptor = match *self {
            Target::All => return true,
            Target::Data(data) => return entry.data == data,
            Target::DataRange { first, last } => return (first..=last).contains(&entry.data),
            Target::Descriptor(descriptor) => descriptor,
        };
        let subject = match EntryFlags::from_bits_retain(entry.flags).loaded_from(0) {
            None => Some(entry.arguments[0]),
            Some(register) => registers.and_then(|registers| registers.load(register)),
        };
        let names_none = Verb::from_number(entry.op)
            .is_none_or(|verb| is_engine_s_own(verb) || matches!(verb, Verb::Socket | Verb::Pipe));
        !names_none && subject == Some(descriptor.number())
    }
}

impl<B: Backend> Engine<B> {
    /// Cancels what `target` names, but nothing of chain `own`. Returns how many entries it reached: those named
    /// that have not completed and whose chain had not ended.
    pub(crate) fn cancel_but(&mut self, target: Target, own: Option<u32>) -> u32 {
        let mut reached = 0;
        let mut unseen = self.packets.live();
        for slot in 0..self.packets.capacity() {
            if unseen == 0 {
                break;
            }
            if !self.packets.is_live(slot) {
                continue;
            }
            unseen -= 1;
            // The steps of a program are reached through its CALL.
            let chain = self.packets[slot].chain;
            if self.packets[slot].alone {
                reached += u32::from(self.cancel_alone(slot, target, own));
            } else if self.chains[chain].marks & marks::CALLED == 0 && self.reaches(slot, target, own) {
                // Its other members are counted now: once the chain has ended none is reached any more.
                reached += self.reached_of(chain, target, own);
                self.give_up(chain, GivenUp::Cancelled);
            }
        }
        reached
    }

    /// Cancels an entry that is alone, if it is named.
    fn cancel_alone(&mut self, slot: u32, target: Target, own: Option<u32>) -> bool {
        if !self.reaches(slot, target, own) {
            return false;
        }
        let packet = &self.packets[slot];
        let chain = packet.chain;
        if packet.stage == Stage::Started {
            // Its report is all that it waits for.
            self.chains[chain].ended = Some(Ended::GivenUp);
            self.give_up_packet(slot, GivenUp::Cancelled);
        } else {
            self.give_up(chain, GivenUp::Cancelled);
        }
        true
    }

    /// How many members of `chain` a cancel reaches.
    fn reached_of(&self, chain: u32, target: Target, own: Option<u32>) -> u32 {
        let mut reached = 0;
        let members = &self.chains[chain];
        let in_program = members.marks & marks::PROGRAM != 0;
        let mut slot = if in_program { members.first } else { members.current };
        while slot != NONE {
            reached += u32::from(self.reaches(slot, target, own));
            slot = self.packets[slot].next;
        }
        reached
    }

    fn reaches(&self, slot: u32, target: Target, own: Option<u32>) -> bool {
        let packet = &self.packets[slot];
        let members = &self.chains[packet.chain];
        if packet.is_finally() || Some(packet.chain) == own || members.ended.is_some() {
            return false;
        }
        match packet.stage {
            Stage::Stored | Stage::Reported(Outcome::Done { .. }) => return false,
            // It has not completed, and may run again, until the last ordinary member is over.
            Stage::Kept if members.current == NONE || self.packets[members.current].is_finally() => {
                return false;
            }
            _ => {}
        }
        if target.names(&packet.entry, Some(&members.registers)) {
            return true;
        }
        match (packet.stage, target) {
            // What its program works on, it works on.
            (Stage::Calling(program), Target::Descriptor(_)) => self.reached_of(program, target, None) > 0,
            _ => false,
        }
    }

    /// Ends the ordinary part of `chain`: its running members are asked to stop, those behind them will not run.
    pub(crate) fn give_up(&mut self, chain: u32, why: GivenUp) {
        if self.chains[chain].ended.is_none() {
            self.end_ordinary(chain, why);
            self.queue(chain);
        }
    }

    /// The same for a chain that is being moved on right now, and so must not be queued: it may be over, and its slot
    /// given out again, before the work list gets there.
    pub(crate) fn end_ordinary(&mut self, chain: u32, why: GivenUp) {
        if self.chains[chain].ended.is_some() {
            return;
        }
        self.chains[chain].ended = Some(Ended::GivenUp);
        // The first member that is not over is the one that `why` is about; those behind it are cancelled.
        let mut why = why;
        let mut slot = self.chains[chain].current;
        while slot != NONE {
            let packet = &mut self.packets[slot];
            if packet.is_finally() {
                break;
            }
            let next = packet.next;
            match packet.stage {
                Stage::Stored | Stage::Kept => {}
                Stage::Calling(program) => {
                    self.give_up_call(slot, program, why);
                    why = GivenUp::Cancelled;
                }
                Stage::Reported(outcome) if outcome != Outcome::NotRun => {
                    if !outcome.is_success() && packet.flags().contains(EntryFlags::LINK) {
                        // The chain breaks here; nothing behind it would have run.
                        why = GivenUp::Cancelled;
                    }
                }
                Stage::Started => {
                    self.give_up_packet(slot, why);
                    why = GivenUp::Cancelled;
                }
                Stage::Waiting | Stage::Parked | Stage::Stalled | Stage::Reported(_) => {
                    packet.given_up = Some(why);
                    why = GivenUp::Cancelled;
                }
            }
            slot = next;
        }
    }

    /// Asks the backend to give up a started packet.
    pub(crate) fn give_up_packet(&mut self, slot: u32, why: GivenUp) {
        let packet = &mut self.packets[slot];
        let asked = packet.given_up.is_some();
        // A lost connection outranks every other reason: the entry's end has to say so.
        if !asked || why == GivenUp::NoDescriptor {
            packet.given_up = Some(why);
        }
        if !asked {
            let data = packet.entry.data;
            let token = Token { slot, generation: self.packets.generation(slot) };
            self.record(slot, data, EventKind::GivenUp);
            self.backend.cancel(token);
            self.unsubmitted = true;
        }
    }
}

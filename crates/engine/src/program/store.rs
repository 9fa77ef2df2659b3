//! Store: programs under their numbers, and which of them a restricted ring may call.
//!
//! A program is only read once it is stored, so calls that run need it no more. One that is forgotten while a CALL of it
//! waits for packets stays until that has begun.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use ouzel_ring::Errno;

use super::Program;
use crate::packet::{Chain, Packet, marks};
use crate::{Backend, Engine};

/// Why a program was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// There are as many as the ring may store, or as many again that were forgotten and that CALLs still wait to run.
    Full {
        /// How many that is.
        limit: u32,
    },
    /// All numbers have been given out.
    Exhausted,
}

impl StoreError {
    /// The error number that says this.
    pub const fn errno(self) -> Errno {
        match self {
            StoreError::Full { .. } => Errno::ENOSPC,
            StoreError::Exhausted => Errno::EOVERFLOW,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { limit } => write!(
                formatter,
                "the ring stores {limit} programs already: forget one, or build it with a higher limit of programs"
            ),
            StoreError::Exhausted => {
                formatter.write_str("every program number has been given out: make a new ring")
            }
        }
    }
}

impl core::error::Error for StoreError {}

struct Stored {
    number: u32,
    program: Program,
    /// Only CALLs that wait already may still run it.
    forgotten: bool,
}

/// The programs of one engine.
pub(crate) struct Programs {
    /// In the order of their numbers.
    stored: Vec<Stored>,
    /// The last number given out.
    last: u32,
    limit: u32,
    /// What a restricted ring may call.
    allowed: Option<Box<[u32]>>,
}

impl Programs {
    pub(crate) fn new(limit: u32) -> Programs {
        Programs { stored: Vec::new(), last: 0, limit, allowed: None }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many there are, those not counted that are forgotten.
    pub(crate) fn count(&self) -> u32 {
        self.stored.iter().filter(|stored| !stored.forgotten).count() as u32
    }

    fn add(&mut self, program: Program) -> Result<u32, StoreError> {
        // Those that wait to be dropped take memory, too.
        let kept = self.limit.saturating_mul(2) as usize;
        if self.count() >= self.limit || self.stored.len() >= kept {
            return Err(StoreError::Full { limit: self.limit });
        }
        let number = self.last.checked_add(1).ok_or(StoreError::Exhausted)?;
        self.last = number;
        self.stored.push(Stored { number, program, forgotten: false });
        Ok(number)
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.stored.binary_search_by_key(&number, |stored| stored.number).ok()
    }

    /// The program with this number; for a CALL that `waited` also if it has been forgotten meanwhile.
    pub(crate) fn find(&self, number: u32, waited: bool) -> Option<&Program> {
        let stored = &self.stored[self.place(number)?];
        (waited || !stored.forgotten).then_some(&stored.program)
    }

    /// Whether a restricted ring may call it.
    pub(crate) fn is_allowed(&self, number: u32) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&number))
    }

    /// No CALL waits any more.
    pub(crate) fn drop_forgotten(&mut self) {
        self.stored.retain(|stored| !stored.forgotten);
    }
}

impl<B: Backend> Engine<B> {
    /// Stores a program and returns its number, which no other program of this engine gets. With the first one the memory
    /// for the steps of calls is taken.
    ///
    /// Errors: there are too many.
    pub fn store(&mut self, program: Program) -> Result<u32, StoreError> {
        let number = self.programs.add(program)?;
        if self.packets.capacity() < self.packet_limit {
            self.packets.extend(self.packet_limit, Packet::new);
            let calls = self.call_limit();
            self.chains.extend(self.slots + calls, Chain::new);
            self.make_kept();
            self.work.reserve(self.chains.capacity() as usize);
            self.calls.reserve(calls, self.slots);
        }
        Ok(number)
    }

    /// Forgets a program. Calls of it that have begun, or wait to begin, run alone. ENOENT if there is none of this number.
    pub fn forget(&mut self, number: u32) -> Result<(), Errno> {
        let place = self.programs.place(number).ok_or(Errno::ENOENT)?;
        if self.programs.stored[place].forgotten {
            return Err(Errno::ENOENT);
        }
        if self.calls.is_anyone_waiting() {
            self.programs.stored[place].forgotten = true;
        } else {
            self.programs.stored.remove(place);
        }
        Ok(())
    }

    /// Restricts the ring to calling these programs: of the chains admitted from now on, every entry other than CANCEL and a
    /// CALL of one of them completes with EPERM. `None` lifts that.
    pub fn restrict(&mut self, programs: Option<&[u32]>) {
        self.programs.allowed = programs.map(Box::from);
        self.restricted = if programs.is_some() { marks::RESTRICTED } else { 0 };
    }

    /// How many calls can run at once.
    pub(crate) fn call_limit(&self) -> u32 {
        self.slots.min(self.program_steps)
    }
}

//! Programs: lists of entries that are proved once, stored, and run by one entry, CALL.
//!
//! This module says what a program is; `verify` proves it, `store` keeps it under a number, and `call` runs it.

mod call;
mod store;
mod verify;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use ouzel_ring::Entry;
use ouzel_ring::modifiers::MAX_PROGRAM_LENGTH;

pub(crate) use self::call::Calls;
pub(crate) use self::store::Programs;
pub use self::store::StoreError;

/// What a program and its callers agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// How many registers the caller sets, from r0 upwards: 0 to 7.
    pub registers: u8,
    /// Those of them that hold descriptors, as a bit mask.
    pub descriptors: u8,
    /// For each piece of memory that it is called with, the least length in bytes. At most 16.
    pub pieces: Vec<u64>,
    /// The register that is its result, 0 to 6, if it has one.
    pub result: Option<u8>,
}

/// A list of entries that may be stored.
#[derive(Clone, Debug)]
pub struct Program {
    entries: Box<[Entry]>,
    interface: Interface,
}

impl Program {
    /// Verifies a program whose payloads name pieces of the call, or regions of the ring it is stored in. Payloads in
    /// region 0, which are addresses of this process, are refused.
    ///
    /// Errors: what could not be shown, and of which step.
    pub fn new(entries: &[Entry], interface: Interface) -> Result<Program, Rejection> {
        verify::verify(entries, &interface, false)?;
        Ok(Program { entries: entries.into(), interface })
    }

    /// Verifies a program whose payloads may also be addresses of this process.
    ///
    /// Errors: as for [`new`](Program::new).
    ///
    /// # Safety
    ///
    /// What the entries name in region 0 must stay valid as long as the program is stored and calls of it run; what it
    /// writes to must be touched by nobody else while one does, another call of it included.
    pub unsafe fn with_addresses(entries: &[Entry], interface: Interface) -> Result<Program, Rejection> {
        verify::verify(entries, &interface, true)?;
        Ok(Program { entries: entries.into(), interface })
    }

    /// Its steps.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it and its callers agree on.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }
}

/// Why a list of entries is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The step, counted from 0; `None` if it is about the whole.
    pub step: Option<usize>,
    /// What could not be shown.
    pub reason: Reason,
}

/// What could not be shown of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It has this many steps: none, or too many.
    Length(usize),
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(step) = self.step {
            write!(formatter, "step {}: ", step + 1)?;
        }
        match self.reason {
            Reason::Length(length) => {
                write!(formatter, "a program of {length} steps: it has 1 to {MAX_PROGRAM_LENGTH}")
            }
        }
    }
}

impl core::error::Error for Rejection {}

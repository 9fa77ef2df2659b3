//! Stored programs: a list of entries that has been shown to be harmless before it is kept, and what its caller passes.
//!
//! A [`Program`] is proof: there is no other way to one than through the verifier, so whoever runs it may rely on what
//! `docs/abi.md`, section 20, says of verified programs. This module says what a program is; `verify` and the modules it
//! uses prove it, `store` keeps it under a number, and `call` runs it.

mod call;
mod control;
mod flow;
mod meaning;
mod memory;
mod rejection;
mod roles;
mod store;
mod verify;

use alloc::sync::Arc;
use alloc::vec::Vec;

use ouzel_ring::Entry;

pub(crate) use self::call::Calls;
pub(crate) use self::store::Programs;
pub use self::store::StoreError;
pub use rejection::{Kind, Reason, Rejection};

/// What a stored program is called with, and what it results in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// How many registers the caller sets, r0 upwards: 0 to 7.
    pub registers: u8,
    /// Which of them hold descriptors, as a bit mask: bit 0 is r0.
    pub descriptors: u8,
    /// How many bytes each piece of memory that the caller passes must have at least; at most 16 pieces.
    pub pieces: Vec<u64>,
    /// The register that is the result of a call, if any.
    pub result: Option<u8>,
}

/// A program that was verified, ready to be stored. Clones share what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    entries: Arc<[Entry]>,
    interface: Interface,
    constants: Option<Arc<[u8]>>,
}

impl Program {
    /// Verifies `entries` as a program that is called as `interface` says.
    ///
    /// Payloads may name pieces of the call and regions of the ring other than region 0. The user data of the entries
    /// means nothing: a step that runs has that of its call.
    ///
    /// Errors: a [`Rejection`] that names the first step found to be wrong, and why. The time this takes is bounded
    /// whatever the entries are.
    pub fn new(entries: &[Entry], interface: Interface) -> Result<Program, Rejection> {
        Program::verified(entries, interface, verify::Memory::OfCall)
    }

    /// As [`Program::new`], but payloads that are only read may name these bytes, too: in the region
    /// [`CONSTANTS_REGION`](ouzel_ring::modifiers::CONSTANTS_REGION), by their offset. The program keeps them.
    pub fn with_constants(
        entries: &[Entry],
        interface: Interface,
        constants: &[u8],
    ) -> Result<Program, Rejection> {
        let memory = verify::Memory::Constants(constants.len() as u64);
        let program = Program::verified(entries, interface, memory)?;
        Ok(Program { constants: (!constants.is_empty()).then(|| constants.into()), ..program })
    }

    /// As [`Program::new`], but payloads may name addresses in region 0, and vectored transfers are allowed (the
    /// arrays of which may name such addresses).
    ///
    /// # Safety
    ///
    /// The memory that the program's payloads name in region 0 must stay valid, unmoved and untouched by others (for
    /// what is only read: unwritten) for as long as the program can be called or a call of it runs; and no two calls
    /// that write to it may run at the same time.
    pub unsafe fn with_addresses(entries: &[Entry], interface: Interface) -> Result<Program, Rejection> {
        Program::verified(entries, interface, verify::Memory::Addresses)
    }

    fn verified(
        entries: &[Entry],
        interface: Interface,
        memory: verify::Memory,
    ) -> Result<Program, Rejection> {
        verify::verify(entries, &interface, memory)?;
        Ok(Program { entries: entries.into(), interface, constants: None })
    }

    /// The steps.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the program is called with, and what it results in.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The bytes that it was [made with](Program::with_constants).
    pub fn constants(&self) -> &[u8] {
        self.constants.as_deref().unwrap_or_default()
    }

    /// The same, for a call to keep.
    fn shared_constants(&self) -> Option<Arc<[u8]>> {
        self.constants.clone()
    }
}

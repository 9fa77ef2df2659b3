//! The verifier: whether a list of entries may be stored as a program.
//!
//! It looks at the program as a whole, at each step by itself, at where TESTs and REPEATs go, and then at what registers
//! hold on all ways through the program at once. Entries are allegations: any bit pattern may come in. It must not
//! recurse, and its time is bounded by the number of steps (256) alone.

use alloc::vec::Vec;

use ouzel_ring::modifiers::{MAX_CALL_PIECES, MAX_PROGRAM_LENGTH};
use ouzel_ring::{Descriptor, Entry, EntryFlags, REGISTERS, Verb};

use super::control::{self, Control};
use super::rejection::{Reason, Rejection};
use super::roles::{self, Gives, Role};
use super::{Interface, flow, meaning, memory};

/// One step, taken apart.
pub(super) struct Step<'a> {
    pub(super) entry: &'a Entry,
    pub(super) verb: Verb,
    pub(super) flags: EntryFlags,
    pub(super) roles: [Role; 5],
    pub(super) control: Control,
}

impl Step<'_> {
    /// A rejection of this step, which is the one at `at`.
    pub(super) fn reject(&self, at: usize, reason: Reason) -> Rejection {
        Rejection { step: Some(at), verb: Some(self.verb), reason }
    }
}

/// Which memory a program may name beside the pieces of its call and the regions of its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// None.
    OfCall,
    /// So many bytes of its own, to be read.
    Constants(u64),
    /// Region 0.
    Addresses,
}

/// Whether `entries` may be stored as a program that is called as `interface` says and may name `memory`.
pub(super) fn verify(entries: &[Entry], interface: &Interface, memory: Memory) -> Result<(), Rejection> {
    check_whole(entries, interface).map_err(|reason| Rejection { step: None, verb: None, reason })?;
    let is_finally = |entry: &Entry| entry.flags & EntryFlags::FINALLY.bits() != 0;
    // Where the FINALLY steps begin; one of another kind behind that is refused below.
    let ordinary = entries.iter().position(is_finally).unwrap_or(entries.len());
    let mut steps = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let step = take_apart(at, entry, ordinary).and_then(|step| {
            memory::check(&step, interface, memory)?;
            Ok(step)
        });
        steps.push(step.map_err(|reason| Rejection {
            step: Some(at),
            verb: Verb::from_number(entry.op),
            reason,
        })?);
    }
    control::check(&steps)?;
    flow::check(&steps, ordinary, interface)
}

fn check_whole(entries: &[Entry], interface: &Interface) -> Result<(), Reason> {
    if entries.is_empty() {
        return Err(Reason::Empty);
    }
    if entries.len() > MAX_PROGRAM_LENGTH {
        return Err(Reason::TooLong { steps: entries.len() });
    }
    let Interface { registers, descriptors, ref pieces, result } = *interface;
    if usize::from(registers) > REGISTERS {
        return Err(Reason::TooManyRegisters { registers });
    }
    // The register count is at most 7, so the shift stays inside the byte.
    let not_set = descriptors & !((1 << registers) - 1);
    if not_set != 0 {
        return Err(Reason::DescriptorNotSet { register: not_set.trailing_zeros() as usize });
    }
    if pieces.len() > MAX_CALL_PIECES {
        return Err(Reason::TooManyPieces { pieces: pieces.len() });
    }
    match result {
        Some(register) if usize::from(register) >= REGISTERS => Err(Reason::NoSuchResult { register }),
        _ => Ok(()),
    }
}

/// Checks what can be said of a step by itself.
fn take_apart(at: usize, entry: &Entry, ordinary: usize) -> Result<Step<'_>, Reason> {
    let verb = Verb::from_number(entry.op).ok_or(Reason::UnknownVerb { op: entry.op })?;
    if verb == Verb::Call {
        return Err(Reason::VerbRefused);
    }
    let roles = roles::roles(verb, entry).ok_or(Reason::VerbNotYet)?;
    let flags = EntryFlags::from_bits_retain(entry.flags);
    check_flags(at, flags, ordinary)?;
    for (argument, register) in flags.loads() {
        match roles[argument] {
            Role::Payload => return Err(Reason::PayloadLoaded { argument }),
            Role::Written => return Err(Reason::WrittenLoaded { argument }),
            // What the register holds depends on the way here.
            _ => debug_assert!(register < REGISTERS),
        }
    }
    if roles::gives(verb) == Gives::TwoDescriptors
        && flags.saved_into().is_none_or(|register| register + 1 >= REGISTERS)
    {
        return Err(Reason::PipeNeedsTwo);
    }
    for (argument, role) in roles.into_iter().enumerate() {
        let Some(value) = roles::known(entry, argument) else { continue };
        let is_right = match role {
            Role::Descriptor => Descriptor::from_number(value).is_some(),
            Role::Directory => value == 0 || Descriptor::from_number(value).is_some(),
            _ => continue,
        };
        if !is_right {
            return Err(Reason::NoSuchDescriptor { argument, value });
        }
        if roles::closes(verb) {
            return Err(Reason::ClosesWritten { value });
        }
    }
    meaning::check(verb, entry)?;
    let control = control::read(at, verb, entry, ordinary)?;
    Ok(Step { entry, verb, flags, roles, control })
}

fn check_flags(at: usize, flags: EntryFlags, ordinary: usize) -> Result<(), Reason> {
    if flags.has_unknown() {
        return Err(Reason::UnknownFlags { bits: flags.bits() & !EntryFlags::all().bits() });
    }
    for flag in
        [EntryFlags::LOCAL, EntryFlags::SILENT, EntryFlags::DRAIN, EntryFlags::MULTISHOT, EntryFlags::PROGRAM]
    {
        if flags.contains(flag) {
            return Err(Reason::FlagRefused { flag });
        }
    }
    if flags.contains(EntryFlags::CHAINED) {
        return Err(Reason::BothLinks);
    }
    if at >= ordinary && !flags.contains(EntryFlags::FINALLY) {
        return Err(Reason::BehindFinally);
    }
    Ok(())
}

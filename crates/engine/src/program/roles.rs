//! Roles: what each verb makes of its arguments and what it puts into a register. A table, nothing else.
//!
//! A verb that is not in it is refused in stored programs, so a new verb is safe until somebody says here what it takes.

use ouzel_ring::modifiers::{CancelBy, ShiftDirection};
use ouzel_ring::{Entry, EntryFlags, Verb};

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// An open descriptor.
    Descriptor,
    /// An open descriptor, or 0 for the working directory, or for none.
    Directory,
    /// A payload address, which is never loaded.
    Payload,
    /// A number.
    Number,
    /// A number that the verb takes as it is written: a load is EINVAL.
    Written,
    /// Nothing looks at it; but a register that it is loaded from must be defined.
    Unused,
}

/// What a verb saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    Number,
    Descriptor,
    /// One into the register named, one into the next.
    TwoDescriptors,
}

use Role::{Descriptor, Directory, Number, Payload, Unused, Written};

/// What `verb` makes of its five arguments; `None` if it may not stand in a program.
const fn table(verb: Verb) -> Option<[Role; 5]> {
    Some(match verb {
        Verb::Nop | Verb::Pipe => [Unused; 5],
        Verb::Read | Verb::Write => [Descriptor, Payload, Number, Number, Number],
        Verb::Poll => [Descriptor, Number, Unused, Unused, Unused],
        // What argument 0 is depends on argument 3: see `roles`.
        Verb::Cancel => [Number, Number, Unused, Number, Unused],
        Verb::Open => [Directory, Payload, Number, Number, Number],
        Verb::Close => [Descriptor, Unused, Unused, Unused, Unused],
        Verb::Seek => [Descriptor, Unused, Unused, Number, Number],
        Verb::Stat => [Directory, Payload, Number, Payload, Number],
        Verb::Sync | Verb::Allocate => [Descriptor, Unused, Number, Number, Number],
        Verb::Truncate | Verb::Listen => [Descriptor, Unused, Number, Unused, Unused],
        Verb::Mkdir => [Directory, Payload, Number, Unused, Number],
        Verb::Remove => [Directory, Payload, Number, Number, Unused],
        Verb::Rename | Verb::Link => [Directory, Payload, Number, Number, Directory],
        Verb::Symlink => [Unused, Payload, Number, Unused, Directory],
        Verb::Readdir | Verb::Bind | Verb::Accept | Verb::Connect => {
            [Descriptor, Payload, Number, Unused, Unused]
        }
        Verb::Copy | Verb::Splice => [Descriptor, Number, Number, Number, Descriptor],
        Verb::Socket => [Number, Number, Number, Unused, Unused],
        Verb::Send | Verb::Recv | Verb::SendMsg | Verb::RecvMsg => {
            [Descriptor, Payload, Number, Number, Unused]
        }
        Verb::Shutdown => [Descriptor, Unused, Unused, Number, Unused],
        Verb::Readlink | Verb::Utimes | Verb::GetXattr | Verb::SetXattr | Verb::ListXattr => {
            [Directory, Payload, Number, Payload, Number]
        }
        Verb::Statfs => [Directory, Payload, Number, Payload, Unused],
        Verb::Chmod | Verb::RemoveXattr => [Directory, Payload, Number, Unused, Number],
        Verb::Chown | Verb::Mknod | Verb::Access => [Directory, Payload, Number, Number, Number],
        Verb::Lock => [Descriptor, Unused, Number, Number, Number],
        Verb::GetSockopt | Verb::SetSockopt => [Descriptor, Payload, Number, Number, Number],
        Verb::Sockname | Verb::Peername => [Descriptor, Payload, Number, Unused, Unused],
        // The process is a descriptor, or a number in argument 2.
        Verb::Wait => [Directory, Unused, Number, Unused, Unused],
        Verb::Futex => [Unused, Payload, Number, Number, Number],
        Verb::Wake => [Descriptor, Unused, Number, Unused, Unused],
        Verb::Sleep | Verb::Deadline => [Unused, Unused, Number, Number, Unused],
        Verb::Get => [Number, Unused, Unused, Unused, Unused],
        Verb::Set => [Unused, Unused, Number, Unused, Unused],
        Verb::Add | Verb::Sub | Verb::Shift => [Unused, Unused, Number, Number, Written],
        Verb::Min | Verb::And => [Unused, Unused, Number, Number, Unused],
        Verb::Load => [Unused, Payload, Written, Number, Number],
        Verb::Test => [Written, Written, Number, Written, Number],
        Verb::Repeat => [Written; 5],
        _ => return None,
    })
}

/// What the step's verb makes of its five arguments; `None` if it may not stand in a program.
pub(super) fn roles(verb: Verb, entry: &Entry) -> Option<[Role; 5]> {
    let mut roles = table(verb)?;
    let by_descriptor = entry.arguments[3] == CancelBy::Descriptor as u64 && known(entry, 3).is_some();
    if verb == Verb::Cancel && by_descriptor {
        roles[0] = Descriptor;
    }
    Some(roles)
}

/// What `verb` saves when it succeeds.
pub(super) const fn gives(verb: Verb) -> Gives {
    match verb {
        Verb::Open | Verb::Socket | Verb::Accept => Gives::Descriptor,
        Verb::Pipe => Gives::TwoDescriptors,
        _ => Gives::Number,
    }
}

/// Whether the descriptor in argument 0 is dead once the step has run, however it ended.
pub(super) const fn closes(verb: Verb) -> bool {
    matches!(verb, Verb::Close)
}

/// Whether the payload of `verb` is a record that names payloads itself.
pub(super) const fn has_payloads_in_its_record(verb: Verb) -> bool {
    matches!(verb, Verb::SendMsg | Verb::RecvMsg)
}

/// Whether a step that is right in itself can fail while its chain goes on. What only computes cannot, unless its result
/// may not fit.
pub(super) fn may_fail(verb: Verb, entry: &Entry) -> bool {
    match verb {
        Verb::Set | Verb::Get | Verb::Min | Verb::And | Verb::Test | Verb::Repeat => false,
        Verb::Add | Verb::Sub => entry.arguments[4] == 0,
        Verb::Shift => known(entry, 3).is_none() || ShiftDirection::from_number(entry.arguments[4]).is_none(),
        _ => true,
    }
}

/// The value of an argument that is not loaded from a register.
pub(super) fn known(entry: &Entry, argument: usize) -> Option<u64> {
    match EntryFlags::from_bits_retain(entry.flags).loaded_from(argument) {
        Some(_) => None,
        None => entry.arguments.get(argument).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payloads::{fixed_arguments, payloads};

    #[test]
    fn it_agrees_with_what_is_loaded() {
        for verb in Verb::ALL.iter().copied() {
            let Some(roles) = table(verb) else { continue };
            for (argument, role) in roles.iter().enumerate() {
                let is_payload = payloads(verb).iter().any(|(place, _)| *place == argument);
                assert_eq!(*role == Payload, is_payload, "{}, argument {argument}", verb.name());
                let is_fixed = fixed_arguments(verb) >> argument & 1 != 0;
                assert_eq!(
                    matches!(role, Payload | Written),
                    is_fixed,
                    "{}, argument {argument}",
                    verb.name()
                );
            }
        }
    }

    #[test]
    fn nothing_calls_from_a_program() {
        assert_eq!(table(Verb::Call), None);
    }
}

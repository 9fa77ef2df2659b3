//! Memory: whether the payloads of a step stay inside what its program may touch, as far as that is known in advance.
//!
//! What it lets pass is checked again, in full, when the step runs. Two things are not left to that: a program that was
//! made without the right to name addresses must not come by one, not even through the array of a vectored transfer or
//! the record of a message; and a piece of a call is one range of bytes, never such an array or record: what lies in it may
//! have come out of a file.

use ouzel_ring::modifiers::{CALL_REGION, CONSTANTS_REGION, TransferFlags};
use ouzel_ring::{Payload, Verb};

use super::Interface;
use super::rejection::Reason;
use super::roles::{has_payloads_in_its_record, known};
use super::verify::{Memory, Step};
use crate::payloads::{Length, is_only_read, payloads};

/// Where READ and WRITE have their [`TransferFlags`].
const TRANSFER_FLAGS: usize = 4;

/// Whether all payloads of `step` may be what they are.
pub(super) fn check(step: &Step<'_>, interface: &Interface, memory: Memory) -> Result<(), Reason> {
    for &(argument, length) in payloads(step.verb) {
        check_one(step, argument, length, interface, memory)?;
    }
    Ok(())
}

fn check_one(
    step: &Step<'_>,
    argument: usize,
    length: Length,
    interface: &Interface,
    memory: Memory,
) -> Result<(), Reason> {
    let addresses = memory == Memory::Addresses;
    let payload = Payload::from_number(step.entry.arguments[argument]);
    let piece = payload.region().checked_sub(CALL_REGION).map(usize::from);
    if matches!(step.verb, Verb::Read | Verb::Write) && (piece.is_some() || !addresses) {
        match known(step.entry, TRANSFER_FLAGS) {
            None => return Err(Reason::VectoredLoaded { argument: TRANSFER_FLAGS }),
            Some(flags) if flags & TransferFlags::VECTORED.bits() == 0 => {}
            Some(_) if piece.is_some() => return Err(Reason::VectoredPiece { argument }),
            Some(_) => return Err(Reason::VectoredAddresses { argument }),
        }
    }
    if has_payloads_in_its_record(step.verb) && (piece.is_some() || !addresses) {
        return Err(Reason::RecordWithPayloads { argument, in_piece: piece.is_some() });
    }
    // What is loaded may be as little as nothing.
    let known = |argument| known(step.entry, argument);
    let length = match length {
        // A LOAD touches one word of its buffer. An offset that is too large for the sum fits no piece.
        _ if step.verb == Verb::Load => known(2).map(|width| known(3).unwrap_or(0).saturating_add(width)),
        Length::Argument(argument) => known(argument),
        Length::LowerHalf(argument) => known(argument).map(|value| value & u64::from(u32::MAX)),
        Length::Fixed(length) => Some(length),
    };
    if let Memory::Constants(room) = memory
        && payload.region() == CONSTANTS_REGION
    {
        if !is_only_read(step.verb, argument) {
            return Err(Reason::ConstantWritten { argument });
        }
        let needed = payload.offset().saturating_add(length.unwrap_or(0));
        return if needed > room || needed == u64::MAX {
            Err(Reason::NoSuchConstant { argument, needed, room })
        } else {
            Ok(())
        };
    }
    let Some(piece) = piece else {
        // What has no bytes is not touched.
        let is_touched = length != Some(0);
        return if payload.region() == 0 && is_touched && !addresses {
            Err(Reason::Address { argument })
        } else {
            Ok(())
        };
    };
    let Some(&declared) = interface.pieces.get(piece) else {
        return Err(Reason::NoSuchPiece { argument, piece, pieces: interface.pieces.len() });
    };
    let needed = payload.offset().saturating_add(length.unwrap_or(0));
    if needed > declared || needed == u64::MAX {
        return Err(Reason::PieceTooShort { argument, piece, needed, declared });
    }
    Ok(())
}

//! Verification: what is shown of a program before it is stored.

use ouzel_ring::Entry;
use ouzel_ring::modifiers::MAX_PROGRAM_LENGTH;

use super::{Interface, Reason, Rejection};

/// Whether these entries may be stored with this interface.
pub(super) fn verify(entries: &[Entry], _interface: &Interface, _addresses: bool) -> Result<(), Rejection> {
    if entries.is_empty() || entries.len() > MAX_PROGRAM_LENGTH {
        return Err(Rejection { step: None, reason: Reason::Length(entries.len()) });
    }
    Ok(())
}

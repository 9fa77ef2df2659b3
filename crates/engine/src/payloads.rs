//! Payloads: which arguments of a verb are payload addresses, and how many bytes each names.
//!
//! One table for whoever must know before an operation is decoded: the verifier of stored programs, and a call that puts
//! its pieces of memory in the place of regions. It only says; what it says is checked against regions when an entry is
//! dispatched.

use ouzel_ring::Verb;
use ouzel_ring::modifiers::STAT_RECORD;

/// How many bytes a payload names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As many as this argument says. With VECTORED, READ and WRITE name an array of that many pieces instead.
    Argument(usize),
    /// Always as many.
    Fixed(u64),
}

/// The arguments of `verb` that are payload addresses, with their lengths.
pub(crate) const fn payloads(verb: Verb) -> &'static [(usize, Length)] {
    match verb {
        Verb::Read
        | Verb::Write
        | Verb::Open
        | Verb::Mkdir
        | Verb::Remove
        | Verb::Rename
        | Verb::Link
        | Verb::Symlink
        | Verb::Readdir
        | Verb::Bind
        | Verb::Accept
        | Verb::Connect
        | Verb::Send
        | Verb::Recv
        | Verb::Call => &[(1, Length::Argument(2))],
        Verb::Stat => &[(1, Length::Argument(2)), (3, Length::Fixed(STAT_RECORD))],
        Verb::Load => &[(1, Length::Argument(4))],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::payload_arguments;

    #[test]
    fn what_may_not_be_loaded_has_a_length() {
        for verb in Verb::ALL {
            let mask = payloads(*verb).iter().fold(0, |mask, (argument, _)| mask | 1 << argument);
            // Verbs that are not decoded are not in the other table.
            if !matches!(verb, Verb::Load | Verb::Call) || payload_arguments(*verb) != 0 {
                assert_eq!(mask, payload_arguments(*verb), "{}", verb.name());
            }
        }
    }
}

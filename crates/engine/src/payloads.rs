//! Payloads: which arguments of a verb are payload addresses, how long what lies there is, and which arguments may not
//! be loaded from registers. Tables only; nothing here looks at an entry.

use ouzel_ring::Verb;
use ouzel_ring::modifiers::{STAT_RECORD, STATFS_RECORD, TIMES_RECORD};

/// How long the bytes at a payload are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// As many bytes as this argument says.
    Argument(usize),
    /// As many bytes as the lower half of this argument says.
    LowerHalf(usize),
    /// So many bytes, always.
    Fixed(u64),
}

/// The arguments of `verb` that are payload addresses, each with the length of what lies there.
///
/// A VECTORED transfer is the exception to the lengths: its argument counts pieces.
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
        | Verb::Chmod
        | Verb::Chown
        | Verb::Mknod
        | Verb::Access
        | Verb::RemoveXattr
        | Verb::GetSockopt
        | Verb::SetSockopt
        | Verb::Sockname
        | Verb::Peername
        | Verb::SendMsg
        | Verb::RecvMsg
        | Verb::Call => &[(1, Length::Argument(2))],
        Verb::Stat => &[(1, Length::Argument(2)), (3, Length::Fixed(STAT_RECORD))],
        Verb::Readlink => &[(1, Length::Argument(2)), (3, Length::Argument(4))],
        Verb::Utimes => &[(1, Length::Argument(2)), (3, Length::Fixed(TIMES_RECORD))],
        Verb::Statfs => &[(1, Length::Argument(2)), (3, Length::Fixed(STATFS_RECORD))],
        Verb::GetXattr | Verb::SetXattr | Verb::ListXattr => {
            &[(1, Length::Argument(2)), (3, Length::LowerHalf(4))]
        }
        // One word, of 32 bits.
        Verb::Futex => &[(1, Length::Fixed(4))],
        Verb::Load => &[(1, Length::Argument(4))],
        _ => &[],
    }
}

/// Whether the bytes at the payload `argument` of `verb` are read and never written.
pub(crate) const fn is_only_read(verb: Verb, argument: usize) -> bool {
    match verb {
        Verb::Write
        | Verb::Send
        | Verb::Open
        | Verb::Mkdir
        | Verb::Remove
        | Verb::Rename
        | Verb::Link
        | Verb::Symlink
        | Verb::Bind
        | Verb::Connect
        | Verb::Chmod
        | Verb::Chown
        | Verb::Mknod
        | Verb::Access
        | Verb::Utimes
        | Verb::SetXattr
        | Verb::RemoveXattr
        | Verb::SetSockopt
        | Verb::Load => true,
        // Behind the path is the place for an answer.
        Verb::Stat | Verb::Readlink | Verb::Statfs | Verb::GetXattr | Verb::ListXattr => argument == 1,
        _ => false,
    }
}

/// The arguments of `verb` other than payloads that may not be loaded either, as a bit mask: what decides over other
/// members, and modifiers that must be known in advance.
const fn constants(verb: Verb) -> u8 {
    match verb {
        Verb::Add | Verb::Sub | Verb::Shift => 0b10000,
        Verb::Load => 0b00100,
        Verb::Test => 0b01011,
        Verb::Repeat => 0b11111,
        Verb::Call => 0b00101,
        _ => 0,
    }
}

/// For each verb, a bit mask of the arguments that may not be loaded from registers.
const FIXED: [u8; Verb::ALL.len()] = {
    let mut masks = [0; Verb::ALL.len()];
    let mut number = 0;
    while number < masks.len() {
        let verb = Verb::ALL[number];
        let addresses = payloads(verb);
        let mut mask = constants(verb);
        let mut place = 0;
        while place < addresses.len() {
            mask |= 1 << addresses[place].0;
            place += 1;
        }
        masks[verb as usize] = mask;
        number += 1;
    }
    masks
};

/// The arguments of `verb` that may not be loaded from registers, as a bit mask.
#[inline]
pub(crate) const fn fixed_arguments(verb: Verb) -> u8 {
    FIXED[verb as usize]
}

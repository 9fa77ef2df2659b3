//! The entry: 64 bytes in which a submitter asks for one operation.
//!
//! Plain data with a pinned layout. An entry in shared memory is an allegation: it is copied out as eight words,
//! once, before anyone looks at it (see [`EngineEnd::copy_next`](crate::EngineEnd::copy_next)), and nothing in
//! this module trusts a field.

use crate::{EntryFlags, Verb};

/// A submission queue entry.
///
/// Argument roles: `arguments[0]` is the subject (a descriptor), 1 the payload (a buffer or path), 2 the magnitude,
/// 3 a location or modifier, 4 an auxiliary. What each verb makes of them is in `docs/abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// Nanoseconds from dispatch until the entry is cancelled; [`Entry::NEVER`] is never, 0 forbids waiting for an
    /// event.
    pub timeout: u64,
    /// The submitter's own word, returned in the completion.
    pub data: u64,
    /// The verb's number; see [`Verb`].
    pub op: u32,
    /// Register specifiers and flags; see [`EntryFlags`].
    pub flags: u32,
    /// The five arguments.
    pub arguments: [u64; 5],
}

impl Entry {
    /// The timeout that never fires.
    pub const NEVER: u64 = u64::MAX;

    /// An entry for `verb` with no arguments, no flags and no timeout.
    pub const fn new(verb: Verb) -> Entry {
        Entry { timeout: Entry::NEVER, data: 0, op: verb as u32, flags: 0, arguments: [0; 5] }
    }

    /// The same entry with these arguments.
    pub const fn arguments(mut self, arguments: [u64; 5]) -> Entry {
        self.arguments = arguments;
        self
    }

    /// The same entry with this user data.
    pub const fn data(mut self, data: u64) -> Entry {
        self.data = data;
        self
    }

    /// The same entry with these flags (replacing the ones it had).
    pub const fn flags(mut self, flags: EntryFlags) -> Entry {
        self.flags = flags.bits();
        self
    }

    /// The same entry with this timeout in nanoseconds.
    pub const fn timeout(mut self, nanoseconds: u64) -> Entry {
        self.timeout = nanoseconds;
        self
    }

    /// The entry as the eight words it is stored as.
    #[inline]
    pub const fn to_words(self) -> [u64; 8] {
        let [a, b, c, d, e] = self.arguments;
        [self.timeout, self.data, pair(self.op, self.flags), a, b, c, d, e]
    }

    /// The entry that eight stored words stand for. Every bit pattern is an entry.
    #[inline]
    pub const fn from_words(words: [u64; 8]) -> Entry {
        let [timeout, data, op_flags, a, b, c, d, e] = words;
        let (op, flags) = split(op_flags);
        Entry { timeout, data, op, flags, arguments: [a, b, c, d, e] }
    }
}

/// Two adjacent `u32` fields, the one at the lower address first, as one native-endian word.
#[inline]
pub(crate) const fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        second as u64 | (first as u64) << 32
    }
}

/// The inverse of [`pair`].
#[inline]
pub(crate) const fn split(word: u64) -> (u32, u32) {
    if cfg!(target_endian = "little") {
        (word as u32, (word >> 32) as u32)
    } else {
        ((word >> 32) as u32, word as u32)
    }
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Entry>() == 64 && align_of::<Entry>() == 8);
    assert!(offset_of!(Entry, timeout) == 0);
    assert!(offset_of!(Entry, data) == 8);
    assert!(offset_of!(Entry, op) == 16);
    assert!(offset_of!(Entry, flags) == 20);
    assert!(offset_of!(Entry, arguments) == 24);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        let words = [1, 2, 3 | 4 << 32, 5, 6, 7, 8, 9];
        assert_eq!(Entry::from_words(words).to_words(), words);
    }

    #[test]
    fn words_are_the_bytes_of_the_layout() {
        let entry = Entry::new(Verb::Write).arguments([1, 2, 3, 4, 5]).data(77).timeout(9);
        let bytes: [u8; 64] = {
            let mut bytes = [0; 64];
            for (at, word) in entry.to_words().iter().enumerate() {
                bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_ne_bytes());
            }
            bytes
        };
        assert_eq!(u32::from_ne_bytes(bytes[16..20].try_into().unwrap()), Verb::Write as u32);
        assert_eq!(u64::from_ne_bytes(bytes[8..16].try_into().unwrap()), 77);
        assert_eq!(u64::from_ne_bytes(bytes[56..64].try_into().unwrap()), 5);
    }
}

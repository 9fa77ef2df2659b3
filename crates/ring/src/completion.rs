//! The completion: 32 bytes in which the engine says how one entry ended.
//!
//! Plain data with a pinned layout, built whole so that no stale byte of an earlier one can leak to the submitter.

use crate::entry::{pair, split};
use crate::{CompletionFlags, Errno};

/// A completion queue entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Completion {
    /// The verb's number, as in the entry.
    pub op: u32,
    /// A positive error number, or 0.
    pub error: i32,
    /// The submitter's own word, as in the entry.
    pub data: u64,
    /// The verb's result; it may be valid beside an error (a partial transfer).
    pub result: u64,
    /// [`CompletionFlags`].
    pub flags: u32,
    /// A second, smaller result; the verb's page says what (0 where it says nothing).
    pub extra: u32,
}

impl Completion {
    /// The error, [`Errno::OK`] for success.
    pub const fn errno(&self) -> Errno {
        Errno::from_raw(self.error)
    }

    /// Whether a multishot entry will post more completions after this one.
    pub const fn has_more(&self) -> bool {
        self.flags & CompletionFlags::MORE.bits() != 0
    }

    /// Whether the entry was not run because its chain had stopped successfully.
    pub const fn was_skipped(&self) -> bool {
        self.flags & CompletionFlags::SKIPPED.bits() != 0
    }

    /// The result, or the error.
    pub const fn outcome(&self) -> Result<u64, Errno> {
        if self.error == 0 { Ok(self.result) } else { Err(self.errno()) }
    }

    /// The completion as the four words it is stored as.
    #[inline]
    pub const fn to_words(self) -> [u64; 4] {
        [pair(self.op, self.error as u32), self.data, self.result, pair(self.flags, self.extra)]
    }

    /// The completion that four stored words stand for. Every bit pattern is a completion.
    #[inline]
    pub const fn from_words(words: [u64; 4]) -> Completion {
        let (op, error) = split(words[0]);
        let (flags, extra) = split(words[3]);
        Completion { op, error: error as i32, data: words[1], result: words[2], flags, extra }
    }
}

const _: () = {
    use core::mem::{align_of, offset_of, size_of};
    assert!(size_of::<Completion>() == 32 && align_of::<Completion>() == 8);
    assert!(offset_of!(Completion, op) == 0);
    assert!(offset_of!(Completion, error) == 4);
    assert!(offset_of!(Completion, data) == 8);
    assert!(offset_of!(Completion, result) == 16);
    assert!(offset_of!(Completion, flags) == 24);
    assert!(offset_of!(Completion, extra) == 28);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        let words = [1 | 2 << 32, 3, 4, 5 | 6 << 32];
        assert_eq!(Completion::from_words(words).to_words(), words);
    }
}

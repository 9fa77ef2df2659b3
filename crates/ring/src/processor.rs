//! The words for processors: on which one each side waits, so that the other need not spin against it.
//!
//! A word is a hint written by a side that may lie, about something that may have changed since. Whoever reads it decides only
//! whether to spin, so a lie costs no more than a wake. Nothing here asks which processor it is; that is for whoever owns the ends.

/// Nobody has said.
pub(crate) const UNKNOWN: u32 = 0;

/// The word of a processor; of none if there is no word for its number.
#[inline]
pub(crate) const fn to_word(processor: Option<u32>) -> u32 {
    match processor {
        Some(number) => number.wrapping_add(1),
        None => UNKNOWN,
    }
}

/// The processor of a word.
#[inline]
pub(crate) const fn from_word(word: u32) -> Option<u32> {
    word.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_processors() {
        for processor in [None, Some(0), Some(1), Some(u32::MAX - 1)] {
            assert_eq!(from_word(to_word(processor)), processor);
        }
        assert_eq!(from_word(to_word(Some(u32::MAX))), None);
        assert_eq!(to_word(None), 0);
    }
}

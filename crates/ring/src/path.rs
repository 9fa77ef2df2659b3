//! Paths: what both sides ask of their bytes.

/// Whether a byte is 0, which no path may hold before its end. Looks at eight at a time: each path comes by here
/// twice, where it is written down and where it is used, and is short.
#[inline]
pub fn has_nul(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // A borrow reaches a byte's top bit from a 0 below it, or from that byte itself if it is 0.
    let borrows = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        word.wrapping_sub(ONES) & !word
    };
    // The last word may have some bytes in common with the one before it. Hardly any path has one, so all are looked at
    // before that is asked.
    match bytes.last_chunk() {
        Some(last) => {
            let words = bytes.as_chunks().0.iter();
            words.fold(borrows(last), |found, word| found | borrows(word)) & (ONES << 7) != 0
        }
        None => bytes.contains(&0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_wherever_it_is() {
        for length in 0..40 {
            let mut path = [0x80; 40];
            assert!(!has_nul(&path[..length]));
            assert!(!has_nul(&[1; 40][..length]));
            for place in 0..length {
                path[place] = 0;
                assert!(has_nul(&path[..length]), "at {place} of {length}");
                path[place] = 0x80;
            }
        }
    }
}

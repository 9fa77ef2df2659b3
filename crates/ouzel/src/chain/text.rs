//! Text: the paths of a chain's steps, one after the other, each with its NUL.
//!
//! Steps keep where theirs start, not an address: adding a path may move the others.

/// The paths of a chain.
#[derive(Default)]
pub(crate) struct Text(Vec<u8>);

impl Text {
    /// Adds a path and its NUL, and returns where it starts.
    #[inline]
    pub(crate) fn push(&mut self, path: &[u8]) -> u32 {
        let start = self.0.len() as u32;
        self.0.reserve(path.len() + 1);
        self.0.extend_from_slice(path);
        self.0.push(0);
        start
    }

    /// The bytes from `start` on.
    #[inline]
    pub(crate) fn from(&self, start: u32) -> &[u8] {
        self.0.get(start as usize..).unwrap_or_default()
    }

    /// The `length` bytes from `start` on as people read them: without the last NUL, with a word for one between two paths.
    pub(crate) fn show(&self, start: u32, length: u64) -> Option<String> {
        let paths = self.from(start).get(..(length as usize).checked_sub(1)?)?;
        Some(String::from_utf8_lossy(paths).replace('\0', " to "))
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Whether `path` holds a NUL byte. Paths are short: this beats the search that is made for long slices.
pub(super) fn has_nul(path: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // Borrows only start at a byte that is 0, so any top bit that comes up means that there is one.
    let nul_in = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        word.wrapping_sub(ONES) & !word & TOPS
    };
    // The last bytes are looked at together with some before them, twice if need be.
    let Some(last) = path.last_chunk() else { return path.contains(&0) };
    let (words, _) = path.as_chunks();
    words.iter().fold(nul_in(last), |found, word| found | nul_in(word)) != 0
}

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn a_nul_is_found_wherever_it_is() {
        for length in 0..70 {
            let mut path = vec![b'a'; length];
            assert!(!has_nul(&path));
            for at in 0..length {
                path[at] = 0;
                assert!(has_nul(&path), "byte {at} of {length}");
                path[at] = b'a';
            }
        }
    }
}

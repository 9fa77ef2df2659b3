//! A checksum that is cheap, touches every byte and does not depend on the order in which files were read.

/// What one pass has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files read, or operations made.
    pub items: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The wrapping sum of [`sum`] over the files, or what stands for it.
    pub checksum: u64,
}

impl Tally {
    /// Adds a file that was read whole.
    pub fn add(&mut self, contents: &[u8]) {
        self.items += 1;
        self.bytes += contents.len() as u64;
        self.checksum = self.checksum.wrapping_add(sum(contents));
    }

    /// Adds what another task of the same pass has read.
    pub fn merge(&mut self, other: Tally) {
        self.items += other.items;
        self.bytes += other.bytes;
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }
}

/// The checksum of one file: its little-endian 64-bit words added up, the last one padded with zeroes, times its
/// length (made odd). The C contender computes the same.
pub fn sum(contents: &[u8]) -> u64 {
    let (words, rest) = contents.as_chunks::<8>();
    let mut total = words.iter().fold(0u64, |total, word| total.wrapping_add(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    total = total.wrapping_add(u64::from_le_bytes(last));
    total.wrapping_mul(contents.len() as u64 | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_covers_every_byte_and_the_length() {
        let contents: Vec<u8> = (0..43).collect();
        let whole = sum(&contents);
        for position in 0..contents.len() {
            let mut changed = contents.clone();
            changed[position] ^= 1;
            assert_ne!(sum(&changed), whole, "byte {position}");
        }
        assert_ne!(sum(&[1, 0]), sum(&[1]));
    }

    #[test]
    fn a_tally_does_not_depend_on_order() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.add(b"first");
        one.add(b"second file");
        other.add(b"second file");
        let mut rest = Tally::default();
        rest.add(b"first");
        other.merge(rest);
        assert_eq!(one, other);
    }
}

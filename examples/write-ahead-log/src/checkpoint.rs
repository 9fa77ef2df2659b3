//! The bytes of the checkpoint: everything there is, and up to where the log is in it.
//!
//! `OUZELCHK · checksum u32 · sequence u64`, then for each key `length of key u32 · length of value u32`, the key, the value; all
//! little-endian. The checksum is over all that follows it.

use std::collections::BTreeMap;

use crate::checksum::checksum;

/// Keys and their values.
pub type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

const MAGIC: &[u8; 8] = b"OUZELCHK";

/// The bytes of a checkpoint.
pub fn write(sequence: u64, all: &Pairs) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    for (key, value) in all {
        body.extend((key.len() as u32).to_le_bytes());
        body.extend((value.len() as u32).to_le_bytes());
        body.extend(key);
        body.extend(value);
    }
    [&MAGIC[..], &checksum(&[&body]).to_le_bytes(), &body].concat()
}

/// What a checkpoint says; `None` if it is damaged.
pub fn read(bytes: &[u8]) -> Option<(u64, Pairs)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (sum, body) = rest.split_first_chunk()?;
    if u32::from_le_bytes(*sum) != checksum(&[body]) {
        return None;
    }
    let (sequence, mut rest) = body.split_first_chunk()?;
    let mut all = BTreeMap::new();
    while !rest.is_empty() {
        let (key, more) = rest.split_first_chunk()?;
        let (value, more) = more.split_first_chunk()?;
        let (key, more) = more.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let (value, more) = more.split_at_checked(u32::from_le_bytes(*value) as usize)?;
        all.insert(key.to_vec(), value.to_vec());
        rest = more;
    }
    Some((u64::from_le_bytes(*sequence), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written_and_no_other_way() {
        let all = BTreeMap::from([(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), Vec::new())]);
        let bytes = write(9, &all);
        assert_eq!(read(&bytes), Some((9, all)));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(read(&damaged), None, "byte {at}");
            assert_eq!(read(&bytes[..at]), None, "{at} bytes");
        }
    }
}

//! The bytes of the log: a head, and frames behind it.
//!
//! Head, 16 bytes: `OUZELWAL`, then a random number. Frame: `length u32 · checksum u32 · sequence u64`, then `length` bytes of
//! changes; all little-endian. The checksum is over the log's random number, the length, the sequence and the changes, so that
//! neither a frame of an older log nor a value that looks like a frame is taken for one. Change: `kind u8 (1 set, 2 delete) ·
//! length of key u32 · length of value u32`, the key, the value. What is read here is believed only if its checksum fits.

use crate::checksum::checksum;
use crate::store::Change;

const MAGIC: &[u8; 8] = b"OUZELWAL";

/// Bytes of the head.
pub const HEAD: usize = 16;

/// Bytes of a frame before its changes.
const FRAME: usize = 16;

/// The most bytes of changes in one frame.
pub const MOST: usize = 64 << 20;

const SET: u8 = 1;
const DELETE: u8 = 2;

/// The head of a log with this random number.
pub fn head(salt: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..].copy_from_slice(&salt.to_le_bytes());
    head
}

/// The random number of a log; `None` if it has no head.
pub fn salt_of(log: &[u8]) -> Option<u64> {
    let head = log.get(..HEAD)?;
    head.starts_with(MAGIC).then(|| word(head, 8)).flatten()
}

/// The frame for `changes`; `None` if they are too many.
pub fn frame(salt: u64, sequence: u64, changes: &[Change]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    for change in changes {
        let (kind, key, value): (u8, &[u8], &[u8]) = match change {
            Change::Set(key, value) => (SET, key, value),
            Change::Delete(key) => (DELETE, key, &[]),
        };
        body.push(kind);
        body.extend(u32::try_from(key.len()).ok()?.to_le_bytes());
        body.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
        body.extend(key);
        body.extend(value);
    }
    if body.len() > MOST {
        return None;
    }
    let length = (body.len() as u32).to_le_bytes();
    let mut frame = length.to_vec();
    frame.extend(sum(salt, &length, &sequence.to_le_bytes(), &body).to_le_bytes());
    frame.extend(sequence.to_le_bytes());
    frame.extend(body);
    Some(frame)
}

/// The frame that `bytes` begin with, if it is whole: its sequence number, its changes, its length.
pub fn first(salt: u64, bytes: &[u8]) -> Option<(u64, Vec<Change>, usize)> {
    let length = half(bytes, 0)? as usize;
    if length > MOST {
        return None;
    }
    let sequence = word(bytes, 8)?;
    let body = bytes.get(FRAME..FRAME + length)?;
    if half(bytes, 4)? != sum(salt, &bytes[..4], &bytes[8..16], body) {
        return None;
    }
    Some((sequence, changes(body)?, FRAME + length))
}

/// Whether a whole frame of this log, with a sequence number behind `last`, begins anywhere in `bytes` but at their start.
pub fn is_any_behind(salt: u64, last: u64, bytes: &[u8]) -> bool {
    (1..bytes.len().saturating_sub(FRAME - 1)).any(|at| {
        let there = &bytes[at..];
        // What cannot be a frame is found out without a checksum over all that follows.
        let near =
            word(there, 8).is_some_and(|sequence| sequence > last && sequence - last <= bytes.len() as u64);
        near && first(salt, there).is_some()
    })
}

fn changes(mut body: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while let Some(kind) = body.first() {
        let key = half(body, 1)? as usize;
        let value = half(body, 5)? as usize;
        let rest = body.get(9..)?;
        let (key, rest) = rest.split_at_checked(key)?;
        let (value, rest) = rest.split_at_checked(value)?;
        changes.push(match *kind {
            SET => Change::Set(key.to_vec(), value.to_vec()),
            DELETE => Change::Delete(key.to_vec()),
            _ => return None,
        });
        body = rest;
    }
    Some(changes)
}

fn sum(salt: u64, length: &[u8], sequence: &[u8], body: &[u8]) -> u32 {
    checksum(&[&salt.to_le_bytes(), length, sequence, body])
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written_and_no_other_way() {
        let changes = vec![Change::Set(b"key".to_vec(), b"value".to_vec()), Change::Delete(b"gone".to_vec())];
        let bytes = frame(7, 3, &changes).unwrap();
        assert_eq!(first(7, &bytes).unwrap(), (3, changes, bytes.len()));
        assert!(first(8, &bytes).is_none(), "another log's");
        for length in 0..bytes.len() {
            assert!(first(7, &bytes[..length]).is_none(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(first(7, &damaged).is_none(), "byte {at}");
        }
    }

    #[test]
    fn what_is_behind_damage_is_found() {
        let change = [Change::Set(b"k".to_vec(), vec![9; 100])];
        let mut log = frame(7, 1, &change).unwrap();
        let second = log.len();
        log.extend(frame(7, 2, &change).unwrap());
        assert!(is_any_behind(7, 0, &log));
        assert!(!is_any_behind(7, 1, &log[second..]), "nothing is behind the last");
        assert!(!is_any_behind(8, 0, &log), "another log's");
    }
}

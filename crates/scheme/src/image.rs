//! A program's image: its bytes as they go from a client to a service.
//!
//! | offset | type | |
//! |---|---|---|
//! | 0 | u32 | entries |
//! | 4 | u8 | registers that the caller sets |
//! | 5 | u8 | which of them hold descriptors, a bit each |
//! | 6 | u8 | the register that is the result; 255: none |
//! | 7 | u8 | pieces that the caller passes |
//! | 8 | u32 | bytes of constants |
//! | 12 | u32 | reserved, zero |
//! | 16 | u64 each | how long each piece must be |
//! | then | 64 bytes each | the entries, as in a queue: eight words |
//! | then | u8 each | the constants |
//!
//! All numbers are little-endian, and nothing follows. An image comes from the other side and is looked at only in memory of this
//! side's own. Nothing here may panic, whatever its bytes are. What the entries do is for the verifier to judge.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use ouzel_engine::{Interface, Program, Rejection};
use ouzel_ring::modifiers::{MAX_CALL_PIECES, MAX_PROGRAM_LENGTH};
use ouzel_ring::{Entry, REGISTERS};

const NO_RESULT: u8 = 255;

/// The image of a program.
pub(crate) fn encode(program: &Program) -> Vec<u8> {
    let Interface { registers, descriptors, ref pieces, result } = *program.interface();
    let mut bytes = Vec::new();
    // A program has been verified: it has no more of these than their numbers hold.
    bytes.extend_from_slice(&(program.entries().len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[registers, descriptors, result.unwrap_or(NO_RESULT), pieces.len() as u8]);
    bytes.extend_from_slice(&(program.constants().len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let words = program.entries().iter().flat_map(|entry| entry.to_words());
    for word in pieces.iter().copied().chain(words) {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(program.constants());
    bytes
}

/// Why an image is no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageError {
    /// Its form is wrong.
    Form(&'static str),
    /// The verifier refuses it.
    Rejected(Rejection),
}

/// The program that an image is of, verified.
pub(crate) fn decode(image: &[u8]) -> Result<Program, ImageError> {
    let mut rest = Rest(image);
    let entries = rest.word()? as usize;
    let [registers, descriptors, result, pieces] = rest.take()?;
    let constants = rest.word()? as usize;
    if rest.word()? != 0 {
        return Err(ImageError::Form("reserved bytes of its head are not zero"));
    }
    if entries > MAX_PROGRAM_LENGTH || usize::from(pieces) > MAX_CALL_PIECES {
        return Err(ImageError::Form("it has more steps or pieces than a program may have"));
    }
    if result != NO_RESULT && usize::from(result) >= REGISTERS {
        return Err(ImageError::Form("its result is no register"));
    }
    let pieces: Result<Vec<u64>, ImageError> = (0..pieces).map(|_| rest.long()).collect();
    let interface = Interface {
        registers,
        descriptors,
        pieces: pieces?,
        result: (result != NO_RESULT).then_some(result),
    };
    let entries: Result<Vec<Entry>, ImageError> = (0..entries).map(|_| rest.entry()).collect();
    let entries = entries?;
    if rest.0.len() != constants {
        return Err(ImageError::Form("it is not as long as its head says"));
    }
    Program::with_constants(&entries, interface, rest.0).map_err(ImageError::Rejected)
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], ImageError> {
        let short = ImageError::Form("it is shorter than its head says");
        let (taken, rest) = self.0.split_first_chunk().ok_or(short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u32, ImageError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn long(&mut self) -> Result<u64, ImageError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn entry(&mut self) -> Result<Entry, ImageError> {
        let mut words = [0; 8];
        for word in &mut words {
            *word = self.long()?;
        }
        Ok(Entry::from_words(words))
    }
}

#[cfg(test)]
#[path = "tests/image.rs"]
mod tests;

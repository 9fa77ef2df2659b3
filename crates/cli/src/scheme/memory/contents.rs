//! Contents: the bytes of a file in memory, in blocks, of which only those are held that were written.
//!
//! What is not held is a hole and reads as zeros, so a file is made longer at no cost, and no write has to fill or move more than the
//! blocks that it touches. A block is as long as what was written to it: never is more held than the file is long.

use std::collections::BTreeMap;

/// Bytes of a block.
const BLOCK: usize = 64 << 10;

/// What holes are read from.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Contents {
    length: u64,
    /// Those that were written, by their number. Each has up to [`BLOCK`] bytes, and ends no later than the file does.
    blocks: BTreeMap<u64, Vec<u8>>,
}

/// The number of the block that a byte is in, and where it is there.
fn place(at: u64) -> (u64, usize) {
    (at / BLOCK as u64, (at % BLOCK as u64) as usize)
}

impl Contents {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Makes it shorter, or longer with a hole.
    pub(super) fn resize(&mut self, length: u64) {
        let (whole, rest) = place(length);
        while let Some(last) = self.blocks.last_entry()
            && *last.key() >= whole + u64::from(rest > 0)
        {
            last.remove();
        }
        if let Some(last) = self.blocks.get_mut(&whole)
            && last.len() > rest
        {
            last.truncate(rest);
            last.shrink_to_fit();
        }
        self.length = length;
    }

    /// Puts bytes there, behind a hole if there is nothing yet. There must be room for them in a `u64`.
    pub(super) fn write(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            let (number, start) = place(at);
            let (part, rest) = data.split_at(data.len().min(BLOCK - start));
            let block = self.blocks.entry(number).or_default();
            let end = start + part.len();
            if block.len() < end {
                block.reserve_exact(end - block.len());
                block.resize(end, 0);
            }
            block[start..end].copy_from_slice(part);
            at += part.len() as u64;
            data = rest;
        }
        self.length = self.length.max(at);
    }

    /// Up to `most` bytes from `from` on, part by part; none behind the end.
    pub(super) fn read(&self, from: u64, most: usize) -> impl Iterator<Item = &[u8]> {
        let end = from.saturating_add(most as u64).min(self.length);
        let mut at = from;
        std::iter::from_fn(move || {
            let left = end.checked_sub(at).filter(|left| *left > 0)?;
            let (number, start) = place(at);
            let length = left.min((BLOCK - start) as u64) as usize;
            let held = self.blocks.get(&number).and_then(|block| block.get(start..)).unwrap_or_default();
            let part = if held.is_empty() { &ZEROS } else { held };
            let part = &part[..part.len().min(length)];
            at += part.len() as u64;
            Some(part)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(contents: &Contents, from: u64, most: usize) -> Vec<u8> {
        contents.read(from, most).collect::<Vec<_>>().concat()
    }

    /// Bytes that are held.
    fn held(contents: &Contents) -> u64 {
        contents.blocks.values().map(|block| block.capacity() as u64).sum()
    }

    #[test]
    fn holes_are_zeros_and_cost_nothing() {
        let mut contents = Contents::default();
        contents.resize(1 << 40);
        assert_eq!((contents.length(), contents.blocks.len()), (1 << 40, 0));
        assert_eq!(all(&contents, (1 << 40) - 3, 100), [0; 3]);
        assert!(all(&contents, 5, 200_000) == [0; 200_000]);
        contents.write(200_000, b"bytes");
        assert_eq!(all(&contents, 199_998, 9), b"\0\0bytes\0\0");
        assert_eq!(held(&contents), (200_000 % BLOCK + 5) as u64);
        assert_eq!((all(&contents, 1 << 40, 9), all(&contents, u64::MAX, 9)), (vec![], vec![]));
        // What is cut off does not come back.
        contents.resize(200_002);
        contents.resize(300_000);
        assert_eq!(all(&contents, 199_999, 5), b"\0by\0\0");
        // However far behind the end.
        contents.write(1 << 62, b"far");
        assert_eq!((contents.length(), contents.blocks.len()), ((1 << 62) + 3, 2));
        assert_eq!(all(&contents, (1 << 62) - 2, 9), b"\0\0far");
        contents.resize(0);
        assert_eq!((contents.length(), contents.blocks.len()), (0, 0));
    }

    #[test]
    fn it_reads_as_one_piece_of_memory_would_and_holds_no_more_than_its_length() {
        let mut contents = Contents::default();
        let mut model: Vec<u8> = Vec::new();
        let mut seed = 7_u64;
        let mut draw = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let edges = [0, 1, BLOCK as u64 - 1, BLOCK as u64, BLOCK as u64 + 1, 3 * BLOCK as u64];
        for round in 0..600 {
            let at = if draw(3) == 0 { edges[draw(6) as usize] } else { draw(250_000) };
            match draw(3) {
                0 => {
                    contents.resize(at);
                    model.resize(at as usize, 0);
                }
                _ => {
                    let data = vec![draw(255) as u8 + 1; 1 + draw(90_000) as usize];
                    let end = at as usize + data.len();
                    contents.write(at, &data);
                    model.resize(model.len().max(end), 0);
                    model[at as usize..end].copy_from_slice(&data);
                }
            }
            assert_eq!(contents.length(), model.len() as u64, "round {round}");
            assert!(held(&contents) <= contents.length(), "round {round}: {}", held(&contents));
            let (from, most) = (draw(300_000) as usize, draw(300_000) as usize);
            let part = model.get(from..model.len().min(from + most)).unwrap_or_default();
            assert!(all(&contents, from as u64, most) == part, "round {round}");
            assert!(all(&contents, 0, usize::MAX) == model, "round {round}");
        }
    }

    #[test]
    fn what_is_cut_off_is_given_back() {
        // Grown by pieces of every size, then cut to any part of it.
        for (piece, kept) in [(1_000, 4), (4_096, 3), (70_000, 2), (1 << 20, 3)] {
            let mut contents = Contents::default();
            for at in 0..5 {
                contents.write(at * piece as u64, &vec![1; piece]);
                assert_eq!(held(&contents), contents.length());
            }
            contents.resize(contents.length() / kept + 1);
            assert_eq!(held(&contents), contents.length());
        }
    }
}

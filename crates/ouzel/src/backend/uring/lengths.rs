//! Words that the kernel writes address lengths to.
//!
//! ACCEPT wants a word that holds the room for the address and then its length. One word per packet, in chunks that
//! are made when first needed and never move. The kernel may write to a word until the packet's last completion, so
//! whoever drops the words with completions missing must leak them instead.

use std::sync::atomic::{AtomicU32, Ordering};

const CHUNK: usize = 256;

/// One word per packet slot.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    chunks: Vec<Option<Box<[AtomicU32; CHUNK]>>>,
}

impl Lengths {
    /// Sets the word of `slot` and says where it is.
    pub(super) fn set(&mut self, slot: u32, length: u32) -> *mut u32 {
        let (chunk, place) = (slot as usize / CHUNK, slot as usize % CHUNK);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| Box::new([const { AtomicU32::new(0) }; CHUNK]));
        words[place].store(length, Ordering::Relaxed);
        words[place].as_ptr()
    }

    /// The word of `slot` as the kernel left it.
    pub(super) fn value(&self, slot: u32) -> u32 {
        let words = self.chunks.get(slot as usize / CHUNK).and_then(Option::as_ref);
        words.map_or(0, |words| words[slot as usize % CHUNK].load(Ordering::Relaxed))
    }

    /// Gives the words up for good: the kernel may still write to them.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.chunks));
    }
}

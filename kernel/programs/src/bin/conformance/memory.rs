//! Memory for payloads: bytes that are freed only when the ring that may have had work on them is gone.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use ouzel_ring::Payload;

/// A stretch of memory: a payload and its length.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The payload.
    pub payload: u64,
    /// Bytes.
    pub length: u64,
}

impl Memory {
    /// No memory at all.
    pub const NONE: Memory = Memory { payload: 0, length: 0 };

    /// The part of `length` bytes at `offset`.
    #[track_caller]
    pub fn part(self, offset: u64, length: u64) -> Memory {
        assert!(offset + length <= self.length);
        Memory { payload: self.payload + offset, length }
    }
}

/// All memory that the entries of one ring name: payload, place, bytes. It is dropped after the ring.
#[derive(Default)]
pub struct Arena {
    blocks: RefCell<Vec<(u64, *mut u8, u64)>>,
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (_, pointer, length) in self.blocks.take() {
            let words = core::ptr::slice_from_raw_parts_mut(pointer.cast::<u64>(), length as usize / 8);
            // SAFETY: leaked by `filled` with this length; the ring is gone, and nobody else had the address.
            drop(unsafe { Box::from_raw(words) });
        }
    }
}

impl Arena {
    /// A new stretch of `length` bytes, all `fill`, aligned to 8.
    pub fn filled(&self, length: usize, fill: u8) -> Memory {
        let words = length.div_ceil(8).max(1);
        let block: Box<[u64]> = vec![u64::from_ne_bytes([fill; 8]); words].into_boxed_slice();
        let pointer = Box::into_raw(block).cast::<u8>();
        let payload = Payload::of(pointer).number();
        self.blocks.borrow_mut().push((payload, pointer, 8 * words as u64));
        Memory { payload, length: length as u64 }
    }

    /// Zeroed memory.
    pub fn room(&self, length: usize) -> Memory {
        self.filled(length, 0)
    }

    /// A new stretch that holds `bytes`.
    pub fn put(&self, bytes: &[u8]) -> Memory {
        let memory = self.filled(bytes.len(), 0);
        self.set(memory, bytes);
        memory
    }

    /// The payload of `text` with a NUL behind it.
    pub fn text(&self, text: &str) -> Memory {
        self.put(format!("{text}\0").as_bytes())
    }

    /// An array of pieces for a vectored transfer.
    pub fn pieces(&self, pieces: &[Memory]) -> Memory {
        let words = pieces.iter().flat_map(|piece| [piece.payload, piece.length]);
        self.put(&words.flat_map(u64::to_ne_bytes).collect::<Vec<u8>>())
    }

    /// Overwrites the beginning of `memory`.
    #[track_caller]
    pub fn set(&self, memory: Memory, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= memory.length);
        let pointer = self.pointer(memory);
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: `pointer` checked that the whole stretch lies in a block.
            unsafe { pointer.add(at).write_volatile(*byte) };
        }
    }

    /// A copy of what `memory` holds now.
    #[track_caller]
    pub fn bytes(&self, memory: Memory) -> Vec<u8> {
        let pointer = self.pointer(memory);
        // SAFETY: `pointer` checked that the whole stretch lies in a block.
        (0..memory.length as usize).map(|at| unsafe { pointer.add(at).read_volatile() }).collect()
    }

    /// Where `memory` is.
    #[track_caller]
    pub fn pointer(&self, memory: Memory) -> *mut u8 {
        let found = self.blocks.borrow().iter().rev().find_map(|(payload, pointer, length)| {
            let offset = memory.payload.checked_sub(*payload)?;
            (offset + memory.length <= *length).then(|| pointer.wrapping_add(offset as usize))
        });
        found.expect("memory of this arena")
    }
}

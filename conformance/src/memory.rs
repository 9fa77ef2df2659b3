//! Memory for payloads: bytes that outlive the ring that may write to them.
//!
//! An arena of leaked-looking allocations which only its owner frees, when the ring is gone. Bytes are read and written
//! through raw pointers, since a backend may do the same while an entry is in flight; who looks at memory in use gets
//! whatever is there.

use std::cell::RefCell;

use ouzel::abi::{Payload, Piece};

/// A stretch of the arena: a payload of region 0 and its length.
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

/// All memory that one ring's entries name.
#[derive(Default)]
pub struct Arena {
    blocks: RefCell<Vec<(*mut u64, usize)>>,
}

impl Arena {
    /// A new stretch of `length` bytes, all `fill`, aligned to 8.
    pub fn filled(&self, length: usize, fill: u8) -> Memory {
        let words = length.div_ceil(8).max(1);
        let block: Box<[u64]> = vec![u64::from_ne_bytes([fill; 8]); words].into_boxed_slice();
        let pointer = Box::into_raw(block).cast::<u64>();
        self.blocks.borrow_mut().push((pointer, words));
        Memory { payload: Payload::of(pointer).number(), length: length as u64 }
    }

    /// A new stretch that holds `bytes`.
    pub fn put(&self, bytes: &[u8]) -> Memory {
        let memory = self.filled(bytes.len(), 0);
        self.set(memory, bytes);
        memory
    }

    /// An array of pieces for a vectored transfer.
    pub fn pieces(&self, pieces: &[Memory]) -> Memory {
        let bytes: Vec<u8> = pieces
            .iter()
            .map(|piece| Piece { payload: piece.payload, length: piece.length })
            .flat_map(|piece| {
                let mut bytes = piece.payload.to_ne_bytes().to_vec();
                bytes.extend_from_slice(&piece.length.to_ne_bytes());
                bytes
            })
            .collect();
        self.put(&bytes)
    }

    /// Overwrites the beginning of `memory`.
    #[track_caller]
    pub fn set(&self, memory: Memory, bytes: &[u8]) {
        assert!(bytes.len() as u64 <= memory.length);
        let pointer = self.pointer(memory);
        for (at, byte) in bytes.iter().enumerate() {
            // SAFETY: `pointer` checked that the whole stretch lies in a live block.
            unsafe { pointer.add(at).write_volatile(*byte) };
        }
    }

    /// A copy of what `memory` holds now.
    #[track_caller]
    pub fn bytes(&self, memory: Memory) -> Vec<u8> {
        let pointer = self.pointer(memory);
        // SAFETY: `pointer` checked that the whole stretch lies in a live block.
        (0..memory.length as usize).map(|at| unsafe { pointer.add(at).read_volatile() }).collect()
    }

    /// Where `memory` is.
    #[track_caller]
    pub fn pointer(&self, memory: Memory) -> *mut u8 {
        let found = self.blocks.borrow().iter().find_map(|(block, words)| {
            let offset = memory.payload.checked_sub(Payload::of(*block).number())?;
            (offset + memory.length <= (*words * 8) as u64)
                .then(|| block.cast::<u8>().wrapping_add(offset as usize))
        });
        found.expect("memory of this arena")
    }

    /// Frees everything.
    ///
    /// # Safety
    ///
    /// Nothing may read or write any of it from now on.
    pub unsafe fn free(&self) {
        for (pointer, words) in self.blocks.borrow_mut().drain(..) {
            let slice = std::ptr::slice_from_raw_parts_mut(pointer, words);
            // SAFETY: made by `filled` from a box of this length, and freed once; unused by the contract.
            drop(unsafe { Box::from_raw(slice) });
        }
    }
}

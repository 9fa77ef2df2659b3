//! Memory for payloads: bytes that outlive the ring that may write to them.
//!
//! An arena of leaked-looking allocations which only its owner frees, when the ring is gone. Bytes are read and written
//! through raw pointers, since a backend may do the same while an entry is in flight; who looks at memory in use gets
//! whatever is there. For a ring whose engine is a service's all of it lies in memory that is shared with that service.

use std::cell::{Cell, RefCell};
use std::os::fd::AsFd;

use ouzel::RawRing;
use ouzel::abi::{Payload, Piece};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A stretch of the arena: a payload and its length.
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

/// Bytes shared with a service for one world.
const SHARED: usize = 16 << 20;

/// What a block's memory is of.
#[derive(Clone, Copy)]
enum Kind {
    /// A box of this many words.
    Words(usize),
    /// A mapping of this many bytes.
    Mapping(usize),
}

struct Block {
    payload: u64,
    pointer: *mut u8,
    length: u64,
    kind: Kind,
}

/// All memory that one ring's entries name.
#[derive(Default)]
pub struct Arena {
    /// Later ones come first.
    blocks: RefCell<Vec<Block>>,
    /// The region that everything is in, for a service, and how much of it is given out.
    shared: Cell<Option<(u16, usize)>>,
}

/// `length` bytes that another process can see, too, and the region they are there.
fn share(ring: &mut RawRing, length: usize) -> (u16, *mut u8) {
    let memory = memfd_create("conformance", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    ftruncate(&memory, length as u64).expect("a length");
    fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).expect("seals");
    let region = ring.share(memory.as_fd(), length).expect("share");
    // SAFETY: a new mapping, of as many bytes as there are.
    let mapped = unsafe {
        mmap(std::ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &memory, 0)
    };
    (region, mapped.expect("a mapping").cast())
}

fn payload_of(region: u16, offset: usize) -> u64 {
    Payload::new(region, offset as u64).expect("an offset").number()
}

impl Arena {
    /// From now on all memory is given out of a region that is shared with the service of `ring`.
    pub fn share_with(&self, ring: &mut RawRing) {
        let (region, pointer) = share(ring, SHARED);
        self.shared.set(Some((region, 0)));
        self.blocks.borrow_mut().push(Block {
            payload: payload_of(region, 0),
            pointer,
            length: SHARED as u64,
            kind: Kind::Mapping(SHARED),
        });
    }

    /// Makes a region of `memory` alone, with what it holds. What it was in before is not looked at any more.
    pub fn share_alone(&self, ring: &mut RawRing, memory: Memory) -> u16 {
        let bytes = self.bytes(memory);
        let length = memory.length as usize;
        let (region, pointer) = share(ring, length);
        self.blocks.borrow_mut().push(Block {
            payload: memory.payload,
            pointer,
            length: memory.length,
            kind: Kind::Mapping(length),
        });
        self.set(memory, &bytes);
        region
    }

    /// A new stretch of `length` bytes, all `fill`, aligned to 8.
    pub fn filled(&self, length: usize, fill: u8) -> Memory {
        if let Some((region, used)) = self.shared.get() {
            let end = used + length.next_multiple_of(8).max(8);
            assert!(end <= SHARED, "a world has shared {SHARED} bytes");
            self.shared.set(Some((region, end)));
            let memory = Memory { payload: payload_of(region, used), length: length as u64 };
            let pointer = self.pointer(memory);
            // SAFETY: `pointer` checked that the whole stretch lies in a live block; it was given out just now.
            unsafe { pointer.write_bytes(fill, length) };
            return memory;
        }
        let words = length.div_ceil(8).max(1);
        let block: Box<[u64]> = vec![u64::from_ne_bytes([fill; 8]); words].into_boxed_slice();
        let pointer = Box::into_raw(block).cast::<u64>();
        let payload = Payload::of(pointer).number();
        let room = (words * 8) as u64;
        let block = Block { payload, pointer: pointer.cast(), length: room, kind: Kind::Words(words) };
        self.blocks.borrow_mut().push(block);
        Memory { payload, length: length as u64 }
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
        let found = self.blocks.borrow().iter().rev().find_map(|block| {
            let offset = memory.payload.checked_sub(block.payload)?;
            (offset + memory.length <= block.length).then(|| block.pointer.wrapping_add(offset as usize))
        });
        found.expect("memory of this arena")
    }

    /// Frees everything.
    ///
    /// # Safety
    ///
    /// Nothing may read or write any of it from now on.
    pub unsafe fn free(&self) {
        for block in self.blocks.borrow_mut().drain(..) {
            match block.kind {
                Kind::Words(words) => {
                    let slice = std::ptr::slice_from_raw_parts_mut(block.pointer.cast::<u64>(), words);
                    // SAFETY: made by `filled` from a box of this length, and freed once; unused by the contract.
                    drop(unsafe { Box::from_raw(slice) });
                }
                // SAFETY: mapped by `share` with this length, and unmapped once; unused by the contract.
                Kind::Mapping(length) => unsafe { munmap(block.pointer.cast(), length) }.expect("munmap"),
            }
        }
    }
}

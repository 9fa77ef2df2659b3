//! A ring's memory as a test owns it: both placements, and the raw access that a hostile peer would have.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ouzel_ring::{EngineEnd, Geometry, Memory, SubmitterEnd};

/// Zeroed memory aligned to a cache line.
pub struct Block {
    base: NonNull<u8>,
    layout: Layout,
}

impl Block {
    pub fn new(length: usize) -> Block {
        let layout = Layout::from_size_align(length, 64).expect("a block's size is small");
        assert!(length > 0);
        // SAFETY: the layout is not empty.
        let base = unsafe { alloc_zeroed(layout) };
        Block { base: NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub fn length(&self) -> usize {
        self.layout.size()
    }

    pub fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.length());
        // SAFETY: in bounds, aligned, initialised, and everybody accesses this memory atomically.
        unsafe { self.base.add(offset).cast().as_ref() }
    }

    pub fn double_word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.length());
        // SAFETY: as above.
        unsafe { self.base.add(offset).cast().as_ref() }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout; no handle outlives its `Region`.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// One ring's memory in either placement.
pub struct Region {
    pub geometry: Geometry,
    blocks: Vec<Block>,
}

/// The words of the control block, by the names they have in `docs/abi.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // Each test file uses some of them.
pub enum Word {
    Shead,
    Ctail,
    EngineState,
    EngineAsleep,
    EngineProcessor,
    Stail,
    Chead,
    SubmitterState,
    SubmitterAsleep,
    SubmitterProcessor,
}

impl Region {
    pub fn new(entries: u64, completions: u64, split: bool) -> Region {
        let geometry = Geometry::new(entries, completions).expect("a test asks for a valid geometry");
        let blocks = if split {
            vec![Block::new(geometry.split_engine_size()), Block::new(geometry.split_submitter_size())]
        } else {
            vec![Block::new(geometry.contiguous_size())]
        };
        Region { geometry, blocks }
    }

    pub fn is_split(&self) -> bool {
        self.blocks.len() == 2
    }

    /// A handle to the memory; it must not outlive the region.
    pub fn memory(&self) -> Memory {
        let result = match self.blocks.as_slice() {
            // SAFETY: exactly as large as asked for, initialised, atomic accesses only; tests keep the region longer.
            [whole] => unsafe { Memory::contiguous(whole.base(), whole.length(), self.geometry) },
            // SAFETY: as above.
            [engine, submitter] => unsafe {
                Memory::split(
                    engine.base(),
                    engine.length(),
                    submitter.base(),
                    submitter.length(),
                    self.geometry,
                )
            },
            _ => unreachable!("a region has one block or two"),
        };
        result.expect("the blocks are as large as the geometry asks for")
    }

    pub fn ends(&self, origin: u32) -> (SubmitterEnd, EngineEnd) {
        let memory = self.memory();
        (SubmitterEnd::new(memory.clone(), origin), EngineEnd::new(memory, origin))
    }

    /// Every aligned word that the other side of either end can reach.
    #[allow(dead_code)]
    pub fn words(&self) -> usize {
        self.blocks.iter().map(|block| block.length() / 4).sum()
    }

    /// The `at`th of [`words`](Region::words), wherever it lies.
    #[allow(dead_code)]
    pub fn nth_word(&self, mut at: usize) -> &AtomicU32 {
        for block in &self.blocks {
            if at < block.length() / 4 {
                return block.word(at * 4);
            }
            at -= block.length() / 4;
        }
        panic!("no such word")
    }

    pub fn word(&self, word: Word) -> &AtomicU32 {
        let (line, offset) = match word {
            Word::Shead => (0, 0),
            Word::Ctail => (0, 4),
            Word::EngineState => (0, 8),
            Word::EngineAsleep => (0, 12),
            Word::EngineProcessor => (0, 16),
            Word::Stail => (1, 0),
            Word::Chead => (1, 4),
            Word::SubmitterState => (1, 8),
            Word::SubmitterAsleep => (1, 12),
            Word::SubmitterProcessor => (1, 16),
        };
        if self.is_split() { self.blocks[line].word(offset) } else { self.blocks[0].word(line * 64 + offset) }
    }

    /// The start and length of each part.
    #[allow(dead_code)]
    pub fn extents(&self) -> Vec<(usize, usize)> {
        self.blocks.iter().map(|block| (block.base().addr().get(), block.length())).collect()
    }

    /// Where the entry with this index lies: its block and the offset in it.
    fn entry_place(&self, index: u32) -> (&Block, usize) {
        let slot = (index % self.geometry.entries()) as usize;
        if self.is_split() {
            (&self.blocks[1], 64 + slot * 64)
        } else {
            (&self.blocks[0], self.geometry.contiguous_entries() + slot * 64)
        }
    }

    /// Where the completion with this index lies: its block and the offset in it.
    fn completion_place(&self, index: u32) -> (&Block, usize) {
        let slot = (index % self.geometry.completions()) as usize;
        let start = if self.is_split() { 128 } else { self.geometry.contiguous_completions() };
        (&self.blocks[0], start + slot * 32)
    }

    /// The address of the slot of the entry with this index.
    #[allow(dead_code)]
    pub fn entry_address(&self, index: u32) -> usize {
        let (block, offset) = self.entry_place(index);
        block.base().addr().get() + offset
    }

    /// The address of the slot of the completion with this index.
    #[allow(dead_code)]
    pub fn completion_address(&self, index: u32) -> usize {
        let (block, offset) = self.completion_place(index);
        block.base().addr().get() + offset
    }

    /// The address of a register.
    #[allow(dead_code)]
    pub fn register_address(&self, register: usize) -> usize {
        let start = if self.is_split() { 64 } else { 128 };
        self.blocks[0].base().addr().get() + start + register * 8
    }

    /// The eight words in the slot of the entry with this index.
    #[allow(dead_code)]
    pub fn entry_words(&self, index: u32) -> [u64; 8] {
        let (block, offset) = self.entry_place(index);
        core::array::from_fn(|at| block.double_word(offset + at * 8).load(Ordering::Relaxed))
    }

    /// The four words in the slot of the completion with this index.
    #[allow(dead_code)]
    pub fn completion_words(&self, index: u32) -> [u64; 4] {
        let (block, offset) = self.completion_place(index);
        core::array::from_fn(|at| block.double_word(offset + at * 8).load(Ordering::Relaxed))
    }
}

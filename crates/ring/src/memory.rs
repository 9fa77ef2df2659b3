//! Shared memory: the words both sides of a ring can reach, and nothing else.
//!
//! This is the only module with unsafe code in the crate. It offers loads that copy and stores that overwrite, never
//! a reference into an entry or completion, so that whatever the other side does to the bytes stays a wrong value
//! and cannot become undefined behaviour. Slots are accessed as relaxed atomic words; what orders them are the index
//! words (see [`crate::order`]).

use core::ptr::NonNull;

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::{Completion, Entry, Geometry, GeometryError, REGISTERS};

/// A 64-byte line of the control block that one side writes.
#[repr(C, align(64))]
pub(crate) struct Line {
    /// Line 0: `shead`. Line 1: `stail`.
    pub(crate) entries: AtomicU32,
    /// Line 0: `ctail`. Line 1: `chead`.
    pub(crate) completions: AtomicU32,
    /// The side's [`State`](crate::State).
    pub(crate) state: AtomicU32,
    /// Whether the side sleeps: see [`crate::asleep`].
    pub(crate) asleep: AtomicU32,
    /// On which processor the side waits: see [`crate::processor`].
    pub(crate) processor: AtomicU32,
    /// Cells too, though nobody reads them: the other side may write them while this side holds a `&Line`.
    reserved: [AtomicU32; 11],
}

/// The control block of the contiguous placement.
#[repr(C, align(64))]
struct ControlBlock {
    engine: Line,
    submitter: Line,
    registers: [AtomicU64; REGISTERS],
    reserved: u64,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<ControlBlock>() == 192);
    assert!(offset_of!(ControlBlock, engine) + offset_of!(Line, entries) == 0);
    assert!(offset_of!(ControlBlock, engine) + offset_of!(Line, completions) == 4);
    assert!(offset_of!(ControlBlock, engine) + offset_of!(Line, state) == 8);
    assert!(offset_of!(ControlBlock, engine) + offset_of!(Line, asleep) == 12);
    assert!(offset_of!(ControlBlock, engine) + offset_of!(Line, processor) == 16);
    assert!(offset_of!(ControlBlock, submitter) + offset_of!(Line, entries) == 64);
    assert!(offset_of!(ControlBlock, submitter) + offset_of!(Line, completions) == 68);
    assert!(offset_of!(ControlBlock, submitter) + offset_of!(Line, state) == 72);
    assert!(offset_of!(ControlBlock, submitter) + offset_of!(Line, asleep) == 76);
    assert!(offset_of!(ControlBlock, submitter) + offset_of!(Line, processor) == 80);
    assert!(size_of::<Line>() == 64);
    assert!(offset_of!(ControlBlock, registers) == 128);
};

/// A handle to one ring's shared memory. It does not own the memory.
#[derive(Clone)]
pub struct Memory {
    geometry: Geometry,
    engine: NonNull<Line>,
    submitter: NonNull<Line>,
    registers: NonNull<AtomicU64>,
    entries: NonNull<[AtomicU64; 8]>,
    completions: NonNull<[AtomicU64; 4]>,
    split: bool,
}

// SAFETY: every access goes through atomics, and whoever made the handle promised that the memory outlives it
// wherever it is used.
unsafe impl Send for Memory {}

impl Memory {
    /// The contiguous placement at `base`, `length` bytes long.
    ///
    /// # Safety
    ///
    /// The memory must be initialised, readable and writable until every handle and end made from this one is gone,
    /// and accessed by nobody except through such handles (another process's accesses count as such a handle's).
    pub unsafe fn contiguous(
        base: NonNull<u8>,
        length: usize,
        geometry: Geometry,
    ) -> Result<Memory, GeometryError> {
        check(base, length, geometry.contiguous_size())?;
        // SAFETY: the offsets lie within contiguous_size(), which `length` reaches.
        let (entries, completions) =
            unsafe { (base.add(geometry.contiguous_entries()), base.add(geometry.contiguous_completions())) };
        let block = base.cast::<ControlBlock>();
        // SAFETY: the block is the first 192 bytes of that memory; field addresses only, no reference is made.
        let (engine, submitter, registers) = unsafe {
            (
                NonNull::new_unchecked(&raw mut (*block.as_ptr()).engine),
                NonNull::new_unchecked(&raw mut (*block.as_ptr()).submitter),
                NonNull::new_unchecked(&raw mut (*block.as_ptr()).registers),
            )
        };
        Ok(Memory {
            geometry,
            engine,
            submitter,
            registers: registers.cast(),
            entries: entries.cast(),
            completions: completions.cast(),
            split: false,
        })
    }

    /// The split placement: engine-written memory and submitter-written memory apart.
    ///
    /// # Safety
    ///
    /// As for [`Memory::contiguous`], for both parts; but the submitter's mapping of the engine part and the
    /// engine's mapping of the submitter part may be read-only where the target's acquire loads do not write (they
    /// do not on x86-64, AArch64 and RISC-V; Rust promises it for relaxed loads only).
    pub unsafe fn split(
        engine: NonNull<u8>,
        engine_length: usize,
        submitter: NonNull<u8>,
        submitter_length: usize,
        geometry: Geometry,
    ) -> Result<Memory, GeometryError> {
        check(engine, engine_length, geometry.split_engine_size())?;
        check(submitter, submitter_length, geometry.split_submitter_size())?;
        // SAFETY: the offsets lie within the sizes just checked.
        let (registers, completions, entries) =
            unsafe { (engine.add(64), engine.add(128), submitter.add(64)) };
        Ok(Memory {
            geometry,
            engine: engine.cast(),
            submitter: submitter.cast(),
            registers: registers.cast(),
            entries: entries.cast(),
            completions: completions.cast(),
            split: true,
        })
    }

    /// The geometry this memory was laid out for.
    #[inline]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Whether the placement is split, so that only the engine writes registers.
    #[inline]
    pub fn is_split(&self) -> bool {
        self.split
    }

    /// The address of `ctail`, which the engine writes and on which a submitter sleeps with futex(2). It is valid as long as
    /// the memory is, and to be used atomically.
    pub fn completions_word(&self) -> NonNull<u32> {
        // SAFETY: a field's address within the engine's line; no reference is made.
        let word = unsafe { NonNull::new_unchecked(&raw mut (*self.engine.as_ptr()).completions) };
        word.cast()
    }

    #[inline]
    pub(crate) fn engine(&self) -> &Line {
        // SAFETY: valid by the constructor's contract; a Line is nothing but atomics.
        unsafe { self.engine.as_ref() }
    }

    #[inline]
    pub(crate) fn submitter(&self) -> &Line {
        // SAFETY: as in `engine`.
        unsafe { self.submitter.as_ref() }
    }

    #[inline]
    pub(crate) fn register(&self, register: usize) -> Option<&AtomicU64> {
        if register >= REGISTERS {
            return None;
        }
        // SAFETY: seven atomic registers lie there, and `register` is one of them.
        Some(unsafe { self.registers.add(register).as_ref() })
    }

    /// Copies the entry in the slot of `index`, reading each word once.
    #[inline]
    pub(crate) fn load_entry(&self, index: u32) -> Entry {
        let slot = (index & (self.geometry.entries() - 1)) as usize;
        // SAFETY: the slot is masked below the entry count.
        let words = unsafe { self.entries.add(slot).as_ref() };
        Entry::from_words(core::array::from_fn(|at| words[at].load(Ordering::Relaxed)))
    }

    #[inline]
    pub(crate) fn store_entry(&self, index: u32, entry: &Entry) {
        let slot = (index & (self.geometry.entries() - 1)) as usize;
        // SAFETY: the slot is masked below the entry count.
        let words = unsafe { self.entries.add(slot).as_ref() };
        for (word, value) in words.iter().zip(entry.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn load_completion(&self, index: u32) -> Completion {
        let slot = (index & (self.geometry.completions() - 1)) as usize;
        // SAFETY: the slot is masked below the completion count.
        let words = unsafe { self.completions.add(slot).as_ref() };
        Completion::from_words(core::array::from_fn(|at| words[at].load(Ordering::Relaxed)))
    }

    #[inline]
    pub(crate) fn store_completion(&self, index: u32, completion: &Completion) {
        let slot = (index & (self.geometry.completions() - 1)) as usize;
        // SAFETY: the slot is masked below the completion count.
        let words = unsafe { self.completions.add(slot).as_ref() };
        for (word, value) in words.iter().zip(completion.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

fn check(base: NonNull<u8>, length: usize, needed: usize) -> Result<(), GeometryError> {
    if !base.cast::<Line>().is_aligned() {
        return Err(GeometryError::Misaligned);
    }
    if length < needed {
        return Err(GeometryError::TooSmall);
    }
    Ok(())
}

//! Slots: the ring's own table of files.

use core::marker::PhantomData;

use rustix::fd::{AsRawFd as _, BorrowedFd};

use super::{count, list_address};
use crate::abi::{FileIndexRange, RegisterOpcode, RsrcFlags, RsrcRegister, RsrcUpdate, RsrcUpdate2};
use crate::error::{RegisterCause, RegisterError};
use crate::ring::Ring;
use crate::sqe::Slot;

/// What becomes of a slot in [`Ring::files_update`].
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotUpdate<'fd>(i32, PhantomData<BorrowedFd<'fd>>);

impl<'fd> SlotUpdate<'fd> {
    /// It becomes empty.
    pub const EMPTY: Self = Self(-1, PhantomData);
    /// It stays as it is (`IORING_REGISTER_FILES_SKIP`).
    pub const KEEP: Self = Self(-2, PhantomData);

    /// It takes this file. The slot holds the file itself: the descriptor may be closed afterwards.
    pub fn file(fd: BorrowedFd<'fd>) -> Self {
        Self(fd.as_raw_fd(), PhantomData)
    }
}

impl Ring {
    /// Gives the ring a table of `count` empty slots (5.19). [`RegisterCause::TooMany`] if that is more than
    /// RLIMIT_NOFILE allows, [`RegisterCause::AlreadyThere`] if it has one.
    pub fn register_files_sparse(&mut self, count: u32) -> Result<(), RegisterError> {
        let argument = RsrcRegister { nr: count, flags: RsrcFlags::SPARSE.bits(), ..RsrcRegister::default() };
        let size = size_of::<RsrcRegister>() as u32;
        // SAFETY: this operation takes one RsrcRegister and its size; sparse, it points to nothing.
        unsafe { self.register(RegisterOpcode::Files2, core::ptr::from_ref(&argument).cast(), size) }?;
        Ok(())
    }

    /// Takes the table away. Files that entries work on are let go when those are done.
    pub fn unregister_files(&mut self) -> Result<(), RegisterError> {
        // SAFETY: this operation takes no argument.
        unsafe { self.register(RegisterOpcode::UnregisterFiles, core::ptr::null(), 0) }?;
        Ok(())
    }

    /// Says which slots the kernel may choose from; the others are the caller's (6.0).
    pub fn register_file_alloc_range(&mut self, first: Slot, count: u32) -> Result<(), RegisterError> {
        let argument = FileIndexRange { off: first.0, len: count, reserved: 0 };
        // SAFETY: this operation takes one FileIndexRange and a count of 0.
        unsafe { self.register(RegisterOpcode::FileAllocRange, core::ptr::from_ref(&argument).cast(), 0) }?;
        Ok(())
    }

    /// Changes the slots from `first` on; returns how many were changed. If that is fewer than were given, the
    /// next one is at fault.
    pub fn files_update(&mut self, first: Slot, updates: &[SlotUpdate<'_>]) -> Result<u32, RegisterError> {
        let operation = RegisterOpcode::FilesUpdate;
        let count = count(operation, updates)?;
        let argument = RsrcUpdate { offset: first.0, reserved: 0, data: list_address(updates) };
        // SAFETY: this operation takes one RsrcUpdate that points to `count` descriptors; a SlotUpdate is one.
        unsafe { self.register(operation, core::ptr::from_ref(&argument).cast(), count) }
    }

    /// Gives the ring a table of these files, of which some slots may be empty (5.1; empty ones 5.5).
    /// [`RegisterCause::AlreadyThere`] if it has one.
    pub fn register_files(&mut self, files: &[SlotUpdate<'_>]) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::Files;
        // SAFETY: this operation takes an array of descriptors; a SlotUpdate is one.
        unsafe { self.register(operation, files.as_ptr().cast(), count(operation, files)?) }.map(|_| ())
    }

    /// The same with a tag for each file (5.13): when a file with a tag that is not 0 is let go, a completion with
    /// the tag as its user data is posted. [`RegisterCause::Invalid`] if there are not as many tags as files, or an
    /// empty slot has one.
    pub fn register_files_tagged(
        &mut self,
        files: &[SlotUpdate<'_>],
        tags: &[u64],
    ) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::Files2;
        if files.len() != tags.len() {
            return Err(RegisterError { operation, cause: RegisterCause::Invalid });
        }
        let argument = RsrcRegister {
            nr: count(operation, files)?,
            data: list_address(files),
            tags: list_address(tags),
            ..RsrcRegister::default()
        };
        // SAFETY: this operation takes one RsrcRegister and its size; both arrays have that many elements.
        unsafe { self.register_one(operation, &argument, size_of::<RsrcRegister>() as u32) }.map(|_| ())
    }

    /// Changes the slots from `first` on and their tags (5.13); returns how many were changed.
    /// [`RegisterCause::Invalid`] if there are not as many tags as files, or a slot that becomes or stays as it is
    /// has one.
    pub fn files_update_tagged(
        &mut self,
        first: Slot,
        updates: &[SlotUpdate<'_>],
        tags: &[u64],
    ) -> Result<u32, RegisterError> {
        let operation = RegisterOpcode::FilesUpdate2;
        if updates.len() != tags.len() {
            return Err(RegisterError { operation, cause: RegisterCause::Invalid });
        }
        let argument = RsrcUpdate2 {
            offset: first.0,
            data: list_address(updates),
            tags: list_address(tags),
            nr: count(operation, updates)?,
            ..RsrcUpdate2::default()
        };
        // SAFETY: this operation takes one RsrcUpdate2 and its size; both arrays have that many elements.
        unsafe { self.register_one(operation, &argument, size_of::<RsrcUpdate2>() as u32) }
    }
}

//! What can be set on a ring: slots, an eventfd, its registered index, and questions to the kernel.
//!
//! Everything here is one `io_uring_register(2)` each. Nothing is cached but the registered index, which the ring
//! needs to enter.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::time::Duration;

use rustix::fd::{AsRawFd as _, BorrowedFd};

use crate::abi::{
    CancelFlags, FileIndexRange, Opcode, ProbeBuffer, RegisterOpcode, RsrcFlags, RsrcRegister, RsrcUpdate,
    SyncCancelReg, Timespec,
};
use crate::error::{RegisterCause, RegisterError};
use crate::ring::Ring;
use crate::sqe::{Slot, Target};
use crate::syscall;

/// `IO_URING_OP_SUPPORTED`.
const OPCODE_SUPPORTED: u16 = 1;

/// Which opcodes the kernel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    last: u8,
    supported: [u64; 4],
}

impl Probe {
    /// Whether the kernel runs entries of `opcode`.
    #[inline]
    pub fn supports(&self, opcode: Opcode) -> bool {
        self.supports_number(opcode as u8)
    }

    /// Whether the kernel runs entries of the opcode with this number.
    #[inline]
    pub fn supports_number(&self, number: u8) -> bool {
        self.supported[usize::from(number >> 6)] >> (number & 63) & 1 == 1
    }

    /// The number of the last opcode the kernel knows, supported or not.
    pub const fn last_number(&self) -> u8 {
        self.last
    }
}

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

/// What [`Ring::sync_cancel`] looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelKey {
    /// Entries with this user data.
    UserData(u64),
    /// Entries that work on this descriptor or slot.
    Target(Target),
    /// Every entry.
    Any,
}

impl Ring {
    /// Calls `io_uring_register`.
    ///
    /// # Safety
    ///
    /// `argument` and `count` must be what `operation` wants.
    unsafe fn register(
        &self,
        operation: RegisterOpcode,
        argument: *const c_void,
        count: u32,
    ) -> Result<u32, RegisterError> {
        // SAFETY: the caller's promise.
        unsafe { syscall::register(self.as_raw_fd(), operation as u32, argument, count) }
            .map_err(|errno| RegisterError::from_errno(errno, operation))
    }

    /// Asks which opcodes the kernel runs (5.6).
    pub fn probe(&self) -> Result<Probe, RegisterError> {
        let mut buffer = ProbeBuffer::default();
        let count = buffer.ops.len() as u32;
        let pointer: *mut ProbeBuffer = &mut buffer;
        // SAFETY: the buffer has room for that many answers.
        unsafe { self.register(RegisterOpcode::Probe, pointer.cast_const().cast(), count)? };
        let mut probe = Probe { last: buffer.last_op, supported: [0; 4] };
        for answer in buffer.ops.iter().take(usize::from(buffer.ops_len)) {
            if answer.flags & OPCODE_SUPPORTED != 0 {
                probe.supported[usize::from(answer.op >> 6)] |= 1 << (answer.op & 63);
            }
        }
        Ok(probe)
    }

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
        let count = u32::try_from(updates.len())
            .map_err(|_| RegisterError { operation, cause: RegisterCause::Overflow })?;
        let argument =
            RsrcUpdate { offset: first.0, reserved: 0, data: updates.as_ptr().expose_provenance() as u64 };
        // SAFETY: this operation takes one RsrcUpdate that points to `count` descriptors; a SlotUpdate is one.
        unsafe { self.register(operation, core::ptr::from_ref(&argument).cast(), count) }
    }

    /// Signals an eventfd for every completion.
    pub fn register_eventfd(&mut self, eventfd: BorrowedFd<'_>) -> Result<(), RegisterError> {
        let argument = eventfd.as_raw_fd();
        // SAFETY: this operation takes one descriptor.
        unsafe { self.register(RegisterOpcode::Eventfd, core::ptr::from_ref(&argument).cast(), 1) }?;
        Ok(())
    }

    /// Signals it no longer.
    pub fn unregister_eventfd(&mut self) -> Result<(), RegisterError> {
        // SAFETY: this operation takes no argument.
        unsafe { self.register(RegisterOpcode::UnregisterEventfd, core::ptr::null(), 0) }?;
        Ok(())
    }

    /// Registers the ring's own descriptor with this thread, which makes entering cheaper (5.18). From then on
    /// the ring enters by the index it got. Does nothing if that is already so.
    ///
    /// A thread has room for 16 rings. The index is given back when the ring is dropped.
    ///
    /// # Safety
    ///
    /// The index is this thread's. Until [`unregister_ring_fd`](Self::unregister_ring_fd), the ring must be used
    /// and dropped on this thread only: on another one, the index may be another ring's, which would be entered
    /// or unregistered instead.
    pub unsafe fn register_ring_fd(&mut self) -> Result<(), RegisterError> {
        if self.entered_through().is_some() {
            return Ok(());
        }
        let mut argument = RsrcUpdate {
            // The kernel chooses the index and writes it here.
            offset: u32::MAX,
            reserved: 0,
            data: self.as_raw_fd() as u64,
        };
        let pointer: *mut RsrcUpdate = &mut argument;
        // SAFETY: this operation takes, and writes to, one RsrcUpdate that holds a ring's descriptor.
        let done = unsafe { self.register(RegisterOpcode::RingFds, pointer.cast_const().cast(), 1) }?;
        if done == 1 {
            self.enter_through(Some(argument.offset));
        }
        Ok(())
    }

    /// Gives the index back; the ring enters by its descriptor again. Does nothing if it already does.
    pub fn unregister_ring_fd(&mut self) -> Result<(), RegisterError> {
        let Some(index) = self.entered_through() else { return Ok(()) };
        let argument = RsrcUpdate { offset: index, reserved: 0, data: 0 };
        self.enter_through(None);
        // SAFETY: this operation takes one RsrcUpdate that holds an index of this thread's; that this is still
        // the thread it was made on was promised when it was registered.
        unsafe {
            self.register(RegisterOpcode::UnregisterRingFds, core::ptr::from_ref(&argument).cast(), 1)
        }?;
        Ok(())
    }

    /// Enables a ring made with `SetupFlags::R_DISABLED`. With `SetupFlags::SINGLE_ISSUER`, this thread becomes
    /// the one that submits.
    pub fn enable(&mut self) -> Result<(), RegisterError> {
        // SAFETY: this operation takes no argument.
        unsafe { self.register(RegisterOpcode::EnableRings, core::ptr::null(), 0) }?;
        Ok(())
    }

    /// Cancels the first entry that matches, or `all` of them, and waits until what was cancelled is done (6.0).
    /// Returns how many matched as far as the kernel tells, which is often 0 for success.
    ///
    /// The completions are posted as ever. If nothing matched it is [`RegisterCause::NoMatch`], or with `all`
    /// simply 0. [`RegisterCause::TimedOut`] if the time was up first; without a limit it may wait for good.
    pub fn sync_cancel(
        &mut self,
        key: CancelKey,
        all: bool,
        timeout: Option<Duration>,
    ) -> Result<u32, RegisterError> {
        let forever = Timespec { tv_sec: -1, tv_nsec: -1 };
        let mut argument =
            SyncCancelReg { timeout: timeout.map_or(forever, Timespec::relative), ..Default::default() };
        let mut flags = if all { CancelFlags::ALL } else { CancelFlags::empty() };
        match key {
            CancelKey::UserData(user_data) => argument.addr = user_data,
            CancelKey::Any => flags |= CancelFlags::ANY,
            CancelKey::Target(Target::Fd(fd)) => {
                argument.fd = fd;
                flags |= CancelFlags::FD;
            }
            CancelKey::Target(Target::Slot(Slot(slot))) => {
                argument.fd = slot as i32;
                flags |= CancelFlags::FD | CancelFlags::FD_FIXED;
            }
        }
        argument.flags = flags.bits();
        // SAFETY: this operation takes one SyncCancelReg.
        unsafe { self.register(RegisterOpcode::SyncCancel, core::ptr::from_ref(&argument).cast(), 1) }
    }

    /// Limits the kernel's workers for this ring: those for files and those for everything that may wait without
    /// end (5.15). 0 leaves a limit as it is. Returns the limits before.
    pub fn limit_workers(&mut self, bounded: u32, unbounded: u32) -> Result<(u32, u32), RegisterError> {
        let mut limits = [bounded, unbounded];
        let pointer: *mut [u32; 2] = &mut limits;
        // SAFETY: this operation takes, and writes to, two words.
        unsafe { self.register(RegisterOpcode::IowqMaxWorkers, pointer.cast_const().cast(), 2) }?;
        Ok((limits[0], limits[1]))
    }
}

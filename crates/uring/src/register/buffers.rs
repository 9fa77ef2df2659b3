//! Registered buffers: memory that the kernel keeps pinned and mapped for reads and writes to name by number.

use rustix::fd::AsRawFd as _;

use super::{count, list_address};
use crate::abi::{CloneBuffers, CloneFlags, Iovec, RegisterOpcode, RsrcFlags, RsrcRegister, RsrcUpdate2};
use crate::error::{RegisterCause, RegisterError};
use crate::ring::{Ring, RingFd};

/// Which buffers [`Ring::clone_buffers`] takes over, and where they go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloneRange {
    /// The first one of the other ring.
    pub source: u32,
    /// Its number here.
    pub destination: u32,
    /// How many; 0 is all.
    pub count: u32,
    /// Whether buffers that are already here may be replaced.
    pub replace: bool,
}

impl Ring {
    /// Registers these buffers as numbers 0, 1 and so on. They are pinned, which counts against RLIMIT_MEMLOCK
    /// ([`RegisterCause::LockedMemory`]). An empty one, with an address of 0, keeps a number free (5.13).
    ///
    /// Pinning is safe; what is done to the memory is said by entries. It stays pinned, whatever is mapped in its
    /// place, until [`unregister_buffers`](Self::unregister_buffers) or the ring's end.
    pub fn register_buffers(&mut self, buffers: &[Iovec]) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::Buffers;
        // SAFETY: this operation takes an array of iovecs and checks what they say.
        unsafe { self.register(operation, buffers.as_ptr().cast(), count(operation, buffers)?) }.map(|_| ())
    }

    /// The same with a tag for each (5.13): when a buffer with a tag that is not 0 is let go, a completion with the
    /// tag as its user data is posted. [`RegisterCause::Invalid`] if there are not as many tags as buffers, or an
    /// empty one has one.
    pub fn register_buffers_tagged(&mut self, buffers: &[Iovec], tags: &[u64]) -> Result<(), RegisterError> {
        let operation = RegisterOpcode::Buffers2;
        if buffers.len() != tags.len() {
            return Err(RegisterError { operation, cause: RegisterCause::Invalid });
        }
        let argument = RsrcRegister {
            nr: count(operation, buffers)?,
            data: list_address(buffers),
            tags: list_address(tags),
            ..RsrcRegister::default()
        };
        // SAFETY: this operation takes one RsrcRegister and its size; both arrays have that many elements.
        unsafe { self.register_one(operation, &argument, size_of::<RsrcRegister>() as u32) }.map(|_| ())
    }

    /// Reserves `buffer_count` numbers without buffers (5.19).
    pub fn register_buffers_sparse(&mut self, buffer_count: u32) -> Result<(), RegisterError> {
        let argument =
            RsrcRegister { nr: buffer_count, flags: RsrcFlags::SPARSE.bits(), ..RsrcRegister::default() };
        let size = size_of::<RsrcRegister>() as u32;
        // SAFETY: this operation takes one RsrcRegister and its size; sparse, it points to nothing.
        unsafe { self.register_one(RegisterOpcode::Buffers2, &argument, size) }.map(|_| ())
    }

    /// Replaces the buffers from number `first` on, with their tags (5.13); returns how many were replaced.
    pub fn buffers_update(
        &mut self,
        first: u32,
        buffers: &[Iovec],
        tags: &[u64],
    ) -> Result<u32, RegisterError> {
        let operation = RegisterOpcode::BuffersUpdate;
        if buffers.len() != tags.len() {
            return Err(RegisterError { operation, cause: RegisterCause::Invalid });
        }
        let argument = RsrcUpdate2 {
            offset: first,
            data: list_address(buffers),
            tags: list_address(tags),
            nr: count(operation, buffers)?,
            ..RsrcUpdate2::default()
        };
        // SAFETY: this operation takes one RsrcUpdate2 and its size; both arrays have that many elements.
        unsafe { self.register_one(operation, &argument, size_of::<RsrcUpdate2>() as u32) }
    }

    /// Lets the buffers go, each as soon as no entry uses it. [`RegisterCause::NotThere`] if there are none.
    pub fn unregister_buffers(&mut self) -> Result<(), RegisterError> {
        self.register_nothing(RegisterOpcode::UnregisterBuffers)
    }

    /// Takes over registered buffers of another ring of this process without pinning them again (6.12; a part of
    /// them 6.13).
    ///
    /// [`RegisterCause::NotThere`] if the other ring has none, [`RegisterCause::AlreadyThere`] if this one has some
    /// and they may not be replaced, [`RegisterCause::Overflow`] for a range outside.
    pub fn clone_buffers(&mut self, source: &Ring, range: CloneRange) -> Result<(), RegisterError> {
        let (src_fd, mut flags) = match &source.fd {
            RingFd::Owned(fd) => (fd.as_raw_fd() as u32, CloneFlags::empty()),
            RingFd::Registered(index) => (*index, CloneFlags::SRC_REGISTERED),
        };
        if range.replace {
            flags |= CloneFlags::DST_REPLACE;
        }
        let argument = CloneBuffers {
            src_fd,
            flags: flags.bits(),
            src_off: range.source,
            dst_off: range.destination,
            nr: range.count,
            ..CloneBuffers::default()
        };
        // SAFETY: this operation takes one CloneBuffers.
        unsafe { self.register_one(RegisterOpcode::CloneBuffers, &argument, 1) }.map(|_| ())
    }
}

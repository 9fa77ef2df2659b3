//! Provided buffers: a ring of them that the kernel takes from as data arrives.
//!
//! [`BufRing`] is our end: it writes buffers and the tail. The kernel's head is not in shared memory; it is asked for.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use super::mapping_error;
use crate::abi::{
    BUF_RING_ENTRIES_MAX, Buf, BufReg, BufRingFlags, BufRingHead, BufStatus, OFFSET_PBUF_RING,
    OFFSET_PBUF_SHIFT, RegisterOpcode,
};
use crate::error::{RegisterCause, RegisterError};
use crate::mapping::Mapping;
use crate::ring::Ring;

/// A ring of buffers for the kernel to choose from.
///
/// Dropping it unmaps the ring of buffers and nothing else: the group stays registered, empties as it is used, and is
/// unregistered with [`Ring::unregister_buf_ring`]. A forked child does not inherit it and must not touch it.
#[derive(Debug)]
pub struct BufRing {
    buffers: NonNull<Buf>,
    tail: NonNull<AtomicU16>,
    mask: u16,
    group: u16,
    /// How far we have written; the shared tail follows at `publish`.
    local_tail: u16,
    _mapping: Mapping,
}

// SAFETY: the pointers lead into the mapping, which belongs to the process, and writing needs `&mut`.
unsafe impl Send for BufRing {}

impl BufRing {
    /// The ring of buffers in zeroed memory of the right size.
    fn new(mapping: Mapping, entries: u32, group: u16) -> Result<Self, RegisterError> {
        let operation = RegisterOpcode::PbufRing;
        let buffers = mapping.array::<Buf>(0, entries).map_err(|error| mapping_error(operation, error))?;
        let tail = mapping
            .array::<AtomicU16>(core::mem::offset_of!(BufRingHead, tail) as u32, 1)
            .map_err(|error| mapping_error(operation, error))?;
        Ok(Self { buffers, tail, mask: (entries - 1) as u16, group, local_tail: 0, _mapping: mapping })
    }

    /// The number of the group, which entries name with [`Sqe::buffer_group`](crate::Sqe::buffer_group).
    #[inline]
    pub const fn group(&self) -> u16 {
        self.group
    }

    /// How many buffers it holds.
    #[inline]
    pub const fn capacity(&self) -> u32 {
        self.mask as u32 + 1
    }

    /// Adds a buffer of `length` bytes, which the kernel sees at the next [`publish`](Self::publish). More buffers
    /// than it holds overwrite each other: count those that come back.
    ///
    /// # Safety
    ///
    /// The memory must be valid for writes, and nobody else may use it, from `publish` on until the kernel gives the
    /// buffer back: in a completion with this number and without
    /// [`CqeFlags::BUF_MORE`](crate::abi::CqeFlags::BUF_MORE), or once the group is unregistered and the last entry
    /// that named it has completed.
    #[inline]
    pub unsafe fn provide(&mut self, buffer: *mut u8, length: u32, number: u16) {
        let index = usize::from(self.local_tail & self.mask);
        // SAFETY: the mask keeps the index inside the array.
        let place = unsafe { self.buffers.add(index) }.as_ptr();
        // SAFETY: the kernel does not look at this place before the tail moves past it. The last field is left
        // alone: in the first place it is the tail.
        unsafe {
            (&raw mut (*place).addr).write(buffer.expose_provenance() as u64);
            (&raw mut (*place).len).write(length);
            (&raw mut (*place).bid).write(number);
        }
        self.local_tail = self.local_tail.wrapping_add(1);
    }

    /// Shows the kernel the buffers that were added.
    #[inline]
    pub fn publish(&mut self) {
        // SAFETY: the pointer was checked when it was made, and the mapping lives as long as `self`. Release pairs
        // with the kernel's acquire of the tail.
        unsafe { self.tail.as_ref() }.store(self.local_tail, Ordering::Release);
    }

    /// How many buffers have been added since the beginning, a count that wraps around; less the kernel's head, see
    /// [`Ring::buf_ring_head`], that is how many it still has.
    #[inline]
    pub const fn added(&self) -> u16 {
        self.local_tail
    }
}

impl Ring {
    /// Makes a ring of `entries` buffers, a power of two up to 32768, and registers it as `group` (5.19).
    ///
    /// With [`BufRingFlags::MMAP`] the kernel allocates it (6.4), else this does; with [`BufRingFlags::INC`] buffers
    /// are used up piece by piece (6.12). [`RegisterCause::Invalid`] for other numbers of entries,
    /// [`RegisterCause::AlreadyThere`] (EEXIST is told as [`RegisterCause::WrongThread`]) if the group is taken.
    pub fn register_buf_ring(
        &mut self,
        group: u16,
        entries: u32,
        flags: BufRingFlags,
    ) -> Result<BufRing, RegisterError> {
        let operation = RegisterOpcode::PbufRing;
        let invalid = RegisterError { operation, cause: RegisterCause::Invalid };
        if !entries.is_power_of_two() || entries > BUF_RING_ENTRIES_MAX {
            return Err(invalid);
        }
        let page = rustix::param::page_size();
        let length = (entries as usize * size_of::<Buf>()).next_multiple_of(page);
        let mut argument =
            BufReg { ring_entries: entries, bgid: group, flags: flags.bits(), ..BufReg::default() };
        if !flags.contains(BufRingFlags::MMAP) {
            let mapping = Mapping::anonymous(length).map_err(|error| mapping_error(operation, error))?;
            argument.ring_addr = mapping.start().as_ptr().expose_provenance() as u64;
            // SAFETY: this operation takes one BufReg; the memory it leads to is large enough, zeroed and pinned.
            unsafe { self.register_one(operation, &argument, 1) }?;
            return BufRing::new(mapping, entries, group);
        }
        if self.descriptor().is_none() {
            // Mapping needs a descriptor.
            return Err(RegisterError { operation, cause: RegisterCause::NotSupported });
        }
        // SAFETY: this operation takes one BufReg, which leads nowhere here.
        unsafe { self.register_one(operation, &argument, 1) }?;
        let offset = OFFSET_PBUF_RING | u64::from(group) << OFFSET_PBUF_SHIFT;
        let mapped = match self.descriptor() {
            Some(fd) => Mapping::new(fd, offset, length).map_err(|error| mapping_error(operation, error)),
            None => Err(invalid),
        };
        let made = mapped.and_then(|mapping| BufRing::new(mapping, entries, group));
        if made.is_err() {
            let _ = self.unregister_buf_ring(group);
        }
        made
    }

    /// Registers a ring of buffers in memory of the caller's.
    ///
    /// # Safety
    ///
    /// The memory at `ring_addr` must be large enough for the entries. The kernel pins it; buffers that are written
    /// there obey the promise of [`BufRing::provide`].
    pub unsafe fn register_buf_ring_at(&mut self, argument: &BufReg) -> Result<(), RegisterError> {
        // SAFETY: this operation takes one BufReg; what it leads to is the caller's promise.
        unsafe { self.register_one(RegisterOpcode::PbufRing, argument, 1) }.map(|_| ())
    }

    /// Unregisters a ring of buffers. [`RegisterCause::NoMatch`] if there is none of this number,
    /// [`RegisterCause::Invalid`] if the group is not a ring.
    pub fn unregister_buf_ring(&mut self, group: u16) -> Result<(), RegisterError> {
        let argument = BufReg { bgid: group, ..BufReg::default() };
        // SAFETY: this operation takes one BufReg.
        unsafe { self.register_one(RegisterOpcode::UnregisterPbufRing, &argument, 1) }.map(|_| ())
    }

    /// How many buffers of the group the kernel has taken since the beginning (6.8), a count that wraps around.
    pub fn buf_ring_head(&self, group: u16) -> Result<u16, RegisterError> {
        let mut argument = BufStatus { buf_group: u32::from(group), ..BufStatus::default() };
        // SAFETY: this operation takes, and writes to, one BufStatus.
        unsafe { self.register_answered(RegisterOpcode::PbufStatus, &mut argument, 1) }?;
        Ok(argument.head as u16)
    }
}

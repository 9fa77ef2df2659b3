//! Constructors of entries on registered and provided buffers.
//!
//! They fill bytes in and check nothing: the kernel does, and answers in the completion. A registered buffer is named
//! by its number *and* by addresses inside it; a provided one is chosen by the kernel, which tells its number in the
//! completion, see [`Cqe::buffer`](crate::abi::Cqe::buffer). How long memory must live is said per argument in the
//! words of [`crate::sqe`].

use core::ffi::c_void;

use super::{Sqe, Target, address};
use crate::abi::{AttrPi, AttributeFlags, Opcode, SqeFlags};

impl Sqe {
    /// Reads into registered buffer `number`: up to `length` bytes to `buffer`, which lies inside it and must be
    /// nobody else's until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_READ_FIXED. *Since:* 5.1. *Fails:* as [`read`](Self::read); EFAULT if
    /// there is no such buffer or it does not contain the range.
    #[inline]
    pub fn read_fixed(
        target: impl Into<Target>,
        buffer: *mut u8,
        length: u32,
        offset: u64,
        number: u16,
    ) -> Self {
        Self {
            opcode: Opcode::ReadFixed as u8,
            buf_index: number,
            ..Self::read(target, buffer, length, offset)
        }
    }

    /// Writes from registered buffer `number`: up to `length` bytes from `buffer`, which lies inside it and must be
    /// unchanged until it completes.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_WRITE_FIXED. *Since:* 5.1. *Fails:* as [`write`](Self::write); EFAULT
    /// if there is no such buffer or it does not contain the range.
    #[inline]
    pub fn write_fixed(
        target: impl Into<Target>,
        buffer: *const u8,
        length: u32,
        offset: u64,
        number: u16,
    ) -> Self {
        Self {
            opcode: Opcode::WriteFixed as u8,
            buf_index: number,
            ..Self::write(target, buffer, length, offset)
        }
    }

    /// As [`readv`](Self::readv), all vectors lying inside registered buffer `number`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_READV_FIXED. *Since:* 6.15. *Fails:* as [`readv`](Self::readv); EFAULT
    /// if there is no such buffer or it does not contain a vector.
    #[inline]
    pub fn readv_fixed(
        target: impl Into<Target>,
        vectors: *const c_void,
        count: u32,
        offset: u64,
        flags: u32,
        number: u16,
    ) -> Self {
        Self {
            opcode: Opcode::ReadvFixed as u8,
            buf_index: number,
            ..Self::readv(target, vectors, count, offset, flags)
        }
    }

    /// As [`writev`](Self::writev), all vectors lying inside registered buffer `number`.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_WRITEV_FIXED. *Since:* 6.15. *Fails:* as [`writev`](Self::writev);
    /// EFAULT if there is no such buffer or it does not contain a vector.
    #[inline]
    pub fn writev_fixed(
        target: impl Into<Target>,
        vectors: *const c_void,
        count: u32,
        offset: u64,
        flags: u32,
        number: u16,
    ) -> Self {
        Self {
            opcode: Opcode::WritevFixed as u8,
            buf_index: number,
            ..Self::writev(target, vectors, count, offset, flags)
        }
    }

    /// Reads again and again into provided buffers of `group`, whenever the file, a pipe or the like, has something;
    /// up to `length` bytes each (0: what fits). Every completion but the last has
    /// [`CqeFlags::MORE`](crate::abi::CqeFlags::MORE) and all tell their buffer.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_READ_MULTISHOT. *Since:* 6.7. *Fails:* EBADFD for what cannot be
    /// polled, such as regular files; ENOBUFS when no buffer is left; as [`read`](Self::read), which ends it.
    #[inline]
    pub fn read_multishot(target: impl Into<Target>, length: u32, offset: u64, group: u16) -> Self {
        Self { off: offset, len: length, ..Self::on(Opcode::ReadMultishot, target) }.buffer_group(group)
    }

    /// Lets the kernel choose the buffer from `group` instead of the one given; for reads and receives, and for sends
    /// (6.10). Sets [`SqeFlags::BUFFER_SELECT`].
    #[inline]
    #[must_use]
    pub const fn buffer_group(mut self, group: u16) -> Self {
        self.buf_index = group;
        self.with(SqeFlags::BUFFER_SELECT)
    }

    /// Names registered buffer `number`; for zero-copy sends, commands and nop with the flags that say so.
    #[inline]
    #[must_use]
    pub const fn buffer_number(mut self, number: u16) -> Self {
        self.buf_index = number;
        self
    }

    /// Gives the kernel `count` buffers of `length` bytes each, one after the other from `start` on, with numbers from
    /// `first` on, to choose from as `group`. They must be writable, and nobody else's, until each comes back in a
    /// completion or is removed. New code registers a ring of them instead, see [`BufRing`](crate::BufRing).
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_PROVIDE_BUFFERS. *Since:* 5.7. *Fails:* EINVAL for a count of 0 or above
    /// 65535, or if the group is a ring; E2BIG if the numbers run over; EOVERFLOW, EFAULT, ENOMEM.
    #[inline]
    pub fn provide_buffers(start: *mut u8, length: u32, count: u16, group: u16, first: u16) -> Self {
        Self {
            fd: i32::from(count),
            addr: address(start),
            len: length,
            off: u64::from(first),
            buf_index: group,
            ..Self::new(Opcode::ProvideBuffers)
        }
    }

    /// Takes up to `count` such buffers of `group` back; completes with how many there were.
    ///
    /// *Manual:* io_uring_enter(2), IORING_OP_REMOVE_BUFFERS. *Since:* 5.7. *Fails:* ENOENT if there is no such group;
    /// EINVAL for a count of 0, or if the group is a ring.
    #[inline]
    pub const fn remove_buffers(count: u16, group: u16) -> Self {
        let mut entry = Self::new(Opcode::RemoveBuffers);
        entry.fd = count as i32;
        entry.buf_index = group;
        entry
    }

    /// With protection information, which is needed until it is submitted and its buffer until it completes; for reads
    /// and writes with O_DIRECT on devices that check it (6.14). EINVAL on others.
    #[inline]
    #[must_use]
    pub fn protection(mut self, information: *const AttrPi) -> Self {
        self.addr3 = address(information);
        self.reserved = AttributeFlags::PI.bits();
        self
    }
}

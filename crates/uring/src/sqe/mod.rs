//! Entries: the 64 bytes that ask the kernel for one operation, and constructors for them.
//!
//! Making an entry is safe and does nothing; it only fills bytes in. Handing it to a ring is where promises are
//! made: see [`Ring::push`](crate::Ring::push). Each constructor says what its pointers must point to, and until
//! when. Two spans occur:
//!
//! - *until it completes*: from the push to the entry's last completion. All data buffers and all places for
//!   results are of this kind. A cancel does not shorten it.
//! - *until it is submitted*: from the push to the return of the call that submitted the entry. Paths, vectors
//!   of buffers, addresses and times are of this kind if the ring has
//!   [`Features::SUBMIT_STABLE`](crate::abi::Features::SUBMIT_STABLE) and no
//!   [`SetupFlags::SQPOLL`](crate::abi::SetupFlags::SQPOLL); otherwise they too must live until the entry
//!   completes.
//!
//! A path is a pointer to bytes that end in a NUL.
//!
//! Each constructor names its part of the manual, the first kernel that runs it and how it can fail: errnos that
//! arrive negated in the completion's result. Beyond those, every entry can fail with EINVAL if the kernel does not
//! know its opcode, a flag or a field that is set; EBADF if its descriptor or slot is not open; EACCES if the ring's
//! restrictions forbid it; ENOMEM or EAGAIN for want of memory; EINTR if a signal ends it; and ECANCELED if it was
//! cancelled or an entry that it was linked to failed. An entry that none of them makes is made of its fields, with
//! [`Sqe::new`] or [`Sqe::raw`].

mod attributes;
mod buffers;
mod commands;
mod events;
mod files;
mod sockets;
mod waiting;
mod zero_copy;

use core::mem::{align_of, offset_of, size_of};

use crate::abi::{FILE_INDEX_ALLOC, Opcode, SqeFlags};

/// An entry (`struct io_uring_sqe`), 64 bytes.
///
/// The fields carry the names of the kernel's header; where that has a union, the name says which. Prefer the
/// constructors: a field means something else for every opcode.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sqe {
    /// The number of an [`Opcode`].
    pub opcode: u8,
    /// [`SqeFlags`].
    pub flags: u8,
    /// The priority, or flags of some opcodes.
    pub ioprio: u16,
    /// The descriptor, or the slot with `SqeFlags::FIXED_FILE`.
    pub fd: i32,
    /// The offset in the file (`off`, `addr2`; a command in the lower half, `cmd_op`).
    pub off: u64,
    /// The buffer or the path (`addr`, `splice_off_in`; `level` and `optname`, 32 bits each).
    pub addr: u64,
    /// The buffer's size or the number of vectors.
    pub len: u32,
    /// The opcode's own flags (`rw_flags`, `open_flags` and so on).
    pub op_flags: u32,
    /// Comes back in the completion.
    pub user_data: u64,
    /// The registered buffer or the group of buffers (`buf_index`, `buf_group`).
    pub buf_index: u16,
    /// The registered credentials to run with, or 0.
    pub personality: u16,
    /// One more than the slot that takes the new file, or 0 (`file_index`, `splice_fd_in`, `addr_len`, `optlen`,
    /// `zcrx_ifq_idx`).
    pub file_index: u32,
    /// A third address (`addr3`, `attr_ptr`, `optval`).
    pub addr3: u64,
    /// Zero, but for reads and writes with attributes (`attr_type_mask`) and for the data of commands.
    pub reserved: u64,
}

const _: () = {
    assert!(size_of::<Sqe>() == 64 && align_of::<Sqe>() == 8);
    assert!(offset_of!(Sqe, fd) == 4 && offset_of!(Sqe, off) == 8 && offset_of!(Sqe, addr) == 16);
    assert!(offset_of!(Sqe, len) == 24 && offset_of!(Sqe, op_flags) == 28);
    assert!(offset_of!(Sqe, user_data) == 32 && offset_of!(Sqe, buf_index) == 40);
    assert!(offset_of!(Sqe, personality) == 42 && offset_of!(Sqe, file_index) == 44);
    assert!(offset_of!(Sqe, addr3) == 48 && offset_of!(Sqe, reserved) == 56);
};

/// An entry of 128 bytes (`struct io_uring_sqe` in rings with
/// [`SetupFlags::SQE128`](crate::abi::SetupFlags::SQE128) or `SQE_MIXED`).
///
/// Only commands use the second half: their data is the 80 bytes from [`Sqe::addr3`] on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sqe128 {
    /// The first half, as every entry has it.
    pub sqe: Sqe,
    /// The second half.
    pub extra: [u8; 64],
}

impl Default for Sqe128 {
    fn default() -> Self {
        Self { sqe: Sqe::default(), extra: [0; 64] }
    }
}

impl From<Sqe> for Sqe128 {
    #[inline]
    fn from(sqe: Sqe) -> Self {
        Self { sqe, extra: [0; 64] }
    }
}

const _: () =
    assert!(size_of::<Sqe128>() == 128 && align_of::<Sqe128>() == 8 && offset_of!(Sqe128, extra) == 64);

/// A place in the ring's table of registered files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What an entry works on: a descriptor of the process or a slot of the ring.
///
/// A number that is not open, or an empty slot, makes the entry complete with EBADF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A descriptor.
    Fd(i32),
    /// A slot.
    Slot(Slot),
}

impl From<i32> for Target {
    #[inline]
    fn from(fd: i32) -> Self {
        Self::Fd(fd)
    }
}

impl From<Slot> for Target {
    #[inline]
    fn from(slot: Slot) -> Self {
        Self::Slot(slot)
    }
}

impl From<rustix::fd::BorrowedFd<'_>> for Target {
    #[inline]
    fn from(fd: rustix::fd::BorrowedFd<'_>) -> Self {
        use rustix::fd::AsRawFd as _;
        Self::Fd(fd.as_raw_fd())
    }
}

/// Where a new file goes that is to have no descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NewSlot {
    /// Into this slot. A file that is already there is replaced, without an error.
    At(Slot),
    /// Into one that the kernel chooses and reports in the result; ENFILE if none is free.
    Allocate,
}

impl From<Slot> for NewSlot {
    #[inline]
    fn from(slot: Slot) -> Self {
        Self::At(slot)
    }
}

impl NewSlot {
    /// The value of `file_index`. Slots no table can have stay invalid instead of turning into 0 or the
    /// allocation mark, which mean something else.
    #[inline]
    const fn file_index(self) -> u32 {
        match self {
            Self::At(Slot(slot)) if slot >= FILE_INDEX_ALLOC - 1 => FILE_INDEX_ALLOC - 1,
            Self::At(Slot(slot)) => slot + 1,
            Self::Allocate => FILE_INDEX_ALLOC,
        }
    }
}

/// The address of `pointer` as the kernel takes it.
#[inline]
fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

impl Sqe {
    /// An entry of `opcode` with everything else zero.
    #[inline]
    pub const fn new(opcode: Opcode) -> Self {
        Self {
            opcode: opcode as u8,
            flags: 0,
            ioprio: 0,
            fd: 0,
            off: 0,
            addr: 0,
            len: 0,
            op_flags: 0,
            user_data: 0,
            buf_index: 0,
            personality: 0,
            file_index: 0,
            addr3: 0,
            reserved: 0,
        }
    }

    /// An entry of the opcode with this number, known here or not, with everything else zero.
    #[inline]
    pub const fn raw(opcode: u8) -> Self {
        let mut entry = Self::new(Opcode::Nop);
        entry.opcode = opcode;
        entry
    }

    /// An entry of `opcode` on `target`.
    #[inline]
    fn on(opcode: Opcode, target: impl Into<Target>) -> Self {
        let mut entry = Self::new(opcode);
        match target.into() {
            Target::Fd(fd) => entry.fd = fd,
            Target::Slot(Slot(slot)) => {
                entry.fd = slot as i32;
                entry.flags = SqeFlags::FIXED_FILE.bits();
            }
        }
        entry
    }

    /// With this user data.
    #[inline]
    #[must_use]
    pub const fn user_data(mut self, user_data: u64) -> Self {
        self.user_data = user_data;
        self
    }

    /// With these flags besides those it has.
    #[inline]
    #[must_use]
    pub const fn with(mut self, flags: SqeFlags) -> Self {
        self.flags |= flags.bits();
        self
    }

    /// Followed by the next entry if this one succeeds in full (`SqeFlags::IO_LINK`).
    #[inline]
    #[must_use]
    pub const fn link(self) -> Self {
        self.with(SqeFlags::IO_LINK)
    }

    /// Followed by the next entry whatever comes of this one (`SqeFlags::IO_HARDLINK`).
    #[inline]
    #[must_use]
    pub const fn hardlink(self) -> Self {
        self.with(SqeFlags::IO_HARDLINK)
    }

    /// Not before all entries before it are done (`SqeFlags::IO_DRAIN`).
    #[inline]
    #[must_use]
    pub const fn drain(self) -> Self {
        self.with(SqeFlags::IO_DRAIN)
    }

    /// By a worker of the kernel (`SqeFlags::ASYNC`).
    #[inline]
    #[must_use]
    pub const fn asynchronous(self) -> Self {
        self.with(SqeFlags::ASYNC)
    }

    /// Without a completion if it succeeds (`SqeFlags::CQE_SKIP_SUCCESS`).
    ///
    /// Not for entries that own memory: nothing tells then when the kernel has let go of it.
    #[inline]
    #[must_use]
    pub const fn skip_success(self) -> Self {
        self.with(SqeFlags::CQE_SKIP_SUCCESS)
    }

    /// Puts the file it makes into a slot instead of a descriptor; for the opcodes that make one (openat,
    /// openat2, accept, socket, pipe).
    #[inline]
    #[must_use]
    pub fn into_slot(mut self, slot: impl Into<NewSlot>) -> Self {
        self.file_index = slot.into().file_index();
        self
    }

    /// Runs with registered credentials.
    #[inline]
    #[must_use]
    pub const fn personality(mut self, personality: u16) -> Self {
        self.personality = personality;
        self
    }

    /// The flags it has.
    #[inline]
    pub const fn sqe_flags(&self) -> SqeFlags {
        SqeFlags::from_bits_retain(self.flags)
    }
}

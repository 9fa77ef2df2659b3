//! Rings of provided buffers: the array of buffers that the application fills and the kernel takes from.

use core::mem::{align_of, offset_of, size_of};

/// A buffer for the kernel to choose (`struct io_uring_buf`).
///
/// The last two bytes of the first one of a ring are the ring's tail, see [`BufRingHead`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buf {
    /// Its address.
    pub addr: u64,
    /// Its size in bytes.
    pub len: u32,
    /// Its number, which comes back in the completion.
    pub bid: u16,
    /// The ring's tail in the first buffer of a ring, zero in the others.
    pub reserved: u16,
}

/// The first buffer of a ring, seen as the ring's head (`struct io_uring_buf_ring`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufRingHead {
    /// The first buffer's address.
    pub reserved: u64,
    /// The first buffer's size.
    pub reserved2: u32,
    /// The first buffer's number.
    pub reserved3: u16,
    /// Written by us: buffers that we have given, a count that wraps around.
    pub tail: u16,
}

/// Registers and unregisters a ring of buffers (`struct io_uring_buf_reg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufReg {
    /// A pointer to the ring, aligned to a page; zero with `BufRingFlags::MMAP`.
    pub ring_addr: u64,
    /// How many buffers it holds, a power of two up to 32768.
    pub ring_entries: u32,
    /// The number of the group.
    pub bgid: u16,
    /// [`BufRingFlags`](super::BufRingFlags).
    pub flags: u16,
    /// With `BufRingFlags::INC`: a buffer with less left is done with (after 6.18).
    pub min_left: u32,
    /// Zero.
    pub reserved: [u32; 5],
}

/// Asks how far the kernel is in a ring of buffers (`struct io_uring_buf_status`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufStatus {
    /// The group.
    pub buf_group: u32,
    /// Answer: buffers it has taken, a count that wraps around at 16 bits.
    pub head: u32,
    /// Zero.
    pub reserved: [u32; 8],
}

/// Where to map a ring of buffers that the kernel allocated (`IORING_OFF_PBUF_RING`), the group's number added at
/// [`OFFSET_PBUF_SHIFT`].
pub const OFFSET_PBUF_RING: u64 = 0x8000_0000;
/// How far up the group's number goes (`IORING_OFF_PBUF_SHIFT`).
pub const OFFSET_PBUF_SHIFT: u32 = 16;
/// The part of an offset that says what is mapped (`IORING_OFF_MMAP_MASK`).
pub const OFFSET_MASK: u64 = 0xf800_0000;

/// The most buffers a ring of them holds.
pub const BUF_RING_ENTRIES_MAX: u32 = 32_768;

const _: () = {
    assert!(size_of::<Buf>() == 16 && align_of::<Buf>() == 8 && offset_of!(Buf, bid) == 12);
    assert!(size_of::<BufRingHead>() == 16 && offset_of!(BufRingHead, tail) == offset_of!(Buf, reserved));
    assert!(
        size_of::<BufReg>() == 40 && offset_of!(BufReg, bgid) == 12 && offset_of!(BufReg, min_left) == 16
    );
    assert!(size_of::<BufStatus>() == 40 && offset_of!(BufStatus, head) == 4);
};

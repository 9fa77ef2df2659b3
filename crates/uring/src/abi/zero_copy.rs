//! Zero-copy receive: packets that a network device writes straight into memory of the application.
//!
//! Raw: nothing of this crate drives it, because it needs a device whose receive queues can be handed out.

use core::mem::{offset_of, size_of};

/// Gives memory back to the device (`struct io_uring_zcrx_rqe`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxRqe {
    /// Where it lies, the area's number in the upper bits.
    pub off: u64,
    /// Its size.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// The second half of a 32-byte completion of a zero-copy receive (`struct io_uring_zcrx_cqe`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxCqe {
    /// Where the data lies, the area's number in the upper bits.
    pub off: u64,
    /// Zero.
    pub reserved: u64,
}

/// Offsets into the refill ring (`struct io_uring_zcrx_offsets`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxOffsets {
    /// Written by the kernel.
    pub head: u32,
    /// Written by us.
    pub tail: u32,
    /// The elements.
    pub rqes: u32,
    /// Zero.
    pub reserved: u32,
    /// Zero.
    pub reserved2: [u64; 2],
}

/// Memory that packets go into (`struct io_uring_zcrx_area_reg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxAreaReg {
    /// Its address, or an offset into the dmabuf.
    pub addr: u64,
    /// Its size in bytes.
    pub len: u64,
    /// Answer: what to add to offsets in this area.
    pub rq_area_token: u64,
    /// A sum of [`zcrx`]'s area flags.
    pub flags: u32,
    /// The dmabuf.
    pub dmabuf_fd: u32,
    /// Zero.
    pub reserved: [u64; 2],
}

/// Registers a receive queue of a device (`struct io_uring_zcrx_ifq_reg`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxIfqReg {
    /// The device's index.
    pub if_idx: u32,
    /// Its queue.
    pub if_rxq: u32,
    /// The size of the refill ring, a power of two.
    pub rq_entries: u32,
    /// A sum of [`zcrx`]'s registration flags.
    pub flags: u32,
    /// A pointer to a [`ZcrxAreaReg`].
    pub area_ptr: u64,
    /// A pointer to a [`RegionDesc`](super::RegionDesc) for the refill ring.
    pub region_ptr: u64,
    /// Answer: where things lie in that region.
    pub offsets: ZcrxOffsets,
    /// Answer: what entries call it.
    pub zcrx_id: u32,
    /// The wanted size of a buffer, or 0 (after 6.18).
    pub rx_buf_len: u32,
    /// Zero.
    pub reserved: [u64; 3],
}

/// Controls such a queue (`struct zcrx_ctrl`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxCtrl {
    /// Which.
    pub zcrx_id: u32,
    /// A number of [`zcrx`].
    pub op: u32,
    /// Zero.
    pub reserved: [u64; 2],
    /// Nothing for [`zcrx::FLUSH_RQ`]; for [`zcrx::EXPORT`] the first 32 bits are the answer, a descriptor.
    pub argument: [u64; 6],
}

/// Numbers of zero-copy receive.
pub mod zcrx {
    /// Area flag: the memory is a dmabuf (`IORING_ZCRX_AREA_DMABUF`, 6.16).
    pub const AREA_DMABUF: u32 = 1;
    /// Registration flag: shares the queue that another ring exported (`ZCRX_REG_IMPORT`, after 6.18).
    pub const REGISTER_IMPORT: u32 = 1;
    /// Registration flag: without a device; everything is copied (`ZCRX_REG_NODEV`, after 6.18).
    pub const REGISTER_NODEV: u32 = 2;
    /// Control: empties the refill ring (`ZCRX_CTRL_FLUSH_RQ`).
    pub const FLUSH_RQ: u32 = 0;
    /// Control: makes a descriptor of the queue (`ZCRX_CTRL_EXPORT`).
    pub const EXPORT: u32 = 1;
    /// Feature: the size of buffers can be chosen (`ZCRX_FEATURE_RX_PAGE_SIZE`).
    pub const FEATURE_RX_PAGE_SIZE: u32 = 1;
    /// Where the area's number begins in an offset (`IORING_ZCRX_AREA_SHIFT`).
    pub const AREA_SHIFT: u32 = 48;
    /// The area's number in an offset (`IORING_ZCRX_AREA_MASK`).
    pub const AREA_MASK: u64 = !((1 << AREA_SHIFT) - 1);
}

const _: () = {
    assert!(size_of::<ZcrxRqe>() == 16 && size_of::<ZcrxCqe>() == 16 && size_of::<ZcrxOffsets>() == 32);
    assert!(size_of::<ZcrxAreaReg>() == 48 && offset_of!(ZcrxAreaReg, flags) == 24);
    assert!(size_of::<ZcrxIfqReg>() == 96 && offset_of!(ZcrxIfqReg, zcrx_id) == 64);
    assert!(size_of::<ZcrxCtrl>() == 72 && offset_of!(ZcrxCtrl, argument) == 24);
};

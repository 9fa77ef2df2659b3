//! Questions to the kernel that need no ring (`linux/io_uring/query.h`, 6.18), and filters for entries
//! (`linux/io_uring/bpf_filter.h`, after 6.18).

use core::mem::{offset_of, size_of};

/// A question (`struct io_uring_query_hdr`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryHeader {
    /// A pointer to the next question, or 0.
    pub next_entry: u64,
    /// A pointer to room for the answer.
    pub query_data: u64,
    /// A number of [`query`].
    pub query_op: u32,
    /// The room; answer: the size of the answer.
    pub size: u32,
    /// Answer: 0, or a negated errno.
    pub result: i32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// What can be asked.
pub mod query {
    /// Opcodes and flags: [`QueryOpcodes`](super::QueryOpcodes).
    pub const OPCODES: u32 = 0;
    /// Zero-copy receive: [`QueryZcrx`](super::QueryZcrx) (after 6.18).
    pub const ZCRX: u32 = 1;
    /// The heads of the queues: [`QueryScq`](super::QueryScq) (after 6.18).
    pub const SCQ: u32 = 2;
}

/// What the kernel knows (`struct io_uring_query_opcode`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOpcodes {
    /// How many opcodes.
    pub nr_request_opcodes: u32,
    /// How many register operations.
    pub nr_register_opcodes: u32,
    /// All its [`Features`](super::Features).
    pub feature_flags: u64,
    /// All its [`SetupFlags`](super::SetupFlags).
    pub ring_setup_flags: u64,
    /// All its [`EnterFlags`](super::EnterFlags).
    pub enter_flags: u64,
    /// All its [`SqeFlags`](super::SqeFlags).
    pub sqe_flags: u64,
    /// How many questions.
    pub nr_query_opcodes: u32,
    /// Zero.
    pub reserved: u32,
}

/// What zero-copy receive can do (`struct io_uring_query_zcrx`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryZcrx {
    /// All `ZcrxRegFlags`.
    pub register_flags: u64,
    /// All `ZcrxAreaFlags`.
    pub area_flags: u64,
    /// How many control operations.
    pub nr_ctrl_opcodes: u32,
    /// What it can do besides.
    pub features: u32,
    /// The size of the refill ring's head.
    pub rq_hdr_size: u32,
    /// Its alignment.
    pub rq_hdr_alignment: u32,
    /// Zero.
    pub reserved2: u64,
}

/// The head of the queues in memory that the application gives (`struct io_uring_query_scq`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryScq {
    /// Its size.
    pub hdr_size: u64,
    /// Its alignment.
    pub hdr_alignment: u64,
}

/// A filter for entries of one opcode (`struct io_uring_bpf_filter`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BpfFilter {
    /// The opcode.
    pub opcode: u32,
    /// A sum of [`bpf`]'s flags.
    pub flags: u32,
    /// The number of instructions.
    pub filter_len: u32,
    /// The size of what the filter sees of the entry beyond its head.
    pub pdu_size: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// A pointer to the instructions.
    pub filter_ptr: u64,
    /// Zero.
    pub reserved2: [u64; 5],
}

/// Registers a filter (`struct io_uring_bpf`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bpf {
    /// [`bpf::COMMAND_FILTER`].
    pub cmd_type: u16,
    /// None so far.
    pub cmd_flags: u16,
    /// Zero.
    pub reserved: u32,
    /// The filter.
    pub filter: BpfFilter,
}

/// What a filter sees of an entry (`struct io_uring_bpf_ctx`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BpfContext {
    /// Its user data.
    pub user_data: u64,
    /// Its opcode.
    pub opcode: u8,
    /// Its flags.
    pub sqe_flags: u8,
    /// How much of `data` is valid.
    pub pdu_size: u8,
    /// Zero.
    pub reserved: [u8; 5],
    /// For a socket: family, type and protocol, 32 bits each. For an open: flags, mode and resolve.
    pub data: [u64; 3],
}

/// Numbers of filters.
pub mod bpf {
    /// The command that registers one (`IO_URING_BPF_CMD_FILTER`).
    pub const COMMAND_FILTER: u16 = 1;
    /// Opcodes that have no filter are refused (`IO_URING_BPF_FILTER_DENY_REST`).
    pub const DENY_REST: u32 = 1;
    /// A wrong `pdu_size` is an error (`IO_URING_BPF_FILTER_SZ_STRICT`).
    pub const SIZE_STRICT: u32 = 2;
}

const _: () = {
    assert!(size_of::<QueryHeader>() == 40 && offset_of!(QueryHeader, result) == 24);
    assert!(size_of::<QueryOpcodes>() == 48 && size_of::<QueryZcrx>() == 40 && size_of::<QueryScq>() == 16);
    assert!(size_of::<BpfFilter>() == 64 && offset_of!(BpfFilter, filter_ptr) == 16);
    assert!(size_of::<Bpf>() == 72 && offset_of!(Bpf, filter) == 8);
    assert!(size_of::<BpfContext>() == 40 && offset_of!(BpfContext, data) == 16);
};

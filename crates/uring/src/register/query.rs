//! Questions to the kernel.

use super::NO_RING;
use crate::abi::{
    OP_SUPPORTED, Opcode, ProbeBuffer, QueryHeader, QueryOpcodes, QueryScq, QueryZcrx, RegisterOpcode, query,
};
use crate::error::RegisterError;
use crate::raw;
use crate::ring::Ring;

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

/// Asks one question that needs no ring (6.18).
///
/// # Safety
///
/// `question` must be answered by a `T`, of which every bit pattern is valid.
pub unsafe fn query_raw<T: Default>(question: u32) -> Result<T, RegisterError> {
    let operation = RegisterOpcode::Query;
    let mut answer = T::default();
    let mut header = QueryHeader {
        query_data: core::ptr::from_mut(&mut answer).expose_provenance() as u64,
        query_op: question,
        size: size_of::<T>() as u32,
        ..QueryHeader::default()
    };
    let pointer: *mut QueryHeader = &mut header;
    // SAFETY: this operation takes a list of headers, here of one, that leads to room for an answer, which may be
    // longer than the kernel's and is then filled in part.
    unsafe { raw::register(NO_RING, operation as u32, pointer.cast_const().cast(), 0) }
        .map_err(|errno| RegisterError::from_errno(errno, operation))?;
    // SAFETY: the kernel has written to the header through the pointer.
    let result = unsafe { core::ptr::read_volatile(&raw const (*pointer).result) };
    if result < 0 {
        return Err(RegisterError::from_errno(result.wrapping_neg(), operation));
    }
    Ok(answer)
}

/// Asks which opcodes, register operations and flags the kernel knows (6.18); the one place where flags that no ring
/// was made with can be seen. Older kernels: [`RegisterCause::Invalid`](crate::RegisterCause::Invalid) or
/// [`BadDescriptor`](crate::RegisterCause::BadDescriptor).
pub fn query_kernel() -> Result<QueryOpcodes, RegisterError> {
    // SAFETY: this question is answered by a QueryOpcodes, which is made of numbers.
    unsafe { query_raw(query::OPCODES) }
}

/// Asks what zero-copy receive can do (after 6.18).
pub fn query_zero_copy() -> Result<QueryZcrx, RegisterError> {
    // SAFETY: this question is answered by a QueryZcrx, which is made of numbers.
    unsafe { query_raw(query::ZCRX) }
}

/// Asks how large the head of the queues is (after 6.18).
pub fn query_queue_head() -> Result<QueryScq, RegisterError> {
    // SAFETY: this question is answered by a QueryScq, which is made of numbers.
    unsafe { query_raw(query::SCQ) }
}

impl Ring {
    /// Asks which opcodes the kernel runs (5.6).
    pub fn probe(&self) -> Result<Probe, RegisterError> {
        let mut buffer = ProbeBuffer::default();
        let count = buffer.ops.len() as u32;
        let pointer: *mut ProbeBuffer = &mut buffer;
        // SAFETY: the buffer has room for that many answers.
        unsafe { self.register(RegisterOpcode::Probe, pointer.cast_const().cast(), count)? };
        let mut probe = Probe { last: buffer.last_op, supported: [0; 4] };
        for answer in buffer.ops.iter().take(usize::from(buffer.ops_len)) {
            if answer.flags & OP_SUPPORTED != 0 {
                probe.supported[usize::from(answer.op >> 6)] |= 1 << (answer.op & 63);
            }
        }
        Ok(probe)
    }
}

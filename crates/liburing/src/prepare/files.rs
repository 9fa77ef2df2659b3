//! Reading, writing, and what else is done to an open file.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{Opcode, Sqe, SqeFlags};

use super::{address, fill, preparations};

/// Fills in what nearly all operations have: `io_uring_prep_rw(3)`.
///
/// # Safety
///
/// As the [crate] says. The entry is the program's own until it is submitted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn io_uring_prep_rw(
    opcode: c_int,
    sqe: *mut Sqe,
    fd: c_int,
    buffer: *const c_void,
    length: c_uint,
    offset: u64,
) {
    // SAFETY: the caller's promise; every bit pattern is an entry.
    let entry = unsafe { &mut *sqe };
    fill(entry, Opcode::Nop, fd, address(buffer), length, offset);
    // The number may be one that this library does not know.
    entry.opcode = opcode as u8;
}

preparations! {
    /// `io_uring_prep_read(3)`.
    fn io_uring_prep_read(entry, fd: c_int, buffer: *mut c_void, length: c_uint, offset: u64) {
        fill(entry, Opcode::Read, fd, address(buffer), length, offset);
    }

    /// `io_uring_prep_write(3)`.
    fn io_uring_prep_write(entry, fd: c_int, buffer: *const c_void, length: c_uint, offset: u64) {
        fill(entry, Opcode::Write, fd, address(buffer), length, offset);
    }

    /// `io_uring_prep_readv(3)`.
    fn io_uring_prep_readv(entry, fd: c_int, vectors: *const c_void, count: c_uint, offset: u64) {
        fill(entry, Opcode::Readv, fd, address(vectors), count, offset);
    }

    /// `io_uring_prep_readv2(3)`.
    fn io_uring_prep_readv2(
        entry,
        fd: c_int,
        vectors: *const c_void,
        count: c_uint,
        offset: u64,
        flags: c_int,
    ) {
        fill(entry, Opcode::Readv, fd, address(vectors), count, offset);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_writev(3)`.
    fn io_uring_prep_writev(entry, fd: c_int, vectors: *const c_void, count: c_uint, offset: u64) {
        fill(entry, Opcode::Writev, fd, address(vectors), count, offset);
    }

    /// `io_uring_prep_writev2(3)`.
    fn io_uring_prep_writev2(
        entry,
        fd: c_int,
        vectors: *const c_void,
        count: c_uint,
        offset: u64,
        flags: c_int,
    ) {
        fill(entry, Opcode::Writev, fd, address(vectors), count, offset);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_read_fixed(3)`.
    fn io_uring_prep_read_fixed(
        entry,
        fd: c_int,
        buffer: *mut c_void,
        length: c_uint,
        offset: u64,
        index: c_int,
    ) {
        fill(entry, Opcode::ReadFixed, fd, address(buffer), length, offset);
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_write_fixed(3)`.
    fn io_uring_prep_write_fixed(
        entry,
        fd: c_int,
        buffer: *const c_void,
        length: c_uint,
        offset: u64,
        index: c_int,
    ) {
        fill(entry, Opcode::WriteFixed, fd, address(buffer), length, offset);
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_readv_fixed(3)`.
    fn io_uring_prep_readv_fixed(
        entry,
        fd: c_int,
        vectors: *const c_void,
        count: c_uint,
        offset: u64,
        flags: c_int,
        index: c_int,
    ) {
        fill(entry, Opcode::ReadvFixed, fd, address(vectors), count, offset);
        entry.op_flags = flags as u32;
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_writev_fixed(3)`.
    fn io_uring_prep_writev_fixed(
        entry,
        fd: c_int,
        vectors: *const c_void,
        count: c_uint,
        offset: u64,
        flags: c_int,
        index: c_int,
    ) {
        fill(entry, Opcode::WritevFixed, fd, address(vectors), count, offset);
        entry.op_flags = flags as u32;
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_read_multishot(3)`.
    fn io_uring_prep_read_multishot(
        entry,
        fd: c_int,
        length: c_uint,
        offset: u64,
        group: c_int,
    ) {
        fill(entry, Opcode::ReadMultishot, fd, 0, length, offset);
        entry.buf_index = group as u16;
        entry.flags = SqeFlags::BUFFER_SELECT.bits();
    }

    /// `io_uring_prep_splice(3)`.
    fn io_uring_prep_splice(
        entry,
        from: c_int,
        from_offset: i64,
        to: c_int,
        to_offset: i64,
        length: c_uint,
        flags: c_uint,
    ) {
        fill(entry, Opcode::Splice, to, from_offset as u64, length, to_offset as u64);
        entry.file_index = from as u32;
        entry.op_flags = flags;
    }

    /// `io_uring_prep_tee(3)`.
    fn io_uring_prep_tee(entry, from: c_int, to: c_int, length: c_uint, flags: c_uint) {
        fill(entry, Opcode::Tee, to, 0, length, 0);
        entry.file_index = from as u32;
        entry.op_flags = flags;
    }

    /// `io_uring_prep_fsync(3)`.
    fn io_uring_prep_fsync(entry, fd: c_int, flags: c_uint) {
        fill(entry, Opcode::Fsync, fd, 0, 0, 0);
        entry.op_flags = flags;
    }

    /// `io_uring_prep_sync_file_range(3)`.
    fn io_uring_prep_sync_file_range(entry, fd: c_int, length: c_uint, offset: u64, flags: c_int) {
        fill(entry, Opcode::SyncFileRange, fd, 0, length, offset);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_fallocate(3)`.
    fn io_uring_prep_fallocate(entry, fd: c_int, mode: c_int, offset: u64, length: u64) {
        fill(entry, Opcode::Fallocate, fd, length, mode as u32, offset);
    }

    /// `io_uring_prep_ftruncate(3)`.
    fn io_uring_prep_ftruncate(entry, fd: c_int, length: i64) {
        fill(entry, Opcode::Ftruncate, fd, 0, 0, length as u64);
    }

    /// `io_uring_prep_fadvise(3)`.
    fn io_uring_prep_fadvise(entry, fd: c_int, offset: u64, length: u32, advice: c_int) {
        fill(entry, Opcode::Fadvise, fd, 0, length, offset);
        entry.op_flags = advice as u32;
    }

    /// `io_uring_prep_fadvise64(3)`.
    fn io_uring_prep_fadvise64(entry, fd: c_int, offset: u64, length: i64, advice: c_int) {
        fill(entry, Opcode::Fadvise, fd, length as u64, 0, offset);
        entry.op_flags = advice as u32;
    }

    /// `io_uring_prep_madvise(3)`.
    fn io_uring_prep_madvise(entry, start: *mut c_void, length: u32, advice: c_int) {
        fill(entry, Opcode::Madvise, -1, address(start), length, 0);
        entry.op_flags = advice as u32;
    }

    /// `io_uring_prep_madvise64(3)`.
    fn io_uring_prep_madvise64(entry, start: *mut c_void, length: i64, advice: c_int) {
        fill(entry, Opcode::Madvise, -1, address(start), 0, length as u64);
        entry.op_flags = advice as u32;
    }
}

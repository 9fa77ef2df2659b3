//! The ring's own business: no-ops, messages, slots, provided buffers, pipes and commands; and the fields that every
//! entry has.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{FILE_INDEX_ALLOC, MsgRingFlags, Opcode, Sqe, SqeFlags, message};

use super::{address, extended, fill, new_slot, preparations};

/// The command that discards blocks of a device (`BLOCK_URING_CMD_DISCARD`).
const DISCARD: u32 = 0x12 << 8;

/// A command for the file's driver. It has no length or address unless its user gives it some.
pub(super) fn command(entry: &mut Sqe, opcode: Opcode, operation: u32, fd: c_int) {
    fill(entry, opcode, fd, 0, 0, operation.into());
}

/// A file for another ring.
fn send_file(entry: &mut Sqe, ring: c_int, source: c_int, target: c_uint, data: u64, flags: c_uint) {
    fill(entry, Opcode::MsgRing, ring, message::SEND_FD, 0, data);
    entry.addr3 = extended(source);
    new_slot(entry, target);
    entry.op_flags = flags;
}

preparations! {
    /// `io_uring_prep_nop(3)`.
    fn io_uring_prep_nop(entry) {
        fill(entry, Opcode::Nop, -1, 0, 0, 0);
    }

    /// `io_uring_prep_nop128(3)`.
    fn io_uring_prep_nop128(entry) {
        fill(entry, Opcode::Nop128, -1, 0, 0, 0);
    }

    /// `io_uring_prep_msg_ring(3)`.
    fn io_uring_prep_msg_ring(entry, ring: c_int, result: c_uint, data: u64, flags: c_uint) {
        fill(entry, Opcode::MsgRing, ring, message::DATA, result, data);
        entry.op_flags = flags;
    }

    /// `io_uring_prep_msg_ring_cqe_flags(3)`.
    fn io_uring_prep_msg_ring_cqe_flags(
        entry,
        ring: c_int,
        result: c_uint,
        data: u64,
        flags: c_uint,
        completion_flags: c_uint,
    ) {
        fill(entry, Opcode::MsgRing, ring, message::DATA, result, data);
        entry.op_flags = flags | MsgRingFlags::FLAGS_PASS.bits();
        entry.file_index = completion_flags;
    }

    /// `io_uring_prep_msg_ring_fd(3)`.
    fn io_uring_prep_msg_ring_fd(
        entry,
        ring: c_int,
        source: c_int,
        target: c_int,
        data: u64,
        flags: c_uint,
    ) {
        send_file(entry, ring, source, target as c_uint, data, flags);
    }

    /// `io_uring_prep_msg_ring_fd_alloc(3)`.
    fn io_uring_prep_msg_ring_fd_alloc(
        entry,
        ring: c_int,
        source: c_int,
        data: u64,
        flags: c_uint,
    ) {
        send_file(entry, ring, source, FILE_INDEX_ALLOC, data, flags);
    }

    /// `io_uring_prep_files_update(3)`.
    fn io_uring_prep_files_update(entry, files: *mut c_int, count: c_uint, offset: c_int) {
        fill(entry, Opcode::FilesUpdate, -1, address(files), count, extended(offset));
    }

    /// `io_uring_prep_fixed_fd_install(3)`.
    fn io_uring_prep_fixed_fd_install(entry, slot: c_int, flags: c_uint) {
        fill(entry, Opcode::FixedFdInstall, slot, 0, 0, 0);
        entry.flags = SqeFlags::FIXED_FILE.bits();
        entry.op_flags = flags;
    }

    /// `io_uring_prep_provide_buffers(3)`.
    fn io_uring_prep_provide_buffers(
        entry,
        start: *mut c_void,
        length: c_int,
        count: c_int,
        group: c_int,
        first: c_int,
    ) {
        fill(entry, Opcode::ProvideBuffers, count, address(start), length as u32, extended(first));
        entry.buf_index = group as u16;
    }

    /// `io_uring_prep_remove_buffers(3)`.
    fn io_uring_prep_remove_buffers(entry, count: c_int, group: c_int) {
        fill(entry, Opcode::RemoveBuffers, count, 0, 0, 0);
        entry.buf_index = group as u16;
    }

    /// `io_uring_prep_pipe(3)`.
    fn io_uring_prep_pipe(entry, ends: *mut c_int, flags: c_int) {
        fill(entry, Opcode::Pipe, 0, address(ends), 0, 0);
        entry.op_flags = flags as u32;
    }

    /// `io_uring_prep_pipe_direct(3)`.
    fn io_uring_prep_pipe_direct(entry, ends: *mut c_int, flags: c_int, slot: c_uint) {
        fill(entry, Opcode::Pipe, 0, address(ends), 0, 0);
        entry.op_flags = flags as u32;
        new_slot(entry, slot);
    }

    /// `io_uring_prep_uring_cmd(3)`.
    fn io_uring_prep_uring_cmd(entry, operation: c_int, fd: c_int) {
        command(entry, Opcode::UringCmd, operation as u32, fd);
    }

    /// `io_uring_prep_uring_cmd128(3)`.
    fn io_uring_prep_uring_cmd128(entry, operation: c_int, fd: c_int) {
        command(entry, Opcode::UringCmd128, operation as u32, fd);
    }

    /// `io_uring_prep_cmd_discard(3)`.
    fn io_uring_prep_cmd_discard(entry, fd: c_int, offset: u64, length: u64) {
        command(entry, Opcode::UringCmd, DISCARD, fd);
        entry.addr = offset;
        entry.addr3 = length;
    }

    /// `io_uring_sqe_set_data(3)`.
    fn io_uring_sqe_set_data(entry, data: *mut c_void) {
        entry.user_data = address(data);
    }

    /// `io_uring_sqe_set_data64(3)`.
    fn io_uring_sqe_set_data64(entry, data: u64) {
        entry.user_data = data;
    }

    /// `io_uring_sqe_set_flags(3)`.
    fn io_uring_sqe_set_flags(entry, flags: c_uint) {
        entry.flags = flags as u8;
    }

    /// `io_uring_sqe_set_buf_group(3)`.
    fn io_uring_sqe_set_buf_group(entry, group: c_int) {
        entry.buf_index = group as u16;
    }
}

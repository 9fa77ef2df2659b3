//! Sockets.

use core::ffi::{c_int, c_uint, c_void};

use ouzel_uring::abi::{AcceptFlags, FILE_INDEX_ALLOC, Opcode, RecvSendFlags, Sqe, socket_command};

use super::control::command;
use super::{address, extended, fill, new_slot, preparations};

/// An accept of any kind.
fn accept(entry: &mut Sqe, fd: c_int, from: *mut c_void, from_length: *mut c_uint, flags: c_int) {
    fill(entry, Opcode::Accept, fd, address(from), 0, address(from_length));
    entry.op_flags = flags as u32;
}

/// A send or receive of `length` bytes; the kernel takes 32 bits of that.
fn transfer(entry: &mut Sqe, opcode: Opcode, fd: c_int, buffer: *const c_void, length: usize, flags: c_uint) {
    fill(entry, opcode, fd, address(buffer), length as u32, 0);
    entry.op_flags = flags;
}

/// A send or receive of a message.
fn message(entry: &mut Sqe, opcode: Opcode, fd: c_int, message: *const c_void, flags: c_uint) {
    fill(entry, opcode, fd, address(message), 1, 0);
    entry.op_flags = flags;
}

/// Where a send goes. The length shares its word with other fields, and takes the lower half.
fn destination(entry: &mut Sqe, to: *const c_void, length: u16) {
    entry.off = address(to);
    entry.file_index = (entry.file_index & !0xffff) | u32::from(length);
}

/// A new socket.
fn socket(entry: &mut Sqe, domain: c_int, kind: c_int, protocol: c_int, flags: c_uint) {
    fill(entry, Opcode::Socket, domain, 0, protocol as u32, extended(kind));
    entry.op_flags = flags;
}

preparations! {
    /// `io_uring_prep_accept(3)`.
    fn io_uring_prep_accept(
        entry,
        fd: c_int,
        from: *mut c_void,
        from_length: *mut c_uint,
        flags: c_int,
    ) {
        accept(entry, fd, from, from_length, flags);
    }

    /// `io_uring_prep_accept_direct(3)`.
    fn io_uring_prep_accept_direct(
        entry,
        fd: c_int,
        from: *mut c_void,
        from_length: *mut c_uint,
        flags: c_int,
        slot: c_uint,
    ) {
        accept(entry, fd, from, from_length, flags);
        new_slot(entry, slot);
    }

    /// `io_uring_prep_multishot_accept(3)`.
    fn io_uring_prep_multishot_accept(
        entry,
        fd: c_int,
        from: *mut c_void,
        from_length: *mut c_uint,
        flags: c_int,
    ) {
        accept(entry, fd, from, from_length, flags);
        entry.ioprio |= AcceptFlags::MULTISHOT.bits();
    }

    /// `io_uring_prep_multishot_accept_direct(3)`.
    fn io_uring_prep_multishot_accept_direct(
        entry,
        fd: c_int,
        from: *mut c_void,
        from_length: *mut c_uint,
        flags: c_int,
    ) {
        accept(entry, fd, from, from_length, flags);
        entry.ioprio |= AcceptFlags::MULTISHOT.bits();
        entry.file_index = FILE_INDEX_ALLOC;
    }

    /// `io_uring_prep_connect(3)`.
    fn io_uring_prep_connect(entry, fd: c_int, to: *const c_void, length: c_uint) {
        fill(entry, Opcode::Connect, fd, address(to), 0, length.into());
    }

    /// `io_uring_prep_bind(3)`.
    fn io_uring_prep_bind(entry, fd: c_int, to: *const c_void, length: c_uint) {
        fill(entry, Opcode::Bind, fd, address(to), 0, length.into());
    }

    /// `io_uring_prep_listen(3)`.
    fn io_uring_prep_listen(entry, fd: c_int, backlog: c_int) {
        fill(entry, Opcode::Listen, fd, 0, backlog as u32, 0);
    }

    /// `io_uring_prep_shutdown(3)`.
    fn io_uring_prep_shutdown(entry, fd: c_int, how: c_int) {
        fill(entry, Opcode::Shutdown, fd, 0, how as u32, 0);
    }

    /// `io_uring_prep_send(3)`.
    fn io_uring_prep_send(entry, fd: c_int, buffer: *const c_void, length: usize, flags: c_int) {
        transfer(entry, Opcode::Send, fd, buffer, length, flags as u32);
    }

    /// `io_uring_prep_send_bundle(3)`.
    fn io_uring_prep_send_bundle(entry, fd: c_int, length: usize, flags: c_int) {
        transfer(entry, Opcode::Send, fd, core::ptr::null(), length, flags as u32);
        entry.ioprio |= RecvSendFlags::BUNDLE.bits();
    }

    /// `io_uring_prep_send_set_addr(3)`.
    fn io_uring_prep_send_set_addr(entry, to: *const c_void, length: u16) {
        destination(entry, to, length);
    }

    /// `io_uring_prep_sendto(3)`.
    fn io_uring_prep_sendto(
        entry,
        fd: c_int,
        buffer: *const c_void,
        length: usize,
        flags: c_int,
        to: *const c_void,
        to_length: c_uint,
    ) {
        transfer(entry, Opcode::Send, fd, buffer, length, flags as u32);
        destination(entry, to, to_length as u16);
    }

    /// `io_uring_prep_send_zc(3)`.
    fn io_uring_prep_send_zc(
        entry,
        fd: c_int,
        buffer: *const c_void,
        length: usize,
        flags: c_int,
        zero_copy_flags: c_uint,
    ) {
        transfer(entry, Opcode::SendZc, fd, buffer, length, flags as u32);
        entry.ioprio = zero_copy_flags as u16;
    }

    /// `io_uring_prep_send_zc_fixed(3)`.
    fn io_uring_prep_send_zc_fixed(
        entry,
        fd: c_int,
        buffer: *const c_void,
        length: usize,
        flags: c_int,
        zero_copy_flags: c_uint,
        index: c_uint,
    ) {
        transfer(entry, Opcode::SendZc, fd, buffer, length, flags as u32);
        entry.ioprio = zero_copy_flags as u16 | RecvSendFlags::FIXED_BUF.bits();
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_sendmsg(3)`.
    fn io_uring_prep_sendmsg(entry, fd: c_int, header: *const c_void, flags: c_uint) {
        message(entry, Opcode::Sendmsg, fd, header, flags);
    }

    /// `io_uring_prep_sendmsg_zc(3)`.
    fn io_uring_prep_sendmsg_zc(entry, fd: c_int, header: *const c_void, flags: c_uint) {
        message(entry, Opcode::SendmsgZc, fd, header, flags);
    }

    /// `io_uring_prep_sendmsg_zc_fixed(3)`.
    fn io_uring_prep_sendmsg_zc_fixed(
        entry,
        fd: c_int,
        header: *const c_void,
        flags: c_uint,
        index: c_uint,
    ) {
        message(entry, Opcode::SendmsgZc, fd, header, flags);
        entry.ioprio |= RecvSendFlags::FIXED_BUF.bits();
        entry.buf_index = index as u16;
    }

    /// `io_uring_prep_recv(3)`.
    fn io_uring_prep_recv(entry, fd: c_int, buffer: *mut c_void, length: usize, flags: c_int) {
        transfer(entry, Opcode::Recv, fd, buffer, length, flags as u32);
    }

    /// `io_uring_prep_recv_multishot(3)`.
    fn io_uring_prep_recv_multishot(
        entry,
        fd: c_int,
        buffer: *mut c_void,
        length: usize,
        flags: c_int,
    ) {
        transfer(entry, Opcode::Recv, fd, buffer, length, flags as u32);
        entry.ioprio |= RecvSendFlags::MULTISHOT.bits();
    }

    /// `io_uring_prep_recvmsg(3)`.
    fn io_uring_prep_recvmsg(entry, fd: c_int, header: *mut c_void, flags: c_uint) {
        message(entry, Opcode::Recvmsg, fd, header, flags);
    }

    /// `io_uring_prep_recvmsg_multishot(3)`.
    fn io_uring_prep_recvmsg_multishot(entry, fd: c_int, header: *mut c_void, flags: c_uint) {
        message(entry, Opcode::Recvmsg, fd, header, flags);
        entry.ioprio |= RecvSendFlags::MULTISHOT.bits();
    }

    /// `io_uring_prep_socket(3)`.
    fn io_uring_prep_socket(entry, domain: c_int, kind: c_int, protocol: c_int, flags: c_uint) {
        socket(entry, domain, kind, protocol, flags);
    }

    /// `io_uring_prep_socket_direct(3)`.
    fn io_uring_prep_socket_direct(
        entry,
        domain: c_int,
        kind: c_int,
        protocol: c_int,
        slot: c_uint,
        flags: c_uint,
    ) {
        socket(entry, domain, kind, protocol, flags);
        new_slot(entry, slot);
    }

    /// `io_uring_prep_socket_direct_alloc(3)`.
    fn io_uring_prep_socket_direct_alloc(
        entry,
        domain: c_int,
        kind: c_int,
        protocol: c_int,
        flags: c_uint,
    ) {
        socket(entry, domain, kind, protocol, flags);
        entry.file_index = FILE_INDEX_ALLOC;
    }

    /// `io_uring_prep_cmd_sock(3)`.
    fn io_uring_prep_cmd_sock(
        entry,
        operation: c_int,
        fd: c_int,
        level: c_int,
        option: c_int,
        value: *mut c_void,
        length: c_int,
    ) {
        command(entry, Opcode::UringCmd, operation as u32, fd);
        entry.addr = u64::from(level as u32) | u64::from(option as u32) << 32;
        entry.addr3 = address(value);
        entry.file_index = length as u32;
    }

    /// `io_uring_prep_cmd_getsockname(3)`.
    fn io_uring_prep_cmd_getsockname(
        entry,
        fd: c_int,
        name: *mut c_void,
        length: *mut c_uint,
        peer: c_int,
    ) {
        command(entry, Opcode::UringCmd, socket_command::GETSOCKNAME, fd);
        entry.addr = address(name);
        entry.addr3 = address(length);
        entry.file_index = peer as u32;
    }
}
